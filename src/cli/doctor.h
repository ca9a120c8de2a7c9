/* SPDX-License-Identifier: MIT
 *
 * doctor.h - what the files of `wikitally doctor` share: doctor.c (the command, and what needs the network),
 * doctor_kafka.c, doctor_sandbox.c.
 */
#ifndef WIKITALLY_CLI_DOCTOR_H
#define WIKITALLY_CLI_DOCTOR_H

#include "cli/cli.h"

#include <curl/curl.h>

struct doctor {
    struct cli *cli;
    bool failed;
    /* what probe() found */
    bool probed;
    long status; /* 0: no answer */
    size_t received;
    int64_t server_date_us; /* 0: none */
    char why[CURL_ERROR_SIZE];
};

/* One finding: ok, warn or fail, and the command to try next (NULL: none). */
void doctor_say(struct doctor *d, const char *check, const char *verdict, const char *next, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

void doctor_kafka(struct doctor *d);
void doctor_sandbox(struct doctor *d);

#endif
