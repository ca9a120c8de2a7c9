/* SPDX-License-Identifier: MIT
 *
 * test_ingest.c - the source's output over the embedded journal: what was reported stored survives a kill, position and
 * records agree at any time (R14), retention leaves what tasks and source need, a full journal waits or releases (R13).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app/ingest.h"
#include "base/diag.h"
#include "base/fault.h"
#include "base/hash.h"
#include "base/metrics.h"

#include "../../contract/store_dir.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

static const int64_t day = (int64_t)1600000020 * US_PER_SECOND;

struct desk {
    struct store_dir dir; /* its clock tells the time */
    struct journal_options journal_options;
    struct ingest_options options;
    struct journal *journal;
    struct journal_reader *reader;
    struct ingest *ingest;
    struct source_output *output;
    atomic_bool stopping;
    int64_t needed;          /* what tasks need: offsets from here */
    int64_t sleeps, room_at; /* naps while it was full; the nap after which tasks need nothing more; 0: never */
    int64_t stop_at;         /* the nap in which the program is told to stop; 0: never */
    bool problem;            /* the state board said so while it was full */
    struct err err;
};

static void tasks_need(void *ctx, int64_t *ret_keep, uint32_t partitions)
{
    assert_int_equal(partitions, 1);
    ret_keep[0] = ((struct desk *)ctx)->needed;
}

/* One at a time: a clock cannot carry a context. */
static struct desk *sleeper;

static void nap(struct clock *clock, int64_t us)
{
    struct status status;
    clock_manual_move((struct clock_manual *)clock, us);
    status_read(&status);
    sleeper->problem = status.problem[0] != '\0';
    sleeper->sleeps++;
    assert_true(sleeper->sleeps < 1000);
    if (sleeper->sleeps == sleeper->room_at) {
        sleeper->needed = INT64_MAX;
    }
    if (sleeper->sleeps == sleeper->stop_at) {
        atomic_store(&sleeper->stopping, true);
    }
}

static void desk_open(struct desk *d)
{
    d->options.clock = d->journal_options.clock = &d->dir.clock.base;
    assert_ok(journal_open_sqlite(&d->journal_options, &d->journal, &d->err), d->err);
    d->options.journal = d->journal;
    assert_ok(ingest_new(&d->options, &d->ingest, &d->err), d->err);
    assert_ok(journal_reader_new(d->journal, &d->reader, &d->err), d->err);
    d->output = ingest_output(d->ingest);
}

static void desk_close(struct desk *d)
{
    journal_reader_close(d->reader);
    ingest_free(d->ingest);
    journal_close(d->journal);
}

static int set_up(void **state)
{
    struct desk *d = xcalloc(1, sizeof *d);
    diag_setup(DIAG_ERROR, false, open("/dev/null", O_WRONLY | O_CLOEXEC));
    store_dir_init(&d->dir);
    d->dir.clock.base.sleep_us = nap;
    d->needed = INT64_MAX;
    d->journal_options = (struct journal_options){.directory = d->dir.path, .source = "test:1", .partitions = 1};
    d->options = (struct ingest_options){.stopping = &d->stopping, .keep = tasks_need, .keep_ctx = d};
    *state = sleeper = d;
    return 0;
}

static int tear_down(void **state)
{
    struct desk *d = *state;
    store_dir_fini(&d->dir);
    free(d);
    return 0;
}

/* A record of `bytes` that do not shrink, and the position behind it, whose tail begins at offset `tail`. */
static enum err_class put(struct desk *d, int64_t n, size_t bytes, int64_t tail)
{
    AUTO(buf) struct buf value = {0}, position = {0};
    struct rng rng;
    rng_init(&rng, (uint64_t)n);
    buf_addf(&value, "{\"n\":%lld,\"x\":\"", (long long)n);
    while (value.len < bytes) {
        buf_addf(&value, "%016llx", (unsigned long long)rng_next(&rng));
    }
    buf_addz(&value, "\"}");
    buf_addf(&position, "{\"version\":1,\"stream\":%lld,\"tails\":[[\"\",0,%lld,%lld]]}", (long long)n, (long long)tail,
             (long long)n);
    struct record r = {.arrival_us = day + n * US_PER_SECOND, .value = buf_str(&value)};
    struct note note = {STR("position"), buf_str(&position)};
    AUTO(arena) struct arena memory = {0};
    const struct value *values = NULL;
    struct batch b = {.records = &r, .record_count = 1, .notes = &note, .note_count = 1};
    if (d->options.handover) {
        r.offset = n;
        b.values = &values;
        b.memory = &memory;
    }
    return d->output->commit(d->output, &b, &d->err);
}

static void bounds(struct desk *d, int64_t *ret_head, int64_t *ret_end)
{
    assert_ok(d->output->bounds(d->output, 0, ret_head, ret_end, &d->err), d->err);
}

/* The record that the stored position stands behind; -1: none */
static int64_t stored_position(struct desk *d)
{
    AUTO(arena) struct arena arena = {0};
    struct str note;
    int64_t n = -1;
    assert_ok(d->output->note(d->output, STR("position"), &arena, &note, &d->err), d->err);
    if (note.ptr) {
        struct str rest = note, before;
        for (int i = 0; i < 2; i++) {
            assert_true(str_split(&rest, ':', &before));
        }
        assert_true(str_split(&rest, ',', &before) && str_to_int64(before, &n));
    }
    return n;
}

struct reading {
    int64_t next, count;
};

static bool is_next(const struct record *r, void *ctx)
{
    struct reading *reading = ctx;
    char text[32];
    snprintf(text, sizeof text, "{\"n\":%lld,", (long long)reading->next);
    assert_int_equal(r->offset, reading->next++);
    assert_memory_equal(r->value.ptr, text, strlen(text));
    reading->count++;
    return true;
}

static bool add_length(const struct dead_letter *d, void *ctx)
{
    *(size_t *)ctx += d->bytes.len;
    return true;
}

/* Every record from the head on, once each and in its place. -> how many */
static int64_t read_all(struct desk *d)
{
    int64_t head, end;
    bounds(d, &head, &end);
    struct reading reading = {.next = head};
    assert_ok(d->output->tail(d->output, 0, head, end, is_next, &reading, &d->err), d->err);
    assert_int_equal(reading.next, end);
    return reading.count;
}

/* ---- R14 */

#ifdef WIKITALLY_FAULTS
enum { RECORDS = 40 };

/* A source as small as can be: goes on behind the stored position, until it is killed or done. */
static void small_source(struct desk *d, const char *plan, int64_t *acknowledged)
{
    desk_open(d);
    setenv("WIKITALLY_FAILPOINT", plan, 1);
    fault_reload();
    *acknowledged = stored_position(d) + 1; /* what it has read was stored */
    for (int64_t n = *acknowledged; n < RECORDS; n++) {
        if (put(d, n, 100, n)) {
            _exit(1);
        }
        *acknowledged = n + 1;
    }
    _exit(0);
}

/* -> it was killed before it was done */
static bool lives_once(struct desk *d, const char *plan, int64_t *acknowledged)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        small_source(d, plan, acknowledged);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    assert_true(killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
    return killed;
}
#endif

static void R14_a_killed_source_loses_and_doubles_nothing(void **state)
{
#ifdef WIKITALLY_FAULTS
    struct desk *d = *state;
    int64_t *acknowledged = mmap(NULL, sizeof *acknowledged, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(acknowledged != MAP_FAILED);
    int lives = 0;
    for (bool killed = true; killed; lives++) {
        bool after = lives % 2;
        char plan[64];
        snprintf(plan, sizeof plan, "journal.%s_commit:kill@%d", after ? "after" : "before", 1 + lives % 5);
        killed = lives_once(d, plan, acknowledged);
        desk_open(d);
        int64_t stored = read_all(d);
        assert_int_equal(stored, stored_position(d) + 1);            /* they agree, */
        assert_int_equal(stored, *acknowledged + (killed && after)); /* and what was reported is there */
        desk_close(d);
        assert_true(lives < 100);
    }
    assert_true(lives > 5);
    assert_int_equal(*acknowledged, RECORDS);
    munmap(acknowledged, sizeof *acknowledged);
#else
    (void)state;
    skip(); /* needs failpoints */
#endif
}

#ifdef WIKITALLY_FAULTS
enum { EVENTS = 400 };

/* Made-up events; in the file every tenth stands twice, in `once` it does not. */
static void events_write(const char *path, struct buf *once)
{
    struct generator *g =
        generator_new(&(struct generator_options){.seed = 7, .rate = 20, .late = 0, .start_us = TIME_NONE});
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    for (int i = 0; i < EVENTS; i++) {
        int64_t arrival_us;
        struct str event = generator_next(g, &arrival_us);
        buf_add(once, event);
        buf_addz(once, "\n");
        for (int times = i % 10 ? 1 : 2; times > 0; times--) {
            assert_int_equal(fwrite(event.ptr, 1, event.len, f), event.len);
            fputc('\n', f);
        }
    }
    generator_free(g);
    fclose(f);
}

static void file_source(struct desk *d, const char *path, const char *plan)
{
    const struct source_options options = {.overlap_us = US_PER_MINUTE,
                                           .horizon_us = 2 * US_PER_MINUTE,
                                           .skew_us = US_PER_MINUTE,
                                           .commit_every_us = US_PER_DAY,
                                           .commit_bytes = 16384,
                                           .max_identities = 10000,
                                           .partitions = 1,
                                           .clock = &d->dir.clock.base};
    struct source *s = NULL;
    bool ended = false;
    desk_open(d);
    setenv("WIKITALLY_FAILPOINT", plan, 1);
    fault_reload();
    if (source_open_files(&options, &(struct file_options){.paths = &path, .path_count = 1}, &s, &d->err) ||
        s->ops->run(s, d->output, &ended, &d->err)) {
        _exit(1);
    }
    _exit(ended ? 0 : 2);
}

static bool is_next_line(const struct record *r, void *ctx)
{
    struct str line, *rest = ctx;
    if (!str_split(rest, '\n', &line) || !str_eq(r->value, line)) {
        fail_msg("offset %lld is not the next line: %.60s", (long long)r->offset, r->value.ptr);
    }
    return true;
}
#endif

/* At least once from the source, duplicates removed before the journal: each event once, whenever it is killed. */
static void R14_duplicates_go_before_the_journal_also_after_a_kill(void **state)
{
#ifdef WIKITALLY_FAULTS
    struct desk *d = *state;
    AUTO(buf) struct buf once = {0};
    char path[160];
    snprintf(path, sizeof path, "%s/events", d->dir.path);
    events_write(path, &once);
    int status = 0, lives = 0;
    do {
        char plan[64];
        snprintf(plan, sizeof plan, "journal.%s_commit:kill@%d", lives % 2 ? "after" : "before", 2 + lives % 3);
        pid_t child = fork();
        if (child == 0) {
            file_source(d, path, plan);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
        assert_true(++lives < 200);
    } while (WIFSIGNALED(status));
    assert_true(lives > 5);
    int64_t head, end;
    struct str rest = buf_str(&once);
    desk_open(d);
    bounds(d, &head, &end);
    assert_int_equal(end, EVENTS);
    assert_ok(d->output->tail(d->output, 0, 0, end, is_next_line, &rest, &d->err), d->err);
    assert_int_equal(rest.len, 0);
    desk_close(d);
#else
    (void)state;
    skip();
#endif
}

/* ---- R13 */

enum { SMALL = 400, FILE_MAX = 512 * 1024, LARGE = 16 * 1024 };

/* Seconds 0 to 99, a batch each; then retention is due and takes what it may of all that is older than a second. */
static int64_t head_after_retention(struct desk *d, int64_t needed, int64_t tail)
{
    int64_t head, end;
    d->options.retention_age_us = US_PER_SECOND;
    d->needed = needed;
    desk_open(d);
    for (int64_t n = 0; n < 100; n++) {
        if (n == 99) {
            clock_manual_move(&d->dir.clock, 61 * US_PER_SECOND);
        }
        assert_ok(put(d, n, SMALL, tail), d->err);
    }
    bounds(d, &head, &end);
    assert_int_equal(end, 100);
    assert_int_equal(ingest_journalled(d->ingest), 100);
    assert_int_equal(read_all(d), 100 - head);
    desk_close(d);
    return head;
}

static void R13_retention_leaves_what_tasks_need(void **state)
{
    assert_int_equal(head_after_retention(*state, 20, 90), 20);
}

static void R13_retention_leaves_the_tail_of_the_source(void **state)
{
    assert_int_equal(head_after_retention(*state, 90, 30), 30);
}

static void R13_retention_takes_what_nobody_needs(void **state)
{
    assert_int_equal(head_after_retention(*state, INT64_MAX, 99), 98); /* offset 98 is not older than a second */
}

static void R13_retention_can_change_while_it_runs(void **state)
{
    struct desk *d = *state;
    int64_t head, end;
    desk_open(d); /* keeps for ever */
    d->needed = INT64_MAX;
    for (int64_t n = 0; n < 100; n++) {
        if (n == 50 || n == 99) {
            clock_manual_move(&d->dir.clock, 61 * US_PER_SECOND);
        }
        if (n == 99) {
            bounds(d, &head, &end);
            assert_int_equal(head, 0);
            ingest_retune(d->ingest, US_PER_SECOND, 0, false);
        }
        assert_ok(put(d, n, SMALL, 99), d->err);
    }
    bounds(d, &head, &end);
    assert_int_equal(head, 98);
    desk_close(d);
}

/* Fills the file while tasks still need all of it. -> the record that has no room */
static int64_t fill(struct desk *d)
{
    int64_t n = 0;
    d->journal_options.max_bytes = FILE_MAX;
    d->options.retention_bytes = FILE_MAX / 4;
    d->needed = 0;
    desk_open(d);
    atomic_store(&d->stopping, true); /* do not wait yet */
    while (put(d, n, LARGE, n) == ERR_NONE) {
        assert_true(++n < 1000);
    }
    assert_int_equal(d->err.cls, ERR_RETRY);
    assert_true(n > 10);
    atomic_store(&d->stopping, false);
    return n;
}

static void R13_full_journal_waits_and_goes_on_after_room(void **state)
{
    struct desk *d = *state;
    struct status status;
    int64_t head, end, n = fill(d);
    d->room_at = d->sleeps + 35;
    assert_ok(put(d, n, LARGE, n), d->err);
    assert_in_range(d->sleeps, d->room_at, d->room_at + 10); /* it looks every second */
    assert_true(d->problem);
    status_read(&status);
    assert_string_equal(status.problem, "");
    bounds(d, &head, &end);
    assert_int_equal(end, n + 1);
    assert_true(head > 0);
    assert_int_equal(read_all(d), end - head);
    assert_int_equal(stored_position(d), n);
    desk_close(d);
}

static void R13_stopped_while_it_waits_stores_nothing(void **state)
{
    struct desk *d = *state;
    int64_t head, end, n = fill(d);
    d->stop_at = d->sleeps + 25;
    assert_int_equal(put(d, n, LARGE, n), ERR_RETRY);
    assert_int_equal(d->sleeps, d->stop_at); /* at once */
    bounds(d, &head, &end);
    assert_int_equal(head, 0);
    assert_int_equal(end, n);
    assert_int_equal(read_all(d), n);
    assert_int_equal(stored_position(d), n - 1);
    desk_close(d);
}

/* Before it is durable, a task may not count it (R14). */
static void R14_only_what_was_stored_is_handed_over(void **state)
{
    struct desk *d = *state;
    struct handed got;
    d->options.handover = handover_new(1, 0, 0);
    int64_t n = fill(d);
    d->stop_at = d->sleeps + 25;
    assert_int_equal(put(d, n, LARGE, n), ERR_RETRY);
    assert_true(handover_take(d->options.handover, 0, n - 1, 10, &got));
    assert_int_equal(got.count, 1);
    assert_int_equal(got.records[0].offset, n - 1);
    assert_false(handover_take(d->options.handover, 0, n, 10, &got));
    handover_free(d->options.handover);
    desk_close(d);
}

static void R13_on_full_release_gives_room_at_once(void **state)
{
    struct desk *d = *state;
    int64_t head, end;
    d->options.release_when_full = true;
    d->journal_options.max_bytes = FILE_MAX;
    d->needed = 0;
    desk_open(d);
    for (int64_t n = 0; n < 100; n++) {
        assert_ok(put(d, n, LARGE, n), d->err);
    }
    bounds(d, &head, &end);
    assert_int_equal(end, 100);
    assert_in_range(head, 30, 95); /* some room, not everything */
    assert_int_equal(d->sleeps, 0);
    assert_int_equal(read_all(d), end - head);
    desk_close(d);
}

/* Retention stops at its own limit, which leaves less room than the batch needs: no task can change that. */
static void R13_a_batch_larger_than_between_the_limits_goes_in(void **state)
{
    struct desk *d = *state;
    int64_t head, end, n = 0;
    d->journal_options.max_bytes = FILE_MAX;
    d->options.retention_bytes = FILE_MAX * 3 / 4;
    desk_open(d);
    for (; n < 50; n++) {
        assert_ok(put(d, n, LARGE, n), d->err);
    }
    assert_ok(put(d, n, FILE_MAX / 2, n), d->err);
    bounds(d, &head, &end);
    assert_int_equal(end, n + 1);
    assert_int_equal(read_all(d), end - head);
    assert_in_range(d->sleeps, 0, 0);
    desk_close(d);
}

/* What cannot be decoded needs room as well, and nobody asks how large it is before it comes. */
static void R13_a_large_dead_letter_goes_in_like_a_record(void **state)
{
    struct desk *d = *state;
    int64_t head, end, n = 0;
    d->journal_options.max_bytes = 4 * FILE_MAX;
    d->options.retention_bytes = 4 * FILE_MAX;
    desk_open(d);
    for (; n < 250; n++) {
        assert_ok(put(d, n, LARGE, n), d->err);
    }
    AUTO(buf) struct buf bytes = {0};
    for (size_t i = 0; i < FILE_MAX / 2; i++) {
        buf_addc(&bytes, 'x');
    }
    const struct dead_letter dead = {.stage = "source",
                                     .reason = "syntax",
                                     .position = STR("FILE:1"),
                                     .arrival_us = day,
                                     .stream_us = TIME_NONE,
                                     .retried_us = TIME_NONE,
                                     .bytes = buf_str(&bytes)};
    const struct batch b = {.dead = &dead, .dead_count = 1};
    bounds(d, &head, &end);
    const int64_t before = head;
    assert_ok(d->output->commit(d->output, &b, &d->err), d->err);
    size_t seen = 0;
    assert_ok(d->output->dead(d->output, 0, add_length, &seen, &d->err), d->err);
    assert_int_equal(seen, bytes.len);
    bounds(d, &head, &end);
    assert_true(head > before); /* old records made room */
    assert_int_equal(end, n);
    assert_int_equal(read_all(d), end - head);
    assert_int_equal(d->sleeps, 0);
    desk_close(d);
}

static bool until_third(const struct record *r, void *ctx)
{
    *(int64_t *)ctx = r->offset;
    return r->offset < 3;
}

/* A source that looks for duplicates reads from an offset to an offset, and stops when it has seen enough. */
static void the_tail_is_read_from_to_and_no_further(void **state)
{
    struct desk *d = *state;
    struct reading reading = {.next = 2};
    int64_t last = -1;
    desk_open(d);
    for (int64_t n = 0; n < 10; n++) {
        assert_ok(put(d, n, SMALL, n), d->err);
    }
    assert_ok(d->output->tail(d->output, 0, 2, 7, is_next, &reading, &d->err), d->err);
    assert_int_equal(reading.count, 5);
    assert_ok(d->output->tail(d->output, 0, 0, 10, until_third, &last, &d->err), d->err);
    assert_int_equal(last, 3);
    desk_close(d);
}

/* There is more in the file than blobs: it may be full before retention's own limit says so. */
static void R13_a_file_that_is_full_before_retention_goes_on(void **state)
{
    struct desk *d = *state;
    int64_t head, end;
    d->journal_options.max_bytes = FILE_MAX;
    d->options.retention_bytes = FILE_MAX;
    desk_open(d);
    for (int64_t n = 0; n < 100; n++) {
        assert_ok(put(d, n, LARGE, n), d->err);
    }
    bounds(d, &head, &end);
    assert_int_equal(end, 100);
    assert_in_range(head, 30, 95);
    assert_int_equal(read_all(d), end - head);
    assert_int_equal(d->sleeps, 0);
    desk_close(d);
}

/* Nothing is left that could be released, and still there is no room: this must be a wait that can be stopped. */
static void R13_a_batch_larger_than_the_journal_can_be_stopped(void **state)
{
    struct desk *d = *state;
    d->options.release_when_full = true;
    d->journal_options.max_bytes = FILE_MAX;
    desk_open(d);
    assert_ok(put(d, 0, SMALL, 0), d->err);
    d->stop_at = 5;
    assert_int_equal(put(d, 1, 4 * FILE_MAX, 1), ERR_RETRY);
    assert_int_equal(d->sleeps, 5);
    desk_close(d);
}

#define DESK(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    if (access("/dev/shm", W_OK) == 0) {
        setenv("TMPDIR", "/dev/shm", 1); /* a killed process keeps what it wrote either way; here it is faster */
    }
    const struct CMUnitTest tests[] = {
        DESK(R14_a_killed_source_loses_and_doubles_nothing),
        DESK(R14_duplicates_go_before_the_journal_also_after_a_kill),
        DESK(R13_retention_leaves_what_tasks_need),
        DESK(R13_a_batch_larger_than_between_the_limits_goes_in),
        DESK(R13_a_large_dead_letter_goes_in_like_a_record),
        DESK(the_tail_is_read_from_to_and_no_further),
        DESK(R13_a_file_that_is_full_before_retention_goes_on),
        DESK(R13_retention_leaves_the_tail_of_the_source),
        DESK(R13_retention_takes_what_nobody_needs),
        DESK(R13_retention_can_change_while_it_runs),
        DESK(R13_full_journal_waits_and_goes_on_after_room),
        DESK(R13_stopped_while_it_waits_stores_nothing),
        DESK(R14_only_what_was_stored_is_handed_over),
        DESK(R13_on_full_release_gives_room_at_once),
        DESK(R13_a_batch_larger_than_the_journal_can_be_stopped),
    };
    return cmocka_run_group_tests_name("ingest", tests, NULL, NULL);
}
