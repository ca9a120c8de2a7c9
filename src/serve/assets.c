/* SPDX-License-Identifier: MIT
 *
 * assets.c - see assets.h. A directory is read once, at start: who develops restarts the server, or lets the watcher do
 * it.
 */
#include "serve/assets.h"

#include "base/buf.h"
#include "base/hash.h"
#include "serve/room.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FILES_MAX = 64, FILE_MAX_BYTES = 4 << 20 };
static const char forever[] = "public, max-age=31536000, immutable";

struct assets {
    const struct asset *list;
    size_t count;
    struct asset *owned; /* of a directory: list, and all that its rows point to */
};

static const struct {
    const char *end, *type;
} types[] = {
    {".html", "text/html; charset=utf-8"},       {".js", "text/javascript; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},         {".svg", "image/svg+xml"},
    {".map", "application/json; charset=utf-8"}, {".png", "image/png"},
};

static const char *type_of(const char *name)
{
    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
        if (str_ends(str_of(name), str_of(types[i].end)))
            return types[i].type;
    }
    return NULL;
}

static bool read_file(int directory, const char *name, struct buf *out)
{
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n = -1;
    char *room;
    out->max = FILE_MAX_BYTES;
    while (fd >= 0 && (room = buf_reserve(out, 65536)) && (n = read(fd, room, 65536)) > 0)
        out->len += (size_t)n;
    if (fd >= 0)
        close(fd);
    return n == 0 && out->ptr;
}

static bool add_file(struct assets *a, int directory, const char *name)
{
    struct buf bytes = {0};
    const char *type = type_of(name);
    if (!type || a->count == FILES_MAX || !read_file(directory, name, &bytes)) {
        buf_fini(&bytes);
        return false;
    }
    struct buf etag = {0};
    buf_addf(&etag, "\"%016llx\"", (unsigned long long)hash_bytes(buf_str(&bytes), 0));
    a->owned[a->count++] = (struct asset){
        .name = str_dup(str_of(name)), .type = type, .etag = etag.ptr, .plain = str_n(bytes.ptr, bytes.len)};
    return true;
}

static enum err_class read_directory(struct assets *a, const char *path, struct err *err)
{
    DIR *d = opendir(path);
    if (!d)
        return err_errno(err, ERR_REJECT, EXIT_CONFIG, errno, "cannot read --web-dir '%s'", path);
    a->owned = xcalloc(FILES_MAX, sizeof(*a->owned));
    a->list = a->owned;
    for (struct dirent *e; (e = readdir(d));)
        add_file(a, dirfd(d), e->d_name);
    closedir(d);
    if (assets_find(a, STR("index.html")))
        return ERR_NONE;
    return err_set(err, ERR_REJECT, EXIT_CONFIG, "--web-dir '%s' has no index.html; build the page first", path);
}

enum err_class assets_open(const char *web_dir, struct assets **ret_assets, struct err *err)
{
    struct assets *a = xcalloc(1, sizeof(*a));
    if (web_dir) {
        enum err_class c = read_directory(a, web_dir, err);
        if (c) {
            assets_close(a);
            return c;
        }
    } else {
        a->list = assets_compiled(&a->count);
    }
    *ret_assets = a;
    return ERR_NONE;
}

void assets_close(struct assets *a)
{
    if (!a)
        return;
    for (size_t i = 0; a->owned && i < a->count; i++) {
        void *parts[] = {(void *)(uintptr_t)a->owned[i].name, (void *)(uintptr_t)a->owned[i].etag,
                         (void *)(uintptr_t)a->owned[i].plain.ptr};
        for (size_t p = 0; p < 3; p++)
            free(parts[p]);
    }
    free(a->owned);
    free(a);
}

const struct asset *assets_find(const struct assets *a, struct str name)
{
    for (size_t i = 0; i < a->count; i++) {
        if (str_eqz(name, a->list[i].name))
            return &a->list[i];
    }
    return NULL;
}

static bool is_known_to_client(const char *if_none_match, const char *etag)
{
    return *if_none_match && (strstr(if_none_match, etag) || strcmp(if_none_match, "*") == 0);
}

static void answer_asset(const struct asset *f, const struct request *q, const char *cache, struct answer *a)
{
    a->type = f->type;
    a->cache = cache;
    a->varies = true;
    snprintf(a->etag, sizeof(a->etag), "%s", f->etag);
    if (is_known_to_client(q->if_none_match, f->etag)) {
        a->status = 304;
    } else if (q->accepts_br && f->br.ptr) {
        a->encoding = "br";
        a->fixed = f->br;
    } else if (q->accepts_gzip && f->gzip.ptr) {
        a->encoding = "gzip";
        a->fixed = f->gzip;
    } else {
        a->fixed = f->plain;
    }
}

void assets_page(struct room *room, const struct request *q, struct readers *readers, struct answer *a)
{
    const struct asset *f = assets_find(room->assets, STR("index.html"));
    (void)readers;
    if (f) {
        answer_asset(f, q, "no-cache", a);
        return;
    }
    a->status = 302;
    a->location = "/plain";
    a->type = "text/plain; charset=utf-8";
    buf_addz(&a->body, "This program was built without the page; see /plain.\n");
}

/* For /plain, which does not know the names with hashes. */
void assets_icon(struct room *room, const struct request *q, struct readers *readers, struct answer *a)
{
    (void)readers;
    for (size_t i = 0; i < room->assets->count; i++) {
        if (str_ends(str_of(room->assets->list[i].name), STR(".svg"))) {
            answer_asset(&room->assets->list[i], q, "no-cache", a);
            return;
        }
    }
    a->status = 204;
}

void assets_file(struct room *room, const struct request *q, struct readers *readers, struct answer *a)
{
    static const size_t prefix = sizeof("/assets/") - 1;
    const struct asset *f = assets_find(room->assets, str_n(q->path.ptr + prefix, q->path.len - prefix));
    (void)readers;
    if (f && !str_eqz(str_of("index.html"), f->name))
        answer_asset(f, q, forever, a);
    else
        answer_problem(a, 404, "Not found", "there is no such file; reload the page");
}
