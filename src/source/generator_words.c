/* SPDX-License-Identifier: MIT
 *
 * generator_words.c - tables of the generator. Shares of the wikis by data-shape: commons 0.41, wikidata 0.16, enwiki
 * 0.09, then a Zipf tail (s = 1.3). Scripts: Latin, Latin with accents, Cyrillic, Greek, Arabic, Hebrew, CJK,
 * Devanagari, Bengali, Georgian; each list has a character beyond the BMP or a bidi mark where such occur in earnest.
 */
#include "source/generator_words.h"

#include <math.h>
#include <stdio.h>

static const char *const latin[GEN_WORDS] = {"River",    "Station", "List of",  "Museum",  "John",     "Bridge",
                                             "Football", "County",  "Church",   "Railway", "Portrait", "Battle",
                                             "Season",   "Album",   "District", "Species"};
static const char *const accents[GEN_WORDS] = {"Montréal", "Église",   "Straße",   "Köln",    "São Paulo", "Año",
                                               "Ñandú",    "Gävle",    "Ångström", "Łódź",    "Český",     "Ålesund",
                                               "Île",      "Übergang", "Garçon",   "Elección"};
static const char *const cyrillic[GEN_WORDS] = {"Москва",   "Река",     "Город",   "История", "Улица", "Список",
                                                "Футбол",   "Театр",    "Деревня", "Область", "Война", "Премия",
                                                "Мельница", "Участник", "Россия",  "Школа"};
static const char *const greek[GEN_WORDS] = {"Αθήνα",    "Ποταμός", "Ιστορία", "Νησί",   "Μουσείο", "Θέατρο",
                                             "Εκκλησία", "Πόλη",    "Βουνό",   "Γέφυρα", "Μάχη",    "Λίμνη",
                                             "Σταθμός",  "Κάστρο",  "Δήμος",   "Χωριό"};
static const char *const arabic[GEN_WORDS] = {"مدينة", "تاريخ", "نهر",  "قائمة", "كرة القدم", "جامعة", "متحف", "جسر",
                                              "محطة",  "معركة", "قرية", "لاعب",  "فيلم",      "كتاب",  "مسجد", "بحيرة"};
static const char *const hebrew[GEN_WORDS] = {
    "ירושלים", "תל אביב", "היסטוריה", "נהר", "רשימת", "מוזיאון",         "גשר", "תחנת", "קרב",
    "כפר",     "שחקן",    "סרט",      "ספר", "אגם",   "\xE2\x80\x8Eעיר", "רחוב"};
static const char *const cjk[GEN_WORDS] = {"東京", "北京", "歷史", "車站",   "博物館", "河流",     "足球",   "大学",
                                           "电影", "列表", "地震", "作品集", "𠮷野家", "中華民國", "第一章", "橋"};
static const char *const devanagari[GEN_WORDS] = {"भारत", "नदी",  "इतिहास", "विद्यालय", "संग्रहालय", "सूची",
                                                  "मंदिर", "नगर",  "फ़िल्म",   "पुस्तक",    "युद्ध",     "पर्वत",
                                                  "झील",  "ग्राम", "भाषा",   "कविता"};
static const char *const bengali[GEN_WORDS] = {"ঢাকা", "নদী", "ইতিহাস", "জেলা",   "গ্রাম", "জাদুঘর", "সেতু",    "যুদ্ধ",
                                               "নাটক", "কবি", "ভাষা",   "উপজেলা", "দল",   "বই",    "তালিকা", "পর্বত"};
static const char *const georgian[GEN_WORDS] = {"თბილისი", "მდინარე", "ისტორია", "ქალაქი", "სოფელი", "თეატრი",
                                                "სკოლა",   "ხიდი",    "ტბა",     "ომი",    "სია",    "მუზეუმი",
                                                "წიგნი",   "ფილმი",   "მთა",     "ენა"};

static const struct gen_script scripts[] = {
    {latin, "Category", "File", "User", "Talk", "Wikipedia", "added to category"},
    {accents, "Catégorie", "Fichier", "Utilisateur", "Discussion", "Projet", "ajouté à la catégorie"},
    {cyrillic, "Категория", "Файл", "Участник", "Обсуждение", "Википедия", "добавлена в категорию"},
    {greek, "Κατηγορία", "Αρχείο", "Χρήστης", "Συζήτηση", "Βικιπαίδεια", "προστέθηκε στην κατηγορία"},
    {arabic, "تصنيف", "ملف", "مستخدم", "نقاش", "ويكيبيديا", "أضيفت إلى التصنيف"},
    {hebrew, "קטגוריה", "קובץ", "משתמש", "שיחה", "ויקיפדיה", "נוסף לקטגוריה"},
    {cjk, "Category", "File", "User", "Talk", "Wikisource", "已添加至分类"},
    {devanagari, "श्रेणी", "चित्र", "सदस्य", "वार्ता", "विकिपीडिया", "श्रेणी में जोड़ा गया"},
    {bengali, "বিষয়শ্রেণী", "চিত্র", "ব্যবহারকারী", "আলাপ", "উইকিপিডিয়া", "বিষয়শ্রেণীতে যোগ"},
    {georgian, "კატეგორია", "ფაილი", "მომხმარებელი", "განხილვა", "ვიკიპედია", "დაემატა კატეგორიას"},
};
enum { LATIN, ACCENTS, CYRILLIC, GREEK, ARABIC, HEBREW, CJK, DEVANAGARI, BENGALI, GEORGIAN };

static const struct {
    const char *code;
    uint8_t script;
    bool patrolled;
} languages[] = {
    {"en", LATIN, false},      {"fr", ACCENTS, true},   {"zh", CJK, false},        {"ce", CYRILLIC, false},
    {"pt", ACCENTS, false},    {"ur", ARABIC, false},   {"de", ACCENTS, false},    {"ca", ACCENTS, true},
    {"arz", ARABIC, false},    {"es", ACCENTS, false},  {"ru", CYRILLIC, false},   {"cy", LATIN, false},
    {"he", HEBREW, true},      {"vi", ACCENTS, false},  {"bn", BENGALI, false},    {"it", LATIN, true},
    {"ar", ARABIC, true},      {"ja", CJK, false},      {"nl", LATIN, true},       {"pl", ACCENTS, false},
    {"uk", CYRILLIC, true},    {"fa", ARABIC, true},    {"sv", ACCENTS, false},    {"hi", DEVANAGARI, false},
    {"ko", CJK, false},        {"tr", ACCENTS, true},   {"cs", ACCENTS, true},     {"fi", ACCENTS, false},
    {"el", GREEK, false},      {"hu", ACCENTS, false},  {"ro", LATIN, true},       {"no", ACCENTS, true},
    {"da", ACCENTS, false},    {"sr", CYRILLIC, false}, {"bg", CYRILLIC, true},    {"ka", GEORGIAN, false},
    {"id", LATIN, false},      {"ms", LATIN, false},    {"eu", LATIN, false},      {"sk", ACCENTS, false},
    {"hr", ACCENTS, false},    {"lt", ACCENTS, false},  {"lv", ACCENTS, false},    {"et", ACCENTS, false},
    {"sl", ACCENTS, false},    {"hy", GEORGIAN, false}, {"az", ACCENTS, true},     {"kk", CYRILLIC, false},
    {"uz", LATIN, false},      {"tt", CYRILLIC, false}, {"be", CYRILLIC, false},   {"mk", CYRILLIC, false},
    {"ta", DEVANAGARI, false}, {"te", BENGALI, false},  {"mr", DEVANAGARI, false}, {"ne", DEVANAGARI, false},
    {"gl", ACCENTS, false},    {"ast", ACCENTS, false}, {"mg", LATIN, false},      {"sw", LATIN, false},
};

static const struct {
    const char *suffix; /* of the database name */
    const char *domain;
} projects[] = {{"wiki", "wikipedia.org"},     {"wiktionary", "wiktionary.org"}, {"wikisource", "wikisource.org"},
                {"wikinews", "wikinews.org"},  {"wikiquote", "wikiquote.org"},   {"wikivoyage", "wikivoyage.org"},
                {"wikibooks", "wikibooks.org"}};

static void wiki_set(struct gen_wiki *w, const char *name, const char *server, size_t script, bool patrolled,
                     double share)
{
    static const uint8_t usual[GEN_KINDS] = {83, 9, 7, 1};
    snprintf(w->name, sizeof(w->name), "%s", name);
    snprintf(w->server, sizeof(w->server), "%s", server);
    w->script = &scripts[script];
    w->patrolled = patrolled;
    w->weight = share;
    memcpy(w->mix, usual, sizeof(usual));
    w->titles = 60000;
    w->rcid = 100000000 + (uint64_t)(share * 1e9);
    w->revision = 50000000 + (uint64_t)(share * 5e9);
    w->log_id = 1000000 + (uint64_t)(share * 4e8);
}

static void big_three(struct gen_wiki *w)
{
    wiki_set(&w[0], "commonswiki", "commons.wikimedia.org", LATIN, true, 0.41);
    w[0].commons = true;
    w[0].titles = 5000000;
    w[0].rcid = 3365826630;
    wiki_set(&w[1], "wikidatawiki", "www.wikidata.org", LATIN, true, 0.16);
    w[1].wikidata = true;
    w[1].titles = 8000000;
    w[1].revision = 2402354425;
    memcpy(w[1].mix, (uint8_t[]){97, 2, 1, 0}, GEN_KINDS);
    wiki_set(&w[2], "enwiki", "en.wikipedia.org", LATIN, false, 0.09);
    w[2].titles = 3000000;
    w[2].rcid = 1912345678;
    memcpy(w[2].mix, (uint8_t[]){78, 5, 16, 1}, GEN_KINDS);
}

void gen_wikis_init(struct gen_wiki wikis[static GEN_WIKIS])
{
    enum { LANGUAGES = sizeof(languages) / sizeof(languages[0]) };
    double tail = 0, sum = 0;
    memset(wikis, 0, sizeof(*wikis) * GEN_WIKIS);
    for (size_t i = 3; i < GEN_WIKIS; i++) {
        tail += pow((double)(i - 2), -1.3);
    }
    big_three(wikis);
    for (size_t i = 3; i < GEN_WIKIS; i++) {
        size_t at = i - 2; /* enwiki is there already */
        size_t language = at % LANGUAGES, project = at / LANGUAGES;
        char name[32], server[48];
        snprintf(name, sizeof(name), "%s%s", languages[language].code, projects[project].suffix);
        snprintf(server, sizeof(server), "%s.%s", languages[language].code, projects[project].domain);
        wiki_set(&wikis[i], name, server, languages[language].script, languages[language].patrolled,
                 0.34 * pow((double)at, -1.3) / tail);
    }
    for (size_t i = 0; i < GEN_WIKIS; i++) {
        sum += wikis[i].weight;
        wikis[i].weight = sum;
    }
    wikis[GEN_WIKIS - 1].weight = 1.0;
}
