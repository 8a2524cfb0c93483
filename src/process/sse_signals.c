/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "process/sse_signals.h"

#include <mpm_common.h>
#include <signal.h>

static int is_forked; /* const after child_init */

/* Of each thread: workers, which have all signals blocked anyway, publish,
 * too. */
static __thread int depth;
static __thread sigset_t before_hold;

void sse_signals_init(int forked) { is_forked = forked; }

void sse_signals_hold(void)
{
    sigset_t set;

    if (!is_forked || depth++) {
        return;
    }
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, AP_SIG_GRACEFUL);
    pthread_sigmask(SIG_BLOCK, &set, &before_hold);
}

void sse_signals_let_go(void)
{
    if (depth && --depth == 0) {
        pthread_sigmask(SIG_SETMASK, &before_hold, NULL);
    }
}

void sse_signals_let_go_at_end(conn_rec *c)
{
    if (depth == 1 && sse_signals_pending() != SSE_SIGNAL_NONE) {
        c->keepalive = AP_CONN_CLOSE;
    }
    else {
        sse_signals_let_go();
    }
}

int sse_signals_close(conn_rec *c)
{
    if (depth) {
        depth = 1;
        sse_signals_let_go();
    }
    return OK;
}

sse_signal_e sse_signals_pending(void)
{
    sigset_t set;

    if (!is_forked || sigpending(&set)) {
        return SSE_SIGNAL_NONE;
    }
    if (sigismember(&set, SIGTERM) > 0 || sigismember(&set, SIGHUP) > 0) {
        return SSE_SIGNAL_STOP;
    }
    return sigismember(&set, AP_SIG_GRACEFUL) > 0 ? SSE_SIGNAL_GRACEFUL
                                                  : SSE_SIGNAL_NONE;
}
