/* SPDX-License-Identifier: MIT
 *
 * parameter.h - query parameters as the routes want them. Each answers 400 by itself and returns false if what is there
 * is not it; what is not there leaves the value as it was.
 */
#ifndef WIKITALLY_SERVE_PARAMETER_H
#define WIKITALLY_SERVE_PARAMETER_H

#include "serve/answer.h"

bool parameter_number(const struct request *q, const char *name, int64_t least, int64_t most, int64_t *ret_number,
                      struct answer *a);
/* As text; *ret_there: it is there, maybe empty. */
bool parameter_text(const struct request *q, const char *name, struct buf *text, bool *ret_there, struct answer *a);

#endif
