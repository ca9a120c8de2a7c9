/* SPDX-License-Identifier: MIT
 *
 * test_keytable.c - the rows of a window by key: all found again, also where hashes collide.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"
#include "compute/keytable.h"

#include <stdio.h>

static struct str key_of(char text[32], uint32_t n)
{
    return str_n(text, (size_t)snprintf(text, 32, "key %u", n));
}

static void many(uint64_t mask)
{
    enum { KEYS = 3000 };
    struct keytable t;
    char text[32];
    keytable_init(&t, 12);
    for (uint32_t n = 0; n < KEYS; n++) {
        struct str key = key_of(text, n);
        uint64_t hash = hash_bytes(key, 1) & mask;
        assert_true(keytable_find(&t, key, hash) == KEYTABLE_NONE);
        uint32_t row = keytable_add(&t, key, hash);
        assert_int_equal(row, n);
        assert_int_equal(*(uint32_t *)keytable_row(&t, row), 0);
        *(uint32_t *)keytable_row(&t, row) = n * 7;
    }
    for (uint32_t n = 0; n < KEYS; n++) {
        struct str key = key_of(text, n);
        uint32_t row = keytable_find(&t, key, hash_bytes(key, 1) & mask);
        assert_int_equal(row, n);
        assert_int_equal(*(uint32_t *)keytable_row(&t, row), n * 7);
        assert_true(str_eq(keytable_key(&t, row), key));
    }
    assert_true(keytable_find(&t, STR("key"), hash_bytes(STR("key"), 1) & mask) == KEYTABLE_NONE);
    keytable_fini(&t);
}

static void keys_are_found(void **state)
{
    (void)state;
    many(UINT64_MAX);
}

static void keys_are_found_when_hashes_collide(void **state)
{
    (void)state;
    many(7);
}

static void an_empty_key_is_a_key(void **state)
{
    (void)state;
    struct keytable t;
    keytable_init(&t, 8);
    assert_true(keytable_find(&t, STR(""), 5) == KEYTABLE_NONE);
    assert_int_equal(keytable_add(&t, STR(""), 5), 0);
    assert_int_equal(keytable_add(&t, STR("x"), 5), 1);
    assert_int_equal(keytable_find(&t, STR(""), 5), 0);
    assert_int_equal(keytable_key(&t, 1).len, 1);
    keytable_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_found),
        cmocka_unit_test(keys_are_found_when_hashes_collide),
        cmocka_unit_test(an_empty_key_is_a_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
