/* SPDX-License-Identifier: MIT
 *
 * inspect.h - read-only questions to a cluster: its topics, their partitions and settings, consumer groups and how far
 * they are behind. Nothing is ever changed, and no group is joined.
 *
 * Each call waits for the brokers, at most wait_us (kafka_inspect_open) for each request. There is a request per
 * broker, not per row: all topics come with one metadata request, the ends of all partitions with one each for heads
 * and ends. Only a lag reads: a few records of each partition that has something left. Answers lie in the caller's
 * arena. Errors are those of kafka_error(). One thread; safe to repeat.
 */
#ifndef WIKITALLY_KAFKA_INSPECT_H
#define WIKITALLY_KAFKA_INSPECT_H

#include "base/arena.h"
#include "kafka/client.h"

struct kafka_inspect;
enum err_class kafka_inspect_open(const struct kafka_options *options, int64_t wait_us,
                                  struct kafka_inspect **ret_inspect, struct err *err);
void kafka_inspect_close(struct kafka_inspect *i); /* NULL is fine */
/* For who may not wait long for all of it together: from until_us (monotonic) on no request is waited for, and a lag
 * leaves what it has not looked at as KAFKA_UNKNOWN. */
void kafka_inspect_until(struct kafka_inspect *i, int64_t until_us);

/* ---- topics */

enum { KAFKA_NOBODY = -1, KAFKA_UNKNOWN = -1 };

struct kafka_partition_row {
    int32_t number, leader; /* leader KAFKA_NOBODY: it can be neither read nor written now */
    const int32_t *replicas, *in_sync;
    size_t replica_count, in_sync_count;
};
struct kafka_topic_row {
    const char *name;
    const struct kafka_partition_row *partitions; /* by number */
    size_t partition_count;                       /* 0: there is no such topic */
    int32_t replication;
    size_t under_replicated; /* partitions with fewer replicas in sync than they should have */
    bool internal;           /* Kafka's own */
};
struct kafka_broker_row {
    int32_t id;
    const char *host;
    int32_t port;
};
struct kafka_cluster {
    const char *id;     /* "": it has none */
    int32_t controller; /* KAFKA_NOBODY: not known; with KRaft any broker stands in for it */
    const struct kafka_broker_row *brokers;
    size_t broker_count;
    const struct kafka_topic_row *topics; /* by name; those that we may not see are missing */
    size_t topic_count;
};
enum err_class kafka_inspect_cluster(struct kafka_inspect *i, struct arena *arena, struct kafka_cluster *ret_cluster,
                                     struct err *err);
/* A topic that is not there is no error. */
enum err_class kafka_inspect_topic(struct kafka_inspect *i, const char *name, struct arena *arena,
                                   struct kafka_topic_row *ret_topic, struct err *err);

/* From where to where a partition can be read. */
struct kafka_span {
    const char *topic;
    int32_t partition;
    int64_t head, end; /* end: behind the last offset that is committed (the stable one) */
    int64_t high;      /* the end with what transactions have not committed yet: kafka_inspect_high alone asks for it */
};
/* Fills head and end of all. `spans` may be of many topics; they are sorted by topic and partition and have a leader
 * each. KAFKA_UNKNOWN: its leader did not say. */
enum err_class kafka_inspect_spans(struct kafka_inspect *i, struct kafka_span *spans, size_t count, struct err *err);
/* Fills `high` of all likewise. */
enum err_class kafka_inspect_high(struct kafka_inspect *i, struct kafka_span *spans, size_t count, struct err *err);

struct kafka_setting_row {
    const char *name, *value; /* value NULL: the broker does not tell (a secret) */
    const char *origin;       /* "topic", "broker", "cluster", "server.properties" */
};
/* Those of a topic that are not Kafka's own default, by name. */
enum err_class kafka_inspect_settings(struct kafka_inspect *i, const char *topic, struct arena *arena,
                                      const struct kafka_setting_row **ret_rows, size_t *ret_count, struct err *err);

/* ---- groups */

struct kafka_group_row {
    const char *name, *state; /* "Stable", "Empty", "PreparingRebalance", "CompletingRebalance", "Dead", "Unknown" */
};
/* All of them, by name; an error if a broker did not answer. */
enum err_class kafka_inspect_groups(struct kafka_inspect *i, struct arena *arena,
                                    const struct kafka_group_row **ret_rows, size_t *ret_count, struct err *err);

struct kafka_place_row {
    const char *topic;
    int32_t partition;
};
struct kafka_member_row {
    const char *id, *client, *host, *instance; /* instance NULL: not a static member */
    const struct kafka_place_row *places;      /* what it was assigned */
    size_t place_count;
};
struct kafka_group {
    bool exists;
    const char *state, *assignor;
    const char *coordinator; /* "host:port", "": not known */
    const struct kafka_member_row *members;
    size_t member_count;
};
/* A group that is not there is no error. */
enum err_class kafka_inspect_group(struct kafka_inspect *i, const char *name, struct arena *arena,
                                   struct kafka_group *ret_group, struct err *err);

struct kafka_lag_row {
    const char *topic;
    int32_t partition;
    int64_t committed, end; /* end KAFKA_UNKNOWN: no such topic any more, or no leader */
    /* Offsets from what is committed (or the head, if that is further) to the end; 0 if no record is among them, so
     * that a lag ends at 0 behind the mark of a transaction. Marks between records count. KAFKA_UNKNOWN as `end`. */
    int64_t messages;
    /* Timestamps of the first record that is left and of the newest; TIME_NONE: there is none, or it has no time. */
    int64_t first_us, newest_us;
};
/* What a group has committed, by topic and partition, and what is left for it to read. No rows: it has committed
 * nothing, or there is no such group. */
enum err_class kafka_inspect_lag(struct kafka_inspect *i, const char *group, struct arena *arena,
                                 const struct kafka_lag_row **ret_rows, size_t *ret_count, struct err *err);

#endif
