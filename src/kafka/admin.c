/* SPDX-License-Identifier: MIT
 *
 * admin.c - see admin.h.
 */
#include "kafka/admin.h"

#include "base/clock.h"
#include "base/diag.h"
#include "kafka/asking.h"

#include <stdio.h>
#include <stdlib.h>

enum { LOOK_AGAIN_US = 50000 };

enum err_class kafka_topic_look(struct kafka_client *c, const char *name, int64_t wait_us,
                                struct kafka_topic *ret_topic, struct err *err)
{
    rd_kafka_t *rk = kafka_client_handle(c);
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, name, NULL);
    if (topic == NULL) {
        return kafka_error(c, err, rd_kafka_last_error(), "looking at topic \"%s\"", name);
    }
    rd_kafka_resp_err_t code = rd_kafka_metadata(rk, 0, topic, &metadata, (int)(wait_us / US_PER_MS));
    rd_kafka_topic_destroy(topic);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR && metadata->topic_cnt != 1) {
        code = RD_KAFKA_RESP_ERR__BAD_MSG;
    }
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        const struct rd_kafka_metadata_topic *t = &metadata->topics[0];
        struct kafka_topic found = {.exists = t->err == RD_KAFKA_RESP_ERR_NO_ERROR && t->partition_cnt > 0,
                                    .partitions = t->partition_cnt,
                                    .replication = t->partition_cnt > 0 ? t->partitions[0].replica_cnt : 0};
        bool missing = t->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || t->err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
        code = missing ? RD_KAFKA_RESP_ERR_NO_ERROR : t->err;
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
            *ret_topic = found;
        }
    }
    if (metadata != NULL) {
        rd_kafka_metadata_destroy(metadata);
    }
    return code == RD_KAFKA_RESP_ERR_NO_ERROR ? ERR_NONE : kafka_error(c, err, code, "looking at topic \"%s\"", name);
}

/* ---- the admin API: a request, one event */

struct asking kafka_ask(rd_kafka_t *rk, rd_kafka_admin_op_t op, int64_t wait_us)
{
    char text[128];
    struct asking a = {rd_kafka_queue_new(rk), rd_kafka_AdminOptions_new(rk, op), NULL};
    rd_kafka_AdminOptions_set_request_timeout(a.options, (int)(wait_us / US_PER_MS), text, sizeof(text));
    return a;
}

rd_kafka_resp_err_t kafka_answer(struct asking *a, int64_t wait_us)
{
    a->event = rd_kafka_queue_poll(a->queue, (int)(wait_us / US_PER_MS) + 1000);
    return a->event == NULL ? RD_KAFKA_RESP_ERR__TIMED_OUT : rd_kafka_event_error(a->event);
}

void asking_fini(struct asking *a)
{
    if (a->event != NULL) {
        rd_kafka_event_destroy(a->event);
    }
    rd_kafka_AdminOptions_destroy(a->options);
    rd_kafka_queue_destroy(a->queue);
}

static rd_kafka_resp_err_t setting_read(rd_kafka_event_t *event, const char *setting, char *out, size_t size)
{
    size_t count, entry_count;
    const rd_kafka_ConfigResource_t **resources =
        rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event), &count);
    if (count != 1) {
        return RD_KAFKA_RESP_ERR__BAD_MSG;
    }
    if (rd_kafka_ConfigResource_error(resources[0]) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return rd_kafka_ConfigResource_error(resources[0]);
    }
    const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(resources[0], &entry_count);
    for (size_t i = 0; i < entry_count; i++) {
        const char *value = rd_kafka_ConfigEntry_value(entries[i]);
        if (strcmp(rd_kafka_ConfigEntry_name(entries[i]), setting) == 0 && value != NULL) {
            snprintf(out, size, "%s", value);
        }
    }
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

enum err_class kafka_topic_setting(struct kafka_client *c, const char *name, const char *setting, int64_t wait_us,
                                   char *out, size_t size, struct err *err)
{
    rd_kafka_t *rk = kafka_client_handle(c);
    struct asking a = kafka_ask(rk, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, wait_us);
    rd_kafka_ConfigResource_t *resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, name);
    snprintf(out, size, "%s", "");
    rd_kafka_DescribeConfigs(rk, &resource, 1, a.options, a.queue);
    rd_kafka_resp_err_t code = kafka_answer(&a, wait_us);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        code = setting_read(a.event, setting, out, size);
    }
    rd_kafka_ConfigResource_destroy(resource);
    asking_fini(&a);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR ? ERR_NONE
                                              : kafka_error(c, err, code, "reading the settings of topic \"%s\"", name);
}

/* What the broker says for the one topic that was asked for. */
static rd_kafka_resp_err_t made(rd_kafka_event_t *event, char *text, size_t size)
{
    size_t count;
    const rd_kafka_topic_result_t **topics =
        rd_kafka_event_type(event) == RD_KAFKA_EVENT_CREATETOPICS_RESULT
            ? rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count)
            : rd_kafka_CreatePartitions_result_topics(rd_kafka_event_CreatePartitions_result(event), &count);
    if (count != 1) {
        return RD_KAFKA_RESP_ERR__BAD_MSG;
    }
    const char *why = rd_kafka_topic_result_error_string(topics[0]);
    snprintf(text, size, "%s", why == NULL ? "" : why);
    rd_kafka_resp_err_t code = rd_kafka_topic_result_error(topics[0]);
    return code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS ? RD_KAFKA_RESP_ERR_NO_ERROR : code;
}

/* The broker that was asked may not have heard of it yet. */
static enum err_class wait_for_topic(struct kafka_client *c, const char *name, int32_t partitions, int64_t wait_us,
                                     struct kafka_topic *ret_topic, struct err *err)
{
    int64_t until_us = clock_mono(&clock_real) + wait_us;
    for (;;) {
        enum err_class cls = kafka_topic_look(c, name, wait_us, ret_topic, err);
        if (cls != ERR_NONE || (ret_topic->exists && ret_topic->partitions >= partitions)) {
            return cls;
        }
        if (clock_mono(&clock_real) > until_us) {
            return kafka_error(c, err, RD_KAFKA_RESP_ERR__TIMED_OUT, "waiting for the new topic \"%s\"", name);
        }
        clock_real.sleep_us(&clock_real, LOOK_AGAIN_US);
    }
}

enum err_class kafka_topic_make(struct kafka_client *c, const struct kafka_topic_options *options, int64_t wait_us,
                                struct err *err)
{
    char text[256] = "";
    rd_kafka_t *rk = kafka_client_handle(c);
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(
        options->name, options->partitions, options->replication > 0 ? options->replication : -1, text, sizeof(text));
    if (topic == NULL) {
        return err_set(err, ERR_REJECT, EXIT_CONFIG, "topic \"%s\": %s", options->name, text);
    }
    for (size_t i = 0; i < options->setting_count; i++) {
        rd_kafka_NewTopic_set_config(topic, options->settings[i].name, options->settings[i].value);
    }
    struct asking a = kafka_ask(rk, RD_KAFKA_ADMIN_OP_CREATETOPICS, wait_us);
    rd_kafka_CreateTopics(rk, &topic, 1, a.options, a.queue);
    rd_kafka_resp_err_t code = kafka_answer(&a, wait_us);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        code = made(a.event, text, sizeof(text));
    }
    rd_kafka_NewTopic_destroy(topic);
    asking_fini(&a);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return kafka_error(c, err, code, "making topic \"%s\"%s%s", options->name, *text ? ": " : "", text);
    }
    struct kafka_topic found;
    return wait_for_topic(c, options->name, options->partitions, wait_us, &found, err);
}

enum err_class kafka_topic_grow(struct kafka_client *c, const char *name, int32_t partitions, int64_t wait_us,
                                struct kafka_topic *ret_topic, struct err *err)
{
    char text[256] = "";
    rd_kafka_t *rk = kafka_client_handle(c);
    rd_kafka_NewPartitions_t *wanted = rd_kafka_NewPartitions_new(name, (size_t)partitions, text, sizeof(text));
    if (wanted == NULL) {
        return err_set(err, ERR_REJECT, EXIT_CONFIG, "topic \"%s\": %s", name, text);
    }
    struct asking a = kafka_ask(rk, RD_KAFKA_ADMIN_OP_CREATEPARTITIONS, wait_us);
    rd_kafka_CreatePartitions(rk, &wanted, 1, a.options, a.queue);
    rd_kafka_resp_err_t code = kafka_answer(&a, wait_us);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        code = made(a.event, text, sizeof(text));
    }
    rd_kafka_NewPartitions_destroy(wanted);
    asking_fini(&a);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return kafka_error(c, err, code, "adding partitions to topic \"%s\"%s%s", name, *text ? ": " : "", text);
    }
    return wait_for_topic(c, name, partitions, wait_us, ret_topic, err);
}

size_t kafka_answers_take(rd_kafka_queue_t *answers, int64_t wait_us)
{
    size_t taken = 0;
    rd_kafka_event_t *event;
    while ((event = rd_kafka_queue_poll(answers, taken == 0 ? (int)(wait_us / US_PER_MS) : 0)) != NULL) {
        if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR) {
            diag_debug("kafka", "an answer: %s", rd_kafka_event_error_string(event));
        }
        rd_kafka_event_destroy(event);
        taken++;
    }
    return taken;
}

rd_kafka_topic_partition_list_t *kafka_progress_list(const char *topic, const struct kafka_progress *list, size_t count)
{
    rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new((int)count);
    for (size_t i = 0; i < count; i++) {
        rd_kafka_topic_partition_t *p = rd_kafka_topic_partition_list_add(offsets, topic, list[i].partition);
        p->offset = list[i].offset;
        p->metadata_size = strlen(list[i].metadata);
        p->metadata = (void *)(uintptr_t)list[i].metadata;
    }
    return offsets;
}

void kafka_progress_list_free(rd_kafka_topic_partition_list_t *offsets)
{
    for (int i = 0; i < offsets->cnt; i++) { /* the caller's */
        offsets->elems[i].metadata = NULL;
        offsets->elems[i].metadata_size = 0;
    }
    rd_kafka_topic_partition_list_destroy(offsets);
}

void kafka_group_tell(struct kafka_client *c, const char *group, const char *topic, const struct kafka_progress *list,
                      size_t count, rd_kafka_queue_t *answers)
{
    rd_kafka_topic_partition_list_t *offsets = kafka_progress_list(topic, list, count);
    rd_kafka_AlterConsumerGroupOffsets_t *alter = rd_kafka_AlterConsumerGroupOffsets_new(group, offsets);
    rd_kafka_AlterConsumerGroupOffsets(kafka_client_handle(c), &alter, 1, NULL, answers);
    rd_kafka_AlterConsumerGroupOffsets_destroy(alter);
    kafka_progress_list_free(offsets);
}
