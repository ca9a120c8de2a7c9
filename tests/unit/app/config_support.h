/* SPDX-License-Identifier: MIT
 *
 * config_support.h - a directory of files for a test of the configuration, and loading from it with an environment of
 * its own.
 */
#ifndef WIKITALLY_TESTS_CONFIG_SUPPORT_H
#define WIKITALLY_TESTS_CONFIG_SUPPORT_H

#include "app/config.h"
#include "base/buf.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[] = "/tmp/wikitally-config-XXXXXX";

static int make_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *status, int flag, struct FTW *walk)
{
    (void)status;
    (void)flag;
    (void)walk;
    return remove(path);
}

static int remove_directory(void **state)
{
    (void)state;
    return nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Paths of up to four files can be used at once. */
static const char *path_of(const char *name)
{
    static char paths[4][4096];
    static size_t next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

/* Makes the file and the directories above it, mode 0644. -> its path */
static const char *write_file(const char *name, const char *text)
{
    const char *path = path_of(name);
    for (char *slash = strchr(path + strlen(directory) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0755);
        *slash = '/';
    }
    unlink(path);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
    chmod(path, 0644);
    return path;
}

/* One file and --set; no other file, no environment. */
static inline enum err_class load_text(const char *text, struct config *c, struct err *err)
{
    static const char *const nothing[] = {NULL};
    struct config_sources sources = {.file = write_file("test.yaml", text), .environment = nothing};
    return config_load(&sources, c, err);
}

#endif
