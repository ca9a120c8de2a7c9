/* SPDX-License-Identifier: MIT
 *
 * kafka_open.c - the journal on Kafka: its topics, whose journal it is, and taking it over.
 */
#include "base/clock.h"
#include "base/diag.h"
#include "journal/kafka.h"
#include "journal/lock.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { RECORD_OVERHEAD = 4096 };

/* ---- where it is */

static char *suffixed(const char *topic, const char *suffix)
{
    AUTO(buf) struct buf name = {0};
    buf_addz(&name, topic);
    buf_addz(&name, suffix);
    return str_dup(buf_str(&name));
}

void kafka_place_init(struct kafka_place *p, const struct journal_kafka *options)
{
    size_t count = options->client->property_count;
    *p = (struct kafka_place){.options = *options,
                              .brokers = str_dup(str_of(options->client->brokers)),
                              .topic = str_dup(str_of(options->topic)),
                              .group = str_dup(str_of(options->group ? options->group : "wikitally")),
                              .state_topic = suffixed(options->topic, ".state"),
                              .dead_topic = suffixed(options->topic, ".dead"),
                              .compression = options->compression ? str_dup(str_of(options->compression)) : NULL,
                              .properties = xcalloc(count + 1, sizeof(*p->properties))};
    for (size_t i = 0; i < count; i++) {
        p->properties[i] = str_dup(str_of(options->client->properties[i]));
    }
    p->client = (struct kafka_options){p->brokers, (const char *const *)p->properties, count};
    p->options.client = &p->client;
    p->options.topic = p->topic;
    p->options.group = p->group;
    p->options.compression = p->compression;
}

void kafka_place_fini(struct kafka_place *p)
{
    for (size_t i = 0; p->properties != NULL && p->properties[i] != NULL; i++) {
        free(p->properties[i]);
    }
    free((void *)p->properties);
    free(p->brokers);
    free(p->topic);
    free(p->group);
    free(p->state_topic);
    free(p->dead_topic);
    free(p->compression);
}

/* ---- topics */

static enum err_class topic_need(struct kafka_journal *j, struct kafka_client *client, const char *name,
                                 const struct kafka_topic_options *options, struct kafka_topic *ret_topic,
                                 bool *ret_made, struct err *err)
{
    *ret_made = false;
    enum err_class cls = kafka_topic_look(client, name, KAFKA_WAIT_US, ret_topic, err);
    if (cls != ERR_NONE || ret_topic->exists) {
        return cls;
    }
    if (!j->place.options.create) {
        return err_set(err, ERR_REJECT, EXIT_CONFIG,
                       "there is no topic \"%s\" at %s, and journal.create_topics is false; make it with %d partitions",
                       name, j->place.brokers, (int)options->partitions);
    }
    cls = kafka_topic_make(client, options, 2 * KAFKA_WAIT_US, err);
    *ret_made = cls == ERR_NONE;
    if (*ret_made) {
        diag_info("journal", "made topic \"%s\" with %d partitions", name, (int)options->partitions);
    }
    return cls ? cls : kafka_topic_look(client, name, KAFKA_WAIT_US, ret_topic, err);
}

static enum err_class data_topic(struct kafka_journal *j, struct kafka_client *client, uint32_t partitions,
                                 struct kafka_topic *ret_topic, struct err *err)
{
    char age[32], bytes[32], limit[32];
    bool made;
    const struct journal_kafka *o = &j->place.options;
    int64_t share = partitions > 0 && o->retention_bytes > 0 ? o->retention_bytes / partitions : -1;
    snprintf(age, sizeof(age), "%lld", (long long)(o->retention_age_us > 0 ? o->retention_age_us / US_PER_MS : -1));
    snprintf(bytes, sizeof(bytes), "%lld", (long long)share);
    const struct kafka_setting settings[] = {{"cleanup.policy", "delete"},
                                             {"retention.ms", age},
                                             {"retention.bytes", bytes},
                                             {"message.timestamp.type", "CreateTime"}};
    struct kafka_topic_options options = {j->place.topic, (int32_t)partitions, (int32_t)o->replication, settings, 4};
    enum err_class cls = topic_need(j, client, j->place.topic, &options, ret_topic, &made, err);
    cls = cls ? cls
              : kafka_topic_setting(client, j->place.topic, "max.message.bytes", KAFKA_WAIT_US, limit, sizeof(limit),
                                    err);
    int64_t most = 0;
    if (cls == ERR_NONE && str_to_int64(str_of(limit), &most) && most > 0) {
        j->batch_max = most - RECORD_OVERHEAD; /* the limit is that of a batch */
        most -= RECORD_OVERHEAD + POSITION_HEADER_MAX;
        j->base.record_max = most < RECORD_MAX_BYTES ? most : RECORD_MAX_BYTES;
    }
    return cls;
}

static enum err_class side_topics(struct kafka_journal *j, struct kafka_client *client, bool *ret_new, struct err *err)
{
    static const struct kafka_setting state[] = {{"cleanup.policy", "compact"},
                                                 {"segment.ms", "600000"},
                                                 {"segment.bytes", "8388608"},
                                                 {"min.cleanable.dirty.ratio", "0.2"},
                                                 {"max.message.bytes", "4194304"}};
    static const struct kafka_setting dead[] = {
        {"cleanup.policy", "delete"}, {"retention.ms", "-1"}, {"max.message.bytes", "14680064"}};
    int32_t replication = (int32_t)j->place.options.replication;
    struct kafka_topic_options of_state = {j->place.state_topic, 1, replication, state, 5};
    struct kafka_topic_options of_dead = {j->place.dead_topic, 1, replication, dead, 3};
    struct kafka_topic topic;
    bool made;
    enum err_class cls = topic_need(j, client, j->place.state_topic, &of_state, &topic, ret_new, err);
    return cls ? cls : topic_need(j, client, j->place.dead_topic, &of_dead, &topic, &made, err);
}

/* More of them than there are: made. Fewer: as it is. */
static enum err_class partitions_add(struct kafka_journal *j, struct kafka_client *client, uint32_t wanted,
                                     struct kafka_topic *topic, struct err *err)
{
    if (topic->partitions >= (int32_t)wanted) {
        return ERR_NONE;
    }
    if (!j->place.options.create) {
        return err_set(
            err, ERR_REJECT, EXIT_CONFIG,
            "topic \"%s\" has %d partitions, journal.partitions wants %u, and journal.create_topics is false",
            j->place.topic, (int)topic->partitions, wanted);
    }
    return kafka_topic_grow(client, j->place.topic, (int32_t)wanted, 2 * KAFKA_WAIT_US, topic, err);
}

static enum err_class topics_ready(struct kafka_journal *j, const struct journal_options *options, struct err *err)
{
    struct kafka_topic data = {0};
    struct kafka_consumer *consumer;
    bool fresh;
    uint32_t wanted = options->partitions == 0 ? 1 : options->partitions;
    enum err_class cls = kafka_journal_consumer(j, &consumer, err);
    if (cls != ERR_NONE) {
        return cls;
    }
    struct kafka_client *client = kafka_consumer_client(consumer);
    /* the topic last: who sees it without the others takes it for a foreign one */
    cls = side_topics(j, client, &fresh, err);
    cls = cls ? cls : data_topic(j, client, wanted, &data, err);
    cls = cls ? cls : partitions_add(j, client, wanted, &data, err);
    kafka_consumer_close(consumer);
    if (cls == ERR_NONE && data.partitions > PARTITION_MAX) {
        cls = err_set(err, ERR_REJECT, EXIT_CONFIG, "topic \"%s\" has %d partitions; a journal has at most %d",
                      j->place.topic, (int)data.partitions, PARTITION_MAX);
    }
    j->base.info.partitions = (uint32_t)data.partitions;
    return cls;
}

/* Says who we are with a transaction of our own, which whoever was there before sees. */
static enum err_class claim(struct kafka_journal *j, bool with_journal, struct err *err)
{
    int64_t deadline_us = clock_mono(&clock_real) + KAFKA_APPEND_US;
    const struct kafka_state_writer w = {j->writer, j->place.state_topic, deadline_us};
    enum err_class cls = kafka_writer_begin(j->writer, err);
    cls = cls || !with_journal ? cls : kafka_state_put_journal(&w, &j->base.info, j->version, err);
    cls = cls || !j->anew ? cls : kafka_state_forget(&w, &j->state, err);
    for (uint32_t p = 0; p < j->base.info.partitions; p++) {
        j->before[p] = j->offsets[p] + 1;
    }
    cls = cls ? cls
              : kafka_state_put_batch(&w, j->state.batch + 1, j->claim.owner, j->before, j->base.info.partitions, err);
    cls = cls ? cls : kafka_writer_commit(j->writer, deadline_us, err);
    if (cls == ERR_NONE) {
        j->last = ++j->state.batch;
    } else {
        kafka_writer_close(TAKE(j->writer));
    }
    return cls;
}

/* Who was there before may fence us once more, and sees our claim then. */
static enum err_class claim_until_it_holds(struct kafka_journal *j, bool with_journal, struct err *err)
{
    enum err_class cls = ERR_NONE;
    bool again = true;
    for (int i = 1; again; i++) {
        cls = kafka_journal_ready(j, err);
        again = cls == ERR_NONE;
        cls = cls ? cls : claim(j, with_journal, err);
        again = again && cls == ERR_FATAL && err_exit_code(err) == EXIT_FENCED && i < KAFKA_CLAIM_TRIES;
    }
    return cls;
}

/* What others have written, or a program before, keeps to the rules of then. */
static int64_t version_of(const struct kafka_journal *j)
{
    int64_t version = KAFKA_VERSION;
    if (j->state.found && !j->anew) {
        return j->state.version;
    }
    for (uint32_t p = 0; p < j->base.info.partitions; p++) {
        version = j->offsets[p] >= 0 ? 1 : version;
    }
    return version;
}

/* The journal that the state names, or a new one. *ret_changed: the state has to be told. */
static enum err_class identity(struct kafka_journal *j, const struct journal_options *options, bool *ret_changed,
                               struct err *err)
{
    struct journal_info *info = &j->base.info, found = j->state.info;
    uint32_t partitions = info->partitions;
    j->version = version_of(j);
    *ret_changed = !j->state.found;
    if (!j->state.found || j->anew) { /* what the state says is of another topic then */
        struct journal_options wanted = *options;
        wanted.partitions = partitions;
        enum err_class cls = journal_info_new(&wanted, info, err);
        info->sparse = true;
        info->epoch = j->anew ? found.epoch + 1 : 0;
        *ret_changed = true;
        return cls;
    }
    struct journal_options wanted = *options;
    wanted.partitions = 0; /* as many as the topic has */
    enum err_class cls = journal_info_check(&found, &wanted, err);
    *info = found;
    info->partitions = partitions;
    info->epoch += options->adopt;
    info->sparse = true;
    *ret_changed = options->adopt || found.partitions != partitions;
    return cls;
}

/* Is the topic the one that the state speaks of? Topics can be deleted and made anew; what ends before the place where
 * it ended is not the same. And nobody writes into what others have written. */
static enum err_class topic_check(struct kafka_journal *j, bool adopt, struct err *err)
{
    for (uint32_t p = 0; p < j->base.info.partitions; p++) {
        int64_t end = j->offsets[p] + 1;
        if (!j->state.found && end > 0 && !adopt) {
            return err_set(
                err, ERR_REJECT, EXIT_CONFIG,
                "topic \"%s\" holds records that are not ours; to write behind them all the same, start once "
                "with --adopt, or choose another journal.topic",
                j->place.topic);
        }
        if (!j->state.found || end >= j->state.ends[p]) {
            continue;
        }
        j->anew = true;
        if (!adopt) {
            return err_set(
                err, ERR_REJECT, EXIT_CONFIG,
                "partition %u of topic \"%s\" ends at %lld and ended at %lld before: it was deleted and made "
                "anew, or is of another cluster; to begin a new journal in it, start once with --adopt",
                p, j->place.topic, (long long)end, (long long)j->state.ends[p]);
        }
    }
    return ERR_NONE;
}

/* What a run before left waiting: written before anything else, if nobody wrote since; else it is of no use. */
static enum err_class spool_settle(struct kafka_journal *j, const struct journal_options *options, struct err *err)
{
    AUTO(arena) struct arena arena = {0};
    struct spooled first;
    j->last = j->state.batch;
    if (options->directory == NULL || j->place.options.spool_bytes <= 0) {
        return ERR_NONE;
    }
    enum err_class cls = kafka_spool_open(options->directory, j->place.options.spool_bytes, &j->spool, err);
    if (cls != ERR_NONE || kafka_spool_count(j->spool) == 0) {
        return cls;
    }
    cls = kafka_spool_first(j->spool, &arena, &first, err);
    if (cls != ERR_NONE) {
        return cls;
    }
    if (strcmp(first.owner, j->state.owner) != 0 || first.number > j->state.batch + 1 || options->adopt) {
        diag_warn("journal",
                  "%zu batches that waited for the broker are dropped: the topic was written since; the source "
                  "brings them again",
                  kafka_spool_count(j->spool));
        return kafka_spool_discard(j->spool, err);
    }
    diag_info("journal", "%zu batches waited for the broker", kafka_spool_count(j->spool));
    j->last = j->state.batch + (int64_t)kafka_spool_count(j->spool);
    return kafka_journal_drain(j, INT64_MAX, err);
}

static enum err_class open_to_write(struct kafka_journal *j, const struct journal_options *options, struct err *err)
{
    bool changed;
    enum err_class cls = topics_ready(j, options, err);
    cls = cls ? cls : kafka_journal_ready(j, err);
    cls = cls ? cls : topic_check(j, options->adopt, err);
    cls = cls ? cls : identity(j, options, &changed, err);
    cls = cls ? cls : kafka_claim_say(&j->claim, &j->place.client, j->place.state_topic, KAFKA_WAIT_US, err);
    cls = cls ? cls : spool_settle(j, options, err);
    cls = cls ? cls : claim_until_it_holds(j, changed, err);
    for (uint32_t p = 0; cls == ERR_NONE && p < j->base.info.partitions; p++) {
        j->ends[p] = 0; /* what was there before: as the log says */
    }
    return cls;
}

static enum err_class open_to_read(struct kafka_journal *j, const struct journal_options *options, struct err *err)
{
    struct journal_reader *reader = NULL;
    enum err_class cls = journal_reader_open_kafka(options->kafka, &reader, err);
    cls = cls ? cls : journal_reader_info(reader, &j->base.info, err);
    if (cls == ERR_REJECT && err_exit_code(err) == EXIT_NOINPUT) { /* who makes it may come later */
        err->cls = cls = ERR_RETRY;
        err->code = EXIT_UNAVAILABLE;
    }
    journal_reader_close(reader);
    return cls ? cls : journal_info_check(&j->base.info, options, err);
}

static enum err_class retain(struct journal *j, const struct journal_retention *r, int64_t *ret_removed,
                             struct err *err)
{
    (void)j, (void)r, (void)ret_removed, (void)err; /* the broker does that, by the topic's settings */
    return ERR_NONE;
}

static enum err_class skip(struct journal *j, uint32_t partition, int64_t offset, struct err *err)
{
    (void)j, (void)partition, (void)offset;
    return err_set(err, ERR_REJECT, EXIT_USAGE, "records of a Kafka topic cannot be taken out");
}

/* ---- life */

static void kafka_close(struct journal *base)
{
    struct kafka_journal *j = kafka_of(base);
    kafka_journal_leave(j);
    kafka_writer_close(j->writer);
    buf_fini(&j->position);
    kafka_spool_close(j->spool);
    kafka_state_fini(&j->state);
    kafka_place_fini(&j->place);
    if (j->lock_fd >= 0) {
        close(j->lock_fd);
    }
    journal_fini(base);
    free(j);
}

static const struct journal_ops kafka_ops = {
    .close = kafka_close,
    .append = kafka_journal_append,
    .retain = retain,
    .settle = kafka_journal_settle,
    .dead_retried = kafka_journal_dead_retried,
    .skip = skip,
    .reader = kafka_reader_new,
};

enum err_class journal_open_kafka(const struct journal_options *options, struct journal **ret_journal, struct err *err)
{
    struct err own = {0}, *e = err ? err : &own;
    struct kafka_journal *j = xcalloc(1, sizeof(*j));
    journal_init(&j->base, &kafka_ops);
    kafka_place_init(&j->place, options->kafka);
    kafka_state_init(&j->state);
    j->clock = options->clock;
    j->read_only = options->read_only;
    j->lock_fd = -1;
    j->newest_arrival_us = TIME_NONE;
    j->folded_minute = INT64_MIN / 2;
    kafka_claim_init(&j->claim, STATE_CLAIM);
    enum err_class cls = options->directory == NULL ? ERR_NONE : lock_take(options->directory, &j->lock_fd, e);
    cls = cls ? cls : options->read_only ? open_to_read(j, options, e) : open_to_write(j, options, e);
    if (cls != ERR_NONE) {
        kafka_close(&j->base);
        return cls;
    }
    *ret_journal = &j->base;
    return ERR_NONE;
}
