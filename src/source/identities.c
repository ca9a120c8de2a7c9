/* SPDX-License-Identifier: MIT
 *
 * identities.c - open addressing with linear probing; the names are hashed again with the seed of this process, because
 * strangers choose them. Nothing is ever taken out singly: what is no longer known stays until the table is swept,
 * which happens when as many names were added as the last sweep had left. So an addition costs O(1) on average and no
 * order of expiry has to be kept. Whether a name is known is decided when it is looked up, never by the sweep.
 */
#include "source/identities.h"

#include <stdlib.h>

#include "base/hash.h"

struct entry {
    struct identity id;
    int64_t since_us;
    int64_t offset;
    uint64_t number; /* the how-manieth record of its clock, from 1; 0: the slot is free */
    uint32_t partition;
    uint32_t clock;
};

struct identity_clock {
    int64_t now_us;
    uint64_t count; /* records remembered by this clock */
};

struct identities {
    struct entry *slots;
    size_t slot_count; /* a power of two */
    size_t used;
    size_t sweep_at; /* sweep when `used` gets here */
    size_t max, newest;
    int64_t horizon_us;
    uint64_t seed;
    struct identity_clock clocks[IDENTITY_CLOCKS];
};

enum { SLOTS_MIN = 1024, SWEEP_MIN = 256 };

struct identities *identities_new(size_t max, size_t newest, int64_t horizon_us)
{
    struct identities *t = xcalloc(1, sizeof *t);
    t->max = max;
    t->newest = newest;
    t->horizon_us = horizon_us;
    t->seed = hash_process_seed();
    t->slot_count = SLOTS_MIN;
    t->slots = xcalloc(t->slot_count, sizeof *t->slots);
    t->sweep_at = SWEEP_MIN < max ? SWEEP_MIN : max + 1;
    for (size_t i = 0; i < IDENTITY_CLOCKS; i++) {
        t->clocks[i].now_us = TIME_NONE;
    }
    return t;
}

void identities_free(struct identities *t)
{
    if (t) {
        free(t->slots);
        free(t);
    }
}

static bool entry_known(const struct identities *t, const struct entry *e)
{
    const struct identity_clock *clock = &t->clocks[e->clock];
    if (clock->count - e->number < t->newest) {
        return true; /* R3: meta.dt may jump, and with it everything would be forgotten at once */
    }
    if (e->since_us == TIME_NONE || clock->now_us == TIME_NONE) {
        return true; /* remembered before that clock showed anything */
    }
    return clock->now_us - e->since_us <= t->horizon_us;
}

static struct entry *slot_of(struct entry *slots, size_t slot_count, struct identity id, uint64_t seed)
{
    size_t at = (size_t)hash_bytes(str_n((const char *)&id, sizeof id), seed) & (slot_count - 1);
    while (slots[at].number && (slots[at].id.hi != id.hi || slots[at].id.lo != id.lo)) {
        at = (at + 1) & (slot_count - 1);
    }
    return &slots[at];
}

bool identities_known(const struct identities *t, struct identity id)
{
    const struct entry *e = slot_of(t->slots, t->slot_count, id, t->seed);
    return e->number && entry_known(t, e);
}

/* Drops what is not known and makes room for twice of what is left. */
static void sweep(struct identities *t)
{
    size_t known = 0;
    for (size_t i = 0; i < t->slot_count; i++) {
        known += t->slots[i].number && entry_known(t, &t->slots[i]);
    }
    size_t more = known > SWEEP_MIN ? known : SWEEP_MIN, most = t->max / 16 + 1;
    size_t sweep_at = known + (more < most ? more : most);
    size_t slot_count = SLOTS_MIN;
    while (slot_count < sweep_at * 2 + 4) {
        slot_count *= 2;
    }
    struct entry *slots = xcalloc(slot_count, sizeof *slots);
    for (size_t i = 0; i < t->slot_count; i++) {
        if (t->slots[i].number && entry_known(t, &t->slots[i])) {
            *slot_of(slots, slot_count, t->slots[i].id, t->seed) = t->slots[i];
        }
    }
    free(t->slots);
    t->slots = slots;
    t->slot_count = slot_count;
    t->used = known;
    t->sweep_at = sweep_at;
}

enum err_class identities_add(struct identities *t, const struct identity *ids, size_t count, size_t clock,
                              int64_t since_us, struct identity_place place, struct err *err)
{
    if (!count) {
        return ERR_NONE;
    }
    if (t->used + count > t->sweep_at) {
        sweep(t);
        if (t->used + count > t->max) {
            return err_set(err, ERR_FATAL, EXIT_OSERR,
                           "table of identities is full: %zu names lie within the horizon (source.max_identities)",
                           t->used);
        }
    }
    uint64_t number = ++t->clocks[clock].count;
    for (size_t i = 0; i < count; i++) {
        struct entry *e = slot_of(t->slots, t->slot_count, ids[i], t->seed);
        t->used += !e->number;
        *e = (struct entry){ids[i], since_us, place.offset, number, place.partition, (uint32_t)clock};
    }
    return ERR_NONE;
}

void identities_move(struct identities *t, size_t clock, int64_t to_us)
{
    if (to_us > t->clocks[clock].now_us) {
        t->clocks[clock].now_us = to_us;
    }
}

int64_t identities_now(const struct identities *t, size_t clock)
{
    return t->clocks[clock].now_us;
}

void identities_each(const struct identities *t, void (*each)(const struct identity_known *k, void *ctx), void *ctx)
{
    for (size_t i = 0; i < t->slot_count; i++) {
        const struct entry *e = &t->slots[i];
        if (e->number && entry_known(t, e)) {
            struct identity_known k = {e->clock, e->since_us, {e->partition, e->offset}};
            each(&k, ctx);
        }
    }
}
