/* SPDX-License-Identifier: MIT
 *
 * shared.h - what both sinks decide alike, so that it is decided once (private to this room).
 */
#ifndef WIKITALLY_SINK_SHARED_H
#define WIKITALLY_SINK_SHARED_H

#include "sink/results.h"

enum {
    TORN_MAX = 1000, /* torn spans kept per lane; beyond that the two oldest become one that covers both */
    NAME_MAX_BYTES = 48,
    COLUMNS_MAX = 64, /* keys and measures of one aggregation */
};

/* Rows, generations and marks that a page of reading takes at once. */
enum { RESULTS_PAGE = 4096 };

/* R8: does (epoch, revision, final) stand above what is stored? */
struct row_rank {
    int64_t epoch, revision;
    bool final;
};
bool row_rank_above(struct row_rank a, struct row_rank b);

/* R15: which windows readers see of which generation. Windows that start in [from_us, to_us). */
struct shown_span {
    int64_t generation, from_us, to_us;
};
/* -> how many; spans must have room for `count`. Newest first; none if shown is -1. The list is ordered by number. */
size_t shown_spans(const struct generation *list, size_t count, int64_t shown, struct shown_span *spans);

/* R12: ledger minutes and marks below this are folded into `older`, or forgotten. INT64_MIN: no clock yet. */
int64_t ledger_floor(const struct task_line *line);
/* The minutes that have rows of their own; the special ones are not. */
bool minute_is_plain(int64_t minute);

/* Names are identifiers that may be used in SQL, are not ours, and do not clash. EXIT_CONFIG. */
enum err_class schemas_check(const struct result_schema *const *schemas, size_t count, struct err *err);
bool name_is_valid(const char *name);

/* Deep copies into an arena. */
struct task_line task_line_copy(const struct task_line *line, struct arena *arena);
struct generation generation_copy(const struct generation *g, struct arena *arena);
/* The same definition of the same journal: what makes a repeated begin() harmless. */
bool generation_same(const struct generation *a, const struct generation *b);

enum err_class fenced(struct err *err, const char *aggregation, int64_t generation, uint32_t partition,
                      const char *why);

/* Reading: one implementation a store, behind results.c. */
struct results_ops {
    void (*close)(struct results *r);
    enum err_class (*hold)(struct results *r, struct err *err);
    void (*release)(struct results *r);
    enum err_class (*aggregations)(struct results *r, struct arena *arena, const struct stored_aggregation **ret_list,
                                   size_t *ret_count, struct err *err);
    enum err_class (*rows)(struct results *r, const struct results_query *q,
                           bool (*each)(const struct stored_row *row, void *ctx), void *ctx, struct err *err);
    enum err_class (*tally)(struct results *r, const char *aggregation,
                            bool (*each)(const struct stored_tally *t, void *ctx), void *ctx, struct err *err);
    enum err_class (*lines)(struct results *r, bool (*each)(const struct stored_line *l, void *ctx), void *ctx,
                            struct err *err);
    enum err_class (*torn)(struct results *r, const char *aggregation,
                           bool (*each)(uint32_t partition, const struct torn_span *t, void *ctx), void *ctx,
                           struct err *err);
    enum err_class (*mark)(struct results *r, const char *aggregation, int64_t generation, uint32_t partition,
                           int64_t from_us, struct arena *arena, struct mark *ret_mark, bool *ret_found,
                           struct err *err);
    enum err_class (*dead)(struct results *r, int64_t from_id, bool (*each)(const struct dead_letter *d, void *ctx),
                           void *ctx, struct err *err);
};
struct results {
    const struct results_ops *ops; /* first member of both */
};

#endif
