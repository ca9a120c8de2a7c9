/* SPDX-License-Identifier: MIT
 *
 * routes.c - the table; see routes.h.
 */
#include "serve/routes.h"

#include "serve/room.h"

const struct route routes[] = {
    {"/", "page", WAITS_NOT, "window view theme", "The page.", assets_page},
    {"/assets/", "assets", WAITS_NOT, "", "Files of the page; their names change with their content.", assets_file},
    {"/favicon.svg", "favicon", WAITS_NOT, "", "The icon.", assets_icon},
    {"/plain", "plain", WAITS_NOT, "window refresh", "The top 20 titles without any script.", plain_page},
    {"/plain.css", "plain_style", WAITS_NOT, "", "How /plain looks.", plain_style},
    {"/livez", "livez", WAITS_NOT, "", "200 while the program works.", api_livez},
    {"/readyz", "readyz", WAITS_NOT, "", "200 when answers are whole, else 503 and why not.", api_readyz},
    {"/metrics", "metrics", WAITS_NOT, "", "Prometheus text format.", api_metrics},
    {"/api/v1", "index", WAITS_NOT, "", "This list.", api_index},
    {"/api/v1/state", "state", WAITS_NOT, "", "The state chip: how far the numbers can be trusted.", api_state},
    {"/api/v1/now", "now", WAITS_NOT, "window", "The newest frame of the Now screen; window: 1m, 5m, 15m, 60m.",
     api_now},
    {"/api/v1/stream", "stream", WAITS_NOT, "views hz",
     "The live stream (text/event-stream); views: now:1m, now:5m, now:15m, now:60m; hz: 1, 2, 4.", api_stream},
    {"/api/v1/results", "aggregations", WAITS_SHORT, "", "Declared aggregations with their keys and measures.",
     api_aggregations},
    {"/api/v1/results/", "results", WAITS_SHORT, "from to limit cursor order",
     "/api/v1/results/NAME: stored rows, newest window first; order: newest, oldest; limit: 1 to 1000.", api_results},
    {"/api/v1/windows", "windows", WAITS_SHORT, "aggregation limit",
     "Windows, newest first: rows, sum, open or final, torn; limit: 1 to 1000.", api_windows},
    {"/api/v1/ledger", "ledger", WAITS_SHORT, "from to by",
     "Where every record went; minutes from and to (at most a day), by: event, arrival.", api_ledger},
    {"/api/v1/cluster", "cluster", WAITS_LONG, "", "The cluster and its brokers, or the embedded journal.",
     api_cluster},
    {"/api/v1/topics", "topics", WAITS_LONG, "limit cursor",
     "Topics by name: partitions, replication, records; limit: 1 to 10000.", api_topics},
    {"/api/v1/topics/", "topic", WAITS_LONG, "",
     "/api/v1/topics/TOPIC: partitions with leader, replicas and ends; settings that were changed.", api_topic},
    {"/api/v1/messages/", "messages", WAITS_LONG, "partition from last count filter cursor",
     "/api/v1/messages/TOPIC: records, and which offsets were looked at; from: an offset, a time, earliest, latest; "
     "last: 1 to 1000 of each partition; count: 1 to 1000.",
     api_messages},
    {"/api/v1/groups", "groups", WAITS_LONG, "limit cursor", "Who reads the topics, by name; limit: 1 to 10000.",
     api_groups},
    {"/api/v1/group", "group", WAITS_LONG, "name",
     "One group: members, and how far behind in messages and seconds, by partition.", api_group},
    {"/api/v1/config", "config", WAITS_NOT, "", "The configuration in force, secrets masked.", api_config},
};
const size_t route_count = sizeof(routes) / sizeof(*routes);

const struct route *route_find(struct str path)
{
    for (size_t i = 0; i < route_count; i++) {
        struct str own = str_of(routes[i].path);
        bool below = own.len > 1 && own.ptr[own.len - 1] == '/';
        if (below ? path.len > own.len && str_starts(path, own) : str_eq(path, own))
            return &routes[i];
    }
    return NULL;
}
