/* SPDX-License-Identifier: MIT
 *
 * memory.c - a journal in memory, for tests: several partitions, the same rules, nothing durable. Readers may be in
 * other threads: one mutex around everything. A record keeps the number of the append that brought it, which stands for
 * its batch.
 */
#include "base/fault.h"
#include "journal/memory_private.h"

#include <stdlib.h>

static void record_lose(struct memory_journal *m, struct memory_record *r)
{
    if (r->batch >= 0) {
        m->bytes -= (int64_t)r->record.value.len;
        free((void *)(uintptr_t)r->record.value.ptr);
        r->record.value = (struct str){0};
        r->batch = -1;
    }
}

static void head_move(struct memory_partition *p)
{
    while (p->head < p->count && p->records[p->head].batch < 0) {
        p->head++;
    }
}

/* ---- appending */

static void record_add(struct memory_journal *m, const struct record *from)
{
    struct memory_partition *p = &m->partitions[from->partition];
    if (p->count == p->cap) {
        p->cap = p->cap ? p->cap * 2 : 64;
        p->records = xrealloc(p->records, (size_t)p->cap * sizeof *p->records);
    }
    struct memory_record *r = &p->records[p->count];
    *r = (struct memory_record){.record = *from, .batch = m->batches};
    r->record.offset = p->count++;
    r->record.value.ptr = str_dup(from->value);
    m->bytes += (int64_t)from->value.len;
    if (from->arrival_us > m->newest_arrival_us) {
        m->newest_arrival_us = from->arrival_us;
    }
}

static void note_put(struct memory_journal *m, const struct note *note)
{
    struct memory_note *n = NULL;
    for (size_t i = 0; i < m->note_count; i++) {
        if (str_eq(str_n(m->notes[i].key, m->notes[i].key_len), note->key)) {
            n = &m->notes[i];
        }
    }
    if (n == NULL) {
        m->notes = xrealloc(m->notes, (m->note_count + 1) * sizeof *m->notes);
        n = &m->notes[m->note_count++];
        *n = (struct memory_note){.key = str_dup(note->key), .key_len = note->key.len};
    }
    free(n->value);
    n->value = str_dup(note->value);
    n->value_len = note->value.len;
}

static void dead_add(struct memory_journal *m, const struct dead_letter *d)
{
    m->dead = xrealloc(m->dead, (m->dead_count + 1) * sizeof *m->dead);
    struct dead_letter *to = &m->dead[m->dead_count++];
    *to = *d;
    to->id = (int64_t)m->dead_count;
    to->stage = arena_dup(&m->texts, str_of(d->stage)).ptr;
    to->reason = arena_dup(&m->texts, str_of(d->reason)).ptr;
    to->detail = arena_dup(&m->texts, d->detail);
    to->position = arena_dup(&m->texts, d->position);
    to->bytes = arena_dup(&m->texts, d->bytes);
}

static void tally_put(struct memory_journal *m, const struct tally_row *row)
{
    for (size_t i = 0; i < m->tally_count; i++) {
        struct tally_row *t = &m->tally[i];
        if (t->by == row->by && t->minute == row->minute && t->bucket == row->bucket) {
            t->count += row->count;
            return;
        }
    }
    m->tally = xrealloc(m->tally, (m->tally_count + 1) * sizeof *m->tally);
    m->tally[m->tally_count++] = *row;
}

static bool minute_is_plain(int64_t minute)
{
    return minute != TALLY_NO_TIME && minute != TALLY_OLDER && minute != TALLY_AHEAD;
}

static void fold_old(struct memory_journal *m)
{
    int64_t floor = journal_tally_floor(m->newest_arrival_us);
    for (size_t i = 0; i < m->tally_count; i++) {
        struct tally_row row = m->tally[i];
        if (minute_is_plain(row.minute) && row.minute < floor) {
            m->tally[i--] = m->tally[--m->tally_count];
            row.minute = TALLY_OLDER;
            tally_put(m, &row);
        }
    }
}

static enum err_class memory_append(struct journal *j, const struct batch *batch, int64_t *ret_ends, struct err *err)
{
    struct memory_journal *m = memory_of(j);
    int64_t more = 0;
    for (size_t i = 0; i < batch->record_count; i++) {
        more += (int64_t)batch->records[i].value.len;
    }
    pthread_mutex_lock(&m->mutex);
    bool full = m->max_bytes > 0 && m->bytes + more > m->max_bytes;
    m->full = full || failpoint("journal.full");
    if (m->full) {
        pthread_mutex_unlock(&m->mutex);
        return err_set(err, ERR_RETRY, EXIT_IOERR, "journal: full; nothing was written");
    }
    for (size_t i = 0; i < batch->record_count; i++) {
        record_add(m, &batch->records[i]);
    }
    m->batches++;
    for (size_t i = 0; i < batch->dead_count; i++) {
        dead_add(m, &batch->dead[i]);
    }
    for (size_t i = 0; i < batch->note_count; i++) {
        note_put(m, &batch->notes[i]);
    }
    for (size_t i = 0; i < batch->tally_count; i++) {
        tally_put(m, &batch->tally[i]);
    }
    fold_old(m);
    for (uint32_t p = 0; ret_ends != NULL && p < j->info.partitions; p++) {
        ret_ends[p] = m->partitions[p].count;
    }
    pthread_mutex_unlock(&m->mutex);
    return ERR_NONE;
}

/* ---- retention (R13) */

/* The oldest batch of a partition: [head, *ret_end), its newest arrival. */
static bool batch_first(const struct memory_partition *p, int64_t *ret_end, int64_t *ret_newest_us)
{
    if (p->head >= p->count) {
        return false;
    }
    int64_t batch = p->records[p->head].batch, at = p->head;
    *ret_newest_us = TIME_NONE;
    for (; at < p->count && p->records[at].batch == batch; at++) {
        if (p->records[at].record.arrival_us > *ret_newest_us) {
            *ret_newest_us = p->records[at].record.arrival_us;
        }
    }
    *ret_end = at;
    return true;
}

/* The partition whose oldest batch may go and is the oldest of all; -1: none. */
static int64_t partition_oldest(struct memory_journal *m, const struct journal_retention *r, bool by_age,
                                int64_t *ret_end)
{
    int64_t best = -1, best_us = 0;
    for (uint32_t p = 0; p < m->base.info.partitions; p++) {
        int64_t end, newest;
        if (!batch_first(&m->partitions[p], &end, &newest) ||
            (!r->hard && r->keep != NULL && end > r->keep[p] && !fault("R13.keep"))) {
            continue;
        }
        if (by_age && (newest == TIME_NONE || r->newest_arrival_us == TIME_NONE ||
                       newest >= r->newest_arrival_us - r->max_age_us)) {
            continue;
        }
        if (best < 0 || newest < best_us) {
            best = p;
            best_us = newest;
            *ret_end = end;
        }
    }
    return best;
}

static enum err_class memory_retain(struct journal *j, const struct journal_retention *given, int64_t *ret_removed,
                                    struct err *err)
{
    (void)err;
    struct memory_journal *m = memory_of(j);
    pthread_mutex_lock(&m->mutex);
    struct journal_retention limits = journal_room(given, m->bytes, m->full), *r = &limits;
    for (;;) {
        int64_t end = 0, p = -1;
        if (r->max_age_us > 0) {
            p = partition_oldest(m, r, true, &end);
        }
        if (p < 0 && r->max_bytes > 0 && m->bytes > r->max_bytes) {
            p = partition_oldest(m, r, false, &end);
        }
        if (p < 0) {
            break;
        }
        struct memory_partition *part = &m->partitions[p];
        *ret_removed += end - part->head;
        for (int64_t at = part->head; at < end; at++) {
            record_lose(m, &part->records[at]);
        }
        head_move(part);
    }
    pthread_mutex_unlock(&m->mutex);
    return ERR_NONE;
}

static enum err_class memory_dead_retried(struct journal *j, int64_t id, int64_t wall_us, struct err *err)
{
    struct memory_journal *m = memory_of(j);
    if (id < 1 || id > (int64_t)m->dead_count) {
        return err_set(err, ERR_REJECT, EXIT_NO, "there is no dead letter %lld", (long long)id);
    }
    pthread_mutex_lock(&m->mutex);
    m->dead[id - 1].retried_us = wall_us;
    pthread_mutex_unlock(&m->mutex);
    return ERR_NONE;
}

static enum err_class memory_skip(struct journal *j, uint32_t partition, int64_t offset, struct err *err)
{
    struct memory_journal *m = memory_of(j);
    struct memory_partition *p = &m->partitions[partition];
    if (partition >= j->info.partitions || offset < p->head || offset >= p->count || p->records[offset].batch < 0) {
        return journal_no_such_offset(partition, offset, err);
    }
    pthread_mutex_lock(&m->mutex);
    int64_t batch = p->records[offset].batch;
    for (int64_t at = p->head; at < p->count; at++) {
        if (p->records[at].batch == batch) {
            record_lose(m, &p->records[at]);
        }
    }
    head_move(p);
    pthread_mutex_unlock(&m->mutex);
    return ERR_NONE;
}

/* ---- life, and what tests do to it */

static void partitions_clear(struct memory_journal *m)
{
    for (uint32_t p = 0; p < PARTITION_MAX; p++) {
        for (int64_t at = 0; at < m->partitions[p].count; at++) {
            record_lose(m, &m->partitions[p].records[at]);
        }
        free(m->partitions[p].records);
        m->partitions[p] = (struct memory_partition){0};
    }
}

static void contents_clear(struct memory_journal *m)
{
    partitions_clear(m);
    for (size_t i = 0; i < m->note_count; i++) {
        free(m->notes[i].key);
        free(m->notes[i].value);
    }
    m->note_count = m->dead_count = m->tally_count = 0;
    m->newest_arrival_us = TIME_NONE;
    arena_reset(&m->texts);
}

static void memory_close(struct journal *j)
{
    struct memory_journal *m = memory_of(j);
    contents_clear(m);
    arena_fini(&m->texts);
    free(m->notes);
    free(m->dead);
    free(m->tally);
    pthread_mutex_destroy(&m->mutex);
    journal_fini(j);
    free(m);
}

static const struct journal_ops memory_ops = {
    .close = memory_close,
    .append = memory_append,
    .retain = memory_retain,
    .dead_retried = memory_dead_retried,
    .skip = memory_skip,
    .reader = memory_reader_new,
};

enum err_class journal_open_memory(const struct journal_options *options, struct journal **ret_journal, struct err *err)
{
    struct journal_info info;
    enum err_class c = journal_info_new(options, &info, err);
    if (c) {
        return c;
    }
    struct memory_journal *m = xcalloc(1, sizeof *m);
    journal_init(&m->base, &memory_ops);
    pthread_mutex_init(&m->mutex, NULL);
    m->base.info = info;
    m->clock = options->clock;
    m->max_bytes = options->max_bytes;
    m->newest_arrival_us = TIME_NONE;
    *ret_journal = &m->base;
    return ERR_NONE;
}

void journal_memory_lose(struct journal *j, uint32_t partition, int64_t from, int64_t to)
{
    struct memory_journal *m = memory_of(j);
    pthread_mutex_lock(&m->mutex);
    struct memory_partition *p = &m->partitions[partition];
    for (int64_t at = from < 0 ? 0 : from; at < to && at < p->count; at++) {
        record_lose(m, &p->records[at]);
    }
    head_move(p);
    pthread_mutex_unlock(&m->mutex);
}

void journal_memory_cut(struct journal *j, uint32_t partition, int64_t end)
{
    struct memory_journal *m = memory_of(j);
    pthread_mutex_lock(&m->mutex);
    struct memory_partition *p = &m->partitions[partition];
    while (p->count > end && p->count > 0) {
        record_lose(m, &p->records[--p->count]);
    }
    p->head = p->head > p->count ? p->count : p->head;
    pthread_mutex_unlock(&m->mutex);
}

void journal_memory_corrupt(struct journal *j, uint32_t partition, int64_t offset)
{
    struct memory_journal *m = memory_of(j);
    pthread_mutex_lock(&m->mutex);
    if (offset >= 0 && offset < m->partitions[partition].count) {
        m->partitions[partition].records[offset].corrupt = true;
    }
    pthread_mutex_unlock(&m->mutex);
}

void journal_memory_replace(struct journal *j, uint32_t partitions)
{
    struct memory_journal *m = memory_of(j);
    struct journal_options options = {.source = j->info.source, .partitions = partitions, .clock = m->clock};
    struct journal_info info;
    pthread_mutex_lock(&m->mutex);
    contents_clear(m);
    if (journal_info_new(&options, &info, NULL) == ERR_NONE) {
        j->info = info;
    }
    pthread_mutex_unlock(&m->mutex);
}

void journal_memory_partitions(struct journal *j, uint32_t partitions)
{
    struct memory_journal *m = memory_of(j);
    ensure(partitions >= j->info.partitions && partitions <= PARTITION_MAX);
    pthread_mutex_lock(&m->mutex);
    j->info.partitions = partitions;
    pthread_mutex_unlock(&m->mutex);
}

void journal_memory_adopt(struct journal *j)
{
    struct memory_journal *m = memory_of(j);
    pthread_mutex_lock(&m->mutex);
    j->info.epoch++;
    pthread_mutex_unlock(&m->mutex);
}
