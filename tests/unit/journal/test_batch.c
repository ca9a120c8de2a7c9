/* SPDX-License-Identifier: MIT
 *
 * The stored form of a batch: how much goes into one, what is refused before it is stored, and what unpacking refuses
 * although the checksum holds: that was written so, by a program gone wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "journal/batch.h"

#include "../../contract/store_dir.h"

enum { RECORD_HEADER = 12, RECORDS = 3 };
static const int64_t day = (int64_t)1600000020 * 1000000;

static bool no_context, no_compression;

ZSTD_CCtx *__real_ZSTD_createCCtx(void);
ZSTD_CCtx *__wrap_ZSTD_createCCtx(void);
size_t __real_ZSTD_compress2(ZSTD_CCtx *context, void *to, size_t room, const void *from, size_t size);
size_t __wrap_ZSTD_compress2(ZSTD_CCtx *context, void *to, size_t room, const void *from, size_t size);

ZSTD_CCtx *__wrap_ZSTD_createCCtx(void)
{
    return no_context ? NULL : __real_ZSTD_createCCtx();
}

size_t __wrap_ZSTD_compress2(ZSTD_CCtx *context, void *to, size_t room, const void *from, size_t size)
{
    return __real_ZSTD_compress2(context, to, no_compression ? 1 : room, from, size); /* 1: its own error */
}

static const struct record three[RECORDS] = {{.arrival_us = day + 7, .value = STR_INIT("{\"a\":1}")},
                                             {.arrival_us = TIME_NONE, .value = STR_INIT("")},
                                             {.arrival_us = day, .value = STR_INIT("\0\xff")}};
static const struct record *const some[RECORDS] = {&three[0], &three[1], &three[2]};

static void pack_ok(struct batch_packer *p, struct stored_batch *ret)
{
    struct err e = {0};
    assert_ok(batch_pack(p, some, RECORDS, 5, 40, ret, &e), e);
}

static void assert_unpacks(const struct stored_batch *b)
{
    struct err e = {0};
    struct arena arena = {0};
    struct record *records = NULL;
    assert_ok(batch_unpack(b, &arena, &records, &e), e);
    for (int i = 0; i < RECORDS; i++) {
        assert_int_equal(records[i].partition, 5);
        assert_int_equal(records[i].offset, 40 + i);
        assert_int_equal(records[i].arrival_us, three[i].arrival_us);
        assert_true(str_eq(records[i].value, three[i].value));
    }
    arena_fini(&arena);
}

static void what_was_packed_comes_back(void **state)
{
    (void)state;
    struct batch_packer p = {0};
    struct stored_batch b;
    for (int round = 0; round < 2; round++) { /* a packer serves many */
        pack_ok(&p, &b);
        assert_int_equal(b.min_arrival_us, day);
        assert_int_equal(b.max_arrival_us, day + 7);
        assert_int_equal(b.count, RECORDS);
        assert_unpacks(&b);
    }
    batch_packer_fini(&p);
}

/* ---- how much goes into one */

static void a_batch_takes_so_many_records_and_so_many_bytes(void **state)
{
    (void)state;
    static const struct {
        size_t count, value_bytes, fit;
    } cases[] = {{0, 0, 0},
                 {1, 0, 1},
                 {1, BATCH_TARGET_BYTES + 1, 1}, /* alone it may be larger */
                 {2, BATCH_TARGET_BYTES + 1, 1},
                 {2, BATCH_TARGET_BYTES / 2, 2},
                 {3, BATCH_TARGET_BYTES / 2, 2},
                 {2, BATCH_TARGET_BYTES / 2 + 1, 1},
                 {BATCH_MAX_RECORDS, 0, BATCH_MAX_RECORDS},
                 {BATCH_MAX_RECORDS + 1, 0, BATCH_MAX_RECORDS},
                 {BATCH_MAX_RECORDS + 1, 64, BATCH_MAX_RECORDS}};
    char *text = xcalloc(1, BATCH_TARGET_BYTES + 1);
    const struct record **list = xcalloc(BATCH_MAX_RECORDS + 1, sizeof *list);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct record r = {.value = {text, cases[i].value_bytes}};
        for (size_t k = 0; k <= BATCH_MAX_RECORDS; k++) {
            list[k] = &r;
        }
        assert_int_equal(batch_fit(list, cases[i].count), cases[i].fit);
    }
    free(list);
    free(text);
}

/* `count` records with a value of so many bytes each. -> as batch_pack */
static enum err_class pack_many(struct batch_packer *p, size_t count, size_t value_bytes, struct stored_batch *ret,
                                struct err *err)
{
    char *text = xcalloc(1, value_bytes + 1);
    const struct record **list = xcalloc(count, sizeof *list);
    struct record r = {.arrival_us = day, .value = {text, value_bytes}};
    for (size_t i = 0; i < count; i++) {
        list[i] = &r;
    }
    enum err_class c = batch_pack(p, list, count, 0, 0, ret, err);
    free(list);
    free(text);
    return c;
}

/* More than it would unpack again. */
static void a_batch_that_could_not_be_unpacked_is_not_packed(void **state)
{
    (void)state;
    static const struct {
        size_t count, value_bytes;
    } cases[] = {{BATCH_MAX_BYTES / RECORD_HEADER + 1, 0}, /* for the lengths alone */
                 {1, BATCH_MAX_BYTES - RECORD_HEADER + 1},
                 {2, BATCH_MAX_BYTES / 2}};
    struct batch_packer p = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e = {0};
        struct stored_batch b = {.base = -1};
        assert_error(pack_many(&p, cases[i].count, cases[i].value_bytes, &b, &e), e, ERR_FATAL, EXIT_OSERR);
        assert_non_null(strstr(e.text, "a batch does not fit into memory"));
        assert_int_equal(b.base, -1);
    }
    struct err e = {0};
    struct arena arena = {0};
    struct stored_batch b;
    struct record *records = NULL;
    assert_ok(pack_many(&p, 1, BATCH_MAX_BYTES - RECORD_HEADER, &b, &e), e); /* the largest of all */
    assert_ok(batch_unpack(&b, &arena, &records, &e), e);
    assert_int_equal(records[0].value.len, BATCH_MAX_BYTES - RECORD_HEADER);
    arena_fini(&arena);
    pack_ok(&p, &b); /* what was refused leaves nothing behind */
    assert_unpacks(&b);
    batch_packer_fini(&p);
}

static void a_batch_that_cannot_be_compressed_is_refused(void **state)
{
    (void)state;
    bool *const ways[] = {&no_context, &no_compression};
    struct batch_packer p = {0};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        struct err e = {0};
        struct stored_batch b = {.base = -1};
        *ways[i] = true;
        assert_error(batch_pack(&p, some, RECORDS, 5, 40, &b, &e), e, ERR_FATAL, EXIT_OSERR);
        *ways[i] = false;
        assert_non_null(strstr(e.text, "cannot compress a batch"));
        assert_int_equal(b.base, -1);
        pack_ok(&p, &b);
        assert_unpacks(&b);
    }
    batch_packer_fini(&p);
}

/* ---- what unpacking refuses */

static void assert_corrupt(const struct stored_batch *b, const char *what)
{
    struct err e = {0};
    struct arena arena = {0};
    struct record *records = NULL;
    char text[64];
    assert_error(batch_unpack(b, &arena, &records, &e), e, ERR_FATAL, EXIT_DATA);
    assert_null(records);
    snprintf(text, sizeof text, "is corrupt (%s);", what);
    if (strstr(e.text, text) == NULL || strstr(e.text, "partition 5, offsets 40 to") == NULL ||
        strstr(e.text, "repair --skip 40\"") == NULL) {
        fail_msg("\"%s\" does not say \"%s\", which batch, and what to do", e.text, text);
    }
    arena_fini(&arena);
}

static void a_changed_field_breaks_the_checksum(void **state)
{
    (void)state;
    struct batch_packer p = {0};
    struct stored_batch good, b;
    pack_ok(&p, &good);
    for (int field = 0; field < 6; field++) {
        b = good;
        b.count += field == 0;
        b.min_arrival_us += field == 1;
        b.max_arrival_us += field == 2;
        b.raw_bytes += field == 3;
        b.checksum += field == 4;
        b.blob.len -= field == 5;
        assert_corrupt(&b, "checksum");
    }
    batch_packer_fini(&p);
}

static void what_unpacking_refuses_under_a_sound_checksum(void **state)
{
    (void)state;
    static const struct {
        int64_t count, raw_bytes; /* -1: as it is */
        const char *what;
    } cases[] = {{0, -1, "header"},
                 {BATCH_MAX_RECORDS + 1, (BATCH_MAX_RECORDS + 1) * RECORD_HEADER, "header"},
                 {-1, (int64_t)BATCH_MAX_BYTES + 1, "header"},
                 {-1, RECORDS * RECORD_HEADER - 1, "header"},
                 {-1, 0, "header"},
                 {-1, INT64_MIN, "header"},
                 {-1, RECORDS * RECORD_HEADER, "compressed data"},         /* there is more in it */
                 {-1, RECORDS * RECORD_HEADER + 1000, "compressed data"}}; /* there is less in it */
    struct batch_packer p = {0};
    struct stored_batch good, b;
    pack_ok(&p, &good);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        b = good;
        b.count = cases[i].count < 0 ? b.count : (uint32_t)cases[i].count;
        b.raw_bytes = cases[i].raw_bytes == -1 ? b.raw_bytes : cases[i].raw_bytes;
        b.checksum = batch_checksum(&b);
        assert_corrupt(&b, cases[i].what);
    }
    b = good;
    b.blob = STR("this is no frame");
    b.checksum = batch_checksum(&b);
    assert_corrupt(&b, "compressed data");
    batch_packer_fini(&p);
}

/* The lengths of the values have to fill what is there, no more and no less. */
static void what_unpacking_refuses_by_its_lengths(void **state)
{
    (void)state;
    static const unsigned char lengths[][2] = {{3, 4}, {2, 2}, {6, 0}, {255, 0}, {0, 0}}; /* of 5 bytes */
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        unsigned char raw[2 * RECORD_HEADER + 5] = {0}, blob[256];
        raw[0] = lengths[i][0];
        raw[RECORD_HEADER] = lengths[i][1];
        const size_t size = ZSTD_compress(blob, sizeof blob, raw, sizeof raw, 1);
        assert_false(ZSTD_isError(size));
        struct stored_batch b = {.partition = 5,
                                 .base = 40,
                                 .count = 2,
                                 .min_arrival_us = 0,
                                 .max_arrival_us = 0,
                                 .raw_bytes = sizeof raw,
                                 .blob = {(const char *)blob, size}};
        b.checksum = batch_checksum(&b);
        assert_corrupt(&b, "lengths");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_packed_comes_back),
        cmocka_unit_test(a_batch_takes_so_many_records_and_so_many_bytes),
        cmocka_unit_test(a_batch_that_could_not_be_unpacked_is_not_packed),
        cmocka_unit_test(a_batch_that_cannot_be_compressed_is_refused),
        cmocka_unit_test(a_changed_field_breaks_the_checksum),
        cmocka_unit_test(what_unpacking_refuses_under_a_sound_checksum),
        cmocka_unit_test(what_unpacking_refuses_by_its_lengths),
    };
    return cmocka_run_group_tests_name("journal batch", tests, NULL, NULL);
}
