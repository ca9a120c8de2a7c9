/* SPDX-License-Identifier: MIT
 *
 * ledger.h - the ledger line (R12): what the source booked and what the tasks booked, read from the two databases, and
 * whether every record is accounted for.
 *
 * Source: received + ticks = duplicate + filtered + dead + journalled. Task, per aggregation: the sum of its buckets =
 * the records between where its line began and its position. What is unequal is `unaccounted`; what the tasks have not
 * reached yet is `in flight`. The sums of the aggregation that is furthest behind are shown.
 */
#ifndef WIKITALLY_SERVE_LEDGER_H
#define WIKITALLY_SERVE_LEDGER_H

#include "serve/pool.h"

struct ledger_line {
    bool source_known, task_known;
    int64_t source[SOURCE_BUCKETS];
    int64_t task[TASK_BUCKETS]; /* of one aggregation */
    char aggregation[64];
    int64_t in_flight;
    int64_t unaccounted; /* 0: balanced; the sum of absolute differences */
    char problem[256];   /* why it is not known, or "" */
};

/* Reads both; takes as long as the tallies are long (about a third of a second a million rows). */
void ledger_read(struct readers *readers, struct ledger_line *ret_line);
/* {"known":true,"balanced":true,"text":"balanced","source":{"received":"12",...},"task":{...},...} */
void ledger_write(const struct ledger_line *line, struct buf *json);
void ledger_text(const struct ledger_line *line, struct buf *out); /* "balanced", "3 records unaccounted", ... */

#endif
