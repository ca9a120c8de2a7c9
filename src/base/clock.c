/* SPDX-License-Identifier: MIT
 *
 * clock.c - the system's clocks, and one that tests move.
 */
#include "base/clock.h"

#include <errno.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * US_PER_SECOND + now.tv_nsec / 1000;
}

static int64_t real_wall_us(struct clock *clock)
{
    (void)clock;
    return read_clock(CLOCK_REALTIME);
}

static int64_t real_mono_us(struct clock *clock)
{
    (void)clock;
    return read_clock(CLOCK_MONOTONIC);
}

static void real_sleep_us(struct clock *clock, int64_t us)
{
    (void)clock;
    if (us <= 0) {
        return;
    }
    struct timespec rest = {.tv_sec = us / US_PER_SECOND, .tv_nsec = us % US_PER_SECOND * 1000};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &rest, &rest) == EINTR) {
    }
}

struct clock clock_real = {.wall_us = real_wall_us, .mono_us = real_mono_us, .sleep_us = real_sleep_us};

static struct clock_manual *manual(struct clock *clock)
{
    return (struct clock_manual *)clock; /* base is the first member */
}

static int64_t manual_wall_us(struct clock *clock)
{
    return manual(clock)->wall;
}

static int64_t manual_mono_us(struct clock *clock)
{
    return manual(clock)->mono;
}

static void manual_sleep_us(struct clock *clock, int64_t us)
{
    if (us > 0) {
        clock_manual_move(manual(clock), us);
    }
}

void clock_manual_init(struct clock_manual *c, int64_t wall_us)
{
    *c = (struct clock_manual){
        .base = {.wall_us = manual_wall_us, .mono_us = manual_mono_us, .sleep_us = manual_sleep_us},
        .wall = wall_us,
    };
}

void clock_manual_move(struct clock_manual *c, int64_t us)
{
    c->wall += us;
    c->mono += us;
}
