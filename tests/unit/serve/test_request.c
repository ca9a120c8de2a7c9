/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "serve/guard.h"
#include "serve/language.h"
#include "serve/listen.h"
#include "serve/request.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

static void splits_path_and_query(void **state)
{
    (void)state;
    struct request q = {0};
    assert_true(request_target(&q, "/api/v1/now?window=5m"));
    assert_true(str_eq(q.path, STR("/api/v1/now")) && str_eq(q.query, STR("window=5m")));
    assert_true(request_target(&q, "/"));
    assert_int_equal(q.query.len, 0);
    static const char *const bad[] = {"",       "api", "http://x/", "/a b",      "/a\x01",
                                      "/a\x7f", "/\\", "/a#b",      "/\xc3\xa4", "*"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_false(request_target(&q, bad[i]));
}

static void parameters_are_decoded_strictly(void **state)
{
    (void)state;
    struct request q = {0};
    AUTO(buf) struct buf v = {0};
    assert_true(request_target(&q, "/x?a=1%2B2+3&b=&c&a=9&d=%ff&e=%00&f=%4&g=%c3%a4"));
    assert_true(request_parameter(&q, "a", &v) && str_eq(buf_str(&v), STR("1+2 3")));
    assert_true(request_parameter(&q, "b", &v) && v.len == 0);
    assert_true(request_parameter(&q, "c", &v) && v.len == 0);
    assert_true(request_parameter(&q, "g", &v) && str_eq(buf_str(&v), STR("\xc3\xa4")));
    assert_false(request_parameter(&q, "d", &v));
    assert_false(request_parameter(&q, "e", &v));
    assert_false(request_parameter(&q, "f", &v));
    assert_false(request_parameter(&q, "z", &v));
    assert_true(str_eq(request_unknown_parameter(&q, "b c d e f g"), STR("a")));
    assert_true(request_target(&q, "/x?a=1&b=2"));
    assert_null(request_unknown_parameter(&q, "b a").ptr);
}

static void encodings_obey_their_weights(void **state)
{
    (void)state;
    assert_true(request_accepts(STR("gzip, deflate, br"), "br"));
    assert_true(request_accepts(STR("deflate , GZIP;q=0.5"), "gzip"));
    assert_false(request_accepts(STR("gzip;q=0"), "gzip"));
    assert_false(request_accepts(STR("gzip;q=0.000"), "gzip"));
    assert_false(request_accepts(STR("xgzip"), "gzip"));
    assert_false(request_accepts((struct str){0}, "gzip"));
}

static struct sockaddr_in loopback(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

static void D4_only_known_names_pass(void **state)
{
    (void)state;
    static const char *const hosts[] = {"tally.example.org"};
    static const char *const good[] = {"localhost",      "LOCALHOST:8787",    "127.0.0.1",
                                       "127.0.0.1:8787", "tally.example.org", "Tally.Example.org:443"};
    static const char *const bad[] = {"evil.example",
                                      "127.0.0.1.nip.io",
                                      "localhost.evil.example",
                                      "evil.example:8787",
                                      "127.0.0.2",
                                      "127.1",
                                      "2130706433",
                                      "0x7f000001",
                                      "0.0.0.0",
                                      "[::1]",
                                      "[::1]:8787",
                                      "localhost:",
                                      "localhost:0",
                                      "localhost:99999",
                                      "localhost:80:80",
                                      "localhost@x",
                                      "x@localhost",
                                      "localhost/",
                                      "localhost.",
                                      " localhost",
                                      "",
                                      ":8787",
                                      "[",
                                      "[::ffff:127.0.0.1]",
                                      "tally.example.org.evil",
                                      "127.0.0.1:80x",
                                      "017.0.0.1",
                                      "localhost,localhost"};
    struct guard_names names = {hosts, 1};
    struct sockaddr_in at = loopback();
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
        assert_true(guard_host(&names, str_of(good[i]), (const struct sockaddr *)&at));
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_false(guard_host(&names, str_of(bad[i]), (const struct sockaddr *)&at));
    assert_false(guard_host(&names, (struct str){0}, (const struct sockaddr *)&at));
    assert_false(guard_host(&names, STR("127.0.0.1\0x"), (const struct sockaddr *)&at));
}

static void D4_only_own_origins_pass(void **state)
{
    (void)state;
    struct guard_names names = {0};
    struct sockaddr_in at = loopback();
    const struct sockaddr *local = (const struct sockaddr *)&at;
    assert_true(guard_origin(&names, (struct str){0}, local));
    assert_true(guard_origin(&names, STR("http://localhost:8787"), local));
    assert_true(guard_origin(&names, STR("https://127.0.0.1"), local));
    assert_false(guard_origin(&names, STR("null"), local));
    assert_false(guard_origin(&names, STR(""), local));
    assert_false(guard_origin(&names, STR("http://evil.example"), local));
    assert_false(guard_origin(&names, STR("file://localhost"), local));
    assert_false(guard_origin(&names, STR("http://localhost:8787/x"), local));
}

static void D6_tokens(void **state)
{
    (void)state;
    static const char token[] = "s3cr3t-token-of-32-characters---";
    assert_true(guard_token(token, STR("Bearer s3cr3t-token-of-32-characters---")));
    assert_true(guard_token(token, STR("Basic YW55b25lOnMzY3IzdC10b2tlbi1vZi0zMi1jaGFyYWN0ZXJzLS0t")));
    assert_false(guard_token(token, STR("Bearer s3cr3t-token-of-32-characters--x")));
    assert_false(guard_token(token, STR("Bearer s3cr3t")));
    assert_false(guard_token(token, STR("Bearer ")));
    assert_false(guard_token(token, STR("Basic !!!!")));
    assert_false(guard_token(token, STR("s3cr3t-token-of-32-characters---")));
    assert_false(guard_token(token, (struct str){0}));
    assert_false(guard_token("", STR("Bearer ")));
}

/* A literal passes only as the socket's own address, of its own family. */
static void D4_literals_of_both_families(void **state)
{
    (void)state;
    struct guard_names names = {0};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_in four = loopback();
    const struct sockaddr_un path = {.sun_family = AF_UNIX};
    const struct sockaddr *v6 = (const struct sockaddr *)&six, *v4 = (const struct sockaddr *)&four;
    assert_true(guard_host(&names, STR("[::1]"), v6) && guard_host(&names, STR("[0:0::1]:8787"), v6));
    assert_false(guard_host(&names, STR("[::2]"), v6) || guard_host(&names, STR("::1"), v6));
    assert_false(guard_host(&names, STR("[::1]"), v4) || guard_host(&names, STR("127.0.0.1"), v6));
    assert_false(guard_host(&names, STR("[]"), v6) || guard_host(&names, STR("[::1"), v6));
    assert_false(guard_host(&names, STR("[::1]x"), v6) || guard_host(&names, STR("[::1]:0"), v6));
    assert_false(guard_host(&names, STR("127.0.0.1"), NULL));
    assert_false(guard_host(&names, STR("127.0.0.1"), (const struct sockaddr *)&path));
    assert_true(guard_host(&names, STR("localhost"), (const struct sockaddr *)&path));
    char longest[300];
    memset(longest, 'a', sizeof longest);
    assert_false(guard_host(&names, str_n(longest, sizeof longest), v4));
    assert_false(guard_host(&names, str_n(longest, 100), v4));
}

/* IPv4 is the same peer however it comes; of IPv6 a /64 is one. */
static void D2_who_counts_as_one(void **state)
{
    (void)state;
    struct sockaddr_in four = loopback();
    struct sockaddr_in6 mapped = {.sin6_family = AF_INET6}, one = {.sin6_family = AF_INET6}, two, far;
    const struct sockaddr_un path = {.sun_family = AF_UNIX};
    assert_int_equal(inet_pton(AF_INET6, "::ffff:127.0.0.1", &mapped.sin6_addr), 1);
    assert_int_equal(inet_pton(AF_INET6, "2001:db8:1:2::1", &one.sin6_addr), 1);
    two = far = one;
    two.sin6_addr.s6_addr[15] = 9;
    far.sin6_addr.s6_addr[7] = 9;
    const struct guard_peer none = guard_peer_of(NULL), local = guard_peer_of((const struct sockaddr *)&path);
    const struct guard_peer a = guard_peer_of((const struct sockaddr *)&four);
    const struct guard_peer b = guard_peer_of((const struct sockaddr *)&mapped);
    const struct guard_peer c = guard_peer_of((const struct sockaddr *)&one);
    const struct guard_peer d = guard_peer_of((const struct sockaddr *)&two);
    const struct guard_peer e = guard_peer_of((const struct sockaddr *)&far);
    assert_true(guard_peer_eq(&a, &b) && guard_peer_eq(&c, &d) && guard_peer_eq(&none, &local));
    assert_false(guard_peer_eq(&a, &c) || guard_peer_eq(&c, &e) || guard_peer_eq(&a, &none));
}

static void D6_basic_is_read_strictly(void **state)
{
    (void)state;
    static const char token[] = "s3cr3t";
    char longest[600];
    assert_true(guard_token(token, STR("basic OnMzY3IzdA==")));  /* ":s3cr3t": anyone */
    assert_false(guard_token(token, STR("Basic czNjcjN0")));     /* "s3cr3t": no user */
    assert_false(guard_token(token, STR("Basic OnMzY3IzdHg="))); /* one byte more */
    assert_false(guard_token(token, STR("Basic OnMzY3Iz-A==")));
    assert_false(guard_token(token, STR("Basic ")) || guard_token(token, STR("Digest s3cr3t")));
    memset(longest, 'A', sizeof longest);
    memcpy(longest, "Bearer ", 7);
    assert_false(guard_token(token, str_n(longest, sizeof longest)));
}

static void D6_ten_wrong_tokens_a_minute(void **state)
{
    (void)state;
    static struct guard_failures f = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct guard_peer one = {{1}}, two = {{2}};
    for (int i = 0; i < GUARD_TRIES; i++) {
        assert_false(guard_blocked(&f, &one, 1000));
        guard_failed(&f, &one, 1000);
    }
    assert_true(guard_blocked(&f, &one, 1000));
    assert_false(guard_blocked(&f, &two, 1000));
    assert_false(guard_blocked(&f, &one, 1001 + US_PER_MINUTE));
    for (int i = 0; i < 3 * GUARD_PEERS; i++) {
        struct guard_peer p = {{3, (uint8_t)i, (uint8_t)(i >> 8)}};
        guard_failed(&f, &p, 2000 + i);
    }
    assert_false(guard_blocked(&f, &two, 5000));
}

static void listen_texts(void **state)
{
    (void)state;
    struct listen_address a;
    struct err err;
    char text[160];
    static const struct {
        const char *in, *out;
        bool local;
    } good[] = {{"127.0.0.1:8787", "http://127.0.0.1:8787", true}, {"[::1]:80", "http://[::1]:80", true},
                {"localhost:1", "http://127.0.0.1:1", true},       {"0.0.0.0:8787", "http://0.0.0.0:8787", false},
                {"[::]:8787", "http://[::]:8787", false},          {"unix:/run/x.sock", "unix:/run/x.sock", true}};
    static const char *const bad[] = {
        "",       "8787",  ":8787",          "127.0.0.1", "127.0.0.1:",   "127.0.0.1:65536",
        "::1:80", "[::1]", "example.org:80", "unix:",     "127.0.0.1:-1", "[127.0.0.1]:80"};
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        assert_int_equal(listen_parse(good[i].in, &a, &err), ERR_NONE);
        listen_format(&a, text, sizeof(text));
        assert_string_equal(text, good[i].out);
        assert_int_equal(listen_is_local(&a.at.any), good[i].local);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        assert_int_equal(listen_parse(bad[i], &a, &err), ERR_REJECT);
        assert_int_equal(err_exit_code(&err), EXIT_CONFIG);
    }
}

static void languages(void **state)
{
    (void)state;
    char tag[16];
    static const struct {
        const char *server, *tag, *direction;
    } rows[] = {{"en.wikipedia.org", "en", "ltr"},
                {"he.wikipedia.org", "he", "rtl"},
                {"simple.wikipedia.org", "en", "ltr"},
                {"commons.wikimedia.org", "", "auto"},
                {"www.wikidata.org", "", "auto"},
                {"zh-min-nan.wikipedia.org", "nan", "ltr"},
                {"ckb.wikipedia.org", "ckb", "rtl"},
                {"\"><script>.wikipedia.org", "", "auto"},
                {"", "", "auto"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        assert_string_equal(language_of_wiki(str_of(rows[i].server), tag, sizeof(tag)), rows[i].direction);
        assert_string_equal(tag, rows[i].tag);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits_path_and_query),
        cmocka_unit_test(parameters_are_decoded_strictly),
        cmocka_unit_test(encodings_obey_their_weights),
        cmocka_unit_test(D4_only_known_names_pass),
        cmocka_unit_test(D4_only_own_origins_pass),
        cmocka_unit_test(D4_literals_of_both_families),
        cmocka_unit_test(D2_who_counts_as_one),
        cmocka_unit_test(D6_tokens),
        cmocka_unit_test(D6_basic_is_read_strictly),
        cmocka_unit_test(D6_ten_wrong_tokens_a_minute),
        cmocka_unit_test(listen_texts),
        cmocka_unit_test(languages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
