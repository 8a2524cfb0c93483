/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_limits.h
 * SSEMaxStreams and SSEMaxStreamsPerClient: whether one more stream may open.
 * With prefork, where a stream holds a process, SSEMaxThreads as well; for the
 * threads of a child see sse_threads.h.
 *
 * The main server's SSEMaxStreams is the whole server's total, a virtual host's
 * is that host's own, and not inherited.  SSEMaxStreamsPerClient is that of
 * the request's location; it is compared with all streams of the client's
 * address that have such a limit, wherever they are.  What has no limit is not
 * counted, and costs nothing.
 *
 * All are counted over the children of both generations of a graceful restart;
 * the new configuration's limits hold for what its children open.
 *
 * Where there is no room to count one more client, it is let in: the limit is
 * there to keep some from taking too much, not to shut out the others.  A
 * total that cannot be counted is taken for reached.
 *
 * Life: the table (sse_quota) lives as long as the server; where a restart has
 * loaded another version of this module, whose table is another (sse_shared),
 * the streams of children that are older are not counted for the second or so
 * that they last.  A place is taken
 * before the stream opens, and given back when its end has been told; what a
 * dead child had is free when the parent has noticed its death.
 *
 * Threads: tagged.
 */

#ifndef SSE_LIMITS_H
#define SSE_LIMITS_H

#include <httpd.h>

#include "shared/sse_quota.h"

/** Nothing says when there will be room: soon enough for a person, seldom
 *  enough for a server that has its fill. */
#define SSE_RETRY_AFTER "10"

/** Parent: make what the children share, or find it again after a restart. */
apr_status_t sse_limits_prepare(apr_pool_t *process_pool);

/** Parent: this child has ended. */
void sse_limits_ended(pid_t pid);

/**
 * Take the places of one more stream.  Request thread.
 * @param place out: what sse_limits_give_back() is to be called with, once, if
 *        this returns OK
 * @return OK; HTTP_SERVICE_UNAVAILABLE: SSEMaxStreams or SSEMaxThreads is
 *         reached; HTTP_TOO_MANY_REQUESTS: SSEMaxStreamsPerClient is.
 *         Retry-After and the log note sse-refused are set then, and what an
 *         administrator has to know is logged
 */
int sse_limits_take(request_rec *r, sse_quota_claim_t *place);

/** Any thread; never waits. */
void sse_limits_give_back(sse_quota_claim_t *place);

#endif /* SSE_LIMITS_H */
