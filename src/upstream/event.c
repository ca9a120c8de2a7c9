/* SPDX-License-Identifier: MIT
 *
 * event.c - what the service does to an event: it sets meta.topic, meta.partition and meta.offset (in place where they
 * are, else at the end of meta) and leaves every other byte as it is.
 */
#include "upstream/inside.h"

const char *const upstream_topics[TOPICS] = {"eqiad.mediawiki.recentchange", "codfw.mediawiki.recentchange"};

static struct str inner(struct str value)
{
    return value.len >= 2 && *value.ptr == '"' ? str_n(value.ptr + 1, value.len - 2) : (struct str){NULL, 0};
}

static int topic_of(struct str value)
{
    struct str name = inner(value);
    return str_starts(name, STR("eqiad.")) ? 0 : str_starts(name, STR("codfw.")) ? 1 : -1;
}

void event_read(struct str json, struct event *ret)
{
    struct str meta, value;
    ret->topic = -1;
    ret->offset = -1;
    ret->timestamp_us = TIME_NONE;
    if (!json_is_object(json) || !json_field(json, "meta", &meta) || *meta.ptr != '{') {
        return;
    }
    if (json_field(meta, "topic", &value)) {
        ret->topic = topic_of(value);
    }
    if (json_field(meta, "offset", &value) && (!str_to_int64(value, &ret->offset) || ret->offset < 0)) {
        ret->offset = -1;
    }
    if (json_field(meta, "dt", &value) && !time_parse_rfc3339(inner(value), &ret->timestamp_us)) {
        ret->timestamp_us = TIME_NONE;
    }
}

static void add_value(struct buf *out, const char *key, struct str old, int topic, bool seconds, struct event *e)
{
    if (!strcmp(key, "topic")) {
        buf_addf(out, "\"%s\"", upstream_topics[topic]);
    } else if (!strcmp(key, "partition")) {
        buf_addc(out, '0');
    } else if (!strcmp(key, "offset")) {
        e->offset_at = out->len;
    } else {
        struct str dt = inner(old);
        const char *dot = seconds && dt.len ? memchr(dt.ptr, '.', dt.len) : NULL;
        if (dot) {
            buf_addc(out, '"');
            buf_add(out, str_n(dt.ptr, (size_t)(dot - dt.ptr)));
            buf_addz(out, "Z\"");
        } else {
            buf_add(out, old);
        }
    }
}

/* meta with the service's three fields. */
static void compose_meta(struct str meta, int topic, bool seconds, struct event *e)
{
    static const char *const keys[] = {"topic", "partition", "offset", "dt"};
    bool there[4] = {false, false, false, true};
    struct str at = meta, name, value;
    const char *from = meta.ptr;
    bool any = false;
    while (json_member(&at, &name, &value)) {
        any = true;
        for (size_t i = 0; i < 4; i++) {
            if (json_string_is(name, keys[i])) {
                buf_add(&e->text, str_n(from, (size_t)(value.ptr - from)));
                add_value(&e->text, keys[i], value, topic, seconds, e);
                from = value.ptr + value.len;
                there[i] = true;
            }
        }
    }
    const char *end = meta.ptr + meta.len - 1;
    buf_add(&e->text, str_n(from, (size_t)(end - from)));
    for (size_t i = 0; i < 4; i++) {
        if (!there[i]) {
            buf_addf(&e->text, any ? ",\"%s\":" : "\"%s\":", keys[i]);
            add_value(&e->text, keys[i], STR("null"), topic, seconds, e);
            any = true;
        }
    }
    buf_addc(&e->text, '}');
}

void event_compose(struct str json, int topic, bool seconds, struct event *e)
{
    struct str meta;
    json = str_trim(json);
    e->offset_at = SIZE_MAX;
    if (!json_is_object(json)) {
        buf_add(&e->text, json);
    } else if (json_field(json, "meta", &meta) && *meta.ptr == '{') {
        buf_add(&e->text, str_n(json.ptr, (size_t)(meta.ptr - json.ptr)));
        compose_meta(meta, topic, seconds, e);
        buf_add(&e->text, str_n(meta.ptr + meta.len, (size_t)(json.ptr + json.len - (meta.ptr + meta.len))));
    } else {
        buf_add(&e->text, str_n(json.ptr, json.len - 1));
        buf_addz(&e->text, json.len > 2 ? ",\"meta\":" : "\"meta\":");
        compose_meta(STR("{}"), topic, seconds, e);
        buf_addc(&e->text, '}');
    }
}
