/* SPDX-License-Identifier: MIT
 *
 * batch.h - records of one partition as one compressed, checksummed unit: what sqlite.c stores in a row (private to
 * this room; the format is in batch.c).
 */
#ifndef WIKITALLY_JOURNAL_BATCH_H
#define WIKITALLY_JOURNAL_BATCH_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/record.h"

#include <zstd.h>

enum {
    BATCH_MAX_RECORDS = 65536,
    BATCH_TARGET_BYTES = 4 << 20, /* uncompressed; a single record may be larger */
    BATCH_MAX_BYTES = 64 << 20,   /* more than that is not decompressed: it was never written */
};

struct stored_batch {
    uint32_t partition;
    int64_t base; /* offset of the first record */
    uint32_t count;
    int64_t min_arrival_us, max_arrival_us; /* of those that are known; TIME_NONE: none is */
    int64_t raw_bytes;                      /* uncompressed */
    uint64_t checksum;
    struct str blob; /* borrowed */
};

struct batch_packer { /* one owner; zeroed is valid */
    ZSTD_CCtx *context;
    struct buf raw, packed;
};
void batch_packer_fini(struct batch_packer *p);
/* How many of the records fit into one batch, at least 1. */
size_t batch_fit(const struct record *const *records, size_t count);
/* Packs them; ret->blob borrowed until the next call. Partition and base are given, record offsets are not looked at.
 * ERR_FATAL/EXIT_OSERR above BATCH_MAX_BYTES uncompressed: that could not be unpacked. */
enum err_class batch_pack(struct batch_packer *p, const struct record *const *records, size_t count, uint32_t partition,
                          int64_t base, struct stored_batch *ret, struct err *err);

uint64_t batch_checksum(const struct stored_batch *b);
/* Checks and unpacks into the arena. ERR_FATAL/EXIT_DATA with what is wrong and what to do. */
enum err_class batch_unpack(const struct stored_batch *b, struct arena *arena, struct record **ret_records,
                            struct err *err);

#endif
