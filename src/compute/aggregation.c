/* SPDX-License-Identifier: MIT
 *
 * aggregation.c - reads a declaration, and refuses what cannot be bounded, merged or understood (R9), naming the
 * reason.
 */
#include "compute/aggregation_private.h"

#include "base/hash.h"

#include <stdlib.h>

/* Column names that sinks use themselves. */
static const char *const reserved[] = {
    "window_start", "window_end", "key",        "partition",  "shard", "revision", "final", "closed_by",
    "generation",   "epoch",      "created_at", "updated_at", "task",  "torn",     "rowid", "other"};

/* Fields of the stream that are not text (data-shape.md); all others are. */
static const struct {
    const char *path;
    enum column_type type;
} field_types[] = {
    {"bot", COLUMN_BOOL},         {"minor", COLUMN_BOOL},       {"patrolled", COLUMN_BOOL},
    {"id", COLUMN_INT},           {"namespace", COLUMN_INT},    {"timestamp", COLUMN_INT},
    {"log_id", COLUMN_INT},       {"length.old", COLUMN_INT},   {"length.new", COLUMN_INT},
    {"revision.old", COLUMN_INT}, {"revision.new", COLUMN_INT}, {"meta.partition", COLUMN_INT},
    {"meta.offset", COLUMN_INT},
};

static enum column_type field_type(struct str path)
{
    for (size_t i = 0; i < sizeof(field_types) / sizeof(*field_types); i++) {
        if (str_eqz(path, field_types[i].path)) {
            return field_types[i].type;
        }
    }
    return COLUMN_TEXT;
}

static bool name_valid(struct str name, size_t max, bool underscore_first)
{
    bool good = name.len > 0 && name.len <= max;
    for (size_t i = 0; i < name.len && good; i++) {
        char c = name.ptr[i];
        bool letter = c >= 'a' && c <= 'z', other = c == '_' || (c >= '0' && c <= '9');
        good = letter || (other && (i > 0 || (c == '_' && underscore_first)));
    }
    return good;
}

/* "length.new" -> length_new; "sum(length.new)" -> sum_length_new: runs of anything else become one underscore. */
static struct str name_from(struct arena *arena, struct str text)
{
    char *out = arena_alloc(arena, text.len + 2);
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        c = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9' && n > 0)) {
            out[n++] = c;
        } else if (n > 0 && out[n - 1] != '_') {
            out[n++] = '_';
        }
    }
    while (n > 0 && out[n - 1] == '_') {
        n--;
    }
    out[n] = 0;
    return str_n(out, n);
}

/* "path as column" -> both, trimmed; *ret_column empty where it was not said. */
static void as_split(struct str text, struct str *ret_what, struct str *ret_column)
{
    text = str_trim(text);
    *ret_what = text;
    *ret_column = (struct str){0};
    for (size_t i = 0; i + 4 <= text.len; i++) {
        if (memcmp(text.ptr + i, " as ", 4) == 0) {
            *ret_what = str_trim(str_n(text.ptr, i));
            *ret_column = str_trim(str_n(text.ptr + i + 4, text.len - i - 4));
        }
    }
}

struct build { /* of aggregation_new */
    struct aggregation *a;
    struct field_set *set;
    struct column *columns; /* keys, then measures */
    size_t column_count;
    struct err *err;
};

static bool refuse(struct build *b, const char *what, struct str name)
{
    err_set(b->err, ERR_REJECT, EXIT_CONFIG, "aggregation \"%s\": %s \"%.*s\"", b->a->options.name, what,
            STR_ARG(name));
    return false;
}

static bool name_taken(const struct build *b, struct str name)
{
    for (size_t i = 0; i < b->column_count; i++) {
        const struct column *c = &b->columns[i];
        size_t n = strlen(c->name);
        bool sketch =
            c->sketch && name.len == n + 7 && str_starts(name, str_n(c->name, n)) && str_ends(name, STR("_sketch"));
        if (str_eqz(name, c->name) || sketch) {
            return true;
        }
    }
    for (size_t i = 0; i < sizeof(reserved) / sizeof(*reserved); i++) {
        if (str_eqz(name, reserved[i])) {
            return true;
        }
    }
    return false;
}

static bool column_add(struct build *b, struct str asked, struct str label, enum column_type type, bool sketch)
{
    struct arena *arena = &b->a->texts;
    struct str name = asked.len > 0 ? asked : name_from(arena, label);
    if (!name_valid(name, COLUMN_NAME_MAX, true)) {
        return refuse(b, "a column must be [a-z_][a-z0-9_]*, at most 48 bytes; say which with \"as\"; got", name);
    }
    if (name_taken(b, name)) {
        return refuse(b, "this column is there already; say another with \"as\":", name);
    }
    b->columns[b->column_count++] = (struct column){
        .name = arena_dup(arena, name).ptr, .label = arena_dup(arena, label).ptr, .type = type, .sketch = sketch};
    return true;
}

static bool field_add(struct build *b, struct str path, size_t *ret_field)
{
    int field = field_set_add(b->set, path, b->err);
    if (field < 0) {
        err_prefix(b->err, "aggregation \"%s\"", b->a->options.name);
        return false;
    }
    *ret_field = (size_t)field;
    return true;
}

static bool keys_read(struct build *b, const struct aggregation_options *o)
{
    if (o->key_count > AGGREGATION_KEYS_MAX) {
        return refuse(b, "at most 8 keys; the ninth is", str_of(o->keys[AGGREGATION_KEYS_MAX]));
    }
    for (size_t i = 0; i < o->key_count; i++) {
        struct str path, column;
        as_split(str_of(o->keys[i]), &path, &column);
        if (!field_add(b, path, &b->a->key_fields[i]) || !column_add(b, column, path, field_type(path), false)) {
            return false;
        }
    }
    return true;
}

static bool measure_read(struct build *b, struct str text, struct measure *m)
{
    AUTO(buf) struct buf label = {0};
    struct str what, column, path;
    as_split(text, &what, &column);
    if (!measure_parse(what, m, &path, b->err)) {
        err_prefix(b->err, "aggregation \"%s\"", b->a->options.name);
        return false;
    }
    if (m->kind != MEASURE_COUNT && !field_add(b, path, &m->field)) {
        return false;
    }
    measure_print(m, path, &label);
    return column_add(b, column, buf_str(&label), measure_type(m), measure_has_sketch(m));
}

static bool measures_read(struct build *b, const struct aggregation_options *o)
{
    if (o->measure_count == 0 || o->measure_count > AGGREGATION_MEASURES_MAX) {
        return refuse(b, "declare 1 to 16 measures, e.g.", STR("count"));
    }
    for (size_t i = 0; i < o->measure_count; i++) {
        if (!measure_read(b, str_of(o->measures[i]), &b->a->measures[i])) {
            return false;
        }
    }
    return true;
}

static bool where_read(struct build *b, struct str where)
{
    if (str_trim(where).len == 0) {
        return true;
    }
    size_t column = 0;
    b->a->where = filter_compile(where, b->set, &column, b->err);
    if (b->a->where == NULL) {
        err_prefix(b->err, "aggregation \"%s\": where", b->a->options.name);
    }
    return b->a->where != NULL;
}

static bool in_range(struct build *b, const char *what, int64_t value_us, int64_t min_us, int64_t max_us)
{
    if (value_us >= min_us && value_us <= max_us) {
        return true;
    }
    AUTO(buf) struct buf text = {0};
    duration_format(&text, min_us);
    buf_addz(&text, " to ");
    duration_format(&text, max_us);
    err_set(b->err, ERR_REJECT, EXIT_CONFIG, "aggregation \"%s\": %s must be %s", b->a->options.name, what, text.ptr);
    return false;
}

static bool windows_bounded(struct build *b, int64_t retention_us)
{
    struct aggregation *a = b->a;
    const struct aggregation_options *o = &a->options;
    int64_t span = o->size_us + o->delay_us + a->lateness_us;
    if ((o->size_us - 1) / o->slide_us >= AGGREGATION_WINDOWS_PER_EVENT) {
        return refuse(b, "a record would be in more than 1,000 windows; make larger:", STR("slide"));
    }
    if (span / o->slide_us > AGGREGATION_WINDOWS_HELD) {
        return refuse(b, "more than 10,000 windows (size + delay + lateness, by slide) would be held; make larger:",
                      STR("slide"));
    }
    if (retention_us > 0 && span > retention_us / 2) {
        return refuse(b, "size + delay + lateness is above half of the journal's retention (R10); raise",
                      STR("retention"));
    }
    a->window_slots = (size_t)(span / o->slide_us) + 3;
    return true;
}

static bool times_read(struct build *b, int64_t retention_us)
{
    struct aggregation *a = b->a;
    struct aggregation_options *o = &a->options;
    int64_t year = 366 * US_PER_DAY;
    o->slide_us = o->slide_us == 0 ? o->size_us : o->slide_us;
    o->lateness_us = o->late == LATE_AMEND ? o->lateness_us : 0;
    a->lateness_us = o->lateness_us;
    o->max_keys = o->max_keys == 0 ? 100000 : o->max_keys;
    if (o->max_keys < 1 || o->max_keys > AGGREGATION_KEYS_PER_WINDOW) {
        return refuse(b, "must be 1 to 1,000,000:", STR("max_keys"));
    }
    return in_range(b, "size", o->size_us, US_PER_SECOND, year) &&
           in_range(b, "slide", o->slide_us, US_PER_MS, o->size_us) && in_range(b, "delay", o->delay_us, 0, year) &&
           in_range(b, "skew", o->skew_us, 0, year) && in_range(b, "lateness", o->lateness_us, 0, year) &&
           windows_bounded(b, retention_us);
}

static const char *text_copy(struct arena *arena, const char *text)
{
    return text == NULL ? NULL : arena_dup(arena, str_of(text)).ptr;
}

static const char *const *texts_copy(struct arena *arena, const char *const *texts, size_t count)
{
    const char **copy = arena_alloc(arena, (count + 1) * sizeof(*copy));
    for (size_t i = 0; i < count; i++) {
        copy[i] = text_copy(arena, texts[i]);
    }
    return (const char *const *)copy;
}

static void options_copy(struct aggregation *a, const struct aggregation_options *o)
{
    a->options = *o;
    a->options.name = text_copy(&a->texts, o->name == NULL ? "" : o->name);
    a->options.where = text_copy(&a->texts, o->where == NULL ? "" : o->where);
    a->options.time_field = text_copy(&a->texts, o->time_field == NULL ? "timestamp" : o->time_field);
    a->options.keys = texts_copy(&a->texts, o->keys, o->key_count);
    a->options.measures = texts_copy(&a->texts, o->measures, o->measure_count);
}

static bool build_all(struct build *b, int64_t retention_us)
{
    struct aggregation *a = b->a;
    const struct aggregation_options *o = &a->options;
    if (!name_valid(str_of(o->name), AGGREGATION_NAME_MAX, false)) {
        return refuse(b, "a name must be [a-z][a-z0-9_]*, at most 40 bytes; got", str_of(o->name));
    }
    if (!field_add(b, str_of(o->time_field), &a->time_field) || !times_read(b, retention_us) || !keys_read(b, o) ||
        !measures_read(b, o) || !where_read(b, str_of(o->where))) {
        return false;
    }
    a->schema = (struct result_schema){.name = o->name,
                                       .keys = b->columns,
                                       .key_count = o->key_count,
                                       .measures = b->columns + o->key_count,
                                       .measure_count = o->measure_count,
                                       .size_us = o->size_us,
                                       .slide_us = o->slide_us};
    definition_make(a);
    return true;
}

enum err_class aggregation_new(const struct aggregation_options *options, int64_t retention_us, struct field_set *set,
                               struct aggregation **ret_aggregation, struct err *err)
{
    struct aggregation *a = xcalloc(1, sizeof(*a));
    struct err own = {0};
    struct build b = {.a = a, .set = set, .err = err == NULL ? &own : err};
    options_copy(a, options);
    b.columns = arena_zalloc(&a->texts, (AGGREGATION_KEYS_MAX + AGGREGATION_MEASURES_MAX) * sizeof(*b.columns));
    if (!build_all(&b, retention_us)) {
        b.err->cls = ERR_REJECT;
        b.err->code = EXIT_CONFIG;
        aggregation_free(a);
        return ERR_REJECT;
    }
    *ret_aggregation = a;
    return ERR_NONE;
}

void aggregation_free(struct aggregation *a)
{
    if (a != NULL) {
        filter_free(a->where);
        arena_fini(&a->texts);
        free(a);
    }
}

const struct result_schema *aggregation_schema(const struct aggregation *a)
{
    return &a->schema;
}

const struct aggregation_options *aggregation_options(const struct aggregation *a)
{
    return &a->options;
}

size_t aggregation_time_field(const struct aggregation *a)
{
    return a->time_field;
}
