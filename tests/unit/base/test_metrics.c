/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/metrics.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static bool has_line(const struct buf *text, const char *line)
{
    struct str rest = buf_str(text), at;
    while (str_split(&rest, '\n', &at)) {
        if (str_eqz(at, line)) {
            return true;
        }
    }
    return false;
}

static void text_format(void **state)
{
    (void)state;
    metric_add(METRIC_SOURCE_EVENTS, "stream=\"recentchange\",result=\"journalled\"", 2);
    metric_add(METRIC_SOURCE_EVENTS, "stream=\"recentchange\",result=\"duplicate\"", 1);
    metric_add(METRIC_SOURCE_EVENTS, "stream=\"recentchange\",result=\"journalled\"", 40);
    metric_set(METRIC_SOURCE_CONNECTED, NULL, 1);
    metric_set(METRIC_WATERMARK_LAG, NULL, 120.25);
    metric_observe(METRIC_SINK_FLUSH, "sink=\"sqlite\"", 0.005);
    metric_observe(METRIC_SINK_FLUSH, "sink=\"sqlite\"", 3);
    metric_observe(METRIC_SINK_FLUSH, "sink=\"sqlite\"", 60);
    AUTO(buf) struct buf b = {0};
    metrics_write(&b);
    static const char *const lines[] = {
        "wikitally_source_events_total{stream=\"recentchange\",result=\"journalled\"} 42",
        "wikitally_source_events_total{stream=\"recentchange\",result=\"duplicate\"} 1",
        "# TYPE wikitally_source_events_total counter",
        "wikitally_source_connected 1",
        "wikitally_watermark_lag_seconds 120.25",
        "# TYPE wikitally_sink_flush_duration_seconds histogram",
        "wikitally_sink_flush_duration_seconds_bucket{sink=\"sqlite\",le=\"0.0025\"} 0",
        "wikitally_sink_flush_duration_seconds_bucket{sink=\"sqlite\",le=\"0.005\"} 1",
        "wikitally_sink_flush_duration_seconds_bucket{sink=\"sqlite\",le=\"5\"} 2",
        "wikitally_sink_flush_duration_seconds_bucket{sink=\"sqlite\",le=\"10\"} 2",
        "wikitally_sink_flush_duration_seconds_bucket{sink=\"sqlite\",le=\"+Inf\"} 3",
        "wikitally_sink_flush_duration_seconds_count{sink=\"sqlite\"} 3",
        "wikitally_ledger_imbalance 0",
        "wikitally_build_info{version=\"" WIKITALLY_VERSION "\"} 1",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        if (!has_line(&b, lines[i])) {
            fail_msg("no line %s in\n%s", lines[i], b.ptr);
        }
    }
}

/* Families in order of their names, each with one HELP and one TYPE before its samples. */
static void families_are_sorted(void **state)
{
    (void)state;
    AUTO(buf) struct buf b = {0};
    metrics_write(&b);
    char last[128] = "";
    size_t families = 0;
    struct str rest = buf_str(&b), line;
    while (str_split(&rest, '\n', &line) && line.len) {
        if (str_starts(line, STR("# HELP "))) {
            char name[128];
            assert_int_equal(sscanf(line.ptr + 7, "%127s", name), 1);
            assert_true(strcmp(last, name) < 0);
            snprintf(last, sizeof last, "%s", name);
            families++;
        } else if (line.ptr[0] != '#') {
            assert_true(str_starts(line, str_of(last)));
        }
    }
    assert_int_equal(families, METRIC_COUNT);
}

static void series_are_bounded(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        char labels[64];
        snprintf(labels, sizeof labels, "route=\"%d\",code=\"200\"", i);
        metric_add(METRIC_HTTP_REQUESTS, labels, 1);
    }
    AUTO(buf) struct buf b = {0};
    metrics_write(&b);
    size_t series = 0;
    struct str rest = buf_str(&b), line;
    while (str_split(&rest, '\n', &line)) {
        series += str_starts(line, STR("wikitally_http_requests_total{"));
    }
    assert_int_equal(series, 256);
    assert_true(has_line(&b, "wikitally_http_requests_total{overflow=\"true\"} 745"));
}

enum { THREADS = 4, ROUNDS = 20000 };

static void *count_up(void *arg)
{
    for (int i = 0; i < ROUNDS; i++) {
        char labels[32];
        snprintf(labels, sizeof labels, "sink=\"s%d\"", i % 50);
        metric_add(METRIC_SINK_QUEUE, labels, 1);
        metric_observe(METRIC_HTTP_DURATION, "route=\"/\"", 0.25);
    }
    return arg;
}

static void threads_lose_nothing(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, NULL), 0);
    }
    AUTO(buf) struct buf b = {0};
    metrics_write(&b); /* while they count */
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    buf_clear(&b);
    metrics_write(&b);
    char line[128];
    for (int i = 0; i < 50; i++) {
        snprintf(line, sizeof line, "wikitally_sink_queue_bytes{sink=\"s%d\"} %d", i, THREADS * ROUNDS / 50);
        assert_true(has_line(&b, line));
    }
    snprintf(line, sizeof line, "wikitally_http_request_duration_seconds_sum{route=\"/\"} %d", THREADS * ROUNDS / 4);
    assert_true(has_line(&b, line));
}

static void connect_it(struct status *s, void *ctx)
{
    s->connected = true;
    s->reconnects += *(int *)ctx;
}

static void status_board(void **state)
{
    (void)state;
    struct status s;
    status_read(&s);
    assert_int_equal(s.last_event_mono_us, TIME_NONE);
    assert_int_equal(s.watermark_us, TIME_NONE);
    assert_false(s.connected);
    status_change(connect_it, &(int){5});
    status_read(&s);
    assert_true(s.connected);
    assert_int_equal(s.reconnects, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_format),        cmocka_unit_test(families_are_sorted),
        cmocka_unit_test(series_are_bounded), cmocka_unit_test(threads_lose_nothing),
        cmocka_unit_test(status_board),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
