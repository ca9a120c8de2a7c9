/* SPDX-License-Identifier: MIT
 *
 * sqlite.c - the embedded journal: DIRECTORY/journal.db, written by one connection of one thread.
 *
 * Format 1 (application_id "wTlJ", user_version 1); columns named *_us are microseconds since the epoch, UTC:
 *
 *     meta          id, epoch, seed, source, created_us
 *     partitions    a row each: next_offset to be written, bytes of stored blobs
 *     batches       a row a batch (batch.c); id = partition << 48 | base offset
 *     notes         the source's position, audit, ... : JSON by key
 *     tally         the source's ledger (R12): count by side (0 event, 1 arrival), minute, bucket
 *     dead_letters  what could not be decoded, with its bytes
 *
 * All but batches have row_sum (base/db_sum.h).
 *
 * Everything of one append is in one transaction with synchronous=FULL. A batch is valid if its checksum holds and its
 * offsets do not reach into the next one; the offsets between two batches, where there are any, are a hole (skipped,
 * or taken by repair). Reader's algorithm: the batch with the highest id at or before the offset wanted, then on by id.
 *
 * Harmless: a kill at any place (the log is replayed or dropped as a whole), a reader of another process at any time, a
 * full disk (the append is refused, nothing of it is there). Not harmless: a failed fsync or write. Then nobody knows
 * what the disk holds, so nothing is written any more; the next start finds the truth.
 */
#include "journal/sqlite.h"
#include "base/clock.h"
#include "base/fault.h"
#include "journal/lock.h"

#include <stdlib.h>
#include <unistd.h>

/* A batch has a checksum of its own. */
static const char *const summed[] = {"meta", "partitions", "notes", "tally", "dead_letters", NULL};

const struct db_kind journal_kind = {
    .what = "journal",
    .summed = summed,
    .application_id = 0x77546c4a,
    .version = 1,
    .page_bytes = 4096,
    .schema = "CREATE TABLE meta (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;"
              "CREATE TABLE partitions (partition INTEGER PRIMARY KEY, next_offset INTEGER NOT NULL,"
              "  bytes INTEGER NOT NULL);"
              "CREATE TABLE batches (id INTEGER PRIMARY KEY, partition INTEGER NOT NULL, base INTEGER NOT NULL,"
              "  count INTEGER NOT NULL, min_arrival_us INTEGER, max_arrival_us INTEGER, raw_bytes INTEGER NOT NULL,"
              "  checksum INTEGER NOT NULL, blob BLOB NOT NULL);"
              "CREATE INDEX batches_by_arrival ON batches (partition, max_arrival_us, base);"
              "CREATE TABLE notes (key TEXT PRIMARY KEY, value TEXT NOT NULL);"
              "CREATE TABLE tally (side INTEGER NOT NULL, minute INTEGER NOT NULL, bucket INTEGER NOT NULL,"
              "  count INTEGER NOT NULL, PRIMARY KEY (side, minute, bucket)) WITHOUT ROWID;"
              "CREATE TABLE dead_letters (id INTEGER PRIMARY KEY AUTOINCREMENT, stage TEXT NOT NULL,"
              "  reason TEXT NOT NULL, detail TEXT, position TEXT, arrival_us INTEGER, stream_us INTEGER,"
              "  retried_us INTEGER, bytes BLOB NOT NULL);",
};

static const char *const writer_sql[WRITER_STATEMENTS] = {
    [WRITE_BATCH] = "INSERT INTO batches (id, partition, base, count, min_arrival_us, max_arrival_us, raw_bytes,"
                    " checksum, blob) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    [WRITE_PARTITION] = "UPDATE partitions SET next_offset = ?2, bytes = ?3 WHERE partition = ?1",
    [WRITE_NOTE] = "INSERT INTO notes (key, value) VALUES (?1, ?2)"
                   " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    [WRITE_DEAD] =
        "INSERT INTO dead_letters (stage, reason, detail, position, arrival_us, stream_us, retried_us, bytes)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    [WRITE_TALLY] = "INSERT INTO tally (side, minute, bucket, count) VALUES (?1, ?2, ?3, ?4)"
                    " ON CONFLICT (side, minute, bucket) DO UPDATE SET count = count + excluded.count",
    [WRITE_FOLD] = "INSERT INTO tally (side, minute, bucket, count) SELECT side, ?1, bucket, sum(count) FROM tally"
                   " WHERE minute > ?1 AND minute < ?2 GROUP BY side, bucket"
                   " ON CONFLICT (side, minute, bucket) DO UPDATE SET count = count + excluded.count",
    [WRITE_FOLDED] = "DELETE FROM tally WHERE minute > ?1 AND minute < ?2",
    [WRITE_RETRIED] = "UPDATE dead_letters SET retried_us = ?2 WHERE id = ?1",
    [READ_OLDEST] = "SELECT base, count, max_arrival_us, length(blob) FROM batches WHERE id >= ?1 AND id < ?2"
                    " ORDER BY id LIMIT 1",
    [READ_HOLDING] = "SELECT base, count, length(blob) FROM batches WHERE id >= ?1 AND id <= ?2"
                     " ORDER BY id DESC LIMIT 1",
    [DELETE_BATCH] = "DELETE FROM batches WHERE id = ?1",
};

static struct sqlite_journal *sqlite_of(struct journal *j)
{
    return (struct sqlite_journal *)j;
}

/* ---- the connection */

static void statements_close(struct sqlite_journal *j)
{
    for (int i = 0; i < WRITER_STATEMENTS; i++) {
        sqlite3_finalize(j->statements[i]);
        j->statements[i] = NULL;
    }
}

static enum err_class max_set(struct sqlite_journal *j, struct err *err)
{
    if (j->max_bytes <= 0) {
        return ERR_NONE;
    }
    int64_t page_bytes = 0, pages = 0;
    enum err_class c = db_query_int(&j->db, "PRAGMA page_size", &page_bytes, err);
    if (c) {
        return c;
    }
    AUTO(buf) struct buf sql = {0};
    int64_t most = j->max_bytes / page_bytes;
    buf_addf(&sql, "PRAGMA max_page_count=%lld", (long long)(most < 1 ? 1 : most > 4294967294 ? 4294967294 : most));
    return db_query_int(&j->db, sql.ptr, &pages, err);
}

static enum err_class connect(struct sqlite_journal *j,
                              enum err_class (*fill)(struct db *db, void *ctx, struct err *err), void *ctx,
                              struct err *err)
{
    enum err_class c = db_open_writer(&j->db, j->path, &journal_kind, fill, ctx, err);
    for (int i = 0; !c && i < WRITER_STATEMENTS; i++) {
        c = db_prepare(&j->db, writer_sql[i], &j->statements[i], err);
    }
    return c ? c : max_set(j, err);
}

static void disconnect(struct sqlite_journal *j)
{
    statements_close(j);
    db_close(&j->db);
}

enum err_class sqlite_journal_ready(struct sqlite_journal *j, struct err *err)
{
    if (!j->db.reopen) {
        return ERR_NONE;
    }
    disconnect(j);
    enum err_class c = failpoint_err("journal.in_reopen", err);
    c = c ? c : connect(j, NULL, NULL, err);
    if (c) {
        disconnect(j);
        j->db.kind = &journal_kind;
        j->db.reopen = true;
    }
    return c;
}

enum err_class sqlite_journal_begin(struct sqlite_journal *j, struct err *err)
{
    enum err_class c = sqlite_journal_ready(j, err);
    return c ? c : db_begin(&j->db, err);
}

/* ---- appending */

static void bind_time(sqlite3_stmt *s, int at, int64_t us)
{
    if (us == TIME_NONE) {
        sqlite3_bind_null(s, at);
    } else {
        sqlite3_bind_int64(s, at, us);
    }
}

static enum err_class batch_write(struct sqlite_journal *j, const struct stored_batch *b, struct err *err)
{
    sqlite3_stmt *s = j->statements[WRITE_BATCH];
    sqlite3_bind_int64(s, 1, batch_row(b->partition, b->base));
    sqlite3_bind_int64(s, 2, b->partition);
    sqlite3_bind_int64(s, 3, b->base);
    sqlite3_bind_int64(s, 4, b->count);
    bind_time(s, 5, b->min_arrival_us);
    bind_time(s, 6, b->max_arrival_us);
    sqlite3_bind_int64(s, 7, b->raw_bytes);
    sqlite3_bind_int64(s, 8, (int64_t)b->checksum);
    db_bind_blob(s, 9, b->blob);
    return db_run(&j->db, s, err);
}

static enum err_class partition_write(struct sqlite_journal *j, uint32_t partition, int64_t next, int64_t bytes,
                                      struct err *err)
{
    sqlite3_stmt *s = j->statements[WRITE_PARTITION];
    sqlite3_bind_int64(s, 1, partition);
    sqlite3_bind_int64(s, 2, next);
    sqlite3_bind_int64(s, 3, bytes);
    return db_run(&j->db, s, err);
}

/* Where the next append of each partition goes, while it is not committed. */
struct ends {
    int64_t next[PARTITION_MAX], bytes[PARTITION_MAX], newest_arrival_us;
};

static enum err_class records_write(struct sqlite_journal *j, const struct record **records, size_t count,
                                    uint32_t partition, struct ends *ends, struct err *err)
{
    while (count > 0) {
        size_t n = batch_fit(records, count);
        struct stored_batch b;
        if (ends->next[partition] + (int64_t)n >= OFFSET_END) {
            return err_set(err, ERR_FATAL, EXIT_DATA, "journal: partition %u has no offsets left", partition);
        }
        enum err_class c = batch_pack(&j->packer, records, n, partition, ends->next[partition], &b, err);
        if (!c) {
            c = batch_write(j, &b, err);
        }
        if (c) {
            return c;
        }
        ends->next[partition] += (int64_t)n;
        ends->bytes[partition] += (int64_t)b.blob.len;
        if (b.max_arrival_us > ends->newest_arrival_us) {
            ends->newest_arrival_us = b.max_arrival_us;
        }
        records += n;
        count -= n;
    }
    return partition_write(j, partition, ends->next[partition], ends->bytes[partition], err);
}

/* The records by partition, each partition's in their order. */
static enum err_class partitions_write(struct sqlite_journal *j, const struct batch *batch, struct ends *ends,
                                       struct err *err)
{
    if (batch->record_count > j->order_cap) {
        j->order_cap = batch->record_count;
        j->order = xrealloc(j->order, j->order_cap * sizeof(const struct record *));
    }
    size_t counts[PARTITION_MAX + 1] = {0}, starts[PARTITION_MAX + 1] = {0};
    for (size_t i = 0; i < batch->record_count; i++) {
        counts[batch->records[i].partition]++;
    }
    for (uint32_t p = 0; p < j->base.info.partitions; p++) {
        starts[p + 1] = starts[p] + counts[p];
    }
    for (size_t i = 0; i < batch->record_count; i++) {
        uint32_t p = batch->records[i].partition;
        j->order[starts[p + 1] - counts[p]--] = &batch->records[i];
    }
    for (uint32_t p = 0; p < j->base.info.partitions; p++) {
        size_t n = starts[p + 1] - starts[p];
        enum err_class c = n ? records_write(j, j->order + starts[p], n, p, ends, err) : ERR_NONE;
        if (c) {
            return c;
        }
    }
    return ERR_NONE;
}

static enum err_class notes_write(struct sqlite_journal *j, const struct batch *batch, struct err *err)
{
    sqlite3_stmt *s = j->statements[WRITE_NOTE];
    for (size_t i = 0; i < batch->note_count; i++) {
        db_bind_text(s, 1, batch->notes[i].key);
        db_bind_text(s, 2, batch->notes[i].value);
        enum err_class c = db_run(&j->db, s, err);
        if (c) {
            return c;
        }
    }
    return ERR_NONE;
}

static enum err_class dead_write(struct sqlite_journal *j, const struct batch *batch, struct err *err)
{
    sqlite3_stmt *s = j->statements[WRITE_DEAD];
    for (size_t i = 0; i < batch->dead_count; i++) {
        const struct dead_letter *d = &batch->dead[i];
        db_bind_text(s, 1, str_of(d->stage));
        db_bind_text(s, 2, str_of(d->reason));
        db_bind_text(s, 3, d->detail);
        db_bind_text(s, 4, d->position);
        bind_time(s, 5, d->arrival_us);
        bind_time(s, 6, d->stream_us);
        bind_time(s, 7, d->retried_us);
        db_bind_blob(s, 8, d->bytes);
        enum err_class c = db_run(&j->db, s, err);
        if (c) {
            return c;
        }
    }
    return ERR_NONE;
}

static enum err_class tally_write(struct sqlite_journal *j, const struct batch *batch, struct err *err)
{
    sqlite3_stmt *s = j->statements[WRITE_TALLY];
    for (size_t i = 0; i < batch->tally_count; i++) {
        sqlite3_bind_int64(s, 1, batch->tally[i].by);
        sqlite3_bind_int64(s, 2, batch->tally[i].minute);
        sqlite3_bind_int64(s, 3, batch->tally[i].bucket);
        sqlite3_bind_int64(s, 4, batch->tally[i].count);
        enum err_class c = db_run(&j->db, s, err);
        if (c) {
            return c;
        }
    }
    return ERR_NONE;
}

/* R12: minutes that have become old share one row. Once a minute at most. */
static enum err_class fold_old(struct sqlite_journal *j, int64_t floor, struct err *err)
{
    if (floor <= j->folded_minute) {
        return ERR_NONE;
    }
    for (int i = WRITE_FOLD; i <= WRITE_FOLDED; i++) {
        sqlite3_bind_int64(j->statements[i], 1, TALLY_OLDER);
        sqlite3_bind_int64(j->statements[i], 2, floor);
        enum err_class c = db_run(&j->db, j->statements[i], err);
        c = c ? c : failpoint_err("journal.in_fold", err);
        if (c) {
            return c;
        }
    }
    return ERR_NONE;
}

static enum err_class all_write(struct sqlite_journal *j, const struct batch *batch, struct ends *ends, struct err *err)
{
    enum err_class c = partitions_write(j, batch, ends, err);
    c = c ? c : failpoint_err("journal.in_append", err);
    c = c ? c : dead_write(j, batch, err);
    c = c ? c : notes_write(j, batch, err);
    c = c ? c : tally_write(j, batch, err);
    return c ? c : fold_old(j, journal_tally_floor(ends->newest_arrival_us), err);
}

/* R14: the position is in the same transaction as the records it covers. What a test takes away: it goes ahead. */
static enum err_class append_begin(struct sqlite_journal *j, const struct batch *batch, struct err *err)
{
    enum err_class c = sqlite_journal_begin(j, err);
    if (!c && fault("R14.position_first")) {
        c = db_end(&j->db, notes_write(j, batch, err), err);
        c = c ? c : sqlite_journal_begin(j, err);
    }
    return c;
}

static enum err_class sqlite_append(struct journal *base, const struct batch *batch, int64_t *ret_ends, struct err *err)
{
    struct sqlite_journal *j = sqlite_of(base);
    struct err own = {0}, *e = err ? err : &own;
    enum err_class c = append_begin(j, batch, e);
    if (c) {
        return c;
    }
    struct ends ends = {.newest_arrival_us = j->newest_arrival_us};
    memcpy(ends.next, j->next, sizeof ends.next);
    memcpy(ends.bytes, j->bytes, sizeof ends.bytes);
    c = db_end(&j->db, all_write(j, batch, &ends, e), e);
    j->full = c == ERR_RETRY && err_exit_code(e) == EXIT_IOERR;
    if (c) {
        return c;
    }
    memcpy(j->next, ends.next, sizeof j->next);
    memcpy(j->bytes, ends.bytes, sizeof j->bytes);
    j->newest_arrival_us = ends.newest_arrival_us;
    j->folded_minute = journal_tally_floor(ends.newest_arrival_us);
    if (ret_ends != NULL) {
        memcpy(ret_ends, ends.next, base->info.partitions * sizeof *ret_ends);
    }
    return ERR_NONE;
}

static enum err_class sqlite_dead_retried(struct journal *base, int64_t id, int64_t wall_us, struct err *err)
{
    struct sqlite_journal *j = sqlite_of(base);
    struct err own = {0}, *e = err ? err : &own;
    enum err_class c = sqlite_journal_begin(j, e);
    if (c) {
        return c;
    }
    sqlite3_stmt *s = j->statements[WRITE_RETRIED];
    sqlite3_bind_int64(s, 1, id);
    sqlite3_bind_int64(s, 2, wall_us);
    c = db_run(&j->db, s, e);
    if (!c && sqlite3_changes(j->db.handle) == 0) {
        c = err_set(e, ERR_REJECT, EXIT_NO, "there is no dead letter %lld", (long long)id);
    }
    c = c ? c : failpoint_err("journal.in_retried", e);
    return db_end(&j->db, c, e);
}

/* ---- opening */

static enum err_class meta_put(struct db *db, const char *key, int64_t number, struct str text, struct err *err)
{
    sqlite3_stmt *s = NULL;
    enum err_class c = db_prepare(db, "INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)", &s, err);
    if (!c) {
        db_bind_text(s, 1, str_of(key));
        if (text.ptr != NULL) {
            db_bind_text(s, 2, text);
        } else {
            sqlite3_bind_int64(s, 2, number);
        }
        c = db_run(db, s, err);
    }
    sqlite3_finalize(s);
    return c;
}

static enum err_class partitions_put(struct db *db, uint32_t from, uint32_t to, struct err *err)
{
    sqlite3_stmt *s = NULL;
    enum err_class c =
        db_prepare(db, "INSERT INTO partitions (partition, next_offset, bytes) VALUES (?1, 0, 0)", &s, err);
    for (uint32_t p = from; !c && p < to; p++) {
        sqlite3_bind_int64(s, 1, p);
        c = db_run(db, s, err);
    }
    sqlite3_finalize(s);
    return c;
}

static enum err_class fill(struct db *db, void *ctx, struct err *err)
{
    struct journal_info info;
    const struct str none = {0};
    enum err_class c = journal_info_new(ctx, &info, err);
    c = c ? c : meta_put(db, "id", 0, str_of(info.id), err);
    c = c ? c : meta_put(db, "epoch", 0, none, err);
    c = c ? c : meta_put(db, "seed", (int64_t)info.seed, none, err);
    c = c ? c : meta_put(db, "source", 0, str_of(info.source), err);
    c = c ? c : meta_put(db, "created_us", info.created_us, none, err);
    return c ? c : partitions_put(db, 0, info.partitions, err);
}

/* More partitions, a higher epoch: what opening may change. */
static enum err_class options_apply(struct sqlite_journal *j, const struct journal_options *options, struct err *err)
{
    struct journal_info *info = &j->base.info;
    const struct str none = {0};
    if (options->partitions <= info->partitions && !options->adopt) {
        return ERR_NONE;
    }
    enum err_class c = sqlite_journal_begin(j, err);
    if (c) {
        return c;
    }
    c = partitions_put(&j->db, info->partitions, options->partitions, err);
    if (!c && options->adopt) {
        c = meta_put(&j->db, "epoch", info->epoch + 1, none, err);
        c = c ? c : failpoint_err("journal.in_adopt", err);
    }
    c = db_end(&j->db, c, err);
    if (!c) {
        info->partitions = options->partitions > info->partitions ? options->partitions : info->partitions;
        info->epoch += options->adopt;
    }
    return c;
}

static enum err_class ends_load(struct sqlite_journal *j, struct err *err)
{
    sqlite3_stmt *s = NULL;
    bool row = true;
    enum err_class c =
        db_prepare(&j->db,
                   "SELECT p.partition, p.next_offset, p.bytes, (SELECT max(max_arrival_us) FROM batches b"
                   " WHERE b.partition = p.partition), (SELECT base + count FROM batches b WHERE b.id >= p.partition"
                   " << 48 AND b.id < (p.partition + 1) << 48 ORDER BY b.id DESC LIMIT 1) FROM partitions p",
                   &s, err);
    j->newest_arrival_us = TIME_NONE;
    while (!c && (c = db_step(&j->db, s, &row, err)) == ERR_NONE && row) {
        int64_t p = sqlite3_column_int64(s, 0);
        if (p < 0 || p >= j->base.info.partitions || sqlite3_column_int64(s, 1) < sqlite3_column_int64(s, 4)) {
            c = err_set(err, ERR_FATAL, EXIT_DATA,
                        "journal \"%s\" is corrupt: partition %lld ends before its last batch", j->path, (long long)p);
            break;
        }
        j->next[p] = sqlite3_column_int64(s, 1);
        j->bytes[p] = sqlite3_column_int64(s, 2);
        if (sqlite3_column_type(s, 3) != SQLITE_NULL && sqlite3_column_int64(s, 3) > j->newest_arrival_us) {
            j->newest_arrival_us = sqlite3_column_int64(s, 3);
        }
    }
    sqlite3_finalize(s);
    return c;
}

static void sqlite_close(struct journal *base)
{
    struct sqlite_journal *j = sqlite_of(base);
    disconnect(j);
    if (j->lock_fd >= 0) {
        close(j->lock_fd); /* after the database: it is what the lock is for */
    }
    batch_packer_fini(&j->packer);
    free(j->order);
    free(j->path);
    journal_fini(base);
    free(j);
}

static const struct journal_ops sqlite_ops = {
    .close = sqlite_close,
    .append = sqlite_append,
    .retain = sqlite_retain,
    .dead_retried = sqlite_dead_retried,
    .skip = sqlite_skip,
    .reader = sqlite_reader_new,
};

static struct sqlite_journal *sqlite_new(const struct journal_options *options)
{
    struct sqlite_journal *j = xcalloc(1, sizeof *j);
    AUTO(buf) struct buf path = {0};
    journal_init(&j->base, &sqlite_ops);
    buf_addf(&path, "%s/journal.db", options->directory);
    j->path = str_dup(buf_str(&path));
    j->max_bytes = options->max_bytes;
    j->lock_fd = -1;
    j->folded_minute = INT64_MIN;
    return j;
}

/* A journal that is only to be mended is not made: not even its directory or lock. */
static enum err_class must_exist(const struct journal_options *options, struct err *err)
{
    AUTO(buf) struct buf path = {0};
    buf_addf(&path, "%s/journal.db", options->directory);
    if (options->source || access(path.ptr, F_OK) == 0) {
        return ERR_NONE;
    }
    return err_set(err, ERR_REJECT, EXIT_NOINPUT, "there is no journal in \"%s\"", options->directory);
}

enum err_class journal_open_sqlite(const struct journal_options *options, struct journal **ret_journal, struct err *err)
{
    struct sqlite_journal *j = sqlite_new(options);
    struct err own = {0}, *e = err ? err : &own;
    enum err_class c = must_exist(options, e);
    c = c ? c : lock_take(options->directory, &j->lock_fd, e);
    c = c ? c : connect(j, fill, (void *)(uintptr_t)options, e);
    c = c ? c : sqlite_info_read(&j->db, &j->base.info, e);
    c = c ? c : journal_info_check(&j->base.info, options, e);
    c = c ? c : options_apply(j, options, e);
    c = c ? c : failpoint_err("journal.in_open", e);
    c = c ? c : ends_load(j, e);
    if (c) {
        sqlite_close(&j->base);
        return c;
    }
    *ret_journal = &j->base;
    return ERR_NONE;
}
