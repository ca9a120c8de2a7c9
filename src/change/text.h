/* SPDX-License-Identifier: MIT
 *
 * text.h - blocks of bytes and escapes, for the scanner and for values. Private to this room.
 *
 * A block is 64 bytes, so that one word holds a bit for each. SSE2 is part of every x86-64; elsewhere a loop asks the
 * same questions. Nothing here reads a byte outside of [p, end).
 */
#ifndef WIKITALLY_CHANGE_TEXT_H
#define WIKITALLY_CHANGE_TEXT_H

#include "base/str.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum { TEXT_BLOCK = 64 };

/* What 64 bytes hold. */
struct text_block {
    uint64_t stops; /* bit n: byte n cannot stand in a string as it is: a quote, a backslash, below U+0020 */
    bool high;      /* some byte is not ASCII */
};

#if defined(__SSE2__)
static inline uint64_t text_stops_of(__m128i bytes)
{
    const __m128i quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
    const __m128i slash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
    const __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
    return (uint64_t)(unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, slash), control));
}

static inline struct text_block text_block_at(const char *p)
{
    const __m128i *at = (const __m128i *)(const void *)p;
    const __m128i a = _mm_loadu_si128(at), b = _mm_loadu_si128(at + 1);
    const __m128i c = _mm_loadu_si128(at + 2), d = _mm_loadu_si128(at + 3);
    const __m128i any = _mm_or_si128(_mm_or_si128(a, b), _mm_or_si128(c, d));
    return (struct text_block){text_stops_of(a) | text_stops_of(b) << 16 | text_stops_of(c) << 32 |
                                   text_stops_of(d) << 48,
                               _mm_movemask_epi8(any) != 0};
}
#else
static inline struct text_block text_block_at(const char *p)
{
    struct text_block block = {0};
    unsigned char any = 0;
    for (unsigned i = 0; i < TEXT_BLOCK; i++) {
        const unsigned char c = (unsigned char)p[i];
        block.stops |= (uint64_t)(c < 0x20 || c == '"' || c == '\\') << i;
        any |= c;
    }
    block.high = any >= 0x80;
    return block;
}
#endif

/* The last bytes of a text, fewer than a block: what is behind them is filled up with stops. */
struct text_block text_block_near_end(const char *p, const char *end);

/* -> the first byte that is not UTF-8 (RFC 3629), or NULL. */
const char *text_bad_utf8(const char *p, const char *end);

/* The value of four hexadecimal digits, or -1. */
int text_hex4(const char *p);

/* *p is at the backslash of an escape in a valid JSON string: moves it behind the escape (behind both halves of a
 * pair), writes the character as UTF-8. -> its length, 1 to 4. */
size_t text_unescape(const char **p, char out[4]);

#endif
