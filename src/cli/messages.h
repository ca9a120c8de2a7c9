/* SPDX-License-Identifier: MIT
 *
 * messages.h - wikitally topics messages and topics export: the records of one topic.
 */
#ifndef WIKITALLY_CLI_MESSAGES_H
#define WIKITALLY_CLI_MESSAGES_H

#include "cli/cli.h"

struct messages_asked {
    const char *topic;
    int64_t partition;  /* -1: all, one after the other */
    const char *from;   /* "earliest", "latest", an offset, a time; NULL: earliest, with follow latest */
    int64_t last;       /* 0, or so many records of each partition, at most MESSAGES_LAST_MAX */
    int64_t count;      /* 0, or the end after so many that match */
    bool follow;        /* go on with what comes */
    char *const *query; /* words of a filter */
    int query_count;
};
/* Rows as -o says. -> exit code; EXIT_NO: nothing matched, EXIT_INCOMPLETE: the offset asked for is gone. */
int messages_print(struct cli *cli, const struct messages_asked *asked, struct err *err);
/* Values, each with the row end, into a new file, or "-". */
int messages_export(struct cli *cli, const struct messages_asked *asked, const char *file, struct err *err);

#endif
