/* SPDX-License-Identifier: MIT
 *
 * input.h - bytes and lines of a file or of standard input: plain, gzip (also several members one after the other) or
 * zstd (also several frames), told apart by their first bytes, not by the name. Streaming: memory is bounded by the
 * longest line asked for plus 256 KiB (zstd: its window besides, at most 128 MiB). One thread per input.
 */
#ifndef WIKITALLY_BASE_INPUT_H
#define WIKITALLY_BASE_INPUT_H

#include "base/err.h"
#include "base/str.h"

struct input;

/* path "-": standard input (not closed by input_close). Errors: EXIT_NOINPUT (not there, a directory), EXIT_NOPERM,
 * EXIT_IOERR. An empty file is a plain one. */
enum err_class input_open(const char *path, struct input **ret_input, struct err *err);
/* The same for what may have nothing for a while (a pipe, a terminal): idle() is called every INPUT_IDLE_MS while it
 * has not; false: give up, and the reading call returns ERR_RETRY. Also while opening, which waits for the first bytes,
 * and of a named pipe for its first writer. */
enum { INPUT_IDLE_MS = 200 };
struct input_wait {
    bool (*idle)(void *ctx);
    void *ctx;
};
enum err_class input_open_waiting(const char *path, const struct input_wait *wait, struct input **ret_input,
                                  struct err *err);
/* Reads from an open descriptor (pipe, socket); takes it. `name` is for messages. */
enum err_class input_open_fd(int fd, const char *name, struct input **ret_input, struct err *err);
void input_close(struct input *in); /* NULL is fine */

/* Some bytes, at least one; *ret_bytes empty: the end. Borrowed until the next call. Compressed data that is cut off or
 * damaged: ERR_REJECT with EXIT_DATA, the text names the file and the byte; what came before it was handed out. */
enum err_class input_bytes(struct input *in, struct str *ret_bytes, struct err *err);

/* The next line without its LF (a CR before it is kept). *ret_more false: the end; bytes after the last LF are a line
 * too, input_line_ended() tells the two apart. Borrowed until the next call. A line longer than max_bytes:
 * ERR_REJECT/EXIT_DATA naming the line; the next call goes on behind it, so that a caller may skip it. */
enum err_class input_line(struct input *in, size_t max_bytes, struct str *ret_line, bool *ret_more, struct err *err);
bool input_line_ended(const struct input *in); /* did the last line end with LF? */

int64_t input_line_number(const struct input *in); /* of the line given last, from 1 */
int64_t input_offset(const struct input *in);      /* decompressed bytes handed out so far */
int64_t input_raw_offset(const struct input *in);  /* bytes of the file itself read so far: for progress */
int64_t input_raw_size(const struct input *in);    /* of the file, or -1 where it has no size */
const char *input_name(const struct input *in);    /* the path; "standard input" for "-" */
const char *input_kind(const struct input *in);    /* "plain", "gzip", "zstd" */
/* Back to the first byte (for --loop). ERR_REJECT if it is no regular file. */
enum err_class input_rewind(struct input *in, struct err *err);

#endif
