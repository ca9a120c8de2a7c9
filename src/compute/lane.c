/* SPDX-License-Identifier: MIT
 *
 * lane.c - feeding: each record moves stream time, is judged against the watermark right then, and is counted into its
 * windows or not (R5, R6, R8, R12; oracle.md section 5 gives the order). Nothing here asks a clock or the outside, so
 * the same records give the same rows, however often and however fast they are read.
 *
 * A record before the position is read to rebuild windows only: it is in the stored rows and ledger already.
 */
#include "base/err.h"
#include "base/fault.h"
#include "base/hash.h"
#include "compute/lane_private.h"

#include <stdlib.h>

/* ---- decoding */

void decode_scanned(const struct record *r, const struct value *values, bool identify, struct decoded *ret_decoded)
{
    struct decoded d = {
        .record = r, .values = values, .identity = identify ? record_identity(r) : 0, .known_us = r->arrival_us};
    int64_t dt_us;
    d.kind = change_kind(values);
    d.time_dead = change_times(values, d.kind, &d.time_us, &dt_us);
    if (d.kind == CHANGE_EDIT_LIKE && dt_us != TIME_NONE) {
        d.known_us = d.known_us == TIME_NONE || dt_us < d.known_us ? dt_us : d.known_us;
    }
    *ret_decoded = d;
}

void decode_record(const struct field_set *set, const struct record *r, struct value *values,
                   struct decoded *ret_decoded)
{
    size_t dead_at;
    enum dead_reason dead = change_scan(set, r->value, values, &dead_at);
    if (dead == DEAD_NONE) {
        decode_scanned(r, values, true, ret_decoded);
        return;
    }
    *ret_decoded = (struct decoded){.record = r,
                                    .dead = dead,
                                    .values = values,
                                    .dead_at = dead_at,
                                    .identity = record_identity(r),
                                    .time_us = TIME_NONE,
                                    .known_us = TIME_NONE};
}

enum dead_reason decoded_time(const struct decoded *d, size_t time_field, int64_t *ret_us)
{
    *ret_us = TIME_NONE;
    if (d->dead != DEAD_NONE) {
        return d->dead;
    }
    if (time_field != FIELD_TIMESTAMP && d->kind == CHANGE_EDIT_LIKE) {
        return change_time(d->values, time_field, d->kind, ret_us);
    }
    *ret_us = d->time_us;
    return d->time_dead;
}

/* ---- life */

static void gaps_copy(struct spans *gaps, const struct task_line *line)
{
    gaps->count = gaps->cap = line->gap_count;
    gaps->at = line->gap_count == 0 ? NULL : xcalloc(line->gap_count, sizeof(*gaps->at));
    for (size_t i = 0; i < line->gap_count; i++) {
        gaps->at[i] = line->gaps[i];
    }
}

struct lane *lane_new(const struct aggregation *a, size_t index, int64_t generation, int64_t epoch, uint32_t partition,
                      const struct task_line *line, uint64_t seed)
{
    struct lane *l = xcalloc(1, sizeof(*l));
    l->a = a;
    l->index = index;
    l->generation = generation;
    l->epoch = epoch;
    l->partition = partition;
    l->position = l->taken_position = line->position;
    l->version = line->version;
    l->replay_from = line->replay_from;
    l->next = line->replay_from;
    l->has_last = line->has_last;
    l->last = line->last;
    l->arrival_us = line->arrival_us;
    l->first_window_us = line->first_window_us;
    l->measuring.seed = seed;
    l->key_seed = hash_process_seed();
    stream_time_init(&l->now_at_position);
    stream_time_init(&l->time);
    stream_time_init(&l->before);
    stream_time_set(&l->now_at_position, &line->now);
    stream_time_set(&l->time, &line->before);
    if (fault("R10.topic")) {
        stream_time_set(&l->time, &(struct time_state){.stream_us = line->before.stream_us,
                                                       .change_seen = line->before.stream_us != TIME_NONE});
    }
    gaps_copy(&l->gaps, line);
    windows_init(&l->windows, a);
    return l;
}

void lane_free(struct lane *l)
{
    if (l == NULL) {
        return;
    }
    windows_fini(&l->windows, &l->measuring);
    stream_time_fini(&l->now_at_position);
    stream_time_fini(&l->time);
    stream_time_fini(&l->before);
    tally_fini(&l->tally);
    arena_fini(&l->mark_texts);
    buf_fini(&l->measuring.scratch);
    buf_fini(&l->key);
    free(l->gaps.at);
    free(l->dirty);
    free(l->torn);
    free(l->marks);
    free(l);
}

int64_t lane_next(const struct lane *l)
{
    return l->next;
}

int64_t lane_position(const struct lane *l)
{
    return l->position;
}

/* ---- closing */

static void row_touch(struct lane *l, struct window *w, uint32_t number)
{
    struct row *row = keytable_row(&w->table, number);
    if (row->dirty) {
        return;
    }
    if (l->dirty_count == l->dirty_cap) {
        l->dirty_cap = l->dirty_cap == 0 ? 64 : l->dirty_cap * 2;
        l->dirty = xrealloc(l->dirty, l->dirty_cap * sizeof(*l->dirty));
    }
    row->dirty = true;
    w->dirty++;
    l->dirty[l->dirty_count++] = (struct dirty){w, number};
}

static void window_close(struct lane *l, struct window *w, int64_t offset, bool fresh)
{
    w->closed = true;
    w->closed_by = offset;
    for (uint32_t i = 0; fresh && i < w->table.count; i++) {
        row_touch(l, w, i);
    }
}

/* Closes what the watermark has passed, lets go of what may not change any more, and says when to look again. */
static void windows_close(struct lane *l, int64_t offset, bool fresh)
{
    int64_t watermark_us = lane_watermark_us(l), check_us = INT64_MAX;
    for (size_t i = 0; i < l->windows.slot_count; i++) {
        struct window *w = l->windows.slots[i];
        if (w == NULL) {
            continue;
        }
        int64_t end_us = w->start_us + l->a->options.size_us;
        if (!w->closed && watermark_us >= end_us) {
            window_close(l, w, offset, fresh);
        }
        int64_t gone_us = end_us + l->a->lateness_us;
        if (watermark_us >= gone_us) {
            windows_remove(&l->windows, w, &l->measuring);
        } else {
            int64_t look_us = w->closed ? gone_us : end_us;
            check_us = look_us < check_us ? look_us : check_us;
        }
    }
    l->windows.check_us = check_us;
}

/* ---- counting */

static void key_make(struct lane *l, const struct decoded *d)
{
    buf_clear(&l->key);
    buf_addc(&l->key, '[');
    for (size_t i = 0; i < l->a->schema.key_count; i++) {
        if (i > 0) {
            buf_addc(&l->key, ',');
        }
        value_add_key(&l->key, &d->values[l->a->key_fields[i]]);
    }
    buf_addc(&l->key, ']');
}

static uint32_t row_other(struct lane *l, struct window *w)
{
    if (w->other == KEYTABLE_NONE) {
        w->other = keytable_add(&w->table, STR("(other)"), hash_bytes(STR("(other)"), l->key_seed));
        l->windows.keys++;
    }
    return w->other;
}

/* First come, first served: a key that finds the window full is counted under (other) for the life of the window. */
static uint32_t row_of(struct lane *l, struct window *w, uint64_t hash)
{
    struct str key = buf_str(&l->key);
    uint32_t row = keytable_find(&w->table, key, hash);
    if (row != KEYTABLE_NONE) {
        return row;
    }
    int64_t members = (int64_t)w->table.count - (w->other != KEYTABLE_NONE);
    if ((members >= l->a->options.max_keys && !fault("R9.max_keys")) || key.len > KEY_TEXT_MAX || l->key.overflow) {
        return row_other(l, w);
    }
    l->windows.keys++;
    return keytable_add(&w->table, key, hash);
}

static enum err_class row_add(struct lane *l, struct window *w, const struct decoded *d, uint64_t hash, bool fresh,
                              struct err *err)
{
    uint32_t number = row_of(l, w, hash);
    struct row *row = keytable_row(&w->table, number);
    for (size_t i = 0; i < l->a->schema.measure_count; i++) {
        const struct measure *m = &l->a->measures[i];
        bool has = row->has >> i & 1;
        if (!measure_add(m, &row->states[i], &has, &d->values[m->field], &l->measuring)) {
            return err_set(err, ERR_FATAL, EXIT_DATA,
                           "aggregation \"%s\": %s does not fit into 64 bits at partition %u offset %lld",
                           l->a->schema.name, l->a->schema.measures[i].label, l->partition,
                           (long long)d->record->offset);
        }
        row->has = (uint16_t)(row->has | (unsigned)has << i);
    }
    row->revision = d->record->offset;
    if (fresh) {
        row_touch(l, w, number);
        l->counts.other += number == w->other;
    }
    return ERR_NONE;
}

static struct window *window_for(struct lane *l, int64_t start_us, int64_t offset)
{
    struct window *w = windows_find(&l->windows, start_us);
    if (w == NULL) {
        w = windows_add(&l->windows, start_us, offset, &l->before);
        int64_t end_us = start_us + l->a->options.size_us;
        bool past = lane_watermark_us(l) >= end_us;
        if (past) { /* made by an amendment: closed from its first record on (R8) */
            w->closed = true;
            w->closed_by = fault("R8.closed_by") ? -1 : offset;
        }
        int64_t look_us = past ? end_us + l->a->lateness_us : end_us;
        l->windows.check_us = look_us < l->windows.check_us ? look_us : l->windows.check_us;
    }
    return w;
}

struct verdict { /* over the windows of one record */
    bool counted, amended, refused;
    int64_t pairs_counted, pairs_late;
};

static enum err_class windows_count(struct lane *l, const struct decoded *d, int64_t time_us, bool fresh,
                                    struct verdict *v, struct err *err)
{
    int64_t slide_us = l->a->options.slide_us, size_us = l->a->options.size_us;
    int64_t watermark_us = lane_watermark_us(l), lateness_us = fault("R8.amend") ? 0 : l->a->lateness_us;
    uint64_t hash = 0;
    if (time_us < l->slot_us || time_us >= l->slot_us + slide_us) { /* rarely: a division costs as much as a lookup */
        l->slot_us = floor_div(time_us, slide_us) * slide_us;
    }
    for (int64_t start_us = l->slot_us; start_us + size_us > time_us; start_us -= slide_us) {
        if (watermark_us >= start_us + size_us + lateness_us && !fault("R6.late")) {
            v->pairs_late++;
            continue;
        }
        if (start_us < l->first_window_us) { /* a window that is kept as it is, or was never ours */
            v->refused = true;
            continue;
        }
        if (!v->counted) {
            key_make(l, d);
            hash = hash_bytes(buf_str(&l->key), l->key_seed);
        }
        v->counted = true;
        v->amended |= watermark_us >= start_us + size_us;
        v->pairs_counted++;
        enum err_class cls = row_add(l, window_for(l, start_us, d->record->offset), d, hash, fresh, err);
        if (cls != ERR_NONE) {
            return cls;
        }
    }
    return ERR_NONE;
}

static void counters_add(struct lane *l, const struct verdict *v)
{
    l->counts.late += !v->counted && !v->refused;
    l->counts.amended += v->amended;
    l->pairs_counted += v->pairs_counted;
    l->pairs_late += v->pairs_late;
}

/* A change that is not dead: unmatched, future, counted, late or gap. */
static enum err_class change_judge(struct lane *l, const struct decoded *d, int64_t time_us, bool future, bool fresh,
                                   enum task_bucket *ret_bucket, struct err *err)
{
    struct verdict v = {0};
    if (l->a->where != NULL && !filter_match(l->a->where, d->values)) {
        *ret_bucket = TASK_UNMATCHED;
        return ERR_NONE;
    }
    if (future && !fault("R5.future")) { /* else it would hold a window open until that day */
        *ret_bucket = TASK_FUTURE;
        return ERR_NONE;
    }
    enum err_class cls = windows_count(l, d, time_us, fresh, &v, err);
    if (fresh) {
        counters_add(l, &v);
    }
    *ret_bucket = v.counted ? TASK_COUNTED : v.refused ? TASK_GAP : TASK_LATE;
    return cls;
}

/* ---- feeding */

static void mark_add(struct lane *l, const struct record *r)
{
    int64_t minute = floor_div(r->arrival_us, US_PER_MINUTE);
    if (l->arrival_us != TIME_NONE && floor_div(l->arrival_us, US_PER_MINUTE) == minute) {
        return;
    }
    if (l->mark_count == l->mark_cap) {
        l->mark_cap = l->mark_cap == 0 ? 8 : l->mark_cap * 2;
        l->marks = xrealloc(l->marks, l->mark_cap * sizeof(*l->marks));
    }
    struct time_state before = stream_time_show(&l->time);
    if (before.topic.ptr != NULL) {
        before.topic = arena_dup(&l->mark_texts, before.topic);
    }
    if (fault("R12.marks")) {
        before = (struct time_state){.stream_us = TIME_NONE};
    }
    l->marks[l->mark_count++] = (struct mark){.offset = r->offset, .arrival_minute = minute, .before = before};
}

static void record_take(struct lane *l, const struct decoded *d, bool fresh)
{
    const struct record *r = d->record;
    if (fresh && r->arrival_us != TIME_NONE) {
        mark_add(l, r);
    }
    l->next = r->offset + 1;
    l->last = d->identity;
    l->has_last = true;
    if (r->arrival_us != TIME_NONE && (l->arrival_us == TIME_NONE || r->arrival_us > l->arrival_us)) {
        l->arrival_us = r->arrival_us;
    }
}

static enum err_class record_judge(struct lane *l, const struct decoded *d, bool fresh, enum task_bucket *ret_bucket,
                                   int64_t *ret_time_us, enum dead_reason *ret_dead, struct err *err)
{
    int64_t time_us;
    enum dead_reason dead = decoded_time(d, l->a->time_field, &time_us);
    if (dead != DEAD_NONE) {
        *ret_bucket = TASK_DEAD;
        *ret_time_us = TIME_NONE;
        *ret_dead = fresh ? dead : DEAD_NONE;
        return ERR_NONE;
    }
    bool future = time_us != TIME_NONE && d->known_us != TIME_NONE && time_us > d->known_us + l->a->options.skew_us;
    stream_time_move(&l->time, d, time_us, future);
    if (l->time.now_us != TIME_NONE && lane_watermark_us(l) >= l->windows.check_us) {
        windows_close(l, d->record->offset, fresh);
    }
    *ret_time_us = time_us;
    *ret_bucket = d->kind == CHANGE_TICK ? TASK_TICK : TASK_CANARY;
    return d->kind != CHANGE_EDIT_LIKE ? ERR_NONE : change_judge(l, d, time_us, future, fresh, ret_bucket, err);
}

enum err_class lane_feed(struct lane *l, const struct decoded *d, enum dead_reason *ret_dead, struct err *err)
{
    const struct record *r = d->record;
    enum task_bucket bucket = TASK_DEAD;
    int64_t time_us = TIME_NONE;
    *ret_dead = DEAD_NONE;
    if (r->offset - r->skipped > l->next) {
        lane_hole(l, r);
    }
    if (r->offset < l->next) { /* read already, or before the position after a loss of state */
        return ERR_NONE;
    }
    bool fresh = r->offset >= l->position;
    stream_time_copy(&l->before, &l->time);
    record_take(l, d, fresh);
    enum err_class cls = record_judge(l, d, fresh, &bucket, &time_us, ret_dead, err);
    if (cls == ERR_NONE && fresh) {
        int64_t clock_us = r->arrival_us == TIME_NONE ? l->time.now_us : r->arrival_us;
        clock_us = fault("R12.minutes") ? TIME_NONE : clock_us;
        tally_book(&l->tally, (uint8_t)bucket, time_us, r->arrival_us, clock_us, l->a->options.skew_us);
    }
    return cls;
}
