/* SPDX-License-Identifier: MIT
 *
 * facts.c - what follows from an event without being written in it. The definition of each stands at its function and
 * in the manual; they are ours, MediaWiki has no such fields.
 */
#include "change/change.h"

#include <arpa/inet.h>

const char *actor_kind_name(enum actor_kind k)
{
    static const char *const names[] = {
        [ACTOR_HIDDEN] = "hidden",       [ACTOR_BOT] = "bot", [ACTOR_REGISTERED] = "registered",
        [ACTOR_TEMPORARY] = "temporary", [ACTOR_IP] = "ip",
    };
    return (unsigned)k < sizeof names / sizeof *names ? names[k] : "unknown";
}

static size_t digits(struct str s, size_t from)
{
    size_t at = from;
    while (at < s.len && s.ptr[at] >= '0' && s.ptr[at] <= '9') {
        at++;
    }
    return at - from;
}

/* "~", a year of four digits, then one or more groups of "-" and digits: ~2026-31415-92. */
static bool is_temporary(struct str name)
{
    if (name.len < 7 || name.ptr[0] != '~' || digits(name, 1) != 4) {
        return false;
    }
    size_t at = 5;
    while (at < name.len) {
        const size_t group = name.ptr[at] == '-' ? digits(name, at + 1) : 0;
        if (group == 0) {
            return false;
        }
        at += 1 + group;
    }
    return true;
}

/* An IPv4 address in four decimal parts, or an IPv6 address in any of its usual forms. */
static bool is_ip(struct str name)
{
    char z[INET6_ADDRSTRLEN];
    unsigned char address[sizeof(struct in6_addr)];
    if (name.len >= sizeof z || name.len == 0 || memchr(name.ptr, '\0', name.len)) {
        return false;
    }
    memcpy(z, name.ptr, name.len);
    z[name.len] = '\0';
    return inet_pton(AF_INET, z, address) == 1 || inet_pton(AF_INET6, z, address) == 1;
}

/* Who did it, by the first that applies: bot - the flag `bot` is true; hidden - `user` is not a string or is empty;
 * temporary - `user` is the name of a temporary account; ip - `user` is an IP address; registered - any other name. */
enum actor_kind change_actor(const struct value *user, const struct value *bot)
{
    if (bot->kind == VALUE_TRUE) {
        return ACTOR_BOT;
    }
    if (!value_is_text(user)) {
        return ACTOR_HIDDEN;
    }
    AUTO(buf) struct buf scratch = {0};
    const struct str name = value_string(user, &scratch);
    return is_temporary(name) ? ACTOR_TEMPORARY : is_ip(name) ? ACTOR_IP : ACTOR_REGISTERED;
}

/* Projects that have one wiki per language, and a domain of their own. */
static const struct str by_language[] = {
    STR_INIT("wikipedia"), STR_INIT("wiktionary"), STR_INIT("wikibooks"),   STR_INIT("wikinews"),
    STR_INIT("wikiquote"), STR_INIT("wikisource"), STR_INIT("wikiversity"), STR_INIT("wikivoyage"),
};
/* One wiki for all languages, and a domain of their own. */
static const struct str own_domain[] = {STR_INIT("wikidata"), STR_INIT("mediawiki"), STR_INIT("wikifunctions")};
/* One wiki, below wikimedia.org. */
static const struct str below_wikimedia[] = {STR_INIT("commons"), STR_INIT("meta"), STR_INIT("species"),
                                             STR_INIT("incubator")};
/* First labels of by_language domains that are no languages: portals, tests, closed special wikis. */
static const struct str no_language[] = {STR_INIT("www"),     STR_INIT("test"),      STR_INIT("test2"),
                                         STR_INIT("ten"),     STR_INIT("nostalgia"), STR_INIT("thankyou"),
                                         STR_INIT("sources"), STR_INIT("beta")};

#define FIND(table, s) find(table, sizeof(table) / sizeof *(table), s)
static const struct str *find(const struct str *table, size_t count, struct str s)
{
    for (size_t i = 0; i < count; i++) {
        if (str_eq(table[i], s)) {
            return &table[i];
        }
    }
    return NULL;
}

/* "en.wikipedia.org" -> label "en", domain "wikipedia"; false if it is not [LABEL.]DOMAIN.org. A mobile host ("m" after
 * the label) counts as its wiki. */
static bool split_host(struct str host, struct str *ret_label, struct str *ret_domain)
{
    struct str parts[4] = {0}, rest = host, part;
    size_t count = 0;
    while (str_split(&rest, '.', &part)) {
        if (count == 4 || part.len == 0) {
            return false;
        }
        parts[count++] = part;
    }
    if (count < 2 || !str_eqz(parts[count - 1], "org") || (count == 4 && !str_eqz(parts[1], "m"))) {
        return false;
    }
    *ret_domain = parts[count - 2];
    *ret_label = count > 2 ? parts[0] : STR("");
    return true;
}

/* The project of a host name: the second-level name for *.wikipedia.org, wiktionary, wikibooks, wikinews, wikiquote,
 * wikisource, wikiversity, wikivoyage, wikidata, mediawiki, wikifunctions; for wikimedia.org the first label if it is
 * commons, meta, species or incubator, else "wikimedia"; "other" for any other host and for none. */
struct str change_family(struct str server_name)
{
    struct str label, domain;
    if (!split_host(server_name, &label, &domain)) {
        return STR("other");
    }
    const struct str *known = FIND(by_language, domain);
    if (!known) {
        known = FIND(own_domain, domain);
    }
    if (!known && str_eqz(domain, "wikimedia")) {
        known = FIND(below_wikimedia, label);
        return known ? *known : STR("wikimedia");
    }
    return known ? *known : STR("other");
}

/* The language code as the host name has it ("en", "zh-min-nan", "simple"): the first label of LABEL.PROJECT.org, where
 * PROJECT has a wiki per language and LABEL is lower-case letters and hyphens, and none of www, test, test2, ten,
 * nostalgia, thankyou, sources, beta. Else "". */
struct str change_language(struct str server_name)
{
    struct str label, domain;
    if (!split_host(server_name, &label, &domain) || !FIND(by_language, domain) || FIND(no_language, label)) {
        return STR("");
    }
    for (size_t i = 0; i < label.len; i++) {
        if ((label.ptr[i] < 'a' || label.ptr[i] > 'z') && label.ptr[i] != '-') {
            return STR("");
        }
    }
    return label;
}

/* When the change was made, for day and hour: its timestamp, else its meta.dt, whichever is a valid time (oracle.md
 * section 3) first. */
bool change_when(const struct value *timestamp, const struct value *dt, int64_t *ret_us)
{
    return value_time(timestamp, ret_us) || value_time(dt, ret_us);
}

/* The day in UTC, whatever zone a wiki lives in. */
void change_add_day(struct buf *out, int64_t time_us)
{
    const size_t from = out->len;
    time_format(out, time_us);
    out->len = from + sizeof "2026-05-05" - 1;
    out->ptr[out->len] = 0;
}

/* The hour of that day in UTC. */
int64_t change_hour(int64_t time_us)
{
    return floor_div(time_us, 60 * US_PER_MINUTE) % 24;
}

/* Bytes added (negative: removed): length.new - length.old; a page that was not there (old absent or null) had none.
 * False if length.new is no integer, or length.old is something else, or the difference does not fit. */
bool change_size_delta(const struct value *length_old, const struct value *length_new, int64_t *ret_bytes)
{
    const bool from_nothing = length_old->kind == VALUE_ABSENT || length_old->kind == VALUE_NULL;
    if (length_new->kind != VALUE_INT || (!from_nothing && length_old->kind != VALUE_INT)) {
        return false;
    }
    int64_t delta;
    if (__builtin_sub_overflow(length_new->number, from_nothing ? 0 : length_old->number, &delta)) {
        return false;
    }
    *ret_bytes = delta;
    return true;
}
