/* SPDX-License-Identifier: MIT
 *
 * sqlite_results.c - reading results.db, beside its writer or from another process. Read-only; pages of whole rows, no
 * transaction across a callback. So a long read is not one moment: between two pages a commit may happen, but every row
 * is one that was committed.
 */
#include "base/clock.h"
#include "sink/sqlite.h"

#include <stdlib.h>

struct sqlite_results {
    struct results base; /* first */
    struct db db;
};

static struct db *db_of(struct results *r)
{
    return &((struct sqlite_results *)r)->db;
}

static void sqlite_results_close(struct results *r)
{
    db_close(db_of(r));
    free(r);
}

static enum err_class sqlite_results_hold(struct results *r, struct err *err)
{
    return db_hold(db_of(r), err);
}

static void sqlite_results_release(struct results *r)
{
    db_release(db_of(r));
}

static const char *text_dup(struct arena *arena, sqlite3_stmt *st, int at)
{
    return arena_dup(arena, db_column(st, at)).ptr;
}

/* ---- what is declared */

static enum err_class columns_load(struct db *db, struct arena *arena, struct stored_aggregation *a, struct err *err)
{
    sqlite3_stmt *st = NULL;
    bool row = true;
    struct column *keys = arena_zalloc(arena, COLUMNS_MAX * sizeof *keys);
    struct column *measures = arena_zalloc(arena, COLUMNS_MAX * sizeof *measures);
    enum err_class c = db_prepare(
        db, "SELECT role = 'key', name, label, type, sketch FROM wt_columns WHERE aggregation = ?1 ORDER BY position",
        &st, err);
    if (!c) {
        db_bind_text(st, 1, str_of(a->name));
    }
    while (!c && (c = db_step(db, st, &row, err)) == ERR_NONE && row) {
        bool is_key = sqlite3_column_int(st, 0) != 0;
        struct column column = {.name = text_dup(arena, st, 1),
                                .label = text_dup(arena, st, 2),
                                .type = (enum column_type)sqlite3_column_int(st, 3),
                                .sketch = sqlite3_column_int(st, 4) != 0};
        if (a->key_count + a->measure_count == COLUMNS_MAX || !name_is_valid(column.name)) {
            c = err_set(err, ERR_FATAL, EXIT_DATA, "results: the stored columns of '%s' are not ours", a->name);
        } else if (is_key) {
            keys[a->key_count++] = column;
        } else {
            measures[a->measure_count++] = column;
        }
    }
    sqlite3_finalize(st);
    a->keys = keys;
    a->measures = measures;
    return c;
}

static enum err_class sqlite_results_aggregations(struct results *r, struct arena *arena,
                                                  const struct stored_aggregation **ret_list, size_t *ret_count,
                                                  struct err *err)
{
    struct db *db = db_of(r);
    sqlite3_stmt *st = NULL;
    bool row = true;
    int64_t count = 0;
    size_t n = 0;
    enum err_class c = db_query_int(db, "SELECT count(*) FROM wt_aggregations", &count, err);
    if (c) {
        return c;
    }
    struct stored_aggregation *list = arena_zalloc(arena, ((size_t)count + 1) * sizeof *list);
    c = db_prepare(db, "SELECT name, size_us, slide_us, shown, definition FROM wt_aggregations ORDER BY number", &st,
                   err);
    while (!c && n < (size_t)count && (c = db_step(db, st, &row, err)) == ERR_NONE && row) {
        list[n++] = (struct stored_aggregation){.name = text_dup(arena, st, 0),
                                                .size_us = sqlite3_column_int64(st, 1),
                                                .slide_us = sqlite3_column_int64(st, 2),
                                                .shown = sqlite3_column_int64(st, 3),
                                                .definition = text_dup(arena, st, 4)};
        if (!name_is_valid(list[n - 1].name)) {
            c = err_set(err, ERR_FATAL, EXIT_DATA, "results: a stored aggregation's name is not ours");
        }
    }
    sqlite3_finalize(st);
    for (size_t i = 0; !c && i < n; i++) {
        c = columns_load(db, arena, &list[i], err);
    }
    *ret_list = list;
    *ret_count = n;
    return c;
}

/* ---- rows */

struct row_reader {
    struct db *db;
    const struct stored_aggregation *a;
    const struct results_query *q;
    sqlite3_stmt *first, *next;
    struct arena arena; /* of one page */
    char from[TIME_TEXT_BYTES], to[TIME_TEXT_BYTES];
    struct buf last_start, last_key; /* the row a page ended with */
    int64_t last_partition;
};

static void row_reader_fini(struct row_reader *rr)
{
    sqlite3_finalize(rr->first);
    sqlite3_finalize(rr->next);
    arena_fini(&rr->arena);
    buf_fini(&rr->last_start);
    buf_fini(&rr->last_key);
}

static void add_select(struct buf *sql, const struct stored_aggregation *a)
{
    buf_addz(sql,
             "SELECT r.window_start, r.window_end, r.key, r.partition, r.generation, r.epoch, r.revision, r.final,"
             " r.closed_by, EXISTS (SELECT 1 FROM wt_torn t WHERE t.aggregation = ?1 AND t.generation = r.generation"
             " AND t.partition = r.partition AND r.window_start BETWEEN t.from_window AND t.to_window)");
    for (size_t i = 0; i < a->key_count; i++) {
        buf_addf(sql, ", r.\"%s\"", a->keys[i].name);
    }
    for (size_t i = 0; i < a->measure_count; i++) {
        buf_addf(sql, ", r.\"%s\"", a->measures[i].name);
    }
    for (size_t i = 0; i < a->measure_count; i++) {
        if (a->measures[i].sketch) {
            buf_addf(sql, ", r.\"%s_sketch\"", a->measures[i].name);
        }
    }
}

/* The casts: SQLite puts a bare parameter in the place of the column wherever it stands, also into the checksum
 * (db_sum.h), which would then be asked of rows that are not wanted.
 *
 * ?1 aggregation, ?2 from, ?3 to, ?4 partition, ?5 generation; of the next pages ?6 window_start, ?7 key, ?8 partition
 * of the row before. */
static void rows_sql(struct buf *sql, const struct stored_aggregation *a, const struct results_query *q, bool next)
{
    add_select(sql, a);
    buf_addf(sql, " FROM \"%s_rows\" r", a->name);
    if (q->generation < 0) {
        buf_addz(sql,
                 " CROSS JOIN wt_shown s ON s.aggregation = ?1 AND s.generation = r.generation AND r.window_start >="
                 " s.from_window AND r.window_start < s.to_window");
    }
    buf_addf(sql, " WHERE r.window_start >= %s AND r.window_start %s", next && !q->newest_first ? "?6" : "?2",
             next && q->newest_first ? "<= ?6" : "< ?3");
    if (next) {
        buf_addf(sql, " AND (r.window_start %s ?6 OR (r.key, r.partition) > (?7, ?8))%s", q->newest_first ? "<" : ">",
                 q->newest_first ? " AND ?3 IS NOT NULL" : " AND r.window_start < ?3");
    }
    buf_addf(sql, "%s%s ORDER BY r.window_start%s, r.key, r.partition LIMIT %d",
             q->partition >= 0 ? " AND r.partition = CAST(?4 AS INTEGER)" : "",
             q->generation >= 0 ? " AND r.generation = CAST(?5 AS INTEGER)" : "", q->newest_first ? " DESC" : "",
             RESULTS_PAGE);
}

static enum err_class rows_prepare(struct row_reader *rr, struct err *err)
{
    AUTO(buf) struct buf first = {0}, next = {0};
    rows_sql(&first, rr->a, rr->q, false);
    rows_sql(&next, rr->a, rr->q, true);
    enum err_class c = db_prepare(rr->db, first.ptr, &rr->first, err);
    return c ? c : db_prepare(rr->db, next.ptr, &rr->next, err);
}

static void rows_bind(struct row_reader *rr, sqlite3_stmt *st)
{
    db_bind_text(st, 1, str_of(rr->a->name));
    db_bind_text(st, 2, str_of(rr->from));
    db_bind_text(st, 3, str_of(rr->to));
    if (rr->q->partition >= 0) {
        sqlite3_bind_int64(st, 4, rr->q->partition);
    }
    if (rr->q->generation >= 0) {
        sqlite3_bind_int64(st, 5, rr->q->generation);
    }
    if (st == rr->next) {
        db_bind_text(st, 6, buf_str(&rr->last_start));
        db_bind_text(st, 7, buf_str(&rr->last_key));
        sqlite3_bind_int64(st, 8, rr->last_partition);
    }
}

static struct cell cell_column(sqlite3_stmt *st, int at, enum column_type type, struct arena *arena)
{
    struct cell cell = {0};
    switch (sqlite3_column_type(st, at)) {
    case SQLITE_NULL:
        break;
    case SQLITE_INTEGER:
        cell.number = sqlite3_column_int64(st, at);
        cell.kind = type == COLUMN_BOOL && (cell.number == 0 || cell.number == 1) ? CELL_BOOL : CELL_INT;
        break;
    default:
        cell.kind = CELL_TEXT;
        cell.text = arena_dup(arena, db_column(st, at));
    }
    return cell;
}

static enum err_class row_column(struct row_reader *rr, sqlite3_stmt *st, struct stored_row *ret, struct err *err)
{
    const struct stored_aggregation *a = rr->a;
    struct cell *keys = arena_zalloc(&rr->arena, (a->key_count + a->measure_count + 1) * sizeof *keys);
    struct cell *measures = keys + a->key_count;
    struct str *sketches = arena_zalloc(&rr->arena, (a->measure_count + 1) * sizeof *sketches);
    int at = 10;
    *ret = (struct stored_row){
        .aggregation = a->name,
        .partition = (uint32_t)sqlite3_column_int64(st, 3),
        .generation = sqlite3_column_int64(st, 4),
        .epoch = sqlite3_column_int64(st, 5),
        .torn = sqlite3_column_int(st, 9) != 0,
        .row = {.key = arena_dup(&rr->arena, db_column(st, 2)),
                .revision = sqlite3_column_int64(st, 6),
                .final = sqlite3_column_int(st, 7) != 0,
                .closed_by = sqlite3_column_type(st, 8) == SQLITE_NULL ? -1 : sqlite3_column_int64(st, 8),
                .keys = keys,
                .measures = measures,
                .sketches = sketches}};
    for (size_t i = 0; i < a->key_count; i++) {
        keys[i] = cell_column(st, at++, a->keys[i].type, &rr->arena);
    }
    for (size_t i = 0; i < a->measure_count; i++) {
        measures[i] = cell_column(st, at++, a->measures[i].type, &rr->arena);
    }
    for (size_t i = 0; i < a->measure_count; i++) {
        if (a->measures[i].sketch) {
            struct str sketch = db_column(st, at++);
            sketches[i] = sketch.len ? arena_dup(&rr->arena, sketch) : (struct str){0};
        }
    }
    if (!time_of_text(db_column(st, 0), &ret->row.window_start_us) ||
        !time_of_text(db_column(st, 1), &ret->row.window_end_us)) {
        return err_set(err, ERR_FATAL, EXIT_DATA, "results: a row of '%s' has no readable window", a->name);
    }
    return ERR_NONE;
}

static enum err_class page_load(struct row_reader *rr, sqlite3_stmt *st, struct stored_row *rows, size_t *ret_count,
                                struct err *err)
{
    bool row = true;
    size_t n = 0;
    enum err_class c = ERR_NONE;
    rows_bind(rr, st);
    while (n < RESULTS_PAGE && (c = db_step(rr->db, st, &row, err)) == ERR_NONE && row) {
        c = row_column(rr, st, &rows[n], err);
        if (c) {
            break;
        }
        n++;
        if (n == RESULTS_PAGE) {
            buf_clear(&rr->last_start);
            buf_add(&rr->last_start, db_column(st, 0));
            buf_clear(&rr->last_key);
            buf_add(&rr->last_key, db_column(st, 2));
            rr->last_partition = sqlite3_column_int64(st, 3);
        }
    }
    sqlite3_reset(st);
    *ret_count = n;
    return c;
}

static enum err_class rows_read(struct row_reader *rr, int64_t *left, bool *more,
                                bool (*each)(const struct stored_row *row, void *ctx), void *ctx, struct err *err)
{
    AUTO_FREE struct stored_row *rows = xcalloc(RESULTS_PAGE, sizeof *rows);
    size_t count = RESULTS_PAGE;
    enum err_class c = rows_prepare(rr, err);
    for (bool first = true; !c && *more && count == RESULTS_PAGE && *left != 0; first = false) {
        arena_reset(&rr->arena);
        c = page_load(rr, first ? rr->first : rr->next, rows, &count, err);
        for (size_t i = 0; !c && *more && i < count && *left != 0; i++, --*left) {
            *more = each(&rows[i], ctx);
        }
    }
    return c;
}

static enum err_class sqlite_results_rows(struct results *r, const struct results_query *q,
                                          bool (*each)(const struct stored_row *row, void *ctx), void *ctx,
                                          struct err *err)
{
    AUTO(arena) struct arena arena = {0};
    const struct stored_aggregation *list;
    size_t count;
    int64_t left = q->limit > 0 ? q->limit : -1;
    bool more = true;
    enum err_class c = sqlite_results_aggregations(r, &arena, &list, &count, err);
    for (size_t i = 0; !c && more && i < count; i++) {
        if (q->aggregation != NULL && strcmp(q->aggregation, list[i].name) != 0) {
            continue;
        }
        AUTO(row_reader) struct row_reader rr = {.db = db_of(r), .a = &list[i], .q = q};
        time_text(rr.from, q->from_us == TIME_NONE ? INT64_MIN : q->from_us);
        time_text(rr.to, q->to_us == TIME_NONE ? INT64_MAX : q->to_us);
        c = rows_read(&rr, &left, &more, each, ctx, err);
    }
    return c;
}

/* ---- ledger, lines, torn spans, marks */

static enum err_class sqlite_results_tally(struct results *r, const char *aggregation,
                                           bool (*each)(const struct stored_tally *t, void *ctx), void *ctx,
                                           struct err *err)
{
    AUTO(arena) struct arena arena = {0};
    sqlite3_stmt *st = NULL;
    bool row = true;
    struct stored_tally *list = NULL;
    size_t count = 0, cap = 0;
    enum err_class c =
        db_prepare(db_of(r),
                   "SELECT a.task, a.name, l.generation, l.partition, l.side, l.minute, l.bucket, l.count"
                   " FROM wt_aggregations a JOIN wt_ledger l ON l.aggregation = a.name AND l.generation ="
                   " a.shown WHERE ?1 IS NULL OR a.name = ?1 ORDER BY a.number, l.generation, l.partition,"
                   " l.side, l.minute, l.bucket",
                   &st, err);
    if (!c) {
        db_bind_text(st, 1, str_of(aggregation));
    }
    const char *task = NULL, *name = NULL;
    while (!c && (c = db_step(db_of(r), st, &row, err)) == ERR_NONE && row) { /* bounded: 32 days of minutes a lane */
        if (count == cap) {
            cap = cap ? cap * 2 : 1024;
            list = xrealloc(list, cap * sizeof *list);
        }
        if (name == NULL || !str_eqz(db_column(st, 1), name)) {
            task = text_dup(&arena, st, 0);
            name = text_dup(&arena, st, 1);
        }
        list[count++] = (struct stored_tally){.task = task,
                                              .aggregation = name,
                                              .generation = sqlite3_column_int64(st, 2),
                                              .partition = (uint32_t)sqlite3_column_int64(st, 3),
                                              .row = {.by = (enum tally_by)sqlite3_column_int(st, 4),
                                                      .minute = sqlite3_column_int64(st, 5),
                                                      .bucket = (uint8_t)sqlite3_column_int(st, 6),
                                                      .count = sqlite3_column_int64(st, 7)}};
    }
    sqlite3_finalize(st);
    for (size_t i = 0; !c && i < count && each(&list[i], ctx); i++) {
    }
    free(list);
    return c;
}

static enum err_class sqlite_results_lines(struct results *r, bool (*each)(const struct stored_line *l, void *ctx),
                                           void *ctx, struct err *err)
{
    AUTO(arena) struct arena arena = {0};
    sqlite3_stmt *st = NULL;
    bool row = true;
    struct stored_line *list = NULL;
    size_t count = 0, cap = 0;
    enum err_class c =
        db_prepare(db_of(r),
                   "SELECT a.task, a.name, l.generation, l.partition, a.shown = l.generation,"
                   " coalesce((SELECT b.position FROM wt_begins b WHERE b.aggregation = a.name AND b.generation ="
                   " l.generation AND b.partition = l.partition), 0), " LINE_COLUMNS
                   " FROM wt_aggregations a JOIN wt_lines l ON l.aggregation = a.name"
                   " ORDER BY a.number, l.generation, l.partition",
                   &st, err);
    while (!c && (c = db_step(db_of(r), st, &row, err)) == ERR_NONE && row) {
        if (count == cap) {
            cap = cap ? cap * 2 : 64;
            list = xrealloc(list, cap * sizeof *list);
        }
        list[count] = (struct stored_line){.task = text_dup(&arena, st, 0),
                                           .aggregation = text_dup(&arena, st, 1),
                                           .generation = sqlite3_column_int64(st, 2),
                                           .partition = (uint32_t)sqlite3_column_int64(st, 3),
                                           .shown = sqlite3_column_int(st, 4) != 0,
                                           .begin = sqlite3_column_int64(st, 5)};
        c = sqlite_line_column(st, 6, &arena, &list[count].line, err);
        count += !c;
    }
    sqlite3_finalize(st);
    for (size_t i = 0; !c && i < count && each(&list[i], ctx); i++) {
    }
    free(list);
    return c;
}

static enum err_class sqlite_results_torn(struct results *r, const char *aggregation,
                                          bool (*each)(uint32_t partition, const struct torn_span *t, void *ctx),
                                          void *ctx, struct err *err)
{
    sqlite3_stmt *st = NULL;
    bool row = true, more = true; /* at most TORN_MAX small rows a lane: the callback may see them one by one */
    enum err_class c = db_prepare(db_of(r),
                                  "SELECT t.partition, t.from_us, t.to_us FROM wt_aggregations a JOIN wt_torn t ON"
                                  " t.aggregation = a.name AND t.generation = a.shown WHERE ?1 IS NULL OR a.name = ?1"
                                  " ORDER BY a.number, t.partition, t.id",
                                  &st, err);
    if (!c) {
        db_bind_text(st, 1, str_of(aggregation));
    }
    while (!c && more && (c = db_step(db_of(r), st, &row, err)) == ERR_NONE && row) {
        struct torn_span span = {sqlite3_column_int64(st, 1), sqlite3_column_int64(st, 2)};
        more = each((uint32_t)sqlite3_column_int64(st, 0), &span, ctx);
    }
    sqlite3_finalize(st);
    return c;
}

static enum err_class sqlite_results_mark(struct results *r, const char *aggregation, int64_t generation,
                                          uint32_t partition, int64_t from_us, struct arena *arena,
                                          struct mark *ret_mark, bool *ret_found, struct err *err)
{
    sqlite3_stmt *st = NULL;
    bool row = false;
    enum err_class c =
        db_prepare(db_of(r),
                   "SELECT offset, arrival_minute, stream_us, change_seen, topic FROM wt_marks WHERE aggregation = ?1"
                   " AND generation = ?2 AND partition = ?3 AND (stream_us IS NULL OR stream_us < ?4)"
                   " ORDER BY offset DESC LIMIT 1",
                   &st, err);
    if (!c) {
        db_bind_text(st, 1, str_of(aggregation));
        sqlite3_bind_int64(st, 2, generation);
        sqlite3_bind_int64(st, 3, partition);
        sqlite3_bind_int64(st, 4, from_us);
        c = db_step(db_of(r), st, &row, err);
    }
    if (!c) {
        *ret_found = row;
    }
    if (!c && row) {
        *ret_mark = (struct mark){.offset = sqlite3_column_int64(st, 0), .arrival_minute = sqlite3_column_int64(st, 1)};
        time_state_column(st, 2, arena, &ret_mark->before);
    }
    sqlite3_finalize(st);
    return c;
}

/* ---- dead letters */

enum { DEAD_PAGE_ROWS = 64, DEAD_PAGE_BYTES = 16 << 20 };

static void dead_column(sqlite3_stmt *st, struct arena *arena, struct dead_letter *d)
{
    struct str detail = db_column(st, 3);
    *d = (struct dead_letter){.id = sqlite3_column_int64(st, 0),
                              .stage = text_dup(arena, st, 1),
                              .reason = text_dup(arena, st, 2),
                              .detail = arena_dup(arena, detail),
                              .position = arena_dup(arena, db_column(st, 4)),
                              .arrival_us = column_time(st, 5),
                              .stream_us = column_time(st, 6),
                              .retried_us = column_time(st, 7),
                              .bytes = arena_dup(arena, db_column(st, 8))};
}

static enum err_class dead_page(struct db *db, sqlite3_stmt *st, int64_t from_id, struct arena *arena,
                                struct dead_letter *page, size_t *ret_count, struct err *err)
{
    bool row = true;
    size_t n = 0;
    enum err_class c = ERR_NONE;
    sqlite3_bind_int64(st, 1, from_id);
    while (n < DEAD_PAGE_ROWS && arena->used_bytes < DEAD_PAGE_BYTES && (c = db_step(db, st, &row, err)) == ERR_NONE &&
           row) {
        dead_column(st, arena, &page[n++]);
    }
    sqlite3_reset(st);
    *ret_count = n;
    return c;
}

static enum err_class sqlite_results_dead(struct results *r, int64_t from_id,
                                          bool (*each)(const struct dead_letter *d, void *ctx), void *ctx,
                                          struct err *err)
{
    AUTO(arena) struct arena arena = {0};
    struct dead_letter page[DEAD_PAGE_ROWS];
    sqlite3_stmt *st = NULL;
    size_t count = 1;
    bool more = true;
    enum err_class c = db_prepare(db_of(r),
                                  "SELECT id, stage, reason, detail, position, arrival_us, stream_us, retried_us, bytes"
                                  " FROM wt_dead_letters WHERE id >= ?1 ORDER BY id",
                                  &st, err);
    while (!c && more && count > 0) {
        arena_reset(&arena);
        c = dead_page(db_of(r), st, from_id, &arena, page, &count, err);
        for (size_t i = 0; !c && more && i < count; i++) {
            from_id = page[i].id + 1;
            more = each(&page[i], ctx);
        }
    }
    sqlite3_finalize(st);
    return c;
}

/* ---- life */

static const struct results_ops sqlite_results_ops = {
    .close = sqlite_results_close,
    .hold = sqlite_results_hold,
    .release = sqlite_results_release,
    .aggregations = sqlite_results_aggregations,
    .rows = sqlite_results_rows,
    .tally = sqlite_results_tally,
    .lines = sqlite_results_lines,
    .torn = sqlite_results_torn,
    .mark = sqlite_results_mark,
    .dead = sqlite_results_dead,
};

enum err_class results_open(const char *directory, struct results **ret_results, struct err *err)
{
    AUTO(buf) struct buf path = {0};
    buf_addf(&path, "%s/results.db", directory);
    struct sqlite_results *r = xcalloc(1, sizeof *r);
    r->base.ops = &sqlite_results_ops;
    enum err_class c = db_open_reader(&r->db, path.ptr, &results_kind, err);
    if (c) {
        free(r);
        return c;
    }
    *ret_results = &r->base;
    return ERR_NONE;
}
