/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "journal/dump.h"

static void assert_line(const struct record *r, bool is_object, const char *expected)
{
    AUTO(buf) struct buf b = {0};
    journal_dump_line(&b, r, is_object);
    assert_string_equal(b.ptr, expected);
    assert_int_equal(b.len, strlen(expected));
}

static void objects_go_out_as_they_are_on_one_line(void **state)
{
    (void)state;
    struct record r = {.partition = 3,
                       .offset = 17,
                       .arrival_us = 1600000000123999,
                       .value = STR("{\r\n \"a\": \"\\n\",\n\"b\":1}\r")};
    assert_line(
        &r, true,
        "{\"partition\":3,\"offset\":17,\"arrival_ms\":1600000000123,\"value\":{   \"a\": \"\\n\", \"b\":1} }\n");
    r.arrival_us = TIME_NONE;
    r.value = STR("{\"k\":\"\xe2\x80\xae\"}");
    assert_line(&r, true, "{\"partition\":3,\"offset\":17,\"arrival_ms\":null,\"value\":{\"k\":\"\xe2\x80\xae\"}}\n");
    r.arrival_us = 0;
    assert_line(&r, true, "{\"partition\":3,\"offset\":17,\"arrival_ms\":0,\"value\":{\"k\":\"\xe2\x80\xae\"}}\n");
}

/* RFC 4648 section 10, and bytes that no text has. */
static void anything_else_goes_out_in_base64(void **state)
{
    (void)state;
    static const struct {
        struct str value;
        const char *base64;
    } cases[] = {{STR_INIT(""), ""},
                 {STR_INIT("f"), "Zg=="},
                 {STR_INIT("fo"), "Zm8="},
                 {STR_INIT("foo"), "Zm9v"},
                 {STR_INIT("foob"), "Zm9vYg=="},
                 {STR_INIT("fooba"), "Zm9vYmE="},
                 {STR_INIT("foobar"), "Zm9vYmFy"},
                 {STR_INIT("\0\xff\xfe\r\n"), "AP/+DQo="}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO(buf) struct buf expected = {0};
        struct record r = {.arrival_us = TIME_NONE, .value = cases[i].value};
        buf_addf(&expected, "{\"partition\":0,\"offset\":0,\"arrival_ms\":null,\"value\":null,\"value_b64\":\"%s\"}\n",
                 cases[i].base64);
        assert_line(&r, false, expected.ptr);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(objects_go_out_as_they_are_on_one_line),
                                       cmocka_unit_test(anything_else_goes_out_in_base64)};
    return cmocka_run_group_tests_name("journal dump", tests, NULL, NULL);
}
