/* SPDX-License-Identifier: MIT
 *
 * queue.h - a bounded queue between threads that moves ownership of pointers. Full means wait: pressure goes back.
 */
#ifndef WIKITALLY_BASE_QUEUE_H
#define WIKITALLY_BASE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct queue;

struct queue *queue_new(size_t capacity);
void queue_free(struct queue *q); /* NULL is fine; what is still inside belongs to the caller: drain first */
/* Any thread. Waits for room at most timeout_us (monotonic; < 0: for ever). Takes item on true. False: closed, or time
 * is over; the item is still the caller's. */
bool queue_push(struct queue *q, void *item, int64_t timeout_us);
/* Any thread. Waits for an item. NULL: closed and empty, or time is over (then queue_closed() is false). */
void *queue_pop(struct queue *q, int64_t timeout_us);
void queue_close(struct queue *q); /* no more pushes; pops still drain; wakes all; returns at once */
bool queue_closed(struct queue *q);
size_t queue_length(struct queue *q);

#endif
