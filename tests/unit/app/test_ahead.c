/* SPDX-License-Identifier: MIT
 *
 * test_ahead.c - pages read ahead are those that the journal would have given, scanned; what was not asked for is not
 * known; and a task that uses them has the same rows.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app/task.h"
#include "base/diag.h"
#include "base/hash.h"
#include "sink/results.h"

#include <stdio.h>
#include <string.h>

enum { PAGE = 10, DEAD_EVERY = 7 };

struct desk {
    struct journal *journal;
    struct journal_reader *reader;
    struct field_set *fields;
    struct ahead *ahead;
    int64_t count; /* records in the journal */
    struct err err;
};

static void append(struct desk *d, int64_t count)
{
    for (; count > 0; count--, d->count++) {
        char json[96];
        int n = snprintf(json, sizeof json,
                         d->count % DEAD_EVERY == 3 ? "{\"user\":\"u%lld" : "{\"user\":\"u%lld\",\"timestamp\":%lld}",
                         (long long)d->count % 5, (long long)(1000 + d->count));
        struct record r = {.arrival_us = (1000 + d->count) * US_PER_SECOND, .value = str_n(json, (size_t)n)};
        struct batch b = {.records = &r, .record_count = 1};
        assert_int_equal(journal_append(d->journal, &b, NULL, &d->err), ERR_NONE);
    }
}

static void desk_open(struct desk *d)
{
    *d = (struct desk){.fields = field_set_new()};
    diag_setup(DIAG_ERROR, false, 2);
    struct journal_options options = {.source = "test", .partitions = 1, .clock = &clock_real};
    assert_int_equal(journal_open_memory(&options, &d->journal, &d->err), ERR_NONE);
    assert_int_equal(journal_reader_new(d->journal, &d->reader, &d->err), ERR_NONE);
    assert_int_equal(ahead_new(d->journal, d->fields, &d->ahead, &d->err), ERR_NONE);
}

static void desk_close(struct desk *d)
{
    ahead_free(d->ahead);
    journal_reader_close(d->reader);
    journal_close(d->journal);
    field_set_free(d->fields);
}

/* The page is what the plain reader gives there now, and each record is scanned. */
static void assert_page(struct desk *d, int64_t from, const struct handed *got)
{
    AUTO(arena) struct arena arena = {0};
    struct journal_page page;
    assert_int_equal(journal_reader_read(d->reader, 0, from, PAGE, &arena, &page, &d->err), ERR_NONE);
    assert_in_range(got->count, 1, page.count); /* fewer if the journal has grown since */
    for (size_t i = 0; i < got->count; i++) {
        int64_t offset = page.records[i].offset;
        assert_int_equal(got->records[i].offset, offset);
        assert_int_equal(got->records[i].arrival_us, page.records[i].arrival_us);
        assert_true(str_eq(got->records[i].value, page.records[i].value));
        if (offset % DEAD_EVERY == 3) {
            assert_null(got->values[i]);
        } else {
            assert_int_equal(got->values[i][FIELD_TIMESTAMP].number, 1000 + offset);
            assert_int_equal(got->values[i][FIELD_WIKI].kind, VALUE_ABSENT);
        }
    }
}

static void pages_follow_each_other_to_the_end(void **state)
{
    (void)state;
    struct desk d;
    struct handed got;
    desk_open(&d);
    append(&d, 12 * PAGE + 3);
    ahead_ask(d.ahead, 0, 5, PAGE);
    int64_t from = 5;
    while (ahead_take(d.ahead, 0, from, PAGE, &got)) {
        assert_page(&d, from, &got);
        from += (int64_t)got.count;
    }
    assert_int_equal(from, d.count);
    append(&d, 3 * PAGE); /* that was the end: it is not looked behind it again by itself */
    assert_false(ahead_take(d.ahead, 0, from, PAGE, &got));
    ahead_ask(d.ahead, 0, from, PAGE);
    assert_true(ahead_take(d.ahead, 0, from, PAGE, &got));
    assert_page(&d, from, &got);
    desk_close(&d);
}

static void what_was_not_asked_for_is_not_known(void **state)
{
    (void)state;
    struct desk d;
    struct handed got;
    desk_open(&d);
    append(&d, 10 * PAGE);
    assert_false(ahead_take(d.ahead, 0, 0, PAGE, &got));
    ahead_ask(d.ahead, 0, 0, PAGE);
    assert_false(ahead_take(d.ahead, 1, 0, PAGE, &got));
    assert_false(ahead_take(d.ahead, 0, 0, PAGE, &got)); /* forgotten by the question before */
    ahead_ask(d.ahead, 0, 0, PAGE);
    assert_false(ahead_take(d.ahead, 0, 1, PAGE, &got));
    ahead_ask(d.ahead, 0, 0, PAGE);
    assert_false(ahead_take(d.ahead, 0, 0, PAGE + 1, &got));
    ahead_ask(d.ahead, 2, 0, PAGE); /* there is no such partition: the caller reads, and gets the error */
    assert_false(ahead_take(d.ahead, 2, 0, PAGE, &got));
    desk_close(&d);
}

/* Questions and pages in any order, while the journal grows. */
static void random_walk(void **state)
{
    (void)state;
    struct desk d;
    struct rng rng;
    struct handed got;
    uint64_t seed = hash_random_seed();
    int64_t from = 0, taken = 0;
    print_message("# seed %llu\n", (unsigned long long)seed);
    rng_init(&rng, seed);
    desk_open(&d);
    append(&d, 30 * PAGE);
    for (int i = 0; i < 3000; i++) {
        if (rng_below(&rng, 8) == 0) {
            from = (int64_t)rng_below(&rng, (uint64_t)d.count);
            ahead_ask(d.ahead, 0, from, PAGE);
        }
        if (rng_below(&rng, 20) == 0) {
            append(&d, (int64_t)rng_below(&rng, 2 * PAGE));
        }
        if (ahead_take(d.ahead, 0, from, PAGE, &got)) {
            assert_page(&d, from, &got);
            from += (int64_t)got.count;
            taken++;
        }
    }
    assert_true(taken > 1000);
    desk_close(&d);
}

/* ---- the task */

static bool row_text(const struct stored_row *r, void *ctx)
{
    buf_addf(ctx, "%lld %.*s %lld %lld\n", (long long)r->row.window_start_us, STR_ARG(r->row.key),
             (long long)r->row.measures[0].number, (long long)r->row.revision);
    return true;
}

static void rows_of(struct desk *d, struct journal *ahead_of, struct buf *out)
{
    static const char *const keys[] = {"user"}, *const measures[] = {"count"};
    struct aggregation_options a;
    aggregation_options_init(&a);
    a.name = "users";
    a.keys = keys;
    a.measures = measures;
    a.key_count = a.measure_count = 1;
    struct sink *sink;
    struct task *task;
    struct results *results;
    struct sink_options so = {.task = "test", .clock = &clock_real};
    struct task_options to = {.name = "test", .aggregations = &a, .aggregation_count = 1, .journal = ahead_of};
    struct results_query q = {
        .aggregation = "users", .generation = -1, .partition = -1, .from_us = TIME_NONE, .to_us = TIME_NONE};
    size_t read = 1;
    assert_int_equal(sink_open_memory(&so, &sink, &d->err), ERR_NONE);
    assert_int_equal(task_new(&to, d->reader, sink, &task, &d->err), ERR_NONE);
    assert_int_equal(task_load(task, &d->err), ERR_NONE);
    while (read > 0) {
        assert_int_equal(task_read(task, 0, PAGE, &read, &d->err), ERR_NONE);
        assert_int_equal(task_commit(task, &d->err), ERR_NONE);
    }
    assert_true(task_at_end(task));
    assert_int_equal(results_of_memory(sink, &results, &d->err), ERR_NONE);
    assert_int_equal(results_rows(results, &q, row_text, out, &d->err), ERR_NONE);
    results_close(results);
    task_free(task);
    sink->ops->close(sink);
}

static void the_task_has_the_same_rows(void **state)
{
    (void)state;
    struct desk d;
    AUTO(buf) struct buf plain = {0}, ahead = {0};
    desk_open(&d);
    append(&d, 100 * PAGE + 1);
    rows_of(&d, NULL, &plain);
    rows_of(&d, d.journal, &ahead);
    assert_true(plain.len > 1000);
    assert_string_equal(plain.ptr, ahead.ptr);
    desk_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_follow_each_other_to_the_end),
        cmocka_unit_test(what_was_not_asked_for_is_not_known),
        cmocka_unit_test(random_walk),
        cmocka_unit_test(the_task_has_the_same_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
