/* SPDX-License-Identifier: MIT
 *
 * test_generator.c - made-up events: the same seed gives the same bytes; they decode; offsets are dense; the shape is
 * that of data-shape.md (wide limits: a changed table is noticed, chance is not); every option does what it says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"
#include "change/change.h"
#include "memory_output.h"

#include <stdio.h>

enum { N = 40000 };

struct shape {
    int64_t records, dead, canaries, late, future, repeats, non_ascii, types[5], bots, holes, arrival_falls;
    int64_t by_topic[2], next[2], bytes, first_dt_us, last_dt_us, stream_us, arrival_us;
    int64_t log_object, log_array, no_id, external, missing_user;
    uint64_t hash;
};

static struct field_set *fields;

static bool is(const struct value *v, const char *text)
{
    return v->kind == VALUE_STRING && str_eqz(v->raw, text);
}

static void look_at_change(struct shape *s, const struct value *v, int64_t dt_us)
{
    static const char *const types[] = {"edit", "new", "log", "categorize"};
    int64_t time_us = 0;
    int type = 4;
    for (int i = 0; i < 4; i++) {
        type = is(&v[FIELD_TYPE], types[i]) ? i : type;
    }
    s->types[type]++;
    s->bots += v[FIELD_BOT].kind == VALUE_TRUE;
    s->no_id += v[FIELD_ID].kind != VALUE_INT;
    s->external += is(&v[FIELD_TYPE], "external");
    s->missing_user += v[FIELD_USER].kind == VALUE_ABSENT;
    value_time(&v[FIELD_TIMESTAMP], &time_us);
    s->late += time_us < s->stream_us - 2 * US_PER_MINUTE;
    bool future = time_us > dt_us + US_PER_MINUTE;
    s->future += future;
    s->stream_us = !future && time_us > s->stream_us ? time_us : s->stream_us;
    struct str params = v[FIELD_CORE_COUNT].raw;
    s->log_object += v[FIELD_CORE_COUNT].kind == VALUE_OBJECT;
    s->log_array += v[FIELD_CORE_COUNT].kind == VALUE_ARRAY;
    (void)params;
}

static void look(struct shape *s, struct str text, int64_t arrival_us)
{
    struct value v[FIELD_MAX];
    size_t at;
    int64_t dt_us;
    s->records++;
    s->bytes += (int64_t)text.len;
    s->hash = hash_bytes(text, s->hash + (uint64_t)arrival_us);
    s->arrival_falls += arrival_us < s->arrival_us || arrival_us % US_PER_MS != 0;
    s->arrival_us = arrival_us;
    if (change_scan(fields, text, v, &at) != DEAD_NONE ||
        change_time(v, FIELD_TIMESTAMP, change_kind(v), &dt_us) != DEAD_NONE) {
        s->dead++;
        return;
    }
    for (size_t i = 0; i < v[FIELD_TITLE].raw.len; i++) {
        if ((unsigned char)v[FIELD_TITLE].raw.ptr[i] >= 0x80) {
            s->non_ascii++;
            break;
        }
    }
    assert_true(value_time(&v[FIELD_META_DT], &dt_us));
    int topic = str_starts(v[FIELD_META_TOPIC].raw, STR("codfw."));
    assert_int_equal(v[FIELD_META_PARTITION].number, 0);
    if (s->by_topic[topic] && v[FIELD_META_OFFSET].number < s->next[topic]) {
        s->repeats++;
        return;
    }
    s->holes += s->by_topic[topic] && v[FIELD_META_OFFSET].number != s->next[topic];
    s->next[topic] = v[FIELD_META_OFFSET].number + 1;
    s->by_topic[topic]++;
    s->first_dt_us = s->first_dt_us ? s->first_dt_us : dt_us;
    s->last_dt_us = dt_us;
    if (change_kind(v) == CHANGE_CANARY) {
        s->canaries++;
    } else {
        look_at_change(s, v, dt_us);
    }
}

static struct shape measure(const struct generator_options *o, int count)
{
    struct shape s = {0};
    struct generator *g = generator_new(o);
    for (int i = 0; i < count; i++) {
        int64_t arrival_us;
        struct str text = generator_next(g, &arrival_us);
        look(&s, text, arrival_us);
    }
    generator_free(g);
    return s;
}

#define BETWEEN(value, low, high)                                                                                      \
    do {                                                                                                               \
        double v_ = (double)(value);                                                                                   \
        if (v_ < (low) || v_ > (high)) {                                                                               \
            fail_msg("%s = %g, wanted %g to %g", #value, v_, (double)(low), (double)(high));                           \
        }                                                                                                              \
    } while (0)

static void the_seed_decides_every_byte(void **state)
{
    struct generator_options o = {.seed = 11,
                                  .late = 0.01,
                                  .duplicates = 0.01,
                                  .poison = 0.01,
                                  .future = 0.01,
                                  .rare = true,
                                  .canaries = true,
                                  .start_us = TIME_NONE};
    (void)state;
    struct shape a = measure(&o, 5000), b = measure(&o, 5000);
    assert_true(a.hash == b.hash);
    o.seed = 12;
    assert_true(measure(&o, 5000).hash != a.hash);
}

static void the_shape_is_that_of_the_stream(void **state)
{
    (void)state;
    struct shape s = measure(&(struct generator_options){.seed = 3, .late = 0.0005, .start_us = TIME_NONE}, N);
    assert_int_equal(s.dead, 0);
    assert_int_equal(s.holes, 0);
    assert_int_equal(s.repeats, 0);
    assert_int_equal(s.arrival_falls, 0);
    assert_int_equal(s.by_topic[1], 0);
    assert_int_equal(s.types[4], 0);
    BETWEEN((double)s.types[0] / N, 0.35, 0.75);
    BETWEEN((double)s.types[3] / N, 0.15, 0.55);
    BETWEEN((double)s.types[2] / N, 0.01, 0.10);
    BETWEEN((double)s.types[1] / N, 0.01, 0.12);
    BETWEEN((double)s.bots / N, 0.30, 0.70);
    BETWEEN((double)s.non_ascii / N, 0.15, 0.60);
    BETWEEN((double)s.late / N, 0.0002, 0.0015);
    BETWEEN(s.bytes / N, 1100, 1500);
    BETWEEN(N * 1e6 / (double)(s.last_dt_us - s.first_dt_us), 35, 60);
    assert_true(s.log_object > 0 && s.log_array > 0 && s.no_id > 0);
}

static void options_do_what_they_say(void **state)
{
    struct generator_options o = {.seed = 5, .start_us = TIME_NONE};
    (void)state;
    assert_int_equal(measure(&o, N).late, 0);
    o.late = 0.05;
    BETWEEN((double)measure(&o, N).late / N, 0.03, 0.06);
    o.late = 0;
    o.future = 0.02;
    BETWEEN((double)measure(&o, N).future / N, 0.015, 0.025);
    o.future = 0;
    o.duplicates = 0.03;
    BETWEEN((double)measure(&o, N).repeats / N, 0.02, 0.04);
    o.duplicates = 0;
    o.poison = 0.01;
    struct shape s = measure(&o, N);
    BETWEEN((double)s.dead / N, 0.007, 0.013);
    assert_int_equal(s.holes, 0);
    o.poison = 0;
    o.rate = 450;
    s = measure(&o, N);
    BETWEEN(N * 1e6 / (double)(s.last_dt_us - s.first_dt_us), 250, 700);
}

static void canaries_and_the_switch(void **state)
{
    (void)state;
    struct shape s = measure(&(struct generator_options){.seed = 9,
                                                         .rate = 10,
                                                         .canaries = true,
                                                         .switch_after_us = 30 * US_PER_MINUTE,
                                                         .start_us = 1780272000 * US_PER_SECOND},
                             N);
    double quarters = (double)(s.last_dt_us - s.first_dt_us) / (15.0 * 60e6);
    BETWEEN((double)s.canaries / 2, quarters - 2, quarters + 1);
    assert_int_equal(s.holes, 0);
    assert_true(s.by_topic[0] > 10 * 60 * 20 && s.by_topic[1] > s.by_topic[0] / 2);
}

static void rare_things_happen(void **state)
{
    (void)state;
    struct shape s = measure(&(struct generator_options){.seed = 13, .rare = true, .start_us = TIME_NONE}, N);
    assert_true(s.external > 3 && s.missing_user > 3 && s.dead > 3 && s.repeats > 3);
    BETWEEN((double)s.types[4] / N, 0.0003, 0.01);
}

/* Killed at every commit in turn: in the end the journal is that of one run. */
static void a_kill_at_any_commit_changes_nothing(void **state)
{
    struct source_options options = memory_options(&clock_real);
    struct generator_options g = {.seed = 21, .duplicates = 0.02, .poison = 0.01, .start_us = TIME_NONE};
    struct memory_output *whole = memory_output_new(), *m = memory_output_new();
    struct err err = {0};
    struct source *s;
    bool ended = false;
    (void)state;
    options.commit_bytes = 50000;
    assert_int_equal(source_open_generator(&options, &g, 0, 3000, &s, &err), ERR_NONE);
    assert_int_equal(s->ops->run(s, &whole->output, &ended, &err), ERR_NONE);
    s->ops->free(s);
    assert_true(ended);
    ended = false;
    for (int i = 0; i < 1000 && !ended; i++) {
        m->commits = 0;
        m->fail_at = 2 + (size_t)i % 5;
        assert_int_equal(source_open_generator(&options, &g, 0, 3000, &s, &err), ERR_NONE);
        s->ops->run(s, &m->output, &ended, &err);
        s->ops->free(s);
    }
    assert_int_equal(m->count, whole->count);
    for (size_t i = 0; i < m->count; i++) {
        assert_true(str_eq(m->records[i].value, whole->records[i].value));
    }
    assert_int_equal(m->dead_count, whole->dead_count);
    g.seed = 22; /* another seed in the same journal is refused */
    assert_int_equal(source_open_generator(&options, &g, 0, 3000, &s, &err), ERR_NONE);
    assert_int_equal(s->ops->run(s, &m->output, &ended, &err), ERR_FATAL);
    assert_int_equal(err_exit_code(&err), EXIT_CONFIG);
    s->ops->free(s);
    memory_output_free(whole);
    memory_output_free(m);
}

struct sizes { /* of batches, in bytes of their records */
    size_t bytes[16], count, seen;
};

static void size_add(struct memory_output *m)
{
    struct sizes *sizes = m->ctx;
    assert_in_range(sizes->count, 0, 15);
    for (; sizes->seen < m->count; sizes->seen++) {
        sizes->bytes[sizes->count] += m->records[sizes->seen].value.len;
    }
    sizes->count++;
}

/* Whoever reads them begins sooner; the later ones cost fewer waits for the disk. */
static void batches_grow_up_to_their_size(void **state)
{
    enum { KIB = 1 << 10 };
    static const size_t wanted[] = {256 * KIB, 512 * KIB, 1024 * KIB, 1024 * KIB};
    struct source_options options = memory_options(&clock_real);
    struct generator_options g = {.seed = 5, .start_us = TIME_NONE};
    struct memory_output *m = memory_output_new();
    struct sizes sizes = {0};
    struct source *s;
    struct err err = {0};
    bool ended = false;
    (void)state;
    options.commit_bytes = 1024 * KIB;
    options.commit_every_us = US_PER_DAY;
    m->committed = size_add;
    m->ctx = &sizes;
    assert_int_equal(source_open_generator(&options, &g, 0, 4000, &s, &err), ERR_NONE);
    assert_int_equal(s->ops->run(s, &m->output, &ended, &err), ERR_NONE);
    s->ops->free(s);
    assert_true(sizes.count > 4);
    for (size_t i = 0; i < 4; i++) {
        assert_in_range(sizes.bytes[i], wanted[i], wanted[i] + 64 * KIB);
    }
    memory_output_free(m);
}

static void the_pace_is_kept(void **state)
{
    struct clock_manual clock;
    struct memory_output *m = memory_output_new();
    struct err err = {0};
    struct source *s;
    bool ended;
    (void)state;
    clock_manual_init(&clock, 1780272000 * US_PER_SECOND);
    int64_t began = clock.mono;
    struct source_options options = memory_options(&clock.base);
    assert_int_equal(source_open_generator(&options, &(struct generator_options){.seed = 1, .start_us = TIME_NONE}, 50,
                                           501, &s, &err),
                     ERR_NONE);
    assert_int_equal(s->ops->run(s, &m->output, &ended, &err), ERR_NONE);
    s->ops->free(s);
    assert_int_equal(clock.mono - began, 10 * US_PER_SECOND);
    assert_int_equal(m->count, 501);
    memory_output_free(m);
}

static int set_up(void **state)
{
    (void)state;
    fields = field_set_new();
    return field_set_add(fields, STR("log_params"), NULL) == FIELD_CORE_COUNT ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    field_set_free(fields);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_seed_decides_every_byte),
        cmocka_unit_test(the_shape_is_that_of_the_stream),
        cmocka_unit_test(options_do_what_they_say),
        cmocka_unit_test(canaries_and_the_switch),
        cmocka_unit_test(rare_things_happen),
        cmocka_unit_test(a_kill_at_any_commit_changes_nothing),
        cmocka_unit_test(batches_grow_up_to_their_size),
        cmocka_unit_test(the_pace_is_kept),
    };
    return cmocka_run_group_tests_name("generator", tests, set_up, tear_down);
}
