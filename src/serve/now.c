/* SPDX-License-Identifier: MIT
 *
 * now.c - the numbers of the Now screen, from the live state into JSON. The page and /plain show these texts, so what
 * is on the screen and what the API says are the same bytes.
 *
 * What cannot be said is null, never 0: a second or minute before the first record, a minute without any record.
 */
#include "serve/language.h"
#include "serve/live.h"

enum { POINTS = 60 };

static int64_t max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static void add_time(struct buf *json, int64_t second)
{
    buf_addc(json, '"');
    time_format(json, second * US_PER_SECOND);
    buf_addc(json, '"');
}

/* The edge's own second is still being filled and does not count. */
static int64_t rate_tenths(const struct slide *s, int64_t edge)
{
    int64_t from = max64(edge - POINTS, slide_first(s)), total = 0;
    for (int64_t t = from; t < edge; t++)
        total += slide_second_total(s, t);
    return edge - from < 1 ? -1 : (total * 10 + (edge - from) / 2) / (edge - from);
}

void now_look(const struct slide *s, size_t window, struct now_facts *ret)
{
    *ret = (struct now_facts){.rate_tenths = -1};
    ret->started = slide_edge(s, &ret->edge);
    if (!ret->started)
        return;
    int64_t begin = ret->edge - slide_window_seconds[window] + 1;
    ret->from = max64(max64(slide_covered_from(s), slide_first(s)), begin);
    ret->whole = ret->from == begin;
    ret->rate_tenths = rate_tenths(s, ret->edge);
    ret->changes = slide_total(s, window, &ret->bots);
    ret->counted = slide_counted(s);
    ret->editors = slide_editors(s, window);
    ret->wikis = slide_wikis(s, window);
}

static void write_now(const struct now_facts *f, size_t window, struct buf *json)
{
    buf_addf(json, "{\"window\":\"%s\",\"edge\":", frames_window_name(window));
    add_time(json, f->edge);
    buf_addz(json, ",\"from\":");
    add_time(json, f->from);
    buf_addz(json, ",\"seconds\":");
    buf_add_int(json, f->edge - f->from + 1);
    buf_addf(json, ",\"whole\":%s,\"rate\":", f->whole ? "true" : "false");
    if (f->rate_tenths < 0)
        buf_addz(json, "null");
    else
        buf_addf(json, "%lld.%lld", (long long)(f->rate_tenths / 10), (long long)(f->rate_tenths % 10));
    buf_addf(json, ",\"changes\":%llu,\"editors\":%u,\"wikis\":%u,\"bots\":%llu,\"bot_share\":",
             (unsigned long long)f->changes, f->editors, f->wikis, (unsigned long long)f->bots);
    if (f->changes == 0)
        buf_addz(json, "null");
    else
        buf_addf(json, "%.4f", (double)f->bots / (double)f->changes);
    buf_addf(json, ",\"counted\":%llu}", (unsigned long long)f->counted);
}

static void write_seconds(const struct slide *s, int64_t edge, struct buf *json)
{
    buf_addz(json, "{\"from\":");
    add_time(json, edge - POINTS);
    buf_addz(json, ",\"counts\":[");
    for (int64_t t = edge - POINTS; t < edge; t++) {
        if (t < slide_first(s))
            buf_addz(json, "null");
        else
            buf_addf(json, "%u", slide_second_total(s, t));
        if (t + 1 < edge)
            buf_addc(json, ',');
    }
    buf_addz(json, "]}");
}

/* A minute before which, or in the middle of which, our knowledge begins says nothing - but for the open one, which is
 * always part of a minute. */
static bool is_minute_known(const struct slide *s, int64_t minute, bool open)
{
    int64_t begin = minute * 60;
    if (slide_first(s) > begin && !open)
        return false;
    return slide_minute_heard(s, minute);
}

static void add_minute(struct buf *json, const struct slide *s, int64_t minute, bool open,
                       uint32_t (*count)(const struct slide *s, int64_t second))
{
    uint32_t sum = 0;
    if (!is_minute_known(s, minute, open)) {
        buf_addz(json, "null");
        return;
    }
    for (int64_t t = minute * 60; t < minute * 60 + 60; t++)
        sum += count(s, t);
    buf_addf(json, "%u", sum);
}

/* The last minute is open: it is still being filled. */
static void write_minutes(const struct slide *s, int64_t edge, struct buf *json)
{
    int64_t last = floor_div(edge, 60);
    buf_addz(json, "{\"from\":");
    add_time(json, (last - POINTS + 1) * 60);
    for (int which = 0; which < 2; which++) {
        buf_addz(json, which ? ",\"bots\":[" : ",\"counts\":[");
        for (int64_t m = last - POINTS + 1; m <= last; m++) {
            add_minute(json, s, m, m == last, which ? slide_second_bots : slide_second_total);
            if (m < last)
                buf_addc(json, ',');
        }
        buf_addc(json, ']');
    }
    buf_addz(json, ",\"open\":true}");
}

/* A name that a link can be built with: letters, digits, dots and hyphens. */
static bool is_host(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-'))
            return false;
    }
    return s.len > 0 && s.len < 254 && s.ptr[0] != '.' && s.ptr[0] != '-';
}

static void add_string(struct buf *json, const char *name, struct str value)
{
    buf_addf(json, ",\"%s\":", name);
    buf_add_json_html(json, value);
}

static void add_revision(struct buf *json, const char *name, int64_t revision)
{
    if (revision > 0)
        buf_addf(json, ",\"%s\":\"%lld\"", name, (long long)revision);
    else
        buf_addf(json, ",\"%s\":null", name);
}

static void add_page(struct buf *json, const struct slide_page *p)
{
    char tag[16];
    const char *direction = language_of_wiki(p->server_name, tag, sizeof(tag));
    buf_addf(json, "{\"edits\":%u", p->edits);
    add_string(json, "wiki", p->wiki);
    add_string(json, "title", p->title);
    add_string(json, "server", is_host(p->server_name) ? p->server_name : STR(""));
    add_string(json, "lang", str_of(tag));
    add_string(json, "dir", str_of(direction));
    add_revision(json, "new", p->revision_new);
    add_revision(json, "old", p->revision_old);
    buf_addc(json, '}');
}

static void write_pages(const struct slide *s, size_t window, struct buf *json)
{
    struct slide_page pages[LIVE_TOP_PAGES];
    size_t n = slide_top(s, window, pages, LIVE_TOP_PAGES);
    buf_addz(json, "[");
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_addc(json, ',');
        add_page(json, &pages[i]);
    }
    buf_addz(json, "]");
}

void now_sections(const struct slide *s, size_t window, const struct ledger_line *ledger, struct buf *sections)
{
    struct now_facts f;
    now_look(s, window, &f);
    for (size_t i = 0; i < SECTION_COUNT; i++)
        buf_clear(&sections[i]);
    ledger_write(ledger, &sections[SECTION_LEDGER]);
    write_pages(s, window, &sections[SECTION_PAGES]);
    if (!f.started) {
        buf_addz(&sections[SECTION_NOW], "null");
        buf_addz(&sections[SECTION_SECONDS], "null");
        buf_addz(&sections[SECTION_MINUTES], "null");
        return;
    }
    write_now(&f, window, &sections[SECTION_NOW]);
    write_seconds(s, f.edge, &sections[SECTION_SECONDS]);
    write_minutes(s, f.edge, &sections[SECTION_MINUTES]);
}
