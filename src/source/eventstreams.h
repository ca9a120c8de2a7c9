/* SPDX-License-Identifier: MIT
 *
 * eventstreams.h - pieces of the libcurl transport (private to this room): eventstreams.c moves bytes,
 * eventstreams_http.c makes requests and judges answers.
 */
#ifndef WIKITALLY_SOURCE_EVENTSTREAMS_H
#define WIKITALLY_SOURCE_EVENTSTREAMS_H

#include "base/buf.h"
#include "source/sse.h"
#include "source/transport.h"

#include <curl/curl.h>
#include <stdatomic.h>

enum { ES_CONNECTIONS_MAX = 2, ES_ERROR_BODY_MAX = 2048, ES_HEADER_MAX = 64 << 10, ES_HEADERS_MAX = 200 << 10 };

struct es_transport {
    struct transport base; /* first member */
    char *url, *contact, *ca_file, *proxy;
    bool accept_gzip, loopback;
    size_t max_line_bytes;
    int64_t connect_timeout_us;
    struct clock *clock;
    CURLM *multi;
    struct es_connection *open[ES_CONNECTIONS_MAX];
    atomic_bool stop;
};

struct es_connection {
    struct connection base; /* first member */
    struct es_transport *transport;
    CURL *easy;
    struct curl_slist *headers;
    struct buf waiting; /* body bytes not parsed yet, from `used` on; at most ES_WAITING_MAX and one piece of curl's */
    size_t used;
    struct buf error_body; /* of an answer that is no stream */
    size_t header_bytes;
    struct sse sse;
    int64_t oversize_seen;
    bool judged;  /* the head of the answer was looked at */
    bool refused; /* ... and it is no stream */
    bool paused, done, ok;
    int64_t retry_after_us;
    CURLcode result;
    char curl_text[CURL_ERROR_SIZE];
};

/* Everything that the request says; the handle is ready to be added. */
enum err_class es_request(struct es_transport *t, struct es_connection *c, const struct transport_want *want,
                          size_t count, struct err *err);
/* Is the answer a stream? Called with its head and, if it is none, its body's first bytes. */
bool es_is_stream(CURL *easy);
enum err_class es_refusal(struct es_connection *c, struct err *err);
/* The transfer ended before it was a stream. */
enum err_class es_failure(struct es_connection *c, struct err *err);
/* eventstreams_check, and whether the URL is one of this machine. */
enum err_class es_check(const struct eventstreams_options *options, bool *ret_loopback, struct err *err);

#endif
