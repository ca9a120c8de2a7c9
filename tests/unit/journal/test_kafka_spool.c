/* SPDX-License-Identifier: MIT
 *
 * What waits for a broker that is away (journal/kafka_spool.h): comes back as it was, in its order, also after a
 * restart.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/hash.h"
#include "journal/kafka_spool.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct dir {
    char path[64], file[96];
};

static int set_up(void **state)
{
    struct dir *d = xcalloc(1, sizeof(*d));
    const char *base = getenv("TMPDIR");
    snprintf(d->path, sizeof(d->path), "%.30s/wikitally-spool-XXXXXX", base && *base ? base : "/tmp");
    assert_non_null(mkdtemp(d->path));
    snprintf(d->file, sizeof(d->file), "%s/spool.db", d->path);
    *state = d;
    return 0;
}

static int tear_down(void **state)
{
    struct dir *d = *state;
    char path[112];
    static const char *const endings[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "%s%s", d->file, endings[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(d->path), 0);
    free(d);
    return 0;
}

static const struct record records[] = {
    {.partition = 1, .arrival_us = 7000, .value = STR_INIT("{\"a\":\"\0\n\"}")},
    {.partition = 0, .arrival_us = TIME_NONE, .value = STR_INIT("")},
};
static const struct record_label labels[] = {{STR_INIT("enwiki:A\nB"), "change"}, {{NULL, 0}, "tick"}};
static const struct dead_letter dead = {.stage = "source",
                                        .reason = "syntax",
                                        .detail = STR_INIT("at byte 3"),
                                        .position = STR_INIT("FILE:3"),
                                        .arrival_us = 9000,
                                        .stream_us = TIME_NONE,
                                        .bytes = STR_INIT("\xff{")};
static const struct note notes[] = {{STR_INIT("position"), STR_INIT("{\"version\":1}")}};
static const struct tally_row tally[] = {{TALLY_ARRIVAL, TALLY_NO_TIME, SOURCE_DEAD, 3},
                                         {TALLY_EVENT, 29000000, SOURCE_JOURNALLED, -1}};
static const struct batch whole = {.records = records,
                                   .record_count = 2,
                                   .labels = labels,
                                   .dead = &dead,
                                   .dead_count = 1,
                                   .notes = notes,
                                   .note_count = 1,
                                   .tally = tally,
                                   .tally_count = 2};

static void assert_str(struct str got, struct str wanted)
{
    assert_int_equal(got.len, wanted.len);
    assert_int_equal(got.ptr == NULL, wanted.ptr == NULL);
    if (wanted.len > 0) {
        assert_memory_equal(got.ptr, wanted.ptr, wanted.len);
    }
}

static void assert_whole(const struct batch *b)
{
    assert_int_equal(b->record_count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(b->records[i].partition, records[i].partition);
        assert_int_equal(b->records[i].arrival_us, records[i].arrival_us);
        assert_str(b->records[i].value, records[i].value);
        assert_str(b->labels[i].key, labels[i].key);
        assert_string_equal(b->labels[i].kind, labels[i].kind);
    }
    assert_int_equal(b->dead_count, 1);
    assert_string_equal(b->dead->reason, "syntax");
    assert_str(b->dead->bytes, dead.bytes);
    assert_str(b->dead->position, dead.position);
    assert_int_equal(b->dead->stream_us, TIME_NONE);
    assert_int_equal(b->note_count, 1);
    assert_str(b->notes->key, notes->key);
    assert_str(b->notes->value, notes->value);
    assert_int_equal(b->tally_count, 2);
    assert_int_equal(b->tally[0].minute, TALLY_NO_TIME);
    assert_int_equal(b->tally[0].count, 3);
    assert_int_equal(b->tally[1].count, -1);
}

static void a_batch_comes_back_as_it_was(void **state)
{
    (void)state;
    AUTO(buf) struct buf packed = {0};
    AUTO(arena) struct arena arena = {0};
    struct batch b;
    spool_pack(&whole, &packed);
    assert_true(spool_unpack(buf_str(&packed), &arena, &b));
    assert_whole(&b);
    for (size_t len = 0; len < packed.len; len++) { /* cut anywhere it is refused */
        arena_reset(&arena);
        assert_false(spool_unpack(str_n(packed.ptr, len), &arena, &b));
    }
}

static void damage_is_refused_or_harmless(void **state)
{
    (void)state;
    AUTO(buf) struct buf packed = {0};
    AUTO(arena) struct arena arena = {0};
    struct rng rng;
    struct batch b;
    const char *seed = getenv("WIKITALLY_SEED");
    uint64_t number = seed == NULL ? hash_random_seed() : strtoull(seed, NULL, 10);
    print_message("# WIKITALLY_SEED=%llu\n", (unsigned long long)number);
    rng_init(&rng, number);
    spool_pack(&whole, &packed);
    for (int i = 0; i < 20000; i++) {
        size_t at = (size_t)rng_below(&rng, packed.len);
        char was = packed.ptr[at];
        packed.ptr[at] = (char)rng_next(&rng);
        arena_reset(&arena);
        if (spool_unpack(buf_str(&packed), &arena, &b)) {
            assert_true(b.record_count <= packed.len && b.tally_count <= packed.len);
        }
        packed.ptr[at] = was;
    }
}

static void batches_wait_in_their_order(void **state)
{
    struct dir *d = *state;
    struct err e = {0};
    struct kafka_spool *s = NULL;
    struct spooled first;
    AUTO(arena) struct arena arena = {0};
    const struct batch empty = {.tally = tally, .tally_count = 1};
    assert_int_equal(kafka_spool_open(d->path, 1 << 20, &s, &e), ERR_NONE);
    assert_int_equal(access(d->file, F_OK), -1); /* nothing waits: no file */
    assert_int_equal(kafka_spool_put(s, 41, "me", &whole, &e), ERR_NONE);
    assert_int_equal(kafka_spool_put(s, 42, "me", &empty, &e), ERR_NONE);
    kafka_spool_close(s);
    assert_int_equal(kafka_spool_open(d->path, 1 << 20, &s, &e), ERR_NONE);
    assert_int_equal(kafka_spool_count(s), 2);
    assert_int_equal(kafka_spool_first(s, &arena, &first, &e), ERR_NONE);
    assert_int_equal(first.number, 41);
    assert_string_equal(first.owner, "me");
    assert_whole(&first.batch);
    assert_int_equal(kafka_spool_drop(s, &e), ERR_NONE);
    assert_int_equal(kafka_spool_first(s, &arena, &first, &e), ERR_NONE);
    assert_int_equal(first.number, 42);
    assert_null(first.batch.labels);
    assert_int_equal(first.batch.tally_count, 1);
    assert_int_equal(kafka_spool_discard(s, &e), ERR_NONE);
    assert_int_equal(kafka_spool_count(s), 0);
    kafka_spool_close(s);
}

static void R13_so_much_may_wait(void **state)
{
    struct dir *d = *state;
    struct err e = {0};
    struct kafka_spool *s = NULL;
    struct spooled first;
    AUTO(arena) struct arena arena = {0};
    int64_t put = 0;
    assert_int_equal(kafka_spool_open(d->path, 1000, &s, &e), ERR_NONE);
    while (put < 100 && kafka_spool_put(s, put, "me", &whole, &e) == ERR_NONE) {
        put++;
    }
    assert_in_range(put, 1, 20);
    assert_int_equal(e.cls, ERR_RETRY);
    assert_int_equal(kafka_spool_count(s), put);
    assert_int_equal(kafka_spool_first(s, &arena, &first, &e), ERR_NONE);
    assert_int_equal(kafka_spool_drop(s, &e), ERR_NONE); /* then there is room for one */
    assert_int_equal(kafka_spool_put(s, put, "me", &whole, &e), ERR_NONE);
    assert_int_equal(kafka_spool_put(s, put + 1, "me", &whole, &e), ERR_RETRY);
    kafka_spool_close(s);
}

static void a_damaged_row_is_named(void **state)
{
    struct dir *d = *state;
    struct err e = {0};
    struct kafka_spool *s = NULL;
    struct spooled first;
    char command[256];
    AUTO(arena) struct arena arena = {0};
    assert_int_equal(kafka_spool_open(d->path, 1 << 20, &s, &e), ERR_NONE);
    assert_int_equal(kafka_spool_put(s, 1, "me", &whole, &e), ERR_NONE);
    kafka_spool_close(s);
    snprintf(command, sizeof(command), "%s", d->file);
    int fd = open(command, O_RDWR);
    char page[16384];
    ssize_t n = read(fd, page, sizeof(page));
    char *at = memmem(page, (size_t)n, "\x28\xb5\x2f\xfd", 4); /* where a zstd frame begins */
    assert_non_null(at);
    assert_int_equal(pwrite(fd, "x", 1, at - page + 6), 1);
    close(fd);
    assert_int_equal(kafka_spool_open(d->path, 1 << 20, &s, &e), ERR_NONE);
    assert_int_equal(kafka_spool_first(s, &arena, &first, &e), ERR_FATAL);
    assert_non_null(strstr(e.text, "move it away"));
    kafka_spool_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_comes_back_as_it_was),
        cmocka_unit_test(damage_is_refused_or_harmless),
        cmocka_unit_test_setup_teardown(batches_wait_in_their_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(R13_so_much_may_wait, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_damaged_row_is_named, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
