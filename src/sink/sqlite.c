/* SPDX-License-Identifier: MIT
 *
 * sqlite.c - DIRECTORY/results.db: written by one connection of one task, by one thread at a time, under the
 * directory's lock that the journal holds.
 *
 * Format 1 (application_id "wTlR", user_version 1). People may query it; *_us are microseconds since the epoch, the
 * other times are text, UTC. For each aggregation NAME:
 *
 *     NAME_rows           all rows of all generations: window_start, key, partition, generation (the primary key),
 *                         window_end, a column per key and measure, MEASURE_sketch, created_at, final, revision,
 *                         closed_by, epoch
 *     NAME                a view: of each window the newest generation that shows it (R15), and whether it is torn
 *
 * and for all of them, by aggregation (and generation and partition where it says so):
 *
 *     wt_aggregations     what is declared now, which generation is shown, which task writes it; wt_columns its columns
 *     wt_generations      definitions so far (R15); wt_begins where each begins, per partition
 *     wt_shown            which windows are shown of which generation: made from the two above
 *     wt_lines            the line per generation and partition (result.h), moved by compare-and-set on version
 *     wt_ledger           the task's ledger (R12): count by side (0 event, 1 arrival), minute, bucket
 *     wt_torn, wt_marks   windows that may lack records; where a replay may begin
 *     wt_dead_letters     what a task could not decode
 *
 * Each table has row_sum (base/db_sum.h). A commit is one transaction with synchronous=FULL. A key column has no
 * declared type: values keep their own. A boolean is 0 or 1 in a column declared boolean, else text; `key` is the exact
 * key in every case.
 */
#include "sink/sqlite.h"
#include "base/clock.h"
#include "base/fault.h"

#include <stdio.h>
#include <stdlib.h>

/* The statement that writes a row of NAME_rows brings its sum: a trigger would write each row twice. */
static const char *const summed[] = {
    "wt_aggregations", "wt_columns", "wt_generations", "wt_begins",       "wt_shown", "wt_lines",
    "wt_ledger",       "wt_torn",    "wt_marks",       "wt_dead_letters", NULL};

const struct db_kind results_kind = {
    .what = "results",
    .summed = summed,
    .application_id = 0x77546c52,
    .version = 1,
    .page_bytes = 8192,
    .schema =
        "CREATE TABLE wt_aggregations (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, task TEXT NOT NULL,"
        "  size_us INTEGER NOT NULL, slide_us INTEGER NOT NULL, shown INTEGER NOT NULL, definition TEXT NOT NULL);"
        "CREATE TABLE wt_columns (aggregation TEXT NOT NULL, position INTEGER NOT NULL, role TEXT NOT NULL,"
        "  name TEXT NOT NULL, label TEXT NOT NULL, type INTEGER NOT NULL, sketch INTEGER NOT NULL,"
        "  PRIMARY KEY (aggregation, position)) WITHOUT ROWID;"
        "CREATE TABLE wt_generations (aggregation TEXT NOT NULL, number INTEGER NOT NULL, definition TEXT NOT NULL,"
        "  definition_hash INTEGER NOT NULL, journal_id TEXT NOT NULL, epoch INTEGER NOT NULL, base INTEGER NOT NULL,"
        "  first_window_us INTEGER NOT NULL, PRIMARY KEY (aggregation, number)) WITHOUT ROWID;"
        "CREATE TABLE wt_begins (aggregation TEXT NOT NULL, generation INTEGER NOT NULL, partition INTEGER NOT NULL,"
        "  position INTEGER NOT NULL, has_last INTEGER NOT NULL, last INTEGER NOT NULL, arrival_us INTEGER,"
        "  target INTEGER NOT NULL, PRIMARY KEY (aggregation, generation, partition)) WITHOUT ROWID;"
        "CREATE TABLE wt_shown (aggregation TEXT NOT NULL, generation INTEGER NOT NULL, from_window TEXT NOT NULL,"
        "  to_window TEXT NOT NULL, PRIMARY KEY (aggregation, generation)) WITHOUT ROWID;"
        "CREATE TABLE wt_lines (aggregation TEXT NOT NULL, generation INTEGER NOT NULL, partition INTEGER NOT NULL,"
        "  version INTEGER NOT NULL, position INTEGER NOT NULL, has_last INTEGER NOT NULL, last INTEGER NOT NULL,"
        "  arrival_us INTEGER, replay_from INTEGER NOT NULL, first_window_us INTEGER NOT NULL, gaps TEXT NOT NULL,"
        "  now_stream_us INTEGER, now_change_seen INTEGER NOT NULL, now_topic TEXT,"
        "  before_stream_us INTEGER, before_change_seen INTEGER NOT NULL, before_topic TEXT,"
        "  PRIMARY KEY (aggregation, generation, partition)) WITHOUT ROWID;"
        "CREATE TABLE wt_ledger (aggregation TEXT NOT NULL, generation INTEGER NOT NULL, partition INTEGER NOT NULL,"
        "  side INTEGER NOT NULL, minute INTEGER NOT NULL, bucket INTEGER NOT NULL, count INTEGER NOT NULL,"
        "  PRIMARY KEY (aggregation, generation, partition, side, minute, bucket)) WITHOUT ROWID;"
        "CREATE TABLE wt_torn (id INTEGER PRIMARY KEY, aggregation TEXT NOT NULL, generation INTEGER NOT NULL,"
        "  partition INTEGER NOT NULL, from_us INTEGER NOT NULL, to_us INTEGER NOT NULL, from_window TEXT NOT NULL,"
        "  to_window TEXT NOT NULL, UNIQUE (aggregation, generation, partition, from_us, to_us));"
        "CREATE TABLE wt_marks (aggregation TEXT NOT NULL, generation INTEGER NOT NULL, partition INTEGER NOT NULL,"
        "  offset INTEGER NOT NULL, arrival_minute INTEGER NOT NULL, stream_us INTEGER, change_seen INTEGER NOT NULL,"
        "  topic TEXT, PRIMARY KEY (aggregation, generation, partition, offset)) WITHOUT ROWID;"
        "CREATE TABLE wt_dead_letters (id INTEGER PRIMARY KEY AUTOINCREMENT, task TEXT NOT NULL, stage TEXT NOT NULL,"
        "  reason TEXT NOT NULL, detail TEXT, position TEXT, arrival_us INTEGER, stream_us INTEGER,"
        "  retried_us INTEGER, bytes BLOB NOT NULL);",
};

#define LANE "aggregation = ?1 AND generation = ?2 AND partition = ?3"

const char *const sink_sql[SINK_STATEMENTS] = {
    [LANE_STATE] = "SELECT (SELECT max(number) FROM wt_generations WHERE aggregation = ?1), l.version, l.arrival_us,"
                   " l.now_stream_us FROM (SELECT 1) LEFT JOIN wt_lines l ON l.aggregation = ?1 AND l.generation = ?2"
                   " AND l.partition = ?3",
    [LINE_PUT] = "INSERT OR REPLACE INTO wt_lines (aggregation, generation, partition, " LINE_COLUMNS ")"
                 " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
    [LINE_GET] = "SELECT " LINE_COLUMNS " FROM wt_lines WHERE " LANE,
    [LEDGER_ADD] = "INSERT INTO wt_ledger (aggregation, generation, partition, side, minute, bucket, count)"
                   " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
                   " ON CONFLICT (aggregation, generation, partition, side, minute, bucket)"
                   " DO UPDATE SET count = count + excluded.count",
    [LEDGER_FOLD] = "INSERT INTO wt_ledger (aggregation, generation, partition, side, minute, bucket, count)"
                    " SELECT aggregation, generation, partition, side, ?4, bucket, sum(count) FROM wt_ledger"
                    " WHERE " LANE " AND minute > ?4 AND minute < ?5 GROUP BY side, bucket"
                    " ON CONFLICT (aggregation, generation, partition, side, minute, bucket)"
                    " DO UPDATE SET count = count + excluded.count",
    [LEDGER_FOLDED] = "DELETE FROM wt_ledger WHERE " LANE " AND minute > ?4 AND minute < ?5",
    [MARK_FOLDED] = "DELETE FROM wt_marks WHERE " LANE " AND arrival_minute > ?4 AND arrival_minute < ?5",
    [TORN_PUT] = "INSERT OR IGNORE INTO wt_torn (aggregation, generation, partition, from_us, to_us, from_window,"
                 " to_window) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [TORN_COUNT] = "SELECT count(*) FROM wt_torn WHERE " LANE,
    [TORN_MERGE_READ] = "SELECT id, from_us, to_us FROM wt_torn WHERE " LANE " ORDER BY id LIMIT 2",
    [TORN_DELETE] = "DELETE FROM wt_torn WHERE id = ?1",
    [MARK_PUT] =
        "INSERT OR IGNORE INTO wt_marks (aggregation, generation, partition, offset, arrival_minute, stream_us,"
        " change_seen, topic) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    [DEAD_PUT] =
        "INSERT INTO wt_dead_letters (task, stage, reason, detail, position, arrival_us, stream_us, retried_us,"
        " bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    [GENERATION_PUT] =
        "INSERT INTO wt_generations (aggregation, number, definition, definition_hash, journal_id, epoch,"
        " base, first_window_us) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    [BEGIN_PUT] = "INSERT INTO wt_begins (aggregation, generation, partition, position, has_last, last, arrival_us,"
                  " target) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    [SHOWN_SET] = "UPDATE wt_aggregations SET shown = ?2 WHERE name = ?1",
    [SHOWN_CLEAR] = "DELETE FROM wt_shown WHERE aggregation = ?1",
    [SHOWN_PUT] = "INSERT INTO wt_shown (aggregation, generation, from_window, to_window) VALUES (?1, ?2, ?3, ?4)",
};

/* ---- time as text */

void time_text(char out[TIME_TEXT_BYTES], int64_t us)
{
    const int64_t year_0 = -62167219200 * US_PER_SECOND, year_10000 = 253402300800 * US_PER_SECOND;
    if (us < year_0 || us >= year_10000) {
        out[0] = us < year_0 ? '\0' : '~';
        out[1] = '\0';
        return;
    }
    AUTO(buf) struct buf b = {0};
    time_format(&b, us); /* YYYY-MM-DDThh:mm:ss[.ffffff]Z */
    ensure(b.len > 11 && b.len < TIME_TEXT_BYTES);
    memcpy(out, b.ptr, b.len);
    out[10] = ' ';
    out[b.len - 1] = '\0';
}

bool time_of_text(struct str text, int64_t *ret_us)
{
    char z[TIME_TEXT_BYTES];
    if (text.len < 19 || text.len + 2 > sizeof z) {
        return false;
    }
    memcpy(z, text.ptr, text.len);
    z[10] = 'T';
    z[text.len] = 'Z';
    return time_parse_rfc3339(str_n(z, text.len + 1), ret_us);
}

void bind_time(sqlite3_stmt *s, int at, int64_t us)
{
    if (us == TIME_NONE) {
        sqlite3_bind_null(s, at);
    } else {
        sqlite3_bind_int64(s, at, us);
    }
}

int64_t column_time(sqlite3_stmt *s, int at)
{
    return sqlite3_column_type(s, at) == SQLITE_NULL ? TIME_NONE : sqlite3_column_int64(s, at);
}

/* ---- the connection */

enum err_class sqlite_sink_connect(struct sqlite_sink *s, struct err *err)
{
    enum err_class c = db_open_writer(&s->db, s->path, &results_kind, NULL, NULL, err);
    c = c ? c : sqlite_rows_table(s, err);
    for (int i = 0; !c && i < SINK_STATEMENTS; i++) {
        c = db_prepare(&s->db, sink_sql[i], &s->statements[i], err);
    }
    return c;
}

void sqlite_sink_disconnect(struct sqlite_sink *s)
{
    for (int i = 0; i < SINK_STATEMENTS; i++) {
        sqlite3_finalize(s->statements[i]);
        s->statements[i] = NULL;
    }
    for (size_t i = 0; i < s->aggregation_count; i++) {
        sqlite3_finalize(s->aggregations[i].row_put);
        s->aggregations[i].row_put = NULL;
    }
    db_close(&s->db);
}

enum err_class sqlite_sink_begin(struct sqlite_sink *s, struct err *err)
{
    if (s->db.reopen) {
        sqlite_sink_disconnect(s);
        enum err_class c = failpoint_err("sink.in_reopen", err);
        c = c ? c : sqlite_sink_connect(s, err);
        if (c) {
            sqlite_sink_disconnect(s);
            s->db.kind = &results_kind;
            s->db.reopen = true;
            return c;
        }
    }
    return db_begin(&s->db, err);
}

static void sqlite_close(struct sink *base)
{
    struct sqlite_sink *s = (struct sqlite_sink *)base;
    if (s != NULL) {
        sqlite_sink_disconnect(s);
        free(s->aggregations);
        free(s->path);
        free(s->task);
        free(s);
    }
}

static const struct sink_ops sqlite_ops = {
    .name = "sqlite",
    .prepare = sqlite_prepare,
    .generations = sqlite_generations,
    .begin = sqlite_begin,
    .line = sqlite_line,
    .commit = sqlite_commit,
    .close = sqlite_close,
};

enum err_class sink_open_sqlite(const struct sink_options *options, struct sink **ret_sink, struct err *err)
{
    AUTO(buf) struct buf path = {0};
    buf_addf(&path, "%s/results.db", options->directory);
    struct sqlite_sink *s = xcalloc(1, sizeof *s);
    s->base.ops = &sqlite_ops;
    s->path = str_dup(buf_str(&path));
    s->task = str_dup(str_of(options->task));
    enum err_class c = sqlite_sink_connect(s, err);
    if (c) {
        sqlite_close(&s->base);
        return c;
    }
    *ret_sink = &s->base;
    return ERR_NONE;
}
