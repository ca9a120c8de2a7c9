/* SPDX-License-Identifier: MIT
 *
 * claim.h - who writes, where only one may (C-K10). A transactional.id alone does not settle it: to librdkafka a
 * producer that was fenced and one whose transaction took too long look alike (C-K4), so that whoever was fenced opens
 * another producer, and fences the newcomer in turn.
 *
 * So a newcomer first says in the state topic, outside of any transaction, that it is the one: the last who said so is.
 * Everybody looks there before and after opening a producer; whoever finds somebody else's claim behind its own ends.
 */
#ifndef WIKITALLY_KAFKA_CLAIM_H
#define WIKITALLY_KAFKA_CLAIM_H

#include "kafka/client.h"

enum { KAFKA_OWNER_SIZE = 33, KAFKA_CLAIM_TRIES = 5 };

struct kafka_claim {
    const char *key;              /* of the claim in the state topic; borrowed */
    char owner[KAFKA_OWNER_SIZE]; /* random, of this run */
    int64_t at;                   /* offset of our record; -1: nothing was said yet */
};
void kafka_claim_init(struct kafka_claim *c, const char *key);
/* Says so, once. ERR_RETRY: the broker did not take it within wait_us. */
enum err_class kafka_claim_say(struct kafka_claim *c, const struct kafka_options *kafka, const char *state_topic,
                               int64_t wait_us, struct err *err);
/* `found`: the last claim there is before offset `read_to`. What we said ourselves may lie behind that still, while a
 * transaction is open. */
bool kafka_claim_is_lost(const struct kafka_claim *c, const char *found, int64_t read_to);

#endif
