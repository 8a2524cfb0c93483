/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_splice_request.c
 * Which requests over HTTP/2 run as shadows, and how one does.
 *
 * That is decided before anything of a request is done, so that nothing is done
 * twice: by the handler that its <Location> sets, or as it asks for a stream.
 * Only if the handler turns out to be another one, the shadow is dropped, and
 * mod_http2's request goes its usual way.
 *
 * Threads: the request's, unless tagged.
 */

#include "stream/splice/sse_splice_private.h"

#include <ap_expr.h>
#include <apr_optional.h>
#include <apr_strings.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mod_http2.h>
#include <stdlib.h>

#include "config/sse_config.h"
#include "notify/sse_watcher.h"
#include "process/sse_leave.h"
#include "sse_atomic.h"

APLOG_USE_MODULE(sse);

/* Handlers that are known: ours, and C modules' that have opened a stream. */
#define NAMES_MOST 32

static struct {
    pthread_mutex_t lock;         /* for adding */
    const char *list[NAMES_MOST]; /* const once counted */
    int n;                        /* atomic */
} names = {.lock = PTHREAD_MUTEX_INITIALIZER};

typedef APR_OPTIONAL_FN_TYPE(http2_var_lookup) lookup_fn;

static lookup_fn *lookup; /* const in children; NULL: no mod_http2 */

/* A request's note: what its client sent, as no hook has changed it yet, if it
 * is to run as a shadow; and then that it has. */
static apr_size_t note_key; /* const after register_hooks */
static char has_run;        /* its address is the note */

/* -- Which handlers open streams ------------------------------------------- */

static int is_known(const char *name)
{
    int n = sse_atomic_load(&names.n), i;

    for (i = 0; name && i < n; ++i) {
        if (!strcasecmp(names.list[i], name)) {
            return 1;
        }
    }
    return 0;
}

void sse_splice_handler_add(const char *name)
{
    if (is_known(name)) {
        return;
    }
    pthread_mutex_lock(&names.lock);
    if (!is_known(name) && names.n < NAMES_MOST) {
        names.list[names.n] = strdup(name);
        sse_atomic_store(&names.n, names.n + 1);
    }
    pthread_mutex_unlock(&names.lock);
}

/* -- Which requests -------------------------------------------------------- */

static int has_body(const request_rec *r)
{
    const char *length = apr_table_get(r->headers_in, "Content-Length");

    return apr_table_get(r->headers_in, "Transfer-Encoding") ||
           (length && strcmp(length, "0"));
}

static int asks_for_stream(const request_rec *r)
{
    const char *accept = apr_table_get(r->headers_in, "Accept");

    return accept && ap_strcasestr(accept, "text/event-stream");
}

/* As ap_process_request_internal() does it. */
static char *path_of(request_rec *r)
{
    const core_server_config *conf =
        ap_get_core_module_config(r->server->module_config);
    unsigned int flags =
        AP_NORMALIZE_NOT_ABOVE_ROOT | AP_NORMALIZE_DECODE_UNRESERVED;
    char *path =
        r->parsed_uri.path ? apr_pstrdup(r->pool, r->parsed_uri.path) : NULL;

    if (conf->merge_slashes != AP_CORE_CONFIG_OFF) {
        flags |= AP_NORMALIZE_MERGE_SLASHES;
    }
    return path && ap_normalize_path(path, flags) &&
                   ap_unescape_url_ex(path, AP_UNESCAPE_URL_KEEP_UNRESERVED |
                                                AP_UNESCAPE_URL_KEEP_SLASHES) ==
                       OK
               ? path
               : NULL;
}

/* What SetHandler says, which to httpd is always an expression. */
static const char *evaluate(request_rec *r, const ap_expr_info_t *expr)
{
    const char *error = NULL, *name;

    r->headers_out = apr_table_make(r->pool, 1); /* for Vary */
    name = ap_expr_str_exec(r, expr, &error);
    return error ? NULL : name;
}

/* The handler that the request's <Location> sets; NULL: none.  httpd remembers
 * what it has found, and need not look again. */
static const char *handler_of(request_rec *r)
{
    request_rec like = *r;
    const core_dir_config *conf;

    like.uri = path_of(r);
    like.per_dir_config = r->server->lookup_defaults;
    if (!like.uri || ap_location_walk(&like) != OK) {
        return NULL;
    }
    conf = ap_get_core_module_config(like.per_dir_config);
    return conf->expr_handler ? evaluate(&like, conf->expr_handler)
                              : conf->handler;
}

static sse_splice_conn_t *conn_of(request_rec *r)
{
    conn_rec *c = r->connection;

    return lookup && c->master && !sse_conn_inner(c) &&
                   sse_conf_http2(r->server) == SSE_HTTP2_SPLICE
               ? sse_splice_conn_of(c->master)
               : NULL;
}

/* Before other modules' hooks, as some change what the client has sent, and
 * they run for the shadow, too. */
static int on_read(request_rec *r)
{
    if (!r->main && !r->prev && conn_of(r) && r->method_number == M_GET &&
        !has_body(r) && (asks_for_stream(r) || is_known(handler_of(r)))) {
        *ap_get_request_note(r, note_key) =
            apr_table_clone(r->pool, r->headers_in);
    }
    return DECLINED;
}

/* -- A shadow's request ---------------------------------------------------- */

/* What mod_http2 says of a stream. */
static const char *look_up(request_rec *r, request_rec *outer, const char *what)
{
    char name[32];

    return lookup(r->pool, outer->server, outer->connection, outer,
                  apr_cpystrn(name, what, sizeof(name)) ? name : NULL);
}

/* And sets in the environment of its requests. */
static int on_fixups(request_rec *r)
{
    static const char *const vars[] = {
        "HTTP2",        "H2PUSH",       "H2_PUSH",       "H2_PUSHED",
        "H2_PUSHED_ON", "H2_STREAM_ID", "H2_STREAM_TAG", NULL};
    const sse_shadow_t *shadow = sse_shadow_of(r->connection);
    const char *const *var;

    for (var = vars; shadow && shadow->outer && *var; ++var) {
        apr_table_setn(r->subprocess_env, *var,
                       look_up(r, shadow->outer, *var));
    }
    return DECLINED;
}

/* It is not dropped any more: what was put off until now. */
static void settle(sse_shadow_t *shadow, int is_served)
{
    shadow->inner.is_draft = 0;
    sse_watcher_settle(shadow->r);
    if (is_served) {
        sse_watcher_fixups(shadow->r);
    }
}

/* As ap_process_request() does it. */
static int finish(sse_shadow_t *shadow, int rv)
{
    request_rec *r = shadow->r, *outer = shadow->outer;

    if (rv == OK || rv == DONE || rv == SUSPENDED) {
        ap_finalize_request_protocol(r);
    }
    else {
        r->status = HTTP_OK; /* not an error while one is answered */
        ap_die(rv, r);
    }
    sse_shadow_destroy(shadow);
    return outer->eos_sent ? OK : AP_FILTER_ERROR;
}

static int run(sse_shadow_t *shadow, int *is_ours)
{
    request_rec *r = shadow->r;
    int rv = ap_process_request_internal(r);

    *is_ours = rv != OK || is_known(r->handler);
    if (!*is_ours) {
        ap_log_rerror(APLOG_MARK, APLOG_TRACE1, 0, r, "its shadow is dropped");
        sse_shadow_drop(shadow);
        return DECLINED;
    }
    ap_log_rerror(APLOG_MARK, APLOG_TRACE1, 0, r, "runs as a shadow");
    settle(shadow, rv == OK);
    if (rv == OK) {
        rv = ap_invoke_handler(r);
    }
    if (!shadow->stream) {
        return finish(shadow, rv);
    }
    sse_shadow_let_go(shadow);
    sse_splice_attach(shadow, rv == SUSPENDED);
    return OK;
}

static apr_uint32_t id_of(request_rec *r)
{
    const char *id = look_up(r, r, "H2_STREAM_ID");

    return id ? (apr_uint32_t)strtoul(id, NULL, 10) : 0;
}

static int on_quick(request_rec *r, int is_lookup)
{
    void **note = ap_get_request_note(r, note_key);
    sse_splice_conn_t *conn;
    sse_shadow_t *shadow;
    int is_ours = 0, rv = DECLINED;

    if (is_lookup || !note || !*note) {
        return DECLINED;
    }
    conn = conn_of(r);
    shadow = conn ? sse_shadow_create(conn, id_of(r), r, *note) : NULL;
    if (shadow) {
        rv = run(shadow, &is_ours);
    }
    *note = is_ours ? &has_run : NULL;
    return rv;
}

/* The shadow is what is logged. */
static int on_log(request_rec *r)
{
    void **note = ap_get_request_note(r, note_key);

    return note && *note == &has_run ? DONE : DECLINED;
}

static void find_lookup(void)
{
    lookup = APR_RETRIEVE_OPTIONAL_FN(http2_var_lookup);
}

void sse_splice_request_register(void)
{
    note_key = ap_register_request_note();
    ap_hook_optional_fn_retrieve(find_lookup, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_read_request(on_read, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_quick_handler(on_quick, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_fixups(on_fixups, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_log_transaction(on_log, NULL, NULL, APR_HOOK_REALLY_FIRST);
}
