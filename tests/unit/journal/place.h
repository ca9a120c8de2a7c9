/* SPDX-License-Identifier: MIT
 *
 * place.h - an embedded journal in a directory of its own: what the tests of its files do with it.
 */
#ifndef WIKITALLY_TESTS_PLACE_H
#define WIKITALLY_TESTS_PLACE_H

#include "journal/journal.h"

#include "../../contract/fail_vfs.h"
#include "../../contract/store_dir.h"

static const int64_t day = (int64_t)1600000020 * 1000000;

struct place {
    struct store_dir dir;
    struct journal_options options;
    char file[160];
};

static inline int set_up(void **state)
{
    struct place *p = xcalloc(1, sizeof *p);
    fail_vfs_plan(FAIL_NOTHING, 0, 0, false);
    store_dir_init(&p->dir);
    p->options = (struct journal_options){
        .directory = p->dir.path, .source = "test:1", .partitions = 2, .clock = &p->dir.clock.base};
    snprintf(p->file, sizeof p->file, "%s/journal.db", p->dir.path);
    *state = p;
    return 0;
}

static inline int tear_down(void **state)
{
    struct place *p = *state;
    fail_vfs_plan(FAIL_NOTHING, 0, 0, false);
    store_dir_fini(&p->dir);
    free(p);
    return 0;
}

/* As on the first day. */
static inline void place_clear(struct place *p)
{
    store_dir_fini(&p->dir);
    assert_int_equal(mkdir(p->dir.path, 0700), 0);
}
#define PLACE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

static inline struct journal *open_ok(struct place *p)
{
    struct err e = {0};
    struct journal *j = NULL;
    assert_ok(journal_open_sqlite(&p->options, &j, &e), e);
    return j;
}

/* To partition 0. */
static inline enum err_class append_records(struct journal *j, const struct record *records, size_t count,
                                            struct err *e)
{
    struct batch b = {.records = records, .record_count = count};
    return journal_append(j, &b, NULL, e);
}

/* SQL on the file from outside. */
static inline void sql(const struct place *p, const char *text)
{
    sqlite3 *db = NULL;
    char *message = NULL;
    assert_int_equal(sqlite3_open(p->file, &db), SQLITE_OK);
    if (sqlite3_exec(db, text, NULL, NULL, &message) != SQLITE_OK) {
        fail_msg("%s: %s", text, message);
    }
    sqlite3_close(db);
}

struct problems { /* that journal_verify tells */
    int64_t count;
    char last[512];
};

static inline void note_problem(const char *text, void *ctx)
{
    struct problems *p = ctx;
    p->count++;
    snprintf(p->last, sizeof p->last, "%s", text);
}

static inline void assert_says(const struct err *e, const char *text)
{
    if (strstr(e->text, text) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", text, e->text);
    }
}

#endif
