/* SPDX-License-Identifier: MIT
 *
 * text.h - UTF-8 and escapes, for the scanner and for values. Private to this room.
 *
 * Nothing here reads a byte outside of [p, end).
 */
#ifndef WIKITALLY_CHANGE_TEXT_H
#define WIKITALLY_CHANGE_TEXT_H

#include "base/str.h"

/* Eight bytes, the first lowest; and eight times the same. */
static inline uint64_t text_word(const char *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? __builtin_bswap64(word) : word;
}
#define TEXT_EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* -> the first byte that is not UTF-8 (RFC 3629), or NULL. */
const char *text_bad_utf8(const char *p, const char *end);

/* The value of four hexadecimal digits, or -1. */
int text_hex4(const char *p);

/* p is at the backslash of \uXXXX. -> behind it, behind both halves of a pair; NULL if it is no escape.
 * *ret_lone: half of a pair without the other. */
const char *text_unicode_end(const char *p, const char *end, bool *ret_lone);

/* *p is at the backslash of an escape in a valid JSON string: moves it behind the escape (behind both halves of a
 * pair), writes the character as UTF-8. -> its length, 1 to 4. */
size_t text_unescape(const char **p, char out[4]);

#endif
