/* SPDX-License-Identifier: MIT
 *
 * admission_state.h - the inside of struct admission, shared by the admission_*.c files only.
 *
 *   admission.c         what becomes of one record
 *   admission_decode.c  what is known about it before that
 *   admission_batch.c   what was decided since the last commit, as one batch
 *   admission_load.c    the state after a start, from notes, tail and dead letters
 */
#ifndef WIKITALLY_SOURCE_ADMISSION_STATE_H
#define WIKITALLY_SOURCE_ADMISSION_STATE_H

#include "base/fault.h"
#include "source/admission.h"
#include "source/identities.h"
#include "source/position.h"

enum { NOTES_MAX = 4 }; /* notes set from outside, besides our two */
enum { NO_TOPIC = 0 };  /* index of "no topic" in admission.topic_names, and its clock */

/* One record, looked at. Strings are borrowed from its bytes. */
struct decoded {
    struct str bytes;
    int64_t arrival_us;
    enum dead_reason reason; /* DEAD_NONE: it can be journalled */
    size_t at;               /* byte of the defect */
    bool scanned;            /* its fields are known, even if it is dead because of its time */
    enum change_kind kind;
    int64_t time_us; /* R5; TIME_NONE: none, or dead */
    bool future;     /* R5: more than the skew after the earlier of arrival and meta.dt */
    int64_t dt_us;   /* valid meta.dt, or TIME_NONE */
    size_t topic;    /* index in topic_names; NO_TOPIC without topic or valid dt */
    struct event_name name;
    struct identity ids[2];
    int which[2]; /* 0 meta.id, 1 wiki+id */
    size_t id_count;
    int64_t offset; /* meta.offset of upstream partition 0, or -1 */
    uint32_t partition;
};

struct partition_state {
    int64_t next; /* offset of the next record */
    int64_t quiet_since_mono_us;
};

struct admission {
    struct source_options options;
    struct field_set *fields;
    struct filter *filter;    /* NULL: none */
    struct value *own_values; /* one record's, owned */
    struct value *values;     /* of the record being looked at: own_values or, if they are shared, in the arena */
    struct identities *identities;
    char (*topic_names)[TOPIC_NAME_MAX]; /* [0]: "" = no topic; then those of the position, then others as they come */
    size_t topic_count, topic_cap;
    struct position position;
    struct audit audit;
    struct partition_state partitions[PARTITION_MAX];
    int64_t received_mono_us; /* when the last record was received; TIME_NONE: none since the start */

    /* what was decided since the last commit */
    struct arena arena;
    struct record *records;
    const struct value **record_values; /* of each record; NULL for a tick */
    struct record_label *labels;        /* of each record, if they are asked for */
    int64_t ends[PARTITION_MAX];        /* from the journal, behind a commit; -1: as expected */
    size_t record_count, record_cap;
    struct dead_letter *dead;
    size_t dead_count, dead_cap;
    struct tally tally;
    struct note notes[NOTES_MAX + 2];
    size_t note_count;
    size_t bytes;
    bool moved;         /* the position, at least */
    const char *reason; /* of the last outcome */
    int64_t last_offset;
    struct buf position_text, audit_text, scratch, other_scratch;
    struct batch batch;
};

/* Index of a topic's name, made if it is new; NO_TOPIC when there are 1,023 others. */
size_t admission_topic(struct admission *a, struct str name);
void admission_decode(struct admission *a, struct str bytes, int64_t arrival_us, bool live, struct decoded *ret);
/* The numberings of all topics, in the position's order. */
size_t admission_numberings(struct admission *a, struct numbering *ret[POSITION_TOPICS]);

enum err_class admission_append(struct admission *a, const struct decoded *d, struct err *err);
enum err_class admission_bury(struct admission *a, const struct decoded *d, struct str where, struct err *err);
void admission_book(struct admission *a, enum source_bucket bucket, int64_t time_us, int64_t arrival_us);
void admission_move_clock(struct admission *a, const struct decoded *d); /* stream time of what was journalled */
/* Makes a record's names known and moves the clocks that it moves; also for records of the tail. */
enum err_class admission_remember(struct admission *a, const struct decoded *d, struct identity_place place,
                                  struct err *err);

#endif
