/* SPDX-License-Identifier: MIT
 *
 * place.c - see place.h.
 */
#include "cli/place.h"

#include "journal/journal.h"
#include "sink/results.h"

enum err_class place_open(struct cli *cli, int parts, struct topics_place *place, struct err *err)
{
    enum err_class cls = cli_config(cli, err);
    if (cls)
        return cls;
    place->kafka = config_kafka_client(&cli->config);
    place->journal_topic = cli->config.journal.topic;
    place->wait_us = TOPIC_WAIT_US;
    place->until_us = INT64_MAX;
    if (!place->kafka && (parts & PLACE_RESULTS)) {
        cls = cli_directory(cli, err);
        cls = cls ? cls : results_open(cli->directory, &place->results, err);
    }
    if (!cls && !place->kafka && (parts & PLACE_JOURNAL))
        cls = cli_journal(cli, &place->journal, err);
    return cls;
}

void place_close(struct topics_place *place)
{
    if (place->journal)
        journal_reader_close(place->journal);
    if (place->results)
        results_close(place->results);
}

enum err_class place_no_topic(const struct topics_place *place, const char *name, struct err *err)
{
    return err_set(err, ERR_REJECT, EXIT_NOINPUT, "there is no topic \"%s\" in the %s; see \"wikitally topics list\"",
                   name, place->kafka ? "cluster" : "embedded journal");
}
