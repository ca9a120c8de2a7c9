/* SPDX-License-Identifier: MIT
 *
 * window.c - the ring of windows of one lane. See window.h.
 */
#include "compute/window.h"

#include "base/err.h"

#include <stdlib.h>

void windows_init(struct windows *w, const struct aggregation *a)
{
    *w = (struct windows){.a = a, .slot_count = a->window_slots, .check_us = INT64_MAX};
    w->slots = xcalloc(w->slot_count, sizeof(struct window *));
}

static void window_free(struct windows *w, struct window *window, struct measure_context *ctx)
{
    for (uint32_t i = 0; i < window->table.count; i++) {
        struct row *row = keytable_row(&window->table, i);
        for (size_t m = 0; m < w->a->schema.measure_count; m++) {
            measure_fini(&w->a->measures[m], &row->states[m], ctx);
        }
    }
    w->keys -= window->table.count;
    keytable_fini(&window->table);
    stream_time_fini(&window->before);
    free(window);
}

void windows_free_retired(struct windows *w, struct measure_context *ctx)
{
    struct window **at = &w->retired;
    while (*at != NULL) {
        struct window *window = *at;
        if (window->dirty > 0) {
            at = &window->next;
            continue;
        }
        *at = window->next;
        window_free(w, window, ctx);
    }
}

void windows_fini(struct windows *w, struct measure_context *ctx)
{
    for (size_t i = 0; i < w->slot_count; i++) {
        if (w->slots[i] != NULL) {
            window_free(w, w->slots[i], ctx);
        }
    }
    for (struct window *window = w->retired; window != NULL; window = w->retired) {
        w->retired = window->next;
        window_free(w, window, ctx);
    }
    free(w->slots);
    *w = (struct windows){0};
}

static size_t slot_of(const struct windows *w, int64_t start_us)
{
    int64_t n = (int64_t)w->slot_count, at = floor_div(start_us, w->a->options.slide_us) % n;
    return (size_t)(at < 0 ? at + n : at);
}

struct window *windows_find(struct windows *w, int64_t start_us)
{
    if (w->last != NULL && w->last->start_us == start_us) {
        return w->last;
    }
    struct window *window = w->slots[slot_of(w, start_us)];
    if (window == NULL || window->start_us != start_us) {
        return NULL;
    }
    w->last = window;
    return window;
}

struct window *windows_add(struct windows *w, int64_t start_us, int64_t offset, const struct stream_time *before)
{
    size_t at = slot_of(w, start_us);
    ensure(w->slots[at] == NULL); /* else the bound of window.h does not hold */
    struct window *window = xcalloc(1, sizeof(*window));
    window->start_us = start_us;
    window->first = offset;
    window->closed_by = -1;
    window->other = KEYTABLE_NONE;
    stream_time_init(&window->before);
    stream_time_copy(&window->before, before);
    keytable_init(&window->table, sizeof(struct row) + w->a->schema.measure_count * sizeof(union measure_state));
    w->slots[at] = window;
    w->count++;
    return window;
}

void windows_remove(struct windows *w, struct window *window, struct measure_context *ctx)
{
    w->slots[slot_of(w, window->start_us)] = NULL;
    w->last = NULL;
    w->count--;
    if (window->dirty > 0) {
        window->next = w->retired;
        w->retired = window;
    } else {
        window_free(w, window, ctx);
    }
}

int64_t window_next_us(const struct aggregation *a, int64_t time_us)
{
    int64_t slide = a->options.slide_us;
    return time_us == TIME_NONE ? WINDOW_ALL : floor_div(time_us, slide) * slide + slide;
}
