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
    char *topic;
    bool is_static;
    const struct kafka_member_events *events; /* of the poll that is running */
};

enum { LEAVE_US = 2000000, LEAVE_SLICE_MS = 50 };

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

enum err_class kafka_member_open(const struct kafka_member_options *options, struct kafka_member **ret_member,
                                 struct err *err)
{
    struct kafka_member *m = xcalloc(1, sizeof(*m));
    struct kafka_callbacks callbacks = {.rebalance = on_rebalance, .ctx = m};
    const struct kafka_setting settings[] = {
        {"group.id", options->group},
        {"partition.assignment.strategy", "cooperative-sticky"},
        {"queued.min.messages", "1"},
        {"queued.max.messages.kbytes", "1"},
        {"fetch.message.max.bytes", "1024"},
        {"group.instance.id", options->instance == NULL ? "" : options->instance}, /* the last: may be left out */
    };
    size_t count = sizeof(settings) / sizeof(*settings) - (options->instance == NULL);
    enum err_class cls =
        kafka_client_new(options->kafka, RD_KAFKA_CONSUMER, settings, count, &callbacks, &m->client, err);
    if (cls != ERR_NONE) {
        free(m);
        return cls;
    }
    m->rk = kafka_client_handle(m->client);
    m->topic = str_dup(str_of(options->topic));
    m->is_static = options->instance != NULL;
    rd_kafka_poll_set_consumer(m->rk);
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, options->topic, RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t code = rd_kafka_subscribe(m->rk, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        cls = kafka_error(m->client, err, code, "joining group \"%s\"", options->group);
        kafka_member_close(m);
        return cls;
    }
    *ret_member = m;
    return ERR_NONE;
}

/* Until nothing is assigned, and nothing waits to be told. */
static void leave(struct kafka_member *m)
{
    int64_t until_us = clock_mono(&clock_real) + LEAVE_US;
    bool quiet = false;
    (void)rd_kafka_unsubscribe(m->rk);
    while (!quiet && clock_mono(&clock_real) < until_us) {
        rd_kafka_topic_partition_list_t *list = NULL;
        rd_kafka_message_t *message = rd_kafka_consumer_poll(m->rk, LEAVE_SLICE_MS);
        if (message != NULL) {
            rd_kafka_message_destroy(message);
        }
        quiet = message == NULL && rd_kafka_assignment(m->rk, &list) == RD_KAFKA_RESP_ERR_NO_ERROR && list->cnt == 0;
        if (list != NULL) {
            rd_kafka_topic_partition_list_destroy(list);
        }
    }
    (void)rd_kafka_consumer_close(m->rk); /* says that it leaves */
}

/* An assignment that comes while librdkafka closes a consumer never ends: the thread that would answer to our taking it
 * has ended the group already. So a static member, which says nothing when it goes, is not closed but destroyed; a
 * dynamic one is not closed before nothing can be assigned to it any more. */
void kafka_member_close(struct kafka_member *m)
{
    if (m == NULL) {
        return;
    }
    m->events = NULL;
    if (!m->is_static) {
        leave(m);
    }
    kafka_client_free(m->client);
    free(m->topic);
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
