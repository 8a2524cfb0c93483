/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "http/sse_rewrite.h"

#include <http_log.h>
#include <string.h>

#include "http/sse_front.h"
#include "loop/sse_complain.h"

APLOG_USE_MODULE(sse);

/* The request as it was before mod_rewrite's fixups; in its pool. */
typedef struct {
    request_rec *r; /* an internal redirect has the same pool */
    const char *handler;
    char *filename, *path_info, *args;
    int proxyreq, status;
} note_t;

static const char note_key[] = "sse_rewrite_note";

static void complain(request_rec *r)
{
    static sse_complaint_t complaint;

    if (sse_complain_is_due(&complaint)) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                      "%s: 'SetHandler %s' has no effect, because mod_proxy "
                      "has taken the request. If it is not to be proxied, put "
                      "ProxyPass \"/its/path\" \"!\" before the ProxyPass or "
                      "RewriteRule [P] that takes it",
                      r->uri, r->handler);
    }
}

int sse_rewrite_before(request_rec *r)
{
    note_t *note;

    if (!sse_front_is_name(r->handler)) {
        return DECLINED;
    }
    if (r->proxyreq == PROXYREQ_REVERSE) {
        complain(r);
        return DECLINED;
    }
    note = apr_palloc(r->pool, sizeof(*note));
    note->r = r;
    note->handler = r->handler;
    note->filename = r->filename;
    note->path_info = r->path_info;
    note->args = r->args;
    note->proxyreq = r->proxyreq;
    note->status = r->status;
    apr_pool_userdata_setn(note, note_key, NULL, r->pool);
    return DECLINED;
}

/* Whether a rule has passed the request on, by [P] or to another path.  If a
 * rule names a handler (H=), that is what the administrator wants. */
static int is_elsewhere(const request_rec *r)
{
    return r->handler && (!strcmp(r->handler, "redirect-handler") ||
                          !strcmp(r->handler, "proxy-server"));
}

static void put_back(request_rec *r, const note_t *note)
{
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                  "%s keeps 'SetHandler %s', although a RewriteRule of a "
                  "directory or .htaccess file has rewritten it to %s",
                  r->uri, note->handler, r->filename);
    r->handler = note->handler;
    r->filename = note->filename;
    r->path_info = note->path_info;
    r->args = note->args;
    r->proxyreq = note->proxyreq;
    r->status = note->status; /* [R] without [L]: a later rule has undone it */
}

int sse_rewrite_after(request_rec *r)
{
    const note_t *note;
    void *data = NULL;

    apr_pool_userdata_get(&data, note_key, r->pool);
    note = data;
    if (!note || note->r != r) {
        return DECLINED;
    }
    if (is_elsewhere(r)) {
        put_back(r, note);
    }
    if (r->handler == note->handler && r->finfo.filetype == APR_DIR) {
        /* mod_dir would redirect to an index file, or to the path with a
         * slash, where a directory happens to have the channel's path. */
        r->finfo.filetype = APR_NOFILE;
    }
    return DECLINED;
}
