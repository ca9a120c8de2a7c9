/* SPDX-License-Identifier: MIT
 *
 * generator_text.c - made-up events as text, in the key order and with the oddities of the real ones (data-shape.md
 * sections 5 to 7). Nothing here keeps state: what an event says follows from its struct gen_event and the random
 * generator.
 */
#include "base/clock.h"
#include "source/generator_event.h"

const char *const gen_topics[2] = {"eqiad.mediawiki.recentchange", "codfw.mediawiki.recentchange"};

#define ADD(out, literal) buf_add((out), STR(literal))

static const char hex[] = "0123456789abcdef";

static void add_hex(struct buf *b, uint64_t bits, int digits)
{
    char text[16];
    for (int i = 0; i < digits; i++) {
        text[i] = hex[bits >> (60 - 4 * i) & 15];
    }
    buf_add(b, str_n(text, (size_t)digits));
}

static void add_uuid(struct buf *b, uint64_t hi, uint64_t lo)
{
    hi = (hi & ~(uint64_t)0xF000) | 0x4000; /* version 4 */
    lo = (lo & ~((uint64_t)3 << 62)) | (uint64_t)2 << 62;
    add_hex(b, hi, 8);
    buf_addc(b, '-');
    add_hex(b, hi << 32, 4);
    buf_addc(b, '-');
    add_hex(b, hi << 48, 4);
    buf_addc(b, '-');
    add_hex(b, lo, 4);
    buf_addc(b, '-');
    add_hex(b, lo << 16, 12);
}

void gen_add_uuid(struct buf *b, struct rng *rng)
{
    uint64_t hi = rng_next(rng);
    add_uuid(b, hi, rng_next(rng));
}

static void add_uint(struct buf *b, uint64_t value)
{
    buf_add_int(b, (int64_t)value);
}

/* How many bytes come before the first of four given ones. Eight at a time: most text has none of them. */
static size_t run_without(struct str s, const char four[static 4])
{
    const uint64_t ones = UINT64_MAX / 255, highs = ones << 7;
    size_t at = 0;
    for (; s.len - at >= 8; at += 8) {
        uint64_t word, found = 0;
        memcpy(&word, s.ptr + at, 8);
        for (int i = 0; i < 4; i++) {
            uint64_t x = word ^ (ones * (unsigned char)four[i]);
            found |= (x - ones) & ~x & highs;
        }
        if (found) {
            break;
        }
    }
    while (at < s.len && !memchr(four, s.ptr[at], 4)) {
        at++;
    }
    return at;
}

/* A JSON string of text that is known to be UTF-8 without other controls than LF: faster than buf_add_json. */
static void add_string(struct buf *b, struct str text)
{
    buf_addc(b, '"');
    for (;;) {
        size_t run = run_without(text, "\"\\\n\n");
        buf_add(b, str_n(text.ptr, run));
        if (run == text.len) {
            break;
        }
        char c = text.ptr[run];
        buf_add(b, c == '\n' ? STR("\\n") : str_n((char[]){'\\', c}, 2));
        text = str_n(text.ptr + run + 1, text.len - run - 1);
    }
    buf_addc(b, '"');
}

/* A title's text is a function of its rank, so that the same page always has the same name. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

static const char *namespace_name(const struct gen_wiki *w, int ns)
{
    switch (ns) {
    case -1:
        return "Special";
    case 1:
        return w->script->talk;
    case 2:
        return w->script->user;
    case 3:
        return "User talk";
    case 4:
        return w->script->project;
    case 6:
        return w->script->file;
    case 10:
        return "Template";
    case 14:
        return w->script->category;
    case 104:
        return "Page";
    default:
        return NULL;
    }
}

/* Prefixed text with blanks, not JSON-escaped. A sixth of the titles hold a quote or an ampersand. */
static void add_title(struct buf *b, const struct gen_wiki *w, int ns, uint32_t rank)
{
    const char *prefix = namespace_name(w, ns);
    uint64_t bits = mix(rank * 2654435761u + (uint64_t)ns);
    if (prefix) {
        buf_addz(b, prefix);
        buf_addc(b, ':');
    }
    if (w->wikidata && ns == 0) {
        buf_addc(b, 'Q');
        add_uint(b, rank + 1000u);
        return;
    }
    size_t count = 1 + (bits & 1) + (bits >> 1 & 1) + (bits >> 2 & 1);
    for (size_t i = 0; i < count; i++) {
        if (i) {
            buf_addc(b, ' ');
        }
        buf_addz(b, w->script->words[bits >> (8 + 4 * i) & (GEN_WORDS - 1)]);
    }
    buf_addc(b, ' ');
    add_uint(b, rank);
    if ((bits >> 40 & 7) == 0) {
        ADD(b, " & \"Co\"");
    }
    if (ns == 6) {
        buf_addz(b, bits >> 44 & 1 ? ".jpg" : ".svg");
    }
}

/* As MediaWiki's wfUrlencode: blanks to underscores, the rest percent-encoded but for what a path may hold. */
static void add_url_title(struct buf *b, struct str title)
{
    static const char upper[] = "0123456789ABCDEF";
    char *to = buf_reserve(b, 3 * title.len);
    for (size_t i = 0; i < title.len && to; i++) {
        unsigned char c = (unsigned char)title.ptr[i];
        if (c >= 0x80 || c == '"' || c == '&') {
            *to++ = '%';
            *to++ = upper[c >> 4];
            *to++ = upper[c & 15];
        } else {
            *to++ = c == ' ' ? '_' : (char)c;
        }
    }
    b->len = to ? (size_t)(to - b->ptr) : b->len;
}

static void add_user(struct buf *b, const struct gen_wiki *w, const struct gen_event *e)
{
    uint64_t bits = mix(e->user * 7919u + e->wiki);
    if (e->temporary) {
        ADD(b, "~2026-");
        add_uint(b, 10000 + bits % 40000);
        buf_addc(b, '-');
        add_uint(b, 10 + (bits >> 32) % 90);
        return;
    }
    if (bits % 15 == 0) { /* 6.7 % are not ASCII */
        buf_addz(b, w->script->words[bits >> 20 & (GEN_WORDS - 1)]);
    } else {
        static const char *const names[] = {"Alva", "Bera", "Corin", "Dalia", "Egon", "Fenn", "Greta", "Hollis"};
        buf_addz(b, names[bits >> 20 & 7]);
    }
    add_uint(b, e->user);
    if (e->bot) {
        ADD(b, "Bot");
    }
}

/* ---------------------------------------------------------------- comments */

static void add_words(struct buf *b, const struct gen_wiki *w, struct rng *rng, size_t count)
{
    uint64_t bits = rng_next(rng);
    for (size_t i = 0; i < count; i++) {
        if (i % 16 == 15) {
            bits = rng_next(rng);
        }
        buf_addz(b, w->script->words[bits >> (4 * (i % 16)) & (GEN_WORDS - 1)]);
        buf_addc(b, i % 5 == 4 ? ',' : ' ');
    }
}

static void add_edit_comment(struct buf *b, const struct gen_wiki *w, const struct gen_event *e, struct rng *rng)
{
    uint64_t bits = rng_next(rng);
    if (w->wikidata || (w->commons && e->style & 1)) {
        ADD(b, "/* wbcreateclaim-create:1| */ [[Property:P");
        add_uint(b, bits % 9000);
        ADD(b, "]]: [[Q");
        add_uint(b, (bits >> 20) % 90000000);
        ADD(b, "]], batch #");
        add_uint(b, e->user);
    } else if (e->style == 0) {
        /* 6.4 % are empty */
    } else if (e->style == 1) {
        ADD(b, "first line\nsecond \"line\" & <b>more</b>");
    } else if (e->style == 2) { /* as long as MediaWiki lets it be */
        for (int i = 0; i < 50; i++) {
            ADD(b, "long text ");
        }
    } else {
        ADD(b, "/* ");
        add_words(b, w, rng, 1 + (bits & 1));
        ADD(b, "*/ ");
        add_words(b, w, rng, 2 + (bits >> 8) % 6);
    }
}

static void add_categorize_comment(struct buf *b, const struct gen_wiki *w, const struct gen_event *e)
{
    ADD(b, "[[:");
    add_title(b, w, e->page_namespace, e->page);
    ADD(b, "]] ");
    buf_addz(b, w->script->added);
}

/* HTML as MediaWiki makes it: entities for quotes, a leading U+200E on summaries of Wikidata's style. */
static void add_html(struct buf *b, struct str text)
{
    for (;;) {
        size_t run = run_without(text, "\"&<\n");
        buf_add(b, str_n(text.ptr, run));
        if (run == text.len) {
            return;
        }
        char c = text.ptr[run];
        buf_addz(b, c == '"' ? "&quot;" : c == '&' ? "&amp;" : c == '<' ? "&lt;" : " ");
        text = str_n(text.ptr + run + 1, text.len - run - 1);
    }
}

static void add_parsed(struct buf *b, const struct gen_event *e, const struct gen_wiki *w, struct str comment,
                       struct str title_url)
{
    if (e->rare == RARE_LONG_COMMENT) {
        for (int i = 0; i < 4096; i++) {
            ADD(b, "64 KiB of text: ");
        }
    }
    if (comment.len == 0) {
        return;
    }
    if (w->wikidata) {
        ADD(b, "\xE2\x80\x8E<span dir=\"auto\"><span class=\"autocomment\">Created claim: </span></span> ");
    }
    ADD(b, "<a href=\"/wiki/");
    buf_add(b, title_url);
    ADD(b, "\" title=\"");
    add_html(b, comment);
    ADD(b, "\">");
    add_html(b, comment);
    ADD(b, "</a>");
}

/* ---------------------------------------------------------------- log entries */

/* What sections 5 and 6 say of each: is there an id, which log_id, the JSON shape of the parameters. */
enum log_style {
    LOG_DELETE,
    LOG_UPLOAD,
    LOG_BLOCK,
    LOG_ABUSEFILTER,
    LOG_REVIEW,
    LOG_NEWUSERS,
    LOG_PATROL,
    LOG_MOVE,
    LOG_TAG,
    LOG_THANKS,
    LOG_STYLES
};

static const struct {
    const char *type, *action;
    bool has_id;
} logs[LOG_STYLES] = {
    [LOG_DELETE] = {"delete", "delete", true},   [LOG_UPLOAD] = {"upload", "upload", true},
    [LOG_BLOCK] = {"block", "reblock", true},    [LOG_ABUSEFILTER] = {"abusefilter", "hit", false},
    [LOG_REVIEW] = {"review", "approve", false}, [LOG_NEWUSERS] = {"newusers", "create", true},
    [LOG_PATROL] = {"patrol", "patrol", false},  [LOG_MOVE] = {"move", "move", true},
    [LOG_TAG] = {"tag", "update", true},         [LOG_THANKS] = {"thanks", "thank", false},
};

/* data-shape.md section 6: delete 48 %, upload 30 %, block 8 %, abusefilter 6 %, the rest small. */
static enum log_style log_style(uint8_t style)
{
    static const uint8_t upto[LOG_STYLES] = {123, 200, 221, 238, 243, 246, 249, 251, 253, 255};
    for (int i = 0; i < LOG_STYLES; i++) {
        if (style <= upto[i]) {
            return (enum log_style)i;
        }
    }
    return LOG_DELETE;
}

static void add_params(struct buf *b, enum log_style log, struct rng *rng)
{
    uint64_t bits = rng_next(rng);
    switch (log) {
    case LOG_UPLOAD:
        ADD(b, "{\"img_sha1\":\"");
        add_hex(b, bits, 16);
        ADD(b, "\",\"img_timestamp\":\"20260601111739\"}");
        break;
    case LOG_BLOCK:
        ADD(b, "{\"duration\":\"1 month\",\"flags\":\"nocreate,noemail\",\"sitewide\":true,\"blockId\":");
        add_uint(b, bits % 30000000);
        ADD(b, "}");
        break;
    case LOG_ABUSEFILTER: /* the filter is a string in 14 of 77, an integer in the others */
        buf_addz(b, bits & 3 ? "{\"action\":\"edit\",\"filter\":" : "{\"action\":\"edit\",\"filter\":\"");
        add_uint(b, (bits >> 2) % 1000);
        buf_addz(b, bits & 3 ? ",\"actions\":\"" : "\",\"actions\":\"");
        buf_addz(b, bits >> 20 & 1 ? "disallow" : "");
        ADD(b, "\",\"log\":");
        add_uint(b, (bits >> 21) % 50000000);
        ADD(b, "}");
        break;
    case LOG_REVIEW:
        ADD(b, "[");
        add_uint(b, bits % 60000000);
        ADD(b, ",");
        add_uint(b, (bits >> 30) % 60000000);
        ADD(b, ",\"20260601090832\"]");
        break;
    case LOG_NEWUSERS:
        ADD(b, "{\"userid\":");
        add_uint(b, bits % 60000000);
        ADD(b, "}");
        break;
    case LOG_PATROL:
        ADD(b, "{\"curid\":\"");
        add_uint(b, bits % 3000000);
        ADD(b, "\",\"previd\":\"0\",\"auto\":0}");
        break;
    case LOG_MOVE:
        ADD(b, "{\"target\":\"Target ");
        add_uint(b, bits % 100000);
        ADD(b, "\",\"noredir\":\"0\"}");
        break;
    case LOG_TAG:
        ADD(b, "{\"tagsAdded\":[\"visualeditor\"],\"tagsRemoved\":[],\"logid\":false}");
        break;
    default:
        ADD(b, "[]"); /* PHP's empty map */
    }
}

static void add_log(struct buf *out, const struct gen_event *e, enum log_style log, struct str comment, struct rng *rng)
{
    ADD(out, ",\"log_id\":");
    add_uint(out, log == LOG_ABUSEFILTER ? 0 : e->log_id);
    ADD(out, ",\"log_type\":\"");
    buf_addz(out, logs[log].type);
    ADD(out, "\",\"log_action\":\"");
    buf_addz(out, logs[log].action);
    ADD(out, "\",\"log_params\":");
    if (e->rare == RARE_PARAMS_STRING) {
        ADD(out, "\"a string\"");
    } else if (e->rare == RARE_PARAMS_NULL) {
        ADD(out, "null");
    } else {
        add_params(out, log, rng);
    }
    ADD(out, ",\"log_action_comment\":");
    add_string(out, comment);
}

/* ---------------------------------------------------------------- the whole event */

void gen_add_dt(struct buf *out, int64_t dt_ms, bool old)
{
    if (old) { /* 2017: +00:00, whole seconds */
        time_format(out, dt_ms / 1000 * US_PER_SECOND);
        out->len -= out->len > 0;
        ADD(out, "+00:00");
    } else {
        time_format_ms(out, dt_ms * US_PER_MS);
    }
}

static void add_meta(struct buf *out, const struct gen_wiki *w, const struct gen_event *e,
                     const struct gen_place *place, struct str title_url, struct rng *rng)
{
    ADD(out, "\"meta\":{\"uri\":\"https://");
    buf_addz(out, w->server);
    ADD(out, "/wiki/");
    buf_add(out, title_url);
    ADD(out, "\",\"request_id\":\"");
    add_uuid(out, e->request_hi, e->request_lo);
    ADD(out, "\",\"id\":\"");
    gen_add_uuid(out, rng);
    ADD(out, "\",\"domain\":\"");
    buf_addz(out, w->server);
    if (e->rare == RARE_OLD_META) {
        ADD(out, "\",\"schema_uri\":\"mediawiki/recentchange/2\",\"dt\":\"");
    } else {
        ADD(out, "\",\"stream\":\"mediawiki.recentchange\",\"dt\":\"");
    }
    gen_add_dt(out, e->dt_ms, e->rare == RARE_OLD_META);
    ADD(out, "\",\"topic\":\"");
    buf_addz(out, place->topic);
    ADD(out, "\",\"partition\":0,\"offset\":");
    buf_add_int(out, place->offset);
    ADD(out, "}");
}

static void add_type(struct buf *out, const struct gen_event *e)
{
    static const char *const names[GEN_KINDS] = {"\"edit\"", "\"new\"", "\"log\"", "\"categorize\""};
    ADD(out, ",\"type\":");
    buf_addz(out, e->rare == RARE_EXTERNAL       ? "\"external\""
                  : e->rare == RARE_UNKNOWN_TYPE ? "\"surprise\""
                  : e->rare == RARE_NUMBER_TYPE  ? "3"
                                                 : names[e->kind]);
    ADD(out, ",\"namespace\":");
    buf_add_int(out, e->namespace_id);
}

static void add_actor(struct buf *out, struct buf *scratch, const struct gen_wiki *w, const struct gen_event *e)
{
    if (e->rare == RARE_EMPTY_USER) {
        ADD(out, ",\"user\":\"\"");
    } else if (e->rare != RARE_NO_USER) {
        size_t from = scratch->len;
        add_user(scratch, w, e);
        ADD(out, ",\"user\":");
        add_string(out, str_n(scratch->ptr + from, scratch->len - from));
    }
    buf_addz(out, e->bot ? ",\"bot\":true" : ",\"bot\":false");
}

static void add_revision(struct buf *out, const struct gen_event *e, struct rng *rng)
{
    uint64_t bits = rng_next(rng);
    uint64_t before = 400 + (bits & 0xFFFF) * (bits >> 16 & 15), after = before + (bits >> 24) % 300;
    ADD(out, ",\"length\":{");
    if (e->kind == GEN_EDIT) {
        ADD(out, "\"old\":");
        add_uint(out, after);
        buf_addc(out, ',');
    } else if (e->rare == RARE_NULLS) {
        ADD(out, "\"old\":null,");
    }
    ADD(out, "\"new\":");
    add_uint(out, bits >> 60 < 4 ? before : after + (bits >> 40) % 200);
    ADD(out, "},\"revision\":{");
    if (e->kind == GEN_EDIT) {
        ADD(out, "\"old\":");
        add_uint(out, e->revision - 1 - (bits >> 50));
        buf_addc(out, ',');
    } else if (e->rare == RARE_NULLS) {
        ADD(out, "\"old\":null,");
    }
    ADD(out, "\"new\":");
    add_uint(out, e->revision);
    ADD(out, "}");
}

static void add_notify(struct buf *out, const struct gen_wiki *w, const struct gen_event *e)
{
    ADD(out, ",\"notify_url\":\"https://");
    buf_addz(out, w->server);
    ADD(out, "/w/index.php?diff=");
    add_uint(out, e->revision);
    ADD(out, "&oldid=");
    add_uint(out, e->revision - 1);
    ADD(out, "&rcid=");
    add_uint(out, e->rcid);
    ADD(out, "\"");
}

static void add_flags(struct buf *out, const struct gen_wiki *w, const struct gen_event *e, struct rng *rng)
{
    uint64_t bits = rng_next(rng);
    buf_addz(out, e->kind == GEN_EDIT && (bits & 3) == 0 ? ",\"minor\":true" : ",\"minor\":false");
    if (e->kind == GEN_NEW || w->patrolled) {
        buf_addz(out, (bits >> 8 & 255) < 236 ? ",\"patrolled\":true" : ",\"patrolled\":false");
    }
    add_revision(out, e, rng);
}

static void add_server(struct buf *out, const struct gen_wiki *w)
{
    ADD(out, ",\"server_url\":\"https://");
    buf_addz(out, w->server);
    ADD(out, "\",\"server_name\":\"");
    buf_addz(out, w->server);
    ADD(out, "\",\"server_script_path\":\"/w\",\"wiki\":\"");
    buf_addz(out, w->name);
    ADD(out, "\"");
}

static void add_id(struct buf *out, const struct gen_event *e, bool has_id)
{
    if (has_id) {
        ADD(out, ",\"id\":");
        add_uint(out, e->rcid);
    } else if (e->rare == RARE_NULLS) {
        ADD(out, ",\"id\":null");
    }
}

/* A slice of scratch by its ends: scratch may move while it grows. */
static struct str part(const struct buf *b, size_t from, size_t to)
{
    return str_n(b->ptr + from, to - from);
}

void gen_write(struct buf *out, struct buf *scratch, struct rng *rng, const struct gen_wiki *wikis,
               const struct gen_event *e, const struct gen_place *place)
{
    const struct gen_wiki *w = &wikis[e->wiki];
    enum log_style log = log_style(e->style);
    buf_clear(scratch);
    add_title(scratch, w, e->namespace_id, e->title);
    size_t url_at = scratch->len;
    buf_reserve(scratch, url_at * 3); /* so that the title does not move while it is read */
    add_url_title(scratch, part(scratch, 0, url_at));
    size_t comment_at = scratch->len;
    if (e->kind == GEN_CATEGORIZE) {
        add_categorize_comment(scratch, w, e);
    } else {
        add_edit_comment(scratch, w, e, rng);
    }
    size_t end = scratch->len;

    buf_addz(out, e->rare == RARE_OLD_META       ? "{"
                  : e->rare == RARE_SCHEMA_1_0_1 ? "{\"$schema\":\"/mediawiki/recentchange/1.0.1\","
                                                 : "{\"$schema\":\"/mediawiki/recentchange/1.0.0\",");
    add_meta(out, w, e, place, part(scratch, url_at, comment_at), rng);
    add_id(out, e, e->kind != GEN_LOG || logs[log].has_id);
    add_type(out, e);
    ADD(out, ",\"title\":");
    add_string(out, part(scratch, 0, url_at));
    ADD(out, ",\"title_url\":\"https://");
    buf_addz(out, w->server);
    ADD(out, "/wiki/");
    buf_add(out, part(scratch, url_at, comment_at));
    ADD(out, "\",\"comment\":");
    add_string(out, part(scratch, comment_at, end));
    ADD(out, ",\"timestamp\":");
    buf_add_int(out, e->timestamp_s);
    add_actor(out, scratch, w, e);
    if (e->kind == GEN_LOG) {
        add_log(out, e, log, part(scratch, comment_at, end), rng);
    } else {
        add_notify(out, w, e);
    }
    if (e->kind == GEN_EDIT || e->kind == GEN_NEW) {
        add_flags(out, w, e, rng);
    }
    add_server(out, w);
    ADD(out, ",\"parsedcomment\":");
    size_t html_at = scratch->len;
    buf_reserve(scratch, 6 * html_at + 256 + (e->rare == RARE_LONG_COMMENT ? 65536 : 0)); /* nothing may move */
    add_parsed(scratch, e, w, part(scratch, comment_at, end), part(scratch, url_at, comment_at));
    add_string(out, part(scratch, html_at, scratch->len));
    ADD(out, "}");
}
