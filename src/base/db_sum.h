/* SPDX-License-Identifier: MIT
 *
 * db_sum.h - a checksum in each row, so that a changed byte inside of a sound page is no answer (private to db.c and to
 * who writes its own sums).
 *
 * SQLite notices a page that is no page, not a page that says something else. So tables have a last column `row_sum`:
 * wt_sum() of the others. A writer's rows get theirs by triggers of its connection alone, or from the statement that
 * writes them; all of them are compared when a writer opens the file. A reader looks at such tables through views of
 * its connection alone, which fail at the first row that differs. So neither appears in the file, and any SQLite client
 * can read and write it; who changes a row by hand sets its row_sum to NULL: unknown, and made anew at the next start.
 *
 * A query beside `column = parameter` that scans more rows than match has to write the parameter as an expression with
 * a type (CAST): see sink/sqlite_results.c. What it cannot notice: a page as it was before, which was right once.
 */
#ifndef WIKITALLY_BASE_DB_SUM_H
#define WIKITALLY_BASE_DB_SUM_H

#include "base/db.h"

/* More columns than a function takes are not summed, the later ones. */
enum { DB_SUM_COLUMNS = 100 };

/* wt_sum() without SQLite: DB_SUM_SEED, then the values that are not NULL in their order, each with its place in the
 * list from 0 on. A text that is like a number is SQLite's to read: there only wt_sum() knows. */
#define DB_SUM_SEED UINT64_C(0x77696b6974616c79)
uint64_t db_sum_int(uint64_t sum, size_t place, int64_t n);
uint64_t db_sum_bytes(uint64_t sum, size_t place, struct str bytes, bool is_blob);
/* Could a column take this text for a number? */
bool db_sum_like_number(struct str text);

/* Of a fresh connection: wt_sum(values...) is their checksum, wt_wrong(row_sum, values...) whether it is another, or
 * unknown for a row in which there is nothing, and wt_ok(row_sum, values...) is 1 or fails as corrupt. A value counts
 * by its place, and as what a column's affinity makes of it: 12 and '12' are the same; NULL is nothing. */
enum err_class db_sum_functions(struct db *db, struct err *err);
/* Compares all of them: EXIT_DATA naming the table where a row differs. A writer does, and a reader of a small file: a
 * row that is out of its place can hide others from who looks for them. */
enum err_class db_sum_check(struct db *db, const char *path, struct err *err);
/* Of a writer, after the check: the column where a table of kind->summed lacks it, the sums that are unknown there, and
 * the triggers. */
enum err_class db_sum_write(struct db *db, struct err *err);
/* Of a reader: the views. */
enum err_class db_sum_read(struct db *db, struct err *err);

#endif
