/* SPDX-License-Identifier: MIT
 *
 * log.c - one topic of one cluster: entries by index, offsets that may have holes, Kafka's look-up by time.
 */
#include "upstream/inside.h"

#include <stdlib.h>

void log_append(struct log *l, const struct entry *e)
{
    size_t count = (size_t)(l->end - l->base);
    if (count == l->cap && l->first - l->base > (int64_t)(l->cap / 2)) { /* more than half is gone: move down */
        memmove(l->entries, log_at(l, l->first), (size_t)(l->end - l->first) * sizeof(*l->entries));
        l->base = l->first;
        count = (size_t)(l->end - l->base);
    }
    if (count == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 1024;
        l->entries = xrealloc(l->entries, l->cap * sizeof(*l->entries));
    }
    l->entries[count] = *e;
    struct entry *mine = &l->entries[count];
    int64_t high = l->end > l->first ? log_at(l, l->end - 1)->high_ms : INT64_MIN;
    mine->high_ms = mine->timestamp_ms > high ? mine->timestamp_ms : high;
    l->bytes += (int64_t)mine->len;
    l->end++;
}

void log_drop_first(struct log *l)
{
    struct entry *e = log_at(l, l->first++);
    l->bytes -= (int64_t)e->len;
    free(e->text);
    e->text = NULL;
}

void log_fini(struct log *l)
{
    while (l->first < l->end) {
        log_drop_first(l);
    }
    free(l->entries);
    *l = (struct log){0};
}

/* due_us never falls, so this is a search for the first that is not due yet. */
int64_t log_available_end(const struct log *l, int64_t mono_us, int64_t *ret_next_due_us)
{
    int64_t low = l->first, high = l->end;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (log_at(l, middle)->due_us <= mono_us) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (ret_next_due_us && low < l->end && log_at(l, low)->due_us < *ret_next_due_us) {
        *ret_next_due_us = log_at(l, low)->due_us;
    }
    return low;
}

int64_t log_lookup(const struct log *l, int64_t ms, int64_t end, int64_t oldest_ms)
{
    int64_t low = l->first, high = end;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (log_at(l, middle)->high_ms >= ms) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    while (low < end && (log_at(l, low)->timestamp_ms < oldest_ms || log_at(l, low)->timestamp_ms < ms)) {
        low++;
    }
    return low;
}

int64_t log_find_offset(const struct log *l, int64_t offset, int64_t end)
{
    for (int64_t i = l->first; i < end; i++) {
        if (log_at(l, i)->offset >= offset) {
            return log_at(l, i)->offset == offset || i > l->first ? i : -1;
        }
    }
    return end > l->first && log_at(l, end - 1)->offset + 1 == offset ? end : -1;
}
