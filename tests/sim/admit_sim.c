/* SPDX-License-Identifier: MIT
 *
 * admit_sim.c - what admission does with each record of a recording, as the table that `oracle.py admit` writes:
 * ordinal, outcome, reason, offset. The journal is in memory.
 *
 * usage: admit_sim [--filter TEXT] [--arrival-ms N] [--horizon-us N] [--partitions N] [--restart-every N] FILE
 *
 * --restart-every: after every N records what is pending is committed and the admission is thrown away; a new one is
 * loaded from notes, tail and dead letters (R3). No outcome may change by that.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "source/admission.h"

struct memory {                  /* the journal */
    struct source_output output; /* first member */
    struct arena arena;
    struct record *records[PARTITION_MAX];
    size_t count[PARTITION_MAX], cap[PARTITION_MAX];
    struct dead_letter *dead;
    size_t dead_count, dead_cap;
    struct buf notes[2]; /* position, audit */
};

static struct str copy(struct memory *m, struct str s)
{
    return arena_dup(&m->arena, s);
}

static void record_add(struct memory *m, const struct record *r)
{
    uint32_t p = r->partition;
    if (m->count[p] == m->cap[p]) {
        m->cap[p] = m->cap[p] ? m->cap[p] * 2 : 1024;
        m->records[p] = xrealloc(m->records[p], m->cap[p] * sizeof *m->records[p]);
    }
    m->records[p][m->count[p]] = (struct record){p, (int64_t)m->count[p], r->arrival_us, copy(m, r->value), 0};
    m->count[p]++;
}

static void dead_add(struct memory *m, const struct dead_letter *d)
{
    if (m->dead_count == m->dead_cap) {
        m->dead_cap = m->dead_cap ? m->dead_cap * 2 : 64;
        m->dead = xrealloc(m->dead, m->dead_cap * sizeof *m->dead);
    }
    m->dead[m->dead_count] = *d;
    m->dead[m->dead_count++].bytes = copy(m, d->bytes);
}

static enum err_class memory_commit(struct source_output *o, const struct batch *b, struct err *err)
{
    struct memory *m = (struct memory *)o;
    (void)err;
    for (size_t i = 0; i < b->record_count; i++) {
        record_add(m, &b->records[i]);
    }
    for (size_t i = 0; i < b->dead_count; i++) {
        dead_add(m, &b->dead[i]);
    }
    for (size_t i = 0; i < b->note_count; i++) {
        struct buf *note = &m->notes[str_eqz(b->notes[i].key, "audit")];
        buf_clear(note);
        buf_add(note, b->notes[i].value);
    }
    return ERR_NONE;
}

static enum err_class memory_note(struct source_output *o, struct str key, struct arena *arena, struct str *ret_value,
                                  struct err *err)
{
    struct memory *m = (struct memory *)o;
    (void)err;
    const struct buf *note = &m->notes[str_eqz(key, "audit")];
    *ret_value = note->len ? arena_dup(arena, buf_str(note)) : (struct str){NULL, 0};
    return ERR_NONE;
}

static enum err_class memory_tail(struct source_output *o, uint32_t partition, int64_t from, int64_t to,
                                  bool (*each)(const struct record *r, void *ctx), void *ctx, struct err *err)
{
    struct memory *m = (struct memory *)o;
    (void)err;
    for (int64_t i = from; i < to && i < (int64_t)m->count[partition] && each(&m->records[partition][i], ctx); i++) {
    }
    return ERR_NONE;
}

static enum err_class memory_dead(struct source_output *o, int64_t since_us,
                                  bool (*each)(const struct dead_letter *d, void *ctx), void *ctx, struct err *err)
{
    struct memory *m = (struct memory *)o;
    (void)err;
    for (size_t i = 0; i < m->dead_count; i++) {
        if ((m->dead[i].stream_us == TIME_NONE || m->dead[i].stream_us >= since_us) && !each(&m->dead[i], ctx)) {
            break;
        }
    }
    return ERR_NONE;
}

static enum err_class memory_bounds(struct source_output *o, uint32_t partition, int64_t *ret_head, int64_t *ret_end,
                                    struct err *err)
{
    (void)err;
    *ret_head = 0;
    *ret_end = (int64_t)((struct memory *)o)->count[partition];
    return ERR_NONE;
}

static int fail(const struct err *err)
{
    fprintf(stderr, "admit_sim: %s\n", err->text);
    return err_exit_code(err);
}

static enum err_class restart(struct admission **a, const struct source_options *options, struct memory *m,
                              struct err *err)
{
    if (*a) {
        memory_commit(&m->output, admission_batch(*a), err);
        admission_committed(*a);
        admission_free(*a);
        *a = NULL;
    }
    enum err_class cls = admission_new(options, a, err);
    return cls ? cls : admission_load(*a, &m->output, err);
}

/* Offers every record and prints its row. */
static enum err_class admit_all(const char *path, const struct source_options *options, int64_t arrival_us,
                                int64_t restart_every, struct memory *m, struct err *err)
{
    static const char *const outcomes[] = {"journalled", "duplicate", "filtered", "dead"};
    struct recording *r = NULL;
    struct admission *a = NULL;
    enum err_class cls = recording_open(path, &r, err);
    puts("ordinal\toutcome\treason\toffset");
    for (int64_t ordinal = 1; !cls; ordinal++) {
        struct str bytes;
        int64_t recorded_us, offset;
        bool more = false;
        if (!a || (restart_every && ordinal % restart_every == 0)) {
            cls = restart(&a, options, m, err);
        }
        cls = cls ? cls : recording_next(r, &bytes, &recorded_us, &more, err);
        if (cls || !more) {
            break;
        }
        enum outcome outcome;
        cls = admission_offer(a, NULL, bytes, arrival_us != TIME_NONE ? arrival_us : recorded_us, STR("sim"), &outcome,
                              err);
        const char *reason = admission_reason(a, &offset);
        printf("%" PRId64 "\t%s\t%s\t", ordinal, outcomes[outcome], reason);
        if (offset < 0) {
            puts("-");
        } else {
            printf("%" PRId64 "\n", offset);
        }
    }
    admission_free(a);
    if (r) {
        recording_close(r);
    }
    return cls;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {{"filter", 1, NULL, 'f'},        {"arrival-ms", 1, NULL, 'a'},
                                          {"horizon-us", 1, NULL, 'h'},    {"partitions", 1, NULL, 'p'},
                                          {"restart-every", 1, NULL, 'r'}, {NULL, 0, NULL, 0}};
    static struct memory m;
    m.output = (struct source_output){memory_commit, memory_note, memory_tail, memory_dead, memory_bounds};
    struct source_options options = {.horizon_us = 2 * US_PER_MINUTE,
                                     .skew_us = US_PER_MINUTE,
                                     .max_identities = 1000000,
                                     .partitions = 1,
                                     .clock = &clock_real};
    int64_t arrival_us = TIME_NONE, restart_every = 0;
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        switch (c) {
        case 'f':
            options.filter = optarg;
            break;
        case 'a':
            arrival_us = atoll(optarg) * US_PER_MS;
            break;
        case 'h':
            options.horizon_us = atoll(optarg);
            break;
        case 'p':
            options.partitions = (uint32_t)atoll(optarg);
            break;
        case 'r':
            restart_every = atoll(optarg);
            break;
        default:
            return EXIT_USAGE;
        }
    }
    if (optind + 1 != argc) {
        fputs("usage: admit_sim [options] FILE\n", stderr);
        return EXIT_USAGE;
    }
    struct err err = {0};
    int code = admit_all(argv[optind], &options, arrival_us, restart_every, &m, &err) ? fail(&err) : EXIT_DONE;
    for (size_t i = 0; i < PARTITION_MAX; i++) {
        free(m.records[i]);
    }
    free(m.dead);
    buf_fini(&m.notes[0]);
    buf_fini(&m.notes[1]);
    arena_fini(&m.arena);
    return code;
}
