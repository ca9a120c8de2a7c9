/* SPDX-License-Identifier: MIT
 *
 * scan.c - one strict pass over one event: checks every byte, keeps the fields that somebody asked for.
 *
 * What is accepted is oracle.md section 2: RFC 8259, UTF-8, at most 64 deep and 8 MiB, every \u surrogate half of a
 * pair. Nothing is copied: a field is a slice of the text.
 *
 * Two passes. The first (index.h) looks at 64 bytes at a time, without knowing the grammar: where quotes are, whether
 * escapes and UTF-8 are right. The second, here, reads the grammar: one loop with a small stack of open objects and
 * arrays. It guesses each key (field.h) and jumps over each string, so that it sees few bytes of most events.
 *
 * The loop exists twice. What the first pass approved of and ends with '}' is read with its index, and needs no look at
 * the end of the text before each byte: no token but the closing brace can be the last byte. This way only says yes.
 * Anything else - other JSON, short or huge texts, line ends between tokens, every defect - is read a second time, byte
 * by byte, to say what it is and where it goes wrong (`indexed` is false). So no kernel decides about a defect.
 *
 * That pass stops at the first defect it meets; oracle.md orders the reasons otherwise ("first that applies"), so a
 * refused text is looked at once more, without hurry, by scan_verdict().
 *
 * The helpers (scan_token.h: the tokens) are forced inline and the state's address goes nowhere, so that it stays in
 * registers: an address given away costs a tenth. What else was tried: docs/decisions/0007-the-scan.md.
 */
#include "change/scan.h"

#include "base/fault.h"
#include "change/field.h"
#include "change/scan_token.h"
#include "change/verdict.h"

#if __has_attribute(uninitialized) /* 10 KB that would be cleared for each event */
#define UNSET __attribute__((uninitialized))
#else
#define UNSET
#endif

/* An open object or array. */
struct frame {
    const char *begin;
    const struct field_key *key; /* the field that it is, or nobody */
    char close;                  /* '}' or ']' */
};

/* Forgets all that was found below a node: of equal keys the last wins whole. */
static void forget_below(const struct field_set *set, struct value *values, int node)
{
    for (int at = set->nodes[node].child; at != FIELD_NONE; at = set->nodes[at].sibling) {
        if (set->keys[at].index != FIELD_NONE) {
            values[set->keys[at].index] = (struct value){.kind = VALUE_ABSENT};
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

/* A field with fields below it comes: if it may have come before, all that was found below it is forgotten. The bit of
 * a node can be another's too: then there is nothing to forget. */
static uint64_t object_again(uint64_t seen, const struct field_set *set, struct value *values, int node)
{
    const uint64_t bit = UINT64_C(1) << (node & 63);
    if (UNLIKELY(seen & bit) && !fault("R2.last-wins")) {
        forget_below(set, values, node);
    }
    return seen | bit;
}

/* The node of a key, or FIELD_NONE. */
static int key_node(const struct field_set *set, int parent, struct str raw, bool escaped, bool lost)
{
    if (parent == FIELD_NONE) {
        return FIELD_NONE;
    }
    if (LIKELY(!escaped)) {
        return field_child(set, parent, raw.ptr, raw.len);
    }
    /* with a lone surrogate this event is lost anyway, and the key may have no UTF-8 */
    return lost ? FIELD_NONE : escaped_child(set, parent, raw.ptr, raw.ptr + raw.len);
}

/* Where a value goes that nobody asked for: nowhere. */
static const struct field_key nobody = {.node = FIELD_NONE, .parent = FIELD_NO_PARENT, .index = FIELD_NONE};

/* p is behind the comma or bracket before a key, and comes behind the colon. *last: the known key before this one.
 * -> the field, or nobody; NULL: it is no key. */
FORCE_INLINE const struct field_key *scan_key(struct scan *s, const struct field_set *set, struct value *values,
                                              const struct field_key *parent, const struct field_key **last)
{
    const struct field_key *key = field_guess(set, *last);
    if (s->indexed) {
        s->p += *s->p == ' ';
    }
    if (s->indexed && LIKELY(key->parent == parent->node && s->p <= s->guess_end && field_key_at(key, s->p))) {
        s->p += key->len;
    } else {
        struct value name;
        if (!take(s, '"') || !scan_string(s, &name, true) || !take(s, ':')) {
            return NULL;
        }
        const int node = key_node(set, parent->node, name.raw, name.escaped, s->surrogate_at);
        if (node == FIELD_NONE) {
            return &nobody;
        }
        key = &set->keys[node];
        field_guess_set(set, *last, node);
    }
    if (UNLIKELY(key->parent_of_some)) {
        s->seen = object_again(s->seen, set, values, key->node);
    }
    *last = key;
    return key;
}

/* A value has ended, or an empty container is about to: closes all that closes here. -> true: p is behind the comma
 * that follows, or (nothing is open) behind the outermost value. */
FORCE_INLINE bool close_all(struct scan *s, struct value *values, struct frame *open, struct frame **top)
{
    while (*top > open) {
        if (take(s, ',')) {
            return true;
        }
        const struct frame *const f = *top;
        if (peek(s) != f->close) { /* take() has passed the blanks */
            return false;
        }
        s->p++;
        if (f->key->index != FIELD_NONE) {
            values[f->key->index] = (struct value){.kind = f->close == '}' ? VALUE_OBJECT : VALUE_ARRAY,
                                                   .raw = {f->begin, (size_t)(s->p - f->begin)}};
        }
        --*top;
        if (s->p == s->end) {
            return *top == open;
        }
    }
    return true;
}

/* -> true: all of the text is one JSON text (but for surrogates). Else s->p is the byte that cannot be. */
FORCE_INLINE bool scan_text(struct scan *s, const struct field_set *set, struct value *values)
{
    struct frame open[CHANGE_MAX_DEPTH + 1] UNSET; /* the first is none */
    struct frame *top = open;
    struct value nowhere UNSET;
    const struct field_key *key = set->keys, *last = key;
    do {
        if (LIKELY(top > open)) {
            key = LIKELY(top->close == '}') ? scan_key(s, set, values, top->key, &last) : &nobody;
            if (UNLIKELY(!key)) {
                return false;
            }
        }
        char first = peek(s);
        if (UNLIKELY((unsigned char)first <= ' ')) {
            s->p = skip_blanks(s->p, s->end);
            first = peek(s);
        }
        // cppcheck-suppress uninitvar ; nothing is read from it, only its address is taken
        struct value *const place = key->index == FIELD_NONE ? &nowhere : &values[key->index];
        if (LIKELY(first == '"')) {
            s->p++;
            place->kind = VALUE_STRING;
            if (!scan_string(s, place, place != &nowhere)) {
                return false;
            }
        } else if (first == '{' || first == '[') {
            if (top == open + CHANGE_MAX_DEPTH) {
                return false;
            }
            const char close = first == '{' ? '}' : ']';
            *++top = (struct frame){s->p++, key, close};
            if (UNLIKELY((unsigned char)peek(s) <= ' ')) {
                s->p = skip_blanks(s->p, s->end);
            }
            if (peek(s) != close) {
                continue;
            }
        } else if (!scan_bare(s, first, place, place != &nowhere)) {
            return false;
        }
        if (!close_all(s, values, open, &top)) {
            return false;
        }
    } while (top > open);
    s->p = skip_blanks(s->p, s->end);
    return s->p == s->end;
}

/* The two copies of the loop. */
static bool scan_indexed(struct str text, const struct text_index *index, const struct field_set *set,
                         struct value *values)
{
    struct scan s = {.p = text.ptr,
                     .end = text.ptr + text.len,
                     .text = text.ptr,
                     .index = index,
                     .slash_first = text.ptr + index->slash_first,
                     .slash_last = text.ptr + index->slash_last,
                     .guess_end = text.ptr + text.len - FIELD_KEY_BYTES,
                     .indexed = true};
    return scan_text(&s, set, values);
}

static bool scan_careful(struct scan *s, const struct field_set *set, struct value *values)
{
    s->indexed = false;
    return scan_text(s, set, values);
}

bool scan_quickly(struct str text, const struct field_set *set, struct value *values)
{
    struct text_index index UNSET;
    return text.len >= INDEX_TEXT_MIN && text.len <= INDEX_TEXT_MAX && text.ptr[text.len - 1] == '}' &&
           index_kernel()->find(text, &index) && scan_indexed(text, &index, set, values);
}

static void values_clear(const struct field_set *set, struct value *values)
{
    for (size_t i = 0; i < set->count; i++) {
        values[i] = (struct value){.kind = VALUE_ABSENT};
    }
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
    values_clear(set, values);
    text = trim_end(text);
    if (LIKELY(scan_quickly(text, set, values))) {
        return DEAD_NONE;
    }
    values_clear(set, values); /* the quick way may have filled some */
    struct scan s = {.p = text.ptr, .end = text.ptr + text.len, .text = text.ptr};
    if (!scan_careful(&s, set, values) || (s.high && text_bad_utf8(text.ptr, s.end))) {
        return scan_verdict(text, (size_t)(s.p - text.ptr), ret_at);
    }
    if (s.surrogate_at && !fault("R2.surrogate")) {
        *ret_at = (size_t)(s.surrogate_at - text.ptr);
        return DEAD_SURROGATE;
    }
    if (!str_ends(text, STR("}"))) {
        *ret_at = (size_t)(skip_blanks(text.ptr, s.end) - text.ptr);
        return DEAD_NOT_OBJECT;
    }
    return DEAD_NONE;
}
