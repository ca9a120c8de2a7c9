/* SPDX-License-Identifier: MIT
 *
 * sqlite.h - inside of the results.db sink: what its files share (private to this room; the format is in sqlite.c).
 */
#ifndef WIKITALLY_SINK_SQLITE_H
#define WIKITALLY_SINK_SQLITE_H

#include "base/db_sum.h"
#include "sink/shared.h"

enum { TIME_TEXT_BYTES = 40 };
/* 'YYYY-MM-DD HH:MM:SS[.ffffff]', UTC: sorts as time does. Before year 0: "", beyond 9999: "~". */
void time_text(char out[TIME_TEXT_BYTES], int64_t us);
bool time_of_text(struct str text, int64_t *ret_us);

enum sink_statement {
    LANE_STATE, /* last generation, stored version, its clocks */
    LINE_PUT,
    LINE_GET,
    LEDGER_ADD,
    LEDGER_FOLD,
    LEDGER_FOLDED,
    MARK_FOLDED,
    TORN_PUT,
    TORN_COUNT,
    TORN_MERGE_READ,
    TORN_DELETE,
    MARK_PUT,
    DEAD_PUT,
    GENERATION_PUT,
    BEGIN_PUT,
    SHOWN_SET,
    SHOWN_CLEAR,
    SHOWN_PUT,
    SINK_STATEMENTS
};
extern const char *const sink_sql[SINK_STATEMENTS];
extern const struct db_kind results_kind;

/* The columns of wt_commit (sqlite_rows.c): behind these come keys, measures, and sketches of those that have one. */
enum row_column {
    ROW_WINDOW_START = 1,
    ROW_WINDOW_END,
    ROW_CREATED_AT,
    ROW_PARTITION,
    ROW_FINAL,
    ROW_REVISION,
    ROW_CLOSED_BY,
    ROW_EPOCH,
    ROW_GENERATION,
    ROW_KEY,
    ROW_COLUMNS = ROW_KEY + 2 * COLUMNS_MAX /* the last */
};

struct sqlite_aggregation {
    const struct result_schema *schema; /* outlives the sink */
    sqlite3_stmt *row_put;              /* NULL until the first commit after a (re)connect */
    size_t sum_count;
    uint8_t sum_columns[DB_SUM_COLUMNS]; /* what row_sum is made of, as numbers in wt_commit; 0: NULL */
};

struct commit_rows { /* what wt_commit shows */
    const struct sqlite_aggregation *aggregation;
    const struct lane_commit *lane; /* NULL: none */
    char created[TIME_TEXT_BYTES];
};

struct sqlite_sink {
    struct sink base; /* first */
    char *path, *task;
    struct db db;
    sqlite3_stmt *statements[SINK_STATEMENTS];
    struct sqlite_aggregation *aggregations;
    size_t aggregation_count;
    struct commit_rows rows;
};

enum err_class sqlite_sink_connect(struct sqlite_sink *s, struct err *err);
void sqlite_sink_disconnect(struct sqlite_sink *s);
/* Begins a transaction, on a fresh connection if the file was full before; db_end ends it. */
enum err_class sqlite_sink_begin(struct sqlite_sink *s, struct err *err);

/* sqlite_schema.c */
enum err_class sqlite_prepare(struct sink *base, const struct result_schema *const *schemas, size_t count,
                              struct err *err);
enum err_class sqlite_row_statement(struct sqlite_sink *s, struct sqlite_aggregation *a, struct err *err);

/* sqlite_rows.c */
/* Of a fresh connection: makes wt_commit known there. */
enum err_class sqlite_rows_table(struct sqlite_sink *s, struct err *err);
/* Writes a lane's rows, in a transaction. */
enum err_class sqlite_rows_put(struct sqlite_sink *s, const struct lane_commit *l, int64_t wall_us, struct err *err);

/* sqlite_generation.c */
enum err_class sqlite_generations(struct sink *base, size_t aggregation, struct arena *arena,
                                  const struct generation **ret_list, size_t *ret_count, int64_t *ret_shown,
                                  struct err *err);
enum err_class sqlite_begin(struct sink *base, size_t aggregation, const struct generation *g, bool show,
                            struct err *err);
/* Readers switch to this generation; in a transaction. */
enum err_class sqlite_show(struct sqlite_sink *s, const char *name, int64_t generation, struct err *err);

/* sqlite_commit.c */
enum err_class sqlite_commit(struct sink *base, const struct task_commit *commit, struct err *err);
enum err_class sqlite_line(struct sink *base, size_t aggregation, int64_t generation, uint32_t partition,
                           struct arena *arena, struct task_line *ret_line, bool *ret_found, struct err *err);
/* The columns of LINE_GET's select list, from `at` on; texts in the arena. */
#define LINE_COLUMNS                                                                                                   \
    "version, position, has_last, last, arrival_us, replay_from, first_window_us, gaps, now_stream_us,"                \
    " now_change_seen, now_topic, before_stream_us, before_change_seen, before_topic"
enum err_class sqlite_line_column(sqlite3_stmt *s, int at, struct arena *arena, struct task_line *ret_line,
                                  struct err *err);
void bind_time(sqlite3_stmt *s, int at, int64_t us); /* TIME_NONE as NULL */
int64_t column_time(sqlite3_stmt *s, int at);
void time_state_column(sqlite3_stmt *s, int at, struct arena *arena, struct time_state *ret);

#endif
