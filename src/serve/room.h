/* SPDX-License-Identifier: MIT
 *
 * room.h - what a running server consists of; for the routes. All of it outlives every request.
 */
#ifndef WIKITALLY_SERVE_ROOM_H
#define WIKITALLY_SERVE_ROOM_H

#include "serve/serve.h"

#include "serve/ask.h"
#include "serve/assets.h"
#include "serve/frames.h"
#include "serve/http.h"
#include "serve/live.h"
#include "serve/pool.h"
#include "serve/stream.h"

struct room {
    struct serve_options options;
    char address[160];
    struct assets *assets;
    struct frames *frames;
    struct stream_hub *hub;
    struct pool *pool, *askers;
    struct asks asks;
    struct live *live;
    struct http *http;
};

/* Route functions, by file. */
void api_index(struct room *room, const struct request *q, struct readers *readers, struct answer *a);
void api_state(struct room *room, const struct request *q, struct readers *readers, struct answer *a);
void api_now(struct room *room, const struct request *q, struct readers *readers, struct answer *a);
void api_stream(struct room *room, const struct request *q, struct readers *readers, struct answer *a);
void api_config(struct room *room, const struct request *q, struct readers *readers, struct answer *a);
void api_livez(struct room *room, const struct request *q, struct readers *readers, struct answer *a);
void api_readyz(struct room *room, const struct request *q, struct readers *readers, struct answer *a);
void api_metrics(struct room *room, const struct request *q, struct readers *readers, struct answer *a);
void api_aggregations(struct room *room, const struct request *q, struct readers *readers, struct answer *a);
void api_results(struct room *room, const struct request *q, struct readers *readers, struct answer *a);
void api_windows(struct room *room, const struct request *q, struct readers *readers, struct answer *a);
void api_ledger(struct room *room, const struct request *q, struct readers *readers, struct answer *a);
void api_cluster(struct room *room, const struct request *q, struct readers *readers, struct answer *a);
void api_topics(struct room *room, const struct request *q, struct readers *readers, struct answer *a);
void api_topic(struct room *room, const struct request *q, struct readers *readers, struct answer *a);
void api_messages(struct room *room, const struct request *q, struct readers *readers, struct answer *a);
void api_groups(struct room *room, const struct request *q, struct readers *readers, struct answer *a);
void api_group(struct room *room, const struct request *q, struct readers *readers, struct answer *a);
void plain_page(struct room *room, const struct request *q, struct readers *readers, struct answer *a);
void plain_style(struct room *room, const struct request *q, struct readers *readers, struct answer *a);
void assets_page(struct room *room, const struct request *q, struct readers *readers, struct answer *a);
void assets_icon(struct room *room, const struct request *q, struct readers *readers, struct answer *a);
void assets_file(struct room *room, const struct request *q, struct readers *readers, struct answer *a);

#endif
