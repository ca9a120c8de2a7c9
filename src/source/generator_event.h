/* SPDX-License-Identifier: MIT
 *
 * generator_event.h - between the generator's time line (generator.c) and its text (generator_text.c); private to this
 * room. An event is decided when its request happens and written out when its turn comes.
 */
#ifndef WIKITALLY_SOURCE_GENERATOR_EVENT_H
#define WIKITALLY_SOURCE_GENERATOR_EVENT_H

#include "base/buf.h"
#include "base/hash.h"
#include "source/generator_words.h"

enum gen_rare { /* data-shape.md section 10.7 */
                RARE_NONE,
                RARE_EXTERNAL,
                RARE_UNKNOWN_TYPE,
                RARE_NUMBER_TYPE,
                RARE_NEGATIVE_NAMESPACE,
                RARE_NULLS,
                RARE_OLD_META,
                RARE_SCHEMA_1_0_1,
                RARE_PARAMS_STRING,
                RARE_PARAMS_NULL,
                RARE_EMPTY_USER,
                RARE_NO_USER,
                RARE_LONG_COMMENT,
                RARE_COUNT
};

struct gen_event {
    int64_t key_us;  /* place in the order of offsets */
    uint64_t serial; /* breaks ties, so that the order is a function of the seed */
    int64_t dt_ms;   /* meta.dt */
    int64_t timestamp_s;
    uint64_t request_hi, request_lo; /* meta.request_id, the same for all events of a request */
    uint64_t rcid, revision, log_id;
    uint32_t title, page; /* ranks; page: what a categorize row is about */
    uint32_t user;        /* rank */
    uint16_t wiki;
    int16_t namespace_id, page_namespace;
    uint8_t kind; /* enum gen_kind, or CANARY */
    uint8_t rare; /* enum gen_rare */
    uint8_t topic;
    uint8_t style; /* of comment or log entry */
    bool bot, temporary;
};
enum { GEN_CANARY = GEN_KINDS };

/* What is written around an event. */
struct gen_place {
    const char *topic;
    int64_t offset;
};

extern const char *const gen_topics[2]; /* eqiad, codfw */

void gen_add_uuid(struct buf *b, struct rng *rng);         /* a fresh one, version 4 */
void gen_add_dt(struct buf *out, int64_t dt_ms, bool old); /* old: as in 2017, +00:00 and whole seconds */

/* The JSON text of one event, appended to out. `scratch` is overwritten. */
void gen_write(struct buf *out, struct buf *scratch, struct rng *rng, const struct gen_wiki *wikis,
               const struct gen_event *e, const struct gen_place *place);
void gen_write_canary(struct buf *out, struct rng *rng, const struct gen_event *e, const struct gen_place *place);
/* Bytes that cannot be decoded; each is unique (it holds a fresh UUID). */
void gen_write_poison(struct buf *out, struct rng *rng, int64_t dt_ms);

#endif
