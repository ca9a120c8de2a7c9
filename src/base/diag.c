/* SPDX-License-Identifier: MIT
 *
 * diag.c - one line a message, one write(2) a line, so that lines of several processes do not mix.
 *
 *   2026-11-21T08:00:00.000Z warn source: the connection was cut
 *   {"time":"2026-11-21T08:00:00.000Z","level":"warn","room":"source","message":"the connection was cut"}
 *
 * A site that was suppressed hangs in a list until it has said how much; every later message of any site looks
 * whether one of them is due.
 */
#include "base/diag.h"

#include "base/clock.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

enum { TEXT_MAX = 1024, LINE_MAX_BYTES = 8192 };
static const int64_t window_us = 10 * US_PER_SECOND;

static atomic_int setup_level = DIAG_INFO;
static bool setup_json;
static int setup_fd = STDERR_FILENO;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct diag_site *suppressed_sites;

static const char *const level_names[] = {
    [DIAG_ERROR] = "error", [DIAG_WARN] = "warn", [DIAG_INFO] = "info", [DIAG_DEBUG] = "debug"};

void diag_setup(enum diag_level level, bool json, int fd)
{
    pthread_mutex_lock(&lock);
    setup_json = json;
    setup_fd = fd;
    pthread_mutex_unlock(&lock);
    atomic_store_explicit(&setup_level, (int)level, memory_order_relaxed);
}

bool diag_enabled(enum diag_level level)
{
    return (int)level <= atomic_load_explicit(&setup_level, memory_order_relaxed);
}

static void write_all(struct str s)
{
    while (s.len > 0) {
        ssize_t wrote = write(setup_fd, s.ptr, s.len);
        if (wrote <= 0) {
            return; /* nobody is there to be told */
        }
        s = str_n(s.ptr + wrote, s.len - (size_t)wrote);
    }
}

static void write_line(enum diag_level level, const char *room, struct str text)
{
    AUTO(buf) struct buf printable = {.max = LINE_MAX_BYTES};
    AUTO(buf) struct buf line = {.max = LINE_MAX_BYTES * 2};
    buf_add_printable(&printable, text, TEXT_MAX);
    if (setup_json) {
        buf_addz(&line, "{\"time\":\"");
        time_format_ms(&line, clock_wall(&clock_real));
        buf_addf(&line, "\",\"level\":\"%s\",\"room\":\"%s\",\"message\":", level_names[level], room);
        buf_add_json(&line, buf_str(&printable));
        buf_addz(&line, "}\n");
    } else {
        time_format_ms(&line, clock_wall(&clock_real));
        buf_addf(&line, " %s %s: ", level_names[level], room);
        buf_add(&line, buf_str(&printable));
        buf_addc(&line, '\n');
    }
    write_all(buf_str(&line));
}

/* Under the lock. Says what was suppressed at sites whose window is over at now_us, and begins their next one. */
static void say_suppressed(int64_t now_us, bool all)
{
    struct diag_site **link = &suppressed_sites;
    while (*link) {
        struct diag_site *site = *link;
        if (!all && now_us - site->window_started_us < window_us) {
            link = &site->next_suppressed;
            continue;
        }
        *link = site->next_suppressed;
        char text[96];
        int len = snprintf(text, sizeof text, "%u more messages like the last ones were not printed", site->suppressed);
        write_line(site->level, site->room, str_n(text, (size_t)len));
        site->suppressed = 0;
        site->printed = 0;
        site->window_started_us = now_us;
    }
}

/* Under the lock. May this site print now? If not, it is counted. */
static bool site_admits(struct diag_site *site, enum diag_level level, const char *room, int64_t now_us)
{
    if (site->printed == 0 || now_us - site->window_started_us >= window_us) {
        site->window_started_us = now_us;
        site->printed = 0;
    }
    if (site->printed < DIAG_BURST) {
        site->printed++;
        return true;
    }
    if (site->suppressed++ == 0) {
        site->level = level;
        site->room = room;
        site->next_suppressed = suppressed_sites;
        suppressed_sites = site;
    }
    return false;
}

void diag_print(struct diag_site *site, enum diag_level level, const char *room, const char *format, ...)
{
    char text[TEXT_MAX + 64];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (len < 0) {
        return;
    }
    size_t used = (size_t)len < sizeof text ? (size_t)len : sizeof text - 1;
    int64_t now_us = clock_mono(&clock_real);
    pthread_mutex_lock(&lock);
    say_suppressed(now_us, false);
    if (site_admits(site, level, room, now_us)) {
        write_line(level, room, str_n(text, used));
    }
    pthread_mutex_unlock(&lock);
}

void diag_flush(void)
{
    pthread_mutex_lock(&lock);
    say_suppressed(clock_mono(&clock_real), true);
    pthread_mutex_unlock(&lock);
}
