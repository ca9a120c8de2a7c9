/* SPDX-License-Identifier: MIT
 *
 * topic.h - a topic read from any offset: one of a Kafka cluster, or the embedded journal, which is one topic (front
 * header of this room, with messages.h, catalog.h and groups.h). Nothing is changed, no group is joined, nothing is
 * committed. One thread.
 */
#ifndef WIKITALLY_TOPICS_TOPIC_H
#define WIKITALLY_TOPICS_TOPIC_H

#include "base/arena.h"
#include "base/err.h"

struct kafka_options;
struct journal_reader;
struct results;

/* Where to look, and how long. Borrowed, all of it; outlives what is opened from it. */
struct topics_place {
    const struct kafka_options *kafka; /* NULL: the embedded journal */
    const char *journal_topic;         /* what that is called as a topic */
    struct journal_reader *journal;    /* of it; NULL: only with `kafka` */
    struct results *results;           /* whose aggregations are its groups; only groups.h wants them */
    int64_t wait_us;                   /* for a broker's answer to one request */
    int64_t until_us;                  /* monotonic: from then on nothing is waited for; INT64_MAX: no such limit */
    size_t page;   /* records of a cluster that are held at once; 0: 2,000. A record may be as large as the cluster
                    * takes it */
    bool answered; /* set: a broker has answered something */
};
bool topics_over(const struct topics_place *place); /* until_us has passed */

struct topic;
/* *ret_topic NULL: there is no such topic. `live`: it will be read on and on at its end, so a broker need not be asked
 * all the time. */
enum err_class topic_open(struct topics_place *place, const char *name, bool live, struct topic **ret_topic,
                          struct err *err);
void topic_close(struct topic *t); /* NULL is fine */
uint32_t topic_partitions(const struct topic *t);
/* Head, and end behind the last record that is committed. */
enum err_class topic_bounds(struct topic *t, uint32_t partition, int64_t *ret_head, int64_t *ret_end, struct err *err);
/* The first offset whose record came at or after that time; the end if there is none. */
enum err_class topic_seek(struct topic *t, uint32_t partition, int64_t time_us, int64_t *ret_offset, struct err *err);

struct topic_record {
    int64_t offset, time_us;     /* TIME_NONE: has none */
    struct str key, kind, value; /* ptr NULL: none; kind: the header wikitally.kind. Any bytes */
};
struct topic_page {
    const struct topic_record *records; /* until the next call; offsets rise, with holes */
    size_t count;                       /* 0: nothing at or after `from` */
};
enum err_class topic_read(struct topic *t, uint32_t partition, int64_t from, struct topic_page *ret_page,
                          struct err *err);
/* Nothing more will be read of it for a while: lets go of what was fetched. */
void topic_rest(struct topic *t, uint32_t partition);

#endif
