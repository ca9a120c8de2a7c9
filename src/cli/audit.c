/* SPDX-License-Identifier: MIT
 *
 * audit.c - wikitally audit: holes in the upstream's offsets (R4) and resumes that could not be proven continuous (R3).
 */
#include "app/pipeline.h"
#include "cli/cli.h"
#include "cli/follow.h"
#include "journal/journal.h"
#include "source/source.h"

static void print_hole(struct out *out, const struct hole_row *h)
{
    out_text(out, h->topic);
    out_z(out, "hole");
    out_int(out, h->numbering);
    out_int(out, h->from);
    out_int(out, h->to);
    out_int(out, h->to - h->from + 1);
    out_time(out, h->seen_us);
    out_none(out);
    out_z(out, h->outcome);
    out_int(out, h->tries);
    out_row(out);
}

static void print_gap(struct out *out, const struct gap_row *g)
{
    out_text(out, g->topic);
    out_z(out, "gap");
    for (int i = 0; i < 4; i++)
        out_none(out);
    out_time(out, g->from_us);
    out_time(out, g->to_us);
    out_z(out, "open");
    out_none(out);
    out_row(out);
}

static enum err_class print_audit(struct cli *cli, struct journal_reader *reader, bool *ret_open, struct err *err)
{
    static const struct out_column columns[] = {
        {"topic", false},  {"what", false},    {"numbering", true}, {"from", true},     {"to", true},
        {"offsets", true}, {"dt_from", false}, {"dt_to", false},    {"outcome", false}, {"tries", true}};
    AUTO(arena) struct arena arena = {0};
    struct str audit, position;
    const struct hole_row *holes;
    const struct gap_row *gaps;
    size_t hole_count = 0, gap_count = 0;
    if (journal_reader_note(reader, STR("audit"), &arena, &audit, err) ||
        journal_reader_note(reader, STR("position"), &arena, &position, err) ||
        source_audit_rows(audit, &arena, &holes, &hole_count, err) ||
        source_gap_rows(position, &arena, &gaps, &gap_count, err) ||
        out_begin(&cli->out, columns, sizeof columns / sizeof *columns, err))
        return err->cls;
    *ret_open = gap_count > 0;
    for (size_t i = 0; i < hole_count; i++) {
        *ret_open |= strcmp(holes[i].outcome, "open") == 0;
        print_hole(&cli->out, &holes[i]);
    }
    for (size_t i = 0; i < gap_count; i++)
        print_gap(&cli->out, &gaps[i]);
    out_end(&cli->out);
    return ERR_NONE;
}

/* Follows the source until it is caught up: healing is part of that. */
static int heal(struct cli *cli, const char *source, struct err *err)
{
    struct source_spec spec;
    if (cli_config(cli, err) || source_spec_parse(source, &cli->config, &spec, err))
        return cli_fail(err);
    cli->config.source.heal = true;
    struct pipeline_options options = {
        .config = &cli->config, .source = &spec, .directory = cli->directory, .clock = &clock_real};
    struct follow_until until = {.wall_us = TIME_NONE, .end = true};
    int code = follow_pipeline(cli, &options, &(struct follow){.until = until}, err);
    source_spec_fini(&spec);
    return code;
}

static int audit_run(struct cli *cli, int argc, char **argv, struct err *err)
{
    bool healing = false, any_open = false;
    const char *source = NULL;
    int first, code;
    const struct arg args[] = {
        {"heal", 0, ARG_FLAG, &healing, NULL, "connect, fill what can be filled, then print"},
        {"source", 's', ARG_STRING, &source, "URL", "the stream to heal from (the configured one)"},
    };
    if (!cli_parse(cli, args, sizeof args / sizeof *args, argc, argv, &first, &code, err))
        return code;
    if (first < argc)
        return cli_usage(err, "audit: \"%s\" is one argument too many", argv[first]);
    if (cli_directory(cli, err))
        return cli_fail(err);
    if (healing && (code = heal(cli, source, err)) != EXIT_DONE)
        return code;
    struct journal_reader *reader;
    if (cli_journal(cli, &reader, err))
        return cli_fail(err);
    enum err_class cls = print_audit(cli, reader, &any_open, err);
    journal_reader_close(reader);
    return cls ? cli_fail(err) : any_open ? EXIT_NO : EXIT_DONE;
}

const struct command command_audit = {"audit", "holes in the upstream's offsets: found, healed, open",
                                      "  wikitally audit\n"
                                      "  wikitally audit --heal\n"
                                      "  wikitally audit -o tsv --columns from,to,outcome\n\n"
                                      "The stream numbers its events; a number that never came is a hole. Outcome "
                                      "healed: filled by asking again; unfilled: the server itself\n"
                                      "does not have it; open: not tried yet. A gap is a resume that could not be "
                                      "proven continuous. Exit 1 if anything is open.",
                                      audit_run};
