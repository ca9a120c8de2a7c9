/* SPDX-License-Identifier: MIT
 *
 * language.c - see language.h. Wikipedia's older language codes are not all language tags; those that are not are
 * mapped to the tag that MediaWiki itself puts on the page.
 */
#include "serve/language.h"

#include "change/change.h"

#include <stdio.h>

static const struct {
    const char *code, *tag;
} renamed[] = {
    {"als", "gsw"},
    {"bat-smg", "sgs"},
    {"be-x-old", "be-tarask"},
    {"bh", "bho"},
    {"cbk-zam", "cbk"},
    {"crh", "crh-latn"},
    {"fiu-vro", "vro"},
    {"map-bms", "jv"},
    {"mo", "ro-cyrl-md"},
    {"no", "nb"},
    {"nds-nl", "nds-nl"},
    {"roa-rup", "rup"},
    {"roa-tara", "nap"},
    {"sh", "sh"},
    {"simple", "en"},
    {"sr", "sr-cyrl"},
    {"zh-classical", "lzh"},
    {"zh-min-nan", "nan"},
    {"zh-yue", "yue"},
    {"test", ""},
    {"test2", ""},
    {"nostalgia", "en"},
    {"eml", "egl"},
    {"ten", ""},
};

static const char *const right_to_left[] = {"ar",  "arc", "ary", "arz", "azb",     "bal", "bgn", "bqi", "ckb", "dv",
                                            "fa",  "glk", "he",  "khw", "kk-arab", "ks",  "lki", "lrc", "luz", "mzn",
                                            "nqo", "pnb", "ps",  "sd",  "sdh",     "skr", "ug",  "ur",  "yi"};

/* 2 to 12 bytes of lower-case letters in parts of 2 to 8. */
static bool is_code(struct str s)
{
    size_t run = 0;
    for (size_t i = 0; i < s.len; i++) {
        bool letter = s.ptr[i] >= 'a' && s.ptr[i] <= 'z';
        if (!letter && (s.ptr[i] != '-' || run < 2))
            return false;
        run = letter ? run + 1 : 0;
        if (run > 8)
            return false;
    }
    return s.len <= 12 && run >= 2;
}

const char *language_of_wiki(struct str server_name, char *tag, size_t size)
{
    struct str code = change_language(server_name);
    tag[0] = 0;
    if (!is_code(code))
        return "auto";
    for (size_t i = 0; i < sizeof(renamed) / sizeof(*renamed); i++) {
        if (str_eqz(code, renamed[i].code))
            code = str_of(renamed[i].tag);
    }
    if (code.len >= size)
        return "auto";
    snprintf(tag, size, "%.*s", STR_ARG(code));
    if (code.len == 0)
        return "auto";
    for (size_t i = 0; i < sizeof(right_to_left) / sizeof(*right_to_left); i++) {
        if (str_eqz(code, right_to_left[i]))
            return "rtl";
    }
    return "ltr";
}
