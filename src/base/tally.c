/* SPDX-License-Identifier: MIT
 *
 * tally.c - counts by minute and bucket. Few rows: found by looking through them; many (a file whose times jump): by a
 * hash table. Nearly every record repeats the row that its bucket hit last.
 */
#include "base/tally.h"

#include "base/err.h"
#include "base/hash.h"

#include <stdlib.h>

enum { FEW_ROWS = 16, LAST_BUCKETS = 8 };

void tally_fini(struct tally *t)
{
    free(t->rows);
    free(t->slots);
    *t = (struct tally){0};
}

void tally_clear(struct tally *t)
{
    free(t->slots);
    t->slots = NULL;
    t->slot_count = 0;
    t->count = 0;
}

static bool row_is(const struct tally_row *row, enum tally_by by, int64_t minute, uint8_t bucket)
{
    return row->minute == minute && row->bucket == bucket && row->by == by;
}

static size_t row_slot(const struct tally *t, enum tally_by by, int64_t minute, uint8_t bucket)
{
    uint64_t key = ((uint64_t)minute << 9 ^ (uint64_t)bucket << 1 ^ (uint64_t)by) + hash_process_seed();
    key = (key ^ key >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return (size_t)(key ^ key >> 32) & (t->slot_count - 1);
}

static void slot_insert(struct tally *t, size_t index)
{
    const struct tally_row *row = &t->rows[index];
    size_t at = row_slot(t, row->by, row->minute, row->bucket);
    while (t->slots[at]) {
        at = (at + 1) & (t->slot_count - 1);
    }
    t->slots[at] = (uint32_t)index + 1;
}

static void slots_rebuild(struct tally *t, size_t slot_count)
{
    free(t->slots);
    t->slots = xcalloc(slot_count, sizeof *t->slots);
    t->slot_count = slot_count;
    for (size_t i = 0; i < t->count; i++) {
        slot_insert(t, i);
    }
}

/* -> index, or t->count if there is no such row. */
static size_t row_find(const struct tally *t, enum tally_by by, int64_t minute, uint8_t bucket)
{
    if (!t->slots) {
        size_t i = 0;
        while (i < t->count && !row_is(&t->rows[i], by, minute, bucket)) {
            i++;
        }
        return i;
    }
    size_t at = row_slot(t, by, minute, bucket);
    while (t->slots[at]) {
        if (row_is(&t->rows[t->slots[at] - 1], by, minute, bucket)) {
            return t->slots[at] - 1;
        }
        at = (at + 1) & (t->slot_count - 1);
    }
    return t->count;
}

static void row_append(struct tally *t, struct tally_row row)
{
    ensure(t->count < UINT32_MAX - 1);
    if (t->count == t->cap) {
        t->cap = t->cap ? t->cap * 2 : FEW_ROWS;
        t->rows = xrealloc(t->rows, t->cap * sizeof *t->rows);
    }
    t->rows[t->count++] = row;
    if (t->count > FEW_ROWS && t->count * 2 > t->slot_count) {
        slots_rebuild(t, t->slot_count ? t->slot_count * 2 : FEW_ROWS * 4);
    } else if (t->slots) {
        slot_insert(t, t->count - 1);
    }
}

void tally_add(struct tally *t, enum tally_by by, int64_t minute, uint8_t bucket, int64_t count)
{
    uint32_t *last = &t->last[by][bucket % LAST_BUCKETS];
    if (*last < t->count && row_is(&t->rows[*last], by, minute, bucket)) {
        t->rows[*last].count += count;
        return;
    }
    size_t at = row_find(t, by, minute, bucket);
    if (at == t->count) {
        row_append(t, (struct tally_row){.by = by, .minute = minute, .bucket = bucket});
    }
    t->rows[at].count += count;
    *last = (uint32_t)at;
}

int64_t tally_get(const struct tally *t, enum tally_by by, int64_t minute, uint8_t bucket)
{
    size_t at = row_find(t, by, minute, bucket);
    return at == t->count ? 0 : t->rows[at].count;
}

/* The row hit last in this bucket, if its minute is surely that of the time: no division then. */
static inline struct tally_row *row_again(struct tally *t, enum tally_by by, uint8_t bucket, int64_t time_us,
                                          int64_t clock_us, int64_t skew_us)
{
    uint32_t last = t->last[by][bucket % LAST_BUCKETS];
    if (last >= t->count || clock_us == TIME_NONE) {
        return NULL;
    }
    struct tally_row *row = &t->rows[last];
    if (row->minute < 0 || /* TALLY_NO_TIME, TALLY_OLDER; TALLY_AHEAD is above all times */
        row->minute > TIME_END / US_PER_MINUTE || row->bucket != bucket || row->by != by) {
        return NULL;
    }
    int64_t first_us = row->minute * US_PER_MINUTE;
    bool here = time_us >= first_us && time_us < first_us + US_PER_MINUTE && time_us <= clock_us + skew_us &&
                clock_us - first_us < TALLY_KEEP_MINUTES * US_PER_MINUTE;
    return here ? row : NULL;
}

void tally_book(struct tally *t, uint8_t bucket, int64_t event_us, int64_t arrival_us, int64_t clock_us,
                int64_t skew_us)
{
    struct tally_row *event = row_again(t, TALLY_EVENT, bucket, event_us, clock_us, skew_us);
    if (event) {
        event->count++;
    } else {
        tally_add(t, TALLY_EVENT, tally_minute(event_us, clock_us, skew_us), bucket, 1);
    }
    struct tally_row *arrival = row_again(t, TALLY_ARRIVAL, bucket, arrival_us, clock_us, skew_us);
    if (arrival) {
        arrival->count++;
    } else {
        tally_add(t, TALLY_ARRIVAL, tally_minute(arrival_us, clock_us, skew_us), bucket, 1);
    }
}

int64_t tally_first_minute(int64_t clock_us)
{
    return floor_div(clock_us - TALLY_KEEP_MINUTES * US_PER_MINUTE, US_PER_MINUTE);
}

int64_t tally_minute(int64_t time_us, int64_t clock_us, int64_t skew_us)
{
    if (time_us == TIME_NONE) {
        return TALLY_NO_TIME;
    }
    int64_t minute = floor_div(time_us, US_PER_MINUTE);
    if (clock_us == TIME_NONE) {
        return minute;
    }
    if (time_us > clock_us + skew_us) {
        return TALLY_AHEAD;
    }
    return minute < tally_first_minute(clock_us) ? TALLY_OLDER : minute;
}

void tally_fold(struct tally *t, int64_t clock_us)
{
    if (clock_us == TIME_NONE) {
        return;
    }
    int64_t first = tally_first_minute(clock_us);
    struct tally old = *t;
    *t = (struct tally){0};
    for (size_t i = 0; i < old.count; i++) {
        const struct tally_row *row = &old.rows[i];
        bool special = row->minute == TALLY_NO_TIME || row->minute == TALLY_OLDER || row->minute == TALLY_AHEAD;
        tally_add(t, row->by, special || row->minute >= first ? row->minute : TALLY_OLDER, row->bucket, row->count);
    }
    tally_fini(&old);
}
