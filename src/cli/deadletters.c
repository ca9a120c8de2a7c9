/* SPDX-License-Identifier: MIT
 *
 * deadletters.c - wikitally deadletters list | show ID | retry [ID]: what could not be decoded, and why (R2).
 *
 * Those of the source lie in journal.db, those of a task in results.db (each belongs to the atomic unit of whoever
 * wrote it); a task's ids are shown as ID.t so that one name means one letter.
 */
#include "app/ingest.h"
#include "app/source_spec.h"
#include "base/fault.h"
#include "cli/cli.h"
#include "sink/results.h"

#include <stdio.h>
#include <stdlib.h>

static const struct out_column columns[] = {{"id", false},       {"stage", false},   {"reason", false},
                                            {"position", false}, {"arrival", false}, {"retried", false},
                                            {"bytes", true},     {"detail", false}};

struct listing {
    struct out *out;
    bool of_task;
};

static bool print_letter(const struct dead_letter *d, void *ctx)
{
    struct listing *l = ctx;
    char id[32];
    snprintf(id, sizeof id, "%lld%s", (long long)d->id, l->of_task ? ".t" : "");
    out_z(l->out, id);
    out_z(l->out, d->stage);
    out_z(l->out, d->reason);
    out_text(l->out, d->position);
    out_time(l->out, d->arrival_us);
    out_time(l->out, d->retried_us);
    out_int(l->out, (int64_t)d->bytes.len);
    out_text(l->out, d->detail);
    out_row(l->out);
    return true;
}

/* Both stores; results.db may be missing. */
static enum err_class each_letter(struct cli *cli, bool (*each)(const struct dead_letter *, void *), void *ctx,
                                  bool *of_task, struct err *err)
{
    struct journal_reader *reader;
    struct results *results;
    if (cli_journal(cli, &reader, err))
        return err->cls;
    *of_task = false;
    enum err_class cls = journal_reader_dead(reader, 0, each, ctx, err);
    journal_reader_close(reader);
    if (cls)
        return cls;
    cls = results_open(cli->directory, &results, err);
    if (cls && err->code == EXIT_NOINPUT) {
        *err = (struct err){0};
        return ERR_NONE;
    }
    if (cls)
        return cls;
    *of_task = true;
    cls = results_dead(results, 0, each, ctx, err);
    results_close(results);
    return cls;
}

static int list(struct cli *cli, struct err *err)
{
    struct listing l = {.out = &cli->out};
    if (out_begin(&cli->out, columns, sizeof columns / sizeof *columns, err))
        return EXIT_USAGE;
    enum err_class cls = each_letter(cli, print_letter, &l, &l.of_task, err);
    out_end(&cli->out);
    return cls ? cli_fail(err) : EXIT_DONE;
}

struct wanted {
    int64_t id;
    bool task, of_task, found;
    struct buf bytes;
};

static bool take_bytes(const struct dead_letter *d, void *ctx)
{
    struct wanted *w = ctx;
    if (d->id != w->id || w->of_task != w->task)
        return true;
    buf_add(&w->bytes, d->bytes);
    w->found = true;
    return false;
}

static bool parse_id(const char *text, int64_t *ret_id, bool *ret_task)
{
    struct str s = str_of(text);
    *ret_task = str_ends(s, STR(".t"));
    return str_to_int64(*ret_task ? str_n(s.ptr, s.len - 2) : s, ret_id);
}

static int show(struct cli *cli, const char *text, struct err *err)
{
    struct wanted w = {0};
    if (!text || !parse_id(text, &w.id, &w.task))
        return cli_usage(err, "deadletters show: wants an ID as \"deadletters list\" prints it");
    enum err_class cls = each_letter(cli, take_bytes, &w, &w.of_task, err);
    if (!cls && w.found)
        out_write(buf_str(&w.bytes)); /* the original bytes, nothing added */
    out_flush();
    buf_fini(&w.bytes);
    if (cls)
        return cli_fail(err);
    if (!w.found)
        err_set(err, ERR_REJECT, EXIT_NO, "there is no dead letter \"%s\"", text);
    return w.found ? EXIT_DONE : EXIT_NO;
}

/* ---- retry */

enum { LETTERS_MAX = 256, LETTERS_BYTES_MAX = 64 << 20 }; /* in memory at once; one more may be over */

struct letters {
    struct dead_letter list[LETTERS_MAX];
    size_t count;
    struct arena arena;
    int64_t only; /* 0: all that were not retried yet */
};

static bool keep_letter(const struct dead_letter *d, void *ctx)
{
    struct letters *l = ctx;
    if (d->retried_us != TIME_NONE || (l->only && d->id != l->only))
        return true;
    struct dead_letter *copy = &l->list[l->count++];
    *copy = *d;
    copy->bytes = arena_dup(&l->arena, d->bytes);
    copy->position = arena_dup(&l->arena, d->position);
    return l->count < LETTERS_MAX && l->arena.used_bytes < LETTERS_BYTES_MAX;
}

static enum err_class letters_read(struct letters *l, struct cli *cli, int64_t from_id, struct err *err)
{
    struct journal_reader *reader;
    l->count = 0;
    arena_reset(&l->arena);
    enum err_class cls = cli_journal(cli, &reader, err);
    if (!cls) {
        cls = journal_reader_dead(reader, from_id, keep_letter, l, err);
        journal_reader_close(reader);
    }
    return cls;
}

struct retrying {
    struct journal *journal;
    struct ingest *ingest;
    struct source_retry *retry;
    size_t seen, done;
};

static enum err_class retry_open(struct retrying *r, struct cli *cli, const struct source_spec *spec, struct err *err)
{
    static const atomic_bool stopping = false;
    struct journal_options options = {
        .directory = cli->directory, .kafka = cli->config.journal_kafka, .clock = &clock_real};
    struct source_options source;
    enum err_class cls = options.kafka ? journal_open_kafka(&options, &r->journal, err)
                                       : journal_open_sqlite(&options, &r->journal, err);
    if (cls)
        return cls;
    struct ingest_options ingest_options = {.journal = r->journal, .clock = &clock_real, .stopping = &stopping};
    cls = ingest_new(&ingest_options, &r->ingest, err);
    if (cls)
        return cls;
    source_spec_options(spec, &cli->config, r->journal, &clock_real, &source);
    return source_retry_new(&source, ingest_output(r->ingest), &r->retry, err);
}

static void retry_close(struct retrying *r)
{
    source_retry_free(r->retry);
    ingest_free(r->ingest);
    journal_close(r->journal);
}

static enum err_class retry_each(struct retrying *r, const struct letters *l, struct err *err)
{
    for (size_t i = 0; i < l->count; i++) {
        bool admitted = false;
        struct err why = {0};
        enum err_class cls = source_retry_dead(r->retry, &l->list[i], &admitted, &why);
        if (!cls && admitted)
            cls = failpoint_err("deadletters.admitted", &why);
        if (!cls && admitted)
            cls = journal_dead_retried(r->journal, l->list[i].id, clock_wall(&clock_real), &why);
        if (cls) {
            *err = why;
            return cls;
        }
        if (!admitted)
            fprintf(stderr, "%lld: %s\n", (long long)l->list[i].id, why.text);
        r->seen++;
        r->done += admitted;
    }
    return ERR_NONE;
}

static enum err_class retry_all(struct retrying *r, struct cli *cli, int64_t only, struct err *err)
{
    struct letters *l = xcalloc(1, sizeof *l);
    int64_t from_id = only;
    enum err_class cls;
    l->only = only;
    do {
        cls = letters_read(l, cli, from_id, err);
        cls = cls ? cls : retry_each(r, l, err);
        from_id = l->count ? l->list[l->count - 1].id + 1 : from_id;
    } while (!cls && l->count && !only);
    arena_fini(&l->arena);
    free(l);
    return cls;
}

static int retry(struct cli *cli, const char *text, struct err *err)
{
    struct retrying r = {0};
    struct source_spec spec;
    int64_t only = 0;
    bool of_task = false;
    if (text && (!parse_id(text, &only, &of_task) || of_task || only <= 0))
        return cli_usage(err, "deadletters retry: wants the ID of a letter of the source; those of a task come back by "
                              "\"run\" with a changed definition");
    if (cli_config(cli, err))
        return cli_fail(err);
    enum err_class cls = source_spec_parse(NULL, &cli->config, &spec, err);
    cls = cls ? cls : retry_open(&r, cli, &spec, err);
    cls = cls ? cls : retry_all(&r, cli, only, err);
    if (!cls)
        out_printf("%zu of %zu letters are in the journal now\n", r.done, r.seen);
    retry_close(&r);
    source_spec_fini(&spec);
    if (cls)
        return cli_fail(err);
    if (only && r.seen == 0)
        err_set(err, ERR_REJECT, EXIT_NO, "there is no dead letter \"%s\" that was not retried yet", text);
    return (only && r.seen == 0) || r.done < r.seen ? EXIT_NO : EXIT_DONE;
}

static int deadletters_run(struct cli *cli, int argc, char **argv, struct err *err)
{
    int first, code;
    if (!cli_parse(cli, NULL, 0, argc, argv, &first, &code, err))
        return code;
    const char *what = first < argc ? argv[first] : "list", *id = argc - first > 1 ? argv[first + 1] : NULL;
    if (argc - first > 2)
        return cli_usage(err, "deadletters: \"%s\" is one argument too many", argv[first + 2]);
    if (cli_directory(cli, err))
        return cli_fail(err);
    if (strcmp(what, "list") == 0 && !id)
        return list(cli, err);
    if (strcmp(what, "show") == 0)
        return show(cli, id, err);
    if (strcmp(what, "retry") == 0)
        return retry(cli, id, err);
    return cli_usage(err, "deadletters: wants list, show ID or retry [ID], not \"%s\"", what);
}

const struct command command_deadletters = {"deadletters", "what could not be decoded, and why",
                                            "  wikitally deadletters list\n"
                                            "  wikitally deadletters show 3 | xxd | less\n"
                                            "  wikitally deadletters retry\n\n"
                                            "A record that cannot be decoded is kept here once, with its original "
                                            "bytes, its place and the reason, and the stream goes on. retry decodes\n"
                                            "again, with the program's present rules, and journals what can be decoded "
                                            "now; \"wikitally run\" must not be running meanwhile.",
                                            deadletters_run};
