/* SPDX-License-Identifier: MIT
 *
 * str.h - a borrowed slice of bytes, passed by value. Never assumed to end with NUL, never owned; the header of
 * whatever hands one out says how long it lives. Bytes are not assumed to be UTF-8 unless a function says so.
 */
#ifndef WIKITALLY_BASE_STR_H
#define WIKITALLY_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *ptr; /* may be NULL when len is 0 */
    size_t len;      /* bytes */
};

#define STR(literal) ((struct str){"" literal, sizeof(literal) - 1}) /* of a string literal */
#define STR_INIT(literal)                                                                                              \
    {                                                                                                                  \
        "" literal, sizeof(literal) - 1                                                                                \
    }                                                       /* the same as an initialiser of static data */
#define STR_ARG(s) ((int)(s).len), ((s).ptr ? (s).ptr : "") /* for "%.*s"; the caller knows that len < INT_MAX */

static inline struct str str_of(const char *z)
{
    return (struct str){z, z ? strlen(z) : 0};
}
static inline struct str str_n(const char *p, size_t n)
{
    return (struct str){p, n};
}
static inline bool str_eq(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}
static inline bool str_eqz(struct str a, const char *z)
{
    return str_eq(a, str_of(z));
}
static inline bool str_starts(struct str s, struct str prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}
static inline bool str_ends(struct str s, struct str suffix)
{
    return s.len >= suffix.len && (suffix.len == 0 || memcmp(s.ptr + s.len - suffix.len, suffix.ptr, suffix.len) == 0);
}

int str_cmp(struct str a, struct str b);                         /* by bytes, then by length: <0, 0, >0 */
struct str str_trim(struct str s);                               /* without blanks, tabs, CR, LF at both ends */
bool str_split(struct str *rest, char at, struct str *ret_part); /* next part of *rest; false when *rest is used up.
                                                                    "a,,b" has three parts, "a," two, "" none */
bool str_to_int64(struct str s, int64_t *ret_value); /* -?[0-9]+, all of s, within int64; "+1", " 1", "" are not */
char *str_dup(struct str s);    /* NUL-terminated copy for free(); bytes after an inner NUL are kept but hidden */
bool str_is_utf8(struct str s); /* RFC 3629: no overlong forms, no surrogates, up to U+10FFFF */

#endif
