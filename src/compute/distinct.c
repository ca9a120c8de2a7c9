/* SPDX-License-Identifier: MIT
 *
 * distinct.c - how many different values: hashes kept exactly, then a HyperLogLog (formats: sketch.h).
 *
 * The estimate is Ertl's ("New cardinality estimation algorithms for HyperLogLog sketches", 2017, algorithm 6): no
 * tables and no switch between ranges, and it needs only + - * / and sqrt, which IEEE 754 defines to the bit. So every
 * machine gets the same number from the same registers; with log() that would not be sure.
 */
#include "compute/sketch.h"

#include "base/err.h"
#include "base/fault.h"

#include <math.h>
#include <stdlib.h>

enum { PRECISION = 12, RANK_MAX = 64 - PRECISION + 1 };

struct distinct {
    uint32_t count;     /* of hashes; exact only */
    uint32_t capacity;  /* of slots; 0 once there are registers */
    uint64_t *slots;    /* open addressing, 0 = empty; the hash 0 is kept as 1 */
    uint8_t *registers; /* NULL while exact */
};

struct distinct *distinct_new(void)
{
    return xcalloc(1, sizeof(struct distinct));
}

void distinct_free(struct distinct *d)
{
    if (d != NULL) {
        free(d->slots);
        free(d->registers);
        free(d);
    }
}

static void register_add(uint8_t *registers, uint64_t hash)
{
    size_t at = (size_t)(hash >> (64 - PRECISION));
    uint64_t rest = hash << PRECISION;
    uint8_t rank = rest == 0 ? RANK_MAX : (uint8_t)(__builtin_clzll(rest) + 1);
    if (rank > registers[at]) {
        registers[at] = rank;
    }
}

/* True if the hash was new. There is room. */
static bool slot_add(uint64_t *slots, uint32_t capacity, uint64_t hash)
{
    uint32_t at = (uint32_t)hash & (capacity - 1);
    while (slots[at] != 0 && slots[at] != hash) {
        at = (at + 1) & (capacity - 1);
    }
    bool added = slots[at] == 0;
    slots[at] = hash;
    return added;
}

static void slots_grow(struct distinct *d)
{
    uint32_t capacity = d->capacity == 0 ? 8 : d->capacity * 2;
    uint64_t *slots = xcalloc(capacity, sizeof(*slots));
    for (uint32_t i = 0; i < d->capacity; i++) {
        if (d->slots[i] != 0) {
            slot_add(slots, capacity, d->slots[i]);
        }
    }
    free(d->slots);
    d->slots = slots;
    d->capacity = capacity;
}

static void to_registers(struct distinct *d)
{
    d->registers = xcalloc(DISTINCT_REGISTERS, 1);
    for (uint32_t i = 0; i < d->capacity; i++) {
        if (d->slots[i] != 0) {
            register_add(d->registers, d->slots[i]);
        }
    }
    free(d->slots);
    d->slots = NULL;
    d->capacity = d->count = 0;
}

static bool slot_has(const struct distinct *d, uint64_t hash)
{
    uint32_t at = (uint32_t)hash & (d->capacity - 1);
    while (d->slots[at] != 0 && d->slots[at] != hash) {
        at = (at + 1) & (d->capacity - 1);
    }
    return d->slots[at] == hash;
}

void distinct_add(struct distinct *d, uint64_t hash)
{
    hash += hash == 0;
    if (d->registers == NULL && d->count == DISTINCT_EXACT && !slot_has(d, hash)) {
        to_registers(d);
    }
    if (d->registers != NULL) {
        register_add(d->registers, hash);
        return;
    }
    if (d->capacity < 2 * (d->count + 1)) {
        slots_grow(d);
    }
    d->count += slot_add(d->slots, d->capacity, hash);
}

static double sigma(double x)
{
    if (x == 1.0) {
        return HUGE_VAL;
    }
    double y = 1.0, sum = x, before;
    do {
        x *= x;
        before = sum;
        sum += x * y;
        y += y;
    } while (sum != before);
    return sum;
}

static double tau(double x)
{
    if (x == 0.0 || x == 1.0) {
        return 0.0;
    }
    double y = 1.0, sum = 1.0 - x, before;
    do {
        x = sqrt(x);
        before = sum;
        y *= 0.5;
        sum -= (1.0 - x) * (1.0 - x) * y;
    } while (sum != before);
    return sum / 3.0;
}

static int64_t estimate(const uint8_t *registers)
{
    const double m = DISTINCT_REGISTERS, alpha = 0.721347520444481703680; /* 1 / (2 ln 2) */
    unsigned histogram[RANK_MAX + 1] = {0};
    for (size_t i = 0; i < DISTINCT_REGISTERS; i++) {
        histogram[registers[i]]++;
    }
    double z = m * tau(1.0 - histogram[RANK_MAX] / m);
    for (int rank = RANK_MAX - 1; rank >= 1; rank--) {
        z = 0.5 * (z + histogram[rank]);
    }
    z += m * sigma(histogram[0] / m);
    return (int64_t)(alpha * m * m / z + 0.5);
}

int64_t distinct_count(const struct distinct *d)
{
    return d->registers != NULL ? estimate(d->registers) : (int64_t)d->count;
}

bool distinct_exact(const struct distinct *d)
{
    return d->registers == NULL;
}

size_t distinct_bytes(const struct distinct *d)
{
    return sizeof(*d) + (d->registers != NULL ? DISTINCT_REGISTERS : d->capacity * sizeof(uint64_t));
}

static int hash_order(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static struct str exact_store(const struct distinct *d, struct arena *arena)
{
    uint64_t hashes[DISTINCT_EXACT];
    size_t n = 0;
    for (uint32_t i = 0; i < d->capacity && n < DISTINCT_EXACT; i++) {
        if (d->slots[i] != 0) {
            hashes[n++] = d->slots[i];
        }
    }
    qsort(hashes, n, sizeof(*hashes), hash_order);
    char *out = arena_alloc(arena, 1 + 8 * n);
    out[0] = 'E';
    for (size_t i = 0; i < n; i++) {
        for (size_t byte = 0; byte < 8; byte++) {
            out[1 + 8 * i + byte] = (char)(hashes[i] >> (8 * byte) & 0xff);
        }
    }
    return str_n(out, 1 + 8 * n);
}

struct str distinct_store(const struct distinct *d, struct arena *arena)
{
    if (d->registers == NULL) {
        return exact_store(d, arena);
    }
    char *out = arena_alloc(arena, 1 + DISTINCT_REGISTERS);
    out[0] = 'H';
    memcpy(out + 1, d->registers, DISTINCT_REGISTERS);
    return str_n(out, 1 + DISTINCT_REGISTERS);
}

static uint64_t load64(const char *p)
{
    uint64_t value = 0;
    for (size_t byte = 8; byte-- > 0;) {
        value = value << 8 | (unsigned char)p[byte];
    }
    return value;
}

static bool registers_valid(struct str stored)
{
    for (size_t i = 1; i < stored.len; i++) {
        if ((unsigned char)stored.ptr[i] > RANK_MAX) {
            return false;
        }
    }
    return stored.len == 1 + DISTINCT_REGISTERS;
}

bool distinct_merge(struct distinct *d, struct str stored)
{
    if (stored.len == 0) {
        return true;
    }
    if (stored.ptr[0] == 'E' && stored.len % 8 == 1 && stored.len <= 1 + 8 * DISTINCT_EXACT) {
        for (size_t at = 1; at < stored.len; at += 8) {
            distinct_add(d, load64(stored.ptr + at));
        }
        return true;
    }
    if (stored.ptr[0] != 'H' || !registers_valid(stored)) {
        return false;
    }
    if (d->registers == NULL) {
        to_registers(d);
    }
    for (size_t i = 0; i < DISTINCT_REGISTERS; i++) {
        uint8_t other = (uint8_t)stored.ptr[1 + i];
        d->registers[i] = other > d->registers[i] ? other : d->registers[i];
    }
    return true;
}
