/* SPDX-License-Identifier: MIT
 *
 * request.h - one HTTP request as the routes see it, and the checks that are the same for all. Nothing here knows the
 * HTTP library.
 */
#ifndef WIKITALLY_SERVE_REQUEST_H
#define WIKITALLY_SERVE_REQUEST_H

#include "base/buf.h"
#include "base/clock.h"
#include "serve/guard.h"

enum {
    REQUEST_TARGET_MAX = 2048,  /* bytes of path and query; beyond: 414 */
    REQUEST_HEADERS_MAX = 6144, /* bytes of request line and headers; beyond: 431 */
};

struct request {
    char target[REQUEST_TARGET_MAX + 1]; /* as it came, percent signs and all */
    struct str path, query;              /* parts of target, still escaped; query without the ? */
    bool head;
    struct guard_peer peer;
    bool accepts_gzip, accepts_br;
    char if_none_match[64];
    char last_event_id[64];
};

/* Splits the target. False: longer than the maximum, not beginning with '/', or with bytes that no URL has. */
bool request_target(struct request *q, const char *target);
/* q= values are obeyed: "gzip;q=0" is a no. */
bool request_accepts(struct str accept_encoding, const char *coding);
/* Value of a query parameter, percent-decoded (and + as blank) into `value`, which must be valid UTF-8 without NUL. The
 * first of equal names counts. False: there is none, or it is not decodable. */
bool request_parameter(const struct request *q, const char *name, struct buf *value);
/* Is it there at all, decodable or not? */
bool request_has(const struct request *q, const char *name);
/* The first parameter whose name is not in the list "from to limit", or one that comes twice; ptr NULL: all are known.
 */
struct str request_unknown_parameter(const struct request *q, const char *known);
/* True for a token of RFC 9110: what a method or a header name may be. */
bool request_is_token(struct str s);

#endif
