/* SPDX-License-Identifier: MIT
 *
 * assignment.c - Last-Event-ID and since, by the rules of KafkaSSE (eventstreams.md section 1.3): the header replaces
 * the topic list and beats since; offset beats timestamp in one object; but next to an object that has only a
 * timestamp, one that has both is dropped. The bodies of refusals are those of the real service; the texts of
 * JSON.parse, which differ between versions of Node, are ours.
 */
#include "upstream/inside.h"

#include <stdio.h>

static void refuse(struct assignment *a, int status, const char *name, const char *message, const char *original,
                   const char *extra_key, struct str extra)
{
    a->status = status;
    a->count = 0;
    snprintf(a->reason, sizeof(a->reason), "%s: %s", name, message);
    buf_clear(&a->body);
    buf_addz(&a->body, "{\"message\":");
    buf_add_json(&a->body, str_of(message));
    buf_addf(&a->body, ",\"origin\":\"KafkaSSE\",\"name\":\"%s\"", name);
    if (original) {
        buf_addf(&a->body, ",\"originalName\":\"%s\"", original);
    }
    buf_addf(&a->body, ",\"%s\":", extra_key);
    buf_add(&a->body, extra);
    buf_addf(&a->body, ",\"statusCode\":%d}\n", status);
}

static void refuse_shape(struct assignment *a, struct str value)
{
    refuse(
        a, 400, "InvalidAssignmentError",
        "Must provide either an array topic names, or  an array of objects with topic, partition and offset|timestamp.",
        "Error", "assignments", value);
}

static void refuse_syntax(struct assignment *a, struct str header)
{
    AUTO(buf) struct buf quoted = {0};
    buf_add_json(&quoted, header);
    refuse(a, 400, "InvalidAssignmentError", header.len ? "Unexpected token in JSON" : "Unexpected end of JSON input",
           "SyntaxError", "last_event_id", buf_str(&quoted));
}

static bool is_integer(struct str value, int64_t *ret)
{
    return str_to_int64(value, ret);
}

/* -> false: the shape is wrong. topic -1: not one of ours, its name goes to `unknown`. */
static bool read_want(struct str value, int64_t since_ms, struct want *ret, struct buf *unknown)
{
    struct want w = {.topic = -1};
    struct str name = value, field;
    if (*value.ptr == '{') {
        if (!json_field(value, "topic", &name) || *name.ptr != '"' || !json_field(value, "partition", &field) ||
            !is_integer(field, &w.partition)) {
            return false;
        }
        w.has_offset = json_field(value, "offset", &field) && is_integer(field, &w.offset);
        w.has_timestamp = json_field(value, "timestamp", &field) && is_integer(field, &w.timestamp_ms);
        if (!w.has_offset && !w.has_timestamp) {
            return false;
        }
    } else if (*value.ptr == '"') {
        w.has_timestamp = since_ms != TIME_NONE;
        w.timestamp_ms = since_ms;
        w.has_offset = !w.has_timestamp;
        w.offset = -1;
    } else {
        return false;
    }
    for (int i = 0; i < TOPICS; i++) {
        w.topic = json_string_is(name, upstream_topics[i]) ? i : w.topic;
    }
    if (w.topic < 0) {
        buf_addz(unknown, unknown->len ? ", " : "");
        buf_add(unknown, str_n(name.ptr + 1, name.len - 2));
    }
    w.wrong_partition = w.partition != 0;
    *ret = w;
    return true;
}

/* offset-only ones first, then those that a look-up by time resolves: so their order in the ids. */
static void order(struct assignment *a)
{
    struct want sorted[WANTS_MAX];
    size_t count = 0;
    bool by_time = false;
    for (size_t i = 0; i < a->count; i++) {
        by_time |= a->wants[i].has_timestamp && !a->wants[i].has_offset;
    }
    if (!by_time) {
        return;
    }
    for (size_t i = 0; i < a->count; i++) {
        if (a->wants[i].has_offset && !a->wants[i].has_timestamp) {
            sorted[count++] = a->wants[i];
        }
    }
    for (size_t i = 0; i < a->count; i++) {
        if (a->wants[i].has_timestamp && !a->wants[i].has_offset) {
            sorted[count++] = a->wants[i];
        }
    }
    memcpy(a->wants, sorted, count * sizeof(*sorted));
    a->count = count;
}

/* JSON.parse is strict about words and numbers; what is inside arrays is judged by its shape. */
static bool is_json(struct str value)
{
    if (memchr("[{\"", *value.ptr, 3) || str_eq(value, STR("null")) || str_eq(value, STR("true")) ||
        str_eq(value, STR("false"))) {
        return true;
    }
    for (size_t i = 0; i < value.len; i++) {
        if (!memchr("0123456789-+.eE", value.ptr[i], 15)) {
            return false;
        }
    }
    return value.ptr[value.len - 1] >= '0' && value.ptr[value.len - 1] <= '9';
}

static void read_header(struct str header, int64_t since_ms, struct assignment *a)
{
    AUTO(buf) struct buf unknown = {0};
    struct str rest = header, value, element;
    if (!json_value(&rest, &value) || str_trim(rest).len > 0 || !is_json(value)) {
        refuse_syntax(a, header);
        return;
    }
    struct str at = value;
    bool wrong = *value.ptr != '[';
    while (!wrong && json_element(&at, &element)) {
        wrong = a->count == WANTS_MAX || !read_want(element, since_ms, &a->wants[a->count], &unknown);
        a->count += !wrong;
    }
    if (wrong || a->count == 0) {
        refuse_shape(a, value);
    } else if (unknown.len > 0) {
        AUTO(buf) struct buf message = {0};
        buf_addf(&message, "Topics %.*s are not available for consumption.", STR_ARG(buf_str(&unknown)));
        refuse(a, 404, "TopicNotAvailableError", message.ptr, NULL, "availableTopics",
               STR("[\"codfw.mediawiki.recentchange\",\"eqiad.mediawiki.recentchange\"]"));
    } else {
        order(a);
    }
}

void assignment_read(struct str header, int64_t since_ms, struct assignment *ret)
{
    *ret = (struct assignment){.status = 200};
    if (header.ptr) {
        read_header(header, since_ms, ret);
        return;
    }
    for (int i = 0; i < TOPICS; i++) {
        bool by_time = since_ms != TIME_NONE;
        ret->wants[ret->count++] = (struct want){
            .topic = i, .has_timestamp = by_time, .has_offset = !by_time, .offset = -1, .timestamp_ms = since_ms};
    }
}

void assignment_fini(struct assignment *a)
{
    buf_fini(&a->body);
}
