/* SPDX-License-Identifier: MIT
 *
 * private.h - what the files of this room share. Private to it.
 */
#ifndef WIKITALLY_TOPICS_PRIVATE_H
#define WIKITALLY_TOPICS_PRIVATE_H

#include "topics/topic.h"

int64_t topics_wait(const struct topics_place *place); /* for the next request, at most */

/* Could there be a topic of that name? What cannot be is not asked for. */
bool topics_name_can_be(const char *name);

#endif
