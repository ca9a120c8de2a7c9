/* SPDX-License-Identifier: MIT
 *
 * tail_keep.c - what retention must leave for the source (R13): the journal's tail from which the table of identities
 * is rebuilt. Without it an overlap after a restart would be journalled a second time.
 */
#include "base/fault.h"
#include "source/position.h"
#include "source/source.h"

struct keeping {
    int64_t *keep;
    uint32_t partitions;
};

static bool lower(const struct tail *t, void *ctx)
{
    struct keeping *k = ctx;
    if (t->partition < k->partitions && t->low < k->keep[t->partition] && !fault("R13.tail")) {
        k->keep[t->partition] = t->low;
    }
    return true;
}

void source_tail_keep(struct str position_note, int64_t *keep, uint32_t partitions)
{
    struct keeping k = {keep, partitions};
    if (position_each_tail(position_note, lower, &k)) {
        return;
    }
    for (uint32_t p = 0; p < partitions; p++) {
        keep[p] = 0;
    }
}
