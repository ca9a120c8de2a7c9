/* SPDX-License-Identifier: MIT
 *
 * index.c - which kernel does the first pass.
 */
#include "change/index.h"

#include "change/index_kernels.h"

#include <stdatomic.h>

#if defined(__x86_64__)
static bool has_avx2(void)
{
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2"), bmi = __builtin_cpu_supports("bmi"),
               popcnt = __builtin_cpu_supports("popcnt");
    return avx2 & bmi & popcnt;
}
#endif

const struct index_kernel index_kernels[] = {
#if defined(__x86_64__)
    {"avx2", index_find_avx2, has_avx2},
    {"sse2", index_find_sse2, NULL},
#elif defined(__aarch64__)
    {"neon", index_find_neon, NULL},
#endif
    {"plain", index_find_plain, NULL},
    {NULL, NULL, NULL},
};

const struct index_kernel *index_kernel_first(const struct index_kernel *list)
{
    while (list->has && !list->has()) {
        list++;
    }
    return list;
}

static _Atomic(const struct index_kernel *) chosen;

/* Two threads may both find out; they find the same. */
const struct index_kernel *index_kernel(void)
{
    const struct index_kernel *kernel = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (__builtin_expect(!kernel, 0)) {
        kernel = index_kernel_first(index_kernels);
        atomic_store_explicit(&chosen, kernel, memory_order_relaxed);
    }
    return kernel;
}

void index_kernel_use(const struct index_kernel *kernel)
{
    atomic_store_explicit(&chosen, kernel, memory_order_relaxed);
}
