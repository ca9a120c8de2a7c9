/* SPDX-License-Identifier: MIT
 *
 * test_out.c - what rows look like in each format, and that nothing a stranger wrote can break out of its cell.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "cli/out.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct out_column columns[] = {{"title", false}, {"key", true}, {"n", true}};

/* Runs body with standard output going to a file, and gives back what it printed. */
static char *printed(struct out *o, void (*body)(struct out *o))
{
    static char text[65536];
    fflush(stdout);
    int saved = dup(1);
    FILE *file = tmpfile();
    assert_non_null(file);
    dup2(fileno(file), 1);
    body(o);
    fflush(stdout);
    dup2(saved, 1);
    close(saved);
    rewind(file);
    size_t n = fread(text, 1, sizeof text - 1, file);
    text[n] = 0;
    fclose(file);
    return text;
}

static void two_rows(struct out *o)
{
    struct err err = {0};
    assert_int_equal(out_begin(o, columns, 3, &err), ERR_NONE);
    out_text(o, STR("a\tb\nc\\\"d,"));
    out_text(o, STR("[\"x\"]"));
    out_int(o, INT64_MAX);
    out_row(o);
    out_none(o);
    out_text(o, STR("[null]"));
    out_none(o);
    out_row(o);
    out_end(o);
}

static void tsv_keeps_one_row_one_line(void **state)
{
    (void)state;
    struct out o = {.format = OUT_TSV, .end = '\n'};
    assert_string_equal(printed(&o, two_rows),
                        "title\tkey\tn\na\\tb\\nc\\\\\"d,\t[\"x\"]\t9223372036854775807\n-\t[null]\t-\n");
}

static void csv_quotes(void **state)
{
    (void)state;
    struct out o = {.format = OUT_CSV, .end = '\n', .no_header = true};
    assert_string_equal(printed(&o, two_rows), "\"a\tb\nc\\\"\"d,\",\"[\"\"x\"\"]\",9223372036854775807\n,[null],\n");
}

static void jsonl_is_json(void **state)
{
    (void)state;
    struct out o = {.format = OUT_JSONL, .end = '\n'};
    assert_string_equal(printed(&o, two_rows),
                        "{\"title\":\"a\\tb\\nc\\\\\\\"d,\",\"key\":[\"x\"],\"n\":9223372036854775807}\n"
                        "{\"title\":null,\"key\":[null],\"n\":null}\n");
}

static void json_is_one_array(void **state)
{
    (void)state;
    struct out o = {.format = OUT_JSON, .end = '\n', .columns = "n"};
    assert_string_equal(printed(&o, two_rows), "[{\"n\":9223372036854775807},\n{\"n\":null}]\n");
}

static void chosen_columns_in_their_order(void **state)
{
    (void)state;
    struct out o = {.format = OUT_TSV, .end = 0, .columns = "n,key", .no_header = true};
    char *text = printed(&o, two_rows);
    assert_memory_equal(text, "9223372036854775807\t[\"x\"]\0-\t[null]\0", 35);
}

static void unknown_column_is_a_usage_error(void **state)
{
    (void)state;
    struct out o = {.format = OUT_TSV, .end = '\n', .columns = "titel"};
    struct err err = {0};
    assert_int_equal(out_begin(&o, columns, 3, &err), ERR_REJECT);
    assert_int_equal(err_exit_code(&err), EXIT_USAGE);
    assert_non_null(strstr(err.text, "titel"));
    assert_non_null(strstr(err.text, "title, key, n"));
    buf_fini(&o.line);
}

static void escapes_row(struct out *o)
{
    struct err err = {0};
    assert_int_equal(out_begin(o, columns, 3, &err), ERR_NONE);
    out_text(o, STR("\x1b[31mred\x1b[0m\r\n"));
    out_text(o, STR("k"));
    out_int(o, 1);
    out_row(o);
    out_end(o);
}

static void table_shows_no_terminal_escape(void **state)
{
    (void)state;
    struct out o = {.format = OUT_TABLE, .end = '\n'};
    char *text = printed(&o, escapes_row);
    assert_null(strchr(text, '\x1b'));
    assert_null(strchr(text, '\r'));
    assert_non_null(strstr(text, "red"));
    assert_non_null(strstr(text, "title"));
}

static void long_rows(struct out *o)
{
    struct err err = {0};
    AUTO(buf) struct buf title = {0};
    for (int i = 0; i < 29; i++)
        buf_addz(&title, "\xc4\x81"); /* two bytes, one column; the cut at 57 would fall into one */
    buf_addz(&title, "to");
    assert_int_equal(out_begin(o, columns, 1, &err), ERR_NONE);
    out_text(o, buf_str(&title));
    out_row(o);
    buf_addz(&title, "s");
    out_text(o, buf_str(&title));
    out_row(o);
    out_end(o);
}

static void table_says_where_it_cuts(void **state)
{
    (void)state;
    struct out o = {.format = OUT_TABLE, .end = '\n'}, whole = {.format = OUT_TABLE, .end = '\n', .whole = true};
    char *text = printed(&o, long_rows);
    assert_non_null(strstr(text, "\xc4\x81to\n"));  /* 60 bytes: as they are */
    assert_non_null(strstr(text, "\xc4\x81...\n")); /* 61: no half character */
    assert_non_null(strstr(printed(&whole, long_rows), "\xc4\x81tos\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tsv_keeps_one_row_one_line),
        cmocka_unit_test(csv_quotes),
        cmocka_unit_test(jsonl_is_json),
        cmocka_unit_test(json_is_one_array),
        cmocka_unit_test(chosen_columns_in_their_order),
        cmocka_unit_test(unknown_column_is_a_usage_error),
        cmocka_unit_test(table_shows_no_terminal_escape),
        cmocka_unit_test(table_says_where_it_cuts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
