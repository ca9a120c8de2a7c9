/* SPDX-License-Identifier: MIT
 *
 * journal.c - wikitally journal verify | dump | repair: the embedded journal, read as it is.
 */
#include "journal/journal.h"
#include "change/change.h"
#include "cli/cli.h"
#include "journal/dump.h"

#include <stdio.h>
#include <stdlib.h>

static void print_problem(const char *text, void *ctx)
{
    (void)ctx;
    fprintf(stderr, "journal: %s\n", text);
}

static int verify(struct journal_reader *reader, struct err *err)
{
    struct journal_verified v;
    enum err_class cls = journal_reader_verify(reader, print_problem, NULL, &v, err);
    if (cls)
        return cli_fail(err);
    out_printf("%lld batches, %lld records, %lld holes: every checksum holds\n", (long long)v.batches,
               (long long)v.records, (long long)v.holes);
    return EXIT_DONE;
}

/* Would it decode, by the strict scanner? Only then it goes out as JSON. */
static bool is_object(const struct field_set *set, struct value *values, struct str text)
{
    size_t at;
    return change_scan(set, text, values, &at) == DEAD_NONE;
}

struct dumping {
    struct journal_reader *reader;
    struct field_set *set;
    struct value *values;
    struct buf line;
    bool raw;
    char end;
};

static void dump_record(struct dumping *d, const struct record *r)
{
    buf_clear(&d->line);
    if (d->raw) {
        buf_add(&d->line, r->value);
        buf_addc(&d->line, d->end);
    } else {
        journal_dump_line(&d->line, r, is_object(d->set, d->values, r->value));
    }
    out_write(buf_str(&d->line));
}

static enum err_class dump_partition(struct dumping *d, uint32_t partition, int64_t from, int64_t to, struct err *err)
{
    AUTO(arena) struct arena arena = {0};
    for (;;) {
        struct journal_page page;
        arena_reset(&arena);
        enum err_class cls = journal_reader_read(d->reader, partition, from, 10000, &arena, &page, err);
        if (cls || page.count == 0)
            return cls;
        for (size_t i = 0; i < page.count; i++) {
            if (page.records[i].offset >= to)
                return ERR_NONE;
            dump_record(d, &page.records[i]);
        }
        from = page.records[page.count - 1].offset + 1;
    }
}

static int dump(struct dumping *d, int64_t only, int64_t from, int64_t to, struct err *err)
{
    struct journal_info info;
    enum err_class cls = journal_reader_info(d->reader, &info, err);
    d->set = field_set_new();
    d->values = xcalloc(field_set_count(d->set), sizeof *d->values);
    for (uint32_t p = 0; !cls && p < info.partitions; p++) {
        if (only < 0 || only == p)
            cls = dump_partition(d, p, from, to, err);
    }
    out_flush();
    buf_fini(&d->line);
    free(d->values);
    field_set_free(d->set);
    return cls ? cli_fail(err) : EXIT_DONE;
}

/* The only journal command that changes something: takes the directory's lock. */
static int repair(const char *directory, uint32_t partition, int64_t offset, struct err *err)
{
    struct journal *journal;
    struct journal_options options = {.directory = directory, .clock = &clock_real};
    if (offset < 0)
        return cli_usage(err, "journal repair: wants --skip OFFSET, as \"journal verify\" names it");
    if (journal_open_sqlite(&options, &journal, err))
        return cli_fail(err);
    enum err_class cls = journal_skip(journal, partition, offset, err);
    journal_close(journal);
    if (cls)
        return cli_fail(err);
    out_printf(
        "the batch with offset %lld of partition %u was taken out; its records are a gap in the ledger from now on\n",
        (long long)offset, partition);
    return EXIT_DONE;
}

static int journal_run(struct cli *cli, int argc, char **argv, struct err *err)
{
    int64_t from = 0, to = INT64_MAX, partition = -1, skip = -1;
    bool raw = false;
    int first, code;
    const struct arg args[] = {
        {"from", 0, ARG_INT, &from, "OFFSET", "dump: from this offset"},
        {"to", 0, ARG_INT, &to, "OFFSET", "dump: before this offset"},
        {"partition", 0, ARG_INT, &partition, "P", "of this partition only"},
        {"raw", 0, ARG_FLAG, &raw, NULL, "dump: the values only, byte for byte"},
        {"skip", 0, ARG_INT, &skip, "OFFSET", "repair: take out the corrupt batch with this offset"},
    };
    if (!cli_parse(cli, args, sizeof args / sizeof *args, argc, argv, &first, &code, err))
        return code;
    const char *what = first < argc ? argv[first] : "";
    if (argc - first > 1)
        return cli_usage(err, "journal: \"%s\" is one argument too many", argv[first + 1]);
    if (cli_directory(cli, err))
        return cli_fail(err);
    if (strcmp(what, "repair") == 0)
        return repair(cli->directory, partition < 0 ? 0 : (uint32_t)partition, skip, err);
    if (strcmp(what, "verify") != 0 && strcmp(what, "dump") != 0)
        return cli_usage(err, "journal: wants verify, dump or repair%s%s%s", *what ? ", not \"" : "", what,
                         *what ? "\"" : "");
    struct dumping d = {.raw = raw, .end = cli->zero ? 0 : '\n'};
    if (cli_journal(cli, &d.reader, err))
        return cli_fail(err);
    code = what[0] == 'v' ? verify(d.reader, err) : dump(&d, partition, from, to, err);
    journal_reader_close(d.reader);
    return code;
}

const struct command command_journal = {
    "journal", "verify, dump or repair the embedded journal",
    "  wikitally journal verify\n"
    "  wikitally journal dump --from 1000 --to 2000\n"
    "  wikitally journal dump --raw | jq .title\n"
    "  wikitally journal repair --skip 4711\n\n"
    "verify checks every batch's checksum; exit 65 names the offsets of what is corrupt. dump prints a line per "
    "record:\n"
    "{\"partition\":0,\"offset\":7,\"arrival_ms\":1780000000000,\"value\":{...}}, the value byte for byte but for line "
    "ends between its\n"
    "tokens; what is no JSON object goes out as \"value\":null,\"value_b64\":\"...\". repair takes a corrupt batch out "
    "of the way: its\n"
    "records become a gap, counted in the ledger.",
    journal_run};
