/* SPDX-License-Identifier: MIT
 *
 * index_loop.h - the first pass, but for how to look at 64 bytes. Each kernel's file defines that, then includes this:
 *
 *   struct sums               what has been seen so far, over all blocks
 *   sums_begin(text)          nothing yet
 *   marks_at(p, &sums)        where quotes and backslashes are among 64 bytes; called from front to back, the last time
 *                             with the last 64 bytes of the text, some of which were there before
 *   sums_good(&sums, text)    at the end: nothing below U+0020, all UTF-8?
 */
#ifndef WIKITALLY_CHANGE_INDEX_LOOP_H
#define WIKITALLY_CHANGE_INDEX_LOOP_H

#include "change/index_kernels.h"
#include "change/text.h"

/* The bytes that may stand behind a backslash; of them, 'u' wants a closer look. */
static const uint8_t escape_letters[256] = {
    ['"'] = 1, ['\\'] = 1, ['/'] = 1, ['b'] = 1, ['f'] = 1, ['n'] = 1, ['r'] = 1, ['t'] = 1, ['u'] = 2};

/* The state of one pass. */
struct indexer {
    const char *text, *end;
    const char *low_half; /* where a pair's second \uXXXX begins: it was checked with the first */
    bool carry;           /* the block before ended with a backslash that escapes */
    bool bad;             /* an escape that is none, or half a pair */
};

/* p is at the backslash of \uXXXX. */
static bool unicode_good(struct indexer *x, const char *p)
{
    bool lone = false;
    if (p == x->low_half) {
        return true;
    }
    const char *after = text_unicode_end(p, x->end, &lone);
    x->low_half = after == p + 12 ? p + 6 : x->low_half;
    return after && !lone;
}

/* Which bytes of the block at `base` are escaped, by a backslash in it or by the last one before it. Checks the escapes
 * that begin in it. The text ends with '}', so behind each backslash there is a byte. */
static uint64_t escaped_in(struct indexer *x, uint64_t slash, const char *base)
{
    uint64_t escaped = x->carry;
    slash &= ~escaped; /* an escaped backslash escapes nothing */
    x->carry = false;
    while (slash) {
        const int n = __builtin_ctzll(slash);
        const uint8_t letter = escape_letters[(unsigned char)base[n + 1]];
        x->bad |= letter == 0 || (letter == 2 && !unicode_good(x, base + n));
        x->carry = n == INDEX_BLOCK - 1;
        escaped |= UINT64_C(2) << n;
        slash &= ~(UINT64_C(3) << n);
    }
    return escaped;
}

static void slashes_note(struct text_index *index, uint64_t slash, uint32_t at)
{
    const uint32_t first = at + (uint32_t)__builtin_ctzll(slash);
    index->slash_first = index->slash_first < first ? index->slash_first : first;
    index->slash_last = at + 63 - (uint32_t)__builtin_clzll(slash);
}

/* -> the quotes that are not escaped, of the block at `at`. */
INDEX_INLINE uint64_t quotes_in(struct indexer *x, struct text_index *index, struct marks marks, uint32_t at)
{
    if (__builtin_expect((marks.slash | x->carry) != 0, 0)) {
        if (marks.slash) {
            slashes_note(index, marks.slash, at);
        }
        marks.quote &= ~escaped_in(x, marks.slash, x->text + at);
    }
    return marks.quote;
}

/* The kernel's index_fn. */
INDEX_INLINE bool index_text(struct str text, struct text_index *index)
{
    struct indexer x = {.text = text.ptr, .end = text.ptr + text.len};
    struct sums sums = sums_begin(text);
    const uint32_t rest = (uint32_t)text.len % INDEX_BLOCK, whole = (uint32_t)text.len - rest;
    uint64_t *out = index->quotes;
    index->slash_first = (uint32_t)text.len;
    index->slash_last = 0;
    for (uint32_t at = 0; at < whole; at += INDEX_BLOCK) {
        *out++ = quotes_in(&x, index, marks_at(text.ptr + at, &sums), at);
    }
    if (rest > 0) {
        struct marks marks = marks_at(x.end - INDEX_BLOCK, &sums);
        marks.quote >>= INDEX_BLOCK - rest;
        marks.slash >>= INDEX_BLOCK - rest;
        *out++ = quotes_in(&x, index, marks, whole);
    }
    out[0] = out[1] = ~UINT64_C(0);
    return !x.bad && sums_good(&sums, text);
}

#endif
