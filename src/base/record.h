/* SPDX-License-Identifier: MIT
 *
 * record.h - what the source hands to the journal and the journal to its readers.
 */
#ifndef WIKITALLY_BASE_RECORD_H
#define WIKITALLY_BASE_RECORD_H

#include "base/arena.h"
#include "base/tally.h"

enum { PARTITION_MAX = 64 }; /* partitions of one journal; embedded default 1 */

struct record {
    uint32_t partition; /* 0 .. PARTITION_MAX - 1 */
    int64_t offset;     /* from 0, dense per partition when written; assigned by the journal */
    int64_t arrival_us; /* R5: when it arrived, whole milliseconds, or TIME_NONE = unknown; never falls within a
                           partition */
    struct str value;   /* the event's bytes exactly as received; borrowed */
    /* Of a record read: offsets just before its own at which there never was one (Kafka: marks of transactions, what
     * was aborted). They are no hole. */
    int64_t skipped;
};

/* What a journal that others read says of a record beside its bytes. */
struct record_label {
    struct str key;   /* "enwiki:Title", or ptr NULL: none (no page) */
    const char *kind; /* "change", "canary", "tick" */
};

/* What stands for "this very record" in a task's line (R15): a 64-bit hash of value and arrival with a fixed seed. */
uint64_t record_identity(const struct record *r);

/* R2: what could not be decoded or stored. Bytes are the original ones. */
struct dead_letter {
    int64_t id;         /* given by the store; 0 when new */
    const char *stage;  /* "source" or the task's name */
    const char *reason; /* from the closed list of oracle.md section 2: too-large, bad-utf8, too-deep, syntax,
                           surrogate, not-object, bad-time, no-time */
    struct str detail;  /* a sentence: what and at which byte */
    struct str
        position; /* where it stood: "eqiad.mediawiki.recentchange/0/6101423904", "FILE:17", "partition 0 offset 17" */
    int64_t arrival_us; /* or TIME_NONE */
    int64_t
        stream_us; /* the source's stream time right then (it is known as a duplicate by that clock), or TIME_NONE */
    int64_t retried_us; /* wall time when a retry succeeded, or TIME_NONE */
    struct str bytes;
};

/* A small document kept in the same transaction as records: the source's position, its audit. Upsert by key. */
struct note {
    struct str key;   /* "position", "audit", ... */
    struct str value; /* JSON text, at most 1 MiB */
};

/* Buckets of the source's ledger (R12): received + ticks = duplicate + filtered + dead + journalled. "received" and
 * "ticks" are rows as well, so that an imbalance can be seen. Stored as numbers: append only. */
enum source_bucket {
    SOURCE_RECEIVED,
    SOURCE_TICK,
    SOURCE_DUPLICATE,
    SOURCE_FILTERED,
    SOURCE_DEAD,
    SOURCE_JOURNALLED,
    SOURCE_BUCKETS
};
extern const char *const source_bucket_names[SOURCE_BUCKETS];

/* Buckets of a task's ledger (R12): records up to its position = the sum of all. Append only. */
enum task_bucket {
    TASK_DEAD,
    TASK_CANARY,
    TASK_TICK,
    TASK_UNMATCHED,
    TASK_FUTURE,
    TASK_COUNTED,
    TASK_LATE,
    TASK_GAP,
    TASK_BUCKETS
};
extern const char *const task_bucket_names[TASK_BUCKETS];

struct value;

/* One atomic unit on its way into the journal (R3, R11). All of it borrowed from whoever made it, for the time of the
 * call. */
struct batch {
    const struct record *records; /* offset is ignored: a record gets its partition's next one, in this order */
    size_t record_count;
    const struct dead_letter *dead;
    size_t dead_count;
    const struct note *notes;
    size_t note_count;
    const struct tally_row *tally; /* bucket: enum source_bucket */
    size_t tally_count;

    /* What a task of the same process need not do again; none of it is stored. One pointer per record to what the
     * source's scan found in it (change/change.h; NULL: not scanned); the array is NULL if nothing is shared. Then the
     * records have the offsets that the journal will give them, and they and the values lie in `memory`: who has
     * appended the batch may take that over and leave an empty arena. */
    const struct value *const *values;
    struct arena *memory;

    const struct record_label *labels; /* one per record; NULL: nobody asked for them */
    int64_t *ends; /* NULL, or PARTITION_MAX numbers: where an append puts the partitions' next offsets, if that is not
                      what the number of records says (Kafka) */
};

#endif
