/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/hash.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void set_fills_all(void **state)
{
    (void)state;
    struct err err = {.cls = ERR_RETRY, .code = 99, .text = "old"};
    assert_int_equal(err_set(&err, ERR_REJECT, EXIT_CONFIG, "key \"%s\" is %d", "a.b", 7), ERR_REJECT);
    assert_int_equal(err.cls, ERR_REJECT);
    assert_int_equal(err.code, EXIT_CONFIG);
    assert_string_equal(err.text, "key \"a.b\" is 7");
    assert_int_equal(err_set(NULL, ERR_FATAL, 0, "%s", "nobody listens"), ERR_FATAL);
}

static void untrusted_bytes_are_escaped(void **state)
{
    (void)state;
    struct err err = {0};
    err_set(&err, ERR_REJECT, 0, "title \"%s\"", "a\x1b[31m\r\n\t\x7f\xc2\x9b\xe2\x80\xae\xff\xc3z\xc3\xa9");
    assert_string_equal(err.text, "title \"a\\x1b[31m\\x0d\\x0a\\x09\\x7f\\u{009b}\\u{202e}\\xff\\xc3z\xc3\xa9\"");
}

/* Whatever goes in, what comes out is printable UTF-8 that fits. */
static void random_bytes_give_printable_text(void **state)
{
    (void)state;
    uint64_t seed = hash_random_seed();
    print_message("# seed %llu\n", (unsigned long long)seed);
    struct rng rng;
    rng_init(&rng, seed);
    for (int round = 0; round < 3000; round++) {
        char bytes[1500];
        size_t len = rng_below(&rng, sizeof bytes);
        for (size_t i = 0; i < len; i++) {
            bytes[i] = (char)(1 + rng_below(&rng, 255));
        }
        bytes[len] = '\0';
        struct err err = {0};
        err_set(&err, ERR_REJECT, 0, "%s", bytes);
        err_prefix(&err, "%.100s", bytes);
        struct str text = str_of(err.text);
        assert_true(text.len < sizeof err.text);
        assert_true(str_is_utf8(text));
        for (size_t i = 0; i < text.len; i++) {
            assert_false((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f);
        }
    }
}

static void long_text_is_cut_between_characters(void **state)
{
    (void)state;
    char long_text[3000];
    for (size_t i = 0; i + 1 < sizeof long_text; i += 2) {
        memcpy(long_text + i, "\xc3\xa9", 2);
    }
    long_text[sizeof long_text - 2] = '\0';
    for (size_t offset = 0; offset < 4; offset++) {
        struct err err = {0};
        err_set(&err, ERR_REJECT, 0, "%.*s%s", (int)offset, "abcd", long_text);
        assert_in_range(strlen(err.text), sizeof err.text - 3, sizeof err.text - 1);
        assert_true(str_is_utf8(str_of(err.text)));
        assert_null(strchr(err.text, '\\'));
    }
}

static void errno_says_why_and_chooses_a_code(void **state)
{
    (void)state;
    struct err err = {0};
    assert_int_equal(err_errno(&err, ERR_FATAL, 0, ENOSPC, "cannot write \"%s\"", "x"), ERR_FATAL);
    assert_string_equal(err.text, "cannot write \"x\": No space left on device");
    assert_int_equal(err.code, EXIT_IOERR);
    err_errno(&err, ERR_FATAL, 0, EACCES, "x");
    assert_int_equal(err.code, EXIT_NOPERM);
    err_errno(&err, ERR_FATAL, 0, EMFILE, "x");
    assert_int_equal(err.code, EXIT_OSERR);
    err_errno(&err, ERR_FATAL, EXIT_CONFIG, ENOSPC, "x");
    assert_int_equal(err.code, EXIT_CONFIG);
    err_errno(&err, ERR_RETRY, 0, ECONNREFUSED, "x");
    assert_int_equal(err_exit_code(&err), EXIT_TEMPFAIL);
}

static void prefix_keeps_class_and_code(void **state)
{
    (void)state;
    struct err err = {0};
    err_set(&err, ERR_REJECT, EXIT_DATA, "batch 7 is corrupt");
    assert_int_equal(err_prefix(&err, "journal \"%s\"", "j.db"), ERR_REJECT);
    assert_string_equal(err.text, "journal \"j.db\": batch 7 is corrupt");
    assert_int_equal(err.code, EXIT_DATA);
    assert_int_not_equal(err_prefix(NULL, "x"), ERR_NONE);
}

static void exit_codes_by_class(void **state)
{
    (void)state;
    assert_int_equal(err_exit_code(&(struct err){0}), 0);
    assert_int_equal(err_exit_code(&(struct err){.cls = ERR_RETRY}), 75);
    assert_int_equal(err_exit_code(&(struct err){.cls = ERR_REJECT}), 65);
    assert_int_equal(err_exit_code(&(struct err){.cls = ERR_FATAL}), 70);
    assert_int_equal(err_exit_code(&(struct err){.cls = ERR_FATAL, .code = EXIT_FENCED}), 82);
}

static int in_child(void (*act)(void))
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (!freopen("/dev/null", "w", stderr)) {
            _exit(99);
        }
        act();
        _exit(98);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void failing_ensure(void)
{
    ensure(1 == 2);
}

static void out_of_memory_ends_with_oserr(void **state)
{
    (void)state;
    int status = in_child(die_no_memory);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), EXIT_OSERR);
    status = in_child(failing_ensure);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void auto_and_take(void **state)
{
    (void)state;
    char *kept = NULL;
    {
        AUTO_FREE char *a = xmalloc(10);
        AUTO_FREE char *b = xmalloc(10); /* the leak checker sees it if it is not freed */
        memset(b, 0, 10);
        kept = TAKE(a);
        assert_null(a);
    }
    assert_non_null(kept);
    free(kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_fills_all),
        cmocka_unit_test(untrusted_bytes_are_escaped),
        cmocka_unit_test(random_bytes_give_printable_text),
        cmocka_unit_test(long_text_is_cut_between_characters),
        cmocka_unit_test(errno_says_why_and_chooses_a_code),
        cmocka_unit_test(prefix_keeps_class_and_code),
        cmocka_unit_test(exit_codes_by_class),
        cmocka_unit_test(out_of_memory_ends_with_oserr),
        cmocka_unit_test(auto_and_take),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
