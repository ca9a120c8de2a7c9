/* SPDX-License-Identifier: MIT
 *
 * member.c - see member.h.
 */
#include "kafka/member.h"

#include "base/clock.h"
#include "base/diag.h"

#include <stdlib.h>

struct kafka_member {
    struct kafka_client *client;
    rd_kafka_t *rk; /* of the client */
    const struct kafka_options *kafka;
    char *topic, *group, *instance;
    int64_t joins;
    const struct kafka_member_events *events; /* of the poll that is running */
    bool closing, answered;                   /* answered: what came first while it closes */
};

/* ---- assignment */

static size_t numbers_of(const rd_kafka_topic_partition_list_t *list, int32_t *out)
{
    for (int i = 0; i < list->cnt; i++) {
        out[i] = list->elems[i].partition;
    }
    return (size_t)list->cnt;
}

static void take_error(struct kafka_member *m, rd_kafka_error_t *error, const char *what)
{
    (void)m;
    if (error != NULL) {
        diag_warn("kafka", "%s: %s", what, rd_kafka_error_string(error));
        rd_kafka_error_destroy(error);
    }
}

/* Nothing is fetched: the partitions are read elsewhere. */
static void assign(struct kafka_member *m, rd_kafka_topic_partition_list_t *list)
{
    for (int i = 0; i < list->cnt; i++) {
        list->elems[i].offset = RD_KAFKA_OFFSET_END;
    }
    take_error(m, rd_kafka_incremental_assign(m->rk, list), "taking partitions");
    (void)rd_kafka_pause_partitions(m->rk, list);
}

static void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *list, void *opaque)
{
    struct kafka_member *m = kafka_client_ctx(opaque);
    if (m->closing && m->answered) {
        return;
    }
    m->answered = m->closing;
    int32_t *numbers = xcalloc((size_t)list->cnt + 1, sizeof(*numbers));
    size_t count = numbers_of(list, numbers);
    if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        assign(m, list);
        if (m->events != NULL) {
            m->events->assigned(m->events->ctx, numbers, count);
        }
    } else {
        if (m->events != NULL) {
            m->events->revoked(m->events->ctx, numbers, count, rd_kafka_assignment_lost(rk));
        }
        take_error(m, rd_kafka_incremental_unassign(rk, list), "giving partitions back");
    }
    free(numbers);
}

/* ---- life */

static enum err_class join(struct kafka_member *m, struct err *err)
{
    struct kafka_callbacks callbacks = {.rebalance = on_rebalance, .ctx = m};
    const struct kafka_setting settings[] = {
        {"group.id", m->group},
        {"partition.assignment.strategy", "cooperative-sticky"},
        {"queued.min.messages", "1"},
        {"queued.max.messages.kbytes", "1"},
        {"fetch.message.max.bytes", "1024"},
        {"group.instance.id", m->instance == NULL ? "" : m->instance}, /* the last: may be left out */
    };
    size_t count = sizeof(settings) / sizeof(*settings) - (m->instance == NULL);
    enum err_class cls = kafka_client_new(m->kafka, RD_KAFKA_CONSUMER, settings, count, &callbacks, &m->client, err);
    if (cls != ERR_NONE) {
        return cls;
    }
    m->rk = kafka_client_handle(m->client);
    m->joins++;
    rd_kafka_poll_set_consumer(m->rk);
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, m->topic, RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t code = rd_kafka_subscribe(m->rk, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR ? ERR_NONE
                                              : kafka_error(m->client, err, code, "joining group \"%s\"", m->group);
}

enum err_class kafka_member_open(const struct kafka_member_options *options, struct kafka_member **ret_member,
                                 struct err *err)
{
    struct kafka_member *m = xcalloc(1, sizeof(*m));
    m->kafka = options->kafka;
    m->topic = str_dup(str_of(options->topic));
    m->group = str_dup(str_of(options->group));
    m->instance = options->instance == NULL ? NULL : str_dup(str_of(options->instance));
    enum err_class cls = join(m, err);
    if (cls != ERR_NONE) {
        kafka_member_close(m);
        return cls;
    }
    *ret_member = m;
    return ERR_NONE;
}

/* While it closes, librdkafka takes whatever we answer for giving all back, and ends the group. Where an assignment had
 * not been polled yet, taking it back comes right behind it: an answer to that would be waited for without end. */
static void part(struct kafka_member *m)
{
    m->events = NULL;
    m->closing = true;
    if (m->client != NULL) {
        (void)rd_kafka_consumer_close(m->rk); /* a dynamic one says that it leaves */
        kafka_client_free(TAKE(m->client));
    }
    m->closing = m->answered = false;
}

enum err_class kafka_member_again(struct kafka_member *m, struct err *err)
{
    part(m);
    return join(m, err);
}

int64_t kafka_member_joins(const struct kafka_member *m)
{
    return m->joins;
}

void kafka_member_close(struct kafka_member *m)
{
    if (m == NULL) {
        return;
    }
    part(m);
    free(m->topic);
    free(m->group);
    free(m->instance);
    free(m);
}

/* ---- work */

static enum err_class message_class(struct kafka_member *m, const rd_kafka_message_t *message, struct err *err)
{
    char text[256];
    rd_kafka_resp_err_t code = message->err;
    if (code == RD_KAFKA_RESP_ERR__FATAL) {
        code = rd_kafka_fatal_error(m->rk, text, sizeof(text));
        if (code == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID) {
            return err_set(err, ERR_FATAL, EXIT_FENCED,
                           "another instance joined the group under our name (kafka.instance, or a copy of this data "
                           "directory)");
        }
    }
    enum err_class cls = kafka_error(m->client, err, code, "as a member of the group");
    if (cls == ERR_RETRY) {
        if (code == RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED) {
            diag_warn("kafka", "%s", err->text);
        } else {
            diag_debug("kafka", "%s", err->text);
        }
        *err = (struct err){0};
        return ERR_NONE;
    }
    return cls;
}

enum err_class kafka_member_poll(struct kafka_member *m, const struct kafka_member_events *events, struct err *err)
{
    enum err_class cls = ERR_NONE;
    rd_kafka_message_t *message;
    m->events = events;
    while (cls == ERR_NONE && (message = rd_kafka_consumer_poll(m->rk, 0)) != NULL) {
        if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR && message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            cls = message_class(m, message, err);
        }
        rd_kafka_message_destroy(message);
    }
    m->events = NULL;
    return cls;
}

enum err_class kafka_member_settle(struct kafka_member *m, int64_t wait_us, struct err *err)
{
    rd_kafka_topic_partition_list_t *list = NULL;
    rd_kafka_resp_err_t code = rd_kafka_assignment(m->rk, &list);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR && list->cnt > 0) {
        code = rd_kafka_committed(m->rk, list, (int)(wait_us / US_PER_MS)); /* stable ones only: read_committed */
    }
    for (int i = 0; code == RD_KAFKA_RESP_ERR_NO_ERROR && list != NULL && i < list->cnt; i++) {
        code = list->elems[i].err;
    }
    if (list != NULL) {
        rd_kafka_topic_partition_list_destroy(list);
    }
    return code == RD_KAFKA_RESP_ERR_NO_ERROR ? ERR_NONE
                                              : kafka_error(m->client, err, code, "asking for the group's offsets");
}

void kafka_member_tell(struct kafka_member *m, const struct kafka_progress *list, size_t count)
{
    rd_kafka_topic_partition_list_t *offsets = kafka_progress_list(m->topic, list, count);
    (void)rd_kafka_commit(m->rk, offsets, 1);
    kafka_progress_list_free(offsets);
}

rd_kafka_consumer_group_metadata_t *kafka_member_metadata(struct kafka_member *m)
{
    return rd_kafka_consumer_group_metadata(m->rk);
}

const char *kafka_member_topic(const struct kafka_member *m)
{
    return m->topic;
}
