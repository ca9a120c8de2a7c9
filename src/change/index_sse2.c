/* SPDX-License-Identifier: MIT
 *
 * index_sse2.c - the first pass with what every x86-64 has.
 */
#include "change/index_kernels.h"
#include "change/text.h"

#include <emmintrin.h>

struct sums {
    __m128i low, any; /* the least of all bytes at each place; all their bits */
};

static inline struct sums sums_begin(struct str text)
{
    (void)text;
    return (struct sums){_mm_set1_epi8(-1), _mm_setzero_si128()};
}

static inline bool sums_control(const struct sums *sums)
{
    return _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(sums->low, _mm_set1_epi8(0x1f)), sums->low)) != 0;
}

static inline bool sums_high(const struct sums *sums)
{
    return _mm_movemask_epi8(sums->any) != 0;
}

static inline uint64_t where(__m128i bytes, char c)
{
    return (uint64_t)(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(c)));
}

static inline struct marks marks_at(const char *p, struct sums *sums)
{
    struct marks marks = {0};
    for (unsigned i = 0; i < INDEX_BLOCK; i += 16) {
        const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(p + i));
        sums->low = _mm_min_epu8(sums->low, bytes);
        sums->any = _mm_or_si128(sums->any, bytes);
        marks.quote |= where(bytes, '"') << i;
        marks.slash |= where(bytes, '\\') << i;
    }
    return marks;
}

static inline bool sums_good(const struct sums *sums, struct str text)
{
    return !sums_control(sums) && (!sums_high(sums) || !text_bad_utf8(text.ptr, text.ptr + text.len));
}

#include "change/index_loop.h"

bool index_find_sse2(struct str text, struct text_index *ret)
{
    return index_text(text, ret);
}
