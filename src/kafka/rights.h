/* SPDX-License-Identifier: MIT
 *
 * rights.h - what a cluster would say to us, asked without changing anything: which addresses it gives of itself, what
 * this user may do. For `wikitally doctor`. Each call waits for a broker, at most wait_us (and a second).
 */
#ifndef WIKITALLY_KAFKA_RIGHTS_H
#define WIKITALLY_KAFKA_RIGHTS_H

#include "kafka/admin.h"

enum { KAFKA_ADDRESSES_MAX = 16 };
struct kafka_addresses {
    struct kafka_address {
        int32_t id;
        char text[280]; /* "host:port", as the broker advertises it */
    } list[KAFKA_ADDRESSES_MAX];
    size_t count;   /* of the list: more brokers than it holds are left out */
    size_t brokers; /* 0: not known, the list holds one that librdkafka was told of and cannot reach */
};
/* Returns before its time as soon as it is known why there is no answer: kafka_client_cause(_TIMED_OUT). */
enum err_class kafka_addresses_ask(struct kafka_client *c, int64_t wait_us, struct kafka_addresses *ret_addresses,
                                   struct err *err);

enum { KAFKA_MAY_READ = 1, KAFKA_MAY_WRITE = 2, KAFKA_MAY_DESCRIBE = 4, KAFKA_MAY_DESCRIBE_CONFIGS = 8 };
/* Of a topic that is there. *ret_known false: librdkafka before 2.3 cannot ask. */
enum err_class kafka_topic_rights(struct kafka_client *c, const char *name, int64_t wait_us, bool *ret_known,
                                  int *ret_may, struct err *err);
/* Of a group, whether it is there or not. ERR_RETRY is as good as no: librdkafka 2.15 asks for the coordinator of a
 * group that it may not see until its time is over, and says nothing. */
enum err_class kafka_group_rights(struct kafka_client *c, const char *group, int64_t wait_us, bool *ret_known,
                                  int *ret_may, struct err *err);
/* Whether kafka_topic_make would make it: the broker checks, and makes nothing. */
enum err_class kafka_topic_may_make(struct kafka_client *c, const struct kafka_topic_options *options, int64_t wait_us,
                                    struct err *err);

#endif
