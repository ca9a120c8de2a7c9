/* SPDX-License-Identifier: MIT
 *
 * routes.c - the table; see routes.h.
 */
#include "serve/routes.h"

#include "serve/room.h"

const struct route routes[] = {
    {"/", "page", false, "window view theme", "The page.", assets_page},
    {"/assets/", "assets", false, "", "Files of the page; their names change with their content.", assets_file},
    {"/favicon.svg", "favicon", false, "", "The icon.", assets_icon},
    {"/plain", "plain", false, "window refresh", "The top 20 titles without any script.", plain_page},
    {"/plain.css", "plain_style", false, "", "How /plain looks.", plain_style},
    {"/livez", "livez", false, "", "200 while the program works.", api_livez},
    {"/readyz", "readyz", false, "", "200 when answers are whole, else 503 and why not.", api_readyz},
    {"/metrics", "metrics", false, "", "Prometheus text format.", api_metrics},
    {"/api/v1", "index", false, "", "This list.", api_index},
    {"/api/v1/state", "state", false, "", "The state chip: how far the numbers can be trusted.", api_state},
    {"/api/v1/now", "now", false, "window", "The newest frame of the Now screen; window: 1m, 5m, 15m, 60m.", api_now},
    {"/api/v1/stream", "stream", false, "views hz",
     "The live stream (text/event-stream); views: now:1m, now:5m, now:15m, now:60m; hz: 1, 2, 4.", api_stream},
    {"/api/v1/results", "aggregations", true, "", "Declared aggregations with their keys and measures.",
     api_aggregations},
    {"/api/v1/results/", "results", true, "from to limit cursor order",
     "/api/v1/results/NAME: stored rows, newest window first; order: newest, oldest; limit: 1 to 1000.", api_results},
    {"/api/v1/windows", "windows", true, "aggregation limit",
     "Windows, newest first: rows, sum, open or final, torn; limit: 1 to 1000.", api_windows},
    {"/api/v1/ledger", "ledger", true, "from to by",
     "Where every record went; minutes from and to (at most a day), by: event, arrival.", api_ledger},
    {"/api/v1/config", "config", false, "", "The configuration in force, secrets masked.", api_config},
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
