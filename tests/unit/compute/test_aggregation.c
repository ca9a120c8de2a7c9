/* SPDX-License-Identifier: MIT
 *
 * test_aggregation.c - what may be declared and what is refused (R9), and when two declarations are the same (R15).
 */
#include "kit.h"

static char *refused(struct aggregation_options *o, int64_t retention_us)
{
    static struct err err;
    struct field_set *fields = field_set_new();
    struct aggregation *a = NULL;
    err = (struct err){0};
    enum err_class cls = aggregation_new(o, retention_us, fields, &a, &err);
    aggregation_free(a);
    field_set_free(fields);
    if (cls == ERR_NONE) {
        return NULL;
    }
    assert_int_equal(cls, ERR_REJECT);
    assert_int_equal(err_exit_code(&err), EXIT_CONFIG);
    return err.text;
}

static void measure_refused(const char *measure, const char *why)
{
    struct kit k;
    kit_options(&k);
    k.options.measures = &measure;
    char *text = refused(&k.options, 0);
    assert_non_null(text);
    if (strstr(text, why) == NULL) {
        fail_msg("\"%s\": \"%s\" does not say \"%s\"", measure, text, why);
    }
}

static void R9_measures_that_cannot_be(void **state)
{
    (void)state;
    measure_refused("avg(length.new)", "cannot be merged");
    measure_refused("median(length.new)", "bounded memory");
    measure_refused("last(title)", "no common order");
    measure_refused("collect(title)", "no bound");
    measure_refused("sum", "is not count, sum(F)");
    measure_refused("sum()", "is not count");
    measure_refused("sum(a,b)", "is not count");
    measure_refused("count(user)", "is not count");
    measure_refused("top(title)", "top(F,N)");
    measure_refused("top(title,0)", "N from 1 to 100");
    measure_refused("top(title,101)", "N from 1 to 100");
    measure_refused("sum(a..b)", "a..b");
    measure_refused("count as Edit Count", "a column must be");
    measure_refused("count as user", "there already");
    measure_refused("count as revision", "there already");
    measure_refused("", "is not count");
}

static void R9_declarations_that_cannot_be(void **state)
{
    (void)state;
    struct kit k;
    kit_options(&k);
    assert_null(refused(&k.options, 0));
    static const struct {
        const char *name;
        int64_t size_us, slide_us, lateness_us, max_keys, retention_us;
        const char *where, *why;
    } wrong[] = {
        {"", 60 * S, 0, 0, 1, 0, "", "a name must be"},
        {"Edits", 60 * S, 0, 0, 1, 0, "", "a name must be"},
        {"a_name_that_is_longer_than_forty_bytes_all", 60 * S, 0, 0, 1, 0, "", "a name must be"},
        {"t", S - 1, 0, 0, 1, 0, "", "size must be"},
        {"t", 367 * US_PER_DAY, 0, 0, 1, 0, "", "size must be"},
        {"t", 60 * S, 61 * S, 0, 1, 0, "", "slide must be"},
        {"t", 3600 * S, S, 0, 1, 0, "", "more than 1,000 windows"},
        {"t", 60 * S, S, US_PER_DAY, 1, 0, "", "more than 10,000 windows"},
        {"t", 60 * S, 0, -1, 1, 0, "", "lateness must be"},
        {"t", 60 * S, 0, 0, -1, 0, "", "max_keys"},
        {"t", 60 * S, 0, 0, 1000001, 0, "", "max_keys"},
        {"t", 60 * S, 0, US_PER_DAY, 1, US_PER_DAY, "", "half of the journal's retention"},
        {"t", 60 * S, 0, 0, 1, 0, "type:(", "where"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        k.options.name = wrong[i].name;
        k.options.size_us = wrong[i].size_us;
        k.options.slide_us = wrong[i].slide_us;
        k.options.lateness_us = wrong[i].lateness_us;
        k.options.max_keys = wrong[i].max_keys;
        k.options.where = wrong[i].where;
        char *text = refused(&k.options, wrong[i].retention_us);
        if (text == NULL || strstr(text, wrong[i].why) == NULL) {
            fail_msg("case %zu: \"%s\" does not say \"%s\"", i, text == NULL ? "accepted" : text, wrong[i].why);
        }
    }
}

static void R9_columns(void **state)
{
    (void)state;
    static const char *const keys[] = {"user as user_name", "meta.domain", "bot"};
    static const char *const measures[] = {"count as edit_count", "sum( length.new )", "distinct(title)",
                                           "top(title, 5) as titles"};
    struct kit k;
    kit_options(&k);
    k.options.keys = keys;
    k.options.key_count = 3;
    k.options.measures = measures;
    k.options.measure_count = 4;
    kit_start(&k);
    const struct result_schema *s = aggregation_schema(k.aggregation);
    assert_string_equal(s->keys[0].name, "user_name");
    assert_string_equal(s->keys[0].label, "user");
    assert_string_equal(s->keys[1].name, "meta_domain");
    assert_int_equal(s->keys[2].type, COLUMN_BOOL);
    assert_string_equal(s->measures[0].name, "edit_count");
    assert_string_equal(s->measures[1].name, "sum_length_new");
    assert_string_equal(s->measures[1].label, "sum(length.new)");
    assert_true(s->measures[2].sketch);
    assert_string_equal(s->measures[3].label, "top(title,5)");
    assert_int_equal(s->measures[3].type, COLUMN_TEXT);
    kit_end(&k);
}

static void R9_built_in(void **state)
{
    (void)state;
    for (size_t i = 0; aggregation_built_in_names[i] != NULL; i++) {
        struct aggregation_options o = *aggregation_built_in(str_of(aggregation_built_in_names[i]));
        assert_null(refused(&o, 0));
    }
    assert_null(aggregation_built_in(STR("nothing")));
}

static uint64_t hash_with(const struct aggregation_options *o, struct buf *ret_text)
{
    struct field_set *fields = field_set_new();
    struct aggregation *a = NULL;
    struct err err = {0};
    assert_int_equal(aggregation_new(o, 0, fields, &a, &err), ERR_NONE);
    uint64_t hash = aggregation_schema(a)->definition_hash;
    buf_clear(ret_text);
    buf_addz(ret_text, aggregation_schema(a)->definition);
    aggregation_free(a);
    field_set_free(fields);
    return hash;
}

static void R15_what_a_definition_is(void **state)
{
    (void)state;
    AUTO(buf) struct buf before = {0}, after = {0}, diff = {0};
    static const char *const other_keys[] = {"wiki"}, *const other_measures[] = {"count", "max(id)"};
    static const char *const renamed[] = {"user as who"};
    struct kit k;
    kit_options(&k);
    struct aggregation_options same = k.options, o;
    uint64_t hash = hash_with(&k.options, &before);
    same.slide_us = same.size_us; /* said or not said */
    same.where = "  ";
    same.on_change = CHANGE_REBUILD; /* no part of what rows mean */
    assert_true(hash_with(&same, &after) == hash);
    const char *names[] = {"size",       "delay", "skew", "lateness", "late", "max_keys",
                           "time_field", "where", "key",  "measures", "key",  "slide"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        o = k.options;
        o.size_us = i == 0 ? 2 * o.size_us : o.size_us;
        o.delay_us += i == 1;
        o.skew_us += i == 2;
        o.lateness_us += i == 3;
        o.late = i == 4 ? LATE_DROP : o.late;
        o.max_keys -= i == 5;
        o.time_field = i == 6 ? "meta.dt" : o.time_field;
        o.where = i == 7 ? "type:edit" : o.where;
        o.keys = i == 8 ? other_keys : i == 10 ? renamed : o.keys;
        o.measures = i == 9 ? other_measures : o.measures;
        o.measure_count = i == 9 ? 2 : 1;
        o.slide_us = i == 11 ? o.size_us / 2 : o.slide_us;
        assert_false(hash_with(&o, &after) == hash);
        buf_clear(&diff);
        definition_diff(buf_str(&before), buf_str(&after), &diff);
        if (strstr(diff.ptr, names[i]) == NULL) {
            fail_msg("\"%s\" does not name \"%s\"", diff.ptr, names[i]);
        }
    }
}

static void R15_the_difference_in_words(void **state)
{
    (void)state;
    AUTO(buf) struct buf out = {0};
    definition_diff(STR("size = 60s\nkey = user as user\n"), STR("size = 2m\nkey = user as user\nnew = x\n"), &out);
    assert_string_equal(out.ptr, "size: \"60s\" -> \"2m\"; new: \"-\" -> \"x\"");
    buf_clear(&out);
    definition_diff(STR("size = 60s\nold = y\n"), STR("size = 60s\n"), &out);
    assert_string_equal(out.ptr, "old: \"y\" -> \"-\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(R9_measures_that_cannot_be),
        cmocka_unit_test(R9_declarations_that_cannot_be),
        cmocka_unit_test(R9_columns),
        cmocka_unit_test(R9_built_in),
        cmocka_unit_test(R15_what_a_definition_is),
        cmocka_unit_test(R15_the_difference_in_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
