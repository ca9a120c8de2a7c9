/* SPDX-License-Identifier: MIT
 *
 * test_task.c - the task over the memory journal and the memory sink: what a start accepts and refuses, what a commit
 * carries, what retention may take. Recovery on random schedules: tests/sim/test_recovery.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app/task.h"
#include "base/diag.h"
#include "sink/results.h"

#include <stdio.h>
#include <string.h>

#define S US_PER_SECOND

static const char *const user_key[] = {"user"}, *const count[] = {"count"};

struct desk {
    struct clock_manual clock;
    struct journal *journal;
    struct journal_reader *reader;
    struct sink *sink;
    struct aggregation_options aggregations[2];
    struct task_options options;
    struct task *task;
    struct err err;
};

static void desk_open(struct desk *d)
{
    *d = (struct desk){0};
    diag_setup(DIAG_ERROR, false, 2);
    clock_manual_init(&d->clock, 1000 * S);
    struct journal_options journal = {.source = "test", .partitions = 1, .clock = &d->clock.base};
    struct sink_options sink = {.task = "test", .clock = &d->clock.base};
    assert_int_equal(journal_open_memory(&journal, &d->journal, &d->err), ERR_NONE);
    assert_int_equal(journal_reader_new(d->journal, &d->reader, &d->err), ERR_NONE);
    assert_int_equal(sink_open_memory(&sink, &d->sink, &d->err), ERR_NONE);
    for (size_t i = 0; i < 2; i++) {
        aggregation_options_init(&d->aggregations[i]);
        d->aggregations[i].name = i == 0 ? "users" : "times";
        d->aggregations[i].keys = user_key;
        d->aggregations[i].key_count = 1;
        d->aggregations[i].measures = count;
        d->aggregations[i].measure_count = 1;
    }
    d->options = (struct task_options){
        .name = "test", .aggregations = d->aggregations, .aggregation_count = 1, .clock = &d->clock.base};
}

static enum err_class desk_try(struct desk *d)
{
    task_free(d->task);
    d->task = NULL;
    d->err = (struct err){0};
    enum err_class cls = task_new(&d->options, d->reader, d->sink, &d->task, &d->err);
    return cls == ERR_NONE ? task_load(d->task, &d->err) : cls;
}

static void desk_start(struct desk *d)
{
    enum err_class cls = desk_try(d);
    assert_string_equal(d->err.text, "");
    assert_int_equal(cls, ERR_NONE);
}

static void desk_close(struct desk *d)
{
    task_free(d->task);
    d->sink->ops->close(d->sink);
    journal_reader_close(d->reader);
    journal_close(d->journal);
}

static void append(struct desk *d, int64_t at_s, const char *json)
{
    struct record r = {.arrival_us = at_s * S, .value = str_of(json)};
    struct batch b = {.records = &r, .record_count = 1};
    assert_int_equal(journal_append(d->journal, &b, NULL, &d->err), ERR_NONE);
}

static void edit(struct desk *d, int64_t at_s, const char *user)
{
    char json[128];
    snprintf(json, sizeof json, "{\"timestamp\":%lld,\"user\":\"%s\"}", (long long)at_s, user);
    append(d, at_s, json);
}

static size_t read_all(struct desk *d)
{
    size_t total = 0, n = 1;
    while (n > 0) {
        assert_int_equal(task_read(d->task, 0, 100, &n, &d->err), ERR_NONE);
        total += n;
    }
    return total;
}

static void commit(struct desk *d)
{
    enum err_class cls = task_commit(d->task, &d->err);
    assert_string_equal(d->err.text, "");
    assert_int_equal(cls, ERR_NONE);
}

/* ---- what is stored */

struct sums {
    int64_t rows, counted, final, dead;
    char texts[1024];
};

static bool row_sum(const struct stored_row *r, void *ctx)
{
    struct sums *s = ctx;
    s->rows++;
    s->counted += r->row.measures[0].number;
    s->final += r->row.final;
    return true;
}

static bool dead_sum(const struct dead_letter *l, void *ctx)
{
    struct sums *s = ctx;
    size_t used = strlen(s->texts);
    s->dead++;
    snprintf(s->texts + used, sizeof s->texts - used, "%s %s %.*s;", l->stage, l->reason, STR_ARG(l->position));
    return true;
}

static struct sums sums(struct desk *d, const char *aggregation)
{
    struct sums s = {0};
    struct results *r = NULL;
    struct results_query q = {
        .aggregation = aggregation, .generation = -1, .partition = -1, .from_us = TIME_NONE, .to_us = TIME_NONE};
    assert_int_equal(results_of_memory(d->sink, &r, &d->err), ERR_NONE);
    assert_int_equal(results_rows(r, &q, row_sum, &s, &d->err), ERR_NONE);
    assert_int_equal(results_dead(r, 0, dead_sum, &s, &d->err), ERR_NONE);
    results_close(r);
    return s;
}

/* ---- tests */

static void R8_rows_and_position_in_one_commit(void **state)
{
    (void)state;
    struct desk d;
    desk_open(&d);
    desk_start(&d);
    edit(&d, 1000, "a");
    edit(&d, 1001, "b");
    edit(&d, 1002, "a");
    assert_false(task_at_end(d.task));
    assert_int_equal(read_all(&d), 3);
    assert_int_equal(sums(&d, "users").rows, 0);
    assert_false(task_at_end(d.task));
    commit(&d);
    assert_true(task_at_end(d.task));
    assert_int_equal(sums(&d, "users").rows, 2);
    assert_int_equal(sums(&d, "users").counted, 3);
    commit(&d); /* nothing to say */
    edit(&d, 2000, "a");
    read_all(&d);
    commit(&d);
    assert_int_equal(sums(&d, "users").final, 2);
    desk_close(&d);
}

static void R10_a_restart_goes_on(void **state)
{
    (void)state;
    struct desk d;
    desk_open(&d);
    desk_start(&d);
    edit(&d, 1000, "a");
    edit(&d, 1001, "a");
    read_all(&d);
    commit(&d);
    edit(&d, 1002, "a");
    read_all(&d); /* and crashes before the commit */
    for (int restart = 0; restart < 3; restart++) {
        desk_start(&d);
        read_all(&d);
        commit(&d);
        assert_int_equal(sums(&d, "users").counted, 3);
        assert_true(task_at_end(d.task));
    }
    desk_close(&d);
}

static void R13_retention_keeps_what_a_restart_reads(void **state)
{
    (void)state;
    struct desk d;
    int64_t keep[2];
    desk_open(&d);
    assert_int_equal(task_new(&d.options, d.reader, d.sink, &d.task, &d.err), ERR_NONE);
    task_keep(d.task, keep, 2);
    assert_int_equal(keep[0], 0); /* before the load: everything */
    desk_start(&d);
    edit(&d, 1000, "a");
    edit(&d, 1001, "a");
    edit(&d, 90000, "a"); /* closes and forgets the first window */
    read_all(&d);
    task_keep(d.task, keep, 1);
    assert_int_equal(keep[0], 0); /* nothing is committed */
    commit(&d);
    task_keep(d.task, keep, 1);
    assert_int_equal(keep[0], 2); /* the record before the position, by which the journal is known again */
    desk_close(&d);
}

static void R15_a_changed_definition_is_refused_and_named(void **state)
{
    (void)state;
    struct desk d;
    desk_open(&d);
    desk_start(&d);
    edit(&d, 1000, "a");
    read_all(&d);
    commit(&d);
    d.aggregations[0].size_us = 120 * S;
    assert_int_equal(desk_try(&d), ERR_REJECT);
    assert_int_equal(err_exit_code(&d.err), EXIT_CONFIG);
    assert_non_null(strstr(d.err.text, "\"users\""));
    assert_non_null(strstr(d.err.text, "size: "));
    assert_non_null(strstr(d.err.text, "on_change: rebuild"));
    int64_t keep[1];
    task_keep(d.task, keep, 1);
    assert_true(keep[0] == INT64_MAX); /* what is refused holds nothing back */
    assert_int_equal(sums(&d, "users").counted, 1);
    d.aggregations[0].on_change = CHANGE_REBUILD;
    edit(&d, 1001, "a");
    desk_start(&d);
    assert_int_equal(sums(&d, "users").counted, 1); /* readers still see the old generation */
    read_all(&d);
    commit(&d);
    assert_int_equal(sums(&d, "users").counted, 2); /* from the oldest record on */
    /* back to the first definition: it was replaced */
    d.aggregations[0].size_us = 60 * S;
    assert_int_equal(desk_try(&d), ERR_REJECT);
    assert_non_null(strstr(d.err.text, "was replaced before"));
    d.options.adopt = true;
    desk_start(&d);
    desk_close(&d);
}

static void R15_another_journal_is_refused_unless_adopted(void **state)
{
    (void)state;
    struct desk d;
    desk_open(&d);
    desk_start(&d);
    edit(&d, 1000, "old");
    read_all(&d);
    commit(&d);
    task_free(d.task);
    d.task = NULL;
    journal_reader_close(d.reader);
    journal_close(d.journal);
    struct journal_options journal = {.source = "test", .partitions = 1, .clock = &d.clock.base};
    assert_int_equal(journal_open_memory(&journal, &d.journal, &d.err), ERR_NONE);
    assert_int_equal(journal_reader_new(d.journal, &d.reader, &d.err), ERR_NONE);
    edit(&d, 5000, "new");
    assert_int_equal(desk_try(&d), ERR_REJECT);
    assert_int_equal(err_exit_code(&d.err), EXIT_CONFIG);
    assert_non_null(strstr(d.err.text, "another journal"));
    d.options.adopt = true;
    desk_start(&d);
    read_all(&d);
    commit(&d);
    d.options.adopt = false;
    desk_start(&d); /* once is enough */
    assert_int_equal(sums(&d, "users").counted, 2);
    desk_close(&d);
}

/* A new aggregation over a journal whose head is gone must not show windows whose first records went with it. */
static void R15_a_new_aggregation_begins_at_the_head(void **state)
{
    (void)state;
    struct desk d;
    int64_t keep[1], removed = 0;
    desk_open(&d);
    desk_start(&d);
    edit(&d, 1000, "a");
    edit(&d, 5000, "a");
    edit(&d, 5170, "a");
    read_all(&d);
    commit(&d);
    task_keep(d.task, keep, 1);
    struct journal_retention retention = {.max_age_us = 1000 * S, .newest_arrival_us = 5170 * S, .keep = keep};
    assert_int_equal(journal_retain(d.journal, &retention, &removed, &d.err), ERR_NONE);
    assert_int_equal(removed, 1);
    d.options.aggregation_count = 2;
    desk_start(&d);
    read_all(&d);
    commit(&d);
    assert_int_equal(sums(&d, "users").counted, 3); /* untouched by what is gone */
    assert_int_equal(sums(&d, "times").counted, 1); /* 5,000 s arrived first: windows from 5,100 s on */
    desk_close(&d);
}

static void R11_an_older_owner_is_refused(void **state)
{
    (void)state;
    struct desk d;
    desk_open(&d);
    desk_start(&d);
    edit(&d, 1000, "a");
    read_all(&d);
    struct task *old = d.task;
    d.task = NULL;
    desk_start(&d);
    read_all(&d);
    commit(&d);
    struct err err = {0};
    size_t n;
    assert_int_equal(task_commit(old, &err), ERR_FATAL);
    assert_int_equal(err_exit_code(&err), EXIT_FENCED);
    assert_int_equal(task_read(old, 0, 1, &n, &err), ERR_FATAL); /* its memory is gone: it must load again */
    assert_int_equal(task_load(old, &err), ERR_NONE);
    assert_int_equal(sums(&d, "users").counted, 1);
    task_free(old);
    desk_close(&d);
}

/* ---- a sink that cannot take commits for now */

static const struct sink_ops *real_ops;
static int refusals;

static enum err_class refusing_commit(struct sink *s, const struct task_commit *commit, struct err *err)
{
    if (refusals > 0) {
        refusals--;
        return err_set(err, ERR_RETRY, EXIT_TEMPFAIL, "not now");
    }
    return real_ops->commit(s, commit, err);
}

static void R8_R11_what_was_not_stored_is_stored_with_what_came_since(void **state)
{
    (void)state;
    struct desk d;
    int64_t keep[PARTITION_MAX];
    desk_open(&d);
    desk_start(&d);
    real_ops = d.sink->ops;
    struct sink_ops ops = *real_ops;
    ops.commit = refusing_commit;
    d.sink->ops = &ops;
    append(&d, 1000, "not json");
    edit(&d, 1000, "a");
    read_all(&d);
    refusals = 4;
    for (int64_t i = 1; i <= 4; i++) { /* the first two are taken, the others wait behind them */
        assert_int_equal(task_commit(d.task, &d.err), ERR_RETRY);
        assert_false(task_at_end(d.task));
        task_keep(d.task, keep, PARTITION_MAX);
        assert_int_equal(keep[0], 0); /* nothing of it may be forgotten */
        append(&d, 1000 + i, "not json either");
        edit(&d, 1000 + i, "a");
        read_all(&d);
    }
    d.err = (struct err){0};
    commit(&d);
    assert_true(task_at_end(d.task));
    d.sink->ops = real_ops;
    assert_int_equal(sums(&d, "users").counted, 5);
    assert_int_equal(sums(&d, "users").dead, 5); /* each once */
    desk_close(&d);
}

static void R2_one_dead_letter_a_record(void **state)
{
    (void)state;
    struct desk d;
    desk_open(&d);
    d.options.aggregation_count = 2;
    d.aggregations[1].time_field = "other";
    desk_start(&d);
    append(&d, 1000, "not json");
    append(&d, 1000, "{\"timestamp\":1000,\"user\":\"a\",\"other\":\"bad\"}"); /* dead for `times` only */
    append(&d, 1000, "{\"user\":\"a\"}");
    read_all(&d);
    commit(&d);
    struct sums s = sums(&d, "users");
    assert_int_equal(s.dead, 3);
    assert_string_equal(s.texts, "test syntax partition 0 offset 0;test bad-time partition 0 offset 1;"
                                 "test no-time partition 0 offset 2;");
    assert_int_equal(s.counted, 1);
    /* read again: after a crash, and by a rebuild of one of them */
    desk_start(&d);
    read_all(&d);
    d.aggregations[0].on_change = d.aggregations[1].on_change = CHANGE_REBUILD;
    d.aggregations[1].max_keys = 7;
    desk_start(&d);
    append(&d, 1001, "{\"user\":\"new\"}");
    read_all(&d);
    commit(&d);
    assert_int_equal(sums(&d, "users").dead, 4);
    desk_close(&d);
}

static void R9_keys_of_the_whole_task_are_bounded(void **state)
{
    (void)state;
    struct desk d;
    desk_open(&d);
    d.options.max_keys_total = 3;
    desk_start(&d);
    edit(&d, 1000, "a");
    edit(&d, 1000, "b");
    edit(&d, 1000, "c");
    read_all(&d);
    edit(&d, 1060, "d");
    size_t n;
    assert_int_equal(task_read(d.task, 0, 100, &n, &d.err), ERR_FATAL);
    assert_int_equal(err_exit_code(&d.err), EXIT_CONFIG);
    assert_non_null(strstr(d.err.text, "4 keys"));
    desk_close(&d);
}

static void R13_rows_wait_for_a_commit_in_bounds(void **state)
{
    (void)state;
    struct desk d;
    desk_open(&d);
    d.options.max_pending_rows = 2;
    desk_start(&d);
    edit(&d, 1000, "a");
    edit(&d, 1000, "b");
    edit(&d, 1000, "c");
    size_t n;
    assert_int_equal(task_read(d.task, 0, 2, &n, &d.err), ERR_NONE);
    assert_int_equal(n, 2);
    assert_int_equal(task_read(d.task, 0, 2, &n, &d.err), ERR_NONE);
    assert_int_equal(n, 0); /* full: commit first */
    assert_false(task_at_end(d.task));
    commit(&d);
    assert_false(task_at_end(d.task));
    assert_int_equal(task_read(d.task, 0, 2, &n, &d.err), ERR_NONE);
    assert_int_equal(n, 1);
    commit(&d);
    assert_true(task_at_end(d.task));
    desk_close(&d);
}

static void R13_a_row_with_a_sketch_counts_as_many(void **state)
{
    (void)state;
    static const char *const distinct[] = {"distinct(user)"};
    struct desk d;
    size_t n;
    desk_open(&d);
    d.aggregations[0].measures = distinct;
    d.options.max_pending_rows = LANE_SKETCH_ROWS;
    desk_start(&d);
    edit(&d, 1000, "a");
    edit(&d, 1000, "b");
    assert_int_equal(task_read(d.task, 0, 1, &n, &d.err), ERR_NONE);
    assert_int_equal(task_rows(d.task), LANE_SKETCH_ROWS);
    assert_true(task_full(d.task));
    commit(&d);
    assert_false(task_full(d.task));
    desk_close(&d);
}

static void R9_two_of_one_name_are_refused(void **state)
{
    (void)state;
    struct desk d;
    desk_open(&d);
    d.options.aggregation_count = 2;
    d.aggregations[1].name = "users";
    assert_int_equal(desk_try(&d), ERR_REJECT);
    assert_non_null(strstr(d.err.text, "two aggregations"));
    desk_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(R8_rows_and_position_in_one_commit),
        cmocka_unit_test(R10_a_restart_goes_on),
        cmocka_unit_test(R13_retention_keeps_what_a_restart_reads),
        cmocka_unit_test(R15_a_changed_definition_is_refused_and_named),
        cmocka_unit_test(R15_another_journal_is_refused_unless_adopted),
        cmocka_unit_test(R15_a_new_aggregation_begins_at_the_head),
        cmocka_unit_test(R11_an_older_owner_is_refused),
        cmocka_unit_test(R8_R11_what_was_not_stored_is_stored_with_what_came_since),
        cmocka_unit_test(R2_one_dead_letter_a_record),
        cmocka_unit_test(R9_keys_of_the_whole_task_are_bounded),
        cmocka_unit_test(R13_rows_wait_for_a_commit_in_bounds),
        cmocka_unit_test(R13_a_row_with_a_sketch_counts_as_many),
        cmocka_unit_test(R9_two_of_one_name_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
