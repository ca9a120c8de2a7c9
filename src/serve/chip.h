/* SPDX-License-Identifier: MIT
 *
 * chip.h - the state chip: in one word and one sentence, how far what you see can be trusted (ux.md section 3).
 *
 *   LIVE         last record < 10 s ago and watermark lag < 60 s
 *   CATCHING UP  watermark lag >= 60 s; how long it will take, if it falls
 *   REPLAY       the source is a file or the journal
 *   SYNTHETIC    made-up events: "Test data"
 *   STALE        no record for 10 s or longer, and why
 * PAUSED and OFFLINE are the page's to know. Watermark lag is what comes on top of the delay (R5).
 *
 * One owner (the live thread); everything is judged from a copy of the status board, so it can be tested.
 */
#ifndef WIKITALLY_SERVE_CHIP_H
#define WIKITALLY_SERVE_CHIP_H

#include "base/clock.h"
#include "base/err.h"
#include "base/metrics.h"

enum chip_state { CHIP_LIVE, CHIP_CATCHING_UP, CHIP_REPLAY, CHIP_SYNTHETIC, CHIP_STALE, CHIP_STATES };
extern const char *const chip_names[CHIP_STATES]; /* "LIVE", "CATCHING UP", ... */

enum { CHIP_SAMPLES = 30 };
struct chip {
    int64_t lag_us[CHIP_SAMPLES]; /* one a second, the newest at (count - 1) % CHIP_SAMPLES */
    uint64_t count;
};

struct chip_input {
    struct status status;
    int64_t wall_us, mono_us;
    int64_t delay_us;
    int64_t edge_us; /* newest event time that the live state reached; TIME_NONE */
};

void chip_sample(struct chip *c, const struct chip_input *in); /* once a second */
enum chip_state chip_judge(const struct chip *c, const struct chip_input *in);
/* The sentence, and all that the page needs, as one JSON object. */
void chip_text(const struct chip *c, const struct chip_input *in, struct buf *out);
void chip_write(const struct chip *c, const struct chip_input *in, struct buf *json);
int64_t chip_lag(const struct chip_input *in); /* microseconds >= 0, TIME_NONE: no time yet */

#endif
