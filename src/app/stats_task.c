/* SPDX-License-Identifier: MIT
 *
 * stats_task.c - see stats_task.h.
 */
#include "app/stats_task.h"

#include "base/diag.h"
#include "base/hash.h"
#include "kafka/member.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { AGAIN_US = 200000 };

struct stats_task {
    const struct config *config;
    char *directory;
    struct task_thread_options options;
    struct aggregation_options *aggregations; /* those with a topic */
    struct sink_kafka_options sink;
    pthread_t starter;
    bool trying; /* the starter was made */
    atomic_bool give_up;
    pthread_mutex_t lock;       /* of what follows */
    struct task_thread *thread; /* NULL: not yet */
    bool drain;
    struct err err; /* why it will never */
};

/* Who we are among several: as configured, or what was made once and is in the data directory. */
static enum err_class instance_name(const struct stats_task *t, struct buf *out, struct err *err)
{
    char text[64] = "";
    AUTO(buf) struct buf path = {0};
    if (*t->config->kafka.instance) {
        buf_add(out, str_of(t->config->kafka.instance));
        return ERR_NONE;
    }
    buf_addf(&path, "%s/instance", t->directory);
    enum err_class cls = ERR_NONE;
    FILE *file = fopen(path.ptr, "re");
    if (!file) {
        snprintf(text, sizeof text, "%016llx", (unsigned long long)hash_random_seed());
        file = fopen(path.ptr, "wxe");
        if (!file || fprintf(file, "%s\n", text) < 0 || fflush(file) != 0 || fsync(fileno(file)) != 0)
            cls = err_errno(err, ERR_FATAL, err_errno_code(errno, EXIT_CANTCREAT), errno, "cannot write \"%s\"",
                            path.ptr);
    } else if (!fgets(text, sizeof text, file) || strcspn(text, "\n") != 16) {
        cls = err_set(err, ERR_REJECT, EXIT_DATA, "\"%s\" is not what was written there: remove it", path.ptr);
    }
    if (file)
        fclose(file);
    buf_add(out, str_n(text, strcspn(text, "\n")));
    return cls;
}

/* The task's instances share the partitions where all of them can write to what it fills, and read the journal. */
static enum err_class join(const struct stats_task *t, const char *instance, struct kafka_member **ret_member,
                           struct err *err)
{
    const struct config *c = t->config;
    AUTO(buf) struct buf group = {0};
    buf_addf(&group, "%s.%s", c->kafka.group, c->stats.state_topic);
    struct kafka_member_options options = {.kafka = config_kafka_client(c),
                                           .group = group.ptr,
                                           .topic = c->journal_kafka->topic,
                                           .instance = c->kafka.static_membership ? instance : NULL};
    return kafka_member_open(&options, ret_member, err);
}

/* Once. Takes no lock while it waits for the cluster. */
static enum err_class try_start(struct stats_task *t, struct err *err)
{
    AUTO(buf) struct buf instance = {0};
    struct task_thread_options options = t->options;
    struct sink_kafka_options sink = t->sink;
    struct task_thread *thread = NULL;
    enum err_class cls = ERR_NONE;
    if (t->config->journal_kafka) {
        cls = instance_name(t, &instance, err);
        cls = cls ? cls : join(t, instance.ptr, &options.member, err);
        sink.instance = instance.ptr;
        sink.member = options.member;
    }
    cls = cls ? cls : sink_open_kafka(&sink, &options.sink, err);
    cls = cls ? cls : task_thread_start(&options, &thread, err);
    if (cls)
        return cls;
    pthread_mutex_lock(&t->lock);
    t->thread = thread;
    task_thread_retune(thread, t->options.task.commit_every_us); /* it may have changed meanwhile */
    if (t->drain)
        task_thread_drain(thread);
    pthread_mutex_unlock(&t->lock);
    return ERR_NONE;
}

static void *starter_main(void *arg)
{
    struct stats_task *t = arg;
    struct clock *clock = t->options.task.clock;
    struct err err = {0};
    enum err_class cls = ERR_RETRY;
    pthread_setname_np(pthread_self(), "stats");
    while (cls == ERR_RETRY && !atomic_load(&t->give_up)) {
        clock->sleep_us(clock, AGAIN_US);
        err = (struct err){0};
        cls = try_start(t, &err);
    }
    if (cls && cls != ERR_RETRY) {
        pthread_mutex_lock(&t->lock);
        t->err = err;
        pthread_mutex_unlock(&t->lock);
        if (t->options.on_end)
            t->options.on_end(t->options.on_end_ctx);
    } else if (!cls) {
        diag_info("task", "%s: the brokers answer", t->options.task.name);
    }
    return NULL;
}

/* The aggregations that name a topic. */
static void choose(struct stats_task *t)
{
    const struct config *c = t->config;
    size_t count = 0;
    t->aggregations = xcalloc(c->stats_topic_count, sizeof *t->aggregations);
    for (size_t i = 0; i < c->aggregation_count && count < c->stats_topic_count; i++)
        if (strcmp(c->stats_topics[count].aggregation, c->aggregations[i].name) == 0)
            t->aggregations[count++] = c->aggregations[i];
    t->options.task.aggregations = t->aggregations;
    t->options.task.aggregation_count = count;
}

enum err_class stats_task_start(const struct stats_task_options *options, struct stats_task **ret_task, struct err *err)
{
    const struct config *c = options->config;
    struct stats_task *t = xcalloc(1, sizeof *t);
    t->config = c;
    t->directory = str_dup(str_of(options->directory));
    t->options = options->thread;
    t->sink = (struct sink_kafka_options){.client = config_kafka_client(c),
                                          .state_topic = c->stats.state_topic,
                                          .topics = c->stats_topics,
                                          .topic_count = c->stats_topic_count,
                                          .create = c->stats.create_topics,
                                          .replication = c->stats.replication,
                                          .retention_us = c->journal.retention_age_us};
    pthread_mutex_init(&t->lock, NULL);
    choose(t);
    enum err_class cls = try_start(t, err);
    if (cls == ERR_RETRY) {
        diag_error("task", "%s: %s; trying again until it is there", t->options.task.name, err->text);
        *err = (struct err){0};
        t->trying = pthread_create(&t->starter, NULL, starter_main, t) == 0;
        cls = t->trying ? ERR_NONE : err_set(err, ERR_FATAL, EXIT_OSERR, "cannot start a thread for rows to topics");
    }
    if (cls) {
        stats_task_free(t);
        return cls;
    }
    *ret_task = t;
    return ERR_NONE;
}

void stats_task_drain(struct stats_task *t)
{
    pthread_mutex_lock(&t->lock);
    t->drain = true;
    if (t->thread)
        task_thread_drain(t->thread);
    pthread_mutex_unlock(&t->lock);
}

void stats_task_stop(struct stats_task *t)
{
    atomic_store(&t->give_up, true);
    pthread_mutex_lock(&t->lock);
    if (t->thread)
        task_thread_stop(t->thread);
    pthread_mutex_unlock(&t->lock);
}

bool stats_task_ended(struct stats_task *t, struct err *ret_err)
{
    pthread_mutex_lock(&t->lock);
    bool refused = t->err.cls != ERR_NONE;
    if (refused)
        *ret_err = t->err;
    bool ended = refused || (t->thread && task_thread_ended(t->thread, ret_err));
    pthread_mutex_unlock(&t->lock);
    return ended;
}

void stats_task_retune(struct stats_task *t, int64_t commit_every_us)
{
    pthread_mutex_lock(&t->lock);
    t->options.task.commit_every_us = commit_every_us;
    if (t->thread)
        task_thread_retune(t->thread, commit_every_us);
    pthread_mutex_unlock(&t->lock);
}

void stats_task_keep(struct stats_task *t, int64_t *ret_keep, uint32_t partitions)
{
    pthread_mutex_lock(&t->lock);
    if (t->thread) {
        task_thread_keep(t->thread, ret_keep, partitions);
    } else {
        memset(ret_keep, 0, partitions * sizeof *ret_keep);
    }
    pthread_mutex_unlock(&t->lock);
}

void stats_task_free(struct stats_task *t)
{
    if (!t)
        return;
    stats_task_stop(t);
    if (t->trying)
        pthread_join(t->starter, NULL);
    task_thread_free(t->thread);
    pthread_mutex_destroy(&t->lock);
    free(t->aggregations);
    free(t->directory);
    free(t);
}
