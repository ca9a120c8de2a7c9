/* SPDX-License-Identifier: MIT
 *
 * upstream.h - a server that speaks EventStreams (eventstreams.md section 1) over recorded or made-up events, for tests
 * and for trying things (`wikitally upstream`). Knows base and nothing of src/source or src/change: it finds the few
 * fields it needs by itself, so that an error in our reading of the format cannot hide.
 *
 * Two topics, eqiad.mediawiki.recentchange and codfw.mediawiki.recentchange, are two logs. An event goes to the topic
 * that its meta.topic names, else to the active data centre's. Its meta.offset is kept if it is above the one before,
 * else it gets the next one; its Kafka timestamp is its meta.dt. What is no JSON object is delivered as it is and gets
 * no offset of its own.
 *
 * Faults (`faults`): NAME[:KEY=VALUE[,KEY=VALUE...]][;NAME...]. Anything not listed here is refused.
 *
 *   name         keys (defaults)            what happens
 *   stall        for (0: for ever)          nothing more is sent on the connection for that long
 *   cut          bytes, when=BYTES          the connection ends without a last chunk; with bytes=N after N bytes of the
 *                                           answer's body, wherever that is (in a line, a character, a chunk)
 *   reset                                   the same by RST
 *   hole         keep (no)                  a record is not delivered; keep=yes: on no connection ever
 *   duplicate    copies (1)                 a record comes again at once
 *   rewind       by (10)                    that many records of its topic come again
 *   429          retry-after                the request is refused
 *   5xx          code (503), retry-after    the request is refused
 *   403                                     the request is refused, as to clients without a User-Agent
 *   wrong-type                              200 with an HTML page
 *   redirect                                302 to another host
 *   oversize     bytes (9437184)            a message of that size with an endless line comes before the record
 *   bad-utf8                                a message that is no UTF-8 comes before the record
 *   comments     count (1000)               that many comment lines come before the record
 *   error-event                             `event: error`, then the end
 *   gzip         force (no)                 the answer is compressed if the client takes it; force=yes: always
 *   slow         rate (1000)                at most that many bytes of the body a second
 *   half-open    for (0: for ever)          nothing more is sent, and the client's going is not noticed
 *   dateless                                no Date header
 *   clock        offset (0)                 the Date header is that much off; may be negative
 *   cluster                                 the connection is served by the other cluster: other offsets
 *   mirror       lag (2s)                   on a connection to the other data centre's cluster, topics arrive that late
 *   late-ok      for (5s)                   the head comes at once, `:ok` that much later
 *
 * When (all faults): at=N the N-th time, every=N each N-th, chance=P by the seed, times=N at most so often (1 for at,
 * else without end), connection=N only on the N-th stream request. Those of a record (stall cut reset hole duplicate
 * rewind oversize bad-utf8 comments error-event half-open) count records sent by the server; those of a request (all
 * others) count stream requests. Without at, every and chance: every time. `cut:bytes=N` counts requests.
 */
#ifndef WIKITALLY_UPSTREAM_UPSTREAM_H
#define WIKITALLY_UPSTREAM_UPSTREAM_H

#include "base/clock.h"
#include "base/err.h"

enum { UPSTREAM_CONNECTIONS_MAX = 64, UPSTREAM_FAULTS_MAX = 32 };

struct upstream_options {
    const char *listen;     /* "127.0.0.1:0" */
    double rate;            /* how fast events become available, per second; 0: all at once */
    double speed;           /* rate 0: by the recording's time line, so many times as fast; 0: all at once */
    int64_t cut_after_us;   /* cut each connection after that; 0: never (EventStreams: 15 min) */
    const char *faults;     /* see above; NULL */
    bool seconds;           /* ids and meta.dt of whole seconds, as before mid-2025 */
    bool canaries;          /* a canary every 15 minutes of event time on both topics */
    int64_t switch_at;      /* after that many events the other data centre's topic carries them; 0: never */
    int64_t retention_us;   /* older than the newest event by that cannot be asked for; 0: all kept */
    int64_t max_bytes;      /* of both logs; the oldest events go; 0: 1 GiB */
    int connections_per_ip; /* 0: 2 as there, -1: no limit */
    bool date_of_events;    /* the Date header is the time of the newest available event, for old recordings */
    uint64_t seed;
    struct clock *clock;
};
struct upstream;
/* Serves at once. ERR_REJECT: the options or the faults are wrong; ERR_FATAL: the address cannot be had. */
enum err_class upstream_start(const struct upstream_options *options, struct upstream **ret_upstream, struct err *err);
/* Adds one event to the logs (copied). Before or while it serves; any thread. at_us: when it becomes available by the
 * recording's own time line (TIME_NONE: now). */
enum err_class upstream_add(struct upstream *u, struct str event, int64_t at_us, struct err *err);
void upstream_end(struct upstream *u);              /* no more will be added */
const char *upstream_url(const struct upstream *u); /* http://127.0.0.1:PORT/v2/stream/recentchange */
/* Other faults from now on; NULL: none. Counters of `at` and `every` begin again. Any thread. */
enum err_class upstream_set_faults(struct upstream *u, const char *faults, struct err *err);
void upstream_cut_all(struct upstream *u); /* cuts every connection now */
void upstream_stop(struct upstream *u);    /* ends all connections, frees; NULL is fine */

struct upstream_stats {
    int64_t added;        /* events taken by upstream_add, canaries besides */
    int64_t available;    /* that a client could have by now, canaries included */
    int64_t requests;     /* stream requests, refused ones included */
    int64_t refused;      /* answered with another status than 200 */
    int64_t records_sent; /* on all connections */
    int64_t faults_fired;
    int open; /* connections that hold a place of their address now */
};
void upstream_stats(struct upstream *u, struct upstream_stats *ret_stats);

#endif
