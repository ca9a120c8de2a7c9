/* SPDX-License-Identifier: MIT
 *
 * test_file.c - recordings and the file source: every kind of recording gives the same records; arrivals; a kill at
 * each commit loses and doubles nothing; pacing; stopping; limits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "memory_output.h"
#include "source/recording.h"

#include <stdio.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

static char folder[] = "/tmp/wikitally-test-file-XXXXXX";
static int64_t wall_us = 1780272000 * US_PER_SECOND;

static const char *path_of(const char *name)
{
    static char paths[4][256];
    static int next;
    next = (next + 1) % 4;
    snprintf(paths[next], sizeof(paths[0]), "%s/%s", folder, name);
    return paths[next];
}

static void put_file(const char *name, struct str bytes)
{
    FILE *f = fopen(path_of(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes.len ? bytes.ptr : "", 1, bytes.len, f), bytes.len);
    fclose(f);
}

/* made-up events, with duplicates and records that cannot be decoded, one a line. Two a second, so that most of them
 * are older than the horizon at the end: only the file's own position keeps them from being read again. */
static void make_lines(struct buf *out, int count, bool sse)
{
    struct generator *g = generator_new(&(struct generator_options){
        .seed = 7, .rate = 2, .late = 0, .duplicates = 0.02, .poison = 0.01, .start_us = TIME_NONE});
    for (int i = 0; i < count; i++) {
        int64_t arrival_us;
        struct str e = generator_next(g, &arrival_us);
        buf_addz(out, sse ? "event: message\nid: []\ndata: " : "");
        buf_add(out, e);
        buf_addz(out, sse ? "\n\n" : "\n");
    }
    generator_free(g);
}

static enum err_class run(struct memory_output *m, const struct source_options *options,
                          const struct file_options *file, bool *ret_ended, struct err *err)
{
    struct source *s;
    bool ended = false;
    enum err_class cls = source_open_files(options, file, &s, err);
    if (!cls) {
        cls = s->ops->run(s, &m->output, &ended, err);
        s->ops->free(s);
    }
    if (ret_ended) {
        *ret_ended = ended;
    }
    return cls;
}

static void run_to_end(struct memory_output *m, const char *path)
{
    struct source_options options = memory_options(&clock_real);
    struct err err = {0};
    bool ended;
    if (run(m, &options, &(struct file_options){.paths = &path, .path_count = 1}, &ended, &err)) {
        fail_msg("%s", err.text);
    }
    assert_true(ended);
}

static void assert_same(const struct memory_output *a, const struct memory_output *b)
{
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->dead_count, b->dead_count);
    for (size_t i = 0; i < a->count; i++) {
        assert_true(str_eq(a->records[i].value, b->records[i].value));
        assert_int_equal(a->records[i].arrival_us, b->records[i].arrival_us);
    }
    for (size_t i = 0; i < a->dead_count; i++) {
        assert_true(str_eq(a->dead[i].bytes, b->dead[i].bytes));
    }
}

/* ---------------------------------------------------------------- kinds of recordings */

static void put_gzip(const char *name, struct str bytes)
{
    gzFile f = gzopen(path_of(name), "wb");
    assert_int_equal(gzwrite(f, bytes.ptr, (unsigned)bytes.len), (int)bytes.len);
    gzclose(f);
}

static void put_zstd(const char *name, struct str bytes)
{
    size_t max = ZSTD_compressBound(bytes.len);
    char *packed = xmalloc(max);
    put_file(name, str_n(packed, ZSTD_compress(packed, max, bytes.ptr, bytes.len, 3)));
    free(packed);
}

static void every_kind_gives_the_same_records(void **state)
{
    static const char *const names[] = {"a.ndjson", "a.ndjson.gz", "a.ndjson.zst", "a.sse", "a.sse.gz"};
    struct memory_output *first = memory_output_new();
    struct buf lines = {0}, sse = {0};
    (void)state;
    make_lines(&lines, 3000, false);
    make_lines(&sse, 3000, true);
    buf_addz(&sse, "event: error\ndata: {\"message\":\"no record\"}\n\ndata: {\"unfinished\":1}");
    put_file("a.ndjson", buf_str(&lines));
    put_gzip("a.ndjson.gz", buf_str(&lines));
    put_zstd("a.ndjson.zst", buf_str(&lines));
    put_file("a.sse", buf_str(&sse));
    put_gzip("a.sse.gz", buf_str(&sse));
    run_to_end(first, path_of("a.ndjson"));
    assert_true(first->count > 2800 && first->dead_count > 10);
    for (size_t i = 1; i < sizeof(names) / sizeof(names[0]); i++) {
        struct memory_output *m = memory_output_new();
        run_to_end(m, path_of(names[i]));
        assert_same(first, m);
        memory_output_free(m);
    }
    memory_output_free(first);
    buf_fini(&lines);
    buf_fini(&sse);
}

static void read_all(const char *name, const char *const *want, const int64_t *arrivals, size_t count)
{
    struct recording *r;
    struct err err = {0};
    bool more = true;
    assert_int_equal(recording_open(path_of(name), &r, &err), ERR_NONE);
    for (size_t i = 0; i <= count; i++) {
        struct str bytes;
        int64_t arrival_us;
        assert_int_equal(recording_next(r, &bytes, &arrival_us, &more, &err), ERR_NONE);
        assert_int_equal(more, i < count);
        if (more) {
            assert_int_equal(bytes.len, strlen(want[i]));
            assert_memory_equal(bytes.ptr, want[i], bytes.len);
            assert_int_equal(arrival_us, arrivals ? arrivals[i] : TIME_NONE);
        }
    }
    recording_close(r);
}

static void lines_as_oracle_1_says(void **state)
{
    const char *const want[] = {"{\"a\":1}\r", " x ", "{\"partition\":1}", "last"};
    (void)state;
    put_file("l", STR("{\"a\":1}\r\n\n \t\r\n x \n{\"partition\":1}\nlast"));
    read_all("l", want, NULL, 4);
    put_file("l", STR(""));
    read_all("l", NULL, NULL, 0);
    put_file("l", STR("\n\n"));
    read_all("l", NULL, NULL, 0);
}

static void dump_lines_are_unpacked(void **state)
{
    const char *const want[] = {"{\"a\":1}", "{\"b\":{}}", "not json \xFF", "{\"partition\":0,\"offset\":x}"};
    const int64_t arrivals[] = {1780000000123000, TIME_NONE, 5000, TIME_NONE};
    (void)state;
    put_file("d",
             STR("{\"partition\":0,\"offset\":0,\"arrival_ms\":1780000000123,\"value\":{\"a\":1}}\n"
                 "{\"partition\": 3, \"offset\": 17, \"arrival_ms\": null, \"value\": {\"b\":{}}}\r\n"
                 "{\"partition\":0,\"offset\":2,\"arrival_ms\":5,\"value\":null,\"value_b64\":\"bm90IGpzb24g/w==\"}\n"
                 "{\"partition\":0,\"offset\":x}\n"));
    read_all("d", want, arrivals, 4);
}

/* A line longer than any event may be becomes a dead letter with its first bytes; the next record is whole. */
static void a_monstrous_line_is_a_dead_letter(void **state)
{
    struct memory_output *m = memory_output_new();
    struct buf text = {.max = (size_t)64 << 20};
    (void)state;
    buf_addz(&text, "{\"x\":\"");
    memset(buf_reserve(&text, 20 << 20), 'x', 20 << 20);
    text.len += 20 << 20;
    buf_addz(&text, "\"}\n{\"meta\":{\"id\":\"1\",\"dt\":\"2026-06-01T00:00:00Z\"},\"timestamp\":1780272000}\n");
    put_file("m", buf_str(&text));
    run_to_end(m, path_of("m"));
    assert_int_equal(m->count, 1);
    assert_int_equal(m->dead_count, 1);
    assert_string_equal(m->dead[0].reason, "too-large");
    assert_true(m->dead[0].bytes.len > CHANGE_MAX_BYTES && m->dead[0].bytes.len < 2 * CHANGE_MAX_BYTES);
    assert_true(str_ends(m->dead[0].position, STR("m:1")));
    memory_output_free(m);
    buf_fini(&text);
}

/* ---------------------------------------------------------------- arrival (R5) */

#define EVENT(id, dt) "{\"meta\":{\"id\":\"" id "\",\"dt\":\"" dt "\"},\"timestamp\":1780272000}\n"

static void R5_arrival_of_a_recording(void **state)
{
    const char *path = path_of("r");
    struct source_options options = memory_options(&clock_real);
    struct memory_output *m = memory_output_new();
    struct err err = {0};
    (void)state;
    put_file("r", STR(EVENT("1", "2026-06-01T00:00:01.0009Z") EVENT("2", "2026-06-01T00:00:02Z")
                          EVENT("3", "no time") "{\"partition\":0,\"offset\":3,\"arrival_ms\":1780272009999,\"value\":"
                                                "{\"meta\":{\"id\":\"4\"},\"timestamp\":1780272000}}\n"));
    put_file("t", STR("line\tmeta_id\trecv_ns\n2\tx\t5000999999\n"));
    const char *tsv = path_of("t");
    assert_int_equal(run(m, &options,
                         &(struct file_options){
                             .paths = &path, .path_count = 1, .arrival_tsv = tsv, .arrival_base_ms = 1780272000000},
                         NULL, &err),
                     ERR_NONE);
    assert_int_equal(m->count, 3);                                /* the third has no valid time: dead */
    assert_int_equal(m->records[0].arrival_us, 1780272001000000); /* meta.dt in whole milliseconds */
    assert_int_equal(m->records[1].arrival_us, 1780272005000000); /* the TSV: recv_ns rounded down */
    assert_int_equal(m->records[2].arrival_us, 1780272009999000); /* the dump's own */
    memory_output_free(m);
}

static void a_bad_tsv_is_refused(void **state)
{
    static const struct {
        const char *text, *say;
    } bad[] = {{"", "is empty"},
               {"line\tx\n1\t2\n", "needs the columns"},
               {"line\tarrival_ms\n1\tx\n", "line 2"},
               {"line\tarrival_ms\n0\t5\n", "line 2"}};
    const char *path = path_of("r");
    struct source_options options = memory_options(&clock_real);
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct memory_output *m = memory_output_new();
        struct err err = {0};
        put_file("t", str_of(bad[i].text));
        assert_int_equal(run(m, &options,
                             &(struct file_options){.paths = &path, .path_count = 1, .arrival_tsv = path_of("t")}, NULL,
                             &err),
                         ERR_REJECT);
        assert_non_null(strstr(err.text, bad[i].say));
        memory_output_free(m);
    }
}

/* ---------------------------------------------------------------- kill and resume */

/* Killed at every commit in turn, again and again, over two files: in the end the journal is that of a single run. */
static void a_kill_at_any_commit_changes_nothing(void **state)
{
    struct buf lines = {0};
    struct source_options options = memory_options(&clock_real);
    struct memory_output *whole = memory_output_new(), *m = memory_output_new();
    char one[256], two[256];
    const char *paths[] = {one, two};
    struct file_options file = {.paths = paths, .path_count = 2};
    struct err err = {0};
    size_t kills = 0;
    bool ended = false;
    (void)state;
    snprintf(one, sizeof(one), "%s", path_of("one"));
    snprintf(two, sizeof(two), "%s", path_of("two.gz"));
    make_lines(&lines, 2000, false);
    size_t half = (size_t)((const char *)memchr(lines.ptr + lines.len / 2, '\n', lines.len / 2) - lines.ptr) + 1;
    put_file("one", str_n(lines.ptr, half));
    put_gzip("two.gz", str_n(lines.ptr + half, lines.len - half));
    options.commit_bytes = 20000;
    assert_int_equal(run(whole, &options, &file, &ended, &err), ERR_NONE);
    for (size_t i = 0; i < 3000 && (!ended || i == 0); i++) {
        m->commits = 0;
        m->fail_at = 2 + i % 5;
        if (run(m, &options, &file, &ended, &err)) {
            assert_string_equal(err.text, "killed");
            kills++;
            ended = false;
        }
    }
    assert_true(ended && kills > 20);
    assert_same(whole, m);
    m->fail_at = 0; /* and once more: it is at its end already */
    assert_int_equal(run(m, &options, &file, &ended, &err), ERR_NONE);
    assert_true(ended);
    assert_same(whole, m);
    memory_output_free(whole);
    memory_output_free(m);
    buf_fini(&lines);
}

static void other_files_are_refused(void **state)
{
    const char *path = path_of("one");
    struct source_options options = memory_options(&clock_real);
    struct memory_output *m = memory_output_new();
    struct err err = {0};
    (void)state;
    run_to_end(m, path);
    path = path_of("two.gz");
    assert_int_equal(run(m, &options, &(struct file_options){.paths = &path, .path_count = 1}, NULL, &err), ERR_FATAL);
    assert_int_equal(err_exit_code(&err), EXIT_CONFIG);
    assert_non_null(strstr(err.text, "/one"));
    memory_output_free(m);
}

static void a_damaged_file_keeps_what_came_before(void **state)
{
    const char *path = path_of("cut.gz");
    struct source_options options = memory_options(&clock_real);
    struct memory_output *m = memory_output_new();
    struct buf lines = {0};
    struct err err = {0};
    char packed[1 << 16];
    (void)state;
    make_lines(&lines, 500, false);
    put_gzip("whole.gz", buf_str(&lines));
    FILE *f = fopen(path_of("whole.gz"), "rb");
    size_t n = fread(packed, 1, sizeof(packed), f);
    fclose(f);
    put_file("cut.gz", str_n(packed, n / 2));
    assert_int_equal(run(m, &options, &(struct file_options){.paths = &path, .path_count = 1}, NULL, &err), ERR_REJECT);
    assert_true(m->count > 50 && m->count < 450);
    assert_non_null(strstr(err.text, "cut.gz"));
    memory_output_free(m);
    buf_fini(&lines);
}

/* ---------------------------------------------------------------- pace, limit, stop, loop, close */

static void speed_follows_the_recorded_arrival(void **state)
{
    const char *path = path_of("p");
    struct clock_manual clock;
    struct memory_output *m = memory_output_new();
    struct err err = {0};
    (void)state;
    clock_manual_init(&clock, wall_us);
    int64_t began = clock.mono;
    struct source_options options = memory_options(&clock.base);
    put_file("p", STR(EVENT("1", "2026-06-01T00:00:00Z") EVENT("2", "2026-06-01T00:00:40Z")
                          EVENT("3", "2026-06-01T00:00:20Z") EVENT("4", "2026-06-01T00:02:00Z")));
    assert_int_equal(run(m, &options, &(struct file_options){.paths = &path, .path_count = 1, .speed = 20}, NULL, &err),
                     ERR_NONE);
    assert_int_equal(m->count, 4);
    assert_int_equal(clock.mono - began, 6 * US_PER_SECOND); /* two minutes at 20 */
    memory_output_free(m);
}

static void limit_is_exact(void **state)
{
    const char *path = path_of("a.ndjson");
    struct source_options options = memory_options(&clock_real);
    struct memory_output *m = memory_output_new();
    struct err err = {0};
    bool ended;
    (void)state;
    assert_int_equal(
        run(m, &options, &(struct file_options){.paths = &path, .path_count = 1, .limit = 17}, &ended, &err), ERR_NONE);
    assert_true(ended);
    assert_non_null(strstr(memory_find(m, STR("file"), false)->ptr, "\"record\":17,"));
    memory_output_free(m);
}

static void stop_now(struct memory_output *m)
{
    struct source *s = m->ctx;
    if (m->commits == 3) {
        s->ops->stop(s);
    }
}

static void stop_ends_a_loop(void **state)
{
    const char *path = path_of("a.ndjson");
    struct source_options options = memory_options(&clock_real);
    struct memory_output *m = memory_output_new();
    struct source *s;
    struct err err = {0};
    bool ended = true;
    (void)state;
    options.commit_bytes = 100000;
    assert_int_equal(
        source_open_files(&options, &(struct file_options){.paths = &path, .path_count = 1, .loop = true}, &s, &err),
        ERR_NONE);
    m->committed = stop_now;
    m->ctx = s;
    assert_int_equal(s->ops->run(s, &m->output, &ended, &err), ERR_NONE);
    assert_false(ended);
    assert_true(m->commits >= 3 && m->commits <= 4);
    s->ops->free(s);
    memory_output_free(m);
}

static void close_appends_a_last_tick(void **state)
{
    const char *path = path_of("p");
    struct source_options options = memory_options(&clock_real);
    struct memory_output *m = memory_output_new();
    struct err err = {0};
    (void)state;
    assert_int_equal(
        run(m, &options,
            &(struct file_options){.paths = &path, .path_count = 1, .close_after_us = 3600 * US_PER_SECOND}, NULL,
            &err),
        ERR_NONE);
    assert_int_equal(m->count, 5);
    struct str tick = m->records[4].value;
    assert_non_null(memmem(tick.ptr, tick.len, "wikitally.tick", 14));
    assert_non_null(memmem(tick.ptr, tick.len, "2026-06-01T01:00:00", 19));
    memory_output_free(m);
}

static void no_file_is_said(void **state)
{
    const char *path = path_of("not-there");
    struct source_options options = memory_options(&clock_real);
    struct memory_output *m = memory_output_new();
    struct err err = {0};
    (void)state;
    assert_true(run(m, &options, &(struct file_options){.paths = &path, .path_count = 1}, NULL, &err) != ERR_NONE);
    assert_int_equal(err_exit_code(&err), EXIT_NOINPUT);
    memory_output_free(m);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    static const char *const names[] = {
        "a.ndjson", "a.ndjson.gz", "a.ndjson.zst", "a.sse",  "a.sse.gz", "l",      "d", "m",
        "r",        "t",           "one",          "two.gz", "whole.gz", "cut.gz", "p"};
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        unlink(path_of(names[i]));
    }
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_gives_the_same_records),
        cmocka_unit_test(lines_as_oracle_1_says),
        cmocka_unit_test(dump_lines_are_unpacked),
        cmocka_unit_test(a_monstrous_line_is_a_dead_letter),
        cmocka_unit_test(R5_arrival_of_a_recording),
        cmocka_unit_test(a_bad_tsv_is_refused),
        cmocka_unit_test(a_kill_at_any_commit_changes_nothing),
        cmocka_unit_test(other_files_are_refused),
        cmocka_unit_test(a_damaged_file_keeps_what_came_before),
        cmocka_unit_test(speed_follows_the_recorded_arrival),
        cmocka_unit_test(limit_is_exact),
        cmocka_unit_test(stop_ends_a_loop),
        cmocka_unit_test(close_appends_a_last_tick),
        cmocka_unit_test(no_file_is_said),
    };
    return cmocka_run_group_tests_name("file", tests, make_folder, remove_folder);
}
