/* SPDX-License-Identifier: MIT
 *
 * health.c - wikitally health: is the running program alive (or ready)? For HEALTHCHECK and probes.
 */
#include "cli/cli.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

enum { HEALTH_TIMEOUT_MS = 5000, HEALTH_BODY_MAX = 4096 };

static size_t keep_body(char *data, size_t size, size_t count, void *ctx)
{
    buf_add(ctx, str_n(data, size * count));
    return size * count;
}

/* -> HTTP status, or 0 with err. */
static long get(const char *url, struct buf *body, struct err *err)
{
    long status = 0;
    char text[CURL_ERROR_SIZE] = "";
    curl_global_init(CURL_GLOBAL_DEFAULT);
    CURL *curl = curl_easy_init();
    if (!curl) {
        err_set(err, ERR_FATAL, EXIT_OSERR, "cannot start libcurl");
        return 0;
    }
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)HEALTH_TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, keep_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, text);
    CURLcode rc = curl_easy_perform(curl);
    if (rc == CURLE_OK)
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    else
        err_set(err, ERR_RETRY, EXIT_UNAVAILABLE, "no answer from \"%s\": %s; is \"wikitally run\" running there", url,
                *text ? text : curl_easy_strerror(rc));
    curl_easy_cleanup(curl);
    curl_global_cleanup();
    return status;
}

static int health_run(struct cli *cli, int argc, char **argv, struct err *err)
{
    bool ready = false;
    int first, code;
    const struct arg args[] = {{"ready", 0, ARG_FLAG, &ready, NULL, "also: is it connected and caught up"}};
    if (!cli_parse(cli, args, 1, argc, argv, &first, &code, err))
        return code;
    if (first < argc)
        return cli_usage(err, "health: \"%s\" is one argument too many", argv[first]);
    if (!cli->url && cli_config(cli, err))
        return cli_fail(err);
    AUTO(buf) struct buf url = {0}, body = {.max = HEALTH_BODY_MAX};
    const char *given = cli->url ? cli->url : getenv("WIKITALLY_URL");
    if (given)
        buf_addf(&url, "%s/%s", given, ready ? "readyz" : "livez");
    else
        buf_addf(&url, "http://%s/%s", cli->config.serve.listen, ready ? "readyz" : "livez");
    long status = get(url.ptr, &body, err);
    if (status == 0)
        return cli_fail(err);
    out_printf("%s", body.ptr ? body.ptr : "");
    if (body.len && body.ptr[body.len - 1] != '\n')
        out_write(STR("\n"));
    return status == 200 ? EXIT_DONE : EXIT_NO;
}

const struct command command_health = {"health", "is the running program alive",
                                       "  wikitally health\n"
                                       "  wikitally health --ready --url http://127.0.0.1:9000\n\n"
                                       "Exit 0: yes. 1: it answered no. 69: no answer.",
                                       health_run};
