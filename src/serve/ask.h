/* SPDX-License-Identifier: MIT
 *
 * ask.h - what the routes about topics and groups share: where they look and how long, and what they say if it fails.
 *
 * They run on threads of their own (pool.h, ASKER_THREADS), so that a broker that does not answer keeps nobody waiting
 * who wants something else. One request lasts ASK_US, and a second at most beyond it. While no broker answers at all,
 * AWAY_US after each try, the others are answered as that one was, at once.
 */
#ifndef WIKITALLY_SERVE_ASK_H
#define WIKITALLY_SERVE_ASK_H

#include "serve/answer.h"
#include "serve/pool.h"
#include "topics/topic.h"

#include <pthread.h>

enum {
    ASK_WAIT_US = 2000000,   /* for an answer to one request */
    ASK_US = 3000000,        /* for all of them */
    ASK_AWAY_US = 2000000,   /* so long nobody is asked again */
    ASK_PAGE = 100,          /* records of a cluster that are held at once */
    ASK_ROWS_DEFAULT = 1000, /* of a list */
    ASK_ROWS_MAX = 10000,
};

struct asks {
    pthread_mutex_t lock;
    int64_t away_until_us; /* monotonic */
    struct err err;        /* what was said then */
    bool ending;           /* nobody is asked any more */
};
void asks_init(struct asks *asks);
void asks_end(struct asks *asks); /* any thread; those that wait are answered at once */
void asks_fini(struct asks *asks);

struct room;
/* Of a place with the embedded journal, and the results if wanted. False: answered already. */
bool ask_begin(struct room *room, struct readers *readers, bool results, struct topics_place *place, struct answer *a);
/* 503 with Retry-After: no answer in time, for now; 502: the cluster refuses; 400: the filter; 404: no such partition;
 * else as answer_error. */
void ask_failed(struct room *room, struct readers *readers, const struct topics_place *place, const struct err *err,
                struct answer *a);
void ask_no_topic(const struct topics_place *place, const char *name, struct answer *a);
struct str ask_tail(const struct request *q, const char *prefix); /* of the path, behind the route's own */
/* The body is complete. */
void ask_done(const struct request *q, struct answer *a);

/* ---- JSON: 64-bit numbers are text, as everywhere in this API; what is below 0, or TIME_NONE, is null */

void ask_add_number(struct buf *out, int64_t n);
void ask_add_time(struct buf *out, int64_t us);
void ask_add_text(struct buf *out, const char *z); /* NULL: null */

/* "limit" and "cursor" of a list that is sorted by name. */
struct ask_page {
    int64_t limit;
    struct buf after; /* owned */
    bool has_after;
};
bool ask_page_read(const struct request *q, struct ask_page *page, struct answer *a);
void ask_page_fini(struct ask_page *page);

#endif
