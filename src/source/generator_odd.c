/* SPDX-License-Identifier: MIT
 *
 * generator_odd.c - what is no change: canaries, which copy next to nothing of an event, and poison, which cannot be
 * decoded for each of the reasons of oracle.md section 2 that fit in a small record.
 */
#include "source/generator_event.h"

#define ADD(out, literal) buf_add((out), STR(literal))

void gen_write_canary(struct buf *out, struct rng *rng, const struct gen_event *e, const struct gen_place *place)
{
    ADD(out, "{\"$schema\":\"/mediawiki/recentchange/1.0.1\",\"meta\":{\"request_id\":\"");
    gen_add_uuid(out, rng);
    ADD(out, "\",\"id\":\"");
    gen_add_uuid(out, rng);
    ADD(out, "\",\"domain\":\"canary\",\"stream\":\"mediawiki.recentchange\",\"dt\":\"");
    gen_add_dt(out, e->dt_ms, false);
    ADD(out, "\",\"topic\":\"");
    buf_addz(out, place->topic);
    ADD(out, "\",\"partition\":0,\"offset\":");
    buf_add_int(out, place->offset);
    ADD(out, "}");
    if (e->style & 1) { /* some repeat the schema's example */
        ADD(out,
            ",\"type\":\"edit\",\"title\":\"Example\",\"timestamp\":1,\"user\":\"Example\",\"wiki\":\"examplewiki\"");
    }
    ADD(out, "}");
}

void gen_write_poison(struct buf *out, struct rng *rng, int64_t dt_ms)
{
    uint64_t kind = rng_below(rng, 10);
    if (kind == 9) {
        ADD(out, "<html><body>502 Bad Gateway ");
        gen_add_uuid(out, rng);
        ADD(out, "</body></html>");
        return;
    }
    if (kind == 8) {
        for (int i = 0; i < 100; i++) {
            buf_addc(out, '[');
        }
        buf_addc(out, '"');
        gen_add_uuid(out, rng);
        buf_addc(out, '"');
        for (int i = 0; i < 100; i++) {
            buf_addc(out, ']');
        }
        return;
    }
    if (kind == 7) {
        ADD(out, "[\"");
        gen_add_uuid(out, rng);
        ADD(out, "\"]");
        return;
    }
    ADD(out, "{\"meta\":{\"id\":\"");
    gen_add_uuid(out, rng);
    ADD(out, "\",\"domain\":\"en.wikipedia.org\"");
    if (kind != 6) { /* 6: no time at all */
        ADD(out, ",\"dt\":\"");
        gen_add_dt(out, dt_ms, false);
        ADD(out, "\"");
    }
    ADD(out, "},\"type\":\"edit\",\"wiki\":\"enwiki\",\"title\":\"Caf");
    static const char *const middle[] = {"\xE9", "\\ud800", "\x01", "\xC3\xA9", "\xC3\xA9", "\xC3\xA9", "\xC3\xA9"};
    buf_addz(out, middle[kind]);   /* 0: Latin-1, 1: half a pair, 2: a raw control character */
    buf_addz(out, kind == 3   ? "" /* truncated frame */
                  : kind == 4 ? "\",\"timestamp\":\"yesterday\"}"
                  : kind == 5 ? "\"}x"
                              : "\"}");
}
