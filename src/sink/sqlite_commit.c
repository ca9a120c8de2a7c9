/* SPDX-License-Identifier: MIT
 *
 * sqlite_commit.c - a commit of a task in results.db (R8, R10-R12, R15): every lane is checked first, then rows, lines,
 * ledger, torn spans, marks and dead letters are written, all in one transaction.
 */
#include "base/clock.h"
#include "base/fault.h"
#include "sink/sqlite.h"

#include <stdlib.h>

/* ---- lines */

static void time_state_bind(sqlite3_stmt *st, int at, const struct time_state *t)
{
    bind_time(st, at, t->stream_us);
    sqlite3_bind_int64(st, at + 1, t->change_seen);
    db_bind_text(st, at + 2, t->topic);
}

void time_state_column(sqlite3_stmt *s, int at, struct arena *arena, struct time_state *ret)
{
    struct str topic = db_column(s, at + 2);
    *ret = (struct time_state){.stream_us = column_time(s, at),
                               .change_seen = sqlite3_column_int(s, at + 1) != 0,
                               .topic = topic.ptr ? arena_dup(arena, topic) : topic};
}

/* "12-15,20-31" */
static void gaps_text(struct buf *b, const struct task_line *line)
{
    for (size_t i = 0; i < line->gap_count; i++) {
        buf_addz(b, i ? "," : "");
        buf_add_int(b, line->gaps[i].from);
        buf_addc(b, '-');
        buf_add_int(b, line->gaps[i].to);
    }
}

static bool gaps_parse(struct str text, struct arena *arena, struct task_line *line)
{
    size_t cap = 1;
    for (size_t i = 0; i < text.len; i++) {
        cap += text.ptr[i] == ',';
    }
    struct offset_span *gaps = arena_alloc(arena, cap * sizeof *gaps);
    struct str part, from;
    line->gap_count = 0;
    line->gaps = gaps;
    while (str_split(&text, ',', &part)) {
        struct offset_span *g = &gaps[line->gap_count++];
        if (!str_split(&part, '-', &from) || !str_to_int64(from, &g->from) || !str_to_int64(part, &g->to)) {
            return false;
        }
    }
    return true;
}

enum err_class sqlite_line_column(sqlite3_stmt *s, int at, struct arena *arena, struct task_line *ret_line,
                                  struct err *err)
{
    struct task_line line = {.version = sqlite3_column_int64(s, at),
                             .position = sqlite3_column_int64(s, at + 1),
                             .has_last = sqlite3_column_int(s, at + 2) != 0,
                             .last = (uint64_t)sqlite3_column_int64(s, at + 3),
                             .arrival_us = column_time(s, at + 4),
                             .replay_from = sqlite3_column_int64(s, at + 5),
                             .first_window_us = sqlite3_column_int64(s, at + 6)};
    time_state_column(s, at + 8, arena, &line.now);
    time_state_column(s, at + 11, arena, &line.before);
    if (!gaps_parse(db_column(s, at + 7), arena, &line)) {
        return err_set(err, ERR_FATAL, EXIT_DATA, "results: a stored line has unreadable gaps");
    }
    *ret_line = line;
    return ERR_NONE;
}

static void lane_bind(sqlite3_stmt *st, const char *name, int64_t generation, uint32_t partition)
{
    db_bind_text(st, 1, str_of(name));
    sqlite3_bind_int64(st, 2, generation);
    sqlite3_bind_int64(st, 3, partition);
}

enum err_class sqlite_line(struct sink *base, size_t aggregation, int64_t generation, uint32_t partition,
                           struct arena *arena, struct task_line *ret_line, bool *ret_found, struct err *err)
{
    struct sqlite_sink *s = (struct sqlite_sink *)base;
    sqlite3_stmt *st = s->statements[LINE_GET];
    bool row = false;
    lane_bind(st, s->aggregations[aggregation].schema->name, generation, partition);
    enum err_class c = db_step(&s->db, st, &row, err);
    if (!c && row) {
        c = sqlite_line_column(st, 0, arena, ret_line, err);
    }
    if (!c) {
        *ret_found = row;
    }
    sqlite3_reset(st);
    return c;
}

static enum err_class line_put(struct sqlite_sink *s, const char *name, const struct lane_commit *l, struct err *err)
{
    AUTO(buf) struct buf gaps = {0};
    sqlite3_stmt *st = s->statements[LINE_PUT];
    const struct task_line *line = &l->line;
    gaps_text(&gaps, line);
    lane_bind(st, name, l->generation, l->partition);
    sqlite3_bind_int64(st, 4, l->old_version + 1);
    sqlite3_bind_int64(st, 5, line->position);
    sqlite3_bind_int64(st, 6, line->has_last);
    sqlite3_bind_int64(st, 7, (int64_t)line->last);
    bind_time(st, 8, line->arrival_us);
    sqlite3_bind_int64(st, 9, line->replay_from);
    sqlite3_bind_int64(st, 10, line->first_window_us);
    db_bind_text(st, 11, gaps.len ? buf_str(&gaps) : STR(""));
    time_state_bind(st, 12, &line->now);
    time_state_bind(st, 15, &line->before);
    return db_run(&s->db, st, err);
}

/* ---- the compare of compare-and-set */

/* *ret_floor: the ledger's floor as of the stored line. */
static enum err_class lane_check(struct sqlite_sink *s, const char *name, const struct lane_commit *l,
                                 int64_t *ret_floor, struct err *err)
{
    sqlite3_stmt *st = s->statements[LANE_STATE];
    bool row = false;
    lane_bind(st, name, l->generation, l->partition);
    enum err_class c = db_step(&s->db, st, &row, err);
    if (c) {
        return c;
    }
    int64_t last = row && sqlite3_column_type(st, 0) != SQLITE_NULL ? sqlite3_column_int64(st, 0) : -1;
    int64_t version = row ? sqlite3_column_int64(st, 1) : 0;
    struct task_line line = {.arrival_us = column_time(st, 2), .now.stream_us = column_time(st, 3)};
    sqlite3_reset(st);
    *ret_floor = version > 0 ? ledger_floor(&line) : INT64_MIN;
    if (last != l->generation && !fault("R15.generation_fence")) {
        return fenced(err, name, l->generation, l->partition, "this is not the last generation");
    }
    if (version != l->old_version && !fault("R11.version_fence")) {
        return fenced(err, name, l->generation, l->partition, "its line was moved");
    }
    return ERR_NONE;
}

/* ---- ledger, marks, torn spans */

static enum err_class ledger_put(struct sqlite_sink *s, const char *name, const struct lane_commit *l, struct err *err)
{
    sqlite3_stmt *st = s->statements[LEDGER_ADD];
    enum err_class c = ERR_NONE;
    lane_bind(st, name, l->generation, l->partition);
    for (size_t i = 0; !c && i < l->tally_count; i++) {
        sqlite3_bind_int64(st, 4, l->tally[i].by);
        sqlite3_bind_int64(st, 5, l->tally[i].minute);
        sqlite3_bind_int64(st, 6, l->tally[i].bucket);
        sqlite3_bind_int64(st, 7, l->tally[i].count);
        c = db_run(&s->db, st, err);
    }
    return c;
}

/* R12: minutes that have become old share the row `older`, old marks go. Once a minute at most. */
static enum err_class lane_fold(struct sqlite_sink *s, const char *name, const struct lane_commit *l, int64_t old_floor,
                                struct err *err)
{
    int64_t floor = ledger_floor(&l->line);
    enum err_class c = ERR_NONE;
    for (int i = LEDGER_FOLD; !c && floor > old_floor && i <= MARK_FOLDED; i++) {
        sqlite3_stmt *st = s->statements[i];
        lane_bind(st, name, l->generation, l->partition);
        sqlite3_bind_int64(st, 4, TALLY_OLDER);
        sqlite3_bind_int64(st, 5, floor);
        c = db_run(&s->db, st, err);
    }
    return c;
}

static enum err_class marks_put(struct sqlite_sink *s, const char *name, const struct lane_commit *l, struct err *err)
{
    sqlite3_stmt *st = s->statements[MARK_PUT];
    enum err_class c = ERR_NONE;
    lane_bind(st, name, l->generation, l->partition);
    for (size_t i = 0; !c && i < l->mark_count; i++) {
        sqlite3_bind_int64(st, 4, l->marks[i].offset);
        sqlite3_bind_int64(st, 5, l->marks[i].arrival_minute);
        time_state_bind(st, 6, &l->marks[i].before);
        c = db_run(&s->db, st, err);
    }
    return c;
}

static enum err_class torn_put(struct sqlite_sink *s, const char *name, const struct lane_commit *l,
                               const struct torn_span *span, struct err *err)
{
    char from[TIME_TEXT_BYTES], to[TIME_TEXT_BYTES];
    sqlite3_stmt *st = s->statements[TORN_PUT];
    time_text(from, span->from_us);
    time_text(to, span->to_us);
    lane_bind(st, name, l->generation, l->partition);
    sqlite3_bind_int64(st, 4, span->from_us);
    sqlite3_bind_int64(st, 5, span->to_us);
    db_bind_text(st, 6, str_of(from));
    db_bind_text(st, 7, str_of(to));
    return db_run(&s->db, st, err);
}

/* R13: more than TORN_MAX spans: the two oldest become one that covers both. */
static enum err_class torn_merge(struct sqlite_sink *s, const char *name, const struct lane_commit *l, struct err *err)
{
    sqlite3_stmt *read = s->statements[TORN_MERGE_READ], *drop = s->statements[TORN_DELETE];
    struct torn_span both = {INT64_MAX, INT64_MIN};
    int64_t ids[2] = {0};
    bool row = true;
    enum err_class c = ERR_NONE;
    lane_bind(read, name, l->generation, l->partition);
    for (int n = 0; n < 2 && row && (c = db_step(&s->db, read, &row, err)) == ERR_NONE && row; n++) {
        int64_t from = sqlite3_column_int64(read, 1), to = sqlite3_column_int64(read, 2);
        ids[n] = sqlite3_column_int64(read, 0);
        both.from_us = from < both.from_us ? from : both.from_us;
        both.to_us = to > both.to_us ? to : both.to_us;
    }
    sqlite3_reset(read);
    for (int n = 0; !c && n < 2; n++) {
        sqlite3_bind_int64(drop, 1, ids[n]);
        c = db_run(&s->db, drop, err);
    }
    return c ? c : torn_put(s, name, l, &both, err);
}

static enum err_class torn_all_put(struct sqlite_sink *s, const char *name, const struct lane_commit *l,
                                   struct err *err)
{
    sqlite3_stmt *st = s->statements[TORN_COUNT];
    enum err_class c = ERR_NONE;
    for (size_t i = 0; !c && i < l->torn_count; i++) {
        bool row = false;
        c = torn_put(s, name, l, &l->torn[i], err);
        if (!c) {
            lane_bind(st, name, l->generation, l->partition);
            c = db_step(&s->db, st, &row, err);
        }
        bool many = !c && row && sqlite3_column_int64(st, 0) > TORN_MAX;
        sqlite3_reset(st);
        if (many) {
            c = torn_merge(s, name, l, err);
        }
    }
    return c;
}

/* ---- the whole */

static enum err_class lane_put(struct sqlite_sink *s, const struct lane_commit *l, int64_t old_floor, int64_t wall_us,
                               struct err *err)
{
    const char *name = s->aggregations[l->aggregation].schema->name;
    enum err_class c = sqlite_rows_put(s, l, wall_us, err);
    c = c ? c : line_put(s, name, l, err);
    (void)failpoint("sink.in_lane");
    c = c ? c : ledger_put(s, name, l, err);
    c = c ? c : marks_put(s, name, l, err);
    c = c ? c : lane_fold(s, name, l, old_floor, err);
    c = c ? c : torn_all_put(s, name, l, err);
    return c || !l->show ? c : sqlite_show(s, name, l->generation, err);
}

static enum err_class dead_put(struct sqlite_sink *s, const struct dead_letter *d, struct err *err)
{
    sqlite3_stmt *st = s->statements[DEAD_PUT];
    db_bind_text(st, 1, str_of(s->task));
    db_bind_text(st, 2, str_of(d->stage));
    db_bind_text(st, 3, str_of(d->reason));
    db_bind_text(st, 4, d->detail);
    db_bind_text(st, 5, d->position);
    bind_time(st, 6, d->arrival_us);
    bind_time(st, 7, d->stream_us);
    bind_time(st, 8, d->retried_us);
    db_bind_blob(st, 9, d->bytes);
    return db_run(&s->db, st, err);
}

static enum err_class commit_in(struct sqlite_sink *s, const struct task_commit *commit, int64_t *floors,
                                struct err *err)
{
    enum err_class c = ERR_NONE;
    for (size_t i = 0; !c && i < commit->lane_count; i++) {
        c = lane_check(s, s->aggregations[commit->lanes[i].aggregation].schema->name, &commit->lanes[i], &floors[i],
                       err);
    }
    for (size_t i = 0; !c && i < commit->lane_count; i++) {
        c = lane_put(s, &commit->lanes[i], floors[i], commit->wall_us, err);
        (void)failpoint("sink.in_commit");
    }
    for (size_t i = 0; !c && i < commit->dead_count; i++) {
        c = dead_put(s, &commit->dead[i], err);
    }
    return c;
}

enum err_class sqlite_commit(struct sink *base, const struct task_commit *commit, struct err *err)
{
    struct sqlite_sink *s = (struct sqlite_sink *)base;
    struct err own = {0}, *e = err ? err : &own;
    AUTO_FREE int64_t *floors = xcalloc(commit->lane_count + 1, sizeof *floors);
    enum err_class c = sqlite_sink_begin(s, e);
    return c ? c : db_end(&s->db, commit_in(s, commit, floors, e), e);
}
