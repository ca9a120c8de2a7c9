/* SPDX-License-Identifier: MIT
 *
 * kafka.h - inside of the journal on Kafka: what its files share (private to this room).
 *
 *   kafka.c         appending
 *   kafka_open.c    topics, opening, taking over
 *   kafka_dead.c    TOPIC.dead
 *   kafka_reader.c  reading
 *   kafka_spool.c   what waits for a broker that is away
 *   kafka_state.c   TOPIC.state
 */
#ifndef WIKITALLY_JOURNAL_KAFKA_H
#define WIKITALLY_JOURNAL_KAFKA_H

#include "journal/kafka_spool.h"
#include "journal/kafka_state.h"
#include "kafka/admin.h"

#include <stdatomic.h>

/* Where it is: a copy of what the caller gave, and the names made of it. */
struct kafka_place {
    struct kafka_options client;
    struct journal_kafka options; /* client, topic: ours */
    char *brokers, *topic, *group, *state_topic, *dead_topic, *compression;
    char **properties;
};
void kafka_place_init(struct kafka_place *p, const struct journal_kafka *options);
void kafka_place_fini(struct kafka_place *p);

struct kafka_journal {
    struct journal base; /* first */
    struct kafka_place place;
    int lock_fd;
    int64_t batch_max; /* bytes that the topic takes at once */
    int64_t version;   /* of the journal (KAFKA_VERSION) */
    struct clock *clock;
    bool read_only;
    struct kafka_claim claim;
    bool anew; /* the topic is another than the state speaks of, and was adopted */
    struct kafka_writer *writer;
    struct kafka_state state;       /* as committed, while the writer is good */
    struct kafka_spool *spool;      /* NULL: none */
    int64_t last;                   /* number of the last transaction that is there or waits */
    int64_t ask_again_us, pause_us; /* monotonic: when a broker that is away is asked next, and how long after that */
    int64_t tried;                  /* batch whose commit failed: it may be there; 0: none */
    size_t tried_count;             /* its records */
    int64_t tried_bytes;
    /* The position of the last batch, which stands with a record that retention may take before another comes: so it
     * goes into the state too, now and then and at the end. */
    struct buf position;
    int64_t position_batch;     /* whose it is */
    bool position_stands;       /* in the state */
    int64_t position_stands_us; /* monotonic: since when one does */
    int64_t newest_arrival_us, folded_minute;
    int64_t offsets[PARTITION_MAX];      /* the highest that was delivered, or was there */
    int64_t before[PARTITION_MAX];       /* where the partitions ended before this transaction */
    _Atomic int64_t ends[PARTITION_MAX]; /* behind the last record that we know is committed */
};

enum { KAFKA_APPEND_US = 5000000 };
static inline struct kafka_journal *kafka_of(struct journal *j)
{
    return (struct kafka_journal *)j;
}

/* kafka.c */
enum err_class kafka_journal_consumer(struct kafka_journal *j, struct kafka_consumer **ret, struct err *err);
/* A producer that can be used, and the state as the broker has it. EXIT_FENCED: it is another's now. */
enum err_class kafka_journal_ready(struct kafka_journal *j, struct err *err);
enum err_class kafka_journal_append(struct journal *base, const struct batch *batch, int64_t *ret_ends,
                                    struct err *err);
/* What waits is written, as far as it goes until the deadline. ERR_RETRY: the broker is away still. */
enum err_class kafka_journal_drain(struct kafka_journal *j, int64_t deadline_us, struct err *err);
/* The position into the state, if it is not there; of no use after that. */
void kafka_journal_leave(struct kafka_journal *j);
enum err_class kafka_journal_settle(struct journal *base, int64_t wait_us, struct err *err);
enum err_class kafka_journal_dead_retried(struct journal *base, int64_t id, int64_t wall_us, struct err *err);

/* kafka_dead.c. The id of a dead letter is one more than its offset. */
enum err_class kafka_dead_put(struct kafka_journal *j, const struct dead_letter *d, int64_t deadline_us,
                              struct err *err);
enum err_class kafka_dead_each(struct kafka_feed *feed, const struct kafka_state *state, int64_t from_id,
                               bool (*each)(const struct dead_letter *d, void *ctx), void *ctx, struct err *err);

/* kafka_reader.c */
enum err_class kafka_reader_new(struct journal *j, struct journal_reader **ret_reader, struct err *err);
/* What a topic that is not ours is called, and how many partitions it has. */
void kafka_foreign_info(const struct kafka_place *place, uint32_t partitions, struct journal_info *ret_info);
/* `timed`: its journal is of KAFKA_VERSION_TIMED or later. */
int64_t kafka_message_arrival_us(const rd_kafka_message_t *m, bool timed);
/* The newest position that stands with one of the last records of a partition, and its batch; 0: none. */
enum err_class kafka_tail_position(struct kafka_feed *feed, struct buf *out, int64_t *ret_batch, struct err *err);
/* A header's value; false: there is none. */
bool kafka_message_header(const rd_kafka_message_t *m, const char *name, struct str *ret_value);

#endif
