/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/record.h"

#include <xxhash.h>

/* Stored things depend on these values: they must never change. */
static void values_are_for_ever(void **state)
{
    (void)state;
    assert_int_equal(hash_bytes(STR(""), 0), UINT64_C(0x2d06800538d394c2)); /* XXH3's published value */
    for (size_t len = 0; len < 600; len++) {
        char bytes[600];
        memset(bytes, (int)len, sizeof bytes);
        assert_int_equal(hash_bytes(str_n(bytes, len), len * 77), XXH3_64bits_withSeed(bytes, len, len * 77));
    }
    struct record r = {.arrival_us = 1778007600000000, .value = STR("{\"a\":1}")};
    assert_int_equal(record_identity(&r), UINT64_C(0xadf3e50458acb53d));
    r.partition = 3;
    r.offset = 9; /* no part of it: a record keeps its identity where it goes */
    assert_int_equal(record_identity(&r), UINT64_C(0xadf3e50458acb53d));
    uint64_t other = record_identity(&r);
    r.arrival_us++;
    assert_int_not_equal(record_identity(&r), other);
    r.arrival_us = TIME_NONE;
    assert_int_not_equal(record_identity(&r), other);
}

static void seeds(void **state)
{
    (void)state;
    assert_int_equal(hash_process_seed(), hash_process_seed());
    assert_int_not_equal(hash_random_seed(), hash_random_seed());
    assert_int_not_equal(hash_bytes(STR("a"), 1), hash_bytes(STR("a"), 2));
    assert_int_equal(hash_bytes(str_n(NULL, 0), 5), hash_bytes(STR(""), 5));
}

static void generator_is_even(void **state)
{
    (void)state;
    struct rng a, b;
    rng_init(&a, 12345);
    rng_init(&b, 12345);
    size_t counts[10] = {0};
    for (int i = 0; i < 100000; i++) {
        uint64_t n = rng_below(&a, 10);
        assert_int_equal(n, rng_below(&b, 10));
        assert_true(n < 10);
        counts[n]++;
        double u = rng_unit(&a);
        assert_true(u >= 0 && u < 1);
        rng_unit(&b);
    }
    for (size_t i = 0; i < 10; i++) { /* 10,000 expected; 95 is the standard deviation */
        assert_in_range(counts[i], 9500, 10500);
    }
    assert_int_equal(rng_below(&a, 1), 0);
}

/* The generator's output decides what made-up events look like: xoshiro256** from splitmix64(0). */
static void generator_is_xoshiro(void **state)
{
    (void)state;
    struct rng r = {{1, 2, 3, 4}};
    static const uint64_t published[] = {11520, 0, 1509978240, 1215971899390074240};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(rng_next(&r), published[i]);
    }
    rng_init(&r, 0);
    assert_int_equal(r.s[0], UINT64_C(0xe220a8397b1dcdaf)); /* splitmix64's first two from 0 */
    assert_int_equal(r.s[1], UINT64_C(0x6e789e6aa1b965f4));
}

static void bucket_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < SOURCE_BUCKETS; i++) {
        assert_non_null(source_bucket_names[i]);
    }
    for (size_t i = 0; i < TASK_BUCKETS; i++) {
        assert_non_null(task_bucket_names[i]);
    }
    assert_string_equal(source_bucket_names[SOURCE_JOURNALLED], "journalled");
    assert_string_equal(task_bucket_names[TASK_GAP], "gap");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_for_ever),  cmocka_unit_test(seeds),        cmocka_unit_test(generator_is_even),
        cmocka_unit_test(generator_is_xoshiro), cmocka_unit_test(bucket_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
