/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file tsan_shim.c
 * Tells ThreadSanitizer how the MPMs hand a connection's pool from one thread
 * to the next.
 *
 * httpd is not instrumented, and the MPMs recycle pools through a list that is
 * linked by apr_atomic_casptr(), which ThreadSanitizer does not see: without
 * this, each use of recycled memory would look like a race with its use in an
 * earlier connection.  Preloaded for the server only.
 *
 * A pool is cleared by whoever puts it into the list, and the next who has it
 * accepts a connection into it.
 *
 * And a child that is to stop at once closes the connections of its threads
 * while these are at work (close_worker_sockets()): that is httpd's own way.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <apr_network_io.h>
#include <apr_pools.h>
#include <dlfcn.h>

extern void __tsan_acquire(void *addr);
extern void __tsan_release(void *addr);
extern void AnnotateIgnoreWritesBegin(const char *file, int line);
extern void AnnotateIgnoreWritesEnd(const char *file, int line);

void apr_pool_clear(apr_pool_t *pool)
{
    static void (*real)(apr_pool_t *);

    if (!real) {
        real = (void (*)(apr_pool_t *))dlsym(RTLD_NEXT, "apr_pool_clear");
    }
    real(pool);
    __tsan_release(pool);
}

apr_status_t apr_socket_accept(apr_socket_t **accepted, apr_socket_t *sock,
                               apr_pool_t *pool)
{
    static apr_status_t (*real)(apr_socket_t **, apr_socket_t *, apr_pool_t *);

    if (!real) {
        real = (apr_status_t(*)(apr_socket_t **, apr_socket_t *,
                                apr_pool_t *))dlsym(RTLD_NEXT,
                                                    "apr_socket_accept");
    }
    __tsan_acquire(pool);
    return real(accepted, sock, pool);
}

apr_status_t apr_socket_close(apr_socket_t *sock)
{
    static apr_status_t (*real)(apr_socket_t *);
    apr_status_t rv;

    if (!real) {
        real = (apr_status_t(*)(apr_socket_t *))dlsym(RTLD_NEXT,
                                                      "apr_socket_close");
    }
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
    rv = real(sock);
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    return rv;
}
