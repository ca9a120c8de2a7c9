/* SPDX-License-Identifier: MIT
 *
 * fuzz_retry.c - any bytes as a dead letter that is tried again (R2: wikitally deadletters retry).
 *
 * It is admitted exactly if the present rules decode it. Then one batch holds those very bytes, once, and its ledger
 * balances (R12); else nothing at all was written and the error says why. Tried a second time it makes no second
 * record, and what was refused is refused again.
 */
#include "change/change.h"
#include "fuzz.h"
#include "source/source.h"

#include "../unit/source/memory_output.h"

enum { MINUTES = 60 };

struct book {                    /* what the commits held */
    struct source_output output; /* first member */
    struct memory_output *memory;
    int64_t sums[SOURCE_BUCKETS];
    size_t commits, dead;
};

static enum err_class book_commit(struct source_output *o, const struct batch *b, struct err *err)
{
    struct book *book = (struct book *)o;
    for (size_t i = 0; i < b->tally_count; i++) {
        ensure(b->tally[i].bucket < SOURCE_BUCKETS);
        if (b->tally[i].by == TALLY_ARRIVAL) {
            book->sums[b->tally[i].bucket] += b->tally[i].count;
        }
    }
    for (size_t i = 0; i < b->record_count; i++) {
        ensure(b->records[i].partition == 0);
    }
    book->commits++;
    book->dead += b->dead_count;
    return memory_commit(&book->memory->output, b, err);
}

static enum err_class book_note(struct source_output *o, struct str key, struct arena *arena, struct str *ret_value,
                                struct err *err)
{
    return memory_note(&((struct book *)o)->memory->output, key, arena, ret_value, err);
}

static enum err_class book_tail(struct source_output *o, uint32_t partition, int64_t from, int64_t to,
                                bool (*each)(const struct record *r, void *ctx), void *ctx, struct err *err)
{
    return memory_tail(&((struct book *)o)->memory->output, partition, from, to, each, ctx, err);
}

static enum err_class book_dead(struct source_output *o, int64_t since_us,
                                bool (*each)(const struct dead_letter *d, void *ctx), void *ctx, struct err *err)
{
    return memory_dead(&((struct book *)o)->memory->output, since_us, each, ctx, err);
}

static enum err_class book_bounds(struct source_output *o, uint32_t partition, int64_t *ret_head, int64_t *ret_end,
                                  struct err *err)
{
    return memory_bounds(&((struct book *)o)->memory->output, partition, ret_head, ret_end, err);
}

static bool retry(struct book *book, const struct dead_letter *d, struct err *err)
{
    struct source_options options = memory_options(&clock_real);
    struct source_retry *r = NULL;
    bool admitted = false;
    options.max_identities = 1000;
    *err = (struct err){0};
    ensure(source_retry_new(&options, &book->output, &r, err) == ERR_NONE);
    ensure(source_retry_dead(r, d, &admitted, err) == ERR_NONE);
    source_retry_free(r);
    ensure(admitted || err->text[0]);
    return admitted;
}

static void check_balance(const struct book *book)
{
    const int64_t *n = book->sums;
    ensure(n[SOURCE_RECEIVED] + n[SOURCE_TICK] ==
           n[SOURCE_DUPLICATE] + n[SOURCE_FILTERED] + n[SOURCE_DEAD] + n[SOURCE_JOURNALLED]);
    ensure(n[SOURCE_JOURNALLED] == (int64_t)book->memory->count);
}

static bool decodes(struct str bytes)
{
    struct field_set *set = field_set_new();
    struct value values[FIELD_MAX];
    size_t at;
    int64_t us;
    bool good = change_scan(set, bytes, values, &at) == DEAD_NONE;
    if (good) {
        const enum dead_reason reason = change_time(values, FIELD_TIMESTAMP, change_kind(values), &us);
        good = reason == DEAD_NONE;
    }
    field_set_free(set);
    return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct book book = {.memory = memory_output_new()};
    book.output = (struct source_output){book_commit, book_note, book_tail, book_dead, book_bounds};
    const struct str bytes = str_n((const char *)data, size);
    struct dead_letter d = {.id = 1,
                            .stage = "source",
                            .reason = "syntax",
                            .position = STR("FILE:1"),
                            .arrival_us = size % 3 ? (int64_t)size * US_PER_MINUTE * MINUTES : TIME_NONE,
                            .stream_us = TIME_NONE,
                            .retried_us = TIME_NONE,
                            .bytes = bytes};
    struct err err, again;
    const bool admitted = retry(&book, &d, &err);
    ensure(admitted == decodes(bytes));
    ensure(book.memory->count == admitted && book.commits == admitted && book.dead == 0);
    ensure(!admitted || str_eq(book.memory->records[0].value, bytes));
    check_balance(&book);
    ensure(retry(&book, &d, &again) == admitted);
    ensure(admitted || strcmp(err.text, again.text) == 0);
    ensure(book.memory->count <= (size_t)1 + admitted && book.dead == 0);
    check_balance(&book);
    memory_output_free(book.memory);
    return 0;
}
