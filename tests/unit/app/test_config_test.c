/* SPDX-License-Identifier: MIT
 *
 * The engine of the event-time tests: what passes, what fails and what it says then, and that the example file passes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config_support.h"

#include "app/config_test.h"
#include "base/diag.h"

static struct buf report;

/* Loads the text and runs its tests. -> how many failed */
static size_t run(const char *text, size_t *ret_passed)
{
    struct config c;
    struct err err = {0};
    size_t passed = 0, failed = 0;
    buf_clear(&report);
    if (load_text(text, &c, &err) || config_test_run(&c, &report, &passed, &failed, &err)) {
        fail_msg("%s", err.text);
    }
    config_fini(&c);
    if (ret_passed) {
        *ret_passed = passed;
    }
    return failed;
}

static void says(const char *line)
{
    if (!strstr(report.ptr, line)) {
        fail_msg("no \"%s\" in\n%s", line, report.ptr);
    }
}

#define ONE(aggregation, steps) "tests:\n  - name: one\n    aggregation: " aggregation "\n    steps:\n" steps

static void passing(void **state)
{
    (void)state;
    size_t passed;
    assert_int_equal(
        run(ONE("bots", "      - at: 12:00:05\n"
                        "      - event: {}\n"
                        "      - event: {bot: true}\n"
                        "      - event: {bot: true, timestamp: 12:01:00}\n"
                        "      - expect:\n"
                        "          - {window: 12:01, bot: true, count: 1}\n"
                        "          - {window: 12:00, bot: true, count: 1}\n"
                        "          - {window: 12:00, bot: false, count: 1, window_end: 12:01, key: '[false]'}\n"
                        "      - ledger: {counted: 3}\n"),
            &passed),
        0);
    assert_int_equal(passed, 1);
    assert_string_equal(report.ptr, "ok      one\n");
}

static void a_wrong_value_fails(void **state)
{
    (void)state;
    char want[4300];
    assert_int_equal(run(ONE("bots", "      - at: 12:00:05\n"
                                     "      - event: {}\n"
                                     "      - expect:\n"
                                     "          - {window: 12:00, count: 2}\n"
                                     "      - ledger: {counted: 7, late: 0}\n"),
                         NULL),
                     1);
    says("FAILED  one\n");
    snprintf(want, sizeof want, "%s:8: expected, but not there: {window: 2026-06-01T12:00:00Z, count: 2}\n",
             path_of("test.yaml"));
    says(want);
    snprintf(want, sizeof want,
             "%s:7: there, but not expected: {window: 2026-06-01T12:00:00Z, bot: false, count: 1, state: open}\n",
             path_of("test.yaml"));
    says(want);
    says(":9: ledger: 7 counted expected, but it is 1\n");
    assert_null(strstr(report.ptr, "late"));
}

static void missing_extra_and_unknown(void **state)
{
    (void)state;
    assert_int_equal(run(ONE("bots", "      - at: 12:00:05\n      - event: {}\n      - expect: []\n"), NULL), 1);
    says(":7: there, but not expected: ");
    assert_int_equal(run(ONE("bots", "      - at: 12:00:05\n      - expect: [{}]\n"), NULL), 1);
    says(":6: expected, but not there: {}");
    assert_int_equal(run(ONE("bots", "      - at: 12:00:05\n      - event: {}\n      - expect: [{cuont: 1}]\n"), NULL),
                     1);
    says(":7: there is no column \"cuont\"; did you mean \"count\"\n");
    assert_int_equal(
        run(ONE("bots", "      - at: 12:00:05\n      - event: {}\n      - expect: [{state: open}, {count: 1}]\n"),
            NULL),
        1);
    says("expected, but not there: {count: 1}");
}

/* The first expected row fits both; only the other way round do both fit. */
static void rows_are_matched_as_a_whole(void **state)
{
    (void)state;
    assert_int_equal(run(ONE("bots", "      - at: 12:00:05\n"
                                     "      - event: {bot: true}\n"
                                     "      - event: {bot: false}\n"
                                     "      - expect: [{count: 1}, {bot: \"false\", count: 1}]\n"
                                     "      - expect: [{bot: \"false\"}, {count: 1}]\n"),
                         NULL),
                     0);
}

/* Each rule whose taking away must be seen here. */
static void the_settings_matter(void **state)
{
    (void)state;
    static const struct {
        const char *settings;
        size_t failed;
    } cases[] = {
        {"{}", 0},          {"{delay: 1m}", 1}, {"{late: drop}", 1}, {"{lateness: 1m}", 1},
        {"{skew: 10m}", 1}, {"{size: 5m}", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[2000];
        snprintf(text, sizeof text,
                 "aggregations: {bots: %s}\n" ONE("bots",
                                                  "      - at: 12:00:00\n"
                                                  "      - event: {}\n"
                                                  "      - event: {timestamp: 12:05:00}\n" /* from the future */
                                                  "      - at: 12:02:30\n"                 /* with 1 m: closed */
                                                  "      - event: {}\n"
                                                  "      - expect: [{window: 12:00, state: open}, {window: 12:02}]\n"
                                                  "      - at: 12:05:30\n" /* watermark 12:03:30 */
                                                  "      - event: {}\n"
                                                  "      - event: {timestamp: 12:00:30}\n"
                                                  "      - expect:\n"
                                                  "          - {window: 12:00, count: 2, state: final}\n"
                                                  "          - {window: 12:02, count: 1, state: final}\n"
                                                  "          - {window: 12:05, count: 1}\n"
                                                  "      - ledger: {counted: 4, future: 1, late: 0}\n"),
                 cases[i].settings);
        size_t failed = run(text, NULL);
        if (failed != cases[i].failed) {
            fail_msg("%s:\n%s", cases[i].settings, report.ptr);
        }
    }
}

static void arrival_and_absent_fields(void **state)
{
    (void)state;
    assert_int_equal(run(ONE("website", "      - at: 12:00:00\n"
                                        "      - event: {timestamp: 12:00:50, arrives: 11:59:40}\n" /* 70 s ahead */
                                        "      - event: {server_name: absent}\n"
                                        "      - event: {server_name: null}\n"
                                        "      - event: {server_name: 'null'}\n"
                                        "      - event: {timestamp: absent, meta: {dt: absent}}\n"
                                        "      - event: {timestamp: tomorrow}\n"
                                        "      - expect:\n"
                                        "          - {key: '[null]', count: 2}\n"
                                        "          - {key: '[\"null\"]', count: 1}\n"
                                        "      - ledger: {counted: 3, future: 1, dead: 2}\n"),
                         NULL),
                     0);
}

static void many_tests_each_on_its_own(void **state)
{
    (void)state;
    size_t passed;
    AUTO(buf) struct buf text = {0};
    buf_addz(&text, "tests:\n");
    for (int i = 0; i < 20; i++) {
        buf_addf(&text, "  - {name: t%d, aggregation: bots, steps: [at: 12:00, event: {}, expect: [{count: %d}]]}\n", i,
                 1 + (i == 7));
    }
    assert_int_equal(run(text.ptr, &passed), 1);
    assert_int_equal(passed, 19);
    says("FAILED  t7\n");
    says("ok      t8\n");
}

static void the_example_passes(void **state)
{
    (void)state;
    const char *root = getenv("WIKITALLY_SOURCE_ROOT");
    if (!root) {
        skip();
    }
    static const char *const nothing[] = {NULL};
    char path[4096];
    struct config c;
    struct err err = {0};
    size_t passed = 0, failed = 0;
    snprintf(path, sizeof path, "%s/examples/event-time-tests.yaml", root);
    struct config_sources sources = {.file = path, .environment = nothing};
    buf_clear(&report);
    if (config_load(&sources, &c, &err) || config_test_run(&c, &report, &passed, &failed, &err)) {
        fail_msg("%s", err.text);
    }
    print_message("# %zu tests\n", passed);
    if (failed) {
        fail_msg("%s", report.ptr);
    }
    assert_true(passed >= 9);
    config_fini(&c);
}

static int set_up(void **state)
{
    diag_setup(DIAG_ERROR, false, 2);
    return make_directory(state);
}

static int tear_down(void **state)
{
    buf_fini(&report);
    return remove_directory(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passing),
        cmocka_unit_test(a_wrong_value_fails),
        cmocka_unit_test(missing_extra_and_unknown),
        cmocka_unit_test(rows_are_matched_as_a_whole),
        cmocka_unit_test(the_settings_matter),
        cmocka_unit_test(arrival_and_absent_fields),
        cmocka_unit_test(many_tests_each_on_its_own),
        cmocka_unit_test(the_example_passes),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
