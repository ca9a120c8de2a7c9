/* SPDX-License-Identifier: MIT
 *
 * writer.c - see writer.h. That every failure replaces the producer costs half a second where an abort would have done;
 * it leaves one path to get right, and librdkafka's abort has failures of its own (C-K4, C-K5).
 */
#include "kafka/writer.h"

#include "base/clock.h"
#include "base/diag.h"
#include "base/fault.h"
#include "kafka/admin.h"

#include <stdio.h>
#include <stdlib.h>

enum { SLICE_MS = 200, HURRY_US = 1000000 };

struct kafka_writer {
    struct kafka_client *client;
    rd_kafka_t *rk; /* of the client */
    const atomic_bool *hurry;
    bool spent;
    rd_kafka_resp_err_t refused; /* why the first that was not taken was not */
};

static void delivered(const rd_kafka_message_t *message, void *ctx)
{
    int64_t *offset = message->_private;
    struct kafka_writer *w = ctx;
    bool with_others =
        message->err == RD_KAFKA_RESP_ERR__PURGE_QUEUE || message->err == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT;
    if (w != NULL && w->refused == RD_KAFKA_RESP_ERR_NO_ERROR && !with_others) {
        w->refused = message->err;
    }
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR && offset != NULL && message->offset > *offset) {
        *offset = message->offset;
    }
}

/* Takes the error. */
static enum err_class fail(struct kafka_writer *w, rd_kafka_error_t *error, const char *what, struct err *err)
{
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    char text[512];
    if (rd_kafka_error_is_fatal(error)) { /* what made it fatal says more than that it is */
        rd_kafka_resp_err_t first = rd_kafka_fatal_error(w->rk, text, sizeof(text));
        code = first != RD_KAFKA_RESP_ERR_NO_ERROR ? first : code;
    }
    diag_debug("kafka", "%s: %s: %s", what, rd_kafka_error_name(error), rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
    w->spent = true;
    return kafka_error(w->client, err, code, "%s", what);
}

static int64_t left_ms(int64_t deadline_us)
{
    int64_t left_us = deadline_us - clock_mono(&clock_real);
    return left_us <= 0 ? 0 : left_us / US_PER_MS + 1;
}

/* Calls it again for as long as librdkafka says that the same call may go on (C-K3), until the deadline. */
static rd_kafka_error_t *call(rd_kafka_error_t *(*function)(rd_kafka_t *rk, int timeout_ms),
                              const struct kafka_writer *w, int64_t deadline_us)
{
    bool hurried = false;
    for (;;) {
        if (!hurried && w->hurry != NULL && atomic_load(w->hurry)) {
            int64_t soon_us = clock_mono(&clock_real) + HURRY_US;
            deadline_us = soon_us < deadline_us ? soon_us : deadline_us;
            hurried = true;
        }
        int64_t left = left_ms(deadline_us);
        rd_kafka_error_t *error = function(w->rk, left < SLICE_MS ? (int)left : SLICE_MS);
        if (error == NULL || !rd_kafka_error_is_retriable(error) || left == 0) {
            return error;
        }
        rd_kafka_error_destroy(error);
    }
}

enum err_class kafka_writer_open(const struct kafka_writer_options *options, int64_t wait_us,
                                 struct kafka_writer **ret_writer, struct err *err)
{
    struct kafka_setting settings[16] = {{"transactional.id", options->transactional_id}};
    ensure(options->setting_count < 16);
    for (size_t i = 0; i < options->setting_count; i++) {
        settings[i + 1] = options->settings[i];
    }
    struct kafka_writer *w = xcalloc(1, sizeof(*w));
    struct kafka_callbacks callbacks = {.delivered = delivered, .ctx = w};
    w->hurry = options->hurry;
    enum err_class cls = kafka_client_new(options->kafka, RD_KAFKA_PRODUCER, settings, options->setting_count + 1,
                                          &callbacks, &w->client, err);
    if (cls == ERR_NONE) {
        w->rk = kafka_client_handle(w->client);
        rd_kafka_error_t *error = call(rd_kafka_init_transactions, w, clock_mono(&clock_real) + wait_us);
        cls = error == NULL ? ERR_NONE : fail(w, error, "taking over the transactional.id", err);
    }
    if (cls != ERR_NONE) {
        kafka_writer_close(w);
        return cls;
    }
    *ret_writer = w;
    return ERR_NONE;
}

void kafka_writer_close(struct kafka_writer *w)
{
    if (w != NULL) {
        kafka_client_free(w->client);
        free(w);
    }
}

struct kafka_client *kafka_writer_client(struct kafka_writer *w)
{
    return w->client;
}

enum err_class kafka_writer_begin(struct kafka_writer *w, struct err *err)
{
    rd_kafka_error_t *error = rd_kafka_begin_transaction(w->rk);
    return error == NULL ? ERR_NONE : fail(w, error, "beginning a transaction", err);
}

static rd_kafka_headers_t *headers_of(const struct kafka_record *r)
{
    if (r->header_count == 0) {
        return NULL;
    }
    rd_kafka_headers_t *headers = rd_kafka_headers_new(r->header_count);
    for (size_t i = 0; i < r->header_count; i++) {
        rd_kafka_header_add(headers, r->headers[i].name, -1, r->headers[i].value.ptr, (ssize_t)r->headers[i].value.len);
    }
    return headers;
}

/* Takes the headers if it succeeds. */
static rd_kafka_resp_err_t produce(struct kafka_writer *w, const struct kafka_record *r, rd_kafka_headers_t *headers)
{
    void *value = (void *)(uintptr_t)r->value.ptr, *key = (void *)(uintptr_t)r->key.ptr;
    if (headers == NULL) {
        return rd_kafka_producev(w->rk, RD_KAFKA_V_TOPIC(r->topic), RD_KAFKA_V_PARTITION(r->partition),
                                 RD_KAFKA_V_KEY(key, r->key.len), RD_KAFKA_V_VALUE(value, r->value.len),
                                 RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_TIMESTAMP(r->timestamp_ms),
                                 RD_KAFKA_V_OPAQUE(r->offset), RD_KAFKA_V_END);
    }
    return rd_kafka_producev(w->rk, RD_KAFKA_V_TOPIC(r->topic), RD_KAFKA_V_PARTITION(r->partition),
                             RD_KAFKA_V_KEY(key, r->key.len), RD_KAFKA_V_VALUE(value, r->value.len),
                             RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_TIMESTAMP(r->timestamp_ms),
                             RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_OPAQUE(r->offset), RD_KAFKA_V_END);
}

enum err_class kafka_writer_add(struct kafka_writer *w, const struct kafka_record *r, int64_t deadline_us,
                                struct err *err)
{
    rd_kafka_resp_err_t code;
    for (;;) {
        rd_kafka_headers_t *headers = headers_of(r);
        code = produce(w, r, headers);
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR && headers != NULL) {
            rd_kafka_headers_destroy(headers);
        }
        if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL || left_ms(deadline_us) == 0) {
            break;
        }
        rd_kafka_poll(w->rk, 10);
    }
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        return ERR_NONE;
    }
    w->spent = true;
    if (code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) {
        return err_set(err, ERR_REJECT, EXIT_DATA, "kafka: a record of %zu bytes for topic \"%s\" is too large to send",
                       r->value.len, r->topic);
    }
    return kafka_error(w->client, err, code, "writing to topic \"%s\"", r->topic);
}

enum err_class kafka_writer_flush(struct kafka_writer *w, int64_t deadline_us, struct err *err)
{
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__TIMED_OUT;
    while (code == RD_KAFKA_RESP_ERR__TIMED_OUT && w->refused == RD_KAFKA_RESP_ERR_NO_ERROR) { /* then the rest waits */
        int64_t left = left_ms(deadline_us);
        code = rd_kafka_flush(w->rk, left < SLICE_MS ? (int)left : SLICE_MS);
        if (left == 0) {
            break;
        }
    }
    code = w->refused != RD_KAFKA_RESP_ERR_NO_ERROR ? w->refused : code;
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        return ERR_NONE;
    }
    w->spent = true;
    return kafka_error(w->client, err, code, "writing");
}

enum err_class kafka_writer_offsets(struct kafka_writer *w, const char *topic, const struct kafka_progress *list,
                                    size_t count, const rd_kafka_consumer_group_metadata_t *metadata,
                                    int64_t deadline_us, struct err *err)
{
    rd_kafka_topic_partition_list_t *offsets = kafka_progress_list(topic, list, count);
    int64_t left = left_ms(deadline_us);
    rd_kafka_error_t *error = rd_kafka_send_offsets_to_transaction(w->rk, offsets, metadata, (int)left);
    kafka_progress_list_free(offsets);
    return error == NULL ? ERR_NONE : fail(w, error, "adding offsets to a transaction", err);
}

enum err_class kafka_writer_commit(struct kafka_writer *w, int64_t deadline_us, struct err *err)
{
    rd_kafka_error_t *error = call(rd_kafka_commit_transaction, w, deadline_us);
    if (error != NULL) {
        return fail(w, error, "committing", err);
    }
    w->spent = kafka_client_tainted(w->client) && !fault("CK1.taint");
    return ERR_NONE;
}

bool kafka_writer_is_spent(const struct kafka_writer *w)
{
    return w->spent;
}

static void sent(const rd_kafka_message_t *message, void *ctx)
{
    delivered(message, NULL);
    *(rd_kafka_resp_err_t *)ctx = message->err;
}

enum err_class kafka_send(const struct kafka_options *kafka, const struct kafka_record *r, int64_t wait_us,
                          struct err *err)
{
    char wait[32];
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__TIMED_OUT;
    struct kafka_callbacks callbacks = {.delivered = sent, .ctx = &code};
    struct kafka_writer w = {0};
    snprintf(wait, sizeof(wait), "%lld", (long long)(wait_us / US_PER_MS));
    const struct kafka_setting setting = {"message.timeout.ms", wait};
    enum err_class cls = kafka_client_new(kafka, RD_KAFKA_PRODUCER, &setting, 1, &callbacks, &w.client, err);
    if (cls != ERR_NONE) {
        return cls;
    }
    w.rk = kafka_client_handle(w.client);
    cls = kafka_writer_add(&w, r, clock_mono(&clock_real) + wait_us, err);
    if (cls == ERR_NONE) {
        rd_kafka_flush(w.rk, (int)(wait_us / US_PER_MS));
        cls = code ? kafka_error(w.client, err, code, "writing to topic \"%s\"", r->topic) : ERR_NONE;
    }
    kafka_client_free(w.client);
    return cls;
}
