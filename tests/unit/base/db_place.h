/* SPDX-License-Identifier: MIT
 *
 * db_place.h - an SQLite file of a kind of its own in a directory of its own, for the tests of db.c.
 */
#ifndef WIKITALLY_TESTS_DB_PLACE_H
#define WIKITALLY_TESTS_DB_PLACE_H

#include "base/db.h"
#include "base/fault.h"

#include "../../contract/fail_vfs.h"
#include "../../contract/store_dir.h"

static const struct db_kind kind = {
    .what = "journal",
    .application_id = 0x77747374,
    .version = 3,
    .page_bytes = 512, /* so that a log of many pages is small */
    .schema = "CREATE TABLE t (a INTEGER PRIMARY KEY, b);",
};

struct place {
    struct store_dir dir;
    char file[160], log[170];
};

static inline void failpoints(const char *plan)
{
    setenv("WIKITALLY_FAILPOINT", plan, 1);
    fault_reload();
}

static inline int set_up(void **state)
{
    struct place *p = xcalloc(1, sizeof *p);
    fail_vfs_plan(FAIL_NOTHING, 0, 0, false);
    store_dir_init(&p->dir);
    snprintf(p->file, sizeof p->file, "%s/test.db", p->dir.path);
    snprintf(p->log, sizeof p->log, "%s-wal", p->file);
    *state = p;
    return 0;
}

static inline int tear_down(void **state)
{
    struct place *p = *state;
    fail_vfs_plan(FAIL_NOTHING, 0, 0, false);
    failpoints("");
    store_dir_fini(&p->dir);
    free(p);
    return 0;
}
#define PLACE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

/* As on the first day. */
static inline void place_clear(struct place *p)
{
    store_dir_fini(&p->dir);
    assert_int_equal(mkdir(p->dir.path, 0700), 0);
}

static inline void writer(struct db *db, const struct place *p)
{
    struct err e = {0};
    assert_ok(db_open_writer(db, p->file, &kind, NULL, NULL, &e), e);
}

static inline void reader(struct db *db, const struct place *p)
{
    struct err e = {0};
    assert_ok(db_open_reader(db, p->file, &kind, &e), e);
}

/* One transaction. */
static inline enum err_class write_sql(struct db *db, const char *sql, struct err *err)
{
    enum err_class c = db_begin(db, err);
    return c ? c : db_end(db, db_exec(db, sql, err), err);
}

static inline void write_ok(struct db *db, const char *sql)
{
    struct err e = {0};
    assert_ok(write_sql(db, sql, &e), e);
}

static inline int64_t query(struct db *db, const char *sql)
{
    struct err e = {0};
    int64_t n = -1;
    assert_ok(db_query_int(db, sql, &n, &e), e);
    return n;
}

static inline int64_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (int64_t)st.st_size : -1;
}

static inline void assert_says(const struct err *e, const char *text)
{
    if (strstr(e->text, text) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", text, e->text);
    }
}

#endif
