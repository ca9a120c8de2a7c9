/* SPDX-License-Identifier: MIT
 *
 * Layers, origins, variables, secrets, and what is written out of a configuration.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config_support.h"

#include "app/config_node.h"

static const char *const no_environment[] = {NULL};

static void load(struct config_sources *sources, struct config *c)
{
    struct err err = {0};
    sources->environment = sources->environment ? sources->environment : no_environment;
    sources->system_file = sources->system_file ? sources->system_file : "/nonexistent/wikitally.yaml";
    if (config_load(sources, c, &err)) {
        fail_msg("%s", err.text);
    }
}

static void refused(struct config_sources *sources, const char *says)
{
    struct err err = {0};
    struct config c = {0};
    sources->environment = sources->environment ? sources->environment : no_environment;
    sources->system_file = sources->system_file ? sources->system_file : "/nonexistent/wikitally.yaml";
    assert_int_equal(config_load(sources, &c, &err), ERR_REJECT);
    assert_int_equal(err.code, EXIT_CONFIG);
    if (!strstr(err.text, says)) {
        fail_msg("\"%s\" is not in \"%s\"", says, err.text);
    }
    assert_null(c.p);
}

/* "value  # origin" of a key as `config show --origin` says it; keys of sections only. */
static void shows(const struct config *c, const char *line)
{
    AUTO(buf) struct buf b = {0};
    config_show(c, true, &b);
    if (!strstr(b.ptr, line)) {
        fail_msg("no \"%s\" in\n%s", line, b.ptr);
    }
}

static void defaults(void **state)
{
    (void)state;
    struct config c;
    load(&(struct config_sources){0}, &c);
    assert_string_equal(c.source.url, "https://stream.wikimedia.org/v2/stream/recentchange");
    assert_int_equal(c.source.overlap_us, 60 * US_PER_SECOND);
    assert_int_equal(c.source.horizon_us, 120 * US_PER_SECOND);
    assert_int_equal(c.source.topics.count, 2);
    assert_string_equal(c.source.topics.items[1], "codfw.mediawiki.recentchange");
    assert_int_equal(c.journal.retention_age_us, 7 * US_PER_DAY);
    assert_int_equal(c.journal.retention_bytes, (int64_t)20 << 30);
    assert_int_equal(c.journal.on_full, ON_FULL_WAIT);
    assert_string_equal(c.serve.listen, "127.0.0.1:8787");
    assert_null(c.serve.token);
    assert_null(c.serve.web_dir);
    assert_string_equal(c.data_dir, "");
    assert_int_equal(c.warnings.count, 0);
    config_fini(&c);
}

/* The five that the seeds of this product had, exactly as the room that computes them declares them. */
static void built_in_aggregations(void **state)
{
    (void)state;
    struct config c;
    load(&(struct config_sources){0}, &c);
    size_t count = 0;
    for (const char *const *name = aggregation_built_in_names; *name; name++, count++) {
        const struct aggregation_options *want = aggregation_built_in(str_of(*name));
        assert_true(count < c.aggregation_count);
        const struct aggregation_options *got = &c.aggregations[count];
        assert_string_equal(got->name, want->name);
        assert_int_equal(got->key_count, want->key_count);
        for (size_t i = 0; i < want->key_count; i++) {
            assert_string_equal(got->keys[i], want->keys[i]);
        }
        assert_int_equal(got->measure_count, want->measure_count);
        assert_string_equal(got->measures[0], want->measures[0]);
        assert_string_equal(got->time_field, want->time_field);
        assert_int_equal(got->size_us, want->size_us);
        assert_int_equal(got->slide_us, want->slide_us);
        assert_int_equal(got->delay_us, want->delay_us);
        assert_int_equal(got->skew_us, want->skew_us);
        assert_int_equal(got->late, want->late);
        assert_int_equal(got->lateness_us, want->lateness_us);
        assert_int_equal(got->max_keys, want->max_keys);
        assert_int_equal(got->on_change, want->on_change);
    }
    assert_int_equal(count, c.aggregation_count);
    config_fini(&c);
}

static void later_layers_win(void **state)
{
    (void)state;
    char user_home[4096], place[4200];
    snprintf(user_home, sizeof user_home, "XDG_CONFIG_HOME=%s", path_of("home"));
    const char *environment[] = {user_home, NULL, NULL};
    const char *set[] = {"source.overlap=7s"};
    struct config_sources sources = {.system_file = path_of("etc/wikitally.yaml"), .environment = environment};
    char system_file[4096];
    snprintf(system_file, sizeof system_file, "%s", sources.system_file);
    sources.system_file = system_file;
    struct config c;

    load(&sources, &c); /* none of the files is there */
    assert_int_equal(c.source.overlap_us, 60 * US_PER_SECOND);
    config_fini(&c);

    write_file("etc/wikitally.yaml", "source:\n  overlap: 1s\n  horizon: 100s\n");
    load(&sources, &c);
    assert_int_equal(c.source.overlap_us, 1 * US_PER_SECOND);
    snprintf(place, sizeof place, "  overlap: 1s  # %s:2:12\n", system_file);
    shows(&c, place);
    shows(&c, "  skew: 1m  # default\n");
    config_fini(&c);

    write_file("home/wikitally/wikitally.yaml", "source: {overlap: 2s}");
    load(&sources, &c);
    assert_int_equal(c.source.overlap_us, 2 * US_PER_SECOND);
    assert_int_equal(c.source.horizon_us, 100 * US_PER_SECOND);
    config_fini(&c);

    write_file("etc/conf.d/50-b.yaml", "source:\n  overlap: 3s\n");
    write_file("etc/conf.d/.hidden.yaml", "nonsense: 1\n");
    write_file("etc/conf.d/notes.txt", "nonsense: 1\n");
    load(&sources, &c);
    assert_int_equal(c.source.overlap_us, 3 * US_PER_SECOND);
    config_fini(&c);

    write_file("home/wikitally/conf.d/10-a.yaml", "source:\n  overlap: 4s\n");
    write_file("home/wikitally/conf.d/20-b.yml", "source:\n  overlap: 5s\n");
    load(&sources, &c);
    assert_int_equal(c.source.overlap_us, 5 * US_PER_SECOND);
    config_fini(&c);

    environment[1] = "WIKITALLY_SOURCE_OVERLAP=6s";
    load(&sources, &c);
    assert_int_equal(c.source.overlap_us, 6 * US_PER_SECOND);
    shows(&c, "  overlap: 6s  # environment WIKITALLY_SOURCE_OVERLAP\n");
    config_fini(&c);

    sources.set = set;
    sources.set_count = 1;
    load(&sources, &c);
    assert_int_equal(c.source.overlap_us, 7 * US_PER_SECOND);
    shows(&c, "  overlap: 7s  # --set\n");
    config_fini(&c);

    sources.file = write_file("alone.yaml", "log: {level: debug}\n"); /* -c stands in for all files */
    environment[1] = NULL;
    sources.set_count = 0;
    load(&sources, &c);
    assert_int_equal(c.source.overlap_us, 60 * US_PER_SECOND);
    assert_int_equal(c.source.horizon_us, 120 * US_PER_SECOND);
    assert_int_equal(c.log.level, 3);
    config_fini(&c);
}

static void home_without_xdg(void **state)
{
    (void)state;
    char home[4096];
    write_file("h/.config/wikitally/wikitally.yaml", "data_dir: /from/home\n");
    snprintf(home, sizeof home, "HOME=%s", path_of("h"));
    struct config c;
    load(&(struct config_sources){.environment = (const char *const[]){home, NULL}}, &c);
    assert_string_equal(c.data_dir, "/from/home");
    config_fini(&c);
}

static void overlay_by_environment(void **state)
{
    (void)state;
    const char *file = write_file("o/conf.yaml", "source: {overlap: 10s, horizon: 40s}\n");
    const char *const prod[] = {"ENVIRONMENT=prod", NULL};
    const char *const climb[] = {"ENVIRONMENT=../prod", NULL};
    struct config_sources sources = {.file = file, .environment = prod};
    refused(&sources, "ENVIRONMENT is \"prod\", but there is no overlay \"");
    write_file("o/conf.prod.yaml", "source: {overlap: 20s}\n");
    struct config c;
    load(&sources, &c);
    assert_int_equal(c.source.overlap_us, 20 * US_PER_SECOND);
    assert_int_equal(c.source.horizon_us, 40 * US_PER_SECOND);
    config_fini(&c);
    sources.environment = climb;
    refused(&sources, "ENVIRONMENT is \"../prod\", which is no name of an overlay");
    sources.file = write_file("o/other.yaml", "source: {overlap: 10s}\n"); /* other names have no overlay */
    sources.environment = prod;
    load(&sources, &c);
    assert_int_equal(c.source.overlap_us, 10 * US_PER_SECOND);
    config_fini(&c);
}

static void variables_in_values(void **state)
{
    (void)state;
    const char *const environment[] = {"WHO=Ann", "EMPTY=", "N=7", NULL};
    struct config c;
    struct config_sources sources = {
        .file = write_file("v.yaml", "source:\n"
                                     "  contact: \"${WHO}@${HOST:-example.org}${EMPTY}${EMPTY:-!}\"\n"
                                     "  overlap: ${N}s\n"
                                     "ingest:\n"
                                     "  filter: title:/a$/ user:\"$${WHO}\"\n"),
        .environment = environment};
    load(&sources, &c);
    assert_string_equal(c.source.contact, "Ann@example.org!");
    assert_int_equal(c.source.overlap_us, 7 * US_PER_SECOND);
    assert_string_equal(c.ingest.filter, "title:/a$/ user:\"${WHO}\"");
    config_fini(&c);
    sources.file = write_file("v.yaml", "source:\n  contact: a ${NOBODY}\n");
    refused(&sources, "v.yaml:2:14: the environment has no \"NOBODY\"; set it, or write ${NOBODY:-default}");
    sources.file = write_file("v.yaml", "source:\n  contact: \"a ${no end\"\n");
    refused(&sources, "v.yaml:2:15: \"${\" without \"}\"");
    sources.file = write_file("v.yaml", "source:\n  contact: \"${A-B}\"\n");
    refused(&sources, "v.yaml:2:13: \"${A-B}\" is neither ${NAME} nor ${NAME:-default}");
}

static void env_file(void **state)
{
    (void)state;
    static const char text[] = "# comment\n"
                               "\n"
                               "WIKITALLY_SOURCE_OVERLAP=11s # why\n"
                               "export WIKITALLY_SOURCE_HORIZON = 44s\n"
                               "WHO='$x \"y\"'\n"
                               "MORE=\"a\\n\\\"b\\\"\" # c\n"
                               "WIKITALLY_LOG_LEVEL=warn\n";
    const char *const environment[] = {"WIKITALLY_LOG_LEVEL=error", NULL};
    struct config c;
    char name[4096];
    snprintf(name, sizeof name, "%s", write_file("e/.env", text));
    struct config_sources sources = {
        .file = write_file("e/c.yaml", "data_dir: \"${WHO}${MORE}\"\n"), .env_file = name, .environment = environment};
    load(&sources, &c);
    assert_int_equal(c.source.overlap_us, 11 * US_PER_SECOND);
    assert_int_equal(c.source.horizon_us, 44 * US_PER_SECOND);
    assert_string_equal(c.data_dir, "$x \"y\"a\n\"b\"");
    assert_int_equal(c.log.level, 0); /* the process's own value wins */
    shows(&c, "/.env:3:1\n");
    config_fini(&c);
    sources.env_file = NULL; /* never read unless it is named */
    refused(&sources, "the environment has no \"WHO\"");
    static const struct {
        const char *text, *says;
    } bad[] = {{"A=1\nB\n", ".env:2:1: not of the form NAME=value"},
               {"  1A=1\n", ".env:1:3: not of the form NAME=value"},
               {"A=\"x\n", ".env:1:3: the quoted value of \"A\" does not end"},
               {"A='x' y\n", ".env:1:3: the quoted value of \"A\" does not end"},
               {"WIKITALLY_SOURCE_OVERLAP=x\n", ".env:1:1: \"source.overlap\" is \"x\", which is not a duration"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_file("e/.env", bad[i].text);
        refused(&(struct config_sources){.env_file = name}, bad[i].says);
    }
    refused(&(struct config_sources){.env_file = "/nonexistent/.env"}, "cannot read \"/nonexistent/.env\"");
}

static void environment_names(void **state)
{
    (void)state;
    const char *const environment[] = {"WIKITALLY_DATA_DIR=/d",
                                       "WIKITALLY_SERVE_HOSTS=a.example, b.example",
                                       "WIKITALLY_SOURCE_CA_FILE=/dev/null",
                                       "WIKITALLY_AGGREGATIONS_USER_EDIT_COUNTS_MAX_KEYS=5",
                                       "WIKITALLY_AGGREGATIONS_BOTS_ENABLED=false",
                                       "WIKITALLY_CONFIG=/elsewhere",
                                       "WIKITALLY_URL=http://x",
                                       "WIKITALLY_SERVICE_HOST=10.0.0.1", /* Kubernetes makes these */
                                       "WIKITALLY_PORT_8787_TCP=x",
                                       "WIKITALLY_SOMETHING=else",
                                       "WIKITALLYX=1",
                                       NULL};
    struct config c;
    load(&(struct config_sources){.environment = environment}, &c);
    assert_string_equal(c.data_dir, "/d");
    assert_int_equal(c.serve.hosts.count, 2);
    assert_string_equal(c.serve.hosts.items[1], "b.example");
    assert_string_equal(c.source.ca_file, "/dev/null");
    assert_int_equal(c.aggregations[0].max_keys, 5);
    assert_int_equal(c.aggregation_count, 4);
    assert_int_equal(c.warnings.count, 1);
    assert_string_equal(c.warnings.items[0], "environment WIKITALLY_SOMETHING: no key has that name");
    config_fini(&c);
    static const struct {
        const char *variable, *says;
    } bad[] = {
        {"WIKITALLY_SOURCE_OVERLAPP=1s", "no key has that name; did you mean \"WIKITALLY_SOURCE_OVERLAP\""},
        {"WIKITALLY_SORCE_OVERLAP=1s", "did you mean \"WIKITALLY_SOURCE_OVERLAP\""},
        {"WIKITALLY_LOG_LEVEL=loud", "environment WIKITALLY_LOG_LEVEL: \"log.level\" is \"loud\", but must be one of"},
        {"WIKITALLY_AGGREGATIONS_NONE_SIZE=1s", "no key has that name"},
        {"WIKITALLY_JOURNAL_X=1", "no key has that name"},
        {"WIKITALLY_SOURCE_OVERLAP=", "\"source.overlap\" is \"\", which is not a duration"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *const one[] = {bad[i].variable, NULL};
        refused(&(struct config_sources){.environment = one}, bad[i].says);
    }
}

static void settings_on_the_command_line(void **state)
{
    (void)state;
    static const char *const good[] = {"aggregations.bots.size=5m", "aggregations.mine.keys=wiki,type",
                                       "aggregations.mine.measures=count, top(title,10) as pages", "data_dir=/x=y"};
    struct config c;
    load(&(struct config_sources){.set = good, .set_count = 4}, &c);
    assert_int_equal(c.aggregations[1].size_us, 300 * US_PER_SECOND);
    assert_int_equal(c.aggregation_count, 6);
    assert_string_equal(c.aggregations[5].keys[1], "type");
    assert_int_equal(c.aggregations[5].measure_count, 2);
    assert_string_equal(c.aggregations[5].measures[1], "top(title,10) as pages");
    assert_string_equal(c.data_dir, "/x=y");
    config_fini(&c);
    static const struct {
        const char *set, *says;
    } bad[] = {
        {"source.overlap", "--set \"source.overlap\" is not of the form key=value"},
        {"source.overlapp=1s", "--set: unknown key \"overlapp\" in \"source\"; did you mean \"overlap\""},
        {"overlap=1s", "--set: unknown key \"overlap\"; did you mean \"source.overlap\""},
        {"source.overlap=x", "--set: \"source.overlap\" is \"x\", which is not a duration"},
        {"serve.token=abcdefghij", "--set serve.token: a secret on the command line"},
        {"aggregations.Bots.size=1m", "\"Bots\" is no name for an aggregation"},
        {"aggregations.bots.sise=1m", "unknown key \"sise\" in \"aggregations.bots\"; did you mean \"size\""},
        {"aggregations.bots=1m", "unknown key \"\" in \"aggregations.bots\""},
        {"=1", "unknown key \"\""},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        refused(&(struct config_sources){.set = &bad[i].set, .set_count = 1}, bad[i].says);
    }
}

static void aggregations_are_merged_by_key(void **state)
{
    (void)state;
    struct config c;
    struct err err = {0};
    enum err_class cls = load_text("aggregations:\n"
                                   "  titles:\n"
                                   "    enabled: false\n"
                                   "  bots:\n"
                                   "    size: 1h\n"
                                   "  by_size:\n"
                                   "    keys: [\"length.new as bytes\", wiki]\n"
                                   "    measures: [count, \"top(title,10) as pages\"]\n"
                                   "    where: 'type:edit,new'\n"
                                   "    late: drop\n"
                                   "    on_change: rebuild\n",
                                   &c, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(cls, ERR_NONE);
    assert_int_equal(c.aggregation_count, 5); /* five, one off, one more */
    assert_string_equal(c.aggregations[1].name, "bots");
    assert_int_equal(c.aggregations[1].size_us, 3600 * US_PER_SECOND);
    assert_string_equal(c.aggregations[1].keys[0], "bot");
    const struct aggregation_options *mine = &c.aggregations[4];
    assert_string_equal(mine->name, "by_size");
    assert_string_equal(mine->keys[0], "length.new as bytes");
    assert_string_equal(mine->measures[1], "top(title,10) as pages");
    assert_string_equal(mine->where, "type:edit,new");
    assert_int_equal(mine->late, LATE_DROP);
    assert_int_equal(mine->on_change, CHANGE_REBUILD);
    assert_int_equal(mine->delay_us, 120 * US_PER_SECOND);
    config_fini(&c);
}

static void token_file(void **state)
{
    (void)state;
    char token[4096], text[8400], credentials[4200];
    snprintf(token, sizeof token, "%s", write_file("token", "marker-secret-1\n"));
    snprintf(text, sizeof text, "serve:\n  listen: 0.0.0.0:80\n  token_file: %s\n", token);
    struct config c;
    struct config_sources sources = {.file = write_file("s.yaml", text)};
    refused(&sources, "others may read or write");
    chmod(token, 0600);
    load(&sources, &c);
    assert_string_equal(c.serve.token, "marker-secret-1");
    AUTO(buf) struct buf b = {0};
    struct err err = {0};
    config_show(&c, true, &b);
    config_show_json(&c, &b);
    config_diff(&c, &b);
    assert_int_equal(config_explain(&c, STR("serve.token"), &b, &err), ERR_NONE);
    assert_int_equal(config_explain(&c, STR("serve"), &b, &err), ERR_NONE);
    assert_null(strstr(b.ptr, "marker-secret"));
    assert_non_null(strstr(b.ptr, "***"));
    config_fini(&c);
    write_file("token", "short\n");
    chmod(token, 0600);
    refused(&sources, "must hold one line of at least 8 characters");
    unlink(token);
    refused(&sources, "serve.token_file: cannot read \"");

    chmod(write_file("credentials/serve.token", "from-the-manager\n"), 0440); /* as systemd does */
    snprintf(credentials, sizeof credentials, "CREDENTIALS_DIRECTORY=%s", path_of("credentials"));
    const char *const environment[] = {credentials, NULL};
    load(&(struct config_sources){.environment = environment}, &c);
    assert_string_equal(c.serve.token, "from-the-manager");
    config_fini(&c);
}

static void token_itself(void **state)
{
    (void)state;
    struct config c;
    const char *file = write_file("t.yaml", "serve: {token: marker-secret-2}\n");
    struct config_sources sources = {.file = file};
    refused(&sources, "t.yaml:1:16: \"serve.token\" is a secret, but others may read this file");
    chmod(file, 0600);
    load(&sources, &c);
    assert_string_equal(c.serve.token, "marker-secret-2");
    AUTO(buf) struct buf b = {0};
    config_show(&c, true, &b);
    config_show_json(&c, &b);
    config_diff(&c, &b);
    assert_null(strstr(b.ptr, "marker-secret"));
    config_fini(&c);
    const char *const environment[] = {"WIKITALLY_SERVE_TOKEN=marker-secret-3", NULL};
    load(&(struct config_sources){.environment = environment}, &c);
    assert_string_equal(c.serve.token, "marker-secret-3");
    assert_int_equal(c.warnings.count, 1);
    assert_non_null(strstr(c.warnings.items[0], "better set \"serve.token_file\""));
    assert_null(strstr(c.warnings.items[0], "marker"));
    config_fini(&c);
}

static void passwords_in_urls_are_masked(void **state)
{
    (void)state;
    struct config c;
    struct err err = {0};
    assert_int_equal(load_text("source: {proxy: \"http://ann:marker-secret@proxy:3128\"}\n", &c, &err), ERR_NONE);
    assert_string_equal(c.source.proxy, "http://ann:marker-secret@proxy:3128");
    AUTO(buf) struct buf b = {0};
    config_show(&c, false, &b);
    config_show_json(&c, &b);
    assert_null(strstr(b.ptr, "marker-secret"));
    assert_non_null(strstr(b.ptr, "http://ann:***@proxy:3128"));
    config_fini(&c);
    static const char *const urls[][2] = {{"ann:marker-secret@proxy:3128", "\"ann:***@proxy:3128\""},
                                          {"socks5://marker-secret@proxy", "\"socks5://***@proxy\""},
                                          {"http://proxy:3128", "\"http://proxy:3128\""}};
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        AUTO(buf) struct buf text = {0}, shown = {0};
        buf_addf(&text, "source: {proxy: \"%s\"}\n", urls[i][0]);
        assert_int_equal(load_text(text.ptr, &c, &err), ERR_NONE);
        config_show(&c, false, &shown);
        assert_non_null(strstr(shown.ptr, urls[i][1]));
        assert_null(strstr(shown.ptr, "marker"));
        config_fini(&c);
    }
}

static void what_is_shown_can_be_read(void **state)
{
    (void)state;
    struct config c, again;
    struct err err = {0};
    assert_int_equal(load_text("source:\n"
                               "  contact: \"a: #b \\\"c\\\" ${X:-${Y}\"\n"
                               "  overlap: 1500ms\n"
                               "ingest: {filter: 'title:\"$${x}\" wiki:enwiki'}\n"
                               "aggregations:\n"
                               "  mine: {keys: [\"user as u\", \"x.$${y as v\"], measures: [\"top(title,5)\", count], "
                               "where: \"-bot:true\"}\n"
                               "  bots: {enabled: false}\n",
                               &c, &err),
                     ERR_NONE);
    AUTO(buf) struct buf first = {0}, second = {0};
    config_show(&c, false, &first);
    if (load_text(first.ptr, &again, &err)) {
        fail_msg("%s in\n%s", err.text, first.ptr);
    }
    config_show(&again, false, &second);
    assert_string_equal(first.ptr, second.ptr);
    assert_string_equal(again.ingest.filter, "title:\"${x}\" wiki:enwiki");
    assert_int_equal(again.aggregation_count, 5);
    config_fini(&c);
    config_fini(&again);
}

/* The file that `config init` writes changes nothing, and says nothing wrong when all of it is made to count. */
static void first_file(void **state)
{
    (void)state;
    struct config c, plain;
    struct err err = {0};
    AUTO(buf) struct buf text = {0}, counting = {0}, first = {0}, second = {0};
    config_init_text(&text);
    assert_int_equal(load_text(text.ptr, &plain, &err), ERR_NONE);
    config_diff(&plain, &first);
    assert_int_equal(first.len, 0);
    struct str rest = buf_str(&text), line;
    size_t keys = 0;
    while (str_split(&rest, '\n', &line)) {
        bool key = line.len > 1 && line.ptr[0] == '#' && (line.ptr[1] != ' ' || str_starts(line, STR("#  "))) &&
                   !str_starts(line, STR("#   "));
        bool deeper = str_starts(line, STR("#    ")) && strchr("km", line.ptr[5]); /* keys of an aggregation */
        if (key || deeper) {
            buf_add(&counting, str_n(line.ptr + 1, line.len - 1));
            buf_addc(&counting, '\n');
            keys++;
        }
    }
    assert_true(keys > 40);
    if (load_text(counting.ptr, &c, &err)) {
        fail_msg("%s in\n%s", err.text, counting.ptr);
    }
    buf_clear(&first);
    config_show(&plain, false, &first);
    config_show(&c, false, &second);
    assert_string_equal(first.ptr, second.ptr);
    config_fini(&plain);
    config_fini(&c);
}

/* JSON is YAML, so our own reader can look into what it writes. */
static void json_and_schema_parse(void **state)
{
    (void)state;
    struct config c;
    struct err err = {0};
    AUTO(arena) struct arena arena = {0};
    AUTO(buf) struct buf json = {0}, schema = {0};
    struct node *root;
    load(&(struct config_sources){0}, &c);
    config_show_json(&c, &json);
    assert_int_equal(node_parse("json", buf_str(&json), &arena, &root, &err), ERR_NONE);
    const struct node *values = node_get(root, "values");
    assert_string_equal(node_get(node_get(values, "source.overlap"), "value")->text.ptr, "1m");
    assert_string_equal(node_get(node_get(values, "source.overlap"), "origin")->text.ptr, "default");
    assert_int_equal(node_get(node_get(values, "aggregations.titles.keys"), "value")->count, 2);
    config_schema(&schema);
    assert_int_equal(node_parse("schema", buf_str(&schema), &arena, &root, &err), ERR_NONE);
    const struct node *properties = node_get(root, "properties");
    size_t rows;
    const struct option *table = config_options(&rows);
    for (size_t i = 0; i < rows; i++) { /* every key is in the schema */
        struct str rest = str_of(table[i].key), section;
        str_split(&rest, '.', &section);
        char name[64];
        snprintf(name, sizeof name, "%.*s", STR_ARG(section));
        const struct node *n = node_get(properties, name);
        assert_non_null(n);
        assert_true(rest.len == 0 || node_get(node_get(n, "properties"), rest.ptr));
    }
    config_fini(&c);
}

static void explanations(void **state)
{
    (void)state;
    struct config c;
    struct err err = {0};
    AUTO(buf) struct buf b = {0};
    assert_int_equal(
        load_text("source: {overlap: 45s}\naggregations: {bots: {keys: [bot, wiki]}, mine: {size: 2m}}\n", &c, &err),
        ERR_NONE);
    assert_int_equal(config_explain(&c, STR("source.overlap"), &b, &err), ERR_NONE);
    assert_non_null(strstr(b.ptr, "source.overlap: 45s\n"));
    assert_non_null(strstr(b.ptr, "test.yaml:1:19\n"));
    assert_non_null(strstr(b.ptr, "default:     1m\n"));
    assert_non_null(strstr(b.ptr, ", from 1s to 1h\n"));
    assert_non_null(strstr(b.ptr, "environment: WIKITALLY_SOURCE_OVERLAP\n"));
    buf_clear(&b);
    assert_int_equal(config_explain(&c, STR("aggregations.bots.keys"), &b, &err), ERR_NONE);
    assert_non_null(strstr(b.ptr, "default:     [\"bot\"]\n"));
    buf_clear(&b);
    assert_int_equal(config_explain(&c, STR("aggregations.mine.size"), &b, &err), ERR_NONE);
    assert_non_null(strstr(b.ptr, "default:     60s\n"));
    buf_clear(&b);
    assert_int_equal(config_explain(&c, STR("journal"), &b, &err), ERR_NONE);
    assert_non_null(strstr(b.ptr, "journal.on_full: wait\n"));
    assert_int_equal(config_explain(&c, STR("source.overlp"), &b, &err), ERR_REJECT);
    assert_string_equal(err.text, "there is no key \"source.overlp\"; did you mean \"source.overlap\"");
    assert_int_equal(config_explain(&c, STR(""), &b, &err), ERR_REJECT);
    buf_clear(&b);
    config_diff(&c, &b);
    char want[8400];
    snprintf(want, sizeof want,
             "source.overlap: 45s  # %s:1:19\naggregations.bots.keys: [\"bot\", \"wiki\"]  # %s:2:29\n"
             "aggregations.mine.size: 2m  # %s:2:56\n",
             path_of("test.yaml"), path_of("test.yaml"), path_of("test.yaml"));
    assert_string_equal(b.ptr, want);
    config_fini(&c);
}

static void topics_by_url(void **state)
{
    (void)state;
    struct config c;
    struct err err = {0};
    assert_int_equal(
        load_text("source: {url: \"https://x/v2/stream/recentchange,mediawiki.page-create?since=1\"}\n", &c, &err),
        ERR_NONE);
    assert_int_equal(c.source.topics.count, 4);
    assert_string_equal(c.source.topics.items[0], "eqiad.mediawiki.recentchange");
    assert_string_equal(c.source.topics.items[3], "codfw.mediawiki.page-create");
    config_fini(&c);
    assert_int_equal(load_text("source: {topics: [only.this]}\n", &c, &err), ERR_NONE);
    assert_int_equal(c.source.topics.count, 1);
    config_fini(&c);
}

static void collect(const char *text, void *ctx)
{
    string_list_add(ctx, str_of(text));
}

static void all_problems_in_one_run(void **state)
{
    (void)state;
    struct config c;
    struct err err = {0};
    struct string_list problems = {0};
    struct config_sources sources = {.file =
                                         write_file("p.yaml", "source: {overlap: x, url: 5, horizzon: 1}\nlogg: 1\n"),
                                     .environment = no_environment,
                                     .problem = collect,
                                     .problem_ctx = &problems};
    assert_int_equal(config_load(&sources, &c, &err), ERR_REJECT);
    assert_int_equal(problems.count, 3);
    assert_string_equal(problems.items[0], err.text);
    assert_non_null(
        strstr(problems.items[1], "p.yaml:1:30: unknown key \"horizzon\" in \"source\"; did you mean \"horizon\""));
    assert_non_null(strstr(problems.items[2], "p.yaml:2:1: unknown key \"logg\"; did you mean \"log\""));
    string_list_fini(&problems);
}

static void empty_files(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "\n",
                                        "# nothing\n",
                                        "---\n",
                                        "source:\n",
                                        "aggregations:\n  bots:\n",
                                        "tests:\n",
                                        "\357\273\277log: {level: warn}\n",
                                        "{}\n",
                                        "source: {}\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct config c;
        struct err err = {0};
        if (load_text(texts[i], &c, &err)) {
            fail_msg("%s", err.text);
        }
        config_fini(&c);
    }
    config_fini(&(struct config){0});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(built_in_aggregations),
        cmocka_unit_test(later_layers_win),
        cmocka_unit_test(home_without_xdg),
        cmocka_unit_test(overlay_by_environment),
        cmocka_unit_test(variables_in_values),
        cmocka_unit_test(env_file),
        cmocka_unit_test(environment_names),
        cmocka_unit_test(settings_on_the_command_line),
        cmocka_unit_test(aggregations_are_merged_by_key),
        cmocka_unit_test(token_file),
        cmocka_unit_test(token_itself),
        cmocka_unit_test(passwords_in_urls_are_masked),
        cmocka_unit_test(what_is_shown_can_be_read),
        cmocka_unit_test(first_file),
        cmocka_unit_test(json_and_schema_parse),
        cmocka_unit_test(explanations),
        cmocka_unit_test(topics_by_url),
        cmocka_unit_test(all_problems_in_one_run),
        cmocka_unit_test(empty_files),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
