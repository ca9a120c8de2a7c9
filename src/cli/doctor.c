/* SPDX-License-Identifier: MIT
 *
 * doctor.c - wikitally doctor [source|disk|clock|proxy|journal]: each check says ok, warn or fail, why, and the next
 * command.
 */
#include "app/source_spec.h"
#include "cli/cli.h"
#include "journal/journal.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { PROBE_TIMEOUT_MS = 10000, CLOCK_WARN_SECONDS = 60 };
#define DISK_WARN_BYTES ((int64_t)1 << 30)
#define DISK_FAIL_BYTES ((int64_t)64 << 20)

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

static const struct out_column columns[] = {{"check", false}, {"verdict", false}, {"finding", false}, {"next", false}};

__attribute__((format(printf, 5, 6))) static void say(struct doctor *d, const char *check, const char *verdict,
                                                      const char *next, const char *format, ...)
{
    AUTO(buf) struct buf text = {0};
    va_list args;
    va_start(args, format);
    buf_vaddf(&text, format, args);
    va_end(args);
    d->failed |= strcmp(verdict, "fail") == 0;
    out_z(&d->cli->out, check);
    out_z(&d->cli->out, verdict);
    out_text(&d->cli->out, buf_str(&text));
    out_z(&d->cli->out, next);
    out_row(&d->cli->out);
}

static size_t first_bytes(char *data, size_t size, size_t count, void *ctx)
{
    (void)data;
    *(size_t *)ctx += size * count;
    return 0; /* one is enough: end the transfer */
}

static size_t take_date(char *data, size_t size, size_t count, void *ctx)
{
    struct str line = str_trim(str_n(data, size * count));
    if (line.len > 6 && strncasecmp(line.ptr, "date:", 5) == 0) {
        AUTO_FREE char *text = str_dup(str_trim(str_n(line.ptr + 5, line.len - 5)));
        time_t at = curl_getdate(text, NULL);
        if (at > 0)
            *(int64_t *)ctx = (int64_t)at * US_PER_SECOND;
    }
    return size * count;
}

/* One request tells of the source and of the clock; made when the first of the two is asked for. */
static void probe(struct doctor *d)
{
    const struct config *c = &d->cli->config;
    AUTO(buf) struct buf agent = {0};
    if (d->probed)
        return;
    d->probed = true;
    CURL *curl = curl_easy_init();
    if (!curl)
        return;
    buf_addf(&agent, "wikitally/%s (%s) libcurl/%s", WIKITALLY_VERSION, c->source.contact,
             curl_version_info(CURLVERSION_NOW)->version);
    curl_easy_setopt(curl, CURLOPT_URL, c->source.url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_USERAGENT, agent.ptr);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)PROBE_TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, first_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &d->received);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_date);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &d->server_date_us);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, d->why);
    if (*c->source.proxy)
        curl_easy_setopt(curl, CURLOPT_PROXY, c->source.proxy);
    if (*c->source.ca_file)
        curl_easy_setopt(curl, CURLOPT_CAINFO, c->source.ca_file);
    CURLcode rc = curl_easy_perform(curl);
    if (!*d->why)
        snprintf(d->why, sizeof d->why, "%s", curl_easy_strerror(rc));
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &d->status);
    curl_easy_cleanup(curl);
}

static void check_source(struct doctor *d)
{
    const char *url = d->cli->config.source.url;
    probe(d);
    if (d->status == 200 && d->received > 0) {
        say(d, "source", "ok", NULL, "\"%s\" answers", url);
    } else if (d->status == 200) {
        say(d, "source", "fail", "wikitally config explain source.url", "\"%s\" answers, but sends nothing", url);
    } else if (d->status == 403) {
        say(d, "source", "fail", "set source.contact to your address",
            "\"%s\" refuses: it wants a User-Agent with a contact", url);
    } else if (d->status == 429) {
        say(d, "source", "warn", "wait, and see that only one program of yours reads the stream",
            "\"%s\" says: too many connections", url);
    } else if (d->status > 0) {
        say(d, "source", "fail", "wikitally config explain source.url", "\"%s\" answers with status %ld", url,
            d->status);
    } else {
        say(d, "source", "fail", "wikitally run --source synthetic:50", "\"%s\" cannot be reached: %s", url, d->why);
    }
}

static void check_clock(struct doctor *d)
{
    probe(d);
    if (d->server_date_us == 0) {
        say(d, "clock", "warn", "wikitally doctor source", "no server's Date to compare with");
        return;
    }
    int64_t off = (clock_wall(&clock_real) - d->server_date_us) / US_PER_SECOND;
    bool wrong = off > CLOCK_WARN_SECONDS || off < -CLOCK_WARN_SECONDS;
    say(d, "clock", wrong ? "warn" : "ok", wrong ? "timedatectl" : NULL,
        "%lld s from the server's; arrival times follow the server's", (long long)off);
}

static void check_disk(struct doctor *d)
{
    struct statvfs fs;
    AUTO_FREE char *path = str_dup(str_of(d->cli->directory));
    while (statvfs(path, &fs) != 0 && errno == ENOENT && strrchr(path, '/') > path)
        *strrchr(path, '/') = 0; /* not made yet: its nearest parent */
    if (statvfs(path, &fs) != 0)
        return say(d, "disk", "fail", "wikitally run --data-dir DIR", "\"%s\" cannot be looked at: %s",
                   d->cli->directory, strerror(errno));
    int64_t space = (int64_t)fs.f_bavail * (int64_t)fs.f_frsize;
    if (access(path, W_OK) != 0)
        say(d, "disk", "fail", "wikitally run --data-dir DIR", "\"%s\" is not writable", path);
    else {
        say(d, "disk",
            space < DISK_FAIL_BYTES   ? "fail"
            : space < DISK_WARN_BYTES ? "warn"
                                      : "ok",
            space < DISK_WARN_BYTES ? "wikitally config explain journal.retention_bytes" : NULL,
            "%.1f GiB free for \"%s\"", (double)space / (1 << 30), d->cli->directory);
    }
}

static void check_journal(struct doctor *d)
{
    struct journal_reader *reader;
    struct journal_info info;
    struct err err = {0};
    char path[4096];
    snprintf(path, sizeof path, "%s/journal.db", d->cli->directory);
    if (access(path, F_OK) != 0)
        return say(d, "journal", "ok", "wikitally run", "none yet");
    if (journal_reader_open(d->cli->directory, &reader, &err))
        return say(d, "journal", "fail", "wikitally journal verify", "%s", err.text);
    if (journal_reader_info(reader, &info, &err))
        say(d, "journal", "fail", "wikitally journal verify", "%s", err.text);
    else
        say(d, "journal", "ok", NULL, "%u partition%s of \"%s\"", info.partitions, info.partitions == 1 ? "" : "s",
            info.source);
    journal_reader_close(reader);
}

static void check_proxy(struct doctor *d)
{
    const char *set = *d->cli->config.source.proxy ? d->cli->config.source.proxy
                      : getenv("https_proxy")      ? getenv("https_proxy")
                                                   : getenv("HTTPS_PROXY");
    if (set) {
        say(d, "proxy", "warn", "wikitally config explain source.proxy",
            "the stream is read through a proxy; it must not buffer");
    } else {
        say(d, "proxy", "ok", NULL, "none");
    }
}

static void check_user(struct doctor *d)
{
    if (geteuid() == 0)
        say(d, "user", "warn", "systemctl, or su to a user of its own", "running as root is not needed");
    else
        say(d, "user", "ok", NULL, "not root");
}

static int doctor_run(struct cli *cli, int argc, char **argv, struct err *err)
{
    static const struct {
        const char *name;
        void (*check)(struct doctor *d);
    } checks[] = {{"source", check_source}, {"clock", check_clock},     {"disk", check_disk},
                  {"proxy", check_proxy},   {"journal", check_journal}, {"user", check_user}};
    struct doctor d = {.cli = cli};
    int first, code;
    bool known = false;
    if (!cli_parse(cli, NULL, 0, argc, argv, &first, &code, err))
        return code;
    const char *only = first < argc ? argv[first] : NULL;
    for (size_t i = 0; only && i < sizeof checks / sizeof *checks; i++)
        known |= strcmp(only, checks[i].name) == 0;
    if (argc - first > 1 || (only && !known))
        return cli_usage(err, "doctor: wants nothing, or one of source, clock, disk, proxy, journal, user");
    if (cli_config(cli, err) || cli_directory(cli, err))
        return cli_fail(err);
    cli->out.whole = true;
    if (out_begin(&cli->out, columns, sizeof columns / sizeof *columns, err))
        return EXIT_USAGE;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        bool wanted = !only || strcmp(only, checks[i].name) == 0;
        if (wanted)
            checks[i].check(&d);
    }
    curl_global_cleanup();
    out_end(&cli->out);
    return d.failed ? EXIT_NO : EXIT_DONE;
}

const struct command command_doctor = {
    "doctor", "find out what is wrong: source, clock, disk, proxy, journal",
    "  wikitally doctor\n"
    "  wikitally doctor source\n\n"
    "Each check says ok, warn or fail, why, and the command to try next. Exit 1 if one failed.",
    doctor_run};
