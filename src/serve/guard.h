/* SPDX-License-Identifier: MIT
 *
 * guard.h - who may ask: Host and Origin (reliability.md D4), the token (D6), limits per address (D2).
 *
 * Listening on loopback does not keep a foreign page out: its name can be made to point at 127.0.0.1 (DNS rebinding).
 * Therefore only names that we know pass: localhost, the literal address of the socket that the request came in on (a
 * literal cannot be rebound), and the configured ones. The port is not looked at: tunnels change it.
 */
#ifndef WIKITALLY_SERVE_GUARD_H
#define WIKITALLY_SERVE_GUARD_H

#include "base/clock.h"

#include <pthread.h>
#include <sys/socket.h>

struct guard_names {
    const char *const *hosts; /* configured; borrowed */
    size_t host_count;
};

/* host: the header's value, "name", "name:port", "[v6]:port". local: getsockname of the connection. */
bool guard_host(const struct guard_names *names, struct str host, const struct sockaddr *local);
/* Absent (ptr NULL) passes; else it must be http:// or https:// and a host that passes. "null" does not. */
bool guard_origin(const struct guard_names *names, struct str origin, const struct sockaddr *local);
/* authorization: "Bearer TOKEN" or "Basic base64(anyone:TOKEN)", which is what a browser can send. The time does not
 * depend on how many bytes are right. */
bool guard_token(const char *token, struct str authorization);

/* An address as a key: IPv4 mapped into IPv6; a UNIX peer is all zero. IPv6 peers count by /64. */
struct guard_peer {
    uint8_t bytes[16];
};
struct guard_peer guard_peer_of(const struct sockaddr *address);
bool guard_peer_eq(const struct guard_peer *a, const struct guard_peer *b);

/* Wrong tokens: after GUARD_TRIES in a minute an address is refused until the minute is over. Bounded: 256 addresses,
 * the oldest makes room. Thread-safe. */
enum { GUARD_TRIES = 10, GUARD_PEERS = 256 };
struct guard_failures {
    pthread_mutex_t lock;
    struct {
        struct guard_peer peer;
        int64_t since_us;
        int count;
    } peers[GUARD_PEERS];
};
bool guard_blocked(struct guard_failures *f, const struct guard_peer *peer, int64_t mono_us);
void guard_failed(struct guard_failures *f, const struct guard_peer *peer, int64_t mono_us);

#endif
