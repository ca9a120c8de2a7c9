/* SPDX-License-Identifier: MIT
 *
 * asking.h - one request of librdkafka's admin API and its answer, an event. Private to this room; admin.c.
 *
 *     AUTO(asking) struct asking a = kafka_ask(rk, RD_KAFKA_ADMIN_OP_..., wait_us);
 *     rd_kafka_...(rk, ..., a.options, a.queue);
 *     code = kafka_answer(&a, wait_us);  then read a.event
 */
#ifndef WIKITALLY_KAFKA_ASKING_H
#define WIKITALLY_KAFKA_ASKING_H

#include "kafka/client.h"

struct asking {
    rd_kafka_queue_t *queue;
    rd_kafka_AdminOptions_t *options;
    rd_kafka_event_t *event; /* NULL: no answer yet; what is read from it lives as long */
};
struct asking kafka_ask(rd_kafka_t *rk, rd_kafka_admin_op_t op, int64_t wait_us);
/* Waits for it, at most wait_us and a second. */
rd_kafka_resp_err_t kafka_answer(struct asking *a, int64_t wait_us);
void asking_fini(struct asking *a);

#endif
