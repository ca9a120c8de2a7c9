/* SPDX-License-Identifier: MIT
 *
 * task_tail.c - records that are gone from the journal's end (R12). A hole in the middle is met by the lane when the
 * record behind it comes (compute/hole.c). Behind a hole at the end there is none: without this its records would be
 * "in flight" until the source brings something new, which a recorded file never does.
 */
#include "app/task_private.h"

static enum err_class tail_close(struct task *t, uint32_t p, int64_t from, struct err *err)
{
    int64_t head, end;
    struct journal_page page = {0};
    arena_reset(&t->page_memory);
    enum err_class cls = journal_reader_bounds(t->reader, p, &head, &end, err);
    if (cls == ERR_NONE && from < end) { /* the end first: what is appended in between is found, or lies behind it */
        cls = journal_reader_read(t->reader, p, from, 1, &t->page_memory, &page, err);
    }
    if (cls != ERR_NONE || from >= end || page.count > 0) {
        return cls;
    }
    /* Once more: a topic's end may have been marks only, which the look has shown. */
    int64_t again = end;
    cls = journal_reader_bounds(t->reader, p, &head, &again, err);
    end = again < end ? again : end;
    if (cls != ERR_NONE || from >= end) {
        return cls;
    }
    for (size_t i = 0; i < t->aggregation_count; i++) {
        lane_hole_at_end(t->aggregations[i].lanes[p], end, clock_wall(t->clock));
    }
    return ERR_NONE;
}

enum err_class task_tail(struct task *t, struct err *err)
{
    enum err_class cls = ERR_NONE;
    for (uint32_t p = 0; cls == ERR_NONE && t->loaded && p < t->partitions; p++) {
        if (t->options.shared && !task_has(t, p)) {
            continue;
        }
        int64_t from = task_next(t, p);
        cls = from < t->ends[p] ? tail_close(t, p, from, err) : ERR_NONE;
    }
    return cls;
}
