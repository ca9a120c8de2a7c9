/* SPDX-License-Identifier: MIT
 *
 * admission.h - what becomes of each record received (R1-R5, R12), as a state machine without any I/O: decode,
 * duplicate, filter, journal. Private to this room; used by follow.c, file.c, generator.c and the retry of dead
 * letters.
 *
 * What it decided since the last commit stands in one `struct batch`; whoever drives it hands that to the journal and
 * then says whether it was stored. State after a crash is rebuilt from notes and the journal's tail (R3):
 * admission_load.
 */
#ifndef WIKITALLY_SOURCE_ADMISSION_H
#define WIKITALLY_SOURCE_ADMISSION_H

#include "source/source.h"

enum outcome { OUTCOME_JOURNALLED, OUTCOME_DUPLICATE, OUTCOME_FILTERED, OUTCOME_DEAD };

struct admission;
struct link; /* what one connection knows (R3: continuous, proved; R4: matched); NULL for files and the generator */

enum err_class admission_new(const struct source_options *options, struct admission **ret_admission, struct err *err);
void admission_free(struct admission *a);
/* Reads notes, tail and recent dead letters. Call once, before the first offer. */
enum err_class admission_load(struct admission *a, struct source_output *output, struct err *err);

/* One record. `where`: its place for a dead letter ("FILE:17"; NULL: topic/partition/offset are found by the scan if
 * they can be). ERR_RETRY only for "discontinuous" (R3: close and resume); ERR_FATAL when the table of identities is
 * full. */
enum err_class admission_offer(struct admission *a, struct link *link, struct str bytes, int64_t arrival_us,
                               struct str where, enum outcome *ret_outcome, struct err *err);
/* Appends a tick to every partition (R7) with this meta.dt. */
void admission_tick(struct admission *a, int64_t dt_us);

bool admission_pending(const struct admission *a, size_t *ret_bytes); /* is there anything to commit? */
void admission_set_note(struct admission *a, struct str key,
                        struct str value);                /* goes with the next batch: a file's own position */
const struct batch *admission_batch(struct admission *a); /* all that is pending; borrowed until committed */
void admission_committed(struct admission *a);            /* it was stored: forget it */

#endif
