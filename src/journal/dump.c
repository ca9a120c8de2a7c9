/* SPDX-License-Identifier: MIT
 *
 * dump.c - records as lines of JSON. In a text that decodes, CR and LF can only be white space between tokens: inside
 * strings they are escaped. So a blank in their place changes nothing, and a record is one line.
 */
#include "journal/dump.h"
#include "base/clock.h"

static void add_flat(struct buf *out, struct str value)
{
    char *to = buf_reserve(out, value.len);
    if (to == NULL) {
        return;
    }
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];
        to[i] = c == '\r' || c == '\n' ? ' ' : c;
    }
    out->len += value.len;
}

void journal_dump_line(struct buf *out, const struct record *r, bool is_object)
{
    buf_addz(out, "{\"partition\":");
    buf_add_int(out, r->partition);
    buf_addz(out, ",\"offset\":");
    buf_add_int(out, r->offset);
    buf_addz(out, ",\"arrival_ms\":");
    if (r->arrival_us == TIME_NONE) {
        buf_addz(out, "null");
    } else {
        buf_add_int(out, floor_div(r->arrival_us, US_PER_MS));
    }
    if (is_object) {
        buf_addz(out, ",\"value\":");
        add_flat(out, r->value);
        buf_addz(out, "}\n");
    } else {
        buf_addz(out, ",\"value\":null,\"value_b64\":\"");
        buf_add_base64(out, r->value);
        buf_addz(out, "\"}\n");
    }
}
