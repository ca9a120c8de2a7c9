/* SPDX-License-Identifier: MIT
 *
 * event.c - what an event is (R2, R7), when it happened, whether that can be (R5). oracle.md sections 3 and 5.
 */
#include "base/fault.h"
#include "change/change.h"
#include "change/text.h"

/* Is the value this string? Compares without memory of its own. */
static bool string_is(const struct value *v, struct str text)
{
    if (v->kind != VALUE_STRING) {
        return false;
    }
    if (!v->escaped) {
        return str_eq(v->raw, text);
    }
    const char *p = v->raw.ptr, *end = v->raw.ptr + v->raw.len;
    size_t at = 0;
    while (p < end && at <= text.len) {
        char bytes[4] = {*p};
        const size_t len = *p == '\\' ? text_unescape(&p, bytes) : (p++, (size_t)1);
        if (text.len - at < len || memcmp(text.ptr + at, bytes, len) != 0) {
            return false;
        }
        at += len;
    }
    return at == text.len;
}

enum change_kind change_kind(const struct value *values)
{
    if (!string_is(&values[FIELD_META_DOMAIN], STR("canary")) || fault("R2.canary")) {
        return CHANGE_EDIT_LIKE;
    }
    return string_is(&values[FIELD_META_STREAM], STR(TICK_STREAM)) && !fault("R7.tick") ? CHANGE_TICK : CHANGE_CANARY;
}

/* The longest RFC 3339 time is 35 bytes; with every one of them as \u00xx it is six times as long. */
enum { TIME_TEXT_MAX = 40 };

static bool string_time(const struct value *v, int64_t *ret_us)
{
    if (!v->escaped) {
        return time_parse_rfc3339(v->raw, ret_us);
    }
    char text[TIME_TEXT_MAX + 4];
    size_t len = 0;
    const char *p = v->raw.ptr, *end = v->raw.ptr + v->raw.len;
    while (p < end && len < TIME_TEXT_MAX) {
        if (*p == '\\') {
            len += text_unescape(&p, text + len);
        } else {
            text[len++] = *p++;
        }
    }
    return p == end && time_parse_rfc3339(str_n(text, len), ret_us);
}

bool value_time(const struct value *v, int64_t *ret_us)
{
    int64_t us = 0;
    const bool known = v->kind == VALUE_INT      ? !__builtin_mul_overflow(v->number, US_PER_SECOND, &us)
                       : v->kind == VALUE_STRING ? string_time(v, &us)
                                                 : false;
    if (!known || ((us < 0 || us >= TIME_END) && !fault("R5.range"))) {
        return false;
    }
    *ret_us = us;
    return true;
}

static bool is_null(const struct value *v)
{
    return v->kind == VALUE_ABSENT || v->kind == VALUE_NULL;
}

/* A canary or tick has one clock; without it, it just moves no time. */
static int64_t canary_time(const struct value *values)
{
    int64_t us = TIME_NONE;
    return value_time(&values[FIELD_META_DT], &us) ? us : TIME_NONE;
}

enum dead_reason change_time(const struct value *values, size_t time_field, enum change_kind kind, int64_t *ret_us)
{
    if (kind != CHANGE_EDIT_LIKE) {
        *ret_us = canary_time(values);
        return DEAD_NONE;
    }
    const size_t clocks[] = {time_field, FIELD_TIMESTAMP, FIELD_META_DT};
    int64_t first = TIME_NONE;
    for (size_t i = 0; i < sizeof clocks / sizeof *clocks; i++) {
        int64_t us = TIME_NONE;
        if (is_null(&values[clocks[i]])) {
            continue;
        }
        if (!value_time(&values[clocks[i]], &us)) {
            return DEAD_BAD_TIME; /* each clock that is there must be right */
        }
        if (first == TIME_NONE) {
            first = us;
        }
    }
    if (first == TIME_NONE) {
        return DEAD_NO_TIME;
    }
    *ret_us = first;
    return DEAD_NONE;
}

bool change_is_future(const struct value *values, enum change_kind kind, int64_t time_us, int64_t arrival_us,
                      int64_t skew_us)
{
    int64_t arrival = arrival_us, dt = TIME_NONE, latest;
    /* A backlog is read long after it was sent: then its own meta.dt is the better witness. */
    if (kind == CHANGE_EDIT_LIKE && value_time(&values[FIELD_META_DT], &dt) && !fault("R5.dt")) {
        arrival = arrival == TIME_NONE || dt < arrival ? dt : arrival;
    }
    if (time_us == TIME_NONE || arrival == TIME_NONE || __builtin_add_overflow(arrival, skew_us, &latest)) {
        return false;
    }
    return time_us > latest && !fault("R5.future");
}
