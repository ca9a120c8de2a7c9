/* SPDX-License-Identifier: MIT
 *
 * messages.h - looking through the records of one topic, partition by partition, with the one filter grammar; and what
 * was looked at.
 *
 * What is there at the beginning is the end, unless it is live: a topic that is being written comes to an end, too.
 * Values may be anything; what is no JSON object matches no filter but the empty one.
 */
#ifndef WIKITALLY_TOPICS_MESSAGES_H
#define WIKITALLY_TOPICS_MESSAGES_H

#include "topics/topic.h"

enum { MESSAGES_LAST_MAX = 1000000 };

struct messages_wanted {
    const char *topic;
    int64_t partition; /* -1: all, one after the other */
    const char *from;  /* "earliest", "latest", an offset, a time; NULL: earliest, live: latest */
    int64_t last;      /* 0, or so many records of each partition, at most MESSAGES_LAST_MAX */
    int64_t count;     /* 0, or the end after so many that count */
    bool live;
    struct str filter;
    /* To go on where another look ended: in this partition, at this offset (-1: at its beginning, as `from` says); the
     * partitions before it are done. */
    bool resumed;
    int64_t resume_partition, resume_offset;
    /* One that matches; borrowed for the call. True: it counts. */
    bool (*take)(uint32_t partition, const struct topic_record *r, void *ctx);
    bool (*full)(void *ctx); /* asked before each record: no room for another; NULL: there always is */
    void *ctx;
};
/* Is this text an offset, a time, "earliest" or "latest"? */
bool messages_from_is_known(const char *from);

struct messages_coverage {
    bool begun;               /* else nothing else is set */
    int64_t start, next, end; /* looked at: [start, next); end: where it ends unless it is live */
    int64_t records, matched; /* in that span */
    bool gone;                /* the log begins behind the offset asked for */
};
struct messages;
/* `wanted` is borrowed. *ret_messages NULL: there is no such topic. ERR_REJECT/EXIT_USAGE: the filter;
 * ERR_REJECT/EXIT_NOINPUT: no such partition. */
enum err_class messages_open(struct topics_place *place, const struct messages_wanted *wanted,
                             struct messages **ret_messages, struct err *err);
void messages_close(struct messages *m); /* NULL is fine */
/* Through all partitions, each up to its end. Ends sooner when enough were found, it is full, or the place's time is
 * over; live: only finds where each begins. */
enum err_class messages_look(struct messages *m, struct err *err);
/* Live: what has come since, of all partitions. */
enum err_class messages_look_on(struct messages *m, struct err *err);
bool messages_over(const struct messages *m); /* enough were found, or it is full */
int64_t messages_taken(const struct messages *m);
/* Partitions looked at: [*ret_first, *ret_behind). */
void messages_span(const struct messages *m, uint32_t *ret_first, uint32_t *ret_behind);
const struct messages_coverage *messages_covered(const struct messages *m, uint32_t partition);

#endif
