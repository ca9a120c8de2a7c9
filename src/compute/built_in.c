/* SPDX-License-Identifier: MIT
 *
 * built_in.c - the aggregations that come with the program (oracle.md section 6), all of one minute.
 */
#include "compute/aggregation.h"

#define DEFAULT_TIMES                                                                                                  \
    .time_field = "timestamp", .size_us = US_PER_MINUTE, .delay_us = 2 * US_PER_MINUTE, .skew_us = US_PER_MINUTE,      \
    .late = LATE_AMEND, .lateness_us = 15 * US_PER_MINUTE, .max_keys = 100000

static const char *const user_keys[] = {"user as user_name"}, *const user_measures[] = {"count as edit_count"};
static const char *const bot_keys[] = {"bot"}, *const website_keys[] = {"server_name"}, *const type_keys[] = {"type"};
static const char *const title_keys[] = {"wiki", "title"};
static const char *const count_measure[] = {"count"};

static const struct aggregation_options built_in[] = {
    {.name = "user_edit_counts",
     .keys = user_keys,
     .key_count = 1,
     .measures = user_measures,
     .measure_count = 1,
     DEFAULT_TIMES},
    {.name = "bots", .keys = bot_keys, .key_count = 1, .measures = count_measure, .measure_count = 1, DEFAULT_TIMES},
    {.name = "website",
     .keys = website_keys,
     .key_count = 1,
     .measures = count_measure,
     .measure_count = 1,
     DEFAULT_TIMES},
    {.name = "timeseries",
     .keys = type_keys,
     .key_count = 1,
     .measures = count_measure,
     .measure_count = 1,
     DEFAULT_TIMES},
    {.name = "titles",
     .keys = title_keys,
     .key_count = 2,
     .measures = count_measure,
     .measure_count = 1,
     DEFAULT_TIMES},
};

const char *const aggregation_built_in_names[] = {"user_edit_counts", "bots", "website", "timeseries", "titles", NULL};

const struct aggregation_options *aggregation_built_in(struct str name)
{
    for (size_t i = 0; i < sizeof(built_in) / sizeof(*built_in); i++) {
        if (str_eqz(name, built_in[i].name)) {
            return &built_in[i];
        }
    }
    return NULL;
}

void aggregation_options_init(struct aggregation_options *o)
{
    *o = (struct aggregation_options){DEFAULT_TIMES};
}
