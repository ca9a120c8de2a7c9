/* SPDX-License-Identifier: MIT
 *
 * memory.c - a sink that keeps everything in memory, for tests: the same rules as results.db, nothing durable. It
 * outlives its task: a test that "crashes" a task opens a new one on the same sink, and prepare() is then called again.
 */
#include "sink/memory.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/hash.h"

#include <stdlib.h>

static struct memory_sink *memory_of(struct sink *s)
{
    return (struct memory_sink *)s;
}

/* ---- schemas */

static const struct column *columns_copy(struct arena *arena, const struct column *from, size_t count)
{
    struct column *to = arena_alloc(arena, (count + 1) * sizeof *to);
    for (size_t i = 0; i < count; i++) {
        to[i] = from[i];
        to[i].name = arena_dup(arena, str_of(from[i].name)).ptr;
        to[i].label = arena_dup(arena, str_of(from[i].label)).ptr;
    }
    return to;
}

static void schema_store(struct memory_aggregation *a, const struct result_schema *schema)
{
    a->schema = *schema;
    a->schema.name = arena_dup(&a->memory, str_of(schema->name)).ptr;
    a->schema.definition = arena_dup(&a->memory, str_of(schema->definition)).ptr;
    a->schema.keys = columns_copy(&a->memory, schema->keys, schema->key_count);
    a->schema.measures = columns_copy(&a->memory, schema->measures, schema->measure_count);
}

static struct memory_aggregation *aggregation_for(struct memory_sink *m, const struct result_schema *schema)
{
    for (size_t i = 0; i < m->aggregation_count; i++) {
        if (strcmp(m->aggregations[i]->schema.name, schema->name) == 0) {
            return m->aggregations[i];
        }
    }
    struct memory_aggregation *a = xcalloc(1, sizeof *a);
    a->shown = -1;
    m->aggregations = xrealloc(m->aggregations, (m->aggregation_count + 1) * sizeof *m->aggregations);
    m->aggregations[m->aggregation_count++] = a;
    return a;
}

static enum err_class memory_prepare(struct sink *s, const struct result_schema *const *schemas, size_t count,
                                     struct err *err)
{
    struct memory_sink *m = memory_of(s);
    if (schemas_check(schemas, count, err)) {
        return ERR_REJECT;
    }
    m->prepared = xrealloc(m->prepared, (count + 1) * sizeof(struct memory_aggregation *));
    m->prepared_count = count;
    for (size_t i = 0; i < count; i++) {
        m->prepared[i] = aggregation_for(m, schemas[i]);
        schema_store(m->prepared[i], schemas[i]);
    }
    return ERR_NONE;
}

/* ---- generations (R15) */

static enum err_class memory_generations(struct sink *s, size_t aggregation, struct arena *arena,
                                         const struct generation **ret_list, size_t *ret_count, int64_t *ret_shown,
                                         struct err *err)
{
    (void)err;
    struct memory_aggregation *a = memory_of(s)->prepared[aggregation];
    struct generation *list = arena_alloc(arena, (a->generation_count + 1) * sizeof *list);
    for (size_t i = 0; i < a->generation_count; i++) {
        list[i] = generation_copy(&a->generations[i], arena);
    }
    *ret_list = list;
    *ret_count = a->generation_count;
    *ret_shown = a->shown;
    return ERR_NONE;
}

static enum err_class memory_begin(struct sink *s, size_t aggregation, const struct generation *g, bool show,
                                   struct err *err)
{
    struct memory_aggregation *a = memory_of(s)->prepared[aggregation];
    bool repeat = a->generation_count > 0 && generation_same(&a->generations[a->generation_count - 1], g);
    if (!repeat && g->number != (int64_t)a->generation_count) {
        return fenced(err, a->schema.name, g->number, 0, "there is such a generation already");
    }
    if (!repeat) {
        GROW(a->generations, a->generation_count, a->generation_cap);
        a->generations[a->generation_count++] = generation_copy(g, &a->memory);
    }
    if (show) {
        a->shown = g->number;
    }
    return ERR_NONE;
}

/* ---- lanes */

static struct memory_lane *lane_find(const struct memory_aggregation *a, int64_t generation, uint32_t partition)
{
    for (size_t i = 0; i < a->lane_count; i++) {
        if (a->lanes[i]->generation == generation && a->lanes[i]->partition == partition) {
            return a->lanes[i];
        }
    }
    return NULL;
}

static struct memory_lane *lane_make(struct memory_aggregation *a, int64_t generation, uint32_t partition)
{
    struct memory_lane *lane = lane_find(a, generation, partition);
    if (lane == NULL) {
        GROW(a->lanes, a->lane_count, a->lane_cap);
        lane = a->lanes[a->lane_count++] = xcalloc(1, sizeof *lane);
        lane->generation = generation;
        lane->partition = partition;
    }
    return lane;
}

static enum err_class memory_line(struct sink *s, size_t aggregation, int64_t generation, uint32_t partition,
                                  struct arena *arena, struct task_line *ret_line, bool *ret_found, struct err *err)
{
    (void)err;
    const struct memory_lane *lane = lane_find(memory_of(s)->prepared[aggregation], generation, partition);
    *ret_found = lane != NULL && lane->line.version > 0;
    if (*ret_found) {
        *ret_line = task_line_copy(&lane->line, arena);
    }
    return ERR_NONE;
}

/* ---- rows */

/* One block: key, cells, texts, sketches. */
static void *row_block(const struct result_row *from, size_t key_count, size_t measure_count, struct result_row *to)
{
    size_t cells = key_count + measure_count, size = cells * sizeof(struct cell) + measure_count * sizeof(struct str);
    const struct cell *source[2] = {from->keys, from->measures};
    size_t counts[2] = {key_count, measure_count};
    size_t texts = from->key.len;
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; i < counts[side]; i++) {
            texts += source[side][i].kind == CELL_TEXT ? source[side][i].text.len : 0;
        }
    }
    for (size_t i = 0; from->sketches != NULL && i < measure_count; i++) {
        texts += from->sketches[i].len;
    }
    char *block = xcalloc(1, size + texts + 1), *at = block + size;
    struct cell *target = (struct cell *)(void *)block;
    struct str *sketches = (struct str *)(void *)(target + cells);
    *to = *from;
    to->keys = target;
    to->measures = target + key_count;
    to->sketches = sketches;
    to->key = str_n(memcpy(at, from->key.len ? from->key.ptr : "", from->key.len), from->key.len);
    at += from->key.len;
    for (size_t i = 0; i < cells; i++) {
        target[i] = i < key_count ? from->keys[i] : from->measures[i - key_count];
        if (target[i].kind == CELL_TEXT && target[i].text.len > 0) {
            memcpy(at, target[i].text.ptr, target[i].text.len);
            target[i].text.ptr = at;
            at += target[i].text.len;
        }
    }
    for (size_t i = 0; from->sketches != NULL && i < measure_count; i++) {
        sketches[i] = str_n(at, from->sketches[i].len);
        if (from->sketches[i].len > 0) {
            memcpy(at, from->sketches[i].ptr, from->sketches[i].len);
        }
        at += from->sketches[i].len;
    }
    return block;
}

static uint64_t row_hash(int64_t generation, uint32_t partition, int64_t start_us, struct str key)
{
    uint64_t mix = (uint64_t)generation * 0x9e3779b97f4a7c15U + partition * 0xbf58476d1ce4e5b9U + (uint64_t)start_us;
    return hash_bytes(key, hash_process_seed() ^ mix * 0x94d049bb133111ebU);
}

static bool row_is(const struct memory_row *r, int64_t generation, uint32_t partition, const struct result_row *row)
{
    return r->generation == generation && r->partition == partition && r->row.window_start_us == row->window_start_us &&
           str_eq(r->row.key, row->key);
}

static void slots_grow(struct memory_aggregation *a)
{
    if (a->row_count * 2 < a->slot_count) {
        return;
    }
    free(a->slots);
    a->slot_count = a->slot_count ? a->slot_count * 2 : 64;
    a->slots = xcalloc(a->slot_count, sizeof *a->slots);
    for (size_t i = 0; i < a->row_count; i++) {
        const struct memory_row *r = &a->rows[i];
        size_t at = row_hash(r->generation, r->partition, r->row.window_start_us, r->row.key) & (a->slot_count - 1);
        while (a->slots[at] != 0) {
            at = (at + 1) & (a->slot_count - 1);
        }
        a->slots[at] = (uint32_t)i + 1;
    }
}

static void row_put(struct memory_aggregation *a, const struct lane_commit *l, const struct result_row *row,
                    int64_t wall_us)
{
    slots_grow(a);
    size_t at = row_hash(l->generation, l->partition, row->window_start_us, row->key) & (a->slot_count - 1);
    while (a->slots[at] != 0 && !row_is(&a->rows[a->slots[at] - 1], l->generation, l->partition, row)) {
        at = (at + 1) & (a->slot_count - 1);
    }
    struct memory_row *r;
    if (a->slots[at] == 0) {
        GROW(a->rows, a->row_count, a->row_cap);
        r = &a->rows[a->row_count++];
        *r = (struct memory_row){.generation = l->generation, .partition = l->partition, .created_us = wall_us};
        a->slots[at] = (uint32_t)a->row_count;
    } else {
        r = &a->rows[a->slots[at] - 1];
        if (!row_rank_above((struct row_rank){l->epoch, row->revision, row->final},
                            (struct row_rank){r->epoch, r->row.revision, r->row.final})) {
            return;
        }
    }
    free(r->block);
    r->epoch = l->epoch;
    r->key_count = a->schema.key_count;
    r->measure_count = a->schema.measure_count;
    r->block = row_block(row, r->key_count, r->measure_count, &r->row);
}

/* ---- ledger, torn spans, marks, dead letters */

static void tally_put(struct memory_lane *lane, const struct tally_row *row)
{
    for (size_t i = 0; i < lane->tally_count; i++) {
        struct tally_row *t = &lane->tally[i];
        if (t->by == row->by && t->minute == row->minute && t->bucket == row->bucket) {
            t->count += row->count;
            return;
        }
    }
    GROW(lane->tally, lane->tally_count, lane->tally_cap);
    lane->tally[lane->tally_count++] = *row;
}

/* Old minutes share the row `older` (R12), old marks go: replay then begins where the generation does. */
static void lane_fold(struct memory_lane *lane)
{
    int64_t floor = ledger_floor(&lane->line);
    size_t kept = 0;
    for (size_t i = 0; i < lane->tally_count; i++) {
        struct tally_row row = lane->tally[i];
        if (!minute_is_plain(row.minute) || row.minute >= floor) {
            lane->tally[kept++] = row;
            continue;
        }
        row.minute = TALLY_OLDER;
        size_t end = lane->tally_count;
        lane->tally_count = kept;
        tally_put(lane, &row); /* at most one more row than was taken away */
        kept = lane->tally_count;
        lane->tally_count = end;
    }
    lane->tally_count = kept;
    size_t old = 0;
    while (old < lane->mark_count && lane->marks[old].arrival_minute < floor) {
        old++;
    }
    if (old > 0) {
        memmove(lane->marks, lane->marks + old, (lane->mark_count - old) * sizeof *lane->marks);
        lane->mark_count -= old;
    }
}

static void torn_put(struct memory_lane *lane, const struct torn_span *span)
{
    for (size_t i = 0; i < lane->torn_count; i++) {
        if (lane->torn[i].from_us == span->from_us && lane->torn[i].to_us == span->to_us) {
            return;
        }
    }
    if (lane->torn_count == TORN_MAX) {
        struct torn_span *t = lane->torn;
        t[1].from_us = t[0].from_us < t[1].from_us ? t[0].from_us : t[1].from_us;
        t[1].to_us = t[0].to_us > t[1].to_us ? t[0].to_us : t[1].to_us;
        memmove(t, t + 1, --lane->torn_count * sizeof *t);
    }
    GROW(lane->torn, lane->torn_count, lane->torn_cap);
    lane->torn[lane->torn_count++] = *span;
}

static void mark_put(struct memory_lane *lane, const struct mark *mark)
{
    if (lane->mark_count > 0 && lane->marks[lane->mark_count - 1].offset >= mark->offset) {
        return;
    }
    GROW(lane->marks, lane->mark_count, lane->mark_cap);
    struct mark *m = &lane->marks[lane->mark_count++];
    *m = *mark;
    if (mark->before.topic.ptr != NULL) {
        m->before.topic = arena_dup(&lane->mark_memory, mark->before.topic);
    }
}

static void dead_put(struct memory_sink *m, const struct dead_letter *d)
{
    GROW(m->dead, m->dead_count, m->dead_cap);
    struct dead_letter *to = &m->dead[m->dead_count++];
    *to = *d;
    to->id = (int64_t)m->dead_count;
    to->stage = arena_dup(&m->dead_memory, str_of(d->stage)).ptr;
    to->reason = arena_dup(&m->dead_memory, str_of(d->reason)).ptr;
    to->detail = arena_dup(&m->dead_memory, d->detail);
    to->position = arena_dup(&m->dead_memory, d->position);
    to->bytes = arena_dup(&m->dead_memory, d->bytes);
}

/* ---- commit */

static enum err_class lane_check(struct memory_sink *m, const struct lane_commit *l, struct err *err)
{
    const struct memory_aggregation *a = m->prepared[l->aggregation];
    if (l->generation != (int64_t)a->generation_count - 1 && !fault("R15.generation_fence")) {
        return fenced(err, a->schema.name, l->generation, l->partition, "this is not the last generation");
    }
    const struct memory_lane *lane = lane_find(a, l->generation, l->partition);
    if ((lane ? lane->line.version : 0) != l->old_version && !fault("R11.version_fence")) {
        return fenced(err, a->schema.name, l->generation, l->partition, "its line was moved");
    }
    return ERR_NONE;
}

static void lane_apply(struct memory_sink *m, const struct lane_commit *l, int64_t wall_us)
{
    struct memory_aggregation *a = m->prepared[l->aggregation];
    struct memory_lane *lane = lane_make(a, l->generation, l->partition);
    for (size_t i = 0; i < l->row_count; i++) {
        row_put(a, l, &l->rows[i], wall_us);
    }
    struct arena fresh = {0};
    struct task_line line = task_line_copy(&l->line, &fresh); /* before the old one goes: it may be borrowed from it */
    arena_fini(&lane->line_memory);
    lane->line_memory = fresh;
    lane->line = line;
    lane->line.version = l->old_version + 1;
    for (size_t i = 0; i < l->tally_count; i++) {
        tally_put(lane, &l->tally[i]);
    }
    for (size_t i = 0; i < l->torn_count; i++) {
        torn_put(lane, &l->torn[i]);
    }
    for (size_t i = 0; i < l->mark_count; i++) {
        mark_put(lane, &l->marks[i]);
    }
    lane_fold(lane);
    if (l->show) {
        a->shown = l->generation;
    }
}

static enum err_class memory_commit(struct sink *s, const struct task_commit *commit, struct err *err)
{
    struct memory_sink *m = memory_of(s);
    if (failpoint("sink.before_commit")) {
        return err_set(err, ERR_RETRY, EXIT_IOERR, "cannot commit: busy");
    }
    for (size_t i = 0; i < commit->lane_count; i++) {
        enum err_class c = lane_check(m, &commit->lanes[i], err);
        if (c) {
            return c;
        }
    }
    for (size_t i = 0; i < commit->lane_count; i++) {
        lane_apply(m, &commit->lanes[i], commit->wall_us);
    }
    for (size_t i = 0; i < commit->dead_count; i++) {
        dead_put(m, &commit->dead[i]);
    }
    return ERR_NONE;
}

/* ---- life */

static void lane_free(struct memory_lane *lane)
{
    arena_fini(&lane->line_memory);
    arena_fini(&lane->mark_memory);
    free(lane->tally);
    free(lane->torn);
    free(lane->marks);
    free(lane);
}

static void aggregation_free(struct memory_aggregation *a)
{
    for (size_t i = 0; i < a->row_count; i++) {
        free(a->rows[i].block);
    }
    for (size_t i = 0; i < a->lane_count; i++) {
        lane_free(a->lanes[i]);
    }
    arena_fini(&a->memory);
    free(a->generations);
    free(a->rows);
    free(a->slots);
    free(a->lanes);
    free(a);
}

static void memory_close(struct sink *s)
{
    if (s == NULL) {
        return;
    }
    struct memory_sink *m = memory_of(s);
    for (size_t i = 0; i < m->aggregation_count; i++) {
        aggregation_free(m->aggregations[i]);
    }
    arena_fini(&m->dead_memory);
    free(m->dead);
    free(m->aggregations);
    free(m->prepared);
    free(m->task);
    free(m);
}

const struct sink_ops memory_sink_ops = {
    .name = "memory",
    .prepare = memory_prepare,
    .generations = memory_generations,
    .begin = memory_begin,
    .line = memory_line,
    .commit = memory_commit,
    .close = memory_close,
};

enum err_class sink_open_memory(const struct sink_options *options, struct sink **ret_sink, struct err *err)
{
    (void)err;
    struct memory_sink *m = xcalloc(1, sizeof *m);
    m->base.ops = &memory_sink_ops;
    m->task = str_dup(str_of(options->task));
    *ret_sink = &m->base;
    return ERR_NONE;
}
