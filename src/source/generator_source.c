/* SPDX-License-Identifier: MIT
 *
 * generator_source.c - made-up events as a source (source.h: source_open_generator).
 *
 * Its position is the note "generator": {"seed":"7","start_us":...,"records":1234}. Events are a function of seed and
 * start, so after a kill it makes the first 1,234 again, throws them away and goes on.
 */
#include "source/feeder.h"
#include "source/json.h"

#include <stdio.h>
#include <stdlib.h>

struct generator_source {
    struct source base; /* first member */
    struct feeder feeder;
    struct generator_options options;
    double pace;
    int64_t limit;
    atomic_bool stop;
    int64_t done; /* records offered since the journal began */
};

static void write_note(void *ctx, struct buf *out)
{
    const struct generator_source *s = ctx;
    buf_addf(out, "{\"seed\":\"%llu\",\"start_us\":", (unsigned long long)s->options.seed);
    json_add_time(out, s->options.start_us);
    buf_addf(out, ",\"records\":%lld}", (long long)s->done);
}

static enum err_class resume(struct generator_source *s, struct str note, struct err *err)
{
    char key[16], seed[32] = "", own[32];
    if (!note.ptr) {
        return ERR_NONE;
    }
    struct json j = json_of(note);
    json_open(&j, '{');
    while (json_more(&j, '}')) {
        json_key(&j, key, sizeof(key));
        if (!strcmp(key, "seed")) {
            json_text(&j, seed, sizeof(seed));
        } else if (!strcmp(key, "start_us")) {
            s->options.start_us = json_int(&j);
        } else if (!strcmp(key, "records")) {
            s->done = json_int(&j);
        } else {
            json_skip(&j);
        }
    }
    snprintf(own, sizeof(own), "%llu", (unsigned long long)s->options.seed);
    if (j.bad || s->done < 0) {
        return err_set(err, ERR_FATAL, EXIT_DATA, "the journal's note \"generator\" cannot be understood");
    }
    if (strcmp(seed, own) != 0) {
        return err_set(err, ERR_FATAL, EXIT_CONFIG,
                       "the journal holds made-up events of seed %s, not %s: use that seed, or another data directory",
                       seed, own);
    }
    return ERR_NONE;
}

static enum err_class feed(struct generator_source *s, struct generator *g, struct err *err)
{
    struct clock *clock = s->feeder.options.clock;
    int64_t began = clock_mono(clock), offered = 0;
    enum err_class cls = ERR_NONE;
    while (!cls && !feeder_stopped(&s->feeder) && (s->limit == 0 || s->done < s->limit)) {
        int64_t arrival_us;
        if (s->pace > 0) {
            cls = feeder_wait(&s->feeder, began + (int64_t)((double)offered / s->pace * 1e6), err);
            if (cls || feeder_stopped(&s->feeder)) {
                break;
            }
        }
        struct str event = generator_next(g, &arrival_us);
        s->done++;
        offered++;
        cls = feeder_offer(&s->feeder, event, arrival_us, STR("synthetic"), err);
        s->done -= cls != ERR_NONE;
    }
    struct err ignored;
    enum err_class kept = s->feeder.failed ? ERR_NONE : feeder_commit(&s->feeder, cls ? &ignored : err);
    return cls ? cls : kept;
}

static enum err_class generator_run(struct source *source, struct source_output *output, bool *ret_ended,
                                    struct err *err)
{
    struct generator_source *s = (struct generator_source *)source;
    AUTO(arena) struct arena arena = {0};
    struct str note;
    s->feeder.output = output;
    s->done = 0;
    enum err_class cls = feeder_init(&s->feeder, &arena, &note, err);
    if (cls) {
        return cls;
    }
    cls = resume(s, note, err);
    if (!cls) {
        struct generator *g = generator_new(&s->options);
        for (int64_t i = 0; i < s->done && !feeder_stopped(&s->feeder); i++) {
            int64_t arrival_us;
            generator_next(g, &arrival_us);
        }
        cls = feed(s, g, err);
        generator_free(g);
        *ret_ended = !cls && s->limit > 0 && s->done >= s->limit;
    }
    feeder_fini(&s->feeder);
    return cls;
}

static void generator_stop(struct source *source)
{
    atomic_store(&((struct generator_source *)source)->stop, true);
}

static void generator_source_free(struct source *source)
{
    free(source);
}

static const struct source_ops generator_ops = {generator_run, generator_stop, generator_source_free};

enum err_class source_open_generator(const struct source_options *options, const struct generator_options *generator,
                                     double pace, int64_t limit, struct source **ret_source, struct err *err)
{
    if (pace < 0 || limit < 0) {
        return err_set(err, ERR_REJECT, EXIT_USAGE, "made-up events: rate and limit must not be negative");
    }
    struct generator_source *s = xcalloc(1, sizeof(*s));
    s->base.ops = &generator_ops;
    s->options = *generator;
    s->pace = pace;
    s->limit = limit;
    s->feeder =
        (struct feeder){.options = *options, .stop = &s->stop, .note_key = "generator", .note = write_note, .ctx = s};
    *ret_source = &s->base;
    return ERR_NONE;
}
