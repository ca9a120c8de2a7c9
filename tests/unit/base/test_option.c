/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/option.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

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
    long_word[70] = '\0';
    static const char *const most = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const char *const long_names[] = {long_word, most};
    assert_ptr_equal(suggest(str_n(long_word, 64), long_names, 2), most);
    assert_null(suggest(str_n(long_word, 64), long_names, 1)); /* longer ones are nobody's neighbours */
}

/* Rows that are bounded on one side, by nothing, or by very much. */
struct more {
    int64_t count, most, word;
    double any, least, top;
    struct string_list list;
};

#define MORE(member) offsetof(struct more, member)
static const struct option more_rows[] = {
    {.key = "b.count", .type = OPTION_INT, .offset = MORE(count)},
    {.key = "b.most", .type = OPTION_INT, .offset = MORE(most), .initial = "1", .max = "5"},
    {.key = "b.any", .type = OPTION_DOUBLE, .offset = MORE(any), .initial = "1"},
    {.key = "b.least", .type = OPTION_DOUBLE, .offset = MORE(least), .initial = "1", .min = "0.5"},
    {.key = "b.top", .type = OPTION_DOUBLE, .offset = MORE(top), .initial = "1", .max = "1e3"},
    {.key = "b.list", .type = OPTION_LIST, .offset = MORE(list), .initial = "one", .max = "3"},
    {.key = "b.word",
     .type = OPTION_ENUM,
     .offset = MORE(word),
     .choices = "w00|w01|w02|w03|w04|w05|w06|w07|w08|w09|w10|w11|w12|w13|w14|w15|w16|w17|w18|w19|w20|w21|w22|w23|w24|"
                "w25|w26|w27|w28|w29|w30|w31|elephants|giraffes"},
};
enum { MORE_ROWS = sizeof more_rows / sizeof *more_rows };

static const struct option *more_row(const char *key)
{
    const struct option *o = option_find(more_rows, MORE_ROWS, str_of(key));
    assert_non_null(o);
    return o;
}

/* It reads back as it was written, so that what is shown can be set again. */
static void takes(struct more *m, const char *key, const char *text, const char *shown)
{
    AUTO(buf) struct buf b = {0};
    struct err err = {0};
    if (option_set(more_row(key), m, str_of(text), &err)) {
        fail_msg("%s", err.text);
    }
    option_show(more_row(key), m, &b);
    assert_string_equal(b.ptr, shown);
}

static void refuses(struct more *m, const char *key, struct str text, const char *says)
{
    AUTO(buf) struct buf before = {0}, after = {0};
    struct err err = {0};
    option_show(more_row(key), m, &before);
    assert_int_equal(option_set(more_row(key), m, text, &err), ERR_REJECT);
    assert_int_equal(err.code, EXIT_CONFIG);
    if (!strstr(err.text, says)) {
        fail_msg("no \"%s\" in \"%s\"", says, err.text);
    }
    option_show(more_row(key), m, &after);
    assert_true(str_eq(buf_str(&before), buf_str(&after)));
}

static void a_bound_that_a_row_does_not_have_binds_nobody(void **state)
{
    (void)state;
    struct more m = {.count = 77};
    option_defaults(more_rows, MORE_ROWS, &m);
    assert_int_equal(m.count, 77); /* no default: what stands there stays */
    takes(&m, "b.count", "-9223372036854775808", "-9223372036854775808");
    takes(&m, "b.count", "9223372036854775807", "9223372036854775807");
    takes(&m, "b.most", "-1000000", "-1000000");
    takes(&m, "b.most", "5", "5");
    refuses(&m, "b.most", STR("6"), "\"b.most\" is 6, but must be at most 5");
    takes(&m, "b.any", "-1e300", "-1e+300");
    takes(&m, "b.least", "1e300", "1e+300");
    takes(&m, "b.least", "0.5", "0.5");
    refuses(&m, "b.least", STR("0.25"), "\"b.least\" is 0.25, but must be at least 0.5");
    takes(&m, "b.top", "-1e300", "-1e+300");
    takes(&m, "b.top", "1000", "1000");
    refuses(&m, "b.top", STR("1000.5"), "\"b.top\" is 1000.5, but must be at most 1e3");
    option_fini(more_rows, MORE_ROWS, &m);
}

static void what_no_number_is(void **state)
{
    (void)state;
    struct more m = {0};
    option_defaults(more_rows, MORE_ROWS, &m);
    static const char *const texts[] = {"1e", "1-2", "--1", "1.2.3", "+", "."};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        refuses(&m, "b.any", str_of(texts[i]), "which is not a number");
        refuses(&m, "b.count", str_of(texts[i]), "which is not a whole number");
    }
    refuses(&m, "b.any", STR("0.0000000000000000000000000000000000000001"),
            "which is not a number"); /* over 40 bytes */
    option_fini(more_rows, MORE_ROWS, &m);
}

/* As few digits as will do, but never another value. */
static void a_double_is_shown_as_it_is(void **state)
{
    (void)state;
    static const char *const texts[] = {"0.1", "0.123456", "0.1234567", "123456789", "0.30000000000000004"};
    struct more m = {0};
    option_defaults(more_rows, MORE_ROWS, &m);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        takes(&m, "b.any", texts[i], texts[i]);
    }
    option_fini(more_rows, MORE_ROWS, &m);
}

static void items_of_a_list(void **state)
{
    (void)state;
    struct more m = {0};
    option_defaults(more_rows, MORE_ROWS, &m);
    takes(&m, "b.list", "long enough, b", "long enough, b"); /* max is of a text's bytes */
    takes(&m, "b.list", " a ,, b,", "a, b");
    takes(&m, "b.list", "top(a,2), b), c", "top(a,2), b), c");
    assert_int_equal(m.list.count, 3); /* a ")" too many opens nothing */
    refuses(&m, "b.list", STR("a, \xff"), "UTF-8");
    refuses(&m, "b.list", STR("a\0b"), "without NUL");
    AUTO(buf) struct buf text = {0};
    for (int i = 0; i < 1000; i++) {
        buf_addz(&text, i ? ", x" : "x");
    }
    takes(&m, "b.list", text.ptr, text.ptr);
    assert_int_equal(m.list.count, 1000);
    buf_addz(&text, ", x");
    refuses(&m, "b.list", buf_str(&text), "\"b.list\" has more than 1000 items");
    option_fini(more_rows, MORE_ROWS, &m);
}

/* Only the first 32 are candidates for "did you mean"; all of them can be set. */
static void many_choices(void **state)
{
    (void)state;
    struct more m = {0};
    struct err err = {0};
    option_defaults(more_rows, MORE_ROWS, &m);
    takes(&m, "b.word", "giraffes", "giraffes");
    assert_int_equal(m.word, 33);
    refuses(&m, "b.word", STR("w1"), "; did you mean \"w01\"");
    assert_int_equal(option_set(more_row("b.word"), &m, STR("elephant"), &err), ERR_REJECT);
    assert_null(strstr(err.text, "did you mean"));
    assert_int_equal(m.word, 33);
    option_fini(more_rows, MORE_ROWS, &m);
}

/* A message shows 200 bytes of a text, and a text that is not there as an empty one. */
static void long_and_missing_texts(void **state)
{
    (void)state;
    struct values v = {0};
    char text[301];
    memset(text, 'y', 300);
    text[300] = '\0';
    static const char *const keys[] = {"a.yes", "a.count", "a.share", "a.color"};
    option_defaults(table, ROWS, &v);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        struct err err = {0};
        assert_int_equal(option_set(row(keys[i]), &v, str_of(text), &err), ERR_REJECT);
        AUTO(buf) struct buf cut = {0}, empty = {0};
        buf_addf(&cut, "\"%s\" is \"%.200s\", ", keys[i], text);
        assert_non_null(strstr(err.text, cut.ptr));
        assert_int_equal(option_set(row(keys[i]), &v, str_n(NULL, 0), &err), ERR_REJECT);
        buf_addf(&empty, "\"%s\" is \"\", ", keys[i]);
        assert_non_null(strstr(err.text, empty.ptr));
    }
    assert_true(v.yes && v.count == 5 && v.share == 0.25 && v.color == 1);
    option_fini(table, ROWS, &v);
}

static void a_row_of_no_type_is_a_bug_that_is_said(void **state)
{
    (void)state;
    struct more m = {.count = 5};
    struct option odd = {.key = "b.odd", .type = OPTION_INT, .offset = MORE(count)};
    AUTO(buf) struct buf shown = {0};
    struct err err = {0};
    odd.type = (enum option_type)(OPTION_LIST + 1);
    assert_int_equal(option_set(&odd, &m, STR("7"), &err), ERR_FATAL);
    assert_int_equal(err.code, EXIT_INTERNAL);
    assert_string_equal(err.text, "\"b.odd\" has no type");
    option_show(&odd, &m, &shown);
    assert_int_equal(shown.len, 0);
    assert_int_equal(m.count, 5);
}

/* A table's mistake ends the first run of whoever made it, with the key and the bound that it breaks. */
static void a_default_that_its_own_row_refuses_ends_the_program(void **state)
{
    (void)state;
    static const struct option wrong = {
        .key = "b.wrong", .type = OPTION_INT, .offset = MORE(count), .initial = "9", .max = "5"};
    FILE *said = tmpfile();
    assert_non_null(said);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct more m = {0};
        dup2(fileno(said), STDERR_FILENO);
        option_defaults(&wrong, 1, &m);
        _exit(0);
    }
    int status;
    char text[300] = "";
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    rewind(said);
    assert_non_null(fgets(text, sizeof text, said));
    assert_string_equal(text, "wikitally: the default of b.wrong: \"b.wrong\" is 9, but must be at most 5\n");
    fclose(said);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_and_round_trip),
        cmocka_unit_test(bad_values_are_refused_and_change_nothing),
        cmocka_unit_test(secrets_do_not_show_in_errors),
        cmocka_unit_test(suggestions),
        cmocka_unit_test(a_bound_that_a_row_does_not_have_binds_nobody),
        cmocka_unit_test(what_no_number_is),
        cmocka_unit_test(a_double_is_shown_as_it_is),
        cmocka_unit_test(items_of_a_list),
        cmocka_unit_test(many_choices),
        cmocka_unit_test(long_and_missing_texts),
        cmocka_unit_test(a_row_of_no_type_is_a_bug_that_is_said),
        cmocka_unit_test(a_default_that_its_own_row_refuses_ends_the_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
