/* SPDX-License-Identifier: MIT
 *
 * kafka_spool.c - see kafka_spool.h. A row is a batch: zstd over its fields one after the other, numbers in eight bytes
 * (little end first), texts with their length before them, and a checksum of it.
 */
#include "journal/kafka_spool.h"

#include "base/buf.h"
#include "base/db.h"
#include "base/fault.h"
#include "base/hash.h"

#include <stdlib.h>
#include <unistd.h>
#include <zstd.h>

enum { PACKED_MAX = 256 << 20, NO_TEXT = -1 };
static const uint64_t sum_seed = UINT64_C(0x73706f6f6c);

static const struct db_kind spool_kind = {
    .what = "spool",
    .application_id = 0x77545370,
    .version = 1,
    .page_bytes = 4096,
    .schema = "CREATE TABLE batches (number INTEGER PRIMARY KEY, owner TEXT NOT NULL, checksum INTEGER NOT NULL,"
              "  blob BLOB NOT NULL);",
};

struct kafka_spool {
    struct db db;
    char *path;
    int64_t max_bytes, bytes, first_bytes; /* of blobs; of the one that was looked at last */
    size_t count;
};

/* ---- packing */

static void put_number(struct buf *out, int64_t number)
{
    uint64_t n = (uint64_t)number;
    char bytes[8];
    for (int i = 0; i < 8; i++) {
        bytes[i] = (char)(n >> (8 * i) & 0xff);
    }
    buf_add(out, str_n(bytes, sizeof(bytes)));
}

static void put_text(struct buf *out, struct str text)
{
    put_number(out, text.ptr == NULL ? NO_TEXT : (int64_t)text.len);
    buf_add(out, text);
}

static void put_dead(struct buf *out, const struct dead_letter *d)
{
    put_text(out, str_of(d->stage));
    put_text(out, str_of(d->reason));
    put_text(out, d->detail);
    put_text(out, d->position);
    put_number(out, d->arrival_us);
    put_number(out, d->stream_us);
    put_text(out, d->bytes);
}

void spool_pack(const struct batch *b, struct buf *out)
{
    const size_t counts[] = {b->record_count, b->labels != NULL, b->dead_count, b->note_count, b->tally_count};
    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
        put_number(out, (int64_t)counts[i]);
    }
    for (size_t i = 0; i < b->record_count; i++) {
        put_number(out, b->records[i].partition);
        put_number(out, b->records[i].arrival_us);
        put_text(out, b->records[i].value);
        if (b->labels != NULL) {
            put_text(out, b->labels[i].key);
            put_text(out, str_of(b->labels[i].kind));
        }
    }
    for (size_t i = 0; i < b->dead_count; i++) {
        put_dead(out, &b->dead[i]);
    }
    for (size_t i = 0; i < b->note_count; i++) {
        put_text(out, b->notes[i].key);
        put_text(out, b->notes[i].value);
    }
    for (size_t i = 0; i < b->tally_count; i++) {
        put_number(out, b->tally[i].by);
        put_number(out, b->tally[i].minute);
        put_number(out, b->tally[i].bucket);
        put_number(out, b->tally[i].count);
    }
}

/* ---- unpacking: what is bad once stays bad, and gives zeros */

struct unpacking {
    struct str rest;
    struct arena *arena;
    bool bad;
};

static int64_t get_number(struct unpacking *u)
{
    uint64_t n = 0;
    if (u->bad || u->rest.len < 8) {
        u->bad = true;
        return 0;
    }
    for (int i = 0; i < 8; i++) {
        n |= (uint64_t)(unsigned char)u->rest.ptr[i] << (8 * i);
    }
    u->rest = str_n(u->rest.ptr + 8, u->rest.len - 8);
    return (int64_t)n;
}

/* Of things that take at least so many bytes each. */
static size_t get_count(struct unpacking *u, size_t least_bytes)
{
    int64_t n = get_number(u);
    u->bad = u->bad || n < 0 || (uint64_t)n > u->rest.len / least_bytes;
    return u->bad ? 0 : (size_t)n;
}

static struct str get_text(struct unpacking *u)
{
    int64_t len = get_number(u);
    if (u->bad || len == NO_TEXT) {
        return (struct str){NULL, 0};
    }
    if (len < 0 || (uint64_t)len > u->rest.len) {
        u->bad = true;
        return (struct str){NULL, 0};
    }
    struct str text = arena_dup(u->arena, str_n(u->rest.ptr, (size_t)len));
    u->rest = str_n(u->rest.ptr + len, u->rest.len - (size_t)len);
    return text;
}

static const char *get_word(struct unpacking *u)
{
    struct str text = get_text(u);
    return text.ptr == NULL ? "" : text.ptr;
}

static void get_records(struct unpacking *u, struct batch *b, bool labelled)
{
    struct record *records = arena_zalloc(u->arena, (b->record_count + 1) * sizeof(*records));
    struct record_label *labels = arena_zalloc(u->arena, (b->record_count + 1) * sizeof(*labels));
    for (size_t i = 0; i < b->record_count; i++) {
        int64_t partition = get_number(u);
        u->bad = u->bad || partition < 0 || partition >= PARTITION_MAX;
        records[i].partition = u->bad ? 0 : (uint32_t)partition;
        records[i].arrival_us = get_number(u);
        records[i].value = get_text(u);
        if (labelled) {
            labels[i].key = get_text(u);
            labels[i].kind = get_word(u);
        }
    }
    b->records = records;
    b->labels = labelled ? labels : NULL;
}

static void get_dead(struct unpacking *u, struct batch *b)
{
    struct dead_letter *dead = arena_zalloc(u->arena, (b->dead_count + 1) * sizeof(*dead));
    for (size_t i = 0; i < b->dead_count; i++) {
        dead[i].stage = get_word(u);
        dead[i].reason = get_word(u);
        dead[i].detail = get_text(u);
        dead[i].position = get_text(u);
        dead[i].arrival_us = get_number(u);
        dead[i].stream_us = get_number(u);
        dead[i].retried_us = TIME_NONE;
        dead[i].bytes = get_text(u);
    }
    b->dead = dead;
}

static void get_rest(struct unpacking *u, struct batch *b)
{
    struct note *notes = arena_zalloc(u->arena, (b->note_count + 1) * sizeof(*notes));
    struct tally_row *tally = arena_zalloc(u->arena, (b->tally_count + 1) * sizeof(*tally));
    for (size_t i = 0; i < b->note_count; i++) {
        notes[i].key = get_text(u);
        notes[i].value = get_text(u);
    }
    for (size_t i = 0; i < b->tally_count; i++) {
        int64_t by = get_number(u);
        tally[i].minute = get_number(u);
        int64_t bucket = get_number(u);
        tally[i].count = get_number(u);
        u->bad = u->bad || (by != TALLY_EVENT && by != TALLY_ARRIVAL) || bucket < 0 || bucket >= SOURCE_BUCKETS;
        tally[i].by = u->bad ? TALLY_EVENT : (enum tally_by)by;
        tally[i].bucket = u->bad ? 0 : (uint8_t)bucket;
    }
    b->notes = notes;
    b->tally = tally;
}

bool spool_unpack(struct str packed, struct arena *arena, struct batch *ret_batch)
{
    struct unpacking u = {.rest = packed, .arena = arena};
    struct batch b = {.record_count = get_count(&u, 24)};
    bool labelled = get_number(&u) != 0;
    b.dead_count = get_count(&u, 56);
    b.note_count = get_count(&u, 16);
    b.tally_count = get_count(&u, 32);
    if (!u.bad) {
        get_records(&u, &b, labelled);
        get_dead(&u, &b);
        get_rest(&u, &b);
    }
    *ret_batch = b;
    return !u.bad && u.rest.len == 0;
}

/* ---- the file */

static enum err_class load(struct kafka_spool *s, struct err *err)
{
    int64_t count = 0;
    enum err_class cls = db_open_writer(&s->db, s->path, &spool_kind, NULL, NULL, err);
    cls = cls ? cls : db_query_int(&s->db, "SELECT count(*) FROM batches", &count, err);
    cls = cls ? cls : db_query_int(&s->db, "SELECT coalesce(sum(length(blob)), 0) FROM batches", &s->bytes, err);
    s->count = (size_t)count;
    return cls;
}

enum err_class kafka_spool_open(const char *directory, int64_t max_bytes, struct kafka_spool **ret_spool,
                                struct err *err)
{
    struct kafka_spool *s = xcalloc(1, sizeof(*s));
    AUTO(buf) struct buf path = {0};
    buf_addf(&path, "%s/spool.db", directory);
    s->path = str_dup(buf_str(&path));
    s->max_bytes = max_bytes;
    enum err_class cls = access(s->path, F_OK) == 0 ? load(s, err) : ERR_NONE;
    if (cls != ERR_NONE) {
        kafka_spool_close(s);
        return cls;
    }
    *ret_spool = s;
    return ERR_NONE;
}

void kafka_spool_close(struct kafka_spool *s)
{
    if (s != NULL) {
        db_close(&s->db);
        free(s->path);
        free(s);
    }
}

size_t kafka_spool_count(const struct kafka_spool *s)
{
    return s->count;
}

/* Runs one statement in a transaction of its own. */
static enum err_class change(struct kafka_spool *s, sqlite3_stmt *statement, struct err *err)
{
    enum err_class cls = db_begin(&s->db, err);
    if (cls != ERR_NONE) {
        return cls;
    }
    cls = db_run(&s->db, statement, err);
    return db_end(&s->db, cls, err);
}

static enum err_class insert(struct kafka_spool *s, int64_t number, const char *owner, struct str blob, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    enum err_class cls = db_prepare(
        &s->db, "INSERT INTO batches (number, owner, checksum, blob) VALUES (?1, ?2, ?3, ?4)", &statement, err);
    if (cls == ERR_NONE) {
        sqlite3_bind_int64(statement, 1, number);
        db_bind_text(statement, 2, str_of(owner));
        sqlite3_bind_int64(statement, 3, (int64_t)hash_bytes(blob, sum_seed));
        db_bind_blob(statement, 4, blob);
        cls = change(s, statement, err);
    }
    sqlite3_finalize(statement);
    return cls;
}

enum err_class kafka_spool_put(struct kafka_spool *s, int64_t number, const char *owner, const struct batch *batch,
                               struct err *err)
{
    AUTO(buf) struct buf packed = {.max = PACKED_MAX}, blob = {.max = PACKED_MAX};
    spool_pack(batch, &packed);
    char *at = packed.overflow ? NULL : buf_reserve(&blob, ZSTD_compressBound(packed.len));
    size_t size = at == NULL ? 0 : ZSTD_compress(at, ZSTD_compressBound(packed.len), packed.ptr, packed.len, 1);
    if (at == NULL || ZSTD_isError(size)) {
        return err_set(err, ERR_FATAL, EXIT_INTERNAL, "a batch of %zu bytes is too large to wait", packed.len);
    }
    if (s->bytes + (int64_t)size > s->max_bytes) {
        return err_set(err, ERR_RETRY, EXIT_IOERR,
                       "%zu batches wait for the broker, which is all that may "
                       "(journal.spool_bytes)",
                       s->count);
    }
    if (s->db.reopen) { /* the disk was full */
        db_close(&s->db);
    }
    enum err_class cls = s->db.handle == NULL ? load(s, err) : ERR_NONE;
    cls = cls ? cls : insert(s, number, owner, str_n(at, size), err);
    if (cls == ERR_NONE) {
        s->count++;
        s->bytes += (int64_t)size;
    }
    return cls;
}

static bool unpack_blob(struct str blob, struct arena *arena, struct batch *ret_batch)
{
    unsigned long long size = ZSTD_getFrameContentSize(blob.ptr, blob.len);
    if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN || size > PACKED_MAX) {
        return false;
    }
    char *raw = xmalloc((size_t)size + 1);
    size_t n = ZSTD_decompress(raw, (size_t)size, blob.ptr, blob.len);
    bool good = !ZSTD_isError(n) && n == size && spool_unpack(str_n(raw, n), arena, ret_batch);
    free(raw);
    return good;
}

enum err_class kafka_spool_first(struct kafka_spool *s, struct arena *arena, struct spooled *ret, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    bool row = false;
    enum err_class cls = db_prepare(&s->db, "SELECT number, owner, checksum, blob FROM batches ORDER BY number LIMIT 1",
                                    &statement, err);
    cls = cls ? cls : db_step(&s->db, statement, &row, err);
    if (cls == ERR_NONE) {
        struct str blob = row ? db_column(statement, 3) : (struct str){0};
        bool good = row && (uint64_t)sqlite3_column_int64(statement, 2) == hash_bytes(blob, sum_seed);
        s->first_bytes = (int64_t)blob.len;
        ret->number = sqlite3_column_int64(statement, 0);
        ret->owner = arena_dup(arena, db_column(statement, 1)).ptr;
        if (!good || !unpack_blob(blob, arena, &ret->batch)) {
            cls = err_set(err, ERR_FATAL, EXIT_DATA,
                          "\"%s\" is damaged; what is in it comes from the stream again: "
                          "move it away",
                          s->path);
        }
    }
    sqlite3_finalize(statement);
    return cls;
}

static enum err_class remove_rows(struct kafka_spool *s, const char *sql, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    enum err_class cls = db_prepare(&s->db, sql, &statement, err);
    cls = cls ? cls : change(s, statement, err);
    sqlite3_finalize(statement);
    return cls;
}

enum err_class kafka_spool_drop(struct kafka_spool *s, struct err *err)
{
    enum err_class cls = remove_rows(s, "DELETE FROM batches WHERE number = (SELECT min(number) FROM batches)", err);
    if (cls == ERR_NONE && s->count > 0) {
        s->count--;
        s->bytes -= s->first_bytes;
    }
    return cls;
}

enum err_class kafka_spool_discard(struct kafka_spool *s, struct err *err)
{
    enum err_class cls = s->count > 0 ? remove_rows(s, "DELETE FROM batches", err) : ERR_NONE;
    s->count = cls == ERR_NONE ? 0 : s->count;
    s->bytes = cls == ERR_NONE ? 0 : s->bytes;
    return cls;
}
