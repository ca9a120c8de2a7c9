/* SPDX-License-Identifier: MIT
 *
 * verdict.c - names of the reasons, and which of several applies.
 */
#include "change/verdict.h"

#include "change/text.h"

const char *dead_reason_name(enum dead_reason reason)
{
    static const char *const names[DEAD_REASONS] = {
        [DEAD_NONE] = "none",         [DEAD_TOO_LARGE] = "too-large",   [DEAD_BAD_UTF8] = "bad-utf8",
        [DEAD_TOO_DEEP] = "too-deep", [DEAD_SYNTAX] = "syntax",         [DEAD_SURROGATE] = "surrogate",
        [DEAD_BAD_TIME] = "bad-time", [DEAD_NOT_OBJECT] = "not-object", [DEAD_NO_TIME] = "no-time",
    };
    return (unsigned)reason < DEAD_REASONS ? names[reason] : "unknown";
}

/* p is behind an opening quote. -> behind the closing one, or the end. */
static const char *string_end(const char *p, const char *end)
{
    while (p < end && *p != '"') {
        p += *p == '\\' && end - p > 1 ? 2 : 1;
    }
    return p < end ? p + 1 : end;
}

/* Brackets are counted in any text, valid or not; those in strings are none. -> the first one too deep, or NULL. */
static const char *too_deep_at(struct str text)
{
    long depth = 0;
    const char *p = text.ptr, *end = text.ptr + text.len;
    while (p < end) {
        const char c = *p++;
        if (c == '"') {
            p = string_end(p, end);
        } else if (c == '{' || c == '[') {
            if (++depth > CHANGE_MAX_DEPTH) {
                return p - 1;
            }
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return NULL;
}

enum dead_reason scan_verdict(struct str text, size_t stopped_at, size_t *ret_at)
{
    const char *at = text_bad_utf8(text.ptr, text.ptr + text.len);
    if (at) {
        *ret_at = (size_t)(at - text.ptr);
        return DEAD_BAD_UTF8;
    }
    at = too_deep_at(text);
    if (at) {
        *ret_at = (size_t)(at - text.ptr);
        return DEAD_TOO_DEEP;
    }
    *ret_at = stopped_at;
    return DEAD_SYNTAX;
}
