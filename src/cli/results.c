/* SPDX-License-Identifier: MIT
 *
 * results.c - wikitally results: the stored rows, open and final, in the format of oracle.md section 7.
 */
#include "sink/results.h"
#include "cli/cli.h"

#include <stdlib.h>

struct printing {
    struct out *out;
    size_t measure_count;
};

static void print_cell(struct out *out, const struct cell *c)
{
    switch (c->kind) {
    case CELL_NULL:
        out_none(out);
        break;
    case CELL_TEXT:
        out_text(out, c->text);
        break;
    case CELL_INT:
    case CELL_BOOL:
        out_int(out, c->number);
        break;
    }
}

static bool print_row(const struct stored_row *row, void *ctx)
{
    struct printing *p = ctx;
    out_z(p->out, row->aggregation);
    out_int(p->out, row->partition);
    out_time(p->out, row->row.window_start_us);
    out_time(p->out, row->row.window_end_us);
    out_text(p->out, row->row.key);
    for (size_t i = 0; i < p->measure_count; i++)
        print_cell(p->out, &row->row.measures[i]);
    out_z(p->out, row->torn ? "torn" : row->row.final ? "final" : "open"); /* R10: incomplete, whatever it is beside */
    out_int(p->out, row->row.revision);
    if (row->row.closed_by >= 0)
        out_int(p->out, row->row.closed_by);
    else
        out_none(p->out);
    out_row(p->out);
    return true;
}

static bool same_measures(const struct stored_aggregation *a, const struct stored_aggregation *b)
{
    if (a->measure_count != b->measure_count)
        return false;
    for (size_t i = 0; i < a->measure_count; i++) {
        if (strcmp(a->measures[i].label, b->measures[i].label) != 0)
            return false;
    }
    return true;
}

/* The aggregation that was asked for, or any one if all have the same measures. */
static int choose(const struct stored_aggregation *list, size_t count, const char *name,
                  const struct stored_aggregation **ret_chosen, struct err *err)
{
    const char *names[64];
    size_t known = 0;
    *ret_chosen = NULL;
    for (size_t i = 0; i < count; i++) {
        if (known < 64)
            names[known++] = list[i].name;
        if (name && strcmp(list[i].name, name) == 0)
            *ret_chosen = &list[i];
        if (!name && !same_measures(&list[0], &list[i]))
            return cli_usage(err, "results: the aggregations have different measures; name one, such as \"%s\"",
                             list[0].name);
    }
    if (!name && count)
        *ret_chosen = &list[0];
    if (*ret_chosen || !name)
        return EXIT_DONE;
    const char *nearest = suggest(str_of(name), names, known);
    return nearest ? cli_usage(err, "results: there is no aggregation \"%s\"; did you mean \"%s\"", name, nearest)
                   : cli_usage(err, "results: there is no aggregation \"%s\"", name);
}

static int print_results(struct cli *cli, struct results *r, const struct results_query *query, struct err *err)
{
    AUTO(arena) struct arena arena = {0};
    const struct stored_aggregation *list, *chosen;
    size_t count;
    struct out_column columns[OUT_COLUMNS_MAX] = {
        {"aggregation", false}, {"partition", true}, {"window_start", false}, {"window_end", false}, {"key", true}};
    if (results_aggregations(r, &arena, &list, &count, err))
        return cli_fail(err);
    int code = choose(list, count, query->aggregation, &chosen, err);
    if (code || !chosen)
        return code;
    size_t n = 5;
    for (size_t i = 0; i < chosen->measure_count; i++)
        columns[n++] = (struct out_column){chosen->measures[i].label, chosen->measures[i].type != COLUMN_TEXT};
    columns[n++] = (struct out_column){"state", false};
    columns[n++] = (struct out_column){"revision", true};
    columns[n++] = (struct out_column){"closed_by", true};
    if (out_begin(&cli->out, columns, n, err))
        return EXIT_USAGE;
    struct printing printing = {&cli->out, chosen->measure_count};
    enum err_class cls = results_rows(r, query, print_row, &printing, err);
    out_end(&cli->out);
    return cls ? cli_fail(err) : EXIT_DONE;
}

static int results_run(struct cli *cli, int argc, char **argv, struct err *err)
{
    struct results_query query = {.from_us = TIME_NONE, .to_us = TIME_NONE, .partition = -1, .generation = -1};
    int64_t partition = -1;
    int first, code;
    const struct arg args[] = {
        {"from", 0, ARG_TIME, &query.from_us, "T", "windows that start at T or later"},
        {"to", 0, ARG_TIME, &query.to_us, "T", "windows that start before T"},
        {"partition", 0, ARG_INT, &partition, "P", "of this journal partition only"},
        {"newest-first", 0, ARG_FLAG, &query.newest_first, NULL, "newest windows first"},
        {"limit", 'n', ARG_INT, &query.limit, "N", "at most N rows"},
    };
    if (!cli_parse(cli, args, sizeof args / sizeof *args, argc, argv, &first, &code, err))
        return code;
    if (argc - first > 1)
        return cli_usage(err, "results: \"%s\" is one argument too many", argv[first + 1]);
    query.aggregation = first < argc ? argv[first] : NULL;
    query.partition = (int32_t)partition;
    struct results *results;
    if (cli_directory(cli, err) || results_open(cli->directory, &results, err))
        return cli_fail(err);
    code = print_results(cli, results, &query, err);
    results_close(results);
    return code;
}

const struct command command_results = {"results", "print what was counted",
                                        "  wikitally results user_edit_counts --newest-first -n 20\n"
                                        "  wikitally results --from now-1h -o tsv > rows.tsv\n"
                                        "  wikitally results titles -o jsonl | jq .key\n\n"
                                        "Prints the stored rows of one aggregation, or of all if they have the same "
                                        "measures. A row is an absolute value of one window and key;\n"
                                        "state is open until the watermark has passed the end of the window, then "
                                        "final. With several partitions, add the rows up.",
                                        results_run};
