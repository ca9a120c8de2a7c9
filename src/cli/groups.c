/* SPDX-License-Identifier: MIT
 *
 * groups.c - wikitally groups list | show | lag: who reads, and how far behind. Consumer groups of the cluster that
 * kafka.brokers names; without one, the aggregations in results.db, each of which reads the embedded journal at a
 * position of its own.
 */
#include "topics/groups.h"
#include "cli/place.h"

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

static void out_known(struct out *out, int64_t n)
{
    if (n < 0)
        out_none(out);
    else
        out_int(out, n);
}

static int list(struct cli *cli, struct topics_place *place, struct err *err)
{
    AUTO(arena) struct arena arena = {0};
    const struct kafka_group_row *rows;
    size_t count;
    if (groups_list(place, &arena, &rows, &count, err) ||
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

static int show(struct cli *cli, struct topics_place *place, const char *name, struct err *err)
{
    AUTO(arena) struct arena arena = {0};
    struct kafka_group group;
    enum err_class cls = groups_show(place, name, &arena, &group, err);
    if (!cls && !group.exists)
        cls = group_missing(name, err);
    if (cls || out_begin(&cli->out, show_columns, sizeof show_columns / sizeof *show_columns, err))
        return cli_fail(err);
    for (size_t i = 0; i < group.member_count; i++)
        print_member(&cli->out, name, group.state, &group.members[i]);
    if (group.member_count == 0)
        print_member(&cli->out, name, group.state, NULL);
    out_end(&cli->out);
    if (place->kafka) {
        cli_note(cli, "group \"%s\": %s, %zu members, coordinator %s%s%s", name, group.state, group.member_count,
                 group.coordinator, *group.assignor ? ", assignor " : "", group.assignor);
    }
    return EXIT_DONE;
}

static int print_lag(struct cli *cli, const char *group, const struct kafka_lag_row *rows, size_t count,
                     const struct limits *limits, struct err *err)
{
    struct out *out = &cli->out;
    if (out_begin(out, lag_columns, sizeof lag_columns / sizeof *lag_columns, err))
        return EXIT_USAGE;
    for (size_t i = 0; i < count; i++) {
        const struct kafka_lag_row *r = &rows[i];
        out_z(out, group);
        out_z(out, r->topic);
        out_int(out, r->partition);
        out_int(out, r->committed);
        out_known(out, r->end);
        out_known(out, r->messages);
        out_known(out, groups_seconds(r));
        out_time(out, r->first_us);
        out_row(out);
    }
    out_end(out);
    struct groups_sum sum = groups_sum(rows, count);
    cli_note(cli, "group \"%s\": %lld messages, %lld s behind", group, (long long)sum.messages, (long long)sum.seconds);
    if ((limits->messages >= 0 && sum.messages > limits->messages) ||
        (limits->seconds >= 0 && sum.seconds > limits->seconds))
        return EXIT_NO;
    bool unknown = (limits->messages >= 0 && sum.messages_unknown) || (limits->seconds >= 0 && sum.seconds_unknown);
    return unknown ? EXIT_INCOMPLETE : EXIT_DONE;
}

static int lag(struct cli *cli, struct topics_place *place, const char *name, const struct limits *limits,
               struct err *err)
{
    AUTO(arena) struct arena arena = {0};
    const struct kafka_lag_row *rows;
    size_t count;
    enum err_class cls = groups_lag(place, name, &arena, &rows, &count, err);
    if (!cls && count == 0) { /* a check must not pass because of a misspelt name */
        cls = place->kafka ? err_set(err, ERR_REJECT, EXIT_NOINPUT,
                                     "group \"%s\" has committed nothing, or there is no such group", name)
                           : group_missing(name, err);
    }
    return cls ? cli_fail(err) : print_lag(cli, name, rows, count, limits, err);
}

/* ---- the command */

enum question { LIST, SHOW, LAG };

static int ask(struct cli *cli, enum question what, const char *name, const struct limits *limits, struct err *err)
{
    struct topics_place place = {0};
    enum err_class cls = place_open(cli, what == LAG ? PLACE_RESULTS | PLACE_JOURNAL : PLACE_RESULTS, &place, err);
    int code = cls            ? cli_fail(err)
               : what == LIST ? list(cli, &place, err)
               : what == SHOW ? show(cli, &place, name, err)
                              : lag(cli, &place, name, limits, err);
    place_close(&place);
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
