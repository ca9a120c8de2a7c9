/* SPDX-License-Identifier: MIT
 *
 * json.c - finding members of JSON objects, without unpacking anything. Depth is counted, not recursed. It accepts more
 * than JSON; what matters is that it finds what is there.
 */
#include "upstream/inside.h"

static void skip_blanks(struct str *s)
{
    while (s->len && (*s->ptr == ' ' || *s->ptr == '\t' || *s->ptr == '\n' || *s->ptr == '\r')) {
        *s = str_n(s->ptr + 1, s->len - 1);
    }
}

static size_t string_length(struct str s)
{
    for (size_t i = 1; i < s.len; i++) {
        if (s.ptr[i] == '\\') {
            i++;
        } else if (s.ptr[i] == '"') {
            return i + 1;
        }
    }
    return 0;
}

static size_t nested_length(struct str s)
{
    size_t depth = 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '"') {
            size_t len = string_length(str_n(s.ptr + i, s.len - i));
            if (len == 0) {
                return 0;
            }
            i += len - 1;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if ((c == '}' || c == ']') && --depth == 0) {
            return i + 1;
        }
    }
    return 0;
}

static size_t plain_length(struct str s)
{
    size_t i = 0;
    while (i < s.len && !memchr(",]} \t\r\n:", s.ptr[i], 8)) {
        i++;
    }
    return i;
}

bool json_value(struct str *rest, struct str *ret_value)
{
    skip_blanks(rest);
    if (rest->len == 0) {
        return false;
    }
    char c = *rest->ptr;
    size_t len = c == '"' ? string_length(*rest) : c == '{' || c == '[' ? nested_length(*rest) : plain_length(*rest);
    if (len == 0) {
        return false;
    }
    *ret_value = str_n(rest->ptr, len);
    *rest = str_n(rest->ptr + len, rest->len - len);
    return true;
}

/* Passes over one of the given characters. */
static bool take(struct str *s, const char *any)
{
    skip_blanks(s);
    if (s->len == 0 || !strchr(any, *s->ptr) || *s->ptr == '\0') {
        return false;
    }
    *s = str_n(s->ptr + 1, s->len - 1);
    return true;
}

bool json_member(struct str *at, struct str *ret_key, struct str *ret_value)
{
    return take(at, "{,") && json_value(at, ret_key) && *ret_key->ptr == '"' && take(at, ":") &&
           json_value(at, ret_value);
}

bool json_element(struct str *at, struct str *ret_value)
{
    return take(at, "[,") && json_value(at, ret_value);
}

bool json_is_object(struct str text)
{
    struct str value;
    if (!json_value(&text, &value) || *value.ptr != '{') {
        return false;
    }
    skip_blanks(&text);
    return text.len == 0;
}

bool json_field(struct str object, const char *key, struct str *ret_value)
{
    struct str name, value;
    bool found = false;
    while (json_member(&object, &name, &value)) {
        if (json_string_is(name, key)) {
            *ret_value = value;
            found = true;
        }
    }
    return found;
}

bool json_string_is(struct str value, const char *text)
{
    size_t len = strlen(text);
    return value.len == len + 2 && *value.ptr == '"' && memcmp(value.ptr + 1, text, len) == 0;
}
