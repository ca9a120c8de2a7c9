/* SPDX-License-Identifier: MIT
 *
 * config_check.c - what the values mean together. Every refusal says why, so that a reader learns the rule with it.
 */
#include "app/config_private.h"
#include "app/config_test.h"

#include "source/transport.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Begins a message: where the key was set, unless that is the default. */
static enum err_class place_error(const struct config *c, const char *key, struct err *err)
{
    const char *place = config_origin(c, key);
    return place ? err_prefix(err, "%s", place) : err->cls;
}

static void add_duration(char *out, size_t size, int64_t us)
{
    AUTO(buf) struct buf text = {0};
    duration_format(&text, us);
    snprintf(out, size, "%s", text.ptr);
}

/* What the source would refuse when it is opened: `config check` says the same as the start. */
static enum err_class check_transport(const struct config *c, struct err *err)
{
    static const char *const keys[] = {"source.url", "source.contact", "source.proxy", "source.ca_file"};
    struct eventstreams_options options = {
        .url = c->source.url, .contact = c->source.contact, .proxy = c->source.proxy, .ca_file = c->source.ca_file};
    enum err_class cls = eventstreams_check(&options, err);
    for (size_t i = 0; cls && i < sizeof keys / sizeof *keys; i++) {
        if (str_starts(str_of(err->text), str_of(keys[i]))) {
            return place_error(c, keys[i], err);
        }
    }
    return cls;
}

static enum err_class check_source(const struct config *c, struct err *err)
{
    struct str url = str_of(c->source.url);
    if (!str_starts(url, STR("https://")) && !str_starts(url, STR("http://"))) {
        AUTO(buf) struct buf shown = {0};
        config_add_url(&shown, url);
        err_set(err, ERR_REJECT, EXIT_CONFIG, "\"source.url\" is \"%.*s\", but must begin with https:// or http://",
                (int)(shown.len < 200 ? shown.len : 200), shown.ptr ? shown.ptr : "");
        return place_error(c, "source.url", err);
    }
    if (check_transport(c, err)) {
        return err->cls;
    }
    if (c->source.horizon_us < 2 * c->source.overlap_us) {
        char horizon[32], overlap[32];
        add_duration(horizon, sizeof horizon, c->source.horizon_us);
        add_duration(overlap, sizeof overlap, c->source.overlap_us);
        err_set(
            err, ERR_REJECT, EXIT_CONFIG,
            "\"source.horizon\" is %s, less than twice \"source.overlap\" (%s): what is read again after a cut would "
            "be counted twice",
            horizon, overlap);
        return place_error(c, config_origin(c, "source.horizon") ? "source.horizon" : "source.overlap", err);
    }
    /* they are made of the address where they are not set */
    const char *key = config_origin(c, "source.topics") ? "source.topics" : "source.url";
    for (size_t i = 0; i < c->source.topics.count; i++) {
        if (strpbrk(c->source.topics.items[i], " \t\"\\/")) {
            err_set(err, ERR_REJECT, EXIT_CONFIG, "\"%s\" has \"%s\", which is no topic's name", key,
                    c->source.topics.items[i]);
            return place_error(c, key, err);
        }
    }
    return ERR_NONE;
}

static enum err_class check_journal(const struct config *c, struct err *err)
{
    int64_t tail_us = c->source.horizon_us + c->source.overlap_us;
    if (c->journal.retention_age_us < 2 * tail_us) {
        char age[32], tail[32];
        add_duration(age, sizeof age, c->journal.retention_age_us);
        add_duration(tail, sizeof tail, 2 * tail_us);
        err_set(
            err, ERR_REJECT, EXIT_CONFIG,
            "\"journal.retention_age\" is %s, but twice horizon and overlap of the source (%s) must stay readable, or "
            "a restart forgets what it has",
            age, tail);
        return place_error(c, "journal.retention_age", err);
    }
    if (c->journal.max_bytes && c->journal.max_bytes <= c->journal.retention_bytes) {
        err_set(err, ERR_REJECT, EXIT_CONFIG,
                "\"journal.max_bytes\" must be above \"journal.retention_bytes\": the hard limit would come before "
                "anything is removed");
        return place_error(c, "journal.max_bytes", err);
    }
    return ERR_NONE;
}

static enum err_class check_filter(const struct config *c, struct err *err)
{
    struct field_set *set = field_set_new();
    size_t column = 0;
    struct filter *filter = filter_compile(str_of(c->ingest.filter), set, &column, err);
    enum err_class cls = ERR_NONE;
    if (!filter) {
        if (err) {
            err->code = EXIT_CONFIG;
        }
        err_prefix(err, "\"ingest.filter\"");
        cls = place_error(c, "ingest.filter", err);
    }
    filter_free(filter);
    field_set_free(set);
    return cls;
}

/* ---- aggregations */

static enum err_class place_aggregation(const struct config *c, const char *name, struct err *err)
{
    const struct definition *d = config_definition((struct config *)(uintptr_t)c, str_of(name));
    const char *place = d ? config_definition_place(c, d) : NULL;
    place = place ? place : config_origin(c, "journal.retention_age"); /* built in: what is around it does not fit */
    err->code = EXIT_CONFIG;
    err_prefix(err, "aggregation \"%s\"", name);
    return place ? err_prefix(err, "%s", place) : err->cls;
}

/* Values that contradict each other: one of them is not what its author thinks. */
static enum err_class check_contradiction(const struct config *c, const struct aggregation_options *a, struct err *err)
{
    char key[CONFIG_KEY_MAX];
    snprintf(key, sizeof key, "aggregations.%s.lateness", a->name);
    if (a->late == LATE_DROP && config_origin(c, key)) {
        err_set(err, ERR_REJECT, EXIT_CONFIG,
                "\"lateness\" has no meaning with \"late: drop\"; remove it, or write \"late: amend\"");
        return place_aggregation(c, a->name, err);
    }
    return ERR_NONE;
}

static enum err_class check_aggregation(const struct config *c, const struct aggregation_options *a, struct err *err)
{
    enum err_class cls = check_contradiction(c, a, err);
    if (cls) {
        return cls;
    }
    struct field_set *set = field_set_new();
    struct aggregation *made = NULL;
    cls = aggregation_new(a, c->journal.retention_age_us, set, &made, err);
    aggregation_free(made);
    field_set_free(set);
    return cls ? place_aggregation(c, a->name, err) : ERR_NONE;
}

static enum err_class check_aggregations(const struct config *c, struct err *err)
{
    enum err_class cls = ERR_NONE;
    for (size_t i = 0; i < c->aggregation_count && !cls; i++) {
        cls = check_aggregation(c, &c->aggregations[i], err);
    }
    return cls;
}

/* ---- the server's address */

/* "127.0.0.1:80", "[::1]:80", "unix:/path". False: none of them. *ret_loopback: only this machine reaches it. */
static bool parse_listen(struct str listen, bool *ret_loopback)
{
    if (str_starts(listen, STR("unix:"))) {
        *ret_loopback = true;
        return listen.len > 5 && listen.len - 5 < 108;
    }
    const char *colon = memrchr(listen.ptr, ':', listen.len);
    int64_t port;
    if (!colon || !str_to_int64(str_n(colon + 1, listen.len - (size_t)(colon + 1 - listen.ptr)), &port) || port < 0 ||
        port > 65535) {
        return false;
    }
    char host[64];
    size_t len = (size_t)(colon - listen.ptr);
    bool bracketed = len >= 2 && listen.ptr[0] == '[' && listen.ptr[len - 1] == ']';
    snprintf(host, sizeof host, "%.*s", (int)(bracketed ? len - 2 : len), listen.ptr + bracketed);
    struct in_addr four;
    struct in6_addr six;
    if (bracketed) {
        *ret_loopback = inet_pton(AF_INET6, host, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
        return inet_pton(AF_INET6, host, &six) == 1;
    }
    if (strcmp(host, "localhost") == 0) {
        *ret_loopback = true;
        return true;
    }
    bool good = inet_pton(AF_INET, host, &four) == 1;
    *ret_loopback = good && ntohl(four.s_addr) >> 24 == 127;
    return good;
}

/* Compared with the Host header, without its port: anything else would never be met. */
static enum err_class check_hosts(const struct config *c, struct err *err)
{
    for (size_t i = 0; i < c->serve.hosts.count; i++) {
        const char *host = c->serve.hosts.items[i];
        if (strpbrk(host, " \t/@*\\") || (strchr(host, ':') && host[0] != '[')) {
            err_set(err, ERR_REJECT, EXIT_CONFIG,
                    "\"serve.hosts\" has \"%s\", but wants names alone, such as tally.example.org", host);
            return place_error(c, "serve.hosts", err);
        }
    }
    return ERR_NONE;
}

static enum err_class check_web_dir(const struct config *c, struct err *err)
{
    char page[4200];
    if (!c->serve.web_dir) {
        return ERR_NONE;
    }
    snprintf(page, sizeof page, "%s/index.html", c->serve.web_dir);
    if (access(page, R_OK) == 0) {
        return ERR_NONE;
    }
    err_errno(err, ERR_REJECT, EXIT_CONFIG, errno, "\"serve.web_dir\": cannot read \"%s\"; build the page first", page);
    return place_error(c, "serve.web_dir", err);
}

static enum err_class check_serve(const struct config *c, struct err *err)
{
    bool loopback = true;
    if (check_hosts(c, err) || check_web_dir(c, err)) {
        return err->cls;
    }
    if (!*c->serve.listen) {
        return ERR_NONE;
    }
    if (!parse_listen(str_of(c->serve.listen), &loopback)) {
        err_set(err, ERR_REJECT, EXIT_CONFIG,
                "\"serve.listen\" is \"%s\", but must be ADDRESS:PORT (a number such as 127.0.0.1), [IPV6]:PORT or "
                "unix:PATH",
                c->serve.listen);
        return place_error(c, "serve.listen", err);
    }
    if (!loopback && !c->serve.token) {
        err_set(err, ERR_REJECT, EXIT_CONFIG,
                "\"serve.listen\" is \"%s\", which other machines can reach, and there is no token; set "
                "\"serve.token_file\", or listen on 127.0.0.1",
                c->serve.listen);
        return place_error(c, "serve.listen", err);
    }
    return ERR_NONE;
}

/* ---- tests */

static bool has_aggregation(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->aggregation_count; i++) {
        if (strcmp(c->aggregations[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static enum err_class check_tests(const struct config *c, struct err *err)
{
    for (size_t i = 0; i < c->test_count; i++) {
        const struct config_test *test = &c->tests[i];
        if (!has_aggregation(c, test->aggregation)) {
            return err_set(err, ERR_REJECT, EXIT_CONFIG,
                           "%s:%zu:%zu: test \"%s\" is of \"%s\", but there is no such aggregation", test->file,
                           test->line, test->column, test->name, test->aggregation);
        }
    }
    return ERR_NONE;
}

enum err_class config_check(const struct config *c, struct err *err)
{
    struct err own;
    err = err ? err : &own;
    enum err_class (*const checks[])(const struct config *, struct err *) = {
        check_source, check_journal, config_kafka_check, check_filter, check_aggregations, check_serve, check_tests,
    };
    enum err_class cls = ERR_NONE;
    for (size_t i = 0; i < sizeof checks / sizeof *checks && !cls; i++) {
        cls = checks[i](c, err);
    }
    return cls;
}
