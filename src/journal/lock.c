/* SPDX-License-Identifier: MIT
 *
 * lock.c - the directory's lock. The file stays when the lock goes: to remove it would let two processes lock two files
 * of the same name. The process id in it is for people only.
 */
#include "journal/lock.h"
#include "base/buf.h"
#include "base/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static enum err_class directory_make(const char *directory, struct err *err)
{
    AUTO_FREE char *path = str_dup(str_of(directory));
    for (char *p = path + (*path != '\0');; p++) {
        char c = *p;
        if (c != '/' && c != '\0') {
            continue;
        }
        *p = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST && !(c == '/' && access(path, X_OK) == 0)) {
            int code = err_errno_code(errno, EXIT_CANTCREAT);
            return err_errno(err, ERR_FATAL, code, errno, "cannot make the directory \"%s\"", path);
        }
        if (c == '\0') {
            return ERR_NONE;
        }
        *p = '/';
    }
}

static enum err_class in_use(int fd, const char *directory, struct err *err)
{
    char text[24] = "";
    int64_t pid = 0;
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    if (n > 0 && str_to_int64(str_trim(str_n(text, (size_t)n)), &pid)) {
        return err_set(err, ERR_FATAL, EXIT_IN_USE, "the state directory \"%s\" is in use by process %lld", directory,
                       (long long)pid);
    }
    return err_set(err, ERR_FATAL, EXIT_IN_USE, "the state directory \"%s\" is in use by another process", directory);
}

enum err_class lock_take(const char *directory, int *ret_fd, struct err *err)
{
    enum err_class c = directory_make(directory, err);
    if (c) {
        return c;
    }
    AUTO(buf) struct buf path = {0};
    buf_addf(&path, "%s/lock", directory);
    int fd = open(path.ptr, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        int code = err_errno_code(errno, EXIT_CANTCREAT);
        return err_errno(err, ERR_FATAL, code, errno, "cannot open \"%s\"", path.ptr);
    }
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (!fault("C-S2.lock") && fcntl(fd, F_OFD_SETLK, &lock) != 0) {
        c = errno == EAGAIN || errno == EACCES
                ? in_use(fd, directory, err)
                : err_errno(err, ERR_FATAL, EXIT_CANTCREAT, errno, "cannot lock \"%s\"", path.ptr);
        close(fd);
        return c;
    }
    if (failpoint_err("lock.taken", err)) {
        close(fd);
        return ERR_FATAL;
    }
    char text[24];
    int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)n, 0) != n) {
        errno = 0; /* a full disk: the lock holds all the same, only the message will be poorer */
    }
    *ret_fd = fd;
    return ERR_NONE;
}
