/* SPDX-License-Identifier: MIT
 *
 * config_node.c - libyaml's events made into a tree. libyaml checks the grammar; what we refuse besides is checked per
 * event, where its position is known.
 */
#include "app/config_node.h"

#include <yaml.h>

enum { TEXT_MAX = 1 << 20, DEPTH_MAX = 32, NODES_MAX = 100000 };

struct reader {
    const char *name;
    struct arena *arena;
    yaml_parser_t parser;
    struct node *open[DEPTH_MAX]; /* mappings and lists that are not closed yet */
    struct node **tail[DEPTH_MAX];
    size_t depth, nodes;
    struct node *root;
    struct err *err;
};

static enum err_class refuse_at(struct reader *r, size_t line, size_t column, const char *why)
{
    return err_set(r->err, ERR_REJECT, EXIT_CONFIG, "%s:%zu:%zu: %s", r->name, line, column, why);
}

static enum err_class refuse(struct reader *r, const yaml_event_t *e, const char *why)
{
    return refuse_at(r, e->start_mark.line + 1, e->start_mark.column + 1, why);
}

/* Tabs as indentation look right in an editor and mean something else; libyaml's words for it are of no help. */
static enum err_class check_text(struct reader *r, struct str text)
{
    if (text.len > TEXT_MAX) {
        return err_set(r->err, ERR_REJECT, EXIT_CONFIG, "%s: the file has more than 1 MiB", r->name);
    }
    struct str rest = text, line;
    for (size_t number = 1; str_split(&rest, '\n', &line); number++) {
        size_t at = 0;
        while (at < line.len && line.ptr[at] == ' ') {
            at++;
        }
        if (at < line.len && line.ptr[at] == '\t') {
            return refuse_at(r, number, at + 1, "a tab; indent with blanks");
        }
        if (!str_is_utf8(line)) {
            return refuse_at(r, number, 1, "this line is not UTF-8");
        }
    }
    return ERR_NONE;
}

static bool expects_key(const struct reader *r)
{
    const struct node *top = r->depth ? r->open[r->depth - 1] : NULL;
    return top && top->kind == NODE_MAP && top->count % 2 == 0;
}

static enum err_class check_duplicate(struct reader *r, const struct node *key)
{
    const struct node *k = r->open[r->depth - 1]->first;
    for (; k && k != key; k = k->next->next) {
        if (str_eq(k->text, key->text)) {
            return err_set(r->err, ERR_REJECT, EXIT_CONFIG, "%s:%zu:%zu: \"%.*s\" is there already, in line %zu",
                           r->name, key->line, key->column, STR_ARG(key->text), k->line);
        }
    }
    return ERR_NONE;
}

/* Hangs a new node below what is open. Mappings count keys and values until they are closed. */
static struct node *add_node(struct reader *r, const yaml_event_t *e, enum node_kind kind)
{
    struct node *n = arena_zalloc(r->arena, sizeof *n);
    n->kind = kind;
    n->line = e->start_mark.line + 1;
    n->column = e->start_mark.column + 1;
    if (r->depth == 0) {
        r->root = n;
    } else {
        *r->tail[r->depth - 1] = n;
        r->tail[r->depth - 1] = &n->next;
        r->open[r->depth - 1]->count++;
    }
    return n;
}

static enum err_class count_node(struct reader *r, const yaml_event_t *e)
{
    return ++r->nodes > NODES_MAX ? refuse(r, e, "more than 100,000 values") : ERR_NONE;
}

static enum err_class on_scalar(struct reader *r, const yaml_event_t *e)
{
    bool key = expects_key(r);
    if (e->data.scalar.anchor) {
        return refuse(r, e, "anchors are not allowed; write the value again");
    }
    if (e->data.scalar.tag) {
        return refuse(r, e, "tags are not allowed; the key decides of what type its value is");
    }
    enum err_class cls = count_node(r, e);
    if (cls) {
        return cls;
    }
    struct node *n = add_node(r, e, NODE_SCALAR);
    n->text = arena_dup(r->arena, str_n((const char *)e->data.scalar.value, e->data.scalar.length));
    n->quoted = e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    return key ? check_duplicate(r, n) : ERR_NONE;
}

static enum err_class on_open(struct reader *r, const yaml_event_t *e, enum node_kind kind, const yaml_char_t *anchor,
                              const yaml_char_t *tag)
{
    if (anchor || tag) {
        return refuse(r, e,
                      anchor ? "anchors are not allowed; write the value again"
                             : "tags are not allowed; the key decides of what type its value is");
    }
    if (expects_key(r)) {
        return refuse(r, e, "a key must be a single word");
    }
    if (r->depth == DEPTH_MAX) {
        return refuse(r, e, "more than 32 levels");
    }
    enum err_class cls = count_node(r, e);
    if (!cls) {
        struct node *n = add_node(r, e, kind);
        r->open[r->depth] = n;
        r->tail[r->depth] = &n->first;
        r->depth++;
    }
    return cls;
}

static enum err_class on_event(struct reader *r, const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_ALIAS_EVENT:
        return refuse(r, e, "aliases are not allowed; write the value again (a text that begins with * needs quotes)");
    case YAML_DOCUMENT_START_EVENT:
        if (r->root) {
            return refuse(r, e, "a second document; one file is one document");
        }
        return e->data.document_start.version_directive ||
                       e->data.document_start.tag_directives.start != e->data.document_start.tag_directives.end
                   ? refuse(r, e, "directives are not allowed")
                   : ERR_NONE;
    case YAML_SCALAR_EVENT:
        return on_scalar(r, e);
    case YAML_SEQUENCE_START_EVENT:
        return on_open(r, e, NODE_LIST, e->data.sequence_start.anchor, e->data.sequence_start.tag);
    case YAML_MAPPING_START_EVENT:
        return on_open(r, e, NODE_MAP, e->data.mapping_start.anchor, e->data.mapping_start.tag);
    case YAML_MAPPING_END_EVENT:
        r->open[--r->depth]->count /= 2;
        return ERR_NONE;
    case YAML_SEQUENCE_END_EVENT:
        r->depth--;
        return ERR_NONE;
    default:
        return ERR_NONE;
    }
}

static enum err_class grammar_error(struct reader *r)
{
    const yaml_parser_t *p = &r->parser;
    if (p->error == YAML_MEMORY_ERROR) {
        die_no_memory();
    }
    bool reading = p->error == YAML_READER_ERROR;
    return err_set(r->err, ERR_REJECT, EXIT_CONFIG, "%s:%zu:%zu: %s%s%s", r->name,
                   reading ? 1 : p->problem_mark.line + 1, reading ? 1 : p->problem_mark.column + 1,
                   p->problem ? p->problem : "not YAML", p->context ? ", " : "", p->context ? p->context : "");
}

static enum err_class read_events(struct reader *r)
{
    for (bool ended = false; !ended;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&r->parser, &event)) {
            return grammar_error(r);
        }
        ended = event.type == YAML_STREAM_END_EVENT;
        enum err_class cls = on_event(r, &event);
        yaml_event_delete(&event);
        if (cls) {
            return cls;
        }
    }
    return ERR_NONE;
}

enum err_class node_parse(const char *name, struct str text, struct arena *arena, struct node **ret_root,
                          struct err *err)
{
    struct reader r = {.name = name, .arena = arena, .err = err};
    enum err_class cls = check_text(&r, text);
    if (cls) {
        return cls;
    }
    if (!yaml_parser_initialize(&r.parser)) {
        die_no_memory();
    }
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)(text.ptr ? text.ptr : ""), text.len);
    cls = read_events(&r);
    yaml_parser_delete(&r.parser);
    if (!cls) {
        *ret_root = r.root;
    }
    return cls;
}

const struct node *node_get(const struct node *map, const char *key)
{
    for (const struct node *k = map->first; k; k = k->next->next) {
        if (str_eqz(k->text, key)) {
            return k->next;
        }
    }
    return NULL;
}

const char *node_kind_name(const struct node *n)
{
    if (n->kind == NODE_SCALAR) {
        return node_is_null(n) ? "nothing" : "a value";
    }
    return n->kind == NODE_MAP ? "a mapping" : "a list";
}
