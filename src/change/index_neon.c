/* SPDX-License-Identifier: MIT
 *
 * index_neon.c - the first pass with NEON, which every 64-bit ARM has.
 */
#include "change/index_kernels.h"
#include "change/index_utf8.h"

#include <arm_neon.h>

struct sums {
    const char *begin;  /* of the text */
    uint8x16_t low;     /* the least of all bytes at each place */
    uint8x16_t errors;  /* not zero: not UTF-8 */
    uint64_t high_last; /* not 0: the block before was not all ASCII */
};

static inline struct sums sums_begin(struct str text)
{
    return (struct sums){text.ptr, vdupq_n_u8(0xff), vdupq_n_u8(0), 0};
}

static inline uint8x16_t load(const char *p)
{
    return vld1q_u8((const uint8_t *)p);
}

/* Which of 64 bytes are c: each answer keeps the bit of its place, and neighbours are added up three times. */
static inline uint64_t where(const uint8x16_t bytes[4], uint8_t c)
{
    static const uint8_t places[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const uint8x16_t all = vdupq_n_u8(c), bits = vld1q_u8(places);
    const uint8x16_t low = vpaddq_u8(vandq_u8(vceqq_u8(bytes[0], all), bits), vandq_u8(vceqq_u8(bytes[1], all), bits));
    const uint8x16_t high = vpaddq_u8(vandq_u8(vceqq_u8(bytes[2], all), bits), vandq_u8(vceqq_u8(bytes[3], all), bits));
    const uint8x16_t sum = vpaddq_u8(low, high);
    return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(sum, sum)), 0);
}

/* Not zero where a byte of `now` shows that this is not UTF-8. `before`: the 16 bytes before it. A sequence that the
 * end of `now` cuts is judged with the next bytes; the last byte of a text is '}', so there always are some. */
static uint8x16_t utf8_errors(uint8x16_t now, uint8x16_t before)
{
    static const uint8_t up[16] = {UTF8_FIRST_UP}, low[16] = {UTF8_FIRST_LOW}, second_up[16] = {UTF8_SECOND_UP};
    const uint8x16_t first = vextq_u8(before, now, 15); /* the byte before each */
    const uint8x16_t second = vextq_u8(before, now, 14), third = vextq_u8(before, now, 13);
    const uint8x16_t pairs = vandq_u8(vandq_u8(vqtbl1q_u8(vld1q_u8(up), vshrq_n_u8(first, 4)),
                                               vqtbl1q_u8(vld1q_u8(low), vandq_u8(first, vdupq_n_u8(0x0f)))),
                                      vqtbl1q_u8(vld1q_u8(second_up), vshrq_n_u8(now, 4)));
    /* bit 7: e0 or more two bytes before, f0 or more three before: here, and only here, UTF8_TWO is right */
    const uint8x16_t long_lead =
        vorrq_u8(vqsubq_u8(second, vdupq_n_u8(0xe0 - 0x80)), vqsubq_u8(third, vdupq_n_u8(0xf0 - 0x80)));
    return veorq_u8(pairs, vandq_u8(long_lead, vdupq_n_u8(0x80)));
}

static inline struct marks marks_at(const char *p, struct sums *sums)
{
    const uint8x16_t bytes[4] = {load(p), load(p + 16), load(p + 32), load(p + 48)};
    const uint8x16_t any = vorrq_u8(vorrq_u8(bytes[0], bytes[1]), vorrq_u8(bytes[2], bytes[3]));
    const uint64_t high = vmaxvq_u8(any) >= 0x80;
    if (__builtin_expect((high | sums->high_last) != 0, 0)) {
        uint8x16_t before = p == sums->begin ? vdupq_n_u8(0) : load(p - 16);
        for (int i = 0; i < 4; i++) {
            sums->errors = vorrq_u8(sums->errors, utf8_errors(bytes[i], before));
            before = bytes[i];
        }
    }
    sums->high_last = high;
    sums->low = vminq_u8(sums->low, vminq_u8(vminq_u8(bytes[0], bytes[1]), vminq_u8(bytes[2], bytes[3])));
    return (struct marks){where(bytes, '"'), where(bytes, '\\')};
}

static inline bool sums_good(const struct sums *sums, struct str text)
{
    (void)text;
    return vminvq_u8(sums->low) >= 0x20 && vmaxvq_u8(sums->errors) == 0;
}

#include "change/index_loop.h"

bool index_find_neon(struct str text, struct text_index *ret)
{
    return index_text(text, ret);
}
