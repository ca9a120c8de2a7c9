/* SPDX-License-Identifier: MIT
 *
 * test_audit.c - intervals, holes and numberings of the upstream (R4).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/hash.h"
#include "source/position.h"

struct fixture {
    struct position position;
    struct audit audit;
    struct link_numbering link;
    struct numbering *numberings[POSITION_TOPICS];
};

static void fixture_init(struct fixture *f)
{
    *f = (struct fixture){0};
    position_init(&f->position);
    position_topic(&f->position, "eqiad");
    f->numberings[0] = &f->position.topics[0].numbering;
}

static void fixture_fini(struct fixture *f)
{
    position_fini(&f->position);
    audit_fini(&f->audit);
    link_numbering_fini(&f->link);
}

static void reconnect(struct fixture *f)
{
    link_numbering_fini(&f->link);
}

static void receive(struct fixture *f, int64_t offset, int id, bool joined, bool is_last, bool duplicate)
{
    AUTO(buf) struct buf name = {0};
    buf_addf(&name, "id-%d", id);
    struct audit_record r = {0,      offset,  id * US_PER_SECOND, event_name_of(buf_str(&name)), 5,
                             joined, is_last, duplicate};
    audit_record(&f->audit, f->numberings, 1, &f->link, &r);
}

static void receive_new(struct fixture *f, int64_t from, int64_t to)
{
    for (int64_t i = from; i <= to; i++) {
        receive(f, i, (int)i, true, false, false);
    }
}

static void find(struct fixture *f)
{
    audit_find_holes(&f->audit, f->numberings, 1, 9);
}

static void R4_hole_between_two_intervals(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    receive_new(&f, 100, 110);
    receive_new(&f, 114, 120);
    find(&f);
    assert_int_equal(f.audit.hole_count, 1);
    struct hole *h = audit_next_open(&f.audit);
    assert_int_equal(h->from, 111);
    assert_int_equal(h->to, 113);
    assert_string_equal(h->before.text, "id-110");
    assert_string_equal(h->after.text, "id-114");
    assert_int_equal(h->before_dt_us, 110 * US_PER_SECOND);
    assert_int_equal(h->seen_us, 9);
    fixture_fini(&f);
}

static void R4_partly_filled_hole_becomes_what_remains(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    receive_new(&f, 100, 110);
    receive_new(&f, 120, 125);
    find(&f);
    receive_new(&f, 114, 114);
    find(&f);
    assert_int_equal(f.audit.hole_count, 2);
    assert_int_equal(f.audit.holes[0].from, 111);
    assert_int_equal(f.audit.holes[0].to, 113);
    assert_int_equal(f.audit.holes[1].from, 115);
    assert_int_equal(f.audit.holes[1].to, 119);
    receive_new(&f, 111, 113);
    receive_new(&f, 115, 119);
    find(&f);
    assert_int_equal(f.audit.holes[0].state, HOLE_HEALED);
    assert_int_equal(f.audit.holes[1].state, HOLE_HEALED);
    assert_null(audit_next_open(&f.audit));
    fixture_fini(&f);
}

static void R4_same_numbering_when_a_pair_matches(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    receive_new(&f, 100, 110);
    reconnect(&f);
    for (int i = 105; i <= 110; i++) { /* the overlap comes again */
        receive(&f, i, i, i > 110, i == 110, true);
    }
    receive_new(&f, 113, 113);
    find(&f);
    assert_int_equal(f.position.topics[0].numbering.number, 1); /* the first record of all began the first one */
    assert_int_equal(f.audit.hole_count, 1);
    assert_int_equal(f.audit.holes[0].from, 111);
    assert_int_equal(f.audit.holes[0].to, 112);
    fixture_fini(&f);
}

static void R4_another_numbering_when_none_does(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    receive_new(&f, 100, 110);
    reconnect(&f);
    for (int i = 105; i <= 110; i++) { /* the other cluster: the same records, other numbers */
        receive(&f, i + 5000, i, false, i == 110, true);
    }
    receive(&f, 5111, 111, true, false, false);
    receive(&f, 5113, 113, true, false, false);
    find(&f);
    assert_int_equal(f.position.topics[0].numbering.number, 2);
    assert_int_equal(f.audit.hole_count, 1);
    assert_int_equal(f.audit.holes[0].from, 5112); /* no false hole between the numberings */
    assert_int_equal(f.audit.holes[0].to, 5112);
    assert_int_equal(f.audit.holes[0].numbering, 2);
    fixture_fini(&f);
}

static void R4_hole_right_after_the_last_record_is_found(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    receive_new(&f, 100, 110);
    reconnect(&f);
    receive(&f, 5110, 110, false, true, true);
    receive(&f, 5112, 112, true, false, false); /* another numbering, and its first new record is not the next */
    find(&f);
    assert_int_equal(f.audit.hole_count, 1);
    assert_int_equal(f.audit.holes[0].from, 5111);
    fixture_fini(&f);
}

static void R13_newest_thousand_holes_are_kept(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    for (int64_t i = 0; i < 2500; i++) {
        receive_new(&f, i * 2, i * 2);
        if (i % 100 == 0) {
            find(&f);
        }
    }
    find(&f);
    assert_int_equal(f.audit.hole_count, HOLES_MAX);
    assert_int_equal(f.audit.holes[HOLES_MAX - 1].from, 2499 * 2 - 1);
    for (size_t i = 0; i < f.audit.hole_count; i++) { /* what was dropped was not called healed */
        assert_int_equal(f.audit.holes[i].state, HOLE_OPEN);
    }
    AUTO(buf) struct buf note = {0};
    const char *topics[] = {"eqiad"};
    audit_write(&f.audit, f.numberings, topics, 1, &note);
    assert_true(note.len < (size_t)1 << 20);
    fixture_fini(&f);
}

static size_t topic_at(void *ctx, const char *topic)
{
    return position_topic(&((struct fixture *)ctx)->position, topic);
}

static struct numbering *numbering_at(void *ctx, size_t topic)
{
    return &((struct fixture *)ctx)->position.topics[topic].numbering;
}

/* Position and audit go through their notes and come back the same, whatever they hold. */
static void R4_notes_come_back_the_same(void **state)
{
    (void)state;
    uint64_t seed = hash_random_seed();
    print_message("# seed %llu\n", (unsigned long long)seed);
    struct rng rng;
    rng_init(&rng, seed);
    for (int round = 0; round < 30; round++) {
        struct fixture f, g;
        fixture_init(&f);
        fixture_init(&g);
        for (int i = 0; i < 60; i++) {
            int64_t offset = (int64_t)rng_below(&rng, 100);
            receive(&f, offset, (int)offset, true, false, false);
        }
        find(&f);
        AUTO(buf) struct buf position = {0};
        AUTO(buf) struct buf audit = {0};
        AUTO(buf) struct buf again = {0};
        const char *topics[] = {"eqiad"};
        position_write(&f.position, &position);
        audit_write(&f.audit, f.numberings, topics, 1, &audit);
        assert_true(position_read(&g.position, buf_str(&position)));
        assert_true(audit_read(&g.audit, buf_str(&audit), topic_at, numbering_at, &g));
        position_write(&g.position, &again);
        assert_string_equal(position.ptr, again.ptr);
        buf_clear(&again);
        audit_write(&g.audit, g.numberings, topics, 1, &again);
        assert_string_equal(audit.ptr, again.ptr);
        assert_int_equal(f.numberings[0]->received.count, g.numberings[0]->received.count);
        assert_memory_equal(f.numberings[0]->received.items, g.numberings[0]->received.items,
                            f.numberings[0]->received.count * sizeof(struct interval));
        fixture_fini(&f);
        fixture_fini(&g);
    }
}

/* As many intervals as are kept, which is one more than the note holds: the newest stands in the other one. */
static void R13_all_intervals_come_back(void **state)
{
    (void)state;
    struct fixture f, g;
    fixture_init(&f);
    fixture_init(&g);
    for (int64_t i = 0; i < INTERVALS_MAX + 10; i++) {
        receive_new(&f, i * 2, i * 2);
    }
    find(&f);
    AUTO(buf) struct buf position = {0};
    AUTO(buf) struct buf audit = {0};
    const char *topics[] = {"eqiad"};
    position_write(&f.position, &position);
    audit_write(&f.audit, f.numberings, topics, 1, &audit);
    assert_true(position_read(&g.position, buf_str(&position)));
    assert_true(audit_read(&g.audit, buf_str(&audit), topic_at, numbering_at, &g));
    assert_int_equal(f.numberings[0]->received.count, INTERVALS_MAX);
    assert_int_equal(g.numberings[0]->received.count, INTERVALS_MAX);
    assert_memory_equal(f.numberings[0]->received.items, g.numberings[0]->received.items,
                        INTERVALS_MAX * sizeof(struct interval));
    const int64_t last = g.audit.holes[HOLES_MAX - 1].from;
    find(&g);
    assert_int_equal(g.audit.hole_count, HOLES_MAX);
    assert_int_equal(g.audit.holes[HOLES_MAX - 1].from, last); /* no hole that was not there before */
    fixture_fini(&f);
    fixture_fini(&g);
}

#define HOLE "[\"eqiad\",2,5,6,7,8,\"before\",\"after\",9,3,\"unfilled\"]"
#define INTERVAL "[1,2,3,4,\"a\",\"b\"]"
#define NOTE(holes, received) "{\"version\":1,\"holes\":[" holes "],\"received\":[" received "]}"

static void R4_what_an_audit_note_says(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    struct str note = STR(NOTE(HOLE ",[\"codfw\",1,5,6,null,8,\"\",null,9,0,\"of a later version\"]",
                               "[\"codfw\",[" INTERVAL ",[4,4,5,5,\"c\",\"c\"]]],[\"eqiad\"]"));
    assert_true(audit_read(&f.audit, note, topic_at, numbering_at, &f));
    assert_int_equal(f.audit.hole_count, 2);
    const struct hole *h = f.audit.holes;
    assert_int_equal(h[0].topic, 0);
    assert_true(h[0].numbering == 2 && h[0].from == 5 && h[0].to == 6 && h[0].tries == 3 && h[0].seen_us == 9);
    assert_true(h[0].before_dt_us == 7 && h[0].after_dt_us == 8 && h[0].state == HOLE_UNFILLED);
    assert_string_equal(h[0].before.text, "before");
    assert_string_equal(h[0].after.text, "after");
    assert_int_equal(h[1].topic, 1); /* one that the position did not name */
    assert_true(h[1].before_dt_us == TIME_NONE && !h[1].after.text[0] && h[1].state == HOLE_OPEN);
    const struct intervals *s = &f.position.topics[1].numbering.received; /* no newest one in the position */
    assert_int_equal(s->count, 2);
    assert_true(s->items[0].from == 1 && s->items[0].to == 2 && s->items[0].to_dt_us == 4);
    assert_true(s->items[1].from == 4 && s->items[1].from_dt_us == 5);
    assert_string_equal(s->items[1].to_name.text, "c");
    assert_int_equal(f.position.topics[0].numbering.received.count, 0);
    fixture_fini(&f);
}

static void R4_a_broken_audit_note_is_refused(void **state)
{
    (void)state;
    static const char *const notes[] = {
        NOTE("[7,2,5,6,7,8,\"a\",\"b\",9,3,\"open\"]", ""),
        NOTE("[\"eqiad\",2,5,6,7,8,\"a\",\"b\",9,3,\"open\",1]", ""),
        NOTE("[\"eqiad\",2,five,6,7,8,\"a\",\"b\",9,3,\"open\"]", ""),
        NOTE("[\"eqiad\",2,5,6,7,8,9,\"b\",9,3,\"open\"]", ""),
        NOTE("", "[7,[" INTERVAL "]]"),
        NOTE("", "[\"eqiad\",[[1,2,3,4,\"a\",\"b\",5]]]"),
        NOTE("", "[\"eqiad\",[[1,2,3,4,5,\"b\"]]]"),
        NOTE("", "[\"eqiad\",[[1,x,3,4,\"a\",\"b\"]]]"),
        NOTE("", "[\"eqiad\",7]"),
        NOTE("", "[\"eqiad\",[],[" INTERVAL "]]"),
        "[]",
        "",
    };
    for (size_t i = 0; i < sizeof notes / sizeof *notes; i++) {
        struct fixture f;
        fixture_init(&f);
        if (audit_read(&f.audit, str_of(notes[i]), topic_at, numbering_at, &f)) {
            fail_msg("%s: understood", notes[i]);
        }
        assert_int_equal(f.audit.hole_count, 0); /* nothing of what is broken is believed */
        assert_int_equal(f.numberings[0]->received.count, 0);
        fixture_fini(&f);
    }
    static const char whole[] = NOTE(HOLE, "[\"eqiad\",[" INTERVAL "]]");
    for (size_t cut = 0; cut < sizeof whole; cut++) { /* every beginning of it, in memory of just that size */
        struct fixture f;
        fixture_init(&f);
        AUTO_FREE char *part = xmalloc(cut + 1);
        char *at = part + 1; /* not NULL if there is nothing */
        memcpy(at, whole, cut);
        assert_int_equal(audit_read(&f.audit, str_n(at, cut), topic_at, numbering_at, &f), cut + 1 == sizeof whole);
        fixture_fini(&f);
    }
}

/* A note that holds more than we keep is understood, and what is too much dropped. */
static void R13_a_note_fills_no_more_than_there_is(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    AUTO(buf) struct buf note = {0};
    buf_addz(&note, "{\"holes\":[");
    for (int i = 0; i < HOLES_MAX + 5; i++) {
        buf_addf(&note, "[\"eqiad\",1,%d,%d,1,1,\"a\",\"b\",1,0,\"open\"],", i, i);
    }
    buf_addz(&note, "],\"received\":[");
    for (int topic = 0; topic < POSITION_TOPICS; topic++) {
        buf_addf(&note, "[\"topic-%d\",[" INTERVAL "]],", topic);
    }
    buf_addz(&note, "[\"eqiad\",[");
    for (int i = 0; i < INTERVALS_MAX + 5; i++) {
        buf_addf(&note, "[%d,%d,1,1,\"a\",\"b\"],", 2 * i, 2 * i);
    }
    buf_addz(&note, "]]],\"holes\":[[\"topic-15\",1,5,5,1,1,\"a\",\"b\",1,0,\"open\"]]}");
    assert_true(audit_read(&f.audit, buf_str(&note), topic_at, numbering_at, &f));
    assert_int_equal(f.audit.hole_count, HOLES_MAX);
    assert_int_equal(f.audit.holes[HOLES_MAX - 1].from, HOLES_MAX - 1);
    assert_int_equal(f.numberings[0]->received.count, INTERVALS_MAX);
    assert_int_equal(f.position.topic_count, POSITION_TOPICS);
    for (size_t i = 1; i < POSITION_TOPICS; i++) {
        assert_int_equal(f.position.topics[i].numbering.received.count, 1);
    }
    fixture_fini(&f);
}

/* Intervals and holes against a plain set of numbers. */
static void R4_random_against_a_set(void **state)
{
    (void)state;
    uint64_t seed = hash_random_seed();
    print_message("# seed %llu\n", (unsigned long long)seed);
    struct rng rng;
    rng_init(&rng, seed);
    for (int round = 0; round < 200; round++) {
        bool set[300] = {false};
        struct fixture f;
        fixture_init(&f);
        receive(&f, 50, 50, true, false, false); /* the numbering begins here: what is below is another one's */
        set[50] = true;
        for (int i = 0; i < 150; i++) {
            int64_t offset = 50 + (int64_t)rng_below(&rng, 200);
            receive(&f, offset, (int)offset, true, false, rng_below(&rng, 4) == 0);
            set[offset] = true;
        }
        find(&f);
        size_t at = 0;
        const struct intervals *s = &f.numberings[0]->received;
        for (int64_t i = 50; i < 300;) {
            if (!set[i]) {
                i++;
                continue;
            }
            int64_t to = i;
            while (set[to + 1]) {
                to++;
            }
            assert_true(at < s->count);
            assert_int_equal(s->items[at].from, i);
            assert_int_equal(s->items[at].to, to);
            assert_int_equal(s->items[at].from_dt_us, i * US_PER_SECOND);
            assert_int_equal(s->items[at].to_dt_us, to * US_PER_SECOND);
            at++;
            i = to + 1;
        }
        assert_int_equal(at, s->count);
        assert_int_equal(f.audit.hole_count, s->count - 1);
        fixture_fini(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(R4_hole_between_two_intervals),
        cmocka_unit_test(R4_partly_filled_hole_becomes_what_remains),
        cmocka_unit_test(R4_same_numbering_when_a_pair_matches),
        cmocka_unit_test(R4_another_numbering_when_none_does),
        cmocka_unit_test(R4_hole_right_after_the_last_record_is_found),
        cmocka_unit_test(R13_newest_thousand_holes_are_kept),
        cmocka_unit_test(R4_notes_come_back_the_same),
        cmocka_unit_test(R13_all_intervals_come_back),
        cmocka_unit_test(R4_what_an_audit_note_says),
        cmocka_unit_test(R4_a_broken_audit_note_is_refused),
        cmocka_unit_test(R13_a_note_fills_no_more_than_there_is),
        cmocka_unit_test(R4_random_against_a_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
