/* SPDX-License-Identifier: MIT
 *
 * index_avx2.c - the first pass with AVX2 and BMI. This file alone is compiled for them (meson.build).
 */
#include "change/index_kernels.h"
#include "change/index_utf8.h"

#include <immintrin.h>

struct sums {
    const char *begin;  /* of the text */
    __m256i low;        /* the least of all bytes at each place */
    __m256i errors;     /* not zero: not UTF-8 */
    uint32_t high_last; /* not 0: the block before was not all ASCII */
};

static inline struct sums sums_begin(struct str text)
{
    return (struct sums){text.ptr, _mm256_set1_epi8(-1), _mm256_setzero_si256(), 0};
}

static inline __m256i load(const char *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

static inline uint64_t where(__m256i a, __m256i b, char c)
{
    const __m256i all = _mm256_set1_epi8(c);
    const uint32_t low = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(a, all));
    const uint32_t high = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(b, all));
    return low | (uint64_t)high << 32;
}

/* The same 16 bytes in both halves: a shuffle looks up in its own half. */
static inline __m256i table(const unsigned char bytes[16])
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)bytes));
}

static inline __m256i halves_up(__m256i bytes)
{
    return _mm256_and_si256(_mm256_srli_epi16(bytes, 4), _mm256_set1_epi8(0x0f));
}

/* Not zero where a byte of `now` shows that this is not UTF-8. `before`: the 32 bytes before it. A sequence that the
 * end of `now` cuts is judged with the next bytes; the last byte of a text is '}', so there always are some. */
static __m256i utf8_errors(__m256i now, __m256i before)
{
    static const unsigned char up[16] = {UTF8_FIRST_UP}, low[16] = {UTF8_FIRST_LOW}, second_up[16] = {UTF8_SECOND_UP};
    const __m256i middle = _mm256_permute2x128_si256(before, now, 0x21);
    const __m256i first = _mm256_alignr_epi8(now, middle, 15); /* the byte before each */
    const __m256i second = _mm256_alignr_epi8(now, middle, 14), third = _mm256_alignr_epi8(now, middle, 13);
    const __m256i half = _mm256_set1_epi8(0x0f);
    const __m256i pairs =
        _mm256_and_si256(_mm256_and_si256(_mm256_shuffle_epi8(table(up), halves_up(first)),
                                          _mm256_shuffle_epi8(table(low), _mm256_and_si256(first, half))),
                         _mm256_shuffle_epi8(table(second_up), halves_up(now)));
    /* bit 7: e0 or more two bytes before, f0 or more three before: here, and only here, UTF8_TWO is right */
    const __m256i long_lead = _mm256_or_si256(_mm256_subs_epu8(second, _mm256_set1_epi8(0xe0 - 0x80)),
                                              _mm256_subs_epu8(third, _mm256_set1_epi8(0xf0 - 0x80)));
    return _mm256_xor_si256(pairs, _mm256_and_si256(long_lead, _mm256_set1_epi8((char)0x80)));
}

static inline struct marks marks_at(const char *p, struct sums *sums)
{
    const __m256i a = load(p), b = load(p + 32);
    const uint32_t high = (uint32_t)_mm256_movemask_epi8(_mm256_or_si256(a, b));
    if (__builtin_expect((high | sums->high_last) != 0, 0)) {
        const __m256i before = p == sums->begin ? _mm256_setzero_si256() : load(p - 32);
        sums->errors = _mm256_or_si256(sums->errors, _mm256_or_si256(utf8_errors(a, before), utf8_errors(b, a)));
    }
    sums->high_last = high;
    sums->low = _mm256_min_epu8(sums->low, _mm256_min_epu8(a, b));
    return (struct marks){where(a, b, '"'), where(a, b, '\\')};
}

static inline bool sums_good(const struct sums *sums, struct str text)
{
    const __m256i control = _mm256_cmpeq_epi8(_mm256_min_epu8(sums->low, _mm256_set1_epi8(0x1f)), sums->low);
    (void)text;
    return _mm256_testz_si256(control, control) && _mm256_testz_si256(sums->errors, sums->errors);
}

#include "change/index_loop.h"

bool index_find_avx2(struct str text, struct text_index *ret)
{
    return index_text(text, ret);
}
