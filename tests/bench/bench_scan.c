/* SPDX-License-Identifier: MIT
 *
 * bench_scan.c - how many events a second one core decodes: change_scan with the core fields, over events like those of
 * the live stream, or over the lines of a file; with each kernel that this processor has, beside its two limits: the
 * bare first pass (which only looks at every byte), and memcpy of the same lines.
 *
 *   bench_scan [FILE.ndjson [SECONDS]]
 *
 * Time is the processor time of this process, so that other processes disturb less, and all that is compared takes
 * turns in each of 25 short rounds, so that a machine that changes its speed disturbs all alike. Prints one line of
 * JSON a kernel: the best round's events and bytes a second, and what part that is of the limits (medians of the
 * rounds' ratios). Without a file it makes 2,000 events of about 1.3 KB (every fourth not in ASCII), seed fixed.
 */
#include "base/hash.h"
#include "change/change.h"
#include "change/index.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MADE_EVENTS = 2000, ROUNDS = 25, KERNELS_MAX = 4 };

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

/* What all that is measured works on. */
struct bench {
    struct str text; /* lines */
    struct field_set *set;
    struct value values[FIELD_MAX];
    uint64_t events, dead; /* of the last pass over the text */
    char *copy;            /* room for the longest line */
    double seconds;        /* of one turn */
};

typedef void work_fn(struct bench *b, struct str line);

static void work_scan(struct bench *b, struct str line)
{
    size_t at;
    b->dead += change_scan(b->set, line, b->values, &at) != DEAD_NONE;
}

static void work_index(struct bench *b, struct str line)
{
    static struct text_index index;
    if (line.len >= INDEX_TEXT_MIN && line.len <= INDEX_TEXT_MAX && line.ptr[line.len - 1] == '}') {
        b->dead += !index_kernel()->find(line, &index);
    }
}

static void work_copy(struct bench *b, struct str line)
{
    memcpy(b->copy, line.ptr, line.len);
    __asm__ volatile("" : : "r"(b->copy) : "memory"); /* somebody might read it */
}

/* -> bytes a second, of one turn. Line ends were found before: they are no part of a scan. */
static double turn(struct bench *b, work_fn *work, const struct str *lines)
{
    const double begin = cpu_seconds();
    double now = begin;
    uint64_t bytes = 0;
    while (now - begin < b->seconds) {
        b->dead = 0;
        for (uint64_t i = 0; i < b->events; i++) {
            work(b, lines[i]);
            bytes += lines[i].len;
        }
        now = cpu_seconds();
    }
    return (double)bytes / (now - begin);
}

static struct str *split_lines(struct bench *b)
{
    size_t room = 0, longest = 0;
    struct str *lines = NULL, rest = b->text, line;
    while (str_split(&rest, '\n', &line)) {
        if (line.len == 0) {
            continue;
        }
        if (b->events == room) {
            room = room * 2 + 1024;
            lines = xrealloc(lines, room * sizeof *lines);
        }
        lines[b->events++] = line;
        longest = longest > line.len ? longest : line.len;
    }
    if (b->events == 0) {
        fputs("no lines\n", stderr);
        exit(EXIT_DATA);
    }
    b->copy = xmalloc(longest);
    return lines;
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *numbers)
{
    qsort(numbers, ROUNDS, sizeof *numbers, compare_doubles);
    return numbers[ROUNDS / 2];
}

/* Of one kernel. */
struct result {
    const struct index_kernel *kernel;
    double best, of_index[ROUNDS], of_memcpy[ROUNDS];
    uint64_t dead;
};

static void round_of(struct bench *b, const struct str *lines, struct result *r, int round)
{
    index_kernel_use(r->kernel);
    const double scan = turn(b, work_scan, lines);
    r->dead = b->dead;
    r->best = r->best > scan ? r->best : scan;
    r->of_index[round] = scan / turn(b, work_index, lines);
    r->of_memcpy[round] = scan / turn(b, work_copy, lines);
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
    static struct bench b;
    b = (struct bench){.text = buf_str(&text), .set = field_set_new()};
    AUTO_FREE struct str *lines = split_lines(&b);
    static struct result results[KERNELS_MAX];
    size_t kernels = 0;
    for (const struct index_kernel *k = index_kernels; k->name && kernels < KERNELS_MAX; k++) {
        if (!k->has || k->has()) {
            results[kernels++].kernel = k;
        }
    }
    b.seconds = (argc > 2 ? strtod(argv[2], NULL) : 5) / ROUNDS / 3 / (double)kernels;
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < kernels; i++) {
            round_of(&b, lines, &results[i], round);
        }
    }
    const double mean = (double)(text.len - b.events) / (double)b.events;
    for (size_t i = 0; i < kernels; i++) {
        struct result *r = &results[i];
        printf(
            "{\"bench\":\"scan\",\"kernel\":\"%s\",\"events_per_second\":%.0f,\"mb_per_second\":%.0f,\"of_bare_index\":"
            "%.2f,\"of_memcpy\":%.3f,\"events\":%llu,\"mean_bytes\":%.0f,\"dead\":%llu}\n",
            r->kernel->name, r->best / mean, r->best / 1e6, median(r->of_index), median(r->of_memcpy),
            (unsigned long long)b.events, mean, (unsigned long long)r->dead);
    }
    field_set_free(b.set);
    free(b.copy);
    return 0;
}
