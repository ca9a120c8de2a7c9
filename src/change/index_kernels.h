/* SPDX-License-Identifier: MIT
 *
 * index_kernels.h - what the files of the kernels share. Private to them and to index.c.
 */
#ifndef WIKITALLY_CHANGE_INDEX_KERNELS_H
#define WIKITALLY_CHANGE_INDEX_KERNELS_H

#include "change/index.h"

#define INDEX_INLINE static inline __attribute__((always_inline))

/* 64 bytes: bit n is about byte n. */
struct marks {
    uint64_t quote, slash;
};

index_fn index_find_plain;
#if defined(__x86_64__)
index_fn index_find_sse2, index_find_avx2;
#endif
#if defined(__aarch64__)
index_fn index_find_neon;
#endif

#endif
