/* SPDX-License-Identifier: MIT
 *
 * admission_load.c - making an admission, and its state after a start: position and audit from their notes, the table
 * of identities from the parts of the journal that the position names (R3), recent dead letters.
 *
 * The table comes out as it was: a record is remembered only if it lies in the tail of its own topic, in the order of
 * arrival (with several partitions: merged by it), and every record that a clock stood at is in that tail itself.
 */
#include "source/admission_state.h"

#include <stdlib.h>

struct tail_row {
    struct decoded decoded; /* without its bytes */
    struct identity_place place;
};
struct loader {
    struct admission *a;
    uint32_t partition;
    struct tail_row *rows;
    size_t count, cap;
    enum err_class cls;
    struct err *err;
};

/* A set that begins with these fields: what is scanned into it can be read by either. */
static struct field_set *fields_like(const struct field_set *shared)
{
    struct field_set *fields = field_set_new();
    for (size_t i = 0; shared && i < field_set_count(shared); i++) {
        ensure(field_set_add(fields, field_set_path(shared, i), NULL) == (int)i);
    }
    return fields;
}

enum err_class admission_new(const struct source_options *options, struct admission **ret_admission, struct err *err)
{
    if (options->partitions < 1 || options->partitions > PARTITION_MAX || options->topic_count > POSITION_TOPICS) {
        return err_set(err, ERR_REJECT, EXIT_CONFIG,
                       "source: %u partitions, %zu topics: 1 to %d and at most %d are possible",
                       (unsigned)options->partitions, options->topic_count, PARTITION_MAX, POSITION_TOPICS);
    }
    struct admission *a = xcalloc(1, sizeof *a);
    a->options = *options;
    a->fields = fields_like(options->shared_fields);
    a->reason = "";
    a->last_offset = -1;
    a->received_mono_us = TIME_NONE;
    position_init(&a->position);
    a->topic_names = xcalloc(1, sizeof *a->topic_names);
    a->topic_count = a->topic_cap = 1;
    a->identities =
        identities_new(options->max_identities, fault("R3.newest") ? 0 : options->newest, options->horizon_us);
    if (options->filter && options->filter[0]) {
        a->filter = filter_compile(str_of(options->filter), a->fields, NULL, err);
        if (!a->filter) {
            admission_free(a);
            err_prefix(err, "ingest filter");
            return ERR_REJECT;
        }
    }
    a->own_values = xcalloc(field_set_count(a->fields), sizeof *a->own_values);
    a->values = options->shared_fields ? NULL : a->own_values; /* shared ones go with the batch, and outlive this */
    for (size_t i = 0; i < options->topic_count; i++) {
        if (position_topic(&a->position, options->topics[i]) != i) {
            admission_free(a);
            return err_set(err, ERR_REJECT, EXIT_CONFIG, "source: topic \"%s\" is named twice, or too long",
                           options->topics[i]);
        }
    }
    *ret_admission = a;
    return ERR_NONE;
}

void admission_free(struct admission *a)
{
    if (!a) {
        return;
    }
    filter_free(a->filter);
    field_set_free(a->fields);
    free(a->own_values);
    identities_free(a->identities);
    free(a->topic_names);
    position_fini(&a->position);
    audit_fini(&a->audit);
    arena_fini(&a->arena);
    free(a->records);
    free((void *)a->record_values);
    free(a->labels);
    free(a->dead);
    tally_fini(&a->tally);
    buf_fini(&a->position_text);
    buf_fini(&a->audit_text);
    buf_fini(&a->scratch);
    buf_fini(&a->other_scratch);
    free(a);
}

/* ---- notes */

static size_t audit_topic(void *ctx, const char *topic)
{
    return position_topic(ctx, topic);
}

static struct numbering *audit_numbering(void *ctx, size_t topic)
{
    return &((struct position *)ctx)->topics[topic].numbering;
}

static enum err_class notes_load(struct admission *a, struct source_output *output, struct err *err)
{
    AUTO(arena) struct arena arena = {0};
    struct str position = {NULL, 0}, audit = {NULL, 0};
    enum err_class cls = output->note(output, STR("position"), &arena, &position, err);
    if (!cls) {
        cls = output->note(output, STR("audit"), &arena, &audit, err);
    }
    if (cls) {
        return cls;
    }
    if ((position.ptr && !position_read(&a->position, position)) ||
        (audit.ptr && !audit_read(&a->audit, audit, audit_topic, audit_numbering, &a->position))) {
        return err_set(err, ERR_FATAL, EXIT_DATA, "the position stored in the journal cannot be understood");
    }
    for (size_t i = 0; i < a->position.topic_count; i++) {
        admission_topic(a, str_of(a->position.topics[i].name));
    }
    return ERR_NONE;
}

/* ---- tail */

static bool tail_holds(const struct admission *a, size_t topic, uint32_t partition, int64_t offset)
{
    for (size_t i = 0; i < a->position.tail_count; i++) {
        const struct tail *t = &a->position.tails[i];
        if (t->partition == partition && t->low <= offset && (offset <= t->high || a->options.sparse) &&
            (strcmp(t->topic, a->topic_names[topic]) == 0 || strcmp(t->topic, "*") == 0)) {
            return true;
        }
    }
    return false;
}

static bool row_keep(const struct record *r, void *ctx)
{
    struct loader *l = ctx;
    if (l->count == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 1024;
        l->rows = xrealloc(l->rows, l->cap * sizeof *l->rows);
    }
    struct tail_row *row = &l->rows[l->count];
    admission_decode(l->a, r->value, r->arrival_us, true, &row->decoded);
    row->decoded.bytes = (struct str){NULL, 0};
    row->place = (struct identity_place){l->partition, r->offset};
    /* Ticks of our own have no name and move no clock of the table. */
    bool ours = row->decoded.kind == CHANGE_TICK && !row->decoded.id_count;
    l->count += row->decoded.reason == DEAD_NONE && !ours;
    return true;
}

static int by_arrival(const void *left, const void *right)
{
    const struct tail_row *a = left, *b = right;
    if (a->decoded.arrival_us != b->decoded.arrival_us) {
        return a->decoded.arrival_us < b->decoded.arrival_us ? -1 : 1;
    }
    if (a->place.partition != b->place.partition) {
        return a->place.partition < b->place.partition ? -1 : 1;
    }
    return (a->place.offset > b->place.offset) - (a->place.offset < b->place.offset);
}

static enum err_class partition_load(struct loader *l, struct source_output *output)
{
    int64_t head = 0, end = 0, low = INT64_MAX, high = -1;
    enum err_class cls = output->bounds(output, l->partition, &head, &end, l->err);
    if (cls) {
        return cls;
    }
    l->a->partitions[l->partition] = (struct partition_state){end, clock_mono(l->a->options.clock)};
    for (size_t i = 0; i < l->a->position.tail_count; i++) {
        const struct tail *t = &l->a->position.tails[i];
        if (t->partition == l->partition) {
            low = t->low < low ? t->low : low;
            high = t->high > high ? t->high : high;
        }
    }
    /* Bounded, whatever the note says: by what is there, and by what can be known. */
    int64_t most = (int64_t)l->a->options.max_identities;
    low = low > head ? low : head;
    high = high < end && !l->a->options.sparse ? high : end - 1;
    low = high - low >= most ? high - most + 1 : low;
    return high < low ? ERR_NONE : output->tail(output, l->partition, low, high + 1, row_keep, l, l->err);
}

static enum err_class tail_load(struct loader *l, struct source_output *output)
{
    struct admission *a = l->a;
    enum err_class cls = ERR_NONE;
    for (l->partition = 0; !cls && l->partition < a->options.partitions; l->partition++) {
        cls = partition_load(l, output);
    }
    if (cls) {
        return cls;
    }
    if (a->options.partitions > 1 && l->count) { /* a single partition is in order, whatever its arrivals say */
        qsort(l->rows, l->count, sizeof *l->rows, by_arrival);
    }
    int64_t clock_us = a->position.clock_us;
    a->position.clock_us = a->position.floor_us;
    identities_move(a->identities, IDENTITY_CLOCK_STREAM, a->position.floor_us);
    for (size_t i = 0; !cls && i < l->count; i++) {
        const struct tail_row *row = &l->rows[i];
        if (tail_holds(a, row->decoded.topic, row->place.partition, row->place.offset)) {
            cls = admission_remember(a, &row->decoded, row->place, l->err);
        } else { /* not known any more, but what is known by stream time stands between such records */
            admission_move_clock(a, &row->decoded);
        }
    }
    if (clock_us > a->position.clock_us) {
        a->position.clock_us = clock_us;
        identities_move(a->identities, IDENTITY_CLOCK_STREAM, clock_us);
    }
    return cls;
}

/* ---- dead letters */

static bool dead_keep(const struct dead_letter *d, void *ctx)
{
    struct loader *l = ctx;
    if (strcmp(d->stage, "source") == 0) {
        struct identity id = identity_of_bytes(d->bytes);
        struct identity_place nowhere = {0, -1};
        l->cls = identities_add(l->a->identities, &id, 1, IDENTITY_CLOCK_STREAM, d->stream_us, nowhere, l->err);
    }
    return l->cls == ERR_NONE;
}

static enum err_class dead_load(struct loader *l, struct source_output *output)
{
    const struct admission *a = l->a;
    int64_t clock_us = a->position.clock_us, reach_us = a->options.newest ? US_PER_DAY : a->options.horizon_us;
    int64_t since_us = clock_us == TIME_NONE || reach_us > clock_us ? 0 : clock_us - reach_us;
    enum err_class cls = output->dead(output, since_us, dead_keep, l, l->err);
    return cls ? cls : l->cls;
}

enum err_class admission_load(struct admission *a, struct source_output *output, struct err *err)
{
    struct loader l = {.a = a, .err = err};
    enum err_class cls = notes_load(a, output, err);
    cls = cls ? cls : tail_load(&l, output);
    cls = cls ? cls : dead_load(&l, output);
    free(l.rows);
    a->audit.changed = false;
    return cls ? err_prefix(err, "starting where the journal ends") : ERR_NONE;
}
