/* SPDX-License-Identifier: MIT
 *
 * fuzz_batch.c - the stored form of a batch of records (src/journal/batch.c), from both sides.
 *
 * The first byte says which. Odd: the rest is a stored batch, header fields first, under a checksum that fits, as a
 * mistake of ours or a clever hand would leave it; it is refused with EXIT_DATA, or what comes out fills exactly what
 * the header says, and is the same a second time and after being packed again. Even: the rest is cut into records;
 * they come out as they went in, and with one bit of blob or header turned nothing comes out.
 */
#include "base/clock.h"
#include "fuzz.h"
#include "journal/batch.h"

#include <stdlib.h>

enum { RECORDS_MAX = 300, RAW_MAX = 1 << 20 };

struct bytes {
    const uint8_t *at;
    size_t left;
};

static uint64_t take(struct bytes *b, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n && b->left; i++, b->at++, b->left--) {
        v |= (uint64_t)*b->at << (8 * i);
    }
    return v;
}

static void check_refusal(enum err_class cls, const struct err *err)
{
    ensure(cls == ERR_FATAL && err->code == EXIT_DATA && strstr(err->text, "is corrupt"));
}

static void check_records(const struct stored_batch *b, const struct record *records)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        ensure(records[i].partition == b->partition && records[i].offset == b->base + i);
        bytes += records[i].value.len;
        ensure(bytes <= (size_t)b->raw_bytes);
    }
    ensure(bytes + (size_t)b->count * 12 == (size_t)b->raw_bytes);
}

static void check_same(const struct record *a, const struct record *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        ensure(a[i].partition == b[i].partition && a[i].offset == b[i].offset && a[i].arrival_us == b[i].arrival_us);
        ensure(str_eq(a[i].value, b[i].value));
    }
}

static void pack(struct batch_packer *p, const struct record *records, size_t count, const struct stored_batch *like,
                 struct stored_batch *ret)
{
    const struct record **list = xcalloc(count, sizeof *list);
    struct err err = {0};
    for (size_t i = 0; i < count; i++) {
        list[i] = &records[i];
    }
    const size_t fit = batch_fit(list, count);
    ensure(fit >= 1 && fit <= count);
    ensure(batch_pack(p, list, count, like->partition, like->base, ret, &err) == ERR_NONE);
    ensure(ret->count == count && ret->checksum == batch_checksum(ret));
    free(list);
}

/* ---- a stored batch of any bytes */

static void unpack_any(struct bytes in)
{
    struct stored_batch b = {.partition = (uint32_t)take(&in, 1) % 64, .base = (int64_t)(take(&in, 7) >> 1)};
    b.count = (uint32_t)take(&in, 3);
    b.raw_bytes = (int64_t)take(&in, 4) - 1;
    b.raw_bytes = b.raw_bytes > RAW_MAX && b.raw_bytes <= BATCH_MAX_BYTES ? b.raw_bytes % RAW_MAX : b.raw_bytes;
    b.min_arrival_us = b.max_arrival_us = TIME_NONE;
    b.blob = str_n((const char *)in.at, in.left);
    b.checksum = batch_checksum(&b);
    AUTO(arena) struct arena arena = {0};
    struct record *records = NULL, *again = NULL;
    struct err err = {0};
    const enum err_class cls = batch_unpack(&b, &arena, &records, &err);
    if (cls) {
        ensure(records == NULL);
        check_refusal(cls, &err);
        return;
    }
    check_records(&b, records);
    struct batch_packer p = {0};
    struct stored_batch packed;
    pack(&p, records, b.count, &b, &packed);
    ensure(packed.raw_bytes == b.raw_bytes);
    ensure(batch_unpack(&packed, &arena, &again, &err) == ERR_NONE);
    check_same(records, again, b.count);
    batch_packer_fini(&p);
}

/* ---- records of any bytes */

static size_t cut(struct bytes in, struct record *records, const struct stored_batch *like)
{
    size_t count = 0;
    while (count < RECORDS_MAX && (in.left || count == 0)) {
        const uint64_t length = take(&in, 1), arrival = take(&in, 1);
        const size_t n = length < in.left ? (size_t)length : in.left;
        records[count] = (struct record){.partition = like->partition,
                                         .offset = like->base + (int64_t)count,
                                         .arrival_us = arrival ? (int64_t)arrival * US_PER_DAY : TIME_NONE,
                                         .value = str_n((const char *)in.at, n)};
        in.at += n;
        in.left -= n;
        count++;
    }
    return count;
}

/* Of the blob's bits and those of the header fields that the checksum covers. */
static void turn_bit(struct stored_batch *b, char *blob, uint64_t which)
{
    if (which % 8 == 0) {
        *(which & 8 ? &b->min_arrival_us : which & 16 ? &b->max_arrival_us : &b->raw_bytes) ^= 1 << (which >> 8 & 7);
    } else if (which % 8 == 1) {
        *(which & 8 ? &b->partition : &b->count) ^= 1U << (which >> 8 & 7);
    } else {
        blob[(which >> 8) % b->blob.len] ^= (char)(1 << (which & 7));
    }
}

static void check_arrivals(const struct stored_batch *b, const struct record *records, size_t count)
{
    bool low = b->min_arrival_us == TIME_NONE, high = b->max_arrival_us == TIME_NONE;
    ensure(low == high);
    for (size_t i = 0; i < count; i++) {
        const int64_t at = records[i].arrival_us;
        ensure(at == TIME_NONE || (b->min_arrival_us <= at && at <= b->max_arrival_us));
        low = low || at == b->min_arrival_us;
        high = high || at == b->max_arrival_us;
    }
    ensure(low && high);
}

static void pack_any(struct bytes in)
{
    struct record records[RECORDS_MAX], *out = NULL;
    struct batch_packer p = {0};
    AUTO(arena) struct arena arena = {0};
    struct err err = {0};
    const uint64_t bit = take(&in, 4);
    struct stored_batch like = {.partition = (uint32_t)take(&in, 1) % 64, .base = (int64_t)take(&in, 4)}, b;
    const size_t count = cut(in, records, &like);
    pack(&p, records, count, &like, &b);
    check_arrivals(&b, records, count);
    ensure(batch_unpack(&b, &arena, &out, &err) == ERR_NONE);
    check_records(&b, out);
    check_same(records, out, count);

    char *blob = xmalloc(b.blob.len); /* of its own, so that reading beyond it is seen */
    memcpy(blob, b.blob.ptr, b.blob.len);
    b.blob = str_n(blob, b.blob.len);
    turn_bit(&b, blob, bit);
    check_refusal(batch_unpack(&b, &arena, &out, &err), &err);
    free(blob);
    batch_packer_fini(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0) {
        (data[0] & 1 ? unpack_any : pack_any)((struct bytes){data + 1, size - 1});
    }
    return 0;
}
