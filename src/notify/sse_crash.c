/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "notify/sse_crash.h"

#include <apr_strings.h>
#include <http_log.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loop/sse_broadcast.h"
#include "loop/sse_workers.h"
#include "loop/sse_complain.h"
#include "sse_atomic.h"
#include "shared/sse_counters.h"
#include "notify/sse_registry.h"
#include "store/sse_store.h"

APLOG_USE_MODULE(sse);

#define KEY_MAX 120
/* Where there is no thread to look for the dead. */
#define RETRY_MSEC 1000
/* Where another process has the registry locked. */
#define BUSY_WAIT apr_time_from_sec(1)

static struct {
    sse_registry_t *registry; /* const after child_init; NULL: nobody listens */
    server_rec *server;       /* const */
    char owner[48];           /* const: this child */
    sse_broadcast_t broadcast; /* loop */
    uv_timer_t retry;          /* loop */
    sse_job_t job;
    sse_complaint_t complaint; /* of a registry that does not work */
    apr_uint32_t rung; /* atomic: since all dead were told of; 0: they are */
} self;

/* An error of the store's own has no text of the system's. */
static apr_status_t for_log(apr_status_t rv)
{
    return rv >= APR_OS_START_USERERR ? 0 : rv;
}

static const char *advice(apr_status_t rv)
{
    return rv == SSE_STORE_EBUSY
               ? "find who has open.mdb-lock in the store's directory open, "
                 "and end what hangs"
               : "see that the store's directory is there, has room, and "
                 "belongs to the server's user";
}

/* -- Entries --------------------------------------------------------------- */

static sse_slice_t key_of(char *buf, request_rec *r)
{
    sse_slice_t key;

    key.ptr = buf;
    key.len = (apr_size_t)apr_snprintf(buf, KEY_MAX, "%s/%s", self.owner,
                                       apr_table_get(r->notes, "sse-stream"));
    return key;
}

/* opened, channels, client: three lines. */
static void opened(sse_stream_t *stream, request_rec *r)
{
    char buf[KEY_MAX], time[24];
    const char *text;
    apr_status_t rv;

    apr_snprintf(time, sizeof(time), "%" APR_TIME_T_FMT, apr_time_now());
    text =
        apr_pstrcat(r->pool, time, "\n", apr_table_get(r->notes, "sse-channel"),
                    "\n", r->useragent_ip, NULL);
    rv = sse_registry_add(self.registry, key_of(buf, r), sse_slice(text));
    if (rv != APR_SUCCESS && sse_complain_is_due(&self.complaint)) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, for_log(rv), r,
                      "cannot register the stream: if this child is killed, "
                      "nobody will be told of its end; %s.  Not told again for "
                      "a minute",
                      advice(rv));
    }
}

static void closed(const sse_ended_t *ended)
{
    char buf[KEY_MAX];

    sse_registry_remove(self.registry, key_of(buf, ended->r));
}

static int wants(sse_tell_e event) { return self.registry != NULL; }

const sse_listener_t sse_crash_listener = {.name = "crash",
                                           .mask = SSE_TELL_OPENED |
                                                   SSE_TELL_CLOSED,
                                           .wants = wants,
                                           .opened = opened,
                                           .closed = closed};

/* -- Claiming -------------------------------------------------------------- */

static int is_alive(void *baton, sse_slice_t owner)
{
    char text[sizeof(self.owner)], *end;
    apr_time_t born;
    pid_t pid;

    if (owner.len >= sizeof(text)) {
        return 0;
    }
    memcpy(text, owner.ptr, owner.len);
    text[owner.len] = '\0';
    born = (apr_time_t)strtoull(text, &end, 16);
    pid = *end == '.' ? (pid_t)strtoul(end + 1, NULL, 16) : 0;
    return sse_counters_is_alive(pid, born);
}

static void fill(sse_crash_t *crash, sse_slice_t key, sse_slice_t value)
{
    char *text = apr_pstrmemdup(crash->pool, value.ptr, value.len), *line;
    const char *slash = memchr(key.ptr, '/', key.len);

    crash->stream =
        slash ? apr_pstrmemdup(crash->pool, slash + 1,
                               key.len - (apr_size_t)(slash + 1 - key.ptr))
              : "";
    line = apr_strtok(text, "\n", &text);
    crash->opened = line ? apr_atoi64(line) : 0;
    line = apr_strtok(NULL, "\n", &text);
    crash->channels = line ? line : "";
    line = apr_strtok(NULL, "\n", &text);
    crash->client = line ? line : "";
}

static void tell(void *baton, sse_slice_t key, sse_slice_t value)
{
    sse_crash_t crash = {0};

    apr_pool_create(&crash.pool, NULL);
    apr_pool_tag(crash.pool, "sse_crash");
    fill(&crash, key, value);
    ap_log_error(APLOG_MARK, APLOG_INFO, 0, self.server,
                 "stream %s ended: crash, its child process died",
                 crash.stream);
    sse_listeners_crashed(&crash);
    apr_pool_destroy(crash.pool);
}

/* @return whether it is worth trying again */
static int claim_dead(void)
{
    apr_pool_t *pool;
    apr_status_t rv;

    apr_pool_create(&pool, NULL);
    rv = sse_registry_claim(self.registry, is_alive, tell, NULL, pool);
    if (rv != APR_SUCCESS && sse_complain_is_due(&self.complaint)) {
        ap_log_error(APLOG_MARK, APLOG_ERR, for_log(rv), self.server,
                     "cannot look for the streams of dead children: %s.  Not "
                     "told again for a minute",
                     advice(rv));
    }
    apr_pool_destroy(pool);
    return rv == SSE_STORE_EBUSY;
}

/* One at a time.  Those that die meanwhile have their turn before it
 * returns. */
static void claim(sse_job_t *job)
{
    apr_uint32_t rung;

    do {
        rung = sse_atomic_load(&self.rung);
        while (claim_dead()) {
            apr_sleep(BUSY_WAIT);
        }
    } while (!sse_atomic_cas(&self.rung, rung, 0));
}

static void push_claim(uv_timer_t *timer)
{
    if (sse_workers_try(SSE_WORKERS_CRASH, &self.job) != APR_SUCCESS) {
        uv_timer_start(timer, push_claim, RETRY_MSEC, 0);
    }
}

/* Comes also when this child has begun: for what ended before. */
static void on_ended(sse_broadcast_t *broadcast)
{
    if (sse_atomic_add(&self.rung, 1) == 1) {
        push_claim(&self.retry);
    }
}

/* -- Making it ------------------------------------------------------------- */

/* Open the registry, where somebody listens to it. */
static apr_status_t open_registry(const char *dir, apr_pool_t *pool)
{
    apr_status_t rv = sse_registry_open(&self.registry, dir, self.owner, pool);

    if (rv != APR_SUCCESS) {
        self.registry = NULL;
        ap_log_error(APLOG_MARK, APLOG_ERR, rv, self.server,
                     "cannot open %s/open.mdb: if this child is killed, nobody "
                     "will be told of its streams; see that the file belongs "
                     "to the server's user",
                     dir);
    }
    return rv;
}

void sse_crash_init(server_rec *s, sse_loop_t *loop, int fd, const char *dir,
                    apr_time_t born, apr_pool_t *pool)
{
    apr_status_t rv;

    self.server = s;
    apr_snprintf(self.owner, sizeof(self.owner), "%" APR_UINT64_T_HEX_FMT ".%x",
                 (apr_uint64_t)born, (unsigned)getpid());
    if (!sse_listeners_want(SSE_TELL_CRASHED) ||
        open_registry(dir, pool) != APR_SUCCESS) {
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
                     "this child does not hear of others that are killed; see "
                     "its limit on descriptors");
    }
}
