/* SPDX-License-Identifier: MIT
 *
 * measure.c - count, sum, min, max, distinct, top: reading their declarations, adding events, showing values (R9).
 *
 * Sum, min and max take 64-bit integers and skip all else; distinct and top take every scalar that is not null
 * (oracle.md section 6).
 */
#include "compute/measure.h"

#include "base/hash.h"
#include "compute/sketch.h"

static const struct {
    const char *name;
    enum measure_kind kind;
} kinds[] = {{"sum", MEASURE_SUM},           {"min", MEASURE_MIN}, {"max", MEASURE_MAX},
             {"distinct", MEASURE_DISTINCT}, {"top", MEASURE_TOP}, {"count", MEASURE_COUNT}};

/* What people write from habit and why it cannot be: the partial results of partitions must add up (R9). */
static const struct {
    const char *name, *why;
} refused[] = {
    {"avg", "an average cannot be merged; declare sum(F) and count and divide where you read them"},
    {"mean", "a mean cannot be merged; declare sum(F) and count and divide where you read them"},
    {"median", "a median cannot be merged in bounded memory; declare min(F), max(F), sum(F) or top(F,N)"},
    {"percentile", "a percentile cannot be merged in bounded memory; declare min(F), max(F), sum(F) or top(F,N)"},
    {"stddev", "a deviation cannot be merged; declare sum(F) and count"},
    {"first", "partitions have no common order, so there is no first; declare min(F)"},
    {"last", "partitions have no common order, so there is no last; declare max(F)"},
    {"collect", "a list of all values has no bound; declare distinct(F) or top(F,N)"},
};

static struct str word_of(struct str text)
{
    size_t n = 0;
    while (n < text.len && text.ptr[n] != '(' && text.ptr[n] != ' ') {
        n++;
    }
    return str_n(text.ptr, n);
}

static bool parse_refuse(struct str text, struct err *err)
{
    struct str word = word_of(text);
    for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
        if (str_eqz(word, refused[i].name)) {
            err_set(err, ERR_REJECT, EXIT_CONFIG, "measure \"%.*s\": %s", STR_ARG(text), refused[i].why);
            return false;
        }
    }
    err_set(err, ERR_REJECT, EXIT_CONFIG,
            "measure \"%.*s\" is not count, sum(F), min(F), max(F), distinct(F) or top(F,N)", STR_ARG(text));
    return false;
}

static bool parse_top(struct str text, struct str inside, struct measure *m, struct str *ret_path, struct err *err)
{
    struct str path = {0}, number = {0};
    size_t comma = inside.len;
    while (comma > 0 && inside.ptr[comma - 1] != ',') {
        comma--;
    }
    if (comma > 0) {
        path = str_trim(str_n(inside.ptr, comma - 1));
        number = str_trim(str_n(inside.ptr + comma, inside.len - comma));
    }
    if (!str_to_int64(number, &m->top) || m->top < 1 || m->top > TOP_SHOWN_MAX) {
        err_set(err, ERR_REJECT, EXIT_CONFIG, "measure \"%.*s\": write top(F,N) with N from 1 to %d", STR_ARG(text),
                TOP_SHOWN_MAX);
        return false;
    }
    *ret_path = path;
    return true;
}

bool measure_parse(struct str text, struct measure *ret_measure, struct str *ret_path, struct err *err)
{
    struct measure m = {0};
    text = str_trim(text);
    struct str word = word_of(text), path = {0};
    if (str_eqz(text, "count")) {
        *ret_measure = m;
        *ret_path = path;
        return true;
    }
    bool known = false;
    for (size_t i = 0; i + 1 < sizeof(kinds) / sizeof(*kinds) && !known; i++) {
        known = str_eqz(word, kinds[i].name);
        m.kind = kinds[i].kind;
    }
    if (!known || text.len < word.len + 2 || text.ptr[word.len] != '(' || text.ptr[text.len - 1] != ')') {
        return parse_refuse(text, err);
    }
    struct str inside = str_n(text.ptr + word.len + 1, text.len - word.len - 2);
    path = str_trim(inside);
    if (m.kind == MEASURE_TOP && !parse_top(text, inside, &m, &path, err)) {
        return false;
    }
    if (path.len == 0 || memchr(path.ptr, '(', path.len) != NULL || memchr(path.ptr, ')', path.len) != NULL ||
        memchr(path.ptr, ',', path.len) != NULL) {
        return parse_refuse(text, err);
    }
    *ret_measure = m;
    *ret_path = path;
    return true;
}

void measure_print(const struct measure *m, struct str path, struct buf *out)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        if (kinds[i].kind == m->kind) {
            buf_addz(out, kinds[i].name);
        }
    }
    if (m->kind == MEASURE_COUNT) {
        return;
    }
    buf_addc(out, '(');
    buf_add(out, path);
    if (m->kind == MEASURE_TOP) {
        buf_addc(out, ',');
        buf_add_int(out, m->top);
    }
    buf_addc(out, ')');
}

bool measure_has_sketch(const struct measure *m)
{
    return m->kind == MEASURE_DISTINCT || m->kind == MEASURE_TOP;
}

enum column_type measure_type(const struct measure *m)
{
    return m->kind == MEASURE_TOP ? COLUMN_TEXT : COLUMN_INT;
}

/* The canonical text of a scalar that is not null, or an empty one. */
static struct str scalar_text(const struct value *v, struct measure_context *ctx)
{
    if (v->kind == VALUE_ABSENT || v->kind == VALUE_NULL || v->kind == VALUE_OBJECT || v->kind == VALUE_ARRAY) {
        return (struct str){0};
    }
    buf_clear(&ctx->scratch);
    value_add_key(&ctx->scratch, v);
    return buf_str(&ctx->scratch);
}

static void add_distinct(union measure_state *s, const struct value *v, struct measure_context *ctx)
{
    struct str text = scalar_text(v, ctx);
    if (s->distinct == NULL) {
        s->distinct = distinct_new();
        ctx->bytes += distinct_bytes(s->distinct);
    }
    if (text.len > 0) {
        ctx->bytes -= distinct_bytes(s->distinct);
        distinct_add(s->distinct, hash_bytes(text, ctx->seed));
        ctx->bytes += distinct_bytes(s->distinct);
    }
}

static void add_top(const struct measure *m, union measure_state *s, const struct value *v, struct measure_context *ctx)
{
    struct str text = scalar_text(v, ctx);
    if (s->top == NULL) {
        s->top = top_new(top_capacity(m->top), ctx->seed);
        ctx->bytes += top_bytes(s->top);
    }
    ctx->bytes -= top_bytes(s->top);
    top_add(s->top, text, 1, 0);
    ctx->bytes += top_bytes(s->top);
}

bool measure_add(const struct measure *m, union measure_state *s, bool *has, const struct value *v,
                 struct measure_context *ctx)
{
    bool number = m->kind != MEASURE_COUNT && v->kind == VALUE_INT;
    switch (m->kind) {
    case MEASURE_COUNT:
        s->number++;
        return true;
    case MEASURE_SUM:
        return !number || !__builtin_add_overflow(s->number, v->number, &s->number);
    case MEASURE_MIN:
        s->number = number && (!*has || v->number < s->number) ? v->number : s->number;
        *has |= number;
        return true;
    case MEASURE_MAX:
        s->number = number && (!*has || v->number > s->number) ? v->number : s->number;
        *has |= number;
        return true;
    case MEASURE_DISTINCT:
        add_distinct(s, v, ctx);
        return true;
    case MEASURE_TOP:
        add_top(m, s, v, ctx);
        return true;
    }
    return true;
}

void measure_show(const struct measure *m, const union measure_state *s, bool has, struct arena *arena,
                  struct cell *ret_cell, struct str *ret_sketch)
{
    *ret_cell = (struct cell){.kind = CELL_INT, .number = s->number};
    *ret_sketch = (struct str){0};
    if ((m->kind == MEASURE_MIN || m->kind == MEASURE_MAX) && !has) {
        *ret_cell = (struct cell){.kind = CELL_NULL};
    } else if (m->kind == MEASURE_DISTINCT) {
        ret_cell->number = s->distinct == NULL ? 0 : distinct_count(s->distinct);
        *ret_sketch = s->distinct == NULL ? STR("E") : distinct_store(s->distinct, arena);
    } else if (m->kind == MEASURE_TOP) {
        struct str shown = s->top == NULL ? STR("[]") : top_show(s->top, (size_t)m->top, arena);
        *ret_cell = (struct cell){.kind = CELL_TEXT, .text = shown};
        *ret_sketch = s->top == NULL ? STR("[]") : top_store(s->top, arena);
    }
}

void measure_fini(const struct measure *m, union measure_state *s, struct measure_context *ctx)
{
    if (m->kind == MEASURE_DISTINCT && s->distinct != NULL) {
        ctx->bytes -= distinct_bytes(s->distinct);
        distinct_free(TAKE(s->distinct));
    } else if (m->kind == MEASURE_TOP && s->top != NULL) {
        ctx->bytes -= top_bytes(s->top);
        top_free(TAKE(s->top));
    }
}
