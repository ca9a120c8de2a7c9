/* SPDX-License-Identifier: MIT
 *
 * fail_vfs.h - SQLite's file system with one fault in it: the k-th call of a kind (a sync, a write, a read, how large
 * is it), of any file, fails, once or from then on, as a disk does it. Registered as the default of this process by the
 * first fail_vfs_plan.
 */
#ifndef WIKITALLY_TESTS_FAIL_VFS_H
#define WIKITALLY_TESTS_FAIL_VFS_H

#include <sqlite3.h>

#include <stdbool.h>
#include <string.h>

enum fail_call { FAIL_NOTHING, FAIL_SYNC, FAIL_WRITE, FAIL_READ, FAIL_SIZE };

static struct {
    sqlite3_vfs vfs, *real;
    sqlite3_io_methods methods;
    enum fail_call call;
    int at, seen, code; /* code: SQLITE_IOERR_FSYNC, SQLITE_IOERR_WRITE, SQLITE_FULL, ... */
    bool stays, happened;
} fail_vfs;

struct fail_file {
    sqlite3_file base; /* first */
    sqlite3_file *real;
};

static inline sqlite3_file *fail_real(sqlite3_file *f)
{
    return ((struct fail_file *)f)->real;
}

static inline bool fail_now(enum fail_call call)
{
    if (call != fail_vfs.call) {
        return false;
    }
    int n = ++fail_vfs.seen;
    bool now = n == fail_vfs.at || (fail_vfs.stays && n > fail_vfs.at);
    fail_vfs.happened |= now;
    return now;
}

static int fail_close(sqlite3_file *f)
{
    return fail_real(f)->pMethods->xClose(fail_real(f));
}
static int fail_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
    return fail_now(FAIL_READ) ? fail_vfs.code : fail_real(f)->pMethods->xRead(fail_real(f), p, n, at);
}
static int fail_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    if (fail_now(FAIL_WRITE)) {
        fail_real(f)->pMethods->xWrite(fail_real(f), p, n / 2, at); /* torn */
        return fail_vfs.code;
    }
    return fail_real(f)->pMethods->xWrite(fail_real(f), p, n, at);
}
static int fail_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    return fail_real(f)->pMethods->xTruncate(fail_real(f), size);
}
static int fail_sync(sqlite3_file *f, int flags)
{
    return fail_now(FAIL_SYNC) ? fail_vfs.code : fail_real(f)->pMethods->xSync(fail_real(f), flags);
}
static int fail_size(sqlite3_file *f, sqlite3_int64 *size)
{
    return fail_now(FAIL_SIZE) ? fail_vfs.code : fail_real(f)->pMethods->xFileSize(fail_real(f), size);
}
static int fail_lock(sqlite3_file *f, int level)
{
    return fail_real(f)->pMethods->xLock(fail_real(f), level);
}
static int fail_unlock(sqlite3_file *f, int level)
{
    return fail_real(f)->pMethods->xUnlock(fail_real(f), level);
}
static int fail_reserved(sqlite3_file *f, int *out)
{
    return fail_real(f)->pMethods->xCheckReservedLock(fail_real(f), out);
}
static int fail_control(sqlite3_file *f, int op, void *p)
{
    return fail_real(f)->pMethods->xFileControl(fail_real(f), op, p);
}
static int fail_sector(sqlite3_file *f)
{
    return fail_real(f)->pMethods->xSectorSize(fail_real(f));
}
static int fail_device(sqlite3_file *f)
{
    return fail_real(f)->pMethods->xDeviceCharacteristics(fail_real(f));
}
static int fail_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
    return fail_real(f)->pMethods->xShmMap(fail_real(f), page, size, extend, out);
}
static int fail_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
    return fail_real(f)->pMethods->xShmLock(fail_real(f), at, n, flags);
}
static void fail_shm_barrier(sqlite3_file *f)
{
    fail_real(f)->pMethods->xShmBarrier(fail_real(f));
}
static int fail_shm_unmap(sqlite3_file *f, int drop)
{
    return fail_real(f)->pMethods->xShmUnmap(fail_real(f), drop);
}

static int fail_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out)
{
    (void)vfs;
    struct fail_file *file = (struct fail_file *)f;
    file->real = (sqlite3_file *)(file + 1);
    int rc = fail_vfs.real->xOpen(fail_vfs.real, name, file->real, flags, out);
    f->pMethods = rc == SQLITE_OK ? &fail_vfs.methods : NULL;
    return rc;
}

/* Also forgets what was seen. stays: from the k-th on; else only that one. */
static inline void fail_vfs_plan(enum fail_call call, int at, int code, bool stays)
{
    if (fail_vfs.real == NULL) {
        fail_vfs.real = sqlite3_vfs_find(NULL);
        fail_vfs.vfs = *fail_vfs.real;
        fail_vfs.vfs.zName = "fail";
        fail_vfs.vfs.pNext = NULL;
        fail_vfs.vfs.szOsFile = (int)sizeof(struct fail_file) + fail_vfs.real->szOsFile;
        fail_vfs.vfs.xOpen = fail_open;
        fail_vfs.methods = (sqlite3_io_methods){
            2,           fail_close,   fail_read,     fail_write,       fail_truncate,  fail_sync,
            fail_size,   fail_lock,    fail_unlock,   fail_reserved,    fail_control,   fail_sector,
            fail_device, fail_shm_map, fail_shm_lock, fail_shm_barrier, fail_shm_unmap, NULL,
            NULL};
        sqlite3_vfs_register(&fail_vfs.vfs, 1);
    }
    fail_vfs.call = call;
    fail_vfs.at = at;
    fail_vfs.seen = 0;
    fail_vfs.code = code;
    fail_vfs.stays = stays;
    fail_vfs.happened = false;
}

#endif
