/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "notify/sse_crash.h"

#include <apr_strings.h>
#include <http_log.h>
#include <stdlib.h>
#include <unistd.h>

#include "loop/sse_broadcast.h"
#include "loop/sse_complain.h"
#include "loop/sse_workers.h"
#include "notify/sse_registry.h"
#include "shared/sse_counters.h"
#include "sse_atomic.h"

APLOG_USE_MODULE(sse);

/* How soon to try again where no thread could be made. */
#define RETRY_MSEC 1000

static struct {
    sse_registry_t *registry;  /* const after child_init; NULL: none */
    server_rec *server;        /* const */
    char owner[48];            /* const: this child */
    sse_broadcast_t broadcast; /* loop */
    uv_timer_t retry;          /* loop */
    sse_job_t job;
    sse_complaint_t complaint; /* of a registry that does not work */
    apr_uint32_t ended; /* atomic: broadcasts that no worker has seen yet */
} self;

#define ADVICE                                                                 \
    "see that the store's directory is there, has room, and belongs to the "   \
    "server's user"

/* -- Entries --------------------------------------------------------------- */

static const char *name_of(const request_rec *r)
{
    return apr_table_get(r->notes, "sse-stream");
}

/* When it was opened, its client, its channels. */
static void opened(sse_stream_t *stream, request_rec *r)
{
    const char *value =
        apr_psprintf(r->pool, "%" APR_TIME_T_FMT " %s %s", apr_time_now(),
                     r->useragent_ip, apr_table_get(r->notes, "sse-channel"));
    apr_status_t rv =
        sse_registry_add(self.registry, name_of(r), value, r->pool);

    if (rv != APR_SUCCESS && sse_complain_is_due(&self.complaint)) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, rv, r,
                      "cannot register the stream: if this child is killed, "
                      "stream_crashed will not run for it; " ADVICE
                      ".  Not logged again for a minute");
    }
}

static void closed(const sse_ended_t *ended)
{
    sse_registry_remove(self.registry, name_of(ended->r));
}

static int wants(sse_tell_e event) { return self.registry != NULL; }

const sse_listener_t sse_crash_listener = {
    .mask = SSE_TELL_OPENED | SSE_TELL_CLOSED,
    .wants = wants,
    .opened = opened,
    .closed = closed,
};

/* -- Claiming -------------------------------------------------------------- */

/* Other files of that directory count as living. */
static int is_alive(void *baton, const char *owner)
{
    char *end;
    apr_time_t born = (apr_time_t)strtoull(owner, &end, 16);

    return *end != '.' ||
           sse_counters_is_alive((pid_t)strtoul(end + 1, NULL, 16), born);
}

static void tell(void *baton, const char *name, const char *value)
{
    sse_crash_t crash = {0};
    const char *client;
    char *rest;

    apr_pool_create(&crash.pool, NULL);
    apr_pool_tag(crash.pool, "sse_crash");
    crash.stream = name;
    crash.opened = apr_strtoi64(apr_pstrdup(crash.pool, value), &rest, 10);
    client = apr_strtok(rest, " ", &rest);
    crash.client = client ? client : "";
    crash.channels = rest;
    ap_log_error(APLOG_MARK, APLOG_INFO, 0, self.server,
                 "stream %s ended: crash, its child process died",
                 crash.stream);
    sse_listeners_crashed(&crash);
    apr_pool_destroy(crash.pool);
}

static void claim_dead(void)
{
    apr_pool_t *pool;
    apr_status_t rv;

    apr_pool_create(&pool, NULL);
    rv = sse_registry_claim(self.registry, is_alive, tell, NULL, pool);
    if (rv != APR_SUCCESS && sse_complain_is_due(&self.complaint)) {
        ap_log_error(APLOG_MARK, APLOG_ERR, rv, self.server,
                     "cannot look for the streams of dead children: " ADVICE
                     ".  Not logged again for a minute");
    }
    apr_pool_destroy(pool);
}

/* One at a time; children that end meanwhile are looked for before it
 * returns. */
static void claim(sse_job_t *job)
{
    apr_uint32_t ended;

    do {
        ended = sse_atomic_load(&self.ended);
        claim_dead();
    } while (!sse_atomic_cas(&self.ended, ended, 0));
}

static void push_claim(uv_timer_t *timer)
{
    if (sse_workers_try(SSE_WORKERS_CRASH, &self.job) != APR_SUCCESS) {
        uv_timer_start(timer, push_claim, RETRY_MSEC, 0);
    }
}

/* Called when this child begins as well, for those that ended before. */
static void on_ended(sse_broadcast_t *broadcast)
{
    if (sse_atomic_add(&self.ended, 1) == 1) {
        push_claim(&self.retry);
    }
}

/* -- Making it ------------------------------------------------------------- */

void sse_crash_init(server_rec *s, sse_loop_t *loop, int fd, const char *dir,
                    apr_time_t born, apr_pool_t *pool)
{
    apr_status_t rv;

    self.server = s;
    apr_snprintf(self.owner, sizeof(self.owner), "%" APR_UINT64_T_HEX_FMT ".%x",
                 (apr_uint64_t)born, (unsigned)getpid());
    if (!sse_listeners_want(SSE_TELL_CRASHED)) {
        return;
    }
    rv = sse_registry_open(&self.registry, dir, self.owner, pool);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_ERR, rv, s,
                     "cannot make %s/open.%s: if this child is killed, "
                     "stream_crashed will not run for its streams; " ADVICE,
                     dir, self.owner);
        return;
    }
    self.job.run = claim;
    uv_timer_init(sse_loop_uv(loop), &self.retry);
    rv = sse_broadcast_open(&self.broadcast, loop, fd, on_ended);
    if (rv == APR_SUCCESS) {
        rv = sse_broadcast_listen(&self.broadcast, 1);
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_ERR, rv, s,
                     "this child is not told when others end, and will not "
                     "run stream_crashed for them; see its limit on "
                     "descriptors");
    }
}
