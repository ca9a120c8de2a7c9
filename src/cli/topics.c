/* SPDX-License-Identifier: MIT
 *
 * topics.c - wikitally topics list | show | messages | export: the topics of the cluster that kafka.brokers names, or
 * without one the embedded journal, as one topic. Messages: messages.c.
 */
#include "cli/messages.h"
#include "cli/topic.h"
#include "journal/journal.h"
#include "kafka/inspect.h"

#include <stdlib.h>

/* ---- list */

static const struct out_column list_columns[] = {{"topic", false},  {"partitions", true},       {"replication", true},
                                                 {"records", true}, {"under_replicated", true}, {"internal", true}};

static void out_known(struct out *out, int64_t n)
{
    if (n == KAFKA_UNKNOWN)
        out_none(out);
    else
        out_int(out, n);
}

/* Those of partitions that somebody leads. */
static struct kafka_span *spans_of(const struct kafka_topic_row *topics, size_t topic_count, size_t *ret_count)
{
    size_t most = 0, count = 0;
    for (size_t t = 0; t < topic_count; t++)
        most += topics[t].partition_count;
    struct kafka_span *spans = xcalloc(most + 1, sizeof *spans);
    for (size_t t = 0; t < topic_count; t++) {
        for (size_t p = 0; p < topics[t].partition_count; p++) {
            const struct kafka_partition_row *row = &topics[t].partitions[p];
            if (row->leader != KAFKA_NOBODY)
                spans[count++] = (struct kafka_span){.topic = topics[t].name, .partition = row->number};
        }
    }
    *ret_count = count;
    return spans;
}

/* `at`: the topic's first span, which is moved on to the next topic's. */
static int64_t records_of(const struct kafka_topic_row *t, const struct kafka_span *spans, size_t count, size_t *at)
{
    int64_t sum = 0;
    size_t known = 0;
    for (; *at < count && spans[*at].topic == t->name; (*at)++) {
        const struct kafka_span *s = &spans[*at];
        known += s->end != KAFKA_UNKNOWN;
        sum += s->end != KAFKA_UNKNOWN ? s->end - s->head : 0;
    }
    return known == t->partition_count ? sum : KAFKA_UNKNOWN;
}

static void print_topic(struct out *out, const struct kafka_topic_row *t, int64_t records)
{
    out_z(out, t->name);
    out_int(out, (int64_t)t->partition_count);
    out_int(out, t->replication);
    out_known(out, records);
    out_int(out, (int64_t)t->under_replicated);
    out_z(out, t->internal ? "true" : "false");
    out_row(out);
}

static enum err_class list_kafka(struct cli *cli, struct kafka_inspect *inspect, struct err *err)
{
    AUTO(arena) struct arena arena = {0};
    struct kafka_cluster cluster;
    size_t count = 0, at = 0;
    enum err_class cls = kafka_inspect_cluster(inspect, &arena, &cluster, err);
    if (cls)
        return cls;
    AUTO_FREE struct kafka_span *spans = spans_of(cluster.topics, cluster.topic_count, &count);
    if (kafka_inspect_spans(inspect, spans, count, err) ||
        out_begin(&cli->out, list_columns, sizeof list_columns / sizeof *list_columns, err))
        return err->cls;
    for (size_t t = 0; t < cluster.topic_count; t++)
        print_topic(&cli->out, &cluster.topics[t], records_of(&cluster.topics[t], spans, count, &at));
    out_end(&cli->out);
    cli_note(cli, "cluster \"%s\": %zu topics, %zu broker%s, controller %d", cluster.id, cluster.topic_count,
             cluster.broker_count, cluster.broker_count == 1 ? "" : "s", (int)cluster.controller);
    return ERR_NONE;
}

static enum err_class journal_sum(struct journal_reader *reader, uint32_t partitions, int64_t *ret_sum, struct err *err)
{
    int64_t head, end, sum = 0;
    for (uint32_t p = 0; p < partitions; p++) {
        if (journal_reader_bounds(reader, p, &head, &end, err))
            return err->cls;
        sum += end - head;
    }
    *ret_sum = sum;
    return ERR_NONE;
}

static enum err_class list_journal(struct cli *cli, struct err *err)
{
    struct journal_reader *reader;
    struct journal_info info;
    struct out *out = &cli->out;
    int64_t records = 0;
    enum err_class cls = topic_journal(cli, NULL, &reader, err);
    if (cls)
        return cls;
    cls = journal_reader_info(reader, &info, err);
    if (!cls)
        cls = journal_sum(reader, info.partitions, &records, err);
    journal_reader_close(reader);
    if (cls || out_begin(out, list_columns, sizeof list_columns / sizeof *list_columns, err))
        return err->cls;
    out_z(out, cli->config.journal.topic);
    out_int(out, info.partitions);
    out_none(out);
    out_int(out, records);
    out_none(out);
    out_z(out, "false");
    out_row(out);
    out_end(out);
    return ERR_NONE;
}

/* ---- show */

static const struct out_column show_columns[] = {{"partition", true}, {"leader", true}, {"replicas", false},
                                                 {"in_sync", false},  {"head", true},   {"end", true},
                                                 {"high", true}};
static const struct out_column setting_columns[] = {{"setting", false}, {"value", false}, {"origin", false}};

static void out_numbers(struct out *out, const int32_t *list, size_t count)
{
    AUTO(buf) struct buf text = {0};
    for (size_t i = 0; i < count; i++)
        buf_addf(&text, "%s%d", i ? "," : "", (int)list[i]);
    out_text(out, buf_str(&text));
}

static void print_partition(struct out *out, const struct kafka_partition_row *p, const struct kafka_span *span)
{
    out_int(out, p->number);
    out_known(out, p->leader);
    out_numbers(out, p->replicas, p->replica_count);
    out_numbers(out, p->in_sync, p->in_sync_count);
    out_known(out, span ? span->head : KAFKA_UNKNOWN);
    out_known(out, span ? span->end : KAFKA_UNKNOWN);
    out_known(out, span ? span->high : KAFKA_UNKNOWN);
    out_row(out);
}

static enum err_class print_partitions(struct cli *cli, struct kafka_inspect *inspect,
                                       const struct kafka_topic_row *topic, struct err *err)
{
    size_t count = 0, at = 0;
    AUTO_FREE struct kafka_span *spans = spans_of(topic, 1, &count);
    if (kafka_inspect_spans(inspect, spans, count, err) || kafka_inspect_high(inspect, spans, count, err) ||
        out_begin(&cli->out, show_columns, sizeof show_columns / sizeof *show_columns, err))
        return err->cls;
    for (size_t p = 0; p < topic->partition_count; p++) {
        bool led = at < count && spans[at].partition == topic->partitions[p].number;
        print_partition(&cli->out, &topic->partitions[p], led ? &spans[at] : NULL);
        at += led;
    }
    out_end(&cli->out);
    return ERR_NONE;
}

static enum err_class print_settings(struct cli *cli, struct kafka_inspect *inspect, const char *topic, struct err *err)
{
    AUTO(arena) struct arena arena = {0};
    const struct kafka_setting_row *rows;
    size_t count;
    if (kafka_inspect_settings(inspect, topic, &arena, &rows, &count, err) ||
        out_begin(&cli->out, setting_columns, sizeof setting_columns / sizeof *setting_columns, err))
        return err->cls;
    for (size_t i = 0; i < count; i++) {
        out_z(&cli->out, rows[i].name);
        out_z(&cli->out, rows[i].value);
        out_z(&cli->out, rows[i].origin);
        out_row(&cli->out);
    }
    out_end(&cli->out);
    return ERR_NONE;
}

/* A table for people has both; whoever reads rows wants them of one kind. */
static enum err_class show_kafka(struct cli *cli, struct kafka_inspect *inspect, const char *name, bool settings,
                                 struct err *err)
{
    AUTO(arena) struct arena arena = {0};
    struct kafka_topic_row topic;
    bool both = cli->out.format == OUT_TABLE && !settings && !cli->columns;
    enum err_class cls = kafka_inspect_topic(inspect, name, &arena, &topic, err);
    if (!cls && topic.partition_count == 0)
        cls = topic_missing(name, "in the cluster", err);
    if (!cls && !settings)
        cls = print_partitions(cli, inspect, &topic, err);
    if (!cls && both)
        out_write(STR("\n"));
    if (!cls && (settings || both))
        cls = print_settings(cli, inspect, name, err);
    return cls;
}

static enum err_class show_journal(struct cli *cli, const char *name, bool settings, struct err *err)
{
    struct journal_reader *reader;
    struct journal_info info;
    int64_t heads[PARTITION_MAX], ends[PARTITION_MAX];
    enum err_class cls = topic_journal(cli, name, &reader, err);
    if (cls)
        return cls;
    cls = journal_reader_info(reader, &info, err);
    for (uint32_t p = 0; !cls && p < info.partitions; p++)
        cls = journal_reader_bounds(reader, p, &heads[p], &ends[p], err);
    journal_reader_close(reader);
    if (cls || out_begin(&cli->out, settings ? setting_columns : show_columns,
                         settings ? sizeof setting_columns / sizeof *setting_columns
                                  : sizeof show_columns / sizeof *show_columns,
                         err))
        return err->cls;
    for (uint32_t p = 0; !settings && p < info.partitions; p++) {
        out_int(&cli->out, p);
        for (int i = 0; i < 3; i++)
            out_none(&cli->out);
        out_int(&cli->out, heads[p]);
        out_int(&cli->out, ends[p]);
        out_int(&cli->out, ends[p]);
        out_row(&cli->out);
    }
    out_end(&cli->out);
    return ERR_NONE;
}

/* ---- the command */

static int look(struct cli *cli, const char *topic, bool settings, struct err *err)
{
    const struct kafka_options *options;
    struct kafka_inspect *inspect;
    enum err_class cls = topic_cluster(cli, &options, err);
    if (cls)
        return cli_fail(err);
    if (!options) {
        cls = topic ? show_journal(cli, topic, settings, err) : list_journal(cli, err);
        return cls ? cli_fail(err) : EXIT_DONE;
    }
    cls = kafka_inspect_open(options, TOPIC_WAIT_US, &inspect, err);
    if (cls)
        return cli_fail(err);
    cls = topic ? show_kafka(cli, inspect, topic, settings, err) : list_kafka(cli, inspect, err);
    kafka_inspect_close(inspect);
    return cls ? cli_fail(err) : EXIT_DONE;
}

static int topics_run(struct cli *cli, int argc, char **argv, struct err *err)
{
    struct messages_wanted wanted = {.partition = -1};
    bool settings = false;
    int first, code;
    const struct arg args[] = {
        {"partition", 0, ARG_INT, &wanted.partition, "P", "messages, export: of this partition only"},
        {"from", 0, ARG_STRING, &wanted.from, "WHERE", "begin at an offset, a time, earliest (default) or latest"},
        {"last", 0, ARG_INT, &wanted.last, "N", "begin with the last N records of each partition"},
        {"count", 'n', ARG_INT, &wanted.count, "N", "end after N records that match"},
        {"follow", 'f', ARG_FLAG, &wanted.follow, NULL, "messages: go on with what comes (default: from latest)"},
        {"settings", 0, ARG_FLAG, &settings, NULL, "show: only the settings that are not Kafka's default"},
    };
    if (!cli_parse(cli, args, sizeof args / sizeof *args, argc, argv, &first, &code, err))
        return code;
    int count = argc - first;
    const char *what = count > 0 ? argv[first] : "list";
    wanted.topic = count > 1 ? argv[first + 1] : NULL;
    if (strcmp(what, "list") == 0 && count <= 1)
        return look(cli, NULL, false, err);
    if (strcmp(what, "show") == 0 && count == 2)
        return look(cli, wanted.topic, settings, err);
    if (strcmp(what, "messages") == 0 && count >= 2) {
        wanted.query = argv + first + 2;
        wanted.query_count = count - 2;
        return messages_print(cli, &wanted, err);
    }
    if (strcmp(what, "export") == 0 && count >= 3) {
        wanted.query = argv + first + 3;
        wanted.query_count = count - 3;
        return messages_export(cli, &wanted, argv[first + 2], err);
    }
    return cli_usage(err, "topics: wants list, show TOPIC, messages TOPIC [FILTER] or export TOPIC FILE [FILTER]");
}

const struct command command_topics = {
    "topics", "look into the topics of Kafka, or the embedded journal",
    "  wikitally topics list\n"
    "  wikitally topics show wikimedia.recentchange\n"
    "  wikitally topics messages wikimedia.recentchange --last 10\n"
    "  wikitally topics messages wikimedia.recentchange 'wiki:enwiki -bot:true' --from 1h -n 20 -o jsonl\n"
    "  wikitally topics messages wikimedia.recentchange --partition 3 --from 981223 -n 1 -o raw\n"
    "  wikitally topics export wikimedia.recentchange changes.ndjson\n\n"
    "Of the cluster of kafka.brokers; without one, of the embedded journal, as one topic named journal.topic. Only "
    "reads: "
    "no group\n"
    "is joined, nothing is committed, and what a transaction has not committed is not shown. records is the sum of the "
    "partitions'\n"
    "offsets, which also counts marks of transactions. show: head and end are what can be read, high also counts "
    "transactions that\n"
    "are still open. messages prints partition by partition, up to what is there now, and says on standard error which "
    "offsets it\n"
    "looked at; raw and export print each value byte for byte, and leave out records without one. A number after "
    "--from "
    "is an\n"
    "offset. Exit 1 if nothing matched, 3 if the log no longer reaches back to the offset asked for.",
    topics_run};
