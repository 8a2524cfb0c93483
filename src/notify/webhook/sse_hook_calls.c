/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "notify/webhook/sse_hook_calls.h"

#include <http_log.h>
#include <unistd.h>

#include "config/sse_config.h"
#include "loop/sse_complain.h"
#include "notify/sse_ended.h"
#include "notify/webhook/sse_hook_json.h"
#include "notify/webhook/sse_hook_record.h"
#include "notify/webhook/sse_hook_sender.h"
#include "notify/webhook/sse_hook_target.h"
#include "process/sse_leave.h"
#include "shared/sse_counters.h"

APLOG_USE_MODULE(sse);

/* How long the child's end waits for the sender's thread. */
#define STOP_WAIT apr_time_from_msec(500)

/* What has no room, by what is lost. */
typedef enum { LOST_STREAM, LOST_END, LOST_EVENT, LOST_CHANNEL, LOST } lost_e;

typedef struct {
    sse_complaint_t complaint;
    apr_uint64_t target; /* atomic: the one that was logged */
} loss_t;

static struct {
    sse_spool_t *spool; /* const after child_init; NULL: none */
    server_rec *server; /* const */
    sse_spool_orphan_fn *on_orphan;
    loss_t lost[LOST];
    sse_complaint_t claiming;
} self;

/* -- Adding ---------------------------------------------------------------- */

static lost_e lost_by(sse_call_type_e type)
{
    static const lost_e lost[] = {LOST_STREAM, LOST_END, LOST_EVENT,
                                  LOST_CHANNEL, LOST_CHANNEL};

    return lost[type];
}

static const char *target_name(const sse_call_t *call, apr_pool_t *pool)
{
    sse_hook_target_t target;

    return sse_hook_target_parse(&target, call->target, pool)
               ? sse_hook_target_name(&target, pool)
               : "a target";
}

static void log_lost(loss_t *lost, const sse_call_t *call, apr_status_t rv)
{
    static const char *const what[LOST] = {
        "the opening and the end of a stream are not told",
        "the end of a stream, whose opening was told, is not told",
        "an event is not told",
        "a channel's first or last subscriber is not told"};
    apr_uint64_t calls = 0, bytes = 0;
    apr_pool_t *pool;

    sse_atomic_store(&lost->target, sse_hook_hash(call->target));
    apr_pool_create(&pool, NULL);
    if (self.spool) {
        sse_spool_waiting(self.spool, &calls, &bytes);
    }
    ap_log_error(
        APLOG_MARK, call->type == SSE_CALL_CLOSE ? APLOG_ERR : APLOG_WARNING,
        APR_STATUS_IS_ENOSPC(rv) ? 0 : rv, self.server,
        "webhooks: %s to %s: %s (%" APR_UINT64_T_FMT
        " calls wait in this child, %" APR_UINT64_T_FMT
        " bytes).  sse-status counts what is dropped.  Not logged again for a "
        "minute",
        what[lost_by(call->type)], target_name(call, pool),
        !self.spool ? "there is no queue, see above"
        : APR_STATUS_IS_ENOSPC(rv)
            ? "its queue is full.  Make the target faster or use SSEHookBatch, "
              "see that the disk has room, or raise SSEHookQueue"
            : "the queue cannot be written; " SSE_ENDED_ADVICE,
        calls, bytes);
    apr_pool_destroy(pool);
}

/* Another target's calls may have had room all the time. */
static int is_over(loss_t *lost, const sse_call_t *call)
{
    return sse_atomic_load(&lost->complaint.is_failing) &&
           sse_atomic_load(&lost->target) == sse_hook_hash(call->target) &&
           sse_complain_is_over(&lost->complaint);
}

static void log_room(const sse_call_t *call)
{
    apr_pool_t *pool;

    apr_pool_create(&pool, NULL);
    ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, self.server,
                 "webhooks: the queue takes \"%s\" to %s again",
                 sse_hook_json_name(call->type), target_name(call, pool));
    apr_pool_destroy(pool);
}

/* An end whose opening had no room is nothing new. */
void sse_hook_calls_add(const sse_call_t *call)
{
    loss_t *lost = &self.lost[lost_by(call->type)];
    apr_status_t rv =
        self.spool ? sse_spool_add(self.spool, call) : APR_ENOTIMPL;

    if (rv == APR_NOTFOUND) {
        return;
    }
    if (rv != APR_SUCCESS) {
        sse_counters_add(SSE_COUNTER_HOOKS_DROPPED, 1);
        if (sse_complain_is_due(&lost->complaint)) {
            log_lost(lost, call, rv);
        }
        return;
    }
    if (is_over(lost, call)) {
        log_room(call);
    }
    if (!call->is_silent) {
        sse_sender_wake();
    }
}

/* -- Claiming -------------------------------------------------------------- */

/* A child that leaves may not know targets that a newer configuration has. */
static apr_status_t claim(void *baton, apr_pool_t *pool)
{
    apr_status_t rv;

    if (sse_leave_how() != SSE_STAY) {
        return APR_SUCCESS;
    }
    rv = sse_spool_claim(self.spool, sse_ended_is_alive, self.on_orphan, NULL,
                         pool);
    sse_sender_wake();
    if (rv == APR_SUCCESS || APR_STATUS_IS_EAGAIN(rv)) {
        if (sse_complain_is_over(&self.claiming)) {
            ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, self.server,
                         "webhooks: the queues of dead children can be read "
                         "again");
        }
    }
    else if (sse_complain_is_due(&self.claiming)) {
        ap_log_error(APLOG_MARK, APLOG_ERR, rv, self.server,
                     "webhooks: cannot take over the queues of dead children, "
                     "whose calls wait: " SSE_ENDED_ADVICE
                     ".  Not logged again for a minute");
    }
    return rv;
}

/* -- The child ------------------------------------------------------------- */

static apr_status_t open_spool(const char *dir, apr_pool_t *pool)
{
    apr_uint64_t calls, bytes;
    apr_status_t rv;

    sse_conf_hook_queue(self.server, &calls, &bytes);
    rv =
        sse_spool_open(&self.spool, dir, sse_ended_owner(), calls, bytes, pool);
    if (rv != APR_SUCCESS) {
        self.spool = NULL;
        ap_log_error(APLOG_MARK, APLOG_ERR, rv, self.server,
                     "webhooks: cannot make a queue in %s: this child tells "
                     "nothing; " SSE_ENDED_ADVICE,
                     dir);
    }
    return rv;
}

/* Before anything in the pool goes, and after the loop's own end, as it is
 * registered before that; also where the loop could not be started. */
static apr_status_t stop_sender(void *baton)
{
    if (!sse_sender_stop(STOP_WAIT)) {
        ap_log_error(APLOG_MARK, APLOG_DEBUG, 0, self.server,
                     "webhooks: the sender does not end; leaving without it");
        _exit(0);
    }
    return APR_SUCCESS;
}

void sse_hook_calls_init(server_rec *s, const char *dir, int is_wanted,
                         sse_spool_orphan_fn *on_orphan, apr_pool_t *pool)
{
    apr_status_t rv;

    self.server = s;
    self.on_orphan = on_orphan;
    /* A child of the generation before has its queue while this one begins. */
    if ((!is_wanted && !sse_spool_is_left(dir)) ||
        open_spool(dir, pool) != APR_SUCCESS) {
        return;
    }
    rv = sse_sender_start(self.spool, s, pool);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_ERR, rv, s,
                     "webhooks: no thread can be made that sends them; they "
                     "wait until another child takes them: see the limits on "
                     "threads (TasksMax of systemd's unit, RLIMIT_NPROC of the "
                     "user, the cgroup's pids.max)");
        return;
    }
    apr_pool_pre_cleanup_register(pool, NULL, stop_sender);
    sse_ended_add(SSE_WORKERS_CLAIM, claim, NULL);
}
