/* SPDX-License-Identifier: MIT
 *
 * ingest.c - see ingest.h. A full disk or journal is waited for here, so that pressure reaches the source: while
 * commit() does not return, the source reads nothing, and the server holds its data (R13). Everything else that fails
 * ends the source.
 */
#include "app/ingest.h"

#include "base/diag.h"
#include "base/fault.h"
#include "base/metrics.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    SETTLE_US = 500000,
    RETENTION_EVERY_US = 60 * 1000000,
    FULL_WAIT_US = 1000000,
    SPARE_STEPS = 16,
    SPARE_LEAST = 64 << 10
};

struct ingest {
    struct source_output output; /* first member */
    struct ingest_options options;
    struct journal_reader *reader;
    int64_t *ends; /* next offset per partition */
    int64_t newest_arrival_us;
    int64_t retained_mono_us;                          /* when retention ran last */
    _Atomic int64_t retention_age_us, retention_bytes; /* of the options, until ingest_retune */
    atomic_bool release_when_full;
    bool full;               /* said so already */
    int64_t spared_bytes;    /* while it is full: what went beyond retention, so that a batch fits */
    atomic_llong journalled; /* records appended so far */
};

static void say_problem(struct status *s, void *text)
{
    snprintf(s->problem, sizeof s->problem, "%s", (const char *)text);
}

static void count_batch(struct ingest *i, const struct batch *b)
{
    double bytes = 0;
    atomic_fetch_add(&i->journalled, (long long)b->record_count);
    for (size_t n = 0; n < b->record_count; n++) {
        bytes += (double)b->records[n].value.len;
        if (b->records[n].arrival_us > i->newest_arrival_us)
            i->newest_arrival_us = b->records[n].arrival_us;
    }
    metric_add(METRIC_JOURNAL_BYTES, NULL, bytes);
    for (size_t n = 0; n < b->dead_count; n++) {
        char label[64];
        snprintf(label, sizeof label, "reason=\"%s\"", b->dead[n].reason);
        metric_add(METRIC_DEAD_LETTERS, label, 1);
    }
    for (uint32_t p = 0; p < journal_partitions(i->options.journal); p++) {
        char label[32];
        snprintf(label, sizeof label, "partition=\"%u\"", p);
        metric_set(METRIC_JOURNAL_END, label, (double)i->ends[p]);
    }
}

/* R13: the source's own tail as well. */
static enum err_class keep_tail(struct ingest *i, int64_t *keep, uint32_t partitions, struct err *err)
{
    AUTO(arena) struct arena arena = {0};
    struct str position;
    enum err_class cls = journal_reader_note(i->reader, STR("position"), &arena, &position, err);
    if (!cls && position.ptr)
        source_tail_keep(position, keep, partitions);
    return cls;
}

static enum err_class retain(struct ingest *i, bool hard, int64_t room_bytes, int64_t *ret_removed, struct err *err)
{
    int64_t keep[PARTITION_MAX];
    uint32_t partitions = journal_partitions(i->options.journal);
    for (uint32_t p = 0; p < partitions; p++)
        keep[p] = INT64_MAX;
    if (i->options.keep)
        i->options.keep(i->options.keep_ctx, keep, partitions);
    if (keep_tail(i, keep, partitions, err))
        return err->cls;
    struct journal_retention r = {.max_age_us = atomic_load(&i->retention_age_us),
                                  .max_bytes = atomic_load(&i->retention_bytes),
                                  .newest_arrival_us = i->newest_arrival_us,
                                  .keep = keep,
                                  .hard = hard,
                                  .room_bytes = room_bytes};
    *ret_removed = 0;
    enum err_class cls = journal_retain(i->options.journal, &r, ret_removed, err);
    if (!cls && *ret_removed > 0)
        diag_info("journal", "retention removed %lld records", (long long)*ret_removed);
    return cls;
}

static enum err_class retain_sometimes(struct ingest *i, struct err *err)
{
    int64_t now = clock_mono(i->options.clock);
    if (now - i->retained_mono_us < RETENTION_EVERY_US)
        return ERR_NONE;
    i->retained_mono_us = now;
    int64_t removed;
    enum err_class cls = retain(i, false, 0, &removed, err);
    return cls == ERR_RETRY ? ERR_NONE : cls; /* no room to make room: the next append says so */
}

/* Retention's limit counts blobs, the maximum is the file's: there may be less between them than the batch needs, and
 * no task can change that. So what nobody needs goes too, by and by, as much as the batch could take: if that is not
 * enough it is the disk that is full. False: nothing went. */
static bool spare_more(struct ingest *i, const struct batch *b)
{
    int64_t bytes = SPARE_LEAST, removed = 0;
    struct err ignored = {0};
    for (size_t n = 0; n < b->record_count; n++)
        bytes += (int64_t)b->records[n].value.len;
    for (size_t n = 0; n < b->dead_count; n++)
        bytes += 2 * (int64_t)b->dead[n].bytes.len; /* its checksum makes SQLite write the row once more (db_sum.h) */
    if (atomic_load(&i->retention_bytes) == 0 || i->spared_bytes >= bytes)
        return false;
    int64_t step = bytes / SPARE_STEPS + 1;
    if (retain(i, false, step, &removed, &ignored) || removed == 0)
        return false;
    i->spared_bytes += step;
    return true;
}

/* Full: release what is oldest, or wait for room. True: try again. */
static bool make_room(struct ingest *i, const struct batch *b, struct err *err)
{
    if (!i->full) {
        i->full = true;
        diag_error("journal", "%s; the source waits until there is room", err->text);
        status_change(say_problem, err->text);
    }
    struct err ignored = {0};
    int64_t removed = 0; /* none, though told to release: the batch alone is larger than the journal may be */
    bool room = retain(i, atomic_load(&i->release_when_full), 0, &removed, &ignored) == ERR_NONE && removed > 0;
    room = room || spare_more(i, b);
    for (int n = 0; !room && n < 10; n++) {
        if (atomic_load(i->options.stopping))
            return false;
        i->options.clock->sleep_us(i->options.clock, FULL_WAIT_US / 10);
    }
    return true;
}

static enum err_class append(struct ingest *i, const struct batch *b, struct err *err)
{
    enum err_class cls;
    while ((cls = journal_append(i->options.journal, b, i->ends, err)) == ERR_RETRY) {
        if (!make_room(i, b, err))
            break;
    }
    return cls;
}

/* Records and values may go to the task with this: only counts are read afterwards. */
static enum err_class append_and_hand_over(struct ingest *i, const struct batch *b, struct err *err)
{
    struct handover *h = i->options.handover;
    if (!h)
        return append(i, b, err);
    handover_announce(h, b, i->options.stopping);
    enum err_class cls = append(i, b, err);
    handover_settle(h, b, cls == ERR_NONE || fault("R14.handed"));
    return cls;
}

static enum err_class commit(struct source_output *o, const struct batch *b, struct err *err)
{
    struct ingest *i = (struct ingest *)o;
    enum err_class cls = append_and_hand_over(i, b, err);
    if (cls)
        return cls;
    (void)failpoint("ingest.appended");
    if (i->full) {
        i->full = false;
        i->spared_bytes = 0;
        diag_info("journal", "there is room again");
        status_change(say_problem, (char[]){""});
    }
    count_batch(i, b);
    return retain_sometimes(i, err);
}

/* What is asked of the journal has to wait for a broker that is away, and for what waits for it (journal_settle): what
 * is not in the topic yet cannot be found there. */
static enum err_class settled(struct ingest *i, struct err *err)
{
    enum err_class cls;
    while ((cls = journal_settle(i->options.journal, SETTLE_US, err)) == ERR_RETRY && !atomic_load(i->options.stopping))
        i->options.clock->sleep_us(i->options.clock, SETTLE_US);
    return cls;
}

/* The same question again? */
static bool is_away(struct ingest *i, enum err_class cls)
{
    if (cls != ERR_RETRY || !journal_sparse(i->options.journal) || atomic_load(i->options.stopping))
        return false;
    i->options.clock->sleep_us(i->options.clock, SETTLE_US);
    return true;
}

static enum err_class note(struct source_output *o, struct str key, struct arena *arena, struct str *ret_value,
                           struct err *err)
{
    struct ingest *i = (struct ingest *)o;
    enum err_class cls;
    do
        cls = journal_reader_note(i->reader, key, arena, ret_value, err);
    while (is_away(i, cls));
    return cls;
}

static enum err_class tail_read(struct ingest *i, uint32_t partition, int64_t from, int64_t to,
                                bool (*each)(const struct record *r, void *ctx), void *ctx, struct err *err)
{
    AUTO(arena) struct arena arena = {0};
    while (from < to) {
        struct journal_page page;
        enum err_class cls;
        do {
            arena_reset(&arena);
            cls = journal_reader_read(i->reader, partition, from, 10000, &arena, &page, err);
        } while (is_away(i, cls));
        if (cls)
            return cls;
        if (page.count == 0)
            return ERR_NONE;
        for (size_t n = 0; n < page.count; n++) {
            if (page.records[n].offset >= to || !each(&page.records[n], ctx))
                return ERR_NONE;
        }
        from = page.records[page.count - 1].offset + 1;
    }
    return ERR_NONE;
}

static enum err_class tail(struct source_output *o, uint32_t partition, int64_t from, int64_t to,
                           bool (*each)(const struct record *r, void *ctx), void *ctx, struct err *err)
{
    struct ingest *i = (struct ingest *)o;
    enum err_class cls = settled(i, err);
    cls = cls ? cls : tail_read(i, partition, from, to, each, ctx, err);
    journal_reader_rest(i->reader);
    return cls;
}

struct dead_since {
    int64_t since_us;
    int64_t next; /* the first that was not given yet */
    bool (*each)(const struct dead_letter *d, void *ctx);
    void *ctx;
};

static bool dead_if_recent(const struct dead_letter *d, void *ctx)
{
    struct dead_since *s = ctx;
    s->next = d->id + 1;
    if (d->stream_us != TIME_NONE && d->stream_us < s->since_us)
        return true;
    return s->each(d, s->ctx);
}

static enum err_class dead(struct source_output *o, int64_t since_us,
                           bool (*each)(const struct dead_letter *d, void *ctx), void *ctx, struct err *err)
{
    struct ingest *i = (struct ingest *)o;
    struct dead_since since = {since_us, 0, each, ctx};
    enum err_class cls;
    do
        cls = journal_reader_dead(i->reader, since.next, dead_if_recent, &since, err);
    while (is_away(i, cls));
    return cls;
}

static enum err_class bounds(struct source_output *o, uint32_t partition, int64_t *ret_head, int64_t *ret_end,
                             struct err *err)
{
    struct ingest *i = (struct ingest *)o;
    enum err_class cls = settled(i, err);
    while (!cls && is_away(i, cls = journal_reader_bounds(i->reader, partition, ret_head, ret_end, err)))
        cls = ERR_NONE;
    return cls;
}

enum err_class ingest_new(const struct ingest_options *options, struct ingest **ret_ingest, struct err *err)
{
    struct ingest *i = xcalloc(1, sizeof *i);
    i->output = (struct source_output){.commit = commit, .note = note, .tail = tail, .dead = dead, .bounds = bounds};
    i->options = *options;
    i->ends = xcalloc(PARTITION_MAX, sizeof *i->ends);
    i->newest_arrival_us = TIME_NONE;
    ingest_retune(i, options->retention_age_us, options->retention_bytes, options->release_when_full);
    i->retained_mono_us = clock_mono(options->clock);
    enum err_class cls = journal_reader_new(options->journal, &i->reader, err);
    if (cls) {
        ingest_free(i);
        return cls;
    }
    *ret_ingest = i;
    return ERR_NONE;
}

void ingest_free(struct ingest *i)
{
    if (!i)
        return;
    journal_reader_close(i->reader);
    free(i->ends);
    free(i);
}

struct source_output *ingest_output(struct ingest *i)
{
    return &i->output;
}

void ingest_retune(struct ingest *i, int64_t retention_age_us, int64_t retention_bytes, bool release_when_full)
{
    atomic_store(&i->retention_age_us, retention_age_us);
    atomic_store(&i->retention_bytes, retention_bytes);
    atomic_store(&i->release_when_full, release_when_full);
}

int64_t ingest_journalled(const struct ingest *i)
{
    return atomic_load(&i->journalled);
}
