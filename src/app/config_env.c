/* SPDX-License-Identifier: MIT
 *
 * config_env.c - the variables that a configuration may use: the process's, and those of a file named by --env-file.
 */
#include "app/config_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ENV_FILE_MAX = 1 << 20 };

void environment_fini(struct environment *e)
{
    arena_fini(&e->arena);
    free(e->variables);
    *e = (struct environment){0};
}

static void add(struct environment *e, struct variable v)
{
    if (e->count == e->cap) {
        e->cap = e->cap ? e->cap * 2 : 64;
        e->variables = xrealloc(e->variables, e->cap * sizeof *e->variables);
    }
    e->variables[e->count++] = v;
}

static char *print(struct arena *arena, struct buf *text)
{
    char *z = (char *)(uintptr_t)arena_dup(arena, buf_str(text)).ptr; /* the arena's own bytes: may be written */
    buf_fini(text);
    return z;
}

void environment_add(struct environment *e, const char *const *list)
{
    for (; *list; list++) {
        struct str value = str_of(*list), name;
        if (str_split(&value, '=', &name) && strchr(*list, '=')) {
            struct buf place = {0};
            buf_addf(&place, "environment %.*s", STR_ARG(name));
            add(e, (struct variable){
                       .name = name, .value = str_of(strchr(*list, '=') + 1), .place = print(&e->arena, &place)});
        }
    }
}

const struct variable *environment_get(const struct environment *e, struct str name)
{
    for (size_t i = 0; i < e->count; i++) {
        if (str_eq(e->variables[i].name, name)) {
            return &e->variables[i];
        }
    }
    return NULL;
}

static bool is_name_char(char c, bool first)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' || (!first && c >= '0' && c <= '9');
}

static bool is_name(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!is_name_char(s.ptr[i], i == 0)) {
            return false;
        }
    }
    return s.len > 0;
}

/* ---- a file of variables */

static char unescape(char c)
{
    return c == 'n' ? '\n' : c == 't' ? '\t' : c;
}

/* The text between quotes that begins at s[0]. False: the quote is not closed, or something follows it. */
static bool parse_quoted(struct str s, struct buf *out)
{
    char quote = s.ptr[0];
    size_t at = 1;
    for (; at < s.len && s.ptr[at] != quote; at++) {
        if (quote == '"' && s.ptr[at] == '\\' && at + 1 < s.len) {
            at++;
            buf_addc(out, unescape(s.ptr[at]));
        } else {
            buf_addc(out, s.ptr[at]);
        }
    }
    struct str behind = at < s.len ? str_trim(str_n(s.ptr + at + 1, s.len - at - 1)) : STR("x");
    return behind.len == 0 || (at < s.len && behind.ptr[0] == '#');
}

/* Plain: up to " #". */
static void parse_plain(struct str s, struct buf *out)
{
    for (size_t i = 0; i + 1 < s.len; i++) {
        if (s.ptr[i] == ' ' && s.ptr[i + 1] == '#') {
            s.len = i;
        }
    }
    buf_add(out, str_trim(s));
}

static enum err_class parse_line(struct environment *e, const char *path, size_t number, struct str line,
                                 struct err *err)
{
    struct str text = str_trim(line);
    if (text.len == 0 || text.ptr[0] == '#') {
        return ERR_NONE;
    }
    size_t column = (size_t)(text.ptr - line.ptr) + 1;
    if (str_starts(text, STR("export "))) {
        text = str_trim(str_n(text.ptr + 7, text.len - 7));
    }
    const char *equals = memchr(text.ptr, '=', text.len);
    struct str name = str_trim(str_n(text.ptr, equals ? (size_t)(equals - text.ptr) : text.len));
    if (!equals || !is_name(name)) {
        return err_set(err, ERR_REJECT, EXIT_CONFIG, "%s:%zu:%zu: not of the form NAME=value", path, number, column);
    }
    struct str behind = str_n(equals + 1, text.len - (size_t)(equals + 1 - text.ptr)), value = str_trim(behind);
    AUTO(buf) struct buf out = {0};
    bool quoted = value.len > 0 && (value.ptr[0] == '"' || value.ptr[0] == '\'');
    if (quoted && !parse_quoted(value, &out)) {
        return err_set(err, ERR_REJECT, EXIT_CONFIG, "%s:%zu:%zu: the quoted value of \"%.*s\" does not end", path,
                       number, (size_t)(value.ptr - line.ptr) + 1, STR_ARG(name));
    }
    if (!quoted) {
        parse_plain(behind, &out);
    }
    if (!environment_get(e, name)) { /* the process's own value wins */
        struct buf place = {0};
        buf_addf(&place, "%s:%zu:%zu", path, number, column);
        add(e, (struct variable){.name = arena_dup(&e->arena, name),
                                 .value = arena_dup(&e->arena, buf_str(&out)),
                                 .place = print(&e->arena, &place),
                                 .from_file = true});
    }
    return ERR_NONE;
}

enum err_class environment_add_file(struct environment *e, const char *path, struct err *err)
{
    AUTO(buf) struct buf text = {0};
    bool missing, is_private;
    enum err_class cls = config_read_file(path, ENV_FILE_MAX, &text, &missing, &is_private, err);
    struct str rest = buf_str(&text), line;
    for (size_t number = 1; !cls && str_split(&rest, '\n', &line); number++) {
        cls = parse_line(e, path, number, line, err);
    }
    return cls;
}

/* ---- ${NAME} */

static enum err_class replace_one(const struct environment *e, struct str inside, struct buf *out, struct err *err)
{
    const char *colon = memchr(inside.ptr, ':', inside.len);
    struct str name = str_n(inside.ptr, colon ? (size_t)(colon - inside.ptr) : inside.len);
    if (!is_name(name) || (colon && (name.len + 2 > inside.len || colon[1] != '-'))) {
        return err_set(err, ERR_REJECT, EXIT_CONFIG,
                       "\"${%.*s}\" is neither ${NAME} nor ${NAME:-default}; write $${ for "
                       "a plain ${",
                       STR_ARG(inside));
    }
    const struct variable *v = environment_get(e, name);
    if (v && (v->value.len > 0 || !colon)) {
        buf_add(out, v->value);
    } else if (colon) {
        buf_add(out, str_n(colon + 2, inside.len - name.len - 2));
    } else {
        return err_set(err, ERR_REJECT, EXIT_CONFIG,
                       "the environment has no \"%.*s\"; set it, or write ${%.*s:-default}", STR_ARG(name),
                       STR_ARG(name));
    }
    return ERR_NONE;
}

enum err_class environment_replace(const struct environment *e, struct str text, struct buf *out, size_t *ret_at,
                                   struct err *err)
{
    for (size_t at = 0; at < text.len;) {
        struct str rest = str_n(text.ptr + at, text.len - at);
        if (str_starts(rest, STR("$${"))) {
            buf_addz(out, "${");
            at += 3;
        } else if (str_starts(rest, STR("${"))) {
            const char *end = memchr(rest.ptr, '}', rest.len);
            *ret_at = at;
            if (!end) {
                return err_set(err, ERR_REJECT, EXIT_CONFIG, "\"${\" without \"}\"; write $${ for a plain ${");
            }
            enum err_class cls = replace_one(e, str_n(rest.ptr + 2, (size_t)(end - rest.ptr) - 2), out, err);
            if (cls) {
                return cls;
            }
            at += (size_t)(end - rest.ptr) + 1;
        } else {
            buf_addc(out, text.ptr[at++]);
        }
    }
    return ERR_NONE;
}

/* ---- files */

static enum err_class read_all(int fd, const char *path, size_t max, struct buf *out, struct err *err)
{
    for (;;) {
        char *room = buf_reserve(out, 4096);
        ssize_t got = room ? read(fd, room, 4096) : 0;
        if (got < 0 && errno != EINTR) {
            return err_errno(err, ERR_REJECT, EXIT_CONFIG, errno, "cannot read \"%s\"", path);
        }
        if (!room || (got > 0 && out->len + (size_t)got > max)) {
            return err_set(err, ERR_REJECT, EXIT_CONFIG, "\"%s\" has more than %zu bytes", path, max);
        }
        if (got == 0) {
            return ERR_NONE;
        }
        out->len += got > 0 ? (size_t)got : 0;
        out->ptr[out->len] = '\0';
    }
}

enum err_class config_read_file(const char *path, size_t max, struct buf *out, bool *ret_missing, bool *ret_private,
                                struct err *err)
{
    *ret_missing = false;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0) {
        *ret_missing = errno == ENOENT || errno == ENOTDIR;
        enum err_class cls = err_errno(err, ERR_REJECT, EXIT_CONFIG, errno, "cannot read \"%s\"", path);
        if (fd >= 0) {
            close(fd);
        }
        return cls;
    }
    *ret_private = (status.st_mode & 077) == 0;
    enum err_class cls = S_ISDIR(status.st_mode)
                             ? err_set(err, ERR_REJECT, EXIT_CONFIG, "\"%s\" is a directory, not a file", path)
                             : read_all(fd, path, max, out, err);
    close(fd);
    return cls;
}
