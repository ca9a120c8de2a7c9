/* SPDX-License-Identifier: MIT
 *
 * record.c - wikitally record FILE: captures the source for replay, as zstd-compressed journal-dump lines with arrival
 * times. It is the same source as in `run`, so resumes overlap and duplicates are dropped; only the journal is a file.
 */
#include "app/source_spec.h"
#include "base/diag.h"
#include "base/fault.h"
#include "cli/cli.h"
#include "journal/dump.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zstd.h>

struct recorder {
    struct source_output output; /* first member */
    FILE *file;
    ZSTD_CStream *zstd;
    struct buf lines;
    char *packed;
    int64_t next, limit;
    struct source *source;
};

static enum err_class write_packed(struct recorder *r, ZSTD_EndDirective how, struct err *err)
{
    ZSTD_inBuffer in = {r->lines.ptr, r->lines.len, 0};
    size_t left;
    if (!r->zstd) /* never was, or failed: libzstd does not survive another call then */
        return err_set(err, ERR_FATAL, EXIT_OSERR, "cannot compress: no memory");
    do {
        ZSTD_outBuffer out = {r->packed, ZSTD_CStreamOutSize(), 0};
        left = ZSTD_compressStream2(r->zstd, &out, &in, how);
        if (ZSTD_isError(left)) {
            ZSTD_freeCStream(r->zstd);
            r->zstd = NULL;
            return err_set(err, ERR_FATAL, EXIT_OSERR, "cannot compress: %s", ZSTD_getErrorName(left));
        }
        if (fwrite(r->packed, 1, out.pos, r->file) != out.pos)
            return err_errno(err, ERR_FATAL, EXIT_IOERR, errno, "cannot write the recording");
    } while (left > 0 || in.pos < in.size);
    buf_clear(&r->lines);
    if (failpoint_err("record.in_write", err))
        return ERR_FATAL;
    return fflush(r->file) ? err_errno(err, ERR_FATAL, EXIT_IOERR, errno, "cannot write the recording") : ERR_NONE;
}

static enum err_class commit(struct source_output *o, const struct batch *b, struct err *err)
{
    struct recorder *r = (struct recorder *)o;
    for (size_t i = 0; i < b->record_count; i++) {
        if (r->limit && r->next >= r->limit)
            break;
        struct record record = b->records[i];
        record.partition = 0;
        record.offset = r->next++;
        journal_dump_line(&r->lines, &record, true);
    }
    if (r->limit && r->next >= r->limit)
        r->source->ops->stop(r->source);
    return write_packed(r, ZSTD_e_flush, err);
}

static enum err_class no_note(struct source_output *o, struct str key, struct arena *arena, struct str *ret_value,
                              struct err *err)
{
    (void)o, (void)key, (void)arena, (void)err;
    *ret_value = (struct str){0};
    return ERR_NONE;
}

static enum err_class no_tail(struct source_output *o, uint32_t partition, int64_t from, int64_t to,
                              bool (*each)(const struct record *, void *), void *ctx, struct err *err)
{
    (void)o, (void)partition, (void)from, (void)to, (void)each, (void)ctx, (void)err;
    return ERR_NONE;
}

static enum err_class no_dead(struct source_output *o, int64_t since_us,
                              bool (*each)(const struct dead_letter *, void *), void *ctx, struct err *err)
{
    (void)o, (void)since_us, (void)each, (void)ctx, (void)err;
    return ERR_NONE;
}

static enum err_class bounds(struct source_output *o, uint32_t partition, int64_t *ret_head, int64_t *ret_end,
                             struct err *err)
{
    (void)partition, (void)err;
    *ret_head = 0;
    *ret_end = ((struct recorder *)o)->next;
    return ERR_NONE;
}

struct waiter {
    struct source *source;
    int64_t for_us;
    atomic_bool over;
};

/* Stops the source on a signal or when the time is over. */
static void *wait_main(void *arg)
{
    struct waiter *w = arg;
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    int64_t deadline_us = w->for_us ? clock_mono(&clock_real) + w->for_us : INT64_MAX;
    struct timespec pause = {.tv_nsec = 20000000};
    while (!atomic_load(&w->over) && clock_mono(&clock_real) < deadline_us && sigtimedwait(&signals, NULL, &pause) < 0)
        continue;
    w->source->ops->stop(w->source);
    return NULL;
}

static enum err_class run_recorder(struct recorder *r, int64_t for_us, struct err *err)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    struct waiter waiter = {.source = r->source, .for_us = for_us};
    pthread_t thread;
    if (pthread_create(&thread, NULL, wait_main, &waiter) != 0)
        return err_set(err, ERR_FATAL, EXIT_OSERR, "cannot start a thread");
    bool ended;
    enum err_class cls = r->source->ops->run(r->source, &r->output, &ended, err);
    atomic_store(&waiter.over, true);
    pthread_join(thread, NULL);
    struct err last = {0};
    if (write_packed(r, ZSTD_e_end, &last) && !cls) {
        *err = last;
        cls = last.cls;
    }
    if (!cls && fsync(fileno(r->file)) != 0)
        cls = err_errno(err, ERR_FATAL, EXIT_IOERR, errno, "cannot write the recording");
    return cls;
}

static int record_run(struct cli *cli, int argc, char **argv, struct err *err)
{
    const char *source = NULL;
    int64_t count = 0, for_us = 0;
    int first, code;
    const struct arg args[] = {
        {"source", 's', ARG_STRING, &source, "S", "live (default), a URL, or synthetic[:RATE]"},
        {"count", 'n', ARG_INT, &count, "N", "end after N events"},
        {"for", 0, ARG_DURATION, &for_us, "DUR", "end after that long"},
    };
    if (!cli_parse(cli, args, sizeof args / sizeof *args, argc, argv, &first, &code, err))
        return code;
    if (argc - first != 1)
        return cli_usage(err, "record: wants the name of one file to write");
    struct recorder r = {.output = {commit, no_note, no_tail, no_dead, bounds}, .limit = count};
    struct source_spec spec;
    if (cli_config(cli, err) || source_spec_parse(source, &cli->config, &spec, err))
        return cli_fail(err);
    spec.limit = count;
    r.file = fopen(argv[first], "wbx");
    enum err_class cls = r.file ? ERR_NONE
                                : err_errno(err, ERR_FATAL, err_errno_code(errno, EXIT_CANTCREAT), errno,
                                            "cannot make \"%s\"", argv[first]);
    if (!cls)
        cls = source_spec_open(&spec, &cli->config, NULL, NULL, &clock_real, &r.source, err);
    if (!cls) {
        r.zstd = ZSTD_createCStream();
        r.packed = xmalloc(ZSTD_CStreamOutSize());
        cls = run_recorder(&r, for_us, err);
        diag_info("record", "%lld events in \"%s\"", (long long)r.next, argv[first]);
    }
    if (r.source)
        r.source->ops->free(r.source);
    ZSTD_freeCStream(r.zstd);
    free(r.packed);
    buf_fini(&r.lines);
    source_spec_fini(&spec);
    if (r.file && fclose(r.file) != 0 && !cls)
        cls = err_errno(err, ERR_FATAL, EXIT_IOERR, errno, "cannot write \"%s\"", argv[first]);
    return cls ? cli_fail(err) : EXIT_DONE;
}

const struct command command_record = {"record", "capture the source for replay",
                                       "  wikitally record day.jsonl.zst --for 24h\n"
                                       "  wikitally record sample.jsonl.zst -n 10000\n"
                                       "  wikitally run --source replay:sample.jsonl.zst --until end\n\n"
                                       "Writes every event once, byte for byte, with the time of its arrival, as "
                                       "zstd-compressed lines. The file must not exist yet.",
                                       record_run};
