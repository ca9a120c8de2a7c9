/* SPDX-License-Identifier: MIT
 *
 * slide.h - what happened in the last 1, 5, 15 and 60 minutes, exact to the second, in bounded memory.
 *
 * Time is event time: the *edge* is the newest second reached, all windows end with it. An event of a second after the
 * edge waits in that second and counts when the edge gets there; one older than an hour before it is left out.
 *
 * Each event is one node of 16 bytes in the list of its second. When the edge moves, the seconds that leave a window
 * are walked and taken off the counts of that window, so a count costs the same whatever the window. At most
 * SLIDE_NODES events, SLIDE_PAGES pages, SLIDE_USERS users, SLIDE_WIKIS wikis: when one is full the oldest seconds are
 * given up, and slide_covered_from() says from which second on the answers are whole. Sums per second are kept for all
 * of the hour.
 *
 * One owner, no threads.
 */
#ifndef WIKITALLY_SERVE_SLIDE_H
#define WIKITALLY_SERVE_SLIDE_H

#include "base/str.h"

enum { SLIDE_WINDOWS = 4, SLIDE_SECONDS = 3600 };
enum { SLIDE_NODES = 1 << 20, SLIDE_PAGES = 1 << 18, SLIDE_USERS = 1 << 18, SLIDE_WIKIS = 1 << 12 };
extern const int64_t slide_window_seconds[SLIDE_WINDOWS]; /* 60, 300, 900, 3600 */

struct slide;
struct slide *slide_new(void);
void slide_free(struct slide *s); /* NULL is fine */
void slide_reset(struct slide *s);

struct slide_event {
    int64_t second; /* of event time */
    struct str wiki, server_name;
    struct str user, title; /* ptr NULL: there is none */
    bool bot;
    bool edit;            /* of type edit or new: counts for its page */
    int64_t revision_new; /* 0: none */
    int64_t revision_old;
};
void slide_add(struct slide *s, const struct slide_event *e); /* does not move the edge */
/* Later seconds only; earlier ones are ignored. `proven`: nothing is missing up to there (a tick, R7). */
void slide_advance(struct slide *s, int64_t second, bool proven);
/* A record of whatever kind stands for this second: its minute is no gap. */
void slide_heard(struct slide *s, int64_t second);

bool slide_edge(const struct slide *s, int64_t *ret_second); /* false: nothing yet */
uint64_t slide_counted(const struct slide *s);               /* changes since the start of the process */
int64_t slide_first(const struct slide *s);                  /* the first second that was ever counted */
int64_t slide_covered_from(const struct slide *s);           /* lists and distinct counts are whole from here on */
uint32_t slide_second_total(const struct slide *s, int64_t second); /* 0 outside the hour */
uint32_t slide_second_bots(const struct slide *s, int64_t second);
bool slide_minute_heard(const struct slide *s, int64_t minute);
/* Changes and bots' changes within the window (sums per second). */
uint64_t slide_total(const struct slide *s, size_t window, uint64_t *ret_bots);
uint32_t slide_editors(const struct slide *s, size_t window);
uint32_t slide_wikis(const struct slide *s, size_t window);

struct slide_page {
    struct str wiki, server_name, title; /* borrowed until the next slide_add or slide_advance */
    uint32_t edits;
    int64_t revision_new, revision_old; /* of its newest edit */
};
/* Pages with most edits, ties by wiki and title. -> how many were written. */
size_t slide_top(const struct slide *s, size_t window, struct slide_page *pages, size_t max);

#endif
