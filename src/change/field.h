/* SPDX-License-Identifier: MIT
 *
 * field.h - inside of struct field_set, for the scanner. Private to this room.
 *
 * A trie of names: node 0 is the event itself, a child is one name further. The children of a node hang in chains by
 * length and first byte of their name, so that for nearly every key of an event one load says that nobody asked for it.
 */
#ifndef WIKITALLY_CHANGE_FIELD_H
#define WIKITALLY_CHANGE_FIELD_H

#include "change/change.h"

#include <stdatomic.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum {
    FIELD_CHAINS = 32,      /* a power of two */
    FIELD_PATH_BYTES = 256, /* of one path at most */
    FIELD_KEY_BYTES = 32,   /* of a key that can be guessed */
    FIELD_NONE = -1,        /* no node, no index */
    FIELD_NO_PARENT = -2,
};

/* What the scanner's usual way needs of a node, in one line of the cache. */
struct field_key {
    _Alignas(64) char text[FIELD_KEY_BYTES]; /* the name in quotes and a colon, as the stream writes it */
    uint32_t mask;                           /* a bit for each of its bytes */
    uint8_t len;                             /* of text */
    bool parent_of_some;                     /* the node has children */
    int16_t node, parent;                    /* parent: FIELD_NO_PARENT if it is the event itself */
    int16_t index;                           /* in the field set if a path ends here, else FIELD_NONE */
    _Atomic int16_t guess;                   /* the known key that came behind this one the last time */
};

struct field_node {
    int16_t first[FIELD_CHAINS]; /* nodes by field_chain() of the name, or FIELD_NONE */
    int16_t next;                /* the next in the chain that holds this node */
    int16_t child, sibling;      /* all children, in any order: to forget a whole object */
    char *name;                  /* owned */
    size_t name_len;
};

struct field_set {
    struct field_node *nodes; /* owned */
    struct field_key *keys;   /* owned; of the same nodes */
    size_t node_count;
    char *paths[FIELD_MAX]; /* owned */
    size_t path_lens[FIELD_MAX];
    size_t count;
};

/* Names are not empty, and behind an empty key stands its quote: the first byte can always be read. */
static inline size_t field_chain(const char *name, size_t len)
{
    return (5 * len + (unsigned char)name[0]) % FIELD_CHAINS;
}

/* memcmp() == 0 for short names, without the call: first and last bytes of one size, which may overlap. */
static inline bool field_name_eq(const char *a, const char *b, size_t len)
{
    uint64_t a8, b8, a8end, b8end;
    uint32_t a4, b4, a4end, b4end;
    if (len > 16) {
        return memcmp(a, b, len) == 0;
    }
    if (len >= 8) {
        memcpy(&a8, a, 8), memcpy(&b8, b, 8), memcpy(&a8end, a + len - 8, 8), memcpy(&b8end, b + len - 8, 8);
        return ((a8 ^ b8) | (a8end ^ b8end)) == 0;
    }
    if (len >= 4) {
        memcpy(&a4, a, 4), memcpy(&b4, b, 4), memcpy(&a4end, a + len - 4, 4), memcpy(&b4end, b + len - 4, 4);
        return ((a4 ^ b4) | (a4end ^ b4end)) == 0;
    }
    return len == 0 || (a[0] == b[0] && a[len / 2] == b[len / 2] && a[len - 1] == b[len - 1]);
}

/* -> the child of `node` with this name, or FIELD_NONE. */
static inline int field_child(const struct field_set *set, int node, const char *name, size_t len)
{
    int at = set->nodes[node].first[field_chain(name, len)];
    while (at != FIELD_NONE) {
        const struct field_node *child = &set->nodes[at];
        if (child->name_len == len && field_name_eq(child->name, name, len)) {
            break;
        }
        at = child->next;
    }
    return at;
}

/* The keys of a stream's events come in the same order nearly always, so the order is remembered from event to event: a
 * guess is one comparison and no search. It changes nothing but the time that a scan takes; threads that share a set
 * overwrite each other's. */
static inline const struct field_key *field_guess(const struct field_set *set, const struct field_key *key)
{
    return &set->keys[atomic_load_explicit(&key->guess, memory_order_relaxed)];
}

static inline void field_guess_set(const struct field_set *set, const struct field_key *key, int next)
{
    atomic_store_explicit(&set->keys[key - set->keys].guess, (int16_t)next, memory_order_relaxed);
}

/* Is it this key that stands at p, with its colon? FIELD_KEY_BYTES can be read there. */
static inline bool field_key_at(const struct field_key *key, const char *p)
{
#if defined(__SSE2__)
    const __m128i *text = (const __m128i *)(const void *)p, *want = (const __m128i *)(const void *)key->text;
    const __m128i low = _mm_cmpeq_epi8(_mm_loadu_si128(text), _mm_load_si128(want));
    const __m128i high = _mm_cmpeq_epi8(_mm_loadu_si128(text + 1), _mm_load_si128(want + 1));
    const uint32_t same = (uint32_t)_mm_movemask_epi8(low) | (uint32_t)_mm_movemask_epi8(high) << 16;
    return (key->mask & ~same) == 0;
#else
    return memcmp(p, key->text, key->len) == 0;
#endif
}

#endif
