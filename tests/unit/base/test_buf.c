/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"

#include <stdio.h>

static void appends(void **state)
{
    (void)state;
    AUTO(buf) struct buf b = {0};
    buf_addz(&b, "a");
    buf_addc(&b, 'b');
    buf_addf(&b, "%d-%s", 7, "x");
    buf_add(&b, str_n(NULL, 0));
    buf_add_int(&b, INT64_MIN);
    buf_add_int(&b, 0);
    assert_string_equal(b.ptr, "ab7-x-92233720368547758080");
    buf_drop(&b, 2);
    assert_true(str_starts(buf_str(&b), STR("7-x")));
    buf_drop(&b, b.len);
    assert_int_equal(b.len, 0);
    for (int i = 0; i < 1000; i++) {
        buf_addf(&b, "%d,", i);
    }
    assert_int_equal(b.len, 10 * 2 + 90 * 3 + 900 * 4);
    assert_int_equal(b.ptr[b.len], 0);
}

static void the_maximum_holds(void **state)
{
    (void)state;
    AUTO(buf) struct buf b = {.max = 10};
    buf_addz(&b, "12345");
    buf_addz(&b, "67890");
    assert_false(b.overflow);
    buf_addc(&b, 'x');
    assert_true(b.overflow);
    assert_string_equal(b.ptr, "1234567890");
    buf_clear(&b);
    buf_addz(&b, "abc");
    buf_addf(&b, "%s", "defghijk"); /* 11 in all: nothing of it */
    assert_true(b.overflow);
    assert_string_equal(b.ptr, "abc");
    buf_addc(&b, 'd'); /* would fit, but a gap would be worse */
    assert_string_equal(b.ptr, "abc");
    assert_null(buf_reserve(&b, 1));
    buf_clear(&b);
    buf_add_json(&b, STR("123456789"));
    assert_true(b.overflow);
    assert_null(buf_reserve(&b, SIZE_MAX));
}

static void reserve_gives_room(void **state)
{
    (void)state;
    AUTO(buf) struct buf b = {0};
    char *at = buf_reserve(&b, 100);
    assert_non_null(at);
    memset(at, 'x', 100);
    b.len += 100;
    buf_addc(&b, 'y');
    assert_int_equal(b.ptr[100], 'y');
}

static void json_strings(void **state)
{
    (void)state;
    static const struct {
        struct str in;
        const char *out, *html;
    } cases[] = {
        {STR_INIT(""), "\"\"", "\"\""},
        {STR_INIT("plain text, long enough for words"), "\"plain text, long enough for words\"",
         "\"plain text, long enough for words\""},
        {STR_INIT("q\"b\\/"), "\"q\\\"b\\\\/\"", "\"q\\\"b\\\\/\""},
        {STR_INIT("\b\f\n\r\t\v\x01\x1f\x7f"), "\"\\b\\f\\n\\r\\t\\u000b\\u0001\\u001f\x7f\"",
         "\"\\b\\f\\n\\r\\t\\u000b\\u0001\\u001f\x7f\""},
        {STR_INIT("\0z"), "\"\\u0000z\"", "\"\\u0000z\""},
        {STR_INIT("<a>&\xe2\x80\xa8\xe2\x80\xa9"), "\"<a>&\xe2\x80\xa8\xe2\x80\xa9\"",
         "\"\\u003ca\\u003e\\u0026\\u2028\\u2029\""},
        {STR_INIT("\xff"
                  "a\xc3"),
         "\"\xef\xbf\xbd"
         "a\xef\xbf\xbd\"",
         "\"\xef\xbf\xbd"
         "a\xef\xbf\xbd\""},
        {STR_INIT("\xe4\xb8\xad\xf0\x9f\x98\x80"), "\"\xe4\xb8\xad\xf0\x9f\x98\x80\"",
         "\"\xe4\xb8\xad\xf0\x9f\x98\x80\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO(buf) struct buf b = {0};
        buf_add_json(&b, cases[i].in);
        assert_string_equal(b.ptr, cases[i].out);
        buf_clear(&b);
        buf_add_json_html(&b, cases[i].in);
        assert_string_equal(b.ptr, cases[i].html);
    }
}

/* One byte or sequence at a time, as the header says. */
static void slow_json(struct str s, bool html, char *out)
{
    *out++ = '"';
    for (size_t i = 0; i < s.len;) {
        unsigned char c = (unsigned char)s.ptr[i];
        size_t step = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
        bool good = i + step <= s.len && str_is_utf8(str_n(s.ptr + i, step));
        bool separator = html && good && step == 3 && memcmp(s.ptr + i, "\xe2\x80", 2) == 0 &&
                         ((unsigned char)s.ptr[i + 2] & 0xfe) == 0xa8;
        if (!good) {
            out += sprintf(out, "\xef\xbf\xbd");
            step = 1;
        } else if (strchr("\"\\", c) && c) {
            out += sprintf(out, "\\%c", c);
        } else if (c >= 8 && c <= 13 && c != 11) {
            out += sprintf(out, "\\%c", "btn?fr"[c - 8]);
        } else if (c < 0x20 || (html && strchr("<>&", c))) {
            out += sprintf(out, "\\u%04x", c);
        } else if (separator) {
            out += sprintf(out, "\\u20%02x", 0x28 + ((unsigned char)s.ptr[i + 2] & 1));
        } else {
            memcpy(out, s.ptr + i, step);
            out += step;
        }
        i += step;
    }
    *out++ = '"';
    *out = '\0';
}

static void json_equals_the_slow_one(void **state)
{
    (void)state;
    uint64_t seed = hash_random_seed();
    print_message("# seed %llu\n", (unsigned long long)seed);
    struct rng rng;
    rng_init(&rng, seed);
    for (int round = 0; round < 20000; round++) {
        char text[64], want[64 * 6 + 3];
        size_t len = rng_below(&rng, sizeof text);
        uint64_t kind = rng_below(&rng, 3);
        for (size_t i = 0; i < len; i++) {
            text[i] = (char)(kind == 0 ? rng_below(&rng, 256) : kind == 1 ? 0x1e + rng_below(&rng, 0x62) : 'a');
        }
        for (int n = (int)rng_below(&rng, 4); n > 0 && len > 4; n--) {
            memcpy(text + rng_below(&rng, len - 3), rng_below(&rng, 2) ? "\xe2\x80\xa8" : "\xc3\xa9\"", 3);
        }
        AUTO(buf) struct buf b = {0};
        buf_add_json(&b, str_n(text, len));
        slow_json(str_n(text, len), false, want);
        assert_string_equal(b.ptr, want);
        buf_clear(&b);
        buf_add_json_html(&b, str_n(text, len));
        slow_json(str_n(text, len), true, want);
        assert_string_equal(b.ptr, want);
    }
}

static void printable(void **state)
{
    (void)state;
    AUTO(buf) struct buf b = {0};
    buf_add_printable(&b, STR("a\x1b]0;x\x07\xc2\x85\xe2\x80\xaf\xe2\x81\xa6\xff\xe4\xb8\xad"), 100);
    assert_string_equal(b.ptr, "a\\x1b]0;x\\x07\\u{0085}\xe2\x80\xaf\\u{2066}\\xff\xe4\xb8\xad");
    buf_clear(&b);
    buf_add_printable(&b, STR("abcdef"), 3);
    assert_string_equal(b.ptr, "abc");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends),
        cmocka_unit_test(the_maximum_holds),
        cmocka_unit_test(reserve_gives_room),
        cmocka_unit_test(json_strings),
        cmocka_unit_test(json_equals_the_slow_one),
        cmocka_unit_test(printable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
