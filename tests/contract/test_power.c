/* SPDX-License-Identifier: MIT
 *
 * Power cuts under journal and results (reliability.md A8): at random moments of random runs the disk is left with what
 * was synced and any part of the rest (power_vfs.h), and the real code opens it. Whatever was acknowledged is there,
 * nothing is there by half, and the results do not stand for records that the journal lost. Every second run begins in
 * what a cut left, so recovery is cut too.
 *
 * WIKITALLY_RUNS: how many cuts (300); WIKITALLY_SEED repeats them. A kill -9 proves nothing of this: the kernel keeps
 * what a process wrote. Seeded fault that this notices: C-S1.sync. (A missing sync of the directory is not one: the
 * first commit makes a write-ahead log, and SQLite syncs the directory for that.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "journal/journal.h"
#include "power_vfs.h"
#include "sink/results.h"
#include "store_dir.h"

enum { WINDOWS = 5, RECORDS_MAX = 20, VALUE_MAX = 4000, CUTS_PER_RUN = 6, OPERATIONS = 24, LARGE_BYTES = 18 << 20 };
enum doing { NOTHING, OPENING, APPENDING, RETAINING, COMMITTING, CLOSING, DOINGS };
static const char *const doing_names[DOINGS] = {"nothing",   "opening",    "appending",
                                                "retaining", "committing", "closing"};
static const int64_t day = (int64_t)1600000020 * 1000000;
static const struct column key = {"word", "word", COLUMN_TEXT, false}, count = {"n", "count", COLUMN_INT, false};
static const struct result_schema schema = {"words", &key, 1, &count, 1, US_PER_MINUTE, US_PER_MINUTE, "size = 60s", 7};

/* What has been acknowledged, and what is under way: that may be there too, as a whole. */
struct promise {
    bool journal, results; /* opened once */
    char id[33];
    int64_t head, end, commits; /* commits of the results: also the version of the line */
    enum doing doing;
    int64_t next_end;
};

static struct {
    struct rng rng;
    struct promise promised;
    struct power_cut cuts[CUTS_PER_RUN];
    struct promise at_cut[CUTS_PER_RUN];
    size_t cut_count;
    int64_t until_cut; /* events */
    int64_t seen[DOINGS];
} run;

/* ---- the workload */

static void maybe_cut(void)
{
    if (run.cut_count < CUTS_PER_RUN && run.until_cut-- <= 0) {
        run.at_cut[run.cut_count] = run.promised;
        run.seen[run.promised.doing]++;
        power_take(&run.cuts[run.cut_count++], &run.rng);
        run.until_cut = (int64_t)rng_below(&run.rng, 60);
    }
}

/* A record's bytes follow from its offset, and do not compress. */
static size_t value_of(int64_t offset, size_t len_max, char *out)
{
    struct rng rng;
    rng_init(&rng, (uint64_t)offset);
    size_t len = 1 + rng_below(&rng, len_max);
    for (size_t i = 0; i < len; i++) {
        out[i] = (char)rng_next(&rng);
    }
    return len;
}

static void append(struct journal *j)
{
    static char values[RECORDS_MAX][VALUE_MAX], text[24];
    struct err e = {0};
    struct record records[RECORDS_MAX];
    size_t n = 1 + rng_below(&run.rng, RECORDS_MAX);
    int64_t end = run.promised.end;
    for (size_t i = 0; i < n; i++) {
        size_t len = value_of(end + (int64_t)i, VALUE_MAX, values[i]);
        records[i] = (struct record){.arrival_us = day + end * US_PER_SECOND, .value = {values[i], len}};
    }
    snprintf(text, sizeof text, "%lld", (long long)end + (long long)n);
    struct note note = {STR("position"), str_of(text)};
    struct tally_row tally = {TALLY_EVENT, TALLY_NO_TIME, SOURCE_JOURNALLED, (int64_t)n};
    struct batch b = {
        .records = records, .record_count = n, .notes = &note, .note_count = 1, .tally = &tally, .tally_count = 1};
    run.promised.next_end = end + (int64_t)n;
    run.promised.doing = APPENDING;
    assert_ok(journal_append(j, &b, NULL, &e), e);
    run.promised.end = run.promised.next_end;
    run.promised.doing = NOTHING;
}

/* As much in one note as moves the log into the file after the commit. */
static void append_large(struct journal *j)
{
    struct err e = {0};
    struct str text = {xcalloc(1, 1 << 20), 1 << 20};
    struct note notes[LARGE_BYTES >> 20];
    char keys[LARGE_BYTES >> 20][16];
    for (size_t i = 0; i < sizeof notes / sizeof *notes; i++) {
        snprintf(keys[i], sizeof keys[i], "large%zu", i);
        notes[i] = (struct note){str_of(keys[i]), text};
    }
    struct batch b = {.notes = notes, .note_count = sizeof notes / sizeof *notes};
    run.promised.doing = APPENDING;
    run.promised.next_end = run.promised.end;
    assert_ok(journal_append(j, &b, NULL, &e), e);
    run.promised.doing = NOTHING;
    free((void *)(uintptr_t)text.ptr);
}

static void retain(struct journal *j)
{
    struct err e = {0};
    struct journal_retention r = {.max_bytes = (int64_t)(1 + rng_below(&run.rng, 200000))};
    struct journal_reader *reader = NULL;
    int64_t removed = 0, end;
    run.promised.doing = RETAINING;
    assert_ok(journal_retain(j, &r, &removed, &e), e);
    assert_ok(journal_reader_new(j, &reader, &e), e);
    assert_ok(journal_reader_bounds(reader, 0, &run.promised.head, &end, &e), e);
    journal_reader_close(reader);
    run.promised.doing = NOTHING;
}

static void commit(struct sink *s)
{
    struct err e = {0};
    int64_t n = run.promised.commits + 1;
    struct cell word = {CELL_TEXT, 0, STR("a")}, number = {CELL_INT, n, {0}};
    struct result_row row = {.window_start_us = day + n % WINDOWS * US_PER_MINUTE,
                             .window_end_us = day + (n % WINDOWS + 1) * US_PER_MINUTE,
                             .key = STR("[\"a\"]"),
                             .keys = &word,
                             .measures = &number,
                             .revision = n,
                             .closed_by = -1};
    struct tally_row tally = {TALLY_EVENT, TALLY_NO_TIME, TASK_COUNTED, 1};
    struct lane_commit lane = {.old_version = n - 1,
                               .line = {.position = run.promised.end,
                                        .now = {TIME_NONE, false, {NULL, 0}},
                                        .arrival_us = day,
                                        .replay_from = run.promised.end,
                                        .before = {TIME_NONE, false, {NULL, 0}},
                                        .first_window_us = WINDOW_ALL},
                               .rows = &row,
                               .row_count = 1,
                               .tally = &tally,
                               .tally_count = 1};
    struct task_commit c = {.lanes = &lane, .lane_count = 1, .wall_us = day};
    run.promised.doing = COMMITTING;
    assert_ok(s->ops->commit(s, &c, &e), e);
    run.promised.commits = n;
    run.promised.doing = NOTHING;
}

static struct journal *journal_open(struct store_dir *d)
{
    struct err e = {0};
    struct journal *j = NULL;
    struct journal_options o = {.directory = d->path, .source = "power", .partitions = 1, .clock = &d->clock.base};
    assert_ok(journal_open_sqlite(&o, &j, &e), e);
    return j;
}

static struct sink *sink_open(struct store_dir *d)
{
    struct err e = {0};
    struct sink *s = NULL;
    const struct result_schema *schemas[] = {&schema};
    struct sink_options o = {.directory = d->path, .task = "results", .clock = &d->clock.base};
    struct generation g = {
        .definition = STR("size = 60s"), .journal_id = STR("x"), .base = -1, .first_window_us = WINDOW_ALL};
    assert_ok(sink_open_sqlite(&o, &s, &e), e);
    assert_ok(s->ops->prepare(s, schemas, 1, &e), e);
    assert_ok(s->ops->begin(s, 0, &g, true, &e), e); /* a repeat is harmless */
    return s;
}

static void work(struct store_dir *d)
{
    bool large = rng_below(&run.rng, 8) == 0;
    run.promised.doing = OPENING;
    struct journal *j = journal_open(d);
    memcpy(run.promised.id, journal_id(j), sizeof run.promised.id);
    run.promised.journal = true;
    struct sink *s = sink_open(d);
    run.promised.results = true;
    run.promised.doing = NOTHING;
    for (uint64_t left = 1 + rng_below(&run.rng, OPERATIONS); left-- > 0;) {
        switch (rng_below(&run.rng, 8)) {
        case 0:
            retain(j);
            break;
        case 1:
        case 2:
        case 3:
            commit(s);
            break;
        default:
            append(j);
        }
    }
    if (large) {
        append_large(j);
        append(j);
    }
    run.promised.doing = CLOSING;
    s->ops->close(s);
    journal_close(j);
    run.promised.doing = NOTHING;
}

/* ---- what must be there */

static void tell_problem(const char *text, void *ctx)
{
    (void)ctx;
    fail_msg("verify: %s", text);
}

static bool add_tally(const struct tally_row *row, void *ctx)
{
    *(int64_t *)ctx += row->count;
    return true;
}

static void check_records(struct journal_reader *r, int64_t head, int64_t end)
{
    struct err e = {0};
    AUTO(arena) struct arena arena = {0};
    while (head < end) {
        struct journal_page page;
        arena_reset(&arena);
        assert_ok(journal_reader_read(r, 0, head, 100, &arena, &page, &e), e);
        assert_true(page.count > 0);
        for (size_t i = 0; i < page.count; i++, head++) {
            char value[VALUE_MAX];
            size_t len = value_of(head, VALUE_MAX, value);
            assert_int_equal(page.records[i].offset, head);
            assert_true(str_eq(page.records[i].value, str_n(value, len)));
        }
    }
}

/* -> the end that was found */
static int64_t check_journal(struct store_dir *d, const struct promise *p)
{
    struct err e = {0};
    AUTO(arena) struct arena arena = {0};
    struct journal_verified verified;
    struct journal_reader *r = NULL;
    struct str note;
    int64_t head, end, noted = 0, tally = 0;
    struct journal *j = journal_open(d);
    assert_true(!p->journal || strcmp(journal_id(j), p->id) == 0);
    assert_ok(journal_reader_new(j, &r, &e), e);
    assert_ok(journal_reader_bounds(r, 0, &head, &end, &e), e);
    assert_true(end == p->end || (p->doing == APPENDING && end == p->next_end));
    assert_true(head == p->head || (p->doing == RETAINING && head > p->head && head <= end));
    check_records(r, head, end);
    assert_ok(journal_reader_verify(r, tell_problem, NULL, &verified, &e), e);
    assert_int_equal(verified.records, end - head);
    assert_ok(journal_reader_note(r, STR("position"), &arena, &note, &e), e);
    assert_true(note.ptr == NULL ? end == 0 : str_to_int64(note, &noted) && noted == end);
    assert_ok(journal_reader_tally(r, add_tally, &tally, &e), e);
    assert_int_equal(tally, end);
    journal_reader_close(r);
    run.promised = (struct promise){.journal = true, .head = head, .end = end};
    memcpy(run.promised.id, journal_id(j), sizeof run.promised.id);
    journal_close(j);
    return end;
}

struct found {
    int64_t version, position, tally, rows;
};

static bool see_line(const struct stored_line *l, void *ctx)
{
    ((struct found *)ctx)->version = l->line.version;
    ((struct found *)ctx)->position = l->line.position;
    return true;
}

static bool see_tally(const struct stored_tally *t, void *ctx)
{
    ((struct found *)ctx)->tally += t->row.count;
    return true;
}

/* Each window has the last value that was committed to it. */
static bool see_row(const struct stored_row *r, void *ctx)
{
    struct found *f = ctx;
    int64_t n = r->row.measures[0].number, window = (r->row.window_start_us - day) / US_PER_MINUTE;
    f->rows += n % WINDOWS == window && n == r->row.revision && n <= f->version && n > f->version - WINDOWS;
    return true;
}

static void check_results(struct store_dir *d, const struct promise *p, int64_t end)
{
    struct err e = {0};
    struct found f = {0};
    struct results *r = NULL;
    const struct results_query all = {NULL, TIME_NONE, TIME_NONE, -1, -1, false, 0};
    struct sink *s = sink_open(d); /* recovers, as a start does */
    s->ops->close(s);
    assert_ok(results_open(d->path, &r, &e), e);
    assert_ok(results_lines(r, see_line, &f, &e), e);
    assert_ok(results_tally(r, "words", see_tally, &f, &e), e);
    assert_ok(results_rows(r, &all, see_row, &f, &e), e);
    results_close(r);
    assert_true(f.version == p->commits || (p->doing == COMMITTING && f.version == p->commits + 1));
    assert_true(f.position <= end);
    assert_int_equal(f.tally, f.version);
    assert_int_equal(f.rows, f.version < WINDOWS ? f.version : WINDOWS);
    run.promised.results = true;
    run.promised.commits = f.version;
}

/* ---- */

static void check_cut(const struct power_cut *cut, const struct promise *p, struct store_dir *d)
{
    store_dir_init(d);
    power_cut_write(cut, d->path);
    int64_t end = check_journal(d, p);
    check_results(d, p, end);
}

/* One run and all its cuts; leaves in `d` a directory to begin the next one with. */
static void run_and_cut(struct store_dir *d)
{
    run.cut_count = 0;
    run.until_cut = (int64_t)rng_below(&run.rng, 80);
    power_on(d->path, maybe_cut);
    work(d);
    power_off();
    size_t next = run.cut_count > 0 ? rng_below(&run.rng, run.cut_count) : 0;
    store_dir_fini(d);
    struct promise begin = {0};
    for (size_t i = 0; i < run.cut_count; i++) {
        struct store_dir here;
        check_cut(&run.cuts[i], &run.at_cut[i], &here);
        if (i == next && rng_below(&run.rng, 2)) {
            *d = here;
            begin = run.promised;
        } else {
            store_dir_fini(&here);
        }
        power_cut_fini(&run.cuts[i]);
    }
    if (!begin.journal) {
        store_dir_init(d);
    }
    run.promised = begin;
}

enum { CUTS = SANITIZED ? 100 : 300 };

static void A8_what_was_acknowledged_survives_a_power_cut(void **state)
{
    (void)state;
    const char *given = getenv("WIKITALLY_SEED"), *runs = getenv("WIKITALLY_RUNS");
    uint64_t seed = given ? strtoull(given, NULL, 10) : hash_random_seed();
    long wanted = runs ? strtol(runs, NULL, 10) : CUTS, done = 0;
    print_message("# WIKITALLY_SEED=%llu, %ld cuts\n", (unsigned long long)seed, wanted);
    if (access("/dev/shm", W_OK) == 0) {
        setenv("TMPDIR", "/dev/shm", 1); /* what is certain is kept in the test: the disk need not be one */
    }
    rng_init(&run.rng, seed);
    struct store_dir d;
    store_dir_init(&d);
    run.promised = (struct promise){0};
    while (done < wanted) {
        run_and_cut(&d);
        done += (long)run.cut_count;
    }
    store_dir_fini(&d);
    for (int i = 0; i < DOINGS; i++) {
        print_message("# cut while %s: %lld\n", doing_names[i], (long long)run.seen[i]);
        assert_true(run.seen[i] > 0 || i == NOTHING || wanted < 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(A8_what_was_acknowledged_survives_a_power_cut)};
    return cmocka_run_group_tests_name("power", tests, NULL, NULL);
}
