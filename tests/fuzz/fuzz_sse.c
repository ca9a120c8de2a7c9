/* SPDX-License-Identifier: MIT
 *
 * fuzz_sse.c - any bytes as an event stream. The first two bytes say how the rest is cut into pieces and how long a
 * line may be; however that is, the events must be those of the uncut text, and memory must stay within the maximum.
 */
#include "base/buf.h"
#include "base/err.h"
#include "fuzz.h"
#include "source/sse.h"

#include <stdlib.h>

static void parse(struct str text, size_t step, size_t max, struct buf *out)
{
    struct sse s;
    struct sse_event event;
    enum sse_result result;
    sse_init(&s, max, max);
    for (size_t from = 0; from < text.len; from += step) {
        size_t n = text.len - from < step ? text.len - from : step;
        char *piece = xmalloc(n); /* of its own, so that reading beyond it is seen */
        memcpy(piece, text.ptr + from, n);
        struct str rest = str_n(piece, n);
        while ((result = sse_next(&s, &rest, &event)) != SSE_MORE) {
            ensure(event.data.len <= max);
            buf_addc(out, result == SSE_EVENT ? 'e' : 'c');
            buf_addc(out, event.truncated ? '!' : '.');
            buf_add(out, event.type);
            buf_addc(out, '|');
            buf_add(out, event.data);
            buf_addc(out, '|');
            buf_add(out, buf_str(&s.last_id));
        }
        ensure(rest.len == 0);
        ensure(s.line.len <= max && s.data.len <= max + 1 && s.last_id.len <= max);
        free(piece);
    }
    buf_addf(out, "retry %lld oversize %lld", (long long)s.retry_ms, (long long)s.oversize_lines);
    sse_fini(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    size_t step = 1 + data[0] % 61, max = data[1] & 1 ? 1 << 16 : 8 + data[1];
    struct str text = str_n((const char *)data + 2, size - 2);
    AUTO(buf) struct buf whole = {.max = (size_t)1 << 30}, cut = {.max = (size_t)1 << 30};
    parse(text, text.len ? text.len : 1, max, &whole);
    parse(text, step, max, &cut);
    ensure(str_eq(buf_str(&whole), buf_str(&cut)));
    return 0;
}
