/* SPDX-License-Identifier: MIT
 *
 * config_show.c - the configuration as YAML, JSON, lines for people, a file to begin with, and a JSON Schema.
 */
#include "app/config_private.h"

#include <stdio.h>

/* ---- values */

/* "http://user:password@host" -> "http://user:***@host", also without "http://"; of "http://token@host" the token is
 * masked. */
void config_add_url(struct buf *out, struct str url)
{
    if (!url.ptr || url.len == 0) {
        return;
    }
    const char *scheme = memmem(url.ptr, url.len, "://", 3);
    const char *from = scheme ? scheme + 3 : url.ptr;
    const char *at = memrchr(url.ptr, '@', url.len);
    if (!at || at < from) {
        buf_add(out, url);
        return;
    }
    const char *colon = memchr(from, ':', (size_t)(at - from));
    const char *keep = colon ? colon + 1 : from;
    buf_add(out, str_n(url.ptr, (size_t)(keep - url.ptr)));
    buf_addz(out, "***");
    buf_add(out, str_n(at, url.len - (size_t)(at - url.ptr)));
}

/* Other texts have an @ too: a mail address, a filter. */
static bool is_url(const struct option *o)
{
    return strcmp(o->key, "source.url") == 0 || strcmp(o->key, "source.proxy") == 0;
}

void config_show_value(const struct option *o, const void *base, struct buf *out)
{
    AUTO(buf) struct buf text = {0};
    option_show(o, base, &text);
    if (o->secret && text.len) {
        buf_addz(out, "***");
    } else if (is_url(o)) {
        config_add_url(out, buf_str(&text));
    } else {
        buf_add(out, buf_str(&text));
    }
}

static bool is_plain_word(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("_./()", c);
        if (!word && !(i > 0 && i + 1 < s.len && c == ' ') && !(i > 0 && c == '-')) {
            return false;
        }
    }
    return s.len > 0;
}

/* Quoted as JSON (which is YAML); "${" is kept from being replaced. */
static void add_quoted(struct buf *out, struct str s)
{
    AUTO(buf) struct buf guarded = {0};
    for (size_t i = 0; i < s.len; i++) {
        if (str_starts(str_n(s.ptr + i, s.len - i), STR("${"))) {
            buf_addc(&guarded, '$');
        }
        buf_addc(&guarded, s.ptr[i]);
    }
    buf_add_json(out, buf_str(&guarded));
}

/* A YAML scalar: plain where that is safe. */
static void add_scalar(struct buf *out, struct str s)
{
    if (is_plain_word(s)) {
        buf_add(out, s);
    } else {
        add_quoted(out, s);
    }
}

static const struct string_list *list_of(const struct option *o, const void *base)
{
    return (const struct string_list *)(const void *)((const char *)base + o->offset);
}

static void add_yaml_value(struct buf *out, const struct option *o, const void *base)
{
    if (o->type != OPTION_LIST) {
        AUTO(buf) struct buf text = {0};
        config_show_value(o, base, &text);
        add_scalar(out, buf_str(&text));
        return;
    }
    const struct string_list *list = list_of(o, base);
    buf_addc(out, '[');
    for (size_t i = 0; i < list->count; i++) {
        buf_addz(out, i ? ", " : "");
        add_quoted(out, str_of(list->items[i]));
    }
    buf_addc(out, ']');
}

/* ---- every key, one after the other */

struct visit { /* what a visitor is told; section "" for keys at the top */
    const struct option *row;
    const void *base;
    const char *key;     /* in full */
    const char *section; /* "source", or an aggregation's name */
    bool in_aggregation;
    const char *origin; /* NULL: default */
};
typedef void visitor(const struct visit *v, void *ctx);

static struct str section_of(const char *key)
{
    const char *dot = strchr(key, '.');
    return str_n(key, dot ? (size_t)(dot - key) : 0);
}

static void visit_all(const struct config *c, visitor *visit, void *ctx)
{
    size_t rows;
    const struct option *table = config_options(&rows);
    for (size_t i = 0; i < rows; i++) {
        char section[CONFIG_KEY_MAX];
        snprintf(section, sizeof section, "%.*s", STR_ARG(section_of(table[i].key)));
        struct visit v = {.row = &table[i], .base = c, .key = table[i].key, .section = section};
        v.origin = config_origin(c, v.key);
        visit(&v, ctx);
    }
    table = config_aggregation_options(&rows);
    for (size_t d = 0; d < c->p->definition_count; d++) {
        for (size_t i = 0; i < rows; i++) {
            const char *name = c->p->definitions[d].name;
            char key[CONFIG_KEY_MAX];
            snprintf(key, sizeof key, "aggregations.%s.%s", name, table[i].key);
            visit(&(struct visit){.row = &table[i],
                                  .base = &c->p->definitions[d],
                                  .key = key,
                                  .section = name,
                                  .in_aggregation = true,
                                  .origin = config_origin(c, key)},
                  ctx);
        }
    }
}

static const char *last_part(const char *key)
{
    const char *dot = strrchr(key, '.');
    return dot ? dot + 1 : key;
}

/* ---- show */

struct show {
    struct buf *out;
    bool origins;
    char section[CONFIG_KEY_MAX];
    bool in_aggregations;
};

static void show_heading(struct show *s, const struct visit *v)
{
    if (v->in_aggregation && !s->in_aggregations) {
        buf_addz(s->out, "aggregations:\n");
        s->in_aggregations = true;
        s->section[0] = '\0';
    }
    if (strcmp(s->section, v->section) != 0) {
        buf_addf(s->out, "%s%s:\n", v->in_aggregation ? "  " : "", v->section);
        snprintf(s->section, sizeof s->section, "%s", v->section);
    }
}

static void show_one(const struct visit *v, void *ctx)
{
    struct show *s = ctx;
    if (v->row->secret && !v->origin) {
        return; /* not set, or from its file: the row of the file says all */
    }
    if (v->in_aggregation && strcmp(last_part(v->key), "lateness") == 0 &&
        ((const struct definition *)v->base)->late == LATE_DROP) {
        return; /* has no meaning then, and would be refused (config_check.c) */
    }
    show_heading(s, v);
    buf_addf(s->out, "%s%s%s: ",
             v->in_aggregation ? "    "
             : *v->section     ? "  "
                               : "",
             v->row->secret ? "# " : "", last_part(v->key));
    add_yaml_value(s->out, v->row, v->base);
    if (s->origins) {
        buf_addz(s->out, "  # ");
        struct str origin = str_of(v->origin ? v->origin : "default");
        buf_add_printable(s->out, origin, origin.len);
    }
    buf_addc(s->out, '\n');
}

void config_show(const struct config *c, bool origins, struct buf *out)
{
    struct show s = {.out = out, .origins = origins};
    visit_all(c, show_one, &s);
}

/* ---- diff */

static void diff_one(const struct visit *v, void *ctx)
{
    struct buf *out = ctx;
    if (v->origin) {
        buf_addf(out, "%s: ", v->key);
        add_yaml_value(out, v->row, v->base);
        buf_addz(out, "  # ");
        buf_add_printable(out, str_of(v->origin), strlen(v->origin));
        buf_addc(out, '\n');
    }
}

void config_diff(const struct config *c, struct buf *out)
{
    visit_all(c, diff_one, out);
}

/* ---- JSON */

struct json {
    struct buf *out;
    bool some;
};

static void add_json_list(struct buf *out, const struct string_list *list)
{
    buf_addc(out, '[');
    for (size_t i = 0; i < list->count; i++) {
        buf_addz(out, i ? "," : "");
        buf_add_json_html(out, str_of(list->items[i]));
    }
    buf_addc(out, ']');
}

static void json_one(const struct visit *v, void *ctx)
{
    struct json *j = ctx;
    buf_addz(j->out, j->some ? "," : "");
    j->some = true;
    buf_add_json_html(j->out, str_of(v->key));
    buf_addz(j->out, ":{\"value\":");
    if (v->row->type == OPTION_LIST) {
        add_json_list(j->out, list_of(v->row, v->base));
    } else {
        AUTO(buf) struct buf text = {0};
        config_show_value(v->row, v->base, &text);
        buf_add_json_html(j->out, buf_str(&text));
    }
    buf_addz(j->out, ",\"origin\":");
    buf_add_json_html(j->out, str_of(v->origin ? v->origin : "default"));
    buf_addz(j->out, ",\"help\":");
    buf_add_json_html(j->out, str_of(v->row->help));
    buf_addc(j->out, '}');
}

void config_show_json(const struct config *c, struct buf *out)
{
    struct json j = {.out = out};
    buf_addz(out, "{\"schema_version\":1,\"values\":{");
    config_lock(); /* the server's threads ask while a reload may be under way */
    visit_all(c, json_one, &j);
    config_unlock();
    buf_addz(out, "}}");
}

/* ---- explain */

struct explain {
    struct str key;
    struct buf *out;
    const struct config *defaults;
    size_t found;
    const char *names[AGGREGATIONS_MAX * 16 + 64]; /* rows' keys, for a suggestion */
    size_t name_count;
};

static void default_of_one(const struct visit *v, void *ctx)
{
    struct explain *e = ctx;
    if (str_eqz(e->key, v->key)) {
        add_yaml_value(e->out, v->row, v->base);
        e->found++;
    }
}

static void explain_default(struct explain *e, const struct visit *v)
{
    struct explain inner = {.key = e->key, .out = e->out};
    visit_all(e->defaults, default_of_one, &inner);
    if (!inner.found) { /* an aggregation that is not built in: the row's own */
        AUTO(buf) struct buf text = {0};
        buf_addz(&text, v->row->initial ? v->row->initial : "");
        add_scalar(e->out, buf_str(&text));
    }
}

static void explain_range(struct buf *out, const struct option *o)
{
    static const char *const types[] = {
        [OPTION_BOOL] = "true or false",
        [OPTION_INT] = "a whole number",
        [OPTION_DOUBLE] = "a number",
        [OPTION_DURATION] = "a duration such as 500ms, 30s, 15m, 1h or 7d",
        [OPTION_SIZE] = "a size such as 4096, 64MiB or 20GiB",
        [OPTION_STRING] = "text",
        [OPTION_PATH] = "a path",
        [OPTION_ENUM] = "one of ",
        [OPTION_LIST] = "a list",
    };
    buf_addf(out, "takes:       %s%s", types[o->type], o->choices ? o->choices : "");
    bool text = o->type == OPTION_STRING || o->type == OPTION_PATH;
    if (o->max && text) {
        buf_addf(out, ", at most %s bytes", o->max);
    } else if (o->min && o->max) {
        buf_addf(out, ", from %s to %s", o->min, o->max);
    }
    buf_addc(out, '\n');
}

static void explain_variable(struct buf *out, const char *key)
{
    buf_addz(out, "environment: WIKITALLY_");
    for (; *key; key++) {
        buf_addc(out, *key == '.' ? '_' : *key >= 'a' && *key <= 'z' ? (char)(*key - 'a' + 'A') : *key);
    }
    buf_addc(out, '\n');
}

static void explain_key(struct explain *e, const struct visit *v)
{
    buf_addf(e->out, "%s: ", v->key);
    add_yaml_value(e->out, v->row, v->base);
    buf_addf(e->out, "\n\n%s\n\norigin:      ", v->row->help);
    struct str origin = str_of(v->origin ? v->origin : "default");
    buf_add_printable(e->out, origin, origin.len);
    buf_addz(e->out, "\ndefault:     ");
    explain_default(e, v);
    buf_addc(e->out, '\n');
    explain_range(e->out, v->row);
    explain_variable(e->out, v->key);
    buf_addf(e->out, "change:      %s\n", v->row->live ? "a reload (SIGHUP) takes it over" : "at the next start");
}

static void explain_one(const struct visit *v, void *ctx)
{
    struct explain *e = ctx;
    struct str key = str_of(v->key);
    if (str_eq(e->key, key)) {
        explain_key(e, v);
        e->found++;
    } else if (str_starts(key, e->key) && key.ptr[e->key.len] == '.') {
        buf_addf(e->out, "%s: ", v->key);
        add_yaml_value(e->out, v->row, v->base);
        buf_addf(e->out, "\n    %s\n", v->row->help);
        e->found++;
    }
}

static void collect_names(const struct visit *v, void *ctx)
{
    struct explain *e = ctx;
    if (!v->in_aggregation && e->name_count < sizeof e->names / sizeof *e->names) {
        e->names[e->name_count++] = v->key; /* the table's own text */
    }
}

enum err_class config_explain(const struct config *c, struct str key, struct buf *out, struct err *err)
{
    struct config defaults;
    enum err_class cls = config_load_defaults(&defaults, err);
    if (cls) {
        return cls;
    }
    struct explain e = {.key = key, .out = out, .defaults = &defaults};
    if (key.len > 0) {
        visit_all(c, explain_one, &e);
    }
    if (!e.found) {
        visit_all(c, collect_names, &e);
        const char *near = suggest(key, e.names, e.name_count);
        cls =
            err_set(err, ERR_REJECT, EXIT_USAGE, "there is no key \"%.*s\"%s%s%s", (int)(key.len < 100 ? key.len : 100),
                    key.ptr ? key.ptr : "", near ? "; did you mean \"" : "; see \"wikitally config show\"",
                    near ? near : "", near ? "\"" : "");
    }
    config_fini(&defaults);
    return cls;
}

/* ---- a file to begin with */

enum { LINE_WIDTH = 100 };

/* Words as comment lines of at most LINE_WIDTH characters. */
static void add_comment(struct buf *out, const char *indent, struct str text)
{
    size_t column = 0;
    struct str word;
    while (str_split(&text, ' ', &word)) {
        if (column && column + 1 + word.len > LINE_WIDTH) {
            buf_addc(out, '\n');
            column = 0;
        }
        if (column == 0) {
            buf_addf(out, "%s#", indent);
            column = strlen(indent) + 1;
        }
        buf_addc(out, ' ');
        buf_add(out, word);
        column += 1 + word.len;
    }
    buf_addc(out, '\n');
}

static void init_one(const struct visit *v, void *ctx)
{
    struct show *s = ctx;
    if (v->in_aggregation || v->row->secret) {
        return;
    }
    if (*v->section && strcmp(s->section, v->section) != 0) {
        snprintf(s->section, sizeof s->section, "%s", v->section);
        buf_addc(s->out, '\n');
        for (size_t i = 0; i < config_section_count(); i++) {
            if (strcmp(config_sections[i].name, v->section) == 0) {
                add_comment(s->out, "", str_of(config_sections[i].help));
            }
        }
        buf_addf(s->out, "#%s:\n", v->section);
    }
    add_comment(s->out, *v->section ? "  " : "", str_of(v->row->help));
    buf_addf(s->out, "#%s%s: ", *v->section ? "  " : "", last_part(v->key));
    add_yaml_value(s->out, v->row, v->base);
    buf_addc(s->out, '\n');
}

static void init_aggregations(struct buf *out)
{
    buf_addc(out, '\n');
    add_comment(out, "",
                STR("What is computed. Those that are built in stand below; single keys of them can be changed, or "
                    "\"enabled: false\" written; others can be added under a name of their own. Keys:"));
    size_t rows;
    const struct option *table = config_aggregation_options(&rows);
    for (size_t i = 0; i < rows; i++) {
        AUTO(buf) struct buf line = {0};
        buf_addf(&line, "  %s (%s%s): %s", table[i].key, table[i].choices ? table[i].choices : "default ",
                 table[i].choices   ? ""
                 : table[i].initial ? table[i].initial
                                    : "empty",
                 table[i].help);
        add_comment(out, "", buf_str(&line));
    }
    struct str rest = str_of(config_built_in), line;
    while (str_split(&rest, '\n', &line)) {
        if (line.len) {
            buf_addf(out, "#%.*s\n", STR_ARG(line));
        }
    }
}

void config_init_text(struct buf *out)
{
    struct config defaults;
    struct err err = {0};
    ensure(!config_load_defaults(&defaults, &err));
    buf_addz(
        out,
        "# Configuration of wikitally. Every key is shown with its default; remove the # in front of a section and of\n"
        "# the keys that you want to change. \"wikitally config check\" reads it, \"wikitally config explain KEY\" "
        "says\n"
        "# more. Values may hold ${NAME} or ${NAME:-default} from the environment.\n\n");
    struct show s = {.out = out};
    visit_all(&defaults, init_one, &s);
    init_aggregations(out);
    config_fini(&defaults);
}

/* ---- JSON Schema */

static void schema_bounds(struct buf *out, const struct option *o)
{
    if (o->min) {
        buf_addf(out, ",\"minimum\":%s", o->min);
    }
    if (o->max) {
        buf_addf(out, ",\"maximum\":%s", o->max);
    }
}

static void schema_enum(struct buf *out, const char *choices)
{
    struct str rest = str_of(choices), choice;
    buf_addz(out, "\"enum\":[");
    for (bool some = false; str_split(&rest, '|', &choice); some = true) {
        buf_addf(out, "%s\"%.*s\"", some ? "," : "", STR_ARG(choice));
    }
    buf_addc(out, ']');
}

/* Any value may also be a text with ${NAME}. */
static void schema_value(struct buf *out, const struct option *o)
{
    static const char variable[] = "{\"type\":\"string\",\"pattern\":\"\\\\$\\\\{\"}";
    buf_addz(out, "{\"description\":");
    buf_add_json(out, str_of(o->help));
    buf_addz(out, ",\"anyOf\":[{");
    switch (o->type) {
    case OPTION_BOOL:
        buf_addz(out, "\"type\":\"boolean\"");
        break;
    case OPTION_INT:
        buf_addz(out, "\"type\":\"integer\"");
        schema_bounds(out, o);
        break;
    case OPTION_DOUBLE:
        buf_addz(out, "\"type\":\"number\"");
        schema_bounds(out, o);
        break;
    case OPTION_DURATION:
        buf_addz(out, "\"type\":[\"string\",\"integer\"],\"pattern\":\"^[0-9]{1,9}(us|ms|s|m|h|d)?$\"");
        break;
    case OPTION_SIZE:
        buf_addz(out,
                 "\"type\":[\"string\",\"integer\"],\"pattern\":\"^[0-9]{1,18}(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)?$\"");
        break;
    case OPTION_ENUM:
        schema_enum(out, o->choices);
        break;
    case OPTION_LIST:
        buf_addz(out,
                 "\"type\":\"array\",\"items\":{\"type\":[\"string\",\"number\",\"boolean\"]}},{\"type\":\"string\"");
        break;
    case OPTION_STRING:
    case OPTION_PATH:
        buf_addz(out, "\"type\":[\"string\",\"number\",\"boolean\"]");
        break;
    }
    buf_addf(out, "},%s]}", variable);
}

static void schema_section(struct buf *out, const char *name, const struct option *table, size_t rows)
{
    bool some = false;
    buf_addz(out, "{\"type\":[\"object\",\"null\"],\"additionalProperties\":false,\"properties\":{");
    for (size_t i = 0; i < rows; i++) {
        struct str key = str_of(table[i].key);
        if (!name || str_eqz(section_of(table[i].key), name)) {
            buf_addf(out, "%s\"%s\":", some ? "," : "", last_part(key.ptr));
            schema_value(out, &table[i]);
            some = true;
        }
    }
    buf_addz(out, "}}");
}

void config_schema(struct buf *out)
{
    size_t rows, aggregation_rows;
    const struct option *table = config_options(&rows);
    const struct option *aggregation = config_aggregation_options(&aggregation_rows);
    buf_addz(out, "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"title\":\"wikitally configuration\","
                  "\"type\":\"object\",\"additionalProperties\":false,\"properties\":{");
    for (size_t i = 0; i < rows; i++) {
        if (section_of(table[i].key).len == 0) {
            buf_addf(out, "\"%s\":", table[i].key);
            schema_value(out, &table[i]);
            buf_addc(out, ',');
        }
    }
    for (size_t i = 0; i < config_section_count(); i++) {
        buf_addf(out, "\"%s\":", config_sections[i].name);
        schema_section(out, config_sections[i].name, table, rows);
        buf_addc(out, ',');
    }
    buf_addz(
        out,
        "\"aggregations\":{\"type\":[\"object\",\"null\"],\"propertyNames\":{\"pattern\":\"^[a-z][a-z0-9_]{0,39}$\"},"
        "\"additionalProperties\":");
    schema_section(out, NULL, aggregation, aggregation_rows);
    buf_addz(out,
             "},\"tests\":{\"type\":[\"array\",\"null\"],\"items\":{\"type\":\"object\",\"additionalProperties\":false,"
             "\"required\":[\"name\",\"aggregation\",\"steps\"],\"properties\":{\"name\":{\"type\":\"string\"},"
             "\"aggregation\":{\"type\":\"string\"},\"steps\":{\"type\":\"array\"}}}}}}\n");
}
