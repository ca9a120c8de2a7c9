/* SPDX-License-Identifier: MIT
 *
 * ahead.c - see ahead.h. A ring of pages in the order of offsets; one thread fills it behind the last, the task takes
 * the first. A new question makes what is being read meanwhile worthless: `round` tells.
 */
#include "app/ahead.h"

#include <pthread.h>
#include <stdlib.h>

enum { SPARSE_PAGE = 512 };

struct page {
    struct arena memory;
    struct handed handed; /* in memory */
    int64_t from;
};

struct ahead {
    struct journal_reader *reader; /* the thread's */
    const struct field_set *fields;
    bool sparse; /* the journal */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stop;

    uint64_t round; /* of questions */
    bool reading;   /* is there more to read, at `cursor`? */
    uint32_t partition;
    int64_t cursor;
    size_t max_records;

    struct page pages[AHEAD_PAGES];
    size_t first, count; /* those that are ready */
    bool in_use;         /* the first one */
};

/* ---- the thread */

static void page_scan(const struct ahead *a, struct page *page, const struct journal_page *read)
{
    size_t fields = field_set_count(a->fields), at;
    struct value *all = arena_alloc(&page->memory, read->count * fields * sizeof *all);
    const struct value **values = arena_alloc(&page->memory, read->count * sizeof(*values));
    for (size_t i = 0; i < read->count; i++) {
        struct value *mine = all + i * fields;
        values[i] = change_scan(a->fields, read->records[i].value, mine, &at) == DEAD_NONE ? mine : NULL;
    }
    page->handed = (struct handed){read->records, values, read->count};
}

/* Is it worth reading on behind these? A page that is half full says so; of a journal on Kafka, which gives what has
 * come so far, the journal's end. */
static bool goes_on(const struct ahead *a, uint32_t partition, const struct journal_page *read, size_t max_records)
{
    int64_t head, end;
    struct err err = {0};
    if (read->count == 0 || !a->sparse) {
        return read->count > max_records / 2;
    }
    return journal_reader_bounds(a->reader, partition, &head, &end, &err) == ERR_NONE &&
           read->records[read->count - 1].offset + 1 < end;
}

/* -> goes_on */
static bool page_read(const struct ahead *a, struct page *page, uint32_t partition, int64_t from, size_t max_records)
{
    struct journal_page read = {0};
    struct err err = {0};
    max_records = a->sparse && max_records > SPARSE_PAGE ? SPARSE_PAGE : max_records;
    arena_reset(&page->memory);
    page->from = from;
    page->handed = (struct handed){0};
    if (journal_reader_read(a->reader, partition, from, max_records, &page->memory, &read, &err) != ERR_NONE ||
        read.count == 0) {
        return false;
    }
    page_scan(a, page, &read);
    return goes_on(a, partition, &read, max_records);
}

/* With the lock, which is let go while it reads. */
static void page_add(struct ahead *a)
{
    struct page *page = &a->pages[(a->first + a->count) % AHEAD_PAGES];
    uint64_t round = a->round;
    uint32_t partition = a->partition;
    int64_t from = a->cursor;
    size_t max_records = a->max_records;
    pthread_mutex_unlock(&a->lock);
    bool more = page_read(a, page, partition, from, max_records);
    pthread_mutex_lock(&a->lock);
    if (round != a->round) {
        return;
    }
    size_t count = page->handed.count;
    a->reading = more;
    if (count > 0) {
        a->count++;
        a->cursor = page->handed.records[count - 1].offset + 1;
    }
    pthread_cond_broadcast(&a->changed);
}

static void *thread_main(void *arg)
{
    struct ahead *a = arg;
    pthread_setname_np(pthread_self(), "ahead");
    pthread_mutex_lock(&a->lock);
    while (!a->stop) {
        if (a->reading && a->count < AHEAD_PAGES) {
            page_add(a);
        } else {
            pthread_cond_wait(&a->changed, &a->lock);
        }
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

/* ---- life */

enum err_class ahead_new(struct journal *j, const struct field_set *fields, struct ahead **ret_ahead, struct err *err)
{
    struct ahead *a = xcalloc(1, sizeof *a);
    a->fields = fields;
    a->sparse = journal_sparse(j);
    enum err_class cls = journal_reader_new(j, &a->reader, err);
    if (cls) {
        free(a);
        return cls;
    }
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->changed, NULL);
    if (pthread_create(&a->thread, NULL, thread_main, a) != 0) {
        pthread_cond_destroy(&a->changed);
        pthread_mutex_destroy(&a->lock);
        journal_reader_close(a->reader);
        free(a);
        return err_set(err, ERR_FATAL, EXIT_OSERR, "cannot start a thread that reads ahead");
    }
    *ret_ahead = a;
    return ERR_NONE;
}

void ahead_free(struct ahead *a)
{
    if (!a) {
        return;
    }
    pthread_mutex_lock(&a->lock);
    a->stop = true;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
    pthread_join(a->thread, NULL);
    pthread_cond_destroy(&a->changed);
    pthread_mutex_destroy(&a->lock);
    journal_reader_close(a->reader);
    for (size_t i = 0; i < AHEAD_PAGES; i++) {
        arena_fini(&a->pages[i].memory);
    }
    free(a);
}

/* ---- the task */

static void drop_all(struct ahead *a)
{
    a->round++;
    a->reading = a->in_use = false;
    a->count = 0;
}

static void first_drop(struct ahead *a)
{
    if (!a->reading) { /* caught up: nobody needs so much for a while */
        arena_fini(&a->pages[a->first].memory);
    }
    a->in_use = false;
    a->first = (a->first + 1) % AHEAD_PAGES;
    a->count--;
    pthread_cond_broadcast(&a->changed);
}

void ahead_ask(struct ahead *a, uint32_t partition, int64_t from, size_t max_records)
{
    pthread_mutex_lock(&a->lock);
    drop_all(a);
    a->reading = true;
    a->partition = partition;
    a->cursor = from;
    a->max_records = max_records;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
}

bool ahead_take(struct ahead *a, uint32_t partition, int64_t from, size_t max_records, struct handed *ret)
{
    pthread_mutex_lock(&a->lock);
    if (a->in_use) {
        first_drop(a);
    }
    int64_t next = a->count > 0 ? a->pages[a->first].from : a->cursor;
    bool known = (a->count > 0 || a->reading) && a->partition == partition && a->max_records == max_records;
    if (!known || next != from) {
        drop_all(a);
    }
    while (a->count == 0 && a->reading) {
        pthread_cond_wait(&a->changed, &a->lock);
    }
    a->in_use = a->count > 0;
    if (a->in_use) {
        *ret = a->pages[a->first].handed;
    }
    bool taken = a->in_use;
    pthread_mutex_unlock(&a->lock);
    return taken;
}
