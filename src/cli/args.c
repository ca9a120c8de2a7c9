/* SPDX-License-Identifier: MIT
 *
 * args.c - see args.h. getopt_long does the parsing; its own messages are off, ours say what to do next.
 */
/* base/option.h has a struct option of its own; getopt's gets another tag here, which changes nothing but the name. */
#define option getopt_option
#include <getopt.h>
#undef option

#include "cli/args.h"

#include <stdlib.h>

static enum err_class unknown_option(const struct arg *args, size_t count, const char *text, struct err *err)
{
    const char *names[ARGS_MAX];
    for (size_t i = 0; i < count; i++)
        names[i] = args[i].name;
    struct str word = str_of(text);
    while (word.len > 0 && word.ptr[0] == '-')
        word = str_n(word.ptr + 1, word.len - 1);
    const char *equals = memchr(word.ptr, '=', word.len);
    if (equals)
        word.len = (size_t)(equals - word.ptr);
    const char *nearest = suggest(word, names, count);
    return err_set(err, ERR_REJECT, EXIT_USAGE,
                   nearest ? "unknown option \"%s\"; did you mean --%s" : "unknown option \"%s\"; see --help", text,
                   nearest);
}

static bool parse_double(const char *text, double *ret_value)
{
    char *end;
    if (strcmp(text, "max") == 0) {
        *ret_value = 0;
        return true;
    }
    double value = strtod(text, &end);
    if (end == text || *end != 0 || !(value >= 0 && value < 1e12))
        return false;
    *ret_value = value;
    return true;
}

static enum err_class store(const struct arg *arg, const char *text, struct err *err)
{
    const char *wanted = NULL;
    int64_t number;
    double real;
    switch (arg->kind) {
    case ARG_FLAG:
        *(bool *)arg->at = true;
        break;
    case ARG_COUNT:
        ++*(int *)arg->at;
        break;
    case ARG_STRING:
        *(const char **)arg->at = text;
        break;
    case ARG_LIST:
        string_list_add(arg->at, str_of(text));
        break;
    case ARG_INT:
        if (str_to_int64(str_of(text), &number) && number >= 0)
            *(int64_t *)arg->at = number;
        else
            wanted = "a whole number";
        break;
    case ARG_DOUBLE:
        if (parse_double(text, &real))
            *(double *)arg->at = real;
        else
            wanted = "a number or \"max\"";
        break;
    case ARG_DURATION:
        if (duration_parse(str_of(text), &number))
            *(int64_t *)arg->at = number;
        else
            wanted = "a duration such as 60, 90s, 2m, 500ms";
        break;
    case ARG_TIME:
        if (time_parse_human(str_of(text), clock_wall(&clock_real), &number))
            *(int64_t *)arg->at = number;
        else
            wanted = "a time such as 2026-11-21T12:00:00Z, now-15m or 15m";
        break;
    }
    return wanted ? err_set(err, ERR_REJECT, EXIT_USAGE, "--%s: \"%s\" is not %s", arg->name, text, wanted) : ERR_NONE;
}

enum err_class args_parse(const struct arg *args, size_t count, int argc, char **argv, int *ret_first, struct err *err)
{
    struct getopt_option longs[ARGS_MAX + 1];
    char shorts[ARGS_MAX * 2 + 2] = ":";
    size_t n = 1;
    ensure(count <= ARGS_MAX);
    memset(longs, 0, sizeof longs);
    for (size_t i = 0; i < count; i++) {
        bool takes = args[i].kind != ARG_FLAG && args[i].kind != ARG_COUNT;
        longs[i].name = args[i].name;
        longs[i].has_arg = takes ? required_argument : no_argument;
        longs[i].val = 256 + (int)i;
        if (args[i].letter) {
            shorts[n++] = args[i].letter;
            if (takes)
                shorts[n++] = ':';
        }
    }
    shorts[n] = 0;
    optind = 0;
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, shorts, longs, NULL)) != -1;) {
        if (c == '?' || c == ':') {
            const char *text = argv[optind - 1];
            if (c == ':')
                return err_set(err, ERR_REJECT, EXIT_USAGE, "option \"%s\" needs a value; see --help", text);
            if (optopt >= 256)
                return err_set(err, ERR_REJECT, EXIT_USAGE, "option \"--%s\" takes no value", args[optopt - 256].name);
            return unknown_option(args, count, text, err);
        }
        size_t at = 0;
        while (c < 256 ? args[at].letter != (char)c : at != (size_t)(c - 256))
            at++;
        if (store(&args[at], optarg, err))
            return err->cls;
    }
    *ret_first = optind;
    return ERR_NONE;
}

void args_help(const struct arg *args, size_t count, struct buf *out)
{
    for (size_t i = 0; i < count; i++) {
        size_t start = out->len;
        buf_addz(out, "  ");
        if (args[i].letter)
            buf_addf(out, "-%c, ", args[i].letter);
        buf_addf(out, "--%s", args[i].name);
        if (args[i].meta)
            buf_addf(out, " %s", args[i].meta);
        while (out->len - start < 30)
            buf_addc(out, ' ');
        buf_addf(out, " %s\n", args[i].help);
    }
}
