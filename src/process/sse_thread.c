/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "process/sse_thread.h"

#include <ap_mmn.h>
#include <apr_portable.h>
#include <http_main.h>
#include <pthread.h>
#include <stdlib.h>

static pthread_key_t made; /* const after the first call: apr_thread_t */
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Runs on a thread that ends. */
static void forget(void *thread)
{
    apr_pool_destroy(apr_thread_pool_get(thread));
}

static void make_key(void)
{
    if (pthread_key_create(&made, forget)) {
        abort();
    }
}

/* Since httpd 2.4.51 it knows the calling thread. */
#if AP_MODULE_MAGIC_AT_LEAST(20120211, 122)

static apr_thread_t *known(void) { return ap_thread_current(); }

static apr_status_t create(apr_thread_t **thread)
{
    /* It takes only the abort function from this pool. */
    return ap_thread_current_create(thread, NULL,
                                    ap_server_conf->process->pool);
}

#else

static apr_thread_t *known(void) { return NULL; }

static apr_status_t create(apr_thread_t **thread)
{
    apr_allocator_t *allocator;
    apr_pool_t *pool;

    if (apr_allocator_create(&allocator) != APR_SUCCESS ||
        apr_pool_create_unmanaged_ex(&pool, NULL, allocator) != APR_SUCCESS) {
        return APR_ENOMEM;
    }
    apr_allocator_owner_set(allocator, pool);
    *thread = NULL;
    return apr_os_thread_put(thread, NULL, pool);
}

#endif

/* APR keeps a pointer to the thread's pthread_t, and httpd has it point to a
 * local variable. */
static void set_name(apr_thread_t *thread)
{
    apr_pool_t *pool = apr_thread_pool_get(thread);
    apr_os_thread_t *self = apr_palloc(pool, sizeof(*self));

    *self = apr_os_thread_current();
    apr_os_thread_put(&thread, self, pool);
}

apr_thread_t *sse_thread_here(void)
{
    apr_thread_t *thread;

    pthread_once(&once, make_key);
    thread = known();
    if (!thread && !(thread = pthread_getspecific(made))) {
        if (create(&thread) != APR_SUCCESS) {
            abort();
        }
        set_name(thread);
        apr_pool_tag(apr_thread_pool_get(thread), "sse_thread");
        pthread_setspecific(made, thread);
    }
    return thread;
}
