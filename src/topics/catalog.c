/* SPDX-License-Identifier: MIT
 *
 * catalog.c - see catalog.h.
 */
#include "topics/catalog.h"

#include "journal/journal.h"
#include "topics/private.h"

#include <stdlib.h>

/* ---- the embedded journal, in a cluster's words */

static struct kafka_topic_row journal_row(const struct topics_place *place, uint32_t partitions, struct arena *arena)
{
    struct kafka_partition_row *rows = arena_zalloc(arena, (partitions + 1) * sizeof *rows);
    for (uint32_t p = 0; p < partitions; p++) {
        rows[p].number = (int32_t)p;
        rows[p].leader = KAFKA_NOBODY;
    }
    return (struct kafka_topic_row){
        .name = place->journal_topic, .partitions = rows, .partition_count = partitions, .replication = KAFKA_UNKNOWN};
}

static enum err_class journal_cluster(const struct topics_place *place, struct arena *arena,
                                      struct kafka_cluster *ret_cluster, struct err *err)
{
    struct journal_info info;
    enum err_class cls = journal_reader_info(place->journal, &info, err);
    if (cls)
        return cls;
    struct kafka_topic_row *topic = arena_alloc(arena, sizeof *topic);
    *topic = journal_row(place, info.partitions, arena);
    *ret_cluster = (struct kafka_cluster){
        .id = arena_dup(arena, str_of(info.id)).ptr, .controller = KAFKA_NOBODY, .topics = topic, .topic_count = 1};
    return ERR_NONE;
}

static enum err_class journal_ends(const struct topics_place *place, struct kafka_span *spans, size_t count,
                                   struct err *err)
{
    enum err_class cls = ERR_NONE;
    for (size_t i = 0; i < count && !cls; i++) {
        cls = journal_reader_bounds(place->journal, (uint32_t)spans[i].partition, &spans[i].head, &spans[i].end, err);
        spans[i].high = spans[i].end;
    }
    return cls;
}

/* ---- what both have */

static enum err_class inspect_open(struct topics_place *place, struct kafka_inspect **ret_inspect, struct err *err)
{
    *ret_inspect = NULL;
    if (!place->kafka)
        return ERR_NONE;
    enum err_class cls = kafka_inspect_open(place->kafka, place->wait_us, ret_inspect, err);
    if (!cls)
        kafka_inspect_until(*ret_inspect, place->until_us);
    return cls;
}

static enum err_class cluster_find(struct topics_place *place, struct kafka_inspect *inspect, struct arena *arena,
                                   struct kafka_cluster *ret_cluster, struct err *err)
{
    if (!place->kafka)
        return journal_cluster(place, arena, ret_cluster, err);
    enum err_class cls = kafka_inspect_cluster(inspect, arena, ret_cluster, err);
    place->answered |= !cls;
    return cls;
}

enum err_class topics_cluster(struct topics_place *place, struct arena *arena, struct kafka_cluster *ret_cluster,
                              struct err *err)
{
    struct kafka_inspect *inspect;
    enum err_class cls = inspect_open(place, &inspect, err);
    if (!cls)
        cls = cluster_find(place, inspect, arena, ret_cluster, err);
    kafka_inspect_close(inspect);
    return cls;
}

/* Of all partitions, in order; nothing is known of them yet. */
static struct kafka_span *spans_of(const struct kafka_topic_row *topics, size_t topic_count, struct arena *arena,
                                   size_t *ret_count)
{
    size_t count = 0, n = 0;
    for (size_t t = 0; t < topic_count; t++)
        count += topics[t].partition_count;
    struct kafka_span *spans = arena_alloc(arena, (count + 1) * sizeof *spans);
    for (size_t t = 0; t < topic_count; t++) {
        for (size_t p = 0; p < topics[t].partition_count; p++) {
            spans[n++] = (struct kafka_span){.topic = topics[t].name,
                                             .partition = topics[t].partitions[p].number,
                                             .head = KAFKA_UNKNOWN,
                                             .end = KAFKA_UNKNOWN,
                                             .high = KAFKA_UNKNOWN};
        }
    }
    *ret_count = count;
    return spans;
}

/* Those that somebody leads can be asked for. */
static enum err_class ends_ask(struct kafka_inspect *inspect, const struct kafka_topic_row *topics, size_t topic_count,
                               bool with_high, struct kafka_span *spans, size_t count, struct err *err)
{
    AUTO_FREE struct kafka_span *led = xcalloc(count + 1, sizeof *led);
    AUTO_FREE size_t *of = xcalloc(count + 1, sizeof *of);
    size_t at = 0, n = 0;
    for (size_t t = 0; t < topic_count; t++) {
        for (size_t p = 0; p < topics[t].partition_count; p++, at++) {
            if (topics[t].partitions[p].leader == KAFKA_NOBODY)
                continue;
            of[n] = at;
            led[n++] = spans[at];
        }
    }
    enum err_class cls = kafka_inspect_spans(inspect, led, n, err);
    if (!cls && with_high)
        cls = kafka_inspect_high(inspect, led, n, err);
    for (size_t i = 0; i < n && !cls; i++)
        spans[of[i]] = led[i];
    return cls;
}

static enum err_class ends_find(const struct topics_place *place, struct kafka_inspect *inspect,
                                const struct kafka_topic_row *topics, size_t topic_count, bool with_high,
                                struct kafka_span *spans, size_t count, struct err *err)
{
    return place->kafka ? ends_ask(inspect, topics, topic_count, with_high, spans, count, err)
                        : journal_ends(place, spans, count, err);
}

/* ---- list */

static int64_t records_of(const struct kafka_span *spans, size_t count)
{
    int64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        if (spans[i].end == KAFKA_UNKNOWN)
            return KAFKA_UNKNOWN;
        sum += spans[i].end - spans[i].head;
    }
    return sum;
}

static enum err_class list_fill(const struct topics_place *place, struct kafka_inspect *inspect,
                                const struct kafka_topic_row *topics, size_t count, struct arena *arena,
                                const struct topic_row **ret_rows, struct err *err)
{
    size_t span_count, at = 0;
    struct kafka_span *spans = spans_of(topics, count, arena, &span_count);
    enum err_class cls = ends_find(place, inspect, topics, count, false, spans, span_count, err);
    if (cls)
        return cls;
    struct topic_row *rows = arena_alloc(arena, (count + 1) * sizeof *rows);
    for (size_t t = 0; t < count; t++) {
        const struct kafka_topic_row *topic = &topics[t];
        rows[t] =
            (struct topic_row){.name = topic->name,
                               .partition_count = topic->partition_count,
                               .replication = topic->replication,
                               .records = records_of(spans + at, topic->partition_count),
                               .under_replicated = place->kafka ? (int64_t)topic->under_replicated : KAFKA_UNKNOWN,
                               .internal = topic->internal};
        at += topic->partition_count;
    }
    *ret_rows = rows;
    return ERR_NONE;
}

static enum err_class list_page(struct topics_place *place, struct kafka_inspect *inspect, const char *after,
                                size_t limit, struct arena *arena, struct topics_list *list, struct err *err)
{
    enum err_class cls = cluster_find(place, inspect, arena, &list->cluster, err);
    if (cls)
        return cls;
    const struct kafka_topic_row *topics = list->cluster.topics;
    size_t count = list->cluster.topic_count;
    while (after && count > 0 && strcmp(topics->name, after) <= 0) {
        topics++;
        count--;
    }
    list->more = limit && count > limit;
    list->count = list->more ? limit : count;
    return list_fill(place, inspect, topics, list->count, arena, &list->rows, err);
}

enum err_class topics_list(struct topics_place *place, const char *after, size_t limit, struct arena *arena,
                           struct topics_list *ret_list, struct err *err)
{
    struct topics_list list = {0};
    struct kafka_inspect *inspect;
    enum err_class cls = inspect_open(place, &inspect, err);
    if (!cls)
        cls = list_page(place, inspect, after, limit, arena, &list, err);
    if (!cls)
        *ret_list = list;
    kafka_inspect_close(inspect);
    return cls;
}

/* ---- show */

static enum err_class topic_find(struct topics_place *place, struct kafka_inspect *inspect, const char *name,
                                 struct arena *arena, struct kafka_topic_row *ret_topic, struct err *err)
{
    if (place->kafka) {
        enum err_class cls = kafka_inspect_topic(inspect, name, arena, ret_topic, err);
        place->answered |= !cls;
        return cls;
    }
    struct kafka_cluster cluster;
    enum err_class cls = journal_cluster(place, arena, &cluster, err);
    if (!cls && strcmp(name, cluster.topics->name) == 0)
        *ret_topic = *cluster.topics;
    return cls;
}

static enum err_class show_fill(struct topics_place *place, struct kafka_inspect *inspect, const char *name, int what,
                                struct arena *arena, struct topic_shown *shown, struct err *err)
{
    size_t count;
    enum err_class cls = topic_find(place, inspect, name, arena, &shown->topic, err);
    if (cls || shown->topic.partition_count == 0)
        return cls;
    struct kafka_span *spans = spans_of(&shown->topic, 1, arena, &count);
    if (what & TOPIC_ENDS)
        cls = ends_find(place, inspect, &shown->topic, 1, true, spans, count, err);
    if (!cls && (what & TOPIC_SETTINGS) && place->kafka)
        cls = kafka_inspect_settings(inspect, name, arena, &shown->settings, &shown->setting_count, err);
    shown->ends = spans;
    return cls;
}

enum err_class topics_show(struct topics_place *place, const char *name, int what, struct arena *arena,
                           struct topic_shown *ret_shown, struct err *err)
{
    struct topic_shown shown = {0};
    struct kafka_inspect *inspect;
    if (!topics_name_can_be(name)) {
        *ret_shown = shown;
        return ERR_NONE;
    }
    enum err_class cls = inspect_open(place, &inspect, err);
    if (!cls)
        cls = show_fill(place, inspect, name, what, arena, &shown, err);
    if (!cls)
        *ret_shown = shown;
    kafka_inspect_close(inspect);
    return cls;
}
