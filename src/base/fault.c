/* SPDX-License-Identifier: MIT
 *
 * fault.c - seeded faults and failpoints of test builds. The two variables are cut into entries once; most processes
 * have none, and then both functions are one test of a count.
 */
#include "base/fault.h"

#include "base/str.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ENTRIES_MAX = 64 };

enum action { ACTION_KILL, ACTION_AFTER, ACTION_ERROR, ACTIONS };
static const char *const action_names[ACTIONS] = {"kill", "after", "error"};

struct failure {
    struct str name;
    enum action action;
    int64_t at;           /* fails when it is reached for the at-th time */
    _Atomic int64_t seen; /* how often it was reached */
};

static struct str faults[ENTRIES_MAX];
static size_t fault_count;
static struct failure failures[ENTRIES_MAX];
static size_t failure_count;
static atomic_bool next_kills; /* an "after" was passed */
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* A typing mistake in a test must not look like a test that passes. */
static void refuse(const char *variable, struct str entry)
{
    fprintf(stderr, "wikitally: %s: cannot use \"%.*s\"\n", variable, STR_ARG(entry));
    _exit(EXIT_USAGE);
}

/* "name:kill@3", "name:after@3", "name:error@1" */
static bool failure_parse(struct str entry, struct failure *ret)
{
    struct str name, action;
    if (!str_split(&entry, ':', &name) || !str_split(&entry, '@', &action) || !str_to_int64(entry, &ret->at)) {
        return false;
    }
    ret->name = name;
    for (ret->action = ACTION_KILL; ret->action < ACTIONS && !str_eqz(action, action_names[ret->action]);) {
        ret->action++;
    }
    return ret->at >= 1 && name.len > 0 && ret->action < ACTIONS;
}

/* The entries point into copies, which stay reachable for the life of the process. */
static struct str variable_copy(const char *name, char **kept)
{
    struct str text = str_of(getenv(name));
    free(*kept);
    *kept = str_dup(text);
    return str_n(*kept, text.len);
}

/* Made by the linker; not there in a program without a failpoint. */
extern const char *const __start_wikitally_failpoints[] __attribute__((weak));
extern const char *const __stop_wikitally_failpoints[] __attribute__((weak));

/* A name stands there once for each place that has it. */
bool failpoint_list(const char *flag)
{
    if (!str_eqz(str_of(flag), "--list-failpoints")) {
        return false;
    }
    // cppcheck-suppress comparePointers ; two ends of one section, which only the linker knows to be one
    for (const char *const *name = __start_wikitally_failpoints; name < __stop_wikitally_failpoints; name++) {
        puts(*name);
    }
    return true;
}

static void load(void)
{
    static char *fault_text, *failure_text;
    fault_count = failure_count = 0;
    struct str rest = variable_copy("WIKITALLY_FAULTS", &fault_text), part;
    while (str_split(&rest, ',', &part)) {
        if (fault_count == ENTRIES_MAX || part.len == 0) {
            refuse("WIKITALLY_FAULTS", part);
        }
        faults[fault_count++] = part;
    }
    atomic_store(&next_kills, false);
    rest = variable_copy("WIKITALLY_FAILPOINT", &failure_text);
    while (str_split(&rest, ',', &part)) {
        if (failure_count == ENTRIES_MAX || !failure_parse(part, &failures[failure_count])) {
            refuse("WIKITALLY_FAILPOINT", part);
        }
        atomic_store(&failures[failure_count++].seen, 0);
    }
}

void fault_reload(void)
{
    pthread_once(&once, load);
    load();
}

bool fault(const char *name)
{
    pthread_once(&once, load);
    for (size_t i = 0; i < fault_count; i++) {
        if (str_eqz(faults[i], name)) {
            return true;
        }
    }
    return false;
}

bool failpoint_reached(const char *name)
{
    pthread_once(&once, load);
    if (failure_count > 0 && atomic_load(&next_kills)) {
        raise(SIGKILL);
    }
    for (size_t i = 0; i < failure_count; i++) {
        struct failure *f = &failures[i];
        if (!str_eqz(f->name, name) || atomic_fetch_add(&f->seen, 1) + 1 != f->at) {
            continue;
        }
        if (f->action == ACTION_KILL) {
            raise(SIGKILL);
        }
        fprintf(stderr, "failpoint %s: %s\n", name, action_names[f->action]);
        atomic_store(&next_kills, f->action == ACTION_AFTER);
        return f->action == ACTION_ERROR;
    }
    return false;
}

enum err_class failpoint_error(const char *name, struct err *err)
{
    return err_set(err, ERR_FATAL, EXIT_IOERR, "failpoint \"%s\"", name);
}
