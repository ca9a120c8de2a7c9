/* SPDX-License-Identifier: MIT
 *
 * bench_limit.c - what the machine allows: the bounds beside which `make bench` prints the program's figures.
 *
 *   bench_limit DIRECTORY [EVENTS]
 *
 * Made-up events (seed fixed), none of our own code in between: copied in memory; packed by zstd as the journal packs
 * them, and by two threads at once, each all of them: what two cores are worth here; written to a plain file with
 * fdatasync after each MiB, raw and packed; the packed batches as blobs into SQLite; rows of the form and in the order
 * of results.db into SQLite. Wall time. Prints one line of JSON: events (rows) a second of each.
 */
#include "base/clock.h"
#include "source/source.h"

#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zstd.h>

enum { BATCH_BYTES = 1 << 20, ROWS_PER_COMMIT = 20000, ROW_COMMITS = 5, COPIES = 5 };

struct piece {
    struct str raw, packed;
};
struct work {
    const char *directory;
    size_t events, piece_count;
    struct piece *pieces;
    struct arena arena;
};

static double since_s(int64_t began_us)
{
    return (double)(clock_mono(&clock_real) - began_us + 1) / 1e6;
}

static void events_make(struct work *w)
{
    struct generator_options o = {.seed = 7, .rate = 45, .late = -1, .start_us = TIME_NONE};
    struct generator *g = generator_new(&o);
    AUTO(buf) struct buf batch = {0};
    w->pieces = xcalloc(w->events + 1, sizeof *w->pieces);
    for (size_t n = 0; n < w->events; n++) {
        int64_t arrival_us;
        buf_add(&batch, generator_next(g, &arrival_us));
        if (batch.len >= BATCH_BYTES || n + 1 == w->events) {
            w->pieces[w->piece_count++].raw = arena_dup(&w->arena, buf_str(&batch));
            buf_clear(&batch);
        }
    }
    generator_free(g);
}

static double copy_all(struct work *w)
{
    char *to = xmalloc(3 * BATCH_BYTES);
    int64_t began = clock_mono(&clock_real);
    for (int round = 0; round < COPIES; round++) {
        for (size_t i = 0; i < w->piece_count; i++) {
            memcpy(to, w->pieces[i].raw.ptr, w->pieces[i].raw.len);
            __asm__ volatile("" : : "r"(to) : "memory"); /* the copy is wanted */
        }
    }
    double took = since_s(began) / COPIES;
    free(to);
    return (double)w->events / took;
}

static double pack_all(struct work *w)
{
    size_t room = ZSTD_compressBound(3 * BATCH_BYTES);
    char *to = xmalloc(room);
    double took = 0;
    for (size_t i = 0; i < w->piece_count; i++) {
        int64_t began = clock_mono(&clock_real);
        size_t size = ZSTD_compress(to, room, w->pieces[i].raw.ptr, w->pieces[i].raw.len, 1);
        took += since_s(began);
        ensure(!ZSTD_isError(size));
        w->pieces[i].packed = arena_dup(&w->arena, str_n(to, size));
    }
    free(to);
    return (double)w->events / took;
}

/* Packs all and keeps nothing. */
static void *pack_thread(void *work)
{
    const struct work *w = work;
    size_t room = ZSTD_compressBound(3 * BATCH_BYTES);
    char *to = xmalloc(room);
    for (size_t i = 0; i < w->piece_count; i++) {
        ensure(!ZSTD_isError(ZSTD_compress(to, room, w->pieces[i].raw.ptr, w->pieces[i].raw.len, 1)));
    }
    free(to);
    return NULL;
}

static double pack_twice(struct work *w)
{
    pthread_t threads[2];
    int64_t began = clock_mono(&clock_real);
    for (int i = 0; i < 2; i++) {
        ensure(pthread_create(&threads[i], NULL, pack_thread, w) == 0);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    return 2 * (double)w->events / since_s(began);
}

static double write_all(const struct work *w, bool packed)
{
    AUTO(buf) struct buf path = {0};
    buf_addf(&path, "%s/raw", w->directory);
    int fd = open(path.ptr, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ensure(fd >= 0);
    int64_t began = clock_mono(&clock_real);
    for (size_t i = 0; i < w->piece_count; i++) {
        struct str bytes = packed ? w->pieces[i].packed : w->pieces[i].raw;
        ensure(write(fd, bytes.ptr, bytes.len) == (ssize_t)bytes.len && fdatasync(fd) == 0);
    }
    double took = since_s(began);
    close(fd);
    unlink(path.ptr);
    return (double)w->events / took;
}

/* ---------------------------------------------------------------- SQLite, without our code */

static void run(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        fprintf(stderr, "bench_limit: %s: %s\n", sql, sqlite3_errmsg(db));
        exit(EXIT_INTERNAL);
    }
}

static sqlite3 *database_open(const struct work *w, const char *name, const char *schema)
{
    sqlite3 *db;
    AUTO(buf) struct buf path = {0};
    buf_addf(&path, "%s/%s", w->directory, name);
    ensure(sqlite3_open(path.ptr, &db) == SQLITE_OK);
    run(db, "PRAGMA page_size=8192; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-16384");
    run(db, schema);
    return db;
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *s;
    ensure(sqlite3_prepare_v2(db, sql, -1, &s, NULL) == SQLITE_OK);
    return s;
}

static double blobs_all(const struct work *w)
{
    sqlite3 *db = database_open(w, "blobs.db", "CREATE TABLE batches (id INTEGER PRIMARY KEY, blob BLOB NOT NULL)");
    sqlite3_stmt *s = prepare(db, "INSERT INTO batches (blob) VALUES (?1)");
    int64_t began = clock_mono(&clock_real);
    for (size_t i = 0; i < w->piece_count; i++) {
        sqlite3_bind_blob(s, 1, w->pieces[i].packed.ptr, (int)w->pieces[i].packed.len, SQLITE_STATIC);
        ensure(sqlite3_step(s) == SQLITE_DONE && sqlite3_reset(s) == SQLITE_OK); /* a transaction of its own */
    }
    double took = since_s(began);
    sqlite3_finalize(s);
    sqlite3_close(db);
    return (double)w->events / took;
}

static void row_insert(sqlite3_stmt *s, int window, int number)
{
    char start[32], key[32];
    snprintf(start, sizeof start, "2026-05-05 11:%02d:00", window % 60);
    snprintf(key, sizeof key, "[\"User %d\"]", number);
    sqlite3_bind_text(s, 1, start, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 2, key, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 3, key + 2, (int)strlen(key) - 4, SQLITE_STATIC);
    sqlite3_bind_int(s, 4, window * ROWS_PER_COMMIT + number);
    ensure(sqlite3_step(s) == SQLITE_DONE && sqlite3_reset(s) == SQLITE_OK);
}

/* As a table of results.db has them; new rows, in the order of a hash table: none. */
static double rows_all(const struct work *w)
{
    sqlite3 *db = database_open(
        w, "rows.db",
        "CREATE TABLE r (window_start TEXT NOT NULL, key TEXT NOT NULL, partition INTEGER NOT NULL, generation INTEGER "
        "NOT NULL, window_end TEXT NOT NULL, user_name TEXT, edit_count INTEGER, created_at TEXT NOT NULL, final "
        "INTEGER NOT NULL, revision INTEGER NOT NULL, closed_by INTEGER, epoch INTEGER NOT NULL, PRIMARY KEY "
        "(window_start, key, partition, generation)) WITHOUT ROWID");
    sqlite3_stmt *s = prepare(db, "INSERT INTO r VALUES (?1, ?2, 0, 0, '2026-05-05 12:00:00', ?3, 1, "
                                  "'2026-05-05 11:00:01.123456', 0, ?4, NULL, 0)");
    int64_t began = clock_mono(&clock_real);
    for (int window = 0; window < ROW_COMMITS; window++) {
        run(db, "BEGIN IMMEDIATE");
        for (int i = 0; i < ROWS_PER_COMMIT; i++) {
            row_insert(s, window, i * 7919 % ROWS_PER_COMMIT);
        }
        run(db, "COMMIT");
    }
    double took = since_s(began);
    sqlite3_finalize(s);
    sqlite3_close(db);
    return ROW_COMMITS * ROWS_PER_COMMIT / took;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: bench_limit DIRECTORY [EVENTS]\n");
        return EXIT_USAGE;
    }
    struct work w = {.directory = argv[1], .events = argc > 2 ? strtoul(argv[2], NULL, 10) : 100000};
    events_make(&w);
    double copied = copy_all(&w), packed = pack_all(&w), twice = pack_twice(&w), raw = write_all(&w, false),
           small = write_all(&w, true);
    printf("{\"bench\":\"limit\",\"events\":%zu,\"memcpy_per_s\":%.0f,\"zstd_per_s\":%.0f,\"zstd_two_threads_per_s\":%."
           "0f,\"raw_write_fsync_per_s\":%.0f,"
           "\"packed_write_fsync_per_s\":%.0f,\"sqlite_blobs_per_s\":%.0f,\"sqlite_rows_per_s\":%.0f}\n",
           w.events, copied, packed, twice, raw, small, blobs_all(&w), rows_all(&w));
    free(w.pieces);
    arena_fini(&w.arena);
    return EXIT_DONE;
}
