/* SPDX-License-Identifier: MIT
 *
 * frames.h - frames of the live stream, each made once and shared by all clients (ux.md section 4.3).
 *
 * A *channel* is one view at one rate: now:1m, now:5m, now:15m, now:60m x 1, 2, 4 Hz. It has a sequence number that
 * rises by one with each frame. A frame exists as *snapshot* (all sections) and as *delta* (the sections that changed
 * since the frame before). The newest FRAMES_KEPT deltas stay for clients that come back with Last-Event-ID.
 *
 * What a client gets (`id` is BOOT-CHANNEL-SEQ; BOOT is random per process, so that a restart forces a snapshot):
 *
 *   event: snapshot   data: {"view":"now:5m","hz":1,"seq":12,"boot":"9f…","data":{"now":{…},"seconds":{…},…}}
 *   event: delta      data: {"seq":13,"data":{"now":{…}}}
 *   event: state      data: {…}                     the state chip, with a frame whenever it changed
 *
 * Frames are immutable and counted: a client that is still sending an old one keeps it alive. Thread-safe.
 */
#ifndef WIKITALLY_SERVE_FRAMES_H
#define WIKITALLY_SERVE_FRAMES_H

#include "base/buf.h"
#include "serve/slide.h"

enum frame_section { SECTION_NOW, SECTION_SECONDS, SECTION_MINUTES, SECTION_PAGES, SECTION_LEDGER, SECTION_COUNT };
extern const char *const frame_section_names[SECTION_COUNT];

enum { FRAME_RATES = 3, FRAME_CHANNELS = SLIDE_WINDOWS * FRAME_RATES, FRAMES_KEPT = 32 };
extern const int frame_rates[FRAME_RATES]; /* 1, 2, 4 */

struct frame {
    int refs; /* atomic */
    size_t len;
    char bytes[];
};
struct frame *frame_hold(struct frame *f);
void frame_drop(struct frame *f); /* NULL is fine */

struct frames;
struct frames *frames_new(uint64_t boot);
void frames_free(struct frames *f);

static inline size_t frames_channel(size_t window, size_t rate)
{
    return window * FRAME_RATES + rate;
}
/* "5m" -> index of the window; false: no such window. */
bool frames_window(struct str text, size_t *ret_window);
const char *frames_window_name(size_t window);

/* Makes a frame from the sections' JSON texts (SECTION_COUNT) and the chip's. -> true if anything differed from the
 * last one; else nothing happens and the number stays. One thread publishes. */
bool frames_publish(struct frames *f, size_t channel, const struct buf *sections, struct str state);

uint64_t frames_sequence(struct frames *f, size_t channel); /* 0: none yet */
/* The newest as a snapshot; NULL: none yet. The reference is the caller's. */
struct frame *frames_snapshot(struct frames *f, size_t channel, uint64_t *ret_sequence);
/* The delta that leads to `sequence`; NULL: not kept. The reference is the caller's. */
struct frame *frames_delta(struct frames *f, size_t channel, uint64_t sequence);
/* The newest as one JSON document, for /api/v1/now and /plain; NULL: none yet. */
struct frame *frames_json(struct frames *f, size_t channel);
/* The middle of /plain for a window, made with the 1 Hz frame; NULL: none yet. */
void frames_set_html(struct frames *f, size_t window, const struct buf *html);
struct frame *frames_html(struct frames *f, size_t window);
void frames_add_id(struct frames *f, struct buf *out, size_t channel, uint64_t sequence);
/* Parses a Last-Event-ID of this process and channel. */
bool frames_parse_id(struct frames *f, const char *id, size_t channel, uint64_t *ret_sequence);

#endif
