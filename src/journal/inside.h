/* SPDX-License-Identifier: MIT
 *
 * inside.h - what the journals have in common, and the seam between journal.c and the implementations (private to this
 * room).
 */
#ifndef WIKITALLY_JOURNAL_INSIDE_H
#define WIKITALLY_JOURNAL_INSIDE_H

#include "journal/journal.h"

#include <pthread.h>

struct journal_ops {
    void (*close)(struct journal *j);
    enum err_class (*append)(struct journal *j, const struct batch *batch, int64_t *ret_ends, struct err *err);
    enum err_class (*retain)(struct journal *j, const struct journal_retention *r, int64_t *ret_removed,
                             struct err *err);
    enum err_class (*settle)(struct journal *j, int64_t wait_us, struct err *err); /* NULL: nothing ever waits */
    enum err_class (*dead_retried)(struct journal *j, int64_t id, int64_t wall_us, struct err *err);
    enum err_class (*skip)(struct journal *j, uint32_t partition, int64_t offset, struct err *err);
    enum err_class (*reader)(struct journal *j, struct journal_reader **ret_reader, struct err *err);
};

struct journal {
    const struct journal_ops *ops; /* first member of every implementation */
    struct journal_info info;      /* as stored; size_bytes is not kept here */
    int64_t record_max;            /* journal_record_max */
    pthread_mutex_t lock;          /* of `appends` */
    pthread_cond_t appended;
    uint64_t appends;
};
void journal_init(struct journal *j, const struct journal_ops *ops);
void journal_fini(struct journal *j);
/* A new id, seed and creation time; epoch 0. EXIT_CONFIG if source or partitions are out of bounds. */
enum err_class journal_info_new(const struct journal_options *options, struct journal_info *ret_info, struct err *err);
/* May a journal with this info be opened with these options? EXIT_CONFIG. */
enum err_class journal_info_check(const struct journal_info *info, const struct journal_options *options,
                                  struct err *err);

struct journal_reader_ops {
    void (*close)(struct journal_reader *r);
    enum err_class (*hold)(struct journal_reader *r, struct err *err); /* NULL: cannot, memory */
    void (*release)(struct journal_reader *r);
    void (*tell)(struct journal_reader *r, const char *task, struct kafka_member *member,
                 const struct reader_progress *list, size_t count); /* NULL: nobody to tell */
    void (*rest)(struct journal_reader *r);                         /* NULL: nothing is fetched in advance */
    enum err_class (*info)(struct journal_reader *r, struct journal_info *ret_info, struct err *err);
    enum err_class (*bounds)(struct journal_reader *r, uint32_t partition, int64_t *ret_head, int64_t *ret_end,
                             struct err *err);
    enum err_class (*read)(struct journal_reader *r, uint32_t partition, int64_t from, size_t max_records,
                           struct arena *arena, struct journal_page *ret_page, struct err *err);
    enum err_class (*seek_arrival)(struct journal_reader *r, uint32_t partition, int64_t arrival_us,
                                   int64_t *ret_offset, struct err *err);
    enum err_class (*note)(struct journal_reader *r, struct str key, struct arena *arena, struct str *ret_value,
                           struct err *err);
    enum err_class (*dead)(struct journal_reader *r, int64_t from_id,
                           bool (*each)(const struct dead_letter *d, void *ctx), void *ctx, struct err *err);
    enum err_class (*tally)(struct journal_reader *r, bool (*each)(const struct tally_row *row, void *ctx), void *ctx,
                            struct err *err);
    enum err_class (*verify)(struct journal_reader *r, void (*problem)(const char *text, void *ctx), void *ctx,
                             struct journal_verified *ret_verified, struct err *err);
};
struct journal_reader {
    const struct journal_reader_ops *ops; /* first member */
};

/* R12: source ledger minutes below this are folded into `older`. INT64_MIN: no clock. */
int64_t journal_tally_floor(int64_t newest_arrival_us);
/* The limits to go by with so many bytes of blobs stored: with room_bytes and `hard` worked into max_bytes. */
struct journal_retention journal_room(const struct journal_retention *given, int64_t stored_bytes, bool is_full);
enum err_class journal_batch_check(const struct journal *j, const struct batch *batch, struct err *err);
enum err_class journal_no_such_offset(uint32_t partition, int64_t offset, struct err *err);

enum {
    NOTE_MAX_BYTES = 1 << 20,
    RECORD_MAX_BYTES = 32 << 20, /* the source refuses at 8 MiB; here is the wall behind it */
};

#endif
