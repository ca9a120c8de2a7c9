/* SPDX-License-Identifier: MIT
 *
 * messages.c - see messages.h. What is there at the beginning is the end, unless it follows: a topic that is being
 * written comes to an end, too. Values may be anything; what is no JSON object matches no filter but the empty one.
 */
#include "cli/messages.h"

#include "base/diag.h"
#include "change/filter.h"
#include "cli/topic.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { POLL_US = 200000, SHOWN_MAX = 300 };

struct coverage {
    int64_t start, next, end; /* looked at: [start, next); end: where it stops unless it follows */
    int64_t records;
};

struct looking {
    struct cli *cli;
    const struct messages_wanted *wanted;
    struct topic *topic;
    struct field_set *set;
    struct filter *filter;
    struct value *values;
    struct coverage *parts; /* by partition */
    uint32_t first, last;   /* partitions looked at: [first, last) */
    bool gone;              /* the log begins behind the offset asked for */
    int64_t printed, bytes, without_value;
    FILE *file; /* export into it; NULL: standard output */
    int errnum; /* why it could not be written, or 0 */
    /* Says whether it counts as printed. */
    bool (*print)(struct looking *l, uint32_t partition, const struct topic_record *r);
};

static const struct out_column columns[] = {{"partition", true}, {"offset", true}, {"timestamp", false}, {"key", false},
                                            {"kind", false},     {"size", true},   {"value", false}};

/* ---- what is printed */

static void out_some(struct out *out, struct str s)
{
    if (s.ptr)
        out_text(out, s);
    else
        out_none(out);
}

static void add_some(struct buf *b, struct str s)
{
    buf_addz(b, "  ");
    if (s.ptr)
        buf_add_printable(b, s, SHOWN_MAX);
    else
        buf_addc(b, '-');
    buf_addz(b, s.len > SHOWN_MAX ? "..." : "");
}

/* One line for people: it must not wait for others to know its width. */
static void print_line(uint32_t partition, const struct topic_record *r)
{
    AUTO(buf) struct buf b = {0};
    buf_addf(&b, "%u/%lld  ", partition, (long long)r->offset);
    time_format(&b, r->time_us);
    add_some(&b, r->key);
    add_some(&b, r->kind);
    add_some(&b, r->value);
    buf_addc(&b, '\n');
    out_write(buf_str(&b));
}

static void print_columns(struct out *out, uint32_t partition, const struct topic_record *r)
{
    out_int(out, partition);
    out_int(out, r->offset);
    out_time(out, r->time_us);
    out_some(out, r->key);
    out_some(out, r->kind);
    if (r->value.ptr)
        out_int(out, (int64_t)r->value.len);
    else
        out_none(out);
    out_some(out, r->value);
    out_row(out);
}

static bool print_value(struct looking *l, uint32_t partition, const struct topic_record *r)
{
    struct str end = str_n(&l->cli->out.end, 1);
    (void)partition;
    l->without_value += r->value.ptr == NULL;
    if (!r->value.ptr)
        return false;
    l->bytes += (int64_t)(r->value.len + end.len);
    if (l->file) {
        bool whole = fwrite(r->value.ptr, 1, r->value.len, l->file) == r->value.len &&
                     fwrite(end.ptr, 1, end.len, l->file) == end.len;
        l->errnum = whole ? 0 : errno;
    } else {
        out_write(r->value);
        out_write(end);
    }
    return true;
}

static bool print_record(struct looking *l, uint32_t partition, const struct topic_record *r)
{
    enum out_format format = l->cli->out.format;
    if (format == OUT_RAW)
        return print_value(l, partition, r);
    if (format == OUT_TABLE && l->wanted->follow)
        print_line(partition, r);
    else
        print_columns(&l->cli->out, partition, r);
    return true;
}

/* ---- where it begins */

/* The n-th last record. Marks and what was aborted have offsets, too: so from further and further before the end. */
static enum err_class find_last(struct looking *l, uint32_t p, int64_t head, int64_t *ret_from, struct err *err)
{
    int64_t n = l->wanted->last, end = l->parts[p].end, from = end, seen = 0;
    AUTO_FREE int64_t *ring = xcalloc((size_t)n, sizeof *ring);
    for (int64_t step = n; seen < n && from > head; step *= 4) {
        from = end - step > head ? end - step : head;
        seen = 0;
        for (int64_t at = from; at < end;) {
            struct topic_page page;
            enum err_class cls = topic_read(l->topic, p, at, &page, err);
            if (cls)
                return cls;
            for (size_t i = 0; i < page.count && page.records[i].offset < end; i++)
                ring[seen++ % n] = page.records[i].offset;
            at = page.count ? page.records[page.count - 1].offset + 1 : end;
        }
    }
    *ret_from = seen > n ? ring[seen % n] : seen ? ring[0] : end;
    return ERR_NONE;
}

static enum err_class find_start(struct looking *l, uint32_t p, struct err *err)
{
    const char *text = l->wanted->from;
    struct coverage *c = &l->parts[p];
    int64_t head, at_us;
    enum err_class cls = topic_bounds(l->topic, p, &head, &c->end, err);
    if (cls)
        return cls;
    c->start = head;
    if (l->wanted->last)
        cls = find_last(l, p, head, &c->start, err);
    else if (text ? strcmp(text, "latest") == 0 : l->wanted->follow)
        c->start = c->end;
    else if (text && str_to_int64(str_of(text), &c->start))
        l->gone |= c->start < head;
    else if (text && strcmp(text, "earliest") != 0 && time_parse_human(str_of(text), clock_wall(&clock_real), &at_us))
        cls = topic_seek(l->topic, p, at_us, &c->start, err);
    c->start = c->start < head ? head : c->start;
    c->next = c->start;
    return cls;
}

static int check(const struct messages_wanted *w, struct err *err)
{
    int64_t number;
    const char *from = w->from;
    if (from && w->last)
        return cli_usage(err, "topics: --from and --last both say where to begin; give one of them");
    if (w->last > MESSAGES_LAST_MAX)
        return cli_usage(err, "topics: --last takes at most %d", MESSAGES_LAST_MAX);
    if (from && strcmp(from, "earliest") != 0 && strcmp(from, "latest") != 0 &&
        !(str_to_int64(str_of(from), &number) && number >= 0) &&
        !time_parse_human(str_of(from), clock_wall(&clock_real), &number))
        return cli_usage(err, "topics: --from \"%s\" is not an offset, a time, \"earliest\" or \"latest\"", from);
    return EXIT_DONE;
}

/* ---- looking */

static bool over(const struct looking *l)
{
    return l->errnum || (l->wanted->count && l->printed >= l->wanted->count);
}

static bool matches(struct looking *l, const struct topic_record *r)
{
    size_t at;
    if (!l->filter)
        return true;
    return r->value.ptr && change_scan(l->set, r->value, l->values, &at) == DEAD_NONE &&
           filter_match(l->filter, l->values);
}

/* What is there of one partition, up to `end`. */
static enum err_class look(struct looking *l, uint32_t p, int64_t end, struct err *err)
{
    struct coverage *c = &l->parts[p];
    while (c->next < end && !over(l)) {
        struct topic_page page;
        enum err_class cls = topic_read(l->topic, p, c->next, &page, err);
        if (cls)
            return cls;
        if (page.count == 0 || page.records[0].offset >= end) { /* marks are all that is left */
            c->next = end == INT64_MAX ? c->next : end;
            return ERR_NONE;
        }
        for (size_t i = 0; i < page.count && page.records[i].offset < end && !over(l); i++) {
            c->records++;
            c->next = page.records[i].offset + 1;
            if (matches(l, &page.records[i]))
                l->printed += l->print(l, p, &page.records[i]);
        }
    }
    return ERR_NONE;
}

static enum err_class look_all(struct looking *l, struct err *err)
{
    enum err_class cls = ERR_NONE;
    for (uint32_t p = l->first; !cls && p < l->last; p++) {
        cls = find_start(l, p, err);
        if (!cls && !l->wanted->follow) {
            cls = look(l, p, l->parts[p].end, err);
            topic_rest(l->topic, p);
        }
    }
    return cls;
}

static enum err_class follow(struct looking *l, struct err *err)
{
    while (!over(l)) {
        for (uint32_t p = l->first; p < l->last && !over(l); p++) {
            enum err_class cls = look(l, p, INT64_MAX, err);
            if (cls == ERR_RETRY) { /* a broker that is away comes back */
                diag_warn("topics", "%s", err->text);
                *err = (struct err){0};
            } else if (cls) {
                return cls;
            }
        }
        out_flush();
        if (!over(l))
            clock_real.sleep_us(&clock_real, POLL_US);
    }
    return ERR_NONE;
}

/* ---- what was looked at */

static void say_coverage(const struct looking *l)
{
    uint32_t untouched = 0;
    for (uint32_t p = l->first; p < l->last; p++) {
        const struct coverage *c = &l->parts[p];
        if (c->next > c->start) {
            cli_note(l->cli, "looked at %lld records, offsets %lld..%lld of partition %u", (long long)c->records,
                     (long long)c->start, (long long)c->next - 1, p);
        } else {
            untouched++;
        }
    }
    if (untouched) {
        cli_note(l->cli, "looked at 0 records of %u %spartition%s", untouched,
                 untouched < l->last - l->first ? "other " : "", untouched == 1 ? "" : "s");
    }
    if (l->without_value)
        cli_note(l->cli, "left out %lld records that have no value", (long long)l->without_value);
    if (l->gone)
        cli_note(l->cli, "offset %s is gone: the log begins behind it", l->wanted->from);
}

static enum err_class compile(struct looking *l, struct err *err)
{
    AUTO(buf) struct buf query = {0};
    for (int i = 0; i < l->wanted->query_count; i++)
        buf_addf(&query, "%s%s", i ? " " : "", l->wanted->query[i]);
    if (str_trim(buf_str(&query)).len == 0)
        return ERR_NONE;
    l->set = field_set_new();
    l->filter = filter_compile(buf_str(&query), l->set, NULL, err);
    if (!l->filter) {
        err->code = EXIT_USAGE;
        return err_prefix(err, "topics: \"%s\"", query.ptr);
    }
    l->values = xcalloc(field_set_count(l->set), sizeof *l->values);
    return ERR_NONE;
}

static enum err_class begin(struct looking *l, struct err *err)
{
    const struct messages_wanted *w = l->wanted;
    enum err_class cls = compile(l, err);
    if (!cls)
        cls = topic_open(l->cli, w->topic, w->follow, &l->topic, err);
    if (cls)
        return cls;
    uint32_t count = topic_partitions(l->topic);
    if (w->partition >= (int64_t)count)
        return err_set(err, ERR_REJECT, EXIT_NOINPUT, "topic \"%s\" has no partition %lld: there are %u, from 0",
                       w->topic, (long long)w->partition, count);
    l->parts = xcalloc(count, sizeof *l->parts);
    l->first = w->partition < 0 ? 0 : (uint32_t)w->partition;
    l->last = w->partition < 0 ? count : l->first + 1;
    return ERR_NONE;
}

static void looking_fini(struct looking *l)
{
    topic_close(l->topic);
    free(l->parts);
    free(l->values);
    filter_free(l->filter);
    field_set_free(l->set);
}

static int outcome(const struct looking *l, enum err_class cls, const struct err *err)
{
    if (cls)
        return cli_fail(err);
    say_coverage(l);
    return l->gone ? EXIT_INCOMPLETE : l->printed ? EXIT_DONE : EXIT_NO;
}

int messages_print(struct cli *cli, const struct messages_wanted *wanted, struct err *err)
{
    struct looking l = {.cli = cli, .wanted = wanted, .print = print_record};
    int code = check(wanted, err);
    if (code)
        return code;
    bool rows = cli->out.format != OUT_RAW && !(cli->out.format == OUT_TABLE && wanted->follow);
    enum err_class cls = begin(&l, err);
    if (!cls && rows && out_begin(&cli->out, columns, sizeof columns / sizeof *columns, err)) {
        looking_fini(&l);
        return EXIT_USAGE;
    }
    bool begun = !cls;
    if (!cls)
        cls = look_all(&l, err);
    if (!cls && wanted->follow)
        cls = follow(&l, err);
    if (begun && rows)
        out_end(&cli->out);
    out_flush();
    code = outcome(&l, cls, err);
    looking_fini(&l);
    return code;
}

/* ---- export */

static enum err_class close_file(struct looking *l, const char *name, enum err_class cls, struct err *err)
{
    if (!l->errnum && (fflush(l->file) != 0 || fsync(fileno(l->file)) != 0))
        l->errnum = errno;
    if (fclose(l->file) != 0 && !l->errnum)
        l->errnum = errno;
    if (!cls && l->errnum)
        cls = err_errno(err, ERR_FATAL, EXIT_IOERR, l->errnum, "cannot write \"%s\"", name);
    if (cls)
        unlink(name); /* ours: it was not there before */
    return cls;
}

static int check_name(const char *name, struct err *err)
{
    static const char *const packed[] = {"zst", "gz", "xz", "bz2"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof packed / sizeof *packed; i++) {
        if (strcmp(dot + 1, packed[i]) == 0) {
            return cli_usage(err,
                             "topics export: writes values as they are; for \"%s\" let something pack them: "
                             "wikitally topics export TOPIC - | zstd > FILE",
                             name);
        }
    }
    return EXIT_DONE;
}

int messages_export(struct cli *cli, const struct messages_wanted *wanted, const char *name, struct err *err)
{
    struct looking l = {.cli = cli, .wanted = wanted, .print = print_value};
    int code = wanted->follow ? cli_usage(err, "topics export: --follow has no end") : check(wanted, err);
    code = code ? code : check_name(name, err);
    if (code)
        return code;
    bool to_file = strcmp(name, "-") != 0;
    enum err_class cls = begin(&l, err);
    if (!cls && to_file) {
        l.file = fopen(name, "wbx");
        if (!l.file)
            cls = err_errno(err, ERR_FATAL, err_errno_code(errno, EXIT_CANTCREAT), errno, "cannot make \"%s\"", name);
    }
    if (!cls)
        cls = look_all(&l, err);
    if (l.file)
        cls = close_file(&l, name, cls, err);
    out_flush();
    code = outcome(&l, cls, err);
    if (!cls)
        cli_note(cli, "%lld values, %lld bytes", (long long)l.printed, (long long)l.bytes);
    looking_fini(&l);
    return code == EXIT_NO ? EXIT_DONE : code; /* an empty topic is an empty file */
}
