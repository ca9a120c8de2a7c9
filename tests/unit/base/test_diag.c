/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/diag.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static FILE *out;
static char text[1 << 20];

static int begin(void **state)
{
    (void)state;
    out = tmpfile();
    diag_setup(DIAG_INFO, false, fileno(out));
    return out ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    diag_flush();
    return fclose(out);
}

/* All that was printed since begin. -> number of lines */
static size_t printed(void)
{
    rewind(out);
    size_t len = fread(text, 1, sizeof text - 1, out), lines = 0;
    text[len] = '\0';
    for (size_t i = 0; i < len; i++) {
        lines += text[i] == '\n';
    }
    return lines;
}

static void levels_and_form(void **state)
{
    (void)state;
    diag_debug("source", "not shown");
    diag_warn("source", "cut after %d s", 7);
    assert_int_equal(printed(), 1);
    struct str line = str_of(text);
    int64_t us;
    assert_true(time_parse_rfc3339(str_n(text, 24), &us));
    assert_true(llabs(us - clock_wall(&clock_real)) < 60 * US_PER_SECOND);
    assert_true(str_ends(line, STR("Z warn source: cut after 7 s\n")));
    assert_true(diag_enabled(DIAG_INFO) && !diag_enabled(DIAG_DEBUG));
}

static void json_form(void **state)
{
    (void)state;
    diag_setup(DIAG_DEBUG, true, fileno(out));
    diag_debug("sink", "say \"%s\"", "\x1b\n");
    assert_int_equal(printed(), 1);
    assert_non_null(
        strstr(text, "\",\"level\":\"debug\",\"room\":\"sink\",\"message\":\"say \\\"\\\\x1b\\\\x0a\\\"\"}\n"));
    assert_int_equal(text[0], '{');
}

static void untrusted_text_stays_on_its_line(void **state)
{
    (void)state;
    char long_text[5000];
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    diag_error("change", "title %s", "a\n2026 fake line\x1b[2J\xe2\x80\xae");
    diag_error("change", "%s", long_text);
    assert_int_equal(printed(), 2);
    assert_non_null(strstr(text, "a\\x0a2026 fake line\\x1b[2J\\u{202e}\n"));
    assert_int_equal(strlen(strchr(text, '\n') + 1), 1024 + strlen("2026-11-21T08:00:00.000Z error change: \n"));
}

static void say(int i)
{
    diag_info("task", "message %d", i); /* one site */
}

static void bursts_are_counted(void **state)
{
    (void)state;
    for (int i = 0; i < 500; i++) {
        say(i);
    }
    assert_int_equal(printed(), DIAG_BURST);
    diag_info("task", "another site"); /* is not held back */
    assert_int_equal(printed(), DIAG_BURST + 1);
    diag_flush();
    assert_int_equal(printed(), DIAG_BURST + 2);
    assert_non_null(strstr(text, "info task: 480 more messages like the last ones were not printed\n"));
    diag_flush();
    assert_int_equal(printed(), DIAG_BURST + 2);
}

static void *say_much(void *arg)
{
    for (int i = 0; i < 200; i++) {
        diag_error("journal", "from a thread, number %d", i);
    }
    return arg;
}

static void lines_of_threads_stay_whole(void **state)
{
    (void)state;
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, say_much, NULL), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(printed(), DIAG_BURST);
    struct str rest = str_of(text), line;
    while (str_split(&rest, '\n', &line) && line.len) {
        assert_true(str_starts(str_n(line.ptr + 24, line.len - 24), STR(" error journal: from a thread, number ")));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(levels_and_form, begin, end),
        cmocka_unit_test_setup_teardown(json_form, begin, end),
        cmocka_unit_test_setup_teardown(untrusted_text_stays_on_its_line, begin, end),
        cmocka_unit_test_setup_teardown(bursts_are_counted, begin, end),
        cmocka_unit_test_setup_teardown(lines_of_threads_stay_whole, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
