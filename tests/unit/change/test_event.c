/* SPDX-License-Identifier: MIT
 *
 * test_event.c - kinds, times, the guard against the future, identities, texts (oracle.md sections 3 to 6).
 */
#include "change_test.h"

static const char *const more_paths[] = {"a", "b", "time"};
#define EVENT_INIT(e) event_init(e, more_paths, sizeof more_paths / sizeof *more_paths)

static enum change_kind kind_of(const char *text)
{
    struct event e;
    EVENT_INIT(&e);
    event_read(&e, text);
    const enum change_kind kind = change_kind(e.values);
    event_fini(&e);
    return kind;
}

#define CANARY "{\"meta\":{\"domain\":\"canary\",\"stream\":\"mediawiki.recentchange\"}}"
#define TICK "{\"meta\":{\"domain\":\"canary\",\"stream\":\"wikitally.tick\"}}"

static bool canaries_are_known(void)
{
    return kind_of(CANARY) == CHANGE_CANARY && kind_of("{\"meta\":{\"domain\":\"c\\u0061nary\"}}") == CHANGE_CANARY &&
           kind_of("{\"meta\":{\"domain\":\"canary2\"}}") == CHANGE_EDIT_LIKE &&
           kind_of("{\"meta\":{\"domain\":\"canar\"}}") == CHANGE_EDIT_LIKE &&
           kind_of("{\"meta\":{\"domain\":\"\\u0063anar\"}}") == CHANGE_EDIT_LIKE &&
           kind_of("{\"meta\":{\"domain\":\"\\u0063anary \"}}") == CHANGE_EDIT_LIKE &&
           kind_of("{\"meta\":{\"domain\":[\"canary\"]}}") == CHANGE_EDIT_LIKE &&
           kind_of("{\"meta\":{\"stream\":\"wikitally.tick\"}}") == CHANGE_EDIT_LIKE &&
           kind_of("{\"domain\":\"canary\"}") == CHANGE_EDIT_LIKE && kind_of("{}") == CHANGE_EDIT_LIKE;
}

static void R2_canaries(void **state)
{
    (void)state;
    assert_clause(canaries_are_known, "R2.canary");
}

static bool ticks_are_known(void)
{
    return kind_of(TICK) == CHANGE_TICK && kind_of(CANARY) == CHANGE_CANARY;
}

static void R7_ticks(void **state)
{
    (void)state;
    assert_clause(ticks_are_known, "R7.tick");
}

/* The time by `field`, or why there is none. */
static enum dead_reason time_of(const char *text, const char *field, int64_t *ret_us)
{
    struct event e;
    EVENT_INIT(&e);
    event_read(&e, text);
    *ret_us = TIME_NONE;
    const enum dead_reason reason =
        change_time(e.values, (size_t)field_set_find(e.set, str_of(field)), change_kind(e.values), ret_us);
    event_fini(&e);
    return reason;
}

static bool time_is(const char *text, const char *field, int64_t want_us)
{
    int64_t us;
    return time_of(text, field, &us) == DEAD_NONE && us == want_us;
}

static bool time_fails(const char *text, const char *field, enum dead_reason want)
{
    int64_t us;
    return time_of(text, field, &us) == want;
}

static void R5_event_time(void **state)
{
    (void)state;
    const int64_t s = US_PER_SECOND;
    assert_true(time_is("{\"timestamp\":5}", "timestamp", 5 * s));
    assert_true(time_is("{\"timestamp\":0}", "timestamp", 0));
    assert_true(time_is("{\"timestamp\":\"1970-01-01T00:00:07.5Z\"}", "timestamp", 7 * s + 500000));
    assert_true(time_is("{\"timestamp\":5,\"meta\":{\"dt\":\"1970-01-01T00:00:09Z\"}}", "timestamp", 5 * s));
    assert_true(time_is("{\"timestamp\":5,\"meta\":{\"dt\":\"1970-01-01T00:00:09Z\"}}", "meta.dt", 9 * s));
    assert_true(time_is("{\"timestamp\":null,\"meta\":{\"dt\":\"1970-01-01T00:00:09Z\"}}", "timestamp", 9 * s));
    assert_true(time_is("{\"meta\":{\"dt\":11}}", "timestamp", 11 * s));
    assert_true(time_is("{\"time\":3,\"timestamp\":5}", "time", 3 * s));
    assert_true(time_is("{\"timestamp\":\"1970-01-01T00:\\u0030\\u0030:07Z\"}", "timestamp", 7 * s));
    assert_true(time_fails("{}", "timestamp", DEAD_NO_TIME));
    assert_true(time_fails("{\"timestamp\":null}", "time", DEAD_NO_TIME));
    assert_true(time_fails("{\"time\":3,\"timestamp\":\"\"}", "time", DEAD_BAD_TIME));
    assert_true(time_fails("{\"timestamp\":5,\"meta\":{\"dt\":\"yesterday\"}}", "timestamp", DEAD_BAD_TIME));
    static const char *const bad[] = {
        "1.0",
        "1e9",
        "-1",
        "true",
        "[]",
        "{}",
        "\"5\"",
        "1777979857000",
        "\"2026-05-05T11:17:40\"",
        "\"2026-05-05 11:17:40Z\"",
        "253370764800",
        "9223372036854775807",
        "\"2026-05-05T11:17:40.822Z000000000000000000000000000\"",
        "\"\\u0032\\u0030\\u0032\\u0036-05-05T11:17:40Z                                  \""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        AUTO(buf) struct buf text = {0};
        buf_addf(&text, "{\"timestamp\":%s}", bad[i]);
        if (!time_fails(text.ptr, "timestamp", DEAD_BAD_TIME)) {
            fail_msg("%s is a time", bad[i]);
        }
    }
}

static bool range_of_time(void)
{
    return time_is("{\"timestamp\":253370764799}", "timestamp", TIME_END - US_PER_SECOND) &&
           time_fails("{\"timestamp\":253370764800}", "timestamp", DEAD_BAD_TIME) &&
           time_fails("{\"timestamp\":-1}", "timestamp", DEAD_BAD_TIME);
}

static void R5_range_of_time(void **state)
{
    (void)state;
    assert_clause(range_of_time, "R5.range");
}

static void R2_a_canary_is_never_dead(void **state)
{
    (void)state;
    assert_true(time_is(CANARY, "timestamp", TIME_NONE));
    assert_true(
        time_is("{\"meta\":{\"domain\":\"canary\",\"dt\":\"bad\"},\"timestamp\":\"bad\"}", "timestamp", TIME_NONE));
    assert_true(time_is("{\"meta\":{\"domain\":\"canary\",\"dt\":\"1970-01-01T00:00:09Z\"},\"timestamp\":5}",
                        "timestamp", 9 * US_PER_SECOND));
}

static bool is_future(const char *text, int64_t time_s, int64_t arrival_s)
{
    struct event e;
    EVENT_INIT(&e);
    event_read(&e, text);
    int64_t time_us, dt_us;
    (void)change_times(e.values, change_kind(e.values), &time_us, &dt_us);
    const bool future = change_is_future(change_kind(e.values), time_s * US_PER_SECOND, dt_us,
                                         arrival_s < 0 ? TIME_NONE : arrival_s * US_PER_SECOND, 60 * US_PER_SECOND);
    event_fini(&e);
    return future;
}

static bool future_by_arrival(void)
{
    return is_future("{}", 161, 100) && !is_future("{}", 160, 100) && !is_future("{}", 100000, -1);
}

/* A backlog is read long after it was sent: its own meta.dt convicts a time that was from the future then. */
static bool future_by_dt(void)
{
    static const char text[] = "{\"meta\":{\"dt\":\"1970-01-01T00:01:40Z\"}}"; /* 100 s */
    return is_future(text, 161, 5000) && !is_future(text, 160, 5000) && is_future(text, 161, -1) &&
           is_future(text, 111, 50);
}

static void R5_future_guard(void **state)
{
    (void)state;
    assert_clause(future_by_arrival, "R5.future");
    assert_clause(future_by_dt, "R5.dt");
    /* A canary's own dt is its time: it proves nothing. */
    assert_false(is_future("{\"meta\":{\"domain\":\"canary\",\"dt\":\"1970-01-01T00:01:40Z\"}}", 161, -1));
    assert_true(is_future("{\"meta\":{\"domain\":\"canary\",\"dt\":\"1970-01-01T00:01:40Z\"}}", 161, 100));
    assert_false(is_future("{\"meta\":{\"dt\":\"bad\"}}", 161, -1));
    assert_false(change_is_future(CHANGE_EDIT_LIKE, TIME_NONE, TIME_NONE, 0, 0));
    assert_false(change_is_future(CHANGE_EDIT_LIKE, 5, TIME_NONE, INT64_MAX, INT64_MAX));
}

struct named {
    struct identity ids[2];
    int which[2];
    size_t count;
};

static struct named names_of(const char *text)
{
    struct event e;
    struct named named = {.which = {-1, -1}};
    EVENT_INIT(&e);
    event_read(&e, text);
    named.count = change_identities(e.values, change_kind(e.values), named.ids, named.which);
    event_fini(&e);
    return named;
}

static bool same(struct identity a, struct identity b)
{
    return a.hi == b.hi && a.lo == b.lo;
}

static bool named_by_meta_id(void)
{
    const struct named a = names_of("{\"meta\":{\"id\":\"x\"}}"),
                       b = names_of("{\"meta\":{\"id\":\"\\u0078\"},\"b\":2}"),
                       c = names_of("{\"meta\":{\"id\":\"y\"}}");
    return a.count == 1 && a.which[0] == 0 && b.count == 1 && same(a.ids[0], b.ids[0]) && c.count == 1 &&
           !same(a.ids[0], c.ids[0]);
}

static bool named_by_wiki_and_id(void)
{
    const struct named a = names_of("{\"wiki\":\"enwiki\",\"id\":5}"),
                       b = names_of("{\"id\":5,\"wiki\":\"\\u0065nwiki\"}"),
                       c = names_of("{\"wiki\":\"enwiki\",\"id\":6}"), d = names_of("{\"wiki\":\"dewiki\",\"id\":5}");
    return a.count == 1 && a.which[0] == 1 && same(a.ids[0], b.ids[0]) && c.count == 1 && d.count == 1 &&
           !same(a.ids[0], c.ids[0]) && !same(a.ids[0], d.ids[0]) && !same(c.ids[0], d.ids[0]);
}

static bool canary_has_no_rcid(void)
{
    const struct named a =
        names_of("{\"meta\":{\"domain\":\"canary\",\"id\":\"x\"},\"wiki\":\"examplewiki\",\"id\":5}");
    return a.count == 1 && a.which[0] == 0;
}

static bool zero_names_nothing(void)
{
    return names_of("{\"wiki\":\"enwiki\",\"id\":0}").count == 0;
}

static void R1_identities(void **state)
{
    (void)state;
    assert_clause(named_by_meta_id, "R1.meta-id");
    assert_clause(named_by_wiki_and_id, "R1.wiki-id");
    assert_clause(canary_has_no_rcid, "R1.canary");
    assert_clause(zero_names_nothing, "R1.zero");
}

static void R1_both_or_none(void **state)
{
    (void)state;
    const struct named both = names_of("{\"wiki\":\"x\",\"id\":5,\"meta\":{\"id\":\"x\"}}");
    assert_int_equal(both.count, 2);
    assert_int_equal(both.which[0], 0);
    assert_int_equal(both.which[1], 1);
    static const char *const nameless[] = {"{}",
                                           "{\"meta\":{\"id\":\"\"}}",
                                           "{\"meta\":{\"id\":5}}",
                                           "{\"meta\":\"x\"}",
                                           "{\"wiki\":\"w\"}",
                                           "{\"id\":5}",
                                           "{\"wiki\":\"\",\"id\":5}",
                                           "{\"wiki\":\"w\",\"id\":-5}",
                                           "{\"wiki\":\"w\",\"id\":5.0}",
                                           "{\"wiki\":\"w\",\"id\":\"5\"}",
                                           "{\"wiki\":1,\"id\":5}",
                                           "{\"wiki\":\"w\",\"id\":9223372036854775808}"};
    for (size_t i = 0; i < sizeof nameless / sizeof *nameless; i++) {
        assert_int_equal(names_of(nameless[i]).count, 0);
    }
    /* A name of one sort is no name of another. */
    assert_false(same(identity_of_bytes(STR("x")), both.ids[0]));
    assert_true(same(identity_of_bytes(STR("x")), identity_of_bytes(STR("x"))));
    assert_false(same(identity_of_bytes(STR("x")), identity_of_bytes(STR("y"))));
}

/* Key text and plain text of one JSON value. */
static void check_texts(const char *json, const char *key, struct str plain)
{
    struct event e;
    AUTO(buf) struct buf text = {0}, out = {0};
    EVENT_INIT(&e);
    buf_addf(&text, json ? "{\"a\":%s}" : "{}", json);
    event_read(&e, text.ptr);
    value_add_key(&out, event_value(&e, "a"));
    assert_true(str_eqz(buf_str(&out), key));
    buf_clear(&out);
    value_add_plain(&out, event_value(&e, "a"));
    assert_true(str_eq(buf_str(&out), plain));
    event_fini(&e);
}

static void key_and_plain_texts(void **state)
{
    (void)state;
    check_texts(NULL, "null", STR("null"));
    check_texts("null", "null", STR("null"));
    check_texts("{\"x\":1}", "null", STR("null"));
    check_texts("[1]", "null", STR("null"));
    check_texts("true", "true", STR("true"));
    check_texts("false", "false", STR("false"));
    check_texts("-0", "0", STR("0"));
    check_texts("12", "12", STR("12"));
    check_texts("1.0", "1.0", STR("1.0"));
    check_texts("1E5", "1E5", STR("1E5"));
    check_texts("123456789012345678901234567890", "123456789012345678901234567890",
                STR("123456789012345678901234567890"));
    check_texts("\"\"", "\"\"", STR(""));
    check_texts("\"null\"", "\"null\"", STR("null"));
    check_texts("\"a\\u0062\\/c\"", "\"ab/c\"", STR("ab/c"));
    check_texts("\"\\u00e9\\ud83d\\ude00\xc3\xa9\"", "\"\xc3\xa9\xf0\x9f\x98\x80\xc3\xa9\"",
                STR("\xc3\xa9\xf0\x9f\x98\x80\xc3\xa9"));
    check_texts("\"\\u0022\\u005c\\\"\\\\\"", "\"\\\"\\\\\\\"\\\\\"", STR("\"\\\"\\"));
    check_texts("\"\\u0008\\u000C\\u000a\\r\\t\"", "\"\\b\\f\\n\\r\\t\"", STR("\b\f\n\r\t"));
    check_texts("\"\\u0000x\\u001F\\u007f\"", "\"\\u0000x\\u001f\x7f\"", STR("\0x\x1f\x7f"));
    check_texts("\"<\\u2028>&\"", "\"<\xe2\x80\xa8>&\"", STR("<\xe2\x80\xa8>&"));
}

static void strings_and_scratch(void **state)
{
    (void)state;
    struct event e;
    AUTO(buf) struct buf scratch = {.max = 8};
    EVENT_INIT(&e);
    event_read(&e, "{\"a\":\"plain\",\"b\":\"\\u0061bc\",\"time\":5,\"title\":\"\"}");
    const struct str plain = value_string(event_value(&e, "a"), &scratch);
    assert_ptr_equal(plain.ptr, event_value(&e, "a")->raw.ptr); /* no copy */
    assert_int_equal(scratch.len, 0);
    assert_int_equal(value_string(event_value(&e, "time"), &scratch).len, 0);
    assert_false(value_is_text(event_value(&e, "time")));
    assert_false(value_is_text(&e.values[FIELD_TITLE]));
    assert_true(value_is_text(event_value(&e, "b")));
    scratch.max = 64;
    assert_true(str_eqz(value_string(event_value(&e, "b"), &scratch), "abc"));
    assert_true(str_eqz(value_string(event_value(&e, "b"), &scratch), "abc"));
    assert_int_equal(scratch.len, 6);
    buf_fini(&scratch);
    scratch.max = 4;
    assert_int_equal(value_string(event_value(&e, "b"), &scratch).len, 0);
    assert_true(scratch.overflow);
    event_fini(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(R2_canaries),
        cmocka_unit_test(R7_ticks),
        cmocka_unit_test(R5_event_time),
        cmocka_unit_test(R5_range_of_time),
        cmocka_unit_test(R2_a_canary_is_never_dead),
        cmocka_unit_test(R5_future_guard),
        cmocka_unit_test(R1_identities),
        cmocka_unit_test(R1_both_or_none),
        cmocka_unit_test(key_and_plain_texts),
        cmocka_unit_test(strings_and_scratch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
