/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/fault.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef WIKITALLY_FAULTS

static void named_clauses_go(void **state)
{
    (void)state;
    setenv("WIKITALLY_FAULTS", "R3.order,R4.pair", 1);
    fault_reload();
    assert_true(fault("R3.order"));
    assert_true(fault("R4.pair"));
    assert_false(fault("R3.orde"));
    assert_false(fault("R3.order,R4.pair"));
    unsetenv("WIKITALLY_FAULTS");
    fault_reload();
    assert_false(fault("R3.order"));
}

static void errors_come_at_their_count(void **state)
{
    (void)state;
    setenv("WIKITALLY_FAILPOINT", "a:error@3,b:error@1", 1);
    fault_reload();
    assert_false(failpoint("a"));
    assert_true(failpoint("b"));
    assert_false(failpoint("a"));
    assert_true(failpoint("a"));
    assert_false(failpoint("a"));
    assert_false(failpoint("b"));
    assert_false(failpoint("c"));
    unsetenv("WIKITALLY_FAILPOINT");
    fault_reload();
    assert_false(failpoint("a"));
}

static void an_error_has_a_name(void **state)
{
    (void)state;
    struct err e = {0};
    setenv("WIKITALLY_FAILPOINT", "a:error@2", 1);
    fault_reload();
    assert_int_equal(failpoint_err("a", &e), ERR_NONE);
    assert_int_equal(failpoint_err("a", &e), ERR_FATAL);
    assert_int_equal(err_exit_code(&e), EXIT_IOERR);
    assert_string_equal(e.text, "failpoint \"a\"");
    unsetenv("WIKITALLY_FAILPOINT");
    fault_reload();
    assert_false(failpoint_list("version"));
}

static int run_in_child(const char *failpoints)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (!freopen("/dev/null", "w", stderr)) {
            _exit(99);
        }
        setenv("WIKITALLY_FAILPOINT", failpoints, 1);
        fault_reload();
        failpoint("x");
        failpoint("x");
        failpoint("y");
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void kills_at_its_count(void **state)
{
    (void)state;
    int status = run_in_child("x:kill@2");
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    status = run_in_child("x:kill@3");
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    status = run_in_child("x:after@2");
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    status = run_in_child("y:after@1"); /* nothing comes after it */
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void mistakes_are_not_silent(void **state)
{
    (void)state;
    static const char *const bad[] = {"x", "x:kill", "x:kill@", "x:kill@0", "x:stop@1", ":kill@1", "x:kill@a"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int status = run_in_child(bad[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(named_clauses_go),        cmocka_unit_test(errors_come_at_their_count),
        cmocka_unit_test(an_error_has_a_name),     cmocka_unit_test(kills_at_its_count),
        cmocka_unit_test(mistakes_are_not_silent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

/* A release build holds neither: asking costs nothing and the answer is no, whatever the environment says. */
static void nothing_is_compiled_in(void **state)
{
    (void)state;
    setenv("WIKITALLY_FAULTS", "R3.order", 1);
    setenv("WIKITALLY_FAILPOINT", "x:kill@1", 1);
    fault_reload();
    assert_false(fault("R3.order"));
    assert_false(failpoint("x"));
    assert_int_equal(failpoint_err("x", NULL), ERR_NONE);
    assert_false(failpoint_list("--list-failpoints"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_is_compiled_in)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
