/* SPDX-License-Identifier: MIT
 *
 * live.h - the live state: one thread of its own that reads the journal, keeps the last hour (slide.h), and four times
 * a second makes the frames that are due (frames.h) and wakes the clients.
 *
 * At start it reads the journal backwards, newest part first, until the hour is full or LIVE_REBUILD_US are over: the
 * newest numbers are right at once, and how far back they reach is said in them. Canaries and ticks are never counted;
 * records from the future (R5) are left out.
 */
#ifndef WIKITALLY_SERVE_LIVE_H
#define WIKITALLY_SERVE_LIVE_H

#include "serve/chip.h"
#include "serve/frames.h"
#include "serve/ledger.h"
#include "serve/pool.h"
#include "serve/slide.h"
#include "serve/stream.h"

#define LIVE_REBUILD_US (2 * US_PER_SECOND)
#define LIVE_SKEW_US (60 * US_PER_SECOND) /* R5 */
enum { LIVE_TOP_PAGES = 20 };

struct live_options {
    const char *directory;   /* borrowed */
    struct journal *journal; /* of this process, or NULL */
    int64_t delay_us;
    struct clock *clock;
    struct frames *frames;
    struct stream_hub *hub;
    struct pool *pool;               /* reads the ledger */
    void (*every_second)(void *ctx); /* from the thread; may be NULL */
    void *ctx;
};

struct live;
enum err_class live_start(const struct live_options *options, struct live **ret_live, struct err *err);
void live_end(struct live *l);  /* ends the thread; after that only live_free may be called */
void live_free(struct live *l); /* after the pool is gone: a ledger reading may still have been under way */

/* Any thread. */
bool live_ready(struct live *l, char *why, size_t size); /* reads the journal and has made frames; else why not */
bool live_beats(struct live *l);                         /* the thread came round in the last 30 s */
void live_ledger(struct live *l, struct ledger_line *ret_line);
void live_chip(struct live *l, struct buf *json);

/* now.c: the numbers of one window, and the sections' JSON (SECTION_COUNT buffers). Pure, for tests. */
struct now_facts {
    bool started; /* else all below is 0 */
    int64_t edge, from;
    bool whole;          /* the window lies wholly in what is known */
    int64_t rate_tenths; /* changes per 10 seconds over the last minute's whole seconds; -1: not known */
    uint64_t changes, bots;
    uint64_t counted; /* changes since the start of the process */
    uint32_t editors, wikis;
};
void now_look(const struct slide *s, size_t window, struct now_facts *ret);
void now_sections(const struct slide *s, size_t window, const struct ledger_line *ledger, struct buf *sections);

/* plain.c: the middle of /plain. */
void plain_render(const struct slide *s, size_t window, const struct ledger_line *ledger, const struct chip *chip,
                  const struct chip_input *in, struct buf *out);

#endif
