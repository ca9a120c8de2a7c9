/* SPDX-License-Identifier: MIT
 *
 * kafka.c - the journal on Kafka: appending. One append is one transaction (R3, R11, R14): records, the
 * position with the last record of each partition, and in TOPIC.state the batch's number and owner, notes and ledger.
 *
 * Nothing here is believed but the broker. After any failure the producer is thrown away, the next append opens another
 * (which fences and settles what was open) and reads the state again: either the batch that failed is its last one,
 * then it is there, or it is not (C-K6). Is the last one somebody else's, we have been fenced, and that is the end; a
 * transaction that only took too long looks the same to librdkafka (C-K4), but nobody else wrote.
 */
#include "journal/kafka.h"

#include "base/clock.h"
#include "base/diag.h"
#include "base/fault.h"
#include "base/metrics.h"

#include <stdio.h>
#include <stdlib.h>

enum { POSITION_US = 30000000, LEAVE_US = 2000000 };
enum {
    BATCH_BYTES = 1000000,
    TRIES = 3,
    FOLD_MINUTES = 60,
    TAIL_STEP = 64,
    PAUSE_MAX_US = 8000000,
    DRAIN_US = 2000000
};

/* ---- the state, as the broker has it */

enum err_class kafka_journal_consumer(struct kafka_journal *j, struct kafka_consumer **ret, struct err *err)
{
    return kafka_consumer_open(&j->place.client, NULL, 0, NULL, ret, err);
}

enum err_class kafka_tail_position(struct kafka_feed *feed, struct buf *out, int64_t *ret_batch, struct err *err)
{
    int64_t head, end;
    enum err_class cls = kafka_feed_bounds(feed, true, KAFKA_WAIT_US, &head, &end, err);
    int64_t batch = 0;
    for (int64_t step = TAIL_STEP, to = end; cls == ERR_NONE && batch == 0 && to > head; step *= 8) {
        int64_t from = end - step > head ? end - step : head;
        to = from;
        for (struct kafka_page page = {.count = 1}; page.count > 0;) {
            cls = kafka_feed_read(feed, from, 0, KAFKA_PAGE_MAX, KAFKA_WAIT_US, &page, err);
            if (cls != ERR_NONE) {
                return cls;
            }
            for (size_t i = 0; i < page.count; i++) {
                struct str number, position;
                from = page.messages[i]->offset + 1;
                if (kafka_message_header(page.messages[i], HEADER_BATCH, &number) &&
                    kafka_message_header(page.messages[i], HEADER_POSITION, &position) &&
                    str_to_int64(number, &batch)) {
                    buf_clear(out);
                    buf_add(out, position);
                }
            }
        }
    }
    *ret_batch = batch;
    return cls;
}

/* Reads the state anew, and where the partitions end. */
static enum err_class state_load(struct kafka_journal *j, struct err *err)
{
    struct kafka_consumer *consumer;
    enum err_class cls = kafka_journal_consumer(j, &consumer, err);
    if (cls != ERR_NONE) {
        return cls;
    }
    kafka_state_fini(&j->state);
    struct kafka_feed *feed = kafka_feed_new(consumer, j->place.state_topic, 0);
    cls = kafka_state_refresh(&j->state, feed, err);
    kafka_feed_free(feed);
    for (uint32_t p = 0; cls == ERR_NONE && p < j->base.info.partitions; p++) {
        int64_t head, end = 0;
        feed = kafka_feed_new(consumer, j->place.topic, (int32_t)p);
        cls = kafka_feed_bounds(feed, true, KAFKA_WAIT_US, &head, &end, err);
        kafka_feed_free(feed);
        j->offsets[p] = end - 1;
    }
    kafka_consumer_close(consumer);
    return cls;
}

static enum err_class fenced(const struct kafka_journal *j, struct err *err)
{
    return err_set(err, ERR_FATAL, EXIT_FENCED,
                   "another instance took topic \"%s\" over; this one stops, and what it had not written the other one "
                   "reads from the stream",
                   j->place.topic);
}

static enum err_class owner_check(const struct kafka_journal *j, struct err *err)
{
    return kafka_claim_is_lost(&j->claim, j->state.claim, j->state.next) ? fenced(j, err) : ERR_NONE;
}

/* ---- the producer */

static enum err_class writer_open(struct kafka_journal *j, struct err *err)
{
    char linger[32], batch[32];
    AUTO(buf) struct buf id = {0};
    buf_addf(&id, "wikitally.%s", j->place.topic);
    snprintf(linger, sizeof(linger), "%lld", (long long)(j->place.options.linger_us / US_PER_MS));
    int64_t most = j->place.options.batch_bytes > 0 ? j->place.options.batch_bytes : BATCH_BYTES;
    most = j->batch_max > 0 && j->batch_max < most ? j->batch_max : most;
    snprintf(batch, sizeof(batch), "%lld", (long long)most);
    const struct kafka_setting settings[] = {
        {"transaction.timeout.ms", "30000"},
        {"message.timeout.ms", "10000"}, /* C-K12: they nest */
        {"socket.timeout.ms", "5000"},
        {"compression.type", j->place.compression == NULL ? "lz4" : j->place.compression},
        {"linger.ms", linger},
        {"batch.size", batch},
    };
    struct kafka_writer_options options = {.kafka = &j->place.client,
                                           .transactional_id = id.ptr,
                                           .settings = settings,
                                           .setting_count = sizeof(settings) / sizeof(*settings)};
    return kafka_writer_open(&options, KAFKA_WAIT_US, &j->writer, err);
}

/* A producer that can be used, and the state as the broker has it. */
enum err_class kafka_journal_ready(struct kafka_journal *j, struct err *err)
{
    if (j->writer != NULL && !kafka_writer_is_spent(j->writer)) {
        return ERR_NONE;
    }
    kafka_writer_close(TAKE(j->writer));
    enum err_class cls = ERR_NONE;
    if (j->claim.at >= 0) { /* who was fenced must not fence the other one in turn (C-K10) */
        cls = state_load(j, err);
        cls = cls ? cls : owner_check(j, err);
    }
    cls = cls ? cls : writer_open(j, err);
    cls = cls ? cls : state_load(j, err); /* the open transaction of the one before is settled now */
    cls = cls ? cls : owner_check(j, err);
    if (cls != ERR_NONE) {
        kafka_writer_close(TAKE(j->writer));
    }
    return cls;
}

/* ---- appending */

static const struct note *position_of(const struct batch *b)
{
    for (size_t i = 0; i < b->note_count; i++) {
        if (str_eqz(b->notes[i].key, "position")) {
            return &b->notes[i];
        }
    }
    return NULL;
}

struct append {
    struct kafka_journal *j;
    const struct batch *batch;
    const struct note *position; /* that goes with records; NULL: into the state */
    char number[32];             /* of the batch */
    bool stands;                 /* its position goes into the state */
    int64_t deadline_us;
};

static enum err_class record_add(struct append *a, const struct record *r, const struct record_label *label, bool last,
                                 struct err *err)
{
    struct kafka_header headers[4];
    size_t count = 0;
    int64_t unknown_ms = a->j->version >= KAFKA_VERSION_TIMED ? -1 : 0;
    if (label != NULL) {
        headers[count++] = (struct kafka_header){HEADER_KIND, str_of(label->kind)};
    }
    if (r->arrival_us == TIME_NONE) {
        headers[count++] = (struct kafka_header){HEADER_ARRIVAL, STR("none")};
    }
    if (last) {
        headers[count++] = (struct kafka_header){HEADER_BATCH, str_of(a->number)};
    }
    if (last && a->position != NULL) {
        headers[count++] = (struct kafka_header){HEADER_POSITION, a->position->value};
    }
    struct kafka_record record = {.topic = a->j->place.topic,
                                  .partition = (int32_t)r->partition,
                                  .value = {r->value.ptr == NULL ? "" : r->value.ptr, r->value.len},
                                  .timestamp_ms = r->arrival_us == TIME_NONE ? unknown_ms : r->arrival_us / US_PER_MS,
                                  .headers = headers,
                                  .header_count = count,
                                  .offset = &a->j->offsets[r->partition]};
    if (label != NULL) {
        record.key = label->key;
    }
    return kafka_writer_add(a->j->writer, &record, a->deadline_us, err);
}

static enum err_class records_add(struct append *a, struct err *err)
{
    size_t last[PARTITION_MAX];
    const struct batch *b = a->batch;
    for (size_t i = 0; i < b->record_count; i++) {
        last[b->records[i].partition] = i;
    }
    for (size_t i = 0; i < b->record_count; i++) {
        const struct record *r = &b->records[i];
        enum err_class cls = record_add(a, r, b->labels == NULL ? NULL : &b->labels[i], last[r->partition] == i, err);
        if (cls != ERR_NONE) {
            return cls;
        }
    }
    return ERR_NONE;
}

static bool stands_long(const struct kafka_journal *j)
{
    return clock_mono(&clock_real) - j->position_stands_us > POSITION_US;
}

static void position_keep(struct append *a)
{
    struct kafka_journal *j = a->j;
    j->position_stands = a->stands;
    j->position_batch = j->state.batch;
    j->position_stands_us = j->position_stands ? clock_mono(&clock_real) : j->position_stands_us;
    buf_clear(&j->position);
    if (a->position != NULL) {
        buf_add(&j->position, a->position->value);
    }
}

void kafka_journal_leave(struct kafka_journal *j)
{
    bool useless = j->position.len == 0 || j->position_stands || j->writer == NULL ||
                   kafka_writer_is_spent(j->writer) || (j->spool != NULL && kafka_spool_count(j->spool) > 0);
    struct err ignored = {0};
    if (useless || kafka_writer_begin(j->writer, &ignored) != ERR_NONE) {
        return;
    }
    const struct note note = {STR("position"), buf_str(&j->position)};
    int64_t deadline_us = clock_mono(&clock_real) + LEAVE_US;
    const struct kafka_state_writer w = {j->writer, j->place.state_topic, deadline_us};
    enum err_class cls = kafka_state_put_note(&w, &note, j->position_batch, &ignored);
    if (cls == ERR_NONE && kafka_writer_commit(j->writer, deadline_us, &ignored) != ERR_NONE) {
        diag_debug("journal", "%s", ignored.text);
    }
}

static enum err_class rest_add(struct append *a, struct err *err)
{
    struct kafka_journal *j = a->j;
    const struct batch *b = a->batch;
    const struct kafka_state_writer w = {j->writer, j->place.state_topic, a->deadline_us};
    enum err_class cls = ERR_NONE;
    a->stands = a->position == NULL || stands_long(j);
    for (size_t i = 0; i < b->dead_count && cls == ERR_NONE; i++) {
        cls = kafka_dead_put(j, &b->dead[i], a->deadline_us, err);
    }
    for (size_t i = 0; i < b->note_count && cls == ERR_NONE; i++) {
        if (&b->notes[i] != a->position || a->stands) {
            cls = kafka_state_put_note(&w, &b->notes[i], j->state.batch + 1, err);
        }
    }
    cls = cls ? cls : kafka_state_put_tally(&w, &j->state, b->tally, b->tally_count, err);
    int64_t minute = journal_tally_floor(j->newest_arrival_us);
    if (cls == ERR_NONE && minute > j->folded_minute + FOLD_MINUTES) {
        cls = kafka_state_fold(&w, &j->state, j->newest_arrival_us, err);
        j->folded_minute = minute;
    }
    return cls ? cls
               : kafka_state_put_batch(&w, j->state.batch + 1, j->claim.owner, j->before, j->base.info.partitions, err);
}

static int64_t batch_bytes(const struct batch *b)
{
    int64_t bytes = 0;
    for (size_t i = 0; i < b->record_count; i++) {
        bytes += (int64_t)b->records[i].value.len;
    }
    return bytes;
}

/* One transaction. On failure the writer is spent. */
static enum err_class transact(struct append *a, struct err *err)
{
    struct kafka_journal *j = a->j;
    int64_t number = j->state.batch + 1;
    snprintf(a->number, sizeof(a->number), "%lld", (long long)number);
    for (size_t i = 0; i < a->batch->record_count; i++) {
        int64_t arrival_us = a->batch->records[i].arrival_us;
        j->newest_arrival_us = arrival_us > j->newest_arrival_us ? arrival_us : j->newest_arrival_us;
    }
    for (uint32_t p = 0; p < j->base.info.partitions; p++) {
        j->before[p] = j->offsets[p] + 1;
    }
    enum err_class cls = kafka_writer_begin(j->writer, err);
    cls = cls ? cls : records_add(a, err);
    cls = cls ? cls : failpoint_err("kafka.in_append", err);
    cls = cls ? cls : rest_add(a, err);
    j->tried = j->state.batch + 1;
    j->tried_count = a->batch->record_count;
    j->tried_bytes = batch_bytes(a->batch);
    cls = cls ? cls : kafka_writer_commit(j->writer, a->deadline_us, err);
    if (cls == ERR_NONE && failpoint("kafka.committed")) { /* "failed here, committed there" */
        cls = err_set(err, ERR_RETRY, EXIT_UNAVAILABLE, "kafka: the answer to a commit did not come");
    }
    if (cls == ERR_NONE) {
        j->state.batch++;
        j->tried = 0;
        position_keep(a);
    }
    return cls;
}

/* Is the batch whose commit failed there after all? *ret_done: it is this one. */
static enum err_class outcome(struct kafka_journal *j, const struct batch *b, bool *ret_done, struct err *err)
{
    *ret_done = j->tried != 0 && j->state.batch == j->tried;
    bool same = j->tried_count == b->record_count && j->tried_bytes == batch_bytes(b);
    if (*ret_done && !same) {
        return err_set(err, ERR_FATAL, EXIT_TEMPFAIL,
                       "topic \"%s\": a batch whose outcome was unknown is there, and another one came; start again",
                       j->place.topic);
    }
    if (*ret_done) {
        diag_info("journal", "topic \"%s\": the batch whose commit seemed to fail is there", j->place.topic);
    }
    j->tried = 0;
    return ERR_NONE;
}

static void spend(struct kafka_journal *j)
{
    kafka_writer_close(TAKE(j->writer));
}

static enum err_class append_try(struct append *a, bool *ret_done, struct err *err)
{
    enum err_class cls = kafka_journal_ready(a->j, err);
    cls = cls ? cls : outcome(a->j, a->batch, ret_done, err);
    if (cls != ERR_NONE || *ret_done) {
        return cls;
    }
    cls = transact(a, err);
    if (cls != ERR_NONE) {
        spend(a->j);
    }
    *ret_done = cls == ERR_NONE;
    bool maybe_fenced = cls == ERR_FATAL && err_exit_code(err) == EXIT_FENCED;
    return maybe_fenced ? ERR_RETRY : cls; /* whether it is so, the state says */
}

static enum err_class append_now(struct kafka_journal *j, const struct batch *batch, int64_t deadline_us,
                                 struct err *err)
{
    struct append a = {.j = j, .batch = batch, .deadline_us = deadline_us};
    const struct note *position = position_of(batch);
    a.position = position && batch->record_count && position->value.len <= POSITION_HEADER_MAX ? position : NULL;
    bool done = false;
    enum err_class cls = ERR_NONE;
    for (int i = 0; i < TRIES && !done; i++) {
        cls = append_try(&a, &done, err);
        if (cls != ERR_NONE && (cls != ERR_RETRY || clock_mono(&clock_real) > a.deadline_us)) {
            break;
        }
    }
    return cls;
}

/* ---- while the broker is away */

static void say_waiting(struct status *s, void *text)
{
    snprintf(s->problem, sizeof(s->problem), "%s", (const char *)text);
}

/* The next look is later each time, for each keeps the source waiting. */
static void ask_later(struct kafka_journal *j)
{
    j->pause_us = j->pause_us == 0 ? US_PER_SECOND : j->pause_us * 2 < PAUSE_MAX_US ? j->pause_us * 2 : PAUSE_MAX_US;
    j->ask_again_us = clock_mono(&clock_real) + j->pause_us;
}

static enum err_class spool_put(struct kafka_journal *j, const struct batch *batch, struct err *err)
{
    struct err why = {0};
    bool first = kafka_spool_count(j->spool) == 0;
    enum err_class cls = kafka_spool_put(j->spool, j->last + 1, j->claim.owner, batch, &why);
    if (cls != ERR_NONE) {
        *err = why;
        return cls;
    }
    if (first) {
        diag_error("journal", "%s; what comes waits in the data directory", err->text);
        status_change(say_waiting, err->text);
    }
    j->last++;
    *err = (struct err){0};
    return failpoint_err("kafka.spooled", err);
}

static enum err_class drain_one(struct kafka_journal *j, int64_t deadline_us, struct err *err)
{
    AUTO(arena) struct arena arena = {0};
    struct spooled first;
    enum err_class cls = kafka_journal_ready(j, err);
    cls = cls ? cls : kafka_spool_first(j->spool, &arena, &first, err);
    if (cls == ERR_NONE && first.number <= j->state.batch) { /* the one whose commit seemed to fail is there */
        j->tried = 0;
    } else if (cls == ERR_NONE) {
        cls = append_now(j, &first.batch, deadline_us, err);
        cls = cls ? cls : failpoint_err("kafka.drained", err);
    }
    return cls ? cls : kafka_spool_drop(j->spool, err);
}

enum err_class kafka_journal_drain(struct kafka_journal *j, int64_t deadline_us, struct err *err)
{
    size_t count = kafka_spool_count(j->spool);
    while (kafka_spool_count(j->spool) > 0 && clock_mono(&clock_real) < deadline_us) {
        enum err_class cls = drain_one(j, clock_mono(&clock_real) + KAFKA_APPEND_US, err);
        if (cls != ERR_NONE) {
            ask_later(j);
            return cls;
        }
        j->pause_us = 0;
    }
    if (count > 0 && kafka_spool_count(j->spool) == 0) {
        diag_info("journal", "the broker answers again; nothing waits any more");
        status_change(say_waiting, (char[]){""});
    }
    return ERR_NONE;
}

/* Behind those that wait, or because no broker answers. */
static enum err_class append_waiting(struct kafka_journal *j, const struct batch *batch, struct err *err)
{
    bool due = clock_mono(&clock_real) >= j->ask_again_us;
    enum err_class cls = spool_put(j, batch, err);
    if (cls != ERR_NONE || !due) {
        return cls;
    }
    cls = kafka_journal_drain(j, clock_mono(&clock_real) + DRAIN_US, err);
    return cls == ERR_RETRY ? ERR_NONE : cls;
}

enum err_class kafka_journal_settle(struct journal *base, int64_t wait_us, struct err *err)
{
    struct kafka_journal *j = kafka_of(base);
    if (j->spool == NULL || kafka_spool_count(j->spool) == 0) {
        return ERR_NONE;
    }
    enum err_class cls = kafka_journal_drain(j, clock_mono(&clock_real) + wait_us, err);
    if (cls == ERR_NONE && kafka_spool_count(j->spool) > 0) {
        cls = err_set(err, ERR_RETRY, EXIT_UNAVAILABLE, "%zu batches wait for the broker", kafka_spool_count(j->spool));
    }
    for (uint32_t p = 0; cls == ERR_NONE && p < base->info.partitions; p++) {
        atomic_store(&j->ends[p], j->offsets[p] + 1);
    }
    return cls;
}

static void tell_ends(struct kafka_journal *j, const struct batch *batch, int64_t *ret_ends)
{
    for (uint32_t p = 0; p < j->base.info.partitions; p++) {
        bool known = j->spool == NULL || kafka_spool_count(j->spool) == 0;
        int64_t end = j->offsets[p] + 1;
        if (known) {
            atomic_store(&j->ends[p], end);
        }
        if (ret_ends != NULL) {
            ret_ends[p] = end;
        }
        if (batch->ends != NULL && known) {
            batch->ends[p] = end;
        }
    }
}

enum err_class kafka_journal_append(struct journal *base, const struct batch *batch, int64_t *ret_ends, struct err *err)
{
    struct kafka_journal *j = kafka_of(base);
    struct err own = {0}, *e = err ? err : &own;
    if (j->read_only) {
        return err_set(e, ERR_FATAL, EXIT_INTERNAL, "a journal opened to be read cannot be written");
    }
    enum err_class cls;
    if (j->spool != NULL && kafka_spool_count(j->spool) > 0) {
        cls = append_waiting(j, batch, e);
    } else {
        cls = append_now(j, batch, clock_mono(&clock_real) + KAFKA_APPEND_US, e);
        j->last = cls == ERR_NONE ? j->state.batch : j->last;
        if (cls == ERR_RETRY && j->spool != NULL && err_exit_code(e) == EXIT_UNAVAILABLE) {
            ask_later(j);
            cls = spool_put(j, batch, e);
        }
    }
    if (cls == ERR_NONE) {
        tell_ends(j, batch, ret_ends);
    }
    return cls;
}

enum err_class kafka_journal_dead_retried(struct journal *base, int64_t id, int64_t wall_us, struct err *err)
{
    struct kafka_journal *j = kafka_of(base);
    int64_t deadline_us = clock_mono(&clock_real) + KAFKA_APPEND_US;
    enum err_class cls = kafka_journal_ready(j, err);
    cls = cls ? cls : kafka_writer_begin(j->writer, err);
    if (cls == ERR_NONE) {
        const struct kafka_state_writer w = {j->writer, j->place.state_topic, deadline_us};
        cls = kafka_state_put_retried(&w, id, wall_us, err);
        cls = cls ? cls : kafka_writer_commit(j->writer, deadline_us, err);
    }
    if (cls != ERR_NONE) {
        spend(j);
    }
    return cls;
}
