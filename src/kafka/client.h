/* SPDX-License-Identifier: MIT
 *
 * client.h - a connection to a Kafka cluster (front header of this room, with writer.h, claim.h, feed.h, member.h,
 * admin.h and inspect.h): librdkafka with our settings, and its errors in words. Knows nothing of journals, results or
 * events.
 *
 * A client belongs to one thread; librdkafka's own threads only leave notes in it (under a lock). Works with librdkafka
 * 2.0.2 and later; what an old one limits is said by kafka_version_note().
 */
#ifndef WIKITALLY_KAFKA_CLIENT_H
#define WIKITALLY_KAFKA_CLIENT_H

#include "base/err.h"
#include "base/str.h"

#include <librdkafka/rdkafka.h>

struct kafka_setting {
    const char *name, *value; /* librdkafka's names */
};

struct kafka_options {
    const char *brokers;           /* "host:port,host:port" */
    const char *const *properties; /* "name=value", librdkafka's names, verbatim: they win over our defaults */
    size_t property_count;
};

/* What the configuration says, checked without a connection: a property that librdkafka does not know, a value that it
 * refuses, one that would break the guarantee (acks, isolation.level, ...). ERR_REJECT/EXIT_CONFIG, the text begins
 * with "kafka.brokers" or "kafka.properties". */
enum err_class kafka_options_check(const struct kafka_options *options, struct err *err);

/* What of it gives security up, "SETTING=VALUE: why"; NULL: nothing, or it is not valid. */
const char *kafka_options_risk(const struct kafka_options *options);

struct kafka_client;
struct kafka_callbacks {
    void (*delivered)(const rd_kafka_message_t *message, void *ctx); /* of a producer; NULL: none */
    /* of a consumer that subscribes; NULL: librdkafka's own. opaque: for kafka_client_ctx() */
    void (*rebalance)(rd_kafka_t *rk, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *list, void *opaque);
    void *ctx;
};
void *kafka_client_ctx(void *opaque); /* callbacks.ctx */
/* `settings` win over everything: they are what correctness rests on. Does not wait for a broker. */
enum err_class kafka_client_new(const struct kafka_options *options, rd_kafka_type_t type,
                                const struct kafka_setting *settings, size_t setting_count,
                                const struct kafka_callbacks *callbacks, struct kafka_client **ret_client,
                                struct err *err);
/* What was not sent is dropped. Waits for librdkafka's threads, which do not wait for a broker; NULL is fine. */
void kafka_client_free(struct kafka_client *c);
rd_kafka_t *kafka_client_handle(const struct kafka_client *c);

/* C-K1: a request of a transaction timed out, or its connection broke, since the client was made: librdkafka sent it
 * again by itself, and the first one may still arrive. Whoever goes on needs a new producer. */
bool kafka_client_tainted(struct kafka_client *c);

/* What lies behind an error, as far as it is known: by its code, or by what librdkafka said in the last minute of a
 * connection (RD_KAFKA_RESP_ERR__TIMED_OUT, _TRANSPORT: a request that never came to a broker). NULL: not known; static
 * otherwise. */
struct kafka_cause {
    const char *words; /* "user or password is wrong" */
    const char *next;  /* the setting to change, or the command to try */
    bool refusal;      /* password, certificate, ACL: trying again does not help */
};
const struct kafka_cause *kafka_client_cause(struct kafka_client *c, rd_kafka_resp_err_t code);
/* "HOST:PORT/bootstrap: ...", "ssl://HOST:PORT/ID: ...", as librdkafka said it; "": nothing in the last minute. */
void kafka_client_said(struct kafka_client *c, char *out, size_t size);

/* Says in words what went wrong: "kafka BROKERS: CONTEXT: CAUSE (what librdkafka said last of its connections)".
 * -> ERR_REJECT/EXIT_NOPERM: a refusal; ERR_REJECT/EXIT_CONFIG: what the cluster will never take;
 * ERR_FATAL/EXIT_FENCED: a newer producer of the same transactional.id; ERR_RETRY/EXIT_UNAVAILABLE: everything that may
 * pass. */
enum err_class kafka_error(struct kafka_client *c, struct err *err, rd_kafka_resp_err_t code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* "librdkafka 2.15.1"; static. */
const char *kafka_version(void);
/* What the version in use cannot do, as a sentence, or NULL. */
const char *kafka_version_note(void);

#endif
