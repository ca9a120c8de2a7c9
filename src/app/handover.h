/* SPDX-License-Identifier: MIT
 *
 * handover.h - batches that the ingester has just made durable, on their way to the task of the same process: records
 * and what the source's scan found in them, so that the task need not read, unpack and scan them again.
 *
 * A short cut, never a source of truth: a batch is there only after its append, holds the very bytes that were stored,
 * and whatever is not there is read from the journal. At most HANDOVER_BYTES and one batch wait here. Beyond that an
 * ingester that is faster than the task waits for it, as long as the task takes batches from here; else the batch is
 * left to the journal.
 *
 * Two threads: the ingester (announce, give, withdraw) and the task (take).
 */
#ifndef WIKITALLY_APP_HANDOVER_H
#define WIKITALLY_APP_HANDOVER_H

#include "base/record.h"

#include <stdatomic.h>

enum { HANDOVER_BYTES = 48 << 20, HANDOVER_WAIT_US = 5000000 };

struct handover;
/* 0: HANDOVER_BYTES, HANDOVER_WAIT_US. */
struct handover *handover_new(uint32_t partitions, size_t max_bytes, int64_t wait_us);
void handover_free(struct handover *h); /* both threads are over; NULL is fine */

/* Before the append of a batch: a task that learns of its records before they are given waits for them. Blocks while
 * there is no room, at most HANDOVER_WAIT_US after the task took something last, or until *stopping. */
void handover_announce(struct handover *h, const struct batch *b, const atomic_bool *stopping);
/* After it: given takes batch->memory over if there is room and values are shared; not given (given false) leaves all
 * to the journal. */
void handover_settle(struct handover *h, const struct batch *b, bool given);

struct handed {
    const struct record *records; /* offsets follow each other from the one asked for */
    const struct value *const *values;
    size_t count;
};
/* Records of a partition from offset `from` on, at most `max`; `from` must be below the journal's end. False: they are
 * not here. What it gives is valid until the next call. */
bool handover_take(struct handover *h, uint32_t partition, int64_t from, size_t max, struct handed *ret);

#endif
