/* SPDX-License-Identifier: MIT
 *
 * dump.h - one record as a line that oracle.py reads (`journal dump`; oracle.md section 1, --enveloped).
 */
#ifndef WIKITALLY_JOURNAL_DUMP_H
#define WIKITALLY_JOURNAL_DUMP_H

#include "base/buf.h"
#include "base/record.h"

/* Appends {"partition":p,"offset":o,"arrival_ms":a,"value":{...}} and LF. is_object: the value is one JSON object that
 * decodes (change/ says so); it goes out as it is, CR and LF in its white space as blanks. Anything else goes out as
 * "value":null,"value_b64":"...". arrival_ms is null where the arrival is unknown. */
void journal_dump_line(struct buf *out, const struct record *r, bool is_object);

#endif
