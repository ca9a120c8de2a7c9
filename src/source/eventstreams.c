/* SPDX-License-Identifier: MIT
 *
 * eventstreams.c - connections to an EventStreams server over libcurl (transport.h).
 *
 * One multi handle, one easy handle for each connection (two at most). Reading from one drives both: what comes for the
 * other is kept in its `waiting` up to ES_WAITING_MAX; beyond that curl pauses it, so that the kernel's window fills
 * and the server stops sending. Nothing is read ahead of the reader by more than that, and nothing is lost. Deadlines
 * are monotonic. `stop` wakes curl_multi_poll from another thread.
 */
#include "source/eventstreams.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum { ES_WAITING_MAX = 256 << 10, POLL_MAX_MS = 1000 };
#define BODY_WAIT_US (2 * US_PER_SECOND)
#define DEFAULT_LINE ((size_t)(8 << 20) + (64 << 10)) /* CHANGE_MAX_BYTES + 64 KiB */

/* ---------------------------------------------------------------- what curl calls */

/* RFC 9110: "Sun, 06 Nov 1994 08:49:37 GMT". curl_getdate knows the obsolete forms too. */
static void take_date(struct es_connection *c, struct str value)
{
    char text[64] = "";
    if (value.len < sizeof(text)) {
        memcpy(text, value.ptr, value.len);
    }
    time_t at = curl_getdate(text, NULL);
    if (at > 0) {
        c->base.date_us = (int64_t)at * US_PER_SECOND;
        c->base.opened_mono_us = clock_mono(c->transport->clock);
    }
}

static void judge_head(struct es_connection *c)
{
    if (!c->judged) {
        c->judged = true;
        if (c->base.opened_mono_us == TIME_NONE) {
            c->base.opened_mono_us = clock_mono(c->transport->clock);
        }
        c->refused = !es_is_stream(c->easy);
    }
}

static size_t on_header(char *data, size_t size, size_t count, void *ctx)
{
    struct es_connection *c = ctx;
    struct str line = str_trim(str_n(data, size * count));
    c->header_bytes += size * count;
    if (size * count > ES_HEADER_MAX || c->header_bytes > ES_HEADERS_MAX) {
        snprintf(c->curl_text, sizeof(c->curl_text), "its head is longer than %d bytes", ES_HEADERS_MAX);
        return 0; /* curl ends the transfer with CURLE_WRITE_ERROR */
    }
    if (line.len > 5 && strncasecmp(line.ptr, "date:", 5) == 0) {
        take_date(c, str_trim(str_n(line.ptr + 5, line.len - 5)));
    } else if (line.len == 0) {
        long status = 0;
        curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
        if (status >= 200) { /* not 100 Continue */
            judge_head(c);
        }
    }
    return size * count;
}

static size_t on_body(char *data, size_t size, size_t count, void *ctx)
{
    struct es_connection *c = ctx;
    struct str bytes = str_n(data, size * count);
    judge_head(c);
    if (c->refused) {
        buf_add(&c->error_body, str_n(bytes.ptr, bytes.len < ES_ERROR_BODY_MAX - c->error_body.len
                                                     ? bytes.len
                                                     : ES_ERROR_BODY_MAX - c->error_body.len));
        return c->error_body.len < ES_ERROR_BODY_MAX ? bytes.len : 0; /* enough for a message */
    }
    if (c->waiting.len - c->used >= ES_WAITING_MAX) {
        c->paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    if (c->used > 0) {
        buf_drop(&c->waiting, c->used);
        c->used = 0;
    }
    buf_add(&c->waiting, bytes);
    return bytes.len;
}

/* ---------------------------------------------------------------- moving bytes */

static void take_messages(struct es_transport *t)
{
    int left;
    CURLMsg *message;
    while ((message = curl_multi_info_read(t->multi, &left))) {
        struct es_connection *c = NULL;
        if (message->msg == CURLMSG_DONE && !curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&c) &&
            c) {
            c->done = true;
            c->result = message->data.result;
            judge_head(c); /* an answer without a body */
        }
    }
}

static void perform(struct es_transport *t)
{
    int running;
    curl_multi_perform(t->multi, &running);
    take_messages(t);
}

/* Waits for bytes of any connection until the deadline; false: the deadline is here. */
static bool wait_bytes(struct es_transport *t, int64_t until_mono_us)
{
    int64_t left_us = until_mono_us - clock_mono(t->clock);
    if (left_us <= 0) {
        return false;
    }
    int64_t ms = left_us / US_PER_MS + 1;
    curl_multi_poll(t->multi, NULL, 0, ms < POLL_MAX_MS ? (int)ms : POLL_MAX_MS, NULL);
    return true;
}

static void resume(struct es_connection *c)
{
    if (c->paused && c->waiting.len - c->used < ES_WAITING_MAX / 2) {
        c->paused = false;
        curl_easy_pause(c->easy, CURLPAUSE_CONT); /* may call on_body at once */
    }
}

static void cut(struct es_connection *c, const char *label, const char *reason, struct str detail)
{
    AUTO(buf) struct buf printable = {0};
    buf_add_printable(&printable, detail, 80);
    c->base.cut_label = label;
    snprintf(c->base.cut_reason, sizeof(c->base.cut_reason), "%.100s%.*s", reason, STR_ARG(buf_str(&printable)));
}

static void cut_by_result(struct es_connection *c)
{
    switch (c->result) {
    case CURLE_OK:
    case CURLE_PARTIAL_FILE: /* no last chunk: how the service ends connections */
        cut(c, "cut", "server closed", STR(""));
        break;
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
        cut(c, "cut", "connection lost: ", str_of(c->curl_text));
        break;
    default:
        cut(c, "error", c->curl_text[0] ? c->curl_text : curl_easy_strerror(c->result), STR(""));
    }
}

/* ---------------------------------------------------------------- one event */

static void error_event(struct es_connection *c, struct str data)
{
    const char *at = data.len ? memmem(data.ptr, data.len, "\"message\":\"", 11) : NULL;
    struct str detail = data;
    if (at) {
        const char *from = at + 11, *end = memchr(from, '"', (size_t)(data.ptr + data.len - from));
        detail = str_n(from, end ? (size_t)(end - from) : 0);
    }
    cut(c, "error", "error event: ", detail);
}

/* The next message among the bytes that are there. */
static bool parse(struct es_connection *c, struct str *ret_data)
{
    struct str input = str_n(c->waiting.ptr ? c->waiting.ptr + c->used : NULL, c->waiting.len - c->used);
    struct sse_event event;
    bool found = false;
    while (!found && !c->base.cut_label) {
        enum sse_result result = sse_next(&c->sse, &input, &event);
        if (result == SSE_MORE) {
            break;
        }
        if (!c->ok) {
            c->ok = true;
            c->base.ok_mono_us = clock_mono(c->transport->clock);
        }
        if (result == SSE_EVENT && str_eq(event.type, STR("message"))) {
            found = true;
            c->base.refused_count += event.truncated;
            *ret_data = event.data;
        } else if (result == SSE_EVENT && str_eq(event.type, STR("error"))) {
            error_event(c, event.data);
        }
    }
    c->used = c->waiting.len - input.len;
    return found;
}

static enum transport_event es_read(struct transport *transport, struct connection *connection, int64_t until_mono_us,
                                    struct str *ret_data)
{
    struct es_transport *t = (struct es_transport *)transport;
    struct es_connection *c = (struct es_connection *)connection;
    for (;;) {
        if (atomic_load(&t->stop) && !c->base.cut_label) {
            cut(c, "cut", "stopped", STR(""));
        }
        if (!c->base.cut_label && parse(c, ret_data)) {
            return TRANSPORT_RECORD;
        }
        if (c->base.cut_label) {
            return TRANSPORT_CUT;
        }
        resume(c);
        if (c->waiting.len > c->used) {
            continue;
        }
        if (c->done) {
            cut_by_result(c);
            continue;
        }
        perform(t);
        if (c->waiting.len == c->used && !c->done && !wait_bytes(t, until_mono_us)) {
            return TRANSPORT_SILENT;
        }
    }
}

/* ---------------------------------------------------------------- opening and closing */

static void es_close(struct transport *transport, struct connection *connection)
{
    struct es_transport *t = (struct es_transport *)transport;
    struct es_connection *c = (struct es_connection *)connection;
    if (!c) {
        return;
    }
    for (size_t i = 0; i < ES_CONNECTIONS_MAX; i++) {
        if (t->open[i] == c) {
            t->open[i] = NULL;
            curl_multi_remove_handle(t->multi, c->easy);
        }
    }
    curl_easy_cleanup(c->easy);
    curl_slist_free_all(c->headers);
    buf_fini(&c->waiting);
    buf_fini(&c->error_body);
    sse_fini(&c->sse);
    free(c);
}

static struct es_connection *connection_new(struct es_transport *t)
{
    struct es_connection *c = xcalloc(1, sizeof(*c));
    c->transport = t;
    c->base.date_us = c->base.opened_mono_us = c->base.ok_mono_us = TIME_NONE;
    sse_init(&c->sse, t->max_line_bytes, t->max_line_bytes);
    return c;
}

static enum err_class start(struct es_transport *t, struct es_connection *c, struct err *err)
{
    size_t at = t->open[0] ? 1 : 0;
    if (t->open[at]) {
        return err_set(err, ERR_FATAL, EXIT_INTERNAL, "a third connection was asked for: two are the limit");
    }
    curl_easy_setopt(c->easy, CURLOPT_PRIVATE, c);
    curl_easy_setopt(c->easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c->easy, CURLOPT_HEADERDATA, c);
    curl_easy_setopt(c->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c->easy, CURLOPT_WRITEDATA, c);
    CURLMcode code = curl_multi_add_handle(t->multi, c->easy);
    if (code) {
        return err_set(err, ERR_FATAL, EXIT_INTERNAL, "cannot open a connection: %s", curl_multi_strerror(code));
    }
    t->open[at] = c;
    return ERR_NONE;
}

/* Has the stream begun: `:ok`, or its first event (which stays unread)? */
static bool has_begun(struct es_connection *c)
{
    if (!c->ok && c->waiting.len > c->used && !c->refused) {
        const char *from = c->waiting.ptr + c->used;
        size_t len = c->waiting.len - c->used;
        c->ok = memchr(from, '\n', len) || memchr(from, '\r', len);
        if (c->ok) {
            c->base.ok_mono_us = clock_mono(c->transport->clock);
        }
    }
    return c->ok;
}

/* Is it clear that this is no stream? The body may hold the reason, so it is waited for, but not long. */
static bool is_refused(struct es_connection *c, int64_t *until_us)
{
    long status = 0;
    curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
    if (!c->judged || !c->refused || status == 0) {
        return false;
    }
    int64_t now = clock_mono(c->transport->clock);
    *until_us = *until_us < c->base.opened_mono_us + BODY_WAIT_US ? *until_us : c->base.opened_mono_us + BODY_WAIT_US;
    bool head_too_long = c->result == CURLE_WRITE_ERROR && c->error_body.len == 0;
    return (c->done && !head_too_long) || now >= *until_us;
}

static enum err_class await_ok(struct es_transport *t, struct es_connection *c, struct err *err)
{
    int64_t until_us = clock_mono(t->clock) + t->connect_timeout_us;
    for (;;) {
        perform(t);
        if (atomic_load(&t->stop)) {
            return err_set(err, ERR_RETRY, EXIT_INTERRUPTED, "stopped");
        }
        if (has_begun(c)) {
            return ERR_NONE;
        }
        if (is_refused(c, &until_us)) {
            return es_refusal(c, err);
        }
        if (c->done) {
            return es_failure(c, err);
        }
        if (!wait_bytes(t, until_us)) {
            return c->refused
                       ? es_refusal(c, err)
                       : err_set(err, ERR_RETRY, EXIT_UNAVAILABLE, "\"%s\" did not begin to stream within %lld s",
                                 t->url, (long long)(t->connect_timeout_us / US_PER_SECOND));
        }
    }
}

static enum err_class es_connect(struct transport *transport, const struct transport_want *want, size_t count,
                                 struct connection **ret_connection, int64_t *ret_retry_after_us, struct err *err)
{
    struct es_transport *t = (struct es_transport *)transport;
    *ret_retry_after_us = 0;
    if (atomic_load(&t->stop)) {
        return err_set(err, ERR_RETRY, EXIT_INTERRUPTED, "stopped");
    }
    struct es_connection *c = connection_new(t);
    enum err_class cls = es_request(t, c, want, count, err);
    cls = cls ? cls : start(t, c, err);
    cls = cls ? cls : await_ok(t, c, err);
    if (cls) {
        *ret_retry_after_us = c->retry_after_us;
        es_close(transport, &c->base);
        return cls;
    }
    *ret_connection = &c->base;
    return ERR_NONE;
}

static void es_stop(struct transport *transport)
{
    struct es_transport *t = (struct es_transport *)transport;
    atomic_store(&t->stop, true);
    curl_multi_wakeup(t->multi);
}

static void es_free(struct transport *transport)
{
    struct es_transport *t = (struct es_transport *)transport;
    for (size_t i = 0; i < ES_CONNECTIONS_MAX; i++) {
        es_close(transport, t->open[i] ? &t->open[i]->base : NULL);
    }
    curl_multi_cleanup(t->multi);
    free(t->url);
    free(t->contact);
    free(t->ca_file);
    free(t->proxy);
    free(t);
}

static const struct transport_ops es_ops = {es_connect, es_read, es_close, es_stop, es_free};

void transport_free(struct transport *t)
{
    if (t && t->ops->free) {
        t->ops->free(t);
    }
}

static void init_curl(void)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        die_no_memory();
}

enum err_class transport_open_eventstreams(const struct eventstreams_options *options, struct transport **ret_transport,
                                           struct err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    bool loopback;
    pthread_once(&once, init_curl);
    enum err_class cls = es_check(options, &loopback, err);
    if (cls) {
        return cls;
    }
    const char *contact = options->contact && *options->contact ? options->contact : "no contact given";
    struct es_transport *t = xcalloc(1, sizeof(*t));
    t->base.ops = &es_ops;
    t->url = str_dup(str_of(options->url));
    t->contact = str_dup(str_of(contact));
    t->ca_file = options->ca_file && *options->ca_file ? str_dup(str_of(options->ca_file)) : NULL;
    t->proxy = options->proxy && *options->proxy ? str_dup(str_of(options->proxy)) : NULL;
    t->accept_gzip = options->accept_gzip;
    t->loopback = loopback;
    t->max_line_bytes = options->max_line_bytes ? options->max_line_bytes : DEFAULT_LINE;
    t->connect_timeout_us = options->connect_timeout_us > 0 ? options->connect_timeout_us : 15 * US_PER_SECOND;
    t->clock = options->clock;
    t->multi = curl_multi_init();
    if (!t->multi) {
        die_no_memory();
    }
    *ret_transport = &t->base;
    return ERR_NONE;
}
