/* SPDX-License-Identifier: MIT
 *
 * result.h - what a task hands to its sink: rows, its position ("line"), its ledger, in one atomic unit (R8, R10-R12,
 * R15). The same words as tests/oracle/recovery_model.py: Line, Time, Row, Generation.
 */
#ifndef WIKITALLY_BASE_RESULT_H
#define WIKITALLY_BASE_RESULT_H

#include "base/record.h"

#define WINDOW_ALL INT64_MIN  /* first_window: every window is ours (the model's NEVER) */
#define WINDOW_EVER INT64_MAX /* torn: to the end of time */

enum column_type { COLUMN_TEXT, COLUMN_INT, COLUMN_BOOL };

struct column {
    const char *name;  /* SQL name: user_name, edit_count; [a-z_][a-z0-9_]*, at most 48 bytes */
    const char *label; /* a key's field path ("meta.domain") or a measure as declared ("count", "sum(length.new)") */
    enum column_type type;
    bool sketch; /* measures: a sketch is stored beside the value, in column NAME_sketch */
};

/* One aggregation as a sink sees it. Owned by whoever declared it; outlives every user. */
struct result_schema {
    const char *name; /* aggregation name, a valid table name like a column name */
    const struct column *keys;
    size_t key_count;
    const struct column *measures;
    size_t measure_count;
    int64_t size_us, slide_us;
    const char *definition;   /* canonical text of all that R15 hashes: one "name = value" per line */
    uint64_t definition_hash; /* of that text, fixed seed */
};

enum cell_kind { CELL_NULL, CELL_INT, CELL_TEXT, CELL_BOOL };
struct cell {
    enum cell_kind kind;
    int64_t number;  /* CELL_INT, CELL_BOOL */
    struct str text; /* CELL_TEXT: UTF-8, may hold NUL */
};

/* An absolute value (R8): the sink keeps the highest (epoch, revision, final). */
struct result_row {
    int64_t window_start_us, window_end_us;
    struct str key;              /* canonical JSON array (oracle.md section 6), or "(other)" */
    const struct cell *keys;     /* key_count cells; all NULL for (other) */
    const struct cell *measures; /* measure_count cells */
    const struct str *sketches;  /* measure_count; empty where there is none */
    int64_t revision;            /* offset of the last record that changed the row */
    bool final;
    int64_t closed_by; /* offset of the record that closed the window, or -1 while open */
};

struct time_state {    /* all that stream time depends on (R5, R10) */
    int64_t stream_us; /* TIME_NONE before the first */
    bool change_seen;
    struct str topic; /* meta.topic of the latest change that had one; ptr NULL: none */
};

struct offset_span {
    int64_t from, to;
}; /* [from, to) */

/* What is stored per (aggregation, generation, partition); moved as a whole by compare-and-set on `version`. */
struct task_line {
    int64_t position; /* next offset to process */
    bool has_last;
    uint64_t last;            /* record_identity of the record before position, if has_last */
    struct time_state now;    /* at position */
    int64_t arrival_us;       /* highest arrival so far, or TIME_NONE */
    int64_t replay_from;      /* offset of the earliest record of any window that may still change, else position */
    struct time_state before; /* just before replay_from */
    int64_t first_window_us;  /* earlier windows are kept as they are; WINDOW_ALL */
    const struct offset_span *gaps; /* holes in [replay_from, position) that were never read, booked already */
    size_t gap_count;               /* at most 1,000; beyond that neighbours are merged */
    int64_t version;                /* 0: nothing stored yet; the sink adds one with each commit */
};

struct torn_span {
    int64_t from_us, to_us;
}; /* windows that start in [from, to] may lack records */
struct mark {
    int64_t offset;
    int64_t arrival_minute;
    struct time_state before;
}; /* R12: first record of an arrival-minute */

/* One lane's share of a commit. */
struct lane_commit {
    size_t aggregation; /* index in the schemas given to sink prepare */
    int64_t generation;
    uint32_t partition;
    int64_t epoch;         /* of this generation: stands above the revisions */
    int64_t old_version;   /* compare-and-set: what the stored line must have */
    struct task_line line; /* the new one */
    /* Each (window, key) once. A lane gives them by window and key, so that a B-tree is written from left to right,
     * which takes half of the time; no sink may rely on that. */
    const struct result_row *rows;
    size_t row_count;
    const struct tally_row *tally; /* bucket: enum task_bucket */
    size_t tally_count;
    const struct torn_span *torn;
    size_t torn_count;
    const struct mark *marks;
    size_t mark_count;
    bool show; /* readers switch to this generation with this commit */
};

struct task_commit {
    const struct lane_commit *lanes;
    size_t lane_count;
    const struct dead_letter *dead; /* new ones only, each once */
    size_t dead_count;
    int64_t wall_us; /* created_at of first inserts; no part of any diff */
};

/* A definition of an aggregation, from some offset of some journal on (R15). */
struct generation_begin {
    int64_t position; /* where its line begins */
    bool has_last;
    uint64_t last;
    int64_t arrival_us;
    int64_t target; /* readers switch when its line has passed this; 0: at once */
};
struct generation {
    int64_t number; /* from 0 */
    struct str definition;
    uint64_t definition_hash;
    struct str journal_id;
    int64_t epoch;
    int64_t base;                          /* number of the generation shown before it, -1: none */
    int64_t first_window_us;               /* the first window it shows; WINDOW_ALL */
    const struct generation_begin *begins; /* by partition; beyond begin_count: {0} = earliest */
    size_t begin_count;
};

#endif
