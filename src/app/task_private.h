/* SPDX-License-Identifier: MIT
 *
 * task_private.h - the inside of a task, shared by task.c (reading, committing), task_load.c (starting) and
 * task_dead.c.
 */
#ifndef WIKITALLY_APP_TASK_PRIVATE_H
#define WIKITALLY_APP_TASK_PRIVATE_H

#include "app/task.h"

#include <stdatomic.h>

enum { TASK_DEAD_MAX = 10000 }; /* dead letters that wait for one commit */
#define TASK_DEAD_BYTES_MAX ((size_t)64 << 20)

struct task_aggregation {
    struct aggregation *declared;
    enum on_change on_change;
    struct generation latest; /* in task.generation_memory */
    int64_t shown;            /* which one readers see */
    struct lane *lanes[PARTITION_MAX];
    int64_t done[PARTITION_MAX]; /* farthest position of any generation at the load: dead letters below are written */
};

struct taken { /* a commit, and what it is in */
    struct task_commit commit;
    struct lane_commit *lanes; /* commit.lanes */
    struct arena memory, dead_memory;
};

struct task {
    struct task_options options;
    char *name;
    struct ahead *ahead; /* NULL: none */
    struct field_set *fields;
    struct value *values; /* of one record */
    struct task_aggregation *aggregations;
    size_t aggregation_count;
    const struct result_schema **schemas;
    struct journal_reader *reader;
    struct sink *sink;
    struct clock *clock;

    struct journal_info journal; /* as of the load */
    bool loaded;
    uint32_t partitions; /* behind the last that has lanes; shared: some may have none */
    bool exhausted[PARTITION_MAX];
    int64_t ends[PARTITION_MAX];
    int64_t looked_us; /* shared: when the sink was asked for others' lines */
    struct arena generation_memory, page_memory;

    struct taken commits[2]; /* those that are on their way */
    size_t commit_first, commit_count;

    struct arena dead_memory;
    struct dead_letter *dead; /* found since the last commit, each record once */
    size_t dead_count, dead_cap;

    _Atomic int64_t keep[PARTITION_MAX];
};

/* task.c */
int64_t task_next(const struct task *t, uint32_t partition); /* the lowest offset that a lane has not read */
bool task_has(const struct task *t, uint32_t partition);     /* lanes of it */
void task_keep_publish(struct task *t, uint32_t partition);  /* R13: what task_keep() says, from the stored lines */

void task_progress_tell(struct task *t); /* of the slowest lane of each partition */

/* task_load.c */
enum err_class task_lanes_add(struct task *t, uint32_t partition, struct err *err);
void task_lanes_drop(struct task *t);
struct generation_begin generation_begin_of(const struct generation *g, uint32_t partition);

/* task_dead.c: books the dead letter of a record unless it was written before. */
void task_dead_add(struct task *t, const struct decoded *d, size_t time_field, enum dead_reason reason);
bool task_dead_full(const struct task *t);
void task_dead_take(struct task *t, struct taken *c); /* they are the commit's then */
void task_dead_clear(struct task *t);

/* task_metrics.c: after a commit. */
void task_metrics(struct task *t, const struct task_commit *commit);

#endif
