/* SPDX-License-Identifier: MIT
 *
 * queue.c - a ring of pointers, one lock, two conditions on the monotonic clock.
 */
#include "base/queue.h"

#include "base/clock.h"
#include "base/err.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t has_item, has_room;
    size_t capacity, first, length;
    bool closed;
    void *items[];
};

static void condition_init(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    ensure(pthread_cond_init(condition, &attributes) == 0);
    pthread_condattr_destroy(&attributes);
}

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

static struct timespec deadline_of(int64_t timeout_us)
{
    const int64_t far_us = 365 * US_PER_DAY;
    int64_t at = clock_mono(&clock_real) + (timeout_us < far_us ? timeout_us : far_us);
    return (struct timespec){.tv_sec = at / US_PER_SECOND, .tv_nsec = at % US_PER_SECOND * 1000};
}

/* Under the lock. False when the time is over. */
static bool wait_until(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t timeout_us,
                       const struct timespec *deadline)
{
    if (timeout_us < 0) {
        return pthread_cond_wait(condition, lock) == 0;
    }
    return pthread_cond_timedwait(condition, lock, deadline) == 0;
}

bool queue_push(struct queue *q, void *item, int64_t timeout_us)
{
    ensure(item);
    struct timespec deadline = timeout_us < 0 ? (struct timespec){0} : deadline_of(timeout_us);
    pthread_mutex_lock(&q->lock);
    while (!q->closed && q->length == q->capacity && wait_until(&q->has_room, &q->lock, timeout_us, &deadline)) {
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
    struct timespec deadline = timeout_us < 0 ? (struct timespec){0} : deadline_of(timeout_us);
    void *item = NULL;
    pthread_mutex_lock(&q->lock);
    while (!q->closed && q->length == 0 && wait_until(&q->has_item, &q->lock, timeout_us, &deadline)) {
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
