/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Whether a connection's current_thread is the thread that runs its hooks, as
 * mod_lua trusts it to be.  The handler "sse-thread" answers "own" or
 * "other's", or that another request which runs has the same connection's
 * number, by which mod_cgid knows them.  What is logged and freed later says so
 * in error_log:
 *
 *     thread QUERY log=own
 */

#if CONFIG_FOR_HTTPD_TEST

<IfModule mod_sse.c>
    <Location "/thread/sse">
        SetHandler sse
        SSEPublish On
    </Location>
    <Location "/thread/is">
        SetHandler sse-thread
    </Location>
</IfModule>

#endif

/* The harness reads these when its header is included, so they come first. */
#define APACHE_HTTPD_TEST_HANDLER thread_handler
#define APACHE_HTTPD_TEST_EXTRA_HOOKS(p)                                       \
    do {                                                                       \
        ap_hook_log_transaction(on_log, NULL, NULL, APR_HOOK_MIDDLE);          \
        ap_hook_post_read_request(on_read, NULL, NULL, APR_HOOK_MIDDLE);       \
        ap_hook_pre_close_connection(on_close, NULL, NULL, APR_HOOK_MIDDLE);   \
    } while (0)

#include "apache_httpd_test.h"
#include "apr_strings.h"
#include <http_connection.h>

static const char *whose(conn_rec *c)
{
    apr_pool_t *pool;

    if (!c->current_thread) {
        return "nobody's";
    }
    if (c->current_thread != ap_thread_current()) {
        return "other's";
    }
    /* As mod_lua does; nobody else may be at it. */
    apr_pool_create(&pool, apr_thread_pool_get(c->current_thread));
    apr_pool_destroy(pool);
    return "own";
}

static int is_ours(request_rec *r) { return !strncmp(r->uri, "/thread/", 8); }

static apr_status_t on_pool(void *baton)
{
    request_rec *r = baton;

    ap_log_error(APLOG_MARK, APLOG_INFO, 0, r->server, "thread %s pool=%s",
                 r->args ? r->args : "-", whose(r->connection));
    return APR_SUCCESS;
}

static int on_read(request_rec *r)
{
    if (is_ours(r)) {
        apr_pool_pre_cleanup_register(r->pool, r, on_pool);
        apr_table_setn(r->connection->notes, "thread-test",
                       apr_pstrdup(r->connection->pool,
                                   r->args ? r->args : "-"));
    }
    return DECLINED;
}

static int on_log(request_rec *r)
{
    if (is_ours(r)) {
        ap_log_error(APLOG_MARK, APLOG_INFO, 0, r->server, "thread %s log=%s",
                     r->args ? r->args : "-", whose(r->connection));
    }
    return DECLINED;
}

static int on_close(conn_rec *c)
{
    const char *last = apr_table_get(c->notes, "thread-test");

    if (last) {
        ap_log_error(APLOG_MARK, APLOG_INFO, 0, c->base_server,
                     "thread %s close=%s", last, whose(c));
    }
    return DECLINED;
}

/* The numbers of what runs in this process. */
static char running[65536]; /* atomic */

static const char *is_alone(conn_rec *c)
{
    char *mine = &running[(unsigned long)c->id % sizeof(running)];

    if (__atomic_exchange_n(mine, 1, __ATOMIC_ACQ_REL)) {
        return "number taken";
    }
    apr_sleep(20000);
    __atomic_store_n(mine, 0, __ATOMIC_RELEASE);
    return whose(c);
}

static int thread_handler(request_rec *r)
{
    if (!r->handler || strcmp(r->handler, "sse-thread")) {
        return DECLINED;
    }
    ap_set_content_type(r, "text/plain");
    ap_rputs(is_alone(r->connection), r);
    return OK;
}

APACHE_HTTPD_TEST_MODULE(sse_thread);
