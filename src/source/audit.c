/* SPDX-License-Identifier: MIT
 *
 * audit.c - intervals, numberings, holes; see audit.h. The clauses are those of tests/oracle/resume_model.py (audit,
 * receive, find_holes), which says what each prevents.
 */
#include "source/audit.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/fault.h"
#include "base/hash.h"

const char *const hole_state_names[HOLE_STATES] = {"open", "healed", "unfilled"};

struct event_name event_name_of(struct str meta_id)
{
    struct event_name name = {{0}};
    if (meta_id.len < sizeof name.text && !memchr(meta_id.len ? meta_id.ptr : "", 0, meta_id.len)) {
        memcpy(name.text, meta_id.len ? meta_id.ptr : "", meta_id.len);
        return name;
    }
    AUTO(buf) struct buf hex = {0};
    buf_addf(&hex, "#%016llx%016llx", (unsigned long long)hash_bytes(meta_id, 1),
             (unsigned long long)hash_bytes(meta_id, 2));
    memcpy(name.text, hex.ptr, hex.len);
    return name;
}

/* ---- intervals */

/* Index of the first interval that begins after `offset`. */
static size_t intervals_after(const struct intervals *s, int64_t offset)
{
    size_t low = 0, high = s->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (s->items[middle].from <= offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void intervals_remove(struct intervals *s, size_t at)
{
    memmove(&s->items[at], &s->items[at + 1], (s->count - at - 1) * sizeof *s->items);
    s->count--;
}

static void intervals_insert(struct intervals *s, size_t at, const struct interval *item)
{
    if (s->count == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 4;
        s->items = xrealloc(s->items, s->cap * sizeof *s->items);
    }
    memmove(&s->items[at + 1], &s->items[at], (s->count - at) * sizeof *s->items);
    s->items[at] = *item;
    s->count++;
}

/* Joins interval `at` with the one after it. */
static void intervals_join(struct intervals *s, size_t at)
{
    struct interval *left = &s->items[at], *right = left + 1;
    left->to = right->to;
    left->to_dt_us = right->to_dt_us;
    left->to_name = right->to_name;
    intervals_remove(s, at + 1);
}

void intervals_add(struct intervals *s, int64_t offset, int64_t dt_us, const struct event_name *name)
{
    size_t at = intervals_after(s, offset);
    if (at && offset <= s->items[at - 1].to) {
        return;
    }
    struct interval *before = at ? &s->items[at - 1] : NULL;
    if (before && before->to + 1 == offset) {
        before->to = offset;
        before->to_dt_us = dt_us;
        before->to_name = *name;
        at--;
    } else {
        struct interval item = {offset, offset, dt_us, dt_us, *name, *name};
        intervals_insert(s, at, &item);
    }
    if (at + 1 < s->count && s->items[at + 1].from == s->items[at].to + 1) {
        intervals_join(s, at);
    }
    if (s->count > INTERVALS_MAX) {
        intervals_remove(s, 0);
    }
}

/* Puts a whole interval of the same numbering in. */
static void intervals_add_all(struct intervals *s, const struct interval *item)
{
    size_t at = intervals_after(s, item->from);
    struct interval joined = *item;
    while (at && s->items[at - 1].to >= joined.from - 1) {
        const struct interval *left = &s->items[at - 1];
        if (left->to >= joined.to) {
            return;
        }
        joined.from = left->from;
        joined.from_dt_us = left->from_dt_us;
        joined.from_name = left->from_name;
        intervals_remove(s, --at);
    }
    while (at < s->count && s->items[at].from <= joined.to + 1) {
        const struct interval *right = &s->items[at];
        if (right->to > joined.to) {
            joined.to = right->to;
            joined.to_dt_us = right->to_dt_us;
            joined.to_name = right->to_name;
        }
        intervals_remove(s, at);
    }
    intervals_insert(s, at, &joined);
    if (s->count > INTERVALS_MAX) {
        intervals_remove(s, 0);
    }
}

void numbering_fini(struct numbering *n)
{
    free(n->received.items);
    *n = (struct numbering){0};
}

void link_numbering_fini(struct link_numbering *l)
{
    free(l->local.items);
    *l = (struct link_numbering){0};
}

void audit_fini(struct audit *a)
{
    free(a->holes);
    *a = (struct audit){0};
}

/* ---- what was received */

static void pairs_add(struct offset_pair *pairs, size_t *count, int64_t offset, const struct event_name *name)
{
    if (!name->text[0]) {
        return;
    }
    if (*count == PAIRS_KEPT) {
        memmove(pairs, pairs + 1, (PAIRS_KEPT - 1) * sizeof *pairs);
        --*count;
    }
    pairs[(*count)++] = (struct offset_pair){offset, *name};
}

static bool pairs_hold(const struct numbering *n, int64_t offset, const struct event_name *name)
{
    for (size_t i = 0; i < n->pair_count; i++) {
        if (n->pairs[i].offset == offset && event_name_eq(&n->pairs[i].name, name)) {
            return true;
        }
    }
    return false;
}

static bool before_numbering(const struct numbering *n, int64_t offset)
{
    return n->received.count && offset < n->received.items[0].from && !fault("R4.pair");
}

static void numbering_receive(struct audit *a, struct numbering *n, int64_t offset, int64_t dt_us,
                              const struct event_name *name)
{
    pairs_add(n->pairs, &n->pair_count, offset, name);
    if (before_numbering(n, offset)) {
        return;
    }
    size_t had = n->received.count;
    intervals_add(&n->received, offset, dt_us, name);
    /* The newest interval stands in the other note: while only that one grows, this one need not be written again. */
    a->changed = a->changed || had != n->received.count || offset < n->received.items[n->received.count - 1].from;
}

/* The connection's numbers can be compared now: books what had come before. */
static void numbering_take(struct audit *a, struct numbering *n, struct link_numbering *link)
{
    size_t had = n->received.count;
    for (size_t i = 0; i < link->local.count; i++) {
        const struct interval *item = &link->local.items[i];
        if (!before_numbering(n, item->to)) {
            /* What reaches below the first interval overlaps it, so that its lower end is dropped by the join. */
            struct interval clipped = *item;
            if (before_numbering(n, item->from)) {
                clipped.from = n->received.items[0].from;
            }
            intervals_add_all(&n->received, &clipped);
        }
    }
    for (size_t i = 0; i < link->local_pair_count; i++) {
        pairs_add(n->pairs, &n->pair_count, link->local_pairs[i].offset, &link->local_pairs[i].name);
    }
    link->local.count = 0;
    link->local_pair_count = 0;
    link->matched = true;
    a->changed = a->changed || n->received.count > 1 || had != n->received.count;
}

static void numbering_begin(struct audit *a, struct numbering *n, struct link_numbering *link)
{
    n->number++;
    n->received.count = 0;
    n->pair_count = 0;
    a->changed = true;
    /* It begins at the last record received before, which has just come again. */
    if (fault("R4.pair")) {
        link->local.count = 0;
        link->local_pair_count = 0;
    }
    numbering_take(a, n, link);
}

void audit_record(struct audit *a, struct numbering *const *numberings, size_t topic_count, struct link_numbering *link,
                  const struct audit_record *r)
{
    struct numbering *n = numberings[r->topic];
    if (!link->matched) {
        bool known = pairs_hold(n, r->offset, &r->name) && (!fault("R4.pair") || r->duplicate);
        if (known) {
            numbering_take(a, n, link); /* the same numbering as before */
        } else if (r->joined && !r->duplicate) {
            /* Something new, and no pair fitted: another numbering. */
            audit_find_holes(a, numberings, topic_count, r->arrival_us);
            numbering_begin(a, n, link);
        } else {
            if (!r->joined && r->is_last) { /* what came before the last record belongs to the old numbering */
                link->local.count = 0;
                link->local_pair_count = 0;
            }
            intervals_add(&link->local, r->offset, r->dt_us, &r->name);
            pairs_add(link->local_pairs, &link->local_pair_count, r->offset, &r->name);
            return;
        }
    }
    numbering_receive(a, n, r->offset, r->dt_us, &r->name);
}

/* ---- holes */

static struct hole *hole_at(struct audit *a, size_t topic, int64_t number, int64_t from, int64_t to)
{
    for (size_t i = a->hole_count; i-- > 0;) {
        struct hole *h = &a->holes[i];
        if (h->topic == topic && h->numbering == number && h->from == from && h->to == to) {
            return h;
        }
    }
    return NULL;
}

static void hole_remove(struct audit *a, size_t at)
{
    memmove(&a->holes[at], &a->holes[at + 1], (a->hole_count - at - 1) * sizeof *a->holes);
    a->hole_count--;
    a->changed = true;
}

static void hole_add(struct audit *a, const struct hole *h)
{
    if (a->hole_count == HOLES_MAX) {
        hole_remove(a, 0);
    }
    if (a->hole_count == a->hole_cap) {
        a->hole_cap = a->hole_cap ? a->hole_cap * 2 : 16;
        a->holes = xrealloc(a->holes, a->hole_cap * sizeof *a->holes);
    }
    a->holes[a->hole_count++] = *h;
    a->changed = true;
}

static void holes_add(struct audit *a, size_t topic, const struct numbering *n, int64_t now_us)
{
    for (size_t i = 0; i + 1 < n->received.count; i++) {
        const struct interval *left = &n->received.items[i], *right = left + 1;
        if (!hole_at(a, topic, n->number, left->to + 1, right->from - 1)) {
            struct hole h = {topic,          n->number,
                             left->to + 1,   right->from - 1,
                             left->to_dt_us, right->from_dt_us,
                             left->to_name,  right->from_name,
                             now_us,         0,
                             HOLE_OPEN};
            hole_add(a, &h);
        }
    }
}

enum remains { REMAINS_ALL, REMAINS_PART, REMAINS_NOTHING };

/* What is left of a hole after re-deliveries. */
static enum remains hole_remains(const struct numbering *n, const struct hole *h)
{
    if (!n->received.count || h->from < n->received.items[0].from) {
        return REMAINS_ALL; /* older than the intervals kept: nothing is known about it */
    }
    enum remains left = REMAINS_NOTHING;
    size_t i = intervals_after(&n->received, h->from - 1);
    for (i = i ? i - 1 : 0; i + 1 < n->received.count && n->received.items[i].to < h->to; i++) {
        int64_t from = n->received.items[i].to + 1, to = n->received.items[i + 1].from - 1;
        if (from == h->from && to == h->to) {
            return REMAINS_ALL;
        }
        if (h->from <= from && to <= h->to) {
            left = REMAINS_PART;
        }
    }
    return left;
}

static void holes_update(struct audit *a, size_t topic, const struct numbering *n)
{
    for (size_t i = 0; i < a->hole_count;) {
        struct hole *h = &a->holes[i];
        enum remains left =
            h->topic == topic && h->numbering == n->number && h->state == HOLE_OPEN ? hole_remains(n, h) : REMAINS_ALL;
        if (left == REMAINS_PART) {
            hole_remove(a, i); /* what remains of it is a hole itself */
            continue;
        }
        if (left == REMAINS_NOTHING) {
            h->state = HOLE_HEALED;
            a->changed = true;
        }
        i++;
    }
}

void audit_find_holes(struct audit *a, struct numbering *const *numberings, size_t topic_count, int64_t now_us)
{
    for (size_t topic = 0; topic < topic_count; topic++) {
        holes_add(a, topic, numberings[topic], now_us);
        holes_update(a, topic, numberings[topic]);
    }
}

struct hole *audit_next_open(struct audit *a)
{
    for (size_t i = 0; i < a->hole_count; i++) {
        if (a->holes[i].state == HOLE_OPEN) {
            return &a->holes[i];
        }
    }
    return NULL;
}
