/* SPDX-License-Identifier: MIT
 *
 * identities.h - the names of events that would be duplicates (R1-R3; oracle.md section 4). Private to this room.
 *
 * A name is known from when its record was journalled, by the clock of its own upstream topic: while that clock minus
 * the record's own time is at most the horizon. Besides, the newest records of each clock are known however it jumps.
 * So the table is a function of the journal's tail: it is never stored, but rebuilt (admission_load).
 *
 * Clock 0 is the source's stream time: for what has no topic or no valid meta.dt, and for dead letters.
 */
#ifndef WIKITALLY_SOURCE_IDENTITIES_H
#define WIKITALLY_SOURCE_IDENTITIES_H

#include "base/err.h"
#include "change/change.h"

enum { IDENTITY_CLOCKS = 1024, IDENTITY_CLOCK_STREAM = 0 }; /* clocks of one table: stream time and 1,023 topics */

struct identity_place { /* where the record stands in the journal; offset -1: it does not (a dead letter) */
    uint32_t partition;
    int64_t offset;
};

struct identities;
/* max: names known at once (looked at now and then: up to a sixteenth more); newest: records of each clock known
 * besides; horizon_us INT64_MAX: for ever. */
struct identities *identities_new(size_t max, size_t newest, int64_t horizon_us);
void identities_free(struct identities *t);

bool identities_known(const struct identities *t, struct identity id);
/* Remembers one record by all its names. `since_us`: its time by that clock, or TIME_NONE (then it is known for ever).
 * ERR_FATAL: the table is full of names that are still known. */
enum err_class identities_add(struct identities *t, const struct identity *ids, size_t count, size_t clock,
                              int64_t since_us, struct identity_place place, struct err *err);

void identities_move(struct identities *t, size_t clock, int64_t to_us); /* a clock never goes back */
int64_t identities_now(const struct identities *t, size_t clock);        /* TIME_NONE before the first move */

/* Every name that is still known, in no particular order. */
struct identity_known {
    size_t clock;
    int64_t since_us;
    struct identity_place place;
};
void identities_each(const struct identities *t, void (*each)(const struct identity_known *k, void *ctx), void *ctx);

#endif
