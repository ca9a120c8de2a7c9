/* SPDX-License-Identifier: MIT
 *
 * ledger.c - see ledger.h. A task's lines and its tally are two reads, of one moment: no commit falls between them.
 */
#include "serve/ledger.h"

#include <stdio.h>

enum { LANES_MAX = 1024 };

struct lane {
    char aggregation[64];
    int64_t generation;
    uint32_t partition;
    int64_t begin, position;
    int64_t sums[TASK_BUCKETS];
};

struct lanes {
    struct lane items[LANES_MAX];
    size_t count;
};

static bool add_lane(const struct stored_line *l, void *ctx)
{
    struct lanes *lanes = ctx;
    if (!l->shown || lanes->count == LANES_MAX)
        return true;
    struct lane *lane = &lanes->items[lanes->count++];
    *lane = (struct lane){
        .generation = l->generation, .partition = l->partition, .begin = l->begin, .position = l->line.position};
    snprintf(lane->aggregation, sizeof(lane->aggregation), "%s", l->aggregation);
    return true;
}

static bool add_task_row(const struct stored_tally *t, void *ctx)
{
    struct lanes *lanes = ctx;
    if (t->row.by != TALLY_EVENT || t->row.bucket >= TASK_BUCKETS)
        return true;
    for (size_t i = 0; i < lanes->count; i++) {
        struct lane *lane = &lanes->items[i];
        if (lane->generation == t->generation && lane->partition == t->partition &&
            strcmp(lane->aggregation, t->aggregation) == 0) {
            lane->sums[t->row.bucket] += t->row.count;
            break;
        }
    }
    return true;
}

/* Lines and sums of one moment. */
static enum err_class read_lanes(struct results *r, struct lanes *lanes, struct err *err)
{
    enum err_class c = results_hold(r, err);
    lanes->count = 0;
    if (!c && !(c = results_lines(r, add_lane, lanes, err)))
        c = results_tally(r, NULL, add_task_row, lanes, err);
    results_release(r);
    return c;
}

static int64_t lane_sum(const struct lane *lane)
{
    int64_t sum = 0;
    for (size_t i = 0; i < TASK_BUCKETS; i++)
        sum += lane->sums[i];
    return sum;
}

static int64_t absolute(int64_t n)
{
    return n < 0 ? -n : n;
}

/* Partition ends of the journal, as far as asked. */
static enum err_class lane_distance(struct journal_reader *j, const struct lane *lane, int64_t *ret_records,
                                    struct err *err)
{
    int64_t head, end;
    enum err_class c = journal_reader_bounds(j, lane->partition, &head, &end, err);
    if (c == ERR_NONE)
        *ret_records = end > lane->position ? end - lane->position : 0;
    return c;
}

/* The lanes of one aggregation, added up. */
static enum err_class sum_aggregation(struct journal_reader *j, const struct lanes *lanes, bool sparse,
                                      const char *name, struct ledger_line *line, struct err *err)
{
    int64_t sums[TASK_BUCKETS] = {0}, in_flight = 0;
    for (size_t i = 0; i < lanes->count; i++) {
        const struct lane *lane = &lanes->items[i];
        int64_t distance = 0;
        if (strcmp(lane->aggregation, name) != 0)
            continue;
        enum err_class c = lane_distance(j, lane, &distance, err);
        if (c)
            return c;
        in_flight += distance;
        for (size_t b = 0; b < TASK_BUCKETS; b++)
            sums[b] += lane->sums[b];
        int64_t open = lane->position - lane->begin - lane_sum(lane); /* sparse: not more records than offsets */
        line->unaccounted += sparse && open > 0 ? 0 : absolute(open);
    }
    if (!line->aggregation[0] || in_flight > line->in_flight) {
        memcpy(line->task, sums, sizeof(sums));
        line->in_flight = in_flight;
        snprintf(line->aggregation, sizeof(line->aggregation), "%s", name);
    }
    return ERR_NONE;
}

static bool is_first_of_name(const struct lanes *lanes, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (strcmp(lanes->items[i].aggregation, lanes->items[index].aggregation) == 0)
            return false;
    }
    return true;
}

static enum err_class read_task(struct readers *readers, struct ledger_line *line, struct err *err)
{
    struct results *results;
    struct journal_reader *journal;
    enum err_class c;
    if ((c = readers_results(readers, &results, err)) || (c = readers_journal(readers, &journal, err)))
        return c;
    struct journal_info info;
    struct lanes *lanes = xmalloc(sizeof(*lanes));
    c = read_lanes(results, lanes, err);
    c = c ? c : journal_reader_info(journal, &info, err);
    for (size_t i = 0; c == ERR_NONE && i < lanes->count; i++) {
        if (is_first_of_name(lanes, i))
            c = sum_aggregation(journal, lanes, info.sparse, lanes->items[i].aggregation, line, err);
    }
    if (c == ERR_NONE && lanes->count == 0)
        c = err_set(err, ERR_RETRY, 0, "no task has committed yet");
    line->task_known = c == ERR_NONE;
    void *p = lanes;
    auto_free(&p);
    return c;
}

static bool add_source_row(const struct tally_row *row, void *ctx)
{
    struct ledger_line *line = ctx;
    if (row->by == TALLY_EVENT && row->bucket < SOURCE_BUCKETS)
        line->source[row->bucket] += row->count;
    return true;
}

static enum err_class read_source(struct readers *readers, struct ledger_line *line, struct err *err)
{
    struct journal_reader *journal;
    enum err_class c = readers_journal(readers, &journal, err);
    if (c == ERR_NONE)
        c = journal_reader_tally(journal, add_source_row, line, err);
    if (c)
        return c;
    const int64_t *s = line->source;
    line->source_known = true;
    line->unaccounted += absolute(s[SOURCE_RECEIVED] + s[SOURCE_TICK] - s[SOURCE_DUPLICATE] - s[SOURCE_FILTERED] -
                                  s[SOURCE_DEAD] - s[SOURCE_JOURNALLED]);
    return ERR_NONE;
}

void ledger_read(struct readers *readers, struct ledger_line *ret_line)
{
    struct err err = {0};
    *ret_line = (struct ledger_line){0};
    if (read_source(readers, ret_line, &err) || read_task(readers, ret_line, &err)) {
        snprintf(ret_line->problem, sizeof(ret_line->problem), "%.255s",
                 err.code == EXIT_NOINPUT ? "nothing is stored yet" : err.text);
        if (err.cls != ERR_RETRY)
            readers_drop(readers);
    }
}

void ledger_text(const struct ledger_line *line, struct buf *out)
{
    if (line->unaccounted)
        buf_addf(out, "%lld record%s unaccounted", (long long)line->unaccounted, line->unaccounted == 1 ? "" : "s");
    else if (line->source_known && line->task_known)
        buf_addz(out, "balanced");
    else
        buf_addf(out, "not known yet: %s", line->problem[0] ? line->problem : "not read yet");
}

static void add_buckets(struct buf *json, const char *name, const char *const *names, const int64_t *counts, size_t n)
{
    buf_addf(json, ",\"%s\":", name);
    for (size_t i = 0; i < n; i++)
        buf_addf(json, "%s\"%s\":\"%lld\"", i ? "," : "{", names[i], (long long)counts[i]);
    buf_addc(json, '}');
}

void ledger_write(const struct ledger_line *line, struct buf *json)
{
    AUTO(buf) struct buf text = {0};
    bool known = line->source_known && line->task_known;
    ledger_text(line, &text);
    buf_addf(json, "{\"known\":%s,\"balanced\":%s,\"unaccounted\":\"%lld\",\"in_flight\":\"%lld\",\"text\":",
             known ? "true" : "false", known && line->unaccounted == 0 ? "true" : "false", (long long)line->unaccounted,
             (long long)line->in_flight);
    buf_add_json_html(json, buf_str(&text));
    buf_addf(json, ",\"aggregation\":");
    buf_add_json_html(json, str_of(line->aggregation));
    add_buckets(json, "source", source_bucket_names, line->source, SOURCE_BUCKETS);
    add_buckets(json, "task", task_bucket_names, line->task, TASK_BUCKETS);
    buf_addc(json, '}');
}
