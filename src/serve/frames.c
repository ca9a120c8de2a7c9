/* SPDX-License-Identifier: MIT
 *
 * frames.c - see frames.h. The publisher builds outside the lock and swaps pointers inside it, so readers never wait
 * for the making of a frame.
 */
#include "serve/frames.h"

#include "base/err.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

const char *const frame_section_names[SECTION_COUNT] = {"now", "seconds", "minutes", "pages", "ledger"};
const int frame_rates[FRAME_RATES] = {1, 2, 4};
static const char *const window_names[SLIDE_WINDOWS] = {"1m", "5m", "15m", "60m"};

struct channel {
    uint64_t sequence;
    struct frame *snapshot, *json;
    struct frame *deltas[FRAMES_KEPT]; /* the one that leads to n stands at n % FRAMES_KEPT */
    struct buf last[SECTION_COUNT];    /* publisher's */
    struct buf last_state;             /* publisher's */
};

struct frames {
    uint64_t boot;
    pthread_mutex_t lock;
    struct channel channels[FRAME_CHANNELS];
    struct frame *html[SLIDE_WINDOWS];
};

struct frame *frame_hold(struct frame *f)
{
    __atomic_add_fetch(&f->refs, 1, __ATOMIC_RELAXED);
    return f;
}

void frame_drop(struct frame *f)
{
    if (f && __atomic_sub_fetch(&f->refs, 1, __ATOMIC_ACQ_REL) == 0)
        free(f);
}

static struct frame *frame_of(const struct buf *b)
{
    struct frame *f = xmalloc(sizeof(*f) + b->len + 1);
    f->refs = 1;
    f->len = b->len;
    if (b->len)
        memcpy(f->bytes, b->ptr, b->len);
    f->bytes[b->len] = 0;
    return f;
}

struct frames *frames_new(uint64_t boot)
{
    struct frames *f = xcalloc(1, sizeof(*f));
    f->boot = boot;
    pthread_mutex_init(&f->lock, NULL);
    return f;
}

static void channel_fini(struct channel *c)
{
    frame_drop(c->snapshot);
    frame_drop(c->json);
    for (size_t i = 0; i < FRAMES_KEPT; i++)
        frame_drop(c->deltas[i]);
    for (size_t i = 0; i < SECTION_COUNT; i++)
        buf_fini(&c->last[i]);
    buf_fini(&c->last_state);
}

void frames_free(struct frames *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < FRAME_CHANNELS; i++)
        channel_fini(&f->channels[i]);
    for (size_t i = 0; i < SLIDE_WINDOWS; i++)
        frame_drop(f->html[i]);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

bool frames_window(struct str text, size_t *ret_window)
{
    for (size_t i = 0; i < SLIDE_WINDOWS; i++) {
        if (str_eqz(text, window_names[i])) {
            *ret_window = i;
            return true;
        }
    }
    return false;
}

const char *frames_window_name(size_t window)
{
    return window_names[window];
}

void frames_add_id(struct frames *f, struct buf *out, size_t channel, uint64_t sequence)
{
    buf_addf(out, "%016llx-%zu-%llu", (unsigned long long)f->boot, channel, (unsigned long long)sequence);
}

bool frames_parse_id(struct frames *f, const char *id, size_t channel, uint64_t *ret_sequence)
{
    AUTO(buf) struct buf prefix = {0};
    buf_addf(&prefix, "%016llx-%zu-", (unsigned long long)f->boot, channel);
    struct str text = str_of(id);
    int64_t n;
    if (!str_starts(text, buf_str(&prefix)) || !str_to_int64(str_n(text.ptr + prefix.len, text.len - prefix.len), &n) ||
        n < 1)
        return false;
    *ret_sequence = (uint64_t)n;
    return true;
}

static void add_sections(struct buf *out, const struct buf *sections, const struct buf *unless_equal)
{
    const char *separator = "{";
    for (size_t i = 0; i < SECTION_COUNT; i++) {
        if (unless_equal && str_eq(buf_str(&sections[i]), buf_str(&unless_equal[i])))
            continue;
        buf_addf(out, "%s\"%s\":", separator, frame_section_names[i]);
        buf_add(out, buf_str(&sections[i]));
        separator = ",";
    }
    buf_addz(out, *separator == '{' ? "{}" : "}");
}

static void add_head(struct frames *f, struct buf *out, size_t channel, uint64_t sequence)
{
    buf_addf(out, "{\"view\":\"now:%s\",\"hz\":%d,\"seq\":%llu,\"boot\":\"%016llx\",\"data\":",
             window_names[channel / FRAME_RATES], frame_rates[channel % FRAME_RATES], (unsigned long long)sequence,
             (unsigned long long)f->boot);
}

static void add_state_event(struct buf *out, struct str state)
{
    buf_addz(out, "event: state\ndata: ");
    buf_add(out, state);
    buf_addz(out, "\n\n");
}

static struct frame *make_snapshot(struct frames *f, size_t channel, uint64_t sequence, const struct buf *sections,
                                   struct str state)
{
    AUTO(buf) struct buf b = {0};
    buf_addz(&b, "id: ");
    frames_add_id(f, &b, channel, sequence);
    buf_addz(&b, "\nevent: snapshot\ndata: ");
    add_head(f, &b, channel, sequence);
    add_sections(&b, sections, NULL);
    buf_addz(&b, "}\n\n");
    add_state_event(&b, state);
    return frame_of(&b);
}

static struct frame *make_json(struct frames *f, size_t channel, uint64_t sequence, const struct buf *sections,
                               struct str state)
{
    AUTO(buf) struct buf b = {0};
    add_head(f, &b, channel, sequence);
    add_sections(&b, sections, NULL);
    buf_addz(&b, ",\"state\":");
    buf_add(&b, state);
    buf_addz(&b, "}\n");
    return frame_of(&b);
}

static struct frame *make_delta(struct frames *f, size_t channel, uint64_t sequence, const struct buf *sections,
                                struct str state)
{
    const struct channel *c = &f->channels[channel];
    AUTO(buf) struct buf b = {0};
    buf_addz(&b, "id: ");
    frames_add_id(f, &b, channel, sequence);
    buf_addf(&b, "\nevent: delta\ndata: {\"seq\":%llu,\"data\":", (unsigned long long)sequence);
    add_sections(&b, sections, c->last);
    buf_addz(&b, "}\n\n");
    if (!str_eq(state, buf_str(&c->last_state)))
        add_state_event(&b, state);
    return frame_of(&b);
}

static bool is_same(const struct channel *c, const struct buf *sections, struct str state)
{
    bool same = c->sequence > 0 && str_eq(state, buf_str(&c->last_state));
    for (size_t i = 0; same && i < SECTION_COUNT; i++)
        same = str_eq(buf_str(&sections[i]), buf_str(&c->last[i]));
    return same;
}

static void remember(struct channel *c, const struct buf *sections, struct str state)
{
    for (size_t i = 0; i < SECTION_COUNT; i++) {
        buf_clear(&c->last[i]);
        buf_add(&c->last[i], buf_str(&sections[i]));
    }
    buf_clear(&c->last_state);
    buf_add(&c->last_state, state);
}

bool frames_publish(struct frames *f, size_t channel, const struct buf *sections, struct str state)
{
    struct channel *c = &f->channels[channel];
    if (is_same(c, sections, state))
        return false;
    uint64_t sequence = c->sequence + 1;
    struct frame *delta = sequence > 1 ? make_delta(f, channel, sequence, sections, state) : NULL;
    struct frame *snapshot = make_snapshot(f, channel, sequence, sections, state);
    struct frame *json = make_json(f, channel, sequence, sections, state);
    remember(c, sections, state);
    pthread_mutex_lock(&f->lock);
    struct frame *old[3] = {c->deltas[sequence % FRAMES_KEPT], c->snapshot, c->json};
    c->deltas[sequence % FRAMES_KEPT] = delta;
    c->snapshot = snapshot;
    c->json = json;
    c->sequence = sequence;
    pthread_mutex_unlock(&f->lock);
    for (size_t i = 0; i < 3; i++)
        frame_drop(old[i]);
    return true;
}

uint64_t frames_sequence(struct frames *f, size_t channel)
{
    pthread_mutex_lock(&f->lock);
    uint64_t n = f->channels[channel].sequence;
    pthread_mutex_unlock(&f->lock);
    return n;
}

struct frame *frames_snapshot(struct frames *f, size_t channel, uint64_t *ret_sequence)
{
    pthread_mutex_lock(&f->lock);
    struct channel *c = &f->channels[channel];
    struct frame *frame = c->snapshot ? frame_hold(c->snapshot) : NULL;
    *ret_sequence = c->sequence;
    pthread_mutex_unlock(&f->lock);
    return frame;
}

struct frame *frames_delta(struct frames *f, size_t channel, uint64_t sequence)
{
    struct frame *frame = NULL;
    pthread_mutex_lock(&f->lock);
    struct channel *c = &f->channels[channel];
    if (sequence > 1 && sequence <= c->sequence && c->sequence - sequence < FRAMES_KEPT &&
        c->deltas[sequence % FRAMES_KEPT])
        frame = frame_hold(c->deltas[sequence % FRAMES_KEPT]);
    pthread_mutex_unlock(&f->lock);
    return frame;
}

struct frame *frames_json(struct frames *f, size_t channel)
{
    pthread_mutex_lock(&f->lock);
    struct frame *json = f->channels[channel].json;
    if (json)
        frame_hold(json);
    pthread_mutex_unlock(&f->lock);
    return json;
}

void frames_set_html(struct frames *f, size_t window, const struct buf *html)
{
    struct frame *frame = frame_of(html);
    pthread_mutex_lock(&f->lock);
    struct frame *old = f->html[window];
    f->html[window] = frame;
    pthread_mutex_unlock(&f->lock);
    frame_drop(old);
}

struct frame *frames_html(struct frames *f, size_t window)
{
    pthread_mutex_lock(&f->lock);
    struct frame *html = f->html[window] ? frame_hold(f->html[window]) : NULL;
    pthread_mutex_unlock(&f->lock);
    return html;
}
