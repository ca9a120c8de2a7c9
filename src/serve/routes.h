/* SPDX-License-Identifier: MIT
 *
 * routes.h - the table of what can be asked. One row a route: from it come the dispatcher, the check of parameters, the
 * metrics' labels, and the list at /api/v1.
 */
#ifndef WIKITALLY_SERVE_ROUTES_H
#define WIKITALLY_SERVE_ROUTES_H

#include "serve/answer.h"
#include "serve/pool.h"

struct room; /* room.h: what the running server consists of */

enum route_waits {
    WAITS_NOT,
    WAITS_SHORT, /* touches a database: runs on the pool, with readers */
    WAITS_LONG,  /* asks a broker, or looks through records: runs on the askers, with readers */
};

struct route {
    const char *path; /* exact; ending with '/': everything below it, but not it */
    const char *name; /* label in metrics */
    enum route_waits waits;
    const char *parameters; /* names, by blanks */
    const char *help;
    void (*run)(struct room *room, const struct request *q, struct readers *readers, struct answer *a);
};

extern const struct route routes[];
extern const size_t route_count;
const struct route *route_find(struct str path);

#endif
