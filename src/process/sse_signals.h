/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_signals.h
 * prefork stops a child by a signal, whose handler ends the process whatever
 * its one request thread was doing: within a write, or holding a lock that the
 * loop needs for callbacks.  So that thread blocks these signals while it runs
 * our code, and the loop, seeing that one is pending, ends the streams as with
 * any other MPM.  Threads of the other MPMs have all signals blocked, and
 * nothing here has an effect.
 *
 * Threads: the request's; sse_signals_pending() any.
 */

#ifndef SSE_SIGNALS_H
#define SSE_SIGNALS_H

#include <httpd.h>

typedef enum {
    SSE_SIGNAL_NONE = 0,
    SSE_SIGNAL_GRACEFUL, /**< end after this request */
    SSE_SIGNAL_STOP      /**< end at once */
} sse_signal_e;

/** child_init. @param is_forked prefork: a process for each connection */
void sse_signals_init(int is_forked);

/** Block the signals; may be nested. */
void sse_signals_hold(void);

/** Unblock them, in the last of as many calls as to sse_signals_hold().  If one
 *  is pending, the process may end here. */
void sse_signals_let_go(void);

/** The same at the end of a request: if one is pending, unblock them when the
 *  connection is closed, which this request is then the last of, so that it is
 *  logged and its pool destroyed first. */
void sse_signals_let_go_at_end(conn_rec *c);

/** pre_close_connection hook: unblock them whatever the nesting. */
int sse_signals_close(conn_rec *c);

/** The signal that is pending. */
sse_signal_e sse_signals_pending(void);

#endif /* SSE_SIGNALS_H */
