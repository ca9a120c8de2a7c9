/* SPDX-License-Identifier: MIT
 *
 * change.h - one recent change: strict decoding, identity, times, derived facts. Front header of this room (with
 * filter.h). What is right to the letter: oracle.md sections 2, 3, 4, 6; real fields: eventstreams.md section 2. No
 * threads: pure functions over the caller's memory, except where a struct is named.
 */
#ifndef WIKITALLY_CHANGE_CHANGE_H
#define WIKITALLY_CHANGE_CHANGE_H

#include "base/clock.h"
#include "base/err.h"

#define CHANGE_MAX_BYTES ((size_t)8 << 20) /* of one event's JSON text */
enum { CHANGE_MAX_DEPTH = 64 };            /* nested objects and arrays; the outermost is 1 */
enum { FIELD_MAX = 128 };                  /* paths in one field set */

enum value_kind {
    VALUE_ABSENT = 0,
    VALUE_NULL,
    VALUE_FALSE,
    VALUE_TRUE,
    VALUE_INT,
    VALUE_NUMBER,
    VALUE_STRING,
    VALUE_OBJECT,
    VALUE_ARRAY
};

/* One field of one event. Borrowed from the event's text. */
struct value {
    uint8_t kind; /* enum value_kind; VALUE_INT: an integer of 64 bits; VALUE_NUMBER: any other number, kept as text */
    bool escaped; /* VALUE_STRING: raw holds backslashes */
    struct str raw; /* strings: between the quotes; all others: the JSON text */
    int64_t number; /* VALUE_INT */
};

/* The fields that every set begins with, at these indexes. */
enum field_id {
    FIELD_META_ID,
    FIELD_META_DT,
    FIELD_META_DOMAIN,
    FIELD_META_STREAM,
    FIELD_META_TOPIC,
    FIELD_META_PARTITION,
    FIELD_META_OFFSET,
    FIELD_TIMESTAMP,
    FIELD_WIKI,
    FIELD_ID,
    FIELD_TYPE,
    FIELD_NAMESPACE,
    FIELD_TITLE,
    FIELD_USER,
    FIELD_BOT,
    FIELD_SERVER_NAME,
    FIELD_CORE_COUNT
};

/* A set of dotted paths ("meta.dt", "length.new"). Names with a dot in them cannot be reached. Immutable once used by
 * change_scan, then safe to share between threads. */
struct field_set;
struct field_set *field_set_new(void); /* holds the core fields */
void field_set_free(struct field_set *set);
/* -> index of the path (the same one if it is there already), or -1 with err (bad path, more than FIELD_MAX). */
int field_set_add(struct field_set *set, struct str path, struct err *err);
int field_set_find(const struct field_set *set, struct str path); /* its index, or -1 */
size_t field_set_count(const struct field_set *set);
struct str field_set_path(const struct field_set *set, size_t index);

enum dead_reason {
    DEAD_NONE = 0,
    DEAD_TOO_LARGE,
    DEAD_BAD_UTF8,
    DEAD_TOO_DEEP,
    DEAD_SYNTAX,
    DEAD_SURROGATE,
    DEAD_NOT_OBJECT,
    DEAD_BAD_TIME,
    DEAD_NO_TIME,
    DEAD_REASONS
};
const char *dead_reason_name(enum dead_reason reason); /* "too-large", ...: the closed list of oracle.md section 2 */

/* Checks all of `text` (one strict JSON object, valid UTF-8) in one pass and fills values[0 .. field_set_count). Of
 * equal keys in one object the last wins, whole. On a reason other than DEAD_NONE values are undefined and *ret_at is
 * the byte (from 0; text.len: it ends too early). Of several defects the reason is the first in the order of enum
 * dead_reason. Values borrow from text. */
enum dead_reason change_scan(const struct field_set *set, struct str text, struct value *values, size_t *ret_at);

enum change_kind { CHANGE_EDIT_LIKE = 0, CHANGE_CANARY, CHANGE_TICK }; /* R2, R7 */
#define TICK_STREAM "wikitally.tick"
enum change_kind change_kind(const struct value *values);

/* oracle.md section 3. value_time: integer seconds or RFC 3339 string in the valid range. change_time: the event time
 * by `time_field` (index in the set; FIELD_TIMESTAMP by default): DEAD_BAD_TIME, DEAD_NO_TIME; a canary or tick has
 * meta.dt or TIME_NONE and is never dead. */
bool value_time(const struct value *v, int64_t *ret_us);
enum dead_reason change_time(const struct value *values, size_t time_field, enum change_kind kind, int64_t *ret_us);
/* change_time by FIELD_TIMESTAMP (*ret_us: TIME_NONE if dead), and the meta.dt that it looked at on the way: TIME_NONE
 * if it is not valid. */
enum dead_reason change_times(const struct value *values, enum change_kind kind, int64_t *ret_us, int64_t *ret_dt_us);

/* R5: from the future = time > min(arrival, meta.dt if a change) + skew; never if neither is known (TIME_NONE). */
bool change_is_future(enum change_kind kind, int64_t time_us, int64_t dt_us, int64_t arrival_us, int64_t skew_us);

bool value_is_text(const struct value *v); /* is it a string, and not an empty one? */
/* The bytes of a string (empty for what is none). Borrowed from the event's text, or, if it has escapes, from the end
 * of `scratch`, where it is appended: then valid until scratch changes. An overflow of scratch makes it empty. */
struct str value_string(const struct value *v, struct buf *scratch);
/* key_text of oracle.md section 6: a canonical JSON scalar, equal text = equal key; objects, arrays, absent: null. */
void value_add_key(struct buf *out, const struct value *v);
/* plain_text: as filters compare it. Strings unescaped; objects, arrays, absent: null. */
void value_add_plain(struct buf *out, const struct value *v);

/* R1 (oracle.md section 4): up to two names, as 128 bits each: meta.id, and (wiki, id) of a change. -> how many;
 * which[i]: 0 meta.id, 1 wiki+id. Seeded per process: not to be stored. */
struct identity {
    uint64_t hi, lo;
};
size_t change_identities(const struct value *values, enum change_kind kind, struct identity ids[2], int which[2]);
struct identity identity_of_bytes(struct str bytes); /* a dead record is known by its bytes */

/* Derived facts; each definition stands at the function in facts.c. */
enum actor_kind { ACTOR_HIDDEN = 0, ACTOR_BOT, ACTOR_REGISTERED, ACTOR_TEMPORARY, ACTOR_IP };
const char *actor_kind_name(enum actor_kind k); /* hidden bot registered temporary ip */
enum actor_kind change_actor(const struct value *user, const struct value *bot);
struct str change_family(struct str server_name);   /* wikipedia, wikidata, commons, ...; "other"; static or borrowed */
struct str change_language(struct str server_name); /* "en" of en.wikipedia.org; "" where there is none */
bool change_when(const struct value *timestamp, const struct value *dt, int64_t *ret_us);
void change_add_day(struct buf *out, int64_t time_us); /* "2026-05-05", UTC */
int64_t change_hour(int64_t time_us);                  /* 0 to 23, UTC */
bool change_size_delta(const struct value *length_old, const struct value *length_new,
                       int64_t *ret_bytes); /* new - old; old absent: new */

#endif
