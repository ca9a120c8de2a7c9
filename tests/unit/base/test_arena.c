/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/hash.h"

static void pieces_do_not_overlap(void **state)
{
    (void)state;
    struct rng rng;
    rng_init(&rng, 7);
    AUTO(arena) struct arena a = {0};
    for (int round = 0; round < 3; round++) {
        enum { PIECES = 500 };
        unsigned char *pieces[PIECES];
        size_t sizes[PIECES];
        for (size_t i = 0; i < PIECES; i++) {
            sizes[i] = rng_below(&rng, rng_below(&rng, 20) ? 300 : 200000);
            pieces[i] = arena_alloc(&a, sizes[i]);
            assert_int_equal((uintptr_t)pieces[i] % 16, 0);
            memset(pieces[i], (int)(i % 251), sizes[i]);
        }
        for (size_t i = 0; i < PIECES; i++) {
            for (size_t k = 0; k < sizes[i]; k++) {
                assert_int_equal(pieces[i][k], i % 251);
            }
        }
        assert_true(a.used_bytes > 0);
        arena_reset(&a);
        assert_int_equal(a.used_bytes, 0);
    }
}

static void reset_keeps_memory(void **state)
{
    (void)state;
    AUTO(arena) struct arena a = {0};
    arena_alloc(&a, 1 << 20);
    arena_alloc(&a, 10);
    arena_reset(&a);
    void *first = arena_alloc(&a, 1 << 20);
    arena_reset(&a);
    assert_ptr_equal(arena_alloc(&a, 1 << 20), first);
}

static void copies_and_zeroes(void **state)
{
    (void)state;
    AUTO(arena) struct arena a = {0};
    memset(arena_alloc(&a, 4096), 0xff, 4096);
    arena_reset(&a);
    unsigned char *zero = arena_zalloc(&a, 4096);
    for (size_t i = 0; i < 4096; i++) {
        assert_int_equal(zero[i], 0);
    }
    struct str s = arena_dup(&a, STR("abc"));
    assert_int_equal(s.len, 3);
    assert_string_equal(s.ptr, "abc");
    assert_string_equal(arena_dup(&a, str_n(NULL, 0)).ptr, "");
    arena_fini(&a);
    assert_null(a.blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_do_not_overlap),
        cmocka_unit_test(reset_keeps_memory),
        cmocka_unit_test(copies_and_zeroes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
