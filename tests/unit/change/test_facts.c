/* SPDX-License-Identifier: MIT
 *
 * test_facts.c - what follows from an event: family, language, actor, size.
 */
#include "change_test.h"

static void families_and_languages(void **state)
{
    (void)state;
    static const struct {
        const char *host, *family, *language;
    } cases[] = {
        {"en.wikipedia.org", "wikipedia", "en"},
        {"zh-min-nan.wikipedia.org", "wikipedia", "zh-min-nan"},
        {"simple.wikipedia.org", "wikipedia", "simple"},
        {"de.m.wikipedia.org", "wikipedia", "de"},
        {"fr.wiktionary.org", "wiktionary", "fr"},
        {"pl.wikibooks.org", "wikibooks", "pl"},
        {"sr.wikinews.org", "wikinews", "sr"},
        {"it.wikiquote.org", "wikiquote", "it"},
        {"be-tarask.wikisource.org", "wikisource", "be-tarask"},
        {"wikisource.org", "wikisource", ""},
        {"beta.wikiversity.org", "wikiversity", ""},
        {"es.wikivoyage.org", "wikivoyage", "es"},
        {"www.wikidata.org", "wikidata", ""},
        {"test.wikidata.org", "wikidata", ""},
        {"www.mediawiki.org", "mediawiki", ""},
        {"www.wikifunctions.org", "wikifunctions", ""},
        {"commons.wikimedia.org", "commons", ""},
        {"meta.wikimedia.org", "meta", ""},
        {"species.wikimedia.org", "species", ""},
        {"incubator.wikimedia.org", "incubator", ""},
        {"outreach.wikimedia.org", "wikimedia", ""},
        {"wikimedia.org", "wikimedia", ""},
        {"test.wikipedia.org", "wikipedia", ""},
        {"test2.wikipedia.org", "wikipedia", ""},
        {"www.wikipedia.org", "wikipedia", ""},
        {"EN.wikipedia.org", "wikipedia", ""},
        {"a.b.wikipedia.org", "other", ""},
        {"a.m.b.wikipedia.org", "other", ""},
        {"en.wikipedia.com", "other", ""},
        {"en.wikipedia.org.evil.example", "other", ""},
        {"evilwikipedia.org", "other", ""},
        {"en..org", "other", ""},
        {".wikipedia.org", "other", ""},
        {"en.wikipedia.org.", "other", ""},
        {"wikipedia", "other", ""},
        {"org", "other", ""},
        {"localhost", "other", ""},
        {"", "other", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct str host = str_of(cases[i].host);
        if (!str_eqz(change_family(host), cases[i].family) || !str_eqz(change_language(host), cases[i].language)) {
            fail_msg("%s: %.*s, %.*s", cases[i].host, STR_ARG(change_family(host)), STR_ARG(change_language(host)));
        }
    }
}

static void actors(void **state)
{
    (void)state;
    static const struct {
        const char *event;
        enum actor_kind kind;
    } cases[] = {
        {"{\"user\":\"Alice\",\"bot\":true}", ACTOR_BOT},
        {"{\"bot\":true}", ACTOR_BOT},
        {"{\"user\":\"Alice\",\"bot\":false}", ACTOR_REGISTERED},
        {"{\"user\":\"Alice\",\"bot\":\"true\"}", ACTOR_REGISTERED},
        {"{\"user\":\"Alice\"}", ACTOR_REGISTERED},
        {"{\"user\":\"\"}", ACTOR_HIDDEN},
        {"{\"user\":null}", ACTOR_HIDDEN},
        {"{\"user\":5}", ACTOR_HIDDEN},
        {"{}", ACTOR_HIDDEN},
        {"{\"user\":\"~2026-31415-92\"}", ACTOR_TEMPORARY},
        {"{\"user\":\"\\u007e2026-31415-92\"}", ACTOR_TEMPORARY},
        {"{\"user\":\"~2024-1\"}", ACTOR_TEMPORARY},
        {"{\"user\":\"~2026\"}", ACTOR_REGISTERED},
        {"{\"user\":\"~2026-\"}", ACTOR_REGISTERED},
        {"{\"user\":\"~2026-1-\"}", ACTOR_REGISTERED},
        {"{\"user\":\"~2026-1--2\"}", ACTOR_REGISTERED},
        {"{\"user\":\"~2026-1a\"}", ACTOR_REGISTERED},
        {"{\"user\":\"~202-11111\"}", ACTOR_REGISTERED},
        {"{\"user\":\"~20266-1111\"}", ACTOR_REGISTERED},
        {"{\"user\":\"2026-31415-92\"}", ACTOR_REGISTERED},
        {"{\"user\":\"*Unregistered 12\"}", ACTOR_REGISTERED},
        {"{\"user\":\"192.0.2.17\"}", ACTOR_IP},
        {"{\"user\":\"192.0.2.256\"}", ACTOR_REGISTERED},
        {"{\"user\":\"192.0.2\"}", ACTOR_REGISTERED},
        {"{\"user\":\"192.0.2.17 \"}", ACTOR_REGISTERED},
        {"{\"user\":\"192.0.2.17\\u0000\"}", ACTOR_REGISTERED},
        {"{\"user\":\"2001:DB8:0:0:0:0:0:17\"}", ACTOR_IP},
        {"{\"user\":\"2001:db8::17\"}", ACTOR_IP},
        {"{\"user\":\"::ffff:192.0.2.17\"}", ACTOR_IP},
        {"{\"user\":\"2001:DB8:0:0:0:0:0:17:1\"}", ACTOR_REGISTERED},
        {"{\"user\":\"2001:DB8\"}", ACTOR_REGISTERED},
        {"{\"user\":\"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000\"}", ACTOR_REGISTERED},
    };
    struct event e;
    event_init(&e, NULL, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        event_read(&e, cases[i].event);
        const enum actor_kind kind = change_actor(&e.values[FIELD_USER], &e.values[FIELD_BOT]);
        if (kind != cases[i].kind) {
            fail_msg("%s: %s", cases[i].event, actor_kind_name(kind));
        }
    }
    event_fini(&e);
}

static void sizes(void **state)
{
    (void)state;
    static const struct {
        const char *event;
        bool known;
        int64_t delta;
    } cases[] = {
        {"{\"length\":{\"old\":10,\"new\":25}}", true, 15},
        {"{\"length\":{\"old\":25,\"new\":10}}", true, -15},
        {"{\"length\":{\"new\":25}}", true, 25},
        {"{\"length\":{\"old\":null,\"new\":25}}", true, 25},
        {"{\"length\":{\"old\":10}}", false, 0},
        {"{\"length\":{\"old\":10,\"new\":null}}", false, 0},
        {"{\"length\":{\"old\":\"10\",\"new\":25}}", false, 0},
        {"{\"length\":{\"old\":1.5,\"new\":25}}", false, 0},
        {"{\"length\":{\"old\":-9223372036854775808,\"new\":1}}", false, 0},
        {"{}", false, 0},
    };
    struct event e;
    event_init(&e, (const char *const[]){"length.old", "length.new"}, 2);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t delta = 0;
        event_read(&e, cases[i].event);
        assert_int_equal(change_size_delta(event_value(&e, "length.old"), event_value(&e, "length.new"), &delta),
                         cases[i].known);
        assert_int_equal(delta, cases[i].delta);
    }
    event_fini(&e);
}

static void days_and_hours(void **state)
{
    (void)state;
    static const struct {
        const char *event, *day;
        int64_t hour; /* -1: not known */
    } cases[] = {
        {"{\"timestamp\":1777979867}", "2026-05-05", 11},
        {"{\"timestamp\":0}", "1970-01-01", 0},
        {"{\"timestamp\":1777939199}", "2026-05-04", 23},
        {"{\"timestamp\":1777939200}", "2026-05-05", 0},
        {"{\"timestamp\":null,\"meta\":{\"dt\":\"2026-05-05T01:30:00+02:00\"}}", "2026-05-04", 23},
        {"{\"timestamp\":\"nonsense\",\"meta\":{\"dt\":\"2026-05-05T11:17:40.795Z\"}}", "2026-05-05", 11},
        {"{\"timestamp\":-1}", "", -1},
        {"{}", "", -1},
    };
    AUTO(buf) struct buf day = {0};
    struct event e;
    event_init(&e, (const char *const[]){"timestamp"}, 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t at_us = 0;
        event_read(&e, cases[i].event);
        bool known = change_when(event_value(&e, "timestamp"), event_value(&e, "meta.dt"), &at_us);
        assert_int_equal(known, cases[i].hour >= 0);
        if (known) {
            buf_clear(&day);
            change_add_day(&day, at_us);
            assert_string_equal(day.ptr, cases[i].day);
            assert_int_equal(change_hour(at_us), cases[i].hour);
        }
    }
    event_fini(&e);
}

static void names(void **state)
{
    (void)state;
    assert_string_equal(actor_kind_name(ACTOR_TEMPORARY), "temporary");
    assert_string_equal(dead_reason_name(DEAD_TOO_LARGE), "too-large");
    assert_string_equal(dead_reason_name(DEAD_NO_TIME), "no-time");
    assert_string_equal(dead_reason_name(DEAD_NOT_OBJECT), "not-object");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_and_languages), cmocka_unit_test(actors), cmocka_unit_test(sizes),
        cmocka_unit_test(days_and_hours),         cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
