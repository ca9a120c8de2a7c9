/* SPDX-License-Identifier: MIT
 *
 * stream_time.c - stream time of a partition: the maximum of the times of changes and ticks, and of those canaries that
 * speak for the topic which the changes come from (R5). What is from the future moves nothing.
 */
#include "compute/stream_time.h"

#include "base/fault.h"

#include <stdlib.h>

static struct topic *topic_new(struct str text)
{
    struct topic *topic = xmalloc(sizeof(*topic) + text.len);
    topic->refs = 1;
    topic->len = (uint32_t)text.len;
    if (text.len > 0) {
        memcpy(topic->text, text.ptr, text.len);
    }
    return topic;
}

static void topic_unref(struct topic *topic)
{
    if (topic != NULL && --topic->refs == 0) {
        free(topic);
    }
}

static bool topic_is(const struct topic *topic, struct str text)
{
    return topic != NULL && str_eq(str_n(topic->text, topic->len), text);
}

void stream_time_init(struct stream_time *t)
{
    *t = (struct stream_time){.now_us = TIME_NONE};
}

void stream_time_fini(struct stream_time *t)
{
    topic_unref(t->topic);
    stream_time_init(t);
}

void stream_time_set(struct stream_time *t, const struct time_state *from)
{
    stream_time_fini(t);
    t->now_us = from->stream_us;
    t->change_seen = from->change_seen;
    t->topic = from->topic.ptr == NULL ? NULL : topic_new(from->topic);
}

void stream_time_copy(struct stream_time *t, const struct stream_time *from)
{
    struct topic *before = t->topic;
    *t = *from;
    if (t->topic != NULL) {
        t->topic->refs++;
    }
    topic_unref(before);
}

struct time_state stream_time_show(const struct stream_time *t)
{
    struct time_state state = {.stream_us = t->now_us, .change_seen = t->change_seen};
    if (t->topic != NULL) {
        state.topic = str_n(t->topic->text, t->topic->len);
    }
    return state;
}

/* meta.topic of a record: a string of at most TOPIC_MAX bytes. */
static bool topic_of(const struct value *v, struct buf *scratch, struct str *ret_topic)
{
    if (v->kind != VALUE_STRING) {
        return false;
    }
    *ret_topic = v->raw.len == 0 ? STR("") : value_string(v, scratch);
    return ret_topic->len <= TOPIC_MAX;
}

static bool canary_counts(const struct stream_time *t, bool has_topic, struct str topic)
{
    return t->change_seen && (!has_topic || t->topic == NULL || topic_is(t->topic, topic));
}

void stream_time_move(struct stream_time *t, const struct decoded *d, int64_t time_us, bool future)
{
    AUTO(buf) struct buf scratch = {0};
    struct str topic = {0};
    bool has_topic = topic_of(&d->values[FIELD_META_TOPIC], &scratch, &topic);
    if (d->kind == CHANGE_EDIT_LIKE) {
        t->change_seen = true;
        if (has_topic && !topic_is(t->topic, topic)) {
            topic_unref(t->topic);
            t->topic = topic_new(topic);
        }
    }
    bool moves = d->kind != CHANGE_CANARY || canary_counts(t, has_topic, topic);
    if (moves && time_us != TIME_NONE && (!future || fault("R5.future")) && time_us > t->now_us) {
        t->now_us = fault("R5.wall") ? clock_wall(&clock_real) : time_us;
    }
}
