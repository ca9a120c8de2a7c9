/* SPDX-License-Identifier: MIT
 *
 * transport.h - one connection to an event stream, as follow.c sees it. Implementations: eventstreams.c (libcurl, SSE);
 * tests have one that asks a model of the server (tests/sim). All calls from the source's thread; times are
 * microseconds of the clock given.
 */
#ifndef WIKITALLY_SOURCE_TRANSPORT_H
#define WIKITALLY_SOURCE_TRANSPORT_H

#include "base/clock.h"
#include "base/err.h"

struct transport_want {
    struct str topic; /* "eqiad.mediawiki.recentchange" */
    int64_t from_ms;  /* resume at this Kafka timestamp, milliseconds since the epoch; TIME_NONE: live (offset -1) */
};

enum transport_event {
    TRANSPORT_RECORD, /* *ret_data: one message's data, borrowed until the next call on this connection */
    TRANSPORT_SILENT, /* `until` was reached and nothing was there */
    TRANSPORT_CUT,    /* the connection is over: the normal end (eventstreams.md section 1.6) */
};

/* First member of every implementation's connection. */
struct connection {
    int64_t date_us;        /* the server's Date header (whole seconds), or TIME_NONE */
    int64_t opened_mono_us; /* when that header was received, monotonic */
    int64_t ok_mono_us;     /* when `:ok` (or the first event) came, monotonic */
    char cut_reason[128];   /* after TRANSPORT_CUT: "server closed", "stalled", "oversize line", "error event: ..." */
    const char *cut_label;  /* closed list for the metric's reason: "cut", "stall", "oversize", "error", "refused" */
    int64_t refused_count;  /* oversize or otherwise unusable messages cut off on this connection so far */
};

struct transport;
struct transport_ops {
    /* Opens one GET for these topics (at least one; all of them named in Last-Event-ID unless every one is live and
     * nothing was ever heard). Blocks until `:ok`, at most ~15 s. ERR_RETRY: try again later (*ret_retry_after_us: what
     * Retry-After said, or 0); ERR_FATAL: it never will (TLS, 403: each with its own sentence). Never more than two
     * open at once: close before opening a third. */
    enum err_class (*connect)(struct transport *t, const struct transport_want *want, size_t count,
                              struct connection **ret_connection, int64_t *ret_retry_after_us, struct err *err);
    /* Waits until monotonic time until_mono_us. */
    enum transport_event (*read)(struct transport *t, struct connection *c, int64_t until_mono_us,
                                 struct str *ret_data);
    void (*close)(struct transport *t, struct connection *c); /* NULL is fine */
    void (*stop)(struct transport *t); /* any thread: makes connect and read return soon (CUT, ERR_RETRY) */
    void (*free)(struct transport *t); /* closes what is open; may be NULL */
};
struct transport {
    const struct transport_ops *ops;
};

struct eventstreams_options {
    const char
        *url; /* https://stream.wikimedia.org/v2/stream/recentchange; several names separated by commas are accepted */
    const char *contact; /* for the User-Agent: wikitally/VERSION (CONTACT) libcurl/VERSION */
    const char *ca_file; /* extra CA bundle, NULL: the system's */
    const char *proxy;   /* NULL: environment */
    bool accept_gzip;
    size_t max_line_bytes; /* default CHANGE_MAX_BYTES + 64 KiB; a longer one is discarded up to its end, its first
                              bytes dead-lettered */
    int64_t connect_timeout_us;
    struct clock *clock;
};
/* What is wrong with them, as far as that can be known without a connection: ERR_REJECT with EXIT_CONFIG, "source.KEY:
 * ...", never with a password in it. Opening asks this too; a configuration is asked before anything is begun. */
enum err_class eventstreams_check(const struct eventstreams_options *options, struct err *err);
enum err_class transport_open_eventstreams(const struct eventstreams_options *options, struct transport **ret_transport,
                                           struct err *err);
void transport_free(struct transport *t);

#endif
