/* SPDX-License-Identifier: MIT
 *
 * fault.h - seeded faults and failpoints, in test builds only (meson -Dfaults=true). The release build holds neither
 * the calls nor the names.
 *
 *   if (!fault("R3.order") && is_old(...))   a clause of a rule that a test can take away, to prove that a test notices
 *   failpoint("journal.after_append");       a place where a test can have the process killed, or an error returned
 *
 * WIKITALLY_FAULTS="R3.order,R4.pair" switches clauses off. WIKITALLY_FAILPOINT="name:kill@3" kills the process
 * (SIGKILL) the third time the place is reached; "name:error@1" makes failpoint() return true the first time, and from
 * there the caller fails as it would in earnest. Several entries are separated by commas; one that cannot be read ends
 * the process. WIKITALLY_FAILPOINT=list prints the names of all failpoints in the program, one a line, and ends it: a
 * test that goes by this list cannot forget one.
 */
#ifndef WIKITALLY_BASE_FAULT_H
#define WIKITALLY_BASE_FAULT_H

#include <stdbool.h>

#ifdef WIKITALLY_FAULTS
bool fault(const char *name); /* thread-safe; the environment is read once */
/* Thread-safe. The name is a literal: it also goes into a section of names, which the linker makes one list of. */
#define failpoint(name)                                                                                                \
    (__extension__({                                                                                                   \
        static const char *const failpoint_here __attribute__((used, section("wikitally_failpoints"))) = name;         \
        failpoint_reached(failpoint_here);                                                                             \
    }))
bool failpoint_reached(const char *name);
/* Only where the condition holds; a release does not even ask. */
#define failpoint_if(name, condition) ((condition) && failpoint(name))
void fault_reload(void); /* reads the environment again, counts from 0; tests only, while no other thread runs */
#else
#define fault(name) false
#define failpoint(name) false
#define failpoint_if(name, condition) false
#define fault_reload() ((void)0)
#endif

#endif
