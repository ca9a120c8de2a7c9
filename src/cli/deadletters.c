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
static enum err_class each_letter(const char *directory, bool source_only,
                                  bool (*each)(const struct dead_letter *, void *), void *ctx, bool *of_task,
                                  struct err *err)
{
    struct journal_reader *reader;
    struct results *results;
    if (journal_reader_open(directory, &reader, err))
        return err->cls;
    *of_task = false;
    enum err_class cls = journal_reader_dead(reader, 0, each, ctx, err);
    journal_reader_close(reader);
    if (cls || source_only)
        return cls;
    cls = results_open(directory, &results, err);
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
    enum err_class cls = each_letter(cli->directory, false, print_letter, &l, &l.of_task, err);
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
    enum err_class cls = each_letter(cli->directory, false, take_bytes, &w, &w.of_task, err);
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

struct letters {
    struct dead_letter *list;
    size_t count;
    struct arena arena;
    int64_t only; /* 0: all that were not retried yet */
};

static bool keep_letter(const struct dead_letter *d, void *ctx)
{
    struct letters *l = ctx;
    if (d->retried_us != TIME_NONE || (l->only && d->id != l->only) || l->count == 100000)
        return true;
    l->list = xrealloc(l->list, (l->count + 1) * sizeof *l->list);
    struct dead_letter *copy = &l->list[l->count++];
    *copy = *d;
    copy->bytes = arena_dup(&l->arena, d->bytes);
    copy->position = arena_dup(&l->arena, d->position);
    copy->detail = arena_dup(&l->arena, d->detail);
    return true;
}

static enum err_class retry_each(struct letters *l, struct journal *journal, struct ingest *ingest,
                                 const struct source_options *options, size_t *ret_done, struct err *err)
{
    for (size_t i = 0; i < l->count; i++) {
        bool admitted = false;
        struct err why = {0};
        enum err_class cls = source_retry_dead(options, ingest_output(ingest), &l->list[i], &admitted, &why);
        if (!cls && admitted)
            cls = failpoint_err("deadletters.admitted", &why);
        if (!cls && admitted)
            cls = journal_dead_retried(journal, l->list[i].id, clock_wall(&clock_real), &why);
        if (cls) {
            *err = why;
            return cls;
        }
        if (!admitted)
            fprintf(stderr, "%lld: %s\n", (long long)l->list[i].id, why.text);
        *ret_done += admitted;
    }
    return ERR_NONE;
}

static int retry(struct cli *cli, const char *text, struct err *err)
{
    struct letters l = {0};
    bool of_task = false;
    size_t done = 0;
    if (text && (!parse_id(text, &l.only, &of_task) || of_task || l.only <= 0))
        return cli_usage(err, "deadletters retry: wants the ID of a letter of the source; those of a task come back by "
                              "\"run\" with a changed definition");
    if (cli_config(cli, err))
        return cli_fail(err);
    struct source_spec spec;
    struct journal *journal = NULL;
    struct ingest *ingest = NULL;
    static const atomic_bool stopping = false;
    struct journal_options options = {.directory = cli->directory, .clock = &clock_real};
    struct source_options source;
    enum err_class cls = source_spec_parse(NULL, &cli->config, &spec, err);
    if (!cls)
        cls = journal_open_sqlite(&options, &journal, err);
    if (!cls) {
        struct ingest_options ingest_options = {.journal = journal, .clock = &clock_real, .stopping = &stopping};
        cls = ingest_new(&ingest_options, &ingest, err);
    }
    if (!cls)
        cls = each_letter(cli->directory, true, keep_letter, &l, &of_task, err);
    if (!cls) {
        source_spec_options(&spec, &cli->config, journal_partitions(journal), &clock_real, &source);
        cls = retry_each(&l, journal, ingest, &source, &done, err);
    }
    if (!cls)
        out_printf("%zu of %zu letters are in the journal now\n", done, l.count);
    bool none = l.only && l.count == 0;
    ingest_free(ingest);
    journal_close(journal);
    source_spec_fini(&spec);
    arena_fini(&l.arena);
    bool all = done == l.count;
    free(l.list);
    if (!cls && none)
        err_set(err, ERR_REJECT, EXIT_NO, "there is no dead letter \"%s\" that was not retried yet", text);
    return cls ? cli_fail(err) : none || !all ? EXIT_NO : EXIT_DONE;
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
