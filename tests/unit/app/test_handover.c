/* SPDX-License-Identifier: MIT
 *
 * test_handover.c - what the ingester hands to the task: only what was stored, exactly from the offset asked for, in
 * bounded memory; and the task counts by what it was handed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app/handover.h"
#include "app/task.h"
#include "sink/results.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SMALL = 1000, WAIT_US = 300000 };

static atomic_bool running; /* false: nobody stops */

/* A batch as admission makes it: records 0, 1, 0, 1, ... of two partitions from `first` on. */
struct made {
    struct arena memory;
    struct record records[8];
    const struct value *values[8];
    struct value value;
    struct batch batch;
};

static void batch_make(struct made *m, int64_t first, size_t count)
{
    memset(m, 0, sizeof *m);
    for (size_t i = 0; i < count; i++) {
        m->records[i] = (struct record){.partition = (uint32_t)(i % 2),
                                        .offset = first + (int64_t)(i / 2),
                                        .value = arena_dup(&m->memory, STR("{\"x\":1}"))};
        m->values[i] = &m->value;
    }
    m->batch = (struct batch){.records = m->records, .record_count = count, .values = m->values, .memory = &m->memory};
}

static void give(struct handover *h, struct made *m)
{
    handover_announce(h, &m->batch, &running);
    handover_settle(h, &m->batch, true);
}

static void what_was_given_is_taken(void **state)
{
    (void)state;
    struct handover *h = handover_new(2, 0, 0);
    struct made m;
    struct handed got;
    batch_make(&m, 10, 7); /* 10..13 and 10..12 */
    give(h, &m);
    assert_ptr_equal(m.memory.blocks, NULL); /* it went along */
    assert_true(handover_take(h, 0, 10, 100, &got));
    assert_int_equal(got.count, 4);
    for (int64_t i = 0; i < 4; i++) {
        assert_int_equal(got.records[i].offset, 10 + i);
        assert_int_equal(got.records[i].partition, 0);
        assert_true(str_eqz(got.records[i].value, "{\"x\":1}"));
        assert_ptr_equal(got.values[i], &m.value);
    }
    assert_true(handover_take(h, 1, 11, 1, &got)); /* from the middle, no more than wanted */
    assert_int_equal(got.count, 1);
    assert_int_equal(got.records[0].offset, 11);
    assert_int_equal(got.records[0].partition, 1);
    assert_false(handover_take(h, 0, 14, 100, &got));
    assert_false(handover_take(h, 0, 9, 100, &got));
    assert_false(handover_take(h, 2, 10, 100, &got)); /* a partition that came later */
    handover_free(h);
}

static void what_was_not_stored_is_not_handed_over(void **state)
{
    (void)state;
    struct handover *h = handover_new(2, 0, 0);
    struct made m;
    struct handed got;
    batch_make(&m, 0, 4);
    handover_announce(h, &m.batch, &running);
    handover_settle(h, &m.batch, false);
    assert_non_null(m.memory.blocks); /* it is tried again with it */
    assert_false(handover_take(h, 0, 0, 100, &got));
    arena_fini(&m.memory);
    handover_free(h);
}

static void a_batch_without_values_stays_where_it_is(void **state)
{
    (void)state;
    struct handover *h = handover_new(2, 0, 0);
    struct made m;
    struct handed got;
    batch_make(&m, 0, 4);
    m.batch.values = NULL;
    give(h, &m);
    assert_non_null(m.memory.blocks);
    assert_false(handover_take(h, 0, 0, 100, &got));
    arena_fini(&m.memory);
    handover_free(h);
}

struct taker {
    struct handover *h;
    struct handed got;
    bool found;
    atomic_bool over;
};

static void *take_first(void *arg)
{
    struct taker *t = arg;
    t->found = handover_take(t->h, 0, 0, 100, &t->got);
    atomic_store(&t->over, true);
    return NULL;
}

static void the_task_waits_for_what_is_announced(void **state)
{
    (void)state;
    struct made m;
    struct taker t = {.h = handover_new(2, 0, 0)};
    pthread_t thread;
    batch_make(&m, 0, 4);
    handover_announce(t.h, &m.batch, &running);
    assert_int_equal(pthread_create(&thread, NULL, take_first, &t), 0);
    usleep(50000);
    assert_false(atomic_load(&t.over));
    handover_settle(t.h, &m.batch, true);
    pthread_join(thread, NULL);
    assert_true(t.found);
    assert_int_equal(t.got.count, 2);
    handover_free(t.h);
}

static void beyond_the_maximum_the_journal_has_it(void **state)
{
    (void)state;
    struct handover *h = handover_new(2, SMALL, WAIT_US);
    struct handed got;
    int64_t kept = 0;
    for (int64_t n = 0; n < 100; n++) {
        struct made m;
        batch_make(&m, n * 4, 8);
        give(h, &m); /* nobody takes anything: no wait */
        kept += m.memory.blocks == NULL;
        arena_fini(&m.memory);
    }
    assert_in_range(kept, 1, 10);
    for (int64_t n = 0; n < 100; n++) {
        assert_int_equal(handover_take(h, 0, n * 4, 100, &got), n < kept);
    }
    handover_free(h);
}

static void *give_one_more(void *arg)
{
    struct taker *t = arg;
    struct made m;
    batch_make(&m, 400, 8);
    handover_announce(t->h, &m.batch, &running);
    handover_settle(t->h, &m.batch, true);
    t->found = m.memory.blocks == NULL;
    arena_fini(&m.memory);
    atomic_store(&t->over, true);
    return NULL;
}

/* Fills it, with the task at the first batch. -> how many fit. */
static int64_t fill(struct handover *h)
{
    struct handed got;
    struct made m;
    int64_t n = 0;
    do {
        batch_make(&m, n * 4, 8);
        handover_settle(h, &m.batch, true);
    } while (m.memory.blocks == NULL && ++n < 100);
    arena_fini(&m.memory);
    assert_true(handover_take(h, 0, 0, 100, &got));
    return n;
}

static void a_fast_ingester_waits_for_a_task_that_takes(void **state)
{
    (void)state;
    struct taker t = {.h = handover_new(2, SMALL, 60 * US_PER_SECOND)};
    struct handed got;
    pthread_t thread;
    fill(t.h);
    assert_int_equal(pthread_create(&thread, NULL, give_one_more, &t), 0);
    usleep(50000);
    assert_false(atomic_load(&t.over));
    for (uint32_t p = 0; p < 2; p++) { /* done with the first batch only when both partitions are */
        assert_true(handover_take(t.h, p, 4, 100, &got));
    }
    pthread_join(thread, NULL);
    assert_true(t.found);
    handover_free(t.h);
}

static void but_not_for_one_that_stands_still(void **state)
{
    (void)state;
    struct taker t = {.h = handover_new(2, SMALL, WAIT_US)};
    fill(t.h);
    give_one_more(&t); /* returns */
    assert_false(t.found);
    handover_free(t.h);
}

static void nor_when_the_program_ends(void **state)
{
    (void)state;
    struct handover *h = handover_new(2, SMALL, 3600 * US_PER_SECOND);
    atomic_bool stopping = true;
    struct made m;
    fill(h);
    batch_make(&m, 400, 8);
    handover_announce(h, &m.batch, &stopping);
    handover_settle(h, &m.batch, false);
    arena_fini(&m.memory);
    handover_free(h);
}

/* ---- the task */

static bool user_see(const struct stored_row *r, void *ctx)
{
    snprintf(ctx, 32, "%.*s", STR_ARG(r->row.key));
    return true;
}

/* The values handed over tell of another user than the bytes: so it is the values that were counted. */
static void the_task_counts_what_it_was_handed(void **state)
{
    (void)state;
    static const char *const keys[] = {"user"}, *const measures[] = {"count"};
    struct aggregation_options a;
    aggregation_options_init(&a);
    a.name = "users";
    a.keys = keys;
    a.measures = measures;
    a.key_count = a.measure_count = 1;
    struct err err = {0};
    struct journal *journal;
    struct journal_reader *reader;
    struct sink *sink;
    struct task *task;
    struct results *results;
    struct journal_options jo = {.source = "test", .partitions = 1, .clock = &clock_real};
    struct sink_options so = {.task = "test", .clock = &clock_real};
    struct handover *h = handover_new(1, 0, 0);
    struct task_options to = {.name = "test", .aggregations = &a, .aggregation_count = 1, .handover = h};
    assert_int_equal(journal_open_memory(&jo, &journal, &err), ERR_NONE);
    assert_int_equal(journal_reader_new(journal, &reader, &err), ERR_NONE);
    assert_int_equal(sink_open_memory(&so, &sink, &err), ERR_NONE);
    assert_int_equal(task_new(&to, reader, sink, &task, &err), ERR_NONE);
    assert_int_equal(task_load(task, &err), ERR_NONE);

    struct arena memory = {0};
    struct value values[FIELD_MAX];
    size_t at, read;
    struct record r = {.arrival_us = 2000 * US_PER_SECOND, .value = STR("{\"timestamp\":2000,\"user\":\"bytes\"}")};
    assert_int_equal(change_scan(task_fields(task), STR("{\"timestamp\":2000,\"user\":\"handed\"}"), values, &at),
                     DEAD_NONE);
    const struct value *all = values;
    struct batch b = {.records = &r, .record_count = 1, .values = &all, .memory = &memory};
    handover_announce(h, &b, &running);
    assert_int_equal(journal_append(journal, &b, NULL, &err), ERR_NONE);
    handover_settle(h, &b, true);
    r.offset = 1; /* the next one is not handed over */
    b.values = NULL;
    assert_int_equal(journal_append(journal, &b, NULL, &err), ERR_NONE);

    char key[32] = "";
    assert_int_equal(task_read(task, 0, 100, &read, &err), ERR_NONE);
    assert_int_equal(read, 1);
    assert_int_equal(task_commit(task, &err), ERR_NONE);
    assert_int_equal(results_of_memory(sink, &results, &err), ERR_NONE);
    struct results_query q = {
        .aggregation = "users", .generation = -1, .partition = -1, .from_us = TIME_NONE, .to_us = TIME_NONE};
    assert_int_equal(results_rows(results, &q, user_see, key, &err), ERR_NONE);
    assert_string_equal(key, "[\"handed\"]");
    assert_int_equal(task_read(task, 0, 100, &read, &err), ERR_NONE);
    assert_int_equal(read, 1); /* from the journal */
    struct lane_state s;
    task_lane_state(task, 0, 0, &s);
    assert_int_equal(s.next, 2);

    results_close(results);
    task_free(task);
    sink->ops->close(sink);
    journal_reader_close(reader);
    journal_close(journal);
    handover_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_given_is_taken),
        cmocka_unit_test(what_was_not_stored_is_not_handed_over),
        cmocka_unit_test(a_batch_without_values_stays_where_it_is),
        cmocka_unit_test(the_task_waits_for_what_is_announced),
        cmocka_unit_test(beyond_the_maximum_the_journal_has_it),
        cmocka_unit_test(a_fast_ingester_waits_for_a_task_that_takes),
        cmocka_unit_test(but_not_for_one_that_stands_still),
        cmocka_unit_test(nor_when_the_program_ends),
        cmocka_unit_test(the_task_counts_what_it_was_handed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
