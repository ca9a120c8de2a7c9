/* SPDX-License-Identifier: MIT
 *
 * ledger_view.c - see ledger_view.h. What is checked: each side's sums per minute and in all; that both sides of the
 * source's ledger (event, arrival) hold the same; that the journal holds as many records as `journalled` says were put
 * there; that each aggregation has booked every record before its position exactly once; and that the rows of each
 * tumbling aggregation with a `count` hold as many as `counted`.
 */
#include "app/ledger_view.h"

#include "journal/journal.h"
#include "sink/results.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { CHECK_BYTES = 64 << 20 };

struct reading {
    struct ledger_view *view;
    const struct ledger_range *range;
    size_t cap;
    int64_t totals[2][SOURCE_BUCKETS];
};

static int compare_rows(const void *a, const void *b)
{
    const struct ledger_row *x = a, *y = b;
    if (x->by != y->by)
        return x->by < y->by ? -1 : 1;
    if (x->minute != y->minute)
        return x->minute < y->minute ? -1 : 1;
    if (x->is_source != y->is_source)
        return x->is_source ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* The stores hand out one count a row: sort, then add up what belongs together. */
static void merge_rows(struct ledger_view *v)
{
    size_t kept = 0;
    if (v->count)
        qsort(v->rows, v->count, sizeof *v->rows, compare_rows);
    for (size_t i = 0; i < v->count; i++) {
        if (kept && compare_rows(&v->rows[kept - 1], &v->rows[i]) == 0) {
            v->rows[kept - 1].records += v->rows[i].records;
            for (int b = 0; b < TASK_BUCKETS; b++)
                v->rows[kept - 1].buckets[b] += v->rows[i].buckets[b];
        } else {
            v->rows[kept++] = v->rows[i];
        }
    }
    v->count = kept;
}

static struct ledger_row *new_row(struct reading *r, enum tally_by by, int64_t minute, const char *name, bool is_source)
{
    struct ledger_view *v = r->view;
    if (v->count == r->cap) {
        merge_rows(v);
        if (v->count * 2 >= r->cap) {
            r->cap = r->cap ? r->cap * 2 : 256;
            v->rows = xrealloc(v->rows, r->cap * sizeof *v->rows);
        }
    }
    struct ledger_row *row = &v->rows[v->count++];
    *row = (struct ledger_row){.by = by, .minute = minute, .is_source = is_source};
    snprintf(row->name, sizeof row->name, "%s", name);
    return row;
}

static bool in_range(const struct ledger_range *range, int64_t minute)
{
    if (minute == TALLY_NO_TIME || minute == TALLY_OLDER || minute == TALLY_AHEAD)
        return range->from_us == TIME_NONE && range->to_us == TIME_NONE;
    int64_t us = minute * US_PER_MINUTE;
    return (range->from_us == TIME_NONE || us >= range->from_us) && (range->to_us == TIME_NONE || us < range->to_us);
}

static void add(struct reading *r, const struct tally_row *t, const char *name, bool is_source)
{
    bool counts = !is_source || t->bucket == SOURCE_RECEIVED || t->bucket == SOURCE_TICK;
    for (int pass = in_range(r->range, t->minute) ? 0 : 1; pass < 2; pass++) {
        struct ledger_row *row = new_row(r, t->by, pass ? LEDGER_TOTAL : t->minute, name, is_source);
        row->buckets[t->bucket] = t->count;
        row->records = counts ? t->count : 0;
    }
}

static bool add_source(const struct tally_row *t, void *ctx)
{
    struct reading *r = ctx;
    if (t->bucket < SOURCE_BUCKETS) {
        add(r, t, "source", true);
        r->totals[t->by][t->bucket] += t->count;
    }
    return true;
}

static bool add_task(const struct stored_tally *t, void *ctx)
{
    if (t->row.bucket < TASK_BUCKETS)
        add(ctx, &t->row, t->aggregation, false);
    return true;
}

__attribute__((format(printf, 2, 3))) static void say_wrong(struct ledger_view *v, const char *format, ...)
{
    if (v->wrong_count == LEDGER_WRONG_MAX)
        return;
    struct buf b = {0};
    va_list args;
    va_start(args, format);
    buf_vaddf(&b, format, args);
    va_end(args);
    v->wrong[v->wrong_count++] = b.ptr;
}

static void check_source(struct reading *r)
{
    static const char *const sides[] = {"event", "arrival"};
    for (int by = 0; by < 2; by++) {
        const int64_t *t = r->totals[by];
        int64_t in = t[SOURCE_RECEIVED] + t[SOURCE_TICK],
                out = t[SOURCE_DUPLICATE] + t[SOURCE_FILTERED] + t[SOURCE_DEAD] + t[SOURCE_JOURNALLED];
        if (in != out)
            say_wrong(r->view, "source by %s: %lld received and ticks, %lld accounted for", sides[by], (long long)in,
                      (long long)out);
    }
    for (int b = 0; b < SOURCE_BUCKETS; b++) {
        r->view->source[b] = r->totals[TALLY_EVENT][b];
        if (r->totals[TALLY_EVENT][b] != r->totals[TALLY_ARRIVAL][b])
            say_wrong(r->view, "source: %s is %lld by event time and %lld by arrival", source_bucket_names[b],
                      (long long)r->totals[TALLY_EVENT][b], (long long)r->totals[TALLY_ARRIVAL][b]);
    }
}

/* One aggregation that readers see: where it stands, and what its rows hold. */
struct position {
    char name[LEDGER_NAME_MAX];
    int64_t sum;   /* of the positions of its partitions */
    int64_t begin; /* of the offsets at which its generation began there */
    int64_t in_rows;
    bool has_rows;
};

struct positions {
    struct position list[64];
    size_t count;
};

static struct position *position_of(struct positions *p, const char *name)
{
    for (size_t i = 0; i < p->count; i++) {
        if (strcmp(p->list[i].name, name) == 0)
            return &p->list[i];
    }
    return NULL;
}

static bool add_position(const struct stored_line *l, void *ctx)
{
    struct positions *p = ctx;
    if (!l->shown)
        return true;
    struct position *at = position_of(p, l->aggregation);
    if (!at) {
        if (p->count == sizeof p->list / sizeof *p->list)
            return true;
        at = &p->list[p->count++];
        snprintf(at->name, sizeof at->name, "%s", l->aggregation);
    }
    at->sum += l->line.position;
    at->begin += l->begin;
    return true;
}

static const struct ledger_row *total_of(const struct ledger_view *v, enum tally_by by, const char *name)
{
    static const struct ledger_row nothing;
    for (size_t i = 0; i < v->count; i++) {
        if (v->rows[i].by == by && v->rows[i].minute == LEDGER_TOTAL && strcmp(v->rows[i].name, name) == 0)
            return &v->rows[i];
    }
    return &nothing;
}

static void check_booked(struct ledger_view *v, const struct position *p, bool sparse)
{
    for (int by = 0; by < 2; by++) {
        int64_t booked = total_of(v, (enum tally_by)by, p->name)->records, passed = p->sum - p->begin;
        if (sparse ? booked > passed : booked != passed)
            say_wrong(v, "%s by %s: %lld records from where it began to its position, %lld booked", p->name,
                      by ? "arrival" : "event", (long long)passed, (long long)booked);
    }
}

/* Every aggregation has booked each record before its position once, and its rows hold what was counted. Where offsets
 * have holes they say how many records there can be at most; `end` is how many there are. */
static void check_tasks(struct ledger_view *v, const struct positions *p, int64_t end, bool sparse)
{
    int64_t least = p->count ? INT64_MAX : 0;
    for (size_t i = 0; i < p->count; i++) {
        check_booked(v, &p->list[i], sparse);
        int64_t counted = total_of(v, TALLY_EVENT, p->list[i].name)->buckets[TASK_COUNTED];
        if (p->list[i].has_rows && p->list[i].in_rows != counted)
            say_wrong(v, "%s: its rows hold %lld, counted were %lld", p->list[i].name, (long long)p->list[i].in_rows,
                      (long long)counted);
        int64_t done = sparse ? total_of(v, TALLY_EVENT, p->list[i].name)->records : p->list[i].sum;
        least = done < least ? done : least;
        if (sparse && p->list[i].begin == 0 && done > end)
            say_wrong(v, "%s: %lld records booked, %lld were journalled", p->list[i].name, (long long)done,
                      (long long)end);
    }
    v->in_flight = end - least;
}

static enum err_class read_journal(const struct journal_place *place, struct reading *r, int64_t *ret_end,
                                   struct journal_info *ret_info, struct err *err)
{
    struct journal_reader *reader;
    struct journal_info info = {0};
    enum err_class cls = journal_reader_open_at(place, &reader, err);
    if (cls)
        return cls;
    if (!(cls = journal_reader_hold(reader, err)) && !(cls = journal_reader_tally(reader, add_source, r, err)))
        cls = journal_reader_info(reader, &info, err);
    *ret_end = 0;
    for (uint32_t p = 0; !cls && p < info.partitions; p++) {
        int64_t head, end;
        cls = journal_reader_bounds(reader, p, &head, &end, err);
        *ret_end += cls ? 0 : end;
    }
    *ret_info = info;
    journal_reader_close(reader);
    return cls;
}

static bool add_count(const struct stored_row *row, void *ctx)
{
    int64_t *sum = ctx;
    *sum += row->row.measures[0].kind == CELL_INT ? row->row.measures[0].number : 0;
    return true;
}

/* The same sum from the other end: what the rows of tumbling windows hold, where their first measure is a count. */
static enum err_class sum_rows(struct positions *p, struct results *results, struct err *err)
{
    AUTO(arena) struct arena arena = {0};
    const struct stored_aggregation *list;
    size_t count;
    enum err_class cls = results_aggregations(results, &arena, &list, &count, err);
    for (size_t i = 0; !cls && i < count; i++) {
        struct position *at = position_of(p, list[i].name);
        if (!at || list[i].slide_us != list[i].size_us || list[i].measure_count == 0 ||
            strcmp(list[i].measures[0].label, "count") != 0)
            continue;
        struct results_query query = {.aggregation = list[i].name,
                                      .from_us = TIME_NONE,
                                      .to_us = TIME_NONE,
                                      .partition = -1,
                                      .generation = list[i].shown};
        cls = results_rows(results, &query, add_count, &at->in_rows, err);
        at->has_rows = true;
    }
    return cls;
}

static enum err_class read_results(const char *directory, struct reading *r, struct positions *positions,
                                   struct err *err)
{
    struct results *results;
    enum err_class cls = results_open(directory, &results, err);
    if (cls) {
        bool missing = err->code == EXIT_NOINPUT; /* nothing was ever counted */
        if (missing)
            *err = (struct err){0};
        return missing ? ERR_NONE : cls;
    }
    if (!(cls = results_hold(results, err)) && !(cls = results_lines(results, add_position, positions, err)) &&
        !(cls = results_tally(results, NULL, add_task, r, err)))
        cls = sum_rows(positions, results, err);
    results_close(results);
    return cls;
}

enum err_class ledger_view_read(const struct journal_place *place, const struct ledger_range *range,
                                struct ledger_view *ret_view, struct err *err)
{
    struct reading r = {.view = ret_view, .range = range};
    struct positions positions = {0};
    int64_t end = 0;
    struct journal_info journal = {0};
    *ret_view = (struct ledger_view){0};
    /* Each store at one moment, the results first: what they have booked, the journal of a later moment holds. */
    enum err_class cls = read_results(place->directory, &r, &positions, err);
    if (cls || (cls = read_journal(place, &r, &end, &journal, err))) {
        ledger_view_fini(ret_view);
        return cls;
    }
    merge_rows(ret_view);
    check_source(&r);
    if (journal.sparse ? ret_view->source[SOURCE_JOURNALLED] > end : ret_view->source[SOURCE_JOURNALLED] != end)
        say_wrong(ret_view, "journal: %lld records were journalled, its offsets end at %lld",
                  (long long)ret_view->source[SOURCE_JOURNALLED], (long long)end);
    /* others' topics have no ledger of their source: there are as many as offsets at most */
    bool counted = journal.sparse && !journal.foreign;
    check_tasks(ret_view, &positions, counted ? ret_view->source[SOURCE_JOURNALLED] : end, journal.sparse);
    return ERR_NONE;
}

void ledger_view_fini(struct ledger_view *v)
{
    for (size_t i = 0; i < v->wrong_count; i++)
        free(v->wrong[i]);
    free(v->rows);
    *v = (struct ledger_view){0};
}

enum err_class ledger_view_check(const struct journal_place *place, struct err *err)
{
    static const struct ledger_range only_totals = {INT64_MAX, TIME_NONE};
    AUTO(buf) struct buf path = {0};
    struct stat st;
    struct ledger_view view;
    if (place->kafka) { /* two stores of two places: which belongs to which, the task looks (R15) */
        return ERR_NONE;
    }
    buf_addf(&path, "%s/results.db", place->directory);
    if (stat(path.ptr, &st) != 0 || st.st_size > CHECK_BYTES)
        return ERR_NONE;
    enum err_class cls = ledger_view_read(place, &only_totals, &view, err);
    if (cls)
        return cls;
    if (view.wrong_count) {
        cls = err_set(
            err, ERR_FATAL, EXIT_DATA,
            "what is stored in \"%s\" is not of one moment: %s; copy the directory and ask journal verify; if the "
            "journal is sound, move results.db away: it is computed anew",
            place->directory, view.wrong[0]);
    }
    ledger_view_fini(&view);
    return cls;
}
