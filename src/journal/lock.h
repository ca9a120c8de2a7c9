/* SPDX-License-Identifier: MIT
 *
 * lock.h - one writer per state directory (C-S2): an OFD lock on DIRECTORY/lock, held for life. The kernel lets go of
 * it however the process ends. Private to this room; the journal's writer holds it for the whole directory.
 */
#ifndef WIKITALLY_JOURNAL_LOCK_H
#define WIKITALLY_JOURNAL_LOCK_H

#include "base/err.h"

/* Makes the directory (mode 0700, parents too) and locks it. *ret_fd: keep it open; closing it unlocks. EXIT_IN_USE
 * names the holder's process id. */
enum err_class lock_take(const char *directory, int *ret_fd, struct err *err);

#endif
