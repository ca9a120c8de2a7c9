/* SPDX-License-Identifier: MIT
 *
 * What the `tests:` of a configuration become: times, fields as JSON, expectations, and how many there may be. What is
 * refused one by one stands in test_config_bad.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config_support.h"

#include "app/config_test.h"

#define HEAD "tests:\n  - name: one\n    aggregation: bots\n    steps:\n"
#define NOON (INT64_C(1780315200) * US_PER_SECOND) /* 2026-06-01T12:00:00Z */

static void load(const char *text, struct config *c)
{
    struct err err = {0};
    if (load_text(text, c, &err)) {
        fail_msg("%s\n---> %s", text, err.text);
    }
}

static void refused(const char *text, const char *says)
{
    struct config c = {0};
    struct err err = {0};
    assert_int_equal(load_text(text, &c, &err), ERR_REJECT);
    assert_int_equal(err.code, EXIT_CONFIG);
    if (!strstr(err.text, says)) {
        fail_msg("no \"%s\" in \"%s\"", says, err.text);
    }
    assert_null(c.p);
}

static void a_time_is_of_the_tests_day_or_in_full(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t us;
    } cases[] = {
        {"12:00", NOON},
        {"12:00:05", NOON + 5 * US_PER_SECOND},
        {"12:00:05.250", NOON + 5250 * US_PER_MS},
        {"2026-06-01T12:00:05Z", NOON + 5 * US_PER_SECOND},
        {"2026-06-01T14:00:00+02:00", NOON},
        {"\"${NOBODY:-12:00}\"", NOON},
        {"1970-01-01T00:00:00Z", 0},
        {"9998-12-31T23:59:59.999999Z", TIME_END - 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[300];
        struct config c;
        snprintf(text, sizeof text, HEAD "      - at: %s\n      - wait: 0s\n", cases[i].text);
        load(text, &c);
        assert_int_equal(c.test_count, 1);
        assert_int_equal(c.tests[0].step_count, 2);
        assert_int_equal(c.tests[0].steps[0].kind, STEP_AT);
        assert_int_equal(c.tests[0].steps[0].time_us, cases[i].us);
        config_fini(&c);
    }
}

/* One event with these fields has the field at the path as that JSON; NULL: it is left out. */
static void check_field(const char *fields, const char *path, const char *json)
{
    char text[500];
    struct config c;
    snprintf(text, sizeof text, HEAD "      - at: 12:00\n      - event: %s\n", fields);
    load(text, &c);
    const struct test_step *step = &c.tests[0].steps[1];
    assert_int_equal(step->field_count, 1);
    if (!str_eqz(step->fields[0].path, path) || !step->fields[0].json.ptr != !json ||
        (json && !str_eqz(step->fields[0].json, json))) {
        fail_msg("%s: %.*s: %.*s", fields, STR_ARG(step->fields[0].path), STR_ARG(step->fields[0].json));
    }
    assert_true(step->time_us == TIME_NONE);
    config_fini(&c);
}

static void a_field_becomes_the_json_that_is_meant(void **state)
{
    (void)state;
    static const struct {
        const char *fields, *path, *json;
    } cases[] = {
        {"{user: Ann}", "user", "\"Ann\""},
        {"{user: \"${NOBODY:-Ann}\"}", "user", "\"Ann\""},
        {"{user: }", "user", "\"\""},
        {"{bot: true}", "bot", "true"},
        {"{bot: false}", "bot", "false"},
        {"{bot: 'true'}", "bot", "\"true\""},
        {"{user: null}", "user", "null"},
        {"{user: absent}", "user", NULL},
        {"{user: 'absent'}", "user", "\"absent\""},
        {"{id: 0}", "id", "0"},
        {"{id: 5}", "id", "5"},
        {"{id: 15}", "id", "15"},
        {"{id: -1}", "id", "-1"},
        {"{id: -15}", "id", "-15"},
        {"{id: '5'}", "id", "\"5\""},
        {"{id: 05}", "id", "\"05\""}, /* JSON has no such number */
        {"{id: -05}", "id", "\"-05\""},
        {"{id: 5x}", "id", "\"5x\""},
        {"{id: '-'}", "id", "\"-\""},
        {"{length: {new: 5, old: {a: b}}}", "length", "{\"new\":5,\"old\":{\"a\":\"b\"}}"},
        {"{log_params: [1, a, {b: [true]}, []]}", "log_params", "[1,\"a\",{\"b\":[true]},[]]"},
        {"{log_params: {}}", "log_params", "{}"},
        {"{meta: {uri: x}}", "meta.uri", "\"x\""},
        {"{meta: {dt: absent}}", "meta.dt", NULL},
        {"{meta.uri: x}", "meta.uri", "\"x\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_field(cases[i].fields, cases[i].path, cases[i].json);
    }
}

/* Elsewhere "12:00" is a word like any other, and a clock of whole seconds takes no part of one. */
static void a_time_of_day_is_one_only_where_the_stream_has_a_clock(void **state)
{
    (void)state;
    static const struct {
        const char *fields, *path, *json;
    } cases[] = {
        {"{timestamp: 12:00:05}", "timestamp", "1780315205"},
        {"{timestamp: 2026-06-01T12:00:05Z}", "timestamp", "1780315205"},
        {"{timestamp: 12:00:05.250}", "timestamp", "\"12:00:05.250\""},
        {"{timestamp: [12:00:05]}", "timestamp", "[\"12:00:05\"]"},
        {"{meta: {dt: 12:00:05.250}}", "meta.dt", "\"2026-06-01T12:00:05.250Z\""},
        {"{meta.dt: 12:00}", "meta.dt", "\"2026-06-01T12:00:00.000Z\""},
        {"{meta: {dt: 1960-01-01T00:00:00Z}}", "meta.dt", "\"1960-01-01T00:00:00Z\""},
        {"{user: 12:00:05}", "user", "\"12:00:05\""},
        {"{timestamp_of_it: 12:00:05}", "timestamp_of_it", "\"12:00:05\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_field(cases[i].fields, cases[i].path, cases[i].json);
    }
}

static void an_expectation_keeps_its_text_but_windows_are_times(void **state)
{
    (void)state;
    struct config c;
    load(HEAD "      - at: 12:00\n"
              "      - wait: 90s\n"
              "      - event: {user: Ann, arrives: 11:59:40}\n"
              "      - expect:\n"
              "          - {window: 12:00, window_end: \"${NOBODY:-12:01}\", user_name: 12:00}\n"
              "          - {}\n"
              "      - ledger: {counted: 1, late: 0}\n"
              "      - tick\n",
         &c);
    const struct test_step *steps = c.tests[0].steps;
    assert_int_equal(c.tests[0].step_count, 6);
    assert_int_equal(steps[1].time_us, 90 * US_PER_SECOND);
    assert_int_equal(steps[2].time_us, NOON - 20 * US_PER_SECOND);
    assert_int_equal(steps[2].field_count, 1);
    assert_int_equal(steps[3].row_count, 2);
    assert_int_equal(steps[3].rows[0].line, 9);
    assert_int_equal(steps[3].rows[0].cell_count, 3);
    assert_true(str_eqz(steps[3].rows[0].cells[0].value, "2026-06-01T12:00:00Z"));
    assert_true(str_eqz(steps[3].rows[0].cells[1].value, "2026-06-01T12:01:00Z"));
    assert_true(str_eqz(steps[3].rows[0].cells[2].value, "12:00"));
    assert_int_equal(steps[3].rows[1].cell_count, 0);
    assert_int_equal(steps[4].row_count, 1);
    assert_true(str_eqz(steps[4].rows[0].cells[1].column, "late"));
    assert_int_equal(steps[5].kind, STEP_TICK);
    config_fini(&c);
}

static void add_tests(struct buf *text, const char *prefix, int count)
{
    buf_addz(text, "tests:\n");
    for (int i = 0; i < count; i++) {
        buf_addf(text, "  - {name: %s%d, aggregation: bots, steps: [at: 12:00]}\n", prefix, i);
    }
}

static void tests_of_several_files_are_all_kept_up_to_a_thousand(void **state)
{
    (void)state;
    static const char *const nothing[] = {NULL};
    char system_file[4096], drop_in[4096];
    AUTO(buf) struct buf first = {0}, second = {0}, third = {0};
    add_tests(&first, "a", 600);
    add_tests(&second, "b", 400);
    add_tests(&third, "c", 1);
    snprintf(system_file, sizeof system_file, "%s", write_file("etc/w.yaml", first.ptr));
    snprintf(drop_in, sizeof drop_in, "%s", write_file("etc/conf.d/1.yaml", second.ptr));
    struct config_sources sources = {.system_file = system_file, .environment = nothing};
    struct config c = {0};
    struct err err = {0};
    assert_int_equal(config_load(&sources, &c, &err), ERR_NONE);
    assert_int_equal(c.test_count, 1000);
    assert_string_equal(c.tests[0].name, "a0");
    assert_string_equal(c.tests[599].name, "a599");
    assert_string_equal(c.tests[600].name, "b0");
    assert_string_equal(c.tests[999].name, "b399");
    assert_string_equal(c.tests[0].file, system_file);
    assert_string_equal(c.tests[999].file, drop_in);
    assert_int_equal(c.tests[999].line, 401);
    config_fini(&c);
    write_file("etc/conf.d/2.yaml", third.ptr);
    assert_int_equal(config_load(&sources, &c, &err), ERR_REJECT);
    assert_non_null(strstr(err.text, "etc/conf.d/2.yaml:2:3: more than 1000 tests"));
}

static void a_test_has_as_many_steps_as_it_may_have(void **state)
{
    (void)state;
    AUTO(buf) struct buf text = {0};
    buf_addz(&text, HEAD "      - at: 12:00\n");
    for (int i = 1; i < 10000; i++) {
        buf_addz(&text, "      - tick\n");
    }
    struct config c;
    load(text.ptr, &c);
    assert_int_equal(c.tests[0].step_count, 10000);
    config_fini(&c);
    buf_addz(&text, "      - tick\n");
    refused(text.ptr, "test.yaml:5:7: \"steps\" wants a list of 1 to 10000 steps");
}

static void an_event_has_as_many_fields_as_it_may_have(void **state)
{
    (void)state;
    AUTO(buf) struct buf text = {0};
    buf_addz(&text, HEAD "      - at: 12:00\n      - event:\n");
    for (int i = 0; i < TEST_FIELDS_MAX; i++) {
        buf_addf(&text, "          f%d: %d\n", i, i);
    }
    struct config c;
    load(text.ptr, &c);
    const struct test_step *step = &c.tests[0].steps[1];
    assert_int_equal(step->field_count, TEST_FIELDS_MAX);
    assert_true(str_eqz(step->fields[TEST_FIELDS_MAX - 1].path, "f63"));
    assert_true(str_eqz(step->fields[TEST_FIELDS_MAX - 1].json, "63"));
    config_fini(&c);
    buf_addz(&text, "          one: more\n");
    refused(text.ptr, "test.yaml:71:11: more than 64 fields");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_time_is_of_the_tests_day_or_in_full),
        cmocka_unit_test(a_field_becomes_the_json_that_is_meant),
        cmocka_unit_test(a_time_of_day_is_one_only_where_the_stream_has_a_clock),
        cmocka_unit_test(an_expectation_keeps_its_text_but_windows_are_times),
        cmocka_unit_test(tests_of_several_files_are_all_kept_up_to_a_thousand),
        cmocka_unit_test(a_test_has_as_many_steps_as_it_may_have),
        cmocka_unit_test(an_event_has_as_many_fields_as_it_may_have),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
