/* SPDX-License-Identifier: MIT
 *
 * filter_print.c - a filter as text: its canonical form, which compiles to the same filter again.
 */
#include "change/filter_tree.h"

static void add_quoted(struct buf *out, struct str s)
{
    buf_addc(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '"' || s.ptr[i] == '\\') {
            buf_addc(out, '\\');
        }
        buf_addc(out, s.ptr[i]);
    }
    buf_addc(out, '"');
}

/* Letters, digits, _ . - and what is not ASCII, but nothing that reads as an operator or a range. */
static bool is_bare(struct str s)
{
    bool bare = s.len > 0 && s.ptr[0] != '-' && !str_eqz(s, "AND") && !str_eqz(s, "OR") && !str_eqz(s, "NOT");
    for (size_t i = 0; i < s.len; i++) {
        const char c = s.ptr[i];
        bare = bare && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                        c == '-' || c == '.' || (unsigned char)c >= 0x80);
    }
    return bare && !memmem(s.ptr, s.len, "..", 2);
}

static void add_text(struct buf *out, struct str s)
{
    if (is_bare(s)) {
        buf_add(out, s);
    } else {
        add_quoted(out, s);
    }
}

static void add_range(struct buf *out, const struct item *item)
{
    if (item->low != INT64_MIN || item->high == INT64_MAX) {
        buf_add_int(out, item->low);
    }
    buf_addz(out, "..");
    if (item->high != INT64_MAX) {
        buf_add_int(out, item->high);
    }
}

static void add_item(struct buf *out, const struct item *item)
{
    switch (item->kind) {
    case ITEM_EXACT:
        add_text(out, item->text);
        break;
    case ITEM_PREFIX:
        if (item->text.len) {
            add_text(out, item->text);
        }
        buf_addc(out, '*');
        break;
    case ITEM_RANGE:
        add_range(out, item);
        break;
    case ITEM_REGEX:
        buf_addc(out, '/');
        buf_add(out, item->text); /* as it was written: its slashes are escaped already */
        buf_addz(out, item->caseless ? "/i" : "/");
        break;
    }
}

static void add_node(struct buf *out, const struct node *node, bool inside);

static void add_list(struct buf *out, const struct node *node, const char *between, bool inside)
{
    buf_addz(out, inside ? "(" : "");
    for (const struct node *child = node->first; child; child = child->next) {
        buf_addz(out, child == node->first ? "" : between);
        add_node(out, child, node->kind == NODE_AND || child->kind != NODE_AND);
    }
    buf_addz(out, inside ? ")" : "");
}

/* inside: a list needs parentheses here. */
static void add_node(struct buf *out, const struct node *node, bool inside)
{
    switch (node->kind) {
    case NODE_AND:
        add_list(out, node, " ", inside);
        break;
    case NODE_OR:
        add_list(out, node, " OR ", inside);
        break;
    case NODE_NOT:
        buf_addc(out, '-');
        add_node(out, node->first, true);
        break;
    case NODE_TEXT:
        add_text(out, node->text);
        break;
    case NODE_FIELD:
        buf_add(out, node->text);
        buf_addc(out, ':');
        for (const struct item *item = node->items; item; item = item->next) {
            buf_addz(out, item == node->items ? "" : ",");
            add_item(out, item);
        }
        break;
    }
}

void filter_print(const struct filter *f, struct buf *out)
{
    if (f->root) {
        add_node(out, f->root, false);
    }
}
