/* SPDX-License-Identifier: MIT
 *
 * server.c - see server.h.
 */
#include "server.h"

#include "base/metrics.h"

#include <arpa/inet.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

static void must(enum err_class c, const struct err *err)
{
    if (c) {
        fprintf(stderr, "server: %s\n", err->text);
        abort();
    }
}

void server_start(struct server *s)
{
    struct err err = {0};
    snprintf(s->directory, sizeof(s->directory), "/tmp/wikitally-serve-XXXXXX");
    ensure(mkdtemp(s->directory) != NULL);
    struct journal_options j = {.directory = s->directory, .source = "test", .partitions = 1, .clock = &clock_real};
    must(journal_open_sqlite(&j, &s->journal, &err), &err);
    s->options.listen = s->options.listen ? s->options.listen : "127.0.0.1:0";
    s->options.directory = s->directory;
    s->options.journal = s->journal;
    s->options.delay_us = 120 * US_PER_SECOND;
    s->options.clock = &clock_real;
    must(serve_start(&s->options, &s->serve, &err), &err);
    const char *colon = strrchr(serve_address(s->serve), ':');
    int64_t port = 0;
    ensure(colon && str_to_int64(str_of(colon + 1), &port));
    s->port = (int)port;
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *at)
{
    (void)st;
    (void)flag;
    (void)at;
    return remove(path);
}

void server_stop(struct server *s)
{
    serve_stop(s->serve);
    journal_close(s->journal);
    nftw(s->directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    memset(s, 0, sizeof(*s));
}

void server_add_raw(struct server *s, int64_t arrival_us, const char *json)
{
    struct err err = {0};
    struct record r = {.arrival_us = arrival_us, .value = str_of(json)};
    struct batch b = {.records = &r, .record_count = 1};
    must(journal_append(s->journal, &b, NULL, &err), &err);
}

static void add_member(struct buf *b, const char *name, const char *value)
{
    buf_addf(b, ",\"%s\":", name);
    buf_add_json(b, str_of(value));
}

void server_add_change(struct server *s, int64_t time_us, const struct change_text *c)
{
    AUTO(buf) struct buf b = {0};
    buf_addf(&b, "{\"meta\":{\"id\":\"%lld\",\"dt\":\"", (long long)time_us);
    time_format_ms(&b, time_us);
    buf_addf(&b, "\"},\"timestamp\":%lld,\"bot\":%s", (long long)(time_us / US_PER_SECOND), c->bot ? "true" : "false");
    add_member(&b, "type", c->type ? c->type : "edit");
    add_member(&b, "wiki", c->wiki);
    add_member(&b, "server_name", c->server);
    add_member(&b, "title", c->title);
    add_member(&b, "user", c->user);
    buf_addz(&b, ",\"revision\":{\"new\":9223372036854775807,\"old\":12}}");
    server_add_raw(s, time_us / US_PER_MS * US_PER_MS, b.ptr);
}

int client_open(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ensure(fd >= 0 && connect(fd, (const struct sockaddr *)&a, sizeof(a)) == 0);
    return fd;
}

bool client_read(int fd, struct buf *answer, int wait_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, wait_ms) < 1)
        return false;
    char *room = buf_reserve(answer, 65536);
    ssize_t n = room ? recv(fd, room, 65536, 0) : -1;
    if (n <= 0)
        return false;
    answer->len += (size_t)n;
    answer->ptr[answer->len] = 0;
    return true;
}

void client_send(int port, struct str bytes, struct buf *answer, int wait_ms)
{
    int fd = client_open(port);
    size_t sent = 0;
    while (sent < bytes.len) {
        ssize_t n = send(fd, bytes.ptr + sent, bytes.len - sent, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        sent += (size_t)n;
    }
    while (client_read(fd, answer, wait_ms))
        continue;
    close(fd);
}

void client_get(int port, const char *target, const char *extra, struct buf *answer)
{
    AUTO(buf) struct buf b = {0};
    buf_clear(answer);
    buf_addf(&b, "GET %s HTTP/1.1\r\nHost: localhost:%d\r\nConnection: close\r\n%s\r\n", target, port, extra);
    client_send(port, buf_str(&b), answer, 5000);
}

int answer_status(const struct buf *answer)
{
    return answer->len > 12 && strncmp(answer->ptr, "HTTP/1.", 7) == 0 ? (int)strtol(answer->ptr + 9, NULL, 10) : 0;
}

struct str answer_header(const struct buf *answer, const char *name)
{
    size_t n = strlen(name);
    const char *line = answer->ptr;
    while (line && (line = strstr(line, "\r\n")) && strncmp(line, "\r\n\r\n", 4) != 0) {
        line += 2;
        if (strncasecmp(line, name, n) == 0 && line[n] == ':')
            return str_trim(str_n(line + n + 1, (size_t)(strstr(line, "\r\n") - line) - n - 1));
    }
    return (struct str){0};
}

struct str answer_body(const struct buf *answer)
{
    const char *end = answer->ptr ? strstr(answer->ptr, "\r\n\r\n") : NULL;
    return end ? str_n(end + 4, answer->len - (size_t)(end + 4 - answer->ptr)) : (struct str){0};
}

bool buf_contains(const struct buf *b, const char *text)
{
    return b->ptr && memmem(b->ptr, b->len, text, strlen(text)) != NULL;
}
