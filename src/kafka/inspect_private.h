/* SPDX-License-Identifier: MIT
 *
 * inspect_private.h - what inspect.c and inspect_groups.c share. Private to this room.
 */
#ifndef WIKITALLY_KAFKA_INSPECT_PRIVATE_H
#define WIKITALLY_KAFKA_INSPECT_PRIVATE_H

#include "kafka/feed.h"
#include "kafka/inspect.h"

struct kafka_inspect {
    const struct kafka_options *options; /* borrowed */
    int64_t wait_us, until_us;           /* of one request, of all */
    struct kafka_client *client;         /* sees what is committed */
    rd_kafka_t *rk;                      /* of it */
};

int64_t inspect_wait(const struct kafka_inspect *i);             /* for the next request */
const char *inspect_text(struct arena *arena, const char *text); /* NULL: "" */

#endif
