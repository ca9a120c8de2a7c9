/* SPDX-License-Identifier: MIT
 *
 * confine.c - see confine.h.
 */
#include "app/confine.h"

#include "base/diag.h"
#include "serve/serve.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

/* ---- rules */

static const char *const always[] = {"/usr",          "/lib",
                                     "/lib32",        "/lib64",
                                     "/dev/null",     "/dev/zero",
                                     "/dev/urandom",  "/dev/random",
                                     "/proc/sys",     "/proc/self",
                                     "/proc/meminfo", "/proc/cpuinfo",
                                     "/proc/stat",    "/sys/devices/system/cpu"};
/* Names, certificates. */
static const char *const for_live[] = {
    "/etc",      "/run/systemd/resolve",    "/run/resolvconf", "/run/NetworkManager", "/run/connman",
    "/run/nscd", "/var/lib/ca-certificates"};
static const char *const variables_for_live[] = {"SSL_CERT_FILE", "SSL_CERT_DIR", "OPENSSL_CONF"};
static const char *const variables[] = {"CREDENTIALS_DIRECTORY"};

static void directory_of(const char *path, char *out)
{
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;
    snprintf(out, PATH_BYTES, "%.*s", slash ? (int)(len ? len : 1) : 1, slash ? path : ".");
}

/* Does it hold other people's things, or all of somebody's? */
static bool is_shared_place(const char *directory)
{
    static const char *const places[] = {"/", "/etc", "/tmp", "/var/tmp", "/home", "/root", "/var", "/run", "/srv"};
    AUTO_FREE char *real = realpath(directory, NULL);
    AUTO_FREE char *home = getenv("HOME") ? realpath(getenv("HOME"), NULL) : NULL;
    bool shared = !real || (home && strcmp(real, home) == 0);
    shared |= real && str_starts(str_of(real), STR("/home/")) && !strchr(real + 6, '/');
    for (size_t i = 0; !shared && i < sizeof places / sizeof *places; i++) {
        shared = strcmp(real, places[i]) == 0;
    }
    return shared;
}

/* A file that may be replaced by a new one of the same name. */
static void allow_replaceable(struct sandbox_rules *rules, const char *path)
{
    char directory[PATH_BYTES];
    if (!path || !*path) {
        return;
    }
    sandbox_allow(rules, SANDBOX_READ, path);
    directory_of(path, directory);
    if (!is_shared_place(directory)) {
        sandbox_allow(rules, SANDBOX_READ, directory);
    }
}

static void allow_list(struct sandbox_rules *rules, const char *const *paths, size_t count, bool are_variables)
{
    for (size_t i = 0; i < count; i++) {
        const char *path = are_variables ? getenv(paths[i]) : paths[i];
        if (path && *path) {
            sandbox_allow(rules, SANDBOX_READ, path);
        }
    }
}

/* Where config.c looks: what is laid over lies beside. */
static void allow_configuration(struct sandbox_rules *rules, const struct confine_options *o)
{
    const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    char path[PATH_BYTES];
    allow_replaceable(rules, o->env_file);
    allow_replaceable(rules, o->config->serve.token_file);
    if (o->config_file && *o->config_file) {
        allow_replaceable(rules, o->config_file);
        return;
    }
    sandbox_allow(rules, SANDBOX_READ, "/etc/wikitally");
    snprintf(path, sizeof path, "%s%s",
             xdg && *xdg == '/' ? xdg
             : home             ? home
                                : "",
             xdg && *xdg == '/' ? "" : "/.config");
    if (home || xdg) {
        AUTO(buf) struct buf file = {0};
        buf_addf(&file, "%s/wikitally", path);
        sandbox_allow(rules, SANDBOX_READ, file.ptr);
        buf_addz(&file, "/wikitally.yaml"); /* may be a link into somebody's collection of settings */
        sandbox_allow(rules, SANDBOX_READ, file.ptr);
    }
}

static void allow_source(struct sandbox_rules *rules, const struct confine_options *o)
{
    const struct source_spec *s = o->source;
    for (size_t i = 0; i < s->files.count; i++) {
        if (strcmp(s->files.items[i], "-") != 0) {
            sandbox_allow(rules, SANDBOX_READ, s->files.items[i]);
        }
    }
    if (s->arrival_tsv) {
        sandbox_allow(rules, SANDBOX_READ, s->arrival_tsv);
    }
    if (s->kind == SOURCE_KIND_LIVE) {
        allow_list(rules, for_live, sizeof for_live / sizeof *for_live, false);
        allow_list(rules, variables_for_live, sizeof variables_for_live / sizeof *variables_for_live, true);
        allow_replaceable(rules, o->config->source.ca_file);
    }
}

static void allow_kafka(struct sandbox_rules *rules, const struct config *c)
{
    if (!config_kafka_client(c)) {
        return;
    }
    allow_list(rules, for_live, sizeof for_live / sizeof *for_live, false);
    allow_replaceable(rules, c->kafka.password_file);
    for (size_t i = 0; i < c->kafka.properties.count; i++) { /* "ssl.ca.location=/etc/ssl/kafka.pem" */
        const char *text = c->kafka.properties.items[i], *place = strstr(text, ".location=");
        const char *equals = strchr(text, '=');
        if (place && equals && equals > place) {
            allow_replaceable(rules, equals + 1);
        }
    }
}

void confine_rules(const struct confine_options *o, struct sandbox_rules *ret_rules)
{
    char directory[PATH_BYTES];
    allow_list(ret_rules, always, sizeof always / sizeof *always, false);
    allow_list(ret_rules, variables, sizeof variables / sizeof *variables, true);
    sandbox_allow(ret_rules, SANDBOX_WRITE, o->directory);
    allow_configuration(ret_rules, o);
    allow_source(ret_rules, o);
    allow_kafka(ret_rules, o->config);
    if (o->config->serve.web_dir) {
        sandbox_allow(ret_rules, SANDBOX_READ, o->config->serve.web_dir);
    }
    if (o->listen && str_starts(str_of(o->listen), STR("unix:"))) {
        directory_of(o->listen + strlen("unix:"), directory);
        sandbox_allow(ret_rules, SANDBOX_SOCKET, directory);
    }
}

/* ---- saying it */

void confine_describe(const struct sandbox *s, struct buf *out)
{
    if (s->landlock) {
        buf_addf(out, "no files but its own (Landlock %d)", s->landlock);
    } else {
        buf_addf(out, "all files of this user (Landlock: %s)", s->landlock_missing);
    }
    if (s->seccomp) {
        buf_addz(out, ", no system calls but its own (seccomp)");
    } else {
        buf_addf(out, ", all system calls (seccomp: %s)", s->seccomp_missing);
    }
}

static enum err_class judge(const struct sandbox *s, int64_t wanted, struct err *err)
{
    AUTO(buf) struct buf text = {0};
    confine_describe(s, &text);
    if (wanted == SANDBOX_REQUIRE && !(s->landlock && s->seccomp)) {
        return err_set(err, ERR_FATAL, EXIT_OSERR,
                       "security.sandbox is require, but this machine allows: %s; set it to auto, or see \"wikitally "
                       "doctor sandbox\"",
                       text.ptr);
    }
    diag_info("sandbox", "%s", text.ptr);
    return ERR_NONE;
}

/* ---- the two steps */

/* Before anything is made for them. */
static enum err_class check_files(const struct source_spec *source, struct err *err)
{
    for (size_t i = 0; i < source->files.count; i++) {
        const char *path = source->files.items[i];
        if (strcmp(path, "-") != 0 && access(path, R_OK) != 0) {
            return err_errno(err, ERR_FATAL, err_errno_code(errno, EXIT_NOINPUT), errno, "cannot open \"%s\"", path);
        }
    }
    return ERR_NONE;
}

/* A socket file is made by root with root's mode: the user's clients could not connect to it. */
static enum err_class bind_for(const struct process_user *user, const char *listen, int *ret_fd, struct err *err)
{
    enum err_class cls = serve_bind(listen, ret_fd, err);
    struct str address = str_of(listen);
    if (!cls && str_starts(address, STR("unix:")) && lchown(listen + strlen("unix:"), user->uid, user->gid) != 0) {
        cls = err_errno(err, ERR_FATAL, EXIT_NOPERM, errno, "cannot give \"%s\" to user \"%s\"", listen, user->name);
    }
    return cls;
}

enum err_class confine_user(const struct confine_options *o, int *ret_fd, struct err *err)
{
    struct process_user user;
    *ret_fd = -1;
    if (!o->user) {
        return ERR_NONE;
    }
    enum err_class cls = process_user_find(o->user, &user, err);
    cls = cls ? cls : check_files(o->source, err);
    cls = cls ? cls : process_directory(o->directory, &user, err);
    cls = cls || !o->listen ? cls : bind_for(&user, o->listen, ret_fd, err);
    cls = cls ? cls : process_become(&user, err);
    if (!cls && access(o->directory, R_OK | W_OK | X_OK) != 0) {
        cls = err_errno(err, ERR_FATAL, EXIT_NOPERM, errno,
                        "user \"%s\" may not use \"%s\": give it to that user (chown -R), or name another (--data-dir)",
                        user.name, o->directory);
    }
    if (!cls) {
        diag_info("run", "as user %s", user.name);
    }
    return cls;
}

enum err_class confine(const struct confine_options *o, struct err *err)
{
    int64_t wanted = o->config->security.sandbox;
    if (geteuid() == 0) {
        diag_warn("run", "running as root, which nothing here needs; --user NAME gives it up after the start");
    }
    if (wanted == SANDBOX_OFF) {
        diag_info("sandbox", "none, because security.sandbox is off");
        return ERR_NONE;
    }
    struct sandbox_rules rules = {0};
    struct sandbox s = {0};
    enum err_class cls = check_files(o->source, err);
    cls = cls ? cls : process_directory(o->directory, NULL, err);
    if (!cls) {
        confine_rules(o, &rules);
        cls = sandbox_enter(&rules, &s, err);
        sandbox_rules_fini(&rules);
    }
    return cls ? cls : judge(&s, wanted, err);
}
