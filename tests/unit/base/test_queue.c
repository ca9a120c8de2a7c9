/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/queue.h"

#include <pthread.h>
#include <stdlib.h>

static int items[4];

static void first_in_first_out(void **state)
{
    (void)state;
    struct queue *q = queue_new(2);
    assert_true(queue_push(q, &items[0], 0));
    assert_true(queue_push(q, &items[1], 0));
    assert_false(queue_push(q, &items[2], 0));
    assert_int_equal(queue_length(q), 2);
    assert_ptr_equal(queue_pop(q, 0), &items[0]);
    assert_true(queue_push(q, &items[2], 0));
    assert_ptr_equal(queue_pop(q, 0), &items[1]);
    assert_ptr_equal(queue_pop(q, 0), &items[2]);
    assert_null(queue_pop(q, 0));
    assert_false(queue_closed(q));
    queue_free(q);
    queue_free(NULL);
}

static void waits_end_in_time(void **state)
{
    (void)state;
    struct queue *q = queue_new(1);
    int64_t began = clock_mono(&clock_real);
    assert_null(queue_pop(q, 20000));
    assert_true(queue_push(q, &items[0], -1));
    assert_false(queue_push(q, &items[1], 20000));
    int64_t took = clock_mono(&clock_real) - began;
    assert_true(took >= 40000 && took < 5 * US_PER_SECOND);
    queue_free(q);
}

static void close_drains(void **state)
{
    (void)state;
    struct queue *q = queue_new(4);
    assert_true(queue_push(q, &items[0], 0));
    queue_close(q);
    assert_false(queue_push(q, &items[1], -1));
    assert_ptr_equal(queue_pop(q, -1), &items[0]);
    assert_null(queue_pop(q, -1));
    assert_true(queue_closed(q));
    queue_free(q);
}

static void *pop_for_ever(void *q)
{
    return queue_pop(q, -1);
}

static void *push_for_ever(void *q)
{
    return queue_push(q, &items[1], -1) ? q : NULL;
}

static void close_wakes_all(void **state)
{
    (void)state;
    pthread_t threads[2];
    void *result;
    struct queue *empty = queue_new(1), *full = queue_new(1);
    assert_true(queue_push(full, &items[0], 0));
    assert_int_equal(pthread_create(&threads[0], NULL, pop_for_ever, empty), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, push_for_ever, full), 0);
    clock_real.sleep_us(&clock_real, 20000);
    queue_close(empty);
    queue_close(full);
    for (size_t i = 0; i < 2; i++) {
        pthread_join(threads[i], &result);
        assert_null(result);
    }
    queue_free(empty);
    queue_free(full);
}

enum { EACH = 20000, PRODUCERS = 3, CONSUMERS = 2 };
struct message {
    int producer, number;
};
struct consumer {
    struct queue *q;
    int last[PRODUCERS], count;
};
static struct queue *shared;

static void *produce(void *arg)
{
    for (int i = 1; i <= EACH; i++) {
        struct message *m = malloc(sizeof *m);
        *m = (struct message){(int)(intptr_t)arg, i};
        if (!queue_push(shared, m, -1)) {
            abort();
        }
    }
    return NULL;
}

/* Of each producer a consumer sees rising numbers. */
static void *consume(void *arg)
{
    struct consumer *c = arg;
    for (struct message *m; (m = queue_pop(c->q, -1));) {
        if (m->number <= c->last[m->producer]) {
            abort();
        }
        c->last[m->producer] = m->number;
        c->count++;
        free(m);
    }
    return NULL;
}

static void threads_lose_nothing(void **state)
{
    (void)state;
    shared = queue_new(7);
    pthread_t producers[PRODUCERS], consumers[CONSUMERS];
    struct consumer results[CONSUMERS] = {{.q = shared}, {.q = shared}};
    for (size_t i = 0; i < CONSUMERS; i++) {
        assert_int_equal(pthread_create(&consumers[i], NULL, consume, &results[i]), 0);
    }
    for (size_t i = 0; i < PRODUCERS; i++) {
        assert_int_equal(pthread_create(&producers[i], NULL, produce, (void *)(intptr_t)i), 0);
    }
    for (size_t i = 0; i < PRODUCERS; i++) {
        pthread_join(producers[i], NULL);
    }
    queue_close(shared);
    for (size_t i = 0; i < CONSUMERS; i++) {
        pthread_join(consumers[i], NULL);
    }
    assert_int_equal(results[0].count + results[1].count, EACH * PRODUCERS);
    assert_int_equal(queue_length(shared), 0);
    queue_free(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_in_first_out), cmocka_unit_test(waits_end_in_time),    cmocka_unit_test(close_drains),
        cmocka_unit_test(close_wakes_all),    cmocka_unit_test(threads_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
