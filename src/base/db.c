/* SPDX-License-Identifier: MIT
 *
 * db.c - opening, making and checking the SQLite files that we keep.
 *
 * A new file is made under another name, complete with its schema, its ids and its journal mode, and renamed: so a file
 * of the right name is either whole or was never ours. What a file is, is read from its header before SQLite may touch
 * it, and through SQLite's own file handle: to close another handle on the file would drop the POSIX locks of every
 * connection that this process has on it.
 */
#include "base/db.h"
#include "base/buf.h"
#include "base/db_sum.h"
#include "base/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
    BUSY_MS = 5000,
    CHECKPOINT_PAGES = 4096,
    CHECKPOINT_HARD_FACTOR = 16, /* a log this many times larger is reset, which waits for readers, */
    CHECKPOINT_WAIT_MS = 100,    /* not long: the next commit tries again, and the writer has other things to do */
    HEADER_BYTES = 100,
    VERSION_AT = 60,
    APPLICATION_AT = 68,
};
static const int64_t check_whole_bytes = (int64_t)64 << 20, check_reader_bytes = (int64_t)8 << 20;

/* ---- errors */

static enum err_class open_error(struct db *db, const char *path, int rc, struct err *err)
{
    int errnum = db->handle ? sqlite3_system_errno(db->handle) : 0;
    if ((rc & 0xff) == SQLITE_CANTOPEN && errnum != 0) {
        return err_errno(err, ERR_FATAL, err_errno_code(errnum, EXIT_CANTCREAT), errnum, "%s \"%s\": cannot open",
                         db->kind->what, path);
    }
    db_error(db, rc, err);
    return err_prefix(err, "\"%s\"", path);
}

enum err_class db_error(struct db *db, int rc, struct err *err)
{
    const char *what = db->kind->what, *text = sqlite3_errstr(rc);
    int errnum = db->handle ? sqlite3_system_errno(db->handle) : 0;
    switch (rc & 0xff) {
    case SQLITE_FULL:
        return err_set(err, ERR_RETRY, EXIT_IOERR, "%s: the disk or the file's maximum is full; nothing was written",
                       what);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return err_set(err, ERR_RETRY, EXIT_TEMPFAIL, "%s: busy", what);
    case SQLITE_NOMEM:
        return err_set(err, ERR_FATAL, EXIT_OSERR, "%s: out of memory", what);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return err_set(err, ERR_FATAL, EXIT_DATA,
                       "%s: the file is corrupt (%s); stop, copy the directory, and see it with "
                       "\"verify\"",
                       what, db->handle ? sqlite3_errmsg(db->handle) : text);
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return err_set(err, ERR_FATAL, EXIT_NOPERM, "%s: may not be written", what);
    case SQLITE_CANTOPEN:
        return err_errno(err, ERR_FATAL, err_errno_code(errnum, EXIT_CANTCREAT), errnum,
                         "%s: cannot open the file or its log", what);
    case SQLITE_IOERR:
        if (rc == SQLITE_IOERR_NOMEM) {
            return err_set(err, ERR_FATAL, EXIT_OSERR, "%s: out of memory", what);
        }
        return err_errno(err, ERR_FATAL, EXIT_IOERR, errnum ? errnum : EIO, "%s: %s%s", what, text,
                         rc == SQLITE_IOERR_FSYNC ? " (fsync failed; what is stored is what the next start finds)"
                                                  : "");
    default:
        if (rc == SQLITE_CONSTRAINT_COMMITHOOK) { /* commit_asked */
            return err_set(err, ERR_FATAL, EXIT_OSERR, "%s: out of memory, the transaction was undone", what);
        }
        return err_set(err, ERR_FATAL, EXIT_INTERNAL, "%s: %s (%d): %s", what, text, rc,
                       db->handle ? sqlite3_errmsg(db->handle) : "");
    }
}

/* ---- statements */

enum err_class db_exec(struct db *db, const char *sql, struct err *err)
{
    int rc = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? ERR_NONE : db_error(db, rc, err);
}

enum err_class db_prepare(struct db *db, const char *sql, sqlite3_stmt **ret_statement, struct err *err)
{
    int rc = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, ret_statement, NULL);
    return rc == SQLITE_OK ? ERR_NONE : db_error(db, rc, err);
}

enum err_class db_step(struct db *db, sqlite3_stmt *s, bool *ret_row, struct err *err)
{
    int rc = sqlite3_step(s);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
        enum err_class c = db_error(db, rc, err);
        sqlite3_reset(s);
        return c;
    }
    *ret_row = rc == SQLITE_ROW;
    return ERR_NONE;
}

enum err_class db_run(struct db *db, sqlite3_stmt *s, struct err *err)
{
    int rc;
    do {
        rc = sqlite3_step(s);
    } while (rc == SQLITE_ROW);
    enum err_class c = rc == SQLITE_DONE ? ERR_NONE : db_error(db, rc, err);
    sqlite3_reset(s);
    return c;
}

enum err_class db_query_int(struct db *db, const char *sql, int64_t *ret_value, struct err *err)
{
    sqlite3_stmt *s = NULL;
    bool row = false;
    enum err_class c = db_prepare(db, sql, &s, err);
    if (!c) {
        c = db_step(db, s, &row, err);
    }
    if (!c) {
        *ret_value = row ? sqlite3_column_int64(s, 0) : 0;
    }
    sqlite3_finalize(s);
    return c;
}

/* ---- transactions */

static int wal_grew(void *ctx, sqlite3 *handle, const char *name, int pages)
{
    (void)handle;
    (void)name;
    struct db *db = ctx;
    db->wal_pages = pages;
    db->wal_most = pages > db->wal_most ? pages : db->wal_most;
    return SQLITE_OK;
}

/* 0: yes. SQLite undoes a statement that it must prepare anew (the schema has changed). When memory for that is missing
 * it undoes the whole transaction, says nothing, and runs the statement again in a transaction of its own. */
static int commit_asked(void *ctx)
{
    const struct db *db = ctx;
    return db->in_transaction && !db->committing;
}

static void rollback(struct db *db)
{
    if (db->in_transaction && sqlite3_get_autocommit(db->handle) == 0) {
        sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
    }
    db->in_transaction = false;
}

/* What cannot be undone by trying again ends all writing. Fenced is no fault of the file. */
static enum err_class judge(struct db *db, enum err_class c, const struct err *err)
{
    if (c == ERR_FATAL && err->code != EXIT_FENCED && db->broken.cls == ERR_NONE) {
        db->broken = *err;
    }
    if (c == ERR_RETRY && err_exit_code(err) == EXIT_IOERR) {
        db->reopen = true;
    }
    return c;
}

/* A log can only be cut after what it holds was moved into the file, which needs room: on a disk that is nearly full
 * that is done while there is some, or two logs fill it and stay. */
static bool short_of_room(const struct db *db)
{
    struct statvfs disk;
    const char *path = sqlite3_db_filename(db->handle, "main");
    int64_t log_bytes = (int64_t)db->wal_most * db->kind->page_bytes;
    return statvfs(path, &disk) == 0 && (int64_t)disk.f_bavail * (int64_t)disk.f_frsize < 2 * log_bytes;
}

/* Not SQLite's own automatic checkpoint: that one forgets a failed fsync. */
static enum err_class checkpoint(struct db *db, struct err *err)
{
    bool hard = db->wal_pages >= CHECKPOINT_PAGES * CHECKPOINT_HARD_FACTOR || short_of_room(db);
    if (!hard && db->wal_pages < CHECKPOINT_PAGES) {
        return ERR_NONE;
    }
    if (failpoint("db.in_checkpoint")) {
        return db_error(db, SQLITE_IOERR_FSYNC, err);
    }
    int mode = hard ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE;
    sqlite3_busy_timeout(db->handle, CHECKPOINT_WAIT_MS);
    int rc = sqlite3_wal_checkpoint_v2(db->handle, "main", mode, NULL, NULL);
    sqlite3_busy_timeout(db->handle, BUSY_MS);
    if (rc == SQLITE_BUSY) { /* a reader needs the old pages; the next commit tries again */
        return ERR_NONE;
    }
    db->wal_most = hard && rc == SQLITE_OK ? 0 : db->wal_most;
    return rc == SQLITE_OK ? ERR_NONE : db_error(db, rc, err);
}

enum err_class db_begin(struct db *db, struct err *err)
{
    if (db->broken.cls != ERR_NONE && !fault("C-S3.broken")) {
        return err_set(err, ERR_FATAL, err_exit_code(&db->broken), "the %s is not written any more since: %s",
                       db->kind->what, db->broken.text);
    }
    struct err own = {0};
    int rc = sqlite3_exec(db->handle, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    if (rc != SQLITE_OK) {
        judge(db, db_error(db, rc, &own), &own);
        return db_error(db, rc, err);
    }
    db->in_transaction = true;
    return ERR_NONE;
}

/* Each kind by its name: a failpoint's name is a literal. */
static bool before_commit(const struct db *db)
{
    (void)db; /* a release asks nothing */
    return failpoint_if("journal.before_commit", strcmp(db->kind->what, "journal") == 0) ||
           failpoint_if("results.before_commit", strcmp(db->kind->what, "results") == 0);
}

static bool after_commit(const struct db *db)
{
    (void)db;
    return failpoint_if("journal.after_commit", strcmp(db->kind->what, "journal") == 0) ||
           failpoint_if("results.after_commit", strcmp(db->kind->what, "results") == 0);
}

enum err_class db_end(struct db *db, enum err_class c, struct err *err)
{
    struct err own = {0}, *e = err ? err : &own;
    if (!c) {
        db->committing = true;
        c = before_commit(db) ? db_error(db, SQLITE_FULL, e) : db_exec(db, "COMMIT", e);
        db->committing = false;
    }
    if (c) {
        rollback(db);
        return judge(db, c, e);
    }
    db->in_transaction = false;
    struct err later = {0}; /* the commit holds; what goes wrong now is met by the next write */
    c = after_commit(db) ? db_error(db, SQLITE_IOERR_FSYNC, &later) : checkpoint(db, &later);
    judge(db, c, &later);
    return ERR_NONE;
}

enum err_class db_hold(struct db *db, struct err *err)
{
    int64_t any;
    enum err_class c = db_exec(db, "BEGIN", err);
    if (!c && (c = db_query_int(db, "SELECT count(*) FROM sqlite_schema", &any, err)) != ERR_NONE) {
        db_release(db); /* the moment is that of the first read, not of BEGIN */
    }
    return c;
}

void db_release(struct db *db)
{
    sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
}

/* ---- opening */

static uint32_t big_endian(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static enum err_class not_ours(struct db *db, const char *path, struct err *err)
{
    return err_set(err, ERR_REJECT, EXIT_CONFIG,
                   "\"%s\" is not a wikitally %s; move it away, or choose another directory", path, db->kind->what);
}

static enum err_class version_check(struct db *db, const char *path, int64_t application, int64_t version,
                                    struct err *err)
{
    if (application != db->kind->application_id) {
        return not_ours(db, path, err);
    }
    if (version > db->kind->version) {
        return err_set(err, ERR_FATAL, EXIT_TOO_NEW,
                       "%s \"%s\" has format %lld, this program knows up to %d; use the newer program", db->kind->what,
                       path, (long long)version, db->kind->version);
    }
    if (version < 1) {
        return not_ours(db, path, err);
    }
    return ERR_NONE;
}

/* Reads what the file says of itself. Nothing is changed by it. */
static enum err_class header_check(struct db *db, const char *path, bool *ret_empty, struct err *err)
{
    sqlite3_file *file = NULL;
    sqlite3_int64 size = 0;
    unsigned char header[HEADER_BYTES];
    int rc = sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_FILE_POINTER, &file);
    if (rc == SQLITE_OK && file != NULL && file->pMethods != NULL) {
        rc = file->pMethods->xFileSize(file, &size);
    }
    if (rc != SQLITE_OK || file == NULL || file->pMethods == NULL) {
        return open_error(db, path, rc ? rc : SQLITE_CANTOPEN, err);
    }
    *ret_empty = size == 0;
    if (size == 0) {
        return ERR_NONE;
    }
    if (size < HEADER_BYTES) {
        return not_ours(db, path, err);
    }
    rc = file->pMethods->xRead(file, header, HEADER_BYTES, 0);
    if (rc != SQLITE_OK) {
        return open_error(db, path, rc, err);
    }
    if (memcmp(header, "SQLite format 3", 16) != 0) {
        return not_ours(db, path, err);
    }
    return version_check(db, path, (int32_t)big_endian(header + APPLICATION_AT),
                         (int32_t)big_endian(header + VERSION_AT), err);
}

/* Nobody asks SQLite how much memory it has, and counting it costs a lock shared by all threads at each allocation.
 * Refused, harmlessly, in a process that used SQLite before. */
static void count_no_memory(void)
{
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

static enum err_class raw_open(struct db *db, const char *path, int flags, struct err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, count_no_memory);
    int rc = sqlite3_open_v2(path, &db->handle, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK) {
        enum err_class c = open_error(db, path, rc, err);
        db_close(db);
        return c;
    }
    sqlite3_extended_result_codes(db->handle, 1);
    sqlite3_busy_timeout(db->handle, BUSY_MS);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    enum err_class c = db_sum_functions(db, err);
    if (c) {
        db_close(db);
    }
    return c;
}

/* A link to nowhere is not missing: what it stands for may be on a disk that is not mounted. */
static bool is_missing(const char *path)
{
    struct stat st;
    return lstat(path, &st) != 0 && (errno == ENOENT || errno == ENOTDIR);
}

static enum err_class peek(const char *path, const struct db_kind *kind, bool *ret_missing, struct err *err)
{
    struct db db = {.kind = kind};
    *ret_missing = is_missing(path);
    if (*ret_missing) {
        return ERR_NONE;
    }
    enum err_class c = raw_open(&db, path, SQLITE_OPEN_READONLY, err);
    if (!c) {
        c = header_check(&db, path, ret_missing, err);
        db_close(&db);
    }
    return c;
}

static enum err_class directory_sync(const char *path, struct err *err)
{
    const char *slash = strrchr(path, '/');
    AUTO_FREE char *directory = slash ? str_dup(str_n(path, (size_t)(slash - path) + 1)) : str_dup(STR("."));
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0) {
        enum err_class c = err_errno(err, ERR_FATAL, EXIT_IOERR, errno, "cannot sync the directory \"%s\"", directory);
        if (fd >= 0) {
            close(fd);
        }
        return c;
    }
    close(fd);
    return ERR_NONE;
}

static enum err_class fill_new(struct db *db, enum err_class (*fill)(struct db *db, void *ctx, struct err *err),
                               void *ctx, struct err *err)
{
    AUTO(buf) struct buf sql = {0};
    buf_addf(&sql,
             "PRAGMA page_size=%d; PRAGMA synchronous=FULL; BEGIN IMMEDIATE; PRAGMA application_id=%d; PRAGMA "
             "user_version=%d;",
             db->kind->page_bytes, db->kind->application_id, db->kind->version);
    buf_addz(&sql, db->kind->schema);
    enum err_class c = db_exec(db, sql.ptr, err);
    if (!c && fill != NULL) {
        c = fill(db, ctx, err);
    }
    c = c ? c : failpoint_err("db.in_fill", err);
    if (!c) {
        c = db_exec(db, "COMMIT; PRAGMA journal_mode=WAL;", err);
    }
    return c;
}

static enum err_class make(const char *path, const struct db_kind *kind,
                           enum err_class (*fill)(struct db *db, void *ctx, struct err *err), void *ctx,
                           struct err *err)
{
    static const char *const leftovers[] = {".new-journal", ".new-wal", ".new-shm", ".new"};
    AUTO(buf) struct buf name = {0};
    for (size_t i = 0; i < sizeof leftovers / sizeof *leftovers; i++) { /* of a start that was killed; ends with .new */
        buf_clear(&name);
        buf_addf(&name, "%s%s", path, leftovers[i]);
        unlink(name.ptr);
    }
    struct db db = {.kind = kind};
    if (raw_open(&db, name.ptr, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, err)) {
        return err ? err->cls : ERR_FATAL;
    }
    enum err_class c = fill_new(&db, fill, ctx, err);
    db_close(&db);
    if (c) {
        unlink(name.ptr);
        return c;
    }
    if (failpoint_err("db.before_rename", err)) {
        return ERR_FATAL;
    }
    if (rename(name.ptr, path) != 0) {
        return err_errno(err, ERR_FATAL, err_errno_code(errno, EXIT_CANTCREAT), errno, "%s: cannot make \"%s\"",
                         kind->what, path);
    }
    c = failpoint_err("db.after_rename", err);
    return c ? c : directory_sync(path, err);
}

/* A whole check takes minutes on a large file; there the checksums of what is read have to do. */
static enum err_class content_check(struct db *db, const char *path, struct err *err)
{
    int64_t version = 0, application = 0, pages = 0, page_bytes = 0;
    if (db_query_int(db, "PRAGMA application_id", &application, err) ||
        db_query_int(db, "PRAGMA user_version", &version, err) || db_query_int(db, "PRAGMA page_count", &pages, err) ||
        db_query_int(db, "PRAGMA page_size", &page_bytes, err)) {
        return err_prefix(err, "\"%s\"", path);
    }
    enum err_class c = version_check(db, path, application, version, err);
    if (c || pages * page_bytes > check_whole_bytes) {
        return c;
    }
    sqlite3_stmt *s = NULL;
    bool row = false;
    c = db_prepare(db, "PRAGMA quick_check(1)", &s, err);
    if (!c) {
        c = db_step(db, s, &row, err);
    }
    if (!c && (!row || !str_eqz(db_column(s, 0), "ok"))) {
        c = err_set(err, ERR_FATAL, EXIT_DATA, "%s \"%s\" is corrupt: %.*s", db->kind->what, path,
                    row ? (int)db_column(s, 0).len : 0, row ? db_column(s, 0).ptr : "");
    }
    sqlite3_finalize(s);
    return c ? c : db_sum_check(db, path, err);
}

static enum err_class writer_setup(struct db *db, const char *path, struct err *err)
{
    enum err_class c = content_check(db, path, err);
    if (c) {
        sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL); /* leave it as it is */
        return c;
    }
    c = db_exec(db,
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA mmap_size=0; PRAGMA wal_autocheckpoint=0;"
                "PRAGMA journal_size_limit=67108864; PRAGMA temp_store=MEMORY; PRAGMA cell_size_check=ON;"
                "PRAGMA cache_size=-4096;",
                err);
    if (!c && fault("C-S1.sync")) {
        c = db_exec(db, "PRAGMA synchronous=OFF", err);
    }
    sqlite3_stmt *s = NULL;
    bool row = false;
    if (!c) {
        c = db_prepare(db, "PRAGMA journal_mode", &s, err);
    }
    if (!c) {
        c = db_step(db, s, &row, err);
    }
    if (!c && !(row && str_eqz(db_column(s, 0), "wal"))) {
        c = err_set(err, ERR_FATAL, EXIT_CONFIG, "\"%s\": this file system allows no write-ahead log; use a local one",
                    path);
    }
    sqlite3_finalize(s);
    sqlite3_wal_hook(db->handle, wal_grew, db);
    sqlite3_commit_hook(db->handle, commit_asked, db);
    return c ? c : db_sum_write(db, err);
}

enum err_class db_open_writer(struct db *db, const char *path, const struct db_kind *kind,
                              enum err_class (*fill)(struct db *db, void *ctx, struct err *err), void *ctx,
                              struct err *err)
{
    *db = (struct db){.kind = kind};
    bool missing = false;
    enum err_class c = peek(path, kind, &missing, err);
    if (!c && missing) {
        c = make(path, kind, fill, ctx, err);
    }
    if (!c) {
        c = raw_open(db, path, SQLITE_OPEN_READWRITE, err);
    }
    if (!c) {
        c = writer_setup(db, path, err);
    }
    if (c) {
        db_close(db);
    }
    return c;
}

static enum err_class reader_check(struct db *db, const char *path, struct err *err)
{
    int64_t pages = 0, page_bytes = 0;
    if (db_query_int(db, "PRAGMA page_count", &pages, err) || db_query_int(db, "PRAGMA page_size", &page_bytes, err)) {
        return err_prefix(err, "\"%s\"", path);
    }
    return pages * page_bytes > check_reader_bytes ? ERR_NONE : db_sum_check(db, path, err);
}

static enum err_class reader_setup(struct db *db, const char *path, struct err *err)
{
    bool empty = false;
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    enum err_class c = header_check(db, path, &empty, err);
    if (!c && empty) {
        c = not_ours(db, path, err);
    }
    if (!c) {
        c = db_exec(db, "PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY; PRAGMA cell_size_check=ON;", err);
    }
    int64_t version = 0, application = 0;
    if (!c) {
        c = db_query_int(db, "PRAGMA application_id", &application, err);
    }
    if (!c) {
        c = db_query_int(db, "PRAGMA user_version", &version, err);
    }
    c = c ? c : version_check(db, path, application, version, err);
    c = c ? c : reader_check(db, path, err);
    c = c ? c : db_sum_read(db, err);
    return c ? c : db_exec(db, "PRAGMA query_only=ON", err);
}

enum err_class db_open_reader(struct db *db, const char *path, const struct db_kind *kind, struct err *err)
{
    *db = (struct db){.kind = kind};
    if (is_missing(path)) {
        return err_set(err, ERR_REJECT, EXIT_NOINPUT, "there is no %s \"%s\"", kind->what, path);
    }
    enum err_class c = raw_open(db, path, SQLITE_OPEN_READONLY, err);
    if (!c) {
        c = reader_setup(db, path, err);
    }
    if (c) {
        db_close(db);
    }
    return c;
}

void db_close(struct db *db)
{
    if (db->handle != NULL) {
        rollback(db);
        if (db->broken.cls != ERR_NONE) { /* a checkpoint would sync once more, and that may say that all is well */
            sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        }
        sqlite3_close(db->handle);
        db->handle = NULL;
    }
}
