/* SPDX-License-Identifier: MIT
 *
 * kafka_dead.c - dead letters of a journal on Kafka: topic TOPIC.dead, one partition. The value is the original bytes,
 * the timestamp their arrival; headers say the rest: stage, reason, detail, position, arrival_us, stream_us.
 */
#include "journal/kafka.h"

#include <stdio.h>

static struct str number_text(int64_t number, char *out, size_t size)
{
    if (number == TIME_NONE) {
        return STR("none");
    }
    snprintf(out, size, "%lld", (long long)number);
    return str_of(out);
}

enum err_class kafka_dead_put(struct kafka_journal *j, const struct dead_letter *d, int64_t deadline_us,
                              struct err *err)
{
    char arrival[32], stream[32];
    const struct kafka_header headers[] = {
        {"stage", str_of(d->stage)},
        {"reason", str_of(d->reason)},
        {"detail", d->detail},
        {"position", d->position},
        {"arrival_us", number_text(d->arrival_us, arrival, sizeof(arrival))},
        {"stream_us", number_text(d->stream_us, stream, sizeof(stream))},
    };
    struct kafka_record r = {.topic = j->place.dead_topic,
                             .value = {d->bytes.ptr == NULL ? "" : d->bytes.ptr, d->bytes.len},
                             .timestamp_ms = d->arrival_us == TIME_NONE ? 0 : d->arrival_us / US_PER_MS,
                             .headers = headers,
                             .header_count = sizeof(headers) / sizeof(*headers)};
    return kafka_writer_add(j->writer, &r, deadline_us, err);
}

static struct str text_header(const rd_kafka_message_t *m, const char *name, struct arena *arena)
{
    struct str value = {"", 0};
    (void)kafka_message_header(m, name, &value);
    return arena_dup(arena, value);
}

static int64_t time_header(const rd_kafka_message_t *m, const char *name)
{
    struct str value;
    int64_t number;
    return kafka_message_header(m, name, &value) && str_to_int64(value, &number) ? number : TIME_NONE;
}

enum err_class kafka_dead_each(struct kafka_feed *feed, const struct kafka_state *state, int64_t from_id,
                               bool (*each)(const struct dead_letter *d, void *ctx), void *ctx, struct err *err)
{
    AUTO(arena) struct arena arena = {0};
    int64_t from = from_id > 0 ? from_id - 1 : 0;
    for (;;) {
        struct kafka_page page;
        enum err_class cls = kafka_feed_read(feed, from, 0, KAFKA_PAGE_MAX, KAFKA_WAIT_US, &page, err);
        if (cls != ERR_NONE || page.count == 0) {
            return cls;
        }
        for (size_t i = 0; i < page.count; i++) {
            const rd_kafka_message_t *m = page.messages[i];
            arena_reset(&arena);
            struct dead_letter d = {.id = m->offset + 1,
                                    .stage = text_header(m, "stage", &arena).ptr,
                                    .reason = text_header(m, "reason", &arena).ptr,
                                    .detail = text_header(m, "detail", &arena),
                                    .position = text_header(m, "position", &arena),
                                    .arrival_us = time_header(m, "arrival_us"),
                                    .stream_us = time_header(m, "stream_us"),
                                    .retried_us = kafka_state_retried(state, m->offset + 1),
                                    .bytes = str_n(m->payload, m->len)};
            from = m->offset + 1;
            if (!each(&d, ctx)) {
                return ERR_NONE;
            }
        }
    }
}
