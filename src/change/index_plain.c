/* SPDX-License-Identifier: MIT
 *
 * index_plain.c - the first pass in plain C, eight bytes at a time, for any processor.
 */
#include "change/index_kernels.h"
#include "change/text.h"

struct sums {
    uint64_t control, any; /* bit 7 of a byte: below U+0020; all bits of all bytes */
};

static inline struct sums sums_begin(struct str text)
{
    (void)text;
    return (struct sums){0, 0};
}

static inline bool sums_control(const struct sums *sums)
{
    return sums->control != 0;
}

static inline bool sums_high(const struct sums *sums)
{
    return (sums->any & TEXT_EACH(0x80)) != 0;
}

/* Bit n: byte n of the word is c. The sum is above 0x7f for each byte but zero, and never carries into the next. The
 * multiplication moves the eight bits together. */
static inline uint64_t where(uint64_t word, unsigned char c)
{
    const uint64_t x = word ^ TEXT_EACH(c);
    const uint64_t zero = ~(((x & TEXT_EACH(0x7f)) + TEXT_EACH(0x7f)) | x) & TEXT_EACH(0x80);
    return (zero >> 7) * UINT64_C(0x0102040810204080) >> 56;
}

static inline struct marks marks_at(const char *p, struct sums *sums)
{
    struct marks marks = {0};
    for (unsigned i = 0; i < INDEX_BLOCK; i += 8) {
        const uint64_t word = text_word(p + i);
        sums->control |= ~(((word & TEXT_EACH(0x7f)) + TEXT_EACH(0x60)) | word) & TEXT_EACH(0x80);
        sums->any |= word;
        marks.quote |= where(word, '"') << i;
        marks.slash |= where(word, '\\') << i;
    }
    return marks;
}

static inline bool sums_good(const struct sums *sums, struct str text)
{
    return !sums_control(sums) && (!sums_high(sums) || !text_bad_utf8(text.ptr, text.ptr + text.len));
}

#include "change/index_loop.h"

bool index_find_plain(struct str text, struct text_index *ret)
{
    return index_text(text, ret);
}
