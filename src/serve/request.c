/* SPDX-License-Identifier: MIT
 *
 * request.c - see request.h. A path is compared as it came: no route has a percent sign in it, so an escaped path names
 * nothing and is a 404 - there is no decoding to get wrong (reliability.md D3).
 */
#include "serve/request.h"

static bool is_target_byte(unsigned char c)
{
    return c > 0x20 && c < 0x7f && c != '"' && c != '<' && c != '>' && c != '\\' && c != '^' && c != '`' && c != '{' &&
           c != '|' && c != '}' && c != '#';
}

bool request_target(struct request *q, const char *target)
{
    size_t length = strlen(target);
    if (length == 0 || length > REQUEST_TARGET_MAX || target[0] != '/')
        return false;
    for (size_t i = 0; i < length; i++) {
        if (!is_target_byte((unsigned char)target[i]))
            return false;
    }
    memcpy(q->target, target, length + 1);
    const char *mark = memchr(q->target, '?', length);
    q->path = str_n(q->target, mark ? (size_t)(mark - q->target) : length);
    q->query = mark ? str_n(mark + 1, length - q->path.len - 1) : str_n(q->target + length, 0);
    return true;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool equal_lower(struct str s, const char *z)
{
    size_t n = strlen(z);
    if (s.len != n)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (lower(s.ptr[i]) != z[i])
            return false;
    }
    return true;
}

/* "gzip;q=0.5" -> the name and whether its weight is above 0. */
static bool coding_is_wanted(struct str part, const char *coding)
{
    struct str name = {0};
    if (!str_split(&part, ';', &name) || !equal_lower(str_trim(name), coding))
        return false;
    struct str weight;
    while (str_split(&part, ';', &weight)) {
        weight = str_trim(weight);
        if (weight.len < 3 || lower(weight.ptr[0]) != 'q' || weight.ptr[1] != '=')
            continue;
        for (size_t i = 2; i < weight.len; i++) {
            if (weight.ptr[i] >= '1' && weight.ptr[i] <= '9')
                return true;
        }
        return false;
    }
    return true;
}

bool request_accepts(struct str accept_encoding, const char *coding)
{
    struct str part;
    while (str_split(&accept_encoding, ',', &part)) {
        if (coding_is_wanted(str_trim(part), coding))
            return true;
    }
    return false;
}

static int hex_value(char c)
{
    c = lower(c);
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool decode(struct str in, struct buf *out)
{
    for (size_t i = 0; i < in.len; i++) {
        char c = in.ptr[i];
        if (c == '%') {
            int high = i + 2 < in.len ? hex_value(in.ptr[i + 1]) : -1;
            int low = i + 2 < in.len ? hex_value(in.ptr[i + 2]) : -1;
            if (high < 0 || low < 0 || (high == 0 && low == 0))
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+') {
            c = ' ';
        }
        buf_addc(out, c);
    }
    return str_is_utf8(buf_str(out)) && !out->overflow;
}

/* Next "name=value"; the value is empty where there is no '='. */
static bool next_pair(struct str *rest, struct str *ret_name, struct str *ret_value)
{
    struct str pair;
    do {
        if (!str_split(rest, '&', &pair))
            return false;
    } while (pair.len == 0);
    const char *equals = memchr(pair.ptr, '=', pair.len);
    size_t n = equals ? (size_t)(equals - pair.ptr) : pair.len;
    *ret_name = str_n(pair.ptr, n);
    *ret_value = equals ? str_n(equals + 1, pair.len - n - 1) : str_n(pair.ptr + pair.len, 0);
    return true;
}

bool request_parameter(const struct request *q, const char *name, struct buf *value)
{
    struct str rest = q->query, key, text;
    while (next_pair(&rest, &key, &text)) {
        if (str_eqz(key, name)) {
            buf_clear(value);
            buf_add(value, STR(""));
            return decode(text, value);
        }
    }
    return false;
}

static bool is_in_list(struct str name, const char *list)
{
    struct str rest = str_of(list), word;
    while (str_split(&rest, ' ', &word)) {
        if (str_eq(word, name))
            return true;
    }
    return false;
}

static size_t count_parameter(const struct request *q, struct str name)
{
    struct str rest = q->query, key, value;
    size_t n = 0;
    while (next_pair(&rest, &key, &value))
        n += str_eq(key, name);
    return n;
}

bool request_has(const struct request *q, const char *name)
{
    return count_parameter(q, str_of(name)) > 0;
}

struct str request_unknown_parameter(const struct request *q, const char *known)
{
    struct str rest = q->query, key, value;
    while (next_pair(&rest, &key, &value)) {
        if (!is_in_list(key, known) || count_parameter(q, key) > 1)
            return key;
    }
    return (struct str){0};
}

bool request_is_token(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && (c == 0 || !strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return s.len > 0;
}
