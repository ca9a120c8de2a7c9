/* SPDX-License-Identifier: MIT
 *
 * queue.c - a ring of pointers, one lock, two conditions on the monotonic clock.
 */
#include "base/queue.h"

#include "base/clock.h"
#include "base/condition.h"
#include "base/err.h"

#include <stdlib.h>

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t has_item, has_room;
    size_t capacity, first, length;
    bool closed;
    void *items[];
};

struct queue *queue_new(size_t capacity)
{
    ensure(capacity > 0 && capacity < SIZE_MAX / 16);
    struct queue *q = xcalloc(1, sizeof *q + capacity * sizeof *q->items);
    pthread_mutex_init(&q->lock, NULL);
    condition_init(&q->has_item);
    condition_init(&q->has_room);
    q->capacity = capacity;
    return q;
}

void queue_free(struct queue *q)
{
    if (!q) {
        return;
    }
    pthread_cond_destroy(&q->has_item);
    pthread_cond_destroy(&q->has_room);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

/* Below 0: never. */
static int64_t deadline_of(int64_t timeout_us)
{
    const int64_t far_us = 365 * US_PER_DAY;
    return timeout_us < 0 ? -1 : clock_mono(&clock_real) + (timeout_us < far_us ? timeout_us : far_us);
}

/* Under the lock. False when the time is over. */
static bool wait_until(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t deadline_us)
{
    return deadline_us < 0 ? pthread_cond_wait(condition, lock) == 0 : condition_wait(condition, lock, deadline_us);
}

bool queue_push(struct queue *q, void *item, int64_t timeout_us)
{
    ensure(item);
    int64_t deadline_us = deadline_of(timeout_us);
    pthread_mutex_lock(&q->lock);
    while (!q->closed && q->length == q->capacity && wait_until(&q->has_room, &q->lock, deadline_us)) {
    }
    bool fits = !q->closed && q->length < q->capacity;
    if (fits) {
        q->items[(q->first + q->length++) % q->capacity] = item;
        pthread_cond_signal(&q->has_item);
    }
    pthread_mutex_unlock(&q->lock);
    return fits;
}

void *queue_pop(struct queue *q, int64_t timeout_us)
{
    int64_t deadline_us = deadline_of(timeout_us);
    void *item = NULL;
    pthread_mutex_lock(&q->lock);
    while (!q->closed && q->length == 0 && wait_until(&q->has_item, &q->lock, deadline_us)) {
    }
    if (q->length > 0) {
        item = q->items[q->first];
        q->first = (q->first + 1) % q->capacity;
        q->length--;
        pthread_cond_signal(&q->has_room);
    }
    pthread_mutex_unlock(&q->lock);
    return item;
}

void queue_close(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_cond_broadcast(&q->has_item);
    pthread_cond_broadcast(&q->has_room);
    pthread_mutex_unlock(&q->lock);
}

bool queue_closed(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    bool closed = q->closed;
    pthread_mutex_unlock(&q->lock);
    return closed;
}

size_t queue_length(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    size_t length = q->length;
    pthread_mutex_unlock(&q->lock);
    return length;
}
