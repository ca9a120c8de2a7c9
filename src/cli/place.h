/* SPDX-License-Identifier: MIT
 *
 * place.h - where topics and groups look: the cluster that kafka.brokers names; without one, the embedded journal and
 * the results beside it.
 */
#ifndef WIKITALLY_CLI_PLACE_H
#define WIKITALLY_CLI_PLACE_H

#include "cli/cli.h"
#include "topics/topic.h"

enum { TOPIC_WAIT_US = 5000000 }; /* for a broker's answer, at most */

/* What they hold: the embedded ones. */
enum place_part { PLACE_JOURNAL = 1, PLACE_RESULTS = 2 };
/* Zeroed first; place_close in any case. Loads the configuration. */
enum err_class place_open(struct cli *cli, int parts, struct topics_place *place, struct err *err);
void place_close(struct topics_place *place);
/* EXIT_NOINPUT: there is no such topic. */
enum err_class place_no_topic(const struct topics_place *place, const char *name, struct err *err);

#endif
