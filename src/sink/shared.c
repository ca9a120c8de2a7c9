/* SPDX-License-Identifier: MIT
 *
 * shared.c - what both sinks decide alike: which row wins (R8), which generation a window is shown from (R15, the view
 * of tests/oracle/recovery_model.py), which ledger minutes are folded (R12), and which names may become SQL.
 */
#include "sink/shared.h"
#include "base/fault.h"

bool row_rank_above(struct row_rank a, struct row_rank b)
{
    if (fault("R8.rank")) {
        return true;
    }
    if (a.epoch != b.epoch) {
        return a.epoch > b.epoch;
    }
    if (a.revision != b.revision) {
        return a.revision > b.revision;
    }
    return a.final && !b.final;
}

static const struct generation *generation_find(const struct generation *list, size_t count, int64_t number)
{
    for (size_t i = 0; i < count; i++) {
        if (list[i].number == number) {
            return &list[i];
        }
    }
    return NULL;
}

/* Of each window the newest generation that has it whole: from the one shown down its chain of bases. A base is always
 * older, so that the chain ends. */
size_t shown_spans(const struct generation *list, size_t count, int64_t shown, struct shown_span *spans)
{
    int64_t upper = INT64_MAX;
    size_t n = 0;
    while (shown >= 0) {
        const struct generation *g = generation_find(list, count, shown);
        if (g == NULL) {
            break;
        }
        bool last = g->base < 0 || g->base >= g->number || fault("R15.view");
        int64_t from = last ? INT64_MIN : g->first_window_us;
        if (from < upper) {
            spans[n++] = (struct shown_span){shown, from, upper};
            upper = from;
        }
        shown = last ? -1 : g->base;
    }
    return n;
}

bool minute_is_plain(int64_t minute)
{
    return minute != TALLY_NO_TIME && minute != TALLY_OLDER && minute != TALLY_AHEAD;
}

int64_t ledger_floor(const struct task_line *line)
{
    int64_t clock_us = line->arrival_us != TIME_NONE ? line->arrival_us : line->now.stream_us;
    return clock_us == TIME_NONE ? INT64_MIN : tally_first_minute(clock_us);
}

bool name_is_valid(const char *name)
{
    size_t n = name ? strlen(name) : 0;
    if (n == 0 || n > NAME_MAX_BYTES || (name[0] >= '0' && name[0] <= '9')) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        char c = name[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_')) {
            return false;
        }
    }
    return true;
}

/* Columns that every stored row has, and what a view adds. */
static const char *const own_columns[] = {"window_start", "window_end", "created_at", "key",
                                          "partition",    "generation", "epoch",      "revision",
                                          "final",        "closed_by",  "torn",       "row_sum"};

static bool column_is_own(const char *name)
{
    for (size_t i = 0; i < sizeof own_columns / sizeof *own_columns; i++) {
        if (strcmp(name, own_columns[i]) == 0) {
            return true;
        }
    }
    return false;
}

static const struct column *schema_column(const struct result_schema *s, size_t i)
{
    return i < s->key_count ? &s->keys[i] : &s->measures[i - s->key_count];
}

/* Is `name` the sketch column of measure `c`? */
static bool is_sketch_of(const char *name, const struct column *c)
{
    size_t n = strlen(c->name);
    return c->sketch && strncmp(name, c->name, n) == 0 && strcmp(name + n, "_sketch") == 0;
}

static enum err_class column_check(const struct result_schema *s, size_t i, struct err *err)
{
    const struct column *c = schema_column(s, i);
    if (!name_is_valid(c->name)) {
        return err_set(err, ERR_REJECT, EXIT_CONFIG,
                       "aggregation '%s': column name '%s' is not of the form [a-z_][a-z0-9_]*, at most %d bytes",
                       s->name, c->name ? c->name : "", NAME_MAX_BYTES);
    }
    if (column_is_own(c->name)) {
        return err_set(err, ERR_REJECT, EXIT_CONFIG,
                       "aggregation '%s': column name '%s' is taken, give another one with \"... as NAME\"", s->name,
                       c->name);
    }
    for (size_t k = 0; k < s->key_count + s->measure_count; k++) {
        const struct column *other = schema_column(s, k);
        if ((k < i && strcmp(other->name, c->name) == 0) || (k != i && is_sketch_of(c->name, other))) {
            return err_set(err, ERR_REJECT, EXIT_CONFIG, "aggregation '%s': two columns are named '%s'", s->name,
                           c->name);
        }
    }
    return ERR_NONE;
}

static bool name_is_ours(const char *name)
{
    return strncmp(name, "wt_", 3) == 0 || strncmp(name, "sqlite_", 7) == 0 || str_ends(str_of(name), STR("_rows")) ||
           strcmp(name, "recent_user_activity") == 0 || strcmp(name, "top_contributors_hourly") == 0;
}

static enum err_class schema_check(const struct result_schema *s, struct err *err)
{
    if (!name_is_valid(s->name) || name_is_ours(s->name)) {
        return err_set(
            err, ERR_REJECT, EXIT_CONFIG,
            "aggregation name '%s' cannot be a table: wanted is [a-z_][a-z0-9_]*, at most %d bytes, not wt_*, "
            "sqlite_*, *_rows or a view of ours",
            s->name ? s->name : "", NAME_MAX_BYTES);
    }
    if (s->key_count + s->measure_count > COLUMNS_MAX) {
        return err_set(err, ERR_REJECT, EXIT_CONFIG, "aggregation '%s' has more than %d columns", s->name, COLUMNS_MAX);
    }
    for (size_t i = 0; i < s->key_count + s->measure_count; i++) {
        if (column_check(s, i, err)) {
            return ERR_REJECT;
        }
    }
    return ERR_NONE;
}

enum err_class schemas_check(const struct result_schema *const *schemas, size_t count, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        if (schema_check(schemas[i], err)) {
            return ERR_REJECT;
        }
        for (size_t k = 0; k < i; k++) {
            if (strcmp(schemas[i]->name, schemas[k]->name) == 0) {
                return err_set(err, ERR_REJECT, EXIT_CONFIG, "two aggregations are named '%s'", schemas[i]->name);
            }
        }
    }
    return ERR_NONE;
}

static struct time_state time_state_copy(const struct time_state *t, struct arena *arena)
{
    struct time_state copy = *t;
    if (t->topic.ptr != NULL) {
        copy.topic = arena_dup(arena, t->topic);
    }
    return copy;
}

struct task_line task_line_copy(const struct task_line *line, struct arena *arena)
{
    struct task_line copy = *line;
    copy.now = time_state_copy(&line->now, arena);
    copy.before = time_state_copy(&line->before, arena);
    copy.gaps = NULL;
    if (line->gap_count > 0) {
        struct offset_span *gaps = arena_alloc(arena, line->gap_count * sizeof *gaps);
        memcpy(gaps, line->gaps, line->gap_count * sizeof *gaps);
        copy.gaps = gaps;
    }
    return copy;
}

struct generation generation_copy(const struct generation *g, struct arena *arena)
{
    struct generation copy = *g;
    copy.definition = arena_dup(arena, g->definition);
    copy.journal_id = arena_dup(arena, g->journal_id);
    copy.begins = NULL;
    if (g->begin_count > 0) {
        struct generation_begin *begins = arena_alloc(arena, g->begin_count * sizeof *begins);
        memcpy(begins, g->begins, g->begin_count * sizeof *begins);
        copy.begins = begins;
    }
    return copy;
}

bool generation_same(const struct generation *a, const struct generation *b)
{
    return a->number == b->number && a->definition_hash == b->definition_hash && str_eq(a->journal_id, b->journal_id) &&
           a->epoch == b->epoch && a->base == b->base && a->first_window_us == b->first_window_us &&
           a->begin_count == b->begin_count;
}

enum err_class fenced(struct err *err, const char *aggregation, int64_t generation, uint32_t partition, const char *why)
{
    return err_set(err, ERR_FATAL, EXIT_FENCED,
                   "aggregation '%s', generation %lld, partition %u: %s; another instance took over, or has another "
                   "definition",
                   aggregation, (long long)generation, partition, why);
}
