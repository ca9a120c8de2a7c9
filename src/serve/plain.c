/* SPDX-License-Identifier: MIT
 *
 * plain.c - /plain: the state and the top 20 titles as one HTML table, without a script; the browser asks again every
 * two seconds because of a Refresh header (?refresh=off: does not). Everything that came from outside is escaped.
 *
 * Its middle part is rendered by the live thread together with the frame of the same window, so it shows the same
 * numbers as the API and the page.
 */
#include "serve/language.h"
#include "serve/room.h"

enum { REFRESH_S = 2 };

static const char head[] = "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                           "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                           "<title>wikitally - top titles</title>\n<link rel=\"icon\" href=\"/favicon.svg\">\n<link "
                           "rel=\"stylesheet\" href=\"/plain.css\">\n</head>\n<body>\n<main>\n"
                           "<h1>wikitally</h1>\n";

static const char style[] =
    ":root{color-scheme:light dark;font:16px/1.45 system-ui,sans-serif}\n"
    "body{margin:0 auto;max-width:60rem;padding:1rem}\n"
    "h1{font-size:1.15rem;margin:0 0 .5rem}\n"
    ".chip{border:1px solid;border-radius:1rem;padding:.1rem .7rem;font-weight:600;display:inline-block}\n"
    ".test{border-top:.4rem dashed}\n"
    "table{border-collapse:collapse;width:100%}\n"
    "caption{text-align:start;padding:.5rem 0}\n"
    "th,td{text-align:start;padding:.25rem .6rem .25rem 0;border-bottom:1px solid #8886;vertical-align:top}\n"
    ".n{text-align:end;font-variant-numeric:tabular-nums;white-space:nowrap}\n"
    "td bdi{display:inline-block;overflow-wrap:anywhere}\n";

void plain_style(struct room *room, const struct request *q, struct readers *readers, struct answer *a)
{
    (void)room;
    (void)q;
    (void)readers;
    a->type = "text/css; charset=utf-8";
    a->cache = "no-cache";
    a->fixed = str_n(style, sizeof(style) - 1);
}

static const char *entity(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

/* Text and attribute values. Control characters other than white space are not allowed in HTML: U+FFFD. */
static void add_html(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        const char *e = entity(s.ptr[i]);
        if (e)
            buf_addz(out, e);
        else if ((c < 0x20 && c != '\t' && c != '\n') || c == 0x7f)
            buf_addz(out, "\357\277\275");
        else
            buf_addc(out, s.ptr[i]);
    }
}

static void add_numbers(struct buf *out, const struct slide *s, size_t window, const struct ledger_line *ledger)
{
    AUTO(buf) struct buf words = {0};
    struct now_facts f;
    now_look(s, window, &f);
    buf_addz(out, "<p>");
    if (f.rate_tenths >= 0)
        buf_addf(out, "<b>%lld.%lld</b> changes/s, ", (long long)(f.rate_tenths / 10), (long long)(f.rate_tenths % 10));
    buf_addf(out, "<b>%u</b> editors, <b>%u</b> wikis", f.editors, f.wikis);
    if (f.changes)
        buf_addf(out, ", bots made <b>%.0f %%</b>", 100.0 * (double)f.bots / (double)f.changes);
    buf_addf(out, " (last %s). Ledger: ", frames_window_name(window));
    ledger_text(ledger, &words);
    add_html(out, buf_str(&words));
    buf_addf(out, ", %lld in flight.</p>\n", (long long)ledger->in_flight);
}

static void add_row(struct buf *out, size_t rank, const struct slide_page *p)
{
    char tag[16];
    const char *direction = language_of_wiki(p->server_name, tag, sizeof(tag));
    buf_addf(out, "<tr><td class=\"n\">%zu</td><td><bdi dir=\"%s\"", rank, direction);
    if (tag[0])
        buf_addf(out, " lang=\"%s\"", tag);
    buf_addc(out, '>');
    add_html(out, p->title);
    buf_addz(out, "</bdi></td><td>");
    add_html(out, p->wiki);
    buf_addf(out, "</td><td class=\"n\">%u</td></tr>\n", p->edits);
}

static void add_table(struct buf *out, const struct slide *s, size_t window)
{
    struct slide_page pages[LIVE_TOP_PAGES];
    size_t count = slide_top(s, window, pages, LIVE_TOP_PAGES);
    int64_t edge;
    if (count == 0) {
        buf_addf(out, "<p>No edit in the last %s of event time. %s</p>\n", frames_window_name(window),
                 slide_edge(s, &edge) ? "The source may be quiet or filtered." : "Nothing has been received yet.");
        return;
    }
    buf_addf(out,
             "<table>\n<caption>Most edited pages, last %s of event time</caption>\n<thead><tr><th class=\"n\" "
             "scope=\"col\">#</th><th scope=\"col\">Title</th><th scope=\"col\">Wiki</th><th class=\"n\" "
             "scope=\"col\">Edits</th></tr></thead>\n<tbody>\n",
             frames_window_name(window));
    for (size_t i = 0; i < count; i++)
        add_row(out, i + 1, &pages[i]);
    buf_addz(out, "</tbody>\n</table>\n");
}

void plain_render(const struct slide *s, size_t window, const struct ledger_line *ledger, const struct chip *chip,
                  const struct chip_input *in, struct buf *out)
{
    AUTO(buf) struct buf words = {0};
    enum chip_state state = chip_judge(chip, in);
    if (state == CHIP_SYNTHETIC || state == CHIP_REPLAY) {
        buf_addz(out, state == CHIP_REPLAY ? "<p class=\"test\">Recorded events: " : "<p class=\"test\">Test data: ");
        add_html(out, str_of(in->status.source_name));
        buf_addz(out, "</p>\n");
    }
    chip_text(chip, in, &words);
    buf_addf(out, "<p><span class=\"chip\">%s</span> ", chip_names[state]);
    add_html(out, buf_str(&words));
    buf_addz(out, "</p>\n");
    add_numbers(out, s, window, ledger);
    add_table(out, s, window);
}

void plain_page(struct room *room, const struct request *q, struct readers *readers, struct answer *a)
{
    AUTO(buf) struct buf text = {0};
    size_t window = 1;
    (void)readers;
    if (request_parameter(q, "window", &text) && !frames_window(buf_str(&text), &window)) {
        answer_problem(a, 400, "Bad request", "window: known are 1m, 5m, 15m, 60m");
        return;
    }
    bool still = request_parameter(q, "refresh", &text) && str_eq(buf_str(&text), STR("off"));
    struct frame *f = frames_html(room->frames, window);
    a->type = "text/html; charset=utf-8";
    a->refresh_s = still ? 0 : REFRESH_S;
    buf_addz(&a->body, head);
    if (f)
        buf_add(&a->body, str_n(f->bytes, f->len));
    else
        buf_addz(&a->body, "<p>The live state is being rebuilt.</p>\n");
    buf_addf(&a->body, "<p><a href=\"/plain?window=%s%s\">%s</a> - <a href=\"/\">The page with charts</a></p>\n",
             frames_window_name(window), still ? "" : "&amp;refresh=off",
             still ? "Refresh every 2 s" : "Stop refreshing");
    buf_addz(&a->body, "</main>\n</body>\n</html>\n");
    frame_drop(f);
    answer_compress(a, q);
}
