/* SPDX-License-Identifier: MIT
 *
 * nametable.c - see nametable.h. Linear probing; deletion closes the gap by moving later entries of the run back, so
 * there are no tombstones and the table cannot silt up.
 */
#include "serve/nametable.h"

#include "base/err.h"
#include "base/hash.h"

#include <stdlib.h>

enum { FIRST_SLOTS = 256 };

void nametable_init(struct nametable *t, uint32_t max)
{
    memset(t, 0, sizeof(*t));
    t->max = max;
    t->slot_mask = FIRST_SLOTS - 1;
    t->slots = xcalloc(FIRST_SLOTS, sizeof(*t->slots));
}

void nametable_fini(struct nametable *t)
{
    for (uint32_t i = 0; i < t->entry_count; i++)
        free(t->entries[i].name);
    free(t->entries);
    free(t->free_list);
    free(t->slots);
    memset(t, 0, sizeof(*t));
}

static void slot_put(struct nametable *t, uint32_t index)
{
    uint32_t at = (uint32_t)t->entries[index].hash & t->slot_mask;
    while (t->slots[at])
        at = (at + 1) & t->slot_mask;
    t->slots[at] = index + 1;
}

static void grow_slots(struct nametable *t)
{
    uint32_t count = (t->slot_mask + 1) * 2;
    free(t->slots);
    t->slots = xcalloc(count, sizeof(*t->slots));
    t->slot_mask = count - 1;
    for (uint32_t i = 0; i < t->entry_count; i++) {
        if (t->entries[i].name)
            slot_put(t, i);
    }
}

static uint32_t entry_new(struct nametable *t)
{
    if (t->free_count)
        return t->free_list[--t->free_count];
    if (t->entry_count == t->entry_cap) {
        t->entry_cap = t->entry_cap ? t->entry_cap * 2 : FIRST_SLOTS / 2;
        t->entries = xrealloc(t->entries, t->entry_cap * sizeof(*t->entries));
        t->free_list = xrealloc(t->free_list, t->entry_cap * sizeof(*t->free_list));
    }
    return t->entry_count++;
}

static uint32_t slot_find(const struct nametable *t, uint64_t hash, struct str name)
{
    for (uint32_t at = (uint32_t)hash & t->slot_mask; t->slots[at]; at = (at + 1) & t->slot_mask) {
        const struct key_entry *e = &t->entries[t->slots[at] - 1];
        if (e->hash == hash && str_eq(str_n(e->name, e->name_len), name))
            return at;
    }
    return KEY_NONE;
}

bool nametable_full(const struct nametable *t)
{
    return t->live == t->max;
}

uint32_t nametable_take(struct nametable *t, struct str name, bool *ret_new)
{
    uint64_t hash = hash_bytes(name, hash_process_seed());
    uint32_t at = slot_find(t, hash, name);
    if (ret_new)
        *ret_new = at == KEY_NONE;
    if (at != KEY_NONE) {
        uint32_t index = t->slots[at] - 1;
        t->entries[index].refs++;
        return index;
    }
    if (nametable_full(t))
        return KEY_NONE;
    if ((t->live + 1) * 2 > t->slot_mask)
        grow_slots(t);
    uint32_t index = entry_new(t);
    t->entries[index] =
        (struct key_entry){.hash = hash, .name = str_dup(name), .name_len = (uint32_t)name.len, .refs = 1};
    slot_put(t, index);
    t->live++;
    return index;
}

/* Entries behind the hole that would not be found any more move into it. */
static void slot_close(struct nametable *t, uint32_t hole)
{
    t->slots[hole] = 0;
    for (uint32_t at = (hole + 1) & t->slot_mask; t->slots[at]; at = (at + 1) & t->slot_mask) {
        uint32_t home = (uint32_t)t->entries[t->slots[at] - 1].hash & t->slot_mask;
        if (((at - home) & t->slot_mask) >= ((at - hole) & t->slot_mask)) {
            t->slots[hole] = t->slots[at];
            t->slots[at] = 0;
            hole = at;
        }
    }
}

void nametable_drop(struct nametable *t, uint32_t index)
{
    struct key_entry *e = &t->entries[index];
    ensure(e->refs > 0);
    if (--e->refs)
        return;
    uint32_t at = (uint32_t)e->hash & t->slot_mask;
    while (t->slots[at] != index + 1)
        at = (at + 1) & t->slot_mask;
    slot_close(t, at);
    free(e->name);
    e->name = NULL;
    t->free_list[t->free_count++] = index;
    t->live--;
}

void nametable_count(struct nametable *t, uint32_t index, size_t window, bool up)
{
    uint32_t *count = &t->entries[index].counts[window];
    if (up) {
        t->distinct[window] += *count == 0;
        (*count)++;
    } else {
        (*count)--;
        t->distinct[window] -= *count == 0;
    }
}
