/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"

#include <regex.h>
#include <stdio.h>
#include <time.h>

/* RFC 3339 by a regular expression and by counting days one after the other: shares nothing with ours. */
static bool slow_rfc3339(const char *text, int64_t *ret_us)
{
    static regex_t pattern;
    static bool compiled;
    static int64_t days_of_year[10000];
    if (!compiled) {
        assert_int_equal(
            regcomp(&pattern,
                    "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$",
                    REG_EXTENDED),
            0);
        int64_t days = -719528; /* of 0000-01-01 */
        for (int year = 0; year < 10000; year++) {
            days_of_year[year] = days;
            days += (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 366 : 365;
        }
        compiled = true;
    }
    if (regexec(&pattern, text, 0, NULL, 0) != 0) {
        return false;
    }
    int year, month, day, hour, minute, second;
    assert_int_equal(sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d", &year, &month, &day, &hour, &minute, &second), 6);
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    const int lengths[] = {31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (month < 1 || month > 12 || day < 1 || day > lengths[month - 1] || hour > 23 || minute > 59 || second > 59) {
        return false;
    }
    int64_t days = days_of_year[year] + day - 1;
    for (int m = 1; m < month; m++) {
        days += lengths[m - 1];
    }
    int64_t us = ((days * 24 + hour) * 60 + minute) * 60000000 + (int64_t)second * 1000000;
    const char *at = text + 19;
    if (*at == '.') {
        char digits[7] = "000000";
        at++;
        for (int i = 0; *at >= '0' && *at <= '9'; at++, i++) {
            if (i < 6) {
                digits[i] = *at;
            }
        }
        int fraction;
        assert_int_equal(sscanf(digits, "%d", &fraction), 1);
        us += fraction;
    }
    if (*at != 'Z') {
        int east_hour, east_minute;
        assert_int_equal(sscanf(at + 1, "%2d:%2d", &east_hour, &east_minute), 2);
        if (east_hour > 23 || east_minute > 59) {
            return false;
        }
        us -= (*at == '-' ? -1 : 1) * ((int64_t)east_hour * 60 + east_minute) * 60000000;
    }
    *ret_us = us;
    return true;
}

static void check_same(const char *text)
{
    int64_t ours = 1, theirs = 1;
    bool good = time_parse_rfc3339(str_of(text), &ours);
    bool want = slow_rfc3339(text, &theirs);
    if (good != want || ours != theirs) {
        fail_msg("\"%s\": %d %lld, slowly: %d %lld", text, good, (long long)ours, want, (long long)theirs);
    }
}

static void rfc3339_by_hand(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t us;
    } good[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-05-05T18:59:59.123456789Z", 1778007599123456},
        {"2000-02-29T23:59:59.9+00:00", 951868799900000},
        {"2016-12-31T23:59:59-01:30", 1483234199 * US_PER_SECOND},
        {"0000-01-01T00:00:00Z", INT64_C(-62167219200) * US_PER_SECOND},
        {"9999-01-01T00:00:00Z", TIME_END},
    };
    static const char *const bad[] = {
        "",
        "2026-05-05T18:59:59",
        "2026-05-05t18:59:59Z",
        "2026-05-05T18:59:59z",
        "2026-05-05 18:59:59Z",
        "2026-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2016-12-31T23:59:60Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00.1234567890Z",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+0000",
        "2026-01-01T00:00:00+00:60",
        "2026-01-01T00:00:00ZZ",
        "2026-01-01T00:00:00Z ",
        " 2026-01-01T00:00:00Z",
        "+2026-1-01T00:00:00Z",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        int64_t us;
        assert_true(time_parse_rfc3339(str_of(good[i].text), &us));
        assert_int_equal(us, good[i].us);
        check_same(good[i].text);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t us = 42;
        assert_false(time_parse_rfc3339(str_of(bad[i]), &us));
        assert_int_equal(us, 42);
        check_same(bad[i]);
    }
}

static void rfc3339_equals_the_slow_one(void **state)
{
    (void)state;
    uint64_t seed = hash_random_seed();
    print_message("# seed %llu\n", (unsigned long long)seed);
    struct rng rng;
    rng_init(&rng, seed);
    for (int round = 0; round < 100000; round++) {
        char text[80];
        int len = snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d", (int)rng_below(&rng, 10000),
                           (int)rng_below(&rng, 14), (int)rng_below(&rng, 33), (int)rng_below(&rng, 25),
                           (int)rng_below(&rng, 61), (int)rng_below(&rng, 61));
        if (rng_below(&rng, 2)) {
            len += snprintf(text + len, sizeof text - (size_t)len, ".%0*d", (int)rng_below(&rng, 11),
                            (int)rng_below(&rng, 1000));
        }
        if (rng_below(&rng, 2)) {
            len += snprintf(text + len, sizeof text - (size_t)len, "Z");
        } else {
            len += snprintf(text + len, sizeof text - (size_t)len, "%c%02d:%02d", rng_below(&rng, 2) ? '+' : '-',
                            (int)rng_below(&rng, 25), (int)rng_below(&rng, 61));
        }
        if (rng_below(&rng, 5) == 0) { /* one byte wrong */
            text[rng_below(&rng, (uint64_t)len)] = (char)(' ' + rng_below(&rng, 95));
        }
        check_same(text);
    }
}

/* Every valid time comes back from its text; the calendar agrees with the C library's. */
static void format_and_parse_round_trip(void **state)
{
    (void)state;
    uint64_t seed = hash_random_seed();
    print_message("# seed %llu\n", (unsigned long long)seed);
    struct rng rng;
    rng_init(&rng, seed);
    AUTO(buf) struct buf b = {0};
    for (int round = 0; round < 50000; round++) {
        int64_t us = (int64_t)rng_below(&rng, (uint64_t)TIME_END), back;
        us -= rng_below(&rng, 2) ? us % US_PER_SECOND : 0;
        buf_clear(&b);
        time_format(&b, us);
        assert_true(time_parse_rfc3339(buf_str(&b), &back));
        assert_int_equal(back, us);
        time_t seconds = (time_t)(us / US_PER_SECOND);
        struct tm broken;
        char want[64];
        assert_non_null(gmtime_r(&seconds, &broken));
        strftime(want, sizeof want, "%Y-%m-%dT%H:%M:%S", &broken);
        assert_memory_equal(b.ptr, want, 19);
        buf_clear(&b);
        time_format_ms(&b, us);
        assert_int_equal(b.len, 24);
        assert_true(time_parse_rfc3339(buf_str(&b), &back));
        assert_int_equal(back, us - us % 1000);
    }
    buf_clear(&b);
    time_format(&b, TIME_NONE);
    time_format(&b, -1);
    time_format_ms(&b, 1999);
    assert_string_equal(b.ptr, "-1969-12-31T23:59:59.999999Z1970-01-01T00:00:00.001Z");
}

static void what_people_type(void **state)
{
    (void)state;
    const int64_t now = 1000000 * US_PER_SECOND;
    static const struct {
        const char *text;
        int64_t us;
    } good[] = {
        {"now", 1000000 * US_PER_SECOND},        {"now-15m", 999100 * US_PER_SECOND}, {"15m", 999100 * US_PER_SECOND},
        {"now+1h", 1003600 * US_PER_SECOND},     {"1970-01-02", US_PER_DAY},          {"86400", US_PER_DAY},
        {"1970-01-01T00:00:01Z", US_PER_SECOND},
    };
    static const char *const bad[] = {"",         "now-", "now15m",       "yesterday",  "1970-01-32", "-1",
                                      "1970-1-2", "30d",  "253370764800", "9999-01-01", "15",         "1.5"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        int64_t us;
        assert_true(time_parse_human(str_of(good[i].text), now, &us));
        assert_int_equal(us, good[i].us);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t us;
        if (strcmp(bad[i], "15") == 0) { /* seconds since the epoch */
            assert_true(time_parse_human(str_of(bad[i]), now, &us));
            continue;
        }
        assert_false(time_parse_human(str_of(bad[i]), now, &us));
    }
}

static void durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t us;
    } good[] = {{"60", 60 * US_PER_SECOND},
                {"500ms", 500000},
                {"90s", 90 * US_PER_SECOND},
                {"2m", 120 * US_PER_SECOND},
                {"1h", 3600 * US_PER_SECOND},
                {"7d", 7 * US_PER_DAY},
                {"250us", 250},
                {"0", 0},
                {"999999999s", 999999999 * US_PER_SECOND}};
    static const char *const bad[] = {"",      "s",   "1.5s",        "-1s",        "1 s", "1S",           "1w",
                                      "1h30m", "+1s", "1000000000s", "999999999d", "1e3", "\xef\xbc\x91s"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        int64_t us;
        assert_true(duration_parse(str_of(good[i].text), &us));
        assert_int_equal(us, good[i].us);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t us;
        assert_false(duration_parse(str_of(bad[i]), &us));
    }
    AUTO(buf) struct buf b = {0};
    static const int64_t shown[] = {120, 90, 3600, 86400, 0, 61};
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        duration_format(&b, shown[i] * US_PER_SECOND);
        buf_addc(&b, ' ');
    }
    duration_format(&b, 500000);
    buf_addc(&b, ' ');
    duration_format(&b, 250);
    assert_string_equal(b.ptr, "2m 90s 1h 1d 0s 61s 500ms 250us");
}

static void sizes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t bytes;
    } good[] = {{"4096", 4096},
                {"1KiB", 1024},
                {"64MiB", 64 << 20},
                {"20GiB", (int64_t)20 << 30},
                {"1TiB", (int64_t)1 << 40},
                {"1kB", 1000},
                {"5MB", 5000000},
                {"2GB", 2000000000},
                {"7B", 7},
                {"0", 0}};
    static const char *const bad[] = {"",   "KiB",    "1kib",          "1K",    "1M",
                                      "-1", "1.5GiB", "9000000000TiB", "1 GiB", "9999999999999999999"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        int64_t bytes;
        assert_true(size_parse(str_of(good[i].text), &bytes));
        assert_int_equal(bytes, good[i].bytes);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t bytes;
        assert_false(size_parse(str_of(bad[i]), &bytes));
    }
}

static void round_trips(void **state)
{
    (void)state;
    uint64_t seed = hash_random_seed();
    print_message("# seed %llu\n", (unsigned long long)seed);
    struct rng rng;
    rng_init(&rng, seed);
    static const int64_t scales[] = {1, 1000, 1024, 1000000, 60000000, 3600000000, 1 << 20, 1 << 30};
    AUTO(buf) struct buf b = {0};
    for (int round = 0; round < 20000; round++) {
        int64_t value = (int64_t)rng_below(&rng, 100000) * scales[rng_below(&rng, 8)], back;
        buf_clear(&b);
        size_format(&b, value);
        assert_true(size_parse(buf_str(&b), &back));
        assert_int_equal(back, value);
        value %= 999999999;
        buf_clear(&b);
        duration_format(&b, value);
        assert_true(duration_parse(buf_str(&b), &back));
        assert_int_equal(back, value);
    }
}

static void manual_clock(void **state)
{
    (void)state;
    struct clock_manual manual;
    clock_manual_init(&manual, 5 * US_PER_DAY);
    struct clock *c = &manual.base;
    assert_int_equal(clock_wall(c), 5 * US_PER_DAY);
    int64_t mono = clock_mono(c);
    c->sleep_us(c, 7);
    c->sleep_us(c, -7);
    clock_manual_move(&manual, 3);
    assert_int_equal(clock_wall(c), 5 * US_PER_DAY + 10);
    assert_int_equal(clock_mono(c), mono + 10);
    int64_t before = clock_mono(&clock_real);
    clock_real.sleep_us(&clock_real, 2000);
    assert_true(clock_mono(&clock_real) - before >= 2000);
    assert_int_equal(floor_div(-1, 60), -1);
    assert_int_equal(floor_div(-60, 60), -1);
    assert_int_equal(floor_div(59, 60), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc3339_by_hand),
        cmocka_unit_test(rfc3339_equals_the_slow_one),
        cmocka_unit_test(format_and_parse_round_trip),
        cmocka_unit_test(what_people_type),
        cmocka_unit_test(durations),
        cmocka_unit_test(sizes),
        cmocka_unit_test(round_trips),
        cmocka_unit_test(manual_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
