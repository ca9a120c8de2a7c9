/* SPDX-License-Identifier: MIT
 *
 * follow.c - see follow.h. Signals are blocked in all threads and waited for here; one of them, NEWS, is sent by the
 * pipeline's own threads, so that an end is seen when it comes.
 */
#include "cli/follow.h"

#include "app/confine.h"
#include "app/reload.h"
#include "base/diag.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    LOOK_SOON_NS = 20 * 1000000,
    LOOK_NS = 200 * 1000000,
    DRAIN_US = 8 * 1000000,
    LISTEN_BYTES = 32,
    NEWS = SIGUSR1
};

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

/* The browser is the user's; it must not hold our descriptors or our signals. A process of its own, begun while we may
 * still begin one, waits for the address. -> where to write it, or -1 */
static void browser_main(int address_fd)
{
    char url[256];
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    ssize_t length = read(address_fd, url, sizeof url - 1);
    if (length <= 0)
        _exit(0); /* it never came so far */
    url[length] = 0;
    execlp("xdg-open", "xdg-open", url, (char *)NULL);
    _exit(127);
}

static int browser_prepare(void)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[1]);
        if (fork() == 0)
            browser_main(ends[0]);
        _exit(0);
    }
    close(ends[0]);
    if (pid > 0)
        waitpid(pid, NULL, 0);
    return ends[1];
}

static void browser_open(int fd, const char *address)
{
    if (fd >= 0 && address)
        (void)!write(fd, address, strlen(address));
    if (fd >= 0)
        close(fd);
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

/* A terminal that is closed sends the same signal as who wants a reload. */
static int terminal(void)
{
    return isatty(STDERR_FILENO) ? STDERR_FILENO : isatty(STDIN_FILENO) ? STDIN_FILENO : -1;
}

struct waiting {
    const struct follow *follow;
    const struct reload *reload;
    struct pipeline *pipeline;
    sigset_t signals; /* with NEWS */
    int terminal;     /* that it was started at; -1: none */
};

/* -> was it a reload, and not the end? */
static bool on_hangup(const struct waiting *w)
{
    if (!w->follow->reload || (w->terminal >= 0 && !isatty(w->terminal)))
        return false;
    (void)reload_configuration(w->reload, w->pipeline);
    return true;
}

/* Waits for whatever ends the run. -> the signal, or 0. */
static int wait_for_end(const struct waiting *w, struct err *err)
{
    const struct follow_until *until = &w->follow->until;
    bool has_end = until->end || until->count > 0 || until->wall_us != TIME_NONE;
    struct timespec pause = {.tv_nsec = has_end ? LOOK_SOON_NS : LOOK_NS};
    for (;;) {
        int number = sigtimedwait(&w->signals, NULL, &pause);
        if (number > 0 && number != NEWS && !(number == SIGHUP && on_hangup(w)))
            return number;
        enum pipeline_state state = pipeline_poll(w->pipeline, err);
        bool nothing_left =
            state == PIPELINE_ENDED && (until->end || until->count > 0 || !pipeline_address(w->pipeline));
        if (state == PIPELINE_FAILED || nothing_left || reached(w->pipeline, until))
            return 0;
    }
}

static void block_signals(sigset_t *ret_signals)
{
    sigemptyset(ret_signals);
    sigaddset(ret_signals, SIGINT);
    sigaddset(ret_signals, SIGTERM);
    sigaddset(ret_signals, SIGHUP);
    sigaddset(ret_signals, NEWS);
    pthread_sigmask(SIG_BLOCK, ret_signals, NULL);
}

/* From a thread of the pipeline; the main thread is not one. */
static void send_news(void *main_thread)
{
    pthread_kill(*(const pthread_t *)main_thread, NEWS);
}

/* A signal that has come and nobody has taken yet: they are blocked. */
static bool give_up(void *main_thread)
{
    sigset_t pending;
    (void)main_thread;
    return sigpending(&pending) == 0 && (sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1);
}

/* Gives up what is not needed, then starts. In between the browser's process is begun, which keeps its rights. */
static enum err_class start(struct cli *cli, struct pipeline_options *options, const struct follow *follow,
                            char *listen, struct pipeline **ret_pipeline, struct err *err)
{
    struct confine_options confined = {
        .config = options->config,
        .source = options->source,
        .directory = options->directory,
        .listen = options->listen,
        .user = follow->user,
        .config_file = cli_sources(cli).file,
        .env_file = cli->env_file,
    };
    int fd, browser = -1;
    enum err_class cls = confine_user(&confined, &fd, err);
    if (!cls && fd >= 0) {
        snprintf(listen, LISTEN_BYTES, "fd:%d", fd);
        options->listen = listen;
    }
    if (!cls && follow->open_page && options->listen)
        browser = browser_prepare();
    if (!cls)
        cls = confine(&confined, err);
    if (!cls)
        cls = pipeline_start(options, ret_pipeline, err);
    browser_open(browser, cls ? NULL : pipeline_address(*ret_pipeline));
    return cls;
}

int follow_pipeline(struct cli *cli, const struct pipeline_options *options, const struct follow *follow,
                    struct err *err)
{
    struct reload reload = {cli_sources(cli), &cli->config, cli_log, cli};
    struct waiting waiting = {.follow = follow, .reload = &reload, .terminal = terminal()};
    struct pipeline_options started = *options;
    char listen[LISTEN_BYTES];
    pthread_t self = pthread_self();
    started.on_end = send_news;
    started.on_end_ctx = &self;
    started.give_up = give_up;
    block_signals(&waiting.signals);
    enum err_class refused = start(cli, &started, follow, listen, &waiting.pipeline, err);
    if (refused == ERR_RETRY && give_up(&self)) { /* told to end before a broker came */
        diag_info("run", "ending: %s", err->text);
        return EXIT_DONE;
    }
    if (refused)
        return err_exit_code(err);
    const char *address = pipeline_address(waiting.pipeline);
    if (address)
        diag_info("serve", "listening on %s", address);
    diag_info("run", "data directory %s", options->directory);
    struct err failure = {0};
    int number = wait_for_end(&waiting, &failure);
    if (number)
        diag_info("run", "ending on signal %d", number);
    signal(SIGINT, on_second_signal);
    signal(SIGTERM, on_second_signal);
    sigdelset(&waiting.signals, NEWS); /* stays blocked: it may come late */
    pthread_sigmask(SIG_UNBLOCK, &waiting.signals, NULL);
    int64_t deadline_us = number ? clock_mono(&clock_real) + DRAIN_US : INT64_MAX;
    enum err_class cls = pipeline_stop(waiting.pipeline, deadline_us, err);
    if (failure.cls)
        *err = failure;
    return failure.cls || cls ? err_exit_code(err) : EXIT_DONE;
}
