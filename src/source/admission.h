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
struct link;     /* link.h: what one connection knows (R3: continuous, proved; R4: matched); NULL for files and the
                    generator */
struct position; /* position.h */
struct audit;    /* audit.h */

enum err_class admission_new(const struct source_options *options, struct admission **ret_admission, struct err *err);
void admission_free(struct admission *a);
/* Reads notes, tail and recent dead letters. Call once, before the first offer. */
enum err_class admission_load(struct admission *a, struct source_output *output, struct err *err);

/* One record; bytes are copied. `arrival_us`: whole milliseconds; TIME_NONE without a link: its valid meta.dt is taken,
 * else it is unknown. `where`: its place for a dead letter ("FILE:17"; ptr NULL: topic/partition/offset are found by
 * the scan if they can be). With a link it must be the connection that brought the record. ERR_RETRY only for
 * "discontinuous" (R3: close and resume; nothing was booked); ERR_FATAL when the table of identities is full. */
enum err_class admission_offer(struct admission *a, struct link *link, struct str bytes, int64_t arrival_us,
                               struct str where, enum outcome *ret_outcome, struct err *err);
/* The same for what a healing request brought (R4): no position moves. in_journal: it is there already. */
enum err_class admission_offer_healed(struct admission *a, struct str bytes, int64_t arrival_us, bool in_journal,
                                      enum outcome *ret_outcome, struct err *err);
/* Why the last record offered became what it did, as oracle.md section 7 names it ("change", "wiki+id", "bad-time",
 * ...), and the journal offset of a journalled one (else -1). */
const char *admission_reason(const struct admission *a, int64_t *ret_offset);

/* Appends a tick to every partition (R7) with this meta.dt. */
void admission_tick(struct admission *a, int64_t dt_us);
/* The same at the end of a recording (--close): closes every window that the tick's time passes. */
void admission_close(struct admission *a, int64_t dt_us);
/* R7 (a): a tick with the source's stream time to each partition quiet for idle_after, while the source moves. Call
 * before a commit of a live source. */
void admission_tick_quiet(struct admission *a);

bool admission_pending(const struct admission *a, size_t *ret_bytes); /* is there anything to commit? */
void admission_set_note(struct admission *a, struct str key,
                        struct str value);                /* goes with the next batch: a file's own position */
const struct batch *admission_batch(struct admission *a); /* all that is pending; borrowed until committed */
void admission_committed(struct admission *a);            /* it was stored: forget it */

/* For the follower; index of a topic in the position = index in options.topics as long as that has them all. */
struct position *admission_position(struct admission *a);
struct audit *admission_audit(struct admission *a);
void admission_find_holes(struct admission *a, int64_t now_us);
void admission_moved(struct admission *a); /* the position or audit was changed from outside: commit it */
/* For healing: topic index (SIZE_MAX: none), name and identities of a record; false if it cannot be decoded. Borrowed
 * until the next call. */
struct event_name;
struct identity;
bool admission_look(struct admission *a, struct str bytes, size_t *ret_topic, struct event_name *ret_name,
                    int64_t *ret_dt_us, struct identity ids[2], size_t *ret_id_count);
/* Can it be decoded now? If not, err says why. */
bool admission_decodes(struct admission *a, struct str bytes, struct err *err);
bool admission_knows(const struct admission *a, const struct identity *ids, size_t count); /* any of them */
size_t admission_identities_known(struct admission *a); /* names in the table that are known; for tests and metrics */

#endif
