/* SPDX-License-Identifier: MIT
 *
 * record.c - names of the ledger's buckets, and what stands for a record.
 */
#include "base/record.h"

#include "base/hash.h"

/* Part of the stored format: a task's line holds what this makes. */
#define RECORD_SEED UINT64_C(0x77696b6974616c79)

uint64_t record_identity(const struct record *r)
{
    uint64_t arrival = (uint64_t)r->arrival_us;
    unsigned char bytes[8];
    for (unsigned i = 0; i < 8; i++) {
        bytes[i] = (unsigned char)(arrival >> 8 * i);
    }
    return hash_bytes(r->value, hash_bytes(str_n((const char *)bytes, sizeof bytes), RECORD_SEED));
}

const char *const source_bucket_names[SOURCE_BUCKETS] = {
    [SOURCE_RECEIVED] = "received", [SOURCE_TICK] = "ticks", [SOURCE_DUPLICATE] = "duplicate",
    [SOURCE_FILTERED] = "filtered", [SOURCE_DEAD] = "dead",  [SOURCE_JOURNALLED] = "journalled",
};

const char *const task_bucket_names[TASK_BUCKETS] = {
    [TASK_DEAD] = "dead",     [TASK_CANARY] = "canary",   [TASK_TICK] = "tick", [TASK_UNMATCHED] = "unmatched",
    [TASK_FUTURE] = "future", [TASK_COUNTED] = "counted", [TASK_LATE] = "late", [TASK_GAP] = "gap",
};
