/* SPDX-License-Identifier: MIT
 *
 * kafka.h - inside of the sink that writes rows to topics (private to this room).
 *
 * One topic an aggregation. A record is a row as it is now (R8): key and value are JSON text.
 *
 *   key    ["2026-06-01T00:00:00Z",["enwiki","Title"],0]     window's start, group key, shard (the journal's partition)
 *   value  {"aggregation":"titles","window_start":"...","window_end":"...","key":["enwiki","Title"],"wiki":"enwiki",
 *           "title":"Title","count":3,"shard":0,"revision":730,"final":true,"epoch":0,"generation":0}
 *
 * Columns have the names that results.db has; a column that has none is null. A later record of the same key replaces
 * the earlier one; its (generation, epoch, revision, final) is higher. `window_end` and the times are RFC 3339, UTC.
 *
 * Where the task stands goes into the same transaction: STATE, one partition, compacted, with the keys
 *   claim, claim/INSTANCE        who writes (kafka/claim.h)
 *   batch, batch/INSTANCE        lines batch=NUMBER, owner=OWNER: its last transaction
 *   generation/AGGREGATION/N     lines NAME=VALUE, the definition last
 *   shown/AGGREGATION            the number of the generation that readers should use
 *   line/AGGREGATION/N/PARTITION lines NAME=VALUE: struct task_line
 */
#ifndef WIKITALLY_SINK_KAFKA_H
#define WIKITALLY_SINK_KAFKA_H

#include "base/buf.h"
#include "kafka/admin.h"
#include "kafka/claim.h"
#include "kafka/feed.h"
#include "kafka/member.h"
#include "kafka/writer.h"
#include "sink/shared.h"

enum { KAFKA_WAIT_US = 3000000, KAFKA_COMMIT_US = 15000000 };

struct kafka_lane {
    int64_t generation;
    uint32_t partition;
    struct task_line line; /* in memory */
    struct arena memory;
};

struct kafka_aggregation {
    char *name, *topic;
    int64_t record_max;                 /* bytes of key and value that the topic takes, without compression */
    const struct result_schema *schema; /* the caller's */
    struct arena memory;                /* of generations */
    struct generation *generations;     /* by number */
    size_t generation_count;
    int64_t shown;
    struct kafka_lane **lanes;
    size_t lane_count;
};

enum { KAFKA_POISON_MAX = 256 };
struct kafka_poison {
    uint64_t row;     /* of topic and key */
    int64_t until_us; /* monotonic: afterwards it is tried again */
};

struct kafka_sink {
    struct sink base; /* first */
    struct kafka_options client;
    char *brokers, *state_topic, *transactional_id, *claim_key, *batch_key;
    struct kafka_member *member; /* NULL: alone */
    int64_t joins;               /* of the member's, when it was looked who owns */
    char **properties;
    bool create;
    int64_t replication, retention_us;
    const struct sink_kafka_topic *given; /* until prepare */
    size_t given_count;
    struct kafka_aggregation *aggregations; /* by index of the schemas */
    size_t count;
    struct kafka_writer *writer;
    atomic_bool hurry;
    struct kafka_claim claim;
    char found_claim[KAFKA_OWNER_SIZE];
    int64_t read_to; /* of STATE, when it was read last */
    int64_t batch;
    bool claimed;
    struct kafka_poison poison[KAFKA_POISON_MAX]; /* rows that the cluster refuses, oldest first; kafka_poison.c */
    size_t poison_count, refusals;
    int64_t batch_bytes; /* that the topics take at once */
    bool dead_there;     /* the topic of dead letters is */
    int64_t tried;       /* number of the transaction whose outcome is not known; 0: none */
};

/* kafka.c */
void kafka_sink_limits(struct kafka_sink *s); /* looks again what the topics take */
enum err_class kafka_sink_ready(struct kafka_sink *s, struct err *err);
enum err_class kafka_sink_topic(struct kafka_sink *s, const char *name, const struct kafka_setting *settings,
                                size_t count, struct err *err);

/* kafka_poison.c (C-K9): a row that the cluster refuses would abort each transaction it is in. What is larger than its
 * topic takes is known before; for what is refused else is looked after some refusals of the same commit. It goes to
 * STATE.dead, in the same transaction as the others to their topics.
 *
 * What becomes of a refused commit: ERR_RETRY, to be stored again, or the refusal. */
enum err_class kafka_poison_refused(struct kafka_sink *s, const struct task_commit *commit, struct err *err);
/* Where the row goes: its topic, or STATE.dead with where it should have gone and why in headers. */
enum err_class kafka_poison_put(struct kafka_sink *s, const struct kafka_aggregation *a, const struct buf *key,
                                const struct buf *value, int64_t deadline_us, struct err *err);

/* kafka_text.c */
void kafka_row_key(const struct lane_commit *l, const struct result_row *row, struct buf *out);
void kafka_row_value(const struct kafka_aggregation *a, const struct lane_commit *l, const struct result_row *row,
                     struct buf *out);
void kafka_line_write(const struct task_line *line, struct buf *out);
bool kafka_line_read(struct str text, struct arena *arena, struct task_line *ret_line);
void kafka_generation_write(const struct generation *g, struct buf *out);
bool kafka_generation_read(struct str text, struct arena *arena, struct generation *ret_generation);

/* kafka_load.c: reads STATE anew into the aggregations; `undecided`: of several, up to what was being written when it
 * was called: ERR_RETRY while that is not decided. */
enum err_class kafka_sink_load(struct kafka_sink *s, bool undecided, struct err *err);
struct kafka_lane *kafka_lane_of(struct kafka_aggregation *a, int64_t generation, uint32_t partition, bool make);
void kafka_lane_set(struct kafka_lane *lane, const struct task_line *line);
void kafka_generation_set(struct kafka_aggregation *a, const struct generation *g);

#endif
