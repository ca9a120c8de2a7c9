/* SPDX-License-Identifier: MIT
 *
 * task.c - reading and committing. Each record is decoded once for all aggregations; a lane takes what is at or after
 * its next offset, so that one that rebuilds and one that is up to date go side by side. One commit carries everything
 * that changed since the last: rows, lines, ledger, torn spans, marks, dead letters (R8, R10-R12).
 */
#include "app/task.h"

#include "app/task_private.h"
#include "base/diag.h"
#include "base/fault.h"

#include <stdlib.h>

enum { LOOK_US = 5000000 };
enum { PENDING_ROWS = 60000, FEW_ROWS = 1000, KEYS_TOTAL = 2000000, BYTES_A_KEY = 512 };
enum { COMMITS = sizeof(((struct task *)NULL)->commits) / sizeof(struct taken) };

/* ---- life */

static enum err_class aggregations_make(struct task *t, struct err *err)
{
    size_t count = t->options.aggregation_count;
    t->aggregations = xcalloc(count + 1, sizeof(*t->aggregations));
    t->schemas = xcalloc(count + 1, sizeof(*t->schemas));
    for (size_t i = 0; i < count; i++) {
        struct task_aggregation *a = &t->aggregations[i];
        enum err_class cls =
            aggregation_new(&t->options.aggregations[i], t->options.retention_us, t->fields, &a->declared, err);
        if (cls != ERR_NONE) {
            return cls;
        }
        t->aggregation_count = i + 1;
        t->schemas[i] = aggregation_schema(a->declared);
        a->on_change = t->options.aggregations[i].on_change;
        for (size_t other = 0; other < i; other++) {
            if (str_eqz(str_of(t->schemas[i]->name), t->schemas[other]->name)) {
                return err_set(err, ERR_REJECT, EXIT_CONFIG, "two aggregations are called \"%s\"", t->schemas[i]->name);
            }
        }
    }
    t->values = xcalloc(field_set_count(t->fields), sizeof(*t->values));
    return ERR_NONE;
}

enum err_class task_new(const struct task_options *options, struct journal_reader *reader, struct sink *sink,
                        struct task **ret_task, struct err *err)
{
    struct task *t = xcalloc(1, sizeof(*t));
    t->options = *options;
    t->options.max_pending_rows = options->max_pending_rows == 0 ? PENDING_ROWS : options->max_pending_rows;
    t->options.max_keys_total = options->max_keys_total == 0 ? KEYS_TOTAL : options->max_keys_total;
    t->name = str_dup(str_of(options->name));
    t->reader = reader;
    t->sink = sink;
    t->clock = options->clock == NULL ? &clock_real : options->clock;
    t->fields = field_set_new();
    enum err_class cls = aggregations_make(t, err);
    if (cls == ERR_NONE && options->journal != NULL) {
        cls = ahead_new(options->journal, t->fields, &t->ahead, err);
    }
    if (cls == ERR_NONE) {
        cls = sink->ops->prepare(sink, t->schemas, t->aggregation_count, err);
    }
    t->options.aggregations = NULL; /* the caller's */
    if (cls != ERR_NONE) {
        task_free(t);
        return cls;
    }
    *ret_task = t;
    return ERR_NONE;
}

void task_free(struct task *t)
{
    if (t == NULL) {
        return;
    }
    ahead_free(t->ahead);
    task_lanes_drop(t);
    for (size_t i = 0; i < t->aggregation_count; i++) {
        aggregation_free(t->aggregations[i].declared);
    }
    field_set_free(t->fields);
    arena_fini(&t->generation_memory);
    arena_fini(&t->page_memory);
    for (size_t i = 0; i < COMMITS; i++) {
        arena_fini(&t->commits[i].memory);
        arena_fini(&t->commits[i].dead_memory);
    }
    arena_fini(&t->dead_memory);
    free(t->dead);
    free(t->values);
    free(t->aggregations);
    free((void *)t->schemas);
    free(t->name);
    free(t);
}

const struct field_set *task_fields(const struct task *t)
{
    return t->fields;
}

/* ---- reading */

bool task_has(const struct task *t, uint32_t p)
{
    return p < t->partitions && t->aggregation_count > 0 && t->aggregations[0].lanes[p] != NULL;
}

int64_t task_next(const struct task *t, uint32_t p)
{
    int64_t next = INT64_MAX;
    for (size_t i = 0; i < t->aggregation_count; i++) {
        int64_t lane = lane_next(t->aggregations[i].lanes[p]);
        next = lane < next ? lane : next;
    }
    return next;
}

/* `values`: what was found in it already, or NULL; `last`: a commit may follow. */
static enum err_class record_feed(struct task *t, const struct record *r, const struct value *values, bool last,
                                  struct err *err)
{
    struct decoded d;
    enum dead_reason why = DEAD_NONE;
    size_t time_field = FIELD_TIMESTAMP;
    if (values != NULL) {
        decode_scanned(r, values, last, &d);
    } else {
        decode_record(t->fields, r, t->values, &d);
    }
    (void)failpoint_if("task.reread", lane_position(t->aggregations[0].lanes[r->partition]) > r->offset);
    for (size_t i = 0; i < t->aggregation_count; i++) {
        struct task_aggregation *a = &t->aggregations[i];
        enum dead_reason dead = DEAD_NONE;
        if (lane_next(a->lanes[r->partition]) > r->offset) {
            continue;
        }
        enum err_class cls = lane_feed(a->lanes[r->partition], &d, &dead, err);
        if (cls != ERR_NONE) {
            return cls;
        }
        if (dead != DEAD_NONE && why == DEAD_NONE) {
            why = dead;
            time_field = aggregation_time_field(a->declared);
        }
    }
    if (why != DEAD_NONE) {
        task_dead_add(t, &d, time_field, why);
    }
    return ERR_NONE;
}

size_t task_rows(const struct task *t)
{
    size_t rows = 0;
    for (size_t i = 0; i < t->aggregation_count; i++) {
        for (uint32_t p = 0; p < t->partitions; p++) {
            rows += task_has(t, p) ? lane_dirty_rows(t->aggregations[i].lanes[p]) : 0;
        }
    }
    return rows;
}

/* R9: over all windows. Checked once a page; a page adds a bounded number. */
static enum err_class keys_check(const struct task *t, struct err *err)
{
    int64_t keys = 0, bytes = 0, max = t->options.max_keys_total;
    for (size_t i = 0; i < t->aggregation_count; i++) {
        for (uint32_t p = 0; p < t->partitions; p++) {
            struct lane_state s = {0};
            if (task_has(t, p)) {
                lane_state(t->aggregations[i].lanes[p], &s);
            }
            keys += s.keys;
            bytes += s.bytes;
        }
    }
    if (keys <= max && bytes / BYTES_A_KEY <= max) {
        return ERR_NONE;
    }
    return err_set(err, ERR_FATAL, EXIT_CONFIG,
                   "%lld keys in %lld MiB are above the task's maximum of %lld keys of %d bytes; raise it, or lower "
                   "max_keys, size or lateness of an aggregation",
                   (long long)keys, (long long)(bytes >> 20), (long long)max, BYTES_A_KEY);
}

static enum err_class page_feed(struct task *t, uint32_t p, const struct handed *page, struct err *err)
{
    for (size_t i = 0; i < page->count; i++) {
        enum err_class cls =
            record_feed(t, &page->records[i], page->values == NULL ? NULL : page->values[i], i + 1 == page->count, err);
        if (cls != ERR_NONE) {
            return cls;
        }
    }
    t->exhausted[p] = page->count == 0 || task_next(t, p) >= t->ends[p];
    return keys_check(t, err);
}

static enum err_class page_read(struct task *t, uint32_t p, int64_t from, size_t max_records, struct handed *ret_page,
                                struct err *err)
{
    struct journal_page page = {0};
    arena_reset(&t->page_memory);
    enum err_class cls = journal_reader_read(t->reader, p, from, max_records, &t->page_memory, &page, err);
    *ret_page = (struct handed){.records = page.records, .count = page.count};
    if (t->ahead != NULL && page.count > max_records / 2) {
        ahead_ask(t->ahead, p, page.records[page.count - 1].offset + 1, max_records);
    }
    return cls;
}

/* What comes next in this partition: from the ingester's hands, read ahead, or read now. */
static enum err_class page_get(struct task *t, uint32_t p, size_t max_records, struct handed *ret_page, struct err *err)
{
    int64_t head, from = task_next(t, p);
    enum err_class cls = journal_reader_bounds(t->reader, p, &head, &t->ends[p], err);
    if (cls != ERR_NONE) {
        return cls;
    }
    if ((t->options.handover != NULL && from < t->ends[p] &&
         handover_take(t->options.handover, p, from, max_records, ret_page)) ||
        (t->ahead != NULL && ahead_take(t->ahead, p, from, max_records, ret_page))) {
        return ERR_NONE;
    }
    return page_read(t, p, from, max_records, ret_page, err);
}

enum err_class task_read(struct task *t, uint32_t partition, size_t max_records, size_t *ret_read, struct err *err)
{
    *ret_read = 0;
    if (t->options.shared && !task_has(t, partition)) {
        return ERR_NONE;
    }
    if (!t->loaded) {
        return err_set(err, ERR_FATAL, EXIT_INTERNAL, "task \"%s\" is not loaded", t->name);
    }
    if (partition >= t->partitions && t->commit_count > 0) { /* the sink is in use */
        return ERR_NONE;
    }
    if (partition >= t->partitions) {
        enum err_class cls = task_lanes_add(t, partition, err);
        if (cls != ERR_NONE) {
            return cls;
        }
    }
    if (t->aggregation_count == 0 || task_full(t)) {
        t->exhausted[partition] = t->aggregation_count == 0;
        return ERR_NONE;
    }
    struct handed page;
    enum err_class cls = page_get(t, partition, max_records, &page, err);
    if (cls != ERR_NONE) {
        return cls;
    }
    *ret_read = page.count;
    cls = page_feed(t, partition, &page, err);
    if (cls != ERR_NONE) { /* half a record is counted: what is in memory is not to be trusted */
        task_lanes_drop(t);
    }
    return cls;
}

/* ---- committing */

static int64_t position_then(const struct task_commit *c, size_t aggregation, const struct lane *lane, uint32_t p)
{
    for (size_t i = 0; i < c->lane_count; i++) {
        if (c->lanes[i].aggregation == aggregation && c->lanes[i].partition == p) {
            return c->lanes[i].line.position;
        }
    }
    return lane_position(lane);
}

/* Another instance has this partition: the sink says how far it is, as of the last assignment or look. */
static enum err_class passed_elsewhere(struct task *t, size_t aggregation, uint32_t p, int64_t target, bool *ret_passed,
                                       struct err *err)
{
    AUTO(arena) struct arena memory = {0};
    struct task_line line;
    bool found = false;
    enum err_class cls = ERR_NONE;
    int64_t now_us = clock_mono(t->clock);
    if (now_us - t->looked_us > LOOK_US) {
        t->looked_us = now_us;
        cls = t->sink->ops->refresh(t->sink, err);
    }
    cls = cls ? cls
              : t->sink->ops->line(t->sink, aggregation, t->aggregations[aggregation].latest.number, p, &memory, &line,
                                   &found, err);
    *ret_passed = cls == ERR_NONE && (target == 0 || (found && line.position >= target));
    return cls;
}

/* R15: readers switch when the generation has passed the end that each partition had when the rebuild began. */
static enum err_class shows(struct task *t, const struct task_commit *c, size_t aggregation, bool *ret_show,
                            struct err *err)
{
    struct task_aggregation *a = &t->aggregations[aggregation];
    *ret_show = a->shown != a->latest.number;
    for (uint32_t p = 0; p < a->latest.begin_count && *ret_show && !fault("R15.show"); p++) {
        int64_t head, end, target = a->latest.begins[p].target;
        enum err_class cls = journal_reader_bounds(t->reader, p, &head, &end, err);
        if (cls != ERR_NONE) {
            return cls;
        }
        target = end < target ? end : target;
        if (t->options.shared && !task_has(t, p)) {
            cls = passed_elsewhere(t, aggregation, p, target, ret_show, err);
            if (cls != ERR_NONE) {
                return cls;
            }
            continue;
        }
        *ret_show = p < t->partitions && position_then(c, aggregation, a->lanes[p], p) >= target;
    }
    return ERR_NONE;
}

void task_keep_publish(struct task *t, uint32_t p)
{
    int64_t keep = INT64_MAX;
    for (size_t i = 0; i < t->aggregation_count; i++) {
        struct lane_state s;
        lane_state(t->aggregations[i].lanes[p], &s);
        int64_t before = s.position > 0 ? s.position - 1 : 0;
        int64_t from = s.replay_from < before ? s.replay_from : before;
        keep = from < keep ? from : keep;
    }
    atomic_store(&t->keep[p], keep);
}

void task_progress_tell(struct task *t)
{
    struct reader_progress list[PARTITION_MAX];
    size_t count = 0;
    for (uint32_t p = 0; p < t->partitions; p++) {
        struct reader_progress progress = {p, INT64_MAX, INT64_MAX};
        for (size_t i = 0; task_has(t, p) && i < t->aggregation_count; i++) {
            struct lane_state s;
            lane_state(t->aggregations[i].lanes[p], &s);
            progress.position = s.position < progress.position ? s.position : progress.position;
            progress.replay_from = s.replay_from < progress.replay_from ? s.replay_from : progress.replay_from;
        }
        if (task_has(t, p)) {
            list[count++] = progress;
        }
    }
    if (t->aggregation_count > 0) {
        journal_reader_tell(t->reader, t->name, t->options.member, list, count);
    }
}

static void commit_done(struct task *t, const struct task_commit *c)
{
    for (size_t i = 0; i < c->lane_count; i++) {
        const struct lane_commit *l = &c->lanes[i];
        struct task_aggregation *a = &t->aggregations[l->aggregation];
        if (l->show) {
            diag_info("task", "%s: readers of \"%s\" now see generation %lld", t->name,
                      t->schemas[l->aggregation]->name, (long long)l->generation);
            a->shown = l->generation;
        }
    }
    task_metrics(t, c);
    for (size_t i = 0; i < c->lane_count; i++) {
        const struct lane_commit *l = &c->lanes[i];
        lane_committed(t->aggregations[l->aggregation].lanes[l->partition], l);
    }
    for (uint32_t p = 0; p < t->partitions; p++) {
        if (task_has(t, p) || t->aggregation_count == 0) {
            task_keep_publish(t, p);
        }
    }
    task_progress_tell(t);
}

void task_commit_take(struct task *t)
{
    struct taken *c = &t->commits[(t->commit_first + t->commit_count) % COMMITS];
    if (!t->loaded || t->commit_count == COMMITS) {
        return;
    }
    arena_reset(&c->memory);
    arena_reset(&c->dead_memory);
    c->lanes = arena_alloc(&c->memory, (t->aggregation_count * t->partitions + 1) * sizeof(*c->lanes));
    c->commit = (struct task_commit){.lanes = c->lanes, .wall_us = clock_wall(t->clock)};
    for (size_t i = 0; i < t->aggregation_count; i++) {
        for (uint32_t p = 0; p < t->partitions; p++) {
            c->commit.lane_count +=
                task_has(t, p) && lane_commit(t->aggregations[i].lanes[p], &c->memory, &c->lanes[c->commit.lane_count]);
        }
    }
    if (c->commit.lane_count > 0) {
        task_dead_take(t, c);
        t->commit_count++;
    }
}

enum err_class task_commit_next(struct task *t, bool *ret_any, struct err *err)
{
    struct taken *c = &t->commits[t->commit_first];
    *ret_any = t->commit_count > 0;
    for (size_t i = 0; *ret_any && i < c->commit.lane_count; i++) {
        enum err_class cls = shows(t, &c->commit, c->lanes[i].aggregation, &c->lanes[i].show, err);
        if (cls != ERR_NONE) {
            return cls;
        }
    }
    return ERR_NONE;
}

enum err_class task_commit_store(struct task *t, struct err *err)
{
    return t->sink->ops->commit(t->sink, &t->commits[t->commit_first].commit, err);
}

static size_t commit_rows(const struct task_commit *c)
{
    size_t rows = 0;
    for (size_t i = 0; i < c->lane_count; i++) {
        rows += c->lanes[i].row_count;
    }
    return rows;
}

void task_commit_end(struct task *t, enum err_class cls)
{
    struct taken *c = &t->commits[t->commit_first];
    if (cls == ERR_NONE) {
        (void)failpoint("task.committed");
        commit_done(t, &c->commit);
        if (commit_rows(&c->commit) < FEW_ROWS) { /* caught up: nobody needs so much for a while */
            arena_fini(&c->memory);
        }
        arena_fini(&c->dead_memory);
        t->commit_first = (t->commit_first + 1) % COMMITS;
        t->commit_count--;
    } else if (cls == ERR_FATAL) {
        task_lanes_drop(t);
    }
}

enum err_class task_commit(struct task *t, struct err *err)
{
    for (;;) {
        bool any;
        task_commit_take(t);
        enum err_class cls = task_commit_next(t, &any, err);
        if (cls != ERR_NONE || !any) {
            return cls;
        }
        cls = task_commit_store(t, err);
        task_commit_end(t, cls);
        if (cls != ERR_NONE) {
            return cls;
        }
    }
}

/* ---- looking */

void task_keep(struct task *t, int64_t *ret_keep, uint32_t partitions)
{
    for (uint32_t p = 0; p < partitions; p++) {
        ret_keep[p] = p < PARTITION_MAX ? atomic_load(&t->keep[p]) : 0;
    }
}

void task_lane_state(const struct task *t, size_t aggregation, uint32_t partition, struct lane_state *ret_state)
{
    ensure(t->loaded && aggregation < t->aggregation_count && partition < t->partitions);
    lane_state(t->aggregations[aggregation].lanes[partition], ret_state);
}

bool task_full(const struct task *t)
{
    return task_rows(t) >= t->options.max_pending_rows || task_dead_full(t);
}

bool task_at_end(struct task *t)
{
    if (t->commit_count > 0) {
        return false;
    }
    for (uint32_t p = 0; p < t->partitions; p++) {
        for (size_t i = 0; i < t->aggregation_count; i++) {
            if (task_has(t, p) && lane_dirty(t->aggregations[i].lanes[p])) {
                return false;
            }
        }
        if (!t->exhausted[p] && !(t->options.shared && !task_has(t, p))) {
            return false;
        }
    }
    return t->loaded;
}
