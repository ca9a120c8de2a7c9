/* SPDX-License-Identifier: MIT
 *
 * config_change.c - what differs between the running configuration and one that was read anew, and the part of it that
 * can be taken over while the program runs. Every live value is a number, so that a reader of an old one has a whole
 * value and never a text that was freed.
 */
#include "app/config_private.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- differences */

struct comparing {
    void (*each)(const struct config_change *change, void *ctx);
    void *ctx;
};

static void compare_row(const struct comparing *c, const struct option *row, const char *key, const void *from,
                        const void *to)
{
    AUTO(buf) struct buf a = {0}, b = {0}, shown_a = {0}, shown_b = {0};
    option_show(row, from, &a);
    option_show(row, to, &b);
    if (str_eq(buf_str(&a), buf_str(&b))) {
        return;
    }
    config_show_value(row, from, &shown_a);
    config_show_value(row, to, &shown_b);
    c->each(&(struct config_change){key, buf_str(&shown_a), buf_str(&shown_b), row->live}, c->ctx);
}

static const struct definition *definition_find(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->p->definition_count; i++) {
        if (strcmp(c->p->definitions[i].name, name) == 0) {
            return &c->p->definitions[i];
        }
    }
    return NULL;
}

static void compare_definition(const struct comparing *c, const struct definition *from, const struct definition *to)
{
    size_t rows;
    const struct option *table = config_aggregation_options(&rows);
    for (size_t i = 0; i < rows; i++) {
        char key[CONFIG_KEY_MAX];
        snprintf(key, sizeof key, "aggregations.%s.%s", from->name, table[i].key);
        compare_row(c, &table[i], key, from, to);
    }
}

/* A whole aggregation that one side lacks. */
static void say_definition(const struct comparing *c, const struct definition *d, bool added)
{
    char key[CONFIG_KEY_MAX];
    snprintf(key, sizeof key, "aggregations.%s", d->name);
    struct str none = STR(""), declared = STR("declared");
    c->each(&(struct config_change){key, added ? none : declared, added ? declared : none, false}, c->ctx);
}

void config_compare(const struct config *running, const struct config *next,
                    void (*each)(const struct config_change *change, void *ctx), void *ctx)
{
    struct comparing c = {each, ctx};
    size_t rows;
    const struct option *table = config_options(&rows);
    for (size_t i = 0; i < rows; i++) {
        compare_row(&c, &table[i], table[i].key, running, next);
    }
    for (size_t i = 0; i < running->p->definition_count; i++) {
        const struct definition *from = &running->p->definitions[i], *to = definition_find(next, from->name);
        if (to) {
            compare_definition(&c, from, to);
        } else {
            say_definition(&c, from, false);
        }
    }
    for (size_t i = 0; i < next->p->definition_count; i++) {
        if (!definition_find(running, next->p->definitions[i].name)) {
            say_definition(&c, &next->p->definitions[i], true);
        }
    }
}

/* ---- taking over */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the live values and their origins */

void config_lock(void)
{
    pthread_mutex_lock(&lock);
}

void config_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

static void copy_live(struct config *to, const struct config *from)
{
    size_t rows;
    const struct option *table = config_options(&rows);
    for (size_t i = 0; i < rows; i++) {
        if (!table[i].live) {
            continue;
        }
        enum option_type type = table[i].type;
        ensure(type == OPTION_INT || type == OPTION_DURATION || type == OPTION_SIZE || type == OPTION_ENUM);
        memcpy((char *)to + table[i].offset, (const char *)from + table[i].offset, sizeof(int64_t));
    }
}

enum err_class config_adopt(struct config *running, const struct config *next, struct err *err)
{
    struct config mixed = *running;
    copy_live(&mixed, next);
    enum err_class cls = config_check(&mixed, err);
    if (cls) {
        return cls;
    }
    size_t rows;
    const struct option *table = config_options(&rows);
    config_lock();
    copy_live(running, next);
    for (size_t i = 0; i < rows; i++) {
        if (table[i].live) {
            config_origin_set(running, table[i].key, config_origin(next, table[i].key));
        }
    }
    config_unlock();
    return ERR_NONE;
}
