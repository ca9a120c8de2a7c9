/* SPDX-License-Identifier: MIT
 *
 * tally.h - counts by minute and bucket: one side of the ledger (R12), for the source and for the tasks.
 *
 * Every record is booked twice: by the minute of its event time and by the minute of its arrival. Only minutes near the
 * arrival have a row of their own: more than 32 days before it -> TALLY_OLDER, beyond arrival + skew -> TALLY_AHEAD, no
 * time at all -> TALLY_NO_TIME. So the number of rows is bounded. One owner, no threads.
 */
#ifndef WIKITALLY_BASE_TALLY_H
#define WIKITALLY_BASE_TALLY_H

#include "base/clock.h"

enum tally_by { TALLY_EVENT = 0, TALLY_ARRIVAL = 1 };

#define TALLY_NO_TIME (INT64_MIN)      /* shown as `null` */
#define TALLY_OLDER (INT64_MIN + 1)    /* shown as `older` */
#define TALLY_AHEAD (INT64_MAX)        /* shown as `ahead` */
#define TALLY_KEEP_MINUTES (32 * 1440) /* minutes before the arrival that have rows of their own */

struct tally_row {
    enum tally_by by;
    int64_t minute; /* minutes since the epoch (time / US_PER_MINUTE rounded down), or one of the three above */
    uint8_t bucket; /* meaning is the owner's: enum source_bucket, enum task_bucket */
    int64_t count;
};

struct tally { /* additions since the last tally_clear: what one commit carries */
    struct tally_row *rows;
    size_t count, cap;
    /* Private: */
    uint32_t last[2][8]; /* index of the row hit last, per side and bucket: most records repeat it */
    uint32_t *slots;     /* hash table of index + 1, 0 = free; only made when there are many rows */
    size_t slot_count;
};

void tally_fini(struct tally *t);
void tally_clear(struct tally *t);
void tally_add(struct tally *t, enum tally_by by, int64_t minute, uint8_t bucket, int64_t count);
int64_t tally_get(const struct tally *t, enum tally_by by, int64_t minute, uint8_t bucket); /* 0: no such row */
/* Books one record on both sides. clock_us: its arrival, or where that is unknown the stream time, or TIME_NONE. */
void tally_book(struct tally *t, uint8_t bucket, int64_t event_us, int64_t arrival_us, int64_t clock_us,
                int64_t skew_us);
int64_t tally_minute(int64_t time_us, int64_t clock_us, int64_t skew_us);
/* The first minute that still has a row of its own at that clock: what a store folds into TALLY_OLDER lies before it.
 */
int64_t tally_first_minute(int64_t clock_us);
/* Moves the rows of minutes that have become older than that into TALLY_OLDER (a store that keeps its sum in memory).
 */
void tally_fold(struct tally *t, int64_t clock_us);

#endif
