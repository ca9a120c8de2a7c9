/* SPDX-License-Identifier: MIT
 *
 * sqlite_schema.c - tables, columns and views of results.db. Names come from checked identifiers only (schemas_check)
 * and are quoted all the same. Columns are only ever added; a view shows what is declared now.
 */
#include "base/db_sum.h"
#include "base/fault.h"
#include "sink/sqlite.h"

#include <stdlib.h>

/* An affinity, not a cage: SQLite keeps what cannot be converted as it is, and the exact key stands in `key`. */
static const char *sql_type(enum column_type type)
{
    return type == COLUMN_TEXT ? "TEXT" : "INTEGER";
}

/* A typed column for each key, measure and sketch, each followed by a comma. */
static void add_typed_columns(struct buf *sql, const struct result_schema *schema)
{
    for (size_t i = 0; i < schema->key_count; i++) {
        buf_addf(sql, "\"%s\" %s, ", schema->keys[i].name, sql_type(schema->keys[i].type));
    }
    for (size_t i = 0; i < schema->measure_count; i++) {
        buf_addf(sql, "\"%s\" %s, ", schema->measures[i].name, sql_type(schema->measures[i].type));
    }
    for (size_t i = 0; i < schema->measure_count; i++) {
        if (schema->measures[i].sketch) {
            buf_addf(sql, "\"%s_sketch\" BLOB, ", schema->measures[i].name);
        }
    }
}

/* The columns that a person looks at: keys and measures, each followed by a comma. */
static void add_shown_columns(struct buf *sql, const struct result_schema *schema)
{
    for (size_t i = 0; i < schema->key_count; i++) {
        buf_addf(sql, "r.\"%s\", ", schema->keys[i].name);
    }
    for (size_t i = 0; i < schema->measure_count; i++) {
        buf_addf(sql, "r.\"%s\", ", schema->measures[i].name);
    }
}

/* The primary key's columns stand first and in its order: SQLite 3.40's quick_check takes the columns of a WITHOUT
 * ROWID table for each other where they do not, and calls a sound file corrupt. The view has the order for people. */
static enum err_class table_make(struct sqlite_sink *s, const struct result_schema *schema, struct err *err)
{
    AUTO(buf) struct buf sql = {0};
    buf_addf(
        &sql,
        "CREATE TABLE IF NOT EXISTS \"%s_rows\" (window_start TEXT NOT NULL, key TEXT NOT NULL, partition INTEGER NOT"
        " NULL, generation INTEGER NOT NULL, window_end TEXT NOT NULL, ",
        schema->name);
    add_typed_columns(&sql, schema);
    buf_addz(&sql, "created_at TEXT NOT NULL, final INTEGER NOT NULL, revision INTEGER NOT NULL, closed_by INTEGER,"
                   " epoch INTEGER NOT NULL, row_sum INTEGER, PRIMARY KEY (window_start, key, partition, generation)) "
                   "WITHOUT ROWID");
    return db_exec(&s->db, sql.ptr, err);
}

static enum err_class column_has(struct sqlite_sink *s, const char *table, const char *column, bool *ret_has,
                                 struct err *err)
{
    sqlite3_stmt *st = NULL;
    enum err_class c = db_prepare(&s->db, "SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2", &st, err);
    if (!c) {
        db_bind_text(st, 1, str_of(table));
        db_bind_text(st, 2, str_of(column));
        c = db_step(&s->db, st, ret_has, err);
    }
    sqlite3_finalize(st);
    return c;
}

static enum err_class column_add(struct sqlite_sink *s, const char *name, const char *column, const char *suffix,
                                 const char *type, struct err *err)
{
    AUTO(buf) struct buf table = {0}, full = {0}, sql = {0};
    bool has = false;
    buf_addf(&table, "%s_rows", name);
    buf_addf(&full, "%s%s", column, suffix);
    enum err_class c = column_has(s, table.ptr, full.ptr, &has, err);
    if (c || has) {
        return c;
    }
    buf_addf(&sql, "ALTER TABLE \"%s\" ADD COLUMN \"%s\" %s", table.ptr, full.ptr, type);
    return db_exec(&s->db, sql.ptr, err);
}

static enum err_class columns_add(struct sqlite_sink *s, const struct result_schema *schema, struct err *err)
{
    enum err_class c = column_add(s, schema->name, "row_sum", "", "INTEGER", err);
    for (size_t i = 0; !c && i < schema->key_count; i++) {
        c = column_add(s, schema->name, schema->keys[i].name, "", sql_type(schema->keys[i].type), err);
    }
    for (size_t i = 0; !c && i < schema->measure_count; i++) {
        c = column_add(s, schema->name, schema->measures[i].name, "", sql_type(schema->measures[i].type), err);
        if (!c && schema->measures[i].sketch) {
            c = column_add(s, schema->name, schema->measures[i].name, "_sketch", "BLOB", err);
        }
    }
    return c;
}

/* ---- views */

static enum err_class view_put(struct sqlite_sink *s, const char *name, const char *select, struct err *err)
{
    AUTO(buf) struct buf sql = {0};
    sqlite3_stmt *st = NULL;
    bool row = false, same = false;
    buf_addf(&sql, "CREATE VIEW \"%s\" AS %s", name, select);
    enum err_class c = db_prepare(&s->db, "SELECT sql, type FROM sqlite_schema WHERE name = ?1", &st, err);
    if (!c) {
        db_bind_text(st, 1, str_of(name));
        c = db_step(&s->db, st, &row, err);
    }
    if (!c && row) {
        same = str_eq(db_column(st, 0), buf_str(&sql));
        if (!str_eqz(db_column(st, 1), "view")) {
            c = err_set(err, ERR_REJECT, EXIT_CONFIG,
                        "\"%s\" in \"%s\" is in the way of a view of that name; rename one", name, s->path);
        }
    }
    sqlite3_finalize(st);
    if (c || same) {
        return c;
    }
    AUTO(buf) struct buf drop = {0};
    buf_addf(&drop, "DROP VIEW IF EXISTS \"%s\"", name);
    c = db_exec(&s->db, drop.ptr, err);
    return c ? c : db_exec(&s->db, sql.ptr, err);
}

/* The columns of the old stack's table first, in its order; ours after them. */
static enum err_class view_make(struct sqlite_sink *s, const struct result_schema *schema, struct err *err)
{
    AUTO(buf) struct buf sql = {0};
    buf_addz(&sql, "SELECT r.window_start, r.window_end, ");
    add_shown_columns(&sql, schema);
    buf_addf(
        &sql,
        "r.created_at, r.partition, r.final, r.revision, r.closed_by, r.epoch, r.generation, r.key, EXISTS (SELECT 1"
        " FROM wt_torn t WHERE t.aggregation = '%s' AND t.generation = r.generation AND t.partition = r.partition AND"
        " r.window_start BETWEEN t.from_window AND t.to_window) AS torn FROM \"%s_rows\" r CROSS JOIN wt_shown s ON"
        " s.aggregation = '%s' AND s.generation = r.generation AND r.window_start >= s.from_window AND r.window_start <"
        " s.to_window",
        schema->name, schema->name, schema->name);
    return view_put(s, schema->name, sql.ptr, err);
}

static bool column_named(const struct column *list, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* What the pipeline that people have today calls these: design.md section 4. */
static enum err_class old_views_make(struct sqlite_sink *s, const struct result_schema *schema, struct err *err)
{
    if (strcmp(schema->name, "user_edit_counts") != 0 || !column_named(schema->keys, schema->key_count, "user_name") ||
        !column_named(schema->measures, schema->measure_count, "edit_count")) {
        return ERR_NONE;
    }
    enum err_class c = view_put(s, "recent_user_activity",
                                "SELECT window_start, window_end, user_name, sum(edit_count) AS edit_count,"
                                " min(created_at) AS created_at FROM user_edit_counts"
                                " WHERE window_start >= datetime('now', '-24 hours')"
                                " GROUP BY window_start, window_end, key"
                                " ORDER BY window_start DESC, edit_count DESC, user_name",
                                err);
    return c ? c
             : view_put(
                   s, "top_contributors_hourly",
                   "SELECT user_name, sum(edit_count) AS total_edits, count(DISTINCT window_start) AS active_windows"
                   " FROM user_edit_counts WHERE window_start >= datetime('now', '-1 hour')"
                   " GROUP BY key ORDER BY total_edits DESC, user_name LIMIT 50",
                   err);
}

/* ---- what is declared */

static enum err_class owner_check(struct sqlite_sink *s, const struct result_schema *schema, struct err *err)
{
    sqlite3_stmt *st = NULL;
    bool row = false;
    enum err_class c = db_prepare(&s->db, "SELECT task FROM wt_aggregations WHERE name = ?1", &st, err);
    if (!c) {
        db_bind_text(st, 1, str_of(schema->name));
        c = db_step(&s->db, st, &row, err);
    }
    if (!c && row && !str_eqz(db_column(st, 0), s->task)) {
        struct str task = db_column(st, 0);
        c = err_set(err, ERR_REJECT, EXIT_CONFIG,
                    "aggregation '%s' in \"%s\" belongs to task \"%.*s\"; give it another name", schema->name, s->path,
                    STR_ARG(task));
    }
    sqlite3_finalize(st);
    return c;
}

static enum err_class aggregation_put(struct sqlite_sink *s, const struct result_schema *schema, struct err *err)
{
    sqlite3_stmt *st = NULL;
    enum err_class c = db_prepare(&s->db,
                                  "INSERT INTO wt_aggregations (name, task, size_us, slide_us, shown, definition)"
                                  " VALUES (?1, ?2, ?3, ?4, -1, ?5) ON CONFLICT (name) DO UPDATE SET"
                                  " size_us = excluded.size_us, slide_us = excluded.slide_us,"
                                  " definition = excluded.definition",
                                  &st, err);
    if (!c) {
        db_bind_text(st, 1, str_of(schema->name));
        db_bind_text(st, 2, str_of(s->task));
        sqlite3_bind_int64(st, 3, schema->size_us);
        sqlite3_bind_int64(st, 4, schema->slide_us);
        db_bind_text(st, 5, schema->definition ? str_of(schema->definition) : STR(""));
        c = db_run(&s->db, st, err);
    }
    sqlite3_finalize(st);
    return c;
}

static enum err_class columns_put(struct sqlite_sink *s, const struct result_schema *schema, struct err *err)
{
    sqlite3_stmt *st = NULL;
    enum err_class c = db_prepare(&s->db, "DELETE FROM wt_columns WHERE aggregation = ?1", &st, err);
    if (!c) {
        db_bind_text(st, 1, str_of(schema->name));
        c = db_run(&s->db, st, err);
    }
    sqlite3_finalize(st);
    st = NULL;
    c = c ? c
          : db_prepare(&s->db,
                       "INSERT INTO wt_columns (aggregation, position, role, name, label, type, sketch)"
                       " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                       &st, err);
    for (size_t i = 0; !c && i < schema->key_count + schema->measure_count; i++) {
        bool is_key = i < schema->key_count;
        const struct column *column = is_key ? &schema->keys[i] : &schema->measures[i - schema->key_count];
        db_bind_text(st, 1, str_of(schema->name));
        sqlite3_bind_int64(st, 2, (int64_t)i);
        db_bind_text(st, 3, is_key ? STR("key") : STR("measure"));
        db_bind_text(st, 4, str_of(column->name));
        db_bind_text(st, 5, column->label ? str_of(column->label) : STR(""));
        sqlite3_bind_int64(st, 6, column->type);
        sqlite3_bind_int64(st, 7, column->sketch);
        c = db_run(&s->db, st, err);
    }
    sqlite3_finalize(st);
    return c;
}

static enum err_class schema_put(struct sqlite_sink *s, const struct result_schema *schema, struct err *err)
{
    enum err_class c = owner_check(s, schema, err);
    c = c ? c : table_make(s, schema, err);
    c = c ? c : columns_add(s, schema, err);
    c = c ? c : view_make(s, schema, err);
    c = c ? c : old_views_make(s, schema, err);
    c = c ? c : aggregation_put(s, schema, err);
    c = c ? c : failpoint_err("sink.in_schema", err);
    return c ? c : columns_put(s, schema, err);
}

static void aggregations_set(struct sqlite_sink *s, const struct result_schema *const *schemas, size_t count)
{
    for (size_t i = 0; i < s->aggregation_count; i++) {
        sqlite3_finalize(s->aggregations[i].row_put);
    }
    free(s->aggregations);
    s->aggregations = xcalloc(count + 1, sizeof *s->aggregations);
    s->aggregation_count = count;
    for (size_t i = 0; i < count; i++) {
        s->aggregations[i].schema = schemas[i];
    }
}

enum err_class sqlite_prepare(struct sink *base, const struct result_schema *const *schemas, size_t count,
                              struct err *err)
{
    struct sqlite_sink *s = (struct sqlite_sink *)base;
    struct err own = {0}, *e = err ? err : &own;
    enum err_class c = schemas_check(schemas, count, e);
    c = c ? c : sqlite_sink_begin(s, e);
    if (c) {
        return c;
    }
    for (size_t i = 0; !c && i < count; i++) {
        c = schema_put(s, schemas[i], e);
    }
    c = db_end(&s->db, c, e);
    if (!c) {
        aggregations_set(s, schemas, count);
    }
    return c;
}

/* The number of a column in wt_commit; 0: a column of an earlier definition, which is NULL here. */
static size_t row_column_of(const struct result_schema *schema, struct str column)
{
    static const char *const first[] = {[ROW_WINDOW_START] = "window_start",
                                        [ROW_WINDOW_END] = "window_end",
                                        [ROW_CREATED_AT] = "created_at",
                                        [ROW_PARTITION] = "partition",
                                        [ROW_FINAL] = "final",
                                        [ROW_REVISION] = "revision",
                                        [ROW_CLOSED_BY] = "closed_by",
                                        [ROW_EPOCH] = "epoch",
                                        [ROW_GENERATION] = "generation",
                                        [ROW_KEY] = "key"};
    size_t at = ROW_KEY;
    for (size_t i = ROW_WINDOW_START; i <= ROW_KEY; i++) {
        if (str_eqz(column, first[i])) {
            return i;
        }
    }
    for (size_t i = 0; i < schema->key_count; i++) {
        at++;
        if (str_eqz(column, schema->keys[i].name)) {
            return at;
        }
    }
    for (size_t i = 0; i < schema->measure_count; i++) {
        at++;
        if (str_eqz(column, schema->measures[i].name)) {
            return at;
        }
    }
    for (size_t i = 0; i < schema->measure_count; i++) {
        const char *name = schema->measures[i].name;
        size_t n = strlen(name);
        at += schema->measures[i].sketch;
        if (schema->measures[i].sketch && str_starts(column, str_n(name, n)) &&
            str_eqz(str_n(column.ptr + n, column.len - n), "_sketch")) {
            return at;
        }
    }
    return 0;
}

struct table_column {
    struct str name;
    size_t at; /* in wt_commit; 0: of an earlier definition, NULL in new rows */
    bool is_summed;
};

/* The columns of NAME_rows in the table's order: in this one a statement takes them as they come. */
static enum err_class table_columns(struct sqlite_sink *s, const struct result_schema *schema, struct arena *arena,
                                    struct table_column **ret_list, size_t *ret_count, struct err *err)
{
    AUTO(buf) struct buf table = {0};
    sqlite3_stmt *st = NULL;
    bool row = true;
    size_t count = 0, cap = 0;
    struct table_column *list = NULL;
    buf_addf(&table, "%s_rows", schema->name);
    enum err_class c = db_prepare(&s->db, "SELECT name FROM pragma_table_info(?1, 'main')", &st, err);
    if (!c) {
        db_bind_text(st, 1, buf_str(&table));
    }
    while (!c && (c = db_step(&s->db, st, &row, err)) == ERR_NONE && row) {
        if (count == cap) {
            struct table_column *larger = arena_alloc(arena, (cap * 2 + 32) * sizeof *larger);
            if (count > 0) {
                memcpy(larger, list, count * sizeof *larger);
            }
            list = larger;
            cap = cap * 2 + 32;
        }
        struct str name = arena_dup(arena, db_column(st, 0));
        bool is_summed = !str_eqz(name, "row_sum") && !str_eqz(name, "created_at");
        list[count++] = (struct table_column){name, row_column_of(schema, name), is_summed};
    }
    sqlite3_finalize(st);
    *ret_list = list;
    *ret_count = count;
    return c;
}

/* wt_sum() over the table's columns, as db_sum.c takes them: of a new row, and of one that is there, which becomes the
 * new one (R8) but for its created_at, so that their sums are the same; or where a column is of an earlier definition:
 * that one is kept. */
static void sums_add(struct sqlite_aggregation *a, const struct table_column *list, size_t count, struct buf *is_new,
                     struct buf *is_there)
{
    const char *before = "wt_sum(";
    bool earlier = false;
    a->sum_count = 0;
    for (size_t i = 0; i < count && a->sum_count < DB_SUM_COLUMNS; i++) {
        size_t at = list[i].at;
        if (!list[i].is_summed) {
            continue;
        }
        if (at) {
            buf_addf(is_new, "%sc%zu", before, at);
        } else {
            buf_addf(is_new, "%sNULL", before);
            earlier = true;
        }
        buf_addf(is_there, "%s%s\"%.*s\"", before, at ? "excluded." : "", STR_ARG(list[i].name));
        a->sum_columns[a->sum_count++] = (uint8_t)at;
        before = ", ";
    }
    buf_addc(is_new, ')');
    buf_addc(is_there, ')');
    if (!earlier) {
        buf_clear(is_there);
        buf_addz(is_there, "excluded.row_sum");
    }
}

/* Of a row that is there: all but the primary key and when it was made. */
static bool is_set(size_t at)
{
    return at == ROW_WINDOW_END || (at >= ROW_FINAL && at <= ROW_EPOCH) || at > ROW_KEY;
}

/* One statement for all rows of a lane (sqlite_rows.c). */
enum err_class sqlite_row_statement(struct sqlite_sink *s, struct sqlite_aggregation *a, struct err *err)
{
    if (a->row_put != NULL) {
        return ERR_NONE;
    }
    AUTO(arena) struct arena arena = {0};
    AUTO(buf) struct buf sql = {0}, values = {0}, set = {0}, new_sum = {0}, sum = {0};
    const struct result_schema *schema = a->schema;
    struct table_column *list;
    size_t count;
    enum err_class c = table_columns(s, schema, &arena, &list, &count, err);
    if (c) {
        return c;
    }
    sums_add(a, list, count, &new_sum, &sum);
    buf_addf(&sql, "INSERT INTO \"%s_rows\" (", schema->name);
    for (size_t i = 0; i < count; i++) {
        bool is_sum = str_eqz(list[i].name, "row_sum");
        if (list[i].at == 0 && !is_sum) {
            continue;
        }
        buf_addf(&sql, "%s\"%.*s\"", values.len ? ", " : "", STR_ARG(list[i].name));
        buf_addz(&values, values.len ? ", " : "");
        if (is_sum) {
            buf_addf(&values, "ifnull(row_sum, %s)", new_sum.ptr);
        } else {
            buf_addf(&values, "c%zu", list[i].at);
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (is_set(list[i].at)) {
            buf_addf(&set, ", \"%.*s\" = excluded.\"%.*s\"", STR_ARG(list[i].name), STR_ARG(list[i].name));
        }
    }
    buf_addf(&sql,
             ") SELECT %s FROM wt_commit WHERE true"
             " ON CONFLICT (window_start, key, partition, generation) DO UPDATE SET row_sum = %s%s",
             values.ptr, sum.ptr, set.ptr);
    if (!fault("R8.rank")) {
        buf_addz(&sql, " WHERE (excluded.epoch, excluded.revision, excluded.final) > (epoch, revision, final)");
    }
    return db_prepare(&s->db, sql.ptr, &a->row_put, err);
}
