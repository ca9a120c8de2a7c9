/* SPDX-License-Identifier: MIT
 *
 * option.c - values by table. Every value passes through text, so that a default, a file, the environment and a flag
 * are checked by the same lines.
 */
#include "base/option.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { LIST_MAX = 1000, TEXT_MAX = 64 << 10 };

void string_list_fini(struct string_list *l)
{
    for (size_t i = 0; i < l->count; i++) {
        free(l->items[i]);
    }
    free(l->items);
    *l = (struct string_list){0};
}

void string_list_add(struct string_list *l, struct str s)
{
    if ((l->count & (l->count - 1)) == 0) { /* full at each power of two */
        l->items = xrealloc(l->items, (l->count ? l->count * 2 : 1) * sizeof *l->items);
    }
    l->items[l->count++] = str_dup(s);
}

static void *member(const struct option *o, void *base)
{
    return (char *)base + o->offset;
}

static const void *member_const(const struct option *o, const void *base)
{
    return (const char *)base + o->offset;
}

/* ---- from text */

static enum err_class refuse(const struct option *o, struct str text, struct err *err, const char *wanted)
{
    if (o->secret) {
        return err_set(err, ERR_REJECT, EXIT_CONFIG, "\"%s\" is not %s", o->key, wanted);
    }
    return err_set(err, ERR_REJECT, EXIT_CONFIG, "\"%s\" is \"%.*s\", which is not %s", o->key,
                   (int)(text.len < 200 ? text.len : 200), text.ptr ? text.ptr : "", wanted);
}

static bool parse_double(struct str text, double *ret_value)
{
    if (text.len == 0 || text.len > 40) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) { /* no hexadecimal, no nan, no blanks */
        if (!strchr("0123456789+-.eE", text.ptr[i])) {
            return false;
        }
    }
    char z[48];
    memcpy(z, text.ptr, text.len);
    z[text.len] = '\0';
    char *end;
    *ret_value = strtod(z, &end);
    return *end == '\0' && isfinite(*ret_value);
}

static bool parse_integer(enum option_type type, struct str text, int64_t *ret_value)
{
    switch (type) {
    case OPTION_DURATION:
        return duration_parse(text, ret_value);
    case OPTION_SIZE:
        return size_parse(text, ret_value);
    default:
        return str_to_int64(text, ret_value);
    }
}

static enum err_class out_of_range(const struct option *o, struct str text, struct err *err)
{
    if (o->min && o->max) {
        return err_set(err, ERR_REJECT, EXIT_CONFIG, "\"%s\" is %.*s, but must be from %s to %s", o->key, STR_ARG(text),
                       o->min, o->max);
    }
    return err_set(err, ERR_REJECT, EXIT_CONFIG, "\"%s\" is %.*s, but must be at %s %s", o->key, STR_ARG(text),
                   o->min ? "least" : "most", o->min ? o->min : o->max);
}

static enum err_class set_integer(const struct option *o, int64_t *at, struct str text, struct err *err)
{
    int64_t value, bound;
    if (!parse_integer(o->type, text, &value)) {
        return refuse(o, text, err,
                      o->type == OPTION_DURATION ? "a duration such as 500ms, 30s, 15m, 1h or 7d"
                      : o->type == OPTION_SIZE   ? "a size such as 4096, 64MiB or 20GiB"
                                                 : "a whole number");
    }
    bool fits = (!o->min || (parse_integer(o->type, str_of(o->min), &bound) && value >= bound)) &&
                (!o->max || (parse_integer(o->type, str_of(o->max), &bound) && value <= bound));
    if (!fits) {
        return out_of_range(o, text, err);
    }
    *at = value;
    return ERR_NONE;
}

static enum err_class set_double(const struct option *o, double *at, struct str text, struct err *err)
{
    double value, bound;
    if (!parse_double(text, &value)) {
        return refuse(o, text, err, "a number");
    }
    bool fits = (!o->min || (parse_double(str_of(o->min), &bound) && value >= bound)) &&
                (!o->max || (parse_double(str_of(o->max), &bound) && value <= bound));
    if (!fits) {
        return out_of_range(o, text, err);
    }
    *at = value;
    return ERR_NONE;
}

static enum err_class set_bool(const struct option *o, bool *at, struct str text, struct err *err)
{
    bool yes = str_eqz(text, "true");
    if (!yes && !str_eqz(text, "false")) {
        return refuse(o, text, err, "true or false");
    }
    *at = yes;
    return ERR_NONE;
}

static const char *nearest_choice(struct str choices, struct str text)
{
    static _Thread_local char found[64];
    const char *known[32];
    char names[32][64];
    size_t count = 0;
    struct str choice;
    while (count < 32 && str_split(&choices, '|', &choice)) {
        snprintf(names[count], sizeof names[count], "%.*s", STR_ARG(choice));
        known[count] = names[count];
        count++;
    }
    const char *near = suggest(text, known, count);
    if (!near) {
        return NULL;
    }
    snprintf(found, sizeof found, "%s", near);
    return found;
}

static enum err_class set_enum(const struct option *o, int64_t *at, struct str text, struct err *err)
{
    struct str rest = str_of(o->choices), choice;
    for (int64_t i = 0; str_split(&rest, '|', &choice); i++) {
        if (str_eq(choice, text)) {
            *at = i;
            return ERR_NONE;
        }
    }
    const char *near = nearest_choice(str_of(o->choices), text);
    if (near) {
        return err_set(err, ERR_REJECT, EXIT_CONFIG, "\"%s\" is \"%.*s\", but must be one of %s; did you mean \"%s\"",
                       o->key, (int)(text.len < 200 ? text.len : 200), text.ptr, o->choices, near);
    }
    return err_set(err, ERR_REJECT, EXIT_CONFIG, "\"%s\" is \"%.*s\", but must be one of %s", o->key,
                   (int)(text.len < 200 ? text.len : 200), text.ptr ? text.ptr : "", o->choices);
}

static enum err_class check_text(const struct option *o, struct str text, struct err *err)
{
    int64_t most = TEXT_MAX;
    if (o->max && o->type != OPTION_LIST) {
        ensure(str_to_int64(str_of(o->max), &most));
    }
    if (text.len > (size_t)most) {
        return err_set(err, ERR_REJECT, EXIT_CONFIG, "\"%s\" has %zu bytes, more than the %lld that it may have",
                       o->key, text.len, (long long)most);
    }
    if (!str_is_utf8(text) || (text.len && memchr(text.ptr, '\0', text.len))) {
        return refuse(o, text, err, "text in UTF-8 without NUL");
    }
    return ERR_NONE;
}

static enum err_class set_text(const struct option *o, char **at, struct str text, struct err *err)
{
    enum err_class cls = check_text(o, text, err);
    if (cls) {
        return cls;
    }
    free(*at);
    *at = str_dup(text);
    return ERR_NONE;
}

/* The next item of "a, top(b,10)": commas inside parentheses belong to it. */
static bool next_item(struct str *rest, struct str *ret_item)
{
    size_t depth = 0, at = 0;
    for (; at < rest->len && (depth > 0 || rest->ptr[at] != ','); at++) {
        depth += rest->ptr[at] == '(';
        depth -= rest->ptr[at] == ')' && depth > 0;
    }
    bool more = rest->len > 0;
    *ret_item = str_n(rest->ptr, at);
    *rest = at < rest->len ? str_n(rest->ptr + at + 1, rest->len - at - 1) : str_n(NULL, 0);
    return more;
}

/* Items lose the blanks around them, empty ones are left out. */
static enum err_class set_list(const struct option *o, struct string_list *at, struct str text, struct err *err)
{
    enum err_class cls = check_text(o, text, err);
    struct string_list list = {0};
    struct str item;
    while (!cls && next_item(&text, &item)) {
        item = str_trim(item);
        if (list.count == LIST_MAX) {
            cls = err_set(err, ERR_REJECT, EXIT_CONFIG, "\"%s\" has more than %d items", o->key, LIST_MAX);
        } else if (item.len) {
            string_list_add(&list, item);
        }
    }
    if (cls) {
        string_list_fini(&list);
        return cls;
    }
    string_list_fini(at);
    *at = list;
    return ERR_NONE;
}

enum err_class option_set(const struct option *o, void *base, struct str text, struct err *err)
{
    void *at = member(o, base);
    switch (o->type) {
    case OPTION_BOOL:
        return set_bool(o, at, text, err);
    case OPTION_INT:
    case OPTION_DURATION:
    case OPTION_SIZE:
        return set_integer(o, at, text, err);
    case OPTION_DOUBLE:
        return set_double(o, at, text, err);
    case OPTION_ENUM:
        return set_enum(o, at, text, err);
    case OPTION_STRING:
    case OPTION_PATH:
        return set_text(o, at, text, err);
    case OPTION_LIST:
        return set_list(o, at, text, err);
    }
    return err_set(err, ERR_FATAL, EXIT_INTERNAL, "\"%s\" has no type", o->key);
}

void option_defaults(const struct option *table, size_t count, void *base)
{
    for (size_t i = 0; i < count; i++) {
        const struct option *o = &table[i];
        struct err err = {0};
        bool text = o->type == OPTION_STRING || o->type == OPTION_PATH || o->type == OPTION_LIST;
        if (o->initial || text) {
            bool row_takes_its_default = !option_set(o, base, str_of(o->initial ? o->initial : ""), &err);
            if (!row_takes_its_default) {
                fprintf(stderr, "wikitally: the default of %s: %s\n", o->key, err.text);
            }
            ensure(row_takes_its_default);
        }
    }
}

void option_fini(const struct option *table, size_t count, void *base)
{
    for (size_t i = 0; i < count; i++) {
        const struct option *o = &table[i];
        if (o->type == OPTION_LIST) {
            string_list_fini(member(o, base));
        } else if (o->type == OPTION_STRING || o->type == OPTION_PATH) {
            char **at = member(o, base);
            free(TAKE(*at));
        }
    }
}

/* ---- to text */

static void show_enum(const struct option *o, int64_t index, struct buf *out)
{
    struct str rest = str_of(o->choices), choice;
    for (int64_t i = 0; str_split(&rest, '|', &choice); i++) {
        if (i == index) {
            buf_add(out, choice);
        }
    }
}

static void show_double(double value, struct buf *out)
{
    char text[40];
    for (int digits = 6; digits <= 17; digits++) { /* the shortest that reads back as the same */
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) {
            break;
        }
    }
    buf_addz(out, text);
}

static void show_list(const struct string_list *list, struct buf *out)
{
    for (size_t i = 0; i < list->count; i++) {
        buf_addz(out, i ? ", " : "");
        buf_addz(out, list->items[i]);
    }
}

void option_show(const struct option *o, const void *base, struct buf *out)
{
    const void *at = member_const(o, base);
    switch (o->type) {
    case OPTION_BOOL:
        buf_addz(out, *(const bool *)at ? "true" : "false");
        break;
    case OPTION_INT:
        buf_add_int(out, *(const int64_t *)at);
        break;
    case OPTION_DURATION:
        duration_format(out, *(const int64_t *)at);
        break;
    case OPTION_SIZE:
        size_format(out, *(const int64_t *)at);
        break;
    case OPTION_DOUBLE:
        show_double(*(const double *)at, out);
        break;
    case OPTION_ENUM:
        show_enum(o, *(const int64_t *)at, out);
        break;
    case OPTION_STRING:
    case OPTION_PATH:
        buf_addz(out, *(char *const *)at ? *(char *const *)at : "");
        break;
    case OPTION_LIST:
        show_list(at, out);
        break;
    }
}

const struct option *option_find(const struct option *table, size_t count, struct str key)
{
    for (size_t i = 0; i < count; i++) {
        if (str_eqz(key, table[i].key)) {
            return &table[i];
        }
    }
    return NULL;
}

/* ---- "did you mean" */

enum { WORD_MAX = 64 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Optimal string alignment: insert, delete, replace, swap two neighbours. Both at most WORD_MAX long. */
static size_t edit_distance(struct str a, struct str b)
{
    size_t rows[3][WORD_MAX + 1];
    for (size_t j = 0; j <= b.len; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a.len; i++) {
        size_t *now = rows[i % 3], *above = rows[(i - 1) % 3], *two_above = rows[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            bool same = a.ptr[i - 1] == b.ptr[j - 1];
            now[j] = least(least(now[j - 1], above[j]) + 1, above[j - 1] + !same);
            if (i > 1 && j > 1 && a.ptr[i - 1] == b.ptr[j - 2] && a.ptr[i - 2] == b.ptr[j - 1]) {
                now[j] = least(now[j], two_above[j - 2] + 1);
            }
        }
    }
    return rows[a.len % 3][b.len];
}

const char *suggest(struct str word, const char *const *known, size_t count)
{
    if (word.len > WORD_MAX) {
        return NULL;
    }
    const char *best = NULL;
    size_t best_distance = least(3, word.len / 2) + 1;
    for (size_t i = 0; i < count; i++) {
        struct str name = str_of(known[i]);
        if (name.len <= WORD_MAX) {
            size_t distance = edit_distance(word, name);
            if (distance < best_distance) {
                best = known[i];
                best_distance = distance;
            }
        }
    }
    return best;
}
