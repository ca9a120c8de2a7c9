/* SPDX-License-Identifier: MIT
 *
 * task_thread.c - see task_thread.h. Two threads: the task reads and counts while the one before its commits is stored
 * by the other. A sink that cannot take a commit for now (busy, full) is tried again with growing pauses; the task
 * keeps its rows, reads no further than the next commit, and retention keeps its records.
 */
#include "app/task_thread.h"

#include "base/diag.h"
#include "base/fault.h"
#include "base/metrics.h"
#include "kafka/member.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { LOOK_US = 5000000 };
enum { READ_AT_ONCE = 4096, WORTH_ROWS = 8192 };
enum { WAIT_MIN_US = 1000, WAIT_MAX_US = 1000000, RETRY_MIN_US = 100000, RETRY_MAX_US = 10000000 };
enum wanted { WANT_RUN, WANT_DRAIN, WANT_STOP };

enum store_state { STORE_IDLE, STORE_ASKED, STORE_DONE, STORE_STOP };

/* A commit on its way to the sink. */
struct store {
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum store_state state;
    enum err_class cls; /* once DONE */
    struct err err;
};

/* As one of several. */
struct group {
    struct kafka_member *member; /* NULL: alone */
    bool owned[PARTITION_MAX];
    bool joined;      /* there was an assignment */
    bool changed;     /* the task has to be told */
    int64_t again_us; /* when it could not be: not before then */
    struct err err;   /* of an event */
};

struct task_thread {
    struct group group;
    struct task *task;
    struct store store;
    struct journal *journal;
    struct journal_reader *reader;
    uint32_t partitions; /* to be looked at */
    int64_t looked_us;
    struct sink *sink;
    struct clock *clock;
    _Atomic int64_t commit_every_us;
    const char *name;
    pthread_t thread;
    bool started;
    atomic_int wanted;
    atomic_bool ended;
    struct err err; /* written by the thread before `ended` */
    void (*on_end)(void *ctx);
    void *on_end_ctx;
};

/* A topic can be given more by others, while we read it. */
static enum err_class partitions_look(struct task_thread *t, struct err *err)
{
    struct journal_info info = {0};
    int64_t now_us = clock_mono(t->clock);
    if (!journal_sparse(t->journal)) {
        t->partitions = journal_partitions(t->journal);
    } else if (t->group.member) {
        t->partitions = PARTITION_MAX;
    } else if (t->partitions == 0 || now_us - t->looked_us > LOOK_US) {
        enum err_class cls = journal_reader_info(t->reader, &info, err);
        if (cls)
            return cls;
        t->partitions = info.partitions;
        t->looked_us = now_us;
    }
    return ERR_NONE;
}

/* Reads a bounded number of records of each partition. *ret_any: whether there were any. */
static enum err_class read_some(struct task_thread *t, bool *ret_any, struct err *err)
{
    *ret_any = false;
    enum err_class grown = partitions_look(t, err);
    if (grown)
        return grown;
    for (uint32_t p = 0; p < t->partitions; p++) {
        size_t read = 0;
        enum err_class cls = task_read(t->task, p, READ_AT_ONCE, &read, err);
        if (cls)
            return cls;
        *ret_any |= read > 0;
    }
    return *ret_any ? ERR_NONE : task_tail(t->task, err);
}

/* Pauses at most pause_us, less when asked to stop. */
static void pause_for(struct task_thread *t, int64_t pause_us)
{
    for (int64_t slept = 0; slept < pause_us && atomic_load(&t->wanted) != WANT_STOP; slept += RETRY_MIN_US)
        t->clock->sleep_us(t->clock, RETRY_MIN_US);
}

/* ---- storing */

static enum err_class store_now(struct task_thread *t, struct err *err)
{
    int64_t began = clock_mono(t->clock);
    enum err_class cls = task_commit_store(t->task, err);
    char label[32];
    snprintf(label, sizeof label, "sink=\"%s\"", t->sink->ops->name);
    metric_observe(METRIC_SINK_FLUSH, label, (double)(clock_mono(t->clock) - began) / 1e6);
    return cls;
}

static void *store_main(void *arg)
{
    struct task_thread *t = arg;
    struct store *s = &t->store;
    pthread_setname_np(pthread_self(), "store");
    pthread_mutex_lock(&s->lock);
    while (s->state != STORE_STOP) {
        if (s->state != STORE_ASKED) {
            pthread_cond_wait(&s->changed, &s->lock);
            continue;
        }
        pthread_mutex_unlock(&s->lock);
        struct err err = {0};
        enum err_class cls = store_now(t, &err);
        pthread_mutex_lock(&s->lock);
        s->cls = cls;
        s->err = err;
        s->state = s->state == STORE_STOP ? STORE_STOP : STORE_DONE;
        pthread_cond_broadcast(&s->changed);
        journal_wake(t->journal);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static void store_tell(struct task_thread *t, enum store_state state)
{
    pthread_mutex_lock(&t->store.lock);
    t->store.state = state;
    pthread_cond_broadcast(&t->store.changed);
    pthread_mutex_unlock(&t->store.lock);
}

static enum err_class store_again(struct task_thread *t, struct err *err)
{
    int64_t pause_us = RETRY_MIN_US;
    enum err_class cls = ERR_RETRY;
    while (cls == ERR_RETRY) {
        diag_warn("task", "%s: %s; trying again", t->name, err->text);
        if (atomic_load(&t->wanted) == WANT_STOP)
            return ERR_RETRY;
        pause_for(t, pause_us);
        pause_us = pause_us * 2 < RETRY_MAX_US ? pause_us * 2 : RETRY_MAX_US;
        cls = store_now(t, err);
    }
    return cls;
}

/* Ends the commit that is on its way, if there is one and it is stored or `wait`. *ret_busy: it is still on its way. */
static enum err_class store_settle(struct task_thread *t, bool wait, bool *ret_busy, struct err *err)
{
    struct store *s = &t->store;
    pthread_mutex_lock(&s->lock);
    while (wait && s->state == STORE_ASKED)
        pthread_cond_wait(&s->changed, &s->lock);
    *ret_busy = s->state == STORE_ASKED;
    bool done = s->state == STORE_DONE;
    s->state = done ? STORE_IDLE : s->state;
    enum err_class cls = s->cls;
    if (done && cls)
        *err = s->err;
    pthread_mutex_unlock(&s->lock);
    if (!done)
        return ERR_NONE;
    cls = cls == ERR_RETRY ? store_again(t, err) : cls;
    task_commit_end(t->task, cls);
    return cls;
}

/* Takes what there is while the one before is stored yet; wait: until this one is, too. */
static enum err_class commit(struct task_thread *t, bool wait, struct err *err)
{
    bool busy, any = false;
    task_commit_take(t->task);
    enum err_class cls = store_settle(t, true, &busy, err);
    while (!cls && (cls = task_commit_next(t->task, &any, err)) == ERR_RETRY) {
        diag_warn("task", "%s: %s; trying again", t->name, err->text);
        if (atomic_load(&t->wanted) == WANT_STOP)
            return ERR_RETRY;
        pause_for(t, RETRY_MIN_US);
        cls = ERR_NONE;
    }
    if (cls || !any)
        return cls;
    store_tell(t, STORE_ASKED);
    return wait ? store_settle(t, true, &busy, err) : ERR_NONE;
}

/* ---- one of several */

/* The cluster does not take what we write any more: the partitions are another's, or were for a moment. What is in
 * memory is gone; what is ours still is built anew. */
static enum err_class unless_fenced(struct task_thread *t, enum err_class cls, struct err *err)
{
    if (!t->group.member || cls != ERR_FATAL || err_exit_code(err) != EXIT_FENCED)
        return cls;
    diag_warn("task", "%s: %s", t->name, err->text);
    *err = (struct err){0};
    t->group.changed = true;
    return ERR_NONE;
}

static void on_assigned(void *ctx, const int32_t *partitions, size_t count)
{
    struct task_thread *t = ctx;
    for (size_t i = 0; i < count; i++) {
        if (partitions[i] < PARTITION_MAX)
            t->group.owned[partitions[i]] = true;
        diag_info("task", "%s: partition %d is ours", t->name, (int)partitions[i]);
    }
    t->group.joined = t->group.changed = true;
    t->group.again_us = 0;
}

/* C-K8: what was read is committed first, unless they are another's already. */
static void on_revoked(void *ctx, const int32_t *partitions, size_t count, bool lost)
{
    struct task_thread *t = ctx;
    struct err err = {0};
    bool busy;
    enum err_class cls = store_settle(t, true, &busy, &err);
    if (!cls && !lost)
        cls = task_commit(t->task, &err);
    cls = unless_fenced(t, cls, &err);
    if (cls == ERR_RETRY)
        diag_warn("task", "%s: %s; it is left to the next", t->name, err.text);
    else if (cls)
        t->group.err = err;
    for (size_t i = 0; i < count; i++) {
        diag_info("task", "%s: partition %d is another's%s", t->name, (int)partitions[i], lost ? ", lost" : "");
        if (partitions[i] < PARTITION_MAX) {
            t->group.owned[partitions[i]] = false;
            task_revoke(t->task, (uint32_t)partitions[i]);
        }
    }
    t->group.changed = true;
}

/* A broker that goes may take our joining twice, and the later one throws out the first, which is us: whether there is
 * another instance, the sink knows. If not, we come anew. */
static enum err_class join_again(struct task_thread *t, struct err *err)
{
    bool busy;
    diag_warn("task", "%s: %s; looking", t->name, err->text);
    *err = (struct err){0};
    enum err_class cls = unless_fenced(t, store_settle(t, true, &busy, err), err);
    if (cls && cls != ERR_RETRY)
        return cls;
    *err = (struct err){0};
    for (uint32_t p = 0; p < PARTITION_MAX; p++) {
        if (t->group.owned[p])
            task_revoke(t->task, p);
        t->group.owned[p] = false;
    }
    t->group.changed = true;
    t->group.joined = false;
    return kafka_member_again(t->group.member, err);
}

/* *ret_wait: it has to be called again soon. */
static enum err_class group_turn(struct task_thread *t, bool *ret_wait, struct err *err)
{
    struct group *g = &t->group;
    const struct kafka_member_events events = {on_assigned, on_revoked, t};
    bool busy;
    enum err_class cls = kafka_member_poll(g->member, &events, err);
    if (cls == ERR_FATAL && err_exit_code(err) == EXIT_FENCED)
        cls = join_again(t, err);
    if (!cls && g->err.cls)
        cls = (*err = g->err).cls;
    *ret_wait = g->changed || !g->joined;
    if (cls || !g->changed)
        return cls;
    if (clock_mono(t->clock) < g->again_us)
        return ERR_NONE;
    cls = unless_fenced(t, store_settle(t, true, &busy, err), err);
    cls = cls ? cls : task_assign(t->task, g->owned, err);
    if (cls == ERR_RETRY) {
        diag_warn("task", "%s: %s; trying again", t->name, err->text);
        *err = (struct err){0};
        g->again_us = clock_mono(t->clock) + RETRY_MIN_US;
        return ERR_NONE;
    }
    g->changed = cls != ERR_NONE;
    return cls;
}

/* ---- the task's thread */

/* For something new: an append, or another wish (journal_wake). */
static void wait_for_news(struct task_thread *t, uint64_t seen, int64_t wait_us)
{
    wait_us = wait_us > WAIT_MAX_US ? WAIT_MAX_US : wait_us < WAIT_MIN_US ? WAIT_MIN_US : wait_us;
    journal_wait(t->journal, seen, wait_us);
}

struct turn { /* of the loop */
    enum wanted wanted;
    bool any;       /* something was read */
    bool busy;      /* a commit is on its way */
    bool again;     /* the journal was busy */
    int64_t due_us; /* until the trigger */
};

/* Nothing to read and a lot to write: it would wait for the source, and the source for it later. */
static bool is_due(const struct task_thread *t, const struct turn *turn)
{
    bool worth = !turn->any && task_rows(t->task) >= WORTH_ROWS;
    return task_full(t->task) || (!turn->busy && (worth || turn->due_us <= 0));
}

static bool is_last(const struct turn *turn)
{
    return turn->wanted == WANT_STOP || (turn->wanted == WANT_DRAIN && !turn->any);
}

static enum err_class take_turn(struct task_thread *t, struct turn *turn, struct err *err)
{
    enum err_class cls = unless_fenced(t, store_settle(t, false, &turn->busy, err), err);
    if (cls || turn->wanted == WANT_STOP)
        return cls;
    if (t->group.member && (cls = group_turn(t, &turn->again, err)))
        return cls;
    cls = read_some(t, &turn->any, err);
    if (cls == ERR_RETRY) { /* a busy journal: what was read so far is kept, the rest comes again */
        diag_warn("task", "%s: %s; trying again", t->name, err->text);
        turn->again = true;
        return ERR_NONE;
    }
    return cls;
}

static enum err_class loop(struct task_thread *t, struct err *err)
{
    int64_t committed_us = clock_mono(t->clock);
    for (;;) {
        uint64_t seen = journal_wait(t->journal, 0, 0); /* the number now, before looking at anything */
        struct turn turn = {.wanted = (enum wanted)atomic_load(&t->wanted)};
        enum err_class cls = take_turn(t, &turn, err);
        turn.due_us = committed_us + t->commit_every_us - clock_mono(t->clock);
        bool last = is_last(&turn);
        if (!cls && (last || is_due(t, &turn))) {
            cls = unless_fenced(t, commit(t, last, err), err);
            committed_us = clock_mono(t->clock);
            turn.due_us = t->commit_every_us;
        }
        if (cls)
            return cls;
        if (turn.wanted == WANT_STOP || (last && !t->group.changed && task_at_end(t->task)))
            return ERR_NONE;
        if (turn.again && turn.due_us > RETRY_MIN_US)
            turn.due_us = RETRY_MIN_US;
        if (!turn.any) /* a commit that is stored wakes it too */
            wait_for_news(t, seen, turn.busy && !turn.again ? WAIT_MAX_US : turn.due_us);
    }
}

static void *thread_main(void *arg)
{
    struct task_thread *t = arg;
    struct err err = {0};
    pthread_setname_np(pthread_self(), "task");
    if (loop(t, &err)) {
        err_prefix(&err, "task \"%s\"", t->name);
        t->err = err;
    }
    atomic_store(&t->ended, true);
    if (t->on_end)
        t->on_end(t->on_end_ctx);
    return NULL;
}

enum err_class task_thread_start(const struct task_thread_options *options, struct task_thread **ret_thread,
                                 struct err *err)
{
    struct task_thread *t = xcalloc(1, sizeof *t);
    t->journal = options->journal;
    t->sink = options->sink;
    t->clock = options->task.clock;
    t->commit_every_us = options->task.commit_every_us;
    pthread_mutex_init(&t->store.lock, NULL);
    pthread_cond_init(&t->store.changed, NULL);
    t->name = options->task.name;
    t->on_end = options->on_end;
    t->on_end_ctx = options->on_end_ctx;
    struct task_options task = options->task;
    t->group.member = options->member;
    task.shared = options->member != NULL;
    task.member = options->member;
    task.journal =
        journal_partitions(t->journal) == 1 && !task.shared ? t->journal : NULL; /* several are read by turns */
    enum err_class cls = journal_reader_new(t->journal, &t->reader, err);
    if (!cls)
        cls = task_new(&task, t->reader, t->sink, &t->task, err);
    if (!cls)
        cls = task_load(t->task, err);
    if (!cls)
        t->store.started = pthread_create(&t->store.thread, NULL, store_main, t) == 0;
    if (!cls && (!t->store.started || pthread_create(&t->thread, NULL, thread_main, t) != 0))
        cls = err_set(err, ERR_FATAL, EXIT_OSERR, "cannot start a thread for task \"%s\"", t->name);
    if (cls) {
        task_thread_free(t);
        return cls;
    }
    t->started = true;
    *ret_thread = t;
    return ERR_NONE;
}

void task_thread_drain(struct task_thread *t)
{
    int expected = WANT_RUN;
    atomic_compare_exchange_strong(&t->wanted, &expected, WANT_DRAIN);
    journal_wake(t->journal);
}

void task_thread_stop(struct task_thread *t)
{
    atomic_store(&t->wanted, WANT_STOP);
    if (t->sink->ops->hurry)
        t->sink->ops->hurry(t->sink);
    journal_wake(t->journal);
}

bool task_thread_ended(struct task_thread *t, struct err *ret_err)
{
    if (!atomic_load(&t->ended))
        return false;
    *ret_err = t->err;
    return true;
}

const struct field_set *task_thread_fields(const struct task_thread *t)
{
    return task_fields(t->task);
}

void task_thread_retune(struct task_thread *t, int64_t commit_every_us)
{
    atomic_store(&t->commit_every_us, commit_every_us);
    journal_wake(t->journal);
}

void task_thread_keep(void *thread, int64_t *ret_keep, uint32_t partitions)
{
    task_keep(((struct task_thread *)thread)->task, ret_keep, partitions);
}

void task_thread_free(struct task_thread *t)
{
    if (!t)
        return;
    task_thread_stop(t);
    if (t->started)
        pthread_join(t->thread, NULL);
    if (t->store.started) {
        store_tell(t, STORE_STOP);
        pthread_join(t->store.thread, NULL);
    }
    pthread_cond_destroy(&t->store.changed);
    pthread_mutex_destroy(&t->store.lock);
    task_free(t->task);
    journal_reader_close(t->reader);
    if (t->sink)
        t->sink->ops->close(t->sink);
    kafka_member_close(t->group.member);
    free(t);
}
