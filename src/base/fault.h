/* SPDX-License-Identifier: MIT
 *
 * fault.h - seeded faults and failpoints, in test builds only (meson -Dfaults=true). The release build holds neither
 * the calls nor the names.
 *
 *   if (!fault("R3.order") && is_old(...))   a clause of a rule that a test can take away, to prove that a test notices
 *   failpoint("journal.after_append");       a place where a test can have the process killed, or an error returned
 *
 * WIKITALLY_FAULTS="R3.order,R4.pair" switches clauses off. WIKITALLY_FAILPOINT="name:kill@3" kills the process
 * (SIGKILL) the third time the place is reached; "name:after@3" lets it pass there and kills it at the next failpoint
 * of any name; "name:error@1" makes failpoint() return true the first time, and from there the caller fails as it would
 * in earnest; these two say so on standard error. Several entries are separated by commas; one that cannot be read ends
 * the process. `wikitally
 * --list-failpoints` prints the names of all failpoints in the program, one a line: a test that goes by this list
 * cannot forget one.
 */
#ifndef WIKITALLY_BASE_FAULT_H
#define WIKITALLY_BASE_FAULT_H

#include "base/err.h"

#ifdef WIKITALLY_FAULTS
bool fault(const char *name); /* thread-safe; the environment is read once */
/* Thread-safe. The name is a literal: it also goes into a section of names, which the linker makes one list of. */
#define failpoint(name)                                                                                                \
    (__extension__({                                                                                                   \
        static const char *const failpoint_here __attribute__((used, section("wikitally_failpoints"))) = name;         \
        failpoint_reached(failpoint_here);                                                                             \
    }))
bool failpoint_reached(const char *name);
/* The same where only an error can come back: ERR_NONE, or what a failing disk says (ERR_FATAL, EXIT_IOERR). */
#define failpoint_err(name, err) (failpoint(name) ? failpoint_error(name, err) : ERR_NONE)
enum err_class failpoint_error(const char *name, struct err *err);
/* Only where the condition holds; a release does not even ask. */
#define failpoint_if(name, condition) ((condition) && failpoint(name))
bool failpoint_list(const char *flag); /* prints the names if it is --list-failpoints */
void fault_reload(void); /* reads the environment again, counts from 0; tests only, while no other thread runs */
#else
#define fault(name) false
#define failpoint(name) false
#define failpoint_err(name, err) ERR_NONE
#define failpoint_if(name, condition) false
#define failpoint_list(flag) false
#define fault_reload() ((void)0)
#endif

#endif
