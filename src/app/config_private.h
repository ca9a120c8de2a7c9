/* SPDX-License-Identifier: MIT
 *
 * config_private.h - what the files of the configuration share: config.c (layers), config_bind.c (values), config_env.c
 * (variables), config_table.c (rows), config_change.c (a reload), config_check.c, config_show.c, config_test_parse.c.
 */
#ifndef WIKITALLY_APP_CONFIG_PRIVATE_H
#define WIKITALLY_APP_CONFIG_PRIVATE_H

#include "app/config.h"
#include "app/config_node.h"
#include "base/arena.h"

enum { CONFIG_KEY_MAX = 160, AGGREGATIONS_MAX = 64, PROBLEMS_MAX = 20 };

/* ---- rows */

/* The part before the dot, or "" for a key at the top. */
struct section {
    const char *name, *help;
};
extern const struct section config_sections[];
size_t config_section_count(void);
extern const char config_built_in[]; /* YAML: the five aggregations */

/* ---- what is kept beside the values */

struct definition { /* one aggregation, enabled or not */
    char *name;
    struct string_list keys, measures;
    char *where, *time_field, *topic;
    int64_t size_us, slide_us, delay_us, skew_us;
    int64_t late; /* enum late_policy */
    int64_t lateness_us, max_keys;
    int64_t on_change; /* enum on_change */
    bool enabled;
};

struct origin { /* of a value that is not the default */
    char *key;
    char *place; /* "FILE:LINE:COLUMN", "environment WIKITALLY_X", "--set"; NULL: the default again */
};

struct config_private {
    struct kafka_options *kafka; /* in the arena; NULL: no brokers are configured */
    struct arena arena;          /* tests, and the aggregations' array */
    struct definition *definitions;
    size_t definition_count;
    struct origin *origins;
    size_t origin_count;
};

const char *config_origin(const struct config *c, const char *key); /* NULL: the default */
void config_origin_set(struct config *c, const char *key, const char *place);
/* Held while config_adopt changes values and while another thread shows them. */
void config_lock(void);
void config_unlock(void);
/* Where an aggregation was declared or changed first, for messages. */
const char *config_definition_place(const struct config *c, const struct definition *d);
struct definition *config_definition(struct config *c, struct str name); /* NULL: there is none of that name */

enum err_class config_load_defaults(struct config *ret_config, struct err *err); /* nothing but what is built in */

/* config_kafka.c: after all values are there. */
void config_kafka_make(struct config *c);
enum err_class config_kafka_check(const struct config *c, struct err *err);

/* ---- variables (config_env.c) */

struct variable {
    struct str name, value;
    char *place; /* "environment NAME" or "FILE:LINE:1" */
    bool from_file;
};
struct environment {
    struct arena arena;
    struct variable *variables;
    size_t count, cap;
};
void environment_fini(struct environment *e);
void environment_add(struct environment *e, const char *const *list);
/* Lines NAME=value, "export " before it allowed, comments, '...' as it stands, "..." with \n \t \" \\ \$. A name that
 * the process has already keeps the process's value. */
enum err_class environment_add_file(struct environment *e, const char *path, struct err *err);
const struct variable *environment_get(const struct environment *e, struct str name);
/* Replaces ${NAME}; appends to out. On failure *ret_at is the byte in text. */
enum err_class environment_replace(const struct environment *e, struct str text, struct buf *out, size_t *ret_at,
                                   struct err *err);

/* ---- loading */

struct loader {
    const struct config_sources *sources;
    struct config *config;
    struct environment environment;
    const char *file;  /* what is being bound: name for messages */
    bool is_default;   /* built-in text: no origins */
    bool file_private; /* nobody else may read it: secrets may stand in it */
    struct err *first; /* of all problems */
    size_t problems;
};

void loader_problem(struct loader *l, const struct err *err);
/* "FILE:LINE:COLUMN: ..." */
void loader_refuse(struct loader *l, const struct node *n, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void bind_root(struct loader *l, const struct node *root);
void bind_environment(struct loader *l);
void bind_set(struct loader *l, const char *assignment);
/* A scalar's text with its variables replaced, in the config's arena; false: refused already. */
bool bind_text(struct loader *l, const struct node *n, struct str *ret_text);
void bind_tests(struct loader *l, const struct node *list); /* config_test_parse.c */

/* Reads a small file whole; errors name it. *ret_private: no one but the owner may read it. */
enum err_class config_read_file(const char *path, size_t max, struct buf *out, bool *ret_missing, bool *ret_private,
                                struct err *err);
/* A URL with its user's password, or a user name that stands alone (a token, as like as not), as ***. */
void config_add_url(struct buf *out, struct str url);
void config_show_value(const struct option *o, const void *base, struct buf *out); /* secrets and passwords as *** */

#endif
