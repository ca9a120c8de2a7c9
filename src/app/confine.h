/* SPDX-License-Identifier: MIT
 *
 * confine.h - what `run` may still do once it has started: as whom, which files, which system calls (base/sandbox.h).
 *
 * Two steps, both before any thread: first what needs rights is done (the data directory made, the address bound) and
 * the rights are given up (--user); then the process shuts itself in. Everything after, the databases included, is
 * opened inside.
 *
 * Files that may be read: the recording, the configuration (a reload reads it again), /usr and /lib (libraries that the
 * resolver loads), a few files of /proc, /sys and /dev; with a live source also /etc, the resolver's folders in /run,
 * and the certificates. All of /etc, because resolv.conf and the certificates are replaced by new files while we run,
 * and a rule is about a file, not a name. Files that may be written: those in the data directory.
 *
 * Of a file that is given by name (-c, a token, certificates) the whole directory may be read, for the same reason,
 * unless it is one that holds other things as well: /, /etc, /tmp, /home, a home directory. There only the file itself,
 * as it was at the start, can be read by a reload.
 */
#ifndef WIKITALLY_APP_CONFINE_H
#define WIKITALLY_APP_CONFINE_H

#include "app/config.h"
#include "app/source_spec.h"
#include "base/sandbox.h"

struct confine_options {
    const struct config *config;
    const struct source_spec *source;
    const char *directory;
    const char *listen;                 /* NULL: none */
    const char *user;                   /* --user; NULL: stay who we are */
    const char *config_file, *env_file; /* -c, --env-file; NULL: none */
};

/* With a user: makes the directory (the user's, if it was missing), binds, becomes the user. *ret_fd is the socket, or
 * -1 if nothing was bound: without a user the server binds for itself, when the directory's lock is held. */
enum err_class confine_user(const struct confine_options *options, int *ret_fd, struct err *err);

/* Makes the directory if it is missing, shuts the process in as security.sandbox says, and says so in one line.
 * EXIT_OSERR: `require`, and the kernel cannot. */
enum err_class confine(const struct confine_options *options, struct err *err);

/* The rules that `confine` uses; for doctor, which tries them. */
void confine_rules(const struct confine_options *options, struct sandbox_rules *ret_rules);
/* What is in force, in one sentence, or what is missing and why. */
void confine_describe(const struct sandbox *s, struct buf *out);

#endif
