/* SPDX-License-Identifier: MIT
 *
 * config_test_parse.c - the `tests:` of a configuration file into steps (config_test.h says what may stand there).
 */
#include "app/config_private.h"
#include "app/config_test.h"

#include <stdio.h>
#include <stdlib.h>

#define TEST_DAY "2026-06-01"
enum { TESTS_MAX = 1000, STEPS_MAX = 10000 };

static const char *const step_names[] = {
    [STEP_AT] = "at",     [STEP_WAIT] = "wait",       [STEP_EVENT] = "event",   [STEP_CANARY] = "canary",
    [STEP_TICK] = "tick", [STEP_RESTART] = "restart", [STEP_EXPECT] = "expect", [STEP_LEDGER] = "ledger",
};
enum { STEP_KINDS = sizeof step_names / sizeof *step_names };

static struct arena *arena_of(struct loader *l)
{
    return &l->config->p->arena;
}

/* ---- times */

/* "12:00", "12:00:05", "12:00:05.250" of the tests' day, or RFC 3339. */
static bool parse_time(struct str s, int64_t *ret_us)
{
    char text[64];
    if (s.len < 5 || s.len > 40) {
        return false;
    }
    if (s.ptr[2] == ':') {
        snprintf(text, sizeof text, TEST_DAY "T%.*s%sZ", STR_ARG(s), s.len == 5 ? ":00" : "");
        s = str_of(text);
    }
    return time_parse_rfc3339(s, ret_us) && *ret_us >= 0 && *ret_us < TIME_END;
}

static bool bind_time(struct loader *l, const struct node *n, int64_t *ret_us)
{
    struct str text;
    if (!bind_text(l, n, &text)) {
        return false;
    }
    if (!parse_time(text, ret_us)) {
        loader_refuse(l, n, "\"%.*s\" is no time such as 12:00:05 or " TEST_DAY "T12:00:05Z",
                      (int)(text.len < 80 ? text.len : 80), text.ptr);
        return false;
    }
    return true;
}

/* ---- events: YAML fields as JSON */

static bool is_json_number(struct str s)
{
    int64_t number;
    bool zero_first = s.len > 1 && (s.ptr[0] == '0' || (s.ptr[0] == '-' && s.len > 2 && s.ptr[1] == '0'));
    return str_to_int64(s, &number) && !zero_first;
}

static void add_json_scalar(struct buf *out, const struct node *n, struct str text)
{
    bool word = !n->quoted && (str_eqz(text, "true") || str_eqz(text, "false") || str_eqz(text, "null"));
    if (word || (!n->quoted && is_json_number(text))) {
        buf_add(out, text);
    } else {
        buf_add_json(out, text);
    }
}

static bool add_json_node(struct loader *l, struct buf *out, const struct node *n);

static bool add_json_map(struct loader *l, struct buf *out, const struct node *map)
{
    buf_addc(out, '{');
    for (const struct node *key = map->first; key; key = key->next->next) {
        buf_addz(out, key == map->first ? "" : ",");
        buf_add_json(out, key->text);
        buf_addc(out, ':');
        if (!add_json_node(l, out, key->next)) {
            return false;
        }
    }
    buf_addc(out, '}');
    return true;
}

static bool add_json_node(struct loader *l, struct buf *out, const struct node *n)
{
    struct str text;
    if (n->kind == NODE_MAP) {
        return add_json_map(l, out, n);
    }
    if (n->kind == NODE_SCALAR) {
        bool good = bind_text(l, n, &text);
        if (good) {
            add_json_scalar(out, n, text);
        }
        return good;
    }
    buf_addc(out, '[');
    for (const struct node *item = n->first; item; item = item->next) {
        buf_addz(out, item == n->first ? "" : ",");
        if (!add_json_node(l, out, item)) {
            return false;
        }
    }
    buf_addc(out, ']');
    return true;
}

/* A time of day where the stream has a clock: whole seconds in `timestamp`, text with milliseconds in `meta.dt`. */
static bool add_json_time(struct buf *out, const char *path, const struct node *n)
{
    int64_t us;
    if (n->kind != NODE_SCALAR || !parse_time(n->text, &us)) {
        return false;
    }
    if (strcmp(path, "timestamp") == 0 && us % US_PER_SECOND == 0) {
        buf_add_int(out, us / US_PER_SECOND);
        return true;
    }
    if (strcmp(path, "meta.dt") == 0) {
        buf_addc(out, '"');
        time_format_ms(out, us);
        buf_addc(out, '"');
        return true;
    }
    return false;
}

struct fields { /* of one event, being collected */
    struct test_field list[TEST_FIELDS_MAX];
    size_t count;
};

static bool add_field(struct loader *l, struct fields *fields, const char *prefix, const struct node *key)
{
    const struct node *value = key->next;
    struct buf path = {0}, json = {0};
    buf_addf(&path, "%s%.*s", prefix, STR_ARG(key->text));
    bool absent = value->kind == NODE_SCALAR && !value->quoted && str_eqz(value->text, "absent");
    bool good = fields->count < TEST_FIELDS_MAX;
    if (!good) {
        loader_refuse(l, key, "more than %d fields", TEST_FIELDS_MAX);
    } else if (*prefix == '\0' && memchr(key->text.ptr, '.', key->text.len) && !str_starts(key->text, STR("meta."))) {
        loader_refuse(l, key, "a name with a dot cannot be reached; write an object, such as length: {new: 5}");
        good = false;
    } else if (!absent && !add_json_time(&json, path.ptr, value)) {
        good = add_json_node(l, &json, value);
    }
    if (good) {
        fields->list[fields->count++] = (struct test_field){
            .path = arena_dup(arena_of(l), buf_str(&path)),
            .json = absent ? str_n(NULL, 0) : arena_dup(arena_of(l), buf_str(&json)),
        };
    }
    buf_fini(&path);
    buf_fini(&json);
    return good;
}

/* An event without `meta`, or with another one, cannot be had: what was given goes over the fields that it has. */
static bool add_meta(struct loader *l, struct fields *fields, const struct node *map)
{
    if (map->kind != NODE_MAP) {
        loader_refuse(l, map, "\"meta\" wants a mapping of fields, not %s", node_kind_name(map));
        return false;
    }
    for (const struct node *key = map->first; key; key = key->next->next) {
        if (!add_field(l, fields, "meta.", key)) {
            return false;
        }
    }
    return true;
}

static bool bind_fields(struct loader *l, const struct node *map, struct test_step *step)
{
    if (map->kind != NODE_MAP) {
        loader_refuse(l, map, "an event wants a mapping of fields, not %s", node_kind_name(map));
        return false;
    }
    struct fields fields = {0};
    bool good = true;
    for (const struct node *key = map->first; key && good; key = key->next->next) {
        if (str_eqz(key->text, "arrives")) {
            good = bind_time(l, key->next, &step->time_us);
        } else if (str_eqz(key->text, "meta")) {
            good = add_meta(l, &fields, key->next);
        } else {
            good = add_field(l, &fields, "", key);
        }
    }
    struct test_field *list = arena_zalloc(arena_of(l), (fields.count + 1) * sizeof *list);
    memcpy(list, fields.list, fields.count * sizeof *list);
    step->fields = list;
    step->field_count = fields.count;
    return good;
}

/* ---- what is expected */

static bool bind_cell(struct loader *l, const struct node *key, struct test_cell *ret)
{
    if (!bind_text(l, key->next, &ret->value)) {
        return false;
    }
    ret->column = arena_dup(arena_of(l), key->text);
    if (str_eqz(key->text, "window") || str_eqz(key->text, "window_end")) {
        AUTO(buf) struct buf text = {0};
        int64_t us;
        if (!bind_time(l, key->next, &us)) {
            return false;
        }
        time_format(&text, us);
        ret->value = arena_dup(arena_of(l), buf_str(&text));
    }
    return true;
}

static bool bind_row(struct loader *l, const struct node *map, struct test_row *ret)
{
    if (map->kind != NODE_MAP) {
        loader_refuse(l, map, "a mapping of columns and values is wanted here, not %s", node_kind_name(map));
        return false;
    }
    struct test_cell *cells = arena_zalloc(arena_of(l), (map->count + 1) * sizeof *cells);
    *ret = (struct test_row){.line = map->line, .cells = cells};
    for (const struct node *key = map->first; key; key = key->next->next) {
        if (!bind_cell(l, key, &cells[ret->cell_count++])) {
            return false;
        }
    }
    return true;
}

static bool bind_rows(struct loader *l, const struct node *list, struct test_step *step)
{
    if (list->kind != NODE_LIST) {
        loader_refuse(l, list, "\"expect\" wants a list of rows ([] for none), not %s", node_kind_name(list));
        return false;
    }
    struct test_row *rows = arena_zalloc(arena_of(l), (list->count + 1) * sizeof *rows);
    step->rows = rows;
    for (const struct node *item = list->first; item; item = item->next) {
        if (!bind_row(l, item, &rows[step->row_count++])) {
            return false;
        }
    }
    return true;
}

static bool bind_ledger(struct loader *l, const struct node *map, struct test_step *step)
{
    struct test_row *row = arena_zalloc(arena_of(l), sizeof *row);
    if (!bind_row(l, map, row)) {
        return false;
    }
    for (const struct node *key = map->first; key; key = key->next->next) {
        const char *near = suggest(key->text, task_bucket_names, TASK_BUCKETS);
        int64_t number;
        if (!near || !str_eqz(key->text, near)) {
            loader_refuse(l, key, "the ledger has no bucket \"%.*s\"%s%s%s",
                          (int)(key->text.len < 80 ? key->text.len : 80), key->text.ptr,
                          near ? "; did you mean \"" : "", near ? near : "", near ? "\"" : "");
            return false;
        }
        if (!str_to_int64(key->next->text, &number)) {
            loader_refuse(l, key->next, "a count is wanted here");
            return false;
        }
    }
    step->rows = row;
    step->row_count = 1;
    return true;
}

/* ---- steps */

static bool step_kind(struct loader *l, const struct node *word, enum test_step_kind *ret)
{
    for (size_t i = 0; i < STEP_KINDS; i++) {
        if (str_eqz(word->text, step_names[i])) {
            *ret = (enum test_step_kind)i;
            return true;
        }
    }
    const char *near = suggest(word->text, step_names, STEP_KINDS);
    loader_refuse(l, word, "there is no step \"%.*s\"%s%s%s", (int)(word->text.len < 80 ? word->text.len : 80),
                  word->text.ptr, near ? "; did you mean \"" : "", near ? near : "", near ? "\"" : "");
    return false;
}

static bool bind_wait(struct loader *l, const struct node *n, struct test_step *step)
{
    struct str text;
    if (!bind_text(l, n, &text)) {
        return false;
    }
    if (!duration_parse(text, &step->time_us)) {
        loader_refuse(l, n, "\"%.*s\" is no duration such as 30s or 2m", (int)(text.len < 80 ? text.len : 80),
                      text.ptr);
        return false;
    }
    return true;
}

static bool bind_argument(struct loader *l, const struct node *word, const struct node *argument,
                          struct test_step *step)
{
    switch (step->kind) {
    case STEP_AT:
        return bind_time(l, argument, &step->time_us);
    case STEP_WAIT:
        return bind_wait(l, argument, step);
    case STEP_EVENT:
    case STEP_CANARY:
        step->time_us = TIME_NONE;
        return bind_fields(l, argument, step);
    case STEP_EXPECT:
        return bind_rows(l, argument, step);
    case STEP_LEDGER:
        return bind_ledger(l, argument, step);
    case STEP_TICK:
    case STEP_RESTART:
        break;
    }
    loader_refuse(l, word, "the step \"%s\" stands alone", step_names[step->kind]);
    return false;
}

static bool bind_step(struct loader *l, const struct node *n, struct test_step *step)
{
    const struct node *word = n->kind == NODE_MAP ? n->first : n;
    if (n->kind == NODE_LIST || (n->kind == NODE_MAP && n->count != 1)) {
        loader_refuse(l, n, "a step is one word with what belongs to it, such as \"at: 12:00:05\"");
        return false;
    }
    if (!step_kind(l, word, &step->kind)) {
        return false;
    }
    step->line = n->line;
    if (n->kind == NODE_MAP) {
        return bind_argument(l, word, word->next, step);
    }
    step->time_us = TIME_NONE;
    if (step->kind != STEP_CANARY && step->kind != STEP_TICK && step->kind != STEP_RESTART) {
        loader_refuse(l, n, "the step \"%s\" wants something behind it", step_names[step->kind]);
        return false;
    }
    return true;
}

/* Moves the clock as the step will. */
static bool clock_moves(struct loader *l, const struct node *n, const struct test_step *step, int64_t *clock_us)
{
    if (step->kind == STEP_AT && step->time_us < *clock_us) {
        loader_refuse(l, n, "the clock cannot go back; give an event its own \"timestamp\" instead");
        return false;
    }
    if (step->kind == STEP_WAIT && step->time_us >= TIME_END - *clock_us) {
        loader_refuse(l, n, "the clock would come to the year 9999; wait for less");
        return false;
    }
    *clock_us = step->kind == STEP_AT ? step->time_us : step->kind == STEP_WAIT ? *clock_us + step->time_us : *clock_us;
    return true;
}

static bool bind_steps(struct loader *l, const struct node *list, struct config_test *test)
{
    if (list->kind != NODE_LIST || list->count == 0 || list->count > STEPS_MAX) {
        loader_refuse(l, list, "\"steps\" wants a list of 1 to %d steps", STEPS_MAX);
        return false;
    }
    struct test_step *steps = arena_zalloc(arena_of(l), list->count * sizeof *steps);
    test->steps = steps;
    int64_t clock_us = 0;
    for (const struct node *item = list->first; item; item = item->next) {
        struct test_step *step = &steps[test->step_count++];
        if (!bind_step(l, item, step) || !clock_moves(l, item, step, &clock_us)) {
            return false;
        }
    }
    if (steps[0].kind != STEP_AT) {
        loader_refuse(l, list->first, "the first step must be \"at\": it sets the clock");
        return false;
    }
    return true;
}

/* ---- tests */

static bool bind_test_key(struct loader *l, const struct node *key, struct config_test *test)
{
    static const char *const known[] = {"name", "aggregation", "steps"};
    struct str text;
    if (str_eqz(key->text, "steps")) {
        return bind_steps(l, key->next, test);
    }
    if (str_eqz(key->text, "name") || str_eqz(key->text, "aggregation")) {
        const char **at = str_eqz(key->text, "name") ? &test->name : &test->aggregation;
        bool good = bind_text(l, key->next, &text);
        *at = good ? text.ptr : NULL;
        return good;
    }
    const char *near = suggest(key->text, known, 3);
    loader_refuse(l, key, "unknown key \"%.*s\" in a test%s%s%s", (int)(key->text.len < 80 ? key->text.len : 80),
                  key->text.ptr, near ? "; did you mean \"" : "", near ? near : "", near ? "\"" : "");
    return false;
}

static bool bind_test(struct loader *l, const struct node *map, struct config_test *test)
{
    if (map->kind != NODE_MAP) {
        loader_refuse(l, map, "a test is a mapping with name, aggregation and steps, not %s", node_kind_name(map));
        return false;
    }
    *test = (struct config_test){
        .line = map->line, .column = map->column, .file = arena_dup(arena_of(l), str_of(l->file)).ptr};
    for (const struct node *key = map->first; key; key = key->next->next) {
        if (!bind_test_key(l, key, test)) {
            return false;
        }
    }
    if (!test->name || !test->aggregation || !test->steps) {
        loader_refuse(l, map, "a test needs a \"%s\"",
                      !test->name          ? "name"
                      : !test->aggregation ? "aggregation"
                                           : "steps");
        return false;
    }
    return true;
}

void bind_tests(struct loader *l, const struct node *list)
{
    if (node_is_null(list)) {
        return;
    }
    if (list->kind != NODE_LIST) {
        loader_refuse(l, list, "\"tests\" wants a list, not %s", node_kind_name(list));
        return;
    }
    struct config *c = l->config;
    if (c->test_count + list->count > TESTS_MAX) {
        loader_refuse(l, list, "more than %d tests", TESTS_MAX);
        return;
    }
    struct config_test *tests = arena_zalloc(arena_of(l), (c->test_count + list->count) * sizeof *tests);
    if (c->test_count) {
        memcpy(tests, c->tests, c->test_count * sizeof *tests); /* those of files read before */
    }
    size_t count = c->test_count;
    for (const struct node *item = list->first; item; item = item->next) {
        if (bind_test(l, item, &tests[count])) {
            count++;
        }
    }
    c->tests = tests;
    c->test_count = count;
}
