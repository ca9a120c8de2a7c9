/* SPDX-License-Identifier: MIT
 *
 * sandbox.c - see sandbox.h. Landlock by its three system calls: the C library has no functions for them, and the
 * kernel's header in a distribution may be older than the kernel that runs. So the structure and the newer bits stand
 * here as the kernel's interface fixes them, and what the running kernel does not know is masked out by its ABI
 * version.
 *
 * The system calls are a list of what is allowed (sandbox_calls.c). Tried first: a list of what is refused. It is never
 * complete, and each new kernel brings calls that nobody has thought about.
 */
#include "base/sandbox.h"

#include "base/sandbox_calls.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- rules */

void sandbox_allow(struct sandbox_rules *rules, enum sandbox_right right, const char *path)
{
    rules->items = xrealloc(rules->items, (rules->count + 1) * sizeof *rules->items);
    rules->items[rules->count++] = (struct sandbox_rule){str_dup(str_of(path)), right};
}

void sandbox_rules_fini(struct sandbox_rules *rules)
{
    for (size_t i = 0; i < rules->count; i++) {
        free(rules->items[i].path);
    }
    free(rules->items);
    *rules = (struct sandbox_rules){0};
}

#ifdef WIKITALLY_NO_SANDBOX

enum err_class sandbox_enter(const struct sandbox_rules *rules, struct sandbox *ret, struct err *err)
{
    (void)rules;
    (void)err;
    *ret = (struct sandbox){.landlock_missing = "left out of this build", .seccomp_missing = "left out of this build"};
    return ERR_NONE;
}

#else

/* ---- Landlock */

#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13) /* ABI 2 */
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14) /* ABI 3 */
#endif
#ifndef LANDLOCK_ACCESS_FS_IOCTL_DEV
#define LANDLOCK_ACCESS_FS_IOCTL_DEV (1ULL << 15) /* ABI 5 */
#endif
#ifndef LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
#define LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET (1ULL << 0) /* ABI 6 */
#define LANDLOCK_SCOPE_SIGNAL (1ULL << 1)
#endif
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif

struct ruleset_attr { /* struct landlock_ruleset_attr of ABI 6; an older kernel wants the unknown rest to be 0 */
    uint64_t handled_access_fs, handled_access_net, scoped;
};

static uint64_t rights_known(int abi)
{
    uint64_t rights = LANDLOCK_ACCESS_FS_REFER - 1; /* all of ABI 1 stand below it */
    rights |= abi >= 2 ? LANDLOCK_ACCESS_FS_REFER : 0;
    rights |= abi >= 3 ? LANDLOCK_ACCESS_FS_TRUNCATE : 0;
    rights |= abi >= 5 ? LANDLOCK_ACCESS_FS_IOCTL_DEV : 0;
    return rights;
}

static uint64_t rights_of(enum sandbox_right right)
{
    const uint64_t read = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
    switch (right) {
    case SANDBOX_WRITE:
        return read | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE | LANDLOCK_ACCESS_FS_MAKE_REG |
               LANDLOCK_ACCESS_FS_REMOVE_FILE;
    case SANDBOX_SOCKET:
        return LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_REMOVE_FILE;
    case SANDBOX_READ:
    default:
        return read;
    }
}

static const uint64_t rights_of_a_file =
    LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE;

/* A rule is about what stands at the path now; should another file be put in its place, the directory's rule counts. */
static enum err_class rule_add(int ruleset, const struct sandbox_rule *rule, uint64_t known, struct err *err)
{
    bool needed = rule->right == SANDBOX_WRITE;
    int failed;
    struct landlock_path_beneath_attr beneath = {.allowed_access = rights_of(rule->right) & known};
    beneath.parent_fd = open(rule->path, O_PATH | O_CLOEXEC | O_DIRECTORY);
    if (beneath.parent_fd < 0 && errno == ENOTDIR) {
        beneath.parent_fd = open(rule->path, O_PATH | O_CLOEXEC);
        beneath.allowed_access &= rights_of_a_file;
    }
    failed = errno;
    if (beneath.parent_fd < 0) {
        needed |= failed == EMFILE || failed == ENFILE || failed == ENOMEM; /* it may well be there */
        return needed ? err_errno(err, ERR_FATAL, err_errno_code(failed, EXIT_CANTCREAT), failed, "cannot open \"%s\"",
                                  rule->path)
                      : ERR_NONE; /* what is not there, or not for us, needs no right */
    }
    enum err_class cls = ERR_NONE;
    if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) != 0 && needed) {
        cls = err_errno(err, ERR_FATAL, EXIT_OSERR, errno, "sandbox: cannot allow \"%s\"", rule->path);
    }
    close(beneath.parent_fd);
    return cls;
}

static enum err_class ruleset_fill(int ruleset, const struct sandbox_rules *rules, int abi, struct err *err)
{
    for (size_t i = 0; i < rules->count; i++) {
        enum err_class cls = rule_add(ruleset, &rules->items[i], rights_known(abi), err);
        if (cls) {
            return cls;
        }
    }
    return ERR_NONE;
}

static enum err_class landlock_enter(const struct sandbox_rules *rules, struct sandbox *s, struct err *err)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 1) {
        snprintf(s->landlock_missing, sizeof s->landlock_missing, "%s",
                 errno == ENOSYS       ? "this kernel has none, or does not let it through"
                 : errno == EOPNOTSUPP ? "switched off when the kernel was started"
                                       : strerror(errno));
        return ERR_NONE;
    }
    struct ruleset_attr attr = {.handled_access_fs = rights_known((int)abi)};
    if (abi >= 6) {
        attr.scoped = LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | LANDLOCK_SCOPE_SIGNAL;
    }
    long ruleset = syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
    if (ruleset < 0) {
        return err_errno(err, ERR_FATAL, EXIT_OSERR, errno, "sandbox: Landlock does not take our rules");
    }
    enum err_class cls = ruleset_fill((int)ruleset, rules, (int)abi, err);
    if (!cls && syscall(SYS_landlock_restrict_self, (int)ruleset, 0) != 0) {
        cls = err_errno(err, ERR_FATAL, EXIT_OSERR, errno, "sandbox: Landlock cannot be put in force");
    }
    close((int)ruleset);
    s->landlock = cls ? 0 : (int)abi;
    return cls;
}

/* ---- both */

enum err_class sandbox_enter(const struct sandbox_rules *rules, struct sandbox *ret, struct err *err)
{
    struct sandbox s = {0};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return err_errno(err, ERR_FATAL, EXIT_OSERR, errno, "sandbox: cannot give up new privileges");
    }
    enum err_class cls = landlock_enter(rules, &s, err);
    if (!cls) {
        cls = sandbox_calls(&s.seccomp, s.seccomp_missing, sizeof s.seccomp_missing, err);
    }
    if (!cls) {
        *ret = s;
    }
    return cls;
}

#endif
