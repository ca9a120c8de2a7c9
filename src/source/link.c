/* SPDX-License-Identifier: MIT
 *
 * link.c - see link.h.
 */
#include "source/link.h"

#include "base/fault.h"

void link_init(struct link *l, const struct position *p, int64_t date_us, int64_t opened_mono_us)
{
    *l = (struct link){.date_us = date_us, .opened_mono_us = opened_mono_us};
    for (size_t i = 0; i < p->topic_count; i++) {
        l->topics[i].last_at_open = p->topics[i].last;
    }
}

void link_fini(struct link *l)
{
    for (size_t i = 0; i < POSITION_TOPICS; i++) {
        link_numbering_fini(&l->topics[i].numbering);
    }
}

int64_t link_now(const struct link *l, int64_t mono_us)
{
    return l->date_us + (mono_us - l->opened_mono_us);
}

bool link_silent(const struct link *l, struct position *p, const size_t *topics, size_t topic_count)
{
    bool changed = false;
    for (size_t i = 0; i < topic_count; i++) {
        struct topic_position *t = &p->topics[topics[i]];
        const struct link_topic *at = &l->topics[topics[i]];
        bool alone = !at->joined && at->newer > 0 && t->breaks == BREAKS_MAX && !fault("R3.alone");
        t->breaks += alone;
        changed = changed || alone;
    }
    return changed;
}

static bool never_heard(const struct position *p, size_t topic)
{
    return !p->topics[topic].last.text[0];
}

bool link_proven(const struct link *l, const struct position *p, const size_t *topics, size_t topic_count)
{
    size_t proved = 0, unheard = 0, either = 0;
    for (size_t i = 0; i < topic_count; i++) {
        const struct topic_position *t = &p->topics[topics[i]];
        const struct link_topic *at = &l->topics[topics[i]];
        if (!fault("R3.again") && strcmp(t->last.text, at->last_at_open.text) != 0) {
            return false;
        }
        proved += at->proved;
        unheard += never_heard(p, topics[i]);
        either += at->proved || never_heard(p, topics[i]);
    }
    if (l->brought_new) {
        return false;
    }
    if (fault("R7.lastall")) {
        return proved || unheard == topic_count;
    }
    return either == topic_count;
}
