/* SPDX-License-Identifier: MIT
 *
 * change_dump.c - what src/change makes of each record, for comparison with tests/oracle/oracle.py.
 *
 *   change_dump ARRIVAL_US TIME_FIELD PATH... < records
 *
 * Reads NDJSON (a line is a record, empty ones too, so that lines can be paired). ARRIVAL_US: of all records, "-" for
 * unknown. Prints a line of tab-separated columns for each: verdict (ok or the reason), byte of the defect, kind, time,
 * future (skew 60 s), meta.id identity, wiki+id identity, and for each PATH its key text and its plain text (as JSON
 * strings, so that no tab is in them).
 */
#include "base/err.h"
#include "change/change.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const kind_names[] = {"change", "canary", "tick"};

struct dump {
    struct field_set *set;
    struct value values[FIELD_MAX];
    int time_field;
    int64_t arrival_us;
    int paths[FIELD_MAX];
    int path_count;
};

static int path_add(struct field_set *set, const char *path)
{
    struct err err = {0};
    const int index = field_set_add(set, str_of(path), &err);
    if (index < 0) {
        fprintf(stderr, "change_dump: %s\n", err.text);
        exit(EXIT_USAGE);
    }
    return index;
}

static void add_identities(struct buf *out, const struct value *values, enum change_kind kind)
{
    struct identity ids[2], shown[2] = {0};
    bool have[2] = {false, false};
    int which[2];
    const size_t count = change_identities(values, kind, ids, which);
    for (size_t i = 0; i < count; i++) {
        shown[which[i]] = ids[i];
        have[which[i]] = true;
    }
    for (int i = 0; i < 2; i++) {
        if (have[i]) {
            buf_addf(out, "\t%016" PRIx64 "%016" PRIx64, shown[i].hi, shown[i].lo);
        } else {
            buf_addz(out, "\t-");
        }
    }
}

static void add_fields(struct buf *out, const struct dump *d)
{
    AUTO(buf) struct buf plain = {0};
    for (int i = 0; i < d->path_count; i++) {
        buf_addc(out, '\t');
        value_add_key(out, &d->values[d->paths[i]]);
        buf_addc(out, '\t');
        buf_clear(&plain);
        value_add_plain(&plain, &d->values[d->paths[i]]);
        buf_add_json(out, buf_str(&plain));
    }
}

static void add_line(struct buf *out, struct dump *d, struct str line)
{
    size_t at = 0;
    enum dead_reason reason = change_scan(d->set, line, d->values, &at);
    if (reason != DEAD_NONE) {
        buf_addf(out, "%s\t%zu\n", dead_reason_name(reason), at);
        return;
    }
    const enum change_kind kind = change_kind(d->values);
    int64_t time_us = TIME_NONE;
    reason = change_time(d->values, (size_t)d->time_field, kind, &time_us);
    buf_addf(out, "%s\t-\t%s\t", reason == DEAD_NONE ? "ok" : dead_reason_name(reason), kind_names[kind]);
    if (time_us == TIME_NONE) {
        buf_addc(out, '-');
    } else {
        buf_add_int(out, time_us);
    }
    int64_t stamp_us, dt_us;
    (void)change_times(d->values, kind, &stamp_us, &dt_us);
    const bool future = change_is_future(kind, time_us, dt_us, d->arrival_us, 60 * US_PER_SECOND);
    buf_addz(out, future ? "\tfuture" : "\t-");
    add_identities(out, d->values, kind);
    add_fields(out, d);
    buf_addc(out, '\n');
}

int main(int argc, char **argv)
{
    struct dump d = {.set = field_set_new(), .arrival_us = TIME_NONE};
    if (argc < 3 || (!str_eqz(str_of(argv[1]), "-") && !str_to_int64(str_of(argv[1]), &d.arrival_us))) {
        fprintf(stderr, "usage: change_dump ARRIVAL_US|- TIME_FIELD PATH... < records\n");
        return EXIT_USAGE;
    }
    d.time_field = path_add(d.set, argv[2]);
    for (int i = 3; i < argc; i++) {
        d.paths[d.path_count++] = path_add(d.set, argv[i]);
    }
    AUTO(buf) struct buf out = {.max = (size_t)256 << 20};
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    while ((len = getline(&line, &cap, stdin)) >= 0) {
        len -= len > 0 && line[len - 1] == '\n';
        buf_clear(&out);
        char *exact = xmalloc(len > 0 ? (size_t)len : 1); /* no longer, so that a sanitizer sees a byte too far */
        memcpy(exact, line, (size_t)len);
        add_line(&out, &d, str_n(exact, (size_t)len));
        free(exact);
        if (out.overflow || fwrite(out.ptr, 1, out.len, stdout) != out.len) {
            return EXIT_IOERR;
        }
    }
    free(line);
    field_set_free(d.set);
    return 0;
}
