/* SPDX-License-Identifier: MIT
 *
 * api.c - routes that are answered in the loop: the list, the state, the newest frame, the live stream, the
 * configuration, health and metrics. Nothing here waits.
 */
#include "serve/room.h"
#include "serve/routes.h"

#include "base/metrics.h"

static const char json_type[] = "application/json";

void api_index(struct room *room, const struct request *q, struct readers *readers, struct answer *a)
{
    (void)room;
    (void)readers;
    a->type = json_type;
    buf_addz(&a->body, "{\"version\":\"" WIKITALLY_VERSION "\",\"routes\":[");
    for (size_t i = 0; i < route_count; i++) {
        buf_addf(&a->body, "%s{\"path\":\"%s\",\"parameters\":\"%s\",\"about\":", i ? "," : "", routes[i].path,
                 routes[i].parameters);
        buf_add_json_html(&a->body, str_of(routes[i].help));
        buf_addc(&a->body, '}');
    }
    buf_addz(&a->body, "]}\n");
    answer_compress(a, q);
}

void api_state(struct room *room, const struct request *q, struct readers *readers, struct answer *a)
{
    (void)q;
    (void)readers;
    a->type = json_type;
    buf_addz(&a->body, "{\"version\":\"" WIKITALLY_VERSION "\",\"server_time\":\"");
    time_format_ms(&a->body, clock_wall(room->options.clock));
    buf_addz(&a->body, "\",\"state\":");
    live_chip(room->live, &a->body);
    buf_addz(&a->body, "}\n");
}

/* The window asked for, 5m by default. */
static bool read_window(const struct request *q, size_t *ret_window, struct answer *a)
{
    AUTO(buf) struct buf text = {0};
    *ret_window = 1;
    if (!request_parameter(q, "window", &text) || frames_window(buf_str(&text), ret_window))
        return true;
    answer_problem(a, 400, "Bad request", "window '%.*s': known are 1m, 5m, 15m, 60m", STR_ARG(buf_str(&text)));
    return false;
}

void api_now(struct room *room, const struct request *q, struct readers *readers, struct answer *a)
{
    size_t window;
    (void)readers;
    if (!read_window(q, &window, a))
        return;
    struct frame *f = frames_json(room->frames, frames_channel(window, 0));
    if (!f) {
        answer_problem(a, 503, "Not available yet", "the live state is being rebuilt");
        a->retry_after_s = 1;
        return;
    }
    a->type = json_type;
    buf_add(&a->body, str_n(f->bytes, f->len));
    frame_drop(f);
    answer_compress(a, q);
}

/* "now:5m" or "now"; "timeline:1m" is part of each and may stand beside it. */
static bool read_views(struct str views, size_t *ret_window)
{
    struct str view;
    bool found = false;
    while (str_split(&views, ',', &view)) {
        if (str_eq(view, STR("timeline:1m")))
            continue;
        if (found)
            return false;
        if (str_eq(view, STR("now")))
            *ret_window = 1;
        else if (!str_starts(view, STR("now:")) || !frames_window(str_n(view.ptr + 4, view.len - 4), ret_window))
            return false;
        found = true;
    }
    return found;
}

static bool read_channel(const struct request *q, size_t *ret_channel, struct answer *a)
{
    AUTO(buf) struct buf text = {0};
    size_t window = 1, rate = 0;
    if (request_parameter(q, "views", &text) && !read_views(buf_str(&text), &window)) {
        answer_problem(a, 400, "Bad request",
                       "views '%.*s': one of now:1m, now:5m, now:15m, now:60m, with or without timeline:1m",
                       STR_ARG(buf_str(&text)));
        return false;
    }
    if (request_parameter(q, "hz", &text)) {
        int64_t hz = 0;
        if (!str_to_int64(buf_str(&text), &hz) || (hz != 1 && hz != 2 && hz != 4)) {
            answer_problem(a, 400, "Bad request", "hz '%.*s': known are 1, 2, 4", STR_ARG(buf_str(&text)));
            return false;
        }
        rate = hz == 4 ? 2 : (size_t)hz - 1;
    }
    *ret_channel = frames_channel(window, rate);
    return true;
}

static void write_hello(struct room *room, size_t channel, struct buf *json)
{
    buf_addz(json, "{\"version\":\"" WIKITALLY_VERSION "\",\"server_time\":\"");
    time_format_ms(json, clock_wall(room->options.clock));
    buf_addf(json, "\",\"views\":[\"now:%s\"],\"hz\":%d,\"state\":", frames_window_name(channel / FRAME_RATES),
             frame_rates[channel % FRAME_RATES]);
    live_chip(room->live, json);
    buf_addc(json, '}');
}

void api_stream(struct room *room, const struct request *q, struct readers *readers, struct answer *a)
{
    AUTO(buf) struct buf hello = {0};
    size_t channel;
    const char *why = NULL;
    (void)readers;
    if (!read_channel(q, &channel, a))
        return;
    if (!q->head) {
        write_hello(room, channel, &hello);
        a->stream = stream_client_new(room->hub, &q->peer, channel, buf_str(&hello), q->last_event_id, &why);
    }
    if (why) {
        answer_problem(a, 503, "Too many live streams", "%s; close another one, or ask /api/v1/now", why);
        a->retry_after_s = 10;
        return;
    }
    a->type = "text/event-stream";
    a->cache = "no-store, no-transform";
}

void api_config(struct room *room, const struct request *q, struct readers *readers, struct answer *a)
{
    (void)readers;
    a->type = json_type;
    if (room->options.config_json)
        room->options.config_json(&a->body, room->options.config_ctx);
    else
        buf_addz(&a->body, "{}\n");
    answer_compress(a, q);
}

void api_livez(struct room *room, const struct request *q, struct readers *readers, struct answer *a)
{
    (void)q;
    (void)readers;
    a->type = "text/plain; charset=utf-8";
    if (live_beats(room->live))
        buf_addz(&a->body, "ok\n");
    else
        answer_problem(a, 503, "Stuck", "the live state's thread has not come round for half a minute");
}

void api_readyz(struct room *room, const struct request *q, struct readers *readers, struct answer *a)
{
    char why[300];
    (void)q;
    (void)readers;
    if (!live_ready(room->live, why, sizeof(why))) {
        answer_problem(a, 503, "Not ready", "%s", why);
        a->retry_after_s = 1;
        return;
    }
    a->type = "text/plain; charset=utf-8";
    buf_addz(&a->body, "ok\n");
}

void api_metrics(struct room *room, const struct request *q, struct readers *readers, struct answer *a)
{
    (void)room;
    (void)readers;
    metric_set(METRIC_BUILD_INFO, "version=\"" WIKITALLY_VERSION "\"", 1);
    a->type = "text/plain; version=0.0.4; charset=utf-8";
    metrics_write(&a->body);
    answer_compress(a, q);
}
