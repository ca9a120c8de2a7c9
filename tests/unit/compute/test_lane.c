/* SPDX-License-Identifier: MIT
 *
 * test_lane.c - stream time, lateness, windows, rows, recovery of one lane, worked out by hand. The same against the
 * oracle and the recovery model on random input: tests/sim.
 */
#include "kit.h"

enum { T = 43200 }; /* 12:00 */

static int64_t at(int minute)
{
    return T + 60 * minute;
}

/* ---- R5 */

static void R5_stream_time_is_the_maximum(void **state)
{
    (void)state;
    struct kit k;
    kit_options(&k);
    kit_start(&k);
    assert_true(kit_state(&k).stream_us == TIME_NONE);
    kit_edit(&k, at(10), "a");
    kit_edit(&k, at(5), "a"); /* late, moves nothing back */
    assert_int_equal(kit_state(&k).stream_us, at(10) * S);
    assert_int_equal(kit_state(&k).watermark_us, at(8) * S);
    kit_end(&k);
}

static void future_case(int64_t ahead_s)
{
    struct kit k;
    kit_options(&k);
    kit_start(&k);
    kit_edit(&k, at(0), "honest");
    kit_edit_arrives(&k, at(0) + ahead_s, "future", at(0) + 1);
    for (int i = 1; i <= 10; i++) {
        kit_edit(&k, at(0) + i, "honest");
    }
    assert_int_equal(kit_state(&k).stream_us, (at(0) + 10) * S);
    assert_int_equal(kit_state(&k).open_windows, 1); /* and none is held open until that day */
    assert_true(kit_commit(&k));
    assert_int_equal(kit_count(&k, at(0), "[\"honest\"]"), 11); /* none of them late */
    assert_int_equal(kit_booked(&k, TASK_FUTURE), 1);
    assert_int_equal(kit_booked(&k, TASK_COUNTED), 11);
    assert_int_equal(kit_booked(&k, TASK_LATE), 0);
    kit_end(&k);
}

static void R5_future_a_day_ahead(void **state)
{
    (void)state;
    future_case(86400);
}

static void R5_future_a_year_ahead(void **state)
{
    (void)state;
    future_case(366 * 86400);
}

static void R5_future_is_after_the_earlier_of_arrival_and_dt(void **state)
{
    (void)state;
    struct kit k;
    kit_options(&k);
    kit_start(&k);
    /* exactly the skew is not yet the future; one microsecond more is */
    kit_feed(&k, 1000 * S, "{\"timestamp\":1060,\"user\":\"a\"}");
    assert_int_equal(kit_state(&k).stream_us, 1060 * S);
    kit_feed(&k, 1000 * S, "{\"timestamp\":\"1970-01-01T00:17:40.000001Z\",\"user\":\"a\"}");
    assert_int_equal(kit_state(&k).stream_us, 1060 * S);
    /* read long after it was sent: its arrival is late, its dt tells */
    kit_feed(&k, 90000 * S, "{\"timestamp\":2000,\"user\":\"a\",\"meta\":{\"dt\":\"1970-01-01T00:20:00Z\"}}");
    assert_int_equal(kit_state(&k).stream_us, 1060 * S);
    /* neither is known: never from the future */
    kit_feed(&k, TIME_NONE, "{\"timestamp\":5000,\"user\":\"a\"}");
    assert_int_equal(kit_state(&k).stream_us, 5000 * S);
    kit_end(&k);
}

static void R5_canaries_speak_for_their_topic(void **state)
{
    (void)state;
    struct kit k;
    kit_options(&k);
    kit_start(&k);
    kit_feed(&k, 100 * S, "{\"meta\":{\"domain\":\"canary\",\"dt\":90,\"topic\":\"eqiad\"}}");
    assert_true(kit_state(&k).stream_us == TIME_NONE); /* before the first change */
    kit_feed(&k, 100 * S, "{\"timestamp\":100,\"user\":\"a\",\"meta\":{\"topic\":\"eqiad\"}}");
    kit_feed(&k, 200 * S, "{\"meta\":{\"domain\":\"canary\",\"dt\":200,\"topic\":\"codfw\"}}");
    assert_int_equal(kit_state(&k).stream_us, 100 * S); /* the other topic */
    kit_feed(&k, 300 * S, "{\"meta\":{\"domain\":\"canary\",\"dt\":300,\"topic\":\"eqiad\"}}");
    assert_int_equal(kit_state(&k).stream_us, 300 * S);
    kit_feed(&k, 400 * S, "{\"meta\":{\"domain\":\"canary\",\"dt\":400}}"); /* no topic */
    assert_int_equal(kit_state(&k).stream_us, 400 * S);
    kit_feed(&k, 500 * S,
             "{\"meta\":{\"domain\":\"canary\",\"dt\":500,\"topic\":\"codfw\",\"stream\":\"wikitally.tick\"}}");
    assert_int_equal(kit_state(&k).stream_us, 500 * S); /* a tick always */
    assert_true(kit_commit(&k));
    assert_int_equal(kit_booked(&k, TASK_CANARY), 4);
    assert_int_equal(kit_booked(&k, TASK_TICK), 1);
    assert_int_equal(k.commit.row_count, 1); /* never counted */
    kit_end(&k);
}

static void R5_absurd_times(void **state)
{
    (void)state;
    static const char *const dead[] = {"{\"timestamp\":-1,\"user\":\"a\"}", "{\"timestamp\":1.0,\"user\":\"a\"}",
                                       "{\"timestamp\":1600000000000,\"user\":\"a\"}",
                                       "{\"timestamp\":true,\"user\":\"a\"}",
                                       "{\"timestamp\":1600000000,\"user\":\"a\",\"meta\":{\"dt\":\"yesterday\"}}"};
    struct kit k;
    kit_options(&k);
    kit_start(&k);
    kit_edit(&k, 1600000000, "a");
    for (size_t i = 0; i < sizeof dead / sizeof *dead; i++) {
        kit_feed(&k, 1600000001 * S, dead[i]);
        assert_int_equal(k.dead, DEAD_BAD_TIME);
    }
    kit_feed(&k, 1600000001 * S, "{\"user\":\"a\"}");
    assert_int_equal(k.dead, DEAD_NO_TIME);
    kit_feed(&k, 1600000001 * S, "{\"timestamp\":0,\"user\":\"a\"}"); /* 1970: a time, only late */
    assert_int_equal(k.dead, DEAD_NONE);
    assert_true(kit_commit(&k));
    assert_int_equal(kit_booked(&k, TASK_DEAD), 6);
    assert_int_equal(kit_booked(&k, TASK_LATE), 1);
    assert_int_equal(kit_booked(&k, TASK_COUNTED), 1);
    kit_end(&k);
}

/* ---- R6 */

/* Spark's table (semantics.md 2.1): delay 10 min, windows of 10 min. */
static void R6_spark_table(void **state)
{
    (void)state;
    struct kit k;
    kit_options(&k);
    k.options.size_us = 10 * MIN;
    k.options.delay_us = 10 * MIN;
    k.options.late = LATE_DROP;
    kit_start(&k);
    kit_edit(&k, at(14), "a");
    assert_int_equal(kit_state(&k).watermark_us, at(4) * S);
    kit_edit(&k, at(9), "a"); /* accepted: the watermark is before 12:10 */
    assert_true(kit_commit(&k));
    assert_int_equal(kit_count(&k, at(0), "[\"a\"]"), 1);
    assert_false(kit_row(&k, at(0), "[\"a\"]")->final);
    kit_edit(&k, at(21), "a"); /* watermark 12:11 closes 12:00-12:10 */
    assert_true(kit_commit(&k));
    const struct result_row *row = kit_row(&k, at(0), "[\"a\"]");
    assert_true(row->final);
    assert_int_equal(row->closed_by, 2);
    assert_int_equal(row->revision, 1);
    kit_edit(&k, at(4), "a"); /* dropped */
    assert_true(kit_commit(&k));
    assert_null(kit_row(&k, at(0), "[\"a\"]"));
    assert_int_equal(kit_booked(&k, TASK_LATE), 1);
    kit_end(&k);
}

static void R6_late_exactly_at_the_end(void **state)
{
    (void)state;
    struct kit k;
    kit_options(&k);
    k.options.late = LATE_DROP;
    kit_start(&k);
    kit_feed(&k, at(9) * S,
             "{\"timestamp\":\"1970-01-01T12:02:59.999999Z\",\"user\":\"tip\"}"); /* W = 12:00:59.999999 */
    kit_edit(&k, at(0), "in");
    kit_edit(&k, at(3), "tip"); /* W = 12:01:00: the window [12:00, 12:01) is closed */
    kit_edit(&k, at(0), "out");
    assert_true(kit_commit(&k));
    assert_int_equal(kit_count(&k, at(0), "[\"in\"]"), 1);
    assert_null(kit_row(&k, at(0), "[\"out\"]"));
    assert_true(kit_row(&k, at(0), "[\"in\"]")->final);
    kit_end(&k);
}

static void R6_hopping(void **state)
{
    (void)state;
    struct kit k;
    kit_options(&k);
    k.options.size_us = 60 * S;
    k.options.slide_us = 20 * S;
    kit_start(&k);
    kit_edit(&k, 65, "a"); /* [60,120) [40,100) [20,80) */
    kit_edit(&k, 80, "a"); /* [80,140) [60,120) [40,100): an end is exclusive */
    assert_true(kit_commit(&k));
    assert_int_equal(k.commit.row_count, 4);
    assert_int_equal(kit_count(&k, 20, "[\"a\"]"), 1);
    assert_int_equal(kit_count(&k, 40, "[\"a\"]"), 2);
    assert_int_equal(kit_count(&k, 60, "[\"a\"]"), 2);
    assert_int_equal(kit_count(&k, 80, "[\"a\"]"), 1);
    assert_int_equal(kit_booked(&k, TASK_COUNTED), 2);
    assert_int_equal(kit_state(&k).pairs_counted, 6);
    kit_end(&k);
}

static void R6_windows_before_the_epoch(void **state)
{
    (void)state;
    struct kit k;
    kit_options(&k);
    k.options.slide_us = 20 * S;
    kit_start(&k);
    kit_edit(&k, 5, "a"); /* [0,60) [-20,40) [-40,20): floors, not truncations */
    assert_true(kit_commit(&k));
    assert_int_equal(k.commit.row_count, 3);
    assert_int_equal(kit_count(&k, -40, "[\"a\"]"), 1);
    assert_int_equal(kit_count(&k, -20, "[\"a\"]"), 1);
    assert_int_equal(kit_count(&k, 0, "[\"a\"]"), 1);
    kit_end(&k);
}

/* ---- R8 */

/* feldera/feldera#3164: the final row went out at the end and a row within the lateness was lost. */
static void R8_amended_after_the_final_row(void **state)
{
    (void)state;
    struct kit k;
    kit_options(&k);
    kit_start(&k);
    kit_edit(&k, at(0), "a");
    kit_edit(&k, at(5), "b"); /* W = 12:03: [12:00, 12:01) is final */
    assert_true(kit_commit(&k));
    assert_true(kit_row(&k, at(0), "[\"a\"]")->final);
    kit_edit(&k, at(0) + 30, "a"); /* within 15 minutes */
    assert_true(kit_commit(&k));
    const struct result_row *row = kit_row(&k, at(0), "[\"a\"]");
    assert_non_null(row);
    assert_int_equal(row->measures[0].number, 2); /* absolute, not a difference */
    assert_int_equal(row->revision, 2);           /* higher: it replaces the first final row */
    assert_true(row->final);
    assert_int_equal(row->closed_by, 1);
    assert_int_equal(kit_state(&k).amended, 1);
    kit_edit(&k, at(18), "b"); /* W = 12:16 = end + lateness */
    kit_edit(&k, at(0) + 40, "a");
    assert_true(kit_commit(&k));
    assert_null(kit_row(&k, at(0), "[\"a\"]"));
    assert_int_equal(kit_booked(&k, TASK_LATE), 1);
    kit_end(&k);
}

static void R8_a_window_made_by_an_amendment(void **state)
{
    (void)state;
    struct kit k;
    kit_options(&k);
    kit_start(&k);
    kit_edit(&k, at(5), "a");
    kit_edit(&k, at(1), "late");
    assert_true(kit_commit(&k));
    const struct result_row *row = kit_row(&k, at(1), "[\"late\"]");
    assert_true(row->final);
    assert_int_equal(row->closed_by, 1); /* not record 0, when it did not exist */
    kit_end(&k);
}

static void R8_every_commit_carries_what_changed(void **state)
{
    (void)state;
    struct kit k;
    kit_options(&k);
    kit_start(&k);
    assert_false(kit_commit(&k));
    kit_edit(&k, at(0), "a");
    kit_edit(&k, at(0), "b");
    assert_true(kit_commit(&k));
    assert_int_equal(k.commit.row_count, 2);
    assert_int_equal(k.commit.old_version, 0);
    assert_false(lane_dirty(k.lane));
    kit_edit(&k, at(0), "b");
    assert_true(kit_commit(&k));
    assert_int_equal(k.commit.row_count, 1);
    assert_int_equal(kit_count(&k, at(0), "[\"b\"]"), 2);
    assert_int_equal(k.commit.old_version, 1);
    kit_end(&k);
}

static void R8_R10_the_lane_goes_on_while_a_commit_is_stored(void **state)
{
    (void)state;
    struct kit k;
    struct lane_commit first, second;
    kit_options(&k);
    kit_start(&k);
    kit_edit(&k, at(0), "a");
    kit_edit(&k, at(0), "b");
    assert_true(lane_commit(k.lane, &k.memory, &first));
    assert_false(lane_dirty(k.lane)); /* it has no line of its own any more that a commit would take */
    assert_false(lane_commit(k.lane, &k.memory, &second));
    kit_edit(&k, at(0), "a");
    kit_edit(&k, at(60), "c"); /* closes and forgets the window of the first two */
    assert_int_equal(first.row_count, 2);
    assert_int_equal(first.line.position, 2);
    assert_int_equal(first.rows[0].measures[0].number, 1); /* as they were then */
    assert_false(first.rows[0].final);
    assert_int_equal(kit_state(&k).position, 0); /* what a restart begins with */
    assert_true(lane_commit(k.lane, &k.memory, &second));
    assert_int_equal(second.old_version, first.old_version + 1);
    assert_int_equal(second.row_count, 3);
    assert_int_equal(second.rows[0].measures[0].number, 2);
    assert_true(second.rows[0].final && second.rows[1].final);
    assert_int_equal(second.line.position, 4);
    assert_int_equal(kit_state(&k).position, 0);
    lane_committed(k.lane, &first);
    assert_int_equal(kit_state(&k).position, 2);
    lane_committed(k.lane, &second);
    assert_int_equal(kit_state(&k).position, 4);
    kit_end(&k);
}

static void R8_rows_of_a_window_that_goes_wait_for_the_commit(void **state)
{
    (void)state;
    struct kit k;
    kit_options(&k);
    kit_start(&k);
    kit_edit(&k, at(0), "a");
    kit_edit(&k, at(60), "b"); /* closes and forgets 12:00 before anything was committed */
    assert_int_equal(kit_state(&k).open_windows, 1);
    assert_true(kit_commit(&k));
    assert_true(kit_row(&k, at(0), "[\"a\"]")->final);
    assert_int_equal(kit_state(&k).keys, 1); /* and now it is gone */
    kit_end(&k);
}

/* ---- R9 */

static void R9_first_come_then_other(void **state)
{
    (void)state;
    struct kit k;
    kit_options(&k);
    k.options.max_keys = 2;
    kit_start(&k);
    kit_edit(&k, at(0), "a");
    kit_edit(&k, at(0), "b");
    kit_edit(&k, at(0), "c");
    kit_edit(&k, at(0), "d");
    kit_edit(&k, at(0), "a");
    kit_edit(&k, at(1), "c"); /* another window has room */
    assert_true(kit_commit(&k));
    assert_int_equal(kit_count(&k, at(0), "[\"a\"]"), 2);
    assert_int_equal(kit_count(&k, at(0), "(other)"), 2);
    assert_null(kit_row(&k, at(0), "[\"c\"]"));
    assert_int_equal(kit_count(&k, at(1), "[\"c\"]"), 1);
    assert_int_equal(kit_row(&k, at(0), "(other)")->keys[0].kind, CELL_NULL);
    assert_int_equal(kit_state(&k).other, 2);
    kit_end(&k);
}

static void R9_a_key_without_measure_goes_to_other(void **state)
{
    (void)state;
    struct kit k;
    AUTO(buf) struct buf json = {0};
    kit_options(&k);
    kit_start(&k);
    buf_addz(&json, "{\"timestamp\":43200,\"user\":\"");
    for (int i = 0; i < 5000; i++) {
        buf_addc(&json, 'x');
    }
    buf_addz(&json, "\"}");
    kit_feed(&k, 43201 * S, json.ptr);
    assert_true(kit_commit(&k));
    assert_int_equal(kit_count(&k, at(0), "(other)"), 1);
    kit_end(&k);
}

static void R9_sum_overflow_is_an_error(void **state)
{
    (void)state;
    static const char *const measures[] = {"sum(length.new)"};
    struct kit k;
    kit_options(&k);
    k.options.measures = measures;
    kit_start(&k);
    kit_feed(&k, 60 * S, "{\"timestamp\":60,\"user\":\"a\",\"length\":{\"new\":9223372036854775807}}");
    assert_int_equal(kit_feed_at(&k, 1, 60 * S, "{\"timestamp\":60,\"user\":\"a\",\"length\":{\"new\":1}}"), ERR_FATAL);
    assert_non_null(strstr(k.err.text, "sum(length.new)"));
    kit_end(&k);
}

static void R9_keys_by_type(void **state)
{
    (void)state;
    static const char *const keys[] = {"user", "bot", "namespace"};
    struct kit k;
    kit_options(&k);
    k.options.keys = keys;
    k.options.key_count = 3;
    kit_start(&k);
    kit_feed(&k, 60 * S, "{\"timestamp\":60,\"user\":\"a\\\"\\u00e9,]\",\"bot\":false,\"namespace\":-1}");
    kit_feed(&k, 60 * S, "{\"timestamp\":60,\"bot\":\"false\",\"namespace\":1.50}");
    kit_feed(&k, 60 * S, "{\"timestamp\":60,\"user\":\"\",\"bot\":{},\"namespace\":9223372036854775808}");
    assert_true(kit_commit(&k));
    const struct result_row *row = kit_row(&k, 60, "[\"a\\\"\303\251,]\",false,-1]");
    assert_non_null(row);
    assert_true(str_eqz(row->keys[0].text, "a\"\303\251,]"));
    assert_int_equal(row->keys[1].kind, CELL_BOOL);
    assert_int_equal(row->keys[2].kind, CELL_INT);
    assert_int_equal(row->keys[2].number, -1);
    row = kit_row(&k, 60, "[null,\"false\",1.50]");
    assert_non_null(row);
    assert_int_equal(row->keys[0].kind, CELL_NULL);
    assert_int_equal(row->keys[1].kind, CELL_TEXT);
    assert_true(str_eqz(row->keys[2].text, "1.50"));
    row = kit_row(&k, 60, "[\"\",null,9223372036854775808]");
    assert_non_null(row);
    assert_int_equal(row->keys[0].kind, CELL_TEXT);
    assert_int_equal(row->keys[0].text.len, 0);
    kit_end(&k);
}

/* ---- R10 */

static void R10_a_restart_rebuilds_and_commits_nothing_before_its_position(void **state)
{
    (void)state;
    struct kit k;
    kit_options(&k);
    kit_start(&k);
    kit_edit(&k, at(0), "a");
    kit_edit(&k, at(0) + 10, "a");
    assert_true(kit_commit(&k));
    assert_int_equal(k.commit.line.replay_from, 0);
    assert_int_equal(k.commit.line.position, 2);
    struct task_line line = k.commit.line;
    kit_crash(&k, &line);
    assert_int_equal(lane_next(k.lane), 0);
    k.next = 0;
    kit_edit(&k, at(0), "a");
    assert_false(kit_commit(&k)); /* still rebuilding */
    kit_edit(&k, at(0) + 10, "a");
    assert_false(kit_commit(&k)); /* rebuilt, nothing new */
    kit_edit(&k, at(0) + 20, "a");
    assert_true(kit_commit(&k));
    assert_int_equal(kit_count(&k, at(0), "[\"a\"]"), 3);
    assert_int_equal(kit_booked(&k, TASK_COUNTED), 1); /* the ledger counts once */
    assert_int_equal(k.commit.old_version, 1);
    kit_end(&k);
}

static void R10_lost_state_keeps_the_stored_rows(void **state)
{
    (void)state;
    struct kit k;
    kit_options(&k);
    kit_start(&k);
    kit_edit(&k, at(0), "a");
    kit_edit(&k, at(0), "a");
    assert_true(kit_commit(&k));
    struct task_line line = k.commit.line;
    kit_crash(&k, &line);
    /* records 0 and 1 are gone, and 2, which was never read */
    k.next = 3;
    kit_edit(&k, at(0) + 30, "a"); /* its window is torn */
    kit_edit(&k, at(3), "a");      /* this one is not */
    assert_true(kit_commit(&k));
    assert_null(kit_row(&k, at(0), "[\"a\"]"));
    assert_int_equal(kit_count(&k, at(3), "[\"a\"]"), 1);
    assert_int_equal(kit_booked(&k, TASK_GAP), 2); /* 2, and 3 that is read only for a torn window */
    assert_int_equal(kit_booked(&k, TASK_COUNTED), 1);
    assert_int_equal(k.commit.torn_count, 2);
    assert_int_equal(k.commit.line.first_window_us, at(1) * S);
    kit_end(&k);
}

static void R10_a_known_gap_is_no_loss(void **state)
{
    (void)state;
    struct kit k;
    kit_options(&k);
    kit_start(&k);
    kit_edit(&k, at(0), "a");
    k.next = 5;
    kit_edit(&k, at(0), "a");
    assert_true(kit_commit(&k));
    assert_int_equal(kit_booked(&k, TASK_GAP), 4);
    assert_int_equal(k.commit.line.gap_count, 1);
    assert_int_equal(k.commit.line.gaps[0].from, 1);
    assert_int_equal(k.commit.line.gaps[0].to, 5);
    struct offset_span gap = k.commit.line.gaps[0];
    struct task_line line = k.commit.line;
    line.gaps = &gap;
    kit_crash(&k, &line);
    k.next = 0;
    kit_edit(&k, at(0), "a");
    k.next = 5;
    kit_edit(&k, at(0), "a");
    kit_edit(&k, at(0), "a");
    assert_true(kit_commit(&k));
    assert_int_equal(kit_count(&k, at(0), "[\"a\"]"), 3);
    assert_int_equal(k.commit.torn_count, 0);
    assert_int_equal(kit_booked(&k, TASK_GAP), 0);
    kit_end(&k);
}

static void R10_many_gaps_are_bounded(void **state)
{
    (void)state;
    struct kit k;
    kit_options(&k);
    kit_start(&k);
    for (int i = 0; i < 1200; i++) {
        k.next = 2 * i;
        kit_edit(&k, at(0), "a");
    }
    assert_true(kit_commit(&k));
    assert_int_equal(k.commit.line.gap_count, 1000);
    assert_int_equal(k.commit.line.gaps[0].from, 1); /* the oldest were merged */
    assert_int_equal(k.commit.line.gaps[999].to, 2398);
    assert_int_equal(kit_booked(&k, TASK_GAP), 1199); /* none was lost */
    kit_end(&k);
}

/* ---- R12 */

static void R12_every_record_is_in_one_bucket(void **state)
{
    (void)state;
    struct kit k;
    kit_options(&k);
    k.options.where = "bot:false";
    kit_start(&k);
    kit_feed(&k, at(1) * S, "{\"timestamp\":43200,\"bot\":false}");
    kit_feed(&k, at(1) * S, "{\"timestamp\":43200,\"bot\":true}");
    kit_feed(&k, at(1) * S, "not json");
    kit_feed(&k, at(1) * S, "{\"timestamp\":99999,\"bot\":false}");
    kit_feed(&k, at(1) * S, "{\"timestamp\":99,\"bot\":false}");
    kit_feed(&k, at(1) * S, "{\"meta\":{\"domain\":\"canary\"}}");
    k.next += 3;
    kit_feed(&k, TIME_NONE, "{\"timestamp\":43200,\"bot\":false}");
    assert_true(kit_commit(&k));
    static const int64_t want[TASK_BUCKETS] = {
        [TASK_DEAD] = 1, [TASK_UNMATCHED] = 1, [TASK_FUTURE] = 1, [TASK_COUNTED] = 2,
        [TASK_LATE] = 1, [TASK_CANARY] = 1,    [TASK_GAP] = 3};
    int64_t sums[2] = {0};
    for (size_t b = 0; b < TASK_BUCKETS; b++) {
        assert_int_equal(kit_booked(&k, (enum task_bucket)b), want[b]);
    }
    for (size_t i = 0; i < k.commit.tally_count; i++) {
        sums[k.commit.tally[i].by] += k.commit.tally[i].count;
    }
    assert_int_equal(sums[TALLY_EVENT], k.commit.line.position);
    assert_int_equal(sums[TALLY_ARRIVAL], k.commit.line.position);
    kit_end(&k);
}

static void R12_a_mark_for_each_arrival_minute(void **state)
{
    (void)state;
    struct kit k;
    kit_options(&k);
    kit_start(&k);
    kit_feed(&k, 30 * S, "{\"timestamp\":30,\"user\":\"a\",\"meta\":{\"topic\":\"t1\"}}");
    kit_feed(&k, 59 * S, "{\"timestamp\":59,\"user\":\"a\"}");
    kit_feed(&k, 60 * S, "{\"timestamp\":60,\"user\":\"a\"}");
    kit_feed(&k, 200 * S, "{\"timestamp\":200,\"user\":\"a\"}");
    assert_true(lane_commit(k.lane, &k.memory, &k.commit));
    assert_int_equal(k.commit.mark_count, 3);
    assert_true(k.commit.marks[0].before.stream_us == TIME_NONE);
    assert_int_equal(k.commit.marks[1].offset, 2);
    assert_int_equal(k.commit.marks[1].arrival_minute, 1);
    assert_int_equal(k.commit.marks[1].before.stream_us, 59 * S);
    assert_true(str_eqz(k.commit.marks[1].before.topic, "t1"));
    assert_int_equal(k.commit.marks[2].offset, 3);
    kit_end(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(R5_stream_time_is_the_maximum),
        cmocka_unit_test(R5_future_a_day_ahead),
        cmocka_unit_test(R5_future_a_year_ahead),
        cmocka_unit_test(R5_future_is_after_the_earlier_of_arrival_and_dt),
        cmocka_unit_test(R5_canaries_speak_for_their_topic),
        cmocka_unit_test(R5_absurd_times),
        cmocka_unit_test(R6_spark_table),
        cmocka_unit_test(R6_late_exactly_at_the_end),
        cmocka_unit_test(R6_hopping),
        cmocka_unit_test(R6_windows_before_the_epoch),
        cmocka_unit_test(R8_amended_after_the_final_row),
        cmocka_unit_test(R8_a_window_made_by_an_amendment),
        cmocka_unit_test(R8_every_commit_carries_what_changed),
        cmocka_unit_test(R8_R10_the_lane_goes_on_while_a_commit_is_stored),
        cmocka_unit_test(R8_rows_of_a_window_that_goes_wait_for_the_commit),
        cmocka_unit_test(R9_first_come_then_other),
        cmocka_unit_test(R9_a_key_without_measure_goes_to_other),
        cmocka_unit_test(R9_sum_overflow_is_an_error),
        cmocka_unit_test(R9_keys_by_type),
        cmocka_unit_test(R10_a_restart_rebuilds_and_commits_nothing_before_its_position),
        cmocka_unit_test(R10_lost_state_keeps_the_stored_rows),
        cmocka_unit_test(R10_a_known_gap_is_no_loss),
        cmocka_unit_test(R10_many_gaps_are_bounded),
        cmocka_unit_test(R12_every_record_is_in_one_bucket),
        cmocka_unit_test(R12_a_mark_for_each_arrival_minute),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
