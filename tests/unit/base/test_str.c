/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"

#include <stdlib.h>

static void split_keeps_empty_parts(void **state)
{
    (void)state;
    static const struct {
        const char *text, *parts; /* parts joined by | and ended by ; */
    } cases[] = {{"", ";"},     {"a", "a;"}, {"a,b", "a|b;"}, {"a,,b", "a||b;"},
                 {"a,", "a|;"}, {",", "|;"}, {",a", "|a;"},   {",,", "||;"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char joined[64] = "";
        size_t len = 0;
        struct str rest = str_of(cases[i].text), part;
        for (bool first = true; str_split(&rest, ',', &part); first = false) {
            if (!first) {
                joined[len++] = '|';
            }
            memcpy(joined + len, part.len ? part.ptr : "", part.len);
            len += part.len;
        }
        joined[len++] = ';';
        joined[len] = '\0';
        assert_string_equal(joined, cases[i].parts);
        assert_false(str_split(&rest, ',', &part));
    }
}

static void order_is_by_bytes(void **state)
{
    (void)state;
    assert_int_equal(str_cmp(STR("abc"), STR("abc")), 0);
    assert_true(str_cmp(STR("ab"), STR("abc")) < 0);
    assert_true(str_cmp(STR("b"), STR("abc")) > 0);
    assert_true(str_cmp(STR("\xff"), STR("a")) > 0);
    assert_true(str_cmp(str_n(NULL, 0), STR("a")) < 0);
    assert_true(str_eq(str_n(NULL, 0), STR("")));
    assert_true(str_starts(STR("abc"), STR("ab")) && !str_starts(STR("ab"), STR("abc")));
    assert_true(str_ends(STR("abc"), STR("bc")) && !str_ends(STR("bc"), STR("abc")));
    assert_true(str_eq(str_trim(STR(" \t\r\n a b \n")), STR("a b")));
    assert_int_equal(str_trim(STR(" \t ")).len, 0);
}

static void integers_exactly(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "-",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "1.0",
                                      "0x1",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "99999999999999999999",
                                      "1e3",
                                      "--1"};
    int64_t value = 42;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(str_to_int64(str_of(bad[i]), &value));
        assert_int_equal(value, 42);
    }
    assert_true(str_to_int64(STR("9223372036854775807"), &value) && value == INT64_MAX);
    assert_true(str_to_int64(STR("-9223372036854775808"), &value) && value == INT64_MIN);
    assert_true(str_to_int64(STR("-0"), &value) && value == 0);
    assert_true(str_to_int64(STR("007"), &value) && value == 7);
}

/* RFC 3629 by its table of ranges, one sequence at a time: an implementation that shares nothing with ours. */
static bool slow_is_utf8(const unsigned char *p, size_t len)
{
    static const struct {
        unsigned char lo[4], hi[4];
        size_t len;
    } forms[] = {
        {{0x00}, {0x7f}, 1},
        {{0xc2, 0x80}, {0xdf, 0xbf}, 2},
        {{0xe0, 0xa0, 0x80}, {0xe0, 0xbf, 0xbf}, 3},
        {{0xe1, 0x80, 0x80}, {0xec, 0xbf, 0xbf}, 3},
        {{0xed, 0x80, 0x80}, {0xed, 0x9f, 0xbf}, 3},
        {{0xee, 0x80, 0x80}, {0xef, 0xbf, 0xbf}, 3},
        {{0xf0, 0x90, 0x80, 0x80}, {0xf0, 0xbf, 0xbf, 0xbf}, 4},
        {{0xf1, 0x80, 0x80, 0x80}, {0xf3, 0xbf, 0xbf, 0xbf}, 4},
        {{0xf4, 0x80, 0x80, 0x80}, {0xf4, 0x8f, 0xbf, 0xbf}, 4},
    };
    while (len > 0) {
        size_t step = 0;
        for (size_t f = 0; f < sizeof forms / sizeof *forms && !step; f++) {
            bool fits = forms[f].len <= len;
            for (size_t i = 0; i < forms[f].len && fits; i++) {
                fits = p[i] >= forms[f].lo[i] && p[i] <= forms[f].hi[i];
            }
            step = fits ? forms[f].len : 0;
        }
        if (!step) {
            return false;
        }
        p += step;
        len -= step;
    }
    return true;
}

static void utf8_by_the_table(void **state)
{
    (void)state;
    for (uint32_t lead = 0; lead < 256; lead++) { /* every pair, every triple of interest */
        for (uint32_t second = 0; second < 256; second++) {
            static const unsigned char ends[] = {0x00, 0x7f, 0x80, 0xbf, 0xc0, 0xff};
            for (size_t i = 0; i < 36; i++) {
                unsigned char p[4] = {(unsigned char)lead, (unsigned char)second, ends[i / 6], ends[i % 6]};
                for (size_t len = 0; len <= 4; len++) {
                    assert_int_equal(str_is_utf8(str_n((char *)p, len)), slow_is_utf8(p, len));
                }
            }
        }
    }
    uint64_t seed = hash_random_seed();
    print_message("# seed %llu\n", (unsigned long long)seed);
    struct rng rng;
    rng_init(&rng, seed);
    static const char *const pieces[] = {"abcdefgh", "\xc3\xa9", "\xe4\xb8\xad", "\xf0\x9f\x98\x80", "\xed\xa0\x80",
                                         "\x80",     "x"};
    for (int round = 0; round < 20000; round++) {
        unsigned char text[128];
        size_t len = 0;
        for (size_t n = rng_below(&rng, 12); n > 0; n--) {
            const char *piece = pieces[rng_below(&rng, rng_below(&rng, 4) ? 4 : 7)];
            memcpy(text + len, piece, strlen(piece));
            len += strlen(piece);
        }
        size_t cut = rng_below(&rng, len + 1);
        assert_int_equal(str_is_utf8(str_n((char *)text, cut)), slow_is_utf8(text, cut));
    }
}

static void dup_ends_with_nul(void **state)
{
    (void)state;
    char *z = str_dup(str_n("ab\0cd", 5));
    assert_memory_equal(z, "ab\0cd\0", 6);
    free(z);
    z = str_dup(str_n(NULL, 0));
    assert_string_equal(z, "");
    free(z);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(split_keeps_empty_parts), cmocka_unit_test(order_is_by_bytes),
        cmocka_unit_test(integers_exactly),        cmocka_unit_test(utf8_by_the_table),
        cmocka_unit_test(dup_ends_with_nul),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
