/* SPDX-License-Identifier: MIT
 *
 * cause.h - what may lie behind an error of librdkafka's, for people. Private to this room; client.c.
 */
#ifndef WIKITALLY_KAFKA_CAUSE_H
#define WIKITALLY_KAFKA_CAUSE_H

#include "kafka/client.h"

/* `code` of a request; `said`: by librdkafka, of a connection ("": nothing); `certificate`: OpenSSL's verdict on a
 * broker's, 0: none. NULL: not known. Static. */
const struct kafka_cause *kafka_cause_find(rd_kafka_resp_err_t code, const char *said, int certificate);

#endif
