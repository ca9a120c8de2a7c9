/* SPDX-License-Identifier: MIT
 *
 * memory_private.h - what memory.c (writing) and memory_reader.c share. Private to this room.
 */
#ifndef WIKITALLY_JOURNAL_MEMORY_PRIVATE_H
#define WIKITALLY_JOURNAL_MEMORY_PRIVATE_H

#include "base/clock.h"
#include "journal/inside.h"
#include "journal/memory.h"

struct memory_record {
    struct record record; /* value owned */
    int64_t batch;        /* -1: lost */
    bool corrupt;
};

struct memory_partition {
    struct memory_record *records; /* offset = index */
    int64_t count, cap, head;
};

struct memory_note {
    char *key, *value;
    size_t key_len, value_len;
};

struct memory_journal {
    struct journal base; /* first */
    pthread_mutex_t mutex;
    struct clock *clock;
    struct memory_partition partitions[PARTITION_MAX];
    int64_t batches, bytes, max_bytes;
    bool full; /* the last append was refused */
    struct memory_note *notes;
    size_t note_count;
    struct dead_letter *dead; /* texts in `texts` */
    size_t dead_count;
    struct arena texts;
    struct tally_row *tally;
    size_t tally_count;
    int64_t newest_arrival_us;
};

struct memory_reader {
    struct journal_reader base; /* first */
    struct memory_journal *journal;
};

static inline struct memory_journal *memory_of(struct journal *j)
{
    return (struct memory_journal *)j;
}

enum err_class memory_reader_new(struct journal *j, struct journal_reader **ret_reader, struct err *err);

#endif
