/* SPDX-License-Identifier: MIT
 *
 * replay.c - wikitally replay: a recording through the tasks, or a span of the journal once more, compared with what
 * the sink holds.
 */
#include "app/recompute.h"
#include "cli/cli.h"
#include "cli/follow.h"

#include <stdio.h>
#include <stdlib.h>

struct replaying {
    struct out *out;
    bool diff;
};

static void print_cell(struct buf *b, const struct cell *c)
{
    if (c->kind == CELL_TEXT)
        buf_add(b, c->text);
    else if (c->kind == CELL_NULL)
        buf_addc(b, '-');
    else
        buf_add_int(b, c->number);
}

/* measures=value pairs, state, revision, closed_by of one side, as one cell. */
static void side_text(struct buf *b, const struct stored_aggregation *a, const struct result_row *row)
{
    for (size_t i = 0; i < a->measure_count; i++) {
        buf_addf(b, "%s%s=", i ? " " : "", a->measures[i].label);
        print_cell(b, &row->measures[i]);
    }
    buf_addf(b, " %s revision=%lld closed_by=%lld", row->final ? "final" : "open", (long long)row->revision,
             (long long)row->closed_by);
}

static void print_side(struct out *out, const struct stored_aggregation *a, const struct result_row *row)
{
    AUTO(buf) struct buf text = {0};
    if (row)
        side_text(&text, a, row);
    if (row)
        out_text(out, buf_str(&text));
    else
        out_none(out);
}

static void print_finding(const struct recompute_finding *f, void *ctx)
{
    static const char *const names[] = {"row", "missing", "extra", "different"};
    struct replaying *r = ctx;
    const struct result_row *row = f->computed ? f->computed : f->stored;
    out_z(r->out, names[f->what]);
    out_z(r->out, f->aggregation->name);
    out_int(r->out, f->partition);
    out_time(r->out, row->window_start_us);
    out_text(r->out, row->key);
    print_side(r->out, f->aggregation, f->computed);
    if (r->diff)
        print_side(r->out, f->aggregation, f->stored);
    out_row(r->out);
}

static int replay_journal(struct cli *cli, int64_t from_us, int64_t to_us, const char *sink, struct err *err)
{
    static const struct out_column columns[] = {{"what", false},         {"aggregation", false}, {"partition", true},
                                                {"window_start", false}, {"key", true},          {"computed", false},
                                                {"stored", false}};
    if (sink && strcmp(sink, "sqlite") != 0)
        return cli_usage(err, "replay: --diff: there is no sink \"%s\"; there is sqlite", sink);
    if (cli_config(cli, err) || cli_directory(cli, err))
        return cli_fail(err);
    struct recompute_options options = {config_place(&cli->config, cli->directory), &cli->config, from_us, to_us,
                                        sink != NULL};
    struct recompute_summary summary;
    struct replaying replaying = {&cli->out, sink != NULL};
    if (out_begin(&cli->out, columns, sink ? 7 : 6, err))
        return EXIT_USAGE;
    enum err_class cls = recompute(&options, print_finding, &replaying, &summary, err);
    out_end(&cli->out);
    if (cls)
        return cli_fail(err);
    if (sink && !cli->quiet)
        fprintf(stderr, "%lld rows computed, %lld differ, %lld could not be checked\n", (long long)summary.rows,
                (long long)summary.findings, (long long)summary.skipped);
    return sink && summary.findings ? EXIT_NO : EXIT_DONE;
}

static int replay_files(struct cli *cli, char **files, int count, double speed, bool loop, bool close_windows,
                        const char *listen, struct err *err)
{
    AUTO(buf) struct buf text = {0}, directory = {0};
    struct source_spec spec;
    buf_addz(&text, "replay:");
    for (int i = 0; i < count; i++)
        buf_addf(&text, "%s%s", i ? "," : "", files[i]);
    if (cli_config(cli, err) || source_spec_parse(text.ptr, &cli->config, &spec, err))
        return cli_fail(err);
    spec.speed = speed;
    spec.loop = loop;
    spec.close_after_us = close_windows ? follow_close_after(&cli->config) : 0;
    if (cli->data_dir)
        buf_addz(&directory, cli->data_dir);
    else
        source_spec_directory(&spec, &cli->config, &directory);
    struct pipeline_options options = {.config = &cli->config,
                                       .source = &spec,
                                       .directory = directory.ptr,
                                       .listen = listen && strcmp(listen, "none") != 0 ? listen : NULL,
                                       .clock = &clock_real};
    struct follow_until until = {.wall_us = TIME_NONE, .end = true};
    int code = follow_pipeline(cli, &options, &(struct follow){.until = until}, err);
    source_spec_fini(&spec);
    return code;
}

static int replay_run(struct cli *cli, int argc, char **argv, struct err *err)
{
    double speed = 0;
    bool loop = false, close_windows = false;
    const char *sink = NULL, *listen = NULL;
    int64_t from_us = TIME_NONE, to_us = TIME_NONE;
    int first, code;
    const struct arg args[] = {
        {"from", 0, ARG_TIME, &from_us, "T", "of the journal: windows that start at T or later"},
        {"to", 0, ARG_TIME, &to_us, "T", "of the journal: windows that start before T"},
        {"diff", 0, ARG_STRING, &sink, "SINK",
         "compare with what this sink holds (sqlite); exit 1 if anything differs"},
        {"speed", 0, ARG_DOUBLE, &speed, "X", "of a recording: 1 as recorded, 20, max (default)"},
        {"loop", 0, ARG_FLAG, &loop, NULL, "begin a recording again at its end"},
        {"close", 0, ARG_FLAG, &close_windows, NULL, "at the end of a recording close all windows"},
        {"listen", 'l', ARG_STRING, &listen, "ADDR:PORT", "serve the page meanwhile"},
    };
    if (!cli_parse(cli, args, sizeof args / sizeof *args, argc, argv, &first, &code, err))
        return code;
    if (first < argc && (sink || from_us != TIME_NONE || to_us != TIME_NONE))
        return cli_usage(err, "replay: wants files, or --from, --to and --diff for the journal, not both");
    if (first < argc)
        return replay_files(cli, argv + first, argc - first, speed, loop, close_windows, listen, err);
    if (!sink && from_us == TIME_NONE && to_us == TIME_NONE)
        return cli_usage(err, "replay: wants files, or --from T and --to T, or --diff sqlite");
    return replay_journal(cli, from_us, to_us, sink, err);
}

const struct command command_replay = {
    "replay", "feed a recording, or a span of the journal once more",
    "  wikitally replay day.jsonl.zst --close\n"
    "  wikitally replay day.jsonl.zst --speed 20 --listen 127.0.0.1:8787\n"
    "  wikitally replay --diff sqlite\n"
    "  wikitally replay --from 2026-11-21T12:00:00Z --to 2026-11-21T13:00:00Z --diff sqlite\n\n"
    "With files: journal and results go to a directory of their own (or --data-dir). With a span: the journal is read "
    "again from where it must be\n"
    "and the rows are printed; with --diff only those that the sink does not hold just so. Nothing is written.",
    replay_run};
