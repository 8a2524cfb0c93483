/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "notify/sse_crash.h"

#include <apr_strings.h>
#include <http_log.h>

#include "loop/sse_complain.h"
#include "notify/sse_ended.h"
#include "notify/sse_registry.h"

APLOG_USE_MODULE(sse);

static struct {
    sse_registry_t *registry;  /* const after child_init; NULL: none */
    server_rec *server;        /* const */
    sse_complaint_t complaint; /* of a registry that does not work */
} self;

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
                      "stream_crashed will not run for it; " SSE_ENDED_ADVICE
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

static apr_status_t claim(void *baton, apr_pool_t *pool)
{
    apr_status_t rv =
        sse_registry_claim(self.registry, sse_ended_is_alive, tell, NULL, pool);

    if (rv != APR_SUCCESS && sse_complain_is_due(&self.complaint)) {
        ap_log_error(
            APLOG_MARK, APLOG_ERR, rv, self.server,
            "cannot look for the streams of dead children: " SSE_ENDED_ADVICE
            ".  Not logged again for a minute");
    }
    return rv;
}

/* -- Making it ------------------------------------------------------------- */

void sse_crash_init(server_rec *s, const char *dir, apr_pool_t *pool)
{
    const char *owner = sse_ended_owner();
    apr_status_t rv;

    self.server = s;
    if (!sse_listeners_want(SSE_TELL_CRASHED)) {
        return;
    }
    rv = sse_registry_open(&self.registry, dir, owner, pool);
    if (rv != APR_SUCCESS) {
        ap_log_error(
            APLOG_MARK, APLOG_ERR, rv, s,
            "cannot make %s/open.%s: if this child is killed, "
            "stream_crashed will not run for its streams; " SSE_ENDED_ADVICE,
            dir, owner);
        return;
    }
    sse_ended_add(SSE_WORKERS_CRASH, claim, NULL);
}
