/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "loop/sse_workers.h"

#include <apr_thread_pool.h>
#include <stdlib.h>

#define IDLE_WAIT apr_time_from_sec(1)

static apr_thread_pool_t *threads; /* const after child_init */

typedef struct {
    void (*fn)(void *);
    void *baton;
} work_t;

apr_status_t sse_workers_init(apr_pool_t *pool, int most)
{
    apr_status_t rv = apr_thread_pool_create(&threads, 0, most, pool);

    if (rv == APR_SUCCESS) {
        apr_thread_pool_idle_wait_set(threads, IDLE_WAIT);
        apr_thread_pool_threshold_set(threads, 0);
    }
    return rv;
}

static void *APR_THREAD_FUNC run(apr_thread_t *thread, void *baton)
{
    work_t work = *(work_t *)baton;

    free(baton);
    work.fn(work.baton);
    return NULL;
}

apr_status_t sse_workers_push(void (*fn)(void *), void *baton)
{
    work_t *work = malloc(sizeof(*work));
    apr_status_t rv;

    if (!work) {
        return APR_ENOMEM;
    }
    work->fn = fn;
    work->baton = baton;
    rv = apr_thread_pool_push(threads, run, work,
                              APR_THREAD_TASK_PRIORITY_NORMAL, NULL);
    if (rv != APR_SUCCESS) {
        free(work);
    }
    return rv;
}
