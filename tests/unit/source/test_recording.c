/* SPDX-License-Identifier: MIT
 *
 * test_recording.c - a recording is what its content says: which lines are journal-dump lines, and which only look
 * like it; the beginning by which raw SSE is told; what a damaged file says. Whole runs over files: test_file.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "source/recording.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

static char path[] = "/tmp/wikitally-test-recording-XXXXXX";

static void put(struct str bytes)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes.ptr, 1, bytes.len, f), bytes.len);
    fclose(f);
}

static void open_ok(struct recording **ret)
{
    struct err err = {0};
    if (recording_open(path, ret, &err)) {
        fail_msg("%s", err.text);
    }
}

/* -> the next record's bytes, borrowed; ptr NULL: the end. */
static struct str next(struct recording *r, int64_t *ret_arrival_us)
{
    struct err err = {0};
    struct str bytes = {NULL, 0};
    bool more = false;
    if (recording_next(r, &bytes, ret_arrival_us, &more, &err)) {
        fail_msg("%s", err.text);
    }
    return more && bytes.ptr ? bytes : str_n(more ? "" : NULL, 0);
}

static void assert_bytes(struct str got, struct str want)
{
    if (!got.ptr || !str_eq(got, want)) {
        fail_msg("\"%.*s\" instead of \"%.*s\"", STR_ARG(got), STR_ARG(want));
    }
}

/* One line, then another one, which must be read whatever the first was. */
static void assert_line(struct str line, struct str want, int64_t want_us)
{
    AUTO(buf) struct buf text = {0};
    struct recording *r = NULL;
    int64_t arrival_us = 0;
    buf_add(&text, line);
    buf_addz(&text, "\n{\"next\":1}\n");
    put(buf_str(&text));
    open_ok(&r);
    assert_bytes(next(r, &arrival_us), want);
    if (arrival_us != want_us) {
        fail_msg("%.*s: arrival %lld", STR_ARG(line), (long long)arrival_us);
    }
    assert_int_equal(recording_place(r), 1);
    assert_bytes(next(r, &arrival_us), STR("{\"next\":1}"));
    assert_int_equal(arrival_us, TIME_NONE);
    assert_int_equal(recording_place(r), 2);
    assert_null(next(r, &arrival_us).ptr);
    recording_close(r);
}

/* ---- journal-dump lines */

#define ENVELOPE(arrival, value) "{\"partition\":0,\"offset\":1,\"arrival_ms\":" arrival "," value "}"

static void an_envelope_is_taken_off(void **state)
{
    static const struct {
        const char *line, *value;
        int64_t arrival_us;
    } lines[] = {
        {ENVELOPE("7", "\"value\":{\"a\":{}}"), "{\"a\":{}}", 7000},
        {ENVELOPE("0", "\"value\":{}"), "{}", 0},
        {" { \"partition\" : 12 , \"offset\" :  34 , \"arrival_ms\"  : 7 , \"value\" : { } } \t\r", "{ }", 7000},
        {"{\"partition\":-1,\"offset\":-9223372036854775808,\"arrival_ms\":null,\"value\":{}}", "{}", TIME_NONE},
        {ENVELOPE("-1", "\"value\":{}"), "{}", TIME_NONE}, /* no time at all, and one that no clock shows */
        {ENVELOPE("9223372036854775807", "\"value\":{}"), "{}", TIME_NONE},
        {ENVELOPE("7", "\"value\":"), "", 7000}, /* what is inside is a record, good or not: decoding judges it */
        {ENVELOPE("7", "\"value\":null"), "null", 7000},
        {ENVELOPE("7", "\"value\":nullify"), "nullify", 7000},
        {ENVELOPE("7", "\"value\":null,\"value\":\"eA==\""), "null,\"value\":\"eA==\"", 7000},
        {ENVELOPE("7", "\"value\":null,\"value_b64\" \"eA==\""), "null,\"value_b64\" \"eA==\"", 7000},
        {ENVELOPE("7", "\"value\":null,\"value_b64\":7"), "null,\"value_b64\":7", 7000},
        {ENVELOPE("7", "\"value\":null,\"value_b64\":\"eA=="), "null,\"value_b64\":\"eA==", 7000},
        {ENVELOPE("7", "\"value\":null,\"value_b64\":\"eA==\""), "x", 7000},
        {ENVELOPE("7", "\"value\": null , \"value_b64\" : \"eA\""), "x", 7000},
        {ENVELOPE("7", "\"value\":null,\"value_b64\":\"\""), "", 7000},
        {ENVELOPE("7", "\"value\":null,\"value_b64\":\"==\""), "", 7000},
    };
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        assert_line(str_of(lines[i].line), str_of(lines[i].value), lines[i].arrival_us);
    }
}

/* An event may have such members too: only the whole form is an envelope, anything else is a record as it stands. */
static void what_is_nearly_an_envelope_is_a_record(void **state)
{
    static const char *const lines[] = {
        "{",
        "[\"partition\":0,\"offset\":1,\"arrival_ms\":7,\"value\":{}}",
        "{\"offset\":1,\"arrival_ms\":7,\"value\":{}}",
        "{\"partition\" 0,\"offset\":1,\"arrival_ms\":7,\"value\":{}}",
        "{\"partition\":\"0\",\"offset\":1,\"arrival_ms\":7,\"value\":{}}",
        "{\"partition\":0/1,\"offset\":1,\"arrival_ms\":7,\"value\":{}}",
        "{\"partition\":--1,\"offset\":1,\"arrival_ms\":7,\"value\":{}}",
        "{\"partition\":12",
        "{\"partition\":123456789012345678901,\"offset\":1,\"arrival_ms\":7,\"value\":{}}",
        "{\"partition\":0 \"offset\":1,\"arrival_ms\":7,\"value\":{}}",
        "{\"partition\":0,\"ofset\":1,\"arrival_ms\":7,\"value\":{}}",
        "{\"partition\":0,\"offset\":null,\"arrival_ms\":7,\"value\":{}}",
        "{\"partition\":0,\"offset\":1}",
        "{\"partition\":0,\"offset\":1,\"arrival\":7,\"value\":{}}",
        "{\"partition\":0,\"offset\":1,\"arrival_ms\";7,\"value\":{}}",
        ENVELOPE("\"7\"", "\"value\":{}"),
        ENVELOPE("7.5", "\"value\":{}"),
        ENVELOPE("9223372036854775808", "\"value\":{}"),
        "{\"partition\":0,\"offset\":1,\"arrival_ms\":7}",
        ENVELOPE("7", "\"valve\":{}"),
        ENVELOPE("7", "\"value\",{}"),
        "{\"partition\":0,\"offset\":1,\"arrival_ms\":7,\"value\":{\"a\":1",
        "{\"partition\":0,\"offset\":1,\"arrival_ms\":7,\"value\":",
        ENVELOPE("7", "\"value\":null,\"value_b64\":\"eA=A\""), /* no base64: nothing is guessed */
    };
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        assert_line(str_of(lines[i]), str_of(lines[i]), TIME_NONE);
    }
}

static void every_digit_of_base64_has_its_bits(void **state)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    (void)state;
    for (int c = ' '; c < 0x80; c++) { /* at two places: its upper and its lower bits are the end of a byte */
        AUTO(buf) struct buf line = {0};
        const char *digit = strchr(digits, c);
        if (c == '"' || c == '=') {
            continue;
        }
        buf_addf(&line, ENVELOPE("7", "\"value\":null,\"value_b64\":\"A%c\""), c);
        const char byte = (char)(digit ? (digit - digits) >> 4 : 0);
        assert_line(buf_str(&line), digit ? str_n(&byte, 1) : buf_str(&line), digit ? 7000 : TIME_NONE);
        buf_clear(&line);
        buf_addf(&line, ENVELOPE("7", "\"value\":null,\"value_b64\":\"AA%cA\""), c);
        const char bytes[] = {0, (char)(digit ? (digit - digits) >> 2 : 0), (char)(digit ? (digit - digits) << 6 : 0)};
        assert_line(buf_str(&line), digit ? str_n(bytes, 3) : buf_str(&line), digit ? 7000 : TIME_NONE);
    }
}

/* ---- how the kind is told */

static void a_beginning_tells_the_kind(void **state)
{
    static const struct {
        const char *text, *first;
        int64_t place;
    } files[] = {
        {"data: {\"a\":1}\n\n", "{\"a\":1}", 1},
        {"\xEF\xBB\xBF"
         "data: {\"a\":1}\n\n",
         "{\"a\":1}", 1},
        {"\xEF\xBB\xBF\r\n\n\r\nevent: message\r\ndata: {\"a\":1}\r\n\r\n", "{\"a\":1}", 1},
        {"\r\r\rid: 7\rdata: x\r\r", "x", 1},
        {"\r\n\n{\"a\":1}\n", "{\"a\":1}", 3},
        {"\xEF\xBB\xBF{\"a\":1}\n", "\xEF\xBB\xBF{\"a\":1}", 1}, /* a BOM is no JSON: decoding says so */
        {"dat\n", "dat", 1},
        {"\n\xEF\xBB\xBF"
         "data: x\n\n",
         "\xEF\xBB\xBF"
         "data: x",
         2},
    };
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct recording *r = NULL;
        int64_t arrival_us = 0;
        put(str_of(files[i].text));
        open_ok(&r);
        assert_bytes(next(r, &arrival_us), str_of(files[i].first));
        assert_int_equal(recording_place(r), files[i].place);
        assert_int_equal(arrival_us, TIME_NONE);
        assert_null(next(r, &arrival_us).ptr);
        recording_close(r);
    }
}

/* Empty lines tell nothing, but it is not waited for ever: what is behind 4 KiB of them decides no more. */
static void nothing_but_empty_lines_is_no_sse(void **state)
{
    static const struct {
        size_t empty;
        const char *first;
        int64_t place;
    } files[] = {{4000, "{}", 1}, {300000, "data: {}", 300001}};
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        AUTO(buf) struct buf text = {0};
        struct recording *r = NULL;
        int64_t arrival_us = 0;
        memset(buf_reserve(&text, files[i].empty), '\n', files[i].empty);
        text.len += files[i].empty;
        buf_addz(&text, "data: {}\n\n");
        put(buf_str(&text));
        open_ok(&r);
        assert_bytes(next(r, &arrival_us), str_of(files[i].first));
        assert_int_equal(recording_place(r), files[i].place);
        recording_close(r);
    }
}

/* ---- what a damaged file says */

/* A gzip file of SSE messages or of lines, without its last bytes. */
static void put_cut_gzip(bool sse, int count, size_t keep)
{
    static char packed[1 << 16];
    gzFile z = gzopen(path, "wb");
    for (int i = 0; i < count; i++) {
        gzprintf(z, sse ? "data: {\"number\":%d}\n\n" : "{\"number\":%d}\n", i);
    }
    gzclose(z);
    FILE *f = fopen(path, "rb");
    size_t len = fread(packed, 1, sizeof packed, f);
    fclose(f);
    put(str_n(packed, keep < len ? keep : len));
}

static void a_damaged_recording_is_said_by_name(void **state)
{
    static const struct {
        bool sse;
        int count;
        size_t keep;
        int least; /* records before it */
    } files[] = {{true, 5000, 8000, 1000}, {false, 5000, 8000, 1000}, {true, 5000, 12, 0}, {false, 1, 18, 0}};
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct recording *r = NULL;
        struct err err = {0};
        struct str bytes;
        int64_t arrival_us;
        bool more = true;
        int seen = 0;
        enum err_class cls;
        put_cut_gzip(files[i].sse, files[i].count, files[i].keep);
        open_ok(&r);
        for (; (cls = recording_next(r, &bytes, &arrival_us, &more, &err)) == ERR_NONE && more; seen++) {
            AUTO(buf) struct buf want = {0};
            buf_addf(&want, "{\"number\":%d}", seen);
            assert_bytes(bytes, buf_str(&want));
        }
        assert_int_equal(cls, ERR_REJECT);
        assert_int_equal(err_exit_code(&err), EXIT_DATA);
        assert_non_null(strstr(err.text, path));
        assert_non_null(strstr(err.text, "cut off"));
        assert_in_range(seen, files[i].least, files[i].count - 1);
        recording_close(r);
    }
}

static void what_is_not_there_leaves_nothing_to_close(void **state)
{
    struct recording *r = NULL;
    struct err err = {0};
    (void)state;
    assert_int_equal(recording_open("/nowhere/at/all", &r, &err), ERR_FATAL);
    assert_int_equal(err_exit_code(&err), EXIT_NOINPUT);
    assert_non_null(strstr(err.text, "\"/nowhere/at/all\""));
    assert_null(r);
    recording_close(r);
}

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_envelope_is_taken_off),
        cmocka_unit_test(what_is_nearly_an_envelope_is_a_record),
        cmocka_unit_test(every_digit_of_base64_has_its_bits),
        cmocka_unit_test(a_beginning_tells_the_kind),
        cmocka_unit_test(nothing_but_empty_lines_is_no_sse),
        cmocka_unit_test(a_damaged_recording_is_said_by_name),
        cmocka_unit_test(what_is_not_there_leaves_nothing_to_close),
    };
    return cmocka_run_group_tests_name("recording", tests, make_file, remove_file);
}
