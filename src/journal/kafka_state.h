/* SPDX-License-Identifier: MIT
 *
 * kafka_state.h - what a journal on Kafka keeps beside its records, in the same transaction: who it is, which batch was
 * the last, notes, source ledger. Private to this room.
 *
 * Topic TOPIC.state, one partition, compacted; so that the newest record of each key is all there is to know. Values
 * are text. Each transaction writes "batch". Keys:
 *
 *   journal             lines NAME=VALUE: version, id, seed, epoch, created_us, partitions, source
 *   batch               lines batch=NUMBER, owner=INSTANCE, ends=OFFSET,OFFSET,...: the last transaction, whose it was,
 *                       and where the partitions ended before it, at least
 *   claim               who writes (kafka/claim.h)
 *   note/NAME           a note (base/record.h), behind a line batch=NUMBER. "position" stands here only where it could
 *                       not go with a record, in the header "position" beside the header "batch": the higher batch wins
 *   tally/SIDE/MINUTE   the source ledger's row: absolute counts by bucket, separated by blanks
 *   retried/ID          when a dead letter was retried, wall time in microseconds
 */
#ifndef WIKITALLY_JOURNAL_KAFKA_STATE_H
#define WIKITALLY_JOURNAL_KAFKA_STATE_H

#include "base/buf.h"
#include "journal/inside.h"
#include "kafka/claim.h"
#include "kafka/feed.h"
#include "kafka/writer.h"

#define STATE_CLAIM "claim"
#define HEADER_BATCH "wikitally.batch"
#define HEADER_POSITION "wikitally.position"
#define HEADER_KIND "wikitally.kind"
#define HEADER_ARRIVAL "wikitally.arrival" /* "none": the timestamp is not when it arrived, nobody knows that */

/* Of a journal. From KAFKA_VERSION_TIMED on a record that says "none" has no timestamp (-1), so that nobody has to look
 * for the header: librdkafka unpacks all of a record's, a tenth of what it costs to read one. */
enum { KAFKA_VERSION = 2, KAFKA_VERSION_TIMED = 2 };

enum { KAFKA_WAIT_US = 3000000, POSITION_HEADER_MAX = 32 << 10 };

struct kept_note {
    char *key;
    char *value;
    size_t len;
    int64_t batch;
};
struct retried {
    int64_t id, wall_us;
};

struct kafka_state {
    bool found; /* "journal" was read: it is ours */
    struct journal_info info;
    int64_t version;
    int64_t batch;                /* 0: none yet */
    char owner[KAFKA_OWNER_SIZE]; /* of the last batch */
    char claim[KAFKA_OWNER_SIZE]; /* who writes */
    int64_t ends[PARTITION_MAX];
    struct kept_note *notes;
    size_t note_count;
    struct retried *retried;
    size_t retried_count;
    struct tally tally;
    int64_t next; /* of the topic: what was read so far */
};

void kafka_state_init(struct kafka_state *s);
void kafka_state_fini(struct kafka_state *s);
/* Reads on to the end of the topic. */
enum err_class kafka_state_refresh(struct kafka_state *s, struct kafka_feed *feed, struct err *err);
const struct kept_note *kafka_state_note(const struct kafka_state *s, struct str key); /* NULL: none */
void kafka_state_set_note(struct kafka_state *s, struct str key, struct str value, int64_t batch);
int64_t kafka_state_retried(const struct kafka_state *s, int64_t id); /* TIME_NONE: not */

/* What a transaction writes of it. `topic` is TOPIC.state. */
struct kafka_state_writer {
    struct kafka_writer *writer;
    const char *topic;
    int64_t deadline_us;
};
enum err_class kafka_state_put_journal(const struct kafka_state_writer *w, const struct journal_info *info,
                                       int64_t version, struct err *err);
enum err_class kafka_state_put_batch(const struct kafka_state_writer *w, int64_t batch, const char *owner,
                                     const int64_t *ends, uint32_t partitions, struct err *err);
enum err_class kafka_state_put_note(const struct kafka_state_writer *w, const struct note *note, int64_t batch,
                                    struct err *err);
enum err_class kafka_state_put_retried(const struct kafka_state_writer *w, int64_t id, int64_t wall_us,
                                       struct err *err);
/* Adds a batch's rows to the sum, and writes what became of those minutes. Behind a failure the sum is worth nothing.
 */
enum err_class kafka_state_put_tally(const struct kafka_state_writer *w, struct kafka_state *s,
                                     const struct tally_row *rows, size_t count, struct err *err);
/* Notes and ledger are those of another journal: they go. */
enum err_class kafka_state_forget(const struct kafka_state_writer *w, struct kafka_state *s, struct err *err);
/* Minutes that have become too old go into `older` (R12). */
enum err_class kafka_state_fold(const struct kafka_state_writer *w, struct kafka_state *s, int64_t newest_arrival_us,
                                struct err *err);

#endif
