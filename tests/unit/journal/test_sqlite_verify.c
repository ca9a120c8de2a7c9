/* SPDX-License-Identifier: MIT
 *
 * What `journal verify` finds where every checksum holds: rows that contradict themselves, each other, or what the
 * partition says; and that a file which cannot be read is never called sound.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "journal/sqlite.h"
#include "place.h"

enum { BATCHES = 4, RECORDS = 3 };

/* Batch n is of minute n, has offsets RECORDS * n on, and one record whose arrival is not known. */
static void append_all(struct place *p)
{
    struct err e = {0};
    struct journal *j = open_ok(p);
    for (int n = 0; n < BATCHES; n++) {
        const int64_t at = day + n * US_PER_MINUTE;
        const struct record records[RECORDS] = {{.arrival_us = at, .value = STR("{}")},
                                                {.arrival_us = TIME_NONE, .value = STR("{\"a\":1}")},
                                                {.arrival_us = at + 2000, .value = STR("{}")}};
        assert_ok(append_records(j, records, RECORDS, &e), e);
    }
    journal_close(j);
}

/* Writes batch 1 anew as `change` makes it, with the checksum that it then has. */
static void batch_change(const struct place *p, void (*change)(struct stored_batch *b))
{
    sqlite3 *db = NULL;
    sqlite3_stmt *s = NULL, *update = NULL;
    struct stored_batch b;
    assert_int_equal(sqlite3_open(p->file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db,
                                        "SELECT partition, base, count, min_arrival_us, max_arrival_us, raw_bytes,"
                                        " checksum, blob FROM batches WHERE base = 3",
                                        -1, &s, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    sqlite_batch_column(s, &b);
    change(&b);
    assert_int_equal(sqlite3_prepare_v2(db,
                                        "UPDATE batches SET partition = ?1, min_arrival_us = ?2, max_arrival_us = ?3,"
                                        " checksum = ?4 WHERE base = 3",
                                        -1, &update, NULL),
                     SQLITE_OK);
    sqlite3_bind_int64(update, 1, b.partition);
    sqlite3_bind_int64(update, 2, b.min_arrival_us);
    sqlite3_bind_int64(update, 3, b.max_arrival_us);
    sqlite3_bind_int64(update, 4, (int64_t)batch_checksum(&b));
    assert_int_equal(sqlite3_step(update), SQLITE_DONE);
    sqlite3_finalize(update);
    sqlite3_finalize(s);
    sqlite3_close(db);
}

static void arrival_before(struct stored_batch *b)
{
    b->min_arrival_us += 1000;
}

static void arrival_after(struct stored_batch *b)
{
    b->max_arrival_us -= 1000;
}

static void other_partition(struct stored_batch *b)
{
    b->partition = 1;
}

static void nothing(struct stored_batch *b)
{
    (void)b;
}

/* -> what verify says */
static enum err_class verify(const struct place *p, struct problems *problems, struct journal_verified *v,
                             struct err *err)
{
    struct journal_reader *r = NULL;
    assert_ok(journal_reader_open(p->dir.path, &r, err), *err);
    *problems = (struct problems){0};
    enum err_class c = journal_reader_verify(r, note_problem, problems, v, err);
    journal_reader_close(r);
    return c;
}

static void C_S3_verify_names_a_batch_that_contradicts_itself(void **state)
{
    struct place *p = *state;
    static const struct {
        void (*change)(struct stored_batch *b);
        const char *text;
    } cases[] = {{arrival_before, "partition 0, offsets 3 to 5: an arrival outside of the batch's own span"},
                 {arrival_after, "partition 0, offsets 3 to 5: an arrival outside of the batch's own span"},
                 {other_partition, "partition 0, offsets 3 to 5: the row names another partition"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e = {0};
        struct problems problems;
        struct journal_verified v;
        append_all(p);
        batch_change(p, nothing);
        assert_ok(verify(p, &problems, &v, &e), e);
        assert_int_equal(problems.count, 0);
        batch_change(p, cases[i].change);
        assert_error(verify(p, &problems, &v, &e), e, ERR_REJECT, EXIT_DATA);
        assert_says(&e, "the journal has 1 problems");
        assert_int_equal(problems.count, 1);
        assert_string_equal(problems.last, cases[i].text);
        assert_int_equal(v.batches, BATCHES); /* it goes on to the end */
        assert_int_equal(v.records, BATCHES * RECORDS);
        place_clear(p);
    }
}

static void C_S3_verify_names_batches_beyond_the_end(void **state)
{
    struct place *p = *state;
    struct err e = {0};
    struct problems problems;
    struct journal_verified v;
    append_all(p);
    sql(p, "UPDATE partitions SET next_offset = 5, row_sum = NULL WHERE partition = 0");
    assert_error(verify(p, &problems, &v, &e), e, ERR_REJECT, EXIT_DATA);
    assert_int_equal(problems.count, 1);
    assert_string_equal(problems.last, "partition 0, offsets 5 to 11: batches beyond the partition's end");
    sql(p, "UPDATE partitions SET next_offset = 13, row_sum = NULL WHERE partition = 0");
    assert_ok(verify(p, &problems, &v, &e), e); /* what was at the end may have been skipped */
}

/* Each read of the file in its turn. What is not read is neither sound nor a finding. */
static void C_S3_verify_of_a_disk_that_fails_is_no_answer(void **state)
{
    struct place *p = *state;
    int failed = 0;
    append_all(p);
    for (bool more = true; more; failed += more) {
        struct err e = {0};
        struct journal_reader *r = NULL;
        struct problems problems = {0};
        struct journal_verified v;
        assert_ok(journal_reader_open(p->dir.path, &r, &e), e);
        fail_vfs_plan(FAIL_READ, failed + 1, SQLITE_IOERR_READ, false);
        enum err_class c = journal_reader_verify(r, note_problem, &problems, &v, &e);
        more = fail_vfs.happened;
        fail_vfs_plan(FAIL_NOTHING, 0, 0, false);
        if (more) {
            assert_error(c, e, ERR_FATAL, EXIT_IOERR);
        } else {
            assert_ok(c, e);
        }
        assert_int_equal(problems.count, 0);
        journal_reader_close(r);
    }
    assert_true(failed > 0);
}

/* A page of the table itself, which opening does not look at. */
static void C_S3_verify_of_a_page_that_is_none_is_corrupt(void **state)
{
    struct place *p = *state;
    struct err e = {0};
    struct journal_reader *r = NULL;
    struct problems problems = {0};
    struct journal_verified v = {0};
    sqlite3 *db = NULL;
    sqlite3_stmt *s = NULL;
    append_all(p);
    assert_int_equal(sqlite3_open(p->file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT rootpage FROM sqlite_schema WHERE name = 'batches'", -1, &s, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    const long at = (long)(sqlite3_column_int64(s, 0) - 1) * journal_kind.page_bytes;
    sqlite3_finalize(s);
    sqlite3_close(db);
    FILE *f = fopen(p->file, "r+b");
    assert_non_null(f);
    assert_true(fseek(f, at, SEEK_SET) == 0 && fputs("this is no page", f) >= 0);
    fclose(f);
    assert_ok(journal_reader_open(p->dir.path, &r, &e), e);
    assert_error(journal_reader_verify(r, note_problem, &problems, &v, &e), e, ERR_FATAL, EXIT_DATA);
    assert_says(&e, "the file is corrupt");
    assert_int_equal(v.batches, 0);
    journal_reader_close(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACE(C_S3_verify_names_a_batch_that_contradicts_itself),
        PLACE(C_S3_verify_names_batches_beyond_the_end),
        PLACE(C_S3_verify_of_a_disk_that_fails_is_no_answer),
        PLACE(C_S3_verify_of_a_page_that_is_none_is_corrupt),
    };
    return cmocka_run_group_tests_name("journal sqlite_verify", tests, NULL, NULL);
}
