/* SPDX-License-Identifier: MIT
 *
 * filter_regex.c - PCRE2 under bounds.
 *
 * Patterns come from strangers: a pattern is at most 1 KiB, its match has a limit of steps, of depth and of memory, and
 * past a limit it counts as no match. \C (half a character) is refused. Where the system forbids memory that can be
 * written and run, the interpreter does the work of the JIT.
 *
 * Words are searched by PCRE2 as well (PCRE2_LITERAL): it knows the upper and lower case of all scripts.
 */
#include "change/filter_tree.h"

enum {
    MATCH_STEPS_MAX = 100000,
    MATCH_DEPTH_MAX = 2000,
    MATCH_HEAP_MAX_KIB = 1024,
    JIT_STACK_BYTES = 32 << 10,
    JIT_STACK_MAX_BYTES = 256 << 10,
};

pcre2_code *regex_compile(struct str pattern, bool literal, bool caseless, size_t *ret_offset, char ret_why[256])
{
    int code = 0;
    const uint32_t options =
        PCRE2_UTF | (literal ? PCRE2_LITERAL : PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C) | (caseless ? PCRE2_CASELESS : 0);
    pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)pattern.ptr, pattern.len, options, &code, ret_offset, NULL);
    if (!compiled) {
        if (pcre2_get_error_message(code, (PCRE2_UCHAR *)ret_why, 256) < 0) {
            memcpy(ret_why, "unknown error", sizeof "unknown error");
        }
        return NULL;
    }
    (void)pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE); /* without it, it is only slower */
    return compiled;
}

void regex_prepare(struct filter *f)
{
    f->match_data = pcre2_match_data_create(1, NULL);
    f->limits = pcre2_match_context_create(NULL);
    f->stack = pcre2_jit_stack_create(JIT_STACK_BYTES, JIT_STACK_MAX_BYTES, NULL);
    if (!f->match_data || !f->limits) {
        die_no_memory();
    }
    pcre2_set_match_limit(f->limits, MATCH_STEPS_MAX);
    pcre2_set_depth_limit(f->limits, MATCH_DEPTH_MAX);
    pcre2_set_heap_limit(f->limits, MATCH_HEAP_MAX_KIB);
    if (f->stack) { /* NULL where there is no JIT */
        pcre2_jit_stack_assign(f->limits, NULL, f->stack);
    }
}

void regex_fini(struct filter *f)
{
    pcre2_jit_stack_free(f->stack);
    pcre2_match_context_free(f->limits);
    pcre2_match_data_free(f->match_data);
}

bool regex_match(struct filter *f, const pcre2_code *code, struct str subject, bool limited)
{
    const char *text = subject.len ? subject.ptr : "";
    const int found = pcre2_match(code, (PCRE2_SPTR)text, subject.len, 0, PCRE2_NO_UTF_CHECK, f->match_data,
                                  limited ? f->limits : NULL);
    f->gave_up += found < 0 && found != PCRE2_ERROR_NOMATCH;
    return found >= 0;
}
