/* SPDX-License-Identifier: MIT
 *
 * What only results.db does: what a person sees with SQL, exit codes, kill -9 around commits, disks that fail.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/fault.h"
#include "sink/results.h"
#include "sink/sqlite.h"

#include "../../contract/fail_vfs.h"
#include "../../contract/store_dir.h"

#include <signal.h>
#include <sys/wait.h>

#define MINUTE US_PER_MINUTE
static const int64_t day = (int64_t)1600000020 * 1000000; /* 2020-09-13 12:27:00 */

static const struct column key = {"user_name", "user", COLUMN_TEXT, false};
static const struct column measure = {"edit_count", "count", COLUMN_INT, false};
static const struct result_schema edits = {"user_edit_counts", &key, 1, &measure, 1, 60000000, 60000000, "d", 7};
static const struct result_schema *const schemas[] = {&edits};

struct place {
    struct store_dir dir;
    char file[160];
};

static int set_up(void **state)
{
    struct place *p = xcalloc(1, sizeof *p);
    store_dir_init(&p->dir);
    snprintf(p->file, sizeof p->file, "%s/results.db", p->dir.path);
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;
    if (fail_vfs.real != NULL) {
        fail_vfs_plan(FAIL_NOTHING, 0, 0, false);
    }
    store_dir_fini(&p->dir);
    free(p);
    return 0;
}

static enum err_class open_as(struct place *p, const char *task, struct sink **ret_sink, struct err *e)
{
    struct sink_options o = {.directory = p->dir.path, .task = task, .clock = &p->dir.clock.base};
    enum err_class c = sink_open_sqlite(&o, ret_sink, e);
    if (!c && (c = (*ret_sink)->ops->prepare(*ret_sink, schemas, 1, e)) != ERR_NONE) {
        (*ret_sink)->ops->close(*ret_sink);
        *ret_sink = NULL;
    }
    return c;
}

static struct sink *open_ok(struct place *p)
{
    struct err e = {0};
    struct sink *s = NULL;
    assert_ok(open_as(p, "results", &s, &e), e);
    struct generation g = {.definition = STR("d"), .journal_id = STR("j"), .base = -1, .first_window_us = WINDOW_ALL};
    assert_ok(s->ops->begin(s, 0, &g, true, &e), e);
    return s;
}

enum { ROWS = 50 };

/* All rows of one window get the same count: the commit's version. So a half commit would show. */
static enum err_class commit(struct sink *s, int64_t version, int64_t start_us, struct err *e)
{
    struct cell keys[ROWS], counts[ROWS];
    struct result_row rows[ROWS];
    char texts[ROWS][32];
    for (int i = 0; i < ROWS; i++) {
        snprintf(texts[i], sizeof texts[i], "[\"user %d\"]", i);
        keys[i] = (struct cell){CELL_TEXT, 0, str_n(texts[i] + 2, strlen(texts[i]) - 4)};
        counts[i] = (struct cell){CELL_INT, version + 1, {0}};
        rows[i] = (struct result_row){.window_start_us = start_us,
                                      .window_end_us = start_us + MINUTE,
                                      .key = str_of(texts[i]),
                                      .keys = &keys[i],
                                      .measures = &counts[i],
                                      .revision = version,
                                      .closed_by = -1};
    }
    struct tally_row tally = {TALLY_EVENT, day / MINUTE, TASK_COUNTED, 1};
    struct dead_letter dead = {.stage = "results", .reason = "syntax", .bytes = STR("{")};
    struct lane_commit lane = {.old_version = version,
                               .line = {.position = version + 1, .arrival_us = day, .now = {day, true, {0}}},
                               .rows = rows,
                               .row_count = ROWS,
                               .tally = &tally,
                               .tally_count = 1};
    struct task_commit c = {.lanes = &lane, .lane_count = 1, .dead = &dead, .dead_count = 1, .wall_us = day};
    return s->ops->commit(s, &c, e);
}

/* The first row of a query from outside, columns joined by "|". */
static void assert_sql(struct place *p, const char *text, const char *expected)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *st = NULL;
    AUTO(buf) struct buf b = {0};
    assert_int_equal(sqlite3_open_v2(p->file, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    if (sqlite3_prepare_v2(db, text, -1, &st, NULL) != SQLITE_OK) {
        fail_msg("%s: %s", text, sqlite3_errmsg(db));
    }
    if (sqlite3_step(st) == SQLITE_ROW) {
        for (int i = 0; i < sqlite3_column_count(st); i++) {
            const unsigned char *value = sqlite3_column_text(st, i);
            buf_addf(&b, "%s%s", i ? "|" : "", value ? (const char *)value : "NULL");
        }
    }
    sqlite3_finalize(st);
    sqlite3_close(db);
    assert_string_equal(b.ptr ? b.ptr : "", expected);
}

static void what_a_person_sees(void **state)
{
    struct place *p = *state;
    struct err e = {0};
    struct sink *s = open_ok(p);
    assert_ok(commit(s, 0, day, &e), e);
    assert_ok(commit(s, 1, day, &e), e);
    assert_sql(p, "SELECT * FROM user_edit_counts WHERE user_name = 'user 7'",
               "2020-09-13 12:27:00|2020-09-13 12:28:00|user 7|2|2020-09-13 12:27:00|0|0|1|NULL|0|0|[\"user 7\"]|0");
    assert_sql(p, "SELECT group_concat(name) FROM pragma_table_info('user_edit_counts')",
               "window_start,window_end,user_name,edit_count,created_at,partition,final,revision,closed_by,epoch,"
               "generation,key,torn");
    assert_sql(
        p, "SELECT count(*), sum(edit_count) FROM user_edit_counts WHERE window_start >= datetime('2020-09-13 12:00')",
        "50|100");
    assert_sql(p, "SELECT count(*) FROM recent_user_activity", "0"); /* 24 hours are over */
    int64_t now = clock_wall(&clock_real) / MINUTE * MINUTE;
    assert_ok(commit(s, 2, now, &e), e);
    assert_ok(commit(s, 3, now - MINUTE, &e), e);
    assert_sql(p, "SELECT count(*), max(edit_count), count(DISTINCT window_start) FROM recent_user_activity",
               "100|4|2");
    assert_sql(p, "SELECT count(*), max(total_edits), max(active_windows) FROM top_contributors_hourly", "50|7|2");
    assert_sql(p,
               "SELECT group_concat(name || ' ' || type) FROM pragma_table_info('user_edit_counts_rows') WHERE name IN"
               " ('user_name', 'edit_count')",
               "user_name TEXT,edit_count INTEGER");
    assert_sql(p, "PRAGMA quick_check", "ok");
    assert_sql(p, "PRAGMA journal_mode", "wal");
    s->ops->close(s);
}

static void exit_codes(void **state)
{
    struct place *p = *state;
    struct err e = {0};
    struct sink *s = NULL;
    struct results *r = NULL;
    assert_error(results_open(p->dir.path, &r, &e), e, ERR_REJECT, EXIT_NOINPUT);
    s = open_ok(p);
    assert_ok(commit(s, 0, day, &e), e);
    s->ops->close(s);
    assert_error(open_as(p, "another", &s, &e), e, ERR_REJECT, EXIT_CONFIG); /* its aggregation belongs to "results" */
    assert_sql(p, "PRAGMA user_version = 2", "");
    assert_error(open_as(p, "results", &s, &e), e, ERR_FATAL, EXIT_TOO_NEW);
    assert_error(results_open(p->dir.path, &r, &e), e, ERR_FATAL, EXIT_TOO_NEW);
    assert_sql(p, "PRAGMA user_version = 1", "");
    assert_sql(p, "PRAGMA application_id = 1", "");
    assert_error(open_as(p, "results", &s, &e), e, ERR_REJECT, EXIT_CONFIG);
    assert_sql(p, "PRAGMA application_id = 2002021458", "");
    FILE *f = fopen(p->file, "r+b");
    fseek(f, 8192 * 2 - 3000, SEEK_SET);
    for (int i = 0; i < 3000; i++) {
        fputc(0xa5, f);
    }
    fclose(f);
    assert_error(open_as(p, "results", &s, &e), e, ERR_FATAL, EXIT_DATA);
}

/* ---- kill -9 */

/* What is stored is one whole commit: every row of the window, the line, the ledger, the dead letters say the same. */
static int64_t assert_whole(struct place *p)
{
    struct err e = {0};
    struct sink *s = open_ok(p);
    struct arena arena = {0};
    struct task_line line = {0};
    bool found = false;
    char expected[64];
    assert_ok(s->ops->line(s, 0, 0, 0, &arena, &line, &found, &e), e);
    s->ops->close(s);
    arena_fini(&arena);
    int64_t v = found ? line.version : 0;
    assert_int_equal(line.position, v);
    snprintf(expected, sizeof expected, "%lld|%lld|%lld", v ? (long long)ROWS : 0, (long long)v, (long long)v);
    assert_sql(p,
               "SELECT (SELECT count(*) FROM user_edit_counts WHERE edit_count = (SELECT version FROM wt_lines)),"
               " (SELECT coalesce(sum(count), 0) FROM wt_ledger), (SELECT count(*) FROM wt_dead_letters)",
               expected);
    return v;
}

static void R11_kill_leaves_all_or_nothing(void **state)
{
    struct place *p = *state;
#ifdef WIKITALLY_FAULTS
    static const struct {
        const char *plan;
        int64_t stored;
    } cases[] = {{"results.before_commit:kill@3", 0}, {"results.after_commit:kill@3", 1}};
    int64_t version = 0;
    for (int round = 0; round < 10; round++) {
        pid_t child = fork();
        if (child == 0) {
            struct err e = {0};
            struct sink *s = NULL;
            unsetenv("WIKITALLY_FAILPOINT");
            fault_reload();
            if (open_as(p, "results", &s, &e)) {
                _exit(1);
            }
            struct generation g = {
                .definition = STR("d"), .journal_id = STR("j"), .base = -1, .first_window_us = WINDOW_ALL};
            (void)s->ops->begin(s, 0, &g, true, &e);
            setenv("WIKITALLY_FAILPOINT", cases[round % 2].plan, 1);
            fault_reload();
            for (int64_t v = version;; v++) {
                if (commit(s, v, day, &e)) {
                    _exit(1);
                }
            }
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        int64_t now = assert_whole(p);
        assert_int_equal(now, version + 2 + cases[round % 2].stored);
        version = now;
    }
#else
    (void)p;
    skip();
#endif
}

/* At any moment, from outside. */
static void R11_kill_at_any_time(void **state)
{
    struct place *p = *state;
    int64_t version = 0;
    assert_int_equal(assert_whole(p), 0); /* makes the file */
    for (int round = 0; round < 15; round++) {
        int told[2];
        assert_int_equal(pipe(told), 0);
        pid_t child = fork();
        if (child == 0) {
            struct err e = {0};
            struct sink *s = NULL;
            alarm(60);
            if (open_as(p, "results", &s, &e)) {
                _exit(1);
            }
            for (int64_t v = version; !commit(s, v, day, &e);) {
                v++;
                if (write(told[1], &v, sizeof v) != sizeof v) {
                    break;
                }
            }
            _exit(1);
        }
        int64_t acknowledged = version;
        close(told[1]);
        for (int i = 0; i <= round; i++) {
            assert_int_equal(read(told[0], &acknowledged, sizeof acknowledged), sizeof acknowledged);
        }
        usleep((useconds_t)(round * 137));
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, NULL, 0), child);
        while (read(told[0], &acknowledged, sizeof acknowledged) == sizeof acknowledged) {
        }
        close(told[0]);
        version = assert_whole(p);
        assert_true(version == acknowledged || version == acknowledged + 1);
    }
}

/* ---- a disk that fails */

static bool fail_once(struct place *p, enum fail_call call, int at, int code)
{
    struct err e = {0};
    struct sink *s = open_ok(p);
    int64_t acknowledged = 0;
    enum err_class c = ERR_NONE;
    fail_vfs_plan(call, at, code, false);
    for (int64_t v = 0; v < 6 && !c; v++) {
        c = commit(s, v, day, &e);
        acknowledged += !c;
    }
    bool happened = fail_vfs.happened;
    if (happened && code == SQLITE_FULL) {
        assert_error(c, e, ERR_RETRY, EXIT_IOERR);
        assert_ok(commit(s, acknowledged, day, &e), e); /* the same commit again */
        acknowledged++;
    } else if (happened) {
        assert_error(c, e, ERR_FATAL, EXIT_IOERR);
        assert_int_equal(commit(s, acknowledged, day, &e), ERR_FATAL);
        assert_int_equal(commit(s, acknowledged, day, &e), ERR_FATAL);
    }
    fail_vfs_plan(FAIL_NOTHING, 0, 0, false);
    s->ops->close(s);
    int64_t v = assert_whole(p);
    assert_true(v == acknowledged || v == acknowledged + 1);
    return happened;
}

static void C_S3_failed_fsync_or_write_stops_writing(void **state)
{
    struct place *p = *state;
    static const struct {
        enum fail_call call;
        int code;
    } faults[] = {{FAIL_SYNC, SQLITE_IOERR_FSYNC}, {FAIL_WRITE, SQLITE_IOERR_WRITE}, {FAIL_WRITE, SQLITE_FULL}};
    fail_vfs_plan(FAIL_NOTHING, 0, 0, false);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        int at = 1;
        for (bool more = true; more; at += 1 + (at > 8) * 7) {
            store_dir_fini(&p->dir);
            store_dir_init(&p->dir);
            snprintf(p->file, sizeof p->file, "%s/results.db", p->dir.path);
            more = fail_once(p, faults[i].call, at, faults[i].code);
        }
        assert_true(at > 4);
    }
}

/* The disk was full, and the file is not to be used when it is opened again: that is said as often as it is tried, and
 * what was to be committed can be committed once it is mended. */
static void C_S3_a_reopening_that_fails_is_tried_again(void **state)
{
    struct place *p = *state;
    struct err e = {0};
    struct sink *s = open_ok(p);
    assert_ok(commit(s, 0, day, &e), e);
    fail_vfs_plan(FAIL_WRITE, 1, SQLITE_FULL, false);
    assert_error(commit(s, 1, day, &e), e, ERR_RETRY, EXIT_IOERR);
    assert_true(fail_vfs.happened);
    fail_vfs_plan(FAIL_NOTHING, 0, 0, false);
    assert_sql(p, "PRAGMA user_version = 2", "");
    for (int i = 0; i < 2; i++) {
        assert_error(commit(s, 1, day, &e), e, ERR_FATAL, EXIT_TOO_NEW);
        assert_non_null(strstr(e.text, p->file));
    }
    assert_sql(p, "PRAGMA user_version = 1", "");
    assert_ok(commit(s, 1, day, &e), e);
    assert_ok(commit(s, 2, day, &e), e);
    const struct sink_ops *ops = s->ops;
    ops->close(s);
    ops->close(NULL);
    assert_int_equal(assert_whole(p), 3);
}

/* A window's times come back from their text; what is no such text is no time, however long it is. */
static void times_as_text_come_back(void **state)
{
    static const struct {
        const char *text;
        int64_t us; /* TIME_NONE: none */
    } times[] = {
        {"2020-09-13 12:27:00", INT64_C(1600000020000000)},
        {"2020-09-13 12:27:00.000001", INT64_C(1600000020000001)},
        {"1970-01-01 00:00:00", 0},
        {"9998-12-31 23:59:59.999999", TIME_END - 1},
        {"", TIME_NONE},  /* before year 0 */
        {"~", TIME_NONE}, /* beyond 9999 */
        {"2020-09-13", TIME_NONE},
        {"2020-09-13 12:27:0", TIME_NONE},
        {"2020-09-13 12:61:00", TIME_NONE},
        {"2020-09-13 12:27:00.000000000000000000", TIME_NONE},  /* as long as is looked at */
        {"2020-09-13 12:27:00.0000000000000000000", TIME_NONE}, /* longer */
        {"2020-09-13 12:27:00 and so much more that no time is so long", TIME_NONE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        char text[TIME_TEXT_BYTES];
        int64_t us = TIME_NONE;
        if (time_of_text(str_of(times[i].text), &us) != (times[i].us != TIME_NONE) || us != times[i].us) {
            fail_msg("\"%s\": %lld", times[i].text, (long long)us);
        }
        if (us != TIME_NONE) {
            time_text(text, us);
            assert_string_equal(text, times[i].text);
        }
    }
}

static void reading_while_writing(void **state)
{
    struct place *p = *state;
    struct err e = {0};
    struct sink *s = open_ok(p);
    struct results *r = NULL;
    struct arena arena = {0};
    const struct stored_aggregation *list;
    size_t count = 0;
    assert_ok(results_open(p->dir.path, &r, &e), e);
    assert_ok(commit(s, 0, day, &e), e);
    assert_ok(results_aggregations(r, &arena, &list, &count, &e), e);
    assert_int_equal(count, 1);
    for (int64_t v = 1; v < 20; v++) {
        assert_ok(commit(s, v, day, &e), e);
    }
    s->ops->close(s); /* the writer goes first */
    assert_ok(results_aggregations(r, &arena, &list, &count, &e), e);
    results_close(r);
    arena_fini(&arena);
}

static bool add_position(const struct stored_line *l, void *ctx)
{
    *(int64_t *)ctx += l->line.position;
    return true;
}

static bool add_counted(const struct stored_tally *t, void *ctx)
{
    *(int64_t *)ctx += t->row.count;
    return true;
}

/* Whoever compares a lane's line with its sums reads both of one moment, whatever is committed in between. */
static void a_reader_may_hold_one_moment(void **state)
{
    struct place *p = *state;
    struct err e = {0};
    struct results *r = NULL;
    struct sink *s = open_ok(p);
    assert_ok(commit(s, 0, day, &e), e);
    assert_ok(results_open(p->dir.path, &r, &e), e);
    for (int round = 1; round <= 2; round++) {
        int64_t position = 0, counted = 0;
        assert_ok(results_hold(r, &e), e);
        assert_ok(commit(s, round, day, &e), e);
        assert_ok(results_lines(r, add_position, &position, &e), e);
        assert_ok(results_tally(r, NULL, add_counted, &counted, &e), e);
        assert_int_equal(position, round);
        assert_int_equal(counted, round);
        results_release(r);
    }
    int64_t position = 0;
    assert_ok(results_lines(r, add_position, &position, &e), e);
    assert_int_equal(position, 3);
    results_release(r);
    results_close(r);
    s->ops->close(s);
}

static bool count_row(const struct stored_row *row, void *ctx)
{
    (void)row;
    (*(int *)ctx)++;
    return true;
}

/* A row's sum is made before columns make of its values what they like; a reader makes it of what stands there. */
static void a_sum_is_right_whatever_the_value(void **state)
{
    enum { COUNT = 25 };
    struct str texts =
        STR("|12| 12 |+12|-0|1.5|1e3|1E400|9007199254740993|.|e|0x1f|inf|١٢|12\n|12 13|2020-09-13|12:00|1.0|12x|"
            "true|-|1e-|00|9223372036854775808");
    struct place *p = *state;
    struct err e = {0};
    struct sink *s = open_ok(p);
    static const struct results_query all = {
        .from_us = TIME_NONE, .to_us = TIME_NONE, .partition = -1, .generation = -1};
    struct cell cells[COUNT + 3] = {0};
    struct result_row rows[COUNT + 3];
    for (int i = 0; i < COUNT + 3; i++) {
        cells[i].kind = CELL_TEXT;
        assert_int_equal(str_split(&texts, '|', &cells[i].text), i < COUNT);
        rows[i] = (struct result_row){.window_end_us = MINUTE, .keys = &cells[i], .measures = &cells[i]};
        rows[i].key = str_n(&"abcdefghijklmnopqrstuvwxyz012345"[i], 1);
        rows[i].closed_by = i % 2 ? i : -1;
    }
    cells[COUNT].kind = CELL_NULL;
    cells[COUNT + 1] = (struct cell){CELL_BOOL, 1, {0}};
    cells[COUNT + 2] = (struct cell){CELL_INT, INT64_MIN, {0}};
    for (int version = 0; version < 2; version++) { /* new rows, rows that are there */
        int seen = 0;
        struct results *r = NULL;
        for (int i = 0; i < COUNT + 3; i++) {
            rows[i].revision = version;
        }
        struct lane_commit lane = {.old_version = version, .rows = rows, .row_count = COUNT + 3};
        struct task_commit c = {.lanes = &lane, .lane_count = 1};
        assert_ok(s->ops->commit(s, &c, &e), e);
        assert_ok(results_open(p->dir.path, &r, &e), e);
        assert_ok(results_rows(r, &all, count_row, &seen, &e), e);
        assert_int_equal(seen, COUNT + 3);
        results_close(r);
    }
    assert_sql(p, "SELECT count(*) FROM user_edit_counts_rows WHERE row_sum IS NULL", "0");
    s->ops->close(s);
}

#define PLACE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACE(what_a_person_sees),
        PLACE(exit_codes),
        PLACE(R11_kill_leaves_all_or_nothing),
        PLACE(R11_kill_at_any_time),
        PLACE(C_S3_failed_fsync_or_write_stops_writing),
        PLACE(C_S3_a_reopening_that_fails_is_tried_again),
        cmocka_unit_test(times_as_text_come_back),
        PLACE(reading_while_writing),
        PLACE(a_reader_may_hold_one_moment),
        PLACE(a_sum_is_right_whatever_the_value),
    };
    return cmocka_run_group_tests_name("sink sqlite", tests, NULL, NULL);
}
