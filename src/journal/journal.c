/* SPDX-License-Identifier: MIT
 *
 * journal.c - the front of the journal: hands each call to its implementation, and holds what all have: identity
 * (R2, R15) and the wait for appends.
 */
#include "base/clock.h"
#include "base/condition.h"
#include "base/fault.h"
#include "base/hash.h"
#include "journal/inside.h"

#include <stdio.h>

void journal_init(struct journal *j, const struct journal_ops *ops)
{
    condition_init(&j->appended);
    pthread_mutex_init(&j->lock, NULL);
    j->ops = ops;
    j->record_max = RECORD_MAX_BYTES;
}

void journal_fini(struct journal *j)
{
    pthread_cond_destroy(&j->appended);
    pthread_mutex_destroy(&j->lock);
}

void journal_wake(struct journal *j)
{
    pthread_mutex_lock(&j->lock);
    j->appends++;
    pthread_cond_broadcast(&j->appended);
    pthread_mutex_unlock(&j->lock);
}

uint64_t journal_wait(struct journal *j, uint64_t seen, int64_t timeout_us)
{
    int64_t until_us = clock_mono(&clock_real) + timeout_us;
    pthread_mutex_lock(&j->lock);
    while (j->appends <= seen && timeout_us > 0 && condition_wait(&j->appended, &j->lock, until_us)) {
    }
    uint64_t now = j->appends;
    pthread_mutex_unlock(&j->lock);
    return now;
}

/* ---- identity */

enum err_class journal_info_new(const struct journal_options *options, struct journal_info *ret_info, struct err *err)
{
    struct journal_info info = {.partitions = options->partitions, .created_us = clock_wall(options->clock)};
    if (!options->source) {
        return err_set(err, ERR_REJECT, EXIT_NOINPUT, "there is no journal in \"%s\"",
                       options->directory ? options->directory : "memory");
    }
    if (options->partitions < 1 || options->partitions > PARTITION_MAX) {
        return err_set(err, ERR_REJECT, EXIT_CONFIG, "a journal has 1 to %d partitions, not %u", PARTITION_MAX,
                       options->partitions);
    }
    if (strlen(options->source) >= sizeof info.source) {
        return err_set(err, ERR_REJECT, EXIT_CONFIG, "the source's name is longer than %zu bytes",
                       sizeof info.source - 1);
    }
    snprintf(info.id, sizeof info.id, "%016llx%016llx", (unsigned long long)hash_random_seed(),
             (unsigned long long)hash_random_seed());
    info.seed = hash_random_seed();
    memcpy(info.source, options->source, strlen(options->source) + 1);
    *ret_info = info;
    return ERR_NONE;
}

enum err_class journal_info_check(const struct journal_info *info, const struct journal_options *options,
                                  struct err *err)
{
    if (options->source && strcmp(info->source, options->source) != 0 && !fault("R2.source")) {
        return err_set(
            err, ERR_REJECT, EXIT_CONFIG,
            "the journal holds records of source \"%s\", not of \"%s\"; give this source a directory of its own",
            info->source, options->source);
    }
    if (options->partitions != 0 && options->partitions < info->partitions) {
        return err_set(err, ERR_REJECT, EXIT_CONFIG, "the journal has %u partitions; they can only become more, not %u",
                       info->partitions, options->partitions);
    }
    if (options->partitions > PARTITION_MAX) {
        return err_set(err, ERR_REJECT, EXIT_CONFIG, "a journal has 1 to %d partitions, not %u", PARTITION_MAX,
                       options->partitions);
    }
    return ERR_NONE;
}

const char *journal_id(const struct journal *j)
{
    return j->info.id;
}

int64_t journal_epoch(const struct journal *j)
{
    return j->info.epoch;
}

uint64_t journal_seed(const struct journal *j)
{
    return j->info.seed;
}

uint32_t journal_partitions(const struct journal *j)
{
    return j->info.partitions;
}

bool journal_sparse(const struct journal *j)
{
    return j->info.sparse;
}

int64_t journal_record_max(const struct journal *j)
{
    return j->record_max;
}

int64_t journal_tally_floor(int64_t newest_arrival_us)
{
    return newest_arrival_us == TIME_NONE ? INT64_MIN : tally_first_minute(newest_arrival_us);
}

/* ---- calls */

enum err_class journal_batch_check(const struct journal *j, const struct batch *batch, struct err *err)
{
    for (size_t i = 0; i < batch->record_count; i++) {
        ensure(batch->records[i].partition < j->info.partitions);
        if (batch->records[i].value.len > RECORD_MAX_BYTES) {
            return err_set(err, ERR_REJECT, EXIT_DATA, "a record of %zu bytes is above the journal's maximum of %d",
                           batch->records[i].value.len, RECORD_MAX_BYTES);
        }
    }
    for (size_t i = 0; i < batch->note_count; i++) {
        if (batch->notes[i].value.len > NOTE_MAX_BYTES) {
            return err_set(err, ERR_REJECT, EXIT_INTERNAL, "note \"%.*s\" of %zu bytes is above the maximum of %d",
                           STR_ARG(batch->notes[i].key), batch->notes[i].value.len, NOTE_MAX_BYTES);
        }
    }
    return ERR_NONE;
}

enum err_class journal_no_such_offset(uint32_t partition, int64_t offset, struct err *err)
{
    return err_set(err, ERR_REJECT, EXIT_NO, "the journal holds no batch with offset %lld of partition %u",
                   (long long)offset, partition);
}

void journal_close(struct journal *j)
{
    if (j != NULL) {
        j->ops->close(j);
    }
}

enum err_class journal_append(struct journal *j, const struct batch *batch, int64_t *ret_ends, struct err *err)
{
    enum err_class c = journal_batch_check(j, batch, err);
    if (!c) {
        c = j->ops->append(j, batch, ret_ends, err);
    }
    if (!c) {
        journal_wake(j);
    }
    return c;
}

/* What the limits count are blobs, what is full is the file or the disk: so a full one has to lose something, whatever
 * they say. */
struct journal_retention journal_room(const struct journal_retention *given, int64_t stored_bytes, bool is_full)
{
    struct journal_retention r = *given;
    int64_t room = r.hard && is_full ? stored_bytes / 16 : 0;
    room = r.room_bytes > room ? r.room_bytes : room;
    if (room > 0 && (r.max_bytes <= 0 || r.max_bytes > stored_bytes - room)) {
        r.max_bytes = stored_bytes > room ? stored_bytes - room : 1;
    }
    return r;
}

enum err_class journal_retain(struct journal *j, const struct journal_retention *r, int64_t *ret_removed_records,
                              struct err *err)
{
    int64_t removed = 0;
    enum err_class c = j->ops->retain(j, r, &removed, err);
    if (ret_removed_records != NULL) {
        *ret_removed_records = removed;
    }
    return c;
}

enum err_class journal_settle(struct journal *j, int64_t wait_us, struct err *err)
{
    enum err_class c = j->ops->settle ? j->ops->settle(j, wait_us, err) : ERR_NONE;
    if (!c) {
        journal_wake(j);
    }
    return c;
}

enum err_class journal_dead_retried(struct journal *j, int64_t id, int64_t wall_us, struct err *err)
{
    return j->ops->dead_retried(j, id, wall_us, err);
}

enum err_class journal_skip(struct journal *j, uint32_t partition, int64_t offset, struct err *err)
{
    return j->ops->skip(j, partition, offset, err);
}

enum err_class journal_reader_new(struct journal *j, struct journal_reader **ret_reader, struct err *err)
{
    return j->ops->reader(j, ret_reader, err);
}

enum err_class journal_reader_open_at(const struct journal_place *place, struct journal_reader **ret_reader,
                                      struct err *err)
{
    return place->kafka != NULL ? journal_reader_open_kafka(place->kafka, ret_reader, err)
                                : journal_reader_open(place->directory, ret_reader, err);
}

void journal_reader_close(struct journal_reader *r)
{
    if (r != NULL) {
        r->ops->close(r);
    }
}

enum err_class journal_reader_hold(struct journal_reader *r, struct err *err)
{
    return r->ops->hold ? r->ops->hold(r, err)
                        : err_set(err, ERR_FATAL, EXIT_INTERNAL, "journal: one in memory cannot be held");
}

void journal_reader_release(struct journal_reader *r)
{
    if (r->ops->release) {
        r->ops->release(r);
    }
}

void journal_reader_tell(struct journal_reader *r, const char *task, struct kafka_member *member,
                         const struct reader_progress *list, size_t count)
{
    if (r->ops->tell) {
        r->ops->tell(r, task, member, list, count);
    }
}

void journal_reader_rest(struct journal_reader *r)
{
    if (r->ops->rest) {
        r->ops->rest(r);
    }
}

enum err_class journal_reader_info(struct journal_reader *r, struct journal_info *ret_info, struct err *err)
{
    return r->ops->info(r, ret_info, err);
}

enum err_class journal_reader_bounds(struct journal_reader *r, uint32_t partition, int64_t *ret_head, int64_t *ret_end,
                                     struct err *err)
{
    return r->ops->bounds(r, partition, ret_head, ret_end, err);
}

enum err_class journal_reader_read(struct journal_reader *r, uint32_t partition, int64_t from, size_t max_records,
                                   struct arena *arena, struct journal_page *ret_page, struct err *err)
{
    return r->ops->read(r, partition, from < 0 ? 0 : from, max_records, arena, ret_page, err);
}

enum err_class journal_reader_seek_arrival(struct journal_reader *r, uint32_t partition, int64_t arrival_us,
                                           int64_t *ret_offset, struct err *err)
{
    return r->ops->seek_arrival(r, partition, arrival_us, ret_offset, err);
}

enum err_class journal_reader_note(struct journal_reader *r, struct str key, struct arena *arena, struct str *ret_value,
                                   struct err *err)
{
    return r->ops->note(r, key, arena, ret_value, err);
}

enum err_class journal_reader_dead(struct journal_reader *r, int64_t from_id,
                                   bool (*each)(const struct dead_letter *d, void *ctx), void *ctx, struct err *err)
{
    return r->ops->dead(r, from_id, each, ctx, err);
}

enum err_class journal_reader_tally(struct journal_reader *r, bool (*each)(const struct tally_row *row, void *ctx),
                                    void *ctx, struct err *err)
{
    return r->ops->tally(r, each, ctx, err);
}

enum err_class journal_reader_verify(struct journal_reader *r, void (*problem)(const char *text, void *ctx), void *ctx,
                                     struct journal_verified *ret_verified, struct err *err)
{
    return r->ops->verify(r, problem, ctx, ret_verified, err);
}
