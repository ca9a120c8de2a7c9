/* SPDX-License-Identifier: MIT
 *
 * memory_reader.c - reading a journal in memory (memory.c). Readers may be in other threads than the writer.
 */
#include "base/fault.h"
#include "journal/memory_private.h"

#include <stdlib.h>

static struct memory_journal *lock_of(struct journal_reader *r)
{
    struct memory_journal *m = ((struct memory_reader *)r)->journal;
    pthread_mutex_lock(&m->mutex);
    return m;
}
static void memory_reader_close(struct journal_reader *r)
{
    free(r);
}

static enum err_class memory_info(struct journal_reader *r, struct journal_info *ret_info, struct err *err)
{
    (void)err;
    struct memory_journal *m = lock_of(r);
    *ret_info = m->base.info;
    ret_info->size_bytes = m->bytes;
    pthread_mutex_unlock(&m->mutex);
    return ERR_NONE;
}

static enum err_class memory_bounds(struct journal_reader *r, uint32_t partition, int64_t *ret_head, int64_t *ret_end,
                                    struct err *err)
{
    (void)err;
    struct memory_journal *m = lock_of(r);
    *ret_head = m->partitions[partition].head;
    *ret_end = m->partitions[partition].count;
    pthread_mutex_unlock(&m->mutex);
    return ERR_NONE;
}

static enum err_class corrupt_error(uint32_t partition, int64_t offset, struct err *err)
{
    return err_set(
        err, ERR_FATAL, EXIT_DATA,
        "journal: the batch with offset %lld of partition %u is corrupt; \"journal repair --skip %lld\" takes it "
        "out of the way",
        (long long)offset, partition, (long long)offset);
}

static enum err_class memory_read(struct journal_reader *r, uint32_t partition, int64_t from, size_t max_records,
                                  struct arena *arena, struct journal_page *ret_page, struct err *err)
{
    struct memory_journal *m = lock_of(r);
    const struct memory_partition *p = &m->partitions[partition];
    int64_t at = from < p->head ? p->head : from;
    size_t room = p->count > at ? (size_t)(p->count - at) : 0, count = 0;
    struct record *records = arena_alloc(arena, ((room < max_records ? room : max_records) + 1) * sizeof *records);
    bool corrupt = false;
    for (; at < p->count && count < max_records && !corrupt; at++) {
        corrupt = p->records[at].corrupt && p->records[at].batch >= 0;
        if (!corrupt && p->records[at].batch >= 0) {
            records[count] = p->records[at].record;
            records[count].value = arena_dup(arena, p->records[at].record.value);
            count++;
        }
    }
    pthread_mutex_unlock(&m->mutex);
    if (corrupt && count == 0) {
        return corrupt_error(partition, at - 1, err);
    }
    *ret_page = (struct journal_page){records, count};
    return ERR_NONE;
}

static enum err_class memory_seek(struct journal_reader *r, uint32_t partition, int64_t arrival_us, int64_t *ret_offset,
                                  struct err *err)
{
    (void)err;
    struct memory_journal *m = lock_of(r);
    const struct memory_partition *p = &m->partitions[partition];
    int64_t first = p->head, batch = -1;
    *ret_offset = p->count;
    for (int64_t at = p->head; at < p->count; at++) {
        if (p->records[at].batch < 0) {
            continue;
        }
        if (p->records[at].batch != batch) {
            batch = p->records[at].batch;
            first = at;
        }
        if (p->records[at].record.arrival_us != TIME_NONE && p->records[at].record.arrival_us >= arrival_us) {
            *ret_offset = first;
            break;
        }
    }
    pthread_mutex_unlock(&m->mutex);
    return ERR_NONE;
}

static enum err_class memory_note_read(struct journal_reader *r, struct str key, struct arena *arena,
                                       struct str *ret_value, struct err *err)
{
    (void)err;
    struct memory_journal *m = lock_of(r);
    *ret_value = (struct str){0};
    for (size_t i = 0; i < m->note_count; i++) {
        if (str_eq(str_n(m->notes[i].key, m->notes[i].key_len), key)) {
            *ret_value = arena_dup(arena, str_n(m->notes[i].value, m->notes[i].value_len));
        }
    }
    pthread_mutex_unlock(&m->mutex);
    return ERR_NONE;
}

static enum err_class memory_dead(struct journal_reader *r, int64_t from_id,
                                  bool (*each)(const struct dead_letter *d, void *ctx), void *ctx, struct err *err)
{
    (void)err;
    struct memory_journal *m = lock_of(r);
    for (size_t i = 0; i < m->dead_count; i++) {
        if (m->dead[i].id >= from_id && !each(&m->dead[i], ctx)) {
            break;
        }
    }
    pthread_mutex_unlock(&m->mutex);
    return ERR_NONE;
}

static int tally_order(const void *a, const void *b)
{
    const struct tally_row *x = a, *y = b;
    if (x->by != y->by) {
        return x->by < y->by ? -1 : 1;
    }
    if (x->minute != y->minute) {
        return x->minute < y->minute ? -1 : 1;
    }
    return (int)x->bucket - (int)y->bucket;
}

static enum err_class memory_tally(struct journal_reader *r, bool (*each)(const struct tally_row *row, void *ctx),
                                   void *ctx, struct err *err)
{
    (void)err;
    struct memory_journal *m = lock_of(r);
    if (m->tally_count > 0) {
        qsort(m->tally, m->tally_count, sizeof *m->tally, tally_order);
    }
    for (size_t i = 0; i < m->tally_count && each(&m->tally[i], ctx); i++) {
    }
    pthread_mutex_unlock(&m->mutex);
    return ERR_NONE;
}

static enum err_class memory_verify(struct journal_reader *r, void (*problem)(const char *text, void *ctx), void *ctx,
                                    struct journal_verified *ret_verified, struct err *err)
{
    struct memory_journal *m = lock_of(r);
    struct journal_verified v = {0};
    struct err found = {0};
    for (uint32_t p = 0; p < m->base.info.partitions; p++) {
        const struct memory_partition *part = &m->partitions[p];
        for (int64_t at = part->head; at < part->count; at++) {
            const struct memory_record *one = &part->records[at], *before = at > part->head ? one - 1 : NULL;
            v.batches += one->batch >= 0 && (before == NULL || before->batch != one->batch);
            v.records += one->batch >= 0;
            v.holes += one->batch < 0 && before != NULL && before->batch >= 0;
            if (one->corrupt && one->batch >= 0) {
                corrupt_error(p, at, &found);
                problem(found.text, ctx);
            }
        }
    }
    pthread_mutex_unlock(&m->mutex);
    *ret_verified = v;
    return found.cls ? err_set(err, ERR_REJECT, EXIT_DATA, "the journal has corrupt batches") : ERR_NONE;
}

static const struct journal_reader_ops memory_reader_ops = {
    .close = memory_reader_close,
    .info = memory_info,
    .bounds = memory_bounds,
    .read = memory_read,
    .seek_arrival = memory_seek,
    .note = memory_note_read,
    .dead = memory_dead,
    .tally = memory_tally,
    .verify = memory_verify,
};

enum err_class memory_reader_new(struct journal *j, struct journal_reader **ret_reader, struct err *err)
{
    (void)err;
    struct memory_reader *r = xcalloc(1, sizeof *r);
    r->base.ops = &memory_reader_ops;
    r->journal = memory_of(j);
    *ret_reader = &r->base;
    return ERR_NONE;
}