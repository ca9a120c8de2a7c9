/* SPDX-License-Identifier: MIT
 *
 * feeder.c - the loop that files and generator share. A batch goes out when it holds commit_bytes, or commit_every
 * after the one before; the clock is asked every 64 records only, because 300,000 a second go through here. The first
 * batches are smaller, each twice as large as the one before: whoever reads them begins sooner.
 */
#include "source/feeder.h"

#include "base/metrics.h"
#include "source/position.h"

enum { LOOK_EVERY = 64, SLEEP_US = 20000, FIRST_BYTES = 256 << 10 };

enum err_class feeder_init(struct feeder *f, struct arena *arena, struct str *ret_note, struct err *err)
{
    struct str note;
    enum err_class cls = admission_new(&f->options, &f->admission, err);
    if (!cls) {
        cls = admission_load(f->admission, f->output, err);
    }
    if (!cls) {
        cls = f->output->note(f->output, str_of(f->note_key), arena, &note, err);
    }
    if (cls) {
        feeder_fini(f);
        return cls;
    }
    f->committed_mono_us = clock_mono(f->options.clock);
    f->enough = FIRST_BYTES < f->options.commit_bytes ? FIRST_BYTES : f->options.commit_bytes;
    *ret_note = note;
    return ERR_NONE;
}

void feeder_fini(struct feeder *f)
{
    admission_free(f->admission);
    f->admission = NULL;
}

static void say_moved(struct status *s, void *ctx)
{
    struct feeder *f = ctx;
    s->connected = true;
    s->last_event_mono_us = clock_mono(f->options.clock);
    s->last_event_wall_us = clock_wall(f->options.clock);
    s->source_stream_us = admission_position(f->admission)->stream_us;
    s->caught_up_wall_us = s->last_event_wall_us;
}

enum err_class feeder_commit(struct feeder *f, struct err *err)
{
    AUTO(buf) struct buf note = {0};
    if (!admission_pending(f->admission, NULL)) {
        return ERR_NONE;
    }
    f->note(f->ctx, &note);
    admission_set_note(f->admission, str_of(f->note_key), buf_str(&note));
    enum err_class cls = f->output->commit(f->output, admission_batch(f->admission), err);
    if (cls) {
        f->failed = true;
        return cls;
    }
    admission_committed(f->admission);
    f->enough = f->enough < f->options.commit_bytes / 2 ? f->enough * 2 : f->options.commit_bytes;
    f->committed_mono_us = clock_mono(f->options.clock);
    status_change(say_moved, f);
    return ERR_NONE;
}

static bool commit_is_due(struct feeder *f)
{
    size_t bytes = 0;
    if (admission_pending(f->admission, &bytes) && bytes >= (size_t)f->enough) {
        return true;
    }
    if (++f->unlooked < LOOK_EVERY) {
        return false;
    }
    f->unlooked = 0;
    return clock_mono(f->options.clock) - f->committed_mono_us >= f->options.commit_every_us;
}

enum err_class feeder_offer(struct feeder *f, struct str bytes, int64_t arrival_us, struct str where, struct err *err)
{
    enum outcome outcome;
    enum err_class cls = admission_offer(f->admission, NULL, bytes, arrival_us, where, &outcome, err);
    if (!cls && commit_is_due(f)) {
        cls = feeder_commit(f, err);
    }
    return cls;
}

enum err_class feeder_wait(struct feeder *f, int64_t until_mono_us, struct err *err)
{
    struct clock *clock = f->options.clock;
    for (int64_t now = clock_mono(clock); now < until_mono_us && !feeder_stopped(f); now = clock_mono(clock)) {
        int64_t left = until_mono_us - now;
        if (now - f->committed_mono_us >= f->options.commit_every_us) {
            enum err_class cls = feeder_commit(f, err);
            f->committed_mono_us = now; /* also when there was nothing: look again after commit_every */
            if (cls) {
                return cls;
            }
        }
        clock->sleep_us(clock, left < SLEEP_US ? left : SLEEP_US);
    }
    return ERR_NONE;
}
