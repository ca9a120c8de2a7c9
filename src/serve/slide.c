/* SPDX-License-Identifier: MIT
 *
 * slide.c - see slide.h.
 *
 * Seconds stand in a ring of RING entries: the hour before the edge and the seconds after it that events from slightly
 * ahead wait in. An event that is RING_AHEAD or more seconds ahead does not come here (R5: it is from the future).
 */
#include "serve/slide.h"

#include "base/err.h"
#include "serve/nametable.h"

#include <stdlib.h>

enum { RING = 4096, RING_AHEAD = RING - SLIDE_SECONDS, MINUTES = RING / 60 + 1, NODE_NONE = 0xffffffff };

const int64_t slide_window_seconds[SLIDE_WINDOWS] = {60, 300, 900, 3600};

struct node {
    uint32_t next;
    uint32_t page, user; /* KEY_NONE: none */
    uint32_t wiki;
};

struct second {
    uint32_t first; /* node, NODE_NONE */
    uint32_t total, bots;
    bool heard;
};

struct page_info {
    uint32_t wiki; /* its name is the page key's first part; this finds the server name */
    int64_t revision_new, revision_old, at;
};

struct slide {
    bool started;
    int64_t edge, first, floor; /* seconds; floor: no nodes before it */
    bool gave_up;               /* floor stands where it does for want of room */
    struct second seconds[RING];
    struct node *nodes;
    uint32_t node_count, node_cap, free_node;
    uint32_t node_used;
    uint64_t counted; /* all that was added, ever */
    struct nametable pages, users, wikis;
    struct page_info *page_info; /* by index in pages */
    uint32_t page_info_cap;
    char (*wiki_server)[64]; /* by index in wikis */
    uint32_t wiki_server_cap;
};

static size_t place_of(int64_t second)
{
    return (uint64_t)second & (RING - 1);
}

static struct second *second_at(struct slide *s, int64_t second)
{
    return &s->seconds[place_of(second)];
}

static void seconds_clear(struct slide *s)
{
    for (size_t i = 0; i < RING; i++)
        s->seconds[i] = (struct second){.first = NODE_NONE};
}

struct slide *slide_new(void)
{
    struct slide *s = xcalloc(1, sizeof(*s));
    seconds_clear(s);
    s->free_node = NODE_NONE;
    nametable_init(&s->pages, SLIDE_PAGES);
    nametable_init(&s->users, SLIDE_USERS);
    nametable_init(&s->wikis, SLIDE_WIKIS);
    return s;
}

static void slide_fini(struct slide *s)
{
    nametable_fini(&s->pages);
    nametable_fini(&s->users);
    nametable_fini(&s->wikis);
    free(s->nodes);
    free(s->page_info);
    free(s->wiki_server);
}

void slide_free(struct slide *s)
{
    if (!s)
        return;
    slide_fini(s);
    free(s);
}

void slide_reset(struct slide *s)
{
    uint64_t counted = s->counted;
    slide_fini(s);
    memset(s, 0, sizeof(*s));
    s->counted = counted;
    seconds_clear(s);
    s->free_node = NODE_NONE;
    nametable_init(&s->pages, SLIDE_PAGES);
    nametable_init(&s->users, SLIDE_USERS);
    nametable_init(&s->wikis, SLIDE_WIKIS);
}

/* ---- nodes */

static uint32_t node_new(struct slide *s)
{
    uint32_t n = s->free_node;
    s->node_used++;
    if (n != NODE_NONE) {
        s->free_node = s->nodes[n].next;
        return n;
    }
    if (s->node_count == s->node_cap) {
        s->node_cap = s->node_cap ? s->node_cap * 2 : 1024;
        s->nodes = xrealloc(s->nodes, s->node_cap * sizeof(*s->nodes));
    }
    return s->node_count++;
}

static void node_count_in(struct slide *s, const struct node *n, size_t window, bool up)
{
    if (n->page != KEY_NONE)
        nametable_count(&s->pages, n->page, window, up);
    if (n->user != KEY_NONE)
        nametable_count(&s->users, n->user, window, up);
    if (n->wiki != KEY_NONE)
        nametable_count(&s->wikis, n->wiki, window, up);
}

static void second_count_in(struct slide *s, int64_t second, size_t window, bool up)
{
    for (uint32_t n = second_at(s, second)->first; n != NODE_NONE; n = s->nodes[n].next)
        node_count_in(s, &s->nodes[n], window, up);
}

/* All windows have let go of the second. */
static void second_release(struct slide *s, int64_t second)
{
    struct second *at = second_at(s, second);
    while (at->first != NODE_NONE) {
        uint32_t n = at->first;
        struct node *node = &s->nodes[n];
        at->first = node->next;
        if (node->page != KEY_NONE)
            nametable_drop(&s->pages, node->page);
        if (node->user != KEY_NONE)
            nametable_drop(&s->users, node->user);
        if (node->wiki != KEY_NONE)
            nametable_drop(&s->wikis, node->wiki);
        node->next = s->free_node;
        s->free_node = n;
        s->node_used--;
    }
}

static bool is_in_window(const struct slide *s, int64_t second, size_t window)
{
    return second <= s->edge && second > s->edge - slide_window_seconds[window];
}

/* Gives up the oldest seconds until one with events is gone. False: there is none before the edge. */
static bool give_up_oldest(struct slide *s)
{
    s->gave_up = true;
    for (; s->floor < s->edge; s->floor++) {
        bool empty = second_at(s, s->floor)->first == NODE_NONE;
        for (size_t w = 0; !empty && w < SLIDE_WINDOWS; w++) {
            if (is_in_window(s, s->floor, w))
                second_count_in(s, s->floor, w, false);
        }
        second_release(s, s->floor);
        if (!empty) {
            s->floor++;
            return true;
        }
    }
    return false;
}

/* ---- time */

static void advance_one(struct slide *s, bool proven)
{
    s->edge++;
    for (size_t w = 0; w < SLIDE_WINDOWS; w++) {
        second_count_in(s, s->edge - slide_window_seconds[w], w, false);
        second_count_in(s, s->edge, w, true);
    }
    int64_t gone = s->edge - SLIDE_SECONDS;
    second_release(s, gone);
    *second_at(s, gone) = (struct second){.first = NODE_NONE};
    if (s->floor <= gone) {
        s->floor = gone + 1;
        s->gave_up = false;
    }
    if (proven)
        second_at(s, s->edge)->heard = true;
}

static void start_at(struct slide *s, int64_t second)
{
    s->started = true;
    s->edge = s->first = s->floor = second;
}

void slide_advance(struct slide *s, int64_t second, bool proven)
{
    if (!s->started || second >= s->edge + RING) {
        int64_t first = s->started ? s->first : second;
        if (s->started)
            slide_reset(s);
        start_at(s, second);
        s->first = first;
        s->floor = second - SLIDE_SECONDS + 1 > first ? second - SLIDE_SECONDS + 1 : first;
        return;
    }
    while (s->edge < second)
        advance_one(s, proven);
}

void slide_heard(struct slide *s, int64_t second)
{
    if (s->started && second > s->edge - SLIDE_SECONDS && second < s->edge + RING_AHEAD)
        second_at(s, second)->heard = true;
}

/* ---- adding */

static uint32_t take_wiki(struct slide *s, const struct slide_event *e)
{
    bool is_new = false;
    uint32_t index = e->wiki.len ? nametable_take(&s->wikis, e->wiki, &is_new) : KEY_NONE;
    if (index == KEY_NONE)
        return index;
    if (index >= s->wiki_server_cap) {
        s->wiki_server_cap = s->wikis.entry_cap;
        s->wiki_server = xrealloc(s->wiki_server, s->wiki_server_cap * sizeof(*s->wiki_server));
    }
    if (is_new) {
        struct str name = e->server_name.len < sizeof(*s->wiki_server) ? e->server_name : STR("");
        memset(s->wiki_server[index], 0, sizeof(*s->wiki_server));
        if (name.len)
            memcpy(s->wiki_server[index], name.ptr, name.len);
    }
    return index;
}

/* A page's key: wiki NUL title. */
static uint32_t take_page(struct slide *s, const struct slide_event *e, uint32_t wiki)
{
    char key[1024];
    if (!e->edit || !e->title.ptr || e->wiki.len + 1 + e->title.len > sizeof(key))
        return KEY_NONE;
    if (e->wiki.len)
        memcpy(key, e->wiki.ptr, e->wiki.len);
    key[e->wiki.len] = 0;
    if (e->title.len)
        memcpy(key + e->wiki.len + 1, e->title.ptr, e->title.len);
    bool is_new = false;
    uint32_t index = nametable_take(&s->pages, str_n(key, e->wiki.len + 1 + e->title.len), &is_new);
    if (index == KEY_NONE)
        return index;
    if (index >= s->page_info_cap) {
        s->page_info_cap = s->pages.entry_cap;
        s->page_info = xrealloc(s->page_info, s->page_info_cap * sizeof(*s->page_info));
    }
    if (is_new)
        s->page_info[index] = (struct page_info){.wiki = wiki, .at = e->second};
    if (e->second >= s->page_info[index].at) {
        s->page_info[index].at = e->second;
        s->page_info[index].revision_new = e->revision_new;
        s->page_info[index].revision_old = e->revision_old;
    }
    return index;
}

static bool make_room(struct slide *s)
{
    while (s->node_used >= SLIDE_NODES || nametable_full(&s->pages) || nametable_full(&s->users) ||
           nametable_full(&s->wikis)) {
        if (!give_up_oldest(s))
            return false;
    }
    return true;
}

void slide_add(struct slide *s, const struct slide_event *e)
{
    if (!s->started)
        start_at(s, e->second);
    if (e->second <= s->edge - SLIDE_SECONDS || e->second >= s->edge + RING_AHEAD)
        return;
    if (e->second < s->first)
        s->first = e->second;
    struct second *at = second_at(s, e->second);
    at->total++;
    s->counted++;
    at->bots += e->bot;
    at->heard = true;
    if (e->second < s->floor && s->gave_up)
        return;
    if (e->second < s->floor)
        s->floor = e->second;
    if (!make_room(s) || e->second < s->floor)
        return;
    uint32_t n = node_new(s);
    uint32_t wiki = take_wiki(s, e);
    s->nodes[n] = (struct node){
        .next = at->first,
        .wiki = wiki,
        .page = take_page(s, e, wiki),
        .user = e->user.ptr ? nametable_take(&s->users, e->user, NULL) : KEY_NONE,
    };
    at->first = n;
    for (size_t w = 0; w < SLIDE_WINDOWS; w++) {
        if (is_in_window(s, e->second, w))
            node_count_in(s, &s->nodes[n], w, true);
    }
}

/* ---- asking */

bool slide_edge(const struct slide *s, int64_t *ret_second)
{
    if (s->started)
        *ret_second = s->edge;
    return s->started;
}

uint64_t slide_counted(const struct slide *s)
{
    return s->counted;
}

int64_t slide_first(const struct slide *s)
{
    return s->first;
}

int64_t slide_covered_from(const struct slide *s)
{
    return s->floor;
}

static bool is_kept(const struct slide *s, int64_t second)
{
    return s->started && second <= s->edge && second > s->edge - SLIDE_SECONDS;
}

uint32_t slide_second_total(const struct slide *s, int64_t second)
{
    return is_kept(s, second) ? s->seconds[place_of(second)].total : 0;
}

uint32_t slide_second_bots(const struct slide *s, int64_t second)
{
    return is_kept(s, second) ? s->seconds[place_of(second)].bots : 0;
}

bool slide_minute_heard(const struct slide *s, int64_t minute)
{
    for (int64_t second = minute * 60; second < minute * 60 + 60; second++) {
        if (is_kept(s, second) && s->seconds[place_of(second)].heard)
            return true;
    }
    return false;
}

uint64_t slide_total(const struct slide *s, size_t window, uint64_t *ret_bots)
{
    uint64_t total = 0, bots = 0;
    for (int64_t i = 0; i < slide_window_seconds[window]; i++) {
        total += slide_second_total(s, s->edge - i);
        bots += slide_second_bots(s, s->edge - i);
    }
    *ret_bots = bots;
    return total;
}

uint32_t slide_editors(const struct slide *s, size_t window)
{
    return s->users.distinct[window];
}

uint32_t slide_wikis(const struct slide *s, size_t window)
{
    return s->wikis.distinct[window];
}

static int page_order(const struct slide *s, uint32_t a, uint32_t b, size_t window)
{
    const struct key_entry *x = &s->pages.entries[a], *y = &s->pages.entries[b];
    if (x->counts[window] != y->counts[window])
        return x->counts[window] > y->counts[window] ? -1 : 1;
    return str_cmp(str_n(x->name, x->name_len), str_n(y->name, y->name_len));
}

static void page_describe(const struct slide *s, uint32_t index, size_t window, struct slide_page *page)
{
    const struct key_entry *e = &s->pages.entries[index];
    const struct page_info *info = &s->page_info[index];
    size_t wiki = strlen(e->name);
    *page = (struct slide_page){
        .wiki = str_n(e->name, wiki),
        .title = str_n(e->name + wiki + 1, e->name_len - wiki - 1),
        .server_name = info->wiki == KEY_NONE ? STR("") : str_of(s->wiki_server[info->wiki]),
        .edits = e->counts[window],
        .revision_new = info->revision_new,
        .revision_old = info->revision_old,
    };
}

enum { TOP_MAX = 100 };

size_t slide_top(const struct slide *s, size_t window, struct slide_page *pages, size_t max)
{
    uint32_t best[TOP_MAX] = {0};
    size_t n = 0;
    if (max == 0)
        return 0;
    if (max > TOP_MAX)
        max = TOP_MAX;
    for (uint32_t i = 0; i < s->pages.entry_count; i++) {
        if (!s->pages.entries[i].name || s->pages.entries[i].counts[window] == 0)
            continue;
        if (n == max && page_order(s, i, best[n - 1], window) > 0)
            continue;
        size_t at = n < max ? n++ : n - 1;
        for (; at > 0 && page_order(s, i, best[at - 1], window) < 0; at--)
            best[at] = best[at - 1];
        best[at] = i;
    }
    for (size_t i = 0; i < n; i++)
        page_describe(s, best[i], window, &pages[i]);
    return n;
}
