/* SPDX-License-Identifier: MIT
 *
 * test_filter.c - the grammar with its columns, its canonical text, and what it finds.
 */
#include "change_test.h"

#include "change/filter.h"

static void accepted_texts(void **state)
{
    (void)state;
    static const struct {
        const char *text, *canonical;
    } cases[] = {
        {"", ""},
        {"  \t\n ", ""},
        {"word", "word"},
        {"\"two words\"", "\"two words\""},
        {"\"word\"", "word"},
        {"wiki:enwiki", "wiki:enwiki"},
        {"wiki:\"enwiki\"", "wiki:enwiki"},
        {"user:\"A B\"", "user:\"A B\""},
        {"user:\"\"", "user:\"\""},
        {"title:null", "title:null"},
        {"meta.domain:en.wikipedia.org", "meta.domain:en.wikipedia.org"},
        {"$schema:\"/x\"", "$schema:\"/x\""},
        {"type:edit,new", "type:edit,new"},
        {"type:edit,\"n,w\",l*", "type:edit,\"n,w\",l*"},
        {"title:Talk*", "title:Talk*"},
        {"title:\"User talk:\"*", "title:\"User talk:\"*"},
        {"title:*", "title:*"},
        {"title:\"*\"", "title:\"*\""},
        {"title:>a", NULL},
        {"id:10..20", "id:10..20"},
        {"id:010..0020", "id:10..20"},
        {"id:-20..-10", "id:-20..-10"},
        {"id:..20", "id:..20"},
        {"id:10..", "id:10.."},
        {"id:>5", "id:6.."},
        {"id:>=5", "id:5.."},
        {"id:<5", "id:..4"},
        {"id:<=5", "id:..5"},
        {"id:>=-9223372036854775808", "id:-9223372036854775808.."},
        {"id:<=9223372036854775807", "id:-9223372036854775808.."},
        {"id:9223372036854775807..9223372036854775807", "id:9223372036854775807.."},
        {"id:>=9223372036854775807", "id:9223372036854775807.."},
        {"id:1,3..5,>9,x*", "id:1,3..5,10..,x*"},
        {"title:a..b", "title:\"a..b\""},
        {"title:..", "title:\"..\""},
        {"title:1..2..3", "title:\"1..2..3\""},
        {"title:\"1..2\"", "title:\"1..2\""},
        {"title:wait...", "title:\"wait...\""},
        {"title:-5", "title:\"-5\""},
        {"title:a:b", "title:\"a:b\""},
        {"title:/re/", "title:/re/"},
        {"title:/a b(c)\"\\/,/i", "title:/a b(c)\"\\/,/i"},
        {"title:/^a/,b", "title:/^a/,b"},
        {"-a", "-a"},
        {"NOT a", "-a"},
        {"NOT NOT a", "a"},
        {"--a", "a"},
        {"-NOT a", "a"},
        {"-(-(a b))", "a b"},
        {"-type:log", "-type:log"},
        {"a b", "a b"},
        {"a AND b", "a b"},
        {"a OR b", "a OR b"},
        {"a b OR c d", "a b OR c d"},
        {"a (b OR c)", "a (b OR c)"},
        {"(a)", "a"},
        {"((a b)) c", "a b c"},
        {"(a OR b) OR c", "a OR b OR c"},
        {"-(a b)", "-(a b)"},
        {"-(a OR b) c", "-(a OR b) c"},
        {"a OR -b AND c", "a OR -b c"},
        {"a(b)", NULL},
        {"(a)(b)", "a b"},
        {"(a)b", "a b"},
        {"a OR(b)", "a OR b"},
        {"NOT(a)", "-a"},
        {"and or not", "and or not"},
        {"\"AND\"", "\"AND\""},
        {"\"-x\"", "\"-x\""},
        {"a-b", "a-b"},
        {"a,b", "\"a,b\""},
        {"\"a,b\"", "\"a,b\""},
        {"\"q\\\"s\\\\e\\n\"", "\"q\\\"s\\\\e\\\\n\""},
        {"\xd0\xb2\xd0\xb8\xd0\xba\xd0\xb8", "\xd0\xb2\xd0\xb8\xd0\xba\xd0\xb8"},
        {"family:wikipedia language:en actor:ip,temporary delta:<-500",
         "family:wikipedia language:en actor:ip,temporary delta:..-501"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct field_set *set = field_set_new();
        struct err err = {0};
        AUTO(buf) struct buf text = {0};
        struct filter *f = filter_compile(str_of(cases[i].text), set, NULL, &err);
        if (!f && cases[i].canonical) {
            fail_msg("%s: %s", cases[i].text, err.text);
        }
        if (f) {
            filter_print(f, &text);
            if (!cases[i].canonical || !str_eqz(buf_str(&text), cases[i].canonical)) {
                fail_msg("%s: canonical is %.*s", cases[i].text, STR_ARG(buf_str(&text)));
            }
        }
        filter_free(f);
        field_set_free(set);
    }
}

static void refused_texts_name_the_column(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t column;
        const char *says;
    } cases[] = {
        {"(", 2, "missing at the end"},
        {"(a", 1, "never closed"},
        {"a)", 2, "never opened"},
        {"()", 2, "before this parenthesis"},
        {"a (b", 3, "never closed"},
        {"a OR", 5, "missing at the end"},
        {"OR a", 1, "before this operator"},
        {"AND", 1, "before this operator"},
        {"a AND AND b", 7, "before this operator"},
        {"a OR OR b", 6, "before this operator"},
        {"NOT", 4, "missing at the end"},
        {"a -", 3, "behind the minus"},
        {"a - b", 3, "behind the minus"},
        {"-", 1, "behind the minus"},
        {"-)", 2, "before this parenthesis"},
        {"\"a", 1, "never closed"},
        {"b \"a\\\"", 3, "never closed"},
        {"\"\"", 1, "empty text"},
        {"a\"b\"", 2, "unexpected"},
        {"\"b\"a", 4, "unexpected"},
        {"a(b)", 2, "unexpected"},
        {"a*", 2, "star"},
        {"*", 1, "star"},
        {"wiki:", 6, "value is missing"},
        {"wiki: enwiki", 6, "value is missing"},
        {"wiki:a,", 8, "value is missing"},
        {"wiki:a,,b", 8, "value is missing"},
        {"wiki:(a OR b)", 6, "value is missing"},
        {"wiki:a*b", 8, "unexpected"},
        {"wiki:\"a\"b", 9, "unexpected"},
        {"wiki:\"a", 6, "never closed"},
        {"\"a\",b", 4, "unexpected"},
        {"(a),b c:d,", 11, "value is missing"},
        {":a", 1, "no name"},
        {"a/b:c", 1, "no name"},
        {"-.a:b", 2, "no name"},
        {"a..b:c", 1, "not a path"},
        {"a.:c", 1, "not a path"},
        {"id:>", 4, "whole number"},
        {"id:>a", 4, "whole number"},
        {"id:>1.5", 4, "whole number"},
        {"id:>5*", 4, "whole number"},
        {"id:>9223372036854775807", 4, "no such number"},
        {"id:<-9223372036854775808", 4, "no such number"},
        {"id:>9223372036854775808", 4, "whole number"},
        {"id:1..9223372036854775808", 4, "64 bits"},
        {"id:20..10", 4, "empty"},
        {"x id:20..10", 6, "empty"},
        {"title:/a", 7, "closing slash"},
        {"title://", 7, "1 to 1024"},
        {"title:/a/x", 10, "unexpected"},
        {"title:/(/", 9, "parenthes"},
        {"title:/ab[/", 11, "character class"},
        {"title:/a\\C/", 11, "regular expression"},
        {"\xd0\xb2\xd0\xb8 title:/(/", 12, "parenthes"}, /* columns are characters */
        {"a \xff", 3, "UTF-8"},
        {"\xd0\xb2\xed\xa0\x80", 2, "UTF-8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct field_set *set = field_set_new();
        struct err err = {0};
        size_t column = 0;
        char said[32];
        struct filter *f = filter_compile(str_of(cases[i].text), set, &column, &err);
        snprintf(said, sizeof said, "filter, column %zu: ", cases[i].column);
        if (f || column != cases[i].column || err.cls != ERR_REJECT || !strstr(err.text, cases[i].says) ||
            strncmp(err.text, said, strlen(said)) != 0) {
            fail_msg("%s: column %zu, %s", cases[i].text, column, err.text);
        }
        field_set_free(set);
    }
}

static bool compiles(struct str text)
{
    struct field_set *set = field_set_new();
    struct filter *f = filter_compile(text, set, NULL, NULL);
    const bool good = f != NULL;
    filter_free(f);
    field_set_free(set);
    return good;
}

/* begin, `count` times middle, end */
static bool repeated(const char *begin, size_t count, const char *middle, const char *end)
{
    AUTO(buf) struct buf text = {0};
    buf_addz(&text, begin);
    for (size_t i = 0; i < count; i++) {
        buf_addz(&text, middle);
    }
    buf_addz(&text, end);
    return compiles(buf_str(&text));
}

static void bounds(void **state)
{
    (void)state;
    assert_true(repeated("", 256, "a ", ""));
    assert_false(repeated("", 257, "a ", ""));
    assert_true(repeated("a:", 255, "b,", "c"));
    assert_false(repeated("a:", 256, "b,", "c"));
    assert_true(repeated("", 32, "-", "a"));
    assert_false(repeated("", 33, "-", "a"));
    assert_true(repeated("", 32, "(", "a))))))))))))))))))))))))))))))))"));
    assert_false(repeated("", 33, "(", "a)))))))))))))))))))))))))))))))))"));
    assert_true(repeated("", 40, "-a (b) ", "")); /* side by side */
    assert_true(repeated("a", 4095, "b", ""));
    assert_false(repeated("a", 4096, "b", ""));
    assert_true(repeated("a:/", 1024, "b", "/"));
    assert_false(repeated("a:/", 1025, "b", "/"));
    assert_false(repeated("", 2500, "\\", "a")); /* its canonical text would be too long */
    AUTO(buf) struct buf fields = {0};
    for (int i = 0; i < FIELD_MAX; i++) {
        buf_addf(&fields, "f%d:1 ", i);
    }
    assert_false(compiles(buf_str(&fields)));
    filter_free(NULL);
}

static bool matches(const char *text, const char *event)
{
    struct event e;
    struct err err = {0};
    event_init(&e, NULL, 0);
    struct filter *f = filter_compile(str_of(text), e.set, NULL, &err);
    if (!f) {
        fail_msg("%s: %s", text, err.text);
    }
    event_read(&e, event);
    const bool found = filter_match(f, e.values);
    filter_free(f);
    event_fini(&e);
    return found;
}

#define SAMPLE                                                                                                         \
    "{\"wiki\":\"enwiki\",\"title\":\"Talk:River (song)\",\"user\":\"~2026-5-6\",\"comment\":\"Gr\\u00fc\\u00dfe "     \
    "\\\"x\\\" "                                                                                                       \
    "\\u041c\\u0418\\u0420\",\"bot\":false,\"id\":15,\"namespace\":1,\"server_name\":\"en.wikipedia.org\",\"length\":" \
    "{\"old\":10,"                                                                                                     \
    "\"new\":4},\"x\":1.50,\"neg\":-0,\"list\":[1],\"nothing\":null,\"meta\":{\"dt\":\"2026\"},\"num\":\"15\"}"

static void what_is_found(void **state)
{
    (void)state;
    static const struct {
        const char *filter;
        bool found;
    } cases[] = {
        {"", true},
        {"river", true},
        {"RIVER", true},
        {"\"talk:river (\"", true},
        {"river song", true},
        {"\"river song\"", false},
        {"gr\xc3\xbc\xc3\x9f", true},
        {"GR\xc3\x9c", true},
        {"\xd0\xbc\xd0\xb8\xd1\x80", true},
        {"\"\\\"X\\\"\"", true},
        {"2026-5", true},
        {"enwiki", false}, /* no text of people */
        {"wiki:enwiki", true},
        {"wiki:ENWIKI", false},
        {"wiki:enw", false},
        {"wiki:enw*", true},
        {"wiki:dewiki,enwiki", true},
        {"wiki:de*,fr*", false},
        {"title:\"Talk:River (song)\"", true},
        {"title:\"Talk:\"*", true},
        {"comment:\"Gr\xc3\xbc\xc3\x9f\x65 \"*", true},
        {"bot:false", true},
        {"bot:true", false},
        {"bot:*", true},
        {"id:15", true},
        {"id:\"15\"", true},
        {"id:1*", true},
        {"id:10..20", true},
        {"id:15..", true},
        {"id:>15", false},
        {"id:..14,16..", false},
        {"num:15", true},
        {"num:10..20", false}, /* a string is no number */
        {"x:1.50", true},
        {"x:1.5", false},
        {"x:>1", false},
        {"neg:0", true},
        {"neg:\"-0\"", false},
        {"list:null", true},
        {"list:*", false},
        {"nothing:null", true},
        {"nothing:n*", false},
        {"nothing:/n/", false},
        {"absent:null", true},
        {"absent:*", false},
        {"-absent:*", true},
        {"meta.dt:2026", true},
        {"meta:null", true},
        {"meta.dt.x:null", true},
        {"title:/^talk:.*\\(song\\)$/", false},
        {"title:/^talk:.*\\(song\\)$/i", true},
        {"comment:/\\bМИР$/", true},
        {"comment:/^Gr\\w+ \"/", true},
        {"id:/^\\d+$/", true},
        {"title:/a\\/b|River/", true},
        {"family:wikipedia", true},
        {"family:other", false},
        {"language:en", true},
        {"actor:temporary", true},
        {"actor:registered,ip", false},
        {"delta:-6", true},
        {"delta:<0", true},
        {"delta:>=0", false},
        {"river -song", false},
        {"river -sang", true},
        {"nope OR river", true},
        {"nope river OR wiki:enwiki", true},
        {"nope (river OR wiki:enwiki)", false},
        {"-(nope OR bot:true)", true},
        {"NOT nope AND NOT bot:true", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (matches(cases[i].filter, SAMPLE) != cases[i].found) {
            fail_msg("%s: %d", cases[i].filter, !cases[i].found);
        }
    }
    assert_true(matches("language:null family:other actor:hidden delta:null day:null hour:null", "{}"));
    assert_true(matches("day:2026-05-05 hour:11", "{\"timestamp\":1777979867}"));
    assert_true(matches("day:2026-05* hour:8..17", "{\"timestamp\":1777979867}"));
    assert_false(matches("hour:<11", "{\"timestamp\":1777979867}"));
    assert_false(matches("x", "{}"));
    assert_true(matches("-x", "{}"));
}

/* How often the pattern gives up on a title of so many a. */
static uint64_t gives_up(const char *pattern, int letters)
{
    struct event e;
    AUTO(buf) struct buf text = {0};
    event_init(&e, (const char *const[]){"comment"}, 1);
    buf_addz(&text, "{\"title\":\"");
    for (int i = 0; i < letters; i++) {
        buf_addc(&text, 'a');
    }
    buf_addz(&text, "!\"}");
    event_read(&e, text.ptr);
    struct filter *f = filter_compile(str_of(pattern), e.set, NULL, NULL);
    assert_non_null(f);
    assert_false(filter_match(f, e.values));
    const uint64_t count = filter_gave_up(f);
    filter_free(f);
    event_fini(&e);
    return count;
}

/* A pattern that would need the age of the universe gives up, and says so; our limit comes long before PCRE2's own. */
static void R13_regular_expressions_are_bounded(void **state)
{
    (void)state;
    assert_int_equal(gives_up("title:/^(a+)+$/", 60), 1);
    assert_int_equal(gives_up("title:/^(a+)+$/", 20), 1);
    assert_int_equal(gives_up("title:/^(a+)+$/", 5), 0);
    assert_int_equal(gives_up("title:/^((a+)*)*\\1!!/", 60), 1);
    (void)gives_up("title:/^(a|a)*$/", 60); /* these two PCRE2 may see through; they must end */
    (void)gives_up("title:/(?:a?){40}a{40}b/", 60);
}

/* Words are found in texts of any length: the limits are for regular expressions. */
static void long_texts(void **state)
{
    (void)state;
    struct event e;
    AUTO(buf) struct buf text = {0};
    event_init(&e, NULL, 0);
    buf_addz(&text, "{\"title\":\"");
    for (int i = 0; i < 500000; i++) {
        buf_addz(&text, "ab ");
    }
    buf_addz(&text, "needle\"}");
    struct filter *word = filter_compile(STR("NEEDLE"), e.set, NULL, NULL);
    struct filter *regex = filter_compile(STR("title:/needle$/"), e.set, NULL, NULL);
    assert_int_equal(event_scan(&e, buf_str(&text)), DEAD_NONE);
    assert_true(filter_match(word, e.values));
    assert_true(filter_match(regex, e.values));
    assert_int_equal(filter_gave_up(word) + filter_gave_up(regex), 0);
    filter_free(word);
    filter_free(regex);
    event_fini(&e);
}

/* ---- random filters against a naive evaluator */

/* An event of few fields, as the naive evaluator knows it: NULL is null or absent. */
enum { KNOWN_FIELDS = 6 };
static const char *const known_paths[KNOWN_FIELDS] = {"title", "user", "comment", "length.new", "bot", "sub.x"};
struct known {
    const char *text[KNOWN_FIELDS];
    bool string[KNOWN_FIELDS], whole[KNOWN_FIELDS];
    int64_t number[KNOWN_FIELDS];
};

static const char *const words[] = {"ab", "abc", "b",    "AbC",  "x y", "null", "12", "-3", "a\"b", "a\\b", "OR",
                                    "-x", "a,b", "a..b", "1..2", "a:b", "(",    "a*", ">1", "/a/",  ""};
enum { WORDS = sizeof words / sizeof *words };

/* What a filter means, the slow and plain way. */
struct plan {
    char kind; /* & | ! t = ^ # */
    struct plan *left, *right;
    const char *word;
    int field;
    int64_t low, high;
};

static bool contains_caseless(const struct known *e, int field, const char *word)
{
    return e->string[field] && strcasestr(e->text[field], word) != NULL;
}

static bool plan_holds(const struct plan *p, const struct known *e)
{
    const char *text = e->text[p->field];
    switch (p->kind) {
    case '&':
        return plan_holds(p->left, e) && plan_holds(p->right, e);
    case '|':
        return plan_holds(p->left, e) || plan_holds(p->right, e);
    case '!':
        return !plan_holds(p->left, e);
    case 't':
        return contains_caseless(e, 0, p->word) || contains_caseless(e, 1, p->word) || contains_caseless(e, 2, p->word);
    case '=':
        return strcmp(text ? text : "null", p->word) == 0;
    case '^':
        return text && strncmp(text, p->word, strlen(p->word)) == 0;
    default:
        return e->whole[p->field] && e->number[p->field] >= p->low && e->number[p->field] <= p->high;
    }
}

static struct plan *plan_new(struct rng *rng, int depth)
{
    struct plan *p = xcalloc(1, sizeof *p);
    p->kind = "&&||!t=^#=t"[depth > 0 ? rng_below(rng, 11) : 5 + rng_below(rng, 6)];
    p->field = (int)rng_below(rng, KNOWN_FIELDS);
    p->word = words[rng_below(rng, p->kind == 't' ? WORDS - 1 : WORDS)];
    p->low = (int64_t)rng_below(rng, 20) - 10;
    p->high = p->low + (int64_t)rng_below(rng, 15);
    if (strchr("&|!", p->kind)) {
        p->left = plan_new(rng, depth - 1);
    }
    if (strchr("&|", p->kind)) {
        p->right = plan_new(rng, depth - 1);
    }
    return p;
}

static void plan_free(struct plan *p)
{
    if (p) {
        plan_free(p->left);
        plan_free(p->right);
        free(p);
    }
}

static void write_quoted(struct buf *out, const char *word)
{
    buf_addc(out, '"');
    for (; *word; word++) {
        buf_addz(out, *word == '"' || *word == '\\' ? "\\" : "");
        buf_addc(out, *word);
    }
    buf_addc(out, '"');
}

static void write_word(struct buf *out, struct rng *rng, const char *word)
{
    const bool bare = *word && strspn(word, "abcABC123") == strlen(word);
    if (bare && rng_below(rng, 2)) {
        buf_addz(out, word);
    } else {
        write_quoted(out, word);
    }
}

static void write_range(struct buf *out, struct rng *rng, const struct plan *p)
{
    if (rng_below(rng, 2)) {
        buf_addf(out, "%lld..%lld", (long long)p->low, (long long)p->high);
    } else {
        buf_addf(out, "%lld..%lld,%lld..%lld", (long long)p->low, (long long)p->high, (long long)p->high,
                 (long long)p->high);
    }
}

/* One of the ways to write it; always in parentheses below an operator that binds closer. */
static void write_plan(struct buf *out, struct rng *rng, const struct plan *p, bool closed)
{
    const bool list = p->kind == '&' || p->kind == '|';
    const bool paren = (list && closed) || rng_below(rng, 8) == 0;
    buf_addz(out, paren ? "(" : "");
    buf_addz(out, paren && rng_below(rng, 2) ? " " : "");
    switch (p->kind) {
    case '&':
    case '|':
        write_plan(out, rng, p->left, true);
        buf_addz(out, p->kind == '|' ? "  OR " : rng_below(rng, 2) ? " AND " : " ");
        write_plan(out, rng, p->right, true);
        break;
    case '!':
        buf_addz(out, rng_below(rng, 2) ? "-" : "NOT ");
        write_plan(out, rng, p->left, true);
        break;
    case 't':
        write_word(out, rng, p->word);
        break;
    default:
        buf_addf(out, "%s:", known_paths[p->field]);
        if (p->kind == '#') {
            write_range(out, rng, p);
        } else {
            write_word(out, rng, p->word);
            buf_addz(out, p->kind == '^' ? "*" : "");
        }
    }
    buf_addz(out, paren ? ")" : "");
}

static void write_event(struct buf *out, struct rng *rng, struct known *e)
{
    static char digits[KNOWN_FIELDS][24];
    *e = (struct known){0};
    struct buf inner[KNOWN_FIELDS] = {0};
    for (int i = 0; i < KNOWN_FIELDS; i++) {
        switch (rng_below(rng, 6)) {
        case 0: /* an object, an array or null: all of them null */
            buf_addz(&inner[i], rng_below(rng, 2) ? "null" : rng_below(rng, 2) ? "[\"ab\"]" : "{\"x\":\"ab\"}");
            break;
        case 1:
            e->whole[i] = true;
            e->number[i] = (int64_t)rng_below(rng, 30) - 15;
            snprintf(digits[i], sizeof digits[i], "%lld", (long long)e->number[i]);
            e->text[i] = digits[i];
            buf_addz(&inner[i], digits[i]);
            break;
        case 2:
            e->text[i] = rng_below(rng, 2) ? "true" : "1.50";
            buf_addz(&inner[i], e->text[i]);
            break;
        default:
            e->string[i] = true;
            e->text[i] = words[rng_below(rng, WORDS)];
            buf_add_json(&inner[i], str_of(e->text[i]));
        }
    }
    buf_addf(out, "{\"title\":%s,\"user\":%s,\"comment\":%s,\"length\":{\"new\":%s},\"bot\":%s,\"sub\":{\"x\":%s}}",
             inner[0].ptr, inner[1].ptr, inner[2].ptr, inner[3].ptr, inner[4].ptr, inner[5].ptr);
    for (int i = 0; i < KNOWN_FIELDS; i++) {
        buf_fini(&inner[i]);
    }
}

static void random_filters(void **state)
{
    (void)state;
    struct rng rng;
    rng_init(&rng, test_seed());
    size_t found = 0, tried = 0;
    for (int round = 0; round < 1500; round++) {
        struct event event;
        AUTO(buf) struct buf text = {0}, canonical = {0}, again = {0};
        struct err err = {0};
        struct plan *plan = plan_new(&rng, 4);
        write_plan(&text, &rng, plan, false);
        event_init(&event, known_paths, KNOWN_FIELDS);
        struct filter *f = filter_compile(buf_str(&text), event.set, NULL, &err);
        if (!f) {
            fail_msg("%s: %s", text.ptr, err.text);
        }
        filter_print(f, &canonical);
        struct filter *g = filter_compile(buf_str(&canonical), event.set, NULL, &err);
        if (!g) {
            fail_msg("%s, printed as %s: %s", text.ptr, canonical.ptr, err.text);
        }
        filter_print(g, &again);
        assert_string_equal(canonical.ptr, again.ptr);
        for (int i = 0; i < 20; i++) {
            AUTO(buf) struct buf json = {0};
            struct known known;
            write_event(&json, &rng, &known);
            event_read(&event, json.ptr);
            const bool want = plan_holds(plan, &known);
            if (filter_match(f, event.values) != want || filter_match(g, event.values) != want) {
                fail_msg("%s (%s): should be %d for %s", text.ptr, canonical.ptr, want, json.ptr);
            }
            found += want;
            tried++;
        }
        filter_free(f);
        filter_free(g);
        plan_free(plan);
        event_fini(&event);
    }
    assert_true(found > tried / 20 && found < tried - tried / 20); /* else it proves little */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted_texts),
        cmocka_unit_test(refused_texts_name_the_column),
        cmocka_unit_test(bounds),
        cmocka_unit_test(what_is_found),
        cmocka_unit_test(R13_regular_expressions_are_bounded),
        cmocka_unit_test(long_texts),
        cmocka_unit_test(random_filters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
