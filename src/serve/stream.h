/* SPDX-License-Identifier: MIT
 *
 * stream.h - clients of the live stream. A client is a suspended connection that is resumed when its channel has a new
 * frame. It never has more than one frame under way: who is slow skips to the newest snapshot, and the skipped frames
 * are counted (ux.md section 4.2, rules 1 and 2).
 *
 * After `retry:` and `hello` comes a snapshot, or with a Last-Event-ID of this process the missing deltas. A comment
 * line every 15 s keeps proxies from closing.
 */
#ifndef WIKITALLY_SERVE_STREAM_H
#define WIKITALLY_SERVE_STREAM_H

#include "serve/answer.h"
#include "serve/frames.h"
#include "serve/guard.h"
#include "serve/http.h"

#include <sys/types.h>

#define STREAM_COMMENT_EVERY (15 * US_PER_SECOND)

struct stream_hub;
struct stream_client;

struct stream_hub *stream_hub_new(struct frames *frames, size_t max_clients, size_t max_per_peer, struct clock *clock);
void stream_hub_limit(struct stream_hub *hub, size_t max_clients); /* for those who come from now on; any thread */
void stream_hub_free(struct stream_hub *hub);                      /* no client may be left */
/* NULL: too many; *ret_why says so in a sentence. hello: JSON text of the first event. last_event_id may be "". */
struct stream_client *stream_client_new(struct stream_hub *hub, const struct guard_peer *peer, size_t channel,
                                        struct str hello, const char *last_event_id, const char **ret_why);
void stream_client_free(struct stream_client *c);
void stream_client_attach(struct stream_client *c, struct MHD_Connection *connection);
/* In the loop's thread: the next bytes (> 0); 0: none, and the connection is suspended; -1: the end. */
ssize_t stream_client_read(struct stream_client *c, char *at, size_t size);

bool stream_has_clients(struct stream_hub *hub, size_t channel);
/* Any thread: resumes the clients that have something to send now. */
void stream_wake(struct stream_hub *hub);
/* Once a second, any thread: ends the streams whose clients have hung up. A suspended connection is not polled by the
 * library, so a quiet stream would keep its place until the next comment. */
void stream_reap(struct stream_hub *hub);
/* Ends all streams, and all that come later at once. */
void stream_close(struct stream_hub *hub);

#endif
