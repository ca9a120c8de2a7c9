/* SPDX-License-Identifier: MIT
 *
 * memory_results.c - reading a memory sink; the same answers as results.db gives. In the sink's thread; strings handed
 * to callbacks live until the sink's next change.
 */
#include "sink/memory.h"

#include <stdlib.h>

struct memory_results {
    struct results base; /* first */
    const struct memory_sink *sink;
};

static const struct memory_sink *sink_of(struct results *r)
{
    return ((struct memory_results *)r)->sink;
}

static bool is_wanted(const struct memory_aggregation *a, const char *name)
{
    return name == NULL || strcmp(a->schema.name, name) == 0;
}

static void memory_results_close(struct results *r)
{
    free(r);
}

/* One thread: nothing moves between two of its calls. */
static enum err_class memory_results_hold(struct results *r, struct err *err)
{
    (void)r;
    (void)err;
    return ERR_NONE;
}

static void memory_results_release(struct results *r)
{
    (void)r;
}

static enum err_class memory_results_aggregations(struct results *r, struct arena *arena,
                                                  const struct stored_aggregation **ret_list, size_t *ret_count,
                                                  struct err *err)
{
    (void)err;
    const struct memory_sink *m = sink_of(r);
    struct stored_aggregation *list = arena_alloc(arena, (m->aggregation_count + 1) * sizeof *list);
    for (size_t i = 0; i < m->aggregation_count; i++) {
        const struct memory_aggregation *a = m->aggregations[i];
        list[i] = (struct stored_aggregation){
            .name = a->schema.name,
            .keys = a->schema.keys,
            .key_count = a->schema.key_count,
            .measures = a->schema.measures,
            .measure_count = a->schema.measure_count,
            .size_us = a->schema.size_us,
            .slide_us = a->schema.slide_us,
            .shown = a->shown,
            .definition = a->schema.definition,
        };
    }
    *ret_list = list;
    *ret_count = m->aggregation_count;
    return ERR_NONE;
}

/* ---- rows */

static bool lane_is_torn(const struct memory_aggregation *a, const struct memory_row *r)
{
    for (size_t i = 0; i < a->lane_count; i++) {
        const struct memory_lane *lane = a->lanes[i];
        for (size_t k = 0; lane->generation == r->generation && lane->partition == r->partition && k < lane->torn_count;
             k++) {
            if (lane->torn[k].from_us <= r->row.window_start_us && r->row.window_start_us <= lane->torn[k].to_us) {
                return true;
            }
        }
    }
    return false;
}

static bool is_shown(const struct shown_span *spans, size_t count, const struct memory_row *r)
{
    for (size_t i = 0; i < count; i++) {
        if (spans[i].generation == r->generation && spans[i].from_us <= r->row.window_start_us &&
            r->row.window_start_us < spans[i].to_us) {
            return true;
        }
    }
    return false;
}

static bool row_matches(const struct memory_row *r, const struct results_query *q, const struct shown_span *spans,
                        size_t span_count)
{
    int64_t start = r->row.window_start_us;
    return (q->from_us == TIME_NONE || start >= q->from_us) && (q->to_us == TIME_NONE || start < q->to_us) &&
           (q->partition < 0 || r->partition == (uint32_t)q->partition) &&
           (q->generation < 0 ? is_shown(spans, span_count, r) : r->generation == q->generation);
}

static int order(int64_t a, int64_t b)
{
    return a < b ? -1 : a > b;
}

static int row_order(const void *a, const void *b, void *newest_first)
{
    const struct memory_row *x = *(const struct memory_row *const *)a, *y = *(const struct memory_row *const *)b;
    int c = order(x->row.window_start_us, y->row.window_start_us);
    if (c != 0) {
        return *(bool *)newest_first ? -c : c;
    }
    c = str_cmp(x->row.key, y->row.key);
    c = c ? c : order(x->partition, y->partition);
    return c ? c : order(x->generation, y->generation);
}

/* A row of an older definition may have fewer columns: the rest is NULL. */
static bool row_give(const struct memory_aggregation *a, const struct memory_row *r,
                     bool (*each)(const struct stored_row *row, void *ctx), void *ctx)
{
    struct cell keys[COLUMNS_MAX] = {0}, measures[COLUMNS_MAX] = {0};
    struct str sketches[COLUMNS_MAX] = {0};
    size_t key_count = r->key_count < a->schema.key_count ? r->key_count : a->schema.key_count;
    size_t measure_count = r->measure_count < a->schema.measure_count ? r->measure_count : a->schema.measure_count;
    memcpy(keys, r->row.keys, key_count * sizeof *keys);
    memcpy(measures, r->row.measures, measure_count * sizeof *measures);
    memcpy(sketches, r->row.sketches, measure_count * sizeof *sketches);
    struct stored_row row = {.aggregation = a->schema.name,
                             .generation = r->generation,
                             .partition = r->partition,
                             .epoch = r->epoch,
                             .row = r->row,
                             .torn = lane_is_torn(a, r)};
    row.row.keys = keys;
    row.row.measures = measures;
    row.row.sketches = sketches;
    return each(&row, ctx);
}

static bool aggregation_rows(const struct memory_aggregation *a, const struct results_query *q, int64_t *left,
                             bool (*each)(const struct stored_row *row, void *ctx), void *ctx)
{
    struct shown_span *spans = xcalloc(a->generation_count + 1, sizeof *spans);
    size_t span_count = shown_spans(a->generations, a->generation_count, a->shown, spans), count = 0;
    const struct memory_row **found = xcalloc(a->row_count + 1, sizeof(const struct memory_row *));
    for (size_t i = 0; i < a->row_count; i++) {
        if (row_matches(&a->rows[i], q, spans, span_count)) {
            found[count++] = &a->rows[i];
        }
    }
    bool newest_first = q->newest_first, more = true;
    qsort_r(found, count, sizeof *found, row_order, &newest_first);
    for (size_t i = 0; more && i < count && *left != 0; i++, --*left) {
        more = row_give(a, found[i], each, ctx);
    }
    free(found);
    free(spans);
    return more;
}

static enum err_class memory_results_rows(struct results *r, const struct results_query *q,
                                          bool (*each)(const struct stored_row *row, void *ctx), void *ctx,
                                          struct err *err)
{
    (void)err;
    const struct memory_sink *m = sink_of(r);
    int64_t left = q->limit > 0 ? q->limit : -1;
    for (size_t i = 0; i < m->aggregation_count; i++) {
        if (is_wanted(m->aggregations[i], q->aggregation) &&
            !aggregation_rows(m->aggregations[i], q, &left, each, ctx)) {
            break;
        }
    }
    return ERR_NONE;
}

/* ---- lanes */

static int tally_order(const void *a, const void *b)
{
    const struct tally_row *x = a, *y = b;
    int c = order(x->by, y->by);
    c = c ? c : order(x->minute, y->minute);
    return c ? c : order(x->bucket, y->bucket);
}

static bool lane_tally(const struct memory_sink *m, const struct memory_aggregation *a, const struct memory_lane *lane,
                       bool (*each)(const struct stored_tally *t, void *ctx), void *ctx)
{
    struct tally_row *rows = xcalloc(lane->tally_count + 1, sizeof *rows);
    if (lane->tally_count > 0) {
        memcpy(rows, lane->tally, lane->tally_count * sizeof *rows);
    }
    qsort(rows, lane->tally_count, sizeof *rows, tally_order);
    bool more = true;
    for (size_t i = 0; more && i < lane->tally_count; i++) {
        struct stored_tally t = {m->task, a->schema.name, lane->generation, lane->partition, rows[i]};
        more = each(&t, ctx);
    }
    free(rows);
    return more;
}

/* The lanes of an aggregation by generation and partition; a generation of -1: all. Returns how many. */
static int lane_order(const void *a, const void *b)
{
    const struct memory_lane *x = *(const struct memory_lane *const *)a, *y = *(const struct memory_lane *const *)b;
    int c = order(x->generation, y->generation);
    return c ? c : order(x->partition, y->partition);
}

static const struct memory_lane **lanes_sorted(const struct memory_aggregation *a)
{
    const struct memory_lane **list = xcalloc(a->lane_count + 1, sizeof(const struct memory_lane *));
    for (size_t i = 0; i < a->lane_count; i++) {
        list[i] = a->lanes[i];
    }
    qsort(list, a->lane_count, sizeof *list, lane_order);
    return list;
}

static enum err_class memory_results_tally(struct results *r, const char *aggregation,
                                           bool (*each)(const struct stored_tally *t, void *ctx), void *ctx,
                                           struct err *err)
{
    (void)err;
    const struct memory_sink *m = sink_of(r);
    bool more = true;
    for (size_t i = 0; more && i < m->aggregation_count; i++) {
        const struct memory_aggregation *a = m->aggregations[i];
        const struct memory_lane **lanes = lanes_sorted(a);
        for (size_t k = 0; more && k < a->lane_count; k++) {
            if (is_wanted(a, aggregation) && lanes[k]->generation == a->shown) {
                more = lane_tally(m, a, lanes[k], each, ctx);
            }
        }
        free(lanes);
    }
    return ERR_NONE;
}

static int64_t begin_of(const struct memory_aggregation *a, const struct memory_lane *lane)
{
    const struct generation *g = &a->generations[lane->generation];
    return lane->partition < g->begin_count ? g->begins[lane->partition].position : 0;
}

static enum err_class memory_results_lines(struct results *r, bool (*each)(const struct stored_line *l, void *ctx),
                                           void *ctx, struct err *err)
{
    (void)err;
    const struct memory_sink *m = sink_of(r);
    bool more = true;
    for (size_t i = 0; more && i < m->aggregation_count; i++) {
        const struct memory_aggregation *a = m->aggregations[i];
        const struct memory_lane **lanes = lanes_sorted(a);
        for (size_t k = 0; more && k < a->lane_count; k++) {
            struct stored_line line = {m->task,
                                       a->schema.name,
                                       lanes[k]->generation,
                                       lanes[k]->partition,
                                       lanes[k]->line,
                                       lanes[k]->generation == a->shown,
                                       begin_of(a, lanes[k])};
            more = each(&line, ctx);
        }
        free(lanes);
    }
    return ERR_NONE;
}

static enum err_class memory_results_torn(struct results *r, const char *aggregation,
                                          bool (*each)(uint32_t partition, const struct torn_span *t, void *ctx),
                                          void *ctx, struct err *err)
{
    (void)err;
    const struct memory_sink *m = sink_of(r);
    bool more = true;
    for (size_t i = 0; i < m->aggregation_count; i++) {
        const struct memory_aggregation *a = m->aggregations[i];
        const struct memory_lane **lanes = lanes_sorted(a);
        for (size_t k = 0; k < a->lane_count; k++) {
            bool wanted = is_wanted(a, aggregation) && lanes[k]->generation == a->shown;
            for (size_t n = 0; more && wanted && n < lanes[k]->torn_count; n++) {
                more = each(lanes[k]->partition, &lanes[k]->torn[n], ctx);
            }
        }
        free(lanes);
    }
    return ERR_NONE;
}

static enum err_class memory_results_mark(struct results *r, const char *aggregation, int64_t generation,
                                          uint32_t partition, int64_t from_us, struct arena *arena,
                                          struct mark *ret_mark, bool *ret_found, struct err *err)
{
    (void)err;
    const struct memory_sink *m = sink_of(r);
    *ret_found = false;
    for (size_t i = 0; i < m->aggregation_count; i++) {
        const struct memory_aggregation *a = m->aggregations[i];
        for (size_t k = 0; is_wanted(a, aggregation) && k < a->lane_count; k++) {
            const struct memory_lane *lane = a->lanes[k];
            bool right = lane->generation == generation && lane->partition == partition;
            for (size_t n = 0; right && n < lane->mark_count; n++) {
                if (lane->marks[n].before.stream_us < from_us) { /* TIME_NONE is below all */
                    *ret_mark = lane->marks[n];
                    *ret_found = true;
                }
            }
        }
    }
    if (*ret_found && ret_mark->before.topic.ptr != NULL) {
        ret_mark->before.topic = arena_dup(arena, ret_mark->before.topic);
    }
    return ERR_NONE;
}

static enum err_class memory_results_dead(struct results *r, int64_t from_id,
                                          bool (*each)(const struct dead_letter *d, void *ctx), void *ctx,
                                          struct err *err)
{
    (void)err;
    const struct memory_sink *m = sink_of(r);
    for (size_t i = 0; i < m->dead_count; i++) {
        if (m->dead[i].id >= from_id && !each(&m->dead[i], ctx)) {
            break;
        }
    }
    return ERR_NONE;
}

static const struct results_ops memory_results_ops = {
    .close = memory_results_close,
    .hold = memory_results_hold,
    .release = memory_results_release,
    .aggregations = memory_results_aggregations,
    .rows = memory_results_rows,
    .tally = memory_results_tally,
    .lines = memory_results_lines,
    .torn = memory_results_torn,
    .mark = memory_results_mark,
    .dead = memory_results_dead,
};

enum err_class results_of_memory(struct sink *memory_sink, struct results **ret_results, struct err *err)
{
    if (memory_sink->ops != &memory_sink_ops) {
        return err_set(err, ERR_FATAL, EXIT_INTERNAL, "sink \"%s\" is not a memory sink", memory_sink->ops->name);
    }
    struct memory_results *r = xcalloc(1, sizeof *r);
    r->base.ops = &memory_results_ops;
    r->sink = (const struct memory_sink *)memory_sink;
    *ret_results = &r->base;
    return ERR_NONE;
}
