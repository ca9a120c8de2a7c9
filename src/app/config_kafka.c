/* SPDX-License-Identifier: MIT
 *
 * config_kafka.c - what journal.* and kafka.* say together, in the words of the room that uses them, and whether it
 * makes sense: said without a connection.
 */
#include "app/config_private.h"
#include "kafka/client.h"

#include <stdio.h>

const char *const config_compressions[] = {"none", "gzip", "snappy", "lz4", "zstd"};

static const char *property(struct arena *arena, const char *name, const char *value)
{
    AUTO(buf) struct buf text = {0};
    buf_addz(&text, name);
    buf_addc(&text, '=');
    buf_addz(&text, value);
    return arena_dup(arena, buf_str(&text)).ptr;
}

/* Allowed by kafka.insecure; without it check_risk refuses it. */
static void warn_of_risk(struct config *c)
{
    const char *risk = kafka_options_risk(c->p->kafka);
    if (risk && c->kafka.insecure) {
        AUTO(buf) struct buf text = {0};
        buf_addf(&text,
                 "kafka.insecure is true, and kafka.properties has %s: whoever is on the way can read and change "
                 "everything, the password too",
                 risk);
        string_list_add(&c->warnings, buf_str(&text));
    }
}

void config_kafka_make(struct config *c)
{
    struct arena *arena = &c->p->arena;
    if (c->journal.kind != JOURNAL_KIND_KAFKA && !*c->kafka.brokers) {
        return;
    }
    const char **properties = arena_zalloc(arena, (c->kafka.properties.count + 3) * sizeof(*properties));
    size_t count = 0;
    for (size_t i = 0; i < c->kafka.properties.count; i++) {
        properties[count++] = c->kafka.properties.items[i];
    }
    if (*c->kafka.username) {
        properties[count++] = property(arena, "sasl.username", c->kafka.username);
    }
    if (c->kafka.password && *c->kafka.password) {
        properties[count++] = property(arena, "sasl.password", c->kafka.password);
    }
    struct kafka_options *client = arena_alloc(arena, sizeof(*client));
    *client = (struct kafka_options){.brokers = c->kafka.brokers, .properties = properties, .property_count = count};
    c->p->kafka = client;
    warn_of_risk(c);
    if (c->journal.kind != JOURNAL_KIND_KAFKA) {
        return;
    }
    struct journal_kafka *journal = arena_alloc(arena, sizeof(*journal));
    *journal = (struct journal_kafka){.client = client,
                                      .topic = c->journal.topic,
                                      .group = c->kafka.group,
                                      .create = c->journal.create_topics,
                                      .replication = c->journal.replication,
                                      .retention_age_us = c->journal.retention_age_us,
                                      .retention_bytes = c->journal.retention_bytes,
                                      .compression = config_compressions[c->journal.compression],
                                      .linger_us = c->journal.linger_us,
                                      .batch_bytes = c->journal.batch_size,
                                      .spool_bytes = c->journal.spool_bytes};
    c->journal_kafka = journal;
}

const struct kafka_options *config_kafka_client(const struct config *c)
{
    return c->p->kafka;
}

struct journal_place config_place(const struct config *c, const char *directory)
{
    return (struct journal_place){.directory = directory, .kafka = c->journal_kafka};
}

/* ---- checks */

/* Where it was set; a broker that is missing, where Kafka was asked for. */
static enum err_class placed(const struct config *c, const char *key, struct err *err)
{
    const char *place = config_origin(c, key) ? config_origin(c, key) : config_origin(c, "journal.kind");
    return place ? err_prefix(err, "%s", place) : err->cls;
}

/* What Kafka takes for a topic's name. */
static enum err_class check_topic(const struct config *c, const char *key, const char *name, struct err *err)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    if (*name && name[strspn(name, letters)] == 0 && strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
        return ERR_NONE;
    }
    err_set(err, ERR_REJECT, EXIT_CONFIG,
            "\"%s\" is \"%s\", but a topic's name is made of letters, digits, \".\", \"_\" and \"-\"", key, name);
    return placed(c, key, err);
}

/* They would be shown with the configuration. */
static enum err_class check_secrets(const struct config *c, struct err *err)
{
    static const char *const names[] = {"sasl.password=",
                                        "ssl.key.password=",
                                        "ssl.key.pem=",
                                        "ssl.keystore.password=",
                                        "sasl.oauthbearer.config=",
                                        "sasl.oauthbearer.client.secret=",
                                        "sasl.oauthbearer.client.credentials.client.secret=",
                                        "sasl.oauthbearer.assertion.private.key.passphrase=",
                                        "sasl.oauthbearer.assertion.private.key.pem="};
    for (size_t i = 0; i < c->kafka.properties.count; i++) {
        for (size_t n = 0; n < sizeof(names) / sizeof(*names); n++) {
            if (str_starts(str_of(c->kafka.properties.items[i]), str_of(names[n]))) {
                err_set(err, ERR_REJECT, EXIT_CONFIG,
                        "\"kafka.properties\" holds %.*s, which anybody could read; the password of SASL belongs into "
                        "the file that kafka.password_file names, a private key is kept without a password in a file "
                        "of mode 0600",
                        (int)strlen(names[n]) - 1, names[n]);
                return placed(c, "kafka.properties", err);
            }
        }
    }
    return ERR_NONE;
}

/* Is it one of the three? */
static bool is_journal(const struct config *c, const char *name)
{
    struct str topic = str_of(c->journal.topic), s = str_of(name);
    if (!c->journal_kafka || !str_starts(s, topic)) {
        return false;
    }
    const char *rest = name + topic.len;
    return *rest == 0 || strcmp(rest, ".state") == 0 || strcmp(rest, ".dead") == 0;
}

/* Each topic holds one thing. */
static enum err_class check_taken(const struct config *c, const char *key, const char *name, size_t index,
                                  struct err *err)
{
    bool taken = is_journal(c, name) || (strcmp(name, c->stats.state_topic) == 0 && c->stats.state_topic != name);
    for (size_t i = 0; i < index; i++) {
        taken = taken || strcmp(name, c->stats_topics[i].topic) == 0;
    }
    if (!taken) {
        return ERR_NONE;
    }
    err_set(err, ERR_REJECT, EXIT_CONFIG, "\"%s\" is \"%s\", which holds something else; give it a topic of its own",
            key, name);
    return placed(c, key, err);
}

static enum err_class check_stats(const struct config *c, struct err *err)
{
    enum err_class cls = check_topic(c, "stats.state_topic", c->stats.state_topic, err);
    if (!cls && c->stats_topic_count > 0) {
        cls = check_taken(c, "stats.state_topic", c->stats.state_topic, 0, err);
    }
    for (size_t i = 0; i < c->stats_topic_count && !cls; i++) {
        char key[CONFIG_KEY_MAX];
        snprintf(key, sizeof(key), "aggregations.%s.topic", c->stats_topics[i].aggregation);
        cls = check_topic(c, key, c->stats_topics[i].topic, err);
        cls = cls ? cls : check_taken(c, key, c->stats_topics[i].topic, i, err);
        if (!cls && !c->p->kafka) {
            err_set(err, ERR_REJECT, EXIT_CONFIG, "\"%s\" wants a cluster: set kafka.brokers", key);
            cls = placed(c, key, err);
        }
    }
    return cls;
}

static enum err_class check_risk(const struct config *c, struct err *err)
{
    const char *risk = c->kafka.insecure ? NULL : kafka_options_risk(c->p->kafka);
    if (!risk) {
        return ERR_NONE;
    }
    err_set(
        err, ERR_REJECT, EXIT_CONFIG,
        "\"kafka.properties\" has %s; if whoever is on the way may read and change everything, set kafka.insecure to "
        "true",
        risk);
    return placed(c, "kafka.properties", err);
}

enum err_class config_kafka_check(const struct config *c, struct err *err)
{
    enum err_class cls = check_topic(c, "journal.topic", c->journal.topic, err);
    cls = cls ? cls : check_stats(c, err);
    cls = cls ? cls : check_secrets(c, err);
    if (cls || !c->p->kafka) {
        return cls;
    }
    if (kafka_options_check(c->p->kafka, err)) {
        const char *key = str_starts(str_of(err->text), STR("kafka.brokers")) ? "kafka.brokers" : "kafka.properties";
        return placed(c, key, err);
    }
    return check_risk(c, err);
}
