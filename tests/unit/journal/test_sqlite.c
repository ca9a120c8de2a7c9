/* SPDX-License-Identifier: MIT
 *
 * What only the embedded journal does: its file, its lock, its exit codes, and what it says and does when the disk
 * fails (reliability.md C-S1 to C-S3, A6, A10).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/fault.h"
#include "base/hash.h"
#include "place.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

static void assert_refused(struct place *p, enum err_class cls, int code, const char *text)
{
    struct err e = {0};
    struct journal *j = NULL;
    enum err_class c = journal_open_sqlite(&p->options, &j, &e);
    assert_error(c, e, cls, code);
    assert_null(j);
    assert_says(&e, text);
}

static enum err_class append(struct journal *j, int n, int64_t arrival_us, struct err *e)
{
    char text[2000];
    memset(text, 'x', sizeof text);
    snprintf(text, 32, "{\"n\":%d}", n);
    struct record record = {.arrival_us = arrival_us, .value = {text, sizeof text}};
    struct batch b = {.records = &record, .record_count = 1};
    return journal_append(j, &b, NULL, e);
}

static void append_some(struct place *p, int count)
{
    struct err e = {0};
    struct journal *j = open_ok(p);
    for (int i = 0; i < count; i++) {
        assert_ok(append(j, i, day + i * US_PER_SECOND, &e), e);
    }
    journal_close(j);
}

static uint64_t file_hash(const char *path)
{
    struct buf b = {0};
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    char part[4096];
    for (size_t n; (n = fread(part, 1, sizeof part, f)) > 0;) {
        buf_add(&b, str_n(part, n));
    }
    fclose(f);
    uint64_t hash = hash_bytes(buf_str(&b), 1);
    buf_fini(&b);
    return hash;
}

static int64_t file_count(const char *path)
{
    int64_t n = 0;
    DIR *d = opendir(path);
    while (d != NULL && readdir(d) != NULL) {
        n++;
    }
    closedir(d);
    return n - 2;
}

/* Runs f in a child; its return value is the exit status. */
static int in_child(int (*f)(struct place *p), struct place *p)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        _exit(f(p));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int child_open(struct place *p)
{
    struct err e = {0};
    struct journal *j = NULL;
    return journal_open_sqlite(&p->options, &j, &e) ? err_exit_code(&e) : 0;
}

/* ---- the lock */

static void C_S2_second_instance_is_refused(void **state)
{
    struct place *p = *state;
    struct journal *j = open_ok(p);
    char pid[32];
    snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    assert_refused(p, ERR_FATAL, EXIT_IN_USE, pid);
    assert_int_equal(in_child(child_open, p), EXIT_IN_USE);
    struct err e = {0};
    assert_ok(append(j, 1, day, &e), e); /* the refused ones did no harm to the holder's own locks */
    journal_close(j);
    assert_int_equal(in_child(child_open, p), 0);
    journal_close(open_ok(p));
}

static void C_S2_lock_goes_with_a_killed_process(void **state)
{
    struct place *p = *state;
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        struct err e = {0};
        struct journal *j = NULL;
        char ok = journal_open_sqlite(&p->options, &j, &e) == ERR_NONE && append(j, 1, day, &e) == ERR_NONE;
        ok = write(ready[1], &ok, 1) == 1;
        alarm(60); /* not for ever, should the test fail */
        pause();
        _exit(ok);
    }
    char ok = 0;
    assert_int_equal(read(ready[0], &ok, 1), 1);
    assert_true(ok);
    assert_refused(p, ERR_FATAL, EXIT_IN_USE, "in use by process");
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(ready[0]);
    close(ready[1]);
    struct journal *j = open_ok(p);
    struct journal_reader *r = NULL;
    struct err e = {0};
    int64_t head, end = 0;
    assert_ok(journal_reader_new(j, &r, &e), e);
    assert_ok(journal_reader_bounds(r, 0, &head, &end, &e), e);
    assert_int_equal(end, 1);
    journal_reader_close(r);
    journal_close(j);
}

/* Says how it went and holds what it has until the other has said so too. */
static int child_race(struct place *p, int tell, int wait)
{
    struct err e = {0};
    struct journal *j = NULL;
    enum err_class c = journal_open_sqlite(&p->options, &j, &e);
    unsigned char code = c ? (unsigned char)err_exit_code(&e) : (unsigned char)(append(j, 1, day, &e) != ERR_NONE);
    if (write(tell, &code, 1) != 1 || read(wait, &code, 1) != 0) {
        return 1;
    }
    journal_close(j);
    return 0;
}

static void C_S2_A10_one_of_two_wins(void **state)
{
    struct place *p = *state;
    for (int race = 0; race < 50; race++) {
        int tell[2], hold[2], won = 0, lost = 0;
        assert_true(pipe2(tell, O_CLOEXEC) == 0 && pipe2(hold, O_CLOEXEC) == 0);
        for (int i = 0; i < 2; i++) {
            if (fork() == 0) {
                close(hold[1]);
                _exit(child_race(p, tell[1], hold[0]));
            }
        }
        for (int i = 0; i < 2; i++) {
            unsigned char code = 1;
            assert_int_equal(read(tell[0], &code, 1), 1);
            won += code == 0;
            lost += code == EXIT_IN_USE;
        }
        close(hold[1]);
        assert_int_equal(won, 1);
        assert_int_equal(lost, 1);
        for (int i = 0; i < 2; i++) {
            int status = 1;
            assert_true(wait(&status) > 0 && status == 0);
        }
        close(hold[0]);
        close(tell[0]);
        close(tell[1]);
    }
}

/* ---- what is on the disk already */

static void too_new_is_left_untouched(void **state)
{
    struct place *p = *state;
    append_some(p, 2);
    sql(p, "PRAGMA user_version = 2; PRAGMA wal_checkpoint(TRUNCATE)");
    uint64_t before = file_hash(p->file);
    int64_t files = file_count(p->dir.path);
    assert_refused(p, ERR_FATAL, EXIT_TOO_NEW, "has format 2");
    struct err e = {0};
    struct journal_reader *r = NULL;
    assert_error(journal_reader_open(p->dir.path, &r, &e), e, ERR_FATAL, EXIT_TOO_NEW);
    assert_true(file_hash(p->file) == before);
    assert_int_equal(file_count(p->dir.path), files);
}

static void foreign_file_is_refused(void **state)
{
    struct place *p = *state;
    FILE *f = fopen(p->file, "w");
    for (int i = 0; i < 100; i++) {
        fputs("this is somebody's diary\n", f);
    }
    fclose(f);
    uint64_t before = file_hash(p->file);
    assert_refused(p, ERR_REJECT, EXIT_CONFIG, "not a wikitally journal");
    assert_true(file_hash(p->file) == before);
    unlink(p->file);
    f = fopen(p->file, "w");
    fputs("short", f);
    fclose(f);
    assert_refused(p, ERR_REJECT, EXIT_CONFIG, "not a wikitally journal");
    unlink(p->file);
    sql(p, "CREATE TABLE a (b); PRAGMA user_version = 1");
    before = file_hash(p->file);
    assert_refused(p, ERR_REJECT, EXIT_CONFIG, "not a wikitally journal");
    assert_true(file_hash(p->file) == before);
}

static void R2_other_source_or_fewer_partitions_are_refused(void **state)
{
    struct place *p = *state;
    append_some(p, 1);
    p->options.source = "test:2";
    assert_refused(p, ERR_REJECT, EXIT_CONFIG, "\"test:1\", not of \"test:2\"");
    p->options.source = "test:1";
    p->options.partitions = 1;
    assert_refused(p, ERR_REJECT, EXIT_CONFIG, "has 2 partitions");
    p->options.partitions = PARTITION_MAX + 1;
    assert_refused(p, ERR_REJECT, EXIT_CONFIG, "partitions");
    p->options.partitions = 4; /* more is fine, and stays */
    struct journal *j = open_ok(p);
    assert_int_equal(journal_partitions(j), 4);
    journal_close(j);
    p->options.partitions = 3;
    assert_refused(p, ERR_REJECT, EXIT_CONFIG, "has 4 partitions");
}

static void empty_file_and_leftovers_of_a_killed_start(void **state)
{
    struct place *p = *state;
    char name[200];
    fclose(fopen(p->file, "w"));
    snprintf(name, sizeof name, "%s.new", p->file);
    FILE *f = fopen(name, "w");
    fputs("half a file", f);
    fclose(f);
    journal_close(open_ok(p));
    assert_int_equal(access(name, F_OK), -1);
    append_some(p, 1);
}

static void no_journal_to_read(void **state)
{
    struct place *p = *state;
    struct err e = {0};
    struct journal_reader *r = NULL;
    assert_error(journal_reader_open(p->dir.path, &r, &e), e, ERR_REJECT, EXIT_NOINPUT);
    assert_error(journal_reader_open("/nonexistent/directory", &r, &e), e, ERR_REJECT, EXIT_NOINPUT);
    assert_int_equal(file_count(p->dir.path), 0);
}

/* ---- damage */

static void file_damage(struct place *p, long at, int bytes)
{
    FILE *f = fopen(p->file, "r+b");
    assert_non_null(f);
    fseek(f, at, SEEK_SET);
    for (int i = 0; i < bytes; i++) {
        fputc(0xa5, f);
    }
    fclose(f);
}

static void C_S3_corrupt_file_is_named_and_not_made_anew(void **state)
{
    struct place *p = *state;
    append_some(p, 50);
    file_damage(p, 4096 * 3 - 2000, 1900);
    file_damage(p, 4096 * 6, 100);
    uint64_t before = file_hash(p->file);
    assert_refused(p, ERR_FATAL, EXIT_DATA, "corrupt");
    assert_true(file_hash(p->file) == before);
    assert_int_equal(truncate(p->file, 4096 * 3), 0);
    assert_refused(p, ERR_FATAL, EXIT_DATA, "corrupt");
}

static void read_all(struct journal_reader *r, int64_t *next, enum err_class expected, struct err *e)
{
    struct arena arena = {0};
    enum err_class c;
    struct journal_page page;
    do {
        arena_reset(&arena);
        c = journal_reader_read(r, 0, *next, 3, &arena, &page, e);
        for (size_t i = 0; !c && i < page.count; i++) {
            *next = page.records[i].offset + 1;
        }
    } while (!c && page.count > 0);
    assert_int_equal(c, expected);
    arena_fini(&arena);
}

static void C_S3_corrupt_batch_is_found_named_and_skipped(void **state)
{
    struct place *p = *state;
    static const char *const damage[] = {
        "UPDATE batches SET blob = zeroblob(length(blob)) WHERE base = 4",
        "UPDATE batches SET blob = (SELECT blob FROM batches WHERE base = 3) WHERE base = 4",
        "UPDATE batches SET max_arrival_us = max_arrival_us + 1 WHERE base = 4",
        "UPDATE batches SET checksum = checksum + 1 WHERE base = 4",
        "UPDATE batches SET raw_bytes = raw_bytes + 1 WHERE base = 4",
    };
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        struct err e = {0};
        struct journal_reader *r = NULL;
        struct journal_verified v;
        struct problems problems = {0};
        int64_t next = 0;
        append_some(p, 8);
        sql(p, damage[i]);
        struct journal *j = open_ok(p); /* it opens, so that it can be repaired */
        assert_ok(journal_reader_new(j, &r, &e), e);
        read_all(r, &next, ERR_FATAL, &e);
        assert_int_equal(next, 4); /* all before it was handed out */
        assert_int_equal(e.code, EXIT_DATA);
        assert_non_null(strstr(e.text, "partition 0, offsets 4 to 4"));
        assert_non_null(strstr(e.text, "repair --skip 4"));
        assert_error(journal_reader_verify(r, note_problem, &problems, &v, &e), e, ERR_REJECT, EXIT_DATA);
        assert_true(problems.count >= 1);
        assert_int_equal(v.batches, 8);
        assert_ok(journal_skip(j, 0, 4, &e), e);
        read_all(r, &next, ERR_NONE, &e);
        assert_int_equal(next, 8);
        assert_ok(journal_reader_verify(r, note_problem, &problems, &v, &e), e);
        assert_int_equal(v.holes, 1);
        journal_reader_close(r);
        journal_close(j);
        store_dir_fini(&p->dir);
        store_dir_init(&p->dir);
        p->options.directory = p->dir.path;
        snprintf(p->file, sizeof p->file, "%s/journal.db", p->dir.path);
    }
}

static void a_journal_without_id_or_partitions_is_refused(void **state)
{
    struct place *p = *state;
    static const char many_partitions[] =
        "INSERT INTO partitions (partition, next_offset, bytes) "
        "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 64) "
        "SELECT i, 0, 0 FROM n";
    const char *const damage[] = {
        "UPDATE meta SET value = '', row_sum = NULL WHERE key = 'id'",
        "DELETE FROM meta WHERE key = 'id'",
        many_partitions,
        "DELETE FROM partitions",
    };
    struct err e = {0};
    struct journal_reader *r = NULL;
    struct journal_info info;
    append_some(p, 1);
    sql(p, "INSERT INTO meta (key, value) VALUES ('of a later version', 1)"); /* means nothing to this one */
    assert_ok(journal_reader_open(p->dir.path, &r, &e), e);
    assert_ok(journal_reader_info(r, &info, &e), e);
    assert_int_equal(info.partitions, 2);
    journal_reader_close(r);
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        char undo[300];
        snprintf(undo, sizeof undo,
                 "REPLACE INTO meta (key, value) VALUES ('id', '%s'); DELETE FROM partitions WHERE partition > 1",
                 info.id);
        sql(p, damage[i]);
        r = NULL;
        enum err_class c = journal_reader_open(p->dir.path, &r, &e);
        c = c ? c : journal_reader_info(r, &info, &e);
        assert_error(c, e, ERR_FATAL, EXIT_DATA);
        assert_non_null(strstr(e.text, "no id or no partitions"));
        journal_reader_close(r);
        sql(p, undo);
    }
}

static void verify_sees_overlap_and_wrong_ends(void **state)
{
    struct place *p = *state;
    struct err e = {0};
    struct journal_reader *r = NULL;
    struct journal_verified v;
    struct problems problems = {0};
    append_some(p, 4);
    sql(p, "UPDATE partitions SET bytes = bytes + 1, row_sum = NULL WHERE partition = 0");
    assert_ok(journal_reader_open(p->dir.path, &r, &e), e);
    assert_error(journal_reader_verify(r, note_problem, &problems, &v, &e), e, ERR_REJECT, EXIT_DATA);
    assert_non_null(strstr(problems.last, "sum of bytes"));
    journal_reader_close(r);
    sql(p, "UPDATE batches SET count = 2 WHERE base = 1");
    assert_ok(journal_reader_open(p->dir.path, &r, &e), e);
    problems.count = 0;
    assert_error(journal_reader_verify(r, note_problem, &problems, &v, &e), e, ERR_REJECT, EXIT_DATA);
    assert_int_equal(problems.count, 3); /* checksum, overlap, bytes */
    journal_reader_close(r);
    sql(p, "UPDATE partitions SET next_offset = 2 WHERE partition = 0");
    assert_refused(p, ERR_FATAL, EXIT_DATA, "ends before its last batch");
}

/* ---- permissions, full disks */

static int child_as_nobody(struct place *p)
{
    return setuid(65534) == 0 ? child_open(p) : 99;
}

static void directory_that_may_not_be_written(void **state)
{
    struct place *p = *state;
    append_some(p, 1);
    if (geteuid() != 0) {
        assert_int_equal(chmod(p->dir.path, 0500), 0);
        assert_refused(p, ERR_FATAL, EXIT_NOPERM, "lock");
        chmod(p->dir.path, 0700);
    } else {
        assert_int_equal(in_child(child_as_nobody, p), EXIT_NOPERM);
    }
    char path[200];
    snprintf(path, sizeof path, "%s/journal.db/below", p->dir.path);
    p->options.directory = path;
    assert_refused(p, ERR_FATAL, EXIT_CANTCREAT, "cannot make the directory");
}

static bool mount_small(struct place *p, const char *options, unsigned long flags)
{
    return unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", p->dir.path, "tmpfs", flags, options) == 0;
}

enum { CANNOT_MOUNT = 99 };

static int child_read_only(struct place *p)
{
    return mount_small(p, "size=1m", MS_RDONLY) ? child_open(p) : CANNOT_MOUNT;
}

static void read_only_file_system(void **state)
{
    struct place *p = *state;
    int status = in_child(child_read_only, p);
    if (status == CANNOT_MOUNT) {
        skip();
    }
    assert_int_equal(status, EXIT_CANTCREAT);
}

#define ENSURE(x)                                                                                                      \
    do {                                                                                                               \
        if (!(x)) {                                                                                                    \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #x, e.text);                                        \
            return 1;                                                                                                  \
        }                                                                                                              \
    } while (0)

static int child_full(struct place *p)
{
    struct err e = {0};
    struct journal *j = NULL;
    char filler[200];
    static char noise[20000];
    struct rng rng;
    int64_t stored = 0, head, end;
    enum err_class c = ERR_NONE;
    if (!mount_small(p, "size=2m", 0)) {
        return CANNOT_MOUNT;
    }
    rng_init(&rng, 5);
    snprintf(filler, sizeof filler, "%s/filler", p->dir.path);
    int fd = open(filler, O_RDWR | O_CREAT, 0600);
    ENSURE(fd >= 0 && posix_fallocate(fd, 0, 1 << 20) == 0);
    ENSURE(journal_open_sqlite(&p->options, &j, &e) == ERR_NONE);
    struct record record = {.arrival_us = day, .value = {noise, sizeof noise}};
    struct batch b = {.records = &record, .record_count = 1};
    while (!c) {
        for (size_t i = 0; i < sizeof noise; i++) {
            noise[i] = (char)rng_next(&rng);
        }
        c = journal_append(j, &b, NULL, &e);
        stored += !c;
    }
    ENSURE(c == ERR_RETRY && e.code == EXIT_IOERR && stored > 3);
    ENSURE(journal_append(j, &b, NULL, &e) == ERR_RETRY && e.code == EXIT_IOERR);
    unlink(filler);
    close(fd);
    ENSURE(journal_append(j, &b, NULL, &e) == ERR_NONE); /* room again: it goes on where it was */
    journal_close(j);
    j = NULL;
    ENSURE(journal_open_sqlite(&p->options, &j, &e) == ERR_NONE);
    struct journal_reader *r = NULL;
    ENSURE(journal_reader_new(j, &r, &e) == ERR_NONE);
    ENSURE(journal_reader_bounds(r, 0, &head, &end, &e) == ERR_NONE && head == 0 && end == stored + 1);
    int64_t next = 0;
    read_all(r, &next, ERR_NONE, &e);
    ENSURE(next == stored + 1);
    journal_reader_close(r);
    journal_close(j);
    return 0;
}

static void C_S3_full_disk_is_waited_for(void **state)
{
    struct place *p = *state;
    int status = in_child(child_full, p);
    if (status == CANNOT_MOUNT) {
        skip();
    }
    assert_int_equal(status, 0);
}

/* ---- a disk that fails */

/* What was acknowledged must be there after a restart; one more may be. -> the fault was reached */
static bool fail_once(struct place *p, enum fail_call call, int at, int code, bool stays)
{
    struct err e = {0};
    struct journal *j = open_ok(p);
    int64_t acknowledged = 0;
    enum err_class c = ERR_NONE;
    fail_vfs_plan(call, at, code, stays);
    for (int i = 0; i < 12 && !c; i++) {
        c = append(j, i, day, &e);
        acknowledged += !c;
    }
    bool happened = fail_vfs.happened, full = code == SQLITE_FULL;
    if (happened) {
        assert_int_equal(c, full ? ERR_RETRY : ERR_FATAL);
        assert_int_equal(e.code, EXIT_IOERR);
        if (!full) { /* never again as if it had worked, though the disk may work now */
            assert_int_equal(append(j, 99, day, &e), ERR_FATAL);
            assert_int_equal(append(j, 99, day, &e), ERR_FATAL);
        } else if (!stays) {
            assert_ok(append(j, 99, day, &e), e);
            acknowledged++;
        }
    }
    fail_vfs_plan(FAIL_NOTHING, 0, 0, false);
    journal_close(j);
    j = open_ok(p);
    struct journal_reader *r = NULL;
    int64_t next = 0;
    assert_ok(journal_reader_new(j, &r, &e), e);
    read_all(r, &next, ERR_NONE, &e);
    assert_true(next >= acknowledged && next <= acknowledged + 1);
    journal_reader_close(r);
    assert_ok(append(j, 1, day, &e), e);
    journal_close(j);
    return happened;
}

static void C_S3_failed_fsync_or_write_stops_writing(void **state)
{
    struct place *p = *state;
    static const struct {
        enum fail_call call;
        int code;
        bool stays;
    } faults[] = {{FAIL_SYNC, SQLITE_IOERR_FSYNC, false},
                  {FAIL_WRITE, SQLITE_IOERR_WRITE, false},
                  {FAIL_WRITE, SQLITE_FULL, false},
                  {FAIL_WRITE, SQLITE_FULL, true}};
    fail_vfs_plan(FAIL_NOTHING, 0, 0, false);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        int at = 1;
        for (bool more = true; more; at += 1 + (at > 20) * 7) {
            store_dir_fini(&p->dir);
            store_dir_init(&p->dir);
            p->options.directory = p->dir.path;
            more = fail_once(p, faults[i].call, at, faults[i].code, faults[i].stays);
        }
        assert_true(at > 5);
    }
}

/* ---- failpoints */

static void C_S1_failed_commit_leaves_nothing(void **state)
{
    struct place *p = *state;
#ifdef WIKITALLY_FAULTS
    struct err e = {0};
    setenv("WIKITALLY_FAILPOINT", "journal.before_commit:error@2", 1);
    struct journal *j = open_ok(p);
    fault_reload();
    assert_ok(append(j, 0, day, &e), e);
    assert_error(append(j, 1, day, &e), e, ERR_RETRY, EXIT_IOERR);
    unsetenv("WIKITALLY_FAILPOINT");
    fault_reload();
    assert_ok(append(j, 2, day, &e), e);
    struct journal_reader *r = NULL;
    int64_t next = 0;
    assert_ok(journal_reader_new(j, &r, &e), e);
    read_all(r, &next, ERR_NONE, &e);
    assert_int_equal(next, 2);
    journal_reader_close(r);
    journal_close(j);
#else
    (void)p;
    skip();
#endif
}

static void a_reader_may_hold_one_moment(void **state)
{
    struct place *p = *state;
    struct err e = {0};
    struct journal_reader *r = NULL;
    struct journal *j = open_ok(p);
    int64_t head, end;
    assert_ok(append(j, 0, day, &e), e);
    assert_ok(journal_reader_open(p->dir.path, &r, &e), e);
    for (int round = 1; round <= 2; round++) {
        assert_ok(journal_reader_hold(r, &e), e);
        assert_ok(append(j, round, day, &e), e);
        assert_ok(journal_reader_bounds(r, 0, &head, &end, &e), e);
        assert_int_equal(end, round);
        journal_reader_release(r);
    }
    assert_ok(journal_reader_bounds(r, 0, &head, &end, &e), e);
    assert_int_equal(end, 3);
    journal_reader_close(r);
    journal_close(j);
}

#define PLACE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACE(C_S2_second_instance_is_refused),
        PLACE(C_S2_lock_goes_with_a_killed_process),
        PLACE(C_S2_A10_one_of_two_wins),
        PLACE(too_new_is_left_untouched),
        PLACE(foreign_file_is_refused),
        PLACE(R2_other_source_or_fewer_partitions_are_refused),
        PLACE(empty_file_and_leftovers_of_a_killed_start),
        PLACE(no_journal_to_read),
        PLACE(C_S3_corrupt_file_is_named_and_not_made_anew),
        PLACE(C_S3_corrupt_batch_is_found_named_and_skipped),
        PLACE(a_journal_without_id_or_partitions_is_refused),
        PLACE(verify_sees_overlap_and_wrong_ends),
        PLACE(directory_that_may_not_be_written),
        PLACE(read_only_file_system),
        PLACE(C_S3_full_disk_is_waited_for),
        PLACE(C_S3_failed_fsync_or_write_stops_writing),
        PLACE(C_S1_failed_commit_leaves_nothing),
        PLACE(a_reader_may_hold_one_moment),
    };
    return cmocka_run_group_tests_name("journal sqlite", tests, NULL, NULL);
}
