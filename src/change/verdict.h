/* SPDX-License-Identifier: MIT
 *
 * verdict.h - why a text that the scanner refused is a dead letter. Private to this room.
 */
#ifndef WIKITALLY_CHANGE_VERDICT_H
#define WIKITALLY_CHANGE_VERDICT_H

#include "change/change.h"

/* The first reason of oracle.md section 2 that applies to a text that cannot be decoded, and its byte. */
enum dead_reason scan_verdict(struct str text, size_t stopped_at, size_t *ret_at);

#endif
