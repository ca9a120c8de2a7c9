/* SPDX-License-Identifier: MIT
 *
 * out.h - what a command prints: rows of named columns in the format that -o asks for (ux.md section 6).
 *
 * table: aligned, for people; untrusted text made printable, long cells cut (they end in "..."), widths from the first
 * 1,000 rows. tsv, csv, json, jsonl: exact values; `-` (tsv), empty (csv) or null (json) where there is none. In tsv,
 * tab, CR, LF and backslash inside a text become \t \r \n \\ unless the column is bare (a number, or JSON text, which
 * cannot hold them). raw: the cells of the first column, nothing else. Data goes to standard output, all else to
 * standard error. A closed pipe ends the program quietly.
 */
#ifndef WIKITALLY_CLI_OUT_H
#define WIKITALLY_CLI_OUT_H

#include "base/buf.h"

enum out_format { OUT_TABLE, OUT_TSV, OUT_CSV, OUT_JSON, OUT_JSONL, OUT_RAW };

struct out_column {
    const char *name;
    bool bare; /* goes into JSON as it is: a number, true, or JSON text of its own */
};

enum { OUT_COLUMNS_MAX = 64, OUT_TABLE_ROWS = 1000 };

struct out {
    enum out_format format;
    const char *columns; /* --columns a,b: these, in this order; NULL: all */
    bool no_header;
    bool whole; /* a table's cells are sentences of ours, not strangers' titles: none is cut */
    char end;   /* row end: '\n', or 0 with -0 */
    /* private */
    const struct out_column *declared;
    size_t declared_count;
    int order[OUT_COLUMNS_MAX];
    size_t order_count;
    struct buf cells; /* of the row being made, NUL between them is not used: see ends */
    size_t ends[OUT_COLUMNS_MAX];
    bool none[OUT_COLUMNS_MAX];
    size_t filled;
    struct buf held; /* table format: rows waiting for the widths */
    size_t held_rows;
    size_t widths[OUT_COLUMNS_MAX];
    bool widths_known;
    size_t rows; /* printed so far */
    struct buf line;
};

struct err;
/* Unknown names in `columns` are ERR_REJECT/EXIT_USAGE. `columns` must outlive the printing. */
int out_begin(struct out *o, const struct out_column *columns, size_t count, struct err *err);
/* One cell after the other, in declared order. */
void out_text(struct out *o, struct str s);
void out_z(struct out *o, const char *z); /* NULL: none */
void out_int(struct out *o, int64_t n);
void out_time(struct out *o, int64_t us); /* RFC 3339, TIME_NONE: none */
void out_none(struct out *o);
void out_row(struct out *o); /* after the last cell */
void out_end(struct out *o);

/* Plain text to standard output; ends the program quietly when the pipe is closed. */
void out_write(struct str s);
/* What was written so far is handed to the system. If that fails the program ends: quietly with EXIT_DONE for a closed
 * pipe, with EXIT_IOERR and a line that says so for all else (out_write and out_end as well). */
void out_flush(void);
void out_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
