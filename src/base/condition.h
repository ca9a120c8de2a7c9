/* SPDX-License-Identifier: MIT
 *
 * condition.h - condition variables whose waits have an end by the monotonic clock.
 */
#ifndef WIKITALLY_BASE_CONDITION_H
#define WIKITALLY_BASE_CONDITION_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

void condition_init(pthread_cond_t *condition);
/* Holding `lock`, as pthread_cond_timedwait(); `until_us`: of clock_mono(&clock_real). False: it is that late, and
 * nobody woke us. */
bool condition_wait(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t until_us);

#endif
