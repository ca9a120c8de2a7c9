/* SPDX-License-Identifier: MIT
 *
 * member.h - one of a consumer group: which partitions of a topic are ours, of all instances that read it together
 * (R6, C-K7, C-K8). It reads nothing itself: partitions are read with feeds (feed.h).
 *
 * A member that is not polled for max.poll.interval.ms, or whose process is silent for session.timeout.ms, is thrown
 * out; then its partitions are lost, and the cluster refuses what it still wants to write (kafka_writer_offsets).
 * Assignment is cooperative: only what moves is taken away. Membership is static (KIP-345): who comes again under the
 * same name within the session's time has its partitions at once, and nobody else notices.
 */
#ifndef WIKITALLY_KAFKA_MEMBER_H
#define WIKITALLY_KAFKA_MEMBER_H

#include "kafka/admin.h"
#include "kafka/client.h"

struct kafka_member_options {
    const struct kafka_options *kafka;
    const char *group, *topic;
    const char *instance; /* group.instance.id; NULL: a dynamic member, which leaves when it is closed */
};
struct kafka_member;
/* Does not wait for a broker. */
enum err_class kafka_member_open(const struct kafka_member_options *options, struct kafka_member **ret_member,
                                 struct err *err);
void kafka_member_close(struct kafka_member *m); /* NULL is fine */
/* Joins anew, with nothing assigned. Nobody else uses the member meanwhile. Options.kafka has to be there still. */
enum err_class kafka_member_again(struct kafka_member *m, struct err *err);
int64_t kafka_member_joins(const struct kafka_member *m); /* how often it did: 1 at first */

struct kafka_member_events {
    void (*assigned)(void *ctx, const int32_t *partitions, size_t count);
    /* Afterwards they are another's: what is to be written must be written before it returns, unless they are `lost`
     * already. */
    void (*revoked)(void *ctx, const int32_t *partitions, size_t count, bool lost);
    void *ctx;
};
/* Of one thread, often. Calls `events` before it returns. Does not wait. ERR_FATAL/EXIT_FENCED: another instance has
 * the same name, or what we sent as we joined came twice: who said so last that it is the one, is.
 * ERR_REJECT/EXIT_NOPERM: refused. What may pass is only logged. */
enum err_class kafka_member_poll(struct kafka_member *m, const struct kafka_member_events *events, struct err *err);
/* Waits until no transaction that moves the offsets of ours is open any more: those of whoever had them before are
 * decided then. ERR_RETRY: not within wait_us. */
enum err_class kafka_member_settle(struct kafka_member *m, int64_t wait_us, struct err *err);
/* Offsets of partitions of ours, outside of a transaction. Does not wait, and nobody hears whether it was done. */
void kafka_member_tell(struct kafka_member *m, const struct kafka_progress *list, size_t count);
/* Any thread: who we are now, for kafka_writer_offsets(); to be destroyed. NULL: not a member. */
rd_kafka_consumer_group_metadata_t *kafka_member_metadata(struct kafka_member *m);
const char *kafka_member_topic(const struct kafka_member *m);

#endif
