/* SPDX-License-Identifier: MIT
 *
 * sqlite_reader.c - reading the embedded journal, beside its writer or from another process. Read-only, one statement a
 * page, no transaction across a callback: a reader that stands still must not hold the writer's log.
 */
#include "base/clock.h"
#include "journal/sqlite.h"

#include <stdlib.h>

enum reader_statement {
    READ_META,
    READ_PARTITION,
    READ_BATCHES,
    READ_ARRIVAL,
    READ_NOTE,
    READ_DEAD,
    READ_TALLY,
    READER_STATEMENTS
};
enum { PAGE_MAX_BYTES = 16 << 20, DEAD_PAGE_ROWS = 64, DEAD_PAGE_BYTES = 16 << 20 };

struct sqlite_reader {
    struct journal_reader base; /* first */
    struct db db;
    sqlite3_stmt *statements[READER_STATEMENTS];
    struct arena cache; /* the batch that a page ended in, so that the next page need not unpack it again */
    struct stored_batch cached;
    struct record *cached_records; /* NULL: none */
};

static const char *const reader_sql[READER_STATEMENTS] = {
    [READ_META] = "SELECT key, value FROM meta UNION ALL SELECT 'partitions', count(*) FROM partitions"
                  " UNION ALL SELECT 'bytes', sum(bytes) FROM partitions",
    [READ_PARTITION] =
        "SELECT next_offset, coalesce((SELECT base FROM batches WHERE id >= ?1 << 48 AND id < (?1 + 1) << 48"
        " ORDER BY id LIMIT 1), next_offset) FROM partitions WHERE partition = ?1",
    [READ_BATCHES] =
        "SELECT partition, base, count, min_arrival_us, max_arrival_us, raw_bytes, checksum, blob FROM batches"
        " WHERE id >= coalesce((SELECT max(id) FROM batches WHERE id >= ?1 AND id <= ?2), ?2) AND id < ?3"
        " ORDER BY id",
    [READ_ARRIVAL] = "SELECT base FROM batches WHERE partition = ?1 AND max_arrival_us >= ?2"
                     " ORDER BY max_arrival_us, base LIMIT 1",
    [READ_NOTE] = "SELECT value FROM notes WHERE key = ?1",
    [READ_DEAD] =
        "SELECT id, stage, reason, detail, position, arrival_us, stream_us, retried_us, bytes FROM dead_letters"
        " WHERE id >= ?1 ORDER BY id",
    [READ_TALLY] = "SELECT side, minute, bucket, count FROM tally ORDER BY side, minute, bucket",
};

static struct sqlite_reader *reader_of(struct journal_reader *r)
{
    return (struct sqlite_reader *)r;
}

struct db *sqlite_reader_db(struct journal_reader *r)
{
    return &reader_of(r)->db;
}

static enum err_class reader_hold(struct journal_reader *r, struct err *err)
{
    return db_hold(sqlite_reader_db(r), err);
}

static void reader_release(struct journal_reader *r)
{
    db_release(sqlite_reader_db(r));
}

/* ---- small things */

static int64_t column_time(sqlite3_stmt *s, int at)
{
    return sqlite3_column_type(s, at) == SQLITE_NULL ? TIME_NONE : sqlite3_column_int64(s, at);
}

static void meta_take(struct journal_info *info, sqlite3_stmt *s)
{
    struct str key = db_column(s, 0);
    if (str_eqz(key, "id") || str_eqz(key, "source")) {
        bool is_id = str_eqz(key, "id");
        struct str value = db_column(s, 1);
        size_t room = is_id ? sizeof info->id : sizeof info->source;
        size_t n = value.len < room ? value.len : room - 1;
        char *to = is_id ? info->id : info->source;
        memcpy(to, value.ptr, n);
        to[n] = '\0';
    } else if (str_eqz(key, "epoch")) {
        info->epoch = sqlite3_column_int64(s, 1);
    } else if (str_eqz(key, "seed")) {
        info->seed = (uint64_t)sqlite3_column_int64(s, 1);
    } else if (str_eqz(key, "created_us")) {
        info->created_us = sqlite3_column_int64(s, 1);
    } else if (str_eqz(key, "partitions")) {
        info->partitions = (uint32_t)sqlite3_column_int64(s, 1);
    } else if (str_eqz(key, "bytes")) {
        info->size_bytes = sqlite3_column_int64(s, 1);
    }
}

enum err_class sqlite_info_read(struct db *db, struct journal_info *ret_info, struct err *err)
{
    sqlite3_stmt *s = NULL;
    struct journal_info info = {0};
    bool row = true;
    enum err_class c = db_prepare(db, reader_sql[READ_META], &s, err);
    while (!c && (c = db_step(db, s, &row, err)) == ERR_NONE && row) {
        meta_take(&info, s);
    }
    sqlite3_finalize(s);
    if (!c && (info.partitions < 1 || info.partitions > PARTITION_MAX || info.id[0] == '\0')) {
        c = err_set(err, ERR_FATAL, EXIT_DATA, "journal: corrupt, it has no id or no partitions");
    }
    if (!c) {
        *ret_info = info;
    }
    return c;
}

static enum err_class reader_info(struct journal_reader *r, struct journal_info *ret_info, struct err *err)
{
    return sqlite_info_read(&reader_of(r)->db, ret_info, err);
}

static enum err_class reader_bounds(struct journal_reader *base, uint32_t partition, int64_t *ret_head,
                                    int64_t *ret_end, struct err *err)
{
    struct sqlite_reader *r = reader_of(base);
    sqlite3_stmt *s = r->statements[READ_PARTITION];
    bool row = false;
    sqlite3_bind_int64(s, 1, partition);
    enum err_class c = db_step(&r->db, s, &row, err);
    if (!c) {
        *ret_end = row ? sqlite3_column_int64(s, 0) : 0;
        *ret_head = row ? sqlite3_column_int64(s, 1) : 0;
    }
    sqlite3_reset(s);
    return c;
}

/* ---- pages */

void sqlite_batch_column(sqlite3_stmt *s, struct stored_batch *ret)
{
    *ret = (struct stored_batch){
        .partition = (uint32_t)sqlite3_column_int64(s, 0),
        .base = sqlite3_column_int64(s, 1),
        .count = (uint32_t)sqlite3_column_int64(s, 2),
        .min_arrival_us = column_time(s, 3),
        .max_arrival_us = column_time(s, 4),
        .raw_bytes = sqlite3_column_int64(s, 5),
        .checksum = (uint64_t)sqlite3_column_int64(s, 6),
        .blob = db_column(s, 7),
    };
}

struct page {
    struct record *records;
    size_t count, room, bytes;
};

static void page_add(struct page *page, const struct record *records, size_t count, struct arena *arena, bool copy)
{
    for (size_t i = 0; i < count; i++) {
        page->records[page->count] = records[i];
        if (copy) {
            page->records[page->count].value = arena_dup(arena, records[i].value);
        }
        page->bytes += records[i].value.len;
        page->count++;
    }
}

static enum err_class cache_fill(struct sqlite_reader *r, const struct stored_batch *b, struct err *err)
{
    bool same = r->cached_records != NULL && r->cached.partition == b->partition && r->cached.base == b->base &&
                r->cached.count == b->count && r->cached.checksum == b->checksum;
    if (same) {
        return ERR_NONE;
    }
    arena_reset(&r->cache);
    r->cached_records = NULL;
    struct record *records;
    enum err_class c = batch_unpack(b, &r->cache, &records, err);
    if (!c) {
        r->cached_records = records;
        r->cached = *b;
    }
    return c;
}

/* Adds what the page can take of a batch. A batch that fits whole is unpacked straight into the caller's arena; one
 * that does not is left to the next page, unless this one would be empty: a part has to be copied. */
static enum err_class page_take(struct sqlite_reader *r, const struct stored_batch *b, int64_t from, struct page *page,
                                struct arena *arena, struct err *err)
{
    int64_t skip = from > b->base ? from - b->base : 0, left = (int64_t)b->count - skip;
    if (left <= 0) {
        return ERR_NONE;
    }
    size_t room = page->room - page->count, n = (size_t)left < room ? (size_t)left : room;
    if (n == b->count) {
        struct record *records;
        enum err_class c = batch_unpack(b, arena, &records, err);
        if (!c) {
            page_add(page, records, n, arena, false);
        }
        return c;
    }
    if (page->count > 0) {
        page->room = page->count;
        return ERR_NONE;
    }
    enum err_class c = cache_fill(r, b, err);
    if (!c) {
        page_add(page, r->cached_records + skip, n, arena, true);
    }
    return c;
}

static enum err_class reader_read(struct journal_reader *base, uint32_t partition, int64_t from, size_t max_records,
                                  struct arena *arena, struct journal_page *ret_page, struct err *err)
{
    struct sqlite_reader *r = reader_of(base);
    sqlite3_stmt *s = r->statements[READ_BATCHES];
    struct page page = {.room = max_records};
    page.records = arena_alloc(arena, (max_records + 1) * sizeof *page.records);
    bool row = true;
    enum err_class c = ERR_NONE;
    if (from >= OFFSET_END) {
        *ret_page = (struct journal_page){0};
        return ERR_NONE;
    }
    sqlite3_bind_int64(s, 1, batch_row(partition, 0));
    sqlite3_bind_int64(s, 2, batch_row(partition, from));
    sqlite3_bind_int64(s, 3, batch_row(partition + 1, 0));
    while (page.count < page.room && page.bytes < PAGE_MAX_BYTES && (c = db_step(&r->db, s, &row, err)) == ERR_NONE &&
           row) {
        struct stored_batch b;
        sqlite_batch_column(s, &b);
        c = page_take(r, &b, from, &page, arena, err);
        if (c) {
            break;
        }
    }
    sqlite3_reset(s);
    if (c && page.count == 0) { /* else: what came before it first; the next call meets it again */
        return err && err->code == EXIT_DATA
                   ? err_prefix(err, "partition %u from offset %lld", partition, (long long)from)
                   : c;
    }
    *ret_page = (struct journal_page){page.records, page.count};
    return ERR_NONE;
}

static enum err_class reader_seek(struct journal_reader *base, uint32_t partition, int64_t arrival_us,
                                  int64_t *ret_offset, struct err *err)
{
    struct sqlite_reader *r = reader_of(base);
    sqlite3_stmt *s = r->statements[READ_ARRIVAL];
    bool row = false;
    sqlite3_bind_int64(s, 1, partition);
    sqlite3_bind_int64(s, 2, arrival_us);
    enum err_class c = db_step(&r->db, s, &row, err);
    int64_t head, offset = !c && row ? sqlite3_column_int64(s, 0) : 0;
    sqlite3_reset(s);
    if (!c && !row) {
        c = reader_bounds(base, partition, &head, &offset, err);
    }
    if (!c) {
        *ret_offset = offset;
    }
    return c;
}

/* ---- notes, dead letters, ledger */

static enum err_class reader_note(struct journal_reader *base, struct str key, struct arena *arena,
                                  struct str *ret_value, struct err *err)
{
    struct sqlite_reader *r = reader_of(base);
    sqlite3_stmt *s = r->statements[READ_NOTE];
    bool row = false;
    db_bind_text(s, 1, key);
    enum err_class c = db_step(&r->db, s, &row, err);
    if (!c) {
        *ret_value = row ? arena_dup(arena, db_column(s, 0)) : (struct str){0};
    }
    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
    return c;
}

static void dead_take(sqlite3_stmt *s, struct arena *arena, struct dead_letter *d)
{
    struct str texts[4];
    for (int i = 0; i < 4; i++) {
        struct str t = db_column(s, 1 + i);
        texts[i] = t.ptr ? arena_dup(arena, t) : t;
    }
    *d = (struct dead_letter){
        .id = sqlite3_column_int64(s, 0),
        .stage = texts[0].ptr,
        .reason = texts[1].ptr,
        .detail = texts[2],
        .position = texts[3],
        .arrival_us = column_time(s, 5),
        .stream_us = column_time(s, 6),
        .retried_us = column_time(s, 7),
        .bytes = arena_dup(arena, db_column(s, 8)),
    };
}

static enum err_class dead_page(struct sqlite_reader *r, int64_t from_id, struct arena *arena, struct dead_letter *page,
                                size_t *ret_count, struct err *err)
{
    sqlite3_stmt *s = r->statements[READ_DEAD];
    bool row = true;
    size_t n = 0;
    enum err_class c = ERR_NONE;
    sqlite3_bind_int64(s, 1, from_id);
    while (n < DEAD_PAGE_ROWS && arena->used_bytes < DEAD_PAGE_BYTES &&
           (c = db_step(&r->db, s, &row, err)) == ERR_NONE && row) {
        dead_take(s, arena, &page[n++]);
    }
    sqlite3_reset(s);
    *ret_count = n;
    return c;
}

static enum err_class reader_dead(struct journal_reader *base, int64_t from_id,
                                  bool (*each)(const struct dead_letter *d, void *ctx), void *ctx, struct err *err)
{
    struct sqlite_reader *r = reader_of(base);
    struct dead_letter page[DEAD_PAGE_ROWS];
    AUTO(arena) struct arena arena = {0};
    enum err_class c;
    size_t count = 1;
    while ((c = dead_page(r, from_id, &arena, page, &count, err)) == ERR_NONE && count > 0) {
        for (size_t i = 0; i < count; i++) {
            if (!each(&page[i], ctx)) {
                return ERR_NONE;
            }
        }
        from_id = page[count - 1].id + 1;
        arena_reset(&arena);
    }
    return c;
}

static enum err_class reader_tally(struct journal_reader *base, bool (*each)(const struct tally_row *row, void *ctx),
                                   void *ctx, struct err *err)
{
    struct sqlite_reader *r = reader_of(base);
    sqlite3_stmt *s = r->statements[READ_TALLY];
    AUTO_FREE struct tally_row *rows = NULL;
    size_t count = 0, cap = 0;
    bool row = true;
    enum err_class c;
    while ((c = db_step(&r->db, s, &row, err)) == ERR_NONE && row) { /* bounded: 32 days of minutes (R12) */
        if (count == cap) {
            cap = cap ? cap * 2 : 1024;
            rows = xrealloc(rows, cap * sizeof *rows);
        }
        rows[count++] = (struct tally_row){.by = (enum tally_by)sqlite3_column_int(s, 0),
                                           .minute = sqlite3_column_int64(s, 1),
                                           .bucket = (uint8_t)sqlite3_column_int(s, 2),
                                           .count = sqlite3_column_int64(s, 3)};
    }
    sqlite3_reset(s);
    for (size_t i = 0; !c && i < count && each(&rows[i], ctx); i++) {
    }
    return c;
}

/* ---- life */

static void reader_close(struct journal_reader *base)
{
    struct sqlite_reader *r = reader_of(base);
    for (int i = 0; i < READER_STATEMENTS; i++) {
        sqlite3_finalize(r->statements[i]);
    }
    db_close(&r->db);
    arena_fini(&r->cache);
    free(r);
}

static const struct journal_reader_ops reader_ops = {
    .close = reader_close,
    .hold = reader_hold,
    .release = reader_release,
    .info = reader_info,
    .bounds = reader_bounds,
    .read = reader_read,
    .seek_arrival = reader_seek,
    .note = reader_note,
    .dead = reader_dead,
    .tally = reader_tally,
    .verify = sqlite_verify,
};

static enum err_class reader_open(const char *path, struct journal_reader **ret_reader, struct err *err)
{
    struct sqlite_reader *r = xcalloc(1, sizeof *r);
    r->base.ops = &reader_ops;
    enum err_class c = db_open_reader(&r->db, path, &journal_kind, err);
    for (int i = 0; !c && i < READER_STATEMENTS; i++) {
        c = db_prepare(&r->db, reader_sql[i], &r->statements[i], err);
    }
    if (c) {
        reader_close(&r->base);
        return c;
    }
    *ret_reader = &r->base;
    return ERR_NONE;
}

enum err_class sqlite_reader_new(struct journal *j, struct journal_reader **ret_reader, struct err *err)
{
    return reader_open(((struct sqlite_journal *)j)->path, ret_reader, err);
}

enum err_class journal_reader_open(const char *directory, struct journal_reader **ret_reader, struct err *err)
{
    AUTO(buf) struct buf path = {0};
    buf_addf(&path, "%s/journal.db", directory);
    return reader_open(path.ptr, ret_reader, err);
}
