/* SPDX-License-Identifier: MIT
 *
 * memory.h - inside of the memory sink: what memory.c writes and memory_results.c reads (private to this room).
 */
#ifndef WIKITALLY_SINK_MEMORY_H
#define WIKITALLY_SINK_MEMORY_H

#include "sink/shared.h"

struct memory_row {
    int64_t generation, epoch, created_us;
    uint32_t partition;
    size_t key_count, measure_count;
    struct result_row row; /* points into block */
    void *block;           /* owned */
};

struct memory_lane {
    int64_t generation;
    uint32_t partition;
    struct task_line line; /* version 0: nothing stored; points into line_memory */
    struct arena line_memory;
    struct tally_row *tally;
    size_t tally_count, tally_cap;
    struct torn_span *torn;
    size_t torn_count, torn_cap;
    struct mark *marks; /* topics in mark_memory; offsets rise */
    size_t mark_count, mark_cap;
    struct arena mark_memory;
};

struct memory_aggregation {
    struct arena memory;         /* schema and generations */
    struct result_schema schema; /* a copy: the sink outlives restarts of its task */
    struct generation *generations;
    size_t generation_count, generation_cap;
    int64_t shown;
    struct memory_row *rows;
    size_t row_count, row_cap;
    uint32_t *slots; /* open addressing over rows; index + 1, 0 is empty */
    size_t slot_count;
    struct memory_lane **lanes;
    size_t lane_count, lane_cap;
};

struct memory_sink {
    struct sink base; /* first */
    char *task;
    struct memory_aggregation **aggregations; /* all ever prepared */
    size_t aggregation_count;
    struct memory_aggregation **prepared; /* by index in the schemas of the last prepare */
    size_t prepared_count;
    struct dead_letter *dead; /* texts in dead_memory; stage and reason too */
    size_t dead_count, dead_cap;
    struct arena dead_memory;
};

/* Makes room for one more; `p` a pointer to an array of T. */
#define GROW(p, count, cap)                                                                                            \
    do {                                                                                                               \
        if ((count) == (cap)) {                                                                                        \
            (cap) = (cap) ? (cap)*2 : 16;                                                                              \
            (p) = xrealloc((p), (cap) * sizeof *(p));                                                                  \
        }                                                                                                              \
    } while (0)

extern const struct sink_ops memory_sink_ops;

#endif
