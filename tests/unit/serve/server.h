/* SPDX-License-Identifier: MIT
 *
 * server.h - a running server over a journal of its own in a temporary directory, and a client that sends raw bytes.
 */
#ifndef WIKITALLY_TESTS_SERVE_SERVER_H
#define WIKITALLY_TESTS_SERVE_SERVER_H

#include "base/buf.h"
#include "journal/journal.h"
#include "serve/serve.h"

struct server {
    char directory[64];
    struct journal *journal;
    struct serve *serve;
    struct serve_options options;
    int port;
};

void server_start(struct server *s); /* options beyond the defaults may be set before */
void server_stop(struct server *s);
/* One change of the stream's form, and its append. */
struct change_text {
    const char *wiki, *server, *title, *user, *type;
    bool bot;
};
void server_add_change(struct server *s, int64_t time_us, const struct change_text *c);
void server_add_raw(struct server *s, int64_t arrival_us, const char *json);

/* Connects, sends, reads until the other side closes, `enough` bytes came, or wait_ms passed without any. */
void client_send(int port, struct str bytes, struct buf *answer, int wait_ms);
int client_open(int port);
bool client_read(int fd, struct buf *answer, int wait_ms); /* false: closed, or nothing came */
/* GET with the headers of a browser and Connection: close. extra: further header lines, each ended by CRLF. */
void client_get(int port, const char *target, const char *extra, struct buf *answer);
int answer_status(const struct buf *answer);                          /* 0: no answer */
struct str answer_header(const struct buf *answer, const char *name); /* ptr NULL: none */
struct str answer_body(const struct buf *answer);
bool buf_contains(const struct buf *b, const char *text);

#endif
