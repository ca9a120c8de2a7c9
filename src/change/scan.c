/* SPDX-License-Identifier: MIT
 *
 * scan.c - one strict pass over one event: checks every byte, keeps the fields that somebody asked for.
 *
 * What is accepted is oracle.md section 2: RFC 8259, UTF-8, at most 64 deep and 8 MiB, every \u surrogate half of a
 * pair. Nothing is copied: a field is a slice of the text. Recursive descent (bounded by the depth); a pointer into the
 * text goes down and comes back behind what was read, NULL means that the text cannot be decoded.
 *
 * The pass stops at the first defect it meets; oracle.md orders the reasons otherwise ("first that applies"), so a
 * refused text is looked at once more, without hurry, by scan_verdict().
 *
 * Tried and left: a table of character classes for the structure (no faster than the compares, events have few
 * different tokens); checking UTF-8 for the text as a whole (most strings are ASCII, and the look for the closing quote
 * knows that already).
 */
#include "base/fault.h"
#include "change/field.h"
#include "change/text.h"
#include "change/verdict.h"

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

struct scan {
    const char *end;
    const struct field_set *set;
    struct value *values;
    const char *stopped_at;   /* the byte that cannot be */
    const char *surrogate_at; /* first escape that has no UTF-8, or NULL; only a defect if the syntax is right */
    int depth;
};

/* A string: between its quotes. */
struct text {
    const char *ptr;
    size_t len;
    bool escaped;
};

static const char *stop(struct scan *s, const char *at)
{
    s->stopped_at = at;
    return NULL;
}

static const char *skip_blanks(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) {
        p++;
    }
    return p;
}

/* The stream has no blanks, so one compare is all that they cost. */
static inline const char *skip(const char *p, const char *end)
{
    return LIKELY(p < end && (unsigned char)*p > ' ') ? p : skip_blanks(p, end);
}

/* p is at the backslash of \uXXXX. Remembers the first half without its other half. */
static const char *scan_unicode(struct scan *s, const char *p)
{
    const int unit = s->end - p >= 6 ? text_hex4(p + 2) : -1;
    if (unit < 0) {
        return stop(s, p);
    }
    const char *after = p + 6;
    if (unit < 0xd800 || unit > 0xdfff) {
        return after;
    }
    if (unit < 0xdc00 && s->end - after >= 6 && after[0] == '\\' && after[1] == 'u') {
        const int low = text_hex4(after + 2);
        if (low >= 0xdc00 && low <= 0xdfff) {
            return after + 6;
        }
    }
    if (!s->surrogate_at) {
        s->surrogate_at = p;
    }
    return after;
}

static inline const char *scan_escape(struct scan *s, const char *p)
{
    if (s->end - p < 2) {
        return stop(s, p);
    }
    switch (p[1]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        return p + 2;
    case 'u':
        return scan_unicode(s, p);
    default:
        return stop(s, p);
    }
}

/* The last bytes of the text, where no whole block can be read. */
static struct text_look look_near_end(const char *p, const char *end)
{
    struct text_look look = {0, false};
    while (p + look.plain < end) {
        const unsigned char c = (unsigned char)p[look.plain];
        if (c < 0x20 || c == '"' || c == '\\') {
            break;
        }
        look.high |= c >= 0x80;
        look.plain++;
    }
    return look;
}

/* p is behind the opening quote. -> behind the closing one. */
static inline const char *scan_string(struct scan *s, const char *p, struct text *ret)
{
    const char *const begin = p;
    bool high = false, escaped = false;
    for (;;) {
        const bool whole = LIKELY(s->end - p >= TEXT_BLOCK);
        const struct text_look look = whole ? text_look(p) : look_near_end(p, s->end);
        p += look.plain;
        high |= look.high;
        if (whole && look.plain == TEXT_BLOCK) {
            continue;
        }
        if (UNLIKELY(p == s->end)) {
            return stop(s, p);
        }
        if (LIKELY(*p == '"')) {
            break;
        }
        if (*p != '\\') {
            return stop(s, p);
        }
        escaped = true;
        p = scan_escape(s, p);
        if (UNLIKELY(!p)) {
            return NULL;
        }
    }
    if (high) {
        const char *bad = text_bad_utf8(begin, p);
        if (bad) {
            return stop(s, bad);
        }
    }
    *ret = (struct text){begin, (size_t)(p - begin), escaped};
    return p + 1;
}

static inline bool is_digit(const char *p, const char *end)
{
    return p < end && *p >= '0' && *p <= '9';
}

/* At least one digit, else NULL. */
static inline const char *scan_digits(struct scan *s, const char *p)
{
    if (!is_digit(p, s->end)) {
        return stop(s, p);
    }
    do {
        p++;
    } while (is_digit(p, s->end));
    return p;
}

/* -> behind the number; *ret_whole: neither fraction nor exponent. */
static inline const char *scan_number(struct scan *s, const char *p, bool *ret_whole)
{
    p += *p == '-';
    if (p < s->end && *p == '0') {
        p++;
    } else {
        p = scan_digits(s, p);
    }
    *ret_whole = true;
    if (p && p < s->end && *p == '.') {
        *ret_whole = false;
        p = scan_digits(s, p + 1);
    }
    if (p && p < s->end && (*p == 'e' || *p == 'E')) {
        *ret_whole = false;
        p++;
        p = scan_digits(s, p + (p < s->end && (*p == '+' || *p == '-')));
    }
    return p;
}

static inline const char *scan_word(struct scan *s, const char *p, struct str word)
{
    if ((size_t)(s->end - p) < word.len || memcmp(p, word.ptr, word.len) != 0) {
        return stop(s, p);
    }
    return p + word.len;
}

/* Forgets all that was found below a node: of equal keys the last wins whole. */
static void forget_below(const struct scan *s, int node)
{
    for (int at = s->set->nodes[node].child; at != FIELD_NONE; at = s->set->nodes[at].sibling) {
        if (s->set->nodes[at].index != FIELD_NONE) {
            s->values[s->set->nodes[at].index].kind = VALUE_ABSENT;
        }
        forget_below(s, at);
    }
}

/* The text of a whole number without leading zeros. */
static void value_set_number(struct value *v, bool whole)
{
    v->kind = whole && v->raw.len <= 20 && str_to_int64(v->raw, &v->number) ? VALUE_INT : VALUE_NUMBER;
}

static const char *scan_object(struct scan *s, const char *p, int node);
static const char *scan_array(struct scan *s, const char *p);

/* p is at the first byte of the value of field `node`, or FIELD_NONE if nobody wants it. -> behind it. */
static inline const char *scan_value(struct scan *s, const char *p, int node)
{
    struct value found = {.kind = VALUE_STRING};
    struct text text = {0};
    const char *const begin = p;
    bool whole = false;
    if (UNLIKELY(p == s->end)) {
        return stop(s, p);
    }
    switch (*p) {
    case '"':
        p = scan_string(s, p + 1, &text);
        break;
    case '{':
        found.kind = VALUE_OBJECT;
        p = scan_object(s, p + 1, node);
        break;
    case '[':
        found.kind = VALUE_ARRAY;
        p = scan_array(s, p + 1);
        break;
    case 't':
        found.kind = VALUE_TRUE;
        p = scan_word(s, p, STR("true"));
        break;
    case 'f':
        found.kind = VALUE_FALSE;
        p = scan_word(s, p, STR("false"));
        break;
    case 'n':
        found.kind = VALUE_NULL;
        p = scan_word(s, p, STR("null"));
        break;
    case '-':
    case '0' ... '9':
        found.kind = VALUE_NUMBER;
        p = scan_number(s, p, &whole);
        break;
    default:
        return stop(s, p);
    }
    if (LIKELY(node == FIELD_NONE || s->set->nodes[node].index == FIELD_NONE) || UNLIKELY(!p)) {
        return p;
    }
    if (found.kind == VALUE_STRING) {
        found.raw = (struct str){text.ptr, text.len};
        found.escaped = text.escaped;
    } else {
        found.raw = (struct str){begin, (size_t)(p - begin)};
    }
    if (found.kind == VALUE_NUMBER) {
        value_set_number(&found, whole);
    }
    s->values[s->set->nodes[node].index] = found;
    return p;
}

/* A key that was written with escapes is the key that they stand for. */
static int escaped_child(const struct scan *s, int node, const struct text *key)
{
    char name[FIELD_PATH_BYTES + 4];
    size_t len = 0;
    const char *p = key->ptr, *end = key->ptr + key->len;
    if (s->surrogate_at) {
        return FIELD_NONE; /* this event is lost anyway, and the key may have no UTF-8 */
    }
    while (p < end && len <= FIELD_PATH_BYTES) {
        if (*p == '\\') {
            len += text_unescape(&p, name + len);
        } else {
            name[len++] = *p++;
        }
    }
    return len > FIELD_PATH_BYTES ? FIELD_NONE : field_child(s->set, node, name, len);
}

static inline int child_of_key(const struct scan *s, int node, const struct text *key)
{
    if (node == FIELD_NONE) {
        return FIELD_NONE;
    }
    const int child =
        UNLIKELY(key->escaped) ? escaped_child(s, node, key) : field_child(s->set, node, key->ptr, key->len);
    if (child != FIELD_NONE && s->set->nodes[child].child != FIELD_NONE && !fault("R2.last-wins")) {
        forget_below(s, child);
    }
    return child;
}

/* p is behind '{'. `node`: whose children its keys are. */
static const char *scan_object(struct scan *s, const char *p, int node)
{
    if (++s->depth > CHANGE_MAX_DEPTH) {
        return stop(s, p - 1);
    }
    p = skip(p, s->end);
    if (p < s->end && *p == '}') {
        s->depth--;
        return p + 1;
    }
    for (;;) {
        struct text key;
        if (p == s->end || *p != '"') {
            return stop(s, p);
        }
        p = scan_string(s, p + 1, &key);
        if (UNLIKELY(!p)) {
            return NULL;
        }
        const int child = child_of_key(s, node, &key);
        p = skip(p, s->end);
        if (UNLIKELY(p == s->end || *p != ':')) {
            return stop(s, p);
        }
        p = scan_value(s, skip(p + 1, s->end), child);
        if (UNLIKELY(!p)) {
            return NULL;
        }
        p = skip(p, s->end);
        if (UNLIKELY(p == s->end)) {
            return stop(s, p);
        }
        if (*p != ',') {
            break;
        }
        p = skip(p + 1, s->end);
    }
    s->depth--;
    return *p == '}' ? p + 1 : stop(s, p);
}

static const char *scan_array(struct scan *s, const char *p)
{
    if (++s->depth > CHANGE_MAX_DEPTH) {
        return stop(s, p - 1);
    }
    p = skip(p, s->end);
    if (p < s->end && *p == ']') {
        s->depth--;
        return p + 1;
    }
    for (;;) {
        p = scan_value(s, p, FIELD_NONE);
        if (!p) {
            return NULL;
        }
        p = skip(p, s->end);
        if (p == s->end) {
            return stop(s, p);
        }
        if (*p != ',') {
            break;
        }
        p = skip(p + 1, s->end);
    }
    s->depth--;
    return *p == ']' ? p + 1 : stop(s, p);
}

enum dead_reason change_scan(const struct field_set *set, struct str text, struct value *values, size_t *ret_at)
{
    if (text.len > CHANGE_MAX_BYTES) {
        *ret_at = CHANGE_MAX_BYTES;
        return DEAD_TOO_LARGE;
    }
    if (text.len == 0) {
        text.ptr = ""; /* it may have been NULL */
    }
    struct scan s = {.end = text.ptr + text.len, .set = set, .values = values};
    for (size_t i = 0; i < set->count; i++) {
        values[i].kind = VALUE_ABSENT;
    }
    const char *begin = skip(text.ptr, s.end);
    const char *p = scan_value(&s, begin, 0);
    if (p) {
        p = skip(p, s.end);
        if (p != s.end) {
            p = stop(&s, p);
        }
    }
    if (UNLIKELY(!p)) {
        return scan_verdict(text, (size_t)(s.stopped_at - text.ptr), ret_at);
    }
    if (UNLIKELY(s.surrogate_at && !fault("R2.surrogate"))) {
        *ret_at = (size_t)(s.surrogate_at - text.ptr);
        return DEAD_SURROGATE;
    }
    if (UNLIKELY(*begin != '{')) {
        *ret_at = (size_t)(begin - text.ptr);
        return DEAD_NOT_OBJECT;
    }
    return DEAD_NONE;
}
