/* SPDX-License-Identifier: MIT
 *
 * generator.c - the time line of made-up events (source.h: struct generator), after data-shape.md section 10.
 *
 * Requests happen as a Poisson process with a slow random factor; each makes one event and its fan-out of `categorize`
 * rows. Besides, one to three bot runs are going on. An event gets its meta.dt some time after its request; events wait
 * in a heap until no request can come before them, and leave it in the order of offsets, which is that of meta.dt
 * disturbed by up to 50 ms. All is a function of the seed. Bounded: the heap holds at most `PENDING_MAX` events, about
 * `rate` times the few seconds that they wait; beyond that they leave early.
 */
#include "base/err.h"
#include "source/generator_event.h"
#include "source/source.h"

#include <math.h>
#include <stdlib.h>

enum { PENDING_MAX = 1 << 22, RUNS = 3, COPIES = 64, SECONDS_1Y = 31557600 };
#define DEFAULT_RATE 45.0
#define DEFAULT_LATE 0.0005
#define DEFAULT_START_US ((int64_t)1780272000 * US_PER_SECOND) /* 2026-06-01T00:00:00Z */
#define CANARY_US (15 * US_PER_MINUTE)
/* Events per request, bot runs included: measured, so that `rate` is the mean rate of events. */
#define EVENTS_PER_REQUEST 1.95
#define RUN_SHARE 0.37 /* of all events */

struct bot_run {
    int64_t from_us, to_us, next_us; /* next_us: of its next request */
    double rate;                     /* events per second */
    uint16_t wiki;
    uint32_t user, title;
    bool categories; /* a run on categories: most of its events are categorize rows */
};

struct copy { /* a record that will be delivered again */
    char *text;
    size_t len;
    int64_t after; /* events from now */
};

struct generator {
    struct generator_options options;
    struct rng rng;
    struct gen_wiki wikis[GEN_WIKIS];
    struct gen_event *heap; /* a binary heap by (key_us, serial) */
    size_t count, cap;
    uint64_t serial;
    int64_t start_us, next_request_us, next_canary_us;
    double factor; /* of the rate, wanders slowly */
    int64_t factor_until_us;
    struct bot_run runs[RUNS];
    int64_t offsets[2];
    int64_t arrival_us;
    struct copy copies[COPIES];
    size_t copy_count;
    struct buf out, scratch;
};

/* ---------------------------------------------------------------- chance */

static double unit(struct generator *g)
{
    return rng_unit(&g->rng);
}

static bool chance(struct generator *g, double share)
{
    return share > 0 && unit(g) < share;
}

static double exponential(struct generator *g, double mean)
{
    return -log(1 - unit(g)) * mean;
}

static double lognormal(struct generator *g, double median, double sigma)
{
    double u = 1 - unit(g), v = unit(g);
    return median * exp(sigma * sqrt(-2 * log(u)) * cos(2 * M_PI * v));
}

/* A rank from 0 with frequency ~ rank^-s, by inverting the continuous distribution. */
static uint32_t zipf(struct generator *g, double s, double count)
{
    double u = unit(g), x;
    if (s == 1.0) {
        x = exp(u * log(count));
    } else {
        double top = pow(count, 1 - s);
        x = pow(1 + u * (top - 1), 1 / (1 - s));
    }
    return (uint32_t)x - (x >= 1);
}

static uint16_t choose_wiki(struct generator *g)
{
    double u = unit(g);
    size_t low = 0, high = GEN_WIKIS - 1;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (g->wikis[middle].weight > u) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return (uint16_t)low;
}

static int16_t choose_namespace(struct generator *g, const struct gen_wiki *w)
{
    static const struct {
        uint8_t upto;
        int16_t ns;
    } usual[] = {{170, 0}, {185, 14}, {200, 1},   {215, 4},   {225, 3},
                 {238, 2}, {246, 10}, {252, 104}, {254, 828}, {255, 100}};
    uint64_t bits = rng_next(&g->rng);
    if (w->wikidata) {
        return 0;
    }
    if (w->commons) {
        return (bits & 7) ? 6 : 14;
    }
    for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++) {
        if ((uint8_t)bits <= usual[i].upto) {
            return usual[i].ns;
        }
    }
    return 0;
}

/* How many categorize rows follow (data-shape.md section 8). */
static unsigned fan_out(struct generator *g, enum gen_kind kind)
{
    static const struct {
        double upto;
        uint8_t rows;
    } tables[3][8] = {
        {{0.740, 0}, {0.895, 1}, {0.963, 2}, {0.966, 3}, {0.995, 4}, {0.999, 6}, {1.0, 8}, {1.1, 8}},
        {{0.29, 0}, {0.58, 1}, {0.65, 2}, {0.666, 3}, {0.69, 4}, {0.706, 6}, {0.992, 9}, {1.1, 19}},
        {{0.43, 0}, {0.44, 4}, {0.45, 6}, {0.72, 8}, {1.1, 9}, {1.1, 9}, {1.1, 9}, {1.1, 9}},
    };
    double u = unit(g);
    for (size_t i = 0; i < 8; i++) {
        if (u < tables[kind][i].upto) {
            return tables[kind][i].rows;
        }
    }
    return 0;
}

/* ---------------------------------------------------------------- the heap */

static bool before(const struct gen_event *a, const struct gen_event *b)
{
    return a->key_us != b->key_us ? a->key_us < b->key_us : a->serial < b->serial;
}

static void push(struct generator *g, struct gen_event e)
{
    if (g->count == g->cap) {
        g->cap = g->cap ? g->cap * 2 : 256;
        g->heap = xrealloc(g->heap, g->cap * sizeof(*g->heap));
    }
    e.serial = g->serial++;
    size_t i = g->count++;
    while (i > 0 && before(&e, &g->heap[(i - 1) / 2])) {
        g->heap[i] = g->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    g->heap[i] = e;
}

static struct gen_event pop(struct generator *g)
{
    struct gen_event top = g->heap[0], last = g->heap[--g->count];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < g->count; i = child) {
        child += child + 1 < g->count && before(&g->heap[child + 1], &g->heap[child]);
        if (!before(&g->heap[child], &last)) {
            break;
        }
        g->heap[i] = g->heap[child];
    }
    g->heap[i] = last;
    return top;
}

/* ---------------------------------------------------------------- requests */

/* 0.05 % of log events carry the date of the original file, 1 to 20 years ago; besides, `late` of all changes come
 * minutes after their time, `future` before it. */
static int64_t disturb_time(struct generator *g, enum gen_kind kind, int64_t timestamp_s)
{
    if (g->options.late > 0 && kind == GEN_LOG && chance(g, 0.0005)) {
        return timestamp_s - SECONDS_1Y - (int64_t)(unit(g) * 19 * SECONDS_1Y);
    }
    if (chance(g, g->options.late)) {
        return timestamp_s - 130 - (int64_t)fmin(exponential(g, 900), 6 * 3600);
    }
    if (chance(g, g->options.future)) {
        return timestamp_s + 90 + (int64_t)(pow(unit(g), 4) * SECONDS_1Y);
    }
    return timestamp_s;
}

static uint8_t choose_rare(struct generator *g)
{
    return g->options.rare && chance(g, 1.0 / 200) ? (uint8_t)(1 + rng_below(&g->rng, RARE_COUNT - 1)) : RARE_NONE;
}

/* One event at dt; numbers are taken when the change is made, so that they come out of order as the real ones do. */
static void add_event(struct generator *g, struct gen_event e, int64_t dt_us)
{
    struct gen_wiki *w = &g->wikis[e.wiki];
    w->rcid += 1 + (rng_next(&g->rng) & 1);
    e.rcid = w->rcid;
    if (e.kind == GEN_EDIT || e.kind == GEN_NEW) {
        e.revision = ++w->revision;
    } else if (e.kind == GEN_LOG) {
        e.log_id = ++w->log_id;
    } else {
        e.revision = w->revision;
    }
    e.dt_ms = dt_us / US_PER_MS;
    e.timestamp_s = disturb_time(g, (enum gen_kind)e.kind, e.timestamp_s);
    e.rare = choose_rare(g);
    if (e.rare == RARE_NEGATIVE_NAMESPACE) {
        e.namespace_id = -1;
    }
    e.key_us = e.dt_ms * US_PER_MS + (chance(g, 0.5) ? (int64_t)(unit(g) * 46000) : 0);
    push(g, e);
}

static int64_t delay_us(struct generator *g, double median)
{
    double s = lognormal(g, median, 0.45);
    s = chance(g, 0.02) ? s * (1 + exponential(g, 3)) : s; /* a tail up to half a minute */
    return (int64_t)(fmin(fmax(s, 0.05), 30) * 1e6);
}

static void add_categories(struct generator *g, struct gen_event e, unsigned rows, int64_t dt_us)
{
    e.page = e.title;
    e.page_namespace = e.namespace_id;
    e.kind = GEN_CATEGORIZE;
    e.namespace_id = 14;
    for (unsigned i = 0; i < rows; i++) {
        e.title = zipf(g, 1.0, 30000);
        dt_us += (int64_t)(unit(g) * 4000);
        add_event(g, e, dt_us);
    }
}

static uint8_t choose_style(struct generator *g, enum gen_kind kind)
{
    uint64_t bits = rng_next(&g->rng);
    if (kind == GEN_LOG) {
        return (uint8_t)bits;
    }
    if (kind == GEN_EDIT && bits % 16 == 0) {
        return 0; /* empty comment */
    }
    if (bits % 2000 == 1) {
        return 1; /* line feeds */
    }
    return bits % 500 == 2 ? 2 /* 500 characters */ : (uint8_t)(3 + (bits >> 60));
}

static struct gen_event request_head(struct generator *g, uint16_t wiki, int64_t at_us)
{
    struct gen_event e = {.wiki = wiki,
                          .timestamp_s = floor_div(at_us, US_PER_SECOND),
                          .request_hi = rng_next(&g->rng),
                          .request_lo = rng_next(&g->rng)};
    return e;
}

static void make_request(struct generator *g, int64_t at_us)
{
    uint16_t wiki = choose_wiki(g);
    const struct gen_wiki *w = &g->wikis[wiki];
    struct gen_event e = request_head(g, wiki, at_us);
    uint64_t percent = rng_below(&g->rng, 100);
    unsigned kind = 0;
    for (uint64_t sum = w->mix[0]; kind + 1 < GEN_KINDS && percent >= sum; sum += w->mix[kind]) {
        kind++;
    }
    e.kind = (uint8_t)kind;
    e.user = zipf(g, 1.2, 20000);
    e.bot = e.user == 0 || e.user == 2 || e.user == 5 || e.user == 11;
    e.temporary = !e.bot && kind <= GEN_NEW && chance(g, 0.057);
    e.namespace_id = choose_namespace(g, w);
    e.title = zipf(g, 0.4, w->titles);
    e.style = choose_style(g, (enum gen_kind)kind);
    int64_t dt_us = at_us + delay_us(g, 1.1);
    if (kind == GEN_CATEGORIZE) {
        add_categories(g, e, 1 + (unsigned)rng_below(&g->rng, 2), dt_us + delay_us(g, 0.8));
        return;
    }
    add_event(g, e, dt_us);
    unsigned rows = w->wikidata ? 0 : fan_out(g, (enum gen_kind)kind);
    if (rows > 0) {
        add_categories(g, e, rows, dt_us + (int64_t)(fmin(fmax(lognormal(g, 0.78, 0.3), 0.40), 5.6) * 1e6));
    }
}

/* ---------------------------------------------------------------- bot runs */

static void start_run(struct generator *g, struct bot_run *r, int64_t from_us)
{
    r->from_us = from_us + (int64_t)(exponential(g, 300) * 1e6);
    r->to_us = r->from_us + (int64_t)((30 + unit(g) * 570) * 1e6);
    r->next_us = r->from_us;
    r->rate = 5 * pow(4, unit(g)) * g->options.rate / DEFAULT_RATE;
    r->wiki = unit(g) < 0.5 ? (uint16_t)rng_below(&g->rng, 2) : (uint16_t)(3 + rng_below(&g->rng, 20));
    r->user = (uint32_t[]){0, 2, 5, 11}[rng_below(&g->rng, 4)];
    r->title = (uint32_t)rng_below(&g->rng, g->wikis[r->wiki].titles);
    r->categories = r->wiki != 1 && chance(g, 0.4);
}

static void make_run_request(struct generator *g, struct bot_run *r)
{
    const struct gen_wiki *w = &g->wikis[r->wiki];
    struct gen_event e = request_head(g, r->wiki, r->next_us);
    e.kind = r->categories ? GEN_NEW : GEN_EDIT;
    e.user = r->user;
    e.bot = true;
    e.namespace_id = w->commons ? 6 : 0;
    e.title = r->title++ % w->titles;
    e.style = 7;
    int64_t dt_us = r->next_us + delay_us(g, 1.1);
    unsigned rows = r->categories ? 4 : 0;
    add_event(g, e, dt_us);
    if (rows > 0) {
        add_categories(g, e, rows, dt_us + (int64_t)(fmax(lognormal(g, 0.78, 0.3), 0.4) * 1e6));
    }
    r->next_us += (int64_t)(exponential(g, (1 + rows) / r->rate) * 1e6) + 1;
    if (r->next_us >= r->to_us) {
        start_run(g, r, r->to_us);
    }
}

/* ---------------------------------------------------------------- the time line */

static void wander(struct generator *g)
{
    if (g->next_request_us >= g->factor_until_us) {
        g->factor = exp(0.9 * log(g->factor) + 0.05 * (unit(g) + unit(g) - 1) - 0.0002);
        g->factor_until_us = g->next_request_us + US_PER_SECOND;
    }
}

static void schedule_request(struct generator *g)
{
    wander(g);
    double mean_s = EVENTS_PER_REQUEST / (g->options.rate * (1 - RUN_SHARE) * g->factor);
    g->next_request_us += (int64_t)(exponential(g, mean_s) * 1e6 + 0.5);
}

static struct bot_run *next_run(struct generator *g)
{
    struct bot_run *next = &g->runs[0];
    for (size_t i = 1; i < RUNS; i++) {
        next = g->runs[i].next_us < next->next_us ? &g->runs[i] : next;
    }
    return next;
}

static void add_canaries(struct generator *g)
{
    for (uint8_t topic = 0; topic < 2; topic++) {
        int64_t dt_us = g->next_canary_us + (int64_t)(unit(g) * 3e6);
        push(g, (struct gen_event){.key_us = dt_us,
                                   .dt_ms = dt_us / US_PER_MS,
                                   .kind = GEN_CANARY,
                                   .topic = topic,
                                   .style = (uint8_t)rng_below(&g->rng, 2)});
    }
    g->next_canary_us += CANARY_US;
}

/* Makes requests until none of them can come before the first event that waits. */
static void fill(struct generator *g)
{
    for (;;) {
        struct bot_run *run = next_run(g);
        int64_t next_us = run->next_us < g->next_request_us ? run->next_us : g->next_request_us;
        bool canary = g->options.canaries && g->next_canary_us <= next_us;
        next_us = canary ? g->next_canary_us : next_us;
        if (g->count > 0 && (g->heap[0].key_us <= next_us || g->count >= PENDING_MAX)) {
            return;
        }
        if (canary) {
            add_canaries(g);
        } else if (next_us == g->next_request_us) {
            make_request(g, g->next_request_us);
            schedule_request(g);
        } else {
            make_run_request(g, run);
        }
    }
}

struct generator *generator_new(const struct generator_options *options)
{
    struct generator *g = xcalloc(1, sizeof(*g));
    g->options = *options;
    g->options.rate = options->rate > 0 ? options->rate : DEFAULT_RATE;
    g->options.late = options->late >= 0 ? options->late : DEFAULT_LATE;
    g->start_us = options->start_us == TIME_NONE ? DEFAULT_START_US : options->start_us;
    rng_init(&g->rng, options->seed);
    gen_wikis_init(g->wikis);
    g->factor = 1;
    g->next_request_us = g->factor_until_us = g->arrival_us = g->start_us;
    g->next_canary_us = (floor_div(g->start_us, CANARY_US) + 1) * CANARY_US;
    g->offsets[0] = 6101423904;
    g->offsets[1] = 2014000017;
    for (size_t i = 0; i < RUNS; i++) {
        start_run(g, &g->runs[i], g->start_us);
        if (chance(g, 0.5)) { /* under way already, as at any other moment */
            g->runs[i].to_us = g->start_us + (int64_t)(unit(g) * (double)(g->runs[i].to_us - g->runs[i].from_us));
            g->runs[i].next_us = g->start_us;
        }
    }
    return g;
}

void generator_free(struct generator *g)
{
    if (!g) {
        return;
    }
    for (size_t i = 0; i < g->copy_count; i++) {
        free(g->copies[i].text);
    }
    free(g->heap);
    buf_fini(&g->out);
    buf_fini(&g->scratch);
    free(g);
}

/* ---------------------------------------------------------------- records */

/* Arrival: 20 to 300 ms after the event is there, in clumps (61 % within 0.1 ms of the one before). Whole milliseconds,
 * never falling. */
static int64_t arrive(struct generator *g, int64_t key_us)
{
    const int64_t clump = 130 * US_PER_MS;
    int64_t at = (floor_div(key_us + 20 * US_PER_MS, clump) + 1) * clump;
    g->arrival_us = at > g->arrival_us ? at : g->arrival_us;
    return g->arrival_us;
}

/* A duplicate: the same bytes again, after up to 40 others. When all places are taken there is none. */
static void remember_copy(struct generator *g)
{
    if (g->copy_count < COPIES) {
        g->copies[g->copy_count++] = (struct copy){
            .text = str_dup(buf_str(&g->out)), .len = g->out.len, .after = 1 + (int64_t)rng_below(&g->rng, 40)};
    }
}

static bool deliver_copy(struct generator *g)
{
    size_t due = COPIES;
    for (size_t i = 0; i < g->copy_count; i++) {
        due = --g->copies[i].after <= 0 ? i : due;
    }
    if (due == COPIES) {
        return false;
    }
    buf_clear(&g->out);
    buf_add(&g->out, str_n(g->copies[due].text, g->copies[due].len));
    free(g->copies[due].text);
    g->copies[due] = g->copies[--g->copy_count];
    return true;
}

static void write_event(struct generator *g, struct gen_event *e)
{
    bool switched = g->options.switch_after_us > 0 && e->key_us >= g->start_us + g->options.switch_after_us;
    e->topic = e->kind == GEN_CANARY ? e->topic : switched;
    struct gen_place place = {.topic = gen_topics[e->topic], .offset = g->offsets[e->topic]++};
    buf_clear(&g->out);
    if (e->kind == GEN_CANARY) {
        gen_write_canary(&g->out, &g->rng, e, &place);
    } else {
        gen_write(&g->out, &g->scratch, &g->rng, g->wikis, e, &place);
    }
}

struct str generator_next(struct generator *g, int64_t *ret_arrival_us)
{
    const struct generator_options *o = &g->options;
    fill(g);
    int64_t now_us = g->heap[0].key_us;
    *ret_arrival_us = arrive(g, now_us);
    if (g->copy_count > 0 && deliver_copy(g)) {
        return buf_str(&g->out);
    }
    if (chance(g, o->poison) || (o->rare && chance(g, 1.0 / 2000))) {
        buf_clear(&g->out);
        gen_write_poison(&g->out, &g->rng, now_us / US_PER_MS);
        return buf_str(&g->out);
    }
    struct gen_event e = pop(g);
    write_event(g, &e);
    if (chance(g, o->duplicates) || (o->rare && chance(g, 1.0 / 1000))) {
        remember_copy(g);
    }
    return buf_str(&g->out);
}
