/* SPDX-License-Identifier: MIT
 *
 * run.c - wikitally run: the main job. Holds no logic of its own: options, signals, when to end.
 */
#include "app/pipeline.h"
#include "base/diag.h"
#include "cli/cli.h"
#include "cli/follow.h"

#include <stdlib.h>

static enum err_class parse_until(const char *text, struct follow_until *ret_until, struct err *err)
{
    if (!text)
        return ERR_NONE;
    if (strcmp(text, "end") == 0) {
        ret_until->end = true;
        return ERR_NONE;
    }
    if (str_to_int64(str_of(text), &ret_until->count) && ret_until->count > 0)
        return ERR_NONE;
    ret_until->count = 0;
    if (time_parse_human(str_of(text), clock_wall(&clock_real), &ret_until->wall_us))
        return ERR_NONE;
    return err_set(err, ERR_REJECT, EXIT_USAGE, "run: --until \"%s\" is not a number of records, a time, or \"end\"",
                   text);
}

/* "ingest", "tasks", "ingest,tasks". */
static enum err_class parse_roles(const char *text, int *ret_roles, struct err *err)
{
    struct str rest = str_of(text), word;
    while (text && str_split(&rest, ',', &word)) {
        int role = str_eqz(word, "ingest") ? ROLE_INGEST : str_eqz(word, "tasks") ? ROLE_TASKS : 0;
        if (!role)
            return err_set(err, ERR_REJECT, EXIT_USAGE, "run: --roles \"%.*s\" is not ingest or tasks", STR_ARG(word));
        *ret_roles |= role;
    }
    return ERR_NONE;
}

static void data_directory(const struct cli *cli, const struct source_spec *spec, struct buf *out)
{
    if (cli->data_dir)
        buf_addz(out, cli->data_dir);
    else
        source_spec_directory(spec, &cli->config, out);
}

static int run_run(struct cli *cli, int argc, char **argv, struct err *err)
{
    const char *source = NULL, *listen = NULL, *until_text = NULL, *arrival_tsv = NULL, *roles_text = NULL;
    bool adopt = false, close_windows = false;
    int64_t seed = 1, arrival_base_ms = 0;
    double speed = 0;
    struct follow follow = {.until = {.wall_us = TIME_NONE}, .reload = true};
    const struct arg args[] = {
        {"source", 's', ARG_STRING, &source, "S", "live (default), a URL, replay:FILE or synthetic[:RATE]"},
        {"listen", 'l', ARG_STRING, &listen, "ADDR:PORT", "where the page is served; unix:PATH; none"},
        {"until", 0, ARG_STRING, &until_text, "N|TIME|end", "end after N records, at a time, or when there is no more"},
        {"speed", 0, ARG_DOUBLE, &speed, "X", "of a replay: 1 as recorded, 20, max (default)"},
        {"close", 0, ARG_FLAG, &close_windows, NULL, "at the end of a replay close all windows"},
        {"seed", 0, ARG_INT, &seed, "N", "of the made-up events"},
        {"arrival-tsv", 0, ARG_STRING, &arrival_tsv, "FILE", "arrival times of a recording"},
        {"arrival-base-ms", 0, ARG_INT, &arrival_base_ms, "MS", "added to the recv_ns of that file"},
        {"roles", 0, ARG_STRING, &roles_text, "ROLES",
         "ingest, tasks or both (default); one alone with a journal on Kafka"},
        {"adopt", 0, ARG_FLAG, &adopt, NULL, "take over results of another journal: count all anew"},
        {"user", 0, ARG_STRING, &follow.user, "NAME",
         "as root: be this user once the port and the directory are there"},
        {"open", 0, ARG_FLAG, &follow.open_page, NULL, "open the page in a browser"},
    };
    int first, code, roles = 0;
    struct source_spec spec;
    if (!cli_parse(cli, args, sizeof args / sizeof *args, argc, argv, &first, &code, err))
        return code;
    if (first < argc)
        return cli_usage(err, "run: \"%s\" is one argument too many", argv[first]);
    if (parse_until(until_text, &follow.until, err) || parse_roles(roles_text, &roles, err))
        return EXIT_USAGE;
    if (follow.user) /* a service: what root has at home is none of that user's */
        unsetenv("HOME");
    if (cli_config(cli, err) || source_spec_parse(source, &cli->config, &spec, err))
        return cli_fail(err);
    spec.speed = speed;
    spec.seed = (uint64_t)seed;
    spec.limit = follow.until.count;
    spec.arrival_tsv = arrival_tsv;
    spec.arrival_base_ms = arrival_base_ms;
    spec.close_after_us = close_windows ? follow_close_after(&cli->config) : 0;
    AUTO(buf) struct buf directory = {0};
    data_directory(cli, &spec, &directory);
    struct pipeline_options options = {
        .config = &cli->config,
        .source = &spec,
        .directory = directory.ptr,
        .listen = listen ? listen : cli->config.serve.listen,
        .roles = roles,
        .adopt = adopt,
        .clock = &clock_real,
    };
    if (options.listen && (!*options.listen || strcmp(options.listen, "none") == 0))
        options.listen = NULL;
    code = follow_pipeline(cli, &options, &follow, err);
    source_spec_fini(&spec);
    return code;
}

const struct command command_run = {
    "run", "follow a source: journal, count, account, show",
    "  wikitally run                                         the live stream; the page is at http://127.0.0.1:8787\n"
    "  wikitally run --source synthetic:50                   made-up events, 50 a second\n"
    "  wikitally run --source replay:day.jsonl.zst --until end --listen none\n"
    "  wikitally run --data-dir /srv/wikitally --listen 127.0.0.1:9000\n"
    "  sudo wikitally run --user wikitally --data-dir /var/lib/wikitally\n"
    "  wikitally run --roles ingest                          the journal alone, on Kafka; tasks run elsewhere\n"
    "  kill -HUP $(pidof wikitally)                          read the configuration again\n\n"
    "Connects to the recent-changes stream, keeps a durable journal, counts what the configuration declares, keeps the "
    "ledger\n"
    "and serves the page. SIGTERM or SIGINT: finishes what it has and ends with 0; a second signal ends at once.\n"
    "SIGHUP: reads the configuration again, takes over what can change while it runs and names what needs a restart; a "
    "bad\n"
    "one changes nothing. Once started it may only open what it needs (wikitally config explain security.sandbox).\n"
    "Recordings and made-up events get directories of their own, so that they never mix with the stream.",
    run_run};
