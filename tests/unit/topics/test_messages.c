/* SPDX-License-Identifier: MIT
 *
 * A journal as a topic: where a look begins and ends, what it says that it has looked at, and that going on where one
 * ended gives what one look would have given.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "journal/journal.h"
#include "topics/catalog.h"
#include "topics/messages.h"

#include <stdio.h>
#include <stdlib.h>

enum { RECORDS = 40, SEEN_MAX = 200 };
static const int64_t begun_us = (int64_t)1780000000 * 1000000;

struct stand {
    struct journal *journal;
    struct topics_place place;
    int64_t seen[SEEN_MAX]; /* partition * 1000 + offset */
    size_t count, room;     /* room: as many are taken, then it is full */
};

/* Even numbers in partition 0, odd ones in 1, a second apart. */
static int set_up(void **state)
{
    struct stand *s = xcalloc(1, sizeof *s);
    struct err err = {0};
    struct journal_options options = {.source = "test", .partitions = 2, .clock = &clock_real};
    struct record records[RECORDS] = {0};
    char texts[RECORDS][64];
    for (int i = 0; i < RECORDS; i++) {
        snprintf(texts[i], sizeof texts[i], "{\"n\":%d,\"wiki\":\"%s\"}", i, i % 4 < 2 ? "enwiki" : "dewiki");
        records[i] = (struct record){
            .partition = (uint32_t)i % 2, .arrival_us = begun_us + i * US_PER_SECOND, .value = str_of(texts[i])};
    }
    struct batch batch = {.records = records, .record_count = RECORDS};
    assert_int_equal(journal_open_memory(&options, &s->journal, &err), ERR_NONE);
    assert_int_equal(journal_append(s->journal, &batch, NULL, &err), ERR_NONE);
    s->place.journal_topic = "changes";
    s->place.until_us = INT64_MAX;
    assert_int_equal(journal_reader_new(s->journal, &s->place.journal, &err), ERR_NONE);
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    struct stand *s = *state;
    journal_reader_close(s->place.journal);
    journal_close(s->journal);
    free(s);
    return 0;
}

static bool take(uint32_t partition, const struct topic_record *r, void *ctx)
{
    struct stand *s = ctx;
    assert_true(s->count < SEEN_MAX);
    assert_null(r->key.ptr);
    s->seen[s->count++] = (int64_t)partition * 1000 + r->offset;
    return true;
}

static bool is_full(void *ctx)
{
    const struct stand *s = ctx;
    return s->room && s->count >= s->room;
}

static struct messages_wanted all(struct stand *s)
{
    s->count = 0;
    return (struct messages_wanted){.topic = "changes", .partition = -1, .take = take, .full = is_full, .ctx = s};
}

static struct messages *look(struct stand *s, const struct messages_wanted *w)
{
    struct messages *m = NULL;
    struct err err = {0};
    assert_int_equal(messages_open(&s->place, w, &m, &err), ERR_NONE);
    assert_non_null(m);
    assert_int_equal(messages_look(m, &err), ERR_NONE);
    return m;
}

static void assert_seen(const struct stand *s, size_t count, int64_t first, int64_t last)
{
    assert_int_equal(s->count, count);
    if (count) {
        assert_int_equal(s->seen[0], first);
        assert_int_equal(s->seen[count - 1], last);
    }
}

static void assert_covered(const struct messages *m, uint32_t p, int64_t start, int64_t next, int64_t records,
                           int64_t matched)
{
    const struct messages_coverage *c = messages_covered(m, p);
    assert_true(c->begun);
    assert_int_equal(c->start, start);
    assert_int_equal(c->next, next);
    assert_int_equal(c->records, records);
    assert_int_equal(c->matched, matched);
}

static void begins_where_it_is_told(void **state)
{
    struct stand *s = *state;
    AUTO(buf) struct buf at = {0};
    time_format(&at, begun_us + 21 * US_PER_SECOND);
    const struct {
        const char *from;
        int64_t partition, last;
        size_t count;
        int64_t first_seen, last_seen;
    } rows[] = {{NULL, -1, 0, 40, 0, 1019},     {"earliest", 1, 0, 20, 1000, 1019},
                {"latest", -1, 0, 0, 0, 0},     {"17", -1, 0, 6, 17, 1019},
                {"20", -1, 0, 0, 0, 0},         {at.ptr, 0, 0, 9, 11, 19},
                {at.ptr, 1, 0, 10, 1010, 1019}, {NULL, -1, 3, 6, 17, 1019},
                {NULL, 0, 20, 20, 0, 19},       {NULL, 0, 1000000, 20, 0, 19}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct messages_wanted w = all(s);
        w.from = rows[i].from;
        w.partition = rows[i].partition;
        w.last = rows[i].last;
        struct messages *m = look(s, &w);
        assert_seen(s, rows[i].count, rows[i].first_seen, rows[i].last_seen);
        assert_int_equal(messages_taken(m), rows[i].count);
        messages_close(m);
    }
}

static void says_what_it_looked_at(void **state)
{
    struct stand *s = *state;
    struct messages_wanted w = all(s);
    w.filter = STR("wiki:enwiki n:<20");
    struct messages *m = look(s, &w);
    assert_seen(s, 10, 0, 1008);
    assert_covered(m, 0, 0, 20, 20, 5);
    assert_covered(m, 1, 0, 20, 20, 5);
    messages_close(m);
    w = all(s);
    w.count = 7;
    w.from = "15";
    m = look(s, &w);
    assert_seen(s, 7, 15, 1016);
    assert_covered(m, 0, 15, 20, 5, 5);
    assert_covered(m, 1, 15, 17, 2, 2);
    assert_true(messages_over(m));
    messages_close(m);
}

/* Pages of any size, each begun where the one before it ended, are together what one look gives. */
static void going_on_gives_the_same(void **state)
{
    struct stand *s = *state;
    for (size_t room = 1; room < 45; room++) {
        int64_t found[SEEN_MAX];
        size_t total = 0;
        struct messages_wanted w = all(s);
        w.filter = STR("wiki:dewiki");
        s->room = room;
        for (bool more = true; more;) {
            uint32_t first, behind;
            s->count = 0;
            struct messages *m = look(s, &w);
            memcpy(found + total, s->seen, s->count * sizeof *found);
            total += s->count;
            more = false;
            messages_span(m, &first, &behind);
            for (uint32_t p = first; p < behind && !more; p++) {
                const struct messages_coverage *c = messages_covered(m, p);
                more = !c->begun || c->next < c->end;
                w.resumed = true;
                w.resume_partition = p;
                w.resume_offset = c->begun ? c->next : -1;
            }
            messages_close(m);
        }
        assert_int_equal(total, 20);
        for (size_t i = 0; i < total; i++)
            assert_int_equal(found[i], (int64_t)(i / 10) * 1000 + (int64_t)(i % 10) * 2 + 1);
    }
    s->room = 0;
}

static void what_has_no_time_says_so(void **state)
{
    struct stand *s = *state;
    struct messages *m = NULL;
    struct err err = {0};
    struct messages_wanted w = all(s);
    s->place.until_us = 1;
    assert_true(topics_over(&s->place));
    assert_int_equal(messages_open(&s->place, &w, &m, &err), ERR_NONE);
    assert_int_equal(messages_look(m, &err), ERR_RETRY); /* and not: looked at nothing, go on here */
    messages_close(m);
    w.last = 3;
    assert_int_equal(messages_open(&s->place, &w, &m, &err), ERR_NONE);
    assert_int_equal(messages_look(m, &err), ERR_RETRY);
    messages_close(m);
    s->place.until_us = INT64_MAX;
}

static void what_is_not_there(void **state)
{
    struct stand *s = *state;
    static const char *const names[] = {"change", "changesx", "", ".", "..", "a/b", "changes ", "chänges"};
    struct err err = {0};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        AUTO(arena) struct arena arena = {0};
        struct topic_shown shown;
        struct messages *m = (struct messages *)&arena;
        struct messages_wanted w = all(s);
        w.topic = names[i];
        assert_int_equal(messages_open(&s->place, &w, &m, &err), ERR_NONE);
        assert_null(m);
        assert_int_equal(topics_show(&s->place, names[i], TOPIC_ENDS, &arena, &shown, &err), ERR_NONE);
        assert_int_equal(shown.topic.partition_count, 0);
    }
    struct messages *m = NULL;
    struct messages_wanted w = all(s);
    w.partition = 2;
    assert_int_equal(messages_open(&s->place, &w, &m, &err), ERR_REJECT);
    assert_int_equal(err.code, EXIT_NOINPUT);
    w = all(s);
    w.filter = STR("(wiki:enwiki");
    assert_int_equal(messages_open(&s->place, &w, &m, &err), ERR_REJECT);
    assert_int_equal(err.code, EXIT_USAGE);
}

static void the_journal_is_a_cluster_of_one_topic(void **state)
{
    struct stand *s = *state;
    AUTO(arena) struct arena arena = {0};
    struct topics_list list;
    struct topic_shown shown;
    struct err err = {0};
    assert_int_equal(topics_list(&s->place, NULL, 10, &arena, &list, &err), ERR_NONE);
    assert_int_equal(list.count, 1);
    assert_false(list.more);
    assert_string_equal(list.rows->name, "changes");
    assert_int_equal(list.rows->records, RECORDS);
    assert_int_equal(list.rows->replication, KAFKA_UNKNOWN);
    assert_string_equal(list.cluster.id, journal_id(s->journal));
    assert_int_equal(topics_list(&s->place, "changes", 10, &arena, &list, &err), ERR_NONE);
    assert_int_equal(list.count, 0);
    assert_int_equal(topics_show(&s->place, "changes", TOPIC_ENDS | TOPIC_SETTINGS, &arena, &shown, &err), ERR_NONE);
    assert_int_equal(shown.topic.partition_count, 2);
    assert_int_equal(shown.setting_count, 0);
    for (size_t p = 0; p < 2; p++) {
        assert_int_equal(shown.topic.partitions[p].leader, KAFKA_NOBODY);
        assert_int_equal(shown.ends[p].head, 0);
        assert_int_equal(shown.ends[p].end, 20);
        assert_int_equal(shown.ends[p].high, 20);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(begins_where_it_is_told), cmocka_unit_test(says_what_it_looked_at),
        cmocka_unit_test(going_on_gives_the_same), cmocka_unit_test(what_has_no_time_says_so),
        cmocka_unit_test(what_is_not_there),       cmocka_unit_test(the_journal_is_a_cluster_of_one_topic),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
