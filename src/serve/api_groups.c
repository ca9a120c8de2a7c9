/* SPDX-License-Identifier: MIT
 *
 * api_groups.c - routes about who reads, and how far behind: consumer groups, or the aggregations that read the
 * embedded journal. What they say is what `wikitally groups` says, from the same rows (topics/groups.h).
 *
 * A group's name is a parameter, not a part of the path: it may be anything, and paths are not decoded (request.c).
 */
#include "serve/ask.h"
#include "serve/parameter.h"
#include "serve/room.h"

#include "topics/groups.h"

/* ---- the list */

static void write_list(const struct kafka_group_row *rows, size_t count, const struct ask_page *page, struct buf *out)
{
    size_t from = 0, written = 0;
    while (page->has_after && from < count && strcmp(rows[from].name, page->after.ptr) <= 0)
        from++;
    size_t behind = count - from > (size_t)page->limit ? from + (size_t)page->limit : count;
    buf_addf(out, "{\"count\":%zu,\"groups\":[", count);
    for (size_t i = from; i < behind; i++) {
        buf_addz(out, written++ ? ",\n{\"group\":" : "{\"group\":");
        ask_add_text(out, rows[i].name);
        buf_addz(out, ",\"state\":");
        ask_add_text(out, rows[i].state);
        buf_addc(out, '}');
    }
    buf_addz(out, "],\"next\":");
    ask_add_text(out, behind < count ? rows[behind - 1].name : NULL);
    buf_addz(out, "}\n");
}

void api_groups(struct room *room, const struct request *q, struct readers *readers, struct answer *a)
{
    AUTO(arena) struct arena arena = {0};
    AUTO(ask_page) struct ask_page page = {0};
    struct topics_place place;
    const struct kafka_group_row *rows;
    size_t count;
    struct err err = {0};
    if (!ask_page_read(q, &page, a) || !ask_begin(room, readers, true, &place, a))
        return;
    if (groups_list(&place, &arena, &rows, &count, &err)) {
        ask_failed(room, readers, &place, &err, a);
        return;
    }
    write_list(rows, count, &page, &a->body);
    ask_done(q, a);
}

/* ---- one group */

static void add_member(struct buf *out, const struct kafka_member_row *m)
{
    const char *const texts[][2] = {
        {"{\"member\":", m->id}, {",\"client\":", m->client}, {",\"host\":", m->host}, {",\"instance\":", m->instance}};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        buf_addz(out, texts[i][0]);
        ask_add_text(out, texts[i][1]);
    }
    buf_addz(out, ",\"partitions\":[");
    for (size_t i = 0; i < m->place_count; i++) {
        buf_addz(out, i ? ",{\"topic\":" : "{\"topic\":");
        ask_add_text(out, m->places[i].topic);
        buf_addf(out, ",\"partition\":%d}", (int)m->places[i].partition);
    }
    buf_addz(out, "]}");
}

static void add_lag(struct buf *out, const struct kafka_lag_row *r)
{
    buf_addz(out, "{\"topic\":");
    ask_add_text(out, r->topic);
    buf_addf(out, ",\"partition\":%d,\"committed\":", (int)r->partition);
    ask_add_number(out, r->committed);
    buf_addz(out, ",\"end\":");
    ask_add_number(out, r->end);
    buf_addz(out, ",\"messages\":");
    ask_add_number(out, r->messages);
    buf_addz(out, ",\"seconds\":");
    ask_add_number(out, groups_seconds(r));
    buf_addz(out, ",\"since\":");
    ask_add_time(out, r->first_us);
    buf_addc(out, '}');
}

static void write_group(const char *name, const struct kafka_group *g, const struct kafka_lag_row *rows, size_t count,
                        struct buf *out)
{
    struct groups_sum sum = groups_sum(rows, count);
    buf_addz(out, "{\"group\":");
    ask_add_text(out, name);
    buf_addz(out, ",\"state\":");
    ask_add_text(out, g->state);
    buf_addz(out, ",\"assignor\":");
    ask_add_text(out, g->assignor);
    buf_addz(out, ",\"coordinator\":");
    ask_add_text(out, g->coordinator);
    buf_addz(out, ",\"members\":[");
    for (size_t i = 0; i < g->member_count; i++) {
        buf_addz(out, i ? ",\n" : "");
        add_member(out, &g->members[i]);
    }
    buf_addz(out, "],\"lag\":[");
    for (size_t i = 0; i < count; i++) {
        buf_addz(out, i ? ",\n" : "");
        add_lag(out, &rows[i]);
    }
    buf_addz(out, "],\"messages\":");
    ask_add_number(out, sum.messages);
    buf_addz(out, ",\"seconds\":");
    ask_add_number(out, sum.seconds);
    buf_addf(out, ",\"complete\":%s}\n", sum.messages_unknown || sum.seconds_unknown ? "false" : "true");
}

void api_group(struct room *room, const struct request *q, struct readers *readers, struct answer *a)
{
    AUTO(arena) struct arena arena = {0};
    AUTO(buf) struct buf name = {0};
    struct topics_place place;
    struct kafka_group group;
    const struct kafka_lag_row *rows = NULL;
    size_t count = 0;
    struct err err = {0};
    bool there;
    if (!parameter_text(q, "name", &name, &there, a))
        return;
    if (!there || name.len == 0) {
        answer_problem(a, 400, "Bad request", "name: which group? see /api/v1/groups");
        return;
    }
    if (!ask_begin(room, readers, true, &place, a))
        return;
    if (groups_show(&place, name.ptr, &arena, &group, &err) ||
        groups_lag(&place, name.ptr, &arena, &rows, &count, &err)) {
        ask_failed(room, readers, &place, &err, a);
        return;
    }
    if (!group.exists && count == 0) {
        answer_problem(a, 404, "Not found", "there is no group '%s'; see /api/v1/groups", name.ptr);
        return;
    }
    write_group(name.ptr, &group, rows, count, &a->body);
    ask_done(q, a);
}
