/* SPDX-License-Identifier: MIT
 *
 * reload.c - see reload.h.
 */
#include "app/reload.h"

#include "base/diag.h"
#include "base/metrics.h"

#include <stdio.h>

static void set_state(struct status *s, void *text)
{
    snprintf(s->configuration, sizeof s->configuration, "%s", (const char *)text);
}

static void finish(enum reload_result result, char *state)
{
    static const char *const labels[] = {[RELOAD_SAME] = "result=\"applied\"",
                                         [RELOAD_APPLIED] = "result=\"applied\"",
                                         [RELOAD_RESTART] = "result=\"restart\"",
                                         [RELOAD_REFUSED] = "result=\"refused\""};
    metric_add(METRIC_CONFIG_RELOADS, labels[result], 1);
    status_change(set_state, state);
}

/* ---- refused */

static void say_problem(const char *text, void *ctx)
{
    (void)ctx;
    diag_error("config", "reload: %s", text);
}

static enum reload_result refuse(const struct err *why)
{
    AUTO(buf) struct buf state = {0};
    buf_addf(&state, "the last reload was refused, the old configuration stays: %s", why->text);
    diag_error("config", "reload refused; the configuration that runs stays as it is");
    finish(RELOAD_REFUSED, state.ptr);
    return RELOAD_REFUSED;
}

/* ---- what differs */

struct differences {
    size_t taken, waiting;
    struct buf lines; /* of what is taken over: said when it has been */
    struct buf keys;  /* of what waits */
};

static void note_taken(const struct config_change *c, void *ctx)
{
    struct differences *d = ctx;
    if (c->live) {
        d->taken++;
        buf_addf(&d->lines, "%s: \"%.*s\" -> \"%.*s\"\n", c->key, STR_ARG(c->from), STR_ARG(c->to));
    }
}

static void say_taken(const struct differences *d)
{
    struct str lines = buf_str(&d->lines), line;
    while (str_split(&lines, '\n', &line)) {
        if (line.len) {
            diag_info("config", "reload: %.*s", STR_ARG(line));
        }
    }
}

static void say_waiting(const struct config_change *c, void *ctx)
{
    struct differences *d = ctx;
    if (!c->live) {
        buf_addf(&d->keys, "%s%s", d->waiting ? ", " : "", c->key);
        d->waiting++;
        diag_warn("config", "reload: %s: \"%.*s\" -> \"%.*s\" needs a restart", c->key, STR_ARG(c->from),
                  STR_ARG(c->to));
    }
}

static void differences_fini(struct differences *d)
{
    buf_fini(&d->lines);
    buf_fini(&d->keys);
}

/* Compared before and after: what is still different afterwards waits. */
static enum reload_result take_over(const struct reload *r, const struct config *next, struct pipeline *pipeline)
{
    AUTO(buf) struct buf state = {0};
    AUTO(differences) struct differences d = {0};
    struct err err = {0};
    config_compare(r->running, next, note_taken, &d);
    if (config_adopt(r->running, next, &err)) {
        diag_error("config", "reload: with what cannot change before a restart: %s", err.text);
        return refuse(&err);
    }
    if (pipeline) {
        pipeline_retune(pipeline);
    }
    say_taken(&d);
    config_compare(r->running, next, say_waiting, &d);
    diag_info("config", "reload: %zu taken over, %zu need a restart", d.taken, d.waiting);
    if (r->log_setup) {
        r->log_setup(r->running, r->log_ctx);
    }
    enum reload_result result = d.waiting ? RELOAD_RESTART : d.taken ? RELOAD_APPLIED : RELOAD_SAME;
    buf_addf(&state, "%s%s", d.waiting ? "waiting for a restart: " : "", d.waiting ? d.keys.ptr : "");
    finish(result, state.ptr ? state.ptr : (char[]){""});
    return result;
}

enum reload_result reload_configuration(const struct reload *r, struct pipeline *pipeline)
{
    struct config next;
    struct err err = {0};
    struct config_sources sources = r->sources;
    sources.problem = say_problem;
    if (config_load(&sources, &next, &err)) {
        return refuse(&err);
    }
    for (size_t i = 0; i < next.warnings.count; i++) {
        diag_warn("config", "%s", next.warnings.items[i]);
    }
    enum reload_result result = take_over(r, &next, pipeline);
    config_fini(&next);
    return result;
}
