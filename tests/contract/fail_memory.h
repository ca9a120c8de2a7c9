/* SPDX-License-Identifier: MIT
 *
 * fail_memory.h - SQLite's memory with one fault in it: its k-th allocation fails, once or from then on. Our own
 * allocations do not fail (err.h: they end the process), so this is how a store runs out of memory. To be called first
 * of all that touches SQLite in a process; for one thread.
 */
#ifndef WIKITALLY_TESTS_FAIL_MEMORY_H
#define WIKITALLY_TESTS_FAIL_MEMORY_H

#include "base/err.h"

#include <sqlite3.h>

#include <stdbool.h>

static struct {
    sqlite3_mem_methods real;
    int64_t at, seen; /* at 0: nothing fails */
    bool stays;
} fail_memory;

static inline bool fail_memory_now(void)
{
    if (fail_memory.at == 0) {
        return false;
    }
    const int64_t n = ++fail_memory.seen;
    return n == fail_memory.at || (fail_memory.stays && n > fail_memory.at);
}

static void *fail_memory_malloc(int size)
{
    return fail_memory_now() ? NULL : fail_memory.real.xMalloc(size);
}

static void *fail_memory_realloc(void *at, int size)
{
    return fail_memory_now() ? NULL : fail_memory.real.xRealloc(at, size);
}

static inline void fail_memory_install(void)
{
    ensure(sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0) == SQLITE_OK);
    ensure(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &fail_memory.real) == SQLITE_OK);
    sqlite3_mem_methods ours = fail_memory.real;
    ours.xMalloc = fail_memory_malloc;
    ours.xRealloc = fail_memory_realloc;
    ensure(sqlite3_config(SQLITE_CONFIG_MALLOC, &ours) == SQLITE_OK);
    ensure(sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0) == SQLITE_OK); /* or most would never get here */
    ensure(sqlite3_initialize() == SQLITE_OK);
}

/* at 0: none fails. Also forgets what was seen. */
static inline void fail_memory_plan(int64_t at, bool stays)
{
    fail_memory.at = at;
    fail_memory.seen = 0;
    fail_memory.stays = stays;
}

static inline bool fail_memory_happened(void)
{
    return fail_memory.at && fail_memory.seen >= fail_memory.at;
}

#endif
