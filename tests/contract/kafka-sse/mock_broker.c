/* SPDX-License-Identifier: MIT
 *
 * mock_broker.c - a Kafka-protocol listener on loopback: librdkafka's mock cluster with one broker.
 *
 *   mock_broker TOPIC...    prints ADDRESS:PORT and serves until its standard input ends
 *
 * Produce, metadata and fetch by offset work; look-ups by timestamp do not: they answer "the end".
 */
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    char error[512], byte;
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), error, sizeof(error));
    if (!client || argc < 2) {
        fprintf(stderr, "mock_broker: %s\n", client ? "wants topics" : error);
        return 1;
    }
    rd_kafka_mock_cluster_t *cluster = rd_kafka_mock_cluster_new(client, 1);
    if (!cluster) {
        fprintf(stderr, "mock_broker: no mock cluster\n");
        return 1;
    }
    for (int i = 1; i < argc; i++) {
        rd_kafka_mock_topic_create(cluster, argv[i], 1, 1);
    }
    printf("%s\n", rd_kafka_mock_cluster_bootstraps(cluster));
    fflush(stdout);
    while (fread(&byte, 1, 1, stdin) == 1) {
    }
    rd_kafka_mock_cluster_destroy(cluster);
    rd_kafka_destroy(client);
    return 0;
}
