/* SPDX-License-Identifier: MIT
 *
 * filter_tree.h - what the parts of the filter share: tokens, tree, regular expressions. Private to this room.
 *
 * text -> filter_lex.c (tokens) -> filter_parse.c (tree) -> filter_match.c, filter_print.c. All of a filter's memory
 * is in one arena, but for what PCRE2 owns.
 */
#ifndef WIKITALLY_CHANGE_FILTER_TREE_H
#define WIKITALLY_CHANGE_FILTER_TREE_H

#include "base/arena.h"
#include "change/filter.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum {
    FILTER_TEXT_MAX = 4096,  /* bytes */
    FILTER_TERMS_MAX = 256,  /* words and values */
    FILTER_DEPTH_MAX = 32,   /* parentheses and negations around a term */
    FILTER_REGEX_MAX = 1024, /* bytes of one regular expression */
};

/* ---- tokens */

enum token_kind {
    TOKEN_END,
    TOKEN_OPEN,
    TOKEN_CLOSE,
    TOKEN_NOT,
    TOKEN_AND,
    TOKEN_OR,
    TOKEN_TEXT,
    TOKEN_FIELD,
    TOKEN_BAD
};

struct token {
    enum token_kind kind;
    const char *at;  /* where it begins */
    struct str text; /* TEXT: without quotes; FIELD: the name */
};

enum lexeme_kind { LEXEME_WORD, LEXEME_QUOTED, LEXEME_REGEX };

struct lexeme { /* one value behind "field:" or a comma */
    enum lexeme_kind kind;
    const char *at;
    struct str text;
    bool star;     /* a star follows: a prefix */
    bool caseless; /* REGEX: flag i */
};

struct lexer {
    const char *begin, *p, *end;
    struct arena *arena; /* of texts */
    struct err *err;
    size_t *ret_column; /* may be NULL */
    bool failed;        /* the first error has been told */
};

/* Tells the first error: "filter, column 7: ..." and the column of `at` in characters, from 1. */
void lexer_fail(struct lexer *l, const char *at, const char *format, ...) __attribute__((format(printf, 3, 4)));
struct token lexer_next(struct lexer *l); /* BAD: told */
bool lexer_value(struct lexer *l, struct lexeme *ret);
bool lexer_comma(struct lexer *l); /* takes a comma right here */

/* ---- tree */

enum item_kind { ITEM_EXACT, ITEM_PREFIX, ITEM_RANGE, ITEM_REGEX };

struct item {
    enum item_kind kind;
    struct item *next;
    struct str text;   /* EXACT, PREFIX, REGEX */
    int64_t low, high; /* RANGE, inclusive */
    bool caseless;     /* REGEX */
    pcre2_code *code;  /* REGEX */
};

enum node_kind { NODE_AND, NODE_OR, NODE_NOT, NODE_TEXT, NODE_FIELD };
enum derived {
    DERIVED_NONE,
    DERIVED_FAMILY,
    DERIVED_LANGUAGE,
    DERIVED_ACTOR,
    DERIVED_DELTA,
    DERIVED_DAY,
    DERIVED_HOUR
};

struct node {
    enum node_kind kind;
    struct node *next;  /* sibling */
    struct node *first; /* AND, OR: two or more; NOT: one */
    struct str text;    /* TEXT: the words; FIELD: its name */
    pcre2_code *code;   /* TEXT */
    enum derived fact;  /* FIELD */
    int values[2];      /* FIELD: indexes in the field set; two for a fact that needs two */
    struct item *items; /* FIELD: one must hold */
};

struct filter {
    struct arena arena;
    struct node *root; /* NULL: matches all */
    int text_fields[3];
    struct buf scratch;
    pcre2_code *codes[FILTER_TERMS_MAX]; /* owned */
    size_t code_count;
    pcre2_match_data *match_data;
    pcre2_match_context *limits; /* of regular expressions */
    pcre2_jit_stack *stack;
    uint64_t gave_up;
};

/* ---- regular expressions (filter_regex.c) */

/* NULL: *ret_offset is the byte in the pattern, *ret_why says what is wrong (256 bytes). */
pcre2_code *regex_compile(struct str pattern, bool literal, bool caseless, size_t *ret_offset, char ret_why[256]);
void regex_prepare(struct filter *f); /* what matching needs, once a filter */
void regex_fini(struct filter *f);
/* Valid UTF-8 only. Past its limits a match counts as none, and in f->gave_up. */
bool regex_match(struct filter *f, const pcre2_code *code, struct str subject, bool limited);

#endif
