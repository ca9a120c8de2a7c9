/* SPDX-License-Identifier: MIT
 *
 * test_stream.c - the whole live source (transport, follow, admission) against our upstream server, one fault after the
 * other: in the end the journal holds every event of the server exactly once, judged by meta.id.
 *
 * Events are made up at 2,000 a second of their own time, which is that of the clock, so that times, Date and arrival
 * agree as they do in earnest.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../unit/source/memory_output.h"
#include "source/transport.h"
#include "upstream/upstream.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

enum { EVENTS = 3000, ID_BYTES = 36, WAIT_S = 40 };

struct world {
    struct upstream *upstream;
    struct source *source;
    struct memory_output *journal;
    char (*ids)[ID_BYTES]; /* of the server's events, sorted */
    atomic_size_t changes; /* journalled, ticks apart */
    atomic_bool ended;
    enum err_class cls;
    struct err err;
};

static int by_id(const void *a, const void *b)
{
    return memcmp(a, b, ID_BYTES);
}

static const char *id_of(struct str text)
{
    const char *at = memmem(text.ptr, text.len, "\"id\":\"", 6);
    assert_non_null(at);
    return at + 6;
}

static bool is_tick(struct str text)
{
    return memmem(text.ptr, text.len, "wikitally.tick", 14) != NULL;
}

static void count_changes(struct memory_output *m)
{
    struct world *w = m->ctx;
    size_t changes = 0;
    for (size_t i = 0; i < m->count; i++) {
        changes += !is_tick(m->records[i].value);
    }
    atomic_store(&w->changes, changes);
}

static void *run_source(void *ctx)
{
    struct world *w = ctx;
    bool ended;
    w->cls = w->source->ops->run(w->source, &w->journal->output, &ended, &w->err);
    atomic_store(&w->ended, true);
    return NULL;
}

static void open_world(struct world *w, const char *faults)
{
    struct upstream_options server = {
        .listen = "127.0.0.1:0", .speed = 1, .faults = faults, .seed = 5, .clock = &clock_real};
    struct generator_options made = {.seed = 17, .rate = 2000, .late = 0, .start_us = clock_wall(&clock_real)};
    struct source_options options = memory_options(&clock_real);
    struct transport *transport;
    assert_int_equal(upstream_start(&server, &w->upstream, &w->err), ERR_NONE);
    w->ids = xcalloc(EVENTS, ID_BYTES);
    w->journal = memory_output_new();
    w->journal->committed = count_changes;
    w->journal->ctx = w;
    struct eventstreams_options stream = {.url = upstream_url(w->upstream),
                                          .contact = "tests@example.org",
                                          .accept_gzip = true,
                                          .clock = &clock_real,
                                          .connect_timeout_us = 3 * US_PER_SECOND};
    assert_int_equal(transport_open_eventstreams(&stream, &transport, &w->err), ERR_NONE);
    options.idle_after_us = US_PER_SECOND;
    options.heal = true;
    options.newest = 10000;
    assert_int_equal(source_open_stream(&options, transport, &w->source, &w->err), ERR_NONE);
    struct generator *g = generator_new(&made);
    for (int i = 0; i < EVENTS; i++) {
        int64_t at_us;
        struct str event = generator_next(g, &at_us);
        memcpy(w->ids[i], id_of(event), ID_BYTES);
        assert_int_equal(upstream_add(w->upstream, event, at_us + 500 * US_PER_MS, &w->err), ERR_NONE);
    }
    upstream_end(w->upstream);
    generator_free(g);
    qsort(w->ids, EVENTS, ID_BYTES, by_id);
}

static void close_world(struct world *w)
{
    w->source->ops->free(w->source);
    upstream_stop(w->upstream);
    memory_output_free(w->journal);
    free(w->ids);
}

/* Each event of the server once, and nothing else but ticks. */
static void judge(struct world *w, const char *faults)
{
    size_t *seen = xcalloc(EVENTS, sizeof(*seen)), missing = 0, doubled = 0;
    for (size_t i = 0; i < w->journal->count; i++) {
        if (is_tick(w->journal->records[i].value)) {
            continue;
        }
        const char(*at)[ID_BYTES] = bsearch(id_of(w->journal->records[i].value), w->ids, EVENTS, ID_BYTES, by_id);
        if (!at) {
            fail_msg("%s: an event that the server never had", faults);
        }
        doubled += ++seen[at - (const char(*)[ID_BYTES])w->ids] == 2;
    }
    for (size_t i = 0; i < EVENTS; i++) {
        missing += seen[i] == 0;
    }
    free(seen);
    if (missing || doubled) {
        fail_msg("%s: %zu missing, %zu doubled of %d", faults, missing, doubled, EVENTS);
    }
}

static void follow_through(const char *faults, size_t dead)
{
    struct world w = {0};
    struct upstream_stats stats;
    pthread_t thread;
    open_world(&w, faults);
    pthread_create(&thread, NULL, run_source, &w);
    for (int i = 0; i < WAIT_S * 50 && atomic_load(&w.changes) < EVENTS && !atomic_load(&w.ended); i++) {
        usleep(20000);
    }
    w.source->ops->stop(w.source);
    pthread_join(thread, NULL);
    if (w.cls) {
        fail_msg("%s: %s", faults, w.err.text);
    }
    upstream_stats(w.upstream, &stats);
    judge(&w, faults);
    assert_true(stats.faults_fired > 0 || !*faults);
    assert_int_equal(w.journal->dead_count, dead);
    close_world(&w);
}

/* Events that came before the first connection are not asked for: a first connection is live. So the server begins half
 * a second after the client. */
static void no_fault(void **state)
{
    (void)state;
    follow_through("", 0);
}

#define FAULT(name, spec, dead)                                                                                        \
    static void name(void **state)                                                                                     \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        follow_through(spec, dead);                                                                                    \
    }
FAULT(R3_cuts, "cut:every=700,times=3", 0)
FAULT(R3_cuts_in_the_middle_of_a_line, "cut:bytes=400001,times=3", 0)
FAULT(R3_resets, "reset:at=1500", 0)
FAULT(R3_stalls, "stall:at=1000", 0)
FAULT(R3_half_open, "half-open:at=1000", 0)
FAULT(R1_duplicates, "duplicate:every=20,copies=2", 0)
FAULT(R3_rewinds, "rewind:at=2000,by=900", 0)
FAULT(R4_holes_are_healed, "hole:at=1000;hole:at=1200", 0)
FAULT(R3_refused_for_a_while, "cut:at=800;429:at=2,retry-after=1;5xx:at=3", 0)
FAULT(R3_wrong_type_then_redirect, "cut:at=800;wrong-type:at=2;redirect:at=3", 0)
FAULT(R3_error_event, "error-event:at=900", 0)
FAULT(R2_bad_utf8_is_a_dead_letter, "bad-utf8:at=500", 1)
FAULT(R2_a_message_too_large_is_a_dead_letter, "oversize:at=500", 1)
FAULT(C1_comments, "comments:every=300,count=5000", 0)
FAULT(gzip, "gzip;cut:at=1500", 0)
FAULT(R4_the_other_cluster, "cut:every=800,times=2;cluster:at=2", 0)
FAULT(R5_dateless, "dateless;cut:at=1500", 0)
FAULT(R5_clock_behind, "clock:offset=-20s;cut:at=1500", 0)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_fault),
        cmocka_unit_test(R3_cuts),
        cmocka_unit_test(R3_cuts_in_the_middle_of_a_line),
        cmocka_unit_test(R3_resets),
        cmocka_unit_test(R3_stalls),
        cmocka_unit_test(R3_half_open),
        cmocka_unit_test(R1_duplicates),
        cmocka_unit_test(R3_rewinds),
        cmocka_unit_test(R4_holes_are_healed),
        cmocka_unit_test(R3_refused_for_a_while),
        cmocka_unit_test(R3_wrong_type_then_redirect),
        cmocka_unit_test(R3_error_event),
        cmocka_unit_test(R2_bad_utf8_is_a_dead_letter),
        cmocka_unit_test(R2_a_message_too_large_is_a_dead_letter),
        cmocka_unit_test(C1_comments),
        cmocka_unit_test(gzip),
        cmocka_unit_test(R4_the_other_cluster),
        cmocka_unit_test(R5_dateless),
        cmocka_unit_test(R5_clock_behind),
    };
    return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
