/* SPDX-License-Identifier: MIT
 *
 * bench_journal.c - events a second into the embedded journal and out of it, beside what the disk allows.
 *
 *   bench_journal DIRECTORY [EVENTS]
 *
 * Made-up events with the stream's shape (seed fixed), in batches of 1 MiB, each a durable transaction with a position
 * note. Wall time. Raw: the same values written to a plain file, fdatasync after each batch; packed: the same number of
 * bytes as the journal stores. Prints one line of JSON.
 */
#include "journal/journal.h"
#include "source/source.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BATCH_BYTES = 1 << 20 };

struct events {
    struct record *records;
    size_t count;
    struct arena arena;
    int64_t bytes;
};

static void check(enum err_class c, const struct err *e)
{
    if (c) {
        fprintf(stderr, "bench_journal: %s\n", e->text);
        exit(1);
    }
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void events_make(struct events *all, size_t count)
{
    struct generator_options o = {.seed = 7, .rate = 45, .late = -1, .start_us = TIME_NONE};
    struct generator *g = generator_new(&o);
    all->records = xcalloc(count, sizeof *all->records);
    for (; all->count < count; all->count++) {
        struct record *r = &all->records[all->count];
        r->value = arena_dup(&all->arena, generator_next(g, &r->arrival_us));
        all->bytes += (int64_t)r->value.len;
    }
    generator_free(g);
}

static size_t batch_end(const struct events *all, size_t from)
{
    size_t bytes = 0;
    while (from < all->count && bytes < BATCH_BYTES) {
        bytes += all->records[from++].value.len;
    }
    return from;
}

static double per_second(size_t count, int64_t began_us)
{
    return (double)count * 1e6 / (double)(clock_mono(&clock_real) - began_us + 1);
}

static double append_all(struct journal *j, const struct events *all, double *ret_cpu_us)
{
    struct err e = {0};
    struct note note = {STR("position"), STR("{\"topics\":[]}")};
    int64_t began = clock_mono(&clock_real);
    double cpu = cpu_seconds();
    for (size_t at = 0, end; at < all->count; at = end) {
        end = batch_end(all, at);
        struct batch b = {.records = all->records + at, .record_count = end - at, .notes = &note, .note_count = 1};
        check(journal_append(j, &b, NULL, &e), &e);
    }
    *ret_cpu_us = (cpu_seconds() - cpu) * 1e6 / (double)all->count;
    return per_second(all->count, began);
}

static double read_all(struct journal *j, size_t count, int64_t *ret_stored)
{
    struct err e = {0};
    struct arena arena = {0};
    struct journal_reader *r = NULL;
    struct journal_page page = {.count = 1};
    struct journal_info info;
    check(journal_reader_new(j, &r, &e), &e);
    int64_t began = clock_mono(&clock_real), next = 0;
    while (page.count > 0) {
        arena_reset(&arena);
        check(journal_reader_read(r, 0, next, 10000, &arena, &page, &e), &e);
        next = page.count ? page.records[page.count - 1].offset + 1 : next;
    }
    double speed = per_second(count, began);
    ensure(next == (int64_t)count);
    check(journal_reader_info(r, &info, &e), &e);
    *ret_stored = info.size_bytes;
    journal_reader_close(r);
    arena_fini(&arena);
    return speed;
}

/* The same batches as plain bytes; `share` of each. */
static double raw_all(const char *directory, const struct events *all, double share)
{
    AUTO(buf) struct buf path = {0}, batch = {0};
    buf_addf(&path, "%s/raw", directory);
    int fd = open(path.ptr, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ensure(fd >= 0);
    int64_t began = clock_mono(&clock_real);
    for (size_t at = 0, end; at < all->count; at = end) {
        buf_clear(&batch);
        for (end = batch_end(all, at); at < end; at++) {
            buf_add(&batch, all->records[at].value);
        }
        size_t len = (size_t)((double)batch.len * share);
        ensure(write(fd, batch.ptr, len) == (ssize_t)len && fdatasync(fd) == 0);
    }
    double speed = per_second(all->count, began);
    close(fd);
    unlink(path.ptr);
    return speed;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: bench_journal DIRECTORY [EVENTS]\n");
        return 2;
    }
    struct events all = {0};
    struct err e = {0};
    struct journal *j = NULL;
    struct journal_options o = {.directory = argv[1], .source = "bench", .partitions = 1, .clock = &clock_real};
    double cpu_us = 0;
    int64_t stored = 0;
    events_make(&all, argc > 2 ? strtoul(argv[2], NULL, 10) : 200000);
    check(journal_open_sqlite(&o, &j, &e), &e);
    double append = append_all(j, &all, &cpu_us), scan = read_all(j, all.count, &stored);
    journal_close(j);
    double share = (double)stored / (double)all.bytes;
    printf("{\"bench\":\"journal\",\"bytes_per_event\":%.0f,\"append_per_s\":%.0f,\"append_cpu_us\":%.2f,\"read_per_"
           "s\":%.0f,"
           "\"stored_share\":%.3f,\"raw_write_fsync_per_s\":%.0f,\"packed_write_fsync_per_s\":%.0f}\n",
           (double)all.bytes / (double)all.count, append, cpu_us, scan, share, raw_all(argv[1], &all, 1),
           raw_all(argv[1], &all, share));
    free(all.records);
    arena_fini(&all.arena);
    return 0;
}
