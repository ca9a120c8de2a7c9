/* SPDX-License-Identifier: MIT
 *
 * config_man.c - the manual page wikitally.yaml(5), in scdoc's language, made from the option tables, so that it cannot
 * say anything else than the program does.
 */
#include "app/config.h"

static const char *type_text(enum option_type type)
{
    static const char *const names[] = {
        [OPTION_BOOL] = "true or false",
        [OPTION_INT] = "a whole number",
        [OPTION_DOUBLE] = "a number",
        [OPTION_DURATION] = "a duration such as 500ms, 30s, 15m, 1h, 7d",
        [OPTION_SIZE] = "a size such as 64MiB, 20GiB",
        [OPTION_STRING] = "a text",
        [OPTION_PATH] = "a path",
        [OPTION_ENUM] = "one of these",
        [OPTION_LIST] = "a list",
    };
    return names[type];
}

/* scdoc takes these for markup. */
static void add_escaped(struct buf *out, const char *text)
{
    for (; *text; text++) {
        if (strchr("*_\\<>.`#", *text)) {
            buf_addc(out, '\\');
        }
        buf_addc(out, *text);
    }
}

static void add_option(struct buf *out, const struct option *o, const char *prefix)
{
    buf_addz(out, "*");
    add_escaped(out, prefix);
    add_escaped(out, o->key);
    buf_addz(out, "*\n\t");
    add_escaped(out, o->help);
    buf_addf(out, " Takes %s", type_text(o->type));
    if (o->choices) {
        buf_addz(out, ": ");
        add_escaped(out, o->choices);
    }
    if (o->min && o->max && o->type != OPTION_STRING && o->type != OPTION_PATH) {
        buf_addz(out, ", from ");
        add_escaped(out, o->min);
        buf_addz(out, " to ");
        add_escaped(out, o->max);
    }
    buf_addz(out, ". Default: ");
    add_escaped(out, o->initial && *o->initial ? o->initial : "none");
    buf_addz(out, o->live ? ". A reload takes it over" : "");
    buf_addz(out, o->secret ? ". Never shown, never taken from the command line.\n\n" : ".\n\n");
}

void config_man(struct buf *out)
{
    size_t count;
    const struct option *options = config_options(&count);
    buf_addz(out,
             "wikitally.yaml(5)\n\n# NAME\n\nwikitally.yaml - the configuration of *wikitally*(1)\n\n# DESCRIPTION\n\n"
             "A strict subset of YAML; every key has a default, and an unknown one is an error with its line, column "
             "and the "
             "nearest known one. Each key is also an environment variable: *source.overlap* is "
             "WIKITALLY\\_SOURCE\\_OVERLAP, and *--set source.overlap=30s* on the command line. A later layer wins: "
             "defaults, "
             "/etc/wikitally/wikitally.yaml, the user's file, conf.d, environment, command line. ${NAME} and "
             "${NAME:-default} in a value are replaced from the environment.\n\nSIGHUP makes a running program read "
             "all of it "
             "again: see *SIGNALS* in *wikitally*(1). What a reload takes over says so below; all else is taken up by "
             "the next start.\n\n# KEYS\n\n");
    for (size_t i = 0; i < count; i++) {
        add_option(out, &options[i], "");
    }
    options = config_aggregation_options(&count);
    buf_addz(out, "# AGGREGATIONS\n\nBelow *aggregations:* each name is a table of counts. The five built-in ones can "
                  "be changed key by key, or "
                  "switched off with *enabled: false*.\n\n");
    for (size_t i = 0; i < count; i++) {
        add_option(out, &options[i], "aggregations.NAME.");
    }
    buf_addz(out, "# SEE ALSO\n\n*wikitally*(1)\n");
}
