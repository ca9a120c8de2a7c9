/* SPDX-License-Identifier: MIT
 *
 * hash.c - XXH3, taken in as inline code so that short keys cost no call into the library.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/err.h"
#include "base/hash.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

uint64_t hash_bytes(struct str s, uint64_t seed)
{
    return XXH3_64bits_withSeed(s.ptr ? s.ptr : "", s.len, seed);
}

uint64_t hash_random_seed(void)
{
    uint64_t seed;
    ssize_t got;
    do {
        got = getrandom(&seed, sizeof seed, 0);
    } while (got < 0 && errno == EINTR);
    ensure(got == (ssize_t)sizeof seed); /* up to 256 bytes never come short */
    return seed;
}

static uint64_t process_seed;
static pthread_once_t process_seed_once = PTHREAD_ONCE_INIT;

static void make_process_seed(void)
{
    process_seed = hash_random_seed();
}

uint64_t hash_process_seed(void)
{
    pthread_once(&process_seed_once, make_process_seed);
    return process_seed;
}

static uint64_t splitmix64(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

void rng_init(struct rng *r, uint64_t seed)
{
    for (size_t i = 0; i < 4; i++) {
        r->s[i] = splitmix64(&seed);
    }
}

static uint64_t rotate(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

uint64_t rng_next(struct rng *r)
{
    uint64_t *s = r->s;
    uint64_t result = rotate(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

/* Lemire's multiplication with rejection: no bias. */
uint64_t rng_below(struct rng *r, uint64_t bound)
{
    ensure(bound > 0);
    uint64_t least = (0 - bound) % bound;
    for (;;) {
        __uint128_t product = (__uint128_t)rng_next(r) * bound;
        if ((uint64_t)product >= least) {
            return (uint64_t)(product >> 64);
        }
    }
}

double rng_unit(struct rng *r)
{
    return (double)(rng_next(r) >> 11) * 0x1p-53;
}
