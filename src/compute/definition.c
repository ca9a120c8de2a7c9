/* SPDX-License-Identifier: MIT
 *
 * definition.c - the canonical text of a definition, whose hash a stored generation carries (R15).
 *
 * One "name = value" a line, always all of them, in this order, so that two texts can be compared line by line to say
 * what changed. Equal meaning gives equal text: durations in one form, `where` as the filter prints itself, "F as C"
 * only where the column is not the field's own name. Whatever changes the meaning of a row must change the text: if the
 * program itself starts to count differently, `semantics` goes up.
 */
#include "base/hash.h"
#include "compute/aggregation_private.h"

enum { SEMANTICS = 1 };
#define DEFINITION_SEED UINT64_C(0x77696b6974616c6c)

static void line_duration(struct buf *out, const char *name, int64_t us)
{
    buf_addf(out, "%s = ", name);
    duration_format(out, us);
    buf_addc(out, '\n');
}

static void line_columns(struct buf *out, const char *name, const struct column *columns, size_t count)
{
    buf_addf(out, "%s =", name);
    for (size_t i = 0; i < count; i++) {
        buf_addf(out, "%s %s as %s", i > 0 ? "," : "", columns[i].label, columns[i].name);
    }
    buf_addc(out, '\n');
}

static void line_where(struct buf *out, const struct filter *where)
{
    buf_addz(out, "where = ");
    if (where != NULL) {
        filter_print(where, out);
    }
    buf_addc(out, '\n');
}

void definition_make(struct aggregation *a)
{
    AUTO(buf) struct buf out = {0};
    const struct aggregation_options *o = &a->options;
    buf_addf(&out, "semantics = %d\ntime_field = %s\n", SEMANTICS, o->time_field);
    line_duration(&out, "size", o->size_us);
    line_duration(&out, "slide", o->slide_us);
    line_columns(&out, "key", a->schema.keys, a->schema.key_count);
    line_columns(&out, "measures", a->schema.measures, a->schema.measure_count);
    line_where(&out, a->where);
    buf_addf(&out, "late = %s\n", o->late == LATE_AMEND ? "amend" : "drop");
    line_duration(&out, "lateness", a->lateness_us);
    line_duration(&out, "delay", o->delay_us);
    line_duration(&out, "skew", o->skew_us);
    buf_addz(&out, "max_keys = ");
    buf_add_int(&out, o->max_keys);
    buf_addc(&out, '\n');
    struct str text = arena_dup(&a->texts, buf_str(&out));
    a->schema.definition = text.ptr;
    a->schema.definition_hash = hash_bytes(text, DEFINITION_SEED);
}

static bool line_find(struct str text, struct str name, struct str *ret_value)
{
    struct str line;
    while (str_split(&text, '\n', &line)) {
        if (str_starts(line, name) && line.len >= name.len + 2 && line.ptr[name.len] == ' ') {
            *ret_value = str_trim(str_n(line.ptr + name.len + 2, line.len - name.len - 2));
            return true;
        }
    }
    return false;
}

static struct str line_name(struct str line)
{
    const char *blank = line.len == 0 ? NULL : memchr(line.ptr, ' ', line.len);
    return str_n(line.ptr, blank == NULL ? line.len : (size_t)(blank - line.ptr));
}

static void diff_add(struct str name, struct str from, struct str to, struct buf *out)
{
    buf_addf(out, "%s%.*s: \"%.*s\" -> \"%.*s\"", out->len > 0 ? "; " : "", STR_ARG(name), STR_ARG(from), STR_ARG(to));
}

void definition_diff(struct str from, struct str to, struct buf *out)
{
    struct str rest = to, line, value;
    while (str_split(&rest, '\n', &line)) {
        struct str name = line_name(line), now = {0};
        if (name.len == 0 || !line_find(to, name, &now)) {
            continue;
        }
        bool there = line_find(from, name, &value);
        if (!there || !str_eq(value, now)) {
            diff_add(name, there ? value : STR("-"), now, out);
        }
    }
    for (rest = from; str_split(&rest, '\n', &line);) {
        struct str name = line_name(line);
        if (name.len > 0 && line_find(from, name, &value) && !line_find(to, name, &line)) {
            diff_add(name, value, STR("-"), out);
        }
    }
}
