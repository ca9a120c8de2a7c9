/* SPDX-License-Identifier: MIT
 *
 * handover.c - see handover.h. A short list of batches, oldest first; a batch goes when the task has asked for
 * something behind it in every partition.
 */
#include "app/handover.h"

#include "base/clock.h"
#include "base/condition.h"
#include "base/err.h"

#include <stdlib.h>

enum { LOOK_US = 100000 };

struct span { /* the part of one partition: [first, end) */
    int64_t first, end;
    const struct record *records; /* in memory */
    const struct value *const *values;
};

struct handed_batch {
    struct handed_batch *next;
    struct arena memory;
    struct span spans[]; /* one per partition */
};

struct handover {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t partitions;
    size_t max_bytes, bytes;
    int64_t wait_us;
    struct handed_batch *first, **last;
    int64_t *done;     /* per partition: the task is through with what lies below */
    struct span *soon; /* per partition: announced, and not settled yet; empty: none */
    bool following;    /* the task lives on what is here */
};

struct handover *handover_new(uint32_t partitions, size_t max_bytes, int64_t wait_us)
{
    struct handover *h = xcalloc(1, sizeof *h);
    pthread_mutex_init(&h->lock, NULL);
    condition_init(&h->changed);
    h->partitions = partitions;
    h->max_bytes = max_bytes ? max_bytes : HANDOVER_BYTES;
    h->wait_us = wait_us ? wait_us : HANDOVER_WAIT_US;
    h->last = &h->first;
    h->done = xcalloc(partitions, sizeof *h->done);
    h->soon = xcalloc(partitions, sizeof *h->soon);
    return h;
}

static void batches_free(struct handed_batch *b)
{
    while (b) {
        struct handed_batch *next = b->next;
        arena_fini(&b->memory);
        free(b);
        b = next;
    }
}

void handover_free(struct handover *h)
{
    if (!h) {
        return;
    }
    batches_free(h->first);
    pthread_cond_destroy(&h->changed);
    pthread_mutex_destroy(&h->lock);
    free(h->done);
    free(h->soon);
    free(h);
}

/* ---- the ingester */

static void spans_of(const struct handover *h, const struct batch *b, struct span *spans)
{
    memset(spans, 0, h->partitions * sizeof *spans);
    for (size_t i = 0; i < b->record_count; i++) {
        const struct record *r = &b->records[i];
        struct span *s = &spans[r->partition];
        s->first = s->end ? s->first : r->offset;
        s->end = r->offset + 1;
    }
}

static bool has_room(const struct handover *h)
{
    return h->bytes < h->max_bytes;
}

/* With a look at *stopping now and then, which wakes nobody. */
static void room_wait(struct handover *h, const atomic_bool *stopping)
{
    const struct handed_batch *oldest = h->first;
    int64_t waited_us = 0;
    while (!has_room(h) && h->following && !atomic_load(stopping)) {
        int64_t until_us = clock_mono(&clock_real) + LOOK_US;
        waited_us += condition_wait(&h->changed, &h->lock, until_us) ? 0 : LOOK_US;
        if (h->first != oldest) {
            oldest = h->first;
            waited_us = 0;
        }
        h->following = h->following && waited_us < h->wait_us;
    }
}

void handover_announce(struct handover *h, const struct batch *b, const atomic_bool *stopping)
{
    if (!b->values) {
        return;
    }
    pthread_mutex_lock(&h->lock);
    room_wait(h, stopping);
    spans_of(h, b, h->soon);
    pthread_mutex_unlock(&h->lock);
}

/* In order of partition and offset, whatever the order in the batch. */
static void records_sort(const struct handover *h, const struct batch *b, struct handed_batch *mine)
{
    struct record *records = arena_alloc(&mine->memory, b->record_count * sizeof *records);
    const struct value **values = arena_alloc(&mine->memory, b->record_count * sizeof(*values));
    size_t at = 0;
    for (uint32_t p = 0; p < h->partitions; p++) {
        struct span *s = &mine->spans[p];
        s->records = records + at;
        s->values = values + at;
        at += (size_t)(s->end - s->first);
    }
    ensure(at == b->record_count);
    for (size_t i = 0; i < b->record_count; i++) {
        const struct span *s = &mine->spans[b->records[i].partition];
        size_t place = (size_t)(s->records - records) + (size_t)(b->records[i].offset - s->first);
        records[place] = b->records[i];
        values[place] = b->values[i];
    }
}

static struct handed_batch *batch_take(const struct handover *h, const struct batch *b)
{
    struct handed_batch *mine = xcalloc(1, sizeof *mine + h->partitions * sizeof *mine->spans);
    mine->memory = *b->memory;
    *b->memory = (struct arena){0};
    spans_of(h, b, mine->spans);
    records_sort(h, b, mine);
    return mine;
}

void handover_settle(struct handover *h, const struct batch *b, bool given)
{
    if (!b->values) {
        return;
    }
    pthread_mutex_lock(&h->lock);
    bool room = has_room(h);
    pthread_mutex_unlock(&h->lock);
    struct handed_batch *mine = given && room && b->record_count > 0 ? batch_take(h, b) : NULL;
    pthread_mutex_lock(&h->lock);
    memset(h->soon, 0, h->partitions * sizeof *h->soon);
    if (mine) {
        *h->last = mine;
        h->last = &mine->next;
        h->bytes += mine->memory.used_bytes;
    }
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
}

/* ---- the task */

static bool batch_done(const struct handover *h, const struct handed_batch *b)
{
    for (uint32_t p = 0; p < h->partitions; p++) {
        if (b->spans[p].end > h->done[p]) {
            return false;
        }
    }
    return true;
}

/* Takes what is done off the list. -> it, to be freed without the lock. */
static struct handed_batch *batches_drop(struct handover *h)
{
    struct handed_batch *done = h->first, **end = &done;
    while (*end && batch_done(h, *end)) {
        h->bytes -= (*end)->memory.used_bytes;
        end = &(*end)->next;
    }
    h->first = *end;
    h->last = h->first ? h->last : &h->first;
    *end = NULL;
    return done;
}

static bool span_has(const struct span *s, int64_t offset)
{
    return s->first <= offset && offset < s->end;
}

bool handover_take(struct handover *h, uint32_t partition, int64_t from, size_t max, struct handed *ret)
{
    struct handed_batch *b;
    if (partition >= h->partitions) {
        return false;
    }
    pthread_mutex_lock(&h->lock);
    h->done[partition] = from > h->done[partition] ? from : h->done[partition];
    struct handed_batch *done = batches_drop(h);
    pthread_cond_broadcast(&h->changed);
    while (span_has(&h->soon[partition], from)) {
        pthread_cond_wait(&h->changed, &h->lock);
    }
    for (b = h->first; b && !span_has(&b->spans[partition], from); b = b->next) {
    }
    h->following = b != NULL;
    pthread_mutex_unlock(&h->lock);
    batches_free(done);
    if (!b) {
        return false;
    }
    const struct span *s = &b->spans[partition];
    size_t skip = (size_t)(from - s->first), left = (size_t)(s->end - from);
    *ret = (struct handed){s->records + skip, s->values + skip, left < max ? left : max};
    return true;
}
