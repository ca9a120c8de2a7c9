/* SPDX-License-Identifier: MIT
 *
 * measure.h - what a row holds: mergeable, bounded measures (R9). Private to this room.
 */
#ifndef WIKITALLY_COMPUTE_MEASURE_H
#define WIKITALLY_COMPUTE_MEASURE_H

#include "base/arena.h"
#include "base/result.h"
#include "change/change.h"

enum measure_kind { MEASURE_COUNT, MEASURE_SUM, MEASURE_MIN, MEASURE_MAX, MEASURE_DISTINCT, MEASURE_TOP };

struct measure {
    enum measure_kind kind;
    size_t field; /* index in the field set; nothing for count */
    int64_t top;  /* MEASURE_TOP: how many are shown */
};

/* The state of one measure of one row. Zeroed is the start. */
union measure_state {
    int64_t number;
    struct distinct *distinct;
    struct top *top;
};

struct measure_context {
    uint64_t seed;      /* the journal's: of sketches and tie-breaks */
    struct buf scratch; /* of the caller; any content */
    size_t bytes;       /* memory that the states made with this context hold */
};

/* "sum(length.new)" -> kind, path (borrowed from text), top. Trims. False with err: what it is and what to write
 * instead. */
bool measure_parse(struct str text, struct measure *ret_measure, struct str *ret_path, struct err *err);
void measure_print(const struct measure *m, struct str path, struct buf *out); /* canonical: no blanks */
bool measure_has_sketch(const struct measure *m);
enum column_type measure_type(const struct measure *m);

/* Adds one event. `has` gets true once min or max had a value. False: a sum does not fit into 64 bits. */
bool measure_add(const struct measure *m, union measure_state *s, bool *has, const struct value *v,
                 struct measure_context *ctx);
/* The value and, where there is one, the sketch; in arena. */
void measure_show(const struct measure *m, const union measure_state *s, bool has, struct arena *arena,
                  struct cell *ret_cell, struct str *ret_sketch);
void measure_fini(const struct measure *m, union measure_state *s, struct measure_context *ctx);

#endif
