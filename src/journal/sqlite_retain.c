/* SPDX-License-Identifier: MIT
 *
 * sqlite_retain.c - what leaves the embedded journal: retention (R13) and skipped batches (R10). Deleted pages stay in
 * the file and are used again; the file does not shrink.
 */
#include "base/clock.h"
#include "base/fault.h"
#include "journal/sqlite.h"

enum { DELETES_PER_TRANSACTION = 256 }; /* so that an append never waits long */

struct oldest { /* the first batch of a partition */
    bool there;
    int64_t base, end, newest_us, bytes;
};

enum err_class sqlite_journal_delete(struct sqlite_journal *j, uint32_t partition, int64_t base, int64_t bytes,
                                     struct err *err)
{
    sqlite3_stmt *s = j->statements[DELETE_BATCH];
    sqlite3_bind_int64(s, 1, batch_row(partition, base));
    enum err_class c = db_run(&j->db, s, err);
    if (!c) {
        s = j->statements[WRITE_PARTITION];
        sqlite3_bind_int64(s, 1, partition);
        sqlite3_bind_int64(s, 2, j->next[partition]);
        sqlite3_bind_int64(s, 3, bytes);
        c = db_run(&j->db, s, err);
    }
    return c;
}

static enum err_class oldest_load(struct sqlite_journal *j, uint32_t partition, struct oldest *ret, struct err *err)
{
    sqlite3_stmt *s = j->statements[READ_OLDEST];
    sqlite3_bind_int64(s, 1, batch_row(partition, 0));
    sqlite3_bind_int64(s, 2, batch_row(partition + 1, 0));
    bool row = false;
    enum err_class c = db_step(&j->db, s, &row, err);
    if (!c) {
        *ret = (struct oldest){.there = row};
    }
    if (!c && row) {
        ret->base = sqlite3_column_int64(s, 0);
        ret->end = ret->base + sqlite3_column_int64(s, 1);
        ret->newest_us = sqlite3_column_type(s, 2) == SQLITE_NULL ? TIME_NONE : sqlite3_column_int64(s, 2);
        ret->bytes = sqlite3_column_int64(s, 3);
    }
    sqlite3_reset(s);
    return c;
}

static bool may_go(const struct journal_retention *r, uint32_t partition, const struct oldest *o)
{
    return o->there && (r->hard || r->keep == NULL || o->end <= r->keep[partition] || fault("R13.keep"));
}

static bool is_old(const struct journal_retention *r, const struct oldest *o)
{
    return r->max_age_us > 0 && o->newest_us != TIME_NONE && r->newest_arrival_us != TIME_NONE &&
           o->newest_us < r->newest_arrival_us - r->max_age_us;
}

/* The partition whose first batch is to go now: the oldest one; -1: none. Unknown arrival counts as oldest, and never
 * as too old. */
static int64_t choose(const struct sqlite_journal *j, const struct journal_retention *r, const struct oldest *oldest,
                      const int64_t *bytes)
{
    int64_t total = 0, best = -1;
    for (uint32_t p = 0; p < j->base.info.partitions; p++) {
        total += bytes[p];
    }
    bool above = r->max_bytes > 0 && total > r->max_bytes;
    for (uint32_t p = 0; p < j->base.info.partitions; p++) {
        if (may_go(r, p, &oldest[p]) && (above || is_old(r, &oldest[p])) &&
            (best < 0 || oldest[p].newest_us < oldest[best].newest_us)) {
            best = p;
        }
    }
    return best;
}

static enum err_class some_removed(struct sqlite_journal *j, const struct journal_retention *r, struct oldest *oldest,
                                   int64_t *bytes, int64_t *removed, bool *more, struct err *err)
{
    for (int n = 0; n < DELETES_PER_TRANSACTION; n++) {
        int64_t p = choose(j, r, oldest, bytes);
        if (p < 0) {
            *more = false;
            return ERR_NONE;
        }
        bytes[p] -= oldest[p].bytes;
        *removed += oldest[p].end - oldest[p].base;
        enum err_class c = sqlite_journal_delete(j, (uint32_t)p, oldest[p].base, bytes[p], err);
        c = c ? c : failpoint_err("journal.in_retain", err);
        if (!c) {
            c = oldest_load(j, (uint32_t)p, &oldest[p], err);
        }
        if (c) {
            return c;
        }
    }
    return ERR_NONE;
}

static int64_t bytes_stored(const struct sqlite_journal *j)
{
    int64_t total = 0;
    for (uint32_t p = 0; p < j->base.info.partitions; p++) {
        total += j->bytes[p];
    }
    return total;
}

enum err_class sqlite_retain(struct journal *base, const struct journal_retention *given, int64_t *ret_removed,
                             struct err *err)
{
    struct sqlite_journal *j = (struct sqlite_journal *)base;
    const struct journal_retention limits = journal_room(given, bytes_stored(j), j->full), *r = &limits;
    struct err own = {0}, *e = err ? err : &own;
    struct oldest oldest[PARTITION_MAX] = {0};
    bool more = true;
    enum err_class c = sqlite_journal_ready(j, e);
    for (uint32_t p = 0; !c && p < base->info.partitions; p++) {
        c = oldest_load(j, p, &oldest[p], e);
    }
    if (c || choose(j, r, oldest, j->bytes) < 0) {
        return c; /* most calls end here, without a transaction */
    }
    while (!c && more) {
        int64_t bytes[PARTITION_MAX], removed = 0;
        memcpy(bytes, j->bytes, sizeof bytes);
        c = sqlite_journal_begin(j, e);
        if (c) {
            return c;
        }
        c = db_end(&j->db, some_removed(j, r, oldest, bytes, &removed, &more, e), e);
        if (!c) {
            memcpy(j->bytes, bytes, sizeof j->bytes);
            *ret_removed += removed;
            c = failpoint_err("journal.retained", e);
        }
    }
    return c;
}

enum err_class sqlite_skip(struct journal *base, uint32_t partition, int64_t offset, struct err *err)
{
    struct sqlite_journal *j = (struct sqlite_journal *)base;
    struct err own = {0}, *e = err ? err : &own;
    if (partition >= base->info.partitions || offset < 0 || offset >= j->next[partition]) {
        return journal_no_such_offset(partition, offset, e);
    }
    enum err_class c = sqlite_journal_begin(j, e);
    if (c) {
        return c;
    }
    sqlite3_stmt *s = j->statements[READ_HOLDING];
    sqlite3_bind_int64(s, 1, batch_row(partition, 0));
    sqlite3_bind_int64(s, 2, batch_row(partition, offset));
    bool row = false;
    c = db_step(&j->db, s, &row, e);
    int64_t first = row ? sqlite3_column_int64(s, 0) : 0, count = row ? sqlite3_column_int64(s, 1) : 0;
    int64_t bytes = j->bytes[partition] - (row ? sqlite3_column_int64(s, 2) : 0);
    sqlite3_reset(s);
    if (!c && offset >= first + count) {
        c = journal_no_such_offset(partition, offset, e);
    }
    if (!c) {
        c = sqlite_journal_delete(j, partition, first, bytes, e);
        c = c ? c : failpoint_err("journal.in_skip", e);
    }
    c = db_end(&j->db, c, e);
    if (!c) {
        j->bytes[partition] = bytes;
    }
    return c;
}
