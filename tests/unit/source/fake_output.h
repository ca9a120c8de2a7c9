/* SPDX-License-Identifier: MIT
 *
 * fake_output.h - a journal in memory behind struct source_output, for the tests of this room.
 */
#ifndef WIKITALLY_TESTS_FAKE_OUTPUT_H
#define WIKITALLY_TESTS_FAKE_OUTPUT_H

#include <stdlib.h>

#include "base/err.h"
#include "source/admission.h"

enum { FAKE_RECORDS = 4096, FAKE_PARTITIONS = 4, FAKE_DEAD = 64 };

struct fake_output {
    struct source_output output; /* first member */
    struct arena arena;
    struct record records[FAKE_PARTITIONS][FAKE_RECORDS];
    size_t count[FAKE_PARTITIONS];
    struct dead_letter dead[FAKE_DEAD];
    size_t dead_count;
    struct buf position, audit;
    int64_t sums[2][SOURCE_BUCKETS]; /* ledger by side and bucket */
    size_t commits;
    size_t fail_after, fail_count; /* after so many commits so many fail */
};

static inline enum err_class fake_commit(struct source_output *o, const struct batch *b, struct err *err)
{
    struct fake_output *f = (struct fake_output *)o;
    if (f->fail_count && f->commits >= f->fail_after) {
        f->fail_count--;
        return err_set(err, ERR_FATAL, EXIT_IOERR, "journal: no space left");
    }
    f->commits++;
    for (size_t i = 0; i < b->record_count; i++) {
        const struct record *r = &b->records[i];
        ensure(r->partition < FAKE_PARTITIONS && f->count[r->partition] < FAKE_RECORDS);
        f->records[r->partition][f->count[r->partition]] = (struct record){
            r->partition, (int64_t)f->count[r->partition], r->arrival_us, arena_dup(&f->arena, r->value), 0};
        f->count[r->partition]++;
    }
    for (size_t i = 0; i < b->dead_count; i++) {
        ensure(f->dead_count < FAKE_DEAD);
        struct dead_letter *d = &f->dead[f->dead_count++];
        *d = b->dead[i];
        d->bytes = arena_dup(&f->arena, d->bytes);
        d->detail = arena_dup(&f->arena, d->detail);
        d->position = arena_dup(&f->arena, d->position);
    }
    for (size_t i = 0; i < b->note_count; i++) {
        struct buf *note = str_eqz(b->notes[i].key, "audit") ? &f->audit : &f->position;
        buf_clear(note);
        buf_add(note, b->notes[i].value);
    }
    for (size_t i = 0; i < b->tally_count; i++) {
        f->sums[b->tally[i].by][b->tally[i].bucket] += b->tally[i].count;
    }
    return ERR_NONE;
}

static inline enum err_class fake_note(struct source_output *o, struct str key, struct arena *arena,
                                       struct str *ret_value, struct err *err)
{
    struct fake_output *f = (struct fake_output *)o;
    const struct buf *note = str_eqz(key, "audit") ? &f->audit : &f->position;
    (void)err;
    *ret_value = note->len ? arena_dup(arena, buf_str(note)) : (struct str){NULL, 0};
    return ERR_NONE;
}

static inline enum err_class fake_tail(struct source_output *o, uint32_t partition, int64_t from, int64_t to,
                                       bool (*each)(const struct record *r, void *ctx), void *ctx, struct err *err)
{
    struct fake_output *f = (struct fake_output *)o;
    (void)err;
    for (int64_t i = from; i < to && i < (int64_t)f->count[partition]; i++) {
        if (!each(&f->records[partition][i], ctx)) {
            break;
        }
    }
    return ERR_NONE;
}

static inline enum err_class fake_dead(struct source_output *o, int64_t since_us,
                                       bool (*each)(const struct dead_letter *d, void *ctx), void *ctx, struct err *err)
{
    struct fake_output *f = (struct fake_output *)o;
    (void)err;
    for (size_t i = 0; i < f->dead_count; i++) {
        if ((f->dead[i].stream_us == TIME_NONE || f->dead[i].stream_us >= since_us) && !each(&f->dead[i], ctx)) {
            break;
        }
    }
    return ERR_NONE;
}

static inline enum err_class fake_bounds(struct source_output *o, uint32_t partition, int64_t *ret_head,
                                         int64_t *ret_end, struct err *err)
{
    (void)err;
    *ret_head = 0;
    *ret_end = (int64_t)((struct fake_output *)o)->count[partition];
    return ERR_NONE;
}

static inline struct fake_output *fake_output_new(void)
{
    struct fake_output *f = xcalloc(1, sizeof *f);
    f->output = (struct source_output){fake_commit, fake_note, fake_tail, fake_dead, fake_bounds};
    return f;
}

static inline void fake_output_free(struct fake_output *f)
{
    arena_fini(&f->arena);
    buf_fini(&f->position);
    buf_fini(&f->audit);
    free(f);
}

/* One event of the stream as text, valid until the next call. dt and time in milliseconds. */
static inline struct str fake_event(int id, const char *topic, int64_t dt_ms, int64_t time_ms, int64_t offset,
                                    const char *domain, const char *wiki)
{
    static struct buf text;
    buf_clear(&text);
    buf_addf(&text, "{\"meta\":{\"id\":\"id-%d\",\"dt\":\"", id);
    time_format_ms(&text, dt_ms * US_PER_MS);
    buf_addf(&text,
             "\",\"domain\":\"%s\",\"topic\":\"%s\",\"partition\":0,\"offset\":%lld},\"id\":%d,\"type\":\"edit\","
             "\"timestamp\":%lld,\"wiki\":\"%s\",\"title\":\"T%d\"}",
             domain, topic, (long long)offset, id, (long long)(time_ms / 1000), wiki, id);
    return buf_str(&text);
}

#endif
