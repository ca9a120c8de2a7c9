/* SPDX-License-Identifier: MIT
 *
 * err.c - errors and the end of the road. Nothing here allocates: an error must be reportable when memory is short.
 */
#include "base/err.h"

#include "base/utf8.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { RAW_MAX = 1024 };
_Static_assert(RAW_MAX > 2 * sizeof((struct err *)0)->text, "see raw_length");

/* Copies raw to text, made printable, cut at a whole character. */
static void text_set(char *text, size_t size, const char *raw, size_t raw_len)
{
    size_t len = 0;
    for (size_t at = 0; at < raw_len;) {
        char out[PRINTABLE_STEP_MAX];
        size_t out_len;
        at += printable_step((const unsigned char *)raw + at, raw_len - at, out, &out_len);
        if (len + out_len >= size) {
            break;
        }
        memcpy(text + len, out, out_len);
        len += out_len;
    }
    text[len] = '\0';
}

/* What vsnprintf left in raw[RAW_MAX]. A cut there is never seen: the text is cut earlier, at less than half of it. */
static size_t raw_length(int printed)
{
    return printed < 0 ? 0 : printed < RAW_MAX ? (size_t)printed : RAW_MAX - 1;
}

enum err_class err_set(struct err *err, enum err_class cls, int code, const char *format, ...)
{
    if (!err) {
        return cls;
    }
    char raw[RAW_MAX];
    va_list args;
    va_start(args, format);
    int printed = vsnprintf(raw, sizeof raw, format, args);
    va_end(args);
    err->cls = cls;
    err->code = code;
    text_set(err->text, sizeof err->text, raw, raw_length(printed));
    return cls;
}

int err_errno_code(int errnum, int otherwise)
{
    switch (errnum) {
    case ENOSPC:
    case EDQUOT:
    case EIO:
        return EXIT_IOERR;
    case EACCES:
    case EPERM:
        return EXIT_NOPERM;
    case ENOMEM:
    case EMFILE:
    case ENFILE:
        return EXIT_OSERR;
    default:
        return otherwise;
    }
}

enum err_class err_errno(struct err *err, enum err_class cls, int code, int errnum, const char *format, ...)
{
    if (!err) {
        return cls;
    }
    char raw[RAW_MAX];
    va_list args;
    va_start(args, format);
    int printed = vsnprintf(raw, sizeof raw, format, args);
    va_end(args);
    size_t len = raw_length(printed);
    char reason_space[128];
    const char *reason = strerror_r(errnum, reason_space, sizeof reason_space);
    printed = snprintf(raw + len, sizeof raw - len, ": %s", reason);
    if (printed > 0) {
        size_t room = sizeof raw - len - 1;
        len += (size_t)printed < room ? (size_t)printed : room;
    }
    err->cls = cls;
    err->code = code ? code : err_errno_code(errnum, 0);
    text_set(err->text, sizeof err->text, raw, len);
    return cls;
}

enum err_class err_prefix(struct err *err, const char *format, ...)
{
    if (!err) {
        return ERR_FATAL;
    }
    char raw[RAW_MAX];
    va_list args;
    va_start(args, format);
    int printed = vsnprintf(raw, sizeof raw, format, args);
    va_end(args);
    size_t len = raw_length(printed);
    char old[sizeof err->text];
    memcpy(old, err->text, sizeof old);
    text_set(err->text, sizeof err->text, raw, len);
    size_t used = strlen(err->text);
    if (used + 3 < sizeof err->text) {
        memcpy(err->text + used, ": ", 3);
        text_set(err->text + used + 2, sizeof err->text - used - 2, old, strlen(old));
    }
    return err->cls;
}

int err_exit_code(const struct err *err)
{
    if (err->code) {
        return err->code;
    }
    switch (err->cls) {
    case ERR_NONE:
        return EXIT_DONE;
    case ERR_RETRY:
        return EXIT_TEMPFAIL;
    case ERR_REJECT:
        return EXIT_DATA;
    case ERR_FATAL:
        break;
    }
    return EXIT_INTERNAL;
}

void die_no_memory(void)
{
    static const char text[] = "wikitally: out of memory\n";
    ssize_t ignored = write(STDERR_FILENO, text, sizeof text - 1);
    (void)ignored;
    _exit(EXIT_OSERR);
}

void *xmalloc(unsigned long size)
{
    void *p = malloc(size ? size : 1);
    if (!p) {
        die_no_memory();
    }
    return p;
}

void *xcalloc(unsigned long count, unsigned long size)
{
    void *p = calloc(count ? count : 1, size ? size : 1);
    if (!p) {
        die_no_memory();
    }
    return p;
}

void *xrealloc(void *p, unsigned long size)
{
    void *moved = realloc(p, size ? size : 1);
    if (!moved) {
        die_no_memory();
    }
    return moved;
}

void auto_free(void *pointer_to_pointer)
{
    void *p;
    memcpy(&p, pointer_to_pointer, sizeof p);
    free(p);
}

void ensure_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "wikitally: bug: %s:%d: this does not hold: %s\n", file, line, condition);
    abort();
}
