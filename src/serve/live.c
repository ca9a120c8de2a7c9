/* SPDX-License-Identifier: MIT
 *
 * live.c - see live.h. The thread owns the slide, the chip and its journal reader; what others ask for (chip, ledger,
 * readiness) is copied under one lock.
 */
#include "serve/live.h"

#include "base/condition.h"
#include "base/diag.h"
#include "change/change.h"

#include <stdio.h>
#include <stdlib.h>

#define TICK_US (US_PER_SECOND / 4)
#define BEAT_US (30 * US_PER_SECOND)
#define LEDGER_EVERY_US (2 * US_PER_SECOND)
enum { PAGE_RECORDS = 2000, REBUILD_STEP = 10000, LEDGER_COST_FACTOR = 20 };

struct live {
    struct live_options options;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t stopped;
    /* under lock */
    bool stop, ready;
    char problem[256];
    int64_t beat_us;
    struct ledger_line ledger;
    bool ledger_busy;
    int64_t ledger_next_us;
    struct buf chip_json;
    /* the thread's own */
    struct readers readers;
    struct slide *slide;
    struct chip chip;
    struct field_set *fields;
    struct value *values;
    int new_field, old_field;
    char topic[256]; /* of the latest change that had one (R5) */
    struct buf scratch[4];
    struct arena arena;
    uint32_t partitions;
    int64_t offsets[PARTITION_MAX]; /* next to read */
    bool rebuilt;
    uint64_t ticks;
    int64_t next_tick_us;
    struct buf sections[SECTION_COUNT];
    struct buf state, html;
};

/* ---- one record */

static struct str text_of(struct live *l, int field, size_t scratch)
{
    buf_clear(&l->scratch[scratch]);
    return value_string(&l->values[field], &l->scratch[scratch]);
}

static int64_t number_of(const struct live *l, int field)
{
    return l->values[field].kind == VALUE_INT && l->values[field].number > 0 ? l->values[field].number : 0;
}

static void add_change(struct live *l, int64_t second)
{
    struct str type = text_of(l, FIELD_TYPE, 0);
    bool edit = str_eq(type, STR("edit")) || str_eq(type, STR("new"));
    struct slide_event e = {
        .second = second,
        .bot = l->values[FIELD_BOT].kind == VALUE_TRUE,
        .edit = edit,
        .wiki = text_of(l, FIELD_WIKI, 0),
        .server_name = text_of(l, FIELD_SERVER_NAME, 1),
        .user = text_of(l, FIELD_USER, 2),
        .title = text_of(l, FIELD_TITLE, 3),
        .revision_new = number_of(l, l->new_field),
        .revision_old = number_of(l, l->old_field),
    };
    slide_add(l->slide, &e);
}

/* R5: canaries of another topic than the changes' move nothing; remembers the topic of a change. */
static bool moves_time(struct live *l, enum change_kind kind)
{
    struct str topic = text_of(l, FIELD_META_TOPIC, 0);
    if (kind == CHANGE_EDIT_LIKE) {
        if (topic.len && topic.len < sizeof(l->topic))
            snprintf(l->topic, sizeof(l->topic), "%.*s", STR_ARG(topic));
        return true;
    }
    int64_t edge;
    return slide_edge(l->slide, &edge) && (kind == CHANGE_TICK || !topic.len || str_eqz(topic, l->topic));
}

static void apply(struct live *l, const struct record *r)
{
    size_t at;
    int64_t time_us, dt_us;
    if (change_scan(l->fields, r->value, l->values, &at) != DEAD_NONE)
        return;
    enum change_kind kind = change_kind(l->values);
    if (change_times(l->values, kind, &time_us, &dt_us) != DEAD_NONE || time_us == TIME_NONE ||
        change_is_future(kind, time_us, dt_us, r->arrival_us, LIVE_SKEW_US))
        return;
    int64_t edge_us = r->arrival_us != TIME_NONE && r->arrival_us < time_us ? r->arrival_us : time_us;
    if (moves_time(l, kind))
        slide_advance(l->slide, floor_div(edge_us, US_PER_SECOND), kind == CHANGE_TICK);
    if (kind == CHANGE_EDIT_LIKE)
        add_change(l, floor_div(time_us, US_PER_SECOND));
    else
        slide_heard(l->slide, floor_div(time_us, US_PER_SECOND));
}

/* ---- reading */

static bool is_stopped(struct live *l)
{
    pthread_mutex_lock(&l->lock);
    bool stop = l->stop;
    pthread_mutex_unlock(&l->lock);
    return stop;
}

static void say_problem(struct live *l, const struct err *err)
{
    pthread_mutex_lock(&l->lock);
    snprintf(l->problem, sizeof(l->problem), "%.255s", err ? err->text : "");
    pthread_mutex_unlock(&l->lock);
}

/* Reads [from, to) of a partition into the slide. *ret_next: where it stopped; < to when time is over. */
static enum err_class read_span(struct live *l, uint32_t partition, int64_t from, int64_t to, int64_t until_us,
                                int64_t *ret_next, struct err *err)
{
    struct journal_reader *reader;
    enum err_class c = readers_journal(&l->readers, &reader, err);
    while (c == ERR_NONE && from < to && clock_mono(l->options.clock) < until_us) {
        struct journal_page page;
        size_t want = (size_t)(to - from < PAGE_RECORDS ? to - from : PAGE_RECORDS);
        arena_reset(&l->arena);
        c = journal_reader_read(reader, partition, from, want, &l->arena, &page, err);
        if (c || page.count == 0)
            break;
        for (size_t i = 0; i < page.count && page.records[i].offset < to; i++) {
            apply(l, &page.records[i]);
            from = page.records[i].offset + 1;
        }
        if (page.records[0].offset >= to)
            from = to;
    }
    *ret_next = from;
    return c;
}

/* The newest part first, then what was before it, until a part brings nothing of the last hour. */
static enum err_class rebuild_partition(struct live *l, uint32_t partition, int64_t until_us, struct err *err)
{
    struct journal_reader *reader;
    int64_t head, end, next;
    enum err_class c = readers_journal(&l->readers, &reader, err);
    if (c || (c = journal_reader_bounds(reader, partition, &head, &end, err)))
        return c;
    l->offsets[partition] = end;
    char newest_topic[sizeof(l->topic)] = "";
    for (int64_t to = end; c == ERR_NONE && to > head && clock_mono(l->options.clock) < until_us; to -= REBUILD_STEP) {
        int64_t from = to - REBUILD_STEP > head ? to - REBUILD_STEP : head, edge = 0;
        int64_t first = slide_first(l->slide);
        c = read_span(l, partition, from, to, INT64_MAX, &next, err);
        if (to == end)
            memcpy(newest_topic, l->topic, sizeof(l->topic));
        bool started = slide_edge(l->slide, &edge);
        if (to != end && started && slide_first(l->slide) >= first)
            break;
    }
    memcpy(l->topic, newest_topic, sizeof(l->topic));
    return c;
}

static enum err_class rebuild(struct live *l, struct err *err)
{
    struct journal_reader *reader;
    struct journal_info info;
    enum err_class c = readers_journal(&l->readers, &reader, err);
    if (c || (c = journal_reader_info(reader, &info, err)))
        return c;
    int64_t begin_us = clock_mono(l->options.clock);
    slide_reset(l->slide);
    l->partitions = info.partitions < PARTITION_MAX ? info.partitions : PARTITION_MAX;
    for (uint32_t p = 0; c == ERR_NONE && p < l->partitions; p++)
        c = rebuild_partition(l, p, begin_us + LIVE_REBUILD_US * (p + 1) / l->partitions, err);
    l->rebuilt = c == ERR_NONE;
    return c;
}

/* -> true if there was something. */
static bool read_new(struct live *l, int64_t until_us)
{
    struct err err = {0};
    bool any = false;
    enum err_class c = l->rebuilt ? ERR_NONE : rebuild(l, &err);
    for (uint32_t p = 0; c == ERR_NONE && p < l->partitions; p++) {
        int64_t next = l->offsets[p];
        c = read_span(l, p, l->offsets[p], INT64_MAX, until_us, &next, &err);
        any = any || next > l->offsets[p];
        l->offsets[p] = next;
    }
    say_problem(l, c ? &err : NULL);
    if (c) {
        if (err.cls == ERR_FATAL && err.code != EXIT_NOINPUT)
            diag_error("serve", "live state: %s", err.text);
        readers_drop(&l->readers);
    }
    return any;
}

/* ---- the ledger, read on the pool */

static void run_ledger(void *ctx, struct readers *readers)
{
    struct live *l = ctx;
    int64_t begin_us = clock_mono(l->options.clock);
    struct ledger_line line;
    ledger_read(readers, &line);
    int64_t now_us = clock_mono(l->options.clock), pause_us = (now_us - begin_us) * LEDGER_COST_FACTOR;
    pthread_mutex_lock(&l->lock);
    /* A reading that met commits all the time says nothing new. */
    if ((line.source_known && line.task_known) || !(l->ledger.source_known && l->ledger.task_known))
        l->ledger = line;
    l->ledger_busy = false;
    l->ledger_next_us = now_us + (pause_us > LEDGER_EVERY_US ? pause_us : LEDGER_EVERY_US);
    pthread_mutex_unlock(&l->lock);
    if (line.source_known && line.task_known)
        metric_set(METRIC_LEDGER_IMBALANCE, NULL, (double)line.unaccounted);
}

static void ask_ledger(struct live *l)
{
    pthread_mutex_lock(&l->lock);
    bool due = !l->ledger_busy && clock_mono(l->options.clock) >= l->ledger_next_us;
    l->ledger_busy = l->ledger_busy || due;
    pthread_mutex_unlock(&l->lock);
    if (due && !pool_submit(l->options.pool, run_ledger, l)) {
        pthread_mutex_lock(&l->lock);
        l->ledger_busy = false;
        pthread_mutex_unlock(&l->lock);
    }
}

void live_ledger(struct live *l, struct ledger_line *ret_line)
{
    pthread_mutex_lock(&l->lock);
    *ret_line = l->ledger;
    pthread_mutex_unlock(&l->lock);
}

/* ---- frames */

static void chip_look(struct live *l, struct chip_input *in)
{
    int64_t edge;
    status_read(&in->status);
    in->wall_us = clock_wall(l->options.clock);
    in->mono_us = clock_mono(l->options.clock);
    in->delay_us = l->options.delay_us;
    in->edge_us = slide_edge(l->slide, &edge) ? edge * US_PER_SECOND : TIME_NONE;
}

static void every_second(struct live *l, const struct chip_input *in)
{
    chip_sample(&l->chip, in);
    int64_t lag_us = chip_lag(in);
    if (lag_us != TIME_NONE && in->status.kind == SOURCE_KIND_LIVE)
        metric_set(METRIC_WATERMARK_LAG, NULL, (double)lag_us / (double)US_PER_SECOND);
    ask_ledger(l);
    if (l->options.every_second)
        l->options.every_second(l->options.ctx);
}

static bool is_rate_due(uint64_t tick, size_t rate)
{
    return tick % (uint64_t)(4 / frame_rates[rate]) == 0;
}

static void make_html(struct live *l, size_t window, const struct ledger_line *ledger, const struct chip_input *in)
{
    buf_clear(&l->html);
    plain_render(l->slide, window, ledger, &l->chip, in, &l->html);
    frames_set_html(l->options.frames, window, &l->html);
}

static void make_frames(struct live *l, size_t window, const struct chip_input *in)
{
    struct ledger_line ledger;
    bool built = false;
    for (size_t rate = 0; rate < FRAME_RATES; rate++) {
        size_t channel = frames_channel(window, rate);
        if (!is_rate_due(l->ticks, rate) || (rate > 0 && !stream_has_clients(l->options.hub, channel)))
            continue;
        if (!built) {
            live_ledger(l, &ledger);
            now_sections(l->slide, window, &ledger, l->sections);
            built = true;
        }
        frames_publish(l->options.frames, channel, l->sections, buf_str(&l->state));
        if (rate == 0)
            make_html(l, window, &ledger, in);
    }
}

static void tick(struct live *l)
{
    struct chip_input in;
    chip_look(l, &in);
    if (l->ticks % 4 == 0)
        every_second(l, &in);
    buf_clear(&l->state);
    chip_write(&l->chip, &in, &l->state);
    for (size_t w = 0; w < SLIDE_WINDOWS; w++)
        make_frames(l, w, &in);
    stream_wake(l->options.hub);
    pthread_mutex_lock(&l->lock);
    l->ready = l->rebuilt;
    l->beat_us = in.mono_us;
    buf_clear(&l->chip_json);
    buf_add(&l->chip_json, buf_str(&l->state));
    pthread_mutex_unlock(&l->lock);
    l->ticks++;
}

static void pause_until(struct live *l, int64_t until_us)
{
    int64_t left_us = until_us - clock_mono(l->options.clock);
    if (left_us <= 0)
        return;
    int64_t real_us = clock_mono(&clock_real) + left_us;
    pthread_mutex_lock(&l->lock);
    while (!l->stop && condition_wait(&l->stopped, &l->lock, real_us)) {
    }
    pthread_mutex_unlock(&l->lock);
}

static void *live_thread(void *arg)
{
    struct live *l = arg;
    pthread_setname_np(pthread_self(), "live");
    l->next_tick_us = clock_mono(l->options.clock);
    while (!is_stopped(l)) {
        bool any = read_new(l, l->next_tick_us > 0 ? l->next_tick_us : 0);
        int64_t now_us = clock_mono(l->options.clock);
        if (now_us >= l->next_tick_us) {
            tick(l);
            l->next_tick_us += TICK_US;
            if (l->next_tick_us < now_us)
                l->next_tick_us = now_us + TICK_US;
        } else if (!any) {
            pause_until(l, l->next_tick_us);
        }
    }
    readers_drop(&l->readers);
    return NULL;
}

/* ---- from outside */

bool live_ready(struct live *l, char *why, size_t size)
{
    pthread_mutex_lock(&l->lock);
    bool ready = l->ready && !l->problem[0];
    snprintf(why, size, "%s", ready ? "" : l->problem[0] ? l->problem : "the live state is being rebuilt");
    pthread_mutex_unlock(&l->lock);
    return ready;
}

bool live_beats(struct live *l)
{
    pthread_mutex_lock(&l->lock);
    bool beats = clock_mono(l->options.clock) - l->beat_us < BEAT_US;
    pthread_mutex_unlock(&l->lock);
    return beats;
}

void live_chip(struct live *l, struct buf *json)
{
    pthread_mutex_lock(&l->lock);
    buf_add(json, buf_str(&l->chip_json));
    pthread_mutex_unlock(&l->lock);
}

static enum err_class add_fields(struct live *l, struct err *err)
{
    l->fields = field_set_new();
    l->new_field = field_set_add(l->fields, STR("revision.new"), err);
    l->old_field = field_set_add(l->fields, STR("revision.old"), err);
    l->values = xcalloc(field_set_count(l->fields), sizeof(*l->values));
    return l->new_field < 0 || l->old_field < 0 ? ERR_FATAL : ERR_NONE;
}

enum err_class live_start(const struct live_options *options, struct live **ret_live, struct err *err)
{
    struct live *l = xcalloc(1, sizeof(*l));
    l->options = *options;
    l->readers = (struct readers){.directory = options->directory, .journal = options->journal};
    l->slide = slide_new();
    l->beat_us = clock_mono(options->clock);
    buf_addz(&l->chip_json, "null");
    pthread_mutex_init(&l->lock, NULL);
    condition_init(&l->stopped);
    enum err_class c = add_fields(l, err);
    if (c == ERR_NONE && pthread_create(&l->thread, NULL, live_thread, l))
        c = err_set(err, ERR_FATAL, EXIT_OSERR, "cannot start the thread of the live state");
    if (c) {
        live_free(l);
        return c;
    }
    *ret_live = l;
    return ERR_NONE;
}

void live_end(struct live *l)
{
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_cond_signal(&l->stopped);
    pthread_mutex_unlock(&l->lock);
    pthread_join(l->thread, NULL);
}

void live_free(struct live *l)
{
    if (!l)
        return;
    slide_free(l->slide);
    field_set_free(l->fields);
    free(l->values);
    arena_fini(&l->arena);
    for (size_t i = 0; i < sizeof(l->scratch) / sizeof(*l->scratch); i++)
        buf_fini(&l->scratch[i]);
    for (size_t i = 0; i < SECTION_COUNT; i++)
        buf_fini(&l->sections[i]);
    buf_fini(&l->state);
    buf_fini(&l->html);
    buf_fini(&l->chip_json);
    pthread_cond_destroy(&l->stopped);
    pthread_mutex_destroy(&l->lock);
    free(l);
}
