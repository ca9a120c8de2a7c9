/* SPDX-License-Identifier: MIT
 *
 * text.h - blocks of bytes and escapes, for the scanner and for values. Private to this room.
 *
 * SSE2 is part of every x86-64; elsewhere the same questions are asked of 8 bytes in a word. Nothing here reads a byte
 * outside of [p, end).
 */
#ifndef WIKITALLY_CHANGE_TEXT_H
#define WIKITALLY_CHANGE_TEXT_H

#include "base/str.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/* One look at the bytes at p, at most TEXT_BLOCK of them: how many come before the first one that ends plain text
 * (a quote, a backslash or a control character below U+0020), and whether any of those is not ASCII. */
struct text_look {
    unsigned plain; /* 0 .. TEXT_BLOCK */
    bool high;
};

#if defined(__SSE2__)
enum { TEXT_BLOCK = 16 };

static inline struct text_look text_look(const char *p)
{
    const __m128i block = _mm_loadu_si128((const __m128i *)(const void *)p);
    const __m128i quote = _mm_cmpeq_epi8(block, _mm_set1_epi8('"'));
    const __m128i slash = _mm_cmpeq_epi8(block, _mm_set1_epi8('\\'));
    const __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(block, _mm_set1_epi8(0x1f)), block);
    const unsigned stops = (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, slash), control));
    const unsigned highs = (unsigned)_mm_movemask_epi8(block);
    const unsigned plain = (unsigned)__builtin_ctz(stops | 1U << TEXT_BLOCK);
    return (struct text_look){plain, (highs & ((1U << plain) - 1)) != 0};
}

static inline bool text_block_is_ascii(const char *p)
{
    return _mm_movemask_epi8(_mm_loadu_si128((const __m128i *)(const void *)p)) == 0;
}
#else
enum { TEXT_BLOCK = 8 };

static inline bool text_block_is_ascii(const char *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return (word & UINT64_C(0x8080808080808080)) == 0;
}

static inline struct text_look text_look(const char *p)
{
    struct text_look look = {0, false};
    while (look.plain < TEXT_BLOCK) {
        const unsigned char c = (unsigned char)p[look.plain];
        if (c < 0x20 || c == '"' || c == '\\') {
            break;
        }
        look.high |= c >= 0x80;
        look.plain++;
    }
    return look;
}
#endif

/* -> the first byte that is not UTF-8 (RFC 3629), or NULL. */
const char *text_bad_utf8(const char *p, const char *end);

/* The value of four hexadecimal digits, or -1. */
int text_hex4(const char *p);

/* *p is at the backslash of an escape in a valid JSON string: moves it behind the escape (behind both halves of a
 * pair), writes the character as UTF-8. -> its length, 1 to 4. */
size_t text_unescape(const char **p, char out[4]);

#endif
