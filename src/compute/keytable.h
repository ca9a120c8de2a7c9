/* SPDX-License-Identifier: MIT
 *
 * keytable.h - the rows of one window, found by their key (R9). Private to this room.
 *
 * Open addressing over 8-byte slots; rows of one fixed size lie in one run of memory and are named by their number, key
 * bytes in another. About 45 bytes a key and its text for a single count. Keys are chosen by strangers, so the hash is
 * seeded anew in every process (hash_process_seed).
 */
#ifndef WIKITALLY_COMPUTE_KEYTABLE_H
#define WIKITALLY_COMPUTE_KEYTABLE_H

#include "base/str.h"

#define KEYTABLE_NONE UINT32_MAX

struct keytable_slot {
    uint32_t tag; /* low half of the hash */
    uint32_t row; /* number + 1; 0 = empty */
};

struct keytable {
    struct keytable_slot *slots;
    uint32_t slot_count; /* a power of two, or 0 */
    uint32_t count;      /* rows */
    uint32_t row_cap;
    uint32_t row_size; /* bytes, a multiple of 8 */
    char *rows;
    uint64_t *key_ends; /* where the key of a row ends in `keys`; it begins where the one before ends */
    char *keys;
    size_t key_bytes, key_cap;
};

void keytable_init(struct keytable *t, size_t row_size);
void keytable_fini(struct keytable *t);
uint32_t keytable_find(const struct keytable *t, struct str key, uint64_t hash); /* a row's number or KEYTABLE_NONE */
uint32_t keytable_add(struct keytable *t, struct str key, uint64_t hash);        /* not there yet; the row is zeroed */
void *keytable_row(const struct keytable *t, uint32_t row);                      /* until the next keytable_add */
struct str keytable_key(const struct keytable *t, uint32_t row);
size_t keytable_bytes(const struct keytable *t); /* of memory */

#endif
