/* SPDX-License-Identifier: MIT
 *
 * pipeline.h - source -> journal -> task -> sink in one process, and the server beside it: what `run` and `replay FILE`
 * host. With a journal on Kafka source and task may run in processes of their own, on different machines (roles).
 *
 * Threads: the ingester (source and journal writer), one per task, the server's own. They meet in the journal, the
 * status board and the metrics. Shutdown goes from source to sink: the source stops and commits, the task drains to a
 * deadline, then everything is closed.
 */
#ifndef WIKITALLY_APP_PIPELINE_H
#define WIKITALLY_APP_PIPELINE_H

#include "app/config.h"
#include "app/source_spec.h"

enum { ROLE_INGEST = 1, ROLE_TASKS = 2 };

struct pipeline_options {
    int roles; /* ROLE_...; 0: all. Only one of them: the journal is on Kafka, and the other runs elsewhere */
    const struct config *config;
    const struct source_spec *source;
    const char *directory;
    const char *listen; /* NULL: no server */
    bool adopt;         /* R15 */
    struct clock *clock;
    void (*on_end)(void *ctx); /* NULL, or called by its threads when source or task is over: pipeline_poll has news */
    void *on_end_ctx;
    bool (*give_up)(void *ctx); /* asked while the start waits for a broker, with on_end_ctx; NULL: never */
};

struct pipeline;
enum err_class pipeline_start(const struct pipeline_options *options, struct pipeline **ret_pipeline, struct err *err);

enum pipeline_state { PIPELINE_RUNNING, PIPELINE_ENDED, PIPELINE_FAILED };
/* ENDED: a finite source came to its end and the task has committed all of it. FAILED: *ret_err says why. */
enum pipeline_state pipeline_poll(struct pipeline *p, struct err *ret_err);
int64_t pipeline_received(struct pipeline *p);    /* records journalled since the start */
const char *pipeline_address(struct pipeline *p); /* of the server, or NULL */

/* After a reload: tells those that run what has changed in the configuration that they were started with. */
void pipeline_retune(struct pipeline *p);

/* Stops the source, lets the task finish what the journal holds until deadline_us (monotonic) and frees all. ERR_NONE:
 * all of it is committed. */
enum err_class pipeline_stop(struct pipeline *p, int64_t deadline_us, struct err *err);

#endif
