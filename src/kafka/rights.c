/* SPDX-License-Identifier: MIT
 *
 * rights.c - see rights.h.
 */
#include "kafka/rights.h"

#include "base/clock.h"
#include "kafka/asking.h"

#include <stdio.h>
#include <stdlib.h>

enum { SLICE_MS = 200, PATIENCE_US = 700000 }; /* the first that librdkafka says is not always the clearest */

/* librdkafka forgets the addresses it was given once a broker has named others. If they are of no use, that it speaks
 * of "ssl://HOST:PORT/7" is all there is to see of the answer. */
static bool told_of(struct kafka_client *c, struct kafka_addresses *ret)
{
    char said[256];
    kafka_client_said(c, said, sizeof(said));
    char *begin = strstr(said, "://"), *slash = strstr(said, ": ");
    begin = begin == NULL || (slash != NULL && begin > slash) ? said : begin + 3;
    while (slash != NULL && slash > begin && *slash != '/') {
        slash--;
    }
    if (slash == NULL || slash == begin || slash[1] < '0' || slash[1] > '9') {
        return false;
    }
    *ret = (struct kafka_addresses){.count = 1};
    ret->list[0].id = (int32_t)strtol(slash + 1, NULL, 10);
    snprintf(ret->list[0].text, sizeof(ret->list[0].text), "%.*s", (int)(slash - begin), begin);
    return true;
}

enum err_class kafka_addresses_ask(struct kafka_client *c, int64_t wait_us, struct kafka_addresses *ret_addresses,
                                   struct err *err)
{
    const struct rd_kafka_metadata *metadata = NULL;
    struct kafka_addresses found = {0};
    int64_t begun_us = clock_mono(&clock_real);
    rd_kafka_resp_err_t code;
    while ((code = rd_kafka_metadata(kafka_client_handle(c), 0, NULL, &metadata, SLICE_MS)) != 0) {
        int64_t waited_us = clock_mono(&clock_real) - begun_us;
        bool explained = kafka_client_cause(c, RD_KAFKA_RESP_ERR__TIMED_OUT) != NULL;
        if (waited_us > wait_us || (explained && waited_us > PATIENCE_US)) {
            if (told_of(c, ret_addresses)) {
                return ERR_NONE;
            }
            return kafka_error(c, err, code, "asking for the brokers");
        }
        if (code != RD_KAFKA_RESP_ERR__TIMED_OUT) {
            clock_real.sleep_us(&clock_real, SLICE_MS * US_PER_MS);
        }
    }
    found.brokers = (size_t)metadata->broker_cnt;
    for (size_t i = 0; i < found.brokers && i < KAFKA_ADDRESSES_MAX; i++) {
        const struct rd_kafka_metadata_broker *b = &metadata->brokers[i];
        struct kafka_address *a = &found.list[found.count++];
        a->id = b->id;
        snprintf(a->text, sizeof(a->text), strchr(b->host, ':') == NULL ? "%s:%d" : "[%s]:%d", b->host, b->port);
    }
    rd_kafka_metadata_destroy(metadata);
    *ret_addresses = found;
    return ERR_NONE;
}

#if RD_KAFKA_VERSION >= 0x020300ff
static int right_of(rd_kafka_AclOperation_t operation)
{
    switch ((int)operation) {
    case RD_KAFKA_ACL_OPERATION_READ:
        return KAFKA_MAY_READ;
    case RD_KAFKA_ACL_OPERATION_WRITE:
        return KAFKA_MAY_WRITE;
    case RD_KAFKA_ACL_OPERATION_DESCRIBE:
        return KAFKA_MAY_DESCRIBE;
    case RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS:
        return KAFKA_MAY_DESCRIBE_CONFIGS;
    default:
        return 0;
    }
}

static int rights_of(const rd_kafka_AclOperation_t *operations, size_t count)
{
    int may = 0;
    for (size_t i = 0; i < count; i++) {
        may |= right_of(operations[i]);
    }
    return may;
}

static void ask_for_rights(struct asking *a)
{
    rd_kafka_error_t *refused = rd_kafka_AdminOptions_set_include_authorized_operations(a->options, 1);
    if (refused != NULL) {
        rd_kafka_error_destroy(refused);
    }
}

static rd_kafka_resp_err_t rights_read(rd_kafka_event_t *event, int *ret_may)
{
    size_t count;
    const rd_kafka_TopicDescription_t **topics =
        rd_kafka_DescribeTopics_result_topics(rd_kafka_event_DescribeTopics_result(event), &count);
    if (count != 1) {
        return RD_KAFKA_RESP_ERR__BAD_MSG;
    }
    const rd_kafka_error_t *error = rd_kafka_TopicDescription_error(topics[0]);
    if (error != NULL && rd_kafka_error_code(error) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return rd_kafka_error_code(error);
    }
    const rd_kafka_AclOperation_t *operations = rd_kafka_TopicDescription_authorized_operations(topics[0], &count);
    *ret_may = rights_of(operations, count);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

enum err_class kafka_topic_rights(struct kafka_client *c, const char *name, int64_t wait_us, bool *ret_known,
                                  int *ret_may, struct err *err)
{
    rd_kafka_t *rk = kafka_client_handle(c);
    AUTO(asking) struct asking a = kafka_ask(rk, RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, wait_us);
    rd_kafka_TopicCollection_t *topics = rd_kafka_TopicCollection_of_topic_names(&name, 1);
    ask_for_rights(&a);
    rd_kafka_DescribeTopics(rk, topics, a.options, a.queue);
    rd_kafka_TopicCollection_destroy(topics);
    int may = 0;
    rd_kafka_resp_err_t code = kafka_answer(&a, wait_us);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        code = rights_read(a.event, &may);
    }
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return kafka_error(c, err, code, "asking for the rights in topic \"%s\"", name);
    }
    *ret_known = true;
    *ret_may = may;
    return ERR_NONE;
}

enum err_class kafka_group_rights(struct kafka_client *c, const char *group, int64_t wait_us, bool *ret_known,
                                  int *ret_may, struct err *err)
{
    rd_kafka_t *rk = kafka_client_handle(c);
    AUTO(asking) struct asking a = kafka_ask(rk, RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS, wait_us);
    size_t count = 0;
    ask_for_rights(&a);
    rd_kafka_DescribeConsumerGroups(rk, &group, 1, a.options, a.queue);
    rd_kafka_resp_err_t code = kafka_answer(&a, wait_us);
    const rd_kafka_ConsumerGroupDescription_t **groups =
        code == RD_KAFKA_RESP_ERR_NO_ERROR ? rd_kafka_DescribeConsumerGroups_result_groups(
                                                 rd_kafka_event_DescribeConsumerGroups_result(a.event), &count)
                                           : NULL;
    const rd_kafka_error_t *error = count == 1 ? rd_kafka_ConsumerGroupDescription_error(groups[0]) : NULL;
    code = error != NULL ? rd_kafka_error_code(error) : code;
    *ret_known = false;
    *ret_may = 0;
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR && count == 1) {
        const rd_kafka_AclOperation_t *operations =
            rd_kafka_ConsumerGroupDescription_authorized_operations(groups[0], &count);
        *ret_may = rights_of(operations, count);
        *ret_known = true;
    }
    return code == RD_KAFKA_RESP_ERR_NO_ERROR ? ERR_NONE
                                              : kafka_error(c, err, code, "asking for the group \"%s\"", group);
}
#else
enum err_class kafka_group_rights(struct kafka_client *c, const char *group, int64_t wait_us, bool *ret_known,
                                  int *ret_may, struct err *err)
{
    return kafka_topic_rights(c, group, wait_us, ret_known, ret_may, err);
}

enum err_class kafka_topic_rights(struct kafka_client *c, const char *name, int64_t wait_us, bool *ret_known,
                                  int *ret_may, struct err *err)
{
    (void)c, (void)name, (void)wait_us, (void)err;
    *ret_known = false;
    *ret_may = 0;
    return ERR_NONE;
}
#endif

enum err_class kafka_topic_may_make(struct kafka_client *c, const struct kafka_topic_options *options, int64_t wait_us,
                                    struct err *err)
{
    char text[256] = "";
    size_t count = 0;
    rd_kafka_t *rk = kafka_client_handle(c);
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(
        options->name, options->partitions, options->replication > 0 ? options->replication : -1, text, sizeof(text));
    if (topic == NULL) {
        return err_set(err, ERR_REJECT, EXIT_CONFIG, "topic \"%s\": %s", options->name, text);
    }
    AUTO(asking) struct asking a = kafka_ask(rk, RD_KAFKA_ADMIN_OP_CREATETOPICS, wait_us);
    rd_kafka_AdminOptions_set_validate_only(a.options, 1, text, sizeof(text));
    rd_kafka_CreateTopics(rk, &topic, 1, a.options, a.queue);
    rd_kafka_NewTopic_destroy(topic);
    rd_kafka_resp_err_t code = kafka_answer(&a, wait_us);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        const rd_kafka_topic_result_t **topics =
            rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(a.event), &count);
        code = count == 1 ? rd_kafka_topic_result_error(topics[0]) : RD_KAFKA_RESP_ERR__BAD_MSG;
    }
    return code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS
               ? ERR_NONE
               : kafka_error(c, err, code, "trying whether topic \"%s\" could be made", options->name);
}
