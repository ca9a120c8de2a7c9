/* SPDX-License-Identifier: MIT
 *
 * lane_commit.c - what a lane gives to a commit (R8, R10): all rows changed since the last one, its new line, its share
 * of the ledger. Making it changes nothing, so that a refused or failed commit can be made again; only lane_committed
 * says that it is stored.
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

struct lane_rows { /* what they are made from, and the one that was made last */
    struct lane *lane;
    const struct sorted *sorted;
    struct cell keys[AGGREGATION_KEYS_MAX], measures[AGGREGATION_MEASURES_MAX];
    struct str sketches[AGGREGATION_MEASURES_MAX];
};

static void keys_show(struct lane_rows *rows, struct str key)
{
    struct lane *l = rows->lane;
    bool listed = key.len > 0 && key.ptr[0] == '[';
    struct str rest = listed ? str_n(key.ptr + 1, key.len - 1) : key;
    for (size_t i = 0; i < l->a->schema.key_count; i++) {
        struct value v = {.kind = VALUE_NULL};
        if (listed) {
            v = key_part(&rest);
        }
        rows->keys[i] = cell_of(&v, &l->measuring.scratch, &l->row_texts);
    }
}

static void row_show(const struct lane_commit *commit, size_t i, struct result_row *ret)
{
    struct lane_rows *rows = commit->made_from;
    struct lane *l = rows->lane;
    const struct sorted *s = &rows->sorted[i];
    const struct window *w = s->window;
    const struct row *row = keytable_row(&w->table, s->row);
    arena_reset(&l->row_texts);
    for (size_t m = 0; m < l->a->schema.measure_count; m++) {
        measure_show(&l->a->measures[m], &row->states[m], row->has >> m & 1, &l->row_texts, &rows->measures[m],
                     &rows->sketches[m]);
    }
    keys_show(rows, s->key);
    *ret = (struct result_row){.window_start_us = w->start_us,
                               .window_end_us = w->start_us + l->a->options.size_us,
                               .key = s->key,
                               .keys = rows->keys,
                               .measures = rows->measures,
                               .sketches = rows->sketches,
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

static struct lane_rows *rows_sorted(struct lane *l, struct arena *arena)
{
    struct lane_rows *rows = arena_alloc(arena, sizeof(*rows));
    struct sorted *sorted = arena_alloc(arena, (l->dirty_count + 1) * sizeof(*sorted));
    for (size_t i = 0; i < l->dirty_count; i++) {
        const struct dirty *d = &l->dirty[i];
        sorted[i] = (struct sorted){keytable_key(&d->window->table, d->row), d->window, d->row};
    }
    qsort(sorted, l->dirty_count, sizeof(*sorted), sorted_compare);
    rows->lane = l;
    rows->sorted = sorted;
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

static struct task_line line_make(const struct lane *l)
{
    const struct window *oldest = oldest_window(l);
    struct task_line line = {.position = l->next,
                             .has_last = l->has_last,
                             .last = l->last,
                             .now = stream_time_show(&l->time),
                             .arrival_us = l->arrival_us,
                             .replay_from = oldest == NULL ? l->next : oldest->first,
                             .before = stream_time_show(oldest == NULL ? &l->time : &oldest->before),
                             .first_window_us = l->first_window_us,
                             .version = l->version + 1};
    size_t done = 0;
    while (done < l->gaps.count && l->gaps.at[done].to <= line.replay_from) {
        done++;
    }
    line.gaps = l->gaps.at + done;
    line.gap_count = l->gaps.count - done;
    return line;
}

bool lane_dirty(const struct lane *l)
{
    return l->next > l->position || (fault("R10.early") && l->next < l->position);
}

size_t lane_dirty_rows(const struct lane *l)
{
    return l->dirty_count;
}

bool lane_commit(struct lane *l, struct arena *arena, struct lane_commit *ret_commit)
{
    if (!lane_dirty(l)) {
        return false;
    }
    *ret_commit = (struct lane_commit){.aggregation = l->index,
                                       .generation = l->generation,
                                       .partition = l->partition,
                                       .epoch = l->epoch,
                                       .old_version = l->version,
                                       .line = line_make(l),
                                       .row = row_show,
                                       .made_from = rows_sorted(l, arena),
                                       .row_count = l->dirty_count,
                                       .tally = l->tally.rows,
                                       .tally_count = l->tally.count,
                                       .torn = l->torn,
                                       .torn_count = l->torn_count,
                                       .marks = l->marks,
                                       .mark_count = l->mark_count};
    return true;
}

static void gaps_drop(struct spans *gaps, size_t keep)
{
    size_t done = gaps->count - keep;
    if (done > 0) {
        memmove(gaps->at, gaps->at + done, keep * sizeof(*gaps->at));
        gaps->count = keep;
    }
}

static void metrics_tell(struct lane *l)
{
    if (l->amended > l->told_amended) {
        metric_add(METRIC_LATE_EVENTS, "action=\"amended\"", (double)(l->amended - l->told_amended));
    }
    if (l->late > l->told_late) {
        metric_add(METRIC_LATE_EVENTS, "action=\"dropped\"", (double)(l->late - l->told_late));
    }
    if (l->other > l->told_other) {
        AUTO(buf) struct buf labels = {0};
        buf_addf(&labels, "aggregation=\"%s\"", l->a->schema.name);
        metric_add(METRIC_KEYS_OTHER, labels.ptr, (double)(l->other - l->told_other));
    }
    l->told_amended = l->amended;
    l->told_late = l->late;
    l->told_other = l->other;
}

void lane_committed(struct lane *l, const struct lane_commit *commit)
{
    ensure(commit->line.position == l->next && commit->row_count == l->dirty_count);
    gaps_drop(&l->gaps, commit->line.gap_count);
    l->position = commit->line.position;
    l->version = commit->line.version;
    l->replay_from = commit->line.replay_from;
    stream_time_copy(&l->now_at_position, &l->time);
    for (size_t i = 0; i < l->dirty_count; i++) {
        struct row *row = keytable_row(&l->dirty[i].window->table, l->dirty[i].row);
        row->dirty = false;
        l->dirty[i].window->dirty--;
    }
    l->dirty_count = 0;
    tally_clear(&l->tally);
    l->torn_count = 0;
    l->mark_count = 0;
    arena_reset(&l->mark_texts);
    windows_free_retired(&l->windows, &l->measuring);
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
                                     .late = l->late,
                                     .amended = l->amended,
                                     .pairs_counted = l->pairs_counted,
                                     .pairs_late = l->pairs_late,
                                     .other = l->other};
}
