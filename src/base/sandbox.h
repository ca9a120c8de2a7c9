/* SPDX-License-Identifier: MIT
 *
 * sandbox.h - what a process takes away from itself for good: files by Landlock, system calls by seccomp. What it may
 * still do is the caller's to say (app/confine.h); here is only how.
 *
 * Both are the kernel's and may be missing: an older kernel, a container that does not let them through. Then the rest
 * holds all the same, and struct sandbox says what is missing and why. Builds with sanitizers or for coverage have
 * neither (their run-times trace the process, start others and write files of their own).
 *
 * Before any other thread: Landlock binds the calling thread and those that it starts.
 */
#ifndef WIKITALLY_BASE_SANDBOX_H
#define WIKITALLY_BASE_SANDBOX_H

#include "base/err.h"

#include <stddef.h>

enum sandbox_right {
    SANDBOX_READ,   /* a file, or all files below a directory */
    SANDBOX_WRITE,  /* files below a directory: read, write, make, rename, remove */
    SANDBOX_SOCKET, /* a UNIX socket in a directory: make and remove */
};

enum { SANDBOX_WHY_BYTES = 160 };

struct sandbox_rules {
    struct sandbox_rule {
        char *path; /* owned */
        enum sandbox_right right;
    } * items;
    size_t count;
};
/* A path that is not there is left out when the rules are put to use, but for SANDBOX_WRITE. */
void sandbox_allow(struct sandbox_rules *rules, enum sandbox_right right, const char *path);
void sandbox_rules_fini(struct sandbox_rules *rules);

struct sandbox {
    int landlock; /* version of the kernel's interface (ABI); 0: none in force */
    bool seccomp;
    char landlock_missing[SANDBOX_WHY_BYTES], seccomp_missing[SANDBOX_WHY_BYTES]; /* why, or "" */
};

/* Puts both in force. What the kernel does not have is no error: *ret says so. An error (EXIT_OSERR, EXIT_NOPERM) is
 * what should have worked; then nothing may be taken for confined.
 *
 * After it: no open outside the rules (EACCES), no new program, no new process, no other thread than our own to send a
 * signal to, no tracing, no socket but TCP, UDP and UNIX (EPERM); what this list does not know: ENOSYS, for which the C
 * library has another way. Threads, files that are open, and memory stay as they were. */
enum err_class sandbox_enter(const struct sandbox_rules *rules, struct sandbox *ret, struct err *err);

/* ---- secrets and rights of the process (privilege.c) */

/* No core file, and none that another process of this user could make from outside: both would hold tokens. Undone by
 * process_allow_cores, which gives back the limit that the process was started with. */
void process_refuse_cores(void);
void process_allow_cores(void);

struct process_user {
    char name[64];
    unsigned uid, gid;
};
/* EXIT_NOPERM unless we are root; EXIT_USAGE for a user that is not known here, or root itself. */
enum err_class process_user_find(const char *name, struct process_user *ret_user, struct err *err);
/* Becomes that user, with the groups that it is a member of, for good: no way back is left. */
enum err_class process_become(const struct process_user *user, struct err *err);
/* Makes a directory and those above it that are missing, mode 0700; each one made is given to `user` unless NULL. */
enum err_class process_directory(const char *path, const struct process_user *user, struct err *err);

#endif
