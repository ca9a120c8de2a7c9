/* SPDX-License-Identifier: MIT
 *
 * identities.c - entries in the order in which they were added, found by open addressing with linear probing; the names
 * are hashed again with the seed of this process, because strangers choose them. Nearly every name that is looked up is
 * new, so a lookup ends in the slots, which are small, and an addition writes where the last one did.
 *
 * Nothing is ever taken out singly: what is no longer known stays until the table is swept, which happens when as many
 * names were added as the last sweep had left. So an addition costs O(1) on average and no order of expiry has to be
 * kept. Whether a name is known is decided when it is looked up, never by the sweep.
 *
 * Tried and left: the entries in the slots themselves (two misses of all caches an event).
 */
#include "source/identities.h"

#include <stdlib.h>

#include "base/hash.h"

struct entry {
    struct identity id;
    int64_t since_us;
    int64_t offset;
    uint64_t number; /* the how-manieth record of its clock, from 1 */
    uint32_t partition;
    uint32_t clock;
};

struct slot {
    uint32_t tag;   /* high half of the hash */
    uint32_t entry; /* index + 1; 0: free */
};

struct identity_clock {
    int64_t now_us;
    uint64_t count; /* records remembered by this clock */
};

struct identities {
    struct slot *slots;
    size_t slot_count;     /* a power of two */
    struct entry *entries; /* room for sweep_at and one record more */
    size_t used;
    size_t sweep_at; /* sweep when `used` gets here */
    size_t max, newest;
    int64_t horizon_us;
    uint64_t seed;
    struct identity_clock clocks[IDENTITY_CLOCKS];
};

enum { SLOTS_MIN = 1024, SWEEP_MIN = 256, NAMES_A_RECORD = 2 };

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
    t->entries = xcalloc(t->sweep_at + NAMES_A_RECORD, sizeof *t->entries);
    for (size_t i = 0; i < IDENTITY_CLOCKS; i++) {
        t->clocks[i].now_us = TIME_NONE;
    }
    return t;
}

void identities_free(struct identities *t)
{
    if (t) {
        free(t->slots);
        free(t->entries);
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

static uint64_t id_hash(const struct identities *t, struct identity id)
{
    return hash_bytes(str_n((const char *)&id, sizeof id), t->seed);
}

/* The slot of this name, or the free one where it belongs. */
static struct slot *slot_of(const struct identities *t, struct identity id, uint64_t hash)
{
    uint32_t tag = (uint32_t)(hash >> 32);
    size_t at = (size_t)hash & (t->slot_count - 1);
    for (; t->slots[at].entry; at = (at + 1) & (t->slot_count - 1)) {
        const struct entry *e = &t->entries[t->slots[at].entry - 1];
        if (t->slots[at].tag == tag && e->id.hi == id.hi && e->id.lo == id.lo) {
            break;
        }
    }
    return &t->slots[at];
}

bool identities_known(const struct identities *t, struct identity id)
{
    const struct slot *slot = slot_of(t, id, id_hash(t, id));
    return slot->entry && entry_known(t, &t->entries[slot->entry - 1]);
}

static void slots_make(struct identities *t, size_t slot_count)
{
    free(t->slots);
    t->slots = xcalloc(slot_count, sizeof *t->slots);
    t->slot_count = slot_count;
    for (size_t i = 0; i < t->used; i++) {
        uint64_t hash = id_hash(t, t->entries[i].id);
        *slot_of(t, t->entries[i].id, hash) = (struct slot){(uint32_t)(hash >> 32), (uint32_t)i + 1};
    }
}

/* Drops what is not known and makes room for twice of what is left. */
static void sweep(struct identities *t)
{
    size_t known = 0;
    for (size_t i = 0; i < t->used; i++) {
        if (entry_known(t, &t->entries[i])) {
            t->entries[known++] = t->entries[i];
        }
    }
    size_t more = known > SWEEP_MIN ? known : SWEEP_MIN, most = t->max / 16 + 1;
    t->used = known;
    t->sweep_at = known + (more < most ? more : most);
    ensure(t->sweep_at < UINT32_MAX - NAMES_A_RECORD);
    t->entries = xrealloc(t->entries, (t->sweep_at + NAMES_A_RECORD) * sizeof *t->entries);
    size_t slot_count = SLOTS_MIN;
    while (slot_count < t->sweep_at * 2 + 4) {
        slot_count *= 2;
    }
    slots_make(t, slot_count);
}

/* The entry of this name, made if there is none. */
static struct entry *entry_of(struct identities *t, struct identity id)
{
    uint64_t hash = id_hash(t, id);
    struct slot *slot = slot_of(t, id, hash);
    if (!slot->entry) {
        *slot = (struct slot){(uint32_t)(hash >> 32), (uint32_t)++t->used};
    }
    return &t->entries[slot->entry - 1];
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
    ensure(count <= NAMES_A_RECORD);
    for (size_t i = 0; i < count; i++) {
        *entry_of(t, ids[i]) = (struct entry){ids[i], since_us, place.offset, number, place.partition, (uint32_t)clock};
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
    for (size_t i = 0; i < t->used; i++) {
        const struct entry *e = &t->entries[i];
        if (entry_known(t, e)) {
            struct identity_known k = {e->clock, e->since_us, {e->partition, e->offset}};
            each(&k, ctx);
        }
    }
}
