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

struct item { /* as SQLite will have it, before a column's affinity */
    enum { ITEM_NULL, ITEM_INT, ITEM_TEXT, ITEM_BLOB } kind;
    int64_t number;
    struct str bytes;
};

struct cursor {
    sqlite3_vtab_cursor base; /* first */
    const struct commit_rows *rows;
    size_t at;
    struct item items[ROW_COLUMNS + 1]; /* of the row at hand, by column; 0: its sum */
    int64_t start_us, end_us;           /* of the window at hand */
    char texts[2][TIME_TEXT_BYTES];     /* the same: rows of one window come together */
    struct str start, end;              /* in these */
};

struct table {
    sqlite3_vtab base; /* first */
    const struct commit_rows *rows;
};

/* ---- a row */

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

/* What wt_sum() makes of the row; NULL where only that knows (base/db_sum.h). */
static struct item items_sum(const struct sqlite_aggregation *a, const struct item *items)
{
    uint64_t sum = DB_SUM_SEED;
    for (size_t place = 0; place < a->sum_count; place++) {
        const struct item *item = &items[a->sum_columns[place]]; /* the 0th is NULL as yet */
        if (item->kind == ITEM_INT) {
            sum = db_sum_int(sum, place, item->number);
        } else if (item->kind == ITEM_TEXT && db_sum_like_number(item->bytes)) {
            return item_null();
        } else if (item->kind != ITEM_NULL) {
            sum = db_sum_bytes(sum, place, item->bytes, item->kind == ITEM_BLOB);
        }
    }
    return item_int((int64_t)sum);
}

/* Keys, measures, sketches of those measures that have one. */
static void items_typed(const struct result_schema *schema, const struct result_row *row, struct item *items)
{
    for (size_t i = 0; i < schema->key_count; i++) {
        *items++ = item_cell(&row->keys[i], schema->keys[i].type);
    }
    for (size_t i = 0; i < schema->measure_count; i++) {
        *items++ = item_cell(&row->measures[i], schema->measures[i].type);
    }
    for (size_t i = 0; i < schema->measure_count; i++) {
        if (schema->measures[i].sketch) {
            struct str sketch = row->sketches == NULL ? str_n(NULL, 0) : row->sketches[i];
            *items++ = (struct item){.kind = sketch.len > 0 ? ITEM_BLOB : ITEM_NULL, .bytes = sketch};
        }
    }
}

static void items_make(struct cursor *cursor, const struct result_row *row)
{
    const struct lane_commit *lane = cursor->rows->lane;
    struct item *items = cursor->items;
    items[0] = item_null();
    items[ROW_WINDOW_START] = item_text(cursor->start);
    items[ROW_WINDOW_END] = item_text(cursor->end);
    items[ROW_CREATED_AT] = item_text(str_of(cursor->rows->created));
    items[ROW_PARTITION] = item_int(lane->partition);
    items[ROW_FINAL] = item_int(row->final);
    items[ROW_REVISION] = item_int(row->revision);
    items[ROW_CLOSED_BY] = row->closed_by < 0 ? item_null() : item_int(row->closed_by);
    items[ROW_EPOCH] = item_int(lane->epoch);
    items[ROW_GENERATION] = item_int(lane->generation);
    items[ROW_KEY] = item_text(row->key);
    items_typed(cursor->rows->aggregation->schema, row, items + ROW_KEY + 1);
    items[0] = items_sum(cursor->rows->aggregation, items);
}

static int cursor_column(sqlite3_vtab_cursor *base, sqlite3_context *c, int column)
{
    const struct item *item = &((const struct cursor *)base)->items[column];
    if (item->kind == ITEM_INT) {
        sqlite3_result_int64(c, item->number);
    } else if (item->kind == ITEM_TEXT) {
        sqlite3_result_text64(c, item->bytes.ptr, item->bytes.len, SQLITE_STATIC, SQLITE_UTF8);
    } else if (item->kind == ITEM_BLOB) {
        sqlite3_result_blob64(c, item->bytes.ptr, item->bytes.len, SQLITE_STATIC);
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
    items_make(cursor, row);
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
