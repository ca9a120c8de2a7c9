/* SPDX-License-Identifier: MIT
 *
 * filter_lex.c - the words of a filter.
 *
 * Outside of values: ( ) - AND OR NOT "text" text field:. A bare word ends at a blank, a quote or a parenthesis; one
 * that is followed by an opening parenthesis or a quote at once is an error rather than a surprise. In quotes \" is a
 * quote and \\ a backslash, any other backslash is itself. Values (behind "field:") also end at a comma.
 */
#include "change/filter_tree.h"

static size_t column_of(const struct lexer *l, const char *at)
{
    size_t column = 1;
    for (const char *p = l->begin; p < at; p++) {
        column += ((unsigned char)*p & 0xc0) != 0x80;
    }
    return column;
}

void lexer_fail(struct lexer *l, const char *at, const char *format, ...)
{
    if (l->failed) {
        return;
    }
    l->failed = true;
    const size_t column = column_of(l, at);
    if (l->ret_column) {
        *l->ret_column = column;
    }
    AUTO(buf) struct buf why = {.max = 400};
    va_list args;
    va_start(args, format);
    buf_vaddf(&why, format, args);
    va_end(args);
    err_set(l->err, ERR_REJECT, EXIT_USAGE, "filter, column %zu: %.*s", column, STR_ARG(buf_str(&why)));
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_end_of_word(char c)
{
    return is_blank(c) || c == '(' || c == ')' || c == '"';
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$' ||
           c == '@' || c == '-' || c == '.';
}

static bool is_name(struct str s)
{
    bool good = s.len > 0 && s.ptr[0] != '-' && s.ptr[0] != '.';
    for (size_t i = 0; i < s.len; i++) {
        good = good && is_name_char(s.ptr[i]);
    }
    return good;
}

/* p is behind a word or a value: does it end there? */
static bool check_after(struct lexer *l, bool comma)
{
    if (l->p < l->end && *l->p != ')' && !is_blank(*l->p) && !(comma && *l->p == ',')) {
        lexer_fail(l, l->p, "unexpected \"%c\": put a blank before it, or the whole text in quotes", *l->p);
        return false;
    }
    return true;
}

/* p is at the quote. */
static bool lex_quoted(struct lexer *l, struct str *ret)
{
    const char *begin = l->p++;
    char *out = arena_alloc(l->arena, (size_t)(l->end - begin)), *at = out;
    while (l->p < l->end && *l->p != '"') {
        l->p += *l->p == '\\' && l->end - l->p > 1 && (l->p[1] == '"' || l->p[1] == '\\');
        *at++ = *l->p++;
    }
    if (l->p == l->end) {
        lexer_fail(l, begin, "this quote is never closed");
        return false;
    }
    l->p++;
    *ret = str_n(out, (size_t)(at - out));
    return true;
}

static struct token bad_token(const char *at)
{
    return (struct token){.kind = TOKEN_BAD, .at = at};
}

static struct token lex_text(struct lexer *l)
{
    struct token token = {.kind = TOKEN_TEXT, .at = l->p};
    if (!lex_quoted(l, &token.text)) {
        return bad_token(token.at);
    }
    if (token.text.len == 0) {
        lexer_fail(l, token.at, "an empty text is in everything: write the words to look for");
        return bad_token(token.at);
    }
    return check_after(l, false) ? token : bad_token(token.at);
}

/* A bare word: text, an operator, or a field with its colon. */
static struct token lex_word(struct lexer *l)
{
    struct token token = {.kind = TOKEN_TEXT, .at = l->p};
    while (l->p < l->end && !is_end_of_word(*l->p) && *l->p != ':') {
        l->p++;
    }
    token.text = str_n(token.at, (size_t)(l->p - token.at));
    if (l->p < l->end && *l->p == ':') {
        if (!is_name(token.text)) {
            lexer_fail(l, token.at, "\"%.*s\" is no name of a field: put the text in quotes", STR_ARG(token.text));
            return bad_token(token.at);
        }
        l->p++;
        token.kind = TOKEN_FIELD;
        return token;
    }
    if (str_eqz(token.text, "AND")) {
        token.kind = TOKEN_AND;
    } else if (str_eqz(token.text, "OR")) {
        token.kind = TOKEN_OR;
    } else if (str_eqz(token.text, "NOT")) {
        token.kind = TOKEN_NOT;
    }
    if (token.kind != TOKEN_TEXT) {
        return token; /* "OR(" is clear enough */
    }
    const char *star = memchr(token.text.ptr, '*', token.text.len);
    if (star) {
        lexer_fail(l, star, "words are found anywhere in a text: leave the star out, or put it in quotes");
        return bad_token(token.at);
    }
    return check_after(l, false) ? token : bad_token(token.at);
}

struct token lexer_next(struct lexer *l)
{
    while (l->p < l->end && is_blank(*l->p)) {
        l->p++;
    }
    struct token token = {.kind = TOKEN_END, .at = l->p};
    if (l->p == l->end) {
        return token;
    }
    switch (*l->p) {
    case '(':
        token.kind = TOKEN_OPEN;
        break;
    case ')':
        token.kind = TOKEN_CLOSE;
        break;
    case '-':
        token.kind = TOKEN_NOT;
        break;
    case '"':
        return lex_text(l);
    default:
        return lex_word(l);
    }
    l->p++;
    if (token.kind == TOKEN_NOT && (l->p == l->end || is_blank(*l->p))) {
        lexer_fail(l, token.at, "there is nothing behind the minus sign");
        return bad_token(token.at);
    }
    return token;
}

/* p is at the first slash. */
static bool lex_regex(struct lexer *l, struct lexeme *ret)
{
    const char *begin = ++l->p;
    while (l->p < l->end && *l->p != '/') {
        l->p += *l->p == '\\' && l->end - l->p > 1 ? 2 : 1;
    }
    if (l->p >= l->end) {
        lexer_fail(l, ret->at,
                   "this regular expression has no closing slash: close it, or put a plain value in quotes");
        return false;
    }
    ret->text = str_n(begin, (size_t)(l->p - begin));
    if (ret->text.len == 0 || ret->text.len > FILTER_REGEX_MAX) {
        lexer_fail(l, ret->at, "a regular expression has 1 to %d bytes", FILTER_REGEX_MAX);
        return false;
    }
    l->p++;
    if (l->p < l->end && *l->p == 'i') {
        ret->caseless = true;
        l->p++;
    }
    return check_after(l, true);
}

static bool lex_bare_value(struct lexer *l, struct lexeme *ret)
{
    const char *begin = l->p;
    while (l->p < l->end && !is_end_of_word(*l->p) && *l->p != ',' && *l->p != '*') {
        l->p++;
    }
    ret->text = str_n(begin, (size_t)(l->p - begin));
    if (ret->text.len == 0 && (l->p == l->end || *l->p != '*')) {
        lexer_fail(l, begin, "a value is missing: write it right here, \"\" for an empty one");
        return false;
    }
    return true;
}

bool lexer_value(struct lexer *l, struct lexeme *ret)
{
    *ret = (struct lexeme){.kind = LEXEME_WORD, .at = l->p};
    if (l->p < l->end && *l->p == '/') {
        ret->kind = LEXEME_REGEX;
        return lex_regex(l, ret);
    }
    if (l->p < l->end && *l->p == '"') {
        ret->kind = LEXEME_QUOTED;
        if (!lex_quoted(l, &ret->text)) {
            return false;
        }
    } else if (!lex_bare_value(l, ret)) {
        return false;
    }
    if (l->p < l->end && *l->p == '*') {
        ret->star = true;
        l->p++;
    }
    return check_after(l, true);
}

bool lexer_comma(struct lexer *l)
{
    const bool found = l->p < l->end && *l->p == ',';
    l->p += found;
    return found;
}
