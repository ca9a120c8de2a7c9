/* SPDX-License-Identifier: MIT
 *
 * feed.h - partitions read by hand, each from an offset of the caller's choice and at its own speed, no group.
 *
 * Offsets have holes where no record ever was: marks of transactions, what was aborted, what compaction took. They are
 * passed over without a word. Only what the log has lost at its head is said (kafka_page.base).
 */
#ifndef WIKITALLY_KAFKA_FEED_H
#define WIKITALLY_KAFKA_FEED_H

#include "kafka/client.h"

struct kafka_consumer; /* one thread; its feeds are of that thread, too */
struct kafka_news {    /* called by a thread of librdkafka's when an empty feed gets something; may be zero */
    void (*call)(void *ctx);
    void *ctx;
};
enum err_class kafka_consumer_open(const struct kafka_options *options, const struct kafka_setting *settings,
                                   size_t setting_count, const struct kafka_news *news,
                                   struct kafka_consumer **ret_consumer, struct err *err);
void kafka_consumer_close(struct kafka_consumer *c); /* after its feeds; NULL is fine */
struct kafka_client *kafka_consumer_client(struct kafka_consumer *c);

struct kafka_feed;
struct kafka_feed *kafka_feed_new(struct kafka_consumer *c, const char *topic, int32_t partition);
void kafka_feed_free(struct kafka_feed *f); /* NULL is fine */
/* Fetches nothing more, and drops what was fetched, until the next read. */
void kafka_feed_rest(struct kafka_feed *f);
/* The same, if something was fetched that nobody has read yet. */
void kafka_feed_rest_if_ahead(struct kafka_feed *f);

enum { KAFKA_PAGE_MAX = 4096 };
struct kafka_page {
    rd_kafka_message_t *const *messages; /* of the feed, until its next call; offsets rise; value may be NULL */
    size_t count;                        /* 0: there is no committed record at or after the offset asked for */
    /* Where the log begins, if what was asked for is before that: [from, base) is gone. Else `from`. */
    int64_t base;
};
/* The first records at or after `from`, at most max. Waits until there is one or it is known that there is none, at
 * most wait_us: then ERR_RETRY. An offset beyond the end is as one at the end. `known_end`: up to there records are
 * committed, or marks, as the caller knows (0: nothing known): what was seen of the end before that is no end. */
enum err_class kafka_feed_read(struct kafka_feed *f, int64_t from, int64_t known_end, size_t max, int64_t wait_us,
                               struct kafka_page *ret_page, struct err *err);
/* Head and end (behind the last committed record, or a little further: marks count, until a read came to the end). Asks
 * the broker when `fresh`, or when nothing is known yet. */
enum err_class kafka_feed_bounds(struct kafka_feed *f, bool fresh, int64_t wait_us, int64_t *ret_head, int64_t *ret_end,
                                 struct err *err);
/* Was the end seen, and does it lie at or behind this offset? Then there is no record before it that was not given. */
bool kafka_feed_reaches(const struct kafka_feed *f, int64_t known_end);
/* Where a reader that has all records before `position` stands: behind the marks that follow, if there is nothing else,
 * so that it is not behind. */
int64_t kafka_feed_standing(const struct kafka_feed *f, int64_t position);
/* The first offset with a timestamp >= at_ms; the end if there is none. */
enum err_class kafka_feed_seek_time(struct kafka_feed *f, int64_t at_ms, int64_t wait_us, int64_t *ret_offset,
                                    struct err *err);

#endif
