/* SPDX-License-Identifier: MIT
 *
 * db_bind.c - values on their way into a statement and out of it; see db.h.
 */
#include "base/db.h"

void db_bind_text(sqlite3_stmt *s, int at, struct str text)
{
    if (text.ptr == NULL) {
        sqlite3_bind_null(s, at);
    } else {
        sqlite3_bind_text64(s, at, text.ptr, text.len, SQLITE_STATIC, SQLITE_UTF8);
    }
}

void db_bind_blob(sqlite3_stmt *s, int at, struct str bytes)
{
    sqlite3_bind_blob64(s, at, bytes.ptr ? bytes.ptr : "", bytes.len, SQLITE_STATIC);
}

struct str db_column(sqlite3_stmt *s, int at)
{
    if (sqlite3_column_type(s, at) == SQLITE_NULL) {
        return (struct str){NULL, 0};
    }
    const void *p = sqlite3_column_blob(s, at);
    return (struct str){p ? p : "", (size_t)sqlite3_column_bytes(s, at)};
}
