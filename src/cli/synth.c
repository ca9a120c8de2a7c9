/* SPDX-License-Identifier: MIT
 *
 * synth.c - wikitally synth: made-up events with the stream's real shape, one a line.
 */
#include "cli/cli.h"
#include "source/source.h"

#include <stdio.h>

static int synth_run(struct cli *cli, int argc, char **argv, struct err *err)
{
    struct generator_options options = {.rate = 45, .late = 0.0005, .start_us = TIME_NONE};
    int64_t count = 1000, seed = 1;
    double pace = 0;
    bool enveloped = false;
    int first, code;
    const struct arg args[] = {
        {"count", 'n', ARG_INT, &count, "N", "this many events (1000)"},
        {"seed", 0, ARG_INT, &seed, "S", "same seed, same events (1)"},
        {"event-rate", 0, ARG_DOUBLE, &options.rate, "R", "events per second of their own time (45)"},
        {"rate", 0, ARG_DOUBLE, &pace, "R", "print at most R events a second (max)"},
        {"late", 0, ARG_DOUBLE, &options.late, "P", "share of events that come late (0.0005)"},
        {"duplicates", 0, ARG_DOUBLE, &options.duplicates, "P", "share of events that come twice (0)"},
        {"future", 0, ARG_DOUBLE, &options.future, "P", "share of events with a time from the future (0)"},
        {"poison", 0, ARG_DOUBLE, &options.poison, "P", "share of lines that cannot be decoded (0)"},
        {"canaries", 0, ARG_FLAG, &options.canaries, NULL, "with canary events every 15 minutes"},
        {"rare", 0, ARG_FLAG, &options.rare, NULL, "with everything that is rare or was once so"},
        {"start", 0, ARG_TIME, &options.start_us, "T", "time of the first event (2026-06-01T00:00:00Z)"},
        {"switch-after", 0, ARG_DURATION, &options.switch_after_us, "DUR",
         "the other data centre takes over after that"},
        {"enveloped", 0, ARG_FLAG, &enveloped, NULL, "with partition, offset and arrival, as journal dump prints them"},
    };
    if (!cli_parse(cli, args, sizeof args / sizeof *args, argc, argv, &first, &code, err))
        return code;
    if (first < argc)
        return cli_usage(err, "synth: \"%s\" is one argument too many", argv[first]);
    options.seed = (uint64_t)seed;
    struct generator *g = generator_new(&options);
    AUTO(buf) struct buf line = {0};
    int64_t began = clock_mono(&clock_real);
    for (int64_t i = 0; i < count; i++) {
        int64_t arrival_us, due = pace > 0 ? began + (int64_t)((double)i / pace * 1e6) : 0;
        struct str event = generator_next(g, &arrival_us);
        if (due > clock_mono(&clock_real)) {
            out_flush();
            clock_real.sleep_us(&clock_real, due - clock_mono(&clock_real));
        }
        buf_clear(&line);
        if (enveloped)
            buf_addf(&line, "{\"partition\":0,\"offset\":%lld,\"arrival_ms\":%lld,\"value\":", (long long)i,
                     (long long)(arrival_us / US_PER_MS));
        buf_add(&line, event);
        buf_addz(&line, enveloped ? "}\n" : "\n");
        out_write(buf_str(&line));
    }
    out_flush();
    generator_free(g);
    return EXIT_DONE;
}

const struct command command_synth = {"synth", "print made-up events with the stream's real shape",
                                      "  wikitally synth -n 100000 > events.ndjson\n"
                                      "  wikitally synth -n 1000 --seed 7 --late 0.01 --duplicates 0.03\n"
                                      "  wikitally synth --rate 50 -n 100000 | jq .title\n\n"
                                      "One JSON object a line, as the stream's `data:` lines. The mix of types, wikis, "
                                      "sizes, users and delays is that of real captures;\n"
                                      "the same seed gives the same bytes.",
                                      synth_run};
