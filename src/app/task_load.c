/* SPDX-License-Identifier: MIT
 *
 * task_load.c - what a start does (R10, R15): is this the journal that was read, is each aggregation still what it was,
 * and where does each lane go on.
 *
 * A generation is one definition of one aggregation, from some offset of some journal on. Another journal, a tail that
 * was lost and written anew, or a changed definition begins a new one, computed from the oldest journal record. It must
 * not show windows whose first records are gone: where a head was removed, or the journal itself is younger than the
 * results, it shows windows that begin after the arrival of the first record there is, plus the skew (nothing that
 * arrived later can belong to an earlier window and still be missing); older windows stay with the generation before.
 */
#include "app/task_private.h"

#include "base/diag.h"
#include "base/fault.h"

#include <stdlib.h>

struct stored { /* what the sink has of one aggregation */
    const struct generation *list;
    size_t count;
    int64_t shown;
};

struct load {
    struct task *t;
    struct arena memory;
    struct stored *stored; /* by aggregation */
    bool may_begin;        /* a generation */
};

/* ---- lines */

struct generation_begin generation_begin_of(const struct generation *g, uint32_t partition)
{
    if (partition < g->begin_count) {
        return g->begins[partition];
    }
    return (struct generation_begin){.arrival_us = TIME_NONE};
}

static struct task_line line_begin(const struct generation *g, uint32_t p)
{
    struct generation_begin b = generation_begin_of(g, p);
    struct time_state empty = {.stream_us = TIME_NONE};
    return (struct task_line){.position = b.position,
                              .has_last = b.has_last,
                              .last = b.last,
                              .now = empty,
                              .arrival_us = b.arrival_us,
                              .replay_from = b.position,
                              .before = empty,
                              .first_window_us = g->first_window_us};
}

static enum err_class line_read(struct task *t, size_t aggregation, const struct generation *g, uint32_t p,
                                struct arena *arena, struct task_line *ret_line, struct err *err)
{
    bool found = false;
    enum err_class cls = t->sink->ops->line(t->sink, aggregation, g->number, p, arena, ret_line, &found, err);
    if (cls == ERR_NONE && !found) {
        *ret_line = line_begin(g, p);
    }
    return cls;
}

/* ---- is it the same journal? */

static enum err_class first_record(struct task *t, uint32_t p, int64_t from, struct arena *arena,
                                   struct record *ret_record, bool *ret_found, struct err *err)
{
    struct journal_page page = {0};
    enum err_class cls = journal_reader_read(t->reader, p, from, 1, arena, &page, err);
    *ret_found = cls == ERR_NONE && page.count > 0;
    if (*ret_found) {
        *ret_record = page.records[0];
    }
    return cls;
}

/* Is the record before the position still the one that was read, where it is still kept? */
static enum err_class line_matches(struct task *t, uint32_t p, const struct task_line *line, struct arena *arena,
                                   bool *ret_same, struct err *err)
{
    int64_t head, end;
    enum err_class cls = journal_reader_bounds(t->reader, p, &head, &end, err);
    *ret_same = true;
    if (cls != ERR_NONE || !line->has_last || fault("R15.cut")) {
        return cls;
    }
    *ret_same = line->position <= end;
    if (!*ret_same || line->position - 1 < head) {
        return ERR_NONE;
    }
    struct record r = {0};
    bool found = false;
    cls = first_record(t, p, line->position - 1, arena, &r, &found, err);
    *ret_same = !found || r.offset != line->position - 1 || record_identity(&r) == line->last;
    return cls;
}

static enum err_class refuse_journal(const struct load *l, size_t aggregation, struct err *err)
{
    const struct stored *s = &l->stored[aggregation];
    return err_set(err, ERR_REJECT, EXIT_CONFIG,
                   "the results of \"%s\" come from another journal (%.*s, this one is %s); to begin a new generation "
                   "from this one, start once with --adopt",
                   l->t->schemas[aggregation]->name, STR_ARG(s->list[s->count - 1].journal_id), l->t->journal.id);
}

static enum err_class refuse_tail(const struct load *l, size_t aggregation, uint32_t p, int64_t position,
                                  struct err *err)
{
    return err_set(
        err, ERR_REJECT, EXIT_CONFIG,
        "the results of \"%s\" were computed from records of partition %u before offset %lld that this "
        "journal does not hold: its tail was lost, or it was restored; to begin a new generation, start once "
        "with --adopt",
        l->t->schemas[aggregation]->name, p, (long long)position);
}

/* *ret_same false: err says what is not the same (no error if --adopt goes on). */
static enum err_class journal_check(struct load *l, size_t i, bool *ret_same, struct err *err)
{
    struct task *t = l->t;
    const struct stored *s = &l->stored[i];
    *ret_same = true;
    if (s->count == 0) {
        return ERR_NONE;
    }
    const struct generation *latest = &s->list[s->count - 1];
    if (!str_eqz(latest->journal_id, t->journal.id)) {
        *ret_same = false;
        return refuse_journal(l, i, err);
    }
    for (uint32_t p = 0; p < t->journal.partitions; p++) {
        struct task_line line;
        bool same = true;
        enum err_class cls = line_read(t, i, latest, p, &l->memory, &line, err);
        if (cls == ERR_NONE) {
            cls = line_matches(t, p, &line, &l->memory, &same, err);
        }
        if (cls != ERR_NONE) {
            return cls;
        }
        if (!same) {
            *ret_same = false;
            return refuse_tail(l, i, p, line.position, err);
        }
    }
    return ERR_NONE;
}

/* ---- beginning a generation */

/* When the journal began, if there was one before it; else TIME_NONE: everything there ever was is in it. */
static int64_t journal_birth_us(const struct load *l, const struct stored *s, int64_t first_arrival_us)
{
    const struct journal_info *journal = &l->t->journal;
    if (s->count == 0 || str_eqz(s->list[0].journal_id, journal->id)) {
        return TIME_NONE;
    }
    bool earlier = first_arrival_us != TIME_NONE && first_arrival_us < journal->created_us;
    return earlier ? first_arrival_us : journal->created_us; /* a recorded file arrived long before */
}

/* One partition: where it begins, and since when nothing is missing there (TIME_NONE: for ever). */
static enum err_class begin_partition(struct load *l, const struct stored *s, uint32_t p,
                                      struct generation_begin *ret_begin, struct err *err)
{
    struct task *t = l->t;
    struct generation_begin b = {0};
    struct record r = {0};
    bool found = false;
    enum err_class cls = journal_reader_bounds(t->reader, p, &b.position, &b.target, err);
    if (cls == ERR_NONE) {
        cls = first_record(t, p, b.position, &l->memory, &r, &found, err);
    }
    if (cls != ERR_NONE) {
        return cls;
    }
    int64_t arrival_us = found ? r.arrival_us : TIME_NONE;
    b.arrival_us = journal_birth_us(l, s, arrival_us);
    if (b.position > 0) {
        b.arrival_us = arrival_us == TIME_NONE ? clock_wall(t->clock) : arrival_us;
    }
    if (!found && s->count == 0) {
        b.position = 0; /* R12: all there ever was is gone, and never was booked: a gap (task_tail.c) */
    }
    *ret_begin = b;
    return ERR_NONE;
}

static int64_t first_window_us(const struct result_schema *schema, int64_t limit_us)
{
    if (limit_us == TIME_NONE || fault("R15.head")) {
        return WINDOW_ALL;
    }
    return floor_div(limit_us, schema->slide_us) * schema->slide_us + schema->slide_us;
}

static enum err_class generation_start(struct load *l, size_t i, int64_t epoch, const char *why, struct err *err)
{
    struct task *t = l->t;
    struct stored *s = &l->stored[i];
    if (!l->may_begin) { /* several would each begin their own */
        return err_set(err, ERR_RETRY, EXIT_UNAVAILABLE,
                       "\"%s\": the instance that has partition 0 begins generation %zu", t->schemas[i]->name,
                       s->count);
    }
    const struct aggregation_options *o = aggregation_options(t->aggregations[i].declared);
    struct generation_begin *begins = arena_zalloc(&l->memory, PARTITION_MAX * sizeof(*begins));
    int64_t limit_us = TIME_NONE;
    for (uint32_t p = 0; p < t->journal.partitions; p++) {
        enum err_class cls = begin_partition(l, s, p, &begins[p], err);
        if (cls != ERR_NONE) {
            return cls;
        }
        int64_t at_us = begins[p].arrival_us == TIME_NONE ? TIME_NONE : begins[p].arrival_us + o->skew_us;
        limit_us = at_us > limit_us ? at_us : limit_us;
    }
    struct generation *g = arena_zalloc(&l->memory, sizeof(*g));
    *g = (struct generation){.number = (int64_t)s->count,
                             .definition = str_of(t->schemas[i]->definition),
                             .definition_hash = t->schemas[i]->definition_hash,
                             .journal_id = str_of(t->journal.id),
                             .epoch = epoch,
                             .base = s->shown,
                             .first_window_us = first_window_us(t->schemas[i], limit_us),
                             .begins = begins,
                             .begin_count = t->journal.partitions};
    diag_info("task", "%s: \"%s\": generation %lld begins: %s", t->name, t->schemas[i]->name, (long long)g->number,
              why);
    enum err_class cls = t->sink->ops->begin(t->sink, i, g, s->shown < 0, err);
    if (cls != ERR_NONE) {
        return cls;
    }
    (void)failpoint("task.generation_begun");
    struct generation *list = arena_alloc(&l->memory, (s->count + 1) * sizeof(*list));
    for (size_t n = 0; n < s->count; n++) {
        list[n] = s->list[n];
    }
    list[s->count] = *g;
    s->list = list;
    s->shown = s->shown < 0 ? g->number : s->shown;
    s->count++;
    return ERR_NONE;
}

static int64_t epoch_latest(const struct load *l)
{
    int64_t epoch = l->t->journal.epoch;
    for (size_t i = 0; i < l->t->aggregation_count; i++) {
        const struct stored *s = &l->stored[i];
        if (s->count > 0 && s->list[s->count - 1].epoch > epoch) {
            epoch = s->list[s->count - 1].epoch;
        }
    }
    return epoch;
}

/* --adopt: everything anew, above all that was. */
static enum err_class adopt(struct load *l, struct err *err)
{
    int64_t epoch = epoch_latest(l) + 1;
    for (size_t i = 0; i < l->t->aggregation_count; i++) {
        enum err_class cls = generation_start(l, i, epoch, "this journal was adopted", err);
        if (cls != ERR_NONE) {
            return cls;
        }
    }
    return ERR_NONE;
}

/* ---- is it the same definition? */

static bool replaced_before(const struct stored *s, uint64_t definition_hash)
{
    for (size_t i = 0; i + 1 < s->count; i++) {
        if (s->list[i].definition_hash == definition_hash) {
            return true;
        }
    }
    return false;
}

static enum err_class definition_check(struct load *l, size_t i, struct err *err)
{
    struct task *t = l->t;
    const struct stored *s = &l->stored[i];
    const struct result_schema *schema = t->schemas[i];
    if (s->count == 0) {
        return generation_start(l, i, epoch_latest(l), "it is new", err);
    }
    const struct generation *latest = &s->list[s->count - 1];
    if (latest->definition_hash == schema->definition_hash) {
        return ERR_NONE;
    }
    AUTO(buf) struct buf what = {.max = 300};
    definition_diff(latest->definition, str_of(schema->definition), &what);
    if (replaced_before(s, schema->definition_hash) && !t->options.adopt) {
        return err_set(
            err, ERR_REJECT, EXIT_CONFIG,
            "this definition of \"%s\" was replaced before (%.*s); to go back to it, start once with --adopt",
            schema->name, STR_ARG(buf_str(&what)));
    }
    if (t->aggregations[i].on_change != CHANGE_REBUILD) {
        return err_set(err, ERR_REJECT, EXIT_CONFIG,
                       "the definition of \"%s\" changed (%.*s); undo it, or set on_change: rebuild", schema->name,
                       STR_ARG(buf_str(&what)));
    }
    return generation_start(l, i, epoch_latest(l), what.ptr == NULL ? "its definition changed" : what.ptr, err);
}

/* ---- lanes */

void task_lanes_drop(struct task *t)
{
    for (size_t i = 0; i < t->aggregation_count; i++) {
        for (uint32_t p = 0; p < PARTITION_MAX; p++) {
            lane_free(TAKE(t->aggregations[i].lanes[p]));
        }
    }
    t->partitions = 0;
    t->loaded = false;
    t->commit_count = 0;
    task_dead_clear(t);
}

static enum err_class lanes_make(struct task *t, uint32_t p, struct err *err)
{
    AUTO(arena) struct arena memory = {0};
    for (size_t i = 0; i < t->aggregation_count; i++) {
        struct task_aggregation *a = &t->aggregations[i];
        struct task_line line;
        enum err_class cls = line_read(t, i, &a->latest, p, &memory, &line, err);
        if (cls != ERR_NONE) {
            return cls;
        }
        lane_free(TAKE(a->lanes[p]));
        a->lanes[p] = lane_new(a->declared, i, a->latest.number, a->latest.epoch, p, &line, t->journal.seed);
        a->done[p] = line.position > a->done[p] ? line.position : a->done[p];
    }
    t->exhausted[p] = false;
    task_keep_publish(t, p);
    return ERR_NONE;
}

enum err_class task_lanes_add(struct task *t, uint32_t partition, struct err *err)
{
    enum err_class cls = journal_reader_info(t->reader, &t->journal, err);
    if (cls != ERR_NONE) {
        return cls;
    }
    if (partition >= t->journal.partitions || partition >= PARTITION_MAX) {
        return err_set(err, ERR_FATAL, EXIT_INTERNAL, "the journal has no partition %u", partition);
    }
    while (t->partitions <= partition) {
        cls = lanes_make(t, t->partitions, err);
        if (cls != ERR_NONE) {
            return cls;
        }
        t->partitions++;
    }
    return ERR_NONE;
}

/* The farthest position that any earlier generation had: up to there dead letters were written. */
static enum err_class done_read(struct load *l, size_t i, struct err *err)
{
    struct task *t = l->t;
    for (uint32_t p = 0; p < t->journal.partitions; p++) {
        t->aggregations[i].done[p] = 0;
        for (size_t g = 0; g < l->stored[i].count; g++) {
            struct task_line line;
            bool found = false;
            if (!str_eqz(l->stored[i].list[g].journal_id, t->journal.id)) {
                continue;
            }
            enum err_class cls =
                t->sink->ops->line(t->sink, i, l->stored[i].list[g].number, p, &l->memory, &line, &found, err);
            if (cls != ERR_NONE) {
                return cls;
            }
            if (found && line.position > t->aggregations[i].done[p]) {
                t->aggregations[i].done[p] = line.position;
            }
        }
    }
    return ERR_NONE;
}

static void latest_keep(struct task *t, size_t i, const struct stored *s)
{
    struct arena *arena = &t->generation_memory;
    struct generation g = s->list[s->count - 1];
    struct generation_begin *begins = arena_alloc(arena, (g.begin_count + 1) * sizeof(*begins));
    for (size_t p = 0; p < g.begin_count; p++) {
        begins[p] = g.begins[p];
    }
    g.begins = begins;
    g.definition = arena_dup(arena, g.definition);
    g.journal_id = arena_dup(arena, g.journal_id);
    t->aggregations[i].latest = g;
    t->aggregations[i].shown = s->shown;
}

/* ---- loading */

static enum err_class stored_read(struct load *l, struct err *err)
{
    struct task *t = l->t;
    l->stored = arena_zalloc(&l->memory, (t->aggregation_count + 1) * sizeof(*l->stored));
    for (size_t i = 0; i < t->aggregation_count; i++) {
        struct stored *s = &l->stored[i];
        enum err_class cls = t->sink->ops->generations(t->sink, i, &l->memory, &s->list, &s->count, &s->shown, err);
        if (cls != ERR_NONE) {
            return cls;
        }
    }
    return journal_reader_info(t->reader, &t->journal, err);
}

static enum err_class generations_settle(struct load *l, struct err *err)
{
    struct task *t = l->t;
    bool same = true;
    for (size_t i = 0; i < t->aggregation_count && same; i++) {
        enum err_class cls = journal_check(l, i, &same, err);
        if (cls != ERR_NONE && (same || !t->options.adopt)) {
            return cls;
        }
    }
    enum err_class cls = same ? ERR_NONE : adopt(l, err);
    for (size_t i = 0; i < t->aggregation_count && cls == ERR_NONE; i++) {
        cls = definition_check(l, i, err);
    }
    return cls;
}

static enum err_class load_generations(struct load *l, struct err *err)
{
    struct task *t = l->t;
    enum err_class cls = stored_read(l, err);
    if (cls == ERR_NONE) {
        cls = generations_settle(l, err);
    }
    if (cls == ERR_NONE && t->sink->ops->own != NULL) {
        cls = t->sink->ops->own(t->sink, err);
    }
    for (size_t i = 0; i < t->aggregation_count && cls == ERR_NONE; i++) {
        if (t->loaded && t->aggregations[i].latest.number != l->stored[i].list[l->stored[i].count - 1].number) {
            task_lanes_drop(t); /* theirs are of the one before */
        }
    }
    arena_reset(&t->generation_memory);
    for (size_t i = 0; i < t->aggregation_count && cls == ERR_NONE; i++) {
        latest_keep(t, i, &l->stored[i]);
        cls = done_read(l, i, err);
    }
    return cls;
}

static enum err_class load_all(struct load *l, struct err *err)
{
    struct task *t = l->t;
    enum err_class cls = load_generations(l, err);
    return cls != ERR_NONE || t->journal.partitions == 0 ? cls : task_lanes_add(t, t->journal.partitions - 1, err);
}

/* Whether it may go on at all: what is only not there yet is no reason to refuse. */
static enum err_class load_to_look(struct load *l, struct err *err)
{
    enum err_class cls = stored_read(l, err);
    cls = cls ? cls : generations_settle(l, err);
    return cls == ERR_RETRY ? ERR_NONE : cls;
}

enum err_class task_assign(struct task *t, const bool *owned, struct err *err)
{
    struct load l = {.t = t, .may_begin = owned[0]};
    ensure(t->options.shared && t->commit_count == 0);
    enum err_class cls = t->sink->ops->refresh == NULL ? ERR_NONE : t->sink->ops->refresh(t->sink, err);
    journal_reader_rest(t->reader); /* others may have read further than the ends that it knows */
    cls = cls ? cls : load_generations(&l, err);
    for (uint32_t p = 0; p < PARTITION_MAX && cls == ERR_NONE; p++) {
        if (owned[p] && !task_has(t, p)) {
            cls = lanes_make(t, p, err);
            t->partitions = p < t->partitions ? t->partitions : p + 1;
        }
    }
    arena_fini(&l.memory);
    if (cls != ERR_NONE) {
        task_lanes_drop(t);
        return cls;
    }
    t->loaded = true;
    return ERR_NONE;
}

void task_revoke(struct task *t, uint32_t partition)
{
    bool clean = t->dead_count == 0 && t->commit_count == 0;
    for (size_t i = 0; task_has(t, partition) && i < t->aggregation_count; i++) {
        clean = clean && !lane_dirty(t->aggregations[i].lanes[partition]);
    }
    if (!clean) { /* dead letters are of all partitions */
        task_lanes_drop(t);
    }
    for (size_t i = 0; i < t->aggregation_count; i++) {
        lane_free(TAKE(t->aggregations[i].lanes[partition]));
    }
    atomic_store(&t->keep[partition], INT64_MAX);
    task_progress_tell(t);
}

enum err_class task_load(struct task *t, struct err *err)
{
    struct load l = {.t = t, .may_begin = !t->options.shared};
    task_lanes_drop(t);
    enum err_class cls = t->options.shared ? load_to_look(&l, err) : load_all(&l, err);
    arena_fini(&l.memory);
    t->loaded = cls == ERR_NONE && !t->options.shared;
    if (cls == ERR_NONE) {
        (void)failpoint("task.loaded");
        if (err != NULL) { /* an adopted journal had filled it */
            *err = (struct err){0};
        }
        return ERR_NONE;
    }
    task_lanes_drop(t);
    for (uint32_t p = 0; cls == ERR_REJECT && p < PARTITION_MAX; p++) {
        atomic_store(&t->keep[p], INT64_MAX);
    }
    return cls;
}
