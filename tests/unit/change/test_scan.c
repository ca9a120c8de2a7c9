/* SPDX-License-Identifier: MIT
 *
 * test_scan.c - which texts are events, and what the scanner finds in them (oracle.md section 2).
 */
#include "change_test.h"

/* Of a literal, inner NULs and all. */
#define CASE(reason, literal)                                                                                          \
    {                                                                                                                  \
        DEAD_##reason, {"" literal, sizeof(literal) - 1}, SIZE_MAX                                                     \
    }
#define CASE_AT(reason, at, literal)                                                                                   \
    {                                                                                                                  \
        DEAD_##reason, {"" literal, sizeof(literal) - 1}, at                                                           \
    }

struct text_case {
    enum dead_reason reason;
    struct str text;
    size_t at; /* the byte, SIZE_MAX: not said */
};

static const struct text_case accepted[] = {
    CASE(NONE, "{}"),
    CASE(NONE, " {} "),
    CASE(NONE, "\t\r\n {\t\r\n }\t\r\n "),
    CASE(NONE, "{ }"),
    CASE(NONE, "{\"\":\"\"}"),
    CASE(NONE, "{\"a\":1}"),
    CASE(NONE, "{\"a\" : 1 , \"b\" : 2}"),
    CASE(NONE, "{\"a\":0}"),
    CASE(NONE, "{\"a\":-0}"),
    CASE(NONE, "{\"a\":0.0}"),
    CASE(NONE, "{\"a\":-0.0}"),
    CASE(NONE, "{\"a\":0e0}"),
    CASE(NONE, "{\"a\":0e+0}"),
    CASE(NONE, "{\"a\":0E-0}"),
    CASE(NONE, "{\"a\":1.5}"),
    CASE(NONE, "{\"a\":1.50000}"),
    CASE(NONE, "{\"a\":123456789012345678901234567890}"),
    CASE(NONE, "{\"a\":-123456789012345678901234567890}"),
    CASE(NONE, "{\"a\":1e999999}"),
    CASE(NONE, "{\"a\":1.0e-999999}"),
    CASE(NONE, "{\"a\":9223372036854775807}"),
    CASE(NONE, "{\"a\":9223372036854775808}"),
    CASE(NONE, "{\"a\":-9223372036854775808}"),
    CASE(NONE, "{\"a\":-9223372036854775809}"),
    CASE(NONE, "{\"a\":1 }"),
    CASE(NONE, "{\"a\":true}"),
    CASE(NONE, "{\"a\":false}"),
    CASE(NONE, "{\"a\":null}"),
    CASE(NONE, "{\"a\":[]}"),
    CASE(NONE, "{\"a\":[ ]}"),
    CASE(NONE, "{\"a\":[1]}"),
    CASE(NONE, "{\"a\":[1,2 , 3]}"),
    CASE(NONE, "{\"a\":[[],{},[{}],\"x\",null,true,false,-1.5e3]}"),
    CASE(NONE, "{\"a\":{}}"),
    CASE(NONE, "{\"a\":{\"b\":{\"c\":{}}}}"),
    CASE(NONE, "{\"a\":{\"b\":1},\"c\":2}"),
    CASE(NONE, "{\"a\":1,\"a\":2}"),
    CASE(NONE, "{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}"),
    CASE(NONE, "{\"a\":\"\\u0000\"}"),
    CASE(NONE, "{\"\\u0000\":1}"),
    CASE(NONE, "{\"a\":\"\\u001f\\u007F\\u0080\\uFFFF\\uabCD\"}"),
    CASE(NONE, "{\"a\":\"\\ud83d\\ude00\"}"),
    CASE(NONE, "{\"a\":\"\\uD800\\uDC00\\uDBFF\\uDFFF\"}"),
    CASE(NONE, "{\"a\":\"x\\ud83d\\ude00y\"}"),
    CASE(NONE, "{\"\\ud83d\\ude00\":1}"),
    CASE(NONE, "{\"a\":\"\\ud7ff\\ue000\"}"),
    CASE(NONE, "{\"a\":\"\\\\ud800\"}"),
    CASE(NONE, "{\"a\":\"\x7f\"}"),
    CASE(NONE, "{\"a\":\"\xc2\x80 \xdf\xbf\"}"),
    CASE(NONE, "{\"a\":\"\xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf\"}"),
    CASE(NONE, "{\"a\":\"\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf\"}"),
    CASE(NONE, "{\"a\":\"\xe2\x80\xa8\xe2\x80\xa9\"}"),
    CASE(NONE, "{\"\xc3\xa9\":\"\xc3\xa9\"}"),
    CASE(NONE, "{\"a\":\"\xef\xbb\xbf\"}"),
    CASE(NONE, "{\"a\":\"{[}]\"}"),
    CASE(NONE, "{\"a\":\"0123456789012345678901234567890123456789012345678901234567890123456789\"}"),
    CASE(NONE, "{\"a\":\"012345678901234567890123456789012345678901234567890123456\\\"7\"}"),
    CASE(NONE, "{\"a.b\":1}"),
    CASE(NONE, "{\"a\":[\"}\"]}"),
};

static const struct text_case refused[] = {
    CASE_AT(SYNTAX, 0, ""),
    CASE(SYNTAX, " "),
    CASE(SYNTAX, "\n"),
    CASE_AT(SYNTAX, 0, "x"),
    CASE_AT(SYNTAX, 0, "}"),
    CASE_AT(SYNTAX, 0, "]"),
    CASE_AT(SYNTAX, 1, "{"),
    CASE(SYNTAX, "["),
    CASE(SYNTAX, "{\"a\""),
    CASE(SYNTAX, "{\"a\":"),
    CASE(SYNTAX, "{\"a\":1"),
    CASE(SYNTAX, "{\"a\":1,"),
    CASE_AT(SYNTAX, 7, "{\"a\":1,}"),
    CASE_AT(SYNTAX, 1, "{,}"),
    CASE_AT(SYNTAX, 1, "{:}"),
    CASE(SYNTAX, "{\"a\"}"),
    CASE_AT(SYNTAX, 5, "{\"a\":}"),
    CASE(SYNTAX, "{\"a\":,}"),
    CASE(SYNTAX, "{\"a\" 1}"),
    CASE(SYNTAX, "{\"a\"::1}"),
    CASE(SYNTAX, "{\"a\":1 \"b\":2}"),
    CASE(SYNTAX, "{\"a\":1;\"b\":2}"),
    CASE(SYNTAX, "{a:1}"),
    CASE(SYNTAX, "{'a':1}"),
    CASE(SYNTAX, "{1:1}"),
    CASE(SYNTAX, "{null:1}"),
    CASE(SYNTAX, "{\"a\":1}}"),
    CASE_AT(SYNTAX, 7, "{\"a\":1}x"),
    CASE(SYNTAX, "{}{}"),
    CASE(SYNTAX, "{} {}"),
    CASE(SYNTAX, "{},"),
    CASE(SYNTAX, "{}]"),
    CASE(SYNTAX, "{}\0"),
    CASE_AT(SYNTAX, 0, "\0{}"),
    CASE(SYNTAX, "{\0}"),
    CASE(SYNTAX, "{}\v"),
    CASE(SYNTAX, "\f{}"),
    CASE(SYNTAX, "{\"a\":[}"),
    CASE(SYNTAX, "{\"a\":]}"),
    CASE(SYNTAX, "{\"a\":[1}}"),
    CASE(SYNTAX, "{\"a\":[1,]}"),
    CASE(SYNTAX, "{\"a\":[,1]}"),
    CASE(SYNTAX, "{\"a\":[1 2]}"),
    CASE(SYNTAX, "{\"a\":[1:2]}"),
    CASE(SYNTAX, "{\"a\":{]}"),
    CASE(SYNTAX, "{\"a\":[\"b\":1]}"),
    CASE(SYNTAX, "{\"a\":(1)}"),
    CASE(SYNTAX, "[1}"),
    CASE(SYNTAX, "\"a}"),
    CASE(SYNTAX, "1}"),
    CASE(SYNTAX, "{\"a\":01}"),
    CASE(SYNTAX, "{\"a\":00}"),
    CASE(SYNTAX, "{\"a\":-}"),
    CASE(SYNTAX, "{\"a\":-01}"),
    CASE(SYNTAX, "{\"a\":--1}"),
    CASE(SYNTAX, "{\"a\":+1}"),
    CASE(SYNTAX, "{\"a\":.5}"),
    CASE(SYNTAX, "{\"a\":1.}"),
    CASE(SYNTAX, "{\"a\":1.e1}"),
    CASE(SYNTAX, "{\"a\":1e}"),
    CASE(SYNTAX, "{\"a\":1e+}"),
    CASE(SYNTAX, "{\"a\":1e1.5}"),
    CASE(SYNTAX, "{\"a\":1.2.3}"),
    CASE(SYNTAX, "{\"a\":1a}"),
    CASE(SYNTAX, "{\"a\":0x10}"),
    CASE(SYNTAX, "{\"a\":1_000}"),
    CASE(SYNTAX, "{\"a\":NaN}"),
    CASE(SYNTAX, "{\"a\":nan}"),
    CASE(SYNTAX, "{\"a\":Infinity}"),
    CASE(SYNTAX, "{\"a\":-Infinity}"),
    CASE(SYNTAX, "{\"a\":True}"),
    CASE(SYNTAX, "{\"a\":tru}"),
    CASE(SYNTAX, "{\"a\":truee}"),
    CASE(SYNTAX, "{\"a\":fals}"),
    CASE(SYNTAX, "{\"a\":nul}"),
    CASE(SYNTAX, "{\"a\":nulll}"),
    CASE(SYNTAX, "{\"a\":t"),
    CASE(SYNTAX, "{\"a\":undefined}"),
    CASE(SYNTAX, "{\"a\":'b'}"),
    CASE(SYNTAX, "{\"a\":b}"),
    CASE(SYNTAX, "{\"a\":\"b}"),
    CASE(SYNTAX, "{\"a"),
    CASE(SYNTAX, "{\""),
    CASE(SYNTAX, "{\"a\":\"b\\\"}"),
    CASE(SYNTAX, "{\"a\":\"\\"),
    CASE_AT(SYNTAX, 6, "{\"a\":\"\\a\"}"),
    CASE(SYNTAX, "{\"a\":\"\\x41\"}"),
    CASE(SYNTAX, "{\"a\":\"\\'\"}"),
    CASE(SYNTAX, "{\"a\":\"\\0\"}"),
    CASE(SYNTAX, "{\"a\":\"\\U0041\"}"),
    CASE(SYNTAX, "{\"a\":\"\\u\"}"),
    CASE(SYNTAX, "{\"a\":\"\\u12\"}"),
    CASE(SYNTAX, "{\"a\":\"\\u123\"}"),
    CASE(SYNTAX, "{\"a\":\"\\u123g\"}"),
    CASE(SYNTAX, "{\"a\":\"\\u 123\"}"),
    CASE(SYNTAX, "{\"a\":\"\\u+123\"}"),
    CASE(SYNTAX, "{\"a\":\"\\u12"),
    CASE_AT(SYNTAX, 6, "{\"a\":\"\n\"}"),
    CASE(SYNTAX, "{\"a\":\"\t\"}"),
    CASE(SYNTAX, "{\"a\":\"\0\"}"),
    CASE(SYNTAX, "{\"a\":\"\x1f\"}"),
    CASE(SYNTAX, "{\"a\n\":1}"),
    CASE(SYNTAX, "\xef\xbb\xbf{}"),
    CASE(SYNTAX, "{\"a\":1\xc2\xa0}"),
    CASE(SYNTAX, "{}\xe2\x80\xa8"),
    CASE(SYNTAX, "// comment\n{}"),
    CASE(SYNTAX, "{/**/}"),
    CASE(SYNTAX, "{\"a\":1}#"),
    CASE_AT(BAD_UTF8, 0, "\xff"),
    CASE_AT(BAD_UTF8, 1, "{\x80}"),
    CASE_AT(BAD_UTF8, 6, "{\"a\":\"\x80\"}"),
    CASE(BAD_UTF8, "{\"a\":\"\xc0\x80\"}"),
    CASE(BAD_UTF8, "{\"a\":\"\xc1\xbf\"}"),
    CASE(BAD_UTF8, "{\"a\":\"\xc3\"}"),
    CASE(BAD_UTF8, "{\"a\":\"\xc3(\"}"),
    CASE(BAD_UTF8, "{\"a\":\"\xe0\x80\x80\"}"),
    CASE(BAD_UTF8, "{\"a\":\"\xe0\x9f\xbf\"}"),
    CASE(BAD_UTF8, "{\"a\":\"\xe2\x82\"}"),
    CASE(BAD_UTF8, "{\"a\":\"\xed\xa0\x80\"}"),
    CASE(BAD_UTF8, "{\"a\":\"\xed\xbf\xbf\"}"),
    CASE(BAD_UTF8, "{\"a\":\"\xf0\x80\x80\x80\"}"),
    CASE(BAD_UTF8, "{\"a\":\"\xf0\x8f\xbf\xbf\"}"),
    CASE(BAD_UTF8, "{\"a\":\"\xf0\x9f\x98\"}"),
    CASE(BAD_UTF8, "{\"a\":\"\xf4\x90\x80\x80\"}"),
    CASE(BAD_UTF8, "{\"a\":\"\xf5\x80\x80\x80\"}"),
    CASE(BAD_UTF8, "{\"a\":\"\xf8\x88\x80\x80\x80\"}"),
    CASE(BAD_UTF8, "{\"a\":\"\xfe\"}"),
    CASE(BAD_UTF8, "{\"\xff\":1}"),
    CASE(BAD_UTF8, "{\"a\":\"0123456789012345678901234567890123456789012345678901234567890123456789\xff\"}"),
    CASE(BAD_UTF8, "{\"a\":\"\\ud800\xff\"}"), /* several defects: the first reason in the list */
    CASE(BAD_UTF8, "{\"a\":tru\xff"),
    CASE_AT(SURROGATE, 6, "{\"a\":\"\\ud800\"}"),
    CASE(SURROGATE, "{\"a\":\"\\udc00\"}"),
    CASE(SURROGATE, "{\"a\":\"\\uDFFF\"}"),
    CASE(SURROGATE, "{\"a\":\"\\udbff\"}"),
    CASE(SURROGATE, "{\"a\":\"\\ude00\\ud83d\"}"),
    CASE(SURROGATE, "{\"a\":\"\\ude00\\ude00\"}"),
    CASE(SURROGATE, "{\"a\":\"\\ud83d\\ud83d\"}"),
    CASE(SURROGATE, "{\"a\":\"\\ud83dx\\ude00\"}"),
    CASE(SURROGATE, "{\"a\":\"\\ud83d\\n\\ude00\"}"),
    CASE(SURROGATE, "{\"a\":\"\\ud83d\\ud83d\\ude00\"}"),
    CASE(SURROGATE, "{\"a\":\"\\ud83d\\u0041\"}"),
    CASE(SURROGATE, "{\"a\":\"\\ud83d\",\"b\":\"\\ude00\"}"),
    CASE(SURROGATE, "{\"\\ud800\":1}"),
    CASE(SURROGATE, "{\"m\\ud800eta\":1}"),
    CASE(SURROGATE, "{\"a\":[[\"\\udabc\"]]}"),
    CASE(SURROGATE, "[\"\\ud800\"]"),
    CASE(SURROGATE, "\"\\ud800\""),
    CASE(SYNTAX, "{\"a\":\"\\ud800\"}}"),
    CASE(SYNTAX, "{\"a\":\"\\ud800\\u\"}"),
    CASE_AT(NOT_OBJECT, 0, "[]"),
    CASE_AT(NOT_OBJECT, 1, " [1,2]"),
    CASE(NOT_OBJECT, "[{}]"),
    CASE(NOT_OBJECT, "[\"}\"]"),
    CASE(NOT_OBJECT, "null"),
    CASE(NOT_OBJECT, "true"),
    CASE(NOT_OBJECT, "false"),
    CASE(NOT_OBJECT, "0"),
    CASE(NOT_OBJECT, "-1.5e3"),
    CASE(NOT_OBJECT, "\"x\""),
    CASE(NOT_OBJECT, "\"{}\""),
    CASE(NOT_OBJECT, "\"\""),
};

/* A copy of exactly its length, so that a sanitizer sees a byte too far; at every distance from a block's begin. */
static enum dead_reason scan_copy(struct event *e, struct str text, size_t *ret_at)
{
    char *copy = xmalloc(text.len ? text.len : 1);
    memcpy(copy, text.ptr, text.len);
    const enum dead_reason reason = change_scan(e->set, str_n(copy, text.len), e->values, ret_at);
    free(copy);
    return reason;
}

static void check_cases(const struct text_case *cases, size_t count)
{
    struct event e;
    event_init(&e, (const char *const[]){"a", "a.b", "b"}, 3);
    for (size_t i = 0; i < count; i++) {
        for (size_t blanks = 0; blanks < 170; blanks += 11) { /* short texts and long ones */
            AUTO(buf) struct buf text = {0};
            for (size_t n = 0; n < blanks; n++) {
                buf_addc(&text, ' ');
            }
            buf_add(&text, cases[i].text);
            size_t at = 0;
            const enum dead_reason reason = scan_copy(&e, buf_str(&text), &at);
            if (reason != cases[i].reason ||
                (cases[i].at != SIZE_MAX && at != (cases[i].text.len == 0 ? 0 : blanks) + cases[i].at)) {
                fail_msg("case %zu, %zu blanks: %s at %zu, not %s: %.*s", i, blanks, dead_reason_name(reason), at,
                         dead_reason_name(cases[i].reason), STR_ARG(cases[i].text));
            }
        }
    }
    event_fini(&e);
}

static void R2_good_texts_are_accepted(void **state)
{
    (void)state;
    check_cases(accepted, sizeof accepted / sizeof *accepted);
}

static void R2_bad_texts_have_their_reason(void **state)
{
    (void)state;
    assert_true(sizeof accepted / sizeof *accepted + sizeof refused / sizeof *refused >= 150);
    check_cases(refused, sizeof refused / sizeof *refused);
}

static enum dead_reason scan_nested(size_t depth, const char *open, const char *inside, const char *close)
{
    struct event e;
    AUTO(buf) struct buf text = {0};
    event_init(&e, NULL, 0);
    for (size_t i = 0; i < depth; i++) {
        buf_addz(&text, open);
    }
    buf_addz(&text, inside);
    for (size_t i = 0; i < depth; i++) {
        buf_addz(&text, close);
    }
    size_t at;
    const enum dead_reason reason = scan_copy(&e, buf_str(&text), &at);
    event_fini(&e);
    return reason;
}

static void R2_depth(void **state)
{
    (void)state;
    assert_int_equal(scan_nested(64, "{\"a\":", "1", "}"), DEAD_NONE);
    assert_int_equal(scan_nested(65, "{\"a\":", "1", "}"), DEAD_TOO_DEEP);
    assert_int_equal(scan_nested(63, "{\"a\":", "[]", "}"), DEAD_NONE);
    assert_int_equal(scan_nested(64, "{\"a\":", "[]", "}"), DEAD_TOO_DEEP);
    assert_int_equal(scan_nested(64, "[", "1", "]"), DEAD_NOT_OBJECT);
    assert_int_equal(scan_nested(65, "[", "1", "]"), DEAD_TOO_DEEP);
    assert_int_equal(scan_nested(70, "[]", "", ""), DEAD_SYNTAX); /* not nested */
    assert_int_equal(scan_nested(100000, "[", "", ""), DEAD_TOO_DEEP);
    assert_int_equal(
        scan_nested(1, "{\"a\":\"", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "\"}"),
        DEAD_NONE);
}

static void R2_size(void **state)
{
    (void)state;
    struct event e;
    AUTO(buf) struct buf text = {0};
    event_init(&e, NULL, 0);
    buf_addz(&text, "{\"a\":\"");
    const size_t fill = CHANGE_MAX_BYTES - text.len - 2;
    char *at = buf_reserve(&text, fill);
    memset(at, 'x', fill);
    text.len += fill;
    buf_addz(&text, "\"}");
    assert_int_equal(text.len, CHANGE_MAX_BYTES);
    assert_int_equal(event_scan(&e, buf_str(&text)), DEAD_NONE);
    buf_addc(&text, ' ');
    assert_int_equal(event_scan(&e, buf_str(&text)), DEAD_TOO_LARGE);
    event_fini(&e);
}

static bool surrogate_is_refused(void)
{
    struct event e;
    event_init(&e, NULL, 0);
    const bool refused_it = event_scan(&e, STR("{\"user\":\"\\ud800\"}")) == DEAD_SURROGATE;
    event_fini(&e);
    return refused_it;
}

static void R2_lone_surrogate_is_dead(void **state)
{
    (void)state;
    assert_clause(surrogate_is_refused, "R2.surrogate");
}

static void kinds_and_slices(void **state)
{
    (void)state;
    struct event e;
    event_init(&e, (const char *const[]){"n", "t", "f", "i", "x", "s", "o", "o.p", "r", "none", "s.t"}, 11);
    event_read(&e, "{ \"n\":null,\"t\":true , \"f\":false,\"i\":-12,\"x\":1.50,\"s\":\"a\\nb\",\"o\": {\"p\": {}} ,"
                   "\"r\":[1, {\"p\":2}],\"y\":0}");
    static const struct {
        const char *path;
        int kind;
        const char *raw;
    } want[] = {{"n", VALUE_NULL, "null"},           {"t", VALUE_TRUE, "true"},
                {"f", VALUE_FALSE, "false"},         {"i", VALUE_INT, "-12"},
                {"x", VALUE_NUMBER, "1.50"},         {"s", VALUE_STRING, "a\\nb"},
                {"o", VALUE_OBJECT, "{\"p\": {}}"},  {"o.p", VALUE_OBJECT, "{}"},
                {"r", VALUE_ARRAY, "[1, {\"p\":2}]"}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        const struct value *v = event_value(&e, want[i].path);
        assert_int_equal(v->kind, want[i].kind);
        assert_true(str_eqz(v->raw, want[i].raw));
    }
    assert_int_equal(event_value(&e, "i")->number, -12);
    assert_true(event_value(&e, "s")->escaped);
    assert_int_equal(event_value(&e, "none")->kind, VALUE_ABSENT);
    assert_int_equal(event_value(&e, "s.t")->kind, VALUE_ABSENT);
    event_fini(&e);
}

static void integers_of_64_bits(void **state)
{
    (void)state;
    struct event e;
    event_init(&e, (const char *const[]){"a"}, 1);
    static const struct {
        const char *text;
        bool whole;
        int64_t number;
    } cases[] = {{"0", true, 0},
                 {"-0", true, 0},
                 {"7", true, 7},
                 {"999999999999999999", true, 999999999999999999},
                 {"-99999999999999999", true, -99999999999999999},
                 {"9223372036854775807", true, INT64_MAX},
                 {"-9223372036854775808", true, INT64_MIN},
                 {"9223372036854775808", false, 0},
                 {"-9223372036854775809", false, 0},
                 {"10000000000000000000000", false, 0},
                 {"1.0", false, 0},
                 {"1e3", false, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO(buf) struct buf text = {0};
        buf_addf(&text, "{\"a\":%s}", cases[i].text);
        event_read(&e, text.ptr);
        const struct value *v = event_value(&e, "a");
        assert_int_equal(v->kind, cases[i].whole ? VALUE_INT : VALUE_NUMBER);
        assert_true(str_eqz(v->raw, cases[i].text));
        assert_true(!cases[i].whole || v->number == cases[i].number);
    }
    event_fini(&e);
}

/* Of equal keys the last wins whole: nothing of an earlier object shines through. */
static bool last_key_wins(void)
{
    struct event e;
    bool good = true;
    event_init(&e, (const char *const[]){"a", "a.b", "a.b.c", "a.d"}, 4);
    event_read(&e, "{\"meta\":{\"id\":\"x\",\"dt\":\"y\"},\"meta\":{\"dt\":\"z\"}}");
    good = good && e.values[FIELD_META_ID].kind == VALUE_ABSENT && str_eqz(e.values[FIELD_META_DT].raw, "z");
    event_read(&e, "{\"meta\":{\"id\":\"x\"},\"meta\":null}");
    good = good && e.values[FIELD_META_ID].kind == VALUE_ABSENT;
    event_read(&e, "{\"a\":{\"b\":{\"c\":1},\"d\":2},\"a\":{\"b\":3}}");
    good = good && event_value(&e, "a.b")->number == 3 && event_value(&e, "a.b.c")->kind == VALUE_ABSENT &&
           event_value(&e, "a.d")->kind == VALUE_ABSENT && str_eqz(event_value(&e, "a")->raw, "{\"b\":3}");
    event_read(&e, "{\"a\":{\"b\":{\"c\":1}},\"a\":{}}");
    good = good && event_value(&e, "a.b")->kind == VALUE_ABSENT && event_value(&e, "a.b.c")->kind == VALUE_ABSENT;
    event_read(&e, "{\"a\":1,\"\\u0061\":{\"d\":5,\"\\u0064\":6}}");
    good = good && event_value(&e, "a")->kind == VALUE_OBJECT && event_value(&e, "a.d")->number == 6;
    event_read(&e, "{\"a\":{\"d\":1},\"\\u0061\":[{\"d\":2}]}");
    good = good && event_value(&e, "a")->kind == VALUE_ARRAY && event_value(&e, "a.d")->kind == VALUE_ABSENT;
    event_fini(&e);
    return good;
}

static void R2_last_of_equal_keys_wins_whole(void **state)
{
    (void)state;
    assert_clause(last_key_wins, "R2.last-wins");
}

static void keys_with_escapes(void **state)
{
    (void)state;
    struct event e;
    AUTO(buf) struct buf scratch = {0};
    event_init(&e, (const char *const[]){"Kl\xc3\xbc/x", "\xf0\x9f\x98\x80.y"}, 2);
    event_read(&e,
               "{\"\\u004bl\\u00fc\\/x\":1,\"\\ud83d\\uDE00\":{\"\\u0079\":2},\"m\\u0065ta\":{\"i\\u0064\":\"q\"}}");
    assert_int_equal(event_value(&e, "Kl\xc3\xbc/x")->number, 1);
    assert_int_equal(event_value(&e, "\xf0\x9f\x98\x80.y")->number, 2);
    assert_true(str_eqz(value_string(&e.values[FIELD_META_ID], &scratch), "q"));
    event_fini(&e);
}

/* Every length of name, found and not found, so that each way to compare names is taken. */
static void names_of_every_length(void **state)
{
    (void)state;
    char name[80];
    for (size_t len = 1; len < sizeof name - 1; len++) {
        struct event e;
        event_init(&e, NULL, 0);
        memset(name, 'k', len);
        assert_true(field_set_add(e.set, str_n(name, len), NULL) >= 0);
        for (size_t other = 0; other <= len; other++) { /* == len: no byte differs */
            AUTO(buf) struct buf text = {0};
            buf_addz(&text, "{\"");
            buf_add(&text, str_n(name, len));
            buf_addz(&text, "\":1}");
            if (other < len) {
                text.ptr[2 + other] = 'j';
            }
            assert_int_equal(event_scan(&e, buf_str(&text)), DEAD_NONE);
            const int want = other < len ? VALUE_ABSENT : VALUE_INT;
            assert_int_equal(e.values[FIELD_CORE_COUNT].kind, want);
        }
        event_fini(&e);
    }
}

static void field_sets(void **state)
{
    (void)state;
    struct field_set *set = field_set_new();
    struct err err = {0};
    assert_int_equal(field_set_count(set), FIELD_CORE_COUNT);
    assert_int_equal(field_set_add(set, STR("timestamp"), &err), FIELD_TIMESTAMP);
    assert_int_equal(field_set_add(set, STR("meta"), &err), FIELD_CORE_COUNT);
    assert_int_equal(field_set_add(set, STR("meta"), &err), FIELD_CORE_COUNT);
    assert_true(str_eqz(field_set_path(set, FIELD_CORE_COUNT), "meta"));
    assert_int_equal(field_set_find(set, STR("meta.id")), FIELD_META_ID);
    assert_int_equal(field_set_find(set, STR("length")), -1);
    static const char *const bad[] = {"", ".", "a.", ".a", "a..b", "\xff"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        err = (struct err){0};
        assert_int_equal(field_set_add(set, str_of(bad[i]), &err), -1);
        assert_int_equal(err.cls, ERR_REJECT);
        assert_non_null(strstr(err.text, "field path"));
    }
    char path[16];
    for (int i = FIELD_CORE_COUNT + 1; i < FIELD_MAX; i++) {
        snprintf(path, sizeof path, "p%d.q", i);
        assert_int_equal(field_set_add(set, str_of(path), &err), i);
    }
    assert_int_equal(field_set_add(set, STR("one.more"), &err), -1);
    assert_int_equal(field_set_add(set, STR("p20.q"), &err), 20);
    field_set_free(set);
    field_set_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(R2_good_texts_are_accepted),
        cmocka_unit_test(R2_bad_texts_have_their_reason),
        cmocka_unit_test(R2_depth),
        cmocka_unit_test(R2_size),
        cmocka_unit_test(R2_lone_surrogate_is_dead),
        cmocka_unit_test(kinds_and_slices),
        cmocka_unit_test(integers_of_64_bits),
        cmocka_unit_test(R2_last_of_equal_keys_wins_whole),
        cmocka_unit_test(keys_with_escapes),
        cmocka_unit_test(names_of_every_length),
        cmocka_unit_test(field_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
