/* SPDX-License-Identifier: MIT
 *
 * admission.c - what becomes of one record: decode, duplicate, filter, journal (oracle.md section 4), and, on a
 * connection, what that says about topic and position (R3-R5). The order of the clauses is that of admit() in
 * tests/oracle/resume_model.py, whose names for them stand in the faults.
 *
 * Two stream times: `clock` moves with what was journalled and is what names without a topic are known by; the source's
 * own `stream` also moves with what was filtered, because ticks tell the journal how far the source is (R7). Ticks move
 * neither: they are no news from upstream.
 */
#include "source/admission_state.h"

#include <stdlib.h>

#include "source/link.h"

enum { NEWER_MIN = 3 }; /* records in a row by which a gap is proven */

/* What one record is to a topic on a connection, before it is decided what becomes of it. */
struct standing {
    struct topic_position *topic;
    struct link_topic *on; /* the connection's */
    bool ahead;            /* its meta.dt is from the future: it moves neither position nor clock */
    bool proved, joined;   /* before this record */
    bool behind_gap;       /* continuous from this one on */
    bool passes, known;
    bool is_last;  /* it is the last one received before */
    bool by_order; /* older than the table reaches, before the last record came again: a re-delivery */
};

/* -> index of the first one that is known, or count. */
static size_t first_known(const struct admission *a, const struct identity *ids, size_t count)
{
    size_t i = 0;
    while (i < count && !identities_known(a->identities, ids[i])) {
        i++;
    }
    return i;
}

static bool record_known(const struct admission *a, const struct decoded *d, const char **ret_reason)
{
    static const char *const reasons[] = {"meta.id", "wiki+id"};
    size_t i = first_known(a, d->ids, d->id_count);
    if (i < d->id_count) {
        *ret_reason = reasons[d->which[i]];
    }
    return i < d->id_count;
}

static bool record_passes(struct admission *a, const struct decoded *d)
{
    return d->kind != CHANGE_EDIT_LIKE || !a->filter || filter_match(a->filter, a->values);
}

/* R3: were records skipped, or is this one an old one that was dated ahead? A canary's clock is the service's own. */
static bool standing_skipped(const struct standing *s, const struct decoded *d)
{
    return d->kind == CHANGE_CANARY || s->on->newer >= NEWER_MIN || s->topic->breaks > BREAKS_MAX || fault("R3.thirds");
}

/* R3: what comes before the last record received. -> ERR_RETRY: close and resume. */
static enum err_class standing_before(struct admission *a, struct standing *s, const struct decoded *d, struct err *err)
{
    struct topic_position *t = s->topic;
    bool newer = !s->ahead && d->dt_us > t->high_us + a->options.overlap_us;
    s->on->newer = newer ? s->on->newer + 1 : 0;
    if (newer && !s->known && t->breaks < BREAKS_MAX) {
        a->moved = true;
        t->breaks++;
        return err_set(err, ERR_RETRY, 0, "resume of \"%s\" is not continuous", t->name);
    }
    if (newer && t->breaks >= BREAKS_MAX && standing_skipped(s, d)) {
        a->moved = true;
        position_add_gap(&a->position, t->name, t->high_us, d->dt_us);
        t->breaks = 0;
        s->joined = s->behind_gap = true;
    }
    return ERR_NONE;
}

/* R3: is the connection continuous? */
static enum err_class standing_join(struct admission *a, struct standing *s, const struct decoded *d, struct err *err)
{
    enum err_class c = ERR_NONE;
    if (!s->joined && s->is_last) {
        s->on->joined = s->on->proved = true;
        s->topic->breaks = 0;
    } else if (!s->joined && (s->passes || s->known) && !fault("R3.joined")) {
        c = standing_before(a, s, d, err);
    }
    if (!c) {
        s->on->proved = s->on->proved || s->proved;
        s->on->joined = s->on->joined || s->joined || fault("R3.joined");
    }
    return c;
}

static struct standing standing_of(struct admission *a, struct link *link, const struct decoded *d, bool known,
                                   bool passes)
{
    size_t topic = d->topic - 1;
    struct standing s = {
        .topic = &a->position.topics[topic], .on = &link->topics[topic], .known = known, .passes = passes};
    bool heard = s.topic->last.text[0];
    s.ahead = d->dt_us > d->arrival_us + a->options.skew_us;
    s.proved = s.on->proved || (!heard && !s.on->joined);
    s.joined = s.on->joined || s.proved;
    s.is_last = event_name_eq(&d->name, &s.topic->last);
    int64_t clock_us = identities_now(a->identities, d->topic);
    s.by_order = !fault("R3.order") && !s.proved && !known && clock_us != TIME_NONE &&
                 d->dt_us < clock_us - a->options.horizon_us;
    return s;
}

/* The source's own stream time, moved by all that is no duplicate (R5, R7). */
static void stream_move(struct admission *a, const struct decoded *d)
{
    struct position *p = &a->position;
    bool change = d->kind == CHANGE_EDIT_LIKE;
    if (change && d->topic != NO_TOPIC) {
        memcpy(p->active, a->topic_names[d->topic], sizeof p->active);
    }
    p->change_seen = p->change_seen || change;
    bool future = d->future;
    if (fault("R5.dtfuture") && d->arrival_us != TIME_NONE) {
        future = d->time_us > d->arrival_us + a->options.skew_us;
    }
    bool active = d->topic == NO_TOPIC || strcmp(p->active, a->topic_names[d->topic]) == 0;
    if (d->time_us != TIME_NONE && !future && (change || (p->change_seen && active)) && d->time_us > p->stream_us) {
        p->stream_us = d->time_us;
    }
}

/* What the record leaves behind in the position of its topic. */
static void standing_settle(struct admission *a, struct link *link, const struct standing *s, const struct decoded *d,
                            enum outcome outcome)
{
    struct topic_position *t = s->topic;
    bool duplicate = outcome == OUTCOME_DUPLICATE;
    if (d->offset >= 0 && (!s->by_order || fault("R4.dropped"))) {
        struct numbering *numberings[POSITION_TOPICS];
        size_t count = admission_numberings(a, numberings);
        struct audit_record r = {d->topic - 1,  d->offset, d->dt_us,   d->name,
                                 d->arrival_us, s->joined, s->is_last, duplicate};
        audit_record(&a->audit, numberings, count, &s->on->numbering, &r);
    }
    if (s->on->joined && (t->high_us == TIME_NONE || !s->ahead || fault("R3.pfuture"))) {
        int64_t high_us = s->ahead && !fault("R3.pfuture") ? d->arrival_us : d->dt_us;
        t->high_us = high_us > t->high_us ? high_us : t->high_us;
    }
    if ((!duplicate || s->behind_gap) && s->joined && d->name.text[0]) {
        t->last = d->name;
    }
    link->fresh =
        outcome == OUTCOME_JOURNALLED || outcome == OUTCOME_DEAD || (outcome == OUTCOME_FILTERED && s->joined);
}

/* Books what became of it and stores it. */
static enum err_class record_store(struct admission *a, const struct decoded *d, struct str where, enum outcome outcome,
                                   struct err *err)
{
    static const enum source_bucket buckets[] = {SOURCE_JOURNALLED, SOURCE_DUPLICATE, SOURCE_FILTERED, SOURCE_DEAD};
    admission_book(a, SOURCE_RECEIVED, d->time_us, d->arrival_us);
    admission_book(a, buckets[outcome], d->time_us, d->arrival_us);
    a->moved = true;
    a->last_offset = -1;
    if (outcome == OUTCOME_JOURNALLED) {
        return admission_append(a, d, err);
    }
    return outcome == OUTCOME_DEAD && !fault("R14.skipped") ? admission_bury(a, d, where, err) : ERR_NONE;
}

static enum outcome record_outcome(struct admission *a, const struct decoded *d, bool known, bool passes)
{
    static const char *const kinds[] = {
        [CHANGE_EDIT_LIKE] = "change", [CHANGE_CANARY] = "canary", [CHANGE_TICK] = "tick"};
    if (known) {
        return OUTCOME_DUPLICATE;
    }
    if (d->reason != DEAD_NONE) {
        a->reason = dead_reason_name(d->reason);
        return OUTCOME_DEAD;
    }
    a->reason = passes ? kinds[d->kind] : "filter";
    return passes ? OUTCOME_JOURNALLED : OUTCOME_FILTERED;
}

/* Dead letters are known by their bytes, all others by their names. */
static bool decoded_known(struct admission *a, struct decoded *d)
{
    if (d->reason == DEAD_NONE) {
        return record_known(a, d, &a->reason);
    }
    d->ids[0] = identity_of_bytes(d->bytes);
    d->id_count = 1;
    a->reason = "dead";
    return identities_known(a->identities, d->ids[0]);
}

enum err_class admission_offer(struct admission *a, struct link *link, struct str bytes, int64_t arrival_us,
                               struct str where, enum outcome *ret_outcome, struct err *err)
{
    struct decoded d;
    admission_decode(a, bytes, arrival_us, link != NULL, &d);
    bool known = decoded_known(a, &d);
    bool passes = !known && (d.reason != DEAD_NONE || record_passes(a, &d));
    bool stands = link && d.topic != NO_TOPIC && d.topic <= a->position.topic_count;
    struct standing s = {0};
    if (stands) {
        s = standing_of(a, link, &d, known, passes);
        enum err_class cls = standing_join(a, &s, &d, err);
        if (cls) {
            return cls;
        }
        a->reason = s.by_order ? "order" : a->reason;
    }
    enum outcome outcome = record_outcome(a, &d, known || s.by_order, passes);
    if (link) {
        a->received_mono_us = clock_mono(a->options.clock);
        a->position.arrival_us = arrival_us > a->position.arrival_us ? arrival_us : a->position.arrival_us;
        link->fresh = outcome == OUTCOME_JOURNALLED || outcome == OUTCOME_DEAD;
    }
    if (outcome == OUTCOME_JOURNALLED || outcome == OUTCOME_FILTERED) {
        stream_move(a, &d);
    }
    if (stands) {
        standing_settle(a, link, &s, &d, outcome);
    }
    if (link) {
        bool lacked = outcome == OUTCOME_JOURNALLED || outcome == OUTCOME_DEAD;
        link->brought_new = link->brought_new || lacked || (link->fresh && fault("R3.again"));
    }
    *ret_outcome = outcome;
    return record_store(a, &d, where, outcome, err);
}

enum err_class admission_offer_healed(struct admission *a, struct str bytes, int64_t arrival_us, bool in_journal,
                                      enum outcome *ret_outcome, struct err *err)
{
    struct decoded d;
    admission_decode(a, bytes, arrival_us, true, &d);
    bool known = d.reason != DEAD_NONE ? decoded_known(a, &d) : in_journal;
    a->reason = in_journal ? "meta.id" : a->reason;
    *ret_outcome = record_outcome(a, &d, known, d.reason != DEAD_NONE || (!known && record_passes(a, &d)));
    return record_store(a, &d, (struct str){NULL, 0}, *ret_outcome, err);
}

const char *admission_reason(const struct admission *a, int64_t *ret_offset)
{
    *ret_offset = a->last_offset;
    return a->reason;
}

struct position *admission_position(struct admission *a)
{
    return &a->position;
}

struct audit *admission_audit(struct admission *a)
{
    return &a->audit;
}

size_t admission_numberings(struct admission *a, struct numbering *ret[POSITION_TOPICS])
{
    for (size_t i = 0; i < a->position.topic_count; i++) {
        ret[i] = &a->position.topics[i].numbering;
    }
    return a->position.topic_count;
}

void admission_find_holes(struct admission *a, int64_t now_us)
{
    struct numbering *numberings[POSITION_TOPICS];
    size_t count = admission_numberings(a, numberings);
    audit_find_holes(&a->audit, numberings, count, now_us);
}

void admission_moved(struct admission *a)
{
    a->moved = true;
}

bool admission_look(struct admission *a, struct str bytes, size_t *ret_topic, struct event_name *ret_name,
                    int64_t *ret_dt_us, struct identity ids[2], size_t *ret_id_count)
{
    struct decoded d;
    admission_decode(a, bytes, TIME_NONE, true, &d);
    *ret_topic = d.topic != NO_TOPIC && d.topic <= a->position.topic_count ? d.topic - 1 : SIZE_MAX;
    *ret_name = d.name;
    *ret_dt_us = d.dt_us;
    *ret_id_count = d.id_count;
    memcpy(ids, d.ids, sizeof d.ids);
    return d.scanned;
}

bool admission_knows(const struct admission *a, const struct identity *ids, size_t count)
{
    return first_known(a, ids, count) < count;
}

static void count_known(const struct identity_known *k, void *ctx)
{
    (void)k;
    ++*(size_t *)ctx;
}

size_t admission_identities_known(struct admission *a)
{
    size_t count = 0;
    identities_each(a->identities, count_known, &count);
    return count;
}
