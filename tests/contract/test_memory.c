/* SPDX-License-Identifier: MIT
 *
 * test_memory.c - journal and sink while SQLite runs out of memory: in a run of everything that they do, its k-th
 * allocation fails, once or from then on, for k = 1, 2, ... until none is left to fail (A7, on the side of the
 * library).
 *
 * Each call answers with ERR_NONE or with an error and a sentence; nothing leaks. Afterwards, with memory again, the
 * store opens, is whole, and holds what had been acknowledged - and what was not, whole or not at all.
 *
 * WIKITALLY_RUNS=50000 (that of a night) takes every k; else beyond the first ones only some, by WIKITALLY_SEED, with
 * fewer RUNS (make check, TSan) a quarter of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/db.h"
#include "base/hash.h"
#include "fail_memory.h"
#include "journal/journal.h"
#include "sink/results.h"
#include "store_dir.h"

#define MINUTE US_PER_MINUTE
static const int64_t day = (int64_t)1600000020 * 1000000; /* a whole minute */

enum { FIRST = 30, STEP = 80, APPENDS = 4, RECORDS = 3, COMMITS = 3 };

/* What a run got done; the rest of it failed or was not tried. */
struct run {
    struct store_dir dir;
    struct arena arena;
    int64_t acknowledged, tried; /* records of the journal, commits of the sink */
    bool failed;
};

/* True: go on. An error must say what it is; with memory there is none. */
static bool good(struct run *r, enum err_class cls, const struct err *e)
{
    if (cls == ERR_NONE) {
        return true;
    }
    if (!fail_memory_happened() || !e->text[0] || e->cls != cls || err_exit_code(e) == 0) {
        fail_msg("class %d, code %d: %s", cls, e->code, e->text);
    }
    r->failed = true;
    return false;
}

/* ---- the journal */

static bool keep_dead(const struct dead_letter *d, void *ctx)
{
    assert_true(str_eqz(d->bytes, "{"));
    ++*(int *)ctx;
    return true;
}

static bool keep_tally(const struct tally_row *t, void *ctx)
{
    assert_int_equal(t->bucket, SOURCE_JOURNALLED);
    *(int64_t *)ctx += t->count;
    return true;
}

static enum err_class append(struct run *r, struct journal *j, struct err *e)
{
    struct record records[RECORDS];
    for (int i = 0; i < RECORDS; i++) {
        records[i] = (struct record){.arrival_us = day + r->tried * MINUTE, .value = STR("{\"title\":\"Talk:River\"}")};
    }
    const struct dead_letter dead = {.stage = "source",
                                     .reason = "syntax",
                                     .position = STR("FILE:1"),
                                     .arrival_us = day,
                                     .stream_us = TIME_NONE,
                                     .retried_us = TIME_NONE,
                                     .bytes = STR("{")};
    const struct note note = {STR("position"), STR("{}")};
    const struct tally_row tally = {TALLY_ARRIVAL, day / MINUTE + r->tried, SOURCE_JOURNALLED, RECORDS};
    const struct batch b = {.records = records,
                            .record_count = RECORDS,
                            .dead = &dead,
                            .dead_count = 1,
                            .notes = &note,
                            .note_count = 1,
                            .tally = &tally,
                            .tally_count = 1};
    int64_t ends[1];
    r->tried += RECORDS;
    return journal_append(j, &b, ends, e);
}

static enum err_class journal_open(struct run *r, struct journal **ret, struct err *e)
{
    const struct journal_options options = {
        .directory = r->dir.path, .source = "test:1", .partitions = 1, .clock = &r->dir.clock.base};
    return journal_open_sqlite(&options, ret, e);
}

static void journal_write(struct run *r, struct journal *j)
{
    struct err e = {0};
    for (int i = 0; i < APPENDS && good(r, append(r, j, &e), &e); i++) {
        r->acknowledged = r->tried;
    }
    const struct journal_retention old = {.max_age_us = 1, .newest_arrival_us = day + 1};
    int64_t removed = 0;
    (void)(!r->failed && good(r, journal_dead_retried(j, 1, day, &e), &e) &&
           good(r, journal_retain(j, &old, &removed, &e), &e) && good(r, journal_skip(j, 0, 2 * RECORDS, &e), &e));
}

static void ignore(const char *text, void *ctx)
{
    (void)ctx;
    assert_true(text[0] != '\0');
}

static void journal_read(struct run *r, struct journal_reader *reader)
{
    struct err e = {0};
    struct journal_info info;
    struct journal_page page;
    struct journal_verified verified;
    struct str note;
    int64_t head, end, offset, sum = 0;
    int dead = 0;
    (void)(good(r, journal_reader_info(reader, &info, &e), &e) &&
           good(r, journal_reader_bounds(reader, 0, &head, &end, &e), &e) &&
           good(r, journal_reader_read(reader, 0, 0, 100, &r->arena, &page, &e), &e) &&
           good(r, journal_reader_seek_arrival(reader, 0, day + MINUTE, &offset, &e), &e) &&
           good(r, journal_reader_note(reader, STR("position"), &r->arena, &note, &e), &e) &&
           good(r, journal_reader_dead(reader, 0, keep_dead, &dead, &e), &e) &&
           good(r, journal_reader_tally(reader, keep_tally, &sum, &e), &e) &&
           good(r, journal_reader_verify(reader, ignore, NULL, &verified, &e), &e));
}

static void journal_work(struct run *r)
{
    struct err e = {0};
    struct journal *j = NULL;
    struct journal_reader *reader = NULL;
    if (good(r, journal_open(r, &j, &e), &e)) {
        journal_write(r, j);
        if (good(r, journal_reader_new(j, &reader, &e), &e)) {
            journal_read(r, reader);
            journal_reader_close(reader);
        }
        journal_close(j);
    }
    if (!r->failed && good(r, journal_reader_open(r->dir.path, &reader, &e), &e)) {
        journal_read(r, reader);
        journal_reader_close(reader);
    }
}

/* With memory again. A batch has RECORDS records, a dead letter and a count, or none of them. */
static void journal_holds(struct run *r)
{
    struct err e = {0};
    struct journal *j = NULL;
    struct journal_reader *reader = NULL;
    struct journal_verified verified;
    int64_t head = 0, end = 0, sum = 0;
    int dead = 0;
    assert_ok(journal_open(r, &j, &e), e);
    assert_ok(journal_reader_new(j, &reader, &e), e);
    assert_ok(journal_reader_verify(reader, ignore, NULL, &verified, &e), e);
    assert_ok(journal_reader_bounds(reader, 0, &head, &end, &e), e);
    assert_true(end >= r->acknowledged && end <= r->tried && end % RECORDS == 0);
    assert_ok(journal_reader_dead(reader, 0, keep_dead, &dead, &e), e);
    assert_ok(journal_reader_tally(reader, keep_tally, &sum, &e), e);
    assert_int_equal(dead * RECORDS, end);
    assert_int_equal(sum, end);
    journal_reader_close(reader);
    assert_ok(append(r, j, &e), e);
    journal_close(j);
}

/* ---- the sink */

static const struct column user_key = {"user_name", "user", COLUMN_TEXT, false};
static const struct column bot_key = {"bot", "bot", COLUMN_BOOL, false};
static const struct column measures[] = {{"edit_count", "count", COLUMN_INT, false},
                                         {"pages", "distinct(title)", COLUMN_INT, true}};
static const struct result_schema edits = {"edits", &user_key, 1, measures, 2, MINUTE, MINUTE, "size = 60s", 7};
static const struct result_schema bots = {"bots", &bot_key, 1, measures, 1, MINUTE, MINUTE, "by bot", 9};
static const struct result_schema *const schemas[] = {&edits, &bots};

static enum err_class generation(struct sink *s, size_t aggregation, int64_t number, struct err *e)
{
    const struct generation_begin begin = {.arrival_us = day};
    const struct generation g = {.number = number,
                                 .definition = STR("size = 60s"),
                                 .definition_hash = 7,
                                 .journal_id = STR("0123456789abcdef0123456789abcdef"),
                                 .epoch = 1,
                                 .base = number - 1,
                                 .first_window_us = WINDOW_ALL,
                                 .begins = &begin,
                                 .begin_count = 1};
    return s->ops->begin(s, aggregation, &g, true, e);
}

/* Commit n: window n gets its final row, each aggregation its line. */
static enum err_class commit(struct run *r, struct sink *s, int64_t generation, struct err *e)
{
    const int64_t n = r->tried, start = day + n * MINUTE;
    const struct cell cells[] = {{CELL_INT, n + 1, {0}}, {CELL_INT, 1, {0}}};
    const struct cell ann = {CELL_TEXT, 0, STR("Ann")}, yes = {CELL_BOOL, 1, {0}};
    const struct str sketches[] = {{0}, STR("s\0k")};
    const struct result_row rows[] = {
        {start, start + MINUTE, STR("[\"Ann\"]"), &ann, cells, sketches, n, true, n + 1},
        {start, start + MINUTE, STR("[true]"), &yes, cells, sketches, n, false, -1},
    };
    const struct tally_row tally = {TALLY_EVENT, start / MINUTE, TASK_COUNTED, 3};
    const struct torn_span torn = {start, start};
    const struct mark mark = {n, start / MINUTE, {day, true, STR("eqiad")}};
    const struct offset_span gap = {1, 2};
    struct lane_commit lanes[2];
    for (size_t i = 0; i < 2; i++) {
        lanes[i] = (struct lane_commit){.aggregation = i,
                                        .generation = i == 0 ? generation : 0,
                                        .epoch = 1,
                                        .old_version = generation && i == 0 ? 0 : n,
                                        .line = {.position = n + 1,
                                                 .has_last = true,
                                                 .last = 5,
                                                 .now = {start, true, STR("eqiad")},
                                                 .arrival_us = day,
                                                 .replay_from = n,
                                                 .first_window_us = WINDOW_ALL,
                                                 .gaps = &gap,
                                                 .gap_count = 1},
                                        .rows = &rows[i],
                                        .row_count = 1,
                                        .tally = &tally,
                                        .tally_count = 1,
                                        .torn = &torn,
                                        .torn_count = 1,
                                        .marks = &mark,
                                        .mark_count = 1};
    }
    const struct dead_letter dead = {.stage = "results",
                                     .reason = "bad-time",
                                     .arrival_us = day,
                                     .stream_us = TIME_NONE,
                                     .retried_us = TIME_NONE,
                                     .bytes = STR("{")};
    const struct task_commit c = {.lanes = lanes, .lane_count = 2, .dead = &dead, .dead_count = 1, .wall_us = day};
    r->tried++;
    return s->ops->commit(s, &c, e);
}

static enum err_class sink_open(struct run *r, struct sink **ret, struct err *e)
{
    const struct sink_options options = {.directory = r->dir.path, .task = "results", .clock = &r->dir.clock.base};
    return sink_open_sqlite(&options, ret, e);
}

static void sink_write(struct run *r, struct sink *s)
{
    struct err e = {0};
    const struct generation *list;
    struct task_line line;
    int64_t shown;
    size_t count;
    bool found;
    if (!good(r, s->ops->prepare(s, schemas, 2, &e), &e) || !good(r, generation(s, 0, 0, &e), &e) ||
        !good(r, generation(s, 1, 0, &e), &e)) {
        return;
    }
    for (int i = 0; i < COMMITS && good(r, commit(r, s, 0, &e), &e); i++) {
        r->acknowledged = r->tried;
    }
    if (!r->failed && good(r, generation(s, 0, 1, &e), &e) && good(r, commit(r, s, 1, &e), &e)) {
        r->acknowledged = r->tried;
        (void)(good(r, s->ops->generations(s, 0, &r->arena, &list, &count, &shown, &e), &e) &&
               good(r, s->ops->line(s, 0, 1, 0, &r->arena, &line, &found, &e), &e));
    }
}

static bool count_row(const struct stored_row *row, void *ctx)
{
    (void)row;
    ++*(int64_t *)ctx;
    return true;
}

static bool count_line(const struct stored_line *line, void *ctx)
{
    (void)line;
    ++*(int64_t *)ctx;
    return true;
}

static bool count_tally(const struct stored_tally *t, void *ctx)
{
    (void)t;
    ++*(int64_t *)ctx;
    return true;
}

static bool count_torn(uint32_t partition, const struct torn_span *t, void *ctx)
{
    (void)partition;
    (void)t;
    ++*(int64_t *)ctx;
    return true;
}

/* -> rows of "bots", one a commit */
static int64_t sink_read(struct run *r, struct results *results)
{
    struct err e = {0};
    const struct stored_aggregation *list;
    const struct results_query all = {NULL, TIME_NONE, TIME_NONE, -1, -1, false, 0},
                               some = {"bots", day, TIME_NONE, 0, 0, true, 10};
    struct mark mark;
    size_t count;
    int64_t rows = 0, n = 0;
    bool found;
    int dead = 0;
    (void)(good(r, results_aggregations(results, &r->arena, &list, &count, &e), &e) &&
           good(r, results_rows(results, &all, count_row, &n, &e), &e) &&
           good(r, results_rows(results, &some, count_row, &rows, &e), &e) &&
           good(r, results_tally(results, "edits", count_tally, &n, &e), &e) &&
           good(r, results_lines(results, count_line, &n, &e), &e) &&
           good(r, results_torn(results, "bots", count_torn, &n, &e), &e) &&
           good(r, results_mark(results, "bots", 0, 0, day + MINUTE, &r->arena, &mark, &found, &e), &e) &&
           good(r, results_dead(results, 0, keep_dead, &dead, &e), &e));
    return rows;
}

static void sink_work(struct run *r)
{
    struct err e = {0};
    struct sink *s = NULL;
    struct results *results = NULL;
    if (good(r, sink_open(r, &s, &e), &e)) {
        sink_write(r, s);
        s->ops->close(s);
    }
    if (!r->failed && good(r, results_open(r->dir.path, &results, &e), &e)) {
        sink_read(r, results);
        results_close(results);
    }
}

/* A row, a line's version and a dead letter for each commit, or none of them. */
static void sink_holds(struct run *r)
{
    struct err e = {0};
    struct sink *s = NULL;
    struct results *results = NULL;
    struct task_line line = {0};
    bool found = false;
    int dead = 0;
    assert_ok(sink_open(r, &s, &e), e);
    assert_ok(s->ops->prepare(s, schemas, 2, &e), e);
    assert_ok(s->ops->line(s, 1, 0, 0, &r->arena, &line, &found, &e), e);
    assert_true(line.version >= r->acknowledged && line.version <= r->tried);
    assert_true(found == (line.version > 0));
    s->ops->close(s);
    assert_ok(results_open(r->dir.path, &results, &e), e);
    assert_int_equal(sink_read(r, results), line.version);
    assert_ok(results_dead(results, 0, keep_dead, &dead, &e), e);
    assert_int_equal(dead, line.version);
    results_close(results);
}

/* ---- every allocation */

/* -> was there a k-th one? */
static bool torture(void (*work)(struct run *), void (*holds)(struct run *), int64_t at, bool stays)
{
    struct run r = {0};
    store_dir_init(&r.dir);
    fail_memory_plan(at, stays);
    work(&r);
    const bool happened = fail_memory_happened();
    assert_true(happened || !r.failed);
    fail_memory_plan(0, false);
    holds(&r);
    store_dir_fini(&r.dir);
    arena_fini(&r.arena);
    return happened;
}

static void torture_all(void (*work)(struct run *), void (*holds)(struct run *))
{
    const char *runs = getenv("WIKITALLY_RUNS"), *given = getenv("WIKITALLY_SEED");
    const uint64_t seed = given ? strtoull(given, NULL, 0) : hash_random_seed();
    const bool all = runs && strtoll(runs, NULL, 10) >= 50000;
    const uint64_t step = all ? 1 : runs ? 4 * STEP : STEP;
    struct rng rng;
    int64_t at = 1;
    int count = 0;
    rng_init(&rng, seed);
    print_message("# seed %llu (WIKITALLY_SEED repeats it)\n", (unsigned long long)seed);
    while (torture(work, holds, at, count % 2)) {
        if (all) {
            torture(work, holds, at, count % 2 == 0);
        }
        at += at < FIRST ? 1 : 1 + (int64_t)rng_below(&rng, step);
        count++;
    }
    print_message("# %d of %lld allocations failed\n", count, (long long)at);
    assert_true(count > 100);
}

static void A7_journal_without_memory(void **state)
{
    (void)state;
    torture_all(journal_work, journal_holds);
}

static void A7_sink_without_memory(void **state)
{
    (void)state;
    torture_all(sink_work, sink_holds);
}

/* ---- a transaction whose statements must be prepared anew on the way */

static void transaction_work(struct run *r)
{
    static const struct db_kind kind = {
        .what = "test",
        .application_id = 0x77747374,
        .version = 1,
        .page_bytes = 4096,
        .schema = "CREATE TABLE t (a INTEGER PRIMARY KEY, b NOT NULL); CREATE TABLE log (a NOT NULL);"
                  "CREATE TRIGGER t_insert AFTER INSERT ON t BEGIN INSERT INTO log VALUES (NEW.a); END;",
    };
    char file[160];
    struct err e = {0};
    struct db db = {0};
    sqlite3_stmt *insert = NULL;
    snprintf(file, sizeof file, "%s/test.db", r->dir.path);
    if (good(r, db_open_writer(&db, file, &kind, NULL, NULL, &e), &e) &&
        good(r, db_prepare(&db, "INSERT INTO t (b) VALUES (1)", &insert, &e), &e) && good(r, db_begin(&db, &e), &e)) {
        enum err_class c = db_run(&db, insert, &e);
        c = c ? c : db_exec(&db, "CREATE TABLE later (a)", &e);
        for (int i = 1; i < RECORDS && !c; i++) {
            c = db_run(&db, insert, &e);
        }
        if (good(r, db_end(&db, c, &e), &e)) {
            r->acknowledged = RECORDS;
        }
    }
    sqlite3_finalize(insert);
    db_close(&db);
}

static void transaction_holds(struct run *r)
{
    char file[160];
    sqlite3 *handle = NULL;
    sqlite3_stmt *s = NULL;
    snprintf(file, sizeof file, "%s/test.db", r->dir.path);
    assert_int_equal(sqlite3_open(file, &handle), SQLITE_OK);
    if (sqlite3_prepare_v2(handle, "SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM log)", -1, &s, NULL) ==
        SQLITE_OK) {
        assert_int_equal(sqlite3_step(s), SQLITE_ROW);
        assert_int_equal(sqlite3_column_int64(s, 0), r->acknowledged);
        assert_int_equal(sqlite3_column_int64(s, 1), r->acknowledged);
    } else {
        assert_int_equal(r->acknowledged, 0); /* there is no file yet */
    }
    sqlite3_finalize(s);
    sqlite3_close(handle);
}

/* Each k, in every run: one of a few hundred is the one that SQLite answers by undoing the transaction silently. */
static void A7_transaction_without_memory(void **state)
{
    (void)state;
    int64_t at = 1;
    while (torture(transaction_work, transaction_holds, at, false)) {
        torture(transaction_work, transaction_holds, at, true);
        at++;
    }
    assert_true(at > 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(A7_journal_without_memory),
        cmocka_unit_test(A7_sink_without_memory),
        cmocka_unit_test(A7_transaction_without_memory),
    };
    fail_memory_install();
    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
