/* SPDX-License-Identifier: MIT
 *
 * topic.c - see topic.h.
 */
#include "topics/private.h"

#include "base/clock.h"
#include "journal/journal.h"
#include "kafka/admin.h"
#include "kafka/feed.h"

#include <stdlib.h>

enum { TOPIC_PAGE = 2000, NAME_LETTERS_MAX = 249 };
#define KIND_HEADER "wikitally.kind" /* docs/kafka.md */

struct topic {
    struct topics_place *place;
    const char *name;
    uint32_t partitions;
    struct journal_reader *reader; /* embedded, else NULL; the place's */
    struct kafka_consumer *consumer;
    struct kafka_feed **feeds; /* by partition; NULL: rests */
    struct arena arena;        /* of the page */
};

bool topics_name_can_be(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t n = strlen(name);
    return n > 0 && n <= NAME_LETTERS_MAX && strspn(name, letters) == n && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

/* ---- life */

int64_t topics_wait(const struct topics_place *place)
{
    int64_t left = place->until_us - clock_mono(&clock_real);
    return left >= place->wait_us ? place->wait_us : left > US_PER_MS ? left : US_PER_MS;
}

bool topics_over(const struct topics_place *place)
{
    return clock_mono(&clock_real) >= place->until_us;
}

static enum err_class open_kafka(struct topic *t, bool live, bool *ret_found, struct err *err)
{
    static const struct kafka_setting soon[] = {{"fetch.wait.max.ms", "10"}}; /* to hear that there is no more */
    struct kafka_topic found = {0};
    enum err_class cls = kafka_consumer_open(t->place->kafka, soon, live ? 0 : 1, NULL, &t->consumer, err);
    if (!cls)
        cls = kafka_topic_look(kafka_consumer_client(t->consumer), t->name, topics_wait(t->place), &found, err);
    if (cls)
        return cls;
    t->place->answered = true;
    t->partitions = found.exists ? (uint32_t)found.partitions : 0;
    t->feeds = xcalloc(t->partitions + 1, sizeof(struct kafka_feed *));
    *ret_found = found.exists;
    return ERR_NONE;
}

static enum err_class open_journal(struct topic *t, bool *ret_found, struct err *err)
{
    struct journal_info info = {0};
    t->reader = t->place->journal;
    enum err_class cls = journal_reader_info(t->reader, &info, err);
    t->partitions = info.partitions;
    *ret_found = strcmp(t->name, t->place->journal_topic) == 0;
    return cls;
}

enum err_class topic_open(struct topics_place *place, const char *name, bool live, struct topic **ret_topic,
                          struct err *err)
{
    bool found = false;
    if (!topics_name_can_be(name)) {
        *ret_topic = NULL;
        return ERR_NONE;
    }
    struct topic *t = xcalloc(1, sizeof *t);
    t->place = place;
    t->name = name;
    enum err_class cls = place->kafka ? open_kafka(t, live, &found, err) : open_journal(t, &found, err);
    if (cls || !found)
        topic_close(t);
    if (!cls)
        *ret_topic = found ? t : NULL;
    return cls;
}

void topic_close(struct topic *t)
{
    if (!t)
        return;
    for (uint32_t p = 0; t->feeds && p < t->partitions; p++)
        kafka_feed_free(t->feeds[p]);
    free(t->feeds);
    kafka_consumer_close(t->consumer);
    arena_fini(&t->arena);
    free(t);
}

uint32_t topic_partitions(const struct topic *t)
{
    return t->partitions;
}

void topic_rest(struct topic *t, uint32_t partition)
{
    if (t->feeds)
        kafka_feed_free(TAKE(t->feeds[partition]));
}

/* ---- reading */

static struct kafka_feed *feed_of(struct topic *t, uint32_t p)
{
    if (!t->feeds[p])
        t->feeds[p] = kafka_feed_new(t->consumer, t->name, (int32_t)p);
    return t->feeds[p];
}

enum err_class topic_bounds(struct topic *t, uint32_t p, int64_t *ret_head, int64_t *ret_end, struct err *err)
{
    return t->reader ? journal_reader_bounds(t->reader, p, ret_head, ret_end, err)
                     : kafka_feed_bounds(feed_of(t, p), true, topics_wait(t->place), ret_head, ret_end, err);
}

/* The journal says where to begin to look. */
static enum err_class seek_journal(struct topic *t, uint32_t p, int64_t time_us, int64_t *ret_offset, struct err *err)
{
    int64_t at;
    enum err_class cls = journal_reader_seek_arrival(t->reader, p, time_us, &at, err);
    for (struct topic_page page = {.count = 1}; !cls && page.count > 0;) {
        cls = topic_read(t, p, at, &page, err);
        for (size_t i = 0; !cls && i < page.count; i++) {
            at = page.records[i].offset;
            if (page.records[i].time_us >= time_us) {
                *ret_offset = at;
                return ERR_NONE;
            }
            at++;
        }
    }
    if (!cls)
        *ret_offset = at;
    return cls;
}

enum err_class topic_seek(struct topic *t, uint32_t p, int64_t time_us, int64_t *ret_offset, struct err *err)
{
    if (t->reader)
        return seek_journal(t, p, time_us, ret_offset, err);
    int64_t ms = -floor_div(-time_us, US_PER_MS); /* not before it */
    return kafka_feed_seek_time(feed_of(t, p), ms, topics_wait(t->place), ret_offset, err);
}

static struct str header_of(const rd_kafka_message_t *m, const char *name)
{
    rd_kafka_headers_t *headers;
    const void *value;
    size_t size;
    if (rd_kafka_message_headers(m, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        rd_kafka_header_get_last(headers, name, &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return (struct str){0};
    return str_n(value, size);
}

static int64_t time_of(const rd_kafka_message_t *m)
{
    rd_kafka_timestamp_type_t type;
    int64_t ms = rd_kafka_message_timestamp(m, &type);
    return type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE || ms < 0 || ms > INT64_MAX / US_PER_MS ? TIME_NONE
                                                                                            : ms * US_PER_MS;
}

static enum err_class read_kafka(struct topic *t, uint32_t p, int64_t from, struct topic_page *ret_page,
                                 struct err *err)
{
    struct kafka_page page;
    size_t max = t->place->page ? t->place->page : TOPIC_PAGE;
    enum err_class cls = kafka_feed_read(feed_of(t, p), from, 0, max, topics_wait(t->place), &page, err);
    if (cls)
        return cls;
    struct topic_record *records = arena_alloc(&t->arena, (page.count + 1) * sizeof *records);
    for (size_t i = 0; i < page.count; i++) {
        const rd_kafka_message_t *m = page.messages[i];
        records[i] = (struct topic_record){.offset = m->offset,
                                           .time_us = time_of(m),
                                           .key = str_n(m->key, m->key_len),
                                           .kind = header_of(m, KIND_HEADER),
                                           .value = str_n(m->payload, m->len)};
    }
    *ret_page = (struct topic_page){records, page.count};
    return ERR_NONE;
}

static enum err_class read_journal(struct topic *t, uint32_t p, int64_t from, struct topic_page *ret_page,
                                   struct err *err)
{
    struct journal_page page;
    enum err_class cls = journal_reader_read(t->reader, p, from, TOPIC_PAGE, &t->arena, &page, err);
    if (cls)
        return cls;
    struct topic_record *records = arena_alloc(&t->arena, (page.count + 1) * sizeof *records);
    for (size_t i = 0; i < page.count; i++) {
        const struct record *r = &page.records[i];
        records[i] = (struct topic_record){
            .offset = r->offset, .time_us = r->arrival_us, .value = {r->value.ptr ? r->value.ptr : "", r->value.len}};
    }
    *ret_page = (struct topic_page){records, page.count};
    return ERR_NONE;
}

enum err_class topic_read(struct topic *t, uint32_t p, int64_t from, struct topic_page *ret_page, struct err *err)
{
    arena_reset(&t->arena);
    return t->reader ? read_journal(t, p, from, ret_page, err) : read_kafka(t, p, from, ret_page, err);
}
