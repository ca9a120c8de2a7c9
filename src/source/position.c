/* SPDX-License-Identifier: MIT
 *
 * position.c - the note "position" as JSON text (times in microseconds, null = none):
 *
 *   {"version":1,"first":t,"caught_up":t,"arrival":t,"stream":t,"clock":t,"floor":t,"active":"topic","change_seen":1,
 *    "topics":[{"topic":"...","high":t,"last":"id","breaks":0,"numbering":0,"newest":[interval]|null,
 *               "pairs":[[offset,"id"], ...]}, ...],
 *    "tails":[["topic",partition,low,high], ...],
 *    "gaps":[["topic",from,to], ...]}
 *
 * An interval is as in audit_note.c. Unknown keys are passed over.
 */
#include "source/position.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/record.h"

void position_init(struct position *p)
{
    *p = (struct position){.first_us = TIME_NONE,
                           .caught_up_us = TIME_NONE,
                           .arrival_us = TIME_NONE,
                           .stream_us = TIME_NONE,
                           .clock_us = TIME_NONE,
                           .floor_us = TIME_NONE};
}

void position_fini(struct position *p)
{
    for (size_t i = 0; i < p->topic_count; i++) {
        numbering_fini(&p->topics[i].numbering);
    }
    free(p->gaps);
    free(p->tails);
    position_init(p);
}

static void text_set(char out[TOPIC_NAME_MAX], const char *text)
{
    size_t len = strnlen(text, TOPIC_NAME_MAX - 1);
    memcpy(out, text, len);
    out[len] = 0;
}

size_t position_topic(struct position *p, const char *name)
{
    for (size_t i = 0; i < p->topic_count; i++) {
        if (strcmp(p->topics[i].name, name) == 0) {
            return i;
        }
    }
    if (p->topic_count == POSITION_TOPICS || strlen(name) >= TOPIC_NAME_MAX) {
        return SIZE_MAX;
    }
    struct topic_position *t = &p->topics[p->topic_count];
    *t = (struct topic_position){.high_us = TIME_NONE};
    text_set(t->name, name);
    return p->topic_count++;
}

void position_add_gap(struct position *p, const char *topic, int64_t from_us, int64_t to_us)
{
    if (p->gap_count == GAPS_MAX) {
        memmove(p->gaps, p->gaps + 1, (GAPS_MAX - 1) * sizeof *p->gaps);
        p->gap_count--;
    }
    if (p->gap_count == p->gap_cap) {
        p->gap_cap = p->gap_cap ? p->gap_cap * 2 : 8;
        p->gaps = xrealloc(p->gaps, p->gap_cap * sizeof *p->gaps);
    }
    struct gap *g = &p->gaps[p->gap_count++];
    text_set(g->topic, topic);
    g->from_us = from_us;
    g->to_us = to_us;
}

void position_add_tail(struct position *p, const struct tail *t)
{
    if (p->tail_count == p->tail_cap) {
        p->tail_cap = p->tail_cap ? p->tail_cap * 2 : 8;
        p->tails = xrealloc(p->tails, p->tail_cap * sizeof *p->tails);
    }
    p->tails[p->tail_count++] = *t;
}

void position_merge_tails(struct position *p)
{
    if (p->tail_count <= TAILS_MAX) {
        return;
    }
    struct tail all[PARTITION_MAX] = {{{0}, 0, 0, 0}};
    bool there[PARTITION_MAX] = {false};
    for (size_t i = 0; i < p->tail_count; i++) {
        const struct tail *t = &p->tails[i];
        struct tail *sum = &all[t->partition % PARTITION_MAX];
        sum->low = there[t->partition % PARTITION_MAX] && sum->low < t->low ? sum->low : t->low;
        sum->high = there[t->partition % PARTITION_MAX] && sum->high > t->high ? sum->high : t->high;
        there[t->partition % PARTITION_MAX] = true;
    }
    p->tail_count = 0;
    for (uint32_t i = 0; i < PARTITION_MAX; i++) {
        if (there[i]) {
            text_set(all[i].topic, "*");
            all[i].partition = i;
            position_add_tail(p, &all[i]);
        }
    }
}

/* ---- writing */

static void add_member(struct buf *out, const char *key, int64_t us)
{
    buf_addf(out, ",\"%s\":", key);
    json_add_time(out, us);
}

static void topic_write(const struct topic_position *t, struct buf *out)
{
    const struct intervals *received = &t->numbering.received;
    buf_addz(out, "{\"topic\":");
    buf_add_json(out, str_of(t->name));
    add_member(out, "high", t->high_us);
    buf_addz(out, ",\"last\":");
    buf_add_json(out, str_of(t->last.text));
    add_member(out, "breaks", t->breaks);
    add_member(out, "numbering", t->numbering.number);
    buf_addz(out, ",\"newest\":[");
    if (received->count) {
        interval_write(&received->items[received->count - 1], out);
    }
    buf_addz(out, "],\"pairs\":[");
    for (size_t i = 0; i < t->numbering.pair_count; i++) {
        buf_addf(out, "%s[%lld,", i ? "," : "", (long long)t->numbering.pairs[i].offset);
        buf_add_json(out, str_of(t->numbering.pairs[i].name.text));
        buf_addc(out, ']');
    }
    buf_addz(out, "]}");
}

void position_write(const struct position *p, struct buf *out)
{
    buf_addz(out, "{\"version\":1");
    add_member(out, "first", p->first_us);
    add_member(out, "caught_up", p->caught_up_us);
    add_member(out, "arrival", p->arrival_us);
    add_member(out, "stream", p->stream_us);
    add_member(out, "clock", p->clock_us);
    add_member(out, "floor", p->floor_us);
    buf_addz(out, ",\"active\":");
    buf_add_json(out, str_of(p->active));
    add_member(out, "change_seen", p->change_seen);
    buf_addz(out, ",\n\"topics\":[");
    for (size_t i = 0; i < p->topic_count; i++) {
        buf_addz(out, i ? ",\n" : "\n");
        topic_write(&p->topics[i], out);
    }
    buf_addz(out, "],\n\"tails\":[");
    for (size_t i = 0; i < p->tail_count; i++) {
        buf_addz(out, i ? ",[" : "[");
        buf_add_json(out, str_of(p->tails[i].topic));
        buf_addf(out, ",%u,%lld,%lld]", (unsigned)p->tails[i].partition, (long long)p->tails[i].low,
                 (long long)p->tails[i].high);
    }
    buf_addz(out, "],\n\"gaps\":[");
    for (size_t i = 0; i < p->gap_count; i++) {
        buf_addz(out, i ? ",[" : "[");
        buf_add_json(out, str_of(p->gaps[i].topic));
        buf_addf(out, ",%lld,%lld]", (long long)p->gaps[i].from_us, (long long)p->gaps[i].to_us);
    }
    buf_addz(out, "]}");
}

/* ---- reading */

static void pairs_read(struct json *j, struct numbering *n)
{
    json_open(j, '[');
    while (json_more(j, ']')) {
        struct offset_pair pair = {0};
        json_open(j, '[');
        pair.offset = json_int(j);
        if (json_more(j, ']')) {
            json_text(j, pair.name.text, sizeof pair.name.text);
            j->bad = j->bad || json_more(j, ']');
        }
        if (n->pair_count < PAIRS_KEPT) {
            n->pairs[n->pair_count++] = pair;
        }
    }
}

static void newest_read(struct json *j, struct numbering *n)
{
    json_open(j, '[');
    while (json_more(j, ']')) {
        struct interval item;
        interval_read(j, &item);
        free(n->received.items);
        n->received.items = xmalloc(sizeof item);
        n->received.items[0] = item;
        n->received.count = n->received.cap = 1;
    }
}

/* "topic" is written first, so that the rest has somewhere to go. */
static void topic_read(struct json *j, struct position *p)
{
    struct topic_position none = {.high_us = TIME_NONE}, *t = &none;
    json_open(j, '{');
    while (json_more(j, '}')) {
        char key[32], name[TOPIC_NAME_MAX];
        json_key(j, key, sizeof key);
        if (strcmp(key, "topic") == 0) {
            json_text(j, name, sizeof name);
            size_t at = j->bad ? SIZE_MAX : position_topic(p, name);
            t = at == SIZE_MAX ? &none : &p->topics[at];
        } else if (strcmp(key, "high") == 0) {
            t->high_us = json_int(j);
        } else if (strcmp(key, "last") == 0) {
            json_text(j, t->last.text, sizeof t->last.text);
        } else if (strcmp(key, "breaks") == 0) {
            t->breaks = json_int(j);
        } else if (strcmp(key, "numbering") == 0) {
            t->numbering.number = json_int(j);
        } else if (strcmp(key, "newest") == 0) {
            newest_read(j, &t->numbering);
        } else if (strcmp(key, "pairs") == 0) {
            pairs_read(j, &t->numbering);
        } else {
            json_skip(j);
        }
    }
    numbering_fini(&none.numbering);
}

static void tails_read(struct json *j, bool (*each)(const struct tail *t, void *ctx), void *ctx)
{
    bool go = true;
    json_open(j, '[');
    while (json_more(j, ']')) {
        struct tail t = {{0}, 0, 0, 0};
        int64_t partition = 0;
        int64_t *numbers[] = {&partition, &t.low, &t.high};
        json_open(j, '[');
        json_text(j, t.topic, sizeof t.topic);
        for (size_t i = 0; i < 3 && json_more(j, ']'); i++) {
            *numbers[i] = json_int(j);
        }
        j->bad = j->bad || json_more(j, ']') || partition < 0 || partition >= PARTITION_MAX;
        t.partition = (uint32_t)partition;
        go = go && !j->bad && each(&t, ctx);
    }
}

static void gaps_read(struct json *j, bool (*each)(const struct gap *g, void *ctx), void *ctx)
{
    bool go = true;
    json_open(j, '[');
    while (json_more(j, ']')) {
        struct gap g = {{0}, 0, 0};
        int64_t *numbers[] = {&g.from_us, &g.to_us};
        json_open(j, '[');
        json_text(j, g.topic, sizeof g.topic);
        for (size_t i = 0; i < 2 && json_more(j, ']'); i++) {
            *numbers[i] = json_int(j);
        }
        j->bad = j->bad || json_more(j, ']');
        go = go && !j->bad && each(&g, ctx);
    }
}

static bool keep_tail(const struct tail *t, void *ctx)
{
    position_add_tail(ctx, t);
    return true;
}

static bool keep_gap(const struct gap *g, void *ctx)
{
    position_add_gap(ctx, g->topic, g->from_us, g->to_us);
    return true;
}

static int64_t *position_member(struct position *p, const char *key)
{
    const struct {
        const char *key;
        int64_t *at;
    } members[] = {{"first", &p->first_us},   {"caught_up", &p->caught_up_us}, {"arrival", &p->arrival_us},
                   {"stream", &p->stream_us}, {"clock", &p->clock_us},         {"floor", &p->floor_us}};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        if (strcmp(key, members[i].key) == 0) {
            return members[i].at;
        }
    }
    return NULL;
}

bool position_read(struct position *p, struct str note)
{
    struct json j = json_of(note);
    json_open(&j, '{');
    while (json_more(&j, '}')) {
        char key[32];
        json_key(&j, key, sizeof key);
        int64_t *member = position_member(p, key);
        if (member) {
            *member = json_int(&j);
        } else if (strcmp(key, "active") == 0) {
            json_text(&j, p->active, sizeof p->active);
        } else if (strcmp(key, "change_seen") == 0) {
            p->change_seen = json_int(&j) == 1;
        } else if (strcmp(key, "topics") == 0) {
            json_open(&j, '[');
            while (json_more(&j, ']')) {
                topic_read(&j, p);
            }
        } else if (strcmp(key, "tails") == 0) {
            tails_read(&j, keep_tail, p);
        } else if (strcmp(key, "gaps") == 0) {
            gaps_read(&j, keep_gap, p);
        } else {
            json_skip(&j);
        }
    }
    return !j.bad;
}

bool position_each_tail(struct str note, bool (*each)(const struct tail *t, void *ctx), void *ctx)
{
    struct json j = json_of(note);
    json_open(&j, '{');
    while (json_more(&j, '}')) {
        char key[32];
        json_key(&j, key, sizeof key);
        if (strcmp(key, "tails") == 0) {
            tails_read(&j, each, ctx);
        } else {
            json_skip(&j);
        }
    }
    return !j.bad;
}

bool position_each_gap(struct str note, bool (*each)(const struct gap *g, void *ctx), void *ctx)
{
    struct json j = json_of(note);
    json_open(&j, '{');
    while (json_more(&j, '}')) {
        char key[32];
        json_key(&j, key, sizeof key);
        if (strcmp(key, "gaps") == 0) {
            gaps_read(&j, each, ctx);
        } else {
            json_skip(&j);
        }
    }
    return !j.bad;
}
