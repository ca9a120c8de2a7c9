/* SPDX-License-Identifier: MIT
 *
 * sandbox_calls.h - the part of sandbox.h that seccomp keeps; called by sandbox.c alone.
 */
#ifndef WIKITALLY_BASE_SANDBOX_CALLS_H
#define WIKITALLY_BASE_SANDBOX_CALLS_H

#include "base/err.h"

#include <stddef.h>

/* Allows the system calls on the list and no other, for all threads and for good. A kernel without it: *ret_on false,
 * why in `missing`. */
enum err_class sandbox_calls(bool *ret_on, char *missing, size_t missing_bytes, struct err *err);

#endif
