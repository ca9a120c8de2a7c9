/* SPDX-License-Identifier: MIT
 *
 * scan.c - one strict pass over one event: checks every byte, keeps the fields that somebody asked for.
 *
 * What is accepted is oracle.md section 2: RFC 8259, UTF-8, at most 64 deep and 8 MiB, every \u surrogate half of a
 * pair. Nothing is copied: a field is a slice of the text.
 *
 * One loop with a small stack of open objects and arrays. Most of an event is strings, so the text is looked at in
 * blocks of 64 bytes, once each: a word says where a string may end, and finding the end of one is to count its zeros.
 * The helpers are forced inline so that the position, the block and its word stay in registers.
 *
 * The loop exists twice. A text that ends with '}' needs no look at the end of the text before each byte: no token but
 * the closing brace can be the last byte, so only strings and closing braces ask (`careful` is false). Any other text
 * can be no event; it is read carefully, to say why.
 *
 * The pass stops at the first defect it meets; oracle.md orders the reasons otherwise ("first that applies"), so a
 * refused text is looked at once more, without hurry, by scan_verdict().
 *
 * Tried and left: recursive descent with a look of 16 bytes at a time for each string (half as fast: the branches on
 * the length of each string are guessed wrong).
 */
#include "base/fault.h"
#include "change/field.h"
#include "change/text.h"
#include "change/verdict.h"

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#if __has_attribute(uninitialized) /* 1.5 KB that would be cleared for each event */
#define UNSET __attribute__((uninitialized))
#else
#define UNSET
#endif
#define FORCE_INLINE static inline __attribute__((always_inline))

/* Where the pass is. */
struct scan {
    const char *p, *end;      /* end: of the text without blanks behind it */
    const char *base;         /* first byte of the block, at most p when a string begins */
    struct text_block block;  /* what is at base */
    const char *surrogate_at; /* first escape that has no UTF-8, or NULL; only a defect if the syntax is right */
    bool careful;             /* may p be the end where a token is expected? A constant, see above */
};

/* An open object or array. */
struct frame {
    const char *begin;
    int node;   /* the field that it is, or FIELD_NONE */
    char close; /* '}' or ']' */
};

static const char *skip_blanks(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) {
        p++;
    }
    return p;
}

/* The byte at p; a zero, which begins no token, at the end. */
FORCE_INLINE char peek(const struct scan *s)
{
    return s->careful && s->p == s->end ? '\0' : *s->p;
}

/* Takes one certain byte, and the blanks before it. The stream has none, so they are looked for last. */
FORCE_INLINE bool take(struct scan *s, char c)
{
    if (UNLIKELY(peek(s) != c)) {
        s->p = skip_blanks(s->p, s->end);
        if (peek(s) != c) {
            return false;
        }
    }
    s->p++;
    return true;
}

/* p is at the backslash of \uXXXX. -> behind it, behind both halves of a pair; NULL if it is no escape.
 * *ret_lone: half of a pair without the other. */
static const char *unicode_end(const char *p, const char *end, bool *ret_lone)
{
    const int unit = end - p >= 6 ? text_hex4(p + 2) : -1;
    const char *after = p + 6;
    *ret_lone = false;
    if (unit < 0xd800 || unit > 0xdfff) {
        return unit < 0 ? NULL : after;
    }
    if (unit < 0xdc00 && end - after >= 6 && after[0] == '\\' && after[1] == 'u') {
        const int low = text_hex4(after + 2);
        if (low >= 0xdc00 && low <= 0xdfff) {
            return after + 6;
        }
    }
    *ret_lone = true;
    return after;
}

/* p is at a backslash. */
FORCE_INLINE bool scan_escape(struct scan *s)
{
    if (s->end - s->p < 2) {
        return false;
    }
    switch (s->p[1]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        s->p += 2;
        return true;
    case 'u': {
        bool lone;
        const char *after = unicode_end(s->p, s->end, &lone);
        if (!after) {
            return false;
        }
        if (lone && !s->surrogate_at) {
            s->surrogate_at = s->p;
        }
        s->p = after;
        return true;
    }
    default:
        return false;
    }
}

FORCE_INLINE void load_block(struct scan *s, const char *base)
{
    s->base = base;
    s->block = LIKELY(s->end - base >= TEXT_BLOCK) ? text_block_at(base) : text_block_near_end(base, s->end);
}

/* Moves p to the next byte that may end the string, or to the end of the text. -> did it pass a byte that is not ASCII?
 * (Or one near by: blocks are not told apart from their parts.) */
FORCE_INLINE bool find_stop(struct scan *s)
{
    bool high = false;
    if (s->p - s->base >= TEXT_BLOCK) {
        load_block(s, s->base + ((s->p - s->base) & -(long)TEXT_BLOCK));
    }
    uint64_t stops = s->block.stops >> (s->p - s->base);
    while (UNLIKELY(stops == 0)) {
        high |= s->block.high;
        s->p = s->base + TEXT_BLOCK;
        load_block(s, s->p);
        stops = s->block.stops;
    }
    s->p += __builtin_ctzll(stops);
    return high | s->block.high;
}

/* p is behind the opening quote, and comes behind the closing one. Fills raw and escaped. */
FORCE_INLINE bool scan_string(struct scan *s, struct value *ret)
{
    const char *const begin = s->p;
    bool high = find_stop(s), escaped = false;
    while (UNLIKELY(s->p == s->end || *s->p != '"')) {
        if (s->p == s->end || *s->p != '\\' || !scan_escape(s)) {
            return false;
        }
        escaped = true;
        high |= find_stop(s);
    }
    if (high) {
        const char *bad = text_bad_utf8(begin, s->p);
        if (UNLIKELY(bad)) {
            s->p = bad;
            return false;
        }
    }
    ret->raw = (struct str){begin, (size_t)(s->p - begin)};
    ret->escaped = escaped;
    s->p++;
    return true;
}

/* At least one digit. */
FORCE_INLINE bool scan_digits(struct scan *s)
{
    const char *const begin = s->p;
    while ((unsigned)(peek(s) - '0') <= 9) {
        s->p++;
    }
    return s->p > begin;
}

/* *ret_whole: neither fraction nor exponent. */
FORCE_INLINE bool scan_number(struct scan *s, bool *ret_whole)
{
    s->p += *s->p == '-';
    if (peek(s) == '0') {
        s->p++;
    } else if (!scan_digits(s)) {
        return false;
    }
    const char *const after_whole = s->p;
    if (UNLIKELY(peek(s) == '.')) {
        s->p++;
        if (!scan_digits(s)) {
            return false;
        }
    }
    if (UNLIKELY(peek(s) == 'e' || peek(s) == 'E')) {
        s->p++;
        s->p += peek(s) == '+' || peek(s) == '-';
        if (!scan_digits(s)) {
            return false;
        }
    }
    *ret_whole = s->p == after_whole;
    return true;
}

FORCE_INLINE bool scan_word(struct scan *s, struct str word)
{
    const bool found = (size_t)(s->end - s->p) >= word.len && memcmp(s->p, word.ptr, word.len) == 0;
    s->p += found ? word.len : 0;
    return found;
}

/* The text of a number without leading zeros. Up to 18 digits need no look at the range. */
static void value_set_number(struct value *v, bool whole)
{
    v->kind = VALUE_NUMBER;
    if (!whole || v->raw.len > 20) {
        return;
    }
    if (v->raw.len > 18) {
        v->kind = str_to_int64(v->raw, &v->number) ? VALUE_INT : VALUE_NUMBER;
        return;
    }
    const bool negative = v->raw.ptr[0] == '-';
    int64_t number = 0;
    for (size_t i = negative; i < v->raw.len; i++) {
        number = number * 10 + (v->raw.ptr[i] - '0');
    }
    v->number = negative ? -number : number;
    v->kind = VALUE_INT;
}

/* p is at a string, a number or a word. */
FORCE_INLINE bool scan_scalar(struct scan *s, struct value *ret, bool wanted)
{
    const char *const begin = s->p;
    bool good, whole;
    switch (peek(s)) {
    case '"':
        s->p++;
        ret->kind = VALUE_STRING;
        return scan_string(s, ret);
    case 't':
        ret->kind = VALUE_TRUE;
        good = scan_word(s, STR("true"));
        break;
    case 'f':
        ret->kind = VALUE_FALSE;
        good = scan_word(s, STR("false"));
        break;
    case 'n':
        ret->kind = VALUE_NULL;
        good = scan_word(s, STR("null"));
        break;
    case '-':
    case '0' ... '9':
        good = scan_number(s, &whole);
        ret->raw = (struct str){begin, (size_t)(s->p - begin)};
        if (wanted && good) {
            value_set_number(ret, whole);
        }
        return good;
    default:
        return false;
    }
    ret->raw = (struct str){begin, (size_t)(s->p - begin)};
    return good;
}

/* Forgets all that was found below a node: of equal keys the last wins whole. */
static void forget_below(const struct field_set *set, struct value *values, int node)
{
    for (int at = set->nodes[node].child; at != FIELD_NONE; at = set->nodes[at].sibling) {
        if (set->nodes[at].index != FIELD_NONE) {
            values[set->nodes[at].index] = (struct value){.kind = VALUE_ABSENT};
        }
        forget_below(set, values, at);
    }
}

/* A key that was written with escapes is the key that they stand for. */
static int escaped_child(const struct field_set *set, int node, const char *p, const char *end)
{
    char name[FIELD_PATH_BYTES + 4];
    size_t len = 0;
    while (p < end && len <= FIELD_PATH_BYTES) {
        if (*p == '\\') {
            len += text_unescape(&p, name + len);
        } else {
            name[len++] = *p++;
        }
    }
    return len > FIELD_PATH_BYTES ? FIELD_NONE : field_child(set, node, name, len);
}

/* p is at the quote of a key, and comes behind the colon. */
FORCE_INLINE bool scan_key(struct scan *s, const struct field_set *set, struct value *values, int parent, int *ret_node)
{
    struct value key;
    int node = FIELD_NONE;
    if (UNLIKELY(!take(s, '"') || !scan_string(s, &key))) {
        return false;
    }
    if (parent != FIELD_NONE) {
        if (LIKELY(!key.escaped)) {
            node = field_child(set, parent, key.raw.ptr, key.raw.len);
        } else if (!s->surrogate_at) { /* else this event is lost anyway, and the key may have no UTF-8 */
            node = escaped_child(set, parent, key.raw.ptr, key.raw.ptr + key.raw.len);
        }
    }
    if (node != FIELD_NONE && set->nodes[node].child != FIELD_NONE && !fault("R2.last-wins")) {
        forget_below(set, values, node);
    }
    *ret_node = node;
    return take(s, ':');
}

/* Where the value of this field goes. */
FORCE_INLINE struct value *place_of(const struct field_set *set, struct value *values, int node, struct value *nowhere)
{
    const int index = node == FIELD_NONE ? FIELD_NONE : set->nodes[node].index;
    return index == FIELD_NONE ? nowhere : &values[index];
}

/* A value has ended, or an empty container is about to: closes all that closes here. -> true: p is behind the comma
 * that follows, or (*depth is 0) behind the outermost value. */
FORCE_INLINE bool close_all(struct scan *s, const struct field_set *set, struct value *values, struct frame *open,
                            size_t *depth)
{
    struct value nowhere UNSET;
    while (*depth > 0) {
        const struct frame *top = &open[*depth - 1];
        if (take(s, ',')) {
            return true;
        }
        if (peek(s) != top->close) { /* take() has passed the blanks */
            return false;
        }
        s->p++;
        *place_of(set, values, top->node, &nowhere) = (struct value){
            .kind = top->close == '}' ? VALUE_OBJECT : VALUE_ARRAY, .raw = {top->begin, (size_t)(s->p - top->begin)}};
        --*depth;
        if (s->p == s->end) {
            return *depth == 0;
        }
    }
    return true;
}

/* -> true: all of the text is one JSON text (but for surrogates). Else s->p is the byte that cannot be. */
FORCE_INLINE bool scan_text(struct scan *s, const struct field_set *set, struct value *values)
{
    struct frame open[CHANGE_MAX_DEPTH] UNSET;
    struct value nowhere UNSET;
    size_t depth = 0;
    int node = 0;
    do {
        if (depth > 0 && open[depth - 1].close == '}' && !scan_key(s, set, values, open[depth - 1].node, &node)) {
            return false;
        }
        if (UNLIKELY((unsigned char)peek(s) <= ' ')) {
            s->p = skip_blanks(s->p, s->end);
        }
        const char first = peek(s);
        if (first == '{' || first == '[') {
            if (depth == CHANGE_MAX_DEPTH) {
                return false;
            }
            const char close = first == '{' ? '}' : ']';
            open[depth++] = (struct frame){s->p++, node, close};
            s->p = skip_blanks(s->p, s->end);
            if (peek(s) != close) {
                node = FIELD_NONE; /* of an array's elements */
                continue;
            }
        } else {
            struct value *place = place_of(set, values, node, &nowhere);
            if (!scan_scalar(s, place, place != &nowhere)) {
                return false;
            }
        }
        if (!close_all(s, set, values, open, &depth)) {
            return false;
        }
        node = FIELD_NONE;
    } while (depth > 0);
    s->p = skip_blanks(s->p, s->end);
    return s->p == s->end;
}

/* Two copies of the loop. */
static bool scan_object(struct scan *s, const struct field_set *set, struct value *values)
{
    struct scan local = *s; /* its address goes nowhere, so it can live in registers */
    local.careful = false;
    const bool good = scan_text(&local, set, values);
    *s = local;
    return good;
}

static bool scan_other(struct scan *s, const struct field_set *set, struct value *values)
{
    s->careful = true;
    return scan_text(s, set, values);
}

static struct str trim_end(struct str text)
{
    while (text.len > 0 && skip_blanks(text.ptr + text.len - 1, text.ptr + text.len) == text.ptr + text.len) {
        text.len--;
    }
    return text;
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
    for (size_t i = 0; i < set->count; i++) {
        values[i] = (struct value){.kind = VALUE_ABSENT};
    }
    text = trim_end(text);
    struct scan s = {.p = text.ptr, .end = text.ptr + text.len, .base = text.ptr};
    load_block(&s, text.ptr);
    const bool ends_like_object = str_ends(text, STR("}"));
    if (UNLIKELY(!(ends_like_object ? scan_object(&s, set, values) : scan_other(&s, set, values)))) {
        return scan_verdict(text, (size_t)(s.p - text.ptr), ret_at);
    }
    if (UNLIKELY(s.surrogate_at && !fault("R2.surrogate"))) {
        *ret_at = (size_t)(s.surrogate_at - text.ptr);
        return DEAD_SURROGATE;
    }
    if (UNLIKELY(!ends_like_object)) {
        *ret_at = (size_t)(skip_blanks(text.ptr, s.end) - text.ptr);
        return DEAD_NOT_OBJECT;
    }
    return DEAD_NONE;
}
