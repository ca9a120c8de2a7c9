/* SPDX-License-Identifier: MIT
 *
 * catalog.h - what topics there are: of a cluster, or the embedded journal as a cluster of one topic without brokers.
 *
 * For a cluster a list is a request for all topics and two for each broker that leads some, however many rows it has
 * (kafka/inspect.h). Answers lie in the caller's arena.
 */
#ifndef WIKITALLY_TOPICS_CATALOG_H
#define WIKITALLY_TOPICS_CATALOG_H

#include "kafka/inspect.h"
#include "topics/topic.h"

/* Embedded: the id is the journal's, no controller, no brokers; partitions have neither leader nor replicas
 * (replication KAFKA_UNKNOWN). */
enum err_class topics_cluster(struct topics_place *place, struct arena *arena, struct kafka_cluster *ret_cluster,
                              struct err *err);

struct topic_row {
    const char *name;
    size_t partition_count;
    int32_t replication;      /* KAFKA_UNKNOWN: embedded */
    int64_t records;          /* sum of the partitions' offsets, which count marks; KAFKA_UNKNOWN: one did not say */
    int64_t under_replicated; /* partitions; KAFKA_UNKNOWN: embedded */
    bool internal;
};
struct topics_list {
    struct kafka_cluster cluster;
    const struct topic_row *rows; /* by name */
    size_t count;
    bool more; /* there are others behind these */
};
/* At most `limit` (0: all) of those whose name is greater than `after` (NULL: of all). */
enum err_class topics_list(struct topics_place *place, const char *after, size_t limit, struct arena *arena,
                           struct topics_list *ret_list, struct err *err);

enum { TOPIC_ENDS = 1, TOPIC_SETTINGS = 2 };
struct topic_shown {
    struct kafka_topic_row topic;  /* partition_count 0: there is no such topic */
    const struct kafka_span *ends; /* of each of its partitions, in their order; KAFKA_UNKNOWN: nobody said */
    const struct kafka_setting_row *settings;
    size_t setting_count;
};
/* `what`: TOPIC_..., what is asked for beside its partitions. */
enum err_class topics_show(struct topics_place *place, const char *name, int what, struct arena *arena,
                           struct topic_shown *ret_shown, struct err *err);

#endif
