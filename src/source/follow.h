/* SPDX-License-Identifier: MIT
 *
 * follow.h - the live stream as a source: the inside shared by follow.c, merge.c and heal.c only.
 *
 * The same words as class Client of tests/oracle/resume_model.py, where every clause was proven to be needed. One
 * thread; only `stopping` is touched by others.
 */
#ifndef WIKITALLY_SOURCE_FOLLOW_H
#define WIKITALLY_SOURCE_FOLLOW_H

#include <stdatomic.h>

#include "base/hash.h"
#include "source/admission.h"
#include "source/link.h"
#include "source/transport.h"

struct line { /* one connection and what is known about it; c NULL: none */
    struct connection *c;
    struct link link;
    bool fresh; /* it brought something fresh that is no dead letter */
};

struct follow {
    struct source base; /* first member */
    struct source_options options;
    struct transport *transport; /* owned */
    struct admission *admission;
    struct source_output *output;
    atomic_bool stopping;
    bool loaded;
    struct rng rng;
    int64_t pending_since_mono_us; /* when the oldest uncommitted decision was made; TIME_NONE: none */
    unsigned failures;             /* connects in a row that led to nothing */
    int64_t connects;
    const char *reason;        /* why the connection before ended: a label of source_reconnects */
    int64_t fresh_mono_us;     /* when something new came last, on any connection; or the start */
    int64_t proof_at_mono_us;  /* R7: silent for long, proven just now; not again before. INT64_MIN: no such rest */
    int64_t heal_at_mono_us;   /* no healing before: a pause after each try, a backoff after each refusal */
    int64_t heal_wake_mono_us; /* when a silent stream must be left for the next try; INT64_MAX: no hole is open */
    unsigned heal_failures;    /* healing requests in a row that were refused */
};

/* How a stretch of following ended, when it was no error. */
enum follow_end { FOLLOW_AGAIN, FOLLOW_BROKEN, FOLLOW_QUICK }; /* broken: not continuous; quick: see follow_cut */

int64_t follow_mono(const struct follow *f);
bool follow_stopping(struct follow *f);
void follow_sleep(struct follow *f, int64_t us); /* in slices, so that a stop is noticed */
void follow_backoff(struct follow *f, int64_t at_least_us, const char *problem);
/* How long to wait after so many failures in a row: by chance 1 to 2 s, 2 to 4, 4 to 8, 8 to 16, then from 15 s to 32,
 * to 60; so at most six tries a minute. Never less than at_least_us (what the server asks for; at most 15 minutes of
 * it). */
int64_t follow_backoff_us(struct follow *f, unsigned failures, int64_t at_least_us);

/* Commits what is pending, with the ticks that are due. */
enum err_class follow_commit(struct follow *f, struct err *err);
/* The same if it is time. *ret_done (may be NULL): there was a commit. */
enum err_class follow_commit_due(struct follow *f, bool *ret_done, struct err *err);
int64_t follow_commit_at(const struct follow *f); /* monotonic; INT64_MAX: nothing pending */

/* Opens a connection for these topics (indexes), each from where it must resume. Waits and tries again as long as that
 * can help; line->c NULL: stopping. */
enum err_class follow_connect(struct follow *f, const size_t *topics, size_t topic_count, struct line *line,
                              struct err *err);
void follow_close(struct follow *f, struct line *line);
int64_t follow_arrival(const struct follow *f, const struct line *line); /* R5; whole milliseconds */
/* *ret_broken: the resume is not continuous (R3), close and connect again. line->link.fresh: it was new. */
enum err_class follow_offer(struct follow *f, struct line *line, struct str data, bool *ret_broken, struct err *err);
/* After TRANSPORT_CUT: notes why. True: it was cut at once and brought nothing, so that the next try must wait. */
bool follow_cut(struct follow *f, const struct line *line);
void follow_backoff_quick(struct follow *f);

enum err_class follow_merge(struct follow *f, enum follow_end *ret_end, struct err *err); /* merge.c */
/* heal.c: commits what waits, then one request for the oldest open hole, if it is time; sets when to come again. */
enum err_class follow_heal(struct follow *f, struct err *err);

static inline int64_t latest(int64_t a, int64_t b)
{
    return a > b ? a : b;
}
static inline int64_t earliest(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

#endif
