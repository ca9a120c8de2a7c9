/* SPDX-License-Identifier: MIT
 *
 * writer.h - a transactional producer: begin, add, commit; all of it or nothing (C-K1 to C-K6, C-K9).
 *
 * Every failure has one way out: the writer is spent, and whoever uses it closes it, opens another of the same
 * transactional.id (which ends or aborts what the old one had open, and fences it) and looks at the broker what became
 * of the transaction. Never at anything in memory: a commit can fail here and have happened there.
 *
 * One thread. A call that waits for the broker returns at its deadline.
 */
#ifndef WIKITALLY_KAFKA_WRITER_H
#define WIKITALLY_KAFKA_WRITER_H

#include "kafka/client.h"

#include <stdatomic.h>

struct kafka_writer_options {
    const struct kafka_options *kafka;
    const char *transactional_id;         /* C-K10: stable, never shared by two that live */
    const struct kafka_setting *settings; /* above the user's */
    size_t setting_count;
    /* NULL, or: once it is true no call waits much longer for the broker (any thread may set it); outlives the writer.
     */
    const atomic_bool *hurry;
};

struct kafka_writer;
/* Makes the producer and takes the transactional.id over (init_transactions). ERR_RETRY: no broker within wait_us. */
enum err_class kafka_writer_open(const struct kafka_writer_options *options, int64_t wait_us,
                                 struct kafka_writer **ret_writer, struct err *err);
void kafka_writer_close(struct kafka_writer *w); /* what is not committed is aborted by the next one; NULL is fine */
struct kafka_client *kafka_writer_client(struct kafka_writer *w);

struct kafka_header {
    const char *name;
    struct str value;
};
enum { KAFKA_HEADERS_MAX = 8 };
struct kafka_record {
    const char *topic;
    int32_t partition;
    struct str key, value; /* ptr NULL: null, of a value a tombstone */
    int64_t timestamp_ms;  /* 0: now; -1: none */
    const struct kafka_header *headers;
    size_t header_count;
    /* NULL, or where the offset goes once it is delivered, if it is higher than what stands there: until the writer is
     * closed. */
    int64_t *offset;
};

enum err_class kafka_writer_begin(struct kafka_writer *w, struct err *err);
/* Copies. Waits while librdkafka's queue is full, at most until deadline_us (monotonic). ERR_REJECT/EXIT_DATA: larger
 * than the producer may send. */
enum err_class kafka_writer_add(struct kafka_writer *w, const struct kafka_record *r, int64_t deadline_us,
                                struct err *err);
/* What was added is at the broker, not committed. ERR_REJECT/EXIT_CONFIG: it refuses one of them (C-K9). Behind a
 * failure the writer is spent. */
enum err_class kafka_writer_flush(struct kafka_writer *w, int64_t deadline_us, struct err *err);
/* ERR_NONE: all of it is there, and readers of what is committed see it. ERR_FATAL/EXIT_FENCED: another producer of the
 * same transactional.id came, or this one's transaction timed out at the broker (C-K4): the caller has to look. */
enum err_class kafka_writer_commit(struct kafka_writer *w, int64_t deadline_us, struct err *err);
/* How far a reader has come, in the transaction. `metadata` (kafka_member_metadata) is the fence of KIP-447:
 * ERR_FATAL/EXIT_FENCED if the group has given the partitions to another since. */
struct kafka_progress;
enum err_class kafka_writer_offsets(struct kafka_writer *w, const char *topic, const struct kafka_progress *list,
                                    size_t count, const rd_kafka_consumer_group_metadata_t *metadata,
                                    int64_t deadline_us, struct err *err);
/* One record outside of any transaction; ERR_NONE: the broker has it. ERR_RETRY: not within wait_us. */
enum err_class kafka_send(const struct kafka_options *kafka, const struct kafka_record *r, int64_t wait_us,
                          struct err *err);
/* After a commit: may it be used for another, or must it be replaced before (C-K1)? */
bool kafka_writer_is_spent(const struct kafka_writer *w);

#endif
