/* SPDX-License-Identifier: MIT
 *
 * audit_note.c - the note "audit" as JSON text:
 *
 *   {"version":1,
 *    "holes":[["topic",numbering,from,to,dt,dt,"id","id",seen,tries,"state"], ...],
 *    "received":[["topic",[[from,to,dt,dt,"id","id"], ...]], ...]}
 *
 * dt and seen are microseconds. At most 1,000 holes and 1,000 intervals a topic of some 200 bytes each: below the
 * 1 MiB of a note.
 */
#include "source/audit.h"

#include "base/err.h"

static void name_write(const struct event_name *name, struct buf *out)
{
    buf_add_json(out, str_of(name->text));
}

void interval_write(const struct interval *i, struct buf *out)
{
    buf_addf(out, "[%lld,%lld,%lld,%lld,", (long long)i->from, (long long)i->to, (long long)i->from_dt_us,
             (long long)i->to_dt_us);
    name_write(&i->from_name, out);
    buf_addc(out, ',');
    name_write(&i->to_name, out);
    buf_addc(out, ']');
}

void interval_read(struct json *j, struct interval *ret)
{
    int64_t *numbers[] = {&ret->from, &ret->to, &ret->from_dt_us, &ret->to_dt_us};
    struct event_name *names[] = {&ret->from_name, &ret->to_name};
    *ret = (struct interval){0};
    json_open(j, '[');
    for (size_t i = 0; i < 6 && json_more(j, ']'); i++) {
        if (i < 4) {
            *numbers[i] = json_int(j);
        } else {
            json_text(j, names[i - 4]->text, sizeof names[i - 4]->text);
        }
    }
    j->bad = j->bad || json_more(j, ']');
}

static void hole_write(const struct hole *h, const char *topic, struct buf *out)
{
    buf_addc(out, '[');
    buf_add_json(out, str_of(topic));
    buf_addf(out, ",%lld,%lld,%lld,%lld,%lld,", (long long)h->numbering, (long long)h->from, (long long)h->to,
             (long long)h->before_dt_us, (long long)h->after_dt_us);
    name_write(&h->before, out);
    buf_addc(out, ',');
    name_write(&h->after, out);
    buf_addc(out, ',');
    json_add_time(out, h->seen_us);
    buf_addf(out, ",%lld,\"%s\"]", (long long)h->tries, hole_state_names[h->state]);
}

void hole_read(struct json *j, struct hole *ret, char topic[TOPIC_NAME_MAX])
{
    char state[16] = "";
    *ret = (struct hole){0};
    int64_t *numbers[] = {NULL, &ret->numbering, &ret->from, &ret->to, &ret->before_dt_us, &ret->after_dt_us, NULL,
                          NULL, &ret->seen_us,   &ret->tries};
    json_open(j, '[');
    for (size_t i = 0; i < 11 && json_more(j, ']'); i++) {
        if (i == 0) {
            json_text(j, topic, TOPIC_NAME_MAX);
        } else if (i == 6) {
            json_text(j, ret->before.text, sizeof ret->before.text);
        } else if (i == 7) {
            json_text(j, ret->after.text, sizeof ret->after.text);
        } else if (i == 10) {
            json_text(j, state, sizeof state);
        } else {
            *numbers[i] = json_int(j);
        }
    }
    j->bad = j->bad || json_more(j, ']');
    for (size_t i = 0; i < HOLE_STATES; i++) {
        if (strcmp(state, hole_state_names[i]) == 0) {
            ret->state = (enum hole_state)i;
        }
    }
}

void audit_write(const struct audit *a, struct numbering *const *numberings, const char *const *topics,
                 size_t topic_count, struct buf *out)
{
    buf_addz(out, "{\"version\":1,\"holes\":[");
    for (size_t i = 0; i < a->hole_count; i++) {
        buf_addz(out, i ? ",\n" : "\n");
        hole_write(&a->holes[i], topics[a->holes[i].topic], out);
    }
    buf_addz(out, "],\n\"received\":[");
    for (size_t t = 0; t < topic_count; t++) {
        buf_addz(out, t ? ",[" : "[");
        buf_add_json(out, str_of(topics[t]));
        buf_addz(out, ",[");
        for (size_t i = 0; i + 1 < numberings[t]->received.count; i++) {
            buf_addz(out, i ? ",\n" : "\n");
            interval_write(&numberings[t]->received.items[i], out);
        }
        buf_addz(out, "]]");
    }
    buf_addz(out, "]}");
}

static void intervals_read(struct json *j, struct numbering *n)
{
    json_open(j, '[');
    for (size_t i = 0; json_more(j, ']'); i++) {
        struct interval item;
        interval_read(j, &item);
        if (n && !j->bad && n->received.count < INTERVALS_MAX) {
            if (n->received.count == n->received.cap) {
                n->received.cap = n->received.cap ? n->received.cap * 2 : 4;
                n->received.items = xrealloc(n->received.items, n->received.cap * sizeof item);
            }
            /* Before the newest one, which came from the position. */
            size_t at = i < n->received.count ? i : n->received.count;
            memmove(&n->received.items[at + 1], &n->received.items[at],
                    (n->received.count - at) * sizeof n->received.items[0]);
            n->received.items[at] = item;
            n->received.count++;
        }
    }
}

static void holes_read(struct json *j, struct audit *a, size_t (*topic_at)(void *ctx, const char *topic), void *ctx)
{
    json_open(j, '[');
    while (json_more(j, ']')) {
        struct hole h;
        char topic[TOPIC_NAME_MAX] = "";
        hole_read(j, &h, topic);
        h.topic = j->bad ? SIZE_MAX : topic_at(ctx, topic);
        if (h.topic == SIZE_MAX || a->hole_count == HOLES_MAX) {
            continue;
        }
        if (a->hole_count == a->hole_cap) {
            a->hole_cap = a->hole_cap ? a->hole_cap * 2 : 16;
            a->holes = xrealloc(a->holes, a->hole_cap * sizeof *a->holes);
        }
        a->holes[a->hole_count++] = h;
    }
}

static void received_read(struct json *j, size_t (*topic_at)(void *ctx, const char *topic),
                          struct numbering *(*numbering_at)(void *ctx, size_t topic), void *ctx)
{
    json_open(j, '[');
    while (json_more(j, ']')) {
        char topic[TOPIC_NAME_MAX] = "";
        json_open(j, '[');
        json_text(j, topic, sizeof topic);
        if (json_more(j, ']')) {
            size_t at = topic_at(ctx, topic);
            intervals_read(j, at == SIZE_MAX ? NULL : numbering_at(ctx, at));
            j->bad = j->bad || json_more(j, ']');
        }
    }
}

bool audit_read(struct audit *a, struct str note, size_t (*topic_at)(void *ctx, const char *topic),
                struct numbering *(*numbering_at)(void *ctx, size_t topic), void *ctx)
{
    struct json j = json_of(note);
    json_open(&j, '{');
    while (json_more(&j, '}')) {
        char key[32];
        json_key(&j, key, sizeof key);
        if (strcmp(key, "holes") == 0) {
            holes_read(&j, a, topic_at, ctx);
        } else if (strcmp(key, "received") == 0) {
            received_read(&j, topic_at, numbering_at, ctx);
        } else {
            json_skip(&j);
        }
    }
    return !j.bad;
}
