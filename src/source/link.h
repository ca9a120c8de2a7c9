/* SPDX-License-Identifier: MIT
 *
 * link.h - what is known about one connection (R3, R4, R5), by topic. Private to this room; plain data, made anew for
 * each connection.
 */
#ifndef WIKITALLY_SOURCE_LINK_H
#define WIKITALLY_SOURCE_LINK_H

#include "source/position.h"

struct link_topic {
    bool joined;                    /* continuous: from here on the position moves */
    bool proved;                    /* because the last record received came again, or there was none */
    int newer;                      /* records in a row newer than position + overlap, before the last one came again */
    struct event_name last_at_open; /* the last record received when it opened */
    struct link_numbering numbering;
};

struct link {
    struct link_topic topics[POSITION_TOPICS];
    bool brought_new;       /* something that the journal lacked */
    bool fresh;             /* the last record offered was new, or filtered and no re-delivery */
    int64_t date_us;        /* server time when it opened: its Date, else the wall clock then */
    int64_t opened_mono_us; /* when that was */
};

void link_init(struct link *l, const struct position *p, int64_t date_us, int64_t opened_mono_us);
void link_fini(struct link *l);
int64_t link_now(const struct link *l, int64_t mono_us); /* server time now: no local clock in it */
/* It fell silent. Behind a record newer than a topic's position there is nothing, so no more of them can prove that
 * records were skipped: the next one proves it (R3). True: the position has changed. */
bool link_silent(const struct link *l, struct position *p, const size_t *topics, size_t topic_count);
/* Nothing new on this connection, and what was last has come again, of each of these topics that was ever heard from:
 * silence is no stall (R3, R7 b). */
bool link_proven(const struct link *l, const struct position *p, const size_t *topics, size_t topic_count);

#endif
