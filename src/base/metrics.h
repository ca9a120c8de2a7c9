/* SPDX-License-Identifier: MIT
 *
 * metrics.h - the program's counters and gauges, and what it says of its own state. One list, metrics.def, from which
 * the struct, /metrics and the documentation come (names: ux.md section 7). All atomics; any thread.
 */
#ifndef WIKITALLY_BASE_METRICS_H
#define WIKITALLY_BASE_METRICS_H

#include "base/buf.h"

enum metric_id {
#define METRIC(id, name, kind, labels, help) METRIC_##id,
#include "base/metrics.def"
#undef METRIC
    METRIC_COUNT
};

/* labels: the label part without braces, already escaped: `stream="recentchange",result="journalled"`, or NULL. The set
 * of label values must be small and fixed (stage, bucket, sink, partition; never a title or a user): at most 256 series
 * a metric, beyond that the series `overflow="true"` takes the rest. */
void metric_add(enum metric_id id, const char *labels, double more);
void metric_set(enum metric_id id, const char *labels, double value);
void metric_observe(enum metric_id id, const char *labels, double value); /* histogram with fixed buckets 1ms..10s */
void metrics_write(struct buf *out); /* Prometheus text format 0.0.4, sorted, all help and type lines */

/* The state board: written by source and tasks, read by serve. Copied under one lock. */
enum source_kind { SOURCE_KIND_LIVE, SOURCE_KIND_REPLAY, SOURCE_KIND_SYNTHETIC };
struct status {
    enum source_kind kind;
    char source_name[256]; /* URL, file name, "synthetic" */
    bool connected;
    bool ended;                 /* a file source came to its end */
    int64_t last_event_mono_us; /* when the last record was received; TIME_NONE: never */
    int64_t last_event_wall_us;
    int64_t source_stream_us;  /* the source's stream time */
    int64_t caught_up_wall_us; /* when it was last found caught up */
    int64_t watermark_us;      /* least watermark of all tasks, TIME_NONE */
    int64_t reconnects;
    char problem[256];        /* what is wrong now, in a sentence, or "" */
    char configuration[256];  /* why the file and what is in force are not the same since the last reload, or "" */
    int64_t retry_at_mono_us; /* when the source tries again, TIME_NONE */
};
void status_read(struct status *ret);
/* Calls change(status, ctx) under the lock. */
void status_change(void (*change)(struct status *s, void *ctx), void *ctx);

#endif
