/* SPDX-License-Identifier: MIT
 *
 * task_metrics.c - what a task tells the world after each commit: its lag, its ledger, its watermark.
 */
#include "app/task_private.h"

#include "base/metrics.h"

static void ledger(const struct task *t, const struct task_commit *commit)
{
    int64_t sums[TASK_BUCKETS] = {0};
    for (size_t i = 0; i < commit->lane_count; i++) {
        for (size_t n = 0; n < commit->lanes[i].tally_count; n++) {
            const struct tally_row *row = &commit->lanes[i].tally[n];
            sums[row->bucket] += row->by == TALLY_EVENT ? row->count : 0;
        }
    }
    for (size_t b = 0; b < TASK_BUCKETS; b++) {
        AUTO(buf) struct buf labels = {0};
        buf_addf(&labels, "task=\"%s\",bucket=\"%s\"", t->name, task_bucket_names[b]);
        if (sums[b] > 0) {
            metric_add(METRIC_LEDGER_RECORDS, labels.ptr, (double)sums[b]);
        }
    }
}

static void dead(const struct task_commit *commit)
{
    for (size_t i = 0; i < commit->dead_count; i++) {
        AUTO(buf) struct buf labels = {0};
        buf_addf(&labels, "reason=\"%s\"", commit->dead[i].reason);
        metric_add(METRIC_DEAD_LETTERS, labels.ptr, 1);
    }
}

/* Seconds between the arrivals of the partition's last record and of the last one read; 0 where either is unknown. Of a
 * topic: until now, for to look at its end would throw away what was fetched of its middle. */
static int64_t lag_us(struct task *t, uint32_t p, int64_t arrival_us)
{
    struct journal_page page = {0};
    if (t->journal.sparse && arrival_us != TIME_NONE) {
        return clock_wall(t->clock) - arrival_us;
    }
    arena_reset(&t->page_memory);
    if (arrival_us == TIME_NONE ||
        journal_reader_read(t->reader, p, t->ends[p] - 1, 1, &t->page_memory, &page, NULL) != ERR_NONE ||
        page.count == 0 || page.records[0].arrival_us == TIME_NONE) {
        return 0;
    }
    return page.records[0].arrival_us - arrival_us;
}

/* -> how far the partition is behind, in time of arrival. */
static int64_t lag(struct task *t, uint32_t p)
{
    AUTO(buf) struct buf labels = {0};
    int64_t least = INT64_MAX, arrival_us = TIME_NONE;
    for (size_t i = 0; i < t->aggregation_count; i++) {
        struct lane_state s;
        lane_state(t->aggregations[i].lanes[p], &s);
        arrival_us = s.next < least ? s.arrival_us : arrival_us;
        least = s.next < least ? s.next : least;
    }
    buf_addf(&labels, "group=\"%s\",partition=\"%u\"", t->name, p);
    metric_set(METRIC_CONSUMER_LAG, labels.ptr, t->ends[p] > least ? (double)(t->ends[p] - least) : 0);
    return t->ends[p] > least ? lag_us(t, p, arrival_us) : 0;
}

struct watermark {
    int64_t least_us;
};

static void watermark_publish(struct status *s, void *ctx)
{
    s->watermark_us = ((struct watermark *)ctx)->least_us;
}

static void windows(const struct task *t)
{
    struct watermark w = {TIME_NONE};
    int64_t open = 0, behind_us = 0;
    for (size_t i = 0; i < t->aggregation_count; i++) {
        for (uint32_t p = 0; p < t->partitions; p++) {
            struct lane_state s;
            if (!task_has(t, p)) {
                continue;
            }
            lane_state(t->aggregations[i].lanes[p], &s);
            open += s.open_windows;
            if (s.watermark_us != TIME_NONE && (w.least_us == TIME_NONE || s.watermark_us < w.least_us)) {
                w.least_us = s.watermark_us;
                behind_us = clock_wall(t->clock) - s.stream_us;
            }
        }
    }
    metric_set(METRIC_WINDOWS_OPEN, NULL, (double)open);
    if (w.least_us != TIME_NONE) {
        metric_set(METRIC_WATERMARK_LAG, NULL, (double)behind_us / (double)US_PER_SECOND);
        status_change(watermark_publish, &w);
    }
}

void task_metrics(struct task *t, const struct task_commit *commit)
{
    ledger(t, commit);
    dead(commit);
    windows(t);
    int64_t most_us = 0;
    for (uint32_t p = 0; p < t->partitions; p++) {
        int64_t behind_us = task_has(t, p) ? lag(t, p) : 0;
        most_us = behind_us > most_us ? behind_us : most_us;
    }
    AUTO(buf) struct buf labels = {0};
    buf_addf(&labels, "group=\"%s\"", t->name);
    metric_set(METRIC_CONSUMER_LAG_SECONDS, labels.ptr, (double)most_us / (double)US_PER_SECOND);
}
