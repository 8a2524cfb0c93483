/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_origin.h
 * Whose pages may publish.  A page is this host's own if its Origin is what the
 * browser addressed (Host), and the configuration gives this host that name.
 * Without the second condition any page could publish by pointing a name of its
 * own at this server (DNS rebinding): its Origin and its Host agree.  An IP
 * address and "localhost" are not names that somebody else could point
 * anywhere, so the first condition suffices for them.
 *
 * Threads: the request's.
 */

#ifndef SSE_ORIGIN_H
#define SSE_ORIGIN_H

#include <httpd.h>

/** Whether a page sent this request that may not publish here: its Origin is
 *  neither listed by SSEAllowOrigin nor this host's own.  A program sends no
 *  Origin and is never refused.
 *  @return NULL: it may; else the reason, and what to configure (403) */
const char *sse_origin_refused(request_rec *r);

#endif /* SSE_ORIGIN_H */
