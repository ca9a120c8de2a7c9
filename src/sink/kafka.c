/* SPDX-License-Identifier: MIT
 *
 * kafka.c - a sink that writes rows to topics (R11): rows and where the task stands in one transaction. As in the
 * journal on Kafka, every failure has one way out: another producer, then a look at what the broker has; the commit
 * that failed is there, or is written again, or another owner is, and then this one ends.
 */
#include "sink/kafka.h"

#include "base/clock.h"
#include "base/diag.h"
#include "base/fault.h"

#include <stdio.h>
#include <stdlib.h>

enum { BATCH_BYTES = 1000000, RECORD_OVERHEAD = 80 /* of a batch of one */ };

static struct kafka_sink *kafka_of(struct sink *s)
{
    return (struct kafka_sink *)s;
}

/* ---- the producer */

static enum err_class writer_open(struct kafka_sink *s, struct err *err)
{
    char batch[32];
    snprintf(batch, sizeof(batch), "%lld", (long long)s->batch_bytes);
    const struct kafka_setting settings[] = {
        {"transaction.timeout.ms", "30000"}, {"message.timeout.ms", "10000"},
        {"socket.timeout.ms", "5000"},       {"batch.size", batch},
        {"partitioner", "murmur2_random"}, /* as Java's clients do it */
    };
    struct kafka_writer_options options = {.kafka = &s->client,
                                           .transactional_id = s->transactional_id,
                                           .settings = settings,
                                           .setting_count = sizeof(settings) / sizeof(*settings),
                                           .hurry = &s->hurry};
    return kafka_writer_open(&options, KAFKA_WAIT_US, &s->writer, err);
}

static void spend(struct kafka_sink *s)
{
    kafka_writer_close(TAKE(s->writer));
}

static enum err_class owner_check(const struct kafka_sink *s, struct err *err)
{
    if (!kafka_claim_is_lost(&s->claim, s->found_claim, s->read_to)) {
        return ERR_NONE;
    }
    return err_set(err, ERR_FATAL, EXIT_FENCED, "another instance took over the task that writes to \"%s\"",
                   s->state_topic);
}

static enum err_class put_state(struct kafka_sink *s, const char *key, const struct buf *value, int64_t deadline_us,
                                struct err *err)
{
    struct kafka_record r = {.topic = s->state_topic, .key = str_of(key), .value = buf_str(value)};
    return kafka_writer_add(s->writer, &r, deadline_us, err);
}

static enum err_class put_batch(struct kafka_sink *s, int64_t deadline_us, struct err *err)
{
    AUTO(buf) struct buf text = {0};
    int64_t number = s->batch + 1;
    buf_addf(&text, "batch=%lld\nowner=%s\n", (long long)number, s->claim.owner);
    return put_state(s, s->batch_key, &text, deadline_us, err);
}

static enum err_class finish(struct kafka_sink *s, int64_t deadline_us, struct err *err)
{
    s->tried = s->batch + 1;
    enum err_class cls = kafka_writer_commit(s->writer, deadline_us, err);
    if (cls == ERR_NONE && failpoint("kafka_sink.committed")) { /* "failed here, committed there" */
        cls = err_set(err, ERR_RETRY, EXIT_UNAVAILABLE, "kafka: the answer to a commit did not come");
    }
    if (cls == ERR_NONE) {
        s->batch++;
        s->tried = 0;
    }
    return cls;
}

/* A transaction of our own, behind which lines are ours: whoever was there before has ended it all, or fences us now.
 */
static enum err_class claim(struct kafka_sink *s, struct err *err)
{
    int64_t deadline_us = clock_mono(&clock_real) + KAFKA_COMMIT_US;
    enum err_class cls = kafka_writer_begin(s->writer, err);
    cls = cls ? cls : put_batch(s, deadline_us, err);
    cls = cls ? cls : finish(s, deadline_us, err);
    s->claimed = s->claimed || cls == ERR_NONE;
    if (cls != ERR_NONE) {
        spend(s);
    }
    return cls;
}

/* A producer that can be used, and the state as the broker has it. */
enum err_class kafka_sink_ready(struct kafka_sink *s, struct err *err)
{
    if (s->writer != NULL && !kafka_writer_is_spent(s->writer)) {
        return ERR_NONE;
    }
    enum err_class cls = ERR_NONE;
    spend(s);
    if (s->claim.at >= 0) { /* what is undecided may be our own: it is until the producer is another */
        cls = kafka_sink_load(s, false, err);
        cls = cls ? cls : owner_check(s, err);
    }
    cls = cls ? cls : writer_open(s, err);
    cls = cls ? cls : kafka_sink_load(s, true, err);
    cls = cls ? cls : owner_check(s, err);
    if (cls != ERR_NONE) {
        spend(s);
    }
    return cls;
}

/* ---- topics */

static enum err_class topic_need(struct kafka_sink *s, struct kafka_client *client, const char *name,
                                 const struct kafka_setting *settings, size_t count, struct err *err)
{
    struct kafka_topic topic;
    struct kafka_topic_options options = {name, 1, (int32_t)s->replication, settings, count};
    enum err_class cls = kafka_topic_look(client, name, KAFKA_WAIT_US, &topic, err);
    if (cls != ERR_NONE || topic.exists) {
        return cls;
    }
    if (!s->create) {
        return err_set(err, ERR_REJECT, EXIT_CONFIG, "there is no topic \"%s\", and stats.create_topics is false",
                       name);
    }
    diag_info("task", "making topic \"%s\"", name);
    return kafka_topic_make(client, &options, 2 * KAFKA_WAIT_US, err);
}

enum err_class kafka_sink_topic(struct kafka_sink *s, const char *name, const struct kafka_setting *settings,
                                size_t count, struct err *err)
{
    struct kafka_consumer *consumer;
    enum err_class cls = kafka_consumer_open(&s->client, NULL, 0, NULL, &consumer, err);
    if (cls == ERR_NONE) {
        cls = topic_need(s, kafka_consumer_client(consumer), name, settings, count, err);
        kafka_consumer_close(consumer);
    }
    return cls;
}

static enum err_class topics_need(struct kafka_sink *s, struct err *err)
{
    char age[32];
    struct kafka_consumer *consumer;
    snprintf(age, sizeof(age), "%lld", (long long)(s->retention_us > 0 ? s->retention_us / US_PER_MS : -1));
    const struct kafka_setting rows[] = {{"cleanup.policy", "compact,delete"}, {"retention.ms", age}};
    static const struct kafka_setting state[] = {
        {"cleanup.policy", "compact"}, {"segment.ms", "600000"}, {"segment.bytes", "8388608"}};
    enum err_class cls = kafka_consumer_open(&s->client, NULL, 0, NULL, &consumer, err);
    if (cls != ERR_NONE) {
        return cls;
    }
    struct kafka_client *client = kafka_consumer_client(consumer);
    cls = topic_need(s, client, s->state_topic, state, 3, err);
    for (size_t i = 0; i < s->count && cls == ERR_NONE; i++) {
        cls = topic_need(s, client, s->aggregations[i].topic, rows, 2, err);
    }
    kafka_consumer_close(consumer);
    return cls;
}

/* A topic's limit is that of a batch. One that may not be asked for has the default, as far as we know. */
void kafka_sink_limits(struct kafka_sink *s)
{
    struct kafka_consumer *consumer;
    struct err ignored;
    s->batch_bytes = BATCH_BYTES;
    if (kafka_consumer_open(&s->client, NULL, 0, NULL, &consumer, &ignored) != ERR_NONE) {
        return;
    }
    for (size_t i = 0; i < s->count; i++) {
        char limit[32] = "";
        int64_t most = 0;
        enum err_class cls = kafka_topic_setting(kafka_consumer_client(consumer), s->aggregations[i].topic,
                                                 "max.message.bytes", KAFKA_WAIT_US, limit, sizeof(limit), &ignored);
        if (cls != ERR_NONE || !str_to_int64(str_of(limit), &most)) {
            most = BATCH_BYTES;
        }
        s->aggregations[i].record_max = fault("CK9.limits") ? INT64_MAX : most - RECORD_OVERHEAD;
        most = most > 1 ? most : 1;
        s->batch_bytes = most < s->batch_bytes ? most : s->batch_bytes;
    }
    kafka_consumer_close(consumer);
}

/* ---- what a task asks for */

static const char *topic_of(const struct kafka_sink *s, const char *aggregation)
{
    for (size_t i = 0; i < s->given_count; i++) {
        if (strcmp(s->given[i].aggregation, aggregation) == 0) {
            return s->given[i].topic;
        }
    }
    return aggregation;
}

/* Not before the task has found that it may go on: who is refused must not have stopped the one that writes. */
static enum err_class own(struct sink *base, struct err *err)
{
    struct kafka_sink *s = kafka_of(base);
    enum err_class cls = kafka_claim_say(&s->claim, &s->client, s->state_topic, KAFKA_WAIT_US, err);
    cls = cls ? cls : kafka_sink_ready(s, err);
    for (int i = 1; cls == ERR_NONE && !s->claimed; i++) {
        cls = claim(s, err);
        if (cls == ERR_FATAL && err_exit_code(err) == EXIT_FENCED && i < KAFKA_CLAIM_TRIES) {
            cls = kafka_sink_ready(s, err); /* by whoever was there before, who sees our claim now */
        }
    }
    return cls;
}

static enum err_class prepare(struct sink *base, const struct result_schema *const *schemas, size_t count,
                              struct err *err)
{
    struct kafka_sink *s = kafka_of(base);
    enum err_class cls = schemas_check(schemas, count, err);
    if (cls != ERR_NONE) {
        return cls;
    }
    s->aggregations = xcalloc(count + 1, sizeof(*s->aggregations));
    s->count = count;
    for (size_t i = 0; i < count; i++) {
        s->aggregations[i] = (struct kafka_aggregation){.name = str_dup(str_of(schemas[i]->name)),
                                                        .topic = str_dup(str_of(topic_of(s, schemas[i]->name))),
                                                        .schema = schemas[i],
                                                        .shown = -1};
    }
    cls = topics_need(s, err);
    kafka_sink_limits(s);
    if (cls == ERR_NONE && s->member != NULL) { /* what our last run left open would hide what others write */
        cls = own(base, err);
    }
    return cls ? cls : kafka_sink_load(s, true, err);
}

static enum err_class generations(struct sink *base, size_t aggregation, struct arena *arena,
                                  const struct generation **ret_list, size_t *ret_count, int64_t *ret_shown,
                                  struct err *err)
{
    struct kafka_sink *s = kafka_of(base);
    enum err_class cls = s->claimed ? kafka_sink_ready(s, err) : ERR_NONE;
    if (cls != ERR_NONE) {
        return cls;
    }
    const struct kafka_aggregation *a = &s->aggregations[aggregation];
    struct generation *list = arena_alloc(arena, (a->generation_count + 1) * sizeof(*list));
    for (size_t i = 0; i < a->generation_count; i++) {
        list[i] = generation_copy(&a->generations[i], arena);
    }
    *ret_list = list;
    *ret_count = a->generation_count;
    *ret_shown = a->shown;
    return ERR_NONE;
}

static enum err_class put_shown(struct kafka_sink *s, const struct kafka_aggregation *a, int64_t generation,
                                int64_t deadline_us, struct err *err)
{
    char key[NAME_MAX_BYTES + 16];
    AUTO(buf) struct buf text = {0};
    snprintf(key, sizeof(key), "shown/%s", a->name);
    buf_addf(&text, "%lld", (long long)generation);
    return put_state(s, key, &text, deadline_us, err);
}

static enum err_class put_generation(struct kafka_sink *s, const struct kafka_aggregation *a,
                                     const struct generation *g, bool show, int64_t deadline_us, struct err *err)
{
    char key[NAME_MAX_BYTES + 48];
    AUTO(buf) struct buf text = {0};
    snprintf(key, sizeof(key), "generation/%s/%lld", a->name, (long long)g->number);
    kafka_generation_write(g, &text);
    enum err_class cls = put_state(s, key, &text, deadline_us, err);
    cls = cls || !show ? cls : put_shown(s, a, g->number, deadline_us, err);
    return cls ? cls : put_batch(s, deadline_us, err);
}

static enum err_class begin(struct sink *base, size_t aggregation, const struct generation *g, bool show,
                            struct err *err)
{
    struct kafka_sink *s = kafka_of(base);
    enum err_class cls = own(base, err);
    if (cls != ERR_NONE) {
        return cls;
    }
    int64_t deadline_us = clock_mono(&clock_real) + KAFKA_COMMIT_US;
    struct kafka_aggregation *a = &s->aggregations[aggregation];
    bool repeat = a->generation_count > 0 && generation_same(&a->generations[a->generation_count - 1], g);
    if (!repeat && g->number != (int64_t)a->generation_count) {
        return fenced(err, a->name, g->number, 0, "there is such a generation already");
    }
    cls = kafka_writer_begin(s->writer, err);
    cls = cls ? cls : put_generation(s, a, g, show, deadline_us, err);
    cls = cls ? cls : finish(s, deadline_us, err);
    if (cls != ERR_NONE) {
        spend(s);
        return cls;
    }
    kafka_generation_set(a, g);
    a->shown = show ? g->number : a->shown;
    return ERR_NONE;
}

static enum err_class refresh(struct sink *base, struct err *err)
{
    struct kafka_sink *s = kafka_of(base);
    if (s->member != NULL && kafka_member_joins(s->member) != s->joins) { /* thrown out: is there another one? */
        spend(s);
        s->joins = kafka_member_joins(s->member);
    }
    enum err_class cls = own(base, err); /* first: offsets of ours that are open are settled by that */
    if (cls != ERR_NONE || s->member == NULL) {
        return cls;
    }
    cls = kafka_member_settle(s->member, KAFKA_WAIT_US, err);
    return cls ? cls : kafka_sink_load(s, true, err);
}

static enum err_class line(struct sink *base, size_t aggregation, int64_t generation, uint32_t partition,
                           struct arena *arena, struct task_line *ret_line, bool *ret_found, struct err *err)
{
    struct kafka_sink *s = kafka_of(base);
    enum err_class cls = s->claimed ? kafka_sink_ready(s, err) : ERR_NONE;
    const struct kafka_lane *lane =
        cls ? NULL : kafka_lane_of(&s->aggregations[aggregation], generation, partition, false);
    *ret_found = lane != NULL;
    if (lane != NULL) {
        *ret_line = task_line_copy(&lane->line, arena);
    }
    return cls;
}

/* ---- commit */

static enum err_class lane_check(struct kafka_sink *s, const struct lane_commit *l, struct err *err)
{
    struct kafka_aggregation *a = &s->aggregations[l->aggregation];
    const struct kafka_lane *lane = kafka_lane_of(a, l->generation, l->partition, false);
    if (l->generation != (int64_t)a->generation_count - 1 && !fault("R15.generation_fence")) {
        return fenced(err, a->name, l->generation, l->partition, "this is not the last generation");
    }
    if ((lane ? lane->line.version : 0) != l->old_version && !fault("R11.version_fence")) {
        return fenced(err, a->name, l->generation, l->partition, "its line was moved");
    }
    return ERR_NONE;
}

static enum err_class put_row(struct kafka_sink *s, const struct lane_commit *l, const struct result_row *row,
                              struct buf *key, struct buf *value, int64_t deadline_us, struct err *err)
{
    const struct kafka_aggregation *a = &s->aggregations[l->aggregation];
    buf_clear(key);
    buf_clear(value);
    kafka_row_key(l, row, key);
    kafka_row_value(a, l, row, value);
    return kafka_poison_put(s, a, key, value, deadline_us, err);
}

static enum err_class put_lane(struct kafka_sink *s, const struct lane_commit *l, int64_t deadline_us, struct err *err)
{
    const struct kafka_aggregation *a = &s->aggregations[l->aggregation];
    AUTO(buf) struct buf key = {0}, value = {0};
    char name[NAME_MAX_BYTES + 64];
    enum err_class cls = ERR_NONE;
    for (size_t i = 0; i < l->row_count && cls == ERR_NONE; i++) {
        cls = put_row(s, l, &l->rows[i], &key, &value, deadline_us, err);
    }
    struct task_line line = l->line;
    line.version = l->old_version + 1;
    snprintf(name, sizeof(name), "line/%s/%lld/%u", a->name, (long long)l->generation, l->partition);
    buf_clear(&value);
    kafka_line_write(&line, &value);
    cls = cls ? cls : put_state(s, name, &value, deadline_us, err);
    return cls || !l->show ? cls : put_shown(s, a, l->generation, deadline_us, err);
}

static int64_t position_then(struct kafka_sink *s, const struct task_commit *commit, size_t aggregation, uint32_t p,
                             int64_t *replay_from)
{
    struct kafka_aggregation *a = &s->aggregations[aggregation];
    const struct kafka_lane *lane = kafka_lane_of(a, (int64_t)a->generation_count - 1, p, false);
    const struct task_line *line = lane == NULL ? NULL : &lane->line;
    for (size_t i = 0; i < commit->lane_count; i++) {
        const struct lane_commit *l = &commit->lanes[i];
        line = l->aggregation == aggregation && l->partition == p ? &l->line : line;
    }
    int64_t from = line == NULL ? 0 : line->replay_from;
    *replay_from = from < *replay_from ? from : *replay_from;
    return line == NULL ? 0 : line->position;
}

/* Of each partition in the commit the aggregation that is furthest behind. */
static enum err_class put_offsets(struct kafka_sink *s, const struct task_commit *commit, int64_t deadline_us,
                                  struct err *err)
{
    struct kafka_progress list[PARTITION_MAX];
    char metadata[PARTITION_MAX][48];
    size_t count = 0;
    bool seen[PARTITION_MAX] = {0};
    for (size_t i = 0; i < commit->lane_count; i++) {
        uint32_t p = commit->lanes[i].partition;
        int64_t position = INT64_MAX, replay_from = INT64_MAX;
        for (size_t n = 0; !seen[p] && n < s->count; n++) {
            int64_t at = position_then(s, commit, n, p, &replay_from);
            position = at < position ? at : position;
        }
        if (!seen[p]) {
            snprintf(metadata[count], sizeof(metadata[count]), "replay_from=%lld", (long long)replay_from);
            list[count] = (struct kafka_progress){(int32_t)p, position, metadata[count]};
            count++;
        }
        seen[p] = true;
    }
    if (s->member == NULL || count == 0 || fault("CK7.offsets")) {
        return ERR_NONE;
    }
    rd_kafka_consumer_group_metadata_t *group = kafka_member_metadata(s->member);
    if (group == NULL) {
        return err_set(err, ERR_RETRY, EXIT_UNAVAILABLE, "kafka: not a member of the group yet");
    }
    enum err_class cls =
        kafka_writer_offsets(s->writer, kafka_member_topic(s->member), list, count, group, deadline_us, err);
    rd_kafka_consumer_group_metadata_destroy(group);
    return cls;
}

static enum err_class transact(struct kafka_sink *s, const struct task_commit *commit, struct err *err)
{
    int64_t deadline_us = clock_mono(&clock_real) + KAFKA_COMMIT_US;
    enum err_class cls = kafka_writer_begin(s->writer, err);
    for (size_t i = 0; i < commit->lane_count && cls == ERR_NONE; i++) {
        cls = put_lane(s, &commit->lanes[i], deadline_us, err);
    }
    cls = cls ? cls : failpoint_err("kafka_sink.in_commit", err);
    cls = cls ? cls : put_batch(s, deadline_us, err);
    cls = cls ? cls : put_offsets(s, commit, deadline_us, err);
    return cls ? cls : finish(s, deadline_us, err);
}

static void apply(struct kafka_sink *s, const struct lane_commit *l)
{
    struct kafka_aggregation *a = &s->aggregations[l->aggregation];
    struct task_line line = l->line;
    line.version = l->old_version + 1;
    kafka_lane_set(kafka_lane_of(a, l->generation, l->partition, true), &line);
    a->shown = l->show ? l->generation : a->shown;
}

/* Is the commit whose outcome was not known there? Each of its lines then has the version that it would write. */
static bool is_there(struct kafka_sink *s, const struct task_commit *commit)
{
    bool there = s->tried != 0 && s->batch == s->tried && commit->lane_count > 0;
    for (size_t i = 0; i < commit->lane_count && there; i++) {
        const struct lane_commit *l = &commit->lanes[i];
        const struct kafka_lane *lane =
            kafka_lane_of(&s->aggregations[l->aggregation], l->generation, l->partition, false);
        there = lane != NULL && lane->line.version == l->old_version + 1;
    }
    s->tried = 0;
    return there;
}

static enum err_class commit(struct sink *base, const struct task_commit *commit, struct err *err)
{
    struct kafka_sink *s = kafka_of(base);
    enum err_class cls = own(base, err);
    if (cls != ERR_NONE) {
        return cls;
    }
    if (is_there(s, commit)) {
        diag_info("task", "the commit to \"%s\" that seemed to fail is there", s->state_topic);
        return ERR_NONE;
    }
    for (size_t i = 0; i < commit->lane_count; i++) {
        cls = lane_check(s, &commit->lanes[i], err);
        if (cls != ERR_NONE) {
            return cls;
        }
    }
    cls = transact(s, commit, err);
    if (cls != ERR_NONE) {
        spend(s);
        if (cls == ERR_REJECT) {
            return kafka_poison_refused(s, commit, err);
        }
        /* the next look says whether it is so; of several, whether the group has given the partitions to another */
        bool maybe = s->member == NULL && cls == ERR_FATAL && err_exit_code(err) == EXIT_FENCED;
        return maybe ? (err->cls = ERR_RETRY) : cls;
    }
    s->refusals = 0;
    for (size_t i = 0; i < commit->lane_count; i++) {
        apply(s, &commit->lanes[i]);
    }
    return ERR_NONE;
}

/* ---- life */

static void hurry(struct sink *base)
{
    atomic_store(&kafka_of(base)->hurry, true);
}

static void sink_close(struct sink *base)
{
    struct kafka_sink *s = kafka_of(base);
    if (s == NULL) {
        return;
    }
    spend(s);
    for (size_t i = 0; i < s->count; i++) {
        struct kafka_aggregation *a = &s->aggregations[i];
        for (size_t n = 0; n < a->lane_count; n++) {
            arena_fini(&a->lanes[n]->memory);
            free(a->lanes[n]);
        }
        free(a->lanes);
        free(a->generations);
        arena_fini(&a->memory);
        free(a->name);
        free(a->topic);
    }
    for (size_t i = 0; i < s->client.property_count; i++) {
        free(s->properties[i]);
    }
    free((void *)s->properties);
    free(s->aggregations);
    free(s->brokers);
    free(s->state_topic);
    free(s->transactional_id);
    free(s->claim_key);
    free(s->batch_key);
    free(s);
}

static char *key_of(const char *kind, const char *slash, const char *instance)
{
    struct buf key = {0};
    buf_addf(&key, "%s%s%s", kind, slash, instance);
    return key.ptr;
}

static const struct sink_ops kafka_ops = {
    .name = "kafka",
    .prepare = prepare,
    .generations = generations,
    .begin = begin,
    .own = own,
    .refresh = refresh,
    .line = line,
    .commit = commit,
    .hurry = hurry,
    .close = sink_close,
};

enum err_class sink_open_kafka(const struct sink_kafka_options *options, struct sink **ret_sink, struct err *err)
{
    (void)err;
    size_t count = options->client->property_count;
    struct kafka_sink *s = xcalloc(1, sizeof(*s));
    AUTO(buf) struct buf id = {0};
    s->base.ops = &kafka_ops;
    s->brokers = str_dup(str_of(options->client->brokers));
    s->state_topic = str_dup(str_of(options->state_topic));
    buf_addf(&id, "wikitally.stats.%s%s%s", options->state_topic, options->instance ? "." : "",
             options->instance ? options->instance : "");
    s->transactional_id = str_dup(buf_str(&id));
    s->properties = xcalloc(count + 1, sizeof(*s->properties));
    for (size_t i = 0; i < count; i++) {
        s->properties[i] = str_dup(str_of(options->client->properties[i]));
    }
    s->client = (struct kafka_options){s->brokers, (const char *const *)s->properties, count};
    s->create = options->create;
    s->replication = options->replication;
    s->retention_us = options->retention_us;
    s->given = options->topics;
    s->given_count = options->topic_count;
    const char *instance = options->instance == NULL ? "" : options->instance, *slash = *instance ? "/" : "";
    s->member = options->member;
    s->joins = s->member == NULL ? 0 : kafka_member_joins(s->member);
    s->claim_key = key_of("claim", slash, instance);
    s->batch_key = key_of("batch", slash, instance);
    kafka_claim_init(&s->claim, s->claim_key);
    *ret_sink = &s->base;
    return ERR_NONE;
}
