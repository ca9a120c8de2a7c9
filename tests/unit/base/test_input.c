/* SPDX-License-Identifier: MIT
 *
 * Files made here by zlib and zstd, whole, in several members, cut off at every byte and damaged.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/input.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

static char path[] = "/tmp/wikitally-input-XXXXXX";

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

static void store(struct str bytes)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes.ptr, 1, bytes.len, f), bytes.len);
    assert_int_equal(fclose(f), 0);
}

static void add_gzip(struct buf *out, struct str text)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
    size_t room = deflateBound(&z, text.len) + 32;
    char *at = buf_reserve(out, room);
    z.next_in = (unsigned char *)(uintptr_t)text.ptr;
    z.avail_in = (uInt)text.len;
    z.next_out = (unsigned char *)at;
    z.avail_out = (uInt)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    out->len += room - z.avail_out;
    deflateEnd(&z);
}

static void add_zstd(struct buf *out, struct str text)
{
    size_t room = ZSTD_compressBound(text.len);
    char *at = buf_reserve(out, room);
    ZSTD_CCtx *c = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
    size_t len = ZSTD_compress2(c, at, room, text.ptr, text.len);
    assert_false(ZSTD_isError(len));
    out->len += len;
    ZSTD_freeCCtx(c);
}

typedef void packer(struct buf *out, struct str text);
static const struct {
    const char *kind;
    packer *pack;
} kinds[] = {{"plain", buf_add}, {"gzip", add_gzip}, {"zstd", add_zstd}};

/* Lines of random length, the last one without LF if !ended. */
static void make_lines(struct rng *rng, struct buf *out, size_t count, bool ended)
{
    for (size_t i = 0; i < count; i++) {
        size_t len = rng_below(rng, rng_below(rng, 30) ? 200 : 300000);
        for (size_t k = 0; k < len; k++) {
            buf_addc(out, (char)('a' + rng_below(rng, 26)));
        }
        if (ended || i + 1 < count) {
            buf_addc(out, '\n');
        } else {
            buf_addc(out, 'z');
        }
    }
}

static void check_lines(struct input *in, struct str whole, bool ended)
{
    struct str line;
    bool more = true;
    struct err err = {0};
    int64_t number = 0;
    size_t at = 0;
    while (at < whole.len) {
        const char *lf = memchr(whole.ptr + at, '\n', whole.len - at);
        size_t len = lf ? (size_t)(lf - whole.ptr) - at : whole.len - at;
        assert_int_equal(input_line(in, 1 << 20, &line, &more, &err), ERR_NONE);
        assert_true(more);
        assert_true(str_eq(line, str_n(whole.ptr + at, len)));
        assert_int_equal(input_line_number(in), ++number);
        at += len + (lf != NULL);
        assert_int_equal(input_offset(in), at);
        assert_int_equal(input_line_ended(in), lf != NULL);
    }
    assert_int_equal(input_line(in, 1 << 20, &line, &more, &err), ERR_NONE);
    assert_false(more);
    assert_true(number == 0 || input_line_ended(in) == ended);
}

static void lines_of_every_kind(void **state)
{
    (void)state;
    uint64_t seed = hash_random_seed();
    print_message("# seed %llu\n", (unsigned long long)seed);
    struct rng rng;
    rng_init(&rng, seed);
    for (int round = 0; round < 30; round++) {
        AUTO(buf) struct buf text = {0}, packed = {0};
        bool ended = round % 2;
        size_t k = (size_t)round % 3;
        make_lines(&rng, &text, rng_below(&rng, 60) + (round > 5), ended);
        size_t parts = 1 + rng_below(&rng, 3), from = 0; /* several members or frames */
        for (size_t p = 0; p < parts; p++) {
            size_t to = p + 1 == parts ? text.len : from + rng_below(&rng, text.len - from + 1);
            kinds[k].pack(&packed, str_n(text.ptr + from, to - from));
            from = to;
        }
        store(buf_str(&packed));
        struct input *in = NULL;
        struct err err = {0};
        assert_int_equal(input_open(path, &in, &err), ERR_NONE);
        assert_string_equal(input_kind(in), packed.len ? kinds[k].kind : "plain");
        assert_int_equal(input_raw_size(in), packed.len);
        check_lines(in, buf_str(&text), ended);
        assert_int_equal(input_raw_offset(in), packed.len);
        assert_int_equal(input_rewind(in, &err), ERR_NONE);
        check_lines(in, buf_str(&text), ended);
        input_close(in);
    }
}

/* Reads all bytes. -> the class at the end; *ret_len how many came. */
static enum err_class drain(struct str whole, size_t *ret_len, struct err *err)
{
    struct input *in;
    struct str bytes;
    *ret_len = 0;
    enum err_class cls = input_open(path, &in, err);
    if (cls) {
        return cls;
    }
    while (!(cls = input_bytes(in, &bytes, err)) && bytes.len) {
        assert_true(*ret_len + bytes.len <= whole.len);
        assert_memory_equal(bytes.ptr, whole.ptr + *ret_len, bytes.len);
        *ret_len += bytes.len;
    }
    struct err again = {0};
    assert_int_equal(input_bytes(in, &bytes, &again), cls); /* the end and an error stay what they are */
    input_close(in);
    return cls;
}

/* Cut off anywhere but at its end, a compressed file is an error that names file and byte; nothing wrong is given out.
 */
static void cut_off_anywhere(void **state)
{
    (void)state;
    struct rng rng;
    rng_init(&rng, 5);
    for (size_t k = 1; k < 3; k++) {
        AUTO(buf) struct buf text = {0}, packed = {0};
        for (int i = 0; i < 3000; i++) {
            buf_addc(&text, (char)('a' + rng_below(&rng, 26)));
        }
        kinds[k].pack(&packed, buf_str(&text));
        for (size_t cut = k == 1 ? 2 : 4; cut <= packed.len; cut += cut < 30 || cut + 30 > packed.len ? 1 : 13) {
            size_t len;
            struct err err = {0};
            store(str_n(packed.ptr, cut));
            enum err_class cls = drain(buf_str(&text), &len, &err);
            if (cut == packed.len) {
                assert_int_equal(cls, ERR_NONE);
                assert_int_equal(len, text.len);
                continue;
            }
            char want[200];
            snprintf(want, sizeof want, "\"%s\": the %s data is cut off at byte %zu", path, kinds[k].kind, cut);
            assert_int_equal(cls, ERR_REJECT);
            assert_int_equal(err.code, EXIT_DATA);
            assert_string_equal(err.text, want);
        }
    }
}

static void damage_is_noticed(void **state)
{
    (void)state;
    struct rng rng;
    rng_init(&rng, 6);
    for (size_t k = 1; k < 3; k++) {
        AUTO(buf) struct buf text = {0}, packed = {0};
        for (int i = 0; i < 3000; i++) {
            buf_addc(&text, (char)('a' + rng_below(&rng, 26)));
        }
        kinds[k].pack(&packed, buf_str(&text));
        size_t noticed = 0, tried = 0;
        for (size_t at = k == 1 ? 10 : 4; at < packed.len; at += 7) {
            AUTO(buf) struct buf bad = {0};
            buf_add(&bad, buf_str(&packed));
            bad.ptr[at] = (char)(bad.ptr[at] ^ 0x41);
            store(buf_str(&bad));
            struct input *in;
            struct err err = {0};
            struct str bytes = STR("x");
            assert_int_equal(input_open(path, &in, &err), ERR_NONE);
            enum err_class cls = ERR_NONE;
            while (!cls && bytes.len) {
                cls = input_bytes(in, &bytes, &err);
            }
            tried++;
            if (cls) {
                noticed++;
                assert_int_equal(cls, ERR_REJECT);
                assert_non_null(strstr(err.text, path));
                assert_true(strstr(err.text, "is damaged before or at byte ") ||
                            strstr(err.text, "is cut off at byte "));
            }
            input_close(in);
        }
        assert_int_equal(noticed, tried); /* both formats carry a checksum */
    }
}

static void garbage_behind_gzip(void **state)
{
    (void)state;
    AUTO(buf) struct buf packed = {0};
    add_gzip(&packed, STR("abc\n"));
    buf_addz(&packed, "garbage");
    store(buf_str(&packed));
    struct input *in;
    struct err err = {0};
    struct str line;
    bool more;
    assert_int_equal(input_open(path, &in, &err), ERR_NONE);
    assert_int_equal(input_line(in, 100, &line, &more, &err), ERR_NONE);
    assert_true(str_eqz(line, "abc"));
    assert_int_equal(input_line(in, 100, &line, &more, &err), ERR_REJECT);
    assert_non_null(strstr(err.text, "no gzip member"));
    input_close(in);
}

static void long_lines_are_skipped(void **state)
{
    (void)state;
    for (size_t size = 1; size < 400000; size = size * 3 + 1) {
        AUTO(buf) struct buf text = {0};
        buf_addz(&text, "12345\n");
        for (size_t i = 0; i < size + 5; i++) {
            buf_addc(&text, 'x');
        }
        buf_addz(&text, "\n12345\n123456");
        store(buf_str(&text));
        struct input *in;
        struct err err = {0};
        struct str line;
        bool more;
        assert_int_equal(input_open(path, &in, &err), ERR_NONE);
        assert_int_equal(input_line(in, 5, &line, &more, &err), ERR_NONE);
        assert_true(str_eqz(line, "12345"));
        assert_int_equal(input_line(in, 5, &line, &more, &err), ERR_REJECT);
        assert_non_null(strstr(err.text, "line 2 is longer than 5 bytes"));
        assert_int_equal(input_line(in, 5, &line, &more, &err), ERR_NONE);
        assert_true(str_eqz(line, "12345"));
        assert_int_equal(input_line_number(in), 3);
        assert_int_equal(input_line(in, 5, &line, &more, &err), ERR_REJECT);
        assert_int_equal(input_line(in, 5, &line, &more, &err), ERR_NONE);
        assert_false(more);
        input_close(in);
    }
}

static void files_that_are_not(void **state)
{
    (void)state;
    struct input *in = NULL;
    struct err err = {0};
    assert_int_equal(input_open("/nonexistent/x", &in, &err), ERR_FATAL);
    assert_int_equal(err.code, EXIT_NOINPUT);
    assert_int_equal(input_open("/", &in, &err), ERR_FATAL);
    assert_int_equal(err.code, EXIT_NOINPUT);
    if (geteuid() != 0) {
        store(STR("x"));
        chmod(path, 0);
        assert_int_equal(input_open(path, &in, &err), ERR_FATAL);
        assert_int_equal(err.code, EXIT_NOPERM);
        chmod(path, 0600);
    }
    assert_null(in);
    input_close(NULL);
}

/* A pipe gives single bytes and cannot be gone back in. */
static struct buf pipe_text;
static void *write_slowly(void *fd)
{
    for (size_t i = 0; i < pipe_text.len; i++) {
        if (write(*(int *)fd, pipe_text.ptr + i, 1) != 1) {
            abort();
        }
    }
    close(*(int *)fd);
    return NULL;
}

static void pipes(void **state)
{
    (void)state;
    for (size_t k = 0; k < 3; k++) {
        int ends[2];
        pthread_t writer;
        AUTO(buf) struct buf text = {0};
        for (int i = 0; i < 500; i++) {
            buf_addf(&text, "line %d\n", i);
        }
        kinds[k].pack(&pipe_text, buf_str(&text));
        assert_int_equal(pipe(ends), 0);
        assert_int_equal(pthread_create(&writer, NULL, write_slowly, &ends[1]), 0);
        struct input *in;
        struct err err = {0};
        assert_int_equal(input_open_fd(ends[0], "a pipe", &in, &err), ERR_NONE);
        assert_string_equal(input_kind(in), kinds[k].kind);
        assert_int_equal(input_raw_size(in), -1);
        check_lines(in, buf_str(&text), true);
        assert_int_equal(input_rewind(in, &err), ERR_REJECT);
        pthread_join(writer, NULL);
        input_close(in);
        buf_fini(&pipe_text);
    }
}

/* Two blocks of 100,000 bytes, flushed but not ended: few bytes, all of which the unpacker swallows before it has given
 * out what they stand for. */
static void add_flushed(struct buf *out, bool zstd, const char *block)
{
    char *at = buf_reserve(out, 10000);
    if (zstd) {
        ZSTD_CCtx *c = ZSTD_createCCtx();
        ZSTD_outBuffer to = {.dst = at, .size = 10000};
        for (int i = 0; i < 2; i++) {
            ZSTD_inBuffer from = {.src = block, .size = 100000};
            assert_int_equal(ZSTD_compressStream2(c, &to, &from, ZSTD_e_flush), 0);
        }
        out->len += to.pos;
        ZSTD_freeCCtx(c);
        return;
    }
    z_stream z = {.next_out = (unsigned char *)at, .avail_out = 10000};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
    for (int i = 0; i < 2; i++) {
        z.next_in = (unsigned char *)(uintptr_t)block;
        z.avail_in = 100000;
        assert_int_equal(deflate(&z, Z_SYNC_FLUSH), Z_OK);
    }
    out->len += 10000 - z.avail_out;
    deflateEnd(&z);
}

/* A named pipe: who opens it is not held until a writer comes, and its bytes are all there when one has come and gone.
 */
struct fifo_writer {
    const char *path;
    int idles, write_at; /* write_at 0: never */
};
static bool fifo_idle(void *ctx)
{
    struct fifo_writer *w = ctx;
    w->idles++;
    if (w->write_at && w->idles == w->write_at) {
        int fd = open(w->path, O_WRONLY | O_NONBLOCK);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, "one\ntwo\n", 8), 8);
        close(fd);
    }
    return w->idles < 3;
}

static void a_named_pipe_waits_for_its_writer_in_reach_of_a_stop(void **state)
{
    (void)state;
    char folder[] = "/tmp/wikitally-fifo-XXXXXX", fifo[sizeof folder + 8];
    assert_non_null(mkdtemp(folder));
    snprintf(fifo, sizeof fifo, "%s/pipe", folder);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    struct fifo_writer w = {fifo, 0, 0};
    struct input_wait wait = {fifo_idle, &w};
    struct input *in = NULL;
    struct err err = {0};
    alarm(20); /* open(2) would block for ever */
    assert_int_equal(input_open_waiting(fifo, &wait, &in, &err), ERR_RETRY);
    assert_int_equal(w.idles, 3);
    w = (struct fifo_writer){fifo, 0, 2};
    assert_int_equal(input_open_waiting(fifo, &wait, &in, &err), ERR_NONE);
    check_lines(in, STR("one\ntwo\n"), true);
    alarm(0);
    input_close(in);
    unlink(fifo);
    rmdir(folder);
}

/* What was sent is given out, although the pipe stays open and says nothing: nobody waits for bytes he does not need.
 */
static void an_open_pipe_holds_nothing_back(void **state)
{
    (void)state;
    static char block[100000];
    memset(block, 'x', sizeof block);
    for (int zstd = 0; zstd < 2; zstd++) {
        int ends[2];
        AUTO(buf) struct buf packed = {0};
        add_flushed(&packed, zstd, block);
        assert_int_equal(pipe2(ends, O_NONBLOCK), 0); /* waiting becomes an error */
        assert_int_equal(write(ends[1], packed.ptr, packed.len), packed.len);
        struct input *in;
        struct err err = {0};
        struct str bytes;
        size_t got = 0;
        assert_int_equal(input_open_fd(ends[0], "a pipe", &in, &err), ERR_NONE);
        while (got < 2 * sizeof block) {
            if (input_bytes(in, &bytes, &err)) {
                fail_msg("zstd %d, after %zu bytes: %s", zstd, got, err.text);
            }
            got += bytes.len;
        }
        assert_int_equal(got, 2 * sizeof block);
        close(ends[1]);
        input_close(in);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_of_every_kind),
        cmocka_unit_test(cut_off_anywhere),
        cmocka_unit_test(damage_is_noticed),
        cmocka_unit_test(garbage_behind_gzip),
        cmocka_unit_test(long_lines_are_skipped),
        cmocka_unit_test(files_that_are_not),
        cmocka_unit_test(pipes),
        cmocka_unit_test(a_named_pipe_waits_for_its_writer_in_reach_of_a_stop),
        cmocka_unit_test(an_open_pipe_holds_nothing_back),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
