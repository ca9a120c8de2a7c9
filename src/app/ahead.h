/* SPDX-License-Identifier: MIT
 *
 * ahead.h - the journal's next pages, unpacked and scanned while the task works on this one: that is as much work as
 * the rest of what it does, and so a task that catches up uses two cores.
 *
 * What stands ready is a guess, made behind pages that were at least half full; who is up to date asks for pages that
 * are not written yet. At most AHEAD_PAGES are held, the one in use among them. One task's thread calls all of it.
 */
#ifndef WIKITALLY_APP_AHEAD_H
#define WIKITALLY_APP_AHEAD_H

#include "app/handover.h"
#include "change/change.h"
#include "journal/journal.h"

enum { AHEAD_PAGES = 4 };

struct ahead;
/* With a reader of its own. `fields`: borrowed, not changed any more. */
enum err_class ahead_new(struct journal *j, const struct field_set *fields, struct ahead **ret_ahead, struct err *err);
void ahead_free(struct ahead *a); /* NULL is fine */

/* Begins to read at `from`, pages of max_records as journal_reader_read has them. What stood ready is dropped. */
void ahead_ask(struct ahead *a, uint32_t partition, int64_t from, size_t max_records);
/* The page at just this place, if it is the next one; waits while it is being made. False: nothing is known of it, also
 * after an error, and the caller reads for itself. values[i] is NULL for a record that cannot be decoded. Valid until
 * the next call. */
bool ahead_take(struct ahead *a, uint32_t partition, int64_t from, size_t max_records, struct handed *ret);

#endif
