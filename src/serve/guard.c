/* SPDX-License-Identifier: MIT
 *
 * guard.c - see guard.h. Pure functions over borrowed text; the only state is the table of wrong tokens.
 */
#include "serve/guard.h"

#include "base/fault.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <strings.h>

enum { HOST_MAX_BYTES = 255, TOKEN_MAX_BYTES = 512 };

static bool equal_nocase(struct str a, const char *z)
{
    return a.len == strlen(z) && (a.len == 0 || strncasecmp(a.ptr, z, a.len) == 0);
}

/* Cuts ":port" off; false if what follows the name is no port. */
static bool split_port(struct str *host)
{
    const char *from = host->ptr;
    size_t name = host->len;
    if (host->len && from[0] == '[') {
        const char *close = memchr(from, ']', host->len);
        if (!close)
            return false;
        name = (size_t)(close - from) + 1;
    } else {
        const char *colon = memchr(from, ':', host->len);
        name = colon ? (size_t)(colon - from) : host->len;
    }
    struct str port = str_n(from + name, host->len - name);
    int64_t number = 0;
    if (port.len && (port.ptr[0] != ':' || port.len > 6 || !str_to_int64(str_n(port.ptr + 1, port.len - 1), &number) ||
                     number < 1 || number > 65535))
        return false;
    host->len = name;
    return name > 0;
}

static bool is_local_literal(struct str host, const struct sockaddr *local)
{
    char z[INET6_ADDRSTRLEN + 2] = "";
    bool bracketed = host.len > 2 && host.ptr[0] == '[';
    if (bracketed)
        host = str_n(host.ptr + 1, host.len - 2);
    if (host.len == 0 || host.len >= sizeof(z) || memchr(host.ptr, 0, host.len) || !local)
        return false;
    memcpy(z, host.ptr, host.len);
    if (!bracketed && local->sa_family == AF_INET) {
        struct sockaddr_in here;
        struct in_addr asked;
        memcpy(&here, local, sizeof(here));
        return inet_pton(AF_INET, z, &asked) == 1 && asked.s_addr == here.sin_addr.s_addr;
    }
    if (bracketed && local->sa_family == AF_INET6) {
        struct sockaddr_in6 here;
        struct in6_addr asked;
        memcpy(&here, local, sizeof(here));
        return inet_pton(AF_INET6, z, &asked) == 1 && memcmp(&asked, &here.sin6_addr, sizeof(asked)) == 0;
    }
    return false;
}

bool guard_host(const struct guard_names *names, struct str host, const struct sockaddr *local)
{
    if (fault("D4.host"))
        return true;
    if (!host.ptr || host.len > HOST_MAX_BYTES || !split_port(&host))
        return false;
    if (equal_nocase(host, "localhost") || is_local_literal(host, local))
        return true;
    for (size_t i = 0; i < names->host_count; i++) {
        if (equal_nocase(host, names->hosts[i]))
            return true;
    }
    return false;
}

bool guard_origin(const struct guard_names *names, struct str origin, const struct sockaddr *local)
{
    if (!origin.ptr || fault("D4.origin"))
        return true;
    size_t scheme = str_starts(origin, STR("http://")) ? 7 : str_starts(origin, STR("https://")) ? 8 : 0;
    return scheme && guard_host(names, str_n(origin.ptr + scheme, origin.len - scheme), local);
}

/* Compares all of `given` whatever differs; the length of the token is no secret. */
static bool equal_constant_time(const char *token, struct str given)
{
    size_t length = strlen(token);
    unsigned char differs = given.len == length ? 0 : 1;
    for (size_t i = 0; i < given.len; i++)
        differs =
            (unsigned char)(differs | ((unsigned char)given.ptr[i] ^ (unsigned char)token[length ? i % length : 0]));
    return differs == 0 && length > 0;
}

static int base64_value(char c)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(alphabet, c) : NULL;
    return at ? (int)(at - alphabet) : -1;
}

/* -> bytes written, or 0 if it is not base64. */
static size_t base64_decode(struct str in, char *out, size_t size)
{
    size_t n = 0;
    unsigned bits = 0, have = 0;
    while (in.len && in.ptr[in.len - 1] == '=')
        in.len--;
    for (size_t i = 0; i < in.len; i++) {
        int v = base64_value(in.ptr[i]);
        if (v < 0 || n == size)
            return 0;
        bits = (bits << 6 | (unsigned)v) & 0xffffff;
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[n++] = (char)(bits >> have & 0xff);
        }
    }
    return n;
}

bool guard_token(const char *token, struct str authorization)
{
    char plain[TOKEN_MAX_BYTES];
    if (!authorization.ptr || authorization.len > sizeof(plain))
        return false;
    if (authorization.len > 7 && strncasecmp(authorization.ptr, "Bearer ", 7) == 0)
        return equal_constant_time(token, str_trim(str_n(authorization.ptr + 7, authorization.len - 7)));
    if (authorization.len > 6 && strncasecmp(authorization.ptr, "Basic ", 6) == 0) {
        size_t n = base64_decode(str_trim(str_n(authorization.ptr + 6, authorization.len - 6)), plain, sizeof(plain));
        const char *colon = memchr(plain, ':', n);
        if (colon)
            return equal_constant_time(token, str_n(colon + 1, n - (size_t)(colon + 1 - plain)));
    }
    return false;
}

struct guard_peer guard_peer_of(const struct sockaddr *address)
{
    struct guard_peer p = {{0}};
    if (address && address->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof(v4));
        p.bytes[10] = p.bytes[11] = 0xff;
        memcpy(p.bytes + 12, &v4.sin_addr, 4);
    } else if (address && address->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, address, sizeof(v6));
        memcpy(p.bytes, &v6.sin6_addr, IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr) ? 16 : 8);
    }
    return p;
}

bool guard_peer_eq(const struct guard_peer *a, const struct guard_peer *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

bool guard_blocked(struct guard_failures *f, const struct guard_peer *peer, int64_t mono_us)
{
    bool blocked = false;
    pthread_mutex_lock(&f->lock);
    for (size_t i = 0; i < GUARD_PEERS; i++) {
        if (f->peers[i].count >= GUARD_TRIES && mono_us - f->peers[i].since_us < US_PER_MINUTE &&
            guard_peer_eq(&f->peers[i].peer, peer))
            blocked = true;
    }
    pthread_mutex_unlock(&f->lock);
    return blocked;
}

void guard_failed(struct guard_failures *f, const struct guard_peer *peer, int64_t mono_us)
{
    pthread_mutex_lock(&f->lock);
    size_t at = 0;
    for (size_t i = 0; i < GUARD_PEERS; i++) {
        if (f->peers[i].count && guard_peer_eq(&f->peers[i].peer, peer)) {
            at = i;
            break;
        }
        if (f->peers[i].count == 0 ? f->peers[at].count != 0
                                   : f->peers[at].count && f->peers[i].since_us < f->peers[at].since_us)
            at = i;
    }
    if (f->peers[at].count == 0 || !guard_peer_eq(&f->peers[at].peer, peer) ||
        mono_us - f->peers[at].since_us >= US_PER_MINUTE) {
        f->peers[at].peer = *peer;
        f->peers[at].since_us = mono_us;
        f->peers[at].count = 0;
    }
    f->peers[at].count++;
    pthread_mutex_unlock(&f->lock);
}
