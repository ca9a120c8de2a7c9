/* SPDX-License-Identifier: MIT
 *
 * bench_scan.c - how many events a second one core decodes: change_scan with the core fields, over events like those of
 * the live stream, or over the lines of a file.
 *
 *   bench_scan [FILE.ndjson [SECONDS]]
 *
 * Time is the processor time of this process, so that other processes disturb less. Prints one line of JSON: events and
 * bytes a second of the best of 25 short rounds. Without a file it makes 2,000 events of about 1.3 KB (every fourth not
 * in ASCII), seed fixed.
 */
#include "base/hash.h"
#include "change/change.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MADE_EVENTS = 2000, ROUNDS = 25 };

static double cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void add_name(struct buf *out, struct rng *rng, bool ascii)
{
    static const char *const latin[] = {"category", "files",  "of",   "river", "station",
                                        "list",     "people", "born", "page"};
    static const char *const other[] = {"категория", "файлы", "река", "станция", "список", "люди", "страница", "год"};
    const size_t words = 3 + rng_below(rng, 5);
    for (size_t i = 0; i < words; i++) {
        buf_addz(out, i ? " " : "");
        buf_addz(out, ascii ? latin[rng_below(rng, sizeof latin / sizeof *latin)]
                            : other[rng_below(rng, sizeof other / sizeof *other)]);
    }
}

static void add_event(struct buf *out, struct rng *rng, uint64_t number)
{
    const bool ascii = rng_below(rng, 4) != 0;
    AUTO(buf) struct buf name = {0};
    add_name(&name, rng, ascii);
    const char *wiki = ascii ? "en" : "ru";
    buf_addf(out,
             "{\"$schema\":\"/mediawiki/recentchange/1.0.0\",\"meta\":{\"uri\":\"https://%s.wikipedia.org/wiki/%s\","
             "\"request_id\":\"%016llx-43c6-9f0e243b3286\",\"id\":\"%016llx-4cb6-a763-85164b89013e\",\"domain\":"
             "\"%s.wikipedia.org\",\"stream\":\"mediawiki.recentchange\",\"dt\":\"2026-05-05T11:17:40.822Z\",\"topic\":"
             "\"eqiad.mediawiki.recentchange\",\"partition\":0,\"offset\":%llu},",
             wiki, name.ptr, (unsigned long long)rng_next(rng), (unsigned long long)rng_next(rng), wiki,
             6101423904ULL + (unsigned long long)number);
    buf_addf(out,
             "\"id\":%llu,\"type\":\"edit\",\"namespace\":0,\"title\":\"%s\",\"title_url\":\"https://%s.wikipedia.org/"
             "wiki/%s\",\"comment\":\"[[:%s]] added to category\",\"timestamp\":%llu,\"user\":\"User%llu\",\"bot\":%s,"
             "\"notify_url\":\"https://%s.wikipedia.org/w/index.php?diff=72185513&oldid=72179502&rcid=142681634\","
             "\"minor\":false,\"patrolled\":true,\"length\":{\"old\":%llu,\"new\":%llu},\"revision\":{\"old\":72179502,"
             "\"new\":72185513},",
             142681634ULL + (unsigned long long)number, name.ptr, wiki, name.ptr, name.ptr,
             1777979857ULL + (unsigned long long)number / 40, (unsigned long long)rng_below(rng, 50000),
             rng_below(rng, 4) ? "false" : "true", wiki, (unsigned long long)rng_below(rng, 90000),
             (unsigned long long)rng_below(rng, 90000));
    buf_addf(out,
             "\"server_url\":\"https://%s.wikipedia.org\",\"server_name\":\"%s.wikipedia.org\",\"server_script_path\":"
             "\"/w\",\"wiki\":\"%swiki\",\"parsedcomment\":\"<a href=\\\"/wiki/%s\\\" title=\\\"%s\\\">%s</a> added to "
             "category\"}\n",
             wiki, wiki, wiki, name.ptr, name.ptr, name.ptr);
}

static void read_file(struct buf *out, const char *name)
{
    FILE *file = fopen(name, "rb");
    if (!file) {
        perror(name);
        exit(EXIT_NOINPUT);
    }
    out->max = (size_t)1 << 30;
    char *at;
    size_t got;
    while ((at = buf_reserve(out, 1 << 16)) && (got = fread(at, 1, 1 << 16, file)) > 0) {
        out->len += got;
    }
    fclose(file);
}

struct round {
    uint64_t events, bytes, dead;
};

static struct round scan_all(const struct field_set *set, struct value *values, struct str text)
{
    struct round round = {0};
    struct str rest = text, line;
    while (rest.len > 0) {
        const char *lf = memchr(rest.ptr, '\n', rest.len);
        line = str_n(rest.ptr, lf ? (size_t)(lf - rest.ptr) : rest.len);
        rest = lf ? str_n(lf + 1, rest.len - line.len - 1) : str_n(NULL, 0);
        size_t at;
        round.dead += change_scan(set, line, values, &at) != DEAD_NONE;
        round.events++;
        round.bytes += line.len;
    }
    return round;
}

int main(int argc, char **argv)
{
    AUTO(buf) struct buf text = {0};
    if (argc > 1) {
        read_file(&text, argv[1]);
    } else {
        struct rng rng;
        rng_init(&rng, 1);
        for (uint64_t i = 0; i < MADE_EVENTS; i++) {
            add_event(&text, &rng, i);
        }
    }
    const double seconds = (argc > 2 ? strtod(argv[2], NULL) : 2.5) / ROUNDS;
    struct field_set *set = field_set_new();
    struct value values[FIELD_MAX];
    double best = 0, best_bytes = 0;
    struct round once = {0};
    for (int i = 0; i < ROUNDS; i++) {
        const double begin = cpu_seconds();
        double now = begin;
        uint64_t events = 0, bytes = 0;
        while (now - begin < seconds) {
            once = scan_all(set, values, buf_str(&text));
            events += once.events;
            bytes += once.bytes;
            now = cpu_seconds();
        }
        if ((double)events / (now - begin) > best) {
            best = (double)events / (now - begin);
            best_bytes = (double)bytes / (now - begin);
        }
    }
    printf("{\"bench\":\"scan\",\"events_per_second\":%.0f,\"mb_per_second\":%.0f,\"events\":%llu,\"mean_bytes\":%.0f,"
           "\"dead\":%llu}\n",
           best, best_bytes / 1e6, (unsigned long long)once.events, (double)once.bytes / (double)once.events,
           (unsigned long long)once.dead);
    field_set_free(set);
    return 0;
}
