/* SPDX-License-Identifier: MIT
 *
 * input.c - file bytes -> (decompressor) -> bytes -> lines. Each stage has one block of its own; a line that lies whole
 * in the block is handed out from there, only one that goes across blocks is put together in a buffer.
 */
#include "base/input.h"

#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

enum { RAW_BLOCK = 64 << 10, OUT_BLOCK = 128 << 10, WINDOW_LOG_MAX = 27 };
enum kind { KIND_UNKNOWN, KIND_PLAIN, KIND_GZIP, KIND_ZSTD };

struct input {
    int fd;
    bool owns_fd;
    char *name;
    enum kind kind;
    struct input_wait wait;
    bool raw_ended; /* read(2) said so */

    unsigned char raw[RAW_BLOCK];
    size_t raw_at, raw_len; /* what of raw is not used yet */
    int64_t raw_read;       /* bytes read from the file */

    z_stream gzip;
    ZSTD_DStream *zstd;
    bool in_frame;      /* between the first byte of a member or frame and its end */
    bool was_full;      /* the last step filled all of out */
    struct err failure; /* of the decompressor; said again at each call, after what came before it is handed out */

    unsigned char *out; /* decompressed; NULL for plain, whose bytes stay in raw */
    struct str block;   /* what was decompressed (or read) and not handed out yet */
    int64_t offset;

    struct buf line; /* a line across blocks */
    int64_t line_number;
    bool line_ended;
};

/* ---- file bytes */

/* False: the caller gave up. A file is always ready. */
static bool wait_for_bytes(const struct input *in)
{
    struct pollfd p = {.fd = in->fd, .events = POLLIN};
    int ready = in->wait.idle ? poll(&p, 1, INPUT_IDLE_MS) : 1;
    while (ready == 0 || (ready < 0 && errno == EINTR)) {
        if (!in->wait.idle(in->wait.ctx)) {
            return false;
        }
        ready = poll(&p, 1, INPUT_IDLE_MS);
    }
    return true;
}

/* Reads once more behind what is left of raw. */
static enum err_class raw_fill(struct input *in, struct err *err)
{
    memmove(in->raw, in->raw + in->raw_at, in->raw_len);
    in->raw_at = 0;
    if (!wait_for_bytes(in)) {
        return err_set(err, ERR_RETRY, 0, "stopped while \"%s\" had nothing", in->name);
    }
    ssize_t got;
    do {
        got = read(in->fd, in->raw + in->raw_len, sizeof in->raw - in->raw_len);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return err_errno(err, ERR_FATAL, errno == EISDIR ? EXIT_NOINPUT : EXIT_IOERR, errno,
                         "cannot read \"%s\" at byte %lld", in->name, (long long)in->raw_read);
    }
    in->raw_len += (size_t)got;
    in->raw_read += got;
    in->raw_ended = got == 0;
    return ERR_NONE;
}

static enum kind kind_of(const unsigned char *p, size_t len)
{
    if (len >= 2 && p[0] == 0x1f && p[1] == 0x8b) {
        return KIND_GZIP;
    }
    bool frame = len >= 4 && p[0] == 0x28 && p[1] == 0xb5 && p[2] == 0x2f && p[3] == 0xfd;
    bool skippable = len >= 4 && (p[0] & 0xf0) == 0x50 && p[1] == 0x2a && p[2] == 0x4d && p[3] == 0x18;
    return frame || skippable ? KIND_ZSTD : KIND_PLAIN;
}

/* What is it? A pipe may give single bytes, so this waits until it can be told or the end is there. */
static enum err_class detect(struct input *in, struct err *err)
{
    while (in->raw_len < 4 && !in->raw_ended) {
        enum err_class cls = raw_fill(in, err);
        if (cls) {
            return cls;
        }
        if (in->raw_len > 0 &&
            !memchr("\x1f\x28\x50\x51\x52\x53\x54\x55\x56\x57\x58\x59\x5a\x5b\x5c\x5d\x5e\x5f", in->raw[0], 18)) {
            break;
        }
    }
    in->kind = kind_of(in->raw, in->raw_len);
    if (in->kind == KIND_GZIP && inflateInit2(&in->gzip, 16 + MAX_WBITS) != Z_OK) {
        in->kind = KIND_UNKNOWN;
        return err_set(err, ERR_FATAL, EXIT_OSERR, "no memory to unpack \"%s\"", in->name);
    }
    if (in->kind == KIND_ZSTD) {
        in->zstd = ZSTD_createDStream();
        if (!in->zstd || ZSTD_isError(ZSTD_DCtx_setParameter(in->zstd, ZSTD_d_windowLogMax, WINDOW_LOG_MAX))) {
            return err_set(err, ERR_FATAL, EXIT_OSERR, "no memory to unpack \"%s\"", in->name);
        }
    }
    if (in->kind != KIND_PLAIN && !in->out) {
        in->out = xmalloc(OUT_BLOCK);
    }
    return ERR_NONE;
}

/* ---- decompressors: one step takes from raw and fills out */

static enum err_class damaged(struct input *in, const char *why, struct err *err)
{
    return err_set(err, ERR_REJECT, EXIT_DATA, "\"%s\": the %s data is damaged before or at byte %lld: %s", in->name,
                   input_kind(in), (long long)(in->raw_read - (int64_t)in->raw_len), why);
}

static enum err_class gzip_step(struct input *in, size_t *ret_made, struct err *err)
{
    if (!in->in_frame) {
        if (in->raw_len >= 2 && kind_of(in->raw + in->raw_at, in->raw_len) != KIND_GZIP) {
            return damaged(in, "what follows is no gzip member", err);
        }
        ensure(inflateReset(&in->gzip) == Z_OK);
        in->in_frame = true;
    }
    in->gzip.next_in = in->raw + in->raw_at;
    in->gzip.avail_in = (uInt)in->raw_len;
    in->gzip.next_out = in->out;
    in->gzip.avail_out = OUT_BLOCK;
    int result = inflate(&in->gzip, Z_NO_FLUSH);
    size_t used = in->raw_len - in->gzip.avail_in;
    in->raw_at += used;
    in->raw_len -= used;
    *ret_made = OUT_BLOCK - in->gzip.avail_out;
    if (result == Z_STREAM_END) {
        in->in_frame = false;
    } else if (result == Z_MEM_ERROR) {
        return err_set(err, ERR_FATAL, EXIT_OSERR, "no memory to unpack \"%s\"", in->name);
    } else if (result != Z_OK && result != Z_BUF_ERROR) {
        return damaged(in, in->gzip.msg ? in->gzip.msg : "not gzip", err);
    }
    return ERR_NONE;
}

static enum err_class zstd_step(struct input *in, size_t *ret_made, struct err *err)
{
    ZSTD_inBuffer from = {.src = in->raw + in->raw_at, .size = in->raw_len};
    ZSTD_outBuffer to = {.dst = in->out, .size = OUT_BLOCK};
    size_t result = ZSTD_decompressStream(in->zstd, &to, &from);
    in->raw_at += from.pos;
    in->raw_len -= from.pos;
    *ret_made = to.pos;
    if (ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation) {
        return err_set(err, ERR_FATAL, EXIT_OSERR, "no memory to unpack \"%s\"", in->name);
    }
    if (ZSTD_isError(result)) {
        return damaged(in, ZSTD_getErrorName(result), err);
    }
    in->in_frame = result != 0;
    return ERR_NONE;
}

/* Steps until there are bytes; *ret_made 0: the end. What came before an error is handed out first. */
static enum err_class decompress(struct input *in, size_t *ret_made, struct err *err)
{
    *ret_made = 0;
    while (*ret_made == 0) {
        bool held_back = in->was_full; /* output that did not fit comes without new input */
        if (in->raw_len < 2 && !in->raw_ended && !held_back) {
            enum err_class cls = raw_fill(in, err);
            if (cls) {
                return cls;
            }
        }
        size_t before = in->raw_len;
        if (before == 0 && in->raw_ended && !in->in_frame) {
            return ERR_NONE;
        }
        enum err_class cls = in->kind == KIND_GZIP ? gzip_step(in, ret_made, err) : zstd_step(in, ret_made, err);
        if (cls) {
            return cls;
        }
        in->was_full = *ret_made == OUT_BLOCK;
        if (*ret_made == 0 && in->raw_len == before && in->raw_ended) {
            return err_set(err, ERR_REJECT, EXIT_DATA, "\"%s\": the %s data is cut off at byte %lld", in->name,
                           input_kind(in), (long long)in->raw_read);
        }
    }
    return ERR_NONE;
}

/* ---- blocks */

static enum err_class block_plain(struct input *in, struct err *err)
{
    if (in->raw_len == 0 && !in->raw_ended) {
        enum err_class cls = raw_fill(in, err);
        if (cls) {
            return cls;
        }
    }
    in->block = str_n((const char *)in->raw + in->raw_at, in->raw_len);
    in->raw_at = in->raw_len = 0;
    return ERR_NONE;
}

/* Makes sure that block holds something, unless the end is there. */
static enum err_class block_fill(struct input *in, struct err *err)
{
    if (in->block.len > 0) {
        return ERR_NONE;
    }
    if (in->failure.cls) {
        if (err) {
            *err = in->failure;
        }
        return in->failure.cls;
    }
    if (in->kind == KIND_PLAIN) {
        return block_plain(in, err);
    }
    size_t made;
    enum err_class cls = decompress(in, &made, &in->failure);
    in->block = str_n((const char *)in->out, made);
    if (cls && made == 0 && err) {
        *err = in->failure;
    }
    return made ? ERR_NONE : cls;
}

static void block_take(struct input *in, size_t count)
{
    in->block = str_n(in->block.ptr + count, in->block.len - count);
    in->offset += (int64_t)count;
}

enum err_class input_bytes(struct input *in, struct str *ret_bytes, struct err *err)
{
    enum err_class cls = block_fill(in, err);
    if (!cls) {
        *ret_bytes = in->block;
        block_take(in, in->block.len);
    }
    return cls;
}

/* ---- lines */

/* Moves what belongs to the line from block to in->line, up to LF or the end of the block. -> was LF there? */
static bool line_gather(struct input *in)
{
    const char *lf = memchr(in->block.ptr, '\n', in->block.len);
    size_t len = lf ? (size_t)(lf - in->block.ptr) : in->block.len;
    buf_add(&in->line, str_n(in->block.ptr, len));
    block_take(in, len + (lf != NULL));
    return lf != NULL;
}

/* A line that is not whole in the block. */
static enum err_class line_across(struct input *in, size_t max_bytes, struct str *ret_line, struct err *err)
{
    buf_clear(&in->line);
    in->line.max = max_bytes;
    in->line_ended = false;
    enum err_class cls = ERR_NONE;
    while (!in->line_ended && !cls && in->block.len > 0) {
        in->line_ended = line_gather(in);
        cls = in->line_ended ? ERR_NONE : block_fill(in, err);
    }
    in->line_number++;
    if (cls) {
        return cls;
    }
    if (in->line.overflow) {
        return err_set(err, ERR_REJECT, EXIT_DATA, "\"%s\": line %lld is longer than %zu bytes", in->name,
                       (long long)in->line_number, max_bytes);
    }
    *ret_line = buf_str(&in->line);
    return ERR_NONE;
}

enum err_class input_line(struct input *in, size_t max_bytes, struct str *ret_line, bool *ret_more, struct err *err)
{
    enum err_class cls = block_fill(in, err);
    if (cls) {
        return cls;
    }
    if (in->block.len == 0) {
        *ret_more = false;
        return ERR_NONE;
    }
    const char *lf = memchr(in->block.ptr, '\n', in->block.len);
    size_t len = lf ? (size_t)(lf - in->block.ptr) : 0;
    if (lf && len <= max_bytes) {
        *ret_line = str_n(in->block.ptr, len);
        block_take(in, len + 1);
        in->line_ended = true;
        in->line_number++;
    } else {
        cls = line_across(in, max_bytes, ret_line, err);
    }
    if (!cls) {
        *ret_more = true;
    }
    return cls;
}

/* ---- open and close */

static struct input *input_new(int fd, bool owns_fd, const char *name)
{
    struct input *in = xcalloc(1, sizeof *in);
    in->fd = fd;
    in->owns_fd = owns_fd;
    in->name = str_dup(str_of(name));
    return in;
}

static enum err_class start(struct input *in, struct input **ret_input, struct err *err)
{
    enum err_class cls = detect(in, err);
    if (cls) {
        input_close(in);
        return cls;
    }
    *ret_input = in;
    return ERR_NONE;
}

enum err_class input_open_fd(int fd, const char *name, struct input **ret_input, struct err *err)
{
    return start(input_new(fd, true, name), ret_input, err);
}

/* A named pipe that nobody writes to would block in open(2), where no stop is heard. Opened without waiting it is not
 * readable until a writer came (poll: neither POLLIN nor, before the first one, POLLHUP), so idle() is called. */
static int open_path(const char *path, bool waiting)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | (waiting ? O_NONBLOCK : 0));
    if (fd >= 0 && waiting) {
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    }
    return fd;
}

enum err_class input_open_waiting(const char *path, const struct input_wait *wait, struct input **ret_input,
                                  struct err *err)
{
    struct input *in;
    if (strcmp(path, "-") == 0) {
        in = input_new(STDIN_FILENO, false, "standard input");
    } else {
        int fd = open_path(path, wait->idle != NULL);
        if (fd < 0) {
            bool missing = errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == ENAMETOOLONG;
            return err_errno(err, ERR_FATAL, missing ? EXIT_NOINPUT : 0, errno, "cannot open \"%s\"", path);
        }
        in = input_new(fd, true, path);
    }
    in->wait = *wait;
    return start(in, ret_input, err);
}

enum err_class input_open(const char *path, struct input **ret_input, struct err *err)
{
    return input_open_waiting(path, &(struct input_wait){0}, ret_input, err);
}

static void unpackers_end(struct input *in)
{
    if (in->kind == KIND_GZIP) {
        inflateEnd(&in->gzip);
    }
    ZSTD_freeDStream(TAKE(in->zstd));
    in->kind = KIND_UNKNOWN;
}

void input_close(struct input *in)
{
    if (!in) {
        return;
    }
    unpackers_end(in);
    if (in->owns_fd) {
        close(in->fd);
    }
    free(in->out);
    free(in->name);
    buf_fini(&in->line);
    free(in);
}

enum err_class input_rewind(struct input *in, struct err *err)
{
    if (lseek(in->fd, 0, SEEK_SET) != 0) {
        return err_errno(err, ERR_REJECT, EXIT_USAGE, errno, "cannot go back to the beginning of \"%s\"", in->name);
    }
    unpackers_end(in);
    in->gzip = (z_stream){0};
    in->raw_ended = in->in_frame = in->was_full = in->line_ended = false;
    in->raw_at = in->raw_len = 0;
    in->raw_read = in->offset = in->line_number = 0;
    in->block = str_n(NULL, 0);
    in->failure = (struct err){0};
    return detect(in, err);
}

bool input_line_ended(const struct input *in)
{
    return in->line_ended;
}

int64_t input_line_number(const struct input *in)
{
    return in->line_number;
}

int64_t input_offset(const struct input *in)
{
    return in->offset;
}

int64_t input_raw_offset(const struct input *in)
{
    return in->raw_read;
}

int64_t input_raw_size(const struct input *in)
{
    struct stat status;
    return fstat(in->fd, &status) == 0 && S_ISREG(status.st_mode) ? (int64_t)status.st_size : -1;
}

const char *input_name(const struct input *in)
{
    return in->name;
}

const char *input_kind(const struct input *in)
{
    return in->kind == KIND_GZIP ? "gzip" : in->kind == KIND_ZSTD ? "zstd" : "plain";
}
