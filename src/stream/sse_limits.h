/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_limits.h
 * SSEMaxStreams and SSEMaxStreamsPerClient: whether one more stream may open.
 * With prefork, where each stream occupies a process, SSEMaxThreads as well;
 * for the threads of a child see sse_threads.h.
 *
 * The main server's SSEMaxStreams is the limit of the whole server; that of a
 * virtual host is the host's own and not inherited.  SSEMaxStreamsPerClient is
 * that of the request's location; it is compared with all streams of the
 * client's address that have such a limit.  A stream without a limit is not
 * counted.  The count spans both generations of a graceful restart; each child
 * applies its own configuration's limits.
 *
 * When the table has no room for one more client, the client is let in
 * uncounted: the limit keeps a few clients from taking too much, and must not
 * shut out the others.  A total that cannot be counted counts as reached.
 *
 * Life: the table (sse_quota) lives as long as the server, unless a restart
 * loads a version of this module with another layout.  A claim is acquired
 * before its stream opens and released when the stream's end has been told; the
 * parent releases those of a dead child.
 *
 * Threads: tagged.
 */

#ifndef SSE_LIMITS_H
#define SSE_LIMITS_H

#include <httpd.h>

#include "shared/sse_quota.h"

/** Seconds: soon enough for a person, seldom enough for a full server. */
#define SSE_RETRY_AFTER "10"

/** Parent: make what the children share, or find it again after a restart. */
apr_status_t sse_limits_prepare(apr_pool_t *process_pool);

/** Parent: this child has ended. */
void sse_limits_ended(pid_t pid);

/**
 * Acquire what one more stream counts under.  Request thread.
 * @param polls in: whether it can do with a process for a moment, so that
 *        SSEMaxThreads does not hold; out: it has to
 * @param claim out: for sse_limits_give_back(), to be called if this returns
 *        OK; again has no effect
 * @return OK; HTTP_SERVICE_UNAVAILABLE: SSEMaxStreams or SSEMaxThreads is
 *         reached; HTTP_TOO_MANY_REQUESTS: SSEMaxStreamsPerClient is.  With a
 *         refusal, Retry-After and the log note sse-refused are set, and the
 *         log says so
 */
int sse_limits_take(request_rec *r, int *polls, sse_quota_claim_t *claim);

/** The same answer without acquiring anything, for what is costly and comes
 *  before: one more stream may open at this moment.  Request thread.
 *  @param polls as for sse_limits_take()
 *  @return as sse_limits_take() */
int sse_limits_look(request_rec *r, int polls);

/** The request's virtual host, for counting: by name, as pointers and line
 *  numbers change with a restart.  In r->pool. */
const char *sse_limits_host(request_rec *r);

/** Release it.  Any thread; never waits. */
void sse_limits_give_back(sse_quota_claim_t *claim);

#endif /* SSE_LIMITS_H */
