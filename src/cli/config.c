/* SPDX-License-Identifier: MIT
 *
 * config.c - wikitally config init | show | diff | check | test | explain | schema | man.
 */
#include "app/config_test.h"
#include "base/diag.h"
#include "cli/cli.h"

#include <stdio.h>

static int print_and_free(struct buf *b)
{
    out_write(buf_str(b));
    buf_fini(b);
    return EXIT_DONE;
}

static void print_problem(const char *text, void *ctx)
{
    size_t *count = ctx;
    if ((*count)++ > 0) /* the first one is the command's own error */
        fprintf(stderr, "wikitally: %s\n", text);
}

/* Like cli_config, but names all problems. */
static int load_all(struct cli *cli, const char *file, struct err *err)
{
    size_t count = 0;
    struct config_sources sources = {.file = file ? file : cli->config_file,
                                     .env_file = cli->env_file,
                                     .set = (const char *const *)cli->set.items,
                                     .set_count = cli->set.count,
                                     .problem = print_problem,
                                     .problem_ctx = &count};
    if (config_load(&sources, &cli->config, err))
        return cli_fail(err);
    cli->config_loaded = true;
    return EXIT_DONE;
}

static int show(struct cli *cli, bool origin, struct err *err)
{
    struct buf b = {0};
    if (cli_config(cli, err))
        return cli_fail(err);
    if (cli->out.format == OUT_JSON)
        config_show_json(&cli->config, &b);
    else
        config_show(&cli->config, origin, &b);
    return print_and_free(&b);
}

static int diff(struct cli *cli, struct err *err)
{
    struct buf b = {0};
    if (cli_config(cli, err))
        return cli_fail(err);
    config_diff(&cli->config, &b);
    return print_and_free(&b);
}

static int explain(struct cli *cli, const char *key, struct err *err)
{
    struct buf b = {0};
    if (!key)
        return cli_usage(err, "config explain: wants a key such as source.overlap");
    if (cli_config(cli, err))
        return cli_fail(err);
    enum err_class cls = config_explain(&cli->config, str_of(key), &b, err);
    print_and_free(&b);
    return cls ? cli_fail(err) : EXIT_DONE;
}

static int check(struct cli *cli, const char *file, struct err *err)
{
    int code = load_all(cli, file, err);
    if (code == EXIT_DONE)
        out_printf("the configuration is good: %zu aggregations, %zu tests\n", cli->config.aggregation_count,
                   cli->config.test_count);
    return code;
}

static int test(struct cli *cli, const char *file, struct err *err)
{
    struct buf b = {0};
    size_t passed = 0, failed = 0;
    int code = load_all(cli, file, err);
    if (code)
        return code;
    diag_setup(cli->verbose ? DIAG_INFO : DIAG_WARN, false, 2); /* every test begins its own generations */
    enum err_class cls = config_test_run(&cli->config, &b, &passed, &failed, err);
    print_and_free(&b);
    if (cls)
        return cli_fail(err);
    out_printf("%zu passed, %zu failed\n", passed, failed);
    return failed ? EXIT_NO : EXIT_DONE;
}

static int config_run(struct cli *cli, int argc, char **argv, struct err *err)
{
    bool origin = false;
    int first, code;
    struct buf b = {0};
    const struct arg args[] = {{"origin", 0, ARG_FLAG, &origin, NULL, "show: where each value comes from"}};
    if (!cli_parse(cli, args, 1, argc, argv, &first, &code, err))
        return code;
    const char *what = first < argc ? argv[first] : "", *more = argc - first > 1 ? argv[first + 1] : NULL;
    if (argc - first > 2)
        return cli_usage(err, "config: \"%s\" is one argument too many", argv[first + 2]);
    if (strcmp(what, "show") == 0)
        return show(cli, origin, err);
    if (strcmp(what, "diff") == 0 && !more)
        return diff(cli, err);
    if (strcmp(what, "check") == 0)
        return check(cli, more, err);
    if (strcmp(what, "test") == 0)
        return test(cli, more, err);
    if (strcmp(what, "explain") == 0)
        return explain(cli, more, err);
    if (strcmp(what, "init") == 0)
        config_init_text(&b);
    else if (strcmp(what, "schema") == 0)
        config_schema(&b);
    else if (strcmp(what, "man") == 0)
        config_man(&b);
    else
        return cli_usage(err, "config: wants init, show, diff, check, test, explain, schema or man%s%s%s",
                         *what ? ", not \"" : "", what, *what ? "\"" : "");
    return print_and_free(&b);
}

const struct command command_config = {"config", "make, show, check, test or explain the configuration",
                                       "  wikitally config init > wikitally.yaml\n"
                                       "  wikitally config check wikitally.yaml\n"
                                       "  wikitally config show --origin\n"
                                       "  wikitally config diff\n"
                                       "  wikitally config explain source.overlap\n"
                                       "  wikitally config test examples/event-time-tests.yaml\n\n"
                                       "Layers, a later one wins: defaults, /etc/wikitally/wikitally.yaml, the user's "
                                       "file, conf.d, environment WIKITALLY_SECTION_KEY, --set. `-c FILE` stands\n"
                                       "in for all files; `-c conf.yaml` with ENVIRONMENT=prod also reads "
                                       "conf.prod.yaml beside it. test runs the event-time tests in the file.",
                                       config_run};
