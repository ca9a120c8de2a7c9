/* SPDX-License-Identifier: MIT
 *
 * api_messages.c - the records of a topic: what `wikitally topics messages` prints, with what it looked at (the
 * coverage), a page at a time.
 *
 * A page ends after `count` records, PAGE_BYTES, or the time that a request has (ask.h); "next" goes on there. Who
 * wants to see what comes asks each partition again from the "next" of its coverage. Keys and values may be any bytes:
 * what is no UTF-8 is null, and stands beside it in base64 (key_b64, value_b64), as in `journal dump`.
 */
#include "serve/ask.h"
#include "serve/parameter.h"
#include "serve/room.h"

#include "topics/messages.h"

enum {
    COUNT_DEFAULT = 100,
    COUNT_MAX = 1000,
    PAGE_BYTES = 4 << 20, /* of the answer; the record with which it becomes longer is the last */
    /* What is longer is left out, with a word. Escaped, all of it together fits into the body (64 MiB). */
    KIND_MAX = 4096,
    KEY_MAX = 1 << 20,
    VALUE_MAX = 8 << 20,
};

struct page {
    struct buf rows; /* owned, as the texts are */
    struct buf from, filter;
    struct messages_wanted wanted;
};

static void page_fini(struct page *p)
{
    buf_fini(&p->rows);
    buf_fini(&p->from);
    buf_fini(&p->filter);
}

/* ---- rows */

static void add_bytes(struct buf *out, const char *name, struct str s, size_t max)
{
    buf_addf(out, ",\"%s\":", name);
    if (!s.ptr) {
        buf_addz(out, "null");
    } else if (s.len > max) {
        buf_addf(out, "null,\"%s_left_out\":true", name);
    } else if (str_is_utf8(s)) {
        buf_add_json_html(out, s);
    } else {
        buf_addf(out, "null,\"%s_b64\":\"", name);
        buf_add_base64(out, s);
        buf_addc(out, '"');
    }
}

static bool add_record(uint32_t partition, const struct topic_record *r, void *ctx)
{
    struct page *p = ctx;
    struct buf *out = &p->rows;
    buf_addf(out, "%s{\"partition\":%u,\"offset\":\"%lld\",\"timestamp\":", out->len ? ",\n" : "", partition,
             (long long)r->offset);
    ask_add_time(out, r->time_us);
    add_bytes(out, "key", r->key, KEY_MAX);
    add_bytes(out, "kind", r->kind, KIND_MAX);
    if (r->value.ptr)
        buf_addf(out, ",\"size\":%zu", r->value.len);
    else
        buf_addz(out, ",\"size\":null");
    add_bytes(out, "value", r->value, VALUE_MAX);
    buf_addc(out, '}');
    return true;
}

static bool is_full(void *ctx)
{
    const struct page *p = ctx;
    return p->rows.len >= PAGE_BYTES;
}

/* ---- what is asked */

/* "PARTITION.OFFSET": go on there; "PARTITION": at its beginning. */
static bool read_cursor(const struct request *q, struct messages_wanted *w, struct answer *a)
{
    AUTO(buf) struct buf text = {0};
    struct str rest, part;
    if (!parameter_text(q, "cursor", &text, &w->resumed, a))
        return false;
    if (!w->resumed)
        return true;
    rest = buf_str(&text);
    w->resume_offset = -1;
    bool good = str_split(&rest, '.', &part) && str_to_int64(part, &w->resume_partition) && w->resume_partition >= 0 &&
                w->resume_partition <= INT32_MAX && (w->partition < 0 || w->partition == w->resume_partition);
    if (good && memchr(text.ptr, '.', text.len))
        good = str_to_int64(rest, &w->resume_offset) && w->resume_offset >= 0;
    if (!good)
        answer_problem(a, 400, "Bad request",
                       "cursor: take it as it stood in the answer before, with the same partition");
    return good;
}

static bool read_from(const struct request *q, struct page *p, struct answer *a)
{
    struct messages_wanted *w = &p->wanted;
    bool there;
    if (!parameter_text(q, "from", &p->from, &there, a))
        return false;
    w->from = there ? p->from.ptr : NULL;
    if (w->from && w->last) {
        answer_problem(a, 400, "Bad request", "from and last both say where to begin; give one of them");
        return false;
    }
    if (!w->from || messages_from_is_known(w->from))
        return true;
    answer_problem(a, 400, "Bad request",
                   "from '%s': wanted is an offset, a time such as 2026-03-01T12:00:00Z or 15m, earliest or latest",
                   w->from);
    return false;
}

static bool read_page(const struct request *q, struct page *p, struct answer *a)
{
    struct messages_wanted *w = &p->wanted;
    bool filtered;
    *w = (struct messages_wanted){
        .partition = -1, .count = COUNT_DEFAULT, .take = add_record, .full = is_full, .ctx = p};
    if (!parameter_number(q, "partition", 0, INT32_MAX, &w->partition, a) ||
        !parameter_number(q, "last", 1, COUNT_MAX, &w->last, a) ||
        !parameter_number(q, "count", 1, COUNT_MAX, &w->count, a) || !read_from(q, p, a) || !read_cursor(q, w, a) ||
        !parameter_text(q, "filter", &p->filter, &filtered, a))
        return false;
    w->filter = buf_str(&p->filter);
    return true;
}

/* ---- what was looked at */

static void add_coverage(struct buf *out, uint32_t partition, const struct messages_coverage *c)
{
    buf_addf(out,
             "{\"partition\":%u,\"from\":\"%lld\",\"next\":\"%lld\",\"end\":\"%lld\",\"records\":\"%lld\","
             "\"matched\":\"%lld\",\"gone\":%s}",
             partition, (long long)c->start, (long long)c->next, (long long)c->end, (long long)c->records,
             (long long)c->matched, c->gone ? "true" : "false");
}

/* Where the first partition stands that is not done; false: all are. */
static bool find_next(const struct messages *m, uint32_t *ret_partition, int64_t *ret_offset)
{
    uint32_t first, behind;
    messages_span(m, &first, &behind);
    for (uint32_t p = first; p < behind; p++) {
        const struct messages_coverage *c = messages_covered(m, p);
        if (!c->begun || c->next < c->end) {
            *ret_partition = p;
            *ret_offset = c->begun ? c->next : -1;
            return true;
        }
    }
    return false;
}

static void add_next(struct buf *out, const struct page *p, const struct messages *m)
{
    uint32_t partition;
    int64_t offset;
    bool more = find_next(m, &partition, &offset);
    const char *ended = !more                                  ? "end"
                        : messages_taken(m) >= p->wanted.count ? "count"
                        : p->rows.len >= PAGE_BYTES            ? "bytes"
                                                               : "time";
    buf_addf(out, ",\"complete\":%s,\"ended_by\":\"%s\",\"next\":", more ? "false" : "true", ended);
    if (!more)
        buf_addz(out, "null");
    else if (offset < 0)
        buf_addf(out, "\"%u\"", partition);
    else
        buf_addf(out, "\"%u.%lld\"", partition, (long long)offset);
}

static void write_page(struct page *p, const struct messages *m, struct buf *out)
{
    uint32_t first, behind;
    int64_t records = 0, matched = 0;
    size_t shown = 0;
    buf_addz(out, "{\"topic\":");
    ask_add_text(out, p->wanted.topic);
    buf_addz(out, ",\"coverage\":[");
    messages_span(m, &first, &behind);
    for (uint32_t i = first; i < behind; i++) {
        const struct messages_coverage *c = messages_covered(m, i);
        if (!c->begun)
            continue;
        buf_addz(out, shown++ ? ",\n" : "");
        add_coverage(out, i, c);
        records += c->records;
        matched += c->matched;
    }
    buf_addf(out, "],\"records\":\"%lld\",\"matched\":\"%lld\"", (long long)records, (long long)matched);
    add_next(out, p, m);
    buf_addz(out, ",\"messages\":[");
    buf_add(out, buf_str(&p->rows));
    out->overflow |= p->rows.overflow;
    buf_addz(out, "]}\n");
}

void api_messages(struct room *room, const struct request *q, struct readers *readers, struct answer *a)
{
    AUTO(arena) struct arena arena = {0};
    AUTO(page) struct page page = {0};
    struct topics_place place;
    struct messages *m = NULL;
    struct err err = {0};
    if (!read_page(q, &page, a) || !ask_begin(room, readers, false, &place, a))
        return;
    page.wanted.topic = arena_dup(&arena, ask_tail(q, "/api/v1/messages/")).ptr;
    enum err_class c = messages_open(&place, &page.wanted, &m, &err);
    if (!c && m)
        c = messages_look(m, &err);
    if (c) {
        ask_failed(room, readers, &place, &err, a);
    } else if (!m) {
        ask_no_topic(&place, page.wanted.topic, a);
    } else {
        write_page(&page, m, &a->body);
        ask_done(q, a);
    }
    messages_close(m);
}
