/* SPDX-License-Identifier: MIT
 *
 * args.h - one table of options per command; from it come getopt_long's arrays, --help and the "did you mean".
 */
#ifndef WIKITALLY_CLI_ARGS_H
#define WIKITALLY_CLI_ARGS_H

#include "base/clock.h"
#include "base/err.h"
#include "base/option.h"

enum arg_kind {
    ARG_FLAG,     /* bool *, set to true */
    ARG_STRING,   /* const char **, borrowed from argv */
    ARG_INT,      /* int64_t *, >= 0 */
    ARG_DOUBLE,   /* double *, >= 0; "max" is 0 */
    ARG_DURATION, /* int64_t *, microseconds */
    ARG_TIME,     /* int64_t *, microseconds; time_parse_human */
    ARG_LIST,     /* struct string_list *, appended */
    ARG_COUNT,    /* int *, one more each time */
};

struct arg {
    const char *name; /* long, without -- */
    char letter;      /* short, or 0 */
    enum arg_kind kind;
    void *at;
    const char *meta; /* FILE, N, T: shown in --help; NULL for flags */
    const char *help; /* one line */
};

enum { ARGS_MAX = 64 };

/* Parses options anywhere among the arguments (`--` ends them). argv[0] is the command. What is left is at
 * argv[*ret_first..argc). Errors: EXIT_USAGE, naming the option and the nearest known one. */
enum err_class args_parse(const struct arg *args, size_t count, int argc, char **argv, int *ret_first, struct err *err);
void args_help(const struct arg *args, size_t count, struct buf *out);

#endif
