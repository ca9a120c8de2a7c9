/* SPDX-License-Identifier: MIT
 *
 * scan.h - the scanner's quick way alone, for tests: what it does not accept is read again, so whether it accepts what
 * it should cannot be seen from change_scan(). Private to this room.
 */
#ifndef WIKITALLY_CHANGE_SCAN_H
#define WIKITALLY_CHANGE_SCAN_H

#include "change/change.h"

/* -> true: the text is an event, and the values that it has are filled. It is accepted if the kernel in use approves of
 * it (index.h), if it has INDEX_TEXT_MIN to INDEX_TEXT_MAX bytes and ends with '}'. false: nothing is said, and values
 * are undefined. */
bool scan_quickly(struct str text, const struct field_set *set, struct value *values);

#endif
