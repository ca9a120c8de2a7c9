/* SPDX-License-Identifier: MIT
 *
 * topics.c - wikitally topics list | show | messages | export: the topics of the cluster that kafka.brokers names, or
 * without one the embedded journal, as one topic. Messages: messages.c.
 */
#include "cli/messages.h"
#include "cli/place.h"
#include "topics/catalog.h"

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

static void print_topic(struct out *out, const struct topic_row *t)
{
    out_z(out, t->name);
    out_int(out, (int64_t)t->partition_count);
    out_known(out, t->replication);
    out_known(out, t->records);
    out_known(out, t->under_replicated);
    out_z(out, t->internal ? "true" : "false");
    out_row(out);
}

static enum err_class list(struct cli *cli, struct topics_place *place, struct err *err)
{
    AUTO(arena) struct arena arena = {0};
    struct topics_list found;
    const struct kafka_cluster *cluster = &found.cluster;
    if (topics_list(place, NULL, 0, &arena, &found, err) ||
        out_begin(&cli->out, list_columns, sizeof list_columns / sizeof *list_columns, err))
        return err->cls;
    for (size_t t = 0; t < found.count; t++)
        print_topic(&cli->out, &found.rows[t]);
    out_end(&cli->out);
    if (place->kafka) {
        cli_note(cli, "cluster \"%s\": %zu topics, %zu broker%s, controller %d", cluster->id, cluster->topic_count,
                 cluster->broker_count, cluster->broker_count == 1 ? "" : "s", (int)cluster->controller);
    }
    return ERR_NONE;
}

/* ---- show */

static const struct out_column show_columns[] = {{"partition", true}, {"leader", true}, {"replicas", false},
                                                 {"in_sync", false},  {"head", true},   {"end", true},
                                                 {"high", true}};
static const struct out_column setting_columns[] = {{"setting", false}, {"value", false}, {"origin", false}};

static void out_numbers(struct out *out, const int32_t *numbers, size_t count)
{
    AUTO(buf) struct buf text = {0};
    for (size_t i = 0; i < count; i++)
        buf_addf(&text, "%s%d", i ? "," : "", (int)numbers[i]);
    if (count)
        out_text(out, buf_str(&text));
    else
        out_none(out);
}

static enum err_class print_partitions(struct out *out, const struct topic_shown *shown, struct err *err)
{
    if (out_begin(out, show_columns, sizeof show_columns / sizeof *show_columns, err))
        return err->cls;
    for (size_t i = 0; i < shown->topic.partition_count; i++) {
        const struct kafka_partition_row *p = &shown->topic.partitions[i];
        out_int(out, p->number);
        out_known(out, p->leader);
        out_numbers(out, p->replicas, p->replica_count);
        out_numbers(out, p->in_sync, p->in_sync_count);
        out_known(out, shown->ends[i].head);
        out_known(out, shown->ends[i].end);
        out_known(out, shown->ends[i].high);
        out_row(out);
    }
    out_end(out);
    return ERR_NONE;
}

static enum err_class print_settings(struct out *out, const struct topic_shown *shown, struct err *err)
{
    if (out_begin(out, setting_columns, sizeof setting_columns / sizeof *setting_columns, err))
        return err->cls;
    for (size_t i = 0; i < shown->setting_count; i++) {
        out_z(out, shown->settings[i].name);
        out_z(out, shown->settings[i].value);
        out_z(out, shown->settings[i].origin);
        out_row(out);
    }
    out_end(out);
    return ERR_NONE;
}

/* A table for people has both; whoever reads rows wants them of one kind. */
static enum err_class show(struct cli *cli, struct topics_place *place, const char *name, bool settings,
                           struct err *err)
{
    AUTO(arena) struct arena arena = {0};
    struct topic_shown shown;
    bool both = cli->out.format == OUT_TABLE && !settings && !cli->columns && place->kafka;
    int what = (settings ? 0 : TOPIC_ENDS) | (settings || both ? TOPIC_SETTINGS : 0);
    enum err_class cls = topics_show(place, name, what, &arena, &shown, err);
    if (!cls && shown.topic.partition_count == 0)
        cls = place_no_topic(place, name, err);
    if (!cls && !settings)
        cls = print_partitions(&cli->out, &shown, err);
    if (!cls && both)
        out_write(STR("\n"));
    if (!cls && (settings || both))
        cls = print_settings(&cli->out, &shown, err);
    return cls;
}

/* ---- the command */

static int look(struct cli *cli, const char *topic, bool settings, struct err *err)
{
    struct topics_place place = {0};
    enum err_class cls = place_open(cli, PLACE_JOURNAL, &place, err);
    if (!cls)
        cls = topic ? show(cli, &place, topic, settings, err) : list(cli, &place, err);
    place_close(&place);
    return cls ? cli_fail(err) : EXIT_DONE;
}

static int topics_run(struct cli *cli, int argc, char **argv, struct err *err)
{
    struct messages_asked wanted = {.partition = -1};
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
