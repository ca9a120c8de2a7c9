/* SPDX-License-Identifier: MIT
 *
 * bench_kafka.c - what librdkafka does without our code: the limits beside the figures of `make bench-kafka`.
 *
 *   bench_kafka consume BROKERS TOPIC               all that is committed, from the start: counts records and bytes
 *   bench_kafka produce BROKERS TOPIC FILE [BYTES]  each line of a file into partition 0; a transaction each BYTES (8
 * MiB)
 *
 * The library's own defaults, but for what the comparison is about: read_committed; transactions, lz4, and the batches
 * that our writer makes. What is written is the lines alone, without key and headers, and not copied once. Prints one
 * line of JSON: events, bytes, and the seconds from the first call to the last answer.
 */
#include "base/clock.h"
#include "base/err.h"

#include <fcntl.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TIMEOUT_MS = 60000, POLL_MS = 100, AT_ONCE = 4096, PARTITIONS_MAX = 64, TRANSACTION_BYTES = 8 << 20 };

struct pair {
    const char *name, *value;
};
struct counted {
    int64_t events, bytes;
};

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "bench_kafka: %s: %s\n", what, why);
    exit(EXIT_INTERNAL);
}

static void must(rd_kafka_resp_err_t code, const char *what)
{
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        die(what, rd_kafka_err2str(code));
    }
}

static void must_not_fail(const rd_kafka_error_t *error, const char *what)
{
    if (error != NULL) {
        die(what, rd_kafka_error_string(error));
    }
}

static void on_delivered(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    (void)rk, (void)opaque;
    must(m->err, "produce");
}

static rd_kafka_t *client(rd_kafka_type_t type, const struct pair *pairs, size_t count)
{
    char text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    for (size_t i = 0; i < count; i++) {
        if (rd_kafka_conf_set(conf, pairs[i].name, pairs[i].value, text, sizeof text) != RD_KAFKA_CONF_OK) {
            die(pairs[i].name, text);
        }
    }
    if (type == RD_KAFKA_PRODUCER) {
        rd_kafka_conf_set_dr_msg_cb(conf, on_delivered);
    }
    rd_kafka_t *rk = rd_kafka_new(type, conf, text, sizeof text);
    if (rk == NULL) {
        die("client", text);
    }
    return rk;
}

/* ---- reading */

static int assign_all(rd_kafka_t *rk, const char *name)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, name, NULL);
    must(rd_kafka_metadata(rk, 0, topic, &metadata, TIMEOUT_MS), name);
    int count = metadata->topic_cnt == 1 ? metadata->topics[0].partition_cnt : 0;
    if (count == 0 || count > PARTITIONS_MAX) {
        die(name, "no such topic");
    }
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(count);
    for (int p = 0; p < count; p++) {
        rd_kafka_topic_partition_list_add(list, name, p)->offset = RD_KAFKA_OFFSET_BEGINNING;
    }
    must(rd_kafka_assign(rk, list), name);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(topic);
    return count;
}

static int take(struct counted *c, rd_kafka_message_t *m)
{
    int end = m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
    if (!end) {
        must(m->err, "consume");
        c->events++;
        c->bytes += (int64_t)m->len;
    }
    rd_kafka_message_destroy(m);
    return end;
}

static struct counted consume(const char *brokers, const char *topic)
{
    static rd_kafka_message_t *messages[AT_ONCE];
    const struct pair pairs[] = {{"bootstrap.servers", brokers},
                                 {"group.id", "bench"},
                                 {"enable.auto.commit", "false"},
                                 {"isolation.level", "read_committed"},
                                 {"enable.partition.eof", "true"}};
    struct counted c = {0};
    rd_kafka_t *rk = client(RD_KAFKA_CONSUMER, pairs, sizeof pairs / sizeof *pairs);
    must(rd_kafka_poll_set_consumer(rk), "consumer");
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(rk);
    for (int open = assign_all(rk, topic); open > 0;) {
        ssize_t given = rd_kafka_consume_batch_queue(queue, POLL_MS, messages, AT_ONCE);
        for (ssize_t i = 0; i < given; i++) {
            open -= take(&c, messages[i]);
        }
    }
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy_flags(rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    return c;
}

/* ---- writing */

static const char *file_map(const char *path, size_t *ret_size)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) != 0) {
        die(path, "cannot open");
    }
    *ret_size = (size_t)status.st_size;
    const char *text = mmap(NULL, *ret_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (text == MAP_FAILED) {
        die(path, "cannot map");
    }
    close(fd);
    return text;
}

static void line_send(rd_kafka_t *rk, const char *topic, const char *line, size_t size)
{
    char *borrowed;
    memcpy(&borrowed, &line, sizeof borrowed); /* librdkafka reads only */
    must(rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(0),
                           RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_BLOCK), RD_KAFKA_V_VALUE(borrowed, size), RD_KAFKA_V_END),
         "produce");
}

static struct counted produce(const char *brokers, const char *topic, const char *path, int64_t transaction_bytes)
{
    const struct pair pairs[] = {{"bootstrap.servers", brokers}, {"transactional.id", "bench"},
                                 {"compression.type", "lz4"},    {"linger.ms", "5"},
                                 {"batch.size", "1000000"},      {"queue.buffering.max.messages", "1000000"}};
    struct counted c = {0};
    size_t size;
    const char *at = file_map(path, &size), *end = at + size;
    rd_kafka_t *rk = client(RD_KAFKA_PRODUCER, pairs, sizeof pairs / sizeof *pairs);
    must_not_fail(rd_kafka_init_transactions(rk, TIMEOUT_MS), "init");
    for (int64_t open = -1; at < end; at++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t length = (size_t)((newline == NULL ? end : newline) - at);
        if (open < 0) {
            must_not_fail(rd_kafka_begin_transaction(rk), "begin");
            open = 0;
        }
        line_send(rk, topic, at, length);
        c.events++;
        c.bytes += (int64_t)length;
        open += (int64_t)length;
        at += length;
        if (open >= transaction_bytes || at + 1 >= end) {
            must_not_fail(rd_kafka_commit_transaction(rk, TIMEOUT_MS), "commit");
            open = -1;
        }
    }
    rd_kafka_destroy(rk);
    return c;
}

int main(int argc, char **argv)
{
    struct counted c;
    int64_t bytes = TRANSACTION_BYTES, began = clock_mono(&clock_real);
    if (argc == 4 && strcmp(argv[1], "consume") == 0) {
        c = consume(argv[2], argv[3]);
    } else if ((argc == 5 || (argc == 6 && str_to_int64(str_of(argv[5]), &bytes))) && strcmp(argv[1], "produce") == 0) {
        c = produce(argv[2], argv[3], argv[4], bytes);
    } else {
        return EXIT_USAGE;
    }
    printf("{\"bench\":\"kafka\",\"events\":%lld,\"bytes\":%lld,\"seconds\":%.3f}\n", (long long)c.events,
           (long long)c.bytes, (double)(clock_mono(&clock_real) - began) / 1e6);
    return EXIT_DONE;
}
