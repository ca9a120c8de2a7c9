/* SPDX-License-Identifier: MIT
 *
 * hash.h - seeded 64-bit hashes (XXH3) and seeds. Keys are chosen by strangers, so every in-memory table takes
 * hash_process_seed(); what is stored (sketches, record identities, checksums) takes a stored or a fixed seed.
 */
#ifndef WIKITALLY_BASE_HASH_H
#define WIKITALLY_BASE_HASH_H

#include "base/str.h"

uint64_t hash_bytes(struct str s, uint64_t seed);
uint64_t hash_process_seed(void); /* random, the same for the life of the process; thread-safe */
uint64_t hash_random_seed(void);  /* fresh from getrandom(2) */

/* A small fast generator for tests, jitter and the event generator: xoshiro256**, seeded by splitmix64. One owner. */
struct rng {
    uint64_t s[4];
};
void rng_init(struct rng *r, uint64_t seed);
uint64_t rng_next(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t bound); /* uniform in [0, bound), bound > 0 */
double rng_unit(struct rng *r);                    /* [0, 1) */

#endif
