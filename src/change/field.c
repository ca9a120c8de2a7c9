/* SPDX-License-Identifier: MIT
 *
 * field.c - the set of dotted paths that one scan looks for (field.h says how it is laid out).
 */
#include "change/field.h"

#include <stdlib.h>

static const struct str core_paths[FIELD_CORE_COUNT] = {
    [FIELD_META_ID] = STR_INIT("meta.id"),
    [FIELD_META_DT] = STR_INIT("meta.dt"),
    [FIELD_META_DOMAIN] = STR_INIT("meta.domain"),
    [FIELD_META_STREAM] = STR_INIT("meta.stream"),
    [FIELD_META_TOPIC] = STR_INIT("meta.topic"),
    [FIELD_META_PARTITION] = STR_INIT("meta.partition"),
    [FIELD_META_OFFSET] = STR_INIT("meta.offset"),
    [FIELD_TIMESTAMP] = STR_INIT("timestamp"),
    [FIELD_WIKI] = STR_INIT("wiki"),
    [FIELD_ID] = STR_INIT("id"),
    [FIELD_TYPE] = STR_INIT("type"),
    [FIELD_NAMESPACE] = STR_INIT("namespace"),
    [FIELD_TITLE] = STR_INIT("title"),
    [FIELD_USER] = STR_INIT("user"),
    [FIELD_BOT] = STR_INIT("bot"),
    [FIELD_SERVER_NAME] = STR_INIT("server_name"),
};

static int node_new(struct field_set *set, struct str name)
{
    set->nodes = xrealloc(set->nodes, (set->node_count + 1) * sizeof *set->nodes);
    struct field_node *node = &set->nodes[set->node_count];
    for (size_t i = 0; i < FIELD_CHAINS; i++) {
        node->first[i] = FIELD_NONE;
    }
    node->next = node->index = node->child = node->sibling = FIELD_NONE;
    node->name = str_dup(name);
    node->name_len = name.len;
    return (int)set->node_count++;
}

static int child_add(struct field_set *set, int parent, struct str name)
{
    int at = field_child(set, parent, name.ptr, name.len);
    if (at != FIELD_NONE) {
        return at;
    }
    at = node_new(set, name);
    struct field_node *above = &set->nodes[parent], *node = &set->nodes[at];
    size_t chain = field_chain(name.ptr, name.len);
    node->next = above->first[chain];
    above->first[chain] = (int16_t)at;
    node->sibling = above->child;
    above->child = (int16_t)at;
    return at;
}

/* -> the number of names in the path, or 0 if it is not one. */
static size_t path_names(struct str path)
{
    size_t names = 0;
    struct str rest = path, name;
    if (path.len > FIELD_PATH_BYTES || str_ends(path, STR("."))) {
        return 0;
    }
    while (str_split(&rest, '.', &name)) {
        if (name.len == 0) {
            return 0;
        }
        names++;
    }
    return names;
}

struct field_set *field_set_new(void)
{
    struct field_set *set = xcalloc(1, sizeof *set);
    node_new(set, STR(""));
    for (size_t i = 0; i < FIELD_CORE_COUNT; i++) {
        ensure(field_set_add(set, core_paths[i], NULL) == (int)i);
    }
    return set;
}

void field_set_free(struct field_set *set)
{
    if (!set) {
        return;
    }
    for (size_t i = 0; i < set->node_count; i++) {
        free(set->nodes[i].name);
    }
    for (size_t i = 0; i < set->count; i++) {
        free(set->paths[i]);
    }
    free(set->nodes);
    free(set);
}

int field_set_add(struct field_set *set, struct str path, struct err *err)
{
    size_t names = path_names(path);
    if (names == 0 || names > CHANGE_MAX_DEPTH || !str_is_utf8(path)) {
        err_set(err, ERR_REJECT, EXIT_CONFIG,
                "field path \"%.*s\" is not a path: write names of at most %d bytes in all, joined by dots",
                STR_ARG(path), FIELD_PATH_BYTES);
        return -1;
    }
    int index = field_set_find(set, path);
    if (index >= 0) {
        return index;
    }
    if (set->count == FIELD_MAX) {
        err_set(err, ERR_REJECT, EXIT_CONFIG, "field path \"%.*s\" is one too many: use at most %d different paths",
                STR_ARG(path), FIELD_MAX);
        return -1;
    }
    int node = 0;
    struct str rest = path, name;
    while (str_split(&rest, '.', &name)) {
        node = child_add(set, node, name);
    }
    set->nodes[node].index = (int16_t)set->count;
    set->paths[set->count] = str_dup(path);
    set->path_lens[set->count] = path.len;
    return (int)set->count++;
}

int field_set_find(const struct field_set *set, struct str path)
{
    int node = 0;
    struct str rest = path, name;
    while (node != FIELD_NONE && str_split(&rest, '.', &name)) {
        node = field_child(set, node, name.ptr, name.len);
    }
    return node > 0 ? set->nodes[node].index : FIELD_NONE;
}

size_t field_set_count(const struct field_set *set)
{
    return set->count;
}

struct str field_set_path(const struct field_set *set, size_t index)
{
    ensure(index < set->count);
    return (struct str){set->paths[index], set->path_lens[index]};
}
