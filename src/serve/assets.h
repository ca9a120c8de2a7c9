/* SPDX-License-Identifier: MIT
 *
 * assets.h - the page's files: compiled in, or from a directory for development (--web-dir).
 *
 * Compiled in: web/build.mjs writes one blob (.incbin by an assembler stub) and a table that says what stands where.
 * Names carry a hash of the content, so they may be cached for ever; index.html has an ETag and is asked for each time.
 * No path of a request reaches the file system: with --web-dir the directory is listed and read at start, and again
 * whenever index.html has changed.
 */
#ifndef WIKITALLY_SERVE_ASSETS_H
#define WIKITALLY_SERVE_ASSETS_H

#include "base/err.h"
#include "base/str.h"

struct asset {
    const char *name;           /* "index.html", "main.3f2a….js" */
    const char *type;           /* Content-Type */
    const char *etag;           /* with quotes */
    struct str plain, gzip, br; /* encodings that are not there or not smaller: ptr NULL */
};

/* The generated table; count 0 when built without the page. */
extern const struct asset *assets_compiled(size_t *ret_count);

struct assets;
enum err_class assets_open(const char *web_dir, struct assets **ret_assets, struct err *err); /* NULL: compiled in */
void assets_close(struct assets *a);
const struct asset *assets_find(const struct assets *a, struct str name); /* NULL: none */

#endif
