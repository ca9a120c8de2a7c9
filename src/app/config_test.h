/* SPDX-License-Identifier: MIT
 *
 * config_test.h - event-time tests that stand in the configuration, and the engine that runs them (`config test`).
 *
 *   tests:
 *     - name: a late edit amends its window
 *       aggregation: user_edit_counts
 *       steps:
 *         - at: 12:00:05                     # the clock: what arrives from here on arrives then
 *         - event: {user: Ann}               # a change of that second; any field may be given
 *         - wait: 3m
 *         - event: {user: Bob, timestamp: 12:00:10}
 *         - expect:                          # all rows of the aggregation, in any order; columns not named are not
 * compared
 *             - {window: 12:00:00, user_name: Ann, edit_count: 1, state: final}
 *         - ledger: {counted: 2, late: 0}    # totals; buckets not named are not compared
 *
 * Steps: at TIME, wait DURATION, event FIELDS, canary, tick, restart, expect ROWS, ledger BUCKETS. A time is a time of
 * day (of 2026-06-01) or RFC 3339; the clock never goes back, nor comes to the year 9999. Each test has a journal and a
 * sink of its own, in memory, and one partition. Events go into the journal as they stand: what the source does before
 * (duplicates, ingest.filter) is no part of it. What was read is committed as the clock passes task.commit_every, and
 * at expect and ledger; `restart` loses the rest from memory, as a crash does. An event has, unless it says otherwise:
 * timestamp = the clock, meta.dt = the clock, a new meta.id and id, type edit, wiki enwiki, server_name
 * en.wikipedia.org, namespace 0, title "Page", user "Someone", bot false. "null" as a value: JSON null; "absent" (not
 * quoted): the field is left out. Rows have besides their columns: window, window_end, state (open, final, torn),
 * revision, key. `arrives: TIME` beside the fields sets its arrival; it is no field.
 */
#ifndef WIKITALLY_APP_CONFIG_TEST_H
#define WIKITALLY_APP_CONFIG_TEST_H

#include "app/config.h"

enum test_step_kind {
    STEP_AT,
    STEP_WAIT,
    STEP_EVENT,
    STEP_CANARY,
    STEP_TICK,
    STEP_RESTART,
    STEP_EXPECT,
    STEP_LEDGER,
};

struct test_cell {
    struct str column; /* a column's name, or window, window_end, state, revision */
    struct str value;  /* as text: NULL is "null" */
};
struct test_row {
    size_t line;
    const struct test_cell *cells;
    size_t cell_count;
};

enum { TEST_FIELDS_MAX = 64 };
struct test_field {
    struct str path; /* "user", "meta.dt" */
    struct str json; /* ptr NULL: the field is left out */
};

struct test_step {
    enum test_step_kind kind;
    size_t line;
    int64_t time_us;                 /* AT: the time; WAIT: how long; EVENT: its arrival, or TIME_NONE = the clock */
    const struct test_field *fields; /* EVENT, CANARY: what was given, over the defaults */
    size_t field_count;
    const struct test_row *rows; /* EXPECT: as many as there must be; LEDGER: one, cells are buckets */
    size_t row_count;
};

struct config_test {
    const char *name, *aggregation, *file;
    size_t line, column;
    const struct test_step *steps;
    size_t step_count;
};

/* Runs all tests of the configuration. `report` gets a line for each, and below a failed one what was expected and what
 * was there instead. ERR_NONE: they could be run (*ret_failed says how it ended); else the text names file and line. */
enum err_class config_test_run(const struct config *c, struct buf *report, size_t *ret_passed, size_t *ret_failed,
                               struct err *err);

#endif
