/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/option.h"

struct values {
    bool yes;
    int64_t count, wait, size, color;
    double share;
    char *name, *secret;
    struct string_list list;
};

#define AT(member) offsetof(struct values, member)
static const struct option table[] = {
    {.key = "a.yes", .type = OPTION_BOOL, .offset = AT(yes), .initial = "true"},
    {.key = "a.count", .type = OPTION_INT, .offset = AT(count), .initial = "5", .min = "1", .max = "10"},
    {.key = "a.wait", .type = OPTION_DURATION, .offset = AT(wait), .initial = "90s", .min = "1s", .max = "1h"},
    {.key = "a.size", .type = OPTION_SIZE, .offset = AT(size), .initial = "1MiB", .min = "1KiB"},
    {.key = "a.color", .type = OPTION_ENUM, .offset = AT(color), .initial = "green", .choices = "red|green|blue"},
    {.key = "a.share", .type = OPTION_DOUBLE, .offset = AT(share), .initial = "0.25", .min = "0", .max = "1"},
    {.key = "a.name", .type = OPTION_STRING, .offset = AT(name), .initial = "x", .max = "5"},
    {.key = "a.secret", .type = OPTION_STRING, .offset = AT(secret), .secret = true, .max = "5"},
    {.key = "a.list", .type = OPTION_LIST, .offset = AT(list)},
};
enum { ROWS = sizeof table / sizeof *table };

static const struct option *row(const char *key)
{
    const struct option *o = option_find(table, ROWS, str_of(key));
    assert_non_null(o);
    return o;
}

static void defaults_and_round_trip(void **state)
{
    (void)state;
    struct values v = {0};
    option_defaults(table, ROWS, &v);
    assert_true(v.yes);
    assert_int_equal(v.count, 5);
    assert_int_equal(v.wait, 90 * US_PER_SECOND);
    assert_int_equal(v.size, 1 << 20);
    assert_int_equal(v.color, 1);
    assert_true(v.share == 0.25);
    assert_string_equal(v.name, "x");
    assert_string_equal(v.secret, "");
    assert_int_equal(v.list.count, 0);
    static const char *const texts[ROWS] = {
        "false", "7", "2m", "20GiB", "blue", "0.1", "a=b", "p", "one, top(f,10) as x, three"};
    for (size_t i = 0; i < ROWS; i++) {
        AUTO(buf) struct buf b = {0};
        assert_int_equal(option_set(&table[i], &v, str_of(texts[i]), NULL), ERR_NONE);
        option_show(&table[i], &v, &b);
        assert_string_equal(b.ptr, texts[i]);
    }
    assert_int_equal(v.list.count, 3);
    assert_string_equal(v.list.items[1], "top(f,10) as x");
    option_fini(table, ROWS, &v);
    assert_null(v.name);
    assert_int_equal(v.list.count, 0);
}

static void bad_values_are_refused_and_change_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *key, *text, *says;
    } cases[] = {
        {"a.yes", "yes", "\"a.yes\" is \"yes\", which is not true or false"},
        {"a.yes", "", "not true or false"},
        {"a.count", "11", "\"a.count\" is 11, but must be from 1 to 10"},
        {"a.count", "0", "from 1 to 10"},
        {"a.count", "5.0", "not a whole number"},
        {"a.count", "99999999999999999999", "not a whole number"},
        {"a.wait", "500ms", "from 1s to 1h"},
        {"a.wait", "soon", "not a duration such as"},
        {"a.wait", "-1s", "not a duration such as"},
        {"a.size", "12", "must be at least 1KiB"},
        {"a.size", "1gb", "not a size such as"},
        {"a.color", "gren", "must be one of red|green|blue; did you mean \"green\""},
        {"a.color", "Red", "did you mean \"red\""},
        {"a.color", "", "must be one of red|green|blue"},
        {"a.share", "1.5", "from 0 to 1"},
        {"a.share", "nan", "not a number"},
        {"a.share", "0x1", "not a number"},
        {"a.share", "1e999", "not a number"},
        {"a.share", "", "not a number"},
        {"a.name", "123456", "\"a.name\" has 6 bytes, more than the 5"},
        {"a.name", "a\xff", "UTF-8"},
    };
    struct values v = {0};
    option_defaults(table, ROWS, &v);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err err = {0};
        assert_int_equal(option_set(row(cases[i].key), &v, str_of(cases[i].text), &err), ERR_REJECT);
        assert_int_equal(err.code, EXIT_CONFIG);
        if (!strstr(err.text, cases[i].says)) {
            fail_msg("%s = %s: %s", cases[i].key, cases[i].text, err.text);
        }
    }
    assert_int_equal(v.count, 5);
    assert_int_equal(v.color, 1);
    assert_true(v.share == 0.25);
    assert_string_equal(v.name, "x");
    option_fini(table, ROWS, &v);
}

static void secrets_do_not_show_in_errors(void **state)
{
    (void)state;
    struct values v = {0};
    struct err err = {0};
    option_defaults(table, ROWS, &v);
    assert_int_equal(option_set(row("a.secret"), &v, STR("hunter2-hunter2"), &err), ERR_REJECT);
    assert_null(strstr(err.text, "hunter2"));
    assert_int_equal(option_set(row("a.secret"), &v, STR("h2\xff"), &err), ERR_REJECT);
    assert_null(strstr(err.text, "h2"));
    option_fini(table, ROWS, &v);
}

static void suggestions(void **state)
{
    (void)state;
    static const char *const known[] = {"overlap", "horizon", "url", "contact", "idle_after"};
    assert_string_equal(suggest(STR("overlapp"), known, 5), "overlap");
    assert_string_equal(suggest(STR("ovrelap"), known, 5), "overlap");
    assert_string_equal(suggest(STR("horzon"), known, 5), "horizon");
    assert_string_equal(suggest(STR("idleafter"), known, 5), "idle_after");
    assert_string_equal(suggest(STR("ulr"), known, 5), "url");
    assert_null(suggest(STR("zzz"), known, 5));
    assert_null(suggest(STR("something"), known, 5));
    assert_null(suggest(STR(""), known, 5));
    char long_word[500];
    memset(long_word, 'a', sizeof long_word);
    assert_null(suggest(str_n(long_word, sizeof long_word), known, 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_and_round_trip),
        cmocka_unit_test(bad_values_are_refused_and_change_nothing),
        cmocka_unit_test(secrets_do_not_show_in_errors),
        cmocka_unit_test(suggestions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
