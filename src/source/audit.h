/* SPDX-License-Identifier: MIT
 *
 * audit.h - the upstream's numbering, and its holes (R4). Private to this room; pure state, no I/O.
 *
 * meta.offset rises by one within a topic of one upstream cluster. What was received is kept as intervals; what lies
 * between two of them is a hole. Another cluster numbers differently: a *numbering* begins whenever none of the newest
 * three pairs (offset, name) came again on a connection before something new did. Only upstream partition 0 is followed
 * (the stream has no other; eventstreams.md section 1.3).
 *
 * Bounds: the newest 1,000 holes and as many intervals per topic; what is older is dropped, and not called healed.
 */
#ifndef WIKITALLY_SOURCE_AUDIT_H
#define WIKITALLY_SOURCE_AUDIT_H

#include "source/json.h"

enum { HOLES_MAX = 1000, INTERVALS_MAX = 1001, PAIRS_KEPT = 3, TOPIC_NAME_MAX = 256 };

/* meta.id as text: a UUID, or "#" and a hash of what is longer. Empty: none. */
struct event_name {
    char text[48];
};
struct event_name event_name_of(struct str meta_id);
static inline bool event_name_eq(const struct event_name *a, const struct event_name *b)
{
    return a->text[0] && strcmp(a->text, b->text) == 0; /* none equals nothing */
}

struct interval { /* offsets received without a hole, both inclusive, and the records at its two ends */
    int64_t from, to;
    int64_t from_dt_us, to_dt_us;
    struct event_name from_name, to_name;
};
struct intervals { /* ascending, never touching each other */
    struct interval *items;
    size_t count, cap;
};
struct offset_pair {
    int64_t offset;
    struct event_name name;
};

struct numbering { /* one topic's; kept with the position */
    int64_t number;
    struct intervals received;
    struct offset_pair pairs[PAIRS_KEPT]; /* the newest, oldest first */
    size_t pair_count;
};

enum hole_state { HOLE_OPEN, HOLE_HEALED, HOLE_UNFILLED, HOLE_STATES };
extern const char *const hole_state_names[HOLE_STATES];

struct hole {
    size_t topic; /* index in the position's topics */
    int64_t numbering, from, to;
    int64_t before_dt_us, after_dt_us; /* of its neighbours */
    struct event_name before, after;
    int64_t seen_us; /* arrival when it was found */
    int64_t tries;
    enum hole_state state;
};
struct audit {
    struct hole *holes; /* oldest first */
    size_t hole_count, hole_cap;
    bool changed; /* since the note was written */
};

/* One topic on one connection (part of struct link). */
struct link_numbering {
    bool matched;           /* numbers of this connection can be compared with those kept */
    struct intervals local; /* received before that was known */
    struct offset_pair local_pairs[PAIRS_KEPT];
    size_t local_pair_count;
};

struct audit_record {
    size_t topic;
    int64_t offset, dt_us;
    struct event_name name;
    int64_t arrival_us;
    bool joined;    /* the connection was continuous for the topic before this record */
    bool is_last;   /* it is the last one received before this connection */
    bool duplicate; /* what became of it */
};
/* Books one record. numberings: all topics', by topic index (holes are found in all before one begins anew). */
void audit_record(struct audit *a, struct numbering *const *numberings, size_t topic_count, struct link_numbering *link,
                  const struct audit_record *r);
void audit_find_holes(struct audit *a, struct numbering *const *numberings, size_t topic_count, int64_t now_us);
struct hole *audit_next_open(struct audit *a); /* the oldest hole to heal, or NULL; valid until the next change */

void intervals_add(struct intervals *s, int64_t offset, int64_t dt_us, const struct event_name *name);
void numbering_fini(struct numbering *n);
void link_numbering_fini(struct link_numbering *l);
void audit_fini(struct audit *a);

/* The note "audit": the holes, and all intervals but the newest of each topic (that one changes with every record and
 * stands in the note "position"). */
void audit_write(const struct audit *a, struct numbering *const *numberings, const char *const *topics,
                 size_t topic_count, struct buf *out);
/* Adds to what is there. `topic_at` finds or makes a topic's index (SIZE_MAX: too many, drop it). False: not
 * understood. */
bool audit_read(struct audit *a, struct str note, size_t (*topic_at)(void *ctx, const char *topic),
                struct numbering *(*numbering_at)(void *ctx, size_t topic), void *ctx);
void interval_write(const struct interval *i, struct buf *out);
void interval_read(struct json *j, struct interval *ret);
void hole_read(struct json *j, struct hole *ret, char topic[TOPIC_NAME_MAX]);

#endif
