/* SPDX-License-Identifier: MIT
 *
 * follow.h - runs a pipeline until a signal or the end, for run, replay and audit --heal.
 */
#ifndef WIKITALLY_CLI_FOLLOW_H
#define WIKITALLY_CLI_FOLLOW_H

#include "app/pipeline.h"

struct follow_until {
    int64_t count;   /* records journalled; 0: no limit */
    int64_t wall_us; /* TIME_NONE: no limit */
    bool end;        /* when a file is over, or the live stream is caught up */
};

/* -> exit code. Prints where the page is; opens it in a browser if asked. When a recording is over and nobody said
 * until when, the page goes on being served; without a page there is nothing left to do. */
int follow_pipeline(const struct pipeline_options *options, const struct follow_until *until, bool open_page,
                    struct err *err);

/* --close: how far behind the source's stream time the last tick must be so that every window is closed and can no
 * longer change. */
int64_t follow_close_after(const struct config *config);

#endif
