/* SPDX-License-Identifier: MIT
 *
 * The embedded journal against a plain in-memory model (reliability.md A14): 2,000 random sequences of append, read,
 * retain, skip, reopen and crash. A crash is a kill -9 of the process that writes: between two operations, just before
 * a commit, just after it. The model lives in memory that the processes share, and says of an append that was cut off
 * that it may be there as a whole or not at all. After each start everything is read and compared.
 *
 * WIKITALLY_SEED repeats one sequence, WIKITALLY_RUNS sets how many.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/fault.h"
#include "base/hash.h"
#include "journal/journal.h"

#include "../../contract/store_dir.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { PARTITIONS = 3, RECORDS = 400, OPERATIONS = 14, APPEND_MAX = 8 };

struct model_record {
    int64_t serial, arrival_us, batch; /* batch -1: gone */
};

struct model {
    struct rng rng;
    struct model_record records[PARTITIONS][RECORDS];
    int64_t next[PARTITIONS];
    int64_t note, tally, dead, serial, batches, now_us;
    int operations;
    bool pending; /* an append was begun: these are what it would make */
    int64_t pending_next[PARTITIONS], pending_serial, pending_arrival_us;
};

struct run {
    struct model *m;
    struct journal *journal;
    struct journal_reader *reader;
    const char *directory;
    struct clock_manual clock;
    uint64_t seed;
};

/* In a forked child: no cmocka there. */
#define CHECK(condition, ...)                                                                                          \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition);                                            \
            fprintf(stderr, __VA_ARGS__);                                                                              \
            fprintf(stderr, "\nrepeat with WIKITALLY_SEED=%llu\n", (unsigned long long)run->seed);                     \
            _exit(1);                                                                                                  \
        }                                                                                                              \
    } while (0)

#define CHECK_OK(call)                                                                                                 \
    do {                                                                                                               \
        struct err e = {0};                                                                                            \
        CHECK((call) == ERR_NONE, "%s", e.text);                                                                       \
    } while (0)

/* A record's bytes follow from its serial number. */
static size_t value_of(int64_t serial, char out[600])
{
    int n = snprintf(out, 600, "{\"serial\":%lld,\"pad\":\"", (long long)serial);
    size_t pad = (size_t)(serial * 7919 % 500);
    memset(out + n, 'a' + (int)(serial % 26), pad);
    return (size_t)n + pad;
}

/* ---- the model's own rules */

static int64_t model_head(const struct model *m, int p)
{
    int64_t at = 0;
    while (at < m->next[p] && m->records[p][at].batch < 0) {
        at++;
    }
    return at;
}

static void model_lose(struct model *m, int p, int64_t batch)
{
    for (int64_t at = 0; at < m->next[p]; at++) {
        if (m->records[p][at].batch == batch) {
            m->records[p][at].batch = -1;
        }
    }
}

/* Whole batches from the front that are too old and end at or before keep. */
static int64_t model_retain(struct model *m, int p, int64_t limit_us, int64_t keep)
{
    int64_t removed = 0;
    for (int64_t at = model_head(m, p); at < m->next[p]; at = model_head(m, p)) {
        int64_t batch = m->records[p][at].batch, end = at, newest = m->records[p][at].arrival_us;
        while (end < m->next[p] && m->records[p][end].batch == batch) {
            end++;
        }
        if (newest == TIME_NONE || newest >= limit_us || end > keep) {
            break;
        }
        removed += end - at;
        model_lose(m, p, batch);
    }
    return removed;
}

static void model_commit(struct model *m)
{
    int64_t serial = m->serial;
    for (int p = 0; p < PARTITIONS; p++) {
        for (; m->next[p] < m->pending_next[p]; m->next[p]++) {
            m->records[p][m->next[p]] =
                (struct model_record){.serial = serial++, .arrival_us = m->pending_arrival_us, .batch = m->batches};
        }
    }
    m->serial = m->pending_serial;
    m->tally += 3;
    m->dead += m->serial % 3 == 0;
    m->note++;
    m->batches++;
    m->pending = false;
}

/* ---- operations */

static void plan_failure(struct run *run, const char *place)
{
    (void)run;
    char text[64];
    snprintf(text, sizeof text, "journal.%s:kill@1", place);
    setenv("WIKITALLY_FAILPOINT", text, 1);
    fault_reload();
}

static void do_append(struct run *run, const char *failpoint)
{
    struct model *m = run->m;
    struct record records[PARTITIONS * APPEND_MAX];
    static char values[PARTITIONS * APPEND_MAX][600];
    size_t n = 0;
    m->now_us += (int64_t)rng_below(&m->rng, 90) * US_PER_SECOND;
    m->pending_arrival_us = rng_below(&m->rng, 20) ? m->now_us : TIME_NONE;
    m->pending_serial = m->serial;
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        int64_t count = rng_below(&m->rng, 3) ? (int64_t)rng_below(&m->rng, APPEND_MAX) : 0;
        m->pending_next[p] = m->next[p] + count;
        for (int64_t i = 0; i < count; i++, n++) {
            size_t len = value_of(m->pending_serial++, values[n]);
            records[n] =
                (struct record){.partition = p, .arrival_us = m->pending_arrival_us, .value = {values[n], len}};
        }
    }
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)m->note + 1);
    struct note note = {STR("position"), str_of(text)};
    struct tally_row tally = {TALLY_EVENT, TALLY_NO_TIME, SOURCE_DEAD, 3};
    struct dead_letter dead = {.stage = "source", .reason = "syntax", .bytes = STR("x")};
    struct batch b = {records, n, &dead, m->pending_serial % 3 == 0, &note, 1, &tally, 1, NULL, NULL};
    int64_t ends[PARTITIONS];
    m->pending = true;
    if (failpoint != NULL) {
        plan_failure(run, failpoint);
    }
    CHECK_OK(journal_append(run->journal, &b, ends, &e));
    model_commit(m);
    for (int p = 0; p < PARTITIONS; p++) {
        CHECK(ends[p] == m->next[p], "end %lld", (long long)ends[p]);
    }
}

/* Everything at or after `from`, in pages of a random size. */
static void check_partition(struct run *run, int p, int64_t from)
{
    struct model *m = run->m;
    struct arena arena = {0};
    struct journal_page page = {.count = 1};
    int64_t at = from;
    while (page.count > 0) {
        arena_reset(&arena);
        CHECK_OK(journal_reader_read(run->reader, (uint32_t)p, at, 1 + rng_below(&m->rng, 20), &arena, &page, &e));
        for (size_t i = 0; i < page.count; i++, at++) {
            char value[600];
            while (at < m->next[p] && m->records[p][at].batch < 0) {
                at++;
            }
            CHECK(at < m->next[p] && page.records[i].offset == at, "partition %d: %lld, not %lld", p,
                  (long long)page.records[i].offset, (long long)at);
            size_t len = value_of(m->records[p][at].serial, value);
            CHECK(str_eq(page.records[i].value, str_n(value, len)), "partition %d offset %lld", p, (long long)at);
            CHECK(page.records[i].arrival_us == m->records[p][at].arrival_us, "arrival of %lld", (long long)at);
        }
    }
    while (at < m->next[p] && m->records[p][at].batch < 0) {
        at++;
    }
    CHECK(at >= m->next[p], "partition %d stops at %lld of %lld", p, (long long)at, (long long)m->next[p]);
    arena_fini(&arena);
}

static void do_retain(struct run *run)
{
    struct model *m = run->m;
    int64_t keep[PARTITIONS], removed = 0, expected = 0;
    int64_t age_us = (int64_t)(1 + rng_below(&m->rng, 200)) * US_PER_SECOND;
    struct journal_retention r = {age_us, 0, m->now_us, keep, rng_below(&m->rng, 4) == 0};
    for (int p = 0; p < PARTITIONS; p++) {
        keep[p] = (int64_t)rng_below(&m->rng, (uint64_t)m->next[p] + 3);
        expected += model_retain(m, p, m->now_us - age_us, r.hard ? INT64_MAX : keep[p]);
    }
    CHECK_OK(journal_retain(run->journal, &r, &removed, &e));
    CHECK(removed == expected, "%lld removed, not %lld", (long long)removed, (long long)expected);
}

static void do_skip(struct run *run)
{
    struct model *m = run->m;
    struct err e = {0};
    int p = (int)rng_below(&m->rng, PARTITIONS);
    int64_t at = (int64_t)rng_below(&m->rng, (uint64_t)m->next[p] + 2);
    bool there = at < m->next[p] && m->records[p][at].batch >= 0;
    enum err_class c = journal_skip(run->journal, (uint32_t)p, at, &e);
    CHECK(c == (there ? ERR_NONE : ERR_REJECT), "skip %d: %s", (int)c, e.text);
    if (there) {
        model_lose(m, p, m->records[p][at].batch);
    }
}

/* ---- all that must hold */

static bool count_dead(const struct dead_letter *d, void *ctx)
{
    int64_t *n = ctx;
    return ++*n == d->id;
}

static bool count_tally(const struct tally_row *t, void *ctx)
{
    *(int64_t *)ctx += t->count;
    return true;
}

static void tell_problem(const char *text, void *ctx)
{
    (void)ctx;
    fprintf(stderr, "verify: %s\n", text);
}

static void check_all(struct run *run)
{
    struct model *m = run->m;
    struct arena arena = {0};
    struct journal_verified v;
    struct str note;
    int64_t dead = 0, tally = 0, records = 0, head, end;
    for (int p = 0; p < PARTITIONS; p++) {
        CHECK_OK(journal_reader_bounds(run->reader, (uint32_t)p, &head, &end, &e));
        CHECK(end == m->next[p] && head == model_head(m, p), "partition %d is %lld to %lld, not %lld to %lld", p,
              (long long)head, (long long)end, (long long)model_head(m, p), (long long)m->next[p]);
        check_partition(run, p, 0);
        for (int64_t at = 0; at < m->next[p]; at++) {
            records += m->records[p][at].batch >= 0;
        }
    }
    CHECK_OK(journal_reader_verify(run->reader, tell_problem, NULL, &v, &e));
    CHECK(v.records == records, "%lld records", (long long)v.records);
    CHECK_OK(journal_reader_note(run->reader, STR("position"), &arena, &note, &e));
    int64_t value = 0;
    CHECK(note.ptr == NULL ? m->note == 0 : str_to_int64(note, &value) && value == m->note, "note %lld",
          (long long)value);
    CHECK_OK(journal_reader_dead(run->reader, 0, count_dead, &dead, &e));
    CHECK(dead == m->dead, "%lld dead letters, not %lld", (long long)dead, (long long)m->dead);
    CHECK_OK(journal_reader_tally(run->reader, count_tally, &tally, &e));
    CHECK(tally == m->tally, "ledger %lld, not %lld", (long long)tally, (long long)m->tally);
    arena_fini(&arena);
}

/* An append that was cut off: there as a whole, or not at all. */
static void settle(struct run *run)
{
    struct model *m = run->m;
    struct arena arena = {0};
    struct str note;
    int64_t value = 0;
    if (!m->pending) {
        return;
    }
    CHECK_OK(journal_reader_note(run->reader, STR("position"), &arena, &note, &e));
    CHECK(note.ptr == NULL || str_to_int64(note, &value), "note");
    m->pending = false;
    if (value == m->note + 1) {
        model_commit(m);
    }
    arena_fini(&arena);
}

/* ---- one life of a writer */

static void life_begin(struct run *run)
{
    struct journal_options o = {
        .directory = run->directory, .source = "model", .partitions = PARTITIONS, .clock = &run->clock.base};
    CHECK_OK(journal_open_sqlite(&o, &run->journal, &e));
    CHECK_OK(journal_reader_new(run->journal, &run->reader, &e));
    settle(run);
    check_all(run);
}

static void life_end(struct run *run)
{
    journal_reader_close(run->reader);
    journal_close(run->journal);
}

static void life(struct run *run)
{
    struct model *m = run->m;
    life_begin(run);
    while (m->operations-- > 0) {
        switch (rng_below(&m->rng, 16)) {
        case 0:
            do_retain(run);
            break;
        case 1:
            do_skip(run);
            break;
        case 2: /* a clean restart */
            life_end(run);
            life_begin(run);
            break;
        case 3:
            raise(SIGKILL);
            break;
        case 4:
            do_append(run, "before_commit");
            break;
        case 5:
            do_append(run, "after_commit");
            break;
        case 6:
            check_all(run);
            break;
        case 7:
        case 8: {
            int p = (int)rng_below(&m->rng, PARTITIONS);
            check_partition(run, p, (int64_t)rng_below(&m->rng, (uint64_t)m->next[p] + 2));
            break;
        }
        default:
            do_append(run, NULL);
        }
    }
    check_all(run);
    life_end(run);
}

#ifdef WIKITALLY_FAULTS

/* A fork costs ten times as much under a sanitizer, and finds what it finds in the first hundreds. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif
#ifdef SANITIZED
enum { RUNS = 300 };
#else
enum { RUNS = 2000 };
#endif

static void sequence(struct model *m, uint64_t seed)
{
    struct store_dir dir;
    struct run run = {.m = m, .seed = seed};
    memset(m, 0, sizeof *m);
    rng_init(&m->rng, seed);
    m->operations = OPERATIONS;
    m->now_us = (int64_t)1600000000 * US_PER_SECOND;
    store_dir_init(&dir);
    run.directory = dir.path;
    clock_manual_init(&run.clock, m->now_us);
    for (bool more = true; more;) {
        pid_t child = fork();
        if (child == 0) {
            unsetenv("WIKITALLY_FAILPOINT");
            fault_reload();
            life(&run);
            _exit(0);
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        more = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
        if (!more && !(WIFEXITED(status) && WEXITSTATUS(status) == 0)) {
            fail_msg("status %d; repeat with WIKITALLY_SEED=%llu", status, (unsigned long long)seed);
        }
    }
    store_dir_fini(&dir);
}

#endif

static void C_S1_A14_same_as_the_model_whatever_happens(void **state)
{
    (void)state;
#ifdef WIKITALLY_FAULTS
    const char *given = getenv("WIKITALLY_SEED"), *runs = getenv("WIKITALLY_RUNS");
    uint64_t seed = given ? strtoull(given, NULL, 10) : hash_random_seed();
    long count = given ? 1 : runs ? strtol(runs, NULL, 10) : RUNS;
    print_message("# WIKITALLY_SEED=%llu, %ld sequences\n", (unsigned long long)seed, count);
    if (access("/dev/shm", W_OK) == 0) {
        setenv("TMPDIR", "/dev/shm",
               1); /* a killed process keeps what it wrote either way; here it is 2,000 times faster */
    }
    struct model *m = mmap(NULL, sizeof *m, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(m != MAP_FAILED);
    for (long i = 0; i < count; i++) {
        sequence(m, seed + (uint64_t)i);
    }
    munmap(m, sizeof *m);
#else
    skip(); /* needs failpoints */
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(C_S1_A14_same_as_the_model_whatever_happens)};
    return cmocka_run_group_tests_name("journal model", tests, NULL, NULL);
}
