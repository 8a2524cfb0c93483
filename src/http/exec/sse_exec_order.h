/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_exec_order.h
 * What a request asks to be run: the program of its location, with arguments
 * that are evaluated for it, and an environment.
 *
 * A program of one client's own has the environment of a CGI.  One that is
 * shared has nothing of a single request: it would be that of whoever happened
 * to come first.
 *
 * Threads: the request's.
 */

#ifndef SSE_EXEC_ORDER_H
#define SSE_EXEC_ORDER_H

#include <httpd.h>

#include "exec/sse_exec_wire.h"

/** @param channels their names, as SSE_CHANNEL
 *  @param last_id NULL, or the id that the client has seen
 *  @param order out: in r->pool; no key
 *  @return OK, or DONE, which the handler is to return: an argument's
 *          expression has failed, which has been answered */
int sse_exec_order_make(request_rec *r, const char *channels,
                        const char *last_id, int is_shared,
                        sse_exec_order_t *order);

/** Answer where a program could not be started: tell the client and the log
 *  why.
 *  @param rv,answer of sse_exec_client_start()
 *  @return DONE */
int sse_exec_order_failed(request_rec *r, apr_status_t rv,
                          const sse_exec_message_t *answer);

#endif /* SSE_EXEC_ORDER_H */
