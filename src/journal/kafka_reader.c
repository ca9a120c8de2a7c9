/* SPDX-License-Identifier: MIT
 *
 * kafka_reader.c - reading a journal on Kafka: one consumer, a feed for each partition that is read, one for the state.
 *
 * Offsets are the topic's own. Those at which there never was a record (marks of transactions) are `skipped` in the
 * record behind them; a hole is only what the log has lost at its head. A reader of the process that writes waits for
 * what it knows to be committed, so that an end is the end.
 */
#include "journal/kafka.h"

#include "base/hash.h"
#include "kafka/member.h"

#include <stdio.h>
#include <stdlib.h>

enum { LOOK_US = 5000000, GLANCE_US = 300000, FRESH_US = 1000000, LAST_US = 200000, UNREAD_MAX = 3 };

struct kafka_reader {
    struct journal_reader base; /* first */
    struct kafka_place place;
    struct kafka_journal *writer; /* of this process, or NULL */
    struct kafka_consumer *consumer;
    struct kafka_feed *data[PARTITION_MAX], *state_feed, *dead_feed;
    int64_t asked_us[PARTITION_MAX]; /* when the broker was asked for the ends last */
    int64_t behind[PARTITION_MAX];   /* the offset behind the last record given, -1: none */
    uint8_t unread[PARTITION_MAX];   /* how often somebody asked for the ends since */
    uint32_t partitions;             /* of the topic, when it was looked at last */
    int64_t looked_us;
    bool foreign, held;
    bool looked;               /* for the state, before the first record was given */
    rd_kafka_queue_t *answers; /* to what the group was told; NULL: nothing yet */
    int64_t told_us;
    struct reader_progress progress[PARTITION_MAX]; /* as the task said last */
    size_t progress_count;
    int64_t told[PARTITION_MAX]; /* offsets */
    bool untold;
    size_t asked; /* tellings without an answer yet */
    char task[64];
    struct kafka_member *member; /* who tells; NULL: nobody is a member */
    struct kafka_state state;
};

static struct kafka_reader *reader_of(struct journal_reader *r)
{
    return (struct kafka_reader *)r;
}

/* ---- what a message says */

int64_t kafka_message_arrival_us(const rd_kafka_message_t *m, bool timed)
{
    rd_kafka_timestamp_type_t type;
    int64_t ms = rd_kafka_message_timestamp(m, &type);
    struct str value;
    bool told = timed && type == RD_KAFKA_TIMESTAMP_CREATE_TIME; /* a topic may have a broker put its own time there */
    if (type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE || ms < 0 ||
        (!told && kafka_message_header(m, HEADER_ARRIVAL, &value) && str_eqz(value, "none"))) {
        return TIME_NONE;
    }
    return ms * US_PER_MS;
}

bool kafka_message_header(const rd_kafka_message_t *m, const char *name, struct str *ret_value)
{
    rd_kafka_headers_t *headers;
    const void *value;
    size_t size;
    if (rd_kafka_message_headers(m, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        rd_kafka_header_get_last(headers, name, &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return false;
    }
    *ret_value = str_n(value, size);
    return true;
}

void kafka_foreign_info(const struct kafka_place *place, uint32_t partitions, struct journal_info *ret_info)
{
    uint64_t hash = hash_bytes(str_of(place->topic), UINT64_C(0x746f706963));
    struct journal_info info = {.partitions = partitions, .seed = hash, .foreign = true, .sparse = true};
    snprintf(info.id, sizeof(info.id), "%016llx%016llx", (unsigned long long)hash, 0ULL);
    snprintf(info.source, sizeof(info.source), "kafka:%s", place->topic);
    *ret_info = info;
}

/* ---- records */

static struct kafka_feed *data_feed(struct kafka_reader *r, uint32_t p)
{
    if (r->data[p] == NULL) {
        r->data[p] = kafka_feed_new(r->consumer, r->place.topic, (int32_t)p);
        r->behind[p] = -1;
    }
    return r->data[p];
}

static int64_t known_end(const struct kafka_reader *r, uint32_t p)
{
    return r->writer == NULL ? 0 : atomic_load(&r->writer->ends[p]);
}

/* ---- how far the task is */

static void tell_now(struct kafka_reader *r)
{
    struct kafka_progress told[PARTITION_MAX];
    char metadata[PARTITION_MAX][48];
    struct kafka_client *client = kafka_consumer_client(r->consumer);
    AUTO(buf) struct buf group = {0};
    if (r->answers == NULL && r->member == NULL) {
        r->answers = rd_kafka_queue_new(kafka_client_handle(client));
    }
    for (size_t i = 0; i < r->progress_count; i++) {
        const struct reader_progress *p = &r->progress[i];
        snprintf(metadata[i], sizeof(metadata[i]), "replay_from=%lld", (long long)p->replay_from);
        int64_t standing = kafka_feed_standing(data_feed(r, p->partition), p->position);
        told[i] = (struct kafka_progress){(int32_t)p->partition, standing, metadata[i]};
        r->told[p->partition] = standing;
    }
    r->untold = false;
    if (r->member != NULL) {
        kafka_member_tell(r->member, told, r->progress_count);
        return;
    }
    buf_addf(&group, "%s.%s", r->place.group, r->task);
    r->asked = r->asked + 1 - kafka_answers_take(r->answers, 0);
    kafka_group_tell(client, group.ptr, r->place.topic, told, r->progress_count, r->answers);
}

static void tell_if_due(struct kafka_reader *r)
{
    int64_t now_us = clock_mono(&clock_real);
    if (r->untold && now_us - r->told_us >= FRESH_US) {
        r->told_us = now_us;
        tell_now(r);
    }
}

/* Only marks are behind the position, which nobody knew when it was told. */
static void tell_end(struct kafka_reader *r, uint32_t p)
{
    for (size_t i = 0; i < r->progress_count; i++) {
        int64_t standing = kafka_feed_standing(r->data[p], r->progress[i].position);
        r->untold = r->untold || (r->progress[i].partition == p && standing > r->told[p]);
    }
    tell_if_due(r);
}

static void tell(struct journal_reader *base, const char *task, struct kafka_member *member,
                 const struct reader_progress *list, size_t count)
{
    struct kafka_reader *r = reader_of(base);
    r->member = member;
    ensure(count <= PARTITION_MAX);
    memcpy(r->progress, list, count * sizeof(*list));
    r->progress_count = count;
    r->untold = true;
    snprintf(r->task, sizeof(r->task), "%s", task);
    tell_if_due(r);
}

/* What was not told yet; waits for the answer for a moment. */
static void tell_last(struct kafka_reader *r)
{
    for (size_t i = 0; i < r->progress_count; i++) {
        const struct reader_progress *p = &r->progress[i];
        struct kafka_page page;
        struct err ignored;
        if (kafka_feed_read(data_feed(r, p->partition), p->position, 0, 1, LAST_US, &page, &ignored) == ERR_NONE) {
            tell_end(r, p->partition);
        }
    }
    if (r->untold) {
        tell_now(r);
    }
    for (size_t taken = 1; r->asked > 0 && taken > 0; r->asked -= taken) { /* or it is gone before it was sent */
        taken = kafka_answers_take(r->answers, FRESH_US);
    }
    if (r->answers != NULL) {
        rd_kafka_queue_destroy(r->answers);
    }
}

/* ---- what stands beside */

static enum err_class refresh(struct kafka_reader *r, struct err *err)
{
    return r->foreign || r->held ? ERR_NONE : kafka_state_refresh(&r->state, r->state_feed, err);
}

/* What is not known is looked for in each record. */
static bool is_timed(struct kafka_reader *r)
{
    struct err ignored = {0};
    if (!r->looked && !r->foreign && !r->state.found) {
        (void)refresh(r, &ignored);
        kafka_feed_rest(r->state_feed);
    }
    r->looked = true;
    return r->state.found && r->state.version >= KAFKA_VERSION_TIMED;
}

/* ---- reading */

static void page_copy(struct kafka_reader *r, uint32_t p, const struct kafka_page *page, int64_t from,
                      struct arena *arena, struct journal_page *ret_page)
{
    size_t bytes = 0;
    for (size_t i = 0; i < page->count; i++) {
        bytes += page->messages[i]->len;
    }
    struct record *records = arena_alloc(arena, (page->count + 1) * sizeof(*records));
    char *at = arena_alloc(arena, bytes + 1);
    int64_t behind = from < page->base ? page->base : from;
    bool timed = is_timed(r);
    for (size_t i = 0; i < page->count; i++) {
        const rd_kafka_message_t *m = page->messages[i];
        if (m->len > 0) {
            memcpy(at, m->payload, m->len);
        }
        records[i] = (struct record){.partition = p,
                                     .offset = m->offset,
                                     .arrival_us = kafka_message_arrival_us(m, timed),
                                     .value = {at, m->len},
                                     .skipped = m->offset - behind};
        behind = m->offset + 1;
        at += m->len;
    }
    r->behind[p] = page->count > 0 ? behind : r->behind[p];
    r->unread[p] = 0;
    *ret_page = (struct journal_page){records, page->count};
}

/* A topic can grow. */
static void look_if_due(struct kafka_reader *r)
{
    struct kafka_topic topic;
    struct err ignored;
    int64_t now_us = clock_mono(&clock_real);
    if (now_us - r->looked_us > LOOK_US) {
        struct kafka_client *client = kafka_consumer_client(r->consumer);
        enum err_class cls = kafka_topic_look(client, r->place.topic, GLANCE_US, &topic, &ignored);
        bool more = cls == ERR_NONE && topic.partitions > (int32_t)r->partitions && topic.partitions <= PARTITION_MAX;
        r->partitions = more ? (uint32_t)topic.partitions : r->partitions;
        r->looked_us = now_us;
    }
}

static bool has_partition(struct kafka_reader *r, uint32_t p)
{
    if (p >= r->partitions) {
        look_if_due(r);
    }
    return p < r->partitions;
}

static enum err_class read(struct journal_reader *base, uint32_t p, int64_t from, size_t max, struct arena *arena,
                           struct journal_page *ret_page, struct err *err)
{
    struct kafka_reader *r = reader_of(base);
    struct kafka_page page;
    if (!has_partition(r, p)) {
        *ret_page = (struct journal_page){0};
        return ERR_NONE;
    }
    enum err_class cls = kafka_feed_read(data_feed(r, p), from, known_end(r, p), max, KAFKA_WAIT_US, &page, err);
    if (cls == ERR_NONE) {
        page_copy(r, p, &page, from, arena, ret_page);
        if (page.count == 0 && r->progress_count > 0) {
            tell_end(r, p);
        }
    }
    return cls;
}

/* Who asks for the ends again and again and takes nothing reads elsewhere (app/ahead.h): what was fetched here is
 * megabytes that lie about. */
static void rest_if_unread(struct kafka_reader *r, uint32_t p)
{
    r->unread[p]++;
    if (r->unread[p] > UNREAD_MAX) {
        kafka_feed_rest_if_ahead(data_feed(r, p));
        r->unread[p] = 0;
    }
}

static enum err_class bounds(struct journal_reader *base, uint32_t p, int64_t *ret_head, int64_t *ret_end,
                             struct err *err)
{
    struct kafka_reader *r = reader_of(base);
    *ret_head = *ret_end = 0;
    if (!has_partition(r, p)) {
        return ERR_NONE;
    }
    rest_if_unread(r, p);
    int64_t now_us = clock_mono(&clock_real);
    bool fresh = now_us - r->asked_us[p] > FRESH_US;
    enum err_class cls = kafka_feed_bounds(data_feed(r, p), fresh, KAFKA_WAIT_US, ret_head, ret_end, err);
    r->asked_us[p] = fresh && cls == ERR_NONE ? now_us : r->asked_us[p];
    int64_t known = known_end(r, p);
    if (*ret_end < known && !kafka_feed_reaches(r->data[p], known)) {
        *ret_end = known;
    }
    return cls;
}

static enum err_class seek_arrival(struct journal_reader *base, uint32_t p, int64_t arrival_us, int64_t *ret_offset,
                                   struct err *err)
{
    struct kafka_reader *r = reader_of(base);
    return kafka_feed_seek_time(data_feed(r, p), floor_div(arrival_us, US_PER_MS), KAFKA_WAIT_US, ret_offset, err);
}

static void rest(struct journal_reader *base)
{
    struct kafka_reader *r = reader_of(base);
    for (uint32_t p = 0; p < PARTITION_MAX; p++) {
        r->asked_us[p] = 0;
        if (r->data[p] != NULL) {
            kafka_feed_rest(r->data[p]);
        }
    }
}

/* ---- what the state says */

static enum err_class hold(struct journal_reader *base, struct err *err)
{
    struct kafka_reader *r = reader_of(base);
    enum err_class cls = refresh(r, err);
    r->held = cls == ERR_NONE;
    return cls;
}

static void release(struct journal_reader *base)
{
    reader_of(base)->held = false;
}

static enum err_class info(struct journal_reader *base, struct journal_info *ret_info, struct err *err)
{
    struct kafka_reader *r = reader_of(base);
    if (r->foreign) {
        kafka_foreign_info(&r->place, r->partitions, ret_info);
        return ERR_NONE;
    }
    enum err_class cls = r->state.found ? ERR_NONE : refresh(r, err);
    if (cls == ERR_NONE && !r->state.found) {
        cls = err_set(err, ERR_REJECT, EXIT_NOINPUT, "there is no journal in topic \"%s\"", r->place.topic);
    }
    if (cls == ERR_NONE) {
        *ret_info = r->state.info;
        look_if_due(r);
        ret_info->partitions = r->partitions > ret_info->partitions ? r->partitions : ret_info->partitions;
        ret_info->sparse = true;
    }
    return cls;
}

/* R3: the position of the newest batch: with the last record of a partition, or in the state. */
static enum err_class position_find(struct kafka_reader *r, struct err *err)
{
    const struct kept_note *note = kafka_state_note(&r->state, STR("position"));
    int64_t batch = note == NULL ? 0 : note->batch;
    for (uint32_t p = 0; p < r->partitions && batch < r->state.batch; p++) {
        struct buf text = {0};
        int64_t found = 0;
        enum err_class cls = kafka_tail_position(data_feed(r, p), &text, &found, err);
        if (cls == ERR_NONE && found > batch) {
            batch = found;
            kafka_state_set_note(&r->state, STR("position"), buf_str(&text), batch);
        }
        buf_fini(&text);
        kafka_feed_rest(data_feed(r, p));
        if (cls != ERR_NONE) {
            return cls;
        }
    }
    return ERR_NONE;
}

static enum err_class note(struct journal_reader *base, struct str key, struct arena *arena, struct str *ret_value,
                           struct err *err)
{
    struct kafka_reader *r = reader_of(base);
    enum err_class cls = refresh(r, err);
    if (cls == ERR_NONE && !r->foreign && str_eqz(key, "position")) {
        cls = position_find(r, err);
    }
    const struct kept_note *n = kafka_state_note(&r->state, key);
    *ret_value = (struct str){NULL, 0};
    if (n != NULL) {
        *ret_value = arena_dup(arena, str_n(n->value, n->len));
    }
    return cls;
}

static enum err_class dead(struct journal_reader *base, int64_t from_id,
                           bool (*each)(const struct dead_letter *d, void *ctx), void *ctx, struct err *err)
{
    struct kafka_reader *r = reader_of(base);
    enum err_class cls = refresh(r, err);
    if (cls != ERR_NONE || r->foreign) {
        return cls;
    }
    cls = kafka_dead_each(r->dead_feed, &r->state, from_id, each, ctx, err);
    kafka_feed_rest(r->dead_feed);
    return cls;
}

static enum err_class tally(struct journal_reader *base, bool (*each)(const struct tally_row *row, void *ctx),
                            void *ctx, struct err *err)
{
    struct kafka_reader *r = reader_of(base);
    enum err_class cls = refresh(r, err);
    for (size_t i = 0; cls == ERR_NONE && i < r->state.tally.count; i++) {
        const struct tally_row *row = &r->state.tally.rows[i];
        if (row->count != 0 && !each(row, ctx)) {
            break;
        }
    }
    return cls;
}

static enum err_class verify(struct journal_reader *base, void (*problem)(const char *text, void *ctx), void *ctx,
                             struct journal_verified *ret_verified, struct err *err)
{
    struct kafka_reader *r = reader_of(base);
    struct journal_verified v = {0};
    (void)problem, (void)ctx; /* librdkafka checks the checksum of each batch that it gives out (check.crcs) */
    for (uint32_t p = 0; p < r->partitions; p++) {
        int64_t head, end;
        enum err_class cls = bounds(base, p, &head, &end, err);
        for (struct kafka_page page = {.count = 1}; cls == ERR_NONE && page.count > 0;) {
            cls = kafka_feed_read(data_feed(r, p), head, 0, KAFKA_PAGE_MAX, KAFKA_WAIT_US, &page, err);
            for (size_t i = 0; cls == ERR_NONE && i < page.count; i++) {
                struct str value;
                v.batches += kafka_message_header(page.messages[i], HEADER_BATCH, &value);
                head = page.messages[i]->offset + 1;
                v.records++;
            }
        }
        kafka_feed_rest(data_feed(r, p));
        if (cls != ERR_NONE) {
            return cls;
        }
    }
    *ret_verified = v;
    return ERR_NONE;
}

/* ---- life */

static void reader_close(struct journal_reader *base)
{
    struct kafka_reader *r = reader_of(base);
    tell_last(r); /* it reads once more */
    for (uint32_t p = 0; p < PARTITION_MAX; p++) {
        kafka_feed_free(r->data[p]);
    }
    kafka_feed_free(r->state_feed);
    kafka_feed_free(r->dead_feed);
    kafka_consumer_close(r->consumer);
    kafka_state_fini(&r->state);
    kafka_place_fini(&r->place);
    free(r);
}

static const struct journal_reader_ops reader_ops = {
    .close = reader_close,
    .hold = hold,
    .release = release,
    .tell = tell,
    .rest = rest,
    .info = info,
    .bounds = bounds,
    .read = read,
    .seek_arrival = seek_arrival,
    .note = note,
    .dead = dead,
    .tally = tally,
    .verify = verify,
};

static void wake_writer(void *ctx)
{
    journal_wake(ctx);
}

static enum err_class reader_open(const struct journal_kafka *where, struct kafka_journal *writer,
                                  struct journal_reader **ret_reader, struct err *err)
{
    struct kafka_reader *r = xcalloc(1, sizeof(*r));
    struct kafka_news news = {.call = writer == NULL ? NULL : wake_writer, .ctx = writer};
    struct kafka_topic data = {0}, state = {0};
    r->base.ops = &reader_ops;
    r->writer = writer;
    kafka_place_init(&r->place, where);
    kafka_state_init(&r->state);
    enum err_class cls = kafka_consumer_open(&r->place.client, NULL, 0, &news, &r->consumer, err);
    struct kafka_client *client = cls == ERR_NONE ? kafka_consumer_client(r->consumer) : NULL;
    cls = cls ? cls : kafka_topic_look(client, r->place.topic, KAFKA_WAIT_US, &data, err);
    cls = cls ? cls : kafka_topic_look(client, r->place.state_topic, KAFKA_WAIT_US, &state, err);
    if (cls == ERR_NONE && (!data.exists || data.partitions > PARTITION_MAX)) {
        cls = data.exists
                  ? err_set(err, ERR_REJECT, EXIT_CONFIG, "topic \"%s\" has %d partitions; at most %d can be read",
                            r->place.topic, (int)data.partitions, PARTITION_MAX)
                  : err_set(err, ERR_REJECT, EXIT_NOINPUT, "there is no topic \"%s\" at %s", r->place.topic,
                            r->place.brokers);
    }
    if (cls != ERR_NONE) {
        reader_close(&r->base);
        return cls;
    }
    r->partitions = (uint32_t)data.partitions;
    r->foreign = !state.exists;
    r->state_feed = kafka_feed_new(r->consumer, r->place.state_topic, 0);
    r->dead_feed = kafka_feed_new(r->consumer, r->place.dead_topic, 0);
    *ret_reader = &r->base;
    return ERR_NONE;
}

enum err_class kafka_reader_new(struct journal *j, struct journal_reader **ret_reader, struct err *err)
{
    struct kafka_journal *writer = (struct kafka_journal *)j;
    return reader_open(&writer->place.options, writer, ret_reader, err);
}

enum err_class journal_reader_open_kafka(const struct journal_kafka *where, struct journal_reader **ret_reader,
                                         struct err *err)
{
    return reader_open(where, NULL, ret_reader, err);
}
