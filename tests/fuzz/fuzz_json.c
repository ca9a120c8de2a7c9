/* SPDX-License-Identifier: MIT
 *
 * fuzz_json.c - any bytes as one event: scanned, and every value, time, name and fact of it asked for.
 *
 * Besides not crashing: a text with a blank behind it (which makes the scanner take other ways at the end of the text)
 * has the same verdict and values; unescaped text is UTF-8; key text is a JSON text with the same value.
 */
#include "change/change.h"
#include "fuzz.h"

static const char *const paths[] = {"a", "a.b", "a.b.c", "length", "length.old", "length.new", "comment", "meta"};
enum { PATHS = sizeof paths / sizeof *paths, ALL = FIELD_CORE_COUNT + PATHS };

static struct field_set *set;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    set = field_set_new();
    for (size_t i = 0; i < PATHS; i++) {
        field_set_add(set, str_of(paths[i]), NULL);
    }
    return 0;
}

/* {"a":KEY} must be an event again, and its a the same key and the same plain text. */
static void check_key(const struct value *v)
{
    AUTO(buf) struct buf key = {0}, text = {0}, again = {0}, plain = {0}, plain_again = {0};
    struct value values[FIELD_MAX];
    size_t at;
    value_add_key(&key, v);
    value_add_plain(&plain, v);
    ensure(str_is_utf8(buf_str(&plain)));
    buf_addz(&text, "{\"a\":");
    buf_add(&text, buf_str(&key));
    buf_addz(&text, "}");
    ensure(change_scan(set, buf_str(&text), values, &at) == DEAD_NONE);
    value_add_key(&again, &values[FIELD_CORE_COUNT]);
    value_add_plain(&plain_again, &values[FIELD_CORE_COUNT]);
    ensure(str_eq(buf_str(&key), buf_str(&again)));
    ensure(str_eq(buf_str(&plain), buf_str(&plain_again)));
}

static void use_values(const struct value *values)
{
    int64_t us = 0, delta;
    struct identity ids[2];
    int which[2];
    AUTO(buf) struct buf scratch = {0};
    const enum change_kind kind = change_kind(values);
    const enum dead_reason reason = change_time(values, FIELD_META_DT, kind, &us);
    ensure(reason == DEAD_NONE || reason == DEAD_BAD_TIME || reason == DEAD_NO_TIME);
    ensure(reason != DEAD_NONE || us == TIME_NONE || (us >= 0 && us < TIME_END));
    ensure(change_identities(values, kind, ids, which) <= 2);
    int64_t stamp_us, dt_us;
    const enum dead_reason by_stamp = change_times(values, kind, &stamp_us, &dt_us);
    ensure(by_stamp == DEAD_NONE || stamp_us == TIME_NONE);
    (void)change_is_future(kind, us, dt_us, 0, US_PER_MINUTE);
    (void)change_actor(&values[FIELD_USER], &values[FIELD_BOT]);
    (void)change_size_delta(&values[FIELD_CORE_COUNT + 4], &values[FIELD_CORE_COUNT + 5], &delta);
    const struct str host = value_string(&values[FIELD_SERVER_NAME], &scratch);
    ensure(change_family(host).len > 0);
    ensure(change_language(host).len <= host.len);
    for (size_t i = 0; i < ALL; i++) {
        check_key(&values[i]);
    }
}

enum { BLANKS = 100 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct value values[FIELD_MAX], behind[FIELD_MAX];
    size_t at = 0, at_behind = 0;
    AUTO(buf) struct buf text = {0};
    const struct str given = str_n((const char *)data, size);
    const enum dead_reason reason = change_scan(set, given, values, &at);
    buf_addf(&text, "%*s", BLANKS, ""); /* a short text is read byte by byte, a long one by a kernel of the processor */
    buf_add(&text, given);
    buf_addf(&text, "%*s", BLANKS, "");
    ensure(change_scan(set, buf_str(&text), behind, &at_behind) == reason);
    if (reason != DEAD_NONE) {
        ensure(at <= size);
        ensure(at_behind == at + BLANKS || at == 0); /* nothing but blanks: the first byte */
        return 0;
    }
    for (size_t i = 0; i < ALL; i++) {
        ensure(values[i].kind == behind[i].kind && str_eq(values[i].raw, behind[i].raw));
    }
    use_values(values);
    return 0;
}
