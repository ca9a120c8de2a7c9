/* SPDX-License-Identifier: MIT
 *
 * main.c - wikitally: finds the command, prints what went wrong, ends with the exit code of wikitally(1).
 */
#include "base/diag.h"
#include "base/fault.h"
#include "cli/cli.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct command *const commands[] = {
    &command_run,     &command_tail,     &command_results, &command_ledger,      &command_audit,
    &command_explain, &command_topics,   &command_groups,  &command_replay,      &command_record,
    &command_synth,   &command_upstream, &command_journal, &command_deadletters, &command_config,
    &command_doctor,  &command_health,   &command_version, &command_help,
};
enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

const struct command *command_find(struct str name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (str_eqz(name, commands[i]->name))
            return commands[i];
    }
    return NULL;
}

const struct command *const *command_list(size_t *ret_count)
{
    *ret_count = COMMAND_COUNT;
    return commands;
}

static int unknown_command(const char *name, struct err *err)
{
    const char *names[COMMAND_COUNT];
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        names[i] = commands[i]->name;
    const char *nearest = suggest(str_of(name), names, COMMAND_COUNT);
    return nearest ? cli_usage(err, "unknown command \"%s\"; did you mean \"wikitally %s\"", name, nearest)
                   : cli_usage(err, "unknown command \"%s\"; see \"wikitally help\"", name);
}

/* --timeout: whatever is running ends with its own code. All that is durable stays so. */
static void on_timeout(int signal_number)
{
    (void)signal_number;
    static const char text[] = "wikitally: the time given by --timeout is over\n";
    (void)!write(2, text, sizeof text - 1);
    _exit(EXIT_TIMEOUT);
}

int main(int argc, char **argv)
{
    struct err err = {0};
    struct cli cli = {0};
    int code;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGALRM, on_timeout);
    const char *name = argc > 1 ? argv[1] : "help";
    if (argc > 1 && (strcmp(name, "-V") == 0 || strcmp(name, "--version") == 0))
        name = "version";
    else if (argc > 1 && (strcmp(name, "-h") == 0 || strcmp(name, "--help") == 0))
        name = "help";
    cli.command = command_find(str_of(name));
    if (failpoint_list(name))
        code = EXIT_DONE;
    else if (!cli.command)
        code = unknown_command(name, &err);
    else
        code = cli.command->run(&cli, argc > 1 ? argc - 1 : argc, argc > 1 ? argv + 1 : argv, &err);
    if (err.cls) {
        struct buf text = {0};
        buf_add_printable(&text, str_of(err.text), sizeof err.text);
        fprintf(stderr, "wikitally: %s\n", text.ptr);
        buf_fini(&text);
    }
    diag_flush();
    cli_fini(&cli);
    if (code == EXIT_DONE)
        out_flush(); /* "done" is only true if it arrived */
    return code;
}
