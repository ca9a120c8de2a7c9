/* SPDX-License-Identifier: MIT
 *
 * condition.c - see condition.h.
 */
#include "base/condition.h"

#include "base/clock.h"
#include "base/err.h"

#include <time.h>

void condition_init(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    ensure(pthread_cond_init(condition, &attributes) == 0);
    pthread_condattr_destroy(&attributes);
}

bool condition_wait(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t until_us)
{
    struct timespec until = {.tv_sec = until_us / US_PER_SECOND, .tv_nsec = until_us % US_PER_SECOND * 1000};
    return pthread_cond_timedwait(condition, lock, &until) == 0;
}
