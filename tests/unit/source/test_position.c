/* SPDX-License-Identifier: MIT
 *
 * test_position.c - the note "position" (R3): written, read, bounded, and never trusted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/record.h"
#include "source/position.h"
#include "source/source.h"

static void fill(struct position *p)
{
    size_t at = position_topic(p, "eqiad.mediawiki.recentchange");
    p->topics[at].high_us = 1234567890123456;
    p->topics[at].last = event_name_of(STR("a\"b\\c"));
    p->topics[at].breaks = 2;
    position_topic(p, "codfw.mediawiki.recentchange");
    p->first_us = 1;
    p->arrival_us = 3;
    p->stream_us = 4;
    p->clock_us = 5;
    memcpy(p->active, "eqiad", 6);
    p->change_seen = true;
    position_add_gap(p, "eqiad.mediawiki.recentchange", 10, 20);
    struct tail t = {"codfw.mediawiki.recentchange", 3, 100, 200};
    position_add_tail(p, &t);
}

static void R3_position_comes_back_the_same(void **state)
{
    (void)state;
    struct position p, q;
    position_init(&p);
    position_init(&q);
    fill(&p);
    AUTO(buf) struct buf note = {0};
    AUTO(buf) struct buf again = {0};
    position_write(&p, &note);
    assert_true(position_read(&q, buf_str(&note)));
    position_write(&q, &again);
    assert_string_equal(note.ptr, again.ptr);
    assert_int_equal(q.topics[0].high_us, 1234567890123456);
    assert_string_equal(q.topics[0].last.text, "a\"b\\c");
    assert_int_equal(q.topics[1].high_us, TIME_NONE);
    assert_int_equal(q.caught_up_us, TIME_NONE);
    assert_int_equal(q.tails[0].high, 200);
    position_fini(&p);
    position_fini(&q);
}

static void R3_broken_note_is_refused_not_trusted(void **state)
{
    (void)state;
    struct position p;
    position_init(&p);
    fill(&p);
    AUTO(buf) struct buf note = {0};
    position_write(&p, &note);
    position_fini(&p);
    for (size_t cut = 0; cut < note.len; cut++) { /* every beginning of it */
        struct position q;
        position_init(&q);
        assert_false(position_read(&q, str_n(note.ptr, cut)));
        position_fini(&q);
    }
    for (size_t at = 0; at < note.len; at++) { /* any byte another one: read or refused, never beyond the end */
        char kept = note.ptr[at];
        static const char others[] = "{}[],:\"\\0n";
        for (size_t i = 0; i < sizeof others - 1; i++) {
            struct position q;
            position_init(&q);
            note.ptr[at] = others[i];
            position_read(&q, buf_str(&note));
            position_fini(&q);
        }
        note.ptr[at] = kept;
    }
    struct position q;
    position_init(&q);
    assert_true(position_read(&q, STR("{\"version\":1,\"later\":{\"a\":[1,\"}\",{}]},\"first\":7}")));
    assert_int_equal(q.first_us, 7);
    position_fini(&q);
}

static void R13_gaps_topics_and_tails_are_bounded(void **state)
{
    (void)state;
    struct position p;
    position_init(&p);
    for (int i = 0; i < 1500; i++) {
        position_add_gap(&p, "t", i, i);
    }
    assert_int_equal(p.gap_count, GAPS_MAX);
    assert_int_equal(p.gaps[GAPS_MAX - 1].from_us, 1499); /* the newest */
    for (int i = 0; i < 20; i++) {
        AUTO(buf) struct buf name = {0};
        buf_addf(&name, "topic-%d", i);
        assert_int_equal(position_topic(&p, name.ptr), i < POSITION_TOPICS ? (size_t)i : SIZE_MAX);
    }
    for (int i = 0; i <= TAILS_MAX; i++) {
        struct tail t = {"x", (uint32_t)i % 2, i, i + 10};
        position_add_tail(&p, &t);
    }
    position_merge_tails(&p);
    assert_int_equal(p.tail_count, 2);
    assert_string_equal(p.tails[0].topic, "*");
    assert_int_equal(p.tails[0].low, 0);
    assert_int_equal(p.tails[0].high, TAILS_MAX + 10);
    AUTO(buf) struct buf note = {0};
    position_write(&p, &note);
    assert_true(note.len < (size_t)1 << 20);
    position_fini(&p);
}

static void R3_gap_rows(void **state)
{
    (void)state;
    struct position p;
    position_init(&p);
    fill(&p);
    AUTO(buf) struct buf note = {0};
    AUTO(arena) struct arena arena = {0};
    position_write(&p, &note);
    const struct gap_row *rows;
    size_t count;
    assert_int_equal(source_gap_rows(buf_str(&note), &arena, &rows, &count, NULL), ERR_NONE);
    assert_int_equal(count, 1);
    assert_true(str_eqz(rows[0].topic, "eqiad.mediawiki.recentchange"));
    assert_int_equal(rows[0].from_us, 10);
    assert_int_equal(rows[0].to_us, 20);
    assert_int_equal(source_gap_rows((struct str){NULL, 0}, &arena, &rows, &count, NULL), ERR_NONE);
    assert_int_equal(count, 0);
    assert_int_equal(source_gap_rows(STR("{\"gaps\":[[\"a\",1"), &arena, &rows, &count, NULL), ERR_REJECT);
    position_fini(&p);
}

/* Retention keeps what the table of identities will be rebuilt from; a note that is not understood keeps all. */
static void R13_the_tail_is_kept(void **state)
{
    (void)state;
    struct position p;
    position_init(&p);
    fill(&p); /* its tail: partition 3, from 100 */
    AUTO(buf) struct buf note = {0};
    position_write(&p, &note);
    position_fini(&p);
    int64_t keep[4] = {500, 500, 500, 500}, lower[4] = {50, 50, 50, 50}, few[2] = {500, 500};
    source_tail_keep(buf_str(&note), keep, 4);
    source_tail_keep(buf_str(&note), lower, 4);
    source_tail_keep(buf_str(&note), few, 2); /* a partition that is none of ours */
    assert_true(keep[0] == 500 && keep[2] == 500 && keep[3] == 100);
    assert_true(lower[3] == 50 && few[0] == 500 && few[1] == 500);
    source_tail_keep(str_n(note.ptr, note.len / 2), keep, 4);
    assert_true(keep[0] == 0 && keep[1] == 0 && keep[2] == 0 && keep[3] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(R3_position_comes_back_the_same),
        cmocka_unit_test(R3_broken_note_is_refused_not_trusted),
        cmocka_unit_test(R13_gaps_topics_and_tails_are_bounded),
        cmocka_unit_test(R3_gap_rows),
        cmocka_unit_test(R13_the_tail_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
