/* SPDX-License-Identifier: MIT
 *
 * ledger.c - wikitally ledger: where every record went (R12). Two sums: the source's, and each aggregation's up to its
 * position.
 */
#include "app/ledger_view.h"
#include "cli/cli.h"

#include <stdio.h>

static void print_minute(struct out *out, int64_t minute)
{
    if (minute == TALLY_NO_TIME)
        out_z(out, "null");
    else if (minute == TALLY_OLDER)
        out_z(out, "older");
    else if (minute == TALLY_AHEAD)
        out_z(out, "ahead");
    else if (minute == LEDGER_TOTAL)
        out_z(out, "total");
    else
        out_time(out, minute * US_PER_MINUTE);
}

static int print_rows(struct cli *cli, const struct ledger_view *view, enum tally_by by, bool totals_only,
                      struct err *err)
{
    struct out_column columns[3 + SOURCE_BUCKETS + TASK_BUCKETS] = {
        {"minute", false}, {"ledger", false}, {"records", true}};
    size_t n = 3;
    for (int b = SOURCE_DUPLICATE; b < SOURCE_BUCKETS; b++)
        columns[n++] = (struct out_column){b == SOURCE_DEAD ? "dead_source" : source_bucket_names[b], true};
    for (int b = 0; b < TASK_BUCKETS; b++)
        columns[n++] = (struct out_column){task_bucket_names[b], true};
    if (out_begin(&cli->out, columns, n, err))
        return EXIT_USAGE;
    for (size_t i = 0; i < view->count; i++) {
        const struct ledger_row *row = &view->rows[i];
        if (row->by != by || (totals_only && row->minute != LEDGER_TOTAL))
            continue;
        print_minute(&cli->out, row->minute);
        out_z(&cli->out, row->name);
        out_int(&cli->out, row->records);
        for (int b = SOURCE_DUPLICATE; b < SOURCE_BUCKETS; b++) {
            if (row->is_source)
                out_int(&cli->out, row->buckets[b]);
            else
                out_none(&cli->out);
        }
        for (int b = 0; b < TASK_BUCKETS; b++) {
            if (row->is_source)
                out_none(&cli->out);
            else
                out_int(&cli->out, row->buckets[b]);
        }
        out_row(&cli->out);
    }
    out_end(&cli->out);
    return EXIT_DONE;
}

static int check(const struct ledger_view *view)
{
    for (size_t i = 0; i < view->wrong_count; i++)
        fprintf(stderr, "the ledger does not balance: %s\n", view->wrong[i]);
    if (view->wrong_count)
        return EXIT_NO;
    out_printf("balanced: %lld received and %lld ticks = %lld duplicate + %lld filtered + %lld dead + %lld journalled; "
               "%lld in flight\n",
               (long long)view->source[SOURCE_RECEIVED], (long long)view->source[SOURCE_TICK],
               (long long)view->source[SOURCE_DUPLICATE], (long long)view->source[SOURCE_FILTERED],
               (long long)view->source[SOURCE_DEAD], (long long)view->source[SOURCE_JOURNALLED],
               (long long)view->in_flight);
    return EXIT_DONE;
}

static int ledger_run(struct cli *cli, int argc, char **argv, struct err *err)
{
    bool checking = false, totals = false;
    const char *by = "event";
    struct ledger_range range = {TIME_NONE, TIME_NONE};
    int first, code;
    const struct arg args[] = {
        {"check", 0, ARG_FLAG, &checking, NULL, "only say whether it balances; exit 1 if it does not"},
        {"by", 0, ARG_STRING, &by, "TIME", "minute of event time (event) or of arrival (arrival)"},
        {"total", 0, ARG_FLAG, &totals, NULL, "only the sums over all minutes"},
        {"from", 0, ARG_TIME, &range.from_us, "T", "minutes from T on"},
        {"to", 0, ARG_TIME, &range.to_us, "T", "minutes before T"},
    };
    if (!cli_parse(cli, args, sizeof args / sizeof *args, argc, argv, &first, &code, err))
        return code;
    if (first < argc)
        return cli_usage(err, "ledger: \"%s\" is one argument too many", argv[first]);
    if (strcmp(by, "event") != 0 && strcmp(by, "arrival") != 0)
        return cli_usage(err, "ledger: --by \"%s\" is not event or arrival", by);
    struct ledger_view view = {0};
    if (cli_config(cli, err) || cli_directory(cli, err))
        return cli_fail(err);
    struct journal_place place = config_place(&cli->config, cli->directory);
    if (ledger_view_read(&place, &range, &view, err))
        return cli_fail(err);
    code = checking ? check(&view) : print_rows(cli, &view, by[0] == 'e' ? TALLY_EVENT : TALLY_ARRIVAL, totals, err);
    ledger_view_fini(&view);
    return code;
}

const struct command command_ledger = {
    "ledger", "where every event went, and whether it balances",
    "  wikitally ledger --check\n"
    "  wikitally ledger --total\n"
    "  wikitally ledger --by arrival --from now-1h -o tsv\n\n"
    "Row `source`: received + ticks = duplicate + filtered + dead_source + journalled. Rows of an aggregation: the "
    "records of the journal up to\n"
    "its position = dead + canary + tick + unmatched + future + counted + late + gap.",
    ledger_run};
