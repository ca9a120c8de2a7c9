/* SPDX-License-Identifier: MIT
 *
 * Against minute() and fold() of tests/oracle/recovery_model.py, written down again here, and against counting rows one
 * by one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/hash.h"
#include "base/tally.h"

#include <stdlib.h>

static const int64_t fold_us = (int64_t)32 * US_PER_DAY;

/* The model's words: time and clock in seconds there, in microseconds here. */
static int64_t model_minute(int64_t time, int64_t clock, int64_t skew)
{
    if (time == TIME_NONE) {
        return TALLY_NO_TIME;
    }
    if (clock != TIME_NONE && time > clock + skew) {
        return TALLY_AHEAD;
    }
    int64_t minute = floor_div(time, US_PER_MINUTE);
    return clock != TIME_NONE && minute < floor_div(clock - fold_us, US_PER_MINUTE) ? TALLY_OLDER : minute;
}

static void R12_minutes_by_hand(void **state)
{
    (void)state;
    const int64_t clock = 100 * US_PER_DAY + 30 * US_PER_SECOND, skew = US_PER_MINUTE;
    const int64_t now = 100 * 1440;
    assert_int_equal(tally_minute(clock, clock, skew), now);
    assert_int_equal(tally_minute(clock + skew, clock, skew), now + 1);
    assert_int_equal(tally_minute(clock + skew + 1, clock, skew), TALLY_AHEAD);
    assert_int_equal(tally_minute((now - TALLY_KEEP_MINUTES) * US_PER_MINUTE, clock, skew), now - TALLY_KEEP_MINUTES);
    assert_int_equal(tally_minute((now - TALLY_KEEP_MINUTES) * US_PER_MINUTE - 1, clock, skew), TALLY_OLDER);
    assert_int_equal(tally_minute(TIME_NONE, clock, skew), TALLY_NO_TIME);
    assert_int_equal(tally_minute(0, TIME_NONE, skew), 0);
    assert_int_equal(tally_minute(TIME_END - 1, TIME_NONE, skew), (TIME_END - 1) / US_PER_MINUTE);
}

static int64_t random_time(struct rng *rng)
{
    switch (rng_below(rng, 6)) {
    case 0:
        return TIME_NONE;
    case 1:
        return (int64_t)rng_below(rng, (uint64_t)TIME_END);
    default: /* near each other, and near the edges */
        return 400 * US_PER_DAY + (int64_t)rng_below(rng, 5) * fold_us / 4 +
               (int64_t)rng_below(rng, 180) * US_PER_SECOND + (int64_t)rng_below(rng, 2);
    }
}

static void R12_minutes_as_the_model(void **state)
{
    (void)state;
    uint64_t seed = hash_random_seed();
    print_message("# seed %llu\n", (unsigned long long)seed);
    struct rng rng;
    rng_init(&rng, seed);
    for (int round = 0; round < 200000; round++) {
        int64_t time = random_time(&rng), clock = random_time(&rng);
        int64_t skew = (int64_t)rng_below(&rng, 2) * US_PER_MINUTE;
        assert_int_equal(tally_minute(time, clock, skew), model_minute(time, clock, skew));
    }
}

static int64_t sum_of(const struct tally *t, int by, int64_t minute, int bucket)
{
    int64_t sum = 0;
    for (size_t i = 0; i < t->count; i++) {
        const struct tally_row *r = &t->rows[i];
        sum += (by < 0 || (int)r->by == by) && (minute == INT64_MIN + 7 || r->minute == minute) &&
                       (bucket < 0 || r->bucket == bucket)
                   ? r->count
                   : 0;
    }
    return sum;
}

/* Booking takes a short cut where a record repeats the minute before it. */
static void R12_booked_by_its_minutes(void **state)
{
    (void)state;
    uint64_t seed = hash_random_seed();
    print_message("# seed %llu\n", (unsigned long long)seed);
    struct rng rng;
    rng_init(&rng, seed);
    AUTO(tally) struct tally t = {0}, want = {0};
    int64_t event = 0, arrival = 0, clock = 0, skew = 0;
    for (int i = 0; i < 200000; i++) {
        bool jump = rng_below(&rng, 3) == 0;
        uint8_t bucket = (uint8_t)rng_below(&rng, 10);
        event = jump ? random_time(&rng) : event;
        arrival = jump ? random_time(&rng) : arrival;
        clock = rng_below(&rng, 3) == 0 ? random_time(&rng) : clock;
        skew = (int64_t)rng_below(&rng, 2) * US_PER_MINUTE;
        tally_book(&t, bucket, event, arrival, clock, skew);
        tally_add(&want, TALLY_EVENT, tally_minute(event, clock, skew), bucket, 1);
        tally_add(&want, TALLY_ARRIVAL, tally_minute(arrival, clock, skew), bucket, 1);
        if (t.count > 300) {
            tally_clear(&t);
            tally_clear(&want);
        }
        assert_int_equal(t.count, want.count);
        for (size_t n = 0; n < t.count; n++) {
            assert_int_equal(t.rows[n].minute, want.rows[n].minute);
            assert_int_equal(t.rows[n].count, want.rows[n].count);
        }
    }
}

/* Each (by, minute, bucket) has one row, and it holds what was added. */
static void rows_hold_what_was_added(void **state)
{
    (void)state;
    enum { MINUTES = 700, BUCKETS = 12 };
    static int64_t want[2][MINUTES][BUCKETS];
    static bool touched[2][MINUTES][BUCKETS];
    uint64_t seed = hash_random_seed();
    print_message("# seed %llu\n", (unsigned long long)seed);
    struct rng rng;
    rng_init(&rng, seed);
    AUTO(tally) struct tally t = {0};
    for (int round = 0; round < 4; round++) {
        memset(want, 0, sizeof want);
        memset(touched, 0, sizeof touched);
        size_t cells = 0;
        uint64_t spread = round % 2 ? MINUTES : 3; /* many rows, then few, then many again */
        for (int i = 0; i < 50000; i++) {
            uint64_t by = rng_below(&rng, 2), minute = rng_below(&rng, spread), bucket = rng_below(&rng, BUCKETS);
            int64_t count = (int64_t)rng_below(&rng, 4);
            tally_add(&t, (enum tally_by)by, (int64_t)minute - 300, (uint8_t)bucket, count);
            want[by][minute][bucket] += count;
            cells += !touched[by][minute][bucket];
            touched[by][minute][bucket] = true;
        }
        size_t rows = 0;
        for (size_t i = 0; i < t.count; i++) {
            const struct tally_row *r = &t.rows[i];
            assert_int_equal(r->count, want[r->by][r->minute + 300][r->bucket]);
            for (size_t k = 0; k < i && t.count < 100; k++) {
                assert_false(t.rows[k].by == r->by && t.rows[k].minute == r->minute && t.rows[k].bucket == r->bucket);
            }
            rows++;
        }
        assert_int_equal(rows, cells);
        tally_clear(&t);
        assert_int_equal(t.count, 0);
    }
}

static void R12_a_record_is_booked_on_both_sides(void **state)
{
    (void)state;
    AUTO(tally) struct tally t = {0};
    const int64_t clock = 100 * US_PER_DAY;
    tally_book(&t, 3, clock - US_PER_MINUTE, clock, clock, 0);
    tally_book(&t, 3, clock + 1, clock, clock, 0);
    tally_book(&t, 5, TIME_NONE, TIME_NONE, clock, 0);
    assert_int_equal(sum_of(&t, TALLY_EVENT, 144000 - 1, 3), 1);
    assert_int_equal(sum_of(&t, TALLY_EVENT, TALLY_AHEAD, 3), 1);
    assert_int_equal(sum_of(&t, TALLY_ARRIVAL, 144000, 3), 2);
    assert_int_equal(sum_of(&t, TALLY_ARRIVAL, TALLY_NO_TIME, 5), 1);
    assert_int_equal(sum_of(&t, TALLY_EVENT, INT64_MIN + 7, -1), 3);
    assert_int_equal(sum_of(&t, TALLY_ARRIVAL, INT64_MIN + 7, -1), 3);
}

static void R12_fold_as_the_model(void **state)
{
    (void)state;
    uint64_t seed = hash_random_seed();
    print_message("# seed %llu\n", (unsigned long long)seed);
    struct rng rng;
    rng_init(&rng, seed);
    for (int round = 0; round < 200; round++) {
        AUTO(tally) struct tally t = {0}, whole = {0};
        int64_t clock = 400 * US_PER_DAY;
        tally_add(&t, TALLY_ARRIVAL, TALLY_NO_TIME, 1, 3); /* what is no minute stays what it is */
        tally_add(&t, TALLY_ARRIVAL, TALLY_AHEAD, 1, 4);
        for (int i = 0; i < 200; i++) {
            clock += (int64_t)rng_below(&rng, (uint64_t)US_PER_DAY);
            int64_t time = clock - (int64_t)rng_below(&rng, (uint64_t)(2 * fold_us));
            tally_add(&t, TALLY_EVENT, tally_minute(time, clock, 0), (uint8_t)rng_below(&rng, 8), 1);
            tally_fold(&t, clock);
            tally_add(&whole, TALLY_EVENT, floor_div(time, US_PER_MINUTE), 0, 1);
        }
        int64_t older = 0; /* by the last clock alone: folding step by step ends where folding once does */
        for (size_t i = 0; i < whole.count; i++) {
            bool old = whole.rows[i].minute < floor_div(clock - fold_us, US_PER_MINUTE);
            older += old ? whole.rows[i].count : 0;
            if (!old) {
                assert_int_equal(sum_of(&t, TALLY_EVENT, whole.rows[i].minute, -1), whole.rows[i].count);
            }
        }
        assert_int_equal(sum_of(&t, TALLY_EVENT, TALLY_OLDER, -1), older);
        assert_int_equal(sum_of(&t, TALLY_EVENT, INT64_MIN + 7, -1), 200);
        assert_int_equal(sum_of(&t, TALLY_ARRIVAL, TALLY_NO_TIME, 1), 3);
        assert_int_equal(sum_of(&t, TALLY_ARRIVAL, TALLY_AHEAD, 1), 4);
        tally_fold(&t, TIME_NONE);
        assert_int_equal(sum_of(&t, TALLY_EVENT, INT64_MIN + 7, -1), 200);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(R12_minutes_by_hand),
        cmocka_unit_test(R12_minutes_as_the_model),
        cmocka_unit_test(R12_booked_by_its_minutes),
        cmocka_unit_test(rows_hold_what_was_added),
        cmocka_unit_test(R12_a_record_is_booked_on_both_sides),
        cmocka_unit_test(R12_fold_as_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
