/* SPDX-License-Identifier: MIT
 *
 * config_test.c - runs the event-time tests of a configuration: a task as in earnest, over a journal and a sink in
 * memory and a clock that only the test moves.
 */
#include "app/config_test.h"

#include "app/task.h"
#include "journal/journal.h"
#include "sink/results.h"

#include <stdio.h>
#include <stdlib.h>

#define TOPIC "\"eqiad.mediawiki.recentchange\""
enum { COLUMNS_MAX = 40, ROWS_MAX = 100000 };

struct runner {
    const struct config *config;
    const struct config_test *test;
    const struct aggregation_options *aggregation;
    struct clock_manual clock;
    struct journal *journal;
    struct journal_reader *reader;
    struct sink *sink;
    struct task *task;
    int64_t arrival_us;   /* of the record appended last */
    int64_t committed_us; /* when, by the clock */
    int64_t records;
    struct buf *report;
    bool failed;
};

/* ---- events */

struct field_list {
    struct test_field list[TEST_FIELDS_MAX + 16];
    size_t count;
};

static void field_set_to(struct field_list *l, struct str path, struct str json)
{
    size_t i = 0;
    while (i < l->count && !str_eq(l->list[i].path, path)) {
        i++;
    }
    l->count += i == l->count;
    l->list[i] = (struct test_field){path, json};
}

static void add_fields(struct buf *out, const struct field_list *l, bool meta)
{
    bool some = false;
    for (size_t i = 0; i < l->count; i++) {
        const struct test_field *f = &l->list[i];
        bool inside = str_starts(f->path, STR("meta."));
        if (inside == meta && f->json.ptr) {
            buf_addz(out, some ? "," : "");
            buf_add_json(out, inside ? str_n(f->path.ptr + 5, f->path.len - 5) : f->path);
            buf_addc(out, ':');
            buf_add(out, f->json);
            some = true;
        }
    }
}

/* An event of that kind at that moment, with what the test gives over it. */
static void make_event(const struct runner *r, const struct test_step *step, struct buf *out)
{
    struct field_list l = {0};
    char id[64], number[24], seconds[24];
    AUTO(buf) struct buf dt = {0};
    snprintf(id, sizeof id, "\"00000000-0000-4000-8000-%012lld\"", (long long)r->records + 1);
    snprintf(number, sizeof number, "%lld", (long long)r->records + 1);
    snprintf(seconds, sizeof seconds, "%lld", (long long)(r->clock.wall / US_PER_SECOND));
    buf_addc(&dt, '"');
    time_format_ms(&dt, r->clock.wall);
    buf_addc(&dt, '"');
    bool tick = step->kind == STEP_TICK, canary = step->kind == STEP_CANARY;
    field_set_to(&l, STR("meta.id"), str_of(id));
    field_set_to(&l, STR("meta.dt"), buf_str(&dt));
    field_set_to(&l, STR("meta.domain"), tick || canary ? STR("\"canary\"") : STR("\"en.wikipedia.org\""));
    field_set_to(&l, STR("meta.stream"), tick ? STR("\"" TICK_STREAM "\"") : STR("\"mediawiki.recentchange\""));
    if (!tick) {
        field_set_to(&l, STR("meta.topic"), STR(TOPIC));
    }
    if (!tick && !canary) {
        field_set_to(&l, STR("id"), str_of(number));
        field_set_to(&l, STR("timestamp"), str_of(seconds));
        field_set_to(&l, STR("type"), STR("\"edit\""));
        field_set_to(&l, STR("namespace"), STR("0"));
        field_set_to(&l, STR("title"), STR("\"Page\""));
        field_set_to(&l, STR("user"), STR("\"Someone\""));
        field_set_to(&l, STR("bot"), STR("false"));
        field_set_to(&l, STR("wiki"), STR("\"enwiki\""));
        field_set_to(&l, STR("server_name"), STR("\"en.wikipedia.org\""));
    }
    for (size_t i = 0; i < step->field_count; i++) {
        field_set_to(&l, step->fields[i].path, step->fields[i].json);
    }
    buf_addz(out, "{\"meta\":{");
    add_fields(out, &l, true);
    buf_addc(out, '}');
    AUTO(buf) struct buf rest = {0};
    add_fields(&rest, &l, false);
    buf_addz(out, rest.len ? "," : "");
    buf_add(out, buf_str(&rest));
    buf_addc(out, '}');
}

static enum err_class append_event(struct runner *r, const struct test_step *step, struct err *err)
{
    AUTO(buf) struct buf json = {0};
    make_event(r, step, &json);
    int64_t arrival_us = step->kind != STEP_TICK && step->time_us != TIME_NONE ? step->time_us : r->clock.wall;
    arrival_us -= arrival_us % US_PER_MS;
    r->arrival_us = arrival_us > r->arrival_us ? arrival_us : r->arrival_us;
    struct record record = {.arrival_us = r->arrival_us, .value = buf_str(&json)};
    struct batch batch = {.records = &record, .record_count = 1};
    r->records++;
    return journal_append(r->journal, &batch, NULL, err);
}

/* ---- the task */

static enum err_class task_begin(struct runner *r, struct err *err)
{
    struct task_options options = {
        .name = "test",
        .aggregations = r->aggregation,
        .aggregation_count = 1,
        .retention_us = r->config->journal.retention_age_us,
        .commit_every_us = r->config->task.commit_every_us,
        .max_pending_rows = (size_t)r->config->task.max_pending_rows,
        .max_keys_total = r->config->task.max_keys_total,
        .clock = &r->clock.base,
    };
    enum err_class cls = journal_reader_new(r->journal, &r->reader, err);
    if (!cls) {
        cls = task_new(&options, r->reader, r->sink, &r->task, err);
    }
    return cls ? cls : task_load(r->task, err);
}

static void task_end(struct runner *r)
{
    task_free(TAKE(r->task));
    journal_reader_close(TAKE(r->reader));
}

static enum err_class task_catch_up(struct runner *r, struct err *err)
{
    size_t count = 1;
    enum err_class cls = ERR_NONE;
    while (count > 0 && !cls) {
        cls = task_read(r->task, 0, 1000, &count, err);
    }
    return cls;
}

static enum err_class task_settle(struct runner *r, struct err *err)
{
    enum err_class cls = task_catch_up(r, err);
    r->committed_us = r->clock.wall;
    return cls ? cls : task_commit(r->task, err);
}

static enum err_class move_clock(struct runner *r, int64_t to_us, struct err *err)
{
    enum err_class cls = ERR_NONE;
    if (r->clock.wall == 0) {
        r->committed_us = to_us;
    } else if (to_us - r->committed_us >= r->config->task.commit_every_us) {
        cls = task_settle(r, err);
    }
    clock_manual_move(&r->clock, to_us - r->clock.wall);
    return cls;
}

static enum err_class restart(struct runner *r, struct err *err)
{
    enum err_class cls = task_catch_up(r, err);
    task_end(r);
    return cls ? cls : task_begin(r, err);
}

/* ---- rows as text */

struct actual_row {
    struct test_cell cells[COLUMNS_MAX];
    size_t cell_count;
};

struct actual { /* all rows of the aggregation */
    struct arena arena;
    const struct stored_aggregation *schema;
    struct actual_row *rows;
    size_t count, cap;
};

static void actual_fini(struct actual *a)
{
    arena_fini(&a->arena);
    free(a->rows);
}

static void add_cell(struct actual *a, struct actual_row *row, const char *column, struct buf *text)
{
    if (row->cell_count < COLUMNS_MAX) {
        row->cells[row->cell_count++] = (struct test_cell){str_of(column), arena_dup(&a->arena, buf_str(text))};
    }
    buf_clear(text);
}

static void cell_text(const struct cell *cell, struct buf *out)
{
    switch (cell->kind) {
    case CELL_NULL:
        buf_addz(out, "null");
        break;
    case CELL_INT:
        buf_add_int(out, cell->number);
        break;
    case CELL_BOOL:
        buf_addz(out, cell->number ? "true" : "false");
        break;
    case CELL_TEXT:
        buf_add(out, cell->text);
        break;
    }
}

static bool collect_row(const struct stored_row *stored, void *ctx)
{
    struct actual *a = ctx;
    if (a->count == a->cap) {
        a->cap = a->cap ? a->cap * 2 : 16;
        a->rows = xrealloc(a->rows, a->cap * sizeof *a->rows);
    }
    struct actual_row *row = &a->rows[a->count++];
    row->cell_count = 0;
    AUTO(buf) struct buf text = {0};
    time_format(&text, stored->row.window_start_us);
    add_cell(a, row, "window", &text);
    for (size_t i = 0; i < a->schema->key_count; i++) {
        cell_text(&stored->row.keys[i], &text);
        add_cell(a, row, a->schema->keys[i].name, &text);
    }
    for (size_t i = 0; i < a->schema->measure_count; i++) {
        cell_text(&stored->row.measures[i], &text);
        add_cell(a, row, a->schema->measures[i].name, &text);
    }
    buf_addz(&text, stored->torn ? "torn" : stored->row.final ? "final" : "open");
    add_cell(a, row, "state", &text);
    time_format(&text, stored->row.window_end_us);
    add_cell(a, row, "window_end", &text);
    buf_add_int(&text, stored->row.revision);
    add_cell(a, row, "revision", &text);
    buf_add(&text, stored->row.key);
    add_cell(a, row, "key", &text);
    return a->count < ROWS_MAX;
}

static enum err_class collect_rows(struct runner *r, struct results *results, struct actual *a, struct err *err)
{
    const struct stored_aggregation *list;
    size_t count;
    enum err_class cls = results_aggregations(results, &a->arena, &list, &count, err);
    if (cls) {
        return cls;
    }
    for (size_t i = 0; i < count; i++) {
        a->schema = strcmp(list[i].name, r->aggregation->name) == 0 ? &list[i] : a->schema;
    }
    struct results_query query = {.aggregation = r->aggregation->name,
                                  .from_us = TIME_NONE,
                                  .to_us = TIME_NONE,
                                  .partition = -1,
                                  .generation = -1};
    return a->schema ? results_rows(results, &query, collect_row, a, err)
                     : err_set(err, ERR_FATAL, EXIT_INTERNAL, "nothing is stored of \"%s\"", r->aggregation->name);
}

/* ---- comparing */

static void begin_failure(struct runner *r, size_t line)
{
    if (!r->failed) {
        buf_addf(r->report, "FAILED  %s\n", r->test->name);
        r->failed = true;
    }
    buf_addf(r->report, "        %s:%zu: ", r->test->file, line);
}

/* Only the columns that matter to a reader: the last two are there to be asked for. */
static void add_row(struct buf *out, const struct test_cell *cells, size_t count)
{
    buf_addc(out, '{');
    for (size_t i = 0; i < count; i++) {
        buf_addz(out, i ? ", " : "");
        buf_add_printable(out, cells[i].column, 100);
        buf_addz(out, ": ");
        buf_add_printable(out, cells[i].value, 200);
    }
    buf_addz(out, "}\n");
}

static const struct str *value_in(const struct actual_row *row, struct str column)
{
    for (size_t i = 0; i < row->cell_count; i++) {
        if (str_eq(row->cells[i].column, column)) {
            return &row->cells[i].value;
        }
    }
    return NULL;
}

static bool row_fits(const struct test_row *want, const struct actual_row *row)
{
    for (size_t i = 0; i < want->cell_count; i++) {
        const struct str *value = value_in(row, want->cells[i].column);
        if (!value || !str_eq(*value, want->cells[i].value)) {
            return false;
        }
    }
    return true;
}

/* A column that no row can have is a mistake of the test, not of what it tests. */
static bool columns_are_known(struct runner *r, const struct stored_aggregation *schema, const struct test_row *want)
{
    const char *known[COLUMNS_MAX] = {"window", "window_end", "state", "revision", "key"};
    size_t count = 5;
    for (size_t i = 0; i < schema->key_count + schema->measure_count && count < COLUMNS_MAX; i++) {
        known[count++] = i < schema->key_count ? schema->keys[i].name : schema->measures[i - schema->key_count].name;
    }
    for (size_t i = 0; i < want->cell_count; i++) {
        size_t k = 0;
        while (k < count && !str_eqz(want->cells[i].column, known[k])) {
            k++;
        }
        if (k == count) {
            const char *near = suggest(want->cells[i].column, known, count);
            begin_failure(r, want->line);
            buf_addf(r->report, "there is no column \"%.*s\"%s%s%s\n", STR_ARG(want->cells[i].column),
                     near ? "; did you mean \"" : "", near ? near : "", near ? "\"" : "");
            return false;
        }
    }
    return true;
}

struct pairing { /* which expected row each actual row stands for; Kuhn's augmenting paths */
    const struct test_step *step;
    const struct actual *actual;
    size_t *owner; /* of each actual row: expected row + 1, or 0 */
    bool *seen;
};

static bool pair_row(struct pairing *p, size_t want)
{
    for (size_t i = 0; i < p->actual->count; i++) {
        if (!p->seen[i] && row_fits(&p->step->rows[want], &p->actual->rows[i])) {
            p->seen[i] = true;
            if (p->owner[i] == 0 || pair_row(p, p->owner[i] - 1)) {
                p->owner[i] = want + 1;
                return true;
            }
        }
    }
    return false;
}

static void compare_rows(struct runner *r, const struct test_step *step, const struct actual *actual)
{
    struct pairing p = {step, actual, xcalloc(actual->count + 1, sizeof *p.owner), xcalloc(actual->count + 1, 1)};
    for (size_t i = 0; i < step->row_count; i++) {
        memset(p.seen, 0, actual->count);
        if (columns_are_known(r, actual->schema, &step->rows[i]) && !pair_row(&p, i)) {
            begin_failure(r, step->rows[i].line);
            buf_addz(r->report, "expected, but not there: ");
            add_row(r->report, step->rows[i].cells, step->rows[i].cell_count);
        }
    }
    for (size_t i = 0; i < actual->count; i++) {
        if (p.owner[i] == 0) {
            begin_failure(r, step->line);
            buf_addz(r->report, "there, but not expected: ");
            add_row(r->report, actual->rows[i].cells, actual->rows[i].cell_count - 3);
        }
    }
    free(p.owner);
    free(p.seen);
}

static bool sum_bucket(const struct stored_tally *t, void *ctx)
{
    int64_t *sums = ctx;
    if (t->row.by == TALLY_EVENT && t->row.bucket < TASK_BUCKETS) {
        sums[t->row.bucket] += t->row.count;
    }
    return true;
}

static enum err_class compare_ledger(struct runner *r, const struct test_step *step, struct results *results,
                                     struct err *err)
{
    int64_t sums[TASK_BUCKETS] = {0};
    enum err_class cls = results_tally(results, r->aggregation->name, sum_bucket, sums, err);
    const struct test_row *want = step->rows;
    for (size_t i = 0; i < want->cell_count && !cls; i++) {
        for (size_t bucket = 0; bucket < TASK_BUCKETS; bucket++) {
            int64_t number = 0;
            if (str_eqz(want->cells[i].column, task_bucket_names[bucket]) &&
                str_to_int64(want->cells[i].value, &number) && number != sums[bucket]) {
                begin_failure(r, step->line);
                buf_addf(r->report, "ledger: %lld %s expected, but it is %lld\n", (long long)number,
                         task_bucket_names[bucket], (long long)sums[bucket]);
            }
        }
    }
    return cls;
}

static enum err_class compare(struct runner *r, const struct test_step *step, struct err *err)
{
    struct results *results = NULL;
    enum err_class cls = task_settle(r, err);
    if (!cls) {
        cls = results_of_memory(r->sink, &results, err);
    }
    if (!cls && step->kind == STEP_LEDGER) {
        cls = compare_ledger(r, step, results, err);
    } else if (!cls) {
        AUTO(actual) struct actual actual = {0};
        cls = collect_rows(r, results, &actual, err);
        if (!cls) {
            compare_rows(r, step, &actual);
        }
    }
    results_close(results);
    return cls;
}

/* ---- running */

static enum err_class run_step(struct runner *r, const struct test_step *step, struct err *err)
{
    switch (step->kind) {
    case STEP_AT:
        return move_clock(r, step->time_us, err);
    case STEP_WAIT:
        return move_clock(r, r->clock.wall + step->time_us, err);
    case STEP_EVENT:
    case STEP_CANARY:
    case STEP_TICK:
        return append_event(r, step, err);
    case STEP_RESTART:
        return restart(r, err);
    case STEP_EXPECT:
    case STEP_LEDGER:
        return compare(r, step, err);
    }
    return ERR_NONE;
}

static enum err_class runner_begin(struct runner *r, struct err *err)
{
    clock_manual_init(&r->clock, 0);
    struct journal_options journal = {.source = "test", .partitions = 1, .clock = &r->clock.base};
    struct sink_options sink = {.task = "test", .clock = &r->clock.base};
    enum err_class cls = journal_open_memory(&journal, &r->journal, err);
    if (!cls) {
        cls = sink_open_memory(&sink, &r->sink, err);
    }
    return cls ? cls : task_begin(r, err);
}

static void runner_end(struct runner *r)
{
    task_end(r);
    if (r->sink) {
        r->sink->ops->close(r->sink);
    }
    journal_close(r->journal);
}

static const struct aggregation_options *find_aggregation(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->aggregation_count; i++) {
        if (strcmp(c->aggregations[i].name, name) == 0) {
            return &c->aggregations[i];
        }
    }
    return NULL;
}

static enum err_class run_test(struct runner *r, struct err *err)
{
    size_t line = r->test->line;
    r->aggregation = find_aggregation(r->config, r->test->aggregation);
    enum err_class cls =
        r->aggregation ? runner_begin(r, err)
                       : err_set(err, ERR_REJECT, EXIT_CONFIG, "there is no aggregation \"%s\"", r->test->aggregation);
    for (size_t i = 0; i < r->test->step_count && !cls; i++) {
        line = r->test->steps[i].line;
        cls = run_step(r, &r->test->steps[i], err);
    }
    runner_end(r);
    return cls ? err_prefix(err, "%s:%zu", r->test->file, line) : ERR_NONE;
}

enum err_class config_test_run(const struct config *c, struct buf *report, size_t *ret_passed, size_t *ret_failed,
                               struct err *err)
{
    size_t passed = 0, failed = 0;
    for (size_t i = 0; i < c->test_count; i++) {
        struct runner r = {.config = c, .test = &c->tests[i], .report = report};
        enum err_class cls = run_test(&r, err);
        if (cls) {
            return cls;
        }
        passed += !r.failed;
        failed += r.failed;
        if (!r.failed) {
            buf_addf(report, "ok      %s\n", r.test->name);
        }
    }
    *ret_passed = passed;
    *ret_failed = failed;
    return ERR_NONE;
}
