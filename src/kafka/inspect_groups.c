/* SPDX-License-Identifier: MIT
 *
 * inspect_groups.c - see inspect.h: consumer groups, and what is left for them to read.
 *
 * An end of Kafka's counts the marks of transactions, so a group that has read everything can stand one before it for
 * ever: only looking for a record tells whether it is behind. Where there is one, its time and the newest one's say
 * how far in seconds.
 */
#include "base/clock.h"
#include "kafka/asking.h"
#include "kafka/inspect_private.h"

#include <stdlib.h>

enum { TAIL_STEP = 64, AGAIN_US = 100000 };

/* A coordinator that has just been named is not ready at once. */
static bool ask_again(rd_kafka_resp_err_t code, int64_t until_us)
{
    bool passes = code == RD_KAFKA_RESP_ERR_NOT_COORDINATOR || code == RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE ||
                  code == RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS;
    if (!passes || clock_mono(&clock_real) > until_us) {
        return false;
    }
    clock_real.sleep_us(&clock_real, AGAIN_US);
    return true;
}

/* ---- who there is */

static int by_group(const void *a, const void *b)
{
    return strcmp(((const struct kafka_group_row *)a)->name, ((const struct kafka_group_row *)b)->name);
}

static rd_kafka_resp_err_t groups_read(rd_kafka_event_t *event, struct arena *arena,
                                       const struct kafka_group_row **ret_rows, size_t *ret_count)
{
    size_t count, error_count;
    const rd_kafka_ListConsumerGroups_result_t *result = rd_kafka_event_ListConsumerGroups_result(event);
    const rd_kafka_ConsumerGroupListing_t **list = rd_kafka_ListConsumerGroups_result_valid(result, &count);
    const rd_kafka_error_t **errors = rd_kafka_ListConsumerGroups_result_errors(result, &error_count);
    struct kafka_group_row *rows = arena_alloc(arena, (count + 1) * sizeof(*rows));
    for (size_t i = 0; i < count; i++) {
        rd_kafka_consumer_group_state_t state = rd_kafka_ConsumerGroupListing_state(list[i]);
        rows[i].name = inspect_text(arena, rd_kafka_ConsumerGroupListing_group_id(list[i]));
        rows[i].state = inspect_text(arena, rd_kafka_consumer_group_state_name(state));
    }
    qsort(rows, count, sizeof(*rows), by_group);
    *ret_rows = rows;
    *ret_count = count;
    return error_count > 0 ? rd_kafka_error_code(errors[0]) : RD_KAFKA_RESP_ERR_NO_ERROR;
}

enum err_class kafka_inspect_groups(struct kafka_inspect *i, struct arena *arena,
                                    const struct kafka_group_row **ret_rows, size_t *ret_count, struct err *err)
{
    AUTO(asking) struct asking a = kafka_ask(i->rk, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPS, inspect_wait(i));
    rd_kafka_ListConsumerGroups(i->rk, a.options, a.queue);
    rd_kafka_resp_err_t code = kafka_answer(&a, inspect_wait(i));
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        code = groups_read(a.event, arena, ret_rows, ret_count);
    }
    return code == RD_KAFKA_RESP_ERR_NO_ERROR ? ERR_NONE
                                              : kafka_error(i->client, err, code, "asking for the consumer groups");
}

static struct kafka_member_row member_of(const rd_kafka_MemberDescription_t *m, struct arena *arena)
{
    const rd_kafka_MemberAssignment_t *assignment = rd_kafka_MemberDescription_assignment(m);
    const rd_kafka_topic_partition_list_t *list =
        assignment == NULL ? NULL : rd_kafka_MemberAssignment_partitions(assignment);
    size_t count = list == NULL ? 0 : (size_t)list->cnt;
    const char *instance = rd_kafka_MemberDescription_group_instance_id(m);
    struct kafka_place_row *places = arena_alloc(arena, (count + 1) * sizeof(*places));
    for (size_t i = 0; i < count; i++) {
        places[i].topic = inspect_text(arena, list->elems[i].topic);
        places[i].partition = list->elems[i].partition;
    }
    return (struct kafka_member_row){.id = inspect_text(arena, rd_kafka_MemberDescription_consumer_id(m)),
                                     .client = inspect_text(arena, rd_kafka_MemberDescription_client_id(m)),
                                     .host = inspect_text(arena, rd_kafka_MemberDescription_host(m)),
                                     .instance = instance == NULL ? NULL : inspect_text(arena, instance),
                                     .places = places,
                                     .place_count = count};
}

static const char *coordinator_of(const rd_kafka_ConsumerGroupDescription_t *d, struct arena *arena)
{
    AUTO(buf) struct buf text = {0};
    const rd_kafka_Node_t *node = rd_kafka_ConsumerGroupDescription_coordinator(d);
    if (node == NULL || rd_kafka_Node_host(node) == NULL) {
        return "";
    }
    buf_addf(&text, "%s:%u", rd_kafka_Node_host(node), (unsigned)rd_kafka_Node_port(node));
    return arena_dup(arena, buf_str(&text)).ptr;
}

static rd_kafka_resp_err_t group_read(rd_kafka_event_t *event, struct arena *arena, struct kafka_group *ret_group)
{
    size_t count;
    const rd_kafka_ConsumerGroupDescription_t **list =
        rd_kafka_DescribeConsumerGroups_result_groups(rd_kafka_event_DescribeConsumerGroups_result(event), &count);
    if (count != 1) {
        return RD_KAFKA_RESP_ERR__BAD_MSG;
    }
    const rd_kafka_ConsumerGroupDescription_t *d = list[0];
    const rd_kafka_error_t *error = rd_kafka_ConsumerGroupDescription_error(d);
    rd_kafka_resp_err_t code = error == NULL ? RD_KAFKA_RESP_ERR_NO_ERROR : rd_kafka_error_code(error);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) { /* brokers before 4.0 call a group dead that never was */
        ret_group->exists = false;
        return code == RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND ? RD_KAFKA_RESP_ERR_NO_ERROR : code;
    }
    rd_kafka_consumer_group_state_t state = rd_kafka_ConsumerGroupDescription_state(d);
    size_t member_count = rd_kafka_ConsumerGroupDescription_member_count(d);
    struct kafka_member_row *members = arena_alloc(arena, (member_count + 1) * sizeof(*members));
    for (size_t i = 0; i < member_count; i++) {
        members[i] = member_of(rd_kafka_ConsumerGroupDescription_member(d, i), arena);
    }
    *ret_group =
        (struct kafka_group){.exists = state != RD_KAFKA_CONSUMER_GROUP_STATE_DEAD,
                             .state = inspect_text(arena, rd_kafka_consumer_group_state_name(state)),
                             .assignor = inspect_text(arena, rd_kafka_ConsumerGroupDescription_partition_assignor(d)),
                             .coordinator = coordinator_of(d, arena),
                             .members = members,
                             .member_count = member_count};
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t group_ask(struct kafka_inspect *i, const char *name, struct arena *arena,
                                     struct kafka_group *ret_group)
{
    AUTO(asking) struct asking a = kafka_ask(i->rk, RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS, inspect_wait(i));
    rd_kafka_DescribeConsumerGroups(i->rk, &name, 1, a.options, a.queue);
    rd_kafka_resp_err_t code = kafka_answer(&a, inspect_wait(i));
    return code == RD_KAFKA_RESP_ERR_NO_ERROR ? group_read(a.event, arena, ret_group) : code;
}

enum err_class kafka_inspect_group(struct kafka_inspect *i, const char *name, struct arena *arena,
                                   struct kafka_group *ret_group, struct err *err)
{
    int64_t until_us = clock_mono(&clock_real) + inspect_wait(i);
    struct kafka_group found = {0};
    rd_kafka_resp_err_t code;
    do {
        code = group_ask(i, name, arena, &found);
    } while (ask_again(code, until_us));
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return kafka_error(i->client, err, code, "asking for the consumer group \"%s\"", name);
    }
    *ret_group = found;
    return ERR_NONE;
}

/* ---- what it has committed */

static int by_place(const void *a, const void *b)
{
    const struct kafka_lag_row *x = a, *y = b;
    int order = strcmp(x->topic, y->topic);
    return order ? order : (x->partition > y->partition) - (x->partition < y->partition);
}

static rd_kafka_resp_err_t committed_read(rd_kafka_event_t *event, struct arena *arena, struct kafka_lag_row **ret_rows,
                                          size_t *ret_count)
{
    size_t count, kept = 0;
    const rd_kafka_group_result_t **groups =
        rd_kafka_ListConsumerGroupOffsets_result_groups(rd_kafka_event_ListConsumerGroupOffsets_result(event), &count);
    if (count != 1) {
        return RD_KAFKA_RESP_ERR__BAD_MSG;
    }
    const rd_kafka_error_t *error = rd_kafka_group_result_error(groups[0]);
    const rd_kafka_topic_partition_list_t *list = rd_kafka_group_result_partitions(groups[0]);
    size_t list_count = list == NULL ? 0 : (size_t)list->cnt;
    struct kafka_lag_row *rows = arena_alloc(arena, (list_count + 1) * sizeof(*rows));
    for (size_t i = 0; i < list_count; i++) {
        if (list->elems[i].offset >= 0) {
            rows[kept++] = (struct kafka_lag_row){.topic = inspect_text(arena, list->elems[i].topic),
                                                  .partition = list->elems[i].partition,
                                                  .committed = list->elems[i].offset,
                                                  .end = KAFKA_UNKNOWN,
                                                  .messages = KAFKA_UNKNOWN,
                                                  .first_us = TIME_NONE,
                                                  .newest_us = TIME_NONE};
        }
    }
    qsort(rows, kept, sizeof(*rows), by_place);
    *ret_rows = rows;
    *ret_count = kept;
    rd_kafka_resp_err_t code = error == NULL ? RD_KAFKA_RESP_ERR_NO_ERROR : rd_kafka_error_code(error);
    return code == RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND ? RD_KAFKA_RESP_ERR_NO_ERROR : code;
}

static rd_kafka_resp_err_t committed_ask(struct kafka_inspect *i, const char *group, struct arena *arena,
                                         struct kafka_lag_row **ret_rows, size_t *ret_count)
{
    AUTO(asking) struct asking a = kafka_ask(i->rk, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS, inspect_wait(i));
    rd_kafka_ListConsumerGroupOffsets_t *wanted = rd_kafka_ListConsumerGroupOffsets_new(group, NULL);
    rd_kafka_ListConsumerGroupOffsets(i->rk, &wanted, 1, a.options, a.queue);
    rd_kafka_resp_err_t code = kafka_answer(&a, inspect_wait(i));
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        code = committed_read(a.event, arena, ret_rows, ret_count);
    }
    rd_kafka_ListConsumerGroupOffsets_destroy(wanted);
    return code;
}

static enum err_class committed_find(struct kafka_inspect *i, const char *group, struct arena *arena,
                                     struct kafka_lag_row **ret_rows, size_t *ret_count, struct err *err)
{
    int64_t until_us = clock_mono(&clock_real) + inspect_wait(i);
    rd_kafka_resp_err_t code;
    do {
        code = committed_ask(i, group, arena, ret_rows, ret_count);
    } while (ask_again(code, until_us));
    return code == RD_KAFKA_RESP_ERR_NO_ERROR
               ? ERR_NONE
               : kafka_error(i->client, err, code, "asking for what group \"%s\" has committed", group);
}

/* ---- how far that is behind */

static int64_t time_of(const rd_kafka_message_t *m)
{
    rd_kafka_timestamp_type_t type;
    int64_t ms = rd_kafka_message_timestamp(m, &type);
    return type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE || ms < 0 ? TIME_NONE : ms * US_PER_MS;
}

/* Reads on to the end; *ret_newest is changed if there is anything. */
static enum err_class read_on(struct kafka_inspect *i, struct kafka_feed *feed, int64_t from, bool *ret_any,
                              int64_t *ret_newest_us, struct err *err)
{
    for (;;) {
        struct kafka_page page;
        enum err_class cls = kafka_feed_read(feed, from, 0, KAFKA_PAGE_MAX, inspect_wait(i), &page, err);
        if (cls != ERR_NONE || page.count == 0) {
            return cls;
        }
        *ret_any = true;
        *ret_newest_us = time_of(page.messages[page.count - 1]);
        from = page.messages[page.count - 1]->offset + 1;
    }
}

/* The last record, which may stand far before the end: marks and what was aborted are in between. */
static enum err_class newest_find(struct kafka_inspect *i, struct kafka_feed *feed, int64_t from, int64_t end,
                                  int64_t *ret_newest_us, struct err *err)
{
    bool any = false;
    enum err_class cls = ERR_NONE;
    for (int64_t step = TAIL_STEP, at = end; !any && cls == ERR_NONE && at > from; step *= 8) {
        at = end - step > from ? end - step : from;
        cls = read_on(i, feed, at, &any, ret_newest_us, err);
    }
    return cls;
}

static enum err_class lag_find(struct kafka_inspect *i, struct kafka_consumer *consumer, struct kafka_lag_row *row,
                               int64_t head, struct err *err)
{
    struct kafka_page page;
    int64_t from = row->committed > head ? row->committed : head;
    row->messages = 0;
    if (from >= row->end) {
        return ERR_NONE;
    }
    struct kafka_feed *feed = kafka_feed_new(consumer, row->topic, row->partition);
    enum err_class cls = kafka_feed_read(feed, from, 0, TAIL_STEP, inspect_wait(i), &page, err);
    if (cls == ERR_NONE && page.count > 0) {
        int64_t next = page.messages[page.count - 1]->offset + 1;
        row->messages = row->end - from;
        row->first_us = time_of(page.messages[0]);
        row->newest_us = time_of(page.messages[page.count - 1]);
        cls = newest_find(i, feed, next, row->end, &row->newest_us, err);
    }
    kafka_feed_free(feed);
    return cls;
}

/* What cannot be looked at before all of it must end is not known: the rest is. */
static enum err_class lag_find_or_leave(struct kafka_inspect *i, struct kafka_consumer *consumer,
                                        struct kafka_lag_row *row, int64_t head, struct err *err)
{
    struct err own = {0};
    enum err_class cls = lag_find(i, consumer, row, head, &own);
    if (cls == ERR_RETRY && clock_mono(&clock_real) >= i->until_us) {
        row->messages = KAFKA_UNKNOWN;
        row->first_us = row->newest_us = TIME_NONE;
        return ERR_NONE;
    }
    if (cls != ERR_NONE && err != NULL) {
        *err = own;
    }
    return cls;
}

static bool has_leader(const struct kafka_cluster *cluster, const char *topic, int32_t partition)
{
    for (size_t i = 0; i < cluster->topic_count; i++) {
        const struct kafka_topic_row *t = &cluster->topics[i];
        if (strcmp(t->name, topic) == 0) {
            return partition >= 0 && (size_t)partition < t->partition_count &&
                   t->partitions[partition].leader != KAFKA_NOBODY;
        }
    }
    return false;
}

/* What has an end; `of` says whose a span is. */
static enum err_class ends_find(struct kafka_inspect *i, const struct kafka_lag_row *rows, size_t count,
                                struct kafka_span *spans, size_t *of, size_t *ret_count, struct err *err)
{
    AUTO(arena) struct arena arena = {0};
    struct kafka_cluster cluster;
    size_t n = 0;
    enum err_class cls = kafka_inspect_cluster(i, &arena, &cluster, err);
    for (size_t r = 0; r < count && cls == ERR_NONE; r++) {
        if (has_leader(&cluster, rows[r].topic, rows[r].partition)) {
            of[n] = r;
            spans[n++] = (struct kafka_span){.topic = rows[r].topic, .partition = rows[r].partition};
        }
    }
    *ret_count = n;
    return cls ? cls : kafka_inspect_spans(i, spans, n, err);
}

static enum err_class lags_find(struct kafka_inspect *i, struct kafka_consumer *consumer, struct kafka_lag_row *rows,
                                size_t count, struct err *err)
{
    AUTO_FREE struct kafka_span *spans = xcalloc(count + 1, sizeof(*spans));
    AUTO_FREE size_t *of = xcalloc(count + 1, sizeof(*of));
    size_t n = 0;
    enum err_class cls = ends_find(i, rows, count, spans, of, &n, err);
    for (size_t s = 0; s < n && cls == ERR_NONE && clock_mono(&clock_real) < i->until_us; s++) {
        if (spans[s].end != KAFKA_UNKNOWN) {
            rows[of[s]].end = spans[s].end;
            cls = lag_find_or_leave(i, consumer, &rows[of[s]], spans[s].head, err);
        }
    }
    return cls;
}

/* All of it by a client of its own, whose group.id is set. Without one librdkafka (2.15.1, too) falls over a null
 * pointer when a coordinator answers that it is not ready, as in a cluster that had no group before; and what reads has
 * to know the topics, or it waits a second for them. */
enum err_class kafka_inspect_lag(struct kafka_inspect *i, const char *group, struct arena *arena,
                                 const struct kafka_lag_row **ret_rows, size_t *ret_count, struct err *err)
{
    /* Single records are wanted, and to hear soon that there is none. */
    static const struct kafka_setting settings[] = {{"fetch.wait.max.ms", "10"}, {"fetch.message.max.bytes", "65536"}};
    struct kafka_consumer *consumer;
    struct kafka_lag_row *rows = NULL;
    size_t count = 0;
    enum err_class cls =
        kafka_consumer_open(i->options, settings, sizeof(settings) / sizeof(*settings), NULL, &consumer, err);
    if (cls != ERR_NONE) {
        return cls;
    }
    struct kafka_inspect own = {i->options, i->wait_us, i->until_us, kafka_consumer_client(consumer), NULL};
    own.rk = kafka_client_handle(own.client);
    cls = committed_find(&own, group, arena, &rows, &count, err);
    cls = cls || count == 0 ? cls : lags_find(&own, consumer, rows, count, err);
    if (cls == ERR_NONE) {
        *ret_rows = rows;
        *ret_count = count;
    }
    kafka_consumer_close(consumer);
    return cls;
}
