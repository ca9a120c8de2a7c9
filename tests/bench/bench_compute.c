/* SPDX-License-Identifier: MIT
 *
 * bench_compute.c - how many events a second one core counts: the five built-in aggregations over one decoding.
 *
 *   bench_compute [EVENTS]
 *
 * Events of about 0.5 KB are made in memory (seed fixed): 40 a second of event time, a few seconds late, 50,000 users
 * with a long tail, as many titles as that gives. Every 40,000 events are committed (into nothing). Prints one line of
 * JSON: events a second of decoding alone, of the lanes alone, of both, and of both with the rows made and sorted for a
 * sink; the most keys held at once and the bytes of window memory per key.
 */
#include "base/hash.h"
#include "compute/lane.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { EVENTS = 400000, LANES = 5, COMMIT_EVERY = 40000 };

struct bench {
    struct field_set *fields;
    struct aggregation *aggregations[LANES];
    struct lane *lanes[LANES];
    struct value *values;
    struct arena memory;
    double decode_s, feed_s, rows_s;
    int64_t keys, bytes, rows;
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t tail(struct rng *rng, uint64_t most)
{
    double u = rng_unit(rng);
    return (uint64_t)(u * u * u * (double)most);
}

static void event_make(struct buf *out, struct rng *rng, int64_t n)
{
    static const char *const types[] = {"edit", "edit", "edit", "categorize", "new", "log"};
    int64_t time = 1777979857 + n / 40, late = rng_below(rng, 10) == 0 ? (int64_t)rng_below(rng, 60) : 0;
    const char *wiki = rng_below(rng, 3) == 0 ? "wikidata" : rng_below(rng, 2) == 0 ? "en" : "fr";
    buf_clear(out);
    buf_addf(out, "{\"meta\":{\"domain\":\"%s.wikipedia.org\",\"stream\":\"mediawiki.recentchange\",\"dt\":\"", wiki);
    time_format_ms(out, (time - late) * US_PER_SECOND);
    buf_addf(out,
             "\",\"topic\":\"eqiad.mediawiki.recentchange\",\"partition\":0,\"offset\":%lld},\"id\":%lld,"
             "\"type\":\"%s\",\"namespace\":0,\"title\":\"Title %llu\",\"comment\":\"some words about what was done "
             "here\",\"timestamp\":%lld,\"user\":\"User %llu\",\"bot\":%s,\"length\":{\"old\":%llu,\"new\":%llu},"
             "\"server_name\":\"%s.wikipedia.org\",\"wiki\":\"%swiki\"}",
             (long long)n, (long long)n, types[rng_below(rng, 6)], (unsigned long long)tail(rng, 2000000),
             (long long)(time - late), (unsigned long long)tail(rng, 50000), rng_below(rng, 4) == 0 ? "true" : "false",
             (unsigned long long)rng_below(rng, 90000), (unsigned long long)rng_below(rng, 90000), wiki, wiki);
}

static void start(struct bench *b)
{
    struct err err = {0};
    struct task_line line = {.now.stream_us = TIME_NONE,
                             .before.stream_us = TIME_NONE,
                             .arrival_us = TIME_NONE,
                             .first_window_us = WINDOW_ALL};
    b->fields = field_set_new();
    for (size_t i = 0; i < LANES; i++) {
        if (aggregation_new(aggregation_built_in(str_of(aggregation_built_in_names[i])), 0, b->fields,
                            &b->aggregations[i], &err)) {
            fprintf(stderr, "%s\n", err.text);
            exit(EXIT_INTERNAL);
        }
        b->lanes[i] = lane_new(b->aggregations[i], i, 0, 0, 0, &line, 1);
    }
    b->values = xcalloc(field_set_count(b->fields), sizeof *b->values);
}

static void commit(struct bench *b)
{
    int64_t keys = 0, bytes = 0;
    for (size_t i = 0; i < LANES; i++) {
        struct lane_commit c;
        struct lane_state s;
        lane_state(b->lanes[i], &s);
        keys += s.keys;
        bytes += s.bytes;
        double t0 = now_s();
        bool dirty = lane_commit(b->lanes[i], &b->memory, &c);
        for (size_t at = 0; dirty && at < c.row_count; at++) {
            b->rows += c.rows[at].revision >= 0;
        }
        double t1 = now_s();
        if (dirty) {
            lane_committed(b->lanes[i], &c);
        }
        b->rows_s += t1 - t0;
        b->feed_s += now_s() - t1; /* windows that are over go then */
    }
    arena_reset(&b->memory);
    b->bytes = keys > b->keys ? bytes : b->bytes;
    b->keys = keys > b->keys ? keys : b->keys;
}

static void chunk(struct bench *b, const struct record *records, size_t count)
{
    enum { AT_ONCE = 64 };
    static struct decoded decoded[AT_ONCE];
    static struct value *values;
    size_t fields = field_set_count(b->fields);
    struct err err = {0};
    enum dead_reason dead;
    values = values == NULL ? xcalloc(AT_ONCE * fields, sizeof *values) : values;
    for (size_t from = 0; from < count; from += AT_ONCE) {
        size_t n = count - from < AT_ONCE ? count - from : AT_ONCE;
        double t0 = now_s();
        for (size_t i = 0; i < n; i++) {
            decode_record(b->fields, &records[from + i], values + i * fields, &decoded[i]);
        }
        double t1 = now_s();
        for (size_t i = 0; i < n; i++) {
            for (size_t l = 0; l < LANES; l++) {
                if (lane_feed(b->lanes[l], &decoded[i], &dead, &err)) {
                    fprintf(stderr, "%s\n", err.text);
                    exit(EXIT_INTERNAL);
                }
            }
        }
        b->decode_s += t1 - t0;
        b->feed_s += now_s() - t1;
    }
}

int main(int argc, char **argv)
{
    int64_t events = EVENTS;
    if (argc > 1 && !str_to_int64(str_of(argv[1]), &events)) {
        return EXIT_USAGE;
    }
    static struct bench b;
    static struct record records[COMMIT_EVERY];
    struct rng rng;
    struct buf text = {0};
    struct arena batch = {0};
    rng_init(&rng, 1);
    start(&b);
    for (int64_t n = 0; n < events;) {
        size_t count = 0;
        arena_reset(&batch);
        for (; count < COMMIT_EVERY && n < events; count++, n++) {
            event_make(&text, &rng, n);
            records[count] = (struct record){.offset = n,
                                             .arrival_us = (1777979858 + n / 40) * US_PER_SECOND,
                                             .value = arena_dup(&batch, buf_str(&text))};
        }
        chunk(&b, records, count);
        commit(&b);
    }
    double each = (double)events;
    printf("{\"bench\":\"compute\",\"events\":%lld,\"decode_per_s\":%.0f,\"lanes_per_s\":%.0f,\"all_per_s\":%.0f,"
           "\"all_rows_per_s\":%.0f,\"rows\":%lld,\"keys\":%lld,\"bytes_per_key\":%.0f}\n",
           (long long)events, each / b.decode_s, each / b.feed_s, each / (b.decode_s + b.feed_s),
           each / (b.decode_s + b.feed_s + b.rows_s), (long long)b.rows, (long long)b.keys,
           (double)b.bytes / (double)b.keys);
    return EXIT_DONE;
}
