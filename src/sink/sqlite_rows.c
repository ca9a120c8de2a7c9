/* SPDX-License-Identifier: MIT
 *
 * sqlite_rows.c - the rows of a commit as a table that SQL can read: `wt_commit`, of this connection alone and empty
 * outside of a commit. One statement takes all rows of a lane from it, for about half of what binding and stepping a
 * statement a row costs (docs/decisions/0006).
 *
 * Its columns are row_sum and c1 to cN: those of enum row_column, then keys, measures, and sketches of those that have
 * one, as the schema of the aggregation at hand says.
 */
#include "base/db_sum.h"
#include "sink/sqlite.h"

#include <stdlib.h>

struct cursor {
    sqlite3_vtab_cursor base; /* first */
    const struct commit_rows *rows;
    size_t at;
    int64_t start_us, end_us;       /* of the window at hand */
    char texts[2][TIME_TEXT_BYTES]; /* the same: rows of one window come together */
    struct str start, end;          /* in these */
};

struct table {
    sqlite3_vtab base; /* first */
    const struct commit_rows *rows;
};

/* ---- a row */

struct item { /* as SQLite will have it, before a column's affinity */
    enum { ITEM_NULL, ITEM_INT, ITEM_TEXT, ITEM_BLOB } kind;
    int64_t number;
    struct str bytes;
};

static struct item item_null(void)
{
    return (struct item){.kind = ITEM_NULL};
}

static struct item item_int(int64_t n)
{
    return (struct item){.kind = ITEM_INT, .number = n};
}

static struct item item_text(struct str text)
{
    return (struct item){.kind = ITEM_TEXT, .bytes = text.ptr ? text : STR("")};
}

static struct item item_cell(const struct cell *cell, enum column_type type)
{
    if (cell->kind == CELL_INT) {
        return item_int(cell->number);
    }
    if (cell->kind == CELL_BOOL) {
        return type == COLUMN_BOOL ? item_int(cell->number != 0) : item_text(cell->number ? STR("true") : STR("false"));
    }
    return cell->kind == CELL_TEXT ? item_text(cell->text) : item_null();
}

/* Of the n-th of the measures that have a sketch. */
static struct item item_sketch(const struct result_schema *schema, const struct result_row *row, size_t n)
{
    for (size_t i = 0; i < schema->measure_count && row->sketches != NULL; i++) {
        if (schema->measures[i].sketch && n-- == 0) {
            struct str sketch = row->sketches[i];
            return (struct item){.kind = sketch.len > 0 ? ITEM_BLOB : ITEM_NULL, .bytes = sketch};
        }
    }
    return item_null();
}

/* The n-th of keys, measures, sketches. */
static struct item item_typed(const struct result_schema *schema, const struct result_row *row, size_t n)
{
    if (n < schema->key_count) {
        return item_cell(&row->keys[n], schema->keys[n].type);
    }
    n -= schema->key_count;
    return n < schema->measure_count ? item_cell(&row->measures[n], schema->measures[n].type)
                                     : item_sketch(schema, row, n - schema->measure_count);
}

static struct item item_of(const struct cursor *cursor, size_t column)
{
    const struct commit_rows *rows = cursor->rows;
    const struct result_row *row = &rows->lane->rows[cursor->at];
    switch (column) {
    case ROW_WINDOW_START:
        return item_text(cursor->start);
    case ROW_WINDOW_END:
        return item_text(cursor->end);
    case ROW_CREATED_AT:
        return item_text(str_of(rows->created));
    case ROW_PARTITION:
        return item_int(rows->lane->partition);
    case ROW_FINAL:
        return item_int(row->final);
    case ROW_REVISION:
        return item_int(row->revision);
    case ROW_CLOSED_BY:
        return row->closed_by < 0 ? item_null() : item_int(row->closed_by);
    case ROW_EPOCH:
        return item_int(rows->lane->epoch);
    case ROW_GENERATION:
        return item_int(rows->lane->generation);
    case ROW_KEY:
        return item_text(row->key);
    default:
        return item_typed(rows->aggregation->schema, row, column - ROW_KEY - 1);
    }
}

/* What wt_sum() makes of the row; NULL where only that knows (base/db_sum.h). */
static struct item item_sum(const struct cursor *cursor)
{
    const struct sqlite_aggregation *a = cursor->rows->aggregation;
    uint64_t sum = DB_SUM_SEED;
    for (size_t place = 0; place < a->sum_count; place++) {
        size_t column = a->sum_columns[place];
        struct item item = column ? item_of(cursor, column) : item_null();
        if (item.kind == ITEM_INT) {
            sum = db_sum_int(sum, place, item.number);
        } else if (item.kind == ITEM_TEXT && db_sum_like_number(item.bytes)) {
            return item_null();
        } else if (item.kind != ITEM_NULL) {
            sum = db_sum_bytes(sum, place, item.bytes, item.kind == ITEM_BLOB);
        }
    }
    return item_int((int64_t)sum);
}

static int cursor_column(sqlite3_vtab_cursor *base, sqlite3_context *c, int column)
{
    const struct cursor *cursor = (const struct cursor *)base;
    struct item item = column == 0 ? item_sum(cursor) : item_of(cursor, (size_t)column);
    if (item.kind == ITEM_INT) {
        sqlite3_result_int64(c, item.number);
    } else if (item.kind == ITEM_TEXT) {
        sqlite3_result_text64(c, item.bytes.ptr, item.bytes.len, SQLITE_STATIC, SQLITE_UTF8);
    } else if (item.kind == ITEM_BLOB) {
        sqlite3_result_blob64(c, item.bytes.ptr, item.bytes.len, SQLITE_STATIC);
    } /* else NULL, as it is */
    return SQLITE_OK;
}

/* ---- all of them, one after the other */

static int table_connect(sqlite3 *handle, void *rows, int argc, const char *const *argv, sqlite3_vtab **ret,
                         char **ret_error)
{
    (void)argc;
    (void)argv;
    (void)ret_error;
    AUTO(buf) struct buf sql = {0};
    buf_addz(&sql, "CREATE TABLE x (row_sum");
    for (int i = 1; i <= ROW_COLUMNS; i++) {
        buf_addf(&sql, ", c%d", i);
    }
    buf_addc(&sql, ')');
    int rc = sqlite3_declare_vtab(handle, sql.ptr);
    if (rc == SQLITE_OK) {
        struct table *t = xcalloc(1, sizeof *t);
        t->rows = rows;
        *ret = &t->base;
    }
    return rc;
}

static int table_disconnect(sqlite3_vtab *base)
{
    free(base);
    return SQLITE_OK;
}

static int table_plan(sqlite3_vtab *base, sqlite3_index_info *info)
{
    (void)base;
    info->estimatedCost = 1e6; /* it is read from one end to the other, whatever is asked */
    return SQLITE_OK;
}

static int cursor_open(sqlite3_vtab *base, sqlite3_vtab_cursor **ret)
{
    struct cursor *cursor = xcalloc(1, sizeof *cursor);
    cursor->rows = ((struct table *)base)->rows;
    *ret = &cursor->base;
    return SQLITE_OK;
}

static int cursor_close(sqlite3_vtab_cursor *base)
{
    free(base);
    return SQLITE_OK;
}

static size_t rows_count(const struct cursor *cursor)
{
    const struct lane_commit *lane = cursor->rows->lane;
    return lane == NULL ? 0 : lane->row_count;
}

static void cursor_at(struct cursor *cursor, size_t at)
{
    cursor->at = at;
    if (at >= rows_count(cursor)) {
        return;
    }
    const struct result_row *row = &cursor->rows->lane->rows[at];
    if (at == 0 || row->window_start_us != cursor->start_us || row->window_end_us != cursor->end_us) {
        cursor->start_us = row->window_start_us;
        cursor->end_us = row->window_end_us;
        time_text(cursor->texts[0], row->window_start_us);
        time_text(cursor->texts[1], row->window_end_us);
        cursor->start = str_of(cursor->texts[0]);
        cursor->end = str_of(cursor->texts[1]);
    }
}

static int cursor_first(sqlite3_vtab_cursor *base, int plan, const char *text, int argc, sqlite3_value **argv)
{
    (void)plan;
    (void)text;
    (void)argc;
    (void)argv;
    cursor_at((struct cursor *)base, 0);
    return SQLITE_OK;
}

static int cursor_next(sqlite3_vtab_cursor *base)
{
    struct cursor *cursor = (struct cursor *)base;
    cursor_at(cursor, cursor->at + 1);
    return SQLITE_OK;
}

static int cursor_eof(sqlite3_vtab_cursor *base)
{
    const struct cursor *cursor = (const struct cursor *)base;
    return cursor->at >= rows_count(cursor);
}

static int cursor_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *ret)
{
    *ret = (sqlite3_int64)((const struct cursor *)base)->at;
    return SQLITE_OK;
}

enum err_class sqlite_rows_table(struct sqlite_sink *s, struct err *err)
{
    /* Without xCreate it is there without being made, and nobody can make another. */
    static const sqlite3_module module = {.xConnect = table_connect,
                                          .xDisconnect = table_disconnect,
                                          .xBestIndex = table_plan,
                                          .xOpen = cursor_open,
                                          .xClose = cursor_close,
                                          .xFilter = cursor_first,
                                          .xNext = cursor_next,
                                          .xEof = cursor_eof,
                                          .xColumn = cursor_column,
                                          .xRowid = cursor_rowid};
    int rc = sqlite3_create_module_v2(s->db.handle, "wt_commit", &module, &s->rows, NULL);
    return rc == SQLITE_OK ? ERR_NONE : db_error(&s->db, rc, err);
}

/* ---- a lane's */

enum err_class sqlite_rows_put(struct sqlite_sink *s, const struct lane_commit *l, int64_t wall_us, struct err *err)
{
    struct sqlite_aggregation *a = &s->aggregations[l->aggregation];
    enum err_class c = sqlite_row_statement(s, a, err);
    if (c || l->row_count == 0) {
        return c;
    }
    s->rows = (struct commit_rows){.aggregation = a, .lane = l};
    time_text(s->rows.created, wall_us);
    c = db_run(&s->db, a->row_put, err);
    s->rows.lane = NULL;
    return c;
}
