/* SPDX-License-Identifier: MIT
 *
 * claim.c - see claim.h.
 */
#include "kafka/claim.h"

#include "base/hash.h"
#include "kafka/writer.h"

#include <stdio.h>
#include <string.h>

void kafka_claim_init(struct kafka_claim *c, const char *key)
{
    c->key = key;
    snprintf(c->owner, sizeof(c->owner), "%016llx%016llx", (unsigned long long)hash_random_seed(),
             (unsigned long long)hash_random_seed());
    c->at = -1;
}

enum err_class kafka_claim_say(struct kafka_claim *c, const struct kafka_options *kafka, const char *state_topic,
                               int64_t wait_us, struct err *err)
{
    struct kafka_record r = {.topic = state_topic, .key = str_of(c->key), .value = str_of(c->owner), .offset = &c->at};
    return c->at < 0 ? kafka_send(kafka, &r, wait_us, err) : ERR_NONE;
}

bool kafka_claim_is_lost(const struct kafka_claim *c, const char *found, int64_t read_to)
{
    return c->at >= 0 && read_to > c->at && strcmp(found, c->owner) != 0;
}
