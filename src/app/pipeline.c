/* SPDX-License-Identifier: MIT
 *
 * pipeline.c - see pipeline.h.
 */
#include "app/pipeline.h"

#include "app/handover.h"
#include "app/ingest.h"
#include "app/ledger_view.h"
#include "app/stats_task.h"
#include "app/task_thread.h"
#include "base/diag.h"
#include "base/fault.h"
#include "kafka/client.h"
#include "serve/serve.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { POLL_US = 2000, RETRY_US = 200000, SETTLE_US = 1000000 };

struct pipeline {
    struct pipeline_options options;
    char *directory;
    struct journal *journal;
    struct ingest *ingest;
    struct source *source;
    struct task_thread *task;
    struct stats_task *stats; /* rows to topics; NULL: none */
    struct handover *handover;
    struct serve *serve;
    pthread_t source_thread;
    bool source_started;
    atomic_bool stopping;
    atomic_bool source_over;
    struct err source_err; /* written before source_over */
};

static enum err_class make_directory(const char *path, struct err *err)
{
    char *copy = str_dup(str_of(path));
    for (char *p = copy + 1;; p++) {
        if (*p != '/' && *p != 0)
            continue;
        char end = *p;
        *p = 0;
        if (mkdir(copy, 0700) != 0 && errno != EEXIST) {
            err_errno(err, ERR_FATAL, err_errno_code(errno, EXIT_CANTCREAT), errno,
                      "cannot make the data directory \"%s\"", copy);
            free(copy);
            return ERR_FATAL;
        }
        *p = end;
        if (end == 0)
            break;
    }
    free(copy);
    return ERR_NONE;
}

static bool has_role(const struct pipeline *p, int role)
{
    return p->options.roles == 0 || (p->options.roles & role) != 0;
}

/* Before anything is made for them. */
static enum err_class check_files(const struct source_spec *source, struct err *err)
{
    for (size_t i = 0; i < source->files.count; i++) {
        const char *path = source->files.items[i];
        if (strcmp(path, "-") != 0 && access(path, R_OK) != 0)
            return err_errno(err, ERR_FATAL, err_errno_code(errno, EXIT_NOINPUT), errno, "cannot open \"%s\"", path);
    }
    return ERR_NONE;
}

/* What Kafka does not answer is asked again: it may come with the same machine. */
static bool is_worth_waiting(struct pipeline *p, enum err_class cls, struct err *err, bool *said)
{
    if (cls != ERR_RETRY || (p->options.give_up && p->options.give_up(p->options.on_end_ctx)))
        return false;
    if (!*said)
        diag_error("kafka", "%s; trying again until it is there", err->text);
    *said = true;
    *err = (struct err){0};
    p->options.clock->sleep_us(p->options.clock, RETRY_US);
    return true;
}

/* A broker that is away at the start is waited for: it may come with the same machine. */
static enum err_class open_kafka(struct pipeline *p, const struct journal_options *options, struct err *err)
{
    enum err_class cls;
    bool said = false;
    diag_info("journal", "topic \"%s\" at %s, %s%s%s", options->kafka->topic, p->options.config->kafka.brokers,
              kafka_version(), kafka_version_note() ? ", " : "", kafka_version_note() ? kafka_version_note() : "");
    do
        cls = journal_open_kafka(options, &p->journal, err);
    while (is_worth_waiting(p, cls, err, &said));
    return cls;
}

static enum err_class open_journal(struct pipeline *p, struct err *err)
{
    const struct config *c = p->options.config;
    struct buf identity = {0};
    if (has_role(p, ROLE_INGEST))
        source_spec_identity(p->options.source, &identity);
    struct journal_options options = {
        .directory = p->directory,
        .source = identity.ptr,
        .partitions = has_role(p, ROLE_INGEST) ? (uint32_t)c->journal.partitions : 0,
        .max_bytes = c->journal.max_bytes,
        .adopt = p->options.adopt,
        .kafka = c->journal_kafka,
        .read_only = !has_role(p, ROLE_INGEST),
        .clock = p->options.clock,
    };
    enum err_class cls =
        c->journal_kafka ? open_kafka(p, &options, err) : journal_open_sqlite(&options, &p->journal, err);
    buf_fini(&identity);
    return cls;
}

static struct task_thread_options task_options(const struct pipeline *p, const char *name)
{
    const struct config *c = p->options.config;
    return (struct task_thread_options){
        .task = {.name = name,
                 .retention_us = c->journal.retention_age_us,
                 .commit_every_us = c->task.commit_every_us,
                 .max_pending_rows = (size_t)c->task.max_pending_rows,
                 .max_keys_total = c->task.max_keys_total,
                 .adopt = p->options.adopt,
                 .clock = p->options.clock},
        .journal = p->journal,
        .on_end = p->options.on_end,
        .on_end_ctx = p->options.on_end_ctx,
    };
}

static enum err_class start_stats(struct pipeline *p, struct err *err)
{
    const struct config *c = p->options.config;
    if (!has_role(p, ROLE_TASKS) || c->stats_topic_count == 0)
        return ERR_NONE;
    struct stats_task_options options = {c, p->directory, task_options(p, "stats")};
    return stats_task_start(&options, &p->stats, err);
}

static enum err_class start_task_once(struct pipeline *p, struct err *err)
{
    const struct config *c = p->options.config;
    bool predictable = !c->journal_kafka; /* the offsets of a batch, before it is written */
    p->handover = c->aggregation_count && predictable ? handover_new(journal_partitions(p->journal), 0, 0) : NULL;
    struct task_thread_options options = task_options(p, "results");
    options.task.aggregations = c->aggregations;
    options.task.aggregation_count = c->aggregation_count;
    options.task.handover = p->handover;
    struct sink_options sink = {.directory = p->directory, .task = "results", .clock = p->options.clock};
    enum err_class cls = sink_open_sqlite(&sink, &options.sink, err);
    return cls ? cls : task_thread_start(&options, &p->task, err);
}

/* The broker may have gone since the journal was opened. What else may be tried again is the directory's. */
static enum err_class start_task(struct pipeline *p, struct err *err)
{
    enum err_class cls;
    bool said = false, away = p->options.config->journal_kafka != NULL;
    if (!has_role(p, ROLE_TASKS))
        return ERR_NONE;
    do
        cls = start_task_once(p, err);
    while (away && err_exit_code(err) == EXIT_UNAVAILABLE && is_worth_waiting(p, cls, err, &said));
    return cls;
}

static void drain(struct pipeline *p)
{
    if (p->task)
        task_thread_drain(p->task);
    if (p->stats)
        stats_task_drain(p->stats);
}

/* R13: what any of them still needs. */
static void keep(void *pipeline, int64_t *ret_keep, uint32_t partitions)
{
    struct pipeline *p = pipeline;
    int64_t other[PARTITION_MAX];
    if (p->task)
        task_thread_keep(p->task, ret_keep, partitions);
    if (p->stats) {
        stats_task_keep(p->stats, other, partitions);
        for (uint32_t i = 0; i < partitions; i++)
            ret_keep[i] = other[i] < ret_keep[i] ? other[i] : ret_keep[i];
    }
}

static void *source_main(void *arg)
{
    struct pipeline *p = arg;
    struct err err = {0};
    bool ended = false;
    pthread_setname_np(pthread_self(), "source");
    enum err_class cls = p->source->ops->run(p->source, ingest_output(p->ingest), &ended, &err);
    if (cls && !atomic_load(&p->stopping)) {
        err_prefix(&err, "source");
        p->source_err = err;
    }
    while (!cls && ended && !atomic_load(&p->stopping) && journal_settle(p->journal, SETTLE_US, &err) == ERR_RETRY)
        p->options.clock->sleep_us(p->options.clock, RETRY_US);
    if (!cls && ended)
        drain(p);
    atomic_store(&p->source_over, true);
    if (p->options.on_end)
        p->options.on_end(p->options.on_end_ctx);
    return NULL;
}

static enum err_class start_source(struct pipeline *p, struct err *err)
{
    const struct config *c = p->options.config;
    if (!has_role(p, ROLE_INGEST))
        return ERR_NONE;
    struct ingest_options options = {
        .journal = p->journal,
        .retention_age_us = c->journal.retention_age_us,
        .retention_bytes = c->journal.retention_bytes,
        .release_when_full = c->journal.on_full == ON_FULL_RELEASE,
        .clock = p->options.clock,
        .stopping = &p->stopping,
        .keep = keep,
        .keep_ctx = p,
        .handover = p->handover,
    };
    enum err_class cls = ingest_new(&options, &p->ingest, err);
    if (!cls)
        cls = source_spec_open(p->options.source, c, p->journal, p->handover ? task_thread_fields(p->task) : NULL,
                               p->options.clock, &p->source, err);
    if (cls)
        return cls;
    if (pthread_create(&p->source_thread, NULL, source_main, p) != 0)
        return err_set(err, ERR_FATAL, EXIT_OSERR, "cannot start the source's thread");
    p->source_started = true;
    return ERR_NONE;
}

static void config_json(struct buf *out, void *ctx)
{
    config_show_json(ctx, out);
}

static enum err_class start_serve(struct pipeline *p, struct err *err)
{
    const struct config *c = p->options.config;
    if (!p->options.listen)
        return ERR_NONE;
    struct serve_options options = {
        .listen = p->options.listen,
        .hosts = (const char *const *)c->serve.hosts.items,
        .host_count = c->serve.hosts.count,
        .token = c->serve.token,
        .directory = p->directory,
        .journal = p->journal,
        .kafka = config_kafka_client(c),
        .topic = c->journal.topic,
        .web_dir = c->serve.web_dir,
        .delay_us = c->source.delay_us,
        .max_clients = (size_t)c->serve.max_clients,
        .config_json = config_json,
        .config_ctx = (void *)(uintptr_t)c,
        .clock = p->options.clock,
    };
    return serve_start(&options, &p->serve, err);
}

static void set_kind(struct status *s, void *spec)
{
    const struct source_spec *source = spec;
    s->kind = source->kind;
    snprintf(s->source_name, sizeof s->source_name, "%s",
             source->kind == SOURCE_KIND_LIVE                            ? source->url
             : source->kind == SOURCE_KIND_REPLAY && source->files.count ? source->files.items[0]
                                                                         : "synthetic");
}

static enum err_class check_ledger(const struct pipeline *p, struct err *err)
{
    struct journal_place place = config_place(p->options.config, p->directory);
    return ledger_view_check(&place, err);
}

static void pipeline_free(struct pipeline *p)
{
    serve_stop(p->serve);
    task_thread_free(p->task);
    stats_task_free(p->stats);
    if (p->source)
        p->source->ops->free(p->source);
    ingest_free(p->ingest);
    handover_free(p->handover);
    journal_close(p->journal);
    free(p->directory);
    free(p);
}

enum err_class pipeline_start(const struct pipeline_options *options, struct pipeline **ret_pipeline, struct err *err)
{
    struct pipeline *p = xcalloc(1, sizeof *p);
    p->options = *options;
    p->directory = str_dup(str_of(options->directory));
    status_change(set_kind, (void *)(uintptr_t)options->source);
    enum err_class cls = has_role(p, ROLE_INGEST) ? check_files(p->options.source, err) : ERR_NONE;
    if (!cls && options->roles != 0 && !options->config->journal_kafka &&
        !(has_role(p, ROLE_INGEST) && has_role(p, ROLE_TASKS)))
        cls = err_set(err, ERR_REJECT, EXIT_CONFIG,
                      "one role alone needs a journal that others reach: journal.kind kafka");
    if (!cls)
        cls = make_directory(p->directory, err);
    if (!cls)
        cls = open_journal(p, err);
    if (!cls)
        cls = check_ledger(p, err);
    if (!cls)
        cls = start_task(p, err);
    if (!cls)
        cls = start_stats(p, err);
    if (!cls)
        cls = start_serve(p, err);
    if (!cls)
        cls = start_source(p, err);
    if (cls) {
        pipeline_free(p);
        return cls;
    }
    *ret_pipeline = p;
    return ERR_NONE;
}

/* All of them, or one with an error. */
static bool tasks_ended(struct pipeline *p, struct err *ret_err)
{
    struct err other = {0};
    bool task = !p->task || task_thread_ended(p->task, ret_err);
    bool stats = !p->stats || stats_task_ended(p->stats, &other);
    if (other.cls)
        *ret_err = other;
    return (task && stats) || (task && ret_err->cls) || other.cls;
}

enum pipeline_state pipeline_poll(struct pipeline *p, struct err *ret_err)
{
    if (p->task && tasks_ended(p, ret_err))
        return ret_err->cls ? PIPELINE_FAILED : PIPELINE_ENDED;
    if (!p->source_started || !atomic_load(&p->source_over))
        return PIPELINE_RUNNING;
    if (p->source_err.cls) {
        *ret_err = p->source_err;
        return PIPELINE_FAILED;
    }
    return p->task ? PIPELINE_RUNNING : PIPELINE_ENDED;
}

int64_t pipeline_received(struct pipeline *p)
{
    return p->ingest ? ingest_journalled(p->ingest) : 0;
}

const char *pipeline_address(struct pipeline *p)
{
    return p->serve ? serve_address(p->serve) : NULL;
}

void pipeline_retune(struct pipeline *p)
{
    const struct config *c = p->options.config;
    if (p->ingest)
        ingest_retune(p->ingest, c->journal.retention_age_us, c->journal.retention_bytes,
                      c->journal.on_full == ON_FULL_RELEASE);
    if (p->task)
        task_thread_retune(p->task, c->task.commit_every_us);
    if (p->stats)
        stats_task_retune(p->stats, c->task.commit_every_us);
    if (p->serve)
        serve_retune(p->serve, (size_t)c->serve.max_clients);
}

enum err_class pipeline_stop(struct pipeline *p, int64_t deadline_us, struct err *err)
{
    enum err_class cls = ERR_NONE;
    struct clock *clock = p->options.clock;
    atomic_store(&p->stopping, true);
    if (p->source_started) {
        p->source->ops->stop(p->source);
        pthread_join(p->source_thread, NULL);
        if (p->source_err.cls) {
            *err = p->source_err;
            cls = err->cls;
        }
    }
    (void)failpoint("pipeline.source_stopped");
    struct err task_err = {0};
    bool over = !p->task;
    drain(p);
    while (!over && !(over = tasks_ended(p, &task_err)) && clock_mono(clock) < deadline_us)
        clock->sleep_us(clock, POLL_US);
    if (!over) {
        diag_warn("task", "the task is still behind the journal; it goes on there at the next start");
        task_thread_stop(p->task);
        if (p->stats)
            stats_task_stop(p->stats);
    } else if (task_err.cls && !cls) {
        *err = task_err;
        cls = err->cls;
    }
    pipeline_free(p);
    return cls;
}
