/* SPDX-License-Identifier: MIT
 *
 * fuzz_http.c - any bytes sent to the running server, on a connection of its own. The library's parser is lenient, so
 * this is also about what src/serve adds to it (reliability.md D3, D4).
 *
 * Behind the bytes go the end of a header and one plain request that asks for the connection to be closed, so that
 * there is an end to wait for whatever they were. (Where a client only closes its half, or sends so many parameters
 * that the memory of its connection is used up, the library may see that not before http_sweep does, 15 s later.)
 *
 * A strict reader here goes over the same bytes. Only what it takes for a request, with GET or HEAD and a Host of ours,
 * may be answered with anything but a refusal; each answer is whole, has the fields that protect the page, and none is
 * a 500. The server must be there for the next input.
 */
#include "base/clock.h"
#include "base/err.h"
#include "fuzz.h"
#include "serve/serve.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { ANSWER_MAX = 1 << 20, WAIT_MS = 20000 };

static char directory[] = "/tmp/wikitally-fuzz-http-XXXXXX";
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static struct serve *serve;

static void stop(void)
{
    serve_stop(serve);
    rmdir(directory);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static char listen_on[sizeof directory + 16];
    struct err err = {0};
    (void)argc;
    (void)argv;
    ensure(mkdtemp(directory) != NULL);
    snprintf(listen_on, sizeof listen_on, "unix:%s/s", directory);
    memcpy(address.sun_path, listen_on + 5, strlen(listen_on) - 4);
    const struct serve_options options = {
        .listen = listen_on, .directory = directory, .delay_us = 120 * US_PER_SECOND, .clock = &clock_real};
    ensure(serve_start(&options, &serve, &err) == ERR_NONE);
    atexit(stop);
    return 0;
}

/* ---- the strict reader */

struct strict {
    bool shown; /* GET or HEAD, of us, without a body: may be answered */
    bool head;
};

static bool is_token_byte(char c)
{
    return c &&
           ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!is_token_byte(s.ptr[i])) {
            return false;
        }
    }
    return s.len > 0;
}

/* A line that ends with CR LF, and holds neither, nor any other control character but the tab. NUL LF is the same to
 * the library, and cannot be told from it (src/serve/http.c). */
static bool take_line(struct str *rest, struct str *ret)
{
    for (size_t i = 0; i < rest->len; i++) {
        const unsigned char c = (unsigned char)rest->ptr[i];
        if (c == '\r' || c == '\0') {
            *ret = str_n(rest->ptr, i);
            const bool good = i + 1 < rest->len && rest->ptr[i + 1] == '\n';
            *rest = good ? str_n(rest->ptr + i + 2, rest->len - i - 2) : *rest;
            return good;
        }
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return false;
}

static bool take_request_line(struct str *rest, struct strict *s)
{
    struct str line, method, target;
    *s = (struct strict){0};
    if (!take_line(rest, &line) || !str_split(&line, ' ', &method) || !str_split(&line, ' ', &target)) {
        return false;
    }
    s->head = str_eqz(method, "HEAD");
    s->shown = s->head || str_eqz(method, "GET");
    for (size_t i = 0; i < target.len; i++) {
        if (target.ptr[i] <= 0x20 || target.ptr[i] >= 0x7f) {
            return false;
        }
    }
    return is_token(method) && target.len > 0 && target.ptr[0] == '/' &&
           (str_eqz(line, "HTTP/1.1") || str_eqz(line, "HTTP/1.0"));
}

static bool is_named(struct str name, const char *z)
{
    return name.len == strlen(z) && strncasecmp(name.ptr, z, name.len) == 0;
}

/* The line that ends the headers, and what the library takes for it (src/serve/http.c). */
static bool take_end(struct str *rest)
{
    const bool end = str_starts(*rest, STR("\r\n")) || str_starts(*rest, STR("\0\n")) || str_starts(*rest, STR(":\n"));
    *rest = end ? str_n(rest->ptr + 2, rest->len - 2) : *rest;
    return end;
}

static bool take_request(struct str *rest, struct strict *s)
{
    struct str line, name;
    size_t hosts = 0;
    while (str_starts(*rest, STR("\r\n")) || str_starts(*rest, STR("\n")) || str_starts(*rest, str_n("", 1))) {
        str_split(rest, '\n', &line); /* RFC 9112, section 2.2; what begins with NUL is as empty to the library */
    }
    if (!take_request_line(rest, s)) {
        return false;
    }
    for (;;) {
        if (take_end(rest)) {
            s->shown = s->shown && hosts == 1;
            return true;
        }
        if (!take_line(rest, &line) || !memchr(line.ptr, ':', line.len) || !str_split(&line, ':', &name) ||
            !is_token(name)) {
            return false;
        }
        const struct str value = str_trim(line);
        if (is_named(name, "Host")) {
            hosts++;
            s->shown = s->shown && value.len >= 9 && strncasecmp(value.ptr, "localhost", 9) == 0;
        }
        int64_t length;
        if (is_named(name, "Content-Length") && !str_to_int64(value, &length)) {
            return false;
        }
        s->shown = s->shown && !is_named(name, "Transfer-Encoding");
        s->shown = s->shown && !(is_named(name, "Content-Length") && !str_eqz(value, "0"));
    }
}

/* ---- the answers */

/* Reads until the server closes; of an endless answer, the live stream, only what is there. */
static void read_all(int fd, struct buf *out)
{
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        const bool stream = out->len && memmem(out->ptr, out->len, "text/event-stream", 17);
        const int ready = poll(&p, 1, stream ? 0 : WAIT_MS);
        if (ready < 0 && errno == EINTR) { /* the fuzzer's own clock */
            continue;
        }
        if (stream && ready == 0) {
            return;
        }
        ensure(ready == 1); /* else it neither answered nor closed */
        char *room = buf_reserve(out, 65536);
        ensure(room != NULL);
        const ssize_t n = recv(fd, room, 65536, 0);
        if (n <= 0) {
            return;
        }
        out->len += (size_t)n;
    }
}

static void exchange(struct str bytes, struct buf *out)
{
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ensure(fd >= 0 && connect(fd, (const struct sockaddr *)(const void *)&address, sizeof address) == 0);
    for (size_t sent = 0; sent < bytes.len;) {
        const ssize_t n = send(fd, bytes.ptr + sent, bytes.len - sent, MSG_NOSIGNAL);
        if (n <= 0) {
            break;
        }
        sent += (size_t)n;
    }
    read_all(fd, out);
    close(fd);
}

struct answer_head {
    int status;
    size_t length;
    bool own;    /* made by us, not by the library */
    bool stream; /* no length */
};

static void take_answer_head(struct str *rest, struct answer_head *h)
{
    struct str line, name;
    ensure(take_line(rest, &line) && line.len > 12 && str_starts(line, STR("HTTP/1.")));
    h->status = (int)strtol(line.ptr + 9, NULL, 10);
    while (take_line(rest, &line) && line.len) {
        ensure(str_split(&line, ':', &name) && is_token(name));
        const struct str value = str_trim(line);
        int64_t length = 0;
        if (is_named(name, "Content-Length")) {
            ensure(str_to_int64(value, &length) && length >= 0 && length < ANSWER_MAX);
            h->length = (size_t)length;
        }
        h->own = h->own || (is_named(name, "Content-Security-Policy") && str_starts(value, STR("default-src 'none'")));
        h->stream = h->stream || (is_named(name, "Content-Type") && str_starts(value, STR("text/event-stream")));
    }
    ensure(line.len == 0);
}

/* -> false: nothing can follow */
static bool check_answer(struct str *rest, const struct strict *s)
{
    struct answer_head h = {0};
    take_answer_head(rest, &h);
    if (h.status == 100) { /* "go on"; then the library closes if something else than a body came already */
        return true;
    }
    ensure(h.status >= 200 && h.status < 600 && h.status != 500);
    ensure(s || (h.status >= 400 && h.status != 404));
    ensure(h.status >= 400 || (s->shown && h.own));
    ensure(h.own || h.status >= 400);
    const size_t body = (s && s->head) || h.status == 304 ? 0 : h.length;
    if (h.stream || !s) {
        return false; /* how far its body goes is not for us to know */
    }
    ensure(rest->len >= body);
    *rest = str_n(rest->ptr + body, rest->len - body);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char end[] = "\r\n\r\nGET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    AUTO(buf) struct buf got = {.max = ANSWER_MAX}, bytes = {0};
    buf_add(&bytes, str_n((const char *)data, size));
    buf_addz(&bytes, end);
    struct str sent = buf_str(&bytes);
    exchange(sent, &got);
    struct str rest = buf_str(&got);
    struct strict s = {0};
    for (bool good = false, next = true; rest.len;) {
        good = next ? take_request(&sent, &s) : good;
        next = !str_starts(rest, STR("HTTP/1.1 100 "));
        if (!check_answer(&rest, good ? &s : NULL)) {
            break;
        }
    }
    return 0;
}
