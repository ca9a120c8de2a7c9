/* SPDX-License-Identifier: MIT
 *
 * The state chip's words, as ux.md section 3 has them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "serve/chip.h"

#include <stdio.h>
#include <string.h>

#define NOON (INT64_C(1772366645) * US_PER_SECOND) /* 2026-03-01T12:04:05Z */

static struct chip_input live_input(void)
{
    struct chip_input in = {.wall_us = NOON, .mono_us = 500 * US_PER_SECOND, .delay_us = 120 * US_PER_SECOND};
    in.status.kind = SOURCE_KIND_LIVE;
    in.status.connected = true;
    in.status.last_event_mono_us = in.mono_us - US_PER_SECOND;
    in.status.last_event_wall_us = NOON - US_PER_SECOND;
    in.status.watermark_us = NOON - 121 * US_PER_SECOND;
    in.status.retry_at_mono_us = TIME_NONE;
    in.edge_us = NOON - 800 * US_PER_MS;
    return in;
}

static void expect(const struct chip *c, const struct chip_input *in, enum chip_state state, const char *text)
{
    AUTO(buf) struct buf out = {0};
    assert_int_equal(chip_judge(c, in), state);
    chip_text(c, in, &out);
    assert_string_equal(out.ptr, text);
}

static void live_words(void **state)
{
    (void)state;
    struct chip c = {0};
    struct chip_input in = live_input();
    expect(&c, &in, CHIP_LIVE, "Live \302\267 0.8 s behind");
    in.status.watermark_us = NOON - 179 * US_PER_SECOND;
    expect(&c, &in, CHIP_LIVE, "Live \302\267 0.8 s behind");
    in.status.watermark_us = TIME_NONE;
    expect(&c, &in, CHIP_LIVE, "Live \302\267 0.8 s behind");
}

static void catching_up_words(void **state)
{
    (void)state;
    struct chip c = {0};
    struct chip_input in = live_input();
    in.status.watermark_us = NOON - 180 * US_PER_SECOND;
    expect(&c, &in, CHIP_CATCHING_UP, "Catching up \302\267 60 s behind, not getting closer yet");
    for (int i = 20; i >= 0; i--) { /* falls by 6 s a second, to 12 minutes */
        in.status.watermark_us = NOON - (120 + 720 + i * 6) * US_PER_SECOND;
        chip_sample(&c, &in);
    }
    expect(&c, &in, CHIP_CATCHING_UP, "Catching up \302\267 12 min behind, ~2 min left");
}

static void stale_words(void **state)
{
    (void)state;
    struct chip c = {0};
    struct chip_input in = live_input();
    in.status.last_event_mono_us = in.mono_us - 9 * US_PER_SECOND;
    assert_int_equal(chip_judge(&c, &in), CHIP_LIVE);
    in.status.last_event_mono_us = in.mono_us - 43 * US_PER_SECOND;
    expect(&c, &in, CHIP_STALE, "No event for 43 s - source connected, waiting");
    in.status.connected = false;
    snprintf(in.status.problem, sizeof(in.status.problem), "connection refused");
    in.status.retry_at_mono_us = in.mono_us + 4 * US_PER_SECOND;
    expect(&c, &in, CHIP_STALE, "No event for 43 s - source not connected: connection refused, retrying in 4 s");
    in.status.last_event_mono_us = TIME_NONE;
    in.status.problem[0] = 0;
    in.status.retry_at_mono_us = TIME_NONE;
    expect(&c, &in, CHIP_STALE, "No event yet - source not connected, retrying");
}

static void recorded_and_made_up(void **state)
{
    (void)state;
    struct chip c = {0};
    struct chip_input in = live_input();
    in.status.kind = SOURCE_KIND_REPLAY;
    in.edge_us = NOON;
    expect(&c, &in, CHIP_REPLAY, "Replay \302\267 2026-03-01 12:04:05 UTC (event time)");
    in.status.ended = true;
    expect(&c, &in, CHIP_REPLAY, "Replay ended \302\267 2026-03-01 12:04:05 UTC (event time)");
    in.status.kind = SOURCE_KIND_SYNTHETIC;
    expect(&c, &in, CHIP_SYNTHETIC, "Test data");
}

static void json_escapes_what_came_from_outside(void **state)
{
    (void)state;
    struct chip c = {0};
    struct chip_input in = live_input();
    AUTO(buf) struct buf out = {0};
    snprintf(in.status.source_name, sizeof(in.status.source_name), "</script>\"\n");
    chip_write(&c, &in, &out);
    assert_null(strstr(out.ptr, "</script>"));
    assert_null(strchr(out.ptr, '\n'));
    assert_non_null(strstr(out.ptr, "\"lag_ms\":\"1000\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(live_words),
        cmocka_unit_test(catching_up_words),
        cmocka_unit_test(stale_words),
        cmocka_unit_test(recorded_and_made_up),
        cmocka_unit_test(json_escapes_what_came_from_outside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
