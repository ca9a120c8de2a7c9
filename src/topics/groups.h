/* SPDX-License-Identifier: MIT
 *
 * groups.h - who reads, and how far behind: the consumer groups of a cluster, or the aggregations in results.db, each
 * of which reads the embedded journal at a position of its own (NAME@N: generation N, which is being counted anew).
 *
 * Answers lie in the caller's arena. A group that is not there is no error.
 */
#ifndef WIKITALLY_TOPICS_GROUPS_H
#define WIKITALLY_TOPICS_GROUPS_H

#include "kafka/inspect.h"
#include "topics/topic.h"

/* All of them. Embedded: state "shown" or "recomputing". */
enum err_class groups_list(struct topics_place *place, struct arena *arena, const struct kafka_group_row **ret_rows,
                           size_t *ret_count, struct err *err);
/* Embedded: one member without a name (id and all else NULL), which has all its partitions. */
enum err_class groups_show(struct topics_place *place, const char *name, struct arena *arena,
                           struct kafka_group *ret_group, struct err *err);
/* What it has committed, and what is left for it to read. No rows: it has committed nothing, or there is none. */
enum err_class groups_lag(struct topics_place *place, const char *name, struct arena *arena,
                          const struct kafka_lag_row **ret_rows, size_t *ret_count, struct err *err);
/* Between the first record that is left and the newest; 0: none is left; KAFKA_UNKNOWN. */
int64_t groups_seconds(const struct kafka_lag_row *row);

struct groups_sum {
    int64_t messages, seconds; /* of all that is known: the sum, the most */
    bool messages_unknown, seconds_unknown;
};
struct groups_sum groups_sum(const struct kafka_lag_row *rows, size_t count);

#endif
