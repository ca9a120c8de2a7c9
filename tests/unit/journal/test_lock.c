/* SPDX-License-Identifier: MIT
 *
 * The directory's lock (C-S2): what stands in its way and how that is said, and that it holds without its text. Calls
 * that no directory of ours makes fail are made to fail here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/fault.h"
#include "journal/lock.h"

#include "../../contract/store_dir.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

/* What the next call says instead of doing it; 0: nothing. */
static int lock_errno, mkdir_errno;

int __real_fcntl64(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, void *lock);
int __real_mkdir(const char *path, mode_t mode);
int __wrap_mkdir(const char *path, mode_t mode);

int __wrap_fcntl64(int fd, int command, void *lock)
{
    if (command == F_OFD_SETLK && lock_errno != 0) {
        errno = lock_errno;
        return -1;
    }
    return __real_fcntl64(fd, command, lock);
}

/* As it is where what is there may not even be asked for. */
int __wrap_mkdir(const char *path, mode_t mode)
{
    if (mkdir_errno != 0 && access(path, F_OK) == 0) {
        errno = mkdir_errno;
        return -1;
    }
    return __real_mkdir(path, mode);
}

static int set_up(void **state)
{
    struct store_dir *d = xcalloc(1, sizeof *d);
    store_dir_init(d);
    lock_errno = mkdir_errno = 0;
    *state = d;
    return 0;
}

static int tear_down(void **state)
{
    struct store_dir *d = *state;
    store_dir_fini(d);
    free(d);
    return 0;
}

static void path_of(const struct store_dir *d, const char *name, char ret[200])
{
    snprintf(ret, 200, "%s/%s", d->path, name);
}

static int take_ok(const struct store_dir *d)
{
    struct err e = {0};
    int fd = -1;
    assert_ok(lock_take(d->path, &fd, &e), e);
    assert_true(fd >= 0);
    return fd;
}

static void assert_refused(const char *directory, int code, const char *text)
{
    struct err e = {0};
    int fd = -1;
    assert_error(lock_take(directory, &fd, &e), e, ERR_FATAL, code);
    assert_int_equal(fd, -1);
    if (strstr(e.text, text) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", text, e.text);
    }
}

static void text_write(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void C_S2_who_holds_the_lock_is_named_if_it_said_so(void **state)
{
    const struct store_dir *d = *state;
    char lock[200], pid[64];
    path_of(d, "lock", lock);
    int fd = take_ok(d);
    snprintf(pid, sizeof pid, "is in use by process %ld", (long)getpid());
    assert_refused(d->path, EXIT_IN_USE, pid);
    static const char *const unreadable[] = {"", "\n", "12 34\n", "somebody\n", "99999999999999999999\n"};
    for (size_t i = 0; i < sizeof unreadable / sizeof *unreadable; i++) {
        text_write(lock, unreadable[i]);
        assert_refused(d->path, EXIT_IN_USE, "is in use by another process");
    }
    close(fd);
    close(take_ok(d)); /* whatever it says: nobody holds it */
}

static void C_S2_lock_refused_is_in_use_or_cannot_lock(void **state)
{
    const struct store_dir *d = *state;
    static const struct {
        int errnum, code;
        const char *text;
    } cases[] = {{EACCES, EXIT_IN_USE, "is in use by another process"},
                 {EAGAIN, EXIT_IN_USE, "is in use by another process"},
                 {ENOLCK, EXIT_CANTCREAT, "cannot lock \""},
                 {EINVAL, EXIT_CANTCREAT, "/lock\": Invalid argument"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lock_errno = cases[i].errnum;
        assert_refused(d->path, cases[i].code, cases[i].text);
    }
    lock_errno = 0;
    close(take_ok(d));
}

static void C_S2_lock_holds_without_its_text(void **state)
{
    const struct store_dir *d = *state;
    struct rlimit before, none;
    struct err e = {0};
    int fd = -1;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    none = (struct rlimit){0, before.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0); /* as on a full disk: not a byte may be written */
    enum err_class c = lock_take(d->path, &fd, &e);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, handler);
    assert_ok(c, e);
    assert_refused(d->path, EXIT_IN_USE, "is in use by another process");
    close(fd);
}

/* What lies there as "lock" and is none of ours stays as it is. */
static void lock_that_is_no_file_is_refused(void **state)
{
    const struct store_dir *d = *state;
    char lock[200], other[200], text[16] = "";
    path_of(d, "lock", lock);
    path_of(d, "other", other);
    text_write(other, "mine\n");
    assert_int_equal(symlink("other", lock), 0);
    assert_refused(d->path, EXIT_CANTCREAT, "cannot open \"");
    FILE *f = fopen(other, "r");
    assert_non_null(f);
    assert_non_null(fgets(text, sizeof text, f));
    fclose(f);
    assert_string_equal(text, "mine\n");
    assert_int_equal(unlink(lock), 0);
    assert_int_equal(mkdir(lock, 0700), 0);
    assert_refused(d->path, EXIT_CANTCREAT, "/lock\": Is a directory");
    assert_int_equal(rmdir(lock), 0);
}

static void directory_is_made_with_its_parents_for_us_alone(void **state)
{
    const struct store_dir *d = *state;
    char parent[200], child[200], name[220];
    struct err e = {0};
    struct stat st;
    int fd = -1;
    path_of(d, "a", parent);
    path_of(d, "a/b/", child);
    assert_ok(lock_take(child, &fd, &e), e);
    assert_true(stat(parent, &st) == 0 && (st.st_mode & 0777) == 0700);
    assert_true(stat(child, &st) == 0 && (st.st_mode & 0777) == 0700);
    close(fd);
    snprintf(name, sizeof name, "%slock", child);
    assert_int_equal(unlink(name), 0);
    assert_int_equal(rmdir(child), 0);
    assert_int_equal(rmdir(parent), 0);
}

static void directory_that_cannot_be_made_is_named(void **state)
{
    const struct store_dir *d = *state;
    char file[200], below[200], deeper[200], quoted[260];
    path_of(d, "file", file);
    path_of(d, "file/below", below);
    path_of(d, "file/below/deeper", deeper);
    text_write(file, "");
    snprintf(quoted, sizeof quoted, "cannot make the directory \"%s\": Not a directory", below);
    assert_refused(below, EXIT_CANTCREAT, quoted);
    assert_refused(deeper, EXIT_CANTCREAT, quoted); /* the first that cannot */
    assert_refused("", EXIT_CANTCREAT, "cannot make the directory \"\"");
}

/* A parent may refuse to be made although it is there: on a network, or for a process that may only look. */
static void parents_that_are_there_need_not_be_made(void **state)
{
    const struct store_dir *d = *state;
    char child[200], name[220];
    struct err e = {0};
    int fd = -1;
    path_of(d, "child", child);
    static const int answers[] = {EACCES, EPERM, EROFS};
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        mkdir_errno = answers[i];
        assert_ok(lock_take(child, &fd, &e), e);
        close(fd);
        snprintf(name, sizeof name, "%s/lock", child);
        assert_int_equal(unlink(name), 0);
        assert_int_equal(rmdir(child), 0);
    }
}

static void C_S2_start_that_fails_lets_go_of_the_lock(void **state)
{
    const struct store_dir *d = *state;
#ifdef WIKITALLY_FAULTS
    setenv("WIKITALLY_FAILPOINT", "lock.taken:error@1", 1);
    fault_reload();
    assert_refused(d->path, EXIT_IOERR, "lock.taken");
    unsetenv("WIKITALLY_FAILPOINT");
    fault_reload();
    close(take_ok(d));
#else
    (void)d;
    skip();
#endif
}

#define PLACE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACE(C_S2_who_holds_the_lock_is_named_if_it_said_so),
        PLACE(C_S2_lock_refused_is_in_use_or_cannot_lock),
        PLACE(C_S2_lock_holds_without_its_text),
        PLACE(lock_that_is_no_file_is_refused),
        PLACE(directory_is_made_with_its_parents_for_us_alone),
        PLACE(directory_that_cannot_be_made_is_named),
        PLACE(parents_that_are_there_need_not_be_made),
        PLACE(C_S2_start_that_fails_lets_go_of_the_lock),
    };
    return cmocka_run_group_tests_name("journal lock", tests, NULL, NULL);
}
