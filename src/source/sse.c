/* SPDX-License-Identifier: MIT
 *
 * sse.c - the parser of sse.h, after the HTML standard sections 9.2.5 and 9.2.6.
 *
 * A line ends at CRLF, LF or a lone CR. A CR that is the last byte of a piece ends its line at once; an LF that opens
 * the next piece is then swallowed. A line that lies wholly in the input is taken from there; only one that is cut is
 * copied to `line`.
 */
#include "source/sse.h"
#include "base/fault.h"

#include <stdio.h>

static const char bom[3] = {(char)0xEF, (char)0xBB, (char)0xBF};

void sse_init(struct sse *s, size_t max_line_bytes, size_t max_event_bytes)
{
    *s = (struct sse){.max_line_bytes = max_line_bytes, .max_event_bytes = max_event_bytes, .retry_ms = -1};
    s->line.max = max_line_bytes;
    s->data.max = max_event_bytes + 1; /* the last LF */
    s->type.max = s->next_id.max = s->last_id.max = max_line_bytes;
}

void sse_fini(struct sse *s)
{
    buf_fini(&s->line);
    buf_fini(&s->data);
    buf_fini(&s->type);
    buf_fini(&s->next_id);
    buf_fini(&s->last_id);
}

/* The first CR or LF. Searched in windows that grow, so that a hostile run of lone CRs costs no full scan for an LF per
 * line. */
static const char *line_end(const char *p, const char *end)
{
    for (size_t window = 256; p < end; window *= 2) {
        size_t n = (size_t)(end - p) < window ? (size_t)(end - p) : window;
        const char *lf = memchr(p, '\n', n);
        const char *cr = memchr(p, '\r', lf ? (size_t)(lf - p) : n);
        if (cr || lf) {
            return cr ? cr : lf;
        }
        p += n;
    }
    return NULL;
}

/* Adds what fits and remembers that something did not. */
static void data_add(struct sse *s, struct str value)
{
    size_t room = s->data.len < s->max_event_bytes ? s->max_event_bytes - s->data.len : 0;
    if (value.len > room) {
        s->truncated = true;
        value.len = room;
    }
    buf_add(&s->data, value);
    if (s->data.len <= s->max_event_bytes) {
        buf_addc(&s->data, '\n');
    } else {
        s->truncated = true;
    }
}

static void set(struct buf *b, struct str value)
{
    buf_clear(b);
    buf_add(b, value);
}

static void set_retry(struct sse *s, struct str value)
{
    int64_t ms = 0;
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] < '0' || value.ptr[i] > '9') {
            return;
        }
        if (__builtin_mul_overflow(ms, 10, &ms) || __builtin_add_overflow(ms, value.ptr[i] - '0', &ms)) {
            ms = INT64_MAX;
        }
    }
    if (value.len > 0) {
        s->retry_ms = ms;
    }
}

static void field(struct sse *s, struct str name, struct str value)
{
    if (str_eq(name, STR("data"))) {
        s->truncated |= s->line_oversize;
        data_add(s, value);
    } else if (s->line_oversize) {
        /* an id, type or retry that is not whole is worse than none */
    } else if (str_eq(name, STR("event"))) {
        set(&s->type, value);
    } else if (str_eq(name, STR("id"))) {
        if (!value.len || !memchr(value.ptr, 0, value.len)) {
            set(&s->next_id, value);
            if (fault("R3.id_early")) { /* before its event is whole */
                set(&s->last_id, value);
            }
        }
    } else if (str_eq(name, STR("retry"))) {
        set_retry(s, value);
    }
}

static bool dispatch(struct sse *s, struct sse_event *ret_event)
{
    set(&s->last_id, buf_str(&s->next_id));
    if (s->data.len == 0) {
        buf_clear(&s->type);
        return false;
    }
    struct str data = buf_str(&s->data);
    if (data.ptr[data.len - 1] == '\n') {
        data.len--;
    }
    *ret_event = (struct sse_event){
        .type = s->type.len ? buf_str(&s->type) : STR("message"), .data = data, .truncated = s->truncated};
    s->dispatched = true;
    return true;
}

/* A whole line (its first bytes, if it was oversize). */
static enum sse_result take_line(struct sse *s, struct str line, struct sse_event *ret_event)
{
    enum sse_result result = SSE_MORE;
    s->oversize_lines += s->line_oversize;
    const char *colon = line.len ? memchr(line.ptr, ':', line.len) : NULL;
    if (line.len == 0) {
        result = dispatch(s, ret_event) ? SSE_EVENT : SSE_MORE;
    } else if (colon == line.ptr) {
        *ret_event = (struct sse_event){.data = {line.ptr + 1, line.len - 1}, .truncated = s->line_oversize};
        result = SSE_COMMENT;
    } else if (!colon) {
        field(s, line, (struct str){NULL, 0});
    } else {
        const char *value = colon + 1, *end = line.ptr + line.len;
        value += value < end && *value == ' ';
        field(s, str_n(line.ptr, (size_t)(colon - line.ptr)), str_n(value, (size_t)(end - value)));
    }
    s->line_oversize = false;
    return result;
}

/* The mark may come in three pieces; what only began like one is content. */
static void skip_bom(struct sse *s, struct str *input)
{
    while (s->bom_seen < 3 && input->len > 0 && *input->ptr == bom[s->bom_seen]) {
        s->bom_seen++;
        *input = str_n(input->ptr + 1, input->len - 1);
    }
    if (s->bom_seen < 3 && input->len > 0) {
        buf_add(&s->line, str_n(bom, s->bom_seen));
        s->bom_seen = 4;
    } else if (s->bom_seen == 3) {
        s->bom_seen = 4;
    }
}

/* Keeps the beginning of a line whose end is not there yet, up to the maximum. */
static void keep(struct sse *s, struct str part)
{
    size_t room = s->max_line_bytes - s->line.len;
    if (part.len > room) {
        s->line_oversize = true;
        part.len = room;
    }
    buf_add(&s->line, part);
}

/* What was lent out by the last call is free again. */
static void give_back(struct sse *s)
{
    if (s->line_lent) {
        buf_clear(&s->line);
        s->line_lent = false;
    }
    if (s->dispatched) {
        buf_clear(&s->data);
        buf_clear(&s->type);
        s->truncated = false;
        s->dispatched = false;
    }
}

enum sse_result sse_next(struct sse *s, struct str *input, struct sse_event *ret_event)
{
    give_back(s);
    if (s->bom_seen < 4) {
        skip_bom(s, input);
    }
    while (input->len > 0) {
        if (s->after_cr) {
            s->after_cr = false;
            if (*input->ptr == '\n') {
                *input = str_n(input->ptr + 1, input->len - 1);
                continue;
            }
        }
        const char *end = line_end(input->ptr, input->ptr + input->len);
        struct str part = str_n(input->ptr, end ? (size_t)(end - input->ptr) : input->len);
        *input = str_n(part.ptr + part.len + (end != NULL), input->len - part.len - (end != NULL));
        if (!end) {
            keep(s, part);
            return SSE_MORE;
        }
        s->after_cr = *end == '\r';
        if (s->line.len > 0 || s->line_oversize || part.len > s->max_line_bytes) {
            keep(s, part);
            part = buf_str(&s->line);
        }
        enum sse_result result = take_line(s, part, ret_event);
        if (result != SSE_MORE) {
            s->line_lent = true;
            return result;
        }
        buf_clear(&s->line);
    }
    return SSE_MORE;
}

bool sse_looks_like(struct str head)
{
    static const struct str names[] = {STR_INIT("event:"), STR_INIT("id:"), STR_INIT("data:"), STR_INIT("retry:"),
                                       STR_INIT(":")};
    if (str_starts(head, str_n(bom, sizeof(bom)))) {
        head = str_n(head.ptr + sizeof(bom), head.len - sizeof(bom));
    }
    while (head.len > 0 && (*head.ptr == '\n' || *head.ptr == '\r')) {
        head = str_n(head.ptr + 1, head.len - 1);
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (str_starts(head, names[i])) {
            return true;
        }
    }
    return false;
}
