/* SPDX-License-Identifier: MIT
 *
 * request.c - the head of an HTTP/1.1 request, and the query of its target. Bounded: longer fields are refused, and who
 * calls it bounds the whole head.
 */
#include "upstream/inside.h"

#include <strings.h>

void request_fini(struct request *r)
{
    buf_fini(&r->last_event_id);
}

static bool copy(char *to, size_t max, struct str from)
{
    if (from.len >= max || (from.len && memchr(from.ptr, 0, from.len))) {
        return false;
    }
    memcpy(to, from.len ? from.ptr : "", from.len);
    to[from.len] = '\0';
    return true;
}

static bool read_target(struct request *r, struct str target)
{
    const char *mark = target.len ? memchr(target.ptr, '?', target.len) : NULL;
    size_t path = mark ? (size_t)(mark - target.ptr) : target.len;
    struct str query = mark ? str_n(mark + 1, target.len - path - 1) : STR("");
    return path > 0 && *target.ptr == '/' && copy(r->path, sizeof(r->path), str_n(target.ptr, path)) &&
           copy(r->query, sizeof(r->query), query);
}

static bool read_first(struct request *r, struct str line)
{
    struct str method, target, version;
    if (!str_split(&line, ' ', &method) || !str_split(&line, ' ', &target) || !str_split(&line, ' ', &version) ||
        line.len) {
        return false;
    }
    r->chunked = r->keep_alive = str_eq(version, STR("HTTP/1.1"));
    return (r->chunked || str_eq(version, STR("HTTP/1.0"))) && method.len > 0 &&
           copy(r->method, sizeof(r->method), method) && read_target(r, target);
}

static bool name_is(struct str name, const char *want)
{
    return name.len == strlen(want) && strncasecmp(name.ptr, want, name.len) == 0;
}

static bool read_field(struct request *r, struct str name, struct str value)
{
    if (name_is(name, "accept")) {
        r->has_accept = true;
        return copy(r->accept, sizeof(r->accept), value);
    }
    if (name_is(name, "user-agent")) {
        return copy(r->user_agent, sizeof(r->user_agent), value);
    }
    if (name_is(name, "accept-encoding")) {
        return copy(r->accept_encoding, sizeof(r->accept_encoding), value);
    }
    if (name_is(name, "x-client-ip")) {
        return copy(r->client_ip, sizeof(r->client_ip), value);
    }
    if (name_is(name, "connection")) {
        r->keep_alive = r->keep_alive && !(value.len == 5 && strncasecmp(value.ptr, "close", 5) == 0);
    } else if (name_is(name, "last-event-id")) {
        r->has_last_event_id = true;
        buf_clear(&r->last_event_id);
        buf_add(&r->last_event_id, value);
    }
    return true;
}

bool request_parse(struct str head, struct request *ret)
{
    struct str line;
    buf_clear(&ret->last_event_id);
    *ret = (struct request){.last_event_id = ret->last_event_id};
    if (!str_split(&head, '\n', &line) || !read_first(ret, str_trim(line))) {
        return false;
    }
    while (str_split(&head, '\n', &line)) {
        line = str_trim(line);
        const char *colon = line.len ? memchr(line.ptr, ':', line.len) : NULL;
        if (line.len == 0) {
            break;
        }
        if (!colon || colon == line.ptr ||
            !read_field(ret, str_n(line.ptr, (size_t)(colon - line.ptr)),
                        str_trim(str_n(colon + 1, line.len - (size_t)(colon + 1 - line.ptr))))) {
            return false;
        }
    }
    return true;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool decode(struct str value, char *out, size_t max)
{
    size_t len = 0;
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i] == '+' ? ' ' : value.ptr[i];
        if (c == '%' && i + 2 < value.len && hex_digit(value.ptr[i + 1]) >= 0 && hex_digit(value.ptr[i + 2]) >= 0) {
            c = (char)(hex_digit(value.ptr[i + 1]) * 16 + hex_digit(value.ptr[i + 2]));
            i += 2;
        }
        if (len + 1 >= max) {
            return false;
        }
        out[len++] = c;
    }
    out[len] = '\0';
    return true;
}

bool request_query(const struct request *r, const char *name, char *out, size_t max)
{
    struct str rest = str_of(r->query), part;
    while (str_split(&rest, '&', &part)) {
        const char *equals = part.len ? memchr(part.ptr, '=', part.len) : NULL;
        struct str key = str_n(part.ptr, equals ? (size_t)(equals - part.ptr) : part.len);
        struct str value = equals ? str_n(equals + 1, part.len - key.len - 1) : STR("");
        if (str_eqz(key, name)) {
            return decode(value, out, max);
        }
    }
    return false;
}
