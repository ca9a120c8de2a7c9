/* SPDX-License-Identifier: MIT
 *
 * recording.h - what the file source needs of a recording beyond source.h (private to this room).
 */
#ifndef WIKITALLY_SOURCE_RECORDING_H
#define WIKITALLY_SOURCE_RECORDING_H

#include "source/source.h"

/* Where the last record stood: its line, or in a raw SSE recording its ordinal. From 1. */
int64_t recording_place(const struct recording *r);

/* Arrivals that stand in a file of their own (oracle.md section 1): a TSV with a header, column `line` = ordinal of the
 * record from 1, and `arrival_ms`, or `recv_ns` (then base_ms + recv_ns / 10^6 rounded down). At most 50,000,000 rows.
 */
struct arrivals {
    int64_t *ms; /* by ordinal; TIME_NONE: not in the file */
    size_t count;
};
enum err_class arrivals_read(const char *path, int64_t base_ms, struct arrivals *ret_arrivals, struct err *err);
void arrivals_fini(struct arrivals *a);
int64_t arrivals_us(const struct arrivals *a, int64_t ordinal); /* TIME_NONE: unknown */

#endif
