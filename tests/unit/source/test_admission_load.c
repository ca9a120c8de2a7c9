/* SPDX-License-Identifier: MIT
 *
 * test_admission_load.c - what an admission can be made of, and what it knows after a start (R3): that of the journal's
 * tail which the position names, in the order in which it arrived, and nothing if the journal cannot be read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_output.h"
#include "source/admission_state.h"

static const char *const topics[] = {"eqiad", "codfw"};
static const int64_t t0 = INT64_C(1700000000000); /* ms */

struct fixture {
    struct fake_output *journal;
    struct clock_manual clock;
    struct source_options options;
    struct admission *a;
};

static void fixture_init(struct fixture *f)
{
    *f = (struct fixture){0};
    f->journal = fake_output_new();
    clock_manual_init(&f->clock, t0 * US_PER_MS);
    f->options = (struct source_options){.overlap_us = US_PER_MINUTE,
                                         .horizon_us = 2 * US_PER_MINUTE,
                                         .skew_us = US_PER_MINUTE,
                                         .max_identities = 1000,
                                         .partitions = 1,
                                         .topics = topics,
                                         .topic_count = 2,
                                         .clock = &f->clock.base};
}

static void fixture_fini(struct fixture *f)
{
    admission_free(f->a);
    fake_output_free(f->journal);
}

static enum err_class start(struct fixture *f, struct err *err)
{
    admission_free(f->a);
    f->a = NULL;
    assert_int_equal(admission_new(&f->options, &f->a, err), ERR_NONE);
    return admission_load(f->a, &f->journal->output, err);
}

static void start_ok(struct fixture *f)
{
    struct err err = {0};
    if (start(f, &err)) {
        fail_msg("%s", err.text);
    }
}

static void note(struct buf *out, const char *text)
{
    buf_clear(out);
    buf_addz(out, text);
}

static void add_record(struct fixture *f, uint32_t partition, int64_t arrival_ms, struct str value)
{
    const size_t at = f->journal->count[partition]++;
    f->journal->records[partition][at] =
        (struct record){partition, (int64_t)at, (t0 + arrival_ms) * US_PER_MS, arena_dup(&f->journal->arena, value), 0};
}

/* Event `id` of eqiad; it has one name only. */
static struct str event(int id, int64_t dt_ms)
{
    return fake_event(id, "eqiad", t0 + dt_ms, t0 + dt_ms, 1000 + id, "x.org", "");
}

/* Would it be a duplicate? */
static bool knows(struct fixture *f, struct str bytes)
{
    size_t topic, count = 0;
    struct event_name name;
    int64_t dt_us;
    struct identity ids[2];
    assert_true(admission_look(f->a, bytes, &topic, &name, &dt_us, ids, &count));
    assert_true(count > 0);
    return identities_known(f->a->identities, ids[0]);
}

/* `want` has a letter for each of the events from 0 on, all of the same time: '#' is known, '.' is not. */
static void assert_known(struct fixture *f, const char *want, const char *about)
{
    AUTO(buf) struct buf known = {0};
    for (int id = 0; want[id]; id++) {
        buf_addc(&known, knows(f, event(id, 0)) ? '#' : '.');
    }
    if (!str_eqz(buf_str(&known), want)) {
        fail_msg("%s: %.*s instead of %s", about, STR_ARG(buf_str(&known)), want);
    }
}

/* ---- making one */

static void what_an_admission_cannot_be_made_of(void **state)
{
    (void)state;
    static char too_long[TOPIC_NAME_MAX + 1];
    memset(too_long, 'x', TOPIC_NAME_MAX);
    static const char *const twice[] = {"eqiad", "codfw", "eqiad"}, *const long_one[] = {"eqiad", too_long};
    static const struct {
        uint32_t partitions;
        size_t topic_count;
        const char *const *topics;
        const char *filter, *say;
        int code;
    } cases[] = {
        {0, 2, topics, NULL, "0 partitions, 2 topics: 1 to 64 and at most 16 are possible", EXIT_CONFIG},
        {PARTITION_MAX + 1, 2, topics, NULL, "65 partitions, 2 topics: 1 to 64", EXIT_CONFIG},
        {1, POSITION_TOPICS + 1, topics, NULL, "1 partitions, 17 topics", EXIT_CONFIG},
        {1, 3, twice, NULL, "topic \"eqiad\" is named twice, or too long", EXIT_CONFIG},
        {1, 2, long_one, NULL, "xxx\" is named twice, or too long", EXIT_CONFIG},
        {1, 2, topics, "wiki:", "ingest filter: filter, column ", EXIT_USAGE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fixture f;
        struct err err = {0};
        fixture_init(&f);
        f.options.partitions = cases[i].partitions;
        f.options.topic_count = cases[i].topic_count;
        f.options.topics = cases[i].topics;
        f.options.filter = cases[i].filter;
        assert_int_equal(admission_new(&f.options, &f.a, &err), ERR_REJECT);
        assert_int_equal(err_exit_code(&err), cases[i].code);
        if (!strstr(err.text, cases[i].say)) {
            fail_msg("\"%s\" without \"%s\"", err.text, cases[i].say);
        }
        assert_null(f.a);
        fixture_fini(&f);
    }
}

/* ---- a journal that cannot be read */

static struct str broken; /* what cannot be read: a note's key, or one of the words below */

static enum err_class broken_err(struct err *err)
{
    return err_set(err, ERR_RETRY, EXIT_IOERR, "journal: %.*s is busy", STR_ARG(broken));
}

static enum err_class note_breaks(struct source_output *o, struct str key, struct arena *arena, struct str *ret_value,
                                  struct err *err)
{
    return str_eq(key, broken) ? broken_err(err) : fake_note(o, key, arena, ret_value, err);
}

static enum err_class bounds_break(struct source_output *o, uint32_t partition, int64_t *ret_head, int64_t *ret_end,
                                   struct err *err)
{
    bool now = str_eqz(broken, "the second partition") && partition == 1;
    return now ? broken_err(err) : fake_bounds(o, partition, ret_head, ret_end, err);
}

static enum err_class tail_breaks(struct source_output *o, uint32_t partition, int64_t from, int64_t to,
                                  bool (*each)(const struct record *r, void *ctx), void *ctx, struct err *err)
{
    enum err_class cls = fake_tail(o, partition, from, to, each, ctx, err);
    return str_eqz(broken, "tail") ? broken_err(err) : cls;
}

static enum err_class dead_breaks(struct source_output *o, int64_t since_us,
                                  bool (*each)(const struct dead_letter *d, void *ctx), void *ctx, struct err *err)
{
    return str_eqz(broken, "dead") ? broken_err(err) : fake_dead(o, since_us, each, ctx, err);
}

static void R3_it_does_not_start_without_what_the_journal_knows(void **state)
{
    (void)state;
    static const char *const parts[] = {"position", "audit", "the second partition", "tail", "dead", ""};
    struct fixture f;
    fixture_init(&f);
    f.options.partitions = 2;
    f.journal->output.note = note_breaks;
    f.journal->output.bounds = bounds_break;
    f.journal->output.tail = tail_breaks;
    f.journal->output.dead = dead_breaks;
    add_record(&f, 0, 0, event(1, 0));
    note(&f.journal->position, "{\"tails\":[[\"eqiad\",0,0,0]]}");
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        struct err err = {0};
        AUTO(buf) struct buf want = {0};
        broken = str_of(parts[i]);
        buf_addf(&want, "starting where the journal ends: journal: %s is busy", parts[i]);
        assert_int_equal(start(&f, &err), *parts[i] ? ERR_RETRY : ERR_NONE); /* as the journal says it */
        assert_string_equal(err.text, *parts[i] ? want.ptr : "");
        assert_int_equal(err.code, *parts[i] ? EXIT_IOERR : 0);
    }
    assert_true(knows(&f, event(1, 0))); /* and in the end nothing was in the way */
    fixture_fini(&f);
}

static void R3_a_note_that_is_not_understood_is_not_guessed_at(void **state)
{
    (void)state;
    static const struct {
        const char *position, *audit;
    } notes[] = {{"{\"stream\":1", ""},
                 {"no note", ""},
                 {"{\"tails\":[[\"eqiad\",64,0,0]]}", ""},
                 {"{}", "{\"holes\":[[1]]}"},
                 {"", "{\"received\":[["}};
    for (size_t i = 0; i < sizeof notes / sizeof *notes; i++) {
        struct fixture f;
        struct err err = {0};
        fixture_init(&f);
        note(&f.journal->position, notes[i].position);
        note(&f.journal->audit, notes[i].audit);
        assert_int_equal(start(&f, &err), ERR_FATAL);
        assert_int_equal(err_exit_code(&err), EXIT_DATA);
        assert_string_equal(err.text, "starting where the journal ends: the position stored in the journal cannot be "
                                      "understood");
        fixture_fini(&f);
    }
}

/* ---- the tail */

/* Only what lies in the tail of its own topic is known again, or in one that is for all topics. */
static void R3_known_is_what_the_tails_name(void **state)
{
    (void)state;
    static const struct {
        const char *tails;
        const char *known; /* of the records 0 to 5 */
    } cases[] = {
        {"", "......"},
        {"[\"eqiad\",0,2,3]", "..##.."},
        {"[\"eqiad\",0,0,5]", "######"},
        {"[\"eqiad\",0,1,1],[\"eqiad\",0,4,5]", ".#..##"},
        {"[\"codfw\",0,0,5]", "......"},
        {"[\"codfw\",0,0,5],[\"eqiad\",0,3,3]", "...#.."},
        {"[\"*\",0,2,4]", "..###."},
        {"[\"eqiad\",1,0,5]", "......"}, /* another partition's */
        {"[\"eqiad\",0,4,2]", "......"},
        {"[\"eqiad\",0,-7,1]", "##...."},
        {"[\"eqiad\",0,5,700]", ".....#"},
        {"[\"eqiad\",0,6,700]", "......"},
        {"[\"eqiad\",0,-9223372036854775807,9223372036854775807]", "######"}, /* no bounds at all */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fixture f;
        AUTO(buf) struct buf text = {0};
        fixture_init(&f);
        f.options.partitions = 2;
        for (int id = 0; id < 6; id++) {
            add_record(&f, 0, id, event(id, 0));
        }
        buf_addf(&text, "{\"tails\":[%s]}", cases[i].tails);
        note(&f.journal->position, text.ptr);
        start_ok(&f);
        assert_known(&f, cases[i].known, cases[i].tails);
        fixture_fini(&f);
    }
}

/* What is no event, or is our own tick, stands in the journal between the others and is passed over. */
static void R3_what_has_no_name_is_not_remembered(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    add_record(&f, 0, 0, event(1, 0));
    add_record(&f, 0, 0, STR("{\"no\":"));
    add_record(&f, 0, 0,
               STR("{\"meta\":{\"domain\":\"canary\",\"stream\":\"wikitally.tick\",\"dt\":\"2023-11-14T22:13:30Z\"}}"));
    add_record(&f, 0, 0, event(2, 1));
    note(&f.journal->position, "{\"tails\":[[\"*\",0,0,3]]}");
    start_ok(&f);
    assert_int_equal(admission_identities_known(f.a), 2);
    assert_int_equal(admission_position(f.a)->clock_us, t0 * US_PER_MS); /* moved by the events, not by the tick */
    assert_true(knows(&f, event(1, 0)));
    assert_true(knows(&f, event(2, 1)));
    fixture_fini(&f);
}

/* The newest two of a topic are known whatever its clock shows. Which these are is told by the arrival; of those that
 * arrived at once, the partition and then the offset decide, so that it is the same at each start. A single partition
 * is in order, whatever its arrivals say. */
static void R3_partitions_are_merged_by_arrival(void **state)
{
    (void)state;
    static const struct {
        uint32_t partitions;
        int64_t arrival_ms[4]; /* 0 and 1 are in the first partition, 2 and 3 in the last */
        const char *known;
    } cases[] = {{2, {1, 2, 3, 4}, "..##"}, {2, {3, 4, 1, 2}, "##.."}, {2, {1, 3, 2, 4}, ".#.#"},
                 {2, {1, 4, 2, 3}, ".#.#"}, {2, {5, 5, 5, 5}, "..##"}, {2, {1, 5, 4, 5}, ".#.#"},
                 {2, {5, 5, 1, 5}, ".#.#"}, {2, {2, 5, 5, 5}, "..##"}, {2, {5, 6, 1, 5}, ".#.#"},
                 {2, {6, 6, 5, 5}, "##.."}, {1, {4, 3, 2, 1}, "..##"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fixture f;
        AUTO(buf) struct buf about = {0};
        fixture_init(&f);
        f.options.partitions = cases[i].partitions;
        f.options.newest = 2;
        f.options.horizon_us = -1; /* nothing but the newest */
        for (int id = 0; id < 4; id++) {
            add_record(&f, id < 2 ? 0 : cases[i].partitions - 1, cases[i].arrival_ms[id], event(id, 0));
        }
        note(&f.journal->position, "{\"tails\":[[\"eqiad\",0,0,3],[\"eqiad\",1,0,1]]}");
        start_ok(&f);
        buf_addf(&about, "case %zu", i);
        assert_known(&f, cases[i].known, about.ptr);
        fixture_fini(&f);
    }
}

/* ---- bounds */

/* The table was larger once: the newest that it holds are known. If it does not hold the names of these, that is an
 * error, and not a start that takes duplicates for new. */
static void R13_no_more_is_read_than_can_be_known(void **state)
{
    (void)state;
    struct fixture f;
    struct err err = {0};
    fixture_init(&f);
    for (int id = 0; id < 20; id++) {
        add_record(&f, 0, 0, event(id, 0));
    }
    note(&f.journal->position, "{\"tails\":[[\"eqiad\",0,0,19]]}");
    f.options.max_identities = 20;
    start_ok(&f);
    assert_known(&f, "####################", "20");
    f.options.max_identities = 8;
    start_ok(&f);
    assert_known(&f, "............########", "8");
    for (int id = 20; id < 40; id++) { /* these have two names */
        add_record(&f, 0, 0, fake_event(id, "eqiad", t0, t0, 1000 + id, "x.org", "w"));
    }
    note(&f.journal->position, "{\"tails\":[[\"eqiad\",0,0,39]]}");
    assert_int_equal(start(&f, &err), ERR_FATAL);
    assert_int_equal(err_exit_code(&err), EXIT_OSERR);
    assert_non_null(strstr(err.text, "starting where the journal ends: table of identities is full: "));
    assert_non_null(strstr(err.text, "source.max_identities"));
    fixture_fini(&f);
}

/* Bytes that could not be decoded are known again, but not those that only a task could not decode; and they fill the
 * table as events do. */
static void R13_dead_letters_are_known_within_bounds(void **state)
{
    (void)state;
    struct fixture f;
    struct err err = {0};
    fixture_init(&f);
    f.options.max_identities = 8;
    for (size_t i = 0; i < 20; i++) {
        f.journal->dead[i] = (struct dead_letter){.stage = i < 8 ? "source" : "results",
                                                  .stream_us = TIME_NONE,
                                                  .bytes = str_n(&"abcdefghijklmnopqrst"[i], 1)};
    }
    f.journal->dead_count = 20;
    start_ok(&f);
    assert_int_equal(admission_identities_known(f.a), 8);
    assert_true(identities_known(f.a->identities, identity_of_bytes(STR("h"))));
    assert_false(identities_known(f.a->identities, identity_of_bytes(STR("i"))));
    for (size_t i = 8; i < 20; i++) {
        f.journal->dead[i].stage = "source";
    }
    assert_int_equal(start(&f, &err), ERR_FATAL);
    assert_int_equal(err_exit_code(&err), EXIT_OSERR);
    assert_non_null(strstr(err.text, "starting where the journal ends: table of identities is full: "));
    fixture_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_an_admission_cannot_be_made_of),
        cmocka_unit_test(R3_it_does_not_start_without_what_the_journal_knows),
        cmocka_unit_test(R3_a_note_that_is_not_understood_is_not_guessed_at),
        cmocka_unit_test(R3_known_is_what_the_tails_name),
        cmocka_unit_test(R3_what_has_no_name_is_not_remembered),
        cmocka_unit_test(R3_partitions_are_merged_by_arrival),
        cmocka_unit_test(R13_no_more_is_read_than_can_be_known),
        cmocka_unit_test(R13_dead_letters_are_known_within_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
