/* SPDX-License-Identifier: MIT
 *
 * fuzz.h - the two functions of a fuzz target, as libFuzzer and replay.c call them.
 *
 * A target is tests/fuzz/fuzz_NAME.c with a LLVMFuzzerTestOneInput that ends the process (ensure) at anything that must
 * not be, and a folder corpus/NAME. Inputs: replay.c runs them all in every test run; `meson setup -Dfuzz=true` with
 * clang builds the fuzzer itself.
 */
#ifndef WIKITALLY_TESTS_FUZZ_H
#define WIKITALLY_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);            /* optional; once, before the first input */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size); /* 0 */

#endif
