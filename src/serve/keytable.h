/* SPDX-License-Identifier: MIT
 *
 * keytable.h - keys with a count per window, for slide.c: open addressing, seeded per process, bounded. An entry lives
 * while an event of the last hour refers to it. One owner.
 */
#ifndef WIKITALLY_SERVE_KEYTABLE_H
#define WIKITALLY_SERVE_KEYTABLE_H

#include "serve/slide.h"

enum { KEY_NONE = 0xffffffffu };

struct key_entry {
    uint64_t hash;
    char *name; /* owned; NULL: the entry is free */
    uint32_t name_len;
    uint32_t refs;                  /* events that name it */
    uint32_t counts[SLIDE_WINDOWS]; /* of them, those in the window */
};

struct keytable {
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

void keytable_init(struct keytable *t, uint32_t max);
void keytable_fini(struct keytable *t);
/* Finds or adds; KEY_NONE: full. The caller holds a reference afterwards. *ret_new (may be NULL): it was added. */
uint32_t keytable_take(struct keytable *t, struct str name, bool *ret_new);
void keytable_drop(struct keytable *t, uint32_t index); /* gives the reference back; the last one frees the entry */
void keytable_count(struct keytable *t, uint32_t index, size_t window, bool up);
bool keytable_full(const struct keytable *t);

#endif
