/* SPDX-License-Identifier: MIT
 *
 * test_upstream.c - the EventStreams server by a client of sockets and string searches: bytes, ids, where a client is
 * let in again, refusals, and every fault.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "upstream/upstream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#define STREAM "/v2/stream/recentchange"
#define T0 INT64_C(1780272000000) /* 2026-06-01T00:00:00Z in ms */

/* ---------------------------------------------------------------- the client */

static int port_of(const struct upstream *u)
{
    return atoi(strrchr(upstream_url(u), ':') + 1);
}

static int ask(const struct upstream *u, const char *target, const char *headers)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port_of(u)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct buf request = {0};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    buf_addf(&request, "GET %s HTTP/1.1\r\nHost: x\r\nUser-Agent: test/1 (x@example.org)\r\n%s\r\n", target, headers);
    assert_int_equal(send(fd, request.ptr, request.len, MSG_NOSIGNAL), (ssize_t)request.len);
    buf_fini(&request);
    return fd;
}

/* Reads until `want` was seen, the end (returns true), or so long. */
static bool read_until(int fd, struct buf *all, const char *want, int ms)
{
    int64_t until = clock_mono(&clock_real) + ms * US_PER_MS;
    while (clock_mono(&clock_real) < until) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (want && all->len && memmem(all->ptr, all->len, want, strlen(want))) {
            return false;
        }
        if (poll(&p, 1, 10) <= 0) {
            continue;
        }
        ssize_t n = recv(fd, buf_reserve(all, 65536), 65536, 0);
        if (n <= 0) {
            return true;
        }
        all->len += (size_t)n;
        all->ptr[all->len] = '\0';
    }
    return false;
}

/* The body without chunk framing, as far as it came; status in *ret_status. */
static void unchunk(const struct buf *all, struct buf *body, int *ret_status)
{
    const char *end = all->len ? memmem(all->ptr, all->len, "\r\n\r\n", 4) : NULL;
    assert_non_null(end);
    *ret_status = atoi(all->ptr + 9);
    const char *at = end + 4, *stop = all->ptr + all->len;
    bool chunked =
        strstr(all->ptr, "Transfer-Encoding: chunked") && strstr(all->ptr, "Transfer-Encoding: chunked") < end;
    buf_clear(body);
    if (!chunked) {
        buf_add(body, str_n(at, (size_t)(stop - at)));
        return;
    }
    while (at < stop) {
        char *after;
        size_t size = strtoul(at, &after, 16);
        at = after + 2;
        if (at >= stop) {
            return;
        }
        size_t there = (size_t)(stop - at) < size ? (size_t)(stop - at) : size;
        buf_add(body, str_n(at, there));
        at += there + 2;
    }
}

static int get(const struct upstream *u, const char *target, const char *headers, const char *until, int ms,
               struct buf *body)
{
    struct buf all = {0};
    int status, fd = ask(u, target, headers);
    read_until(fd, &all, until, ms);
    close(fd);
    unchunk(&all, body, &status);
    buf_fini(&all);
    return status;
}

static int count_of(const struct buf *b, const char *text)
{
    int n = 0;
    for (const char *p = b->ptr; p && (p = strstr(p, text)); p++) {
        n++;
    }
    return n;
}

/* ---------------------------------------------------------------- the server */

static struct upstream *serve(struct upstream_options o)
{
    struct upstream *u;
    struct err err = {0};
    o.listen = "127.0.0.1:0";
    o.clock = &clock_real;
    if (upstream_start(&o, &u, &err)) {
        fail_msg("%s", err.text);
    }
    return u;
}

/* Event n of a topic (NULL: none named), at T0 + dt_ms. */
static void add(struct upstream *u, int n, const char *topic, int64_t dt_ms)
{
    struct buf json = {0};
    struct err err;
    buf_addf(&json, "{\"n\":%d,\"meta\":{\"id\":\"id-%d\",\"dt\":\"", n, n);
    time_format_ms(&json, (T0 + dt_ms) * US_PER_MS);
    buf_addz(&json, "\",\"domain\":\"d\"");
    if (topic) {
        buf_addf(&json, ",\"topic\":\"%s.mediawiki.recentchange\"", topic);
    }
    buf_addz(&json, "},\"type\":\"edit\"}");
    assert_int_equal(upstream_add(u, buf_str(&json), TIME_NONE, &err), ERR_NONE);
    buf_fini(&json);
}

static struct upstream *serve_ten(struct upstream_options o)
{
    struct upstream *u = serve(o);
    for (int i = 0; i < 10; i++) {
        add(u, i, NULL, i * 1000);
    }
    return u;
}

/* ---------------------------------------------------------------- bytes */

static void blocks_byte_for_byte(void **state)
{
    struct upstream *u = serve((struct upstream_options){0});
    struct buf body = {0};
    struct err err;
    (void)state;
    upstream_add(u, STR("{\"meta\":{\"id\":\"1\",\"dt\":\"2026-06-01T00:00:00.123Z\"},\"t\":\"\xC3\xA9\\n\"}"),
                 TIME_NONE, &err);
    upstream_add(u,
                 STR("{ \"meta\" : "
                     "{\"topic\":\"codfw.mediawiki.recentchange\",\"offset\":77,\"partition\":5,\"dt\":\"2026-06-01T00:"
                     "00:01Z\"} }"),
                 TIME_NONE, &err);
    upstream_add(u, STR("{\"a\":1,\r\n\r\n\"b\":2}"), TIME_NONE, &err);
    assert_int_equal(get(u, STREAM "?since=1", "Accept: text/event-stream\r\n", "\"b\"", 3000, &body), 200);
    const char *want =
        ":ok\n\n"
        "event: message\n"
        "id: [{\"topic\":\"eqiad.mediawiki.recentchange\",\"partition\":0,\"timestamp\":1780272000124},"
        "{\"offset\":2014000017,\"partition\":0,\"topic\":\"codfw.mediawiki.recentchange\"}]\n"
        "data: "
        "{\"meta\":{\"id\":\"1\",\"dt\":\"2026-06-01T00:00:00.123Z\",\"topic\":\"eqiad.mediawiki.recentchange\","
        "\"partition\":0,"
        "\"offset\":6101423904},\"t\":\"\xC3\xA9\\n\"}\n\n"
        "event: message\n"
        "id: [{\"topic\":\"eqiad.mediawiki.recentchange\",\"partition\":0,\"timestamp\":1780272000124},"
        "{\"offset\":2014000017,\"partition\":0,\"topic\":\"codfw.mediawiki.recentchange\"}]\n"
        "data: {\"a\":1,\ndata: "
        "\"b\":2,\"meta\":{\"topic\":\"eqiad.mediawiki.recentchange\",\"partition\":0,\"offset\":6101423905}}\n\n";
    assert_true(str_starts(buf_str(&body), str_of(want)));
    upstream_stop(u);
    buf_fini(&body);
}

static void recorded_offsets_are_kept_where_they_rise(void **state)
{
    static const char *const offsets[] = {"6262084912", "6262084913", "6262084990", "5", "\"x\""};
    static const char *const want[] = {"\"offset\":6262084912", "\"offset\":6262084913", "\"offset\":6262084990",
                                       "\"offset\":6262084991", "\"offset\":6262084992"};
    struct upstream *u = serve((struct upstream_options){0});
    struct buf body = {0};
    struct err err;
    (void)state;
    for (int i = 0; i < 5; i++) {
        struct buf json = {0};
        buf_addf(&json, "{\"meta\":{\"dt\":\"2026-06-01T00:00:00Z\",\"offset\":%s},\"n\":%d}", offsets[i], i);
        upstream_add(u, buf_str(&json), TIME_NONE, &err);
        buf_fini(&json);
    }
    get(u, STREAM "?since=1", "", "\"n\":4", 3000, &body);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(count_of(&body, want[i]), 1);
    }
    upstream_stop(u);
    buf_fini(&body);
}

static void json_mode(void **state)
{
    struct upstream *u = serve_ten((struct upstream_options){0});
    struct buf body = {0};
    (void)state;
    assert_int_equal(get(u, STREAM "?since=1", "Accept: application/json\r\n", "\"n\":9,", 3000, &body), 200);
    assert_true(str_starts(buf_str(&body), STR("\n{\"n\":0,")));
    assert_int_equal(count_of(&body, "\n{\"n\":"), 10);
    assert_int_equal(count_of(&body, "id: ") + count_of(&body, "data: ") + count_of(&body, ":ok"), 0);
    upstream_stop(u);
    buf_fini(&body);
}

/* ---------------------------------------------------------------- where a client begins */

#define E "{\"topic\":\"eqiad.mediawiki.recentchange\",\"partition\":0,"
#define C "{\"topic\":\"codfw.mediawiki.recentchange\",\"partition\":0,"

static int first_of(const struct buf *b)
{
    const char *at = b->len ? strstr(b->ptr, "{\"n\":") : NULL;
    return at ? atoi(at + 5) : -1;
}

static void begins_at(struct upstream *u, const char *target, const char *header, int first, int count)
{
    struct buf body = {0};
    char line[512];
    snprintf(line, sizeof(line), "%s%s%s", header ? "Last-Event-ID: " : "", header ? header : "", header ? "\r\n" : "");
    assert_int_equal(get(u, target, line, first < 0 ? NULL : "\"n\":9,", first < 0 ? 150 : 2000, &body), 200);
    if (first_of(&body) != first || count_of(&body, "{\"n\":") != count) {
        fail_msg("%s %s: begins at %d, %d events", target, header ? header : "", first_of(&body),
                 count_of(&body, "{\"n\":"));
    }
    buf_fini(&body);
}

static void since_and_last_event_id(void **state)
{
    struct upstream *u = serve((struct upstream_options){.connections_per_ip = -1});
    (void)state;
    for (int i = 0; i < 10; i++) {
        add(u, i, i % 2 ? "codfw" : "eqiad", i == 4 ? 3500 : i == 6 ? 5999 : i * 1000); /* offsets 0..4 of each topic */
    }
    begins_at(u, STREAM, NULL, -1, 0);
    begins_at(u, STREAM "?since=1780272000000", NULL, 0, 10);
    begins_at(u, STREAM "?since=2026-06-01", NULL, 0, 10);
    begins_at(u, STREAM "?since=2026-06-01T00%3A00%3A08Z", NULL, 8, 2);
    begins_at(u, STREAM "?since=2026-06-01T00:00:08.001Z", NULL, 9, 1);
    begins_at(u, STREAM "?since=2030-01-01", NULL, -1, 0); /* the future: live */
    begins_at(u, STREAM "?since=", NULL, -1, 0);           /* a number to JavaScript */
    begins_at(u, STREAM "?since=1", "[" E "\"timestamp\":1780272005999}," C "\"timestamp\":1780272007000}]", 6,
              4); /* header beats since */
    begins_at(u, STREAM, "[" E "\"timestamp\":1780272003501}," C "\"offset\":-1}]", 6, 2);
    begins_at(u, STREAM, "[" C "\"timestamp\":0}]", 1, 5); /* only that topic */
    begins_at(u, STREAM, "[" E "\"offset\":6101423906}]", 4, 3);
    begins_at(u, STREAM, "[" E "\"offset\":6101423906,\"timestamp\":0}]", 4, 3); /* offset beats timestamp */
    /* but next to one that has only a timestamp, one with both is dropped */
    begins_at(u, STREAM, "[" E "\"offset\":6101423906,\"timestamp\":0}," C "\"timestamp\":0}]", 1, 5);
    begins_at(u, STREAM, "[\"eqiad.mediawiki.recentchange\"]", -1, 0);
    begins_at(u, STREAM "?since=1", "[\"eqiad.mediawiki.recentchange\"]", 0, 5);
    begins_at(u, STREAM, "[{\"topic\":\"eqiad.mediawiki.recentchange\",\"partition\":3,\"timestamp\":0}]", -1,
              0);                                         /* no such partition: silence */
    begins_at(u, STREAM, "[" E "\"offset\":99}]", -1, 0); /* out of range: silence */
    begins_at(u, "/v2/stream/mediawiki.recentchange,recentchange?since=1", NULL, 0, 10);
    upstream_stop(u);
}

static void refused(struct upstream *u, const char *target, const char *headers, int status, const char *say)
{
    struct buf body = {0};
    int got = get(u, target, headers, "}", 2000, &body);
    if (got != status || !strstr(body.ptr ? body.ptr : "", say)) {
        fail_msg("%s %s: %d %s", target, headers, got, body.ptr ? body.ptr : "");
    }
    buf_fini(&body);
}

static void refusals(void **state)
{
    struct upstream *u = serve_ten((struct upstream_options){0});
    (void)state;
    refused(u, "/v2/stream/recentchange,foo,bar", "", 400, "\"detail\":\"Invalid streams: foo,bar\"");
    refused(u, STREAM "?since=yesterday", "", 400, "\"type\":\"invalid_timestamp\"");
    refused(u, STREAM, "Last-Event-ID:\r\n", 400, "\"last_event_id\":\"\",\"statusCode\":400}");
    refused(u, STREAM, "Last-Event-ID: nonsense\r\n", 400, "InvalidAssignmentError");
    refused(u, STREAM, "Last-Event-ID: []\r\n", 400, "\"assignments\":[],\"statusCode\":400}");
    refused(u, STREAM, "Last-Event-ID: [{\"topic\":\"eqiad.mediawiki.recentchange\",\"partition\":0}]\r\n", 400,
            "Must provide");
    refused(u, STREAM, "Last-Event-ID: [" E "\"offset\":1.5}]\r\n", 400, "Must provide");
    refused(u, STREAM, "Last-Event-ID: {\"topic\":1}\r\n", 400, "Must provide");
    refused(u, STREAM, "Last-Event-ID: [" E "\"timestamp\":1},{\"topic\":\"other\",\"partition\":0,\"offset\":1}]\r\n",
            404, "Topics other are not available for consumption.");
    refused(u, "/nothing", "", 404, "html");
    refused(u, "/_info", "", 200, "\"name\":\"eventstreams\"");
    upstream_stop(u);
}

static void two_connections_per_address(void **state)
{
    struct upstream *u = serve_ten((struct upstream_options){0});
    struct buf one = {0}, two = {0};
    struct upstream_stats stats;
    (void)state;
    int a = ask(u, STREAM, ""), b = ask(u, STREAM, "");
    read_until(a, &one, ":ok", 2000);
    read_until(b, &two, ":ok", 2000);
    refused(u, STREAM, "", 429, "\"type\":\"too_many_requests\"");
    refused(u, STREAM, "X-Client-IP: 192.0.2.1\r\nLast-Event-ID: []\r\n", 400, ""); /* another address is let in */
    do { /* the place of the refused one is given back a moment after its answer */
        upstream_stats(u, &stats);
    } while (stats.open != 2);
    close(a);
    for (int i = 0; i < 200 && stats.open == 2; i++) {
        usleep(10000);
        upstream_stats(u, &stats);
    }
    assert_int_equal(stats.open, 1); /* the going of an idle client is noticed */
    close(b);
    upstream_stop(u);
    buf_fini(&one);
    buf_fini(&two);
}

/* ---------------------------------------------------------------- options */

static void rate_paces_what_is_there_not_who_reads(void **state)
{
    struct upstream *u = serve((struct upstream_options){.rate = 100});
    struct upstream_stats stats;
    struct buf body = {0};
    (void)state;
    for (int i = 0; i < 60; i++) {
        add(u, i, NULL, i);
    }
    upstream_stats(u, &stats);
    assert_true(stats.available >= 1 && stats.available < 40);
    usleep(300000);
    upstream_stats(u, &stats);
    assert_true(stats.available >= 25);
    get(u, STREAM "?since=1", "", "\"n\":59", 3000, &body); /* those that are there come at once, the others live */
    assert_int_equal(count_of(&body, "{\"n\":"), 60);
    upstream_stop(u);
    buf_fini(&body);
}

static void live_events_come_as_they_are_added(void **state)
{
    struct upstream *u = serve((struct upstream_options){0});
    struct buf all = {0}, body = {0};
    int status;
    (void)state;
    int fd = ask(u, STREAM, "");
    read_until(fd, &all, ":ok", 2000);
    for (int i = 0; i < 5; i++) {
        char want[32];
        add(u, i, NULL, i);
        snprintf(want, sizeof(want), "{\"n\":%d,", i);
        assert_false(read_until(fd, &all, want, 2000));
    }
    close(fd);
    unchunk(&all, &body, &status);
    assert_int_equal(count_of(&body, "{\"n\":"), 5);
    upstream_stop(u);
    buf_fini(&all);
    buf_fini(&body);
}

static void canaries_switch_seconds_retention(void **state)
{
    struct upstream *u = serve((struct upstream_options){
        .canaries = true, .switch_at = 2, .seconds = true, .retention_us = 20 * US_PER_MINUTE});
    struct buf body = {0};
    (void)state;
    for (int i = 0; i < 5; i++) { /* 0, 10.25, 20.5 minutes... */
        add(u, i, NULL, i * 615123);
    }
    get(u, STREAM "?since=1", "", "\"n\":4", 3000, &body);
    assert_int_equal(first_of(&body), 3); /* 20 minutes are kept: events 3 and 4, canaries of :30 */
    assert_int_equal(count_of(&body, "\"domain\":\"canary\""), 2);
    assert_int_equal(count_of(&body, "{\"n\":"), 2);
    assert_non_null(strstr(body.ptr, "\"n\":3,\"meta\":{\"id\":\"id-3\",\"dt\":\"2026-06-01T00:30:45Z\",\"domain\":"
                                     "\"d\",\"topic\":\"codfw.mediawiki.recentchange\""));
    assert_non_null(strstr(body.ptr, "\"timestamp\":1780273845001"));
    upstream_stop(u);
    buf_fini(&body);
}

static void old_events_go_when_memory_is_full(void **state)
{
    struct upstream *u = serve((struct upstream_options){.max_bytes = 2000});
    struct buf body = {0};
    (void)state;
    for (int i = 0; i < 100; i++) {
        add(u, i, NULL, i);
    }
    get(u, STREAM "?since=1", "", "\"n\":99", 3000, &body);
    assert_true(count_of(&body, "{\"n\":") >= 5 && count_of(&body, "{\"n\":") < 20);
    assert_int_equal(first_of(&body), 100 - count_of(&body, "{\"n\":"));
    upstream_stop(u);
    buf_fini(&body);
}

/* ---------------------------------------------------------------- faults */

static void faults_are_read_strictly(void **state)
{
    static const char *const bad[] = {"nonsense",          "stall:nonsense=1", "stall:for=x", "cut:bytes=-1",
                                      "hole:keep=maybe",   "5xx:code=404",     "429:rate=1",  "cut:at=0",
                                      "cut:at=1,every=2",  "cut:chance=2",     "cut:at",      "clock:offset=--1s",
                                      "duplicate:copies=0"};
    static const char *const good[] = {"",
                                       "stall",
                                       "stall:for=5s,at=100;hole:every=50,keep=yes",
                                       "cut:bytes=1000,times=3",
                                       " 429 : retry-after=3 ; dateless",
                                       "clock:offset=-90s",
                                       "5xx:code=502,connection=2",
                                       "slow:rate=100,chance=0.5",
                                       "half-open:for=1m,at=3"};
    struct upstream *u = serve((struct upstream_options){0});
    struct err err;
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (upstream_set_faults(u, bad[i], &err) != ERR_REJECT) {
            fail_msg("\"%s\" was taken", bad[i]);
        }
    }
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        if (upstream_set_faults(u, good[i], &err)) {
            fail_msg("\"%s\": %s", good[i], err.text);
        }
    }
    upstream_stop(u);
}

/* All that came until nothing more does for 300 ms or the end. */
static bool with_fault(const char *faults, const char *headers, struct buf *all, struct buf *body, int *ret_status)
{
    struct upstream *u = serve_ten((struct upstream_options){.faults = faults, .seed = 1});
    int fd = ask(u, STREAM "?since=1", headers);
    buf_clear(all);
    bool ended = read_until(fd, all, NULL, 400);
    close(fd);
    unchunk(all, body, ret_status);
    upstream_stop(u);
    return ended;
}

static void faults_of_a_record(void **state)
{
    struct buf all = {0}, b = {0};
    int status;
    (void)state;
    assert_false(with_fault("stall:at=4", "", &all, &b, &status));
    assert_int_equal(count_of(&b, "{\"n\":"), 4);
    assert_false(with_fault("stall:at=4,for=50ms", "", &all, &b, &status));
    assert_int_equal(count_of(&b, "{\"n\":"), 10);
    assert_true(with_fault("cut:at=4", "", &all, &b, &status));
    assert_int_equal(count_of(&b, "{\"n\":"), 3);
    assert_false(str_ends(buf_str(&all), STR("0\r\n\r\n"))); /* no last chunk */
    assert_true(with_fault("reset:at=4", "", &all, &b, &status));
    assert_true(with_fault("cut:bytes=300", "", &all, &b, &status));
    assert_int_equal(b.len, 300);
    assert_false(with_fault("hole:at=4", "", &all, &b, &status));
    assert_int_equal(count_of(&b, "{\"n\":"), 9);
    assert_int_equal(count_of(&b, "{\"n\":3,"), 0);
    assert_false(with_fault("duplicate:at=4,copies=2", "", &all, &b, &status));
    assert_int_equal(count_of(&b, "{\"n\":3,"), 3);
    assert_false(with_fault("rewind:at=6,by=3", "", &all, &b, &status));
    assert_int_equal(count_of(&b, "{\"n\":"), 14); /* 0 to 5, 2 to 9 */
    assert_int_equal(count_of(&b, "{\"n\":2,"), 2);
    assert_false(with_fault("oversize:at=4,bytes=100000", "", &all, &b, &status));
    assert_int_equal(count_of(&b, "{\"n\":"), 10);
    assert_true(b.len > 100000);
    assert_false(with_fault("bad-utf8:at=4", "", &all, &b, &status));
    assert_int_equal(count_of(&b, "\xC0\xAF\xFF"), 1);
    assert_false(with_fault("comments:at=4,count=50", "", &all, &b, &status));
    assert_int_equal(count_of(&b, "\n: nothing"), 50);
    assert_true(with_fault("error-event:at=4", "", &all, &b, &status));
    assert_int_equal(count_of(&b, "event: error\n"), 1);
    assert_int_equal(count_of(&b, "{\"n\":"), 3);
    assert_false(with_fault("half-open:at=4", "", &all, &b, &status));
    assert_int_equal(count_of(&b, "{\"n\":"), 4);
    assert_false(with_fault("hole:every=2", "", &all, &b, &status));
    assert_int_equal(count_of(&b, "{\"n\":"), 5);
    assert_false(with_fault("hole:every=2,times=3", "", &all, &b, &status));
    assert_int_equal(count_of(&b, "{\"n\":"), 7);
    assert_false(with_fault("hole:connection=2", "", &all, &b, &status));
    assert_int_equal(count_of(&b, "{\"n\":"), 10);
    buf_fini(&all);
    buf_fini(&b);
}

static void faults_of_a_request(void **state)
{
    struct buf all = {0}, b = {0};
    int status;
    (void)state;
    with_fault("429:retry-after=7", "Connection: close\r\n", &all, &b, &status);
    assert_int_equal(status, 429);
    assert_int_equal(count_of(&all, "\r\nRetry-After: 7\r\n"), 1);
    with_fault("5xx:code=502", "Connection: close\r\n", &all, &b, &status);
    assert_int_equal(status, 502);
    assert_int_equal(count_of(&all, "Retry-After"), 0);
    with_fault("403", "Connection: close\r\n", &all, &b, &status);
    assert_int_equal(status, 403);
    with_fault("wrong-type", "Connection: close\r\n", &all, &b, &status);
    assert_true(status == 200 && strstr(all.ptr, "content-type: text/html"));
    with_fault("redirect", "Connection: close\r\n", &all, &b, &status);
    assert_int_equal(status, 302);
    with_fault("dateless", "", &all, &b, &status);
    assert_int_equal(count_of(&all, "\r\nDate: "), 0);
    with_fault("429:at=2", "", &all, &b, &status); /* the first is served */
    assert_int_equal(status, 200);
    with_fault("gzip", "", &all, &b, &status); /* not offered */
    assert_int_equal(count_of(&b, "{\"n\":"), 10);
    with_fault("gzip", "Accept-Encoding: gzip\r\n", &all, &b, &status);
    assert_int_equal(count_of(&all, "Content-Encoding: gzip\r\n"), 1);
    char plain[65536];
    z_stream z = {
        .next_in = (Bytef *)b.ptr, .avail_in = (uInt)b.len, .next_out = (Bytef *)plain, .avail_out = sizeof(plain) - 1};
    assert_int_equal(inflateInit2(&z, 31), Z_OK);
    inflate(&z, Z_SYNC_FLUSH);
    plain[sizeof(plain) - 1 - z.avail_out] = '\0';
    inflateEnd(&z);
    assert_non_null(strstr(plain, "{\"n\":9,"));
    with_fault("slow:rate=200", "", &all, &b, &status);
    assert_true(b.len < 400);
    buf_fini(&all);
    buf_fini(&b);
}

static void the_other_cluster_numbers_differently(void **state)
{
    struct upstream *u = serve_ten((struct upstream_options){.faults = "cluster:at=2", .connections_per_ip = -1});
    struct buf b = {0};
    (void)state;
    get(u, STREAM "?since=1", "", "\"n\":9,", 2000, &b);
    assert_non_null(strstr(b.ptr, "\"offset\":6101423904}"));
    get(u, STREAM "?since=1", "", "\"n\":9,", 2000, &b);
    assert_null(strstr(b.ptr, "\"offset\":6101423904}"));
    assert_non_null(strstr(b.ptr, "\"offset\":9101423923}"));
    upstream_stop(u);
    buf_fini(&b);
}

static void a_mirror_lags(void **state)
{
    struct upstream *u = serve((struct upstream_options){.faults = "mirror:lag=400ms"});
    struct buf b = {0};
    (void)state;
    add(u, 0, "eqiad", 0);
    add(u, 1, "codfw", 0);
    int fd = ask(u, STREAM, "Last-Event-ID: [" E "\"timestamp\":0}," C "\"timestamp\":0}]\r\n");
    assert_false(read_until(fd, &b, "\"n\":0,", 2000));
    read_until(fd, &b, "\"n\":1,", 100);
    assert_int_equal(count_of(&b, "\"n\":1,"), 0);
    read_until(fd, &b, "\"n\":1,", 2000);
    close(fd);
    upstream_stop(u);
    buf_fini(&b);
}

static void the_date_can_be_wrong_or_that_of_the_events(void **state)
{
    struct buf all = {0}, b = {0};
    int status;
    (void)state;
    struct upstream *u = serve_ten((struct upstream_options){.date_of_events = true});
    int fd = ask(u, STREAM, "");
    read_until(fd, &all, ":ok", 2000);
    assert_non_null(strstr(all.ptr, "\r\nDate: Mon, 01 Jun 2026 00:00:09 GMT\r\n"));
    close(fd);
    upstream_stop(u);
    u = serve_ten((struct upstream_options){.date_of_events = true, .faults = "clock:offset=-90s"});
    fd = ask(u, STREAM, "");
    buf_clear(&all);
    read_until(fd, &all, ":ok", 2000);
    assert_non_null(strstr(all.ptr, "\r\nDate: Sun, 31 May 2026 23:58:39 GMT\r\n"));
    close(fd);
    upstream_stop(u);
    (void)status;
    buf_fini(&all);
    buf_fini(&b);
}

static void bad_addresses(void **state)
{
    static const char *const bad[] = {"", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000", "example.org:80", "1:2:3"};
    struct upstream *u;
    struct err err;
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(upstream_start(&(struct upstream_options){.listen = bad[i]}, &u, &err), ERR_REJECT);
    }
    assert_int_equal(upstream_start(&(struct upstream_options){.listen = "127.0.0.1:0", .faults = "x"}, &u, &err),
                     ERR_REJECT);
    upstream_stop(NULL);
}

static void strange_requests(void **state)
{
    static const char *const strange[] = {"GET\r\n\r\n", "GET / HTTP/2.0\r\n\r\n", "GET x HTTP/1.1\r\n\r\n",
                                          "GET / HTTP/1.1\r\nno colon\r\n\r\n", "\r\n\r\n"};
    struct upstream *u = serve_ten((struct upstream_options){0});
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port_of(u)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    (void)state;
    for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
        struct buf all = {0};
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_true(send(fd, strange[i], strlen(strange[i]), MSG_NOSIGNAL) > 0);
        assert_true(read_until(fd, &all, NULL, 2000));
        assert_non_null(strstr(all.ptr ? all.ptr : "", "HTTP/1.1 400"));
        close(fd);
        buf_fini(&all);
    }
    refused(u, "/_info", "Connection: keep-alive\r\n", 200, "eventstreams");
    upstream_stop(u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_byte_for_byte),
        cmocka_unit_test(recorded_offsets_are_kept_where_they_rise),
        cmocka_unit_test(json_mode),
        cmocka_unit_test(since_and_last_event_id),
        cmocka_unit_test(refusals),
        cmocka_unit_test(two_connections_per_address),
        cmocka_unit_test(rate_paces_what_is_there_not_who_reads),
        cmocka_unit_test(live_events_come_as_they_are_added),
        cmocka_unit_test(canaries_switch_seconds_retention),
        cmocka_unit_test(old_events_go_when_memory_is_full),
        cmocka_unit_test(faults_are_read_strictly),
        cmocka_unit_test(faults_of_a_record),
        cmocka_unit_test(faults_of_a_request),
        cmocka_unit_test(the_other_cluster_numbers_differently),
        cmocka_unit_test(a_mirror_lags),
        cmocka_unit_test(the_date_can_be_wrong_or_that_of_the_events),
        cmocka_unit_test(bad_addresses),
        cmocka_unit_test(strange_requests),
    };
    return cmocka_run_group_tests_name("upstream", tests, NULL, NULL);
}
