/* SPDX-License-Identifier: MIT
 *
 * sketch.h - the two measures that need more than a number: distinct and top (R9). What is stored can be merged, so
 * that a reader can add up several partitions. Private to this room until one does. One owner, no threads.
 *
 * distinct: up to DISTINCT_EXACT values it holds their 64-bit hashes (XXH3, seeded by the journal's seed), so the count
 * is exact but for a collision: below 3e-14 for 1,024 values. Beyond that it is a HyperLogLog of 4,096 registers: a
 * standard error of 1.04 / sqrt(4096) = 1.63 %. Which of both is a function of the set of values alone, not of their
 * order.
 *   stored: 'E' then the hashes in rising order, 8 bytes each, little endian; or 'H' then one byte a register.
 * top: Space-Saving with `capacity` counters. A count is at most `error` too high; error 0 is exact, and all are exact
 * while there were not more values than counters (64, or 8 times as many as are shown). Ties are broken by the seed.
 *   stored: a JSON array of all counters, [value, count, error], highest first. Shown: the first N, without the
 *   error where it is 0.
 */
#ifndef WIKITALLY_COMPUTE_SKETCH_H
#define WIKITALLY_COMPUTE_SKETCH_H

#include "base/arena.h"
#include "base/buf.h"

enum { DISTINCT_EXACT = 1024, DISTINCT_REGISTERS = 4096, TOP_SHOWN_MAX = 100, TOP_VALUE_MAX = 1024 };

struct distinct;
struct distinct *distinct_new(void);
void distinct_free(struct distinct *d);
void distinct_add(struct distinct *d, uint64_t hash);
int64_t distinct_count(const struct distinct *d); /* exact, or the estimate */
bool distinct_exact(const struct distinct *d);
size_t distinct_bytes(const struct distinct *d); /* of memory */
struct str distinct_store(const struct distinct *d, struct arena *arena);
/* Adds what is stored; false: not a stored sketch, d is as before. */
bool distinct_merge(struct distinct *d, struct str stored);

struct top;
size_t top_capacity(int64_t shown);
struct top *top_new(size_t capacity, uint64_t seed);
void top_free(struct top *t);
/* `value`: canonical JSON text, at most TOP_VALUE_MAX bytes; longer ones are left out. */
void top_add(struct top *t, struct str value, int64_t count, int64_t error);
size_t top_bytes(const struct top *t);
struct str top_show(const struct top *t, size_t shown, struct arena *arena);
struct str top_store(const struct top *t, struct arena *arena);

#endif
