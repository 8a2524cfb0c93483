/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "stream/sse_limits.h"

#include <apr_strings.h>
#include <http_log.h>
#include <http_main.h>
#include <string.h>
#include <unistd.h>

#include "config/sse_config.h"
#include "config/sse_mpm.h"
#include "loop/sse_complain.h"
#include "shared/sse_counters.h"
#include "shared/sse_shared.h"

APLOG_USE_MODULE(sse);

/* Pairs of child and client; of child and server or host.  32 bytes each, of
 * which only those in use are ever in memory. */
#define CLIENTS 131072
#define TOTALS  16384

static sse_quota_t *quota; /* const after post_config */

apr_status_t sse_limits_prepare(apr_pool_t *process_pool)
{
    sse_shared_e how;
    void *memory;
    apr_status_t rv = sse_shared_get("quota", SSE_QUOTA_LAYOUT,
                                     sse_quota_size(CLIENTS, TOTALS),
                                     process_pool, &memory, &how);

    if (rv == APR_SUCCESS && how != SSE_SHARED_FOUND) {
        rv = sse_quota_init(memory, CLIENTS, TOTALS);
    }
    if (rv == APR_SUCCESS) {
        quota = memory;
    }
    return rv;
}

void sse_limits_ended(pid_t pid)
{
    if (quota) {
        sse_quota_leave(quota, pid);
    }
}

/* -- What has a limit ------------------------------------------------------ */

const char *sse_limits_host(request_rec *r)
{
    const server_rec *s = r->server;

    return apr_psprintf(
        r->pool, "%s %s:%u", s->server_hostname ? s->server_hostname : "",
        s->addrs ? s->addrs->virthost : "", s->addrs ? s->addrs->host_port : 0);
}

static const char *client_name(request_rec *r)
{
    return r->useragent_ip ? r->useragent_ip : r->connection->client_ip;
}

static int add_want(sse_quota_want_t *want, sse_quota_kind_e kind,
                    const char *text, int limit)
{
    sse_quota_key(&want->key, kind, text);
    want->limit = (apr_uint32_t)limit;
    return 1;
}

/* @return how many */
static int wants_of(request_rec *r, int polls, sse_quota_want_t *wants)
{
    int per_client = sse_conf_max_per_client(r);
    int in_server = sse_conf_max_streams(ap_server_conf);
    int in_host = r->server->is_virtual ? sse_conf_max_streams(r->server) : 0;
    int n = 0;

    if (per_client) {
        n += add_want(&wants[n], SSE_QUOTA_CLIENT, client_name(r), per_client);
    }
    if (in_host) {
        n += add_want(&wants[n], SSE_QUOTA_HOST, sse_limits_host(r), in_host);
    }
    if (!sse_mpm()->is_threaded && !polls) {
        n += add_want(&wants[n], SSE_QUOTA_PROCESS, "",
                      sse_conf_max_threads(r->server, sse_mpm()->children));
    }
    if (in_server) {
        n += add_want(&wants[n], SSE_QUOTA_SERVER, "", in_server);
    }
    return n;
}

/* -- Whether there is room ------------------------------------------------- */

static sse_complaint_t complaints[SSE_QUOTA_KINDS + 1]; /* 0: no room */

static void complain(request_rec *r, const sse_quota_want_t *want)
{
    if (want->key.kind == SSE_QUOTA_CLIENT) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                      "SSEMaxStreamsPerClient %u: client %s has that many open "
                      "streams; further ones are answered 429. Raise the limit "
                      "if many people share the address. Not logged again for "
                      "a minute",
                      want->limit, client_name(r));
    }
    else if (want->key.kind == SSE_QUOTA_PROCESS) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                      "SSEMaxThreads %s: streams occupy %u of the server's %d "
                      "processes; further ones are answered 503, and long "
                      "polls at once, so that the other processes can serve "
                      "requests. Raise "
                      "MaxRequestWorkers, or use the event MPM, where streams "
                      "occupy none. Not logged again for a minute",
                      sse_conf_max_threads_text(r->server, r->pool),
                      want->limit, sse_mpm()->children);
    }
    else {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                      "SSEMaxStreams %u: %s has that many open streams; "
                      "further ones are answered 503. Raise the limit if the "
                      "server can carry more. Not logged again for a minute",
                      want->limit,
                      want->key.kind == SSE_QUOTA_SERVER
                          ? "the server"
                          : r->server->server_hostname);
    }
}

static void complain_full(request_rec *r, int is_client)
{
    ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                  is_client
                      ? "no room to count the streams of another client "
                        "address, which is let in without a limit. So many "
                        "addresses may be an attack: see SSEMaxStreams. Not "
                        "logged again for a minute"
                      : "no room to count the streams of another virtual "
                        "host, which is answered 503. Remove SSEMaxStreams "
                        "from some virtual hosts, or have fewer children. Not "
                        "logged again for a minute");
}

static int refuse(request_rec *r, const sse_quota_want_t *want)
{
    static const char *const directives[] = {
        [SSE_QUOTA_CLIENT] = "SSEMaxStreamsPerClient",
        [SSE_QUOTA_HOST] = "SSEMaxStreams",
        [SSE_QUOTA_PROCESS] = "SSEMaxThreads",
        [SSE_QUOTA_SERVER] = "SSEMaxStreams"};
    static const sse_counter_e counters[] = {
        [SSE_QUOTA_CLIENT] = SSE_COUNTER_REFUSED_CLIENT,
        [SSE_QUOTA_HOST] = SSE_COUNTER_REFUSED_HOST,
        [SSE_QUOTA_PROCESS] = SSE_COUNTER_REFUSED_THREADS,
        [SSE_QUOTA_SERVER] = SSE_COUNTER_REFUSED_SERVER};

    apr_table_setn(r->notes, "sse-refused", directives[want->key.kind]);
    sse_counters_add(counters[want->key.kind], 1);
    apr_table_setn(r->err_headers_out, "Retry-After", SSE_RETRY_AFTER);
    return want->key.kind == SSE_QUOTA_CLIENT ? HTTP_TOO_MANY_REQUESTS
                                              : HTTP_SERVICE_UNAVAILABLE;
}

/* A limit is reached. */
static int turn_away(request_rec *r, const sse_quota_want_t *want)
{
    if (sse_complain_is_due(&complaints[want->key.kind])) {
        complain(r, want);
    }
    return refuse(r, want);
}

int sse_limits_look(request_rec *r, int polls)
{
    sse_quota_want_t wants[SSE_QUOTA_KINDS];
    int n = wants_of(r, polls, wants), i;

    for (i = 0; i < n; ++i) {
        if (sse_quota_count(quota, &wants[i].key) >= wants[i].limit) {
            return turn_away(r, &wants[i]);
        }
    }
    return OK;
}

static int take(request_rec *r, int polls, int *can_poll,
                sse_quota_claim_t *claim)
{
    sse_quota_want_t wants[SSE_QUOTA_KINDS];
    int n = wants_of(r, polls, wants), which = 0;

    memset(claim, 0, sizeof(*claim));
    if (!n) {
        return OK;
    }
    switch (sse_quota_acquire(quota, getpid(), wants, n, claim, &which)) {
    case SSE_QUOTA_TAKEN:
        return OK;
    case SSE_QUOTA_UNCOUNTED:
        if (sse_complain_is_due(&complaints[0])) {
            complain_full(r, 1);
        }
        return OK;
    case SSE_QUOTA_REFUSED:
        if (wants[which].key.kind == SSE_QUOTA_PROCESS && *can_poll) {
            return DECLINED;
        }
        return turn_away(r, &wants[which]);
    case SSE_QUOTA_FULL:
    default:
        if (sse_complain_is_due(&complaints[0])) {
            complain_full(r, 0);
        }
        return refuse(r, &wants[which]);
    }
}

int sse_limits_take(request_rec *r, int *polls, sse_quota_claim_t *claim)
{
    int rv = take(r, 0, polls, claim);

    *polls = rv == DECLINED;
    return *polls ? take(r, 1, polls, claim) : rv;
}

void sse_limits_give_back(sse_quota_claim_t *claim)
{
    if (quota) {
        sse_quota_release(quota, claim);
    }
}
