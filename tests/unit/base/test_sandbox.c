/* SPDX-License-Identifier: MIT
 *
 * test_sandbox.c - what a process that has shut itself in can still do, and what not. Each in a process of its own,
 * which ends with the number of the line that failed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/sandbox.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char inside[] = "/tmp/wikitally-inside-XXXXXX", outside[] = "/tmp/wikitally-outside-XXXXXX";
static bool landlock, seccomp;

/* In the process of its own: cmocka's asserts would jump back into the test program. */
#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            return __LINE__;                                                                                           \
    } while (0)

static int enter(void)
{
    struct sandbox_rules rules = {0};
    struct sandbox s = {0};
    struct err err = {0};
    sandbox_allow(&rules, SANDBOX_WRITE, inside);
    sandbox_allow(&rules, SANDBOX_READ, "/usr");
    sandbox_allow(&rules, SANDBOX_READ, "/nonexistent");
    MUST(sandbox_enter(&rules, &s, &err) == ERR_NONE);
    sandbox_rules_fini(&rules);
    landlock = s.landlock > 0;
    seccomp = s.seccomp;
    return 0;
}

/* -> what it ended with: 0 if all was as it must be */
static void in_a_process(int (*body)(void))
{
    int status;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        int line = enter();
        line = line ? line : body();
        if (line) {
            fprintf(stderr, "test_sandbox.c:%d: not so\n", line);
        }
        _exit(line != 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static char *name(const char *directory, const char *file)
{
    static char paths[4][128];
    static size_t next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", directory, file);
    return path;
}

static int files_inside(void)
{
    int fd = open(name(inside, "a"), O_RDWR | O_CREAT | O_TRUNC, 0600);
    MUST(fd >= 0 && write(fd, "text", 4) == 4 && ftruncate(fd, 2) == 0 && fsync(fd) == 0);
    MUST(close(fd) == 0 && rename(name(inside, "a"), name(inside, "b")) == 0 && unlink(name(inside, "b")) == 0);
    MUST(mkdir(inside, 0700) != 0 && errno == EEXIST); /* as who makes sure that it is there */
    fd = open(inside, O_RDONLY | O_DIRECTORY);
    MUST(fd >= 0 && fsync(fd) == 0);
    return 0;
}

static int files_outside(void)
{
    MUST(!landlock || (open(name(outside, "there"), O_RDONLY) < 0 && errno == EACCES));
    MUST(!landlock || (open(name(outside, "new"), O_WRONLY | O_CREAT, 0600) < 0 && errno == EACCES));
    MUST(!landlock || (unlink(name(outside, "there")) != 0 && errno == EACCES));
    MUST(!landlock || (rename(name(outside, "there"), name(inside, "there")) != 0));
    MUST(!landlock || (open("/usr/wikitally-test", O_WRONLY | O_CREAT, 0600) < 0 && errno == EACCES));
    MUST(!landlock || (mkdir(name(inside, "directory"), 0700) != 0 && errno == EACCES));
    MUST(open("/usr", O_RDONLY | O_DIRECTORY) >= 0);
    return 0;
}

static void *count(void *at)
{
    return (char *)at + 1;
}

static int threads_and_sockets(void)
{
    pthread_t thread;
    void *counted;
    int ends[2];
    char buffer[1];
    MUST(pthread_create(&thread, NULL, count, buffer) == 0 && pthread_join(thread, &counted) == 0);
    MUST(counted == buffer + 1);
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 && socket(AF_INET, SOCK_STREAM, 0) >= 0);
    MUST(socket(AF_INET6, SOCK_DGRAM, 0) >= 0 && socket(AF_NETLINK, SOCK_RAW, 0) >= 0);
    MUST(kill(getpid(), 0) == 0 && raise(SIGCONT) == 0);
    MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
    return 0;
}

static int what_an_intruder_would(void)
{
    char *const none[] = {NULL};
    struct rlimit limit = {1 << 20, 1 << 20};
    if (!seccomp) {
        return 0;
    }
    MUST(fork() < 0 && errno == EPERM);
    MUST(execve("/bin/true", none, none) != 0 && errno == EPERM);
    MUST(socket(AF_PACKET, SOCK_RAW, 0) < 0 && errno == EPERM);
    MUST(socket(40 /* AF_VSOCK */, SOCK_STREAM, 0) < 0 && errno == EPERM);
    MUST(kill(getppid(), 0) != 0 && errno == EPERM);
    MUST(setuid(0) != 0 && errno == EPERM);
    MUST(setrlimit(RLIMIT_CORE, &limit) != 0 && errno == EPERM);
    MUST(chmod(inside, 0777) != 0 && errno == EPERM);
    MUST(symlink("/etc", name(inside, "link")) != 0 && errno == EPERM);
    MUST(memfd_create("program", 0) < 0 && errno == EPERM);
    return 0;
}

#define TEST(body)                                                                                                     \
    static void body##_(void **state)                                                                                  \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        in_a_process(body);                                                                                            \
    }
TEST(files_inside)
TEST(files_outside)
TEST(threads_and_sockets)
TEST(what_an_intruder_would)

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(inside) || !mkdtemp(outside)) {
        return -1;
    }
    int fd = open(name(outside, "there"), O_WRONLY | O_CREAT | O_EXCL, 0600);
    return fd < 0 ? -1 : close(fd);
}

static int tear_down(void **state)
{
    (void)state;
    unlink(name(outside, "there"));
    rmdir(outside);
    return rmdir(inside);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_inside_),
        cmocka_unit_test(files_outside_),
        cmocka_unit_test(threads_and_sockets_),
        cmocka_unit_test(what_an_intruder_would_),
    };
    return cmocka_run_group_tests_name("sandbox", tests, set_up, tear_down);
}
