/* SPDX-License-Identifier: MIT
 *
 * feeder.h - what the sources without an upstream (files, generator) share: records go into admission, batches to the
 * output, in step with a clock if wanted (private to this room). One thread, but for `stop`.
 */
#ifndef WIKITALLY_SOURCE_FEEDER_H
#define WIKITALLY_SOURCE_FEEDER_H

#include "source/admission.h"

#include <stdatomic.h>

struct feeder {
    struct source_options options; /* borrowed strings */
    struct admission *admission;
    struct source_output *output;
    const atomic_bool *stop;
    const char *note_key;
    void (*note)(void *ctx, struct buf *out); /* writes the source's own position as JSON; goes with each commit */
    void *ctx;
    int64_t committed_mono_us;
    int64_t enough;    /* bytes that are a batch now: at most commit_bytes */
    bool failed;       /* a commit failed: what is pending must not be tried again under another note */
    uint32_t unlooked; /* records since the clock was asked */
};

/* Makes admission and loads its state; *ret_note (in arena) is the stored note, or ptr NULL. */
enum err_class feeder_init(struct feeder *f, struct arena *arena, struct str *ret_note, struct err *err);
void feeder_fini(struct feeder *f);
/* Admits one record and commits when it is time to. */
enum err_class feeder_offer(struct feeder *f, struct str bytes, int64_t arrival_us, struct str where, struct err *err);
enum err_class feeder_commit(struct feeder *f, struct err *err); /* what is pending, if anything */
/* Waits until monotonic time until_us or stop, committing meanwhile. */
enum err_class feeder_wait(struct feeder *f, int64_t until_mono_us, struct err *err);
static inline bool feeder_stopped(const struct feeder *f)
{
    return atomic_load_explicit(f->stop, memory_order_relaxed);
}

#endif
