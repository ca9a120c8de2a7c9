/* SPDX-License-Identifier: MIT
 *
 * source_spec.c - see source_spec.h.
 */
#include "app/source_spec.h"

#include "base/hash.h"
#include "source/transport.h"

#include <stdlib.h>

/* A source that is read as fast as it goes (the stream when it is behind) is committed in larger steps: fewer waits for
 * the disk, the same guarantee. */
#define BULK_COMMIT_BYTES ((int64_t)8 << 20)
#define DEFAULT_COMMIT_BYTES ((int64_t)1 << 20)
enum { NEWEST_OF_A_STREAM = 10000, MAX_IDENTITIES = 1000000 };

static enum err_class parse_files(struct str text, struct source_spec *spec, struct err *err)
{
    struct str path;
    spec->kind = SOURCE_KIND_REPLAY;
    while (str_split(&text, ',', &path)) {
        if (path.len == 0)
            return err_set(err, ERR_REJECT, EXIT_USAGE, "--source: replay: wants the name of a file");
        string_list_add(&spec->files, path);
    }
    if (spec->files.count == 0)
        return err_set(err, ERR_REJECT, EXIT_USAGE, "--source: replay: wants the name of a file");
    return ERR_NONE;
}

static enum err_class parse_synthetic(struct str rate, struct source_spec *spec, struct err *err)
{
    spec->kind = SOURCE_KIND_SYNTHETIC;
    spec->rate = 45;
    if (rate.len == 0)
        return ERR_NONE;
    AUTO_FREE char *text = str_dup(rate);
    char *end = text;
    spec->rate = strcmp(text, "max") == 0 ? 0 : strtod(text, &end);
    if (strcmp(text, "max") != 0 && (*end != 0 || !(spec->rate > 0 && spec->rate <= 1e7)))
        return err_set(err, ERR_REJECT, EXIT_USAGE, "--source: \"%s\" is not a rate in events per second, nor \"max\"",
                       text);
    return ERR_NONE;
}

/* The configured topics go with the configured URL; another URL names its own streams. */
static void set_topics(struct source_spec *spec, const struct config *config)
{
    bool configured = strcmp(spec->url, config->source.url) == 0;
    for (size_t i = 0; configured && i < config->source.topics.count; i++)
        string_list_add(&spec->topics, str_of(config->source.topics.items[i]));
    if (spec->topics.count == 0)
        config_topics_of(spec->url, &spec->topics);
}

enum err_class source_spec_parse(const char *text, const struct config *config, struct source_spec *ret_spec,
                                 struct err *err)
{
    struct source_spec spec = {.seed = 1};
    struct str s = str_of(text ? text : "live");
    enum err_class cls = ERR_NONE;
    if (str_eq(s, STR("live"))) {
        spec.url = str_dup(str_of(config->source.url));
    } else if (str_starts(s, STR("http://")) || str_starts(s, STR("https://"))) {
        spec.url = str_dup(s);
    } else if (str_starts(s, STR("replay:"))) {
        cls = parse_files(str_n(s.ptr + 7, s.len - 7), &spec, err);
    } else if (str_eq(s, STR("synthetic")) || str_starts(s, STR("synthetic:"))) {
        cls = parse_synthetic(s.len > 10 ? str_n(s.ptr + 10, s.len - 10) : (struct str){0}, &spec, err);
    } else {
        cls = err_set(err, ERR_REJECT, EXIT_USAGE,
                      "--source: \"%s\" is not live, a URL, replay:FILE or synthetic[:RATE]", text);
    }
    if (cls) {
        source_spec_fini(&spec);
        return cls;
    }
    spec.generator.start_us = TIME_NONE;
    if (spec.kind == SOURCE_KIND_LIVE)
        set_topics(&spec, config);
    *ret_spec = spec;
    return ERR_NONE;
}

void source_spec_fini(struct source_spec *s)
{
    free(s->url);
    string_list_fini(&s->files);
    string_list_fini(&s->topics);
    s->url = NULL;
}

void source_spec_identity(const struct source_spec *s, struct buf *out)
{
    if (s->kind == SOURCE_KIND_LIVE) {
        buf_addf(out, "eventstreams:%s", s->url);
        return;
    }
    if (s->kind == SOURCE_KIND_SYNTHETIC) {
        buf_addf(out, "synthetic:%llu", (unsigned long long)s->seed);
        return;
    }
    buf_addz(out, "files:");
    for (size_t i = 0; i < s->files.count; i++) {
        AUTO_FREE char *absolute = realpath(s->files.items[i], NULL);
        buf_addf(out, "%s%s", i ? "," : "", absolute ? absolute : s->files.items[i]);
    }
}

static void state_home(const struct config *config, struct buf *out)
{
    const char *xdg = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (config->data_dir && *config->data_dir)
        buf_addz(out, config->data_dir);
    else if (xdg && *xdg)
        buf_addf(out, "%s/wikitally", xdg);
    else if (home && *home)
        buf_addf(out, "%s/.local/state/wikitally", home);
    else
        buf_addz(out, "/var/lib/wikitally");
}

void source_spec_directory(const struct source_spec *s, const struct config *config, struct buf *out)
{
    state_home(config, out);
    if (s->kind == SOURCE_KIND_SYNTHETIC)
        buf_addz(out, "/synthetic");
    if (s->kind != SOURCE_KIND_REPLAY)
        return;
    AUTO(buf) struct buf identity = {0};
    source_spec_identity(s, &identity);
    buf_addf(out, "/replay-%016llx", (unsigned long long)hash_bytes(buf_str(&identity), 0));
}

void source_spec_options(const struct source_spec *s, const struct config *config, const struct journal *journal,
                         struct clock *clock, struct source_options *ret_options)
{
    bool sparse = journal && journal_sparse(journal);
    bool paced = (s->kind == SOURCE_KIND_REPLAY && s->speed > 0) || (s->kind == SOURCE_KIND_SYNTHETIC && s->rate > 0);
    int64_t commit_bytes = config->journal.commit_bytes;
    if (!paced && commit_bytes == DEFAULT_COMMIT_BYTES) /* whoever set another size wants that one */
        commit_bytes = BULK_COMMIT_BYTES;
    *ret_options = (struct source_options){
        .overlap_us = config->source.overlap_us,
        .horizon_us = config->source.horizon_us,
        .skew_us = config->source.skew_us,
        .delay_us = config->source.delay_us,
        .idle_after_us = config->source.idle_after_us,
        .commit_every_us = config->journal.commit_every_us,
        .commit_bytes = commit_bytes,
        .max_identities = MAX_IDENTITIES,
        .newest = s->kind == SOURCE_KIND_LIVE ? NEWEST_OF_A_STREAM : 0,
        .partitions = journal ? journal_partitions(journal) : 1,
        .labels = sparse,
        .record_max = sparse ? journal_record_max(journal) : 0,
        .sparse = sparse,
        .filter = config->ingest.filter,
        .topics = (const char *const *)s->topics.items,
        .topic_count = s->topics.count,
        .heal = config->source.heal,
        .clock = clock,
        .seed = hash_random_seed(),
    };
}

static enum err_class open_stream(const struct source_spec *s, const struct config *config,
                                  const struct source_options *options, struct source **ret_source, struct err *err)
{
    struct transport *transport;
    struct eventstreams_options stream = {
        .url = s->url,
        .contact = config->source.contact,
        .ca_file = config->source.ca_file,
        .proxy = config->source.proxy,
        .accept_gzip = config->source.gzip,
        .connect_timeout_us = config->source.connect_timeout_us,
        .clock = options->clock,
    };
    enum err_class cls = transport_open_eventstreams(&stream, &transport, err);
    return cls ? cls : source_open_stream(options, transport, ret_source, err);
}

enum err_class source_spec_open(const struct source_spec *s, const struct config *config, const struct journal *journal,
                                const struct field_set *shared_fields, struct clock *clock, struct source **ret_source,
                                struct err *err)
{
    struct source_options options;
    source_spec_options(s, config, journal, clock, &options);
    options.shared_fields = shared_fields;
    if (s->kind == SOURCE_KIND_LIVE)
        return open_stream(s, config, &options, ret_source, err);
    if (s->kind == SOURCE_KIND_REPLAY) {
        struct file_options file = {
            .paths = (const char *const *)s->files.items,
            .path_count = s->files.count,
            .speed = s->speed,
            .loop = s->loop,
            .arrival_tsv = s->arrival_tsv,
            .arrival_base_ms = s->arrival_base_ms,
            .limit = s->limit,
            .close_after_us = s->close_after_us,
        };
        return source_open_files(&options, &file, ret_source, err);
    }
    struct generator_options generator = s->generator;
    generator.seed = s->seed;
    generator.rate = s->rate > 0 ? s->rate : 45;
    if (generator.start_us == TIME_NONE && s->rate > 0) /* paced: its time is ours */
        generator.start_us = clock_wall(clock);
    generator.canaries = true;
    return source_open_generator(&options, &generator, s->rate, s->limit, ret_source, err);
}
