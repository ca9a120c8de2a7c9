/* SPDX-License-Identifier: MIT
 *
 * One discipline for every SQLite file (C-S1 to C-S3): what each failure is called, what it ends, and what becomes of
 * the log. Opening and making is in test_db_open.c; the stores' own tests have the rest.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "db_place.h"

#include "base/clock.h"

#include <errno.h>
#include <sys/statvfs.h>

enum { LARGE_PAGES = 4096, LARGEST_PAGES = 65536 }; /* of a log: moved into the file, and cut even if that waits */

static enum { DISK_AS_IT_IS, DISK_UNKNOWN, DISK_FULL } disk;

int __real_statvfs64(const char *path, struct statvfs *ret);
int __wrap_statvfs64(const char *path, struct statvfs *ret);

int __wrap_statvfs64(const char *path, struct statvfs *ret)
{
    if (disk == DISK_UNKNOWN) {
        errno = ENOSYS;
        return -1;
    }
    int result = __real_statvfs64(path, ret);
    ret->f_bavail = disk == DISK_FULL ? 0 : ret->f_bavail;
    return result;
}

/* ---- what SQLite says */

static void what_sqlite_says_becomes_a_class_and_a_code(void **state)
{
    const struct place *p = *state;
    static const struct {
        int rc;
        enum err_class cls;
        int code;
        const char *text;
    } cases[] = {
        {SQLITE_FULL, ERR_RETRY, EXIT_IOERR, "journal: the disk or the file's maximum is full; nothing was written"},
        {SQLITE_BUSY, ERR_RETRY, EXIT_TEMPFAIL, "journal: busy"},
        {SQLITE_BUSY_SNAPSHOT, ERR_RETRY, EXIT_TEMPFAIL, "journal: busy"},
        {SQLITE_LOCKED, ERR_RETRY, EXIT_TEMPFAIL, "journal: busy"},
        {SQLITE_NOMEM, ERR_FATAL, EXIT_OSERR, "journal: out of memory"},
        {SQLITE_IOERR_NOMEM, ERR_FATAL, EXIT_OSERR, "journal: out of memory"},
        {SQLITE_CORRUPT, ERR_FATAL, EXIT_DATA, "journal: the file is corrupt ("},
        {SQLITE_CORRUPT_INDEX, ERR_FATAL, EXIT_DATA, "stop, copy the directory"},
        {SQLITE_NOTADB, ERR_FATAL, EXIT_DATA, "journal: the file is corrupt ("},
        {SQLITE_READONLY, ERR_FATAL, EXIT_NOPERM, "journal: may not be written"},
        {SQLITE_READONLY_DBMOVED, ERR_FATAL, EXIT_NOPERM, "journal: may not be written"},
        {SQLITE_PERM, ERR_FATAL, EXIT_NOPERM, "journal: may not be written"},
        {SQLITE_CANTOPEN, ERR_FATAL, EXIT_CANTCREAT, "journal: cannot open the file or its log"},
        {SQLITE_IOERR_READ, ERR_FATAL, EXIT_IOERR, "journal: disk I/O error: Input/output error"},
        {SQLITE_IOERR_FSYNC, ERR_FATAL, EXIT_IOERR, "(fsync failed; what is stored is what the next start finds)"},
        {SQLITE_CONSTRAINT, ERR_FATAL, EXIT_INTERNAL, "journal: constraint failed (19)"},
        {SQLITE_ERROR, ERR_FATAL, EXIT_INTERNAL, "journal: SQL logic error (1)"},
    };
    struct db open, closed = {.kind = &kind};
    writer(&open, p);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e = {0};
        assert_error(db_error(&open, cases[i].rc, &e), e, cases[i].cls, cases[i].code);
        assert_says(&e, cases[i].text);
        e = (struct err){0};
        assert_error(db_error(&closed, cases[i].rc, &e), e, cases[i].cls, cases[i].code);
        assert_says(&e, cases[i].text);
        assert_int_equal(db_error(&closed, cases[i].rc, NULL), cases[i].cls);
    }
    db_close(&open);
    db_close(&closed);
}

static void count_call(sqlite3_context *context, int count, sqlite3_value **values)
{
    (void)count;
    ++*(int64_t *)sqlite3_user_data(context);
    sqlite3_result_value(context, values[0]);
}

static void a_statement_runs_to_its_end_and_keeps_its_bindings(void **state)
{
    const struct place *p = *state;
    struct err e = {0};
    struct db db;
    sqlite3_stmt *s = NULL;
    int64_t calls = 0;
    writer(&db, p);
    write_ok(&db, "INSERT INTO t VALUES (1, 1), (2, 2), (3, 3), (4, 4)");
    assert_int_equal(sqlite3_create_function(db.handle, "count_call", 1, SQLITE_UTF8, &calls, count_call, NULL, NULL),
                     SQLITE_OK);
    assert_ok(db_prepare(&db, "SELECT count_call(b) FROM t WHERE a >= ?1", &s, &e), e);
    sqlite3_bind_int64(s, 1, 2);
    assert_ok(db_run(&db, s, &e), e);
    assert_int_equal(calls, 3);
    assert_ok(db_run(&db, s, &e), e);
    assert_int_equal(calls, 6);
    sqlite3_finalize(s);
    db_close(&db);
}

static void a_query_without_a_row_or_a_value_is_zero(void **state)
{
    const struct place *p = *state;
    struct err e = {0};
    struct db db;
    int64_t n = 7;
    writer(&db, p);
    write_ok(&db, "INSERT INTO t VALUES (1, 9), (2, NULL)");
    assert_int_equal(query(&db, "SELECT b FROM t WHERE a = 1"), 9);
    assert_int_equal(query(&db, "SELECT b FROM t WHERE a = 2"), 0);
    assert_int_equal(query(&db, "SELECT b FROM t WHERE a = 3"), 0);
    assert_error(db_query_int(&db, "SELECT c FROM t", &n, &e), e, ERR_FATAL, EXIT_INTERNAL);
    assert_says(&e, "no such column: c");
    assert_int_equal(n, 7);
    db_close(&db);
}

/* ---- transactions */

static void C_S3_what_broke_it_first_is_what_is_told(void **state)
{
    const struct place *p = *state;
    struct err first = {0}, second = {0}, fenced = {0}, e = {0};
    struct db db;
    writer(&db, p);
    err_set(&fenced, ERR_FATAL, EXIT_FENCED, "another took over");
    err_set(&first, ERR_FATAL, EXIT_DATA, "the first");
    err_set(&second, ERR_FATAL, EXIT_INTERNAL, "the second");
    assert_ok(db_begin(&db, &e), e);
    assert_int_equal(db_end(&db, ERR_FATAL, &fenced), ERR_FATAL); /* no fault of the file: it may be written */
    write_ok(&db, "INSERT INTO t VALUES (1, 1)");
    assert_ok(db_begin(&db, &e), e);
    assert_ok(db_exec(&db, "INSERT INTO t VALUES (2, 2)", &e), e);
    assert_int_equal(db_end(&db, ERR_FATAL, &first), ERR_FATAL);
    assert_int_equal(db_end(&db, ERR_FATAL, &second), ERR_FATAL);
    assert_string_equal(first.text, "the first");
    assert_error(db_begin(&db, &e), e, ERR_FATAL, EXIT_DATA);
    assert_string_equal(e.text, "the journal is not written any more since: the first");
    assert_int_equal(query(&db, "SELECT count(*) FROM t"), 1);
    db_close(&db);
}

static void C_S3_what_a_failed_commit_means_is_noted_unasked(void **state)
{
    const struct place *p = *state;
    static const struct {
        int code;
        enum err_class cls;
        bool reopen, broken;
    } cases[] = {{SQLITE_FULL, ERR_RETRY, true, false}, {SQLITE_IOERR_WRITE, ERR_FATAL, false, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct db db;
        writer(&db, p);
        assert_int_equal(db_begin(&db, NULL), ERR_NONE);
        assert_int_equal(db_exec(&db, "INSERT INTO t VALUES (1, 1)", NULL), ERR_NONE);
        fail_vfs_plan(FAIL_WRITE, 1, cases[i].code, false);
        assert_int_equal(db_end(&db, ERR_NONE, NULL), cases[i].cls);
        assert_true(fail_vfs.happened);
        fail_vfs_plan(FAIL_NOTHING, 0, 0, false);
        assert_int_equal(db.reopen, cases[i].reopen);
        assert_int_equal(db_begin(&db, NULL), cases[i].broken ? ERR_FATAL : ERR_NONE);
        db_close(&db);
        writer(&db, p);
        assert_int_equal(query(&db, "SELECT count(*) FROM t"), 0);
        db_close(&db);
    }
}

static void a_moment_that_cannot_be_held_is_let_go(void **state)
{
    const struct place *p = *state;
    static const struct {
        int rc, code;
    } cases[] = {{SQLITE_IOERR_READ, EXIT_IOERR}, {SQLITE_CORRUPT, EXIT_DATA}}; /* SQLite itself ends only the first */
    struct err e = {0};
    struct db w, r;
    writer(&w, p);
    reader(&r, p);
    assert_ok(db_hold(&r, &e), e);
    assert_error(db_hold(&r, &e), e, ERR_FATAL, EXIT_INTERNAL); /* one at a time */
    assert_says(&e, "within a transaction");
    db_release(&r);
    db_release(&r);
    for (int i = 0; i < (int)(sizeof cases / sizeof *cases); i++) {
        write_ok(&w, "INSERT INTO t (b) VALUES (1); DROP TABLE IF EXISTS u; CREATE TABLE u (a)");
        fail_vfs_plan(FAIL_READ, 1, cases[i].rc, false);
        e = (struct err){0};
        assert_error(db_hold(&r, &e), e, ERR_FATAL, cases[i].code);
        assert_true(fail_vfs.happened);
        assert_ok(db_hold(&r, &e), e); /* nothing was held */
        write_ok(&w, "INSERT INTO t (b) VALUES (2)");
        assert_int_equal(query(&r, "SELECT count(*) FROM t"), 2 * i + 1);
        db_release(&r);
        assert_int_equal(query(&r, "SELECT count(*) FROM t"), 2 * i + 2);
    }
    db_close(&r);
    db_close(&w);
}

/* ---- the log */

/* Row `a` with as many bytes as so many pages of the log hold at least. */
static void write_pages(struct db *db, int a, int pages)
{
    char sql[100];
    snprintf(sql, sizeof sql, "INSERT INTO t VALUES (%d, zeroblob(%d))", a, pages * kind.page_bytes);
    write_ok(db, sql);
}

static void a_log_that_grew_is_moved_into_the_file(void **state)
{
    const struct place *p = *state;
    struct db db;
    writer(&db, p);
    disk = DISK_UNKNOWN; /* how much room there is need not be known */
    write_pages(&db, 1, LARGE_PAGES / 2);
    assert_true(size_of(p->file) < LARGE_PAGES / 2 * kind.page_bytes);
    write_pages(&db, 2, LARGE_PAGES);
    assert_true(size_of(p->file) > LARGE_PAGES * kind.page_bytes);
    const int64_t log = size_of(p->log);
    assert_true(log > LARGE_PAGES * kind.page_bytes);
    write_ok(&db, "INSERT INTO t VALUES (3, 3)");
    assert_int_equal(size_of(p->log), log); /* written from the front again */
    assert_true(db.wal_pages < LARGE_PAGES && db.wal_most >= LARGE_PAGES);
    db_close(&db);
    disk = DISK_AS_IT_IS;
}

/* There is room now for what the log holds, and may be none later. */
static void a_log_is_cut_at_once_on_a_disk_that_is_nearly_full(void **state)
{
    const struct place *p = *state;
    struct db db;
    writer(&db, p);
    write_ok(&db, "INSERT INTO t VALUES (1, 1)");
    assert_true(size_of(p->log) > 0);
    disk = DISK_FULL;
    write_ok(&db, "INSERT INTO t VALUES (2, 2)");
    disk = DISK_AS_IT_IS;
    assert_int_equal(size_of(p->log), 0);
    assert_int_equal(db.wal_most, 0);
    assert_int_equal(query(&db, "SELECT count(*) FROM t"), 2);
    db_close(&db);
}

static void a_log_that_a_reader_keeps_large_is_cut_when_it_lets_go(void **state)
{
    const struct place *p = *state;
    struct err e = {0};
    struct db w, r;
    writer(&w, p);
    reader(&r, p);
    assert_ok(db_hold(&r, &e), e);
    write_pages(&w, 1, LARGEST_PAGES); /* the commit holds all the same */
    assert_true(size_of(p->log) > (int64_t)LARGEST_PAGES * kind.page_bytes);
    assert_int_equal(query(&r, "SELECT count(*) FROM t"), 0);
    const int64_t began = clock_mono(&clock_real);
    write_ok(&w, "INSERT INTO t VALUES (2, 2)");
    assert_true(size_of(p->log) > (int64_t)LARGEST_PAGES * kind.page_bytes);
    assert_true(w.wal_most > LARGEST_PAGES);
    assert_true(clock_mono(&clock_real) - began < 4 * US_PER_SECOND); /* the reader may go on for minutes */
    db_release(&r);
    write_ok(&w, "INSERT INTO t VALUES (3, 3)");
    assert_int_equal(size_of(p->log), 0);
    assert_int_equal(w.wal_most, 0);
    assert_int_equal(query(&r, "SELECT count(*) FROM t"), 3);
    db_close(&r);
    db_close(&w);
}

/* The commit holds; what failed after it is met by the next write, and nothing is written any more. */
static void C_S3_checkpoint_that_fails_ends_all_writing(void **state)
{
    struct place *p = *state;
    static const struct {
        const char *failpoint;
        int pages;
    } cases[] = {{"", LARGE_PAGES}, /* a sync in earnest */
                 {"", LARGEST_PAGES},
#ifdef WIKITALLY_FAULTS
                 {"db.in_checkpoint:error@1", LARGE_PAGES},
                 {"journal.after_commit:error@1", 1}
#endif
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e = {0};
        struct db db;
        writer(&db, p);
        failpoints(cases[i].failpoint);
        /* the log's head, the commit, then the checkpoint's own */
        fail_vfs_plan(*cases[i].failpoint ? FAIL_NOTHING : FAIL_SYNC, 3, SQLITE_IOERR_FSYNC, false);
        write_pages(&db, 1, cases[i].pages);
        assert_true(fail_vfs.happened || *cases[i].failpoint);
        failpoints("");
        fail_vfs_plan(FAIL_NOTHING, 0, 0, false);
        assert_error(write_sql(&db, "INSERT INTO t VALUES (2, 2)", &e), e, ERR_FATAL, EXIT_IOERR);
        assert_says(&e, "the journal is not written any more since: journal: ");
        assert_says(&e, "fsync failed");
        db_close(&db);
        writer(&db, p);
        assert_int_equal(query(&db, "SELECT max(a) FROM t"), 1);
        db_close(&db);
        place_clear(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACE(what_sqlite_says_becomes_a_class_and_a_code),
        PLACE(a_statement_runs_to_its_end_and_keeps_its_bindings),
        PLACE(a_query_without_a_row_or_a_value_is_zero),
        PLACE(C_S3_what_broke_it_first_is_what_is_told),
        PLACE(C_S3_what_a_failed_commit_means_is_noted_unasked),
        PLACE(a_moment_that_cannot_be_held_is_let_go),
        PLACE(a_log_that_grew_is_moved_into_the_file),
        PLACE(a_log_is_cut_at_once_on_a_disk_that_is_nearly_full),
        PLACE(a_log_that_a_reader_keeps_large_is_cut_when_it_lets_go),
        PLACE(C_S3_checkpoint_that_fails_ends_all_writing),
    };
    return cmocka_run_group_tests_name("base db", tests, NULL, NULL);
}
