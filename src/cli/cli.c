/* SPDX-License-Identifier: MIT
 *
 * cli.c - see cli.h: global options, configuration, data directory.
 */
#include "cli/cli.h"

#include "app/source_spec.h"
#include "base/diag.h"
#include "base/sandbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

enum { GLOBAL_COUNT = 19 };

static size_t global_args(struct cli *cli, struct arg *args)
{
    const struct arg all[] = {
        {"config", 'c', ARG_STRING, &cli->config_file, "FILE", "read this configuration instead of the usual files"},
        {"env-file", 0, ARG_STRING, &cli->env_file, "FILE", "read environment variables from this file"},
        {"set", 0, ARG_LIST, &cli->set, "KEY=VALUE", "set one option; may be repeated"},
        {"data-dir", 0, ARG_STRING, &cli->data_dir, "DIR", "where journal and results are kept"},
        {"output", 'o', ARG_STRING, &cli->output, "FORMAT", "table, tsv, csv, json, jsonl or raw"},
        {"columns", 0, ARG_STRING, &cli->columns, "A,B", "print these columns, in this order"},
        {"no-header", 0, ARG_FLAG, &cli->no_header, NULL, "leave out the line of column names"},
        {"null", '0', ARG_FLAG, &cli->zero, NULL, "end rows with NUL instead of a line feed"},
        {"url", 0, ARG_STRING, &cli->url, "URL", "of a running server"},
        {"timeout", 0, ARG_DURATION, &cli->timeout_us, "DUR", "end with code 124 after that long"},
        {"tz", 0, ARG_STRING, &cli->tz, "ZONE", "only UTC for now; times are printed in UTC"},
        {"log-format", 0, ARG_STRING, &cli->log_format, "FORMAT", "text or json"},
        {"color", 0, ARG_STRING, &cli->color, "WHEN", "auto, always or never"},
        {"no-input", 0, ARG_FLAG, &cli->no_input, NULL, "never ask"},
        {"quiet", 'q', ARG_FLAG, &cli->quiet, NULL, "only errors on standard error"},
        {"verbose", 'v', ARG_COUNT, &cli->verbose, NULL, "say more on standard error"},
        {"help", 'h', ARG_FLAG, &cli->help, NULL, "print this"},
    };
    memcpy(args, all, sizeof all);
    return sizeof all / sizeof *all;
}

int cli_usage(struct err *err, const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    err_set(err, ERR_REJECT, EXIT_USAGE, "%s", text);
    return EXIT_USAGE;
}

int cli_fail(const struct err *err)
{
    return err_exit_code(err);
}

void cli_note(const struct cli *cli, const char *format, ...)
{
    AUTO(buf) struct buf text = {0};
    AUTO(buf) struct buf line = {0};
    va_list args;
    va_start(args, format);
    buf_vaddf(&text, format, args);
    va_end(args);
    buf_add_printable(&line, buf_str(&text), text.len);
    if (!cli->quiet)
        fprintf(stderr, "%s\n", line.ptr ? line.ptr : "");
}

static void print_help(const struct command *command, const struct arg *own, size_t own_count, const struct arg *global,
                       size_t global_count)
{
    struct buf b = {0};
    buf_addf(&b, "wikitally %s - %s\n\n%s\n", command->name, command->summary, command->help);
    if (own_count) {
        buf_addz(&b, "\nOptions:\n");
        args_help(own, own_count, &b);
    }
    buf_addz(&b, "\nOptions of every command:\n");
    args_help(global, global_count, &b);
    out_write(buf_str(&b));
    buf_fini(&b);
}

static enum err_class set_output(struct cli *cli, struct err *err)
{
    static const char *const names[] = {"table", "tsv", "csv", "json", "jsonl", "raw"};
    cli->out = (struct out){.columns = cli->columns, .no_header = cli->no_header, .end = cli->zero ? 0 : '\n'};
    if (!cli->output)
        return ERR_NONE;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(cli->output, names[i]) == 0) {
            cli->out.format = (enum out_format)i;
            return ERR_NONE;
        }
    }
    const char *nearest = suggest(str_of(cli->output), names, sizeof names / sizeof *names);
    return err_set(err, ERR_REJECT, EXIT_USAGE, "--output: \"%s\" is not table, tsv, csv, json, jsonl or raw%s%s",
                   cli->output, nearest ? "; did you mean " : "", nearest ? nearest : "");
}

static enum err_class check_choices(const struct cli *cli, struct err *err)
{
    if (cli->log_format && strcmp(cli->log_format, "text") != 0 && strcmp(cli->log_format, "json") != 0)
        return err_set(err, ERR_REJECT, EXIT_USAGE, "--log-format: \"%s\" is not text or json", cli->log_format);
    if (cli->color && strcmp(cli->color, "auto") != 0 && strcmp(cli->color, "always") != 0 &&
        strcmp(cli->color, "never") != 0)
        return err_set(err, ERR_REJECT, EXIT_USAGE, "--color: \"%s\" is not auto, always or never", cli->color);
    if (cli->tz && strcmp(cli->tz, "UTC") != 0)
        return err_set(err, ERR_REJECT, EXIT_USAGE, "--tz: only \"UTC\" is known here, not \"%s\"", cli->tz);
    return ERR_NONE;
}

bool cli_parse(struct cli *cli, const struct arg *own, size_t count, int argc, char **argv, int *ret_first,
               int *ret_code, struct err *err)
{
    struct arg args[ARGS_MAX];
    ensure(count + GLOBAL_COUNT <= ARGS_MAX);
    if (count)
        memcpy(args, own, count * sizeof *args);
    size_t global = global_args(cli, args + count);
    if (args_parse(args, count + global, argc, argv, ret_first, err) || set_output(cli, err) ||
        check_choices(cli, err)) {
        err_prefix(err, "%s", cli->command->name);
        *ret_code = EXIT_USAGE;
        return false;
    }
    if (cli->help) {
        print_help(cli->command, own, count, args + count, global);
        *ret_code = EXIT_DONE;
        return false;
    }
    if (cli->timeout_us > 0) {
        struct itimerval timer = {
            .it_value = {.tv_sec = cli->timeout_us / US_PER_SECOND, .tv_usec = cli->timeout_us % US_PER_SECOND}};
        setitimer(ITIMER_REAL, &timer, NULL);
    }
    process_refuse_cores(); /* before anything secret is read */
    enum diag_level level = cli->quiet ? DIAG_ERROR : cli->verbose ? DIAG_DEBUG : DIAG_INFO;
    diag_setup(level, cli->log_format && strcmp(cli->log_format, "json") == 0, 2);
    return true;
}

struct config_sources cli_sources(const struct cli *cli)
{
    return (struct config_sources){
        .file = cli->config_file ? cli->config_file : getenv("WIKITALLY_CONFIG"),
        .env_file = cli->env_file,
        .set = (const char *const *)cli->set.items,
        .set_count = cli->set.count,
    };
}

void cli_log(const struct config *config, void *ctx)
{
    const struct cli *cli = ctx;
    bool json = cli->log_format ? strcmp(cli->log_format, "json") == 0 : config->log.format == LOG_JSON;
    enum diag_level level = cli->quiet ? DIAG_ERROR : cli->verbose ? DIAG_DEBUG : (enum diag_level)config->log.level;
    diag_setup(level, json, 2);
}

enum err_class cli_config(struct cli *cli, struct err *err)
{
    if (cli->config_loaded)
        return ERR_NONE;
    struct config_sources sources = cli_sources(cli);
    enum err_class cls = config_load(&sources, &cli->config, err);
    if (cls)
        return cls;
    cli->config_loaded = true;
    cli_log(&cli->config, cli);
    if (cli->config.security.core_dumps)
        process_allow_cores();
    for (size_t i = 0; i < cli->config.warnings.count; i++)
        diag_warn("config", "%s", cli->config.warnings.items[i]);
    return ERR_NONE;
}

enum err_class cli_directory(struct cli *cli, struct err *err)
{
    if (cli->directory)
        return ERR_NONE;
    if (cli->data_dir) {
        cli->directory = str_dup(str_of(cli->data_dir));
        return ERR_NONE;
    }
    if (cli_config(cli, err))
        return err->cls;
    struct source_spec spec;
    if (source_spec_parse(NULL, &cli->config, &spec, err))
        return err->cls;
    struct buf path = {0};
    source_spec_directory(&spec, &cli->config, &path);
    cli->directory = str_dup(buf_str(&path));
    buf_fini(&path);
    source_spec_fini(&spec);
    return ERR_NONE;
}

enum err_class cli_journal(struct cli *cli, struct journal_reader **ret_reader, struct err *err)
{
    if (cli_config(cli, err) || cli_directory(cli, err))
        return err->cls;
    struct journal_place place = config_place(&cli->config, cli->directory);
    return journal_reader_open_at(&place, ret_reader, err);
}

void cli_fini(struct cli *cli)
{
    if (cli->config_loaded)
        config_fini(&cli->config);
    string_list_fini(&cli->set);
    free(cli->directory);
}
