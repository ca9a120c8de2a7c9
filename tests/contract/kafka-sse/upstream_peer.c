/* SPDX-License-Identifier: MIT
 *
 * upstream_peer.c - our upstream server for comparison with kafka-sse: prints its URL, adds each line of standard input
 * as an event (the topic stands in its meta.topic) and answers "added", until the input ends.
 */
#include "upstream/upstream.h"

#include <stdio.h>

int main(void)
{
    static char line[1 << 20];
    struct upstream *u;
    struct err err;
    if (upstream_start(
            &(struct upstream_options){.listen = "127.0.0.1:0", .connections_per_ip = -1, .clock = &clock_real}, &u,
            &err)) {
        fprintf(stderr, "upstream_peer: %s\n", err.text);
        return 1;
    }
    printf("%s\n", upstream_url(u));
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        if (upstream_add(u, str_trim(str_of(line)), TIME_NONE, &err)) {
            fprintf(stderr, "upstream_peer: %s\n", err.text);
            return 1;
        }
        puts("added");
        fflush(stdout);
    }
    upstream_stop(u);
    return 0;
}
