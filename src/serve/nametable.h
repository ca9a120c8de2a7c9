/* SPDX-License-Identifier: MIT
 *
 * nametable.h - keys with a count per window, for slide.c: open addressing, seeded per process, bounded. An entry lives
 * while an event of the last hour refers to it. One owner.
 */
#ifndef WIKITALLY_SERVE_NAMETABLE_H
#define WIKITALLY_SERVE_NAMETABLE_H

#include "serve/slide.h"

enum { KEY_NONE = 0xffffffffu };

struct key_entry {
    uint64_t hash;
    char *name; /* owned; NULL: the entry is free */
    uint32_t name_len;
    uint32_t refs;                  /* events that name it */
    uint32_t counts[SLIDE_WINDOWS]; /* of them, those in the window */
};

struct nametable {
    struct key_entry *entries;
    uint32_t entry_count, entry_cap; /* entry_count: ever used */
    uint32_t max;                    /* entries at once */
    uint32_t live;
    uint32_t *free_list; /* indexes below entry_count that are free */
    uint32_t free_count;
    uint32_t *slots; /* index + 1; 0: empty */
    uint32_t slot_mask;
    uint32_t distinct[SLIDE_WINDOWS]; /* entries with a count > 0 */
};

void nametable_init(struct nametable *t, uint32_t max);
void nametable_fini(struct nametable *t);
/* Finds or adds; KEY_NONE: full. The caller holds a reference afterwards. *ret_new (may be NULL): it was added. */
uint32_t nametable_take(struct nametable *t, struct str name, bool *ret_new);
void nametable_drop(struct nametable *t, uint32_t index); /* gives the reference back; the last one frees the entry */
void nametable_count(struct nametable *t, uint32_t index, size_t window, bool up);
bool nametable_full(const struct nametable *t);

#endif
