/* SPDX-License-Identifier: MIT
 *
 * cause.c - see cause.h. librdkafka tells most of these apart in its texts only, and some not at all: a broker that
 * wants TLS, or none, or a password, just closes the connection, and in which state that was is all there is to know.
 * The texts are those of 2.0.2 to 2.15.1; where one changes, its cause is no longer named, and nothing else.
 */
#include "kafka/cause.h"

/* X509_V_ERR_... of OpenSSL, which nothing else here needs. */
enum { NOT_YET_VALID = 9, HAS_EXPIRED = 10, OTHER_NAME = 62, OTHER_ADDRESS = 64 };
enum { SCRAM_FIXED = 0x020601ff };

#define ACL "kafka-acls.sh --add --allow-principal User:NAME --operation "
#define CA "set kafka.properties: ssl.ca.location=FILE with the certificate of the authority that signed the broker's"
#define NAME "set kafka.brokers to a name that stands in the certificate"
#define TLS "set kafka.properties: security.protocol=SSL (with a user: SASL_SSL)"
#define OURS "set kafka.properties: ssl.certificate.location=FILE, ssl.key.location=FILE"
#define NOT_OURS "the broker wants a client's certificate of an authority that it trusts"
#define VERIFY "certificate verify failed"

/* Trying again may help, or does not. */
#define PASSING(words, next)                                                                                           \
    {                                                                                                                  \
        words, next, false                                                                                             \
    }
#define REFUSAL(words, next)                                                                                           \
    {                                                                                                                  \
        words, next, true                                                                                              \
    }
#define NO_TLS                                                                                                         \
    PASSING("TLS is spoken, and the connection is closed at once: the listener may speak none",                        \
            "set kafka.properties: security.protocol=PLAINTEXT (with a user: SASL_PLAINTEXT)")

/* The first that fits: the code, if one stands there, and all of the texts. */
static const struct known {
    rd_kafka_resp_err_t code;
    const char *said, *also, *without; /* parts of what was said */
    int certificate;                   /* 0: any */
    struct kafka_cause cause;
} list[] = {
    {.code = RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
     .cause = REFUSAL("this user may not do that with the topic: an ACL is missing",
                      ACL "Read --operation Write --operation Describe --operation DescribeConfigs --topic TOPIC")},
    {.code = RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
     .cause = REFUSAL("this user may not use the transactional.id: an ACL is missing",
                      ACL "Write --operation Describe --transactional-id wikitally.TOPIC")},
    {.code = RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
     .cause =
         REFUSAL("this user may not use the group: an ACL is missing", ACL "Read --operation Describe --group GROUP")},
    {.code = RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
     .cause = REFUSAL("this user may not do that in this cluster: an ACL is missing", ACL "Create --cluster")},

    {.said = "Failed to resolve",
     .cause = PASSING("no such name, or the machine's resolver does not answer", "getent hosts NAME")},
    {.said = "Connection refused",
     .cause =
         PASSING("nothing listens there: is the broker running, is it this port", "set kafka.brokers to HOST:PORT")},
    {.said = "Connect to",
     .cause = PASSING("the network does not lead there", "ping HOST, then the firewalls in between")},
    {.said = "Connection setup timed out",
     .cause =
         PASSING("whoever listens there does not answer: a firewall, or no broker", "set kafka.brokers to HOST:PORT")},

    {.said = VERIFY,
     .certificate = OTHER_NAME,
     .cause = REFUSAL("the broker's certificate is of another name than the one it was reached by", NAME)},
    {.said = VERIFY,
     .certificate = OTHER_ADDRESS,
     .cause = REFUSAL("the broker's certificate is of another name than the address it was reached by", NAME)},
    {.said = VERIFY,
     .certificate = HAS_EXPIRED,
     .cause =
         REFUSAL("the broker's certificate has expired", "have it renewed; date, if this machine's clock is wrong")},
    {.said = VERIFY,
     .certificate = NOT_YET_VALID,
     .cause = REFUSAL("the broker's certificate is not valid yet", "date, if this machine's clock is wrong")},
    {.said = VERIFY, .cause = REFUSAL("nobody whom we trust vouches for the broker's certificate", CA)},
    {.said = "alert bad certificate", .cause = REFUSAL(NOT_OURS, OURS)},
    {.said = "alert certificate", .cause = REFUSAL(NOT_OURS, OURS)},
    {.said = "alert unknown ca", .cause = REFUSAL(NOT_OURS, OURS)},
    {.said = "alert handshake failure", .cause = REFUSAL(NOT_OURS ", or has no cipher in common with us", OURS)},
    {.said = "wrong version number",
     .cause =
         PASSING("TLS is spoken to a listener that speaks none", "set kafka.properties: security.protocol=PLAINTEXT")},
    {.said = "in state SSL_HANDSHAKE", .also = "Disconnected", .cause = NO_TLS},
    {.said = "in state SSL_HANDSHAKE", .also = "unexpected eof", .cause = NO_TLS},

    {.said = "Unsupported SASL mechanism",
     .cause = REFUSAL("the broker does not know this way to log in", "set kafka.properties: sasl.mechanism=NAME")},
    {.said = "current SASL state",
     .cause = REFUSAL("the listener wants no user and password",
                      "set kafka.properties: security.protocol=SSL or PLAINTEXT")},
    {.said = "SASL authentication error",
     .cause = REFUSAL("user or password is wrong", "set kafka.username and kafka.password_file")},
    {.said = "in state APIVERSION_QUERY",
     .also = "Disconnected",
     .without = "ssl://",
     .cause = PASSING("TLS is not spoken, and the connection is closed at once: the listener may want it", TLS)},
    {.said = "in state UP",
     .also = "Disconnected",
     .without = "sasl_",
     .cause = PASSING("the connection is closed at once: the listener may want a user and a password",
                      "set kafka.properties: security.protocol=SASL_SSL, sasl.mechanism=NAME")},
};

static const struct kafka_cause too_old = {
    "this librdkafka is too old for SCRAM to Kafka 4, which takes 2.6.1; or user or password is wrong",
    "wikitally version; set kafka.properties: sasl.mechanism=PLAIN, or log in with a certificate", true};

static bool fits(const struct known *k, rd_kafka_resp_err_t code, const char *said, int certificate)
{
    if (k->code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return k->code == code;
    }
    return strstr(said, k->said) != NULL && (k->also == NULL || strstr(said, k->also) != NULL) &&
           (k->without == NULL || strstr(said, k->without) == NULL) &&
           (k->certificate == 0 || k->certificate == certificate);
}

const struct kafka_cause *kafka_cause_find(rd_kafka_resp_err_t code, const char *said, int certificate)
{
    if (strstr(said, "SASL authentication error") != NULL && strstr(said, "SCRAM") != NULL &&
        rd_kafka_version() < SCRAM_FIXED) {
        return &too_old;
    }
    for (size_t i = 0; i < sizeof(list) / sizeof(*list); i++) {
        if (fits(&list[i], code, said, certificate)) {
            return &list[i].cause;
        }
    }
    return NULL;
}
