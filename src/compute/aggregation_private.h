/* SPDX-License-Identifier: MIT
 *
 * aggregation_private.h - what the files of this room know of a declared aggregation.
 */
#ifndef WIKITALLY_COMPUTE_AGGREGATION_PRIVATE_H
#define WIKITALLY_COMPUTE_AGGREGATION_PRIVATE_H

#include "compute/aggregation.h"
#include "compute/measure.h"

enum { AGGREGATION_KEYS_MAX = 8, AGGREGATION_MEASURES_MAX = 16, AGGREGATION_NAME_MAX = 40, COLUMN_NAME_MAX = 48 };
#define AGGREGATION_WINDOWS_PER_EVENT ((int64_t)1000)  /* size / slide */
#define AGGREGATION_WINDOWS_HELD ((int64_t)10000)      /* (size + delay + lateness) / slide */
#define AGGREGATION_KEYS_PER_WINDOW ((int64_t)1000000) /* the most that max_keys may say */
enum { KEY_TEXT_MAX = 4096 };                          /* a longer key is counted under (other) */

struct aggregation {
    struct aggregation_options options; /* texts are in `texts` */
    struct result_schema schema;
    struct arena texts;
    size_t key_fields[AGGREGATION_KEYS_MAX];
    struct measure measures[AGGREGATION_MEASURES_MAX];
    size_t time_field;
    struct filter *where; /* NULL: all */
    int64_t lateness_us;  /* 0 where late changes are dropped */
    size_t window_slots;  /* windows that can be held at once */
};

/* definition.c: fills a->schema.definition and its hash, once all else is set. */
void definition_make(struct aggregation *a);

#endif
