/* SPDX-License-Identifier: MIT
 *
 * Rows as JSON, to the byte; lines and generations as text: what is written is read as it was, what is damaged is
 * refused, and nothing that is read brings the reader down.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "sink/kafka.h"

#include <stdio.h>
#include <stdlib.h>

static const int64_t start = (int64_t)1780272000 * 1000000; /* 2026-06-01 00:00:00 */

/* ---- chance */

static uint64_t chance;

static uint64_t next_random(void) /* splitmix64 */
{
    uint64_t z = (chance += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t below(uint64_t n)
{
    return next_random() % n;
}

static void seed(const char *name)
{
    const char *given = getenv("WIKITALLY_SEED");
    chance = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)clock_mono(&clock_real) % 1000000007;
    print_message("# %s: WIKITALLY_SEED=%llu\n", name, (unsigned long long)chance);
}

/* What is at an edge as often as anything else. */
static int64_t any_number(void)
{
    static const int64_t edges[] = {0, 1, -1, INT64_MAX, INT64_MIN, INT64_MAX - 1, INT32_MAX, -1000000};
    return below(2) ? edges[below(sizeof edges / sizeof *edges)] : (int64_t)next_random();
}

static struct str any_text(struct arena *arena, size_t max)
{
    static const char odd[] = "\n%=,:/\0\r\"\\0aA\x7f\x1f\xff[{"; /* what the forms are made of */
    size_t n = below(max + 1);
    char *text = arena_alloc(arena, n + 1);
    for (size_t i = 0; i < n; i++) {
        text[i] = (char)(below(2) ? (uint64_t)odd[below(sizeof odd)] : next_random());
    }
    return str_n(text, n);
}

/* ---- rows */

static const struct column key_columns[] = {{"wiki", "wiki", COLUMN_TEXT, false}, {"bot", "bot", COLUMN_BOOL, false}};
static const struct column measures[] = {{"count", "count", COLUMN_INT, false},
                                         {"top_user_3", "top(user,3)", COLUMN_TEXT, true}};
static const struct result_schema schema = {"titles", key_columns, 2, measures, 2, 60000000, 60000000, "d", 7};

struct texts {
    struct buf key, value;
};

static void write_row(struct texts *t, const struct result_row *row, const struct lane_commit *lane)
{
    struct kafka_aggregation a = {.name = (char *)(uintptr_t) "titles", .schema = &schema};
    buf_clear(&t->key);
    buf_clear(&t->value);
    kafka_row_key(lane, row, &t->key);
    kafka_row_value(&a, lane, row, &t->value);
}

static void a_row_is_its_key_and_its_value(void **state)
{
    (void)state;
    struct texts t = {0};
    struct cell keys[] = {{CELL_TEXT, 0, STR("enwiki")}, {CELL_BOOL, 1, {0}}};
    struct cell cells[] = {{CELL_INT, 3, {0}}, {CELL_TEXT, 0, STR("[[\"A\",3]]")}};
    struct lane_commit lane = {.partition = 2, .epoch = 1, .generation = 4};
    struct result_row row = {.window_start_us = start,
                             .window_end_us = start + US_PER_MINUTE,
                             .key = STR("[\"enwiki\",true]"),
                             .keys = keys,
                             .measures = cells,
                             .revision = 730,
                             .final = true,
                             .closed_by = 800};
    write_row(&t, &row, &lane);
    assert_string_equal(t.key.ptr, "[\"2026-06-01T00:00:00Z\",[\"enwiki\",true],2]");
    assert_string_equal(
        t.value.ptr, "{\"aggregation\":\"titles\",\"window_start\":\"2026-06-01T00:00:00Z\",\"window_end\":"
                     "\"2026-06-01T00:01:00Z\",\"key\":[\"enwiki\",true],\"wiki\":\"enwiki\",\"bot\":true,\"count\":3,"
                     "\"top_user_3\":\"[[\\\"A\\\",3]]\",\"shard\":2,\"revision\":730,\"final\":true,\"epoch\":1,"
                     "\"generation\":4}");
    row.final = false;
    keys[1].number = 0;
    write_row(&t, &row, &lane);
    assert_non_null(strstr(t.value.ptr, "\"bot\":false,\"count\":3"));
    assert_non_null(strstr(t.value.ptr, "\"final\":false,"));
    buf_fini(&t.key);
    buf_fini(&t.value);
}

static void the_key_of_all_others_is_a_text(void **state)
{
    (void)state;
    struct texts t = {0};
    struct cell none[] = {{0}, {0}}, cells[] = {{CELL_INT, INT64_MIN, {0}}, {0}};
    struct lane_commit lane = {.partition = 4294967295u, .epoch = INT64_MAX, .generation = 0};
    struct result_row row = {.window_start_us = start,
                             .window_end_us = start + US_PER_MINUTE,
                             .key = STR("(other)"),
                             .keys = none,
                             .measures = cells,
                             .revision = -1,
                             .closed_by = -1};
    write_row(&t, &row, &lane);
    assert_string_equal(t.key.ptr, "[\"2026-06-01T00:00:00Z\",\"(other)\",4294967295]");
    assert_string_equal(strstr(t.value.ptr, "\"key\""),
                        "\"key\":\"(other)\",\"wiki\":null,\"bot\":null,\"count\":-9223372036854775808,\"top_user_3\":"
                        "null,\"shard\":4294967295,\"revision\":-1,\"final\":false,\"epoch\":9223372036854775807,"
                        "\"generation\":0}");
    row.key = STR("[]"); /* no keys at all: one row a window */
    write_row(&t, &row, &lane);
    assert_string_equal(t.key.ptr, "[\"2026-06-01T00:00:00Z\",[],4294967295]");
    buf_fini(&t.key);
    buf_fini(&t.value);
}

static void text_from_outside_stays_inside_its_quotes(void **state)
{
    (void)state;
    struct texts t = {0};
    struct cell keys[] = {{CELL_TEXT, 0, STR("a\"b\\c\n\r\t\0\x01\x1f\x7f</script>")}, {0}};
    struct cell cells[] = {{CELL_INT, -7, {0}}, {CELL_TEXT, 0, STR("\xff\xc3")}};
    struct lane_commit lane = {0};
    struct result_row row = {
        .window_start_us = -1, .window_end_us = start, .key = STR("[\"a\\\"\",null]"), .keys = keys, .measures = cells};
    write_row(&t, &row, &lane);
    assert_int_equal(strlen(t.value.ptr), t.value.len); /* no NUL */
    assert_int_equal(strlen(t.key.ptr), t.key.len);
    assert_string_equal(t.key.ptr, "[\"1969-12-31T23:59:59.999999Z\",[\"a\\\"\",null],0]");
    assert_non_null(
        strstr(t.value.ptr, "\"wiki\":\"a\\\"b\\\\c\\n\\r\\t\\u0000\\u0001\\u001f\x7f</script>\",\"bot\":null,"));
    assert_non_null(strstr(t.value.ptr, "\"count\":-7,\"top_user_3\":\"\xef\xbf\xbd\xef\xbf\xbd\",\"shard\""));
    assert_true(str_is_utf8(buf_str(&t.value)));
    assert_null(memchr(t.value.ptr, '\n', t.value.len));
    buf_fini(&t.key);
    buf_fini(&t.value);
}

/* ---- lines */

static struct time_state any_state(struct arena *arena)
{
    struct time_state t = {.stream_us = below(4) ? any_number() : TIME_NONE, .change_seen = below(2)};
    if (below(3)) {
        t.topic = any_text(arena, 40);
    }
    return t;
}

static struct task_line any_line(struct arena *arena)
{
    struct task_line line = {.position = any_number(),
                             .has_last = below(2),
                             .last = next_random(),
                             .now = any_state(arena),
                             .arrival_us = any_number(),
                             .replay_from = any_number(),
                             .before = any_state(arena),
                             .first_window_us = any_number(),
                             .version = 1 + (int64_t)below(INT64_MAX)};
    line.gap_count = below(3) ? below(5) : below(1001);
    struct offset_span *gaps = arena_alloc(arena, (line.gap_count + 1) * sizeof *gaps);
    for (size_t i = 0; i < line.gap_count; i++) {
        gaps[i] = (struct offset_span){any_number(), any_number()};
    }
    line.gaps = gaps;
    return line;
}

static void assert_state(struct time_state got, struct time_state wanted)
{
    assert_true(got.stream_us == wanted.stream_us);
    assert_int_equal(got.change_seen, wanted.change_seen);
    assert_int_equal(got.topic.ptr != NULL, wanted.topic.ptr != NULL);
    assert_true(str_eq(got.topic, wanted.topic));
}

static void assert_line(const struct task_line *got, const struct task_line *wanted)
{
    assert_true(got->position == wanted->position);
    assert_int_equal(got->has_last, wanted->has_last);
    assert_true(got->last == wanted->last);
    assert_state(got->now, wanted->now);
    assert_true(got->arrival_us == wanted->arrival_us);
    assert_true(got->replay_from == wanted->replay_from);
    assert_state(got->before, wanted->before);
    assert_true(got->first_window_us == wanted->first_window_us);
    assert_true(got->version == wanted->version);
    assert_int_equal(got->gap_count, wanted->gap_count);
    for (size_t i = 0; i < wanted->gap_count; i++) {
        assert_true(got->gaps[i].from == wanted->gaps[i].from && got->gaps[i].to == wanted->gaps[i].to);
    }
}

static void a_line_is_read_as_it_was_written(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct buf text = {0};
    struct offset_span gaps[] = {{3, 5}, {7, 9}};
    struct task_line line = {.position = 803,
                             .has_last = true,
                             .last = 11620278094727699554u,
                             .now = {1795360980000000, true, STR("eqiad.mediawiki.recentchange")},
                             .arrival_us = 1795360980660000,
                             .before = {TIME_NONE, false, {0}},
                             .first_window_us = WINDOW_ALL,
                             .gaps = gaps,
                             .gap_count = 2,
                             .version = 1};
    kafka_line_write(&line, &text);
    assert_string_equal(text.ptr, "version=1\nposition=803\nhas_last=1\nlast=-6826465978981852062\n"
                                  "now=1795360980000000,1,1,eqiad.mediawiki.recentchange\narrival_us=1795360980660000\n"
                                  "replay_from=0\nbefore=-9223372036854775808,0,0,\n"
                                  "first_window_us=-9223372036854775808\ngaps=3:5,7:9\n");
    struct task_line got;
    assert_true(kafka_line_read(buf_str(&text), &arena, &got));
    assert_line(&got, &line);
    buf_fini(&text);
    arena_fini(&arena);
}

/* Topics are of strangers: no line of theirs becomes one of ours. */
static void a_topic_is_kept_whatever_is_in_it(void **state)
{
    (void)state;
    static const struct str topics[] = {STR_INIT(""),     STR_INIT("a\nposition=9\n"),
                                        STR_INIT("100%"), STR_INIT("%0a"),
                                        STR_INIT("%%"),   STR_INIT("a\0b"),
                                        STR_INIT(","),    STR_INIT("=,1,1,="),
                                        STR_INIT("\n"),   STR_INIT("%"),
                                        STR_INIT("%4"),   STR_INIT("%41"),
                                        STR_INIT("\x7f"), STR_INIT("\xff\xfe"),
                                        STR_INIT("a,")};
    for (size_t i = 0; i < sizeof topics / sizeof *topics; i++) {
        struct arena arena = {0};
        struct buf text = {0};
        struct task_line line = {.now = {1, true, topics[i]}, .position = 4, .version = 2}, got;
        kafka_line_write(&line, &text);
        assert_true(kafka_line_read(buf_str(&text), &arena, &got));
        assert_line(&got, &line);
        buf_fini(&text);
        arena_fini(&arena);
    }
}

static void any_line_is_read_as_it_was_written(void **state)
{
    (void)state;
    seed("lines");
    for (int i = 0; i < 2000; i++) {
        struct arena arena = {0};
        struct buf text = {0};
        struct task_line line = any_line(&arena), got;
        kafka_line_write(&line, &text);
        assert_true(kafka_line_read(buf_str(&text), &arena, &got));
        assert_line(&got, &line);
        buf_fini(&text);
        arena_fini(&arena);
    }
}

/* ---- generations */

static struct generation any_generation(struct arena *arena)
{
    struct generation g = {.number = (int64_t)below(100000),
                           .definition = any_text(arena, 300),
                           .definition_hash = next_random(),
                           .journal_id = STR("8db9ff2c5201cf52258e9ea66cb7c84e"),
                           .epoch = any_number(),
                           .base = any_number(),
                           .first_window_us = any_number()};
    g.begin_count = below(4) ? below(5) : below(PARTITION_MAX + 1);
    struct generation_begin *begins = arena_alloc(arena, (g.begin_count + 1) * sizeof *begins);
    for (size_t i = 0; i < g.begin_count; i++) {
        begins[i] = (struct generation_begin){any_number(), below(2), next_random(), any_number(), any_number()};
    }
    g.begins = begins;
    return g;
}

static void assert_generation(const struct generation *got, const struct generation *wanted)
{
    assert_true(got->number == wanted->number);
    assert_true(str_eq(got->definition, wanted->definition));
    assert_true(got->definition_hash == wanted->definition_hash);
    assert_true(str_eq(got->journal_id, wanted->journal_id));
    assert_true(got->epoch == wanted->epoch);
    assert_true(got->base == wanted->base);
    assert_true(got->first_window_us == wanted->first_window_us);
    assert_int_equal(got->begin_count, wanted->begin_count);
    for (size_t i = 0; i < wanted->begin_count; i++) {
        const struct generation_begin *a = &got->begins[i], *b = &wanted->begins[i];
        assert_true(a->position == b->position && a->has_last == b->has_last && a->last == b->last);
        assert_true(a->arrival_us == b->arrival_us && a->target == b->target);
    }
}

static void any_generation_is_read_as_it_was_written(void **state)
{
    (void)state;
    seed("generations");
    for (int i = 0; i < 2000; i++) {
        struct arena arena = {0};
        struct buf text = {0};
        struct generation g = any_generation(&arena), got;
        if (i < 3) { /* several lines, none, and some that look like ours */
            g.definition = i == 0 ? STR("size = 1m\nwhere = a = b\n") : i == 1 ? STR("") : STR("\n\nnumber=7\n");
        }
        kafka_generation_write(&g, &text);
        assert_true(kafka_generation_read(buf_str(&text), &arena, &got));
        assert_generation(&got, &g);
        buf_fini(&text);
        arena_fini(&arena);
    }
}

/* ---- damage */

static const char good_line[] =
    "version=2\nposition=803\nhas_last=1\nlast=-6\nnow=7,1,1,t\narrival_us=9\nreplay_from=0\n"
    "before=-8,0,0,\nfirst_window_us=-3\ngaps=3:5,7:9\n";
static const char good_generation[] = "number=1\ndefinition_hash=-7\njournal_id=8db9\nepoch=0\nbase=-1\n"
                                      "first_window_us=-9\nbegins=1:0:0:-9:0,2:1:-5:3:4\ndefinition=\nsize = 1m\n";

/* `good` with one line written otherwise; NULL: without it. */
static void change_line(const char *good, const char *name, const char *other, struct buf *out)
{
    struct str rest = str_of(good), line;
    buf_clear(out);
    while (rest.len > 0 && str_split(&rest, '\n', &line)) {
        bool it = str_starts(line, str_of(name)) && line.ptr[strlen(name)] == '=';
        if (it && other != NULL) {
            buf_addz(out, other);
        } else if (!it) {
            buf_add(out, line);
        }
        if (!it || other != NULL) {
            buf_addc(out, '\n');
        }
    }
}

struct change {
    const char *name, *other;
};

static void damaged_lines_are_refused(void **state)
{
    (void)state;
    static const struct change changes[] = {
        {"version", NULL},
        {"version", ""},
        {"version", "version"},
        {"version", "version="},
        {"version", "version=0"},
        {"version", "version=-1"},
        {"version", "version=1x"},
        {"version", "version= 1"},
        {"version", "version=9223372036854775808"},
        {"position", NULL},
        {"position", ""},
        {"position", "position="},
        {"position", "position=1.5"},
        {"last", NULL},
        {"last", "last=x"},
        {"now", NULL},
        {"now", "now="},
        {"now", "now=1"},
        {"now", "now=1,1"},
        {"now", "now=a,1,1,t"},
        {"now", "now=1,,1,t"},
        {"before", NULL},
        {"gaps", NULL},
        {"gaps", "gaps=1"},
        {"gaps", "gaps=1:"},
        {"gaps", "gaps=:1"},
        {"gaps", "gaps=1:2,"},
        {"gaps", "gaps=1:2,,3:4"},
        {"gaps", "gaps=1:2:3"},
        {"gaps", "gaps=,,,,,,,,"},
        {"gaps", "what is this"},
    };
    struct arena arena = {0};
    struct buf text = {0};
    struct task_line line;
    assert_true(kafka_line_read(str_of(good_line), &arena, &line));
    change_line(good_line, "gaps", "gaps=", &text);
    assert_true(kafka_line_read(buf_str(&text), &arena, &line));
    assert_int_equal(line.gap_count, 0);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        change_line(good_line, changes[i].name, changes[i].other, &text);
        if (kafka_line_read(buf_str(&text), &arena, &line)) {
            fail_msg("taken: \"%s\"", text.ptr);
        }
    }
    buf_fini(&text);
    arena_fini(&arena);
}

static void damaged_generations_are_refused(void **state)
{
    (void)state;
    static const struct change changes[] = {
        {"number", NULL},
        {"number", "number"},
        {"number", "number="},
        {"number", "number=-1"},
        {"number", "number=x"},
        {"definition_hash", NULL},
        {"definition_hash", ""},
        {"definition_hash", "definition_hash=0x7"},
        {"journal_id", NULL},
        {"epoch", NULL},
        {"epoch", "epoch="},
        {"base", NULL},
        {"begins", NULL},
        {"begins", "begins=1"},
        {"begins", "begins=1:0:0:0"},
        {"begins", "begins=1:0:0:0:0:0"},
        {"begins", "begins=1:0:0:0:0,"},
        {"begins", "begins=a:0:0:0:0"},
        {"definition", NULL},
    };
    struct arena arena = {0};
    struct buf text = {0}, many = {0};
    struct generation g;
    assert_true(kafka_generation_read(str_of(good_generation), &arena, &g));
    assert_true(str_eqz(g.definition, "size = 1m\n"));
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        change_line(good_generation, changes[i].name, changes[i].other, &text);
        if (kafka_generation_read(buf_str(&text), &arena, &g)) {
            fail_msg("taken: \"%s\"", text.ptr);
        }
    }
    buf_addz(&many, "begins=");
    for (int i = 0; i <= PARTITION_MAX; i++) { /* one more than there can be */
        buf_addz(&many, i == 0 ? "1:0:0:0:0" : ",1:0:0:0:0");
    }
    change_line(good_generation, "begins", many.ptr, &text);
    assert_false(kafka_generation_read(buf_str(&text), &arena, &g));
    buf_fini(&many);
    buf_fini(&text);
    arena_fini(&arena);
}

/* A text that breaks off inside: no state is made of what is left of it. */
static void a_line_that_breaks_off_is_refused(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct task_line line;
    for (size_t n = 0; n < sizeof good_line - 1; n++) {
        char *exact = malloc(n + 1); /* of this size: what reads on is seen by a sanitizer */
        memcpy(exact, good_line, n);
        if (kafka_line_read(str_n(exact, n), &arena, &line)) {
            fail_msg("taken: \"%.*s\"", (int)n, exact);
        }
        free(exact);
    }
    arena_fini(&arena);
}

static void damage(char *text, size_t len)
{
    static const char odd[] = "\n=,:%/0-9\0";
    for (uint64_t n = 1 + below(4); n > 0 && len > 0; n--) {
        text[below(len)] = (char)(below(2) ? (uint64_t)odd[below(sizeof odd)] : next_random());
    }
}

/* Whatever it says of them: it says it, and what it takes can be written and read once more. */
static void no_damage_brings_it_down(void **state)
{
    (void)state;
    seed("damage");
    for (int i = 0; i < 20000; i++) {
        struct arena arena = {0};
        struct buf text = {0}, again = {0};
        struct task_line line = any_line(&arena), twice;
        struct generation g = any_generation(&arena), g_twice;
        bool is_line = below(2);
        is_line ? kafka_line_write(&line, &text) : kafka_generation_write(&g, &text);
        size_t len = below(8) ? text.len : below(text.len + 1);
        char *exact = malloc(len + (len == 0));
        memcpy(exact, text.ptr, len);
        damage(exact, len);
        if (is_line && kafka_line_read(str_n(exact, len), &arena, &line)) {
            kafka_line_write(&line, &again);
            assert_true(kafka_line_read(buf_str(&again), &arena, &twice));
            assert_line(&twice, &line);
        } else if (!is_line && kafka_generation_read(str_n(exact, len), &arena, &g)) {
            kafka_generation_write(&g, &again);
            assert_true(kafka_generation_read(buf_str(&again), &arena, &g_twice));
            assert_true(g_twice.number == g.number && str_eq(g_twice.definition, g.definition));
        }
        free(exact);
        buf_fini(&text);
        buf_fini(&again);
        arena_fini(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_is_its_key_and_its_value),
        cmocka_unit_test(the_key_of_all_others_is_a_text),
        cmocka_unit_test(text_from_outside_stays_inside_its_quotes),
        cmocka_unit_test(a_line_is_read_as_it_was_written),
        cmocka_unit_test(a_topic_is_kept_whatever_is_in_it),
        cmocka_unit_test(any_line_is_read_as_it_was_written),
        cmocka_unit_test(any_generation_is_read_as_it_was_written),
        cmocka_unit_test(damaged_lines_are_refused),
        cmocka_unit_test(damaged_generations_are_refused),
        cmocka_unit_test(a_line_that_breaks_off_is_refused),
        cmocka_unit_test(no_damage_brings_it_down),
    };
    return cmocka_run_group_tests_name("sink kafka_text", tests, NULL, NULL);
}
