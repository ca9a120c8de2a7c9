/* SPDX-License-Identifier: MIT
 *
 * client.c - see client.h. Three layers of settings: our defaults, the user's properties, and what correctness rests
 * on; a property of the user's that says otherwise than the third is refused when the configuration is read.
 */
#include "kafka/client.h"

#include "base/buf.h"
#include "base/diag.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { SCRAM_FIXED = 0x020601ff };

struct kafka_client {
    rd_kafka_t *rk;
    char *brokers;
    struct kafka_callbacks callbacks;
    atomic_bool tainted;
    pthread_mutex_t lock; /* of what follows */
    rd_kafka_resp_err_t said;
    char said_text[256];
};

/* Nobody may change these: R3, R11 and C-K7 rest on them. */
static const struct kafka_setting required[] = {
    {"acks", "all"},
    {"enable.idempotence", "true"},
    {"isolation.level", "read_committed"},
    {"enable.auto.commit", "false"},
    {"enable.auto.offset.store", "false"},
    {"auto.offset.reset", "error"},
    {"enable.partition.eof", "true"},
    {"check.crcs", "true"},
};

static const struct kafka_setting defaults[] = {
    {"client.id", "wikitally"},
    {"reconnect.backoff.ms", "100"},
    {"reconnect.backoff.max.ms", "5000"},
    {"socket.keepalive.enable", "true"},
    {"topic.metadata.refresh.interval.ms", "30000"},
    {"log_level", "6"},
};

static const struct kafka_setting producer_defaults[] = {
    {"compression.type", "lz4"},
    {"linger.ms", "5"},
    {"queue.buffering.max.kbytes", "65536"},
    {"message.max.bytes", "10485760"},
};

static const struct kafka_setting consumer_defaults[] = {
    {"fetch.wait.max.ms", "100"},
    {"queued.max.messages.kbytes", "4096"},
#if RD_KAFKA_VERSION >= 0x020200ff
    {"fetch.queue.backoff.ms", "1"},
#endif
};

/* ---- librdkafka's own threads */

static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    (void)rk;
    (void)level;
    diag_debug("kafka", "%s: %s", facility, text);
}

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    struct kafka_client *c = opaque;
    (void)rk;
    pthread_mutex_lock(&c->lock);
    bool worse = c->said == RD_KAFKA_RESP_ERR__AUTHENTICATION || c->said == RD_KAFKA_RESP_ERR__SSL;
    if (!worse || code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
        c->said = (rd_kafka_resp_err_t)code;
        snprintf(c->said_text, sizeof(c->said_text), "%s", reason);
    }
    pthread_mutex_unlock(&c->lock);
    diag_debug("kafka", "%s: %s", rd_kafka_err2name((rd_kafka_resp_err_t)code), reason);
}

static void on_delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    struct kafka_client *c = opaque;
    (void)rk;
    if (c->callbacks.delivered != NULL) {
        c->callbacks.delivered(message, c->callbacks.ctx);
    }
}

enum { API_INIT = 22, API_ADD_PARTITIONS = 24, API_ADD_OFFSETS = 25, API_END = 26, API_OFFSETS = 28 };

static rd_kafka_resp_err_t on_response(rd_kafka_t *rk, int sock, const char *broker, int32_t broker_id, int16_t api,
                                       int16_t version, int32_t correlation, size_t size, int64_t rtt_us,
                                       rd_kafka_resp_err_t code, void *opaque)
{
    struct kafka_client *c = opaque;
    (void)rk, (void)sock, (void)broker, (void)broker_id, (void)version, (void)correlation, (void)size, (void)rtt_us;
    bool of_transaction =
        api == API_INIT || api == API_ADD_PARTITIONS || api == API_ADD_OFFSETS || api == API_END || api == API_OFFSETS;
    if (of_transaction && (code == RD_KAFKA_RESP_ERR__TIMED_OUT || code == RD_KAFKA_RESP_ERR__TRANSPORT ||
                           code == RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE || code == RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT)) {
        atomic_store(&c->tainted, true);
    }
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t on_new(rd_kafka_t *rk, const rd_kafka_conf_t *conf, void *opaque, char *text, size_t size)
{
    (void)conf, (void)text, (void)size;
    return rd_kafka_interceptor_add_on_response_received(rk, "wikitally", on_response, opaque);
}

/* ---- settings */

static const struct kafka_setting *setting_of(const struct kafka_setting *list, size_t count, struct str name)
{
    for (size_t i = 0; i < count; i++) {
        if (str_eqz(name, list[i].name)) {
            return &list[i];
        }
    }
    return NULL;
}

static enum err_class property_refuse(struct err *err, struct str name, const char *why)
{
    return err_set(err, ERR_REJECT, EXIT_CONFIG, "kafka.properties: \"%.*s\": %s", STR_ARG(name), why);
}

/* One "name=value" into conf. */
static enum err_class property_set(rd_kafka_conf_t *conf, const char *property, struct err *err)
{
    struct str rest = str_of(property), name;
    char text[256];
    if (strchr(property, '=') == NULL || !str_split(&rest, '=', &name) || name.len == 0) {
        return property_refuse(err, str_of(property), "must be written as name=value");
    }
    const struct kafka_setting *fixed = setting_of(required, sizeof(required) / sizeof(*required), name);
    AUTO_FREE char *key = str_dup(name);
    const char *value = property + name.len + 1;
    if (fixed != NULL && strcmp(value, fixed->value) != 0) {
        snprintf(text, sizeof(text), "must be %s: without it events would be lost or counted twice", fixed->value);
        return property_refuse(err, name, text);
    }
    if (strcmp(key, "transactional.id") == 0 || strcmp(key, "group.id") == 0 || strcmp(key, "bootstrap.servers") == 0 ||
        strcmp(key, "metadata.broker.list") == 0) {
        return property_refuse(err, name, "is set by the program itself (brokers: kafka.brokers)");
    }
    if (rd_kafka_conf_set(conf, key, value, text, sizeof(text)) != RD_KAFKA_CONF_OK) {
        return property_refuse(err, name, text);
    }
    return ERR_NONE;
}

static enum err_class settings_set(rd_kafka_conf_t *conf, const struct kafka_setting *list, size_t count,
                                   struct err *err)
{
    char text[256];
    for (size_t i = 0; i < count; i++) {
        if (rd_kafka_conf_set(conf, list[i].name, list[i].value, text, sizeof(text)) != RD_KAFKA_CONF_OK) {
            return err_set(err, ERR_FATAL, EXIT_INTERNAL, "%s refuses its setting %s=%s: %s", kafka_version(),
                           list[i].name, list[i].value, text);
        }
    }
    return ERR_NONE;
}

#define LIST(list) (list), sizeof(list) / sizeof(*(list))

static enum err_class conf_fill(rd_kafka_conf_t *conf, const struct kafka_options *o, rd_kafka_type_t type,
                                struct err *err)
{
    char text[256];
    bool producer = type == RD_KAFKA_PRODUCER;
    enum err_class cls = settings_set(conf, LIST(defaults), err);
    if (cls == ERR_NONE) {
        cls = producer ? settings_set(conf, LIST(producer_defaults), err)
                       : settings_set(conf, LIST(consumer_defaults), err);
    }
    if (cls != ERR_NONE) {
        return cls;
    }
    if (o->brokers == NULL || *o->brokers == 0 ||
        rd_kafka_conf_set(conf, "bootstrap.servers", o->brokers, text, sizeof(text)) != RD_KAFKA_CONF_OK) {
        return err_set(err, ERR_REJECT, EXIT_CONFIG,
                       "kafka.brokers: must name at least one broker, for example localhost:9092");
    }
    for (size_t i = 0; i < o->property_count; i++) {
        cls = property_set(conf, o->properties[i], err);
        if (cls != ERR_NONE) {
            return cls;
        }
    }
    /* a consumer's are no producer's, and librdkafka would say so for each */
    return producer ? settings_set(conf, required, 2, err) : settings_set(conf, LIST(required), err);
}

enum err_class kafka_options_check(const struct kafka_options *options, struct err *err)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    enum err_class cls = conf_fill(conf, options, RD_KAFKA_PRODUCER, err);
    rd_kafka_conf_destroy(conf);
    return cls;
}

/* ---- life */

enum err_class kafka_client_new(const struct kafka_options *options, rd_kafka_type_t type,
                                const struct kafka_setting *settings, size_t setting_count,
                                const struct kafka_callbacks *callbacks, struct kafka_client **ret_client,
                                struct err *err)
{
    char text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    struct kafka_client *c = xcalloc(1, sizeof(*c));
    pthread_mutex_init(&c->lock, NULL);
    c->brokers = str_dup(str_of(options->brokers));
    c->callbacks = callbacks == NULL ? (struct kafka_callbacks){0} : *callbacks;
    enum err_class cls = conf_fill(conf, options, type, err);
    if (cls == ERR_NONE) {
        cls = settings_set(conf, settings, setting_count, err);
    }
    if (cls != ERR_NONE) {
        rd_kafka_conf_destroy(conf);
        kafka_client_free(c);
        return cls;
    }
    rd_kafka_conf_set_opaque(conf, c);
    rd_kafka_conf_set_log_cb(conf, on_log);
    rd_kafka_conf_set_error_cb(conf, on_error);
    if (type == RD_KAFKA_PRODUCER) {
        rd_kafka_conf_set_dr_msg_cb(conf, on_delivered);
        rd_kafka_conf_interceptor_add_on_new(conf, "wikitally", on_new, c);
    }
    c->rk = rd_kafka_new(type, conf, text, sizeof(text)); /* takes conf if it succeeds */
    if (c->rk == NULL) {
        rd_kafka_conf_destroy(conf);
        kafka_client_free(c);
        return err_set(err, ERR_REJECT, EXIT_CONFIG, "kafka.properties: %s", text);
    }
    *ret_client = c;
    return ERR_NONE;
}

void kafka_client_free(struct kafka_client *c)
{
    if (c == NULL) {
        return;
    }
    if (c->rk != NULL) {
        rd_kafka_purge(c->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
        rd_kafka_destroy_flags(c->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    }
    pthread_mutex_destroy(&c->lock);
    free(c->brokers);
    free(c);
}

rd_kafka_t *kafka_client_handle(const struct kafka_client *c)
{
    return c->rk;
}

bool kafka_client_tainted(struct kafka_client *c)
{
    return atomic_load(&c->tainted);
}

/* ---- words */

static bool is_refusal(rd_kafka_resp_err_t code)
{
    switch (code) {
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR__SSL:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
        return true;
    default:
        return false;
    }
}

static enum err_class class_of(rd_kafka_resp_err_t code, int *ret_exit)
{
    *ret_exit = EXIT_UNAVAILABLE;
    if (is_refusal(code)) {
        *ret_exit = EXIT_NOPERM;
        return ERR_REJECT;
    }
    switch (code) {
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR:
    case RD_KAFKA_RESP_ERR_INVALID_CONFIG:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
        *ret_exit = EXIT_CONFIG;
        return ERR_REJECT;
    case RD_KAFKA_RESP_ERR__FENCED:
    case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH:
    case RD_KAFKA_RESP_ERR_PRODUCER_FENCED:
        *ret_exit = EXIT_FENCED;
        return ERR_FATAL;
    default:
        return ERR_RETRY;
    }
}

enum err_class kafka_error(struct kafka_client *c, struct err *err, rd_kafka_resp_err_t code, const char *format, ...)
{
    char context[160], said[256];
    va_list args;
    va_start(args, format);
    vsnprintf(context, sizeof(context), format, args);
    va_end(args);
    pthread_mutex_lock(&c->lock);
    rd_kafka_resp_err_t connection = c->said;
    snprintf(said, sizeof(said), "%s", c->said_text);
    pthread_mutex_unlock(&c->lock);
    int exit_code;
    enum err_class cls = class_of(code, &exit_code);
    if (cls == ERR_RETRY && is_refusal(connection)) { /* a timeout because every connection is refused */
        cls = class_of(connection, &exit_code);
    }
    bool more = *said != 0 && cls != ERR_FATAL && exit_code != EXIT_CONFIG;
    bool scram = connection == RD_KAFKA_RESP_ERR__AUTHENTICATION && rd_kafka_version() < SCRAM_FIXED;
    return err_set(err, cls, exit_code, "kafka %s: %s: %s%s%s%s%s", c->brokers, context, rd_kafka_err2str(code),
                   more ? " (" : "", more ? said : "", more ? ")" : "",
                   scram ? "; this librdkafka is too old for SCRAM to Kafka 4" : "");
}

const char *kafka_version(void)
{
    static char text[48];
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock);
    if (*text == 0) {
        snprintf(text, sizeof(text), "librdkafka %s", rd_kafka_version_str());
    }
    pthread_mutex_unlock(&lock);
    return text;
}

const char *kafka_version_note(void)
{
    if (rd_kafka_version() >= 0x020e02ff) {
        return NULL;
    }
    return "older than 2.14.2: known errors in transactions, no SCRAM to Kafka 4 before 2.6.1, slow with small queues";
}
