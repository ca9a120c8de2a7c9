/* SPDX-License-Identifier: MIT
 *
 * groups.c - see groups.h.
 */
#include "topics/groups.h"

#include "base/clock.h"
#include "journal/journal.h"
#include "sink/results.h"
#include "topics/private.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- how far behind */

int64_t groups_seconds(const struct kafka_lag_row *row)
{
    if (row->messages == 0)
        return 0;
    if (row->messages < 0 || row->first_us == TIME_NONE || row->newest_us == TIME_NONE)
        return KAFKA_UNKNOWN;
    return row->newest_us > row->first_us ? (row->newest_us - row->first_us) / US_PER_SECOND : 0;
}

struct groups_sum groups_sum(const struct kafka_lag_row *rows, size_t count)
{
    struct groups_sum sum = {0};
    for (size_t i = 0; i < count; i++) {
        int64_t seconds = groups_seconds(&rows[i]);
        sum.messages += rows[i].messages > 0 ? rows[i].messages : 0;
        sum.seconds = seconds > sum.seconds ? seconds : sum.seconds;
        sum.messages_unknown |= rows[i].messages < 0;
        sum.seconds_unknown |= seconds < 0;
    }
    return sum;
}

/* ---- embedded */

struct reading {
    const char *wanted; /* NULL: all */
    const char *topic;
    struct arena *arena;
    struct reader_row {
        const char *group, *state;
        struct kafka_lag_row lag;
    } * rows;
    size_t count, cap;
    char aggregation[128]; /* of the line before */
    int64_t shown;         /* its generation that readers see, -1: not come by yet */
};

/* A generation that is being counted anew is a reader of its own; one that was replaced reads no more. */
static bool take_line(const struct stored_line *l, void *ctx)
{
    struct reading *r = ctx;
    AUTO(buf) struct buf name = {0};
    if (strcmp(r->aggregation, l->aggregation) != 0) {
        snprintf(r->aggregation, sizeof r->aggregation, "%s", l->aggregation);
        r->shown = -1;
    }
    r->shown = l->shown ? l->generation : r->shown;
    if (r->shown < 0)
        return true;
    buf_addz(&name, l->aggregation);
    if (!l->shown)
        buf_addf(&name, "@%lld", (long long)l->generation);
    if (r->wanted && strcmp(r->wanted, name.ptr) != 0)
        return true;
    if (r->count == r->cap) {
        r->cap = r->cap ? r->cap * 2 : 64;
        r->rows = xrealloc(r->rows, r->cap * sizeof *r->rows);
    }
    r->rows[r->count++] = (struct reader_row){.group = arena_dup(r->arena, buf_str(&name)).ptr,
                                              .state = l->shown ? "shown" : "recomputing",
                                              .lag = {.topic = r->topic,
                                                      .partition = (int32_t)l->partition,
                                                      .committed = l->line.position,
                                                      .end = KAFKA_UNKNOWN,
                                                      .messages = KAFKA_UNKNOWN,
                                                      .first_us = TIME_NONE,
                                                      .newest_us = TIME_NONE}};
    return true;
}

static void reading_fini(struct reading *r)
{
    free(r->rows);
}

static enum err_class reading_fill(struct reading *r, const struct topics_place *place, const char *wanted,
                                   struct arena *arena, struct err *err)
{
    *r = (struct reading){.wanted = wanted, .topic = place->journal_topic, .arena = arena};
    return results_lines(place->results, take_line, r, err);
}

static enum err_class list_tasks(const struct topics_place *place, struct arena *arena,
                                 const struct kafka_group_row **ret_rows, size_t *ret_count, struct err *err)
{
    AUTO(reading) struct reading r = {0};
    enum err_class cls = reading_fill(&r, place, NULL, arena, err);
    if (cls)
        return cls;
    struct kafka_group_row *rows = arena_alloc(arena, (r.count + 1) * sizeof *rows);
    size_t count = 0;
    for (size_t i = 0; i < r.count; i++) {
        if (count == 0 || strcmp(rows[count - 1].name, r.rows[i].group) != 0)
            rows[count++] = (struct kafka_group_row){.name = r.rows[i].group, .state = r.rows[i].state};
    }
    *ret_rows = rows;
    *ret_count = count;
    return ERR_NONE;
}

static enum err_class show_task(const struct topics_place *place, const char *name, struct arena *arena,
                                struct kafka_group *ret_group, struct err *err)
{
    AUTO(reading) struct reading r = {0};
    enum err_class cls = reading_fill(&r, place, name, arena, err);
    if (cls)
        return cls;
    struct kafka_place_row *places = arena_alloc(arena, (r.count + 1) * sizeof *places);
    struct kafka_member_row *member = arena_zalloc(arena, sizeof *member);
    for (size_t i = 0; i < r.count; i++)
        places[i] = (struct kafka_place_row){.topic = r.topic, .partition = r.rows[i].lag.partition};
    member->places = places;
    member->place_count = r.count;
    *ret_group = (struct kafka_group){.exists = r.count > 0,
                                      .state = r.count ? r.rows[0].state : "",
                                      .assignor = "",
                                      .coordinator = "",
                                      .members = member,
                                      .member_count = 1};
    return ERR_NONE;
}

static enum err_class arrival_at(struct journal_reader *reader, uint32_t partition, int64_t offset, int64_t *ret_us,
                                 struct err *err)
{
    AUTO(arena) struct arena arena = {0};
    struct journal_page page;
    enum err_class cls = journal_reader_read(reader, partition, offset, 1, &arena, &page, err);
    if (!cls && page.count)
        *ret_us = page.records[0].arrival_us;
    return cls;
}

static enum err_class lag_find(struct journal_reader *reader, struct kafka_lag_row *row, struct err *err)
{
    uint32_t p = (uint32_t)row->partition;
    int64_t head;
    enum err_class cls = journal_reader_bounds(reader, p, &head, &row->end, err);
    if (cls)
        return cls;
    int64_t from = row->committed > head ? row->committed : head;
    row->messages = row->end > from ? row->end - from : 0;
    if (row->messages)
        cls = arrival_at(reader, p, from, &row->first_us, err);
    if (!cls && row->messages)
        cls = arrival_at(reader, p, row->end - 1, &row->newest_us, err);
    return cls;
}

static enum err_class lag_task(const struct topics_place *place, const char *name, struct arena *arena,
                               const struct kafka_lag_row **ret_rows, size_t *ret_count, struct err *err)
{
    AUTO(reading) struct reading r = {0};
    enum err_class cls = reading_fill(&r, place, name, arena, err);
    struct kafka_lag_row *rows = arena_alloc(arena, (r.count + 1) * sizeof *rows);
    for (size_t i = 0; i < r.count && !cls; i++) {
        rows[i] = r.rows[i].lag;
        cls = lag_find(place->journal, &rows[i], err);
    }
    if (!cls) {
        *ret_rows = rows;
        *ret_count = r.count;
    }
    return cls;
}

/* ---- which of both */

static enum err_class inspect_open(const struct topics_place *place, struct kafka_inspect **ret_inspect,
                                   struct err *err)
{
    *ret_inspect = NULL;
    enum err_class cls = kafka_inspect_open(place->kafka, place->wait_us, ret_inspect, err);
    if (!cls)
        kafka_inspect_until(*ret_inspect, place->until_us);
    return cls;
}

enum err_class groups_list(struct topics_place *place, struct arena *arena, const struct kafka_group_row **ret_rows,
                           size_t *ret_count, struct err *err)
{
    struct kafka_inspect *inspect;
    if (!place->kafka)
        return list_tasks(place, arena, ret_rows, ret_count, err);
    enum err_class cls = inspect_open(place, &inspect, err);
    if (!cls)
        cls = kafka_inspect_groups(inspect, arena, ret_rows, ret_count, err);
    place->answered |= !cls;
    kafka_inspect_close(inspect);
    return cls;
}

enum err_class groups_show(struct topics_place *place, const char *name, struct arena *arena,
                           struct kafka_group *ret_group, struct err *err)
{
    struct kafka_inspect *inspect;
    if (!place->kafka)
        return show_task(place, name, arena, ret_group, err);
    enum err_class cls = inspect_open(place, &inspect, err);
    if (!cls)
        cls = kafka_inspect_group(inspect, name, arena, ret_group, err);
    place->answered |= !cls;
    kafka_inspect_close(inspect);
    return cls;
}

enum err_class groups_lag(struct topics_place *place, const char *name, struct arena *arena,
                          const struct kafka_lag_row **ret_rows, size_t *ret_count, struct err *err)
{
    struct kafka_inspect *inspect;
    if (!place->kafka)
        return lag_task(place, name, arena, ret_rows, ret_count, err);
    enum err_class cls = inspect_open(place, &inspect, err);
    if (!cls)
        cls = kafka_inspect_lag(inspect, name, arena, ret_rows, ret_count, err);
    place->answered |= !cls;
    kafka_inspect_close(inspect);
    return cls;
}
