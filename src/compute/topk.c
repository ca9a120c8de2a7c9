/* SPDX-License-Identifier: MIT
 *
 * topk.c - the most frequent values: Space-Saving (Metwally et al., 2005; formats: sketch.h).
 *
 * A new value takes the place of the counter with the least count and inherits that count as its error. Which one of
 * several with the least count goes is decided by a hash of the value with the journal's seed, so that a replay of the
 * same records gives the same counters, and a stranger cannot choose.
 */
#include "compute/sketch.h"

#include "base/err.h"
#include "base/hash.h"

#include <stdlib.h>

struct counter {
    char *text; /* owned, len bytes */
    uint32_t len;
    uint64_t hash;
    int64_t count, error;
};

struct top {
    size_t capacity, count;
    size_t slot_count; /* power of two, at least twice the capacity */
    uint16_t *slots;   /* index + 1 of a counter; 0 = empty */
    size_t text_bytes;
    uint64_t seed;
    struct counter counters[];
};

size_t top_capacity(int64_t shown)
{
    return shown * 8 < 64 ? 64 : (size_t)shown * 8;
}

struct top *top_new(size_t capacity, uint64_t seed)
{
    struct top *t = xcalloc(1, sizeof(*t) + capacity * sizeof(struct counter));
    t->capacity = capacity;
    t->seed = seed;
    t->slot_count = 16;
    while (t->slot_count < 2 * capacity) {
        t->slot_count *= 2;
    }
    t->slots = xcalloc(t->slot_count, sizeof(*t->slots));
    return t;
}

void top_free(struct top *t)
{
    if (t != NULL) {
        for (size_t i = 0; i < t->count; i++) {
            free(t->counters[i].text);
        }
        free(t->slots);
        free(t);
    }
}

/* The slot of the value, or the empty one where it would be. */
static size_t slot_of(const struct top *t, struct str value, uint64_t hash)
{
    size_t at = (size_t)hash & (t->slot_count - 1);
    for (; t->slots[at] != 0; at = (at + 1) & (t->slot_count - 1)) {
        const struct counter *c = &t->counters[t->slots[at] - 1];
        if (c->hash == hash && str_eq(str_n(c->text, c->len), value)) {
            break;
        }
    }
    return at;
}

/* Backward-shift deletion: no tombstones, so lookups never slow down. */
static void slot_remove(struct top *t, size_t at)
{
    size_t mask = t->slot_count - 1, hole = at;
    for (size_t next = (at + 1) & mask; t->slots[next] != 0; next = (next + 1) & mask) {
        size_t home = (size_t)t->counters[t->slots[next] - 1].hash & mask;
        if (((next - home) & mask) >= ((next - hole) & mask)) {
            t->slots[hole] = t->slots[next];
            hole = next;
        }
    }
    t->slots[hole] = 0;
}

static size_t least(const struct top *t)
{
    size_t found = 0;
    for (size_t i = 1; i < t->count; i++) {
        const struct counter *a = &t->counters[i], *b = &t->counters[found];
        if (a->count < b->count || (a->count == b->count && a->hash < b->hash)) {
            found = i;
        }
    }
    return found;
}

static void counter_set(struct top *t, size_t i, struct str value, uint64_t hash)
{
    struct counter *c = &t->counters[i];
    t->text_bytes += value.len - c->len;
    c->text = xrealloc(c->text, value.len + 1);
    memcpy(c->text, value.ptr, value.len);
    c->len = (uint32_t)value.len;
    c->hash = hash;
    t->slots[slot_of(t, value, hash)] = (uint16_t)(i + 1);
}

void top_add(struct top *t, struct str value, int64_t count, int64_t error)
{
    if (value.len > TOP_VALUE_MAX || value.len == 0) {
        return;
    }
    uint64_t hash = hash_bytes(value, t->seed);
    size_t at = slot_of(t, value, hash), i;
    if (t->slots[at] != 0) {
        i = t->slots[at] - 1;
    } else if (t->count < t->capacity) {
        i = t->count++;
        counter_set(t, i, value, hash);
    } else {
        i = least(t);
        struct counter *c = &t->counters[i];
        slot_remove(t, slot_of(t, str_n(c->text, c->len), c->hash));
        c->error = c->count;
        counter_set(t, i, value, hash);
    }
    t->counters[i].count += count;
    t->counters[i].error += error;
}

size_t top_bytes(const struct top *t)
{
    return sizeof(*t) + t->capacity * sizeof(struct counter) + t->slot_count * sizeof(*t->slots) + t->text_bytes;
}

static int counter_order(const void *a, const void *b)
{
    const struct counter *x = *(const struct counter *const *)a, *y = *(const struct counter *const *)b;
    if (x->count != y->count) {
        return x->count > y->count ? -1 : 1;
    }
    return str_cmp(str_n(x->text, x->len), str_n(y->text, y->len));
}

static void counter_print(const struct counter *c, bool with_error, struct buf *out)
{
    buf_addc(out, '[');
    buf_add(out, str_n(c->text, c->len));
    buf_addc(out, ',');
    buf_add_int(out, c->count);
    if (with_error || c->error != 0) {
        buf_addc(out, ',');
        buf_add_int(out, c->error);
    }
    buf_addc(out, ']');
}

static struct str print(const struct top *t, size_t shown, bool with_error, struct arena *arena)
{
    AUTO(buf) struct buf out = {0};
    const struct counter **sorted = arena_alloc(arena, (t->count + 1) * sizeof(struct counter *));
    for (size_t i = 0; i < t->count; i++) {
        sorted[i] = &t->counters[i];
    }
    qsort(sorted, t->count, sizeof(struct counter *), counter_order);
    buf_addc(&out, '[');
    for (size_t i = 0; i < t->count && i < shown; i++) {
        if (i > 0) {
            buf_addc(&out, ',');
        }
        counter_print(sorted[i], with_error, &out);
    }
    buf_addc(&out, ']');
    return arena_dup(arena, buf_str(&out));
}

struct str top_show(const struct top *t, size_t shown, struct arena *arena)
{
    return print(t, shown, false, arena);
}

struct str top_store(const struct top *t, struct arena *arena)
{
    return print(t, t->capacity, true, arena);
}
