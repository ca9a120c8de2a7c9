/* SPDX-License-Identifier: MIT
 *
 * clock.h - the only way to ask what time it is. Tests move both clocks.
 *
 * Event and wall times are int64_t microseconds since 1970-01-01T00:00:00Z, UTC, no leap seconds; TIME_NONE says that
 * there is none. Deadlines use the monotonic clock (reliability.md B13: no timer follows the wall clock).
 */
#ifndef WIKITALLY_BASE_CLOCK_H
#define WIKITALLY_BASE_CLOCK_H

#include "base/buf.h"

#define TIME_NONE INT64_MIN
#define US_PER_MS ((int64_t)1000)
#define US_PER_SECOND ((int64_t)1000000)
#define US_PER_MINUTE (60 * US_PER_SECOND)
#define US_PER_DAY (1440 * US_PER_MINUTE)
#define TIME_END                                                                                                       \
    ((int64_t)253370764800 * US_PER_SECOND) /* 9999-01-01: valid times are 0 <= t < this (oracle.md section 3) */

struct clock {
    int64_t (*wall_us)(struct clock *clock);           /* wall clock, microseconds since the epoch */
    int64_t (*mono_us)(struct clock *clock);           /* monotonic, microseconds from an arbitrary start */
    void (*sleep_us)(struct clock *clock, int64_t us); /* real: nanosleep; manual: moves both clocks */
};

extern struct clock clock_real; /* thread-safe */

/* A clock that stands still until it is moved; for tests. One thread. */
struct clock_manual {
    struct clock base; /* first member: pass &manual.base */
    int64_t wall, mono;
};
void clock_manual_init(struct clock_manual *c, int64_t wall_us);
void clock_manual_move(struct clock_manual *c, int64_t us); /* both clocks */

static inline int64_t clock_wall(struct clock *c)
{
    return c->wall_us(c);
}
static inline int64_t clock_mono(struct clock *c)
{
    return c->mono_us(c);
}

/* RFC 3339 as oracle.md section 3 defines it: YYYY-MM-DDThh:mm:ss[.1-9 digits](Z|+hh:mm|-hh:mm), upper-case T and Z, a
 * real date, seconds 00-59, digits after the sixth cut off. Returns false for anything else; does not check the range.
 */
bool time_parse_rfc3339(struct str s, int64_t *ret_us);
/* UTC, six decimals only if not whole seconds (oracle.md section 7); TIME_NONE appends "-". */
void time_format(struct buf *b, int64_t us);
void time_format_ms(struct buf *b, int64_t us); /* always three decimals, as the stream's meta.dt */
/* What people type: RFC 3339, a date, epoch seconds, "now", "now-15m", "15m" (= now-15m). */
bool time_parse_human(struct str s, int64_t now_us, int64_t *ret_us);
/* "60" (seconds), "500ms", "90s", "2m", "1h", "7d"; whole numbers of at most 9 digits. */
bool duration_parse(struct str s, int64_t *ret_us);
void duration_format(struct buf *b, int64_t us); /* the largest unit that divides it: "2m", "90s", "500ms", "250us" */
/* "20GiB", "64MiB", "1KiB", "4096"; also kB, MB, GB of 1000. */
bool size_parse(struct str s, int64_t *ret_bytes);
void size_format(struct buf *b, int64_t bytes);

static inline int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
} /* b > 0 */

#endif
