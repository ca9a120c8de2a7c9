/* SPDX-License-Identifier: MIT
 *
 * sqlite_generation.c - definitions of an aggregation and which of them readers see (R15), in results.db.
 */
#include "base/clock.h"
#include "base/fault.h"
#include "sink/sqlite.h"

static enum err_class begins_load(struct sqlite_sink *s, const char *name, struct generation *g, struct arena *arena,
                                  struct err *err)
{
    sqlite3_stmt *st = NULL;
    bool row = true;
    struct generation_begin *begins = arena_zalloc(arena, PARTITION_MAX * sizeof *begins);
    enum err_class c = db_prepare(&s->db,
                                  "SELECT partition, position, has_last, last, arrival_us, target FROM wt_begins"
                                  " WHERE aggregation = ?1 AND generation = ?2 AND partition < 64 ORDER BY partition",
                                  &st, err);
    if (!c) {
        db_bind_text(st, 1, str_of(name));
        sqlite3_bind_int64(st, 2, g->number);
    }
    while (!c && (c = db_step(&s->db, st, &row, err)) == ERR_NONE && row) {
        size_t p = (size_t)sqlite3_column_int64(st, 0);
        if (p >= PARTITION_MAX) {
            continue;
        }
        begins[p] = (struct generation_begin){.position = sqlite3_column_int64(st, 1),
                                              .has_last = sqlite3_column_int(st, 2) != 0,
                                              .last = (uint64_t)sqlite3_column_int64(st, 3),
                                              .arrival_us = column_time(st, 4),
                                              .target = sqlite3_column_int64(st, 5)};
        g->begin_count = p + 1;
    }
    sqlite3_finalize(st);
    g->begins = begins;
    return c;
}

static void generation_column(sqlite3_stmt *st, struct arena *arena, struct generation *g)
{
    *g = (struct generation){.number = sqlite3_column_int64(st, 0),
                             .definition = arena_dup(arena, db_column(st, 1)),
                             .definition_hash = (uint64_t)sqlite3_column_int64(st, 2),
                             .journal_id = arena_dup(arena, db_column(st, 3)),
                             .epoch = sqlite3_column_int64(st, 4),
                             .base = sqlite3_column_int64(st, 5),
                             .first_window_us = sqlite3_column_int64(st, 6)};
}

static enum err_class generations_load(struct sqlite_sink *s, const char *name, struct arena *arena,
                                       struct generation **ret_list, size_t *ret_count, struct err *err)
{
    sqlite3_stmt *st = NULL;
    bool row = true;
    struct generation *list = NULL;
    size_t count = 0, cap = 0;
    enum err_class c = db_prepare(&s->db,
                                  "SELECT number, definition, definition_hash, journal_id, epoch, base, first_window_us"
                                  " FROM wt_generations WHERE aggregation = ?1 ORDER BY number",
                                  &st, err);
    if (!c) {
        db_bind_text(st, 1, str_of(name));
    }
    while (!c && (c = db_step(&s->db, st, &row, err)) == ERR_NONE && row) {
        if (count == cap) {
            struct generation *more = arena_alloc(arena, (cap ? cap * 2 : 8) * sizeof *more);
            memcpy(more, list ? list : more, count * sizeof *more);
            cap = cap ? cap * 2 : 8;
            list = more;
        }
        generation_column(st, arena, &list[count++]);
    }
    sqlite3_finalize(st);
    for (size_t i = 0; !c && i < count; i++) {
        c = begins_load(s, name, &list[i], arena, err);
    }
    *ret_list = list;
    *ret_count = count;
    return c;
}

static enum err_class shown_load(struct sqlite_sink *s, const char *name, int64_t *ret_shown, struct err *err)
{
    sqlite3_stmt *st = NULL;
    bool row = false;
    enum err_class c = db_prepare(&s->db, "SELECT shown FROM wt_aggregations WHERE name = ?1", &st, err);
    if (!c) {
        db_bind_text(st, 1, str_of(name));
        c = db_step(&s->db, st, &row, err);
    }
    if (!c) {
        *ret_shown = row ? sqlite3_column_int64(st, 0) : -1;
    }
    sqlite3_finalize(st);
    return c;
}

enum err_class sqlite_generations(struct sink *base, size_t aggregation, struct arena *arena,
                                  const struct generation **ret_list, size_t *ret_count, int64_t *ret_shown,
                                  struct err *err)
{
    struct sqlite_sink *s = (struct sqlite_sink *)base;
    const char *name = s->aggregations[aggregation].schema->name;
    struct generation *list;
    size_t count;
    int64_t shown;
    enum err_class c = generations_load(s, name, arena, &list, &count, err);
    c = c ? c : shown_load(s, name, &shown, err);
    if (!c) {
        *ret_list = list;
        *ret_count = count;
        *ret_shown = shown;
    }
    return c;
}

/* ---- which windows are shown of which generation */

static enum err_class span_put(struct sqlite_sink *s, const char *name, const struct shown_span *span, struct err *err)
{
    char from[TIME_TEXT_BYTES], to[TIME_TEXT_BYTES];
    sqlite3_stmt *st = s->statements[SHOWN_PUT];
    time_text(from, span->from_us);
    time_text(to, span->to_us);
    db_bind_text(st, 1, str_of(name));
    sqlite3_bind_int64(st, 2, span->generation);
    db_bind_text(st, 3, str_of(from));
    db_bind_text(st, 4, str_of(to));
    return db_run(&s->db, st, err);
}

enum err_class sqlite_show(struct sqlite_sink *s, const char *name, int64_t generation, struct err *err)
{
    AUTO(arena) struct arena arena = {0};
    struct generation *list;
    size_t count;
    enum err_class c = generations_load(s, name, &arena, &list, &count, err);
    if (c) {
        return c;
    }
    struct shown_span *spans = arena_alloc(&arena, (count + 1) * sizeof *spans);
    size_t span_count = shown_spans(list, count, generation, spans);
    db_bind_text(s->statements[SHOWN_SET], 1, str_of(name));
    sqlite3_bind_int64(s->statements[SHOWN_SET], 2, generation);
    db_bind_text(s->statements[SHOWN_CLEAR], 1, str_of(name));
    c = db_run(&s->db, s->statements[SHOWN_SET], err);
    c = c ? c : db_run(&s->db, s->statements[SHOWN_CLEAR], err);
    c = c ? c : failpoint_err("sink.in_show", err);
    for (size_t i = 0; !c && i < span_count; i++) {
        c = span_put(s, name, &spans[i], err);
    }
    return c;
}

/* ---- a new one */

static enum err_class begins_put(struct sqlite_sink *s, const char *name, const struct generation *g, struct err *err)
{
    sqlite3_stmt *st = s->statements[BEGIN_PUT];
    enum err_class c = ERR_NONE;
    for (size_t p = 0; !c && p < g->begin_count; p++) {
        const struct generation_begin *b = &g->begins[p];
        db_bind_text(st, 1, str_of(name));
        sqlite3_bind_int64(st, 2, g->number);
        sqlite3_bind_int64(st, 3, (int64_t)p);
        sqlite3_bind_int64(st, 4, b->position);
        sqlite3_bind_int64(st, 5, b->has_last);
        sqlite3_bind_int64(st, 6, (int64_t)b->last);
        bind_time(st, 7, b->arrival_us);
        sqlite3_bind_int64(st, 8, b->target);
        c = db_run(&s->db, st, err);
    }
    return c;
}

static enum err_class generation_put(struct sqlite_sink *s, const char *name, const struct generation *g,
                                     struct err *err)
{
    sqlite3_stmt *st = s->statements[GENERATION_PUT];
    db_bind_text(st, 1, str_of(name));
    sqlite3_bind_int64(st, 2, g->number);
    db_bind_text(st, 3, g->definition.ptr ? g->definition : STR(""));
    sqlite3_bind_int64(st, 4, (int64_t)g->definition_hash);
    db_bind_text(st, 5, g->journal_id.ptr ? g->journal_id : STR(""));
    sqlite3_bind_int64(st, 6, g->epoch);
    sqlite3_bind_int64(st, 7, g->base);
    sqlite3_bind_int64(st, 8, g->first_window_us);
    enum err_class c = db_run(&s->db, st, err);
    return c ? c : begins_put(s, name, g, err);
}

static enum err_class begin_in(struct sqlite_sink *s, const char *name, const struct generation *g, bool show,
                               struct err *err)
{
    AUTO(arena) struct arena arena = {0};
    struct generation *list;
    size_t count;
    enum err_class c = generations_load(s, name, &arena, &list, &count, err);
    if (c) {
        return c;
    }
    bool repeat = count > 0 && generation_same(&list[count - 1], g);
    if (!repeat && g->number != (count > 0 ? list[count - 1].number + 1 : 0)) {
        return fenced(err, name, g->number, 0, "there is such a generation already");
    }
    if (!repeat) {
        c = generation_put(s, name, g, err);
        c = c ? c : failpoint_err("sink.in_begin", err);
    }
    return c || !show ? c : sqlite_show(s, name, g->number, err);
}

enum err_class sqlite_begin(struct sink *base, size_t aggregation, const struct generation *g, bool show,
                            struct err *err)
{
    struct sqlite_sink *s = (struct sqlite_sink *)base;
    struct err own = {0}, *e = err ? err : &own;
    ensure(g->begin_count <= PARTITION_MAX);
    enum err_class c = sqlite_sink_begin(s, e);
    if (c) {
        return c;
    }
    c = begin_in(s, s->aggregations[aggregation].schema->name, g, show, e);
    return db_end(&s->db, c, e);
}
