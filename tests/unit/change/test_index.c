/* SPDX-License-Identifier: MIT
 *
 * test_index.c - every kernel that this processor has gives the same index, and with each of them the scanner gives the
 * verdict, the byte and the values that it gives with none, when it reads byte by byte.
 *
 * Texts are copied to memory of exactly their length, so that a sanitizer sees a byte too far.
 */
#include "change/index.h"

#include "change/scan.h"
#include "change/text.h"
#include "change_test.h"

enum { MUTATIONS = 60000, MADE = 400 };

static const char *const paths[] = {"a",       "a.b",   "b",          "length",     "length.old",
                                    "comment", "minor", "log_params", "revision.0", "parsedcomment"};

static bool find_nothing(struct str text, struct text_index *ret)
{
    (void)text, (void)ret;
    return false;
}

/* Not one of the list: with it every text is read byte by byte. */
static const struct index_kernel no_kernel = {"none", find_nothing, NULL};

static bool is_here(const struct index_kernel *kernel)
{
    return !kernel->has || kernel->has();
}

static bool may_be_indexed(struct str text)
{
    return text.len >= INDEX_TEXT_MIN && text.len <= INDEX_TEXT_MAX && text.ptr[text.len - 1] == '}';
}

static void show(struct str text)
{
    fprintf(stderr, "# %zu bytes:", text.len);
    for (size_t i = 0; i < text.len; i++) {
        fprintf(stderr, text.ptr[i] >= ' ' && text.ptr[i] < 0x7f ? "%c" : "<%02x>", (unsigned char)text.ptr[i]);
    }
    fprintf(stderr, "\n");
}

/* ---- the first pass alone */

/* Without words: a quote that an odd number of backslashes does not precede. */
static bool is_open_quote(struct str text, size_t at)
{
    size_t slashes = 0;
    while (slashes < at && text.ptr[at - 1 - slashes] == '\\') {
        slashes++;
    }
    return text.ptr[at] == '"' && slashes % 2 == 0;
}

/* -> did the kernel approve of the text? Then its index must be right. */
static bool check_index(const struct index_kernel *kernel, struct str text)
{
    static struct text_index index;
    memset(&index, 0xa5, sizeof index);
    if (!kernel->find(text, &index)) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        const bool marked = index.quotes[i / INDEX_BLOCK] >> i % INDEX_BLOCK & 1;
        if (marked != is_open_quote(text, i)) {
            show(text);
            fail_msg("%s, byte %zu: %d", kernel->name, i, marked);
        }
    }
    const char *slash = memchr(text.ptr, '\\', text.len), *last = memrchr(text.ptr, '\\', text.len);
    assert_int_equal(index.slash_first, slash ? (size_t)(slash - text.ptr) : text.len);
    assert_int_equal(index.slash_last, last ? last - text.ptr : 0);
    assert_true(index.quotes[(text.len + INDEX_BLOCK - 1) / INDEX_BLOCK] == UINT64_MAX);
    return true;
}

/* ---- both passes */

struct bench {
    struct event none, each; /* read without a kernel, and with one */
    size_t compared, good, indexed;
    struct buf pool[MADE];
    size_t pool_count;
};

static bool same_values(const struct bench *b)
{
    for (size_t i = 0; i < field_set_count(b->none.set); i++) {
        const struct value *v = &b->none.values[i], *w = &b->each.values[i];
        if (v->kind != w->kind || (v->kind != VALUE_ABSENT && (v->raw.ptr != w->raw.ptr || v->raw.len != w->raw.len)) ||
            (v->kind == VALUE_INT && v->number != w->number) || (v->kind == VALUE_STRING && v->escaped != w->escaped)) {
            return false;
        }
    }
    return true;
}

/* With one kernel. -> did its first pass approve? */
static bool compare_kernel(struct bench *b, const struct index_kernel *kernel, struct str text, enum dead_reason reason,
                           size_t at)
{
    size_t kernel_at = 0;
    index_kernel_use(kernel);
    const enum dead_reason got = change_scan(b->each.set, text, b->each.values, &kernel_at);
    if (got != reason || (got != DEAD_NONE && kernel_at != at) || (got == DEAD_NONE && !same_values(b))) {
        show(text);
        fail_msg("%s: %s at %zu, byte by byte: %s at %zu", kernel->name, dead_reason_name(got), kernel_at,
                 dead_reason_name(reason), at);
    }
    const bool indexed = may_be_indexed(text) && check_index(kernel, text);
    if (scan_quickly(text, b->each.set, b->each.values) != (indexed && reason == DEAD_NONE)) {
        show(text);
        fail_msg("%s: indexed %d, %s, but quickly %d", kernel->name, indexed, dead_reason_name(reason), !indexed);
    }
    return indexed;
}

static void compare(struct bench *b, struct str given)
{
    AUTO_FREE char *copy = xmalloc(given.len ? given.len : 1);
    memcpy(copy, given.ptr, given.len);
    const struct str text = {copy, given.len};
    size_t at = 0, indexed = 0, kernels = 0;
    index_kernel_use(&no_kernel);
    const enum dead_reason reason = change_scan(b->none.set, text, b->none.values, &at);
    for (const struct index_kernel *kernel = index_kernels; kernel->name; kernel++) {
        if (is_here(kernel)) {
            kernels++;
            indexed += compare_kernel(b, kernel, text, reason, at);
        }
    }
    if (indexed != 0 && indexed != kernels) {
        show(text);
        fail_msg("%zu of %zu kernels approve", indexed, kernels);
    }
    b->compared++;
    b->good += reason == DEAD_NONE;
    b->indexed += indexed != 0;
    index_kernel_use(NULL);
}

static void bench_init(struct bench *b)
{
    *b = (struct bench){0};
    event_init(&b->none, paths, sizeof paths / sizeof *paths);
    event_init(&b->each, paths, sizeof paths / sizeof *paths);
}

static void bench_fini(struct bench *b)
{
    for (size_t i = 0; i < b->pool_count; i++) {
        buf_fini(&b->pool[i]);
    }
    event_fini(&b->none);
    event_fini(&b->each);
}

/* ---- made events, as the stream writes them or nearly so */

#define PICK(rng, table) table[rng_below(rng, sizeof(table) / sizeof *(table))]

static void add_string(struct buf *out, struct rng *rng)
{
    static const char *const pieces[] = {"word",
                                         " ",
                                         "\\\"",
                                         "\\\\",
                                         "\\/",
                                         "\\u00e9",
                                         "\\ud83d\\ude00",
                                         "\xc3\xa9",
                                         "\xe2\x82\xac",
                                         "\xf0\x9f\x98\x80",
                                         "{[,:]}",
                                         "\xd0\xba\xd0\xb0\xd1\x82\xd0\xb5\xd0\xb3\xd0\xbe",
                                         "\\\\\\\\\\\\",
                                         "a long part of a string without anything in it to see, 64 bytes"};
    buf_addc(out, '"');
    for (uint64_t n = rng_below(rng, 5); n > 0; n--) {
        buf_addz(out, PICK(rng, pieces));
    }
    buf_addc(out, '"');
}

static void add_value(struct buf *out, struct rng *rng, int depth);

static void add_members(struct buf *out, struct rng *rng, int depth)
{
    static const char *const keys[] = {
        "$schema", "meta",   "id",         "type",          "title",   "comment", "timestamp",
        "user",    "bot",    "minor",      "length",        "old",     "new",     "revision",
        "a",       "b",      "u\\u0073er", "other",         "0",       "dt",      "server_name",
        "wiki",    "offset", "log_params", "parsedcomment", "\xc3\xa9"};
    const char *const comma = rng_below(rng, 3) ? "," : ", ", *const colon = rng_below(rng, 3) ? ":" : ": ";
    buf_addc(out, '{');
    for (uint64_t n = rng_below(rng, depth ? 5 : 25), i = 0; i < n; i++) {
        buf_addf(out, "%s\"%s\"%s", i ? comma : "", PICK(rng, keys), colon);
        add_value(out, rng, depth + 1);
    }
    buf_addc(out, '}');
}

static void add_value(struct buf *out, struct rng *rng, int depth)
{
    static const char *const scalars[] = {
        "true",  "false", "null",     "0",      "-1", "1777979857", "123456789012345678", "9223372036854775808",
        "1.5e3", "-0.25", "99999999", "1234567"};
    const uint64_t kind = rng_below(rng, 10);
    if (kind < 5 || depth > 5) {
        add_string(out, rng);
    } else if (kind < 8) {
        buf_addz(out, PICK(rng, scalars));
    } else if (kind < 9) {
        add_members(out, rng, depth);
    } else {
        buf_addc(out, '[');
        for (uint64_t n = rng_below(rng, 4), i = 0; i < n; i++) {
            buf_addz(out, i ? "," : "");
            add_value(out, rng, depth + 1);
        }
        buf_addc(out, ']');
    }
}

static void compare_made(struct bench *b, struct rng *rng)
{
    for (; b->pool_count < MADE; b->pool_count++) {
        struct buf *text = &b->pool[b->pool_count];
        for (uint64_t n = rng_below(rng, 70); n > 0; n--) {
            buf_addc(text, ' '); /* every place in a block */
        }
        add_members(text, rng, 0);
        compare(b, buf_str(text));
    }
}

/* ---- mutations */

static void mutate(struct buf *text, struct rng *rng)
{
    static const char *const pieces[] = {
        "\"",   "\\",       "{",       "}",     "[",    "]",      ",",    ":",        "\n",
        "\x01", "\\ud800",  "\\udc00", "\\u00", "\\\"", "\\\\\"", "\xc3", "\xe2\x82", "\xed\xa0\x80",
        "\xff", "\xf0\x9f", "\x80",    "0",     "-",    "e1",     "tru",  "\"a\":",   "\"user\":1,"};
    AUTO(buf) struct buf all = {0};
    const size_t at = rng_below(rng, text->len + 1), left = text->len - at;
    const size_t drop = rng_below(rng, 2) && left ? rng_below(rng, left < 9 ? left + 1 : 9) : 0;
    buf_add(&all, str_n(text->ptr, at));
    if (rng_below(rng, 4)) {
        buf_addz(&all, PICK(rng, pieces));
    } else {
        buf_addc(&all, (char)rng_below(rng, 256));
    }
    buf_add(&all, str_n(text->ptr + at + drop, left - drop));
    buf_clear(text);
    buf_add(text, buf_str(&all));
}

static void R2_kernels_agree(void **state)
{
    (void)state;
    static struct bench b;
    struct rng rng;
    rng_init(&rng, test_seed());
    bench_init(&b);
    compare_made(&b, &rng);
    assert_int_equal(b.good, MADE);
    assert_true(b.indexed > MADE * 3 / 4); /* the others are short */
    for (int i = 0; i < MUTATIONS; i++) {
        const struct buf *from = &b.pool[rng_below(&rng, b.pool_count)];
        AUTO(buf) struct buf text = {0};
        buf_add(&text, buf_str(from));
        for (uint64_t n = 1 + rng_below(&rng, 2); n > 0; n--) {
            mutate(&text, &rng);
        }
        compare(&b, buf_str(&text));
    }
    print_message("# %zu compared, %zu good, %zu indexed\n", b.compared, b.good, b.indexed);
    assert_true(b.good > b.compared / 20 && b.good < b.compared * 19 / 20); /* both sorts must come up */
    bench_fini(&b);
}

/* All first and second bytes, and such third and fourth ones as make a difference, across the borders of vectors. */
static void R2_kernels_know_utf8(void **state)
{
    (void)state;
    static const unsigned char ends[] = {'x', 0x80, 0xbf, 0xc3};
    static const size_t places[] = {0, 14, 31, 62, 63, 125}; /* of 64 bytes, and of 16 and 32 in them */
    char bytes[200];                                         /* three blocks and a rest */
    const struct str text = {bytes, sizeof bytes};
    memset(bytes, '.', sizeof bytes);
    bytes[sizeof bytes - 1] = '}';
    for (const struct index_kernel *kernel = index_kernels; kernel->name; kernel++) {
        for (unsigned n = 0; is_here(kernel) && n < 0x10000 * 16; n++) {
            char *const at = bytes + places[n % 7 % 6];
            const unsigned char first = (unsigned char)(n >> 8), second = (unsigned char)n;
            if (first < 0x80 || first == '\\' || second == '\\' || second < ' ') {
                continue;
            }
            at[0] = (char)first, at[1] = (char)second;
            at[2] = (char)ends[n >> 16 & 3], at[3] = (char)ends[n >> 18 & 3];
            static struct text_index index;
            if (kernel->find(text, &index) != !text_bad_utf8(text.ptr, text.ptr + text.len)) {
                fail_msg("%s at %td: %02x %02x %02x %02x", kernel->name, at - bytes, first, second,
                         (unsigned char)at[2], (unsigned char)at[3]);
            }
            memset(at, '.', 4);
        }
    }
}

/* Every control character and every length of a run of backslashes, at every place of two blocks and a rest. */
static void R2_kernels_see_every_byte(void **state)
{
    (void)state;
    static struct text_index index;
    for (const struct index_kernel *kernel = index_kernels; kernel->name; kernel++) {
        for (size_t len = INDEX_TEXT_MIN; is_here(kernel) && len < 200; len++) {
            AUTO_FREE char *bytes = xmalloc(len);
            memset(bytes, '.', len - 1);
            bytes[len - 1] = '}';
            for (size_t at = 0; at + 1 < len; at++) {
                bytes[at] = (char)(at % 0x20);
                assert_false(kernel->find(str_n(bytes, len), &index));
                bytes[at] = '\\';
                assert_false(kernel->find(str_n(bytes, len), &index));
                bytes[at] = "\"\x20\x7f"[at % 3];
                assert_true(check_index(kernel, str_n(bytes, len)));
                bytes[at] = '.';
            }
            for (size_t at = 0; at + 12 < len; at++) {
                memset(bytes + at, '\\', at % 10 / 2 * 2 + 2);
                bytes[at + at % 10 / 2 * 2 + 2] = '"';
                assert_true(check_index(kernel, str_n(bytes, len)));
                memmove(bytes + at + 1, bytes + at, 11); /* one more: it escapes the quote */
                assert_true(check_index(kernel, str_n(bytes, len)));
                memset(bytes, '.', len - 1);
            }
        }
    }
}

/* What came in its place the last time is a guess, and no proof. */
static void guesses_are_compared(void **state)
{
    (void)state;
    static struct bench b;
    const char *const fill =
        "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789";
    static const char *const members[] = {
        "\"x\\\"y\":1",      "\"x\"y\":1",      "\"x\\\"y\":1",      "\"x\\\\\"y\":1",  "\"a\":{\"b\":2}", "\"a\" : 3",
        "\"a\": {\"b\" :2}", "\"a\":{\"a\":4}", "\"b\":[{\"a\":5}]", "\"a\":[\"b\":6]", "\"a\":6,\"a\"7"};
    bench_init(&b);
    assert_true(field_set_add(b.none.set, STR("x\"y"), NULL) >= 0);
    assert_true(field_set_add(b.each.set, STR("x\"y"), NULL) >= 0);
    for (size_t i = 0; i < 2 * sizeof members / sizeof *members; i++) {
        AUTO(buf) struct buf text = {0};
        buf_addf(&text, "{\"user\":\"%s\",%s,\"comment\":\"%s\"}", fill, members[i / 2], fill);
        compare(&b, buf_str(&text));
    }
    assert_int_equal(b.good, 14);
    bench_fini(&b);
}

static void the_fastest_is_chosen(void **state)
{
    (void)state;
    const struct index_kernel *kernel = index_kernels;
    while (!is_here(kernel)) {
        kernel++;
    }
    assert_ptr_equal(index_kernel(), kernel);
    print_message("# %s\n", kernel->name);
    index_kernel_use(&no_kernel);
    assert_ptr_equal(index_kernel(), &no_kernel);
    index_kernel_use(NULL);
    assert_ptr_equal(index_kernel(), kernel);
}

static bool is_nowhere(void)
{
    return false;
}

static bool is_everywhere(void)
{
    return true;
}

/* Whatever this processor has: what is not there is passed over, and the plain one, which asks nothing, is the last. */
static void what_is_not_there_is_not_chosen(void **state)
{
    (void)state;
    static const struct index_kernel list[] = {{"lost", find_nothing, is_nowhere},
                                               {"missing", find_nothing, is_nowhere},
                                               {"here", find_nothing, is_everywhere},
                                               {"plain", find_nothing, NULL},
                                               {NULL, NULL, NULL}},
                                     none[] = {{"lost", find_nothing, is_nowhere},
                                               {"plain", find_nothing, NULL},
                                               {NULL, NULL, NULL}};
    assert_string_equal(index_kernel_first(list)->name, "here");
    assert_string_equal(index_kernel_first(list + 2)->name, "here");
    assert_string_equal(index_kernel_first(list + 3)->name, "plain");
    assert_string_equal(index_kernel_first(none)->name, "plain");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(R2_kernels_agree),          cmocka_unit_test(R2_kernels_know_utf8),
        cmocka_unit_test(R2_kernels_see_every_byte), cmocka_unit_test(guesses_are_compared),
        cmocka_unit_test(the_fastest_is_chosen),     cmocka_unit_test(what_is_not_there_is_not_chosen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
