/* SPDX-License-Identifier: MIT
 *
 * kit.h - a lane in a test: feed it events as JSON text, commit, look at the rows. One test, one thread.
 */
#ifndef WIKITALLY_TEST_COMPUTE_KIT_H
#define WIKITALLY_TEST_COMPUTE_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "compute/lane.h"

#include <stdio.h>
#include <stdlib.h>

#define S US_PER_SECOND
#define MIN US_PER_MINUTE

struct kit {
    struct aggregation_options options;
    struct field_set *fields;
    struct aggregation *aggregation;
    struct lane *lane;
    struct value *values;
    struct arena memory;
    struct lane_commit commit;
    int64_t next; /* offset of the next record */
    enum dead_reason dead;
    struct err err;
};

static const char *const kit_keys[] = {"user"}, *const kit_measures[] = {"count"};

static inline void kit_options(struct kit *k)
{
    *k = (struct kit){0};
    aggregation_options_init(&k->options);
    k->options.name = "test";
    k->options.keys = kit_keys;
    k->options.key_count = 1;
    k->options.measures = kit_measures;
    k->options.measure_count = 1;
}

static inline struct task_line kit_line(void)
{
    return (struct task_line){.now.stream_us = TIME_NONE,
                              .before.stream_us = TIME_NONE,
                              .arrival_us = TIME_NONE,
                              .first_window_us = WINDOW_ALL};
}

static inline void kit_start(struct kit *k)
{
    struct task_line line = kit_line();
    k->fields = field_set_new();
    enum err_class cls = aggregation_new(&k->options, 0, k->fields, &k->aggregation, &k->err);
    assert_string_equal(k->err.text, "");
    assert_int_equal(cls, ERR_NONE);
    k->values = xcalloc(field_set_count(k->fields), sizeof(*k->values));
    k->lane = lane_new(k->aggregation, 0, 0, 0, 0, &line, 42);
}

static inline void kit_end(struct kit *k)
{
    lane_free(k->lane);
    aggregation_free(k->aggregation);
    field_set_free(k->fields);
    free(k->values);
    arena_fini(&k->memory);
}

/* The process ended: only what was committed is left. */
static inline void kit_crash(struct kit *k, const struct task_line *line)
{
    lane_free(k->lane);
    k->lane = lane_new(k->aggregation, 0, 0, 0, 0, line, 42);
}

static inline enum err_class kit_feed_at(struct kit *k, int64_t offset, int64_t arrival_us, const char *json)
{
    struct record r = {.offset = offset, .arrival_us = arrival_us, .value = str_of(json)};
    struct decoded d;
    decode_record(k->fields, &r, k->values, &d);
    k->next = offset + 1;
    return lane_feed(k->lane, &d, &k->dead, &k->err);
}

static inline void kit_feed(struct kit *k, int64_t arrival_us, const char *json)
{
    assert_int_equal(kit_feed_at(k, k->next, arrival_us, json), ERR_NONE);
}

/* An edit of `user` at this second; it arrives one second later. */
static inline void kit_edit(struct kit *k, int64_t at_s, const char *user)
{
    char json[256];
    snprintf(json, sizeof json, "{\"timestamp\":%lld,\"user\":\"%s\"}", (long long)at_s, user);
    kit_feed(k, (at_s + 1) * S, json);
}

/* The same, arriving at another second. */
static inline void kit_edit_arrives(struct kit *k, int64_t at_s, const char *user, int64_t arrival_s)
{
    char json[256];
    snprintf(json, sizeof json, "{\"timestamp\":%lld,\"user\":\"%s\"}", (long long)at_s, user);
    kit_feed(k, arrival_s * S, json);
}

/* Commits; k->commit stays readable until the next commit. False: there was nothing. */
static inline bool kit_commit(struct kit *k)
{
    arena_reset(&k->memory);
    if (!lane_commit(k->lane, &k->memory, &k->commit)) {
        return false;
    }
    lane_committed(k->lane, &k->commit);
    return true;
}

/* The row of a window and key in the last commit, or NULL. key: canonical text. */
static inline const struct result_row *kit_row(const struct kit *k, int64_t start_s, const char *key)
{
    for (size_t i = 0; i < k->commit.row_count; i++) {
        if (k->commit.rows[i].window_start_us == start_s * S && str_eqz(k->commit.rows[i].key, key)) {
            return &k->commit.rows[i];
        }
    }
    return NULL;
}

static inline int64_t kit_count(const struct kit *k, int64_t start_s, const char *key)
{
    const struct result_row *row = kit_row(k, start_s, key);
    return row == NULL ? 0 : row->measures[0].number;
}

/* Of the last commit, by event time. */
static inline int64_t kit_booked(const struct kit *k, enum task_bucket bucket)
{
    int64_t sum = 0;
    for (size_t i = 0; i < k->commit.tally_count; i++) {
        const struct tally_row *t = &k->commit.tally[i];
        sum += t->by == TALLY_EVENT && t->bucket == bucket ? t->count : 0;
    }
    return sum;
}

static inline struct lane_state kit_state(const struct kit *k)
{
    struct lane_state s;
    lane_state(k->lane, &s);
    return s;
}

#endif
