/* SPDX-License-Identifier: MIT
 *
 * serve.h - what people see: HTTP server, JSON API, live stream (SSE), metrics, embedded page (front header of this
 * room). Rules for libmicrohttpd: ux.md section 4.2. It reads: the status board and metrics (base/metrics.h),
 * results.db (sink/results.h), journal.db (journal/journal.h), each read-only with connections of its own; and the
 * topics of a cluster (topics/topic.h).
 */
#ifndef WIKITALLY_SERVE_SERVE_H
#define WIKITALLY_SERVE_SERVE_H

#include "base/err.h"
#include "base/option.h"

struct journal;
struct kafka_options;
struct serve_options {
    const char *listen;       /* "127.0.0.1:8787", "[::1]:8787", "unix:/path"; port 0: the kernel's choice; "fd:3": a
                               * socket that listens already, taken */
    const char *const *hosts; /* names accepted in Host besides localhost and the listen address (D4) */
    size_t host_count;
    const char *token; /* needed from other addresses than loopback; NULL: other addresses are refused to listen on */
    const char *directory;             /* data directory: journal.db and results.db */
    struct journal *journal;           /* of this process, to be woken by; NULL: poll */
    const struct kafka_options *kafka; /* whose topics and groups are shown; NULL: the embedded journal's */
    const char *topic;                 /* what that is called as a topic; NULL: "journal" */
    const char *web_dir;               /* development: serve the page from here; NULL: compiled in */
    int64_t delay_us;                  /* of the watermark, to tell lag (ux.md section 3) */
    size_t max_clients;                /* live clients: 200, per address 20 */
    /* Effective configuration as JSON for /api/v1/config, secrets masked; may be NULL. */
    void (*config_json)(struct buf *out, void *ctx);
    void *config_ctx;
    struct clock *clock;
};
struct serve;
/* Binds ahead of serve_start, for a program that gives up rights in between: pass "fd:N" of it as `listen`. */
enum err_class serve_bind(const char *listen, int *ret_fd, struct err *err);
enum err_class serve_start(const struct serve_options *options, struct serve **ret_serve, struct err *err);
const char *serve_address(const struct serve *s);       /* "http://127.0.0.1:8787" */
void serve_retune(struct serve *s, size_t max_clients); /* for those who come from now on; any thread */
void serve_stop(struct serve *s);                       /* closes all connections, ends its threads, frees */

#endif
