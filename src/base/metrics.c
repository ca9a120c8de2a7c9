/* SPDX-License-Identifier: MIT
 *
 * metrics.c - counters, gauges and histograms in the Prometheus text format, and the status board.
 *
 * Each metric has a fixed array of series that is only ever added to (under a lock), so reading and counting need no
 * lock: a series is found by comparing label texts, of which there are few. Values are doubles in atomic words.
 */
#include "base/metrics.h"

#include "base/clock.h"
#include "base/err.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum metric_kind { COUNTER, GAUGE, HISTOGRAM };
enum { SERIES_MAX = 256, BUCKETS = 13 };

static const double bucket_bounds[BUCKETS] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};

struct metric_info {
    const char *name, *labels, *help;
    enum metric_kind kind;
};

static const struct metric_info infos[METRIC_COUNT] = {
#define METRIC(id, name_, kind_, labels_, help_)                                                                       \
    [METRIC_##id] = {.name = (name_), .labels = (labels_), .help = (help_), .kind = (kind_)},
#include "base/metrics.def"
#undef METRIC
};

struct series {
    char *labels;                          /* "" for none */
    _Atomic uint64_t value;                /* bits of a double; histograms: the sum of what was observed */
    _Atomic uint64_t buckets[BUCKETS + 1]; /* histograms: how many fell in each, not yet summed up; the last is +Inf */
};

static struct series *_Atomic all_series[METRIC_COUNT][SERIES_MAX];
static atomic_size_t series_count[METRIC_COUNT];
static pthread_mutex_t series_lock = PTHREAD_MUTEX_INITIALIZER;

static double value_of(const struct series *s)
{
    uint64_t bits = atomic_load_explicit(&s->value, memory_order_relaxed);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static struct series *series_find(enum metric_id id, const char *labels)
{
    size_t count = atomic_load_explicit(&series_count[id], memory_order_acquire);
    for (size_t i = 0; i < count; i++) {
        struct series *s = atomic_load_explicit(&all_series[id][i], memory_order_relaxed);
        if (strcmp(s->labels, labels) == 0) {
            return s;
        }
    }
    return NULL;
}

/* The caller holds the lock. The last place is for what is beyond the maximum. */
static struct series *series_make(enum metric_id id, const char *labels)
{
    size_t count = atomic_load_explicit(&series_count[id], memory_order_relaxed);
    if (count == SERIES_MAX) {
        return atomic_load_explicit(&all_series[id][SERIES_MAX - 1], memory_order_relaxed);
    }
    struct series *s = xcalloc(1, sizeof *s);
    s->labels = str_dup(str_of(count == SERIES_MAX - 1 ? "overflow=\"true\"" : labels));
    atomic_store_explicit(&all_series[id][count], s, memory_order_relaxed);
    atomic_store_explicit(&series_count[id], count + 1, memory_order_release);
    return s;
}

static struct series *series_get(enum metric_id id, const char *labels)
{
    labels = labels ? labels : "";
    struct series *s = series_find(id, labels);
    if (!s) {
        pthread_mutex_lock(&series_lock);
        s = series_find(id, labels);
        s = s ? s : series_make(id, labels);
        pthread_mutex_unlock(&series_lock);
    }
    return s;
}

static void series_add(struct series *s, double more)
{
    uint64_t old = atomic_load_explicit(&s->value, memory_order_relaxed);
    double value;
    do {
        memcpy(&value, &old, sizeof value);
        value += more;
    } while (!atomic_compare_exchange_weak_explicit(&s->value, &old, bits_of(value), memory_order_relaxed,
                                                    memory_order_relaxed));
}

void metric_add(enum metric_id id, const char *labels, double more)
{
    series_add(series_get(id, labels), more);
}

void metric_set(enum metric_id id, const char *labels, double value)
{
    atomic_store_explicit(&series_get(id, labels)->value, bits_of(value), memory_order_relaxed);
}

void metric_observe(enum metric_id id, const char *labels, double value)
{
    struct series *s = series_get(id, labels);
    size_t at = 0;
    while (at < BUCKETS && value > bucket_bounds[at]) {
        at++;
    }
    atomic_fetch_add_explicit(&s->buckets[at], 1, memory_order_relaxed);
    series_add(s, value);
}

/* ---- writing */

static void add_number(struct buf *out, double value)
{
    if (value == (double)(int64_t)value && value > -1e15 && value < 1e15) {
        buf_add_int(out, (int64_t)value);
    } else {
        buf_addf(out, "%.17g", value);
    }
}

static void add_line(struct buf *out, const char *name, const char *suffix, const char *labels, const char *more,
                     double value)
{
    buf_addz(out, name);
    buf_addz(out, suffix);
    if (*labels || *more) {
        buf_addf(out, "{%s%s%s}", labels, *labels && *more ? "," : "", more);
    }
    buf_addc(out, ' ');
    add_number(out, value);
    buf_addc(out, '\n');
}

static void add_histogram(struct buf *out, const char *name, const struct series *s)
{
    uint64_t sum = 0;
    for (size_t i = 0; i <= BUCKETS; i++) {
        sum += atomic_load_explicit(&s->buckets[i], memory_order_relaxed);
        char le[32];
        if (i < BUCKETS) {
            snprintf(le, sizeof le, "le=\"%g\"", bucket_bounds[i]);
        } else {
            snprintf(le, sizeof le, "le=\"+Inf\"");
        }
        add_line(out, name, "_bucket", s->labels, le, (double)sum);
    }
    add_line(out, name, "_sum", s->labels, "", value_of(s));
    add_line(out, name, "_count", s->labels, "", (double)sum);
}

static int by_labels(const void *a, const void *b)
{
    const struct series *const *x = a, *const *y = b;
    return strcmp((*x)->labels, (*y)->labels);
}

static void add_metric(struct buf *out, enum metric_id id)
{
    static const char *const kinds[] = {[COUNTER] = "counter", [GAUGE] = "gauge", [HISTOGRAM] = "histogram"};
    const struct metric_info *info = &infos[id];
    buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", info->name, info->help, info->name, kinds[info->kind]);
    const struct series *sorted[SERIES_MAX];
    size_t count = atomic_load_explicit(&series_count[id], memory_order_acquire);
    for (size_t i = 0; i < count; i++) {
        sorted[i] = atomic_load_explicit(&all_series[id][i], memory_order_relaxed);
    }
    qsort(sorted, count, sizeof *sorted, by_labels);
    for (size_t i = 0; i < count; i++) {
        if (info->kind == HISTOGRAM) {
            add_histogram(out, info->name, sorted[i]);
        } else {
            add_line(out, info->name, "", sorted[i]->labels, "", value_of(sorted[i]));
        }
    }
    if (count == 0 && info->labels[0] == '\0' && info->kind != HISTOGRAM) {
        add_line(out, info->name, "", "", "", 0); /* what has no labels is there from the beginning */
    }
}

static int by_name(const void *a, const void *b)
{
    const enum metric_id *x = a, *y = b;
    return strcmp(infos[*x].name, infos[*y].name);
}

void metrics_write(struct buf *out)
{
    metric_set(METRIC_BUILD_INFO, "version=\"" WIKITALLY_VERSION "\"", 1);
    enum metric_id order[METRIC_COUNT];
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        order[i] = (enum metric_id)i;
    }
    qsort(order, METRIC_COUNT, sizeof *order, by_name);
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        add_metric(out, order[i]);
    }
}

/* ---- the status board */

static struct status board = {
    .last_event_mono_us = TIME_NONE,
    .last_event_wall_us = TIME_NONE,
    .source_stream_us = TIME_NONE,
    .caught_up_wall_us = TIME_NONE,
    .watermark_us = TIME_NONE,
    .retry_at_mono_us = TIME_NONE,
};
static pthread_mutex_t board_lock = PTHREAD_MUTEX_INITIALIZER;

void status_read(struct status *ret)
{
    pthread_mutex_lock(&board_lock);
    *ret = board;
    pthread_mutex_unlock(&board_lock);
}

void status_change(void (*change)(struct status *s, void *ctx), void *ctx)
{
    pthread_mutex_lock(&board_lock);
    change(&board, ctx);
    pthread_mutex_unlock(&board_lock);
}
