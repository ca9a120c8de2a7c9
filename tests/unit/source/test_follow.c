/* SPDX-License-Identifier: MIT
 *
 * test_follow.c - the follower against a scripted server, in virtual time: what it asks, when it tries again, when it
 * ticks, how it ends. That it loses and doubles nothing is tested in tests/sim, against the model's server.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

#include "base/diag.h"
#include "base/metrics.h"
#include "fake_output.h"
#include "source/transport.h"

static const char *const topics[] = {"eqiad", "codfw"};
static const int64_t t0 = INT64_C(1700000000000); /* ms; the server's clock when the test begins */

enum { STEPS = 64, WANTS = 32 };
enum step_what {
    STEP_END,
    STEP_CONNECT,
    STEP_REFUSE,
    STEP_FATAL,
    STEP_RECORD,
    STEP_AHEAD, /* a record whose meta.dt is id seconds ahead */
    STEP_CANARY,
    STEP_CUT,
    STEP_SILENCE
};
struct step { /* what the server does next; a read before its time is silent */
    enum step_what what;
    int64_t at_ms; /* record, cut: server time less t0; connect: Date less server time; refuse: Retry-After */
    int id;
    const char *topic;
};
struct want {
    size_t count;
    int64_t from_ms[2]; /* less t0; TIME_NONE: live */
    int64_t at_ms;      /* when it was asked, less t0 */
};
struct server {
    struct transport transport; /* first member */
    struct clock_manual *clock;
    struct source *source;
    const struct step *step;
    struct want wants[WANTS];
    size_t want_count, open;
    bool always_refuse;
};

static int64_t server_ms(const struct server *s)
{
    return s->clock->mono / US_PER_MS;
}

static enum err_class server_connect(struct transport *t, const struct transport_want *want, size_t count,
                                     struct connection **ret_connection, int64_t *ret_retry_after_us, struct err *err)
{
    struct server *s = (struct server *)t;
    *ret_retry_after_us = 0;
    if (s->always_refuse) {
        return err_set(err, ERR_RETRY, 0, "connection refused");
    }
    ensure(s->want_count < WANTS);
    struct want *w = &s->wants[s->want_count++];
    w->count = count;
    w->at_ms = server_ms(s);
    for (size_t i = 0; i < count; i++) {
        w->from_ms[i] = want[i].from_ms == TIME_NONE ? TIME_NONE : want[i].from_ms - t0;
    }
    const struct step *step = s->step;
    switch (step->what) {
    case STEP_CONNECT: {
        s->step++;
        s->open++;
        struct connection *c = xcalloc(1, sizeof *c);
        c->date_us = (t0 + (server_ms(s) + step->at_ms) / 1000 * 1000) * US_PER_MS;
        c->opened_mono_us = c->ok_mono_us = s->clock->mono;
        *ret_connection = c;
        return ERR_NONE;
    }
    case STEP_REFUSE:
        s->step++;
        *ret_retry_after_us = step->at_ms * US_PER_MS;
        return err_set(err, ERR_RETRY, 0, "the server answered 503");
    case STEP_FATAL:
        return err_set(err, ERR_FATAL, EXIT_CONFIG, "the server answered 403: give a contact for the User-Agent");
    default:
        s->source->ops->stop(s->source);
        return err_set(err, ERR_RETRY, 0, "stopped");
    }
}

static enum transport_event server_read(struct transport *t, struct connection *c, int64_t until_mono_us,
                                        struct str *ret_data)
{
    struct server *s = (struct server *)t;
    const struct step *step = s->step;
    int64_t at_us = step->at_ms * US_PER_MS;
    bool ahead = step->what == STEP_AHEAD;
    bool timed = step->what == STEP_RECORD || ahead || step->what == STEP_CANARY || step->what == STEP_CUT;
    if (step->what == STEP_END) {
        s->source->ops->stop(s->source);
        return TRANSPORT_CUT;
    }
    if (!timed || at_us >= until_mono_us) { /* silence, until something comes or the client has had enough */
        clock_manual_move(s->clock, until_mono_us > s->clock->mono ? until_mono_us - s->clock->mono : 0);
        s->step += step->what == STEP_SILENCE && s->clock->mono >= at_us;
        return TRANSPORT_SILENT;
    }
    clock_manual_move(s->clock, at_us > s->clock->mono ? at_us - s->clock->mono : 0);
    s->step++;
    if (step->what == STEP_CUT) {
        c->cut_label = "cut";
        return TRANSPORT_CUT;
    }
    int64_t dt_ms = t0 + step->at_ms + (ahead ? step->id * INT64_C(1000) : 0);
    *ret_data = fake_event(step->id, step->topic ? step->topic : "eqiad", dt_ms, t0 + step->at_ms, step->id,
                           step->what == STEP_CANARY ? "canary" : "x.org", "w");
    return TRANSPORT_RECORD;
}

static void server_close(struct transport *t, struct connection *c)
{
    if (c) {
        ((struct server *)t)->open--;
        free(c);
    }
}

static void server_stop(struct transport *t)
{
    (void)t;
}

struct fixture {
    struct fake_output *journal;
    struct clock_manual clock;
    struct server server;
    struct source *source;
    struct err err;
    struct source_options options;
};

static void fixture_init(struct fixture *f)
{
    static const struct transport_ops ops = {server_connect, server_read, server_close, server_stop, NULL};
    *f = (struct fixture){0};
    f->journal = fake_output_new();
    clock_manual_init(&f->clock, t0 * US_PER_MS - 3 * 3600 * US_PER_SECOND); /* a wrong wall clock */
    f->clock.mono = 0;
    f->server = (struct server){.transport = {&ops}, .clock = &f->clock};
    f->options = (struct source_options){.overlap_us = US_PER_MINUTE,
                                         .horizon_us = 2 * US_PER_MINUTE,
                                         .skew_us = US_PER_MINUTE,
                                         .delay_us = 2 * US_PER_MINUTE,
                                         .idle_after_us = 30 * US_PER_SECOND,
                                         .commit_every_us = 200 * US_PER_MS,
                                         .commit_bytes = 1 << 20,
                                         .max_identities = 1000,
                                         .newest = 10,
                                         .partitions = 1,
                                         .topics = topics,
                                         .topic_count = 2,
                                         .heal = true,
                                         .clock = &f->clock.base,
                                         .seed = 7};
}

static void open_source(struct fixture *f)
{
    assert_int_equal(source_open_stream(&f->options, &f->server.transport, &f->source, &f->err), ERR_NONE);
    f->server.source = f->source;
}

static enum err_class run(struct fixture *f, const struct step *steps)
{
    bool ended = true;
    f->server.step = steps;
    enum err_class cls = f->source->ops->run(f->source, &f->journal->output, &ended, &f->err);
    assert_false(ended);
    assert_int_equal(f->server.open, 0); /* whatever happened */
    return cls;
}

static void run_once(struct fixture *f, const struct step *steps)
{
    open_source(f);
    assert_int_equal(run(f, steps), ERR_NONE);
}

static void fixture_fini(struct fixture *f)
{
    if (f->source) {
        f->source->ops->free(f->source);
    }
    fake_output_free(f->journal);
}

static bool is_tick(const struct record *r)
{
    return memmem(r->value.ptr, r->value.len, TICK_STREAM, strlen(TICK_STREAM)) != NULL;
}

/* Ticks later than that; those of R7 (a) have the source's own stream time. */
static size_t ticks_after(const struct fixture *f, int64_t after_ms)
{
    size_t count = 0;
    for (size_t i = 0; i < f->journal->count[0]; i++) {
        const struct record *r = &f->journal->records[0][i];
        static const char dt[] = "\"dt\":\"";
        const char *at = is_tick(r) ? memmem(r->value.ptr, r->value.len, dt, sizeof dt - 1) : NULL;
        int64_t time_us = 0;
        if (at) {
            assert_true(time_parse_rfc3339(str_n(at + sizeof dt - 1, 24), &time_us));
            count += time_us > (t0 + after_ms) * US_PER_MS;
        }
    }
    return count;
}

static void R3_resumes_each_topic_from_its_own_position(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    run_once(&f, (struct step[]){{STEP_CONNECT, 0, 0, NULL},
                                 {STEP_RECORD, 2000, 1, "eqiad"},
                                 {STEP_RECORD, 3000, 2, "eqiad"},
                                 {STEP_CUT, 20000, 0, NULL},
                                 {STEP_CONNECT, 0, 0, NULL},
                                 {STEP_END, 0, 0, NULL}});
    const struct want *w = f.server.wants;
    assert_int_equal(f.server.want_count, 2);
    assert_int_equal(w[0].count, 2); /* both are named, live */
    assert_int_equal(w[0].from_ms[0], TIME_NONE);
    assert_int_equal(w[0].from_ms[1], TIME_NONE);
    assert_int_equal(w[1].from_ms[0], 3000 - 60000);
    assert_int_equal(w[1].from_ms[1], 0 - 60000); /* never heard from: the Date of the first connection */
    assert_int_equal(w[1].at_ms, 20000);          /* a cut is the normal end: at once */
    assert_int_equal(f.journal->count[0], 2);
    fixture_fini(&f);
}

static void R3_goes_on_after_a_restart(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    run_once(&f, (struct step[]){{STEP_CONNECT, 0, 0, NULL}, {STEP_RECORD, 2000, 1, "eqiad"}, {STEP_END, 0, 0, NULL}});
    f.source->ops->free(f.source);
    run_once(&f, (struct step[]){{STEP_CONNECT, 0, 0, NULL},
                                 {STEP_RECORD, 2000, 1, "eqiad"},
                                 {STEP_RECORD, 4000, 2, "eqiad"},
                                 {STEP_END, 0, 0, NULL}});
    assert_int_equal(f.server.wants[1].from_ms[0], 2000 - 60000);
    assert_int_equal(f.journal->sums[TALLY_ARRIVAL][SOURCE_DUPLICATE], 1);
    assert_int_equal(f.journal->count[0], 3);
    assert_true(is_tick(&f.journal->records[0][1])); /* R7: a first one to every partition it finds */
    fixture_fini(&f);
}

static void R3_tries_again_later_and_later(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    struct step steps[22] = {{STEP_END, 0, 0, NULL}};
    for (size_t i = 0; i < 20; i++) {
        steps[i] = (struct step){STEP_REFUSE, 0, 0, NULL};
    }
    steps[20] = (struct step){STEP_REFUSE, 300000, 0, NULL}; /* Retry-After: 300 */
    steps[21] = (struct step){STEP_END, 0, 0, NULL};
    run_once(&f, steps);
    int64_t longest = 0, sum = 0;
    for (size_t i = 1; i <= 20; i++) {
        int64_t waited = f.server.wants[i].at_ms - f.server.wants[i - 1].at_ms;
        int64_t least = i < 5 ? 500 << i : 15000, most = i < 6 ? 1000 << i : 60000;
        assert_in_range(waited, least, most);
        if (i >= 7) { /* C1: at most six tries a minute */
            assert_true(f.server.wants[i].at_ms - f.server.wants[i - 7].at_ms >= 60000);
        }
        longest = waited > longest ? waited : longest;
        sum += waited;
    }
    assert_in_range(longest, 40000, 60000);
    assert_in_range(sum, 15 * 25000, 15 * 50000); /* in the middle on average */
    assert_int_equal(f.server.wants[21].at_ms - f.server.wants[20].at_ms, 300000);
    struct status status;
    status_read(&status);
    assert_false(status.connected);
    assert_string_equal(status.problem, "the server answered 503");
    fixture_fini(&f);
}

/* The server still counts the connection before (429), then all holes are asked for though nothing else comes. */
static void R4_heals_every_hole_soon_on_a_silent_stream(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    run_once(&f, (struct step[]){{STEP_CONNECT, 0, 0, NULL},
                                 {STEP_RECORD, 1000, 1, NULL},
                                 {STEP_RECORD, 1010, 2, NULL},
                                 {STEP_RECORD, 1020, 4, NULL},
                                 {STEP_RECORD, 1030, 6, NULL},
                                 {STEP_REFUSE, 0, 0, NULL},
                                 {STEP_REFUSE, 5000, 0, NULL}, /* Retry-After: 5 */
                                 {STEP_CONNECT, 0, 0, NULL},
                                 {STEP_RECORD, 1010, 2, NULL},
                                 {STEP_RECORD, 1015, 3, NULL},
                                 {STEP_RECORD, 1020, 4, NULL},
                                 {STEP_CONNECT, 0, 0, NULL},
                                 {STEP_RECORD, 1020, 4, NULL},
                                 {STEP_RECORD, 1025, 5, NULL},
                                 {STEP_RECORD, 1030, 6, NULL},
                                 {STEP_END, 0, 0, NULL}});
    const struct want *w = f.server.wants;
    assert_int_equal(f.server.want_count, 5);
    assert_in_range(w[1].at_ms, 1200, 1300);
    assert_in_range(w[2].at_ms - w[1].at_ms, 1000, 2001);
    assert_in_range(w[3].at_ms - w[2].at_ms, 5000, 5001);
    assert_in_range(w[4].at_ms - w[3].at_ms, 2000, 2001);
    assert_int_equal(f.journal->count[0], 6);
    assert_int_equal(f.journal->sums[TALLY_ARRIVAL][SOURCE_DUPLICATE], 0);
    fixture_fini(&f);
}

/* Who is refused for long asks rarely, and never stops following. */
static void R4_a_refused_heal_is_asked_ever_more_rarely(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.options.idle_after_us = 3600 * US_PER_SECOND;
    struct step steps[25] = {{STEP_CONNECT, 0, 0, NULL}, {STEP_RECORD, 1000, 1, NULL}, {STEP_RECORD, 1010, 3, NULL}};
    for (size_t i = 3; i < 23; i++) {
        steps[i] = (struct step){STEP_REFUSE, 0, 0, NULL};
    }
    steps[23] = (struct step){STEP_RECORD, 1800000, 4, NULL};
    steps[24] = (struct step){STEP_END, 0, 0, NULL};
    run_once(&f, steps);
    int64_t longest = 0;
    for (size_t i = 2; i <= 20; i++) {
        int64_t waited = f.server.wants[i].at_ms - f.server.wants[i - 1].at_ms;
        assert_in_range(waited, 1000, i < 7 ? 1001 << (i - 1) : 60001);
        longest = waited > longest ? waited : longest;
    }
    assert_in_range(longest, 40000, 60001);
    fixture_fini(&f);
}

static void R3_connections_that_end_at_once_are_failures(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    run_once(&f, (struct step[]){{STEP_CONNECT, 0, 0, NULL},
                                 {STEP_CUT, 1, 0, NULL},
                                 {STEP_CONNECT, 0, 0, NULL},
                                 {STEP_CUT, 2, 0, NULL},
                                 {STEP_END, 0, 0, NULL}});
    assert_int_equal(f.server.want_count, 3);
    assert_in_range(f.server.wants[1].at_ms, 1000, 2001);
    assert_in_range(f.server.wants[2].at_ms - f.server.wants[1].at_ms, 2000, 4001);
    fixture_fini(&f);
}

static void R3_fatal_ends_with_its_sentence(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_source(&f);
    assert_int_equal(run(&f, (struct step[]){{STEP_FATAL, 0, 0, NULL}}), ERR_FATAL);
    assert_int_equal(err_exit_code(&f.err), EXIT_CONFIG);
    assert_non_null(strstr(f.err.text, "403"));
    fixture_fini(&f);
}

static void R3_batch_of_a_failed_commit_stays_pending(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_source(&f);
    const struct step steps[] = {{STEP_CONNECT, 0, 0, NULL},
                                 {STEP_RECORD, 2000, 1, "eqiad"},
                                 {STEP_RECORD, 2001, 2, "eqiad"},
                                 {STEP_SILENCE, 2500, 0, NULL},
                                 {STEP_END, 0, 0, NULL}};
    /* The first commit (first connection) works, the one of the records does not. */
    struct fake_output *journal = f.journal;
    f.server.step = steps;
    bool ended;
    journal->fail_after = 1;
    journal->fail_count = 2; /* the last one of run() as well */
    assert_int_equal(f.source->ops->run(f.source, &journal->output, &ended, &f.err), ERR_FATAL);
    assert_int_equal(journal->count[0], 0);
    const struct step later[] = {{STEP_END, 0, 0, NULL}};
    f.server.step = later;
    assert_int_equal(f.source->ops->run(f.source, &journal->output, &ended, &f.err), ERR_NONE);
    assert_int_equal(journal->count[0], 2);
    assert_int_equal(journal->sums[TALLY_EVENT][SOURCE_JOURNALLED], 2);
    fixture_fini(&f);
}

static void R5_arrival_is_the_servers_and_never_falls(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    run_once(&f, (struct step[]){{STEP_CONNECT, 0, 0, NULL},
                                 {STEP_RECORD, 12345, 1, "eqiad"},
                                 {STEP_CUT, 20000, 0, NULL},
                                 {STEP_CONNECT, -15000, 0, NULL}, /* another server, its clock is 15 s behind */
                                 {STEP_RECORD, 12345, 1, "eqiad"},
                                 {STEP_RECORD, 21000, 2, "eqiad"},
                                 {STEP_RECORD, 40000, 3, "eqiad"},
                                 {STEP_END, 0, 0, NULL}});
    const struct record *r = f.journal->records[0];
    assert_int_equal(f.journal->count[0], 3);
    assert_int_equal(r[0].arrival_us, (t0 + 12345) * US_PER_MS); /* whatever the wall clock says */
    assert_int_equal(r[1].arrival_us, (t0 + 12345) * US_PER_MS);
    assert_int_equal(r[2].arrival_us, (t0 + 25000) * US_PER_MS);
    fixture_fini(&f);
}

/* The last record came again, nothing new, and idle_after passed: the tick has the time at which that connection
 * opened. */
static void R7_tick_after_proven_silence(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    run_once(&f, (struct step[]){{STEP_CONNECT, 0, 0, NULL},
                                 {STEP_RECORD, 5000, 1, "eqiad"},
                                 {STEP_SILENCE, 35000, 0, NULL}, /* brought something new: proves nothing */
                                 {STEP_CONNECT, 0, 0, NULL},
                                 {STEP_RECORD, 5000, 1, "eqiad"},
                                 {STEP_SILENCE, 65000, 0, NULL},
                                 {STEP_END, 0, 0, NULL}});
    assert_int_equal(ticks_after(&f, 34999), 1); /* connected at 35 s */
    assert_int_equal(ticks_after(&f, 35000), 0);
    fixture_fini(&f);
}

static void R7_no_tick_if_the_last_record_did_not_come_again(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    run_once(&f, (struct step[]){{STEP_CONNECT, 0, 0, NULL},
                                 {STEP_RECORD, 5000, 1, "eqiad"},
                                 {STEP_RECORD, 6000, 2, "codfw"},
                                 {STEP_SILENCE, 36000, 0, NULL},
                                 {STEP_CONNECT, 0, 0, NULL},
                                 {STEP_RECORD, 6000, 2, "codfw"}, /* one topic's did, the other's did not */
                                 {STEP_SILENCE, 66000, 0, NULL},
                                 {STEP_CONNECT, 0, 0, NULL},
                                 {STEP_SILENCE, 96000, 0, NULL},
                                 {STEP_END, 0, 0, NULL}});
    assert_int_equal(ticks_after(&f, 6000), 0);
    fixture_fini(&f);
}

/* The last record was filtered and had been produced twice: its second copy is no news, the silence is proven. */
static void R3_again_filtered_copy_of_the_last_is_nothing_new(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.options.filter = "wiki:other OR timestamp:..1700000005";
    run_once(&f, (struct step[]){{STEP_CONNECT, 0, 0, NULL},
                                 {STEP_RECORD, 5000, 1, "eqiad"},
                                 {STEP_RECORD, 6000, 2, "eqiad"}, /* filtered */
                                 {STEP_RECORD, 6000, 2, "eqiad"},
                                 {STEP_SILENCE, 36000, 0, NULL},
                                 {STEP_CONNECT, 0, 0, NULL},
                                 {STEP_RECORD, 5000, 1, "eqiad"},
                                 {STEP_RECORD, 6000, 2, "eqiad"},
                                 {STEP_RECORD, 6000, 2, "eqiad"},
                                 {STEP_SILENCE, 66000, 0, NULL},
                                 {STEP_END, 0, 0, NULL}});
    assert_int_equal(f.journal->sums[TALLY_EVENT][SOURCE_FILTERED], 4);
    assert_int_equal(ticks_after(&f, 30000), 1);
    fixture_fini(&f);
}

static void R7_no_tick_beyond_a_missing_canary(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    struct step steps[STEPS];
    size_t n = 0;
    steps[n++] = (struct step){STEP_CONNECT, 0, 0, NULL};
    steps[n++] = (struct step){STEP_RECORD, 5000, 1, "eqiad"};
    steps[n++] = (struct step){STEP_SILENCE, 35000, 0, NULL};
    f.options.idle_after_us = 5 * US_PER_MINUTE;
    for (int i = 1; i <= 2; i++) {
        steps[n++] = (struct step){STEP_CONNECT, 0, 0, NULL};
        steps[n++] = (struct step){STEP_RECORD, 5000, 1, "eqiad"};
        steps[n++] = (struct step){STEP_SILENCE, i == 1 ? 605000 : 1805000, 0, NULL};
    }
    steps[n] = (struct step){STEP_END, 0, 0, NULL};
    f.options.topic_count = 1; /* far behind is not the point here */
    run_once(&f, steps);
    assert_true(ticks_after(&f, 304999) > 0); /* opened at 5 minutes; then, after a rest, at 25: not there */
    assert_int_equal(ticks_after(&f, 305000), 0);
    struct status status;
    status_read(&status);
    assert_non_null(strstr(status.problem, "canary"));
    fixture_fini(&f);
}

/* One record, then silence that is proven every 30 s: the connections are opened at 0, 35, 65 ... 575 s. */
enum { PROOFS = 19 };
static size_t silence_for_ten_minutes(struct fixture *f, struct step *steps)
{
    size_t n = 0;
    fixture_init(f);
    f->options.topic_count = 1;
    for (int i = 0; i <= PROOFS; i++) {
        steps[n++] = (struct step){STEP_CONNECT, 0, 0, NULL};
        steps[n++] = (struct step){STEP_RECORD, 5000, 1, NULL};
    }
    return n;
}

static void R7_silence_is_proven_rarely_after_ten_minutes(void **state)
{
    (void)state;
    struct fixture f;
    struct step steps[STEPS];
    size_t n = silence_for_ten_minutes(&f, steps);
    steps[n++] = (struct step){STEP_CONNECT, 0, 0, NULL};
    steps[n++] = (struct step){STEP_RECORD, 5000, 1, NULL};
    steps[n] = (struct step){STEP_END, 0, 0, NULL};
    run_once(&f, steps);
    assert_int_equal(f.server.wants[PROOFS].at_ms, 575000);
    assert_int_equal(f.server.wants[PROOFS + 1].at_ms, 605000 + 900000); /* the proof at 605 s was the last for long */
    assert_true(ticks_after(&f, 574999) > 0);
    fixture_fini(&f);
}

static void R7_something_new_ends_the_rest(void **state)
{
    (void)state;
    struct fixture f;
    struct step steps[STEPS];
    size_t n = silence_for_ten_minutes(&f, steps);
    steps[n++] = (struct step){STEP_RECORD, 700000, 2, NULL};
    for (int i = 0; i < 2; i++) {
        steps[n++] = (struct step){STEP_CONNECT, 0, 0, NULL};
        steps[n++] = (struct step){STEP_RECORD, 700000, 2, NULL};
    }
    steps[n] = (struct step){STEP_END, 0, 0, NULL};
    run_once(&f, steps);
    assert_int_equal(f.server.wants[PROOFS + 1].at_ms, 730000); /* every 30 s again */
    assert_int_equal(f.server.wants[PROOFS + 2].at_ms, 760000);
    fixture_fini(&f);
}

static void R7_a_cut_ends_no_rest(void **state)
{
    (void)state;
    struct fixture f;
    struct step steps[STEPS];
    size_t n = silence_for_ten_minutes(&f, steps);
    steps[n++] = (struct step){STEP_CUT, 785000, 0, NULL};
    for (int i = 0; i < 2; i++) {
        steps[n++] = (struct step){STEP_CONNECT, 0, 0, NULL};
        steps[n++] = (struct step){STEP_RECORD, 5000, 1, NULL};
    }
    steps[n] = (struct step){STEP_END, 0, 0, NULL};
    run_once(&f, steps);
    assert_int_equal(f.server.wants[PROOFS + 1].at_ms, 785000); /* at once: what is missed must not wait */
    assert_int_equal(f.server.wants[PROOFS + 2].at_ms, 605000 + 900000);
    fixture_fini(&f);
}

static void R3_far_behind_two_connections_merged_by_time(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    run_once(&f, (struct step[]){{STEP_CONNECT, 0, 0, NULL},
                                 {STEP_RECORD, 5000, 1, "eqiad"},
                                 {STEP_CUT, 11000, 0, NULL},
                                 {STEP_REFUSE, 90000, 0, NULL},
                                 {STEP_CONNECT, 0, 0, NULL}, /* Date says: far behind */
                                 {STEP_CONNECT, 0, 0, NULL}, /* eqiad */
                                 {STEP_RECORD, 5000, 1, "eqiad"},
                                 {STEP_CONNECT, 0, 0, NULL}, /* codfw */
                                 {STEP_END, 0, 0, NULL}});
    const struct want *w = f.server.wants;
    assert_int_equal(f.server.want_count, 5);
    assert_int_equal(w[2].count, 2);
    assert_int_equal(w[3].count, 1);
    assert_int_equal(w[4].count, 1);
    assert_int_equal(w[3].from_ms[0], 5000 - 60000);
    fixture_fini(&f);
}

/* The ids of the journal's records in their order, ticks aside. */
static void assert_ids(const struct fixture *f, const int *ids, size_t count)
{
    size_t at = 0;
    for (size_t i = 0; i < f->journal->count[0]; i++) {
        const struct record *r = &f->journal->records[0][i];
        if (!is_tick(r)) {
            AUTO(buf) struct buf id = {0};
            assert_in_range(at, 0, count - 1);
            buf_addf(&id, "\"id\":\"id-%d\"", ids[at++]);
            assert_non_null(memmem(r->value.ptr, r->value.len, id.ptr, id.len));
        }
    }
    assert_int_equal(at, count);
}

/* codfw has nothing, eqiad's backlog begins with a record from the future. Were that one "younger than half the delay",
 * eqiad would count as caught up with all its backlog still to come. */
static void R3_pyoung_a_record_from_the_future_is_not_young(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    run_once(&f, (struct step[]){{STEP_CONNECT, 0, 0, NULL},
                                 {STEP_RECORD, 4000, 2, "codfw"},
                                 {STEP_RECORD, 5000, 1, "eqiad"},
                                 {STEP_CUT, 11000, 0, NULL},
                                 {STEP_REFUSE, 90000, 0, NULL},
                                 {STEP_CONNECT, 0, 0, NULL}, /* Date says: far behind */
                                 {STEP_CONNECT, 0, 0, NULL}, /* eqiad */
                                 {STEP_RECORD, 5000, 1, "eqiad"},
                                 {STEP_CONNECT, 0, 0, NULL}, /* codfw */
                                 {STEP_RECORD, 4000, 2, "codfw"},
                                 {STEP_SILENCE, 131000, 0, NULL}, /* codfw is caught up */
                                 {STEP_AHEAD, 7000, 300, "eqiad"},
                                 {STEP_SILENCE, 0, 0, NULL}, /* codfw, asked again */
                                 {STEP_RECORD, 8000, 4, "eqiad"},
                                 {STEP_RECORD, 9000, 6, "eqiad"},
                                 {STEP_END, 0, 0, NULL}});
    assert_int_equal(f.server.want_count, 5); /* still one connection a topic */
    assert_ids(&f, (const int[]){2, 1, 300, 4, 6}, 5);
    fixture_fini(&f);
}

/* Both records in hand are a little ahead of their arrival: neither is earlier, the one that is further ahead does not
 * wait (and with it all that is behind it). */
static void R3_mergekey_merged_by_the_earlier_of_dt_and_arrival(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.options.overlap_us = 10 * US_PER_MINUTE; /* else both jump ahead, and what stands behind them is read first */
    run_once(&f, (struct step[]){{STEP_CONNECT, 0, 0, NULL},
                                 {STEP_RECORD, 5000, 1, "eqiad"},
                                 {STEP_RECORD, 6000, 2, "codfw"},
                                 {STEP_CUT, 11000, 0, NULL},
                                 {STEP_REFUSE, 90000, 0, NULL},
                                 {STEP_CONNECT, 0, 0, NULL},
                                 {STEP_CONNECT, 0, 0, NULL}, /* eqiad */
                                 {STEP_RECORD, 5000, 1, "eqiad"},
                                 {STEP_CONNECT, 0, 0, NULL}, /* codfw */
                                 {STEP_RECORD, 6000, 2, "codfw"},
                                 {STEP_AHEAD, 101000, 50, "eqiad"},
                                 {STEP_AHEAD, 101001, 10, "codfw"},
                                 {STEP_RECORD, 9000, 3, "eqiad"}, /* behind the one that is 50 s ahead */
                                 {STEP_SILENCE, 0, 0, NULL},      /* eqiad, asked again */
                                 {STEP_END, 0, 0, NULL}});
    assert_ids(&f, (const int[]){1, 2, 50, 3, 10}, 5);
    fixture_fini(&f);
}

/* ---- with the real clock */

static void *stop_soon(void *source)
{
    struct source *s = source;
    clock_real.sleep_us(&clock_real, 100 * US_PER_MS);
    s->ops->stop(s);
    return NULL;
}

static void R13_stops_within_a_second_while_waiting(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.options.clock = &clock_real;
    f.server.always_refuse = true;
    open_source(&f);
    pthread_t thread;
    int64_t began = clock_mono(&clock_real);
    assert_int_equal(pthread_create(&thread, NULL, stop_soon, f.source), 0);
    bool ended;
    assert_int_equal(f.source->ops->run(f.source, &f.journal->output, &ended, &f.err), ERR_NONE);
    assert_in_range(clock_mono(&clock_real) - began, 100 * US_PER_MS, 1100 * US_PER_MS);
    pthread_join(thread, NULL);
    fixture_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(R3_resumes_each_topic_from_its_own_position),
        cmocka_unit_test(R3_goes_on_after_a_restart),
        cmocka_unit_test(R3_tries_again_later_and_later),
        cmocka_unit_test(R4_heals_every_hole_soon_on_a_silent_stream),
        cmocka_unit_test(R4_a_refused_heal_is_asked_ever_more_rarely),
        cmocka_unit_test(R3_connections_that_end_at_once_are_failures),
        cmocka_unit_test(R3_fatal_ends_with_its_sentence),
        cmocka_unit_test(R3_batch_of_a_failed_commit_stays_pending),
        cmocka_unit_test(R5_arrival_is_the_servers_and_never_falls),
        cmocka_unit_test(R7_tick_after_proven_silence),
        cmocka_unit_test(R7_no_tick_if_the_last_record_did_not_come_again),
        cmocka_unit_test(R3_again_filtered_copy_of_the_last_is_nothing_new),
        cmocka_unit_test(R7_no_tick_beyond_a_missing_canary),
        cmocka_unit_test(R7_silence_is_proven_rarely_after_ten_minutes),
        cmocka_unit_test(R7_something_new_ends_the_rest),
        cmocka_unit_test(R7_a_cut_ends_no_rest),
        cmocka_unit_test(R3_far_behind_two_connections_merged_by_time),
        cmocka_unit_test(R3_pyoung_a_record_from_the_future_is_not_young),
        cmocka_unit_test(R3_mergekey_merged_by_the_earlier_of_dt_and_arrival),
        cmocka_unit_test(R13_stops_within_a_second_while_waiting),
    };
    diag_setup(DIAG_ERROR, false, 2);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
