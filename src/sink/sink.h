/* SPDX-License-Identifier: MIT
 *
 * sink.h - where results go (front header of this room, with results.h for reading). Implementations: sqlite.c
 * (results.db), kafka.c (topics), memory.c.
 *
 * A sink keeps, in one atomic unit (R11): rows, lines, task ledger, torn spans, marks, generations, dead letters. It
 * belongs to one task's thread. Repeating any call is harmless: rows are upserted, the higher (epoch, revision, final)
 * wins, lines move by compare-and-set.
 */
#ifndef WIKITALLY_SINK_SINK_H
#define WIKITALLY_SINK_SINK_H

#include "base/arena.h"
#include "base/err.h"
#include "base/result.h"

struct sink;

struct sink_ops {
    const char *name; /* "sqlite", "memory" */
    /* Makes what is missing (tables, columns, views). Called once, before all others. Schemas outlive the sink.
     * EXIT_CONFIG if what is there cannot hold a schema. May block for disk. */
    enum err_class (*prepare)(struct sink *s, const struct result_schema *const *schemas, size_t count,
                              struct err *err);
    /* All generations of an aggregation (in arena, by number; may be none), and which one readers see (-1: none). */
    enum err_class (*generations)(struct sink *s, size_t aggregation, struct arena *arena,
                                  const struct generation **ret_list, size_t *ret_count, int64_t *ret_shown,
                                  struct err *err);
    /* Stores a new generation (number = the last + 1); shown at once if `show`. */
    enum err_class (*begin)(struct sink *s, size_t aggregation, const struct generation *g, bool show, struct err *err);
    /* NULL, or: from now on this one writes, and whoever did before does not any more. After what is stored was found
     * fit to go on from, before lines are read; called again it does nothing. */
    enum err_class (*own)(struct sink *s, struct err *err);
    /* NULL: lines are nobody else's; or reads them anew, where others write some of them. ERR_RETRY: what others are
     * writing is not decided yet. */
    enum err_class (*refresh)(struct sink *s, struct err *err);
    /* The stored line, in arena. *ret_found false: nothing was ever committed. */
    enum err_class (*line)(struct sink *s, size_t aggregation, int64_t generation, uint32_t partition,
                           struct arena *arena, struct task_line *ret_line, bool *ret_found, struct err *err);
    /* All or nothing, durable on return. A lane whose stored version is not old_version, or whose generation is not the
     * last one: ERR_FATAL with EXIT_FENCED, nothing written. ERR_RETRY: busy or full, try again with the same commit.
     * Blocks for one fsync. */
    enum err_class (*commit)(struct sink *s, const struct task_commit *commit, struct err *err);
    /* NULL, or, of any thread: the end is near; what waits for another machine waits no longer than a moment. */
    void (*hurry)(struct sink *s);
    void (*close)(struct sink *s); /* NULL is fine */
};

struct sink {
    const struct sink_ops *ops; /* first member of every implementation */
};

struct sink_options {
    const char *directory; /* SQLite: results.db is in it (the caller holds the directory's lock) */
    const char *task;      /* name of the task: part of every stored key */
    struct clock *clock;
};
enum err_class sink_open_sqlite(const struct sink_options *options, struct sink **ret_sink, struct err *err);
/* Rows to topics, one an aggregation (sink/kafka.h says what a record is), and where the task stands to a topic of its
 * own, in the same transaction. Ledger, torn spans, marks and dead letters are not kept there. */
struct kafka_options;
struct kafka_member;
struct sink_kafka_topic {
    const char *aggregation, *topic;
};
struct sink_kafka_options {
    const struct kafka_options *client;
    const char *state_topic; /* also the name of the task to the cluster */
    /* One of several that share the partitions of a topic: under this name no two write at a time, and offsets go into
     * the transaction as this member of the group. NULL both: the only one. The member is borrowed, and outlives the
     * sink. */
    const char *instance;
    struct kafka_member *member;
    const struct sink_kafka_topic *topics; /* borrowed until prepare */
    size_t topic_count;
    bool create;
    int64_t replication;  /* of topics made; 0: the broker's default */
    int64_t retention_us; /* of rows, in topics made */
};
enum err_class sink_open_kafka(const struct sink_kafka_options *options, struct sink **ret_sink, struct err *err);
enum err_class sink_open_memory(const struct sink_options *options, struct sink **ret_sink, struct err *err);

#endif
