/* SPDX-License-Identifier: MIT
 *
 * source.h - where changes come from (front header of this room). This room knows base and change (the design's table
 * says base only; R3 and R4 are about meta.topic, meta.dt, meta.id and meta.offset, so it needs the decoder: see
 * ARCHITECTURE.md).
 *
 * A source belongs to one thread, the ingester. It decides what becomes of each record (admission.h), collects a batch
 * and hands it to a `source_output`, which the app implements over the journal. Position, audit and ledger travel in
 * the same batch (R3, R11).
 */
#ifndef WIKITALLY_SOURCE_SOURCE_H
#define WIKITALLY_SOURCE_SOURCE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/record.h"
#include "change/filter.h"

/* The journal as the source sees it; every call from the source's thread. */
struct source_output {
    /* Durable on ERR_NONE. Blocks (and retries by itself) while the journal is full: pressure reaches the source (R13).
     * Any other class ends the source. */
    enum err_class (*commit)(struct source_output *o, const struct batch *b, struct err *err);
    /* The stored note ("position", "audit", "file"), in arena; ptr NULL: none. */
    enum err_class (*note)(struct source_output *o, struct str key, struct arena *arena, struct str *ret_value,
                           struct err *err);
    /* Records with from <= offset < to of a partition, in order, as far as they are there: for rebuilding the table of
     * identities, and for healing. `each` returns false to stop. */
    enum err_class (*tail)(struct source_output *o, uint32_t partition, int64_t from, int64_t to,
                           bool (*each)(const struct record *r, void *ctx), void *ctx, struct err *err);
    /* Dead letters whose stream_us >= since_us (or unknown), for the same. */
    enum err_class (*dead)(struct source_output *o, int64_t since_us,
                           bool (*each)(const struct dead_letter *d, void *ctx), void *ctx, struct err *err);
    /* Oldest and next offset of a partition. */
    enum err_class (*bounds)(struct source_output *o, uint32_t partition, int64_t *ret_head, int64_t *ret_end,
                             struct err *err);
};

struct source_options {
    int64_t overlap_us;      /* 60 s (R3) */
    int64_t horizon_us;      /* 120 s */
    int64_t skew_us;         /* 60 s (R5) */
    int64_t delay_us;        /* 2 min: "far behind" is half of it */
    int64_t idle_after_us;   /* 30 s (R7) */
    int64_t commit_every_us; /* 200 ms */
    int64_t commit_bytes;    /* 1 MiB */
    size_t max_identities;   /* 1,000,000 */
    size_t newest; /* newest identities of a topic that are known besides: 10,000 for a stream, 0 for files (oracle.md
                      section 4) */
    uint32_t partitions; /* of the journal; a record's partition = hash of (wiki, title), canaries to partition 0 */
    const char *filter;  /* ingest filter (filter.h), NULL or "": none */
    const char *const *topics; /* upstream topics, both data centres' */
    size_t topic_count;
    bool heal;
    struct clock *clock;
    uint64_t seed; /* of the backoff's jitter */
    /* The fields that a task of this process wants, NULL: none. What they hold in each record goes with the batch, at
     * their indexes in this set. Borrowed, and not changed any more. */
    const struct field_set *shared_fields;
    /* Of a journal on Kafka: records get labels (key and kind); what is longer than record_max is a dead letter (0:
     * what can be decoded fits); the offsets that a batch's records get may be higher than those that were expected. */
    bool labels;
    int64_t record_max;
    bool sparse;
};

struct source;
struct source_ops {
    /* Runs until source_stop, the end of a file (ERR_NONE, *ret_ended true), or an error that trying again cannot mend.
     */
    enum err_class (*run)(struct source *s, struct source_output *output, bool *ret_ended, struct err *err);
    void (*stop)(struct source *s); /* any thread; returns at once; run commits what it has and returns */
    void (*free)(struct source *s);
};
struct source {
    const struct source_ops *ops;
};

/* The live stream; takes the transport (frees it). */
struct transport;
enum err_class source_open_stream(const struct source_options *options, struct transport *transport,
                                  struct source **ret_source, struct err *err);

struct file_options {
    const char *const *paths; /* NDJSON, raw SSE, or journal-dump lines; plain, gzip, zstd; "-" = standard input */
    size_t path_count;
    double speed; /* 0: as fast as it goes; 1: as recorded; 20: twenty times that */
    bool loop;
    const char *arrival_tsv; /* as in oracle.md section 1; NULL */
    int64_t arrival_base_ms;
    int64_t limit;          /* stop after that many records; 0: none */
    int64_t close_after_us; /* --close: at the end a tick that far behind the source's stream time; 0: none */
};
/* Follows the files one after the other; its note "file" goes with each batch, so that after a kill it goes on with the
 * record behind the last one committed. Ends with ERR_NONE and *ret_ended true (not with `loop`). */
enum err_class source_open_files(const struct source_options *options, const struct file_options *file,
                                 struct source **ret_source, struct err *err);

/* One record of a recording, as the upstream server and `record` need it too. */
struct recording;
struct input_wait;
enum err_class recording_open(const char *path, struct recording **ret_recording, struct err *err);
/* The same for what may have nothing for a while (base/input.h): ERR_RETRY, here or while reading, if it gave up. */
enum err_class recording_open_waiting(const char *path, const struct input_wait *wait, struct recording **ret_recording,
                                      struct err *err);
/* ERR_NONE with *ret_more false at the end. Bytes borrowed until the next call; arrival TIME_NONE if not recorded. */
enum err_class recording_next(struct recording *r, struct str *ret_bytes, int64_t *ret_arrival_us, bool *ret_more,
                              struct err *err);
void recording_close(struct recording *r);

/* Made-up events with the stream's real shape (data-shape.md section 10). Deterministic by seed. */
struct generator_options {
    uint64_t seed;
    double rate;             /* mean events per second of event time; default 45 */
    double late;             /* share of late changes; < 0: 0.0005; 0 also without the years-old log entries */
    double duplicates;       /* share of records repeated soon after; default 0 */
    double future, poison;   /* share with a time from the future / undecodable bytes; default 0 */
    bool canaries;           /* every 15 minutes on both topics */
    bool rare;               /* all of data-shape.md section 10.7 now and then */
    int64_t start_us;        /* event time of the first; TIME_NONE: 2026-06-01T00:00:00Z */
    int64_t switch_after_us; /* data-centre switch that long after start; 0: none */
};
struct generator;
struct generator *generator_new(const struct generator_options *options);
void generator_free(struct generator *g);
/* The next event: JSON text (with meta.topic, partition, offset), borrowed until the next call, and when it arrived by
 * its own time line. */
struct str generator_next(struct generator *g, int64_t *ret_arrival_us);
/* As a source: paced at options->rate against the clock (rate 0 in `pace`: as fast as it goes), `limit` events at most
 * (0: none). */
enum err_class source_open_generator(const struct source_options *options, const struct generator_options *generator,
                                     double pace, int64_t limit, struct source **ret_source, struct err *err);

/* deadletters retry: decodes the bytes again and admits them like a record that has just been received. *ret_admitted
 * false: still dead, err says why (and the return is ERR_NONE). Each is committed through output, which is borrowed;
 * after an error there is nothing to do but to free it. */
struct source_retry;
enum err_class source_retry_new(const struct source_options *options, struct source_output *output,
                                struct source_retry **ret_retry, struct err *err);
enum err_class source_retry_dead(struct source_retry *r, const struct dead_letter *d, bool *ret_admitted,
                                 struct err *err);
void source_retry_free(struct source_retry *r); /* NULL is fine */

/* The audit note as a table: one row a hole. */
struct hole_row {
    struct str topic;
    int64_t numbering, from, to, seen_us;
    const char *outcome;
    int64_t tries;
}; /* outcome: open, healed, unfilled */
enum err_class source_audit_rows(struct str audit_note, struct arena *arena, const struct hole_row **ret_rows,
                                 size_t *ret_count, struct err *err);
/* R13: lowers keep[partition] to the first record that rebuilding the table of identities will read again. A note that
 * is not understood lowers them all to 0: nothing is removed then. */
void source_tail_keep(struct str position_note, int64_t *keep, uint32_t partitions);
/* A gap in the resume (R3): what could not be proven continuous. */
struct gap_row {
    struct str topic;
    int64_t from_us, to_us;
};
enum err_class source_gap_rows(struct str position_note, struct arena *arena, const struct gap_row **ret_rows,
                               size_t *ret_count, struct err *err);

#endif
