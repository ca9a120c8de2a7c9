/* SPDX-License-Identifier: MIT
 *
 * api_results.c - routes that read the databases, on the pool's threads: aggregations, rows, windows, the ledger.
 *
 * Numbers of 64 bits and offsets are strings: a browser's number holds 53 bits. A page is at most ROWS_MAX rows; a read
 * ends after SCAN_MAX rows in any case, so that its transaction stays under a second.
 */
#include "serve/parameter.h"
#include "serve/room.h"
#include "serve/routes.h"

#include <stdlib.h>

enum { ROWS_DEFAULT = 100, ROWS_MAX = 1000, SCAN_MAX = 200000, LEDGER_MINUTES = 1440 };

static const char json_type[] = "application/json";

/* ---- parameters */

static bool read_time(const struct room *room, const struct request *q, const char *name, int64_t *ret_us,
                      struct answer *a)
{
    AUTO(buf) struct buf text = {0};
    if (!request_parameter(q, name, &text))
        return true;
    if (time_parse_human(buf_str(&text), clock_wall(room->options.clock), ret_us))
        return true;
    answer_problem(a, 400, "Bad request", "%s '%.*s': wanted is a time such as 2026-03-01T12:00:00Z, now-15m or 15m",
                   name, STR_ARG(buf_str(&text)));
    return false;
}

static bool read_limit(const struct request *q, int64_t *ret_limit, struct answer *a)
{
    *ret_limit = ROWS_DEFAULT;
    return parameter_number(q, "limit", 1, ROWS_MAX, ret_limit, a);
}

/* One of two words; *ret_second: it is the second one. */
static bool read_choice(const struct request *q, const char *name, const char *first, const char *second,
                        bool *ret_second, struct answer *a)
{
    AUTO(buf) struct buf text = {0};
    *ret_second = false;
    if (!request_parameter(q, name, &text) || str_eqz(buf_str(&text), first))
        return true;
    *ret_second = str_eqz(buf_str(&text), second);
    if (!*ret_second)
        answer_problem(a, 400, "Bad request", "%s '%.*s': %s or %s", name, STR_ARG(buf_str(&text)), first, second);
    return *ret_second;
}

/* ---- what is declared */

static void add_columns(struct buf *out, const struct column *columns, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        buf_addz(out, i ? ",{\"name\":" : "{\"name\":");
        buf_add_json_html(out, str_of(columns[i].name));
        buf_addz(out, ",\"label\":");
        buf_add_json_html(out, str_of(columns[i].label));
        buf_addc(out, '}');
    }
}

static void add_aggregation(struct buf *out, const struct stored_aggregation *s)
{
    buf_addz(out, "{\"name\":");
    buf_add_json_html(out, str_of(s->name));
    buf_addz(out, ",\"keys\":[");
    add_columns(out, s->keys, s->key_count);
    buf_addz(out, "],\"measures\":[");
    add_columns(out, s->measures, s->measure_count);
    buf_addf(out, "],\"size_ms\":\"%lld\",\"slide_ms\":\"%lld\",\"generation\":\"%lld\"}",
             (long long)(s->size_us / US_PER_MS), (long long)(s->slide_us / US_PER_MS), (long long)s->shown);
}

/* Opens, lists what is declared, answers the error. NULL on failure. */
static struct results *open_results(struct readers *readers, struct arena *arena,
                                    const struct stored_aggregation **list, size_t *count, struct answer *a)
{
    struct err err = {0};
    struct results *r = NULL;
    if (readers_results(readers, &r, &err) || results_aggregations(r, arena, list, count, &err)) {
        answer_error(a, &err);
        readers_drop(readers);
        return NULL;
    }
    return r;
}

void api_aggregations(struct room *room, const struct request *q, struct readers *readers, struct answer *a)
{
    AUTO(arena) struct arena arena = {0};
    const struct stored_aggregation *list;
    size_t count;
    (void)room;
    if (!open_results(readers, &arena, &list, &count, a))
        return;
    a->type = json_type;
    buf_addz(&a->body, "{\"aggregations\":[");
    for (size_t i = 0; i < count; i++) {
        buf_addz(&a->body, i ? "," : "");
        add_aggregation(&a->body, &list[i]);
    }
    buf_addz(&a->body, "]}\n");
    answer_compress(a, q);
}

/* ---- rows */

struct row_writer {
    struct buf *out;
    const struct stored_aggregation *aggregation;
    int64_t limit, skip;        /* skip: rows of the first window that earlier pages had */
    int64_t written, in_window; /* in_window: rows so far of the window of the last row */
    int64_t window_us;          /* of the last row */
    bool more;
};

static void add_quoted_time(struct buf *out, int64_t us)
{
    buf_addc(out, '"');
    time_format(out, us);
    buf_addc(out, '"');
}

static void add_measure(struct buf *out, const struct column *column, const struct cell *cell)
{
    buf_add_json_html(out, str_of(column->name));
    buf_addc(out, ':');
    switch (cell->kind) {
    case CELL_INT:
        buf_addf(out, "\"%lld\"", (long long)cell->number);
        break;
    case CELL_BOOL:
        buf_addz(out, cell->number ? "true" : "false");
        break;
    case CELL_TEXT:
        buf_add_json_html(out, cell->text);
        break;
    default:
        buf_addz(out, "null");
    }
}

static void add_row(struct row_writer *w, const struct stored_row *row)
{
    struct buf *out = w->out;
    buf_addz(out, w->written ? ",{\"window_start\":" : "{\"window_start\":");
    add_quoted_time(out, row->row.window_start_us);
    buf_addz(out, ",\"window_end\":");
    add_quoted_time(out, row->row.window_end_us);
    buf_addz(out, ",\"key\":"); /* as text: a key is canonical JSON or "(other)", and stays exact */
    buf_add_json_html(out, row->row.key);
    buf_addf(out, ",\"partition\":%u,\"generation\":\"%lld\",\"state\":\"%s\",\"revision\":\"%lld\",\"closed_by\":",
             row->partition, (long long)row->generation, row->row.final ? "final" : "open",
             (long long)row->row.revision);
    if (row->row.closed_by < 0)
        buf_addz(out, "null");
    else
        buf_addf(out, "\"%lld\"", (long long)row->row.closed_by);
    buf_addf(out, ",\"torn\":%s,\"measures\":{", row->torn ? "true" : "false");
    for (size_t i = 0; i < w->aggregation->measure_count; i++) {
        buf_addz(out, i ? "," : "");
        add_measure(out, &w->aggregation->measures[i], &row->row.measures[i]);
    }
    buf_addz(out, "}}");
}

static bool write_row(const struct stored_row *row, void *ctx)
{
    struct row_writer *w = ctx;
    if (row->row.window_start_us != w->window_us) {
        w->window_us = row->row.window_start_us;
        w->in_window = 0;
    }
    if (w->skip > 0) {
        w->skip--;
        w->in_window++;
        return true;
    }
    if (w->written == w->limit) {
        w->more = true;
        return false;
    }
    add_row(w, row);
    w->written++;
    w->in_window++;
    return true;
}

/* "WINDOW_US.SKIP": go on in this window after so many of its rows. */
static bool read_cursor(const struct request *q, struct results_query *query, int64_t *ret_skip, struct answer *a)
{
    AUTO(buf) struct buf text = {0};
    struct str rest, window, skip;
    int64_t at_us = 0;
    if (!request_parameter(q, "cursor", &text))
        return true;
    rest = buf_str(&text);
    if (!str_split(&rest, '.', &window) || !str_split(&rest, '.', &skip) || !str_to_int64(window, &at_us) ||
        !str_to_int64(skip, ret_skip) || *ret_skip < 0 || *ret_skip > SCAN_MAX) {
        answer_problem(a, 400, "Bad request", "cursor: take it as it stood in the answer before");
        return false;
    }
    if (query->newest_first)
        query->to_us = at_us < INT64_MAX ? at_us + 1 : at_us;
    else
        query->from_us = at_us;
    return true;
}

static const struct stored_aggregation *find_aggregation(const struct stored_aggregation *list, size_t count,
                                                         struct str name, struct answer *a)
{
    for (size_t i = 0; i < count; i++) {
        if (str_eqz(name, list[i].name))
            return &list[i];
    }
    answer_problem(a, 404, "Not found", "aggregation '%.*s' is not declared; see /api/v1/results", STR_ARG(name));
    return NULL;
}

static bool read_rows_query(const struct room *room, const struct request *q, struct results_query *query,
                            struct row_writer *w, struct answer *a)
{
    bool oldest_first;
    if (!read_time(room, q, "from", &query->from_us, a) || !read_time(room, q, "to", &query->to_us, a) ||
        !read_limit(q, &w->limit, a) || !read_choice(q, "order", "newest", "oldest", &oldest_first, a))
        return false;
    query->newest_first = !oldest_first;
    if (!read_cursor(q, query, &w->skip, a))
        return false;
    query->limit = w->skip + w->limit + 1;
    return true;
}

void api_results(struct room *room, const struct request *q, struct readers *readers, struct answer *a)
{
    static const size_t prefix = sizeof("/api/v1/results/") - 1;
    AUTO(arena) struct arena arena = {0};
    AUTO(buf) struct buf rows = {0};
    const struct stored_aggregation *list;
    size_t count;
    struct err err = {0};
    struct row_writer w = {.out = &rows, .window_us = TIME_NONE};
    struct results_query query = {.from_us = TIME_NONE, .to_us = TIME_NONE, .partition = -1, .generation = -1};
    struct results *r = open_results(readers, &arena, &list, &count, a);
    if (!r || !(w.aggregation = find_aggregation(list, count, str_n(q->path.ptr + prefix, q->path.len - prefix), a)) ||
        !read_rows_query(room, q, &query, &w, a))
        return;
    query.aggregation = w.aggregation->name;
    if (results_rows(r, &query, write_row, &w, &err)) {
        answer_error(a, &err);
        readers_drop(readers);
        return;
    }
    a->type = json_type;
    buf_addf(&a->body, "{\"aggregation\":\"%s\",\"rows\":[", w.aggregation->name);
    buf_add(&a->body, buf_str(&rows));
    buf_addz(&a->body, "],\"next\":");
    if (w.more)
        buf_addf(&a->body, "\"%lld.%lld\"}\n", (long long)w.window_us, (long long)w.in_window);
    else
        buf_addz(&a->body, "null}\n");
    answer_compress(a, q);
}

/* ---- windows */

struct window_sum {
    int64_t start_us, end_us, rows, final_rows, sum;
    bool torn, has_sum;
};

struct window_writer {
    struct buf *out;
    struct window_sum now;
    int64_t limit, written, scanned;
    bool more; /* stopped before the end */
};

static void add_window(struct window_writer *w)
{
    const struct window_sum *s = &w->now;
    if (s->rows == 0)
        return;
    buf_addz(w->out, w->written++ ? ",{\"start\":" : "{\"start\":");
    add_quoted_time(w->out, s->start_us);
    buf_addz(w->out, ",\"end\":");
    add_quoted_time(w->out, s->end_us);
    buf_addf(w->out,
             ",\"state\":\"%s\",\"torn\":%s,\"rows\":\"%lld\",\"sum\":", s->rows == s->final_rows ? "final" : "open",
             s->torn ? "true" : "false", (long long)s->rows);
    if (s->has_sum)
        buf_addf(w->out, "\"%lld\"}", (long long)s->sum);
    else
        buf_addz(w->out, "null}");
}

/* Rows come newest window first; a window is complete when the next one begins. */
static bool count_row(const struct stored_row *row, void *ctx)
{
    struct window_writer *w = ctx;
    if (w->now.rows && row->row.window_start_us != w->now.start_us) {
        add_window(w);
        w->now = (struct window_sum){0};
        if (w->written == w->limit) {
            w->more = true;
            return false;
        }
    }
    if (++w->scanned > SCAN_MAX) {
        w->now.rows = 0; /* not complete: not shown */
        w->more = true;
        return false;
    }
    w->now.start_us = row->row.window_start_us;
    w->now.end_us = row->row.window_end_us;
    w->now.rows++;
    w->now.final_rows += row->row.final;
    w->now.torn = w->now.torn || row->torn;
    if (row->row.measures && row->row.measures[0].kind == CELL_INT) {
        w->now.has_sum = true;
        w->now.sum =
            __builtin_add_overflow(w->now.sum, row->row.measures[0].number, &w->now.sum) ? INT64_MAX : w->now.sum;
    }
    return true;
}

static enum err_class write_windows(struct results *r, const struct stored_aggregation *s, int64_t limit,
                                    struct buf *out, struct err *err)
{
    struct window_writer w = {.out = out, .limit = limit};
    struct results_query query = {.aggregation = s->name,
                                  .from_us = TIME_NONE,
                                  .to_us = TIME_NONE,
                                  .partition = -1,
                                  .generation = -1,
                                  .newest_first = true};
    buf_addf(out, "{\"aggregation\":\"%s\",\"sum_of\":", s->name);
    buf_add_json_html(out, s->measure_count ? str_of(s->measures[0].name) : STR(""));
    buf_addz(out, ",\"windows\":[");
    enum err_class c = results_rows(r, &query, count_row, &w, err);
    if (!w.more)
        add_window(&w);
    buf_addf(out, "],\"complete\":%s}", w.more ? "false" : "true");
    return c;
}

void api_windows(struct room *room, const struct request *q, struct readers *readers, struct answer *a)
{
    AUTO(arena) struct arena arena = {0};
    AUTO(buf) struct buf name = {0};
    const struct stored_aggregation *list, *one = NULL;
    size_t count, shown = 0;
    int64_t limit;
    struct err err = {0};
    struct results *r = open_results(readers, &arena, &list, &count, a);
    (void)room;
    if (!r || !read_limit(q, &limit, a))
        return;
    if (request_parameter(q, "aggregation", &name) && !(one = find_aggregation(list, count, buf_str(&name), a)))
        return;
    enum err_class c = ERR_NONE;
    buf_addz(&a->body, "{\"aggregations\":[");
    for (size_t i = 0; c == ERR_NONE && i < count; i++) {
        if (one && one != &list[i])
            continue;
        buf_addz(&a->body, shown++ ? "," : "");
        c = write_windows(r, &list[i], limit, &a->body, &err);
    }
    buf_addz(&a->body, "]}\n");
    a->type = json_type;
    if (c) {
        answer_error(a, &err);
        readers_drop(readers);
        return;
    }
    answer_compress(a, q);
}

/* ---- the ledger */

struct minute {
    int64_t minute;
    int64_t source[SOURCE_BUCKETS], task[TASK_BUCKETS];
};

struct minutes {
    enum tally_by by;
    int64_t from, to; /* [from, to) */
    const char *aggregation;
    struct minute *items;
};

static bool add_source(const struct tally_row *row, void *ctx)
{
    struct minutes *m = ctx;
    if (row->by == m->by && row->minute >= m->from && row->minute < m->to && row->bucket < SOURCE_BUCKETS)
        m->items[row->minute - m->from].source[row->bucket] += row->count;
    return true;
}

static bool add_task(const struct stored_tally *t, void *ctx)
{
    struct minutes *m = ctx;
    const struct tally_row *row = &t->row;
    if (row->by == m->by && row->minute >= m->from && row->minute < m->to && row->bucket < TASK_BUCKETS)
        m->items[row->minute - m->from].task[row->bucket] += row->count;
    return true;
}

static void add_counts(struct buf *out, const char *name, const char *const *names, const int64_t *counts, size_t n)
{
    buf_addf(out, ",\"%s\":{", name);
    for (size_t i = 0; i < n; i++)
        buf_addf(out, "%s\"%s\":\"%lld\"", i ? "," : "", names[i], (long long)counts[i]);
    buf_addc(out, '}');
}

static bool is_empty(const struct minute *m)
{
    for (size_t i = 0; i < SOURCE_BUCKETS; i++) {
        if (m->source[i])
            return false;
    }
    for (size_t i = 0; i < TASK_BUCKETS; i++) {
        if (m->task[i])
            return false;
    }
    return true;
}

static void write_minutes(const struct minutes *m, struct buf *out)
{
    bool first = true;
    for (int64_t i = 0; i < m->to - m->from; i++) {
        const struct minute *one = &m->items[i];
        if (is_empty(one))
            continue;
        buf_addz(out, first ? "{\"minute\":" : ",{\"minute\":");
        first = false;
        add_quoted_time(out, (m->from + i) * US_PER_MINUTE);
        add_counts(out, "source", source_bucket_names, one->source, SOURCE_BUCKETS);
        add_counts(out, "task", task_bucket_names, one->task, TASK_BUCKETS);
        buf_addc(out, '}');
    }
}

static bool read_minutes_query(const struct room *room, const struct request *q, struct minutes *m, struct answer *a)
{
    bool by_arrival;
    int64_t to_us = clock_wall(room->options.clock) + US_PER_MINUTE, from_us = TIME_NONE;
    if (!read_time(room, q, "to", &to_us, a))
        return false;
    from_us = to_us - 60 * US_PER_MINUTE;
    if (!read_time(room, q, "from", &from_us, a) || !read_choice(q, "by", "event", "arrival", &by_arrival, a))
        return false;
    m->by = by_arrival ? TALLY_ARRIVAL : TALLY_EVENT;
    m->from = floor_div(from_us, US_PER_MINUTE);
    m->to = floor_div(to_us + US_PER_MINUTE - 1, US_PER_MINUTE);
    if (m->from < m->to && m->to - m->from <= LEDGER_MINUTES)
        return true;
    answer_problem(a, 400, "Bad request", "from and to: at most %d minutes apart, from before to", LEDGER_MINUTES);
    return false;
}

static enum err_class read_minutes(struct readers *readers, struct minutes *m, struct err *err)
{
    struct journal_reader *journal;
    struct results *results;
    enum err_class c = readers_journal(readers, &journal, err);
    if (c || (c = journal_reader_tally(journal, add_source, m, err)))
        return c;
    /* The source's side is shown even while no task has stored anything. */
    if (!m->aggregation[0] || readers_results(readers, &results, err))
        return ERR_NONE;
    return results_tally(results, m->aggregation, add_task, m, err);
}

void api_ledger(struct room *room, const struct request *q, struct readers *readers, struct answer *a)
{
    struct minutes m = {0};
    struct ledger_line line;
    struct err err = {0};
    if (!read_minutes_query(room, q, &m, a))
        return;
    ledger_read(readers, &line);
    m.aggregation = line.aggregation;
    m.items = xcalloc((size_t)(m.to - m.from), sizeof(*m.items));
    if (read_minutes(readers, &m, &err)) {
        answer_error(a, &err);
        readers_drop(readers);
    } else {
        a->type = json_type;
        buf_addz(&a->body, "{\"total\":");
        ledger_write(&line, &a->body);
        buf_addf(&a->body, ",\"by\":\"%s\",\"minutes\":[", m.by == TALLY_ARRIVAL ? "arrival" : "event");
        write_minutes(&m, &a->body);
        buf_addz(&a->body, "]}\n");
        answer_compress(a, q);
    }
    free(m.items);
}
