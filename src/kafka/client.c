/* SPDX-License-Identifier: MIT
 *
 * client.c - see client.h. Three layers of settings: our defaults, the user's properties, and what correctness rests
 * on; a property of the user's that says otherwise than the third is refused when the configuration is read.
 */
#include "kafka/client.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/diag.h"
#include "kafka/cause.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { CREDIBLE_US = 60000000 }; /* librdkafka says the same thing again after 30 s */
enum { SUDDEN_MS = 2000 };

struct kafka_client {
    rd_kafka_t *rk;
    char *brokers;
    struct kafka_callbacks callbacks;
    atomic_bool tainted;
    pthread_mutex_t lock; /* of what follows */
    int64_t said_at_us;   /* what librdkafka said last of a connection; "": nothing yet */
    char said[256];
    int certificate; /* why a broker's was refused last; 0: none was */
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

#define VERIFY_CERTIFICATE "enable.ssl.certificate.verification"
#define VERIFY_NAME "ssl.endpoint.identification.algorithm"
static const struct kafka_setting defaults[] = {
    {"client.id", "wikitally"},
    {"reconnect.backoff.ms", "100"},
    {"reconnect.backoff.max.ms", "5000"},
    {"socket.keepalive.enable", "true"},
    {"topic.metadata.refresh.interval.ms", "30000"},
    {"log_level", "6"},
    {VERIFY_CERTIFICATE, "true"},
    {VERIFY_NAME, "https"},
};

static const struct kafka_setting producer_defaults[] = {
    {"compression.type", "lz4"},
    {"linger.ms", "5"},
    {"queue.buffering.max.kbytes", "65536"},
    {"message.max.bytes", "14680064"},
};

static const struct kafka_setting consumer_defaults[] = {
    {"fetch.wait.max.ms", "100"},
    {"queued.max.messages.kbytes", "4096"},
    {"session.timeout.ms", "10000"},
#if RD_KAFKA_VERSION >= 0x020200ff
    {"fetch.queue.backoff.ms", "1"},
#endif
};

/* ---- librdkafka's own threads */

/* What went wrong with a connection; in which state it was only if it had just come to it, for then that explains. */
static void note(struct kafka_client *c, const char *text)
{
    const char *after = strstr(text, " (after "), *state = after == NULL ? NULL : strstr(after, "in state ");
    int length = after == NULL ? (int)strlen(text) : (int)(after - text);
    if (state != NULL && strtol(after + strlen(" (after "), NULL, 10) > SUDDEN_MS) {
        state = NULL;
    }
    pthread_mutex_lock(&c->lock);
    c->said_at_us = clock_mono(&clock_real);
    snprintf(c->said, sizeof(c->said), "%.*s%s%.*s", length, text, state == NULL ? "" : ", ",
             state == NULL ? 0 : (int)strcspn(state, ",)"), state == NULL ? "" : state);
    pthread_mutex_unlock(&c->lock);
}

static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    (void)level;
    diag_debug("kafka", "%s: %s", facility, text);
    const char *thread_end = strstr(text, "]: ");
    if (strcmp(facility, "FAIL") == 0) {
        note(rd_kafka_opaque(rk), thread_end == NULL ? text : thread_end + strlen("]: "));
    }
}

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    (void)rk, (void)opaque; /* it comes when somebody polls, if ever: on_log has it at once */
    diag_debug("kafka", "%s: %s", rd_kafka_err2name((rd_kafka_resp_err_t)code), reason);
}

/* The verdict is OpenSSL's, and stays as it is; only here it can be seen what it was. */
static int on_certificate(rd_kafka_t *rk, const char *broker, int32_t broker_id, int *verdict, int depth,
                          const char *certificate, size_t size, char *text, size_t text_size, void *opaque)
{
    struct kafka_client *c = opaque;
    (void)rk, (void)broker, (void)broker_id, (void)depth, (void)certificate, (void)size;
    if (*verdict == 0) {
        return 1;
    }
    pthread_mutex_lock(&c->lock);
    c->certificate = *verdict;
    pthread_mutex_unlock(&c->lock);
    snprintf(text, text_size, "X509 error %d", *verdict);
    return 0;
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
        strcmp(key, "metadata.broker.list") == 0 || strcmp(key, "log_level") == 0) {
        return property_refuse(err, name, "is set by the program itself (brokers: kafka.brokers, log_level: -v)");
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

static void conf_value(const rd_kafka_conf_t *conf, const char *name, char *out, size_t size)
{
    if (rd_kafka_conf_get(conf, name, out, &size) != RD_KAFKA_CONF_OK) {
        *out = 0;
    }
}

const char *kafka_options_risk(const struct kafka_options *options)
{
    char certificate[16], name[16];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    bool valid = conf_fill(conf, options, RD_KAFKA_PRODUCER, NULL) == ERR_NONE;
    conf_value(conf, VERIFY_CERTIFICATE, certificate, sizeof(certificate));
    conf_value(conf, VERIFY_NAME, name, sizeof(name));
    rd_kafka_conf_destroy(conf);
    if (!valid) {
        return NULL;
    }
    return strcmp(certificate, "true") != 0 ? VERIFY_CERTIFICATE "=false: a broker's certificate is not verified"
           : strcmp(name, "https") != 0     ? VERIFY_NAME "=none: a broker's name is not verified"
                                            : NULL;
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
    if (callbacks != NULL) {
        c->callbacks = *callbacks;
    }
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
    rd_kafka_conf_set_ssl_cert_verify_cb(conf, on_certificate);
    if (c->callbacks.rebalance != NULL) {
        rd_kafka_conf_set_rebalance_cb(conf, c->callbacks.rebalance);
    }
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

void *kafka_client_ctx(void *opaque)
{
    return ((struct kafka_client *)opaque)->callbacks.ctx;
}

bool kafka_client_tainted(struct kafka_client *c)
{
    return atomic_load(&c->tainted);
}

/* ---- words */

static enum err_class class_of(rd_kafka_resp_err_t code, const struct kafka_cause *cause, int *ret_exit)
{
    if (cause != NULL && cause->refusal) { /* be it a timeout, because every connection is refused */
        *ret_exit = EXIT_NOPERM;
        return ERR_REJECT;
    }
    *ret_exit = EXIT_UNAVAILABLE;
    switch (code) {
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
        *ret_exit = EXIT_NOPERM;
        return ERR_REJECT;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR:
    case RD_KAFKA_RESP_ERR_INVALID_CONFIG:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
        *ret_exit = EXIT_CONFIG;
        return ERR_REJECT;
    case RD_KAFKA_RESP_ERR__FENCED:
    case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH:
    case RD_KAFKA_RESP_ERR_PRODUCER_FENCED:
    case RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION: /* of a group, in a transaction */
    case RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID:
    case RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID:
        *ret_exit = EXIT_FENCED;
        return ERR_FATAL;
    default:
        return ERR_RETRY;
    }
}

/* A request that has come to no broker, or no answer back: what librdkafka said of its connections may be the reason.
 */
static bool is_of_connection(rd_kafka_resp_err_t code)
{
    int exit_code;
    return code < 0 && (class_of(code, NULL, &exit_code) == ERR_RETRY || code == RD_KAFKA_RESP_ERR__AUTHENTICATION);
}

/* *said: what was, "" if it explains nothing, or is too old for that. */
static const struct kafka_cause *cause_of(struct kafka_client *c, rd_kafka_resp_err_t code, char *said, size_t size)
{
    int certificate = 0;
    *said = 0;
    if (is_of_connection(code)) {
        pthread_mutex_lock(&c->lock);
        bool credible = clock_mono(&clock_real) - c->said_at_us < CREDIBLE_US;
        snprintf(said, size, "%s", credible ? c->said : "");
        certificate = c->certificate;
        pthread_mutex_unlock(&c->lock);
    }
    return kafka_cause_find(code, said, certificate);
}

void kafka_client_said(struct kafka_client *c, char *out, size_t size)
{
    (void)cause_of(c, RD_KAFKA_RESP_ERR__TIMED_OUT, out, size);
}

const struct kafka_cause *kafka_client_cause(struct kafka_client *c, rd_kafka_resp_err_t code)
{
    char said[256];
    return cause_of(c, code, said, sizeof(said));
}

enum err_class kafka_error(struct kafka_client *c, struct err *err, rd_kafka_resp_err_t code, const char *format, ...)
{
    char context[160], said[256];
    va_list args;
    va_start(args, format);
    vsnprintf(context, sizeof(context), format, args);
    va_end(args);
    int exit_code;
    const struct kafka_cause *cause = cause_of(c, code, said, sizeof(said));
    enum err_class cls = class_of(code, cause, &exit_code);
    bool both = cause != NULL && *said == 0; /* else "transport failure", and the like */
    return err_set(err, cls, exit_code, "kafka %.100s: %s: %s%s%s%s%s%s", c->brokers, context,
                   cause == NULL || both ? rd_kafka_err2str(code) : "", both ? ": " : "",
                   cause != NULL ? cause->words : "", *said != 0 ? " (" : "", said, *said != 0 ? ")" : "");
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
