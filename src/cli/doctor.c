/* SPDX-License-Identifier: MIT
 *
 * doctor.c - wikitally doctor [source|clock|disk|proxy|kafka|journal|permissions|user|sandbox]: each check says ok,
 * warn or fail, why, and the next command.
 */
#include "cli/doctor.h"

#include "app/source_spec.h"
#include "journal/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { PROBE_TIMEOUT_MS = 10000, CLOCK_WARN_SECONDS = 60 };
#define DISK_WARN_BYTES ((int64_t)1 << 30)
#define DISK_FAIL_BYTES ((int64_t)64 << 20)

static const struct out_column columns[] = {{"check", false}, {"verdict", false}, {"finding", false}, {"next", false}};

void doctor_say(struct doctor *d, const char *check, const char *verdict, const char *next, const char *format, ...)
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
        doctor_say(d, "source", "ok", NULL, "\"%s\" answers", url);
    } else if (d->status == 200) {
        doctor_say(d, "source", "fail", "wikitally config explain source.url", "\"%s\" answers, but sends nothing",
                   url);
    } else if (d->status == 403) {
        doctor_say(d, "source", "fail", "wikitally config explain source.contact",
                   "\"%s\" refuses: it wants a User-Agent with a contact", url);
    } else if (d->status == 429) {
        doctor_say(d, "source", "warn", "ps -C wikitally",
                   "\"%s\" says: too many connections; wait, and see that only one program of yours reads it", url);
    } else if (d->status > 0) {
        doctor_say(d, "source", "fail", "wikitally config explain source.url", "\"%s\" answers with status %ld", url,
                   d->status);
    } else {
        doctor_say(d, "source", "fail", "wikitally run --source synthetic:50", "\"%s\" cannot be reached: %s", url,
                   d->why);
    }
}

static void check_clock(struct doctor *d)
{
    probe(d);
    if (d->server_date_us == 0) {
        doctor_say(d, "clock", "warn", "wikitally doctor source", "no server's Date to compare with");
        return;
    }
    int64_t off = (clock_wall(&clock_real) - d->server_date_us) / US_PER_SECOND;
    bool wrong = off > CLOCK_WARN_SECONDS || off < -CLOCK_WARN_SECONDS;
    doctor_say(d, "clock", wrong ? "warn" : "ok", wrong ? "timedatectl" : NULL,
               "%lld s from the server's; arrival times follow the server's", (long long)off);
}

static void check_disk(struct doctor *d)
{
    struct statvfs fs;
    AUTO_FREE char *path = str_dup(str_of(d->cli->directory));
    while (statvfs(path, &fs) != 0 && errno == ENOENT && strrchr(path, '/') > path)
        *strrchr(path, '/') = 0; /* not made yet: its nearest parent */
    if (statvfs(path, &fs) != 0)
        return doctor_say(d, "disk", "fail", "wikitally run --data-dir DIR", "\"%s\" cannot be looked at: %s",
                          d->cli->directory, strerror(errno));
    int64_t space = (int64_t)fs.f_bavail * (int64_t)fs.f_frsize;
    if (access(path, W_OK) != 0)
        doctor_say(d, "disk", "fail", "wikitally run --data-dir DIR", "\"%s\" is not writable", path);
    else {
        doctor_say(d, "disk",
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
    if (!d->cli->config.journal_kafka && access(path, F_OK) != 0)
        return doctor_say(d, "journal", "ok", "wikitally run", "none yet");
    if (cli_journal(d->cli, &reader, &err))
        return doctor_say(d, "journal", "fail", "wikitally journal verify", "%s", err.text);
    if (journal_reader_info(reader, &info, &err))
        doctor_say(d, "journal", "fail", "wikitally journal verify", "%s", err.text);
    else
        doctor_say(d, "journal", "ok", NULL, "%u partition%s of \"%s\"", info.partitions,
                   info.partitions == 1 ? "" : "s", info.source);
    journal_reader_close(reader);
}

static void check_proxy(struct doctor *d)
{
    const char *set = *d->cli->config.source.proxy ? d->cli->config.source.proxy
                      : getenv("https_proxy")      ? getenv("https_proxy")
                                                   : getenv("HTTPS_PROXY");
    if (set) {
        doctor_say(d, "proxy", "warn", "wikitally config explain source.proxy",
                   "the stream is read through a proxy; it must not buffer");
    } else {
        doctor_say(d, "proxy", "ok", NULL, "none");
    }
}

/* What a run as another user left behind: neither can use the other's. -> how many of the files; one by name */
static int count_strangers(const char *directory, uid_t mine, char *name, size_t name_bytes)
{
    DIR *d = opendir(directory);
    int count = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        struct stat st;
        if (e->d_name[0] == '.' || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(st.st_mode) || st.st_uid == mine)
            continue;
        snprintf(name, name_bytes, "%s", e->d_name);
        count++;
    }
    if (d)
        closedir(d);
    return count;
}

static void check_permissions(struct doctor *d)
{
    const char *path = d->cli->directory;
    char stranger[256] = "";
    struct stat st;
    if (stat(path, &st) != 0) {
        doctor_say(d, "permissions", "ok", "wikitally run", "\"%s\" is not there yet", path);
        return;
    }
    AUTO(buf) struct buf chown_text = {0}, chmod_text = {0};
    const struct passwd *owner = getpwuid(st.st_uid);
    buf_addf(&chown_text, "sudo chown -R %s '%s'", owner ? owner->pw_name : "USER", path);
    buf_addf(&chmod_text, "chmod 700 '%s'", path);
    if (geteuid() != 0 && st.st_uid != geteuid()) {
        doctor_say(d, "permissions", "fail", "wikitally run --data-dir DIR", "\"%s\" belongs to user %s", path,
                   owner ? owner->pw_name : "(no name)");
    } else if (count_strangers(path, st.st_uid, stranger, sizeof stranger) > 0) {
        doctor_say(d, "permissions", "fail", chown_text.ptr, "\"%s\" in it does not belong to the owner of \"%s\"",
                   stranger, path);
    } else if (st.st_mode & (S_IWGRP | S_IWOTH)) {
        doctor_say(d, "permissions", "warn", chmod_text.ptr, "others may write in \"%s\"", path);
    } else {
        doctor_say(d, "permissions", "ok", NULL, "\"%s\" and what is in it have one owner", path);
    }
}

static void check_user(struct doctor *d)
{
    if (geteuid() == 0)
        doctor_say(d, "user", "warn", "wikitally run --user NAME", "running as root is not needed");
    else
        doctor_say(d, "user", "ok", NULL, "not root");
}

static int doctor_run(struct cli *cli, int argc, char **argv, struct err *err)
{
    static const struct {
        const char *name;
        void (*check)(struct doctor *d);
    } checks[] = {{"source", check_source},
                  {"clock", check_clock},
                  {"disk", check_disk},
                  {"proxy", check_proxy},
                  {"kafka", doctor_kafka},
                  {"journal", check_journal},
                  {"permissions", check_permissions},
                  {"user", check_user},
                  {"sandbox", doctor_sandbox}};
    struct doctor d = {.cli = cli};
    int first, code;
    bool known = false;
    if (!cli_parse(cli, NULL, 0, argc, argv, &first, &code, err))
        return code;
    const char *only = first < argc ? argv[first] : NULL;
    for (size_t i = 0; only && i < sizeof checks / sizeof *checks; i++)
        known |= strcmp(only, checks[i].name) == 0;
    if (argc - first > 1 || (only && !known))
        return cli_usage(err, "doctor: wants nothing, or one of source, clock, disk, proxy, kafka, journal, "
                              "permissions, user, sandbox");
    if (cli_config(cli, err) || cli_directory(cli, err))
        return cli_fail(err);
    cli->out.whole = true;
    if (out_begin(&cli->out, columns, sizeof columns / sizeof *columns, err))
        return EXIT_USAGE;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        bool has_it = checks[i].check != doctor_kafka || config_kafka_client(&cli->config);
        bool wanted = only ? strcmp(only, checks[i].name) == 0 : has_it;
        if (wanted)
            checks[i].check(&d);
    }
    curl_global_cleanup();
    out_end(&cli->out);
    return d.failed ? EXIT_NO : EXIT_DONE;
}

const struct command command_doctor = {
    "doctor", "find out what is wrong: source, clock, disk, proxy, kafka, journal, permissions, sandbox",
    "  wikitally doctor\n"
    "  wikitally doctor source\n"
    "  wikitally doctor kafka\n"
    "  wikitally doctor sandbox -o json\n\n"
    "Each check says ok, warn or fail, why, and the command or setting to try next. Exit 1 if one failed.\n"
    "Kafka is asked only where kafka.brokers is set: as the configured user, and nothing there is changed.",
    doctor_run};
