/* SPDX-License-Identifier: MIT
 *
 * http.h - the only file that knows libmicrohttpd is http.c; this is all that the room sees of it, so that another
 * library can take its place (ux.md section 4.2, rule 5).
 *
 * One thread of the library's own runs an epoll loop. Routes that touch a database or a broker run on the
 * threads of a pool while their connection is suspended; all others are answered in the loop and may not block.
 *
 * Limits: connections in total by the limit of open files (at most 1,024); request line and headers, see request.h; no
 * body is ever read; a connection has DEADLINE_S seconds for its headers and for taking an answer.
 */
#ifndef WIKITALLY_SERVE_HTTP_H
#define WIKITALLY_SERVE_HTTP_H

#include "serve/answer.h"
#include "serve/guard.h"

enum { HTTP_DEADLINE_S = 15, HTTP_STREAM_DEADLINE_S = 30 };

struct pool;
struct http;
struct http_options {
    int listen_fd;   /* taken */
    bool local_only; /* what it listens on cannot be reached from another machine */
    struct guard_names names;
    const char *token;          /* borrowed; may be NULL when local_only */
    struct pool *pool, *askers; /* for routes that wait: for a database, for longer */
    struct clock *clock;
    void *routes_ctx; /* given to routes_find's functions */
};

enum err_class http_start(const struct http_options *options, struct http **ret_http, struct err *err);
/* Once a second, any thread: cuts connections that are over their deadline. */
void http_sweep(struct http *h);
/* No new connections or streams; returns at once. The streams and the pool must be ended before http_stop. */
void http_quiesce(struct http *h);
void http_stop(struct http *h); /* NULL is fine */

/* For stream.c, whose clients are suspended connections. */
struct MHD_Connection;
void http_suspend(struct MHD_Connection *c); /* in the loop's thread */
void http_resume(struct MHD_Connection *c);  /* any thread, only while suspended */
bool http_is_gone(struct MHD_Connection *c); /* any thread, only while suspended: the other side has hung up */

#endif
