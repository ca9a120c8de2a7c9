/* SPDX-License-Identifier: MIT
 *
 * kafka_state.c - see kafka_state.h.
 */
#include "journal/kafka_state.h"

#include <stdio.h>
#include <stdlib.h>

enum { KEY_MAX = 200 };

static const char *const sides[] = {[TALLY_EVENT] = "event", [TALLY_ARRIVAL] = "arrival"};

void kafka_state_init(struct kafka_state *s)
{
    *s = (struct kafka_state){0};
}

void kafka_state_fini(struct kafka_state *s)
{
    for (size_t i = 0; i < s->note_count; i++) {
        free(s->notes[i].key);
        free(s->notes[i].value);
    }
    free(s->notes);
    free(s->retried);
    tally_fini(&s->tally);
    kafka_state_init(s);
}

/* ---- looking */

const struct kept_note *kafka_state_note(const struct kafka_state *s, struct str key)
{
    for (size_t i = 0; i < s->note_count; i++) {
        if (str_eqz(key, s->notes[i].key)) {
            return &s->notes[i];
        }
    }
    return NULL;
}

void kafka_state_set_note(struct kafka_state *s, struct str key, struct str value, int64_t batch)
{
    struct kept_note *n = (struct kept_note *)(uintptr_t)kafka_state_note(s, key);
    if (n == NULL) {
        s->notes = xrealloc(s->notes, (s->note_count + 1) * sizeof(*s->notes));
        n = &s->notes[s->note_count++];
        *n = (struct kept_note){.key = str_dup(key)};
    }
    free(n->value);
    n->value = str_dup(value);
    n->len = value.len;
    n->batch = batch;
}

int64_t kafka_state_retried(const struct kafka_state *s, int64_t id)
{
    for (size_t i = 0; i < s->retried_count; i++) {
        if (s->retried[i].id == id) {
            return s->retried[i].wall_us;
        }
    }
    return TIME_NONE;
}

/* ---- reading */

/* The next line NAME=VALUE; false: no more, or it is not one. */
static bool line_next(struct str *rest, struct str *ret_name, struct str *ret_value)
{
    struct str line;
    if (!str_split(rest, '\n', &line) || !str_split(&line, '=', ret_name)) {
        return false;
    }
    *ret_value = line;
    return true;
}

static void text_copy(char *out, size_t size, struct str text)
{
    snprintf(out, size, "%.*s", text.len < size ? (int)text.len : 0, text.ptr == NULL ? "" : text.ptr);
}

static enum err_class journal_read(struct kafka_state *s, struct str text, struct err *err)
{
    struct journal_info info = {0};
    struct str name, value;
    int64_t number, version = 0, seed = 0, partitions = 0;
    while (line_next(&text, &name, &value)) {
        bool is_number = str_to_int64(value, &number);
        if (str_eqz(name, "id")) {
            text_copy(info.id, sizeof(info.id), value);
        } else if (str_eqz(name, "source")) {
            text_copy(info.source, sizeof(info.source), value);
        } else if (is_number && str_eqz(name, "version")) {
            version = number;
        } else if (is_number && str_eqz(name, "seed")) {
            seed = number;
        } else if (is_number && str_eqz(name, "epoch")) {
            info.epoch = number;
        } else if (is_number && str_eqz(name, "created_us")) {
            info.created_us = number;
        } else if (is_number && str_eqz(name, "partitions")) {
            partitions = number;
        }
    }
    if (version > KAFKA_VERSION) {
        return err_set(err, ERR_FATAL, EXIT_TOO_NEW,
                       "the journal on Kafka was written by a newer program (version %lld)", (long long)version);
    }
    if (version < 1 || *info.id == 0 || partitions < 1 || partitions > PARTITION_MAX) {
        return err_set(err, ERR_FATAL, EXIT_DATA, "what the state topic says of the journal cannot be understood");
    }
    info.seed = (uint64_t)seed;
    info.partitions = (uint32_t)partitions;
    s->info = info;
    s->version = version;
    s->found = true;
    return ERR_NONE;
}

static void batch_read(struct kafka_state *s, struct str text)
{
    struct str name, value;
    while (line_next(&text, &name, &value)) {
        if (str_eqz(name, "batch")) {
            (void)str_to_int64(value, &s->batch);
        } else if (str_eqz(name, "owner")) {
            text_copy(s->owner, sizeof(s->owner), value);
        } else if (str_eqz(name, "ends")) {
            struct str end;
            for (uint32_t p = 0; p < PARTITION_MAX && str_split(&value, ',', &end); p++) {
                (void)str_to_int64(end, &s->ends[p]);
            }
        }
    }
}

static void note_read(struct kafka_state *s, struct str key, struct str text)
{
    struct str name, value, rest = text;
    int64_t batch = 0;
    if (line_next(&rest, &name, &value) && str_eqz(name, "batch") && str_to_int64(value, &batch)) {
        kafka_state_set_note(s, key, rest, batch);
    }
}

static bool minute_parse(struct str text, int64_t *ret_minute)
{
    if (str_eqz(text, "none") || str_eqz(text, "older") || str_eqz(text, "ahead")) {
        *ret_minute = *text.ptr == 'n' ? TALLY_NO_TIME : *text.ptr == 'o' ? TALLY_OLDER : TALLY_AHEAD;
        return true;
    }
    return str_to_int64(text, ret_minute);
}

/* Absolute counts: what stands there now is taken away. */
static void tally_read(struct kafka_state *s, struct str key, struct str text)
{
    struct str side, part;
    int64_t minute, count;
    if (!str_split(&key, '/', &side) || !minute_parse(key, &minute)) {
        return;
    }
    enum tally_by by = str_eqz(side, sides[TALLY_EVENT]) ? TALLY_EVENT : TALLY_ARRIVAL;
    for (int bucket = 0; bucket < SOURCE_BUCKETS; bucket++) {
        count = 0;
        if (str_split(&text, ' ', &part)) {
            (void)str_to_int64(part, &count);
        }
        int64_t change = count - tally_get(&s->tally, by, minute, (uint8_t)bucket);
        if (change != 0) {
            tally_add(&s->tally, by, minute, (uint8_t)bucket, change);
        }
    }
}

static void retried_read(struct kafka_state *s, struct str key, struct str text)
{
    struct retried r;
    if (str_to_int64(key, &r.id) && str_to_int64(text, &r.wall_us)) {
        s->retried = xrealloc(s->retried, (s->retried_count + 1) * sizeof(*s->retried));
        s->retried[s->retried_count++] = r;
    }
}

static bool key_begins(struct str *key, const char *prefix)
{
    struct str p = str_of(prefix);
    if (!str_starts(*key, p)) {
        return false;
    }
    *key = str_n(key->ptr + p.len, key->len - p.len);
    return true;
}

/* A tombstone; of a minute it stands for nothing but zeros. */
static void forgotten(struct kafka_state *s, struct str key)
{
    struct str side = key;
    if (key_begins(&key, "note/")) {
        struct kept_note *n = (struct kept_note *)(uintptr_t)kafka_state_note(s, key);
        if (n != NULL) {
            free(n->key);
            free(n->value);
            *n = s->notes[--s->note_count];
        }
    } else if (key_begins(&side, "tally/")) {
        tally_read(s, side, STR(""));
    } else if (key_begins(&key, "retried/")) {
        int64_t id = 0;
        size_t kept = 0;
        (void)str_to_int64(key, &id);
        for (size_t i = 0; i < s->retried_count; i++) {
            s->retried[kept] = s->retried[i];
            kept += s->retried[i].id != id;
        }
        s->retried_count = kept;
    }
}

static enum err_class message_read(struct kafka_state *s, const rd_kafka_message_t *m, struct err *err)
{
    struct str key = str_n(m->key, m->key_len), value = str_n(m->payload, m->len);
    if (str_eqz(key, "journal")) {
        return journal_read(s, value, err);
    }
    if (m->payload == NULL) {
        forgotten(s, key);
        return ERR_NONE;
    }
    if (str_eqz(key, "batch")) {
        batch_read(s, value);
    } else if (str_eqz(key, STATE_CLAIM)) {
        text_copy(s->claim, sizeof(s->claim), value);
    } else if (key_begins(&key, "note/")) {
        note_read(s, key, value);
    } else if (key_begins(&key, "tally/")) {
        tally_read(s, key, value);
    } else if (key_begins(&key, "retried/")) {
        retried_read(s, key, value);
    }
    return ERR_NONE;
}

enum err_class kafka_state_refresh(struct kafka_state *s, struct kafka_feed *feed, struct err *err)
{
    int64_t head, end;
    enum err_class cls = kafka_feed_bounds(feed, true, KAFKA_WAIT_US, &head, &end, err);
    while (cls == ERR_NONE && s->next < end) { /* as it is now: who writes often would keep us here */
        struct kafka_page page;
        cls = kafka_feed_read(feed, s->next, 0, KAFKA_PAGE_MAX, KAFKA_WAIT_US, &page, err);
        for (size_t i = 0; cls == ERR_NONE && i < page.count; i++) {
            cls = message_read(s, page.messages[i], err);
            s->next = page.messages[i]->offset + 1;
        }
        if (cls == ERR_NONE && page.count == 0) {
            break;
        }
    }
    return cls;
}

/* ---- writing */

static enum err_class put(const struct kafka_state_writer *w, const char *key, struct str value, struct err *err)
{
    struct kafka_record r = {.topic = w->topic, .partition = 0, .key = str_of(key), .value = value};
    return kafka_writer_add(w->writer, &r, w->deadline_us, err);
}

enum err_class kafka_state_put_journal(const struct kafka_state_writer *w, const struct journal_info *info,
                                       int64_t version, struct err *err)
{
    AUTO(buf) struct buf text = {0};
    buf_addf(&text, "version=%lld\nid=%s\nseed=%lld\nepoch=%lld\ncreated_us=%lld\npartitions=%u\nsource=%s\n",
             (long long)version, info->id, (long long)info->seed, (long long)info->epoch, (long long)info->created_us,
             info->partitions, info->source);
    return put(w, "journal", buf_str(&text), err);
}

enum err_class kafka_state_put_batch(const struct kafka_state_writer *w, int64_t batch, const char *owner,
                                     const int64_t *ends, uint32_t partitions, struct err *err)
{
    AUTO(buf) struct buf text = {0};
    buf_addf(&text, "batch=%lld\nowner=%s\nends=", (long long)batch, owner);
    for (uint32_t p = 0; p < partitions; p++) {
        buf_addf(&text, "%s%lld", p == 0 ? "" : ",", (long long)ends[p]);
    }
    buf_addc(&text, '\n');
    return put(w, "batch", buf_str(&text), err);
}

enum err_class kafka_state_put_note(const struct kafka_state_writer *w, const struct note *note, int64_t batch,
                                    struct err *err)
{
    char key[KEY_MAX];
    AUTO(buf) struct buf text = {0};
    buf_addf(&text, "batch=%lld\n", (long long)batch);
    buf_add(&text, note->value);
    snprintf(key, sizeof(key), "note/%.*s", STR_ARG(note->key));
    return put(w, key, buf_str(&text), err);
}

enum err_class kafka_state_put_retried(const struct kafka_state_writer *w, int64_t id, int64_t wall_us, struct err *err)
{
    char key[KEY_MAX], text[32];
    snprintf(key, sizeof(key), "retried/%lld", (long long)id);
    snprintf(text, sizeof(text), "%lld", (long long)wall_us);
    return put(w, key, str_of(text), err);
}

static void minute_key(char *out, size_t size, enum tally_by by, int64_t minute)
{
    char number[32];
    snprintf(number, sizeof(number), "%lld", (long long)minute);
    snprintf(out, size, "tally/%s/%s", sides[by],
             minute == TALLY_NO_TIME ? "none"
             : minute == TALLY_OLDER ? "older"
             : minute == TALLY_AHEAD ? "ahead"
                                     : number);
}

static enum err_class minute_put(const struct kafka_state_writer *w, const struct kafka_state *s, enum tally_by by,
                                 int64_t minute, struct err *err)
{
    char key[KEY_MAX];
    AUTO(buf) struct buf text = {0};
    for (int bucket = 0; bucket < SOURCE_BUCKETS; bucket++) {
        buf_addf(&text, "%s%lld", bucket == 0 ? "" : " ", (long long)tally_get(&s->tally, by, minute, (uint8_t)bucket));
    }
    minute_key(key, sizeof(key), by, minute);
    return put(w, key, buf_str(&text), err);
}

static bool written_before(const struct tally_row *rows, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (rows[i].by == rows[at].by && rows[i].minute == rows[at].minute) {
            return true;
        }
    }
    return false;
}

enum err_class kafka_state_put_tally(const struct kafka_state_writer *w, struct kafka_state *s,
                                     const struct tally_row *rows, size_t count, struct err *err)
{
    enum err_class cls = ERR_NONE;
    for (size_t i = 0; i < count; i++) {
        tally_add(&s->tally, rows[i].by, rows[i].minute, rows[i].bucket, rows[i].count);
    }
    for (size_t i = 0; i < count && cls == ERR_NONE; i++) {
        if (!written_before(rows, i)) {
            cls = minute_put(w, s, rows[i].by, rows[i].minute, err);
        }
    }
    return cls;
}

enum err_class kafka_state_fold(const struct kafka_state_writer *w, struct kafka_state *s, int64_t newest_arrival_us,
                                struct err *err)
{
    int64_t floor = journal_tally_floor(newest_arrival_us);
    bool any[2] = {false, false};
    for (size_t i = 0; i < s->tally.count; i++) {
        const struct tally_row *row = &s->tally.rows[i];
        if (row->minute < floor && row->minute > TALLY_OLDER && !written_before(s->tally.rows, i)) {
            char key[KEY_MAX];
            minute_key(key, sizeof(key), row->by, row->minute);
            enum err_class cls = put(w, key, (struct str){NULL, 0}, err);
            if (cls != ERR_NONE) {
                return cls;
            }
            any[row->by] = true;
        }
    }
    tally_fold(&s->tally, newest_arrival_us);
    enum err_class cls = any[TALLY_EVENT] ? minute_put(w, s, TALLY_EVENT, TALLY_OLDER, err) : ERR_NONE;
    return cls == ERR_NONE && any[TALLY_ARRIVAL] ? minute_put(w, s, TALLY_ARRIVAL, TALLY_OLDER, err) : cls;
}

enum err_class kafka_state_forget(const struct kafka_state_writer *w, struct kafka_state *s, struct err *err)
{
    char key[KEY_MAX];
    const struct str nothing = {NULL, 0};
    enum err_class cls = ERR_NONE;
    for (size_t i = 0; i < s->note_count && cls == ERR_NONE; i++) {
        snprintf(key, sizeof(key), "note/%s", s->notes[i].key);
        cls = put(w, key, nothing, err);
        free(s->notes[i].key);
        free(s->notes[i].value);
    }
    s->note_count = 0;
    for (size_t i = 0; i < s->tally.count && cls == ERR_NONE; i++) {
        if (!written_before(s->tally.rows, i)) {
            minute_key(key, sizeof(key), s->tally.rows[i].by, s->tally.rows[i].minute);
            cls = put(w, key, nothing, err);
        }
    }
    tally_fini(&s->tally);
    for (size_t i = 0; i < s->retried_count && cls == ERR_NONE; i++) {
        snprintf(key, sizeof(key), "retried/%lld", (long long)s->retried[i].id);
        cls = put(w, key, nothing, err);
    }
    s->retried_count = 0;
    return cls;
}
