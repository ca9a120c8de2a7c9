/* SPDX-License-Identifier: MIT
 *
 * What leaves the embedded journal when something goes wrong on the way: it leaves as whole transactions or not at all,
 * and the caller is told (R10, R13, C-S3). What leaves when all goes well is the contract's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/fault.h"
#include "place.h"

enum { MANY = 300 }; /* batches: more than one transaction takes away */

static void append_batches(struct journal *j, int count)
{
    struct err e = {0};
    const struct record r = {.arrival_us = day, .value = STR("{\"title\":\"Talk:River\"}")};
    for (int i = 0; i < count; i++) {
        assert_ok(append_records(j, &r, 1, &e), e);
    }
}

/* What is there: so many batches of one record from the head on, as many bytes as it says, all sound. */
static void assert_holds(struct journal *j, int64_t head, int64_t end)
{
    struct err e = {0};
    struct journal_reader *r = NULL;
    struct journal_info info;
    struct journal_page page;
    struct arena arena = {0};
    int64_t at_head = -1, at_end = -1;
    assert_ok(journal_reader_new(j, &r, &e), e);
    assert_ok(journal_reader_bounds(r, 0, &at_head, &at_end, &e), e);
    assert_int_equal(at_head, head);
    assert_int_equal(at_end, end);
    assert_ok(journal_reader_info(r, &info, &e), e);
    assert_true((info.size_bytes > 0) == (head < end));
    assert_ok(journal_reader_read(r, 0, 0, 10, &arena, &page, &e), e);
    assert_true(page.count > 0 ? page.records[0].offset == head : head == end);
    journal_reader_close(r);
    arena_fini(&arena);
}

static enum err_class all_go(struct journal *j, int64_t *ret_removed, struct err *err)
{
    const struct journal_retention all = {.max_bytes = 1, .newest_arrival_us = day};
    return journal_retain(j, &all, ret_removed, err);
}

static void R13_retention_goes_on_until_all_is_gone(void **state)
{
    struct place *p = *state;
    struct err e = {0};
    int64_t removed = -1;
    struct journal *j = open_ok(p);
    append_batches(j, MANY);
    assert_ok(all_go(j, &removed, &e), e);
    assert_int_equal(removed, MANY);
    assert_holds(j, MANY, MANY);
    assert_ok(all_go(j, &removed, &e), e);
    assert_int_equal(removed, 0);
    journal_close(j);
    j = open_ok(p);
    assert_holds(j, MANY, MANY);
    append_batches(j, 1);
    assert_holds(j, MANY, MANY + 1);
    journal_close(j);
}

static enum err_class skip_third(struct journal *j, int64_t *ret_removed, struct err *err)
{
    *ret_removed = 0;
    return journal_skip(j, 0, 2, err);
}

/* Somebody else's hands in the file: what was begun is taken back, and nothing is written any more. */
static void C_S3_what_cannot_leave_stays_whole(void **state)
{
    struct place *p = *state;
    static const struct {
        enum err_class (*leave)(struct journal *j, int64_t *ret_removed, struct err *err);
        const char *harm, *mend, *says;
    } cases[] = {
        {all_go, "CREATE TRIGGER t BEFORE DELETE ON batches WHEN old.base = 2 BEGIN SELECT raise(ABORT, 'no'); END",
         "DROP TRIGGER t", "no"},
        {all_go, "CREATE TRIGGER t BEFORE UPDATE ON partitions BEGIN SELECT raise(ABORT, 'no'); END", "DROP TRIGGER t",
         "no"},
        {all_go, "ALTER TABLE batches RENAME TO away", "ALTER TABLE away RENAME TO batches", "batches"},
        {skip_third, "CREATE TRIGGER t BEFORE DELETE ON batches BEGIN SELECT raise(ABORT, 'no'); END", "DROP TRIGGER t",
         "no"},
        {skip_third, "ALTER TABLE batches RENAME TO away", "ALTER TABLE away RENAME TO batches", "batches"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases * 2; i++) {
        struct err e = {0}, *asked = i % 2 ? &e : NULL; /* told or not: it is the same */
        int64_t removed = -1;
        struct journal *j = open_ok(p);
        append_batches(j, i == 0 ? 4 : 0);
        sql(p, cases[i / 2].harm);
        assert_int_equal(cases[i / 2].leave(j, &removed, asked), ERR_FATAL);
        assert_int_equal(removed, 0);
        if (asked != NULL) {
            assert_int_equal(err_exit_code(&e), EXIT_INTERNAL);
            assert_says(&e, cases[i / 2].says);
        }
        sql(p, cases[i / 2].mend);
        assert_holds(j, 0, 4);
        journal_close(j);
    }
    struct err e = {0};
    int64_t removed = -1;
    struct journal *j = open_ok(p);
    assert_ok(all_go(j, &removed, &e), e);
    assert_int_equal(removed, 4);
    journal_close(j);
}

static void C_S3_nothing_leaves_a_journal_that_broke(void **state)
{
    struct place *p = *state;
    struct err e = {0};
    const struct record r = {.arrival_us = day, .value = STR("{}")};
    int64_t removed = -1;
    struct journal *j = open_ok(p);
    append_batches(j, 4);
    fail_vfs_plan(FAIL_SYNC, 1, SQLITE_IOERR_FSYNC, false);
    assert_error(append_records(j, &r, 1, &e), e, ERR_FATAL, EXIT_IOERR);
    e = (struct err){0};
    assert_error(all_go(j, &removed, &e), e, ERR_FATAL, EXIT_IOERR);
    assert_says(&e, "the journal is not written any more since: ");
    assert_int_equal(removed, 0);
    e = (struct err){0};
    assert_error(journal_skip(j, 0, 1, &e), e, ERR_FATAL, EXIT_IOERR);
    assert_says(&e, "the journal is not written any more since: ");
    journal_close(j);
    j = open_ok(p);
    struct journal_reader *reader = NULL;
    int64_t head = -1, end = -1;
    assert_ok(journal_reader_new(j, &reader, &e), e);
    assert_ok(journal_reader_bounds(reader, 0, &head, &end, &e), e);
    assert_int_equal(head, 0);
    assert_true(end == 4 || end == 5); /* the one that was cut off may be there */
    journal_reader_close(reader);
    journal_close(j);
}

/* The reason that brings retention into play: what was refused as full is opened anew, then it makes room. */
static void C_S3_retention_makes_room_on_a_full_disk(void **state)
{
    struct place *p = *state;
    struct err e = {0};
    const struct record r = {.arrival_us = day, .value = STR("{}")};
    int64_t removed = -1;
    struct journal *j = open_ok(p);
    append_batches(j, 4);
    fail_vfs_plan(FAIL_WRITE, 1, SQLITE_FULL, true);
    assert_error(append_records(j, &r, 1, &e), e, ERR_RETRY, EXIT_IOERR);
    assert_error(all_go(j, &removed, &e), e, ERR_RETRY, EXIT_IOERR);
    assert_int_equal(removed, 0);
    fail_vfs_plan(FAIL_NOTHING, 0, 0, false);
    assert_holds(j, 0, 4);
    assert_ok(all_go(j, &removed, &e), e);
    assert_int_equal(removed, 4);
    append_batches(j, 1);
    assert_holds(j, 4, 5);
    journal_close(j);
}

#ifdef WIKITALLY_FAULTS
static void failpoints(const char *plan)
{
    setenv("WIKITALLY_FAILPOINT", plan, 1);
    fault_reload();
}
#endif

static void C_S3_disk_that_fails_while_something_leaves(void **state)
{
    struct place *p = *state;
#ifdef WIKITALLY_FAULTS
    static const struct {
        const char *plan;
        int64_t removed; /* by transactions that were whole */
    } cases[] = {{"journal.before_commit:error@1,journal.in_reopen:error@1", 0},
                 {"journal.in_retain:error@1", 0},
                 {"journal.in_retain:error@200", 0},
                 {"journal.in_retain:error@270", 256},
                 {"journal.retained:error@1", 256}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e = {0};
        const struct record r = {.arrival_us = day, .value = STR("{}")};
        int64_t removed = -1;
        struct journal *j = open_ok(p);
        append_batches(j, MANY);
        failpoints(cases[i].plan);
        if (i == 0) {
            assert_error(append_records(j, &r, 1, &e), e, ERR_RETRY, EXIT_IOERR);
        }
        assert_error(all_go(j, &removed, &e), e, ERR_FATAL, EXIT_IOERR);
        assert_says(&e, "failpoint \"journal.");
        failpoints("");
        assert_int_equal(removed, cases[i].removed);
        journal_close(j);
        j = open_ok(p);
        assert_holds(j, (int64_t)i * MANY + removed, (int64_t)(i + 1) * MANY);
        assert_ok(all_go(j, &removed, &e), e);
        assert_int_equal(removed, MANY - cases[i].removed);
        journal_close(j);
    }
#else
    (void)p;
    skip();
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACE(R13_retention_goes_on_until_all_is_gone),     PLACE(C_S3_what_cannot_leave_stays_whole),
        PLACE(C_S3_nothing_leaves_a_journal_that_broke),    PLACE(C_S3_retention_makes_room_on_a_full_disk),
        PLACE(C_S3_disk_that_fails_while_something_leaves),
    };
    return cmocka_run_group_tests_name("journal sqlite_retain", tests, NULL, NULL);
}
