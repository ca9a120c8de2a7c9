/* SPDX-License-Identifier: MIT
 *
 * source_spec.h - what `--source` says: live | URL | replay:FILE[,FILE...] | synthetic[:RATE].
 */
#ifndef WIKITALLY_APP_SOURCE_SPEC_H
#define WIKITALLY_APP_SOURCE_SPEC_H

#include "app/config.h"
#include "base/metrics.h"
#include "source/source.h"

struct source_spec {
    enum source_kind kind;
    char *url;                 /* LIVE */
    struct string_list topics; /* LIVE: configured, or both data centres' for every stream that the URL names */
    struct string_list files;  /* REPLAY */
    double rate;               /* SYNTHETIC: events per second; 0: as fast as it goes */
    double speed;              /* REPLAY: 0 as fast as it goes */
    bool loop;
    int64_t limit;           /* stop after that many records, exactly for files and made-up events; 0: none */
    int64_t close_after_us;  /* REPLAY --close: a last tick that far behind the source's stream time; 0: none */
    uint64_t seed;           /* SYNTHETIC */
    const char *arrival_tsv; /* REPLAY; borrowed */
    int64_t arrival_base_ms;
    struct generator_options generator;
};

/* "live" and NULL are the configured URL. ERR_REJECT/EXIT_USAGE for what is none of the forms. */
enum err_class source_spec_parse(const char *text, const struct config *config, struct source_spec *ret_spec,
                                 struct err *err);
void source_spec_fini(struct source_spec *s);

/* The identity that a journal remembers (R2): "eventstreams:URL", "files:PATH...", "synthetic:SEED". */
void source_spec_identity(const struct source_spec *s, struct buf *out);
/* Where such a source's data lives if nobody said: files and made-up events have directories of their own (R2). */
void source_spec_directory(const struct source_spec *s, const struct config *config, struct buf *out);

/* For this journal; NULL: for one partition and nothing of its kind. shared_fields: as in struct source_options. */
enum err_class source_spec_open(const struct source_spec *s, const struct config *config, const struct journal *journal,
                                const struct field_set *shared_fields, struct clock *clock, struct source **ret_source,
                                struct err *err);
void source_spec_options(const struct source_spec *s, const struct config *config, const struct journal *journal,
                         struct clock *clock, struct source_options *ret_options);

#endif
