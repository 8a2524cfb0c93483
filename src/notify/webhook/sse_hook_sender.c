/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "notify/webhook/sse_hook_sender.h"

#include <apr_hash.h>
#include <apr_strings.h>
#include <curl/curl.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "notify/webhook/sse_hook_lane.h"
#include "shared/sse_counters.h"
#include "sse_atomic.h"

/* Calls that are read before what is under way goes on. */
#define READ_MAX 500
/* The longest sleep; nothing depends on it. */
#define SLEEP_MAX apr_time_from_sec(60)
/* Connections that are kept alive, of all targets together. */
#define KEPT_MAX 1024L

static struct {
    sse_lane_env_t env; /* const after start; multi NULL: no sender */
    apr_pool_t *pool;   /* sender */
    apr_hash_t *lanes;  /* sender: by the target's line */
    sse_spool_at_t at;  /* sender: read up to here */
    sse_room_t room;    /* sender: the call that was read */
    int is_woken;       /* atomic: it knows that there may be calls */
    int is_stopping;    /* atomic */
    pthread_mutex_t lock;
    pthread_cond_t over;
    int is_over; /* under lock: the thread has ended */
} self = {.lock = PTHREAD_MUTEX_INITIALIZER};

static apr_time_t steady_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return apr_time_from_sec(now.tv_sec) + now.tv_nsec / 1000;
}

/* -- Reading --------------------------------------------------------------- */

static sse_lane_t *lane_of(sse_slice_t line)
{
    sse_lane_t *lane =
        apr_hash_get(self.lanes, line.ptr, (apr_ssize_t)line.len);
    const char *key;

    if (!lane) {
        lane = sse_lane_create(&self.env, line, self.pool);
        key = apr_pmemdup(self.pool, line.ptr, line.len);
        apr_hash_set(self.lanes, key, (apr_ssize_t)line.len, lane);
    }
    return lane;
}

/* @return whether there may be more */
static int read_spool(apr_time_t now)
{
    sse_spool_at_t before;
    sse_lane_t *lane;
    sse_call_t call;
    apr_status_t rv;
    int n;

    for (n = 0; n < READ_MAX; ++n) {
        before = self.at;
        rv = sse_spool_next(self.env.spool, NULL, &self.at, &call, &self.room);
        if (rv == APR_EOF) {
            return 0;
        }
        lane = rv == APR_SUCCESS ? lane_of(call.target) : NULL;
        if (lane) {
            sse_lane_offer(lane, before, self.at, &call, now);
        }
        else {
            sse_lane_log_unread(&self.env, rv == APR_SUCCESS ? APR_ENOMEM : rv);
        }
    }
    return 1;
}

/* -- Sending --------------------------------------------------------------- */

/* @return when a lane is to be run again; 0: no time is set */
static apr_time_t run_lanes(apr_time_t now)
{
    apr_time_t due, first = 0;
    apr_hash_index_t *hi;
    sse_lane_t *lane;

    for (hi = apr_hash_first(NULL, self.lanes); hi; hi = apr_hash_next(hi)) {
        lane = apr_hash_this_val(hi);
        sse_lane_run(lane, self.at, &self.room, now);
        due = sse_lane_due(lane, now);
        if (due && (!first || due < first)) {
            first = due;
        }
    }
    return first;
}

/* @return whether any was done */
static int take_answers(void)
{
    int left, n = 0;
    CURLMsg *message;

    while ((message = curl_multi_info_read(self.env.multi, &left))) {
        if (message->msg == CURLMSG_DONE) {
            sse_lane_on_done(message->easy_handle, message->data.result,
                             steady_now());
            ++n;
        }
    }
    return n > 0;
}

/* Until an answer, a wake-up, or that time; 0: there is none. */
static void sleep_until(apr_time_t due)
{
    apr_interval_time_t wait = due ? due - steady_now() : SLEEP_MAX;

    if (wait > SLEEP_MAX) {
        wait = SLEEP_MAX;
    }
    /* Up to the next millisecond, and for one where something is due that
     * could not be done, rather than turning until then. */
    curl_multi_poll(self.env.multi, NULL, 0,
                    wait > 0 ? (int)((wait + 999) / 1000) : 1, NULL);
}

/* The sender alone, as the gauge takes one thread. */
static void count_waiting(void)
{
    apr_uint64_t calls, bytes;

    sse_spool_waiting(self.env.spool, &calls, &bytes);
    sse_counters_set(SSE_COUNTER_HOOKS_WAITING, calls);
}

/* The spool is read between any two rounds, as a target that answers without
 * a pause must not keep other ones' calls, or the end, waiting. */
static void work(void)
{
    int has_more, has_answers, running;
    apr_time_t due;

    while (!sse_atomic_load(&self.is_stopping)) {
        sse_atomic_cas(&self.is_woken, 1, 0);
        has_more = read_spool(steady_now());
        due = run_lanes(steady_now());
        curl_multi_perform(self.env.multi, &running);
        has_answers = take_answers();
        count_waiting();
        if (!has_more && !has_answers) {
            sleep_until(due);
        }
    }
}

/* The multi handle stays: other threads may be about to wake it.  What it has
 * open goes with the process. */
static void clean_up(void)
{
    apr_hash_index_t *hi;

    for (hi = apr_hash_first(NULL, self.lanes); hi; hi = apr_hash_next(hi)) {
        sse_lane_destroy(apr_hash_this_val(hi));
    }
    sse_room_free(&self.room);
}

static void *run(void *baton)
{
    work();
    clean_up();
    /* Else it frees what it has of OpenSSL's as it exits, behind is_over, when
     * the process may be exiting, too. */
    OPENSSL_thread_stop();
    pthread_mutex_lock(&self.lock);
    self.is_over = 1;
    pthread_cond_signal(&self.over);
    pthread_mutex_unlock(&self.lock);
    return NULL;
}

/* -- For others ------------------------------------------------------------ */

/* New threads inherit the mask. */
static int start_thread(void)
{
    sigset_t every, before;
    pthread_attr_t attr;
    pthread_t thread;
    int err;

    sigfillset(&every);
    pthread_sigmask(SIG_BLOCK, &every, &before);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    err = pthread_create(&thread, &attr, run, NULL);
    pthread_attr_destroy(&attr);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return err;
}

apr_status_t sse_sender_start(sse_spool_t *spool, server_rec *s,
                              apr_pool_t *pool)
{
    pthread_condattr_t attr;
    apr_status_t rv;

    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return APR_EGENERAL;
    }
    self.env = (sse_lane_env_t){curl_multi_init(), spool, s};
    if (!self.env.multi) {
        return APR_ENOMEM;
    }
    curl_multi_setopt(self.env.multi, CURLMOPT_MAXCONNECTS, KEPT_MAX);
    apr_pool_create(&self.pool, pool);
    apr_pool_tag(self.pool, "sse_hook_sender");
    self.lanes = apr_hash_make(self.pool);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&self.over, &attr);
    pthread_condattr_destroy(&attr);
    rv = start_thread();
    if (rv != APR_SUCCESS) {
        curl_multi_cleanup(self.env.multi);
        self.env.multi = NULL;
    }
    return rv;
}

void sse_sender_wake(void)
{
    if (self.env.multi && sse_atomic_cas(&self.is_woken, 0, 1)) {
        curl_multi_wakeup(self.env.multi);
    }
}

int sse_sender_stop(apr_interval_time_t wait)
{
    struct timespec until;
    apr_time_t end = steady_now() + wait;
    int err = 0, is_over;

    if (!self.env.multi) {
        return 1;
    }
    sse_atomic_store(&self.is_stopping, 1);
    curl_multi_wakeup(self.env.multi);
    until.tv_sec = (time_t)apr_time_sec(end);
    until.tv_nsec = (long)apr_time_usec(end) * 1000;
    pthread_mutex_lock(&self.lock);
    while (!self.is_over && !err) {
        err = pthread_cond_timedwait(&self.over, &self.lock, &until);
    }
    is_over = self.is_over;
    pthread_mutex_unlock(&self.lock);
    return is_over;
}
