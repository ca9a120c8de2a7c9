/* SPDX-License-Identifier: MIT
 *
 * fuzz_config.c - any bytes as the configuration's file, with no other file and no environment.
 *
 * It is refused with EXIT_CONFIG, and the message begins with the line and column of something in the file; or it is
 * taken, and what `config show` prints of it is taken as well, and shows the same. Twice gives the same. Every key that
 * is shown can be explained, and the JSON is JSON.
 */
#include "app/config.h"
#include "change/change.h"
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static char path[64]; /* of a file in memory */
static int file = -1;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    file = memfd_create("config", MFD_CLOEXEC);
    ensure(file >= 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    return 0;
}

struct problems {
    size_t count;
    struct buf text;
};

static void keep_problem(const char *text, void *ctx)
{
    struct problems *p = ctx;
    p->count++;
    buf_addf(&p->text, "%s\n", text);
}

static enum err_class load(struct str text, struct config *c, struct problems *p, struct err *err)
{
    static const char *const nothing[] = {NULL};
    const struct config_sources sources = {
        .file = path, .environment = nothing, .problem = keep_problem, .problem_ctx = p};
    ensure(ftruncate(file, 0) == 0 && pwrite(file, text.ptr, text.len, 0) == (ssize_t)text.len);
    return config_load(&sources, c, err);
}

/* ---- what is refused */

static size_t count_lines(struct str text)
{
    size_t lines = 1;
    for (size_t i = 0; i < text.len; i++) {
        /* libyaml ends lines at CR, LF, CR LF, and at U+0085, U+2028 and U+2029 */
        const unsigned char c = (unsigned char)text.ptr[i];
        lines += c == '\n' || c == '\r' || c == 0x85 || c == 0xa8 || c == 0xa9;
    }
    return lines;
}

/* "FILE:LINE:COLUMN: ...", of something that is there, or one past the end. */
static void check_place(struct str text, struct str message)
{
    struct str line, column;
    int64_t at_line = 0, at_column = 0;
    ensure(str_starts(message, str_of(path)) && message.len > strlen(path) && message.ptr[strlen(path)] == ':');
    message = str_n(message.ptr + strlen(path) + 1, message.len - strlen(path) - 1);
    ensure(str_split(&message, ':', &line) && str_split(&message, ':', &column));
    ensure(str_to_int64(line, &at_line) && str_to_int64(column, &at_column));
    ensure(at_line >= 1 && (size_t)at_line <= count_lines(text) + 1);
    ensure(at_column >= 1 && (size_t)at_column <= text.len + 2);
    ensure(message.len > 1 && message.ptr[0] == ' ');
}

static void check_refusal(struct str text, enum err_class cls, const struct err *err, struct problems *p)
{
    ensure(cls == ERR_REJECT && err->code == EXIT_CONFIG && p->count >= 1 && p->count <= 20);
    struct str rest = buf_str(&p->text), line;
    for (size_t i = 0; str_split(&rest, '\n', &line) && line.len; i++) {
        ensure(i > 0 || str_eqz(line, err->text));
        check_place(text, line);
    }
}

/* ---- what is taken */

/* Of the YAML that is shown: "a:", "  b: ..." and, of an aggregation, "    c: ..." */
static void explain_keys(const struct config *c, struct str shown)
{
    struct str line, parts[3] = {{0}};
    while (str_split(&shown, '\n', &line)) {
        const struct str text = str_trim(line);
        struct str rest = text, name;
        const size_t depth = (size_t)(text.ptr - line.ptr) / 2;
        if (text.len == 0 || depth > 2 || strchr("#-{", text.ptr[0]) || !str_split(&rest, ':', &name)) {
            continue;
        }
        parts[depth] = name;
        AUTO(buf) struct buf key = {0}, answer = {0};
        for (size_t i = 0; i <= depth; i++) {
            buf_addf(&key, "%s%.*s", i ? "." : "", STR_ARG(parts[i]));
        }
        struct err err = {0};
        if (!str_eqz(parts[0], "tests")) {
            ensure(config_explain(c, buf_str(&key), &answer, &err) == ERR_NONE && answer.len);
        }
    }
}

static void check_json(const struct config *c)
{
    AUTO(buf) struct buf json = {0};
    struct field_set *set = field_set_new();
    struct value values[FIELD_MAX];
    size_t at;
    config_show_json(c, &json);
    ensure(change_scan(set, buf_str(&json), values, &at) == DEAD_NONE);
    field_set_free(set);
}

static void check_bounds(const struct config *c)
{
    ensure(c->aggregation_count <= 64 && c->journal.partitions >= 1 && c->journal.partitions <= PARTITION_MAX);
    ensure(c->source.horizon_us >= 2 * c->source.overlap_us && c->journal.commit_every_us > 0);
    ensure(c->source.url && c->ingest.filter && c->serve.listen);
}

static void check_taken(const struct config *c)
{
    AUTO(buf) struct buf shown = {0}, again = {0}, difference = {0};
    struct problems p = {0};
    struct config other = {0};
    struct err err = {0};
    check_bounds(c);
    check_json(c);
    config_diff(c, &difference);
    config_show(c, false, &shown);
    explain_keys(c, buf_str(&shown));
    if (c->serve.token || c->test_count || memmem(shown.ptr, shown.len, "***", 3)) {
        return; /* secrets are not shown, nor are tests */
    }
    ensure(load(buf_str(&shown), &other, &p, &err) == ERR_NONE);
    config_show(&other, false, &again);
    ensure(str_eq(buf_str(&shown), buf_str(&again)));
    config_fini(&other);
    buf_fini(&p.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct str text = str_n((const char *)data, size);
    struct config c = {0}, twin = {0};
    struct problems p = {0}, q = {0};
    struct err err = {0}, same = {0};
    AUTO(buf) struct buf shown = {0}, shown_twin = {0};
    const enum err_class cls = load(text, &c, &p, &err);
    ensure(load(text, &twin, &q, &same) == cls);
    ensure(str_eq(buf_str(&p.text), buf_str(&q.text)));
    if (cls) {
        check_refusal(text, cls, &err, &p);
    } else {
        config_show(&c, true, &shown);
        config_show(&twin, true, &shown_twin);
        ensure(p.count == 0 && str_eq(buf_str(&shown), buf_str(&shown_twin)));
        check_taken(&c);
        config_fini(&c);
        config_fini(&twin);
    }
    buf_fini(&p.text);
    buf_fini(&q.text);
    return 0;
}
