/* SPDX-License-Identifier: MIT
 *
 * listen.c - see listen.h. We open the socket ourselves, so that every kind (TCP, UNIX, port 0) goes the same way into
 * the HTTP library and errors can name what is wrong and what to do.
 */
#include "serve/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BACKLOG = 256 };

static enum err_class parse_unix(struct str path, struct listen_address *a, struct err *err)
{
    if (path.len == 0 || path.len >= sizeof(a->at.local.sun_path))
        return err_set(err, ERR_REJECT, EXIT_CONFIG, "listen 'unix:%.*s': a path of 1 to %zu bytes is wanted",
                       STR_ARG(path), sizeof(a->at.local.sun_path) - 1);
    a->at.local.sun_family = AF_UNIX;
    memcpy(a->at.local.sun_path, path.ptr, path.len);
    a->size = (socklen_t)sizeof(a->at.local);
    return ERR_NONE;
}

/* Not what it is bound to, which the kernel knows, but that it listens: anything else would be found out too late. */
static enum err_class parse_fd(const char *text, struct listen_address *a, struct err *err)
{
    int64_t fd = -1;
    int listens = 0;
    socklen_t size = sizeof(listens);
    a->size = (socklen_t)sizeof(a->at);
    if (!str_to_int64(str_of(text), &fd) || fd < 0 || fd > INT32_MAX ||
        getsockopt((int)fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) || !listens ||
        getsockname((int)fd, &a->at.any, &a->size))
        return err_set(err, ERR_REJECT, EXIT_CONFIG, "listen 'fd:%s': that is no socket that listens", text);
    a->is_open = true;
    a->fd = (int)fd;
    return ERR_NONE;
}

static bool parse_host(struct str host, uint16_t port, struct listen_address *a)
{
    char z[64] = "";
    bool bracketed = host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';
    if (bracketed)
        host = str_n(host.ptr + 1, host.len - 2);
    if (str_eq(host, STR("localhost")))
        host = STR("127.0.0.1");
    if (host.len == 0 || host.len >= sizeof(z))
        return false;
    memcpy(z, host.ptr, host.len);
    if (bracketed && inet_pton(AF_INET6, z, &a->at.v6.sin6_addr) == 1) {
        a->at.v6.sin6_family = AF_INET6;
        a->at.v6.sin6_port = htons(port);
        a->size = (socklen_t)sizeof(a->at.v6);
        return true;
    }
    if (!bracketed && inet_pton(AF_INET, z, &a->at.v4.sin_addr) == 1) {
        a->at.v4.sin_family = AF_INET;
        a->at.v4.sin_port = htons(port);
        a->size = (socklen_t)sizeof(a->at.v4);
        return true;
    }
    return false;
}

enum err_class listen_parse(const char *text, struct listen_address *ret_address, struct err *err)
{
    struct str s = str_of(text);
    struct listen_address a;
    memset(&a, 0, sizeof(a));
    if (str_starts(s, STR("unix:"))) {
        enum err_class c = parse_unix(str_n(s.ptr + 5, s.len - 5), &a, err);
        if (c == ERR_NONE)
            *ret_address = a;
        return c;
    }
    if (str_starts(s, STR("fd:"))) {
        enum err_class c = parse_fd(text + 3, &a, err);
        if (c == ERR_NONE)
            *ret_address = a;
        return c;
    }
    const char *colon = s.len ? memrchr(s.ptr, ':', s.len) : NULL;
    int64_t port = -1;
    if (colon && str_to_int64(str_of(colon + 1), &port) && port >= 0 && port <= 65535 &&
        parse_host(str_n(s.ptr, (size_t)(colon - s.ptr)), (uint16_t)port, &a)) {
        *ret_address = a;
        return ERR_NONE;
    }
    return err_set(err, ERR_REJECT, EXIT_CONFIG,
                   "listen '%s': wanted is ADDRESS:PORT such as 127.0.0.1:8787 or [::1]:8787, or unix:/path", text);
}

bool listen_is_local(const struct sockaddr *address)
{
    if (address->sa_family == AF_UNIX)
        return true;
    if (address->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof(v4));
        return (ntohl(v4.sin_addr.s_addr) >> 24) == 127;
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, address, sizeof(v6));
        return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr) ||
               (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr) && v6.sin6_addr.s6_addr[12] == 127);
    }
    return false;
}

/* A socket file that nobody listens on is what a killed program leaves behind. */
static void remove_stale(const struct listen_address *a)
{
    struct stat st;
    if (a->at.any.sa_family != AF_UNIX || lstat(a->at.local.sun_path, &st) || !S_ISSOCK(st.st_mode))
        return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (connect(fd, &a->at.any, a->size) && errno == ECONNREFUSED)
        unlink(a->at.local.sun_path);
    close(fd);
}

static enum err_class bind_and_listen(int fd, struct listen_address *a)
{
    int on = 1;
    if (a->at.any.sa_family != AF_UNIX && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)))
        return ERR_FATAL;
    if (a->at.any.sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)))
        return ERR_FATAL;
    if (bind(fd, &a->at.any, a->size) || listen(fd, BACKLOG))
        return ERR_FATAL;
    a->size = (socklen_t)sizeof(a->at);
    return getsockname(fd, &a->at.any, &a->size) ? ERR_FATAL : ERR_NONE;
}

enum err_class listen_open(struct listen_address *address, int *ret_fd, struct err *err)
{
    char text[160];
    if (address->is_open) {
        (void)fcntl(address->fd, F_SETFL, fcntl(address->fd, F_GETFL) | O_NONBLOCK);
        *ret_fd = address->fd;
        return ERR_NONE;
    }
    listen_format(address, text, sizeof(text));
    remove_stale(address);
    int fd = socket(address->at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_errno(err, ERR_FATAL, EXIT_OSERR, errno, "cannot make a socket for '%s'", text);
    if (bind_and_listen(fd, address)) {
        int e = errno;
        close(fd);
        if (e == EADDRINUSE)
            return err_set(err, ERR_FATAL, EXIT_UNAVAILABLE,
                           "cannot listen on '%s': something else does; choose another with --listen", text);
        return err_errno(err, ERR_FATAL, e == EACCES ? EXIT_NOPERM : EXIT_UNAVAILABLE, e, "cannot listen on '%s'",
                         text);
    }
    *ret_fd = fd;
    return ERR_NONE;
}

void listen_format(const struct listen_address *address, char *text, size_t size)
{
    char host[INET6_ADDRSTRLEN] = "";
    if (address->at.any.sa_family == AF_UNIX) {
        snprintf(text, size, "unix:%s", address->at.local.sun_path);
    } else if (address->at.any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &address->at.v6.sin6_addr, host, sizeof(host));
        snprintf(text, size, "http://[%s]:%u", host, ntohs(address->at.v6.sin6_port));
    } else {
        inet_ntop(AF_INET, &address->at.v4.sin_addr, host, sizeof(host));
        snprintf(text, size, "http://%s:%u", host, ntohs(address->at.v4.sin_port));
    }
}
