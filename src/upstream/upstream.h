/* SPDX-License-Identifier: MIT
 *
 * upstream.h - a server that speaks EventStreams (eventstreams.md section 1) over recorded or made-up events, for tests
 * and for trying things
 * (`wikitally upstream`). Knows base and nothing of src/source or src/change: it finds the few fields it needs by
 * itself, so that an error in our reading of the format cannot hide.
 */
#ifndef WIKITALLY_UPSTREAM_UPSTREAM_H
#define WIKITALLY_UPSTREAM_UPSTREAM_H

#include "base/clock.h"
#include "base/err.h"

struct upstream_options {
    const char *listen;   /* "127.0.0.1:0" */
    double rate;          /* how fast events become available, per second; 0: all at once */
    int64_t cut_after_us; /* cut each connection after that; 0: never (EventStreams: 15 min) */
    const char *faults;   /* "stall:every=100,for=5s;hole:at=50;..." : see upstream.c; NULL */
    bool seconds;         /* ids and meta.dt resolution of whole seconds, as before mid-2025 */
    bool canaries;        /* a canary every 15 minutes of event time on both topics */
    int64_t switch_at;    /* after that many events the other data centre's topic carries them; 0: never */
    int64_t retention_us; /* older ones cannot be asked for; 0: all kept */
    uint64_t seed;
    struct clock *clock;
};
struct upstream;
enum err_class upstream_start(const struct upstream_options *options, struct upstream **ret_upstream, struct err *err);
/* Adds one event to the logs (copied). Before or while it serves. at_us: when it becomes available by the recording's
 * own time line (TIME_NONE: now). */
enum err_class upstream_add(struct upstream *u, struct str event, int64_t at_us, struct err *err);
void upstream_end(struct upstream *u);              /* no more will be added */
const char *upstream_url(const struct upstream *u); /* http://127.0.0.1:PORT/v2/stream/recentchange */
void upstream_stop(struct upstream *u);

#endif
