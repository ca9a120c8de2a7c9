/* SPDX-License-Identifier: MIT
 *
 * sqlite.h - inside of the embedded journal: what its files share (private to this room; format in sqlite.c).
 */
#ifndef WIKITALLY_JOURNAL_SQLITE_H
#define WIKITALLY_JOURNAL_SQLITE_H

#include "base/db.h"
#include "journal/batch.h"
#include "journal/inside.h"

enum { PARTITION_SHIFT = 48 };
/* Row number of the batch that begins at this offset. */
static inline int64_t batch_row(uint32_t partition, int64_t base)
{
    return ((int64_t)partition << PARTITION_SHIFT) + base;
}
#define OFFSET_END ((int64_t)1 << PARTITION_SHIFT)

enum writer_statement {
    WRITE_BATCH,
    WRITE_PARTITION,
    WRITE_NOTE,
    WRITE_DEAD,
    WRITE_TALLY,
    WRITE_FOLD,
    WRITE_FOLDED,
    WRITE_RETRIED,
    READ_OLDEST,
    READ_HOLDING,
    DELETE_BATCH,
    WRITER_STATEMENTS
};

struct sqlite_journal {
    struct journal base; /* first */
    int lock_fd;
    char *path;
    int64_t max_bytes;
    bool full; /* the last append was refused */
    struct db db;
    sqlite3_stmt *statements[WRITER_STATEMENTS];
    struct batch_packer packer;
    const struct record **order; /* scratch: records of one partition after the other */
    size_t order_cap;
    int64_t next[PARTITION_MAX], bytes[PARTITION_MAX]; /* as committed */
    int64_t newest_arrival_us, folded_minute;
};

extern const struct db_kind journal_kind;

/* Opens the file again if it was full before (C-S3). */
enum err_class sqlite_journal_ready(struct sqlite_journal *j, struct err *err);
/* Begins a transaction, on a fresh connection if the file was full before; db_end ends it. */
enum err_class sqlite_journal_begin(struct sqlite_journal *j, struct err *err);
/* Takes a batch away: row, bytes. In a transaction; *bytes is changed by the caller after the commit. */
enum err_class sqlite_journal_delete(struct sqlite_journal *j, uint32_t partition, int64_t base, int64_t bytes,
                                     struct err *err);

enum err_class sqlite_retain(struct journal *j, const struct journal_retention *r, int64_t *ret_removed,
                             struct err *err);
enum err_class sqlite_skip(struct journal *j, uint32_t partition, int64_t offset, struct err *err);
enum err_class sqlite_reader_new(struct journal *j, struct journal_reader **ret_reader, struct err *err);
enum err_class sqlite_info_read(struct db *db, struct journal_info *ret_info, struct err *err);

struct sqlite_reader;
struct db *sqlite_reader_db(struct journal_reader *r);
/* What the columns partition, base, count, min_arrival_us, max_arrival_us, raw_bytes, checksum, blob of a row say. */
void sqlite_batch_column(sqlite3_stmt *s, struct stored_batch *ret);
enum err_class sqlite_verify(struct journal_reader *r, void (*problem)(const char *text, void *ctx), void *ctx,
                             struct journal_verified *ret_verified, struct err *err);

#endif
