/* SPDX-License-Identifier: MIT
 *
 * arena.h - memory of one lifetime (a batch, a request), given back as a whole. Not thread-safe: one owner.
 */
#ifndef WIKITALLY_BASE_ARENA_H
#define WIKITALLY_BASE_ARENA_H

#include "base/str.h"

struct arena_block;
struct arena {
    struct arena_block *blocks; /* newest first */
    size_t used_bytes;          /* handed out since the last reset, rounding included */
};

void arena_fini(struct arena *a);                    /* frees everything; usable again */
void arena_reset(struct arena *a);                   /* all memory is free again; keeps the largest block */
void *arena_alloc(struct arena *a, size_t size);     /* 16-byte aligned, not cleared, never NULL (see die_no_memory) */
void *arena_zalloc(struct arena *a, size_t size);    /* cleared */
struct str arena_dup(struct arena *a, struct str s); /* a copy, NUL-terminated behind its len */

#endif
