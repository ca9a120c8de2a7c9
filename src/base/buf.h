/* SPDX-License-Identifier: MIT
 *
 * buf.h - a growing run of bytes that owns its memory and has a maximum.
 *
 * A zeroed `struct buf` is an empty one with the default maximum (64 MiB). Going over the maximum sets `overflow`,
 * drops what does not fit, and all later appends; the owner checks `overflow` once at the end instead of after each
 * append.
 */
#ifndef WIKITALLY_BASE_BUF_H
#define WIKITALLY_BASE_BUF_H

#include "base/str.h"

#include <stdarg.h>

#define BUF_DEFAULT_MAX ((size_t)64 << 20)

struct buf {
    char *ptr;     /* owned; always NUL-terminated once something was appended */
    size_t len;    /* bytes used */
    size_t cap;    /* bytes allocated */
    size_t max;    /* bytes at most; 0 = BUF_DEFAULT_MAX */
    bool overflow; /* something did not fit */
};

void buf_fini(struct buf *b);  /* frees; the buf is empty and usable again */
void buf_clear(struct buf *b); /* keeps the memory; also clears overflow */
char *buf_reserve(struct buf *b,
                  size_t more); /* room for `more` bytes at the end, or NULL over the maximum; add to len yourself */
void buf_add(struct buf *b, struct str s);
void buf_addz(struct buf *b, const char *z);
void buf_addf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_vaddf(struct buf *b, const char *format, va_list args) __attribute__((format(printf, 2, 0)));
void buf_add_int(struct buf *b, int64_t value);  /* decimal, faster than buf_addf */
void buf_drop(struct buf *b, size_t from_front); /* removes the first bytes, moves the rest to the front */
void buf_addc_growing(struct buf *b, char c);    /* buf_addc where it is not certain that there is room */
static inline void buf_addc(struct buf *b, char c)
{
    if (b->overflow || b->max || b->cap - b->len < 2) {
        buf_addc_growing(b, c);
        return;
    }
    b->ptr[b->len++] = c;
    b->ptr[b->len] = '\0';
}
static inline struct str buf_str(const struct buf *b)
{
    return (struct str){b->ptr, b->len};
} /* borrowed until the next change */

/* JSON text (RFC 8259). Strings must be UTF-8; escaped are only " \ and what is below U+0020 (\b \f \n \r \t, else
 * \u00xx in lower case): the canonical form of oracle.md section 7. buf_add_json_html also escapes < > & U+2028 U+2029,
 * for JSON that a browser might sniff (reliability.md section 5). Bytes that are not UTF-8 become U+FFFD in both. */
void buf_add_json(struct buf *b, struct str s); /* with the quotes */
void buf_add_json_html(struct buf *b, struct str s);
void buf_add_base64(struct buf *b, struct str s); /* RFC 4648, with padding */
/* For terminals and logs: control characters, DEL, C1, bidi controls and invalid UTF-8 as \xNN / \u{NNNN}; at most
 * `max` bytes of s. */
void buf_add_printable(struct buf *b, struct str s, size_t max);

#endif
