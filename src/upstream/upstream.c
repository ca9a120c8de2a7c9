/* SPDX-License-Identifier: MIT
 *
 * upstream.c - the server: listening, its threads, and what is added to its logs.
 *
 * When an event becomes available is decided when it is added: with a rate the n-th one n / rate seconds after the
 * first, with a speed by its own time line, else at once. It does not depend on who reads.
 */
#include "base/condition.h"
#include "upstream/inside.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define CANARY_US (15 * US_PER_MINUTE)
#define DEFAULT_BYTES ((int64_t)1 << 30)
static const int64_t first_offsets[TOPICS] = {6101423904, 2014000017};

/* ---------------------------------------------------------------- adding */

static void make_room(struct upstream *u)
{
    int64_t max = u->options.max_bytes > 0 ? u->options.max_bytes : DEFAULT_BYTES;
    while (u->logs[0].bytes + u->logs[1].bytes > max) {
        struct log *l = &u->logs[u->logs[1].bytes > u->logs[0].bytes];
        if (l->end - l->first <= 1) {
            return;
        }
        log_drop_first(l);
    }
}

static int64_t due_time(struct upstream *u, int64_t at_us)
{
    int64_t now = clock_mono(u->options.clock);
    if (u->first_due_us == TIME_NONE) {
        u->first_due_us = now;
        u->first_at_us = at_us;
    }
    if (u->options.rate > 0) {
        return u->first_due_us + (int64_t)((double)u->added / u->options.rate * 1e6);
    }
    if (u->options.speed > 0 && at_us != TIME_NONE && u->first_at_us != TIME_NONE) {
        return u->first_due_us + (int64_t)((double)(at_us - u->first_at_us) / u->options.speed);
    }
    return now;
}

static void put(struct upstream *u, struct str json, struct event *e, int topic, int64_t due_us)
{
    struct log *l = &u->logs[topic];
    event_compose(json, topic, u->options.seconds, e);
    struct entry entry = {.len = e->text.len, .offset_at = e->offset_at};
    int64_t last_ms = l->end > l->first ? log_at(l, l->end - 1)->timestamp_ms : 0;
    int64_t last_due_us = l->end > l->first ? log_at(l, l->end - 1)->due_us : INT64_MIN;
    entry.timestamp_ms = e->timestamp_us == TIME_NONE ? last_ms : e->timestamp_us / US_PER_MS;
    if (u->options.seconds) {
        entry.timestamp_ms -= entry.timestamp_ms % 1000;
    }
    if (e->offset_at != SIZE_MAX) {
        l->next_offset = e->offset > l->next_offset ? e->offset : l->next_offset;
        entry.offset = l->next_offset++;
    } else {
        entry.offset = l->next_offset;
    }
    entry.due_us = due_us > last_due_us ? due_us : last_due_us;
    entry.text = xmalloc(e->text.len + 1);
    memcpy(entry.text, e->text.ptr ? e->text.ptr : "", e->text.len);
    log_append(l, &entry);
    buf_clear(&e->text);
}

static void put_canaries(struct upstream *u, int64_t until_us, int64_t due_us)
{
    AUTO(buf) struct buf json = {0};
    struct event e = {0};
    if (u->next_canary_us == TIME_NONE) {
        u->next_canary_us = (floor_div(until_us, CANARY_US) + 1) * CANARY_US;
    }
    if (until_us - u->next_canary_us > 1000 * CANARY_US) { /* a time from the future: no flood of them */
        return;
    }
    for (; u->next_canary_us <= until_us; u->next_canary_us += CANARY_US) {
        for (int topic = 0; topic < TOPICS; topic++) {
            int64_t dt_us = u->next_canary_us + (int64_t)rng_below(&u->rng, 900) * US_PER_MS;
            buf_clear(&json);
            buf_addf(&json,
                     "{\"$schema\":\"/mediawiki/recentchange/1.0.1\",\"meta\":{\"id\":\"%08x-0000-4000-8000-%012llx\","
                     "\"domain\":\"canary\",\"stream\":\"mediawiki.recentchange\",\"dt\":\"",
                     (unsigned)rng_below(&u->rng, UINT32_MAX),
                     (unsigned long long)rng_below(&u->rng, (uint64_t)1 << 48));
            time_format_ms(&json, dt_us);
            buf_addz(&json, "\"}}");
            e = (struct event){.text = e.text, .timestamp_us = dt_us, .offset = -1};
            put(u, buf_str(&json), &e, topic, due_us);
        }
    }
    buf_fini(&e.text);
}

static int choose_topic(const struct upstream *u, const struct event *e)
{
    int topic = e->topic < 0 ? 0 : e->topic;
    bool switched = u->options.switch_at > 0 && u->added >= u->options.switch_at;
    return switched ? 1 - topic : topic;
}

enum err_class upstream_add(struct upstream *u, struct str event, int64_t at_us, struct err *err)
{
    struct event e = {0};
    if (event.len > (size_t)64 << 20) {
        return err_set(err, ERR_REJECT, EXIT_DATA, "an event of %zu bytes is more than this server takes", event.len);
    }
    event_read(event, &e);
    pthread_mutex_lock(&u->lock);
    int64_t due_us = due_time(u, at_us);
    if (u->options.canaries && e.timestamp_us != TIME_NONE) {
        put_canaries(u, e.timestamp_us, due_us);
    }
    put(u, event, &e, choose_topic(u, &e), due_us);
    u->newest_us = e.timestamp_us > u->newest_us ? e.timestamp_us : u->newest_us;
    u->added++;
    make_room(u);
    pthread_cond_broadcast(&u->changed);
    pthread_mutex_unlock(&u->lock);
    buf_fini(&e.text);
    return ERR_NONE;
}

void upstream_end(struct upstream *u)
{
    pthread_mutex_lock(&u->lock);
    pthread_cond_broadcast(&u->changed);
    pthread_mutex_unlock(&u->lock);
}

/* ---------------------------------------------------------------- connections */

static void *connection_main(void *ctx)
{
    struct connection *c = ctx;
    connection_run(c);
    pthread_mutex_lock(&c->upstream->lock);
    close(c->fd);
    c->fd = -1;
    c->holds_place = false;
    pthread_mutex_unlock(&c->upstream->lock);
    atomic_store(&c->ended, true);
    return NULL;
}

/* A free place; threads that have ended are joined here. */
static struct connection *free_place(struct upstream *u)
{
    for (int i = 0; i < UPSTREAM_CONNECTIONS_MAX; i++) {
        struct connection *c = &u->connections[i];
        if (atomic_load(&c->used) && atomic_load(&c->ended)) {
            pthread_join(c->thread, NULL);
            atomic_store(&c->used, false);
        }
        if (!atomic_load(&c->used)) {
            return c;
        }
    }
    return NULL;
}

static void start_connection(struct upstream *u, int fd, const struct sockaddr_in *peer)
{
    struct connection *c = free_place(u);
    if (!c) {
        static const char full[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        send(fd, full, sizeof(full) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    pthread_mutex_lock(&u->lock);
    c->upstream = u;
    c->fd = fd;
    c->holds_place = false;
    inet_ntop(AF_INET, &peer->sin_addr, c->ip, sizeof(c->ip));
    pthread_mutex_unlock(&u->lock);
    atomic_store(&c->ended, false);
    atomic_store(&c->cut, false);
    atomic_store(&c->used, true);
    if (pthread_create(&c->thread, NULL, connection_main, c)) {
        atomic_store(&c->used, false);
        close(fd);
    }
}

static void *listen_main(void *ctx)
{
    struct upstream *u = ctx;
    while (!atomic_load(&u->stopping)) {
        struct pollfd p = {.fd = u->listener, .events = POLLIN};
        struct sockaddr_in peer = {0};
        socklen_t len = sizeof(peer);
        if (poll(&p, 1, 100) <= 0) {
            continue;
        }
        int fd = accept4(u->listener, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC);
        if (fd >= 0) {
            start_connection(u, fd, &peer);
        }
    }
    return NULL;
}

/* ---------------------------------------------------------------- starting and stopping */

static enum err_class open_listener(struct upstream *u, struct err *err)
{
    struct str rest = str_of(u->options.listen), host, port_text;
    struct sockaddr_in address = {.sin_family = AF_INET};
    char name[64] = "";
    int64_t port;
    if (!str_split(&rest, ':', &host) || !str_split(&rest, ':', &port_text) || rest.len || host.len >= sizeof(name) ||
        !str_to_int64(port_text, &port) || port < 0 || port > 65535) {
        return err_set(err, ERR_REJECT, EXIT_USAGE, "\"%s\" is not ADDRESS:PORT", u->options.listen);
    }
    memcpy(name, host.ptr, host.len);
    address.sin_port = htons((uint16_t)port);
    if (inet_pton(AF_INET, strcmp(name, "localhost") ? name : "127.0.0.1", &address.sin_addr) != 1) {
        return err_set(err, ERR_REJECT, EXIT_USAGE, "\"%s\" is no IPv4 address", name);
    }
    u->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof(address);
    setsockopt(u->listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (u->listener < 0 || bind(u->listener, (struct sockaddr *)&address, sizeof(address)) ||
        listen(u->listener, 128) || getsockname(u->listener, (struct sockaddr *)&address, &len)) {
        return err_errno(err, ERR_FATAL, EXIT_UNAVAILABLE, errno, "cannot listen on \"%s\"", u->options.listen);
    }
    inet_ntop(AF_INET, &address.sin_addr, name, sizeof(name));
    snprintf(u->url, sizeof(u->url), "http://%s:%d/v2/stream/recentchange",
             address.sin_addr.s_addr == INADDR_ANY ? "127.0.0.1" : name, ntohs(address.sin_port));
    return ERR_NONE;
}

static void upstream_free(struct upstream *u)
{
    if (u->listener >= 0) {
        close(u->listener);
    }
    for (int i = 0; i < TOPICS; i++) {
        log_fini(&u->logs[i]);
    }
    pthread_cond_destroy(&u->changed);
    pthread_mutex_destroy(&u->lock);
    free(u);
}

enum err_class upstream_start(const struct upstream_options *options, struct upstream **ret_upstream, struct err *err)
{
    struct upstream *u = xcalloc(1, sizeof(*u));
    u->options = *options;
    u->options.faults = NULL;
    u->options.clock = options->clock ? options->clock : &clock_real;
    u->listener = -1;
    u->first_due_us = u->first_at_us = u->next_canary_us = TIME_NONE;
    rng_init(&u->rng, options->seed);
    for (int i = 0; i < TOPICS; i++) {
        u->logs[i].next_offset = first_offsets[i];
    }
    pthread_mutex_init(&u->lock, NULL);
    condition_init(&u->changed);
    enum err_class cls = mishaps_parse(options->faults, &u->mishaps, err);
    cls = cls ? cls : open_listener(u, err);
    if (!cls) {
        int code = pthread_create(&u->thread, NULL, listen_main, u);
        cls = code ? err_errno(err, ERR_FATAL, EXIT_OSERR, code, "cannot start a thread") : ERR_NONE;
    }
    if (cls) {
        upstream_free(u);
        return cls;
    }
    *ret_upstream = u;
    return ERR_NONE;
}

const char *upstream_url(const struct upstream *u)
{
    return u->url;
}

enum err_class upstream_set_faults(struct upstream *u, const char *faults, struct err *err)
{
    struct mishaps m;
    enum err_class cls = mishaps_parse(faults, &m, err);
    if (!cls) {
        pthread_mutex_lock(&u->lock);
        u->mishaps = m;
        pthread_mutex_unlock(&u->lock);
    }
    return cls;
}

void upstream_cut_all(struct upstream *u)
{
    pthread_mutex_lock(&u->lock);
    for (int i = 0; i < UPSTREAM_CONNECTIONS_MAX; i++) {
        atomic_store(&u->connections[i].cut, true);
    }
    pthread_cond_broadcast(&u->changed);
    pthread_mutex_unlock(&u->lock);
}

void upstream_stats(struct upstream *u, struct upstream_stats *ret_stats)
{
    int64_t mono_us = clock_mono(u->options.clock);
    pthread_mutex_lock(&u->lock);
    *ret_stats = u->stats;
    ret_stats->added = u->added;
    ret_stats->available = 0;
    for (int i = 0; i < TOPICS; i++) {
        const struct log *l = &u->logs[i];
        ret_stats->available += log_available_end(l, mono_us, NULL);
    }
    for (int i = 0; i < UPSTREAM_CONNECTIONS_MAX; i++) {
        ret_stats->open += u->connections[i].holds_place;
    }
    pthread_mutex_unlock(&u->lock);
}

void upstream_stop(struct upstream *u)
{
    if (!u) {
        return;
    }
    atomic_store(&u->stopping, true);
    upstream_cut_all(u);
    pthread_join(u->thread, NULL);
    for (int i = 0; i < UPSTREAM_CONNECTIONS_MAX; i++) {
        if (atomic_load(&u->connections[i].used)) {
            pthread_join(u->connections[i].thread, NULL);
        }
    }
    upstream_free(u);
}
