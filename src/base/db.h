/* SPDX-License-Identifier: MIT
 *
 * db.h - one discipline for every SQLite file that we keep (reliability.md C-S1..C-S3): WAL, synchronous=FULL, no mmap,
 * exactly one writing connection per file, checkpoints from it only; all other connections are read-only. A file says
 * what it is (application_id) and in which version (user_version).
 *
 * A connection belongs to one thread at a time. SQL texts are constants or made of checked identifiers; values are
 * bound.
 */
#ifndef WIKITALLY_BASE_DB_H
#define WIKITALLY_BASE_DB_H

#include "base/err.h"
#include "base/str.h"

#include <sqlite3.h>

struct db_kind {
    const char *what; /* for messages: "journal", "results" */
    int32_t application_id;
    int version;               /* of the format; a newer one on disk is refused and left untouched */
    int page_bytes;            /* of new files */
    const char *schema;        /* SQL that makes a new file */
    const char *const *summed; /* tables whose rows carry a checksum (db_sum.h), NULL at the end; may be NULL */
};

struct db {
    sqlite3 *handle; /* NULL: closed */
    const struct db_kind *kind;
    int wal_pages;                   /* in the write-ahead log after the last commit; writers only */
    int wal_most;                    /* what it held at most since its file was last cut: it keeps that size */
    bool in_transaction, committing; /* between db_begin and db_end nothing is committed but by db_end */
    struct err broken;               /* not ERR_NONE: nothing is written any more until the next start (C-S3) */
    bool reopen;                     /* the file was full: the owner closes and opens before the next db_begin (C-S3) */
};

/* Opens for writing; the caller holds a lock that keeps other writers away. If there is no such file (or an empty one)
 * it is made beside and renamed into place, with what `fill` adds (may be NULL). Errors: EXIT_TOO_NEW, EXIT_CONFIG (not
 * ours), EXIT_DATA (corrupt), EXIT_CANTCREAT, EXIT_NOPERM, EXIT_IOERR. Files up to 64 MiB are checked whole
 * (quick_check, and the checksums of db_sum.h), larger ones where they are used. */
enum err_class db_open_writer(struct db *db, const char *path, const struct db_kind *kind,
                              enum err_class (*fill)(struct db *db, void *ctx, struct err *err), void *ctx,
                              struct err *err);
/* Read-only; never changes the file, never checkpoints. EXIT_NOINPUT if there is no file. */
enum err_class db_open_reader(struct db *db, const char *path, const struct db_kind *kind, struct err *err);
void db_close(struct db *db); /* statements must be finalized before; a zeroed db is fine */

/* What an SQLite result code means for us: FULL -> ERR_RETRY/EXIT_IOERR, BUSY -> ERR_RETRY/EXIT_TEMPFAIL, any other I/O
 * error (a failed fsync too) -> ERR_FATAL/EXIT_IOERR, CORRUPT, NOTADB -> ERR_FATAL/EXIT_DATA. */
enum err_class db_error(struct db *db, int rc, struct err *err);
/* Several statements, no results. */
enum err_class db_exec(struct db *db, const char *sql, struct err *err);
enum err_class db_prepare(struct db *db, const char *sql, sqlite3_stmt **ret_statement, struct err *err);
/* Runs a statement to its end and resets it (bindings stay). */
enum err_class db_run(struct db *db, sqlite3_stmt *s, struct err *err);
/* One row: *ret_row says whether there is one. After false, or when done with it, sqlite3_reset. */
enum err_class db_step(struct db *db, sqlite3_stmt *s, bool *ret_row, struct err *err);
/* The first column of the first row of a query without parameters. */
enum err_class db_query_int(struct db *db, const char *sql, int64_t *ret_value, struct err *err);

/* BEGIN IMMEDIATE. ERR_FATAL with what broke it if an earlier write or sync failed: nobody knows what the disk holds.
 */
enum err_class db_begin(struct db *db, struct err *err);
/* Commits if c is ERR_NONE (durable on ERR_NONE), else rolls back and returns c with *err as it was given. Then, as the
 * only checkpointer of the file, moves the log into it when it has grown. Failpoints: WHAT.before_commit (error: full),
 * WHAT.after_commit (error: a failed fsync, met by the next write). */
enum err_class db_end(struct db *db, enum err_class c, struct err *err);

/* All that is read until db_release is of one moment; a writer goes on meanwhile, but its log is not taken back: not to
 * be held while somebody is waited for. Readers only. */
enum err_class db_hold(struct db *db, struct err *err);
void db_release(struct db *db); /* harmless when nothing is held */

/* Borrowed text: must live until the statement was run. ptr NULL binds NULL. */
void db_bind_text(sqlite3_stmt *s, int at, struct str text);
void db_bind_blob(sqlite3_stmt *s, int at, struct str bytes);
/* Valid until the next step; NULL -> ptr NULL. */
struct str db_column(sqlite3_stmt *s, int at);

#endif
