/* SPDX-License-Identifier: MIT
 *
 * stream.c - one stream on one connection: what KafkaSSE does between `:ok` and the cut, and the faults on the way.
 *
 * Records of the topics asked for go out in turns of up to TURN_BYTES a topic, as a Kafka consumer gets them: far
 * behind, a quiet topic therefore runs ahead of a busy one. Each event is `event: message`, `id: [...]`, `data: ...`
 * and an empty line; the id holds for each topic the position to resume at.
 */
#include "base/condition.h"
#include "base/fault.h"
#include "upstream/inside.h"

#include <unistd.h>
#include <zlib.h>

enum { TURN_BYTES = 1 << 20, OUT_MAX = 256 << 20, IDLE_MS = 100, FIRE_MAX = 8 };
#define NEVER INT64_MAX

struct place { /* one topic of this connection */
    int topic;
    int64_t index;     /* of the next entry */
    int64_t offset;    /* in the id until something was sent */
    int64_t timestamp; /* in the id, or TIME_NONE */
    bool looked_up;    /* the offset was found by time: its members stand in another order then */
    bool silent;       /* a partition that is not there */
    int64_t partition;
};

struct stream {
    struct connection *connection;
    struct upstream *upstream;
    int64_t request_number;
    struct place places[WANTS_MAX];
    size_t place_count, turn;
    bool json, chunked, gzip;
    z_stream zip;
    int cluster;
    int64_t lag_us[TOPICS];
    int64_t cut_mono_us;       /* cut then */
    int64_t cut_bytes;         /* cut after that many bytes of body; -1: never */
    int64_t body_bytes;        /* so far */
    int64_t rate;              /* bytes a second; 0: no limit */
    struct buf out;            /* framed, to be sent */
    struct buf id, text, data; /* of the record at hand; their memory is used again */
    bool over, reset, half_open;
    int64_t stall_us; /* wait that long when all is sent; -1: for ever; 0: no */
};

/* ---------------------------------------------------------------- bytes */

/* The head of a chunk. Three a record, so not by printf. */
static void add_chunk_size(struct buf *out, size_t size)
{
    int bits = 60;
    while (bits > 0 && size >> bits == 0) {
        bits -= 4;
    }
    for (; bits >= 0; bits -= 4) {
        buf_addc(out, "0123456789abcdef"[size >> bits & 15]);
    }
    buf_addz(out, "\r\n");
}

static void frame(struct stream *s, struct str bytes)
{
    if (bytes.len == 0) {
        return;
    }
    if (s->chunked) {
        add_chunk_size(&s->out, bytes.len);
    }
    int64_t left = s->cut_bytes < 0 ? NEVER : s->cut_bytes - s->body_bytes;
    if ((int64_t)bytes.len > left) { /* in the middle of a chunk */
        bytes.len = (size_t)left;
        s->over = true;
    }
    buf_add(&s->out, bytes);
    s->body_bytes += (int64_t)bytes.len;
    if (s->chunked && !s->over) {
        buf_addz(&s->out, "\r\n");
    }
}

static void emit(struct stream *s, struct str bytes)
{
    if (s->over) {
        return;
    }
    if (!s->gzip) {
        frame(s, bytes);
        return;
    }
    char piece[16384];
    s->zip.next_in = (Bytef *)(uintptr_t)bytes.ptr;
    s->zip.avail_in = (uInt)bytes.len;
    do {
        s->zip.next_out = (Bytef *)piece;
        s->zip.avail_out = sizeof(piece);
        deflate(&s->zip, Z_SYNC_FLUSH);
        frame(s, str_n(piece, sizeof(piece) - s->zip.avail_out));
    } while (s->zip.avail_out == 0);
}

/* Sleeps in slices; false: the connection is over. */
static bool linger(struct stream *s, int64_t us)
{
    int64_t until = us < 0 ? NEVER : clock_mono(&clock_real) + us;
    while (clock_mono(&clock_real) < until) {
        if (s->half_open ? atomic_load(&s->upstream->stopping) : !connection_alive(s->connection)) {
            return false;
        }
        int64_t left = until - clock_mono(&clock_real);
        usleep((useconds_t)(left < 20000 ? left : 20000));
    }
    return true;
}

static bool flush(struct stream *s)
{
    struct str rest = buf_str(&s->out);
    bool sent = true;
    while (sent && rest.len > 0) {
        size_t slice = s->rate > 0 ? (size_t)(s->rate / 20 + 1) : rest.len;
        slice = slice < rest.len ? slice : rest.len;
        sent = !failpoint("upstream.sending") && connection_send(s->connection, str_n(rest.ptr, slice)) &&
               (s->rate == 0 || linger(s, 50000));
        rest = str_n(rest.ptr + slice, rest.len - slice);
    }
    buf_clear(&s->out);
    return sent;
}

/* ---------------------------------------------------------------- events */

static void add_id(struct stream *s)
{
    buf_clear(&s->id);
    buf_addz(&s->id, "id: [");
    for (size_t i = 0; i < s->place_count; i++) {
        const struct place *p = &s->places[i];
        bool time = p->timestamp != TIME_NONE;
        long long at = time ? p->timestamp : p->offset, partition = p->partition;
        const char *comma = i ? "," : "", *topic = upstream_topics[p->topic];
        if (p->looked_up && !time) {
            buf_addf(&s->id, "%s{\"offset\":%lld,\"partition\":%lld,\"topic\":\"%s\"}", comma, at, partition, topic);
        } else {
            buf_addf(&s->id, "%s{\"topic\":\"%s\",\"partition\":%lld,\"%s\":%lld}", comma, topic, partition,
                     time ? "timestamp" : "offset", at);
        }
    }
    buf_addz(&s->id, "]\n");
}

/* data: with each run of CR and LF as one line break, as SSEResponse.send does it. */
static void emit_data(struct stream *s, const char *event, struct str text)
{
    struct buf *data = &s->data;
    bool in_break = false;
    buf_clear(data);
    buf_addz(data, s->json ? "" : "data: ");
    if (!memchr(text.ptr, '\n', text.len) && !memchr(text.ptr, '\r', text.len)) {
        buf_add(data, text);
    } else {
        for (size_t i = 0; i < text.len; i++) {
            bool is_break = text.ptr[i] == '\n' || text.ptr[i] == '\r';
            if (is_break && !in_break) {
                buf_addz(data, s->json ? "\n" : "\ndata: ");
            } else if (!is_break) {
                buf_addc(data, text.ptr[i]);
            }
            in_break = is_break;
        }
    }
    buf_addz(data, s->json ? "\n" : "\n\n");
    if (!s->json) {
        add_id(s);
        emit(s, str_of(event));
        emit(s, buf_str(&s->id));
    }
    emit(s, buf_str(data));
}

static int64_t shift_of(const struct stream *s, int topic)
{
    static const int64_t shifts[TOPICS] = {3000000019, 5000000021};
    return s->cluster ? shifts[topic] : 0;
}

static void emit_entry(struct stream *s, struct place *p, const struct entry *e)
{
    struct str text = str_n(e->text, e->len);
    if (e->offset_at != SIZE_MAX) {
        buf_clear(&s->text);
        buf_add(&s->text, str_n(e->text, e->offset_at));
        buf_add_int(&s->text, e->offset + shift_of(s, p->topic));
        buf_add(&s->text, str_n(e->text + e->offset_at, e->len - e->offset_at));
        text = buf_str(&s->text);
    }
    p->timestamp = e->timestamp_ms + 1;
    emit_data(s, "event: message\n", text);
    s->upstream->stats.records_sent++;
}

/* ---------------------------------------------------------------- faults of a record */

static void emit_oversize(struct stream *s, int64_t bytes)
{
    char piece[4096];
    memset(piece, 'x', sizeof(piece));
    emit(s, STR("event: message\n"));
    emit(s, STR("data: {\"x\":\""));
    for (int64_t left = bytes; left > 0 && !s->over; left -= (int64_t)sizeof(piece)) {
        emit(s, str_n(piece, left < (int64_t)sizeof(piece) ? (size_t)left : sizeof(piece)));
    }
    emit(s, STR("\"}\n\n"));
}

/* -> false: the record itself is not sent. */
static bool apply(struct stream *s, struct place *p, struct entry *e, const struct mishap *m)
{
    AUTO(buf) struct buf text = {0};
    int64_t first = s->upstream->logs[p->topic].first;
    switch (m->kind) {
    case MISHAP_STALL:
        s->stall_us = m->for_us > 0 ? m->for_us : -1;
        return true;
    case MISHAP_HALF_OPEN:
        s->half_open = true;
        s->stall_us = m->for_us > 0 ? m->for_us : -1;
        return true;
    case MISHAP_CUT:
    case MISHAP_RESET:
        s->reset = m->kind == MISHAP_RESET;
        s->over = true;
        return false;
    case MISHAP_HOLE:
        e->lost = m->keep;
        return false;
    case MISHAP_DUPLICATE:
        for (int64_t i = 0; i < m->copies; i++) {
            emit_entry(s, p, e);
        }
        return true;
    case MISHAP_REWIND:
        emit_entry(s, p, e);
        p->index = p->index - m->by > first ? p->index - m->by : first;
        p->index--; /* the caller adds one */
        return false;
    case MISHAP_OVERSIZE:
        emit_oversize(s, m->bytes);
        return true;
    case MISHAP_BAD_UTF8:
        buf_addf(&text, "{\"meta\":{\"id\":\"bad-utf8-%lld\"},\"title\":\"Caf\xE9 \xC0\xAF\xFF\"}",
                 (long long)m->fired);
        emit_data(s, "event: message\n", buf_str(&text));
        return true;
    case MISHAP_COMMENTS:
        for (int64_t i = 0; i < m->count; i++) {
            emit(s, STR(": nothing to see here\n"));
        }
        return true;
    case MISHAP_ERROR_EVENT:
        emit_data(s, "event: error\n",
                  STR("{\"message\":\"Broker transport failure\",\"origin\":\"KafkaSSE\",\"name\":\"KafkaSSEError\"}"));
        s->over = true;
        return false;
    default:
        return true;
    }
}

/* One record under the lock. */
static void send_entry(struct stream *s, struct place *p)
{
    struct upstream *u = s->upstream;
    struct entry *e = log_at(&u->logs[p->topic], p->index);
    struct mishap fired[FIRE_MAX];
    bool send = !e->lost;
    size_t count = send ? mishaps_fire(&u->mishaps, true, s->request_number, &u->rng, fired, FIRE_MAX) : 0;
    u->stats.faults_fired += (int64_t)count;
    for (size_t i = 0; i < count && !s->over; i++) {
        send = apply(s, p, e, &fired[i]) && send;
    }
    if (send && !s->over) {
        emit_entry(s, p, e);
    }
    p->index++;
}

/* ---------------------------------------------------------------- the loop */

/* A turn of one topic. -> did anything go out? */
static bool take_turn(struct stream *s, struct place *p, int64_t mono_us, int64_t *next_due_us)
{
    struct log *l = &s->upstream->logs[p->topic];
    int64_t lag_us = s->lag_us[p->topic], due = NEVER;
    int64_t end = log_available_end(l, mono_us - lag_us, &due);
    size_t from = s->out.len;
    if (due < NEVER && due + lag_us < *next_due_us) {
        *next_due_us = due + lag_us;
    }
    p->index = p->index < l->first ? l->first : p->index; /* retention went over it */
    bool any = false;
    while (!p->silent && p->index < end && s->out.len - from < TURN_BYTES && !s->over && s->stall_us == 0) {
        send_entry(s, p);
        any = true;
    }
    return any;
}

static bool gather(struct stream *s, int64_t *next_due_us)
{
    struct upstream *u = s->upstream;
    bool any = false;
    pthread_mutex_lock(&u->lock);
    int64_t mono_us = clock_mono(u->options.clock);
    for (size_t i = 0; i < s->place_count && !any; i++) {
        struct place *p = &s->places[s->turn++ % s->place_count];
        any = take_turn(s, p, mono_us, next_due_us);
    }
    pthread_mutex_unlock(&u->lock);
    return any;
}

static void wait_for_more(struct stream *s, int64_t next_due_us)
{
    struct upstream *u = s->upstream;
    int64_t wait_us = IDLE_MS * US_PER_MS, mono_us = clock_mono(u->options.clock);
    wait_us = next_due_us - mono_us < wait_us ? next_due_us - mono_us : wait_us;
    wait_us = s->cut_mono_us - mono_us < wait_us ? s->cut_mono_us - mono_us : wait_us;
    if (wait_us <= 0) {
        return;
    }
    int64_t until_us = clock_mono(&clock_real) + wait_us;
    pthread_mutex_lock(&u->lock);
    (void)condition_wait(&u->changed, &u->lock, until_us);
    pthread_mutex_unlock(&u->lock);
}

static void run(struct stream *s)
{
    while (!s->over && connection_alive(s->connection)) {
        int64_t next_due_us = NEVER;
        bool any = gather(s, &next_due_us);
        if (!flush(s)) {
            return;
        }
        if (s->stall_us != 0) {
            int64_t us = s->stall_us;
            s->stall_us = 0;
            if (!linger(s, us) || s->half_open) {
                s->reset |= s->half_open;
                return;
            }
        } else if (clock_mono(s->upstream->options.clock) >= s->cut_mono_us) {
            return;
        } else if (!any) {
            wait_for_more(s, next_due_us);
        }
    }
    flush(s);
}

/* ---------------------------------------------------------------- beginning */

static void find_place(struct stream *s, const struct want *w)
{
    struct upstream *u = s->upstream;
    struct log *l = &u->logs[w->topic];
    struct place p = {.topic = w->topic, .offset = -1, .timestamp = TIME_NONE, .partition = w->partition};
    int64_t end = log_available_end(l, clock_mono(u->options.clock) - s->lag_us[w->topic], NULL);
    int64_t oldest_ms = u->options.retention_us > 0 ? (u->newest_us - u->options.retention_us) / US_PER_MS : INT64_MIN;
    p.index = end;
    p.silent = w->wrong_partition;
    if (w->has_offset) {
        p.offset = w->offset;
        int64_t found = w->offset >= 0 ? log_find_offset(l, w->offset - shift_of(s, w->topic), end) : -1;
        p.index = w->offset == -2 ? l->first : found >= 0 ? found : end;
    } else {
        p.looked_up = true;
        p.index = log_lookup(l, w->timestamp_ms, end, oldest_ms);
        p.offset = p.index < end ? log_at(l, p.index)->offset + shift_of(s, w->topic) : -1;
    }
    s->places[s->place_count++] = p;
}

static void prepare(struct stream *s, const struct request *r, const struct assignment *a, const struct mishap *m,
                    size_t count, int64_t *ret_late_us)
{
    struct upstream *u = s->upstream;
    for (size_t i = 0; i < count; i++) {
        s->rate = m[i].kind == MISHAP_SLOW ? m[i].rate : s->rate;
        s->cluster = m[i].kind == MISHAP_CLUSTER ? 1 : s->cluster;
        s->cut_bytes = m[i].kind == MISHAP_CUT ? m[i].bytes : s->cut_bytes;
        s->gzip |= m[i].kind == MISHAP_GZIP && (m[i].force || strstr(r->accept_encoding, "gzip"));
        *ret_late_us = m[i].kind == MISHAP_LATE_OK ? m[i].for_us : *ret_late_us;
    }
    for (size_t i = 0; i < count; i++) {
        if (m[i].kind == MISHAP_MIRROR) {
            s->lag_us[s->cluster ? 0 : 1] = m[i].lag_us;
        }
    }
    pthread_mutex_lock(&u->lock);
    for (size_t i = 0; i < a->count; i++) {
        find_place(s, &a->wants[i]);
    }
    pthread_mutex_unlock(&u->lock);
}

static bool send_head(struct stream *s, const struct request *r, const struct mishap *m, size_t count, int64_t late_us)
{
    connection_add_head(s->connection, &s->out, 200, "OK", m, count);
    buf_addf(&s->out, "content-type: %s%s\r\ncache-control: no-cache\r\nconnection: keep-alive\r\n",
             s->json ? "application/json" : "text/event-stream", r->has_accept ? "; charset=utf-8" : "");
    buf_addz(&s->out, s->gzip ? "Content-Encoding: gzip\r\n" : "");
    buf_addz(&s->out, s->chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n");
    if (!connection_send(s->connection, buf_str(&s->out)) || !linger(s, late_us)) {
        return false;
    }
    buf_clear(&s->out);
    emit(s, s->json ? STR("\n") : STR(":ok\n\n"));
    return flush(s);
}

void stream_serve(struct connection *c, const struct request *r, const struct assignment *a,
                  const struct mishap *mishaps, size_t mishap_count, int64_t request_number, bool *ret_reset)
{
    struct upstream *u = c->upstream;
    struct stream s = {.connection = c,
                       .upstream = u,
                       .request_number = request_number,
                       .json = !strncmp(r->accept, "application/json", 16),
                       .chunked = r->chunked,
                       .cut_mono_us =
                           u->options.cut_after_us > 0 ? clock_mono(u->options.clock) + u->options.cut_after_us : NEVER,
                       .cut_bytes = -1};
    int64_t late_us = 0;
    s.out.max = OUT_MAX;
    prepare(&s, r, a, mishaps, mishap_count, &late_us);
    if (s.gzip && deflateInit2(&s.zip, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        die_no_memory();
    }
    if (send_head(&s, r, mishaps, mishap_count, late_us)) {
        run(&s);
    }
    *ret_reset = s.reset;
    if (s.gzip) {
        deflateEnd(&s.zip);
    }
    buf_fini(&s.out);
    buf_fini(&s.id);
    buf_fini(&s.text);
    buf_fini(&s.data);
}
