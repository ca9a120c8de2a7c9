/* SPDX-License-Identifier: MIT
 *
 * kafka_poison.c - rows that the cluster refuses (kafka.h, C-K9): larger than the topic takes, or against a policy of
 * it. What is refused is the whole transaction; which row it is for, trying halves shows: each in a transaction that is
 * thrown away.
 */
#include "sink/kafka.h"

#include "base/clock.h"
#include "base/diag.h"
#include "base/hash.h"

#include <stdlib.h>

enum { REFUSALS = 3, KEEP_US = 600000000 };

/* ---- known ones */

static uint64_t row_hash(const char *topic, const struct buf *key)
{
    return hash_bytes(buf_str(key), hash_bytes(str_of(topic), 0));
}

static bool is_known(const struct kafka_sink *s, const char *topic, const struct buf *key)
{
    uint64_t row = s->poison_count == 0 ? 0 : row_hash(topic, key);
    int64_t now_us = s->poison_count == 0 ? 0 : clock_mono(&clock_real);
    for (size_t i = 0; i < s->poison_count; i++) {
        if (s->poison[i].row == row && now_us < s->poison[i].until_us) {
            return true;
        }
    }
    return false;
}

static void keep(struct kafka_sink *s, uint64_t row)
{
    if (s->poison_count == KAFKA_POISON_MAX) { /* the oldest is looked for again if it still is one */
        memmove(s->poison, s->poison + 1, (KAFKA_POISON_MAX - 1) * sizeof(*s->poison));
        s->poison_count--;
    }
    s->poison[s->poison_count++] = (struct kafka_poison){row, clock_mono(&clock_real) + KEEP_US};
}

/* ---- writing */

static enum err_class put_dead(struct kafka_sink *s, const char *topic, const char *reason, const struct buf *key,
                               const struct buf *value, int64_t deadline_us, struct err *err)
{
    AUTO(buf) struct buf name = {0};
    const struct kafka_header headers[] = {{"wikitally.reason", str_of(reason)}, {"wikitally.topic", str_of(topic)}};
    buf_addf(&name, "%s.dead", s->state_topic);
    struct kafka_record r = {.topic = name.ptr,
                             .key = buf_str(key),
                             .value = buf_str(value),
                             .headers = headers,
                             .header_count = sizeof(headers) / sizeof(*headers)};
    return kafka_writer_add(s->writer, &r, deadline_us, err);
}

static enum err_class dead_topic(struct kafka_sink *s, struct err *err)
{
    static const struct kafka_setting settings[] = {
        {"cleanup.policy", "compact"}, {"retention.ms", "-1"}, {"max.message.bytes", "14680064"}};
    AUTO(buf) struct buf name = {0};
    buf_addf(&name, "%s.dead", s->state_topic);
    enum err_class cls = s->dead_there ? ERR_NONE : kafka_sink_topic(s, name.ptr, settings, 3, err);
    s->dead_there = cls == ERR_NONE;
    return cls;
}

enum err_class kafka_poison_put(struct kafka_sink *s, const struct kafka_aggregation *a, const struct buf *key,
                                const struct buf *value, int64_t deadline_us, struct err *err)
{
    bool too_large = (int64_t)(key->len + value->len) > a->record_max;
    if (too_large || is_known(s, a->topic, key)) {
        enum err_class cls = dead_topic(s, err);
        return cls ? cls : put_dead(s, a->topic, too_large ? "too-large" : "refused", key, value, deadline_us, err);
    }
    struct kafka_record r = {
        .topic = a->topic, .partition = RD_KAFKA_PARTITION_UA, .key = buf_str(key), .value = buf_str(value)};
    return kafka_writer_add(s->writer, &r, deadline_us, err);
}

/* ---- looking for them */

struct search {
    struct kafka_sink *s;
    const struct task_commit *commit;
    size_t found;
};

static const struct result_row *row_at(const struct search *q, size_t number, const struct lane_commit **ret_lane)
{
    const struct lane_commit *l = q->commit->lanes;
    while (number >= l->row_count) {
        number -= l->row_count;
        l++;
    }
    *ret_lane = l;
    return &l->rows[number];
}

static void text_of(const struct search *q, size_t number, const struct kafka_aggregation **ret_aggregation,
                    struct buf *key, struct buf *value)
{
    const struct lane_commit *l;
    const struct result_row *row = row_at(q, number, &l);
    const struct kafka_aggregation *a = &q->s->aggregations[l->aggregation];
    buf_clear(key);
    buf_clear(value);
    kafka_row_key(l, row, key);
    kafka_row_value(a, l, row, value);
    *ret_aggregation = a;
}

/* ERR_REJECT: the cluster refuses at least one of them. */
static enum err_class probe(const struct search *q, size_t from, size_t to, struct err *err)
{
    AUTO(buf) struct buf key = {0}, value = {0};
    struct kafka_sink *s = q->s;
    const struct kafka_aggregation *a;
    int64_t deadline_us = clock_mono(&clock_real) + KAFKA_COMMIT_US;
    enum err_class cls = kafka_sink_ready(s, err);
    cls = cls ? cls : kafka_writer_begin(s->writer, err);
    for (size_t i = from; cls == ERR_NONE && i < to; i++) {
        text_of(q, i, &a, &key, &value);
        cls = kafka_poison_put(s, a, &key, &value, deadline_us, err);
    }
    cls = cls ? cls : kafka_writer_flush(s->writer, deadline_us, err);
    kafka_writer_close(TAKE(s->writer)); /* and with it the transaction */
    return cls;
}

static enum err_class search(struct search *q, size_t from, size_t to, struct err *err)
{
    AUTO(buf) struct buf key = {0}, value = {0};
    const struct kafka_aggregation *a;
    enum err_class cls = from < to ? probe(q, from, to, err) : ERR_NONE;
    if (cls != ERR_REJECT) {
        return cls;
    }
    if (to - from > 1) {
        size_t middle = from + (to - from) / 2;
        cls = search(q, from, middle, err);
        return cls ? cls : search(q, middle, to, err);
    }
    text_of(q, from, &a, &key, &value);
    keep(q->s, row_hash(a->topic, &key));
    q->found++;
    diag_error("task", "%s; the row goes to \"%s.dead\" instead of \"%s\"", err->text, q->s->state_topic, a->topic);
    *err = (struct err){0};
    return ERR_NONE;
}

enum err_class kafka_poison_refused(struct kafka_sink *s, const struct task_commit *commit, struct err *err)
{
    struct search q = {.s = s, .commit = commit};
    struct err why = {0};
    size_t rows = 0;
    bool of_a_row = err_exit_code(err) == EXIT_CONFIG || err_exit_code(err) == EXIT_DATA;
    for (size_t i = 0; i < commit->lane_count; i++) {
        rows += commit->lanes[i].row_count;
    }
    if (!of_a_row) {
        return ERR_REJECT;
    }
    kafka_sink_limits(s);
    if (++s->refusals < REFUSALS) {
        return err->cls = ERR_RETRY;
    }
    enum err_class cls = search(&q, 0, rows, &why);
    if (cls == ERR_NONE && q.found == 0) { /* no row's fault */
        return ERR_REJECT;
    }
    if (cls != ERR_NONE) {
        *err = why;
        return cls;
    }
    return err->cls = ERR_RETRY;
}
