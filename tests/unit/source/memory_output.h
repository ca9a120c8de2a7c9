/* SPDX-License-Identifier: MIT
 *
 * memory_output.h - a journal in memory of any size behind struct source_output, with notes by key; for the tests of
 * files and generator. It can fail at a commit, as a kill does: what was not committed is gone.
 */
#ifndef WIKITALLY_TESTS_MEMORY_OUTPUT_H
#define WIKITALLY_TESTS_MEMORY_OUTPUT_H

#include "base/err.h"
#include "source/source.h"

#include <stdlib.h>

enum { MEMORY_NOTES = 8 };

struct memory_output {
    struct source_output output; /* first member */
    struct arena arena;
    struct record *records;
    size_t count, cap;
    struct dead_letter *dead;
    size_t dead_count;
    struct {
        struct buf key, value;
    } notes[MEMORY_NOTES];
    size_t commits, fail_at;                    /* the commit of that number fails; 0: none */
    void (*committed)(struct memory_output *m); /* called after each commit; NULL */
    void *ctx;
    bool discard; /* counts only: for measuring */
};

static inline struct buf *memory_find(struct memory_output *m, struct str key, bool make)
{
    for (size_t i = 0; i < MEMORY_NOTES; i++) {
        if (str_eq(buf_str(&m->notes[i].key), key)) {
            return &m->notes[i].value;
        }
        if (make && m->notes[i].key.len == 0) {
            buf_add(&m->notes[i].key, key);
            return &m->notes[i].value;
        }
    }
    return NULL;
}

static inline enum err_class memory_commit(struct source_output *o, const struct batch *b, struct err *err)
{
    struct memory_output *m = (struct memory_output *)o;
    if (++m->commits == m->fail_at) {
        return err_set(err, ERR_FATAL, EXIT_IOERR, "killed");
    }
    for (size_t i = 0; i < b->record_count && !m->discard; i++) {
        if (m->count == m->cap) {
            m->cap = m->cap ? m->cap * 2 : 1024;
            m->records = xrealloc(m->records, m->cap * sizeof(*m->records));
        }
        struct record r = b->records[i];
        r.offset = (int64_t)m->count;
        r.value = arena_dup(&m->arena, r.value);
        m->records[m->count++] = r;
    }
    m->count += m->discard ? b->record_count : 0;
    for (size_t i = 0; i < b->dead_count; i++) {
        m->dead = xrealloc(m->dead, (m->dead_count + 1) * sizeof(*m->dead));
        struct dead_letter *d = &m->dead[m->dead_count++];
        *d = b->dead[i];
        d->bytes = arena_dup(&m->arena, d->bytes);
        d->position = arena_dup(&m->arena, d->position);
        d->detail = (struct str){NULL, 0};
    }
    for (size_t i = 0; i < b->note_count; i++) {
        struct buf *note = memory_find(m, b->notes[i].key, true);
        buf_clear(note);
        buf_add(note, b->notes[i].value);
    }
    if (m->committed) {
        m->committed(m);
    }
    return ERR_NONE;
}

static inline enum err_class memory_note(struct source_output *o, struct str key, struct arena *arena,
                                         struct str *ret_value, struct err *err)
{
    struct buf *note = memory_find((struct memory_output *)o, key, false);
    (void)err;
    *ret_value = note && note->len ? arena_dup(arena, buf_str(note)) : (struct str){NULL, 0};
    return ERR_NONE;
}

static inline enum err_class memory_tail(struct source_output *o, uint32_t partition, int64_t from, int64_t to,
                                         bool (*each)(const struct record *r, void *ctx), void *ctx, struct err *err)
{
    struct memory_output *m = (struct memory_output *)o;
    (void)err, (void)partition;
    for (int64_t i = from; i < to && i < (int64_t)m->count && !m->discard; i++) {
        if (!each(&m->records[i], ctx)) {
            break;
        }
    }
    return ERR_NONE;
}

static inline enum err_class memory_dead(struct source_output *o, int64_t since_us,
                                         bool (*each)(const struct dead_letter *d, void *ctx), void *ctx,
                                         struct err *err)
{
    struct memory_output *m = (struct memory_output *)o;
    (void)err;
    for (size_t i = 0; i < m->dead_count; i++) {
        if ((m->dead[i].stream_us == TIME_NONE || m->dead[i].stream_us >= since_us) && !each(&m->dead[i], ctx)) {
            break;
        }
    }
    return ERR_NONE;
}

static inline enum err_class memory_bounds(struct source_output *o, uint32_t partition, int64_t *ret_head,
                                           int64_t *ret_end, struct err *err)
{
    struct memory_output *m = (struct memory_output *)o;
    (void)err, (void)partition;
    *ret_head = 0;
    *ret_end = (int64_t)m->count;
    return ERR_NONE;
}

static inline struct memory_output *memory_output_new(void)
{
    struct memory_output *m = xcalloc(1, sizeof(*m));
    m->output = (struct source_output){memory_commit, memory_note, memory_tail, memory_dead, memory_bounds};
    return m;
}

static inline void memory_output_free(struct memory_output *m)
{
    arena_fini(&m->arena);
    for (size_t i = 0; i < MEMORY_NOTES; i++) {
        buf_fini(&m->notes[i].key);
        buf_fini(&m->notes[i].value);
    }
    free(m->records);
    free(m->dead);
    free(m);
}

static inline struct source_options memory_options(struct clock *clock)
{
    static const char *const topics[] = {"eqiad.mediawiki.recentchange", "codfw.mediawiki.recentchange"};
    return (struct source_options){.overlap_us = 60 * US_PER_SECOND,
                                   .horizon_us = 120 * US_PER_SECOND,
                                   .skew_us = 60 * US_PER_SECOND,
                                   .delay_us = 120 * US_PER_SECOND,
                                   .idle_after_us = 30 * US_PER_SECOND,
                                   .commit_every_us = 200 * US_PER_MS,
                                   .commit_bytes = 1 << 20,
                                   .max_identities = 1000000,
                                   .partitions = 1,
                                   .topics = topics,
                                   .topic_count = 2,
                                   .clock = clock};
}

#endif
