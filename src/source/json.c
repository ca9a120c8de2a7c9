/* SPDX-License-Identifier: MIT
 *
 * json.c - see json.h.
 */
#include "source/json.h"

enum { JSON_DEPTH = 16 };

struct json json_of(struct str text)
{
    return (struct json){text.ptr, text.ptr ? text.ptr + text.len : NULL, !text.ptr};
}

static void skip_blank(struct json *j)
{
    while (j->at < j->end && (*j->at == ' ' || *j->at == '\n' || *j->at == '\t' || *j->at == '\r')) {
        j->at++;
    }
}

/* The next byte that is no blank, or 0. */
static char peek(struct json *j)
{
    skip_blank(j);
    return j->bad || j->at >= j->end ? 0 : *j->at;
}

static void expect(struct json *j, char c)
{
    if (peek(j) == c) {
        j->at++;
    } else {
        j->bad = true;
    }
}

void json_open(struct json *j, char bracket)
{
    expect(j, bracket);
}

bool json_more(struct json *j, char bracket)
{
    char next = peek(j);
    if (next == ',') {
        j->at++;
        next = peek(j);
    }
    if (next == bracket) {
        j->at++;
        return false;
    }
    j->bad = j->bad || !next;
    return !j->bad;
}

static bool word(struct json *j, struct str text)
{
    skip_blank(j);
    if (j->bad || !str_starts(str_n(j->at, (size_t)(j->end - j->at)), text)) {
        return false;
    }
    j->at += text.len;
    return true;
}

int64_t json_int(struct json *j)
{
    if (word(j, STR("null"))) {
        return TIME_NONE;
    }
    const char *from = j->at;
    while (j->at < j->end && (*j->at == '-' || (*j->at >= '0' && *j->at <= '9'))) {
        j->at++;
    }
    int64_t value = 0;
    if (j->bad || !str_to_int64(str_n(from, (size_t)(j->at - from)), &value)) {
        j->bad = true;
        return 0;
    }
    return value;
}

/* The byte after a backslash; of \uXXXX only those below U+0080, which is all that buf_add_json writes. */
static char unescape(struct json *j)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    char c = j->at < j->end ? *j->at++ : 0;
    const char *known = c ? strchr(from, c) : NULL;
    if (known) {
        return to[known - from];
    }
    if (c != 'u') {
        return c;
    }
    int value = 0;
    for (int i = 0; i < 4; i++) {
        char digit = j->at < j->end ? *j->at++ : 0;
        int nibble = digit >= '0' && digit <= '9' ? digit - '0' : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : 256;
        value = value * 16 + nibble;
    }
    j->bad = j->bad || value >= 128;
    return (char)(value & 127);
}

void json_text(struct json *j, char *out, size_t max)
{
    size_t len = 0;
    out[0] = 0;
    if (word(j, STR("null"))) {
        return;
    }
    expect(j, '"');
    while (!j->bad && j->at < j->end && *j->at != '"') {
        char c = *j->at++;
        c = c == '\\' ? unescape(j) : c;
        if (len + 1 < max) {
            out[len++] = c;
        }
    }
    out[len] = 0;
    expect(j, '"');
}

void json_key(struct json *j, char *out, size_t max)
{
    json_text(j, out, max);
    expect(j, ':');
}

/* Brackets inside strings are passed over with the strings, so counting the others is enough. */
void json_skip(struct json *j)
{
    int depth = 0;
    do {
        char next = peek(j), ignored[2];
        if (next == '"') {
            json_text(j, ignored, sizeof ignored);
        } else if (next) {
            depth += (next == '{' || next == '[') - (next == '}' || next == ']');
            j->at++;
            while (!depth && next != '}' && next != ']' && j->at < j->end && !strchr(",]}", *j->at)) {
                j->at++; /* the rest of a number or word */
            }
        }
        j->bad = j->bad || !next || depth > JSON_DEPTH || depth < 0;
    } while (!j->bad && depth > 0);
}

void json_add_time(struct buf *b, int64_t us)
{
    if (us == TIME_NONE) {
        buf_addz(b, "null");
    } else {
        buf_add_int(b, us);
    }
}
