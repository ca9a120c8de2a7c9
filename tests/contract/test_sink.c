/* SPDX-License-Identifier: MIT
 *
 * One suite over every sink (sink.h, results.h). A sink is opened, its task "restarts" (for memory the same sink is
 * prepared again), and what readers see is compared. The last test is a random schedule against a plain model.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"
#include "sink/results.h"
#include "store_dir.h"

#define SECOND US_PER_SECOND
#define MINUTE US_PER_MINUTE
static const int64_t day = (int64_t)1600000020 * 1000000; /* a whole minute */

static const struct column user_key = {"user_name", "user", COLUMN_TEXT, false};
static const struct column two_keys[] = {{"user_name", "user", COLUMN_TEXT, false}, {"bot", "bot", COLUMN_BOOL, false}};
static const struct column measures[] = {{"edit_count", "count", COLUMN_INT, false},
                                         {"pages", "distinct(title)", COLUMN_INT, true}};
static const struct result_schema edits = {"user_edit_counts", &user_key,    1, measures, 2, 60 * SECOND,
                                           60 * SECOND,        "size = 60s", 7};
static const struct result_schema wider = {"user_edit_counts",     two_keys, 2, measures, 2, 60 * SECOND, 60 * SECOND,
                                           "size = 60s\nkeys = 2", 8};
static const struct result_schema bots = {"bots", &two_keys[1], 1, measures, 1, 60 * SECOND, 60 * SECOND, "by bot", 9};

struct store {
    const char *kind;
    struct store_dir dir;
    struct sink *sink;
    const struct result_schema *schemas[2];
};

static void store_open(struct store *s)
{
    struct err e = {0};
    struct sink_options o = {.directory = s->dir.path, .task = "results", .clock = &s->dir.clock.base};
    if (s->sink == NULL) {
        bool memory = strcmp(s->kind, "memory") == 0;
        assert_ok((memory ? sink_open_memory : sink_open_sqlite)(&o, &s->sink, &e), e);
        assert_string_equal(s->sink->ops->name, s->kind);
    }
    assert_ok(s->sink->ops->prepare(s->sink, s->schemas, 2, &e), e);
}

/* What a restart of the task does to the store. */
static void store_reopen(struct store *s)
{
    if (strcmp(s->kind, "memory") != 0) {
        s->sink->ops->close(s->sink);
        s->sink = NULL;
    }
    store_open(s);
}

static struct results *store_results(struct store *s)
{
    struct err e = {0};
    struct results *r = NULL;
    assert_ok(strcmp(s->kind, "memory") == 0 ? results_of_memory(s->sink, &r, &e) : results_open(s->dir.path, &r, &e),
              e);
    return r;
}

static void generation_make(struct store *s, size_t aggregation, int64_t number, int64_t base, int64_t first, bool show)
{
    struct err e = {0};
    struct generation_begin begins[2] = {{.position = 5, .has_last = true, .last = UINT64_MAX, .arrival_us = TIME_NONE},
                                         {.position = 0, .arrival_us = day, .target = 9}};
    struct generation g = {.number = number,
                           .definition = STR("size = 60s"),
                           .definition_hash = UINT64_MAX - (uint64_t)number,
                           .journal_id = STR("0123456789abcdef0123456789abcdef"),
                           .epoch = 1,
                           .base = base,
                           .first_window_us = first,
                           .begins = begins,
                           .begin_count = 2};
    assert_ok(s->sink->ops->begin(s->sink, aggregation, &g, show, &e), e);
    assert_ok(s->sink->ops->begin(s->sink, aggregation, &g, show, &e), e); /* a repeat is harmless */
}

static int set_up_kind(void **state, const char *kind)
{
    struct store *s = xcalloc(1, sizeof *s);
    s->kind = kind;
    s->schemas[0] = &edits;
    s->schemas[1] = &bots;
    store_dir_init(&s->dir);
    store_open(s);
    generation_make(s, 0, 0, -1, WINDOW_ALL, true);
    generation_make(s, 1, 0, -1, WINDOW_ALL, true);
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
    s->sink->ops->close(s->sink);
    store_dir_fini(&s->dir);
    free(s);
    return 0;
}

/* ---- building commits */

struct simple_row {
    struct cell keys[2], measures[2];
    struct str sketches[2];
    struct result_row row;
};

static struct result_row row_of(struct simple_row *r, int64_t start, const char *user, int64_t count, int64_t revision,
                                bool final)
{
    static char texts[8][64];
    static int turn;
    char *key = texts[turn++ % 8];
    snprintf(key, sizeof texts[0], "[\"%s\"]", user);
    *r = (struct simple_row){.keys = {{CELL_TEXT, 0, str_of(user)}, {CELL_BOOL, 1, {0}}},
                             .measures = {{CELL_INT, count, {0}}, {CELL_INT, count, {0}}},
                             .sketches = {{0}, STR("s\0k")}};
    r->row = (struct result_row){.window_start_us = start,
                                 .window_end_us = start + 60 * SECOND,
                                 .key = str_of(key),
                                 .keys = r->keys,
                                 .measures = r->measures,
                                 .sketches = r->sketches,
                                 .revision = revision,
                                 .final = final,
                                 .closed_by = final ? revision + 1 : -1};
    return r->row;
}

static struct task_line line_of(int64_t position)
{
    return (struct task_line){.position = position,
                              .has_last = true,
                              .last = 0xf000000000000001U,
                              .now = {day, true, STR("eqiad")},
                              .arrival_us = day,
                              .replay_from = position - 1,
                              .before = {TIME_NONE, false, {NULL, 0}},
                              .first_window_us = WINDOW_ALL};
}

static enum err_class commit_rows(struct store *s, size_t aggregation, int64_t generation, int64_t old_version,
                                  const struct result_row *rows, size_t count, bool show, struct err *e)
{
    struct lane_commit lane = {.aggregation = aggregation,
                               .generation = generation,
                               .epoch = 1,
                               .old_version = old_version,
                               .line = line_of(old_version + 10),
                               .rows = rows,
                               .row_count = count,
                               .show = show};
    struct task_commit commit = {.lanes = &lane, .lane_count = 1, .wall_us = day};
    return s->sink->ops->commit(s->sink, &commit, e);
}

/* ---- what readers see, as text: one line a row */

struct seen {
    struct buf text;
    int64_t rows, stop_after;
};

static bool see_row(const struct stored_row *r, void *ctx)
{
    struct seen *seen = ctx;
    buf_addf(&seen->text, "%s g%lld p%u %lld %.*s=%lld r%lld.%lld%s%s\n", r->aggregation, (long long)r->generation,
             r->partition, (long long)((r->row.window_start_us - day) / MINUTE), STR_ARG(r->row.key),
             (long long)r->row.measures[0].number, (long long)r->epoch, (long long)r->row.revision,
             r->row.final ? " final" : "", r->torn ? " torn" : "");
    return ++seen->rows != seen->stop_after;
}

static void assert_seen_query(struct store *s, const struct results_query *q, const char *expected)
{
    struct err e = {0};
    struct results *r = store_results(s);
    struct seen seen = {0};
    assert_ok(results_rows(r, q, see_row, &seen, &e), e);
    results_close(r);
    assert_string_equal(seen.text.ptr ? seen.text.ptr : "", expected);
    buf_fini(&seen.text);
}

static const struct results_query everything = {NULL, TIME_NONE, TIME_NONE, -1, -1, false, 0};

static void assert_seen(struct store *s, const char *expected)
{
    assert_seen_query(s, &everything, expected);
}

static bool see_tally(const struct stored_tally *t, void *ctx)
{
    buf_addf(ctx, "%s %s p%u %d %lld %u=%lld\n", t->task, t->aggregation, t->partition, t->row.by,
             t->row.minute == TALLY_NO_TIME ? -1
             : t->row.minute == TALLY_OLDER ? -2
             : t->row.minute == TALLY_AHEAD ? -3
                                            : (long long)(t->row.minute - day / MINUTE),
             t->row.bucket, (long long)t->row.count);
    return true;
}

static void assert_tally(struct store *s, const char *expected)
{
    struct err e = {0};
    struct results *r = store_results(s);
    struct buf text = {0};
    assert_ok(results_tally(r, "user_edit_counts", see_tally, &text, &e), e);
    results_close(r);
    assert_string_equal(text.ptr ? text.ptr : "", expected);
    buf_fini(&text);
}

/* ---- the tests */

static void R8_higher_epoch_revision_final_wins(void **state)
{
    struct store *s = *state;
    struct err e = {0};
    struct simple_row r;
    struct result_row row = row_of(&r, day, "Ann", 1, 5, false);
    assert_ok(commit_rows(s, 0, 0, 0, &row, 1, false, &e), e);
    row = row_of(&r, day, "Ann", 2, 4, true); /* older: refused, final or not */
    assert_ok(commit_rows(s, 0, 0, 1, &row, 1, false, &e), e);
    assert_seen(s, "user_edit_counts g0 p0 0 [\"Ann\"]=1 r1.5\n");
    row = row_of(&r, day, "Ann", 1, 5, true); /* final at the same revision replaces */
    assert_ok(commit_rows(s, 0, 0, 2, &row, 1, false, &e), e);
    assert_seen(s, "user_edit_counts g0 p0 0 [\"Ann\"]=1 r1.5 final\n");
    row = row_of(&r, day, "Ann", 9, 5, false); /* and is not replaced by an update */
    assert_ok(commit_rows(s, 0, 0, 3, &row, 1, false, &e), e);
    assert_seen(s, "user_edit_counts g0 p0 0 [\"Ann\"]=1 r1.5 final\n");
    row = row_of(&r, day, "Ann", 3, 6, true);
    assert_ok(commit_rows(s, 0, 0, 4, &row, 1, false, &e), e);
    struct lane_commit lane = {.epoch = 2, .old_version = 5, .line = line_of(20), .rows = &row, .row_count = 1};
    struct task_commit commit = {.lanes = &lane, .lane_count = 1, .wall_us = day};
    row = row_of(&r, day, "Ann", 4, 1, false); /* a higher epoch stands above every revision */
    assert_ok(s->sink->ops->commit(s->sink, &commit, &e), e);
    store_reopen(s);
    assert_seen(s, "user_edit_counts g0 p0 0 [\"Ann\"]=4 r2.1\n");
}

static void R11_repeat_is_harmless(void **state)
{
    struct store *s = *state;
    struct err e = {0};
    struct simple_row r;
    struct result_row row = row_of(&r, day, "Ann", 1, 5, false);
    struct tally_row tally = {TALLY_EVENT, day / MINUTE, TASK_COUNTED, 3};
    struct dead_letter dead = {.stage = "results", .reason = "syntax", .bytes = STR("{")};
    struct lane_commit lane = {
        .epoch = 1, .line = line_of(6), .rows = &row, .row_count = 1, .tally = &tally, .tally_count = 1};
    struct task_commit commit = {.lanes = &lane, .lane_count = 1, .dead = &dead, .dead_count = 1, .wall_us = day};
    assert_ok(s->sink->ops->commit(s->sink, &commit, &e), e);
    assert_error(s->sink->ops->commit(s->sink, &commit, &e), e, ERR_FATAL, EXIT_FENCED);
    lane.old_version = 1; /* the same rows with a line that moved: the row is not counted twice, it is a value */
    lane.tally_count = 0;
    commit.dead_count = 0;
    assert_ok(s->sink->ops->commit(s->sink, &commit, &e), e);
    assert_seen(s, "user_edit_counts g0 p0 0 [\"Ann\"]=1 r1.5\n");
    assert_tally(s, "results user_edit_counts p0 0 0 5=3\n");
}

static void R11_stale_version_is_fenced_and_nothing_written(void **state)
{
    struct store *s = *state;
    struct err e = {0};
    struct simple_row r[2];
    struct result_row rows[2] = {row_of(&r[0], day, "Ann", 1, 5, false), row_of(&r[1], day, "Bob", 1, 5, false)};
    assert_ok(commit_rows(s, 1, 0, 0, rows, 1, false, &e), e);
    struct lane_commit lanes[2] = {
        {.epoch = 1, .line = line_of(6), .rows = rows, .row_count = 2},
        {.aggregation = 1, .epoch = 1, .old_version = 0, .line = line_of(6), .rows = rows, .row_count = 2}};
    struct task_commit commit = {.lanes = lanes, .lane_count = 2, .wall_us = day};
    assert_error(s->sink->ops->commit(s->sink, &commit, &e), e, ERR_FATAL, EXIT_FENCED);
    assert_seen(s, "bots g0 p0 0 [\"Ann\"]=1 r1.5\n");
    lanes[1].old_version = 1; /* being fenced is no end: the right owner goes on */
    assert_ok(s->sink->ops->commit(s->sink, &commit, &e), e);
    lanes[0].old_version = 2; /* a version that never was */
    assert_error(s->sink->ops->commit(s->sink, &commit, &e), e, ERR_FATAL, EXIT_FENCED);
}

static void R15_older_generation_is_fenced(void **state)
{
    struct store *s = *state;
    struct err e = {0};
    struct simple_row r;
    struct result_row row = row_of(&r, day, "Ann", 1, 5, false);
    assert_ok(commit_rows(s, 0, 0, 0, &row, 1, false, &e), e);
    generation_make(s, 0, 1, 0, WINDOW_ALL, false);
    row = row_of(&r, day, "Ann", 2, 6, false);
    assert_error(commit_rows(s, 0, 0, 1, &row, 1, false, &e), e, ERR_FATAL, EXIT_FENCED);
    assert_error(commit_rows(s, 0, 2, 0, &row, 1, false, &e), e, ERR_FATAL, EXIT_FENCED);
    assert_seen(s, "user_edit_counts g0 p0 0 [\"Ann\"]=1 r1.5\n");
    struct generation other = {.number = 1, .definition = STR("other"), .journal_id = STR("x"), .base = 0};
    assert_error(s->sink->ops->begin(s->sink, 0, &other, true, &e), e, ERR_FATAL, EXIT_FENCED);
    other.number = 3;
    assert_error(s->sink->ops->begin(s->sink, 0, &other, true, &e), e, ERR_FATAL, EXIT_FENCED);
}

static void R15_view_switches_by_window(void **state)
{
    struct store *s = *state;
    struct err e = {0};
    struct simple_row r[3];
    struct result_row rows[3];
    for (int i = 0; i < 3; i++) {
        rows[i] = row_of(&r[i], day + i * MINUTE, "Ann", 1, i, false);
    }
    assert_ok(commit_rows(s, 0, 0, 0, rows, 3, false, &e), e);
    generation_make(s, 0, 1, 0, day + MINUTE, false);
    for (int i = 0; i < 3; i++) {
        rows[i] = row_of(&r[i], day + i * MINUTE, "Ann", 10, i, false);
    }
    assert_ok(commit_rows(s, 0, 1, 0, rows, 3, false, &e), e);
    assert_seen(s, "user_edit_counts g0 p0 0 [\"Ann\"]=1 r1.0\n"
                   "user_edit_counts g0 p0 1 [\"Ann\"]=1 r1.1\n"
                   "user_edit_counts g0 p0 2 [\"Ann\"]=1 r1.2\n");
    assert_ok(commit_rows(s, 0, 1, 1, rows, 3, true, &e), e);
    const char *switched = "user_edit_counts g0 p0 0 [\"Ann\"]=1 r1.0\n"
                           "user_edit_counts g1 p0 1 [\"Ann\"]=10 r1.1\n"
                           "user_edit_counts g1 p0 2 [\"Ann\"]=10 r1.2\n";
    assert_seen(s, switched);
    generation_make(s, 0, 2, 1, day + 2 * MINUTE, true); /* shown at once: its windows have no rows yet */
    store_reopen(s);
    assert_seen(s, "user_edit_counts g0 p0 0 [\"Ann\"]=1 r1.0\n"
                   "user_edit_counts g1 p0 1 [\"Ann\"]=10 r1.1\n");
    generation_make(s, 0, 3, 2, WINDOW_ALL, true);
    assert_seen(s, "");
    struct results_query q = everything;
    q.generation = 1;
    q.from_us = day + MINUTE;
    q.to_us = day + 2 * MINUTE;
    assert_seen_query(s, &q, "user_edit_counts g1 p0 1 [\"Ann\"]=10 r1.1\n");
}

static void R15_generations_come_back(void **state)
{
    struct store *s = *state;
    struct err e = {0};
    struct arena arena = {0};
    const struct generation *list;
    size_t count;
    int64_t shown;
    generation_make(s, 0, 1, 0, day, false);
    store_reopen(s);
    assert_ok(s->sink->ops->generations(s->sink, 0, &arena, &list, &count, &shown, &e), e);
    assert_int_equal(count, 2);
    assert_int_equal(shown, 0);
    assert_int_equal(list[0].first_window_us, WINDOW_ALL);
    assert_int_equal(list[0].base, -1);
    assert_int_equal(list[1].number, 1);
    assert_int_equal(list[1].first_window_us, day);
    assert_true(list[1].definition_hash == UINT64_MAX - 1);
    assert_true(str_eqz(list[1].definition, "size = 60s"));
    assert_true(str_eqz(list[1].journal_id, "0123456789abcdef0123456789abcdef"));
    assert_int_equal(list[1].begin_count, 2);
    assert_int_equal(list[1].begins[0].position, 5);
    assert_true(list[1].begins[0].has_last && list[1].begins[0].last == UINT64_MAX);
    assert_int_equal(list[1].begins[0].arrival_us, TIME_NONE);
    assert_int_equal(list[1].begins[1].arrival_us, day);
    assert_int_equal(list[1].begins[1].target, 9);
    arena_fini(&arena);
}

static bool see_line(const struct stored_line *l, void *ctx)
{
    buf_addf(ctx, "%s %s g%lld p%u %lld %lld %s\n", l->task, l->aggregation, (long long)l->generation, l->partition,
             (long long)l->line.position, (long long)l->line.version, l->shown ? "shown" : "hidden");
    return true;
}

static void R10_line_comes_back(void **state)
{
    struct store *s = *state;
    struct err e = {0};
    struct arena arena = {0};
    struct task_line line;
    bool found = true;
    assert_ok(s->sink->ops->line(s->sink, 0, 0, 1, &arena, &line, &found, &e), e);
    assert_false(found);
    struct offset_span gaps[] = {{3, 5}, {90, INT64_MAX}};
    struct lane_commit lane = {.partition = 1, .epoch = 1, .line = line_of(100)};
    lane.line.gaps = gaps;
    lane.line.gap_count = 2;
    lane.line.first_window_us = day;
    lane.line.before = (struct time_state){day - 5, true, STR("")};
    struct task_commit commit = {.lanes = &lane, .lane_count = 1, .wall_us = day};
    assert_ok(s->sink->ops->commit(s->sink, &commit, &e), e);
    store_reopen(s);
    assert_ok(s->sink->ops->line(s->sink, 0, 0, 1, &arena, &line, &found, &e), e);
    assert_true(found);
    assert_int_equal(line.version, 1);
    assert_int_equal(line.position, 100);
    assert_int_equal(line.replay_from, 99);
    assert_true(line.has_last && line.last == 0xf000000000000001U);
    assert_int_equal(line.arrival_us, day);
    assert_int_equal(line.now.stream_us, day);
    assert_true(line.now.change_seen && str_eqz(line.now.topic, "eqiad"));
    assert_int_equal(line.before.stream_us, day - 5);
    assert_true(line.before.topic.ptr != NULL && line.before.topic.len == 0); /* an empty topic is a topic */
    assert_int_equal(line.first_window_us, day);
    assert_int_equal(line.gap_count, 2);
    assert_memory_equal(line.gaps, gaps, sizeof gaps);
    lane.old_version = 1;
    lane.line = line_of(101);
    lane.line.now.stream_us = TIME_NONE;
    lane.line.arrival_us = TIME_NONE;
    assert_ok(s->sink->ops->commit(s->sink, &commit, &e), e);
    assert_ok(s->sink->ops->line(s->sink, 0, 0, 1, &arena, &line, &found, &e), e);
    assert_true(line.now.stream_us == TIME_NONE && line.arrival_us == TIME_NONE && line.gap_count == 0);
    assert_true(line.before.topic.ptr == NULL && line.first_window_us == WINDOW_ALL);
    struct results *r = store_results(s);
    struct buf text = {0};
    assert_ok(results_lines(r, see_line, &text, &e), e);
    assert_string_equal(text.ptr, "results user_edit_counts g0 p1 101 2 shown\n");
    buf_fini(&text);
    results_close(r);
    arena_fini(&arena);
}

static void R12_ledger_adds_and_folds(void **state)
{
    struct store *s = *state;
    struct err e = {0};
    int64_t m = day / MINUTE, old = m - TALLY_KEEP_MINUTES;
    struct tally_row tally[] = {
        {TALLY_EVENT, m, TASK_COUNTED, 2},          {TALLY_EVENT, TALLY_NO_TIME, TASK_DEAD, 1},
        {TALLY_EVENT, TALLY_AHEAD, TASK_FUTURE, 4}, {TALLY_EVENT, TALLY_OLDER, TASK_LATE, 5},
        {TALLY_EVENT, old, TASK_LATE, 6},           {TALLY_EVENT, old, TASK_CANARY, 1},
        {TALLY_ARRIVAL, old + 1, TASK_CANARY, 7},   {TALLY_EVENT, m, TASK_COUNTED, 1},
    };
    struct lane_commit lane = {.epoch = 1, .line = line_of(6), .tally = tally, .tally_count = 8};
    struct task_commit commit = {.lanes = &lane, .lane_count = 1, .wall_us = day};
    assert_ok(s->sink->ops->commit(s->sink, &commit, &e), e);
    assert_tally(s, "results user_edit_counts p0 0 -1 0=1\n"
                    "results user_edit_counts p0 0 -2 6=5\n"
                    "results user_edit_counts p0 0 -46080 1=1\n"
                    "results user_edit_counts p0 0 -46080 6=6\n"
                    "results user_edit_counts p0 0 0 5=3\n"
                    "results user_edit_counts p0 0 -3 4=4\n"
                    "results user_edit_counts p0 1 -46079 1=7\n");
    lane.old_version = 1;
    lane.line.arrival_us += MINUTE;
    lane.tally_count = 1;
    assert_ok(s->sink->ops->commit(s->sink, &commit, &e), e);
    store_reopen(s);
    assert_tally(s, "results user_edit_counts p0 0 -1 0=1\n"
                    "results user_edit_counts p0 0 -2 1=1\n"
                    "results user_edit_counts p0 0 -2 6=11\n"
                    "results user_edit_counts p0 0 0 5=5\n"
                    "results user_edit_counts p0 0 -3 4=4\n"
                    "results user_edit_counts p0 1 -46079 1=7\n");
}

static bool count_torn(uint32_t partition, const struct torn_span *t, void *ctx)
{
    (void)partition;
    int64_t *n = ctx;
    n[0]++;
    n[1] = t->from_us < n[1] ? t->from_us : n[1];
    n[2] = t->to_us > n[2] ? t->to_us : n[2];
    return true;
}

static void R10_torn_windows_are_marked_and_bounded(void **state)
{
    struct store *s = *state;
    struct err e = {0};
    struct simple_row r[3];
    struct result_row rows[3];
    for (int i = 0; i < 3; i++) {
        rows[i] = row_of(&r[i], day + i * MINUTE, "Ann", 1, i, false);
    }
    struct torn_span torn[] = {
        {day + MINUTE, day + MINUTE}, {day + 5 * MINUTE, WINDOW_EVER}, {day + MINUTE, day + MINUTE}};
    struct lane_commit lane = {
        .epoch = 1, .line = line_of(6), .rows = rows, .row_count = 3, .torn = torn, .torn_count = 3};
    struct task_commit commit = {.lanes = &lane, .lane_count = 1, .wall_us = day};
    assert_ok(s->sink->ops->commit(s->sink, &commit, &e), e);
    store_reopen(s);
    assert_seen(s, "user_edit_counts g0 p0 0 [\"Ann\"]=1 r1.0\n"
                   "user_edit_counts g0 p0 1 [\"Ann\"]=1 r1.1 torn\n"
                   "user_edit_counts g0 p0 2 [\"Ann\"]=1 r1.2\n");
    struct torn_span many[1200];
    for (int i = 0; i < 1200; i++) {
        many[i] = (struct torn_span){day + (10 + i) * MINUTE, day + (10 + i) * MINUTE};
    }
    lane = (struct lane_commit){.epoch = 1, .old_version = 1, .line = line_of(7), .torn = many, .torn_count = 1200};
    assert_ok(s->sink->ops->commit(s->sink, &commit, &e), e);
    int64_t n[3] = {0, INT64_MAX, INT64_MIN};
    struct results *res = store_results(s);
    assert_ok(results_torn(res, "user_edit_counts", count_torn, n, &e), e);
    results_close(res);
    assert_true(n[0] <= 1000 && n[0] > 900);
    assert_int_equal(n[1], day + MINUTE); /* nothing that was torn is whole again */
    assert_int_equal(n[2], WINDOW_EVER);
}

static void R12_marks(void **state)
{
    struct store *s = *state;
    struct err e = {0};
    struct arena arena = {0};
    struct mark marks[] = {{10, day / MINUTE, {TIME_NONE, false, {NULL, 0}}},
                           {20, day / MINUTE + 1, {day, true, STR("eqiad")}},
                           {30, day / MINUTE + 2, {day + 90 * SECOND, true, STR("codfw")}}};
    struct lane_commit lane = {.epoch = 1, .line = line_of(40), .marks = marks, .mark_count = 3};
    struct task_commit commit = {.lanes = &lane, .lane_count = 1, .wall_us = day};
    assert_ok(s->sink->ops->commit(s->sink, &commit, &e), e);
    store_reopen(s);
    struct results *r = store_results(s);
    const struct {
        int64_t from_us, offset;
    } cases[] = {{day, 10}, {day + 1, 20}, {day + 90 * SECOND, 20}, {day + 90 * SECOND + 1, 30}, {INT64_MAX, 30}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mark mark = {0};
        bool found = false;
        assert_ok(results_mark(r, "user_edit_counts", 0, 0, cases[i].from_us, &arena, &mark, &found, &e), e);
        assert_true(found);
        assert_int_equal(mark.offset, cases[i].offset);
        assert_true(mark.offset != 20 || (str_eqz(mark.before.topic, "eqiad") && mark.before.stream_us == day));
    }
    bool found = true;
    struct mark mark;
    assert_ok(results_mark(r, "user_edit_counts", 0, 1, day, &arena, &mark, &found, &e), e);
    assert_false(found);
    results_close(r);
    lane = (struct lane_commit){.epoch = 1, .old_version = 1, .line = line_of(41)};
    lane.line.arrival_us = day + (TALLY_KEEP_MINUTES + 2) * MINUTE; /* two of them are too old now (R13) */
    assert_ok(s->sink->ops->commit(s->sink, &commit, &e), e);
    r = store_results(s);
    assert_ok(results_mark(r, "user_edit_counts", 0, 0, day + 1, &arena, &mark, &found, &e), e);
    assert_false(found);
    assert_ok(results_mark(r, "user_edit_counts", 0, 0, INT64_MAX, &arena, &mark, &found, &e), e);
    assert_true(found && mark.offset == 30);
    results_close(r);
    arena_fini(&arena);
}

static bool see_dead(const struct dead_letter *d, void *ctx)
{
    buf_addf(ctx, "%lld %s %s %zu %lld\n", (long long)d->id, d->stage, d->reason, d->bytes.len,
             d->arrival_us == TIME_NONE ? -1 : (long long)d->arrival_us);
    return true;
}

static void dead_letters(void **state)
{
    struct store *s = *state;
    struct err e = {0};
    struct dead_letter dead[100];
    for (size_t i = 0; i < 100; i++) {
        dead[i] = (struct dead_letter){.stage = "results",
                                       .reason = "bad-utf8",
                                       .detail = STR("byte 3"),
                                       .position = STR("partition 0 offset 17"),
                                       .arrival_us = i ? TIME_NONE : 5,
                                       .stream_us = TIME_NONE,
                                       .retried_us = TIME_NONE,
                                       .bytes = STR("\xff\0'; DROP TABLE x")};
    }
    struct lane_commit lane = {.epoch = 1, .line = line_of(40)};
    struct task_commit commit = {.lanes = &lane, .lane_count = 1, .dead = dead, .dead_count = 100, .wall_us = day};
    assert_ok(s->sink->ops->commit(s->sink, &commit, &e), e);
    struct results *r = store_results(s);
    struct buf text = {0};
    assert_ok(results_dead(r, 99, see_dead, &text, &e), e);
    assert_string_equal(text.ptr, "99 results bad-utf8 17 -1\n100 results bad-utf8 17 -1\n");
    buf_clear(&text);
    assert_ok(results_dead(r, 0, see_dead, &text, &e), e);
    size_t lines = 0;
    for (size_t i = 0; i < text.len; i++) {
        lines += text.ptr[i] == '\n';
    }
    assert_int_equal(lines, 100);
    assert_int_equal(strncmp(text.ptr, "1 results bad-utf8 17 5\n", 24), 0);
    buf_fini(&text);
    results_close(r);
}

/* ---- values */

static bool check_cells(const struct stored_row *r, void *ctx)
{
    int64_t *n = ctx;
    const struct cell *k = r->row.keys;
    if (str_eqz(r->row.key, "[null,true]")) {
        assert_int_equal(k[0].kind, CELL_NULL);
        assert_int_equal(k[1].kind, CELL_BOOL);
        assert_int_equal(k[1].number, 1);
        assert_int_equal(r->row.measures[0].number, INT64_MIN);
        assert_int_equal(r->row.measures[1].kind, CELL_NULL);
        assert_int_equal(r->row.sketches[1].len, 0);
        assert_int_equal(r->row.closed_by, -1);
    } else if (str_eqz(r->row.key, "(other)")) {
        assert_int_equal(k[0].kind, CELL_NULL);
        assert_int_equal(k[1].kind, CELL_NULL);
        assert_int_equal(r->row.measures[0].number, INT64_MAX);
    } else {
        assert_true(str_eq(k[0].text, STR("a\0'\"; DROP TABLE wt_lines; --\n\u202e")));
        assert_int_equal(k[1].kind, CELL_BOOL);
        assert_int_equal(k[1].number, 0);
        assert_true(str_eq(r->row.sketches[1], STR("\0\xff\x01")));
        assert_int_equal(r->row.closed_by, 0);
        assert_int_equal(r->row.window_start_us, day - 500000);
        assert_int_equal(r->row.window_end_us, day + 500000);
    }
    assert_int_equal(r->row.sketches[0].len, 0);
    ++*n;
    return true;
}

static void values_come_back_exactly(void **state)
{
    struct store *s = *state;
    struct err e = {0};
    s->schemas[0] = &wider;
    store_reopen(s);
    struct simple_row r[3];
    struct result_row rows[3];
    for (int i = 0; i < 3; i++) {
        rows[i] = row_of(&r[i], day, "x", 1, 1, false);
    }
    rows[0].key = STR("[null,true]");
    r[0].keys[0] = (struct cell){0};
    r[0].measures[0].number = INT64_MIN;
    r[0].measures[1] = (struct cell){0};
    r[0].sketches[1] = (struct str){0};
    rows[1].key = STR("(other)");
    r[1].keys[0] = r[1].keys[1] = (struct cell){0};
    r[1].measures[0].number = INT64_MAX;
    rows[2].key = STR("[\"a\\u0000'\\\"; DROP TABLE wt_lines; --\\n\u202e\",false]");
    r[2].keys[0].text = STR("a\0'\"; DROP TABLE wt_lines; --\n\u202e");
    r[2].keys[1].number = 0;
    r[2].sketches[1] = STR("\0\xff\x01");
    rows[2].closed_by = 0;
    rows[2].window_start_us = day - 500000; /* half a second */
    rows[2].window_end_us = day + 500000;
    assert_ok(commit_rows(s, 0, 0, 0, rows, 3, false, &e), e);
    store_reopen(s);
    struct results *res = store_results(s);
    int64_t n = 0;
    assert_ok(results_rows(res, &everything, check_cells, &n, &e), e);
    assert_int_equal(n, 3);
    results_close(res);
}

static void schemas_are_kept_and_checked(void **state)
{
    struct store *s = *state;
    struct err e = {0};
    struct arena arena = {0};
    const struct stored_aggregation *list;
    size_t count;
    s->schemas[0] = &wider; /* a changed definition adds a column */
    store_reopen(s);
    struct results *r = store_results(s);
    assert_ok(results_aggregations(r, &arena, &list, &count, &e), e);
    assert_int_equal(count, 2);
    assert_string_equal(list[0].name, "user_edit_counts");
    assert_int_equal(list[0].key_count, 2);
    assert_string_equal(list[0].keys[1].name, "bot");
    assert_int_equal(list[0].keys[1].type, COLUMN_BOOL);
    assert_string_equal(list[0].measures[1].label, "distinct(title)");
    assert_true(list[0].measures[1].sketch);
    assert_int_equal(list[0].size_us, 60 * SECOND);
    assert_int_equal(list[0].shown, 0);
    assert_string_equal(list[0].definition, "size = 60s\nkeys = 2");
    results_close(r);
    arena_fini(&arena);

    const char *const bad[] = {"",
                               "1a",
                               "A",
                               "a b",
                               "a\"b",
                               "a;drop",
                               "wt_lines",
                               "x_rows",
                               "sqlite_x",
                               "top_contributors_hourly",
                               "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct result_schema schema = bots;
        schema.name = bad[i];
        const struct result_schema *one = &schema;
        assert_error(s->sink->ops->prepare(s->sink, &one, 1, &e), e, ERR_REJECT, EXIT_CONFIG);
    }
    const char *const bad_columns[] = {"key", "window_start", "final", "edit_count", "pages_sketch", "Bot", "b\""};
    for (size_t i = 0; i < sizeof bad_columns / sizeof *bad_columns; i++) {
        struct column column = {bad_columns[i], "x", COLUMN_TEXT, false};
        struct result_schema schema = edits;
        schema.keys = &column;
        const struct result_schema *one = &schema;
        assert_error(s->sink->ops->prepare(s->sink, &one, 1, &e), e, ERR_REJECT, EXIT_CONFIG);
    }
    const struct result_schema *twice[] = {&edits, &edits};
    assert_error(s->sink->ops->prepare(s->sink, twice, 2, &e), e, ERR_REJECT, EXIT_CONFIG);
    store_open(s); /* and after all that it still works */
}

/* ---- order, limits, pages */

struct order {
    int64_t n, last_start, stop_after;
    struct buf last_key;
    bool newest_first;
};

static bool check_order(const struct stored_row *r, void *ctx)
{
    struct order *o = ctx;
    if (o->n++ > 0) {
        int64_t step = r->row.window_start_us - o->last_start;
        assert_true(o->newest_first ? step <= 0 : step >= 0);
        assert_true(step != 0 || str_cmp(buf_str(&o->last_key), r->row.key) < 0);
    }
    o->last_start = r->row.window_start_us;
    buf_clear(&o->last_key);
    buf_add(&o->last_key, r->row.key);
    return o->n != o->stop_after;
}

static void rows_come_in_order_page_by_page(void **state)
{
    struct store *s = *state;
    struct err e = {0};
    enum { USERS = 1000, WINDOWS = 10 };
    struct simple_row *r = xcalloc(USERS, sizeof *r);
    struct result_row *rows = xcalloc(USERS, sizeof *rows);
    char(*names)[24] = xcalloc(USERS, sizeof *names);
    for (int w = 0; w < WINDOWS; w++) {
        for (int i = 0; i < USERS; i++) {
            snprintf(names[i], sizeof *names, "[\"%s%d\"]", i % 3 ? "\xc3\xa9" : "z", (i * 7919) % USERS);
            rows[i] = row_of(&r[i], day + w * MINUTE, "x", i, w, false);
            rows[i].key = str_of(names[i]);
        }
        assert_ok(commit_rows(s, 0, 0, w, rows, USERS, false, &e), e);
    }
    struct results *res = store_results(s);
    for (int newest = 0; newest < 2; newest++) {
        struct order o = {.newest_first = newest};
        struct results_query q = everything;
        q.newest_first = newest;
        assert_ok(results_rows(res, &q, check_order, &o, &e), e);
        assert_int_equal(o.n, USERS * WINDOWS);
        q.limit = 5001;
        q.from_us = day + MINUTE;
        q.to_us = day + 9 * MINUTE;
        o.n = 0;
        assert_ok(results_rows(res, &q, check_order, &o, &e), e);
        assert_int_equal(o.n, 5001);
        assert_int_equal(o.last_start, newest ? day + 3 * MINUTE : day + 6 * MINUTE);
        o = (struct order){.newest_first = newest, .stop_after = 7, .last_key = o.last_key};
        assert_ok(results_rows(res, &q, check_order, &o, &e), e);
        assert_int_equal(o.n, 7);
        q.partition = 1;
        o.n = 0;
        assert_ok(results_rows(res, &q, check_order, &o, &e), e);
        assert_int_equal(o.n, 0);
        buf_fini(&o.last_key);
    }
    results_close(res);
    free(names);
    free(rows);
    free(r);
}

/* ---- random schedule against a model */

enum { MODEL_WINDOWS = 6, MODEL_USERS = 4, MODEL_GENERATIONS = 6, MODEL_PARTITIONS = 2 };

struct model {
    struct {
        bool there, final;
        int64_t revision, count;
    } rows[MODEL_GENERATIONS][MODEL_PARTITIONS][MODEL_WINDOWS][MODEL_USERS];
    int64_t versions[MODEL_GENERATIONS][MODEL_PARTITIONS], ledger[MODEL_GENERATIONS][MODEL_PARTITIONS];
    int64_t first[MODEL_GENERATIONS], base[MODEL_GENERATIONS], count, shown;
};

static const char *const model_users[MODEL_USERS] = {"a", "b", "c", "d"};

/* The view, as the model of the recovery rules says it. */
static int64_t model_shown(const struct model *m, int64_t start)
{
    int64_t show = m->shown;
    while (start < m->first[show] && m->base[show] >= 0) {
        show = m->base[show];
    }
    return show;
}

static void model_text(const struct model *m, struct buf *out)
{
    for (int w = 0; w < MODEL_WINDOWS; w++) {
        int64_t g = model_shown(m, day + w * MINUTE);
        for (int u = 0; u < MODEL_USERS; u++) {
            for (int p = 0; p < MODEL_PARTITIONS; p++) {
                if (m->rows[g][p][w][u].there) {
                    buf_addf(out, "user_edit_counts g%lld p%d %d [\"%s\"]=%lld r1.%lld%s\n", (long long)g, p, w,
                             model_users[u], (long long)m->rows[g][p][w][u].count,
                             (long long)m->rows[g][p][w][u].revision, m->rows[g][p][w][u].final ? " final" : "");
                }
            }
        }
    }
}

static void model_apply(struct model *m, const struct lane_commit *l)
{
    for (size_t i = 0; i < l->row_count; i++) {
        const struct result_row *row = &l->rows[i];
        int u = row->key.ptr[2] - 'a';
        __typeof__(&m->rows[0][0][0][0]) at =
            &m->rows[l->generation][l->partition][(row->window_start_us - day) / MINUTE][u];
        if (!at->there || row->revision > at->revision || (row->revision == at->revision && row->final && !at->final)) {
            at->there = true;
            at->revision = row->revision;
            at->final = row->final;
            at->count = row->measures[0].number;
        }
    }
    m->versions[l->generation][l->partition]++;
    m->ledger[l->generation][l->partition] += l->tally[0].count;
    m->shown = l->show ? l->generation : m->shown;
}

static void random_commit(struct store *s, struct model *m, struct rng *rng)
{
    struct err e = {0};
    struct simple_row r[2][5];
    struct result_row rows[2][5];
    struct lane_commit lanes[2];
    struct tally_row tally = {TALLY_EVENT, day / MINUTE, TASK_COUNTED, (int64_t)rng_below(rng, 9) + 1};
    bool good = true;
    int64_t g = rng_below(rng, 8) ? m->count - 1 : (int64_t)rng_below(rng, (uint64_t)m->count);
    for (uint32_t p = 0; p < MODEL_PARTITIONS; p++) {
        size_t n = rng_below(rng, 6);
        for (size_t i = 0; i < n; i++) {
            rows[p][i] = row_of(&r[p][i], day + (int64_t)rng_below(rng, MODEL_WINDOWS) * MINUTE,
                                model_users[rng_below(rng, MODEL_USERS)], (int64_t)rng_below(rng, 100),
                                (int64_t)rng_below(rng, 12), rng_below(rng, 3) == 0);
        }
        int64_t stale = rng_below(rng, 10) == 0 ? 1 - (int64_t)rng_below(rng, 3) : 0;
        lanes[p] = (struct lane_commit){.generation = g,
                                        .partition = p,
                                        .epoch = 1,
                                        .old_version = m->versions[g][p] + stale,
                                        .line = line_of(9),
                                        .rows = rows[p],
                                        .row_count = n,
                                        .tally = &tally,
                                        .tally_count = 1,
                                        .show = rng_below(rng, 10) == 0};
        good &= stale == 0 && g == m->count - 1;
    }
    struct task_commit commit = {.lanes = lanes, .lane_count = MODEL_PARTITIONS, .wall_us = day};
    enum err_class c = s->sink->ops->commit(s->sink, &commit, &e);
    assert_int_equal(c, good ? ERR_NONE : ERR_FATAL);
    assert_true(good || e.code == EXIT_FENCED);
    for (size_t p = 0; good && p < MODEL_PARTITIONS; p++) {
        model_apply(m, &lanes[p]);
    }
}

static void random_generation(struct store *s, struct model *m, struct rng *rng)
{
    if (m->count == MODEL_GENERATIONS) {
        return;
    }
    int64_t g = m->count++;
    m->first[g] = rng_below(rng, 4) ? day + (int64_t)rng_below(rng, MODEL_WINDOWS) * MINUTE : WINDOW_ALL;
    m->base[g] = m->shown;
    bool show = rng_below(rng, 2);
    generation_make(s, 0, g, m->base[g], m->first[g], show);
    m->shown = show ? g : m->shown;
}

static bool sum_ledger(const struct stored_tally *t, void *ctx)
{
    *(int64_t *)ctx += t->row.count;
    return true;
}

static void R11_R15_random_schedule(void **state)
{
    struct store *s = *state;
    struct err e = {0};
    const char *given = getenv("WIKITALLY_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : hash_random_seed();
    print_message("# sink %s: WIKITALLY_SEED=%llu\n", s->kind, (unsigned long long)seed);
    struct rng rng;
    rng_init(&rng, seed);
    struct model m = {.count = 1, .base = {-1}, .first = {WINDOW_ALL}};
    for (int step = 0; step < 300; step++) {
        uint64_t what = rng_below(&rng, 40);
        if (what == 0) {
            random_generation(s, &m, &rng);
        } else if (what == 1) {
            store_reopen(s);
        } else {
            random_commit(s, &m, &rng);
        }
        struct buf text = {0};
        model_text(&m, &text);
        assert_seen(s, text.ptr ? text.ptr : "");
        buf_fini(&text);
        struct results *r = store_results(s);
        int64_t sum = 0;
        assert_ok(results_tally(r, NULL, sum_ledger, &sum, &e), e);
        assert_int_equal(sum, m.ledger[m.shown][0] + m.ledger[m.shown][1]);
        results_close(r);
    }
}

#define BOTH(test)                                                                                                     \
    {"memory " #test, test, set_up_memory, tear_down, NULL},                                                           \
    {                                                                                                                  \
        "sqlite " #test, test, set_up_sqlite, tear_down, NULL                                                          \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(R8_higher_epoch_revision_final_wins),
        BOTH(R11_repeat_is_harmless),
        BOTH(R11_stale_version_is_fenced_and_nothing_written),
        BOTH(R15_older_generation_is_fenced),
        BOTH(R15_view_switches_by_window),
        BOTH(R15_generations_come_back),
        BOTH(R10_line_comes_back),
        BOTH(R12_ledger_adds_and_folds),
        BOTH(R10_torn_windows_are_marked_and_bounded),
        BOTH(R12_marks),
        BOTH(dead_letters),
        BOTH(values_come_back_exactly),
        BOTH(schemas_are_kept_and_checked),
        BOTH(rows_come_in_order_page_by_page),
        BOTH(R11_R15_random_schedule),
    };
    return cmocka_run_group_tests_name("sink contract", tests, NULL, NULL);
}
