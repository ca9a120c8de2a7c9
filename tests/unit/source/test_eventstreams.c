/* SPDX-License-Identifier: MIT
 *
 * test_eventstreams.c - the libcurl transport against a server that plays back scripts: what it asks, what it makes of
 * each refusal, hostile bytes (C1), pressure, two connections at once, stopping.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "source/transport.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

/* ---------------------------------------------------------------- the server */

enum ending { END_CLOSE, END_RESET, END_HOLD };
struct script {
    struct str bytes;
    size_t slice;  /* bytes at a time, 1 ms between them; 0: all at once */
    size_t repeat; /* send `again` so many times after bytes */
    struct str again;
    enum ending end;
};
enum { SCRIPTS = 4 };
static struct server {
    int listener;
    pthread_t thread, workers[SCRIPTS];
    struct script scripts[SCRIPTS];
    size_t count, next;
    struct buf requests[SCRIPTS];
    atomic_long sent;
    atomic_bool stop;
    char url[64];
} server;

static bool server_send(int fd, struct str bytes)
{
    while (bytes.len && !atomic_load(&server.stop)) {
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        if (poll(&p, 1, 20) <= 0) {
            continue;
        }
        ssize_t n = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n <= 0) {
            return false;
        }
        atomic_fetch_add(&server.sent, n);
        bytes = str_n(bytes.ptr + n, bytes.len - (size_t)n);
    }
    return bytes.len == 0;
}

static void play(int fd, const struct script *s)
{
    struct str rest = s->bytes;
    bool ok = true;
    while (ok && rest.len) {
        size_t n = s->slice && s->slice < rest.len ? s->slice : rest.len;
        ok = server_send(fd, str_n(rest.ptr, n));
        rest = str_n(rest.ptr + n, rest.len - n);
        if (s->slice) {
            usleep(1000);
        }
    }
    for (size_t i = 0; ok && i < s->repeat; i++) {
        ok = server_send(fd, s->again);
    }
    while (ok && s->end == END_HOLD && !atomic_load(&server.stop)) {
        usleep(5000);
    }
    if (s->end == END_RESET) {
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    }
}

struct work {
    int fd;
    size_t index;
};

static void *worker(void *ctx)
{
    struct work w = *(struct work *)ctx;
    free(ctx);
    struct buf *request = &server.requests[w.index];
    while (!request->len || !memmem(request->ptr, request->len, "\r\n\r\n", 4)) {
        ssize_t n = recv(w.fd, buf_reserve(request, 4096), 4096, 0);
        if (n <= 0) {
            break;
        }
        request->len += (size_t)n;
        request->ptr[request->len] = '\0';
    }
    play(w.fd, &server.scripts[w.index]);
    close(w.fd);
    return NULL;
}

static void *server_main(void *ctx)
{
    (void)ctx;
    while (!atomic_load(&server.stop)) {
        struct pollfd p = {.fd = server.listener, .events = POLLIN};
        if (poll(&p, 1, 20) <= 0 || server.next == server.count) {
            continue;
        }
        struct work *w = xmalloc(sizeof(*w));
        *w = (struct work){accept(server.listener, NULL, NULL), server.next};
        pthread_create(&server.workers[server.next++], NULL, worker, w);
    }
    return NULL;
}

static void server_start(const struct script *scripts, size_t count)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    memset(&server, 0, sizeof(server));
    for (size_t i = 0; i < count; i++) {
        server.scripts[i] = scripts[i];
    }
    server.count = count;
    server.listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(server.listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(server.listener, 8), 0);
    getsockname(server.listener, (struct sockaddr *)&address, &len);
    snprintf(server.url, sizeof(server.url), "http://127.0.0.1:%d/v2/stream/recentchange", ntohs(address.sin_port));
    pthread_create(&server.thread, NULL, server_main, NULL);
}

static void server_stop(void)
{
    atomic_store(&server.stop, true);
    pthread_join(server.thread, NULL);
    for (size_t i = 0; i < server.next; i++) {
        pthread_join(server.workers[i], NULL);
    }
    for (size_t i = 0; i < SCRIPTS; i++) {
        buf_fini(&server.requests[i]);
    }
    close(server.listener);
}

/* ---------------------------------------------------------------- the client's side */

#define HEAD                                                                                                           \
    "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/event-stream; charset=utf-8\r\n"     \
    "Connection: close\r\n\r\n"

static struct transport *open_transport(size_t max_line, int64_t timeout_us, bool gzip)
{
    struct transport *t;
    struct err err = {0};
    struct eventstreams_options o = {.url = server.url,
                                     .contact = "tests@example.org",
                                     .clock = &clock_real,
                                     .max_line_bytes = max_line,
                                     .accept_gzip = gzip,
                                     .connect_timeout_us = timeout_us};
    if (transport_open_eventstreams(&o, &t, &err)) {
        fail_msg("%s", err.text);
    }
    return t;
}

static const struct transport_want live[2] = {{STR_INIT("eqiad.mediawiki.recentchange"), TIME_NONE},
                                              {STR_INIT("codfw.mediawiki.recentchange"), TIME_NONE}};

static struct connection *open_live(struct transport *t)
{
    struct connection *c;
    struct err err = {0};
    int64_t after;
    if (t->ops->connect(t, live, 2, &c, &after, &err)) {
        fail_msg("%s", err.text);
    }
    return c;
}

static int64_t soon(int64_t ms)
{
    return clock_mono(&clock_real) + ms * US_PER_MS;
}

static void expect_record(struct transport *t, struct connection *c, const char *want)
{
    struct str data;
    assert_int_equal(t->ops->read(t, c, soon(5000), &data), TRANSPORT_RECORD);
    assert_int_equal(data.len, strlen(want));
    assert_memory_equal(data.ptr, want, data.len);
}

static void expect_cut(struct transport *t, struct connection *c, const char *label, const char *reason)
{
    struct str data;
    assert_int_equal(t->ops->read(t, c, soon(5000), &data), TRANSPORT_CUT);
    assert_string_equal(c->cut_label, label);
    assert_non_null(strstr(c->cut_reason, reason));
}

static void finish(struct transport *t, struct connection *c)
{
    t->ops->close(t, c);
    transport_free(t);
    server_stop();
}

/* ---------------------------------------------------------------- what is asked */

static bool asked(size_t i, const char *text)
{
    return strstr(server.requests[i].ptr, text) != NULL;
}

static void R3_what_is_asked(void **state)
{
    struct script s = {.bytes = STR(HEAD ":ok\n\n"), .end = END_HOLD};
    struct transport_want wants[2] = {live[0], live[1]};
    struct connection *c;
    struct err err;
    int64_t after;
    (void)state;
    server_start((struct script[]){s, s, s, s}, 4);
    struct transport *t = open_transport(0, 0, false);
    t->ops->close(t, open_live(t));
    wants[0].from_ms = 1756449917002;
    assert_int_equal(t->ops->connect(t, wants, 2, &c, &after, &err), ERR_NONE);
    assert_int_equal(c->date_us, 784111777 * US_PER_SECOND);
    assert_true(c->opened_mono_us <= c->ok_mono_us && c->ok_mono_us <= soon(0));
    t->ops->close(t, c);
    assert_int_equal(t->ops->connect(t, &wants[1], 1, &c, &after, &err), ERR_NONE);
    t->ops->close(t, c);
    transport_free(t);
    t = open_transport(0, 0, true);
    c = open_live(t);
    assert_true(asked(0, "GET /v2/stream/recentchange HTTP/1.1\r\n"));
    assert_true(asked(0, "User-Agent: wikitally/0.1.0 (tests@example.org) libcurl/"));
    assert_true(asked(0, "Accept: text/event-stream\r\n") && asked(0, "Accept-Encoding: identity\r\n"));
    assert_false(asked(0, "Last-Event-ID"));
    assert_true(asked(
        1, "Last-Event-ID: [{\"topic\":\"eqiad.mediawiki.recentchange\",\"partition\":0,\"timestamp\":1756449917002},"
           "{\"topic\":\"codfw.mediawiki.recentchange\",\"partition\":0,\"offset\":-1}]\r\n"));
    assert_true(
        asked(2, "Last-Event-ID: [{\"topic\":\"codfw.mediawiki.recentchange\",\"partition\":0,\"offset\":-1}]\r\n"));
    assert_true(asked(3, "Accept-Encoding: gzip\r\n"));
    finish(t, c);
}

/* ---------------------------------------------------------------- events and ends */

#define EVENTS                                                                                                         \
    HEAD ":ok\n\nevent: message\nid: [1]\ndata: {\"a\":1}\n\ndata: {\"b\":\"\xC3\xA9\"}\r\n\r\nevent: other\ndata: "   \
         "no\n\n"                                                                                                      \
         "data: {\"c\":1}\n\ndata: lost"

static void events_in_any_slices(void **state)
{
    (void)state;
    for (size_t slice = 0; slice < 8; slice++) {
        server_start(&(struct script){.bytes = STR(EVENTS), .slice = slice}, 1);
        struct transport *t = open_transport(0, 0, false);
        struct connection *c = open_live(t);
        expect_record(t, c, "{\"a\":1}");
        expect_record(t, c, "{\"b\":\"\xC3\xA9\"}");
        expect_record(t, c, "{\"c\":1}");
        expect_cut(t, c, "cut", "server closed");
        expect_cut(t, c, "cut", "server closed"); /* and stays so */
        finish(t, c);
    }
}

#define CHUNKED "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

static void ends_of_connections(void **state)
{
    static const struct {
        struct script script;
        const char *label, *reason;
    } ends[] = {
        {{.bytes = STR_INIT(CHUNKED "5\r\n:ok\n\n\r\n9\r\ndata: x\n\n\r\n")}, "cut", "server closed"},
        {{.bytes = STR_INIT(CHUNKED "5\r\n:ok\n\n\r\n9\r\ndata: x\n\n\r\nFF\r\ndata: y")}, "cut", "server closed"},
        {{.bytes = STR_INIT(CHUNKED "5\r\n:ok\n\n\r\n9\r\ndata: x\n\n\r\n0\r\n\r\n")}, "cut", "server closed"},
        {{.bytes = STR_INIT(HEAD ":ok\n\ndata: x\n\n"), .slice = 200, .end = END_RESET}, "cut", ""},
        {{.bytes = STR_INIT(HEAD ":ok\n\ndata: x\n\nevent: error\ndata: {\"message\":\"Broker \\u001b[1m "
                                 "gone\",\"name\":\"E\"}\n\ndata: y\n\n")},
         "error",
         "error event: Broker"},
        {{.bytes = STR_INIT(CHUNKED "5\r\n:ok\n\n\r\n9\r\ndata: x\n\n\r\nzz\r\n")}, "cut", "connection lost"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        server_start(&ends[i].script, 1);
        struct transport *t = open_transport(0, 0, false);
        struct connection *c = open_live(t);
        struct str data;
        enum transport_event e = t->ops->read(t, c, soon(5000), &data);
        if (e == TRANSPORT_RECORD) { /* a reset may take the record with it */
            e = t->ops->read(t, c, soon(5000), &data);
        } else {
            assert_int_equal(ends[i].script.end, END_RESET);
        }
        assert_int_equal(e, TRANSPORT_CUT);
        assert_string_equal(c->cut_label, ends[i].label);
        assert_non_null(strstr(c->cut_reason, ends[i].reason));
        finish(t, c);
    }
}

static void silence_is_said_in_time(void **state)
{
    struct str data;
    (void)state;
    server_start(&(struct script){.bytes = STR(HEAD ":ok\n\ndata: half"), .end = END_HOLD}, 1);
    struct transport *t = open_transport(0, 0, false);
    struct connection *c = open_live(t);
    int64_t began = soon(0);
    assert_int_equal(t->ops->read(t, c, soon(300), &data), TRANSPORT_SILENT);
    int64_t took = soon(0) - began;
    assert_true(took >= 290000 && took < 3000000);
    assert_int_equal(t->ops->read(t, c, 0, &data), TRANSPORT_SILENT);
    finish(t, c);
}

/* ---------------------------------------------------------------- refusals */

static void refusals(void **state)
{
    static const struct {
        const char *head;
        enum err_class cls;
        int64_t after_s;
        const char *say;
    } cases[] = {
        {"HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno\n", ERR_FATAL, 0, "source.contact"},
        {"HTTP/1.1 429 Too Many\r\nRetry-After: 17\r\nContent-Length: 0\r\n\r\n", ERR_RETRY, 17, "429"},
        {"HTTP/1.1 429 Too Many\r\nContent-Length: 0\r\n\r\n", ERR_RETRY, 0, "two connections"},
        {"HTTP/1.1 503 x\r\nRetry-After: 99999999999\r\nContent-Length: 0\r\n\r\n", ERR_RETRY, 86400, "503"},
        {"HTTP/1.1 500 x\r\nContent-Length: 9\r\n\r\n<html>oh\n", ERR_RETRY, 0, "500"},
        {"HTTP/1.1 502 x\r\n\r\n", ERR_RETRY, 0, "502"},
        {"HTTP/1.1 401 x\r\nContent-Length: 0\r\n\r\n", ERR_FATAL, 0, "login"},
        {"HTTP/1.1 400 Bad\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: 46\r\n\r\n"
         "{\"status\":400,\"detail\":\"Invalid streams: foo\"}",
         ERR_FATAL, 0, "Invalid streams: fo"},
        {"HTTP/1.1 404 Not\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\n<p>\n", ERR_RETRY, 0, "404"},
        {"HTTP/1.1 204 No Content\r\n\r\n", ERR_RETRY, 0, "204"},
        {"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/evil\r\nContent-Length: 0\r\n\r\n", ERR_RETRY, 0,
         "192.0.2.1"},
        {"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 9\r\n\r\ndata: x\n\n", ERR_RETRY, 0,
         "text/html"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ndata: x\n\n", ERR_RETRY, 0, "instead of text/event-stream"},
        {"HTTP/1.1 200 OK\r\nContent-Type: text/event-streams\r\nContent-Length: 9\r\n\r\ndata: x\n\n", ERR_RETRY, 0,
         "text/event-streams"},
        {"", ERR_RETRY, 0, "closed the connection"},
        {HEAD, ERR_RETRY, 0, "closed the connection"},
        {"garbage\r\n\r\n", ERR_RETRY, 0, ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct connection *c = NULL;
        struct err err = {0};
        int64_t after = -1;
        server_start(&(struct script){.bytes = str_of(cases[i].head)}, 1);
        struct transport *t = open_transport(0, 0, false);
        enum err_class cls = t->ops->connect(t, live, 2, &c, &after, &err);
        if (cls != cases[i].cls || after != cases[i].after_s * US_PER_SECOND || !strstr(err.text, cases[i].say)) {
            fail_msg("case %zu: class %d, after %lld: %s", i, cls, (long long)after, err.text);
        }
        assert_null(c);
        finish(t, NULL);
    }
}

static void a_mute_server_is_left(void **state)
{
    struct connection *c;
    struct err err;
    int64_t after;
    (void)state;
    server_start((struct script[]){{.end = END_HOLD},
                                   {.bytes = STR(HEAD), .end = END_HOLD},
                                   {.bytes = STR("HTTP/1.1 503 x\r\nRetry-After: 5\r\nContent-Length: 10\r\n\r\n"),
                                    .end = END_HOLD}},
                 3);
    struct transport *t = open_transport(0, 400 * US_PER_MS, false);
    for (int i = 0; i < 3; i++) {
        int64_t began = soon(0);
        assert_int_equal(t->ops->connect(t, live, 2, &c, &after, &err), ERR_RETRY);
        assert_true(soon(0) - began < 3000000);
        assert_non_null(strstr(err.text, i < 2 ? "did not begin to stream" : "503"));
        assert_int_equal(after, i < 2 ? 0 : 5 * US_PER_SECOND);
    }
    finish(t, NULL);
}

static void an_endless_head_is_cut(void **state)
{
    struct connection *c;
    struct err err;
    int64_t after;
    char line[1002];
    (void)state;
    memset(line, 'x', sizeof(line));
    memcpy(line, "X-Y: ", 5);
    memcpy(line + 1000, "\r\n", 2);
    server_start(
        &(struct script){.bytes = STR("HTTP/1.1 200 OK\r\n"), .again = str_n(line, sizeof(line)), .repeat = 1000000},
        1);
    struct transport *t = open_transport(0, 0, false);
    assert_int_equal(t->ops->connect(t, live, 2, &c, &after, &err), ERR_RETRY);
    assert_true(atomic_load(&server.sent) < 32 << 20);
    finish(t, NULL);
}

/* ---------------------------------------------------------------- sizes and pressure */

static void C1_an_endless_line_is_bounded(void **state)
{
    static char block[65536];
    struct buf big = {0};
    struct str data;
    (void)state;
    memset(block, 'x', sizeof(block));
    buf_addz(&big, HEAD ":ok\n\ndata: before\n\ndata: ");
    server_start(
        &(struct script){.bytes = buf_str(&big), .again = str_n(block, sizeof(block)), .repeat = 100, .end = END_CLOSE},
        1);
    struct transport *t = open_transport(10000, 0, false);
    struct connection *c = open_live(t);
    expect_record(t, c, "before");
    expect_cut(t, c, "cut", "server closed"); /* 6 MB later, never dispatched */
    t->ops->close(t, c);
    transport_free(t);
    server_stop();

    buf_clear(&big);
    buf_addz(&big, HEAD ":ok\n\ndata: ");
    for (int i = 0; i < 3000; i++) {
        buf_add(&big, str_n(block, 1000));
    }
    buf_addz(&big, "\n\ndata: after\n\n");
    server_start(&(struct script){.bytes = buf_str(&big)}, 1);
    t = open_transport(10000, 0, false);
    c = open_live(t);
    assert_int_equal(t->ops->read(t, c, soon(5000), &data), TRANSPORT_RECORD);
    assert_int_equal(data.len, 10000 - 6); /* its first bytes */
    assert_int_equal(c->refused_count, 1);
    expect_record(t, c, "after");
    finish(t, c);
    buf_fini(&big);
}

/* 32 MB are offered; while nobody reads, what leaves the server is bounded by buffers; then all of it comes. */
static void R13_pressure_reaches_the_server(void **state)
{
    struct buf block = {0};
    struct str data;
    size_t records = 0;
    (void)state;
    for (int i = 0; i < 64; i++) {
        buf_addz(&block, "data: ");
        for (int k = 0; k < 50; k++) {
            buf_addz(&block, "0123456789");
        }
        buf_addz(&block, "\n\n");
    }
    server_start(
        (struct script[]){{.bytes = STR(HEAD ":ok\n\n"), .again = buf_str(&block), .repeat = 1000, .end = END_CLOSE},
                          {.bytes = STR(HEAD ":ok\n\ndata: other\n\n"), .end = END_HOLD}},
        2);
    struct transport *t = open_transport(0, 0, false);
    struct connection *busy = open_live(t), *quiet = open_live(t);
    expect_record(t, quiet, "other");
    assert_int_equal(t->ops->read(t, quiet, soon(1000), &data), TRANSPORT_SILENT); /* drives both */
    long sent = atomic_load(&server.sent);
    assert_int_equal(t->ops->read(t, quiet, soon(300), &data), TRANSPORT_SILENT);
    assert_int_equal(atomic_load(&server.sent), sent); /* nothing more leaves it */
    assert_true(sent < 12 << 20);
    while (t->ops->read(t, busy, soon(5000), &data) == TRANSPORT_RECORD) {
        assert_int_equal(data.len, 500);
        records++;
    }
    assert_int_equal(records, 64000);
    assert_string_equal(busy->cut_label, "cut");
    t->ops->close(t, busy);
    finish(t, quiet);
    buf_fini(&block);
}

static void reading_one_loses_nothing_of_the_other(void **state)
{
    struct buf text[2] = {{0}, {0}};
    size_t next[2] = {0, 0};
    struct str data;
    char want[64];
    (void)state;
    for (int k = 0; k < 2; k++) {
        buf_addz(&text[k], HEAD ":ok\n\n");
        for (int i = 0; i < 500; i++) {
            buf_addf(&text[k], "data: %d of %d\n\n", i, k);
        }
    }
    server_start(
        (struct script[]){{.bytes = buf_str(&text[0]), .slice = 97}, {.bytes = buf_str(&text[1]), .slice = 61}}, 2);
    struct transport *t = open_transport(0, 0, false);
    struct connection *c[2] = {open_live(t), open_live(t)};
    for (int i = 0; next[0] + next[1] < 1000 && i < 100000; i++) {
        int k = i / 7 % 2;
        if (t->ops->read(t, c[k], soon(1), &data) == TRANSPORT_RECORD) {
            snprintf(want, sizeof(want), "%zu of %d", next[k]++, k);
            assert_true(str_eqz(data, want));
        }
    }
    assert_int_equal(next[0], 500);
    assert_int_equal(next[1], 500);
    t->ops->close(t, c[0]);
    finish(t, c[1]);
    buf_fini(&text[0]);
    buf_fini(&text[1]);
}

static void a_compressed_stream_is_read(void **state)
{
    struct buf body = {0}, plain = {0};
    char packed[65536];
    (void)state;
    buf_addz(&plain, ":ok\n\n");
    for (int i = 0; i < 300; i++) {
        buf_addf(&plain, "data: record %d\n\n", i);
    }
    z_stream z = {.next_in = (Bytef *)plain.ptr,
                  .avail_in = (uInt)plain.len,
                  .next_out = (Bytef *)packed,
                  .avail_out = sizeof(packed)};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, 0), Z_OK);
    deflate(&z, Z_SYNC_FLUSH);
    buf_addz(&body, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\n\r\n");
    buf_add(&body, str_n(packed, sizeof(packed) - z.avail_out));
    deflateEnd(&z);
    server_start(&(struct script){.bytes = buf_str(&body), .slice = 50, .end = END_HOLD}, 1);
    struct transport *t = open_transport(0, 0, true);
    struct connection *c = open_live(t);
    for (int i = 0; i < 300; i++) {
        char want[32];
        snprintf(want, sizeof(want), "record %d", i);
        expect_record(t, c, want);
    }
    finish(t, c);
    buf_fini(&body);
    buf_fini(&plain);
}

/* ---------------------------------------------------------------- stopping, URLs */

static void *stop_soon(void *ctx)
{
    struct transport *t = ctx;
    usleep(200000);
    t->ops->stop(t);
    return NULL;
}

static void stop_wakes_a_reader_and_a_connect(void **state)
{
    struct str data;
    struct connection *c;
    struct err err;
    int64_t after;
    pthread_t thread;
    (void)state;
    for (int connecting = 0; connecting < 2; connecting++) {
        server_start(&(struct script){.bytes = connecting ? STR("") : STR(HEAD ":ok\n\n"), .end = END_HOLD}, 1);
        struct transport *t = open_transport(0, 0, false);
        c = connecting ? NULL : open_live(t);
        pthread_create(&thread, NULL, stop_soon, t);
        int64_t began = soon(0);
        if (connecting) {
            assert_int_equal(t->ops->connect(t, live, 2, &c, &after, &err), ERR_RETRY);
        } else {
            assert_int_equal(t->ops->read(t, c, soon(60000), &data), TRANSPORT_CUT);
        }
        assert_true(soon(0) - began < 2000000);
        pthread_join(thread, NULL);
        finish(t, c);
    }
}

static void urls_that_are_refused(void **state)
{
    static const char *const bad[] = {"http://example.org/v2/stream/recentchange",
                                      "ftp://127.0.0.1/x",
                                      "not a url",
                                      "",
                                      "file:///etc/passwd",
                                      "http://127.0.0.1.example.org/",
                                      "https://user:secret@example.org/"};
    static const char *const good[] = {"https://stream.wikimedia.org/v2/stream/recentchange", "http://127.0.0.1:1/x",
                                       "http://localhost/x", "http://[::1]:80/x"};
    struct transport *t;
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct err err = {0};
        struct eventstreams_options o = {.url = bad[i], .contact = "x", .clock = &clock_real};
        assert_int_equal(transport_open_eventstreams(&o, &t, &err), ERR_REJECT);
        assert_int_equal(err_exit_code(&err), EXIT_CONFIG);
        assert_null(strstr(err.text, "secret"));
    }
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct err err = {0};
        struct eventstreams_options o = {.url = good[i], .contact = "x", .clock = &clock_real};
        assert_int_equal(transport_open_eventstreams(&o, &t, &err), ERR_NONE);
        transport_free(t);
    }
    struct err err = {0};
    assert_int_equal(
        transport_open_eventstreams(
            &(struct eventstreams_options){.url = good[0], .contact = "a\r\nX: y", .clock = &clock_real}, &t, &err),
        ERR_REJECT);
}

static void nobody_listens(void **state)
{
    struct connection *c;
    struct err err = {0};
    int64_t after;
    (void)state;
    server_start(NULL, 0);
    close(server.listener);
    struct transport *t = open_transport(0, 0, false);
    assert_int_equal(t->ops->connect(t, live, 2, &c, &after, &err), ERR_RETRY);
    assert_non_null(strstr(err.text, "cannot be reached"));
    finish(t, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(R3_what_is_asked),
        cmocka_unit_test(events_in_any_slices),
        cmocka_unit_test(ends_of_connections),
        cmocka_unit_test(silence_is_said_in_time),
        cmocka_unit_test(refusals),
        cmocka_unit_test(a_mute_server_is_left),
        cmocka_unit_test(an_endless_head_is_cut),
        cmocka_unit_test(C1_an_endless_line_is_bounded),
        cmocka_unit_test(R13_pressure_reaches_the_server),
        cmocka_unit_test(reading_one_loses_nothing_of_the_other),
        cmocka_unit_test(a_compressed_stream_is_read),
        cmocka_unit_test(stop_wakes_a_reader_and_a_connect),
        cmocka_unit_test(urls_that_are_refused),
        cmocka_unit_test(nobody_listens),
    };
    return cmocka_run_group_tests_name("eventstreams", tests, NULL, NULL);
}
