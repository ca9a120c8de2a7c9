/* SPDX-License-Identifier: MIT
 *
 * feed.c - see feed.h. Each partition has a queue of its own, so that nobody who reads one waits behind another; the
 * assignment is made by hand, partition by partition, and there is no group to be a member of.
 */
#include "kafka/feed.h"

#include "base/clock.h"

#include <stdlib.h>

enum { POLL_MS = 100, GATHER_MS = 10, NOWHERE = -1 };

struct kafka_consumer {
    struct kafka_client *client;
    rd_kafka_t *rk; /* of the client */
    struct kafka_news news;
};

struct kafka_feed {
    struct kafka_consumer *consumer;
    char *topic;
    int32_t partition;
    rd_kafka_queue_t *queue; /* NULL: not assigned */
    int64_t next;            /* behind the last record given, or where it was told to begin; NOWHERE: not assigned */
    int64_t base;            /* where the log began when it was found that `next` is before that, else 0 */
    int64_t head, end;       /* as the broker said last; NOWHERE: not asked yet */
    int64_t marks_end;       /* where the consumer was when it said so */
    bool at_end;             /* nothing committed at or after `next`, when it was looked last */
    bool torn;               /* what came behind an error was dropped: it has to be fetched anew */
    rd_kafka_message_t *messages[KAFKA_PAGE_MAX];
    size_t count;
};

enum err_class kafka_consumer_open(const struct kafka_options *options, const struct kafka_setting *settings,
                                   size_t setting_count, const struct kafka_news *news,
                                   struct kafka_consumer **ret_consumer, struct err *err)
{
    struct kafka_setting all[16] = {{"group.id", "wikitally"}}; /* librdkafka wants one; nobody joins it */
    ensure(setting_count < 16);
    for (size_t i = 0; i < setting_count; i++) {
        all[i + 1] = settings[i];
    }
    struct kafka_consumer *c = xcalloc(1, sizeof(*c));
    enum err_class cls = kafka_client_new(options, RD_KAFKA_CONSUMER, all, setting_count + 1, NULL, &c->client, err);
    if (cls != ERR_NONE) {
        free(c);
        return cls;
    }
    c->rk = kafka_client_handle(c->client);
    if (news != NULL) {
        c->news = *news;
    }
    *ret_consumer = c;
    return ERR_NONE;
}

void kafka_consumer_close(struct kafka_consumer *c)
{
    if (c != NULL) {
        kafka_client_free(c->client);
        free(c);
    }
}

struct kafka_client *kafka_consumer_client(struct kafka_consumer *c)
{
    return c->client;
}

/* ---- life of a feed */

struct kafka_feed *kafka_feed_new(struct kafka_consumer *c, const char *topic, int32_t partition)
{
    struct kafka_feed *f = xcalloc(1, sizeof(*f));
    f->consumer = c;
    f->topic = str_dup(str_of(topic));
    f->partition = partition;
    f->next = f->head = f->end = NOWHERE;
    return f;
}

static void messages_drop(struct kafka_feed *f)
{
    for (size_t i = 0; i < f->count; i++) {
        rd_kafka_message_destroy(f->messages[i]);
    }
    f->count = 0;
}

static rd_kafka_topic_partition_list_t *list_of(const struct kafka_feed *f, int64_t offset)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, f->topic, f->partition)->offset = offset;
    return list;
}

void kafka_feed_rest(struct kafka_feed *f)
{
    messages_drop(f);
    f->next = NOWHERE;
    f->at_end = f->torn = false;
    if (f->queue == NULL) {
        return;
    }
    rd_kafka_queue_cb_event_enable(f->queue, NULL, NULL);
    rd_kafka_topic_partition_list_t *list = list_of(f, RD_KAFKA_OFFSET_INVALID);
    rd_kafka_error_t *error = rd_kafka_incremental_unassign(f->consumer->rk, list);
    if (error != NULL) {
        rd_kafka_error_destroy(error);
    }
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_queue_destroy(TAKE(f->queue));
}

void kafka_feed_rest_if_ahead(struct kafka_feed *f)
{
    if (f->queue != NULL && !f->at_end && rd_kafka_queue_length(f->queue) > 0) {
        kafka_feed_rest(f);
    }
}

void kafka_feed_free(struct kafka_feed *f)
{
    if (f != NULL) {
        kafka_feed_rest(f);
        free(f->topic);
        free(f);
    }
}

static void on_news(rd_kafka_t *rk, void *ctx)
{
    const struct kafka_consumer *c = ctx;
    (void)rk;
    c->news.call(c->news.ctx);
}

/* The queue is taken off the consumer's own before the assignment: that stays so (an application's wish). */
static enum err_class begin_at(struct kafka_feed *f, int64_t from, struct err *err)
{
    struct kafka_consumer *c = f->consumer;
    kafka_feed_rest(f);
    f->queue = rd_kafka_queue_get_partition(c->rk, f->topic, f->partition);
    if (f->queue == NULL) {
        return kafka_error(c->client, err, RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, "reading topic \"%s\"", f->topic);
    }
    rd_kafka_queue_forward(f->queue, NULL);
    if (c->news.call != NULL) {
        rd_kafka_queue_cb_event_enable(f->queue, on_news, c);
    }
    rd_kafka_topic_partition_list_t *list = list_of(f, from);
    rd_kafka_error_t *error = rd_kafka_incremental_assign(c->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (error != NULL) {
        enum err_class cls = kafka_error(c->client, err, rd_kafka_error_code(error), "reading topic \"%s\"", f->topic);
        rd_kafka_error_destroy(error);
        return cls;
    }
    f->next = from;
    return ERR_NONE;
}

/* ---- reading */

bool kafka_feed_reaches(const struct kafka_feed *f, int64_t known_end)
{
    return f->at_end && (f->next >= known_end || f->marks_end >= known_end);
}

/* `next` is outside of what the log has. */
static enum err_class out_of_range(struct kafka_feed *f, int64_t wait_us, struct err *err)
{
    int64_t head = 0, end = 0, next = f->next;
    enum err_class cls = kafka_feed_bounds(f, true, wait_us, &head, &end, err);
    if (cls != ERR_NONE) {
        return cls;
    }
    if (next < head) {
        cls = begin_at(f, head, err);
        f->base = head;
        return cls;
    }
    kafka_feed_rest(f);
    f->next = next;
    f->at_end = true;
    return ERR_NONE;
}

static bool is_out_of_range(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET || code == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE;
}

/* What a queue gave behind what was kept before: keeps the records, looks at what else it says. */
static rd_kafka_resp_err_t sort_out(struct kafka_feed *f, size_t given)
{
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
    size_t kept = f->count;
    for (size_t i = f->count; i < f->count + given; i++) {
        rd_kafka_message_t *m = f->messages[i];
        if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR && code == RD_KAFKA_RESP_ERR_NO_ERROR && m->offset >= f->next) {
            f->at_end = false;
            f->next = m->offset + 1;
            f->messages[kept++] = m;
            continue;
        }
        if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            f->at_end = true;
            f->marks_end = m->offset;
        }
        bool bad = m->err != RD_KAFKA_RESP_ERR_NO_ERROR && m->err != RD_KAFKA_RESP_ERR__PARTITION_EOF;
        code = bad && code == RD_KAFKA_RESP_ERR_NO_ERROR ? m->err : code;
        rd_kafka_message_destroy(m);
    }
    f->count = kept;
    f->torn = code != RD_KAFKA_RESP_ERR_NO_ERROR;
    return code;
}

static rd_kafka_resp_err_t take(struct kafka_feed *f, size_t max, int timeout_ms)
{
    ssize_t given = rd_kafka_consume_batch_queue(f->queue, timeout_ms, f->messages + f->count, max - f->count);
    return sort_out(f, given > 0 ? (size_t)given : 0);
}

/* Whoever asks for many gets many while the broker has them: else a reader that is faster than the fetches takes
 * crumbs. */
static rd_kafka_resp_err_t take_page(struct kafka_feed *f, size_t max, int timeout_ms)
{
    rd_kafka_resp_err_t code = take(f, max, timeout_ms);
    bool more = f->count > 0 && f->count < max && f->next < f->end && !f->at_end;
    return more && code == RD_KAFKA_RESP_ERR_NO_ERROR ? take(f, max, GATHER_MS) : code;
}

static enum err_class read_error(struct kafka_feed *f, rd_kafka_resp_err_t code, struct err *err)
{
    enum err_class cls =
        kafka_error(f->consumer->client, err, code, "reading topic \"%s\" partition %d", f->topic, (int)f->partition);
    kafka_feed_rest(f);
    return cls;
}

enum err_class kafka_feed_read(struct kafka_feed *f, int64_t from, int64_t known_end, size_t max, int64_t wait_us,
                               struct kafka_page *ret_page, struct err *err)
{
    int64_t until_us = clock_mono(&clock_real) + wait_us;
    bool again = f->next == from && !f->torn && (f->queue != NULL || f->at_end);
    enum err_class cls = ERR_NONE;
    known_end = known_end > f->end ? known_end : f->end; /* the broker said so, maybe after it said EOF */
    messages_drop(f);
    if (!again || f->queue == NULL) {
        f->base = 0;
        cls = begin_at(f, from, err);
    }
    max = max < KAFKA_PAGE_MAX ? max : KAFKA_PAGE_MAX;
    for (int timeout_ms = 0; cls == ERR_NONE; timeout_ms = POLL_MS) {
        rd_kafka_poll(f->consumer->rk, 0); /* errors of the connection */
        rd_kafka_resp_err_t code = take_page(f, max, timeout_ms);
        bool end = kafka_feed_reaches(f, known_end);
        if (f->count > 0 || (end && code == RD_KAFKA_RESP_ERR_NO_ERROR)) {
            break;
        }
        if (is_out_of_range(code)) {
            cls = out_of_range(f, wait_us, err);
            if (cls == ERR_NONE && f->at_end) {
                break;
            }
        } else if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
            return read_error(f, code, err);
        } else if (clock_mono(&clock_real) > until_us) {
            return read_error(f, RD_KAFKA_RESP_ERR__TIMED_OUT, err);
        }
    }
    *ret_page = (struct kafka_page){f->messages, f->count, from < f->base ? f->base : from};
    return cls;
}

/* ---- bounds */

enum err_class kafka_feed_bounds(struct kafka_feed *f, bool fresh, int64_t wait_us, int64_t *ret_head, int64_t *ret_end,
                                 struct err *err)
{
    if (fresh || f->head == NOWHERE) {
        rd_kafka_resp_err_t code = rd_kafka_query_watermark_offsets(f->consumer->rk, f->topic, f->partition, &f->head,
                                                                    &f->end, (int)(wait_us / US_PER_MS));
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
            f->head = f->end = NOWHERE;
            return kafka_error(f->consumer->client, err, code, "asking for the ends of topic \"%s\" partition %d",
                               f->topic, (int)f->partition);
        }
    }
    int64_t end = f->next > f->end ? f->next : f->end;
    bool only_marks = f->at_end && f->end <= f->marks_end;
    end = only_marks ? f->next : end;
    *ret_head = f->head;
    *ret_end = end > f->head ? end : f->head;
    return ERR_NONE;
}

int64_t kafka_feed_standing(const struct kafka_feed *f, int64_t position)
{
    return f->at_end && f->next == position && f->marks_end > position ? f->marks_end : position;
}

enum err_class kafka_feed_seek_time(struct kafka_feed *f, int64_t at_ms, int64_t wait_us, int64_t *ret_offset,
                                    struct err *err)
{
    rd_kafka_topic_partition_list_t *list = list_of(f, at_ms);
    rd_kafka_resp_err_t code = rd_kafka_offsets_for_times(f->consumer->rk, list, (int)(wait_us / US_PER_MS));
    code = code == RD_KAFKA_RESP_ERR_NO_ERROR ? list->elems[0].err : code;
    int64_t offset = list->elems[0].offset, head;
    rd_kafka_topic_partition_list_destroy(list);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return kafka_error(f->consumer->client, err, code, "looking for a time in topic \"%s\"", f->topic);
    }
    *ret_offset = offset;
    return offset >= 0 ? ERR_NONE : kafka_feed_bounds(f, true, wait_us, &head, ret_offset, err);
}
