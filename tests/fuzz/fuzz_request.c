/* SPDX-License-Identifier: MIT
 *
 * fuzz_request.c - any bytes as the parts of a request that src/serve reads itself: the target and its parameters, and
 * the fields Host, Origin, Accept-Encoding and Authorization. Lines: the target, then what each field is tried with.
 *
 * What is accepted has bounded parts that lie in it; a parameter is UTF-8 without NUL and comes out the same when it is
 * escaped once more; a route is found by its own path only; a token is accepted only if it is in the field.
 */
#include "base/err.h"
#include "fuzz.h"
#include "serve/request.h"
#include "serve/routes.h"

#include <arpa/inet.h>
#include <stdlib.h>

static bool is_inside(struct str part, struct str whole)
{
    return part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len;
}

/* %XX for every byte: what a careful client would send. */
static void escape(struct str text, struct buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        buf_addf(out, "%%%02X", (unsigned char)text.ptr[i]);
    }
}

static void check_parameter(const struct request *q, const char *name)
{
    static const struct str known[] = {{"", 0}, {"known=1&", 8}};
    AUTO(buf) struct buf value = {0}, again = {0}, escaped = {0};
    if (!request_parameter(q, name, &value)) {
        return;
    }
    ensure(value.len <= q->query.len && str_is_utf8(buf_str(&value)));
    ensure(value.len == 0 || !memchr(value.ptr, 0, value.len));
    escape(buf_str(&value), &escaped);
    for (size_t i = 0; i < 2; i++) {
        struct request other = {0};
        AUTO(buf) struct buf target = {0};
        buf_addf(&target, "/?%.*s%s=", STR_ARG(known[i]), name);
        buf_add(&target, buf_str(&escaped));
        if (target.len <= REQUEST_TARGET_MAX) {
            ensure(request_target(&other, target.ptr));
            ensure(request_parameter(&other, name, &again));
            ensure(str_eq(buf_str(&value), buf_str(&again)));
            ensure((request_unknown_parameter(&other, "cursor order from").ptr == NULL) == (i == 0));
        }
    }
}

static void check_route(const struct request *q)
{
    const struct route *route = route_find(q->path);
    if (route) {
        const struct str own = str_of(route->path);
        ensure(str_starts(q->path, own));
        ensure(str_eq(q->path, own) || (own.len > 1 && own.ptr[own.len - 1] == '/'));
    }
}

static void check_target(const char *target)
{
    struct request q = {0};
    if (!request_target(&q, target)) {
        return;
    }
    const struct str whole = str_of(q.target);
    ensure(strcmp(q.target, target) == 0 && whole.len <= REQUEST_TARGET_MAX);
    ensure(q.path.len > 0 && q.path.ptr[0] == '/' && is_inside(q.path, whole) && is_inside(q.query, whole));
    ensure(q.path.len + q.query.len + (memchr(target, '?', whole.len) != NULL) == whole.len);
    ensure(!memchr(q.path.ptr, '?', q.path.len));
    for (size_t i = 0; i < whole.len; i++) {
        ensure(whole.ptr[i] > 0x20 && whole.ptr[i] < 0x7f);
    }
    check_parameter(&q, "cursor");
    check_parameter(&q, "order");
    check_parameter(&q, "from");
    const struct str unknown = request_unknown_parameter(&q, "cursor order from");
    ensure(!unknown.ptr || is_inside(unknown, whole));
    check_route(&q);
}

static void check_host(struct str host)
{
    static const char *const names[] = {"tally.example.org"};
    const struct guard_names known = {names, 1};
    struct sockaddr_in at = {.sin_family = AF_INET};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const struct sockaddr *local = (const struct sockaddr *)(const void *)&at;
    const bool good = guard_host(&known, host, local);
    AUTO(buf) struct buf origin = {0};
    buf_addz(&origin, "http://");
    buf_add(&origin, host);
    ensure(guard_origin(&known, buf_str(&origin), local) == good);
    if (good) { /* one of three names, or more; then a port */
        const char *const begin[] = {"localhost", "127.0.0.1", "tally.example.org"};
        bool found = false;
        for (size_t i = 0; i < 3; i++) {
            const size_t n = strlen(begin[i]);
            found = found || (host.len >= n && strncasecmp(host.ptr, begin[i], n) == 0 &&
                              (host.len == n || (host.ptr[n] == ':' && host.len <= n + 6)));
        }
        ensure(found);
    }
}

static void check_accept(struct str field)
{
    AUTO(buf) struct buf other = {0};
    const bool gzip = request_accepts(field, "gzip");
    ensure(!gzip || (field.len >= 4 && (memchr(field.ptr, 'z', field.len) || memchr(field.ptr, 'Z', field.len))));
    buf_addz(&other, "identity, ");
    buf_add(&other, field);
    ensure(request_accepts(buf_str(&other), "gzip") == gzip);
    ensure(!request_accepts(field, "nosuchcoding") || field.len >= 12);
}

static void check_token(struct str field)
{
    static const char token[] = "s3cr3t-token-of-32-characters---";
    AUTO(buf) struct buf bearer = {0};
    if (guard_token(token, field)) { /* as it is, or in base 64 */
        ensure(field.len > 32 && (strncasecmp(field.ptr, "Basic ", 6) == 0 || memmem(field.ptr, field.len, token, 32)));
    }
    buf_addz(&bearer, "Bearer ");
    buf_add(&bearer, field);
    ensure(guard_token(token, buf_str(&bearer)) == str_eqz(str_trim(field), token));
    ensure(!guard_token("", buf_str(&bearer)));
}

/* A copy that ends with NUL, as the HTTP library gives it, and not one byte more. */
static char *copy_line(struct str line)
{
    char *copy = xmalloc(line.len + 1);
    memcpy(copy, line.ptr, line.len);
    copy[line.len] = 0;
    return copy;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    void (*const checks[])(struct str) = {check_host, check_accept, check_token};
    struct str rest = str_n((const char *)data, size), line = {"", 0};
    str_split(&rest, '\n', &line);
    AUTO_FREE char *target = copy_line(line);
    check_target(target);
    for (size_t i = 0; i < 9 && str_split(&rest, '\n', &line); i++) {
        AUTO_FREE char *field = copy_line(line);
        const struct str text = str_n(field, line.len);
        checks[i % 3](text);
        ensure(!request_is_token(text) || !memchr(field, ':', line.len));
    }
    return 0;
}
