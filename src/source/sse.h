/* SPDX-License-Identifier: MIT
 *
 * sse.h - parser of Server-Sent Events, strictly by the HTML standard section 9.2 (private to this room).
 *
 * Push parser: bytes come in whatever pieces the network makes of them; where they are cut changes nothing. One owner,
 * no threads, no I/O. Memory is bounded by max_line_bytes + max_event_bytes: what is longer is skipped to its end and
 * said (`oversize_lines`, `truncated`). Bytes that are not UTF-8 pass unchanged, so that whoever decodes them can
 * refuse them with the original bytes in hand.
 */
#ifndef WIKITALLY_SOURCE_SSE_H
#define WIKITALLY_SOURCE_SSE_H

#include "base/buf.h"

struct sse {
    size_t max_line_bytes;  /* of one line without its end; what is beyond is skipped */
    size_t max_event_bytes; /* of one event's data; what is beyond is skipped */
    struct buf line;        /* a line whose end has not come yet */
    struct buf data;        /* data so far, each line with its LF */
    struct buf type;        /* "" = message */
    struct buf next_id;     /* the id buffer; becomes last_id at a dispatch */
    struct buf last_id;     /* the last event id string: what a browser would send back */
    int64_t retry_ms;       /* the last valid `retry`, at most INT64_MAX; -1: none yet */
    int64_t oversize_lines; /* lines that were longer than the maximum so far */
    uint8_t bom_seen;       /* bytes of a leading byte order mark seen so far; 4: the start is over */
    bool after_cr;          /* the last byte read was a CR: one LF that follows belongs to it */
    bool line_oversize;     /* the rest of this line is being skipped */
    bool truncated;         /* the event being collected lost bytes */
    bool dispatched;        /* `data` and `type` were lent out by the last call */
    bool line_lent;         /* so was `line` (a comment) */
};

enum sse_result {
    SSE_MORE,    /* all input is used up */
    SSE_EVENT,   /* an event */
    SSE_COMMENT, /* a comment line; `data` holds what follows the colon */
};

struct sse_event {
    struct str type; /* "message" unless the stream named another */
    struct str data; /* without the last LF */
    bool truncated;  /* bytes of data are missing: a line or the event was over its maximum */
};

void sse_init(struct sse *s, size_t max_line_bytes, size_t max_event_bytes);
void sse_fini(struct sse *s);
/* Reads from *input, which moves on by what was used. On SSE_EVENT and SSE_COMMENT *ret_event is borrowed until the
 * next call (a comment only as long as the input, too). A block that the end of the stream leaves unfinished is never
 * dispatched: just stop calling. */
enum sse_result sse_next(struct sse *s, struct str *input, struct sse_event *ret_event);

/* Does this look like Server-Sent Events rather than JSON lines? As oracle.md section 1: the first line that is not
 * blank begins with `event:`, `id:`, `data:`, `retry:` or `:`. */
bool sse_looks_like(struct str head);

#endif
