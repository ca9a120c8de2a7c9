/* SPDX-License-Identifier: MIT
 *
 * fuzz_filter.c - any bytes as a filter. What compiles must print in a form that compiles to the same, and both must
 * find the same events.
 */
#include "change/filter.h"
#include "fuzz.h"

static const char *const events[] = {
    "{}",
    "{\"title\":\"Talk:River\",\"user\":\"~2026-5-6\",\"comment\":\"\\u041c\\u0418\\u0420 x\",\"bot\":false,\"id\":15,"
    "\"wiki\":\"enwiki\",\"server_name\":\"en.wikipedia.org\",\"length\":{\"old\":10,\"new\":4},\"a\":{\"b\":1.5}}",
};

static void check_same(struct filter *f, struct filter *g, struct field_set *set)
{
    for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
        struct value values[FIELD_MAX];
        size_t at;
        ensure(change_scan(set, str_of(events[i]), values, &at) == DEAD_NONE);
        ensure(filter_match(f, values) == filter_match(g, values));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct field_set *set = field_set_new();
    struct err err = {0};
    size_t column = 0;
    AUTO(buf) struct buf text = {0}, again = {0};
    struct filter *f = filter_compile(str_n((const char *)data, size), set, &column, &err);
    if (!f) {
        ensure(column >= 1 && column <= size + 1 && err.cls == ERR_REJECT && err.text[0]);
    } else {
        filter_print(f, &text);
        struct filter *g = filter_compile(buf_str(&text), set, NULL, &err);
        ensure(g != NULL);
        filter_print(g, &again);
        ensure(str_eq(buf_str(&text), buf_str(&again)));
        check_same(f, g, set);
        filter_free(g);
    }
    filter_free(f);
    field_set_free(set);
    return 0;
}
