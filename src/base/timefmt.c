/* SPDX-License-Identifier: MIT
 *
 * timefmt.c - times, durations and sizes as text. Calendar arithmetic is Howard Hinnant's days_from_civil and
 * civil_from_days (proleptic Gregorian, years counted from March so that the leap day comes last).
 */
#include "base/clock.h"

static int64_t days_from_civil(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    int64_t era = floor_div(year, 400);
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (int64_t)(month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static void civil_from_days(int64_t days, int64_t *ret_year, unsigned *ret_month, unsigned *ret_day)
{
    days += 719468;
    int64_t era = floor_div(days, 146097);
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_from_march = (5 * day_of_year + 2) / 153;
    *ret_day = (unsigned)(day_of_year - (153 * month_from_march + 2) / 5 + 1);
    *ret_month = (unsigned)(month_from_march < 10 ? month_from_march + 3 : month_from_march - 9);
    *ret_year = year_of_era + era * 400 + (*ret_month <= 2);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool two_digits(const char *p, unsigned *ret_value)
{
    *ret_value = (unsigned)(p[0] - '0') * 10 + (unsigned)(p[1] - '0');
    return is_digit(p[0]) && is_digit(p[1]);
}

static unsigned days_in_month(unsigned year, unsigned month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap ? 1U : 0U);
}

/* "YYYY-MM-DD" at p -> days since the epoch. */
static bool parse_date(const char *p, int64_t *ret_days)
{
    unsigned century, year, month, day;
    if (!two_digits(p, &century) || !two_digits(p + 2, &year) || p[4] != '-' || !two_digits(p + 5, &month) ||
        p[7] != '-' || !two_digits(p + 8, &day)) {
        return false;
    }
    year += century * 100;
    if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month)) {
        return false;
    }
    *ret_days = days_from_civil(year, month, day);
    return true;
}

/* "hh:mm:ss" at p -> seconds of the day. */
static bool parse_day_time(const char *p, int64_t *ret_seconds)
{
    unsigned hour, minute, second;
    if (!two_digits(p, &hour) || p[2] != ':' || !two_digits(p + 3, &minute) || p[5] != ':' ||
        !two_digits(p + 6, &second)) {
        return false;
    }
    *ret_seconds = (int64_t)hour * 3600 + minute * 60 + second;
    return hour <= 23 && minute <= 59 && second <= 59;
}

/* "" or ".d{1,9}" at the front of *rest -> microseconds, cut off after the sixth digit. */
static bool parse_fraction(struct str *rest, int64_t *ret_us)
{
    *ret_us = 0;
    if (rest->len == 0 || rest->ptr[0] != '.') {
        return true;
    }
    size_t digits = 0;
    int64_t scale = 100000;
    while (1 + digits < rest->len && is_digit(rest->ptr[1 + digits])) {
        *ret_us += (rest->ptr[1 + digits] - '0') * scale;
        scale /= 10;
        digits++;
    }
    *rest = str_n(rest->ptr + 1 + digits, rest->len - 1 - digits);
    return digits >= 1 && digits <= 9;
}

/* "Z" or "+hh:mm" -> seconds east of UTC. */
static bool parse_zone(struct str s, int64_t *ret_seconds)
{
    if (s.len == 1 && s.ptr[0] == 'Z') {
        *ret_seconds = 0;
        return true;
    }
    unsigned hour, minute;
    if (s.len != 6 || (s.ptr[0] != '+' && s.ptr[0] != '-') || !two_digits(s.ptr + 1, &hour) || s.ptr[3] != ':' ||
        !two_digits(s.ptr + 4, &minute) || hour > 23 || minute > 59) {
        return false;
    }
    int64_t east = (int64_t)hour * 3600 + minute * 60;
    *ret_seconds = s.ptr[0] == '-' ? -east : east;
    return true;
}

bool time_parse_rfc3339(struct str s, int64_t *ret_us)
{
    int64_t days, seconds, fraction_us, east;
    if (s.len < 20 || s.ptr[10] != 'T' || !parse_date(s.ptr, &days) || !parse_day_time(s.ptr + 11, &seconds)) {
        return false;
    }
    struct str rest = str_n(s.ptr + 19, s.len - 19);
    if (!parse_fraction(&rest, &fraction_us) || !parse_zone(rest, &east)) {
        return false;
    }
    *ret_us = (days * 86400 + seconds - east) * US_PER_SECOND + fraction_us;
    return true;
}

static void put_digits(char *out, int64_t value, int count)
{
    while (count-- > 0) {
        out[count] = (char)('0' + value % 10);
        value /= 10;
    }
}

/* "YYYY-MM-DDThh:mm:ss", the year with as many digits as it has. -> the fraction left, in microseconds. */
static int64_t add_whole_seconds(struct buf *b, int64_t us)
{
    int64_t seconds = floor_div(us, US_PER_SECOND);
    int64_t days = floor_div(seconds, 86400);
    int64_t of_day = seconds - days * 86400;
    int64_t year;
    unsigned month, day;
    civil_from_days(days, &year, &month, &day);
    if (year < 0 || year > 9999) {
        buf_addf(b, "%+05lld", (long long)year);
    } else {
        char digits[4];
        put_digits(digits, year, 4);
        buf_add(b, str_n(digits, 4));
    }
    char rest[15] = "-MM-DDThh:mm:ss";
    put_digits(rest + 1, month, 2);
    put_digits(rest + 4, day, 2);
    put_digits(rest + 7, of_day / 3600, 2);
    put_digits(rest + 10, of_day / 60 % 60, 2);
    put_digits(rest + 13, of_day % 60, 2);
    buf_add(b, str_n(rest, sizeof rest));
    return us - seconds * US_PER_SECOND;
}

void time_format(struct buf *b, int64_t us)
{
    if (us == TIME_NONE) {
        buf_addc(b, '-');
        return;
    }
    int64_t fraction = add_whole_seconds(b, us);
    if (fraction) {
        char digits[7] = ".";
        put_digits(digits + 1, fraction, 6);
        buf_add(b, str_n(digits, 7));
    }
    buf_addc(b, 'Z');
}

void time_format_ms(struct buf *b, int64_t us)
{
    if (us == TIME_NONE) {
        buf_addc(b, '-');
        return;
    }
    char digits[5] = ".   Z";
    put_digits(digits + 1, add_whole_seconds(b, us) / 1000, 3);
    buf_add(b, str_n(digits, 5));
}

/* "now", "now-15m", "now+1h"; "15m" is "now-15m". */
static bool parse_relative(struct str s, int64_t now_us, int64_t *ret_us)
{
    int64_t distance = 0;
    bool ahead = false;
    if (str_starts(s, STR("now"))) {
        s = str_n(s.ptr + 3, s.len - 3);
        if (s.len > 0) {
            ahead = s.ptr[0] == '+';
            if ((!ahead && s.ptr[0] != '-') || !duration_parse(str_n(s.ptr + 1, s.len - 1), &distance)) {
                return false;
            }
        }
    } else if (!duration_parse(s, &distance)) {
        return false;
    }
    *ret_us = ahead ? now_us + distance : now_us - distance;
    return true;
}

bool time_parse_human(struct str s, int64_t now_us, int64_t *ret_us)
{
    int64_t us, count;
    if (time_parse_rfc3339(s, &us)) {
        /* done */
    } else if (s.len == 10 && s.ptr[4] == '-' && parse_date(s.ptr, &count)) {
        us = count * US_PER_DAY;
    } else if (str_to_int64(s, &count)) {
        if (count < 0 || count >= TIME_END / US_PER_SECOND) {
            return false;
        }
        us = count * US_PER_SECOND;
    } else if (!parse_relative(s, now_us, &us)) {
        return false;
    }
    if (us < 0 || us >= TIME_END) {
        return false;
    }
    *ret_us = us;
    return true;
}

/* ---- durations and sizes: a whole number and a unit */

struct unit {
    struct str name;
    int64_t scale;
};

static const struct unit durations[] = {
    {STR_INIT("d"), US_PER_DAY},    {STR_INIT("h"), 60 * US_PER_MINUTE}, {STR_INIT("m"), US_PER_MINUTE},
    {STR_INIT("s"), US_PER_SECOND}, {STR_INIT("ms"), US_PER_MS},         {STR_INIT("us"), 1},
};

static const struct unit sizes[] = {
    {STR_INIT("TiB"), (int64_t)1 << 40},
    {STR_INIT("GiB"), (int64_t)1 << 30},
    {STR_INIT("MiB"), (int64_t)1 << 20},
    {STR_INIT("KiB"), (int64_t)1 << 10},
    {STR_INIT("TB"), 1000000000000},
    {STR_INIT("GB"), 1000000000},
    {STR_INIT("MB"), 1000000},
    {STR_INIT("kB"), 1000},
    {STR_INIT("B"), 1},
};

enum {
    BINARY_SIZES = 4,
    ALL_SIZES = sizeof sizes / sizeof *sizes,
    ALL_DURATIONS = sizeof durations / sizeof *durations
};

static bool parse_quantity(struct str s, const struct unit *units, size_t count, int64_t bare_scale, size_t max_digits,
                           int64_t *ret_value)
{
    size_t digits = 0;
    while (digits < s.len && is_digit(s.ptr[digits])) {
        digits++;
    }
    int64_t number;
    if (digits == 0 || digits > max_digits || !str_to_int64(str_n(s.ptr, digits), &number)) {
        return false;
    }
    struct str name = str_n(s.ptr + digits, s.len - digits);
    int64_t scale = name.len == 0 ? bare_scale : 0;
    for (size_t i = 0; i < count && !scale; i++) {
        scale = str_eq(units[i].name, name) ? units[i].scale : 0;
    }
    int64_t value;
    if (!scale || __builtin_mul_overflow(number, scale, &value)) {
        return false;
    }
    *ret_value = value;
    return true;
}

bool duration_parse(struct str s, int64_t *ret_us)
{
    return parse_quantity(s, durations, ALL_DURATIONS, US_PER_SECOND, 9, ret_us);
}

bool size_parse(struct str s, int64_t *ret_bytes)
{
    return parse_quantity(s, sizes, ALL_SIZES, 1, 18, ret_bytes);
}

/* The number in the largest of the units (sorted, largest first) that divides it. */
static void format_quantity(struct buf *b, int64_t value, const struct unit *units, size_t count, struct str bare)
{
    const struct unit *unit = NULL;
    for (size_t i = 0; i < count && value != 0 && !unit; i++) {
        unit = value % units[i].scale == 0 ? &units[i] : NULL;
    }
    buf_add_int(b, unit ? value / unit->scale : value);
    buf_add(b, unit ? unit->name : bare);
}

void duration_format(struct buf *b, int64_t us)
{
    format_quantity(b, us, durations, ALL_DURATIONS, STR("s"));
}

void size_format(struct buf *b, int64_t bytes)
{
    format_quantity(b, bytes, sizes, BINARY_SIZES, STR(""));
}
