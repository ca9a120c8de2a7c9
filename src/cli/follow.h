/* SPDX-License-Identifier: MIT
 *
 * follow.h - runs a pipeline until a signal or the end, for run, replay and audit --heal: as another user and shut in
 * (app/confine.h), with its configuration read again at a SIGHUP (app/reload.h).
 */
#ifndef WIKITALLY_CLI_FOLLOW_H
#define WIKITALLY_CLI_FOLLOW_H

#include "app/pipeline.h"
#include "cli/cli.h"

struct follow_until {
    int64_t count;   /* records journalled; 0: no limit */
    int64_t wall_us; /* TIME_NONE: no limit */
    bool end;        /* when a file is over, or the live stream is caught up */
};

struct follow {
    struct follow_until until;
    bool open_page;   /* in a browser */
    bool reload;      /* SIGHUP reads the configuration again; else it ends the run like SIGTERM */
    const char *user; /* --user; NULL: stay who we are */
};

/* -> exit code. Prints where the page is; opens it in a browser if asked. When a recording is over and nobody said
 * until when, the page goes on being served; without a page there is nothing left to do. A SIGHUP because the terminal
 * that it was started at is gone ends it, whatever `reload` says. The configuration of the options is cli->config. */
int follow_pipeline(struct cli *cli, const struct pipeline_options *options, const struct follow *follow,
                    struct err *err);

/* --close: how far behind the source's stream time the last tick must be so that every window is closed and can no
 * longer change. */
int64_t follow_close_after(const struct config *config);

#endif
