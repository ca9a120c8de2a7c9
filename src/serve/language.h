/* SPDX-License-Identifier: MIT
 *
 * language.h - how a wiki's titles are to be marked up: language tag and writing direction.
 */
#ifndef WIKITALLY_SERVE_LANGUAGE_H
#define WIKITALLY_SERVE_LANGUAGE_H

#include "base/str.h"

/* server_name: "he.wikipedia.org". *ret_tag: a valid BCP 47 tag, or "" where a wiki has many languages or none that has
 * a tag; at most `size` bytes. -> "ltr", "rtl", or "auto" where there is no language. Untrusted input: what is not
 * lower-case letters, digits and hyphens gives "" and "auto". */
const char *language_of_wiki(struct str server_name, char *tag, size_t size);

#endif
