/* SPDX-License-Identifier: MIT
 *
 * api_topics.c - routes about a cluster and its topics, or the embedded journal as one of them. What they say is what
 * `wikitally topics list` and `topics show` say, from the same rows (topics/catalog.h).
 */
#include "serve/ask.h"
#include "serve/room.h"

#include "topics/catalog.h"

static void add_int32(struct buf *out, const char *before, int32_t n)
{
    buf_addz(out, before);
    if (n < 0)
        buf_addz(out, "null");
    else
        buf_add_int(out, n);
}

static const char *kind_of(const struct topics_place *place)
{
    return place->kafka ? "kafka" : "embedded";
}

/* ---- the cluster */

static void add_brokers(struct buf *out, const struct kafka_cluster *c)
{
    for (size_t i = 0; i < c->broker_count; i++) {
        buf_addf(out, "%s{\"id\":%d,\"host\":", i ? "," : "", (int)c->brokers[i].id);
        ask_add_text(out, c->brokers[i].host);
        buf_addf(out, ",\"port\":%d}", (int)c->brokers[i].port);
    }
}

/* What is amiss, over all topics. */
static void add_counts(struct buf *out, const struct topics_place *place, const struct kafka_cluster *c)
{
    size_t partitions = 0, under_replicated = 0, leaderless = 0;
    for (size_t t = 0; t < c->topic_count; t++) {
        partitions += c->topics[t].partition_count;
        under_replicated += c->topics[t].under_replicated;
        for (size_t p = 0; p < c->topics[t].partition_count; p++)
            leaderless += c->topics[t].partitions[p].leader == KAFKA_NOBODY;
    }
    buf_addf(out, "\"topics\":%zu,\"partitions\":%zu", c->topic_count, partitions);
    if (place->kafka)
        buf_addf(out, ",\"under_replicated\":%zu,\"without_leader\":%zu", under_replicated, leaderless);
    else
        buf_addz(out, ",\"under_replicated\":null,\"without_leader\":null");
}

void api_cluster(struct room *room, const struct request *q, struct readers *readers, struct answer *a)
{
    AUTO(arena) struct arena arena = {0};
    struct topics_place place;
    struct kafka_cluster cluster;
    struct err err = {0};
    if (!ask_begin(room, readers, false, &place, a))
        return;
    if (topics_cluster(&place, &arena, &cluster, &err)) {
        ask_failed(room, readers, &place, &err, a);
        return;
    }
    buf_addf(&a->body, "{\"kind\":\"%s\",\"id\":", kind_of(&place));
    ask_add_text(&a->body, cluster.id);
    add_int32(&a->body, ",\"controller\":", cluster.controller);
    buf_addz(&a->body, ",\"brokers\":[");
    add_brokers(&a->body, &cluster);
    buf_addz(&a->body, "],");
    add_counts(&a->body, &place, &cluster);
    buf_addz(&a->body, "}\n");
    ask_done(q, a);
}

/* ---- topics */

static void add_topic(struct buf *out, const struct topic_row *t)
{
    buf_addz(out, "{\"topic\":");
    ask_add_text(out, t->name);
    buf_addf(out, ",\"partitions\":%zu", t->partition_count);
    add_int32(out, ",\"replication\":", t->replication);
    buf_addz(out, ",\"records\":");
    ask_add_number(out, t->records);
    add_int32(out, ",\"under_replicated\":", (int32_t)t->under_replicated);
    buf_addf(out, ",\"internal\":%s}", t->internal ? "true" : "false");
}

static void write_list(const struct topics_place *place, const struct topics_list *list, struct buf *out)
{
    buf_addf(out, "{\"kind\":\"%s\",\"cluster\":", kind_of(place));
    ask_add_text(out, list->cluster.id);
    buf_addf(out, ",\"count\":%zu,\"topics\":[", list->cluster.topic_count);
    for (size_t i = 0; i < list->count; i++) {
        buf_addz(out, i ? ",\n" : "");
        add_topic(out, &list->rows[i]);
    }
    buf_addz(out, "],\"next\":");
    ask_add_text(out, list->more ? list->rows[list->count - 1].name : NULL);
    buf_addz(out, "}\n");
}

void api_topics(struct room *room, const struct request *q, struct readers *readers, struct answer *a)
{
    AUTO(arena) struct arena arena = {0};
    AUTO(ask_page) struct ask_page page = {0};
    struct topics_place place;
    struct topics_list list;
    struct err err = {0};
    if (!ask_page_read(q, &page, a) || !ask_begin(room, readers, false, &place, a))
        return;
    const char *after = page.has_after ? page.after.ptr : NULL;
    if (topics_list(&place, after, (size_t)page.limit, &arena, &list, &err)) {
        ask_failed(room, readers, &place, &err, a);
        return;
    }
    write_list(&place, &list, &a->body);
    ask_done(q, a);
}

/* ---- one topic */

static void add_numbers(struct buf *out, const char *before, const int32_t *numbers, size_t count)
{
    buf_addz(out, before);
    for (size_t i = 0; i < count; i++)
        buf_addf(out, "%s%d", i ? "," : "", (int)numbers[i]);
    buf_addc(out, ']');
}

static void add_partition(struct buf *out, const struct kafka_partition_row *p, const struct kafka_span *ends)
{
    buf_addf(out, "{\"partition\":%d", (int)p->number);
    add_int32(out, ",\"leader\":", p->leader);
    add_numbers(out, ",\"replicas\":[", p->replicas, p->replica_count);
    add_numbers(out, ",\"in_sync\":[", p->in_sync, p->in_sync_count);
    buf_addz(out, ",\"head\":");
    ask_add_number(out, ends->head);
    buf_addz(out, ",\"end\":");
    ask_add_number(out, ends->end);
    buf_addz(out, ",\"high\":");
    ask_add_number(out, ends->high);
    buf_addc(out, '}');
}

static void add_setting(struct buf *out, const struct kafka_setting_row *s)
{
    buf_addz(out, "{\"setting\":");
    ask_add_text(out, s->name);
    buf_addz(out, ",\"value\":");
    ask_add_text(out, s->value);
    buf_addz(out, ",\"origin\":");
    ask_add_text(out, s->origin);
    buf_addc(out, '}');
}

static void write_topic(const struct topics_place *place, const struct topic_shown *shown, struct buf *out)
{
    const struct kafka_topic_row *t = &shown->topic;
    buf_addz(out, "{\"topic\":");
    ask_add_text(out, t->name);
    buf_addf(out, ",\"internal\":%s", t->internal ? "true" : "false");
    add_int32(out, ",\"replication\":", t->replication);
    add_int32(out, ",\"under_replicated\":", place->kafka ? (int32_t)t->under_replicated : KAFKA_UNKNOWN);
    buf_addz(out, ",\"partitions\":[");
    for (size_t i = 0; i < t->partition_count; i++) {
        buf_addz(out, i ? ",\n" : "");
        add_partition(out, &t->partitions[i], &shown->ends[i]);
    }
    buf_addz(out, "],\"settings\":[");
    for (size_t i = 0; i < shown->setting_count; i++) {
        buf_addz(out, i ? "," : "");
        add_setting(out, &shown->settings[i]);
    }
    buf_addz(out, "]}\n");
}

void api_topic(struct room *room, const struct request *q, struct readers *readers, struct answer *a)
{
    AUTO(arena) struct arena arena = {0};
    struct topics_place place;
    struct topic_shown shown;
    struct err err = {0};
    const char *name = arena_dup(&arena, ask_tail(q, "/api/v1/topics/")).ptr;
    if (!ask_begin(room, readers, false, &place, a))
        return;
    if (topics_show(&place, name, TOPIC_ENDS | TOPIC_SETTINGS, &arena, &shown, &err)) {
        ask_failed(room, readers, &place, &err, a);
        return;
    }
    if (shown.topic.partition_count == 0) {
        ask_no_topic(&place, name, a);
        return;
    }
    write_topic(&place, &shown, &a->body);
    ask_done(q, a);
}
