/* SPDX-License-Identifier: MIT
 *
 * messages.c - see messages.h.
 */
#include "topics/messages.h"

#include "base/clock.h"
#include "base/diag.h"
#include "change/filter.h"

#include <stdlib.h>

struct messages {
    struct topics_place *place;
    const struct messages_wanted *wanted;
    struct topic *topic;
    struct field_set *set;
    struct filter *filter;
    struct value *values;
    struct messages_coverage *parts; /* by partition */
    uint32_t first, behind;          /* partitions looked at: [first, behind) */
    int64_t taken;
};

/* ---- where it begins */

bool messages_from_is_known(const char *from)
{
    int64_t number;
    return strcmp(from, "earliest") == 0 || strcmp(from, "latest") == 0 ||
           (str_to_int64(str_of(from), &number) && number >= 0) ||
           time_parse_human(str_of(from), clock_wall(&clock_real), &number);
}

static enum err_class too_slow(const struct messages *m, struct err *err)
{
    return err_set(err, ERR_RETRY, EXIT_UNAVAILABLE, "looking for records of topic \"%s\" takes too long",
                   m->wanted->topic);
}

/* The n-th last record. Marks and what was aborted have offsets, too: so from further and further before the end. */
static enum err_class find_last(struct messages *m, uint32_t p, int64_t head, int64_t *ret_from, struct err *err)
{
    int64_t n = m->wanted->last, end = m->parts[p].end, from = end, seen = 0;
    AUTO_FREE int64_t *ring = xcalloc((size_t)n, sizeof *ring);
    for (int64_t step = n; seen < n && from > head; step *= 4) {
        from = end - step > head ? end - step : head;
        seen = 0;
        for (int64_t at = from; at < end;) {
            struct topic_page page;
            enum err_class cls = topics_over(m->place) ? too_slow(m, err) : topic_read(m->topic, p, at, &page, err);
            if (cls)
                return cls;
            for (size_t i = 0; i < page.count && page.records[i].offset < end; i++)
                ring[seen++ % n] = page.records[i].offset;
            at = page.count ? page.records[page.count - 1].offset + 1 : end;
        }
    }
    *ret_from = seen > n ? ring[seen % n] : seen ? ring[0] : end;
    return ERR_NONE;
}

static enum err_class find_start(struct messages *m, uint32_t p, struct err *err)
{
    const struct messages_wanted *w = m->wanted;
    struct messages_coverage *c = &m->parts[p];
    int64_t head, at_us;
    enum err_class cls = topic_bounds(m->topic, p, &head, &c->end, err);
    if (cls)
        return cls;
    c->start = head;
    if (w->resumed && (int64_t)p == w->resume_partition && w->resume_offset >= 0) {
        c->start = w->resume_offset;
        c->gone = c->start < head;
    } else if (w->last) {
        cls = find_last(m, p, head, &c->start, err);
    } else if (w->from ? strcmp(w->from, "latest") == 0 : w->live) {
        c->start = c->end;
    } else if (w->from && str_to_int64(str_of(w->from), &c->start)) {
        c->gone = c->start < head;
    } else if (w->from && strcmp(w->from, "earliest") != 0 &&
               time_parse_human(str_of(w->from), clock_wall(&clock_real), &at_us)) {
        cls = topic_seek(m->topic, p, at_us, &c->start, err);
    }
    c->start = c->start < head ? head : c->start;
    c->next = c->start;
    c->begun = !cls;
    return cls;
}

/* ---- looking */

bool messages_over(const struct messages *m)
{
    const struct messages_wanted *w = m->wanted;
    return (w->count && m->taken >= w->count) || (w->full && w->full(w->ctx));
}

static bool matches(struct messages *m, const struct topic_record *r)
{
    size_t at;
    if (!m->filter)
        return true;
    return r->value.ptr && change_scan(m->set, r->value, m->values, &at) == DEAD_NONE &&
           filter_match(m->filter, m->values);
}

static void look_at(struct messages *m, uint32_t p, const struct topic_record *r)
{
    struct messages_coverage *c = &m->parts[p];
    c->records++;
    c->next = r->offset + 1;
    if (matches(m, r)) {
        c->matched++;
        m->taken += m->wanted->take(p, r, m->wanted->ctx);
    }
}

/* What is there of one partition, up to `end`. */
static enum err_class look(struct messages *m, uint32_t p, int64_t end, struct err *err)
{
    struct messages_coverage *c = &m->parts[p];
    while (c->next < end && !messages_over(m) && !topics_over(m->place)) {
        struct topic_page page;
        enum err_class cls = topic_read(m->topic, p, c->next, &page, err);
        if (cls)
            return cls;
        if (page.count == 0 || page.records[0].offset >= end) { /* marks are all that is left */
            c->next = end == INT64_MAX ? c->next : end;
            return ERR_NONE;
        }
        for (size_t i = 0; i < page.count && page.records[i].offset < end && !messages_over(m); i++)
            look_at(m, p, &page.records[i]);
    }
    return ERR_NONE;
}

static bool has_begun(const struct messages *m)
{
    return m->first < m->behind && m->parts[m->first].begun;
}

/* Who goes on from there gets further. */
static bool has_progress(const struct messages *m)
{
    const struct messages_coverage *c = &m->parts[m->first];
    return m->first == m->behind || (c->begun && (c->next > c->start || c->next >= c->end));
}

enum err_class messages_look(struct messages *m, struct err *err)
{
    enum err_class cls = ERR_NONE;
    for (uint32_t p = m->first; !cls && p < m->behind; p++) {
        bool live = m->wanted->live;
        if (!live && has_begun(m) && (messages_over(m) || topics_over(m->place)))
            break;
        cls = find_start(m, p, err);
        if (!cls && !live) {
            cls = look(m, p, m->parts[p].end, err);
            topic_rest(m->topic, p);
        }
    }
    if (m->wanted->live || !topics_over(m->place))
        return cls;
    if (has_progress(m)) /* is an answer, which says how far it goes */
        return cls == ERR_RETRY ? ERR_NONE : cls;
    return cls ? cls : too_slow(m, err);
}

enum err_class messages_look_on(struct messages *m, struct err *err)
{
    for (uint32_t p = m->first; p < m->behind && !messages_over(m); p++) {
        enum err_class cls = look(m, p, INT64_MAX, err);
        if (cls == ERR_RETRY) { /* a broker that is away comes back */
            diag_warn("topics", "%s", err->text);
            *err = (struct err){0};
        } else if (cls) {
            return cls;
        }
    }
    return ERR_NONE;
}

/* ---- life */

static enum err_class compile(struct messages *m, struct err *err)
{
    if (str_trim(m->wanted->filter).len == 0)
        return ERR_NONE;
    m->set = field_set_new();
    m->filter = filter_compile(m->wanted->filter, m->set, NULL, err);
    if (!m->filter) {
        err->code = EXIT_USAGE;
        return err->cls;
    }
    m->values = xcalloc(field_set_count(m->set), sizeof *m->values);
    return ERR_NONE;
}

static enum err_class begin(struct messages *m, struct err *err)
{
    const struct messages_wanted *w = m->wanted;
    enum err_class cls = compile(m, err);
    if (!cls)
        cls = topic_open(m->place, w->topic, w->live, &m->topic, err);
    if (cls || !m->topic)
        return cls;
    uint32_t count = topic_partitions(m->topic);
    int64_t wanted = w->resumed && w->resume_partition > w->partition ? w->resume_partition : w->partition;
    if (wanted >= (int64_t)count)
        return err_set(err, ERR_REJECT, EXIT_NOINPUT, "topic \"%s\" has no partition %lld: there are %u, from 0",
                       w->topic, (long long)wanted, count);
    m->parts = xcalloc(count + 1, sizeof *m->parts);
    m->first = w->partition >= 0 ? (uint32_t)w->partition : w->resumed ? (uint32_t)w->resume_partition : 0;
    m->behind = w->partition >= 0 ? m->first + 1 : count;
    return ERR_NONE;
}

enum err_class messages_open(struct topics_place *place, const struct messages_wanted *wanted,
                             struct messages **ret_messages, struct err *err)
{
    struct messages *m = xcalloc(1, sizeof *m);
    m->place = place;
    m->wanted = wanted;
    enum err_class cls = begin(m, err);
    bool found = !cls && m->topic;
    if (!found)
        messages_close(m);
    if (!cls)
        *ret_messages = found ? m : NULL;
    return cls;
}

void messages_close(struct messages *m)
{
    if (!m)
        return;
    topic_close(m->topic);
    free(m->parts);
    free(m->values);
    filter_free(m->filter);
    field_set_free(m->set);
    free(m);
}

/* ---- what was looked at */

int64_t messages_taken(const struct messages *m)
{
    return m->taken;
}

void messages_span(const struct messages *m, uint32_t *ret_first, uint32_t *ret_behind)
{
    *ret_first = m->first;
    *ret_behind = m->behind;
}

const struct messages_coverage *messages_covered(const struct messages *m, uint32_t partition)
{
    return &m->parts[partition];
}
