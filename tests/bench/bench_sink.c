/* SPDX-License-Identifier: MIT
 *
 * bench_sink.c - row upserts a second into results.db: five aggregations, commits of 5 x 20,000 rows.
 *
 *   bench_sink DIRECTORY [COMMITS]
 *
 * The first half of the commits brings new rows (a window each), the second half changes the rows of the last window.
 * Wall time, durable. Prints one line of JSON.
 */
#include "base/hash.h"
#include "sink/sink.h"

#include <stdio.h>
#include <stdlib.h>

enum { AGGREGATIONS = 5, ROWS = 20000 };

static const struct column key = {"user_name", "user", COLUMN_TEXT, false};
static const struct column measure = {"edit_count", "count", COLUMN_INT, false};

struct bench {
    struct sink *sink;
    struct result_schema schemas[AGGREGATIONS];
    struct result_row rows[ROWS];
    struct cell keys[ROWS], counts[ROWS];
    char texts[ROWS][32];
    int64_t version;
};

static void check(enum err_class c, const struct err *e)
{
    if (c) {
        fprintf(stderr, "bench_sink: %s\n", e->text);
        exit(1);
    }
}

static void prepare(struct bench *b, const char *directory)
{
    static const char *const names[AGGREGATIONS] = {"user_edit_counts", "bots", "website", "timeseries", "titles"};
    const struct result_schema *list[AGGREGATIONS];
    struct sink_options o = {.directory = directory, .task = "results", .clock = &clock_real};
    struct err e = {0};
    check(sink_open_sqlite(&o, &b->sink, &e), &e);
    for (size_t i = 0; i < AGGREGATIONS; i++) {
        b->schemas[i] = (struct result_schema){names[i], &key, 1, &measure, 1, 60000000, 60000000, "d", 1};
        list[i] = &b->schemas[i];
    }
    check(b->sink->ops->prepare(b->sink, list, AGGREGATIONS, &e), &e);
    struct generation g = {.definition = STR("d"), .journal_id = STR("j"), .base = -1, .first_window_us = WINDOW_ALL};
    for (size_t i = 0; i < AGGREGATIONS; i++) {
        check(b->sink->ops->begin(b->sink, i, &g, true, &e), &e);
    }
}

/* In the order of a hash table: none. */
static void rows_make(struct bench *b, int64_t start_us)
{
    for (int i = 0; i < ROWS; i++) {
        snprintf(b->texts[i], sizeof b->texts[i], "[\"User %d\"]", i * 7919 % ROWS);
        b->keys[i] = (struct cell){CELL_TEXT, 0, str_n(b->texts[i] + 2, strlen(b->texts[i]) - 4)};
        b->counts[i] = (struct cell){CELL_INT, b->version, {0}};
        b->rows[i] = (struct result_row){.window_start_us = start_us,
                                         .window_end_us = start_us + US_PER_MINUTE,
                                         .key = str_of(b->texts[i]),
                                         .keys = &b->keys[i],
                                         .measures = &b->counts[i],
                                         .revision = b->version,
                                         .closed_by = -1};
    }
}

static double commits(struct bench *b, int count, bool fresh)
{
    struct lane_commit lanes[AGGREGATIONS];
    struct err e = {0};
    int64_t took = 0;
    for (int n = 0; n < count; n++, b->version++) {
        rows_make(b, (fresh ? b->version : 0) * US_PER_MINUTE);
        for (size_t i = 0; i < AGGREGATIONS; i++) {
            lanes[i] =
                (struct lane_commit){.aggregation = i,
                                     .old_version = b->version,
                                     .line = {.position = b->version + 1, .arrival_us = b->version * US_PER_MINUTE},
                                     .rows = b->rows,
                                     .row_count = ROWS};
        }
        struct task_commit c = {.lanes = lanes, .lane_count = AGGREGATIONS, .wall_us = clock_wall(&clock_real)};
        int64_t began = clock_mono(&clock_real);
        check(b->sink->ops->commit(b->sink, &c, &e), &e);
        took += clock_mono(&clock_real) - began;
    }
    return (double)count * AGGREGATIONS * ROWS * 1e6 / (double)(took ? took : 1);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: bench_sink DIRECTORY [COMMITS]\n");
        return 2;
    }
    struct bench *b = xcalloc(1, sizeof *b);
    int count = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 10;
    prepare(b, argv[1]);
    double fresh = commits(b, count / 2, true), changed = commits(b, count - count / 2, false);
    b->sink->ops->close(b->sink);
    printf("{\"bench\":\"sink\",\"rows_per_commit\":%d,\"new_rows_per_s\":%.0f,\"changed_rows_per_s\":%.0f}\n",
           AGGREGATIONS * ROWS, fresh, changed);
    free(b);
    return 0;
}
