/* SPDX-License-Identifier: MIT
 *
 * file.c - recorded files as a source (source.h: source_open_files).
 *
 * Its own position is the note "file", in the same atomic unit as the records it covers:
 *
 *   {"path":"day.jsonl.zst","file":0,"record":1234,"ordinal":1234,"pass":0}
 *
 * `record` records of that file, `ordinal` records of all files of this pass, are done. After a kill it reads over them
 * and goes on with the next. A journal whose note names a file that is not at that place in the list is refused.
 * Arrival: the TSV, else what the recording says, else (admission does that) meta.dt, else unknown.
 */
#include "base/diag.h"
#include "base/input.h"
#include "base/metrics.h"
#include "change/change.h"
#include "source/feeder.h"
#include "source/json.h"
#include "source/position.h"
#include "source/recording.h"

#include <stdio.h>
#include <stdlib.h>

enum { PATH_BYTES = 4096 };

struct place {
    char path[PATH_BYTES];
    int64_t file, record, ordinal, pass;
};

struct file_source {
    struct source base; /* first member */
    struct feeder feeder;
    struct file_options options; /* paths and arrival_tsv are copies */
    char **paths;
    char *arrival_tsv;
    struct arrivals arrivals;
    struct err idle_err; /* of a commit while a pipe had nothing */
    atomic_bool stop;
    struct place done;                     /* what has been offered */
    int64_t offered;                       /* in this run: for `limit` */
    int64_t pace_mono_us, pace_arrival_us; /* when the first record of this run went out, and its arrival */
    struct buf where;                      /* "PATH:17" for dead letters */
    size_t where_prefix;                   /* of it: "PATH:" */
    struct field_set *fields;              /* for the arrival of records that have none, when paced */
};

static void write_note(void *ctx, struct buf *out)
{
    const struct file_source *s = ctx;
    buf_addz(out, "{\"path\":");
    buf_add_json(out, str_of(s->done.path));
    buf_addf(out, ",\"file\":%lld,\"record\":%lld,\"ordinal\":%lld,\"pass\":%lld}", (long long)s->done.file,
             (long long)s->done.record, (long long)s->done.ordinal, (long long)s->done.pass);
}

static bool read_note(struct str note, struct place *p)
{
    struct json j = json_of(note);
    char key[16];
    json_open(&j, '{');
    while (json_more(&j, '}')) {
        json_key(&j, key, sizeof(key));
        int64_t *number = !strcmp(key, "file")      ? &p->file
                          : !strcmp(key, "record")  ? &p->record
                          : !strcmp(key, "ordinal") ? &p->ordinal
                          : !strcmp(key, "pass")    ? &p->pass
                                                    : NULL;
        if (number) {
            *number = json_int(&j);
        } else if (!strcmp(key, "path")) {
            json_text(&j, p->path, sizeof(p->path));
        } else {
            json_skip(&j);
        }
    }
    return !j.bad && p->file >= 0 && p->record >= 0 && p->ordinal >= p->record && p->pass >= 0;
}

/* Where to go on: the note must be about the files given. */
static enum err_class resume(struct file_source *s, struct str note, struct err *err)
{
    if (!note.ptr) {
        return ERR_NONE;
    }
    if (!read_note(note, &s->done)) {
        return err_set(err, ERR_FATAL, EXIT_DATA, "the journal's note \"file\" cannot be understood");
    }
    size_t file = (size_t)s->done.file;
    if (file >= s->options.path_count || strcmp(s->paths[file], s->done.path) != 0) {
        return err_set(err, ERR_FATAL, EXIT_CONFIG,
                       "the journal stands at record %lld of \"%s\", which is not file %lld of those given: name the "
                       "same files in the same order, or use another data directory",
                       (long long)s->done.record, s->done.path, (long long)s->done.file + 1);
    }
    return ERR_NONE;
}

/* The arrival that pacing goes by when none was recorded: meta.dt. */
static int64_t pace_time(struct file_source *s, struct str bytes, int64_t arrival_us)
{
    struct value values[FIELD_MAX];
    size_t at;
    int64_t dt_us;
    if (arrival_us != TIME_NONE || change_scan(s->fields, bytes, values, &at) != DEAD_NONE ||
        !value_time(&values[FIELD_META_DT], &dt_us)) {
        return arrival_us;
    }
    return dt_us;
}

static enum err_class pace(struct file_source *s, int64_t time_us, struct err *err)
{
    if (time_us == TIME_NONE) {
        return ERR_NONE;
    }
    if (s->pace_arrival_us == TIME_NONE) {
        s->pace_arrival_us = time_us;
        s->pace_mono_us = clock_mono(s->feeder.options.clock);
    }
    double after_us = (double)(time_us - s->pace_arrival_us) / s->options.speed;
    return after_us <= 0 ? ERR_NONE : feeder_wait(&s->feeder, s->pace_mono_us + (int64_t)after_us, err);
}

static enum err_class offer(struct file_source *s, struct recording *r, struct str bytes, int64_t arrival_us,
                            struct err *err)
{
    int64_t told_us = arrivals_us(&s->arrivals, s->done.ordinal + 1);
    arrival_us = told_us != TIME_NONE ? told_us : arrival_us;
    if (s->options.speed > 0) {
        enum err_class cls = pace(s, pace_time(s, bytes, arrival_us), err);
        if (cls || feeder_stopped(&s->feeder)) {
            return cls;
        }
    }
    s->done.record++; /* before the offer: a commit inside it covers this record */
    s->done.ordinal++;
    s->offered++;
    s->where.len = s->where_prefix;
    buf_add_int(&s->where, recording_place(r));
    enum err_class cls = feeder_offer(&s->feeder, bytes, arrival_us, buf_str(&s->where), err);
    if (cls) {
        s->done.record--;
        s->done.ordinal--;
    }
    return cls;
}

static bool finished(const struct file_source *s)
{
    return feeder_stopped(&s->feeder) || (s->options.limit > 0 && s->offered >= s->options.limit);
}

/* A pipe that has nothing: what came before is made durable, and a stop is heard. */
static bool while_idle(void *ctx)
{
    struct file_source *s = ctx;
    return !feeder_stopped(&s->feeder) && feeder_commit(&s->feeder, &s->idle_err) == ERR_NONE;
}

static enum err_class run_file(struct file_source *s, struct err *err)
{
    struct recording *r;
    int64_t skip = s->done.record;
    struct input_wait wait = {while_idle, s};
    enum err_class cls = recording_open_waiting(s->done.path, &wait, &r, err);
    if (cls) {
        return feeder_stopped(&s->feeder) ? ERR_NONE : cls;
    }
    buf_clear(&s->where);
    buf_addz(&s->where, s->done.path);
    buf_addc(&s->where, ':');
    s->where_prefix = s->where.len;
    while (!cls && !finished(s)) {
        struct str bytes;
        int64_t arrival_us;
        bool more = false;
        cls = recording_next(r, &bytes, &arrival_us, &more, err);
        if (cls || !more) {
            break;
        }
        if (skip > 0) {
            skip--;
        } else {
            cls = offer(s, r, bytes, arrival_us, err);
        }
    }
    recording_close(r);
    if (s->idle_err.cls) {
        *err = s->idle_err;
        return err->cls;
    }
    return cls == ERR_RETRY && feeder_stopped(&s->feeder) ? ERR_NONE : cls;
}

/* All files from where `done` stands; *ret_all: came to the end of the last one. */
static enum err_class run_pass(struct file_source *s, bool *ret_all, struct err *err)
{
    for (size_t i = (size_t)s->done.file; i < s->options.path_count; i++) {
        if (i != (size_t)s->done.file) {
            s->done.record = 0;
        }
        s->done.file = (int64_t)i;
        snprintf(s->done.path, sizeof(s->done.path), "%s", s->paths[i]);
        enum err_class cls = run_file(s, err);
        if (cls || finished(s)) {
            *ret_all = false;
            return cls;
        }
    }
    *ret_all = true;
    return ERR_NONE;
}

static void say_ended(struct status *status, void *ctx)
{
    (void)ctx;
    status->ended = true;
    status->connected = false;
}

static enum err_class run_passes(struct file_source *s, bool *ret_ended, struct err *err)
{
    bool all = false;
    enum err_class cls;
    while (!(cls = run_pass(s, &all, err)) && all && s->options.loop && s->done.ordinal > 0) {
        s->done.file = s->done.record = s->done.ordinal = 0;
        s->done.pass++;
        s->pace_arrival_us = TIME_NONE;
    }
    struct err ignored; /* what was admitted is kept also when a file is damaged */
    int64_t stream_us = admission_position(s->feeder.admission)->stream_us;
    if (!cls && all && s->options.close_after_us > 0 && stream_us != TIME_NONE) {
        admission_close(s->feeder.admission, stream_us + s->options.close_after_us);
    }
    enum err_class kept = s->feeder.failed ? ERR_NONE : feeder_commit(&s->feeder, cls ? &ignored : err);
    cls = cls ? cls : kept;
    bool limited = s->options.limit > 0 && s->offered >= s->options.limit;
    *ret_ended = !cls && (all || limited);
    if (*ret_ended) {
        status_change(say_ended, NULL);
    }
    return cls;
}

static enum err_class file_run(struct source *source, struct source_output *output, bool *ret_ended, struct err *err)
{
    struct file_source *s = (struct file_source *)source;
    AUTO(arena) struct arena arena = {0};
    struct str note;
    s->feeder.output = output;
    s->done = (struct place){0};
    s->offered = 0;
    s->pace_arrival_us = TIME_NONE;
    enum err_class cls = feeder_init(&s->feeder, &arena, &note, err);
    if (cls) {
        return cls;
    }
    cls = resume(s, note, err);
    if (!cls) {
        cls = run_passes(s, ret_ended, err);
    }
    feeder_fini(&s->feeder);
    return cls;
}

static void file_stop(struct source *source)
{
    atomic_store(&((struct file_source *)source)->stop, true);
}

static void file_free(struct source *source)
{
    struct file_source *s = (struct file_source *)source;
    if (!s) {
        return;
    }
    for (size_t i = 0; i < s->options.path_count; i++) {
        free(s->paths[i]);
    }
    free(s->paths);
    free(s->arrival_tsv);
    arrivals_fini(&s->arrivals);
    buf_fini(&s->where);
    field_set_free(s->fields);
    free(s);
}

static const struct source_ops file_ops = {file_run, file_stop, file_free};

enum err_class source_open_files(const struct source_options *options, const struct file_options *file,
                                 struct source **ret_source, struct err *err)
{
    if (file->path_count == 0) {
        return err_set(err, ERR_REJECT, EXIT_USAGE, "no file to read: name one or more, or - for standard input");
    }
    struct file_source *s = xcalloc(1, sizeof(*s));
    s->base.ops = &file_ops;
    s->options = *file;
    s->options.path_count = 0;
    s->paths = xcalloc(file->path_count, sizeof(*s->paths));
    s->feeder =
        (struct feeder){.options = *options, .stop = &s->stop, .note_key = "file", .note = write_note, .ctx = s};
    s->fields = field_set_new();
    enum err_class cls = ERR_NONE;
    for (size_t i = 0; i < file->path_count && !cls; i++) {
        if (strlen(file->paths[i]) >= PATH_BYTES) {
            cls = err_set(err, ERR_REJECT, EXIT_USAGE, "the name of file %zu is longer than %d bytes", i + 1,
                          PATH_BYTES - 1);
        } else {
            s->paths[s->options.path_count++] = str_dup(str_of(file->paths[i]));
        }
    }
    if (!cls && file->arrival_tsv) {
        s->arrival_tsv = str_dup(str_of(file->arrival_tsv));
        cls = arrivals_read(file->arrival_tsv, file->arrival_base_ms, &s->arrivals, err);
    }
    if (cls) {
        file_free(&s->base);
        return cls;
    }
    *ret_source = &s->base;
    return ERR_NONE;
}
