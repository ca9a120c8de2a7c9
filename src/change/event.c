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

enum dead_reason change_times(const struct value *values, enum change_kind kind, int64_t *ret_us, int64_t *ret_dt_us)
{
    const struct value *timestamp = &values[FIELD_TIMESTAMP], *dt = &values[FIELD_META_DT];
    int64_t us = TIME_NONE, dt_us = TIME_NONE;
    const bool dt_good = value_time(dt, &dt_us);
    *ret_dt_us = dt_us = dt_good ? dt_us : TIME_NONE;
    *ret_us = TIME_NONE;
    if (kind == CHANGE_EDIT_LIKE) { /* each clock that is there must be right */
        if ((!dt_good && !is_null(dt)) || (!is_null(timestamp) && !value_time(timestamp, &us))) {
            return DEAD_BAD_TIME;
        }
        if (is_null(timestamp) && !dt_good) {
            return DEAD_NO_TIME;
        }
    } /* a canary or tick has one clock; without it, it just moves no time */
    *ret_us = kind == CHANGE_EDIT_LIKE && !is_null(timestamp) ? us : dt_us;
    return DEAD_NONE;
}

enum dead_reason change_time(const struct value *values, size_t time_field, enum change_kind kind, int64_t *ret_us)
{
    int64_t us = TIME_NONE, dt_us, own_us;
    const struct value *own = &values[time_field];
    enum dead_reason dead = change_times(values, kind, &us, &dt_us);
    if (kind == CHANGE_EDIT_LIKE && time_field != FIELD_TIMESTAMP && !is_null(own)) {
        if (!value_time(own, &own_us) || dead == DEAD_BAD_TIME) {
            return DEAD_BAD_TIME;
        }
        us = own_us;
        dead = DEAD_NONE;
    }
    if (dead == DEAD_NONE) {
        *ret_us = us;
    }
    return dead;
}

bool change_is_future(enum change_kind kind, int64_t time_us, int64_t dt_us, int64_t arrival_us, int64_t skew_us)
{
    int64_t arrival = arrival_us, latest;
    /* A backlog is read long after it was sent: then its own meta.dt is the better witness. */
    if (kind == CHANGE_EDIT_LIKE && dt_us != TIME_NONE && !fault("R5.dt")) {
        arrival = arrival == TIME_NONE || dt_us < arrival ? dt_us : arrival;
    }
    if (time_us == TIME_NONE || arrival == TIME_NONE || __builtin_add_overflow(arrival, skew_us, &latest)) {
        return false;
    }
    return time_us > latest && !fault("R5.future");
}
