/* SPDX-License-Identifier: MIT
 *
 * lane_private.h - one aggregation on one partition, as lane.c (feeding), hole.c (what is missing) and lane_commit.c
 * (what is stored) share it.
 */
#ifndef WIKITALLY_COMPUTE_LANE_PRIVATE_H
#define WIKITALLY_COMPUTE_LANE_PRIVATE_H

#include "base/tally.h"
#include "compute/lane.h"
#include "compute/window.h"

enum { LANE_GAPS_MAX = 1000, LANE_TORN_MAX = 1000 };

struct dirty {
    struct window *window;
    uint32_t row;
};

struct spans { /* of offsets, rising */
    struct offset_span *at;
    size_t count, cap;
};

struct lane_counts {
    int64_t late, amended, other;
};

struct lane {
    const struct aggregation *a;
    size_t index;
    int64_t generation, epoch;
    uint32_t partition;

    /* the line as stored */
    int64_t position, replay_from;
    struct stream_time now_at_position;

    /* the line as a commit has taken it, which may be on its way still; the version is that of the last one */
    int64_t taken_position, version;

    /* the line as it would be stored now */
    int64_t next;
    bool has_last;
    uint64_t last;
    int64_t arrival_us;
    struct stream_time time, before; /* before: of the record that is being fed */
    int64_t first_window_us;
    struct spans gaps;
    struct windows windows;
    int64_t slot_us; /* start of the newest window that holds the time counted last; a multiple of the slide */

    /* since the last commit */
    struct dirty *dirty;
    size_t dirty_count, dirty_cap;
    struct tally tally;
    struct torn_span *torn;
    size_t torn_count;
    struct mark *marks; /* topics are copies in mark_texts */
    size_t mark_count, mark_cap;
    struct arena mark_texts;

    struct measure_context measuring; /* its seed is the journal's */
    uint64_t key_seed;                /* this process's */
    struct buf key;
    int64_t pairs_counted, pairs_late;
    struct lane_counts counts, taken, told; /* so far, as of the last commit, as the metrics know them */
};

static inline int64_t lane_watermark_us(const struct lane *l)
{
    return l->time.now_us == TIME_NONE ? TIME_NONE : l->time.now_us - l->a->options.delay_us;
}

/* hole.c: the records from l->next to this one are gone (R10). */
void lane_hole(struct lane *l, const struct record *r);

#endif
