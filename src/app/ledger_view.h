/* SPDX-License-Identifier: MIT
 *
 * ledger_view.h - both sides of the ledger read from their stores, and everything in which they may not balance (R12).
 */
#ifndef WIKITALLY_APP_LEDGER_VIEW_H
#define WIKITALLY_APP_LEDGER_VIEW_H

#include "base/err.h"
#include "base/record.h"
#include "journal/journal.h"

#define LEDGER_TOTAL (INT64_MAX - 1) /* minute of the rows that sum up all minutes */
enum { LEDGER_NAME_MAX = 64, LEDGER_WRONG_MAX = 32 };

struct ledger_range {
    int64_t from_us, to_us;
}; /* TIME_NONE: open. Totals are always over all minutes. */

struct ledger_row {
    enum tally_by by;
    int64_t minute;             /* as in tally.h, or LEDGER_TOTAL */
    char name[LEDGER_NAME_MAX]; /* "source", or the aggregation */
    bool is_source;
    int64_t records;               /* source: received + ticks; aggregation: sum of its buckets */
    int64_t buckets[TASK_BUCKETS]; /* by enum source_bucket (fewer) or enum task_bucket */
};

struct ledger_view {
    struct ledger_row *rows; /* by side, name, minute */
    size_t count;
    int64_t source[SOURCE_BUCKETS]; /* totals */
    int64_t in_flight;              /* journalled, but not yet behind the position of the slowest aggregation */
    char *wrong[LEDGER_WRONG_MAX];  /* sentences, owned */
    size_t wrong_count;
};

/* Reads the journal and results.db of place->directory (the latter may be missing: then there is only the source's
 * side). */
enum err_class ledger_view_read(const struct journal_place *place, const struct ledger_range *range,
                                struct ledger_view *ret_view, struct err *err);
void ledger_view_fini(struct ledger_view *v);

/* Before anything goes on from what is stored: EXIT_DATA and what does not balance, if something does not. Pages of
 * another moment pass every other check: each is sound, and so is each row. Only where results.db has at most 64 MiB;
 * above, `ledger --check` is asked by hand. */
enum err_class ledger_view_check(const struct journal_place *place, struct err *err);

#endif
