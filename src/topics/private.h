/* SPDX-License-Identifier: MIT
 *
 * private.h - what the files of this room share. Private to it.
 */
#ifndef WIKITALLY_TOPICS_PRIVATE_H
#define WIKITALLY_TOPICS_PRIVATE_H

#include "topics/topic.h"

int64_t topics_wait(const struct topics_place *place); /* for the next request, at most */

#endif
