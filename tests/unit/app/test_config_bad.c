/* SPDX-License-Identifier: MIT
 *
 * Bad configurations: each is refused with EXIT_CONFIG, at the line and column, with the sentence.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config_support.h"

struct bad {
    const char *text, *at, *says; /* at: "LINE:COLUMN", NULL: the message has none */
};

static size_t checked;

static void check(const struct bad *b)
{
    struct config c = {0};
    struct err err = {0};
    char want[512] = "";
    enum err_class cls = load_text(b->text, &c, &err);
    if (b->at) {
        snprintf(want, sizeof want, "%s:%s: ", path_of("test.yaml"), b->at);
    }
    if (cls != ERR_REJECT || err.code != EXIT_CONFIG || strncmp(err.text, want, strlen(want)) != 0 ||
        !strstr(err.text, b->says)) {
        fail_msg("%s\n---> class %d, code %d, \"%s\"\nwanted %s ... %s", b->text, cls, err.code, err.text, want,
                 b->says);
    }
    checked++;
}

#define CHECK_ALL(list)                                                                                                \
    for (size_t i_ = 0; i_ < sizeof(list) / sizeof *(list); i_++) {                                                    \
        check(&(list)[i_]);                                                                                            \
    }

static void not_the_yaml_we_take(void **state)
{
    (void)state;
    static const struct bad list[] = {
        {"source:\n\toverlap: 1s\n", "2:1", "a tab; indent with blanks"},
        {"source:\n  \toverlap: 1s\n", "2:3", "a tab; indent with blanks"},
        {"# ok\n\t# not ok\n", "2:1", "a tab"},
        {"source: &a {overlap: 1s}\n", "1:9", "anchors are not allowed"},
        {"source:\n  overlap: &x 1s\n", "2:12", "anchors are not allowed"},
        {"source:\n  overlap: *x\n", "2:12", "aliases are not allowed"},
        {"source:\n  contact: *me\n", "2:12", "a text that begins with * needs quotes"},
        {"source:\n  overlap: !!str 1s\n", "2:12", "tags are not allowed"},
        {"source: !x {overlap: 1s}\n", "1:9", "tags are not allowed"},
        {"%YAML 1.1\n---\nsource: {}\n", "1:1", "directives are not allowed"},
        {"source: {}\n---\nlog: {}\n", "2:1", "a second document"},
        {"source: {}\nsource: {}\n", "2:1", "\"source\" is there already, in line 1"},
        {"source:\n  overlap: 1s\n  skew: 1s\n  overlap: 2s\n", "4:3", "\"overlap\" is there already, in line 2"},
        {"aggregations:\n  bots: {}\n  \"bots\": {}\n", "3:3", "\"bots\" is there already, in line 2"},
        {"source: {overlap: 1s\n", "2:1", "did not find expected"},
        {"source:\n  overlap: \"1s\n", NULL, "test.yaml:"},
        {"source:\n overlap: 1s\n  skew: 1s\n", "3:7", "mapping values are not allowed"},
        {"source: a: b\n", "1:10", "mapping values are not allowed"},
        {"{[1]: 2}\n", "1:2", "a key must be a single word"},
        {"? {a: 1}\n: 2\n", "1:3", "a key must be a single word"},
        {"source:\n  contact: @me\n", "2:12", "found character that cannot start any token"},
        {"source:\n  contact: \"\xff\"\n", "2:1", "this line is not UTF-8"},
        {"source:\n  contact: \"a\\qb\"\n", NULL, "test.yaml:2:"},
        {"- source\n", "1:1", "a configuration is a mapping of sections, not a list"},
        {"just text\n", "1:1", "a configuration is a mapping of sections, not a value"},
        {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n", "1:33",
         "more than 32 levels"},
    };
    CHECK_ALL(list);
}

static void unknown_keys(void **state)
{
    (void)state;
    static const struct bad list[] = {
        {"sources: {}\n", "1:1", "unknown key \"sources\"; did you mean \"source\""},
        {"jornal: {}\n", "1:1", "did you mean \"journal\""},
        {"agregations: {}\n", "1:1", "did you mean \"aggregations\""},
        {"test: []\n", "1:1", "did you mean \"tests\""},
        {"datadir: /x\n", "1:1", "did you mean \"data_dir\""},
        {"url: x\n", "1:1", "unknown key \"url\"; did you mean \"source.url\""},
        {"postgres: {}\n", "1:1", "unknown key \"postgres\""},
        {"source:\n  overlapp: 1s\n", "2:3", "unknown key \"overlapp\" in \"source\"; did you mean \"overlap\""},
        {"source:\n  URL: x\n", "2:3", "unknown key \"URL\" in \"source\""},
        {"source:\n  retention_age: 1d\n", "2:3", "did you mean \"journal.retention_age\""},
        {"source:\n  \"\": 1\n", "2:3", "unknown key \"\" in \"source\""},
        {"source:\n  a.b: 1\n", "2:3", "unknown key \"a.b\" in \"source\""},
        {"source.overlap: 1s\n", "1:1", "unknown key \"source.overlap\""},
        {"source:\n  \"x\\u001b[31m\": 1\n", "2:3", "unknown key \"x\\x1b[31m\""},
        {"journal: {retention: 1d}\n", "1:11", "unknown key \"retention\" in \"journal\""},
        {"task: {commit: 1s}\n", "1:8", "unknown key \"commit\" in \"task\""},
        {"serve: {port: 80}\n", "1:9", "unknown key \"port\" in \"serve\""},
        {"serve: {lisen: x}\n", "1:9", "did you mean \"listen\""},
        {"log: {levle: info}\n", "1:7", "did you mean \"level\""},
        {"ingest: {filters: x}\n", "1:10", "did you mean \"filter\""},
        {"aggregations:\n  bots:\n    key: [bot]\n", "3:5", "in \"aggregations.bots\"; did you mean \"keys\""},
        {"aggregations:\n  bots:\n    Size: 1m\n", "3:5", "did you mean \"size\""},
        {"aggregations:\n  bots:\n    window: 1m\n", "3:5", "unknown key \"window\" in \"aggregations.bots\""},
        {"aggregations:\n  Bots: {}\n", "2:3", "\"Bots\" is no name for an aggregation: a-z"},
        {"aggregations:\n  _x: {}\n", "2:3", "is no name for an aggregation"},
        {"aggregations:\n  \"\": {}\n", "2:3", "is no name for an aggregation"},
        {"aggregations:\n  a-b: {}\n", "2:3", "is no name for an aggregation"},
        {"aggregations:\n  a2345678901234567890123456789012345678901: {}\n", "2:3", "at most 40"},
        {"aggregations:\n  \"x; drop table\": {}\n", "2:3", "is no name for an aggregation"},
    };
    CHECK_ALL(list);
}

static void wrong_types(void **state)
{
    (void)state;
    static const struct bad list[] = {
        {"source: 5\n", "1:9", "\"source\" wants a mapping of keys and values, not a value"},
        {"source: []\n", "1:9", "\"source\" wants a mapping of keys and values, not a list"},
        {"source: \"\"\n", "1:9", "not a value"},
        {"aggregations: [bots]\n", "1:15", "\"aggregations\" wants a mapping"},
        {"aggregations: {bots: yes}\n", "1:22", "\"aggregations.bots\" wants a mapping"},
        {"data_dir: [a]\n", "1:11", "\"data_dir\" wants a single value, not a list"},
        {"data_dir: {a: b}\n", "1:11", "\"data_dir\" wants a single value, not a mapping"},
        {"data_dir:\n", "1:10", "\"data_dir\" has no value; write \"\" for an empty one"},
        {"source: {overlap: }\n", "1:19", "\"source.overlap\" has no value"},
        {"source: {overlap: [1s]}\n", "1:19", "\"source.overlap\" wants a single value, not a list"},
        {"source: {topics: {a: b}}\n", "1:18", "\"source.topics\" wants a list, not a mapping"},
        {"source: {topics: [a, [b]]}\n", "1:22", "a single value is wanted here, not a list"},
        {"source: {topics: [a, \"\"]}\n", "1:22", "\"source.topics\" has an item without text"},
        {"source: {heal: yes}\n", "1:16", "\"source.heal\" is \"yes\", which is not true or false"},
        {"source: {heal: True}\n", "1:16", "not true or false"},
        {"source: {heal: 1}\n", "1:16", "not true or false"},
        {"source: {gzip: \"\"}\n", "1:16", "not true or false"},
        {"source: {overlap: soon}\n", "1:19", "\"source.overlap\" is \"soon\", which is not a duration such as"},
        {"source: {overlap: 1.5s}\n", "1:19", "not a duration"},
        {"source: {overlap: -1s}\n", "1:19", "not a duration"},
        {"source: {overlap: 1 s}\n", "1:19", "not a duration"},
        {"source: {overlap: 1w}\n", "1:19", "not a duration"},
        {"source: {overlap: 1h30m}\n", "1:19", "not a duration"},
        {"source: {overlap: 99999999999s}\n", "1:19", "not a duration"},
        {"journal: {retention_bytes: 20G}\n", "1:28", "not a size such as"},
        {"journal: {retention_bytes: 20gib}\n", "1:28", "not a size such as"},
        {"journal: {retention_bytes: -1}\n", "1:28", "not a size such as"},
        {"journal: {partitions: two}\n", "1:23", "\"journal.partitions\" is \"two\", which is not a whole number"},
        {"journal: {partitions: 1.0}\n", "1:23", "not a whole number"},
        {"journal: {partitions: 0x4}\n", "1:23", "not a whole number"},
        {"journal: {partitions: 99999999999999999999}\n", "1:23", "not a whole number"},
        {"journal: {on_full: block}\n", "1:20", "\"journal.on_full\" is \"block\", but must be one of wait|release"},
        {"journal: {on_full: releas}\n", "1:20", "did you mean \"release\""},
        {"journal: {kind: files}\n", "1:17", "must be one of sqlite"},
        {"log: {level: warning}\n", "1:14", "must be one of error|warn|info|debug; did you mean \"warn\""},
        {"log: {format: yaml}\n", "1:15", "must be one of text|json"},
        {"aggregations:\n  bots: {late: side}\n", "2:16",
         "\"aggregations.bots.late\" is \"side\", but must be one of amend|drop"},
        {"aggregations:\n  bots: {on_change: ignore}\n", "2:21", "must be one of refuse|rebuild"},
        {"aggregations:\n  bots: {enabled: off}\n", "2:19", "not true or false"},
        {"aggregations:\n  bots: {keys: [bot, {a: b}]}\n", "2:22", "a single value is wanted here, not a mapping"},
        {"aggregations:\n  bots: {keys: [bot, ]}\n  titles: {size: x}\n", "3:18",
         "\"aggregations.titles.size\" is \"x\""},
        {"source: {contact: \"a\\0b\"}\n", "1:19", "text in UTF-8 without NUL"},
    };
    CHECK_ALL(list);
}

static void out_of_range(void **state)
{
    (void)state;
    static const struct bad list[] = {
        {"source: {overlap: 0s}\n", "1:19", "\"source.overlap\" is 0s, but must be from 1s to 1h"},
        {"source: {overlap: 2h}\n", "1:19", "from 1s to 1h"},
        {"source: {horizon: 8d}\n", "1:19", "from 2s to 7d"},
        {"source: {skew: 61m}\n", "1:16", "from 0s to 1h"},
        {"source: {delay: 500ms}\n", "1:17", "from 1s to 1d"},
        {"source: {idle_after: 16m}\n", "1:22", "from 1s to 15m"},
        {"source: {connect_timeout: 0}\n", "1:27", "from 1s to 5m"},
        {"journal: {retention_age: 1m}\n", "1:26", "from 10m to 3660d"},
        {"journal: {retention_bytes: 1KiB}\n", "1:28", "from 1MiB"},
        {"journal: {commit_every: 2m}\n", "1:25", "from 1ms to 1m"},
        {"journal: {commit_bytes: 1GiB}\n", "1:25", "from 1KiB to 64MiB"},
        {"journal: {partitions: 0}\n", "1:23", "\"journal.partitions\" is 0, but must be from 1 to 64"},
        {"journal: {partitions: 65}\n", "1:23", "from 1 to 64"},
        {"journal: {partitions: -1}\n", "1:23", "from 1 to 64"},
        {"task: {commit_every: 1ms}\n", "1:22", "from 10ms to 5m"},
        {"task: {max_pending_rows: 10}\n", "1:26", "from 1000"},
        {"task: {max_keys_total: 1}\n", "1:24", "from 1000"},
        {"serve: {max_clients: 0}\n", "1:22", "from 1 to 100000"},
        {"aggregations:\n  bots: {size: 0}\n", "2:16", "\"aggregations.bots.size\" is 0, but must be from 1s to 366d"},
        {"aggregations:\n  bots: {size: 367d}\n", "2:16", "from 1s to 366d"},
        {"aggregations:\n  bots: {max_keys: 0}\n", "2:20", "from 1 to 1000000"},
        {"aggregations:\n  bots: {skew: 2h}\n", "2:16", "from 0s to 1h"},
    };
    CHECK_ALL(list);
}

/* What no single value shows; each with its reason, placed where one of them was set. */
static void contradictions(void **state)
{
    (void)state;
    static const struct bad list[] = {
        {"source:\n  horizon: 100s\n", "2:12", "\"source.horizon\" is 100s, less than twice \"source.overlap\" (1m)"},
        {"source:\n  overlap: 61s\n", "2:12", "would be counted twice"},
        {"source: {url: \"stream.wikimedia.org\"}\n", "1:15", "must begin with https:// or http://"},
        {"source: {url: \"\"}\n", "1:15", "must begin with https://"},
        {"source: {url: \"file:///etc/passwd\"}\n", "1:15", "must begin with https://"},
        {"source: {url: \"ftp://a:secret@example.org/\"}\n", "1:15", "is \"ftp://a:***@example.org/\""},
        {"source: {url: \"http://example.org/x\"}\n", "1:15", "plain http is for this machine only"},
        {"source: {url: \"https://a:b@example.org/x\"}\n", "1:15", "must not hold a user name or password"},
        {"source: {contact: \"a\\nb\"}\n", "1:19", "source.contact: must be one line"},
        {"journal: {kind: kafka}\n", "1:17", "kafka.brokers: must name at least one broker"},
        {"journal: {topic: \"a b\"}\n", "1:18", "a topic's name is made of"},
        {"journal: {kind: kafka}\nkafka: {brokers: b, properties: [x]}\n", "2:33", "must be written as name=value"},
        {"journal: {kind: kafka}\nkafka: {brokers: b, properties: [no.such=1]}\n", "2:33", "No such configuration"},
        {"journal: {kind: kafka}\nkafka: {brokers: b, properties: [acks=1]}\n", "2:33", "\"acks\": must be all"},
        {"journal: {kind: kafka}\nkafka: {brokers: b, properties: [isolation.level=read_uncommitted]}\n", "2:33",
         "must be read_committed"},
        {"journal: {kind: kafka}\nkafka: {brokers: b, properties: [group.id=x]}\n", "2:33", "by the program itself"},
        {"journal: {kind: kafka}\nkafka: {brokers: b, properties: [log_level=7]}\n", "2:33", "by the program itself"},
        {"kafka: {properties: [sasl.password=geheim]}\n", "1:21", "kafka.password_file"},
        {"kafka: {properties: [ssl.key.pem=geheim]}\n", "1:21", "anybody could read"},
        {"kafka: {brokers: b, properties: [ssl.endpoint.identification.algorithm=none]}\n", "1:33",
         "a broker's name is not verified; if whoever is on the way may read and change everything, set "
         "kafka.insecure"},
        {"kafka: {brokers: b, properties: [enable.ssl.certificate.verification=false], insecure: false}\n", "1:33",
         "a broker's certificate is not verified"},
        {"source: {proxy: \"gopher://a:secret@b\"}\n", "1:17", "source.proxy: is no proxy's URL"},
        {"source: {ca_file: /nonexistent}\n", "1:19", "source.ca_file: cannot read \"/nonexistent\""},
        {"serve: {hosts: [\"a.example:80\"]}\n", "1:16", "wants names alone"},
        {"serve: {web_dir: /nonexistent}\n", "1:18", "build the page first"},
        {"source: {topics: [\"a b\"]}\n", "1:18", "\"source.topics\" has \"a b\", which is no topic's name"},
        {"source: {url: 'https://x/v2/stream/a\\c'}\n", "1:15",
         "\"source.url\" has \"eqiad.mediawiki.a\\c\", which is no topic's name"},
        {"source: {horizon: 6m, overlap: 1m}\njournal: {retention_age: 13m}\n", "2:26",
         "twice horizon and overlap of the source (14m) must stay readable"},
        {"journal: {max_bytes: 1GiB}\n", "1:22", "must be above \"journal.retention_bytes\""},
        {"journal:\n  retention_bytes: 1GiB\n  max_bytes: 1GiB\n", "3:14", "the hard limit would come before"},
        {"ingest: {filter: \"(wiki:enwiki\"}\n", "1:18", "\"ingest.filter\": "},
        {"ingest: {filter: \"title:/(/\"}\n", "1:18", "\"ingest.filter\": "},
        {"ingest: {filter: \"wiki:\"}\n", "1:18", "\"ingest.filter\": "},
        {"serve: {listen: \"8787\"}\n", "1:17", "must be ADDRESS:PORT"},
        {"serve: {listen: \"127.0.0.1:99999\"}\n", "1:17", "must be ADDRESS:PORT"},
        {"serve: {listen: \"127.0.0.1:\"}\n", "1:17", "must be ADDRESS:PORT"},
        {"serve: {listen: \"example.org:80\"}\n", "1:17", "must be ADDRESS:PORT"},
        {"serve: {listen: \"::1:80\"}\n", "1:17", "must be ADDRESS:PORT"},
        {"serve: {listen: \"[::1:80\"}\n", "1:17", "must be ADDRESS:PORT"},
        {"serve: {listen: \"unix:\"}\n", "1:17", "must be ADDRESS:PORT"},
        {"serve: {listen: \"0.0.0.0:8787\"}\n", "1:17", "which other machines can reach, and there is no token"},
        {"serve: {listen: \"[::]:8787\"}\n", "1:17", "set \"serve.token_file\", or listen on 127.0.0.1"},
        {"serve: {listen: \"192.168.1.5:80\"}\n", "1:17", "which other machines can reach"},
        {"serve: {token_file: /nonexistent/token}\n", "1:21", "serve.token_file: cannot read \"/nonexistent/token\""},
        {"serve: {token_file: /}\n", "1:21", "\"/\" is a directory, not a file"},
        {"aggregations:\n  bots: {late: drop, lateness: 5m}\n", "2:16",
         "aggregation \"bots\": \"lateness\" has no meaning with \"late: drop\""},
        {"aggregations:\n  bots: {size: 4d}\n", "2:16", "aggregation \"bots\": "}, /* R10 */
        {"aggregations:\n  bots: {delay: 4d}\n", "2:17", "aggregation \"bots\": "},
        {"aggregations:\n  bots: {lateness: 4d}\n", "2:20", "aggregation \"bots\": "},
        {"journal: {retention_age: 30m}\n", "1:26", "aggregation \"user_edit_counts\": "},
        {"aggregations:\n  bots: {slide: 2m}\n", "2:17", "aggregation \"bots\": "},
        {"aggregations:\n  bots: {size: 1d, slide: 1s}\n", "2:16", "aggregation \"bots\": "},
        {"aggregations:\n  bots: {measures: [median(length.new)]}\n", "2:20", "aggregation \"bots\": "},
        {"aggregations:\n  bots: {measures: [\"sum()\"]}\n", "2:20", "aggregation \"bots\": "},
        {"aggregations:\n  bots: {measures: [count, count]}\n", "2:20", "aggregation \"bots\": "},
        {"aggregations:\n  bots: {measures: []}\n", "2:20", "aggregation \"bots\": "},
        {"aggregations:\n  bots: {measures: [\"top(title,0)\"]}\n", "2:20", "aggregation \"bots\": "},
        {"aggregations:\n  bots: {measures: [\"count as Count!\"]}\n", "2:20", "aggregation \"bots\": "},
        {"aggregations:\n  bots: {keys: [a, b, c, d, e, f, g, h, i]}\n", "2:16", "aggregation \"bots\": "},
        {"aggregations:\n  bots: {keys: [bot, bot]}\n", "2:16", "aggregation \"bots\": "},
        {"aggregations:\n  bots: {keys: [\"bot as count\"]}\n", "2:16", "aggregation \"bots\": "},
        {"aggregations:\n  bots: {keys: [\"a..b\"]}\n", "2:16", "aggregation \"bots\": "},
        {"aggregations:\n  bots: {where: \"type:(\"}\n", "2:17", "aggregation \"bots\": "},
        {"aggregations:\n  bots: {time_field: \"\"}\n", "2:22", "aggregation \"bots\": "},
    };
    CHECK_ALL(list);
}

#define TEST_HEAD "tests:\n  - name: n\n    aggregation: bots\n    steps:\n"

static void bad_tests(void **state)
{
    (void)state;
    static const struct bad list[] = {
        {"tests: {}\n", "1:8", "\"tests\" wants a list, not a mapping"},
        {"tests: [5]\n", "1:9", "a test is a mapping with name, aggregation and steps, not a value"},
        {"tests:\n  - name: n\n", "2:5", "a test needs a \"aggregation\""},
        {"tests:\n  - aggregation: bots\n    steps: [at: 12:00]\n", "2:5", "a test needs a \"name\""},
        {"tests:\n  - name: n\n    aggregation: bots\n", "2:5", "a test needs a \"steps\""},
        {"tests:\n  - name: n\n    agregation: bots\n", "3:5",
         "unknown key \"agregation\" in a test; did you mean \"aggregation\""},
        {"tests:\n  - name: n\n    aggregation: bots\n    steps: []\n", "4:12", "\"steps\" wants a list of 1 to"},
        {TEST_HEAD "      - event: {}\n", "5:9", "the first step must be \"at\": it sets the clock"},
        {TEST_HEAD "      - at: noon\n", "5:13", "\"noon\" is no time such as 12:00:05"},
        {TEST_HEAD "      - at: 25:00\n", "5:13", "is no time"},
        {TEST_HEAD "      - at: 12:00\n      - at: 11:59\n", "6:9", "the clock cannot go back"},
        {TEST_HEAD "      - at: 12:00\n      - wait: long\n", "6:15", "\"long\" is no duration such as 30s"},
        {TEST_HEAD "      - at: 12:00\n      - evnt: {}\n", "6:9", "there is no step \"evnt\"; did you mean \"event\""},
        {TEST_HEAD "      - at: 12:00\n      - event: {}\n        wait: 5m\n", "6:9",
         "a step is one word with what belongs to it"},
        {TEST_HEAD "      - at: 12:00\n      - event\n", "6:9", "the step \"event\" wants something behind it"},
        {TEST_HEAD "      - at: 12:00\n      - tick: 5m\n", "6:9", "the step \"tick\" stands alone"},
        {TEST_HEAD "      - at: 12:00\n      - event: [a]\n", "6:16", "an event wants a mapping of fields, not a list"},
        {TEST_HEAD "      - at: 12:00\n      - event: {length.new: 5}\n", "6:17",
         "a name with a dot cannot be reached"},
        {TEST_HEAD "      - at: 12:00\n      - event: {arrives: never}\n", "6:26", "\"never\" is no time"},
        {TEST_HEAD "      - at: 12:00\n      - event: {user: \"${NOBODY}\"}\n", "6:24",
         "the environment has no \"NOBODY\""},
        {TEST_HEAD "      - at: 12:00\n      - expect: {bot: true}\n", "6:17", "\"expect\" wants a list of rows"},
        {TEST_HEAD "      - at: 12:00\n      - expect: [5]\n", "6:18",
         "a mapping of columns and values is wanted here"},
        {TEST_HEAD "      - at: 12:00\n      - expect: [{window: x}]\n", "6:27", "\"x\" is no time"},
        {TEST_HEAD "      - at: 12:00\n      - ledger: {cuonted: 1}\n", "6:18",
         "no bucket \"cuonted\"; did you mean \"counted\""},
        {TEST_HEAD "      - at: 12:00\n      - ledger: {counted: many}\n", "6:27", "a count is wanted here"},
        {"tests:\n  - name: n\n    aggregation: nobody\n    steps: [at: 12:00]\n", "2:5",
         "test \"n\" is of \"nobody\", but there is no such aggregation"},
    };
    CHECK_ALL(list);
}

/* "zzz..." is near no known word; a message shows 80 bytes of it. */
#define Z80 "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
#define AT_NOON TEST_HEAD "      - at: 12:00\n"

static void bad_steps_of_tests(void **state)
{
    (void)state;
    static const struct bad list[] = {
        {"tests:\n  - name: n\n    aggregation: [bots]\n    steps: [at: 12:00]\n", "3:18",
         "a single value is wanted here, not a list"},
        {"tests:\n  - name: n\n    " Z80 "z: 1\n", "3:5", "unknown key \"" Z80 "\" in a test"},
        {"tests:\n  - name: n\n    aggregation: bots\n    steps: 5\n", "4:12", "\"steps\" wants a list of 1 to"},
        {TEST_HEAD "      - at: [12:00]\n", "5:13", "a single value is wanted here, not a list"},
        {TEST_HEAD "      - at: 1:00\n", "5:13", "\"1:00\" is no time"},
        {TEST_HEAD "      - at: 12:00:05.000000000000000000000000000000000\n", "5:13", "is no time"},
        {TEST_HEAD "      - at: 1960-01-01T00:00:00Z\n", "5:13", "\"1960-01-01T00:00:00Z\" is no time"},
        {TEST_HEAD "      - at: 9999-01-01T00:00:00Z\n", "5:13", "\"9999-01-01T00:00:00Z\" is no time"},
        {TEST_HEAD "      - at: " Z80 "z\n", "5:13", "\"" Z80 "\" is no time"},
        {AT_NOON "      - wait: [1s]\n", "6:15", "a single value is wanted here, not a list"},
        {AT_NOON "      - wait: " Z80 "z\n", "6:15", "\"" Z80 "\" is no duration"},
        {AT_NOON "      - wait: 99999999d\n", "6:9", "the clock would come to the year 9999"},
        {AT_NOON "      - wait: 1000000d\n      - wait: 9999999d\n", "7:9", "the clock would come to the year 9999"},
        {AT_NOON "      - wait: 99999999d\n      - wait: 99999999d\n", "6:9", "the clock would come to the year 9999"},
        {AT_NOON "      - [tick]\n", "6:9", "a step is one word with what belongs to it"},
        {AT_NOON "      - {}\n", "6:9", "a step is one word with what belongs to it"},
        {AT_NOON "      - " Z80 "z\n", "6:9", "there is no step \"" Z80 "\""},
        {AT_NOON "      - restart: now\n", "6:9", "the step \"restart\" stands alone"},
    };
    CHECK_ALL(list);
}

static void bad_fields_and_rows_of_tests(void **state)
{
    (void)state;
    static const struct bad list[] = {
        {AT_NOON "      - event: {length: {new: 5, old: \"${NOBODY}\"}}\n", "6:40",
         "the environment has no \"NOBODY\""},
        {AT_NOON "      - event: {log_params: [a, \"${NOBODY}\"]}\n", "6:34", "the environment has no \"NOBODY\""},
        {AT_NOON "      - event: {meta: {dt: \"${NOBODY}\", uri: x}, user: x}\n", "6:29",
         "the environment has no \"NOBODY\""},
        {AT_NOON "      - event: {arrives: never, user: x}\n", "6:26", "\"never\" is no time"},
        {AT_NOON "      - event: {meta: absent}\n", "6:23", "\"meta\" wants a mapping of fields, not a value"},
        {AT_NOON "      - event: {meta: [a]}\n", "6:23", "\"meta\" wants a mapping of fields, not a list"},
        {AT_NOON "      - expect: [{bot: [true]}]\n", "6:24", "a single value is wanted here, not a list"},
        {AT_NOON "      - ledger: 5\n", "6:17", "a mapping of columns and values is wanted here, not a value"},
        {AT_NOON "      - ledger: {counted: [1]}\n", "6:27", "a single value is wanted here, not a list"},
        {AT_NOON "      - ledger: {" Z80 "z: 1}\n", "6:18", "the ledger has no bucket \"" Z80 "\""},
        {AT_NOON "      - ledger: {\"\": 1}\n", "6:18", "the ledger has no bucket \"\""},
    };
    CHECK_ALL(list);
}

static void files_that_cannot_be_read(void **state)
{
    (void)state;
    static const char *const nothing[] = {NULL};
    static const struct {
        const char *file, *says;
    } list[] = {{"/nonexistent/x.yaml", "cannot read \"/nonexistent/x.yaml\": No such file or directory"},
                {"/", "\"/\" is a directory, not a file"},
                {"/dev/zero", "\"/dev/zero\" has more than 1048576 bytes"}};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        struct config c = {0};
        struct err err = {0};
        struct config_sources sources = {.file = list[i].file, .environment = nothing};
        assert_int_equal(config_load(&sources, &c, &err), ERR_REJECT);
        assert_int_equal(err.code, EXIT_CONFIG);
        assert_string_equal(err.text, list[i].says);
    }
}

/* Random damage to a good file never does more than be refused. */
static void damaged_files(void **state)
{
    (void)state;
    AUTO(buf) struct buf text = {0};
    config_init_text(&text);
    for (size_t i = 0; i < text.len; i++) { /* all of it counts, also the prose: a nice mess */
        if (text.ptr[i] == '#' && i % 3) {
            text.ptr[i] = ' ';
        }
    }
    unsigned random = 12345;
    for (int round = 0; round < 2000; round++) {
        AUTO(buf) struct buf bad = {0};
        buf_add(&bad, buf_str(&text));
        for (int n = 0; n < 1 + round % 5; n++) {
            random = random * 1103515245 + 12345;
            bad.ptr[(random >> 8) % bad.len] = "\t:{}[]\"'#&*!|>-?,%@`\n x0"[(random >> 4) % 24];
        }
        bad.ptr[bad.len - (random >> 3) % (bad.len / 2)] = '\0';
        struct config c = {0};
        struct err err = {0};
        enum err_class cls = load_text(bad.ptr, &c, &err);
        assert_true(cls == ERR_NONE || (cls == ERR_REJECT && err.code == EXIT_CONFIG && *err.text));
        config_fini(&c);
    }
}

static void enough_were_checked(void **state)
{
    (void)state;
    assert_true(checked >= 150);
    print_message("# %zu bad configurations\n", checked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(not_the_yaml_we_take),
        cmocka_unit_test(unknown_keys),
        cmocka_unit_test(wrong_types),
        cmocka_unit_test(out_of_range),
        cmocka_unit_test(contradictions),
        cmocka_unit_test(bad_tests),
        cmocka_unit_test(bad_steps_of_tests),
        cmocka_unit_test(bad_fields_and_rows_of_tests),
        cmocka_unit_test(files_that_cannot_be_read),
        cmocka_unit_test(damaged_files),
        cmocka_unit_test(enough_were_checked),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
