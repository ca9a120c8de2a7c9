/* SPDX-License-Identifier: MIT
 *
 * doctor_sandbox.c - wikitally doctor sandbox: shuts a process of its own in as `run` would be, and lets that one try
 * what must not work. So it says what is, not what the kernel's version promises.
 */
#include "cli/doctor.h"

#include "app/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ANSWER_BYTES = 512 };

/* ---- what must not work; true: it was refused */

static bool open_outside(const char *outside)
{
    int fd = open(outside, O_RDONLY | O_CLOEXEC);
    bool refused = fd < 0 && errno == EACCES;
    if (fd >= 0)
        close(fd);
    return refused;
}

static bool make_outside(const char *outside)
{
    char path[4096 + 32];
    snprintf(path, sizeof path, "%s.doctor", outside);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool refused = fd < 0 && errno == EACCES;
    if (fd >= 0) {
        close(fd);
        unlink(path);
    }
    return refused;
}

static bool start_a_program(const char *outside)
{
    char *const arguments[] = {(char[]){"true"}, NULL};
    (void)outside;
    execv("/bin/true", arguments); /* comes back only if refused */
    return errno == EPERM;
}

static bool start_a_process(const char *outside)
{
    pid_t pid = fork();
    (void)outside;
    if (pid == 0)
        _exit(0);
    return pid < 0 && errno == EPERM;
}

static bool trace_another(const char *outside)
{
    (void)outside;
    return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) < 0 && errno == EPERM;
}

static bool signal_another(const char *outside)
{
    (void)outside;
    return kill(getppid(), 0) < 0 && errno == EPERM;
}

static bool raw_socket(const char *outside)
{
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    (void)outside;
    bool refused = fd < 0 && errno == EPERM;
    if (fd >= 0)
        close(fd);
    return refused;
}

/* In this order: the one that may end the process is last. */
static const struct attempt {
    const char *what;
    bool (*refused)(const char *outside);
    bool is_file; /* Landlock's; else seccomp's */
} attempts[] = {
    {"reading a file outside", open_outside, true},
    {"making a file outside", make_outside, true},
    {"ptrace", trace_another, false},
    {"kill", signal_another, false},
    {"socket(AF_PACKET)", raw_socket, false},
    {"fork", start_a_process, false},
    {"execve", start_a_program, false},
};

/* ---- in the process that tries */

/* One line for the verdict, one for the finding. */
static void try_all(const struct sandbox *s, const char *outside, struct buf *answer)
{
    AUTO(buf) struct buf worked = {0};
    for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++) {
        bool on = attempts[i].is_file ? s->landlock > 0 : s->seccomp;
        if (on && !attempts[i].refused(outside))
            buf_addf(&worked, "%s%s", worked.len ? ", " : "", attempts[i].what);
    }
    buf_addz(answer, worked.len ? "fail\n" : s->landlock && s->seccomp ? "ok\n" : "warn\n");
    if (worked.len)
        buf_addf(answer, "should be refused, but works: %s", worked.ptr);
    else
        confine_describe(s, answer);
}

static void child_main(const struct confine_options *options, const char *outside, int out)
{
    AUTO(buf) struct buf answer = {0};
    struct sandbox_rules rules = {0};
    struct sandbox s = {0};
    struct err err = {0};
    confine_rules(options, &rules);
    if (sandbox_enter(&rules, &s, &err))
        buf_addf(&answer, "fail\n%s", err.text);
    else
        try_all(&s, outside, &answer);
    sandbox_rules_fini(&rules);
    (void)!write(out, answer.ptr, answer.len);
}

/* ---- here */

/* What it wrote; "" if it was killed before. */
static void ask_child(const struct confine_options *options, const char *outside, char *answer)
{
    int ends[2];
    size_t used = 0;
    answer[0] = 0;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return;
    pid_t pid = fork();
    if (pid == 0) {
        child_main(options, outside, ends[1]);
        _exit(0);
    }
    close(ends[1]);
    for (ssize_t n; used < ANSWER_BYTES - 1 && (n = read(ends[0], answer + used, ANSWER_BYTES - 1 - used)) > 0;)
        used += (size_t)n;
    answer[used] = 0;
    close(ends[0]);
    if (pid > 0)
        waitpid(pid, NULL, 0);
}

/* A directory of the journal's that may not be there yet, and a file that is in none of the rules. */
static bool prepare(char *directory, char *outside, size_t outside_bytes)
{
    if (!mkdtemp(directory))
        return false;
    snprintf(outside, outside_bytes, "%s-outside", directory);
    int fd = open(outside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

void doctor_sandbox(struct doctor *d)
{
    char directory[] = "/tmp/wikitally-doctor-XXXXXX", outside[64], answer[ANSWER_BYTES];
    struct source_spec spec = {.kind = SOURCE_KIND_LIVE};
    const struct config *c = &d->cli->config;
    if (c->security.sandbox == SANDBOX_OFF) {
        doctor_say(d, "sandbox", "warn", "wikitally config explain security.sandbox",
                   "switched off: security.sandbox is off");
        return;
    }
    if (!prepare(directory, outside, sizeof outside)) {
        doctor_say(d, "sandbox", "warn", "df /tmp", "cannot be tried: no file in /tmp can be made");
        return;
    }
    struct confine_options options = {.config = c, .source = &spec, .directory = directory};
    ask_child(&options, outside, answer);
    unlink(outside);
    rmdir(directory);
    char *finding = strchr(answer, '\n');
    if (!finding) {
        doctor_say(d, "sandbox", "fail", "set security.sandbox to off, and report it", "a process in it was killed");
        return;
    }
    *finding++ = 0;
    bool required = strcmp(answer, "warn") == 0 && c->security.sandbox == SANDBOX_REQUIRE;
    const char *next = strcmp(answer, "ok") == 0 ? NULL : "wikitally config explain security.sandbox";
    doctor_say(d, "sandbox", required ? "fail" : answer, next, "%s", finding);
}
