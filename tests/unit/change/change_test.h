/* SPDX-License-Identifier: MIT
 *
 * change_test.h - what the tests of this room share: one decoded event, and a clause of a rule taken away.
 */
#ifndef WIKITALLY_TESTS_CHANGE_TEST_H
#define WIKITALLY_TESTS_CHANGE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/fault.h"
#include "base/hash.h"
#include "change/change.h"

#include <stdio.h>
#include <stdlib.h>

/* The core fields and a few more. */
struct event {
    struct field_set *set;
    struct value values[FIELD_MAX];
};

static inline void event_init(struct event *e, const char *const *paths, size_t count)
{
    e->set = field_set_new();
    for (size_t i = 0; i < count; i++) {
        assert_true(field_set_add(e->set, str_of(paths[i]), NULL) >= 0);
    }
}

static inline void event_fini(struct event *e)
{
    field_set_free(e->set);
}

static inline enum dead_reason event_scan(struct event *e, struct str text)
{
    size_t at = 0;
    return change_scan(e->set, text, e->values, &at);
}

/* Of a text that must be good; it must outlive the values. */
static inline void event_read(struct event *e, const char *text)
{
    const enum dead_reason reason = event_scan(e, str_of(text));
    if (reason != DEAD_NONE) {
        fail_msg("%s: %s", dead_reason_name(reason), text);
    }
}

static inline const struct value *event_value(const struct event *e, const char *path)
{
    const int index = field_set_find(e->set, str_of(path));
    assert_true(index >= 0);
    return &e->values[index];
}

/* Asserts that `holds` holds, and no longer when the clause is taken away: else it would prove nothing. */
static inline void assert_clause(bool (*holds)(void), const char *clause)
{
    assert_true(holds());
#ifdef WIKITALLY_FAULTS
    setenv("WIKITALLY_FAULTS", clause, 1);
    fault_reload();
    const bool noticed = !holds();
    unsetenv("WIKITALLY_FAULTS");
    fault_reload();
    if (!noticed) {
        fail_msg("nothing noticed that %s was taken away", clause);
    }
#else
    (void)clause;
#endif
}

static inline uint64_t test_seed(void)
{
    const char *given = getenv("WIKITALLY_SEED");
    const uint64_t seed = given ? strtoull(given, NULL, 0) : hash_random_seed();
    print_message("# seed %llu (WIKITALLY_SEED repeats it)\n", (unsigned long long)seed);
    return seed;
}

#endif
