/* SPDX-License-Identifier: MIT
 *
 * answer.c - see answer.h.
 */
#include "serve/answer.h"

#include "base/diag.h"
#include "base/hash.h"

#include <zlib.h>

enum { COMPRESS_FROM_BYTES = 1024, COMPRESS_LEVEL = 5 };

void answer_fini(struct answer *a)
{
    buf_fini(&a->body);
    memset(a, 0, sizeof(*a));
}

static void problem_write(struct answer *a, int status, const char *title, struct str detail)
{
    struct stream_client *stream = a->stream;
    answer_fini(a);
    a->stream = stream;
    a->status = status;
    a->type = "application/problem+json";
    uint64_t id = hash_random_seed();
    buf_addf(&a->body, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"detail\":", title, status);
    buf_add_json_html(&a->body, detail);
    buf_addf(&a->body, ",\"instance\":\"urn:wikitally:%016llx\"}\n", (unsigned long long)id);
    if (status >= 500 && status != 503)
        diag_error("serve", "answered %d, %016llx: %.*s", status, (unsigned long long)id, STR_ARG(detail));
}

void answer_problem(struct answer *a, int status, const char *title, const char *format, ...)
{
    AUTO(buf) struct buf detail = {.max = 2048};
    va_list args;
    va_start(args, format);
    buf_vaddf(&detail, format, args);
    va_end(args);
    problem_write(a, status, title, buf_str(&detail));
}

void answer_error(struct answer *a, const struct err *err)
{
    if (err->cls == ERR_RETRY || err->code == EXIT_NOINPUT) {
        problem_write(a, 503, "Not available yet", str_of(err->text));
        a->retry_after_s = 2;
    } else if (err->cls == ERR_REJECT) {
        problem_write(a, 400, "Bad request", str_of(err->text));
    } else {
        problem_write(a, 500, "Cannot read what is stored", str_of(err->text));
    }
}

void answer_compress(struct answer *a, const struct request *q)
{
    a->varies = true;
    if (!q->accepts_gzip || a->encoding || a->body.len < COMPRESS_FROM_BYTES)
        return;
    z_stream z = {0};
    if (deflateInit2(&z, COMPRESS_LEVEL, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return;
    struct buf out = {0};
    size_t bound = deflateBound(&z, (uLong)a->body.len);
    char *room = buf_reserve(&out, bound);
    z.next_in = (Bytef *)a->body.ptr;
    z.avail_in = (uInt)a->body.len;
    z.next_out = (Bytef *)room;
    z.avail_out = (uInt)bound;
    if (room && deflate(&z, Z_FINISH) == Z_STREAM_END) {
        out.len = bound - z.avail_out;
        buf_fini(&a->body);
        a->body = out;
        a->encoding = "gzip";
    } else {
        buf_fini(&out);
    }
    deflateEnd(&z);
}
