/* SPDX-License-Identifier: MIT
 *
 * Variables of the process and of a file, ${NAME} in values, and the files that a configuration is read from.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config_support.h"

#include "app/config_private.h"

#include <fcntl.h>

/* ---- the process's variables */

static void a_variable_is_found_by_its_name(void **state)
{
    (void)state;
    enum { MANY = 200 };
    static char texts[MANY][32];
    const char *list[MANY + 5] = {"", "NO_EQUALS", "EMPTY=", "URL=a=b=c"};
    for (int i = 0; i < MANY; i++) {
        snprintf(texts[i], sizeof texts[i], "V%d=%d", i, i * 7);
        list[4 + i] = texts[i];
    }
    struct environment e = {0};
    environment_add(&e, list);
    assert_int_equal(e.count, MANY + 2);
    for (int i = 0; i < MANY; i++) {
        char name[16], value[16], place[64];
        snprintf(name, sizeof name, "V%d", i);
        snprintf(value, sizeof value, "%d", i * 7);
        snprintf(place, sizeof place, "environment V%d", i);
        const struct variable *v = environment_get(&e, str_of(name));
        assert_non_null(v);
        assert_true(str_eqz(v->value, value));
        assert_string_equal(v->place, place);
        assert_false(v->from_file);
    }
    assert_true(str_eqz(environment_get(&e, STR("EMPTY"))->value, ""));
    assert_true(str_eqz(environment_get(&e, STR("URL"))->value, "a=b=c"));
    assert_null(environment_get(&e, STR("NO_EQUALS")));
    assert_null(environment_get(&e, STR("")));
    assert_null(environment_get(&e, STR("V")));
    environment_fini(&e);
}

/* ---- names */

static const struct {
    const char *name;
    bool good;
} names[] = {
    {"A", true},    {"Z", true},    {"a", true},    {"z", true},    {"_", true},    {"A0", true},   {"_9", true},
    {"aZ_5", true}, {"9A", false},  {"0", false},   {"A-B", false}, {"A.B", false}, {"A/B", false}, {"A:B", false},
    {"A@B", false}, {"A[B", false}, {"A`B", false}, {"A{B", false}, {"A B", false}, {"A~", false},  {"\xc3\xa9", false},
};

static void what_a_variable_may_be_called(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char line[32], inside[32];
        snprintf(line, sizeof line, "%s=1", names[i].name);
        snprintf(inside, sizeof inside, "${%s}", names[i].name);
        struct environment e = {0};
        struct err err = {0};
        AUTO(buf) struct buf out = {0};
        size_t at = 99;
        bool taken = !environment_add_file(&e, write_file("names", line), &err);
        bool found = taken && !environment_replace(&e, str_of(inside), &out, &at, &err);
        if (taken != names[i].good || found != names[i].good) {
            fail_msg("\"%s\": \"%s\"", names[i].name, err.text);
        }
        if (!taken) {
            assert_non_null(strstr(err.text, "names:1:1: not of the form NAME=value"));
            assert_int_equal(e.count, 0);
            assert_int_equal(environment_replace(&e, str_of(inside), &out, &at, &err), ERR_REJECT);
            assert_non_null(strstr(err.text, "is neither ${NAME} nor ${NAME:-default}"));
            assert_int_equal(out.len, 0);
        }
        environment_fini(&e);
    }
}

/* ---- a file of variables */

static void what_a_value_of_a_file_is(void **state)
{
    (void)state;
    static const struct {
        const char *line, *value;
    } cases[] = {
        {"A=", ""},
        {"A=''", ""},
        {"A=\"\"", ""},
        {"A= # why", ""},
        {"A=#b", "#b"},
        {"A=a b", "a b"},
        {"A=a#b", "a#b"},
        {"A=a # b # c", "a"},
        {"A=a ", "a"},
        {"  export A =\ta\r", "a"},
        {"A=it's", "it's"},
        {"A='a\\n' # why", "a\\n"},
        {"A='a # b'", "a # b"},
        {"A=\"a\\tb\\nc\"", "a\tb\nc"},
        {"A=\"\\\\ \\\" \\$ \\q\"", "\\ \" $ q"},
        {"A=\"a'b\"#c", "a'b"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct environment e = {0};
        struct err err = {0};
        if (environment_add_file(&e, write_file("values", cases[i].line), &err)) {
            fail_msg("%s: %s", cases[i].line, err.text);
        }
        assert_int_equal(e.count, 1);
        if (!str_eqz(e.variables[0].value, cases[i].value)) {
            fail_msg("%s: \"%.*s\"", cases[i].line, STR_ARG(e.variables[0].value));
        }
        assert_true(e.variables[0].from_file);
        environment_fini(&e);
    }
}

static void a_bad_line_is_named_and_nothing_of_it_is_taken(void **state)
{
    (void)state;
    static const struct {
        const char *line, *says;
    } cases[] = {
        {"A", ":2:1: not of the form NAME=value"},
        {"=1", ":2:1: not of the form NAME=value"},
        {"  export A", ":2:3: not of the form NAME=value"},
        {"export =1", ":2:1: not of the form NAME=value"},
        {"A=\"x\\", ":2:3: the quoted value of \"A\" does not end"},
        {"A=\"x\\\"", ":2:3: the quoted value of \"A\" does not end"},
        {"A='x", ":2:3: the quoted value of \"A\" does not end"},
        {"A= 'x\\'y'", ":2:4: the quoted value of \"A\" does not end"},
        {"A=\"", ":2:3: the quoted value of \"A\" does not end"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[100], want[4200];
        snprintf(text, sizeof text, "GOOD=1\n%s\nBEHIND=1\n", cases[i].line);
        const char *path = write_file("lines", text);
        struct environment e = {0};
        struct err err = {0};
        assert_int_equal(environment_add_file(&e, path, &err), ERR_REJECT);
        assert_int_equal(err.code, EXIT_CONFIG);
        snprintf(want, sizeof want, "%s%s", path, cases[i].says);
        assert_string_equal(err.text, want);
        assert_int_equal(e.count, 1);
        environment_fini(&e);
    }
}

/* ---- ${NAME} */

static void what_replaces_a_variable(void **state)
{
    (void)state;
    static const char *const list[] = {"WHO=Ann", "EMPTY=", NULL};
    static const struct {
        const char *text, *becomes; /* NULL: refused */
        const char *says;
        size_t at;
    } cases[] = {
        {"", "", NULL, 0},
        {"${WHO}", "Ann", NULL, 0},
        {"${WHO:-Bob}", "Ann", NULL, 0},
        {"${EMPTY}", "", NULL, 0},
        {"${EMPTY:-Bob}", "Bob", NULL, 0},
        {"${NOBODY:-}", "", NULL, 0},
        {"${NOBODY:-a:-b}", "a:-b", NULL, 0},
        {"$WHO $ {WHO} $", "$WHO $ {WHO} $", NULL, 0},
        {"$${WHO} $$", "${WHO} $$", NULL, 0},
        {"a ${NOBODY}", NULL, "the environment has no \"NOBODY\"; set it, or write ${NOBODY:-default}", 2},
        {"ab${}", NULL, "\"${}\" is neither ${NAME} nor ${NAME:-default}; write $${ for a plain ${", 2},
        {"${:-x}", NULL, "\"${:-x}\" is neither ${NAME}", 0},
        {"${WHO:}", NULL, "\"${WHO:}\" is neither ${NAME}", 0},
        {"${WHO:x}", NULL, "\"${WHO:x}\" is neither ${NAME}", 0},
        {"${WHO:x-y}", NULL, "\"${WHO:x-y}\" is neither ${NAME}", 0},
        {"abc${WHO", NULL, "\"${\" without \"}\"; write $${ for a plain ${", 3},
    };
    struct environment e = {0};
    environment_add(&e, list);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO(buf) struct buf out = {0};
        struct err err = {0};
        size_t at = 99;
        bool good = !environment_replace(&e, str_of(cases[i].text), &out, &at, &err);
        if (good != !!cases[i].becomes || (good && !str_eqz(buf_str(&out), cases[i].becomes))) {
            fail_msg("%s: \"%.*s\" %s", cases[i].text, STR_ARG(buf_str(&out)), err.text);
        }
        if (!good && (err.code != EXIT_CONFIG || at != cases[i].at || strncmp(err.text, cases[i].says, 15) != 0 ||
                      !strstr(err.text, cases[i].says))) {
            fail_msg("%s: at %zu: %s", cases[i].text, at, err.text);
        }
    }
    environment_fini(&e);
}

/* ---- files */

struct reading {
    enum err_class cls;
    struct err err;
    bool missing, is_private;
    struct buf text;
};

static struct reading read_file(const char *path, size_t max, size_t buf_max)
{
    struct reading r = {.text = {.max = buf_max}};
    r.cls = config_read_file(path, max, &r.text, &r.missing, &r.is_private, &r.err);
    return r;
}

static void refuses(struct reading r, bool missing, const char *says)
{
    assert_int_equal(r.cls, ERR_REJECT);
    assert_int_equal(r.err.code, EXIT_CONFIG);
    if (!strstr(r.err.text, says)) {
        fail_msg("no \"%s\" in \"%s\"", says, r.err.text);
    }
    assert_int_equal(r.missing, missing);
    buf_fini(&r.text);
}

/* A layer that need not be there is passed over only if it is not there; one that cannot be read is a problem. */
static void a_file_that_is_not_there_is_told_from_one_that_cannot_be_read(void **state)
{
    (void)state;
    write_file("plain", "x");
    refuses(read_file(path_of("none"), 10, 0), true, "No such file or directory");
    refuses(read_file(path_of("plain/below"), 10, 0), true, "Not a directory");
    refuses(read_file(directory, 10, 0), false, "is a directory, not a file");
    char loop[4096];
    snprintf(loop, sizeof loop, "%s", path_of("loop"));
    assert_int_equal(symlink("loop", loop), 0);
    refuses(read_file(loop, 10, 0), false, "Too many levels of symbolic links");
    static const char *const nothing[] = {NULL};
    struct config c = {0};
    struct err err = {0};
    struct config_sources sources = {.system_file = loop, .environment = nothing};
    assert_int_equal(config_load(&sources, &c, &err), ERR_REJECT);
    assert_non_null(strstr(err.text, "/loop\": Too many levels of symbolic links"));
    sources.system_file = path_of("plain/below");
    assert_int_equal(config_load(&sources, &c, &err), ERR_NONE);
    config_fini(&c);
}

static void a_file_is_read_up_to_its_bound(void **state)
{
    (void)state;
    char text[10001];
    memset(text, 'x', 10000);
    text[10000] = '\0';
    const char *path = write_file("long", text);
    struct reading r = read_file(path, 10000, 0);
    assert_int_equal(r.cls, ERR_NONE);
    assert_int_equal(r.text.len, 10000);
    assert_string_equal(r.text.ptr, text);
    buf_fini(&r.text);
    refuses(read_file(path, 9999, 0), false, "/long\" has more than 9999 bytes");
    refuses(read_file(path, 10000, 5000), false, "/long\" has more than 10000 bytes"); /* no room for them */
}

/* It is opened without waiting: nobody at the other end is an empty file, somebody who says nothing an error. */
static void a_fifo_is_not_waited_for(void **state)
{
    (void)state;
    char fifo[4096];
    snprintf(fifo, sizeof fifo, "%s", path_of("fifo"));
    assert_int_equal(mkfifo(fifo, 0600), 0);
    struct reading r = read_file(fifo, 100, 0);
    assert_int_equal(r.cls, ERR_NONE);
    assert_int_equal(r.text.len, 0);
    buf_fini(&r.text);
    int silent = open(fifo, O_RDWR | O_CLOEXEC);
    assert_true(silent >= 0);
    refuses(read_file(fifo, 100, 0), false, "/fifo\": Resource temporarily unavailable");
    close(silent);
}

static void private_is_what_nobody_else_may_touch(void **state)
{
    (void)state;
    static const struct {
        mode_t mode;
        bool is_private;
    } cases[] = {{0600, true}, {0400, true}, {0640, false}, {0620, false}, {0604, false}, {0601, false}};
    const char *path = write_file("secret", "x");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(chmod(path, cases[i].mode), 0);
        struct reading r = read_file(path, 10, 0);
        assert_int_equal(r.cls, ERR_NONE);
        assert_int_equal(r.is_private, cases[i].is_private);
        buf_fini(&r.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_variable_is_found_by_its_name),
        cmocka_unit_test(what_a_variable_may_be_called),
        cmocka_unit_test(what_a_value_of_a_file_is),
        cmocka_unit_test(a_bad_line_is_named_and_nothing_of_it_is_taken),
        cmocka_unit_test(what_replaces_a_variable),
        cmocka_unit_test(a_file_that_is_not_there_is_told_from_one_that_cannot_be_read),
        cmocka_unit_test(a_file_is_read_up_to_its_bound),
        cmocka_unit_test(a_fifo_is_not_waited_for),
        cmocka_unit_test(private_is_what_nobody_else_may_touch),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
