/* SPDX-License-Identifier: MIT
 *
 * explain.c - wikitally explain watermark | window AGGREGATION TIME: why is this window not closed, and who holds it
 * back (R5-R7).
 */
#include "cli/cli.h"
#include "journal/journal.h"
#include "sink/results.h"

#include <stdlib.h>

struct explaining {
    struct cli *cli;
    struct results *results;
    struct journal_reader *reader;
    struct arena arena;
    const char *aggregation; /* window: this one; NULL: all */
    int64_t delay_us, size_us, lateness_us, start_us;
    int64_t lines;
    bool foreign; /* the journal: struct journal_info */
    struct err *err;
};

/* "name = value" lines of a stored definition. */
static int64_t definition_number(const char *definition, const char *name, int64_t otherwise)
{
    struct str rest = str_of(definition), line;
    AUTO(buf) struct buf wanted = {0};
    buf_addf(&wanted, "%s = ", name);
    while (str_split(&rest, '\n', &line)) {
        int64_t number;
        if (str_starts(line, buf_str(&wanted)) &&
            str_to_int64(str_n(line.ptr + wanted.len, line.len - wanted.len), &number))
            return number;
    }
    return otherwise;
}

static void add_time(struct buf *b, int64_t us)
{
    if (us == TIME_NONE)
        buf_addz(b, "nothing yet");
    else
        time_format(b, us);
}

static void print_lag(struct buf *b, const char *what, int64_t us)
{
    int64_t seconds = us > 0 ? us / US_PER_SECOND : 0; /* a generator's own time may run a little ahead */
    buf_addf(b, "  %s: %lld s ago\n", what, (long long)seconds);
}

static void explain_line(struct explaining *e, const struct stored_line *l, struct buf *b)
{
    int64_t head = 0, end = 0, now = clock_wall(&clock_real);
    struct err ignored = {0};
    struct journal_page page;
    AUTO(arena) struct arena arena = {0};
    /* a look first: what a topic has behind the position may be marks only */
    journal_reader_read(e->reader, l->partition, l->line.position, 1, &arena, &page, &ignored);
    journal_reader_bounds(e->reader, l->partition, &head, &end, &ignored);
    buf_addf(b, "%s, partition %u\n  stream time: ", l->aggregation, l->partition);
    add_time(b, l->line.now.stream_us);
    buf_addz(b, "\n  watermark:   ");
    add_time(b, l->line.now.stream_us == TIME_NONE ? TIME_NONE : l->line.now.stream_us - e->delay_us);
    buf_addf(b, "\n  position:    %lld of %lld (%lld behind)\n", (long long)l->line.position, (long long)end,
             (long long)(end - l->line.position));
    if (l->line.now.topic.ptr)
        buf_addf(b, "  moved by:    changes and ticks, and canaries of %.*s\n", STR_ARG(l->line.now.topic));
    if (l->line.arrival_us != TIME_NONE)
        print_lag(b, "last record arrived", now - l->line.arrival_us);
    if (l->line.position < end) {
        buf_addz(b, "  held back by the task: it has not read all of the journal yet\n");
    } else if (l->line.now.stream_us == TIME_NONE) {
        buf_addz(b, "  held back by the source: no change with a usable time came yet\n");
    } else if (e->foreign) {
        buf_addz(b, "  held back by the topic: others write it, without ticks, and nothing but the partition's next "
                    "change says "
                    "that time goes on\n");
    } else if (now - l->line.now.stream_us > 2 * US_PER_MINUTE) {
        buf_addz(b, "  held back by the source: nothing newer came, and no tick could prove the stream quiet (is it "
                    "connected? see \"wikitally doctor source\")\n");
    }
}

static bool explain_watermark_line(const struct stored_line *l, void *ctx)
{
    struct explaining *e = ctx;
    AUTO(buf) struct buf b = {0};
    if (!l->shown)
        return true;
    explain_line(e, l, &b);
    out_write(buf_str(&b));
    e->lines++;
    return true;
}

static bool explain_window_line(const struct stored_line *l, void *ctx)
{
    struct explaining *e = ctx;
    AUTO(buf) struct buf b = {0};
    if (!l->shown || strcmp(l->aggregation, e->aggregation) != 0)
        return true;
    int64_t end_us = e->start_us + e->size_us, stream_us = l->line.now.stream_us;
    explain_line(e, l, &b);
    buf_addz(&b, "  this window: ");
    if (stream_us != TIME_NONE && stream_us - e->delay_us >= end_us + e->lateness_us) {
        buf_addz(&b, "final, and can no longer be amended\n");
    } else if (stream_us != TIME_NONE && stream_us - e->delay_us >= end_us) {
        buf_addz(&b, "final; late changes still amend it until the watermark is ");
        time_format(&b, end_us + e->lateness_us);
        buf_addz(&b, "\n");
    } else {
        buf_addz(&b, "open; it closes when the stream time of this partition reaches ");
        time_format(&b, end_us + e->delay_us);
        if (stream_us != TIME_NONE) {
            buf_addz(&b, ", ");
            duration_format(&b, end_us + e->delay_us - stream_us);
            buf_addz(&b, " from where it is");
        }
        buf_addz(&b, "\n");
    }
    out_write(buf_str(&b));
    e->lines++;
    return true;
}

static bool count_row(const struct stored_row *row, void *ctx)
{
    (void)row;
    ++*(int64_t *)ctx;
    return true;
}

static enum err_class explain_window(struct explaining *e, const struct stored_aggregation *a, int64_t time_us,
                                     struct err *err)
{
    AUTO(buf) struct buf b = {0};
    int64_t rows = 0;
    e->aggregation = a->name;
    e->size_us = a->size_us;
    e->delay_us = definition_number(a->definition, "delay_us", 2 * US_PER_MINUTE);
    e->lateness_us = definition_number(a->definition, "lateness_us", 0);
    e->start_us = floor_div(time_us, a->slide_us) * a->slide_us;
    struct results_query query = {a->name, e->start_us, e->start_us + 1, -1, -1, false, 0};
    enum err_class cls = results_rows(e->results, &query, count_row, &rows, err);
    if (cls)
        return cls;
    buf_addf(&b, "window ");
    time_format(&b, e->start_us);
    buf_addz(&b, " to ");
    time_format(&b, e->start_us + e->size_us);
    buf_addf(&b, " of %s: %lld rows stored\n", a->name, (long long)rows);
    out_write(buf_str(&b));
    return results_lines(e->results, explain_window_line, e, err);
}

static int find_and_explain(struct explaining *e, const char *name, const char *time, struct err *err)
{
    const struct stored_aggregation *list;
    size_t count;
    int64_t time_us;
    if (results_aggregations(e->results, &e->arena, &list, &count, err))
        return cli_fail(err);
    struct journal_info info;
    if (journal_reader_info(e->reader, &info, err))
        return cli_fail(err);
    e->foreign = info.foreign;
    e->delay_us = count ? definition_number(list[0].definition, "delay_us", 2 * US_PER_MINUTE) : 2 * US_PER_MINUTE;
    if (!name) {
        enum err_class cls = results_lines(e->results, explain_watermark_line, e, err);
        return cls ? cli_fail(err) : e->lines ? EXIT_DONE : EXIT_NO;
    }
    if (!time || !time_parse_human(str_of(time), clock_wall(&clock_real), &time_us))
        return cli_usage(err, "explain window: wants an aggregation and a time, such as: explain window bots now-5m");
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i].name, name) == 0)
            return explain_window(e, &list[i], time_us, err) ? cli_fail(err) : e->lines ? EXIT_DONE : EXIT_NO;
    }
    return cli_usage(err, "explain: there is no aggregation \"%s\"", name);
}

static int explain_run(struct cli *cli, int argc, char **argv, struct err *err)
{
    struct explaining e = {.cli = cli};
    int first, code;
    if (!cli_parse(cli, NULL, 0, argc, argv, &first, &code, err))
        return code;
    const char *what = first < argc ? argv[first] : "";
    int more = argc - first - 1;
    bool window = strcmp(what, "window") == 0;
    if ((!window && strcmp(what, "watermark") != 0) || more != (window ? 2 : 0))
        return cli_usage(err, "explain: wants \"watermark\", or \"window AGGREGATION TIME\"");
    if (cli_directory(cli, err) || results_open(cli->directory, &e.results, err))
        return cli_fail(err);
    if (cli_journal(cli, &e.reader, err))
        code = cli_fail(err);
    else
        code = find_and_explain(&e, window ? argv[first + 1] : NULL, window ? argv[first + 2] : NULL, err);
    journal_reader_close(e.reader);
    results_close(e.results);
    arena_fini(&e.arena);
    return code;
}

const struct command command_explain = {
    "explain", "why is this window not closed",
    "  wikitally explain watermark\n"
    "  wikitally explain window user_edit_counts now-5m\n\n"
    "The watermark of a partition is the highest time seen in it, minus the delay (2 minutes). A window closes when it "
    "has passed the window's end.\n"
    "Says for each aggregation and partition where it stands and who holds it back: the task, or the source.",
    explain_run};
