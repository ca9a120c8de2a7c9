/* SPDX-License-Identifier: MIT
 *
 * recompute.c - see recompute.h. For each partition: the mark before the span (R12) says where to begin and with which
 * time state; a fresh lane reads from there into a memory sink; the two sets of rows are merged in key order.
 */
#include "app/recompute.h"

#include "compute/lane.h"
#include "journal/journal.h"

#include <stdlib.h>

enum { READ_AT_ONCE = 4096, COMMIT_EVERY = 200000 };

struct recomputing {
    const struct recompute_options *options;
    void (*each)(const struct recompute_finding *f, void *ctx);
    void *ctx;
    struct recompute_summary *summary;
    struct results *results;
    struct journal_reader *reader;
    struct journal_info info;
    struct arena arena;
    /* of the aggregation at hand */
    const struct stored_aggregation *stored;
    struct aggregation *aggregation;
    struct field_set *set;
    struct value *values;
};

struct wanted_line {
    const char *aggregation;
    int64_t generation;
    uint32_t partition;
    bool found;
    struct task_line line;
};

static bool take_line(const struct stored_line *l, void *ctx)
{
    struct wanted_line *w = ctx;
    if (l->partition == w->partition && l->generation == w->generation && strcmp(l->aggregation, w->aggregation) == 0) {
        w->line = l->line;
        w->line.now.topic = w->line.before.topic = (struct str){0}; /* not needed, and not ours to keep */
        w->line.gaps = NULL;
        w->line.gap_count = 0;
        w->found = true;
    }
    return true;
}

/* ---- the rows of one side */

struct side {
    struct arena *arena;
    struct stored_row *rows;
    size_t count, cap;
    size_t key_count, measure_count;
    bool full;
};

static struct cell copy_cell(struct arena *a, struct cell c)
{
    if (c.kind == CELL_TEXT)
        c.text = arena_dup(a, c.text);
    return c;
}

static bool keep_row(const struct stored_row *row, void *ctx)
{
    struct side *s = ctx;
    if (s->count == RECOMPUTE_ROWS_MAX) {
        s->full = true;
        return false;
    }
    if (s->count == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 1024;
        s->rows = xrealloc(s->rows, s->cap * sizeof *s->rows);
    }
    struct stored_row *copy = &s->rows[s->count++];
    *copy = *row;
    copy->row.key = arena_dup(s->arena, row->row.key);
    struct cell *measures = arena_alloc(s->arena, (s->measure_count + 1) * sizeof *measures);
    for (size_t i = 0; i < s->measure_count; i++)
        measures[i] = copy_cell(s->arena, row->row.measures[i]);
    copy->row.measures = measures;
    copy->row.keys = NULL;
    copy->row.sketches = NULL;
    return true;
}

static int compare_places(const struct result_row *a, const struct result_row *b)
{
    if (a->window_start_us != b->window_start_us)
        return a->window_start_us < b->window_start_us ? -1 : 1;
    return str_cmp(a->key, b->key);
}

static bool same_cell(const struct cell *a, const struct cell *b)
{
    if (a->kind != b->kind)
        return false;
    return a->kind == CELL_NULL || (a->kind == CELL_TEXT ? str_eq(a->text, b->text) : a->number == b->number);
}

static bool same_row(const struct result_row *a, const struct result_row *b, size_t measures)
{
    for (size_t i = 0; i < measures; i++) {
        if (!same_cell(&a->measures[i], &b->measures[i]))
            return false;
    }
    return a->revision == b->revision && a->final == b->final && a->closed_by == b->closed_by &&
           a->window_end_us == b->window_end_us;
}

static void say(struct recomputing *r, enum recompute_what what, uint32_t partition, const struct result_row *computed,
                const struct result_row *stored)
{
    struct recompute_finding f = {what, r->stored, partition, computed, stored};
    r->summary->findings += what != RECOMPUTE_ROW;
    r->each(&f, r->ctx);
}

static void compare_sides(struct recomputing *r, uint32_t partition, const struct side *computed,
                          const struct side *stored)
{
    size_t i = 0, j = 0;
    while (i < computed->count || j < stored->count) {
        const struct result_row *a = i < computed->count ? &computed->rows[i].row : NULL,
                                *b = j < stored->count ? &stored->rows[j].row : NULL;
        int order = !a ? 1 : !b ? -1 : compare_places(a, b);
        if (order < 0)
            say(r, RECOMPUTE_MISSING, partition, a, NULL);
        else if (order > 0)
            say(r, RECOMPUTE_EXTRA, partition, NULL, b);
        else if (!same_row(a, b, r->stored->measure_count))
            say(r, RECOMPUTE_DIFFERENT, partition, a, b);
        i += order <= 0;
        j += order >= 0;
    }
}

/* ---- windows that cannot be checked */

struct torn_list {
    uint32_t partition;
    struct torn_span spans[256];
    size_t count;
    bool all; /* more than fit: check nothing rather than something wrong */
};

static bool add_torn(uint32_t partition, const struct torn_span *t, void *ctx)
{
    struct torn_list *l = ctx;
    if (partition != l->partition)
        return true;
    if (l->count == sizeof l->spans / sizeof *l->spans)
        l->all = true;
    else
        l->spans[l->count++] = *t;
    return true;
}

static bool can_check(const struct torn_list *torn, int64_t start_us, int64_t first_us)
{
    if (torn->all || start_us < first_us)
        return false;
    for (size_t i = 0; i < torn->count; i++) {
        if (torn->spans[i].from_us <= start_us && start_us <= torn->spans[i].to_us)
            return false;
    }
    return true;
}

static void drop_unchecked(struct recomputing *r, struct side *side, const struct torn_list *torn, int64_t first_us)
{
    size_t kept = 0;
    for (size_t i = 0; i < side->count; i++) {
        if (can_check(torn, side->rows[i].row.window_start_us, first_us))
            side->rows[kept++] = side->rows[i];
        else
            r->summary->skipped++;
    }
    side->count = kept;
}

/* ---- reading again */

static enum err_class commit_lane(struct lane *lane, struct sink *sink, struct err *err)
{
    AUTO(arena) struct arena arena = {0};
    struct lane_commit commit;
    if (!lane_commit(lane, &arena, &commit))
        return ERR_NONE;
    commit.show = true;
    commit.aggregation = 0;
    commit.generation = 0;
    struct task_commit task = {.lanes = &commit, .lane_count = 1};
    enum err_class cls = sink->ops->commit(sink, &task, err);
    if (!cls)
        lane_committed(lane, &commit);
    return cls;
}

static enum err_class read_span(struct recomputing *r, struct lane *lane, uint32_t partition, int64_t to,
                                struct sink *sink, struct err *err)
{
    AUTO(arena) struct arena arena = {0};
    size_t since_commit = 0;
    while (lane_next(lane) < to) {
        struct journal_page page;
        arena_reset(&arena);
        enum err_class cls =
            journal_reader_read(r->reader, partition, lane_next(lane), READ_AT_ONCE, &arena, &page, err);
        if (cls || page.count == 0)
            return cls ? cls : commit_lane(lane, sink, err);
        for (size_t i = 0; i < page.count && page.records[i].offset < to; i++) {
            struct decoded d;
            enum dead_reason dead;
            decode_record(r->set, &page.records[i], r->values, &d);
            cls = lane_feed(lane, &d, &dead, err);
            if (cls)
                return cls;
        }
        since_commit += page.count;
        if (since_commit >= COMMIT_EVERY) {
            since_commit = 0;
            if (commit_lane(lane, sink, err))
                return err->cls;
        }
        if (page.records[page.count - 1].offset >= to)
            break;
    }
    return commit_lane(lane, sink, err);
}

/* Where to begin so that all windows of the span are whole. */
static enum err_class find_begin(struct recomputing *r, uint32_t partition, const struct task_line *stored,
                                 struct task_line *ret_begin, struct err *err)
{
    struct mark mark;
    bool found;
    int64_t head, end;
    *ret_begin = (struct task_line){.arrival_us = TIME_NONE, .first_window_us = stored->first_window_us};
    ret_begin->now.stream_us = TIME_NONE;
    if (results_mark(r->results, r->stored->name, r->stored->shown, partition, r->options->from_us, &r->arena, &mark,
                     &found, err) ||
        journal_reader_bounds(r->reader, partition, &head, &end, err))
        return err->cls;
    if (found) {
        ret_begin->position = mark.offset;
        ret_begin->now = mark.before;
    }
    if (head > ret_begin->position) {
        return err_set(err, ERR_REJECT, EXIT_INCOMPLETE,
                       "partition %u: the records from offset %lld on are needed, the journal begins at %lld; take a "
                       "later --from",
                       partition, (long long)ret_begin->position, (long long)head);
    }
    ret_begin->before = ret_begin->now;
    ret_begin->replay_from = ret_begin->position;
    return ERR_NONE;
}

static enum err_class compute_rows(struct recomputing *r, uint32_t partition, const struct task_line *stored,
                                   struct side *side, struct err *err)
{
    struct task_line begin;
    struct sink *sink = NULL;
    struct results *results = NULL;
    const struct result_schema *schema = aggregation_schema(r->aggregation);
    if (find_begin(r, partition, stored, &begin, err))
        return err->cls;
    struct sink_options options = {.task = "recompute", .clock = &clock_real};
    struct generation generation = {.base = -1, .first_window_us = WINDOW_ALL};
    struct lane *lane = lane_new(r->aggregation, 0, 0, 0, partition, &begin, r->info.seed);
    enum err_class cls = sink_open_memory(&options, &sink, err);
    if (!cls)
        cls = sink->ops->prepare(sink, &schema, 1, err);
    if (!cls)
        cls = sink->ops->begin(sink, 0, &generation, true, err);
    if (!cls)
        cls = read_span(r, lane, partition, stored->position, sink, err);
    if (!cls)
        cls = results_of_memory(sink, &results, err);
    if (!cls) {
        struct results_query query = {
            r->stored->name, r->options->from_us, r->options->to_us, (int32_t)partition, 0, false, 0};
        cls = results_rows(results, &query, keep_row, side, err);
    }
    results_close(results);
    if (sink)
        sink->ops->close(sink);
    lane_free(lane);
    return cls;
}

static enum err_class recompute_partition(struct recomputing *r, uint32_t partition, struct err *err)
{
    struct wanted_line line = {r->stored->name, r->stored->shown, partition, false, {0}};
    struct torn_list torn = {.partition = partition};
    struct side computed = {.arena = &r->arena, .measure_count = r->stored->measure_count}, stored = computed;
    enum err_class cls = results_lines(r->results, take_line, &line, err);
    if (cls || !line.found)
        return cls;
    struct results_query query = {
        r->stored->name, r->options->from_us, r->options->to_us, (int32_t)partition, r->stored->shown, false, 0};
    cls = results_torn(r->results, r->stored->name, add_torn, &torn, err);
    if (!cls)
        cls = compute_rows(r, partition, &line.line, &computed, err);
    if (!cls)
        cls = results_rows(r->results, &query, keep_row, &stored, err);
    if (!cls && (computed.full || stored.full))
        cls = err_set(err, ERR_REJECT, EXIT_INCOMPLETE, "the span holds more than %zu rows; take a shorter one",
                      RECOMPUTE_ROWS_MAX);
    if (!cls) {
        drop_unchecked(r, &computed, &torn, line.line.first_window_us);
        drop_unchecked(r, &stored, &torn, line.line.first_window_us);
        r->summary->rows += (int64_t)computed.count;
        if (r->options->diff)
            compare_sides(r, partition, &computed, &stored);
        for (size_t i = 0; i < computed.count && !r->options->diff; i++)
            say(r, RECOMPUTE_ROW, partition, &computed.rows[i].row, NULL);
    }
    free(computed.rows);
    free(stored.rows);
    return cls;
}

static enum err_class recompute_aggregation(struct recomputing *r, const struct aggregation_options *declared,
                                            struct err *err)
{
    r->set = field_set_new();
    enum err_class cls = aggregation_new(declared, 0, r->set, &r->aggregation, err);
    if (!cls && strcmp(aggregation_schema(r->aggregation)->definition, r->stored->definition) != 0) {
        cls = err_set(err, ERR_REJECT, EXIT_CONFIG,
                      "aggregation \"%s\" is declared otherwise now than when its rows were made; run it first, or "
                      "take the old configuration",
                      declared->name);
    }
    if (!cls) {
        r->values = xcalloc(field_set_count(r->set), sizeof *r->values);
        for (uint32_t p = 0; !cls && p < r->info.partitions; p++)
            cls = recompute_partition(r, p, err);
        free(r->values);
        aggregation_free(r->aggregation);
    }
    field_set_free(r->set);
    return cls;
}

static enum err_class recompute_all(struct recomputing *r, struct err *err)
{
    const struct stored_aggregation *list;
    size_t count;
    if (journal_reader_info(r->reader, &r->info, err) ||
        results_aggregations(r->results, &r->arena, &list, &count, err))
        return err->cls;
    const struct config *c = r->options->config;
    for (size_t i = 0; i < count; i++) {
        r->stored = &list[i];
        for (size_t n = 0; n < c->aggregation_count; n++) {
            if (strcmp(c->aggregations[n].name, list[i].name) == 0 &&
                recompute_aggregation(r, &c->aggregations[n], err))
                return err->cls;
        }
    }
    return ERR_NONE;
}

enum err_class recompute(const struct recompute_options *options,
                         void (*each)(const struct recompute_finding *f, void *ctx), void *ctx,
                         struct recompute_summary *ret_summary, struct err *err)
{
    struct recomputing r = {.options = options, .each = each, .ctx = ctx, .summary = ret_summary};
    *ret_summary = (struct recompute_summary){0};
    enum err_class cls = results_open(options->place.directory, &r.results, err);
    if (!cls)
        cls = journal_reader_open_at(&options->place, &r.reader, err);
    if (!cls)
        cls = recompute_all(&r, err);
    journal_reader_close(r.reader);
    results_close(r.results);
    arena_fini(&r.arena);
    return cls;
}
