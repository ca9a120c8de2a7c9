/* SPDX-License-Identifier: MIT
 *
 * reload.h - SIGHUP: the configuration is read and checked anew, in all its layers, while the program runs.
 *
 * A configuration that is not good changes nothing: what runs goes on, the log and the state say what is wrong. A good
 * one is compared with what runs, key by key. What can be taken over is (struct option, `live`): log.level, log.format,
 * journal.retention_age, journal.retention_bytes, journal.on_full, task.commit_every, serve.max_clients. Each other
 * difference is named as waiting for a restart; it does not hold up the rest, unless the two do not go together.
 */
#ifndef WIKITALLY_APP_RELOAD_H
#define WIKITALLY_APP_RELOAD_H

#include "app/config.h"
#include "app/pipeline.h"

struct reload {
    struct config_sources sources;                              /* borrowed texts: as at the start */
    struct config *running;                                     /* what the pipeline was started with */
    void (*log_setup)(const struct config *running, void *ctx); /* after log.level or log.format may have changed */
    void *log_ctx;
};

enum reload_result { RELOAD_SAME, RELOAD_APPLIED, RELOAD_RESTART, RELOAD_REFUSED };
/* Of the thread that owns the pipeline. Says all in the log, and in the status board what is left to do. RESTART: what
 * could be taken over was, and something waits. pipeline NULL: nobody is told; for tests. */
enum reload_result reload_configuration(const struct reload *r, struct pipeline *pipeline);

#endif
