/* SPDX-License-Identifier: MIT
 *
 * stream_time.h - the clock of one partition, made of its records (R5). Private to this room.
 */
#ifndef WIKITALLY_COMPUTE_STREAM_TIME_H
#define WIKITALLY_COMPUTE_STREAM_TIME_H

#include "base/result.h"
#include "compute/lane.h"

enum { TOPIC_MAX = 1024 }; /* bytes; a longer meta.topic is none (Kafka's limit is 249) */

/* Shared by the states that hold it; one thread. */
struct topic {
    uint32_t refs, len;
    char text[];
};

struct stream_time { /* owned counterpart of struct time_state */
    int64_t now_us;  /* TIME_NONE before the first */
    bool change_seen;
    struct topic *topic; /* NULL: none */
};

void stream_time_init(struct stream_time *t);
void stream_time_fini(struct stream_time *t);
void stream_time_set(struct stream_time *t, const struct time_state *from); /* copies */
void stream_time_copy(struct stream_time *t, const struct stream_time *from);
struct time_state stream_time_show(const struct stream_time *t); /* borrows the topic from t */

/* R5: the record moves stream time, or not. time_us: its event time or TIME_NONE. */
void stream_time_move(struct stream_time *t, const struct decoded *d, int64_t time_us, bool future);

#endif
