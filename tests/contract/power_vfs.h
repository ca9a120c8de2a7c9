/* SPDX-License-Identifier: MIT
 *
 * power_vfs.h - SQLite's file system on a disk whose power can be cut (reliability.md A8). A kill leaves what the
 * kernel has; a cut leaves only what was synced, and of the rest whatever it likes: nothing, a beginning, any part in
 * any order, single sectors of 512 or 4,096 bytes. Names too: what was created, renamed or removed is only certain
 * after a sync of the directory.
 *
 * Everything goes through to the real files, so the program under test goes on undisturbed; beside it this keeps, for
 * each file of one directory, what is certain and what is under way. At a cut it works out what a disk could hold now
 * and keeps that as a picture (struct power_cut), which the test writes to another directory and opens there. One run
 * gives as many cuts as are wanted, at any write, sync, rename or removal.
 *
 * Of the program's own calls it sees rename, unlink and fsync of directories: link with --wrap (meson.build). For one
 * thread and one directory; sizes are bounded, and what goes beyond ends the test.
 */
#ifndef WIKITALLY_TESTS_POWER_VFS_H
#define WIKITALLY_TESTS_POWER_VFS_H

#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"

#include <sqlite3.h>

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { POWER_FILES = 64, POWER_NAMES = 16, POWER_MOVES = 256, POWER_WRITES = 32768 };

struct power_write { /* bytes NULL: the file is cut off at `at` */
    int64_t at;
    size_t len;
    unsigned char *bytes;
};
struct power_image {
    unsigned char *bytes;
    size_t len, cap;
};
struct power_file {
    struct power_image certain;
    struct power_write *writes; /* under way, in their order */
    size_t write_count, write_cap;
};
struct power_name {
    char name[NAME_MAX + 1];
    int file;
};
struct power_names {
    struct power_name at[POWER_NAMES];
    size_t count;
};
struct power_move { /* file >= 0: this name means this file from now on; -1: the name is gone */
    char name[NAME_MAX + 1];
    int file;
};

struct power_cut {
    struct power_names names;
    struct power_image images[POWER_NAMES];
    const char *how;
};

static struct {
    sqlite3_vfs vfs, *real;
    sqlite3_io_methods methods;
    char directory[128];
    bool on;
    struct power_file files[POWER_FILES];
    int file_count;
    struct power_names certain, now;
    struct power_move moves[POWER_MOVES];
    size_t move_count;
    void (*event)(void); /* called before each call that changes the disk: here a test may cut */
} power;

/* ---- images */

static inline void power_image_size(struct power_image *i, size_t len)
{
    if (len > i->cap) {
        i->cap = len * 2;
        i->bytes = xrealloc(i->bytes, i->cap);
    }
    if (len > i->len) {
        memset(i->bytes + i->len, 0, len - i->len);
    }
    i->len = len;
}

static inline void power_image_put(struct power_image *i, int64_t at, const unsigned char *bytes, size_t len)
{
    if ((size_t)at + len > i->len) {
        power_image_size(i, (size_t)at + len);
    }
    memcpy(i->bytes + at, bytes, len);
}

static inline void power_apply(struct power_image *i, const struct power_write *w)
{
    if (w->bytes == NULL) {
        power_image_size(i, (size_t)w->at);
    } else {
        power_image_put(i, w->at, w->bytes, w->len);
    }
}

/* Of one write, each sector or not. */
static inline void power_apply_torn(struct power_image *i, const struct power_write *w, int64_t sector, struct rng *rng)
{
    if (w->bytes == NULL) {
        if (rng_below(rng, 2)) {
            power_apply(i, w);
        }
        return;
    }
    if (rng_below(rng, 2) && (size_t)w->at + w->len > i->len) { /* the file has grown, the data did not arrive */
        power_image_size(i, (size_t)w->at + w->len);
    }
    for (int64_t at = w->at, end = w->at + (int64_t)w->len; at < end;) {
        int64_t next = (at / sector + 1) * sector;
        next = next < end ? next : end;
        if (rng_below(rng, 2)) {
            power_image_put(i, at, w->bytes + (at - w->at), (size_t)(next - at));
        }
        at = next;
    }
}

/* ---- names */

static inline int power_find(const struct power_names *n, const char *name)
{
    for (size_t i = 0; i < n->count; i++) {
        if (strcmp(n->at[i].name, name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static inline void power_name_set(struct power_names *n, const char *name, int file)
{
    int at = power_find(n, name);
    if (file < 0 && at >= 0) {
        n->at[at] = n->at[--n->count];
    } else if (file >= 0) {
        ensure(at >= 0 || n->count < POWER_NAMES);
        struct power_name *entry = &n->at[at >= 0 ? (size_t)at : n->count++];
        snprintf(entry->name, sizeof entry->name, "%s", name);
        entry->file = file;
    }
}

static inline void power_move(const char *name, int file)
{
    ensure(power.move_count < POWER_MOVES);
    struct power_move *m = &power.moves[power.move_count++];
    snprintf(m->name, sizeof m->name, "%s", name);
    m->file = file;
    power_name_set(&power.now, name, file);
}

/* The name of a path in the directory that is watched, else NULL. */
static inline const char *power_inside(const char *path)
{
    size_t len = strlen(power.directory);
    bool inside = power.on && path != NULL && strncmp(path, power.directory, len) == 0 && path[len] == '/';
    return inside && strchr(path + len + 1, '/') == NULL ? path + len + 1 : NULL;
}

static inline int power_file_new(void)
{
    ensure(power.file_count < POWER_FILES);
    power.files[power.file_count] = (struct power_file){0};
    return power.file_count++;
}

static inline void power_event(void)
{
    if (power.on && power.event != NULL) {
        power.event();
    }
}

/* ---- what changes the disk */

static inline void power_record(int file, int64_t at, const void *bytes, size_t len)
{
    struct power_file *f = &power.files[file];
    if (f->write_count == f->write_cap) {
        f->write_cap = f->write_cap ? f->write_cap * 2 : 64;
        f->writes = xrealloc(f->writes, f->write_cap * sizeof *f->writes);
    }
    ensure(f->write_count < POWER_WRITES);
    struct power_write *w = &f->writes[f->write_count++];
    *w = (struct power_write){.at = at, .len = len};
    if (bytes != NULL) {
        w->bytes = xmalloc(len);
        memcpy(w->bytes, bytes, len);
    }
}

static inline void power_writes_free(struct power_file *f)
{
    for (size_t i = 0; i < f->write_count; i++) {
        free(f->writes[i].bytes);
    }
    f->write_count = 0;
}

static inline void power_sync(int file)
{
    struct power_file *f = &power.files[file];
    for (size_t i = 0; i < f->write_count; i++) {
        power_apply(&f->certain, &f->writes[i]);
    }
    power_writes_free(f);
}

static inline void power_sync_names(void)
{
    power.certain = power.now;
    power.move_count = 0;
}

int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __real_unlink(const char *path);
int __wrap_unlink(const char *path);
int __real_fsync(int fd);
int __wrap_fsync(int fd);

int __wrap_rename(const char *from, const char *to)
{
    const char *old = power_inside(from), *new = power_inside(to);
    power_event();
    int result = __real_rename(from, to);
    if (result == 0 && old != NULL && new != NULL) {
        int at = power_find(&power.now, old);
        ensure(at >= 0);
        power_move(new, power.now.at[at].file); /* never gone from both; both at once is worse than real */
        power_move(old, -1);
    }
    return result;
}

int __wrap_unlink(const char *path)
{
    const char *name = power_inside(path);
    power_event();
    int result = __real_unlink(path);
    if (result == 0 && name != NULL && power_find(&power.now, name) >= 0) {
        power_move(name, -1);
    }
    return result;
}

int __wrap_fsync(int fd)
{
    struct stat st;
    power_event();
    if (power.on && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        power_sync_names();
        return 0;
    }
    return __real_fsync(fd);
}

/* ---- SQLite's calls */

struct power_handle {
    sqlite3_file base; /* first */
    sqlite3_file *real;
    int file; /* -1: not watched */
    bool sync_names;
};

static inline sqlite3_file *power_real(sqlite3_file *f)
{
    return ((struct power_handle *)f)->real;
}
static inline int power_watched(sqlite3_file *f)
{
    int file = ((struct power_handle *)f)->file;
    return power.on ? file : -1;
}
static int power_close(sqlite3_file *f)
{
    return power_real(f)->pMethods->xClose(power_real(f));
}
static int power_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
    return power_real(f)->pMethods->xRead(power_real(f), p, n, at);
}
static int power_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    int file = power_watched(f);
    if (file >= 0) {
        power_event();
        power_record(file, at, p, (size_t)n);
    }
    return power_real(f)->pMethods->xWrite(power_real(f), p, n, at);
}
static int power_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    int file = power_watched(f);
    if (file >= 0) {
        power_event();
        power_record(file, size, NULL, 0);
    }
    return power_real(f)->pMethods->xTruncate(power_real(f), size);
}
/* A new log or journal is synced together with its name, as SQLite's own file system does it. */
static int power_sync_file(sqlite3_file *f, int flags)
{
    struct power_handle *h = (struct power_handle *)f;
    int file = power_watched(f);
    if (file < 0) {
        return h->real->pMethods->xSync(h->real, flags);
    }
    power_event();
    power_sync(file);
    if (h->sync_names) {
        power_sync_names();
        h->sync_names = false;
    }
    return SQLITE_OK;
}
static int power_size(sqlite3_file *f, sqlite3_int64 *size)
{
    return power_real(f)->pMethods->xFileSize(power_real(f), size);
}
static int power_lock(sqlite3_file *f, int level)
{
    return power_real(f)->pMethods->xLock(power_real(f), level);
}
static int power_unlock(sqlite3_file *f, int level)
{
    return power_real(f)->pMethods->xUnlock(power_real(f), level);
}
static int power_reserved(sqlite3_file *f, int *out)
{
    return power_real(f)->pMethods->xCheckReservedLock(power_real(f), out);
}
/* A hint of the size to come would let SQLite write past this shim. */
static int power_control(sqlite3_file *f, int op, void *p)
{
    return op == SQLITE_FCNTL_SIZE_HINT ? SQLITE_OK : power_real(f)->pMethods->xFileControl(power_real(f), op, p);
}
static int power_sector(sqlite3_file *f)
{
    return power_real(f)->pMethods->xSectorSize(power_real(f));
}
static int power_device(sqlite3_file *f)
{
    return power_real(f)->pMethods->xDeviceCharacteristics(power_real(f));
}
static int power_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
    return power_real(f)->pMethods->xShmMap(power_real(f), page, size, extend, out);
}
static int power_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
    return power_real(f)->pMethods->xShmLock(power_real(f), at, n, flags);
}
static void power_shm_barrier(sqlite3_file *f)
{
    power_real(f)->pMethods->xShmBarrier(power_real(f));
}
static int power_shm_unmap(sqlite3_file *f, int drop)
{
    return power_real(f)->pMethods->xShmUnmap(power_real(f), drop);
}

static int power_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out)
{
    (void)vfs;
    struct power_handle *h = (struct power_handle *)f;
    const char *inside = power_inside(name);
    h->real = (sqlite3_file *)(h + 1);
    h->file = -1;
    h->sync_names = false;
    power_event();
    int rc = power.real->xOpen(power.real, name, h->real, flags, out);
    f->pMethods = rc == SQLITE_OK ? &power.methods : NULL;
    if (rc != SQLITE_OK || inside == NULL) {
        return rc;
    }
    int at = power_find(&power.now, inside);
    if (at < 0) {
        power_move(inside, power_file_new());
        at = power_find(&power.now, inside);
        h->sync_names = (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) != 0;
    }
    h->file = power.now.at[at].file;
    return rc;
}

static int power_delete(sqlite3_vfs *vfs, const char *path, int sync)
{
    (void)vfs;
    const char *name = power_inside(path);
    power_event();
    int rc = power.real->xDelete(power.real, path, 0);
    if (rc == SQLITE_OK && name != NULL && power_find(&power.now, name) >= 0) {
        power_move(name, -1);
        if (sync) {
            power_sync_names();
        }
    }
    return rc;
}

/* ---- for the test */

static inline void power_cut_fini(struct power_cut *c)
{
    for (size_t i = 0; i < c->names.count; i++) {
        free(c->images[i].bytes);
    }
    *c = (struct power_cut){0};
}

static inline void power_off(void)
{
    power.on = false;
    for (int i = 0; i < power.file_count; i++) {
        power_writes_free(&power.files[i]);
        free(power.files[i].writes);
        free(power.files[i].certain.bytes);
    }
    power.file_count = 0;
    power.move_count = 0;
    power.now.count = power.certain.count = 0;
}

static inline void power_load(const char *path, struct power_image *image)
{
    FILE *f = fopen(path, "rb");
    ensure(f != NULL);
    unsigned char part[65536];
    for (size_t n; (n = fread(part, 1, sizeof part, f)) > 0;) {
        power_image_put(image, (int64_t)image->len, part, n);
    }
    fclose(f);
}

/* From here on this directory is watched; what is in it now is certain. */
static inline void power_on(const char *directory, void (*event)(void))
{
    if (power.real == NULL) {
        power.real = sqlite3_vfs_find(NULL);
        power.vfs = *power.real;
        power.vfs.zName = "power";
        power.vfs.pNext = NULL;
        power.vfs.szOsFile = (int)sizeof(struct power_handle) + power.real->szOsFile;
        power.vfs.xOpen = power_open;
        power.vfs.xDelete = power_delete;
        power.methods = (sqlite3_io_methods){2,
                                             power_close,
                                             power_read,
                                             power_write,
                                             power_truncate,
                                             power_sync_file,
                                             power_size,
                                             power_lock,
                                             power_unlock,
                                             power_reserved,
                                             power_control,
                                             power_sector,
                                             power_device,
                                             power_shm_map,
                                             power_shm_lock,
                                             power_shm_barrier,
                                             power_shm_unmap,
                                             NULL,
                                             NULL};
        sqlite3_vfs_register(&power.vfs, 1);
    }
    power_off();
    snprintf(power.directory, sizeof power.directory, "%s", directory);
    power.event = event;
    DIR *dir = opendir(directory);
    ensure(dir != NULL);
    for (const struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (e->d_type == DT_REG && strcmp(e->d_name, "lock") != 0) {
            char path[400];
            snprintf(path, sizeof path, "%s/%s", directory, e->d_name);
            int file = power_file_new();
            power_load(path, &power.files[file].certain);
            power_name_set(&power.now, e->d_name, file);
        }
    }
    closedir(dir);
    power_sync_names();
    power.on = true;
}

enum power_way { WAY_NOTHING, WAY_BEGINNING, WAY_SOME, WAY_TORN_512, WAY_TORN_4096, WAY_ALL, POWER_WAYS };

static inline void power_picture(const struct power_file *f, enum power_way way, struct rng *rng,
                                 struct power_image *image)
{
    if (f->certain.len > 0) {
        power_image_put(image, 0, f->certain.bytes, f->certain.len);
    }
    size_t kept = way == WAY_NOTHING ? 0 : way == WAY_BEGINNING ? rng_below(rng, f->write_count + 1) : f->write_count;
    for (size_t i = 0; i < kept; i++) {
        if (way == WAY_TORN_512 || way == WAY_TORN_4096) {
            power_apply_torn(image, &f->writes[i], way == WAY_TORN_512 ? 512 : 4096, rng);
        } else if (way != WAY_SOME || rng_below(rng, 2)) {
            power_apply(image, &f->writes[i]);
        }
    }
}

/* What the disk holds if the power goes now. */
static inline void power_take(struct power_cut *cut, struct rng *rng)
{
    static const char *const names[POWER_WAYS] = {"nothing that was not synced", "a beginning",
                                                  "any of the writes",           "sectors of 512 bytes",
                                                  "sectors of 4096 bytes",       "everything"};
    enum power_way way = (enum power_way)rng_below(rng, POWER_WAYS);
    *cut = (struct power_cut){.names = power.certain, .how = names[way]};
    size_t moves = way == WAY_NOTHING ? 0 : way == WAY_ALL ? power.move_count : rng_below(rng, power.move_count + 1);
    for (size_t i = 0; i < moves; i++) {
        power_name_set(&cut->names, power.moves[i].name, power.moves[i].file);
    }
    for (size_t i = 0; i < cut->names.count; i++) {
        power_picture(&power.files[cut->names.at[i].file], way, rng, &cut->images[i]);
    }
}

/* Into an empty directory. */
static inline void power_cut_write(const struct power_cut *c, const char *directory)
{
    for (size_t i = 0; i < c->names.count; i++) {
        char path[400];
        snprintf(path, sizeof path, "%s/%s", directory, c->names.at[i].name);
        FILE *f = fopen(path, "wb");
        ensure(f != NULL);
        ensure(c->images[i].len == 0 || fwrite(c->images[i].bytes, 1, c->images[i].len, f) == c->images[i].len);
        ensure(fclose(f) == 0);
    }
}

#endif
