/* SPDX-License-Identifier: MIT
 *
 * option.h - option tables. One row an option; from the rows come the configuration's keys, environment names, --help,
 * the manual page and `config explain`. Each room holds the table of its own options; app/config.c binds them.
 */
#ifndef WIKITALLY_BASE_OPTION_H
#define WIKITALLY_BASE_OPTION_H

#include "base/clock.h"
#include "base/err.h"

enum option_type {
    OPTION_BOOL,
    OPTION_INT,
    OPTION_DOUBLE,
    OPTION_DURATION,
    OPTION_SIZE,
    OPTION_STRING,
    OPTION_PATH,
    OPTION_ENUM,
    OPTION_LIST
};

struct option {
    const char *key; /* "source.overlap": dotted; environment WIKITALLY_SOURCE_OVERLAP (R-less; ux.md section 2.5) */
    enum option_type type;
    size_t offset; /* of the member in the struct that the table describes: bool, int64_t (INT, DURATION in us, SIZE in
                    * bytes, ENUM index), double, char * (STRING, PATH: owned), struct string_list (LIST) */
    const char *initial;   /* default, as text, parsed like any other value; NULL: empty string / empty list */
    const char *min, *max; /* as text, inclusive; NULL: none. STRING: max = most bytes */
    const char *choices;   /* ENUM: "a|b|c" */
    const char *help;      /* one sentence or two, capital letter, full stop */
    bool secret;           /* masked wherever it is shown; refused on the command line */
    bool live;             /* a reload (SIGHUP) takes it over; else it needs a restart */
};

struct string_list {
    char **items;
    size_t count;
}; /* owned */
void string_list_fini(struct string_list *l);
void string_list_add(struct string_list *l, struct str s);

/* Parses text by the row and stores it in *at (base + offset). Errors name the key, the text, what is wanted. Strings
 * already there are freed. */
enum err_class option_set(const struct option *o, void *base, struct str text, struct err *err);
void option_defaults(const struct option *table, size_t count, void *base);
void option_fini(const struct option *table, size_t count, void *base);
void option_show(const struct option *o, const void *base,
                 struct buf *out); /* the value as text, as option_set takes it */
const struct option *option_find(const struct option *table, size_t count, struct str key);
/* The nearest known name for "did you mean", or NULL (edit distance above 3 or half the length). */
const char *suggest(struct str word, const char *const *known, size_t count);

#endif
