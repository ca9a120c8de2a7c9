/* SPDX-License-Identifier: MIT
 *
 * version.c - wikitally version, wikitally help.
 */
#include "cli/cli.h"

#include <curl/curl.h>
#include <sqlite3.h>
#include <zstd.h>

static int version_run(struct cli *cli, int argc, char **argv, struct err *err)
{
    int first, code;
    static const struct out_column columns[] = {{"part", false}, {"version", false}};
    if (argc == 1 && argv[0][0] == '-') { /* wikitally --version */
        out_printf("wikitally %s\n", WIKITALLY_VERSION);
        return EXIT_DONE;
    }
    if (!cli_parse(cli, NULL, 0, argc, argv, &first, &code, err))
        return code;
    if (first < argc)
        return cli_usage(err, "version: \"%s\" is one argument too many", argv[first]);
    if (!cli->output) {
        out_printf("wikitally %s\n", WIKITALLY_VERSION);
        return EXIT_DONE;
    }
    if (out_begin(&cli->out, columns, 2, err))
        return EXIT_USAGE;
    const char *parts[][2] = {{"wikitally", WIKITALLY_VERSION},
                              {"sqlite", sqlite3_libversion()},
                              {"libcurl", curl_version_info(CURLVERSION_NOW)->version},
                              {"zstd", ZSTD_versionString()}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        out_z(&cli->out, parts[i][0]);
        out_z(&cli->out, parts[i][1]);
        out_row(&cli->out);
    }
    out_end(&cli->out);
    return EXIT_DONE;
}

const struct command command_version = {"version", "say which version this is",
                                        "  wikitally version\n"
                                        "  wikitally version -o json\n\n"
                                        "With -o also the versions of the libraries in use.",
                                        version_run};

static void print_commands(void)
{
    size_t count;
    const struct command *const *list = command_list(&count);
    out_write(STR(
        "wikitally - follow Wikimedia's recent changes, keep them, count them, account for every one\n\n"
        "  wikitally run                               follow the live stream; the page is at http://127.0.0.1:8787\n"
        "  wikitally run --source synthetic:50         the same with made-up events\n"
        "  wikitally results user_edit_counts          what was counted\n"
        "  wikitally ledger --check                    where every event went, and whether it balances\n\n"
        "Commands (wikitally COMMAND --help says more):\n"));
    for (size_t i = 0; i < count; i++)
        out_printf("  %-12s %s\n", list[i]->name, list[i]->summary);
}

static int help_run(struct cli *cli, int argc, char **argv, struct err *err)
{
    if (argc < 2 || argv[1][0] == '-') {
        print_commands();
        return EXIT_DONE;
    }
    const struct command *command = command_find(str_of(argv[1]));
    if (!command)
        return cli_usage(err, "help: there is no command \"%s\"; see \"wikitally help\"", argv[1]);
    char help[] = "--help";
    char *args[] = {argv[1], help, NULL};
    cli->command = command;
    return command->run(cli, 2, args, err);
}

const struct command command_help = {"help", "list the commands, or explain one",
                                     "  wikitally help\n"
                                     "  wikitally help run",
                                     help_run};
