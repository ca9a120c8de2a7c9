/* SPDX-License-Identifier: MIT
 *
 * filter.h - the one filter grammar, used by ingest filters, `where`, `tail`, and later search and the UI.
 *
 *   text                 title, comment or user contains it, upper or lower case   "two words"
 *   field:value          the field's plain text is it       wiki:enwiki   bot:true   user:"A B"   title:null
 *   field:pre*           begins with it      title:Talk*  title:"User talk:"*      field:*  it is there and not null
 *   field:10..20 >5 >=5 <5 <=5 ..20 10..     a 64-bit integer in the range, both ends included
 *   field:/re/ /re/i     a regular expression finds it (PCRE2, bounded; \/ is a slash)
 *   field:a,b*,10..20    one of these
 *   -term  NOT term  a b  a AND b  a OR b  ( ... )          NOT binds closest, then AND, then OR
 *
 * In quotes, \" is a quote, \\ a backslash, and every other character stands for itself. AND, OR, NOT are upper case;
 * in quotes they are words. Fields are dotted paths, or a fact that follows from the event (facts.c): family, language,
 * actor, delta, day (2026-05-05) and hour (0 to 23) in UTC; the fact hides a field of that name. Absent, null, objects
 * and arrays have the plain text null; no prefix, range or regular expression finds it.
 */
#ifndef WIKITALLY_CHANGE_FILTER_H
#define WIKITALLY_CHANGE_FILTER_H

#include "change/change.h"

struct filter;

/* Compiles `text`; needed paths are added to `set` (also when it fails). An empty text matches all. On failure: NULL,
 * err is ERR_REJECT and says "filter, column N: ...", *ret_column (may be NULL) is N: characters, from 1. Bounds: 4 KiB
 * of text, 256 words and values, depth 32, 1 KiB for one regular expression. */
struct filter *filter_compile(struct str text, struct field_set *set, size_t *ret_column, struct err *err);
void filter_free(struct filter *f);
/* One thread at a time per filter (scratch memory inside). `values` as scanned with the same set. A regular expression
 * that needs too many steps or too much memory for a text counts as not found, and in filter_gave_up(). */
bool filter_match(struct filter *f, const struct value *values);
uint64_t filter_gave_up(const struct filter *f);
void filter_print(const struct filter *f, struct buf *out); /* canonical text: equal text = equal filter */

#endif
