/* SPDX-License-Identifier: MIT
 *
 * The live state and the live stream, from the journal to the client: numbers, what is not counted, rebuild, resume.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/metrics.h"
#include "serve/frames.h"
#include "serve/stream.h"
#include "server.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct server server;

static int start(void **state)
{
    (void)state;
    server_start(&server);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    server_stop(&server);
    return 0;
}

static int64_t now_second(void)
{
    return clock_wall(&clock_real) / US_PER_SECOND * US_PER_SECOND;
}

static const struct change_text plain_edit = {"enwiki", "en.wikipedia.org", "Main Page", "Ann", "edit", false};

/* Asks until the answer holds the text; fails after five seconds. */
static void wait_for(const char *target, const char *text, struct buf *answer)
{
    for (int i = 0; i < 50; i++) {
        client_get(server.port, target, "", answer);
        if (buf_contains(answer, text))
            return;
        usleep(100000);
    }
    print_message("%s\n", answer->ptr);
    fail_msg("'%s' never said '%s'", target, text);
}

static void counts_changes_by_event_time(void **state)
{
    (void)state;
    AUTO(buf) struct buf answer = {0};
    int64_t now = now_second() - 10 * US_PER_SECOND;
    struct change_text bot = {"dewiki", "de.wikipedia.org", "Seite", "Bot", "edit", true};
    struct change_text log = {"dewiki", "de.wikipedia.org", "Spezial:Log", "Ann", "log", false};
    struct change_text old = {"frwiki", "fr.wikipedia.org", "Vieux", "Old", "edit", false};
    server_add_change(&server, now - 70 * US_PER_SECOND, &old);
    server_add_change(&server, now - 2 * US_PER_SECOND, &plain_edit);
    server_add_change(&server, now - 1 * US_PER_SECOND, &plain_edit);
    server_add_change(&server, now, &bot);
    server_add_change(&server, now, &log);
    wait_for("/api/v1/now?window=1m", "\"changes\":4,\"editors\":2,\"wikis\":2,\"bots\":1,\"bot_share\":0.2500",
             &answer);
    assert_true(buf_contains(&answer,
                             "\"edits\":2,\"wiki\":\"enwiki\",\"title\":\"Main Page\",\"server\":\"en.wikipedia.org\","
                             "\"lang\":\"en\",\"dir\":\"ltr\",\"new\":\"9223372036854775807\",\"old\":\"12\""));
    assert_false(buf_contains(&answer, "Spezial:Log"));
    assert_false(buf_contains(&answer, "Vieux"));
    wait_for("/api/v1/now?window=5m", "\"changes\":5,\"editors\":3,\"wikis\":3", &answer);
    assert_true(buf_contains(&answer, "Vieux"));
    client_get(server.port, "/plain?window=5m", "", &answer);
    assert_true(buf_contains(&answer, "<b>3</b> editors, <b>3</b> wikis, bots made <b>20 %</b>"));
    assert_true(str_eq(answer_header(&answer, "Refresh"), STR("2")));
}

static void canaries_ticks_and_the_future_are_not_counted(void **state)
{
    (void)state;
    AUTO(buf) struct buf answer = {0}, json = {0};
    int64_t now = now_second() - 5 * US_PER_SECOND;
    server_add_change(&server, now, &plain_edit);
    const char *const forms[] = {"canary", "wikitally.tick"};
    for (int i = 0; i < 2; i++) {
        buf_clear(&json);
        buf_addf(&json, "{\"meta\":{\"id\":\"c%d\",\"domain\":\"canary\",\"stream\":\"%s\",\"dt\":\"", i, forms[i]);
        time_format_ms(&json, now + US_PER_SECOND);
        buf_addz(&json,
                 "\"},\"title\":\"Canary\",\"wiki\":\"testwiki\",\"type\":\"edit\",\"user\":\"C\",\"timestamp\":1}");
        server_add_raw(&server, now + 2 * US_PER_SECOND, json.ptr);
    }
    struct change_text future = {"xxwiki", "xx.wikipedia.org", "Future", "F", "edit", false};
    AUTO(buf) struct buf late = {0};
    buf_addf(&late,
             "{\"meta\":{\"id\":\"f\"},\"timestamp\":%lld,\"type\":\"edit\",\"wiki\":\"%s\",\"title\":\"%s\",\"user\":"
             "\"F\"}",
             (long long)((now + 3600 * US_PER_SECOND) / US_PER_SECOND), future.wiki, future.title);
    server_add_raw(&server, now + 2 * US_PER_SECOND, late.ptr);
    server_add_raw(&server, now + 2 * US_PER_SECOND, "{\"not\":\"a change\"}");
    server_add_raw(&server, now + 2 * US_PER_SECOND, "no json");
    AUTO(buf) struct buf edge = {0};
    buf_addz(&edge, "\"edge\":\"");
    time_format(&edge, now + US_PER_SECOND);
    wait_for("/api/v1/now?window=1m", edge.ptr, &answer);
    assert_true(buf_contains(&answer, "\"changes\":1,\"editors\":1,\"wikis\":1"));
    assert_false(buf_contains(&answer, "Canary"));
    assert_false(buf_contains(&answer, "Future"));
}

static void a_restart_finds_the_last_hour_again(void **state)
{
    (void)state;
    AUTO(buf) struct buf answer = {0};
    int64_t now = now_second();
    for (int i = 0; i < 50; i++)
        server_add_change(&server, now - (50 - i) * 60 * US_PER_SECOND, &plain_edit);
    wait_for("/api/v1/now?window=60m", "\"changes\":50,", &answer);
    struct err err = {0};
    serve_stop(server.serve);
    assert_int_equal(serve_start(&server.options, &server.serve, &err), ERR_NONE);
    server.port = (int)strtol(strrchr(serve_address(server.serve), ':') + 1, NULL, 10);
    wait_for("/api/v1/now?window=60m", "\"changes\":50,", &answer);
    wait_for("/readyz", "ok\n", &answer);
}

/* ---- hostile text */

static const char *const hostile[] = {"<script>alert(1)</script>",
                                      "\"><img src=x onerror=alert(1)>",
                                      "' onmouseover='alert(1)",
                                      "</td></table><h1>x",
                                      "<!--",
                                      "]]>",
                                      "&lt;script&gt;",
                                      "javascript:alert(1)",
                                      ("\xe2\x80\xae"
                                       "gnp.exe"),
                                      "%s%n%x",
                                      "{{constructor.constructor('x')()}}",
                                      "<bdi dir=rtl></bdi><svg onload=alert(1)>",
                                      "\xe2\x80\xa8\xe2\x80\xa9",
                                      "'; DROP TABLE rows; --",
                                      "<style>*{display:none}</style>"};

static void D5_hostile_titles_stay_text(void **state)
{
    (void)state;
    AUTO(buf) struct buf answer = {0};
    int64_t now = now_second() - 5 * US_PER_SECOND;
    for (size_t i = 0; i < sizeof(hostile) / sizeof(*hostile); i++) {
        struct change_text c = {"\"><b>wiki", "\"><x>.example", hostile[i], hostile[i], "edit", false};
        server_add_change(&server, now, &c);
    }
    wait_for("/api/v1/now", "\"changes\":15,", &answer);
    struct str body = answer_body(&answer);
    assert_null(memchr(body.ptr, '<', body.len));
    assert_null(memmem(body.ptr, body.len, "\xe2\x80\xa8", 3));
    assert_true(buf_contains(&answer, "\"server\":\"\""));
    wait_for("/plain", "&lt;script&gt;alert(1)&lt;/script&gt;", &answer);
    static const char *const never[] = {"<script", "<img", "<svg", "<h1>x", "<style>", "<b>wiki", "<!--", "' onmouse"};
    for (size_t i = 0; i < sizeof(never) / sizeof(*never); i++)
        assert_false(buf_contains(&answer, never[i]));
}

/* ---- the stream */

static int open_stream(const char *query, const char *last_id, struct buf *text)
{
    AUTO(buf) struct buf b = {0};
    int fd = client_open(server.port);
    buf_addf(&b, "GET /api/v1/stream%s HTTP/1.1\r\nHost: localhost\r\n", query);
    if (last_id)
        buf_addf(&b, "Last-Event-ID: %s\r\n", last_id);
    buf_addz(&b, "\r\n");
    assert_int_equal(write(fd, b.ptr, b.len), b.len);
    buf_clear(text);
    return fd;
}

static void read_until(int fd, struct buf *text, const char *what)
{
    int64_t until_us = clock_mono(&clock_real) + 10 * US_PER_SECOND;
    while (!buf_contains(text, what)) {
        if (clock_mono(&clock_real) > until_us || !client_read(fd, text, 5000))
            fail_msg("the stream never said '%s': %s", what, text->ptr ? text->ptr : "");
    }
}

/* The last "id: ..." line. */
static void last_id(const struct buf *text, char *id, size_t size)
{
    const char *at = NULL, *next = text->ptr;
    while ((next = strstr(next, "\nid: ")))
        at = next = next + 5;
    assert_non_null(at);
    snprintf(id, size, "%.*s", (int)strcspn(at, "\r\n"), at);
}

static void hello_snapshot_delta_state(void **state)
{
    (void)state;
    AUTO(buf) struct buf text = {0};
    server_add_change(&server, now_second() - 3 * US_PER_SECOND, &plain_edit);
    int fd = open_stream("?views=now:1m,timeline:1m&hz=1", NULL, &text);
    read_until(fd, &text, "event: snapshot");
    assert_true(str_eq(answer_header(&text, "Content-Type"), STR("text/event-stream")));
    assert_true(str_eq(answer_header(&text, "Cache-Control"), STR("no-store, no-transform")));
    assert_true(str_eq(answer_header(&text, "X-Accel-Buffering"), STR("no")));
    const char *hello = strstr(text.ptr, "event: hello"), *snapshot = strstr(text.ptr, "event: snapshot");
    assert_true(strstr(text.ptr, "retry: ") && hello && hello < snapshot);
    read_until(fd, &text, "event: state");
    server_add_change(&server, now_second() - 1 * US_PER_SECOND, &plain_edit);
    read_until(fd, &text, "event: delta");
    close(fd);
}

/* Who comes back with its last id gets what it missed, as deltas, and no snapshot. */
static void last_event_id_resumes(void **state)
{
    (void)state;
    AUTO(buf) struct buf text = {0}, answer = {0};
    char id[80];
    int64_t now = now_second();
    server_add_change(&server, now - 9 * US_PER_SECOND, &plain_edit);
    wait_for("/api/v1/now?window=1m", "\"changes\":1,", &answer);
    int fd = open_stream("?views=now:1m", NULL, &text);
    read_until(fd, &text, "event: state");
    read_until(fd, &text, "\"changes\":1,");
    last_id(&text, id, sizeof(id));
    close(fd);
    for (int i = 0; i < 3; i++) {
        server_add_change(&server, now - (8 - i) * US_PER_SECOND, &plain_edit);
        char want[32];
        snprintf(want, sizeof(want), "\"changes\":%d,", i + 2);
        wait_for("/api/v1/now?window=1m", want, &answer);
    }
    fd = open_stream("?views=now:1m", id, &text);
    read_until(fd, &text, "\"changes\":4,");
    assert_false(buf_contains(&text, "event: snapshot"));
    assert_true(buf_contains(&text, "\"changes\":2,") && buf_contains(&text, "\"changes\":3,"));
    close(fd);
    static const char *const strange[] = {"0000000000000000-0-1", "x", "-", "99999999999999999999999-0-1"};
    for (size_t i = 0; i < sizeof(strange) / sizeof(*strange); i++) {
        fd = open_stream("?views=now:1m", strange[i], &text);
        read_until(fd, &text, "event: snapshot");
        close(fd);
    }
    fd = open_stream("?views=now:5m", id, &text); /* another channel's */
    read_until(fd, &text, "event: snapshot");
    close(fd);
}

static void four_frames_a_second(void **state)
{
    (void)state;
    AUTO(buf) struct buf text = {0};
    int fd = open_stream("?views=now:1m&hz=4", NULL, &text);
    read_until(fd, &text, "event: hello");
    int64_t begin = clock_mono(&clock_real), now = now_second();
    for (int i = 0; i < 6; i++) {
        char want[32];
        server_add_change(&server, now - 5 * US_PER_SECOND, &plain_edit);
        snprintf(want, sizeof(want), "\"changes\":%d,", i + 1);
        read_until(fd, &text, want);
    }
    assert_true(clock_mono(&clock_real) - begin < 4 * US_PER_SECOND);
    close(fd);
}

/* ---- frames by themselves */

static void publish(struct frames *f, const char *now, const char *pages, const char *chip)
{
    struct buf sections[SECTION_COUNT] = {{0}};
    for (size_t i = 0; i < SECTION_COUNT; i++)
        buf_addz(&sections[i], i == SECTION_NOW ? now : i == SECTION_PAGES ? pages : "0");
    frames_publish(f, 0, sections, str_of(chip));
    for (size_t i = 0; i < SECTION_COUNT; i++)
        buf_fini(&sections[i]);
}

static void a_delta_holds_what_changed(void **state)
{
    (void)state;
    struct frames *f = frames_new(7);
    publish(f, "1", "[]", "{}");
    publish(f, "1", "[]", "{}");
    assert_int_equal(frames_sequence(f, 0), 1);
    publish(f, "2", "[]", "{}");
    struct frame *d = frames_delta(f, 0, 2);
    assert_string_equal(d->bytes, "id: 0000000000000007-0-2\nevent: delta\ndata: {\"seq\":2,\"data\":{\"now\":2}}\n\n");
    frame_drop(d);
    publish(f, "2", "[]", "{\"x\":1}");
    d = frames_delta(f, 0, 3);
    assert_string_equal(d->bytes,
                        "id: 0000000000000007-0-3\nevent: delta\ndata: {\"seq\":3,\"data\":{}}\n\nevent: state\n"
                        "data: {\"x\":1}\n\n");
    frame_drop(d);
    char number[16];
    for (int i = 0; i < FRAMES_KEPT; i++) {
        snprintf(number, sizeof(number), "%d", 10 + i);
        publish(f, number, "[]", "{}");
    }
    assert_null(frames_delta(f, 0, 3));
    assert_null(frames_delta(f, 0, 1));
    uint64_t sequence;
    d = frames_snapshot(f, 0, &sequence);
    assert_int_equal(sequence, FRAMES_KEPT + 3);
    frame_drop(d);
    frames_free(f);
}

/* Reads until the frame under way is out; never until nothing is left, as there is no connection to suspend. */
static void drain(struct stream_client *c, struct buf *text, const char *until)
{
    char part[37];
    while (!buf_contains(text, until)) {
        ssize_t n = stream_client_read(c, part, sizeof(part));
        assert_true(n > 0);
        buf_add(text, str_n(part, (size_t)n));
    }
}

/* A client that was busy while three frames went by gets the newest whole, and the two between are counted. */
static void slow_clients_skip_to_the_newest(void **state)
{
    (void)state;
    AUTO(buf) struct buf text = {0}, metrics = {0};
    const char *why;
    struct guard_peer peer = {{1}};
    struct frames *f = frames_new(7);
    struct stream_hub *hub = stream_hub_new(f, 2, 1, &clock_real);
    publish(f, "1", "[]", "{}");
    struct stream_client *c = stream_client_new(hub, &peer, 0, STR("{}"), "", &why);
    assert_non_null(c);
    assert_null(stream_client_new(hub, &peer, 0, STR("{}"), "", &why));
    drain(c, &text, "\"now\":1");
    publish(f, "2", "[]", "{}");
    publish(f, "3", "[]", "{}");
    publish(f, "4", "[]", "{}");
    drain(c, &text, "\"now\":4");
    assert_false(buf_contains(&text, "\"now\":2"));
    assert_false(buf_contains(&text, "\"now\":3"));
    assert_false(buf_contains(&text, "event: delta"));
    metrics_write(&metrics);
    assert_true(buf_contains(&metrics, "\nwikitally_sse_skipped_frames_total 2\n"));
    publish(f, "5", "[]", "{}");
    drain(c, &text, "\"now\":5");
    assert_true(buf_contains(&text, "event: delta"));
    stream_client_free(c);
    stream_hub_free(hub);
    frames_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(counts_changes_by_event_time, start, stop),
        cmocka_unit_test_setup_teardown(canaries_ticks_and_the_future_are_not_counted, start, stop),
        cmocka_unit_test_setup_teardown(a_restart_finds_the_last_hour_again, start, stop),
        cmocka_unit_test_setup_teardown(D5_hostile_titles_stay_text, start, stop),
        cmocka_unit_test_setup_teardown(hello_snapshot_delta_state, start, stop),
        cmocka_unit_test_setup_teardown(last_event_id_resumes, start, stop),
        cmocka_unit_test_setup_teardown(four_frames_a_second, start, stop),
        cmocka_unit_test(a_delta_holds_what_changed),
        cmocka_unit_test(slow_clients_skip_to_the_newest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
