/* SPDX-License-Identifier: MIT
 *
 * buf.c - growing runs of bytes. Memory doubles, so appending is linear in what is appended; the maximum is of bytes
 * used (the NUL behind them is not counted).
 */
#include "base/buf.h"

#include "base/err.h"
#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>

enum { FIRST_CAP = 64 };

void buf_fini(struct buf *b)
{
    free(b->ptr);
    b->ptr = NULL;
    b->len = b->cap = 0;
    b->overflow = false;
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->overflow = false;
    if (b->ptr) {
        b->ptr[0] = '\0';
    }
}

static __attribute__((noinline)) bool buf_grow(struct buf *b, size_t more)
{
    size_t max = b->max ? b->max : BUF_DEFAULT_MAX;
    if (b->overflow || more > max || b->len > max - more) {
        b->overflow = true;
        return false;
    }
    size_t need = b->len + more + 1;
    size_t cap = b->cap ? b->cap : FIRST_CAP;
    while (cap < need) {
        cap *= 2;
    }
    cap = cap > max + 1 ? max + 1 : cap;
    if (cap > b->cap) {
        b->ptr = xrealloc(b->ptr, cap);
        b->cap = cap;
    }
    return true;
}

/* The capacity never exceeds max + 1, so what fits in it is within the maximum, unless max was lowered since. */
static inline bool buf_room(struct buf *b, size_t more)
{
    if (b->cap > b->len && more < b->cap - b->len && !b->overflow && (!b->max || b->len + more <= b->max)) {
        return true;
    }
    return buf_grow(b, more);
}

char *buf_reserve(struct buf *b, size_t more)
{
    return buf_room(b, more) ? b->ptr + b->len : NULL;
}

void buf_add(struct buf *b, struct str s)
{
    if (!buf_room(b, s.len)) {
        return;
    }
    if (s.len) {
        memcpy(b->ptr + b->len, s.ptr, s.len);
        b->len += s.len;
    }
    b->ptr[b->len] = '\0';
}

void buf_addz(struct buf *b, const char *z)
{
    buf_add(b, str_of(z));
}

void buf_addc_growing(struct buf *b, char c)
{
    if (buf_room(b, 1)) {
        b->ptr[b->len++] = c;
        b->ptr[b->len] = '\0';
    }
}

void buf_vaddf(struct buf *b, const char *format, va_list args)
{
    if (!buf_room(b, 0)) {
        return;
    }
    va_list again;
    va_copy(again, args);
    size_t room = b->cap - b->len;
    int len = vsnprintf(b->ptr + b->len, room, format, args);
    ensure(len >= 0);
    if ((size_t)len < room && (!b->max || b->len + (size_t)len <= b->max)) {
        b->len += (size_t)len;
    } else {
        b->ptr[b->len] = '\0';
        if (buf_room(b, (size_t)len)) {
            vsnprintf(b->ptr + b->len, (size_t)len + 1, format, again);
            b->len += (size_t)len;
        }
    }
    va_end(again);
}

void buf_addf(struct buf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    buf_vaddf(b, format, args);
    va_end(args);
}

void buf_add_int(struct buf *b, int64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        digits[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (value < 0) {
        digits[--at] = '-';
    }
    buf_add(b, str_n(digits + at, sizeof digits - at));
}

void buf_drop(struct buf *b, size_t from_front)
{
    ensure(from_front <= b->len);
    if (from_front == 0) {
        return;
    }
    b->len -= from_front;
    memmove(b->ptr, b->ptr + from_front, b->len + 1);
}

/* ---- JSON */

static bool word_is_plain(uint64_t w, bool html)
{
    uint64_t odd = (w & WORD_HIGHS) | ((w - WORD_ONES * 0x20) & ~w & WORD_HIGHS) | word_has_zero(w ^ WORD_ONES * '"') |
                   word_has_zero(w ^ WORD_ONES * '\\');
    if (html) {
        odd |= word_has_zero(w ^ WORD_ONES * '<') | word_has_zero(w ^ WORD_ONES * '>') |
               word_has_zero(w ^ WORD_ONES * '&');
    }
    return odd == 0;
}

/* Length of the character at p if it goes out as it is, else 0. */
static size_t plain_step(const unsigned char *p, size_t left, bool html)
{
    uint32_t point;
    size_t step = utf8_step(p, left, &point);
    if (step == 0 || point < 0x20 || point == '"' || point == '\\') {
        return 0;
    }
    if (html && (point == '<' || point == '>' || point == '&' || point == 0x2028 || point == 0x2029)) {
        return 0;
    }
    return step;
}

static size_t plain_run(struct str s, bool html)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    size_t at = 0;
    for (;;) {
        while (s.len - at >= 8 && word_is_plain(word_load(s.ptr + at), html)) {
            at += 8;
        }
        do { /* other scripts come in runs: no words in between */
            size_t step = at < s.len ? plain_step(p + at, s.len - at, html) : 0;
            if (step == 0) {
                return at;
            }
            at += step;
        } while (at < s.len && p[at] >= 0x80);
    }
}

/* Appends what stands for the character at the front of s. -> its bytes. */
static size_t add_escaped(struct buf *b, struct str s)
{
    static const char short_names[] = "btn\0fr"; /* of 8 to 13 */
    uint32_t point;
    size_t step = utf8_step((const unsigned char *)s.ptr, s.len, &point);
    if (step == 0) {
        buf_add(b, STR("\xef\xbf\xbd"));
        return 1;
    }
    if (point == '"' || point == '\\') {
        buf_addc(b, '\\');
        buf_addc(b, (char)point);
    } else if (point >= 8 && point <= 13 && short_names[point - 8]) {
        buf_addc(b, '\\');
        buf_addc(b, short_names[point - 8]);
    } else {
        buf_addf(b, "\\u%04x", (unsigned)point);
    }
    return step;
}

static void add_json(struct buf *b, struct str s, bool html)
{
    if (!buf_room(b, s.len + 2)) { /* one growth for nearly all strings */
        return;
    }
    buf_addc(b, '"');
    while (s.len > 0) {
        size_t run = plain_run(s, html);
        buf_add(b, str_n(s.ptr, run));
        s = str_n(s.ptr + run, s.len - run);
        if (s.len > 0) {
            size_t step = add_escaped(b, s);
            s = str_n(s.ptr + step, s.len - step);
        }
    }
    buf_addc(b, '"');
}

void buf_add_json(struct buf *b, struct str s)
{
    add_json(b, s, false);
}

void buf_add_json_html(struct buf *b, struct str s)
{
    add_json(b, s, true);
}

void buf_add_base64(struct buf *b, struct str s)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *to = buf_reserve(b, (s.len + 2) / 3 * 4);
    if (!to) {
        return;
    }
    for (size_t i = 0; i < s.len; i += 3) {
        size_t left = s.len - i;
        uint32_t bits = (uint32_t)(unsigned char)s.ptr[i] << 16;
        bits |= left > 1 ? (uint32_t)(unsigned char)s.ptr[i + 1] << 8 : 0;
        bits |= left > 2 ? (uint32_t)(unsigned char)s.ptr[i + 2] : 0;
        *to++ = digits[bits >> 18];
        *to++ = digits[bits >> 12 & 63];
        *to++ = left > 1 ? digits[bits >> 6 & 63] : '=';
        *to++ = left > 2 ? digits[bits & 63] : '=';
    }
    b->len += (s.len + 2) / 3 * 4;
    b->ptr[b->len] = '\0';
}

void buf_add_printable(struct buf *b, struct str s, size_t max)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    size_t left = s.len < max ? s.len : max;
    while (left > 0) {
        char out[PRINTABLE_STEP_MAX];
        size_t out_len;
        size_t step = printable_step(p, left, out, &out_len);
        buf_add(b, str_n(out, out_len));
        p += step;
        left -= step;
    }
}
