/* SPDX-License-Identifier: MIT
 *
 * scan_token.h - the tokens of JSON: strings, numbers, words. The lower half of scan.c, and private to it.
 *
 * Each function comes in two forms, by the constant `indexed`: with the index of the text, which has been checked and
 * ends with '}' (so no token but the closing brace can be its last byte, and nothing asks for the end), or byte by byte
 * over any text. All are inlined, so that the state stays in registers and the constant decides at compile time. What
 * returns bool returns false at a defect: then p is the byte that cannot be.
 */
#ifndef WIKITALLY_CHANGE_SCAN_TOKEN_H
#define WIKITALLY_CHANGE_SCAN_TOKEN_H

#include "change/change.h"
#include "change/index.h"
#include "change/text.h"

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define FORCE_INLINE static inline __attribute__((always_inline))

/* Where the pass is. */
struct scan {
    const char *p, *end;                  /* end: of the text without blanks behind it */
    const char *text;                     /* its first byte */
    const struct text_index *index;       /* indexed: where its quotes are */
    const char *slash_first, *slash_last; /* indexed: its backslashes; the end and the first byte if there are none */
    const char *guess_end;                /* indexed: the last place where a key can be guessed */
    const char *surrogate_at; /* first escape that has no UTF-8, or NULL; only a defect if the syntax is right */
    uint64_t seen;            /* bits of nodes with children that have come, see object_again() */
    bool high;                /* not indexed: some string is not ASCII */
    bool indexed;             /* which of the two loops? A constant, see above */
};

static inline const char *skip_blanks(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) {
        p++;
    }
    return p;
}

/* The byte at p; a zero, which begins no token, at the end. */
FORCE_INLINE char peek(const struct scan *s)
{
    return !s->indexed && s->p == s->end ? '\0' : *s->p;
}

/* Takes one certain byte, and the blanks before it. The stream has none, so they are looked for last. */
FORCE_INLINE bool take(struct scan *s, char c)
{
    if (UNLIKELY(peek(s) != c)) {
        s->p = skip_blanks(s->p, s->end);
        if (peek(s) != c) {
            return false;
        }
    }
    s->p++;
    return true;
}

/* p is at a backslash. */
FORCE_INLINE bool scan_escape(struct scan *s)
{
    if (s->end - s->p < 2) {
        return false;
    }
    switch (s->p[1]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        s->p += 2;
        return true;
    case 'u': {
        bool lone;
        const char *after = text_unicode_end(s->p, s->end, &lone);
        if (!after) {
            return false;
        }
        if (lone && !s->surrogate_at) {
            s->surrogate_at = s->p;
        }
        s->p = after;
        return true;
    }
    default:
        return false;
    }
}

/* p is behind the opening quote, and comes behind the closing one. Byte by byte. */
FORCE_INLINE bool search_string(struct scan *s, struct value *ret)
{
    const char *const begin = s->p;
    bool escaped = false;
    while (s->p < s->end && *s->p != '"') {
        const unsigned char c = (unsigned char)*s->p;
        if (c < ' ' || (c == '\\' && !scan_escape(s))) {
            return false;
        }
        escaped |= c == '\\';
        s->high |= c >= 0x80;
        s->p += c != '\\';
    }
    if (s->p == s->end) {
        return false;
    }
    ret->raw = (struct str){begin, (size_t)(s->p - begin)};
    ret->escaped = escaped;
    s->p++;
    return true;
}

/* Is there a backslash between two places of an indexed text? In most texts the few strings that hold some are the
 * last ones. */
FORCE_INLINE bool has_slash(const struct scan *s, const char *begin, const char *end)
{
    return UNLIKELY(end > s->slash_first) && begin <= s->slash_last &&
           memchr(begin, '\\', (size_t)(end - begin)) != NULL;
}

/* The next quote from p on. The words of two blocks are looked at as one, so that strings of up to 64 bytes do not
 * depend on where blocks begin: such a branch would be guessed wrong. */
FORCE_INLINE const char *next_quote(const struct scan *s, const char *p)
{
    const size_t at = (size_t)(p - s->text), shift = at % INDEX_BLOCK;
    const uint64_t *word = &s->index->quotes[at / INDEX_BLOCK];
    const uint64_t bits = word[0] >> shift | word[1] << 1 << (INDEX_BLOCK - 1 - shift);
    if (LIKELY(bits)) {
        return p + __builtin_ctzll(bits);
    }
    for (word += 1; *word == 0;) {
        word++;
    }
    return s->text + (size_t)(word - s->index->quotes) * INDEX_BLOCK + __builtin_ctzll(*word);
}

/* p is behind the opening quote, and comes behind the closing one. Fills raw, and escaped if it is wanted. */
FORCE_INLINE bool scan_string(struct scan *s, struct value *ret, bool wanted)
{
    if (!s->indexed) {
        return search_string(s, ret);
    }
    const char *const begin = s->p, *const end = next_quote(s, begin);
    if (UNLIKELY(end >= s->end)) {
        return false;
    }
    if (wanted) {
        ret->raw = (struct str){begin, (size_t)(end - begin)};
        ret->escaped = has_slash(s, begin, end);
    }
    s->p = end + 1;
    return true;
}

/* How many of the eight bytes at p, from the first, are digits. */
FORCE_INLINE size_t digits_at(const char *p)
{
    const uint64_t word = text_word(p) ^ TEXT_EACH('0'); /* digits are 0 to 9 now */
    const uint64_t other = (((word & TEXT_EACH(0x7f)) + TEXT_EACH(0x76)) | word) & TEXT_EACH(0x80);
    return other ? (size_t)__builtin_ctzll(other) / 8 : 8;
}

/* At least one digit. */
FORCE_INLINE bool scan_digits(struct scan *s)
{
    const char *const begin = s->p;
    if (s->indexed && LIKELY(s->end - s->p >= 8)) {
        size_t count = 8;
        while (count == 8 && s->end - s->p >= 8) {
            count = digits_at(s->p);
            s->p += count;
        }
        if (LIKELY(count < 8)) {
            return s->p > begin;
        }
    }
    while ((unsigned)(peek(s) - '0') <= 9) {
        s->p++;
    }
    return s->p > begin;
}

/* *ret_whole: neither fraction nor exponent. */
FORCE_INLINE bool scan_number(struct scan *s, bool *ret_whole)
{
    s->p += *s->p == '-';
    if (peek(s) == '0') {
        s->p++;
    } else if (!scan_digits(s)) {
        return false;
    }
    const char *const after_whole = s->p;
    if (UNLIKELY(peek(s) == '.')) {
        s->p++;
        if (!scan_digits(s)) {
            return false;
        }
    }
    if (UNLIKELY(peek(s) == 'e' || peek(s) == 'E')) {
        s->p++;
        s->p += peek(s) == '+' || peek(s) == '-';
        if (!scan_digits(s)) {
            return false;
        }
    }
    *ret_whole = s->p == after_whole;
    return true;
}

/* What eight digits are worth: pairs, fours, then all are added up in their places of one word. */
FORCE_INLINE int64_t eight_digits(const char *p)
{
    uint64_t word = text_word(p) - TEXT_EACH('0');
    word = word * 10 + (word >> 8); /* each even byte: a pair */
    const uint64_t pairs = UINT64_C(0x000000ff000000ff);
    return (int64_t)(((word & pairs) * (UINT64_C(1000000) << 32 | 100) +
                      (word >> 16 & pairs) * (UINT64_C(10000) << 32 | 1)) >>
                     32);
}

/* The text of a number without leading zeros. Up to 18 digits need no look at the range. */
static inline void value_set_number(struct value *v, bool whole)
{
    v->kind = VALUE_NUMBER;
    if (!whole || v->raw.len > 20) {
        return;
    }
    if (v->raw.len > 18) {
        v->kind = str_to_int64(v->raw, &v->number) ? VALUE_INT : VALUE_NUMBER;
        return;
    }
    const bool negative = v->raw.ptr[0] == '-';
    const char *p = v->raw.ptr + negative, *const end = v->raw.ptr + v->raw.len;
    int64_t number = 0;
    for (; end - p >= 8; p += 8) {
        number = number * 100000000 + eight_digits(p);
    }
    for (; p < end; p++) {
        number = number * 10 + (*p - '0');
    }
    v->number = negative ? -number : number;
    v->kind = VALUE_INT;
}

FORCE_INLINE bool scan_word(struct scan *s, struct value *ret, enum value_kind kind, const char *word, size_t len)
{
    const bool found = (size_t)(s->end - s->p) >= len && memcmp(s->p, word, len) == 0;
    ret->kind = (uint8_t)kind;
    ret->raw = (struct str){s->p, len};
    s->p += found ? len : 0;
    return found;
}

/* p is at the first byte of a number or a word. */
FORCE_INLINE bool scan_bare(struct scan *s, char first, struct value *ret, bool wanted)
{
    const char *const begin = s->p;
    bool whole;
    if (LIKELY((unsigned)(first - '0') <= 9 || first == '-')) {
        const bool good = scan_number(s, &whole);
        if (wanted && good) {
            ret->raw = (struct str){begin, (size_t)(s->p - begin)};
            value_set_number(ret, whole);
        }
        return good;
    }
    return first == 't'   ? scan_word(s, ret, VALUE_TRUE, "true", 4)
           : first == 'f' ? scan_word(s, ret, VALUE_FALSE, "false", 5)
                          : scan_word(s, ret, VALUE_NULL, "null", 4);
}

#endif
