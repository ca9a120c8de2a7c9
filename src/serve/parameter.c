/* SPDX-License-Identifier: MIT
 *
 * parameter.c - see parameter.h.
 */
#include "serve/parameter.h"

bool parameter_text(const struct request *q, const char *name, struct buf *text, bool *ret_there, struct answer *a)
{
    *ret_there = request_parameter(q, name, text);
    if (*ret_there || !request_has(q, name))
        return true;
    answer_problem(a, 400, "Bad request", "%s: wanted is UTF-8 without NUL, percent-encoded", name);
    return false;
}

bool parameter_number(const struct request *q, const char *name, int64_t least, int64_t most, int64_t *ret_number,
                      struct answer *a)
{
    AUTO(buf) struct buf text = {0};
    bool there;
    if (!parameter_text(q, name, &text, &there, a))
        return false;
    if (!there || (str_to_int64(buf_str(&text), ret_number) && *ret_number >= least && *ret_number <= most))
        return true;
    answer_problem(a, 400, "Bad request", "%s '%.*s': %lld to %lld", name, STR_ARG(buf_str(&text)), (long long)least,
                   (long long)most);
    return false;
}
