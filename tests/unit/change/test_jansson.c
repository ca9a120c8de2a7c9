/* SPDX-License-Identifier: MIT
 *
 * test_jansson.c - the scanner against jansson: every capture, made events, and thousands of mutations of both must be
 * judged alike, and every registered path must hold the same value.
 *
 * Not compared is what jansson cannot do: \u0000 in keys, numbers beyond a double, integers beyond 64 bits (as values),
 * and a NUL byte, which it loses when it looks one byte ahead of a number (jansson 2.14): such a text is never good.
 * Depth is our own bound. Captures are read from ../shared/data (WIKITALLY_SHARED), if they are there.
 */
#include "change_test.h"

#include <dirent.h>
#include <jansson.h>
#include <zlib.h>

static const char *const paths[] = {"meta",       "comment",      "parsedcomment", "length",
                                    "length.old", "length.new",   "log_params",    "$schema",
                                    "a",          "a.b",          "a.b.c",         "minor",
                                    "tags",       "revision.new", "time",          "oresscores.damaging.true"};
enum { PATHS = sizeof paths / sizeof *paths };
enum { POOL_MAX = 4000, MUTATIONS = 30000 };

struct bench {
    struct event event;
    size_t compared, accepted, beyond; /* beyond: what jansson cannot do */
    char **pool;                       /* some of the records, for mutations */
    size_t *pool_lens;
    size_t pool_count;
};

/* Some errors are limits of jansson's, not defects of the text. */
static bool is_limit(const json_error_t *error)
{
    return json_error_code(error) == json_error_numeric_overflow || strstr(error->text, "NUL byte in object key");
}

static const json_t *walk(const json_t *at, struct str path)
{
    struct str part;
    while (at && str_split(&path, '.', &part)) {
        char name[FIELD_MAX];
        snprintf(name, sizeof name, "%.*s", STR_ARG(part));
        at = json_object_get(at, name); /* NULL for what is no object */
    }
    return at;
}

static bool same_string(const struct value *v, const json_t *want)
{
    AUTO(buf) struct buf scratch = {0};
    return v->kind == VALUE_STRING &&
           str_eq(value_string(v, &scratch), str_n(json_string_value(want), json_string_length(want)));
}

static bool same_value(const struct value *v, const json_t *want)
{
    if (!want) {
        return v->kind == VALUE_ABSENT;
    }
    switch (json_typeof(want)) {
    case JSON_OBJECT:
        return v->kind == VALUE_OBJECT && v->raw.ptr[0] == '{' && v->raw.ptr[v->raw.len - 1] == '}';
    case JSON_ARRAY:
        return v->kind == VALUE_ARRAY && v->raw.ptr[0] == '[' && v->raw.ptr[v->raw.len - 1] == ']';
    case JSON_STRING:
        return same_string(v, want);
    case JSON_INTEGER:
        return v->kind == VALUE_INT && v->number == json_integer_value(want);
    case JSON_REAL: {
        char text[64];
        snprintf(text, sizeof text, "%.*s", STR_ARG(v->raw));
        return v->kind == VALUE_NUMBER &&
               (v->raw.len >= sizeof text ||
                memcmp(&(double){strtod(text, NULL)}, &(double){json_real_value(want)}, sizeof(double)) == 0);
    }
    case JSON_TRUE:
        return v->kind == VALUE_TRUE;
    case JSON_FALSE:
        return v->kind == VALUE_FALSE;
    case JSON_NULL:
        return v->kind == VALUE_NULL;
    }
    return false;
}

/* All of the record: what cmocka prints is cut off. */
static void show(struct str text)
{
    AUTO(buf) struct buf printable = {0};
    buf_add_printable(&printable, text, text.len);
    fprintf(stderr, "%.*s\n", STR_ARG(buf_str(&printable)));
}

static void compare_values(struct bench *b, struct str text)
{
    json_error_t error;
    json_t *json = json_loadb(text.ptr, text.len, JSON_ALLOW_NUL, &error);
    if (!json) {
        assert_true(is_limit(&error)); /* an integer beyond 64 bits somewhere */
        b->beyond++;
        return;
    }
    for (size_t i = 0; i < field_set_count(b->event.set); i++) {
        const struct str path = field_set_path(b->event.set, i);
        if (!same_value(&b->event.values[i], walk(json, path))) {
            show(text);
            fail_msg("%.*s differs (kind %d)", STR_ARG(path), b->event.values[i].kind);
        }
    }
    json_decref(json);
}

static void compare(struct bench *b, struct str given)
{
    /* A copy of exactly its length, so that a sanitizer sees a byte too far. */
    AUTO_FREE char *copy = xmalloc(given.len ? given.len : 1);
    memcpy(copy, given.ptr, given.len);
    const struct str text = str_n(copy, given.len);
    const enum dead_reason reason = event_scan(&b->event, text);
    json_error_t error = {0};
    json_t *json = json_loadb(text.ptr, text.len, JSON_ALLOW_NUL | JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, &error);
    const bool object = json_is_object(json), limit = !json && is_limit(&error);
    const bool any = json != NULL;
    json_decref(json);
    b->compared++;
    if (memchr(text.ptr, '\0', text.len)) {
        assert_true(reason != DEAD_NONE && reason != DEAD_NOT_OBJECT);
        b->beyond++;
        return;
    }
    if (reason == DEAD_TOO_DEEP || limit) {
        b->beyond++;
        return;
    }
    if ((reason == DEAD_NONE) != object || (reason == DEAD_NOT_OBJECT) != (any && !object)) {
        show(text);
        fail_msg("%s, jansson: %s", dead_reason_name(reason), any ? "good" : error.text);
    }
    if (reason == DEAD_NONE) {
        b->accepted++;
        compare_values(b, text);
    }
}

static void keep(struct bench *b, struct str text)
{
    if (b->pool_count < POOL_MAX) {
        b->pool[b->pool_count] = str_dup(text);
        b->pool_lens[b->pool_count++] = text.len;
    }
}

static void bench_init(struct bench *b)
{
    *b = (struct bench){0};
    event_init(&b->event, paths, PATHS);
    b->pool = xcalloc(POOL_MAX, sizeof *b->pool);
    b->pool_lens = xcalloc(POOL_MAX, sizeof *b->pool_lens);
}

static void bench_fini(struct bench *b)
{
    for (size_t i = 0; i < b->pool_count; i++) {
        free(b->pool[i]);
    }
    free(b->pool);
    free(b->pool_lens);
    event_fini(&b->event);
}

/* ---- captures */

static void compare_file(struct bench *b, const char *name)
{
    gzFile file = gzopen(name, "rb");
    assert_non_null(file);
    const size_t room = (size_t)8 << 20;
    AUTO_FREE char *line = xmalloc(room);
    size_t number = 0;
    while (gzgets(file, line, (int)room)) {
        size_t len = strlen(line);
        len -= len > 0 && line[len - 1] == '\n';
        compare(b, str_n(line, len));
        if (number++ % 97 == 0) {
            keep(b, str_n(line, len));
        }
    }
    gzclose(file);
}

static void compare_captures(struct bench *b)
{
    const char *shared = getenv("WIKITALLY_SHARED"), *root = getenv("WIKITALLY_SOURCE_ROOT");
    AUTO(buf) struct buf folder = {0};
    if (shared) {
        buf_addf(&folder, "%s/data", shared);
    } else {
        buf_addf(&folder, "%s/../shared/data", root ? root : ".");
    }
    DIR *dir = opendir(folder.ptr);
    if (!dir) {
        print_message("# no captures in %s\n", folder.ptr);
        return;
    }
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (str_ends(str_of(entry->d_name), STR(".ndjson.gz"))) {
            AUTO(buf) struct buf name = {0};
            buf_addf(&name, "%s/%s", folder.ptr, entry->d_name);
            compare_file(b, name.ptr);
        }
    }
    closedir(dir);
    assert_true(b->accepted > 1000);
}

/* ---- made events */

static const char *const scalars[] = {"0",
                                      "-0",
                                      "17",
                                      "-3",
                                      "9223372036854775807",
                                      "1.5",
                                      "-0.0",
                                      "1e3",
                                      "12E-2",
                                      "\"\"",
                                      "true",
                                      "false",
                                      "null",
                                      "\"x\"",
                                      "\"\\u00e9\\ud83d\\ude00\"",
                                      "[]",
                                      "{}",
                                      "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
                                      "\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\"",
                                      "\"\\u0000\"",
                                      "9223372036854775808",
                                      "\"0123456789012345678901234567890123456789012345678901234567890123\""};
static const char *const keys[] = {"a",   "b",   "c",     "\\u0061", "meta",     "id", "dt",        "length",
                                   "old", "new", "title", "user",    "\xc3\xa9", "",   "timestamp", "d\\u006fmain"};
#define PICK(rng, table) table[rng_below(rng, sizeof(table) / sizeof *(table))]

static void blanks(struct buf *out, struct rng *rng)
{
    static const char *const some[] = {"", "", "", "", "", " ", "\t", "\r\n", "  "};
    buf_addz(out, PICK(rng, some));
}

static void add_json(struct buf *out, struct rng *rng, int depth)
{
    const uint64_t kind = depth == 0 ? 9 : rng_below(rng, 10);
    if (kind < 6 || depth > 4) {
        buf_addz(out, PICK(rng, scalars));
        return;
    }
    const bool object = kind > 7;
    buf_addc(out, object ? '{' : '[');
    blanks(out, rng);
    const uint64_t count = rng_below(rng, 6);
    for (uint64_t i = 0; i < count; i++) {
        buf_addz(out, i ? "," : "");
        blanks(out, rng);
        if (object) {
            buf_addf(out, "\"%s\"", PICK(rng, keys));
            blanks(out, rng);
            buf_addc(out, ':');
            blanks(out, rng);
        }
        add_json(out, rng, depth + 1);
        blanks(out, rng);
    }
    buf_addc(out, object ? '}' : ']');
}

static void compare_made(struct bench *b, struct rng *rng)
{
    for (int i = 0; i < 4000; i++) {
        AUTO(buf) struct buf text = {0};
        blanks(&text, rng);
        add_json(&text, rng, (int)rng_below(rng, 8) == 0);
        blanks(&text, rng);
        compare(b, buf_str(&text));
        keep(b, buf_str(&text));
    }
}

/* ---- mutations */

static const char *const pieces[] = {"\"",
                                     "\\",
                                     "{",
                                     "}",
                                     "[",
                                     "]",
                                     ",",
                                     ":",
                                     "0",
                                     "-",
                                     "e1",
                                     ".0",
                                     " ",
                                     "\n",
                                     "\t",
                                     "null",
                                     "tru",
                                     "\x01",
                                     "\\u0041",
                                     "\\ud800",
                                     "\\udc00",
                                     "\\u00",
                                     "\xc3\xa9",
                                     "\xed\xa0\x80",
                                     "\xff",
                                     "\xf0\x9f\x98\x80",
                                     "\xf0\x9f",
                                     "{\"a\":",
                                     "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["};

static void splice(struct buf *text, size_t at, size_t drop, struct str put)
{
    AUTO(buf) struct buf all = {0};
    buf_add(&all, str_n(text->ptr, at));
    buf_add(&all, put);
    buf_add(&all, str_n(text->ptr + at + drop, text->len - at - drop));
    buf_clear(text);
    buf_add(text, buf_str(&all));
}

static void mutate(struct buf *text, struct rng *rng)
{
    const size_t at = rng_below(rng, text->len + 1), left = text->len - at;
    switch (rng_below(rng, 6)) {
    case 0:
        if (left > 0) {
            text->ptr[at] = (char)rng_below(rng, 256);
        }
        break;
    case 1:
        splice(text, at, left ? 1 + rng_below(rng, left < 9 ? left : 9) : 0, STR(""));
        break;
    case 2:
        splice(text, at, left, STR(""));
        break;
    case 3: {
        AUTO(buf) struct buf twice = {0};
        buf_add(&twice, str_n(text->ptr + at, rng_below(rng, left < 60 ? left + 1 : 60)));
        splice(text, at, 0, buf_str(&twice));
        break;
    }
    default:
        splice(text, at, 0, str_of(PICK(rng, pieces)));
    }
}

static void compare_mutated(struct bench *b, struct rng *rng)
{
    for (int i = 0; i < MUTATIONS; i++) {
        const size_t which = rng_below(rng, b->pool_count);
        AUTO(buf) struct buf text = {0};
        buf_add(&text, str_n(b->pool[which], b->pool_lens[which]));
        buf_addz(&text, "");
        for (uint64_t n = 1 + rng_below(rng, 3); n > 0; n--) {
            mutate(&text, rng);
        }
        compare(b, buf_str(&text));
    }
}

static void R2_judged_as_jansson_does(void **state)
{
    (void)state;
    struct bench b;
    struct rng rng;
    rng_init(&rng, test_seed());
    bench_init(&b);
    compare_captures(&b);
    compare_made(&b, &rng);
    const size_t before = b.compared, accepted_before = b.accepted;
    compare_mutated(&b, &rng);
    const size_t mutated = b.compared - before, good = b.accepted - accepted_before;
    print_message("# %zu compared, %zu accepted, %zu beyond jansson\n", b.compared, b.accepted, b.beyond);
    assert_true(good > mutated / 50 && good < mutated * 49 / 50); /* both sorts must come up */
    assert_true(b.beyond < b.compared / 10);
    bench_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(R2_judged_as_jansson_does)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
