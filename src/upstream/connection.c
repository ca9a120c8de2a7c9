/* SPDX-License-Identifier: MIT
 *
 * connection.c - one client: its requests, one after the other, until a stream takes the connection over. Answers that
 * are no streams have the bodies of the real service (routes/stream.js, lib/util.js of EventStreams 0.8.0).
 */
#include "upstream/inside.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD_MAX = 64 << 10, SLICE_MS = 100, HEAD_WAIT_MS = 10000, MISHAPS_MAX = 8 };

bool connection_alive(struct connection *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLRDHUP};
    if (atomic_load(&c->upstream->stopping) || atomic_load(&c->cut)) {
        return false;
    }
    return poll(&p, 1, 0) <= 0 || !(p.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

bool connection_send(struct connection *c, struct str bytes)
{
    while (bytes.len > 0) {
        ssize_t n = send(c->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) {
            bytes = str_n(bytes.ptr + n, bytes.len - (size_t)n);
        } else if (errno == EAGAIN) {
            struct pollfd p = {.fd = c->fd, .events = POLLOUT};
            poll(&p, 1, SLICE_MS);
            if (!connection_alive(c)) {
                return false;
            }
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

/* ---------------------------------------------------------------- heads and short answers */

static void add_date(struct buf *out, int64_t us)
{
    static const char days[] = "ThuFriSatSunMonTueWed", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    AUTO(buf) struct buf text = {0};
    int64_t seconds = floor_div(us, US_PER_SECOND);
    time_format(&text, seconds * US_PER_SECOND); /* 2026-11-21T08:06:38Z */
    int month = (text.ptr[5] - '0') * 10 + text.ptr[6] - '0';
    int64_t day = floor_div(seconds, 86400) % 7;
    buf_addf(out, "Date: %.3s, %.2s %.3s %.4s %.8s GMT\r\n", days + 3 * day, text.ptr + 8, months + 3 * (month - 1),
             text.ptr, text.ptr + 11);
}

static int64_t newest_event(struct upstream *u)
{
    int64_t newest_ms = 0, mono = clock_mono(u->options.clock);
    pthread_mutex_lock(&u->lock);
    for (int i = 0; i < TOPICS; i++) {
        int64_t end = log_available_end(&u->logs[i], mono, NULL);
        if (end > u->logs[i].first && log_at(&u->logs[i], end - 1)->high_ms > newest_ms) {
            newest_ms = log_at(&u->logs[i], end - 1)->high_ms;
        }
    }
    pthread_mutex_unlock(&u->lock);
    return newest_ms * US_PER_MS;
}

void connection_add_head(struct connection *c, struct buf *out, int status, const char *reason,
                         const struct mishap *mishaps, size_t mishap_count)
{
    struct upstream *u = c->upstream;
    int64_t date_us = u->options.date_of_events ? newest_event(u) : clock_wall(u->options.clock);
    bool dateless = false;
    for (size_t i = 0; i < mishap_count; i++) {
        dateless |= mishaps[i].kind == MISHAP_DATELESS;
        date_us += mishaps[i].kind == MISHAP_CLOCK ? mishaps[i].offset_us : 0;
    }
    buf_addf(out,
             "HTTP/1.1 %d %s\r\n"
             "access-control-allow-origin: *\r\n"
             "access-control-allow-headers: accept, x-requested-with, content-type\r\n"
             "access-control-expose-headers: etag\r\n"
             "x-xss-protection: 1; mode=block\r\n"
             "x-content-type-options: nosniff\r\n"
             "x-frame-options: SAMEORIGIN\r\n"
             "content-security-policy: default-src 'self'; object-src 'none'; media-src *; img-src *; style-src *; "
             "frame-ancestors 'self'\r\n",
             status, reason);
    if (!dateless) {
        add_date(out, date_us);
    }
}

static bool answer(struct connection *c, const struct request *r, int status, const char *reason, const char *type,
                   struct str body, const char *more_heads, const struct mishap *mishaps, size_t mishap_count)
{
    AUTO(buf) struct buf out = {0};
    if (status != 200) {
        pthread_mutex_lock(&c->upstream->lock);
        c->upstream->stats.refused++;
        pthread_mutex_unlock(&c->upstream->lock);
    }
    connection_add_head(c, &out, status, reason, mishaps, mishap_count);
    if (type) {
        buf_addf(&out, "content-type: %s\r\n", type);
    }
    buf_addf(&out, "%sContent-Length: %zu\r\nConnection: %s\r\n\r\n", more_heads, body.len,
             r->keep_alive ? "keep-alive" : "close");
    if (strcmp(r->method, "HEAD") != 0) {
        buf_add(&out, body);
    }
    return connection_send(c, buf_str(&out)) && r->keep_alive;
}

static bool answer_error(struct connection *c, const struct request *r, int status, const char *reason,
                         const char *type, const char *title, const char *detail, const char *more_heads,
                         const struct mishap *mishaps, size_t mishap_count)
{
    AUTO(buf) struct buf body = {0};
    buf_addf(&body, "{\"status\":%d,\"type\":\"%s\",\"title\":\"%s\",\"detail\":", status, type, title);
    buf_add_json(&body, str_of(detail));
    buf_addz(&body, ",\"method\":");
    buf_add_json(&body, str_of(r->method));
    buf_addz(&body, ",\"uri\":\"");
    AUTO(buf) struct buf uri = {0};
    buf_addf(&uri, "%s%s%s", r->path, *r->query ? "?" : "", r->query);
    AUTO(buf) struct buf quoted = {0};
    buf_add_json(&quoted, buf_str(&uri));
    buf_add(&body, str_n(quoted.ptr + 1, quoted.len - 1));
    buf_addc(&body, '}');
    return answer(c, r, status, reason, "application/json; charset=utf-8", buf_str(&body), more_heads, mishaps,
                  mishap_count);
}

/* ---------------------------------------------------------------- a stream request */

/* Refusals by fault. -> 1 answered and the connection lives, 0 answered and it does not, -1 no refusal. */
static int refuse_by_mishap(struct connection *c, const struct request *r, const struct mishap *m, size_t count)
{
    char retry[64] = "";
    for (size_t i = 0; i < count; i++) {
        if (m[i].retry_after_s >= 0) {
            snprintf(retry, sizeof(retry), "Retry-After: %lld\r\n", (long long)m[i].retry_after_s);
        }
        switch (m[i].kind) {
        case MISHAP_429:
            return answer_error(c, r, 429, "Too Many Requests", "too_many_requests",
                                "Too Many Concurrent Connections From Your Client IP",
                                "Your HTTP client is likely opening too many concurrent connections.", retry, m, count);
        case MISHAP_5XX:
            return answer(c, r, (int)m[i].code, "Service Unavailable", "text/html; charset=utf-8",
                          STR("<!DOCTYPE html><html><title>Wikimedia Error</title><p>Our servers are currently under "
                              "maintenance or experiencing a technical problem.</p></html>\n"),
                          retry, m, count);
        case MISHAP_403:
            return answer(c, r, 403, "Forbidden", "text/plain",
                          STR("Please set a user-agent and respect our robot policy.\n"), "", m, count);
        case MISHAP_WRONG_TYPE:
            return answer(c, r, 200, "OK", "text/html; charset=utf-8", STR("<!DOCTYPE html><p>data: no</p>\n\n"), "", m,
                          count);
        case MISHAP_REDIRECT:
            return answer(c, r, 302, "Found", "text/plain", STR("Found\n"),
                          "Location: http://example.org/v2/stream/recentchange\r\n", m, count);
        default:
            break;
        }
    }
    return -1;
}

static bool known_streams(const char *names, struct buf *ret_unknown)
{
    struct str rest = str_of(names), name;
    while (str_split(&rest, ',', &name)) {
        if (!str_eq(name, STR("recentchange")) && !str_eq(name, STR("mediawiki.recentchange"))) {
            buf_addz(ret_unknown, ret_unknown->len ? "," : "");
            buf_add(ret_unknown, name);
        }
    }
    return ret_unknown->len == 0 && *names;
}

/* What Date.parse takes, as far as people write it. */
static bool date_parse(const char *text, int64_t *ret_us)
{
    static const char *const ends[] = {"", "Z", ":00Z", "T00:00:00Z"};
    char whole[96];
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        snprintf(whole, sizeof(whole), "%.60s%s", text, ends[i]);
        if (time_parse_rfc3339(str_of(whole), ret_us)) {
            return true;
        }
    }
    return false;
}

/* -> false: 400. TIME_NONE: live; also for `since=`, which JavaScript takes for a number. */
static bool read_since(const struct request *r, char *text, size_t max, int64_t *ret_ms)
{
    double number;
    char end;
    int64_t us;
    *ret_ms = TIME_NONE;
    if (!request_query(r, "since", text, max) || !*text) {
        return true;
    }
    if (sscanf(text, "%lf%c", &number, &end) == 1 && number > -1e15 && number < 1e15) {
        *ret_ms = (int64_t)number;
        return true;
    }
    if (date_parse(text, &us)) {
        *ret_ms = us / US_PER_MS;
        return true;
    }
    return false;
}

/* Two connections for an address; more are refused. */
static bool take_place(struct connection *c, const struct request *r)
{
    struct upstream *u = c->upstream;
    int limit = u->options.connections_per_ip ? u->options.connections_per_ip : 2, count = 0;
    pthread_mutex_lock(&u->lock);
    if (*r->client_ip) {
        snprintf(c->ip, sizeof(c->ip), "%s", r->client_ip);
    }
    for (int i = 0; i < UPSTREAM_CONNECTIONS_MAX; i++) {
        struct connection *other = &u->connections[i];
        count += other->holds_place && strcmp(other->ip, c->ip) == 0;
    }
    c->holds_place = limit < 0 || count < limit;
    pthread_mutex_unlock(&u->lock);
    return c->holds_place;
}

static void give_place(struct connection *c)
{
    pthread_mutex_lock(&c->upstream->lock);
    c->holds_place = false;
    pthread_mutex_unlock(&c->upstream->lock);
}

/* KafkaSSE writes its refusals without a length or a type. */
static bool refuse_assignment(struct connection *c, const struct request *r, const struct assignment *a,
                              const struct mishap *m, size_t count)
{
    AUTO(buf) struct buf out = {0};
    if (!r->chunked) {
        return answer(c, r, a->status, a->reason, NULL, buf_str(&a->body), "", m, count);
    }
    pthread_mutex_lock(&c->upstream->lock);
    c->upstream->stats.refused++;
    pthread_mutex_unlock(&c->upstream->lock);
    connection_add_head(c, &out, a->status, a->reason, m, count);
    buf_addf(&out, "Connection: %s\r\nTransfer-Encoding: chunked\r\n\r\n%zx\r\n",
             r->keep_alive ? "keep-alive" : "close", a->body.len);
    buf_add(&out, buf_str(&a->body));
    buf_addz(&out, "\r\n0\r\n\r\n");
    return connection_send(c, buf_str(&out)) && r->keep_alive;
}

/* -> is the connection good for another request? */
static bool serve_stream(struct connection *c, const struct request *r, const char *names)
{
    struct upstream *u = c->upstream;
    struct mishap m[MISHAPS_MAX];
    AUTO(buf) struct buf unknown = {0};
    char since[128], detail[512];
    int64_t since_ms;
    pthread_mutex_lock(&u->lock);
    int64_t number = ++u->stats.requests;
    size_t count = mishaps_fire(&u->mishaps, false, number, &u->rng, m, MISHAPS_MAX);
    u->stats.faults_fired += (int64_t)count;
    pthread_mutex_unlock(&u->lock);
    int refused = refuse_by_mishap(c, r, m, count);
    if (refused >= 0) {
        return refused;
    }
    if (!*r->user_agent) {
        return answer(c, r, 403, "Forbidden", "text/plain",
                      STR("Please set a user-agent and respect our robot policy.\n"), "", m, count);
    }
    if (!take_place(c, r)) {
        return answer_error(c, r, 429, "Too Many Requests", "too_many_requests",
                            "Too Many Concurrent Connections From Your Client IP",
                            "Your HTTP client is likely opening too many concurrent connections.", "", m, count);
    }
    bool again;
    struct assignment a = {.status = 200};
    if (!known_streams(names, &unknown)) {
        snprintf(detail, sizeof(detail), "Invalid streams: %s", unknown.ptr ? unknown.ptr : "");
        again = answer_error(c, r, 400, "Bad Request", "not_found", "Stream Not Found", detail, "", m, count);
    } else if (!read_since(r, since, sizeof(since), &since_ms)) {
        snprintf(detail, sizeof(detail),
                 "since timestamp is not a UTC milliseconds unix epoch and was not parseable: '%s'", since);
        again = answer_error(c, r, 400, "Bad Request", "invalid_timestamp", "Invalid timestamp", detail, "", m, count);
    } else {
        struct str header = r->last_event_id.len ? buf_str(&r->last_event_id) : STR("");
        bool reset = false;
        assignment_read(r->has_last_event_id ? header : (struct str){NULL, 0}, since_ms, &a);
        if (a.status != 200) {
            again = refuse_assignment(c, r, &a, m, count);
        } else {
            stream_serve(c, r, &a, m, count, number, &reset);
            again = false;
            if (reset) {
                setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
            }
        }
    }
    assignment_fini(&a);
    give_place(c);
    return again;
}

static bool serve_request(struct connection *c, const struct request *r)
{
    static const char stream[] = "/v2/stream/";
    bool get = !strcmp(r->method, "GET");
    if (get && !strncmp(r->path, stream, sizeof(stream) - 1) && !strchr(r->path + sizeof(stream) - 1, '/')) {
        return serve_stream(c, r, r->path + sizeof(stream) - 1);
    }
    if (get && (!strcmp(r->path, "/_info") || !strcmp(r->path, "/_info/"))) {
        return answer(
            c, r, 200, "OK", "application/json; charset=utf-8",
            STR("{\"name\":\"eventstreams\",\"version\":\"0.8.0\",\"description\":\"Streaming Wikimedia Events via "
                "HTTP SSE\",\"home\":\"https://wikitech.wikimedia.org/wiki/EventStreams\"}"),
            "", NULL, 0);
    }
    if (get && !strcmp(r->path, "/") && !strcmp(r->query, "spec")) {
        return answer(
            c, r, 200, "OK", "application/json; charset=utf-8",
            STR("{\"openapi\":\"3.0.0\",\"info\":{\"title\":\"eventstreams\",\"version\":\"0.8.0\"},\"paths\":{"
                "\"/v2/stream/recentchange\":{},\"/v2/stream/mediawiki.recentchange\":{}}}"),
            "", NULL, 0);
    }
    return answer(
        c, r, 404, "Not Found", "text/html; charset=utf-8",
        STR("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Error</title>\n</head>\n"
            "<body>\n<pre>Cannot serve that path</pre>\n</body>\n</html>\n"),
        "", NULL, 0);
}

/* ---------------------------------------------------------------- reading requests */

/* Reads until an empty line. -> its end in `in`, or 0: gone, too long, too slow. */
static size_t read_head(struct connection *c, struct buf *in)
{
    int64_t until = clock_mono(&clock_real) + HEAD_WAIT_MS * US_PER_MS;
    for (;;) {
        const char *end = in->len ? memmem(in->ptr, in->len, "\r\n\r\n", 4) : NULL;
        if (end) {
            return (size_t)(end - in->ptr) + 4;
        }
        struct pollfd p = {.fd = c->fd, .events = POLLIN};
        if (in->len >= HEAD_MAX || atomic_load(&c->upstream->stopping) || clock_mono(&clock_real) > until) {
            return 0;
        }
        if (poll(&p, 1, SLICE_MS) <= 0) {
            continue;
        }
        ssize_t n = recv(c->fd, buf_reserve(in, 4096), 4096, 0);
        if (n <= 0) {
            return 0;
        }
        in->len += (size_t)n;
    }
}

void connection_run(struct connection *c)
{
    AUTO(buf) struct buf in = {.max = HEAD_MAX + 8192};
    struct request request = {0};
    size_t head;
    while ((head = read_head(c, &in))) {
        bool good = request_parse(str_n(in.ptr, head), &request);
        if (!good) {
            request.keep_alive = false;
            answer(c, &request, 400, "Bad Request", NULL, STR(""), "", NULL, 0);
        }
        buf_drop(&in, head);
        if (!good || !serve_request(c, &request)) {
            break;
        }
    }
    request_fini(&request);
}
