/* SPDX-License-Identifier: MIT
 *
 * index_utf8.h - what is wrong with two bytes that follow each other, as three tables for a kernel that can look up
 * many bytes at once. Private to the kernels.
 *
 * Each table has a bit for each kind of mistake. The first is asked by the upper half of the first byte, the second by
 * its lower half, the third by the upper half of the second byte; a mistake is made where all three say so. (After
 * J. Keiser and D. Lemire, Validating UTF-8 In Less Than One Instruction Per Byte, 2021.)
 */
#ifndef WIKITALLY_CHANGE_INDEX_UTF8_H
#define WIKITALLY_CHANGE_INDEX_UTF8_H

enum {
    UTF8_SHORT = 1,      /* a first byte, then no continuation */
    UTF8_LONG = 2,       /* ASCII, then a continuation */
    UTF8_OVER_3 = 4,     /* e0, then below a0: could be shorter */
    UTF8_LARGE = 8,      /* f4, then above 8f; f5 to ff, then above 8f */
    UTF8_SURROGATE = 16, /* ed, then above 9f */
    UTF8_OVER_2 = 32,    /* c0 or c1 */
    UTF8_OVER_4 = 64,    /* f0, then below 90; f5 to ff, then below 90 */
    UTF8_TWO = 128,      /* two continuations: right only as third and fourth byte of a sequence */
    UTF8_ANY = UTF8_SHORT | UTF8_LONG | UTF8_TWO, /* not decided by the lower half */
    UTF8_F5 = UTF8_ANY | UTF8_LARGE | UTF8_OVER_4,
    UTF8_SECOND = UTF8_LONG | UTF8_TWO | UTF8_OVER_2, /* of a continuation */
};

/* By byte >> 4 of the first. */
#define UTF8_FIRST_UP                                                                                                  \
    UTF8_LONG, UTF8_LONG, UTF8_LONG, UTF8_LONG, UTF8_LONG, UTF8_LONG, UTF8_LONG, UTF8_LONG, UTF8_TWO, UTF8_TWO,        \
        UTF8_TWO, UTF8_TWO, UTF8_SHORT | UTF8_OVER_2, UTF8_SHORT, UTF8_SHORT | UTF8_OVER_3 | UTF8_SURROGATE,           \
        UTF8_SHORT | UTF8_LARGE | UTF8_OVER_4

/* By byte & 15 of the first: c0 c1, e0 ed, f0 f4 f5 to ff. */
#define UTF8_FIRST_LOW                                                                                                 \
    UTF8_ANY | UTF8_OVER_2 | UTF8_OVER_3 | UTF8_OVER_4, UTF8_ANY | UTF8_OVER_2, UTF8_ANY, UTF8_ANY,                    \
        UTF8_ANY | UTF8_LARGE, UTF8_F5, UTF8_F5, UTF8_F5, UTF8_F5, UTF8_F5, UTF8_F5, UTF8_F5, UTF8_F5,                 \
        UTF8_F5 | UTF8_SURROGATE, UTF8_F5, UTF8_F5

/* By byte >> 4 of the second. */
#define UTF8_SECOND_UP                                                                                                 \
    UTF8_SHORT, UTF8_SHORT, UTF8_SHORT, UTF8_SHORT, UTF8_SHORT, UTF8_SHORT, UTF8_SHORT, UTF8_SHORT,                    \
        UTF8_SECOND | UTF8_OVER_3 | UTF8_OVER_4, UTF8_SECOND | UTF8_OVER_3 | UTF8_LARGE,                               \
        UTF8_SECOND | UTF8_SURROGATE | UTF8_LARGE, UTF8_SECOND | UTF8_SURROGATE | UTF8_LARGE, UTF8_SHORT, UTF8_SHORT,  \
        UTF8_SHORT, UTF8_SHORT

#endif
