/* SPDX-License-Identifier: MIT
 *
 * results.c - the front of reading: hands each question to the store that the results were opened on.
 */
#include "sink/shared.h"

void results_close(struct results *r)
{
    if (r != NULL) {
        r->ops->close(r);
    }
}

enum err_class results_hold(struct results *r, struct err *err)
{
    return r->ops->hold(r, err);
}

void results_release(struct results *r)
{
    r->ops->release(r);
}

enum err_class results_aggregations(struct results *r, struct arena *arena, const struct stored_aggregation **ret_list,
                                    size_t *ret_count, struct err *err)
{
    return r->ops->aggregations(r, arena, ret_list, ret_count, err);
}

enum err_class results_rows(struct results *r, const struct results_query *q,
                            bool (*each)(const struct stored_row *row, void *ctx), void *ctx, struct err *err)
{
    return r->ops->rows(r, q, each, ctx, err);
}

enum err_class results_tally(struct results *r, const char *aggregation,
                             bool (*each)(const struct stored_tally *t, void *ctx), void *ctx, struct err *err)
{
    return r->ops->tally(r, aggregation, each, ctx, err);
}

enum err_class results_lines(struct results *r, bool (*each)(const struct stored_line *l, void *ctx), void *ctx,
                             struct err *err)
{
    return r->ops->lines(r, each, ctx, err);
}

enum err_class results_torn(struct results *r, const char *aggregation,
                            bool (*each)(uint32_t partition, const struct torn_span *t, void *ctx), void *ctx,
                            struct err *err)
{
    return r->ops->torn(r, aggregation, each, ctx, err);
}

enum err_class results_mark(struct results *r, const char *aggregation, int64_t generation, uint32_t partition,
                            int64_t from_us, struct arena *arena, struct mark *ret_mark, bool *ret_found,
                            struct err *err)
{
    return r->ops->mark(r, aggregation, generation, partition, from_us, arena, ret_mark, ret_found, err);
}

enum err_class results_dead(struct results *r, int64_t from_id, bool (*each)(const struct dead_letter *d, void *ctx),
                            void *ctx, struct err *err)
{
    return r->ops->dead(r, from_id, each, ctx, err);
}
