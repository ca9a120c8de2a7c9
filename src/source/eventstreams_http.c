/* SPDX-License-Identifier: MIT
 *
 * eventstreams_http.c - what is asked of an EventStreams server and what its answers mean (eventstreams.md sections 1.1
 * to 1.7). One sentence for each way in which it can refuse, and a class: ERR_RETRY for all that waiting may mend,
 * ERR_FATAL for what a person has to mend.
 */
#include "base/fault.h"
#include "source/eventstreams.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

/* ---------------------------------------------------------------- URL */

static bool is_loopback(const char *host)
{
    return strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 || strcmp(host, "::1") == 0 ||
           (strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == strlen(host));
}

static CURLU *new_url(void)
{
    CURLU *u = curl_url();
    if (!u)
        die_no_memory();
    return u;
}

/* -> is all well so far? */
static bool url_ok(CURLUcode rc)
{
    if (rc == CURLUE_OUT_OF_MEMORY)
        die_no_memory();
    return rc == CURLUE_OK;
}

/* http or https, and plain http only to this machine. */
static enum err_class check_url(const char *url, bool *ret_loopback, struct err *err)
{
    CURLU *u = new_url();
    char *scheme = NULL, *host = NULL, *user = NULL;
    enum err_class cls = ERR_NONE;
    if (!url_ok(curl_url_set(u, CURLUPART_URL, url, 0)) || !url_ok(curl_url_get(u, CURLUPART_SCHEME, &scheme, 0)) ||
        !url_ok(curl_url_get(u, CURLUPART_HOST, &host, 0))) {
        cls = strchr(url, '@') /* there may be a password before it */
                  ? err_set(err, ERR_REJECT, EXIT_CONFIG, "source.url: is no URL")
                  : err_set(err, ERR_REJECT, EXIT_CONFIG, "source.url: \"%s\" is no URL", url);
    } else if (url_ok(curl_url_get(u, CURLUPART_USER, &user, 0))) {
        cls = err_set(err, ERR_REJECT, EXIT_CONFIG, "source.url: must not hold a user name or password");
    } else if (strcmp(scheme, "https") != 0 && strcmp(scheme, "http") != 0) {
        cls = err_set(err, ERR_REJECT, EXIT_CONFIG, "source.url: \"%s\" is not https", url);
    } else if (strcmp(scheme, "http") == 0 && !is_loopback(host)) {
        cls = err_set(err, ERR_REJECT, EXIT_CONFIG,
                      "source.url: \"%s\": plain http is for this machine only, use https", url);
    } else {
        *ret_loopback = is_loopback(host);
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(user);
    curl_url_cleanup(u);
    return cls;
}

/* Its text may hold a password, so no message repeats it, and curl, which would, never sees one that it refuses. */
static enum err_class check_proxy(const char *proxy, struct err *err)
{
    static const char *const schemes[] = {"http", "https", "socks4", "socks4a", "socks5", "socks5h"};
    CURLU *u = new_url();
    char *scheme = NULL, *host = NULL;
    bool known = false;
    if (url_ok(curl_url_set(u, CURLUPART_URL, proxy, CURLU_NON_SUPPORT_SCHEME | CURLU_GUESS_SCHEME)) &&
        url_ok(curl_url_get(u, CURLUPART_SCHEME, &scheme, 0)) && url_ok(curl_url_get(u, CURLUPART_HOST, &host, 0))) {
        for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++) {
            known = known || strcmp(scheme, schemes[i]) == 0;
        }
        known = known || !strstr(proxy, "://"); /* guessed by the host's name; curl takes http */
    }
    curl_free(scheme);
    curl_free(host);
    curl_url_cleanup(u);
    return known
               ? ERR_NONE
               : err_set(err, ERR_REJECT, EXIT_CONFIG,
                         "source.proxy: is no proxy's URL; write http://HOST:PORT, or https, socks4, socks4a, socks5, "
                         "socks5h");
}

enum err_class es_check(const struct eventstreams_options *options, bool *ret_loopback, struct err *err)
{
    enum err_class cls = check_url(options->url, ret_loopback, err);
    if (!cls && options->contact && strpbrk(options->contact, "\r\n")) {
        cls = err_set(err, ERR_REJECT, EXIT_CONFIG, "source.contact: must be one line");
    }
    if (!cls && options->proxy && *options->proxy) {
        cls = check_proxy(options->proxy, err);
    }
    if (!cls && options->ca_file && *options->ca_file && access(options->ca_file, R_OK)) {
        cls = err_errno(err, ERR_REJECT, EXIT_CONFIG, errno, "source.ca_file: cannot read \"%s\"", options->ca_file);
    }
    return cls;
}

enum err_class eventstreams_check(const struct eventstreams_options *options, struct err *err)
{
    bool loopback;
    return es_check(options, &loopback, err);
}

/* ---------------------------------------------------------------- request */

/* [{"topic":"eqiad...","partition":0,"timestamp":1756449917002},{"topic":"codfw...","partition":0,"offset":-1}]:
 * exactly one of timestamp and offset, because the service drops objects that have both. */
static void add_last_event_id(struct buf *out, const struct transport_want *want, size_t count)
{
    buf_addz(out, "Last-Event-ID: [");
    for (size_t i = 0; i < count; i++) {
        buf_addz(out, i ? ",{\"topic\":" : "{\"topic\":");
        buf_add_json(out, want[i].topic);
        buf_addz(out, ",\"partition\":0,");
        if (want[i].from_ms == TIME_NONE) {
            buf_addz(out, "\"offset\":-1}");
        } else {
            buf_addf(out, "\"timestamp\":%lld}", (long long)want[i].from_ms);
        }
    }
    buf_addc(out, ']');
}

/* Live on all topics needs no header: that is what a first request looks like. On one topic alone it does, because a
 * request without it subscribes to all. */
static bool needs_header(const struct transport_want *want, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (want[i].from_ms != TIME_NONE) {
            return true;
        }
    }
    return count == 1;
}

static void add_header(struct es_connection *c, const char *line)
{
    struct curl_slist *longer = curl_slist_append(c->headers, line);
    if (!longer) {
        die_no_memory();
    }
    c->headers = longer;
}

static CURLcode set_transport(struct es_transport *t, CURL *easy)
{
    CURLcode code = CURLE_OK;
#define SET(option, value) code = code ? code : curl_easy_setopt(easy, option, value)
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_REDIR_PROTOCOLS_STR, "https"); /* redirects are off; an empty list is refused */
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_HTTP_VERSION,
        (long)CURL_HTTP_VERSION_1_1); /* a stream of its own: pausing one must not hold up the other */
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L); /* a proxy's Date is not the server's */
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)(t->connect_timeout_us / US_PER_MS));
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_TCP_KEEPIDLE, 20L);
    SET(CURLOPT_TCP_KEEPINTVL, 10L);
    SET(CURLOPT_FORBID_REUSE, 1L); /* the service counts open sockets: a closed one is closed */
    SET(CURLOPT_FRESH_CONNECT, 1L);
    SET(CURLOPT_ACCEPT_ENCODING, t->accept_gzip ? "gzip" : "identity");
    if (t->ca_file) {
        SET(CURLOPT_CAINFO, t->ca_file);
    }
    if (t->proxy) {
        SET(CURLOPT_PROXY, t->proxy);
    } else if (t->loopback) {
        SET(CURLOPT_NOPROXY, "*");
    }
#undef SET
    return code;
}

enum err_class es_request(struct es_transport *t, struct es_connection *c, const struct transport_want *want,
                          size_t count, struct err *err)
{
    AUTO(buf) struct buf text = {.max = 64 << 10};
    c->easy = curl_easy_init();
    if (!c->easy) {
        die_no_memory();
    }
    buf_addf(&text, "wikitally/%s (%s) libcurl/%s", WIKITALLY_VERSION, t->contact,
             curl_version_info(CURLVERSION_NOW)->version);
    CURLcode code = set_transport(t, c->easy);
    code = code ? code : curl_easy_setopt(c->easy, CURLOPT_URL, t->url);
    code = code ? code : curl_easy_setopt(c->easy, CURLOPT_USERAGENT, text.ptr);
    code = code ? code : curl_easy_setopt(c->easy, CURLOPT_ERRORBUFFER, c->curl_text);
    add_header(c, "Accept: text/event-stream");
    add_header(c, "Cache-Control: no-store");
    if (needs_header(want, count)) {
        buf_clear(&text);
        add_last_event_id(&text, want, count);
        add_header(c, text.ptr);
    }
    code = code ? code : curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, c->headers);
    if (code) {
        return err_set(err, ERR_FATAL, EXIT_INTERNAL, "cannot prepare the request: %s", curl_easy_strerror(code));
    }
    return ERR_NONE;
}

/* ---------------------------------------------------------------- answer */

static const char *content_type(CURL *easy)
{
    const char *type = NULL;
    curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &type);
    return type ? type : "";
}

bool es_is_stream(CURL *easy)
{
    static const char want[] = "text/event-stream";
    long status = 0;
    const char *type = content_type(easy);
    size_t len = sizeof(want) - 1;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    return status == 200 && strncasecmp(type, want, len) == 0 &&
           (type[len] == '\0' || type[len] == ';' || type[len] == ' ');
}

/* The service's own errors are JSON with a `detail`; that is worth showing. */
static void add_detail(struct err *err, const struct buf *body)
{
    const char *at = body->len ? memmem(body->ptr, body->len, "\"detail\":\"", 10) : NULL;
    if (!at) {
        at = body->len ? memmem(body->ptr, body->len, "\"message\":\"", 11) : NULL;
        at = at ? at + 1 : NULL;
    }
    if (!at) {
        return;
    }
    at += 10;
    const char *end = memchr(at, '"', (size_t)(body->ptr + body->len - at));
    struct err before = *err;
    int len = end && end - at < 200 ? (int)(end - at) : 0;
    if (len > 0) {
        err_set(err, before.cls, before.code, "%s (\"%.*s\")", before.text, len, at);
    }
}

static enum err_class judge_status(struct es_connection *c, long status, struct err *err)
{
    bool own_words = strncasecmp(content_type(c->easy), "application/json", 16) == 0;
    const char *url = c->transport->url;
    switch (status) {
    case 200:
        return err_set(err, ERR_RETRY, EXIT_UNAVAILABLE, "\"%s\" answered with \"%s\" instead of text/event-stream",
                       url, content_type(c->easy));
    case 204:
        return err_set(err, ERR_RETRY, EXIT_UNAVAILABLE, "\"%s\" answered that it has no stream now (204)", url);
    case 403:
        return err_set(
            err, ERR_FATAL, EXIT_CONFIG,
            "\"%s\" refuses us (403): it wants a User-Agent that names a contact; set source.contact to a mail "
            "address or a page about you (now \"%s\")",
            url, c->transport->contact);
    case 401:
    case 407:
        return err_set(err, ERR_FATAL, EXIT_CONFIG,
                       "\"%s\" or a proxy before it wants a login (%ld): check source.url and source.proxy", url,
                       status);
    case 429:
        return err_set(err, ERR_RETRY, EXIT_TEMPFAIL,
                       "\"%s\" says too many requests (429): two connections per address are the limit; is another "
                       "client running here?",
                       url);
    case 400:
    case 404:
        return err_set(err, own_words ? ERR_FATAL : ERR_RETRY, own_words ? EXIT_CONFIG : EXIT_UNAVAILABLE,
                       "\"%s\" does not understand the request (%ld): check the stream names in source.url and "
                       "source.topics",
                       url, status);
    default:
        break;
    }
    if (status >= 300 && status < 400) {
        const char *to = NULL;
        curl_easy_getinfo(c->easy, CURLINFO_REDIRECT_URL, &to);
        return err_set(err, ERR_RETRY, EXIT_UNAVAILABLE,
                       "\"%s\" sends us to \"%s\" (%ld): redirects are not followed, set source.url if that is right",
                       url, to ? to : "?", status);
    }
    return err_set(err, ERR_RETRY, EXIT_UNAVAILABLE, "\"%s\" cannot serve now (HTTP status %ld)", url, status);
}

enum err_class es_refusal(struct es_connection *c, struct err *err)
{
    struct err said;
    long status = 0;
    curl_off_t after_s = 0;
    curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
    if (!curl_easy_getinfo(c->easy, CURLINFO_RETRY_AFTER, &after_s) && after_s > 0) {
        c->retry_after_us = after_s < 86400 ? after_s * US_PER_SECOND : US_PER_DAY; /* a stranger's number: bounded */
    }
    judge_status(c, status, &said);
    if (status == 429 && fault("R3.429")) {
        return ERR_NONE;
    }
    if (status >= 400) {
        add_detail(&said, &c->error_body);
    }
    if (err) {
        *err = said;
    }
    return said.cls;
}

enum err_class es_failure(struct es_connection *c, struct err *err)
{
    const char *url = c->transport->url;
    bool repeats_proxy = strstr(c->curl_text, "roxy syntax") || strstr(c->curl_text, "roxy scheme");
    const char *text = c->curl_text[0] && !repeats_proxy ? c->curl_text : curl_easy_strerror(c->result);
    switch (c->result) {
    case CURLE_OK:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
        return err_set(err, ERR_RETRY, EXIT_UNAVAILABLE, "\"%s\" closed the connection before the stream began", url);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
        return err_set(err, ERR_FATAL, EXIT_CONFIG,
                       "\"%s\": the server's certificate is not trusted (%s): check the clock, or set source.ca_file",
                       url, text);
    case CURLE_SSL_CACERT_BADFILE:
        return err_set(err, ERR_FATAL, EXIT_CONFIG, "source.ca_file: \"%s\" cannot be used (%s)",
                       c->transport->ca_file ? c->transport->ca_file : "", text);
    case CURLE_URL_MALFORMAT:
        return err_set(err, ERR_FATAL, EXIT_CONFIG, "\"%s\" cannot be asked: %s", url, text);
    case CURLE_COULDNT_RESOLVE_PROXY:
        return err_set(err, ERR_RETRY, EXIT_UNAVAILABLE, "the name of the proxy before \"%s\" cannot be resolved (%s)",
                       url, text);
    case CURLE_COULDNT_RESOLVE_HOST:
        return err_set(err, ERR_RETRY, EXIT_UNAVAILABLE, "\"%s\": its name cannot be resolved (%s)", url, text);
    default:
        return err_set(err, ERR_RETRY, EXIT_UNAVAILABLE, "\"%s\" cannot be reached: %s", url, text);
    }
}
