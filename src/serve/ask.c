/* SPDX-License-Identifier: MIT
 *
 * ask.c - see ask.h.
 */
#include "serve/ask.h"

#include "serve/parameter.h"
#include "serve/room.h"

/* ---- while nobody answers */

void asks_init(struct asks *asks)
{
    pthread_mutex_init(&asks->lock, NULL);
}

void asks_end(struct asks *asks)
{
    pthread_mutex_lock(&asks->lock);
    asks->ending = true;
    pthread_mutex_unlock(&asks->lock);
}

void asks_fini(struct asks *asks)
{
    pthread_mutex_destroy(&asks->lock);
}

/* Is there any use in asking? *ret_err: what is said instead. */
static bool is_away(struct asks *asks, int64_t now_us, struct err *ret_err)
{
    pthread_mutex_lock(&asks->lock);
    bool ending = asks->ending, away = now_us < asks->away_until_us;
    *ret_err = asks->err;
    pthread_mutex_unlock(&asks->lock);
    if (ending)
        err_set(ret_err, ERR_RETRY, EXIT_UNAVAILABLE, "the server is being stopped");
    return ending || away;
}

static void note_away(struct asks *asks, int64_t now_us, const struct err *err)
{
    pthread_mutex_lock(&asks->lock);
    asks->away_until_us = now_us + ASK_AWAY_US;
    asks->err = *err;
    pthread_mutex_unlock(&asks->lock);
}

/* ---- one question */

static enum err_class open_embedded(struct readers *readers, bool results, struct topics_place *place, struct err *err)
{
    enum err_class c = readers_journal(readers, &place->journal, err);
    return c || !results ? c : readers_results(readers, &place->results, err);
}

bool ask_begin(struct room *room, struct readers *readers, bool results, struct topics_place *place, struct answer *a)
{
    const struct serve_options *o = &room->options;
    struct err err = {0};
    int64_t now_us = clock_mono(&clock_real);
    *place = (struct topics_place){.kafka = o->kafka,
                                   .journal_topic = o->topic ? o->topic : "journal",
                                   .wait_us = ASK_WAIT_US,
                                   .until_us = now_us + ASK_US,
                                   .page = ASK_PAGE};
    if (is_away(&room->asks, now_us, &err) || (!o->kafka && open_embedded(readers, results, place, &err))) {
        answer_error(a, &err);
        return false;
    }
    return true;
}

void ask_failed(struct room *room, struct readers *readers, const struct topics_place *place, const struct err *err,
                struct answer *a)
{
    if (err->code == EXIT_USAGE) {
        answer_problem(a, 400, "Bad request", "%s", err->text);
    } else if (err->cls == ERR_REJECT && err->code == EXIT_NOINPUT) {
        answer_problem(a, 404, "Not found", "%s", err->text);
    } else if (place->kafka && err->cls != ERR_RETRY) {
        answer_problem(a, 502, "The cluster refuses", "%s", err->text);
    } else {
        if (place->kafka && !place->answered)
            note_away(&room->asks, clock_mono(&clock_real), err);
        if (!place->kafka)
            readers_drop(readers);
        answer_error(a, err);
    }
}

void ask_no_topic(const struct topics_place *place, const char *name, struct answer *a)
{
    answer_problem(a, 404, "Not found", "there is no topic '%s' in the %s; see /api/v1/topics", name,
                   place->kafka ? "cluster" : "embedded journal");
}

struct str ask_tail(const struct request *q, const char *prefix)
{
    size_t n = strlen(prefix);
    return str_n(q->path.ptr + n, q->path.len - n);
}

void ask_done(const struct request *q, struct answer *a)
{
    if (a->body.overflow) {
        answer_problem(a, 500, "Too large", "this is more than one answer holds; ask for less of it");
        return;
    }
    a->type = "application/json";
    answer_compress(a, q);
}

/* ---- JSON */

void ask_add_number(struct buf *out, int64_t n)
{
    if (n < 0)
        buf_addz(out, "null");
    else
        buf_addf(out, "\"%lld\"", (long long)n);
}

void ask_add_time(struct buf *out, int64_t us)
{
    if (us == TIME_NONE) {
        buf_addz(out, "null");
        return;
    }
    buf_addc(out, '"');
    time_format(out, us);
    buf_addc(out, '"');
}

void ask_add_text(struct buf *out, const char *z)
{
    if (z)
        buf_add_json_html(out, str_of(z));
    else
        buf_addz(out, "null");
}

/* ---- pages of lists */

bool ask_page_read(const struct request *q, struct ask_page *page, struct answer *a)
{
    page->limit = ASK_ROWS_DEFAULT;
    return parameter_number(q, "limit", 1, ASK_ROWS_MAX, &page->limit, a) &&
           parameter_text(q, "cursor", &page->after, &page->has_after, a);
}

void ask_page_fini(struct ask_page *page)
{
    buf_fini(&page->after);
}
