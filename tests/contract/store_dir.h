/* SPDX-License-Identifier: MIT
 *
 * store_dir.h - a directory of its own for each test of a store, and a manual clock.
 */
#ifndef WIKITALLY_TESTS_STORE_DIR_H
#define WIKITALLY_TESTS_STORE_DIR_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Is this built with a sanitizer? Forks and files cost ten times as much then. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

struct store_dir {
    char path[128];
    struct clock_manual clock;
};

static inline void store_dir_init(struct store_dir *d)
{
    const char *base = getenv("TMPDIR");
    snprintf(d->path, sizeof d->path, "%s/wikitally-store-XXXXXX", base && *base ? base : "/tmp");
    ensure(mkdtemp(d->path) != NULL);
    clock_manual_init(&d->clock, (int64_t)1700000000 * US_PER_SECOND);
}

/* One level: stores make no directories. */
static inline void store_dir_fini(struct store_dir *d)
{
    DIR *dir = opendir(d->path);
    for (const struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
        unlinkat(dirfd(dir), e->d_name, 0);
    }
    if (dir != NULL) {
        closedir(dir);
    }
    rmdir(d->path);
}

#define assert_ok(call, e)                                                                                             \
    do {                                                                                                               \
        if ((call) != ERR_NONE) {                                                                                      \
            fail_msg("%s: %s", #call, (e).text);                                                                       \
        }                                                                                                              \
    } while (0)

#define assert_error(call, e, cls, exit)                                                                               \
    do {                                                                                                               \
        assert_int_equal((call), (cls));                                                                               \
        assert_int_equal(err_exit_code(&(e)), (exit));                                                                 \
        assert_true((e).text[0] != '\0');                                                                              \
    } while (0)

#endif
