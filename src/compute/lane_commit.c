/* SPDX-License-Identifier: MIT
 *
 * lane_commit.c - what a lane gives to a commit (R8, R10): all rows changed since the last one, its new line, its share
 * of the ledger. All of it is taken out of the lane and is the commit's, so that the lane can go on while it is stored.
 * Only what the lane says of its stored line waits for lane_committed; a lane whose commit comes to nothing is dropped.
 */
#include "base/err.h"
#include "base/fault.h"
#include "base/metrics.h"
#include "compute/lane_private.h"

#include <stdlib.h>

/* ---- rows */

static struct cell cell_of(const struct value *v, struct buf *scratch, struct arena *arena)
{
    struct cell c = {.kind = CELL_NULL};
    if (v->kind == VALUE_STRING) {
        buf_clear(scratch);
        c.kind = CELL_TEXT;
        c.text = v->raw.len == 0 ? STR("") : v->escaped ? arena_dup(arena, value_string(v, scratch)) : v->raw;
    } else if (v->kind == VALUE_TRUE || v->kind == VALUE_FALSE) {
        c.kind = CELL_BOOL;
        c.number = v->kind == VALUE_TRUE;
    } else if (v->kind == VALUE_INT) {
        c.kind = CELL_INT;
        c.number = v->number;
    } else if (v->kind == VALUE_NUMBER) {
        c.kind = CELL_TEXT;
        c.text = v->raw;
    }
    return c;
}

/* The next scalar of a canonical key text (our own: value_add_key made it). Moves *rest behind it and its comma. */
static struct value key_part(struct str *rest)
{
    struct value v = {.kind = VALUE_NULL};
    size_t n = 0;
    bool string = rest->len > 0 && rest->ptr[0] == '"';
    if (string) {
        for (n = 1; n < rest->len && rest->ptr[n] != '"'; n++) {
            if (rest->ptr[n] == '\\') {
                v.escaped = true;
                n++;
            }
        }
        v.kind = VALUE_STRING;
        v.raw = str_n(rest->ptr + 1, n - 1);
        n++;
    } else {
        while (n < rest->len && rest->ptr[n] != ',' && rest->ptr[n] != ']') {
            n++;
        }
        v.raw = str_n(rest->ptr, n);
    }
    if (!string && str_eqz(v.raw, "true")) {
        v.kind = VALUE_TRUE;
    } else if (!string && str_eqz(v.raw, "false")) {
        v.kind = VALUE_FALSE;
    } else if (!string && str_to_int64(v.raw, &v.number)) {
        v.kind = VALUE_INT;
    } else if (!string && !str_eqz(v.raw, "null")) {
        v.kind = VALUE_NUMBER;
    }
    *rest = str_n(rest->ptr + n, rest->len - n);
    if (rest->len > 0) {
        *rest = str_n(rest->ptr + 1, rest->len - 1);
    }
    return v;
}

struct sorted { /* 32 bytes: larger ones qsort() sorts by pointers */
    struct str key;
    const struct window *window;
    uint32_t row;
};

static void keys_show(struct lane *l, struct str key, struct arena *arena, struct cell *ret_keys)
{
    bool listed = key.len > 0 && key.ptr[0] == '[';
    struct str rest = listed ? str_n(key.ptr + 1, key.len - 1) : key;
    for (size_t i = 0; i < l->a->schema.key_count; i++) {
        struct value v = {.kind = VALUE_NULL};
        if (listed) {
            v = key_part(&rest);
        }
        ret_keys[i] = cell_of(&v, &l->measuring.scratch, arena);
    }
}

/* `cells` and `sketches`: of this row. */
static struct result_row row_show(struct lane *l, const struct sorted *s, struct arena *arena, struct cell *cells,
                                  struct str *sketches)
{
    const struct window *w = s->window;
    const struct row *row = keytable_row(&w->table, s->row);
    struct cell *measures = cells + l->a->schema.key_count;
    struct str key = arena_dup(arena, s->key);
    for (size_t m = 0; m < l->a->schema.measure_count; m++) {
        measure_show(&l->a->measures[m], &row->states[m], row->has >> m & 1, arena, &measures[m], &sketches[m]);
    }
    keys_show(l, key, arena, cells);
    return (struct result_row){.window_start_us = w->start_us,
                               .window_end_us = w->start_us + l->a->options.size_us,
                               .key = key,
                               .keys = cells,
                               .measures = measures,
                               .sketches = sketches,
                               .revision = row->revision,
                               .final = w->closed,
                               .closed_by = w->closed_by};
}

static int sorted_compare(const void *a, const void *b)
{
    const struct sorted *x = a, *y = b;
    if (x->window != y->window) {
        return x->window->start_us < y->window->start_us ? -1 : 1;
    }
    return str_cmp(x->key, y->key);
}

static const struct sorted *rows_sorted(const struct lane *l, struct arena *arena)
{
    struct sorted *sorted = arena_alloc(arena, (l->dirty_count + 1) * sizeof(*sorted));
    for (size_t i = 0; i < l->dirty_count; i++) {
        const struct dirty *d = &l->dirty[i];
        sorted[i] = (struct sorted){keytable_key(&d->window->table, d->row), d->window, d->row};
    }
    qsort(sorted, l->dirty_count, sizeof(*sorted), sorted_compare);
    return sorted;
}

static const struct result_row *rows_take(struct lane *l, struct arena *arena)
{
    size_t count = l->dirty_count, measures = l->a->schema.measure_count, cells = l->a->schema.key_count + measures;
    struct result_row *rows = arena_alloc(arena, (count + 1) * sizeof(*rows));
    struct cell *all_cells = arena_alloc(arena, (count * cells + 1) * sizeof(*all_cells));
    struct str *all_sketches = arena_alloc(arena, (count * measures + 1) * sizeof(*all_sketches));
    const struct sorted *sorted = rows_sorted(l, arena);
    for (size_t i = 0; i < count; i++) {
        rows[i] = row_show(l, &sorted[i], arena, all_cells + i * cells, all_sketches + i * measures);
    }
    for (size_t i = 0; i < count; i++) {
        struct window *w = l->dirty[i].window;
        struct row *row = keytable_row(&w->table, l->dirty[i].row);
        row->dirty = false;
        w->dirty--;
    }
    l->dirty_count = 0;
    return rows;
}

/* ---- the line */

static const struct window *oldest_window(const struct lane *l)
{
    const struct window *oldest = NULL;
    for (size_t i = 0; i < l->windows.slot_count; i++) {
        const struct window *w = l->windows.slots[i];
        if (w != NULL && (oldest == NULL || w->first < oldest->first)) {
            oldest = w;
        }
    }
    return oldest;
}

static const void *copied(struct arena *arena, const void *from, size_t bytes)
{
    return bytes == 0 ? NULL : memcpy(arena_alloc(arena, bytes), from, bytes);
}

static struct time_state time_copied(struct time_state time, struct arena *arena)
{
    if (time.topic.ptr != NULL) {
        time.topic = arena_dup(arena, time.topic);
    }
    return time;
}

static void gaps_drop(struct spans *gaps, size_t done)
{
    if (done > 0) {
        gaps->count -= done;
        memmove(gaps->at, gaps->at + done, gaps->count * sizeof(*gaps->at));
    }
}

static struct task_line line_take(struct lane *l, struct arena *arena)
{
    const struct window *oldest = oldest_window(l);
    struct task_line line = {.position = l->next,
                             .has_last = l->has_last,
                             .last = l->last,
                             .now = time_copied(stream_time_show(&l->time), arena),
                             .arrival_us = l->arrival_us,
                             .replay_from = oldest == NULL ? l->next : oldest->first,
                             .before =
                                 time_copied(stream_time_show(oldest == NULL ? &l->time : &oldest->before), arena),
                             .first_window_us = l->first_window_us,
                             .version = l->version + 1};
    size_t done = 0;
    while (done < l->gaps.count && l->gaps.at[done].to <= line.replay_from) {
        done++;
    }
    gaps_drop(&l->gaps, done);
    line.gaps = copied(arena, l->gaps.at, l->gaps.count * sizeof(*l->gaps.at));
    line.gap_count = l->gaps.count;
    return line;
}

bool lane_dirty(const struct lane *l)
{
    return l->next > l->taken_position || (fault("R10.early") && l->next < l->position);
}

size_t lane_dirty_rows(const struct lane *l)
{
    bool sketches = false;
    for (size_t i = 0; i < l->a->schema.measure_count; i++) {
        sketches = sketches || l->a->schema.measures[i].sketch;
    }
    return l->dirty_count * (sketches ? LANE_SKETCH_ROWS : 1);
}

static const struct mark *marks_take(struct lane *l, struct arena *arena)
{
    struct mark *marks = arena_alloc(arena, (l->mark_count + 1) * sizeof(*marks));
    for (size_t i = 0; i < l->mark_count; i++) {
        marks[i] = l->marks[i];
        marks[i].before = time_copied(marks[i].before, arena);
    }
    l->mark_count = 0;
    arena_reset(&l->mark_texts);
    return marks;
}

bool lane_commit(struct lane *l, struct arena *arena, struct lane_commit *ret_commit)
{
    if (!lane_dirty(l)) {
        return false;
    }
    struct lane_commit c = {.aggregation = l->index,
                            .generation = l->generation,
                            .partition = l->partition,
                            .epoch = l->epoch,
                            .old_version = l->version,
                            .row_count = l->dirty_count,
                            .tally_count = l->tally.count,
                            .torn_count = l->torn_count,
                            .mark_count = l->mark_count};
    c.line = line_take(l, arena);
    c.rows = rows_take(l, arena);
    c.tally = copied(arena, l->tally.rows, l->tally.count * sizeof(*l->tally.rows));
    c.torn = copied(arena, l->torn, l->torn_count * sizeof(*l->torn));
    c.marks = marks_take(l, arena);
    tally_clear(&l->tally);
    l->torn_count = 0;
    windows_free_retired(&l->windows, &l->measuring);
    l->taken_position = c.line.position;
    l->version = c.line.version;
    l->taken = l->counts;
    *ret_commit = c;
    return true;
}

static void metrics_tell(struct lane *l)
{
    const struct lane_counts *now = &l->taken, *told = &l->told;
    if (now->amended > told->amended) {
        metric_add(METRIC_LATE_EVENTS, "action=\"amended\"", (double)(now->amended - told->amended));
    }
    if (now->late > told->late) {
        metric_add(METRIC_LATE_EVENTS, "action=\"dropped\"", (double)(now->late - told->late));
    }
    if (now->other > told->other) {
        AUTO(buf) struct buf labels = {0};
        buf_addf(&labels, "aggregation=\"%s\"", l->a->schema.name);
        metric_add(METRIC_KEYS_OTHER, labels.ptr, (double)(now->other - told->other));
    }
    l->told = l->taken;
}

void lane_committed(struct lane *l, const struct lane_commit *commit)
{
    ensure(commit->line.position >= l->position && commit->line.position <= l->taken_position);
    l->position = commit->line.position;
    l->replay_from = commit->line.replay_from;
    stream_time_set(&l->now_at_position, &commit->line.now);
    metrics_tell(l);
}

/* ---- looking */

static int64_t bytes_held(const struct lane *l)
{
    size_t bytes = l->measuring.bytes + l->windows.slot_count * sizeof(struct window *);
    for (size_t i = 0; i < l->windows.slot_count; i++) {
        if (l->windows.slots[i] != NULL) {
            bytes += sizeof(struct window) + keytable_bytes(&l->windows.slots[i]->table);
        }
    }
    for (const struct window *w = l->windows.retired; w != NULL; w = w->next) {
        bytes += sizeof(struct window) + keytable_bytes(&w->table);
    }
    return (int64_t)(bytes + l->dirty_cap * sizeof(*l->dirty));
}

void lane_state(const struct lane *l, struct lane_state *ret_state)
{
    *ret_state = (struct lane_state){.stream_us = l->time.now_us,
                                     .watermark_us = lane_watermark_us(l),
                                     .open_windows = (int64_t)l->windows.count,
                                     .keys = (int64_t)l->windows.keys,
                                     .position = l->position,
                                     .next = l->next,
                                     .replay_from = l->replay_from,
                                     .arrival_us = l->arrival_us,
                                     .bytes = bytes_held(l),
                                     .late = l->counts.late,
                                     .amended = l->counts.amended,
                                     .pairs_counted = l->pairs_counted,
                                     .pairs_late = l->pairs_late,
                                     .other = l->counts.other};
}
