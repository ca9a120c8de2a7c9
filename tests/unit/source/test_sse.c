/* SPDX-License-Identifier: MIT
 *
 * test_sse.c - the SSE parser: the rules of the standard one by one, and the same answer however the bytes are cut
 * (C2), judged by a naive parser that is given everything at once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/hash.h"
#include "source/sse.h"

#include <stdio.h>
#include <stdlib.h>

#define EACH(i, array) (size_t i = 0; i < sizeof(array) / sizeof((array)[0]); i++)

/* Everything a parse says, as one text: type|data|last id, then retry and what is sent back at the end. */
static void say_event(struct buf *out, struct str type, struct str data, struct str id)
{
    buf_addf(out, "<%.*s|", STR_ARG(type));
    buf_add(out, data);
    buf_addc(out, '|');
    buf_add(out, id);
    buf_addz(out, ">\n");
}

static void feed(struct sse *s, struct str piece, struct buf *out)
{
    struct sse_event event;
    enum sse_result result;
    /* a copy of its own size, so that a read beyond the piece is seen by the sanitizer */
    char *copy = malloc(piece.len ? piece.len : 1);
    memcpy(copy, piece.len ? piece.ptr : "", piece.len);
    struct str rest = str_n(copy, piece.len);
    while ((result = sse_next(s, &rest, &event)) != SSE_MORE) {
        if (result == SSE_EVENT) {
            say_event(out, event.type, event.data, buf_str(&s->last_id));
        } else {
            buf_addf(out, "<:%.*s>\n", STR_ARG(event.data));
        }
    }
    assert_int_equal(rest.len, 0);
    free(copy);
}

static void finish(struct sse *s, struct buf *out)
{
    buf_addf(out, "retry=%lld id=", (long long)s->retry_ms);
    buf_add(out, buf_str(&s->last_id));
    sse_fini(s);
}

static void parse_pieces(struct str text, const size_t *cuts, size_t count, struct buf *out)
{
    struct sse s;
    size_t from = 0;
    sse_init(&s, 1 << 20, 1 << 20);
    buf_clear(out);
    for (size_t i = 0; i <= count; i++) {
        size_t to = i < count ? cuts[i] : text.len;
        feed(&s, str_n(text.ptr + from, to - from), out);
        from = to;
    }
    finish(&s, out);
}

/* ---------------------------------------------------------------- the naive parser: all at once, line by line */

static void naive_line(struct str line, struct buf *data, struct buf *type, struct buf *id, bool *has_data,
                       int64_t *retry)
{
    size_t at = 0;
    while (at < line.len && line.ptr[at] != ':') {
        at++;
    }
    struct str name = str_n(line.ptr, at), value = {"", 0};
    if (at < line.len) {
        value = str_n(line.ptr + at + 1, line.len - at - 1);
        if (value.len && value.ptr[0] == ' ') {
            value = str_n(value.ptr + 1, value.len - 1);
        }
    }
    if (str_eqz(name, "data")) {
        if (*has_data) {
            buf_addc(data, '\n');
        }
        *has_data = true;
        buf_add(data, value);
    } else if (str_eqz(name, "event")) {
        buf_clear(type);
        buf_add(type, value);
    } else if (str_eqz(name, "id")) {
        if (!value.len || !memchr(value.ptr, 0, value.len)) {
            buf_clear(id);
            buf_add(id, value);
        }
    } else if (str_eqz(name, "retry") && value.len) {
        int64_t number;
        bool digits = true;
        for (size_t i = 0; i < value.len; i++) {
            digits = digits && value.ptr[i] >= '0' && value.ptr[i] <= '9';
        }
        if (digits) {
            *retry = str_to_int64(value, &number) ? number : INT64_MAX;
        }
    }
}

static void naive(struct str text, struct buf *out)
{
    struct buf data = {0}, type = {0}, id = {0}, last = {0};
    bool has_data = false;
    int64_t retry = -1;
    buf_clear(out);
    if (str_starts(text, STR("\xEF\xBB\xBF"))) {
        text = str_n(text.ptr + 3, text.len - 3);
    }
    for (size_t from = 0;;) {
        size_t to = from;
        while (to < text.len && text.ptr[to] != '\n' && text.ptr[to] != '\r') {
            to++;
        }
        if (to == text.len) {
            break;
        }
        struct str line = str_n(text.ptr + from, to - from);
        from = to + 1 + (text.ptr[to] == '\r' && to + 1 < text.len && text.ptr[to + 1] == '\n');
        if (line.len == 0) {
            buf_clear(&last);
            buf_add(&last, buf_str(&id));
            if (has_data) {
                say_event(out, type.len ? buf_str(&type) : STR("message"), buf_str(&data), buf_str(&last));
            }
            buf_clear(&data);
            buf_clear(&type);
            has_data = false;
        } else if (line.ptr[0] == ':') {
            buf_addf(out, "<:%.*s>\n", (int)line.len - 1, line.ptr + 1);
        } else {
            naive_line(line, &data, &type, &id, &has_data, &retry);
        }
    }
    buf_addf(out, "retry=%lld id=", (long long)retry);
    buf_add(out, buf_str(&last));
    buf_fini(&data);
    buf_fini(&type);
    buf_fini(&id);
    buf_fini(&last);
}

/* ---------------------------------------------------------------- fixtures */

#define F(text)                                                                                                        \
    {                                                                                                                  \
        text, sizeof(text) - 1                                                                                         \
    }
static const struct str fixtures[] = {
    F(":ok\n\nevent: message\nid: [{\"topic\":\"eqiad.x\",\"partition\":0,\"timestamp\":1}]\ndata: {\"a\":1}\n\n"),
    F("data: one\n\ndata: two\n\n"),
    F("data: one\r\n\r\ndata: two\r\rdata: three\n\ndata: four\r\n\n"),
    F("data: a\ndata: b\n\n"),
    F("event: x\r\ndata: a\r\ndata: b\r\n\r\ndata: c\rdata: d\r\r"),
    F("data\n\ndata\ndata\n\ndata:\n\n"),
    F("data:no blank\n\ndata:  two blanks\n\ndata:\ttab\n\n"),
    F("event: add\ndata: 1\n\ndata: 2\n\nevent:\ndata: 3\n\n"),
    F("id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\nid: 2\n\ndata: d\n\n"),
    F("id: a\0b\ndata: nul in id\n\nid: ok\ndata: nul \0 in data\n\n"),
    F("retry: 1000\n\nretry: 10x\n\nretry: -1\n\nretry:\n\nretry: 007\ndata: x\n\nretry: 99999999999999999999999\n\n"),
    F("Data: x\n data: y\ndata : z\ndata\0: w\nunknown: v\ndata: seen\n\n"),
    F("\xEF\xBB\xBF"
      "data: bom\n\n"),
    F("\xEF\xBB\xBF\xEF\xBB\xBF"
      "data: two boms\n\ndata: after\n\n"),
    F("\xEF\xBB"
      "data: half a bom\n\ndata: after\n\n"),
    F("\xEF"
      "data: a third of one\n\n"),
    F("data: unfinished"),
    F("data: done\n\nid: lost\ndata: unfinished\n"),
    F("id: lost\nevent: x\n"),
    F("\n\n\n\r\r\r\n\r\ndata: x\n\n"),
    F(":\n: \n::\n:a comment\ndata: x\n:inside\n\n"),
    F("data: \xC3\xA9\xE2\x80\xA8\xF0\x9D\x84\x9E\n\ndata: \xFF\xC0\xAF bad\n\n"),
    F("event: error\ndata: {\"message\":\"gone\"}\n\ndata: on\n\n"),
    F("\r"),
    F("data: cr at the end\r\rdata: x\r\n\r"),
    F("data: a\r\n\ndata: b\n\r\ndata: c\n\r\n"),
    F("event: a\nevent: b\ndata: last type wins\n\n"),
    F("data: a\nid: 1\nid: 2\nevent: e\nretry: 5\n\n"),
};

static uint64_t seed;

static void compare(struct str text, const size_t *cuts, size_t count, const struct buf *want, struct buf *got)
{
    parse_pieces(text, cuts, count, got);
    if (!str_eq(buf_str(got), buf_str(want))) {
        fprintf(stderr, "seed %llu, %zu cuts, first at %zu\nwant %s\ngot  %s\n", (unsigned long long)seed, count,
                count ? cuts[0] : 0, want->ptr, got->ptr);
        fail();
    }
}

static void cut_everywhere(struct str text, const struct buf *want, struct buf *got)
{
    size_t *all = malloc(sizeof(*all) * (text.len + 1));
    for (size_t i = 0; i <= text.len; i++) {
        compare(text, &i, 1, want, got);
        all[i] = i;
    }
    compare(text, all, text.len, want, got); /* byte by byte */
    free(all);
}

static void C2_split_anywhere(void **state)
{
    struct buf want = {0}, got = {0};
    struct rng rng;
    size_t splits = 0;
    (void)state;
    rng_init(&rng, seed);
    for
        EACH(i, fixtures)
        {
            naive(fixtures[i], &want);
            compare(fixtures[i], NULL, 0, &want, &got);
            cut_everywhere(fixtures[i], &want, &got);
            splits += fixtures[i].len + 2;
            for (int n = 0; n < 4000; n++, splits++) {
                size_t cuts[3];
                for (int k = 0; k < 3; k++) {
                    cuts[k] = rng_below(&rng, fixtures[i].len + 1);
                }
                size_t low = cuts[0] < cuts[1] ? cuts[0] : cuts[1], high = cuts[0] < cuts[1] ? cuts[1] : cuts[0];
                size_t sorted[3] = {cuts[2] < low ? cuts[2] : low,
                                    cuts[2] < low    ? low
                                    : cuts[2] < high ? cuts[2]
                                                     : high,
                                    cuts[2] > high ? cuts[2] : high};
                compare(fixtures[i], sorted, 3, &want, &got);
            }
        }
    assert_true(splits >= 100000);
    buf_fini(&want);
    buf_fini(&got);
}

/* Random texts of the pieces that matter, random cuts. */
static void random_texts_as_the_naive_parser(void **state)
{
    static const struct str parts[] = {F("data"),     F("data:"),     F("data: x"),      F(":"),    F("id: "), F("id"),
                                       F("event: e"), F("\n"),        F("\r"),           F("\r\n"), F("\n\n"), F(" "),
                                       F("\0"),       F("retry: 12"), F("\xEF\xBB\xBF"), F("\xEF"), F("é"),    F("x")};
    struct buf text = {0}, want = {0}, got = {0};
    struct rng rng;
    (void)state;
    rng_init(&rng, seed + 1);
    for (int round = 0; round < 20000; round++) {
        size_t cuts[8], count = rng_below(&rng, 9), at = 0;
        buf_clear(&text);
        for (uint64_t n = rng_below(&rng, 24); n > 0; n--) {
            buf_add(&text, parts[rng_below(&rng, sizeof(parts) / sizeof(parts[0]))]);
        }
        for (size_t i = 0; i < count; i++) {
            at += rng_below(&rng, text.len - at + 1);
            cuts[i] = at;
        }
        struct str whole = text.len ? buf_str(&text) : STR("");
        naive(whole, &want);
        compare(whole, cuts, count, &want, &got);
    }
    buf_fini(&text);
    buf_fini(&want);
    buf_fini(&got);
}

/* ---------------------------------------------------------------- the rules by hand */

static void check(struct str text, const char *want)
{
    struct buf got = {0};
    parse_pieces(text, NULL, 0, &got);
    assert_string_equal(got.ptr, want);
    buf_fini(&got);
}

static void rules_by_hand(void **state)
{
    (void)state;
    check(STR("data: a\ndata: b\n\n"), "<message|a\nb|>\nretry=-1 id=");
    check(STR("data\ndata\n\n"), "<message|\n|>\nretry=-1 id=");
    check(STR("data: x\n\nid: 7\n"), "<message|x|>\nretry=-1 id="); /* unfinished: its id must not count */
    check(STR("id: 7\n\n"), "retry=-1 id=7");                       /* no data, but the id counts */
    check(STR("id: 7\ndata: x\n\nid\n\n"), "<message|x|7>\nretry=-1 id=");
    check(STR("event: e\n\ndata: x\n\n"), "<message|x|>\nretry=-1 id="); /* the type does not outlive its block */
    check(STR("retry: 12\n"), "retry=12 id=");
    check(STR(" data: x\nData: y\n\n"), "retry=-1 id=");
    check(STR("\xEF\xBB\xBF"
              "data: x\n\n"),
          "<message|x|>\nretry=-1 id=");
    check(STR("\xEF\xBB\xBF\xEF\xBB\xBF"
              "data: x\ndata: y\n\n"),
          "<message|y|>\nretry=-1 id=");
}

/* A line over the maximum is skipped to its end, said, and what follows is whole again; memory stays bounded. */
static void oversize_lines(void **state)
{
    struct sse s;
    struct sse_event event;
    char piece[1000];
    (void)state;
    sse_init(&s, 100, 150);
    memset(piece, 'x', sizeof(piece));
    struct str in = STR("data: ");
    assert_int_equal(sse_next(&s, &in, &event), SSE_MORE);
    for (int i = 0; i < 1000; i++) {
        in = str_n(piece, sizeof(piece));
        assert_int_equal(sse_next(&s, &in, &event), SSE_MORE);
    }
    in = STR("\n\ndata: next\n\n");
    assert_int_equal(sse_next(&s, &in, &event), SSE_EVENT);
    assert_true(event.truncated);
    assert_int_equal(event.data.len, 94);
    assert_int_equal(s.oversize_lines, 1);
    assert_true(s.line.cap + s.data.cap < 1024);
    assert_int_equal(sse_next(&s, &in, &event), SSE_EVENT);
    assert_false(event.truncated);
    assert_true(str_eqz(event.data, "next"));

    in = STR("id: ok\ndata: 1234567890123456789012345678901234567890123456789012345678901234567890123456789012345\n"
             "data: 1234567890123456789012345678901234567890123456789012345678901234567890123456789012345\n\n");
    assert_int_equal(sse_next(&s, &in, &event), SSE_EVENT); /* each line fits, the event does not */
    assert_true(event.truncated);
    assert_int_equal(event.data.len, 150);
    assert_int_equal(s.oversize_lines, 1);
    assert_true(str_eqz(buf_str(&s.last_id), "ok"));
    sse_fini(&s);
}

/* The id of a line that was too long is not taken. */
static void oversize_id_is_ignored(void **state)
{
    struct sse s;
    struct sse_event event;
    char id[300];
    (void)state;
    sse_init(&s, 100, 100);
    memset(id, '1', sizeof(id));
    struct str in = STR("id: good\ndata: a\n\nid: ");
    assert_int_equal(sse_next(&s, &in, &event), SSE_EVENT);
    sse_next(&s, &in, &event);
    in = str_n(id, sizeof(id));
    sse_next(&s, &in, &event);
    in = STR("\ndata: b\n\n");
    assert_int_equal(sse_next(&s, &in, &event), SSE_EVENT);
    assert_true(str_eqz(buf_str(&s.last_id), "good"));
    assert_int_equal(s.oversize_lines, 1);
    sse_fini(&s);
}

static void looks_like(void **state)
{
    (void)state;
    assert_true(sse_looks_like(STR(":ok\n\n")));
    assert_true(sse_looks_like(STR("\xEF\xBB\xBF\r\n\nevent: message\n")));
    assert_true(sse_looks_like(STR("id: 1\n")) && sse_looks_like(STR("data:x")) && sse_looks_like(STR("retry: 1")));
    assert_false(sse_looks_like(STR("{\"data\":1}\n")));
    assert_false(sse_looks_like(STR("")) || sse_looks_like(STR("dat")) || sse_looks_like(STR(" data: x")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_by_hand),
        cmocka_unit_test(C2_split_anywhere),
        cmocka_unit_test(random_texts_as_the_naive_parser),
        cmocka_unit_test(oversize_lines),
        cmocka_unit_test(oversize_id_is_ignored),
        cmocka_unit_test(looks_like),
    };
    const char *given = getenv("WIKITALLY_SEED");
    seed = given ? strtoull(given, NULL, 10) : 20260501;
    fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
    return cmocka_run_group_tests_name("sse", tests, NULL, NULL);
}
