/* SPDX-License-Identifier: MIT
 *
 * stream.c - see stream.h. One lock for the list of clients and for who is suspended: the loop's thread suspends a
 * connection and notes it under the lock, any other thread that finds the note resumes it. Without that order a resume
 * could come before its suspend and be lost.
 */
#include "serve/stream.h"

#include "base/fault.h"
#include "base/hash.h"
#include "base/metrics.h"

#include <pthread.h>
#include <stdlib.h>

struct stream_client {
    struct stream_client *next, *prev;
    struct stream_hub *hub;
    struct guard_peer peer;
    struct MHD_Connection *connection;
    size_t channel;
    uint64_t sequence; /* of the last frame taken; 0: none */
    bool resuming;     /* deltas one by one until it has the newest */
    bool suspended;
    bool gone;       /* under lock: ends with the next read */
    struct buf text; /* what goes out before frames: hello, comments */
    size_t text_sent;
    struct frame *frame; /* under way */
    size_t frame_sent;
    int64_t last_sent_us; /* monotonic */
};

struct stream_hub {
    struct frames *frames;
    struct clock *clock;
    size_t max_clients, max_per_peer;
    pthread_mutex_t lock;
    struct stream_client *clients;
    size_t count;
    bool closing;
    struct rng rng; /* for jitter; under lock */
};

struct stream_hub *stream_hub_new(struct frames *frames, size_t max_clients, size_t max_per_peer, struct clock *clock)
{
    struct stream_hub *hub = xcalloc(1, sizeof(*hub));
    hub->frames = frames;
    hub->clock = clock;
    hub->max_clients = max_clients;
    hub->max_per_peer = max_per_peer;
    rng_init(&hub->rng, hash_random_seed());
    pthread_mutex_init(&hub->lock, NULL);
    return hub;
}

void stream_hub_limit(struct stream_hub *hub, size_t max_clients)
{
    pthread_mutex_lock(&hub->lock);
    hub->max_clients = max_clients;
    pthread_mutex_unlock(&hub->lock);
}

void stream_hub_free(struct stream_hub *hub)
{
    if (!hub)
        return;
    ensure(hub->count == 0);
    pthread_mutex_destroy(&hub->lock);
    free(hub);
}

static const char *refusal(const struct stream_hub *hub, const struct guard_peer *peer)
{
    size_t same = 0;
    for (const struct stream_client *c = hub->clients; c; c = c->next)
        same += guard_peer_eq(&c->peer, peer);
    if (hub->closing)
        return "the server is stopping";
    if (hub->count >= hub->max_clients)
        return "all live streams are taken";
    return same >= hub->max_per_peer ? "this address has all the live streams that one may have" : NULL;
}

/* A restart sends everybody away at once; they should not all come back at once. */
static void add_hello(struct stream_client *c, struct str hello)
{
    buf_addz(&c->text, "retry: ");
    buf_add_int(&c->text, 1000 + (int64_t)rng_below(&c->hub->rng, 2000));
    buf_addz(&c->text, "\n\nevent: hello\ndata: ");
    buf_add(&c->text, hello);
    buf_addz(&c->text, "\n\n");
}

struct stream_client *stream_client_new(struct stream_hub *hub, const struct guard_peer *peer, size_t channel,
                                        struct str hello, const char *last_event_id, const char **ret_why)
{
    pthread_mutex_lock(&hub->lock);
    const char *why = refusal(hub, peer);
    struct stream_client *c = NULL;
    if (!why) {
        c = xcalloc(1, sizeof(*c));
        *c = (struct stream_client){.hub = hub, .peer = *peer, .channel = channel, .next = hub->clients};
        if (c->next)
            c->next->prev = c;
        hub->clients = c;
        hub->count++;
        add_hello(c, hello);
        metric_set(METRIC_SSE_CLIENTS, NULL, (double)hub->count);
    }
    pthread_mutex_unlock(&hub->lock);
    *ret_why = why;
    if (c)
        c->resuming = frames_parse_id(hub->frames, last_event_id, channel, &c->sequence);
    return c;
}

void stream_client_free(struct stream_client *c)
{
    if (!c)
        return;
    struct stream_hub *hub = c->hub;
    pthread_mutex_lock(&hub->lock);
    if (c->prev)
        c->prev->next = c->next;
    else
        hub->clients = c->next;
    if (c->next)
        c->next->prev = c->prev;
    hub->count--;
    metric_set(METRIC_SSE_CLIENTS, NULL, (double)hub->count);
    pthread_mutex_unlock(&hub->lock);
    frame_drop(c->frame);
    buf_fini(&c->text);
    free(c);
}

void stream_client_attach(struct stream_client *c, struct MHD_Connection *connection)
{
    c->connection = connection;
}

/* Takes the next frame for the client; false: it has the newest. */
static bool take_frame(struct stream_client *c)
{
    struct frames *f = c->hub->frames;
    uint64_t newest = frames_sequence(f, c->channel);
    if (newest == 0 || (c->sequence == newest && c->sequence)) {
        c->resuming = false;
        return false;
    }
    bool one_behind = c->sequence && newest == c->sequence + 1;
    if ((one_behind || c->resuming) && newest > c->sequence && !fault("serve.snapshot_only")) {
        c->frame = frames_delta(f, c->channel, c->sequence + 1);
        if (c->frame) {
            c->sequence++;
            return true;
        }
    }
    uint64_t before = c->sequence;
    c->frame = frames_snapshot(f, c->channel, &c->sequence);
    if (before && !c->resuming && c->sequence > before + 1)
        metric_add(METRIC_SSE_SKIPPED, NULL, (double)(c->sequence - before - 1));
    c->resuming = false;
    return c->frame != NULL;
}

static size_t copy_some(char *at, size_t size, const char *from, size_t len, size_t *sent)
{
    size_t n = len - *sent < size ? len - *sent : size;
    memcpy(at, from + *sent, n);
    *sent += n;
    return n;
}

static size_t copy_text(struct stream_client *c, char *at, size_t size)
{
    size_t n = copy_some(at, size, c->text.ptr, c->text.len, &c->text_sent);
    if (c->text_sent == c->text.len) {
        buf_fini(&c->text);
        c->text_sent = 0;
    }
    return n;
}

static size_t copy_frame(struct stream_client *c, char *at, size_t size)
{
    size_t n = copy_some(at, size, c->frame->bytes, c->frame->len, &c->frame_sent);
    if (c->frame_sent == c->frame->len) {
        frame_drop(TAKE(c->frame));
        c->frame_sent = 0;
        metric_add(METRIC_SSE_FRAMES, NULL, 1);
    }
    return n;
}

static bool is_due(const struct stream_client *c, int64_t now_us)
{
    return frames_sequence(c->hub->frames, c->channel) != c->sequence ||
           now_us - c->last_sent_us >= STREAM_COMMENT_EVERY;
}

static size_t next_bytes(struct stream_client *c, char *at, size_t size, int64_t now_us)
{
    if (c->text.len == 0 && !c->frame && !take_frame(c) && now_us - c->last_sent_us >= STREAM_COMMENT_EVERY)
        buf_addz(&c->text, ":\n\n");
    return c->text.len ? copy_text(c, at, size) : c->frame ? copy_frame(c, at, size) : 0;
}

ssize_t stream_client_read(struct stream_client *c, char *at, size_t size)
{
    struct stream_hub *hub = c->hub;
    int64_t now_us = clock_mono(hub->clock);
    if (c->last_sent_us == 0)
        c->last_sent_us = now_us;
    size_t n = next_bytes(c, at, size, now_us);
    if (n) {
        c->last_sent_us = now_us;
        metric_add(METRIC_SSE_BYTES, "encoding=\"identity\"", (double)n);
        return (ssize_t)n;
    }
    pthread_mutex_lock(&hub->lock);
    bool closing = hub->closing || c->gone;
    if (!closing) {
        c->suspended = true;
        http_suspend(c->connection);
    }
    pthread_mutex_unlock(&hub->lock);
    return closing ? -1 : 0;
}

bool stream_has_clients(struct stream_hub *hub, size_t channel)
{
    pthread_mutex_lock(&hub->lock);
    bool found = false;
    for (const struct stream_client *c = hub->clients; c && !found; c = c->next)
        found = c->channel == channel;
    pthread_mutex_unlock(&hub->lock);
    return found;
}

void stream_wake(struct stream_hub *hub)
{
    int64_t now_us = clock_mono(hub->clock);
    pthread_mutex_lock(&hub->lock);
    for (struct stream_client *c = hub->clients; c; c = c->next) {
        if (c->suspended && (hub->closing || is_due(c, now_us))) {
            c->suspended = false;
            http_resume(c->connection);
        }
    }
    pthread_mutex_unlock(&hub->lock);
}

void stream_reap(struct stream_hub *hub)
{
    pthread_mutex_lock(&hub->lock);
    for (struct stream_client *c = hub->clients; c; c = c->next) {
        if (c->suspended && http_is_gone(c->connection)) {
            c->gone = true;
            c->suspended = false;
            http_resume(c->connection);
        }
    }
    pthread_mutex_unlock(&hub->lock);
}

void stream_close(struct stream_hub *hub)
{
    pthread_mutex_lock(&hub->lock);
    hub->closing = true;
    pthread_mutex_unlock(&hub->lock);
    stream_wake(hub);
}
