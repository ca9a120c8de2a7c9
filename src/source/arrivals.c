/* SPDX-License-Identifier: MIT
 *
 * arrivals.c - arrival times that were recorded in a file of their own (recording.h).
 */
#include "base/input.h"
#include "source/recording.h"

#include <stdlib.h>

enum { ROWS_MAX = 50000000, COLUMNS_MAX = 64, ROW_BYTES_MAX = 65536 };

struct columns {
    int line, arrival_ms, recv_ns; /* index, or -1 */
};

static enum err_class read_header(struct str header, const char *path, struct columns *ret, struct err *err)
{
    struct columns c = {-1, -1, -1};
    struct str name;
    header = str_trim(header);
    for (int i = 0; i < COLUMNS_MAX && str_split(&header, '\t', &name); i++) {
        if (str_eq(name, STR("line"))) {
            c.line = i;
        } else if (str_eq(name, STR("arrival_ms"))) {
            c.arrival_ms = i;
        } else if (str_eq(name, STR("recv_ns"))) {
            c.recv_ns = i;
        }
    }
    if (c.line < 0 || (c.arrival_ms < 0 && c.recv_ns < 0)) {
        return err_set(err, ERR_REJECT, EXIT_DATA, "\"%s\": needs the columns line and arrival_ms (or recv_ns)", path);
    }
    *ret = c;
    return ERR_NONE;
}

static bool read_row(struct str row, const struct columns *c, int64_t base_ms, int64_t *ret_line, int64_t *ret_ms)
{
    int64_t line = 0, value = 0;
    int time = c->arrival_ms >= 0 ? c->arrival_ms : c->recv_ns;
    bool has_line = false, has_time = false;
    struct str cell;
    row = str_trim(row);
    for (int i = 0; i < COLUMNS_MAX && str_split(&row, '\t', &cell); i++) {
        if (i == c->line) {
            has_line = str_to_int64(cell, &line);
        } else if (i == time) {
            has_time = str_to_int64(cell, &value);
        }
    }
    *ret_line = line;
    *ret_ms = c->arrival_ms >= 0 ? value : base_ms + floor_div(value, 1000000);
    return has_line && has_time && line > 0 && line <= ROWS_MAX && *ret_ms >= 0 && *ret_ms < TIME_END / US_PER_MS;
}

static void arrivals_set(struct arrivals *a, size_t *cap, size_t line, int64_t ms)
{
    if (line >= *cap) {
        *cap = line + line / 2 + 1024;
        a->ms = xrealloc(a->ms, *cap * sizeof(*a->ms));
    }
    while (a->count <= line) {
        a->ms[a->count++] = TIME_NONE;
    }
    a->ms[line] = ms;
}

enum err_class arrivals_read(const char *path, int64_t base_ms, struct arrivals *ret_arrivals, struct err *err)
{
    struct input *in;
    struct arrivals a = {0};
    struct columns columns = {-1, -1, -1};
    size_t cap = 0;
    enum err_class cls = input_open(path, &in, err);
    if (cls) {
        return cls;
    }
    for (;;) {
        struct str row;
        bool more;
        int64_t line, ms;
        cls = input_line(in, ROW_BYTES_MAX, &row, &more, err);
        if (cls || !more) {
            break;
        }
        if (columns.line < 0) {
            cls = read_header(row, path, &columns, err);
        } else if (str_trim(row).len == 0) {
            continue;
        } else if (read_row(row, &columns, base_ms, &line, &ms)) {
            arrivals_set(&a, &cap, (size_t)line, ms);
        } else {
            cls = err_set(err, ERR_REJECT, EXIT_DATA, "\"%s\" line %lld: wants a record's number and its arrival", path,
                          (long long)input_line_number(in));
        }
        if (cls) {
            break;
        }
    }
    input_close(in);
    if (!cls && columns.line < 0) {
        cls = err_set(err, ERR_REJECT, EXIT_DATA, "\"%s\" is empty: wants a header line", path);
    }
    if (cls) {
        arrivals_fini(&a);
        return cls;
    }
    *ret_arrivals = a;
    return ERR_NONE;
}

void arrivals_fini(struct arrivals *a)
{
    free(a->ms);
    *a = (struct arrivals){0};
}

int64_t arrivals_us(const struct arrivals *a, int64_t ordinal)
{
    bool known = ordinal > 0 && (uint64_t)ordinal < a->count && a->ms[ordinal] != TIME_NONE;
    return known ? a->ms[ordinal] * US_PER_MS : TIME_NONE;
}
