/* SPDX-License-Identifier: MIT
 *
 * config_node.h - a YAML document as a tree with positions (private to the configuration).
 *
 * The subset: one document of mappings, lists and scalars, block or flow style, plain, quoted or block text, comments.
 * Refused with the position: tabs before the first character of a line, anchors, aliases, tags, directives, several
 * documents, a key twice in one mapping, a key that is no scalar, bytes that are not UTF-8. Bounds: 1 MiB, 32 levels.
 */
#ifndef WIKITALLY_APP_CONFIG_NODE_H
#define WIKITALLY_APP_CONFIG_NODE_H

#include "base/arena.h"
#include "base/err.h"

enum node_kind { NODE_SCALAR, NODE_MAP, NODE_LIST };

struct node {
    enum node_kind kind;
    size_t line, column; /* from 1 */
    struct str text;     /* SCALAR */
    bool quoted;         /* SCALAR: not plain, so that an empty one is meant */
    struct node *first;  /* MAP: key, value, key, value...; LIST: items */
    struct node *next;   /* sibling */
    size_t count;        /* MAP: pairs; LIST: items */
};

/* A mapping's or list's empty form "key:" is a plain scalar without text. */
static inline bool node_is_null(const struct node *n)
{
    return n->kind == NODE_SCALAR && !n->quoted && n->text.len == 0;
}

/* `name` is for messages. *ret_root NULL: nothing but comments. All of it in the arena. */
enum err_class node_parse(const char *name, struct str text, struct arena *arena, struct node **ret_root,
                          struct err *err);
/* The value of a key in a mapping, or NULL. */
const struct node *node_get(const struct node *map, const char *key);
const char *node_kind_name(const struct node *n); /* "a mapping", "a list", "a value", "nothing" */

#endif
