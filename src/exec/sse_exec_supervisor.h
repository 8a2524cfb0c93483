/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_exec_supervisor.h
 * The parent's side of the supervisor of programs: a process that starts and
 * ends what SSECommand names, for all children.
 *
 * The parent forks it, only where the configuration names a program, as httpd's
 * User and Group.  It stays over restarts, is started again when it dies, and
 * ends with the parent, however that ends.  Children reach it through the door
 * (see sse_exec_wire.h), which the parent keeps open, so that what they send
 * waits for the next supervisor where there is none for a moment.
 *
 * Threads: the parent's one thread; sse_exec_supervisor_door() any.
 */

#ifndef SSE_EXEC_SUPERVISOR_H
#define SSE_EXEC_SUPERVISOR_H

#include <httpd.h>

/** Parent, post_config: have a supervisor if the configuration names a program,
 *  and none if it does not.  One that runs stays, unless user, group or
 *  SSE_EXEC_VERSION differ.
 *  @return an error: it cannot be made */
apr_status_t sse_exec_supervisor_prepare(apr_pool_t *pconf, server_rec *s,
                                         int is_needed);

/** Hook: monitor.  Parent: a supervisor that has died, and was not started
 *  again at once as it had died just before, too, is. */
int sse_exec_supervisor_monitor(apr_pool_t *p, server_rec *s);

/** The children's end of the door, or -1: there is no supervisor.  After
 *  sse_exec_supervisor_prepare(); any process. */
int sse_exec_supervisor_door(void);

/** child_init: what only parent and supervisor need is closed. */
void sse_exec_supervisor_forget(void);

#endif /* SSE_EXEC_SUPERVISOR_H */
