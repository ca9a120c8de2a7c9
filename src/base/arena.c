/* SPDX-License-Identifier: MIT
 *
 * arena.c - a chain of blocks that double in size; what is larger than a block gets a block of its own size.
 */
#include "base/arena.h"

#include "base/err.h"

#include <stdlib.h>

enum { FIRST_BLOCK = 16 << 10, LARGEST_BLOCK = 4 << 20, ALIGNMENT = 16 };

struct arena_block {
    struct arena_block *next;
    size_t size, used; /* of data */
    _Alignas(ALIGNMENT) char data[];
};

static void free_chain(struct arena_block *block)
{
    while (block) {
        struct arena_block *next = block->next;
        free(block);
        block = next;
    }
}

void arena_fini(struct arena *a)
{
    free_chain(a->blocks);
    *a = (struct arena){0};
}

void arena_reset(struct arena *a)
{
    struct arena_block **largest = &a->blocks;
    for (struct arena_block **b = &a->blocks; *b; b = &(*b)->next) {
        if ((*b)->size > (*largest)->size) {
            largest = b;
        }
    }
    struct arena_block *keep = *largest;
    if (keep) {
        *largest = keep->next;
        free_chain(a->blocks);
        keep->next = NULL;
        keep->used = 0;
    }
    a->blocks = keep;
    a->used_bytes = 0;
}

static struct arena_block *add_block(struct arena *a, size_t size)
{
    size_t block_size = a->blocks ? a->blocks->size * 2 : FIRST_BLOCK;
    block_size = block_size > LARGEST_BLOCK ? LARGEST_BLOCK : block_size;
    block_size = block_size < size ? size : block_size;
    struct arena_block *block = xmalloc(sizeof *block + block_size);
    *block = (struct arena_block){.next = a->blocks, .size = block_size};
    a->blocks = block;
    return block;
}

void *arena_alloc(struct arena *a, size_t size)
{
    ensure(size <= SIZE_MAX / 2);
    size = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    struct arena_block *block = a->blocks;
    if (!block || block->size - block->used < size) {
        block = add_block(a, size);
    }
    void *p = block->data + block->used;
    block->used += size;
    a->used_bytes += size;
    return p;
}

void *arena_zalloc(struct arena *a, size_t size)
{
    void *p = arena_alloc(a, size);
    memset(p, 0, size);
    return p;
}

struct str arena_dup(struct arena *a, struct str s)
{
    char *z = arena_alloc(a, s.len + 1);
    if (s.len) {
        memcpy(z, s.ptr, s.len);
    }
    z[s.len] = '\0';
    return str_n(z, s.len);
}
