/* SPDX-License-Identifier: MIT
 *
 * upstream.c - wikitally upstream: an EventStreams-compatible server over recordings or made-up events.
 */
#include "upstream/upstream.h"

#include "base/input.h"
#include "cli/cli.h"
#include "source/source.h"

#include <signal.h>
#include <stdio.h>

enum { ADDED_AT_ONCE_MAX = 10000000 };

enum { LOOK_EVERY = 4096 };

/* The signals are blocked: a server that still reads its recordings must hear them too. */
static bool not_signalled(void *ctx)
{
    sigset_t pending;
    (void)ctx;
    sigpending(&pending);
    return !sigismember(&pending, SIGINT) && !sigismember(&pending, SIGTERM);
}

static enum err_class add_recording(struct upstream *u, const char *path, struct err *err)
{
    struct recording *recording;
    struct input_wait wait = {not_signalled, NULL};
    enum err_class cls = recording_open_waiting(path, &wait, &recording, err);
    if (cls)
        return cls;
    bool more = true;
    for (int64_t count = 0; !cls && more && (count % LOOK_EVERY || not_signalled(NULL)); count++) {
        struct str bytes;
        int64_t arrival_us;
        cls = recording_next(recording, &bytes, &arrival_us, &more, err);
        if (!cls && more)
            cls = upstream_add(u, bytes, arrival_us, err);
    }
    recording_close(recording);
    return cls;
}

static enum err_class add_synthetic(struct upstream *u, struct generator_options *options, int64_t count,
                                    struct err *err)
{
    struct generator *g = generator_new(options);
    enum err_class cls = ERR_NONE;
    for (int64_t i = 0; !cls && i < count; i++) {
        int64_t arrival_us;
        struct str event = generator_next(g, &arrival_us);
        cls = upstream_add(u, event, arrival_us, err);
    }
    generator_free(g);
    return cls;
}

static int serve_until_signal(struct upstream *u)
{
    sigset_t signals;
    int number = 0;
    fprintf(stderr, "listening on %s\n", upstream_url(u));
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    while (number != SIGINT && number != SIGTERM)
        sigwait(&signals, &number);
    return EXIT_DONE;
}

static int upstream_run(struct cli *cli, int argc, char **argv, struct err *err)
{
    struct upstream_options options = {.listen = "127.0.0.1:8788", .clock = &clock_real};
    struct generator_options generator = {.rate = 45, .late = 0.0005, .start_us = TIME_NONE};
    int64_t count = 0, seed = 1, connections = 0;
    int first, code;
    const struct arg args[] = {
        {"listen", 'l', ARG_STRING, &options.listen, "ADDR:PORT", "where to serve (127.0.0.1:8788)"},
        {"rate", 0, ARG_DOUBLE, &options.rate, "N", "events become available at N a second (max: all at once)"},
        {"speed", 0, ARG_DOUBLE, &options.speed, "X", "events become available as recorded, X times as fast"},
        {"date-of-events", 0, ARG_FLAG, &options.date_of_events, NULL, "the Date header is that of the newest event"},
        {"connections", 0, ARG_INT, &connections, "N", "at most N connections per address (2)"},
        {"cut-after", 0, ARG_DURATION, &options.cut_after_us, "DUR",
         "cut each connection after that, without a last chunk"},
        {"faults", 0, ARG_STRING, &options.faults, "SPEC", "what goes wrong, see below"},
        {"seconds", 0, ARG_FLAG, &options.seconds, NULL, "ids and meta.dt in whole seconds, as before mid-2025"},
        {"canaries", 0, ARG_FLAG, &options.canaries, NULL, "a canary every 15 minutes of event time on both topics"},
        {"switch-at", 0, ARG_INT, &options.switch_at, "N", "after N events the other data centre's topic carries them"},
        {"retention", 0, ARG_DURATION, &options.retention_us, "DUR", "older events cannot be asked for"},
        {"synthetic", 0, ARG_INT, &count, "N", "serve N made-up events instead of files"},
        {"late", 0, ARG_DOUBLE, &generator.late, "P", "share of made-up events that come late"},
        {"duplicates", 0, ARG_DOUBLE, &generator.duplicates, "P", "share of made-up events that come twice"},
        {"poison", 0, ARG_DOUBLE, &generator.poison, "P", "share of made-up events that cannot be decoded"},
        {"start", 0, ARG_TIME, &generator.start_us, "T", "time of the first made-up event"},
        {"seed", 0, ARG_INT, &seed, "S", "of made-up events and faults (1)"},
    };
    if (!cli_parse(cli, args, sizeof args / sizeof *args, argc, argv, &first, &code, err))
        return code;
    if (first == argc && count == 0)
        return cli_usage(err, "upstream: wants files, or --synthetic N");
    if (count > ADDED_AT_ONCE_MAX)
        return cli_usage(err, "upstream: --synthetic: at most %d", ADDED_AT_ONCE_MAX);
    options.seed = generator.seed = (uint64_t)seed;
    options.connections_per_ip = (int)(connections < 1000 ? connections : -1);
    if (options.rate > 0) { /* their own time runs as fast as they become available */
        generator.rate = options.rate;
        generator.start_us = generator.start_us == TIME_NONE ? clock_wall(&clock_real) : generator.start_us;
    }
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    struct upstream *u;
    if (upstream_start(&options, &u, err))
        return cli_fail(err);
    enum err_class cls = count ? add_synthetic(u, &generator, count, err) : ERR_NONE;
    for (int i = first; !cls && i < argc; i++)
        cls = add_recording(u, argv[i], err);
    if (!cls) {
        upstream_end(u);
        serve_until_signal(u);
    }
    upstream_stop(u);
    return cls && not_signalled(NULL) ? cli_fail(err) : EXIT_DONE;
}

const struct command command_upstream = {
    "upstream", "serve recordings or made-up events as EventStreams does",
    "  wikitally upstream day.jsonl.zst --rate 50\n"
    "  wikitally upstream --synthetic 100000 --cut-after 5s --canaries\n"
    "  wikitally run --source http://127.0.0.1:8788/v2/stream/recentchange --data-dir /tmp/try\n\n"
    "Speaks the protocol of stream.wikimedia.org byte for byte: both data centres' topics, ids by timestamp, since=, "
    "Last-Event-ID,\n"
    "Accept: application/json, cuts, at most two connections per address.\n\n"
    "--faults NAME[:KEY=VALUE,...][;NAME...], each with at=N, every=N, chance=P, times=N or connection=N:\n"
    "  stall(for) cut(bytes) reset hole(keep) duplicate(copies) rewind(by) oversize(bytes) bad-utf8 comments(count)\n"
    "  error-event half-open(for) count records; 429(retry-after) 5xx(code,retry-after) 403 wrong-type redirect\n"
    "  gzip(force) slow(rate) dateless clock(offset) cluster mirror(lag) late-ok(for) count requests.",
    upstream_run};
