/* SPDX-License-Identifier: MIT
 *
 * config_table.c - every key of the configuration. From these rows come the file's keys, the names in the environment,
 * config init, show, explain, the schema and the manual page.
 */
#include "app/config_private.h"

#define KEY(key_, type_, member_, initial_, min_, max_, choices_, help_)                                               \
    {                                                                                                                  \
        .key = (key_), .type = (type_), .offset = offsetof(struct config, member_), .initial = (initial_),             \
        .min = (min_), .max = (max_), .choices = (choices_), .help = (help_)                                           \
    }

/* The same, taken over by a reload (app/reload.h): a number that its owner can be told while it runs. */
#define LIVE(key_, type_, member_, initial_, min_, max_, choices_, help_)                                              \
    {                                                                                                                  \
        .key = (key_), .type = (type_), .offset = offsetof(struct config, member_), .initial = (initial_),             \
        .min = (min_), .max = (max_), .choices = (choices_), .help = (help_), .live = true                             \
    }

static const struct option options[] = {
    KEY("data_dir", OPTION_PATH, data_dir, NULL, NULL, "4000", NULL,
        "Where journal.db and results.db are kept. Empty: $XDG_STATE_HOME/wikitally, for a service "
        "/var/lib/wikitally; files and made-up events have directories of their own below it."),

    KEY("source.url", OPTION_STRING, source.url, "https://stream.wikimedia.org/v2/stream/recentchange", NULL, "2000",
        NULL, "The event stream to follow, with the stream's name at its end."),
    KEY("source.contact", OPTION_STRING, source.contact, NULL, NULL, "200", NULL,
        "A mail address or page by which the operators of the stream can reach you; sent in the User-Agent."),
    KEY("source.topics", OPTION_LIST, source.topics, NULL, NULL, NULL, NULL,
        "Upstream topics to resume from, of both data centres. Empty: what the stream's name in the URL implies."),
    KEY("source.overlap", OPTION_DURATION, source.overlap_us, "60s", "1s", "1h", NULL,
        "How far before its position the stream is read again after each cut; what is known already is dropped."),
    KEY("source.horizon", OPTION_DURATION, source.horizon_us, "120s", "2s", "7d", NULL,
        "How long an event is known, so that its repeat is a duplicate; at least twice the overlap."),
    KEY("source.skew", OPTION_DURATION, source.skew_us, "60s", "0s", "1h", NULL,
        "A record whose time is further than that after its arrival is from the future: it moves no time."),
    KEY("source.delay", OPTION_DURATION, source.delay_us, "120s", "1s", "1d", NULL,
        "How far the watermark trails. Being behind by more than half of it, the source reads its topics one by one "
        "and "
        "merges them in order, so that a backlog is not late."),
    KEY("source.idle_after", OPTION_DURATION, source.idle_after_us, "30s", "1s", "15m", NULL,
        "How long a partition or the whole stream must be silent before time may go on without events."),
    KEY("source.heal", OPTION_BOOL, source.heal, "true", NULL, NULL, NULL,
        "Ask the stream again for records that are missing in its numbering."),
    KEY("source.gzip", OPTION_BOOL, source.gzip, "true", NULL, NULL, NULL, "Accept a compressed stream."),
    KEY("source.ca_file", OPTION_PATH, source.ca_file, NULL, NULL, "4000", NULL,
        "Certificates to trust instead of the system's, in PEM form."),
    KEY("source.proxy", OPTION_STRING, source.proxy, NULL, NULL, "2000", NULL,
        "URL of an HTTP or SOCKS proxy. Empty: https_proxy and no_proxy of the environment."),
    KEY("source.connect_timeout", OPTION_DURATION, source.connect_timeout_us, "15s", "1s", "5m", NULL,
        "How long opening a connection may take."),

    KEY("ingest.filter", OPTION_STRING, ingest.filter, NULL, NULL, "4096", NULL,
        "Only changes that match are kept in the journal, for example: wiki:enwiki namespace:0. Empty: all."),

    KEY("journal.kind", OPTION_ENUM, journal.kind, "sqlite", NULL, NULL, "sqlite|kafka",
        "What keeps the journal: sqlite, a file in the data directory, or kafka, a topic of the cluster of "
        "kafka.brokers."),
    LIVE("journal.retention_age", OPTION_DURATION, journal.retention_age_us, "7d", "10m", "3660d", NULL,
         "Records older than that (by arrival) may go, once every task is done with them."),
    LIVE("journal.retention_bytes", OPTION_SIZE, journal.retention_bytes, "20GiB", "1MiB", "1048576TiB", NULL,
         "Beyond so many bytes the oldest records may go, once every task is done with them."),
    KEY("journal.max_bytes", OPTION_SIZE, journal.max_bytes, "0", "0", "1048576TiB", NULL,
        "Hard limit of the journal's file; 0: the disk. See on_full."),
    LIVE("journal.on_full", OPTION_ENUM, journal.on_full, "wait", NULL, NULL, "wait|release",
         "At the hard limit: wait pauses the source and raises an alarm; release drops the oldest records although a "
         "task "
         "still needs them (its ledger shows them as gap)."),
    KEY("journal.commit_every", OPTION_DURATION, journal.commit_every_us, "200ms", "1ms", "1m", NULL,
        "Records are made durable at least that often."),
    KEY("journal.commit_bytes", OPTION_SIZE, journal.commit_bytes, "1MiB", "1KiB", "64MiB", NULL,
        "And as soon as so many bytes are waiting. At 1MiB, a source that is read as fast as it goes gets 8MiB."),
    KEY("journal.partitions", OPTION_INT, journal.partitions, "1", "1", "64", NULL,
        "Partitions of the journal. They can be added later, never taken away."),
    KEY("journal.topic", OPTION_STRING, journal.topic, "wikimedia.recentchange", NULL, "240", NULL,
        "On Kafka: the topic that holds the events; TOPIC.state and TOPIC.dead stand beside it."),
    KEY("journal.create_topics", OPTION_BOOL, journal.create_topics, "true", NULL, NULL, NULL,
        "On Kafka: whether topics that are not there are made, with journal.partitions, journal.replication and the "
        "retention."),
    KEY("journal.replication", OPTION_INT, journal.replication, "0", "0", "100", NULL,
        "On Kafka: copies of each partition of a topic that is made; 0: the brokers' default."),
    KEY("journal.compression", OPTION_ENUM, journal.compression, "lz4", NULL, NULL, "none|gzip|snappy|lz4|zstd",
        "On Kafka: how batches are compressed."),
    KEY("journal.linger", OPTION_DURATION, journal.linger_us, "5ms", "0s", "10s", NULL,
        "On Kafka: how long records are collected before they are sent."),
    KEY("journal.spool_bytes", OPTION_SIZE, journal.spool_bytes, "1GiB", "0", "1024TiB", NULL,
        "On Kafka: so much may wait in the data directory while no broker answers; beyond that, or at 0, the source "
        "waits."),
    KEY("journal.batch_size", OPTION_SIZE, journal.batch_size, "1MB", "1KiB", "16MiB", NULL,
        "On Kafka: bytes of one partition that are sent together at most."),

    KEY("kafka.brokers", OPTION_STRING, kafka.brokers, NULL, NULL, "2000", NULL,
        "Brokers to begin with: HOST:PORT, several separated by commas."),
    KEY("kafka.group", OPTION_STRING, kafka.group, "wikitally", NULL, "100", NULL,
        "Begins the names of the groups under which the cluster shows how far the tasks are: wikitally.results. Two "
        "that "
        "compute from one topic on their own need different ones."),
    KEY("kafka.instance", OPTION_STRING, kafka.instance, "", NULL, "100", NULL,
        "Name of this instance among those that share the partitions of a topic, the same after each restart. Empty: "
        "made once and kept in the data directory."),
    KEY("kafka.static_membership", OPTION_BOOL, kafka.static_membership, "true", NULL, NULL, NULL,
        "Whether an instance that comes again within the session (session.timeout.ms, 10 s) finds its partitions as it "
        "left them, and nobody else gets them meanwhile."),
    KEY("kafka.username", OPTION_STRING, kafka.username, NULL, NULL, "200", NULL, "User of SASL."),
    KEY("kafka.password_file", OPTION_PATH, kafka.password_file, NULL, NULL, "4000", NULL,
        "File (mode 0600) with the password of SASL. As a service: the credential kafka.password."),
    {.key = "kafka.password",
     .type = OPTION_STRING,
     .offset = offsetof(struct config, kafka.password),
     .max = "4096",
     .help = "The password itself. Better kept in a file of its own: kafka.password_file.",
     .secret = true},
    KEY("kafka.properties", OPTION_LIST, kafka.properties, NULL, NULL, NULL, NULL,
        "Settings of librdkafka, passed on as they are: \"security.protocol=SASL_SSL\", "
        "\"ssl.ca.location=/etc/ssl/kafka.pem\"."),
    KEY("kafka.insecure", OPTION_BOOL, kafka.insecure, "false", NULL, NULL, NULL,
        "Whether kafka.properties may switch off that certificates and names of brokers are verified. Each start "
        "warns."),

    KEY("stats.state_topic", OPTION_STRING, stats.state_topic, "wikimedia.stats.state", NULL, "240", NULL,
        "Where the task that writes rows to topics keeps how far it is; also its name to the cluster."),
    KEY("stats.create_topics", OPTION_BOOL, stats.create_topics, "true", NULL, NULL, NULL,
        "Whether topics for rows that are not there are made."),
    KEY("stats.replication", OPTION_INT, stats.replication, "0", "0", "100", NULL,
        "Copies of each partition of a topic that is made; 0: the brokers' default."),

    LIVE("task.commit_every", OPTION_DURATION, task.commit_every_us, "1s", "10ms", "5m", NULL,
         "How often changed rows are written. Results do not depend on it."),
    KEY("task.max_pending_rows", OPTION_INT, task.max_pending_rows, "60000", "1000", "10000000", NULL,
        "Nothing more is read while so many changed rows wait to be written; one with distinct or top counts as 16."),
    KEY("task.max_keys_total", OPTION_INT, task.max_keys_total, "2000000", "1000", "100000000", NULL,
        "Keys held at once over all windows and aggregations; with more the task stops and says so."),

    KEY("serve.listen", OPTION_STRING, serve.listen, "127.0.0.1:8787", NULL, "200", NULL,
        "Address of the dashboard and the API: ADDRESS:PORT, [IPV6]:PORT or unix:PATH; port 0 lets the system choose. "
        "Empty: none."),
    KEY("serve.hosts", OPTION_LIST, serve.hosts, NULL, NULL, NULL, NULL,
        "Names under which browsers may ask, besides localhost and the address itself."),
    KEY("serve.token_file", OPTION_PATH, serve.token_file, NULL, NULL, "4000", NULL,
        "File (mode 0600) with the token that clients must send; needed to listen on more than loopback. As a service: "
        "the credential serve.token."),
    {.key = "serve.token",
     .type = OPTION_STRING,
     .offset = offsetof(struct config, serve.token),
     .max = "4096",
     .help = "The token itself. Better kept in a file of its own: serve.token_file.",
     .secret = true},
    KEY("serve.web_dir", OPTION_PATH, serve.web_dir, NULL, NULL, "4000", NULL,
        "For development: serve the page from this directory instead of the one compiled in."),
    LIVE("serve.max_clients", OPTION_INT, serve.max_clients, "200", "1", "100000", NULL, "Live clients at once."),

    KEY("security.sandbox", OPTION_ENUM, security.sandbox, "auto", NULL, NULL, "auto|off|require",
        "Whether run takes from itself what it does not need: files but its own (Landlock), system calls but its own "
        "(seccomp). auto: as far as the kernel can, and says how far; require: does not start with less than both; "
        "off: not."),
    KEY("security.core_dumps", OPTION_BOOL, security.core_dumps, "false", NULL, NULL, NULL,
        "Whether a crash may leave a core file. It would hold the token and whatever else is in memory."),

    LIVE("log.level", OPTION_ENUM, log.level, "info", NULL, NULL, "error|warn|info|debug",
         "What the program says of itself."),
    LIVE("log.format", OPTION_ENUM, log.format, "text", NULL, NULL, "text|json", "How it says it."),
};

#define ROW(key_, type_, member_, initial_, min_, max_, choices_, help_)                                               \
    {                                                                                                                  \
        .key = (key_), .type = (type_), .offset = offsetof(struct definition, member_), .initial = (initial_),         \
        .min = (min_), .max = (max_), .choices = (choices_), .help = (help_)                                           \
    }

static const struct option aggregation_rows[] = {
    ROW("enabled", OPTION_BOOL, enabled, "true", NULL, NULL, NULL, "Whether it is computed."),
    ROW("keys", OPTION_LIST, keys, NULL, NULL, NULL, NULL,
        "What is counted by: up to 8 field paths; \"user as user_name\" names the column. None: one row a window."),
    ROW("measures", OPTION_LIST, measures, "count", NULL, NULL, NULL,
        "What is counted: count, sum(F), min(F), max(F), distinct(F), top(F,N); \"count as edit_count\" names the "
        "column."),
    ROW("where", OPTION_STRING, where, NULL, NULL, "4096", NULL,
        "Only changes that match this filter, for example: type:edit,new -bot:true. Empty: all."),
    ROW("time_field", OPTION_STRING, time_field, "timestamp", NULL, "200", NULL, "The field that is the event's time."),
    ROW("size", OPTION_DURATION, size_us, "60s", "1s", "366d", NULL, "Length of a window."),
    ROW("slide", OPTION_DURATION, slide_us, "0s", "0s", "366d", NULL,
        "A window begins every so often; 0: one after the other."),
    ROW("delay", OPTION_DURATION, delay_us, "120s", "0s", "366d", NULL,
        "How far the watermark trails the latest event: how long a window waits for stragglers."),
    ROW("skew", OPTION_DURATION, skew_us, "60s", "0s", "1h", NULL,
        "A record whose time is further than that after its arrival is from the future and counted in no window."),
    ROW("late", OPTION_ENUM, late, "amend", NULL, NULL, "amend|drop",
        "What becomes of a change whose window is closed: amend counts it and gives out the row again, drop does not."),
    ROW("lateness", OPTION_DURATION, lateness_us, "15m", "0s", "366d", NULL,
        "How long after its close a window may be amended."),
    ROW("max_keys", OPTION_INT, max_keys, "100000", "1", "1000000", NULL,
        "Keys of one window and partition; further ones are counted under (other)."),
    ROW("topic", OPTION_STRING, topic, NULL, NULL, "240", NULL,
        "A topic of the cluster of kafka.brokers that its rows are written to as well, for example "
        "wikimedia.stats.bots. Empty: none."),
    ROW("on_change", OPTION_ENUM, on_change, "refuse", NULL, NULL, "refuse|rebuild",
        "When this declaration differs from the stored one: refuse to start, or compute it again from the journal."),
};

const struct option *config_options(size_t *ret_count)
{
    *ret_count = sizeof options / sizeof *options;
    return options;
}

const struct option *config_aggregation_options(size_t *ret_count)
{
    *ret_count = sizeof aggregation_rows / sizeof *aggregation_rows;
    return aggregation_rows;
}

const struct section config_sections[] = {
    {"source", "Where changes come from."},
    {"ingest", "What of them is kept."},
    {"journal", "The durable record of what came."},
    {"kafka", "The Kafka cluster, where one is used."},
    {"stats", "Rows that are written to topics (aggregations.NAME.topic)."},
    {"task", "Computing and writing results."},
    {"serve", "The dashboard and the API."},
    {"security", "What the program may do on this machine."},
    {"log", "What the program says of itself, on standard error."},
};

size_t config_section_count(void)
{
    return sizeof config_sections / sizeof *config_sections;
}

const char config_built_in[] = "aggregations:\n"
                               "  user_edit_counts:\n"
                               "    keys: [user as user_name]\n"
                               "    measures: [count as edit_count]\n"
                               "  bots:\n"
                               "    keys: [bot]\n"
                               "  website:\n"
                               "    keys: [server_name]\n"
                               "  timeseries:\n"
                               "    keys: [type]\n"
                               "  titles:\n"
                               "    keys: [wiki, title]\n";
