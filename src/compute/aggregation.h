/* SPDX-License-Identifier: MIT
 *
 * aggregation.h - what a declared aggregation is (R8, R9, R15), checked and made ready to run. Front header of this
 * room with lane.h.
 */
#ifndef WIKITALLY_COMPUTE_AGGREGATION_H
#define WIKITALLY_COMPUTE_AGGREGATION_H

#include "base/result.h"
#include "change/filter.h"

enum late_policy { LATE_AMEND, LATE_DROP };
enum on_change { CHANGE_REFUSE, CHANGE_REBUILD };

/* As declared in the configuration: plain data, borrowed texts. */
struct aggregation_options {
    const char *name;        /* [a-z][a-z0-9_]*, at most 40 bytes */
    const char *const *keys; /* field paths; 0 to 8. "path as column" renames: "user as user_name" */
    size_t key_count;
    const char *const *measures; /* "count", "sum(length.new)", "min(F)", "max(F)", "distinct(F)", "top(F,N)"; each may
                                    end in " as column"; 1 to 16 */
    size_t measure_count;
    const char *where;      /* filter.h; NULL or "": all */
    const char *time_field; /* "timestamp" */
    int64_t size_us;        /* 60 s; 1 s to 366 d */
    int64_t slide_us;       /* 0: = size (tumbling); else <= size; a record is in at most 1,000 windows, and at most
                               10,000 are held at once: (size + delay + lateness) / slide */
    int64_t delay_us;       /* 120 s */
    int64_t skew_us;        /* 60 s */
    enum late_policy late;
    int64_t lateness_us; /* 15 min; amend only */
    int64_t max_keys;    /* per (window, partition), first come; the rest in (other), as are keys whose JSON text is
                            longer than 4,096 bytes. 0: 100,000; at most 1,000,000 */
    enum on_change on_change;
};

/* The names of the built-in aggregations that the seeds of this product had, and what each groups by (oracle.md section
 * 6): user_edit_counts, bots, website, timeseries, titles. NULL: no such name. Static; every time is at its default. */
const struct aggregation_options *aggregation_built_in(struct str name);
extern const char *const aggregation_built_in_names[];        /* ends with NULL */
void aggregation_options_init(struct aggregation_options *o); /* the defaults above, nothing declared */

struct aggregation; /* immutable after aggregation_new; shared by the lanes of all partitions */

/* Checks all of it: ERR_REJECT/EXIT_CONFIG with the reason when it cannot be bounded, merged or understood.
 * `retention_us`: of the journal (R10: size + delay + lateness must not exceed half of it; 0: unknown). Needed paths go
 * into `set` (finish all before scanning). */
enum err_class aggregation_new(const struct aggregation_options *options, int64_t retention_us, struct field_set *set,
                               struct aggregation **ret_aggregation, struct err *err);
void aggregation_free(struct aggregation *a);
const struct result_schema *aggregation_schema(const struct aggregation *a);
const struct aggregation_options *aggregation_options(const struct aggregation *a); /* own copies of all texts */
/* What differs between two definition texts, on one line: "size: 60s -> 2m; key: ..." (R15). */
void definition_diff(struct str from, struct str to, struct buf *out);
size_t aggregation_time_field(const struct aggregation *a); /* index in the set */

#endif
