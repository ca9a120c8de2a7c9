/* SPDX-License-Identifier: MIT
 *
 * memory.h - what tests can do to a memory journal (journal_open_memory) that no journal should suffer. From the thread
 * that appends. Offsets outside of what is there are ignored.
 */
#ifndef WIKITALLY_JOURNAL_MEMORY_H
#define WIKITALLY_JOURNAL_MEMORY_H

#include "journal/journal.h"

/* Offsets in [from, to) are gone: a hole; at the front: retention. */
void journal_memory_lose(struct journal *j, uint32_t partition, int64_t from, int64_t to);
/* The tail from `end` on is lost; the next append takes its offsets. */
void journal_memory_cut(struct journal *j, uint32_t partition, int64_t end);
/* Reading this offset fails as a corrupt batch does. */
void journal_memory_corrupt(struct journal *j, uint32_t partition, int64_t offset);
/* Another journal, empty: new id, seed, creation time; the epoch begins at 0 again. */
void journal_memory_replace(struct journal *j, uint32_t partitions);
void journal_memory_partitions(struct journal *j, uint32_t partitions); /* more of them */
void journal_memory_adopt(struct journal *j);                           /* epoch + 1 */

#endif
