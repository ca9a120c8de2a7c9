/* SPDX-License-Identifier: MIT
 *
 * db_sum.c - see db_sum.h.
 *
 * created_at is not summed: it stays when a row is written again, and decides nothing.
 */
#include "base/db_sum.h"
#include "base/buf.h"
#include "base/hash.h"

enum { TABLES_MAX = 256 };

/* ---- the functions */

static bool in_number(char c)
{
    return (c >= '0' && c <= '9') || c == '.' || c == '+' || c == '-' || c == ' ' || (c >= '\t' && c <= '\r') ||
           c == 'e' || c == 'E';
}

/* Most texts show by their ends that they are none. */
bool db_sum_like_number(struct str text)
{
    size_t left = text.len;
    while (left > 0 && in_number(text.ptr[0]) && in_number(text.ptr[left - 1])) {
        left--;
    }
    return left == 0 && text.len > 0;
}

/* A NULL is nothing, so each value counts by its place. */
static uint64_t seed_of(uint64_t sum, size_t place, uint64_t kind)
{
    return sum + place * 8 + kind;
}

uint64_t db_sum_int(uint64_t sum, size_t place, int64_t n)
{
    return hash_bytes(str_n((const char *)&n, sizeof n), seed_of(sum, place, 2));
}

uint64_t db_sum_bytes(uint64_t sum, size_t place, struct str bytes, bool is_blob)
{
    return hash_bytes(bytes.len ? bytes : STR(""), seed_of(sum, place, is_blob ? 3 : 4));
}

/* Numbers as the integer where they are one: a column may have made one of the other. */
static uint64_t value_add(sqlite3_value *v, uint64_t sum, size_t place)
{
    int type = sqlite3_value_type(v);
    struct str bytes = {0};
    if (type == SQLITE_TEXT || type == SQLITE_BLOB) {
        const char *ptr = sqlite3_value_blob(v);
        bytes = str_n(ptr, (size_t)sqlite3_value_bytes(v));
    }
    if (type == SQLITE_TEXT && db_sum_like_number(bytes)) {
        type = sqlite3_value_numeric_type(v);
    }
    if (type == SQLITE_FLOAT) {
        double d = sqlite3_value_double(v);
        if (!(d >= -9.0e15 && d <= 9.0e15 && d == (double)(int64_t)d)) {
            return hash_bytes(str_n((const char *)&d, sizeof d), seed_of(sum, place, 1));
        }
    }
    if (type == SQLITE_FLOAT || type == SQLITE_INTEGER) {
        return db_sum_int(sum, place,
                          type == SQLITE_INTEGER ? sqlite3_value_int64(v) : (int64_t)sqlite3_value_double(v));
    }
    return db_sum_bytes(sum, place, bytes, type == SQLITE_BLOB);
}

static int64_t sum_of(int count, sqlite3_value **values)
{
    uint64_t sum = DB_SUM_SEED;
    for (int i = 0; i < count; i++) {
        if (sqlite3_value_type(values[i]) != SQLITE_NULL) {
            sum = value_add(values[i], sum, (size_t)i);
        }
    }
    return (int64_t)sum;
}

static void wt_sum(sqlite3_context *context, int count, sqlite3_value **values)
{
    sqlite3_result_int64(context, sum_of(count, values));
}

/* Zeros in the place of a row are a row without columns: nothing in it, nor a checksum, but for a rowid that comes
 * first. */
static bool is_empty(int count, sqlite3_value **values)
{
    int nothing = 0;
    while (nothing < count && sqlite3_value_type(values[count - 1 - nothing]) == SQLITE_NULL) {
        nothing++;
    }
    return count > 1 && nothing >= count - 1;
}

/* Its checksum, then the values. */
static bool is_wrong(int count, sqlite3_value **values)
{
    return sqlite3_value_type(values[0]) == SQLITE_NULL
               ? is_empty(count - 1, values + 1)
               : sqlite3_value_int64(values[0]) != sum_of(count - 1, values + 1);
}

static void wt_wrong(sqlite3_context *context, int count, sqlite3_value **values)
{
    sqlite3_result_int(context, is_wrong(count, values));
}

static void wt_ok(sqlite3_context *context, int count, sqlite3_value **values)
{
    if (!is_wrong(count, values)) {
        sqlite3_result_int(context, 1);
        return;
    }
    sqlite3_result_error(context, "a row does not match its checksum", -1);
    sqlite3_result_error_code(context, SQLITE_CORRUPT);
}

enum err_class db_sum_functions(struct db *db, struct err *err)
{
    enum { FLAGS = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS };
    int rc = sqlite3_create_function_v2(db->handle, "wt_sum", -1, FLAGS, NULL, wt_sum, NULL, NULL, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_create_function_v2(db->handle, "wt_ok", -1, FLAGS, NULL, wt_ok, NULL, NULL, NULL);
    }
    if (rc == SQLITE_OK) {
        rc = sqlite3_create_function_v2(db->handle, "wt_wrong", -1, FLAGS, NULL, wt_wrong, NULL, NULL, NULL);
    }
    return rc == SQLITE_OK ? ERR_NONE : db_error(db, rc, err);
}

/* ---- tables and columns, as SQL */

/* The columns that count, quoted, with a comma between; and those of the primary key as a condition on NEW. */
struct columns {
    struct buf list, is_new;
};

static void columns_fini(struct columns *c)
{
    buf_fini(&c->list);
    buf_fini(&c->is_new);
}

static enum err_class columns_read(struct db *db, const char *table, struct columns *c, struct err *err)
{
    sqlite3_stmt *s = NULL;
    bool row = true;
    enum err_class cls = db_prepare(
        db, "SELECT name, pk FROM pragma_table_info(?1, 'main') WHERE name NOT IN ('row_sum', 'created_at')", &s, err);
    if (!cls) {
        db_bind_text(s, 1, str_of(table));
    }
    for (int n = 0; !cls && n < DB_SUM_COLUMNS && (cls = db_step(db, s, &row, err)) == ERR_NONE && row; n++) {
        struct str name = db_column(s, 0);
        buf_addf(&c->list, "%s\"%.*s\"", c->list.len ? ", " : "", STR_ARG(name));
        if (sqlite3_column_int(s, 1) > 0) {
            buf_addf(&c->is_new, "%s\"%.*s\" = NEW.\"%.*s\"", c->is_new.len ? " AND " : "", STR_ARG(name),
                     STR_ARG(name));
        }
    }
    sqlite3_finalize(s);
    return cls;
}

/* Calls each() with the name and columns of every table that has sums. */
static enum err_class tables_each(struct db *db,
                                  enum err_class (*each)(struct db *db, const char *table, const struct columns *c,
                                                         void *ctx, struct err *err),
                                  void *ctx, struct err *err)
{
    AUTO(buf) struct buf names = {0};
    sqlite3_stmt *s = NULL;
    bool row = true;
    enum err_class cls = db_prepare(db,
                                    "SELECT t.name FROM main.sqlite_schema t, pragma_table_info(t.name, 'main') c"
                                    " WHERE t.type = 'table' AND c.name = 'row_sum'",
                                    &s, err);
    size_t count = 0;
    while (!cls && count < TABLES_MAX && (cls = db_step(db, s, &row, err)) == ERR_NONE && row) {
        buf_add(&names, db_column(s, 0));
        buf_addc(&names, '\0');
        count++;
    }
    sqlite3_finalize(s);
    for (const char *name = names.ptr; !cls && count > 0; count--, name += strlen(name) + 1) {
        AUTO(columns) struct columns c = {0};
        cls = columns_read(db, name, &c, err);
        cls = cls ? cls : each(db, name, &c, ctx, err);
    }
    return cls;
}

/* ---- a writer */

static enum err_class table_check(struct db *db, const char *table, const struct columns *c, void *path,
                                  struct err *err)
{
    AUTO(buf) struct buf sql = {0};
    int64_t wrong = 0;
    buf_addf(&sql, "SELECT count(*) FROM main.\"%s\" WHERE wt_wrong(row_sum, %.*s)", table, STR_ARG(buf_str(&c->list)));
    enum err_class cls = db_query_int(db, sql.ptr, &wrong, err);
    if (!cls && wrong > 0) {
        cls = err_set(err, ERR_FATAL, EXIT_DATA,
                      "%s \"%s\" is corrupt: %lld rows of \"%s\" do not match their checksums; copy the file, then "
                      "repair it by hand and set their row_sum to NULL, or move it away to begin anew",
                      db->kind->what, (const char *)path, (long long)wrong, table);
    }
    return cls;
}

enum err_class db_sum_check(struct db *db, const char *path, struct err *err)
{
    return tables_each(db, table_check, (void *)(uintptr_t)path, err);
}

static bool is_summed(const struct db_kind *kind, const char *table)
{
    for (const char *const *t = kind->summed; t != NULL && *t != NULL; t++) {
        if (strcmp(*t, table) == 0) {
            return true;
        }
    }
    return false;
}

static enum err_class column_add(struct db *db, const char *table, struct err *err)
{
    AUTO(buf) struct buf sql = {0};
    int64_t has = 0;
    buf_addf(&sql, "SELECT count(*) FROM pragma_table_info('%s', 'main') WHERE name = 'row_sum'", table);
    enum err_class cls = db_query_int(db, sql.ptr, &has, err);
    if (cls || has > 0) {
        return cls;
    }
    buf_clear(&sql);
    buf_addf(&sql, "ALTER TABLE \"%s\" ADD COLUMN row_sum INTEGER", table);
    return db_exec(db, sql.ptr, err);
}

/* UPDATE OF the others, or the trigger's own update would call it again. */
static enum err_class table_write(struct db *db, const char *table, const struct columns *c, void *ctx, struct err *err)
{
    AUTO(buf) struct buf sql = {0};
    struct str list = buf_str(&c->list), is_new = buf_str(&c->is_new);
    int64_t unknown = 0;
    (void)ctx;
    if (!is_summed(db->kind, table)) {
        return ERR_NONE;
    }
    buf_addf(&sql, "SELECT EXISTS (SELECT 1 FROM main.\"%s\" WHERE row_sum IS NULL)", table);
    enum err_class cls = db_query_int(db, sql.ptr, &unknown, err);
    buf_clear(&sql);
    if (unknown) {
        buf_addf(&sql, "UPDATE main.\"%s\" SET row_sum = wt_sum(%.*s) WHERE row_sum IS NULL;", table, STR_ARG(list));
    }
    buf_addf(&sql,
             "CREATE TEMP TRIGGER \"%s_insert\" AFTER INSERT ON main.\"%s\" BEGIN UPDATE \"%s\" SET row_sum ="
             " wt_sum(%.*s) WHERE %.*s; END;"
             "CREATE TEMP TRIGGER \"%s_update\" AFTER UPDATE OF %.*s ON main.\"%s\" BEGIN UPDATE \"%s\" SET row_sum ="
             " wt_sum(%.*s) WHERE %.*s; END;",
             table, table, table, STR_ARG(list), STR_ARG(is_new), table, STR_ARG(list), table, table, STR_ARG(list),
             STR_ARG(is_new));
    return cls ? cls : db_exec(db, sql.ptr, err);
}

enum err_class db_sum_write(struct db *db, struct err *err)
{
    enum err_class cls = db->kind->summed ? db_exec(db, "SAVEPOINT sums", err) : ERR_NONE;
    for (const char *const *t = db->kind->summed; !cls && t != NULL && *t != NULL; t++) {
        cls = column_add(db, *t, err);
    }
    cls = cls ? cls : tables_each(db, table_write, NULL, err);
    return cls || !db->kind->summed ? cls : db_exec(db, "RELEASE sums", err);
}

/* ---- a reader */

static enum err_class table_read(struct db *db, const char *table, const struct columns *c, void *ctx, struct err *err)
{
    AUTO(buf) struct buf sql = {0};
    (void)ctx;
    buf_addf(&sql, "CREATE TEMP VIEW \"%s\" AS SELECT * FROM main.\"%s\" WHERE wt_ok(row_sum, %.*s)", table, table,
             STR_ARG(buf_str(&c->list)));
    return db_exec(db, sql.ptr, err);
}

enum err_class db_sum_read(struct db *db, struct err *err)
{
    return tables_each(db, table_read, NULL, err);
}
