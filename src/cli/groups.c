/* SPDX-License-Identifier: MIT
 *
 * groups.c - wikitally groups list | show | lag: who reads, and how far behind. Consumer groups of the cluster that
 * kafka.brokers names; without one, the aggregations in results.db, each of which reads the embedded journal at a
 * position of its own.
 */
#include "cli/topic.h"
#include "journal/journal.h"
#include "kafka/inspect.h"
#include "sink/results.h"

#include <stdio.h>
#include <stdlib.h>

struct limits {
    int64_t seconds, messages; /* -1: none */
};

static enum err_class group_missing(const char *name, struct err *err)
{
    return err_set(err, ERR_REJECT, EXIT_NOINPUT, "there is no group \"%s\"; see \"wikitally groups list\"", name);
}

/* ---- rows */

static const struct out_column list_columns[] = {{"group", false}, {"state", false}};
static const struct out_column show_columns[] = {{"group", false},     {"state", false}, {"member", false},
                                                 {"client", false},    {"host", false},  {"instance", false},
                                                 {"partitions", false}};
static const struct out_column lag_columns[] = {{"group", false},    {"topic", false}, {"partition", true},
                                                {"committed", true}, {"end", true},    {"messages", true},
                                                {"seconds", true},   {"since", false}};

static void add_place(struct buf *b, const char *topic, int32_t partition)
{
    buf_addf(b, "%s%s/%d", b->len ? "," : "", topic, (int)partition);
}

/* Between the first record that is left and the newest; -1: not known. */
static int64_t seconds_of(const struct kafka_lag_row *row)
{
    if (row->messages == 0)
        return 0;
    if (row->messages < 0 || row->first_us == TIME_NONE || row->newest_us == TIME_NONE)
        return -1;
    return row->newest_us > row->first_us ? (row->newest_us - row->first_us) / US_PER_SECOND : 0;
}

static void out_known(struct out *out, int64_t n)
{
    if (n < 0)
        out_none(out);
    else
        out_int(out, n);
}

static int print_lag(struct cli *cli, const char *group, const struct kafka_lag_row *rows, size_t count,
                     const struct limits *limits, struct err *err)
{
    struct out *out = &cli->out;
    int64_t messages = 0, seconds = 0;
    bool unknown = false;
    if (out_begin(out, lag_columns, sizeof lag_columns / sizeof *lag_columns, err))
        return EXIT_USAGE;
    for (size_t i = 0; i < count; i++) {
        const struct kafka_lag_row *r = &rows[i];
        int64_t late = seconds_of(r);
        out_z(out, group);
        out_z(out, r->topic);
        out_int(out, r->partition);
        out_int(out, r->committed);
        out_known(out, r->end);
        out_known(out, r->messages);
        out_known(out, late);
        out_time(out, r->first_us);
        out_row(out);
        messages += r->messages > 0 ? r->messages : 0;
        seconds = late > seconds ? late : seconds;
        unknown |= (limits->messages >= 0 && r->messages < 0) || (limits->seconds >= 0 && late < 0);
    }
    out_end(out);
    cli_note(cli, "group \"%s\": %lld messages, %lld s behind", group, (long long)messages, (long long)seconds);
    if ((limits->messages >= 0 && messages > limits->messages) || (limits->seconds >= 0 && seconds > limits->seconds))
        return EXIT_NO;
    return unknown ? EXIT_INCOMPLETE : EXIT_DONE;
}

/* ---- Kafka */

static int list_kafka(struct cli *cli, struct kafka_inspect *inspect, struct err *err)
{
    AUTO(arena) struct arena arena = {0};
    const struct kafka_group_row *rows;
    size_t count;
    if (kafka_inspect_groups(inspect, &arena, &rows, &count, err) ||
        out_begin(&cli->out, list_columns, sizeof list_columns / sizeof *list_columns, err))
        return cli_fail(err);
    for (size_t i = 0; i < count; i++) {
        out_z(&cli->out, rows[i].name);
        out_z(&cli->out, rows[i].state);
        out_row(&cli->out);
    }
    out_end(&cli->out);
    return EXIT_DONE;
}

static void print_member(struct out *out, const char *group, const char *state, const struct kafka_member_row *m)
{
    AUTO(buf) struct buf places = {0};
    out_z(out, group);
    out_z(out, state);
    out_z(out, m ? m->id : NULL);
    out_z(out, m ? m->client : NULL);
    out_z(out, m ? m->host : NULL);
    out_z(out, m ? m->instance : NULL);
    for (size_t i = 0; m && i < m->place_count; i++)
        add_place(&places, m->places[i].topic, m->places[i].partition);
    out_z(out, places.ptr);
    out_row(out);
}

static int show_kafka(struct cli *cli, struct kafka_inspect *inspect, const char *name, struct err *err)
{
    AUTO(arena) struct arena arena = {0};
    struct kafka_group group;
    enum err_class cls = kafka_inspect_group(inspect, name, &arena, &group, err);
    if (!cls && !group.exists)
        cls = group_missing(name, err);
    if (cls || out_begin(&cli->out, show_columns, sizeof show_columns / sizeof *show_columns, err))
        return cli_fail(err);
    for (size_t i = 0; i < group.member_count; i++)
        print_member(&cli->out, name, group.state, &group.members[i]);
    if (group.member_count == 0)
        print_member(&cli->out, name, group.state, NULL);
    out_end(&cli->out);
    cli_note(cli, "group \"%s\": %s, %zu members, coordinator %s%s%s", name, group.state, group.member_count,
             group.coordinator, *group.assignor ? ", assignor " : "", group.assignor);
    return EXIT_DONE;
}

static int lag_kafka(struct cli *cli, struct kafka_inspect *inspect, const char *name, const struct limits *limits,
                     struct err *err)
{
    AUTO(arena) struct arena arena = {0};
    const struct kafka_lag_row *rows;
    size_t count;
    if (kafka_inspect_lag(inspect, name, &arena, &rows, &count, err))
        return cli_fail(err);
    if (count == 0) { /* a check must not pass because of a misspelt name */
        err_set(err, ERR_REJECT, EXIT_NOINPUT, "group \"%s\" has committed nothing, or there is no such group", name);
        return cli_fail(err);
    }
    return print_lag(cli, name, rows, count, limits, err);
}

/* ---- embedded */

struct reading {
    const char *wanted; /* NULL: all */
    const char *topic;
    struct arena arena;
    struct reader_row {
        const char *group, *state;
        struct kafka_lag_row lag;
    } * rows;
    size_t count, cap;
    char aggregation[128]; /* of the line before */
    int64_t shown;         /* its generation that readers see, -1: not come by yet */
};

/* A generation that is being counted anew is a reader of its own; one that was replaced reads no more. */
static bool take_line(const struct stored_line *l, void *ctx)
{
    struct reading *r = ctx;
    AUTO(buf) struct buf name = {0};
    if (strcmp(r->aggregation, l->aggregation) != 0) {
        snprintf(r->aggregation, sizeof r->aggregation, "%s", l->aggregation);
        r->shown = -1;
    }
    r->shown = l->shown ? l->generation : r->shown;
    if (r->shown < 0)
        return true;
    buf_addz(&name, l->aggregation);
    if (!l->shown)
        buf_addf(&name, "@%lld", (long long)l->generation);
    if (r->wanted && strcmp(r->wanted, name.ptr) != 0)
        return true;
    if (r->count == r->cap) {
        r->cap = r->cap ? r->cap * 2 : 64;
        r->rows = xrealloc(r->rows, r->cap * sizeof *r->rows);
    }
    r->rows[r->count++] = (struct reader_row){.group = arena_dup(&r->arena, buf_str(&name)).ptr,
                                              .state = l->shown ? "shown" : "recomputing",
                                              .lag = {.topic = r->topic,
                                                      .partition = (int32_t)l->partition,
                                                      .committed = l->line.position,
                                                      .end = KAFKA_UNKNOWN,
                                                      .messages = KAFKA_UNKNOWN,
                                                      .first_us = TIME_NONE,
                                                      .newest_us = TIME_NONE}};
    return true;
}

static enum err_class arrival_at(struct journal_reader *reader, uint32_t partition, int64_t offset, int64_t *ret_us,
                                 struct err *err)
{
    AUTO(arena) struct arena arena = {0};
    struct journal_page page;
    enum err_class cls = journal_reader_read(reader, partition, offset, 1, &arena, &page, err);
    if (!cls && page.count)
        *ret_us = page.records[0].arrival_us;
    return cls;
}

static enum err_class lag_find(struct journal_reader *reader, struct kafka_lag_row *row, struct err *err)
{
    uint32_t p = (uint32_t)row->partition;
    int64_t head;
    enum err_class cls = journal_reader_bounds(reader, p, &head, &row->end, err);
    if (cls)
        return cls;
    int64_t from = row->committed > head ? row->committed : head;
    row->messages = row->end > from ? row->end - from : 0;
    if (row->messages)
        cls = arrival_at(reader, p, from, &row->first_us, err);
    if (!cls && row->messages)
        cls = arrival_at(reader, p, row->end - 1, &row->newest_us, err);
    return cls;
}

static enum err_class reading_fill(struct reading *r, struct cli *cli, bool with_lag, struct err *err)
{
    struct results *results;
    struct journal_reader *reader = NULL;
    enum err_class cls = cli_directory(cli, err);
    if (!cls)
        cls = results_open(cli->directory, &results, err);
    if (cls)
        return cls;
    r->topic = cli->config.journal.topic;
    cls = results_lines(results, take_line, r, err);
    results_close(results);
    if (!cls && with_lag)
        cls = cli_journal(cli, &reader, err);
    for (size_t i = 0; reader && !cls && i < r->count; i++)
        cls = lag_find(reader, &r->rows[i].lag, err);
    if (reader)
        journal_reader_close(reader);
    return cls;
}

static int list_tasks(struct cli *cli, const struct reading *r, struct err *err)
{
    if (out_begin(&cli->out, list_columns, sizeof list_columns / sizeof *list_columns, err))
        return EXIT_USAGE;
    for (size_t i = 0; i < r->count; i++) {
        if (i && strcmp(r->rows[i].group, r->rows[i - 1].group) == 0)
            continue;
        out_z(&cli->out, r->rows[i].group);
        out_z(&cli->out, r->rows[i].state);
        out_row(&cli->out);
    }
    out_end(&cli->out);
    return EXIT_DONE;
}

static int show_task(struct cli *cli, const struct reading *r, struct err *err)
{
    AUTO(buf) struct buf places = {0};
    struct out *out = &cli->out;
    if (out_begin(out, show_columns, sizeof show_columns / sizeof *show_columns, err))
        return EXIT_USAGE;
    for (size_t i = 0; i < r->count; i++)
        add_place(&places, r->topic, r->rows[i].lag.partition);
    out_z(out, r->rows[0].group);
    out_z(out, r->rows[0].state);
    for (int i = 0; i < 4; i++)
        out_none(out);
    out_z(out, places.ptr);
    out_row(out);
    out_end(out);
    return EXIT_DONE;
}

static int lag_task(struct cli *cli, const struct reading *r, const struct limits *limits, struct err *err)
{
    AUTO_FREE struct kafka_lag_row *rows = xcalloc(r->count + 1, sizeof *rows);
    for (size_t i = 0; i < r->count; i++)
        rows[i] = r->rows[i].lag;
    return print_lag(cli, r->wanted, rows, r->count, limits, err);
}

/* ---- the command */

enum question { LIST, SHOW, LAG };

static int ask_journal(struct cli *cli, enum question what, const char *name, const struct limits *limits,
                       struct err *err)
{
    struct reading r = {.wanted = name};
    int code;
    enum err_class cls = reading_fill(&r, cli, what == LAG, err);
    if (!cls && name && r.count == 0)
        cls = group_missing(name, err);
    if (cls)
        code = cli_fail(err);
    else if (what == LIST)
        code = list_tasks(cli, &r, err);
    else
        code = what == SHOW ? show_task(cli, &r, err) : lag_task(cli, &r, limits, err);
    arena_fini(&r.arena);
    free(r.rows);
    return code;
}

static int ask(struct cli *cli, enum question what, const char *name, const struct limits *limits, struct err *err)
{
    const struct kafka_options *options;
    struct kafka_inspect *inspect;
    if (topic_cluster(cli, &options, err))
        return cli_fail(err);
    if (!options)
        return ask_journal(cli, what, name, limits, err);
    if (kafka_inspect_open(options, TOPIC_WAIT_US, &inspect, err))
        return cli_fail(err);
    int code = what == LIST   ? list_kafka(cli, inspect, err)
               : what == SHOW ? show_kafka(cli, inspect, name, err)
                              : lag_kafka(cli, inspect, name, limits, err);
    kafka_inspect_close(inspect);
    return code;
}

static int groups_run(struct cli *cli, int argc, char **argv, struct err *err)
{
    struct limits limits = {-1, -1};
    int first, code;
    const struct arg args[] = {
        {"max-seconds", 0, ARG_INT, &limits.seconds, "N", "lag: exit 1 if a partition is further behind"},
        {"max-messages", 0, ARG_INT, &limits.messages, "N",
         "lag: exit 1 if more messages are left, over all partitions"},
    };
    if (!cli_parse(cli, args, sizeof args / sizeof *args, argc, argv, &first, &code, err))
        return code;
    int count = argc - first;
    const char *what = count > 0 ? argv[first] : "list";
    if (strcmp(what, "list") == 0 && count <= 1)
        return ask(cli, LIST, NULL, &limits, err);
    if (strcmp(what, "show") == 0 && count == 2)
        return ask(cli, SHOW, argv[first + 1], &limits, err);
    if (strcmp(what, "lag") == 0 && count == 2)
        return ask(cli, LAG, argv[first + 1], &limits, err);
    return cli_usage(err, "groups: wants list, show GROUP or lag GROUP");
}

const struct command command_groups = {
    "groups", "who reads the topics, and how far behind",
    "  wikitally groups list\n"
    "  wikitally groups show indexer\n"
    "  wikitally groups lag indexer\n"
    "  wikitally groups lag indexer --max-messages 10000 --max-seconds 60 -q || alarm\n\n"
    "Consumer groups of the cluster of kafka.brokers; without one, the aggregations that read the embedded journal "
    "(NAME@N: generation N,\n"
    "which is being counted anew). messages are offsets from what is committed to the end of what is committed there, "
    "and "
    "0 where no\n"
    "record is among them; seconds are between the first record that is left and the newest; since is when the first "
    "one "
    "came. Exit 1\n"
    "if the sum of the messages, or the seconds of any partition, are above the limit; 3 if one that was asked about "
    "is "
    "not known.",
    groups_run};
