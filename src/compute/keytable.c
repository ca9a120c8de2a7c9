/* SPDX-License-Identifier: MIT
 *
 * keytable.c - the rows of one window by key. See keytable.h. Nothing is ever removed: a window goes as a whole.
 */
#include "compute/keytable.h"

#include "base/err.h"

#include <stdlib.h>

void keytable_init(struct keytable *t, size_t row_size)
{
    *t = (struct keytable){.row_size = (uint32_t)((row_size + 7) & ~(size_t)7)};
}

void keytable_fini(struct keytable *t)
{
    free(t->slots);
    free(t->rows);
    free(t->key_ends);
    free(t->keys);
    *t = (struct keytable){.row_size = t->row_size};
}

void *keytable_row(const struct keytable *t, uint32_t row)
{
    return t->rows + (size_t)row * t->row_size;
}

struct str keytable_key(const struct keytable *t, uint32_t row)
{
    size_t from = row == 0 ? 0 : (size_t)t->key_ends[row - 1];
    return str_n(t->keys + from, (size_t)t->key_ends[row] - from);
}

uint32_t keytable_find(const struct keytable *t, struct str key, uint64_t hash)
{
    if (t->slot_count == 0) {
        return KEYTABLE_NONE;
    }
    uint32_t mask = t->slot_count - 1, tag = (uint32_t)hash;
    for (uint32_t at = tag & mask; t->slots[at].row != 0; at = (at + 1) & mask) {
        if (t->slots[at].tag == tag && str_eq(keytable_key(t, t->slots[at].row - 1), key)) {
            return t->slots[at].row - 1;
        }
    }
    return KEYTABLE_NONE;
}

static void slot_put(struct keytable_slot *slots, uint32_t slot_count, struct keytable_slot slot)
{
    uint32_t at = slot.tag & (slot_count - 1);
    while (slots[at].row != 0) {
        at = (at + 1) & (slot_count - 1);
    }
    slots[at] = slot;
}

static void slots_grow(struct keytable *t)
{
    uint32_t slot_count = t->slot_count == 0 ? 16 : t->slot_count * 2;
    struct keytable_slot *slots = xcalloc(slot_count, sizeof(*slots));
    for (uint32_t i = 0; i < t->slot_count; i++) {
        if (t->slots[i].row != 0) {
            slot_put(slots, slot_count, t->slots[i]);
        }
    }
    free(t->slots);
    t->slots = slots;
    t->slot_count = slot_count;
}

static void rows_grow(struct keytable *t)
{
    t->row_cap = t->row_cap == 0 ? 8 : t->row_cap + t->row_cap / 2;
    t->rows = xrealloc(t->rows, (size_t)t->row_cap * t->row_size);
    t->key_ends = xrealloc(t->key_ends, (size_t)t->row_cap * sizeof(*t->key_ends));
}

static void keys_grow(struct keytable *t, size_t more)
{
    size_t wanted = t->key_bytes + more, cap = t->key_cap == 0 ? 256 : t->key_cap + t->key_cap / 2;
    t->key_cap = cap > wanted ? cap : wanted;
    t->keys = xrealloc(t->keys, t->key_cap);
}

uint32_t keytable_add(struct keytable *t, struct str key, uint64_t hash)
{
    if ((uint64_t)t->slot_count * 3 < ((uint64_t)t->count + 1) * 4) {
        slots_grow(t);
    }
    if (t->count == t->row_cap) {
        rows_grow(t);
    }
    if (t->key_cap - t->key_bytes < key.len) {
        keys_grow(t, key.len);
    }
    if (key.len > 0) {
        memcpy(t->keys + t->key_bytes, key.ptr, key.len);
    }
    t->key_bytes += key.len;
    uint32_t row = t->count++;
    t->key_ends[row] = t->key_bytes;
    memset(keytable_row(t, row), 0, t->row_size);
    slot_put(t->slots, t->slot_count, (struct keytable_slot){(uint32_t)hash, row + 1});
    return row;
}

size_t keytable_bytes(const struct keytable *t)
{
    return t->slot_count * sizeof(*t->slots) + (size_t)t->row_cap * (t->row_size + sizeof(*t->key_ends)) + t->key_cap;
}
