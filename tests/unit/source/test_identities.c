/* SPDX-License-Identifier: MIT
 *
 * test_identities.c - what is known and until when (R3), bounded (R13).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"
#include "source/identities.h"

static const int64_t horizon = 120 * US_PER_SECOND;

static struct identity id_of(uint64_t n)
{
    return (struct identity){n, n * 77};
}

static enum err_class add(struct identities *t, uint64_t n, size_t clock, int64_t since_us)
{
    struct identity id = id_of(n);
    return identities_add(t, &id, 1, clock, since_us, (struct identity_place){0, (int64_t)n}, NULL);
}

static void R3_known_for_exactly_the_horizon(void **state)
{
    (void)state;
    struct identities *t = identities_new(1000, 0, horizon);
    add(t, 1, 1, 1000);
    assert_true(identities_known(t, id_of(1))); /* the clock has shown nothing yet */
    identities_move(t, 1, 1000 + horizon);
    assert_true(identities_known(t, id_of(1)));
    identities_move(t, 1, 1000 + horizon + 1);
    assert_false(identities_known(t, id_of(1)));
    assert_false(identities_known(t, id_of(2)));
    identities_free(t);
}

static void R3_each_topic_has_its_own_clock(void **state)
{
    (void)state;
    struct identities *t = identities_new(1000, 0, horizon);
    add(t, 1, 1, 1000);
    add(t, 2, 2, 1000);
    identities_move(t, 1, 1000);
    identities_move(t, 2, 1000 + horizon * 100); /* the other topic goes on for hours: nothing is forgotten here */
    assert_true(identities_known(t, id_of(1)));
    assert_false(identities_known(t, id_of(2)));
    identities_move(t, 1, 10); /* a clock never goes back */
    assert_int_equal(identities_now(t, 1), 1000);
    identities_free(t);
}

static void R3_newest_are_known_however_the_clock_jumps(void **state)
{
    (void)state;
    struct identities *t = identities_new(1000, 3, horizon);
    for (uint64_t i = 1; i <= 5; i++) {
        add(t, i, 1, (int64_t)i);
    }
    identities_move(t, 1, horizon * 1000);
    assert_false(identities_known(t, id_of(2)));
    for (uint64_t i = 3; i <= 5; i++) {
        assert_true(identities_known(t, id_of(i)));
    }
    identities_free(t);
}

static void R13_full_table_stops_admission(void **state)
{
    (void)state;
    struct identities *t = identities_new(500, 0, horizon);
    struct err err = {0};
    uint64_t n = 1;
    struct identity id = id_of(n);
    while (n < 1000 && !identities_add(t, &id, 1, 1, 0, (struct identity_place){0, 0}, &err)) {
        id = id_of(++n);
    }
    assert_in_range(n, 501, 500 + 500 / 16 + 2); /* looked at when it is swept: up to a sixteenth more */
    assert_int_equal(err.cls, ERR_FATAL);
    assert_non_null(strstr(err.text, "identities is full"));
    identities_move(t, 1, horizon + 1); /* all of it has expired: there is room again */
    assert_int_equal(add(t, 1001, 1, horizon + 1), ERR_NONE);
    assert_true(identities_known(t, id_of(1001)));
    assert_false(identities_known(t, id_of(500)));
    identities_free(t);
}

/* Against the definition, with sweeps in between. */
static void R3_random_against_the_definition(void **state)
{
    (void)state;
    enum { NAMES = 3000, CLOCKS = 3 };
    static struct {
        size_t clock;
        int64_t since, number;
    } names[NAMES];
    uint64_t seed = hash_random_seed();
    print_message("# seed %llu\n", (unsigned long long)seed);
    struct rng rng;
    rng_init(&rng, seed);
    struct identities *t = identities_new(100000, 40, horizon);
    int64_t now[CLOCKS], count[CLOCKS] = {0};
    for (size_t i = 0; i < CLOCKS; i++) {
        now[i] = TIME_NONE;
    }
    memset(names, 0, sizeof names);
    for (int step = 0; step < 40000; step++) {
        size_t n = rng_below(&rng, NAMES), clock = rng_below(&rng, CLOCKS);
        int64_t time = (int64_t)step * US_PER_SECOND / 20 - (int64_t)rng_below(&rng, 3) * US_PER_SECOND;
        bool known =
            names[n].number && (count[names[n].clock] - names[n].number < 40 || now[names[n].clock] == TIME_NONE ||
                                now[names[n].clock] - names[n].since <= horizon);
        assert_int_equal(identities_known(t, id_of(n)), known);
        if (!known) {
            assert_int_equal(add(t, n, clock, time), ERR_NONE);
            names[n].clock = clock;
            names[n].since = time;
            names[n].number = ++count[clock];
        }
        if (rng_below(&rng, 3) == 0) {
            identities_move(t, clock, time);
            now[clock] = time > now[clock] ? time : now[clock];
        }
    }
    identities_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(R3_known_for_exactly_the_horizon),
        cmocka_unit_test(R3_each_topic_has_its_own_clock),
        cmocka_unit_test(R3_newest_are_known_however_the_clock_jumps),
        cmocka_unit_test(R13_full_table_stops_admission),
        cmocka_unit_test(R3_random_against_the_definition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
