/* SPDX-License-Identifier: MIT
 *
 * follow_sim.c - the follower of the live stream in virtual time: clock, server and journal are on the other side of
 * standard input and output (test_resume.py, which has them from the model). One request a line, one answer each;
 * times are milliseconds.
 *
 *   n KEY                       note               -> LEN, then bytes; -1: none
 *   b PARTITION                 bounds             -> HEAD END
 *   t PARTITION FROM TO         tail               -> (ARRIVAL OFFSET LEN, bytes)..., then "-"
 *   c NOW COUNT (TOPIC FROM)... connect            -> o CONNECTION NOW DATE OK | f NOW | q
 *   r NOW CONNECTION UNTIL      read               -> m NOW ID TOPIC DT TIME KIND WIKI OFFSET | s NOW | x NOW | q
 *   z NOW CONNECTION            close              (no answer)
 *   k NOW RECORDS NOTES KNOWN SUM...  commit, then records (PARTITION ARRIVAL LEN, bytes) and notes (KEY LEN, bytes)
 *                                                  -> k
 *   e                           the end
 *
 * usage: follow_sim NOW PARTITIONS NEWEST KEEP COMMIT_EVERY_MS SEED [WALL [AT WALL]]
 *
 * WALL: by how much the wall clock of this machine is ahead of the server's, ms (three hours); from AT on the second
 * one.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "source/follow.h"

enum { TOPICS = 2, CONNECTIONS = 64 };
static const char *const topics[TOPICS] = {"eqiad.mediawiki.recentchange", "codfw.mediawiki.recentchange"};
static const int64_t base_ms = INT64_C(1700000000000); /* what the model calls 0 */

struct sim {
    struct clock clock;
    struct transport transport;
    struct source_output output;
    struct source *source;
    int64_t now_us;                 /* monotonic, and the server's time less base_ms */
    int64_t wall_us[2], jump_at_us; /* how far the wall clock is ahead, before and after it jumps */
    struct buf data;
    char line[512];
};
struct sim_connection {
    struct connection base;
    int number;
};

static struct sim sim;

/* ---- the other side */

static const char *answer(void)
{
    fflush(stdout);
    if (!fgets(sim.line, sizeof sim.line, stdin)) {
        exit(3); /* a crash of the model's: nobody there */
    }
    return sim.line;
}

static int64_t now_ms(void)
{
    return sim.now_us / US_PER_MS;
}

static void now_is(int64_t ms)
{
    sim.now_us = latest(sim.now_us, ms * US_PER_MS);
}

static void read_bytes(struct buf *out, size_t len)
{
    buf_clear(out);
    char *at = buf_reserve(out, len + 1);
    if (!at || fread(at, 1, len, stdin) != len) {
        exit(3);
    }
    at[len] = 0;
    out->len = len;
}

/* ---- clock: the wall clock is wrong, because nothing may depend on it */

static int64_t sim_wall(struct clock *c)
{
    (void)c;
    return sim.now_us + base_ms * US_PER_MS + sim.wall_us[sim.now_us >= sim.jump_at_us];
}

static int64_t sim_mono(struct clock *c)
{
    (void)c;
    return sim.now_us;
}

static void sim_sleep(struct clock *c, int64_t us)
{
    (void)c;
    sim.now_us += us;
}

/* ---- transport */

static enum err_class sim_quit(void)
{
    sim.source->ops->stop(sim.source);
    return ERR_RETRY;
}

static enum err_class sim_connect(struct transport *t, const struct transport_want *want, size_t count,
                                  struct connection **ret_connection, int64_t *ret_retry_after_us, struct err *err)
{
    (void)t;
    *ret_retry_after_us = 0;
    printf("c %" PRId64 " %zu", now_ms(), count);
    for (size_t i = 0; i < count; i++) {
        if (want[i].from_ms == TIME_NONE) {
            printf(" %.5s -", want[i].topic.ptr);
        } else {
            printf(" %.5s %" PRId64, want[i].topic.ptr, want[i].from_ms - base_ms);
        }
    }
    putchar('\n');
    int64_t now = 0, date = 0, ok = 0;
    int number = 0;
    const char *line = answer();
    if (line[0] == 'q') {
        return sim_quit();
    }
    if (sscanf(line, "o %d %" SCNd64 " %" SCNd64 " %" SCNd64, &number, &now, &date, &ok) != 4) {
        ensure(sscanf(line, "f %" SCNd64, &now) == 1);
        now_is(now);
        return err_set(err, ERR_RETRY, 0, "refused");
    }
    now_is(now);
    struct sim_connection *c = xcalloc(1, sizeof *c);
    c->number = number;
    c->base.date_us = getenv("SIM_NO_DATE") ? TIME_NONE : (date + base_ms) * US_PER_MS;
    c->base.opened_mono_us = sim.now_us;
    c->base.ok_mono_us = ok * US_PER_MS;
    *ret_connection = &c->base;
    return ERR_NONE;
}

struct message {
    int64_t id, dt_ms, time_ms, offset;
    int topic, kind, wiki;
};

static void message_write(const struct message *m)
{
    struct buf *b = &sim.data;
    buf_clear(b);
    buf_addf(b,
             "{\"$schema\":\"/mediawiki/recentchange/1.0.0\",\"meta\":{\"id\":\"00000000-0000-4000-8000-%012" PRIx64
             "\",\"dt\":\"",
             (uint64_t)m->id);
    time_format_ms(b, (m->dt_ms + base_ms) * US_PER_MS);
    buf_addf(b,
             "\",\"domain\":\"%s\",\"stream\":\"mediawiki.recentchange\",\"topic\":\"%s\",\"partition\":0,\"offset\":"
             "%" PRId64 "},",
             m->kind ? "canary" : "w.example.org", topics[m->topic], m->offset);
    buf_addf(b,
             "\"id\":%" PRId64 ",\"type\":\"edit\",\"timestamp\":%" PRId64 ",\"wiki\":\"w%d\",\"title\":\"T%" PRId64
             "\",\"user\":\"U\"}",
             m->id, (m->time_ms + base_ms) / 1000, m->wiki, m->id);
}

static enum transport_event sim_read(struct transport *t, struct connection *base, int64_t until_mono_us,
                                     struct str *ret_data)
{
    (void)t;
    struct sim_connection *c = (struct sim_connection *)base;
    int64_t until_ms = floor_div(until_mono_us + US_PER_MS - 1, US_PER_MS), now = 0;
    printf("r %" PRId64 " %d %" PRId64 "\n", now_ms(), c->number, until_ms);
    const char *line = answer();
    struct message m;
    switch (line[0]) {
    case 'm':
        ensure(sscanf(line, "m %" SCNd64 " %" SCNd64 " %d %" SCNd64 " %" SCNd64 " %d %d %" SCNd64, &now, &m.id,
                      &m.topic, &m.dt_ms, &m.time_ms, &m.kind, &m.wiki, &m.offset) == 8);
        now_is(now);
        message_write(&m);
        *ret_data = buf_str(&sim.data);
        return TRANSPORT_RECORD;
    case 's':
        ensure(sscanf(line, "s %" SCNd64, &now) == 1);
        now_is(now);
        return TRANSPORT_SILENT;
    case 'q':
        sim_quit();
        c->base.cut_label = "stop";
        return TRANSPORT_CUT;
    default:
        ensure(sscanf(line, "x %" SCNd64, &now) == 1);
        now_is(now);
        c->base.cut_label = "cut";
        return TRANSPORT_CUT;
    }
}

static void sim_close(struct transport *t, struct connection *base)
{
    (void)t;
    if (base) {
        printf("z %" PRId64 " %d\n", now_ms(), ((struct sim_connection *)base)->number);
        free(base);
    }
}

static void sim_stop(struct transport *t)
{
    (void)t;
}

/* ---- journal */

static enum err_class sim_commit(struct source_output *o, const struct batch *b, struct err *err)
{
    (void)o;
    (void)err;
    const struct follow *f = (const struct follow *)sim.source;
    int64_t sums[2][SOURCE_BUCKETS] = {{0}};
    for (size_t i = 0; i < b->tally_count; i++) {
        sums[b->tally[i].by][b->tally[i].bucket] += b->tally[i].count;
    }
    printf("k %" PRId64 " %zu %zu %zu", now_ms(), b->record_count, b->note_count,
           admission_identities_known(f->admission));
    for (size_t i = 0; i < SOURCE_BUCKETS; i++) {
        ensure(sums[TALLY_EVENT][i] == sums[TALLY_ARRIVAL][i]); /* R12: both sides */
        printf(" %" PRId64, sums[TALLY_EVENT][i]);
    }
    putchar('\n');
    for (size_t i = 0; i < b->record_count; i++) {
        const struct record *r = &b->records[i];
        printf("%u %" PRId64 " %zu\n", (unsigned)r->partition, r->arrival_us / US_PER_MS - base_ms, r->value.len);
        fwrite(r->value.ptr, 1, r->value.len, stdout);
    }
    for (size_t i = 0; i < b->note_count; i++) {
        printf("%.*s %zu\n", STR_ARG(b->notes[i].key), b->notes[i].value.len);
        fwrite(b->notes[i].value.ptr, 1, b->notes[i].value.len, stdout);
    }
    ensure(answer()[0] == 'k');
    return ERR_NONE;
}

static enum err_class sim_note(struct source_output *o, struct str key, struct arena *arena, struct str *ret_value,
                               struct err *err)
{
    (void)o;
    (void)err;
    printf("n %.*s\n", STR_ARG(key));
    long len = atol(answer());
    *ret_value = (struct str){NULL, 0};
    if (len >= 0) {
        read_bytes(&sim.data, (size_t)len);
        *ret_value = arena_dup(arena, buf_str(&sim.data));
    }
    return ERR_NONE;
}

static enum err_class sim_tail(struct source_output *o, uint32_t partition, int64_t from, int64_t to,
                               bool (*each)(const struct record *r, void *ctx), void *ctx, struct err *err)
{
    (void)o;
    (void)err;
    printf("t %u %" PRId64 " %" PRId64 "\n", (unsigned)partition, from, to);
    bool more = true;
    for (const char *line = answer(); line[0] != '-'; line = answer()) {
        struct record r = {.partition = partition};
        ensure(sscanf(line, "%" SCNd64 " %" SCNd64 " %zu", &r.arrival_us, &r.offset, &r.value.len) == 3);
        r.arrival_us = (r.arrival_us + base_ms) * US_PER_MS;
        read_bytes(&sim.data, r.value.len);
        r.value = buf_str(&sim.data);
        more = more && each(&r, ctx);
    }
    return ERR_NONE;
}

static enum err_class sim_dead(struct source_output *o, int64_t since_us,
                               bool (*each)(const struct dead_letter *d, void *ctx), void *ctx, struct err *err)
{
    (void)o, (void)since_us, (void)each, (void)ctx, (void)err;
    return ERR_NONE;
}

static enum err_class sim_bounds(struct source_output *o, uint32_t partition, int64_t *ret_head, int64_t *ret_end,
                                 struct err *err)
{
    (void)o;
    (void)err;
    printf("b %u\n", (unsigned)partition);
    ensure(sscanf(answer(), "%" SCNd64 " %" SCNd64, ret_head, ret_end) == 2);
    return ERR_NONE;
}

/* What a test takes away from the program: SIM_OVERLAP_S, SIM_HORIZON_S, SIM_IDLE_S, SIM_DELAY_S (half of it is what
 * counts as far behind); SIM_NO_DATE: answers without a Date. */
static int64_t seconds_from(const char *name, int64_t usual)
{
    const char *text = getenv(name);
    return text ? strtol(text, NULL, 10) * US_PER_SECOND : usual;
}

int main(int argc, char **argv)
{
    static const struct transport_ops transport_ops = {sim_connect, sim_read, sim_close, sim_stop, NULL};
    if (argc != 7 && argc != 8 && argc != 10) {
        fputs("usage: follow_sim NOW PARTITIONS NEWEST KEEP COMMIT_EVERY_MS SEED [WALL [AT WALL]]\n", stderr);
        return EXIT_USAGE;
    }
    AUTO(buf) struct buf filter = {0};
    long keep = atol(argv[4]);
    buf_addz(&filter, keep < 10 ? "wiki:none" : "");
    for (long i = 0; keep < 10 && i < keep; i++) {
        buf_addf(&filter, ",w%ld", i);
    }
    sim.clock = (struct clock){sim_wall, sim_mono, sim_sleep};
    sim.transport.ops = &transport_ops;
    sim.output = (struct source_output){sim_commit, sim_note, sim_tail, sim_dead, sim_bounds};
    sim.now_us = atol(argv[1]) * US_PER_MS;
    sim.wall_us[0] = argc > 7 ? atol(argv[7]) * US_PER_MS : 180 * US_PER_MINUTE;
    sim.jump_at_us = argc > 9 ? atol(argv[8]) * US_PER_MS : INT64_MAX;
    sim.wall_us[1] = argc > 9 ? atol(argv[9]) * US_PER_MS : 0;
    struct source_options options = {.overlap_us = seconds_from("SIM_OVERLAP_S", US_PER_MINUTE),
                                     .horizon_us = seconds_from("SIM_HORIZON_S", 2 * US_PER_MINUTE),
                                     .skew_us = US_PER_MINUTE,
                                     .delay_us = seconds_from("SIM_DELAY_S", 2 * US_PER_MINUTE),
                                     .idle_after_us = seconds_from("SIM_IDLE_S", 30 * US_PER_SECOND),
                                     .commit_every_us = atol(argv[5]) * US_PER_MS,
                                     .commit_bytes = 1 << 20,
                                     .max_identities = 1000000,
                                     .newest = (size_t)atol(argv[3]),
                                     .partitions = (uint32_t)atol(argv[2]),
                                     .filter = filter.ptr,
                                     .topics = topics,
                                     .topic_count = TOPICS,
                                     .heal = true,
                                     .clock = &sim.clock,
                                     .seed = (uint64_t)atol(argv[6])};
    struct err err = {0};
    bool ended = false;
    if (source_open_stream(&options, &sim.transport, &sim.source, &err) ||
        sim.source->ops->run(sim.source, &sim.output, &ended, &err)) {
        fprintf(stderr, "follow_sim: %s\n", err.text);
        return err_exit_code(&err);
    }
    sim.source->ops->free(sim.source);
    buf_fini(&sim.data);
    puts("e");
    return EXIT_DONE;
}
