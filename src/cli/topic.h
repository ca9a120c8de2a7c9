/* SPDX-License-Identifier: MIT
 *
 * topic.h - a topic read from any offset: one of a Kafka cluster, or the embedded journal, which is one topic with the
 * name of journal.topic. Nothing is changed, no group is joined, nothing is committed. One thread.
 */
#ifndef WIKITALLY_CLI_TOPIC_H
#define WIKITALLY_CLI_TOPIC_H

#include "cli/cli.h"

enum { TOPIC_WAIT_US = 5000000 }; /* for a broker's answer, at most */

/* The cluster that the configuration names; NULL: none, the embedded journal is meant. Loads the configuration. */
enum err_class topic_cluster(struct cli *cli, const struct kafka_options **ret_options, struct err *err);
/* EXIT_NOINPUT: there is no such topic. */
enum err_class topic_missing(const char *name, const char *where, struct err *err);
/* The embedded journal, if `name` is what it is called. */
enum err_class topic_journal(struct cli *cli, const char *name, struct journal_reader **ret_reader, struct err *err);

struct topic;
/* `live`: it will be read on and on at its end, so a broker need not be asked all the time. */
enum err_class topic_open(struct cli *cli, const char *name, bool live, struct topic **ret_topic, struct err *err);
void topic_close(struct topic *t); /* NULL is fine */
uint32_t topic_partitions(const struct topic *t);
/* Head, and end behind the last record that is committed. */
enum err_class topic_bounds(struct topic *t, uint32_t partition, int64_t *ret_head, int64_t *ret_end, struct err *err);
/* The first offset whose record came at or after that time; the end if there is none. */
enum err_class topic_seek(struct topic *t, uint32_t partition, int64_t time_us, int64_t *ret_offset, struct err *err);

struct topic_record {
    int64_t offset, time_us;     /* TIME_NONE: has none */
    struct str key, kind, value; /* ptr NULL: none; kind: the header wikitally.kind */
};
struct topic_page {
    const struct topic_record *records; /* until the next call; offsets rise, with holes */
    size_t count;                       /* 0: nothing at or after `from` */
};
enum err_class topic_read(struct topic *t, uint32_t partition, int64_t from, struct topic_page *ret_page,
                          struct err *err);
/* Nothing more will be read of it for a while: lets go of what was fetched. */
void topic_rest(struct topic *t, uint32_t partition);

#endif
