/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_api.h
 * The optional functions of mod_sse.h.
 *
 * Threads: as mod_sse.h says.
 */

#ifndef SSE_API_H
#define SSE_API_H

/** register_hooks. */
void sse_api_register(void);

#endif /* SSE_API_H */
