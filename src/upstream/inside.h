/* SPDX-License-Identifier: MIT
 *
 * inside.h - what the files of this room share.
 *
 * Threads: one listens, each connection has its own. `lock` guards logs, counters and faults; a connection copies what
 * it sends out under it, so that the logs may drop their oldest events at any time.
 */
#ifndef WIKITALLY_UPSTREAM_INSIDE_H
#define WIKITALLY_UPSTREAM_INSIDE_H

#include "base/buf.h"
#include "base/hash.h"
#include "upstream/upstream.h"

#include <pthread.h>
#include <stdatomic.h>

enum { TOPICS = 2, TOPIC_BYTES = 64 };
extern const char *const upstream_topics[TOPICS];

/* ---------------------------------------------------------------- json.c: just enough of it */

/* One value at the front of *rest, blanks before it skipped; *rest goes behind it. False: none, or not understood. */
bool json_value(struct str *rest, struct str *ret_value);
/* The members of an object: false when there are no more. *at: begins as the object's text and is moved. */
bool json_member(struct str *at, struct str *ret_key, struct str *ret_value);
bool json_element(struct str *at, struct str *ret_value);                   /* the same for an array */
bool json_is_object(struct str text);                                       /* one whole object and nothing after it */
bool json_field(struct str object, const char *key, struct str *ret_value); /* the last of that name */
bool json_string_is(struct str value, const char *text);                    /* a string without escapes */

/* ---------------------------------------------------------------- event.c: one event on its way into a log */

struct event { /* text with the offset left out */
    struct buf text;
    size_t offset_at;     /* where its digits go; SIZE_MAX: this is no object, text is sent as it is */
    int64_t timestamp_us; /* meta.dt, or TIME_NONE */
    int64_t offset;       /* meta.offset, or -1 */
    int topic;            /* index by meta.topic, or -1 */
};
void event_read(struct str json, struct event *ret); /* topic, offset, timestamp_us only */
/* Fills text: topic, partition and (at sending) offset as the service adds them; dt in whole seconds if wanted. */
void event_compose(struct str json, int topic, bool seconds, struct event *e);

/* ---------------------------------------------------------------- log.c: two topics */

struct entry {
    char *text; /* owned */
    size_t len, offset_at;
    int64_t offset, timestamp_ms;
    int64_t high_ms; /* highest timestamp up to here */
    int64_t due_us;  /* monotonic; 0: at once */
    bool lost;       /* hole:keep=yes took it away */
};
struct log {
    struct entry *entries; /* [first, end), by index - base */
    int64_t first, end, base;
    size_t cap;
    int64_t next_offset;
    int64_t bytes;
};
int64_t log_available_end(const struct log *l, int64_t mono_us, int64_t *ret_next_due_us); /* index */
/* Index of the lowest entry with timestamp >= ms that can be asked for; none: `end`. */
int64_t log_lookup(const struct log *l, int64_t ms, int64_t end, int64_t oldest_ms);
int64_t log_find_offset(const struct log *l, int64_t offset, int64_t end); /* -1: out of range */
void log_append(struct log *l, const struct entry *e);                     /* takes text */
void log_drop_first(struct log *l);
void log_fini(struct log *l);
static inline struct entry *log_at(const struct log *l, int64_t index)
{
    return &l->entries[index - l->base];
}

/* ---------------------------------------------------------------- mishap.c: faults */

enum mishap_kind {
    MISHAP_STALL,
    MISHAP_CUT,
    MISHAP_RESET,
    MISHAP_HOLE,
    MISHAP_DUPLICATE,
    MISHAP_REWIND,
    MISHAP_OVERSIZE,
    MISHAP_BAD_UTF8,
    MISHAP_COMMENTS,
    MISHAP_ERROR_EVENT,
    MISHAP_HALF_OPEN,
    MISHAP_RECORD_KINDS, /* those above are of a record, those below of a request */
    MISHAP_429 = MISHAP_RECORD_KINDS,
    MISHAP_5XX,
    MISHAP_403,
    MISHAP_WRONG_TYPE,
    MISHAP_REDIRECT,
    MISHAP_GZIP,
    MISHAP_SLOW,
    MISHAP_DATELESS,
    MISHAP_CLOCK,
    MISHAP_CLUSTER,
    MISHAP_MIRROR,
    MISHAP_LATE_OK,
    MISHAP_KINDS
};
struct mishap {
    enum mishap_kind kind;
    int64_t at, every, times, connection;
    double chance;
    int64_t bytes, copies, by, code, rate, count;
    int64_t for_us, offset_us, lag_us, retry_after_s; /* retry_after_s: -1 none */
    bool keep, force;
    int64_t fired, seen;
};
struct mishaps {
    struct mishap list[UPSTREAM_FAULTS_MAX];
    size_t count;
};
enum err_class mishaps_parse(const char *spec, struct mishaps *ret, struct err *err);
/* One more record (or request): those that fire now, at most `max` of them. `request`: the number of the connection's
 * stream request. */
size_t mishaps_fire(struct mishaps *m, bool of_record, int64_t request, struct rng *rng, struct mishap *ret,
                    size_t max);

/* ---------------------------------------------------------------- assignment.c: where a client wants to begin */

enum { WANTS_MAX = 32 };
struct want {
    int topic;
    bool has_offset, has_timestamp, wrong_partition;
    int64_t partition, offset, timestamp_ms;
};
struct assignment {
    struct want wants[WANTS_MAX];
    size_t count;
    int status;       /* 200, 400, 404 */
    char reason[160]; /* of another status than 200 */
    struct buf body;
};
/* header: the value of Last-Event-ID, ptr NULL if there was none. since_ms: TIME_NONE: no since. */
void assignment_read(struct str header, int64_t since_ms, struct assignment *ret);
void assignment_fini(struct assignment *a);

/* ---------------------------------------------------------------- request.c: HTTP/1.1 as far as needed */

struct request {
    char method[16], path[1024], query[1024];
    bool keep_alive, chunked; /* HTTP/1.1 */
    char accept[256], user_agent[256], accept_encoding[256], client_ip[64];
    bool has_accept, has_last_event_id;
    struct buf last_event_id;
};
void request_fini(struct request *r);
/* Parses a head (up to and with the empty line). False: 400. */
bool request_parse(struct str head, struct request *ret);
bool request_query(const struct request *r, const char *name, char *out, size_t max); /* percent-decoded */

/* ---------------------------------------------------------------- connection.c, stream.c */

struct connection {
    struct upstream *upstream;
    int fd;
    char ip[64];
    pthread_t thread;
    atomic_bool used, ended, cut;
    bool holds_place; /* counts against its address */
};
void connection_run(struct connection *c); /* its thread: requests until it is over */
/* Sends all or says false: gone, or the server stops. */
bool connection_send(struct connection *c, struct str bytes);
bool connection_alive(struct connection *c); /* not stopped, not cut, the peer still there */
/* Answers a stream request that is not refused; returns when the connection is over. */
void stream_serve(struct connection *c, const struct request *r, const struct assignment *a,
                  const struct mishap *mishaps, size_t mishap_count, int64_t request_number, bool *ret_reset);
void connection_add_head(struct connection *c, struct buf *out, int status, const char *reason,
                         const struct mishap *mishaps, size_t mishap_count);

struct upstream {
    struct upstream_options options;
    char url[128];
    int listener;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* something was added, or it stops */
    atomic_bool stopping;
    struct log logs[TOPICS];
    struct mishaps mishaps;
    struct rng rng;
    int64_t added, first_at_us, first_due_us, next_canary_us, newest_us;
    struct upstream_stats stats;
    struct connection connections[UPSTREAM_CONNECTIONS_MAX];
};

#endif
