/* SPDX-License-Identifier: MIT
 *
 * config.h - the configuration: read in layers, checked strictly, every value with its origin.
 *
 * Layers, a later one wins: built-in defaults < /etc/wikitally/wikitally.yaml <
 * $XDG_CONFIG_HOME/wikitally/wikitally.yaml < conf.d/<any>.yaml beside the first, then beside the second, by name <
 * --env-file < environment WIKITALLY_SECTION_KEY <
 * --set key=value. `-c FILE` stands in for all files; if its name is conf.yaml and ENVIRONMENT is NAME, then
 * conf.NAME.yaml beside it is laid over it.
 *
 * The files are a strict subset of YAML (config_node.h). "${NAME}" and "${NAME:-default}" in a value are replaced from
 * the environment; "$${" is a plain "${". Errors: ERR_REJECT with EXIT_CONFIG, text "FILE:LINE:COLUMN: ...".
 */
#ifndef WIKITALLY_APP_CONFIG_H
#define WIKITALLY_APP_CONFIG_H

#include "base/buf.h"
#include "base/err.h"
#include "base/option.h"
#include "compute/aggregation.h"
#include "journal/journal.h"
#include "sink/sink.h"

enum journal_kind { JOURNAL_KIND_SQLITE, JOURNAL_KIND_KAFKA };
enum on_full { ON_FULL_WAIT, ON_FULL_RELEASE };
enum sandbox_wanted { SANDBOX_AUTO, SANDBOX_OFF, SANDBOX_REQUIRE };
enum log_format { LOG_TEXT, LOG_JSON };

struct config_test; /* config_test.h */
struct config_private;

/* Owned by config_load and config_fini; immutable in between, so any thread may read it. Texts are never NULL unless
 * said so. Enumerations are int64_t because option.h stores them so. Only config_adopt changes it in between. */
struct config {
    char *data_dir; /* "": by source and XDG_STATE_HOME */
    struct {
        char *url, *contact;
        struct string_list topics; /* if none were given: what the stream's name in the URL implies */
        int64_t overlap_us, horizon_us, skew_us, delay_us, idle_after_us;
        bool heal, gzip;
        char *ca_file, *proxy; /* "": the system's, the environment's */
        int64_t connect_timeout_us;
    } source;
    struct {
        char *filter;
    } ingest;
    struct {
        int64_t kind; /* enum journal_kind */
        int64_t retention_age_us, retention_bytes;
        int64_t max_bytes; /* 0: none */
        int64_t on_full;   /* enum on_full */
        int64_t commit_every_us, commit_bytes;
        int64_t partitions;
        /* kind kafka */
        char *topic;
        bool create_topics;
        int64_t replication; /* 0: the broker's default */
        int64_t compression; /* index into config_compressions */
        int64_t linger_us, batch_size, spool_bytes;
    } journal;
    struct {
        char *brokers, *group, *instance, *username;
        bool static_membership;
        char *password_file, *password; /* password: what password_file holds; "": none */
        struct string_list properties;  /* "name=value" */
        bool insecure;                  /* properties may switch the verification of brokers off */
    } kafka;
    struct {
        char *state_topic;
        bool create_topics;
        int64_t replication;
    } stats;
    struct {
        int64_t commit_every_us, max_pending_rows, max_keys_total;
    } task;
    struct {
        char *listen;
        struct string_list hosts;
        char *token_file;
        char *token;   /* what token_file holds; NULL: none */
        char *web_dir; /* NULL: the page that is compiled in */
        int64_t max_clients;
    } serve;
    struct {
        int64_t sandbox; /* enum sandbox_wanted */
        bool core_dumps;
    } security;
    struct {
        int64_t level;  /* enum diag_level */
        int64_t format; /* enum log_format */
    } log;

    /* What journal and kafka say together, NULL: the journal is not on Kafka. */
    const struct journal_kafka *journal_kafka;

    const struct aggregation_options *aggregations; /* those that are enabled, in the order of their declaration */
    size_t aggregation_count;
    const struct sink_kafka_topic *stats_topics; /* those that go to a topic, in the same order */
    size_t stats_topic_count;
    const struct config_test *tests;
    size_t test_count;

    struct string_list warnings; /* sentences that the caller prints once: nothing is wrong enough to refuse */
    struct config_private *p;
};

struct config_sources {
    const char *file;       /* -c; NULL or "": the usual files */
    const char *env_file;   /* --env-file; NULL: none */
    const char *const *set; /* --set: "source.overlap=30s" */
    size_t set_count;
    /* The rest is for tests; NULL: the real thing. */
    const char *system_file;        /* instead of /etc/wikitally/wikitally.yaml */
    const char *const *environment; /* instead of environ, "NAME=value", ends with NULL */
    /* Called with every problem (at most 20), the first of which is what config_load returns; may be NULL. */
    void (*problem)(const char *text, void *ctx);
    void *problem_ctx;
};

extern const char *const config_compressions[]; /* librdkafka's words, in the order of journal.compression */

/* Reads all layers, replaces, checks values, then what values mean together (config_check). */
enum err_class config_load(const struct config_sources *sources, struct config *ret_config, struct err *err);
/* Both data centres' topics of every stream that an EventStreams URL names; none if it names none. */
void config_topics_of(const char *url, struct string_list *ret_topics);
void config_fini(struct config *c); /* a zeroed one is fine */
/* The cluster of kafka.brokers, NULL if there is none. */
struct kafka_options;
const struct kafka_options *config_kafka_client(const struct config *c);
/* The journal that a run with this configuration and data directory has. */
struct journal_place config_place(const struct config *c, const char *directory);

/* Everything that one value alone cannot show: R10 (retention against size + delay + lateness), horizon against
 * overlap, filters and aggregations that do not compile, an address that others reach without a token. */
enum err_class config_check(const struct config *c, struct err *err);

void config_show(const struct config *c, bool origins, struct buf *out); /* YAML that config_load takes; secrets *** */
void config_show_json(const struct config *c, struct buf *out);          /* one object; values as text, with origin */
/* Value, origin, default, bounds and meaning of one key ("source.overlap", "aggregations.bots.size"), in lines for
 * people. An unknown key: ERR_REJECT/EXIT_USAGE with a suggestion. A section lists its keys. */
enum err_class config_explain(const struct config *c, struct str key, struct buf *out, struct err *err);
/* Only the keys whose value is not the default: "key: value  # origin", one a line. */
void config_diff(const struct config *c, struct buf *out);

/* ---- a reload: the running configuration against one that was read anew */

struct config_change {
    const char *key;     /* "source.overlap", "aggregations.bots.size"; "aggregations.bots" for a whole one */
    struct str from, to; /* as config_show has them, secrets masked; "" for what is not there */
    bool live;           /* config_adopt takes it over; else it needs a restart */
};
/* Calls `each` with every difference, in the order of the tables. */
void config_compare(const struct config *running, const struct config *next,
                    void (*each)(const struct config_change *change, void *ctx), void *ctx);
/* Takes the live values of `next` into `running`, if they go together with those that stay (config_check); else nothing
 * is changed. Of the thread that loaded it; config_show_json may be called by others meanwhile. */
enum err_class config_adopt(struct config *running, const struct config *next, struct err *err);

void config_init_text(
    struct buf *out); /* a file with every key at its default, all commented out, each with its meaning */
void config_schema(struct buf *out); /* JSON Schema (2020-12) of the file, for editors */

void config_man(struct buf *out); /* wikitally.yaml(5), in scdoc's language */

/* The tables themselves, for --help and the manual page. */
const struct option *config_options(size_t *ret_count);
const struct option *config_aggregation_options(size_t *ret_count);

#endif
