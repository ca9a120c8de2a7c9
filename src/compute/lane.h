/* SPDX-License-Identifier: MIT
 *
 * lane.h - one aggregation on one journal partition in one process (R5-R10, R12): stream time, windows, rows, ledger.
 * The model is class Lane of tests/oracle/recovery_model.py; the words are the same. All of it but its line is lost in
 * a crash and rebuilt by reading again from line.replay_from. One thread, no I/O, no clock.
 */
#ifndef WIKITALLY_COMPUTE_LANE_H
#define WIKITALLY_COMPUTE_LANE_H

#include "base/arena.h"
#include "compute/aggregation.h"

/* A record decoded once for all lanes of a task. What stands from `identity` on is worked out once here because every
 * lane needs it. */
struct decoded {
    const struct record *record;
    enum dead_reason dead; /* of the scan; DEAD_NONE: values are good */
    enum change_kind kind;
    const struct value *values; /* of the task's field set */
    size_t dead_at;             /* byte at which the scan gave up */
    uint64_t identity;          /* record_identity; 0 where a lane is not asked for it */
    enum dead_reason time_dead; /* change_time by FIELD_TIMESTAMP */
    int64_t time_us;
    int64_t known_us; /* R5: the earlier of its arrival and, for a change, its valid meta.dt; TIME_NONE: neither */
};
/* Scans and classifies; values must hold field_set_count entries. */
void decode_record(const struct field_set *set, const struct record *r, struct value *values,
                   struct decoded *ret_decoded);
/* The same for a record that can be decoded, with what change_scan found in it, in a set that begins with the fields
 * that the aggregations were made with. Its identity is made if `identify`: a line holds that of the last record before
 * the commit, and to make it takes a look at every byte. */
void decode_scanned(const struct record *r, const struct value *values, bool identify, struct decoded *ret_decoded);
/* The event time of a decoded record by a time field of the set, and why it is dead for it. */
enum dead_reason decoded_time(const struct decoded *d, size_t time_field, int64_t *ret_us);

struct lane;
/* `line`: where to go on (copied). `seed`: of sketches, stored with the journal. */
struct lane *lane_new(const struct aggregation *a, size_t index, int64_t generation, int64_t epoch, uint32_t partition,
                      const struct task_line *line, uint64_t seed);
void lane_free(struct lane *l);

int64_t lane_next(const struct lane *l); /* next offset it wants: feed() it the first record at or after this */
int64_t
lane_position(const struct lane *l); /* what is committed; while next < position it is rebuilding and may not commit */
/* Records must come in order; a jump is a hole (R10). A record before lane_next() is skipped. ERR_FATAL: a sum beyond
 * 64 bits; the lane is of no use then, for a record may be counted in half of its windows. *ret_dead: DEAD_NONE, or why
 * this record is dead for this aggregation and new (>= position): the task writes one dead letter per record. */
enum err_class lane_feed(struct lane *l, const struct decoded *d, enum dead_reason *ret_dead, struct err *err);
/* R12: the journal holds nothing from lane_next() to its end: that is booked as a gap now, for a next record may never
 * come. now_us: no earlier than any of them can have arrived. */
void lane_hole_at_end(struct lane *l, int64_t end, int64_t now_us);

bool lane_dirty(const struct lane *l); /* anything that a commit would take */
/* Takes out of the lane what is to be committed; all of it in arena, so that the lane may go on while it is stored, and
 * another commit be taken. False: nothing to commit (nothing read, or still rebuilding). */
bool lane_commit(struct lane *l, struct arena *arena, struct lane_commit *ret_commit);
/* It was stored; in the order in which they were taken. If one cannot be stored, the lane is of no use any more. */
void lane_committed(struct lane *l, const struct lane_commit *commit);

/* What a commit takes or may wait for: rows changed since the last, and how much memory all windows hold. */
size_t lane_dirty_rows(const struct lane *l);
enum { LANE_SKETCH_ROWS = 16 }; /* a row with a sketch counts as so many: it is kilobytes, and a commit copies it */

/* For `explain`, metrics and the live view. */
struct lane_state {
    int64_t stream_us, watermark_us; /* TIME_NONE before the first */
    int64_t open_windows, keys;      /* windows that may still change; keys in all of them */
    int64_t position, replay_from;   /* of the line as stored: what a restart begins with (R10) */
    int64_t next;
    int64_t arrival_us; /* highest so far, or TIME_NONE */
    int64_t bytes;      /* of memory that windows hold, about */
    /* Of records fed at or after the position that lane_new was given. pairs: (record, window). */
    int64_t late, amended, pairs_counted, pairs_late, other;
};
void lane_state(const struct lane *l, struct lane_state *ret_state);

#endif
