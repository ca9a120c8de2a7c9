/* SPDX-License-Identifier: MIT
 *
 * kafka_spool.h - batches that wait for a broker that is away: a file, spool.db in the data directory, in their order
 * (private to this room). Each is durable on return. It only spares the source's server a second question: what is in
 * it lies behind the position that the topic holds, so it may always be thrown away.
 *
 * Owned by the journal's writer, of its thread. Holds at most max_bytes; beyond that a put is refused (ERR_RETRY), and
 * the source waits.
 */
#ifndef WIKITALLY_JOURNAL_KAFKA_SPOOL_H
#define WIKITALLY_JOURNAL_KAFKA_SPOOL_H

#include "base/arena.h"
#include "base/err.h"
#include "base/record.h"

struct kafka_spool;
/* Opens the file if there is one; else it is made by the first put. */
enum err_class kafka_spool_open(const char *directory, int64_t max_bytes, struct kafka_spool **ret_spool,
                                struct err *err);
void kafka_spool_close(struct kafka_spool *s); /* NULL is fine */
size_t kafka_spool_count(const struct kafka_spool *s);

/* `number`: of the transaction that it will be; `owner`: who wrote the one before the first that waits. */
enum err_class kafka_spool_put(struct kafka_spool *s, int64_t number, const char *owner, const struct batch *batch,
                               struct err *err);
struct spooled {
    int64_t number;
    const char *owner;
    struct batch batch;
};
/* The oldest, in arena. There must be one. EXIT_DATA: damaged. */
enum err_class kafka_spool_first(struct kafka_spool *s, struct arena *arena, struct spooled *ret, struct err *err);
enum err_class kafka_spool_drop(struct kafka_spool *s, struct err *err);    /* the oldest */
enum err_class kafka_spool_discard(struct kafka_spool *s, struct err *err); /* all */

/* The form of a batch in the file; for tests. False: damaged, or not understood. */
void spool_pack(const struct batch *batch, struct buf *out);
bool spool_unpack(struct str packed, struct arena *arena, struct batch *ret_batch);

#endif
