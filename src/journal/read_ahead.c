/* SPDX-License-Identifier: MIT
 *
 * read_ahead.c - a reader that reads the next page while its caller works on this one. Reading a page is mostly
 * unpacking; a task that catches up would do that and its own work by turns, on one core.
 *
 * One slot, one thread with a reader of its own. The slot is IDLE; or asked for (the thread has it); or READY. What is
 * in it is a guess: the caller gets it if it asks for just that page, else an ordinary read answers, and so it does
 * where the guess met an error or found nothing. A guess is made only behind a page that was at least half full: who is
 * up to date asks for pages that are not written yet.
 */
#include "journal/inside.h"

#include <pthread.h>
#include <stdlib.h>

enum slot_state { SLOT_IDLE, SLOT_ASKED, SLOT_READY };

struct ahead {
    struct journal_reader base; /* first */
    struct journal_reader *now; /* the caller's thread */
    struct journal_reader *later;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stop;
    enum slot_state state; /* SLOT_ASKED: what follows is the thread's alone */
    uint32_t partition;
    int64_t from;
    size_t max_records;
    struct arena arena;
    struct journal_page page; /* in arena; empty: no luck */
};

static struct ahead *ahead_of(struct journal_reader *r)
{
    return (struct ahead *)r;
}

static void *thread_main(void *arg)
{
    struct ahead *a = arg;
    pthread_setname_np(pthread_self(), "read-ahead");
    pthread_mutex_lock(&a->lock);
    while (!a->stop) {
        if (a->state != SLOT_ASKED) {
            pthread_cond_wait(&a->changed, &a->lock);
            continue;
        }
        pthread_mutex_unlock(&a->lock);
        struct err err = {0};
        arena_reset(&a->arena);
        if (journal_reader_read(a->later, a->partition, a->from, a->max_records, &a->arena, &a->page, &err)) {
            a->page = (struct journal_page){0};
        }
        pthread_mutex_lock(&a->lock);
        a->state = SLOT_READY;
        pthread_cond_broadcast(&a->changed);
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

/* The page from the slot, and its memory in exchange for the caller's, which must be empty. */
static bool slot_take(struct ahead *a, uint32_t partition, int64_t from, size_t max_records, struct arena *arena,
                      struct journal_page *ret_page)
{
    bool taken = false;
    pthread_mutex_lock(&a->lock);
    bool same = a->partition == partition && a->from == from && a->max_records == max_records;
    while (same && a->state == SLOT_ASKED) {
        pthread_cond_wait(&a->changed, &a->lock);
    }
    if (a->state == SLOT_READY) {
        taken = same && a->page.count > 0 && arena->used_bytes == 0;
        if (taken) {
            struct arena mine = a->arena;
            a->arena = *arena;
            *arena = mine;
            *ret_page = a->page;
        }
        a->state = SLOT_IDLE;
    }
    pthread_mutex_unlock(&a->lock);
    return taken;
}

static void slot_ask(struct ahead *a, uint32_t partition, int64_t from, size_t max_records)
{
    pthread_mutex_lock(&a->lock);
    if (a->state == SLOT_IDLE) {
        a->partition = partition;
        a->from = from;
        a->max_records = max_records;
        a->state = SLOT_ASKED;
        pthread_cond_broadcast(&a->changed);
    }
    pthread_mutex_unlock(&a->lock);
}

static enum err_class ahead_read(struct journal_reader *r, uint32_t partition, int64_t from, size_t max_records,
                                 struct arena *arena, struct journal_page *ret_page, struct err *err)
{
    struct ahead *a = ahead_of(r);
    if (!slot_take(a, partition, from, max_records, arena, ret_page)) {
        enum err_class c = journal_reader_read(a->now, partition, from, max_records, arena, ret_page, err);
        if (c) {
            return c;
        }
    }
    if (ret_page->count > max_records / 2) {
        slot_ask(a, partition, ret_page->records[ret_page->count - 1].offset + 1, max_records);
    }
    return ERR_NONE;
}

/* ---- the rest is the plain reader's */

static enum err_class ahead_info(struct journal_reader *r, struct journal_info *ret_info, struct err *err)
{
    return journal_reader_info(ahead_of(r)->now, ret_info, err);
}

static enum err_class ahead_bounds(struct journal_reader *r, uint32_t partition, int64_t *ret_head, int64_t *ret_end,
                                   struct err *err)
{
    return journal_reader_bounds(ahead_of(r)->now, partition, ret_head, ret_end, err);
}

static enum err_class ahead_seek(struct journal_reader *r, uint32_t partition, int64_t arrival_us, int64_t *ret_offset,
                                 struct err *err)
{
    return journal_reader_seek_arrival(ahead_of(r)->now, partition, arrival_us, ret_offset, err);
}

static enum err_class ahead_note(struct journal_reader *r, struct str key, struct arena *arena, struct str *ret_value,
                                 struct err *err)
{
    return journal_reader_note(ahead_of(r)->now, key, arena, ret_value, err);
}

static enum err_class ahead_dead(struct journal_reader *r, int64_t from_id,
                                 bool (*each)(const struct dead_letter *d, void *ctx), void *ctx, struct err *err)
{
    return journal_reader_dead(ahead_of(r)->now, from_id, each, ctx, err);
}

static enum err_class ahead_tally(struct journal_reader *r, bool (*each)(const struct tally_row *row, void *ctx),
                                  void *ctx, struct err *err)
{
    return journal_reader_tally(ahead_of(r)->now, each, ctx, err);
}

static enum err_class ahead_verify(struct journal_reader *r, void (*problem)(const char *text, void *ctx), void *ctx,
                                   struct journal_verified *ret_verified, struct err *err)
{
    return journal_reader_verify(ahead_of(r)->now, problem, ctx, ret_verified, err);
}

/* ---- life */

static void ahead_close(struct journal_reader *r)
{
    struct ahead *a = ahead_of(r);
    pthread_mutex_lock(&a->lock);
    a->stop = true;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
    pthread_join(a->thread, NULL);
    pthread_cond_destroy(&a->changed);
    pthread_mutex_destroy(&a->lock);
    journal_reader_close(a->now);
    journal_reader_close(a->later);
    arena_fini(&a->arena);
    free(a);
}

static const struct journal_reader_ops ahead_ops = {
    .close = ahead_close,
    .info = ahead_info,
    .bounds = ahead_bounds,
    .read = ahead_read,
    .seek_arrival = ahead_seek,
    .note = ahead_note,
    .dead = ahead_dead,
    .tally = ahead_tally,
    .verify = ahead_verify,
};

enum err_class journal_reader_ahead(struct journal *j, struct journal_reader **ret_reader, struct err *err)
{
    struct ahead *a = xcalloc(1, sizeof *a);
    a->base.ops = &ahead_ops;
    enum err_class c = journal_reader_new(j, &a->now, err);
    if (!c) {
        c = journal_reader_new(j, &a->later, err);
    }
    if (c) {
        journal_reader_close(a->now);
        free(a);
        return c;
    }
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->changed, NULL);
    if (pthread_create(&a->thread, NULL, thread_main, a) != 0) { /* slower, but as right */
        *ret_reader = TAKE(a->now);
        journal_reader_close(a->later);
        pthread_cond_destroy(&a->changed);
        pthread_mutex_destroy(&a->lock);
        free(a);
        return ERR_NONE;
    }
    *ret_reader = &a->base;
    return ERR_NONE;
}
