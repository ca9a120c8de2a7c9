/* SPDX-License-Identifier: MIT
 *
 * generator_words.h - the vocabulary of the generator: languages with their words and namespaces, and the wikis that
 * speak them (private to this room). All static but the list of wikis, which each generator builds for itself.
 */
#ifndef WIKITALLY_SOURCE_GENERATOR_WORDS_H
#define WIKITALLY_SOURCE_GENERATOR_WORDS_H

#include "base/str.h"

enum { GEN_WORDS = 16, GEN_WIKIS = 300, GEN_KINDS = 4 };
enum gen_kind { GEN_EDIT, GEN_NEW, GEN_LOG, GEN_CATEGORIZE };

struct gen_script {
    const char *const *words; /* GEN_WORDS of them */
    const char *category, *file, *user, *talk, *project;
    const char *added; /* comment of a categorize row: "[[:PAGE]] ..." */
};

struct gen_wiki {
    char name[32];   /* "enwiki" */
    char server[48]; /* "en.wikipedia.org" */
    const struct gen_script *script;
    double weight;          /* share of requests, cumulative over the list */
    uint8_t mix[GEN_KINDS]; /* percent of requests: edit, new, log, categorize only */
    bool patrolled;         /* edits carry `patrolled` */
    bool wikidata, commons;
    uint32_t titles;                 /* how many there are to choose from */
    uint64_t rcid, revision, log_id; /* next ones */
};

/* Fills GEN_WIKIS wikis, weights cumulative up to 1. */
void gen_wikis_init(struct gen_wiki wikis[static GEN_WIKIS]);

#endif
