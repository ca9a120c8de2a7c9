/* SPDX-License-Identifier: MIT
 *
 * task_thread.h - one task's thread: reads what the journal has, commits on the trigger, waits for more (R8, R10).
 */
#ifndef WIKITALLY_APP_TASK_THREAD_H
#define WIKITALLY_APP_TASK_THREAD_H

#include "app/task.h"

struct task_thread;
struct task_thread_options {
    struct task_options task;
    struct journal *journal; /* borrowed; outlives the thread */
    struct sink *sink;       /* taken: closed when the thread is freed */
    /* NULL, or taken: task.shared is meant then; partitions are those that the group gives. */
    struct kafka_member *member;
    void (*on_end)(void *ctx); /* NULL, or called by the thread when task_thread_ended has become true */
    void *on_end_ctx;
};
/* Loads the task in the caller's thread, so that what is refused is refused before anything runs; then starts. */
enum err_class task_thread_start(const struct task_thread_options *options, struct task_thread **ret_thread,
                                 struct err *err);
void task_thread_drain(struct task_thread *t); /* end when all that the journal holds now is committed */
void task_thread_stop(struct task_thread *t);  /* end now: commit what was read, no more */
bool task_thread_ended(struct task_thread *t,
                       struct err *ret_err); /* true once over; ret_err: why, cls ERR_NONE if asked to */
const struct field_set *task_thread_fields(const struct task_thread *t); /* task_fields; any thread */
void task_thread_retune(struct task_thread *t, int64_t commit_every_us); /* another trigger from now on; any thread */
void task_thread_keep(void *thread, int64_t *ret_keep, uint32_t partitions);
void task_thread_free(struct task_thread *t); /* stops, joins, frees; NULL is fine */

#endif
