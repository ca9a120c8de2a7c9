/* SPDX-License-Identifier: MIT
 *
 * cli.h - what the commands share. One file a command: its option table, its help, one function in the table of main.c.
 */
#ifndef WIKITALLY_CLI_CLI_H
#define WIKITALLY_CLI_CLI_H

#include "app/config.h"
#include "cli/args.h"
#include "cli/out.h"

/* Options that every command takes (ux.md section 6), and what they lead to. */
struct cli {
    const struct command *command;
    const char *config_file, *env_file, *data_dir, *output, *url, *log_format, *color, *tz;
    struct string_list set;
    bool quiet, help, version, no_header, zero, no_input;
    int verbose;
    const char *columns;
    int64_t timeout_us;
    struct config config; /* after cli_config */
    bool config_loaded;
    struct out out;  /* as -o and its friends say */
    char *directory; /* after cli_directory; owned */
};

struct command {
    const char *name;
    const char *summary;                                                 /* one line */
    const char *help;                                                    /* examples first, then what it does */
    int (*run)(struct cli *cli, int argc, char **argv, struct err *err); /* -> exit code; err filled if it failed */
};
extern const struct command command_run, command_upstream, command_synth, command_record, command_replay, command_tail,
    command_results, command_ledger, command_audit, command_explain, command_journal, command_deadletters,
    command_config, command_doctor, command_health, command_version, command_help, command_topics, command_groups;
const struct command *command_find(struct str name);
const struct command *const *command_list(size_t *ret_count);

/* Parses the command's own options and the global ones. *ret_first as args_parse. False: done already (--help),
 * *ret_code is the exit code. */
bool cli_parse(struct cli *cli, const struct arg *own, size_t count, int argc, char **argv, int *ret_first,
               int *ret_code, struct err *err);
/* Where the configuration comes from, as the command line and WIKITALLY_CONFIG say; texts are borrowed. */
struct config_sources cli_sources(const struct cli *cli);
enum err_class cli_config(struct cli *cli,
                          struct err *err);           /* loads the configuration, once, and sets up diagnostics */
void cli_log(const struct config *config, void *cli); /* diagnostics: -q, -v, --log-format, else the configuration */
/* The data directory of read commands: --data-dir, else that of the configured source. */
enum err_class cli_directory(struct cli *cli, struct err *err);
/* The journal that the configuration and cli_directory name, read-only. */
enum err_class cli_journal(struct cli *cli, struct journal_reader **ret_reader, struct err *err);
void cli_fini(struct cli *cli);
/* "too many arguments" and the like: EXIT_USAGE. */
int cli_usage(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
int cli_fail(const struct err *err); /* the exit code of an error */
/* One line on standard error, made printable; nothing with -q. */
void cli_note(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
