/* SPDX-License-Identifier: MIT
 *
 * utf8.h - one UTF-8 sequence at a time, for str.c, buf.c and err.c (private to base).
 */
#ifndef WIKITALLY_BASE_UTF8_H
#define WIKITALLY_BASE_UTF8_H

#include "base/str.h"

#define WORD_ONES UINT64_C(0x0101010101010101)
#define WORD_HIGHS UINT64_C(0x8080808080808080)

static inline uint64_t word_load(const char *p)
{
    uint64_t w;
    memcpy(&w, p, sizeof w);
    return w;
}

/* Nonzero if any byte of w is zero; with bytes below 0x80 it is exact (all callers test the high bits besides). */
static inline uint64_t word_has_zero(uint64_t w)
{
    return (w - WORD_ONES) & ~w & WORD_HIGHS;
}

/* Length (1 to 4) and code point of the sequence at p; 0 if the bytes are not UTF-8 (RFC 3629). left >= 1. */
static inline size_t utf8_step(const unsigned char *p, size_t left, uint32_t *ret_point)
{
    uint32_t c = p[0];
    if (c < 0x80) {
        *ret_point = c;
        return 1;
    }
    if (c < 0xc2) {
        return 0;
    }
    if (c < 0xe0) {
        if (left < 2 || (p[1] & 0xc0) != 0x80) {
            return 0;
        }
        *ret_point = (c & 0x1f) << 6 | (p[1] & 0x3fU);
        return 2;
    }
    if (c < 0xf0) {
        if (left < 3 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80) {
            return 0;
        }
        uint32_t point = (c & 0x0f) << 12 | (p[1] & 0x3fU) << 6 | (p[2] & 0x3fU);
        *ret_point = point;
        return point < 0x800 || (point >= 0xd800 && point <= 0xdfff) ? 0 : 3;
    }
    if (c > 0xf4 || left < 4 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80 || (p[3] & 0xc0) != 0x80) {
        return 0;
    }
    uint32_t point = (c & 0x07) << 18 | (p[1] & 0x3fU) << 12 | (p[2] & 0x3fU) << 6 | (p[3] & 0x3fU);
    *ret_point = point;
    return point < 0x10000 || point > 0x10ffff ? 0 : 4;
}

enum { PRINTABLE_STEP_MAX = 12 }; /* longest output of one step */

/* Makes the character at p fit for a terminal: writes it, or its escape, to out. -> bytes of input it took (1 to 4). */
size_t printable_step(const unsigned char *p, size_t left, char out[PRINTABLE_STEP_MAX], size_t *ret_out);

#endif
