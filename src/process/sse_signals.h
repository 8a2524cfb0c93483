/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_signals.h
 * prefork tells a child to go by a signal, whose handler ends the process over
 * whatever its one request thread was doing: with a lock held that the loop
 * needs to tell of an end, or in the middle of a write.
 *
 * So that thread holds these signals back while it is in our hands, and the
 * loop, which sees that one is pending, ends what is open as in any other MPM.
 * The other MPMs' threads have all signals blocked anyway: there all of this
 * does nothing.
 *
 * Threads: the request's; sse_signals_pending() any.
 */

#ifndef SSE_SIGNALS_H
#define SSE_SIGNALS_H

#include <httpd.h>

typedef enum {
    SSE_SIGNAL_NONE = 0,
    SSE_SIGNAL_GRACEFUL, /**< go when the request is over */
    SSE_SIGNAL_STOP      /**< go at once */
} sse_signal_e;

/** child_init. @param is_forked whether each process serves one connection */
void sse_signals_init(int is_forked);

/** Hold them back; may be nested. */
void sse_signals_hold(void);

/** Let them come again, after as many calls as to sse_signals_hold(): one that
 *  is pending may end the process inside of this. */
void sse_signals_let_go(void);

/** The same at a request's end: where one is pending they come when the
 *  connection is closed, which is right after this request then, so that it is
 *  logged and its memory not torn down halfway. */
void sse_signals_let_go_at_end(conn_rec *c);

/** pre_close_connection hook: let them come, whoever held them. */
int sse_signals_close(conn_rec *c);

/** What is held back. */
sse_signal_e sse_signals_pending(void);

#endif /* SSE_SIGNALS_H */
