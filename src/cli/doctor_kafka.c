/* SPDX-License-Identifier: MIT
 *
 * doctor_kafka.c - wikitally doctor kafka: the client, each address of kafka.brokers, each address that brokers give of
 * themselves, the topics, the transactions; as the configured user, with the configured settings.
 *
 * A process of its own does it, and sends what it finds: a name server that does not answer blocks librdkafka for
 * longer than anybody waits, and that one can be killed. Nothing at the brokers is changed, but for one thing: whether
 * transactions work cannot be asked, only tried. It is tried with a transactional.id of our own (TOPIC.doctor), because
 * the real one would be taken from whoever writes with it at the moment.
 */
#include "cli/doctor.h"

#include "base/clock.h"
#include "kafka/client.h"
#include "kafka/rights.h"
#include "kafka/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ADDRESSES_MAX = 6, TEXT_MAX = 512, ANSWER_BYTES = 32 << 10 };
enum { ALL_US = 9000000, KILL_US = 10000000, TOPICS_US = 3000000, CONNECT_MAX_US = 2500000, CONNECT_MIN_US = 1300000 };
#define FIELD_END '\x1f' /* texts hold no control characters */

struct trial {
    const struct config *config;
    const struct kafka_options *options;
    int out;
    int64_t deadline_us;
};

static const struct kafka_setting impatient[] = {{"socket.connection.setup.timeout.ms", "1000"},
                                                 {"reconnect.backoff.max.ms", "500"}};

__attribute__((format(printf, 4, 5))) static void find(struct trial *t, const char *verdict, const char *next,
                                                       const char *format, ...)
{
    AUTO(buf) struct buf text = {0}, record = {0};
    struct err printable = {0}, printable_next = {0};
    va_list args;
    va_start(args, format);
    buf_vaddf(&text, format, args);
    va_end(args);
    err_set(&printable, ERR_REJECT, 0, "%s", text.ptr);
    err_set(&printable_next, ERR_REJECT, 0, "%s", next ? next : "");
    buf_addf(&record, "%s%c%s%c%s%c", verdict, FIELD_END, printable_next.text, FIELD_END, printable.text, FIELD_END);
    (void)!write(t->out, record.ptr, record.len);
}

/* ---- the client */

/* The last one counts; NULL: not set. */
static const char *property_of(const struct trial *t, const char *name)
{
    const char *found = NULL;
    for (size_t i = 0; i < t->options->property_count; i++) {
        const char *p = t->options->properties[i];
        if (str_starts(str_of(p), str_of(name)) && p[strlen(name)] == '=') {
            found = p + strlen(name) + 1;
        }
    }
    return found;
}

static void check_key_file(struct trial *t)
{
    struct stat st;
    const char *path = property_of(t, "ssl.key.location");
    if (path && stat(path, &st) == 0 && (st.st_mode & (S_IRWXG | S_IRWXO))) {
        AUTO(buf) struct buf next = {0};
        buf_addf(&next, "chmod 600 '%s'", path);
        find(t, "warn", next.ptr, "others may read the private key \"%s\"", path);
    }
}

static void check_client(struct trial *t)
{
    const char *note = kafka_version_note(), *risk = kafka_options_risk(t->options);
    const char *protocol = property_of(t, "security.protocol");
    bool sasl = protocol && strncasecmp(protocol, "sasl_", 5) == 0;
    find(t, note ? "warn" : "ok", note ? "tools/deps, which builds a newer one, and make build" : NULL, "%s%s%s",
         kafka_version(), note ? ": " : "", note ? note : "");
    if (risk) {
        find(t, "warn", "wikitally config explain kafka.insecure", "%s", risk);
    }
    if (*t->config->kafka.username && !sasl) {
        find(t, "warn", "set kafka.properties: security.protocol=SASL_SSL",
             "kafka.username is set, but security.protocol is %s: nobody is asked for a user",
             protocol ? protocol : "plaintext");
    }
    if (sasl && strcasecmp(protocol, "sasl_plaintext") == 0) {
        find(t, "warn", "set kafka.properties: security.protocol=SASL_SSL",
             "security.protocol is %s: whoever is on the way can read what is sent, with PLAIN also the password",
             protocol);
    }
    check_key_file(t);
}

/* ---- brokers */

static int64_t left_us(const struct trial *t)
{
    int64_t left = t->deadline_us - clock_mono(&clock_real);
    return left > 0 ? left : 0;
}

static int64_t at_most(const struct trial *t, int64_t most_us)
{
    return left_us(t) < most_us ? left_us(t) : most_us;
}

/* What a client at this address finds. The client is not freed: that may have to wait, and the process ends soon. */
static enum err_class ask_address(struct trial *t, const char *address, int64_t wait_us,
                                  struct kafka_addresses *ret_addresses, char *next, struct err *err)
{
    struct kafka_options options = *t->options;
    struct kafka_client *client;
    options.brokers = address;
    snprintf(next, TEXT_MAX, "%s", "wikitally config explain kafka.properties");
    if (kafka_client_new(&options, RD_KAFKA_PRODUCER, impatient, sizeof impatient / sizeof *impatient, NULL, &client,
                         err)) {
        return err->cls;
    }
    enum err_class cls = kafka_addresses_ask(client, wait_us, ret_addresses, err);
    const struct kafka_cause *cause = cls ? kafka_client_cause(client, RD_KAFKA_RESP_ERR__TIMED_OUT) : NULL;
    snprintf(next, TEXT_MAX, "%s", cause ? cause->next : "wikitally doctor kafka -v");
    if (cls && strstr(err->text, "client's certificate")) {
        bool given = property_of(t, "ssl.certificate.location") || property_of(t, "ssl.keystore.location");
        err_prefix(err, given ? "the client's certificate that is set is refused" : "no client's certificate is set");
    }
    return cls;
}

/* -> one of them answered */
static bool check_bootstrap(struct trial *t, struct kafka_addresses *ret_addresses)
{
    struct str rest = str_of(t->options->brokers), one;
    char next[TEXT_MAX];
    bool any = false;
    size_t count = 1, i = 0;
    for (const char *at = t->options->brokers; (at = strchr(at, ',')); at++) {
        count++;
    }
    int64_t share = (ALL_US - TOPICS_US) / (int64_t)count;
    share = share < CONNECT_MIN_US ? CONNECT_MIN_US : share > CONNECT_MAX_US ? CONNECT_MAX_US : share;
    for (; i < ADDRESSES_MAX && str_split(&rest, ',', &one); i++) {
        struct err err = {0};
        AUTO_FREE char *address = str_dup(str_trim(one));
        if (ask_address(t, address, at_most(t, share), ret_addresses, next, &err)) {
            find(t, "fail", next, "%s", err.text);
        } else {
            any = true;
            find(t, "ok", NULL, "\"%s\" answers", address);
        }
    }
    if (i < count) {
        find(t, "warn", "wikitally doctor kafka --set kafka.brokers=HOST:PORT",
             "%zu more addresses of kafka.brokers were not asked", count - i);
    }
    return any;
}

static bool is_configured(const struct trial *t, const char *address)
{
    struct str rest = str_of(t->options->brokers), one;
    while (str_split(&rest, ',', &one)) {
        if (str_eqz(str_trim(one), address)) {
            return true;
        }
    }
    return false;
}

/* What a client is told to connect to, once it has asked. -> all of them answered */
static bool check_advertised(struct trial *t, const struct kafka_addresses *addresses)
{
    bool all = true;
    size_t asked = 0;
    for (size_t i = 0; i < addresses->count && left_us(t) > TOPICS_US; i++, asked++) {
        const struct kafka_address *a = &addresses->list[i];
        struct kafka_addresses ignored;
        char next[TEXT_MAX];
        struct err err = {0};
        if (!is_configured(t, a->text) && ask_address(t, a->text, at_most(t, CONNECT_MAX_US), &ignored, next, &err)) {
            all = false;
            find(t, "fail", "set advertised.listeners in that broker's server.properties to what this machine reaches",
                 "broker %d gives \"%s\" as its own address (advertised.listeners), which cannot be used: %s",
                 (int)a->id, a->text, err.text);
        }
    }
    if (asked < addresses->brokers) {
        find(t, "warn", "wikitally doctor kafka --set kafka.brokers=HOST:PORT", "%zu of %zu brokers were not asked",
             addresses->brokers - asked, addresses->brokers);
    }
    return all;
}

/* ---- topics */

struct need {
    char name[TEXT_MAX / 2];
    int may; /* KAFKA_MAY_... */
    int32_t partitions, replication;
    bool is_journal, create;
    const char *create_key;
};

static const char *const rights[] = {"Read", "Write", "Describe", "DescribeConfigs", "Create"};
enum { MAY_CREATE = 16 };

static void acl_command(const struct trial *t, int may, const char *what, const char *name, struct buf *out)
{
    buf_addf(out, "kafka-acls.sh --bootstrap-server %.80s --add --allow-principal 'User:%s'", t->options->brokers,
             *t->config->kafka.username ? t->config->kafka.username : "NAME");
    for (size_t i = 0; i < sizeof rights / sizeof *rights; i++) {
        if (may & 1 << i) {
            buf_addf(out, " --operation %s", rights[i]);
        }
    }
    buf_addf(out, " --%s '%s'", what, name);
}

static void check_missing(struct trial *t, struct kafka_client *client, const struct need *n)
{
    AUTO(buf) struct buf next = {0};
    struct err err = {0};
    struct kafka_topic_options options = {n->name, n->partitions, n->replication, NULL, 0};
    if (!n->create) {
        buf_addf(&next,
                 "kafka-topics.sh --bootstrap-server %.80s --create --topic '%s' --partitions %d, or set %s to true",
                 t->options->brokers, n->name, (int)n->partitions, n->create_key);
        find(t, "fail", next.ptr, "there is no topic \"%s\", and %s is false: a run does not make it", n->name,
             n->create_key);
    } else if (kafka_topic_may_make(client, &options, at_most(t, US_PER_SECOND), &err)) {
        acl_command(t, MAY_CREATE, "topic", n->name, &next);
        find(t, "fail", err.code == EXIT_NOPERM ? next.ptr : "wikitally config explain journal.replication",
             "there is no topic \"%s\", and a run could not make it: %s", n->name, err.text);
    } else {
        find(t, "ok", "wikitally run", "there is no topic \"%s\" yet: a run makes it, with %d partition%s", n->name,
             (int)n->partitions, n->partitions == 1 ? "" : "s");
    }
}

static void check_shape(struct trial *t, const struct need *n, const struct kafka_topic *topic)
{
    if (!n->is_journal) {
        return;
    }
    if (topic->partitions > PARTITION_MAX) {
        find(t, "fail", "set journal.topic to one that has no more",
             "topic \"%s\" has %d partitions; a journal has at most %d", n->name, (int)topic->partitions,
             PARTITION_MAX);
    } else if (topic->partitions < n->partitions && !n->create) {
        find(t, "fail", "set journal.partitions, or journal.create_topics to true",
             "topic \"%s\" has %d partitions, journal.partitions wants %d, and journal.create_topics is false", n->name,
             (int)topic->partitions, (int)n->partitions);
    }
}

static void check_rights(struct trial *t, struct kafka_client *client, const struct need *n,
                         const struct kafka_topic *topic)
{
    AUTO(buf) struct buf missing = {0}, next = {0};
    struct err err = {0};
    bool known;
    int may;
    if (kafka_topic_rights(client, n->name, at_most(t, US_PER_SECOND), &known, &may, &err)) {
        acl_command(t, n->may, "topic", n->name, &next);
        find(t, "fail", next.ptr, "%s", err.text);
        return;
    }
    for (int i = 0; known && i < 4; i++) {
        if (n->may & ~may & (1 << i)) {
            buf_addf(&missing, "%s%s", missing.len ? ", " : "", rights[i]);
        }
    }
    acl_command(t, n->may & ~may, "topic", n->name, &next);
    if (missing.len) {
        find(t, "fail", next.ptr, "this user may not do with topic \"%s\" what a run does: an ACL is missing for %s",
             n->name, missing.ptr);
    } else {
        find(t, "ok", NULL, "topic \"%s\": %d partition%s in %d cop%s each%s", n->name, (int)topic->partitions,
             topic->partitions == 1 ? "" : "s", (int)topic->replication, topic->replication == 1 ? "y" : "ies",
             known ? "" : "; what this user may do there, this librdkafka cannot ask");
    }
}

static void check_topic(struct trial *t, struct kafka_client *client, const struct need *n)
{
    AUTO(buf) struct buf next = {0};
    struct kafka_topic topic;
    struct err err = {0};
    if (left_us(t) == 0) {
        find(t, "warn", "wikitally doctor kafka", "no time was left to look at topic \"%s\"", n->name);
    } else if (kafka_topic_look(client, n->name, at_most(t, US_PER_SECOND), &topic, &err)) {
        acl_command(t, n->may, "topic", n->name, &next);
        find(t, "fail", err.code == EXIT_NOPERM ? next.ptr : "wikitally doctor kafka -v", "%s", err.text);
    } else if (!topic.exists) {
        check_missing(t, client, n);
    } else {
        check_shape(t, n, &topic);
        check_rights(t, client, n, &topic);
    }
}

static void check_topics(struct trial *t, struct kafka_client *client)
{
    static const char *const suffixes[] = {"", ".state", ".dead"};
    const struct config *c = t->config;
    const int both = KAFKA_MAY_READ | KAFKA_MAY_WRITE | KAFKA_MAY_DESCRIBE;
    for (size_t i = 0; c->journal_kafka && i < 3; i++) {
        struct need n = {.may = i == 0 ? both | KAFKA_MAY_DESCRIBE_CONFIGS : both,
                         .partitions = i == 0 ? (int32_t)c->journal.partitions : 1,
                         .replication = (int32_t)c->journal.replication,
                         .is_journal = i == 0,
                         .create = c->journal.create_topics,
                         .create_key = "journal.create_topics"};
        snprintf(n.name, sizeof n.name, "%s%s", c->journal.topic, suffixes[i]);
        check_topic(t, client, &n);
    }
    for (size_t i = 0; c->stats_topic_count && i <= c->stats_topic_count; i++) {
        bool is_state = i == c->stats_topic_count;
        struct need n = {.may = is_state ? both : KAFKA_MAY_WRITE | KAFKA_MAY_DESCRIBE,
                         .partitions = 1,
                         .replication = (int32_t)c->stats.replication,
                         .create = c->stats.create_topics,
                         .create_key = "stats.create_topics"};
        snprintf(n.name, sizeof n.name, "%s", is_state ? c->stats.state_topic : c->stats_topics[i].topic);
        check_topic(t, client, &n);
    }
}

/* What is shown to others of how far a task is; nothing else needs a group. */
static void check_group(struct trial *t, struct kafka_client *client, const char *task)
{
    AUTO(buf) struct buf group = {0}, next = {0};
    struct err err = {0};
    bool known;
    int may;
    buf_addf(&group, "%s.%s", t->config->kafka.group, task);
    acl_command(t, KAFKA_MAY_READ | KAFKA_MAY_DESCRIBE, "group", group.ptr, &next);
    if (left_us(t) == 0) {
        find(t, "warn", "wikitally doctor kafka", "no time was left to look at the group \"%s\"", group.ptr);
    } else if (kafka_group_rights(client, group.ptr, at_most(t, US_PER_SECOND), &known, &may, &err)) {
        find(t, "warn", next.ptr,
             "there is no answer about the group \"%s\", because an ACL is missing, as like as not: a run works, but "
             "the "
             "cluster does not show how far it is: %s",
             group.ptr, err.text);
    } else if (known && !(may & KAFKA_MAY_READ)) {
        find(t, "warn", next.ptr,
             "this user may not say in the group \"%s\" how far it is: an ACL is missing for Read; all else works",
             group.ptr);
    }
}

/* ---- transactions */

static void check_transactions(struct trial *t, const char *id)
{
    AUTO(buf) struct buf own = {0}, next = {0};
    struct kafka_writer *writer;
    struct err err = {0};
    buf_addf(&own, "%s.doctor", id);
    struct kafka_writer_options options = {.kafka = t->options, .transactional_id = own.ptr};
    if (kafka_writer_open(&options, at_most(t, 2 * US_PER_SECOND), &writer, &err) == ERR_NONE) {
        find(t, "ok", NULL, "transactions work");
    } else if (err.code == EXIT_NOPERM) {
        acl_command(t, KAFKA_MAY_WRITE | KAFKA_MAY_DESCRIBE, "resource-pattern-type prefixed --transactional-id", id,
                    &next);
        find(t, "warn", next.ptr,
             "the transactional.id \"%s\" is refused; with \"%s\", which a run takes, only a run can try it: %s",
             own.ptr, id, err.text);
    } else {
        find(t, "fail",
             "look at transaction.state.log.replication.factor and .min.isr in server.properties: not above the number "
             "of brokers",
             "%s", err.text);
    }
}

/* ---- in the process that tries */

static void try_all(struct trial *t)
{
    const struct config *c = t->config;
    struct kafka_addresses addresses = {0};
    struct kafka_client *client;
    struct err err = {0};
    char id[TEXT_MAX];
    check_client(t);
    if (!check_bootstrap(t, &addresses) || !check_advertised(t, &addresses)) {
        return;
    }
    if (kafka_client_new(t->options, RD_KAFKA_PRODUCER, impatient, sizeof impatient / sizeof *impatient, NULL, &client,
                         &err)) {
        find(t, "fail", "wikitally config explain kafka.properties", "%s", err.text);
        return;
    }
    check_topics(t, client);
    if (c->journal_kafka) {
        check_group(t, client, "results");
        snprintf(id, sizeof id, "wikitally.%s", c->journal.topic);
        check_transactions(t, id);
    }
    if (c->stats_topic_count) {
        snprintf(id, sizeof id, "wikitally.stats.%s", c->stats.state_topic);
        check_transactions(t, id);
    }
}

/* ---- here */

/* All that it sends until it ends, or until its time is over. -> it has ended by itself */
static bool receive(int in, char *answer, size_t *ret_used)
{
    int64_t until_us = clock_mono(&clock_real) + KILL_US;
    for (size_t used = 0;;) {
        int64_t left = until_us - clock_mono(&clock_real);
        struct pollfd ready = {.fd = in, .events = POLLIN};
        *ret_used = used;
        if (left <= 0) {
            return false;
        }
        if (poll(&ready, 1, (int)(left / US_PER_MS) + 1) > 0) {
            ssize_t n = read(in, answer + used, ANSWER_BYTES - used);
            if (n <= 0) {
                return n == 0;
            }
            used += (size_t)n;
        }
    }
}

static void say_all(struct doctor *d, char *answer, size_t used)
{
    struct str rest = str_n(answer, used), verdict, next, text;
    while (str_split(&rest, FIELD_END, &verdict) && str_split(&rest, FIELD_END, &next) &&
           str_split(&rest, FIELD_END, &text)) {
        AUTO_FREE char *v = str_dup(verdict), *n = str_dup(next);
        doctor_say(d, "kafka", v, *n ? n : NULL, "%.*s", STR_ARG(text));
    }
}

void doctor_kafka(struct doctor *d)
{
    int ends[2], status = -1;
    size_t used;
    struct trial t = {.config = &d->cli->config, .options = config_kafka_client(&d->cli->config)};
    if (!t.options) {
        doctor_say(d, "kafka", "ok", "wikitally config explain kafka.brokers", "none is configured");
        return;
    }
    if (pipe2(ends, O_CLOEXEC) != 0) {
        doctor_say(d, "kafka", "fail", "ulimit -n", "cannot be tried: %s", strerror(errno));
        return;
    }
    AUTO_FREE char *answer = xmalloc(ANSWER_BYTES);
    pid_t pid = fork();
    if (pid == 0) {
        t.out = ends[1];
        t.deadline_us = clock_mono(&clock_real) + ALL_US;
        try_all(&t);
        _exit(0);
    }
    close(ends[1]);
    bool ended = receive(ends[0], answer, &used);
    close(ends[0]);
    if (pid > 0) {
        if (!ended) {
            kill(pid, SIGKILL);
        }
        waitpid(pid, &status, 0);
    }
    say_all(d, answer, used);
    if (ended && status != 0) {
        doctor_say(d, "kafka", "fail", "wikitally doctor kafka -v, and report it", "the process that tries it was %s",
                   pid < 0 ? "not started" : "killed");
    } else if (!ended) {
        doctor_say(d, "kafka", "fail", "getent hosts NAME, of each in kafka.brokers",
                   "no end within %d s: it may be the machine's resolver", KILL_US / 1000000);
    }
}
