/* SPDX-License-Identifier: MIT
 *
 * identity.c - the names of an event (R1, oracle.md section 4), as 128 bits each.
 *
 * Two 64-bit hashes with different seeds: among the million identities that are known at most, two different names meet
 * with probability 10^-26. Names come from strangers, so the seeds are this process's own; identities are therefore
 * never stored, the table of the known ones is rebuilt from the journal. meta.id, (wiki, id) and bytes have seeds of
 * their own, so that a name of one sort never meets one of another.
 */
#include "base/fault.h"
#include "base/hash.h"
#include "change/change.h"

enum name_sort { NAME_META_ID = 0, NAME_WIKI_ID = 1, NAME_BYTES = 2 };

static struct identity hash_name(enum name_sort sort, struct str bytes)
{
    const uint64_t seed = hash_process_seed() + 2 * (uint64_t)sort;
    return (struct identity){hash_bytes(bytes, seed), hash_bytes(bytes, seed + 1)};
}

struct identity identity_of_bytes(struct str bytes)
{
    return hash_name(NAME_BYTES, bytes);
}

static struct identity hash_value(enum name_sort sort, const struct value *v)
{
    AUTO(buf) struct buf scratch = {0};
    return hash_name(sort, value_string(v, &scratch));
}

static struct identity hash_wiki_id(const struct value *wiki, int64_t id)
{
    struct {
        struct identity wiki;
        int64_t id;
    } name = {hash_value(NAME_WIKI_ID, wiki), id};
    return hash_name(NAME_WIKI_ID, str_n((const char *)&name, sizeof name));
}

size_t change_identities(const struct value *values, enum change_kind kind, struct identity ids[2], int which[2])
{
    size_t count = 0;
    const struct value *wiki = &values[FIELD_WIKI], *id = &values[FIELD_ID];
    if (value_is_text(&values[FIELD_META_ID]) && !fault("R1.meta-id")) {
        which[count] = 0;
        ids[count++] = hash_value(NAME_META_ID, &values[FIELD_META_ID]);
    }
    /* A canary's body is a copy of an example: its id names nothing. An id of 0 is MediaWiki's "none". */
    if ((kind == CHANGE_EDIT_LIKE || fault("R1.canary")) && value_is_text(wiki) && id->kind == VALUE_INT &&
        (id->number > 0 || fault("R1.zero")) && !fault("R1.wiki-id")) {
        which[count] = 1;
        ids[count++] = hash_wiki_id(wiki, id->number);
    }
    return count;
}
