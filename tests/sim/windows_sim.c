/* SPDX-License-Identifier: MIT
 *
 * windows_sim.c - lanes over enveloped journal lines from standard input, for test_windows_oracle.py.
 *
 *   {"partition":p,"offset":o,"arrival_ms":a,"value":{...}}      (oracle.md section 1)
 *
 * Prints tab-separated lines: R rows of every commit, in order (a later one of the same window and key replaces the
 * earlier); T totals of a partition; L ledger rows; D dead letters by reason. The options mean what the oracle's mean.
 */
#include "base/err.h"
#include "compute/lane.h"

#include <stdio.h>
#include <stdlib.h>

enum { AGGREGATIONS_MAX = 8, LISTS_MAX = 16 };

struct sim {
    struct aggregation_options options[AGGREGATIONS_MAX];
    struct aggregation *aggregations[AGGREGATIONS_MAX];
    size_t count;
    struct lane *lanes[AGGREGATIONS_MAX][PARTITION_MAX];
    struct field_set *fields, *envelope;
    int envelope_fields[4]; /* partition offset arrival_ms value */
    struct value *values, *envelope_values;
    int64_t commit_every, records[PARTITION_MAX];
    int64_t tally[AGGREGATIONS_MAX][PARTITION_MAX][TASK_BUCKETS];
    struct arena memory, texts;
};

static void die(const char *what, const struct err *err)
{
    fprintf(stderr, "windows_sim: %s: %s\n", what, err == NULL ? "" : err->text);
    exit(2);
}

/* "a,b" -> pointers; an inner comma inside parentheses does not part. */
static size_t list_parse(char *text, const char **ret, size_t max)
{
    size_t count = 0;
    int depth = 0;
    for (char *at = text, *from = text;; at++) {
        depth += (*at == '(') - (*at == ')');
        if (*at == 0 || (*at == ',' && depth == 0)) {
            bool last = *at == 0;
            *at = 0;
            if (count < max) {
                ret[count++] = from;
            }
            from = at + 1;
            if (last) {
                return count;
            }
        }
    }
}

static const char *option_of(int argc, char **argv, const char *name)
{
    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], name) == 0) {
            return argv[i + 1];
        }
    }
    return NULL;
}

static void duration_read(int argc, char **argv, const char *name, int64_t *at)
{
    const char *text = option_of(argc, argv, name);
    if (text != NULL && !duration_parse(str_of(text), at)) {
        die(name, NULL);
    }
}

static char *copy(struct sim *s, const char *text)
{
    size_t size = strlen(text) + 1;
    return memcpy(arena_alloc(&s->texts, size), text, size);
}

static void options_read(struct sim *s, int argc, char **argv)
{
    static const char *keys[LISTS_MAX], *measures[LISTS_MAX];
    struct aggregation_options o;
    aggregation_options_init(&o);
    duration_read(argc, argv, "--size", &o.size_us);
    duration_read(argc, argv, "--slide", &o.slide_us);
    duration_read(argc, argv, "--delay", &o.delay_us);
    duration_read(argc, argv, "--skew", &o.skew_us);
    duration_read(argc, argv, "--allowed-lateness", &o.lateness_us);
    const char *late = option_of(argc, argv, "--late"), *max_keys = option_of(argc, argv, "--max-keys");
    o.late = late != NULL && strcmp(late, "drop") == 0 ? LATE_DROP : LATE_AMEND;
    o.time_field = option_of(argc, argv, "--time-field");
    o.where = option_of(argc, argv, "--where");
    if (max_keys != NULL && !str_to_int64(str_of(max_keys), &o.max_keys)) {
        die("--max-keys", NULL);
    }
    const char *measure_text = option_of(argc, argv, "--measures"), *group = option_of(argc, argv, "--group-by");
    o.measures = measures;
    o.measure_count = list_parse(copy(s, measure_text == NULL ? "count" : measure_text), measures, LISTS_MAX);
    if (group != NULL) {
        o.name = "custom";
        o.keys = keys;
        o.key_count = list_parse(copy(s, group), keys, LISTS_MAX);
        s->options[s->count++] = o;
        return;
    }
    for (size_t i = 0; aggregation_built_in_names[i] != NULL; i++) {
        const struct aggregation_options *built_in = aggregation_built_in(str_of(aggregation_built_in_names[i]));
        o.name = built_in->name;
        o.keys = built_in->keys;
        o.key_count = built_in->key_count;
        s->options[s->count++] = o;
    }
}

static void start(struct sim *s)
{
    static const char *const names[] = {"partition", "offset", "arrival_ms", "value"};
    struct err err = {0};
    s->fields = field_set_new();
    s->envelope = field_set_new();
    for (size_t i = 0; i < s->count; i++) {
        if (aggregation_new(&s->options[i], 0, s->fields, &s->aggregations[i], &err)) {
            die("aggregation", &err);
        }
    }
    for (size_t i = 0; i < 4; i++) {
        s->envelope_fields[i] = field_set_add(s->envelope, str_of(names[i]), &err);
    }
    s->values = xcalloc(field_set_count(s->fields), sizeof(*s->values));
    s->envelope_values = xcalloc(field_set_count(s->envelope), sizeof(*s->values));
}

static struct lane *lane_for(struct sim *s, size_t i, uint32_t p)
{
    struct task_line line = {.now.stream_us = TIME_NONE,
                             .before.stream_us = TIME_NONE,
                             .arrival_us = TIME_NONE,
                             .first_window_us = WINDOW_ALL};
    if (s->lanes[i][p] == NULL) {
        s->lanes[i][p] = lane_new(s->aggregations[i], i, 0, 0, p, &line, 12345);
    }
    return s->lanes[i][p];
}

static void cell_print(struct buf *out, const struct cell *c)
{
    if (c->kind == CELL_NULL) {
        buf_addc(out, '-');
    } else if (c->kind == CELL_TEXT) {
        buf_add(out, c->text);
    } else {
        buf_add_int(out, c->number);
    }
}

static void rows_print(const struct lane_commit *c, const struct result_schema *schema)
{
    AUTO(buf) struct buf out = {0};
    for (size_t i = 0; i < c->row_count; i++) {
        const struct result_row *r = &c->rows[i];
        buf_addf(&out, "R\t%s\t%u\t%lld\t%lld\t", schema->name, c->partition, (long long)r->window_start_us,
                 (long long)r->window_end_us);
        buf_add(&out, r->key);
        for (size_t m = 0; m < schema->measure_count; m++) {
            buf_addc(&out, '\t');
            cell_print(&out, &r->measures[m]);
        }
        buf_addf(&out, "\t%s\t%lld\t%lld\n", r->final ? "final" : "open", (long long)r->revision,
                 (long long)r->closed_by);
        if (out.len > 1 << 20) {
            fwrite(out.ptr, 1, out.len, stdout);
            buf_clear(&out);
        }
    }
    fwrite(out.ptr == NULL ? "" : out.ptr, 1, out.len, stdout);
}

static void minute_print(int64_t minute)
{
    if (minute == TALLY_NO_TIME) {
        printf("null");
    } else if (minute == TALLY_OLDER || minute == TALLY_AHEAD) {
        printf(minute == TALLY_OLDER ? "older" : "ahead");
    } else {
        printf("%lld", (long long)minute);
    }
}

static void commit(struct sim *s, size_t i, uint32_t p)
{
    struct lane_commit c;
    if (s->lanes[i][p] == NULL || !lane_commit(s->lanes[i][p], &s->memory, &c)) {
        return;
    }
    const struct result_schema *schema = aggregation_schema(s->aggregations[i]);
    rows_print(&c, schema);
    for (size_t n = 0; n < c.tally_count; n++) {
        const struct tally_row *t = &c.tally[n];
        printf("L\t%s\t%u\t%s\t", schema->name, p, t->by == TALLY_EVENT ? "event" : "arrival");
        minute_print(t->minute);
        printf("\t%s\t%lld\n", task_bucket_names[t->bucket], (long long)t->count);
        s->tally[i][p][t->bucket] += t->by == TALLY_EVENT ? t->count : 0;
    }
    lane_committed(s->lanes[i][p], &c);
    arena_reset(&s->memory);
}

static void record_feed(struct sim *s, const struct record *r)
{
    struct err err = {0};
    struct decoded d;
    decode_record(s->fields, r, s->values, &d);
    s->records[r->partition]++;
    for (size_t i = 0; i < s->count; i++) {
        enum dead_reason dead = DEAD_NONE;
        struct lane *lane = lane_for(s, i, r->partition);
        if (lane_feed(lane, &d, &dead, &err)) {
            die("feed", &err);
        }
        if (dead != DEAD_NONE) {
            printf("D\t%u\t%lld\t%s\n", r->partition, (long long)r->offset, dead_reason_name(dead));
        }
        if (s->commit_every > 0 && s->records[r->partition] % s->commit_every == 0) {
            commit(s, i, r->partition);
        }
    }
}

static void line_feed(struct sim *s, struct str text)
{
    size_t at;
    const struct value *v = s->envelope_values;
    if (change_scan(s->envelope, text, s->envelope_values, &at) != DEAD_NONE) {
        die("an envelope cannot be decoded", NULL);
    }
    const struct value *partition = &v[s->envelope_fields[0]], *offset = &v[s->envelope_fields[1]];
    const struct value *arrival = &v[s->envelope_fields[2]], *value = &v[s->envelope_fields[3]];
    struct record r = {.partition = (uint32_t)partition->number,
                       .offset = offset->number,
                       .arrival_us = arrival->kind == VALUE_INT ? arrival->number * 1000 : TIME_NONE,
                       .value = value->raw};
    if (value->kind == VALUE_STRING) {
        r.value = str_n(value->raw.ptr - 1, value->raw.len + 2); /* with its quotes */
    }
    if (partition->kind != VALUE_INT || r.partition >= PARTITION_MAX || offset->kind != VALUE_INT) {
        die("an envelope lacks partition or offset", NULL);
    }
    record_feed(s, &r);
}

static void totals_print(const struct sim *s, size_t i, uint32_t p)
{
    struct lane_state state;
    lane_state(s->lanes[i][p], &state);
    printf("T\t%s\t%u\t%lld", aggregation_schema(s->aggregations[i])->name, p, (long long)s->records[p]);
    for (size_t b = 0; b < TASK_BUCKETS; b++) {
        printf("\t%lld", (long long)s->tally[i][p][b]);
    }
    printf("\t%lld\t%lld\t%lld\t%lld\n", (long long)state.amended, (long long)state.pairs_counted,
           (long long)state.pairs_late, (long long)state.stream_us);
}

int main(int argc, char **argv)
{
    static struct sim s;
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    options_read(&s, argc, argv);
    const char *every = option_of(argc, argv, "--commit-every");
    if (every != NULL && !str_to_int64(str_of(every), &s.commit_every)) {
        die("--commit-every", NULL);
    }
    start(&s);
    while ((n = getline(&line, &cap, stdin)) > 0) {
        line_feed(&s, str_trim(str_n(line, (size_t)n)));
    }
    free(line);
    for (size_t i = 0; i < s.count; i++) {
        for (uint32_t p = 0; p < PARTITION_MAX; p++) {
            if (s.lanes[i][p] != NULL) {
                commit(&s, i, p);
                totals_print(&s, i, p);
                lane_free(s.lanes[i][p]);
            }
        }
        aggregation_free(s.aggregations[i]);
    }
    field_set_free(s.fields);
    field_set_free(s.envelope);
    free(s.values);
    free(s.envelope_values);
    arena_fini(&s.memory);
    arena_fini(&s.texts);
    return 0;
}
