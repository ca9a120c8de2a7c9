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

/* The other keys of the stream's events. Nobody asks for them, but a key that is known can be guessed (field.h). */
static const struct str known_paths[] = {
    STR_INIT("$schema"),
    STR_INIT("meta.uri"),
    STR_INIT("meta.request_id"),
    STR_INIT("title_url"),
    STR_INIT("comment"),
    STR_INIT("notify_url"),
    STR_INIT("minor"),
    STR_INIT("patrolled"),
    STR_INIT("length.old"),
    STR_INIT("length.new"),
    STR_INIT("revision.old"),
    STR_INIT("revision.new"),
    STR_INIT("server_url"),
    STR_INIT("log_id"),
    STR_INIT("server_script_path"),
    STR_INIT("log_type"),
    STR_INIT("log_action"),
    STR_INIT("log_params"),
    STR_INIT("parsedcomment"),
    STR_INIT("log_action_comment"),
};

/* What a scan compares with to guess. A name that does not fit, or is not written as it is, gets a zero, which stands
 * in no text that is compared. */
static void key_init(struct field_key *key, int node, int parent, struct str name)
{
    *key = (struct field_key){.len = 1, .node = (int16_t)node, .parent = (int16_t)parent, .index = FIELD_NONE};
    if (name.len + 3 <= sizeof key->text && !memchr(name.ptr, '"', name.len) && !memchr(name.ptr, '\\', name.len)) {
        key->text[0] = '"';
        memcpy(key->text + 1, name.ptr, name.len);
        memcpy(key->text + 1 + name.len, "\":", 2);
        key->len = (uint8_t)(name.len + 3);
    }
    key->mask = UINT32_MAX >> (FIELD_KEY_BYTES - key->len);
}

/* One more of a list of nodes that only grows. */
static struct field_key *keys_grow(struct field_key *keys, size_t count)
{
    struct field_key *more = aligned_alloc(_Alignof(struct field_key), (count + 1) * sizeof *more);
    ensure(more);
    if (keys) {
        memcpy(more, keys, count * sizeof *more);
    }
    free(keys);
    return more;
}

static int node_new(struct field_set *set, int parent, struct str name)
{
    set->nodes = xrealloc(set->nodes, (set->node_count + 1) * sizeof *set->nodes);
    set->keys = keys_grow(set->keys, set->node_count);
    struct field_node *node = &set->nodes[set->node_count];
    for (size_t i = 0; i < FIELD_CHAINS; i++) {
        node->first[i] = FIELD_NONE;
    }
    node->next = node->child = node->sibling = FIELD_NONE;
    node->name = str_dup(name);
    node->name_len = name.len;
    key_init(&set->keys[set->node_count], (int)set->node_count, parent, name);
    return (int)set->node_count++;
}

static int child_add(struct field_set *set, int parent, struct str name)
{
    int at = field_child(set, parent, name.ptr, name.len);
    if (at != FIELD_NONE) {
        return at;
    }
    at = node_new(set, parent, name);
    struct field_node *above = &set->nodes[parent], *node = &set->nodes[at];
    size_t chain = field_chain(name.ptr, name.len);
    node->next = above->first[chain];
    above->first[chain] = (int16_t)at;
    node->sibling = above->child;
    above->child = (int16_t)at;
    set->keys[parent].parent_of_some = true;
    return at;
}

/* The node of a path, and those above it, made where they are missing. */
static int path_node(struct field_set *set, struct str path)
{
    int node = 0;
    struct str rest = path, name;
    while (str_split(&rest, '.', &name)) {
        node = child_add(set, node, name);
    }
    return node;
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
    node_new(set, FIELD_NO_PARENT, STR(""));
    for (size_t i = 0; i < sizeof known_paths / sizeof *known_paths; i++) {
        path_node(set, known_paths[i]);
    }
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
    free(set->keys);
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
    const int node = path_node(set, path);
    set->keys[node].index = (int16_t)set->count;
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
    return node > 0 ? set->keys[node].index : FIELD_NONE;
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
