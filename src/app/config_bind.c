/* SPDX-License-Identifier: MIT
 *
 * config_bind.c - values into the configuration: from a file's tree, from the environment, from --set. Each problem is
 * said with its position and binding goes on, so that one run shows them all.
 */
#include "app/config_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- problems */

void loader_problem(struct loader *l, const struct err *err)
{
    if (l->problems++ == 0 && l->first) {
        *l->first = *err;
    }
    if (l->problems <= PROBLEMS_MAX && l->sources->problem) {
        l->sources->problem(err->text, l->sources->problem_ctx);
    }
}

void loader_refuse(struct loader *l, const struct node *n, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    struct err err = {0};
    err_set(&err, ERR_REJECT, EXIT_CONFIG, "%s:%zu:%zu: %s", l->file, n->line, n->column, text);
    loader_problem(l, &err);
}

/* ---- origins */

void config_origin_set(struct config *c, const char *key, const char *place)
{
    struct config_private *p = c->p;
    for (size_t i = 0; i < p->origin_count; i++) {
        if (strcmp(p->origins[i].key, key) == 0) {
            free(p->origins[i].place);
            p->origins[i].place = place ? str_dup(str_of(place)) : NULL;
            return;
        }
    }
    if (!place) {
        return;
    }
    p->origins = xrealloc(p->origins, (p->origin_count + 1) * sizeof *p->origins);
    p->origins[p->origin_count++] = (struct origin){str_dup(str_of(key)), str_dup(str_of(place))};
}

const char *config_origin(const struct config *c, const char *key)
{
    for (size_t i = 0; i < c->p->origin_count; i++) {
        if (strcmp(c->p->origins[i].key, key) == 0) {
            return c->p->origins[i].place;
        }
    }
    return NULL;
}

/* ---- finding a key */

struct target { /* where a key's value goes */
    const struct option *row;
    void *base;
    char key[CONFIG_KEY_MAX]; /* in full: "aggregations.bots.size" */
};

struct definition *config_definition(struct config *c, struct str name)
{
    for (size_t i = 0; i < c->p->definition_count; i++) {
        if (str_eqz(name, c->p->definitions[i].name)) {
            return &c->p->definitions[i];
        }
    }
    return NULL;
}

static bool is_aggregation_name(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (i > 0 && (c == '_' || (c >= '0' && c <= '9'))))) {
            return false;
        }
    }
    return s.len > 0 && s.len <= 40;
}

/* Finds or makes it. NULL: not a name, or too many; err says so. */
static struct definition *definition_get(struct config *c, struct str name, struct err *err)
{
    struct definition *d = config_definition(c, name);
    struct config_private *p = c->p;
    if (d) {
        return d;
    }
    if (!is_aggregation_name(name)) {
        err_set(err, ERR_REJECT, EXIT_CONFIG,
                "\"%.*s\" is no name for an aggregation: a-z, then a-z, 0-9 and _, at most 40", STR_ARG(name));
        return NULL;
    }
    if (p->definition_count == AGGREGATIONS_MAX) {
        err_set(err, ERR_REJECT, EXIT_CONFIG, "more than %d aggregations", AGGREGATIONS_MAX);
        return NULL;
    }
    p->definitions = xrealloc(p->definitions, (p->definition_count + 1) * sizeof *p->definitions);
    d = &p->definitions[p->definition_count++];
    *d = (struct definition){.name = str_dup(name)};
    size_t rows;
    const struct option *table = config_aggregation_options(&rows);
    option_defaults(table, rows, d);
    return d;
}

const char *config_definition_place(const struct config *c, const struct definition *d)
{
    char prefix[CONFIG_KEY_MAX];
    int len = snprintf(prefix, sizeof prefix, "aggregations.%s.", d->name);
    for (size_t i = 0; i < c->p->origin_count; i++) {
        if (strncmp(c->p->origins[i].key, prefix, (size_t)len) == 0) {
            return c->p->origins[i].place;
        }
    }
    return NULL;
}

/* The names below a section, for "did you mean". -> how many. */
static size_t known_below(struct str section, const char **names, size_t max)
{
    size_t rows, count = 0;
    const struct option *table = config_options(&rows);
    for (size_t i = 0; i < rows; i++) {
        struct str key = str_of(table[i].key);
        bool inside = section.len ? str_starts(key, section) && key.len > section.len && key.ptr[section.len] == '.'
                                  : !memchr(key.ptr, '.', key.len);
        if (inside && count < max) {
            names[count++] = table[i].key + (section.len ? section.len + 1 : 0);
        }
    }
    for (size_t i = 0; !section.len && i < config_section_count() && count < max; i++) {
        names[count++] = config_sections[i].name;
    }
    if (!section.len && count + 2 <= max) {
        names[count++] = "aggregations";
        names[count++] = "tests";
    }
    return count;
}

/* A key that is known, but in another section: "url" at the top. */
static const char *known_elsewhere(struct str word)
{
    size_t rows;
    const struct option *table = config_options(&rows);
    for (size_t i = 0; i < rows; i++) {
        const char *dot = strchr(table[i].key, '.');
        if (dot && str_eqz(word, dot + 1)) {
            return table[i].key;
        }
    }
    return NULL;
}

static void unknown_key(struct str word, const char *where, const char *near, struct err *err)
{
    const char *elsewhere = near ? NULL : known_elsewhere(word);
    const char *best = near ? near : elsewhere;
    err_set(err, ERR_REJECT, EXIT_CONFIG, "unknown key \"%.*s\"%s%s%s%s%s%s", (int)(word.len < 80 ? word.len : 80),
            word.ptr ? word.ptr : "", *where ? " in \"" : "", where, *where ? "\"" : "",
            best ? "; did you mean \"" : "", best ? best : "", best ? "\"" : "");
}

enum { NAMES_MAX = 64 };

/* A key of the table, in full ("source.url", "data_dir"). */
static bool find_plain(struct config *c, struct str section, struct str word, struct target *ret, struct err *err)
{
    snprintf(ret->key, sizeof ret->key, "%.*s%s%.*s", STR_ARG(section), section.len ? "." : "",
             (int)(word.len < 80 ? word.len : 80), word.ptr ? word.ptr : "");
    size_t rows;
    const struct option *table = config_options(&rows);
    bool dotted = word.len > 0 && memchr(word.ptr, '.', word.len); /* sections are mappings, not dots */
    ret->row = dotted ? NULL : option_find(table, rows, str_of(ret->key));
    ret->base = c;
    if (!ret->row) {
        const char *names[NAMES_MAX];
        char where[80];
        snprintf(where, sizeof where, "%.*s", STR_ARG(section));
        unknown_key(word, where, suggest(word, names, known_below(section, names, NAMES_MAX)), err);
    }
    return ret->row != NULL;
}

/* A key of an aggregation. */
static bool find_aggregation(struct definition *d, struct str word, struct target *ret, struct err *err)
{
    snprintf(ret->key, sizeof ret->key, "aggregations.%s.%.*s", d->name, (int)(word.len < 80 ? word.len : 80),
             word.ptr ? word.ptr : "");
    size_t rows;
    const struct option *table = config_aggregation_options(&rows);
    ret->row = option_find(table, rows, word);
    ret->base = d;
    if (!ret->row) {
        const char *names[NAMES_MAX];
        for (size_t i = 0; i < rows; i++) {
            names[i] = table[i].key;
        }
        char where[80];
        snprintf(where, sizeof where, "aggregations.%s", d->name);
        unknown_key(word, where, suggest(word, names, rows), err);
    }
    return ret->row != NULL;
}

/* A dotted key, as --set and explain take it. */
static bool find_dotted(struct config *c, struct str key, struct target *ret, struct err *err)
{
    struct str rest = key, section;
    if (!str_split(&rest, '.', &section) || rest.len == 0) {
        return find_plain(c, STR(""), key, ret, err);
    }
    if (!str_eqz(section, "aggregations")) {
        return find_plain(c, section, rest, ret, err);
    }
    struct str name;
    str_split(&rest, '.', &name);
    struct definition *d = definition_get(c, name, err);
    return d && find_aggregation(d, rest, ret, err);
}

/* ---- setting a value */

static void value_set(struct loader *l, const struct target *t, struct str text, const char *place)
{
    struct option row = *t->row;
    row.key = t->key; /* errors name it in full */
    struct err err = {0};
    if (option_set(&row, t->base, text, &err)) {
        err_prefix(&err, "%s", place);
        loader_problem(l, &err);
    } else if (!l->is_default) {
        config_origin_set(l->config, t->key, place);
    }
}

static void node_place(const struct loader *l, const struct node *n, char *out, size_t size)
{
    snprintf(out, size, "%s:%zu:%zu", l->file, n->line, n->column);
}

bool bind_text(struct loader *l, const struct node *n, struct str *ret_text)
{
    if (n->kind != NODE_SCALAR) {
        loader_refuse(l, n, "a single value is wanted here, not %s", node_kind_name(n));
        return false;
    }
    AUTO(buf) struct buf out = {0};
    size_t at = 0;
    struct err err = {0};
    if (environment_replace(&l->environment, n->text, &out, &at, &err)) {
        struct node place = *n;
        place.column += at + n->quoted;
        loader_refuse(l, &place, "%s", err.text);
        return false;
    }
    *ret_text = arena_dup(&l->config->p->arena, buf_str(&out));
    return true;
}

/* Items one by one: a list in a file may hold commas. */
static void bind_list(struct loader *l, const struct target *t, const struct node *n)
{
    struct string_list list = {0};
    bool good = true;
    for (const struct node *item = n->first; item; item = item->next) {
        struct str text;
        if (!bind_text(l, item, &text)) {
            good = false;
        } else if (text.len == 0 || list.count == 1000) {
            loader_refuse(l, item, text.len ? "\"%s\" has more than 1,000 items" : "\"%s\" has an item without text",
                          t->key);
            good = false;
        } else {
            string_list_add(&list, text);
        }
    }
    if (!good) {
        string_list_fini(&list);
        return;
    }
    struct string_list *at = (struct string_list *)(void *)((char *)t->base + t->row->offset);
    string_list_fini(at);
    *at = list;
    if (!l->is_default) {
        char place[4200];
        node_place(l, n, place, sizeof place);
        config_origin_set(l->config, t->key, place);
    }
}

static void bind_value(struct loader *l, const struct target *t, const struct node *n)
{
    if (t->row->secret && !l->file_private) {
        loader_refuse(l, n, "\"%s\" is a secret, but others may read this file; make its mode 0600 or use \"%s_file\"",
                      t->key, t->key);
    } else if (t->row->type == OPTION_LIST && n->kind == NODE_LIST) {
        bind_list(l, t, n);
    } else if (n->kind != NODE_SCALAR) {
        loader_refuse(l, n, "\"%s\" wants %s, not %s", t->key,
                      t->row->type == OPTION_LIST ? "a list" : "a single value", node_kind_name(n));
    } else if (node_is_null(n)) {
        loader_refuse(l, n, "\"%s\" has no value; write \"\" for an empty one, or leave the line out", t->key);
    } else {
        struct str text;
        char place[4200];
        node_place(l, n, place, sizeof place);
        if (bind_text(l, n, &text)) {
            value_set(l, t, text, place);
        }
    }
}

/* ---- a file's tree */

static bool wants_map(struct loader *l, const char *name, const struct node *n)
{
    if (n->kind == NODE_MAP) {
        return true;
    }
    if (!node_is_null(n)) { /* a heading with nothing below it is fine */
        loader_refuse(l, n, "\"%s\" wants a mapping of keys and values, not %s", name, node_kind_name(n));
    }
    return false;
}

static void bind_section(struct loader *l, const char *name, const struct node *map)
{
    if (!wants_map(l, name, map)) {
        return;
    }
    for (const struct node *key = map->first; key; key = key->next->next) {
        struct target target;
        struct err err = {0};
        if (find_plain(l->config, str_of(name), key->text, &target, &err)) {
            bind_value(l, &target, key->next);
        } else {
            loader_refuse(l, key, "%s", err.text);
        }
    }
}

static void bind_aggregation(struct loader *l, const struct node *name)
{
    struct err err = {0};
    if (!definition_get(l->config, name->text, &err)) {
        loader_refuse(l, name, "%s", err.text);
        return;
    }
    char full[CONFIG_KEY_MAX];
    snprintf(full, sizeof full, "aggregations.%.*s", STR_ARG(name->text));
    if (!wants_map(l, full, name->next)) {
        return;
    }
    for (const struct node *key = name->next->first; key; key = key->next->next) {
        struct target target;
        if (find_aggregation(config_definition(l->config, name->text), key->text, &target, &err)) {
            bind_value(l, &target, key->next);
        } else {
            loader_refuse(l, key, "%s", err.text);
        }
    }
}

static void bind_top(struct loader *l, const struct node *key)
{
    for (size_t i = 0; i < config_section_count(); i++) {
        if (str_eqz(key->text, config_sections[i].name)) {
            bind_section(l, config_sections[i].name, key->next);
            return;
        }
    }
    struct target target;
    struct err err = {0};
    if (str_eqz(key->text, "aggregations")) {
        if (wants_map(l, "aggregations", key->next)) {
            for (const struct node *name = key->next->first; name; name = name->next->next) {
                bind_aggregation(l, name);
            }
        }
    } else if (str_eqz(key->text, "tests")) {
        bind_tests(l, key->next);
    } else if (find_plain(l->config, STR(""), key->text, &target, &err)) {
        bind_value(l, &target, key->next);
    } else {
        loader_refuse(l, key, "%s", err.text);
    }
}

void bind_root(struct loader *l, const struct node *root)
{
    if (!root || node_is_null(root)) {
        return;
    }
    if (root->kind != NODE_MAP) {
        loader_refuse(l, root, "a configuration is a mapping of sections, not %s", node_kind_name(root));
        return;
    }
    for (const struct node *key = root->first; key; key = key->next->next) {
        bind_top(l, key);
    }
}

/* ---- the environment */

/* "SOURCE_CA_FILE" is the variable of "source.ca_file". */
static bool variable_is(struct str name, const char *key)
{
    size_t i = 0;
    for (; key[i] && i < name.len; i++) {
        char c = key[i] == '.' ? '_' : key[i] >= 'a' && key[i] <= 'z' ? (char)(key[i] - 'a' + 'A') : key[i];
        if (name.ptr[i] != c) {
            return false;
        }
    }
    return i == name.len && !key[i];
}

static bool find_variable_plain(struct loader *l, struct str name, struct target *ret)
{
    size_t rows;
    const struct option *table = config_options(&rows);
    for (size_t i = 0; i < rows; i++) {
        if (variable_is(name, table[i].key)) {
            ret->row = &table[i];
            ret->base = l->config;
            snprintf(ret->key, sizeof ret->key, "%s", table[i].key);
            return true;
        }
    }
    return false;
}

/* Names may hold "_", so "A_B_MAX_KEYS" could be two things. -> how many it is. */
static size_t find_variable_aggregation(struct loader *l, struct str name, struct target *ret)
{
    size_t rows, found = 0;
    const struct option *table = config_aggregation_options(&rows);
    for (size_t d = 0; d < l->config->p->definition_count; d++) {
        for (size_t i = 0; i < rows; i++) {
            char key[CONFIG_KEY_MAX];
            snprintf(key, sizeof key, "aggregations.%s.%s", l->config->p->definitions[d].name, table[i].key);
            if (variable_is(name, key)) {
                *ret = (struct target){.row = &table[i], .base = &l->config->p->definitions[d]};
                snprintf(ret->key, sizeof ret->key, "%s", key);
                found++;
            }
        }
    }
    return found;
}

/* Names that are ours and mean something else, and those that Kubernetes makes for a service called "wikitally". */
static bool variable_is_reserved(struct str name)
{
    static const char *const whole[] = {"CONFIG", "URL", "FAULTS", "FAILPOINT", "SHARED", "PORT"};
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        if (str_eqz(name, whole[i])) {
            return true;
        }
    }
    return str_starts(name, STR("PORT_")) || str_starts(name, STR("SERVICE_")) || str_starts(name, STR("TEST_"));
}

static bool variable_in_section(struct str name)
{
    for (size_t i = 0; i < config_section_count(); i++) {
        struct str section = str_of(config_sections[i].name);
        if (name.len > section.len && name.ptr[section.len] == '_' &&
            variable_is(str_n(name.ptr, section.len), config_sections[i].name)) {
            return true;
        }
    }
    return str_starts(name, STR("AGGREGATIONS_"));
}

static void unknown_variable(struct loader *l, const struct variable *v, struct str name)
{
    size_t rows;
    const struct option *table = config_options(&rows);
    char names[NAMES_MAX][64];
    const char *known[NAMES_MAX];
    for (size_t i = 0; i < rows && i < NAMES_MAX; i++) {
        size_t at = 0;
        for (; table[i].key[at] && at < 63; at++) {
            char c = table[i].key[at];
            names[i][at] = (char)(c == '.' ? '_' : c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
        }
        names[i][at] = '\0';
        known[i] = names[i];
    }
    const char *near = suggest(name, known, rows < NAMES_MAX ? rows : NAMES_MAX);
    struct err err = {0};
    err_set(&err, ERR_REJECT, EXIT_CONFIG, "%s: no key has that name%s%s%s", v->place,
            near ? "; did you mean \"WIKITALLY_" : "", near ? near : "", near ? "\"" : "");
    if (variable_in_section(name) || near) {
        loader_problem(l, &err);
    } else {
        string_list_add(&l->config->warnings, str_of(err.text));
    }
}

static void bind_variable(struct loader *l, const struct variable *v)
{
    struct str name = str_n(v->name.ptr + strlen("WIKITALLY_"), v->name.len - strlen("WIKITALLY_"));
    struct target target;
    size_t found = find_variable_plain(l, name, &target) ? 1 : find_variable_aggregation(l, name, &target);
    if (found > 1) {
        struct err err = {0};
        err_set(&err, ERR_REJECT, EXIT_CONFIG, "%s: that could be two aggregations' key; write it into a file",
                v->place);
        loader_problem(l, &err);
    } else if (found == 1) {
        if (target.row->secret && v->value.len > 0) {
            struct err text = {0};
            err_set(&text, ERR_NONE, 0, "%s: a secret in the environment can be read by others; better set \"%s_file\"",
                    v->place, target.key);
            string_list_add(&l->config->warnings, str_of(text.text));
        }
        value_set(l, &target, v->value, v->place);
    } else if (!variable_is_reserved(name)) {
        unknown_variable(l, v, name);
    }
}

void bind_environment(struct loader *l)
{
    for (size_t i = 0; i < l->environment.count; i++) {
        if (str_starts(l->environment.variables[i].name, STR("WIKITALLY_"))) {
            bind_variable(l, &l->environment.variables[i]);
        }
    }
}

/* ---- --set */

void bind_set(struct loader *l, const char *assignment)
{
    struct err err = {0};
    struct str value = str_of(assignment), key;
    struct target target;
    if (!strchr(assignment, '=') || !str_split(&value, '=', &key)) {
        err_set(&err, ERR_REJECT, EXIT_CONFIG, "--set \"%s\" is not of the form key=value", assignment);
    } else if (find_dotted(l->config, str_trim(key), &target, &err)) {
        value = str_of(strchr(assignment, '=') + 1);
        if (!target.row->secret) {
            value_set(l, &target, value, "--set");
            return;
        }
        err_set(&err, ERR_REJECT, EXIT_CONFIG,
                "--set %s: a secret on the command line can be read by everybody; use \"%s_file\"", target.key,
                target.key);
    } else {
        err_prefix(&err, "--set");
    }
    loader_problem(l, &err);
}
