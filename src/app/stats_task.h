/* SPDX-License-Identifier: MIT
 *
 * stats_task.h - the task that writes rows to topics: a task_thread whose sink is a cluster that may not be there yet.
 * Everything else starts and runs without it; it is tried again until the cluster is there, and goes on where it was.
 *
 * All functions: any one thread, but stats_task_keep (any).
 */
#ifndef WIKITALLY_APP_STATS_TASK_H
#define WIKITALLY_APP_STATS_TASK_H

#include "app/config.h"
#include "app/task_thread.h"

struct stats_task;
struct stats_task_options {
    const struct config *config;       /* outlives it; of it only what no reload changes is looked at later */
    const char *directory;             /* where the name of this instance is kept */
    struct task_thread_options thread; /* without aggregations, sink and member */
};
/* ERR_NONE, too, if no broker answers. Others: refused, as task_thread_start(). */
enum err_class stats_task_start(const struct stats_task_options *options, struct stats_task **ret_task,
                                struct err *err);
/* As those of task_thread.h. */
void stats_task_drain(struct stats_task *t);
void stats_task_stop(struct stats_task *t);
bool stats_task_ended(struct stats_task *t, struct err *ret_err);
void stats_task_retune(struct stats_task *t, int64_t commit_every_us);
/* Until it has begun, nobody knows where it was: everything is needed. */
void stats_task_keep(struct stats_task *t, int64_t *ret_keep, uint32_t partitions);
void stats_task_free(struct stats_task *t); /* NULL is fine */

#endif
