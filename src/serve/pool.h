/* SPDX-License-Identifier: MIT
 *
 * pool.h - a few threads that may wait for a database, each with read-only connections of its own, opened when first
 * needed and again after they failed.
 */
#ifndef WIKITALLY_SERVE_POOL_H
#define WIKITALLY_SERVE_POOL_H

#include "journal/journal.h"
#include "sink/results.h"

enum {
    POOL_THREADS = 2, /* for what a database answers, at once */
    POOL_QUEUE = 64,
    /* For what may take seconds: brokers, and looking through records (ask.h). Who waits longest still has its answer
     * before its connection is cut: (queue / threads + 1) x ASK_US and a second. */
    ASKER_THREADS = 2,
    ASKER_QUEUE = 4,
};

struct readers {
    const char *directory;   /* borrowed */
    struct journal *journal; /* of this process, or NULL: by directory */
    struct journal_reader *journal_reader;
    struct results *results;
};
/* The thread's own connections. Errors: EXIT_NOINPUT while there is no such database yet. */
enum err_class readers_journal(struct readers *r, struct journal_reader **ret_reader, struct err *err);
enum err_class readers_results(struct readers *r, struct results **ret_results, struct err *err);
void readers_drop(struct readers *r); /* after an error: closes both, the next call opens them again */

struct pool;
struct pool *pool_new(const char *directory, struct journal *journal, size_t threads, size_t queue);
/* run(ctx, readers) on one of the threads. False: `queue` jobs wait already, or the pool is closed. */
bool pool_submit(struct pool *p, void (*run)(void *ctx, struct readers *readers), void *ctx);
void pool_free(struct pool *p); /* refuses new jobs, finishes those that wait, ends the threads; NULL is fine */

#endif
