/* SPDX-License-Identifier: MIT
 *
 * task_sim.c - tasks over a journal that loses what it is told to lose, for test_recovery.py, which drives it line by
 * line and compares everything with tests/oracle/recovery_model.py.
 *
 * The journal here is its own (journal.h's three reading functions are defined in this file), because the real ones
 * refuse what the test needs: a tail cut off under the same id, single records lost, a second copy for a zombie. The
 * sink is the memory sink, or with `sqlite DIRECTORY` on the command line results.db, one connection a task.
 *
 * Requests are lines of tab-separated words; an answer is any number of lines, then "." alone. Words are explained at
 * the functions. Every commit that the sink accepts is printed as it was handed over.
 */
#include "app/task.h"
#include "base/diag.h"
#include "base/err.h"
#include "sink/results.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { JOURNALS_MAX = 64, TASKS_MAX = 256, WORDS_MAX = 32 };

/* ---- the journal */

struct journal_reader { /* a whole journal; all its readers are this */
    struct journal_info info;
    struct {
        struct record *records;
        bool *lost;
        int64_t count, cap, head;
    } partitions[PARTITION_MAX];
};

static struct journal_reader *journals[JOURNALS_MAX];
static struct clock_manual clock_now;

enum err_class journal_reader_info(struct journal_reader *r, struct journal_info *ret_info, struct err *err)
{
    (void)err;
    *ret_info = r->info;
    return ERR_NONE;
}

enum err_class journal_reader_bounds(struct journal_reader *r, uint32_t partition, int64_t *ret_head, int64_t *ret_end,
                                     struct err *err)
{
    (void)err;
    *ret_head = r->partitions[partition].head;
    *ret_end = r->partitions[partition].count;
    return ERR_NONE;
}

enum err_class journal_reader_read(struct journal_reader *r, uint32_t partition, int64_t from, size_t max_records,
                                   struct arena *arena, struct journal_page *ret_page, struct err *err)
{
    (void)err;
    struct record *records = arena_alloc(arena, (max_records + 1) * sizeof(*records));
    size_t count = 0;
    int64_t head = r->partitions[partition].head;
    for (int64_t o = from < head ? head : from; o < r->partitions[partition].count && count < max_records; o++) {
        if (!r->partitions[partition].lost[o]) {
            records[count] = r->partitions[partition].records[o];
            records[count].value = arena_dup(arena, records[count].value);
            count++;
        }
    }
    *ret_page = (struct journal_page){records, count};
    return ERR_NONE;
}

bool journal_sparse(const struct journal *j)
{
    (void)j;
    return false;
}

/* Only who reads ahead makes a reader of its own; a schedule decides what is read when. */
enum err_class journal_reader_new(struct journal *j, struct journal_reader **ret_reader, struct err *err)
{
    (void)j;
    (void)ret_reader;
    return err_set(err, ERR_FATAL, EXIT_INTERNAL, "no reader here");
}

void journal_reader_tell(struct journal_reader *r, const char *task, struct kafka_member *member,
                         const struct reader_progress *list, size_t count)
{
    (void)r, (void)task, (void)member, (void)list, (void)count;
}

void journal_reader_rest(struct journal_reader *r)
{
    (void)r;
}

void journal_reader_close(struct journal_reader *r)
{
    (void)r;
}

static void record_add(struct journal_reader *j, uint32_t p, int64_t arrival_us, struct str value)
{
    if (j->partitions[p].count == j->partitions[p].cap) {
        j->partitions[p].cap = j->partitions[p].cap * 2 + 16;
        size_t cap = (size_t)j->partitions[p].cap;
        j->partitions[p].records = xrealloc(j->partitions[p].records, cap * sizeof(struct record));
        j->partitions[p].lost = xrealloc(j->partitions[p].lost, cap);
    }
    int64_t offset = j->partitions[p].count++;
    j->partitions[p].lost[offset] = false;
    j->partitions[p].records[offset] = (struct record){
        .partition = p, .offset = offset, .arrival_us = arrival_us, .value = str_n(str_dup(value), value.len)};
}

static void journal_free(struct journal_reader *j)
{
    for (uint32_t p = 0; j != NULL && p < PARTITION_MAX; p++) {
        for (int64_t o = 0; o < j->partitions[p].count; o++) {
            free((void *)(uintptr_t)j->partitions[p].records[o].value.ptr);
        }
        free(j->partitions[p].records);
        free(j->partitions[p].lost);
    }
    free(j);
}

/* ---- a sink that shows what passes through it */

struct loud_sink {
    struct sink base;
    struct sink *inner;
    const struct result_schema *const *schemas;
};

static void time_print(const struct time_state *t)
{
    printf("\t%" PRId64 "\t%d\t%s%.*s", t->stream_us, t->change_seen, t->topic.ptr == NULL ? "-" : "=",
           STR_ARG(t->topic));
}

static void line_print(const struct task_line *l)
{
    printf("\t%" PRId64 "\t%d\t%" PRIu64 "\t%" PRId64 "\t%" PRId64 "\t%" PRId64 "\t%" PRId64, l->position, l->has_last,
           l->has_last ? l->last : 0, l->arrival_us, l->replay_from, l->first_window_us, l->version);
    time_print(&l->now);
    time_print(&l->before);
    printf("\t");
    for (size_t i = 0; i < l->gap_count; i++) {
        printf("%s%" PRId64 "-%" PRId64, i > 0 ? "," : "", l->gaps[i].from, l->gaps[i].to);
    }
    printf("\n");
}

static void row_print(const char *kind, const char *name, int64_t generation, uint32_t partition, int64_t epoch,
                      const struct result_row *r, size_t measures)
{
    printf("%s\t%s\t%" PRId64 "\t%u\t%" PRId64 "\t%.*s\t%" PRId64 "\t%" PRId64 "\t%d\t%" PRId64, kind, name, generation,
           partition, r->window_start_us, STR_ARG(r->key), epoch, r->revision, r->final, r->closed_by);
    for (size_t i = 0; i < measures; i++) {
        printf("\t%" PRId64, r->measures[i].number);
    }
    printf("\n");
}

static void lane_print(const struct lane_commit *l, const struct result_schema *schema)
{
    printf("lane\t%s\t%" PRId64 "\t%u\t%d", schema->name, l->generation, l->partition, l->show);
    line_print(&l->line);
    for (size_t i = 0; i < l->row_count; i++) {
        row_print("row", schema->name, l->generation, l->partition, l->epoch, &l->rows[i], schema->measure_count);
    }
    for (size_t i = 0; i < l->tally_count; i++) {
        printf("tally\t%s\t%" PRId64 "\t%u\t%d\t%" PRId64 "\t%s\t%" PRId64 "\n", schema->name, l->generation,
               l->partition, l->tally[i].by, l->tally[i].minute, task_bucket_names[l->tally[i].bucket],
               l->tally[i].count);
    }
    for (size_t i = 0; i < l->torn_count; i++) {
        printf("torn\t%s\t%" PRId64 "\t%u\t%" PRId64 "\t%" PRId64 "\n", schema->name, l->generation, l->partition,
               l->torn[i].from_us, l->torn[i].to_us);
    }
    for (size_t i = 0; i < l->mark_count; i++) {
        printf("mark\t%s\t%" PRId64 "\t%u\t%" PRId64 "\t%" PRId64, schema->name, l->generation, l->partition,
               l->marks[i].offset, l->marks[i].arrival_minute);
        time_print(&l->marks[i].before);
        printf("\n");
    }
}

static enum err_class loud_prepare(struct sink *s, const struct result_schema *const *schemas, size_t count,
                                   struct err *err)
{
    struct loud_sink *l = (struct loud_sink *)s;
    l->schemas = schemas;
    return l->inner->ops->prepare(l->inner, schemas, count, err);
}

static enum err_class loud_generations(struct sink *s, size_t aggregation, struct arena *arena,
                                       const struct generation **ret_list, size_t *ret_count, int64_t *ret_shown,
                                       struct err *err)
{
    struct loud_sink *l = (struct loud_sink *)s;
    return l->inner->ops->generations(l->inner, aggregation, arena, ret_list, ret_count, ret_shown, err);
}

static enum err_class loud_begin(struct sink *s, size_t aggregation, const struct generation *g, bool show,
                                 struct err *err)
{
    struct loud_sink *l = (struct loud_sink *)s;
    printf("begin\t%s\t%" PRId64 "\t%.*s\t%" PRId64 "\t%" PRId64 "\t%" PRId64 "\t%d", l->schemas[aggregation]->name,
           g->number, STR_ARG(g->journal_id), g->epoch, g->base, g->first_window_us, show);
    for (size_t p = 0; p < g->begin_count; p++) {
        printf("\t%" PRId64 ",%d,%" PRId64 ",%" PRId64, g->begins[p].position, g->begins[p].has_last,
               g->begins[p].arrival_us, g->begins[p].target);
    }
    printf("\n");
    return l->inner->ops->begin(l->inner, aggregation, g, show, err);
}

static enum err_class loud_line(struct sink *s, size_t aggregation, int64_t generation, uint32_t partition,
                                struct arena *arena, struct task_line *ret_line, bool *ret_found, struct err *err)
{
    struct loud_sink *l = (struct loud_sink *)s;
    return l->inner->ops->line(l->inner, aggregation, generation, partition, arena, ret_line, ret_found, err);
}

static enum err_class loud_commit(struct sink *s, const struct task_commit *commit, struct err *err)
{
    struct loud_sink *l = (struct loud_sink *)s;
    enum err_class cls = l->inner->ops->commit(l->inner, commit, err);
    for (size_t i = 0; i < commit->lane_count && cls == ERR_NONE; i++) {
        lane_print(&commit->lanes[i], l->schemas[commit->lanes[i].aggregation]);
    }
    for (size_t i = 0; i < commit->dead_count && cls == ERR_NONE; i++) {
        printf("dead\t%s\t%.*s\n", commit->dead[i].reason, STR_ARG(commit->dead[i].position));
    }
    return cls;
}

static void loud_close(struct sink *s)
{
    (void)s;
}

static const struct sink_ops loud_ops = {.name = "loud",
                                         .prepare = loud_prepare,
                                         .generations = loud_generations,
                                         .begin = loud_begin,
                                         .line = loud_line,
                                         .commit = loud_commit,
                                         .close = loud_close};

/* ---- tasks */

struct sim_task {
    struct task *task;
    struct loud_sink sink;
};

static struct sim_task *tasks[TASKS_MAX];
static const char *directory; /* of results.db; NULL: memory */
static struct sink *memory;
static char *words[WORDS_MAX];
static size_t word_count;

static int64_t number(size_t i)
{
    int64_t value = TIME_NONE;
    ensure(i < word_count && (strcmp(words[i], "-") == 0 || str_to_int64(str_of(words[i]), &value)));
    return value;
}

static void failed(enum err_class cls, const struct err *err)
{
    if (cls != ERR_NONE) {
        printf("error\t%d\t%d\t%s\n", cls, err_exit_code(err), err->text);
    }
}

static struct sink *sink_new(void)
{
    struct sink_options options = {.directory = directory, .task = "sim", .clock = &clock_now.base};
    struct err err = {0};
    struct sink *sink = NULL;
    if (directory == NULL && memory != NULL) {
        return memory;
    }
    enum err_class cls =
        directory == NULL ? sink_open_memory(&options, &sink, &err) : sink_open_sqlite(&options, &sink, &err);
    failed(cls, &err);
    memory = directory == NULL ? sink : NULL;
    return sink;
}

/* NAME TIME_FIELD SIZE SLIDE DELAY LATENESS SKEW WHERE KEYS MAX_KEYS, times in seconds, keys with commas; "-" = none */
static void aggregation_parse(char *text, struct aggregation_options *o)
{
    static const char *const measures[] = {"count", "sum(n)", "distinct(page)"};
    static const char *keys[TASKS_MAX];
    static size_t used;
    struct str rest = str_of(text), part[10] = {0};
    for (size_t i = 0; i < 10; i++) {
        ensure(str_split(&rest, ' ', &part[i]));
        text[(size_t)(part[i].ptr - text) + part[i].len] = 0;
    }
    int64_t n[10] = {0};
    for (size_t i = 0; i < 10; i++) {
        str_to_int64(part[i], &n[i]);
    }
    aggregation_options_init(o);
    o->name = part[0].ptr;
    o->time_field = part[1].ptr;
    o->size_us = n[2] * US_PER_SECOND;
    o->slide_us = n[3] * US_PER_SECOND;
    o->delay_us = n[4] * US_PER_SECOND;
    o->lateness_us = n[5] * US_PER_SECOND;
    o->skew_us = n[6] * US_PER_SECOND;
    o->where = str_eqz(part[7], "-") ? NULL : part[7].ptr;
    o->max_keys = n[9] == 0 ? 1000000 : n[9];
    o->measures = measures;
    o->measure_count = 3;
    used = used + 8 > TASKS_MAX ? 0 : used;
    o->keys = &keys[used];
    struct str list = part[8], key;
    while (str_split(&list, ',', &key)) {
        keys[used++] = key.ptr;
        ((char *)(uintptr_t)key.ptr)[key.len] = 0;
        o->key_count++;
    }
}

/* task N JOURNAL ADOPT REBUILD AGGREGATION... -> loads it */
static void do_task(void)
{
    size_t n = (size_t)number(1);
    struct aggregation_options aggregations[8];
    struct err err = {0};
    ensure(n < TASKS_MAX && tasks[n] == NULL);
    struct task_options options = {
        .name = "sim", .aggregations = aggregations, .adopt = number(3) != 0, .clock = &clock_now.base};
    for (size_t i = 5; i < word_count; i++) {
        struct aggregation_options *o = &aggregations[options.aggregation_count++];
        aggregation_parse(words[i], o);
        o->on_change = number(4) != 0 ? CHANGE_REBUILD : CHANGE_REFUSE;
    }
    struct sim_task *s = xcalloc(1, sizeof(*s));
    s->sink = (struct loud_sink){.base.ops = &loud_ops, .inner = sink_new()};
    tasks[n] = s;
    enum err_class cls = task_new(&options, journals[number(2)], &s->sink.base, &s->task, &err);
    if (cls == ERR_NONE) {
        cls = task_load(s->task, &err);
    }
    failed(cls, &err);
}

/* reload N: task_load once more, as after a refusal */
static void do_reload(void)
{
    struct err err = {0};
    failed(task_load(tasks[number(1)]->task, &err), &err);
}

/* kill N: nothing of it is written any more */
static void do_kill(void)
{
    struct sim_task **s = &tasks[number(1)];
    if (*s == NULL) {
        return;
    }
    task_free((*s)->task);
    if ((*s)->sink.inner != memory) {
        (*s)->sink.inner->ops->close((*s)->sink.inner);
    }
    free(*s);
    *s = NULL;
}

/* read N PARTITION MAX -> read COUNT. Up to 5: one by one, as the model reads; more: as one page. */
static void do_read(void)
{
    struct err err = {0};
    size_t total = 0, count = 0, max = (size_t)number(3), step = max <= 5 ? 1 : max;
    enum err_class cls = ERR_NONE;
    for (bool more = max > 0; more; more = cls == ERR_NONE && count > 0 && total < max) {
        cls = task_read(tasks[number(1)]->task, (uint32_t)number(2), step, &count, &err);
        total += count;
    }
    failed(cls, &err);
    printf("read\t%zu\n", total);
}

/* commit N */
static void do_commit(void)
{
    struct err err = {0};
    failed(task_commit(tasks[number(1)]->task, &err), &err);
}

/* state N AGGREGATION PARTITION -> state NEXT POSITION REPLAY_FROM ; keep OFFSET ; end 0|1 */
static void do_state(void)
{
    struct task *t = tasks[number(1)]->task;
    struct lane_state s;
    int64_t keep[PARTITION_MAX];
    uint32_t p = (uint32_t)number(3);
    task_lane_state(t, (size_t)number(2), p, &s);
    task_keep(t, keep, PARTITION_MAX);
    printf("state\t%" PRId64 "\t%" PRId64 "\t%" PRId64 "\t%" PRId64 "\t%d\n", s.next, s.position, s.replay_from,
           keep[p], task_at_end(t));
}

/* ---- looking into the sink */

static bool each_row(const struct stored_row *r, void *ctx)
{
    row_print(ctx, r->aggregation, r->generation, r->partition, r->epoch, &r->row, 3);
    return true;
}

static bool each_line(const struct stored_line *l, void *ctx)
{
    (void)ctx;
    printf("line\t%s\t%" PRId64 "\t%u\t%d", l->aggregation, l->generation, l->partition, l->shown);
    line_print(&l->line);
    return true;
}

static bool each_tally(const struct stored_tally *t, void *ctx)
{
    (void)ctx;
    printf("tally\t%s\t%" PRId64 "\t%u\t%d\t%" PRId64 "\t%s\t%" PRId64 "\n", t->aggregation, t->generation,
           t->partition, t->row.by, t->row.minute, task_bucket_names[t->row.bucket], t->row.count);
    return true;
}

static bool each_torn(uint32_t partition, const struct torn_span *t, void *ctx)
{
    printf("torn\t%s\t%u\t%" PRId64 "\t%" PRId64 "\n", (const char *)ctx, partition, t->from_us, t->to_us);
    return true;
}

static struct results *results_now(struct err *err)
{
    struct results *r = NULL;
    if (directory == NULL && memory == NULL) {
        return NULL; /* no task was ever started */
    }
    enum err_class cls = directory == NULL ? results_of_memory(memory, &r, err) : results_open(directory, &r, err);
    failed(cls, err);
    return cls == ERR_NONE ? r : NULL;
}

/* rows NAME GENERATION (-1: what readers see) */
static void do_rows(void)
{
    struct err err = {0};
    struct results *r = results_now(&err);
    struct results_query q = {
        .aggregation = words[1], .generation = number(2), .from_us = TIME_NONE, .to_us = TIME_NONE, .partition = -1};
    char kind[] = "row";
    failed(r == NULL ? ERR_NONE : results_rows(r, &q, each_row, kind, &err), &err);
    results_close(r);
}

/* stored NAME -> lines, ledger and torn spans (of the shown generation) */
static void do_stored(void)
{
    struct err err = {0};
    struct results *r = results_now(&err);
    if (r != NULL) {
        failed(results_lines(r, each_line, NULL, &err), &err);
        failed(results_tally(r, words[1], each_tally, NULL, &err), &err);
        failed(results_torn(r, words[1], each_torn, words[1], &err), &err);
    }
    results_close(r);
}

/* mark NAME GENERATION PARTITION FROM_US */
static void do_mark(void)
{
    AUTO(arena) struct arena arena = {0};
    struct err err = {0};
    struct mark m = {0};
    bool found = false;
    struct results *r = results_now(&err);
    if (r != NULL) {
        failed(results_mark(r, words[1], number(2), (uint32_t)number(3), number(4), &arena, &m, &found, &err), &err);
    }
    if (found) {
        printf("mark\t%" PRId64, m.offset);
        time_print(&m.before);
        printf("\n");
    }
    results_close(r);
}

/* ---- the journal's side */

/* journal N ID CREATED_US PARTITIONS */
static void do_journal(void)
{
    struct journal_reader *j = xcalloc(1, sizeof(*j));
    snprintf(j->info.id, sizeof(j->info.id), "%s", words[2]);
    j->info.created_us = number(3);
    j->info.partitions = (uint32_t)number(4);
    j->info.seed = 7;
    journals[number(1)] = j;
}

/* copy FROM TO PARTITION END: the same journal, but that partition's tail is gone */
static void do_copy(void)
{
    const struct journal_reader *from = journals[number(1)];
    struct journal_reader *to = xcalloc(1, sizeof(*to));
    to->info = from->info;
    for (uint32_t p = 0; p < PARTITION_MAX; p++) {
        int64_t end = from->partitions[p].count;
        end = p == (uint32_t)number(3) && number(4) < end ? number(4) : end;
        for (int64_t o = 0; o < end; o++) {
            const struct record *r = &from->partitions[p].records[o];
            record_add(to, p, r->arrival_us, r->value);
            to->partitions[p].lost[o] = from->partitions[p].lost[o];
        }
        to->partitions[p].head = from->partitions[p].head < end ? from->partitions[p].head : end;
    }
    journals[number(2)] = to;
}

/* append JOURNAL PARTITION ARRIVAL_US VALUE -> identity HASH */
static void do_append(void)
{
    struct journal_reader *j = journals[number(1)];
    uint32_t p = (uint32_t)number(2);
    record_add(j, p, number(3), str_of(words[4]));
    printf("identity\t%" PRIu64 "\n", record_identity(&j->partitions[p].records[j->partitions[p].count - 1]));
}

static void do_head(void) /* head JOURNAL PARTITION OFFSET */
{
    journals[number(1)]->partitions[number(2)].head = number(3);
}

static void do_lose(void) /* lose JOURNAL PARTITION FROM TO */
{
    for (int64_t o = number(3); o < number(4); o++) {
        journals[number(1)]->partitions[number(2)].lost[o] = true;
    }
}

static void do_partitions(void) /* partitions JOURNAL COUNT */
{
    journals[number(1)]->info.partitions = (uint32_t)number(2);
}

static void do_clock(void) /* clock US */
{
    clock_manual_move(&clock_now, number(1) - clock_now.wall);
}

/* reset: as if the process had just started */
static void do_reset(void)
{
    char text[24];
    for (size_t i = 0; i < TASKS_MAX; i++) {
        if (tasks[i] != NULL) {
            snprintf(text, sizeof(text), "%zu", i);
            words[1] = text;
            word_count = 2;
            do_kill();
        }
    }
    for (size_t i = 0; i < JOURNALS_MAX; i++) {
        journal_free(TAKE(journals[i]));
    }
    if (memory != NULL) {
        memory->ops->close(TAKE(memory));
    }
}

static void do_sqlite(void) /* sqlite DIRECTORY */
{
    free((void *)(uintptr_t)directory);
    directory = str_dup(str_of(words[1]));
}

static const struct {
    const char *name;
    void (*run)(void);
} requests[] = {
    {"task", do_task},   {"reload", do_reload}, {"kill", do_kill},     {"read", do_read}, {"commit", do_commit},
    {"state", do_state}, {"rows", do_rows},     {"stored", do_stored}, {"mark", do_mark}, {"journal", do_journal},
    {"copy", do_copy},   {"append", do_append}, {"head", do_head},     {"lose", do_lose}, {"partitions", do_partitions},
    {"clock", do_clock}, {"reset", do_reset},   {"sqlite", do_sqlite}};

static void request(char *line)
{
    struct str rest = str_trim(str_of(line)), part;
    word_count = 0;
    while (word_count < WORDS_MAX && str_split(&rest, '\t', &part)) {
        words[word_count] = line + (part.ptr - line);
        words[word_count++][part.len] = 0;
    }
    for (size_t i = 0; i < sizeof(requests) / sizeof(*requests); i++) {
        if (word_count > 0 && strcmp(words[0], requests[i].name) == 0) {
            requests[i].run();
            printf(".\n");
            fflush(stdout);
            return;
        }
    }
    fprintf(stderr, "task_sim: no such request: %s\n", line);
    exit(2);
}

int main(void)
{
    char *line = NULL;
    size_t cap = 0;
    diag_setup(DIAG_ERROR, false, 2);
    clock_manual_init(&clock_now, 0);
    while (getline(&line, &cap, stdin) > 0) {
        request(line);
    }
    do_reset();
    free(line);
    free((void *)(uintptr_t)directory);
    return 0;
}
