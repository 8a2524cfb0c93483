/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_thread.h
 * httpd's name for the calling thread, which conn_rec::current_thread must be
 * while that thread runs a connection's hooks: modules keep things in the
 * thread's pool (mod_lua its interpreters), which only that thread may touch.
 *
 * Threads: any.
 */

#ifndef SSE_THREAD_H
#define SSE_THREAD_H

#include <httpd.h>

/** The MPM's own, or for another thread one that is made at the first call and
 *  goes with it. */
apr_thread_t *sse_thread_here(void);

#endif /* SSE_THREAD_H */
