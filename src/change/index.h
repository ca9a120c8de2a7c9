/* SPDX-License-Identifier: MIT
 *
 * index.h - where the strings of a text begin and end, found for all of it at once. Private to this room.
 *
 * The first of the scanner's two passes. It looks at 64 bytes at a time and keeps a word that says which of them are
 * quotes that end or begin a string; the second pass (scan.c) finds the end of a string by counting zeros. On the way
 * it checks what needs no grammar: escapes, UTF-8, no control characters.
 *
 * A kernel is one way to look at 64 bytes. All give the same index for the same text; the fastest that the processor
 * has is chosen at the first call.
 */
#ifndef WIKITALLY_CHANGE_INDEX_H
#define WIKITALLY_CHANGE_INDEX_H

#include "base/str.h"

enum {
    INDEX_BLOCK = 64,          /* bytes in one word */
    INDEX_TEXT_MIN = 96,       /* bytes: a block, and what must be readable before the last one */
    INDEX_TEXT_MAX = 64 << 10, /* bytes: 50 times a usual event */
};

/* What is found in one text. Nothing in it needs to be set before. */
struct text_index {
    uint32_t slash_first, slash_last; /* backslashes: the length of the text and 0 if none */
    /* Bit n of word m: byte 64 m + n is a quote that is not escaped. Behind the last block is a word of ones, and one
     * more. */
    uint64_t quotes[INDEX_TEXT_MAX / INDEX_BLOCK + 2];
};

/* -> true: *ret is the index of `text`, in which all escapes, surrogates and UTF-8 are right and nothing is below
 * U+0020. false: something is not; nothing is said, somebody has to look closer. The text is INDEX_TEXT_MIN to
 * INDEX_TEXT_MAX bytes and ends with '}'. */
typedef bool index_fn(struct str text, struct text_index *ret);

struct index_kernel {
    const char *name; /* "avx2" */
    index_fn *find;
    bool (*has)(void); /* does this processor have it? NULL: all have */
};

/* The kernels of this build, fastest first, the plain one last; a name of NULL ends them. */
extern const struct index_kernel index_kernels[];

/* The first of a list that this processor has; one of the list must be one that all have. */
const struct index_kernel *index_kernel_first(const struct index_kernel *list);
/* The kernel in use. */
const struct index_kernel *index_kernel(void);
/* For tests and benchmarks: from now on, in all threads. NULL: the fastest again. */
void index_kernel_use(const struct index_kernel *kernel);

#endif
