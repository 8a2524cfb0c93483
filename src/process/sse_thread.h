/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_thread.h
 * The apr_thread_t of the calling thread, which conn_rec::current_thread must
 * be while that thread runs a connection's hooks: modules keep objects in the
 * thread's pool (mod_lua its interpreters), which only that thread may use.
 *
 * Threads: any.
 */

#ifndef SSE_THREAD_H
#define SSE_THREAD_H

#include <httpd.h>

/** The MPM's, or for other threads one that is made by the first call and freed
 *  when the thread ends. */
apr_thread_t *sse_thread_here(void);

#endif /* SSE_THREAD_H */
