/* SPDX-License-Identifier: MIT
 *
 * kafka_load.c - where a task stands, as its state topic says (kafka.h).
 */
#include "sink/kafka.h"

#include <stdio.h>
#include <stdlib.h>

struct kafka_lane *kafka_lane_of(struct kafka_aggregation *a, int64_t generation, uint32_t partition, bool make)
{
    for (size_t i = 0; i < a->lane_count; i++) {
        if (a->lanes[i]->generation == generation && a->lanes[i]->partition == partition) {
            return a->lanes[i];
        }
    }
    if (!make) {
        return NULL;
    }
    struct kafka_lane *lane = xcalloc(1, sizeof(*lane));
    lane->generation = generation;
    lane->partition = partition;
    a->lanes = xrealloc(a->lanes, (a->lane_count + 1) * sizeof(*a->lanes));
    a->lanes[a->lane_count++] = lane;
    return lane;
}

void kafka_lane_set(struct kafka_lane *lane, const struct task_line *line)
{
    struct arena fresh = {0};
    struct task_line copy = task_line_copy(line, &fresh); /* before the old one goes: it may be borrowed from it */
    arena_fini(&lane->memory);
    lane->memory = fresh;
    lane->line = copy;
}

void kafka_generation_set(struct kafka_aggregation *a, const struct generation *g)
{
    while ((int64_t)a->generation_count <= g->number) {
        a->generations = xrealloc(a->generations, (a->generation_count + 1) * sizeof(*a->generations));
        a->generations[a->generation_count++] = (struct generation){.number = -1};
    }
    a->generations[g->number] = generation_copy(g, &a->memory);
}

static void forget(struct kafka_sink *s)
{
    for (size_t i = 0; i < s->count; i++) {
        struct kafka_aggregation *a = &s->aggregations[i];
        for (size_t n = 0; n < a->lane_count; n++) {
            arena_fini(&a->lanes[n]->memory);
            free(a->lanes[n]);
        }
        a->lane_count = a->generation_count = 0;
        a->shown = -1;
        arena_fini(&a->memory);
    }
    s->batch = 0;
    s->found_claim[0] = 0;
    s->read_to = 0;
}

static struct kafka_aggregation *find(struct kafka_sink *s, struct str name)
{
    for (size_t i = 0; i < s->count; i++) {
        if (str_eqz(name, s->aggregations[i].name)) {
            return &s->aggregations[i];
        }
    }
    return NULL; /* one that is not configured any more: its state stays */
}

static void read_batch(struct kafka_sink *s, struct str text)
{
    struct str line, name;
    while (str_split(&text, '\n', &line) && str_split(&line, '=', &name)) {
        if (str_eqz(name, "batch")) {
            (void)str_to_int64(line, &s->batch);
        }
    }
}

static bool read_line(struct kafka_aggregation *a, struct str key, struct str value)
{
    struct str number;
    struct arena arena = {0};
    struct task_line line;
    int64_t generation, partition;
    bool good = str_split(&key, '/', &number) && str_to_int64(number, &generation) && str_to_int64(key, &partition) &&
                partition >= 0 && partition < PARTITION_MAX && kafka_line_read(value, &arena, &line);
    if (good) {
        kafka_lane_set(kafka_lane_of(a, generation, (uint32_t)partition, true), &line);
    }
    arena_fini(&arena);
    return good;
}

static bool read_generation(struct kafka_aggregation *a, struct str value)
{
    struct arena arena = {0};
    struct generation g;
    bool good = kafka_generation_read(value, &arena, &g) && g.number < 100000;
    if (good) {
        kafka_generation_set(a, &g);
    }
    arena_fini(&arena);
    return good;
}

/* -> is it understood? */
static bool read_message(struct kafka_sink *s, const rd_kafka_message_t *m)
{
    struct str key = str_n(m->key, m->key_len), value = str_n(m->payload, m->len), kind, name;
    if (str_eqz(key, s->batch_key)) {
        read_batch(s, value);
        return true;
    }
    if (str_eqz(key, s->claim_key)) {
        snprintf(s->found_claim, sizeof(s->found_claim), "%.*s", value.len < KAFKA_OWNER_SIZE ? (int)value.len : 0,
                 value.len > 0 ? value.ptr : "");
        return true;
    }
    if (!str_split(&key, '/', &kind) || !str_split(&key, '/', &name)) {
        return true; /* not ours */
    }
    struct kafka_aggregation *a = find(s, name);
    if (a == NULL) {
        return true;
    }
    if (str_eqz(kind, "line")) {
        return read_line(a, key, value);
    }
    if (str_eqz(kind, "generation")) {
        return read_generation(a, value);
    }
    return !str_eqz(kind, "shown") || str_to_int64(value, &a->shown);
}

/* Behind all that is written now, decided or not. */
static enum err_class undecided_end(struct kafka_sink *s, int64_t *ret_end, struct err *err)
{
    static const struct kafka_setting isolation = {"isolation.level", "read_uncommitted"};
    struct kafka_consumer *consumer;
    int64_t head;
    enum err_class cls = kafka_consumer_open(&s->client, &isolation, 1, NULL, &consumer, err);
    if (cls != ERR_NONE) {
        return cls;
    }
    struct kafka_feed *feed = kafka_feed_new(consumer, s->state_topic, 0);
    cls = kafka_feed_bounds(feed, true, KAFKA_WAIT_US, &head, ret_end, err);
    kafka_feed_free(feed);
    kafka_consumer_close(consumer);
    return cls;
}

static enum err_class read_all(struct kafka_sink *s, struct kafka_feed *feed, bool undecided, struct err *err)
{
    int64_t head, end = 0, known = 0;
    enum err_class cls = s->member != NULL && undecided ? undecided_end(s, &known, err) : ERR_NONE;
    cls = cls ? cls : kafka_feed_bounds(feed, true, KAFKA_WAIT_US, &head, &end, err);
    end = end > known ? end : known;
    while (cls == ERR_NONE && s->read_to < end) { /* as it is now: who writes often would keep us here */
        struct kafka_page page;
        cls = kafka_feed_read(feed, s->read_to, known, KAFKA_PAGE_MAX, KAFKA_WAIT_US, &page, err);
        if (cls != ERR_NONE || page.count == 0) {
            break;
        }
        for (size_t i = 0; i < page.count; i++) {
            s->read_to = page.messages[i]->offset + 1;
            if (!read_message(s, page.messages[i])) {
                return err_set(err, ERR_FATAL, EXIT_DATA, "topic \"%s\" offset %lld cannot be understood",
                               s->state_topic, (long long)page.messages[i]->offset);
            }
        }
    }
    return cls;
}

enum err_class kafka_sink_load(struct kafka_sink *s, bool undecided, struct err *err)
{
    struct kafka_consumer *consumer;
    enum err_class cls = kafka_consumer_open(&s->client, NULL, 0, NULL, &consumer, err);
    if (cls != ERR_NONE) {
        return cls;
    }
    struct kafka_feed *feed = kafka_feed_new(consumer, s->state_topic, 0);
    forget(s);
    cls = read_all(s, feed, undecided, err);
    kafka_feed_free(feed);
    kafka_consumer_close(consumer);
    return cls;
}
