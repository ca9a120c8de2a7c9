/* SPDX-License-Identifier: MIT
 *
 * recompute.h - what a span of the journal gives when it is read again (R5, R10, R12): `replay --from --to`, with or
 * without --diff. Time is a function of the journal, so the rows must be those that the sink holds; where they are not,
 * one of them is wrong.
 */
#ifndef WIKITALLY_APP_RECOMPUTE_H
#define WIKITALLY_APP_RECOMPUTE_H

#include "app/config.h"
#include "journal/journal.h"
#include "sink/results.h"

enum recompute_what { RECOMPUTE_ROW, RECOMPUTE_MISSING, RECOMPUTE_EXTRA, RECOMPUTE_DIFFERENT };

struct recompute_finding {
    enum recompute_what what; /* ROW: no diff was asked for; MISSING: the sink lacks it; EXTRA: only the sink has it */
    const struct stored_aggregation *aggregation;
    uint32_t partition;
    const struct result_row *computed; /* NULL for EXTRA */
    const struct result_row *stored;   /* NULL for ROW, MISSING */
};

struct recompute_options {
    struct journal_place place;  /* and the directory of results.db */
    const struct config *config; /* definitions must be those of what is stored: EXIT_CONFIG otherwise */
    int64_t from_us, to_us;      /* windows that start in [from, to) */
    bool diff;
};

struct recompute_summary {
    int64_t rows, findings;
    int64_t skipped; /* rows of windows that cannot be checked: torn, or records before them are gone */
};

/* Calls each() for every row or difference, by aggregation, partition, window and key. The journal is read up to where
 * each aggregation stood when this was called. Memory: the rows of the span, at most `RECOMPUTE_ROWS_MAX`, beyond that
 * ERR_REJECT. */
#define RECOMPUTE_ROWS_MAX ((size_t)20000000)
enum err_class recompute(const struct recompute_options *options,
                         void (*each)(const struct recompute_finding *f, void *ctx), void *ctx,
                         struct recompute_summary *ret_summary, struct err *err);

#endif
