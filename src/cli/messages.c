/* SPDX-License-Identifier: MIT
 *
 * messages.c - see messages.h. What is found, and where, is topics/messages.h's business.
 */
#include "cli/messages.h"

#include "base/clock.h"
#include "cli/place.h"
#include "topics/messages.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { POLL_US = 200000, SHOWN_MAX = 300 };

struct printing {
    struct cli *cli;
    const struct messages_asked *asked;
    struct topics_place place;
    struct messages_wanted wanted;
    struct messages *messages;
    struct buf query;
    int64_t bytes, without_value;
    FILE *file; /* export into it; NULL: standard output */
    int errnum; /* why it could not be written, or 0 */
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

static bool print_value(uint32_t partition, const struct topic_record *r, void *ctx)
{
    struct printing *l = ctx;
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

static bool print_record(uint32_t partition, const struct topic_record *r, void *ctx)
{
    struct printing *l = ctx;
    enum out_format format = l->cli->out.format;
    if (format == OUT_RAW)
        return print_value(partition, r, l);
    if (format == OUT_TABLE && l->asked->follow)
        print_line(partition, r);
    else
        print_columns(&l->cli->out, partition, r);
    return true;
}

/* ---- what is asked */

static int check(const struct messages_asked *w, struct err *err)
{
    const char *from = w->from;
    if (from && w->last)
        return cli_usage(err, "topics: --from and --last both say where to begin; give one of them");
    if (w->last > MESSAGES_LAST_MAX)
        return cli_usage(err, "topics: --last takes at most %d", MESSAGES_LAST_MAX);
    if (from && !messages_from_is_known(from))
        return cli_usage(err, "topics: --from \"%s\" is not an offset, a time, \"earliest\" or \"latest\"", from);
    return EXIT_DONE;
}

static bool cannot_write(void *ctx)
{
    const struct printing *l = ctx;
    return l->errnum != 0;
}

static enum err_class begin(struct printing *l, struct err *err)
{
    const struct messages_asked *w = l->asked;
    for (int i = 0; i < w->query_count; i++)
        buf_addf(&l->query, "%s%s", i ? " " : "", w->query[i]);
    l->wanted.topic = w->topic;
    l->wanted.partition = w->partition;
    l->wanted.from = w->from;
    l->wanted.last = w->last;
    l->wanted.count = w->count;
    l->wanted.live = w->follow;
    l->wanted.filter = buf_str(&l->query);
    l->wanted.full = cannot_write;
    l->wanted.ctx = l;
    enum err_class cls = place_open(l->cli, PLACE_JOURNAL, &l->place, err);
    if (!cls)
        cls = messages_open(&l->place, &l->wanted, &l->messages, err);
    if (cls)
        return err->code == EXIT_USAGE ? err_prefix(err, "topics: \"%s\"", l->query.ptr) : cls;
    return l->messages ? ERR_NONE : place_no_topic(&l->place, w->topic, err);
}

static void printing_fini(struct printing *l)
{
    messages_close(l->messages);
    place_close(&l->place);
    buf_fini(&l->query);
}

static enum err_class follow(struct printing *l, struct err *err)
{
    enum err_class cls = ERR_NONE;
    while (!cls && !messages_over(l->messages)) {
        cls = messages_look_on(l->messages, err);
        out_flush();
        if (!cls && !messages_over(l->messages))
            clock_real.sleep_us(&clock_real, POLL_US);
    }
    return cls;
}

/* ---- what was looked at */

static bool say_coverage(const struct printing *l)
{
    uint32_t first, behind, untouched = 0;
    bool gone = false;
    messages_span(l->messages, &first, &behind);
    for (uint32_t p = first; p < behind; p++) {
        const struct messages_coverage *c = messages_covered(l->messages, p);
        gone |= c->gone;
        if (c->next > c->start) {
            cli_note(l->cli, "looked at %lld records, offsets %lld..%lld of partition %u", (long long)c->records,
                     (long long)c->start, (long long)c->next - 1, p);
        } else {
            untouched++;
        }
    }
    if (untouched) {
        cli_note(l->cli, "looked at 0 records of %u %spartition%s", untouched,
                 untouched < behind - first ? "other " : "", untouched == 1 ? "" : "s");
    }
    if (l->without_value)
        cli_note(l->cli, "left out %lld records that have no value", (long long)l->without_value);
    if (gone)
        cli_note(l->cli, "offset %s is gone: the log begins behind it", l->asked->from);
    return gone;
}

static int outcome(const struct printing *l, enum err_class cls, const struct err *err)
{
    if (cls)
        return cli_fail(err);
    bool gone = say_coverage(l);
    return gone ? EXIT_INCOMPLETE : messages_taken(l->messages) ? EXIT_DONE : EXIT_NO;
}

int messages_print(struct cli *cli, const struct messages_asked *asked, struct err *err)
{
    struct printing l = {.cli = cli, .asked = asked, .wanted.take = print_record};
    int code = check(asked, err);
    if (code)
        return code;
    bool rows = cli->out.format != OUT_RAW && !(cli->out.format == OUT_TABLE && asked->follow);
    enum err_class cls = begin(&l, err);
    if (!cls && rows && out_begin(&cli->out, columns, sizeof columns / sizeof *columns, err)) {
        printing_fini(&l);
        return EXIT_USAGE;
    }
    bool begun = !cls;
    if (!cls)
        cls = messages_look(l.messages, err);
    if (!cls && asked->follow)
        cls = follow(&l, err);
    if (begun && rows)
        out_end(&cli->out);
    out_flush();
    code = outcome(&l, cls, err);
    printing_fini(&l);
    return code;
}

/* ---- export */

static enum err_class close_file(struct printing *l, const char *name, enum err_class cls, struct err *err)
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

int messages_export(struct cli *cli, const struct messages_asked *asked, const char *name, struct err *err)
{
    struct printing l = {.cli = cli, .asked = asked, .wanted.take = print_value};
    int code = asked->follow ? cli_usage(err, "topics export: --follow has no end") : check(asked, err);
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
        cls = messages_look(l.messages, err);
    if (l.file)
        cls = close_file(&l, name, cls, err);
    out_flush();
    code = outcome(&l, cls, err);
    if (!cls)
        cli_note(cli, "%lld values, %lld bytes", (long long)messages_taken(l.messages), (long long)l.bytes);
    printing_fini(&l);
    return code == EXIT_NO ? EXIT_DONE : code; /* an empty topic is an empty file */
}
