/* SPDX-License-Identifier: MIT
 *
 * fail_alloc.c - the k-th malloc, calloc or realloc finds no memory (reliability.md A7). Loaded into an unchanged
 * program with LD_PRELOAD; the test that uses it (tests/system/test_rows_memory.py) builds it.
 *
 *   FAIL_ALLOC_WHOSE=own|library   counted are calls from the program itself, or from all else (strdup is libc's)
 *   FAIL_ALLOC_AT=K                the K-th of them fails; 0 or none: nothing does
 *   FAIL_ALLOC_STAYS=1             and all that follow
 *   FAIL_ALLOC_LOG=FILE            made when one fails; else written at the end: how many there were
 *
 * What comes before main, and after exit() has begun, is not counted.
 */
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *p, size_t size);

static struct {
    bool on, own, stays;
    long at;
    uintptr_t from, to; /* of the program's code */
    int log;            /* -1: none */
    atomic_long seen;
} plan;

static int first_object(struct dl_phdr_info *info, size_t size, void *ctx)
{
    (void)size;
    (void)ctx;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type == PT_LOAD && (info->dlpi_phdr[i].p_flags & PF_X)) {
            plan.from = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
            plan.to = plan.from + info->dlpi_phdr[i].p_memsz;
        }
    }
    return 1; /* the program comes first */
}

static void say(const char *text)
{
    if (plan.log >= 0 && ftruncate(plan.log, 0) == 0) {
        (void)!pwrite(plan.log, text, strlen(text), 0);
    }
}

static bool fails(const void *caller)
{
    uintptr_t at = (uintptr_t)caller;
    if (!plan.on || (at >= plan.from && at < plan.to) != plan.own) {
        return false;
    }
    long n = atomic_fetch_add(&plan.seen, 1) + 1;
    bool now = plan.at > 0 && (n == plan.at || (plan.stays && n > plan.at));
    if (now && n == plan.at) {
        say("failed");
    }
    errno = now ? ENOMEM : errno;
    return now;
}

void *malloc(size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *p, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_realloc(p, size);
}

__attribute__((constructor)) static void begin(void)
{
    const char *whose = getenv("FAIL_ALLOC_WHOSE"), *at = getenv("FAIL_ALLOC_AT");
    plan.own = whose && strcmp(whose, "own") == 0;
    plan.at = at ? strtol(at, NULL, 10) : 0;
    plan.stays = getenv("FAIL_ALLOC_STAYS") != NULL;
    const char *log = getenv("FAIL_ALLOC_LOG"); /* opened now: later the program may not open it any more */
    plan.log = log ? open(log, O_WRONLY | O_CREAT | O_CLOEXEC | O_TRUNC, 0600) : -1;
    dl_iterate_phdr(first_object, NULL);
    plan.on = whose != NULL;
}

__attribute__((destructor)) static void end(void)
{
    char text[32];
    long seen = atomic_load(&plan.seen);
    plan.on = false;
    if (plan.at == 0 || seen < plan.at) {
        snprintf(text, sizeof text, "%ld", seen);
        say(text);
    }
}
