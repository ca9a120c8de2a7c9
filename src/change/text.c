/* SPDX-License-Identifier: MIT
 *
 * text.c - UTF-8 and the escapes of JSON strings.
 */
#include "text.h"

/* Length of the sequence whose first byte is not ASCII, 0 if it is none. The second byte alone decides about overlong
 * forms, surrogates and what is beyond U+10FFFF. */
static inline size_t sequence_len(const unsigned char *p, size_t left)
{
    if (p[0] < 0xe0) {
        return p[0] >= 0xc2 && left >= 2 && (p[1] & 0xc0) == 0x80 ? 2 : 0;
    }
    if (p[0] < 0xf0) {
        const unsigned low = p[0] == 0xe0 ? 0xa0 : 0x80, high = p[0] == 0xed ? 0x9f : 0xbf;
        return left >= 3 && p[1] >= low && p[1] <= high && (p[2] & 0xc0) == 0x80 ? 3 : 0;
    }
    const unsigned low = p[0] == 0xf0 ? 0x90 : 0x80, high = p[0] == 0xf4 ? 0x8f : 0xbf;
    return p[0] <= 0xf4 && left >= 4 && p[1] >= low && p[1] <= high && (p[2] & 0xc0) == 0x80 && (p[3] & 0xc0) == 0x80
               ? 4
               : 0;
}

/* How many ASCII bytes come first. */
static inline size_t ascii_len(const char *p, const char *end)
{
    const char *const begin = p;
    while (end - p >= 8) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        word &= UINT64_C(0x8080808080808080);
        if (word) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
            return (size_t)(p - begin) + (size_t)__builtin_ctzll(word) / 8;
#else
            break;
#endif
        }
        p += 8;
    }
    while (p < end && (unsigned char)*p < 0x80) {
        p++;
    }
    return (size_t)(p - begin);
}

/* The same as sequence_len() for most of the world's text, by one load: two and three bytes. 0: ask sequence_len(). */
static inline size_t common_len(const char *p)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    uint32_t word;
    memcpy(&word, p, sizeof word);
    if ((word & 0xc0e0) == 0x80c0) {
        return (word & 0x1e) ? 2 : 0; /* c0 and c1 are overlong */
    }
    if ((word & 0xc0c0f0) == 0x8080e0) {
        const uint32_t lead = word & 0x200f; /* e0 with a second byte below a0, or ed with one above 9f: not here */
        return lead != 0 && lead != 0x200d ? 3 : 0;
    }
#else
    (void)p;
#endif
    return 0;
}

const char *text_bad_utf8(const char *p, const char *end)
{
    for (p += ascii_len(p, end); p < end; p += ascii_len(p, end)) {
        do {
            size_t len = end - p >= 4 ? common_len(p) : 0;
            if (len == 0) {
                len = sequence_len((const unsigned char *)p, (size_t)(end - p));
            }
            if (len == 0) {
                return p;
            }
            p += len;
        } while (p < end && (unsigned char)*p >= 0x80);
    }
    return NULL;
}

static inline int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    const char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

int text_hex4(const char *p)
{
    int value = 0;
    for (int i = 0; i < 4; i++) {
        const int digit = hex_digit(p[i]);
        if (digit < 0) {
            return -1;
        }
        value = value * 16 + digit;
    }
    return value;
}

const char *text_unicode_end(const char *p, const char *end, bool *ret_lone)
{
    const int unit = end - p >= 6 ? text_hex4(p + 2) : -1;
    const char *after = p + 6;
    *ret_lone = false;
    if (unit < 0xd800 || unit > 0xdfff) {
        return unit < 0 ? NULL : after;
    }
    if (unit < 0xdc00 && end - after >= 6 && after[0] == '\\' && after[1] == 'u') {
        const int low = text_hex4(after + 2);
        if (low >= 0xdc00 && low <= 0xdfff) {
            return after + 6;
        }
    }
    *ret_lone = true;
    return after;
}

static size_t utf8_write(uint32_t point, char out[4])
{
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    if (point < 0x800) {
        out[0] = (char)(0xc0 | point >> 6);
        out[1] = (char)(0x80 | (point & 0x3f));
        return 2;
    }
    if (point < 0x10000) {
        out[0] = (char)(0xe0 | point >> 12);
        out[1] = (char)(0x80 | (point >> 6 & 0x3f));
        out[2] = (char)(0x80 | (point & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | point >> 18);
    out[1] = (char)(0x80 | (point >> 12 & 0x3f));
    out[2] = (char)(0x80 | (point >> 6 & 0x3f));
    out[3] = (char)(0x80 | (point & 0x3f));
    return 4;
}

size_t text_unescape(const char **p, char out[4])
{
    const char letter = (*p)[1];
    if (letter != 'u') {
        static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
        const char *at = strchr(from, letter);
        out[0] = at ? to[at - from] : letter; /* " \ / stand for themselves */
        *p += 2;
        return 1;
    }
    uint32_t point = (uint32_t)text_hex4(*p + 2);
    *p += 6;
    if (point >= 0xd800 && point < 0xdc00) {
        point = 0x10000 + ((point - 0xd800) << 10) + ((uint32_t)text_hex4(*p + 2) - 0xdc00);
        *p += 6;
    }
    return utf8_write(point, out);
}
