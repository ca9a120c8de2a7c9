/* SPDX-License-Identifier: MIT
 *
 * admission_batch.c - what was decided since the last commit: records, dead letters, ledger and notes, as the one batch
 * that goes into the journal in one atomic unit (R3, R11). It stays pending until admission_committed: after a failed
 * commit nothing is lost.
 */
#include "source/admission_state.h"

#include <stdlib.h>

#include "base/metrics.h"

void admission_book(struct admission *a, enum source_bucket bucket, int64_t time_us, int64_t arrival_us)
{
    int64_t clock_us = arrival_us != TIME_NONE ? arrival_us : a->position.clock_us;
    tally_book(&a->tally, (uint8_t)bucket, time_us, arrival_us, clock_us, a->options.skew_us);
}

/* ---- records */

static int64_t records_add(struct admission *a, uint32_t partition, int64_t arrival_us, struct str value,
                           const struct record_label *label)
{
    if (a->record_count == a->record_cap) {
        a->record_cap = a->record_cap ? a->record_cap * 2 : 256;
        a->records = xrealloc(a->records, a->record_cap * sizeof *a->records);
        a->record_values = xrealloc((void *)a->record_values, a->record_cap * sizeof(*a->record_values));
        if (a->options.labels) {
            a->labels = xrealloc(a->labels, a->record_cap * sizeof(*a->labels));
        }
    }
    if (a->options.labels) {
        a->labels[a->record_count] = *label;
    }
    struct partition_state *p = &a->partitions[partition];
    a->record_values[a->record_count] = NULL;
    a->records[a->record_count++] = (struct record){
        .partition = partition, .offset = p->next, .arrival_us = arrival_us, .value = arena_dup(&a->arena, value)};
    a->bytes += value.len;
    a->moved = true;
    if (a->received_mono_us != TIME_NONE) { /* else nobody asks: a clock for each record of a file is a lot */
        p->quiet_since_mono_us = clock_mono(a->options.clock);
    }
    return p->next++;
}

void admission_move_clock(struct admission *a, const struct decoded *d)
{
    if (d->time_us != TIME_NONE && !d->future && d->time_us > a->position.clock_us) {
        a->position.clock_us = d->time_us;
        identities_move(a->identities, IDENTITY_CLOCK_STREAM, d->time_us);
    }
}

enum err_class admission_remember(struct admission *a, const struct decoded *d, struct identity_place place,
                                  struct err *err)
{
    int64_t skew_us = a->options.skew_us;
    admission_move_clock(a, d);
    int64_t since_us = a->position.clock_us;
    if (d->topic != NO_TOPIC) {
        bool ahead = d->arrival_us != TIME_NONE && d->dt_us > d->arrival_us + skew_us && !fault("R3.pfuture");
        if (!ahead) {
            identities_move(a->identities, d->topic, d->dt_us);
        }
        since_us = d->dt_us;
    }
    return identities_add(a->identities, d->ids, d->id_count, d->topic, since_us, place, err);
}

/* The values of the record just added, which were found in `bytes`, now borrow from its copy and go with the batch. */
static void values_share(struct admission *a, const char *bytes)
{
    const char *copy = a->records[a->record_count - 1].value.ptr;
    for (size_t i = 0; i < field_set_count(a->options.shared_fields); i++) {
        struct value *v = &a->values[i];
        if (v->kind != VALUE_ABSENT) {
            v->raw.ptr = copy + (v->raw.ptr - bytes);
        }
    }
    a->record_values[a->record_count - 1] = a->values;
    a->values = NULL;
}

/* "enwiki:Title", which keeps a page's changes together also for who partitions anew. */
static struct str page_key(struct admission *a)
{
    buf_clear(&a->scratch);
    buf_clear(&a->other_scratch);
    struct str wiki = value_string(&a->values[FIELD_WIKI], &a->scratch);
    struct str title = value_string(&a->values[FIELD_TITLE], &a->other_scratch);
    if (wiki.len == 0 || title.len == 0) {
        return (struct str){NULL, 0};
    }
    char *at = arena_alloc(&a->arena, wiki.len + 1 + title.len);
    memcpy(at, wiki.ptr, wiki.len);
    at[wiki.len] = ':';
    memcpy(at + wiki.len + 1, title.ptr, title.len);
    return str_n(at, wiki.len + 1 + title.len);
}

enum err_class admission_append(struct admission *a, const struct decoded *d, struct err *err)
{
    struct record_label label = {.kind = "change"};
    if (a->options.labels && d->kind != CHANGE_EDIT_LIKE) {
        label.kind = d->kind == CHANGE_TICK ? "tick" : "canary";
    } else if (a->options.labels) {
        label.key = page_key(a);
    }
    a->last_offset = records_add(a, d->partition, d->arrival_us, d->bytes, &label);
    if (a->options.shared_fields) {
        values_share(a, d->bytes.ptr);
    }
    struct identity_place place = {d->partition, a->last_offset};
    return admission_remember(a, d, place, err);
}

/* ---- ticks (R7) */

static void tick(struct admission *a, uint32_t partition, int64_t dt_us)
{
    AUTO(buf) struct buf text = {0};
    buf_addz(&text,
             "{\"$schema\":\"/mediawiki/recentchange/1.0.0\",\"meta\":{\"domain\":\"canary\",\"stream\":\"" TICK_STREAM
             "\",\"dt\":\"");
    time_format_ms(&text, dt_us);
    buf_addz(&text, "\"}}");
    int64_t arrival_us = a->position.arrival_us;
    records_add(a, partition, arrival_us, buf_str(&text), &(struct record_label){.kind = "tick"});
    admission_book(a, SOURCE_TICK, dt_us, arrival_us);
    admission_book(a, SOURCE_JOURNALLED, dt_us, arrival_us);
}

void admission_tick(struct admission *a, int64_t dt_us)
{
    a->position.stream_us = dt_us > a->position.stream_us ? dt_us : a->position.stream_us;
    for (uint32_t i = 0; i < a->options.partitions; i++) {
        tick(a, i, dt_us);
    }
}

/* The end of a recording is said to have arrived when its tick is due; else the tick would be from the future. */
void admission_close(struct admission *a, int64_t dt_us)
{
    a->position.arrival_us = dt_us > a->position.arrival_us ? dt_us : a->position.arrival_us;
    admission_tick(a, dt_us);
}

void admission_tick_quiet(struct admission *a)
{
    int64_t now = clock_mono(a->options.clock), idle_us = a->options.idle_after_us;
    if (a->position.stream_us == TIME_NONE || a->received_mono_us == TIME_NONE ||
        now - a->received_mono_us >= idle_us) {
        return;
    }
    for (uint32_t i = 0; i < a->options.partitions; i++) {
        if (now - a->partitions[i].quiet_since_mono_us >= idle_us) {
            tick(a, i, a->position.stream_us);
        }
    }
}

/* ---- dead letters */

static const char *dead_sentence(enum dead_reason reason)
{
    switch (reason) {
    case DEAD_BAD_UTF8:
        return "not valid UTF-8";
    case DEAD_TOO_DEEP:
        return "more than 64 nested objects and arrays";
    case DEAD_SYNTAX:
        return "not JSON";
    case DEAD_SURROGATE:
        return "an escape that is half of a surrogate pair";
    case DEAD_NOT_OBJECT:
        return "JSON, but not an object";
    case DEAD_BAD_TIME:
        return "timestamp or meta.dt is not a time";
    default:
        return "neither timestamp nor meta.dt";
    }
}

static void dead_detail(const struct admission *a, const struct decoded *d, struct buf *out)
{
    int64_t most = a->options.record_max > 0 && d->scanned ? a->options.record_max : (int64_t)CHANGE_MAX_BYTES;
    if (d->reason == DEAD_TOO_LARGE) {
        buf_addf(out, "larger than %lld bytes", (long long)most);
    } else {
        buf_addz(out, dead_sentence(d->reason));
    }
    if (!d->scanned) {
        buf_addf(out, ", at byte %zu of %zu", d->at, d->bytes.len);
    }
}

bool admission_decodes(struct admission *a, struct str bytes, struct err *err)
{
    struct decoded d;
    admission_decode(a, bytes, TIME_NONE, true, &d);
    if (d.reason == DEAD_NONE) {
        return true;
    }
    AUTO(buf) struct buf text = {0};
    dead_detail(a, &d, &text);
    err_set(err, ERR_REJECT, EXIT_DATA, "still dead: %s: %s", dead_reason_name(d.reason), text.ptr);
    return false;
}

static struct str dead_position(struct admission *a, const struct decoded *d, struct str where)
{
    AUTO(buf) struct buf text = {0};
    if (where.ptr) {
        buf_add(&text, where);
    } else if (d->scanned && a->values[FIELD_META_OFFSET].kind == VALUE_INT) {
        buf_clear(&a->scratch);
        buf_add(&text, value_string(&a->values[FIELD_META_TOPIC], &a->scratch));
        buf_addf(&text, "/%lld/%lld", (long long)a->values[FIELD_META_PARTITION].number,
                 (long long)a->values[FIELD_META_OFFSET].number);
    } else {
        buf_addz(&text, "unknown");
    }
    return arena_dup(&a->arena, buf_str(&text));
}

enum err_class admission_bury(struct admission *a, const struct decoded *d, struct str where, struct err *err)
{
    if (a->dead_count == a->dead_cap) {
        a->dead_cap = a->dead_cap ? a->dead_cap * 2 : 16;
        a->dead = xrealloc(a->dead, a->dead_cap * sizeof *a->dead);
    }
    AUTO(buf) struct buf detail = {0};
    dead_detail(a, d, &detail);
    a->dead[a->dead_count++] = (struct dead_letter){.stage = "source",
                                                    .reason = dead_reason_name(d->reason),
                                                    .detail = arena_dup(&a->arena, buf_str(&detail)),
                                                    .position = dead_position(a, d, where),
                                                    .arrival_us = d->arrival_us,
                                                    .stream_us = a->position.clock_us,
                                                    .retried_us = TIME_NONE,
                                                    .bytes = arena_dup(&a->arena, d->bytes)};
    a->bytes += d->bytes.len;
    struct identity_place nowhere = {0, -1};
    return identities_add(a->identities, d->ids, d->id_count, IDENTITY_CLOCK_STREAM, a->position.clock_us, nowhere,
                          err);
}

/* ---- the batch */

void admission_set_note(struct admission *a, struct str key, struct str value)
{
    struct note note = {arena_dup(&a->arena, key), arena_dup(&a->arena, value)};
    size_t at = 0;
    while (at < a->note_count && !str_eq(a->notes[at].key, key)) {
        at++;
    }
    ensure(at < NOTES_MAX);
    a->notes[at] = note;
    a->note_count = at == a->note_count ? at + 1 : a->note_count;
    a->moved = true;
}

bool admission_pending(const struct admission *a, size_t *ret_bytes)
{
    if (ret_bytes) {
        *ret_bytes = a->bytes;
    }
    return a->moved || a->audit.changed;
}

/* Low and high of one (clock, partition) while the tails are collected. */
struct tail_range {
    int64_t low, high;
};
struct tail_collector {
    struct tail_range *ranges; /* [clock * partitions + partition] */
    uint32_t partitions;
    int64_t floor_us;
    bool floor_known;
};

static void tail_collect(const struct identity_known *k, void *ctx)
{
    struct tail_collector *c = ctx;
    if (k->place.offset < 0) {
        return;
    }
    struct tail_range *r = &c->ranges[k->clock * c->partitions + k->place.partition];
    r->low = k->place.offset < r->low ? k->place.offset : r->low;
    r->high = k->place.offset > r->high ? k->place.offset : r->high;
    if (k->clock == IDENTITY_CLOCK_STREAM && (!c->floor_known || k->since_us < c->floor_us)) {
        c->floor_us = k->since_us;
        c->floor_known = true;
    }
}

/* R3: from where to where the journal must be read again to know what is known now. */
static void tails_write(struct admission *a)
{
    uint32_t partitions = a->options.partitions;
    struct tail_range *ranges = xmalloc(a->topic_count * partitions * sizeof *ranges);
    for (size_t i = 0; i < a->topic_count * partitions; i++) {
        ranges[i] = (struct tail_range){INT64_MAX, -1};
    }
    struct tail_collector c = {ranges, partitions, TIME_NONE, false};
    identities_each(a->identities, tail_collect, &c);
    a->position.tail_count = 0;
    a->position.floor_us = c.floor_us;
    for (size_t i = 0; i < a->topic_count * partitions; i++) {
        if (ranges[i].high >= 0) {
            struct tail t = {.partition = (uint32_t)(i % partitions), .low = ranges[i].low, .high = ranges[i].high};
            memcpy(t.topic, a->topic_names[i / partitions], sizeof t.topic);
            position_add_tail(&a->position, &t);
        }
    }
    position_merge_tails(&a->position);
    free(ranges);
}

const struct batch *admission_batch(struct admission *a)
{
    tails_write(a);
    buf_clear(&a->position_text);
    position_write(&a->position, &a->position_text);
    size_t notes = a->note_count;
    a->notes[notes++] = (struct note){STR("position"), buf_str(&a->position_text)};
    if (a->audit.changed) {
        struct numbering *numberings[POSITION_TOPICS];
        const char *topics[POSITION_TOPICS];
        size_t count = admission_numberings(a, numberings);
        for (size_t i = 0; i < count; i++) {
            topics[i] = a->position.topics[i].name;
        }
        buf_clear(&a->audit_text);
        audit_write(&a->audit, numberings, topics, count, &a->audit_text);
        a->notes[notes++] = (struct note){STR("audit"), buf_str(&a->audit_text)};
    }
    for (uint32_t i = 0; i < a->options.partitions; i++) {
        a->ends[i] = -1;
    }
    a->batch = (struct batch){.records = a->records,
                              .record_count = a->record_count,
                              .dead = a->dead,
                              .dead_count = a->dead_count,
                              .notes = a->notes,
                              .note_count = notes,
                              .tally = a->tally.rows,
                              .tally_count = a->tally.count,
                              .values = a->options.shared_fields ? a->record_values : NULL,
                              .memory = &a->arena,
                              .labels = a->options.labels ? a->labels : NULL,
                              .ends = a->ends};
    return &a->batch;
}

/* Metrics count what is durable. */
static void metrics_add(const struct admission *a)
{
    static const char *const labels[SOURCE_BUCKETS] = {
        "stream=\"recentchange\",result=\"received\"",  "stream=\"recentchange\",result=\"tick\"",
        "stream=\"recentchange\",result=\"duplicate\"", "stream=\"recentchange\",result=\"filtered\"",
        "stream=\"recentchange\",result=\"dead\"",      "stream=\"recentchange\",result=\"journalled\""};
    int64_t sums[SOURCE_BUCKETS] = {0};
    for (size_t i = 0; i < a->tally.count; i++) {
        if (a->tally.rows[i].by == TALLY_ARRIVAL && a->tally.rows[i].bucket < SOURCE_BUCKETS) {
            sums[a->tally.rows[i].bucket] += a->tally.rows[i].count;
        }
    }
    for (size_t i = 0; i < SOURCE_BUCKETS; i++) {
        if (sums[i] && i != SOURCE_RECEIVED) {
            metric_add(METRIC_SOURCE_EVENTS, labels[i], (double)sums[i]);
        }
    }
    for (size_t i = 0; i < a->dead_count; i++) {
        AUTO(buf) struct buf label = {0};
        buf_addf(&label, "reason=\"%s\"", a->dead[i].reason);
        metric_add(METRIC_DEAD_LETTERS, label.ptr, 1);
    }
}

void admission_committed(struct admission *a)
{
    metrics_add(a);
    for (uint32_t i = 0; i < a->options.partitions; i++) {
        a->partitions[i].next = a->ends[i] >= 0 ? a->ends[i] : a->partitions[i].next;
    }
    a->record_count = a->dead_count = a->note_count = a->bytes = 0;
    tally_clear(&a->tally);
    arena_reset(&a->arena);
    a->values = a->options.shared_fields ? NULL : a->own_values;
    a->moved = false;
    a->audit.changed = false;
}
