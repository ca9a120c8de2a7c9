/* SPDX-License-Identifier: MIT
 *
 * filter.h - the one filter grammar, used by ingest filters, `where`, `tail`, and later search and the UI.
 *
 *   text                 words of title, comment or user (case-insensitive substring of each)   "two words"
 *   field:value          the field's plain text equals it       wiki:enwiki   bot:true   user:"A B"   title:null
 *   field:a,b,c          one of these            type:edit,new
 *   field:pre*           begins with             title:Talk*
 *   field:10..20 >5 >=5 <5 <=5 ..20 10..         64-bit integers, inclusive range
 *   field:/re/ /re/i     regular expression (PCRE2, bounded)
 *   -term  NOT term  a b  a AND b  a OR b  ( ... )
 * Fields are dotted paths or the derived ones: family, language, actor, delta. Errors point at the column.
 */
#ifndef WIKITALLY_CHANGE_FILTER_H
#define WIKITALLY_CHANGE_FILTER_H

#include "change/change.h"

struct filter;

/* Compiles `text`; needed paths are added to `set`. An empty text matches all. On failure: NULL, err names the column
 * (from 1), *ret_column (may be NULL) is it. Bounds: 4 KiB of text, 256 terms, depth 32, regex 1 KiB with match and
 * depth limits. */
struct filter *filter_compile(struct str text, struct field_set *set, size_t *ret_column, struct err *err);
void filter_free(struct filter *f);
/* One thread at a time per filter (scratch memory inside). `values` as scanned with the same set. */
bool filter_match(struct filter *f, const struct value *values);
void filter_print(const struct filter *f, struct buf *out); /* canonical text: equal text = equal filter */

#endif
