/* SPDX-License-Identifier: MIT
 *
 * pool.c - see pool.h. The queue is base/queue.h; a job is a small malloc'd pair.
 */
#include "serve/pool.h"

#include "base/queue.h"

#include <pthread.h>
#include <stdlib.h>

struct job {
    void (*run)(void *ctx, struct readers *readers);
    void *ctx;
};

struct pool {
    struct queue *queue;
    const char *directory;
    struct journal *journal;
    pthread_t threads[POOL_THREADS > ASKER_THREADS ? POOL_THREADS : ASKER_THREADS];
    size_t thread_count;
};

enum err_class readers_journal(struct readers *r, struct journal_reader **ret_reader, struct err *err)
{
    if (!r->journal_reader) {
        enum err_class c = r->journal ? journal_reader_new(r->journal, &r->journal_reader, err)
                                      : journal_reader_open(r->directory, &r->journal_reader, err);
        if (c)
            return c;
    }
    *ret_reader = r->journal_reader;
    return ERR_NONE;
}

enum err_class readers_results(struct readers *r, struct results **ret_results, struct err *err)
{
    if (!r->results) {
        enum err_class c = results_open(r->directory, &r->results, err);
        if (c)
            return c;
    }
    *ret_results = r->results;
    return ERR_NONE;
}

void readers_drop(struct readers *r)
{
    if (r->journal_reader)
        journal_reader_close(r->journal_reader);
    if (r->results)
        results_close(r->results);
    r->journal_reader = NULL;
    r->results = NULL;
}

static void *pool_thread(void *arg)
{
    struct pool *p = arg;
    struct readers readers = {.directory = p->directory, .journal = p->journal};
    struct job *job;
    pthread_setname_np(pthread_self(), "pool");
    while ((job = queue_pop(p->queue, -1))) {
        job->run(job->ctx, &readers);
        free(job);
    }
    readers_drop(&readers);
    return NULL;
}

struct pool *pool_new(const char *directory, struct journal *journal, size_t threads, size_t queue)
{
    struct pool *p = xcalloc(1, sizeof(*p));
    ensure(threads <= sizeof(p->threads) / sizeof(*p->threads));
    p->queue = queue_new(queue);
    p->directory = directory;
    p->journal = journal;
    while (p->thread_count < threads && pthread_create(&p->threads[p->thread_count], NULL, pool_thread, p) == 0)
        p->thread_count++;
    if (p->thread_count == 0) {
        queue_free(p->queue);
        free(p);
        return NULL;
    }
    return p;
}

bool pool_submit(struct pool *p, void (*run)(void *ctx, struct readers *readers), void *ctx)
{
    struct job *job = xmalloc(sizeof(*job));
    *job = (struct job){run, ctx};
    if (queue_push(p->queue, job, 0))
        return true;
    free(job);
    return false;
}

void pool_free(struct pool *p)
{
    if (!p)
        return;
    queue_close(p->queue);
    for (size_t i = 0; i < p->thread_count; i++)
        pthread_join(p->threads[i], NULL);
    queue_free(p->queue);
    free(p);
}
