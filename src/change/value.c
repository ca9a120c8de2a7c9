/* SPDX-License-Identifier: MIT
 *
 * value.c - a field's value as text: unescaped, as part of a group key, as filters compare it (oracle.md section 6).
 */
#include "change/change.h"
#include "change/text.h"

static const struct str null_text = STR_INIT("null");

/* Appends a string that has escapes, without them. Unescaped text is never longer than escaped. */
static void add_unescaped(struct buf *out, struct str raw)
{
    char *at = buf_reserve(out, raw.len);
    if (!at) {
        return; /* over its maximum: the buf says so */
    }
    const char *p = raw.ptr, *end = raw.ptr + raw.len;
    char *const begin = at;
    while (p < end) {
        const char *slash = memchr(p, '\\', (size_t)(end - p));
        const size_t plain = (size_t)((slash ? slash : end) - p);
        memcpy(at, p, plain);
        at += plain;
        p += plain;
        if (slash) {
            char bytes[4];
            const size_t len = text_unescape(&p, bytes);
            memcpy(at, bytes, len);
            at += len;
        }
    }
    out->len += (size_t)(at - begin);
    out->ptr[out->len] = '\0';
}

struct str value_string(const struct value *v, struct buf *scratch)
{
    if (v->kind != VALUE_STRING) {
        return (struct str){NULL, 0};
    }
    if (!v->escaped) {
        return v->raw;
    }
    const size_t from = scratch->len;
    add_unescaped(scratch, v->raw);
    return scratch->overflow ? (struct str){NULL, 0} : str_n(scratch->ptr + from, scratch->len - from);
}

bool value_is_text(const struct value *v)
{
    return v->kind == VALUE_STRING && v->raw.len > 0;
}

/* Objects and arrays have no scalar value; absent is null (both decided in oracle.md). */
static void add_scalar(struct buf *out, const struct value *v)
{
    switch (v->kind) {
    case VALUE_FALSE:
    case VALUE_TRUE:
    case VALUE_NUMBER:
        buf_add(out, v->raw);
        break;
    case VALUE_INT:
        buf_add_int(out, v->number); /* not the text: -0 is 0 */
        break;
    default:
        buf_add(out, null_text);
    }
}

/* The one way to write this string in a key, whatever way the event wrote it. */
static void add_key_escaped(struct buf *out, struct str raw)
{
    const char *p = raw.ptr, *end = raw.ptr + raw.len;
    while (p < end) {
        const char *slash = memchr(p, '\\', (size_t)(end - p));
        const size_t plain = (size_t)((slash ? slash : end) - p);
        buf_add(out, str_n(p, plain));
        p += plain;
        if (!slash) {
            break;
        }
        char bytes[4];
        static const char controls[] = "\b\f\n\r\t\"\\", letters[] = "bfnrt\"\\";
        const size_t len = text_unescape(&p, bytes);
        const char *short_form = bytes[0] ? strchr(controls, bytes[0]) : NULL;
        if (short_form) {
            buf_addc(out, '\\');
            buf_addc(out, letters[short_form - controls]);
        } else if ((unsigned char)bytes[0] < 0x20) {
            buf_addf(out, "\\u%04x", (unsigned)(unsigned char)bytes[0]);
        } else {
            buf_add(out, str_n(bytes, len));
        }
    }
}

void value_add_key(struct buf *out, const struct value *v)
{
    if (v->kind != VALUE_STRING) {
        add_scalar(out, v);
        return;
    }
    buf_addc(out, '"');
    if (v->escaped) {
        add_key_escaped(out, v->raw);
    } else {
        buf_add(out, v->raw); /* valid JSON without escapes is canonical already */
    }
    buf_addc(out, '"');
}

void value_add_plain(struct buf *out, const struct value *v)
{
    if (v->kind != VALUE_STRING) {
        add_scalar(out, v);
    } else if (v->escaped) {
        add_unescaped(out, v->raw);
    } else {
        buf_add(out, v->raw);
    }
}
