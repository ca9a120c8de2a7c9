/* SPDX-License-Identifier: MIT
 *
 * The server over a socket: what it refuses (reliability.md D3, D4), what it says with every answer, and what the
 * routes answer before there is any data.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/metrics.h"
#include "server.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static struct server server;

static int start(void **state)
{
    static const char *const hosts[] = {"tally.example.org"};
    (void)state;
    server.options.hosts = hosts;
    server.options.host_count = 1;
    server_start(&server);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    server_stop(&server);
    return 0;
}

static bool is_refusal(int status)
{
    return status == 400 || status == 404 || status == 413 || status == 414 || status == 431;
}

/* ---- paths */

static int status_of_path(const char *path)
{
    AUTO(buf) struct buf b = {0}, answer = {0};
    buf_addf(&b, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path);
    client_send(server.port, buf_str(&b), &answer, 5000);
    if (answer_status(&answer) == 200)
        print_message("200 for %s\n", path);
    assert_false(buf_contains(&answer, "root:"));
    return answer_status(&answer);
}

static const char *const climbs[] = {
    "..",      "%2e%2e",    "%2E.",  ".%2e",     "%252e%252e",   "%c0%ae%c0%ae", "%e0%80%ae.", "..%00",
    "..%5c..", "%2e%2e%2f", "....",  "..;",      "%uff0e%uff0e", "..%c0%af",     "..%252f",    "..%255c",
    ".%00.",   "%ff%fe",    "..%09", "..%0d%0a", "%f0%80%80%ae", "..%e0%80%af",  "~",          "..%c1%9c"};
static const char *const bases[] = {"/", "/assets/", "/api/v1/results/", "/plain/", "//"};
static const char *const targets[] = {"etc/passwd", "/etc/passwd", "%2fetc%2fpasswd", "index.html", "journal.db"};

/* 24 ways up x 5 places x 5 files: no path of a request names a file. */
static void D3_paths_never_reach_the_file_system(void **state)
{
    (void)state;
    char path[256];
    size_t count = 0;
    for (size_t c = 0; c < sizeof(climbs) / sizeof(*climbs); c++) {
        for (size_t b = 0; b < sizeof(bases) / sizeof(*bases); b++) {
            for (size_t t = 0; t < sizeof(targets) / sizeof(*targets); t++, count++) {
                snprintf(path, sizeof(path), "%s%s/%s", bases[b], climbs[c], targets[t]);
                int status = status_of_path(path);
                assert_true(is_refusal(status) || (status == 503 && strncmp(path, "/api/v1/results/", 16) == 0));
            }
        }
    }
    print_message("%zu paths\n", count);
    assert_true(count >= 500);
}

static void D3_odd_paths(void **state)
{
    (void)state;
    static const char *const paths[] = {"/%00",
                                        "/index.html",
                                        "/assets/",
                                        "/assets",
                                        "/ASSETS/x.js",
                                        "/livez/",
                                        "/livez%20",
                                        "/livez%00",
                                        "/%6civez",
                                        "/./livez",
                                        "/x/../livez",
                                        "//livez",
                                        "/livez//",
                                        "\\livez",
                                        "/livez\\",
                                        "/livez;x=1",
                                        "http://x/livez",
                                        "/api/v1/",
                                        "/api/v1//now",
                                        "/metrics/..",
                                        "/api/v1/now/",
                                        "livez",
                                        "/livez#x",
                                        "*",
                                        "/assets/index.html"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++)
        assert_true(is_refusal(status_of_path(paths[i])));
}

/* ---- malformed requests */

static int status_of_bytes(const char *bytes, size_t n)
{
    AUTO(buf) struct buf answer = {0};
    client_send(server.port, str_n(bytes, n), &answer, 700);
    return answer_status(&answer);
}

#define BYTES(text) text, sizeof(text) - 1
#define LIVEZ "GET /livez HTTP/1.1\r\nHost: localhost\r\n"

struct sample {
    const char *bytes;
    size_t size;
};

static const struct sample malformed[] = {
    {BYTES(LIVEZ "Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde")},
    {BYTES(LIVEZ "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")},
    {BYTES(LIVEZ "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n")},
    {BYTES(LIVEZ "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n")},
    {BYTES(LIVEZ "Transfer-Encoding: \x0b"
                 "chunked\r\n\r\n0\r\n\r\n")},
    {BYTES(LIVEZ "Content-Length: -1\r\n\r\n")},
    {BYTES(LIVEZ "Content-Length: +4\r\n\r\nabcd")},
    {BYTES(LIVEZ "Content-Length: 4x\r\n\r\nabcd")},
    {BYTES(LIVEZ "Content-Length: 0x4\r\n\r\nabcd")},
    {BYTES(LIVEZ "Content-Length: 99999999999999999999999\r\n\r\n")},
    {BYTES(LIVEZ "Content-Length: 4, 4\r\n\r\nabcd")},
    {BYTES(LIVEZ "Content-Length: \r\n\r\n")},
    {BYTES(LIVEZ "Content-Length: 4\r\n\r\nabcd")},
    {BYTES(LIVEZ "X: a\r\n b\r\n\r\n")},
    {BYTES(LIVEZ "X: a\r\n\tb\r\n\r\n")},
    {BYTES(LIVEZ " X: a\r\n\r\n")},
    {BYTES(LIVEZ "X : a\r\n\r\n")},
    {BYTES(LIVEZ "X\r\n\r\n")},
    {BYTES(LIVEZ ": a\r\n\r\n")},
    {BYTES(LIVEZ "X(y): a\r\n\r\n")},
    {BYTES(LIVEZ "X\xc3\xa4: a\r\n\r\n")},
    {BYTES(LIVEZ "X: a\0b\r\n\r\n")},
    {BYTES(LIVEZ "X\0: a\r\n\r\n")},
    {BYTES(LIVEZ "X: a\rY: b\r\n\r\n")},
    {BYTES(LIVEZ "X: a\nY: b\r\n\r\n")},
    {BYTES("GET /livez HTTP/1.1\nHost: localhost\n\n")},
    {BYTES("GET /livez HTTP/1.1\rHost: localhost\r\r")},
    {BYTES("GET /livez\0 HTTP/1.1\r\nHost: localhost\r\n\r\n")},
    {BYTES("GET\0 /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")},
    {BYTES("GET /livez HTTP/1.1\0\r\nHost: localhost\r\n\r\n")},
    {BYTES("GET  /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")},
    {BYTES("GET /livez  HTTP/1.1\r\nHost: localhost\r\n\r\n")},
    {BYTES("GET /livez HTTP/1.1 \r\nHost: localhost\r\n\r\n")},
    {BYTES("GET /livez x HTTP/1.1\r\nHost: localhost\r\n\r\n")},
    {BYTES("GET\t/livez HTTP/1.1\r\nHost: localhost\r\n\r\n")},
    {BYTES("GET /livez HTTP/1.10\r\nHost: localhost\r\n\r\n")},
    {BYTES("GET /livez HTTP/1.2\r\nHost: localhost\r\n\r\n")},
    {BYTES("GET /livez HTTP/2.0\r\nHost: localhost\r\n\r\n")},
    {BYTES("GET /livez HTTP/0.9\r\nHost: localhost\r\n\r\n")},
    {BYTES("GET /livez http/1.1\r\nHost: localhost\r\n\r\n")},
    {BYTES("GET /livez XTTP/1.1\r\nHost: localhost\r\n\r\n")},
    {BYTES("GET /livez\r\nHost: localhost\r\n\r\n")},
    {BYTES("GET\r\nHost: localhost\r\n\r\n")},
    {BYTES("G@T /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")},
    {BYTES("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 / HTTP/1.1\r\n\r\n")},
    {BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")},
};

static bool is_strict(int status)
{
    return is_refusal(status) || status == 0 || status == 505;
}

static void D3_malformed_requests_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(malformed) / sizeof(*malformed); i++) {
        int status = status_of_bytes(malformed[i].bytes, malformed[i].size);
        if (!is_strict(status))
            print_message("%d for #%zu: %s\n", status, i, malformed[i].bytes);
        assert_true(is_strict(status));
    }
}

/* Every control byte in a value, in a name and in the target. A tab in a value is allowed. */
static void D3_no_control_byte_passes(void **state)
{
    (void)state;
    static const char *const before[] = {"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: a",
                                         "GET /livez HTTP/1.1\r\nHost: localhost\r\nX", "GET /livez?a="};
    static const char *const after[] = {"b\r\n\r\n", "y: ab\r\n\r\n", "b HTTP/1.1\r\nHost: localhost\r\n\r\n"};
    AUTO(buf) struct buf b = {0};
    for (size_t f = 0; f < 3; f++) {
        for (int c = 0; c < 0x80; c = c == 0x1f ? 0x7f : c + 1) {
            if (f == 0 && c == '\t')
                continue;
            buf_clear(&b);
            buf_addz(&b, before[f]);
            buf_addc(&b, (char)c);
            buf_addz(&b, after[f]);
            int status = status_of_bytes(b.ptr, b.len);
            if (!is_strict(status))
                print_message("%d for form %zu, byte %d\n", status, f, c);
            assert_true(is_strict(status));
        }
    }
}

static void D3_sizes(void **state)
{
    (void)state;
    AUTO(buf) struct buf b = {0}, answer = {0};
    buf_addz(&b, "GET /livez?");
    for (int i = 0; i < 2100; i++)
        buf_addc(&b, 'a');
    buf_addz(&b, " HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client_send(server.port, buf_str(&b), &answer, 700);
    assert_int_equal(answer_status(&answer), 414);
    buf_clear(&b);
    buf_clear(&answer);
    buf_addz(&b, LIVEZ);
    for (int i = 0; i < 100; i++)
        buf_addf(&b, "X-%d: y\r\n", i);
    buf_addz(&b, "\r\n");
    client_send(server.port, buf_str(&b), &answer, 700);
    assert_int_equal(answer_status(&answer), 431);
    assert_true(buf_contains(&answer, "problem+json"));
    size_t sizes[] = {7000, 20000, 65536, 1 << 20};
    for (size_t s = 0; s < 4; s++) {
        buf_clear(&b);
        buf_clear(&answer);
        buf_addz(&b, LIVEZ "X: ");
        for (size_t i = 0; i < sizes[s]; i++)
            buf_addc(&b, 'a');
        buf_addz(&b, "\r\n\r\n");
        client_send(server.port, buf_str(&b), &answer, 700);
        assert_true(answer_status(&answer) == 431 || answer_status(&answer) == 0);
    }
}

/* What ordinary clients send must pass all of that. */
static void ordinary_requests_pass(void **state)
{
    (void)state;
    static const struct sample good[] = {
        {BYTES(LIVEZ "\r\n")},
        {BYTES(LIVEZ "X:a\r\n\r\n")},
        {BYTES(LIVEZ "X: \r\n\r\n")},
        {BYTES(LIVEZ "X:\r\n\r\n")},
        {BYTES(LIVEZ "X:  a  b\r\n\r\n")},
        {BYTES(LIVEZ "Content-Length: 0\r\n\r\n")},
        {BYTES(LIVEZ "Cookie: a=b; c=d\r\nAccept: */*\r\n\r\n")},
        {BYTES(LIVEZ "User-Agent: Mozilla/5.0 (X11; Linux x86_64) \xc3\xa4\r\n\r\n")},
        {BYTES("GET /livez HTTP/1.0\r\nHost: localhost\r\n\r\n")},
        {BYTES("HEAD /livez HTTP/1.1\r\nHost: tally.example.org:443\r\n\r\n")},
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        int status = status_of_bytes(good[i].bytes, good[i].size);
        if (status != 200)
            print_message("%d for #%zu\n", status, i);
        assert_int_equal(status, 200);
    }
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    AUTO(buf) struct buf answer = {0};
    client_send(server.port,
                STR(LIVEZ "\r\n"
                          "GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"
                          "GET /plain.css HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
                &answer, 1000);
    const char *second = strstr(answer.ptr, "404");
    assert_int_equal(answer_status(&answer), 200);
    assert_non_null(second);
}

/* ---- Host and Origin */

static int status_with(const char *headers)
{
    AUTO(buf) struct buf b = {0}, answer = {0};
    buf_addf(&b, "GET /api/v1/state HTTP/1.1\r\nConnection: close\r\n%s\r\n", headers);
    client_send(server.port, buf_str(&b), &answer, 3000);
    assert_null(answer_header(&answer, "Access-Control-Allow-Origin").ptr);
    return answer_status(&answer);
}

/* The library parses such a line again whenever it looks, and never completes the request: that nothing of it is left
 * the sanitizer's build says at its end. */
static void D3_more_parameters_than_memory(void **state)
{
    (void)state;
    AUTO(buf) struct buf line = {0}, answer = {0};
    buf_addz(&line, "GET /api/v1/now?");
    for (int i = 0; i < 300; i++)
        buf_addc(&line, '&');
    buf_addz(&line, " HTTP/1.1\r\nHost: localhost\r\n\r\n");
    for (int i = 0; i < 10; i++) {
        int fd = client_open(server.port);
        assert_int_equal(send(fd, line.ptr, line.len, MSG_NOSIGNAL), line.len);
        for (int others = 0; others < 3; others++) {
            buf_clear(&answer);
            client_get(server.port, "/livez", "", &answer);
            assert_int_equal(answer_status(&answer), 200);
        }
        close(fd);
    }
}

static void D4_foreign_names_are_misdirected(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "evil.example",        "127.0.0.1.nip.io", "localhost.evil.example", "[::1]", "0.0.0.0",
        "attacker.test:8787",  "127.0.0.2",        "localhost:1:2",          "",      "x y",
        "rebind.example:8787", "local host",       "169.254.169.254",        "[::]",  "10.0.0.1",
        "tally.example.org.x", "wikipedia.org",    "127.0.0.1@evil.example", "*",     "%6cocalhost"};
    char headers[160];
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        snprintf(headers, sizeof(headers), "Host: %s\r\n", bad[i]);
        assert_int_equal(status_with(headers), 421);
    }
    assert_int_equal(status_with(""), 421);
    assert_int_equal(status_with("Host: localhost\r\nHost: localhost\r\n"), 421);
    assert_int_equal(status_with("Host: localhost\r\nHost: evil.example\r\n"), 421);
    assert_int_equal(status_with("Host: localhost\r\n"), 200);
    assert_int_equal(status_with("Host: 127.0.0.1\r\n"), 200);
    assert_int_equal(status_with("Host: tally.example.org\r\n"), 200);
}

static void D4_foreign_origins_are_forbidden(void **state)
{
    (void)state;
    assert_int_equal(status_with("Host: localhost\r\nOrigin: http://evil.example\r\n"), 403);
    assert_int_equal(status_with("Host: localhost\r\nOrigin: null\r\n"), 403);
    assert_int_equal(status_with("Host: localhost\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: cors\r\n"), 403);
    assert_int_equal(status_with("Host: localhost\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n"), 200);
    assert_int_equal(status_with("Host: localhost\r\nOrigin: http://localhost\r\nSec-Fetch-Site: same-origin\r\n"),
                     200);
}

/* ---- every answer */

static void every_answer_has_the_security_headers(void **state)
{
    (void)state;
    static const char *const paths[] = {"/",
                                        "/plain",
                                        "/plain.css",
                                        "/livez",
                                        "/readyz",
                                        "/metrics",
                                        "/api/v1",
                                        "/api/v1/state",
                                        "/api/v1/now",
                                        "/nothing",
                                        "/api/v1/results",
                                        "/api/v1/windows",
                                        "/api/v1/ledger",
                                        "/api/v1/config",
                                        "/api/v1/cluster",
                                        "/api/v1/topics",
                                        "/api/v1/topics/journal",
                                        "/api/v1/messages/journal",
                                        "/api/v1/groups",
                                        "/api/v1/group?name=x",
                                        "/api/v1/now?x=1"};
    AUTO(buf) struct buf answer = {0};
    for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
        client_get(server.port, paths[i], "", &answer);
        assert_true(answer_status(&answer) != 0);
        assert_true(
            str_starts(answer_header(&answer, "Content-Security-Policy"),
                       STR("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src "
                           "'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")));
        assert_true(str_eq(answer_header(&answer, "X-Content-Type-Options"), STR("nosniff")));
        assert_true(str_eq(answer_header(&answer, "Referrer-Policy"), STR("no-referrer")));
        if (strncmp(paths[i], "/api", 4) == 0)
            assert_true(str_eq(answer_header(&answer, "Cache-Control"), STR("no-store")));
        assert_non_null(answer_header(&answer, "Content-Type").ptr);
    }
}

static void only_get_and_head(void **state)
{
    (void)state;
    static const char *const methods[] = {"POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "get", "BREW"};
    AUTO(buf) struct buf b = {0}, answer = {0};
    for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++) {
        buf_clear(&b);
        buf_clear(&answer);
        buf_addf(&b,
                 "%s /api/v1/state HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
                 methods[i]);
        client_send(server.port, buf_str(&b), &answer, 2000);
        assert_int_equal(answer_status(&answer), 405);
        assert_true(str_eq(answer_header(&answer, "Allow"), STR("GET, HEAD")));
        assert_true(str_eq(answer_header(&answer, "Content-Type"), STR("application/problem+json")));
    }
}

static void parameters_are_checked(void **state)
{
    (void)state;
    static const char *const bad[] = {"/api/v1/now?window=7m",
                                      "/api/v1/now?windw=5m",
                                      "/api/v1/now?window=5m&window=1m",
                                      "/api/v1/stream?views=all",
                                      "/api/v1/stream?hz=3",
                                      "/api/v1/stream?hz=-1",
                                      "/plain?window=x",
                                      "/livez?x=1",
                                      "/api/v1/ledger?from=yesterday-ish",
                                      "/api/v1/ledger?by=wish",
                                      "/api/v1/ledger?from=0&to=now",
                                      "/api/v1/topics?limit=0",
                                      "/api/v1/topics?cursor=%ff",
                                      "/api/v1/topics/journal?limit=1",
                                      "/api/v1/groups?limit=10001",
                                      "/api/v1/group",
                                      "/api/v1/group?name=%00",
                                      "/api/v1/messages/journal?count=1001",
                                      "/api/v1/messages/journal?last=-1",
                                      "/api/v1/messages/journal?last=1&from=1",
                                      "/api/v1/messages/journal?partition=x",
                                      "/api/v1/messages/journal?cursor=1.",
                                      "/api/v1/messages/journal?filter=%28",
                                      "/api/v1/messages/journal?filter=%ff"};
    AUTO(buf) struct buf answer = {0};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        client_get(server.port, bad[i], "", &answer);
        assert_int_equal(answer_status(&answer), 400);
    }
}

static void conditional_and_compressed(void **state)
{
    (void)state;
    AUTO(buf) struct buf answer = {0}, head = {0};
    client_get(server.port, "/api/v1", "Accept-Encoding: gzip\r\n", &answer);
    assert_true(str_eq(answer_header(&answer, "Content-Encoding"), STR("gzip")));
    assert_true(str_starts(answer_body(&answer), STR("\x1f\x8b")));
    assert_true(str_eq(answer_header(&answer, "Vary"), STR("Accept-Encoding")));
    client_get(server.port, "/api/v1", "Accept-Encoding: gzip;q=0\r\n", &answer);
    assert_null(answer_header(&answer, "Content-Encoding").ptr);
    client_get(server.port, "/", "Accept-Encoding: br\r\n", &answer);
    if (answer_status(&answer) != 200)
        return; /* built without the page */
    assert_true(str_eq(answer_header(&answer, "Content-Encoding"), STR("br")));
    buf_addz(&head, "If-None-Match: ");
    buf_add(&head, answer_header(&answer, "ETag"));
    buf_addz(&head, "\r\n");
    client_get(server.port, "/", head.ptr, &answer);
    assert_int_equal(answer_status(&answer), 304);
    assert_int_equal(answer_body(&answer).len, 0);
    client_get(server.port, "/", "", &answer);
    const char *script = strstr(answer.ptr, "/assets/main.");
    assert_non_null(script);
    char path[64];
    snprintf(path, sizeof(path), "%.*s", (int)strcspn(script, "\""), script);
    client_get(server.port, path, "", &answer);
    assert_true(str_eq(answer_header(&answer, "Cache-Control"), STR("public, max-age=31536000, immutable")));
}

/* ---- limits */

static void twenty_streams_an_address(void **state)
{
    (void)state;
    AUTO(buf) struct buf answer = {0};
    int fds[20];
    for (int i = 0; i < 20; i++) {
        AUTO(buf) struct buf one = {0};
        fds[i] = client_open(server.port);
        assert_true(write(fds[i], BYTES("GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")) > 0);
        assert_true(client_read(fds[i], &one, 3000));
        assert_int_equal(answer_status(&one), 200);
    }
    client_get(server.port, "/api/v1/stream", "", &answer);
    assert_int_equal(answer_status(&answer), 503);
    assert_non_null(answer_header(&answer, "Retry-After").ptr);
    client_get(server.port, "/api/v1/now", "", &answer);
    assert_int_equal(answer_status(&answer), 200);
    for (int i = 0; i < 20; i++)
        close(fds[i]);
    for (int i = 0; i < 50 && answer_status(&answer) != 0; i++) { /* the places come back */
        client_get(server.port, "/metrics", "", &answer);
        if (buf_contains(&answer, "\nwikitally_sse_clients 0\n"))
            return;
        usleep(100000);
    }
    fail_msg("the closed streams kept their places");
}

static void metrics_pass_promtool(void **state)
{
    (void)state;
    if (system("command -v promtool >/dev/null 2>&1") != 0) {
        print_message("skipped: promtool is not installed (Debian: prometheus)\n");
        skip();
    }
    AUTO(buf) struct buf answer = {0};
    client_get(server.port, "/metrics", "", &answer);
    assert_true(buf_contains(&answer, "wikitally_build_info{version="));
    assert_true(buf_contains(&answer, "wikitally_http_requests_total{route=\"livez\",code=\"200\"}"));
    FILE *f = popen("promtool check metrics 2>&1", "w");
    assert_non_null(f);
    struct str body = answer_body(&answer);
    assert_int_equal(fwrite(body.ptr, 1, body.len, f), body.len);
    assert_int_equal(pclose(f), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(D3_paths_never_reach_the_file_system),
        cmocka_unit_test(D3_odd_paths),
        cmocka_unit_test(D3_malformed_requests_are_refused),
        cmocka_unit_test(D3_no_control_byte_passes),
        cmocka_unit_test(D3_sizes),
        cmocka_unit_test(ordinary_requests_pass),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(D3_more_parameters_than_memory),
        cmocka_unit_test(D4_foreign_names_are_misdirected),
        cmocka_unit_test(D4_foreign_origins_are_forbidden),
        cmocka_unit_test(every_answer_has_the_security_headers),
        cmocka_unit_test(only_get_and_head),
        cmocka_unit_test(parameters_are_checked),
        cmocka_unit_test(conditional_and_compressed),
        cmocka_unit_test(twenty_streams_an_address),
        cmocka_unit_test(metrics_pass_promtool),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
