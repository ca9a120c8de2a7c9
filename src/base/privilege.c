/* SPDX-License-Identifier: MIT
 *
 * privilege.c - see sandbox.h: core files, and becoming another user. Called by the main thread before others start.
 */
#include "base/sandbox.h"
#include "base/str.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- cores */

static struct rlimit cores_at_start;
static bool cores_refused;

void process_refuse_cores(void)
{
#ifndef WIKITALLY_NO_SANDBOX /* the leak checker of a sanitizer traces its own process, which this would refuse */
    if (cores_refused || getrlimit(RLIMIT_CORE, &cores_at_start) != 0) {
        return;
    }
    struct rlimit none = {.rlim_cur = 0, .rlim_max = cores_at_start.rlim_max};
    cores_refused = setrlimit(RLIMIT_CORE, &none) == 0;
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

void process_allow_cores(void)
{
    if (cores_refused) {
        (void)setrlimit(RLIMIT_CORE, &cores_at_start);
        (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
        cores_refused = false;
    }
}

/* ---- another user */

enum err_class process_user_find(const char *name, struct process_user *ret_user, struct err *err)
{
    if (geteuid() != 0) {
        return err_set(err, ERR_REJECT, EXIT_NOPERM,
                       "--user \"%s\": only root can become another user; start it as root, or as that user without "
                       "--user",
                       name);
    }
    errno = 0;
    const struct passwd *found = getpwnam(name); /* one thread yet */
    if (!found) {
        return err_set(err, ERR_REJECT, EXIT_USAGE, "--user \"%s\": there is no such user; see \"getent passwd\"",
                       name);
    }
    if (found->pw_uid == 0 || strlen(name) >= sizeof ret_user->name) {
        return err_set(err, ERR_REJECT, EXIT_USAGE, "--user \"%s\": that is root itself; name another, or leave it out",
                       name);
    }
    *ret_user = (struct process_user){.uid = found->pw_uid, .gid = found->pw_gid};
    snprintf(ret_user->name, sizeof ret_user->name, "%s", name);
    return ERR_NONE;
}

enum err_class process_become(const struct process_user *user, struct err *err)
{
    int dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
    if (initgroups(user->name, user->gid) != 0 || setresgid(user->gid, user->gid, user->gid) != 0 ||
        setresuid(user->uid, user->uid, user->uid) != 0) {
        return err_errno(err, ERR_FATAL, EXIT_NOPERM, errno, "cannot become user \"%s\"", user->name);
    }
    if (setuid(0) == 0 || setgid(0) == 0) { /* a way back would make all of it worthless */
        return err_set(err, ERR_FATAL, EXIT_NOPERM, "became user \"%s\", but could become root again", user->name);
    }
    if (dumpable == 1) { /* the kernel takes it away with the change of the user */
        (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    }
    return ERR_NONE;
}

/* One directory that may be there already. */
static enum err_class directory_make(const char *path, bool last, const struct process_user *user, struct err *err)
{
    if (mkdir(path, 0700) != 0) {
        bool there = errno == EEXIST || (!last && access(path, X_OK) == 0);
        return there ? ERR_NONE
                     : err_errno(err, ERR_FATAL, err_errno_code(errno, EXIT_CANTCREAT), errno,
                                 "cannot make the data directory \"%s\"", path);
    }
    if (user && lchown(path, user->uid, user->gid) != 0) {
        return err_errno(err, ERR_FATAL, EXIT_NOPERM, errno, "cannot give \"%s\" to user \"%s\"", path, user->name);
    }
    return ERR_NONE;
}

enum err_class process_directory(const char *path, const struct process_user *user, struct err *err)
{
    AUTO_FREE char *copy = str_dup(str_of(path));
    for (char *p = copy + (*copy != 0);; p++) {
        if (*p != '/' && *p != 0) {
            continue;
        }
        char end = *p;
        *p = 0;
        enum err_class cls = directory_make(copy, end == 0, user, err);
        *p = end;
        if (cls || end == 0) {
            return cls;
        }
    }
}
