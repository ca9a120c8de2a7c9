/* SPDX-License-Identifier: MIT
 *
 * One suite over every journal (journal.h): what is appended comes back byte for byte, in order, page by page; what
 * leaves (retention, skip) leaves whole batches; position, ledger and dead letters go with the records.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"
#include "journal/journal.h"
#include "store_dir.h"

#include <pthread.h>
#include <stdatomic.h>

#define MINUTE US_PER_MINUTE
static const int64_t day = (int64_t)1600000020 * 1000000; /* a whole minute */

struct store {
    const char *kind;
    struct store_dir dir;
    struct journal_options options;
    struct journal *journal;
    struct arena arena;
    struct buf text; /* scratch */
};

static void store_open(struct store *s)
{
    struct err e = {0};
    bool memory = strcmp(s->kind, "memory") == 0;
    assert_ok((memory ? journal_open_memory : journal_open_sqlite)(&s->options, &s->journal, &e), e);
}

/* A restart; a memory journal does not survive one. */
static bool store_reopen(struct store *s)
{
    if (strcmp(s->kind, "memory") == 0) {
        return false;
    }
    journal_close(s->journal);
    s->journal = NULL;
    store_open(s);
    return true;
}

static int set_up_kind(void **state, const char *kind)
{
    struct store *s = xcalloc(1, sizeof *s);
    s->kind = kind;
    store_dir_init(&s->dir);
    s->options = (struct journal_options){
        .directory = s->dir.path, .source = "test:1", .partitions = 2, .clock = &s->dir.clock.base};
    store_open(s);
    *state = s;
    return 0;
}

static int set_up_memory(void **state)
{
    return set_up_kind(state, "memory");
}

static int set_up_sqlite(void **state)
{
    return set_up_kind(state, "sqlite");
}

static int tear_down(void **state)
{
    struct store *s = *state;
    journal_close(s->journal);
    store_dir_fini(&s->dir);
    arena_fini(&s->arena);
    buf_fini(&s->text);
    free(s);
    return 0;
}

static struct journal_reader *reader(struct store *s)
{
    struct err e = {0};
    struct journal_reader *r = NULL;
    assert_ok(journal_reader_new(s->journal, &r, &e), e);
    return r;
}

/* `count` records "PREFIXn" to one partition, all with this arrival. */
static void append(struct store *s, uint32_t partition, const char *prefix, int count, int64_t arrival_us)
{
    struct err e = {0};
    struct record records[64];
    char texts[64][32];
    for (int i = 0; i < count; i++) {
        snprintf(texts[i], sizeof texts[i], "%s%d", prefix, i);
        records[i] = (struct record){.partition = partition, .arrival_us = arrival_us, .value = str_of(texts[i])};
    }
    struct batch b = {.records = records, .record_count = (size_t)count};
    assert_ok(journal_append(s->journal, &b, NULL, &e), e);
}

/* "0:a0 1:a1 ": everything of a partition from an offset on, in pages of this size. */
static void assert_records(struct store *s, uint32_t partition, int64_t from, size_t page_size, const char *expected)
{
    struct err e = {0};
    struct journal_reader *r = reader(s);
    struct journal_page page = {.count = 1};
    buf_clear(&s->text);
    while (page.count > 0) {
        arena_reset(&s->arena);
        assert_ok(journal_reader_read(r, partition, from, page_size, &s->arena, &page, &e), e);
        assert_true(page.count <= page_size);
        for (size_t i = 0; i < page.count; i++) {
            assert_int_equal(page.records[i].partition, partition);
            assert_true(page.records[i].offset >= from);
            buf_addf(&s->text, "%lld:%.*s ", (long long)page.records[i].offset, STR_ARG(page.records[i].value));
            from = page.records[i].offset + 1;
        }
    }
    journal_reader_close(r);
    assert_string_equal(s->text.ptr ? s->text.ptr : "", expected);
}

static void assert_bounds(struct store *s, uint32_t partition, int64_t head, int64_t end)
{
    struct err e = {0};
    struct journal_reader *r = reader(s);
    int64_t h = -1, n = -1;
    assert_ok(journal_reader_bounds(r, partition, &h, &n, &e), e);
    journal_reader_close(r);
    assert_int_equal(h, head);
    assert_int_equal(n, end);
}

/* ---- records */

static void bytes_come_back_exactly(void **state)
{
    struct store *s = *state;
    struct err e = {0};
    int64_t ends[2] = {-1, -1};
    char *large = xmalloc(6 << 20); /* larger than a batch should be */
    struct rng rng;
    rng_init(&rng, 7);
    for (size_t i = 0; i < 6 << 20; i++) {
        large[i] = (char)rng_next(&rng);
    }
    struct record records[] = {
        {.partition = 0, .arrival_us = day, .value = STR("{\"a\":\"\xc3\xa9\"}")},
        {.partition = 1, .arrival_us = TIME_NONE, .value = STR("\0\xff\n\r")},
        {.partition = 0, .offset = 99, .arrival_us = day + 1000, .value = {NULL, 0}},
        {.partition = 0, .arrival_us = day + 2000, .value = {large, 6 << 20}},
        {.partition = 0, .arrival_us = TIME_NONE, .value = STR("last")},
    };
    struct batch b = {.records = records, .record_count = 5};
    assert_ok(journal_append(s->journal, &b, ends, &e), e);
    assert_int_equal(ends[0], 4);
    assert_int_equal(ends[1], 1);
    store_reopen(s);
    struct journal_reader *r = reader(s);
    struct journal_page page;
    size_t at = 0;
    const size_t order[] = {0, 2, 3, 4};
    while (at < 4) {
        assert_ok(journal_reader_read(r, 0, (int64_t)at, 10, &s->arena, &page, &e), e);
        assert_true(page.count > 0);
        for (size_t i = 0; i < page.count; i++, at++) {
            assert_int_equal(page.records[i].offset, at);
            assert_int_equal(page.records[i].arrival_us, records[order[at]].arrival_us);
            assert_true(str_eq(page.records[i].value, records[order[at]].value));
        }
    }
    assert_ok(journal_reader_read(r, 1, 0, 10, &s->arena, &page, &e), e);
    assert_int_equal(page.count, 1);
    assert_true(str_eq(page.records[0].value, records[1].value));
    assert_int_equal(page.records[0].arrival_us, TIME_NONE);
    journal_reader_close(r);
    free(large);
}

static void pages_and_bounds(void **state)
{
    struct store *s = *state;
    assert_bounds(s, 0, 0, 0);
    assert_records(s, 0, 0, 10, "");
    append(s, 0, "a", 3, day);
    append(s, 0, "b", 4, day);
    append(s, 1, "c", 1, day);
    assert_bounds(s, 0, 0, 7);
    const char *all = "0:a0 1:a1 2:a2 3:b0 4:b1 5:b2 6:b3 ";
    for (size_t page = 1; page < 9; page++) {
        assert_records(s, 0, 0, page, all);
    }
    assert_records(s, 0, 2, 2, "2:a2 3:b0 4:b1 5:b2 6:b3 ");
    assert_records(s, 0, 5, 100, "5:b2 6:b3 ");
    assert_records(s, 0, 7, 100, "");
    assert_records(s, 0, INT64_MAX, 100, "");
    assert_records(s, 1, 0, 100, "0:c0 ");
    if (store_reopen(s)) {
        assert_records(s, 0, 0, 2, all);
    }
    append(s, 0, "d", 1, day);
    assert_records(s, 0, 6, 2, "6:b3 7:d0 ");
}

/* ---- what goes with the records */

static bool see_dead(const struct dead_letter *d, void *ctx)
{
    buf_addf(ctx, "%lld %s %s %.*s %.*s %zu %d %d\n", (long long)d->id, d->stage, d->reason, STR_ARG(d->detail),
             STR_ARG(d->position), d->bytes.len, d->arrival_us == day, d->retried_us == TIME_NONE);
    return true;
}

static bool see_tally(const struct tally_row *t, void *ctx)
{
    buf_addf(ctx, "%d %lld %u=%lld\n", t->by,
             t->minute == TALLY_NO_TIME ? -1
             : t->minute == TALLY_OLDER ? -2
             : t->minute == TALLY_AHEAD ? -3
                                        : (long long)(t->minute - day / MINUTE),
             t->bucket, (long long)t->count);
    return true;
}

static void assert_note(struct store *s, struct str key, const char *expected)
{
    struct err e = {0};
    struct journal_reader *r = reader(s);
    struct str value = STR("?");
    assert_ok(journal_reader_note(r, key, &s->arena, &value, &e), e);
    journal_reader_close(r);
    if (expected == NULL) {
        assert_null(value.ptr);
    } else {
        assert_true(value.ptr != NULL && str_eqz(value, expected));
    }
}

static bool see_one_tally(const struct tally_row *t, void *ctx)
{
    (void)t;
    return ++*(int *)ctx < 1;
}

static void assert_side(struct store *s, const char *dead, const char *tally)
{
    struct err e = {0};
    struct journal_reader *r = reader(s);
    buf_clear(&s->text);
    assert_ok(journal_reader_dead(r, 0, see_dead, &s->text, &e), e);
    assert_string_equal(s->text.ptr ? s->text.ptr : "", dead);
    buf_clear(&s->text);
    buf_addz(&s->text, "");
    assert_ok(journal_reader_tally(r, see_tally, &s->text, &e), e);
    assert_string_equal(s->text.len ? s->text.ptr : "", tally);
    int seen = 0;
    assert_ok(journal_reader_tally(r, see_one_tally, &seen, &e), e); /* it stops when told so */
    assert_int_equal(seen, tally[0] != '\0');
    journal_reader_close(r);
}

static void R3_notes_and_dead_letters_with_the_records(void **state)
{
    struct store *s = *state;
    struct err e = {0};
    struct record record = {.arrival_us = day, .value = STR("{}")};
    struct note notes[] = {{STR("position"), STR("{\"at\":1}")}, {STR("audit"), STR("")}};
    struct dead_letter dead = {.stage = "source",
                               .reason = "syntax",
                               .detail = STR("at byte 3"),
                               .position = STR("FILE:17"),
                               .arrival_us = day,
                               .stream_us = TIME_NONE,
                               .retried_us = TIME_NONE,
                               .bytes = STR("{\0x")};
    struct tally_row tally[] = {{TALLY_EVENT, day / MINUTE, SOURCE_JOURNALLED, 1},
                                {TALLY_ARRIVAL, TALLY_NO_TIME, SOURCE_RECEIVED, 2}};
    struct batch b = {&record, 1, &dead, 1, notes, 2, tally, 2, NULL, NULL, NULL, NULL};
    assert_note(s, STR("position"), NULL);
    assert_ok(journal_append(s->journal, &b, NULL, &e), e);
    notes[0].value = STR("{\"at\":2}");
    b.note_count = 1;
    b.record_count = 0; /* a commit may carry no record at all */
    assert_ok(journal_append(s->journal, &b, NULL, &e), e);
    store_reopen(s);
    assert_note(s, STR("position"), "{\"at\":2}");
    assert_note(s, STR("audit"), "");
    assert_note(s, STR("other"), NULL);
    assert_side(s, "1 source syntax at byte 3 FILE:17 3 1 1\n2 source syntax at byte 3 FILE:17 3 1 1\n",
                "0 0 5=2\n1 -1 0=4\n");
    assert_ok(journal_dead_retried(s->journal, 2, day, &e), e);
    assert_side(s, "1 source syntax at byte 3 FILE:17 3 1 1\n2 source syntax at byte 3 FILE:17 3 1 0\n",
                "0 0 5=2\n1 -1 0=4\n");
    assert_error(journal_dead_retried(s->journal, 3, day, &e), e, ERR_REJECT, EXIT_NO);
    assert_bounds(s, 0, 0, 1);
}

static void R12_source_ledger_folds(void **state)
{
    struct store *s = *state;
    struct err e = {0};
    int64_t m = day / MINUTE, old = m - TALLY_KEEP_MINUTES;
    struct record record = {.arrival_us = day, .value = STR("{}")};
    struct tally_row tally[] = {{TALLY_EVENT, old, SOURCE_DEAD, 3},
                                {TALLY_EVENT, old, SOURCE_FILTERED, 1},
                                {TALLY_EVENT, TALLY_OLDER, SOURCE_DEAD, 4},
                                {TALLY_EVENT, TALLY_AHEAD, SOURCE_DEAD, 5},
                                {TALLY_ARRIVAL, old + 1, SOURCE_DEAD, 6}};
    struct batch b = {.records = &record, .record_count = 1, .tally = tally, .tally_count = 5};
    assert_ok(journal_append(s->journal, &b, NULL, &e), e);
    assert_side(s, "", "0 -2 4=4\n0 -46080 3=1\n0 -46080 4=3\n0 -3 4=5\n1 -46079 4=6\n");
    store_reopen(s);
    record.arrival_us += MINUTE;
    b.tally_count = 1;
    tally[0].minute = m;
    assert_ok(journal_append(s->journal, &b, NULL, &e), e);
    assert_side(s, "", "0 -2 3=1\n0 -2 4=7\n0 0 4=3\n0 -3 4=5\n1 -46079 4=6\n");
}

/* ---- retention, holes */

static int64_t retain(struct store *s, int64_t age_us, int64_t bytes, int64_t keep0, int64_t keep1, bool hard)
{
    struct err e = {0};
    int64_t keep[2] = {keep0, keep1}, removed = -1;
    struct journal_retention r = {age_us, bytes, day + 100 * MINUTE, keep, hard, 0};
    assert_ok(journal_retain(s->journal, &r, &removed, &e), e);
    return removed;
}

static void R13_retention_keeps_what_tasks_need(void **state)
{
    struct store *s = *state;
    for (int i = 0; i < 10; i++) {
        append(s, 0, "a", 2, day + i * 10 * MINUTE); /* offsets 2i, 2i + 1 */
        append(s, 1, "b", 1, day + i * 10 * MINUTE);
    }
    assert_int_equal(retain(s, 0, 0, INT64_MAX, INT64_MAX, false), 0);
    assert_int_equal(retain(s, 200 * MINUTE, 0, INT64_MAX, INT64_MAX, false), 0);
    assert_int_equal(retain(s, 80 * MINUTE, 0, 0, 0, false), 0);
    assert_int_equal(retain(s, 80 * MINUTE, 0, 3, 0, false), 2); /* [0,2) may go; [2,4) holds offset 3 */
    assert_bounds(s, 0, 2, 20);
    assert_int_equal(retain(s, 80 * MINUTE, 0, INT64_MAX, INT64_MAX, false), 4); /* older than minute 20 */
    assert_bounds(s, 0, 4, 20);
    assert_bounds(s, 1, 2, 10);
    assert_int_equal(retain(s, 10 * MINUTE, 0, 0, INT64_MAX, true), 21); /* hard: keep does not count */
    store_reopen(s);
    assert_bounds(s, 0, 18, 20);
    assert_bounds(s, 1, 9, 10);
    assert_records(s, 0, 0, 10, "18:a0 19:a1 ");
    assert_int_equal(retain(s, 0, 1, INT64_MAX, INT64_MAX, false), 3);
    assert_bounds(s, 0, 20, 20);
    store_reopen(s);
    append(s, 0, "z", 1, day + 101 * MINUTE); /* offsets go on when all is gone */
    assert_records(s, 0, 0, 10, "20:z0 ");
    assert_records(s, 1, 0, 10, "");
}

static void R13_retention_by_size_takes_the_oldest(void **state)
{
    struct store *s = *state;
    struct err e = {0};
    struct journal_info info;
    for (int i = 0; i < 10; i++) {
        append(s, 0, "a", 1, day + i * MINUTE);
        append(s, 1, "b", 1, day + i * MINUTE + 1000);
    }
    append(s, 0, "u", 1, TIME_NONE);
    struct journal_reader *r = reader(s);
    assert_ok(journal_reader_info(r, &info, &e), e);
    int64_t removed = retain(s, 0, info.size_bytes / 2, INT64_MAX, INT64_MAX, false);
    assert_true(removed >= 9 && removed <= 12);
    int64_t head[2], end;
    assert_ok(journal_reader_bounds(r, 0, &head[0], &end, &e), e);
    assert_ok(journal_reader_bounds(r, 1, &head[1], &end, &e), e);
    assert_true(head[0] - head[1] <= 1 && head[1] - head[0] <= 1); /* both alike, the oldest first */
    assert_ok(journal_reader_info(r, &info, &e), e);
    assert_true(info.size_bytes > 0);
    assert_int_equal(retain(s, MINUTE, 0, INT64_MAX, INT64_MAX, false), 20 - removed); /* unknown is never too old */
    assert_records(s, 0, 0, 9, "10:u0 ");
    journal_reader_close(r);
}

static void R13_without_a_newest_arrival_nothing_is_old(void **state)
{
    struct store *s = *state;
    struct err e = {0};
    struct journal_retention r = {.max_age_us = 1, .newest_arrival_us = TIME_NONE, .hard = true};
    int64_t removed = -1;
    append(s, 0, "a", 2, day);
    assert_ok(journal_retain(s->journal, &r, &removed, &e), e);
    assert_int_equal(removed, 0);
    assert_bounds(s, 0, 0, 2);
    r.newest_arrival_us = day + MINUTE;
    assert_ok(journal_retain(s->journal, &r, &removed, &e), e);
    assert_int_equal(removed, 2);
}

static void count_problem(const char *text, void *ctx)
{
    assert_true(text[0] != '\0');
    ++*(int64_t *)ctx;
}

static void R10_skip_leaves_a_hole(void **state)
{
    struct store *s = *state;
    struct err e = {0};
    append(s, 0, "a", 2, day);
    append(s, 0, "b", 3, day + MINUTE);
    append(s, 0, "c", 2, day + 2 * MINUTE);
    assert_ok(journal_skip(s->journal, 0, 3, &e), e);
    assert_records(s, 0, 0, 10, "0:a0 1:a1 5:c0 6:c1 ");
    assert_records(s, 0, 2, 1, "5:c0 6:c1 ");
    assert_error(journal_skip(s->journal, 0, 3, &e), e, ERR_REJECT, EXIT_NO);
    assert_error(journal_skip(s->journal, 0, 7, &e), e, ERR_REJECT, EXIT_NO);
    assert_error(journal_skip(s->journal, 9, 0, &e), e, ERR_REJECT, EXIT_NO);
    struct journal_reader *r = reader(s);
    struct journal_verified v;
    int64_t problems = 0;
    assert_ok(journal_reader_verify(r, count_problem, &problems, &v, &e), e);
    assert_int_equal(problems, 0);
    assert_int_equal(v.batches, 2);
    assert_int_equal(v.records, 4);
    assert_int_equal(v.holes, 1);
    journal_reader_close(r);
    assert_ok(journal_skip(s->journal, 0, 0, &e), e); /* at the front: the head moves */
    assert_bounds(s, 0, 5, 7);
    assert_error(journal_skip(s->journal, 0, 0, &e), e, ERR_REJECT, EXIT_NO); /* before all that is left */
    assert_error(journal_skip(s->journal, 0, -1, &e), e, ERR_REJECT, EXIT_NO);
    assert_ok(journal_skip(s->journal, 0, 6, &e), e); /* the last: the end stays */
    assert_bounds(s, 0, 7, 7);
    store_reopen(s);
    append(s, 0, "d", 1, day + 3 * MINUTE);
    assert_records(s, 0, 0, 10, "7:d0 ");
}

static void seek_by_arrival(void **state)
{
    struct store *s = *state;
    struct err e = {0};
    append(s, 0, "u", 2, TIME_NONE);
    append(s, 0, "a", 2, day);
    append(s, 0, "b", 2, day + MINUTE);
    append(s, 0, "c", 2, day + MINUTE);
    append(s, 0, "d", 2, day + 2 * MINUTE);
    struct journal_reader *r = reader(s);
    const struct {
        int64_t at, offset;
    } cases[] = {{0, 2}, {day, 2}, {day + 1, 4}, {day + MINUTE, 4}, {day + MINUTE + 1, 8}, {day + 3 * MINUTE, 10}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t offset = -1;
        assert_ok(journal_reader_seek_arrival(r, 0, cases[i].at, &offset, &e), e);
        assert_int_equal(offset, cases[i].offset);
    }
    int64_t offset = -1;
    assert_ok(journal_reader_seek_arrival(r, 1, day, &offset, &e), e);
    assert_int_equal(offset, 0);
    journal_reader_close(r);
}

/* ---- identity */

static void R15_identity(void **state)
{
    struct store *s = *state;
    struct err e = {0};
    struct journal_info info;
    struct journal_reader *r = reader(s);
    assert_ok(journal_reader_info(r, &info, &e), e);
    journal_reader_close(r);
    assert_int_equal(strlen(info.id), 32);
    assert_int_equal(strspn(info.id, "0123456789abcdef"), 32);
    assert_string_equal(info.id, journal_id(s->journal));
    assert_true(info.seed == journal_seed(s->journal));
    assert_int_equal(info.partitions, 2);
    assert_int_equal(info.created_us, (int64_t)1700000000 * US_PER_SECOND);
    assert_string_equal(info.source, "test:1");
    assert_int_equal(journal_epoch(s->journal), 0);
    struct store other = {.kind = s->kind};
    store_dir_init(&other.dir);
    other.options = s->options;
    other.options.directory = other.dir.path;
    store_open(&other);
    assert_string_not_equal(journal_id(other.journal), info.id);
    assert_true(journal_seed(other.journal) != info.seed);
    journal_close(other.journal);
    store_dir_fini(&other.dir);
    if (!store_reopen(s)) {
        return;
    }
    assert_string_equal(journal_id(s->journal), info.id);
    assert_true(journal_seed(s->journal) == info.seed);
    s->options.adopt = true;
    store_reopen(s);
    assert_int_equal(journal_epoch(s->journal), 1);
    s->options.adopt = false;
    store_reopen(s);
    assert_int_equal(journal_epoch(s->journal), 1);
    assert_string_equal(journal_id(s->journal), info.id);
}

/* ---- full */

static void R13_full_is_refused_and_nothing_lost(void **state)
{
    struct store *s = *state;
    struct err e = {0};
    journal_close(s->journal);
    store_dir_fini(&s->dir);
    store_dir_init(&s->dir);
    s->options.directory = s->dir.path;
    s->options.max_bytes = 512 << 10;
    store_open(s);
    static char noise[40000];
    struct rng rng;
    rng_init(&rng, 3);
    int64_t stored = 0;
    enum err_class c = ERR_NONE;
    while (!c && stored < 100) {
        for (size_t i = 0; i < sizeof noise; i++) {
            noise[i] = (char)rng_next(&rng);
        }
        struct record record = {.arrival_us = day + stored * MINUTE, .value = {noise, sizeof noise}};
        struct note note = {STR("position"), str_of(stored % 2 ? "1" : "0")};
        struct batch b = {.records = &record, .record_count = 1, .notes = &note, .note_count = 1};
        c = journal_append(s->journal, &b, NULL, &e);
        stored += !c;
    }
    assert_error(c, e, ERR_RETRY, EXIT_IOERR);
    assert_true(stored >= 8 && stored <= 14);
    assert_bounds(s, 0, 0, stored);
    assert_note(s, STR("position"), (stored - 1) % 2 ? "1" : "0");
    struct record again = {.arrival_us = day, .value = {noise, sizeof noise}};
    struct batch b = {.records = &again, .record_count = 1};
    for (int i = 0; i < 3; i++) {
        assert_error(journal_append(s->journal, &b, NULL, &e), e, ERR_RETRY, EXIT_IOERR);
    }
    assert_int_equal(retain(s, 0, 1 << 30, 0, 0, false), 0);
    int64_t released = retain(s, 0, 1 << 30, 0, 0, true); /* a full journal must lose something to go on */
    assert_true(released >= 1 && released <= 2);
    assert_int_equal(retain(s, 0, 1 << 30, 0, 0, true), 1); /* and more, for as long as it is not enough */
    assert_true(retain(s, 0, 5 * 40000, 0, 0, true) >= stored - 9);
    assert_ok(journal_append(s->journal, &b, NULL, &e), e); /* there is room again */
    int64_t end = stored + 1;
    store_reopen(s);
    struct journal_reader *r = reader(s);
    struct journal_page page;
    assert_ok(journal_reader_read(r, 0, end - 1, 1, &s->arena, &page, &e), e);
    assert_int_equal(page.count, 1);
    assert_true(str_eq(page.records[0].value, again.value));
    journal_reader_close(r);
}

static int64_t read_from(struct store *s, struct journal_reader *r, uint32_t partition, int64_t from, size_t max,
                         struct arena *arena)
{
    struct err e = {0};
    struct journal_page page;
    assert_ok(journal_reader_read(r, partition, from, max, arena, &page, &e), e);
    assert_true(page.count <= max && (page.count > 0 || from == 200));
    for (size_t n = 0; n < page.count; n++, from++) {
        buf_clear(&s->text);
        buf_addf(&s->text, "%c%lld", partition ? 'b' : 'a', (long long)from % 10);
        assert_int_equal(page.records[n].offset, from);
        assert_true(str_eqz(page.records[n].value, s->text.ptr));
    }
    return from;
}

/* A reader may go on, go back, change the partition or the page's size; what else is in the arena stays. */
static void pages_in_any_order(void **state)
{
    struct store *s = *state;
    AUTO(arena) struct arena other = {0};
    for (int i = 0; i < 40; i++) {
        append(s, (uint32_t)i % 2, i % 2 ? "b" : "a", 10, day);
    }
    struct journal_reader *r = reader(s);
    int64_t next = 0;
    uint32_t partition = 0;
    for (int i = 0; i < 500; i++) {
        uint64_t draw = hash_bytes(str_n((const char *)&i, sizeof i), 7);
        if (draw % 5 == 0) {
            next = (int64_t)(draw / 64 % 200);
            partition = draw / 8 % 2;
        }
        arena_reset(&s->arena);
        struct str mine = arena_dup(&s->arena, STR("mine, at the front of the arena"));
        bool held = draw % 7 == 0;
        next = read_from(s, r, partition, next, draw % 11 == 0 ? 3 : 20, held ? &s->arena : &other);
        for (int more = 0; more < 3; more++) {
            arena_reset(&other);
            next = read_from(s, r, partition, next, 20, &other);
        }
        assert_true(str_eqz(mine, "mine, at the front of the arena"));
        arena_reset(&other);
    }
    journal_reader_close(r);
}

/* ---- threads */

struct follower {
    struct store *store;
    _Atomic int64_t seen;
};

static void *follow(void *ctx)
{
    struct follower *f = ctx;
    struct err e = {0};
    struct arena arena = {0};
    struct journal_reader *r = NULL;
    uint64_t appends = 0;
    int64_t next = 0;
    ensure(journal_reader_new(f->store->journal, &r, &e) == ERR_NONE);
    while (next < 200) {
        struct journal_page page;
        arena_reset(&arena);
        ensure(journal_reader_read(r, 0, next, 7, &arena, &page, &e) == ERR_NONE);
        for (size_t i = 0; i < page.count; i++) {
            ensure(page.records[i].offset == next);
            next++;
        }
        atomic_store(&f->seen, next);
        if (page.count == 0) {
            appends = journal_wait(f->store->journal, appends, 5 * US_PER_SECOND);
        }
    }
    journal_reader_close(r);
    arena_fini(&arena);
    return NULL;
}

static void wait_and_follow_from_another_thread(void **state)
{
    struct store *s = *state;
    struct follower f = {.store = s};
    pthread_t thread;
    assert_int_equal(journal_wait(s->journal, 0, 1000), 0); /* the time is over */
    assert_int_equal(pthread_create(&thread, NULL, follow, &f), 0);
    for (int i = 0; i < 100; i++) {
        append(s, 0, "a", 2, day + i * 1000);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(atomic_load(&f.seen), 200);
    assert_int_equal(journal_wait(s->journal, 0, 0), 100);
    assert_int_equal(journal_wait(s->journal, 99, US_PER_SECOND), 100);
}

static void *wake(void *arg)
{
    journal_wake(arg);
    return NULL;
}

static void a_wait_ends_when_somebody_wakes_it(void **state)
{
    struct store *s = *state;
    pthread_t thread;
    uint64_t seen = journal_wait(s->journal, 0, 0);
    assert_int_equal(pthread_create(&thread, NULL, wake, s->journal), 0);
    assert_true(journal_wait(s->journal, seen, 60 * US_PER_SECOND) > seen);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_bounds(s, 0, 0, 0); /* and nothing was appended */
}

/* A journal that is to be made, in a directory of its own where it needs one. */
static void assert_not_made(struct store *s, struct journal_options options, int code, const char *text)
{
    AUTO(buf) struct buf path = {0};
    struct err e = {0};
    struct journal *j = NULL;
    bool memory = strcmp(s->kind, "memory") == 0;
    buf_addf(&path, "%s/other", s->dir.path);
    options.directory = path.ptr;
    options.clock = &s->dir.clock.base;
    assert_error((memory ? journal_open_memory : journal_open_sqlite)(&options, &j, &e), e, ERR_REJECT, code);
    assert_non_null(strstr(e.text, text));
    assert_null(j);
}

static void refused_with_its_bounds(void **state)
{
    struct store *s = *state;
    struct err e = {0};
    struct journal_retention nothing = {0};
    char *large = xcalloc(1, (32 << 20) + 2), source[sizeof((struct journal_info *)0)->source + 1];
    memset(large, 'x', (32 << 20) + 1);
    memset(source, 's', sizeof source);
    source[sizeof source - 1] = '\0';
    assert_not_made(s, (struct journal_options){.partitions = 1}, EXIT_NOINPUT, "there is no journal in");
    assert_not_made(s, (struct journal_options){.source = "a", .partitions = PARTITION_MAX + 1}, EXIT_CONFIG, "1 to");
    assert_not_made(s, (struct journal_options){.source = source, .partitions = 1}, EXIT_CONFIG, "name is longer than");
    struct record record = {.arrival_us = day, .value = str_of(large)};
    struct batch b = {.records = &record, .record_count = 1};
    assert_error(journal_append(s->journal, &b, NULL, &e), e, ERR_REJECT, EXIT_DATA);
    assert_non_null(strstr(e.text, "33554433 bytes"));
    struct note note = {STR("audit"), str_n(large, (1 << 20) + 1)};
    b = (struct batch){.notes = &note, .note_count = 1};
    assert_error(journal_append(s->journal, &b, NULL, &e), e, ERR_REJECT, EXIT_INTERNAL);
    assert_non_null(strstr(e.text, "note \"audit\""));
    assert_ok(journal_retain(s->journal, &nothing, NULL, &e), e);
    assert_records(s, 0, 0, 10, "");
    free(large);
}

#define EACH(test)                                                                                                     \
    {"memory " #test, test, set_up_memory, tear_down, NULL},                                                           \
    {                                                                                                                  \
        "sqlite " #test, test, set_up_sqlite, tear_down, NULL                                                          \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(bytes_come_back_exactly),
        EACH(pages_and_bounds),
        EACH(R3_notes_and_dead_letters_with_the_records),
        EACH(R12_source_ledger_folds),
        EACH(R13_retention_keeps_what_tasks_need),
        EACH(R13_retention_by_size_takes_the_oldest),
        EACH(R13_without_a_newest_arrival_nothing_is_old),
        EACH(R10_skip_leaves_a_hole),
        EACH(seek_by_arrival),
        EACH(R15_identity),
        EACH(R13_full_is_refused_and_nothing_lost),
        EACH(pages_in_any_order),
        EACH(wait_and_follow_from_another_thread),
        EACH(a_wait_ends_when_somebody_wakes_it),
        EACH(refused_with_its_bounds),
    };
    return cmocka_run_group_tests_name("journal contract", tests, NULL, NULL);
}
