/* SPDX-License-Identifier: MIT
 *
 * chip.c - see chip.h.
 */
#include "serve/chip.h"

#define STALE_AFTER (10 * US_PER_SECOND)
#define BEHIND_FROM (60 * US_PER_SECOND)

const char *const chip_names[CHIP_STATES] = {"LIVE", "CATCHING UP", "REPLAY", "SYNTHETIC", "STALE"};
static const char *const kind_names[] = {"live", "replay", "synthetic"};

int64_t chip_lag(const struct chip_input *in)
{
    int64_t lag;
    if (in->status.watermark_us != TIME_NONE)
        lag = in->wall_us - in->status.watermark_us - in->delay_us;
    else if (in->edge_us != TIME_NONE)
        lag = in->wall_us - in->edge_us;
    else
        return TIME_NONE;
    return lag > 0 ? lag : 0;
}

void chip_sample(struct chip *c, const struct chip_input *in)
{
    int64_t lag = chip_lag(in);
    if (lag != TIME_NONE)
        c->lag_us[c->count++ % CHIP_SAMPLES] = lag;
}

/* Microseconds since the last record, TIME_NONE: there was none yet. */
static int64_t silence(const struct chip_input *in)
{
    return in->status.last_event_mono_us == TIME_NONE ? TIME_NONE : in->mono_us - in->status.last_event_mono_us;
}

enum chip_state chip_judge(const struct chip *c, const struct chip_input *in)
{
    (void)c;
    int64_t quiet = silence(in), lag = chip_lag(in);
    if (in->status.kind == SOURCE_KIND_SYNTHETIC)
        return CHIP_SYNTHETIC;
    if (in->status.kind == SOURCE_KIND_REPLAY)
        return CHIP_REPLAY;
    if (quiet == TIME_NONE || quiet >= STALE_AFTER)
        return CHIP_STALE;
    return lag != TIME_NONE && lag >= BEHIND_FROM ? CHIP_CATCHING_UP : CHIP_LIVE;
}

/* Seconds until caught up at the pace of the last half minute; -1: it does not fall. */
static int64_t seconds_left(const struct chip *c)
{
    uint64_t have = c->count < CHIP_SAMPLES ? c->count : CHIP_SAMPLES;
    if (have < 3)
        return -1;
    int64_t now = c->lag_us[(c->count - 1) % CHIP_SAMPLES], before = c->lag_us[(c->count - have) % CHIP_SAMPLES];
    int64_t fell = before - now, over = (int64_t)(have - 1);
    return fell <= 0 ? -1 : (int64_t)((double)now * (double)over / (double)fell);
}

/* "43 s", "12 min", "3 h 5 min", "2 d 4 h" */
static void add_span(struct buf *out, int64_t us)
{
    int64_t s = us / US_PER_SECOND;
    if (s < 90)
        buf_addf(out, "%lld s", (long long)s);
    else if (s < 5400)
        buf_addf(out, "%lld min", (long long)(s + 30) / 60);
    else if (s < 172800)
        buf_addf(out, "%lld h %lld min", (long long)(s / 3600), (long long)(s % 3600 / 60));
    else
        buf_addf(out, "%lld d %lld h", (long long)(s / 86400), (long long)(s % 86400 / 3600));
}

static void add_moment(struct buf *out, int64_t us)
{
    AUTO(buf) struct buf t = {0};
    time_format(&t, us - us % US_PER_SECOND);
    if (t.len >= 16) /* 2026-03-01T12:04:05Z */
        buf_addf(out, "%.10s %.8s UTC", t.ptr, t.ptr + 11);
}

static void text_stale(const struct chip_input *in, struct buf *out)
{
    const struct status *s = &in->status;
    int64_t quiet = silence(in);
    if (quiet == TIME_NONE) {
        buf_addz(out, "No event yet");
    } else {
        buf_addz(out, "No event for ");
        add_span(out, quiet);
    }
    buf_addz(out, s->connected ? " - source connected" : " - source not connected");
    if (s->problem[0]) {
        buf_addz(out, ": ");
        buf_addz(out, s->problem);
    }
    if (s->retry_at_mono_us != TIME_NONE && s->retry_at_mono_us > in->mono_us) {
        buf_addz(out, ", retrying in ");
        add_span(out, s->retry_at_mono_us - in->mono_us + US_PER_SECOND - 1);
    } else {
        buf_addz(out, s->connected ? ", waiting" : ", retrying");
    }
}

static void text_live(const struct chip_input *in, struct buf *out)
{
    int64_t behind = in->edge_us == TIME_NONE ? 0 : in->wall_us - in->edge_us;
    buf_addf(out, "Live \302\267 %.1f s behind", behind > 0 ? (double)behind / (double)US_PER_SECOND : 0.0);
}

static void text_catching_up(const struct chip *c, const struct chip_input *in, struct buf *out)
{
    int64_t left = seconds_left(c);
    buf_addz(out, "Catching up \302\267 ");
    add_span(out, chip_lag(in));
    buf_addz(out, " behind, ");
    if (left < 0) {
        buf_addz(out, "not getting closer yet");
    } else {
        buf_addz(out, "~");
        add_span(out, left * US_PER_SECOND);
        buf_addz(out, " left");
    }
}

static void text_replay(const struct chip_input *in, struct buf *out)
{
    buf_addz(out, in->status.ended ? "Replay ended \302\267 " : "Replay \302\267 ");
    if (in->edge_us == TIME_NONE) {
        buf_addz(out, "no event yet");
        return;
    }
    add_moment(out, in->edge_us);
    buf_addz(out, " (event time)");
}

void chip_text(const struct chip *c, const struct chip_input *in, struct buf *out)
{
    switch (chip_judge(c, in)) {
    case CHIP_LIVE:
        text_live(in, out);
        break;
    case CHIP_CATCHING_UP:
        text_catching_up(c, in, out);
        break;
    case CHIP_REPLAY:
        text_replay(in, out);
        break;
    case CHIP_SYNTHETIC:
        buf_addz(out, "Test data");
        break;
    default:
        text_stale(in, out);
    }
}

static void add_time_member(struct buf *json, const char *name, int64_t us)
{
    buf_addf(json, ",\"%s\":", name);
    if (us == TIME_NONE) {
        buf_addz(json, "null");
        return;
    }
    buf_addc(json, '"');
    time_format(json, us);
    buf_addc(json, '"');
}

void chip_write(const struct chip *c, const struct chip_input *in, struct buf *json)
{
    AUTO(buf) struct buf text = {0};
    int64_t lag = chip_lag(in);
    chip_text(c, in, &text);
    buf_addf(json, "{\"state\":\"%s\",\"text\":", chip_names[chip_judge(c, in)]);
    buf_add_json_html(json, buf_str(&text));
    buf_addf(json, ",\"kind\":\"%s\",\"source\":", kind_names[in->status.kind]);
    buf_add_json_html(json, str_of(in->status.source_name));
    buf_addf(json, ",\"connected\":%s,\"ended\":%s", in->status.connected ? "true" : "false",
             in->status.ended ? "true" : "false");
    add_time_member(json, "event_time", in->edge_us);
    add_time_member(json, "last_event", in->status.last_event_wall_us);
    add_time_member(json, "watermark", in->status.watermark_us);
    buf_addz(json, ",\"lag_ms\":");
    if (lag == TIME_NONE)
        buf_addz(json, "null");
    else
        buf_addf(json, "\"%lld\"", (long long)(lag / US_PER_MS));
    buf_addf(json, ",\"reconnects\":\"%lld\",\"problem\":", (long long)in->status.reconnects);
    buf_add_json_html(json, str_of(in->status.problem));
    buf_addz(json, ",\"configuration\":");
    buf_add_json_html(json, str_of(in->status.configuration));
    buf_addc(json, '}');
}
