/* SPDX-License-Identifier: MIT
 *
 * window.h - the windows of one lane that may still change (R6, R8). Private to this room.
 *
 * Windows are [k * slide, k * slide + size). Those that may change at one watermark lie in a span of size + delay +
 * lateness, so a ring of that many slots by k holds them all and no two meet, if the old ones are closed before a new
 * one is made.
 */
#ifndef WIKITALLY_COMPUTE_WINDOW_H
#define WIKITALLY_COMPUTE_WINDOW_H

#include "compute/aggregation_private.h"
#include "compute/keytable.h"
#include "compute/stream_time.h"

struct row {
    int64_t revision;
    uint16_t has; /* bit a measure: min and max had a value */
    bool dirty;   /* is in the list of rows to commit */
    union measure_state states[];
};

struct window {
    int64_t start_us;
    int64_t first; /* offset of its first record, and stream time just before that */
    struct stream_time before;
    bool closed;
    int64_t closed_by; /* or -1 */
    uint32_t other;    /* the row (other), or KEYTABLE_NONE */
    size_t dirty;      /* rows that wait for a commit; a window that goes meanwhile waits with them */
    struct keytable table;
    struct window *next; /* of the retired */
};

struct windows {
    const struct aggregation *a;
    struct window **slots;
    size_t slot_count, count;
    struct window *last;    /* the one that was found last, or NULL: records come in runs of one window */
    int64_t check_us;       /* no window closes or goes before the watermark is here */
    struct window *retired; /* gone, but with rows that are not committed yet */
    size_t keys;            /* rows in all windows, the retired among them */
};

void windows_init(struct windows *w, const struct aggregation *a);
void windows_fini(struct windows *w, struct measure_context *ctx);
struct window *windows_find(struct windows *w, int64_t start_us); /* or NULL */
struct window *windows_add(struct windows *w, int64_t start_us, int64_t offset, const struct stream_time *before);
/* Takes it out of the ring: freed at once, or retired while rows of it wait for a commit. */
void windows_remove(struct windows *w, struct window *window, struct measure_context *ctx);
void windows_free_retired(struct windows *w, struct measure_context *ctx); /* those without a dirty row */
/* The first window that begins after this time (R10). */
int64_t window_next_us(const struct aggregation *a, int64_t time_us);

#endif
