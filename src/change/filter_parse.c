/* SPDX-License-Identifier: MIT
 *
 * filter_parse.c - from words to a tree.
 *
 *   or      = and { OR and }
 *   and     = unary { [AND] unary }
 *   unary   = { "-" | NOT } primary
 *   primary = "(" or ")" | text | field ":" value { "," value }
 *
 * Recursive descent, bounded by FILTER_DEPTH_MAX. The tree is already in canonical form: AND in AND and OR in OR are
 * one list, a node of one child is that child, two negations are none. NULL says that an error has been told.
 */
#include "change/filter_tree.h"
#include "change/text.h"

#include <stdlib.h>

struct parser {
    struct lexer lexer;
    struct token token; /* the next one */
    struct filter *filter;
    struct field_set *set;
    size_t terms;
    int depth;
};

static struct node *parse_or(struct parser *p);

static void advance(struct parser *p)
{
    p->token = lexer_next(&p->lexer);
}

static struct node *node_new(struct parser *p, enum node_kind kind)
{
    struct node *node = arena_zalloc(&p->filter->arena, sizeof *node);
    node->kind = kind;
    return node;
}

static bool count_term(struct parser *p, const char *at)
{
    if (p->terms++ == FILTER_TERMS_MAX) {
        lexer_fail(&p->lexer, at, "this is one term too many: a filter has at most %d", FILTER_TERMS_MAX);
        return false;
    }
    return true;
}

static bool enter(struct parser *p, const char *at)
{
    if (p->depth++ == FILTER_DEPTH_MAX) {
        lexer_fail(&p->lexer, at, "this is nested too deep: at most %d parentheses and negations around a term",
                   FILTER_DEPTH_MAX);
        return false;
    }
    return true;
}

static pcre2_code *compile(struct parser *p, struct str pattern, const char *at, bool literal, bool caseless)
{
    char why[256] = "";
    size_t offset = 0;
    pcre2_code *code = regex_compile(pattern, literal, caseless, &offset, why);
    if (!code) {
        lexer_fail(&p->lexer, literal ? at : at + 1 + offset, "regular expression: %s", why);
        return NULL;
    }
    p->filter->codes[p->filter->code_count++] = code; /* no more than terms */
    return code;
}

static struct node *parse_text(struct parser *p)
{
    if (!count_term(p, p->token.at)) {
        return NULL;
    }
    struct node *node = node_new(p, NODE_TEXT);
    node->text = arena_dup(&p->filter->arena, p->token.text);
    node->code = compile(p, node->text, p->token.at, true, true);
    return node->code ? node : NULL;
}

/* The paths that a derived fact is made of. */
static const struct {
    const char *name;
    enum derived fact;
    const char *paths[2];
} facts[] = {
    {"family", DERIVED_FAMILY, {"server_name", NULL}}, {"language", DERIVED_LANGUAGE, {"server_name", NULL}},
    {"actor", DERIVED_ACTOR, {"user", "bot"}},         {"delta", DERIVED_DELTA, {"length.old", "length.new"}},
    {"day", DERIVED_DAY, {"timestamp", "meta.dt"}},    {"hour", DERIVED_HOUR, {"timestamp", "meta.dt"}},
};

static bool add_path(struct parser *p, struct str path, int *ret_index)
{
    struct err why = {0};
    *ret_index = field_set_add(p->set, path, &why);
    if (*ret_index < 0) {
        lexer_fail(&p->lexer, p->token.at, "%s", why.text);
    }
    return *ret_index >= 0;
}

static bool resolve_field(struct parser *p, struct node *node)
{
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        if (str_eqz(node->text, facts[i].name)) {
            node->fact = facts[i].fact;
            return add_path(p, str_of(facts[i].paths[0]), &node->values[0]) &&
                   (!facts[i].paths[1] || add_path(p, str_of(facts[i].paths[1]), &node->values[1]));
        }
    }
    return add_path(p, node->text, &node->values[0]);
}

enum number_text { NUMBER_NO, NUMBER_YES, NUMBER_TOO_BIG };

static enum number_text read_number(struct str s, int64_t *ret)
{
    const size_t from = s.len > 0 && s.ptr[0] == '-';
    for (size_t i = from; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9') {
            return NUMBER_NO;
        }
    }
    return s.len == from ? NUMBER_NO : str_to_int64(s, ret) ? NUMBER_YES : NUMBER_TOO_BIG;
}

static bool range_fail(struct parser *p, const struct lexeme *word, const char *why)
{
    lexer_fail(&p->lexer, word->at, "\"%.*s\": %s", STR_ARG(word->text), why);
    return false;
}

/* >5 >=5 <5 <=5 */
static bool parse_compare(struct parser *p, const struct lexeme *word, struct item *item)
{
    const bool above = word->text.ptr[0] == '>', equal = word->text.len > 1 && word->text.ptr[1] == '=';
    const struct str digits = str_n(word->text.ptr + 1 + equal, word->text.len - 1 - equal);
    int64_t number = 0;
    if (word->star || read_number(digits, &number) != NUMBER_YES) {
        return range_fail(p, word, "a whole number of 64 bits must follow; for a text write quotes");
    }
    if (!equal && number == (above ? INT64_MAX : INT64_MIN)) {
        return range_fail(p, word, "there is no such number of 64 bits");
    }
    item->kind = ITEM_RANGE;
    item->low = above ? number + !equal : INT64_MIN;
    item->high = above ? INT64_MAX : number - !equal;
    return true;
}

/* 10..20, 10.., ..20; anything else with two points is a text. *ret_is: it is a range. */
static bool parse_range(struct parser *p, const struct lexeme *word, struct item *item, bool *ret_is)
{
    const char *points = memmem(word->text.ptr, word->text.len, "..", 2);
    *ret_is = false;
    if (!points || word->star) {
        return true;
    }
    const struct str left = str_n(word->text.ptr, (size_t)(points - word->text.ptr));
    const struct str right = str_n(points + 2, word->text.len - left.len - 2);
    int64_t low = INT64_MIN, high = INT64_MAX;
    const enum number_text a = read_number(left, &low), b = read_number(right, &high);
    if ((a == NUMBER_NO && left.len > 0) || (b == NUMBER_NO && right.len > 0) || left.len + right.len == 0) {
        return true;
    }
    if (a == NUMBER_TOO_BIG || b == NUMBER_TOO_BIG) {
        return range_fail(p, word, "numbers have at most 64 bits");
    }
    if (low > high) {
        return range_fail(p, word, "the range is empty: write the smaller number first");
    }
    *ret_is = true;
    item->kind = ITEM_RANGE;
    item->low = low;
    item->high = high;
    return true;
}

static bool item_fill(struct parser *p, const struct lexeme *value, struct item *item)
{
    bool is_range = false;
    if (value->kind == LEXEME_WORD) {
        const char first = value->text.len ? value->text.ptr[0] : '\0';
        if (first == '>' || first == '<') {
            return parse_compare(p, value, item);
        }
        if (!parse_range(p, value, item, &is_range) || is_range) {
            return is_range;
        }
    }
    item->text = arena_dup(&p->filter->arena, value->text);
    item->kind = value->kind == LEXEME_REGEX ? ITEM_REGEX : value->star ? ITEM_PREFIX : ITEM_EXACT;
    if (value->kind == LEXEME_REGEX) {
        item->caseless = value->caseless;
        item->code = compile(p, item->text, value->at, false, value->caseless);
        return item->code != NULL;
    }
    return true;
}

static struct node *parse_field(struct parser *p)
{
    struct node *node = node_new(p, NODE_FIELD);
    struct item **last = &node->items;
    node->text = arena_dup(&p->filter->arena, p->token.text);
    if (!resolve_field(p, node)) {
        return NULL;
    }
    do {
        struct lexeme value;
        if (!count_term(p, p->lexer.p) || !lexer_value(&p->lexer, &value)) {
            return NULL;
        }
        struct item *item = arena_zalloc(&p->filter->arena, sizeof *item);
        if (!item_fill(p, &value, item)) {
            return NULL;
        }
        *last = item;
        last = &item->next;
    } while (lexer_comma(&p->lexer));
    return node;
}

static struct node *parse_group(struct parser *p)
{
    const char *open = p->token.at;
    if (!enter(p, open)) {
        return NULL;
    }
    advance(p);
    struct node *node = parse_or(p);
    if (node && p->token.kind != TOKEN_CLOSE) {
        lexer_fail(&p->lexer, open, "this parenthesis is never closed");
        return NULL;
    }
    p->depth--;
    return node;
}

/* What a token that begins no term should have been. */
static struct node *refuse_token(struct parser *p)
{
    switch (p->token.kind) {
    case TOKEN_END:
        lexer_fail(&p->lexer, p->token.at, "a term is missing at the end");
        break;
    case TOKEN_CLOSE:
        lexer_fail(&p->lexer, p->token.at, "a term is missing before this parenthesis");
        break;
    case TOKEN_BAD:
        break; /* told */
    default:
        lexer_fail(&p->lexer, p->token.at, "a term is missing before this operator; a word goes in quotes");
    }
    return NULL;
}

static struct node *parse_primary(struct parser *p)
{
    struct node *node;
    switch (p->token.kind) {
    case TOKEN_OPEN:
        node = parse_group(p);
        break;
    case TOKEN_TEXT:
        node = parse_text(p);
        break;
    case TOKEN_FIELD:
        node = parse_field(p);
        break;
    default:
        node = refuse_token(p);
    }
    if (node) {
        advance(p);
    }
    return node;
}

static struct node *parse_unary(struct parser *p)
{
    bool negative = false;
    const int depth = p->depth;
    while (p->token.kind == TOKEN_NOT) {
        if (!enter(p, p->token.at)) {
            return NULL;
        }
        negative = !negative;
        advance(p);
    }
    struct node *node = parse_primary(p);
    p->depth = depth;
    if (!node || !negative) {
        return node;
    }
    if (node->kind == NODE_NOT) {
        return node->first;
    }
    struct node *not = node_new(p, NODE_NOT);
    not ->first = node;
    return not ;
}

/* A list of one kind: children of the same kind give their own children. */
struct list {
    enum node_kind kind;
    struct node *first, *last;
};

static void list_add(struct list *list, struct node *node)
{
    struct node *from = node->kind == list->kind ? node->first : node;
    if (list->last) {
        list->last->next = from;
    } else {
        list->first = from;
    }
    list->last = from;
    while (list->last->next) {
        list->last = list->last->next;
    }
}

static struct node *list_node(struct parser *p, const struct list *list)
{
    if (list->first == list->last) {
        return list->first;
    }
    struct node *node = node_new(p, list->kind);
    node->first = list->first;
    return node;
}

static bool begins_term(enum token_kind kind)
{
    return kind == TOKEN_OPEN || kind == TOKEN_NOT || kind == TOKEN_TEXT || kind == TOKEN_FIELD;
}

static struct node *parse_and(struct parser *p)
{
    struct list list = {.kind = NODE_AND};
    do {
        if (list.first && p->token.kind == TOKEN_AND) {
            advance(p);
        }
        struct node *node = parse_unary(p);
        if (!node) {
            return NULL;
        }
        list_add(&list, node);
    } while (p->token.kind == TOKEN_AND || begins_term(p->token.kind));
    return list_node(p, &list);
}

static struct node *parse_or(struct parser *p)
{
    struct list list = {.kind = NODE_OR};
    for (;;) {
        struct node *node = parse_and(p);
        if (!node) {
            return NULL;
        }
        list_add(&list, node);
        if (p->token.kind != TOKEN_OR) {
            return list_node(p, &list);
        }
        advance(p);
    }
}

static bool parse_all(struct parser *p)
{
    advance(p);
    if (p->token.kind == TOKEN_END) {
        return true; /* nothing asked: all match */
    }
    p->filter->root = parse_or(p);
    if (p->filter->root && p->token.kind != TOKEN_END) {
        if (p->token.kind == TOKEN_CLOSE) {
            lexer_fail(&p->lexer, p->token.at, "this parenthesis was never opened");
        }
        return false; /* a bad token has told */
    }
    return p->filter->root != NULL;
}

static bool check_text(struct lexer *l, struct str text)
{
    if (text.len > FILTER_TEXT_MAX) {
        lexer_fail(l, text.ptr, "%zu bytes are too many: at most %d", text.len, FILTER_TEXT_MAX);
        return false;
    }
    const char *bad = text_bad_utf8(l->begin, l->end);
    if (bad) {
        lexer_fail(l, bad, "this is not valid UTF-8");
    }
    return !bad;
}

/* What has been compiled can be printed and compiled again: escapes and quotes can make the canonical text longer. */
static bool check_canonical(struct parser *p)
{
    AUTO(buf) struct buf text = {0};
    filter_print(p->filter, &text);
    if (text.len > FILTER_TEXT_MAX) {
        lexer_fail(&p->lexer, p->lexer.begin, "%zu bytes are too many, written out: at most %d", text.len,
                   FILTER_TEXT_MAX);
    }
    return text.len <= FILTER_TEXT_MAX;
}

struct filter *filter_compile(struct str text, struct field_set *set, size_t *ret_column, struct err *err)
{
    struct filter *f = xcalloc(1, sizeof *f);
    const char *begin = text.len ? text.ptr : "";
    struct parser p = {.lexer = {.begin = begin, .p = begin, .end = begin + text.len}, .filter = f, .set = set};
    p.lexer.arena = &f->arena;
    p.lexer.err = err;
    p.lexer.ret_column = ret_column;
    f->text_fields[0] = FIELD_TITLE;
    f->text_fields[1] = FIELD_USER;
    f->text_fields[2] = field_set_add(set, STR("comment"), err);
    regex_prepare(f);
    if (f->text_fields[2] < 0 || !check_text(&p.lexer, text) || !parse_all(&p) || !check_canonical(&p)) {
        filter_free(f);
        return NULL;
    }
    return f;
}

void filter_free(struct filter *f)
{
    if (!f) {
        return;
    }
    for (size_t i = 0; i < f->code_count; i++) {
        pcre2_code_free(f->codes[i]);
    }
    regex_fini(f);
    buf_fini(&f->scratch);
    arena_fini(&f->arena);
    free(f);
}
