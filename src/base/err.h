/* SPDX-License-Identifier: MIT
 *
 * err.h - how anything says that it failed.
 *
 * A fallible function returns an error class and, if the caller gave a `struct err`, fills it. The class is what the
 * caller decides on; the text is what a person reads. Results go through a `ret_` parameter just before the `struct
 * err` and are untouched on failure. Each layer may prefix its context; only the loop that decides what to do logs.
 */
#ifndef WIKITALLY_BASE_ERR_H
#define WIKITALLY_BASE_ERR_H

#include <stdbool.h>

enum err_class {
    ERR_NONE = 0,   /* it worked; 0, so that `if (f(...))` means "failed" */
    ERR_RETRY = 1,  /* the same call may work later: network, busy, timeout */
    ERR_REJECT = 2, /* this input never will: a dead letter, a usage error, a bad configuration */
    ERR_FATAL = 3,  /* stop: the disk, the state or the program cannot be trusted */
};

/* Exit codes, the whole table of wikitally(1). 64-78 are those of sysexits.h. */
enum exit_code {
    EXIT_DONE = 0,
    EXIT_NO = 1,           /* answered, and the answer is no */
    EXIT_USAGE = 2,        /* flag, argument, query syntax */
    EXIT_INCOMPLETE = 3,   /* what was asked for is no longer there, or too much: an answer would be a part */
    EXIT_DATA = 65,        /* data corrupt: a journal batch, a file */
    EXIT_NOINPUT = 66,     /* a named input file is not there */
    EXIT_UNAVAILABLE = 69, /* source, broker or store cannot be reached */
    EXIT_INTERNAL = 70,    /* a bug; ensure() ends with SIGABRT instead, for the core file */
    EXIT_OSERR = 71,       /* out of memory or another system limit */
    EXIT_CANTCREAT = 73,
    EXIT_IOERR = 74, /* disk full, read or write error */
    EXIT_TEMPFAIL = 75,
    EXIT_NOPERM = 77,
    EXIT_CONFIG = 78,  /* configuration, or state that belongs to something else */
    EXIT_IN_USE = 80,  /* another instance holds the state directory */
    EXIT_TOO_NEW = 81, /* the state was written by a newer program */
    EXIT_FENCED = 82,  /* another instance took over */
    EXIT_TIMEOUT = 124,
    EXIT_INTERRUPTED = 130, /* a second SIGINT or SIGTERM */
};

/* Lives on the caller's stack, allocates nothing. A zeroed one is valid and means "no error". */
struct err {
    enum err_class cls;
    int code;       /* exit code if the program ends because of this; 0 = err_exit_code() chooses by class */
    char text[480]; /* lower case, no full stop, what failed first, subject in quotes; cut off, never overrun */
};

/* Sets all of `err` (which may be NULL) and returns `cls`. Untrusted text in the arguments is made printable (control
 * characters and invalid UTF-8 become \xNN), so that a message can go to a terminal. */
enum err_class err_set(struct err *err, enum err_class cls, int code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The same, followed by ": " and strerror(errnum). ENOSPC, EDQUOT, EIO -> code EXIT_IOERR, EACCES/EPERM -> EXIT_NOPERM,
 * ENOMEM/EMFILE -> EXIT_OSERR unless `code` is not 0. */
enum err_class err_errno(struct err *err, enum err_class cls, int code, int errnum, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* The exit code of an error number where opening or making something failed: as above, and `otherwise` for the rest. */
int err_errno_code(int errnum, int otherwise);

/* Puts "context: " before the text of an error. Returns err->cls (err NULL: ERR_FATAL, so that it stays a failure). */
enum err_class err_prefix(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The exit code of an error: its own, or by class: RETRY 75, REJECT 65, FATAL 70. */
int err_exit_code(const struct err *err);

/* Out of memory in a small allocation: says so on standard error and ends with EXIT_OSERR. All of base's growing things
 * use it: no caller can go on without 40 bytes, and what is large is bounded and checked before it is asked for. */
void die_no_memory(void) __attribute__((noreturn));
void *xmalloc(unsigned long size) __attribute__((malloc, returns_nonnull));
void *xcalloc(unsigned long count, unsigned long size) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *p, unsigned long size) __attribute__((returns_nonnull));

/* AUTO(x): `AUTO(buf) struct buf b = {0};` runs buf_fini(&b) at scope end. AUTO_FREE frees a pointer. TAKE(p) hands a
 * pointer over and leaves NULL behind. */
#define AUTO(type) __attribute__((cleanup(type##_fini)))
void auto_free(void *pointer_to_pointer);
#define AUTO_FREE __attribute__((cleanup(auto_free)))
#define TAKE(p)                                                                                                        \
    (__extension__({                                                                                                   \
        __typeof__(p) take_ = (p);                                                                                     \
        (p) = NULL;                                                                                                    \
        take_;                                                                                                         \
    }))

/* Bugs: stays on in release builds. Prints the condition and aborts. */
#define ensure(condition) ((condition) ? (void)0 : ensure_failed(#condition, __FILE__, __LINE__))
void ensure_failed(const char *condition, const char *file, int line) __attribute__((noreturn));

#endif
