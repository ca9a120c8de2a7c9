/* SPDX-License-Identifier: MIT
 *
 * task_dead.c - dead letters of a task: records that the journal took and an aggregation cannot use, because their time
 * by its own time field is no time (R2). A record has one letter, however many aggregations refuse it, and however
 * often it is read: those below the farthest position of an aggregation that refuses it were written then.
 */
#include "app/task_private.h"

#include "base/err.h"

static bool written_before(const struct task *t, const struct decoded *d)
{
    const struct record *r = d->record;
    for (size_t i = 0; i < t->aggregation_count; i++) {
        int64_t time_us;
        if (t->aggregations[i].done[r->partition] > r->offset &&
            decoded_time(d, aggregation_time_field(t->aggregations[i].declared), &time_us) != DEAD_NONE) {
            return true;
        }
    }
    return false;
}

static struct str detail_of(struct task *t, const struct decoded *d, size_t time_field, enum dead_reason reason)
{
    AUTO(buf) struct buf text = {0};
    struct str path = field_set_path(t->fields, time_field);
    if (reason == DEAD_BAD_TIME) {
        buf_addf(&text, "one of \"%.*s\", \"timestamp\", \"meta.dt\" is there and is no time", STR_ARG(path));
    } else if (reason == DEAD_NO_TIME) {
        buf_addf(&text, "none of \"%.*s\", \"timestamp\", \"meta.dt\" is there", STR_ARG(path));
    } else {
        buf_addf(&text, "cannot be decoded, byte %zu", d->dead_at);
    }
    return arena_dup(&t->dead_memory, buf_str(&text));
}

void task_dead_add(struct task *t, const struct decoded *d, size_t time_field, enum dead_reason reason)
{
    const struct record *r = d->record;
    if (written_before(t, d)) {
        return;
    }
    AUTO(buf) struct buf position = {0};
    buf_addf(&position, "partition %u offset %lld", r->partition, (long long)r->offset);
    if (t->dead_count == t->dead_cap) {
        t->dead_cap = t->dead_cap == 0 ? 16 : t->dead_cap * 2;
        t->dead = xrealloc(t->dead, t->dead_cap * sizeof(*t->dead));
    }
    t->dead[t->dead_count++] = (struct dead_letter){.stage = t->name,
                                                    .reason = dead_reason_name(reason),
                                                    .detail = detail_of(t, d, time_field, reason),
                                                    .position = arena_dup(&t->dead_memory, buf_str(&position)),
                                                    .arrival_us = r->arrival_us,
                                                    .stream_us = TIME_NONE,
                                                    .retried_us = TIME_NONE,
                                                    .bytes = arena_dup(&t->dead_memory, r->value)};
}

bool task_dead_full(const struct task *t)
{
    return t->dead_count >= TASK_DEAD_MAX || t->dead_memory.used_bytes >= TASK_DEAD_BYTES_MAX;
}

void task_dead_take(struct task *t, struct taken *c)
{
    struct arena empty = c->dead_memory;
    struct dead_letter *dead = arena_alloc(&c->memory, (t->dead_count + 1) * sizeof *dead);
    if (t->dead_count > 0) {
        memcpy(dead, t->dead, t->dead_count * sizeof *dead);
    }
    c->commit.dead = dead;
    c->commit.dead_count = t->dead_count;
    c->dead_memory = t->dead_memory;
    t->dead_memory = empty;
    t->dead_count = 0;
}

void task_dead_clear(struct task *t)
{
    t->dead_count = 0;
    arena_reset(&t->dead_memory);
}
