/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_refusal.h
 * What a client is told whose stream was refused, in words.
 *
 * Threads: the request's.
 */

#ifndef SSE_REFUSAL_H
#define SSE_REFUSAL_H

#include <httpd.h>

/** @param rv of sse_open_run() or sse_limits_look(): only if it refused is
 *         there surely still a request
 *  @return for the handler to return */
int sse_refusal_answer(request_rec *r, int rv);

#endif /* SSE_REFUSAL_H */
