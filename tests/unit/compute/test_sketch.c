/* SPDX-License-Identifier: MIT
 *
 * test_sketch.c - distinct and top: exact where they say so, within the stated error beyond, and mergeable (R9).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/hash.h"
#include "compute/sketch.h"

#include <stdio.h>
#include <stdlib.h>

static uint64_t hash_of(uint64_t set, int64_t n)
{
    char text[64];
    int len = snprintf(text, sizeof text, "%llu:%lld", (unsigned long long)set, (long long)n);
    return hash_bytes(str_n(text, (size_t)len), 99);
}

static void R9_distinct_is_exact_to_1024(void **state)
{
    (void)state;
    struct distinct *d = distinct_new();
    assert_int_equal(distinct_count(d), 0);
    for (int64_t n = 0; n < DISTINCT_EXACT; n++) {
        distinct_add(d, hash_of(0, n));
        distinct_add(d, hash_of(0, n / 2)); /* seen before */
        assert_int_equal(distinct_count(d), n + 1);
    }
    assert_true(distinct_exact(d));
    distinct_add(d, hash_of(0, 7));
    assert_true(distinct_exact(d));
    distinct_add(d, hash_of(0, DISTINCT_EXACT));
    assert_false(distinct_exact(d));
    assert_in_range(distinct_count(d), 950, 1100);
    distinct_free(d);
}

/* The stated standard error is 1.63 %: over many sets the root mean square stays below it (with a tenth to spare for
 * chance), and no single one is off by five of them. */
static void R9_distinct_error_is_as_stated(void **state)
{
    (void)state;
    static const int64_t sizes[] = {1025, 2000, 5000, 20000, 100000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        enum { SETS = 40 };
        double squares = 0, mean = 0;
        for (uint64_t set = 0; set < SETS; set++) {
            struct distinct *d = distinct_new();
            for (int64_t n = 0; n < sizes[i]; n++) {
                distinct_add(d, hash_of(set + 1, n));
            }
            double off = (double)distinct_count(d) / (double)sizes[i] - 1;
            assert_true(off < 5 * 0.01625 && off > -5 * 0.01625);
            squares += off * off / SETS;
            mean += off / SETS;
            distinct_free(d);
        }
        assert_true(squares < 1.25 * 0.01625 * 0.01625 * 1.2);
        assert_true(mean < 0.01 && mean > -0.01); /* no bias */
    }
}

static void R9_distinct_merges(void **state)
{
    (void)state;
    AUTO(arena) struct arena arena = {0};
    /* exact + exact = exact; exact + sketch = sketch of the union, whatever the order */
    static const int64_t spans[][4] = {
        {0, 300, 200, 700}, {0, 300, 200, 5000}, {0, 5000, 4000, 9000}, {0, 900, 800, 1500}};
    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++) {
        struct distinct *a = distinct_new(), *b = distinct_new(), *both = distinct_new();
        for (int64_t n = spans[i][0]; n < spans[i][1]; n++) {
            distinct_add(a, hash_of(0, n));
            distinct_add(both, hash_of(0, n));
        }
        for (int64_t n = spans[i][2]; n < spans[i][3]; n++) {
            distinct_add(b, hash_of(0, n));
            distinct_add(both, hash_of(0, n));
        }
        struct str stored_a = distinct_store(a, &arena), stored_b = distinct_store(b, &arena);
        assert_true(distinct_merge(a, stored_b));
        assert_true(distinct_merge(b, stored_a));
        assert_int_equal(distinct_count(a), distinct_count(both));
        assert_true(str_eq(distinct_store(a, &arena), distinct_store(both, &arena)));
        assert_true(str_eq(distinct_store(b, &arena), distinct_store(both, &arena)));
        distinct_free(a);
        distinct_free(b);
        distinct_free(both);
    }
}

static void R9_distinct_refuses_what_is_no_sketch(void **state)
{
    (void)state;
    char wrong[1 + DISTINCT_REGISTERS];
    memset(wrong, 60, sizeof wrong); /* no rank is that high */
    wrong[0] = 'H';
    struct distinct *d = distinct_new();
    assert_false(distinct_merge(d, str_n(wrong, sizeof wrong)));
    assert_false(distinct_merge(d, STR("H")));
    assert_false(distinct_merge(d, STR("E1234567")));
    assert_false(distinct_merge(d, STR("X")));
    assert_true(distinct_merge(d, STR("E")));
    assert_int_equal(distinct_count(d), 0);
    distinct_free(d);
}

static void value_of(char out[32], int n)
{
    snprintf(out, 32, "\"v%04d\"", n);
}

static void R9_top_is_exact_within_its_counters(void **state)
{
    (void)state;
    AUTO(arena) struct arena arena = {0};
    struct top *t = top_new(top_capacity(3), 1);
    char value[32];
    for (int n = 0; n < 64; n++) {
        value_of(value, n);
        for (int times = 0; times <= n; times++) {
            top_add(t, str_of(value), 1, 0);
        }
    }
    assert_true(str_eqz(top_show(t, 3, &arena), "[[\"v0063\",64],[\"v0062\",63],[\"v0061\",62]]"));
    top_free(t);
}

/* A long tail of rare values beside five frequent ones: those are found, no count is too low, none is too high by more
 * than the error it states, and no error is above total / counters. */
static void R9_top_error_is_as_stated(void **state)
{
    (void)state;
    AUTO(arena) struct arena arena = {0};
    enum { FREQUENT = 5, VALUES = 3000, TOTAL = 60000 };
    struct top *t = top_new(top_capacity(10), 1);
    static int64_t truth[VALUES];
    struct rng rng;
    char value[32];
    rng_init(&rng, 3);
    for (int i = 0; i < TOTAL; i++) {
        int n = rng_below(&rng, 2) == 0 ? (int)rng_below(&rng, FREQUENT) : (int)rng_below(&rng, VALUES);
        value_of(value, n);
        truth[n]++;
        top_add(t, str_of(value), 1, 0);
    }
    struct str stored = top_store(t, &arena), rest = stored, part;
    int seen = 0, frequent = 0;
    assert_true(str_split(&rest, '[', &part) && str_split(&rest, '[', &part));
    while (str_split(&rest, '[', &part)) {
        char text[64];
        int n = 0;
        long long count = 0, error = 0;
        snprintf(text, sizeof text, "%.*s", STR_ARG(part));
        assert_int_equal(sscanf(text, "\"v%d\",%lld,%lld", &n, &count, &error), 3);
        assert_true(count >= truth[n]);
        assert_true(count - error <= truth[n]);
        assert_true(error <= TOTAL / 80);
        frequent += seen < FREQUENT && n < FREQUENT;
        seen++;
    }
    assert_int_equal(seen, 80);
    assert_int_equal(frequent, FREQUENT);
    top_free(t);
}

static void R9_top_replays_alike(void **state)
{
    (void)state;
    AUTO(arena) struct arena arena = {0};
    struct str stored[2];
    for (int round = 0; round < 2; round++) {
        struct top *t = top_new(64, 77);
        struct rng rng;
        rng_init(&rng, 9);
        for (int i = 0; i < 5000; i++) {
            char value[32];
            value_of(value, (int)rng_below(&rng, 500));
            top_add(t, str_of(value), 1, 0);
        }
        stored[round] = top_store(t, &arena);
        top_free(t);
    }
    assert_true(str_eq(stored[0], stored[1]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(R9_distinct_is_exact_to_1024),
        cmocka_unit_test(R9_distinct_error_is_as_stated),
        cmocka_unit_test(R9_distinct_merges),
        cmocka_unit_test(R9_distinct_refuses_what_is_no_sketch),
        cmocka_unit_test(R9_top_is_exact_within_its_counters),
        cmocka_unit_test(R9_top_error_is_as_stated),
        cmocka_unit_test(R9_top_replays_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
