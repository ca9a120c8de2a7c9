/* SPDX-License-Identifier: MIT
 *
 * answer.h - what a route says, before it becomes HTTP. A zeroed one is an empty 200. Errors are problem+json
 * (RFC 9457): what, why, what to do, and an id that also stands in the log.
 */
#ifndef WIKITALLY_SERVE_ANSWER_H
#define WIKITALLY_SERVE_ANSWER_H

#include "base/err.h"
#include "serve/request.h"

struct stream_client;
struct answer {
    int status;           /* 0 = 200 */
    const char *type;     /* Content-Type; static */
    const char *cache;    /* Cache-Control; NULL = no-store */
    const char *encoding; /* "gzip", "br"; NULL = identity */
    const char *location; /* of a redirect; static */
    const char *allow;    /* of a 405; static */
    char etag[48];        /* with its quotes; "" = none */
    int retry_after_s, refresh_s;
    bool challenge;               /* WWW-Authenticate */
    bool varies;                  /* Vary: Accept-Encoding */
    struct buf body;              /* owned */
    struct str fixed;             /* instead of body: bytes that outlive the server (compiled in) */
    struct stream_client *stream; /* instead of both: a live stream; owned until http.c takes it */
};

void answer_fini(struct answer *a); /* the stream is not freed: see stream.h */
/* Replaces whatever the answer held. title: a sentence's beginning, static; detail: a sentence. */
void answer_problem(struct answer *a, int status, const char *title, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* A failed read: RETRY 503 with Retry-After, REJECT 400, FATAL 500. Logs what a person has to look at. */
void answer_error(struct answer *a, const struct err *err);
/* Compresses the body if it is worth it and the request takes gzip. */
void answer_compress(struct answer *a, const struct request *q);

#endif
