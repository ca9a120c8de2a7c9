/* SPDX-License-Identifier: MIT
 *
 * heal.c - asks the upstream once more for what is missing between two numbers (R4), on a second connection beside the
 * one being followed, which waits unread.
 *
 * From the overlap before the hole all topics are read (the request must name them all); only records of the hole's
 * topic between the hole's two neighbours are kept, and of those only what the journal does not have is journalled. A
 * try that does not reach the upper neighbour proves nothing. Bounded: one minute, 64 MiB and 100,000 records a try;
 * 20 tries a hole, two that reached its end. Between two tries lie 2 s, or as long as the last one took, so that
 * following has half of the time at least. A request that is refused is no try: after a reconnect the server may count
 * the connection before for a moment still (429, two are the limit), so it is asked again soon, then more and more
 * rarely up to once a minute, and never before its Retry-After.
 */
#include "source/follow.h"

#include <stdlib.h>

#include "base/diag.h"
#include "base/fault.h"

enum { TRIES_REACHED = 2, TRIES_MAX = 20, FOUND_MAX = 100000, PAGE = 4096 };
static const size_t found_bytes_max = (size_t)64 << 20;
static const int64_t try_us = US_PER_MINUTE, pause_us = 2 * US_PER_SECOND;
static const int64_t look_back_us = 2 * US_PER_MINUTE; /* how much earlier than its meta.dt a record can have arrived */

struct found { /* one record between the neighbours */
    struct str bytes;
    bool in_journal;
};
struct found_name { /* sorted by name: to find which of them the journal has */
    struct identity id;
    size_t index;
};
struct healing {
    struct follow *f;
    struct hole *hole;
    struct line line;
    struct arena arena;
    struct found *found;
    struct found_name *names;
    size_t count, name_count;
    size_t skip; /* found before the lower neighbour came (again) */
    bool started, reached;
    int64_t least_dt_us;      /* of all found */
    int64_t least_arrival_us; /* on the journal page being read */
};

static void heal_keep(struct healing *h, struct str data, int64_t dt_us, const struct identity *ids, size_t id_count)
{
    if (h->count == FOUND_MAX) {
        return;
    }
    h->found[h->count].bytes = arena_dup(&h->arena, data);
    h->found[h->count].in_journal = false;
    for (size_t i = 0; i < id_count; i++) {
        h->names[h->name_count++] = (struct found_name){ids[i], h->count};
    }
    h->count++;
    h->least_dt_us = dt_us != TIME_NONE && dt_us < h->least_dt_us ? dt_us : h->least_dt_us;
}

/* One record that the request brought. False: enough. */
static bool heal_take(struct healing *h, struct str data)
{
    size_t topic, id_count;
    struct event_name name;
    struct identity ids[2];
    int64_t dt_us;
    if (!admission_look(h->f->admission, data, &topic, &name, &dt_us, ids, &id_count)) {
        return true;
    }
    if (fault("R4.healone")) { /* as first written: whatever is not in the journal */
        int64_t last_us = latest(h->hole->before_dt_us, h->hole->after_dt_us);
        if (dt_us > last_us + h->f->options.overlap_us) {
            return false;
        }
        heal_keep(h, data, dt_us, ids, id_count);
        return true;
    }
    if (topic != h->hole->topic) {
        return true;
    }
    if (h->started && event_name_eq(&name, &h->hole->after)) {
        h->reached = true;
        return false;
    }
    if (event_name_eq(&name, &h->hole->before)) { /* the first copy, should it have been produced twice */
        h->started = true;
        h->skip = h->count;
    } else if (h->started) {
        heal_keep(h, data, dt_us, ids, id_count);
    }
    return h->count < FOUND_MAX && h->arena.used_bytes < found_bytes_max;
}

/* Reads until the upper neighbour, or the try is over. */
static void heal_read(struct healing *h)
{
    struct follow *f = h->f;
    int64_t until = follow_mono(f) + try_us;
    bool more = true;
    while (more && !follow_stopping(f)) {
        struct str data;
        int64_t idle_at = follow_mono(f) + f->options.idle_after_us;
        enum transport_event event = f->transport->ops->read(f->transport, h->line.c, earliest(until, idle_at), &data);
        more = event == TRANSPORT_RECORD && heal_take(h, data) && follow_mono(f) < until;
    }
}

/* ---- what the journal has of it */

static int name_order(const void *left, const void *right)
{
    const struct found_name *a = left, *b = right;
    if (a->id.hi != b->id.hi) {
        return a->id.hi < b->id.hi ? -1 : 1;
    }
    return (a->id.lo > b->id.lo) - (a->id.lo < b->id.lo);
}

static void mark_found(struct healing *h, const struct identity *id)
{
    size_t low = 0, high = h->name_count;
    const struct found_name wanted = {*id, 0};
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (name_order(&h->names[middle], &wanted) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (; low < h->name_count && name_order(&h->names[low], &wanted) == 0; low++) {
        h->found[h->names[low].index].in_journal = true;
    }
}

static bool mark_record(const struct record *r, void *ctx)
{
    struct healing *h = ctx;
    size_t topic, id_count = 0;
    struct event_name name;
    struct identity ids[2];
    int64_t dt_us;
    h->least_arrival_us = earliest(h->least_arrival_us, r->arrival_us);
    if (admission_look(h->f->admission, r->value, &topic, &name, &dt_us, ids, &id_count)) {
        for (size_t i = 0; i < id_count; i++) {
            mark_found(h, &ids[i]);
        }
    }
    return true;
}

/* Looks through the journal's end backwards, as far back as any of the found can have arrived. */
static enum err_class mark_partition(struct healing *h, uint32_t partition, int64_t since_us, struct err *err)
{
    struct source_output *o = h->f->output;
    int64_t head = 0, to = 0;
    enum err_class cls = o->bounds(o, partition, &head, &to, err);
    h->least_arrival_us = INT64_MAX;
    while (!cls && to > head && h->least_arrival_us >= since_us) {
        int64_t from = latest(head, to - PAGE);
        cls = o->tail(o, partition, from, to, mark_record, h, err);
        to = from;
    }
    return cls;
}

static enum err_class heal_mark(struct healing *h, struct err *err)
{
    enum err_class cls = ERR_NONE;
    if (!h->count) {
        return cls;
    }
    qsort(h->names, h->name_count, sizeof *h->names, name_order);
    int64_t since_us = earliest(h->least_dt_us, earliest(h->hole->before_dt_us, h->hole->after_dt_us));
    since_us = earliest(since_us, h->hole->seen_us) - look_back_us; /* a meta.dt can be from the future */
    for (uint32_t i = 0; !cls && i < h->f->options.partitions; i++) {
        cls = mark_partition(h, i, since_us, err);
    }
    return cls;
}

/* ---- the outcome */

static enum err_class heal_admit(struct healing *h, struct err *err)
{
    enum err_class cls = ERR_NONE;
    for (size_t i = 0; !cls && i < h->count; i++) {
        struct found *r = &h->found[i];
        enum outcome outcome;
        cls = admission_offer_healed(h->f->admission, r->bytes, follow_arrival(h->f, &h->line), r->in_journal, &outcome,
                                     err);
        if (!cls && outcome == OUTCOME_JOURNALLED) { /* the same may come twice */
            size_t topic, id_count = 0;
            struct event_name name;
            struct identity ids[2];
            int64_t dt_us;
            admission_look(h->f->admission, r->bytes, &topic, &name, &dt_us, ids, &id_count);
            for (size_t n = 0; n < id_count; n++) {
                mark_found(h, &ids[n]);
            }
        }
    }
    return cls;
}

static void heal_judge(struct healing *h)
{
    struct hole *hole = h->hole;
    int64_t size = hole->to - hole->from + 1;
    if (h->reached && (int64_t)(h->count - h->skip) >= size && !fault("R4.healone")) {
        hole->state = HOLE_HEALED;
    } else if ((h->reached && hole->tries >= TRIES_REACHED) || hole->tries >= TRIES_MAX) {
        hole->state = HOLE_UNFILLED;
    }
    admission_audit(h->f->admission)->changed = true;
    diag_info("source", "hole %lld-%lld of \"%s\": %s after try %lld", (long long)hole->from, (long long)hole->to,
              admission_position(h->f->admission)->topics[hole->topic].name, hole_state_names[hole->state],
              (long long)hole->tries);
}

static enum err_class heal_connect(struct healing *h)
{
    struct follow *f = h->f;
    struct transport_want want[POSITION_TOPICS];
    int64_t from_us = earliest(h->hole->before_dt_us, h->hole->after_dt_us) - f->options.overlap_us;
    for (size_t i = 0; i < f->options.topic_count; i++) {
        want[i].topic = str_of(f->options.topics[i]);
        want[i].from_ms = floor_div(from_us, US_PER_MS);
    }
    int64_t retry_after_us = 0;
    struct err why = {0};
    enum err_class cls =
        f->transport->ops->connect(f->transport, want, f->options.topic_count, &h->line.c, &retry_after_us, &why);
    if (cls) { /* the connection being followed will find out what is wrong */
        h->line.c = NULL;
        int64_t wait_us = cls == ERR_RETRY ? 0 : US_PER_MINUTE;
        wait_us = latest(wait_us, follow_backoff_us(f, f->heal_failures++, retry_after_us));
        f->heal_at_mono_us = follow_mono(f) + wait_us;
        diag_info("source", "cannot ask for a hole: %s; next try in %lld ms", why.text,
                  (long long)(wait_us / US_PER_MS));
        return cls;
    }
    f->heal_failures = 0;
    int64_t date_us = h->line.c->date_us, opened = h->line.c->opened_mono_us;
    if (date_us == TIME_NONE) {
        date_us = clock_wall(f->options.clock) - (follow_mono(f) - opened);
    }
    link_init(&h->line.link, admission_position(f->admission), date_us, opened);
    return ERR_NONE;
}

/* The oldest open hole: one try. */
static enum err_class heal_try(struct follow *f, struct hole *hole, struct err *err)
{
    struct healing h = {.f = f, .hole = hole, .started = fault("R4.healone"), .least_dt_us = INT64_MAX};
    int64_t began = follow_mono(f);
    if (heal_connect(&h)) {
        return ERR_NONE;
    }
    hole->tries++;
    (void)failpoint("heal.asked");
    h.found = xcalloc(FOUND_MAX, sizeof *h.found);
    h.names = xcalloc((size_t)FOUND_MAX * 2, sizeof *h.names);
    heal_read(&h);
    enum err_class cls = heal_mark(&h, err);
    cls = cls ? cls : heal_admit(&h, err);
    cls = cls ? cls : failpoint_err("heal.admitted", err);
    if (!cls) {
        heal_judge(&h);
    }
    follow_close(f, &h.line);
    free(h.found);
    free(h.names);
    arena_fini(&h.arena);
    int64_t now = follow_mono(f);
    f->heal_at_mono_us = now + latest(pause_us, now - began);
    return cls ? cls : follow_commit(f, err);
}

enum err_class follow_heal(struct follow *f, struct err *err)
{
    enum err_class cls = follow_commit(f, err); /* the journal says what is missing: what waits must be in it */
    if (cls) {
        return cls;
    }
    f->heal_wake_mono_us = INT64_MAX;
    admission_find_holes(f->admission, admission_position(f->admission)->arrival_us);
    struct hole *hole = audit_next_open(admission_audit(f->admission));
    if (!hole || !f->options.heal || follow_stopping(f)) {
        return ERR_NONE;
    }
    if (follow_mono(f) >= f->heal_at_mono_us) {
        cls = heal_try(f, hole, err);
        hole = audit_next_open(admission_audit(f->admission));
    }
    f->heal_wake_mono_us = hole ? f->heal_at_mono_us : INT64_MAX; /* the stream may stay silent */
    return cls;
}
