/* SPDX-License-Identifier: MIT
 *
 * serve.c - starts and stops the room. Threads: the HTTP library's loop, the live state's, POOL_THREADS for databases,
 * ASKER_THREADS for brokers.
 *
 * Stop goes from the outside in: no new connections, end of all streams, end of the live thread, the pool finishes what
 * it has (and resumes those connections), then the loop ends and everything is freed.
 */
#include "serve/serve.h"

#include "base/diag.h"
#include "base/hash.h"
#include "serve/listen.h"
#include "serve/room.h"

#include <stdlib.h>
#include <unistd.h>

enum { MAX_CLIENTS = 200, MAX_CLIENTS_PER_PEER = 20 };

struct serve {
    struct room room;
    struct listen_address address;
};

enum err_class serve_bind(const char *listen, int *ret_fd, struct err *err)
{
    struct listen_address address;
    enum err_class c = listen_parse(listen, &address, err);
    return c ? c : listen_open(&address, ret_fd, err);
}

static void every_second(void *ctx)
{
    struct room *room = ctx;
    struct http *http = __atomic_load_n(&room->http, __ATOMIC_ACQUIRE);
    stream_reap(room->hub);
    if (http)
        http_sweep(http);
}

static enum err_class open_socket(struct serve *s, int *ret_fd, struct err *err)
{
    enum err_class c = listen_parse(s->room.options.listen, &s->address, err);
    if (c)
        return c;
    if (!listen_is_local(&s->address.at.any) && !(s->room.options.token && s->room.options.token[0])) {
        return err_set(
            err, ERR_REJECT, EXIT_CONFIG,
            "listen '%s': others than this machine could connect, which needs a token; set serve.token_file, or "
            "listen on 127.0.0.1",
            s->room.options.listen);
    }
    if ((c = listen_open(&s->address, ret_fd, err)))
        return c;
    listen_format(&s->address, s->room.address, sizeof(s->room.address));
    return ERR_NONE;
}

static enum err_class start_live(struct room *room, struct err *err)
{
    const struct serve_options *o = &room->options;
    room->frames = frames_new(hash_random_seed());
    room->hub =
        stream_hub_new(room->frames, o->max_clients ? o->max_clients : MAX_CLIENTS, MAX_CLIENTS_PER_PEER, o->clock);
    room->pool = pool_new(o->directory, o->journal, POOL_THREADS, POOL_QUEUE);
    room->askers = pool_new(o->directory, o->journal, ASKER_THREADS, ASKER_QUEUE);
    if (!room->pool || !room->askers)
        return err_set(err, ERR_FATAL, EXIT_OSERR, "cannot start the threads of the server");
    struct live_options live = {.directory = o->directory,
                                .journal = o->journal,
                                .delay_us = o->delay_us,
                                .clock = o->clock,
                                .frames = room->frames,
                                .hub = room->hub,
                                .pool = room->pool,
                                .every_second = every_second,
                                .ctx = room};
    return live_start(&live, &room->live, err);
}

static enum err_class start_http(struct serve *s, int fd, struct err *err)
{
    const struct serve_options *o = &s->room.options;
    struct http_options http = {.listen_fd = fd,
                                .local_only = listen_is_local(&s->address.at.any),
                                .names = {o->hosts, o->host_count},
                                .token = o->token,
                                .pool = s->room.pool,
                                .askers = s->room.askers,
                                .clock = o->clock,
                                .routes_ctx = &s->room};
    struct http *started = NULL;
    enum err_class c = http_start(&http, &started, err);
    if (c == ERR_NONE)
        __atomic_store_n(&s->room.http, started, __ATOMIC_RELEASE);
    return c;
}

enum err_class serve_start(const struct serve_options *options, struct serve **ret_serve, struct err *err)
{
    struct serve *s = xcalloc(1, sizeof(*s));
    int fd = -1;
    s->room.options = *options;
    asks_init(&s->room.asks);
    if (!s->room.options.clock)
        s->room.options.clock = &clock_real;
    enum err_class c = assets_open(options->web_dir, &s->room.assets, err);
    if (c == ERR_NONE)
        c = open_socket(s, &fd, err);
    if (c == ERR_NONE)
        c = start_live(&s->room, err);
    if (c == ERR_NONE)
        c = start_http(s, fd, err);
    else if (fd >= 0)
        close(fd);
    if (c) {
        serve_stop(s);
        return c;
    }
    *ret_serve = s;
    return ERR_NONE;
}

const char *serve_address(const struct serve *s)
{
    return s->room.address;
}

void serve_retune(struct serve *s, size_t max_clients)
{
    stream_hub_limit(s->room.hub, max_clients ? max_clients : MAX_CLIENTS);
}

void serve_stop(struct serve *s)
{
    if (!s)
        return;
    struct room *room = &s->room;
    if (room->http)
        http_quiesce(room->http);
    if (room->hub)
        stream_close(room->hub);
    if (room->live)
        live_end(room->live);
    asks_end(&room->asks);
    pool_free(room->askers);
    pool_free(room->pool);
    http_stop(room->http);
    live_free(room->live);
    stream_hub_free(room->hub);
    frames_free(room->frames);
    assets_close(room->assets);
    if (s->address.at.any.sa_family == AF_UNIX && room->address[0])
        unlink(s->address.at.local.sun_path);
    asks_fini(&room->asks);
    free(s);
}
