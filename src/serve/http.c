/* SPDX-License-Identifier: MIT
 *
 * http.c - GNU libmicrohttpd behind http.h.
 *
 * Life of a request: on_target (raw request line, before the library decodes anything) makes the exchange; on_request
 * checks it when the headers are there and refuses early, runs the route - in the loop, or on the pool while the
 * connection is suspended - and queues the response; on_completed frees the exchange.
 *
 * The library's parser is lenient: it cuts lines at NUL bytes, joins folded lines, takes lone CR or LF for a line's
 * end. What it was lenient about cannot be seen in the parsed headers, but in their size: is_exact() compares the bytes
 * that the parsed request explains with the bytes that were read, and refuses what differs (reliability.md D3). Three
 * things cannot be seen: NUL LF in the place of CR LF, ":" LF in the place of the line that ends the headers, and a
 * line before the request that begins with NUL. All that they can do is to send a request that could have been sent
 * without.
 *
 * A memory limit of 16 KiB a connection, not the 4 KiB that would do for ourselves: browsers send the cookies of
 * everything else on localhost along, whatever its port.
 */
#include "serve/http.h"

#include "base/diag.h"
#include "base/fault.h"
#include "base/metrics.h"
#include "serve/listen.h"
#include "serve/routes.h"
#include "serve/stream.h"

#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/resource.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 1024, CONNECTIONS_MIN = 8, MEMORY_LIMIT = 16384, HEADER_COUNT_MAX = 64 };

static const char csp[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'";
static const char *const fixed_headers[][2] = {
    {"Content-Security-Policy", csp},
    {"X-Content-Type-Options", "nosniff"},
    {"Referrer-Policy", "no-referrer"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
    {"Cross-Origin-Opener-Policy", "same-origin"},
    {"Permissions-Policy", "camera=(), geolocation=(), microphone=()"},
};

/* One per connection, from accept to close. */
struct link {
    struct link *next, *prev;
    int fd;
    bool busy, streaming, suspended;
    int64_t since_us;          /* monotonic: of the last progress that counts */
    struct exchange *exchange; /* made by on_target, not begun nor completed yet; the library's thread alone */
};

struct http {
    struct http_options options;
    struct MHD_Daemon *daemon;
    pthread_mutex_t lock; /* links */
    struct link *links;
    struct guard_failures failures;
    bool stopping;
};

enum stage { STAGE_NEW, STAGE_CHECKED, STAGE_WAITING, STAGE_READY, STAGE_SENT };
struct exchange {
    struct http *http;
    struct MHD_Connection *connection;
    struct link *link;
    enum stage stage;
    bool bad_target, long_target;
    size_t target_bytes;
    struct request request;
    const struct route *route;
    struct answer answer;
    int64_t began_us;
};

void http_suspend(struct MHD_Connection *c)
{
    MHD_suspend_connection(c);
}

void http_resume(struct MHD_Connection *c)
{
    MHD_resume_connection(c);
}

bool http_is_gone(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *i = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct pollfd p = {.fd = i ? i->connect_fd : -1, .events = POLLRDHUP};
    return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

/* ---- links and their deadlines */

static struct link *link_of(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *i = MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return i ? i->socket_context : NULL;
}

static void link_mark(struct http *h, struct link *link, bool busy, bool streaming)
{
    link->exchange = NULL; /* it has begun: from now on the library completes it, and the pool may hold it */
    pthread_mutex_lock(&h->lock);
    link->busy = busy;
    link->streaming = streaming;
    link->since_us = clock_mono(h->options.clock);
    pthread_mutex_unlock(&h->lock);
}

static void link_open(struct http *h, struct MHD_Connection *c, void **context)
{
    const union MHD_ConnectionInfo *fd = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct link *link = xcalloc(1, sizeof(*link));
    link->fd = fd ? fd->connect_fd : -1;
    link->since_us = clock_mono(h->options.clock);
    pthread_mutex_lock(&h->lock);
    link->next = h->links;
    if (link->next)
        link->next->prev = link;
    h->links = link;
    pthread_mutex_unlock(&h->lock);
    *context = link;
}

static void link_close(struct http *h, struct link *link)
{
    if (!link)
        return;
    pthread_mutex_lock(&h->lock);
    if (link->prev)
        link->prev->next = link->next;
    else
        h->links = link->next;
    if (link->next)
        link->next->prev = link->prev;
    pthread_mutex_unlock(&h->lock);
    free(link->exchange); /* its request never came so far that the library would complete it */
    free(link);
}

static void on_connection(void *cls, struct MHD_Connection *c, void **context, enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        link_open(cls, c, context);
    else
        link_close(cls, *context);
}

static bool is_overdue(const struct link *link, int64_t now_us)
{
    int64_t limit = link->streaming ? HTTP_STREAM_DEADLINE_S : HTTP_DEADLINE_S;
    return !link->suspended && now_us - link->since_us > limit * US_PER_SECOND;
}

void http_sweep(struct http *h)
{
    int64_t now_us = clock_mono(h->options.clock);
    pthread_mutex_lock(&h->lock);
    for (struct link *l = h->links; l; l = l->next) {
        if (l->fd >= 0 && is_overdue(l, now_us))
            shutdown(l->fd, SHUT_RDWR);
    }
    pthread_mutex_unlock(&h->lock);
}

/* ---- checks */

static struct str header(const struct exchange *x, const char *name)
{
    const char *value = NULL;
    size_t size = 0;
    if (MHD_lookup_connection_value_n(x->connection, MHD_HEADER_KIND, name, strlen(name), &value, &size) != MHD_YES)
        return (struct str){0};
    return str_n(value ? value : "", size);
}

struct header_sum {
    size_t bytes, count, hosts, lengths, codings;
    bool malformed;
};

/* No control characters but the tab. */
static bool is_value(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static enum MHD_Result add_header_size(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_size,
                                       const char *value, size_t value_size)
{
    struct header_sum *sum = cls;
    (void)kind;
    /* "Name: value CR LF"; before the blanks stands the NUL that the parser put in the colon's place. */
    size_t blanks = 0;
    while (value && (value[-1 - (ptrdiff_t)blanks] == ' ' || value[-1 - (ptrdiff_t)blanks] == '\t'))
        blanks++;
    sum->bytes += name_size + 1 + blanks + value_size + 2;
    sum->count++;
    sum->malformed = sum->malformed || !request_is_token(str_n(name, name_size)) || !is_value(str_n(value, value_size));
    sum->hosts += strcasecmp(name, "Host") == 0;
    sum->lengths += strcasecmp(name, "Content-Length") == 0;
    sum->codings += strcasecmp(name, "Transfer-Encoding") == 0;
    return MHD_YES;
}

static size_t header_bytes(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *i = MHD_get_connection_info(c, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    return i ? i->header_size : 0;
}

static bool is_exact(const struct exchange *x, const struct header_sum *sum, const char *method, const char *version)
{
    size_t line = strlen(method) + 1 + x->target_bytes + 1 + strlen(version) + 2;
    return fault("D3.exact") || header_bytes(x->connection) == line + sum->bytes + 2;
}

static bool refuse_malformed(struct exchange *x, const char *method, const char *version)
{
    struct header_sum sum = {0};
    MHD_get_connection_values_n(x->connection, MHD_HEADER_KIND, add_header_size, &sum);
    struct answer *a = &x->answer;
    if (x->long_target)
        answer_problem(a, 414, "URI too long", "at most %d bytes of path and query are read", REQUEST_TARGET_MAX);
    else if (header_bytes(x->connection) > REQUEST_HEADERS_MAX || sum.count > HEADER_COUNT_MAX) {
        answer_problem(a, 431, "Headers too large", "at most %d bytes and %d fields are read", REQUEST_HEADERS_MAX,
                       HEADER_COUNT_MAX);
    } else if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0) {
        answer_problem(a, 400, "Bad request", "this server speaks HTTP/1.1");
    } else if (x->bad_target || sum.malformed || !request_is_token(str_of(method))) {
        answer_problem(a, 400, "Bad request", "the request line or a field is malformed");
    } else if (!is_exact(x, &sum, method, version)) {
        answer_problem(
            a, 400, "Bad request",
            "the headers hold bytes that belong to no field: control characters, folded lines, lone CR or LF");
    } else if (sum.lengths > 1 || sum.codings > 1 || (sum.lengths && sum.codings)) {
        answer_problem(a, 400, "Bad request", "how long the body is cannot be told");
    } else {
        return false;
    }
    return true;
}

static bool refuse_method(struct exchange *x, const char *method)
{
    x->request.head = strcmp(method, "HEAD") == 0;
    if (!x->request.head && strcmp(method, "GET") != 0) {
        answer_problem(&x->answer, 405, "Method not allowed", "this server only shows: GET and HEAD");
        x->answer.allow = "GET, HEAD";
        return true;
    }
    struct str length = header(x, "Content-Length");
    if (header(x, "Transfer-Encoding").ptr || (length.ptr && !str_eq(length, STR("0")))) {
        answer_problem(&x->answer, 413, "Content too large", "no request here has a body");
        return true;
    }
    return false;
}

static const struct sockaddr *local_address(const struct exchange *x, struct sockaddr_storage *at)
{
    socklen_t size = sizeof(*at);
    if (!x->link || getsockname(x->link->fd, (struct sockaddr *)at, &size))
        return NULL;
    return (const struct sockaddr *)at;
}

static bool refuse_foreign(struct exchange *x)
{
    struct sockaddr_storage at;
    const struct sockaddr *local = local_address(x, &at);
    const struct guard_names *names = &x->http->options.names;
    struct header_sum sum = {0};
    MHD_get_connection_values_n(x->connection, MHD_HEADER_KIND, add_header_size, &sum);
    bool own_site =
        !str_eq(header(x, "Sec-Fetch-Site"), STR("cross-site")) || str_eq(header(x, "Sec-Fetch-Mode"), STR("navigate"));
    if (sum.hosts != 1 || !guard_host(names, header(x, "Host"), local)) {
        answer_problem(
            &x->answer, 421, "Misdirected request",
            "this name is not one of the server's; use localhost or the address that it listens on, or add the "
            "name to serve.hosts");
        return true;
    }
    if (!guard_origin(names, header(x, "Origin"), local) || !own_site) {
        answer_problem(&x->answer, 403, "Forbidden", "pages of another site may not ask here");
        return true;
    }
    return false;
}

static bool refuse_stranger(struct exchange *x)
{
    struct http *h = x->http;
    const union MHD_ConnectionInfo *i = MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *peer = i ? i->client_addr : NULL;
    x->request.peer = guard_peer_of(peer);
    if (h->options.local_only || (peer && listen_is_local(peer)))
        return false;
    int64_t now_us = clock_mono(h->options.clock);
    if (guard_blocked(&h->failures, &x->request.peer, now_us)) {
        answer_problem(&x->answer, 429, "Too many requests", "too many wrong tokens from this address; wait a minute");
        x->answer.retry_after_s = 60;
        return true;
    }
    if (h->options.token && guard_token(h->options.token, header(x, "Authorization")))
        return false;
    guard_failed(&h->failures, &x->request.peer, now_us);
    answer_problem(&x->answer, 401, "Unauthorized",
                   "send the token as Authorization: Bearer TOKEN, or as the password of any user name");
    x->answer.challenge = true;
    return true;
}

static bool refuse_parameters(struct exchange *x)
{
    struct str unknown = request_unknown_parameter(&x->request, x->route->parameters);
    if (!unknown.ptr)
        return false;
    answer_problem(&x->answer, 400, "Bad request",
                   "parameter '%.*s' is not known here, or given twice; this route takes: %s", STR_ARG(unknown),
                   x->route->parameters[0] ? x->route->parameters : "none");
    return true;
}

static bool refuse_route(struct exchange *x)
{
    x->route = route_find(x->request.path);
    if (x->route)
        return refuse_parameters(x);
    answer_problem(&x->answer, 404, "Not found", "there is nothing at this path; see /api/v1 for what there is");
    return true;
}

static void copy_header(const struct exchange *x, const char *name, char *to, size_t size)
{
    struct str value = header(x, name);
    snprintf(to, size, "%.*s", value.len < size ? (int)value.len : 0, value.ptr ? value.ptr : "");
}

static bool is_refused(struct exchange *x, const char *method, const char *version)
{
    struct str accept = header(x, "Accept-Encoding");
    x->request.accepts_gzip = request_accepts(accept, "gzip");
    x->request.accepts_br = request_accepts(accept, "br");
    copy_header(x, "If-None-Match", x->request.if_none_match, sizeof(x->request.if_none_match));
    copy_header(x, "Last-Event-ID", x->request.last_event_id, sizeof(x->request.last_event_id));
    return refuse_malformed(x, method, version) || refuse_foreign(x) || refuse_stranger(x) ||
           refuse_method(x, method) || refuse_route(x);
}

/* ---- answering */

static ssize_t on_stream(void *cls, uint64_t position, char *at, size_t size)
{
    struct exchange *x = cls;
    (void)position;
    link_mark(x->http, x->link, true, true);
    ssize_t n = stream_client_read(x->answer.stream, at, size);
    pthread_mutex_lock(&x->http->lock);
    x->link->suspended = n == 0;
    pthread_mutex_unlock(&x->http->lock);
    return n < 0 ? MHD_CONTENT_READER_END_OF_STREAM : n;
}

static void add_header(struct MHD_Response *r, const char *name, const char *value)
{
    if (value && *value)
        MHD_add_response_header(r, name, value);
}

static void add_number(struct MHD_Response *r, const char *name, int number)
{
    char text[16];
    snprintf(text, sizeof(text), "%d", number);
    if (number)
        MHD_add_response_header(r, name, text);
}

static void add_headers(struct MHD_Response *r, const struct answer *a)
{
    for (size_t i = 0; i < sizeof(fixed_headers) / sizeof(*fixed_headers); i++)
        MHD_add_response_header(r, fixed_headers[i][0], fixed_headers[i][1]);
    add_header(r, "Content-Type", a->type);
    add_header(r, "Cache-Control", a->cache ? a->cache : "no-store");
    add_header(r, "Content-Encoding", a->encoding);
    add_header(r, "Location", a->location);
    add_header(r, "Allow", a->allow);
    add_header(r, "ETag", a->etag);
    add_header(r, "WWW-Authenticate", a->challenge ? "Basic realm=\"wikitally\", charset=\"UTF-8\"" : NULL);
    add_header(r, "Vary", a->varies ? "Accept-Encoding" : NULL);
    add_header(r, "X-Accel-Buffering", a->stream ? "no" : NULL);
    add_number(r, "Retry-After", a->retry_after_s);
    add_number(r, "Refresh", a->refresh_s);
}

static struct MHD_Response *make_response(struct exchange *x)
{
    struct answer *a = &x->answer;
    if (a->stream) {
        stream_client_attach(a->stream, x->connection);
        return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 1024, on_stream, x, NULL);
    }
    if (a->status == 304)
        return MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    if (a->fixed.ptr)
        return MHD_create_response_from_buffer(a->fixed.len, (void *)(uintptr_t)a->fixed.ptr, MHD_RESPMEM_PERSISTENT);
    size_t len = a->body.len;
    a->body.len = 0;
    return MHD_create_response_from_buffer(len, TAKE(a->body.ptr), MHD_RESPMEM_MUST_FREE);
}

static enum MHD_Result send_answer(struct exchange *x)
{
    struct MHD_Response *r = make_response(x);
    if (!r)
        return MHD_NO;
    int status = x->answer.status ? x->answer.status : 200;
    add_headers(r, &x->answer);
    char labels[96];
    snprintf(labels, sizeof(labels), "route=\"%s\",code=\"%d\"", x->route ? x->route->name : "none", status);
    metric_add(METRIC_HTTP_REQUESTS, labels, 1);
    snprintf(labels, sizeof(labels), "route=\"%s\"", x->route ? x->route->name : "none");
    metric_observe(METRIC_HTTP_DURATION, labels,
                   (double)(clock_mono(x->http->options.clock) - x->began_us) / (double)US_PER_SECOND);
    x->stage = STAGE_SENT;
    enum MHD_Result ok = MHD_queue_response(x->connection, (unsigned)status, r);
    MHD_destroy_response(r);
    return ok;
}

static void run_on_pool(void *ctx, struct readers *readers)
{
    struct exchange *x = ctx;
    x->route->run(x->http->options.routes_ctx, &x->request, readers, &x->answer);
    x->stage = STAGE_READY;
    MHD_resume_connection(x->connection);
}

static enum MHD_Result hand_to_pool(struct exchange *x)
{
    x->stage = STAGE_WAITING;
    MHD_suspend_connection(x->connection);
    if (!pool_submit(x->route->waits == WAITS_LONG ? x->http->options.askers : x->http->options.pool, run_on_pool, x)) {
        answer_problem(&x->answer, 503, "Busy", "too many questions of this kind wait already");
        x->answer.retry_after_s = 1;
        x->stage = STAGE_READY;
        MHD_resume_connection(x->connection);
    }
    return MHD_YES;
}

static enum MHD_Result run_route(struct exchange *x)
{
    if (x->route->waits)
        return hand_to_pool(x);
    x->route->run(x->http->options.routes_ctx, &x->request, NULL, &x->answer);
    return send_answer(x);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *upload, size_t *upload_size, void **context)
{
    struct exchange *x = *context;
    (void)cls;
    (void)url;
    (void)upload;
    if (!x || *upload_size)
        return MHD_NO;
    switch (x->stage) {
    case STAGE_NEW:
        x->connection = connection;
        x->link = link_of(connection);
        x->stage = STAGE_CHECKED;
        if (x->link)
            link_mark(x->http, x->link, true, false);
        return is_refused(x, method, version) ? send_answer(x) : MHD_YES;
    case STAGE_CHECKED:
        return run_route(x);
    case STAGE_READY:
        return send_answer(x);
    default:
        return MHD_YES;
    }
}

static void *on_target(void *cls, const char *target, struct MHD_Connection *connection)
{
    struct link *link = link_of(connection);
    struct exchange *x = xcalloc(1, sizeof(*x));
    if (link) {
        free(link->exchange); /* parameters for which there was no memory are parsed again, and come by here again */
        link->exchange = x;
    }
    x->http = cls;
    x->began_us = clock_mono(x->http->options.clock);
    x->target_bytes = target ? strlen(target) : 0;
    x->long_target = x->target_bytes > REQUEST_TARGET_MAX;
    x->bad_target = !target || !request_target(&x->request, target);
    return x;
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode code)
{
    struct exchange *x = *context;
    struct link *link = link_of(connection);
    (void)code;
    if (!x)
        return;
    if (link && link->exchange == x)
        link->exchange = NULL;
    if (x->link)
        link_mark(cls, x->link, false, false);
    stream_client_free(x->answer.stream);
    answer_fini(&x->answer);
    free(x);
    *context = NULL;
}

/* Paths and parameters are decoded by us, or not at all (request.c). */
static size_t keep_escaped(void *cls, struct MHD_Connection *connection, char *text)
{
    (void)cls;
    (void)connection;
    return strlen(text);
}

static void __attribute__((format(printf, 2, 0))) on_log(void *cls, const char *format, va_list args)
{
    char text[512];
    (void)cls;
    vsnprintf(text, sizeof(text), format, args);
    diag_debug("serve", "%s", text);
}

/* The files that the rest of the program needs stay free. */
static unsigned connection_limit(void)
{
    struct rlimit files;
    rlim_t n = getrlimit(RLIMIT_NOFILE, &files) ? 256 : files.rlim_cur;
    n = n < 512 ? n / 4 : n - 256;
    return n > CONNECTIONS_MAX ? CONNECTIONS_MAX : n < CONNECTIONS_MIN ? CONNECTIONS_MIN : (unsigned)n;
}

enum err_class http_start(const struct http_options *options, struct http **ret_http, struct err *err)
{
    struct http *h = xcalloc(1, sizeof(*h));
    h->options = *options;
    pthread_mutex_init(&h->lock, NULL);
    pthread_mutex_init(&h->failures.lock, NULL);
    h->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, h,
        MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL, MHD_OPTION_LISTEN_SOCKET, options->listen_fd,
        MHD_OPTION_CONNECTION_LIMIT, connection_limit(), MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY_LIMIT,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)HTTP_STREAM_DEADLINE_S, MHD_OPTION_STRICT_FOR_CLIENT, 0,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, h, MHD_OPTION_NOTIFY_CONNECTION, on_connection, h,
        MHD_OPTION_URI_LOG_CALLBACK, on_target, h, MHD_OPTION_UNESCAPE_CALLBACK, keep_escaped, NULL, MHD_OPTION_END);
    if (!h->daemon) {
        close(options->listen_fd);
        free(h);
        return err_set(err, ERR_FATAL, EXIT_OSERR, "the http server does not start: out of files, threads or memory");
    }
    *ret_http = h;
    return ERR_NONE;
}

void http_quiesce(struct http *h)
{
    if (h->stopping)
        return;
    h->stopping = true;
    int fd = MHD_quiesce_daemon(h->daemon);
    if (fd >= 0)
        close(fd);
}

void http_stop(struct http *h)
{
    if (!h)
        return;
    http_quiesce(h);
    MHD_stop_daemon(h->daemon);
    pthread_mutex_destroy(&h->lock);
    pthread_mutex_destroy(&h->failures.lock);
    free(h);
}
