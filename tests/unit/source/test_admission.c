/* SPDX-License-Identifier: MIT
 *
 * test_admission.c - what becomes of one record (R1-R5, R12). Equality with the oracle is tested in tests/sim; here
 * are the points at which a connection says more than a file, and what the batch carries.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_output.h"
#include "source/link.h"

static const char *const topics[] = {"eqiad", "codfw"};
static const int64_t t0 = INT64_C(1700000000000); /* ms */

struct fixture {
    struct fake_output *journal;
    struct clock_manual clock;
    struct source_options options;
    struct admission *a;
    struct link link;
};

static void restart(struct fixture *f)
{
    struct err err = {0};
    admission_free(f->a);
    assert_int_equal(admission_new(&f->options, &f->a, &err), ERR_NONE);
    assert_int_equal(admission_load(f->a, &f->journal->output, &err), ERR_NONE);
}

static void reconnect(struct fixture *f)
{
    link_fini(&f->link);
    link_init(&f->link, admission_position(f->a), t0 * US_PER_MS, 0);
}

static void fixture_init(struct fixture *f)
{
    *f = (struct fixture){0};
    f->journal = fake_output_new();
    clock_manual_init(&f->clock, t0 * US_PER_MS);
    f->options = (struct source_options){.overlap_us = US_PER_MINUTE,
                                         .horizon_us = 2 * US_PER_MINUTE,
                                         .skew_us = US_PER_MINUTE,
                                         .delay_us = 2 * US_PER_MINUTE,
                                         .idle_after_us = 30 * US_PER_SECOND,
                                         .max_identities = 1000,
                                         .newest = 10,
                                         .partitions = 1,
                                         .topics = topics,
                                         .topic_count = 2,
                                         .clock = &f->clock.base};
    restart(f);
    reconnect(f);
}

static void fixture_fini(struct fixture *f)
{
    link_fini(&f->link);
    admission_free(f->a);
    fake_output_free(f->journal);
}

static void commit(struct fixture *f)
{
    assert_int_equal(f->journal->output.commit(&f->journal->output, admission_batch(f->a), NULL), ERR_NONE);
    admission_committed(f->a);
}

/* Offers event `id` of eqiad with meta.dt = time = t0 + at_ms on the connection, arriving then. */
static enum err_class offer_at(struct fixture *f, int id, int64_t at_ms, int64_t arrival_ms, enum outcome *outcome)
{
    struct str text = fake_event(id, "eqiad", t0 + at_ms, t0 + at_ms, 1000 + id, "x.org", "w");
    return admission_offer(f->a, &f->link, text, (t0 + arrival_ms) * US_PER_MS, (struct str){NULL, 0}, outcome, NULL);
}

static enum outcome offer(struct fixture *f, int id, int64_t at_ms)
{
    enum outcome outcome;
    assert_int_equal(offer_at(f, id, at_ms, at_ms, &outcome), ERR_NONE);
    return outcome;
}

static enum outcome offer_text(struct fixture *f, struct str text, bool live)
{
    enum outcome outcome;
    assert_int_equal(admission_offer(f->a, live ? &f->link : NULL, text, t0 * US_PER_MS,
                                     live ? (struct str){NULL, 0} : STR("FILE:17"), &outcome, NULL),
                     ERR_NONE);
    return outcome;
}

static const struct topic_position *eqiad(struct fixture *f)
{
    return &admission_position(f->a)->topics[0];
}

static void R3_position_travels_with_its_records(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    assert_false(admission_pending(f.a, NULL));
    assert_int_equal(offer(&f, 1, 1000), OUTCOME_JOURNALLED);
    assert_int_equal(offer(&f, 1, 1000), OUTCOME_DUPLICATE);
    size_t bytes = 0;
    assert_true(admission_pending(f.a, &bytes));
    assert_true(bytes > 100);
    const struct batch *b = admission_batch(f.a);
    assert_int_equal(b->record_count, 1);
    assert_int_equal(b->records[0].arrival_us, (t0 + 1000) * US_PER_MS);
    assert_true(str_eqz(b->notes[0].key, "position"));
    struct position p;
    position_init(&p);
    assert_true(position_read(&p, b->notes[0].value));
    assert_int_equal(p.topics[0].high_us, (t0 + 1000) * US_PER_MS);
    assert_string_equal(p.topics[0].last.text, "id-1");
    position_fini(&p);
    assert_ptr_equal(admission_batch(f.a)->records, b->records); /* not stored: it stays */
    commit(&f);
    assert_false(admission_pending(f.a, NULL));
    fixture_fini(&f);
}

/* What a task of the same process wants goes with the record: at the task's indexes, borrowed from the batch's memory.
 */
static void values_go_with_the_batch(void **state)
{
    (void)state;
    struct fixture f;
    struct field_set *wanted = field_set_new();
    int title = field_set_add(wanted, STR("meta.uri"), NULL);
    fixture_init(&f);
    f.options.filter = "NOT nothing.here:1";
    f.options.shared_fields = wanted;
    restart(&f);
    for (int round = 0; round < 2; round++) { /* the second after its memory was taken */
        struct arena taken;
        char text[] = "{\"meta\":{\"uri\":\"first\",\"dt\":\"2026-06-01T00:00:00Z\",\"id\":\"a0\"},\"x\":1}",
             dead[] = "{\"meta\":{\"uri\":\"dead\"}";
        text[strlen(text) - 10] = (char)('0' + round);
        assert_int_equal(offer_text(&f, str_of(dead), true), round == 0 ? OUTCOME_DEAD : OUTCOME_DUPLICATE);
        assert_int_equal(offer_text(&f, str_of(text), true), OUTCOME_JOURNALLED);
        assert_int_equal(offer_text(&f, str_of(text), true), OUTCOME_DUPLICATE);
        memset(text, '#', sizeof text - 1);
        admission_tick(f.a, t0 * US_PER_MS);
        const struct batch *b = admission_batch(f.a);
        assert_int_equal(b->record_count, 2);
        const struct value *v = &b->values[0][title];
        assert_int_equal(v->kind, VALUE_STRING);
        assert_true(str_eqz(v->raw, "first"));
        assert_in_range((uintptr_t)v->raw.ptr, (uintptr_t)b->records[0].value.ptr,
                        (uintptr_t)b->records[0].value.ptr + b->records[0].value.len);
        assert_int_equal(b->values[0][FIELD_WIKI].kind, VALUE_ABSENT);
        assert_null(b->values[1]);
        assert_int_equal(b->records[0].offset, 2 * round);
        taken = *b->memory;
        *b->memory = (struct arena){0};
        admission_committed(f.a);
        arena_fini(&taken);
    }
    fixture_fini(&f);
    field_set_free(wanted);
}

/* A source ends, and is freed, while the task still works on its batches; also on the first record of the first one. */
static void values_outlive_the_source(void **state)
{
    (void)state;
    struct fixture f;
    struct field_set *wanted = field_set_new();
    int title = field_set_add(wanted, STR("meta.uri"), NULL);
    fixture_init(&f);
    f.options.shared_fields = wanted;
    restart(&f);
    assert_int_equal(
        offer_text(&f, STR("{\"meta\":{\"uri\":\"first\",\"dt\":\"2026-06-01T00:00:00Z\",\"id\":\"a\"}}"), true),
        OUTCOME_JOURNALLED);
    const struct batch *b = admission_batch(f.a);
    const struct value *values = b->values[0];
    struct arena taken = *b->memory;
    *b->memory = (struct arena){0};
    fixture_fini(&f);
    assert_int_equal(values[title].kind, VALUE_STRING);
    assert_true(str_eqz(values[title].raw, "first"));
    arena_fini(&taken);
    field_set_free(wanted);
}

static void R3_known_again_after_a_restart(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.options.newest = 0;
    restart(&f);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(offer(&f, i, i * 20000), OUTCOME_JOURNALLED);
    }
    commit(&f);
    restart(&f);
    reconnect(&f);
    for (int i = 3; i < 10; i++) {
        assert_int_equal(offer(&f, i, i * 20000), OUTCOME_DUPLICATE);
    }
    assert_int_equal(admission_identities_known(f.a), 14); /* seven records, two names each */
    fixture_fini(&f);
}

static void R3_older_than_the_table_before_the_last_came_again(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.options.newest = 0;
    restart(&f);
    reconnect(&f);
    offer(&f, 1, 0);
    offer(&f, 2, 200000);
    assert_int_equal(offer(&f, 3, 10), OUTCOME_JOURNALLED); /* the connection is continuous: it is only late */
    offer(&f, 4, 200001);
    reconnect(&f);
    assert_int_equal(offer(&f, 1, 0), OUTCOME_DUPLICATE); /* not in the table any more, but a re-delivery */
    assert_int_equal(offer(&f, 4, 200001), OUTCOME_DUPLICATE);
    assert_int_equal(offer(&f, 5, 20), OUTCOME_JOURNALLED); /* the last one has come: what is new is new */
    fixture_fini(&f);
}

/* Two resumes that were not continuous, and the next connection, which goes on. */
static void break_twice(struct fixture *f)
{
    enum outcome outcome;
    offer(f, 1, 0);
    for (int i = 0; i < 2; i++) {
        reconnect(f);
        assert_int_equal(offer_at(f, 2, 60001, 60001, &outcome), ERR_RETRY);
        assert_int_equal(eqiad(f)->high_us, t0 * US_PER_MS); /* the position has not moved */
    }
    reconnect(f);
}

static void R3_not_continuous_twice_then_a_gap(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    break_twice(&f);
    assert_int_equal(offer(&f, 2, 60001), OUTCOME_JOURNALLED); /* one alone can be an old one that was dated ahead */
    assert_int_equal(offer(&f, 3, 60002), OUTCOME_JOURNALLED);
    const struct position *p = admission_position(f.a);
    assert_int_equal(p->gap_count, 0);
    assert_int_equal(eqiad(&f)->high_us, t0 * US_PER_MS);
    assert_int_equal(offer(&f, 4, 60003), OUTCOME_JOURNALLED);
    assert_int_equal(p->gap_count, 1);
    assert_int_equal(p->gaps[0].from_us, t0 * US_PER_MS);
    assert_int_equal(p->gaps[0].to_us, (t0 + 60003) * US_PER_MS);
    assert_int_equal(eqiad(&f)->high_us, (t0 + 60003) * US_PER_MS);
    commit(&f);
    assert_int_equal(f.journal->sums[TALLY_EVENT][SOURCE_RECEIVED], 4); /* the refused tries were not received */
    fixture_fini(&f);
}

static void R3_two_newer_ones_and_an_old_one_are_no_gap(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    break_twice(&f);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(offer(&f, 2 + 3 * i, 60001), OUTCOME_JOURNALLED);
        assert_int_equal(offer(&f, 3 + 3 * i, 60002), OUTCOME_JOURNALLED);
        assert_int_equal(offer(&f, 4 + 3 * i, 10), OUTCOME_JOURNALLED); /* within the table, and never seen */
    }
    assert_int_equal(offer(&f, 1, 0), OUTCOME_DUPLICATE);
    assert_int_equal(admission_position(f.a)->gap_count, 0);
    assert_int_equal(offer(&f, 11, 20), OUTCOME_JOURNALLED);
    assert_int_equal(eqiad(&f)->high_us, (t0 + 20) * US_PER_MS); /* continuous */
    fixture_fini(&f);
}

/* A gap, and one record behind it: nothing more will come to prove it. */
static void R3_alone_behind_a_gap(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    static const size_t all[] = {0, 1};
    struct position *p = admission_position(f.a);
    break_twice(&f);
    assert_int_equal(offer(&f, 2, 60001), OUTCOME_JOURNALLED);
    assert_false(link_silent(&f.link, p, all + 1, 1)); /* of the other topic */
    assert_true(link_silent(&f.link, p, all, 2));
    assert_false(link_silent(&f.link, p, all, 2));
    assert_int_equal(p->gap_count, 0);
    reconnect(&f);
    assert_int_equal(offer(&f, 2, 60001), OUTCOME_DUPLICATE);
    assert_int_equal(p->gap_count, 1);
    assert_int_equal(eqiad(&f)->high_us, (t0 + 60001) * US_PER_MS);
    reconnect(&f);
    assert_int_equal(offer(&f, 2, 60001), OUTCOME_DUPLICATE); /* the last one received: proven by it from now on */
    assert_true(link_proven(&f.link, p, all, 1));
    fixture_fini(&f);
}

/* No clock but the service's own dates a canary. */
static void R3_a_canary_proves_a_gap(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    enum outcome outcome;
    offer(&f, 1, 0);
    for (int i = 0; i < 3; i++) {
        reconnect(&f);
        struct str canary = fake_event(2, "eqiad", t0 + 60001, t0 + 60001, 1002, "canary", "w");
        assert_int_equal(
            admission_offer(f.a, &f.link, canary, (t0 + 60001) * US_PER_MS, (struct str){NULL, 0}, &outcome, NULL),
            i < 2 ? ERR_RETRY : ERR_NONE);
    }
    assert_int_equal(admission_position(f.a)->gap_count, 1);
    fixture_fini(&f);
}

static void R3_breaks_are_forgotten_when_the_last_came_again(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    enum outcome outcome;
    offer(&f, 1, 0);
    reconnect(&f);
    assert_int_equal(offer_at(&f, 2, 60001, 60001, &outcome), ERR_RETRY);
    commit(&f); /* also when that was stored and the program restarted */
    restart(&f);
    reconnect(&f);
    assert_int_equal(eqiad(&f)->breaks, 1);
    assert_int_equal(offer(&f, 1, 0), OUTCOME_DUPLICATE);
    assert_int_equal(eqiad(&f)->breaks, 0);
    assert_int_equal(offer(&f, 2, 60001), OUTCOME_JOURNALLED);
    fixture_fini(&f);
}

static void R5_future_moves_neither_position_nor_clock(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    offer(&f, 1, 0);
    enum outcome outcome;
    assert_int_equal(offer_at(&f, 2, 62000, 1999, &outcome), ERR_NONE); /* 60.001 s ahead of its arrival */
    assert_int_equal(outcome, OUTCOME_JOURNALLED);
    assert_int_equal(eqiad(&f)->high_us, t0 * US_PER_MS);
    assert_int_equal(admission_position(f.a)->stream_us, t0 * US_PER_MS);
    assert_int_equal(offer_at(&f, 3, 61000, 1000, &outcome), ERR_NONE); /* just not */
    assert_int_equal(eqiad(&f)->high_us, (t0 + 61000) * US_PER_MS);
    assert_int_equal(admission_position(f.a)->stream_us, (t0 + 61000) * US_PER_MS);
    fixture_fini(&f);
}

static void R5_canary_moves_time_only_of_the_active_topic(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    const struct position *p = admission_position(f.a);
    assert_int_equal(offer_text(&f, fake_event(1, "eqiad", t0, t0, 1, "canary", "w"), true), OUTCOME_JOURNALLED);
    assert_int_equal(p->stream_us, TIME_NONE); /* before the first change */
    offer_text(&f, fake_event(2, "eqiad", t0 + 1000, t0 + 1000, 2, "x.org", "w"), true);
    offer_text(&f, fake_event(3, "codfw", t0 + 5000, t0, 3, "canary", "w"), true);
    assert_int_equal(p->stream_us, (t0 + 1000) * US_PER_MS);
    offer_text(&f, fake_event(4, "eqiad", t0 + 6000, t0, 4, "canary", "w"), true);
    assert_int_equal(p->stream_us, (t0 + 6000) * US_PER_MS);
    fixture_fini(&f);
}

static void R2_dead_letter_with_reason_place_and_bytes_once(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    struct str poison =
        STR("{\"meta\":{\"id\":\"p\",\"topic\":\"eqiad\",\"partition\":0,\"offset\":7},\"timestamp\":\"never\"}");
    assert_int_equal(offer_text(&f, poison, true), OUTCOME_DEAD);
    assert_int_equal(offer_text(&f, poison, true), OUTCOME_DUPLICATE);
    assert_int_equal(offer_text(&f, STR("{\"a\":"), false), OUTCOME_DEAD);
    commit(&f);
    assert_int_equal(f.journal->dead_count, 2);
    const struct dead_letter *d = f.journal->dead;
    assert_string_equal(d[0].reason, "bad-time");
    assert_true(str_eqz(d[0].position, "eqiad/0/7"));
    assert_true(str_eq(d[0].bytes, poison));
    assert_string_equal(d[1].reason, "syntax");
    assert_true(str_eqz(d[1].position, "FILE:17"));
    assert_true(d[1].detail.len > 10);
    restart(&f);
    assert_int_equal(offer_text(&f, poison, false), OUTCOME_DUPLICATE); /* known again from the dead letters */
    bool admitted = true;
    struct err err = {0};
    struct source_retry *retry = NULL;
    assert_int_equal(source_retry_new(&f.options, &f.journal->output, &retry, &err), ERR_NONE);
    assert_int_equal(source_retry_dead(retry, &d[0], &admitted, &err), ERR_NONE);
    source_retry_free(retry);
    assert_false(admitted);
    assert_non_null(strstr(err.text, "bad-time"));
    fixture_fini(&f);
}

/* What was dead can be decoded by a later version: here its bytes are good from the start. */
static void R2_retried_dead_letter_is_admitted(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    offer(&f, 1, 90000);
    commit(&f);
    struct dead_letter d = {.stage = "source",
                            .reason = "syntax",
                            .arrival_us = t0 * US_PER_MS,
                            .position = STR("x"),
                            .bytes = fake_event(2, "eqiad", t0, t0, 5, "x.org", "w")};
    bool admitted = false;
    struct err err = {0};
    struct source_retry *retry = NULL;
    assert_int_equal(source_retry_new(&f.options, &f.journal->output, &retry, &err), ERR_NONE);
    assert_int_equal(source_retry_dead(retry, &d, &admitted, &err), ERR_NONE);
    assert_true(admitted);
    assert_int_equal(f.journal->count[0], 2);
    assert_int_equal(f.journal->records[0][1].arrival_us, (t0 + 90000) * US_PER_MS); /* never falls */
    assert_int_equal(source_retry_dead(retry, &d, &admitted, &err), ERR_NONE);       /* the same event in two letters */
    assert_true(admitted);
    assert_int_equal(f.journal->count[0], 2);
    source_retry_free(retry);
    fixture_fini(&f);
}

static void R12_received_is_in_exactly_one_bucket(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.options.filter = "wiki:w";
    restart(&f);
    reconnect(&f);
    offer(&f, 1, 0);
    offer(&f, 1, 0);
    assert_int_equal(offer_text(&f, fake_event(2, "eqiad", t0, t0, 9, "x.org", "other"), true), OUTCOME_FILTERED);
    assert_int_equal(offer_text(&f, fake_event(3, "eqiad", t0, t0, 10, "canary", "other"), true), OUTCOME_JOURNALLED);
    assert_int_equal(offer_text(&f, STR("nothing"), true), OUTCOME_DEAD);
    admission_tick(f.a, t0 * US_PER_MS);
    commit(&f);
    for (int by = 0; by < 2; by++) {
        const int64_t *sums = f.journal->sums[by];
        assert_int_equal(sums[SOURCE_RECEIVED], 5);
        assert_int_equal(sums[SOURCE_TICK], 1);
        assert_int_equal(sums[SOURCE_DUPLICATE], 1);
        assert_int_equal(sums[SOURCE_FILTERED], 1);
        assert_int_equal(sums[SOURCE_DEAD], 1);
        assert_int_equal(sums[SOURCE_JOURNALLED], 3);
        assert_int_equal(sums[SOURCE_RECEIVED] + sums[SOURCE_TICK],
                         sums[SOURCE_DUPLICATE] + sums[SOURCE_FILTERED] + sums[SOURCE_DEAD] + sums[SOURCE_JOURNALLED]);
    }
    assert_int_equal(f.journal->count[0], 3);
    fixture_fini(&f);
}

static void R7_tick_is_a_canary_to_everybody_else(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.options.partitions = 3;
    restart(&f);
    admission_tick(f.a, t0 * US_PER_MS + 999);
    const struct batch *b = admission_batch(f.a);
    assert_int_equal(b->record_count, 3);
    struct field_set *fields = field_set_new();
    struct value values[FIELD_MAX];
    size_t at;
    for (uint32_t i = 0; i < 3; i++) {
        int64_t time_us;
        assert_int_equal(b->records[i].partition, i);
        assert_int_equal(change_scan(fields, b->records[i].value, values, &at), DEAD_NONE);
        assert_int_equal(change_kind(values), CHANGE_TICK);
        assert_int_equal(change_time(values, FIELD_TIMESTAMP, CHANGE_TICK, &time_us), DEAD_NONE);
        assert_int_equal(time_us, t0 * US_PER_MS);
    }
    field_set_free(fields);
    fixture_fini(&f);
}

static void R7_quiet_partition_gets_a_tick_while_the_source_moves(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.options.partitions = 2;
    f.options.filter = "wiki:w";
    restart(&f);
    reconnect(&f);
    offer(&f, 1, 0);
    commit(&f);
    clock_manual_move(&f.clock, 29 * US_PER_SECOND);
    offer_text(&f, fake_event(2, "eqiad", t0 + 29000, t0 + 29000, 9, "x.org", "other"), true); /* filtered */
    admission_tick_quiet(f.a);
    assert_int_equal(admission_batch(f.a)->record_count, 0);
    clock_manual_move(&f.clock, US_PER_SECOND);
    admission_tick_quiet(f.a);
    const struct batch *b = admission_batch(f.a);
    assert_int_equal(b->record_count, 2); /* both: the other one has had nothing since the start */
    assert_non_null(memmem(b->records[0].value.ptr, b->records[0].value.len, "2023-11-14T22:13:49.000Z", 24));
    commit(&f);
    clock_manual_move(&f.clock, 30 * US_PER_SECOND); /* now the source is silent, too: that is no news */
    admission_tick_quiet(f.a);
    assert_int_equal(admission_batch(f.a)->record_count, 0);
    fixture_fini(&f);
}

static void R2_partition_is_the_pages(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.options.partitions = 4;
    restart(&f);
    reconnect(&f);
    for (int i = 0; i < 40; i++) {
        offer(&f, i, 0);
    }
    offer_text(&f, fake_event(99, "eqiad", t0, t0, 2000, "canary", "w"), true);
    commit(&f);
    for (size_t i = 0; i < 4; i++) {
        assert_in_range(f.journal->count[i], 2, 30);
    }
    const struct record *last = &f.journal->records[0][f.journal->count[0] - 1];
    assert_non_null(memmem(last->value.ptr, last->value.len, "canary", 6)); /* canaries: the first */
    fixture_fini(&f);
}

static void R13_admission_stops_when_the_table_is_full(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.options.max_identities = 100;
    restart(&f);
    reconnect(&f);
    enum err_class cls = ERR_NONE;
    int id = 0;
    for (enum outcome outcome; !cls && id < 200; id++) {
        cls = offer_at(&f, id, 0, 0, &outcome);
    }
    assert_int_equal(cls, ERR_FATAL);
    assert_in_range(id, 50, 55);
    fixture_fini(&f);
}

static void R4_whatever_became_of_it_it_was_received(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.options.filter = "wiki:w";
    restart(&f);
    reconnect(&f);
    offer(&f, 1, 0);
    offer_text(&f, fake_event(2, "eqiad", t0, t0, 1002, "x.org", "other"), true); /* filtered */
    offer_text(&f,
               STR("{\"meta\":{\"id\":\"id-3\",\"dt\":\"2023-11-14T22:13:20Z\",\"topic\":\"eqiad\",\"partition\":0,"
                   "\"offset\":1003},\"timestamp\":\"never\"}"),
               true); /* dead */
    offer(&f, 4, 0);
    offer(&f, 6, 0);
    admission_find_holes(f.a, 1);
    const struct audit *audit = admission_audit(f.a);
    assert_int_equal(audit->hole_count, 1);
    assert_int_equal(audit->holes[0].from, 1005);
    commit(&f);
    AUTO(arena) struct arena arena = {0};
    const struct hole_row *rows;
    size_t count;
    assert_int_equal(source_audit_rows(buf_str(&f.journal->audit), &arena, &rows, &count, NULL), ERR_NONE);
    assert_int_equal(count, 1);
    assert_int_equal(rows[0].from, 1005);
    assert_string_equal(rows[0].outcome, "open");
    fixture_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(R3_position_travels_with_its_records),
        cmocka_unit_test(values_go_with_the_batch),
        cmocka_unit_test(values_outlive_the_source),
        cmocka_unit_test(R3_known_again_after_a_restart),
        cmocka_unit_test(R3_older_than_the_table_before_the_last_came_again),
        cmocka_unit_test(R3_not_continuous_twice_then_a_gap),
        cmocka_unit_test(R3_two_newer_ones_and_an_old_one_are_no_gap),
        cmocka_unit_test(R3_alone_behind_a_gap),
        cmocka_unit_test(R3_a_canary_proves_a_gap),
        cmocka_unit_test(R3_breaks_are_forgotten_when_the_last_came_again),
        cmocka_unit_test(R5_future_moves_neither_position_nor_clock),
        cmocka_unit_test(R5_canary_moves_time_only_of_the_active_topic),
        cmocka_unit_test(R2_dead_letter_with_reason_place_and_bytes_once),
        cmocka_unit_test(R2_retried_dead_letter_is_admitted),
        cmocka_unit_test(R12_received_is_in_exactly_one_bucket),
        cmocka_unit_test(R7_tick_is_a_canary_to_everybody_else),
        cmocka_unit_test(R7_quiet_partition_gets_a_tick_while_the_source_moves),
        cmocka_unit_test(R2_partition_is_the_pages),
        cmocka_unit_test(R13_admission_stops_when_the_table_is_full),
        cmocka_unit_test(R4_whatever_became_of_it_it_was_received),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
