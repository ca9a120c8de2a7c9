/* SPDX-License-Identifier: MIT
 *
 * listen.h - from "127.0.0.1:8787", "[::1]:0", "unix:/path" to a listening socket; "fd:3" is one already. No names are
 * looked up: an address is a literal, or "localhost" (127.0.0.1).
 */
#ifndef WIKITALLY_SERVE_LISTEN_H
#define WIKITALLY_SERVE_LISTEN_H

#include "base/err.h"
#include "base/str.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

struct listen_address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
    } at;
    socklen_t size;
    bool is_open; /* "fd:N" */
    int fd;
};

/* Refuses with EXIT_CONFIG and a sentence that names the text. */
enum err_class listen_parse(const char *text, struct listen_address *ret_address, struct err *err);
/* True for 127.0.0.0/8, ::1, ::ffff:127.0.0.0/104 and UNIX sockets: what only this machine can reach. */
bool listen_is_local(const struct sockaddr *address);
/* Binds and listens; *address becomes what the kernel gave (port 0). A stale UNIX socket nobody answers on is replaced.
 * The socket is the caller's. Errors: EXIT_UNAVAILABLE (in use), EXIT_NOPERM, EXIT_OSERR. */
enum err_class listen_open(struct listen_address *address, int *ret_fd, struct err *err);
/* "http://127.0.0.1:8787", "unix:/path" */
void listen_format(const struct listen_address *address, char *text, size_t size);

#endif
