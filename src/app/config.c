/* SPDX-License-Identifier: MIT
 *
 * config.c - the layers, from the defaults to --set, and what is made of them at the end.
 */
#include "app/config_private.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SYSTEM_FILE "/etc/wikitally/wikitally.yaml"
enum { FILE_MAX = 1 << 20, DROP_INS_MAX = 100, PATH_BYTES = 4096 };

/* ---- one file */

static void bind_file_text(struct loader *l, struct str text)
{
    AUTO(arena) struct arena tree = {0};
    struct node *root = NULL;
    struct err err = {0};
    if (str_starts(text, STR("\xef\xbb\xbf"))) { /* some editors put a mark at the front */
        text = str_n(text.ptr + 3, text.len - 3);
    }
    if (node_parse(l->file, text, &tree, &root, &err)) {
        loader_problem(l, &err);
        return;
    }
    bind_root(l, root);
}

/* -> was it there? */
static bool load_file(struct loader *l, const char *path, bool must_exist)
{
    AUTO(buf) struct buf text = {0};
    bool missing = false;
    struct err err = {0};
    if (config_read_file(path, FILE_MAX, &text, &missing, &l->file_private, &err)) {
        if (!missing || must_exist) {
            loader_problem(l, &err);
        }
        return !missing;
    }
    l->file = path;
    bind_file_text(l, buf_str(&text));
    return true;
}

static void load_built_in(struct loader *l)
{
    l->is_default = true;
    l->file = "built-in";
    bind_file_text(l, str_of(config_built_in));
    l->is_default = false;
}

/* ---- drop-ins */

static int is_drop_in(const struct dirent *entry)
{
    struct str name = str_of(entry->d_name);
    return name.len > 5 && name.ptr[0] != '.' && (str_ends(name, STR(".yaml")) || str_ends(name, STR(".yml")));
}

/* conf.d beside a file, by name (bytes, so that the order is the same in every language). */
static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void load_drop_ins(struct loader *l, const char *beside)
{
    const char *slash = strrchr(beside, '/');
    char directory[PATH_BYTES];
    if (snprintf(directory, sizeof directory, "%.*s/conf.d", slash ? (int)(slash - beside) : 1, slash ? beside : ".") >=
        (int)sizeof directory) {
        return;
    }
    struct dirent **entries;
    int count = scandir(directory, &entries, is_drop_in, by_bytes);
    struct err err = {0};
    if (count < 0) {
        if (errno != ENOENT && errno != ENOTDIR) {
            err_errno(&err, ERR_REJECT, EXIT_CONFIG, errno, "cannot read \"%s\"", directory);
            loader_problem(l, &err);
        }
        return;
    }
    if (count > DROP_INS_MAX) {
        err_set(&err, ERR_REJECT, EXIT_CONFIG, "\"%s\" holds more than %d files", directory, DROP_INS_MAX);
        loader_problem(l, &err);
    }
    for (int i = 0; i < count; i++) {
        char path[PATH_BYTES + 256];
        snprintf(path, sizeof path, "%s/%s", directory, entries[i]->d_name);
        if (i < DROP_INS_MAX) {
            load_file(l, path, true);
        }
        free(entries[i]);
    }
    free(entries);
}

/* ---- which files */

static struct str variable_text(const struct loader *l, const char *name)
{
    const struct variable *v = environment_get(&l->environment, str_of(name));
    return v ? v->value : str_n(NULL, 0);
}

static void load_usual_files(struct loader *l)
{
    const char *system_file = l->sources->system_file ? l->sources->system_file : SYSTEM_FILE;
    struct str xdg = variable_text(l, "XDG_CONFIG_HOME"), home = variable_text(l, "HOME");
    char user_file[PATH_BYTES] = "";
    if (xdg.len && xdg.ptr[0] == '/') {
        snprintf(user_file, sizeof user_file, "%.*s/wikitally/wikitally.yaml", STR_ARG(xdg));
    } else if (home.len) {
        snprintf(user_file, sizeof user_file, "%.*s/.config/wikitally/wikitally.yaml", STR_ARG(home));
    }
    load_file(l, system_file, false);
    if (*user_file) {
        load_file(l, user_file, false);
    }
    load_drop_ins(l, system_file);
    if (*user_file) {
        load_drop_ins(l, user_file);
    }
}

static bool is_environment_name(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_')) {
            return false;
        }
    }
    return s.len > 0 && s.len <= 64;
}

/* conf.yaml and ENVIRONMENT=prod: conf.prod.yaml. Only for that name: other programs' ENVIRONMENT is none of ours. */
static void load_overlay(struct loader *l, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    const char *suffix = strcmp(name, "conf.yaml") == 0 ? ".yaml" : strcmp(name, "conf.yml") == 0 ? ".yml" : NULL;
    struct str environment = variable_text(l, "ENVIRONMENT");
    if (!suffix || environment.len == 0) {
        return;
    }
    struct err err = {0};
    if (!is_environment_name(environment)) {
        err_set(&err, ERR_REJECT, EXIT_CONFIG,
                "ENVIRONMENT is \"%.*s\", which is no name of an overlay (a-z, 0-9, - _)",
                (int)(environment.len < 100 ? environment.len : 100), environment.ptr);
        loader_problem(l, &err);
        return;
    }
    char overlay[PATH_BYTES];
    snprintf(overlay, sizeof overlay, "%.*sconf.%.*s%s", (int)(name - path), path, STR_ARG(environment), suffix);
    if (access(overlay, F_OK) != 0) {
        err_set(&err, ERR_REJECT, EXIT_CONFIG,
                "ENVIRONMENT is \"%.*s\", but there is no overlay \"%s\"; make it, or unset ENVIRONMENT",
                STR_ARG(environment), overlay);
        loader_problem(l, &err);
        return;
    }
    load_file(l, overlay, true);
}

static void load_files(struct loader *l)
{
    const char *file = l->sources->file;
    if (file && *file) {
        if (load_file(l, file, true)) {
            load_overlay(l, file);
        }
    } else {
        load_usual_files(l);
    }
}

/* ---- secrets */

/* A secret that may stand in a file of its own. */
struct secret {
    const char *file_key, *credential; /* "serve.token_file", "serve.token" */
    const char *file;                  /* as configured, or "" */
    char **value;
    size_t least; /* bytes */
};

/* They end at the line's end; editors put one there. */
static void secret_problem(struct loader *l, const struct secret *s, struct err *err)
{
    const char *place = config_origin(l->config, s->file_key);
    if (place) {
        err_prefix(err, "%s", place);
    }
    loader_problem(l, err);
}

static void secret_load(struct loader *l, const struct secret *s, const char *path, bool check_mode)
{
    AUTO(buf) struct buf text = {0};
    bool missing, is_private = false;
    struct err err = {0};
    if (config_read_file(path, 4096, &text, &missing, &is_private, &err)) {
        err_prefix(&err, "%s", s->file_key);
        secret_problem(l, s, &err);
        return;
    }
    struct str token = str_trim(buf_str(&text));
    if (check_mode && !is_private) {
        err_set(&err, ERR_REJECT, EXIT_CONFIG, "%s: others may read or write \"%s\"; make its mode 0600 (chmod 600)",
                s->file_key, path);
    } else if (token.len < s->least || memchr(token.ptr, '\n', token.len) || !str_is_utf8(token)) {
        err_set(&err, ERR_REJECT, EXIT_CONFIG, "%s: \"%s\" must hold one line of at least %zu characters", s->file_key,
                path, s->least);
    } else {
        free(*s->value);
        *s->value = str_dup(token);
        return;
    }
    secret_problem(l, s, &err);
}

static void secret_find(struct loader *l, const struct secret *s, struct str directory)
{
    if (*s->file) {
        secret_load(l, s, s->file, true);
    } else if (directory.len && !(*s->value && **s->value)) {
        char path[PATH_BYTES];
        snprintf(path, sizeof path, "%.*s/%s", STR_ARG(directory), s->credential);
        if (access(path, F_OK) == 0) {
            secret_load(l, s, path, false); /* the service manager guards that directory */
        }
    }
}

static void load_secrets(struct loader *l)
{
    struct config *c = l->config;
    struct str directory = variable_text(l, "CREDENTIALS_DIRECTORY");
    const struct secret secrets[] = {
        {"serve.token_file", "serve.token", c->serve.token_file, &c->serve.token, 8},
        {"kafka.password_file", "kafka.password", c->kafka.password_file, &c->kafka.password, 1},
    };
    for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++) {
        secret_find(l, &secrets[i], directory);
    }
    if (c->serve.token && !*c->serve.token) {
        free(TAKE(c->serve.token));
    }
    if (c->serve.web_dir && !*c->serve.web_dir) {
        free(TAKE(c->serve.web_dir));
    }
}

/* ---- topics */

/* "https://host/v2/stream/recentchange,page-create?x": each name is a stream in two data centres; a name without a dot
 * is an alias of the one below mediawiki (eventstreams.md section 1.1). */
void config_topics_of(const char *url, struct string_list *ret_topics)
{
    static const char *const centres[] = {"eqiad", "codfw"};
    struct str rest = str_of(url), name = {0};
    str_split(&rest, '?', &name);
    const char *slash = name.len ? memrchr(name.ptr, '/', name.len) : NULL;
    struct str names = slash ? str_n(slash + 1, name.len - (size_t)(slash + 1 - name.ptr)) : str_n(NULL, 0);
    while (str_split(&names, ',', &name)) {
        for (size_t i = 0; i < 2 && name.len > 0; i++) {
            AUTO(buf) struct buf topic = {0};
            buf_addf(&topic, "%s.%s%.*s", centres[i], memchr(name.ptr, '.', name.len) ? "" : "mediawiki.",
                     STR_ARG(name));
            string_list_add(ret_topics, buf_str(&topic));
        }
    }
}

static void imply_topics(struct config *c)
{
    if (c->source.topics.count == 0) {
        config_topics_of(c->source.url, &c->source.topics);
    }
}

/* ---- the whole */

static const char **borrow_list(struct arena *arena, const struct string_list *list)
{
    const char **texts = arena_zalloc(arena, (list->count + 1) * sizeof *texts);
    for (size_t i = 0; i < list->count; i++) {
        texts[i] = list->items[i];
    }
    return texts;
}

static void make_aggregations(struct config *c)
{
    struct config_private *p = c->p;
    struct aggregation_options *made = arena_zalloc(&p->arena, (p->definition_count + 1) * sizeof *made);
    struct sink_kafka_topic *topics = arena_zalloc(&p->arena, (p->definition_count + 1) * sizeof *topics);
    for (size_t i = 0; i < p->definition_count; i++) {
        const struct definition *d = &p->definitions[i];
        if (!d->enabled) {
            continue;
        }
        if (d->topic && *d->topic)
            topics[c->stats_topic_count++] = (struct sink_kafka_topic){d->name, d->topic};
        made[c->aggregation_count++] = (struct aggregation_options){
            .name = d->name,
            .keys = borrow_list(&p->arena, &d->keys),
            .key_count = d->keys.count,
            .measures = borrow_list(&p->arena, &d->measures),
            .measure_count = d->measures.count,
            .where = d->where,
            .time_field = d->time_field,
            .size_us = d->size_us,
            .slide_us = d->slide_us,
            .delay_us = d->delay_us,
            .skew_us = d->skew_us,
            .late = (enum late_policy)d->late,
            .lateness_us = d->lateness_us,
            .max_keys = d->max_keys,
            .on_change = (enum on_change)d->on_change,
        };
    }
    c->aggregations = made;
    c->stats_topics = topics;
}

static void load_environment(struct loader *l)
{
    const char *const *list = l->sources->environment;
    environment_add(&l->environment, list ? list : (const char *const *)environ);
    struct err err = {0};
    if (l->sources->env_file && environment_add_file(&l->environment, l->sources->env_file, &err)) {
        loader_problem(l, &err);
    }
}

enum err_class config_load(const struct config_sources *sources, struct config *ret_config, struct err *err)
{
    struct err first = {0};
    struct config c = {.p = xcalloc(1, sizeof *c.p)};
    struct loader l = {.sources = sources, .config = &c, .first = &first};
    size_t rows;
    const struct option *table = config_options(&rows);
    option_defaults(table, rows, &c);
    load_environment(&l);
    load_built_in(&l);
    load_files(&l);
    bind_environment(&l);
    for (size_t i = 0; i < sources->set_count; i++) {
        bind_set(&l, sources->set[i]);
    }
    load_secrets(&l);
    imply_topics(&c);
    make_aggregations(&c);
    config_kafka_make(&c);
    struct err checked = {0};
    if (l.problems == 0 && config_check(&c, &checked)) {
        loader_problem(&l, &checked);
    }
    environment_fini(&l.environment);
    if (l.problems) {
        config_fini(&c);
        if (err) {
            *err = first;
        }
        return first.cls;
    }
    *ret_config = c;
    return ERR_NONE;
}

enum err_class config_load_defaults(struct config *ret_config, struct err *err)
{
    struct err first = {0};
    struct config_sources none = {0};
    struct config c = {.p = xcalloc(1, sizeof *c.p)};
    struct loader l = {.sources = &none, .config = &c, .first = &first};
    size_t rows;
    const struct option *table = config_options(&rows);
    option_defaults(table, rows, &c);
    load_built_in(&l);
    load_secrets(&l);
    imply_topics(&c);
    make_aggregations(&c);
    config_kafka_make(&c);
    if (l.problems) {
        config_fini(&c);
        if (err) {
            *err = first;
        }
        return first.cls;
    }
    *ret_config = c;
    return ERR_NONE;
}

static void private_free(struct config_private *p)
{
    size_t rows;
    const struct option *table = config_aggregation_options(&rows);
    for (size_t i = 0; i < p->definition_count; i++) {
        option_fini(table, rows, &p->definitions[i]);
        free(p->definitions[i].name);
    }
    for (size_t i = 0; i < p->origin_count; i++) {
        free(p->origins[i].key);
        free(p->origins[i].place);
    }
    free(p->definitions);
    free(p->origins);
    arena_fini(&p->arena);
    free(p);
}

void config_fini(struct config *c)
{
    size_t rows;
    const struct option *table = config_options(&rows);
    option_fini(table, rows, c);
    string_list_fini(&c->warnings);
    if (c->p) {
        private_free(c->p);
    }
    *c = (struct config){0};
}
