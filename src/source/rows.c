/* SPDX-License-Identifier: MIT
 *
 * rows.c - the source's notes as tables, and the retry of a dead letter: what the rest of the program asks of this room
 * without running a source.
 */
#include "source/admission.h"
#include "source/position.h"

#include <stdlib.h>

enum err_class source_audit_rows(struct str audit_note, struct arena *arena, const struct hole_row **ret_rows,
                                 size_t *ret_count, struct err *err)
{
    struct hole_row *rows = arena_zalloc(arena, HOLES_MAX * sizeof *rows);
    size_t count = 0;
    struct json j = json_of(audit_note);
    json_open(&j, '{');
    while (audit_note.ptr && json_more(&j, '}')) {
        char key[32];
        json_key(&j, key, sizeof key);
        if (strcmp(key, "holes") != 0) {
            json_skip(&j);
            continue;
        }
        json_open(&j, '[');
        while (json_more(&j, ']')) {
            struct hole h;
            char topic[TOPIC_NAME_MAX] = "";
            hole_read(&j, &h, topic);
            if (!j.bad && count < HOLES_MAX) {
                rows[count++] = (struct hole_row){arena_dup(arena, str_of(topic)), h.numbering, h.from, h.to, h.seen_us,
                                                  hole_state_names[h.state],       h.tries};
            }
        }
    }
    if (audit_note.ptr && j.bad) {
        return err_set(err, ERR_REJECT, EXIT_DATA, "the note \"audit\" cannot be understood");
    }
    *ret_rows = rows;
    *ret_count = count;
    return ERR_NONE;
}

struct gap_list {
    struct arena *arena;
    struct gap_row *rows;
    size_t count;
};

static bool gap_keep(const struct gap *g, void *ctx)
{
    struct gap_list *l = ctx;
    l->rows[l->count++] = (struct gap_row){arena_dup(l->arena, str_of(g->topic)), g->from_us, g->to_us};
    return l->count < GAPS_MAX;
}

enum err_class source_gap_rows(struct str position_note, struct arena *arena, const struct gap_row **ret_rows,
                               size_t *ret_count, struct err *err)
{
    struct gap_list l = {arena, arena_zalloc(arena, GAPS_MAX * sizeof *l.rows), 0};
    if (position_note.ptr && !position_each_gap(position_note, gap_keep, &l)) {
        return err_set(err, ERR_REJECT, EXIT_DATA, "the note \"position\" cannot be understood");
    }
    *ret_rows = l.rows;
    *ret_count = l.count;
    return ERR_NONE;
}

struct source_retry {
    struct source_output *output;
    struct admission *admission;
    bool loaded;
};

enum err_class source_retry_new(const struct source_options *options, struct source_output *output,
                                struct source_retry **ret_retry, struct err *err)
{
    struct source_retry *r = xcalloc(1, sizeof *r);
    r->output = output;
    enum err_class cls = admission_new(options, &r->admission, err);
    if (cls) {
        free(r);
        return cls;
    }
    *ret_retry = r;
    return ERR_NONE;
}

void source_retry_free(struct source_retry *r)
{
    if (r) {
        admission_free(r->admission);
        free(r);
    }
}

/* Offers it as if it had just been received. Its arrival never falls below what the journal holds. */
static enum err_class retry_offer(struct source_retry *r, const struct dead_letter *d, struct err *err)
{
    int64_t arrival_us = admission_position(r->admission)->arrival_us;
    arrival_us = d->arrival_us > arrival_us ? d->arrival_us : arrival_us;
    enum outcome outcome;
    enum err_class cls = admission_offer(r->admission, NULL, d->bytes, arrival_us, d->position, &outcome, err);
    cls = cls ? cls : r->output->commit(r->output, admission_batch(r->admission), err);
    if (!cls) {
        admission_committed(r->admission);
    }
    return cls;
}

enum err_class source_retry_dead(struct source_retry *r, const struct dead_letter *d, bool *ret_admitted,
                                 struct err *err)
{
    *ret_admitted = false;
    if (!admission_decodes(r->admission, d->bytes, err)) {
        return ERR_NONE; /* err says why; nothing is booked: it is no new dead letter */
    }
    if (!r->loaded) { /* reads the journal's tail: not for letters that are dead still, and once for all others */
        enum err_class cls = admission_load(r->admission, r->output, err);
        if (cls) {
            return cls;
        }
        r->loaded = true;
    }
    enum err_class cls = retry_offer(r, d, err);
    *ret_admitted = cls == ERR_NONE;
    return cls;
}
