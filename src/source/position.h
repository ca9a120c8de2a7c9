/* SPDX-License-Identifier: MIT
 *
 * position.h - how far a source has come (R3): what is stored as the note "position" in the same atomic unit as the
 * records that it covers. Private to this room; pure state.
 *
 * All times are microseconds. Bounds: 16 topics, the newest 1,000 gaps, 2,000 tails (position_tails_merge).
 */
#ifndef WIKITALLY_SOURCE_POSITION_H
#define WIKITALLY_SOURCE_POSITION_H

#include "source/audit.h"

enum { BREAKS_MAX = 2 }; /* resumes in a row that were not continuous; the next one goes on, behind a gap */
enum { POSITION_TOPICS = 16, GAPS_MAX = 1000, TAILS_MAX = 2000 };

struct topic_position {
    char name[TOPIC_NAME_MAX]; /* "eqiad.mediawiki.recentchange" */
    int64_t high_us;           /* highest meta.dt received; TIME_NONE: never heard from */
    struct event_name last;    /* the last record received, whatever became of it, unless it was a re-delivery */
    int64_t breaks; /* resumes in a row that were not continuous; one more than BREAKS_MAX: see link_silent() */
    struct numbering numbering;
};
struct gap { /* a resume that could not be proven continuous */
    char topic[TOPIC_NAME_MAX];
    int64_t from_us, to_us;
};
struct tail {                   /* which part of the journal must be read again to know this topic's identities */
    char topic[TOPIC_NAME_MAX]; /* "": no topic, by stream time; "*": all */
    uint32_t partition;
    int64_t low, high; /* offsets, both inclusive */
};

struct position {
    struct topic_position topics[POSITION_TOPICS];
    size_t topic_count;
    int64_t first_us;            /* the server's Date at the first connection of this journal; TIME_NONE */
    int64_t caught_up_us;        /* when it was last found caught up; TIME_NONE */
    int64_t arrival_us;          /* of the last record; never falls; TIME_NONE */
    int64_t stream_us;           /* the source's own stream time: of all that is no duplicate (R7); TIME_NONE */
    int64_t clock_us;            /* stream time of what was journalled: the clock of names without a topic; TIME_NONE */
    int64_t floor_us;            /* what that clock showed at the first record of the tail of "" */
    char active[TOPIC_NAME_MAX]; /* topic of the latest change that had one; "" */
    bool change_seen;
    struct gap *gaps;
    size_t gap_count, gap_cap;
    struct tail *tails;
    size_t tail_count, tail_cap;
};

void position_init(struct position *p);
void position_fini(struct position *p);
/* Index of the topic, made if it is not there; SIZE_MAX: there are 16 already, or the name is too long. */
size_t position_topic(struct position *p, const char *name);
void position_add_gap(struct position *p, const char *topic, int64_t from_us, int64_t to_us);
void position_add_tail(struct position *p, const struct tail *t);
/* Above TAILS_MAX they become one a partition, for all topics: more is read again than must be. */
void position_merge_tails(struct position *p);

void position_write(const struct position *p, struct buf *out);
bool position_read(struct position *p, struct str note); /* into an initialised one; false: not understood */

/* Only these parts, for readers of the note: callbacks return false to stop. False: not understood. */
bool position_each_gap(struct str note, bool (*each)(const struct gap *g, void *ctx), void *ctx);
bool position_each_tail(struct str note, bool (*each)(const struct tail *t, void *ctx), void *ctx);

#endif
