/* SPDX-License-Identifier: MIT
 *
 * kafka_text.c - rows as JSON, lines and generations as text (kafka.h has the forms).
 */
#include "base/clock.h"
#include "sink/kafka.h"

#include <stdio.h>

/* ---- rows */

static void add_cell(const struct cell *c, struct buf *out)
{
    switch (c->kind) {
    case CELL_INT:
        buf_addf(out, "%lld", (long long)c->number);
        break;
    case CELL_BOOL:
        buf_addz(out, c->number != 0 ? "true" : "false");
        break;
    case CELL_TEXT:
        buf_add_json(out, c->text);
        break;
    default:
        buf_addz(out, "null");
    }
}

static void add_time(const char *name, int64_t us, struct buf *out)
{
    buf_addf(out, "\"%s\":\"", name);
    time_format(out, us);
    buf_addz(out, "\",");
}

/* "(other)" is the one key that is no JSON array. */
static void add_key(struct str key, struct buf *out)
{
    if (key.len > 0 && key.ptr[0] == '[') {
        buf_add(out, key);
    } else {
        buf_add_json(out, key);
    }
}

void kafka_row_key(const struct lane_commit *l, const struct result_row *row, struct buf *out)
{
    buf_addz(out, "[\"");
    time_format(out, row->window_start_us);
    buf_addz(out, "\",");
    add_key(row->key, out);
    buf_addf(out, ",%u]", l->partition);
}

static void add_columns(const struct column *columns, const struct cell *cells, size_t count, struct buf *out)
{
    for (size_t i = 0; i < count; i++) {
        buf_addf(out, "\"%s\":", columns[i].name);
        add_cell(&cells[i], out);
        buf_addc(out, ',');
    }
}

void kafka_row_value(const struct kafka_aggregation *a, const struct lane_commit *l, const struct result_row *row,
                     struct buf *out)
{
    buf_addf(out, "{\"aggregation\":\"%s\",", a->name);
    add_time("window_start", row->window_start_us, out);
    add_time("window_end", row->window_end_us, out);
    buf_addz(out, "\"key\":");
    add_key(row->key, out);
    buf_addc(out, ',');
    add_columns(a->schema->keys, row->keys, a->schema->key_count, out);
    add_columns(a->schema->measures, row->measures, a->schema->measure_count, out);
    buf_addf(out, "\"shard\":%u,\"revision\":%lld,\"final\":%s,\"epoch\":%lld,\"generation\":%lld}", l->partition,
             (long long)row->revision, row->final ? "true" : "false", (long long)l->epoch, (long long)l->generation);
}

/* ---- writing NAME=VALUE */

static void add_number(const char *name, int64_t number, struct buf *out)
{
    buf_addf(out, "%s=%lld\n", name, (long long)number);
}

static void add_state(const char *name, const struct time_state *t, struct buf *out)
{
    buf_addf(out, "%s=%lld,%d,%d,", name, (long long)t->stream_us, t->change_seen, t->topic.ptr != NULL);
    for (size_t i = 0; i < t->topic.len; i++) { /* strangers write it: no line of theirs may become one of ours */
        unsigned char c = (unsigned char)t->topic.ptr[i];
        if (c < 0x20 || c == '%' || c == 0x7f) {
            buf_addf(out, "%%%02x", c);
        } else {
            buf_addc(out, (char)c);
        }
    }
    buf_addc(out, '\n');
}

void kafka_line_write(const struct task_line *line, struct buf *out)
{
    add_number("version", line->version, out);
    add_number("position", line->position, out);
    add_number("has_last", line->has_last, out);
    add_number("last", (int64_t)line->last, out);
    add_state("now", &line->now, out);
    add_number("arrival_us", line->arrival_us, out);
    add_number("replay_from", line->replay_from, out);
    add_state("before", &line->before, out);
    add_number("first_window_us", line->first_window_us, out);
    buf_addz(out, "gaps=");
    for (size_t i = 0; i < line->gap_count; i++) {
        buf_addf(out, "%s%lld:%lld", i == 0 ? "" : ",", (long long)line->gaps[i].from, (long long)line->gaps[i].to);
    }
    buf_addc(out, '\n');
}

void kafka_generation_write(const struct generation *g, struct buf *out)
{
    add_number("number", g->number, out);
    add_number("definition_hash", (int64_t)g->definition_hash, out);
    buf_addf(out, "journal_id=%.*s\n", STR_ARG(g->journal_id));
    add_number("epoch", g->epoch, out);
    add_number("base", g->base, out);
    add_number("first_window_us", g->first_window_us, out);
    buf_addz(out, "begins=");
    for (size_t i = 0; i < g->begin_count; i++) {
        const struct generation_begin *b = &g->begins[i];
        buf_addf(out, "%s%lld:%d:%lld:%lld:%lld", i == 0 ? "" : ",", (long long)b->position, b->has_last,
                 (long long)b->last, (long long)b->arrival_us, (long long)b->target);
    }
    buf_addz(out, "\ndefinition=\n");
    buf_add(out, g->definition);
}

/* ---- reading */

struct line_text {
    struct str name, value;
};

static bool next_line(struct str *rest, struct line_text *ret)
{
    struct str line = {0};
    while (line.len == 0) {
        if (!str_split(rest, '\n', &line)) {
            return false;
        }
    }
    (void)str_split(&line, '=', &ret->name);
    ret->value = line;
    return true;
}

/* Which of the names; count: none of them. */
static size_t field_of(const char *const *names, size_t count, struct str name)
{
    size_t i = 0;
    while (i < count && !str_eqz(name, names[i])) {
        i++;
    }
    return i;
}

/* The next number of a list; false: there is none. */
static bool next_number(struct str *rest, char at, int64_t *ret)
{
    struct str part;
    return str_split(rest, at, &part) && str_to_int64(part, ret);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static struct str unescape(struct str text, struct arena *arena)
{
    char *out = arena_alloc(arena, text.len + 1);
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        bool escaped = text.ptr[i] == '%' && i + 2 < text.len && hex_digit(text.ptr[i + 1]) >= 0 &&
                       hex_digit(text.ptr[i + 2]) >= 0;
        out[n++] = escaped ? (char)(hex_digit(text.ptr[i + 1]) * 16 + hex_digit(text.ptr[i + 2])) : text.ptr[i];
        i += escaped ? 2 : 0;
    }
    return str_n(out, n);
}

static bool read_state(struct str text, struct arena *arena, struct time_state *ret)
{
    int64_t stream_us, seen, has_topic;
    if (!next_number(&text, ',', &stream_us) || !next_number(&text, ',', &seen) ||
        !next_number(&text, ',', &has_topic)) {
        return false;
    }
    *ret = (struct time_state){.stream_us = stream_us, .change_seen = seen != 0};
    if (has_topic) {
        ret->topic = unescape(text, arena);
    }
    return true;
}

static bool read_gaps(struct str text, struct arena *arena, struct task_line *line)
{
    struct offset_span *gaps = arena_alloc(arena, (text.len / 4 + 1) * sizeof(*gaps)); /* "0:1," */
    struct str part;
    bool good = true;
    line->gaps = gaps;
    while (good && text.ptr != NULL && text.len > 0 && str_split(&text, ',', &part)) {
        struct offset_span *g = &gaps[line->gap_count++];
        good = next_number(&part, ':', &g->from) && str_to_int64(part, &g->to);
        good = good && (text.len > 0 || text.ptr == NULL); /* no comma at the end */
    }
    return good;
}

static const char *const line_names[] = {"version",     "position", "has_last",        "last", "now", "arrival_us",
                                         "replay_from", "before",   "first_window_us", "gaps"};
enum { LINE_NAMES = sizeof(line_names) / sizeof(*line_names) };

static bool read_line_field(size_t field, struct str value, struct arena *arena, struct task_line *line)
{
    int64_t number = 0;
    switch (field) {
    case 0:
        return str_to_int64(value, &line->version) && line->version > 0;
    case 1:
        return str_to_int64(value, &line->position);
    case 2:
        line->has_last = str_eqz(value, "1");
        return line->has_last || str_eqz(value, "0");
    case 3:
        if (!str_to_int64(value, &number)) {
            return false;
        }
        line->last = (uint64_t)number;
        return true;
    case 4:
        return read_state(value, arena, &line->now);
    case 5:
        return str_to_int64(value, &line->arrival_us);
    case 6:
        return str_to_int64(value, &line->replay_from);
    case 7:
        return read_state(value, arena, &line->before);
    case 8:
        return str_to_int64(value, &line->first_window_us);
    default:
        line->gap_count = 0;
        return read_gaps(value, arena, line);
    }
}

/* All of it, or nothing; names that we do not know are passed over. */
bool kafka_line_read(struct str text, struct arena *arena, struct task_line *ret_line)
{
    struct line_text t;
    struct task_line line = {0};
    unsigned seen = 0;
    bool good = str_ends(text, STR("\n"));
    while (good && next_line(&text, &t)) {
        size_t field = field_of(line_names, LINE_NAMES, t.name);
        if (field < LINE_NAMES) {
            good = read_line_field(field, t.value, arena, &line);
            seen |= 1u << field;
        }
    }
    *ret_line = line;
    return good && seen == (1u << LINE_NAMES) - 1;
}

static bool read_begin(struct str part, struct generation_begin *b)
{
    int64_t has_last, last;
    if (!next_number(&part, ':', &b->position) || !next_number(&part, ':', &has_last) ||
        !next_number(&part, ':', &last) || !next_number(&part, ':', &b->arrival_us) ||
        !str_to_int64(part, &b->target)) {
        return false;
    }
    b->has_last = has_last != 0;
    b->last = (uint64_t)last;
    return true;
}

static bool read_begins(struct str text, struct arena *arena, struct generation *g)
{
    struct generation_begin *begins = arena_alloc(arena, PARTITION_MAX * sizeof(*begins));
    struct str part;
    bool good = true;
    g->begins = begins;
    g->begin_count = 0;
    while (good && text.ptr != NULL && text.len > 0 && str_split(&text, ',', &part)) {
        good = g->begin_count < PARTITION_MAX && read_begin(part, &begins[g->begin_count]);
        g->begin_count += good;
        good = good && (text.len > 0 || text.ptr == NULL); /* no comma at the end */
    }
    return good;
}

static const char *const generation_names[] = {"number", "definition_hash", "journal_id", "epoch",
                                               "base",   "first_window_us", "begins",     "definition"};
enum { GENERATION_NAMES = sizeof(generation_names) / sizeof(*generation_names), DEFINITION = GENERATION_NAMES - 1 };

static bool read_generation_field(size_t field, struct str value, struct arena *arena, struct generation *g)
{
    int64_t number = 0;
    switch (field) {
    case 0:
        return str_to_int64(value, &g->number) && g->number >= 0;
    case 1:
        if (!str_to_int64(value, &number)) {
            return false;
        }
        g->definition_hash = (uint64_t)number;
        return true;
    case 2:
        g->journal_id = arena_dup(arena, value);
        return true;
    case 3:
        return str_to_int64(value, &g->epoch);
    case 4:
        return str_to_int64(value, &g->base);
    case 5:
        return str_to_int64(value, &g->first_window_us);
    default:
        return read_begins(value, arena, g);
    }
}

/* The definition is all that comes behind its name. */
bool kafka_generation_read(struct str text, struct arena *arena, struct generation *ret_generation)
{
    struct line_text t;
    struct generation g = {0};
    unsigned seen = 0;
    bool good = true;
    while (good && seen >> DEFINITION == 0 && next_line(&text, &t)) {
        size_t field = field_of(generation_names, GENERATION_NAMES, t.name);
        if (field == DEFINITION) {
            g.definition = arena_dup(arena, text.len > 0 ? text : STR(""));
        } else if (field < DEFINITION) {
            good = read_generation_field(field, t.value, arena, &g);
        }
        seen |= field < GENERATION_NAMES ? 1u << field : 0;
    }
    *ret_generation = g;
    return good && seen == (1u << GENERATION_NAMES) - 1;
}
