/* SPDX-License-Identifier: MIT
 *
 * admin.h - topics: what they are, and making them. Each call waits for the broker, at most wait_us.
 */
#ifndef WIKITALLY_KAFKA_ADMIN_H
#define WIKITALLY_KAFKA_ADMIN_H

#include "kafka/client.h"

struct kafka_topic {
    bool exists;
    int32_t partitions, replication;
};
/* Asks for this topic alone; a topic that is not there is no error. */
enum err_class kafka_topic_look(struct kafka_client *c, const char *name, int64_t wait_us,
                                struct kafka_topic *ret_topic, struct err *err);
/* One setting of a topic, "max.message.bytes", as text into out (size bytes). */
enum err_class kafka_topic_setting(struct kafka_client *c, const char *name, const char *setting, int64_t wait_us,
                                   char *out, size_t size, struct err *err);

struct kafka_topic_options {
    const char *name;
    int32_t partitions, replication; /* replication 0: what the broker has as its default */
    const struct kafka_setting *settings;
    size_t setting_count;
};
/* Made, and known to the broker asked. One that somebody else makes meanwhile is as good. ERR_REJECT/EXIT_CONFIG: the
 * broker does not want it so; EXIT_NOPERM: it may not be made by us. */
enum err_class kafka_topic_make(struct kafka_client *c, const struct kafka_topic_options *options, int64_t wait_us,
                                struct err *err);

/* More partitions; *ret_topic: as it is then. */
enum err_class kafka_topic_grow(struct kafka_client *c, const char *name, int32_t partitions, int64_t wait_us,
                                struct kafka_topic *ret_topic, struct err *err);

struct kafka_progress {
    int32_t partition;
    int64_t offset;       /* of the next record */
    const char *metadata; /* at most 4,096 bytes */
};
/* For a request; borrows the metadata. */
rd_kafka_topic_partition_list_t *kafka_progress_list(const char *topic, const struct kafka_progress *list,
                                                     size_t count);
void kafka_progress_list_free(rd_kafka_topic_partition_list_t *offsets);
/* Tells the cluster how far a group is, for who looks at lags. Does not wait: the answer comes to `answers` (the
 * caller's queue), where the next call looks for it. Nobody may be a member of the group. */
void kafka_group_tell(struct kafka_client *c, const char *group, const char *topic, const struct kafka_progress *list,
                      size_t count, rd_kafka_queue_t *answers);
/* Takes answers that have come, waiting for the first at most wait_us. -> how many. */
size_t kafka_answers_take(rd_kafka_queue_t *answers, int64_t wait_us);

#endif
