/* SPDX-License-Identifier: MIT
 *
 * Which SQLite files are opened and how they are made (C-S1, C-S2): what is not ours, too new, or cannot be read is
 * refused and stays as it is; a file of the right name is whole or not there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "db_place.h"

#include <errno.h>

static int sync_errno;

int __real_fsync(int fd);
int __wrap_fsync(int fd);

int __wrap_fsync(int fd)
{
    errno = sync_errno;
    return sync_errno ? -1 : __real_fsync(fd);
}

static void make(const struct place *p)
{
    struct db db;
    writer(&db, p);
    write_ok(&db, "INSERT OR IGNORE INTO t VALUES (1, 1)");
    db_close(&db);
}

/* SQL by another program, which leaves what it wrote in the log. */
static void foreign_sql(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    char *message = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK) {
        fail_msg("%s: %s", sql, message);
    }
    sqlite3_close(db);
}

enum { WRITER, READER, BOTH };

static void assert_refused(const char *path, int who, enum err_class cls, int code, const char *text)
{
    for (int i = 0; i < BOTH; i++) {
        struct err e = {0};
        struct db db;
        if (who != BOTH && who != i) {
            continue;
        }
        enum err_class c =
            i == WRITER ? db_open_writer(&db, path, &kind, NULL, NULL, &e) : db_open_reader(&db, path, &kind, &e);
        assert_error(c, e, cls, code);
        assert_says(&e, text);
        assert_null(db.handle);
    }
}

/* ---- what a file says that it is */

static void what_a_file_says_of_itself_decides(void **state)
{
    struct place *p = *state;
    static const struct {
        const char *sql;
        enum err_class cls;
        int code;
        const char *text;
    } cases[] = {
        {"PRAGMA user_version = 0", ERR_REJECT, EXIT_CONFIG, "is not a wikitally journal; move it away"},
        {"PRAGMA user_version = -1", ERR_REJECT, EXIT_CONFIG, "is not a wikitally journal"},
        {"PRAGMA application_id = 0", ERR_REJECT, EXIT_CONFIG, "is not a wikitally journal"},
        {"PRAGMA application_id = -1", ERR_REJECT, EXIT_CONFIG, "is not a wikitally journal"},
        {"PRAGMA user_version = 4", ERR_FATAL, EXIT_TOO_NEW, "has format 4, this program knows up to 3"},
        {"PRAGMA user_version = 2147483647", ERR_FATAL, EXIT_TOO_NEW, "has format 2147483647"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases * 2; i++) {
        AUTO(buf) struct buf sql = {0};
        const bool in_log = i % 2; /* the file's own head still says what it was: the log is asked too */
        make(p);
        buf_addf(&sql, "%s%s", cases[i / 2].sql, in_log ? "" : "; PRAGMA wal_checkpoint(TRUNCATE)");
        foreign_sql(p->file, sql.ptr);
        assert_int_equal(size_of(p->log) > 0, in_log);
        const int64_t file = size_of(p->file), log = size_of(p->log);
        assert_refused(p->file, BOTH, cases[i / 2].cls, cases[i / 2].code, cases[i / 2].text);
        assert_int_equal(size_of(p->file), file);
        assert_int_equal(size_of(p->log), log);
        place_clear(p);
    }
}

static void a_file_that_cannot_be_read_is_named_and_left(void **state)
{
    const struct place *p = *state;
    static const struct {
        enum fail_call call;
        int at, code;
    } cases[] = {{FAIL_READ, 1, SQLITE_IOERR_READ}, /* SQLite looks at the head, then we do */
                 {FAIL_READ, 2, SQLITE_IOERR_READ},
                 {FAIL_READ, 3, SQLITE_IOERR_READ},
                 {FAIL_SIZE, 1, SQLITE_IOERR_FSTAT}};
    make(p);
    const int64_t size = size_of(p->file);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fail_vfs_plan(cases[i].call, cases[i].at, cases[i].code, true);
        assert_refused(p->file, BOTH, ERR_FATAL, EXIT_IOERR, "/test.db\": journal: disk I/O error");
        assert_true(fail_vfs.happened);
        fail_vfs_plan(FAIL_NOTHING, 0, 0, false);
        assert_int_equal(size_of(p->file), size);
        struct db db;
        writer(&db, p);
        assert_int_equal(query(&db, "SELECT count(*) FROM t"), 1);
        db_close(&db);
    }
}

/* Pages at the end that nobody put there: a hole, so that it takes no room. */
static void grow(const struct place *p, int64_t bytes)
{
    const int64_t pages = bytes / kind.page_bytes;
    const unsigned char count[4] = {(unsigned char)(pages >> 24), (unsigned char)(pages >> 16),
                                    (unsigned char)(pages >> 8), (unsigned char)pages};
    FILE *f = fopen(p->file, "r+b");
    assert_non_null(f);
    assert_true(fseek(f, 28, SEEK_SET) == 0 && fwrite(count, sizeof count, 1, f) == 1);
    fclose(f);
    assert_int_equal(truncate(p->file, bytes), 0);
}

static void C_S3_files_up_to_64_MiB_are_checked_whole(void **state)
{
    const struct place *p = *state;
    struct db db;
    make(p);
    grow(p, 1 << 20);
    assert_refused(p->file, WRITER, ERR_FATAL, EXIT_DATA, "is corrupt: ");
    grow(p, (int64_t)64 << 20);
    assert_refused(p->file, WRITER, ERR_FATAL, EXIT_DATA, "is corrupt: ");
    grow(p, ((int64_t)64 << 20) + kind.page_bytes);
    writer(&db, p); /* larger ones where they are used */
    assert_int_equal(query(&db, "SELECT count(*) FROM t"), 1);
    db_close(&db);
}

/* ---- where a file is, or is not */

static void what_is_missing_and_what_only_cannot_be_reached(void **state)
{
    const struct place *p = *state;
    char below[200], link[200];
    AUTO(buf) struct buf long_name = {0};
    struct stat st;
    make(p);
    snprintf(below, sizeof below, "%s/below.db", p->file);
    assert_refused(below, READER, ERR_REJECT, EXIT_NOINPUT, "there is no journal \"");
    assert_refused(below, WRITER, ERR_FATAL, EXIT_CANTCREAT, "Not a directory");
    buf_addf(&long_name, "%s/%0300d", p->dir.path, 1);
    assert_refused(long_name.ptr, BOTH, ERR_FATAL, EXIT_CANTCREAT, "File name too long");
    snprintf(link, sizeof link, "%s/link.db", p->dir.path);
    assert_int_equal(symlink("not-mounted/test.db", link), 0);
    assert_refused(link, BOTH, ERR_FATAL, EXIT_CANTCREAT, "journal \"");
    assert_true(lstat(link, &st) == 0 && S_ISLNK(st.st_mode)); /* no file was made in its place */
}

static void a_file_may_be_named_without_its_directory(void **state)
{
    const struct place *p = *state;
    struct err e = {0};
    struct db db;
    AUTO_FREE char *before = getcwd(NULL, 0);
    assert_non_null(before);
    assert_int_equal(chdir(p->dir.path), 0);
    enum err_class c = db_open_writer(&db, "test.db", &kind, NULL, NULL, &e);
    assert_int_equal(chdir(before), 0);
    assert_ok(c, e);
    assert_true(size_of(p->file) > 0);
    db_close(&db);
}

/* ---- making one */

static enum err_class fill_row(struct db *db, void *ctx, struct err *err)
{
    return db_exec(db, ctx, err);
}

static void C_S1_a_file_is_made_whole_or_not_at_all(void **state)
{
    const struct place *p = *state;
    struct err e = {0};
    struct db db;
    char nowhere[200], left[200];
    snprintf(nowhere, sizeof nowhere, "%s/nowhere/test.db", p->dir.path);
    assert_refused(nowhere, WRITER, ERR_FATAL, EXIT_CANTCREAT, "No such file or directory");
    assert_int_equal(db_open_writer(&db, nowhere, &kind, NULL, NULL, NULL), ERR_FATAL); /* no words are asked for */
    snprintf(left, sizeof left, "%s.new", p->file);
    char wrong[] = "INSERT INTO t VALUES (1, 1); INSERT INTO t VALUES (1, 1)", right[] = "INSERT INTO t VALUES (7, 7)";
    assert_error(db_open_writer(&db, p->file, &kind, fill_row, wrong, &e), e, ERR_FATAL, EXIT_INTERNAL);
    assert_says(&e, "UNIQUE constraint failed");
    assert_true(size_of(p->file) < 0 && size_of(left) < 0);
    assert_ok(db_open_writer(&db, p->file, &kind, fill_row, right, &e), e);
    assert_int_equal(query(&db, "SELECT max(a) FROM t"), 7);
    db_close(&db);
    assert_ok(db_open_writer(&db, p->file, &kind, fill_row, wrong, &e), e); /* it is there: nothing is filled in */
    db_close(&db);
}

static void C_S1_a_new_file_whose_name_may_not_last_is_no_success(void **state)
{
    const struct place *p = *state;
    struct db db;
    sync_errno = EIO;
    assert_refused(p->file, WRITER, ERR_FATAL, EXIT_IOERR, "cannot sync the directory \"");
    sync_errno = 0;
    writer(&db, p); /* whole, and there by now */
    db_close(&db);
}

static void C_S1_a_start_that_fails_while_it_makes_a_file_can_be_repeated(void **state)
{
    struct place *p = *state;
#ifdef WIKITALLY_FAULTS
    static const struct {
        const char *plan;
        bool there; /* under its name */
    } cases[] = {{"db.in_fill:error@1", false}, {"db.before_rename:error@1", false}, {"db.after_rename:error@1", true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        failpoints(cases[i].plan);
        assert_refused(p->file, WRITER, ERR_FATAL, EXIT_IOERR, "failpoint \"db.");
        failpoints("");
        assert_int_equal(size_of(p->file) > 0, cases[i].there);
        make(p);
        place_clear(p);
    }
#else
    (void)p;
    skip();
#endif
}

static void a_file_system_without_shared_memory_is_refused(void **state)
{
    const struct place *p = *state;
    struct db db;
    fail_vfs.methods.iVersion = 1;
    assert_refused(p->file, WRITER, ERR_FATAL, EXIT_CONFIG, "allows no write-ahead log; use a local one");
    fail_vfs.methods.iVersion = 2;
    writer(&db, p); /* copied to a local one it is a good file */
    db_close(&db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACE(what_a_file_says_of_itself_decides),
        PLACE(a_file_that_cannot_be_read_is_named_and_left),
        PLACE(C_S3_files_up_to_64_MiB_are_checked_whole),
        PLACE(what_is_missing_and_what_only_cannot_be_reached),
        PLACE(a_file_may_be_named_without_its_directory),
        PLACE(C_S1_a_file_is_made_whole_or_not_at_all),
        PLACE(C_S1_a_new_file_whose_name_may_not_last_is_no_success),
        PLACE(C_S1_a_start_that_fails_while_it_makes_a_file_can_be_repeated),
        PLACE(a_file_system_without_shared_memory_is_refused),
    };
    return cmocka_run_group_tests_name("base db_open", tests, NULL, NULL);
}
