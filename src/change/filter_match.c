/* SPDX-License-Identifier: MIT
 *
 * filter_match.c - does an event pass?
 *
 * A field's text is its plain text (oracle.md section 6): absent, null, objects and arrays are the text "null". That
 * text is only equal to the value `null`; no prefix, range or regular expression finds it. So field:* means "has one".
 */
#include "change/filter_tree.h"

/* What a field or a fact is, for one event. */
struct subject {
    bool null;
    bool whole; /* an integer of 64 bits: number */
    int64_t number;
    struct str text;
};

static const struct subject null_subject = {.null = true, .text = STR_INIT("null")};

static struct subject of_text(struct str text)
{
    return (struct subject){.text = text};
}

static struct subject of_number(struct filter *f, int64_t number)
{
    buf_clear(&f->scratch);
    buf_add_int(&f->scratch, number);
    return (struct subject){.whole = true, .number = number, .text = buf_str(&f->scratch)};
}

static struct subject of_value(struct filter *f, const struct value *v)
{
    switch (v->kind) {
    case VALUE_STRING:
        buf_clear(&f->scratch);
        return of_text(value_string(v, &f->scratch));
    case VALUE_INT:
        return of_number(f, v->number);
    case VALUE_FALSE:
    case VALUE_TRUE:
    case VALUE_NUMBER:
        return of_text(v->raw);
    default:
        return null_subject;
    }
}

/* The scratch that holds an unescaped server name is left alone until the subject has been judged. */
static struct subject of_node(struct filter *f, const struct node *node, const struct value *values)
{
    const struct value *a = &values[node->values[0]], *b = &values[node->values[1]];
    int64_t delta, at_us;
    struct str language;
    buf_clear(&f->scratch);
    switch (node->fact) {
    case DERIVED_FAMILY:
        return of_text(change_family(value_string(a, &f->scratch)));
    case DERIVED_LANGUAGE:
        language = change_language(value_string(a, &f->scratch));
        return language.len ? of_text(language) : null_subject;
    case DERIVED_ACTOR:
        return of_text(str_of(actor_kind_name(change_actor(a, b))));
    case DERIVED_DELTA:
        return change_size_delta(a, b, &delta) ? of_number(f, delta) : null_subject;
    case DERIVED_DAY:
        if (!change_when(a, b, &at_us)) {
            return null_subject;
        }
        change_add_day(&f->scratch, at_us);
        return of_text(buf_str(&f->scratch));
    case DERIVED_HOUR:
        return change_when(a, b, &at_us) ? of_number(f, change_hour(at_us)) : null_subject;
    default:
        return of_value(f, a);
    }
}

static bool item_holds(struct filter *f, const struct item *item, const struct subject *subject)
{
    switch (item->kind) {
    case ITEM_EXACT:
        return str_eq(subject->text, item->text);
    case ITEM_PREFIX:
        return !subject->null && str_starts(subject->text, item->text);
    case ITEM_RANGE:
        return subject->whole && subject->number >= item->low && subject->number <= item->high;
    case ITEM_REGEX:
        return !subject->null && regex_match(f, item->code, subject->text, true);
    }
    return false;
}

static bool field_holds(struct filter *f, const struct node *node, const struct value *values)
{
    const struct subject subject = of_node(f, node, values);
    for (const struct item *item = node->items; item; item = item->next) {
        if (item_holds(f, item, &subject)) {
            return true;
        }
    }
    return false;
}

static bool text_holds(struct filter *f, const struct node *node, const struct value *values)
{
    for (size_t i = 0; i < sizeof f->text_fields / sizeof *f->text_fields; i++) {
        const struct value *v = &values[f->text_fields[i]];
        buf_clear(&f->scratch);
        if (v->kind == VALUE_STRING && regex_match(f, node->code, value_string(v, &f->scratch), false)) {
            return true;
        }
    }
    return false;
}

static bool node_holds(struct filter *f, const struct node *node, const struct value *values)
{
    const struct node *child = node->first;
    switch (node->kind) {
    case NODE_AND:
        while (child && node_holds(f, child, values)) {
            child = child->next;
        }
        return !child;
    case NODE_OR:
        while (child && !node_holds(f, child, values)) {
            child = child->next;
        }
        return child != NULL;
    case NODE_NOT:
        return !node_holds(f, child, values);
    case NODE_TEXT:
        return text_holds(f, node, values);
    case NODE_FIELD:
        return field_holds(f, node, values);
    }
    return false;
}

bool filter_match(struct filter *f, const struct value *values)
{
    return !f->root || node_holds(f, f->root, values);
}

uint64_t filter_gave_up(const struct filter *f)
{
    return f->gave_up;
}
