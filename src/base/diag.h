/* SPDX-License-Identifier: MIT
 *
 * diag.h - diagnostics of the running program, to standard error. ("Journal" is the record of events, never this.)
 *
 * One line a message, text or JSON (--log-format). Untrusted text inside is made printable and cut at 1,024 bytes. Each
 * call site may print `DIAG_BURST` lines in ten seconds; what is beyond is counted and said in one line when the ten
 * seconds are over. Thread-safe.
 */
#ifndef WIKITALLY_BASE_DIAG_H
#define WIKITALLY_BASE_DIAG_H

#include "base/err.h"
#include "base/str.h"

enum diag_level { DIAG_ERROR = 0, DIAG_WARN = 1, DIAG_INFO = 2, DIAG_DEBUG = 3 };
enum { DIAG_BURST = 20 };

struct diag_site { /* one per call site, static; do not touch */
    int64_t window_started_us;
    uint32_t printed, suppressed;
    struct diag_site *next_suppressed; /* list of those that still owe the line of what was suppressed */
    enum diag_level level;
    const char *room;
};

void diag_setup(enum diag_level level, bool json, int fd); /* at any time; defaults: INFO, text, 2 */
void diag_flush(void); /* says now what was suppressed and not said yet: at the end of the program */
bool diag_enabled(enum diag_level level);
void diag_print(struct diag_site *site, enum diag_level level, const char *room, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#define DIAG(level, room, ...)                                                                                         \
    do {                                                                                                               \
        static struct diag_site site_;                                                                                 \
        if (diag_enabled(level))                                                                                       \
            diag_print(&site_, level, room, __VA_ARGS__);                                                              \
    } while (0)
#define diag_error(room, ...) DIAG(DIAG_ERROR, room, __VA_ARGS__)
#define diag_warn(room, ...) DIAG(DIAG_WARN, room, __VA_ARGS__)
#define diag_info(room, ...) DIAG(DIAG_INFO, room, __VA_ARGS__)
#define diag_debug(room, ...) DIAG(DIAG_DEBUG, room, __VA_ARGS__)

#endif
