/* SPDX-License-Identifier: MIT
 *
 * hole.c - records that the journal does not have any more: removed by the hard limit, or a corrupt batch taken out
 * (R10). Two kinds. Those before the position were counted, and a rebuild needs them: what their windows held cannot be
 * made again, so the stored rows stay as they are. Those from the position on were never read: they are the ledger's
 * bucket `gap`, and the windows that might have had them are listed as torn. A gap that was booked before a restart is
 * met again while reading from replay_from; it is known from the line and is no loss of state.
 */
#include "compute/lane_private.h"

#include "base/err.h"
#include "base/fault.h"

#include <stdlib.h>

/* Windows that begin before this cannot change any more. */
static int64_t oldest_us(const struct lane *l)
{
    const struct aggregation *a = l->a;
    if (l->time.now_us == TIME_NONE) {
        return WINDOW_ALL;
    }
    return l->time.now_us - a->options.delay_us - a->lateness_us - a->options.size_us + 1;
}

/* Beyond the maximum the last two become one: it says more than is true, never less. */
static void torn_add(struct lane *l, int64_t from_us, int64_t to_us)
{
    if (l->torn_count == LANE_TORN_MAX) {
        struct torn_span *last = &l->torn[LANE_TORN_MAX - 1];
        last->from_us = from_us < last->from_us ? from_us : last->from_us;
        last->to_us = to_us > last->to_us ? to_us : last->to_us;
        return;
    }
    if (l->torn == NULL) {
        l->torn = xcalloc(LANE_TORN_MAX, sizeof(*l->torn));
    }
    l->torn[l->torn_count++] = (struct torn_span){from_us, to_us};
}

/* Is an offset of [from, to) missing that no known gap holds? Gaps rise and may touch. */
static bool unknown_in(const struct lane *l, int64_t from, int64_t to)
{
    for (size_t i = 0; i < l->gaps.count && from < to && !fault("R10.holes"); i++) {
        if (l->gaps.at[i].from <= from && from < l->gaps.at[i].to) {
            from = l->gaps.at[i].to;
        }
    }
    return from < to;
}

static void windows_forget(struct lane *l)
{
    for (size_t i = 0; i < l->windows.slot_count; i++) {
        if (l->windows.slots[i] != NULL) {
            windows_remove(&l->windows, l->windows.slots[i], &l->measuring);
        }
    }
    l->windows.check_us = INT64_MAX;
}

/* State is lost. Go on at the position; no window that may have had a record before it is touched again. */
static void state_lost(struct lane *l)
{
    windows_forget(l);
    l->next = l->position;
    stream_time_copy(&l->time, &l->now_at_position);
    torn_add(l, oldest_us(l), l->time.now_us == TIME_NONE ? WINDOW_EVER : l->time.now_us);
    int64_t first = window_next_us(l->a, l->time.now_us);
    l->first_window_us = first > l->first_window_us ? first : l->first_window_us;
}

static void gap_add(struct lane *l, int64_t from, int64_t to)
{
    struct spans *gaps = &l->gaps;
    if (gaps->count == gaps->cap) {
        gaps->cap = gaps->cap == 0 ? 8 : gaps->cap * 2;
        gaps->at = xrealloc(gaps->at, gaps->cap * sizeof(*gaps->at));
    }
    if (gaps->count == LANE_GAPS_MAX) { /* the two oldest become one */
        gaps->at[1].from = gaps->at[0].from;
        memmove(gaps->at, gaps->at + 1, (gaps->count - 1) * sizeof(*gaps->at));
        gaps->count--;
    }
    gaps->at[gaps->count++] = (struct offset_span){from, to};
}

static void book(struct lane *l, int64_t count)
{
    tally_add(&l->tally, TALLY_EVENT, TALLY_NO_TIME, TASK_GAP, count);
    tally_add(&l->tally, TALLY_ARRIVAL, TALLY_NO_TIME, TASK_GAP, count);
}

/* [l->next, to) is not there; latest_us: when the last of it can have arrived, or TIME_NONE. */
static void hole_book(struct lane *l, int64_t to, int64_t latest_us)
{
    int64_t lost_to = to < l->position ? to : l->position;
    if (l->next < lost_to && unknown_in(l, l->next, lost_to)) {
        if (fault("R12.gap")) {
            book(l, lost_to - l->next);
        }
        if (!fault("R10.torn")) {
            state_lost(l);
        }
    }
    int64_t from = l->next > l->position ? l->next : l->position;
    if (from < to) { /* never read */
        book(l, to - from);
        gap_add(l, from, to);
        torn_add(l, oldest_us(l), latest_us == TIME_NONE ? WINDOW_EVER : latest_us + l->a->options.skew_us);
    }
}

void lane_hole(struct lane *l, const struct record *r)
{
    hole_book(l, r->offset - r->skipped, r->arrival_us);
}

/* `last` stays that of the last record read: whatever stands before the end in a journal that was restored is not it.
 */
void lane_hole_at_end(struct lane *l, int64_t end, int64_t now_us)
{
    if (end <= l->next || end <= l->position) { /* nothing new is missing; what is, is met when a record comes */
        return;
    }
    hole_book(l, end, now_us > l->arrival_us ? now_us : l->arrival_us);
    l->next = end;
}
