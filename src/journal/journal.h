/* SPDX-License-Identifier: MIT
 *
 * journal.h - the durable, ordered, replayable record (front header of this room). Implementations: sqlite.c (embedded
 * default), kafka.c (topics of a Kafka cluster), memory.c (tests).
 *
 * One writer (one thread, one connection, holds the directory's lock); any number of readers, each with a read-only
 * connection of its own and transactions under 1 s.
 */
#ifndef WIKITALLY_JOURNAL_JOURNAL_H
#define WIKITALLY_JOURNAL_JOURNAL_H

#include "base/arena.h"
#include "base/err.h"
#include "base/record.h"

struct journal; /* the writer */
struct journal_reader;

/* A journal on Kafka: the topic, TOPIC.state (position, audit, ledger; compacted) and TOPIC.dead (dead letters). A
 * topic that others write has neither: it can be read, not written. */
struct kafka_options;
struct journal_kafka {
    const struct kafka_options *client;
    const char *topic;
    const char *group;                         /* first part of the names of groups */
    bool create;                               /* topics that are not there may be made */
    int64_t replication;                       /* of topics made; 0: the broker's default */
    int64_t retention_age_us, retention_bytes; /* of the topic when it is made */
    const char *compression;                   /* librdkafka's word for it */
    int64_t linger_us, batch_bytes;
    int64_t spool_bytes; /* of batches that wait on the disk while no broker answers; 0: none, the source waits */
};

/* Where to read one. */
struct journal_place {
    const char *directory;             /* SQLite */
    const struct journal_kafka *kafka; /* NULL: SQLite */
};

struct journal_options {
    const char *directory; /* SQLite: holds journal.db and the lock file. Kafka: only the lock. NULL: no lock, memory */
    const struct journal_kafka *kafka; /* copied; NULL: not on Kafka */
    bool read_only;                    /* Kafka: only to read and to wait; append is an error */
    /* R2: the source's identity, e.g. "eventstreams:https://stream.wikimedia.org/v2/stream/recentchange"; another one
     * stored there is refused (EXIT_CONFIG). NULL: whatever it is; there must be a journal then (EXIT_NOINPUT). */
    const char *source;
    uint32_t partitions; /* created with; opening with more adds partitions, with fewer is refused; 0: as it is */
    int64_t max_bytes;   /* R13 hard limit of the database file; 0: none */
    bool adopt;          /* R15 --adopt: raise the epoch */
    struct clock *clock;
};

/* Opens for writing; makes directory and database if they are not there. Errors: EXIT_IN_USE (another instance holds
 * the lock; text names its pid), EXIT_TOO_NEW (user_version above ours; file untouched), EXIT_CONFIG (not ours, other
 * source), EXIT_DATA (corrupt), EXIT_CANTCREAT, EXIT_IOERR, EXIT_NOPERM. */
enum err_class journal_open_sqlite(const struct journal_options *options, struct journal **ret_journal,
                                   struct err *err);
enum err_class journal_open_memory(const struct journal_options *options, struct journal **ret_journal,
                                   struct err *err);
/* Takes the transactional.id "wikitally.TOPIC" over, so that no second ingester can write (EXIT_FENCED for the one that
 * was there, at its next append). ERR_RETRY/EXIT_UNAVAILABLE: no broker answers; EXIT_CONFIG: the topic was deleted and
 * made anew, or is not ours to write; EXIT_NOPERM. */
enum err_class journal_open_kafka(const struct journal_options *options, struct journal **ret_journal, struct err *err);
void journal_close(struct journal *j); /* NULL is fine; readers made from it must be closed before */

const char *journal_id(const struct journal *j); /* random, 32 hex digits, made with the journal */
int64_t journal_epoch(const struct journal *j);
uint64_t journal_seed(const struct journal *j); /* R9: of sketches; stored */
uint32_t journal_partitions(const struct journal *j);
bool journal_sparse(const struct journal *j); /* as in struct journal_info */
/* Bytes that a record may have at most; what is longer is a dead letter before it comes here. */
int64_t journal_record_max(const struct journal *j);

/* Appends all of it in one durable transaction; when this returns ERR_NONE it survives power loss (synchronous=FULL).
 * On any other class nothing of it is there, except ERR_FATAL after a failed fsync: then the truth is what a reopen
 * finds. ERR_RETRY with code EXIT_IOERR: full (disk, or max_bytes): try again later, nothing is lost. *ret_ends (may be
 * NULL; partitions entries): next offsets. */
enum err_class journal_append(struct journal *j, const struct batch *batch, int64_t *ret_ends, struct err *err);

/* R13. Removes whole batches that are older than max_age_us (by arrival, against newest_arrival_us; 0: no limit) or
 * beyond max_bytes of stored blobs, oldest first, but never one with an offset >= keep[partition] (keep NULL: no such
 * limit). A batch of unknown arrival is never too old. `hard` ignores keep (on_full: release) and, where the last
 * append was refused as full, removes at least a sixteenth of the blobs: call it again while that is not enough. The
 * file does not shrink; freed pages are used again. */
struct journal_retention {
    int64_t max_age_us, max_bytes, newest_arrival_us;
    const int64_t *keep;
    bool hard;
    int64_t room_bytes; /* blobs of so many bytes go in any case, as far as keep lets them; 0: none */
};
enum err_class journal_retain(struct journal *j, const struct journal_retention *r, int64_t *ret_removed_records,
                              struct err *err);

/* What was appended can be read: nothing waits for a broker any more (kafka_spool.h). ERR_RETRY: not within wait_us, or
 * it is away still; call it again. Of the thread that appends. */
enum err_class journal_settle(struct journal *j, int64_t wait_us, struct err *err);
/* Marks a dead letter as retried; part of the next append's transaction is not needed: its record was journalled just
 * before. */
enum err_class journal_dead_retried(struct journal *j, int64_t id, int64_t wall_us, struct err *err);
/* Takes a corrupt batch out of the way (journal repair --skip): its offsets become a hole. */
enum err_class journal_skip(struct journal *j, uint32_t partition, int64_t offset, struct err *err);

/* Any thread: waits until more than `seen` appends were made since the journal was opened, or the time is over. -> the
 * number now. */
uint64_t journal_wait(struct journal *j, uint64_t seen, int64_t timeout_us);
/* Any thread: ends all waits as an append does, for who has something else to look at. */
void journal_wake(struct journal *j);

/* ---- reading: each reader belongs to one thread */

/* From a writer in this process (either kind), or read-only from a directory that another process may be writing. */
enum err_class journal_reader_new(struct journal *j, struct journal_reader **ret_reader, struct err *err);
enum err_class journal_reader_open(const char *directory, struct journal_reader **ret_reader, struct err *err);
enum err_class journal_reader_open_kafka(const struct journal_kafka *where, struct journal_reader **ret_reader,
                                         struct err *err);
enum err_class journal_reader_open_at(const struct journal_place *place, struct journal_reader **ret_reader,
                                      struct err *err);
struct reader_progress {
    uint32_t partition;
    int64_t position, replay_from;
};
/* How far the task that reads is, as stored. Kafka: told to the cluster as the committed offsets of the group
 * GROUP.TASK, for who looks at lags (nobody begins there); at most once a second; by `member` if the group has members
 * (it outlives the reader), else NULL. Does not wait. */
struct kafka_member;
void journal_reader_tell(struct journal_reader *r, const char *task, struct kafka_member *member,
                         const struct reader_progress *list, size_t count);
/* It will not read for a while: lets go of what was fetched in advance, and of the ends it knows. */
void journal_reader_rest(struct journal_reader *r);
void journal_reader_close(struct journal_reader *r);

struct journal_info {
    char id[33];
    int64_t epoch;
    uint64_t seed;
    uint32_t partitions;
    char source[1024];
    int64_t created_us;
    int64_t size_bytes; /* of stored blobs */
    bool foreign;       /* a topic that others write: no ticks are in it */
    bool sparse;        /* offsets have holes where no record ever was: they count no records */
};
enum err_class journal_reader_info(struct journal_reader *r, struct journal_info *ret_info, struct err *err);
/* What is read until journal_reader_release is of one moment (db_hold). Only of a journal that is in a directory. */
enum err_class journal_reader_hold(struct journal_reader *r, struct err *err);
void journal_reader_release(struct journal_reader *r); /* harmless when nothing is held */
/* Oldest offset kept and next offset to be written. Empty: equal. */
enum err_class journal_reader_bounds(struct journal_reader *r, uint32_t partition, int64_t *ret_head, int64_t *ret_end,
                                     struct err *err);

struct journal_page {
    const struct record *records; /* in `arena` given to read; offsets rise; a jump is a hole (record.skipped) */
    size_t count;                 /* 0: nothing at or after `from` yet */
};
/* Records at or after `from`, at most max_records (whole batches are decoded, so pages may be shorter). A corrupt
 * batch: ERR_FATAL, EXIT_DATA, text names partition, offsets and what to do (journal repair --skip). Memory: the page's
 * own, from the arena. */
enum err_class journal_reader_read(struct journal_reader *r, uint32_t partition, int64_t from, size_t max_records,
                                   struct arena *arena, struct journal_page *ret_page, struct err *err);
/* The first offset of the first batch that holds an arrival >= arrival_us, else end: where to begin to look. */
enum err_class journal_reader_seek_arrival(struct journal_reader *r, uint32_t partition, int64_t arrival_us,
                                           int64_t *ret_offset, struct err *err);

/* *ret_value in arena; ptr NULL if there is no such note. */
enum err_class journal_reader_note(struct journal_reader *r, struct str key, struct arena *arena, struct str *ret_value,
                                   struct err *err);
/* Callbacks return false to stop. Strings are borrowed for the call. */
enum err_class journal_reader_dead(struct journal_reader *r, int64_t from_id,
                                   bool (*each)(const struct dead_letter *d, void *ctx), void *ctx, struct err *err);
enum err_class journal_reader_tally(struct journal_reader *r, bool (*each)(const struct tally_row *row, void *ctx),
                                    void *ctx, struct err *err);

/* journal verify: every batch's checksum, count, offsets without overlap, blob decodes. Calls problem() for each
 * finding; -> ERR_REJECT/EXIT_DATA if there was one. */
struct journal_verified {
    int64_t batches, records, holes;
};
enum err_class journal_reader_verify(struct journal_reader *r, void (*problem)(const char *text, void *ctx), void *ctx,
                                     struct journal_verified *ret_verified, struct err *err);

#endif
