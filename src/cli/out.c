/* SPDX-License-Identifier: MIT
 *
 * out.c - rows for people and for programs. See out.h.
 */
#include "cli/out.h"

#include "base/clock.h"
#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { CELL_SHOWN_MAX = 60 }; /* bytes of a cell in the table format */

/* A closed pipe is the reader's choice; all else is said. */
static void lost(int errnum)
{
    if (errnum == EPIPE)
        exit(EXIT_DONE);
    char space[128];
    fprintf(stderr, "wikitally: cannot write to standard output: %s\n", strerror_r(errnum, space, sizeof space));
    exit(EXIT_IOERR);
}

void out_write(struct str s)
{
    if (s.len > 0 && fwrite(s.ptr, 1, s.len, stdout) != s.len)
        lost(errno);
}

void out_flush(void)
{
    if (fflush(stdout) != 0)
        lost(errno);
    if (ferror(stdout)) /* of an earlier write, which nobody looked at */
        lost(EIO);
}

void out_printf(const char *format, ...)
{
    struct buf b = {0};
    va_list args;
    va_start(args, format);
    buf_vaddf(&b, format, args);
    va_end(args);
    out_write(buf_str(&b));
    buf_fini(&b);
}

static int find_column(const struct out *o, struct str name)
{
    for (size_t i = 0; i < o->declared_count; i++) {
        if (str_eqz(name, o->declared[i].name))
            return (int)i;
    }
    return -1;
}

static int choose_columns(struct out *o, struct err *err)
{
    struct str rest = str_of(o->columns), name;
    o->order_count = 0;
    if (!o->columns) {
        for (size_t i = 0; i < o->declared_count; i++)
            o->order[o->order_count++] = (int)i;
        return ERR_NONE;
    }
    while (str_split(&rest, ',', &name)) {
        int index = find_column(o, str_trim(name));
        if (index < 0 || o->order_count == OUT_COLUMNS_MAX) {
            struct buf known = {0};
            for (size_t i = 0; i < o->declared_count; i++)
                buf_addf(&known, "%s%s", i ? ", " : "", o->declared[i].name);
            err_set(err, ERR_REJECT, EXIT_USAGE, "--columns: no column \"%.*s\"; there are %s", STR_ARG(name),
                    known.ptr);
            buf_fini(&known);
            return ERR_REJECT;
        }
        o->order[o->order_count++] = index;
    }
    return ERR_NONE;
}

static void print_header(struct out *o)
{
    if (o->no_header || o->format == OUT_JSON || o->format == OUT_JSONL || o->format == OUT_RAW)
        return;
    buf_clear(&o->line);
    for (size_t i = 0; i < o->order_count; i++) {
        const char *name = o->declared[o->order[i]].name;
        if (o->format == OUT_TABLE)
            buf_addf(&o->line, "%s%-*s", i ? "  " : "", i + 1 < o->order_count ? (int)o->widths[i] : 0, name);
        else
            buf_addf(&o->line, "%s%s", i == 0 ? "" : o->format == OUT_CSV ? "," : "\t", name);
    }
    buf_addc(&o->line, o->format == OUT_TABLE ? '\n' : o->end);
    out_write(buf_str(&o->line));
}

int out_begin(struct out *o, const struct out_column *columns, size_t count, struct err *err)
{
    ensure(count <= OUT_COLUMNS_MAX);
    o->declared = columns;
    o->declared_count = count;
    o->filled = o->rows = o->held_rows = 0;
    o->widths_known = false;
    if (choose_columns(o, err))
        return ERR_REJECT;
    for (size_t i = 0; i < o->order_count; i++)
        o->widths[i] = strlen(columns[o->order[i]].name);
    if (o->format == OUT_JSON)
        out_write(STR("["));
    else if (o->format != OUT_TABLE)
        print_header(o);
    return ERR_NONE;
}

static void end_cell(struct out *o, bool none)
{
    ensure(o->filled < o->declared_count);
    o->none[o->filled] = none;
    o->ends[o->filled++] = o->cells.len;
}

void out_text(struct out *o, struct str s)
{
    buf_add(&o->cells, s);
    end_cell(o, false);
}

void out_z(struct out *o, const char *z)
{
    buf_addz(&o->cells, z ? z : "");
    end_cell(o, z == NULL);
}

void out_int(struct out *o, int64_t n)
{
    buf_add_int(&o->cells, n);
    end_cell(o, false);
}

void out_time(struct out *o, int64_t us)
{
    if (us != TIME_NONE)
        time_format(&o->cells, us);
    end_cell(o, us == TIME_NONE);
}

void out_none(struct out *o)
{
    end_cell(o, true);
}

static struct str cell(const struct out *o, int index)
{
    size_t start = index ? o->ends[index - 1] : 0;
    return str_n(o->cells.ptr + start, o->ends[index] - start);
}

static void add_tsv(struct buf *b, struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        const char *escaped = c == '\t' ? "\\t" : c == '\n' ? "\\n" : c == '\r' ? "\\r" : c == '\\' ? "\\\\" : NULL;
        if (escaped)
            buf_addz(b, escaped);
        else
            buf_addc(b, c);
    }
}

static void add_csv(struct buf *b, struct str s)
{
    bool quote = false;
    for (size_t i = 0; i < s.len && !quote; i++)
        quote = strchr(",\"\r\n", s.ptr[i]) != NULL;
    if (!quote) {
        buf_add(b, s);
        return;
    }
    buf_addc(b, '"');
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '"')
            buf_addc(b, '"');
        buf_addc(b, s.ptr[i]);
    }
    buf_addc(b, '"');
}

static void row_json(struct out *o)
{
    if (o->format == OUT_JSON && o->rows > 0)
        buf_addz(&o->line, ",\n");
    buf_addc(&o->line, '{');
    for (size_t i = 0; i < o->order_count; i++) {
        int at = o->order[i];
        buf_addf(&o->line, "%s\"%s\":", i ? "," : "", o->declared[at].name);
        if (o->none[at])
            buf_addz(&o->line, "null");
        else if (o->declared[at].bare)
            buf_add(&o->line, cell(o, at));
        else
            buf_add_json(&o->line, cell(o, at));
    }
    buf_addc(&o->line, '}');
    if (o->format == OUT_JSONL)
        buf_addc(&o->line, o->end);
}

static void row_separated(struct out *o)
{
    for (size_t i = 0; i < o->order_count; i++) {
        int at = o->order[i];
        if (i)
            buf_addc(&o->line, o->format == OUT_CSV ? ',' : '\t');
        if (o->none[at])
            buf_addz(&o->line, o->format == OUT_CSV ? "" : "-");
        else if (o->format == OUT_CSV)
            add_csv(&o->line, cell(o, at));
        else if (o->declared[at].bare)
            buf_add(&o->line, cell(o, at));
        else
            add_tsv(&o->line, cell(o, at));
    }
    buf_addc(&o->line, o->end);
}

/* Code points, near enough to columns of a terminal. */
static size_t width_of(struct str s)
{
    size_t width = 0;
    for (size_t i = 0; i < s.len; i++)
        width += ((unsigned char)s.ptr[i] & 0xC0) != 0x80;
    return width;
}

static void add_shown(struct buf *out, struct str s, bool whole)
{
    size_t shown = s.len;
    if (!whole && s.len > CELL_SHOWN_MAX) {
        shown = CELL_SHOWN_MAX - strlen("...");
        while (shown > 0 && ((unsigned char)s.ptr[shown] & 0xC0) == 0x80) /* not inside a character */
            shown--;
    }
    buf_add_printable(out, s, shown);
    buf_addz(out, shown < s.len ? "..." : "");
}

/* One held row: cells ended by a tab, which printable text cannot hold. */
static void hold_row(struct out *o)
{
    for (size_t i = 0; i < o->order_count; i++) {
        int at = o->order[i];
        size_t start = o->held.len;
        if (o->none[at])
            buf_addc(&o->held, '-');
        else
            add_shown(&o->held, cell(o, at), o->whole);
        size_t width = width_of(str_n(o->held.ptr + start, o->held.len - start));
        if (!o->widths_known && width > o->widths[i])
            o->widths[i] = width;
        buf_addc(&o->held, '\t');
    }
    o->held_rows++;
}

static void print_held(struct out *o)
{
    if (!o->widths_known) {
        o->widths_known = true;
        print_header(o);
    }
    struct str rest = buf_str(&o->held), text;
    buf_clear(&o->line);
    for (size_t row = 0; row < o->held_rows; row++) {
        for (size_t i = 0; i < o->order_count && str_split(&rest, '\t', &text); i++) {
            buf_addz(&o->line, i ? "  " : "");
            buf_add(&o->line, text);
            for (size_t pad = width_of(text); i + 1 < o->order_count && pad < o->widths[i]; pad++)
                buf_addc(&o->line, ' ');
        }
        buf_addc(&o->line, '\n');
    }
    out_write(buf_str(&o->line));
    buf_clear(&o->held);
    o->held_rows = 0;
}

void out_row(struct out *o)
{
    ensure(o->filled == o->declared_count);
    buf_clear(&o->line);
    if (o->format == OUT_TABLE) {
        hold_row(o);
        if (o->widths_known || o->held_rows == OUT_TABLE_ROWS)
            print_held(o);
    } else {
        if (o->format == OUT_RAW) {
            buf_add(&o->line, cell(o, o->order[0]));
            buf_addc(&o->line, o->end);
        } else if (o->format == OUT_JSON || o->format == OUT_JSONL) {
            row_json(o);
        } else {
            row_separated(o);
        }
        out_write(buf_str(&o->line));
    }
    o->rows++;
    o->filled = 0;
    buf_clear(&o->cells);
}

void out_end(struct out *o)
{
    if (o->format == OUT_TABLE)
        print_held(o);
    else if (o->format == OUT_JSON)
        out_write(STR("]\n"));
    out_flush();
    buf_fini(&o->cells);
    buf_fini(&o->held);
    buf_fini(&o->line);
}
