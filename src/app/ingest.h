/* SPDX-License-Identifier: MIT
 *
 * ingest.h - the journal as the source sees it: implements `struct source_output` over one journal (R3, R11, R13).
 * Belongs to the ingester's thread, which is the journal's only writer.
 */
#ifndef WIKITALLY_APP_INGEST_H
#define WIKITALLY_APP_INGEST_H

#include "app/handover.h"
#include "journal/journal.h"
#include "source/source.h"

#include <stdatomic.h>

struct ingest_options {
    struct journal *journal;  /* borrowed */
    int64_t retention_age_us; /* 0: keep for ever */
    int64_t retention_bytes;  /* of stored blobs; 0: no limit */
    bool release_when_full;   /* on_full: release (R13): the slowest task gets a gap; else wait */
    struct clock *clock;
    const atomic_bool *stopping; /* a wait for room ends when this becomes true */
    /* Offsets per partition that tasks still need; called from the ingester's thread. NULL: none. */
    void (*keep)(void *ctx, int64_t *ret_keep, uint32_t partitions);
    void *keep_ctx;
    struct handover *handover; /* gets each batch that is durable; borrowed; NULL: none */
};

struct ingest;
enum err_class ingest_new(const struct ingest_options *options, struct ingest **ret_ingest, struct err *err);
void ingest_free(struct ingest *i);
struct source_output *ingest_output(struct ingest *i);
/* Other values for those of the options from the next look on; any thread. */
void ingest_retune(struct ingest *i, int64_t retention_age_us, int64_t retention_bytes, bool release_when_full);
int64_t ingest_journalled(const struct ingest *i); /* records appended since ingest_new; any thread */

#endif
