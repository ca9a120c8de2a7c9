/* SPDX-License-Identifier: MIT
 *
 * follow.c - see follow.h. Signals are blocked in all threads and waited for here.
 */
#include "cli/follow.h"

#include "base/diag.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LOOK_EVERY_NS = 20 * 1000000, DRAIN_US = 8 * 1000000 };

int64_t follow_close_after(const struct config *config)
{
    int64_t most = 0;
    for (size_t i = 0; i < config->aggregation_count; i++) {
        const struct aggregation_options *a = &config->aggregations[i];
        int64_t after = a->size_us + a->delay_us + a->lateness_us;
        most = after > most ? after : most;
    }
    return most;
}

/* The browser is the user's; it must not hold our descriptors or our signals. */
static void open_in_browser(const char *url)
{
    pid_t pid = fork();
    if (pid == 0) {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        if (fork() == 0) {
            execlp("xdg-open", "xdg-open", url, (char *)NULL);
            _exit(127);
        }
        _exit(0);
    }
    if (pid > 0)
        waitpid(pid, NULL, 0);
}

static void on_second_signal(int number)
{
    (void)number;
    _exit(EXIT_INTERRUPTED);
}

static bool reached(struct pipeline *p, const struct follow_until *until)
{
    struct status status;
    if (until->count > 0 && pipeline_received(p) >= until->count)
        return true;
    if (until->wall_us != TIME_NONE && clock_wall(&clock_real) >= until->wall_us)
        return true;
    status_read(&status);
    return until->end && status.kind == SOURCE_KIND_LIVE && status.caught_up_wall_us != TIME_NONE &&
           status.caught_up_wall_us > 0;
}

/* Waits for whatever ends the run. -> the signal, or 0. */
static int wait_for_end(struct pipeline *p, const struct follow_until *until, const sigset_t *signals, struct err *err)
{
    struct timespec pause = {.tv_nsec = LOOK_EVERY_NS};
    for (;;) {
        int number = sigtimedwait(signals, NULL, &pause);
        if (number > 0)
            return number;
        enum pipeline_state state = pipeline_poll(p, err);
        bool nothing_left = state == PIPELINE_ENDED && (until->end || until->count > 0 || !pipeline_address(p));
        if (state == PIPELINE_FAILED || nothing_left || reached(p, until))
            return 0;
    }
}

int follow_pipeline(const struct pipeline_options *options, const struct follow_until *until, bool open_page,
                    struct err *err)
{
    sigset_t signals;
    struct pipeline *pipeline;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    if (pipeline_start(options, &pipeline, err))
        return err_exit_code(err);
    const char *address = pipeline_address(pipeline);
    if (address) {
        diag_info("serve", "listening on %s", address);
        if (open_page)
            open_in_browser(address);
    }
    diag_info("run", "data directory %s", options->directory);
    struct err failure = {0};
    int number = wait_for_end(pipeline, until, &signals, &failure);
    if (number)
        diag_info("run", "ending on signal %d", number);
    signal(SIGINT, on_second_signal);
    signal(SIGTERM, on_second_signal);
    pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
    int64_t deadline_us = number ? clock_mono(&clock_real) + DRAIN_US : INT64_MAX;
    enum err_class cls = pipeline_stop(pipeline, deadline_us, err);
    if (failure.cls)
        *err = failure;
    return failure.cls || cls ? err_exit_code(err) : EXIT_DONE;
}
