/* SPDX-License-Identifier: MIT
 *
 * test_args.c - options anywhere, bad ones named with the nearest good one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/args.h"

struct parsed {
    bool flag;
    const char *text;
    int64_t number, duration, time;
    double rate;
    int verbose;
    struct string_list set;
};

static struct parsed got;
static const struct arg table[] = {
    {"check", 0, ARG_FLAG, &got.flag, NULL, "a flag"},
    {"data-dir", 'd', ARG_STRING, &got.text, "DIR", "a text"},
    {"count", 'n', ARG_INT, &got.number, "N", "a number"},
    {"for", 0, ARG_DURATION, &got.duration, "DUR", "a duration"},
    {"since", 0, ARG_TIME, &got.time, "T", "a time"},
    {"rate", 0, ARG_DOUBLE, &got.rate, "R", "a rate"},
    {"verbose", 'v', ARG_COUNT, &got.verbose, NULL, "say more"},
    {"set", 0, ARG_LIST, &got.set, "K=V", "set"},
};
enum { TABLE = sizeof table / sizeof *table };

static enum err_class parse(int argc, const char *const *argv, int *ret_first, struct err *err)
{
    string_list_fini(&got.set);
    got = (struct parsed){0};
    *err = (struct err){0};
    return args_parse(table, TABLE, argc, (char **)(uintptr_t)argv, ret_first, err);
}

static void options_stand_anywhere(void **state)
{
    (void)state;
    int first;
    struct err err;
    const char *argv[] = {"cmd",   "word", "--check",   "-n5",    "--data-dir=x", "-vv",  "--for", "2m",
                          "--set", "a=1",  "--set=b=2", "--rate", "max",          "more", NULL};
    assert_int_equal(parse(14, argv, &first, &err), ERR_NONE);
    assert_true(got.flag);
    assert_string_equal(got.text, "x");
    assert_int_equal(got.number, 5);
    assert_int_equal(got.duration, 120 * US_PER_SECOND);
    assert_int_equal(got.verbose, 2);
    assert_int_equal(got.set.count, 2);
    assert_string_equal(got.set.items[1], "b=2");
    assert_true(got.rate == 0.0);
    assert_int_equal(first, 12);
    assert_string_equal(argv[12], "word");
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *option, *value, *said;
    } cases[] = {
        {"--chek", NULL, "did you mean --check"}, {"--nonsense", NULL, "see --help"},
        {"-x", NULL, "unknown option"},           {"--data-dir", NULL, "needs a value"},
        {"--check=1", NULL, "takes no value"},    {"--count", "x", "a whole number"},
        {"--count", "-1", "a whole number"},      {"--for", "2 weeks", "a duration"},
        {"--since", "yesterday-ish", "a time"},   {"--rate", "fast", "a number or \"max\""},
        {"--rate", "-1", "a number or \"max\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *argv[] = {"cmd", cases[i].option, cases[i].value, NULL};
        int first;
        struct err err;
        assert_int_equal(parse(cases[i].value ? 3 : 2, argv, &first, &err), ERR_REJECT);
        assert_int_equal(err_exit_code(&err), EXIT_USAGE);
        if (!strstr(err.text, cases[i].said))
            fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].option, err.text, cases[i].said);
    }
}

static void help_names_every_option(void **state)
{
    (void)state;
    AUTO(buf) struct buf b = {0};
    args_help(table, TABLE, &b);
    for (size_t i = 0; i < TABLE; i++)
        assert_non_null(strstr(b.ptr, table[i].name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_stand_anywhere),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(help_names_every_option),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
