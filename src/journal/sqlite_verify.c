/* SPDX-License-Identifier: MIT
 *
 * sqlite_verify.c - `journal verify`: every batch is read, checked and unpacked; one short statement each.
 */
#include "base/clock.h"
#include "journal/sqlite.h"

struct verify {
    struct db *db;
    sqlite3_stmt *batch, *end;
    void (*problem)(const char *text, void *ctx);
    void *ctx;
    struct journal_verified found;
    int64_t problems, bytes;
    struct arena arena;
};

static void tell(struct verify *v, const char *text)
{
    v->problems++;
    v->problem(text, v->ctx);
}

static void tell_span(struct verify *v, uint32_t partition, int64_t from, int64_t to, const char *what)
{
    struct err e = {0};
    err_set(&e, ERR_REJECT, EXIT_DATA, "partition %u, offsets %lld to %lld: %s", partition, (long long)from,
            (long long)to, what);
    tell(v, e.text);
}

static void arrivals_check(struct verify *v, const struct stored_batch *b, const struct record *records)
{
    for (uint32_t i = 0; i < b->count; i++) {
        int64_t at = records[i].arrival_us;
        if (at != TIME_NONE && (at < b->min_arrival_us || at > b->max_arrival_us)) {
            tell_span(v, b->partition, b->base, b->base + b->count - 1, "an arrival outside of the batch's own span");
            return;
        }
    }
}

/* One batch; *next: where it should begin at the earliest. */
static void batch_check(struct verify *v, uint32_t partition, const struct stored_batch *b, int64_t *next)
{
    struct err e = {0};
    struct record *records;
    v->found.batches++;
    v->found.records += b->count;
    v->bytes += (int64_t)b->blob.len;
    if (b->partition != partition) {
        tell_span(v, partition, b->base, b->base + b->count - 1, "the row names another partition");
    }
    if (b->base < *next) {
        tell_span(v, partition, b->base, b->base + b->count - 1, "overlaps the batch before it");
    }
    v->found.holes += *next > 0 && b->base > *next;
    if (batch_unpack(b, &v->arena, &records, &e)) {
        tell(v, e.text);
    } else {
        arrivals_check(v, b, records);
    }
    arena_reset(&v->arena);
    *next = b->base + b->count;
}

static enum err_class partition_check(struct verify *v, uint32_t partition, struct err *err)
{
    int64_t at = batch_row(partition, 0), next = 0;
    bool row = true;
    enum err_class c = ERR_NONE;
    while (!c && row) {
        sqlite3_bind_int64(v->batch, 1, at);
        sqlite3_bind_int64(v->batch, 2, batch_row(partition + 1, 0));
        c = db_step(v->db, v->batch, &row, err);
        if (!c && row) {
            struct stored_batch b;
            sqlite_batch_column(v->batch, &b);
            batch_check(v, partition, &b, &next);
            at = sqlite3_column_int64(v->batch, 8) + 1;
        }
        sqlite3_reset(v->batch);
    }
    return c;
}

/* Where all partitions end, and the bytes they say they have. An append between two statements cannot fool this: it
 * reads once more what it compares. */
static enum err_class ends_check(struct verify *v, struct err *err)
{
    bool row = true;
    enum err_class c = ERR_NONE;
    while (!c && (c = db_step(v->db, v->end, &row, err)) == ERR_NONE && row) {
        uint32_t partition = (uint32_t)sqlite3_column_int64(v->end, 0);
        int64_t end = sqlite3_column_int64(v->end, 1), last = sqlite3_column_int64(v->end, 2);
        if (last > end) {
            tell_span(v, partition, end, last - 1, "batches beyond the partition's end");
        }
        if (sqlite3_column_int64(v->end, 3) != sqlite3_column_int64(v->end, 4)) {
            tell_span(v, partition, 0, end, "the stored sum of bytes is wrong");
        }
    }
    sqlite3_reset(v->end);
    return c;
}

static enum err_class verify_prepare(struct verify *v, struct err *err)
{
    enum err_class c = db_prepare(v->db,
                                  "SELECT partition, base, count, min_arrival_us, max_arrival_us, raw_bytes, checksum,"
                                  " blob, id FROM batches WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT 1",
                                  &v->batch, err);
    return c ? c
             : db_prepare(v->db,
                          "SELECT p.partition, p.next_offset, (SELECT max(base + count) FROM batches b WHERE b.id >="
                          " p.partition << 48 AND b.id < (p.partition + 1) << 48), p.bytes, (SELECT"
                          " coalesce(sum(length(blob)), 0) FROM batches b WHERE b.id >= p.partition << 48 AND b.id <"
                          " (p.partition + 1) << 48) FROM partitions p",
                          &v->end, err);
}

enum err_class sqlite_verify(struct journal_reader *r, void (*problem)(const char *text, void *ctx), void *ctx,
                             struct journal_verified *ret_verified, struct err *err)
{
    struct verify v = {.db = sqlite_reader_db(r), .problem = problem, .ctx = ctx};
    struct journal_info info = {0};
    enum err_class c = sqlite_info_read(v.db, &info, err);
    c = c ? c : verify_prepare(&v, err);
    for (uint32_t p = 0; !c && p < info.partitions; p++) {
        c = partition_check(&v, p, err);
    }
    c = c ? c : ends_check(&v, err);
    sqlite3_finalize(v.batch);
    sqlite3_finalize(v.end);
    arena_fini(&v.arena);
    *ret_verified = v.found;
    if (!c && v.problems > 0) {
        c = err_set(err, ERR_REJECT, EXIT_DATA, "the journal has %lld problems", (long long)v.problems);
    }
    return c;
}
