/* SPDX-License-Identifier: MIT
 *
 * inspect.c - see inspect.h: the cluster, topics, ends, settings. Groups: inspect_groups.c.
 *
 * The ends come from the admin API's ListOffsets, which librdkafka has since 2.3, and before that from
 * rd_kafka_offsets_for_times: both are one request per leader for any number of partitions. Not
 * rd_kafka_query_watermark_offsets, two requests for each partition. The client has no group.id: with one librdkafka
 * looks for its coordinator, for which a cluster without groups makes the topic __consumer_offsets.
 */
#include "kafka/inspect_private.h"

#include "base/clock.h"
#include "kafka/asking.h"

#include <stdlib.h>

/* ---- life */

enum err_class kafka_inspect_open(const struct kafka_options *options, int64_t wait_us,
                                  struct kafka_inspect **ret_inspect, struct err *err)
{
    struct kafka_inspect *i = xcalloc(1, sizeof(*i));
    i->options = options;
    i->wait_us = wait_us;
    i->until_us = INT64_MAX;
    enum err_class cls = kafka_client_new(options, RD_KAFKA_CONSUMER, NULL, 0, NULL, &i->client, err);
    if (cls != ERR_NONE) {
        free(i);
        return cls;
    }
    i->rk = kafka_client_handle(i->client);
    *ret_inspect = i;
    return ERR_NONE;
}

void kafka_inspect_close(struct kafka_inspect *i)
{
    if (i != NULL) {
        kafka_client_free(i->client);
        free(i);
    }
}

void kafka_inspect_until(struct kafka_inspect *i, int64_t until_us)
{
    i->until_us = until_us;
}

int64_t inspect_wait(const struct kafka_inspect *i)
{
    int64_t left = i->until_us - clock_mono(&clock_real);
    return left >= i->wait_us ? i->wait_us : left > US_PER_MS ? left : US_PER_MS;
}

/* ---- what the metadata says */

const char *inspect_text(struct arena *arena, const char *text)
{
    return arena_dup(arena, str_of(text == NULL ? "" : text)).ptr;
}

static const int32_t *numbers(struct arena *arena, const int32_t *list, int count)
{
    int32_t *copy = arena_alloc(arena, (size_t)count * sizeof(*copy) + 1);
    if (count > 0) {
        memcpy(copy, list, (size_t)count * sizeof(*copy));
    }
    return copy;
}

static int by_number(const void *a, const void *b)
{
    const struct kafka_partition_row *x = a, *y = b;
    return (x->number > y->number) - (x->number < y->number);
}

static int by_id(const void *a, const void *b)
{
    const struct kafka_broker_row *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct kafka_topic_row *)a)->name, ((const struct kafka_topic_row *)b)->name);
}

static bool is_internal(const char *name)
{
    static const char *const names[] = {"__consumer_offsets", "__transaction_state", "__share_group_state"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static struct kafka_topic_row topic_of(const struct rd_kafka_metadata_topic *t, struct arena *arena)
{
    size_t count = t->partition_cnt > 0 ? (size_t)t->partition_cnt : 0;
    struct kafka_partition_row *partitions = arena_alloc(arena, (count + 1) * sizeof(*partitions));
    struct kafka_topic_row row = {.name = inspect_text(arena, t->topic),
                                  .partitions = partitions,
                                  .partition_count = count,
                                  .internal = is_internal(t->topic)};
    for (size_t i = 0; i < count; i++) {
        const struct rd_kafka_metadata_partition *p = &t->partitions[i];
        partitions[i] = (struct kafka_partition_row){.number = p->id,
                                                     .leader = p->leader >= 0 ? p->leader : KAFKA_NOBODY,
                                                     .replicas = numbers(arena, p->replicas, p->replica_cnt),
                                                     .in_sync = numbers(arena, p->isrs, p->isr_cnt),
                                                     .replica_count = (size_t)p->replica_cnt,
                                                     .in_sync_count = (size_t)p->isr_cnt};
        row.under_replicated += p->isr_cnt < p->replica_cnt;
        row.replication = p->replica_cnt > row.replication ? p->replica_cnt : row.replication;
    }
    qsort(partitions, count, sizeof(*partitions), by_number);
    return row;
}

static bool is_missing(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
           code == RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION;
}

enum err_class kafka_inspect_topic(struct kafka_inspect *i, const char *name, struct arena *arena,
                                   struct kafka_topic_row *ret_topic, struct err *err)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(i->rk, name, NULL);
    if (topic == NULL) {
        return kafka_error(i->client, err, rd_kafka_last_error(), "looking at topic \"%s\"", name);
    }
    rd_kafka_resp_err_t code = rd_kafka_metadata(i->rk, 0, topic, &metadata, (int)(inspect_wait(i) / US_PER_MS));
    rd_kafka_topic_destroy(topic);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        const struct rd_kafka_metadata_topic *t = metadata->topics;
        code = metadata->topic_cnt != 1 ? RD_KAFKA_RESP_ERR__BAD_MSG : t->err;
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
            *ret_topic = topic_of(t, arena);
        } else if (is_missing(code)) {
            *ret_topic = (struct kafka_topic_row){.name = inspect_text(arena, name)};
            code = RD_KAFKA_RESP_ERR_NO_ERROR;
        }
        rd_kafka_metadata_destroy(metadata);
    }
    return code == RD_KAFKA_RESP_ERR_NO_ERROR ? ERR_NONE
                                              : kafka_error(i->client, err, code, "looking at topic \"%s\"", name);
}

enum err_class kafka_inspect_cluster(struct kafka_inspect *i, struct arena *arena, struct kafka_cluster *ret_cluster,
                                     struct err *err)
{
    const struct rd_kafka_metadata *metadata;
    int wait_ms = (int)(inspect_wait(i) / US_PER_MS);
    rd_kafka_resp_err_t code = rd_kafka_metadata(i->rk, 1, NULL, &metadata, wait_ms);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return kafka_error(i->client, err, code, "asking for the topics");
    }
    char *id = rd_kafka_clusterid(i->rk, wait_ms); /* known from the same answer */
    struct kafka_topic_row *topics = arena_alloc(arena, ((size_t)metadata->topic_cnt + 1) * sizeof(*topics));
    struct kafka_broker_row *brokers = arena_alloc(arena, ((size_t)metadata->broker_cnt + 1) * sizeof(*brokers));
    size_t count = 0;
    for (int t = 0; t < metadata->topic_cnt; t++) {
        if (metadata->topics[t].err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            topics[count++] = topic_of(&metadata->topics[t], arena);
        }
    }
    for (int b = 0; b < metadata->broker_cnt; b++) {
        brokers[b] = (struct kafka_broker_row){.id = metadata->brokers[b].id,
                                               .host = inspect_text(arena, metadata->brokers[b].host),
                                               .port = metadata->brokers[b].port};
    }
    qsort(brokers, (size_t)metadata->broker_cnt, sizeof(*brokers), by_id);
    qsort(topics, count, sizeof(*topics), by_name);
    *ret_cluster = (struct kafka_cluster){.id = inspect_text(arena, id),
                                          .controller = rd_kafka_controllerid(i->rk, wait_ms),
                                          .brokers = brokers,
                                          .broker_count = (size_t)metadata->broker_cnt,
                                          .topics = topics,
                                          .topic_count = count};
    if (id != NULL) {
        rd_kafka_mem_free(i->rk, id);
    }
    rd_kafka_metadata_destroy(metadata);
    return ERR_NONE;
}

/* ---- ends */

/* Spans come sorted, answers in any order. */
static int by_place(const void *a, const void *b)
{
    const struct kafka_span *x = a, *y = b;
    int order = strcmp(x->topic, y->topic);
    return order ? order : (x->partition > y->partition) - (x->partition < y->partition);
}

struct wanted_ends {
    const struct kafka_span *spans;
    size_t count;
    int64_t which;
    bool committed;
    int64_t wait_us, until_us;
    int64_t *offsets; /* by span; KAFKA_UNKNOWN until an answer comes */
};

static void end_take(struct wanted_ends *w, const rd_kafka_topic_partition_t *p)
{
    const struct kafka_span key = {.topic = p->topic, .partition = p->partition};
    const struct kafka_span *span = bsearch(&key, w->spans, w->count, sizeof(*span), by_place);
    if (span != NULL && p->err == RD_KAFKA_RESP_ERR_NO_ERROR && p->offset >= 0) {
        w->offsets[span - w->spans] = p->offset;
    }
}

static rd_kafka_topic_partition_list_t *ends_list(const struct wanted_ends *w, size_t from, size_t count)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    for (size_t n = from; n < from + count; n++) {
        rd_kafka_topic_partition_list_add(list, w->spans[n].topic, w->spans[n].partition)->offset = w->which;
    }
    return list;
}

#if RD_KAFKA_VERSION >= 0x020300ff
static rd_kafka_resp_err_t ends_ask(rd_kafka_t *rk, struct wanted_ends *w, size_t from, size_t count)
{
    AUTO(asking) struct asking a = kafka_ask(rk, RD_KAFKA_ADMIN_OP_LISTOFFSETS, w->wait_us);
    rd_kafka_topic_partition_list_t *list = ends_list(w, from, count);
    rd_kafka_error_t *error = rd_kafka_AdminOptions_set_isolation_level(
        a.options, w->committed ? RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED : RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED);
    ensure(error == NULL);
    rd_kafka_ListOffsets(rk, list, a.options, a.queue);
    rd_kafka_resp_err_t code = kafka_answer(&a, w->wait_us);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        size_t given;
        const rd_kafka_ListOffsetsResultInfo_t **infos =
            rd_kafka_ListOffsets_result_infos(rd_kafka_event_ListOffsets_result(a.event), &given);
        for (size_t i = 0; i < given; i++) {
            end_take(w, rd_kafka_ListOffsetsResultInfo_topic_partition(infos[i]));
        }
    }
    rd_kafka_topic_partition_list_destroy(list);
    return code;
}
#else
/* The "times" are the protocol's own names for the first and the last offset; isolation is the client's. */
static rd_kafka_resp_err_t ends_request(rd_kafka_t *rk, struct wanted_ends *w, size_t from, size_t count)
{
    rd_kafka_topic_partition_list_t *list = ends_list(w, from, count);
    rd_kafka_resp_err_t code = rd_kafka_offsets_for_times(rk, list, (int)(w->wait_us / US_PER_MS));
    for (int i = 0; i < list->cnt && code == RD_KAFKA_RESP_ERR_NO_ERROR; i++) {
        end_take(w, &list->elems[i]);
    }
    rd_kafka_topic_partition_list_destroy(list);
    return code;
}

static bool is_of_partition(rd_kafka_resp_err_t code)
{
    switch (code) {
    case RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION:
    case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH:
    case RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH:
    case RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        return true;
    default:
        return false;
    }
}

/* One partition that cannot answer lets its whole request fail, and nothing says which one: so by halves. */
static rd_kafka_resp_err_t ends_ask(rd_kafka_t *rk, struct wanted_ends *w, size_t from, size_t count)
{
    rd_kafka_resp_err_t code = ends_request(rk, w, from, count);
    if (!is_of_partition(code)) {
        return code;
    }
    if (count == 1 || clock_mono(&clock_real) > w->until_us) {
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    code = ends_ask(rk, w, from, count / 2);
    return code ? code : ends_ask(rk, w, from + count / 2, count - count / 2);
}
#endif

/* `which`: RD_KAFKA_OFFSET_BEGINNING or RD_KAFKA_OFFSET_END. `committed`: as the client's isolation.level. */
static enum err_class ends_find(const struct kafka_inspect *i, struct kafka_client *c, const struct kafka_span *spans,
                                size_t count, int64_t which, bool committed, int64_t *ret_offsets, struct err *err)
{
    struct wanted_ends w = {
        spans, count, which, committed, inspect_wait(i), clock_mono(&clock_real) + inspect_wait(i), ret_offsets};
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
    for (size_t n = 0; n < count; n++) {
        ret_offsets[n] = KAFKA_UNKNOWN;
        ensure(n == 0 || by_place(&spans[n - 1], &spans[n]) < 0);
    }
    if (count > 0) {
        code = ends_ask(kafka_client_handle(c), &w, 0, count);
    }
    return code == RD_KAFKA_RESP_ERR_NO_ERROR ? ERR_NONE
                                              : kafka_error(c, err, code, "asking for the ends of partitions");
}

enum err_class kafka_inspect_spans(struct kafka_inspect *i, struct kafka_span *spans, size_t count, struct err *err)
{
    AUTO_FREE int64_t *head = xcalloc(count + 1, sizeof(*head));
    AUTO_FREE int64_t *end = xcalloc(count + 1, sizeof(*end));
    enum err_class cls = ends_find(i, i->client, spans, count, RD_KAFKA_OFFSET_BEGINNING, true, head, err);
    cls = cls ? cls : ends_find(i, i->client, spans, count, RD_KAFKA_OFFSET_END, true, end, err);
    for (size_t n = 0; n < count && cls == ERR_NONE; n++) {
        bool known = head[n] >= 0 && end[n] >= 0;
        spans[n].head = known ? head[n] : KAFKA_UNKNOWN;
        spans[n].end = !known ? KAFKA_UNKNOWN : end[n] > head[n] ? end[n] : head[n];
    }
    return cls;
}

static enum err_class high_find(struct kafka_inspect *i, const struct kafka_span *spans, size_t count,
                                int64_t *ret_high, struct err *err)
{
#if RD_KAFKA_VERSION >= 0x020300ff
    return ends_find(i, i->client, spans, count, RD_KAFKA_OFFSET_END, false, ret_high, err);
#else /* isolation is the client's: another one */
    static const struct kafka_setting settings[] = {{"isolation.level", "read_uncommitted"}};
    struct kafka_client *client;
    enum err_class cls = kafka_client_new(i->options, RD_KAFKA_CONSUMER, settings, 1, NULL, &client, err);
    if (cls != ERR_NONE) {
        return cls;
    }
    cls = ends_find(i, client, spans, count, RD_KAFKA_OFFSET_END, false, ret_high, err);
    kafka_client_free(client);
    return cls;
#endif
}

enum err_class kafka_inspect_high(struct kafka_inspect *i, struct kafka_span *spans, size_t count, struct err *err)
{
    AUTO_FREE int64_t *high = xcalloc(count + 1, sizeof(*high));
    enum err_class cls = high_find(i, spans, count, high, err);
    for (size_t n = 0; n < count && cls == ERR_NONE; n++) {
        spans[n].high = high[n];
    }
    return cls;
}

/* ---- settings */

static const char *origin_of(rd_kafka_ConfigSource_t source)
{
    switch (source) {
    case RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG:
        return "topic";
    case RD_KAFKA_CONFIG_SOURCE_DYNAMIC_BROKER_CONFIG:
        return "broker";
    case RD_KAFKA_CONFIG_SOURCE_DYNAMIC_DEFAULT_BROKER_CONFIG:
        return "cluster";
    case RD_KAFKA_CONFIG_SOURCE_STATIC_BROKER_CONFIG:
        return "server.properties";
    default:
        return "unknown";
    }
}

static int by_setting(const void *a, const void *b)
{
    return strcmp(((const struct kafka_setting_row *)a)->name, ((const struct kafka_setting_row *)b)->name);
}

static rd_kafka_resp_err_t settings_read(rd_kafka_event_t *event, struct arena *arena,
                                         const struct kafka_setting_row **ret_rows, size_t *ret_count)
{
    size_t count, entry_count, kept = 0;
    const rd_kafka_ConfigResource_t **resources =
        rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event), &count);
    if (count != 1) {
        return RD_KAFKA_RESP_ERR__BAD_MSG;
    }
    const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(resources[0], &entry_count);
    struct kafka_setting_row *rows = arena_alloc(arena, (entry_count + 1) * sizeof(*rows));
    for (size_t i = 0; i < entry_count; i++) {
        const rd_kafka_ConfigEntry_t *e = entries[i];
        const char *value = rd_kafka_ConfigEntry_value(e);
        if (rd_kafka_ConfigEntry_source(e) != RD_KAFKA_CONFIG_SOURCE_DEFAULT_CONFIG) {
            rows[kept++] = (struct kafka_setting_row){.name = inspect_text(arena, rd_kafka_ConfigEntry_name(e)),
                                                      .value = value == NULL ? NULL : inspect_text(arena, value),
                                                      .origin = origin_of(rd_kafka_ConfigEntry_source(e))};
        }
    }
    qsort(rows, kept, sizeof(*rows), by_setting);
    *ret_rows = rows;
    *ret_count = kept;
    return rd_kafka_ConfigResource_error(resources[0]);
}

enum err_class kafka_inspect_settings(struct kafka_inspect *i, const char *topic, struct arena *arena,
                                      const struct kafka_setting_row **ret_rows, size_t *ret_count, struct err *err)
{
    AUTO(asking) struct asking a = kafka_ask(i->rk, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, inspect_wait(i));
    rd_kafka_ConfigResource_t *resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
    rd_kafka_DescribeConfigs(i->rk, &resource, 1, a.options, a.queue);
    rd_kafka_resp_err_t code = kafka_answer(&a, inspect_wait(i));
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        code = settings_read(a.event, arena, ret_rows, ret_count);
    }
    rd_kafka_ConfigResource_destroy(resource);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR
               ? ERR_NONE
               : kafka_error(i->client, err, code, "reading the settings of topic \"%s\"", topic);
}
