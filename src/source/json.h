/* SPDX-License-Identifier: MIT
 *
 * json.h - reading back the notes that this room wrote: a cursor over JSON text. Private to this room. Not for foreign
 * text (change_scan is): it accepts more than JSON, but it never reads beyond the end, never recurses more than 16 deep
 * and sets `bad` at the first thing it does not understand; from then on everything is empty.
 */
#ifndef WIKITALLY_SOURCE_JSON_H
#define WIKITALLY_SOURCE_JSON_H

#include "base/clock.h"

struct json {
    const char *at, *end;
    bool bad;
};

struct json json_of(struct str text);
void json_open(struct json *j, char bracket);          /* '{' or '[': must come next */
bool json_more(struct json *j, char bracket);          /* another item before '}' or ']'? If not, it is passed over */
int64_t json_int(struct json *j);                      /* null: TIME_NONE */
void json_text(struct json *j, char *out, size_t max); /* NUL-terminated, cut to max - 1 bytes; null: "" */
void json_key(struct json *j, char *out, size_t max);  /* the same, and the colon */
void json_skip(struct json *j);                        /* any value */

void json_add_time(struct buf *b, int64_t us); /* writes the number, or null for TIME_NONE */

#endif
