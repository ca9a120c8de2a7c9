/* SPDX-License-Identifier: MIT
 *
 * test_json.c - C4: what is JSON and what is not, in families. Each family goes through all bytes, or all short texts,
 * of one place in the grammar of RFC 8259, and says by a rule of one line which of them must be taken; the cases one by
 * one stand in test_scan.c. Beside them the large and the deep: those get a verdict, not a crash and not a long wait.
 */
#include "change_test.h"

static struct event event;
static size_t taken, refused;

static enum dead_reason verdict(struct str text)
{
    char *copy = xmalloc(text.len ? text.len : 1); /* of its own, so that reading beyond it is seen */
    memcpy(copy, text.ptr, text.len);
    const enum dead_reason reason = event_scan(&event, str_n(copy, text.len));
    free(copy);
    return reason;
}

static void check(bool good, struct str before, struct str middle, struct str after)
{
    AUTO(buf) struct buf text = {0}, printable = {0};
    buf_add(&text, before);
    buf_add(&text, middle);
    buf_add(&text, after);
    const enum dead_reason reason = verdict(buf_str(&text));
    if ((reason == DEAD_NONE) != good) {
        buf_add_printable(&printable, buf_str(&text), text.len);
        fail_msg("%s: %.*s", dead_reason_name(reason), STR_ARG(buf_str(&printable)));
    }
    *(good ? &taken : &refused) += 1;
}

/* ---- every byte in one place */

static bool is_space(int c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(int c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool in_string(int c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

static bool after_backslash(int c)
{
    return c && strchr("\"\\/bfnrt", c);
}

static bool no_byte(int c)
{
    (void)c;
    return false;
}

static bool is_comma(int c)
{
    return c == ',';
}

static bool is_colon(int c)
{
    return c == ':';
}

static bool in_list(int c)
{
    return is_space(c) || is_digit(c);
}

static bool between_digits(int c)
{
    return is_comma(c) || is_digit(c) || (c && strchr(".eE", c));
}

static bool is_continuation(int c)
{
    return c >= 0x80 && c < 0xc0;
}

static bool is_e(int c)
{
    return c == 'e';
}

static void C4_every_byte_in_every_place(void **state)
{
    (void)state;
    static const struct {
        const char *before, *after;
        bool (*good)(int c);
    } places[] = {
        {"", "{}", is_space},
        {"{}", "", is_space},
        {"{", "}", is_space},
        {"{\"a\"", "1}", is_colon},
        {"{\"a\":[", "]}", in_list},
        {"{\"a\":1", "\"b\":2}", is_comma},
        {"{\"a\":[1", "2]}", between_digits},
        {"{\"a\":\"", "\"}", in_string},
        {"{\"a", "\":1}", in_string},
        {"{\"a\":\"\\", "\"}", after_backslash},
        {"{\"a\":\"\\u0", "041\"}", is_hex},
        {"{\"a\":\"\\u004", "\"}", is_hex},
        {"{\"a\":\"\xc3", "\"}", is_continuation},
        {"{\"a\":1.", "}", is_digit},
        {"{\"a\":1e+", "}", is_digit},
        {"{\"a\":tru", "}", is_e},
        {"{\"a\":1}", "{}", no_byte},
    };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        for (int c = 0; c < 256; c++) {
            const char byte = (char)c;
            check(places[i].good(c), str_of(places[i].before), str_n(&byte, 1), str_of(places[i].after));
        }
    }
}

/* ---- every short number */

/* -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)? */
static bool is_number(struct str s)
{
    size_t at = 0;
    const size_t first = s.len && s.ptr[0] == '-' ? 1 : 0;
    for (at = first; at < s.len && is_digit(s.ptr[at]); at++) {
    }
    if (at == first || (s.ptr[first] == '0' && at > first + 1)) {
        return false;
    }
    for (int part = 0; part < 2; part++) {
        if (at < s.len && (part == 0 ? s.ptr[at] == '.' : s.ptr[at] == 'e' || s.ptr[at] == 'E')) {
            at++;
            at += part == 1 && at < s.len && (s.ptr[at] == '+' || s.ptr[at] == '-');
            const size_t begin = at;
            for (; at < s.len && is_digit(s.ptr[at]); at++) {
            }
            if (at == begin) {
                return false;
            }
        }
    }
    return at == s.len;
}

static void C4_every_number_of_five_bytes(void **state)
{
    (void)state;
    static const char alphabet[] = "019-+.eE";
    enum { BYTES = 5, LETTERS = sizeof alphabet - 1 };
    for (size_t len = 1; len <= BYTES; len++) {
        size_t count = 1;
        for (size_t i = 0; i < len; i++) {
            count *= LETTERS;
        }
        for (size_t n = 0; n < count; n++) {
            char text[BYTES];
            for (size_t i = 0, rest = n; i < len; i++, rest /= LETTERS) {
                text[i] = alphabet[rest % LETTERS];
            }
            check(is_number(str_n(text, len)), STR("{\"a\":"), str_n(text, len), STR("}"));
        }
    }
}

/* ---- every pair of surrogates' kinds, every head of UTF-8 */

static void C4_surrogates(void **state)
{
    (void)state;
    static const int units[] = {0x0000, 0x0041, 0xd7ff, 0xd800, 0xdbff, 0xdc00, 0xdfff, 0xe000, 0xffff};
    enum { UNITS = sizeof units / sizeof *units };
    for (size_t i = 0; i < UNITS; i++) {
        for (size_t j = 0; j < UNITS; j++) {
            AUTO(buf) struct buf text = {0};
            buf_addf(&text, "\\u%04x\\u%04X", (unsigned)units[i], (unsigned)units[j]);
            const int high = units[i] & 0xfc00, low = units[j] & 0xfc00;
            const bool good = high == 0xd800 ? low == 0xdc00 : high != 0xdc00 && low != 0xd800 && low != 0xdc00;
            check(good, STR("{\"a\":\""), buf_str(&text), STR("\"}"));
            check(good, STR("{\""), buf_str(&text), STR("\":null}"));
        }
    }
}

/* RFC 3629's table. */
static bool is_one_character(const unsigned char *b, size_t len)
{
    if (len == 2) {
        return b[0] >= 0xc2 && b[0] <= 0xdf && b[1] >= 0x80 && b[1] <= 0xbf;
    }
    if (len == 3) {
        return (b[0] & 0xf0) == 0xe0 && b[1] >= (b[0] == 0xe0 ? 0xa0 : 0x80) && b[1] <= (b[0] == 0xed ? 0x9f : 0xbf) &&
               b[2] >= 0x80 && b[2] <= 0xbf;
    }
    return b[0] >= 0xf0 && b[0] <= 0xf4 && b[1] >= (b[0] == 0xf0 ? 0x90 : 0x80) &&
           b[1] <= (b[0] == 0xf4 ? 0x8f : 0xbf) && b[2] >= 0x80 && b[2] <= 0xbf && b[3] >= 0x80 && b[3] <= 0xbf;
}

static bool is_text(const unsigned char *b, size_t len)
{
    while (len > 0) {
        size_t n = b[0] < 0x80 ? 1 : 2;
        while (n > 1 && n <= 4 && !(n <= len && is_one_character(b, n))) {
            n++;
        }
        if (n > 4) {
            return false;
        }
        b += n;
        len -= n;
    }
    return true;
}

static void C4_utf8(void **state)
{
    (void)state;
    static const unsigned char seconds[] = {0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0},
                               ends[] = {0x7f, 0x80, 0xbf, 0xc0};
    for (int head = 0x80; head < 256; head++) {
        for (size_t i = 0; i < sizeof seconds; i++) {
            for (size_t len = 2; len <= 4; len++) {
                for (size_t j = 0; j < (len == 2 ? 1 : sizeof ends); j++) {
                    const unsigned char bytes[4] = {(unsigned char)head, seconds[i], ends[j], ends[(j + 1) / 2]};
                    check(is_text(bytes, len), STR("{\"a\":\""), str_n((const char *)bytes, len), STR("\"}"));
                }
            }
        }
    }
}

/* ---- cut off, put together */

static void C4_no_beginning_is_whole(void **state)
{
    (void)state;
    static const struct str whole =
        STR("{\"meta\":{\"id\":\"\\u00e9\\n\xc3\xa9\",\"offset\":-1.5e+10},\"list\":[1,[],{},true,false,null,\"\"]}");
    for (size_t len = 0; len < whole.len; len++) {
        check(false, str_n(whole.ptr, len), STR(""), STR(""));
        check(false, str_n(whole.ptr + whole.len - len, len), STR(""), STR(""));
    }
    check(true, whole, STR(""), STR(""));
    check(false, whole, whole, STR(""));
    check(false, STR("\xef\xbb\xbf"), whole, STR(""));
    check(true, STR("{\"a\":1,\"a\":"), whole, STR(",\"a\":3}"));
}

/* ---- the large and the deep */

static enum dead_reason repeat(struct str before, struct str part, size_t times, struct str after)
{
    AUTO(buf) struct buf text = {.max = 64 << 20};
    buf_add(&text, before);
    for (size_t i = 0; i < times; i++) {
        buf_add(&text, part);
    }
    buf_add(&text, after);
    assert_false(text.overflow);
    return verdict(buf_str(&text));
}

static void C4_large_and_deep(void **state)
{
    (void)state;
    enum { DEEP = 100000, MEGABYTE = 1 << 20 };
    static const struct str opens[] = {STR("["), STR("{\"a\":"), STR("[{\"a\":")};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(repeat(STR("{\"a\":"), opens[i], DEEP, STR("")), DEAD_TOO_DEEP);
        assert_int_equal(repeat(STR(""), opens[i], DEEP, STR("]")), DEAD_TOO_DEEP);
    }
    assert_int_equal(repeat(STR("{\"a\":"), STR("["), 63, STR("")), DEAD_SYNTAX);
    assert_int_equal(repeat(STR("{\"a\":1"), STR("7"), MEGABYTE, STR("}")), DEAD_NONE);
    assert_int_equal(repeat(STR("{\"a\":0."), STR("7"), MEGABYTE, STR("}")), DEAD_NONE);
    assert_int_equal(repeat(STR("{\"a\":1e"), STR("9"), MEGABYTE, STR("}")), DEAD_NONE);
    assert_int_equal(repeat(STR("{\"a\":1"), STR("7"), MEGABYTE, STR("-}")), DEAD_SYNTAX);
    assert_int_equal(repeat(STR("{\"a\":\""), STR("\\u0000"), MEGABYTE / 6, STR("\"}")), DEAD_NONE);
    assert_int_equal(repeat(STR("{\"a\":\""), STR("\\ud83d\\ude00"), MEGABYTE / 12, STR("\\ud83d\"}")), DEAD_SURROGATE);
    assert_int_equal(repeat(STR("{\"a\":\""), STR("\xf0\x9f\x98\x80"), MEGABYTE / 4, STR("\xf0\"}")), DEAD_BAD_UTF8);
    assert_int_equal(repeat(STR("{\"a\":0"), STR(",\"a\":0"), MEGABYTE / 6, STR("}")), DEAD_NONE);
    assert_int_equal(repeat(STR("{\"a\":[0"), STR(",0"), MEGABYTE / 2, STR("]}")), DEAD_NONE);
    assert_int_equal(repeat(STR("{"), STR(" "), MEGABYTE, STR("}")), DEAD_NONE);
    assert_int_equal(repeat(STR("{\"a\":1}"), STR(" "), 9 * MEGABYTE, STR("")), DEAD_TOO_LARGE);
}

static void C4_at_least_300_of_each(void **state)
{
    (void)state;
    print_message("# %zu taken, %zu refused\n", taken, refused);
    assert_true(taken >= 300 && refused >= 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(C4_every_byte_in_every_place),
        cmocka_unit_test(C4_every_number_of_five_bytes),
        cmocka_unit_test(C4_surrogates),
        cmocka_unit_test(C4_utf8),
        cmocka_unit_test(C4_no_beginning_is_whole),
        cmocka_unit_test(C4_large_and_deep),
        cmocka_unit_test(C4_at_least_300_of_each),
    };
    event_init(&event, (const char *const[]){"a", "a.b", "list"}, 3);
    const int failed = cmocka_run_group_tests_name("json", tests, NULL, NULL);
    event_fini(&event);
    return failed;
}
