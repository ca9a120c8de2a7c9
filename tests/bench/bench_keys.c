/* SPDX-License-Identifier: MIT
 *
 * bench_keys.c - what a live key costs, in bytes and in time: one aggregation (edits by user and minute) with KEYS keys
 * in 16 open windows.
 *
 *   bench_keys [KEYS]
 *
 * Each key is a user of one minute; then 200,000 more events of these users, in no order. Prints one line of JSON: the
 * keys, the bytes that the lane counts and those that the process grew by, both per key, and the nanoseconds of
 * processor time that such an event takes in the lane. A run of its own for each size, so that memory is not used
 * again.
 */
#include "base/hash.h"
#include "compute/lane.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { MINUTES = 16, MORE = 200000, COMMIT_EVERY = 20000 };
#define FIRST_S INT64_C(1777979820)

struct bench {
    struct field_set *fields;
    struct aggregation *aggregation;
    struct lane *lane;
    struct value *values;
    struct buf text;
    struct arena memory;
    int64_t offset;
    double fed_s;
};

static void check(enum err_class c, const struct err *e)
{
    if (c) {
        fprintf(stderr, "bench_keys: %s\n", e->text);
        exit(EXIT_INTERNAL);
    }
}

static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int64_t resident_bytes(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    ensure(f && fscanf(f, "%*s %ld", &pages) == 1);
    fclose(f);
    return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

static void start(struct bench *b)
{
    struct err err = {0};
    struct task_line line = {.now.stream_us = TIME_NONE,
                             .before.stream_us = TIME_NONE,
                             .arrival_us = TIME_NONE,
                             .first_window_us = WINDOW_ALL};
    b->fields = field_set_new();
    check(aggregation_new(aggregation_built_in(STR("user_edit_counts")), 0, b->fields, &b->aggregation, &err), &err);
    b->lane = lane_new(b->aggregation, 0, 0, 0, 0, &line, 1);
    b->values = xcalloc(field_set_count(b->fields), sizeof *b->values);
}

/* Rows are handed over as in the program, so that what a key needs for that is counted too. */
static void commit(struct bench *b)
{
    struct lane_commit c;
    if (lane_commit(b->lane, &b->memory, &c)) {
        lane_committed(b->lane, &c);
    }
    arena_reset(&b->memory);
}

static void feed(struct bench *b, int64_t minute, int64_t user)
{
    struct err err = {0};
    struct decoded decoded;
    enum dead_reason dead;
    buf_clear(&b->text);
    buf_addf(
        &b->text,
        "{\"meta\":{\"domain\":\"en.wikipedia.org\",\"stream\":\"mediawiki.recentchange\"},\"type\":\"edit\","
        "\"namespace\":0,\"title\":\"T\",\"timestamp\":%lld,\"user\":\"User %lld\",\"bot\":false,\"wiki\":\"enwiki\"}",
        (long long)(FIRST_S + minute * 60 + 30), (long long)user);
    struct record r = {
        .offset = b->offset++, .arrival_us = (FIRST_S + MINUTES * 60) * US_PER_SECOND, .value = buf_str(&b->text)};
    decode_record(b->fields, &r, b->values, &decoded);
    double before = cpu_s();
    check(lane_feed(b->lane, &decoded, &dead, &err), &err);
    b->fed_s += cpu_s() - before;
    if (b->offset % COMMIT_EVERY == 0) {
        commit(b);
    }
}

int main(int argc, char **argv)
{
    int64_t keys = 100000, each;
    if (argc > 1 && (!str_to_int64(str_of(argv[1]), &keys) || keys < MINUTES)) {
        return EXIT_USAGE;
    }
    static struct bench b;
    struct rng rng;
    struct lane_state state;
    rng_init(&rng, 1);
    start(&b);
    each = keys / MINUTES;
    feed(&b, 0, 0);
    commit(&b);
    int64_t before = resident_bytes();
    for (int64_t i = 0; i < each * MINUTES; i++) {
        feed(&b, i / each, i % each);
    }
    commit(&b);
    int64_t grown = resident_bytes() - before;
    lane_state(b.lane, &state);
    b.fed_s = 0;
    for (int64_t i = 0; i < MORE; i++) {
        feed(&b, (int64_t)rng_below(&rng, MINUTES), (int64_t)rng_below(&rng, (uint64_t)each));
    }
    ensure(state.keys == each * MINUTES && state.other == 0);
    printf("{\"bench\":\"keys\",\"keys\":%lld,\"bytes_per_key\":%.0f,\"grown_bytes_per_key\":%.0f,\"event_ns\":%.0f}\n",
           (long long)state.keys, (double)state.bytes / (double)state.keys, (double)grown / (double)state.keys,
           b.fed_s * 1e9 / MORE);
    return EXIT_DONE;
}
