/* SPDX-License-Identifier: MIT
 *
 * mishap.c - the faults that upstream.h lists: reading the text strictly, and deciding what happens when.
 */
#include "upstream/inside.h"

#include <stdio.h>

enum key {
    KEY_FOR = 1 << 0,
    KEY_BYTES = 1 << 1,
    KEY_KEEP = 1 << 2,
    KEY_COPIES = 1 << 3,
    KEY_BY = 1 << 4,
    KEY_RETRY_AFTER = 1 << 5,
    KEY_CODE = 1 << 6,
    KEY_COUNT = 1 << 7,
    KEY_FORCE = 1 << 8,
    KEY_RATE = 1 << 9,
    KEY_OFFSET = 1 << 10,
    KEY_LAG = 1 << 11,
};

static const struct {
    const char *name;
    int keys;
    struct mishap initial;
} kinds[MISHAP_KINDS] = {
    [MISHAP_STALL] = {"stall", KEY_FOR, {.for_us = 0}},
    [MISHAP_CUT] = {"cut", KEY_BYTES, {.bytes = -1}},
    [MISHAP_RESET] = {"reset", 0, {0}},
    [MISHAP_HOLE] = {"hole", KEY_KEEP, {0}},
    [MISHAP_DUPLICATE] = {"duplicate", KEY_COPIES, {.copies = 1}},
    [MISHAP_REWIND] = {"rewind", KEY_BY, {.by = 10}},
    [MISHAP_OVERSIZE] = {"oversize", KEY_BYTES, {.bytes = 9 << 20}},
    [MISHAP_BAD_UTF8] = {"bad-utf8", 0, {0}},
    [MISHAP_COMMENTS] = {"comments", KEY_COUNT, {.count = 1000}},
    [MISHAP_ERROR_EVENT] = {"error-event", 0, {0}},
    [MISHAP_HALF_OPEN] = {"half-open", KEY_FOR, {0}},
    [MISHAP_429] = {"429", KEY_RETRY_AFTER, {.retry_after_s = -1}},
    [MISHAP_5XX] = {"5xx", KEY_RETRY_AFTER | KEY_CODE, {.retry_after_s = -1, .code = 503}},
    [MISHAP_403] = {"403", 0, {0}},
    [MISHAP_WRONG_TYPE] = {"wrong-type", 0, {0}},
    [MISHAP_REDIRECT] = {"redirect", 0, {0}},
    [MISHAP_GZIP] = {"gzip", KEY_FORCE, {0}},
    [MISHAP_SLOW] = {"slow", KEY_RATE, {.rate = 1000}},
    [MISHAP_DATELESS] = {"dateless", 0, {0}},
    [MISHAP_CLOCK] = {"clock", KEY_OFFSET, {0}},
    [MISHAP_CLUSTER] = {"cluster", 0, {0}},
    [MISHAP_MIRROR] = {"mirror", KEY_LAG, {.lag_us = 2 * US_PER_SECOND}},
    [MISHAP_LATE_OK] = {"late-ok", KEY_FOR, {.for_us = 5 * US_PER_SECOND}},
};

static bool parse_int(struct str value, int64_t low, int64_t high, int64_t *ret)
{
    return str_to_int64(value, ret) && *ret >= low && *ret <= high;
}

static bool parse_yes(struct str value, bool *ret)
{
    *ret = str_eq(value, STR("yes"));
    return *ret || str_eq(value, STR("no"));
}

static bool parse_span(struct str value, bool negative, int64_t *ret_us)
{
    bool minus = negative && value.len > 0 && *value.ptr == '-';
    if (!duration_parse(minus ? str_n(value.ptr + 1, value.len - 1) : value, ret_us)) {
        return false;
    }
    *ret_us = minus ? -*ret_us : *ret_us;
    return true;
}

static bool parse_share(struct str value, double *ret)
{
    char text[32] = "", end;
    if (value.len == 0 || value.len >= sizeof(text)) {
        return false;
    }
    memcpy(text, value.ptr, value.len);
    return sscanf(text, "%lf%c", ret, &end) == 1 && *ret >= 0 && *ret <= 1;
}

/* -> 1: set; 0: no such key here; -1: the value is wrong. */
static int set_key(struct mishap *m, int allowed, struct str key, struct str value)
{
    const int64_t many = INT64_C(1) << 40;
#define KEY(text, needs, expression)                                                                                   \
    if (str_eq(key, STR(text)) && ((needs) == 0 || (allowed & (needs)))) {                                             \
        return (expression) ? 1 : -1;                                                                                  \
    }
    KEY("at", 0, parse_int(value, 1, many, &m->at))
    KEY("every", 0, parse_int(value, 1, many, &m->every))
    KEY("times", 0, parse_int(value, 1, many, &m->times))
    KEY("connection", 0, parse_int(value, 1, many, &m->connection))
    KEY("chance", 0, parse_share(value, &m->chance))
    KEY("for", KEY_FOR, parse_span(value, false, &m->for_us))
    KEY("bytes", KEY_BYTES, parse_int(value, 0, 128 << 20, &m->bytes))
    KEY("keep", KEY_KEEP, parse_yes(value, &m->keep))
    KEY("copies", KEY_COPIES, parse_int(value, 1, 1000, &m->copies))
    KEY("by", KEY_BY, parse_int(value, 1, 1000000, &m->by))
    KEY("retry-after", KEY_RETRY_AFTER, parse_int(value, 0, 86400, &m->retry_after_s))
    KEY("code", KEY_CODE, parse_int(value, 500, 599, &m->code))
    KEY("count", KEY_COUNT, parse_int(value, 1, 1000000, &m->count))
    KEY("force", KEY_FORCE, parse_yes(value, &m->force))
    KEY("rate", KEY_RATE, parse_int(value, 1, 1 << 30, &m->rate))
    KEY("offset", KEY_OFFSET, parse_span(value, true, &m->offset_us))
    KEY("lag", KEY_LAG, parse_span(value, false, &m->lag_us))
#undef KEY
    return 0;
}

static enum err_class parse_keys(struct mishap *m, struct str rest, struct err *err)
{
    struct str part;
    const char *name = kinds[m->kind].name;
    while (str_split(&rest, ',', &part)) {
        const char *equals = part.len ? memchr(part.ptr, '=', part.len) : NULL;
        struct str key = str_n(part.ptr, equals ? (size_t)(equals - part.ptr) : part.len);
        struct str value = equals ? str_n(equals + 1, part.len - key.len - 1) : (struct str){NULL, 0};
        int done = set_key(m, kinds[m->kind].keys, key, value);
        if (done == 0) {
            return err_set(err, ERR_REJECT, EXIT_USAGE, "faults: %s has no key \"%.*s\"", name, STR_ARG(key));
        }
        if (done < 0) {
            return err_set(err, ERR_REJECT, EXIT_USAGE, "faults: %s: \"%.*s\" is no value for %.*s", name,
                           STR_ARG(value), STR_ARG(key));
        }
    }
    if ((m->at > 0) + (m->every > 0) + (m->chance > 0) > 1) {
        return err_set(err, ERR_REJECT, EXIT_USAGE, "faults: %s: give one of at, every and chance", name);
    }
    m->times = m->times ? m->times : m->at > 0 ? 1 : INT64_MAX;
    return ERR_NONE;
}

static enum err_class parse_one(struct str text, struct mishap *ret, struct err *err)
{
    const char *colon = text.len ? memchr(text.ptr, ':', text.len) : NULL;
    struct str name = str_trim(str_n(text.ptr, colon ? (size_t)(colon - text.ptr) : text.len));
    for (int kind = 0; kind < MISHAP_KINDS; kind++) {
        if (str_eqz(name, kinds[kind].name)) {
            *ret = kinds[kind].initial;
            ret->kind = (enum mishap_kind)kind;
            return parse_keys(
                ret, str_trim(str_n(colon ? colon + 1 : "", colon ? text.len - (size_t)(colon + 1 - text.ptr) : 0)),
                err);
        }
    }
    return err_set(err, ERR_REJECT, EXIT_USAGE, "faults: there is no fault \"%.*s\"", STR_ARG(name));
}

enum err_class mishaps_parse(const char *spec, struct mishaps *ret, struct err *err)
{
    struct str rest = str_of(spec), part;
    struct mishaps m = {0};
    while (str_split(&rest, ';', &part)) {
        if (str_trim(part).len == 0) {
            continue;
        }
        if (m.count == UPSTREAM_FAULTS_MAX) {
            return err_set(err, ERR_REJECT, EXIT_USAGE, "faults: at most %d of them", UPSTREAM_FAULTS_MAX);
        }
        enum err_class cls = parse_one(str_trim(part), &m.list[m.count], err);
        if (cls) {
            return cls;
        }
        m.count++;
    }
    *ret = m;
    return ERR_NONE;
}

/* cut:bytes=N is decided when the request is made. */
static bool is_of_record(const struct mishap *m)
{
    return m->kind < MISHAP_RECORD_KINDS && !(m->kind == MISHAP_CUT && m->bytes >= 0);
}

size_t mishaps_fire(struct mishaps *m, bool of_record, int64_t request, struct rng *rng, struct mishap *ret, size_t max)
{
    size_t count = 0;
    for (size_t i = 0; i < m->count; i++) {
        struct mishap *one = &m->list[i];
        if (is_of_record(one) != of_record || (one->connection > 0 && one->connection != request)) {
            continue;
        }
        one->seen++;
        bool now = one->at > 0       ? one->seen == one->at
                   : one->every > 0  ? one->seen % one->every == 0
                   : one->chance > 0 ? rng_unit(rng) < one->chance
                                     : true;
        if (now && one->fired < one->times && count < max) {
            one->fired++;
            ret[count++] = *one;
        }
    }
    return count;
}
