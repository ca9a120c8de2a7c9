/* SPDX-License-Identifier: MIT
 *
 * The live counts against a naive model: every event kept in a list and counted anew for each question.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"
#include "serve/slide.h"

#include <stdio.h>
#include <stdlib.h>

enum { EVENTS = 4000, USERS = 60, PAGES = 80, WIKIS = 9 };

struct seen {
    int64_t second;
    int user, page, wiki;
    bool bot, edit;
};

struct model {
    struct seen events[EVENTS];
    size_t count;
    int64_t edge;
};

static bool is_inside(const struct model *m, const struct seen *e, size_t w)
{
    return e->second <= m->edge && e->second > m->edge - slide_window_seconds[w];
}

static uint32_t count_distinct(const struct model *m, size_t w, int (*what)(const struct seen *e))
{
    bool found[WIKIS * PAGES] = {false};
    uint32_t n = 0;
    for (size_t i = 0; i < m->count; i++) {
        int key = what(&m->events[i]);
        if (is_inside(m, &m->events[i], w) && key >= 0 && !found[key]) {
            found[key] = true;
            n++;
        }
    }
    return n;
}

static int user_of(const struct seen *e)
{
    return e->user;
}

static int wiki_of(const struct seen *e)
{
    return e->wiki;
}

static uint32_t edits_of(const struct model *m, size_t w, int wiki, int page)
{
    uint32_t n = 0;
    for (size_t i = 0; i < m->count; i++)
        n += m->events[i].edit && m->events[i].wiki == wiki && m->events[i].page == page &&
             is_inside(m, &m->events[i], w);
    return n;
}

static void compare_totals(const struct slide *s, const struct model *m, size_t w)
{
    uint64_t bots, want = 0, want_bots = 0, total = slide_total(s, w, &bots);
    for (size_t i = 0; i < m->count; i++) {
        want += is_inside(m, &m->events[i], w);
        want_bots += is_inside(m, &m->events[i], w) && m->events[i].bot;
    }
    assert_int_equal(total, want);
    assert_int_equal(bots, want_bots);
}

static void compare_top(const struct slide *s, const struct model *m, size_t w)
{
    struct slide_page pages[20];
    size_t n = slide_top(s, w, pages, 20);
    uint32_t least = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        int wiki = pages[i].wiki.ptr[1] - '0', page = (int)strtol(pages[i].title.ptr + 1, NULL, 10);
        assert_int_equal(pages[i].edits, edits_of(m, w, wiki, page));
        assert_true(pages[i].edits <= least && pages[i].edits > 0);
        least = pages[i].edits;
    }
    uint32_t above = 0;
    for (int wiki = 0; wiki < WIKIS; wiki++) {
        for (int page = 0; page < PAGES; page++)
            above += edits_of(m, w, wiki, page) > (n == 20 ? least : 0);
    }
    assert_true(n < 20 ? above == n : above <= n);
}

static void compare(const struct slide *s, const struct model *m)
{
    for (size_t w = 0; w < SLIDE_WINDOWS; w++) {
        compare_totals(s, m, w);
        assert_int_equal(slide_editors(s, w), count_distinct(m, w, user_of));
        assert_int_equal(slide_wikis(s, w), count_distinct(m, w, wiki_of));
        compare_top(s, m, w);
    }
}

static void add(struct slide *s, struct model *m, const struct seen *e)
{
    char user[16], title[16], wiki[16];
    snprintf(user, sizeof(user), "u%d", e->user);
    snprintf(title, sizeof(title), "p%d", e->page);
    snprintf(wiki, sizeof(wiki), "w%d", e->wiki);
    struct slide_event event = {.second = e->second,
                                .wiki = str_of(wiki),
                                .user = e->user < 0 ? (struct str){0} : str_of(user),
                                .title = str_of(title),
                                .bot = e->bot,
                                .edit = e->edit};
    slide_add(s, &event);
    if (e->second > m->edge - SLIDE_SECONDS)
        m->events[m->count++] = *e;
}

/* Events up to two minutes late, some a few seconds ahead of the edge; sometimes the time jumps. */
static void counts_equal_the_model(void **state)
{
    (void)state;
    uint64_t seed = hash_random_seed();
    printf("# seed %llu\n", (unsigned long long)seed);
    struct rng r;
    rng_init(&r, seed);
    struct slide *s = slide_new();
    struct model *m = calloc(1, sizeof(*m));
    m->edge = 1000000;
    slide_advance(s, m->edge, false);
    while (m->count < EVENTS - 1) {
        m->edge += (int64_t)(rng_below(&r, 200) == 0 ? rng_below(&r, 900) : rng_below(&r, 4));
        slide_advance(s, m->edge, false);
        struct seen e = {.second = m->edge + 5 - (int64_t)rng_below(&r, 125),
                         .user = (int)rng_below(&r, USERS) - 1,
                         .page = (int)rng_below(&r, PAGES),
                         .wiki = (int)rng_below(&r, WIKIS),
                         .bot = rng_below(&r, 3) == 0,
                         .edit = rng_below(&r, 4) != 0};
        add(s, m, &e);
        if (m->count % 400 == 0)
            compare(s, m);
    }
    compare(s, m);
    slide_free(s);
    free(m);
}

static void add_simple(struct slide *s, int64_t second, const char *title)
{
    struct slide_event e = {.second = second, .wiki = STR("w"), .user = STR("u"), .title = str_of(title), .edit = true};
    slide_add(s, &e);
}

static void a_long_silence_empties_all(void **state)
{
    (void)state;
    struct slide *s = slide_new();
    uint64_t bots;
    slide_advance(s, 5000, false);
    add_simple(s, 5000, "a");
    slide_advance(s, 5000 + 100000, false);
    for (size_t w = 0; w < SLIDE_WINDOWS; w++) {
        assert_int_equal(slide_total(s, w, &bots), 0);
        assert_int_equal(slide_editors(s, w), 0);
    }
    assert_int_equal(slide_counted(s), 1);
    add_simple(s, 105000, "b");
    assert_int_equal(slide_editors(s, 0), 1);
    slide_free(s);
}

/* More users at once than fit: the oldest seconds are given up, and it says from where on the answers are whole. */
static void full_tables_give_up_the_oldest(void **state)
{
    (void)state;
    struct slide *s = slide_new();
    char user[32];
    uint64_t bots;
    enum { PER_SECOND = 4096, SECONDS = SLIDE_USERS / PER_SECOND + 10 };
    for (int64_t second = 0; second < SECONDS; second++) {
        slide_advance(s, 10000 + second, false);
        for (int i = 0; i < PER_SECOND; i++) {
            snprintf(user, sizeof(user), "u%lld-%d", (long long)second, i);
            struct slide_event e = {.second = 10000 + second, .wiki = STR("w"), .user = str_of(user)};
            slide_add(s, &e);
        }
    }
    assert_int_equal(slide_total(s, 3, &bots), (uint64_t)SECONDS * PER_SECOND);
    assert_true(slide_covered_from(s) > 10000 && slide_covered_from(s) <= 10000 + 12);
    assert_true(slide_editors(s, 3) <= SLIDE_USERS);
    int64_t whole = 10000 + SECONDS - slide_covered_from(s);
    assert_int_equal(slide_editors(s, 3), whole * PER_SECOND);
    slide_free(s);
}

static void minutes_without_a_record_are_gaps(void **state)
{
    (void)state;
    struct slide *s = slide_new();
    slide_advance(s, 6000, false);
    add_simple(s, 6000, "a");
    slide_advance(s, 6000 + 300, false);
    add_simple(s, 6300, "a");
    assert_true(slide_minute_heard(s, 100));
    assert_false(slide_minute_heard(s, 102));
    slide_advance(s, 6300 + 180, true); /* a tick: silence was proven */
    assert_true(slide_minute_heard(s, 107));
    slide_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_equal_the_model),
        cmocka_unit_test(a_long_silence_empties_all),
        cmocka_unit_test(full_tables_give_up_the_oldest),
        cmocka_unit_test(minutes_without_a_record_are_gaps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
