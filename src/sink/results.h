/* SPDX-License-Identifier: MIT
 *
 * results.h - reading what a sink holds: results.db read-only (any process), or a memory sink of this thread.
 */
#ifndef WIKITALLY_SINK_RESULTS_H
#define WIKITALLY_SINK_RESULTS_H

#include "sink/sink.h"

struct results;
enum err_class results_open(const char *directory, struct results **ret_results,
                            struct err *err); /* EXIT_NOINPUT if there is no results.db */
enum err_class results_of_memory(struct sink *memory_sink, struct results **ret_results, struct err *err);
void results_close(struct results *r);
/* What is read until results_release is of one moment (db_hold); not while waiting for anybody. */
enum err_class results_hold(struct results *r, struct err *err);
void results_release(struct results *r); /* harmless when nothing is held */

/* One declared aggregation as stored: names from the stored schema, in the arena. */
struct stored_aggregation {
    const char *name;
    const struct column *keys;
    size_t key_count;
    const struct column *measures;
    size_t measure_count;
    int64_t size_us, slide_us;
    int64_t shown; /* generation that readers see */
    const char *definition;
};
enum err_class results_aggregations(struct results *r, struct arena *arena, const struct stored_aggregation **ret_list,
                                    size_t *ret_count, struct err *err);

struct results_query {
    const char *aggregation; /* NULL: all */
    int64_t from_us, to_us;  /* window_start in [from, to); TIME_NONE: open */
    int32_t partition;       /* -1: all */
    int64_t generation;      /* -1: what readers see (per window: the newest generation that shows it, R15) */
    bool newest_first;       /* else by window_start, key bytes */
    int64_t limit;           /* 0: none */
};
struct stored_row {
    const char *aggregation;
    int64_t generation;
    uint32_t partition;
    int64_t epoch;
    struct result_row row; /* keys, measures: as the stored aggregation says */
    bool torn;             /* its window may lack records */
};
enum err_class results_rows(struct results *r, const struct results_query *q,
                            bool (*each)(const struct stored_row *row, void *ctx), void *ctx, struct err *err);

/* Task ledger of one aggregation's shown generation (or of all aggregations: NULL), a row per partition; minutes rise
 * within (partition, by). */
struct stored_tally {
    const char *task, *aggregation;
    int64_t generation;
    uint32_t partition;
    struct tally_row row;
};
enum err_class results_tally(struct results *r, const char *aggregation,
                             bool (*each)(const struct stored_tally *t, void *ctx), void *ctx, struct err *err);

struct stored_line {
    const char *task, *aggregation;
    int64_t generation;
    uint32_t partition;
    struct task_line line;
    bool shown;
    int64_t begin; /* offset at which its generation began: earlier records were never its own */
};
enum err_class results_lines(struct results *r, bool (*each)(const struct stored_line *l, void *ctx), void *ctx,
                             struct err *err);
enum err_class results_torn(struct results *r, const char *aggregation,
                            bool (*each)(uint32_t partition, const struct torn_span *t, void *ctx), void *ctx,
                            struct err *err);
/* The mark to begin a replay at so that every window that starts at or after from_us is whole (R12): the last one whose
 * stream time before it is below from_us; *ret_found false: begin at the generation's begin. */
enum err_class results_mark(struct results *r, const char *aggregation, int64_t generation, uint32_t partition,
                            int64_t from_us, struct arena *arena, struct mark *ret_mark, bool *ret_found,
                            struct err *err);
enum err_class results_dead(struct results *r, int64_t from_id, bool (*each)(const struct dead_letter *d, void *ctx),
                            void *ctx, struct err *err);

#endif
