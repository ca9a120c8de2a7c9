/* SPDX-License-Identifier: MIT
 *
 * admission_decode.c - what is known about a record before it is decided what becomes of it.
 */
#include "source/admission_state.h"

#include "base/hash.h"

/* Partitions are stored: the seed of their hash is part of the format. */
static const uint64_t partition_seed = UINT64_C(0x77696b6974616c6c);

size_t admission_topic(struct admission *a, struct str name)
{
    if (!name.len || name.len >= TOPIC_NAME_MAX || memchr(name.ptr, 0, name.len)) {
        return NO_TOPIC;
    }
    for (size_t i = 1; i < a->topic_count; i++) {
        if (str_eqz(name, a->topic_names[i])) {
            return i;
        }
    }
    if (a->topic_count == IDENTITY_CLOCKS) {
        return NO_TOPIC;
    }
    if (a->topic_count == a->topic_cap) {
        a->topic_cap = a->topic_cap ? a->topic_cap * 2 : 8;
        a->topic_names = xrealloc(a->topic_names, a->topic_cap * sizeof *a->topic_names);
    }
    char *at = a->topic_names[a->topic_count];
    memcpy(at, name.ptr, name.len);
    at[name.len] = 0;
    return a->topic_count++;
}

/* All changes of one page go to one partition; what has no page goes to the first. */
static uint32_t partition_of(struct admission *a)
{
    if (a->options.partitions <= 1) {
        return 0;
    }
    buf_clear(&a->scratch);
    buf_clear(&a->other_scratch);
    struct str wiki = value_string(&a->values[FIELD_WIKI], &a->scratch);
    struct str title = value_string(&a->values[FIELD_TITLE], &a->other_scratch);
    return (uint32_t)(hash_bytes(title, hash_bytes(wiki, partition_seed)) % a->options.partitions);
}

static int64_t offset_of(const struct value *values)
{
    const struct value *partition = &values[FIELD_META_PARTITION], *offset = &values[FIELD_META_OFFSET];
    bool first = partition->kind == VALUE_INT && partition->number == 0;
    return first && offset->kind == VALUE_INT && offset->number >= 0 ? offset->number : -1;
}

void admission_decode(struct admission *a, struct str bytes, int64_t arrival_us, bool live, struct decoded *ret)
{
    struct decoded d = {
        .bytes = bytes, .arrival_us = arrival_us, .time_us = TIME_NONE, .dt_us = TIME_NONE, .offset = -1};
    if (!a->values) {
        a->values = arena_alloc(&a->arena, field_set_count(a->fields) * sizeof *a->values);
    }
    d.reason = change_scan(a->fields, bytes, a->values, &d.at);
    d.scanned = d.reason == DEAD_NONE;
    if (d.scanned) {
        const struct value *v = a->values;
        d.kind = change_kind(v);
        d.reason = change_times(v, d.kind, &d.time_us, &d.dt_us);
        if (a->options.record_max > 0 && (int64_t)bytes.len > a->options.record_max) {
            d.reason = DEAD_TOO_LARGE;
        }
        d.id_count = change_identities(v, d.kind, d.ids, d.which);
        d.offset = offset_of(v);
        buf_clear(&a->scratch);
        d.name = event_name_of(value_string(&v[FIELD_META_ID], &a->scratch));
        buf_clear(&a->scratch);
        d.topic = d.dt_us == TIME_NONE ? NO_TOPIC : admission_topic(a, value_string(&v[FIELD_META_TOPIC], &a->scratch));
        d.partition = d.kind == CHANGE_EDIT_LIKE ? partition_of(a) : 0;
    }
    if (d.arrival_us == TIME_NONE && !live && d.dt_us != TIME_NONE) {
        d.arrival_us = floor_div(d.dt_us, US_PER_MS) * US_PER_MS; /* R5: a recorded file without arrivals */
    }
    if (d.reason == DEAD_NONE && d.time_us != TIME_NONE) {
        d.future = change_is_future(d.kind, d.time_us, d.dt_us, d.arrival_us, a->options.skew_us);
    }
    *ret = d;
}
