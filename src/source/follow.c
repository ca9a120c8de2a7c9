/* SPDX-License-Identifier: MIT
 *
 * follow.c - follows the live stream: connect, read, admit, commit, tick, reconnect (R3, R5, R7).
 *
 * The normal state is one connection for all topics. It ends after idle_after without anything new: silence alone
 * proves nothing, so it is opened again with the overlap; only if the last record known came again, and nothing else,
 * was the silence real (caught up, tick). When the answer's Date says that the position lies far back, merge.c takes
 * over with one connection per topic until both are caught up.
 *
 * All times that decide anything are the server's: its Date at connect plus monotonic time since.
 */
#include "source/follow.h"

#include <stdlib.h>

#include "base/diag.h"
#include "base/fault.h"
#include "base/metrics.h"

/* The least wait doubles too, up to 15 s: 1 + 2 + 4 + 8 + 3 x 15 = 60, so that whatever chance says no minute has more
 * than six tries. */
enum { SLICE_US = 200000, BACKOFF_LEAST_MAX_S = 15, BACKOFF_MAX_S = 60 };
static const int64_t quick_end_us =
    10 * US_PER_SECOND;                              /* a connection cut sooner, without anything new, was a failure */
static const int64_t canary_us = 15 * US_PER_MINUTE; /* one is due that often on every topic */
static const int64_t often_us = 10 * US_PER_MINUTE;  /* R7: so long silence is proven every idle_after, then rarely */
static const int64_t retry_after_max_us = 15 * US_PER_MINUTE;

int64_t follow_mono(const struct follow *f)
{
    return clock_mono(f->options.clock);
}

bool follow_stopping(struct follow *f)
{
    return atomic_load(&f->stopping);
}

void follow_sleep(struct follow *f, int64_t us)
{
    for (int64_t until = follow_mono(f) + us; us > 0 && !follow_stopping(f); us = until - follow_mono(f)) {
        f->options.clock->sleep_us(f->options.clock, us < SLICE_US ? us : SLICE_US);
    }
}

/* ---- the state board */

static void status_connected(struct status *s, void *ctx)
{
    const struct follow *f = ctx;
    s->connected = true;
    s->reconnects = f->connects - 1;
    s->retry_at_mono_us = TIME_NONE;
    s->problem[0] = 0;
}

struct trouble {
    const char *problem;
    int64_t retry_at_mono_us;
};

static void status_trouble(struct status *s, void *ctx)
{
    const struct trouble *t = ctx;
    size_t len = strnlen(t->problem, sizeof s->problem - 1);
    memcpy(s->problem, t->problem, len);
    s->problem[len] = 0;
    if (t->retry_at_mono_us != TIME_NONE) {
        s->connected = false;
        s->retry_at_mono_us = t->retry_at_mono_us;
    }
}

static void status_received(struct status *s, void *ctx)
{
    struct follow *f = ctx;
    s->last_event_mono_us = follow_mono(f);
    s->last_event_wall_us = clock_wall(f->options.clock);
    metric_set(METRIC_SOURCE_LAST_EVENT, NULL, (double)s->last_event_wall_us / (double)US_PER_SECOND);
}

static void status_committed(struct status *s, void *ctx)
{
    struct follow *f = ctx;
    const struct position *p = admission_position(f->admission);
    s->source_stream_us = p->stream_us;
    s->caught_up_wall_us = p->caught_up_us;
}

static void metrics_holes(struct follow *f)
{
    const struct audit *a = admission_audit(f->admission);
    size_t counts[HOLE_STATES] = {0};
    for (size_t i = 0; i < a->hole_count; i++) {
        counts[a->holes[i].state]++;
    }
    metric_set(METRIC_UPSTREAM_HOLES, "state=\"open\"", (double)counts[HOLE_OPEN]);
    metric_set(METRIC_UPSTREAM_HOLES, "state=\"healed\"", (double)counts[HOLE_HEALED]);
    metric_set(METRIC_UPSTREAM_HOLES, "state=\"unfilled\"", (double)counts[HOLE_UNFILLED]);
}

/* ---- commit */

int64_t follow_commit_at(const struct follow *f)
{
    return f->pending_since_mono_us == TIME_NONE ? INT64_MAX : f->pending_since_mono_us + f->options.commit_every_us;
}

enum err_class follow_commit(struct follow *f, struct err *err)
{
    admission_tick_quiet(f->admission);
    if (!admission_pending(f->admission, NULL)) {
        f->pending_since_mono_us = TIME_NONE;
        return ERR_NONE;
    }
    enum err_class cls = f->output->commit(f->output, admission_batch(f->admission), err);
    if (cls) {
        return cls;
    }
    if (admission_audit(f->admission)->changed) {
        metrics_holes(f);
    }
    admission_committed(f->admission);
    status_change(status_committed, f);
    f->pending_since_mono_us = TIME_NONE;
    return ERR_NONE;
}

enum err_class follow_commit_due(struct follow *f, bool *ret_done, struct err *err)
{
    size_t bytes = 0;
    bool due = admission_pending(f->admission, &bytes) &&
               (bytes >= (size_t)f->options.commit_bytes || follow_mono(f) >= follow_commit_at(f));
    if (ret_done) {
        *ret_done = due;
    }
    return due ? follow_commit(f, err) : ERR_NONE;
}

/* ---- connecting */

int64_t follow_backoff_us(struct follow *f, unsigned failures, int64_t at_least_us)
{
    int64_t doubled_s = failures < 6 ? (int64_t)1 << failures : BACKOFF_MAX_S;
    int64_t least_s = earliest(doubled_s, BACKOFF_LEAST_MAX_S), most_s = earliest(2 * doubled_s, BACKOFF_MAX_S);
    int64_t span_us = (most_s - least_s) * US_PER_SECOND;
    int64_t wait_us = least_s * US_PER_SECOND + (int64_t)rng_below(&f->rng, (uint64_t)span_us + 1);
    return latest(wait_us, earliest(at_least_us, retry_after_max_us));
}

void follow_backoff(struct follow *f, int64_t at_least_us, const char *problem)
{
    int64_t wait_us = follow_backoff_us(f, f->failures, at_least_us);
    f->failures++;
    struct trouble t = {problem, follow_mono(f) + wait_us};
    status_change(status_trouble, &t);
    metric_set(METRIC_SOURCE_CONNECTED, NULL, 0);
    diag_warn("source", "%s; next try in %lld ms", problem, (long long)(wait_us / US_PER_MS));
    follow_sleep(f, wait_us);
}

/* Where a topic resumes, or TIME_NONE: live. A topic never heard from counts as heard when the journal began. */
static int64_t resume_at(struct follow *f, size_t topic)
{
    const struct position *p = admission_position(f->admission);
    if (p->topics[topic].high_us != TIME_NONE) {
        return p->topics[topic].high_us - f->options.overlap_us;
    }
    return p->first_us == TIME_NONE ? TIME_NONE : p->first_us - (fault("R3.start") ? 0 : f->options.overlap_us);
}

static enum err_class first_connection(struct follow *f, struct line *line, struct err *err)
{
    struct position *p = admission_position(f->admission);
    if (p->first_us != TIME_NONE) {
        return ERR_NONE;
    }
    p->first_us = line->link.date_us;
    admission_moved(f->admission);
    return follow_commit(f, err);
}

static enum err_class line_opened(struct follow *f, struct line *line, struct err *err)
{
    int64_t date_us = line->c->date_us, opened = line->c->opened_mono_us;
    if (date_us == TIME_NONE) { /* R5: the wall clock where there is no Date */
        date_us = clock_wall(f->options.clock) - (follow_mono(f) - opened);
    }
    link_init(&line->link, admission_position(f->admission), date_us, opened);
    line->fresh = false;
    if (f->connects++) {
        AUTO(buf) struct buf label = {0};
        buf_addf(&label, "reason=\"%s\"", f->reason ? f->reason : "start");
        metric_add(METRIC_SOURCE_RECONNECTS, label.ptr, 1);
    }
    metric_set(METRIC_SOURCE_CONNECTED, NULL, 1);
    status_change(status_connected, f);
    enum err_class cls = failpoint_err("follow.connected", err);
    return cls ? cls : first_connection(f, line, err);
}

enum err_class follow_connect(struct follow *f, const size_t *topics, size_t topic_count, struct line *line,
                              struct err *err)
{
    line->c = NULL;
    enum err_class cls = follow_commit(f, err); /* nothing decided waits for the network */
    while (!cls && !follow_stopping(f)) {
        struct transport_want want[POSITION_TOPICS];
        for (size_t i = 0; i < topic_count; i++) {
            int64_t at_us = resume_at(f, topics[i]);
            want[i].topic = str_of(f->options.topics[topics[i]]);
            want[i].from_ms = at_us == TIME_NONE ? TIME_NONE : floor_div(at_us, US_PER_MS);
        }
        int64_t retry_after_us = 0;
        struct err why = {0};
        cls = f->transport->ops->connect(f->transport, want, topic_count, &line->c, &retry_after_us, &why);
        if (!cls) {
            return line_opened(f, line, err);
        }
        line->c = NULL;
        if (cls != ERR_RETRY) {
            return err_set(err, cls, why.code, "%s", why.text);
        }
        cls = ERR_NONE;
        if (!follow_stopping(f)) {
            f->reason = "refused";
            follow_backoff(f, retry_after_us, why.text);
        }
    }
    return cls;
}

void follow_close(struct follow *f, struct line *line)
{
    if (line->c) {
        f->transport->ops->close(f->transport, line->c);
        link_fini(&line->link);
        line->c = NULL;
    }
}

int64_t follow_arrival(const struct follow *f, const struct line *line)
{
    int64_t now_us = floor_div(link_now(&line->link, follow_mono(f)), US_PER_MS) * US_PER_MS;
    return latest(now_us, admission_position(f->admission)->arrival_us);
}

enum err_class follow_offer(struct follow *f, struct line *line, struct str data, bool *ret_broken, struct err *err)
{
    enum outcome outcome;
    enum err_class cls =
        admission_offer(f->admission, &line->link, data, follow_arrival(f, line), (struct str){NULL, 0}, &outcome, err);
    if (f->pending_since_mono_us == TIME_NONE) {
        f->pending_since_mono_us = follow_mono(f);
        status_change(status_received, f);
    }
    *ret_broken = cls == ERR_RETRY;
    if (!cls && line->link.fresh) {
        line->fresh =
            line->fresh || outcome != OUTCOME_DEAD; /* what cannot be decoded is no progress: see follow_cut */
        f->fresh_mono_us = follow_mono(f);
        f->proof_at_mono_us = INT64_MIN;
    }
    return *ret_broken ? ERR_NONE : cls;
}

bool follow_cut(struct follow *f, const struct line *line)
{
    f->reason = line->c->cut_label ? line->c->cut_label : "cut";
    diag_info("source", "connection ended: %s", line->c->cut_reason);
    bool quick = !line->fresh && follow_mono(f) - line->link.opened_mono_us < quick_end_us;
    f->failures = quick ? f->failures : 0;
    return quick;
}

void follow_backoff_quick(struct follow *f)
{
    follow_backoff(f, 0, "the server ends each connection at once");
}

/* ---- one connection for all topics */

/* R3: how far the answer's Date is ahead of the latest of any topic's position and the moment last found caught up. */
static bool far_back(struct follow *f, const struct line *line)
{
    const struct position *p = admission_position(f->admission);
    int64_t since_us = latest(p->caught_up_us, p->first_us), least_us = INT64_MAX;
    for (size_t i = 0; i < f->options.topic_count; i++) {
        since_us = latest(since_us, p->topics[i].high_us);
        least_us = earliest(least_us, resume_at(f, i));
    }
    int64_t now_us = link_now(&line->link, follow_mono(f));
    return now_us - (fault("R3.back") ? least_us : since_us) > f->options.delay_us / 2;
}

static int64_t active_high(struct follow *f)
{
    const struct position *p = admission_position(f->admission);
    for (size_t i = 0; i < f->options.topic_count; i++) {
        if (strcmp(p->topics[i].name, p->active) == 0) {
            return p->topics[i].high_us;
        }
    }
    return p->topics[0].high_us;
}

/* R7 (b): the whole source is silent, and that is proven. */
static void tick_proven(struct follow *f, int64_t at_us)
{
    const struct position *p = admission_position(f->admission);
    int64_t high_us = active_high(f), limit_us = high_us == TIME_NONE ? 0 : high_us + canary_us + US_PER_MINUTE;
    if (at_us > limit_us && !fault("R7.cap")) {
        struct trouble t = {"no event and no canary for 16 minutes: the upstream stands still", TIME_NONE};
        status_change(status_trouble, &t);
        return;
    }
    if (p->stream_us != TIME_NONE) {
        admission_tick(f->admission, at_us);
    }
}

/* Silence for idle_after: was it real? If so, and it has been for long, the next proof is not due before 15 minutes are
 * over: the windows that ticks can close are closed by then, and each proof is a reconnect. */
static enum err_class silence(struct follow *f, struct line *line, struct err *err)
{
    size_t topics[POSITION_TOPICS];
    for (size_t i = 0; i < f->options.topic_count; i++) {
        topics[i] = i;
    }
    struct position *p = admission_position(f->admission);
    if (link_silent(&line->link, p, topics, f->options.topic_count)) {
        admission_moved(f->admission);
    }
    if (!link_proven(&line->link, p, topics, f->options.topic_count)) {
        return ERR_NONE;
    }
    p->caught_up_us = line->link.date_us;
    admission_moved(f->admission);
    tick_proven(f, line->link.date_us);
    if (follow_mono(f) - f->fresh_mono_us >= often_us && !fault("R7.rarely")) {
        f->proof_at_mono_us = follow_mono(f) + canary_us;
    }
    return follow_commit(f, err);
}

enum line_end { LINE_SILENT, LINE_CUT, LINE_BROKEN }; /* silent: nothing new for idle_after */

static enum err_class read_on(struct follow *f, struct line *line, enum line_end *ret_end, struct err *err)
{
    int64_t heard = line->c->ok_mono_us;
    enum err_class cls = ERR_NONE;
    while (!cls) {
        int64_t idle_at = latest(heard + f->options.idle_after_us, f->proof_at_mono_us);
        int64_t until = earliest(earliest(idle_at, follow_commit_at(f)), f->heal_wake_mono_us);
        bool committed = false, broken = false;
        struct str data;
        enum transport_event event = f->transport->ops->read(f->transport, line->c, until, &data);
        if (event == TRANSPORT_RECORD) {
            cls = follow_offer(f, line, data, &broken, err);
            heard = !broken && line->link.fresh ? follow_mono(f) : heard;
        } else if (event == TRANSPORT_CUT || follow_mono(f) >= idle_at) {
            *ret_end = event == TRANSPORT_CUT ? LINE_CUT : LINE_SILENT;
            return follow_heal(f, err);
        }
        if (broken) {
            *ret_end = LINE_BROKEN;
            return ERR_NONE;
        }
        cls = cls ? cls : follow_commit_due(f, &committed, err);
        bool heal = committed || (event == TRANSPORT_SILENT && follow_mono(f) >= f->heal_wake_mono_us);
        cls = !cls && heal ? follow_heal(f, err) : cls;
    }
    return cls;
}

/* One connection to its end, or until its silence must be proven. After a proof that is followed by a rest (R7) it is
 * kept; whoever has rested connects again first, so that the tick's time is that of now. */
static enum err_class single_follow(struct follow *f, struct line *line, enum follow_end *ret_end, struct err *err)
{
    enum line_end end = LINE_CUT;
    enum err_class cls = read_on(f, line, &end, err);
    while (!cls && !follow_stopping(f) && end == LINE_SILENT) {
        bool rested = f->proof_at_mono_us != INT64_MIN;
        f->proof_at_mono_us = INT64_MIN;
        f->reason = "silent";
        f->failures = 0;
        cls = rested ? ERR_NONE : silence(f, line, err);
        if (cls || f->proof_at_mono_us == INT64_MIN) {
            return cls;
        }
        cls = read_on(f, line, &end, err);
    }
    if (cls || follow_stopping(f)) {
        return cls;
    }
    if (end == LINE_BROKEN) {
        f->reason = "discontinuous";
        *ret_end = FOLLOW_BROKEN;
    } else {
        *ret_end = follow_cut(f, line) ? FOLLOW_QUICK : FOLLOW_AGAIN;
    }
    return ERR_NONE;
}

static enum err_class single(struct follow *f, enum follow_end *ret_end, struct err *err)
{
    size_t topics[POSITION_TOPICS];
    for (size_t i = 0; i < f->options.topic_count; i++) {
        topics[i] = i;
    }
    struct line line = {0};
    *ret_end = FOLLOW_AGAIN;
    enum err_class cls = follow_connect(f, topics, f->options.topic_count, &line, err);
    if (cls || !line.c) {
        follow_close(f, &line);
        return cls;
    }
    if (f->options.topic_count > 1 &&
        far_back(f, &line)) { /* by the answer's Date: before it there is no trusted clock */
        follow_close(f, &line);
        f->reason = "merge";
        return follow_merge(f, ret_end, err);
    }
    cls = single_follow(f, &line, ret_end, err);
    follow_close(f, &line);
    return cls;
}

/* ---- the source */

static enum err_class follow_load(struct follow *f, struct err *err)
{
    enum err_class cls = f->loaded ? ERR_NONE : admission_load(f->admission, f->output, err);
    if (cls || f->loaded) {
        return cls;
    }
    f->loaded = true;
    int64_t stream_us = admission_position(f->admission)->stream_us;
    if (stream_us != TIME_NONE) {
        admission_tick(f->admission, stream_us); /* R7: a first one to every partition that it finds */
    }
    return ERR_NONE;
}

static enum err_class follow_run(struct source *s, struct source_output *output, bool *ret_ended, struct err *err)
{
    struct follow *f = (struct follow *)s;
    f->output = output;
    *ret_ended = false;
    enum err_class cls = follow_load(f, err);
    while (!cls && !follow_stopping(f)) {
        enum follow_end end = FOLLOW_AGAIN;
        cls = single(f, &end, err);
        if (!cls && end != FOLLOW_AGAIN) {
            cls = follow_commit(f, err);
        }
        if (!cls && end == FOLLOW_BROKEN) {
            follow_sleep(f, US_PER_SECOND);
        } else if (!cls && end == FOLLOW_QUICK) {
            follow_backoff_quick(f);
        }
    }
    metric_set(METRIC_SOURCE_CONNECTED, NULL, 0);
    if (!f->loaded) {
        return cls;
    }
    struct err last = {0};
    enum err_class stored = follow_commit(f, cls ? &last : err); /* what was decided is kept, whatever ended it */
    return cls ? cls : stored;
}

static void follow_stop(struct source *s)
{
    struct follow *f = (struct follow *)s;
    atomic_store(&f->stopping, true);
    f->transport->ops->stop(f->transport);
}

static void follow_free(struct source *s)
{
    struct follow *f = (struct follow *)s;
    admission_free(f->admission);
    transport_free(f->transport);
    free(f);
}

enum err_class source_open_stream(const struct source_options *options, struct transport *transport,
                                  struct source **ret_source, struct err *err)
{
    static const struct source_ops ops = {follow_run, follow_stop, follow_free};
    struct follow *f = xcalloc(1, sizeof *f);
    enum err_class cls = options->topic_count ? admission_new(options, &f->admission, err)
                                              : err_set(err, ERR_REJECT, EXIT_CONFIG, "source: no topics are named");
    if (cls) {
        free(f);
        transport_free(transport);
        return cls;
    }
    f->base.ops = &ops;
    f->options = *options;
    f->transport = transport;
    atomic_init(&f->stopping, false);
    f->pending_since_mono_us = TIME_NONE;
    f->fresh_mono_us = follow_mono(f);
    f->proof_at_mono_us = INT64_MIN;
    f->heal_at_mono_us = INT64_MIN;
    f->heal_wake_mono_us = INT64_MAX;
    rng_init(&f->rng, options->seed);
    *ret_source = &f->base;
    return ERR_NONE;
}
