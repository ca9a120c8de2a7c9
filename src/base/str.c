/* SPDX-License-Identifier: MIT
 *
 * str.c - slices of bytes.
 */
#include "base/str.h"

#include "base/err.h"
#include "base/utf8.h"

#include <stdio.h>

int str_cmp(struct str a, struct str b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common ? memcmp(a.ptr, b.ptr, common) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str str_trim(struct str s)
{
    while (s.len > 0 && is_blank(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && is_blank(s.ptr[s.len - 1])) {
        s.len--;
    }
    return s;
}

/* Stands for the empty part behind a last separator: "a," has two parts, though nothing is left of it. */
static const char one_more_part[1];

bool str_split(struct str *rest, char at, struct str *ret_part)
{
    if (rest->len == 0) {
        bool more = rest->ptr == one_more_part;
        if (more) {
            *ret_part = str_n(one_more_part, 0);
            *rest = str_n(NULL, 0);
        }
        return more;
    }
    const char *end = memchr(rest->ptr, at, rest->len);
    size_t len = end ? (size_t)(end - rest->ptr) : rest->len;
    *ret_part = str_n(rest->ptr, len);
    size_t left = end ? rest->len - len - 1 : 0;
    *rest = left ? str_n(end + 1, left) : str_n(end ? one_more_part : NULL, 0);
    return true;
}

bool str_to_int64(struct str s, int64_t *ret_value)
{
    bool negative = s.len > 0 && s.ptr[0] == '-';
    size_t at = negative;
    if (at == s.len) {
        return false;
    }
    int64_t value = 0; /* collected below zero, where there is room for INT64_MIN */
    for (; at < s.len; at++) {
        unsigned digit = (unsigned)(unsigned char)s.ptr[at] - '0';
        if (digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, (int64_t)digit, &value)) {
            return false;
        }
    }
    if (!negative && value == INT64_MIN) {
        return false;
    }
    *ret_value = negative ? value : -value;
    return true;
}

char *str_dup(struct str s)
{
    char *z = xmalloc(s.len + 1);
    if (s.len) {
        memcpy(z, s.ptr, s.len);
    }
    z[s.len] = '\0';
    return z;
}

bool str_is_utf8(struct str s)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    size_t left = s.len;
    while (left > 0) {
        while (left >= 16 && !((word_load((const char *)p) | word_load((const char *)p + 8)) & WORD_HIGHS)) {
            p += 16;
            left -= 16;
        }
        if (left == 0) {
            break;
        }
        do { /* other scripts come in runs: no looking for ASCII between their letters */
            uint32_t point;
            size_t step = utf8_step(p, left, &point);
            if (step == 0) {
                return false;
            }
            p += step;
            left -= step;
        } while (left > 0 && *p >= 0x80);
    }
    return true;
}

/* What a terminal may act on: C0, DEL, C1, line and paragraph separators, marks that turn the direction of text. */
static bool is_harmful(uint32_t point)
{
    return point < 0x20 || (point >= 0x7f && point < 0xa0) || point == 0x061c || (point >= 0x200e && point <= 0x200f) ||
           (point >= 0x2028 && point <= 0x202e) || (point >= 0x2066 && point <= 0x2069) || point == 0xfeff;
}

size_t printable_step(const unsigned char *p, size_t left, char out[PRINTABLE_STEP_MAX], size_t *ret_out)
{
    uint32_t point;
    size_t step = utf8_step(p, left, &point);
    if (step > 0 && !is_harmful(point)) {
        memcpy(out, p, step);
        *ret_out = step;
        return step;
    }
    bool is_byte = step <= 1;
    int len = is_byte ? snprintf(out, PRINTABLE_STEP_MAX, "\\x%02x", (unsigned)*p)
                      : snprintf(out, PRINTABLE_STEP_MAX, "\\u{%04x}", (unsigned)point);
    *ret_out = (size_t)len;
    return is_byte ? 1 : step;
}
