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

enum {
    FIELD_CHAINS = 32,      /* a power of two */
    FIELD_PATH_BYTES = 256, /* of one path at most */
    FIELD_NONE = -1,        /* no node, no index */
};

struct field_node {
    int16_t first[FIELD_CHAINS]; /* nodes by field_chain() of the name, or FIELD_NONE */
    int16_t next;                /* the next in the chain that holds this node */
    int16_t index;               /* in the field set if a path ends here, else FIELD_NONE */
    int16_t child, sibling;      /* all children, in any order: to forget a whole object */
    char *name;                  /* owned */
    size_t name_len;
};

struct field_set {
    struct field_node *nodes; /* owned */
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

#endif
