/* SPDX-License-Identifier: MIT
 *
 * tail.c - wikitally tail: changes as they are journalled, filtered by the one grammar.
 */
#include "change/filter.h"
#include "cli/cli.h"
#include "journal/journal.h"

#include <stdio.h>
#include <stdlib.h>

enum { TAIL_POLL_US = 200000, TAIL_PAGE = 5000 };

struct tailing {
    struct cli *cli;
    struct journal_reader *reader;
    struct field_set *set;
    struct filter *filter;
    struct value *values;
    size_t comment, length_old, length_new;
    int64_t next[PARTITION_MAX];
    uint32_t partitions;
    int64_t limit, printed, until_us, shown;
    bool until_end;
};

static const struct out_column columns[] = {{"partition", true}, {"offset", true}, {"time", false}, {"wiki", false},
                                            {"type", false},     {"title", false}, {"user", false}, {"delta", true}};

static void add_field(struct buf *b, const struct value *v)
{
    AUTO(buf) struct buf text = {0};
    if (v->kind == VALUE_ABSENT || v->kind == VALUE_NULL)
        buf_addc(b, '-');
    else {
        value_add_plain(&text, v);
        buf_add_printable(b, buf_str(&text), 200);
    }
}

/* One line for people: it must not wait for others to know its width. */
static void print_line(struct tailing *t, int64_t time_us)
{
    AUTO(buf) struct buf b = {0};
    int64_t delta;
    time_format(&b, time_us);
    buf_addz(&b, "  ");
    add_field(&b, &t->values[FIELD_WIKI]);
    buf_addz(&b, "  ");
    add_field(&b, &t->values[FIELD_TYPE]);
    buf_addz(&b, "  ");
    add_field(&b, &t->values[FIELD_TITLE]);
    buf_addz(&b, "  by ");
    add_field(&b, &t->values[FIELD_USER]);
    if (change_size_delta(&t->values[t->length_old], &t->values[t->length_new], &delta))
        buf_addf(&b, "  %+lld", (long long)delta);
    buf_addc(&b, '\n');
    out_write(buf_str(&b));
}

static void out_field(struct out *out, const struct value *v)
{
    AUTO(buf) struct buf text = {0};
    if (v->kind == VALUE_ABSENT || v->kind == VALUE_NULL) {
        out_none(out);
        return;
    }
    value_add_plain(&text, v);
    out_text(out, buf_str(&text));
}

static void print_columns(struct tailing *t, const struct record *r, int64_t time_us)
{
    struct out *out = &t->cli->out;
    int64_t delta;
    out_int(out, r->partition);
    out_int(out, r->offset);
    out_time(out, time_us);
    out_field(out, &t->values[FIELD_WIKI]);
    out_field(out, &t->values[FIELD_TYPE]);
    out_field(out, &t->values[FIELD_TITLE]);
    out_field(out, &t->values[FIELD_USER]);
    if (change_size_delta(&t->values[t->length_old], &t->values[t->length_new], &delta))
        out_int(out, delta);
    else
        out_none(out);
    out_row(out);
}

static void print_record(struct tailing *t, const struct record *r)
{
    size_t at;
    int64_t time_us;
    if (change_scan(t->set, r->value, t->values, &at) != DEAD_NONE || change_kind(t->values) != CHANGE_EDIT_LIKE)
        return;
    if (change_time(t->values, FIELD_TIMESTAMP, CHANGE_EDIT_LIKE, &time_us) != DEAD_NONE ||
        !filter_match(t->filter, t->values))
        return;
    t->printed++;
    if (t->cli->out.format == OUT_RAW || t->cli->out.format == OUT_JSONL) {
        out_write(r->value);
        out_write(str_n(&t->cli->out.end, 1));
    } else if (t->cli->out.format == OUT_TABLE) {
        print_line(t, time_us);
    } else {
        print_columns(t, r, time_us);
    }
}

static bool over(const struct tailing *t)
{
    return (t->limit && t->printed >= t->limit) || (t->until_us != TIME_NONE && clock_wall(&clock_real) >= t->until_us);
}

/* All that is there now. *ret_any: whether there was anything. */
static enum err_class print_some(struct tailing *t, bool *ret_any, struct err *err)
{
    AUTO(arena) struct arena arena = {0};
    *ret_any = false;
    for (uint32_t p = 0; p < t->partitions; p++) {
        struct journal_page page;
        arena_reset(&arena);
        if (journal_reader_read(t->reader, p, t->next[p], TAIL_PAGE, &arena, &page, err))
            return err->cls;
        for (size_t i = 0; i < page.count && !over(t); i++) {
            print_record(t, &page.records[i]);
            t->next[p] = page.records[i].offset + 1;
            *ret_any = true;
        }
    }
    return ERR_NONE;
}

static enum err_class find_start(struct tailing *t, int64_t since_us, struct err *err)
{
    struct journal_info info;
    int64_t head;
    if (journal_reader_info(t->reader, &info, err))
        return err->cls;
    t->partitions = info.partitions;
    for (uint32_t p = 0; p < t->partitions; p++) {
        if (journal_reader_bounds(t->reader, p, &head, &t->next[p], err))
            return err->cls;
        if (since_us != TIME_NONE && journal_reader_seek_arrival(t->reader, p, since_us, &t->next[p], err))
            return err->cls;
    }
    return ERR_NONE;
}

static enum err_class follow(struct tailing *t, struct err *err)
{
    bool any;
    if (t->cli->out.format != OUT_TABLE && out_begin(&t->cli->out, columns, sizeof columns / sizeof *columns, err))
        return err->cls;
    while (!over(t)) {
        if (print_some(t, &any, err))
            return err->cls;
        out_flush();
        if (!any && t->until_end)
            break;
        if (!any)
            clock_real.sleep_us(&clock_real, TAIL_POLL_US);
    }
    if (t->cli->out.format != OUT_TABLE)
        out_end(&t->cli->out);
    return ERR_NONE;
}

static enum err_class compile(struct tailing *t, int argc, char **argv, int first, struct err *err)
{
    AUTO(buf) struct buf query = {0};
    for (int i = first; i < argc; i++)
        buf_addf(&query, "%s%s", i > first ? " " : "", argv[i]);
    t->set = field_set_new();
    t->length_old = (size_t)field_set_add(t->set, STR("length.old"), err);
    t->length_new = (size_t)field_set_add(t->set, STR("length.new"), err);
    t->filter = filter_compile(buf_str(&query), t->set, NULL, err);
    if (!t->filter) {
        err->code = EXIT_USAGE;
        return err_prefix(err, "tail: \"%s\"", query.ptr ? query.ptr : "");
    }
    t->values = xcalloc(field_set_count(t->set), sizeof *t->values);
    return ERR_NONE;
}

static enum err_class parse_until(struct tailing *t, const char *text, struct err *err)
{
    int64_t number;
    if (!text)
        return ERR_NONE;
    if (strcmp(text, "end") == 0)
        t->until_end = true;
    else if (str_to_int64(str_of(text), &number) && number > 0)
        t->limit = number;
    else if (!time_parse_human(str_of(text), clock_wall(&clock_real), &t->until_us))
        return err_set(err, ERR_REJECT, EXIT_USAGE, "tail: --until \"%s\" is not a number, a time, or \"end\"", text);
    return ERR_NONE;
}

static int tail_run(struct cli *cli, int argc, char **argv, struct err *err)
{
    struct tailing t = {.cli = cli, .until_us = TIME_NONE};
    int64_t since_us = TIME_NONE;
    const char *until = NULL;
    int first, code;
    const struct arg args[] = {
        {"count", 'n', ARG_INT, &t.limit, "N", "end after N changes"},
        {"since", 0, ARG_TIME, &since_us, "T", "begin with what arrived at T (else: with what comes now)"},
        {"until", 0, ARG_STRING, &until, "end|T|N", "end when there is no more, at a time, or after N changes"},
    };
    if (!cli_parse(cli, args, sizeof args / sizeof *args, argc, argv, &first, &code, err))
        return code;
    if (parse_until(&t, until, err) || cli_directory(cli, err))
        return cli_fail(err);
    enum err_class cls = compile(&t, argc, argv, first, err);
    if (!cls)
        cls = cli_journal(cli, &t.reader, err);
    if (!cls)
        cls = find_start(&t, since_us, err);
    if (!cls)
        cls = follow(&t, err);
    journal_reader_close(t.reader);
    free(t.values);
    filter_free(t.filter);
    field_set_free(t.set);
    return cls ? cli_fail(err) : t.printed ? EXIT_DONE : EXIT_NO;
}

const struct command command_tail = {
    "tail", "print changes as they are journalled",
    "  wikitally tail\n"
    "  wikitally tail 'wiki:enwiki -bot:true'\n"
    "  wikitally tail 'type:new title:Talk*' --since 1h --until end\n"
    "  wikitally tail delta:>5000 -o jsonl | jq .title\n\n"
    "The words after tail are a filter: words of title, comment or user; field:value, field:a,b, field:pre*, "
    "field:10..20, field:/regex/; - or NOT, AND, OR\n"
    "and parentheses. jsonl and raw print each event byte for byte. Exit 1 if nothing matched.",
    tail_run};
