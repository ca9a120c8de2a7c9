/* SPDX-License-Identifier: MIT
 *
 * sandbox_calls.c - see sandbox_calls.h. Three answers: allowed; EPERM for what only an intruder would call here; and
 * ENOSYS for the rest, because for a call that the kernel lacks the C library has another way, while EPERM is final.
 * Names, not numbers: what this machine or this libseccomp does not have is passed over.
 *
 * The list is what our libraries call: SQLite (files), libcurl with OpenSSL, the resolver (netlink, sockets),
 * libmicrohttpd (epoll), threads, signals, time. clone3 hides its flags in memory, where a filter cannot look: it is
 * answered with ENOSYS, and the C library uses clone, which is allowed for threads only.
 */
#include "base/sandbox_calls.h"

#include "base/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef WIKITALLY_NO_SANDBOX

enum {
    FILTER_BYTES = 4096 * sizeof(struct sock_filter), /* the kernel's maximum */
    CHILD_SECONDS = 2,                                /* of the processor; it takes milliseconds */
};

static const char *const allowed[] = {
    /* files that may be opened are Landlock's business */
    "_llseek", "access", "close", "close_range", "creat", "dup", "dup2", "dup3", "faccessat", "faccessat2", "fadvise64",
    "fadvise64_64", "fallocate", "fchmod", "fchown", "fchown32", "fcntl", "fcntl64", "fdatasync", "flock", "fstat",
    "fstat64", "fstatat64", "fstatfs", "fstatfs64", "fsync", "ftruncate", "ftruncate64", "getcwd", "getdents",
    "getdents64", "lseek", "lstat", "lstat64", "mkdir", "mkdirat", "newfstatat", "open", "openat", "openat2", "pread64",
    "preadv", "preadv2", "pwrite64", "pwritev", "pwritev2", "read", "readahead", "readlink", "readlinkat", "readv",
    "rename", "renameat", "renameat2", "rmdir", "sendfile", "sendfile64", "stat", "stat64", "statfs", "statfs64",
    "statx", "sync_file_range", "truncate", "truncate64", "umask", "unlink", "unlinkat", "write", "writev",
    /* memory and threads */
    "arch_prctl", "brk", "futex", "futex_time64", "futex_waitv", "get_robust_list", "madvise", "map_shadow_stack",
    "membarrier", "mincore", "mlock", "mlock2", "mmap", "mmap2", "mprotect", "mremap", "msync", "munlock", "munmap",
    "rseq", "set_robust_list", "set_thread_area", "set_tid_address",
    /* who we are */
    "exit", "exit_group", "getcpu", "getegid", "getegid32", "geteuid", "geteuid32", "getgid", "getgid32", "getgroups",
    "getgroups32", "getpgid", "getpgrp", "getpid", "getppid", "getrandom", "getresgid", "getresgid32", "getresuid",
    "getresuid32", "getrlimit", "getrusage", "getsid", "gettid", "getuid", "getuid32", "sched_get_priority_max",
    "sched_get_priority_min", "sched_getaffinity", "sched_getattr", "sched_getparam", "sched_getscheduler",
    "sched_yield", "sysinfo", "times", "ugetrlimit", "uname", "wait4", "waitid",
    /* the network; what kind of socket is asked below */
    "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen", "recv", "recvfrom",
    "recvmmsg", "recvmmsg_time64", "recvmsg", "send", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown",
    /* waiting, signals, time */
    "_newselect", "alarm", "clock_getres", "clock_getres_time64", "clock_gettime", "clock_gettime64", "clock_nanosleep",
    "clock_nanosleep_time64", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait",
    "eventfd", "eventfd2", "getitimer", "gettimeofday", "nanosleep", "pause", "pipe", "pipe2", "poll", "ppoll",
    "ppoll_time64", "pselect6", "pselect6_time64", "restart_syscall", "rt_sigaction", "rt_sigpending", "rt_sigprocmask",
    "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "rt_sigtimedwait_time64", "select", "setitimer", "sigaltstack",
    "signalfd", "signalfd4", "sigprocmask", "sigreturn", "time", "timer_create", "timer_delete", "timer_getoverrun",
    "timer_gettime", "timer_settime", "timerfd_create", "timerfd_gettime", "timerfd_settime"};

/* Nothing here calls these; who does gets a plain no. */
static const char *const refused[] = {"add_key",
                                      "bpf",
                                      "capset",
                                      "chmod",
                                      "chown",
                                      "chroot",
                                      "delete_module",
                                      "execve",
                                      "execveat",
                                      "fchmodat",
                                      "fchownat",
                                      "finit_module",
                                      "fork",
                                      "init_module",
                                      "io_uring_setup",
                                      "kexec_file_load",
                                      "kexec_load",
                                      "keyctl",
                                      "lchown",
                                      "link",
                                      "linkat",
                                      "memfd_create",
                                      "mknod",
                                      "mknodat",
                                      "mount",
                                      "move_mount",
                                      "open_by_handle_at",
                                      "perf_event_open",
                                      "personality",
                                      "pidfd_getfd",
                                      "pidfd_send_signal",
                                      "pivot_root",
                                      "process_vm_readv",
                                      "process_vm_writev",
                                      "ptrace",
                                      "quotactl",
                                      "reboot",
                                      "request_key",
                                      "rt_sigqueueinfo",
                                      "rt_tgsigqueueinfo",
                                      "sethostname",
                                      "setgid",
                                      "setgroups",
                                      "setns",
                                      "setregid",
                                      "setresgid",
                                      "setresuid",
                                      "setreuid",
                                      "setrlimit",
                                      "setuid",
                                      "socketcall",
                                      "swapoff",
                                      "swapon",
                                      "symlink",
                                      "symlinkat",
                                      "tkill",
                                      "umount2",
                                      "unshare",
                                      "userfaultfd",
                                      "vfork"};

/* A system call of which only some uses are allowed: the argument `at`, masked, has this value. */
struct use {
    const char *name;
    unsigned at;
    uint64_t mask, value;
};

#ifdef __s390__
enum { CLONE_FLAGS_AT = 1 };
#else
enum { CLONE_FLAGS_AT = 0 };
#endif
static const uint64_t low = 0xffffffff; /* an int: the kernel does not look at the other half */
static const struct use uses[] = {
    {"clone", CLONE_FLAGS_AT, CLONE_THREAD, CLONE_THREAD},
    {"socket", 0, low, AF_UNIX},
    {"socket", 0, low, AF_INET},
    {"socket", 0, low, AF_INET6},
    {"socket", 0, low, AF_NETLINK}, /* the resolver asks which addresses this machine has */
    {"socketpair", 0, low, AF_UNIX},
    {"prlimit64", 2, UINT64_MAX, 0}, /* look, do not set */
    {"prctl", 0, low, PR_SET_NAME},
    {"prctl", 0, low, PR_GET_NAME},
    {"prctl", 0, low, PR_GET_DUMPABLE},
    {"prctl", 0, low, 0x53564d41 /* PR_SET_VMA: names of memory */},
    {"ioctl", 1, low, FIONBIO},
    {"ioctl", 1, low, FIONREAD},
    {"ioctl", 1, low, 0x5401 /* TCGETS: is it a terminal? */},
    {"ioctl", 1, low, TIOCGWINSZ},
    {"ioctl", 1, low, 0x8933 /* SIOCGIFINDEX: fe80::1%eth0 */},
};

static pid_t ours; /* before the child that makes the filter */

static int rule(scmp_filter_ctx filter, uint32_t action, const char *name, const struct scmp_arg_cmp *argument)
{
    int number = seccomp_syscall_resolve_name(name);
    if (number == __NR_SCMP_ERROR) {
        return 0;
    }
    return seccomp_rule_add_array(filter, action, number, argument ? 1 : 0, argument);
}

static int add_uses(scmp_filter_ctx filter)
{
    int failed = 0;
    for (size_t i = 0; i < sizeof uses / sizeof *uses && !failed; i++) {
        struct scmp_arg_cmp argument = {uses[i].at, SCMP_CMP_MASKED_EQ, uses[i].mask, uses[i].value};
        failed = rule(filter, SCMP_ACT_ALLOW, uses[i].name, &argument);
    }
    /* To ourselves: abort() and raise(). */
    struct scmp_arg_cmp self = {0, SCMP_CMP_MASKED_EQ, low, (uint64_t)ours};
    failed = failed ? failed : rule(filter, SCMP_ACT_ALLOW, "kill", &self);
    return failed ? failed : rule(filter, SCMP_ACT_ALLOW, "tgkill", &self);
}

static int add_all(scmp_filter_ctx filter)
{
    int failed = 0;
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed && !failed; i++) {
        failed = rule(filter, SCMP_ACT_ALLOW, allowed[i], NULL);
    }
    for (size_t i = 0; i < sizeof refused / sizeof *refused && !failed; i++) {
        failed = rule(filter, SCMP_ACT_ERRNO(EPERM), refused[i], NULL);
    }
    return failed ? failed : add_uses(filter);
}

/* What does not fit a use is EPERM, not ENOSYS: the other half of the same call. libseccomp takes only one action for a
 * call and its arguments, so those calls get their no by the opposite comparison. */
static int add_the_opposite(scmp_filter_ctx filter)
{
    struct scmp_arg_cmp process = {CLONE_FLAGS_AT, SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0};
    struct scmp_arg_cmp other = {0, SCMP_CMP_GT, AF_NETLINK, 0};
    struct scmp_arg_cmp limit = {2, SCMP_CMP_NE, 0, 0};
    struct scmp_arg_cmp stranger = {0, SCMP_CMP_NE, (uint64_t)ours, 0};
    int failed = rule(filter, SCMP_ACT_ERRNO(EPERM), "clone", &process);
    failed = failed ? failed : rule(filter, SCMP_ACT_ERRNO(EPERM), "socket", &other);
    failed = failed ? failed : rule(filter, SCMP_ACT_ERRNO(EPERM), "prlimit64", &limit);
    failed = failed ? failed : rule(filter, SCMP_ACT_ERRNO(EPERM), "kill", &stranger);
    return failed ? failed : rule(filter, SCMP_ACT_ERRNO(EPERM), "tgkill", &stranger);
}

/* In the child: the filter as the kernel takes it, twice, into the pipe. -> how it ended */
static int filter_write(int out)
{
    setrlimit(RLIMIT_CPU, &(struct rlimit){CHILD_SECONDS, CHILD_SECONDS});
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    int failed = filter ? add_all(filter) : -ENOMEM;
    failed = failed ? failed : add_the_opposite(filter);
    if (!failed) {
        (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree instead of a list; else only slower */
        failed = seccomp_export_bpf(filter, out);
        failed = failed ? failed : seccomp_export_bpf(filter, out);
    }
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* libseccomp writes where it has no memory, or goes round for ever (2.5.4, in its generator), so a child does its work:
 * what becomes of that one is an error here, not the end. Or it leaves out what it had no memory for and says that all
 * is well: such a list lacks calls that we live by, and a second one made of the same rules is another. */
static enum err_class filter_make(struct sock_filter *twice, size_t *ret_count, struct err *err)
{
    int ends[2], status = -1;
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return err_errno(err, ERR_FATAL, EXIT_OSERR, errno, "sandbox: cannot make the list of system calls");
    }
    ours = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        _exit(filter_write(ends[1]));
    }
    int failed = pid < 0 ? errno : ENOMEM;
    close(ends[1]);
    ssize_t size = 0, got = 1;
    while (pid > 0 && got > 0 && size < 2 * FILTER_BYTES) {
        got = read(ends[0], (char *)twice + size, (size_t)(2 * FILTER_BYTES - size));
        size += got > 0 ? got : 0;
    }
    close(ends[0]);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    *ret_count = (size_t)size / sizeof *twice / 2;
    if (status != 0 || size == 0 || memcmp(twice, twice + *ret_count, (size_t)size / 2) != 0) {
        return err_errno(err, ERR_FATAL, EXIT_OSERR, failed, "sandbox: cannot make the list of system calls");
    }
    return ERR_NONE;
}

enum err_class sandbox_calls(bool *ret_on, char *missing, size_t missing_bytes, struct err *err)
{
    struct sock_filter filter[2 * FILTER_BYTES / sizeof(struct sock_filter)];
    size_t count = 0;
    enum err_class cls = filter_make(filter, &count, err);
    if (cls) {
        return cls;
    }
    struct sock_fprog program = {.len = (unsigned short)count, .filter = filter};
    /* No protection against speculation in foreign code, of which there is none; an older kernel does not know the
     * flag. */
    long loaded = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program);
    if (loaded != 0 && errno == EINVAL) {
        loaded = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
    }
    if (loaded != 0 && errno == ENOMEM) {
        return err_errno(err, ERR_FATAL, EXIT_OSERR, errno, "sandbox: seccomp cannot be put in force");
    }
    *ret_on = loaded == 0;
    if (loaded != 0) {
        snprintf(missing, missing_bytes, "this kernel has none, or does not let it through (%s)", strerror(errno));
    }
    return ERR_NONE;
}

#endif
