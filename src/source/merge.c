/* SPDX-License-Identifier: MIT
 *
 * merge.c - far behind: one connection per topic, merged by the earlier of meta.dt and arrival, until all topics are
 * caught up (R3). On one connection the quiet topic's canaries, or the other side of a switch, would come first and
 * make the other topic's whole backlog late.
 *
 * The topic that is ahead waits with one record in hand, unread: pressure on its socket. A record that jumps ahead of
 * its topic's position is not believed at once: a producer's clock that runs ahead looks like the end of a quiet time.
 * What stands behind it in the topic tells, so up to four are in hand then, and the earliest of them counts.
 *
 * A topic is caught up when a fresh record of it is younger than half the delay, or when its connection proved that
 * there is nothing (link_proven), or, if it was never heard from, when three connections in a row were silent. A topic
 * caught up is not waited for, only asked.
 */
#include "source/follow.h"

#include "base/diag.h"
#include "base/fault.h"

static const int64_t ask_every_us = 20 * US_PER_MS; /* how often a topic that is caught up and had nothing is asked */
enum { SILENT_CONNECTIONS = 3, HANDS = 4 };

struct hand { /* a record in hand */
    struct buf data;
    int64_t dt_us; /* its valid meta.dt, or TIME_NONE */
    bool known;    /* a re-delivery: it brings nothing to be merged */
};

struct branch { /* one topic */
    size_t topic;
    struct line line;
    struct hand hands[HANDS]; /* the next ones, in the topic's order */
    size_t hand_count;
    bool looked; /* nothing stood behind them for idle_after */
    int64_t heard_mono_us, asked_mono_us;
    bool caught;
    int silent; /* connections in a row that brought nothing */
};
struct merge {
    struct follow *f;
    struct branch branches[POSITION_TOPICS];
    size_t count;
};

/* What was known of it ends with the connection. */
static void branch_drop(struct merge *m, struct branch *b)
{
    follow_close(m->f, &b->line);
    b->hand_count = 0;
    b->caught = b->looked = false;
}

static enum err_class branch_connect(struct merge *m, struct branch *b, struct err *err)
{
    enum err_class cls = follow_connect(m->f, &b->topic, 1, &b->line, err);
    b->heard_mono_us = b->line.c ? b->line.c->ok_mono_us : 0;
    b->asked_mono_us = INT64_MIN;
    return cls;
}

static void branch_take(struct merge *m, struct branch *b, struct str data)
{
    size_t topic, id_count;
    struct event_name name;
    struct identity ids[2];
    struct hand *hand = &b->hands[b->hand_count++];
    buf_clear(&hand->data);
    buf_add(&hand->data, data);
    b->heard_mono_us = follow_mono(m->f);
    b->asked_mono_us = INT64_MIN; /* it has something: what follows must be in hand before the other topic goes on */
    if (!admission_look(m->f->admission, data, &topic, &name, &hand->dt_us, ids, &id_count)) {
        hand->dt_us = TIME_NONE;
    }
    hand->known = admission_knows(m->f->admission, ids, id_count);
}

/* The earliest meta.dt in hand; TIME_NONE: the first one has none. */
static int64_t branch_dt(const struct branch *b)
{
    int64_t dt_us = b->hands[0].dt_us;
    for (size_t i = 1; i < b->hand_count && dt_us != TIME_NONE; i++) {
        dt_us = b->hands[i].dt_us == TIME_NONE ? dt_us : earliest(dt_us, b->hands[i].dt_us);
    }
    return dt_us;
}

/* Must what stands behind be in hand, too, before the topic is merged by its time? */
static bool branch_doubtful(const struct merge *m, const struct branch *b)
{
    int64_t high_us = admission_position(m->f->admission)->topics[b->topic].high_us, dt_us = branch_dt(b);
    return !b->looked && b->hand_count < HANDS && !b->hands[0].known && b->line.link.topics[b->topic].joined &&
           high_us != TIME_NONE && dt_us != TIME_NONE && dt_us > high_us + m->f->options.overlap_us &&
           dt_us <= follow_arrival(m->f, &b->line) + m->f->options.skew_us && !fault("R3.doubt");
}

static bool branch_ready(const struct merge *m, const struct branch *b)
{
    return b->hand_count > 0 && !branch_doubtful(m, b);
}

/* Nothing for idle_after on a topic that is not known to be caught up. */
static void branch_silent(struct merge *m, struct branch *b)
{
    struct position *p = admission_position(m->f->admission);
    if (link_silent(&b->line.link, p, &b->topic, 1)) {
        admission_moved(m->f->admission);
    }
    bool heard = p->topics[b->topic].last.text[0];
    b->silent++;
    if (!heard && b->silent < SILENT_CONNECTIONS && !fault("R3.thrice")) {
        branch_drop(m, b); /* nothing that could come again */
    } else if (fault("R3.proof") || link_proven(&b->line.link, p, &b->topic, 1)) {
        b->caught = true;
    } else {
        branch_drop(m, b); /* silent: a stall? ask again */
    }
}

/* Gets the topic's next record in hand, as far as it has one. */
static enum err_class branch_read(struct merge *m, struct branch *b, struct err *err)
{
    struct follow *f = m->f;
    int64_t now = follow_mono(f), idle_at = latest(b->heard_mono_us + f->options.idle_after_us, now + US_PER_MS);
    int64_t until = earliest(idle_at, latest(follow_commit_at(f), now + US_PER_MS));
    if (b->caught) {
        if (b->asked_mono_us != INT64_MIN && now - b->asked_mono_us < ask_every_us) {
            return ERR_NONE;
        }
        b->asked_mono_us = now;
        until = now + US_PER_MS;
    }
    struct str data;
    switch (f->transport->ops->read(f->transport, b->line.c, until, &data)) {
    case TRANSPORT_RECORD:
        branch_take(m, b, data);
        break;
    case TRANSPORT_CUT: {
        bool quick = follow_cut(f, &b->line);
        branch_drop(m, b);
        enum err_class cls = quick ? follow_commit(f, err) : ERR_NONE;
        if (cls) {
            return cls;
        }
        if (quick && !follow_stopping(f)) {
            follow_backoff_quick(f);
        }
        break;
    }
    case TRANSPORT_SILENT:
        if (b->hand_count > 0) {
            b->looked = b->caught || follow_mono(f) >= idle_at;
        } else if (!b->caught && follow_mono(f) >= idle_at) {
            f->reason = "silent";
            branch_silent(m, b);
        }
        break;
    }
    return follow_commit_due(f, NULL, err);
}

/* By what its record in hand is merged. The earlier of meta.dt and arrival: the two differ only for a record dated
 * after now, by the skew at most, and the choice only matters if the other topic's is dated so too (else that one is
 * older and goes first either way). Such a record is young, so its topic is caught up and not waited for any more: what
 * it can hold back is the run of such records that is in hand at this moment. No schedule of the model fails for it. */
static int64_t branch_key(const struct merge *m, const struct branch *b)
{
    int64_t arrival_us = follow_arrival(m->f, &b->line), dt_us = branch_dt(b);
    int64_t high_us = admission_position(m->f->admission)->topics[b->topic].high_us;
    if (dt_us == TIME_NONE) {
        return INT64_MIN; /* no reason to wait */
    }
    if (b->hands[0].known && !fault("R3.first")) {
        return earliest(dt_us, latest(high_us, 0));
    }
    if (dt_us > arrival_us + m->f->options.skew_us && !fault("R3.pkey")) {
        /* From the future: its own time would hold up all behind it. */
        return latest(high_us, 0);
    }
    return fault("R3.mergekey") ? dt_us : earliest(dt_us, arrival_us);
}

static bool dt_young(const struct merge *m, const struct branch *b, int64_t dt_us)
{
    if (dt_us == TIME_NONE) {
        return false;
    }
    int64_t age_us = link_now(&b->line.link, follow_mono(m->f)) - dt_us;
    return age_us < m->f->options.delay_us / 2 && (age_us >= -m->f->options.skew_us || fault("R3.pyoung"));
}

static void branch_pop(struct branch *b)
{
    struct hand spent = b->hands[0];
    memmove(&b->hands[0], &b->hands[1], (HANDS - 1) * sizeof spent);
    b->hands[HANDS - 1] = spent; /* its memory is used again */
    b->hand_count--;
    b->looked = b->looked && b->hand_count;
}

/* Admits the earliest record in hand. */
static enum err_class merge_admit(struct merge *m, struct err *err)
{
    struct branch *first = NULL;
    int64_t first_key = 0;
    for (size_t i = 0; i < m->count; i++) {
        struct branch *b = &m->branches[i];
        int64_t key = b->hand_count ? branch_key(m, b) : 0;
        if (b->hand_count && (!first || key < first_key)) {
            first = b;
            first_key = key;
        }
    }
    if (!first) {
        return ERR_NONE;
    }
    int64_t dt_us = branch_dt(first);
    bool broken = false;
    enum err_class cls = follow_offer(m->f, &first->line, buf_str(&first->hands[0].data), &broken, err);
    branch_pop(first);
    if (broken) {
        m->f->reason = "discontinuous";
        branch_drop(m, first);
        return ERR_NONE;
    }
    if (!cls && !fault("R3.busy") && first->line.link.fresh && dt_young(m, first, dt_us)) {
        first->caught = true;
    }
    return cls ? cls : follow_commit_due(m->f, NULL, err);
}

/* One connection again? All are caught up, and no record in hand is old. */
static bool merge_done(const struct merge *m)
{
    bool heads = false, young = true;
    for (size_t i = 0; i < m->count; i++) {
        const struct branch *b = &m->branches[i];
        if (!b->caught) {
            return false;
        }
        heads = heads || b->hand_count;
        young = young && (!b->hand_count || dt_young(m, b, branch_dt(b)));
    }
    return !heads || (young && !fault("R3.busy"));
}

/* -> every topic is connected, and has a record in hand or is known to have none. */
static enum err_class merge_fill(struct merge *m, bool *ret_full, struct err *err)
{
    *ret_full = true;
    for (size_t i = 0; i < m->count; i++) {
        struct branch *b = &m->branches[i];
        enum err_class cls = b->line.c ? ERR_NONE : branch_connect(m, b, err);
        if (!cls && b->line.c && !branch_ready(m, b)) {
            cls = branch_read(m, b, err);
        }
        if (cls) {
            return cls;
        }
        *ret_full = *ret_full && b->line.c && (b->hand_count ? branch_ready(m, b) : b->caught);
    }
    return ERR_NONE;
}

static enum err_class merge_caught_up(struct merge *m, struct err *err)
{
    struct position *p = admission_position(m->f->admission);
    p->caught_up_us = link_now(&m->branches[0].line.link, follow_mono(m->f));
    admission_moved(m->f->admission);
    m->f->failures = 0;
    diag_info("source", "caught up");
    return follow_commit(m->f, err);
}

static enum err_class merge_run(struct merge *m, struct err *err)
{
    enum err_class cls = ERR_NONE;
    while (!cls && !follow_stopping(m->f)) {
        bool full = false;
        cls = merge_fill(m, &full, err);
        if (cls || !full) {
            continue;
        }
        cls = merge_admit(m, err);
        if (!cls && merge_done(m)) {
            return merge_caught_up(m, err);
        }
    }
    return cls;
}

enum err_class follow_merge(struct follow *f, enum follow_end *ret_end, struct err *err)
{
    struct merge m = {.f = f, .count = f->options.topic_count};
    for (size_t i = 0; i < m.count; i++) {
        m.branches[i].topic = i;
    }
    *ret_end = FOLLOW_AGAIN;
    diag_info("source", "far behind: one connection per topic until all are caught up");
    enum err_class cls = merge_run(&m, err);
    for (size_t i = 0; i < m.count; i++) {
        follow_close(f, &m.branches[i].line);
        for (size_t j = 0; j < HANDS; j++) {
            buf_fini(&m.branches[i].hands[j].data);
        }
    }
    f->reason = "merge";
    return cls;
}
