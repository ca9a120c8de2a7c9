/* SPDX-License-Identifier: MIT
 *
 * recording.c - records of a recording, one by one (source.h: struct recording). What it may be, told by its content:
 *
 *   raw Server-Sent Events   recognised as oracle.md section 1 says; only type `message` is a record, and an unfinished
 *                            last block is none
 *   journal-dump lines       {"partition":p,"offset":o,"arrival_ms":a,"value":{...}}, told line by line; "value":null
 *                            with "value_b64" holds bytes that are no JSON object
 *   lines of JSON            everything else. A line of nothing but blank, tab and CR is no record
 *
 * plain, gzip or zstd (base/input.h). A line longer than `LINE_MAX` is cut to that length, which is more than an
 * event may have, so that it becomes a dead letter and memory stays bounded.
 */
#include "source/recording.h"

#include "base/input.h"
#include "source/sse.h"

#include <stdlib.h>

enum { HEAD_MAX = 4096 };
#define LINE_LIMIT (CHANGE_MAX_BYTES + ((size_t)4 << 20)) /* a journal-dump line of 8 MiB in base64 fits */

enum format { FORMAT_UNKNOWN, FORMAT_LINES, FORMAT_SSE };

struct recording {
    struct input *input;
    enum format format;
    struct str chunk;    /* what has been read and not yet used; borrowed from input or head */
    struct buf head;     /* the first bytes, collected until the format is known */
    struct buf partial;  /* a line whose end has not come yet */
    struct buf unpacked; /* of value_b64 */
    struct sse sse;
    bool cut;   /* the rest of a line that is too long is being skipped */
    bool ended; /* the input is at its end */
    int64_t place;
};

enum err_class recording_open(const char *path, struct recording **ret_recording, struct err *err)
{
    return recording_open_waiting(path, &(struct input_wait){0}, ret_recording, err);
}

enum err_class recording_open_waiting(const char *path, const struct input_wait *wait, struct recording **ret_recording,
                                      struct err *err)
{
    struct input *input;
    enum err_class cls = input_open_waiting(path, wait, &input, err);
    if (cls) {
        return cls;
    }
    struct recording *r = xcalloc(1, sizeof(*r));
    r->input = input;
    r->partial.max = LINE_LIMIT;
    r->unpacked.max = LINE_LIMIT;
    sse_init(&r->sse, LINE_LIMIT, LINE_LIMIT);
    *ret_recording = r;
    return ERR_NONE;
}

void recording_close(struct recording *r)
{
    if (!r) {
        return;
    }
    input_close(r->input);
    buf_fini(&r->head);
    buf_fini(&r->partial);
    buf_fini(&r->unpacked);
    sse_fini(&r->sse);
    free(r);
}

int64_t recording_place(const struct recording *r)
{
    return r->place;
}

static enum err_class refill(struct recording *r, struct err *err)
{
    enum err_class cls = input_bytes(r->input, &r->chunk, err);
    r->ended = !cls && r->chunk.len == 0;
    return cls;
}

/* Is there enough to tell the format? The longest name that SSE is known by is "event:" or "retry:", behind a byte
 * order mark and empty lines. */
static bool decidable(struct str head)
{
    size_t at = str_starts(head, STR("\xEF\xBB\xBF")) ? 3 : 0;
    while (at < head.len && (head.ptr[at] == '\n' || head.ptr[at] == '\r')) {
        at++;
    }
    return head.len >= HEAD_MAX || head.len - at >= 6;
}

static enum err_class find_format(struct recording *r, struct err *err)
{
    while (!r->ended && !decidable(buf_str(&r->head))) {
        enum err_class cls = refill(r, err);
        if (cls) {
            return cls;
        }
        buf_add(&r->head, r->chunk);
    }
    r->format = sse_looks_like(buf_str(&r->head)) ? FORMAT_SSE : FORMAT_LINES;
    r->chunk = buf_str(&r->head);
    return ERR_NONE;
}

/* ---------------------------------------------------------------- lines */

static void keep(struct recording *r, struct str part)
{
    size_t room = LINE_LIMIT - r->partial.len;
    r->cut |= part.len > room;
    buf_add(&r->partial, str_n(part.ptr, part.len < room ? part.len : room));
}

/* The next line without its LF, borrowed until the next call. */
static enum err_class next_line(struct recording *r, struct str *ret_line, bool *ret_more, struct err *err)
{
    buf_clear(&r->partial);
    r->cut = false;
    for (;;) {
        const char *lf = r->chunk.len ? memchr(r->chunk.ptr, '\n', r->chunk.len) : NULL;
        struct str part = {r->chunk.ptr, lf ? (size_t)(lf - r->chunk.ptr) : r->chunk.len};
        r->chunk = lf ? str_n(lf + 1, r->chunk.len - part.len - 1) : (struct str){NULL, 0};
        if (lf && r->partial.len == 0) {
            *ret_line = part;
            break;
        }
        keep(r, part);
        *ret_line = buf_str(&r->partial);
        if (lf || r->ended) {
            break;
        }
        enum err_class cls = refill(r, err);
        if (cls) {
            return cls;
        }
    }
    *ret_more = ret_line->len > 0 || !r->ended || r->chunk.len > 0;
    r->place += *ret_more;
    return ERR_NONE;
}

static bool is_blank(struct str line)
{
    size_t at = 0;
    while (at < line.len && (line.ptr[at] == ' ' || line.ptr[at] == '\t' || line.ptr[at] == '\r')) {
        at++;
    }
    return at == line.len;
}

/* ---------------------------------------------------------------- journal-dump lines */

/* Passes over a literal with blanks before it; the blanks also if it is not there. */
static bool skip(struct str *s, const char *literal)
{
    while (s->len && *s->ptr == ' ') {
        *s = str_n(s->ptr + 1, s->len - 1);
    }
    struct str want = str_of(literal);
    if (!str_starts(*s, want)) {
        return false;
    }
    *s = str_n(s->ptr + want.len, s->len - want.len);
    return true;
}

static bool number(struct str *s, int64_t *ret_value)
{
    size_t len = 0;
    skip(s, "");
    while (len < s->len && len < 20 && (s->ptr[len] == '-' || (s->ptr[len] >= '0' && s->ptr[len] <= '9'))) {
        len++;
    }
    if (!str_to_int64(str_n(s->ptr, len), ret_value)) {
        return false;
    }
    *s = str_n(s->ptr + len, s->len - len);
    return true;
}

static int base64_digit(char c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

static bool unpack_base64(struct buf *out, struct str text)
{
    uint32_t bits = 0;
    int count = 0;
    buf_clear(out);
    while (text.len && text.ptr[text.len - 1] == '=') {
        text.len--;
    }
    for (size_t i = 0; i < text.len; i++) {
        int digit = base64_digit(text.ptr[i]);
        if (digit < 0) {
            return false;
        }
        bits = bits << 6 | (uint32_t)digit;
        count += 6;
        if (count >= 8) {
            count -= 8;
            buf_addc(out, (char)(bits >> count & 255));
        }
    }
    return !out->overflow;
}

/* "name": with blanks where JSON allows them. */
static bool name(struct str *s, const char *quoted)
{
    return skip(s, quoted) && skip(s, ":");
}

/* {"partition":p,"offset":o,"arrival_ms":a,"value": is passed over; what remains is the value and the last bracket. */
static bool read_envelope(struct str *s, int64_t *ret_arrival_us)
{
    int64_t number_;
    if (!skip(s, "{") || !name(s, "\"partition\"") || !number(s, &number_) || !skip(s, ",") || !name(s, "\"offset\"") ||
        !number(s, &number_) || !skip(s, ",") || !name(s, "\"arrival_ms\"")) {
        return false;
    }
    *ret_arrival_us = TIME_NONE;
    if (!skip(s, "null")) {
        if (!number(s, &number_)) {
            return false;
        }
        *ret_arrival_us = number_ >= 0 && number_ < TIME_END / US_PER_MS ? number_ * US_PER_MS : TIME_NONE;
    }
    return skip(s, ",") && name(s, "\"value\"") && str_ends(*s, STR("}"));
}

/* Is this line an envelope? Then *line becomes what is inside. */
static void open_envelope(struct recording *r, struct str *line, int64_t *ret_arrival_us)
{
    struct str s = str_trim(*line);
    int64_t arrival_us;
    if (!read_envelope(&s, &arrival_us)) {
        return;
    }
    struct str value = str_trim(str_n(s.ptr, s.len - 1)), packed = value;
    if (skip(&packed, "null") && skip(&packed, ",") && name(&packed, "\"value_b64\"") && skip(&packed, "\"") &&
        str_ends(packed, STR("\""))) {
        if (!unpack_base64(&r->unpacked, str_n(packed.ptr, packed.len - 1))) {
            return;
        }
        value = buf_str(&r->unpacked);
    }
    *line = value;
    *ret_arrival_us = arrival_us;
}

static enum err_class next_json(struct recording *r, struct str *ret_bytes, int64_t *ret_arrival_us, bool *ret_more,
                                struct err *err)
{
    struct str line;
    bool more;
    do {
        enum err_class cls = next_line(r, &line, &more, err);
        if (cls) {
            return cls;
        }
    } while (more && is_blank(line));
    if (more) {
        *ret_arrival_us = TIME_NONE;
        open_envelope(r, &line, ret_arrival_us);
        *ret_bytes = line;
    }
    *ret_more = more;
    return ERR_NONE;
}

static enum err_class next_message(struct recording *r, struct str *ret_bytes, int64_t *ret_arrival_us, bool *ret_more,
                                   struct err *err)
{
    struct sse_event event;
    for (;;) {
        enum sse_result result = sse_next(&r->sse, &r->chunk, &event);
        if (result == SSE_EVENT && str_eq(event.type, STR("message"))) {
            r->place++;
            *ret_bytes = event.data;
            *ret_arrival_us = TIME_NONE;
            *ret_more = true;
            return ERR_NONE;
        }
        if (result != SSE_MORE) {
            continue;
        }
        enum err_class cls = r->ended ? ERR_NONE : refill(r, err);
        if (cls) {
            return cls;
        }
        if (r->ended) {
            *ret_more = false;
            return ERR_NONE;
        }
    }
}

enum err_class recording_next(struct recording *r, struct str *ret_bytes, int64_t *ret_arrival_us, bool *ret_more,
                              struct err *err)
{
    if (r->format == FORMAT_UNKNOWN) {
        enum err_class cls = find_format(r, err);
        if (cls) {
            return cls;
        }
    }
    return r->format == FORMAT_SSE ? next_message(r, ret_bytes, ret_arrival_us, ret_more, err)
                                   : next_json(r, ret_bytes, ret_arrival_us, ret_more, err);
}
