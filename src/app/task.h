/* SPDX-License-Identifier: MIT
 *
 * task.h - a task (design.md section 2): a journal reader, its aggregations, one sink, its own positions. Steppable, so
 * that tests can crash it between any two steps; the program's threads are in task_thread.c. Recovery and generations
 * (R10, R15) follow class World.load / generation / adopt of tests/oracle/recovery_model.py.
 */
#ifndef WIKITALLY_APP_TASK_H
#define WIKITALLY_APP_TASK_H

#include "app/ahead.h"
#include "compute/lane.h"
#include "journal/journal.h"
#include "sink/sink.h"

struct task_options {
    const char *name; /* "results" */
    const struct aggregation_options *aggregations;
    size_t aggregation_count;
    int64_t retention_us;      /* the journal's; 0 unknown */
    int64_t commit_every_us;   /* trigger: 1 s (R8); bounds how long rows wait */
    size_t max_pending_rows;   /* at this many dirty rows (lane_dirty_rows) task_read reads nothing until a commit takes
                                  them: 60,000 */
    int64_t max_keys_total;    /* over all windows and aggregations (R9): 2,000,000; beyond it the task stops with
                                  EXIT_CONFIG. (What goes to (other) must be a function of the journal, and how many
                                  windows  are in memory is not: after a restart some that had closed are not rebuilt.) */
    bool adopt;                /* R15 --adopt: another journal, a cut tail, a definition that was replaced before */
    struct clock *clock;       /* NULL: the real one */
    struct handover *handover; /* batches that need not be read from the journal; borrowed; NULL: none */
    struct journal *journal;   /* of the reader: its pages are read ahead on a thread; NULL: when they are needed */
    bool shared;               /* it is one of several instances: partitions come and go (task_assign) */
    struct kafka_member *member; /* shared: who we are to the cluster; borrowed; may be NULL */
};

struct task;
/* Checks the declarations and prepares the sink. Reader and sink are borrowed, outlive the task, and are used by this
 * thread only, but for task_commit_store; the sink's schemas are the task's: after task_free the sink may only be
 * closed. Zero limits: defaults.
 */
enum err_class task_new(const struct task_options *options, struct journal_reader *reader, struct sink *sink,
                        struct task **ret_task, struct err *err);
void task_free(struct task *t);
/* All that the aggregations read. The task's; not changed any more. */
const struct field_set *task_fields(const struct task *t);
/* What a start does for all partitions: finds or begins generations, checks the journal (EXIT_CONFIG unless adopt),
 * makes lanes (shared: not yet). EXIT_CONFIG also for a changed definition (the text says which lines), unless its
 * on_change is rebuild. May be called again, after EXIT_FENCED for example: what is in memory is dropped first. */
enum err_class task_load(struct task *t, struct err *err);
/* Shared only, with no commit on its way: these partitions are ours from now on (those that are not any more were
 * revoked). Reads anew where they stand, finds or begins generations (begins: only who has partition 0), replays what
 * their open windows need (R10). Those that stay keep what is in memory. ERR_RETRY: to be called again, nothing is read
 * until then. */
enum err_class task_assign(struct task *t, const bool *owned, struct err *err);
/* Shared only, with no commit on its way: what is in memory of a partition is dropped. */
void task_revoke(struct task *t, uint32_t partition);
/* Reads up to max_records of a partition and feeds them. *ret_read: how many; 0 also while a commit is due first. A
 * partition that the journal got since the load gets its lanes here. Shared: nothing of what is not ours. */
enum err_class task_read(struct task *t, uint32_t partition, size_t max_records, size_t *ret_read, struct err *err);
/* To be called when task_read finds nothing more: where the journal's last records were taken out (journal repair),
 * books them as a gap (R12), for a record after them may never come. */
enum err_class task_tail(struct task *t, struct err *err);
/* A commit in steps, so that the task can read on while it is stored.
 *
 * take: all that may be committed becomes a commit's, unless two are on their way. */
void task_commit_take(struct task *t);
/* The older one is to be stored; *ret_any false: there is none. ERR_RETRY: to be called again. */
enum err_class task_commit_next(struct task *t, bool *ret_any, struct err *err);
/* Stores it. Of any one thread; the task's own may read, feed and take meanwhile, and nothing else. ERR_RETRY: not now.
 * ERR_FATAL/EXIT_FENCED: another owner. */
enum err_class task_commit_store(struct task *t, struct err *err);
/* What store returned. ERR_FATAL: what is in memory is dropped. */
void task_commit_end(struct task *t, enum err_class stored);
/* All of it, and those that could not be stored before. */
enum err_class task_commit(struct task *t, struct err *err);
/* Offsets per partition below which the journal may forget: min(replay_from, position - 1); any thread. Before the
 * first load: 0 = keep all; after a refused one INT64_MAX: offsets of another journal hold back nothing (R15). */
void task_keep(struct task *t, int64_t *ret_keep, uint32_t partitions);
/* Of the task's thread, after a load. */
void task_lane_state(const struct task *t, size_t aggregation, uint32_t partition, struct lane_state *ret_state);
size_t task_rows(const struct task *t); /* changed since the last commit */
bool task_full(const struct task *t);   /* so much waits for a commit that task_read gives nothing until then */
bool task_at_end(struct task *t);       /* every lane has committed up to the journal's end as last seen */

#endif
